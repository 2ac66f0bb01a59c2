//! Clients that wait: for a key (BLPOP and its like), or for replicas to acknowledge (WAIT).
//!
//! A command that finds nothing calls [`Ctx::block_on`] and writes no reply. That leaves a [`Waiter`] in the shards of
//! its keys, in order of arrival, and in the session, which runs nothing more until the wait is over. Whoever changes a
//! waited key notes it in the turn's list of ready keys; after the unit that did so the turn serves them: it runs the
//! waiting command again, as its client, under the same hold of locks. What such a command changes is a unit of its
//! own, directly behind the one that made it possible, and may make further keys ready. If the command finds nothing
//! again, it keeps its place.
//!
//! Invariants: a waiter's state leaves `Waiting` once for good, by compare-and-swap, so that being served, timing out
//! and CLIENT UNBLOCK cannot both happen; it is `Serving` only while a thread that holds all locks it needs runs the
//! command. A waiter that is over is taken out of the shards by the thread that served it, or by its own connection.
//!
//! One exception to "the same hold": where a waiting command needs shards that cannot be had without waiting, the turn
//! gives its locks back and takes the union. Between the two another client may run, and take what was there.

mod acks;
mod serve;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;
use quiver_resp::{Encoder, OwnedArgv};

use crate::context::Ctx;
use crate::dispatch::note_error;
use crate::effects::Effects;
use crate::engine::Engine;
use crate::error::CommandError;
use crate::keyspace::{KeyHasher, Keyspace};
use crate::number::{parse_f64, parse_i64};
use crate::registry::Entry;
use crate::session::{ClientInfo, Role, Session};
pub(crate) use acks::Acks;
pub(crate) use serve::{serve_left, serve_ready};

/// What a client gets when its time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// A null in the place of an array.
    NullArray,
    /// A null in the place of anything else.
    Null,
}

/// How a wait ends without being served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unblock {
    /// As if its time were over.
    Timeout,
    /// With an error, as CLIENT UNBLOCK ERROR asks.
    Error,
    /// With an error, because this instance became a replica.
    RoleChange,
}

const WAITING: u8 = 0;
const SERVING: u8 = 1;
const SERVED: u8 = 2;
const TIMED_OUT: u8 = 3;
const UNBLOCKED: u8 = 4;
const ROLE_CHANGED: u8 = 5;

/// Where a running command stands that was run again for a waiter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Rerun {
    /// It is run for the first time.
    #[default]
    No,
    /// It is run again.
    Running,
    /// It was run again and found nothing.
    Waits,
}

/// Who waits for the keys of a shard: database and name, and the waiters in order of arrival.
pub(crate) type Waiting = HashMap<(usize, Box<[u8]>), VecDeque<Arc<Waiter>>>;

/// A client's wait.
pub struct Waiter {
    state: AtomicU8,
    /// Unix time in ms at which it is over; `None` for never.
    pub deadline_ms: Option<i64>,
    client: Arc<ClientInfo>,
    /// CLIENT REPLY keeps the reply from the client.
    silent: bool,
    want: Want,
    reply: Mutex<Vec<u8>>,
}

/// What a client waits for.
enum Want {
    Keys(Box<KeyWait>),
    Acks(Acks),
}

/// A wait for keys.
struct KeyWait {
    db: usize,
    names: Box<[Box<[u8]>]>,
    absent: Absent,
    entry: &'static Entry,
    argv: OwnedArgv,
    /// Shards of everything the command may touch.
    mask: u64,
    /// The client's session as far as a command may ask for it.
    session: Mutex<Session>,
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the session: it leads back here.
        let state = self.state.load(Ordering::Relaxed);
        f.debug_struct("Waiter").field("client", &self.client.id).field("state", &state).finish_non_exhaustive()
    }
}

impl Waiter {
    fn new(session: &Session, deadline_ms: Option<i64>, want: Want) -> Arc<Self> {
        Arc::new(Self {
            state: AtomicU8::new(WAITING),
            deadline_ms,
            client: Arc::clone(&session.shared),
            silent: session.is_silent(),
            want,
            reply: Mutex::new(Vec::new()),
        })
    }

    /// Whether it waits for keys, and not for replicas.
    pub fn waits_for_keys(&self) -> bool {
        matches!(self.want, Want::Keys(_))
    }

    /// Whether it is not over. The client may still have to hear that it is.
    pub fn lasts(&self) -> bool {
        matches!(self.state.load(Ordering::Acquire), WAITING | SERVING)
    }

    /// Ends the wait unless it is over already; whether this did it. The client is told; its own connection does the
    /// rest, so no locks are needed.
    fn unblock(&self, how: Unblock) -> bool {
        let ended = self.settle(match how {
            Unblock::Timeout => TIMED_OUT,
            Unblock::Error => UNBLOCKED,
            Unblock::RoleChange => ROLE_CHANGED,
        });
        if ended {
            self.client.wake();
        }
        ended
    }

