//! Expiry of single elements: VEXPIRE and its relatives, VTTL and its, VPERSIST. Quiver's own, with the words, answers
//! and effects that HEXPIRE and its relatives have for fields of hashes.
//!
//! Each answers one number per element: -2 where there is no such element.

use quiver_resp::Argv;

use super::super::args::{Unit, integer, is};
use super::super::hash::{Condition, expiry_ms, left_ms, seconds};
use super::{await_searches, set_at};
use crate::command::{Arg, Command, CommandResult, Flags, Group, KeyFlags, KeySpec, Locks};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::ExpiryRule;
use crate::long::PATIENCE;
use crate::number::{IntText, parse_i64};
use crate::object::SharedVectorSet;

const CONDITION: Arg = Arg::one_of(
    "condition",
    &[Arg::word("nx", "NX"), Arg::word("xx", "XX"), Arg::word("gt", "GT"), Arg::word("lt", "LT")],
)
.optional();

const ELEMENTS: Arg =
    Arg::block("elements", &[Arg::integer("numelements"), Arg::string("element").multiple()]).after("ELEMENTS");

/// What the commands that set an expiry have in common.
const SETS: Command = Command {
    since: "8.2.0",
    complexity: "O(N) where N is the number of elements given",
    group: Group::Module,
    arity: -6,
    flags: Flags::WRITE.with(Flags::MODULE),
    keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::UPDATE))],
    locks: Locks::KeysAlone,
    ..Command::NEW
};

/// And those that tell it.
const TELLS: Command = Command {
    arity: -5,
    flags: Flags::READONLY.with(Flags::MODULE).with(Flags::FAST),
    keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
    args: &[Arg::key("key"), ELEMENTS],
    ..SETS
};

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "vexpire",
        summary: "Lets elements of a vector set expire after a number of seconds.",
        args: &[Arg::key("key"), Arg::integer("seconds"), CONDITION, ELEMENTS],
        run: vexpire,
        ..SETS
    },
    Command {
        name: "vexpireat",
        summary: "Lets elements of a vector set expire at a Unix time in seconds.",
        args: &[Arg::key("key"), Arg::unix_time("unix-time-seconds"), CONDITION, ELEMENTS],
        run: vexpireat,
        ..SETS
    },
    Command {
        name: "vexpiretime",
        summary: "Answers the Unix time in seconds at which elements of a vector set expire.",
        run: vexpiretime,
        ..TELLS
    },
    Command {
        name: "vpersist",
        summary: "Lets elements of a vector set live on that would expire.",
        arity: -5,
        args: &[Arg::key("key"), ELEMENTS],
        run: vpersist,
        ..SETS
    },
    Command {
        name: "vpexpire",
        summary: "Lets elements of a vector set expire after a number of milliseconds.",
        args: &[Arg::key("key"), Arg::integer("milliseconds"), CONDITION, ELEMENTS],
        run: vpexpire,
        ..SETS
    },
    Command {
        name: "vpexpireat",
        summary: "Lets elements of a vector set expire at a Unix time in milliseconds.",
        args: &[Arg::key("key"), Arg::unix_time("unix-time-milliseconds"), CONDITION, ELEMENTS],
        run: vpexpireat,
        ..SETS
    },
    Command {
        name: "vpexpiretime",
        summary: "Answers the Unix time in milliseconds at which elements of a vector set expire.",
        run: vpexpiretime,
        ..TELLS
    },
    Command {
        name: "vpttl",
        summary: "Answers the milliseconds that elements of a vector set have left.",
        run: vpttl,
        ..TELLS
    },
    Command {
        name: "vttl",
        summary: "Answers the seconds that elements of a vector set have left.",
        run: vttl,
        ..TELLS
    },
];

/// No such element.
const NO_ELEMENT: i64 = -2;
/// The element does not expire.
const NO_EXPIRY: i64 = -1;
/// The condition did not hold.
const REFUSED: i64 = 0;
/// Done.
const DONE: i64 = 1;
/// The time is past: the element is gone.
const DELETED: i64 = 2;

