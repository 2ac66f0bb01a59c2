//! OBJECT: how a value is stored.
//!
//! Whether an entry's stamp tells its idle time or its frequency depends on `maxmemory-policy`, so one of IDLETIME and
//! FREQ is always refused.

use quiver_resp::Argv;
use quiver_structures::ValueRef;

use crate::command::{Acl, Arg, Begin, Command, CommandResult, Find, Flags, KeyFlags, KeySpec};
use crate::commands::help::help;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::KeyEntry;
use crate::object::encoding_name;

/// The table entries.
pub const COMMANDS: &[Command] = &[Command {
    name: "object",
    summary: "Groups the commands that look at how a value is stored.",
    since: "2.2.3",
    complexity: "Depends on the subcommand",
    arity: -2,
    subcommands: &[
        Command {
            name: "encoding",
            summary: "Names the internal representation of a value.",
            since: "2.2.3",
            arity: 3,
            flags: Flags::READONLY,
            acl: Acl::KEYSPACE,
            tips: &["nondeterministic_output"],
            keys: &[KeySpec {
                flags: KeyFlags::RO,
                begin: Begin::Index(2),
                find: Find::Range { last: 0, step: 1, limit: 0 },
            }],
            args: &[Arg::key("key")],
            run: object_encoding,
            ..Command::NEW
        },
        Command {
            name: "freq",
            summary: "Answers the logarithmic access counter of a key.",
            since: "4.0.0",
            arity: 3,
            flags: Flags::READONLY,
            acl: Acl::KEYSPACE,
            tips: &["nondeterministic_output"],
            keys: &[KeySpec {
                flags: KeyFlags::RO,
                begin: Begin::Index(2),
                find: Find::Range { last: 0, step: 1, limit: 0 },
            }],
            args: &[Arg::key("key")],
            run: object_freq,
            ..Command::NEW
        },
        Command {
            name: "help",
            summary: "Explains the subcommands of OBJECT.",
            since: "6.2.0",
            arity: 2,
            flags: Flags::LOADING.with(Flags::STALE),
            acl: Acl::KEYSPACE,
            run: object_help,
            ..Command::NEW
        },
        Command {
            name: "idletime",
            summary: "Answers the seconds since a value was last used.",
            since: "2.2.3",
            arity: 3,
            flags: Flags::READONLY,
            acl: Acl::KEYSPACE,
            tips: &["nondeterministic_output"],
            keys: &[KeySpec {
                flags: KeyFlags::RO,
                begin: Begin::Index(2),
                find: Find::Range { last: 0, step: 1, limit: 0 },
            }],
            args: &[Arg::key("key")],
            run: object_idletime,
            ..Command::NEW
        },
        Command {
            name: "refcount",
            summary: "Answers how many references a value has.",
            since: "2.2.3",
            arity: 3,
            flags: Flags::READONLY,
            acl: Acl::KEYSPACE,
            tips: &["nondeterministic_output"],
            keys: &[KeySpec {
                flags: KeyFlags::RO,
                begin: Begin::Index(2),
                find: Find::Range { last: 0, step: 1, limit: 0 },
            }],
            args: &[Arg::key("key")],
            run: object_refcount,
            ..Command::NEW
        },
    ],
    ..Command::NEW
}];

fn object_encoding(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    match look(ctx, argv) {
        Some(entry) => {
            let name = encoding_name(&entry);
            ctx.reply.bulk(name.as_bytes());
        }
        None => ctx.reply.null(),
    }
    Ok(())
}

/// Redis shares the objects of the integers below this among all keys.
const SHARED_INTEGERS: i64 = 10_000;

/// And gives those this many references.
const SHARED_REFERENCES: i64 = i32::MAX as i64;

fn object_refcount(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    match look(ctx, argv).map(|entry| entry.value()) {
        Some(ValueRef::Int(0..SHARED_INTEGERS)) => ctx.reply.integer(SHARED_REFERENCES),
        Some(_) => ctx.reply.integer(1),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn object_idletime(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    match look(ctx, argv).map(|entry| entry.access()) {
        Some(stamp) => {
            let idle_s = ctx.ks.stamps.idle_s(stamp).ok_or(IDLE_NOT_TRACKED)?;
            ctx.reply.integer(i64::from(idle_s));
        }
        None => ctx.reply.null(),
    }
    Ok(())
}

fn object_freq(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    match look(ctx, argv).map(|entry| entry.access()) {
        Some(stamp) => {
            let frequency = ctx.ks.stamps.frequency(stamp).ok_or(FREQUENCY_NOT_TRACKED)?;
            ctx.reply.integer(i64::from(frequency));
        }
        None => ctx.reply.null(),
    }
    Ok(())
}

const IDLE_NOT_TRACKED: CommandError = CommandError::text(
    "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies \
     at runtime LRU and LFU data will take some time to adjust.",
);
const FREQUENCY_NOT_TRACKED: CommandError = CommandError::text(
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching \
     between policies at runtime LRU and LFU data will take some time to adjust.",
);

fn object_help(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    help(
        ctx,
        "OBJECT",
        &[
            ("ENCODING <key>", "How the value is represented."),
            ("FREQ <key>", "How often the key was accessed, on a logarithmic scale."),
            ("IDLETIME <key>", "Seconds since the key was last accessed."),
            ("REFCOUNT <key>", "References to the value."),
        ],
    );
    Ok(())
}

/// The entry a subcommand is about; looking does not count as a use.
fn look<'c>(ctx: &'c mut Ctx<'_>, argv: Argv<'_>) -> Option<KeyEntry<'c>> {
    let key = ctx.key(argv.at(2));
    ctx.ks.look_silently(key)
}
