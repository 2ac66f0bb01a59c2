//! `struct`: C structures in strings, as the library of that name in Redis has it.
//!
//! A format is a list of letters: integers `bBhHlLTiI`, `f`, `d`, `x` for padding, `s` and `c` for strings, and `<`,
//! `>`, `!` for byte order and alignment, both of which are the machine's own (little endian, none) to start with.

use mlua::{Lua, MultiValue, Result, Value};

use super::args::Args;
use super::number::to_i64;
use super::pace::{Pace, within_memory};
use crate::raise;

/// Widest integer, in bytes.
const INTEGER_BYTES_MAX: i32 = 32;

/// Alignment of `!` without a number.
const ALIGN_DEFAULT: i32 = 8;

/// Most values one call gives: Lua's stack has room for no more.
const VALUES_MAX: usize = 7000;

/// Puts the table `struct` into the globals.
pub(crate) fn install(lua: &Lua) -> Result<()> {
    let table = lua.create_table()?;
    table.raw_set("pack", lua.create_function(pack)?)?;
    table.raw_set("unpack", lua.create_function(unpack)?)?;
    table.raw_set("size", lua.create_function(size)?)?;
    lua.globals().raw_set("struct", table)
}

/// A format being read.
struct Format<'a> {
    args: &'a Args<'a>,
    text: Vec<u8>,
    at: usize,
    little: bool,
    align: usize,
}

/// One letter of a format.
struct Field {
    letter: u8,
    bytes: usize,
}

impl<'a> Format<'a> {
    fn new(args: &'a Args<'a>) -> Result<Self> {
        let text = args.string(1)?.as_bytes().to_vec();
        Ok(Self { args, text, at: 0, little: cfg!(target_endian = "little"), align: 1 })
    }

    fn byte(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    /// The next letter with its width. Like a C string the format ends at a NUL.
    fn next(&mut self) -> Result<Option<Field>> {
        let letter = self.byte();
        if letter == 0 {
            return Ok(None);
        }
        self.at += 1;
        let bytes = match letter {
            b'B' | b'b' | b'x' => 1,
            b'H' | b'h' => 2,
            b'L' | b'l' | b'T' | b'd' => 8,
            b'f' => 4,
            b'c' => self.number(1)?,
            b'i' | b'I' => {
                let bytes = self.number(4)?;
                if bytes > INTEGER_BYTES_MAX {
                    let text = format!("integral size {bytes} is larger than limit of {INTEGER_BYTES_MAX}");
                    return Err(raise::error(self.args.lua, text));
                }
                bytes
            }
            _ => 0,
        };
        Ok(Some(Field { letter, bytes: bytes as usize }))
    }

    fn number(&mut self, default: i32) -> Result<i32> {
        if !self.byte().is_ascii_digit() {
            return Ok(default);
        }
        let mut number = 0i32;
        while self.byte().is_ascii_digit() {
            let digit = i32::from(self.byte() - b'0');
            let more = number.checked_mul(10).and_then(|number| number.checked_add(digit));
            number = more.ok_or_else(|| raise::error(self.args.lua, "integral size overflow"))?;
            self.at += 1;
        }
        Ok(number)
    }

    /// Bytes to the next place where a field may begin.
    fn padding(&self, at: usize, field: &Field) -> usize {
        if field.bytes == 0 || field.letter == b'c' {
            return 0;
        }
        let size = field.bytes.min(self.align);
        size.wrapping_sub(at & size.wrapping_sub(1)) & size.wrapping_sub(1)
    }

    /// A letter that is no field.
    fn control(&mut self, letter: u8) -> Result<()> {
        match letter {
            b' ' => {}
            b'>' => self.little = false,
            b'<' => self.little = true,
            b'!' => {
                let align = self.number(ALIGN_DEFAULT)?;
                if align <= 0 || align & (align - 1) != 0 {
                    return Err(raise::error(self.args.lua, format!("alignment {align} is not a power of 2")));
                }
                self.align = align as usize;
            }
            _ => {
                let text = format!("invalid format option '{}'", char::from(letter));
                return Err(self.args.error(1, text));
            }
        }
        Ok(())
    }

    fn ordered<const N: usize>(&self, mut bytes: [u8; N]) -> [u8; N] {
        if !self.little {
            bytes.reverse();
        }
        bytes
    }
}

/// `struct.pack(format, ...)`.
fn pack(lua: &Lua, values: MultiValue) -> Result<Value> {
    let args = Args::new(lua, "pack", values);
    let mut format = Format::new(&args)?;
    let (mut out, mut total, mut arg, pace) = (Vec::new(), 0usize, 2, Pace::new(lua));
    while let Some(field) = format.next()? {
        pace.step(1)?;
        let padding = format.padding(total, &field);
        within_memory(out.len() + padding + field.bytes)?;
        total += padding;
        out.resize(out.len() + padding, 0);
        let mut bytes = field.bytes;
        match field.letter {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                put_integer(&mut out, number(&args, arg)?, bytes, format.little);
                arg += 1;
            }
            b'x' => out.push(0),
            b'f' => {
                out.extend_from_slice(&format.ordered((number(&args, arg)? as f32).to_le_bytes()));
                arg += 1;
            }
            b'd' => {
                out.extend_from_slice(&format.ordered(number(&args, arg)?.to_le_bytes()));
                arg += 1;
            }
            b'c' | b's' => {
                let text = if args.get(arg).is_some() {
                    args.string(arg)?
                } else {
                    return Err(missing(&args, arg, "string"));
                };
                let text = text.as_bytes();
                arg += 1;
                if bytes == 0 {
                    bytes = text.len();
                }
                if text.len() < bytes {
                    return Err(args.error(arg, "string too short"));
                }
                within_memory(out.len() + bytes)?;
                pace.step(bytes as u64 / 64)?;
                out.extend_from_slice(&text[..bytes]);
                if field.letter == b's' {
                    out.push(0);
                    bytes += 1;
                }
            }
            letter => format.control(letter)?,
        }
        total += bytes;
    }
    Ok(Value::String(lua.create_string(&out)?))
}

