//! Commands for keys of any type: <https://redis.io/docs/latest/commands/?group=generic>.
//!
//! Here: whether keys exist, their type, their removal. In files of their own: values that go elsewhere (`transfer`),
//! expiry (`expire`), walks over the keyspace (`scan`), how values are stored (`object`), values as sealed bytes (`dump`)
//! and on their way to another server (`migrate`). Not here: SORT and WAIT.

pub mod dump;
pub mod expire;
pub mod migrate;
pub mod object;
pub mod scan;
pub mod transfer;

use quiver_resp::Argv;

use crate::command::{Acl, Arg, Command, CommandResult, Flags, KeyFlags, KeySpec};
use crate::context::Ctx;
use crate::notify::Class;
use crate::object::type_name;

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "del",
        summary: "Removes keys and answers how many existed.",
        complexity: "O(N) where N is the number of keys, plus the elements of each collection freed",
        arity: -2,
        flags: Flags::WRITE,
        acl: Acl::KEYSPACE,
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        keys: &[KeySpec::all(KeyFlags::RM.with(KeyFlags::DELETE))],
        args: &[Arg::key("key").multiple()],
        run: del,
        ..Command::NEW
    },
    Command {
        name: "exists",
        summary: "Counts how many of the given keys exist.",
        complexity: "O(N) where N is the number of keys",
        arity: -2,
        flags: Flags::READONLY.with(Flags::FAST),
        acl: Acl::KEYSPACE,
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        keys: &[KeySpec::all(KeyFlags::RO)],
        args: &[Arg::key("key").multiple()],
        run: exists,
        ..Command::NEW
    },
    Command {
        name: "touch",
        summary: "Marks keys as used and answers how many exist.",
        since: "3.2.1",
        complexity: "O(N) where N is the number of keys",
        arity: -2,
        flags: Flags::READONLY.with(Flags::FAST),
        acl: Acl::KEYSPACE,
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        keys: &[KeySpec::all(KeyFlags::RO)],
        args: &[Arg::key("key").multiple()],
        run: touch,
        ..Command::NEW
    },
    Command {
        name: "type",
        summary: "Names the type of the value at a key.",
        arity: 2,
        flags: Flags::READONLY.with(Flags::FAST),
        acl: Acl::KEYSPACE,
        keys: &[KeySpec::one(KeyFlags::RO)],
        args: &[Arg::key("key")],
        run: type_,
        ..Command::NEW
    },
    Command {
        name: "unlink",
        summary: "Removes keys and frees their values in the background.",
        since: "4.0.0",
        complexity: "O(1) per key, plus freeing outside the command",
        arity: -2,
        flags: Flags::WRITE.with(Flags::FAST),
        acl: Acl::KEYSPACE,
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        keys: &[KeySpec::all(KeyFlags::RM.with(KeyFlags::DELETE))],
        args: &[Arg::key("key").multiple()],
        run: unlink,
        ..Command::NEW
    },
];

/// The name TYPE prints where there is no key.
const NO_TYPE: &str = "none";

fn exists(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    count(ctx, argv, |ctx, name| ctx.ks.look(ctx.key(name)).is_some())
}

fn touch(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    // Marking is what it is for, so CLIENT NO-TOUCH does not hold for it.
    let no_touch = std::mem::replace(&mut ctx.ks.no_touch, false);
    let counted = count(ctx, argv, |ctx, name| ctx.ks.get(ctx.key(name)).is_some());
    ctx.ks.no_touch = no_touch;
    counted
}

fn del(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    count(ctx, argv, |ctx, name| {
        let there = ctx.ks.delete(ctx.key(name));
        if there {
            ctx.ks.notify(Class::GENERIC, "del", name);
        }
        there
    })
}

/// As DEL, which leaves the freeing of what is large to the background as well.
fn unlink(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    del(ctx, argv)
}

/// Answers for how many of the named keys `holds` is true; a key named twice counts twice.
fn count(ctx: &mut Ctx<'_>, argv: Argv<'_>, holds: impl Fn(&mut Ctx<'_>, &[u8]) -> bool) -> CommandResult {
    let counted = argv.from(1).iter().filter(|name| holds(ctx, name)).count();
    ctx.reply.integer(counted as i64);
    Ok(())
}

fn type_(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let name = ctx.ks.look(key).map_or(NO_TYPE, |entry| type_name(&entry.value()));
    ctx.reply.simple(name);
    Ok(())
}
