//! Commands that take elements from the ends of lists, at once or when there are some: LPOP, LMPOP, BLPOP and so on.

use quiver_resp::Argv;

use super::{bulk, drop_end, end_word, limits, pop_event, removed};
use crate::blocking::{Absent, deadline};
use crate::command::CommandResult;
use crate::commands::args::is;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::Key;
use crate::number::{IntText, parse_i64};
use crate::types::list::{End, List};

pub(super) fn lpop(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    pop(ctx, argv, End::Left)
}

pub(super) fn rpop(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    pop(ctx, argv, End::Right)
}

fn pop(ctx: &mut Ctx<'_>, argv: Argv<'_>, end: End) -> CommandResult {
    if argv.len() > 3 {
        return Err(CommandError::Arity(ctx.entry.full_name.into()));
    }
    let count = match argv.get(2) {
        None => None,
        Some(text) => {
            let count = parse_i64(text).and_then(|count| usize::try_from(count).ok());
            Some(count.ok_or(CommandError::MustBePositive)?)
        }
    };
    let (key, limits) = (ctx.first_key(argv), limits(ctx));
    let Some(list) = ctx.ks.value_mut::<List>(key)? else {
        if count.is_some() {
            ctx.reply.null_array();
        } else {
            ctx.reply.null();
        }
        return Ok(());
    };
    match count {
        Some(0) => {
            ctx.reply.array(0);
            return Ok(());
        }
        Some(count) => {
            take_many(ctx, key, end, count)?;
        }
        None => {
            if let Some(item) = list.peek(end) {
                bulk(&mut ctx.reply, item);
            }
            let is_empty = drop_end(list, end, 1, limits);
            removed(ctx, key, pop_event(end), 1, is_empty);
        }
    }
    Ok(())
}

/// Answers up to `count` elements from an end as an array and takes them away; how many there were.
fn take_many(ctx: &mut Ctx<'_>, key: Key<'_>, end: End, count: usize) -> Result<usize, CommandError> {
    let limits = limits(ctx);
    let Some(list) = ctx.ks.value_mut::<List>(key)? else { return Ok(0) };
    let (len, count) = (list.len(), count.min(list.len()));
    ctx.reply.array(count);
    let elements = match end {
        End::Left => list.iter(),
        End::Right => list.iter_back_from(len - 1),
    };
    elements.take(count).for_each(|item| bulk(&mut ctx.reply, item));
    let is_empty = drop_end(list, end, count, limits);
    removed(ctx, key, pop_event(end), count, is_empty);
    Ok(count)
}

pub(super) fn blpop(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    blocking_pop(ctx, argv, End::Left)
}

pub(super) fn brpop(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    blocking_pop(ctx, argv, End::Right)
}

fn blocking_pop(ctx: &mut Ctx<'_>, argv: Argv<'_>, end: End) -> CommandResult {
    let last = argv.len() - 1;
    let (deadline_ms, limits) = (deadline(argv.at(last), ctx.ks.now_ms)?, limits(ctx));
    let keys = || (1..last).map(|at| argv.at(at));
    for name in keys() {
        let key = ctx.key(name);
        let Some(list) = ctx.ks.value_mut::<List>(key)? else { continue };
        ctx.reply.array(2);
        ctx.reply.bulk(name);
        if let Some(item) = list.peek(end) {
            bulk(&mut ctx.reply, item);
        }
        let is_empty = drop_end(list, end, 1, limits);
        removed(ctx, key, pop_event(end), 1, is_empty);
        ctx.replay_as(&[pop_name(end), name]);
        return Ok(());
    }
    if ctx.may_block() {
        ctx.block_on(keys(), deadline_ms, Absent::NullArray, argv.to_owned());
    } else {
        ctx.reply.null_array();
    }
    Ok(())
}

/// The command that repeats a pop.
const fn pop_name(end: End) -> &'static [u8] {
    match end {
        End::Left => b"LPOP",
        End::Right => b"RPOP",
    }
}

/// What LMPOP and BLMPOP ask for: keys, end, number of elements.
struct ManyKeys {
    /// Places of the keys in the argument vector.
    keys: std::ops::Range<usize>,
    end: End,
    count: usize,
}

impl ManyKeys {
    /// Reads from the number of keys on.
    fn parse(argv: Argv<'_>, at: usize) -> Result<Self, CommandError> {
        let number = |text, error| parse_i64(text).filter(|n| *n > 0).ok_or(CommandError::text(error));
        let keys = number(argv.at(at), "ERR numkeys should be greater than 0")?;
        let end_at =
            usize::try_from(keys).ok().and_then(|keys| keys.checked_add(at + 1)).ok_or(CommandError::Syntax)?;
        let end = end_word(argv.get(end_at).ok_or(CommandError::Syntax)?)?;
        let mut count = None;
        let mut next = end_at + 1;
        while let Some(word) = argv.get(next) {
            match argv.get(next + 1) {
                Some(text) if count.is_none() && is(word, "count") => {
                    count = Some(number(text, "ERR count should be greater than 0")?);
                }
                _ => return Err(CommandError::Syntax),
            }
            next += 2;
        }
        let count = usize::try_from(count.unwrap_or(1)).unwrap_or(usize::MAX);
        Ok(Self { keys: at + 1..end_at, end, count })
    }

    /// Pops from the first list there is; `false`, and nothing answered, when there is none.
    fn pop(&self, ctx: &mut Ctx<'_>, argv: Argv<'_>) -> Result<bool, CommandError> {
        for at in self.keys.clone() {
            let key = ctx.key(argv.at(at));
            if ctx.ks.value_mut::<List>(key)?.is_none() {
                continue;
            }
            ctx.reply.array(2);
            ctx.reply.bulk(key.name);
            let count = take_many(ctx, key, self.end, self.count)?;
            ctx.replay_as(&[pop_name(self.end), key.name, IntText::new(count as i64).as_bytes()]);
            return Ok(true);
        }
        Ok(false)
    }
}

pub(super) fn lmpop(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let asked = ManyKeys::parse(argv, 1)?;
    if !asked.pop(ctx, argv)? {
        ctx.reply.null_array();
    }
    Ok(())
}

pub(super) fn blmpop(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let asked = ManyKeys::parse(argv, 2)?;
    let deadline_ms = deadline(argv.at(1), ctx.ks.now_ms)?;
    if asked.pop(ctx, argv)? {
        return Ok(());
    }
    if ctx.may_block() {
        let keys = asked.keys.map(|at| argv.at(at));
        ctx.block_on(keys, deadline_ms, Absent::NullArray, argv.to_owned());
    } else {
        ctx.reply.null_array();
    }
    Ok(())
}
