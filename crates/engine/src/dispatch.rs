//! From a batch of requests to replies and effects.
//!
//! A pipelined batch is cut into *groups*: runs of ordinary keyed commands that lock the union of their shards once,
//! in ascending order, so that the buckets and then the entries of all of them can be prefetched before the first runs
//! (the largest single gain of the data path). Commands that are long, change the session or need other locks form a
//! group of their own. Effects of a group reach the stream before its locks are released; every command outside of a
//! transaction is one unit.

use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use quiver_resp::{Argv, Encoder, Protocol, Requests};

use crate::acl::log::Context;
use crate::blocking::{Rerun, serve_left, serve_ready};
use crate::command::{Flags, Locks};
use crate::commands::transactions::forget_watches;
use crate::context::Ctx;
use crate::effects::{Behind, Effects};
use crate::engine::{Engine, Freeing, Worker};
use crate::error::CommandError;
use crate::eviction::{Room, Told};
use crate::keyspace::{ALL_SHARDS, ExpiryRule, KeyHasher, Keyspace};
use crate::long;
use crate::meter::{Ended, Meter};
use crate::prefetch::prefetch_plan;
use crate::registry::{Entry, Names};
use crate::session::{Pause, ReplyMode, Role, Session};
use crate::tracking;

/// How long a session that yields waits for a lock. Ordinary holds are far shorter.
const PATIENCE: Duration = Duration::from_micros(200);

/// And one that does not, before it looks whether a script holds them.
const STUBBORN: Duration = Duration::from_millis(20);

/// Most commands under one hold of locks.
pub(crate) const GROUP_MAX: usize = 64;

/// A batch that has taken this long lets the thread's other connections come first.
const SLICE_NS: u64 = 250_000;

/// Replies waiting beyond this stop the batch: the client must read first.
pub const OUTPUT_PAUSE_BYTES: usize = 1024 * 1024;

/// Bytes a transaction may queue.
const MULTI_BYTES_MAX: usize = 512 * 1024 * 1024;

/// One planned command of a group.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) entry: Result<&'static Entry, CommandError>,
    /// Hash and shard of the key behind the name.
    pub(crate) located: Option<(u64, usize)>,
}

