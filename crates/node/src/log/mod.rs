//! The append-only log of this instance: what turns append, when it is written and synced, and who waits for that.
//!
//! A turn appends its units to a buffer under its own locks, which costs a copy. One thread takes the buffer, writes it
//! as a batch and syncs as `appendfsync` says (`writer`); all who wait share a sync. Under `always` no reply leaves
//! before everything that was appended when its turn ended is on disk, so no client sees what a crash could take back.
//! Under `everysec` writers wait only where the oldest byte that is not on disk is older than a second, or the buffer is
//! full: that keeps the promise also on a slow disk.
//!
//! - `writer`: the thread. `rewrite`: a new base. `start`: at the start, on and off at run time.
//! - `figures`: what INFO says.

mod figures;
mod rewrite;
mod start;
mod writer;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use parking_lot::{Condvar, Mutex};
use quiver_engine::Engine;
use quiver_engine::effects::Effects;
use quiver_persist::log::{Disk, LogFolder, Part, write_timestamp};
use tokio::sync::watch;

use crate::clock::now_ms;
pub(crate) use figures::Figures;

/// Bytes that may wait for the writer before those who write have to wait.
const BUFFER_MAX: u64 = 64 << 20;
/// What `everysec` promises.
const WINDOW_MS: i64 = 1000;

/// What replies wait for.
const NOTHING: u8 = 0;
const ALWAYS: u8 = 1;
const EVERYSEC: u8 = 2;
const NEVER: u8 = 3;

/// The log. Without one running, appending costs a load.
#[derive(Debug)]
pub(crate) struct Log {
    /// Where its files are.
    disk: Arc<dyn Disk>,
    /// There is a log, or one is to be made.
    on: AtomicBool,
    /// Units are appended.
    active: AtomicBool,
    state: Mutex<State>,
    work: Condvar,
    promise: AtomicU8,
    /// Position behind the last byte appended, and written.
    end: AtomicU64,
    written: AtomicU64,
    /// Replies to what stands before this position may leave.
    released: AtomicU64,
    /// Place in the stream up to which everything is on disk.
    synced_offset: AtomicU64,
    /// When the oldest byte was appended that no sync has begun for, and of those a sync is running for; 0 for none.
    unsynced_since_ms: AtomicI64,
    syncing_since_ms: AtomicI64,
    /// The last write or sync failed, and was not made good.
    failed: AtomicBool,
    /// Syncs wait for the end of a snapshot, so nobody waits for them.
    lenient: AtomicBool,
    /// What is written is no log before there is a new base.
    needs_base: AtomicBool,
    stamped: AtomicBool,
    /// Changes when something was written or synced, or failed.
    news: watch::Sender<u64>,
    /// The files, while there is a log.
    folder: Mutex<Option<LogFolder>>,
    rewrite: rewrite::Rewrite,
    pub(crate) figures: Figures,
}

/// What the writer takes.
#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    /// Position behind `bytes`.
    end: u64,
    /// Place in the stream behind `bytes`.
    offset: u64,
    /// Database of the last command.
    db: Option<u32>,
    stamped_s: i64,
    orders: VecDeque<Order>,
    /// The writer sleeps until it is woken.
    parked: bool,
}

/// What the writer is told to do, at a place in the log.
#[derive(Debug)]
struct Order {
    position: u64,
    /// Place in the stream that belongs to the position.
    offset: u64,
    task: Task,
}

#[derive(Debug)]
enum Task {
    /// Go on in a new file; what came before is in a base.
    Switch(Switch, SyncSender<Result<Switched, String>>),
    /// The base cut at this position is the log's: what is written since is a log again.
    Published(u64),
    /// What is in memory does not come from the log any more.
    Exchanged,
    /// Make everything durable.
    Sync(SyncSender<Result<(), String>>),
    /// The same, and end.
    Stop(SyncSender<Result<(), String>>),
    /// End, whatever could not be written.
    Abandon,
    /// Look at the configuration again.
    Look,
}

/// How the new file follows the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Switch {
    /// The old files stay a log until there is a base.
    Continued,
    /// There is no log, or a broken one, until there is a base.
    Fresh,
}

/// The new file: its number, and its line for the manifest where that does not have it yet.
type Switched = (u64, Option<Part>);

impl Log {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Self {
        Self {
            disk,
            on: AtomicBool::new(false),
            active: AtomicBool::new(false),
            state: Mutex::new(State::default()),
            work: Condvar::new(),
            promise: AtomicU8::new(NOTHING),
            end: AtomicU64::new(0),
            written: AtomicU64::new(0),
            released: AtomicU64::new(0),
            synced_offset: AtomicU64::new(0),
            unsynced_since_ms: AtomicI64::new(0),
            syncing_since_ms: AtomicI64::new(0),
            failed: AtomicBool::new(false),
            lenient: AtomicBool::new(false),
            needs_base: AtomicBool::new(false),
            stamped: AtomicBool::new(false),
            news: watch::Sender::new(0),
            folder: Mutex::new(None),
            rewrite: rewrite::Rewrite::default(),
            figures: Figures::default(),
        }
    }

