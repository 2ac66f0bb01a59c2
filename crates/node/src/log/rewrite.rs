//! BGREWRITEAOF without a fork: a snapshot becomes the new base, and what is done from its cut on stands in a new
//! increment.
//!
//! The writer opens the increment when it gets to the place of the cut, after it has synced the one before, so the order
//! of events on disk is that of the log. When anything fails before the new base is in the manifest, the old files are
//! the log, and go on being it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicI64,
    Ordering::{Acquire, Relaxed},
};
use std::time::Duration;

use quiver_engine::effects::Sink;
use quiver_engine::{CommandError, Engine};
use quiver_persist::SnapshotStream;
use quiver_persist::log::{BaseFile, Found, LogError, LogFolder};
use tracing::{info, warn};

use super::{Log, Switch, Task};
use crate::clock::now_ms;
use crate::host::NodeHost;
use crate::pace::Pace;

/// Bytes of a base after which it is synced, so that the last sync is short.
const SYNC_EVERY_BYTES: u64 = 4 << 20;
/// How long a rewrite waits for a snapshot that is being written.
const SNAPSHOT_WAIT: Duration = Duration::from_secs(600);
/// Pause after a failure, and the longest one; it doubles with each.
const RETRY_S: i64 = 2;
const RETRY_MAX_S: i64 = 60;

/// State of rewriting.
#[derive(Debug, Default)]
pub(crate) struct Rewrite {
    running: AtomicBool,
    scheduled: AtomicBool,
    giving_up: AtomicBool,
    started_s: AtomicI64,
    failed_s: AtomicI64,
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

impl Rewrite {
    pub(super) fn is_scheduled(&self) -> bool {
        self.scheduled.load(Relaxed)
    }

    pub(super) fn running_for_s(&self) -> i64 {
        if self.running.load(Relaxed) { now_ms() / 1000 - self.started_s.load(Relaxed) } else { -1 }
    }
}

impl Log {
    /// Whether a base is being written.
    pub(crate) fn is_rewriting(&self) -> bool {
        self.rewrite.running.load(Relaxed)
    }

    /// BGREWRITEAOF. It works without a log, too: then there is a base afterwards that nothing follows.
    pub(crate) fn rewrite_soon(host: &NodeHost, engine: &Arc<Engine>) -> Result<&'static str, CommandError> {
        let log = &host.log;
        if log.is_rewriting() {
            return Err(CommandError::text("ERR Background append only file rewriting already in progress"));
        }
        if host.saver.is_running() {
            log.rewrite.scheduled.store(true, Relaxed);
            return Ok("Background append only file rewriting scheduled");
        }
        Self::start_rewrite(host, engine);
        Ok("Background append only file rewriting started")
    }

    /// Starts a rewrite on a thread of its own, unless one runs.
    pub(crate) fn start_rewrite(host: &NodeHost, engine: &Arc<Engine>) {
        if host.log.rewrite.running.swap(true, Relaxed) {
            return;
        }
        host.log.rewrite.started_s.store(now_ms() / 1000, Relaxed);
        let (thread, log) = (std::thread::Builder::new().name("quiver-rewrite".to_owned()), Arc::clone(&host.log));
        let (host, engine) = (host.clone(), Arc::clone(engine));
        if let Err(error) = thread.spawn(move || host.log.run_rewrite(&host, &engine)) {
            warn!("no thread for rewriting the log: {error}");
            log.rewrite.running.store(false, Relaxed);
        }
    }

    fn run_rewrite(&self, host: &NodeHost, engine: &Arc<Engine>) {
        self.rewrite.scheduled.store(false, Relaxed);
        let rewritten = self.rewrite(host, engine);
        self.end_rewrite(&rewritten);
    }

    fn end_rewrite(&self, rewritten: &Result<(), String>) {
        let figures = &self.figures;
        figures.last_rewrite_s.store(self.rewrite.running_for_s(), Relaxed);
        let given_up = self.rewrite.giving_up.load(Relaxed);
        match rewritten {
            Ok(()) => {
                figures.rewrites.fetch_add(1, Relaxed);
                figures.failures_in_a_row.store(0, Relaxed);
                figures.rewrite_ok.store(true, Relaxed);
            }
            Err(_) if given_up => info!("Background AOF rewrite given up"),
            Err(error) => {
                warn!("Background AOF rewrite terminated with error: {error}");
                figures.failures_in_a_row.fetch_add(1, Relaxed);
                figures.rewrite_ok.store(false, Relaxed);
                self.rewrite.failed_s.store(now_ms() / 1000, Relaxed);
            }
        }
        self.rewrite.running.store(false, Relaxed);
    }

