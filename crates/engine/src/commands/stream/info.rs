//! XINFO: streams, their groups and their consumers.

use quiver_resp::{Argv, Encoder};

use super::super::args::{integer, is};
use super::{bad_subcommand, default_settings, no_group, sub_key, write_entry, write_id};
use crate::command::{Acl, Arg, Command, CommandResult, Flags, Group, KeyFlags};
use crate::commands::help::help;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::types::stream::group::{Consumer, Group as ConsumerGroup};
use crate::types::stream::idmp::{Idmp, Settings};
use crate::types::stream::{Id, Log, Stream};

/// The table entries.
pub const COMMANDS: &[Command] = &[Command {
    name: "xinfo",
    summary: "Groups the commands that look at streams.",
    since: "5.0.0",
    complexity: "Depends on the subcommand",
    group: Group::Stream,
    arity: -2,
    subcommands: &[
        Command {
            name: "consumers",
            summary: "Lists the consumers of a consumer group.",
            since: "5.0.0",
            complexity: "O(N) where N is the number of consumers",
            group: Group::Stream,
            arity: 4,
            flags: Flags::READONLY,
            acl: Acl::STREAM,
            tips: &["nondeterministic_output"],
            keys: &[sub_key(KeyFlags::RO.with(KeyFlags::ACCESS))],
            args: &[Arg::key("key"), Arg::string("group")],
            run: xinfo_consumers,
            ..Command::NEW
        },
        Command {
            name: "groups",
            summary: "Lists the consumer groups of a stream.",
            since: "5.0.0",
            complexity: "O(N) where N is the number of groups",
            group: Group::Stream,
            arity: 3,
            flags: Flags::READONLY,
            acl: Acl::STREAM,
            keys: &[sub_key(KeyFlags::RO.with(KeyFlags::ACCESS))],
            args: &[Arg::key("key")],
            run: xinfo_groups,
            ..Command::NEW
        },
        Command {
            name: "help",
            summary: "Explains the subcommands of XINFO.",
            since: "5.0.0",
            group: Group::Stream,
            arity: 2,
            flags: Flags::LOADING.with(Flags::STALE),
            acl: Acl::STREAM,
            run: xinfo_help,
            ..Command::NEW
        },
        Command {
            name: "stream",
            summary: "Describes a stream.",
            since: "5.0.0",
            group: Group::Stream,
            arity: -3,
            flags: Flags::READONLY,
            acl: Acl::STREAM,
            keys: &[sub_key(KeyFlags::RO.with(KeyFlags::ACCESS))],
            args: &[
                Arg::key("key"),
                Arg::block("full-block", &[Arg::word("full", "FULL"), Arg::integer("count").after("COUNT").optional()])
                    .optional(),
            ],
            run: xinfo_stream,
            ..Command::NEW
        },
    ],
    ..Command::NEW
}];

fn xinfo_consumers(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (key, now_ms) = (ctx.key(argv.at(2)), ctx.ks.now_ms);
    let stream = ctx.ks.value::<Box<Stream>>(key)?.ok_or(CommandError::NoSuchKey)?;
    let group = stream.groups.get(argv.at(3)).ok_or_else(|| no_group(key.name, argv.at(3)))?;
    let reply = &mut ctx.reply;
    reply.array(group.consumers().len());
    for consumer in group.consumers() {
        let inactive = if consumer.active_time < 0 { -1 } else { now_ms.wrapping_sub(consumer.active_time) };
        reply.map(4);
        reply.bulk(b"name");
        reply.bulk(consumer.name());
        number(reply, "pending", consumer.pending().len() as i64);
        number(reply, "idle", now_ms.wrapping_sub(consumer.seen_time).max(0));
        number(reply, "inactive", inactive);
    }
    Ok(())
}

fn xinfo_groups(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.key(argv.at(2));
    let stream = ctx.ks.value::<Box<Stream>>(key)?.ok_or(CommandError::NoSuchKey)?;
    let reply = &mut ctx.reply;
    reply.array(stream.groups.len());
    for (name, group) in &stream.groups {
        reply.map(6);
        reply.bulk(b"name");
        reply.bulk(name);
        number(reply, "consumers", group.consumers().len() as i64);
        number(reply, "pending", group.pending_len() as i64);
        write_position(reply, &stream.log, group);
    }
    Ok(())
}

