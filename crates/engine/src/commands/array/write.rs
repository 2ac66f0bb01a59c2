//! Commands that change an array. Every index is read before the first element changes.

use quiver_resp::Argv;

use super::{INVALID_INDEX, index, unsigned};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::Key;
use crate::notify::Class;
use crate::number::parse_u64;
use crate::types::array::{Array, INDEX_MAX};

pub(super) fn arset(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (key, first, values) = (ctx.first_key(argv), index(argv.at(2))?, argv.from(3));
    let last = first.checked_add(values.len() as u64 - 1).filter(|last| *last <= INDEX_MAX).ok_or(INVALID_INDEX)?;
    let array = ctx.ks.value_or_new::<Array>(key)?;
    let added = (first..=last).zip(values.iter()).filter(|(index, value)| array.set(*index, value)).count();
    changed(ctx, key, values.len());
    ctx.reply.integer(added as i64);
    Ok(())
}

pub(super) fn armset(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    if argv.len() % 2 == 1 {
        return Err(CommandError::Arity("armset".into()));
    }
    let key = ctx.first_key(argv);
    let pair = |i| Ok((index(argv.at(i))?, argv.at(i + 1)));
    let pairs: Vec<(u64, &[u8])> = (2..argv.len()).step_by(2).map(pair).collect::<Result<_, CommandError>>()?;
    let array = ctx.ks.value_or_new::<Array>(key)?;
    let added = pairs.iter().filter(|(index, value)| array.set(*index, value)).count();
    changed(ctx, key, pairs.len());
    ctx.reply.integer(added as i64);
    Ok(())
}

/// Notes that `count` elements changed.
fn changed(ctx: &mut Ctx<'_>, key: Key<'_>, count: usize) {
    ctx.ks.changed(&key);
    ctx.ks.dirty += count as u64 - 1;
}

pub(super) fn ardel(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let indexes: Vec<u64> = argv.from(2).iter().map(index).collect::<Result<_, _>>()?;
    let removed = match ctx.ks.value_mut::<Array>(key)? {
        Some(array) => indexes.iter().filter(|index| array.remove(**index)).count(),
        None => 0,
    };
    removed_some(ctx, key, removed);
    Ok(())
}

pub(super) fn ardelrange(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    if argv.len() % 2 == 1 {
        return Err(CommandError::Arity("ardelrange".into()));
    }
    let key = ctx.first_key(argv);
    let range = |i| Ok((index(argv.at(i))?, index(argv.at(i + 1))?));
    let ranges: Vec<(u64, u64)> = (2..argv.len()).step_by(2).map(range).collect::<Result<_, CommandError>>()?;
    let removed = match ctx.ks.value_mut::<Array>(key)? {
        Some(array) => ranges.iter().map(|(a, b)| array.remove_range(*a.min(b), *a.max(b))).sum(),
        None => 0,
    };
    removed_some(ctx, key, removed);
    Ok(())
}

fn removed_some(ctx: &mut Ctx<'_>, key: Key<'_>, removed: usize) {
    if removed > 0 {
        changed(ctx, key, removed);
        if ctx.ks.delete_if_empty(key) {
            ctx.ks.notify(Class::GENERIC, "del", key.name);
        }
    }
    ctx.reply.integer(removed as i64);
}

pub(super) fn arinsert(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (key, values) = (ctx.first_key(argv), argv.from(2));
    let array = ctx.ks.value_mut::<Array>(key)?;
    let next = array.map_or(Some(0), |array| array.next_append());
    let last = next.and_then(|next| next.checked_add(values.len() as u64 - 1)).filter(|last| *last <= INDEX_MAX);
    let last = last.ok_or(CommandError::text("ERR insert index overflow"))?;
    let array = ctx.ks.value_or_new::<Array>(key)?;
    for value in values.iter() {
        array.append(value);
    }
    changed(ctx, key, values.len());
    unsigned(&mut ctx.reply, last);
    Ok(())
}

pub(super) fn arring(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (key, values) = (ctx.first_key(argv), argv.from(3));
    let size = parse_u64(argv.at(2)).filter(|size| (1..=INDEX_MAX).contains(size));
    let size = size.ok_or(CommandError::text("ERR invalid ring size"))?;
    let array = ctx.ks.value_or_new::<Array>(key)?;
    array.fit_ring(size);
    let mut last = 0;
    for value in values.iter() {
        last = array.append_to_ring(size, value);
    }
    changed(ctx, key, values.len());
    unsigned(&mut ctx.reply, last);
    Ok(())
}

pub(super) fn arseek(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (key, index) = (ctx.first_key(argv), parse_u64(argv.at(2)).ok_or(INVALID_INDEX)?);
    let there = match ctx.ks.value_mut::<Array>(key)? {
        Some(array) => {
            array.seek(index);
            ctx.ks.changed(&key);
            true
        }
        None => false,
    };
    ctx.reply.integer(there.into());
    Ok(())
}
