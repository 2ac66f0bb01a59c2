//! `table.concat`, `table.sort` and `unpack` with an end to their time and memory.
//!
//! Lua's own versions stay where they cannot take long: `sort` with a comparing function, which can be stopped in it,
//! and of few and short elements; `unpack` of ranges that fit the stack. What is long is sorted here when it is all
//! numbers, and else by a heap sort written in Lua, which is stopped like any script.

use mlua::{Error, Function, Lua, LuaString, MultiValue, Result, Table, Value};

use super::args::{Args, type_name};
use super::call::Caller;
use super::number::write_g;
use super::pace::{Pace, within_memory};
use crate::raise;

/// Elements that Lua's own `sort` may have without a comparing function.
const SORT_HERE: usize = 4096;

/// Bytes of strings it may have.
const SORT_BYTES_HERE: usize = 256 * 1024;

/// Most values `unpack` gives: the stack has room for no more.
const UNPACK_MAX: i64 = 7997;

/// Puts them into the globals.
pub(crate) fn install(lua: &Lua) -> Result<()> {
    let table: Table = lua.globals().raw_get("table")?;
    table.raw_set("concat", lua.create_function(|lua, values| concat(&Args::new(lua, "concat", values)))?)?;
    let sorter = Sorter {
        native: table.raw_get("sort")?,
        long: lua.load(HEAP_SORT).set_name("=[C]").call(())?,
        caller: Caller::new(lua)?,
    };
    table.raw_set("sort", lua.create_function(move |lua, values| sort(&Args::new(lua, "sort", values), &sorter))?)?;
    let (native, long): (Function, _) = (lua.globals().raw_get("unpack")?, lua.create_function(refuse_unpack)?);
    let unpack: Function = lua.load(UNPACK).set_name("=[C]").call((native, long, UNPACK_MAX))?;
    lua.globals().raw_set("unpack", unpack)
}

/// `table.concat(list[, separator[, i[, j]]])`.
fn concat(args: &Args<'_>) -> Result<LuaString> {
    let separator = if args.is_nil(2) { None } else { Some(args.string(2)?) };
    let Some(Value::Table(list)) = args.get(1) else { return Err(args.type_error(1, "table")) };
    let first = if args.is_nil(3) { 1 } else { args.int(3)? };
    let last = if args.is_nil(4) { list.raw_len() as i32 } else { args.int(4)? };
    let separator = separator.as_ref().map(|separator| separator.as_bytes());
    let separator = separator.as_deref().unwrap_or_default();
    let (mut out, pace) = (Vec::new(), Pace::new(args.lua));
    for index in first..=last {
        match list.raw_get(index)? {
            Value::String(text) => {
                let text = text.as_bytes();
                within_memory(out.len() + text.len())?;
                pace.step(text.len() as u64 / 64)?;
                out.extend_from_slice(&text);
            }
            // The binding rounds what is next to nothing: only the number itself tells.
            Value::Integer(0) => write_g(&mut out, list.raw_get(index)?, 14),
            Value::Integer(number) => write_g(&mut out, number as f64, 14),
            Value::Number(number) => write_g(&mut out, number, 14),
            other => {
                let text = format!("invalid value ({}) at index {index} in table for 'concat'", type_name(&other));
                return Err(raise::error(args.lua, text));
            }
        }
        if index < last {
            out.extend_from_slice(separator);
        }
        within_memory(out.len())?;
        pace.step(8)?;
    }
    args.lua.create_string(&out)
}

/// The ways to sort.
struct Sorter {
    native: Function,
    long: Function,
    caller: Caller,
}

/// `table.sort(list[, less])`.
fn sort(args: &Args<'_>, sorter: &Sorter) -> Result<()> {
    let Some(Value::Table(list)) = args.get(1) else { return Err(args.type_error(1, "table")) };
    let run = |function: &Function, less: Option<&Value>| {
        let given = std::iter::once(Value::Table(list.clone())).chain(less.cloned());
        sorter.caller.call(args.lua, &Value::Function(function.clone()), given.collect()).map(drop)
    };
    if !args.is_nil(2) {
        let Some(less @ Value::Function(_)) = args.get(2) else { return Err(args.type_error(2, "function")) };
        return run(&sorter.native, Some(less)).map_err(|error| with_position(args.lua, error));
    }
    match contents(args.lua, list)? {
        Contents::Few => run(&sorter.native, None).map_err(|error| with_position(args.lua, error)),
        Contents::Numbers(numbers) => {
            for (index, number) in sorted(args.lua, numbers)?.into_iter().enumerate() {
                list.raw_set(index + 1, number)?;
            }
            Ok(())
        }
        Contents::Many => run(&sorter.long, None),
    }
}

