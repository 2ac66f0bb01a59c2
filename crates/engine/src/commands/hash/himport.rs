//! HIMPORT: many hashes with the same fields, whose names are said once (redis.io/docs/latest/commands/himport).
//!
//! A *fieldset* is an ordered list of field names under a name of its own. It belongs to the connection, and so nothing of
//! it is in the stream: what is replayed are the hashes.

use std::sync::Arc;

use quiver_resp::Argv;

use super::write::limits;
use crate::command::{Acl, Arg, Begin, Command, CommandResult, Find, Flags, Group, KeyFlags, KeySpec, Locks};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::notify::Class;
use crate::types::hash::Hash;

/// Most fieldsets of a connection.
const FIELDSETS_MAX: usize = 1024;

/// Most bytes of names in all fieldsets of a connection.
const NAME_BYTES_MAX: usize = 4 << 20;

/// What the container and its subcommands have in common.
const BASE: Command =
    Command { since: "8.10.0", group: Group::Hash, acl: Acl::HASH, locks: Locks::KeysAlone, ..Command::NEW };

const TO_ALL: &[&str] = &["request_policy:all_shards"];

/// The table entries.
pub const COMMANDS: &[Command] = &[Command {
    name: "himport",
    summary: "Groups the commands that create hashes with the same fields.",
    complexity: "Depends on the subcommand",
    arity: -2,
    subcommands: &[
        Command {
            name: "discard",
            summary: "Forgets a fieldset of the connection.",
            arity: 3,
            tips: TO_ALL,
            args: &[Arg::string("fieldset-name")],
            run: himport_discard,
            ..BASE
        },
        Command {
            name: "discardall",
            summary: "Forgets all fieldsets of the connection.",
            complexity: "O(N) where N is the number of fieldsets",
            arity: 2,
            tips: TO_ALL,
            run: himport_discardall,
            ..BASE
        },
        Command {
            name: "prepare",
            summary: "Gives a list of field names a name for the time of the connection.",
            complexity: "O(N*log(N)) where N is the number of fields",
            arity: -4,
            flags: Flags::DENYOOM,
            tips: TO_ALL,
            args: &[Arg::string("fieldset-name"), Arg::string("field").multiple()],
            run: himport_prepare,
            ..BASE
        },
        Command {
            name: "set",
            summary: "Creates a hash of a fieldset and the values for it, replacing what was there.",
            complexity: "O(N) where N is the number of fields",
            arity: -5,
            flags: Flags::WRITE.with(Flags::DENYOOM),
            keys: &[KeySpec {
                flags: KeyFlags::OW.with(KeyFlags::UPDATE),
                begin: Begin::Index(2),
                find: Find::Range { last: 0, step: 1, limit: 0 },
            }],
            args: &[Arg::key("key"), Arg::string("fieldset-name"), Arg::string("value").multiple()],
            locks: Locks::Keys,
            run: himport_set,
            ..BASE
        },
    ],
    ..BASE
}];

fn himport_prepare(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (name, fields) = (argv.at(2), argv.from(3));
    let mut sorted: Vec<&[u8]> = fields.iter().collect();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(CommandError::text("ERR duplicate field name in fieldset"));
    }
    let sets = &mut ctx.session.fieldsets;
    let others = sets.iter().filter(|(known, _)| known.as_ref() != name);
    let (count, bytes) = others
        .fold((1, fields.payload_bytes()), |(count, bytes), (_, fields)| (count + 1, bytes + names_bytes(fields)));
    if count > FIELDSETS_MAX || bytes > NAME_BYTES_MAX {
        return Err(CommandError::text("ERR too many fieldsets"));
    }
    sets.insert(name.into(), fields.iter().map(Box::from).collect());
    ctx.reply.ok();
    Ok(())
}

fn names_bytes(fields: &[Box<[u8]>]) -> usize {
    fields.iter().map(|field| field.len()).sum()
}

fn himport_set(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (key, values) = (ctx.key(argv.at(2)), argv.from(4));
    let fields = ctx.session.fieldsets.get(argv.at(3)).map(Arc::clone);
    let fields = fields.ok_or(CommandError::text("ERR no such fieldset"))?;
    if fields.len() != values.len() {
        return Err(CommandError::text("ERR number of values does not match the number of fields in the fieldset"));
    }
    let limits = limits(ctx);
    let there = ctx.ks.value_mut::<Hash>(key)?.is_some();
    let pairs: Vec<(&[u8], &[u8])> = fields.iter().map(AsRef::as_ref).zip(values.iter()).collect();
    let words = [b"HSET", key.name].into_iter().chain(pairs.iter().flat_map(|(field, value)| [*field, *value]));
    let words: Vec<&[u8]> = words.collect();
    if there {
        ctx.ks.delete(key);
        ctx.replay_as(&[b"DEL", key.name]);
    }
    ctx.replay_as(&words);
    ctx.ks.value_or_new::<Hash>(key)?.set_all(&pairs, limits);
    ctx.ks.changed(&key);
    ctx.ks.dirty += pairs.len() as u64 - 1;
    ctx.ks.notify_fields(Class::HASH, "hset", key.name, pairs.iter().map(|(field, _)| *field));
    ctx.reply.ok();
    Ok(())
}

fn himport_discard(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let known = ctx.session.fieldsets.remove(argv.at(2)).is_some();
    ctx.reply.integer(known.into());
    Ok(())
}

fn himport_discardall(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    let count = std::mem::take(&mut ctx.session.fieldsets).len();
    ctx.reply.integer(count as i64);
    Ok(())
}
