//! INCREX: a counter with bounds and an expiry (redis.io/docs/latest/commands/increx).
//!
//! A sum out of bounds leaves everything as it was, expiry included, unless SATURATE asks for the bound instead. What is
//! replayed is the outcome.

use quiver_resp::{Argv, Protocol};

use super::super::args::{Expiry, Options, expiry_option, integer, is, positive_expiry};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::extended::Extended;
use crate::keyspace::{ExpiryRule, Key, Text, string_value};
use crate::number::{IntText, parse_i64};

/// The words behind the key. Numbers are read when it is known which kind they are of.
#[derive(Debug, Default)]
struct Wish<'a> {
    by: Option<&'a [u8]>,
    float: bool,
    lower: Option<&'a [u8]>,
    upper: Option<&'a [u8]>,
    saturate: bool,
    expiry: Option<Expiry>,
    only_if_none: bool,
}

impl<'a> Wish<'a> {
    fn parse(argv: Argv<'a>, now_ms: i64) -> Result<Self, CommandError> {
        let mut wish = Self::default();
        let mut options = Options::new(argv, 2);
        while let Some(word) = options.next() {
            if is(word, "BYINT") || is(word, "BYFLOAT") {
                wish.float = is(word, "BYFLOAT");
                once(&mut wish.by, options.value()?)?;
            } else if is(word, "LBOUND") {
                once(&mut wish.lower, options.value()?)?;
            } else if is(word, "UBOUND") {
                once(&mut wish.upper, options.value()?)?;
            } else if is(word, "SATURATE") {
                wish.saturate = true;
            } else if is(word, "PERSIST") {
                once(&mut wish.expiry, Expiry::Persist)?;
            } else if is(word, "ENX") {
                wish.only_if_none = true;
            } else {
                let unit = expiry_option(word).ok_or(CommandError::Syntax)?;
                let at = positive_expiry(options.value()?, unit, now_ms, "increx")?;
                once(&mut wish.expiry, Expiry::At(at))?;
            }
        }
        if wish.only_if_none && !matches!(wish.expiry, Some(Expiry::At(_))) {
            return Err(CommandError::Syntax);
        }
        Ok(wish)
    }
}

/// Fills in what may be said once.
fn once<T>(place: &mut Option<T>, said: T) -> CommandResult {
    if place.replace(said).is_some() { Err(CommandError::Syntax) } else { Ok(()) }
}

const BOUNDS: CommandError = CommandError::text("ERR LBOUND must be less than or equal to UBOUND");

pub(super) fn increx(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let wish = Wish::parse(argv, ctx.ks.now_ms)?;
    let key = ctx.first_key(argv);
    if wish.float { add_float(ctx, key, &wish) } else { add_integer(ctx, key, &wish) }
}

fn add_integer(ctx: &mut Ctx<'_>, key: Key<'_>, wish: &Wish<'_>) -> CommandResult {
    let by = wish.by.map_or(Ok(1), integer)?;
    let lower = wish.lower.map_or(Ok(i64::MIN), integer)?;
    let upper = wish.upper.map_or(Ok(i64::MAX), integer)?;
    if lower > upper {
        return Err(BOUNDS);
    }
    let old = match ctx.ks.string(key)? {
        None => 0,
        Some(Text::Int(number, _)) => number,
        Some(Text::Bytes(bytes)) => parse_i64(bytes).ok_or(CommandError::NotInteger)?,
    };
    let sum = i128::from(old) + i128::from(by);
    let new = sum.clamp(lower.into(), upper.into());
    if new != sum && !wish.saturate {
        ctx.reply.array(2);
        ctx.reply.integer(old);
        ctx.reply.integer(0);
        return Ok(());
    }
    let new = i64::try_from(new).map_err(|_| CommandError::Overflow)?;
    let applied = new.checked_sub(old).ok_or(CommandError::Overflow)?;
    store(ctx, key, IntText::new(new).as_bytes(), wish);
    ctx.reply.array(2);
    ctx.reply.integer(new);
    ctx.reply.integer(applied);
    Ok(())
}

fn add_float(ctx: &mut Ctx<'_>, key: Key<'_>, wish: &Wish<'_>) -> CommandResult {
    let float = |text: &[u8]| Extended::parse(text).ok_or(CommandError::NotFloat);
    let by = float(wish.by.unwrap_or(b"1"))?;
    let (lower, upper) = (wish.lower.map(float).transpose()?, wish.upper.map(float).transpose()?);
    if let (Some(lower), Some(upper)) = (lower, upper)
        && lower.exceeds(upper)
    {
        return Err(BOUNDS);
    }
    let old = match ctx.ks.string(key)? {
        None => Extended::ZERO,
        Some(Text::Int(number, _)) => Extended::from(number),
        Some(Text::Bytes(bytes)) => float(bytes)?,
    };
    let sum = old.plus(by);
    let below = lower.filter(|lower| lower.exceeds(sum));
    let above = upper.filter(|upper| sum.exceeds(*upper));
    let bound = below.or(above);
    if !wish.saturate && (bound.is_some() || !sum.is_finite()) {
        return write_floats(ctx, old, Extended::ZERO);
    }
    let new = bound.unwrap_or(sum);
    let applied = new.plus(old.negated());
    if !new.is_finite() || !applied.is_finite() {
        return Err(CommandError::NanOrInfinity);
    }
    store(ctx, key, new.text().as_bytes(), wish);
    write_floats(ctx, new, applied)
}

/// Answers value and increment: texts, or doubles where the protocol has them.
fn write_floats(ctx: &mut Ctx<'_>, value: Extended, applied: Extended) -> CommandResult {
    ctx.reply.array(2);
    for number in [value, applied] {
        if !number.is_finite() {
            return Err(CommandError::NanOrInfinity);
        }
        let text = number.text();
        match ctx.reply.protocol() {
            Protocol::Resp2 => ctx.reply.bulk(text.as_bytes()),
            Protocol::Resp3 => ctx.reply.double(text.parse().unwrap_or(f64::NAN)),
        }
    }
    Ok(())
}

/// Stores the new value with the expiry it shall have; a time that is past deletes the key.
fn store(ctx: &mut Ctx<'_>, key: Key<'_>, text: &[u8], wish: &Wish<'_>) {
    let current = ctx.ks.peek(key).and_then(|entry| entry.expire_at());
    let expire_at = match wish.expiry {
        Some(Expiry::At(_)) if wish.only_if_none && current.is_some() => current,
        Some(Expiry::At(at)) => Some(at),
        Some(Expiry::Persist) => None,
        _ => current,
    };
    if expire_at.is_some_and(|at| at <= ctx.ks.now_ms) && ctx.ks.expiry == ExpiryRule::Delete {
        if ctx.ks.delete(key) {
            ctx.replay_as(&[b"DEL", key.name]);
        }
        return;
    }
    ctx.ks.set(key, string_value(text), expire_at);
    match expire_at {
        Some(at) => ctx.replay_as(&[b"SET", key.name, text, b"PXAT", IntText::new(at).as_bytes()]),
        None => ctx.replay_as(&[b"SET", key.name, text]),
    }
}
