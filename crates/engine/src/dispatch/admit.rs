//! What must hold before a command runs, and what its refusal means: nothing is changed, the error is counted, and an
//! open transaction is spoilt.

use std::sync::atomic::Ordering::Relaxed;

use quiver_resp::{Argv, Encoder, Protocol};

use crate::acl::log::Context;
use crate::command::{CommandResult, Flags, Locks};
use crate::commands::transactions::forget_watches;
use crate::context::Ctx;
use crate::engine::{Engine, Worker};
use crate::error::CommandError;
use crate::eviction::Room;
use crate::registry::Entry;
use crate::session::{ReplyMode, Role, Session};

impl Engine {
    /// Checks everything that must hold before any command runs.
    pub(super) fn admit(
        &self,
        session: &Session,
        found: Result<&'static Entry, CommandError>,
        argv: Argv<'_>,
        room: Room,
        now_ms: i64,
    ) -> Result<&'static Entry, CommandError> {
        let entry = found?;
        let flags = entry.command.flags;
        if !session.authenticated && !flags.has(Flags::NO_AUTH) && !self.users.is_open() {
            return Err(CommandError::NoAuth);
        }
        if session.role == Role::Primary {
            return Ok(entry);
        }
        if !session.user.is_unrestricted() {
            let checked = self.check_permissions(session, entry, argv, Context::of(session), now_ms);
            checked.map_err(|denied| denied.error(&session.user, entry))?;
        }
        if session.limited {
            refuse_while_limited(session, entry)?;
        }
        let flags = if entry.command.locks == Locks::Transaction { flags_with_queued(session, flags) } else { flags };
        let state = &self.state;
        if state.loading.load(Relaxed) && !flags.has(Flags::LOADING) {
            return Err(CommandError::Loading);
        }
        if flags.has(Flags::WRITE) {
            if state.is_replica.load(Relaxed) && self.config.replica_read_only() {
                return Err(CommandError::ReadOnly);
            }
            if state.ending.load(Relaxed) {
                return Err(CommandError::text("ERR The server is shutting down"));
            }
            // Where no snapshots are wanted, one that failed is nobody's loss.
            if state.save_failed.load(Relaxed)
                && self.config.stop_writes_on_bgsave_error()
                && !self.config.save_points().is_empty()
            {
                return Err(CommandError::MisConf);
            }
            if state.few_replicas.load(Relaxed) && !state.is_replica.load(Relaxed) {
                return Err(CommandError::NoReplicas);
            }
        }
        // PING tells those who watch over the server.
        if state.log_failed.load(Relaxed) && (flags.has(Flags::WRITE) || entry.full_name == "ping") {
            return Err(CommandError::LogMisConf(state.log_failure.lock().clone()));
        }
        // A transaction that is being queued takes memory whatever it is made of.
        let queued = session.multi.is_some() && !runs_inside_multi(entry);
        if room == Room::None && (flags.has(Flags::DENYOOM) || queued) {
            return Err(CommandError::OutOfMemory);
        }
        let stale = state.is_replica.load(Relaxed) && !state.link_up.load(Relaxed);
        if stale && !flags.has(Flags::STALE) && !self.config.replica_serve_stale_data() {
            return Err(CommandError::MasterDown);
        }
        if self.scripts.is_busy() && !flags.has(Flags::ALLOW_BUSY) {
            return Err(self.scripts.busy_error());
        }
        if session.multi.is_some() && flags.has(Flags::NO_MULTI) {
            return Err(CommandError::NotInMulti);
        }
        Ok(entry)
    }

    /// Whether commands that need memory may run, after making room where there is none.
    #[inline]
    pub(super) fn room(&self, worker: &mut Worker, now_ms: i64) -> Room {
        if self.state.over_memory.load(Relaxed) { self.make_room(worker, now_ms) } else { Room::Enough }
    }

    /// As [`Self::room`], with the word of evicted keys before the replies.
    #[inline]
    pub(super) fn room_for(&self, worker: &mut Worker, session: &Session, out: &mut Vec<u8>, now_ms: i64) -> Room {
        if !self.state.over_memory.load(Relaxed) {
            return Room::Enough;
        }
        let room = self.make_room(worker, now_ms);
        let client = &session.shared;
        if client.mailbox.is_waiting() && session.reply_mode == ReplyMode::On {
            client.mailbox.drain(|bytes| out.extend_from_slice(bytes));
        }
        room
    }

    /// Answers an error for a command that did not run.
    pub(super) fn refuse(
        &self,
        worker: &Worker,
        session: &mut Session,
        entry: Option<&Entry>,
        error: &CommandError,
        out: &mut Vec<u8>,
    ) {
        if let Some(entry) = entry {
            worker.stats.commands[entry.id].rejected.add(1);
        }
        if let Some(multi) = &mut session.multi {
            multi.aborted = true;
        }
        worker.stats.errors.add(1);
        note_error(self, error);
        Encoder::new(out, session.protocol).error(&error.to_string());
    }
}

