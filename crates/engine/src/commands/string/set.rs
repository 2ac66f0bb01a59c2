//! SET with all its conditions and expiries, and the older commands that are special cases of it.

use quiver_resp::Argv;
use quiver_structures::Value;
use xxhash_rust::xxh3::xxh3_64;

use super::super::args::{Expiry, Options, Unit, expiry_option, is, positive_expiry};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::{Key, Text, expect_string, string_value};
use crate::notify::Class;
use crate::number::{IntText, parse_i64};

/// When SET, DELEX and MSETEX act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition<'a> {
    Always,
    Missing,
    Exists,
    Equals(&'a [u8]),
    Differs(&'a [u8]),
    DigestEquals(u64),
    DigestDiffers(u64),
}

impl<'a> Condition<'a> {
    /// One of IFEQ, IFNE, IFDEQ, IFDNE with its operand; `None` for any other word.
    fn comparison(word: &[u8], options: &mut Options<'a>) -> Result<Option<Self>, CommandError> {
        Ok(Some(match word.to_ascii_uppercase().as_slice() {
            b"IFEQ" => Self::Equals(options.value()?),
            b"IFNE" => Self::Differs(options.value()?),
            b"IFDEQ" => Self::DigestEquals(parse_digest(options.value()?)?),
            b"IFDNE" => Self::DigestDiffers(parse_digest(options.value()?)?),
            _ => return Ok(None),
        }))
    }

    /// Whether the condition looks into the value, which must be a string then.
    fn compares(self) -> bool {
        !matches!(self, Self::Always | Self::Missing | Self::Exists)
    }

    fn holds(self, old: Option<&[u8]>) -> bool {
        match (self, old) {
            (Self::Always, _) | (Self::Missing | Self::Differs(_) | Self::DigestDiffers(_), None) => true,
            (Self::Missing, Some(_)) | (Self::Exists | Self::Equals(_) | Self::DigestEquals(_), None) => false,
            (Self::Exists, Some(_)) => true,
            (Self::Equals(wanted), Some(old)) => wanted == old,
            (Self::Differs(unwanted), Some(old)) => unwanted != old,
            (Self::DigestEquals(wanted), Some(old)) => xxh3_64(old) == wanted,
            (Self::DigestDiffers(unwanted), Some(old)) => xxh3_64(old) != unwanted,
        }
    }
}

/// A digest as DIGEST prints it: 16 hexadecimal digits.
fn parse_digest(text: &[u8]) -> Result<u64, CommandError> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() == 16);
    text.and_then(|text| u64::from_str_radix(text, 16).ok())
        .ok_or(CommandError::text("ERR must be exactly 16 hexadecimal characters"))
}

struct SetOptions<'a> {
    condition: Condition<'a>,
    expiry: Expiry,
    get: bool,
}

impl<'a> SetOptions<'a> {
    fn parse(argv: Argv<'a>, now_ms: i64) -> Result<Self, CommandError> {
        let mut parsed = Self { condition: Condition::Always, expiry: Expiry::None, get: false };
        let mut given: Option<(Unit, &[u8])> = None;
        let mut options = Options::new(argv, 3);
        while let Some(word) = options.next() {
            let free = parsed.condition == Condition::Always;
            if is(word, "NX") && free {
                parsed.condition = Condition::Missing;
            } else if is(word, "XX") && free {
                parsed.condition = Condition::Exists;
            } else if is(word, "GET") {
                parsed.get = true;
            } else if is(word, "KEEPTTL") && given.is_none() {
                parsed.expiry = Expiry::Keep;
            } else if let Some(unit) = expiry_option(word)
                .filter(|unit| parsed.expiry == Expiry::None && given.is_none_or(|(before, _)| before == *unit))
            {
                // The same option again replaces the first.
                given = Some((unit, options.value()?));
            } else if free {
                parsed.condition = Condition::comparison(word, &mut options)?.ok_or(CommandError::Syntax)?;
            } else if !(is(word, "NX") && parsed.condition == Condition::Missing
                || is(word, "XX") && parsed.condition == Condition::Exists)
            {
                return Err(CommandError::Syntax);
            }
        }
        if let Some((unit, text)) = given {
            parsed.expiry = Expiry::At(positive_expiry(text, unit, now_ms, "set")?);
        }
        Ok(parsed)
    }
}