fn xinfo_stream(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (key, defaults) = (ctx.key(argv.at(2)), default_settings(ctx));
    let stream = ctx.ks.value::<Box<Stream>>(key)?.ok_or(CommandError::NoSuchKey)?;
    let full = full_count(argv)?;
    let (reply, log) = (&mut ctx.reply, &stream.log);
    reply.map(if full.is_some() { 15 } else { 16 });
    number(reply, "length", log.len() as i64);
    number(reply, "radix-tree-keys", log.block_count() as i64);
    number(reply, "radix-tree-nodes", radix_tree_nodes(log) as i64);
    for (name, id) in [("last-generated-id", log.last_id()), ("max-deleted-entry-id", log.max_deleted_id())] {
        reply.bulk(name.as_bytes());
        write_id(reply, id);
    }
    number(reply, "entries-added", log.entries_added() as i64);
    reply.bulk(b"recorded-first-entry-id");
    write_id(reply, log.first_id());
    write_messages(reply, stream.idmp.as_deref(), defaults);
    match full {
        None => write_ends(reply, stream),
        Some(most) => write_full(reply, stream, most),
    }
    Ok(())
}

/// How many of everything FULL shows; nothing without FULL.
fn full_count(argv: Argv<'_>) -> Result<Option<usize>, CommandError> {
    const USUAL: usize = 10;
    match argv.len() {
        3 => Ok(None),
        4 if is(argv.at(3), "full") => Ok(Some(USUAL)),
        6 if is(argv.at(3), "full") && is(argv.at(4), "count") => Ok(Some(match integer(argv.at(5))? {
            0 => usize::MAX,
            count => usize::try_from(count).unwrap_or(USUAL),
        })),
        _ => Err(bad_subcommand(argv, "XINFO")),
    }
}

/// What is remembered of producers' messages.
fn write_messages(reply: &mut Encoder<'_>, idmp: Option<&Idmp>, defaults: Settings) {
    let settings = idmp.map_or(defaults, |idmp| idmp.settings);
    number(reply, "idmp-duration", settings.duration_s as i64);
    number(reply, "idmp-maxsize", settings.maxsize as i64);
    number(reply, "pids-tracked", idmp.map_or(0, Idmp::producers) as i64);
    number(reply, "iids-tracked", idmp.map_or(0, Idmp::messages) as i64);
    number(reply, "iids-added", idmp.map_or(0, |idmp| idmp.added) as i64);
    number(reply, "iids-duplicates", idmp.map_or(0, |idmp| idmp.duplicates) as i64);
}

/// The number of groups, the first and the last entry.
fn write_ends(reply: &mut Encoder<'_>, stream: &Stream) {
    number(reply, "groups", stream.groups.len() as i64);
    let first = stream.log.range(Id::MIN, Id::MAX).next();
    let last = stream.log.range_back(Id::MIN, Id::MAX).next();
    for (name, entry) in [("first-entry", first), ("last-entry", last)] {
        reply.bulk(name.as_bytes());
        match entry {
            Some(entry) => write_entry(reply, &entry),
            None => reply.null(),
        }
    }
}

/// The first entries, and each group with its consumers.
fn write_full(reply: &mut Encoder<'_>, stream: &Stream, most: usize) {
    reply.bulk(b"entries");
    let (at, mut written) = (reply.position(), 0);
    for entry in stream.log.range(Id::MIN, Id::MAX).take(most) {
        write_entry(reply, &entry);
        written += 1;
    }
    reply.array_before(at, written);
    reply.bulk(b"groups");
    reply.array(stream.groups.len());
    for (name, group) in &stream.groups {
        write_group(reply, &stream.log, name, group, most);
    }
}