    /// Whether there is a log, complete or on its way to be.
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }

    /// Appends units; `offset` is the stream's behind them. Called in the stream's order, under the locks of the turn.
    #[inline]
    pub(crate) fn append(&self, effects: &Effects, offset: u64) {
        if self.active.load(Ordering::Acquire) {
            self.append_units(effects, offset);
        }
    }

    fn append_units(&self, effects: &Effects, offset: u64) {
        let mut state = self.state.lock();
        let State { bytes, db, stamped_s, .. } = &mut *state;
        let before = bytes.len();
        let first = self.unsynced_since_ms.load(Ordering::Relaxed) == 0;
        let stamped = self.stamped.load(Ordering::Relaxed);
        if first || stamped {
            let now = now_ms();
            if stamped && now / 1000 > *stamped_s {
                *stamped_s = now / 1000;
                write_timestamp(bytes, *stamped_s);
            }
            if first {
                self.unsynced_since_ms.store(now, Ordering::Relaxed);
            }
        }
        effects.encode(db, bytes);
        let added = (bytes.len() - before) as u64;
        state.end += added;
        state.offset = offset;
        self.end.store(state.end, Ordering::Release);
        self.wake(state);
    }

    /// The stream has reached `offset` and everything before it was appended.
    pub(crate) fn note_offset(&self, offset: u64) {
        if !self.active.load(Ordering::Acquire) {
            return;
        }
        let mut state = self.state.lock();
        state.offset = offset;
        if state.end == self.released.load(Ordering::Acquire) && self.is_sound() {
            self.synced_offset.store(offset, Ordering::Release);
        }
    }

    fn wake(&self, mut state: parking_lot::MutexGuard<'_, State>) {
        let parked = std::mem::replace(&mut state.parked, false);
        drop(state);
        if parked {
            self.work.notify_one();
        }
    }

    /// Tells the writer something, at the place in the log reached now.
    fn order(&self, task: Task) -> u64 {
        let mut state = self.state.lock();
        let (position, offset) = (state.end, state.offset);
        state.orders.push_back(Order { position, offset, task });
        state.parked = false;
        drop(state);
        self.work.notify_one();
        position
    }

    /// Where the log is to go on in a new file. Called under all shard locks, so that it is the place of a cut. What
    /// follows says its database anew, and is appended whether or not there was a log before.
    fn cut(&self, switch: Switch, offset: u64) -> (u64, Receiver<Result<Switched, String>>) {
        let (answer, answered) = sync_channel(1);
        {
            let mut state = self.state.lock();
            (state.db, state.stamped_s, state.offset) = (None, 0, offset);
        }
        self.active.store(true, Ordering::Release);
        (self.order(Task::Switch(switch, answer)), answered)
    }

    /// Nothing more is appended: the data were exchanged as a whole, or there shall be no log.
    pub(crate) fn suspend(&self) {
        self.active.store(false, Ordering::Release);
        self.set_promise(NOTHING);
    }

    /// The data were exchanged as a whole: the log needs a new base before anything is appended.
    pub(crate) fn data_exchanged(&self) {
        if self.is_on() {
            self.suspend();
            self.order(Task::Exchanged);
        }
    }

    fn set_promise(&self, promise: u8) {
        self.promise.store(promise, Ordering::Release);
        self.tell();
    }

    fn tell(&self) {
        self.news.send_modify(|count| *count += 1);
    }

    /// Whether syncs wait for the end of a snapshot (`no-appendfsync-on-rewrite`).
    fn sync_suspended(&self, engine: &Engine) -> bool {
        let suspended = engine.config.no_appendfsync_on_rewrite() && engine.cut_running();
        self.lenient.store(suspended, Ordering::Relaxed);
        suspended
    }

    fn is_sound(&self) -> bool {
        !self.failed.load(Ordering::Acquire)
    }

    // --- who waits ----------------------------------------------------------------------------------------------

    /// Up to which position the log must get before a reply may leave that was made just now; `wrote`: by a turn that
    /// changed something. `None`: it may leave.
    #[inline]
    pub(crate) fn hold(&self, wrote: bool) -> Option<u64> {
        if self.promise.load(Ordering::Acquire) == NOTHING { None } else { self.hold_by_promise(wrote) }
    }

    fn hold_by_promise(&self, wrote: bool) -> Option<u64> {
        let end = self.end.load(Ordering::Acquire);
        // Reads go on although the disk does not.
        let asked = wrote || (self.promise.load(Ordering::Acquire) == ALWAYS && self.is_sound());
        (asked && self.must_wait(end)).then_some(end)
    }

    fn must_wait(&self, position: u64) -> bool {
        match self.promise.load(Ordering::Acquire) {
            NOTHING => false,
            ALWAYS => position > self.released.load(Ordering::Acquire),
            promise => {
                let waiting = self.end.load(Ordering::Acquire).saturating_sub(self.written.load(Ordering::Acquire));
                waiting > BUFFER_MAX || (promise == EVERYSEC && self.is_late()) || !self.is_sound()
            }
        }
    }

    fn is_late(&self) -> bool {
        if self.lenient.load(Ordering::Relaxed) {
            return false;
        }
        let times = [&self.unsynced_since_ms, &self.syncing_since_ms].map(|time| time.load(Ordering::Relaxed));
        let oldest = times.into_iter().filter(|time| *time > 0).min();
        oldest.is_some_and(|oldest| now_ms() - oldest > WINDOW_MS)
    }

    /// Waits until a reply held at `position` may leave; `false` when it must not, because the log failed.
    pub(crate) async fn passed(&self, position: u64) -> bool {
        let mut news = self.news.subscribe();
        self.figures.count_held();
        loop {
            news.mark_unchanged();
            if !self.must_wait(position) {
                return true;
            }
            if !self.is_sound() || news.changed().await.is_err() {
                return false;
            }
        }
    }

    /// Asks for a sync before it is due.
    pub(crate) fn sync_soon(&self) {
        if self.is_on() && self.unsynced_since_ms.load(Ordering::Relaxed) != 0 {
            let (answer, _) = sync_channel(1);
            self.order(Task::Sync(answer));
        }
    }

    /// Place in the stream up to which everything is on disk; `None` without a log.
    pub(crate) fn synced_offset(&self) -> Option<u64> {
        self.is_on().then(|| self.synced_offset.load(Ordering::Acquire))
    }
}