/// `SET key value [NX|XX|IFEQ v|IFNE v|IFDEQ d|IFDNE d] [GET] [EX s|PX ms|EXAT s|PXAT ms|KEEPTTL]`
pub(super) fn set(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    if argv.len() == 3 {
        ctx.ks.set(key, string_value(argv.at(2)), None);
        ctx.ks.notify(Class::STRING, "set", key.name);
        ctx.reply.ok();
        return Ok(());
    }
    let options = SetOptions::parse(argv, ctx.ks.now_ms)?;
    let start = ctx.reply.position();
    // Only with GET is the old value read for the client.
    let old = if options.get { ctx.ks.get(key) } else { ctx.ks.peek(key) };
    let mut old_expiry = None;
    let holds = match old {
        None => options.condition.holds(None),
        Some(entry) => {
            old_expiry = entry.expire_at();
            if options.get || options.condition.compares() {
                expect_string(&entry.value())?;
            }
            match Text::of(entry.value()) {
                Ok(text) => {
                    if options.get {
                        ctx.reply.bulk(text.as_bytes());
                    }
                    options.condition.holds(Some(text.as_bytes()))
                }
                Err(_) => options.condition.holds(Some(b"")),
            }
        }
    };
    if options.get && ctx.reply.position() == start {
        ctx.reply.null();
    }
    if !holds {
        if !options.get {
            ctx.reply.null();
        }
        return Ok(());
    }
    let expire_at = match options.expiry {
        Expiry::At(at) => Some(at),
        Expiry::Keep => old_expiry,
        Expiry::None | Expiry::Persist => None,
    };
    store(ctx, key, argv.at(2), expire_at);
    if matches!(options.expiry, Expiry::At(_)) {
        ctx.ks.notify(Class::GENERIC, "expire", key.name);
    }
    if !options.get {
        ctx.reply.ok();
    }
    Ok(())
}

/// Stores a string and replays as a plain SET with an absolute expiry.
fn store(ctx: &mut Ctx<'_>, key: Key<'_>, value: &[u8], expire_at: Option<i64>) {
    ctx.ks.set(key, string_value(value), expire_at);
    ctx.ks.notify(Class::STRING, "set", key.name);
    match expire_at {
        None => ctx.replay_as(&[b"SET", key.name, value]),
        Some(at) => ctx.replay_as(&[b"SET", key.name, value, b"PXAT", IntText::new(at).as_bytes()]),
    }
}

fn set_with_expiry(ctx: &mut Ctx<'_>, argv: Argv<'_>, seconds: bool, name: &'static str) -> CommandResult {
    let at = positive_expiry(argv.at(2), Unit { seconds, absolute: false }, ctx.ks.now_ms, name)?;
    let key = ctx.first_key(argv);
    store(ctx, key, argv.at(3), Some(at));
    ctx.ks.notify(Class::GENERIC, "expire", key.name);
    ctx.reply.ok();
    Ok(())
}

pub(super) fn setex(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    set_with_expiry(ctx, argv, true, "setex")
}

pub(super) fn psetex(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    set_with_expiry(ctx, argv, false, "psetex")
}

pub(super) fn setnx(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let free = !ctx.ks.contains(key);
    if free {
        store(ctx, key, argv.at(2), None);
    }
    ctx.reply.integer(i64::from(free));
    Ok(())
}

pub(super) fn getset(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    match ctx.ks.string(key)? {
        Some(text) => ctx.reply.bulk(text.as_bytes()),
        None => ctx.reply.null(),
    }
    store(ctx, key, argv.at(2), None);
    Ok(())
}