impl Engine {
    /// Runs requests from `first` on; gives the index of the first that was not run. It stops early when the
    /// connection is to be closed or taken over, when enough output waits, or when it has taken long and others wait.
    #[expect(
        clippy::too_many_arguments,
        reason = "the hot path takes its parts apart, so that each can be borrowed alone"
    )]
    pub fn run(
        &self,
        worker: &mut Worker,
        session: &mut Session,
        requests: &Requests,
        buf: &[u8],
        first: usize,
        out: &mut Vec<u8>,
        now_ms: i64,
    ) -> usize {
        let (mut next, mut since_ns) = (first, None);
        while next < requests.len() {
            if session.close_after_reply || session.takeover.is_some() || out.len() > OUTPUT_PAUSE_BYTES {
                break;
            }
            next = self.run_group(worker, session, requests, buf, next, out, now_ms);
            if session.blocked.is_some() || session.postponed || session.pause.is_some() {
                break;
            }
            // One group is none too many, so the clock is read only where there are more.
            if session.yields && next < requests.len() {
                let now_ns = (worker.clock_ns)();
                if now_ns.saturating_sub(*since_ns.get_or_insert(now_ns)) > SLICE_NS {
                    break;
                }
            }
        }
        // A command that waits counts when its wait is over.
        let ran = (next - first).saturating_sub(usize::from(session.blocked.is_some()));
        session.shared.commands.fetch_add(ran as u64, Relaxed);
        session.shared.last_active_ms.store(now_ms, Relaxed);
        next
    }

    /// Runs one command given as words; for tests, gRPC and the replication link.
    pub fn run_one(&self, worker: &mut Worker, session: &mut Session, argv: Argv<'_>, out: &mut Vec<u8>, now_ms: i64) {
        if !argv.is_empty() {
            let room = self.room(worker, now_ms);
            let entry = self.registry.resolve(argv);
            self.run_alone(worker, session, argv, self.admit(session, entry, argv, room, now_ms), &[], out, now_ms);
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the hot path takes its parts apart, so that each can be borrowed alone"
    )]
    fn run_group(
        &self,
        worker: &mut Worker,
        session: &mut Session,
        requests: &Requests,
        buf: &[u8],
        first: usize,
        out: &mut Vec<u8>,
        now_ms: i64,
    ) -> usize {
        let mut plan = std::mem::take(&mut worker.plan);
        let mut mask = 0;
        let plain = session.multi.is_none() && session.reply_mode == ReplyMode::On;
        let paused = self.is_paused(session, now_ms);
        let room = self.room_for(worker, session, out, now_ms);
        let mut names = Names::default();
        for index in first..requests.len().min(first + GROUP_MAX) {
            let argv = requests.argv(index, buf);
            let entry = self.admit(session, names.resolve(self.registry, argv), argv, room, now_ms);
            if paused && self.holds_back(session, &entry, now_ms) {
                if plan.is_empty() {
                    session.postpone(true);
                    worker.plan = plan;
                    return first;
                }
                break;
            }
            let long = session.yields && entry.as_ref().is_ok_and(|e| self.is_long_by_words(session, e, argv));
            let groupable = plain && !long && entry.as_ref().map_or(true, |entry| entry.groupable);
            if !groupable {
                if plan.is_empty() {
                    worker.plan = plan;
                    let received = received(session, requests, buf, first..first + 1);
                    let ran = self.run_alone(worker, session, argv, entry, received, out, now_ms);
                    return first + usize::from(ran);
                }
                break;
            }
            let located = match entry {
                Ok(entry) if entry.command.locks == Locks::All => {
                    mask = ALL_SHARDS;
                    self.first_key(entry, argv)
                }
                Ok(entry) => self.locate(entry, argv, &mut mask),
                Err(_) => None,
            };
            plan.push(Step { entry, located });
        }
        let mut next = first;
        let mut effects = std::mem::take(&mut worker.effects);
        if let Some(keyspace) = self.lock_for(session, mask, &mut effects, now_ms) {
            prefetch_plan(&keyspace, session.db, &plan, requests, buf, first);
            let mut turn = Turn::open(self, worker, session, keyspace, out, plan.len() == 1);
            for step in plan.drain(..) {
                let argv = requests.argv(next, buf);
                if turn.gives_back(&step.entry, argv) {
                    break;
                }
                // Under all locks a place may be that of another word than the first, for its load only.
                turn.step(argv, step.entry, step.located.filter(|_| mask != ALL_SHARDS));
                if turn.gave_back() {
                    break;
                }
                next += 1;
                if turn.ctx.reply.position() > OUTPUT_PAUSE_BYTES {
                    break;
                }
            }
            let received = received(turn.ctx.session, requests, buf, first..next);
            turn.close(received);
        }
        plan.clear();
        worker.effects = effects;
        worker.plan = plan;
        next
    }

    /// Locks for a session. One that yields waits only so long: `None`, and its pause is set.
    fn lock_for<'a>(
        &'a self,
        session: &mut Session,
        mask: u64,
        effects: &'a mut Effects,
        now_ms: i64,
    ) -> Option<Keyspace<'a>> {
        if mask == 0 {
            return Some(self.lock(mask, effects, now_ms));
        }
        if !session.yields {
            return self.lock_unless_busy(session, mask, effects, now_ms);
        }
        let keyspace = self.lock_within(mask, effects, now_ms, PATIENCE);
        if keyspace.is_none() {
            session.pause(Pause::Locked);
        }
        keyspace
    }

    /// Waits for locks; not for a script that others are not kept waiting for either.
    fn lock_unless_busy<'a>(
        &'a self,
        session: &Session,
        mask: u64,
        effects: &'a mut Effects,
        now_ms: i64,
    ) -> Option<Keyspace<'a>> {
        loop {
            if let Some(shards) = self.stripes.lock_within(mask, STUBBORN) {
                if mask != ALL_SHARDS || !self.loans.any() {
                    return Some(self.view(shards, effects, now_ms));
                }
                drop(shards);
                self.loans.wait_for_all();
            }
            if self.scripts.is_busy() && session.role == Role::Normal {
                return None;
            }
        }
    }

    /// Whether a command is long whatever its keys hold.
    #[inline]
    fn is_long_by_words(&self, session: &Session, entry: &Entry, argv: Argv<'_>) -> bool {
        long::is_long_by_words(session, entry, argv)
            || entry.runs_script && !self.scripts.is_short(argv)
            || entry.command.locks == Locks::Transaction && self.queued_is_long(session)
    }

    /// Whether a transaction has a script that may be long.
    fn queued_is_long(&self, session: &Session) -> bool {
        let mut queued = session.multi.iter().flat_map(|multi| &multi.queue);
        queued.any(|(entry, argv)| entry.runs_script && !self.scripts.is_short(argv.as_argv()))
    }

    /// Whether commands that need memory may run, after making room where there is none.
    #[inline]
    fn room(&self, worker: &mut Worker, now_ms: i64) -> Room {
        if self.state.over_memory.load(Relaxed) { self.make_room(worker, now_ms) } else { Room::Enough }
    }

    /// As [`Self::room`], with the word of evicted keys before the replies.
    #[inline]
    fn room_for(&self, worker: &mut Worker, session: &Session, out: &mut Vec<u8>, now_ms: i64) -> Room {
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

    /// Runs one command under locks of its own; `false` when it was given back instead. `received`: its bytes, if they
    /// are a primary's.
    #[expect(
        clippy::too_many_arguments,
        reason = "the hot path takes its parts apart, so that each can be borrowed alone"
    )]
    fn run_alone(
        &self,
        worker: &mut Worker,
        session: &mut Session,
        argv: Argv<'_>,
        entry: Result<&'static Entry, CommandError>,
        received: &[u8],
        out: &mut Vec<u8>,
        now_ms: i64,
    ) -> bool {
        let start = out.len();
        let mode = session.reply_mode;
        let entry = match entry {
            Ok(entry) if session.multi.is_some() && !runs_inside_multi(entry) => {
                match queue(session, entry, argv) {
                    Ok(()) => Encoder::new(out, session.protocol).simple("QUEUED"),
                    Err(error) => self.refuse(worker, session, Some(entry), &error, out),
                }
                if !received.is_empty() {
                    worker.effects.reset(self.has_sink());
                    worker.effects.receive(received, behind(session));
                    self.deliver(&worker.effects);
                }
                finish_reply(session, mode, out, start);
                return true;
            }
            other => other,
        };
        if session.yields
            && let Ok(entry) = &entry
            && self.is_long_by_words(session, entry, argv)
        {
            return session.pause(Pause::Long);
        }
        let mask = entry.as_ref().map_or(0, |entry| self.mask_of(session, entry, argv));
        let mut effects = std::mem::take(&mut worker.effects);
        let mut ran;
        loop {
            ran = match &entry {
                Ok(entry) => self.run_on_loan(worker, session, entry, argv, &mut effects, out, now_ms),
                Err(_) => false,
            };
            if ran {
                break;
            }
            let Some(keyspace) = self.lock_for(session, mask, &mut effects, now_ms) else { break };
            let mut turn = Turn::open(self, worker, session, keyspace, out, true);
            ran = !turn.gives_back(&entry, argv);
            if ran {
                turn.step(argv, entry.clone(), None);
                ran = !turn.gave_back();
            }
            turn.close(if ran { received } else { &[] });
            if session.yields || ran {
                break;
            }
            session.pause = None;
            self.loans.wait();
        }
        if !ran && !session.yields {
            self.refuse(worker, session, entry.as_ref().ok().copied(), &self.scripts.busy_error(), out);
            ran = true;
        }
        worker.effects = effects;
        if ran {
            finish_reply(session, mode, out, start);
        }
        ran
    }

    /// Runs a long command on its keys apart from the keyspace, if that can be done.
    #[expect(
        clippy::too_many_arguments,
        reason = "the hot path takes its parts apart, so that each can be borrowed alone"
    )]
    fn run_on_loan(
        &self,
        worker: &mut Worker,
        session: &mut Session,
        entry: &'static Entry,
        argv: Argv<'_>,
        effects: &mut Effects,
        out: &mut Vec<u8>,
        now_ms: i64,
    ) -> bool {
        let Some(loan) = self.lend(session, entry, argv, effects, now_ms) else { return false };
        let mut turn = Turn::open(self, worker, session, loan.keyspace(effects, now_ms), out, true);
        turn.step(argv, Ok(entry), None);
        loan.put_back(&mut turn.ctx.ks);
        serve_ready(&mut turn.ctx);
        serve_left(&mut turn.ctx);
        turn.close(&[]);
        loan.end();
        true
    }

    /// Checks everything that must hold before any command runs.
    fn admit(
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

    /// Adds the shards of a request's keys to `mask`; gives hash and shard of a key right behind the name.
    #[inline]
    fn locate(&self, entry: &Entry, argv: Argv<'_>, mask: &mut u64) -> Option<(u64, usize)> {
        if entry.one_key {
            let key = KeyHasher.key(argv.at(1));
            *mask |= key.shard_set();
            return Some((key.hash, key.shard));
        }
        let mut first = None;
        for at in entry.key_positions(argv) {
            let key = KeyHasher.key(argv.at(at));
            *mask |= key.shard_set();
            if at == 1 {
                first = Some((key.hash, key.shard));
            }
        }
        first
    }

    /// Hash and shard of the first key a request names, to load it ahead of time.
    fn first_key(&self, entry: &Entry, argv: Argv<'_>) -> Option<(u64, usize)> {
        let at = entry.key_positions(argv).next()?;
        let key = KeyHasher.key(argv.at(at));
        Some((key.hash, key.shard))
    }

    fn mask_of(&self, session: &Session, entry: &Entry, argv: Argv<'_>) -> u64 {
        let mut mask = 0;
        match entry.command.locks {
            Locks::All => return ALL_SHARDS,
            Locks::Walk => return 0,
            Locks::Keys | Locks::KeysAlone => {
                self.locate(entry, argv, &mut mask);
            }
            Locks::Transaction => {
                for (_, key) in &session.watched {
                    mask |= KeyHasher.key(key).shard_set();
                }
                for (queued, argv) in session.multi.iter().flat_map(|multi| &multi.queue) {
                    if matches!(queued.command.locks, Locks::All | Locks::Walk) {
                        return ALL_SHARDS;
                    }
                    self.locate(queued, argv.as_argv(), &mut mask);
                }
            }
        }
        mask
    }

    /// Answers an error for a command that did not run.
    fn refuse(
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

/// The bytes of requests that came from a primary; nothing for those of clients.
fn received<'b>(session: &Session, requests: &Requests, buf: &'b [u8], which: Range<usize>) -> &'b [u8] {
    let end_of = |count: usize| count.checked_sub(1).map_or(0, |last| requests.end(last));
    if session.role == Role::Primary { &buf[end_of(which.start)..end_of(which.end)] } else { &[] }
}

