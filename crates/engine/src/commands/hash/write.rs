//! Commands that change a hash.

use quiver_resp::Argv;
use quiver_structures::listpack::Item;
use smallvec::SmallVec;

use super::super::args::integer;
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::extended::Extended;
use crate::keyspace::Key;
use crate::notify::Class;
use crate::number::{IntText, parse_i64};
use crate::types::hash::{AsOf, Hash, Limits};

pub(super) fn hset(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let added = set_pairs(ctx, argv, "hset")?;
    ctx.reply.integer(added as i64);
    Ok(())
}

pub(super) fn hmset(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    set_pairs(ctx, argv, "hmset")?;
    ctx.reply.ok();
    Ok(())
}

/// Stores the pairs behind the key; the number of new fields.
fn set_pairs(ctx: &mut Ctx<'_>, argv: Argv<'_>, name: &'static str) -> Result<usize, CommandError> {
    if argv.len() % 2 == 1 {
        return Err(CommandError::Arity(name.into()));
    }
    let (key, limits) = (ctx.first_key(argv), limits(ctx));
    ctx.ks.expire_fields(key, argv.from(2).iter().step_by(2));
    let pairs: SmallVec<[(&[u8], &[u8]); 16]> =
        (2..argv.len()).step_by(2).map(|i| (argv.at(i), argv.at(i + 1))).collect();
    let added = ctx.ks.value_or_new::<Hash>(key)?.set_all(&pairs, limits);
    ctx.ks.changed(&key);
    ctx.ks.dirty += pairs.len() as u64 - 1;
    ctx.ks.notify_fields(Class::HASH, "hset", key.name, pairs.iter().map(|(field, _)| *field));
    Ok(added)
}

pub(super) fn hsetnx(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (key, limits, as_of) = (ctx.first_key(argv), limits(ctx), ctx.ks.as_of());
    ctx.ks.expire_fields(key, [argv.at(2)].into_iter());
    let hash = ctx.ks.value_or_new::<Hash>(key)?;
    let is_new = !hash.contains(argv.at(2), as_of);
    if is_new {
        hash.set(argv.at(2), argv.at(3), limits);
        ctx.ks.changed(&key);
        ctx.ks.notify_fields(Class::HASH, "hset", key.name, [argv.at(2)].into_iter());
    }
    ctx.reply.integer(is_new.into());
    Ok(())
}

pub(super) fn hdel(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    ctx.ks.expire_fields(key, argv.from(2).iter());
    let removed = match ctx.ks.value_mut::<Hash>(key)? {
        Some(hash) => argv.from(2).iter().filter(|field| hash.remove(field)).collect::<SmallVec<[&[u8]; 8]>>(),
        None => SmallVec::new(),
    };
    if !removed.is_empty() {
        fields_deleted(ctx, key, &removed);
    }
    ctx.reply.integer(removed.len() as i64);
    Ok(())
}

/// What follows from a command having deleted fields.
pub(super) fn fields_deleted(ctx: &mut Ctx<'_>, key: Key<'_>, fields: &[&[u8]]) {
    ctx.ks.changed(&key);
    ctx.ks.dirty += fields.len() as u64 - 1;
    ctx.ks.notify_fields(Class::HASH, "hdel", key.name, fields.iter().copied());
    if ctx.ks.delete_if_empty(key) {
        ctx.ks.notify(Class::GENERIC, "del", key.name);
    }
}

pub(super) fn hincrby(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let by = integer(argv.at(3))?;
    let (key, limits, as_of) = (ctx.first_key(argv), limits(ctx), ctx.ks.as_of());
    ctx.ks.expire_fields(key, [argv.at(2)].into_iter());
    // A hash made here has no such field, so whatever is refused below was there before and stays as it was.
    let hash = ctx.ks.value_or_new::<Hash>(key)?;
    let old = match hash.get(argv.at(2), as_of) {
        None => 0,
        Some(Item::Int(number)) => number,
        Some(Item::Str(text)) => parse_i64(text).ok_or(CommandError::HashNotInteger)?,
    };
    let new = old.checked_add(by).ok_or(CommandError::Overflow)?;
    hash.set_keeping(argv.at(2), IntText::new(new).as_bytes(), limits);
    ctx.ks.changed(&key);
    ctx.ks.notify_fields(Class::HASH, "hincrby", key.name, [argv.at(2)].into_iter());
    ctx.reply.integer(new);
    Ok(())
}

pub(super) fn hincrbyfloat(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let by = Extended::parse(argv.at(3)).ok_or(CommandError::NotFloat)?;
    if !by.is_finite() {
        return Err(CommandError::text("ERR value is NaN or Infinity"));
    }
    let (key, limits, as_of) = (ctx.first_key(argv), limits(ctx), ctx.ks.as_of());
    ctx.ks.expire_fields(key, [argv.at(2)].into_iter());
    let hash = ctx.ks.value_or_new::<Hash>(key)?;
    let old = match hash.get(argv.at(2), as_of) {
        None => Extended::ZERO,
        Some(Item::Int(number)) => Extended::from(number),
        Some(Item::Str(text)) => Extended::parse(text).ok_or(CommandError::HashNotFloat)?,
    };
    let new = old.plus(by);
    if !new.is_finite() {
        return Err(CommandError::NanOrInfinity);
    }
    let text = new.text();
    hash.set_keeping(argv.at(2), text.as_bytes(), limits);
    let expire_at = hash.expiry(argv.at(2), AsOf::ALL).flatten();
    ctx.ks.changed(&key);
    ctx.ks.notify_fields(Class::HASH, "hincrbyfloat", key.name, [argv.at(2)].into_iter());
    // The sum is what replicas get: their arithmetic need not be asked. It takes the field's expiry away, so that is said
    // again.
    ctx.replay_as(&[b"HSET", key.name, argv.at(2), text.as_bytes()]);
    if let Some(at) = expire_at {
        let at = IntText::new(at);
        ctx.replay_as(&[b"HPEXPIREAT", key.name, at.as_bytes(), b"FIELDS", b"1", argv.at(2)]);
    }
    ctx.reply.bulk(text.as_bytes());
    Ok(())
}

/// What may be a listpack, from the configuration.
#[inline]
pub(crate) fn limits(ctx: &Ctx<'_>) -> Limits {
    let config = &ctx.engine.config;
    Limits { entries: config.hash_max_listpack_entries(), value_bytes: config.hash_max_listpack_value() }
}
