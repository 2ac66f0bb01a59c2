//! The thread that writes the log.
//!
//! It takes what was appended, writes it as one batch, and syncs when `appendfsync` says so. A failed write is cut off
//! and tried again with the same bytes: nobody was told that they are there. After a failed sync the file is given up:
//! only a new base, made from memory, makes the log good (`rewrite`). Until then writes are refused.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use quiver_engine::Engine;
use quiver_persist::log::{FileError, LogFile};
use tracing::{error, info, warn};

use super::{ALWAYS, EVERYSEC, Log, NEVER, Order, Switch, Switched, Task};
use crate::clock::now_ms;

/// How long what was appended may wait for company before it is written, where no reply waits for it.
const GATHER: Duration = Duration::from_millis(2);
/// Under `everysec`: age of the oldest byte that is not on disk at which a sync begins, so that it ends in time.
const SYNC_AFTER_MS: i64 = 700;
/// Pause between two attempts to write.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// Bytes kept for another attempt. Refused writes add nothing, expiry does.
const RETRY_BYTES_MAX: usize = 64 << 20;
/// Memory of an idle buffer.
const KEEP_BYTES: usize = 1 << 20;
/// Longest sleep without anything to do.
const IDLE: Duration = Duration::from_secs(60);

/// State of the files as far as the writer is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    /// What is synced here is safe.
    Good,
    /// What is written belongs to a base that is not there yet.
    Unfounded,
    /// The last write failed and is tried again.
    Retrying,
    /// Nothing can be written any more; a new base is needed.
    Broken,
}

/// The thread's own part.
pub(super) struct Writer {
    log: Arc<Log>,
    engine: Arc<Engine>,
    file: Option<LogFile>,
    health: Health,
    /// Where the base was cut that is being written for a fresh file.
    founded_at: Option<u64>,
    /// Bytes to be written, and the position and place in the stream behind them.
    batch: Vec<u8>,
    end: u64,
    offset: u64,
    /// The last attempt to write.
    tried: Instant,
    /// Something is written that is not synced.
    unsynced: bool,
    /// Somebody asked for a sync.
    asked: bool,
}

impl Log {
    /// Starts the writer: on `file`, or without one until the first switch.
    pub(super) fn start_writer(self: &Arc<Self>, engine: &Arc<Engine>, file: Option<LogFile>) -> std::io::Result<()> {
        let (end, offset) = {
            let state = self.state.lock();
            (state.end, state.offset)
        };
        let file_missing = file.is_none();
        let health = if file_missing { Health::Unfounded } else { Health::Good };
        let mut writer = Writer {
            log: Arc::clone(self),
            engine: Arc::clone(engine),
            file,
            health,
            founded_at: None,
            batch: Vec::new(),
            end,
            offset,
            tried: Instant::now(),
            unsynced: false,
            asked: false,
        };
        // Before anybody can append: a reply must not leave for want of a promise.
        writer.look();
        self.on.store(true, Ordering::Release);
        self.needs_base.store(file_missing, Ordering::Release);
        std::thread::Builder::new().name("quiver-log".to_owned()).spawn(move || writer.run())?;
        Ok(())
    }
}

impl Writer {
    fn run(&mut self) {
        loop {
            let orders = self.take();
            for order in orders {
                if !self.obey_at_its_place(order) {
                    return;
                }
            }
            self.write_all();
            if self.sync_is_due() {
                // A failure was told to everybody who waits.
                let _ = self.sync();
            }
        }
    }

    /// Waits for something to do, and takes it.
    fn take(&mut self) -> Vec<Order> {
        let gather = self.log.promise.load(Ordering::Acquire) != ALWAYS;
        let log = Arc::clone(&self.log);
        let mut state = log.state.lock();
        if gather && self.health != Health::Retrying && state.orders.is_empty() {
            // Whoever appends meanwhile need not wake this thread.
            log.work.wait_for(&mut state, GATHER);
        }
        if state.bytes.is_empty() && state.orders.is_empty() {
            let sleep = self.sleep();
            if !sleep.is_zero() {
                state.parked = true;
                log.work.wait_for(&mut state, sleep);
                state.parked = false;
            }
        }
        if self.batch.is_empty() {
            std::mem::swap(&mut self.batch, &mut state.bytes);
        } else {
            self.batch.append(&mut state.bytes);
        }
        (self.end, self.offset) = (state.end, state.offset);
        state.orders.drain(..).collect()
    }

