//! MEMORY: what keys and the whole instance take, from the allocations themselves and the allocator's counters.

use std::sync::atomic::Ordering::Relaxed;

use quiver_resp::Argv;
use quiver_structures::ValueRef;

use crate::command::{Arg, Begin, Command, CommandResult, Find, Flags, Group, KeyFlags, KeySpec, Locks};
use crate::commands::args::{Options, integer, is};
use crate::commands::help::help;
use crate::context::Ctx;
use crate::error::CommandError;

const SUBCOMMAND: Command = Command { since: "4.0.0", group: Group::Server, arity: 2, ..Command::NEW };
const SPECIAL: &[&str] = &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"];

/// The table entries.
pub const COMMANDS: &[Command] = &[Command {
    name: "memory",
    summary: "Groups the commands about memory.",
    since: "4.0.0",
    complexity: "Depends on the subcommand",
    group: Group::Server,
    arity: -2,
    subcommands: SUBCOMMANDS,
    ..Command::NEW
}];

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "doctor",
        summary: "Puts the state of memory into words.",
        tips: SPECIAL,
        run: memory_doctor,
        ..SUBCOMMAND
    },
    Command {
        name: "help",
        summary: "Explains the subcommands of MEMORY.",
        flags: Flags::LOADING.with(Flags::STALE),
        run: memory_help,
        ..SUBCOMMAND
    },
    Command {
        name: "malloc-stats",
        summary: "Answers the statistics of the allocator as text.",
        complexity: "Depends on the allocator",
        tips: SPECIAL,
        run: memory_malloc_stats,
        ..SUBCOMMAND
    },
    Command {
        name: "purge",
        summary: "Asks the allocator to give free memory back.",
        complexity: "Depends on the allocator",
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        run: memory_purge,
        ..SUBCOMMAND
    },
    Command {
        name: "stats",
        summary: "Answers how much memory is used for what.",
        tips: SPECIAL,
        locks: Locks::All,
        run: memory_stats,
        ..SUBCOMMAND
    },
    Command {
        name: "usage",
        summary: "Estimates the bytes a key takes with its value.",
        complexity: "O(N) where N is the number of elements sampled",
        arity: -3,
        flags: Flags::READONLY,
        keys: &[KeySpec {
            flags: KeyFlags::RO,
            begin: Begin::Index(2),
            find: Find::Range { last: 0, step: 1, limit: 0 },
        }],
        args: &[Arg::key("key"), Arg::integer("count").after("SAMPLES").optional()],
        run: memory_usage,
        ..SUBCOMMAND
    },
];

/// True figures need no samples: SAMPLES is only checked.
fn memory_usage(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let mut options = Options::new(argv, 3);
    while let Some(option) = options.next() {
        if !is(option, "samples") || integer(options.value()?)? < 0 {
            return Err(CommandError::Syntax);
        }
    }
    let key = ctx.key(argv.at(2));
    let bytes = ctx.ks.peek(key).map(|entry| {
        let value = match entry.value() {
            ValueRef::Object(object) => object.memory_bytes(),
            ValueRef::Int(_) | ValueRef::Bytes(_) => 0,
        };
        entry.allocation_bytes() + value
    });
    match bytes {
        Some(bytes) => ctx.reply.integer(bytes as i64),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn memory_stats(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    let keys: usize = (0..ctx.ks.dbs_in_use()).map(|db| ctx.ks.db_len(db).0).sum();
    let total = ctx.engine.host().allocated_bytes();
    let peak = ctx.engine.stats.peak_memory_bytes.load(Relaxed).max(total);
    let clients: u64 = ctx.engine.clients.lock().values().map(|client| client.memory_bytes()).sum();
    let figures = [
        ("peak.allocated", peak),
        ("total.allocated", total),
        ("clients.normal", clients),
        ("lazyfree.pending", ctx.engine.host().lazy_free().pending),
        ("keys.count", keys as u64),
        ("keys.bytes-per-key", total.checked_div(keys as u64).unwrap_or(0)),
    ];
    ctx.reply.map(figures.len() + 1);
    for (name, value) in figures {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.integer(value as i64);
    }
    ctx.reply.bulk(b"peak.percentage");
    ctx.reply.double(total as f64 * 100.0 / peak.max(1) as f64);
    Ok(())
}

fn memory_doctor(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    let allocated = ctx.engine.host().allocated_bytes();
    let limit = ctx.engine.config.maxmemory() as u64;
    let text = match limit {
        0 => format!("{allocated} bytes are in use, and there is no limit (maxmemory is 0)."),
        _ if allocated > limit => format!("{allocated} bytes are in use, more than maxmemory allows ({limit})."),
        _ => format!("{allocated} bytes are in use of the {limit} that maxmemory allows."),
    };
    ctx.reply.verbatim(*b"txt", text.as_bytes());
    Ok(())
}

fn memory_malloc_stats(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    let text = format!("Allocator: jemalloc\nAllocated: {} bytes\n", ctx.engine.host().allocated_bytes());
    ctx.reply.verbatim(*b"txt", text.as_bytes());
    Ok(())
}

/// The allocator gives pages back by itself, so there is nothing to ask for.
fn memory_purge(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    ctx.reply.ok();
    Ok(())
}

fn memory_help(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    help(
        ctx,
        "MEMORY",
        &[
            ("DOCTOR", "The state of memory in words."),
            ("MALLOC-STATS", "The allocator's figures as text."),
            ("PURGE", "Accepted; the allocator gives free memory back by itself."),
            ("STATS", "How much memory is used for what."),
            ("USAGE <key> [SAMPLES <count>]", "Bytes a key takes with its value."),
        ],
    );
    Ok(())
}
