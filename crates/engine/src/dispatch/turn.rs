//! Commands under one hold of locks, each a unit of the effect stream, and the call of one.
//!
//! Effects are handed over before the locks are released, so the stream has the order of the changes; what is large is
//! freed behind the locks.

use std::sync::atomic::Ordering::Relaxed;

use quiver_resp::{Argv, Encoder};

use super::admit::{flags_with_queued, note_error, note_refusal};
use super::behind;
use crate::blocking::{Rerun, serve_ready};
use crate::command::{Flags, Locks};
use crate::context::Ctx;
use crate::engine::{Engine, Freeing, Worker};
use crate::error::CommandError;
use crate::eviction::Told;
use crate::keyspace::{ExpiryRule, Keyspace};
use crate::long;
use crate::meter::{Ended, Meter};
use crate::registry::Entry;
use crate::session::{Pause, ReplyMode, Role, Session};
use crate::tracking;

/// A hold of locks with the commands that run under it.
pub(super) struct Turn<'a, 'w> {
    pub(super) ctx: Ctx<'a>,
    stats: &'w crate::stats::ThreadStats,
    dirty_before: u64,
    take_net_bytes: fn() -> i64,
    told: &'w mut Told,
    /// What changed after the commands were admitted: under the locks it is certain.
    is_replica: bool,
    failing_over: bool,
}

impl<'a> Turn<'a, 'a> {
    pub(super) fn open(
        engine: &'a Engine,
        worker: &'a mut Worker,
        session: &'a mut Session,
        mut ks: Keyspace<'a>,
        out: &'a mut Vec<u8>,
        alone: bool,
    ) -> Self {
        ks.db = session.db;
        let normal = session.role == Role::Normal;
        let is_replica = normal && engine.state.is_replica.load(Relaxed);
        let failing_over = normal && engine.state.failing_over.load(Relaxed);
        ks.expiry = match session.role {
            Role::Primary => ExpiryRule::Ignore,
            Role::Normal if is_replica || engine.pause_lasts(ks.now_ms) => ExpiryRule::Hide,
            Role::Normal => ExpiryRule::Delete,
        };
        ks.no_touch = session.shared.no_touch.load(Relaxed);
        ks.effects.reset(engine.has_sink());
        if ks.stamps.counts() {
            ks.stamps.seed(worker.rng.next());
        }
        let reply = Encoder::new(out, session.protocol);
        let dirty_before = ks.dirty;
        let ctx = Ctx {
            ks,
            session,
            reply,
            engine,
            rng: &mut worker.rng,
            entry: &engine.registry.entries()[0],
            located: None,
            meter: Meter::start(engine, &worker.stats, worker.clock_ns, &mut worker.ran, alone),
        };
        let (stats, take_net_bytes) = (&worker.stats, worker.take_net_bytes);
        Turn { ctx, stats, dirty_before, take_net_bytes, told: &mut worker.told, is_replica, failing_over }
    }

    /// Whether a command is to be given back instead: for what its keys hold, or because a failover has begun.
    #[inline]
    pub(super) fn gives_back(&mut self, entry: &Result<&'static Entry, CommandError>, argv: Argv<'_>) -> bool {
        let Ok(entry) = entry else { return false };
        if self.failing_over && self.ctx.session.yields && self.writes(entry) {
            self.ctx.session.postpone(true);
            return true;
        }
        let Ctx { ks, session, engine, .. } = &mut self.ctx;
        if engine.names_lent(ks, session, entry, argv) {
            session.pause = Some(Pause::Locked);
        } else if session.yields && long::is_long_by_keys(ks, entry, argv) {
            session.pause = Some(Pause::Long);
        } else if session.yields && engine.cut_running() && long::waits_for_snapshot(ks, entry, argv) {
            session.pause = Some(Pause::Locked);
        }
        session.pause.is_some()
    }

    fn writes(&self, entry: &Entry) -> bool {
        let flags = entry.command.flags;
        let transaction = entry.command.locks == Locks::Transaction;
        let flags = if transaction { flags_with_queued(self.ctx.session, flags) } else { flags };
        flags.has(Flags::WRITE)
    }

    pub(super) fn step(
        &mut self,
        argv: Argv<'_>,
        entry: Result<&'static Entry, CommandError>,
        located: Option<(u64, usize)>,
    ) {
        match entry.and_then(|entry| self.admit_again(entry)) {
            Ok(entry) => {
                self.ctx.located = located;
                call(&mut self.ctx, entry, argv);
            }
            Err(error) => {
                let entry = self.ctx.engine.registry.named(argv);
                if let Some(entry) = entry {
                    self.stats.commands[entry.id].rejected.add(1);
                }
                tracking::end_caching(&mut self.ctx, entry);
                let error = note_refusal(self.ctx.session, argv, error);
                self.stats.errors.add(1);
                note_error(self.ctx.engine, &error);
                self.ctx.reply.error(&error.to_string());
            }
        }
        self.ctx.ks.effects.end_unit();
        self.ctx.ks.now_ms += std::mem::take(&mut self.ctx.ks.slept_ms);
        if !self.ctx.ks.ready.is_empty() {
            serve_ready(&mut self.ctx);
        }
        take_messages(&mut self.ctx);
    }

    /// Whether the last command is to be run elsewhere. It did nothing and has no reply.
    #[inline]
    pub(super) fn gave_back(&self) -> bool {
        self.ctx.session.pause.is_some()
    }

    /// A write that was admitted on a primary must not run on the replica it has become since, nor behind the end of
    /// the stream that a failover hands over.
    #[inline]
    fn admit_again(&self, entry: &'static Entry) -> Result<&'static Entry, CommandError> {
        if self.is_replica && self.ctx.engine.config.replica_read_only() && self.writes(entry) {
            return Err(CommandError::ReadOnly);
        }
        if self.failing_over && self.writes(entry) {
            return Err(CommandError::text("TRYAGAIN a failover is in progress"));
        }
        Ok(entry)
    }

    /// Hands the effects over, counts, unlocks; what is large is freed after that. `received`: the bytes that were run,
    /// if they are a primary's.
    pub(super) fn close(self, received: &[u8]) {
        let Turn { ctx: Ctx { mut ks, engine, session, meter, .. }, stats, dirty_before, take_net_bytes, told, .. } =
            self;
        if !received.is_empty() {
            ks.effects.receive(received, behind(session));
        }
        engine.deliver(ks.effects);
        session.has_written |= ks.dirty != dirty_before;
        meter.finish(engine);
        stats.dirty.add(ks.dirty - dirty_before);
        stats.hits.add(ks.counters.hits);
        stats.misses.add(ks.counters.misses);
        stats.expired.add(ks.counters.expired);
        stats.expired_fields.add(ks.counters.expired_fields);
        let (garbage, now_ms) = (std::mem::take(&mut ks.garbage), ks.now_ms);
        let served = std::mem::take(&mut ks.served);
        drop(ks);
        served.iter().for_each(|waiter| waiter.wake());
        if !garbage.is_empty() {
            engine.free_later(garbage, Freeing::Removed);
        }
        if engine.search.is_behind() {
            engine.help_search(now_ms);
        }
        if engine.config.maxmemory() > 0 {
            engine.note_memory(told, take_net_bytes());
        }
    }
}