pub(super) fn getdel(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let Some(text) = ctx.ks.string(key)? else {
        ctx.reply.null();
        return Ok(());
    };
    ctx.reply.bulk(text.as_bytes());
    ctx.ks.delete(key);
    ctx.ks.notify(Class::GENERIC, "del", key.name);
    ctx.replay_as(&[b"DEL", key.name]);
    Ok(())
}

pub(super) fn getex(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let (given, persist) = getex_options(argv)?;
    let now_ms = ctx.ks.now_ms;
    let Some(text) = ctx.ks.string(key)? else {
        ctx.reply.null();
        return Ok(());
    };
    // A time that is none counts only where there is a key.
    let expiry = match given {
        Some((unit, at)) => Expiry::At(positive_expiry(at, unit, now_ms, "getex")?),
        None if persist => Expiry::Persist,
        None => Expiry::None,
    };
    ctx.reply.bulk(text.as_bytes());
    match expiry {
        Expiry::At(at) if at <= ctx.ks.now_ms => {
            ctx.ks.delete(key);
            ctx.ks.notify(Class::GENERIC, "del", key.name);
            ctx.replay_as(&[b"DEL", key.name]);
        }
        Expiry::At(at) => {
            ctx.ks.set_expire(key, Some(at));
            ctx.ks.notify(Class::GENERIC, "expire", key.name);
            ctx.replay_as(&[b"PEXPIREAT", key.name, IntText::new(at).as_bytes()]);
        }
        Expiry::Persist if ctx.ks.peek(key).is_some_and(|entry| entry.expire_at().is_some()) => {
            ctx.ks.set_expire(key, None);
            ctx.ks.notify(Class::GENERIC, "persist", key.name);
            ctx.replay_as(&[b"PERSIST", key.name]);
        }
        Expiry::Persist | Expiry::Keep | Expiry::None => {}
    }
    Ok(())
}

/// An expiry as given, its number not read yet.
type Given<'a> = Option<(Unit, &'a [u8])>;

/// The time GETEX gives, or whether it says PERSIST.
fn getex_options(argv: Argv<'_>) -> Result<(Given<'_>, bool), CommandError> {
    let mut given: Given<'_> = None;
    let mut persist = false;
    let mut options = Options::new(argv, 2);
    while let Some(word) = options.next() {
        if is(word, "PERSIST") && given.is_none() {
            persist = true;
            continue;
        }
        let unit = expiry_option(word).ok_or(CommandError::Syntax)?;
        if persist || given.is_some_and(|(before, _)| before != unit) {
            return Err(CommandError::Syntax);
        }
        given = Some((unit, options.value()?));
    }
    Ok((given, persist))
}

pub(super) fn mset(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    pairs_only(ctx, argv)?;
    set_pairs(ctx, argv.from(1), None);
    ctx.reply.ok();
    Ok(())
}

pub(super) fn msetnx(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    pairs_only(ctx, argv)?;
    let taken = argv.iter().skip(1).step_by(2).any(|name| ctx.ks.contains(ctx.ks.key(name)));
    if !taken {
        set_pairs(ctx, argv.from(1), None);
    }
    ctx.reply.integer(i64::from(!taken));
    Ok(())
}

