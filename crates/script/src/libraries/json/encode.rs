//! Lua values to JSON.

use std::cell::{Cell, RefCell};

use mlua::{Error, Function, Lua, Result, Table, Value};

use super::{DEPTH_LIMIT, Invalid, JsonSettings};
use crate::libraries::args::{Args, type_name};
use crate::libraries::number::{to_i32, write_g, write_integer};
use crate::libraries::pace::{Pace, within_memory};
use crate::raise;

/// `cjson.encode(value)`.
pub(super) fn encode(args: &Args<'_>, settings: JsonSettings) -> Result<Value> {
    let (1, Some(value)) = (args.len(), args.get(1)) else { return Err(args.error(1, "expected 1 argument")) };
    let (out, pace) = (Vec::with_capacity(64), Pace::new(args.lua));
    let mut writer = Writer { lua: args.lua, settings, out, pace, refusal: Cell::new(None) };
    let written = writer.value(value, 0);
    if let Some(refusal) = writer.refusal.take() {
        return Err(raise::error(args.lua, refusal));
    }
    written?;
    Ok(Value::String(args.lua.create_string(&writer.out)?))
}

struct Writer<'a> {
    lua: &'a Lua,
    settings: JsonSettings,
    out: Vec<u8>,
    pace: Pace<'a>,
    /// Why the value cannot be written. It is raised at the very end: inside of a walk through a table, the line that
    /// called cannot be found.
    refusal: Cell<Option<String>>,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth: i32) -> Result<()> {
        self.pace.step(1)?;
        match value {
            Value::String(text) => self.string(&text.as_bytes())?,
            Value::Integer(number) => self.integer(*number),
            Value::Number(number) => self.number(*number)?,
            Value::Boolean(true) => self.out.extend_from_slice(b"true"),
            Value::Boolean(false) => self.out.extend_from_slice(b"false"),
            Value::Nil => self.out.extend_from_slice(b"null"),
            Value::LightUserData(pointer) if pointer.0.is_null() => self.out.extend_from_slice(b"null"),
            Value::Table(table) => return self.table(table, depth + 1),
            other => return Err(self.refuse(type_name(other), "type not supported")),
        }
        within_memory(self.out.len())
    }

    fn refuse(&self, what: &str, why: &str) -> Error {
        self.give_up(format!("Cannot serialise {what}: {why}"))
    }

    fn give_up(&self, text: String) -> Error {
        self.refusal.set(Some(text));
        Error::StackError
    }

    fn integer(&mut self, number: i64) {
        // The precision decides from where on there is an exponent.
        if number.unsigned_abs() < 10u64.pow(self.settings.precision as u32) {
            write_integer(&mut self.out, number);
        } else {
            write_g(&mut self.out, number as f64, self.settings.precision as usize);
        }
    }

    fn number(&mut self, number: f64) -> Result<()> {
        if number.is_finite() {
            write_g(&mut self.out, number, self.settings.precision as usize);
            return Ok(());
        }
        let text: &[u8] = match self.settings.encode_invalid {
            Invalid::Refused => return Err(self.refuse("number", "must not be NaN or Inf")),
            Invalid::Null => b"null",
            Invalid::Named if number.is_nan() => b"nan",
            Invalid::Named if number > 0.0 => b"inf",
            Invalid::Named => b"-inf",
        };
        self.out.extend_from_slice(text);
        Ok(())
    }

    fn string(&mut self, text: &[u8]) -> Result<()> {
        within_memory(self.out.len() + text.len())?;
        self.pace.step(text.len() as u64 / 64)?;
        self.out.push(b'"');
        let mut from = 0;
        for (at, byte) in text.iter().enumerate() {
            if ESCAPED[usize::from(*byte)] {
                self.out.extend_from_slice(&text[from..at]);
                self.escape(*byte);
                from = at + 1;
            }
        }
        self.out.extend_from_slice(&text[from..]);
        self.out.push(b'"');
        Ok(())
    }

    fn escape(&mut self, byte: u8) {
        let short = match byte {
            8 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            12 => b'f',
            b'\r' => b'r',
            b'"' | b'\\' | b'/' => byte,
            _ => {
                self.out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                return;
            }
        };
        self.out.extend_from_slice(&[b'\\', short]);
    }

    fn table(&mut self, table: &Table, depth: i32) -> Result<()> {
        if depth > RECURSION_MAX {
            return self.deep_table(table, depth);
        }
        match self.length_within(table, depth)? {
            Some(length) => self.array(table, length, depth),
            None => self.object(table, depth),
        }
    }

    /// The length of an array; nothing for an object. Both must not be nested too deeply.
    fn length_within(&self, table: &Table, depth: i32) -> Result<Option<i32>> {
        if depth > self.settings.encode_depth.min(DEPTH_LIMIT) {
            return Err(self.give_up(format!("Cannot serialise, excessive nesting ({depth})")));
        }
        self.array_length(table)
    }

    /// A table so deep that no more stack is given to it: slower, with the tables it is in on a stack of their own.
    fn deep_table(&mut self, table: &Table, depth: i32) -> Result<()> {
        let next = self.lua.globals().raw_get("next")?;
        let mut open = vec![self.open(table, depth)?];
        while let Some(innermost) = open.last_mut() {
            match self.advance(innermost, &next)? {
                None => drop(open.pop()),
                Some(Value::Table(table)) => open.push(self.open(&table, depth + open.len() as i32)?),
                Some(value) => self.value(&value, depth)?,
            }
        }
        Ok(())
    }

    fn open(&mut self, table: &Table, depth: i32) -> Result<Open> {
        let length = self.length_within(table, depth)?;
        self.out.push(if length.is_some() { b'[' } else { b'{' });
        let table = table.clone();
        Ok(match length {
            Some(length) => Open::Array { table, index: 0, length },
            None => Open::Object { table, key: Value::Nil },
        })
    }

    /// Writes what stands before the next value, and gives that; or the end.
    fn advance(&mut self, open: &mut Open, next: &Function) -> Result<Option<Value>> {
        let value = match open {
            Open::Array { index, length, .. } if index == length => {
                self.out.push(b']');
                return Ok(None);
            }
            Open::Array { table, index, .. } => {
                *index += 1;
                if *index > 1 {
                    self.out.push(b',');
                }
                exact(table, &Value::Integer(i64::from(*index)), table.raw_get(*index)?)?
            }
            Open::Object { table, key } => {
                let first = key.is_nil();
                let (found, value): (Value, Value) = next.call((&*table, &*key))?;
                if found.is_nil() {
                    self.out.push(b'}');
                    return Ok(None);
                }
                if !first {
                    self.out.push(b',');
                }
                self.key(&found)?;
                *key = found;
                exact(table, key, value)?
            }
        };
        Ok(Some(value))
    }

    /// The length of a table that is an array.
    fn array_length(&self, table: &Table) -> Result<Option<i32>> {
        let (mut max, mut items, mut array) = (0i32, 0i32, true);
        // Truth is the one thing of a value that can be had without taking hold of it.
        let walked = table.for_each(|key: Value, _: bool| {
            let key = match key {
                Value::Integer(key) => key as f64,
                Value::Number(key) => key,
                _ => 0.0,
            };
            if key < 1.0 || key.fract() != 0.0 {
                array = false;
                return Err(Error::StackError);
            }
            if key > f64::from(max) {
                // As a C compiler casts it: what does not fit makes no array.
                max = if key < 2_147_483_648.0 { to_i32(key) } else { i32::MIN };
            }
            items += 1;
            self.pace.step(1)
        });
        if !array {
            return Ok(None);
        }
        walked?;
        let (ratio, safe) = (self.settings.sparse_ratio, self.settings.sparse_safe);
        if ratio > 0 && i64::from(max) > i64::from(items) * i64::from(ratio) && max > safe {
            if !self.settings.sparse_convert {
                return Err(self.refuse("table", "excessively sparse array"));
            }
            return Ok(None);
        }
        Ok((max > 0).then_some(max))
    }

    fn array(&mut self, table: &Table, length: i32, depth: i32) -> Result<()> {
        self.out.push(b'[');
        for index in 1..=length {
            if index > 1 {
                self.out.push(b',');
            }
            let value = exact(table, &Value::Integer(i64::from(index)), table.raw_get(index)?)?;
            self.value(&value, depth)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn object(&mut self, table: &Table, depth: i32) -> Result<()> {
        self.out.push(b'{');
        let mut first = true;
        // The closure cannot hold the writer while it also borrows it for nested values.
        let writer = RefCell::new(self);
        table.for_each(|key: Value, value: Value| {
            let writer = &mut **writer.borrow_mut();
            if !std::mem::take(&mut first) {
                writer.out.push(b',');
            }
            writer.key(&key)?;
            writer.value(&exact(table, &key, value)?, depth)
        })?;
        writer.into_inner().out.push(b'}');
        Ok(())
    }

    fn key(&mut self, key: &Value) -> Result<()> {
        match key {
            Value::String(text) => self.string(&text.as_bytes())?,
            Value::Integer(_) | Value::Number(_) => {
                self.out.push(b'"');
                match key {
                    Value::Integer(number) => self.integer(*number),
                    Value::Number(number) => self.number(*number)?,
                    _ => {}
                }
                self.out.push(b'"');
            }
            other => return Err(self.refuse(type_name(other), "table key must be a number or string")),
        }
        self.out.push(b':');
        Ok(())
    }
}

/// Tables in tables up to which writing recurses: each takes some of the calls Lua allows inside of each other.
const RECURSION_MAX: i32 = 16;

/// A table that is being written.
enum Open {
    Array {
        table: Table,
        index: i32,
        length: i32,
    },
    /// With the key of the last value.
    Object {
        table: Table,
        key: Value,
    },
}

/// A field's value. The binding rounds what is next to nothing to an integer: only the number itself tells.
fn exact(table: &Table, key: &Value, value: Value) -> Result<Value> {
    match value {
        Value::Integer(0) => Ok(Value::Number(table.raw_get(key)?)),
        value => Ok(value),
    }
}

/// Bytes that are not written as they are.
const ESCAPED: [bool; 256] = {
    let mut escaped = [false; 256];
    let mut byte = 0;
    while byte < 32 {
        escaped[byte] = true;
        byte += 1;
    }
    escaped[b'"' as usize] = true;
    escaped[b'\\' as usize] = true;
    escaped[b'/' as usize] = true;
    escaped[127] = true;
    escaped
};
