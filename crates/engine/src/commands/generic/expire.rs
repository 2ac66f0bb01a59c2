//! Expiry: EXPIRE and its three relatives, TTL and its three, PERSIST.
//!
//! Whatever way a time is given, keys carry it as unix milliseconds, and the stream says PEXPIREAT. A time that is over
//! deletes the key at once, except where the primary decides that (replicas and their primary's stream).

use quiver_resp::{Argv, IntText};

use crate::command::{Acl, Arg, Command, CommandResult, Flags, KeyFlags, KeySpec};
use crate::commands::args::{Unit, absolute_ms, integer, is};
use crate::context::Ctx;
use crate::error::{CommandError, quote_within};
use crate::keyspace::ExpiryRule;
use crate::notify::Class;

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "expire",
        summary: "Gives a key a time to live in seconds.",
        arity: -3,
        flags: Flags::WRITE.with(Flags::FAST),
        acl: Acl::KEYSPACE,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::UPDATE))],
        args: &[
            Arg::key("key"),
            Arg::integer("seconds"),
            Arg::one_of(
                "condition",
                &[Arg::word("nx", "NX"), Arg::word("xx", "XX"), Arg::word("gt", "GT"), Arg::word("lt", "LT")],
            )
            .optional()
            .since("7.0.0"),
        ],
        run: expire,
        ..Command::NEW
    },
    Command {
        name: "expireat",
        summary: "Lets a key expire at a Unix time in seconds.",
        since: "1.2.0",
        arity: -3,
        flags: Flags::WRITE.with(Flags::FAST),
        acl: Acl::KEYSPACE,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::UPDATE))],
        args: &[
            Arg::key("key"),
            Arg::unix_time("unix-time-seconds"),
            Arg::one_of(
                "condition",
                &[Arg::word("nx", "NX"), Arg::word("xx", "XX"), Arg::word("gt", "GT"), Arg::word("lt", "LT")],
            )
            .optional()
            .since("7.0.0"),
        ],
        run: expireat,
        ..Command::NEW
    },
    Command {
        name: "expiretime",
        summary: "Answers the Unix time in seconds at which a key expires.",
        since: "7.0.0",
        arity: 2,
        flags: Flags::READONLY.with(Flags::FAST),
        acl: Acl::KEYSPACE,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key")],
        run: expiretime,
        ..Command::NEW
    },
    Command {
        name: "persist",
        summary: "Takes the time to live off a key.",
        since: "2.2.0",
        arity: 2,
        flags: Flags::WRITE.with(Flags::FAST),
        acl: Acl::KEYSPACE,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::UPDATE))],
        args: &[Arg::key("key")],
        run: persist,
        ..Command::NEW
    },
    Command {
        name: "pexpire",
        summary: "Gives a key a time to live in milliseconds.",
        since: "2.6.0",
        arity: -3,
        flags: Flags::WRITE.with(Flags::FAST),
        acl: Acl::KEYSPACE,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::UPDATE))],
        args: &[
            Arg::key("key"),
            Arg::integer("milliseconds"),
            Arg::one_of(
                "condition",
                &[Arg::word("nx", "NX"), Arg::word("xx", "XX"), Arg::word("gt", "GT"), Arg::word("lt", "LT")],
            )
            .optional()
            .since("7.0.0"),
        ],
        run: pexpire,
        ..Command::NEW
    },
    Command {
        name: "pexpireat",
        summary: "Lets a key expire at a Unix time in milliseconds.",
        since: "2.6.0",
        arity: -3,
        flags: Flags::WRITE.with(Flags::FAST),
        acl: Acl::KEYSPACE,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::UPDATE))],
        args: &[
            Arg::key("key"),
            Arg::unix_time("unix-time-milliseconds"),
            Arg::one_of(
                "condition",
                &[Arg::word("nx", "NX"), Arg::word("xx", "XX"), Arg::word("gt", "GT"), Arg::word("lt", "LT")],
            )
            .optional()
            .since("7.0.0"),
        ],
        run: pexpireat,
        ..Command::NEW
    },
    Command {
        name: "pexpiretime",
        summary: "Answers the Unix time in milliseconds at which a key expires.",
        since: "7.0.0",
        arity: 2,
        flags: Flags::READONLY.with(Flags::FAST),
        acl: Acl::KEYSPACE,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key")],
        run: pexpiretime,
        ..Command::NEW
    },
    Command {
        name: "pttl",
        summary: "Answers the remaining time to live of a key in milliseconds.",
        since: "2.6.0",
        arity: 2,
        flags: Flags::READONLY.with(Flags::FAST),
        acl: Acl::KEYSPACE,
        tips: &["nondeterministic_output"],
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key")],
        run: pttl,
        ..Command::NEW
    },
    Command {
        name: "ttl",
        summary: "Answers the remaining time to live of a key in seconds.",
        arity: 2,
        flags: Flags::READONLY.with(Flags::FAST),
        acl: Acl::KEYSPACE,
        tips: &["nondeterministic_output"],
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key")],
        run: ttl,
        ..Command::NEW
    },
];

