//! Replies as Lua values, and Lua values as replies.
//!
//! | reply | value |
//! |---|---|
//! | integer | number |
//! | bulk string | string |
//! | array | table from 1 on |
//! | status, error | `{ok=..}`, `{err=..}` |
//! | null of RESP2; of RESP3 | `false`; `nil` |
//! | map, set | `{map={..}}`, `{set={[x]=true}}` |
//! | double, big number | `{double=..}`, `{big_number=..}` |
//! | verbatim string | `{verbatim_string={string=.., format=..}}` |
//! | boolean | boolean |
//!
//! The other way the same tables are recognised, numbers lose their fraction, and an array ends at its first nil.

use mlua::{Lua, Table, Value};
use quiver_resp::{Encoder, parse_i64};

use crate::raise::ErrorTable;

/// Deepest nesting of arrays in a reply.
const ARRAYS_MAX: usize = 1000;

/// Deepest nesting of maps and sets, which are written by recursion.
const MAPS_MAX: usize = 100;

/// Names of fields, kept so that looking one up makes no string.
pub(crate) struct Names {
    err: mlua::LuaString,
    ok: mlua::LuaString,
    double: mlua::LuaString,
    map: mlua::LuaString,
    set: mlua::LuaString,
    big_number: mlua::LuaString,
    verbatim_string: mlua::LuaString,
    string: mlua::LuaString,
    format: mlua::LuaString,
    ignore_stats: mlua::LuaString,
}

impl Names {
    /// The names in a state.
    ///
    /// # Errors
    /// Out of memory.
    pub(crate) fn new(lua: &Lua) -> mlua::Result<Self> {
        let name = |name: &str| lua.create_string(name);
        Ok(Self {
            err: name("err")?,
            ok: name("ok")?,
            double: name("double")?,
            map: name("map")?,
            set: name("set")?,
            big_number: name("big_number")?,
            verbatim_string: name("verbatim_string")?,
            string: name("string")?,
            format: name("format")?,
            ignore_stats: name("ignore_error_stats_update")?,
        })
    }

    /// The error a table that was raised stands for; its text may be a number.
    pub(crate) fn raised_by(&self, lua: &Lua, value: &Value) -> mlua::Result<Option<ErrorTable>> {
        if let Value::Table(table) = value
            && let number @ (Value::Integer(_) | Value::Number(_)) = table.raw_get(&self.err)?
        {
            let text = lua.coerce_string(number)?;
            return Ok(text.map(|text| ErrorTable::new(&*text.as_bytes())));
        }
        self.error_of(value)
    }

    /// The error a table stands for.
    pub(crate) fn error_of(&self, value: &Value) -> mlua::Result<Option<ErrorTable>> {
        let Value::Table(table) = value else { return Ok(None) };
        let Some(text) = text_of(&table.raw_get(&self.err)?) else { return Ok(None) };
        let counted = matches!(table.raw_get(&self.ignore_stats)?, Value::Boolean(true));
        Ok(Some(ErrorTable { text, counted }))
    }
}

