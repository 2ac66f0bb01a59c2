//! Expiry of single fields: HEXPIRE and its relatives, HTTL and its, HPERSIST
//! (redis.io/docs/latest/develop/data-types/hashes, "field expiration").
//!
//! Each answers one number per field: -2 where there is no such field.

use quiver_resp::Argv;

use super::super::args::{Unit, integer, is};
use super::fields::{BAD_COUNT, Fields, expiry_ms};
use super::write::fields_deleted;
use crate::command::{Acl, Arg, Command, CommandResult, Flags, Group, KeyFlags, KeySpec};
use crate::context::Ctx;
use crate::keyspace::{ExpiryRule, Key};
use crate::notify::Class;
use crate::number::IntText;
use crate::types::hash::Hash;

const CONDITION: Arg = Arg::one_of(
    "condition",
    &[Arg::word("nx", "NX"), Arg::word("xx", "XX"), Arg::word("gt", "GT"), Arg::word("lt", "LT")],
)
.optional();

const FIELDS: Arg = Arg::block("fields", &[Arg::integer("numfields"), Arg::string("field").multiple()]).after("FIELDS");

/// What the commands that set an expiry have in common.
const SETS: Command = Command {
    since: "7.4.0",
    complexity: "O(N) where N is the number of fields given",
    group: Group::Hash,
    arity: -6,
    flags: Flags::WRITE.with(Flags::FAST),
    acl: Acl::HASH,
    keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::UPDATE))],
    ..Command::NEW
};

/// And those that tell it.
const TELLS: Command = Command {
    arity: -5,
    flags: Flags::READONLY.with(Flags::FAST),
    keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
    args: &[Arg::key("key"), FIELDS],
    ..SETS
};

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "hexpire",
        summary: "Lets fields of a hash expire after a number of seconds.",
        args: &[Arg::key("key"), Arg::integer("seconds"), CONDITION, FIELDS],
        run: hexpire,
        ..SETS
    },
    Command {
        name: "hexpireat",
        summary: "Lets fields of a hash expire at a Unix time in seconds.",
        args: &[Arg::key("key"), Arg::unix_time("unix-time-seconds"), CONDITION, FIELDS],
        run: hexpireat,
        ..SETS
    },
    Command {
        name: "hexpiretime",
        summary: "Answers the Unix time in seconds at which fields of a hash expire.",
        run: hexpiretime,
        ..TELLS
    },
    Command {
        name: "hpersist",
        summary: "Takes the expiry of fields of a hash away.",
        arity: -5,
        args: &[Arg::key("key"), FIELDS],
        run: hpersist,
        ..SETS
    },
    Command {
        name: "hpexpire",
        summary: "Lets fields of a hash expire after a number of milliseconds.",
        args: &[Arg::key("key"), Arg::integer("milliseconds"), CONDITION, FIELDS],
        run: hpexpire,
        ..SETS
    },
    Command {
        name: "hpexpireat",
        summary: "Lets fields of a hash expire at a Unix time in milliseconds.",
        args: &[Arg::key("key"), Arg::unix_time("unix-time-milliseconds"), CONDITION, FIELDS],
        run: hpexpireat,
        ..SETS
    },
    Command {
        name: "hpexpiretime",
        summary: "Answers the Unix time in milliseconds at which fields of a hash expire.",
        run: hpexpiretime,
        ..TELLS
    },
    Command {
        name: "hpttl",
        summary: "Answers the remaining time to live of fields of a hash in milliseconds.",
        tips: &["nondeterministic_output"],
        run: hpttl,
        ..TELLS
    },
    Command {
        name: "httl",
        summary: "Answers the remaining time to live of fields of a hash in seconds.",
        tips: &["nondeterministic_output"],
        run: httl,
        ..TELLS
    },
];

/// No such field.
const NO_FIELD: i64 = -2;
/// The field does not expire.
const NO_EXPIRY: i64 = -1;
/// The condition did not hold.
const REFUSED: i64 = 0;
/// Done.
const DONE: i64 = 1;
/// The time is past: the field is gone.
const DELETED: i64 = 2;