fn expire(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    set_expiry(ctx, argv, Unit { seconds: true, absolute: false })
}

fn pexpire(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    set_expiry(ctx, argv, Unit { seconds: false, absolute: false })
}

fn expireat(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    set_expiry(ctx, argv, Unit { seconds: true, absolute: true })
}

fn pexpireat(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    set_expiry(ctx, argv, Unit { seconds: false, absolute: true })
}

fn set_expiry(ctx: &mut Ctx<'_>, argv: Argv<'_>, unit: Unit) -> CommandResult {
    let condition = Condition::parse(argv.from(3))?;
    let given = integer(argv.at(2))?;
    let at_ms = absolute_ms(given, unit, ctx.ks.now_ms).ok_or(CommandError::InvalidExpire(ctx.entry.full_name))?;
    let key = ctx.first_key(argv);
    let holds = ctx.ks.peek(key).is_some_and(|entry| condition.holds(entry.expire_at(), at_ms));
    if holds {
        if at_ms <= ctx.ks.now_ms && ctx.ks.expiry == ExpiryRule::Delete {
            ctx.ks.delete(key);
            ctx.ks.notify(Class::GENERIC, "del", key.name);
            ctx.replay_as(&[b"DEL", key.name]);
        } else {
            ctx.ks.set_expire(key, Some(at_ms));
            ctx.ks.notify(Class::GENERIC, "expire", key.name);
            ctx.replay_as(&[b"PEXPIREAT", key.name, IntText::new(at_ms).as_bytes()]);
        }
    }
    ctx.reply.integer(i64::from(holds));
    Ok(())
}

/// What NX, XX, GT and LT ask of the expiry a key has. No expiry counts as one that never comes.
#[derive(Clone, Copy, Debug, Default)]
struct Condition {
    none_yet: bool,
    some_already: bool,
    later: bool,
    earlier: bool,
}

impl Condition {
    fn parse(words: Argv<'_>) -> Result<Self, CommandError> {
        let mut condition = Self::default();
        for word in words {
            let asked = match word {
                nx if is(nx, "NX") => &mut condition.none_yet,
                xx if is(xx, "XX") => &mut condition.some_already,
                gt if is(gt, "GT") => &mut condition.later,
                lt if is(lt, "LT") => &mut condition.earlier,
                other => {
                    let other = quote_within(other, usize::MAX);
                    return Err(CommandError::owned(format!("ERR Unsupported option {other}")));
                }
            };
            *asked = true;
        }
        if condition.none_yet && (condition.some_already || condition.later || condition.earlier) {
            return Err(CommandError::text("ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if condition.later && condition.earlier {
            return Err(CommandError::text("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(condition)
    }

    fn holds(self, current_ms: Option<i64>, new_ms: i64) -> bool {
        !(self.none_yet && current_ms.is_some()
            || self.some_already && current_ms.is_none()
            || self.later && current_ms.is_none_or(|current| new_ms <= current)
            || self.earlier && current_ms.is_some_and(|current| new_ms >= current))
    }
}

/// What TTL and its relatives answer without a key.
const NO_KEY: i64 = -2;

/// And for a key that does not expire.
const NO_EXPIRY: i64 = -1;

fn ttl(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    tell_expiry(ctx, argv, |at_ms, now_ms| seconds(left_ms(at_ms, now_ms)))
}

fn pttl(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    tell_expiry(ctx, argv, left_ms)
}

fn expiretime(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    tell_expiry(ctx, argv, |at_ms, _| seconds(at_ms))
}

fn pexpiretime(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    tell_expiry(ctx, argv, |at_ms, _| at_ms)
}

fn tell_expiry(ctx: &mut Ctx<'_>, argv: Argv<'_>, shown: impl Fn(i64, i64) -> i64) -> CommandResult {
    let (key, now_ms) = (ctx.first_key(argv), ctx.ks.now_ms);
    let answer = match ctx.ks.look(key).map(|entry| entry.expire_at()) {
        None => NO_KEY,
        Some(None) => NO_EXPIRY,
        Some(Some(at_ms)) => shown(at_ms, now_ms),
    };
    ctx.reply.integer(answer);
    Ok(())
}

/// Time left, ms; nothing where a key outlives its time because only its primary may delete it.
fn left_ms(at_ms: i64, now_ms: i64) -> i64 {
    at_ms.saturating_sub(now_ms).max(0)
}

/// Milliseconds as seconds, rounded to the nearest.
fn seconds(ms: i64) -> i64 {
    ms.saturating_add(500).div_euclid(1000)
}

fn persist(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let expires = ctx.ks.peek(key).is_some_and(|entry| entry.expire_at().is_some());
    if expires {
        ctx.ks.set_expire(key, None);
        ctx.ks.notify(Class::GENERIC, "persist", key.name);
    }
    ctx.reply.integer(i64::from(expires));
    Ok(())
}
