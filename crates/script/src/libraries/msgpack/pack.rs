//! Lua values to MessagePack.

use std::cell::RefCell;

use mlua::{Lua, MultiValue, Result, Table, Value};

use super::PACK_DEPTH_MAX;
use crate::libraries::args::Args;
use crate::libraries::number::to_i64;
use crate::libraries::pace::{Pace, within_memory};

/// `cmsgpack.pack(...)`.
pub(super) fn pack(lua: &Lua, values: MultiValue) -> Result<Value> {
    if values.is_empty() {
        return Err(Args::new(lua, "pack", values).error(0, "MessagePack pack needs input."));
    }
    let mut writer = Writer { out: Vec::new(), pace: Pace::new(lua) };
    values.iter().try_for_each(|value| writer.value(value, 0))?;
    Ok(Value::String(lua.create_string(&writer.out)?))
}

struct Writer<'a> {
    out: Vec<u8>,
    pace: Pace<'a>,
}

/// The first bytes of a format in its widths of 8, 16 and 32 bits.
type Widths = [Option<u8>; 3];

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<()> {
        self.pace.step(1)?;
        match value {
            Value::String(text) => {
                let text = text.as_bytes();
                within_memory(self.out.len() + text.len())?;
                self.pace.step(text.len() as u64 / 64)?;
                self.header(text.len(), 0xA0, 31, [Some(0xD9), Some(0xDA), Some(0xDB)]);
                self.out.extend_from_slice(&text);
            }
            Value::Integer(number) => self.integer(*number),
            Value::Number(number) => self.number(*number),
            Value::Boolean(false) => self.out.push(0xC2),
            Value::Boolean(true) => self.out.push(0xC3),
            Value::Table(table) if depth < PACK_DEPTH_MAX => return self.table(table, depth + 1),
            // Nil, and whatever has no form: functions, coroutines, userdata.
            _ => self.out.push(0xC0),
        }
        within_memory(self.out.len())
    }

    /// A length, within the first byte where it fits there.
    fn header(&mut self, length: usize, fixed: u8, fixed_max: usize, widths: Widths) {
        let [eight, sixteen, long] = widths;
        if length <= fixed_max {
            self.out.push(fixed | length as u8);
        } else if let (Some(first), Ok(length)) = (eight, u8::try_from(length)) {
            self.out.extend_from_slice(&[first, length]);
        } else if let (Some(first), Ok(length)) = (sixteen, u16::try_from(length)) {
            self.out.push(first);
            self.out.extend_from_slice(&length.to_be_bytes());
        } else if let Some(first) = long {
            self.out.push(first);
            // What a script has in memory is shorter than 4 GiB.
            self.out.extend_from_slice(&(length as u32).to_be_bytes());
        }
    }

    fn integer(&mut self, number: i64) {
        let out = &mut self.out;
        match number {
            0..=0x7F => out.push(number as u8),
            -32..=-1 => out.push(number as i8 as u8),
            0..=0xFF => out.extend_from_slice(&[0xCC, number as u8]),
            0..=0xFFFF => put(out, 0xCD, &(number as u16).to_be_bytes()),
            0..=0xFFFF_FFFF => put(out, 0xCE, &(number as u32).to_be_bytes()),
            0.. => put(out, 0xCF, &number.to_be_bytes()),
            -128.. => out.extend_from_slice(&[0xD0, number as i8 as u8]),
            -0x8000.. => put(out, 0xD1, &(number as i16).to_be_bytes()),
            -0x8000_0000.. => put(out, 0xD2, &(number as i32).to_be_bytes()),
            _ => put(out, 0xD3, &number.to_be_bytes()),
        }
    }

    fn number(&mut self, number: f64) {
        let whole = to_i64(number);
        if number.is_finite() && whole as f64 == number {
            self.integer(whole);
        } else if f64::from(number as f32) == number {
            put(&mut self.out, 0xCA, &(number as f32).to_be_bytes());
        } else {
            put(&mut self.out, 0xCB, &number.to_be_bytes());
        }
    }

    fn table(&mut self, table: &Table, depth: usize) -> Result<()> {
        match self.shape(table)? {
            Shape::Array => {
                let length = table.raw_len();
                self.header(length, 0x90, 15, [None, Some(0xDC), Some(0xDD)]);
                for index in 1..=length {
                    match table.raw_get(index)? {
                        // The binding rounds what is next to nothing: only the number itself tells.
                        Value::Integer(0) => self.number(table.raw_get(index)?),
                        value => self.value(&value, depth)?,
                    }
                }
            }
            Shape::Map(length) => {
                self.header(length, 0x80, 15, [None, Some(0xDE), Some(0xDF)]);
                // The closure cannot hold the writer while it also borrows it for nested values.
                let writer = RefCell::new(self);
                table.for_each(|key: Value, value: Value| {
                    let writer = &mut **writer.borrow_mut();
                    writer.value(&key, depth)?;
                    match value {
                        Value::Integer(0) => writer.number(table.raw_get(key)?),
                        value => writer.value(&value, depth)?,
                    }
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    fn shape(&self, table: &Table) -> Result<Shape> {
        let (mut max, mut count, mut indices) = (0i64, 0usize, true);
        table.for_each(|key: Value, _: bool| {
            match key {
                Value::Integer(key) if key > 0 && key <= i64::from(i32::MAX) => max = max.max(key),
                _ => indices = false,
            }
            count += 1;
            self.pace.step(1)
        })?;
        Ok(if indices && max == count as i64 { Shape::Array } else { Shape::Map(count) })
    }
}

/// What a table is packed as.
enum Shape {
    Array,
    /// With so many pairs.
    Map(usize),
}

fn put(out: &mut Vec<u8>, first: u8, rest: &[u8]) {
    out.push(first);
    out.extend_from_slice(rest);
}
