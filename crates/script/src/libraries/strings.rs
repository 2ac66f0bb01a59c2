//! `string.find`, `match`, `gmatch`, `gsub` and `rep` that can be stopped and whose memory has an end.
//!
//! They do what Lua 5.1's do, with its error texts; the rest of `string` is linear in what is in memory already and
//! stays. Matching is [`super::pattern`]'s.

use mlua::{Function, Lua, LuaString, MultiValue, Result, Value};

use super::args::{Args, is_true, type_name};
use super::call::Caller;
use super::number::{to_i32, write_g};
use super::pace::{Pace, within_memory};
use super::pattern::{Captured, Matcher, find_plain, is_plain};
use crate::raise;

/// Puts them into the table `string`.
pub(crate) fn install(lua: &Lua) -> Result<()> {
    let string: mlua::Table = lua.globals().raw_get("string")?;
    string.raw_set("find", lua.create_function(|lua, values| find(&Args::new(lua, "find", values)))?)?;
    string.raw_set("match", lua.create_function(|lua, values| match_(&Args::new(lua, "match", values)))?)?;
    string.raw_set("rep", lua.create_function(|lua, values| rep(&Args::new(lua, "rep", values)))?)?;
    let gmatch = gmatch(lua)?;
    string.raw_set("gmatch", &gmatch)?;
    // The name it had in Lua 5.0.
    string.raw_set("gfind", gmatch)?;
    let caller = Caller::new(lua)?;
    let gsub = lua.create_function(move |lua, values| gsub(&Args::new(lua, "gsub", values), &caller))?;
    string.raw_set("gsub", gsub)
}

/// The place an argument names, from 0; counted from the end where it is negative.
fn start(args: &Args<'_>, at: usize, length: usize) -> Result<usize> {
    let place = args.integer_or(at, 1)?;
    let place = if place < 0 { place.saturating_add(length as i64 + 1) } else { place };
    Ok(usize::try_from(place.saturating_sub(1)).unwrap_or(0).min(length))
}

/// Takes the anchor off a pattern.
fn anchored(pattern: &[u8]) -> (bool, &[u8]) {
    match pattern.split_first() {
        Some((b'^', rest)) => (true, rest),
        _ => (false, pattern),
    }
}

fn nil() -> MultiValue {
    MultiValue::from_iter([Value::Nil])
}

/// `string.find(subject, pattern[, init[, plain]])`.
fn find(args: &Args<'_>) -> Result<MultiValue> {
    let (lua, subject, pattern) = (args.lua, args.string(1)?, args.string(2)?);
    let (subject, pattern) = (subject.as_bytes(), pattern.as_bytes());
    let from = start(args, 3, subject.len())?;
    if is_true(args.get(4)) || is_plain(&pattern) {
        let found = find_plain(&subject, &pattern, from, &Pace::new(args.lua))?;
        return Ok(found.map_or_else(nil, |at| place(at, at + pattern.len(), Vec::new())));
    }
    let (anchor, pattern) = anchored(&pattern);
    let mut matcher = Matcher::new(lua, &subject, pattern);
    let to = if anchor { from } else { subject.len() };
    let Some((start, end)) = matcher.search(from, to)? else { return Ok(nil()) };
    let mut rest = Vec::new();
    matcher.push_captures((start, end), false, &mut rest)?;
    Ok(place(start, end, rest))
}

fn place(start: usize, end: usize, rest: Vec<Value>) -> MultiValue {
    let ends = [Value::Integer(start as i64 + 1), Value::Integer(end as i64)];
    MultiValue::from_iter(ends.into_iter().chain(rest))
}

/// `string.match(subject, pattern[, init])`.
fn match_(args: &Args<'_>) -> Result<MultiValue> {
    let (lua, subject, pattern) = (args.lua, args.string(1)?, args.string(2)?);
    let (subject, pattern) = (subject.as_bytes(), pattern.as_bytes());
    let from = start(args, 3, subject.len())?;
    let (anchor, pattern) = anchored(&pattern);
    let mut matcher = Matcher::new(lua, &subject, pattern);
    let to = if anchor { from } else { subject.len() };
    let Some(found) = matcher.search(from, to)? else { return Ok(nil()) };
    let mut out = Vec::new();
    matcher.push_captures(found, true, &mut out)?;
    Ok(MultiValue::from_iter(out))
}

/// `string.gmatch(subject, pattern)`: a function that gives the next match at every call. An anchor means nothing here.
///
/// What it remembers are variables of Lua. Held from here, they would be pinned until the next collection, and there is
/// room for some thousand pinned values only.
const GMATCH: &str = "
local check, step = ...
local function advance(state, at, ...)
  state.at = at
  return ...
end
return function(...)
  local subject, pattern = check(...)
  local state = {at = 0}
  return function() return advance(state, step(subject, pattern, state.at)) end
end
";