/// What is true behind what a primary's session has just run.
fn behind(session: &Session) -> Behind {
    Behind { db: session.db as u32, whole: session.multi.is_none() }
}

/// A hold of locks with the commands that run under it.
struct Turn<'a, 'w> {
    ctx: Ctx<'a>,
    stats: &'w crate::stats::ThreadStats,
    dirty_before: u64,
    take_net_bytes: fn() -> i64,
    told: &'w mut Told,
    /// What changed after the commands were admitted: under the locks it is certain.
    is_replica: bool,
    failing_over: bool,
}

impl<'a> Turn<'a, 'a> {
    fn open(
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
    fn gives_back(&mut self, entry: &Result<&'static Entry, CommandError>, argv: Argv<'_>) -> bool {
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

    fn step(&mut self, argv: Argv<'_>, entry: Result<&'static Entry, CommandError>, located: Option<(u64, usize)>) {
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
    fn gave_back(&self) -> bool {
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
    fn close(self, received: &[u8]) {
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

/// What a refused command does to an open transaction; gives the error to answer. EXEC ends the transaction however it
/// fails, anything else spoils it.
fn note_refusal(session: &mut Session, argv: Argv<'_>, error: CommandError) -> CommandError {
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

/// What a subscriber of RESP2, which cannot tell messages from replies, and a client in MONITOR mode may not do.
#[cold]
fn refuse_while_limited(session: &Session, entry: &Entry) -> Result<(), CommandError> {
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

/// Counts a command that a script may not run.
pub(crate) fn note_rejection(ctx: &Ctx<'_>, argv: Argv<'_>, error: &CommandError) {
    ctx.meter.reject(ctx.engine.registry.named(argv));
    note_error(ctx.engine, error);
}

pub(crate) fn note_error(engine: &Engine, error: &CommandError) {
    let mut codes = engine.stats.errors_by_code.lock();
    // The first words are few, but a handler may quote a client: the bound keeps the map small.
    if codes.len() < 128 {
        *codes.entry(error.code()).or_default() += 1;
    }
}

/// The flags of EXEC: it is refused where a command it would run is.
fn flags_with_queued(session: &Session, exec: Flags) -> Flags {
    let queued = session.multi.iter().flat_map(|multi| &multi.queue);
    queued.map(|(entry, _)| entry.command.flags).fold(exec, |sum, flags| {
        let refusable = [Flags::WRITE, Flags::DENYOOM].into_iter().filter(|flag| flags.has(*flag));
        refusable.fold(sum, Flags::with)
    })
}

/// Commands that act at once although a transaction is open.
fn runs_inside_multi(entry: &Entry) -> bool {
    matches!(entry.full_name, "exec" | "discard" | "multi" | "watch" | "quit" | "reset")
}

fn queue(session: &mut Session, entry: &'static Entry, argv: Argv<'_>) -> Result<(), CommandError> {
    let multi = session.multi.as_mut().expect("the caller saw an open transaction");
    let bytes = argv.payload_bytes() + 64;
    if multi.bytes + bytes > MULTI_BYTES_MAX {
        return Err(CommandError::text("ERR transaction exceeds the query buffer limit"));
    }
    multi.bytes += bytes;
    multi.queue.push((entry, argv.to_owned()));
    Ok(())
}

/// Applies CLIENT REPLY to what a command wrote; `before` is the mode it started under.
fn finish_reply(session: &mut Session, before: ReplyMode, out: &mut Vec<u8>, start: usize) {
    // A command that ends in On turned the replies on itself (or they were on), so its own reply is wanted; OFF and
    // SKIP write none.
    let silent = before != ReplyMode::On && session.reply_mode != ReplyMode::On;
    if silent || session.role == Role::Primary {
        out.truncate(start);
    }
    session.reply_mode = match session.reply_mode {
        ReplyMode::SkipNext => ReplyMode::Skip,
        ReplyMode::Skip => ReplyMode::On,
        mode => mode,
    };
    session.publish();
}