/// The value of the reply at the front of `reply`, which the engine wrote and which is therefore whole.
///
/// # Errors
/// Out of memory.
pub(crate) fn read(lua: &Lua, reply: &mut &[u8]) -> mlua::Result<Value> {
    let line = take_line(reply);
    let (kind, text) = line.split_first().unwrap_or((&b'_', b""));
    let count = || parse_i64(text).and_then(|count| usize::try_from(count).ok());
    match kind {
        b':' => Ok(parse_i64(text).map_or(Value::Nil, |number| Value::Number(number as f64))),
        b'$' => match count() {
            Some(len) => Ok(Value::String(lua.create_string(take_bulk(reply, len))?)),
            None => Ok(Value::Boolean(false)),
        },
        b'*' => match count() {
            Some(count) => read_array(lua, reply, count),
            None => Ok(Value::Boolean(false)),
        },
        b'+' => field(lua, "ok", lua.create_string(text)?),
        b'-' => ErrorTable { text: text.to_vec(), counted: true }.into_value(lua),
        b'%' => read_map(lua, reply, count().unwrap_or(0)),
        b'~' => read_set(lua, reply, count().unwrap_or(0)),
        b',' => field(lua, "double", double(text)),
        b'#' => Ok(Value::Boolean(text == b"t")),
        b'(' => field(lua, "big_number", lua.create_string(text)?),
        b'=' => {
            let bytes = take_bulk(reply, count().unwrap_or(0));
            let (format, string) = bytes.split_at(bytes.len().min(3));
            let inner = lua.create_table_with_capacity(0, 2)?;
            inner.raw_set("string", lua.create_string(string.get(1..).unwrap_or_default())?)?;
            inner.raw_set("format", lua.create_string(format)?)?;
            field(lua, "verbatim_string", inner)
        }
        b'|' => {
            // What a client may know of the value that follows is nothing to a script.
            for _ in 0..count().unwrap_or(0) * 2 {
                read(lua, reply)?;
            }
            read(lua, reply)
        }
        _ => Ok(Value::Nil),
    }
}

fn read_array(lua: &Lua, reply: &mut &[u8], count: usize) -> mlua::Result<Value> {
    // An element is three bytes at least, so a header cannot claim more than arrived.
    let table = lua.create_table_with_capacity(count.min(reply.len() / 3), 0)?;
    for index in 1..=count {
        let value = read(lua, reply)?;
        table.raw_set(index, value)?;
    }
    Ok(Value::Table(table))
}

fn read_map(lua: &Lua, reply: &mut &[u8], count: usize) -> mlua::Result<Value> {
    let table = lua.create_table_with_capacity(0, count.min(reply.len() / 6))?;
    for _ in 0..count {
        let (key, value) = (read(lua, reply)?, read(lua, reply)?);
        if key != Value::Nil {
            table.raw_set(key, value)?;
        }
    }
    field(lua, "map", table)
}

fn read_set(lua: &Lua, reply: &mut &[u8], count: usize) -> mlua::Result<Value> {
    let table = lua.create_table_with_capacity(0, count.min(reply.len() / 3))?;
    for _ in 0..count {
        let key = read(lua, reply)?;
        if key != Value::Nil {
            table.raw_set(key, true)?;
        }
    }
    field(lua, "set", table)
}

fn field(lua: &Lua, name: &str, value: impl mlua::IntoLua) -> mlua::Result<Value> {
    let table = lua.create_table_with_capacity(0, 1)?;
    table.raw_set(name, value)?;
    Ok(Value::Table(table))
}

fn double(text: &[u8]) -> f64 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}

fn take_line<'r>(reply: &mut &'r [u8]) -> &'r [u8] {
    let end = reply.iter().position(|byte| *byte == b'\r').unwrap_or(reply.len());
    let line = &reply[..end];
    *reply = reply.get(end + 2..).unwrap_or_default();
    line
}

fn take_bulk<'r>(reply: &mut &'r [u8], len: usize) -> &'r [u8] {
    let (bytes, rest) = reply.split_at(len.min(reply.len()));
    *reply = rest.get(2..).unwrap_or_default();
    bytes
}

/// Writes a value as a reply; `resp3`: the script speaks it, so its booleans are meant as such.
///
/// # Errors
/// Out of memory.
pub(crate) fn write(names: &Names, value: &Value, resp3: bool, out: &mut Encoder<'_>) -> mlua::Result<()> {
    Writer { names, resp3 }.value(value.clone(), out, 0)
}

struct Writer<'n> {
    names: &'n Names,
    resp3: bool,
}

/// An array some elements of which are written.
struct Open {
    table: Table,
    start: usize,
    len: usize,
}