/// What those that set an expiry say about a number of fields that is none.
const TOO_FEW: &str = "ERR Parameter `numFields` should be greater than 0";

fn hexpire(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    set_expiry(ctx, argv, Unit { seconds: true, absolute: false })
}

fn hpexpire(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    set_expiry(ctx, argv, Unit { seconds: false, absolute: false })
}

fn hexpireat(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    set_expiry(ctx, argv, Unit { seconds: true, absolute: true })
}

fn hpexpireat(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    set_expiry(ctx, argv, Unit { seconds: false, absolute: true })
}

fn set_expiry(ctx: &mut Ctx<'_>, argv: Argv<'_>, unit: Unit) -> CommandResult {
    let key = ctx.first_key(argv);
    ctx.ks.value_mut::<Hash>(key)?;
    let at_ms = expiry_ms(integer(argv.at(2))?, unit, ctx.ks.now_ms, ctx.entry.full_name)?;
    let condition = Condition::parse(argv.at(3));
    let fields = Fields::parse(argv, 3 + usize::from(condition.is_some()), TOO_FEW)?;
    ctx.ks.expire_fields(key, fields.names());
    let (as_of, deletes) = (ctx.ks.as_of(), is_past(ctx, at_ms));
    let Some(hash) = ctx.ks.value_mut::<Hash>(key)? else { return no_fields(ctx, fields) };
    let before = hash.earliest();
    hash.make_volatile();
    let mut met = Vec::new();
    ctx.reply.array(fields.len());
    for field in fields.names() {
        let answer = match hash.expiry(field, as_of) {
            None => NO_FIELD,
            Some(current) if condition.is_some_and(|condition| !condition.holds(current, at_ms)) => REFUSED,
            Some(_) if deletes => {
                hash.remove(field);
                met.push(field);
                DELETED
            }
            Some(_) => {
                hash.set_expiry(field, Some(at_ms));
                met.push(field);
                DONE
            }
        };
        ctx.reply.integer(answer);
    }
    let after = hash.earliest();
    ctx.ks.reindex(&key, before, after);
    if !met.is_empty() {
        expiry_set(ctx, key, &met, at_ms);
    }
    Ok(())
}

/// Whether setting this expiry deletes the field at once. A replica leaves that to its primary.
pub(super) fn is_past(ctx: &Ctx<'_>, at_ms: i64) -> bool {
    at_ms <= ctx.ks.now_ms && ctx.ks.expiry == ExpiryRule::Delete
}

/// What follows from fields having got this expiry, or having been deleted because it is past.
pub(super) fn expiry_set(ctx: &mut Ctx<'_>, key: Key<'_>, fields: &[&[u8]], at_ms: i64) {
    if is_past(ctx, at_ms) {
        replay(ctx, &[b"HDEL", key.name], fields);
        return fields_deleted(ctx, key, fields);
    }
    let (at, count) = (IntText::new(at_ms), IntText::new(fields.len() as i64));
    replay(ctx, &[b"HPEXPIREAT", key.name, at.as_bytes(), b"FIELDS", count.as_bytes()], fields);
    ctx.ks.changed(&key);
    ctx.ks.dirty += fields.len() as u64 - 1;
    ctx.ks.notify_fields(Class::HASH, "hexpire", key.name, fields.iter().copied());
}

/// Replays as these words with the fields behind them.
pub(super) fn replay(ctx: &mut Ctx<'_>, words: &[&[u8]], fields: &[&[u8]]) {
    let words: Vec<&[u8]> = words.iter().chain(fields).copied().collect();
    ctx.replay_as(&words);
}

/// The answer where there is no hash.
fn no_fields(ctx: &mut Ctx<'_>, fields: Fields<'_>) -> CommandResult {
    ctx.reply.array(fields.len());
    fields.names().for_each(|_| ctx.reply.integer(NO_FIELD));
    Ok(())
}

