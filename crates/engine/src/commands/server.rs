//! Commands about the server as a whole: sizes, flushing, snapshots, time, the end.

use std::sync::atomic::Ordering::Relaxed;

use quiver_resp::Argv;

use crate::command::{Acl, Arg, Command, CommandResult, Flags, Group, Locks};
use crate::commands::args::{integer, integer_32, is};
use crate::commands::connection::database;
use crate::context::Ctx;
use crate::error::CommandError;

const FLUSH_ARGS: &[Arg] = &[Arg::one_of(
    "flush-type",
    &[Arg::word("async", "ASYNC").since("4.0.0"), Arg::word("sync", "SYNC").since("6.2.0")],
)
.optional()];

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "bgsave",
        summary: "Writes a snapshot to disk in the background.",
        complexity: "O(1) for the caller",
        group: Group::Server,
        arity: -1,
        flags: Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::NO_ASYNC_LOADING),
        args: &[Arg::word("schedule", "SCHEDULE").optional().since("3.2.2")],
        run: bgsave,
        ..Command::NEW
    },
    Command {
        name: "dbsize",
        summary: "Counts the keys of the database.",
        group: Group::Server,
        flags: Flags::READONLY.with(Flags::FAST),
        acl: Acl::KEYSPACE,
        tips: &["request_policy:all_shards", "response_policy:agg_sum"],
        locks: Locks::All,
        run: dbsize,
        ..Command::NEW
    },
    Command {
        name: "flushall",
        summary: "Removes every key of every database.",
        complexity: "O(N) where N is the number of keys in all databases",
        group: Group::Server,
        arity: -1,
        flags: Flags::WRITE,
        acl: Acl::KEYSPACE.with(Acl::DANGEROUS),
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        args: FLUSH_ARGS,
        locks: Locks::All,
        run: flushall,
        ..Command::NEW
    },
    Command {
        name: "flushdb",
        summary: "Removes every key of the database.",
        complexity: "O(N) where N is the number of keys in the database",
        group: Group::Server,
        arity: -1,
        flags: Flags::WRITE,
        acl: Acl::KEYSPACE.with(Acl::DANGEROUS),
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        args: FLUSH_ARGS,
        locks: Locks::All,
        run: flushdb,
        ..Command::NEW
    },
    Command {
        name: "lastsave",
        summary: "Answers the Unix time of the last snapshot that succeeded.",
        group: Group::Server,
        flags: Flags::LOADING.with(Flags::STALE).with(Flags::FAST),
        acl: Acl::ADMIN.with(Acl::DANGEROUS),
        tips: &["nondeterministic_output"],
        run: lastsave,
        ..Command::NEW
    },
    Command {
        name: "lolwut",
        summary: "Shows a piece of generative art and the version.",
        since: "5.0.0",
        group: Group::Server,
        arity: -1,
        flags: Flags::READONLY.with(Flags::FAST),
        args: &[Arg::integer("version").after("VERSION").optional()],
        run: lolwut,
        ..Command::NEW
    },
    Command {
        name: "save",
        summary: "Writes a snapshot to disk before it answers.",
        complexity: "O(N) where N is the number of keys in all databases",
        group: Group::Server,
        flags: Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::NO_ASYNC_LOADING).with(Flags::NO_MULTI),
        run: save,
        ..Command::NEW
    },
    Command {
        name: "shutdown",
        summary: "Saves if configured and ends the server.",
        complexity: "O(N) when saving, where N is the number of keys in all databases, otherwise O(1)",
        group: Group::Server,
        arity: -1,
        flags: Flags::ADMIN
            .with(Flags::NOSCRIPT)
            .with(Flags::LOADING)
            .with(Flags::STALE)
            .with(Flags::ALLOW_BUSY)
            .with(Flags::NO_MULTI),
        args: &[
            Arg::one_of("save-selector", &[Arg::word("nosave", "NOSAVE"), Arg::word("save", "SAVE")]).optional(),
            Arg::word("now", "NOW").optional().since("7.0.0"),
            Arg::word("force", "FORCE").optional().since("7.0.0"),
            Arg::word("abort", "ABORT").optional().since("7.0.0"),
        ],
        run: shutdown,
        ..Command::NEW
    },
    Command {
        name: "swapdb",
        summary: "Exchanges the contents of two databases.",
        since: "4.0.0",
        complexity: "O(N) where N is the number of clients watching or blocked on keys of either",
        group: Group::Server,
        arity: 3,
        flags: Flags::WRITE.with(Flags::FAST),
        acl: Acl::KEYSPACE.with(Acl::DANGEROUS),
        args: &[Arg::integer("index1"), Arg::integer("index2")],
        locks: Locks::All,
        run: swapdb,
        ..Command::NEW
    },
    Command {
        name: "time",
        summary: "Answers the server's clock as seconds and microseconds.",
        since: "2.6.0",
        group: Group::Server,
        flags: Flags::LOADING.with(Flags::STALE).with(Flags::FAST),
        tips: &["nondeterministic_output"],
        run: time,
        ..Command::NEW
    },
];

fn dbsize(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    let (keys, _) = ctx.ks.len();
    ctx.reply.integer(keys as i64);
    Ok(())
}