impl Writer<'_> {
    /// Writes a value. Arrays within arrays are no recursion, so they cannot use up the stack; `depth` counts the maps
    /// and sets around it.
    fn value(&self, value: Value, out: &mut Encoder<'_>, depth: usize) -> mlua::Result<()> {
        let (mut open, mut value) = (Vec::<Open>::new(), value);
        loop {
            if open.len() > ARRAYS_MAX || depth > MAPS_MAX {
                out.error("ERR reached lua stack limit");
            } else if let Some(table) = self.begin(&value, out, depth)? {
                open.push(Open { table, start: out.position(), len: 0 });
            }
            value = loop {
                let Some(array) = open.last_mut() else { return Ok(()) };
                match array.table.raw_get(array.len + 1)? {
                    Value::Nil => out.array_before(array.start, array.len),
                    element => {
                        array.len += 1;
                        break element;
                    }
                }
                open.pop();
            };
        }
    }

    /// Writes a value, unless it is an array, which is given back.
    fn begin(&self, value: &Value, out: &mut Encoder<'_>, depth: usize) -> mlua::Result<Option<Table>> {
        match value {
            Value::String(text) => out.bulk(&text.as_bytes()),
            Value::Integer(number) => out.integer(*number),
            Value::Number(number) => out.integer(truncate(*number)),
            Value::Boolean(yes) if self.resp3 => out.boolean(*yes),
            Value::Boolean(true) => out.integer(1),
            Value::Table(table) => return self.table(table, out, depth),
            _ => out.null(),
        }
        Ok(None)
    }

    fn table(&self, table: &Table, out: &mut Encoder<'_>, depth: usize) -> mlua::Result<Option<Table>> {
        let names = self.names;
        if let Some(text) = text_of(&table.raw_get(&names.err)?) {
            out.error_bytes(&text);
        } else if let Some(text) = text_of(&table.raw_get(&names.ok)?) {
            out.simple_bytes(&text);
        } else if let Some(number) = number_of(&table.raw_get(&names.double)?) {
            out.double(number);
        } else if let Value::Table(map) = table.raw_get(&names.map)? {
            self.map(&map, out, depth + 1)?;
        } else if let Value::Table(set) = table.raw_get(&names.set)? {
            self.set(&set, out, depth + 1)?;
        } else if let Some(digits) = text_of(&table.raw_get(&names.big_number)?) {
            out.big_number(&digits);
        } else if let Some((format, text)) = self.verbatim(table)? {
            out.verbatim(format, &text);
        } else {
            return Ok(Some(table.clone()));
        }
        Ok(None)
    }

    fn map(&self, map: &Table, out: &mut Encoder<'_>, depth: usize) -> mlua::Result<()> {
        let (start, mut pairs) = (out.position(), 0);
        map.for_each(|key: Value, value: Value| {
            self.value(key, out, depth)?;
            self.value(value, out, depth)?;
            pairs += 1;
            Ok(())
        })?;
        out.map_before(start, pairs);
        Ok(())
    }

    fn set(&self, set: &Table, out: &mut Encoder<'_>, depth: usize) -> mlua::Result<()> {
        let (start, mut len) = (out.position(), 0);
        set.for_each(|key: Value, _: Value| {
            len += 1;
            self.value(key, out, depth)
        })?;
        out.set_before(start, len);
        Ok(())
    }

    fn verbatim(&self, table: &Table) -> mlua::Result<Option<([u8; 3], Vec<u8>)>> {
        let Value::Table(inner) = table.raw_get(&self.names.verbatim_string)? else { return Ok(None) };
        let (format, text) =
            (text_of(&inner.raw_get(&self.names.format)?), text_of(&inner.raw_get(&self.names.string)?));
        let (Some(format), Some(text)) = (format, text) else { return Ok(None) };
        let mut three = *b"   ";
        three.iter_mut().zip(&format).for_each(|(to, from)| *to = *from);
        Ok(Some((three, text)))
    }
}

/// A string's bytes; a number is none here.
fn text_of(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        _ => None,
    }
}

fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

/// A number without its fraction, as the conversion of the processor has it: what does not fit is the smallest integer.
pub(crate) fn truncate(number: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&number) { number as i64 } else { i64::MIN }
}