/// Runs one admitted command: its reply, or its error in the reply's place; `false` for an error.
pub(crate) fn call(ctx: &mut Ctx<'_>, entry: &'static Entry, argv: Argv<'_>) -> bool {
    ctx.entry = entry;
    let begun_ns = ctx.meter.begin(entry, argv.len());
    let (start, dirty, db) = (ctx.reply.position(), ctx.ks.dirty, ctx.ks.db);
    let tracks = entry.command.flags.has(Flags::READONLY) && tracking::remembers(&ctx.session.shared);
    if tracks && entry.command.locks != Locks::Keys {
        // It may give its locks back early, and what happens then must not be missed.
        tracking::remember(ctx, entry, argv);
    }
    let result = (entry.command.run)(ctx, argv);
    if let Err(error) = &result {
        debug_assert!(dirty == ctx.ks.dirty || entry.runs_script, "{} changed data and failed", entry.full_name);
        ctx.reply.truncate(start);
        ctx.reply.error(&error.to_string());
        if !error.was_counted() {
            note_error(ctx.engine, error);
        }
    }
    let changed = ctx.ks.dirty != dirty;
    ctx.ks.effects.end_command(db, argv, changed);
    if tracks {
        // Behind the command, which may have found the key's time to be over and told its readers so.
        tracking::remember(ctx, entry, argv);
    }
    tracking::end_caching(ctx, Some(entry));
    if !ctx.ks.events.is_empty() || !ctx.ks.stale.is_empty() {
        let from = ctx.sender();
        ctx.engine.announce(&mut ctx.ks, from);
    }
    // What is run again for a client that waited was shown when it came.
    if ctx.engine.monitors.any() && ctx.session.rerun == Rerun::No {
        let Ctx { engine, session, ks, .. } = &*ctx;
        engine.monitors.show(engine, &session.shared, session.in_script, ks.now_ms, ks.db, entry, argv);
    }
    // A command that begins to wait, or goes on waiting, counts when it is served.
    if ctx.session.blocked.is_none() && ctx.session.rerun != Rerun::Waits && ctx.session.pause.is_none() {
        let ended = Ended {
            engine: ctx.engine,
            session: ctx.session,
            begun_ns,
            error: result.as_ref().err(),
            reply_bytes: ctx.reply.position().saturating_sub(start),
            now_ms: ctx.ks.now_ms,
        };
        ctx.meter.end(ended, entry, argv);
    } else if ctx.session.rerun == Rerun::No {
        ctx.session.shared.last_command.store(entry.id as u64, Relaxed);
    }
    result.is_ok()
}

/// Puts messages that wait for the running client behind its reply. Where replies are not sent, the connection does it.
#[inline]
fn take_messages(ctx: &mut Ctx<'_>) {
    if ctx.session.shared.mailbox.is_waiting() && ctx.session.reply_mode == ReplyMode::On {
        ctx.session.shared.mailbox.drain(|bytes| ctx.reply.raw(bytes));
    }
}
