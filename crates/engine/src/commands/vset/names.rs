//! VRANDMEMBER and VRANGE: names at random and in order.

use quiver_resp::Argv;

use super::{arity, set_at};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::number::parse_i64;

/// Most repeated picks of one VRANDMEMBER: the reply is built in memory.
const PICKS_MAX: i64 = 1 << 20;

/// Most bytes of repeated picks.
const REPLY_BYTES_MAX: usize = 512 * 1024 * 1024;

pub(super) fn vrandmember(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let count = match argv.get(2) {
        _ if argv.len() > 3 => return Err(arity("VRANDMEMBER")),
        None => None,
        Some(text) => Some(parse_i64(text).ok_or(CommandError::text("ERR COUNT value is not an integer"))?),
    };
    if count.is_some_and(|count| count < -PICKS_MAX) {
        return Err(CommandError::OutOfRange);
    }
    if count == Some(0) {
        // As in Redis, whatever the key holds.
        ctx.reply.array(0);
        return Ok(());
    }
    let (set, as_of) = (set_at(ctx, argv)?, ctx.ks.as_of());
    match (set, count) {
        (None, None) => ctx.reply.null(),
        (None, Some(_)) => ctx.reply.array(0),
        (Some(set), None) => match set.read().random(ctx.rng, as_of) {
            Some(name) => ctx.reply.bulk(name),
            None => ctx.reply.null(),
        },
        (Some(set), Some(count)) if count >= 0 => {
            let set = set.read();
            let names = set.random_distinct(usize::try_from(count).unwrap_or(usize::MAX), ctx.rng, as_of);
            ctx.reply.array(names.len());
            names.iter().for_each(|name| ctx.reply.bulk(name));
        }
        (Some(set), Some(count)) => {
            let set = set.read();
            if set.random(ctx.rng, as_of).is_none() {
                ctx.reply.array(0);
                return Ok(());
            }
            let start = ctx.reply.position();
            ctx.reply.array(count.unsigned_abs() as usize);
            for _ in 0..count.unsigned_abs() {
                if ctx.reply.position() - start > REPLY_BYTES_MAX {
                    return Err(CommandError::text("ERR the reply would be too large"));
                }
                ctx.reply.bulk(set.random(ctx.rng, as_of).expect("there was one a moment ago"));
            }
        }
    }
    Ok(())
}

/// One end of a range of names.
#[derive(Clone, Copy)]
enum Bound<'a> {
    Min,
    Max,
    Included(&'a [u8]),
    Excluded(&'a [u8]),
}

impl<'a> Bound<'a> {
    fn parse(text: &'a [u8]) -> Result<Self, CommandError> {
        match text {
            b"-" => Ok(Self::Min),
            b"+" => Ok(Self::Max),
            [b'[', name @ ..] => Ok(Self::Included(name)),
            [b'(', name @ ..] => Ok(Self::Excluded(name)),
            _ => Err(CommandError::text("ERR start and end must be -, + or begin with [ or (")),
        }
    }

    fn is_below(self, name: &[u8]) -> bool {
        match self {
            Self::Min => true,
            Self::Max => false,
            Self::Included(bound) => bound <= name,
            Self::Excluded(bound) => bound < name,
        }
    }

    fn is_above(self, name: &[u8]) -> bool {
        match self {
            Self::Min => false,
            Self::Max => true,
            Self::Included(bound) => name <= bound,
            Self::Excluded(bound) => name < bound,
        }
    }
}

/// Names are not kept in order: every call reads all of them and sorts what it returns.
pub(super) fn vrange(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let count = match argv.get(4) {
        _ if argv.len() > 5 => return Err(arity("VRANGE")),
        None => -1,
        Some(text) => parse_i64(text).ok_or(CommandError::text("ERR COUNT value is not an integer"))?,
    };
    let (start, end) = (Bound::parse(argv.at(2))?, Bound::parse(argv.at(3))?);
    if matches!(start, Bound::Max) || matches!(end, Bound::Min) {
        return Err(CommandError::text("ERR '-' can only be used as first argument, '+' only as second"));
    }
    let Some(set) = set_at(ctx, argv)? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let as_of = ctx.ks.as_of();
    ctx.ks.release();
    let set = set.read();
    let mut names: Vec<&[u8]> =
        set.names_seen(as_of).filter(|name| start.is_below(name) && end.is_above(name)).collect();
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count < names.len() {
        names.select_nth_unstable(count);
        names.truncate(count);
    }
    names.sort_unstable();
    ctx.reply.array(names.len());
    names.iter().for_each(|name| ctx.reply.bulk(name));
    Ok(())
}