    fn settle(&self, state: u8) -> bool {
        loop {
            match self.state.compare_exchange(WAITING, state, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                // The thread that serves it waits for nothing, so this is soon over, either way.
                Err(SERVING) => std::thread::yield_now(),
                Err(_) => return false,
            }
        }
    }

    /// Takes the right to end the wait; `false` when it is over.
    fn claim(&self) -> bool {
        self.state.compare_exchange(WAITING, SERVING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Gives the right back: nothing was found.
    fn unclaim(&self) {
        self.state.store(WAITING, Ordering::Release);
    }

    /// Ends the claimed wait with a reply. The client still has to be woken.
    fn complete(&self, reply: Vec<u8>) {
        *self.reply.lock() = reply;
        self.state.store(SERVED, Ordering::Release);
    }
}

impl Ctx<'_> {
    /// Whether the client may be kept waiting: not in a transaction, and only where somebody waits for the reply.
    pub fn may_block(&self) -> bool {
        !self.ks.in_transaction && self.session.can_block && self.session.role == Role::Normal
    }

    /// Lets the client wait for a change of one of `keys`, which must be among the command's own. The handler returns
    /// without a reply; when a key changes it runs again with `rerun` as its arguments.
    pub fn block_on<'k>(
        &mut self,
        keys: impl Iterator<Item = &'k [u8]>,
        deadline_ms: Option<i64>,
        absent: Absent,
        rerun: OwnedArgv,
    ) {
        if self.session.rerun != Rerun::No {
            self.session.rerun = Rerun::Waits;
            return;
        }
        let mut names: Vec<Box<[u8]>> = Vec::new();
        for name in keys {
            if !names.iter().any(|known| **known == *name) {
                names.push(name.into());
            }
        }
        let shards = |mask: u64, name: &[u8]| mask | KeyHasher.key(name).shard_set();
        let argv = rerun.as_argv();
        let touched = self.entry.key_positions(argv).map(|at| argv.at(at)).fold(0, shards);
        let wait = KeyWait {
            db: self.ks.db,
            mask: names.iter().map(|name| &**name).fold(touched, shards),
            names: names.into_boxed_slice(),
            absent,
            entry: self.entry,
            session: Mutex::new(self.session.twin()),
            argv: rerun,
        };
        let waiter = Waiter::new(self.session, deadline_ms, Want::Keys(Box::new(wait)));
        self.ks.start_waiting(&waiter);
        self.session.block(waiter);
    }
}

impl Keyspace<'_> {
    fn start_waiting(&mut self, waiter: &Arc<Waiter>) {
        let Want::Keys(wait) = &waiter.want else { return };
        for name in &wait.names {
            let waiting = &mut self.shard_mut(KeyHasher.key(name).shard).waiting;
            waiting.entry((wait.db, name.clone())).or_default().push_back(Arc::clone(waiter));
        }
    }

    /// Takes a waiter out of its shards, which must be locked.
    fn stop_waiting(&mut self, waiter: &Waiter) {
        let Want::Keys(wait) = &waiter.want else { return };
        for name in &wait.names {
            let waiting = &mut self.shard_mut(KeyHasher.key(name).shard).waiting;
            let place = (wait.db, name.clone());
            if let Some(waiters) = waiting.get_mut(&place) {
                waiters.retain(|known| !std::ptr::eq(&raw const **known, waiter));
                if waiters.is_empty() {
                    waiting.remove(&place);
                }
            }
        }
    }

    /// Notes that somebody may wait for this key. Only called where the shard has waiters at all.
    #[cold]
    pub(crate) fn mark_ready(&mut self, shard: usize, db: usize, name: &[u8]) {
        let place = (db, name.into());
        if self.shard_mut(shard).waiting.contains_key(&place) && !self.ready.contains(&place) {
            self.ready.push_back(place);
        }
    }

    /// Notes every waited key of a database in a shard: its content was exchanged as a whole.
    pub(crate) fn mark_all_ready(&mut self, shard: usize, db: usize) {
        let waiting = &self.shard_mut(shard).waiting;
        let mut names: Vec<Box<[u8]>> =
            waiting.keys().filter(|(known, _)| *known == db).map(|(_, name)| name.clone()).collect();
        // The order of a hash map is nobody's to see.
        names.sort_unstable();
        names.iter().for_each(|name| self.mark_ready(shard, db, name));
    }

    /// Number of keys in the locked shards whose absence would end somebody's wait: those of consumer groups.
    pub(crate) fn waited_keys_of_groups(&mut self) -> usize {
        let of_group =
            |waiter: &Arc<Waiter>| matches!(&waiter.want, Want::Keys(wait) if wait.entry.full_name == "xreadgroup");
        let shards = self.locked_shards();
        let keys = shards
            .map(|shard| self.shard_mut(shard).waiting.values().filter(|waiters| waiters.iter().any(of_group)).count());
        keys.sum()
    }

    /// Number of keys somebody waits for in the locked shards.
    pub(crate) fn waited_keys(&mut self) -> usize {
        self.locked_shards().map(|shard| self.shard_mut(shard).waiting.len()).sum()
    }
}

