//! Hashes: <https://redis.io/docs/latest/develop/data-types/hashes/>.
//!
//! The table entries, and the commands that read; those that change a hash are in `write.rs`, random picks in
//! `random.rs`, HSCAN in `scan.rs`. What expires single fields is in `expire.rs`, what does so beside reading or writing
//! values in `expiring.rs`, HIMPORT in `himport.rs`; all three have table entries of their own. The value itself is `types/hash.rs`.

pub mod expire;
pub mod expiring;
mod fields;
pub mod himport;
mod random;
mod scan;
mod write;

use quiver_resp::{Argv, Encoder};
use quiver_structures::listpack::Item;

use crate::command::{Acl, Arg, Command, CommandResult, Flags, Group, KeyFlags, KeySpec};
use crate::context::Ctx;
use crate::types::hash::{Hash, ItemText};
pub(crate) use expire::{Condition, left_ms, seconds};
pub(crate) use fields::expiry_ms;
use random::hrandfield;
use scan::hscan;
pub(crate) use write::limits;
use write::{hdel, hincrby, hincrbyfloat, hmset, hset, hsetnx};

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "hdel",
        summary: "Removes fields from a hash, and the hash with its last field.",
        since: "2.0.0",
        complexity: "O(N) where N is the number of fields given",
        group: Group::Hash,
        arity: -3,
        flags: Flags::WRITE.with(Flags::FAST),
        acl: Acl::HASH,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::DELETE))],
        args: &[Arg::key("key"), Arg::string("field").multiple()],
        run: hdel,
        ..Command::NEW
    },
    Command {
        name: "hexists",
        summary: "Tells whether a hash has a field.",
        since: "2.0.0",
        group: Group::Hash,
        arity: 3,
        flags: Flags::READONLY.with(Flags::FAST),
        acl: Acl::HASH,
        keys: &[KeySpec::one(KeyFlags::RO)],
        args: &[Arg::key("key"), Arg::string("field")],
        run: hexists,
        ..Command::NEW
    },
    Command {
        name: "hget",
        summary: "Reads one field of a hash.",
        since: "2.0.0",
        group: Group::Hash,
        arity: 3,
        flags: Flags::READONLY.with(Flags::FAST),
        acl: Acl::HASH,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key"), Arg::string("field")],
        run: hget,
        ..Command::NEW
    },
    Command {
        name: "hgetall",
        summary: "Reads all fields and values of a hash.",
        since: "2.0.0",
        complexity: "O(N) where N is the size of the hash",
        group: Group::Hash,
        arity: 2,
        flags: Flags::READONLY,
        acl: Acl::HASH,
        tips: &["nondeterministic_output_order"],
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key")],
        run: hgetall,
        ..Command::NEW
    },
    Command {
        name: "hincrby",
        summary: "Adds to the integer a hash field holds.",
        since: "2.0.0",
        group: Group::Hash,
        arity: 4,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        acl: Acl::HASH,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE))],
        args: &[Arg::key("key"), Arg::string("field"), Arg::integer("increment")],
        run: hincrby,
        ..Command::NEW
    },
    Command {
        name: "hincrbyfloat",
        summary: "Adds a decimal number to the number a hash field holds.",
        since: "2.6.0",
        group: Group::Hash,
        arity: 4,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        acl: Acl::HASH,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE))],
        args: &[Arg::key("key"), Arg::string("field"), Arg::double("increment")],
        run: hincrbyfloat,
        ..Command::NEW
    },
    Command {
        name: "hkeys",
        summary: "Lists the field names of a hash.",
        since: "2.0.0",
        complexity: "O(N) where N is the size of the hash",
        group: Group::Hash,
        arity: 2,
        flags: Flags::READONLY,
        acl: Acl::HASH,
        tips: &["nondeterministic_output_order"],
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key")],
        run: hkeys,
        ..Command::NEW
    },
    Command {
        name: "hlen",
        summary: "Answers the number of fields of a hash.",
        since: "2.0.0",
        group: Group::Hash,
        arity: 2,
        flags: Flags::READONLY.with(Flags::FAST),
        acl: Acl::HASH,
        keys: &[KeySpec::one(KeyFlags::RO)],
        args: &[Arg::key("key")],
        run: hlen,
        ..Command::NEW
    },
    Command {
        name: "hmget",
        summary: "Reads several fields of a hash in one go.",
        since: "2.0.0",
        complexity: "O(N) where N is the number of fields given",
        group: Group::Hash,
        arity: -3,
        flags: Flags::READONLY.with(Flags::FAST),
        acl: Acl::HASH,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key"), Arg::string("field").multiple()],
        run: hmget,
        ..Command::NEW
    },
    Command {
        name: "hmset",
        summary: "Writes several fields of a hash; HSET does the same today.",
        since: "2.0.0",
        complexity: "O(N) where N is the number of fields given",
        group: Group::Hash,
        arity: -4,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        acl: Acl::HASH,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::UPDATE))],
        args: &[Arg::key("key"), Arg::block("data", &[Arg::string("field"), Arg::string("value")]).multiple()],
        deprecated: Some(("4.0.0", "`HSET` with multiple field-value pairs")),
        run: hmset,
        ..Command::NEW
    },
    Command {
        name: "hrandfield",
        summary: "Picks fields of a hash at random, with their values if wanted.",
        since: "6.2.0",
        complexity: "O(N) where N is the number of fields picked",
        group: Group::Hash,
        arity: -2,
        flags: Flags::READONLY,
        acl: Acl::HASH,
        tips: &["nondeterministic_output"],
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[
            Arg::key("key"),
            Arg::block("options", &[Arg::integer("count"), Arg::word("withvalues", "WITHVALUES").optional()])
                .optional(),
        ],
        run: hrandfield,
        ..Command::NEW
    },
    Command {
        name: "hscan",
        summary: "Walks the fields of a hash a batch at a time.",
        since: "2.8.0",
        complexity: "O(1) per call, O(N) for a full iteration over N fields",
        group: Group::Hash,
        arity: -3,
        flags: Flags::READONLY,
        acl: Acl::HASH,
        tips: &["nondeterministic_output"],
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[
            Arg::key("key"),
            Arg::integer("cursor"),
            Arg::pattern("pattern").after("MATCH").optional(),
            Arg::integer("count").after("COUNT").optional(),
            Arg::word("novalues", "NOVALUES").optional(),
        ],
        run: hscan,
        ..Command::NEW
    },
    Command {
        name: "hset",
        summary: "Writes fields of a hash, creating it when missing.",
        since: "2.0.0",
        complexity: "O(N) where N is the number of fields given",
        group: Group::Hash,
        arity: -4,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        acl: Acl::HASH,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::UPDATE))],
        args: &[Arg::key("key"), Arg::block("data", &[Arg::string("field"), Arg::string("value")]).multiple()],
        run: hset,
        ..Command::NEW
    },
    Command {
        name: "hsetnx",
        summary: "Writes a field of a hash only when it is not there yet.",
        since: "2.0.0",
        group: Group::Hash,
        arity: 4,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        acl: Acl::HASH,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::INSERT))],
        args: &[Arg::key("key"), Arg::string("field"), Arg::string("value")],
        run: hsetnx,
        ..Command::NEW
    },
    Command {
        name: "hstrlen",
        summary: "Answers the length in bytes of a hash field's value.",
        since: "3.2.0",
        group: Group::Hash,
        arity: 3,
        flags: Flags::READONLY.with(Flags::FAST),
        acl: Acl::HASH,
        keys: &[KeySpec::one(KeyFlags::RO)],
        args: &[Arg::key("key"), Arg::string("field")],
        run: hstrlen,
        ..Command::NEW
    },
    Command {
        name: "hvals",
        summary: "Lists the values of a hash.",
        since: "2.0.0",
        complexity: "O(N) where N is the size of the hash",
        group: Group::Hash,
        arity: 2,
        flags: Flags::READONLY,
        acl: Acl::HASH,
        tips: &["nondeterministic_output_order"],
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key")],
        run: hvals,
        ..Command::NEW
    },
];

