//! From a batch of requests to replies and effects.
//!
//! A pipelined batch is cut into *groups*: runs of ordinary keyed commands that lock the union of their shards once,
//! in ascending order, so that the buckets and then the entries of all of them can be prefetched before the first runs
//! (the largest single gain of the data path). Commands that are long, change the session or need other locks form a
//! group of their own. Effects of a group reach the stream before its locks are released; every command outside of a
//! transaction is one unit.
//!
//! `admit.rs` says what may run, `locks.rs` what is locked for it, `turn.rs` runs what stands under one hold of locks.

mod admit;
mod locks;
mod turn;

use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

use quiver_resp::{Argv, Encoder, Requests};

use self::admit::runs_inside_multi;
pub(crate) use self::admit::{note_error, note_rejection};
use self::turn::Turn;
pub(crate) use self::turn::call;
use crate::blocking::{serve_left, serve_ready};
use crate::command::Locks;
use crate::effects::{Behind, Effects};
use crate::engine::{Engine, Worker};
use crate::error::CommandError;
use crate::keyspace::ALL_SHARDS;
use crate::long;
use crate::prefetch::prefetch_plan;
use crate::registry::{Entry, Names};
use crate::session::{Pause, ReplyMode, Role, Session};

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