    /// How long there is nothing to do unless somebody calls.
    fn sleep(&self) -> Duration {
        if self.health == Health::Retrying {
            return RETRY_AFTER.saturating_sub(self.tried.elapsed());
        }
        if !self.unsynced || self.health != Health::Good {
            return IDLE;
        }
        match self.log.promise.load(Ordering::Acquire) {
            ALWAYS | EVERYSEC if self.log.sync_suspended(&self.engine) => RETRY_AFTER,
            ALWAYS => Duration::ZERO,
            EVERYSEC => {
                let since = self.log.unsynced_since_ms.load(Ordering::Relaxed);
                Duration::from_millis((since + SYNC_AFTER_MS - now_ms()).clamp(1, SYNC_AFTER_MS) as u64)
            }
            _ => IDLE,
        }
    }

    /// Does what was ordered, with nothing written that was appended later; `false`: the end.
    fn obey_at_its_place(&mut self, Order { position, offset, task }: Order) -> bool {
        let later = (self.end - position) as usize;
        let behind = self.batch.split_off(self.batch.len() - later);
        let (end, end_offset) =
            (std::mem::replace(&mut self.end, position), std::mem::replace(&mut self.offset, offset));
        let goes_on = self.obey(position, task);
        self.batch.extend_from_slice(&behind);
        (self.end, self.offset) = (end, end_offset);
        goes_on
    }

    /// `false`: the end.
    fn obey(&mut self, position: u64, task: Task) -> bool {
        match task {
            Task::Switch(switch, answer) => {
                let switched = self.switch(position, switch);
                // Whoever asked may have given up.
                let _ = answer.send(switched);
            }
            Task::Exchanged => {
                self.founded_at = None;
                self.set_health(Health::Unfounded);
            }
            Task::Published(position) => {
                if self.health == Health::Unfounded && self.founded_at == Some(position) {
                    self.set_health(Health::Good);
                    self.look();
                    // What is wrong with it now is seen to as at any time.
                    if self.sync().is_ok() {
                        self.recovered();
                    }
                }
            }
            Task::Sync(answer) => {
                self.write_all();
                self.asked = true;
                let synced = self.sync();
                let _ = answer.send(synced);
            }
            Task::Stop(answer) => {
                self.write_all();
                let mut stopped = self.sync();
                if stopped.is_ok() && self.health != Health::Good {
                    stopped = Err("the base of the log is not there yet".to_owned());
                }
                let goes_on = stopped.is_err();
                let _ = answer.send(stopped);
                return goes_on;
            }
            Task::Abandon => return false,
            Task::Look => self.look(),
        }
        true
    }

    /// Takes over what the configuration says.
    fn look(&self) {
        let config = &self.engine.config;
        self.log.stamped.store(config.aof_timestamp_enabled(), Ordering::Relaxed);
        if self.health == Health::Good || self.health == Health::Retrying {
            self.log.set_promise(match config.get("appendfsync").as_str() {
                "always" => ALWAYS,
                "everysec" => EVERYSEC,
                _ => NEVER,
            });
        }
    }

    // --- writing ------------------------------------------------------------------------------------------------

    fn write_all(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        if self.health == Health::Broken {
            // A new base will have it.
            return self.batch.clear();
        }
        if self.health == Health::Retrying && self.tried.elapsed() < RETRY_AFTER {
            return;
        }
        let mut batch = std::mem::take(&mut self.batch);
        if self.write(&mut batch) {
            batch.clear();
            batch.shrink_to(KEEP_BYTES);
            self.written_up_to(self.end);
        } else if batch.len() > RETRY_BYTES_MAX && self.health == Health::Retrying {
            error!("too much waits for the log to be written; it must be made anew from memory");
            self.set_health(Health::Broken);
        }
        self.batch = batch;
    }

    /// Writes a batch; `true` when that succeeded, or there is nowhere to write it.
    fn write(&mut self, batch: &mut Vec<u8>) -> bool {
        let Some(file) = &mut self.file else { return true };
        self.tried = Instant::now();
        let before = file.len();
        let appended = file.append(batch);
        let (added, is_broken) = (file.len() - before, file.is_broken());
        self.log.figures.add_bytes(added);
        self.note_latency("aof-write", self.tried);
        match appended {
            Ok(()) => {
                self.unsynced = true;
                if self.health == Health::Retrying {
                    self.set_health(Health::Good);
                    self.asked = true;
                }
                true
            }
            Err(error) => {
                let health = if is_broken { Health::Broken } else { Health::Retrying };
                self.failed(&error, health);
                false
            }
        }
    }

    fn written_up_to(&self, end: u64) {
        self.log.written.store(end, Ordering::Release);
        if self.log.promise.load(Ordering::Acquire) != ALWAYS {
            self.log.tell();
        }
    }

    fn sync_is_due(&self) -> bool {
        if !self.unsynced || self.health != Health::Good {
            return false;
        }
        if self.asked {
            return true;
        }
        if self.log.sync_suspended(&self.engine) {
            // While a snapshot is written `always` promises no more than this.
            self.log.released.store(self.end, Ordering::Release);
            self.log.tell();
            return false;
        }
        match self.log.promise.load(Ordering::Acquire) {
            ALWAYS => true,
            EVERYSEC => now_ms() - self.log.unsynced_since_ms.load(Ordering::Relaxed) >= SYNC_AFTER_MS,
            _ => false,
        }
    }