/// The names behind `ELEMENTS count` at `argv[at]`, with which the command must end.
fn elements(argv: Argv<'_>, at: usize) -> Result<Argv<'_>, CommandError> {
    if !argv.get(at).is_some_and(|word| is(word, "ELEMENTS")) {
        return Err(CommandError::text("ERR Mandatory argument ELEMENTS is missing or not at the right position"));
    }
    let count = argv.get(at + 1).and_then(parse_i64).filter(|count| *count > 0);
    let count = count.ok_or(CommandError::text("ERR Number of elements must be a positive integer"))?;
    let names = argv.from(at + 2);
    if usize::try_from(count) != Ok(names.len()) {
        return Err(CommandError::text("ERR The `numelements` parameter must match the number of arguments"));
    }
    Ok(names)
}

fn vexpire(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    set_expiry(ctx, argv, Unit { seconds: true, absolute: false })
}

fn vpexpire(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    set_expiry(ctx, argv, Unit { seconds: false, absolute: false })
}

fn vexpireat(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    set_expiry(ctx, argv, Unit { seconds: true, absolute: true })
}

fn vpexpireat(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    set_expiry(ctx, argv, Unit { seconds: false, absolute: true })
}

fn set_expiry(ctx: &mut Ctx<'_>, argv: Argv<'_>, unit: Unit) -> CommandResult {
    let key = ctx.first_key(argv);
    if !await_searches(ctx, &key, PATIENCE)? {
        return Ok(());
    }
    let at_ms = expiry_ms(integer(argv.at(2))?, unit, ctx.ks.now_ms, ctx.entry.full_name)?;
    let condition = Condition::parse(argv.at(3));
    let names = elements(argv, 3 + usize::from(condition.is_some()))?;
    ctx.ks.expire_elements(key, names.iter());
    let as_of = ctx.ks.as_of();
    // A replica leaves deleting to its primary.
    let deletes = at_ms <= ctx.ks.now_ms && ctx.ks.expiry == ExpiryRule::Delete;
    let Some(set) = ctx.ks.value_mut::<SharedVectorSet>(key)?.cloned() else { return no_elements(ctx, names) };
    let mut met = Vec::new();
    ctx.reply.array(names.len());
    let mut set = set.write();
    let before = set.earliest();
    for name in names.iter() {
        ctx.reply.integer(match set.slot_seen(name, as_of) {
            None => NO_ELEMENT,
            Some(slot) if condition.is_some_and(|condition| !condition.holds(set.expiry(slot), at_ms)) => REFUSED,
            Some(_) if deletes => {
                set.remove(name);
                met.push(name);
                DELETED
            }
            Some(slot) => {
                set.set_expiry(slot, Some(at_ms));
                met.push(name);
                DONE
            }
        });
    }
    let after = set.earliest();
    drop(set);
    ctx.ks.reindex(&key, before, after);
    if met.is_empty() {
        return Ok(());
    }
    ctx.ks.changed(&key);
    ctx.ks.dirty += met.len() as u64 - 1;
    if deletes {
        for name in &met {
            ctx.replay_as(&[b"VREM", key.name, name]);
        }
        ctx.ks.delete_if_empty(key);
    } else {
        let at = IntText::new(at_ms);
        replay(ctx, &[b"VPEXPIREAT", key.name, at.as_bytes()], &met);
    }
    Ok(())
}

/// Replays as these words with the elements behind them.
fn replay(ctx: &mut Ctx<'_>, words: &[&[u8]], names: &[&[u8]]) {
    let count = IntText::new(names.len() as i64);
    let behind = [b"ELEMENTS".as_slice(), count.as_bytes()];
    let words: Vec<&[u8]> = words.iter().chain(&behind).chain(names).copied().collect();
    ctx.replay_as(&words);
}

/// The answer where there is no set.
fn no_elements(ctx: &mut Ctx<'_>, names: Argv<'_>) -> CommandResult {
    ctx.reply.array(names.len());
    names.iter().for_each(|_| ctx.reply.integer(NO_ELEMENT));
    Ok(())
}

fn vttl(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    tell_expiry(ctx, argv, |at_ms, now_ms| seconds(left_ms(at_ms, now_ms)))
}

fn vpttl(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    tell_expiry(ctx, argv, left_ms)
}

fn vexpiretime(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    tell_expiry(ctx, argv, |at_ms, _| seconds(at_ms))
}

fn vpexpiretime(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    tell_expiry(ctx, argv, |at_ms, _| at_ms)
}

fn tell_expiry(ctx: &mut Ctx<'_>, argv: Argv<'_>, shown: impl Fn(i64, i64) -> i64) -> CommandResult {
    let set = set_at(ctx, argv)?;
    let names = elements(argv, 2)?;
    let Some(set) = set else { return no_elements(ctx, names) };
    let (set, as_of, now_ms) = (set.read(), ctx.ks.as_of(), ctx.ks.now_ms);
    ctx.reply.array(names.len());
    for name in names.iter() {
        ctx.reply.integer(match set.slot_seen(name, as_of).map(|slot| set.expiry(slot)) {
            None => NO_ELEMENT,
            Some(None) => NO_EXPIRY,
            Some(Some(at_ms)) => shown(at_ms, now_ms),
        });
    }
    Ok(())
}

fn vpersist(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    if !await_searches(ctx, &key, PATIENCE)? {
        return Ok(());
    }
    let names = elements(argv, 2)?;
    ctx.ks.expire_elements(key, names.iter());
    let as_of = ctx.ks.as_of();
    let Some(set) = ctx.ks.value_mut::<SharedVectorSet>(key)?.cloned() else { return no_elements(ctx, names) };
    let mut met = Vec::new();
    ctx.reply.array(names.len());
    let mut set = set.write();
    let before = set.earliest();
    for name in names.iter() {
        ctx.reply.integer(match set.slot_seen(name, as_of).map(|slot| (slot, set.expiry(slot))) {
            None => NO_ELEMENT,
            Some((_, None)) => NO_EXPIRY,
            Some((slot, Some(_))) => {
                set.set_expiry(slot, None);
                met.push(name);
                DONE
            }
        });
    }
    let after = set.earliest();
    drop(set);
    ctx.ks.reindex(&key, before, after);
    if !met.is_empty() {
        ctx.ks.changed(&key);
        ctx.ks.dirty += met.len() as u64 - 1;
        replay(ctx, &[b"VPERSIST", key.name], &met);
    }
    Ok(())
}
