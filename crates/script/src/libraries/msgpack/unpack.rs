//! MessagePack to Lua values. Containers are read on a stack of their own, so that nesting costs no recursion.

use mlua::{Error, Lua, MultiValue, Result, Table, Value};

use crate::libraries::args::Args;
use crate::libraries::pace::Pace;
use crate::raise;

/// Deepest nesting that is read.
const DEPTH_MAX: usize = 1000;

/// Most values one call gives: Lua's stack has room for no more.
const VALUES_MAX: usize = 7000;

/// `cmsgpack.unpack(text)`: all values.
pub(super) fn unpack(lua: &Lua, values: MultiValue) -> Result<MultiValue> {
    unpack_some(&Args::new(lua, "unpack", values), 0, 0)
}

/// `cmsgpack.unpack_one(text[, offset])`: where the next begins, and one value.
pub(super) fn unpack_one(lua: &Lua, values: MultiValue) -> Result<MultiValue> {
    let args = Args::new(lua, "unpack_one", values);
    let offset = args.integer_or(2, 0)? as i32;
    unpack_some(&args, 1, offset)
}

/// `cmsgpack.unpack_limit(text, limit[, offset])`: where the next begins, and as many values.
pub(super) fn unpack_limit(lua: &Lua, values: MultiValue) -> Result<MultiValue> {
    let args = Args::new(lua, "unpack_limit", values);
    let (limit, offset) = (args.int(2)?, args.integer_or(3, 0)? as i32);
    unpack_some(&args, limit, offset)
}

fn unpack_some(args: &Args<'_>, limit: i32, offset: i32) -> Result<MultiValue> {
    let (lua, text) = (args.lua, args.string(1)?);
    let text = text.as_bytes();
    let length = text.len();
    let (Ok(start), Ok(most)) = (usize::try_from(offset), usize::try_from(limit)) else {
        let text = format!("Invalid request to unpack with offset of {offset} and limit of {length}.");
        return Err(raise::error(lua, text));
    };
    if start > length {
        return Err(raise::error(lua, format!("Start offset {start} greater than input length {length}.")));
    }
    let all = most == 0 && start == 0;
    let mut reader = Reader { lua, rest: &text[start..], pace: Pace::new(lua) };
    let mut found = Vec::new();
    while !reader.rest.is_empty() && (all || found.len() < most) {
        if found.len() >= VALUES_MAX {
            let why = "stack overflow (too many return values at once; use unpack_one or unpack_limit instead.)";
            return Err(raise::error(lua, why));
        }
        found.push(reader.value()?);
    }
    if !all {
        let next = if reader.rest.is_empty() { -1 } else { (length - reader.rest.len()) as i64 };
        found.insert(0, Value::Integer(next));
    }
    Ok(MultiValue::from_iter(found))
}

/// A container that is being read.
enum Open {
    Array { table: Table, length: usize, next: usize },
    Map { table: Table, left: usize, key: Option<Value> },
}

/// What begins at a place.
enum Item {
    Value(Value),
    Array(usize),
    Map(usize),
}

struct Reader<'a> {
    lua: &'a Lua,
    rest: &'a [u8],
    pace: Pace<'a>,
}

