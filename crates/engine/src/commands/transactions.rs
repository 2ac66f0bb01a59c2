//! MULTI, EXEC, DISCARD, WATCH, UNWATCH: <https://redis.io/docs/latest/develop/using-commands/transactions/>.
//!
//! WATCH hangs the session's flag on its keys; whoever changes one sets it. EXEC holds the locks of all queued and
//! watched keys, so the check and the commands are one step, and what they changed is one unit of the stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use quiver_resp::Argv;

use crate::acl::log::Context;
use crate::command::{Acl, Arg, Command, CommandResult, Flags, Group, KeyFlags, KeySpec, Locks};
use crate::context::Ctx;
use crate::dispatch::call;
use crate::error::CommandError;
use crate::keyspace::KeyHasher;
use crate::registry::Entry;
use crate::session::{ClientInfo, Role, Session, Transaction};

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "discard",
        summary: "Throws the queued commands of a transaction away.",
        since: "2.0.0",
        complexity: "O(N) where N is the number of queued commands",
        group: Group::Transactions,
        flags: Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE).with(Flags::FAST).with(Flags::ALLOW_BUSY),
        acl: Acl::TRANSACTION,
        run: discard,
        ..Command::NEW
    },
    Command {
        name: "exec",
        summary: "Runs the queued commands of a transaction as one.",
        since: "1.2.0",
        complexity: "The sum of the queued commands",
        group: Group::Transactions,
        flags: Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE).with(Flags::SKIP_SLOWLOG),
        acl: Acl::TRANSACTION,
        locks: Locks::Transaction,
        run: exec,
        ..Command::NEW
    },
    Command {
        name: "multi",
        summary: "Begins to queue commands for a transaction.",
        since: "1.2.0",
        group: Group::Transactions,
        flags: Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE).with(Flags::FAST).with(Flags::ALLOW_BUSY),
        acl: Acl::TRANSACTION,
        run: multi,
        ..Command::NEW
    },
    Command {
        name: "unwatch",
        summary: "Stops watching keys for a transaction.",
        since: "2.2.0",
        group: Group::Transactions,
        flags: Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE).with(Flags::FAST).with(Flags::ALLOW_BUSY),
        acl: Acl::TRANSACTION,
        run: unwatch,
        ..Command::NEW
    },
    Command {
        name: "watch",
        summary: "Makes the next transaction depend on keys staying unchanged.",
        since: "2.2.0",
        complexity: "O(N) where N is the number of keys",
        group: Group::Transactions,
        arity: -2,
        flags: Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE).with(Flags::FAST).with(Flags::ALLOW_BUSY),
        acl: Acl::TRANSACTION,
        keys: &[KeySpec::all(KeyFlags::RO)],
        args: &[Arg::key("key").multiple()],
        locks: Locks::KeysAlone,
        run: watch,
        ..Command::NEW
    },
];

fn multi(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    if ctx.session.multi.is_some() {
        return Err(CommandError::NestedMulti);
    }
    ctx.session.multi = Some(Transaction::default());
    ctx.reply.ok();
    Ok(())
}

fn discard(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    if ctx.session.multi.take().is_none() {
        return Err(CommandError::DiscardWithoutMulti);
    }
    forget_watches(ctx.session);
    ctx.reply.ok();
    Ok(())
}

fn exec(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    let Some(multi) = ctx.session.multi.take() else { return Err(CommandError::ExecWithoutMulti) };
    let touched = watched_changed(ctx);
    forget_watches(ctx.session);
    if multi.aborted {
        return Err(CommandError::ExecAbort);
    }
    if touched {
        ctx.reply.null_array();
        return Ok(());
    }
    ctx.reply.array(multi.queue.len());
    let exec = ctx.entry;
    ctx.ks.in_transaction = true;
    for (entry, argv) in &multi.queue {
        ctx.located = None;
        // The command before may have asked for events or keys.
        ctx.engine.listen(&mut ctx.ks);
        match permit_queued(ctx, entry, argv.as_argv()) {
            Ok(()) => {
                call(ctx, entry, argv.as_argv());
            }
            Err(error) => ctx.reply.error(&error.to_string()),
        }
    }
    ctx.ks.in_transaction = false;
    ctx.entry = exec;
    // The queued commands have left their own effects; EXEC itself is not part of the unit.
    ctx.ks.effects.suppress();
    Ok(())
}

/// A command that was taken may be forbidden by now.
fn permit_queued(ctx: &Ctx<'_>, entry: &'static Entry, argv: Argv<'_>) -> CommandResult {
    let session = &*ctx.session;
    if session.user.is_unrestricted() || session.role == Role::Primary {
        return Ok(());
    }
    let checked = ctx.engine.check_permissions(session, entry, argv, Context::Multi, ctx.ks.now_ms);
    checked.map_err(|denied| denied.since_queued())
}

fn watch(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    if ctx.session.multi.is_some() {
        return Err(CommandError::WatchInMulti);
    }
    let flag = Arc::clone(&ctx.session.watch_flag);
    let db = ctx.ks.db;
    for name in argv.from(1) {
        if ctx.session.watched.iter().any(|(known_db, known)| *known_db == db && **known == *name) {
            continue;
        }
        let key = ctx.key(name);
        // A key that is already over its time must not abort EXEC by being deleted in between.
        ctx.ks.contains(key);
        ctx.ks.watch(&key, &flag);
        ctx.session.watched.push((db, name.into()));
        let bytes = ClientInfo::bytes_of_name(name);
        ctx.session.watched_bytes += bytes;
        ctx.session.shared.held_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
    ctx.reply.ok();
    Ok(())
}

fn unwatch(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    forget_watches(ctx.session);
    ctx.reply.ok();
    Ok(())
}

/// Whether a watched key changed since WATCH, the end of its time included. Takes the watches down.
fn watched_changed(ctx: &mut Ctx<'_>) -> bool {
    let selected = ctx.ks.db;
    let watched = std::mem::take(&mut ctx.session.watched);
    for (db, name) in &watched {
        let key = KeyHasher.key(name);
        ctx.ks.db = *db;
        ctx.ks.contains(key);
        ctx.ks.unwatch(*db, &key, &ctx.session.watch_flag);
    }
    ctx.ks.db = selected;
    ctx.session.watch_flag.load(Ordering::Relaxed)
}

/// Drops all watches of a session: its flag is replaced, so writers find nobody behind the old one and clear it away.
pub(crate) fn forget_watches(session: &mut Session) {
    session.watched.clear();
    let bytes = std::mem::take(&mut session.watched_bytes);
    session.shared.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
    session.watch_flag = Arc::new(AtomicBool::new(false));
}