/// What a subscriber of RESP2, which cannot tell messages from replies, and a client in MONITOR mode may not do.
#[cold]
fn refuse_while_limited(session: &Session, entry: &Entry) -> CommandResult {
    const ALLOWED: &[&str] = &[
        "subscribe",
        "ssubscribe",
        "psubscribe",
        "unsubscribe",
        "sunsubscribe",
        "punsubscribe",
        "ping",
        "quit",
        "reset",
    ];
    let flags = entry.command.flags;
    if session.shared.monitor.load(Relaxed) && flags.any(Flags::WRITE.with(Flags::READONLY).with(Flags::MAY_REPLICATE))
    {
        return Err(CommandError::text("ERR Replica can't interact with the keyspace"));
    }
    if session.protocol == Protocol::Resp2 && session.shared.is_subscriber() && !ALLOWED.contains(&entry.full_name) {
        return Err(CommandError::owned(format!(
            "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
             context",
            entry.full_name
        )));
    }
    Ok(())
}

/// What a refused command does to an open transaction; gives the error to answer. EXEC ends the transaction however it
/// fails, anything else spoils it.
pub(super) fn note_refusal(session: &mut Session, argv: Argv<'_>, error: CommandError) -> CommandError {
    if argv.at(0).eq_ignore_ascii_case(b"exec") {
        session.multi = None;
        forget_watches(session);
        return CommandError::ExecRefused(Box::new(error));
    }
    if let Some(multi) = &mut session.multi {
        multi.aborted = true;
    }
    error
}

/// Counts a command that a script may not run.
pub(crate) fn note_rejection(ctx: &Ctx<'_>, argv: Argv<'_>, error: &CommandError) {
    ctx.meter.reject(ctx.engine.registry.named(argv));
    note_error(ctx.engine, error);
}

pub(crate) fn note_error(engine: &Engine, error: &CommandError) {
    if let Some(known) = engine.stats.count_error(error.code()) {
        let host = engine.host();
        host.log("Errorstats stopped adding new errors because the number of errors reached the limit.");
        host.log(&format!("Current errors code list: {known}"));
    }
}

/// The flags of EXEC: it is refused where a command it would run is.
pub(super) fn flags_with_queued(session: &Session, exec: Flags) -> Flags {
    const REFUSE: Flags = Flags::WRITE.with(Flags::DENYOOM);
    const ADMIT: Flags = Flags::LOADING.with(Flags::STALE);
    let queued = session.multi.iter().flat_map(|multi| &multi.queue);
    queued
        .map(|(entry, _)| entry.command.flags)
        .fold(exec, |sum, flags| sum.with(flags.only(REFUSE)).without(ADMIT.without(flags)))
}

/// Commands that act at once although a transaction is open.
pub(super) fn runs_inside_multi(entry: &Entry) -> bool {
    matches!(entry.full_name, "exec" | "discard" | "multi" | "watch" | "quit" | "reset")
}