impl Reader<'_> {
    /// One value, whatever is in it included.
    fn value(&mut self) -> Result<Value> {
        let mut open: Vec<Open> = Vec::new();
        loop {
            self.pace.step(1)?;
            let mut done = match self.item()? {
                Item::Value(value) => value,
                Item::Array(length) => {
                    self.check_depth(&open, "in function mp_decode_to_lua_array")?;
                    let table = self.lua.create_table()?;
                    if length > 0 {
                        open.push(Open::Array { table, length, next: 1 });
                        continue;
                    }
                    Value::Table(table)
                }
                Item::Map(left) => {
                    self.check_depth(&open, "in function mp_decode_to_lua_hash")?;
                    let table = self.lua.create_table()?;
                    if left > 0 {
                        open.push(Open::Map { table, left, key: None });
                        continue;
                    }
                    Value::Table(table)
                }
            };
            // A value is complete; with it, perhaps, the containers around it.
            loop {
                let complete = match open.last_mut() {
                    None => return Ok(done),
                    Some(Open::Array { table, length, next }) => {
                        table.raw_set(*next, done)?;
                        *next += 1;
                        (*next > *length).then(|| table.clone())
                    }
                    Some(Open::Map { key: key @ None, .. }) => {
                        *key = Some(self.checked_key(done)?);
                        None
                    }
                    Some(Open::Map { table, left, key: key @ Some(_) }) => {
                        table.raw_set(key.take(), done)?;
                        *left -= 1;
                        (*left == 0).then(|| table.clone())
                    }
                };
                let Some(table) = complete else { break };
                open.pop();
                done = Value::Table(table);
            }
        }
    }

    fn check_depth(&self, open: &[Open], function: &str) -> Result<()> {
        if open.len() < DEPTH_MAX {
            return Ok(());
        }
        Err(raise::error(self.lua, format!("stack overflow ({function})")))
    }

    /// A key as Lua takes it.
    fn checked_key(&self, key: Value) -> Result<Value> {
        match key {
            Value::Nil => Err(Error::RuntimeError("table index is nil".to_owned())),
            Value::Number(number) if number.is_nan() => Err(Error::RuntimeError("table index is NaN".to_owned())),
            key => Ok(key),
        }
    }

    fn item(&mut self) -> Result<Item> {
        let [first] = self.take()?;
        let number = |number: f64| Ok(Item::Value(Value::Number(number)));
        match first {
            0x00..=0x7F => number(f64::from(first)),
            0xE0..=0xFF => number(f64::from(first as i8)),
            0xA0..=0xBF => self.string(usize::from(first & 0x1F)),
            0x90..=0x9F => Ok(Item::Array(usize::from(first & 0x0F))),
            0x80..=0x8F => Ok(Item::Map(usize::from(first & 0x0F))),
            0xC0 => Ok(Item::Value(Value::Nil)),
            0xC2 => Ok(Item::Value(Value::Boolean(false))),
            0xC3 => Ok(Item::Value(Value::Boolean(true))),
            0xCA => number(f64::from(f32::from_be_bytes(self.take()?))),
            0xCB => number(f64::from_be_bytes(self.take()?)),
            0xCC => number(f64::from(u8::from_be_bytes(self.take()?))),
            0xCD => number(f64::from(u16::from_be_bytes(self.take()?))),
            0xCE => number(f64::from(u32::from_be_bytes(self.take()?))),
            0xCF => number(i64::from_be_bytes(self.take()?) as f64),
            0xD0 => number(f64::from(i8::from_be_bytes(self.take()?))),
            0xD1 => number(f64::from(i16::from_be_bytes(self.take()?))),
            0xD2 => number(f64::from(i32::from_be_bytes(self.take()?))),
            0xD3 => number(i64::from_be_bytes(self.take()?) as f64),
            0xD9 => {
                let length = u8::from_be_bytes(self.take()?);
                self.string(usize::from(length))
            }
            0xDA => {
                let length = self.length16()?;
                self.string(length)
            }
            0xDB => {
                let length = self.length32()?;
                self.string(length)
            }
            0xDC => Ok(Item::Array(self.length16()?)),
            0xDD => Ok(Item::Array(self.length32()?)),
            0xDE => Ok(Item::Map(self.length16()?)),
            0xDF => Ok(Item::Map(self.length32()?)),
            _ => Err(raise::error(self.lua, "Bad data format in input.")),
        }
    }

    fn length16(&mut self) -> Result<usize> {
        Ok(usize::from(u16::from_be_bytes(self.take()?)))
    }

    fn length32(&mut self) -> Result<usize> {
        Ok(u32::from_be_bytes(self.take()?) as usize)
    }

    fn string(&mut self, length: usize) -> Result<Item> {
        let Some((text, rest)) = self.rest.split_at_checked(length) else { return Err(self.missing()) };
        self.rest = rest;
        Ok(Item::Value(Value::String(self.lua.create_string(text)?)))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let Some((bytes, rest)) = self.rest.split_first_chunk() else { return Err(self.missing()) };
        self.rest = rest;
        Ok(*bytes)
    }

    fn missing(&self) -> Error {
        raise::error(self.lua, "Missing bytes in input.")
    }
}