/// What NX, XX, GT or LT asks of the expiry a field has. No expiry counts as one that never comes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Condition {
    NoneYet,
    SomeAlready,
    Later,
    Earlier,
}

impl Condition {
    pub(crate) fn parse(word: &[u8]) -> Option<Self> {
        let known = [("NX", Self::NoneYet), ("XX", Self::SomeAlready), ("GT", Self::Later), ("LT", Self::Earlier)];
        known.into_iter().find(|(name, _)| is(word, name)).map(|(_, condition)| condition)
    }

    pub(crate) fn holds(self, current_ms: Option<i64>, new_ms: i64) -> bool {
        match self {
            Self::NoneYet => current_ms.is_none(),
            Self::SomeAlready => current_ms.is_some(),
            Self::Later => current_ms.is_some_and(|current| new_ms > current),
            Self::Earlier => current_ms.is_none_or(|current| new_ms < current),
        }
    }
}

fn httl(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    tell_expiry(ctx, argv, |at_ms, now_ms| seconds(left_ms(at_ms, now_ms)))
}

fn hpttl(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    tell_expiry(ctx, argv, left_ms)
}

fn hexpiretime(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    tell_expiry(ctx, argv, |at_ms, _| seconds(at_ms))
}

fn hpexpiretime(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    tell_expiry(ctx, argv, |at_ms, _| at_ms)
}

fn tell_expiry(ctx: &mut Ctx<'_>, argv: Argv<'_>, shown: impl Fn(i64, i64) -> i64) -> CommandResult {
    let (key, as_of, now_ms) = (ctx.first_key(argv), ctx.ks.as_of(), ctx.ks.now_ms);
    let hash = ctx.ks.value::<Hash>(key)?;
    let fields = Fields::parse(argv, 2, BAD_COUNT)?;
    ctx.reply.array(fields.len());
    for field in fields.names() {
        ctx.reply.integer(match hash.and_then(|hash| hash.expiry(field, as_of)) {
            None => NO_FIELD,
            Some(None) => NO_EXPIRY,
            Some(Some(at_ms)) => shown(at_ms, now_ms),
        });
    }
    Ok(())
}

pub(crate) fn left_ms(at_ms: i64, now_ms: i64) -> i64 {
    at_ms.saturating_sub(now_ms).max(0)
}

/// Milliseconds as seconds, rounded up.
pub(crate) fn seconds(ms: i64) -> i64 {
    ms.saturating_add(999).div_euclid(1000)
}

fn hpersist(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    ctx.ks.value_mut::<Hash>(key)?;
    let fields = Fields::parse(argv, 2, BAD_COUNT)?;
    ctx.ks.expire_fields(key, fields.names());
    let as_of = ctx.ks.as_of();
    let Some(hash) = ctx.ks.value_mut::<Hash>(key)? else { return no_fields(ctx, fields) };
    let mut met = Vec::new();
    ctx.reply.array(fields.len());
    for field in fields.names() {
        ctx.reply.integer(match hash.expiry(field, as_of) {
            None => NO_FIELD,
            Some(None) => NO_EXPIRY,
            Some(Some(_)) => {
                hash.set_expiry(field, None);
                met.push(field);
                DONE
            }
        });
    }
    if !met.is_empty() {
        persisted(ctx, key, &met);
    }
    Ok(())
}

/// What follows from fields having lost their expiry.
pub(super) fn persisted(ctx: &mut Ctx<'_>, key: Key<'_>, fields: &[&[u8]]) {
    let count = IntText::new(fields.len() as i64);
    replay(ctx, &[b"HPERSIST", key.name, b"FIELDS", count.as_bytes()], fields);
    ctx.ks.changed(&key);
    ctx.ks.dirty += fields.len() as u64 - 1;
    ctx.ks.notify_fields(Class::HASH, "hpersist", key.name, fields.iter().copied());
}
