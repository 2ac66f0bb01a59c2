//! Bitmaps, which are strings: <https://redis.io/docs/latest/develop/data-types/bitmaps/>.
//!
//! Bit 0 is the highest of byte 0. The table entries are in `table.rs`, BITOP in `operation.rs`, BITFIELD in `field.rs`,
//! what is done with bits of a slice in `bits.rs`.

mod bits;
mod field;
mod operation;
mod table;

use quiver_resp::Argv;
use quiver_structures::Value;

use super::args::{integer, is};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::{Key, Text};
use crate::notify::Class;
use crate::number::parse_i64;

pub use table::COMMANDS;

fn setbit(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let offset = bit_offset(ctx, argv.at(2), None)?;
    let on = match integer(argv.at(3)) {
        Ok(0) => false,
        Ok(1) => true,
        _ => return Err(CommandError::text("ERR bit is not an integer or out of range")),
    };
    let key = ctx.first_key(argv);
    let (at, mask) = ((offset / 8) as usize, 0x80_u8 >> (offset % 8));
    let dirty = ctx.ks.dirty;
    let grew = grow(ctx, key, at + 1)?;
    let mut entry = ctx.ks.get_mut(key).expect("the string was just made long enough");
    let old = Text::of(entry.value())?.as_bytes()[at];
    let was_on = old & mask != 0;
    if was_on != on {
        entry.write_at(at, &[old ^ mask]);
    }
    if (grew || was_on != on) && ctx.ks.dirty == dirty {
        ctx.ks.changed(&key);
    }
    if ctx.ks.dirty != dirty {
        ctx.ks.notify(Class::STRING, "setbit", key.name);
    }
    ctx.reply.integer(was_on.into());
    Ok(())
}

fn getbit(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let offset = bit_offset(ctx, argv.at(2), None)?;
    let key = ctx.first_key(argv);
    let text = ctx.ks.string(key)?;
    let byte = text.and_then(|text| text.as_bytes().get((offset / 8) as usize).copied()).unwrap_or(0);
    ctx.reply.integer((byte >> (7 - offset % 8) & 1).into());
    Ok(())
}

fn bitcount(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let range = match argv.len() {
        2 => None,
        4 | 5 => Some((integer(argv.at(2))?, integer(argv.at(3))?)),
        _ => return Err(CommandError::Syntax),
    };
    let unit = Unit::parse(argv.get(4))?;
    let key = ctx.first_key(argv);
    let text = ctx.ks.string(key)?;
    let bytes = text.as_ref().map_or(&b""[..], Text::as_bytes);
    let bits = match range {
        // Only this order is empty before the ends are clipped.
        Some((start, end)) if start < 0 && end < 0 && start > end => None,
        Some((start, end)) => unit.clip(start, end, bytes.len()),
        None => Unit::Byte.clip(0, -1, bytes.len()),
    };
    let count = bits.map_or(0, |(first, last)| bits::count(bytes, first, last));
    ctx.reply.integer(count as i64);
    Ok(())
}

fn bitpos(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let bit = match integer(argv.at(2))? {
        0 => false,
        1 => true,
        _ => return Err(CommandError::text("ERR The bit argument must be 1 or 0.")),
    };
    if argv.len() > 6 {
        return Err(CommandError::Syntax);
    }
    let start = argv.get(3).map_or(Ok(0), integer)?;
    let unit = Unit::parse(argv.get(5))?;
    let end = argv.get(4).map(integer).transpose()?;
    let key = ctx.first_key(argv);
    let found = match ctx.ks.string(key)? {
        // What is not there is all zero bits, without an end.
        None if bit => None,
        None => Some(0),
        Some(text) => {
            let bytes = text.as_bytes();
            let range = unit.clip(start, end.unwrap_or(-1), bytes.len());
            let found = range.and_then(|(first, last)| bits::find(bytes, bit, first, last));
            // So is what lies behind the string, as long as no end was given.
            let behind = range.filter(|_| !bit && end.is_none()).map(|(_, last)| last + 1);
            found.or(behind)
        }
    };
    ctx.reply.integer(found.map_or(-1, |at| at as i64));
    Ok(())
}

/// What a range counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Byte,
    Bit,
}

impl Unit {
    fn parse(word: Option<&[u8]>) -> Result<Self, CommandError> {
        match word {
            None => Ok(Self::Byte),
            Some(word) if is(word, "byte") => Ok(Self::Byte),
            Some(word) if is(word, "bit") => Ok(Self::Bit),
            Some(_) => Err(CommandError::Syntax),
        }
    }

    /// First and last bit of a range, negative ends counted from the end of so many bytes; `None` when it is empty.
    fn clip(self, start: i64, end: i64, len: usize) -> Option<(u64, u64)> {
        let total = if self == Self::Bit { len as i64 * 8 } else { len as i64 };
        let from = |at: i64| if at < 0 { at.saturating_add(total).max(0) } else { at };
        let (start, end) = (from(start), from(end).min(total - 1));
        if start > end {
            return None;
        }
        let (start, end) = (start as u64, end as u64);
        Some(if self == Self::Bit { (start, end) } else { (start * 8, end * 8 + 7) })
    }
}

/// The place of a bit. With a `width`, "#n" is the place of the n-th field of so many bits.
fn bit_offset(ctx: &Ctx<'_>, text: &[u8], width: Option<u32>) -> Result<u64, CommandError> {
    const RANGE: CommandError = CommandError::text("ERR bit offset is not an integer or out of range");
    let offset = match (text, width) {
        ([b'#', index @ ..], Some(width)) => parse_i64(index).and_then(|index| index.checked_mul(width.into())),
        _ => parse_i64(text),
    };
    let offset = offset.and_then(|offset| u64::try_from(offset).ok()).ok_or(RANGE)?;
    if offset / 8 < ctx.engine.config.proto_max_bulk_len() as u64 { Ok(offset) } else { Err(RANGE) }
}

/// Makes the string under a key at least so many bytes long, filling up with zero bytes, and marks it edited as Redis
/// does even where nothing is missing. Whether it became longer; a string made here counts as a change.
fn grow(ctx: &mut Ctx<'_>, key: Key<'_>, len: usize) -> Result<bool, CommandError> {
    let Some(entry) = ctx.ks.peek(key) else {
        store_raw(ctx, key, vec![0; len]);
        return Ok(true);
    };
    let grows = Text::of(entry.value())?.as_bytes().len() < len;
    let mut entry = ctx.ks.get_mut(key).expect("the key was just read");
    if grows {
        entry.write_at(len - 1, &[0]);
    } else {
        entry.write_at(0, &[]);
    }
    Ok(grows)
}

/// Stores bytes that OBJECT ENCODING calls raw whatever they are, as Redis does with what it computed; a change.
pub(in crate::commands) fn store_raw(ctx: &mut Ctx<'_>, key: Key<'_>, bytes: Vec<u8>) {
    ctx.ks.set(key, Value::Owned(bytes), None);
    if let Some(mut entry) = ctx.ks.get_mut(key) {
        entry.write_at(0, &[]);
    }
}