fn write_group(reply: &mut Encoder<'_>, log: &Log, name: &[u8], group: &ConsumerGroup, most: usize) {
    reply.map(8);
    reply.bulk(b"name");
    reply.bulk(name);
    write_position(reply, log, group);
    number(reply, "pel-count", group.pending_len() as i64);
    number(reply, "nacked-count", group.released_len() as i64);
    reply.bulk(b"pending");
    reply.array(group.pending_len().min(most));
    for (id, pending) in group.pending_range(Id::MIN, Id::MAX).take(most) {
        reply.array(4);
        write_id(reply, id);
        reply.bulk(group.owner_name(pending));
        reply.integer(pending.delivery_time);
        reply.integer(pending.delivery_count);
    }
    reply.bulk(b"consumers");
    reply.array(group.consumers().len());
    for consumer in group.consumers() {
        write_consumer(reply, group, consumer, most);
    }
}

fn write_consumer(reply: &mut Encoder<'_>, group: &ConsumerGroup, consumer: &Consumer, most: usize) {
    reply.map(5);
    reply.bulk(b"name");
    reply.bulk(consumer.name());
    number(reply, "seen-time", consumer.seen_time);
    number(reply, "active-time", consumer.active_time);
    number(reply, "pel-count", consumer.pending().len() as i64);
    reply.bulk(b"pending");
    reply.array(consumer.pending().len().min(most));
    for id in consumer.pending().iter().take(most) {
        let pending = group.pending(*id).expect("a consumer's entries are pending in its group");
        reply.array(3);
        write_id(reply, *id);
        reply.integer(pending.delivery_time);
        reply.integer(pending.delivery_count);
    }
}

/// How far a group is.
fn write_position(reply: &mut Encoder<'_>, log: &Log, group: &ConsumerGroup) {
    reply.bulk(b"last-delivered-id");
    write_id(reply, group.last_id);
    let read = group.entries_read.map(|read| read as i64);
    for (name, value) in [("entries-read", read), ("lag", group.lag(log))] {
        reply.bulk(name.as_bytes());
        match value {
            Some(value) => reply.integer(value),
            None => reply.null(),
        }
    }
}

fn number(reply: &mut Encoder<'_>, name: &str, value: i64) {
    reply.bulk(name.as_bytes());
    reply.integer(value);
}

/// Nodes that Redis' radix tree would have for these blocks: runs of bytes without a branch are one node, and so is a
/// branch, and every key's end. Cost: O(blocks).
fn radix_tree_nodes(log: &Log) -> usize {
    /// Bytes of a key.
    const DEPTH: usize = 16;
    let keys: Vec<[u8; DEPTH]> = log.block_ids().map(Id::to_bytes).collect();
    if keys.is_empty() {
        return 1;
    }
    let run = |from: usize, to: usize| usize::from(to > from);
    let common = |two: &[[u8; DEPTH]]| two[0].iter().zip(&two[1]).take_while(|(a, b)| a == b).count();
    let branches: Vec<usize> = keys.windows(2).map(common).collect();
    // Depths of the branches that the walk from key to key is inside of.
    let mut open: Vec<usize> = Vec::new();
    let mut nodes = 0;
    let leaf = |parent: Option<usize>| 1 + run(parent.map_or(0, |depth| depth + 1), DEPTH);
    for (index, _) in keys.iter().enumerate() {
        let next = branches.get(index).copied();
        let previous = index.checked_sub(1).map(|index| branches[index]);
        // A key hangs on the deeper of the branches to its neighbours.
        nodes += leaf(previous.max(next));
        while let Some(depth) = open.pop_if(|depth| next.is_none_or(|next| next < *depth)) {
            let parent = open.last().copied().max(next);
            nodes += 1 + run(parent.map_or(0, |parent| parent + 1), depth);
        }
        if let Some(next) = next.filter(|next| open.last() != Some(next)) {
            open.push(next);
        }
    }
    nodes
}

fn xinfo_help(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    let lines = [
        ("CONSUMERS <key> <groupname>", "Lists the consumers of a group."),
        ("GROUPS <key>", "Lists the groups of a stream."),
        ("STREAM <key> [FULL [COUNT <count>]]", "Describes a stream, with its entries and groups if FULL is given."),
    ];
    help(ctx, "XINFO", &lines);
    Ok(())
}
