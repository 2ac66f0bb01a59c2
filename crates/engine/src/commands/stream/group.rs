//! XGROUP: making, moving and removing consumer groups and their consumers.

use quiver_resp::Argv;

use super::super::args::{integer, is};
use super::{BAD_ID, bad_subcommand, exact_id, no_group, sub_key};
use crate::command::{Acl, Arg, Command, CommandResult, Flags, Group, KeyFlags};
use crate::commands::help::help;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::notify::Class;
use crate::types::stream::group::Group as ConsumerGroup;
use crate::types::stream::{Id, Stream};

const ID_SELECTOR: Arg = Arg::one_of("id-selector", &[Arg::string("id"), Arg::word("new-id", "$")]);
const ENTRIES_READ: Arg = Arg::integer("entriesread").after("ENTRIESREAD").optional();

/// The table entries.
pub const COMMANDS: &[Command] = &[Command {
    name: "xgroup",
    summary: "Groups the commands that manage consumer groups.",
    since: "5.0.0",
    complexity: "Depends on the subcommand",
    group: Group::Stream,
    arity: -2,
    subcommands: &[
        Command {
            name: "create",
            summary: "Makes a consumer group.",
            since: "5.0.0",
            group: Group::Stream,
            arity: -5,
            flags: Flags::WRITE.with(Flags::DENYOOM),
            acl: Acl::STREAM,
            keys: &[sub_key(KeyFlags::RW.with(KeyFlags::INSERT))],
            args: &[
                Arg::key("key"),
                Arg::string("group"),
                ID_SELECTOR,
                Arg::word("mkstream", "MKSTREAM").optional(),
                ENTRIES_READ,
            ],
            run: xgroup_create,
            ..Command::NEW
        },
        Command {
            name: "createconsumer",
            summary: "Makes a consumer in a consumer group.",
            since: "6.2.0",
            group: Group::Stream,
            arity: 5,
            flags: Flags::WRITE.with(Flags::DENYOOM),
            acl: Acl::STREAM,
            keys: &[sub_key(KeyFlags::RW.with(KeyFlags::INSERT))],
            args: &[Arg::key("key"), Arg::string("group"), Arg::string("consumer")],
            run: xgroup_createconsumer,
            ..Command::NEW
        },
        Command {
            name: "delconsumer",
            summary: "Removes a consumer from a consumer group, with what it has not acknowledged.",
            since: "5.0.0",
            group: Group::Stream,
            arity: 5,
            flags: Flags::WRITE,
            acl: Acl::STREAM,
            keys: &[sub_key(KeyFlags::RW.with(KeyFlags::DELETE))],
            args: &[Arg::key("key"), Arg::string("group"), Arg::string("consumer")],
            run: xgroup_delconsumer,
            ..Command::NEW
        },
        Command {
            name: "destroy",
            summary: "Removes a consumer group.",
            since: "5.0.0",
            complexity: "O(N) where N is the number of entries the group has not acknowledged",
            group: Group::Stream,
            arity: 4,
            flags: Flags::WRITE,
            acl: Acl::STREAM,
            keys: &[sub_key(KeyFlags::RW.with(KeyFlags::DELETE))],
            args: &[Arg::key("key"), Arg::string("group")],
            run: xgroup_destroy,
            ..Command::NEW
        },
        Command {
            name: "help",
            summary: "Explains the subcommands of XGROUP.",
            since: "5.0.0",
            group: Group::Stream,
            arity: 2,
            flags: Flags::LOADING.with(Flags::STALE),
            acl: Acl::STREAM,
            run: xgroup_help,
            ..Command::NEW
        },
        Command {
            name: "setid",
            summary: "Sets the last entry that counts as delivered to a consumer group.",
            since: "5.0.0",
            group: Group::Stream,
            arity: -5,
            flags: Flags::WRITE,
            acl: Acl::STREAM,
            keys: &[sub_key(KeyFlags::RW.with(KeyFlags::UPDATE))],
            args: &[Arg::key("key"), Arg::string("group"), ID_SELECTOR, ENTRIES_READ],
            run: xgroup_setid,
            ..Command::NEW
        },
    ],
    ..Command::NEW
}];

/// Without MKSTREAM the stream must be there.
const NO_STREAM: CommandError = CommandError::text(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option \
     to create an empty stream automatically.",
);

/// The options behind the id: MKSTREAM where it may be, and ENTRIESREAD.
fn options(argv: Argv<'_>, may_create: bool) -> Result<(bool, Option<u64>), CommandError> {
    let (mut mkstream, mut read, mut at) = (false, None, 5);
    while let Some(word) = argv.get(at) {
        if may_create && is(word, "mkstream") {
            mkstream = true;
            at += 1;
        } else if is(word, "entriesread") && at + 1 < argv.len() {
            read = match integer(argv.at(at + 1))? {
                -1 => None,
                count => Some(
                    u64::try_from(count)
                        .map_err(|_| CommandError::text("ERR value for ENTRIESREAD must be positive or -1"))?,
                ),
            };
            at += 2;
        } else {
            return Err(bad_subcommand(argv, "XGROUP"));
        }
    }
    Ok((mkstream, read))
}

