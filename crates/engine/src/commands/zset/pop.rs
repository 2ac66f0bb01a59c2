//! The commands that take out lowest or highest members: ZPOPMIN, ZPOPMAX, ZMPOP, and those that wait for some.

use quiver_resp::{Argv, Encoder, Protocol};
use smallvec::SmallVec;

use super::super::args::is;
use super::removed_some;
use crate::blocking::{self, Absent};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::Key;
use crate::number::{IntText, parse_i64};
use crate::types::zset::SortedSet;

/// Which end members are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Min,
    Max,
}

impl End {
    /// The command that takes from this end, by which others are replayed.
    const fn command(self) -> &'static str {
        match self {
            Self::Min => "ZPOPMIN",
            Self::Max => "ZPOPMAX",
        }
    }

    const fn event(self) -> &'static str {
        match self {
            Self::Min => "zpopmin",
            Self::Max => "zpopmax",
        }
    }
}

/// Members with their scores.
type Taken = SmallVec<[(Vec<u8>, f64); 1]>;

pub(super) fn zpopmin(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    pop(ctx, argv, End::Min)
}

pub(super) fn zpopmax(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    pop(ctx, argv, End::Max)
}

fn pop(ctx: &mut Ctx<'_>, argv: Argv<'_>, end: End) -> CommandResult {
    if argv.len() > 3 {
        return Err(CommandError::Syntax);
    }
    let count = match argv.get(2) {
        Some(text) => parse_i64(text).and_then(|n| usize::try_from(n).ok()).ok_or(CommandError::MustBePositive)?,
        None => 1,
    };
    let taken = take(ctx, ctx.first_key(argv), end, count)?;
    let nested = argv.len() == 3 && ctx.reply.protocol() == Protocol::Resp3;
    ctx.reply.array(if nested { taken.len() } else { taken.len() * 2 });
    for (member, score) in &taken {
        if nested {
            ctx.reply.array(2);
        }
        ctx.reply.bulk(member);
        ctx.reply.double(*score);
    }
    Ok(())
}

pub(super) fn zmpop(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let request = Request::parse(argv, 1)?;
    if !request.take_first(ctx, argv)? {
        ctx.reply.null_array();
    }
    Ok(())
}

pub(super) fn bzmpop(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let request = Request::parse(argv, 2)?;
    let deadline = blocking::deadline(argv.at(1), ctx.ks.now_ms)?;
    if request.take_first(ctx, argv)? {
        return Ok(());
    }
    if ctx.may_block() {
        let keys = argv.iter().skip(request.first_key).take(request.keys);
        ctx.block_on(keys, deadline, Absent::NullArray, argv.to_owned());
    } else {
        ctx.reply.null_array();
    }
    Ok(())
}

pub(super) fn bzpopmin(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    blocking_pop(ctx, argv, End::Min)
}

pub(super) fn bzpopmax(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    blocking_pop(ctx, argv, End::Max)
}

fn blocking_pop(ctx: &mut Ctx<'_>, argv: Argv<'_>, end: End) -> CommandResult {
    let last = argv.len() - 1;
    let deadline = blocking::deadline(argv.at(last), ctx.ks.now_ms)?;
    for name in argv.iter().skip(1).take(last - 1) {
        let taken = take(ctx, ctx.key(name), end, 1)?;
        let Some((member, score)) = taken.first() else { continue };
        ctx.replay_as(&[end.command().as_bytes(), name]);
        ctx.reply.array(3);
        ctx.reply.bulk(name);
        ctx.reply.bulk(member);
        ctx.reply.double(*score);
        return Ok(());
    }
    if ctx.may_block() {
        let keys = argv.iter().skip(1).take(last - 1);
        ctx.block_on(keys, deadline, Absent::NullArray, argv.to_owned());
    } else {
        ctx.reply.null_array();
    }
    Ok(())
}

/// The words of ZMPOP and BZMPOP from the number of keys on.
struct Request {
    first_key: usize,
    keys: usize,
    end: End,
    count: usize,
}

impl Request {
    fn parse(argv: Argv<'_>, at: usize) -> Result<Self, CommandError> {
        let positive = |text: &[u8]| parse_i64(text).and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
        let keys = positive(argv.at(at)).ok_or(CommandError::text("ERR numkeys should be greater than 0"))?;
        let first_key = at + 1;
        let word = first_key.checked_add(keys).and_then(|at| argv.get(at)).ok_or(CommandError::Syntax)?;
        let end = match word {
            word if is(word, "min") => End::Min,
            word if is(word, "max") => End::Max,
            _ => return Err(CommandError::Syntax),
        };
        let rest = first_key + keys + 1;
        let count = match (argv.get(rest), argv.get(rest + 1)) {
            (None, _) => 1,
            (Some(word), Some(count)) if is(word, "count") => {
                positive(count).ok_or(CommandError::text("ERR count should be greater than 0"))?
            }
            _ => return Err(CommandError::Syntax),
        };
        if argv.len() > rest + 2 {
            return Err(CommandError::Syntax);
        }
        Ok(Self { first_key, keys, end, count })
    }

    /// Takes from the first key that has something and answers; `false` when none has.
    fn take_first(&self, ctx: &mut Ctx<'_>, argv: Argv<'_>) -> Result<bool, CommandError> {
        for name in argv.iter().skip(self.first_key).take(self.keys) {
            let taken = take(ctx, ctx.key(name), self.end, self.count)?;
            if taken.is_empty() {
                continue;
            }
            let count = IntText::new(taken.len() as i64);
            ctx.replay_as(&[self.end.command().as_bytes(), name, count.as_bytes()]);
            write_taken(&mut ctx.reply, name, &taken);
            return Ok(true);
        }
        Ok(false)
    }
}

fn write_taken(reply: &mut Encoder<'_>, name: &[u8], taken: &Taken) {
    reply.array(2);
    reply.bulk(name);
    reply.array(taken.len());
    for (member, score) in taken {
        reply.array(2);
        reply.bulk(member);
        reply.double(*score);
    }
}

/// Takes up to `count` members from one end of the set under a key.
fn take(ctx: &mut Ctx<'_>, key: Key<'_>, end: End, count: usize) -> Result<Taken, CommandError> {
    let Some(set) = ctx.ks.value_mut::<SortedSet>(key)? else { return Ok(Taken::new()) };
    let len = set.len();
    let count = count.min(len);
    let ranks = match end {
        End::Min => 0..count,
        End::Max => len - count..len,
    };
    let mut taken = Taken::with_capacity(count);
    set.visit(ranks.clone(), end == End::Max, &mut |member, score| {
        taken.push((member.to_vec(), score));
        true
    });
    set.remove_range(ranks);
    removed_some(ctx, key, count, end.event());
    Ok(taken)
}