fn number(args: &Args<'_>, at: usize) -> Result<f64> {
    if args.get(at).is_some() { args.number(at) } else { Err(missing(args, at, "number")) }
}

/// Redis has a nil behind the last argument, and that is what it names.
fn missing(args: &Args<'_>, at: usize, expected: &str) -> mlua::Error {
    args.error(at, format!("{expected} expected, got nil"))
}

/// The low bytes of an integer; beyond 64 bits there are zeros.
fn put_integer(out: &mut Vec<u8>, number: f64, bytes: usize, little: bool) {
    let value = if number < 0.0 { to_i64(number) as u64 } else { to_u64(number) };
    let start = out.len();
    out.extend(value.to_le_bytes().iter().chain([0; INTEGER_BYTES_MAX as usize].iter()).take(bytes));
    if !little {
        out[start..].reverse();
    }
}

/// As C casts a number that is not negative to 64 bits.
fn to_u64(number: f64) -> u64 {
    if number < 9_223_372_036_854_775_808.0 { to_i64(number) as u64 } else { number as u64 }
}

/// `struct.unpack(format, data[, offset])`: the values, and where the next begins.
fn unpack(lua: &Lua, values: MultiValue) -> Result<MultiValue> {
    let args = Args::new(lua, "unpack", values);
    let mut format = Format::new(&args)?;
    let data = args.string(2)?;
    let data = data.as_bytes();
    let offset = args.integer_or(3, 1)?;
    if offset == 0 {
        return Err(args.error(3, "offset must be 1 or greater"));
    }
    // A negative one counts as far behind the end of any data.
    let mut at = (offset as usize).wrapping_sub(1);
    let (mut found, pace): (Vec<Value>, _) = (Vec::new(), Pace::new(lua));
    while let Some(field) = format.next()? {
        pace.step(1)?;
        at = at.wrapping_add(format.padding(at, &field));
        let mut bytes = field.bytes;
        let slice = |at: usize, bytes: usize| {
            let end = at.checked_add(bytes);
            end.and_then(|end| data.get(at..end)).ok_or_else(|| args.error(2, "data string too short"))
        };
        let part = slice(at, bytes)?;
        if found.len() >= VALUES_MAX {
            return Err(raise::error(lua, "stack overflow (too many results)"));
        }
        match field.letter {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                found.push(Value::Number(get_integer(part, format.little, field.letter.is_ascii_lowercase())));
            }
            b'x' => {}
            b'f' => {
                let part = part.try_into().expect("four bytes were taken");
                found.push(Value::Number(f64::from(f32::from_le_bytes(format.ordered(part)))));
            }
            b'd' => {
                let part = part.try_into().expect("eight bytes were taken");
                found.push(Value::Number(f64::from_le_bytes(format.ordered(part))));
            }
            b'c' => {
                if bytes == 0 {
                    bytes = previous_size(lua, &mut found)?;
                }
                found.push(Value::String(lua.create_string(slice(at, bytes)?)?));
            }
            b's' => {
                let rest = slice(at, data.len().saturating_sub(at))?;
                let length = rest.iter().position(|byte| *byte == 0);
                let length = length.ok_or_else(|| raise::error(lua, "unfinished string in data"))?;
                found.push(Value::String(lua.create_string(&rest[..length])?));
                bytes = length + 1;
            }
            letter => format.control(letter)?,
        }
        at = at.wrapping_add(bytes);
    }
    found.push(Value::Integer(at.wrapping_add(1) as i64));
    Ok(MultiValue::from_iter(found))
}

/// The number before `c0`, which is the length of the string and no result.
fn previous_size(lua: &Lua, found: &mut Vec<Value>) -> Result<usize> {
    let last = found.last().cloned();
    let size = last.map(|last| lua.coerce_number(last)).transpose()?.flatten();
    let size = size.ok_or_else(|| raise::error(lua, "format 'c0' needs a previous size"))?;
    found.pop();
    Ok(to_u64(size) as usize)
}

fn get_integer(bytes: &[u8], little: bool, signed: bool) -> f64 {
    let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
    let value = if little { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) };
    if !signed {
        return value as f64;
    }
    // Wider than 64 bits the shift counts modulo 64, as the processor does it.
    let sign = u64::MAX.wrapping_shl((bytes.len() as u32 * 8).wrapping_sub(1));
    let value = if value & sign != 0 { value | sign } else { value };
    value as i64 as f64
}

/// `struct.size(format)`.
fn size(lua: &Lua, values: MultiValue) -> Result<Value> {
    let args = Args::new(lua, "size", values);
    let mut format = Format::new(&args)?;
    let (mut at, pace) = (0usize, Pace::new(lua));
    while let Some(field) = format.next()? {
        pace.step(1)?;
        at = at.wrapping_add(format.padding(at, &field));
        match field.letter {
            b's' => return Err(args.error(1, "option 's' has no fixed size")),
            b'c' if field.bytes == 0 => return Err(args.error(1, "option 'c0' has no fixed size")),
            letter if !letter.is_ascii_alphanumeric() => format.control(letter)?,
            _ => {}
        }
        at = at.wrapping_add(field.bytes);
    }
    Ok(Value::Integer(at as i64))
}
