//! Lists: <https://redis.io/docs/latest/develop/data-types/lists/>.
//!
//! The table entries are in `table.rs`. Commands that take from the ends are in `pop.rs`, those that move elements from
//! list to list in `moves.rs`, those that look for elements in `search.rs`, the rest here. The value itself is
//! `types/list.rs`.

mod moves;
mod pop;
mod search;
mod table;

use std::ops::Range;

use quiver_resp::{Argv, Encoder};
use quiver_structures::listpack::Item;

use super::args::{integer, is};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::Key;
use crate::notify::Class;
use crate::types::list::{End, Limits, List};
pub use table::COMMANDS;

/// The limits of this moment.
pub(in crate::commands) fn limits(ctx: &Ctx<'_>) -> Limits {
    let plain_bytes = ctx.engine.state.quicklist_packed_threshold.load(std::sync::atomic::Ordering::Relaxed);
    Limits { fill: ctx.engine.config.list_max_listpack_size(), plain_bytes }
}

/// An element as a bulk string.
fn bulk(reply: &mut Encoder<'_>, item: Item<'_>) {
    match item {
        Item::Int(number) => reply.bulk_of_int(number),
        Item::Str(bytes) => reply.bulk(bytes),
    }
}

/// The word LEFT or RIGHT.
fn end_word(word: &[u8]) -> Result<End, CommandError> {
    match word {
        word if is(word, "left") => Ok(End::Left),
        word if is(word, "right") => Ok(End::Right),
        _ => Err(CommandError::Syntax),
    }
}

/// An index from the head, or from the tail when negative; `None` when it is out of range.
fn index_of(index: i64, len: usize) -> Option<usize> {
    let index = if index < 0 { index.checked_add(len as i64)? } else { index };
    usize::try_from(index).ok().filter(|index| *index < len)
}

/// `start` and `end` of LRANGE and LTRIM, clipped to a length. An end before the head makes the range empty.
fn range_of(start: i64, end: i64, len: usize) -> Range<usize> {
    let from_head = |index: i64| if index < 0 { index.saturating_add(len as i64) } else { index };
    let (start, end) = (from_head(start).max(0), from_head(end).min(len as i64 - 1));
    if start > end { 0..0 } else { start as usize..end as usize + 1 }
}

/// Notes that elements were taken out of a list. The key goes with the last of them.
fn removed(ctx: &mut Ctx<'_>, key: Key<'_>, event: &'static str, count: usize, is_empty: bool) {
    ctx.ks.changed(&key);
    ctx.ks.dirty = ctx.ks.dirty - 1 + count as u64;
    ctx.ks.notify(Class::LIST, event, key.name);
    if is_empty {
        ctx.ks.delete_if_empty(key);
        ctx.ks.notify(Class::GENERIC, "del", key.name);
    }
}

/// Takes elements away at an end, and makes a list that has become small a listpack; whether nothing is left.
fn drop_end(list: &mut List, end: End, count: usize, limits: Limits) -> bool {
    list.drop_end(end, count);
    list.shrink(limits, true);
    list.is_empty()
}

const fn push_event(end: End) -> &'static str {
    match end {
        End::Left => "lpush",
        End::Right => "rpush",
    }
}

const fn pop_event(end: End) -> &'static str {
    match end {
        End::Left => "lpop",
        End::Right => "rpop",
    }
}

fn lpush(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    push(ctx, argv, End::Left)
}

fn rpush(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    push(ctx, argv, End::Right)
}

fn lpushx(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    push_if_there(ctx, argv, End::Left)
}

fn rpushx(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    push_if_there(ctx, argv, End::Right)
}

fn push_if_there(ctx: &mut Ctx<'_>, argv: Argv<'_>, end: End) -> CommandResult {
    let key = ctx.first_key(argv);
    if ctx.ks.value_mut::<List>(key)?.is_none() {
        ctx.reply.integer(0);
        return Ok(());
    }
    push(ctx, argv, end)
}

fn push(ctx: &mut Ctx<'_>, argv: Argv<'_>, end: End) -> CommandResult {
    let (key, limits) = (ctx.first_key(argv), limits(ctx));
    let list = ctx.ks.value_or_new::<List>(key)?;
    let elements = argv.from(2);
    list.grow_for(elements.iter(), limits);
    elements.iter().for_each(|element| list.push(end, element, limits));
    let len = list.len();
    ctx.ks.changed(&key);
    ctx.ks.dirty += elements.len() as u64 - 1;
    ctx.ks.notify(Class::LIST, push_event(end), key.name);
    ctx.reply.integer(len as i64);
    Ok(())
}

fn llen(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let len = ctx.ks.value::<List>(key)?.map_or(0, List::len);
    ctx.reply.integer(len as i64);
    Ok(())
}

fn lindex(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let Some(list) = ctx.ks.value::<List>(key)? else {
        ctx.reply.null();
        return Ok(());
    };
    match index_of(integer(argv.at(2))?, list.len()).and_then(|index| list.get(index)) {
        Some(item) => bulk(&mut ctx.reply, item),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn lrange(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (start, end) = (integer(argv.at(2))?, integer(argv.at(3))?);
    let key = ctx.first_key(argv);
    let list = ctx.ks.value::<List>(key)?;
    let range = range_of(start, end, list.map_or(0, List::len));
    ctx.reply.array(range.len());
    let elements = list.into_iter().flat_map(|list| list.iter_from(range.start));
    elements.take(range.len()).for_each(|item| bulk(&mut ctx.reply, item));
    Ok(())
}

fn ltrim(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (start, end) = (integer(argv.at(2))?, integer(argv.at(3))?);
    let (key, limits) = (ctx.first_key(argv), limits(ctx));
    if let Some(list) = ctx.ks.value_mut::<List>(key)? {
        let len = list.len();
        let kept = range_of(start, end, len);
        list.drop_end(End::Right, len - kept.end);
        let is_empty = drop_end(list, End::Left, kept.start, limits);
        // Watchers are told even when everything is kept; it is not repeated elsewhere then.
        removed(ctx, key, "ltrim", len - kept.len(), is_empty);
    }
    ctx.reply.ok();
    Ok(())
}

fn lset(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (key, limits) = (ctx.first_key(argv), limits(ctx));
    let list = ctx.ks.value_mut::<List>(key)?.ok_or(CommandError::NoSuchKey)?;
    // Redis keeps 32 bits of this index, whatever they mean then.
    let index = i64::from(integer(argv.at(2))? as i32);
    list.grow_for(std::iter::once(argv.at(3)), limits);
    let index = index_of(index, list.len()).ok_or(CommandError::IndexRange)?;
    list.set(index, argv.at(3), limits);
    list.shrink(limits, true);
    ctx.ks.changed(&key);
    ctx.ks.notify(Class::LIST, "lset", key.name);
    ctx.reply.ok();
    Ok(())
}