impl Engine {
    /// Ends the wait of a session if it is over: the reply goes to `out`. `false` while it lasts. No shard may be locked
    /// by the caller.
    pub fn end_wait(&self, session: &mut Session, out: &mut Vec<u8>, now_ms: i64) -> bool {
        let Some(waiter) = session.blocked.clone() else { return true };
        if waiter.deadline_ms.is_some_and(|at| at <= now_ms) && waiter.settle(TIMED_OUT) {
            self.count_ended_wait(&waiter, false);
        }
        let start = out.len();
        let mut reply = Encoder::new(out, session.protocol);
        match waiter.state.load(Ordering::Acquire) {
            WAITING | SERVING => return false,
            SERVED => {
                session.has_written |= waiter.waits_for_keys();
                reply.raw(&waiter.reply.lock());
            }
            UNBLOCKED => reply.error("UNBLOCKED client unblocked via CLIENT UNBLOCK"),
            ROLE_CHANGED => reply
                .error("UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"),
            _ => match &waiter.want {
                Want::Keys(wait) if wait.absent == Absent::NullArray => reply.null_array(),
                Want::Keys(_) => reply.null(),
                Want::Acks(acks) => acks.reply(self, &mut reply),
            },
        }
        if waiter.silent {
            out.truncate(start);
        }
        session.shared.commands.fetch_add(1, Ordering::Relaxed);
        session.shared.net_out_bytes.fetch_add((out.len() - start) as u64, Ordering::Relaxed);
        session.blocked = None;
        session.shared.last_active_ms.store(now_ms, Ordering::Relaxed);
        self.give_up_wait(&session.shared);
        true
    }

    /// Counts a command that begins and ends with its wait; one that is served counts when it is run again.
    fn count_ended_wait(&self, waiter: &Waiter, failed: bool) {
        let last = usize::try_from(waiter.client.last_command.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        if last < self.registry.entries().len() {
            self.stats.note_ended_wait(last, failed);
        }
        if failed {
            note_error(self, &CommandError::text("UNBLOCKED"));
        }
    }

    /// Ends a client's wait unless it is over already; whether this did it.
    pub(crate) fn unblock(&self, waiter: &Waiter, how: Unblock) -> bool {
        let ended = waiter.unblock(how);
        if ended {
            self.count_ended_wait(waiter, !matches!(how, Unblock::Timeout));
        }
        ended
    }

    /// Takes down what is left of a client's wait, if there is one: it is over, or the client is gone. No shard may be
    /// locked by the caller.
    pub fn give_up_wait(&self, client: &ClientInfo) {
        let Some(waiter) = client.waiter.lock().take() else { return };
        // Whoever served it has taken it out already.
        if waiter.settle(TIMED_OUT) || waiter.state.load(Ordering::Acquire) != SERVED {
            match &waiter.want {
                Want::Keys(wait) => {
                    let mut effects = Effects::default();
                    self.lock(wait.mask, &mut effects, 0).stop_waiting(&waiter);
                }
                Want::Acks(_) => self.ack_waiters.lock().retain(|known| !Arc::ptr_eq(known, &waiter)),
            }
        }
    }

    /// Ends every wait because this instance has become a replica.
    pub fn unblock_all(&self) {
        for client in self.clients.lock().values() {
            if let Some(waiter) = client.waiter.lock().as_ref() {
                self.unblock(waiter, Unblock::RoleChange);
            }
        }
    }
}

/// The time at which a wait of so many seconds is over, unix ms; `None` for 0, which is for ever.
///
/// # Errors
/// The text is no such time, in Redis' words.
pub fn deadline(text: &[u8], now_ms: i64) -> Result<Option<i64>, CommandError> {
    const OUT_OF_RANGE: CommandError = CommandError::text("ERR timeout is out of range");
    let seconds = parse_f64(text).ok_or(CommandError::text("ERR timeout is not a float or out of range"))?;
    let digits = text.iter().take_while(|byte| !matches!(byte, b'e' | b'E'));
    // Too short for a float to tell from nothing, which would mean for ever.
    let is_tiny = seconds == 0.0 && digits.into_iter().any(|byte| matches!(byte, b'1'..=b'9'));
    let ms = if is_tiny { 1.0 } else { (seconds * 1000.0).ceil() };
    if ms >= i64::MAX as f64 {
        return Err(OUT_OF_RANGE);
    }
    absolute(ms as i64, now_ms)
}

/// As [`deadline`], for a whole number of milliseconds.
///
/// # Errors
/// As there.
pub fn deadline_of_ms(ms: &[u8], now_ms: i64) -> Result<Option<i64>, CommandError> {
    let parsed = parse_i64(ms).ok_or(CommandError::text("ERR timeout is not an integer or out of range"))?;
    absolute(parsed, now_ms)
}

fn absolute(ms: i64, now_ms: i64) -> Result<Option<i64>, CommandError> {
    match ms {
        ..0 => Err(CommandError::text("ERR timeout is negative")),
        0 => Ok(None),
        _ => ms.checked_add(now_ms).map(Some).ok_or(CommandError::text("ERR timeout is out of range")),
    }
}