/// Both forms free in the background: ASYNC and SYNC are only checked.
fn check_flush_type(argv: Argv<'_>) -> CommandResult {
    match argv.get(1) {
        Some(word) if argv.len() > 2 || !(is(word, "async") || is(word, "sync")) => Err(CommandError::Syntax),
        _ => Ok(()),
    }
}

fn flushall(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    check_flush_type(argv)?;
    let dirty = ctx.ks.dirty;
    for db in 0..ctx.ks.dbs_in_use().max(1) {
        ctx.ks.flush_db(db);
    }
    ctx.engine.state.flushed.store(true, Relaxed);
    if !ctx.engine.config.save_points().is_empty() {
        // The snapshot that follows at once has all of it.
        let stats = &ctx.engine.stats;
        stats.dirty_at_save.store((stats.dirty() + ctx.ks.dirty - dirty) as i64, Relaxed);
    }
    ctx.reply.ok();
    Ok(())
}

fn flushdb(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    check_flush_type(argv)?;
    ctx.ks.flush_db(ctx.ks.db);
    ctx.reply.ok();
    Ok(())
}

fn swapdb(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let first = integer_32(argv.at(1)).map_err(|_| CommandError::text("ERR invalid first DB index"))?;
    let second = integer_32(argv.at(2)).map_err(|_| CommandError::text("ERR invalid second DB index"))?;
    let (Some(first), Some(second)) = (database(ctx, first), database(ctx, second)) else {
        return Err(CommandError::DbIndex);
    };
    if first != second {
        ctx.ks.swap_dbs(first, second);
    }
    ctx.reply.ok();
    Ok(())
}

fn time(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    let now_ms = ctx.ks.now_ms;
    ctx.reply.array(2);
    ctx.reply.bulk_of_int(now_ms / 1000);
    ctx.reply.bulk_of_int(now_ms % 1000 * 1000);
    Ok(())
}

fn save(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    ctx.engine.host().save(ctx.engine)?;
    ctx.reply.ok();
    Ok(())
}

fn bgsave(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let schedule = match argv.get(1) {
        None => false,
        Some(word) if argv.len() == 2 && is(word, "schedule") => true,
        Some(_) => return Err(CommandError::Syntax),
    };
    let status = ctx.engine.host().bgsave(ctx.engine, schedule)?;
    // Inside a transaction it cannot have begun: that needs the locks which this holds.
    ctx.reply.simple(if ctx.ks.in_transaction { "Background saving scheduled" } else { status });
    Ok(())
}

fn lastsave(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    ctx.reply.integer(ctx.engine.host().last_save_s());
    Ok(())
}

/// A shutdown that succeeds answers nothing: the connection ends with the server.
fn shutdown(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (mut save, mut now, mut force, mut abort) = (None, false, false, false);
    for word in argv.from(1) {
        match word.to_ascii_lowercase().as_slice() {
            b"save" if save != Some(false) => save = Some(true),
            b"nosave" if save != Some(true) => save = Some(false),
            b"now" => now = true,
            b"force" => force = true,
            b"abort" => abort = true,
            _ => return Err(CommandError::Syntax),
        }
    }
    if abort {
        return abort_shutdown(ctx, argv);
    }
    if save != Some(false) && ctx.engine.scripts.is_busy() {
        return Err(ctx.engine.scripts.busy_error());
    }
    ctx.engine.host().shutdown(ctx.engine, save, now, force)?;
    ctx.session.close_after_reply = true;
    Ok(())
}

fn abort_shutdown(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    if argv.len() > 2 {
        return Err(CommandError::Syntax);
    }
    if !ctx.engine.host().abort_shutdown() {
        return Err(CommandError::text("ERR No shutdown in progress."));
    }
    ctx.reply.ok();
    Ok(())
}

/// Arrows of random length in a quiver.
fn lolwut(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    if argv.len() > 2 && is(argv.at(1), "version") {
        integer(argv.at(2))?;
    }
    const ARROWS: usize = 7;
    const LONGEST: usize = 5;
    let lengths: Vec<usize> = (0..ARROWS).map(|_| 1 + ctx.rng.below(LONGEST)).collect();
    let mut text = String::new();
    for height in (0..=LONGEST).rev() {
        let column = |length: &usize| match height.cmp(length) {
            std::cmp::Ordering::Greater => "  ",
            std::cmp::Ordering::Equal => "^ ",
            std::cmp::Ordering::Less => "| ",
        };
        let line: String = lengths.iter().map(column).collect();
        text.push_str(&format!("   {}\n", line.trim_end()));
    }
    let width = "_".repeat(ARROWS * 2 + 1);
    text.push_str(&format!(" |{width}|\n  \\{width}/\n\nQuiver {}", env!("CARGO_PKG_VERSION")));
    text.push_str(&format!(", Redis ver. {}\n", crate::REDIS_VERSION));
    ctx.reply.verbatim(*b"txt", text.as_bytes());
    Ok(())
}

/// Whether an address `ip:port` is of this machine: loopback or a Unix socket's path.
pub(crate) fn is_local(addr: &str) -> bool {
    addr.starts_with('/')
        || match addr.parse::<std::net::SocketAddr>() {
            Ok(addr) => addr.ip().to_canonical().is_loopback(),
            Err(_) => false,
        }
}