/// The one error of Lua's `sort` that names the line of the call.
fn with_position(lua: &Lua, error: Error) -> Error {
    const INCONSISTENT: &str = "invalid order function for sorting";
    match error {
        Error::RuntimeError(text) if text == INCONSISTENT => raise::error(lua, INCONSISTENT),
        other => other,
    }
}

/// What is to be sorted.
enum Contents {
    /// Little enough for Lua's own `sort`.
    Few,
    /// Many numbers, all of them numbers.
    Numbers(Vec<f64>),
    /// Much, and not only numbers.
    Many,
}

fn contents(lua: &Lua, list: &Table) -> Result<Contents> {
    let (length, mut bytes, mut numbers, pace) = (list.raw_len(), 0, Vec::new(), Pace::new(lua));
    for index in 1..=length {
        pace.step(4)?;
        match list.raw_get(index)? {
            Value::Integer(_) | Value::Number(_) => numbers.push(list.raw_get::<f64>(index)?),
            Value::String(text) => bytes += text.as_bytes().len(),
            _ => {}
        }
        if bytes > SORT_BYTES_HERE {
            return Ok(Contents::Many);
        }
    }
    Ok(if length <= SORT_HERE {
        Contents::Few
    } else if numbers.len() == length && !numbers.iter().any(|number| number.is_nan()) {
        Contents::Numbers(numbers)
    } else {
        Contents::Many
    })
}

/// Numbers in order, by merging runs, so that the work can be stopped between two steps.
fn sorted(lua: &Lua, mut numbers: Vec<f64>) -> Result<Vec<f64>> {
    let pace = Pace::new(lua);
    for run in numbers.chunks_mut(SORT_HERE) {
        run.sort_unstable_by(f64::total_cmp);
        pace.step(run.len() as u64 * 8)?;
    }
    let mut width = SORT_HERE;
    while width < numbers.len() {
        let mut merged = Vec::with_capacity(numbers.len());
        for pair in numbers.chunks(width * 2) {
            let (mut left, mut right) = pair.split_at(width.min(pair.len()));
            while let (Some(a), Some(b)) = (left.first(), right.first()) {
                let from = if b < a { &mut right } else { &mut left };
                merged.push(from[0]);
                *from = &from[1..];
                pace.step(1)?;
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        numbers = merged;
        width *= 2;
    }
    Ok(numbers)
}

/// A heap sort by `<`.
const HEAP_SORT: &str = "
return function(list)
  local count = #list
  local function sink(at, last)
    local value = list[at]
    while true do
      local child = at * 2
      if child > last then break end
      if child < last and list[child] < list[child + 1] then child = child + 1 end
      if not (value < list[child]) then break end
      list[at] = list[child]
      at = child
    end
    list[at] = value
  end
  for at = math.floor(count / 2), 1, -1 do sink(at, count) end
  for last = count, 2, -1 do
    list[1], list[last] = list[last], list[1]
    sink(1, last - 1)
  end
end
";

/// Lua's own `unpack` where the range is known to fit, without the overflow it has with extreme ones.
const UNPACK: &str = "
local unpack, refuse, most = ...
local tonumber, type = tonumber, type
return function(...)
  local list, i, j = ...
  local first, last = 1, nil
  if i ~= nil then first = tonumber(i) end
  if j ~= nil then last = tonumber(j) elseif type(list) == 'table' then last = #list end
  if type(list) == 'table' and first and last and first > -1e9 and last < 1e9 and last - first < most then
    return unpack(list, first, last)
  end
  return refuse(...)
end
";

/// Why `unpack` is not done. What is called in the place of `return` loses its line here, as all functions of Lua do.
fn refuse_unpack(lua: &Lua, values: MultiValue) -> Result<()> {
    let args = Args::within(lua, "unpack", values, 1);
    let Some(Value::Table(list)) = args.get(1) else { return Err(args.type_error(1, "table")) };
    let first = if args.is_nil(2) { 1 } else { args.int(2)? };
    let last = if args.is_nil(3) { list.raw_len() as i32 } else { args.int(3)? };
    if first > last { Ok(()) } else { Err(args.failure("too many results to unpack")) }
}
