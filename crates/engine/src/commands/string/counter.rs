//! Numbers in strings: INCR and its family.

use quiver_resp::Argv;
use quiver_structures::{Value, ValueRef};

use super::super::args::integer;
use super::set::store_keeping_expiry;
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::extended::Extended;
use crate::keyspace::Text;
use crate::notify::Class;
use crate::number::parse_i64;

pub(super) fn incr(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    add(ctx, argv, 1)
}

pub(super) fn decr(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    add(ctx, argv, -1)
}

pub(super) fn incrby(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let by = integer(argv.at(2))?;
    add(ctx, argv, by)
}

pub(super) fn decrby(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let by = integer(argv.at(2))?;
    let by = by.checked_neg().ok_or(CommandError::text("ERR decrement would overflow"))?;
    add(ctx, argv, by)
}

fn add(ctx: &mut Ctx<'_>, argv: Argv<'_>, by: i64) -> CommandResult {
    let key = ctx.first_key(argv);
    let new = match ctx.ks.get_mut(key) {
        None => {
            ctx.ks.set(key, Value::Int(by), None);
            by
        }
        Some(mut entry) => {
            let old = match entry.value() {
                ValueRef::Int(number) => number,
                ValueRef::Bytes(bytes) => parse_i64(bytes).ok_or(CommandError::NotInteger)?,
                ValueRef::Object(_) => return Err(CommandError::WrongType),
            };
            let new = old.checked_add(by).ok_or(CommandError::Overflow)?;
            entry.set_value(Value::Int(new));
            ctx.ks.changed(&key);
            new
        }
    };
    ctx.ks.notify(Class::STRING, "incrby", key.name);
    ctx.reply.integer(new);
    Ok(())
}

pub(super) fn incrbyfloat(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let old = match ctx.ks.peek_string(key)? {
        None => Extended::ZERO,
        Some(Text::Int(number, _)) => Extended::from(number),
        Some(Text::Bytes(bytes)) => Extended::parse(bytes).ok_or(CommandError::NotFloat)?,
    };
    let new = old.plus(Extended::parse(argv.at(2)).ok_or(CommandError::NotFloat)?);
    if !new.is_finite() {
        return Err(CommandError::NanOrInfinity);
    }
    let text = new.text();
    store_keeping_expiry(ctx, key, text.as_bytes());
    ctx.ks.notify(Class::STRING, "incrbyfloat", key.name);
    ctx.reply.bulk(text.as_bytes());
    Ok(())
}