fn gmatch(lua: &Lua) -> Result<Function> {
    let check = lua.create_function(|lua, values| {
        let args = Args::within(lua, "gmatch", values, 1);
        Ok((args.string(1)?, args.string(2)?))
    })?;
    let step = lua.create_function(|lua, (subject, pattern, at): (LuaString, LuaString, usize)| {
        let (subject, pattern) = (subject.as_bytes(), pattern.as_bytes());
        let mut out = vec![Value::Integer(subject.len() as i64 + 1)];
        if at > subject.len() {
            return Ok(MultiValue::from_iter(out));
        }
        // Between this and the script there is the function above.
        let mut matcher = Matcher::new(lua, &subject, &pattern).within(1);
        if let Some((start, end)) = matcher.search(at, subject.len())? {
            out[0] = Value::Integer(if end == start { end + 1 } else { end } as i64);
            matcher.push_captures((start, end), true, &mut out)?;
        }
        Ok(MultiValue::from_iter(out))
    })?;
    lua.load(GMATCH).set_name("=[C]").call((check, step))
}

/// What `gsub` puts in the place of a match.
enum Replacement {
    Text(LuaString),
    /// A field of a table, or what a function returns.
    Of(Value),
}

/// `string.gsub(subject, pattern, replacement[, count])`.
fn gsub(args: &Args<'_>, caller: &Caller) -> Result<MultiValue> {
    let (lua, subject, pattern) = (args.lua, args.string(1)?, args.string(2)?);
    let replacement = match args.get(3) {
        Some(Value::String(_) | Value::Integer(_) | Value::Number(_)) => None,
        Some(value @ (Value::Table(_) | Value::Function(_))) => Some(Replacement::Of(value.clone())),
        _ => return Err(args.error(3, "string/function/table expected")),
    };
    let (subject, pattern) = (subject.as_bytes(), pattern.as_bytes());
    let most = if args.is_nil(4) { subject.len() as i64 + 1 } else { i64::from(args.int(4)?) };
    let replacement = match replacement {
        Some(replacement) => replacement,
        None => Replacement::Text(args.string(3)?),
    };
    let (anchor, pattern) = anchored(&pattern);
    let mut matcher = Matcher::new(lua, &subject, pattern);
    let (mut out, mut at, mut count) = (Vec::with_capacity(subject.len()), 0, 0);
    while count < most {
        let found = matcher.try_at(at)?;
        if let Some(end) = found {
            count += 1;
            replace(lua, caller, &matcher, &replacement, &subject, (at, end), &mut out)?;
            within_memory(out.len())?;
        }
        match found {
            Some(end) if end > at => at = end,
            _ if at < subject.len() => {
                out.push(subject[at]);
                at += 1;
            }
            _ => break,
        }
        if anchor {
            break;
        }
    }
    out.extend_from_slice(&subject[at..]);
    within_memory(out.len())?;
    Ok(MultiValue::from_iter([Value::String(lua.create_string(&out)?), Value::Integer(count)]))
}

/// Appends what stands for a match.
fn replace(
    lua: &Lua,
    caller: &Caller,
    matcher: &Matcher<'_, '_>,
    replacement: &Replacement,
    subject: &[u8],
    (start, end): (usize, usize),
    out: &mut Vec<u8>,
) -> Result<()> {
    let value = match replacement {
        Replacement::Text(text) => return expand(matcher, &text.as_bytes(), (start, end), out),
        Replacement::Of(Value::Table(table)) => {
            let key = matcher.captured(0, start, end)?.into_value(lua)?;
            if table.metatable().is_some() { caller.index(lua, table, key)? } else { table.raw_get(key)? }
        }
        Replacement::Of(function) => {
            let mut args = Vec::new();
            matcher.push_captures((start, end), true, &mut args)?;
            caller.call(lua, function, args)?
        }
    };
    match &value {
        Value::Nil | Value::Boolean(false) => out.extend_from_slice(&subject[start..end]),
        Value::String(text) => out.extend_from_slice(&text.as_bytes()),
        Value::Integer(number) => write_g(out, *number as f64, 14),
        Value::Number(number) => write_g(out, *number, 14),
        other => {
            let text = format!("invalid replacement value (a {})", type_name(other));
            return Err(raise::error(lua, text));
        }
    }
    Ok(())
}

/// Appends a replacement text with the captures it names.
fn expand(matcher: &Matcher<'_, '_>, text: &[u8], (start, end): (usize, usize), out: &mut Vec<u8>) -> Result<()> {
    let mut at = 0;
    while at < text.len() {
        let plain = text[at..].iter().position(|byte| *byte == b'%').unwrap_or(text.len() - at);
        out.extend_from_slice(&text[at..at + plain]);
        at += plain;
        if at == text.len() {
            break;
        }
        // Behind a single `%` at the end there is the NUL of a C string.
        let digit = text.get(at + 1).copied().unwrap_or(0);
        at += 2;
        if !digit.is_ascii_digit() {
            out.push(digit);
            continue;
        }
        let index = if digit == b'0' { None } else { Some(usize::from(digit - b'1')) };
        let capture = match index {
            None => matcher.whole(start, end),
            Some(index) => matcher.captured(index, start, end)?,
        };
        match capture {
            Captured::Text(text) => out.extend_from_slice(text),
            Captured::Position(place) => write_g(out, place as f64, 14),
        }
        within_memory(out.len())?;
    }
    Ok(())
}

/// `string.rep(text, count)`.
fn rep(args: &Args<'_>) -> Result<LuaString> {
    let text = args.string(1)?;
    let count = to_i32(args.number(2)?);
    let bytes = text.as_bytes();
    let count = usize::try_from(count).unwrap_or(0);
    within_memory(bytes.len().saturating_mul(count))?;
    args.lua.create_string(bytes.repeat(count))
}