fn hget(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let as_of = ctx.ks.as_of();
    match ctx.ks.value::<Hash>(key)?.and_then(|hash| hash.get(argv.at(2), as_of)) {
        Some(value) => bulk(&mut ctx.reply, value),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn hmget(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let as_of = ctx.ks.as_of();
    let hash = ctx.ks.value::<Hash>(key)?;
    ctx.reply.array(argv.len() - 2);
    for field in argv.from(2) {
        match hash.and_then(|hash| hash.get(field, as_of)) {
            Some(value) => bulk(&mut ctx.reply, value),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

fn hgetall(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let as_of = ctx.ks.as_of();
    let hash = ctx.ks.value::<Hash>(key)?;
    ctx.reply.map(hash.map_or(0, |hash| hash.len_at(as_of)));
    for (field, value) in hash.iter().flat_map(|hash| hash.iter(as_of)) {
        bulk(&mut ctx.reply, field);
        bulk(&mut ctx.reply, value);
    }
    Ok(())
}

fn hkeys(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let as_of = ctx.ks.as_of();
    let hash = ctx.ks.value::<Hash>(key)?;
    ctx.reply.array(hash.map_or(0, |hash| hash.len_at(as_of)));
    hash.iter().flat_map(|hash| hash.iter(as_of)).for_each(|(field, _)| bulk(&mut ctx.reply, field));
    Ok(())
}

fn hvals(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let as_of = ctx.ks.as_of();
    let hash = ctx.ks.value::<Hash>(key)?;
    ctx.reply.array(hash.map_or(0, |hash| hash.len_at(as_of)));
    hash.iter().flat_map(|hash| hash.iter(as_of)).for_each(|(_, value)| bulk(&mut ctx.reply, value));
    Ok(())
}

fn hlen(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let as_of = ctx.ks.as_of();
    let len = ctx.ks.value::<Hash>(key)?.map_or(0, |hash| hash.len_at(as_of));
    ctx.reply.integer(len as i64);
    Ok(())
}

fn hstrlen(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let as_of = ctx.ks.as_of();
    let value = ctx.ks.value::<Hash>(key)?.and_then(|hash| hash.get(argv.at(2), as_of));
    let len = value.map_or(0, |value| ItemText::new(value).as_bytes().len());
    ctx.reply.integer(len as i64);
    Ok(())
}

fn hexists(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let as_of = ctx.ks.as_of();
    let there = ctx.ks.value::<Hash>(key)?.is_some_and(|hash| hash.contains(argv.at(2), as_of));
    ctx.reply.integer(there.into());
    Ok(())
}

/// A field or value as a bulk string.
fn bulk(reply: &mut Encoder<'_>, item: Item<'_>) {
    match item {
        Item::Int(number) => reply.bulk_of_int(number),
        Item::Str(bytes) => reply.bulk(bytes),
    }
}