fn xgroup_create(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (mkstream, read) = options(argv, true)?;
    let (key, name) = (ctx.key(argv.at(2)), argv.at(3));
    let stream = ctx.ks.value_mut::<Box<Stream>>(key)?;
    if stream.is_none() && !mkstream {
        return Err(NO_STREAM);
    }
    if argv.len() > 8 {
        return Err(bad_subcommand(argv, "XGROUP"));
    }
    let last_id = match (argv.at(4), &stream) {
        (b"$", Some(stream)) => stream.log.last_id(),
        (b"$", None) => Id::MIN,
        (text, _) => exact_id(text)?,
    };
    if stream.is_some_and(|stream| stream.groups.contains_key(name)) {
        return Err(CommandError::text("BUSYGROUP Consumer Group name already exists"));
    }
    let stream = ctx.ks.value_or_new::<Box<Stream>>(key)?;
    stream.groups.insert(name.into(), ConsumerGroup::new(last_id, read));
    ctx.ks.changed(&key);
    ctx.ks.notify(Class::STREAM, "xgroup-create", key.name);
    ctx.reply.ok();
    Ok(())
}

fn xgroup_setid(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (_, read) = options(argv, false)?;
    let (key, name) = (ctx.key(argv.at(2)), argv.at(3));
    let stream = ctx.ks.value_mut::<Box<Stream>>(key)?.ok_or(NO_STREAM)?;
    let group = stream.groups.get_mut(name).ok_or_else(|| no_group(key.name, name))?;
    if argv.len() > 7 {
        return Err(bad_subcommand(argv, "XGROUP"));
    }
    group.last_id = match argv.at(4) {
        b"$" => stream.log.last_id(),
        text => Id::parse_bound(text, 0).ok_or(BAD_ID)?,
    };
    group.entries_read = read;
    ctx.ks.changed(&key);
    ctx.ks.notify(Class::STREAM, "xgroup-setid", key.name);
    ctx.reply.ok();
    Ok(())
}

fn xgroup_destroy(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.key(argv.at(2));
    let stream = ctx.ks.value_mut::<Box<Stream>>(key)?.ok_or(NO_STREAM)?;
    let there = stream.groups.remove(argv.at(3)).is_some();
    if there {
        ctx.ks.changed(&key);
        ctx.ks.notify(Class::STREAM, "xgroup-destroy", key.name);
    }
    ctx.reply.integer(there.into());
    Ok(())
}

fn xgroup_createconsumer(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (key, now_ms) = (ctx.key(argv.at(2)), ctx.ks.now_ms);
    let stream = ctx.ks.value_mut::<Box<Stream>>(key)?.ok_or(NO_STREAM)?;
    let group = stream.groups.get_mut(argv.at(3)).ok_or_else(|| no_group(key.name, argv.at(3)))?;
    let (_, is_new) = group.find_or_create(argv.at(4), now_ms);
    if is_new {
        // As in Redis, watchers are not told: what they read has not changed.
        ctx.ks.dirty += 1;
        ctx.ks.notify(Class::STREAM, "xgroup-createconsumer", key.name);
    }
    ctx.reply.integer(is_new.into());
    Ok(())
}

fn xgroup_delconsumer(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.key(argv.at(2));
    let stream = ctx.ks.value_mut::<Box<Stream>>(key)?.ok_or(NO_STREAM)?;
    let group = stream.groups.get_mut(argv.at(3)).ok_or_else(|| no_group(key.name, argv.at(3)))?;
    let pending = group.remove_consumer(argv.at(4));
    if pending.is_some() {
        ctx.ks.changed(&key);
        ctx.ks.notify(Class::STREAM, "xgroup-delconsumer", key.name);
    }
    ctx.reply.integer(pending.unwrap_or(0) as i64);
    Ok(())
}

fn xgroup_help(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    let lines = [
        ("CREATE <key> <groupname> <id|$> [option]", "Makes a consumer group. Options: MKSTREAM, ENTRIESREAD <count>."),
        ("CREATECONSUMER <key> <groupname> <consumer>", "Makes a consumer in a group."),
        ("DELCONSUMER <key> <groupname> <consumer>", "Removes a consumer and what it has not acknowledged."),
        ("DESTROY <key> <groupname>", "Removes a group."),
        ("SETID <key> <groupname> <id|$> [ENTRIESREAD <count>]", "Sets the last entry that counts as delivered."),
    ];
    help(ctx, "XGROUP", &lines);
    Ok(())
}