/// `MSETEX numkeys key value [key value ...] [NX|XX] [EX s|PX ms|EXAT s|PXAT ms|KEEPTTL]`
pub(super) fn msetex(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let keys = parse_i64(argv.at(1)).filter(|keys| *keys > 0);
    let keys = keys.ok_or(CommandError::text("ERR invalid numkeys value"))? as usize;
    let end = keys.checked_mul(2).and_then(|words| words.checked_add(2)).filter(|end| *end <= argv.len());
    let end = end.ok_or(CommandError::text("ERR wrong number of key-value pairs"))?;
    let (mut condition, mut expiry) = (Condition::Always, Expiry::None);
    let mut options = Options::new(argv, end);
    while let Some(word) = options.next() {
        if is(word, "NX") && condition == Condition::Always {
            condition = Condition::Missing;
        } else if is(word, "XX") && condition == Condition::Always {
            condition = Condition::Exists;
        } else if expiry != Expiry::None {
            return Err(CommandError::Syntax);
        } else if is(word, "KEEPTTL") {
            expiry = Expiry::Keep;
        } else {
            let unit = expiry_option(word).ok_or(CommandError::Syntax)?;
            expiry = Expiry::At(positive_expiry(options.value()?, unit, ctx.ks.now_ms, "msetex")?);
        }
    }
    let names = || argv.iter().take(end).skip(2).step_by(2);
    let holds = match condition {
        Condition::Missing => names().all(|name| !ctx.ks.contains(ctx.ks.key(name))),
        Condition::Exists => names().all(|name| ctx.ks.contains(ctx.ks.key(name))),
        _ => true,
    };
    if holds {
        for at in (2..end).step_by(2) {
            let key = ctx.key(argv.at(at));
            let expire_at = match expiry {
                Expiry::At(at) => Some(at),
                Expiry::Keep => ctx.ks.peek(key).and_then(|entry| entry.expire_at()),
                Expiry::None | Expiry::Persist => None,
            };
            store(ctx, key, argv.at(at + 1), expire_at);
            if matches!(expiry, Expiry::At(_)) {
                ctx.ks.notify(Class::GENERIC, "expire", key.name);
            }
        }
    }
    ctx.reply.integer(i64::from(holds));
    Ok(())
}

fn pairs_only(ctx: &Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    if argv.len().is_multiple_of(2) { Err(CommandError::Arity(ctx.entry.full_name.into())) } else { Ok(()) }
}

fn set_pairs(ctx: &mut Ctx<'_>, pairs: Argv<'_>, expire_at: Option<i64>) {
    for at in (0..pairs.len()).step_by(2) {
        let key = ctx.key(pairs.at(at));
        ctx.ks.set(key, string_value(pairs.at(at + 1)), expire_at);
        ctx.ks.notify(Class::STRING, "set", key.name);
    }
}

/// `DELEX key [IFEQ v|IFNE v|IFDEQ d|IFDNE d]`
pub(super) fn delex(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let condition = match argv.get(2) {
        None => Condition::Always,
        Some(word) if argv.len() == 4 => {
            Condition::comparison(word, &mut Options::new(argv, 3))?.ok_or(CommandError::Syntax)?
        }
        Some(_) => return Err(CommandError::Arity("delex".into())),
    };
    let deletes = match ctx.ks.peek(key) {
        None => false,
        Some(_) if condition == Condition::Always => true,
        Some(entry) => {
            let text = Text::of(entry.value())
                .map_err(|_| CommandError::text("ERR Key should be of string type if conditions are specified"))?;
            condition.holds(Some(text.as_bytes()))
        }
    };
    if deletes {
        ctx.ks.delete(key);
        ctx.ks.notify(Class::GENERIC, "del", key.name);
        ctx.replay_as(&[b"DEL", key.name]);
    }
    ctx.reply.integer(i64::from(deletes));
    Ok(())
}

pub(super) fn digest(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    match ctx.ks.string(key)? {
        Some(text) => ctx.reply.bulk(format!("{:016x}", xxh3_64(text.as_bytes())).as_bytes()),
        None => ctx.reply.null(),
    }
    Ok(())
}

/// Stores the text of a float without its expiry being lost; replays as SET with KEEPTTL.
pub(super) fn store_keeping_expiry(ctx: &mut Ctx<'_>, key: Key<'_>, text: &[u8]) {
    let expire_at = ctx.ks.peek(key).and_then(|entry| entry.expire_at());
    ctx.ks.set(key, Value::Bytes(text), expire_at);
    ctx.replay_as(&[b"SET", key.name, text, b"KEEPTTL"]);
}