    /// Writes a new base and makes it the log's.
    pub(super) fn rewrite(&self, host: &NodeHost, engine: &Arc<Engine>) -> Result<(), String> {
        let is_on = self.is_on();
        if is_on {
            // Nothing reaches a log that is not active, but turns must yield their effects from the cut on.
            let _starting = host.starting.lock();
            engine.set_sink(Some(Arc::clone(&host.stream) as Arc<dyn Sink>), || ());
        } else {
            *self.folder.lock() = Some(self.open_folder(engine).map_err(text)?.into_folder());
        }
        let base = self.folder.lock().as_ref().ok_or("there is no log")?.begin_base().map_err(text)?;
        let mut options = crate::save_options(engine);
        (options.is_log_base, options.wait) = (true, SNAPSHOT_WAIT);
        // Files that cannot be written cannot be gone on from.
        let fresh = self.needs_base.load(Acquire) || !self.is_sound();
        let switch = if fresh { Switch::Fresh } else { Switch::Continued };
        let mut cut = None;
        let stream = SnapshotStream::begin(&**engine, &options, |_| {
            cut = is_on.then(|| self.cut(switch, host.stream.end()));
            None
        });
        let stream = stream.ok_or("another snapshot kept running")?;
        let keys = stream.keys_total();
        let (position, (first, part)) = match cut {
            Some((position, answered)) => (position, answered.recv().map_err(|_| "the writer of the log has ended")??),
            None => (self.end.load(Acquire), (u64::MAX, None)),
        };
        let base = self.write_base(engine, base, stream)?;
        if is_on {
            // A log that fails now would have a hole between this base and what comes.
            self.sync_now()?;
        }
        let mut folder = self.folder.lock();
        let folder = folder.as_mut().ok_or("there is no log any more")?;
        folder.publish(base, position, first, part).map_err(text)?;
        if let Err(error) = folder.clean() {
            warn!("files of the log that are not needed any more: {error}");
        }
        let (current, of_base) = folder.sizes().map_err(text)?;
        self.figures.set_size(current);
        if is_on {
            self.order(Task::Published(position));
        }
        info!("Background AOF rewrite finished successfully: {keys} keys, {of_base} bytes");
        Ok(())
    }

    fn write_base(
        &self,
        engine: &Engine,
        mut base: BaseFile,
        mut stream: SnapshotStream<&Engine>,
    ) -> Result<BaseFile, String> {
        let (mut synced, mut pace) = (0, Pace::new());
        while let Some(piece) = stream.next_piece() {
            pace.rest();
            if self.rewrite.giving_up.load(Relaxed) {
                return Err("given up".to_owned());
            }
            base.write(&piece).map_err(text)?;
            if engine.config.aof_rewrite_incremental_fsync() && base.len() - synced >= SYNC_EVERY_BYTES {
                base.sync().map_err(text)?;
                synced = base.len();
            }
        }
        Ok(base)
    }

    /// Writes and syncs everything appended so far.
    pub(super) fn sync_now(&self) -> Result<(), String> {
        let (answer, answered) = std::sync::mpsc::sync_channel(1);
        self.order(Task::Sync(answer));
        answered.recv().map_err(|_| "the writer of the log has ended".to_owned())?
    }

    /// Ends a running rewrite, and waits for that.
    pub(crate) fn give_up_rewrite(&self) {
        self.rewrite.scheduled.store(false, Relaxed);
        self.rewrite.giving_up.store(true, Relaxed);
        while self.is_rewriting() {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.rewrite.giving_up.store(false, Relaxed);
    }

    /// Starts what is due: a rewrite that was scheduled, is needed, or is worth it by the size of the log.
    pub(crate) fn tend(host: &NodeHost, engine: &Arc<Engine>) {
        let log = &host.log;
        if !log.is_on() || log.is_rewriting() || engine.cut_running() {
            return;
        }
        let since_s = now_ms() / 1000 - log.rewrite.failed_s.load(Relaxed);
        let failures = log.figures.failures_in_a_row.load(Relaxed).min(10);
        let pause_s = if failures == 0 { 0 } else { (RETRY_S << (failures - 1)).min(RETRY_MAX_S) };
        if since_s < pause_s {
            return;
        }
        let needed = log.needs_base.load(Acquire);
        if log.rewrite.is_scheduled() || needed || log.has_grown(engine) {
            Self::start_rewrite(host, engine);
        }
    }

    fn has_grown(&self, engine: &Engine) -> bool {
        let percent = engine.config.auto_aof_rewrite_percentage() as u64;
        let (now, then) = (self.figures.current_bytes.load(Relaxed), self.figures.rewritten_bytes.load(Relaxed).max(1));
        let grown = percent > 0
            && now > engine.config.auto_aof_rewrite_min_size() as u64
            && now.saturating_sub(then).saturating_mul(100) / then >= percent;
        if grown {
            info!("Starting automatic rewriting of AOF: it has grown from {then} to {now} bytes");
        }
        grown
    }

    /// The folder as the configuration names it.
    pub(super) fn open_folder(&self, engine: &Engine) -> Result<Found, LogError> {
        let config = &engine.config;
        LogFolder::open(
            Arc::clone(&self.disk),
            Path::new(&config.get("dir")),
            &config.get("appenddirname"),
            &config.get("appendfilename"),
        )
    }
}