    /// Makes everything that is written durable, and says so.
    fn sync(&mut self) -> Result<(), String> {
        if matches!(self.health, Health::Retrying | Health::Broken) {
            return Err("the log could not be written".to_owned());
        }
        let Some(file) = &mut self.file else { return Err("there is no log".to_owned()) };
        let since = {
            let state = self.log.state.lock();
            let since = self.log.unsynced_since_ms.load(Ordering::Relaxed);
            self.log.syncing_since_ms.store(since, Ordering::Relaxed);
            // What was appended behind the batch has waited for a moment only.
            let rest = if state.bytes.is_empty() { 0 } else { now_ms() };
            self.log.unsynced_since_ms.store(rest, Ordering::Relaxed);
            since
        };
        let began = Instant::now();
        if self.unsynced
            && let Err(error) = file.sync()
        {
            self.failed(&error, Health::Broken);
            return Err(error.to_string());
        }
        if self.log.promise.load(Ordering::Acquire) == ALWAYS {
            self.note_latency("aof-fsync-always", began);
        } else if since > 0 && now_ms() - since > super::WINDOW_MS {
            self.log.figures.count_delayed();
        }
        self.log.syncing_since_ms.store(0, Ordering::Relaxed);
        self.unsynced = false;
        self.asked = false;
        if self.health == Health::Good {
            let log = &self.log;
            log.released.store(self.end, Ordering::Release);
            log.synced_offset.store(self.offset, Ordering::Release);
            if log.failed.load(Ordering::Acquire) {
                self.recovered();
            }
            self.log.tell();
            self.engine.acknowledged();
        }
        Ok(())
    }

    fn note_latency(&self, event: &'static str, since: Instant) {
        self.engine.note_latency(event, since.elapsed().as_millis() as u64, now_ms());
    }

    // --- failing and recovering ---------------------------------------------------------------------------------

    fn failed(&mut self, failure: &FileError, health: Health) {
        if health == Health::Broken && self.health != Health::Broken {
            error!("the log is broken: {failure}. Writes are refused until it is made anew from memory");
        } else if self.log.is_sound() {
            error!("the log cannot be written: {failure}. Writes are refused until it can");
        }
        self.set_health(if self.health == Health::Unfounded { Health::Broken } else { health });
        self.log.figures.set_write_ok(false);
        self.engine.refuse_writes(Some(failure.cause()));
        self.log.failed.store(true, Ordering::Release);
        self.log.tell();
    }

    fn set_health(&mut self, health: Health) {
        self.health = health;
        self.log.needs_base.store(matches!(health, Health::Unfounded | Health::Broken), Ordering::Release);
    }

    fn recovered(&self) {
        if self.log.failed.swap(false, Ordering::AcqRel) {
            info!("the log is whole again: the server accepts writes");
        }
        self.log.figures.set_write_ok(true);
        self.engine.refuse_writes(None);
        self.log.tell();
    }

    // --- new files ----------------------------------------------------------------------------------------------

    /// Goes on in a new file from `position` on. When that fails the old file goes on.
    fn switch(&mut self, position: u64, switch: Switch) -> Result<Switched, String> {
        match switch {
            Switch::Continued => {
                self.write_all();
                self.sync()?;
                self.continue_in_next(position)
            }
            Switch::Fresh => {
                // The base has it.
                self.batch.clear();
                self.begin_anew(position)
            }
        }
    }

    fn continue_in_next(&mut self, position: u64) -> Result<Switched, String> {
        if self.health != Health::Good || !self.batch.is_empty() {
            return Err("the log could not be written".to_owned());
        }
        let mut folder = self.log.folder.lock();
        let folder = folder.as_mut().ok_or("there is no log")?;
        let next = folder.next_increment(position).map_err(|error| error.to_string())?;
        self.file = Some(next);
        let seq = folder.manifest().increments.last().map_or(0, |part| part.seq);
        Ok((seq, None))
    }

    fn begin_anew(&mut self, position: u64) -> Result<Switched, String> {
        let made = {
            let folder = self.log.folder.lock();
            folder.as_ref().ok_or("there is no log")?.new_increment(position)
        };
        let (file, part) = made.map_err(|error| error.to_string())?;
        self.file = Some(file);
        self.set_health(Health::Unfounded);
        self.founded_at = Some(position);
        self.unsynced = true;
        Ok((part.seq, Some(part)))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            warn!("the thread of the log has ended by a fault of this program");
            self.engine.refuse_writes(Some("the thread of the log has ended".to_owned()));
            self.log.failed.store(true, Ordering::Release);
            self.log.tell();
        }
    }
}
