//! Snapshots of this instance: SAVE, BGSAVE, save points, loading at the start, and what INFO says of them.

use std::fmt::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use quiver_engine::eviction::Stamps;
use quiver_engine::keyspace::Keyspace;
use quiver_engine::{CommandError, Engine};
use quiver_persist::log::Disk;
use quiver_persist::{LoadOptions, ReplicationPoint, SaveError};
use tracing::{info, warn};

use crate::clock::now_ms;
use crate::host::NodeHost;
use crate::pace::Pace;
use crate::progress::{Loading, Saving};
use crate::stream::Stream;
use crate::sync::replication_point;
use crate::upload::Uploads;

/// State of saving.
#[derive(Debug)]
pub(crate) struct Saver {
    /// Where snapshots are written.
    disk: Arc<dyn Disk>,
    running: AtomicBool,
    scheduled: AtomicBool,
    failed: AtomicBool,
    giving_up: AtomicBool,
    last_save_s: AtomicI64,
    last_try_s: AtomicI64,
    last_duration_s: AtomicI64,
    started_s: AtomicI64,
    saves: AtomicU64,
    saving: Saving,
    loading: Loading,
    pub(crate) uploads: Arc<Uploads>,
}

/// Seconds before a failed background snapshot is tried again by a save point.
const RETRY_S: i64 = 5;

impl Saver {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Self {
        Self {
            disk,
            running: AtomicBool::new(false),
            scheduled: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            giving_up: AtomicBool::new(false),
            last_save_s: AtomicI64::new(0),
            last_try_s: AtomicI64::new(0),
            last_duration_s: AtomicI64::new(0),
            started_s: AtomicI64::new(0),
            saves: AtomicU64::new(0),
            saving: Saving::default(),
            loading: Loading::default(),
            uploads: Arc::default(),
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Relaxed)
    }

    pub(crate) fn last_save_s(&self) -> i64 {
        self.last_save_s.load(Relaxed)
    }

    fn path(engine: &Engine) -> PathBuf {
        PathBuf::from(engine.config.get("dir")).join(engine.config.get("dbfilename"))
    }

    /// Writes a snapshot and returns when it is on disk.
    pub(crate) fn save(&self, engine: &Engine, stream: &Stream) -> Result<(), String> {
        if self.running.swap(true, Relaxed) {
            return Err("a snapshot is being written already".to_owned());
        }
        self.save_claimed(engine, stream).map_err(|error| error.to_string())
    }

    /// The same for whoever has set `running`.
    fn save_claimed(&self, engine: &Engine, stream: &Stream) -> Result<(), SaveError> {
        let started_ms = now_ms();
        self.started_s.store(started_ms / 1000, Relaxed);
        let mut dirty = 0;
        let at_cut = |_: &Keyspace<'_>| {
            dirty = engine.stats.dirty();
            stream.point().map(replication_point)
        };
        let path = Self::path(engine);
        self.saving.begin();
        let options = crate::save_options(engine);
        let mut pace = Pace::new();
        let result = quiver_persist::save_on(&*self.disk, engine, &path, &options, at_cut, &mut |now| {
            self.saving.advance(now);
            pace.rest();
            if self.giving_up.load(Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        self.saving.end();
        self.running.store(false, Relaxed);
        self.last_try_s.store(now_ms() / 1000, Relaxed);
        self.last_duration_s.store((now_ms() - started_ms) / 1000, Relaxed);
        // A snapshot that had to wait too long for another one says nothing about the disk.
        if !matches!(result, Err(SaveError::Busy(_) | SaveError::Cancelled(_))) {
            self.failed.store(result.is_err(), Relaxed);
            engine.state.save_failed.store(result.is_err(), Relaxed);
        }
        match result {
            Ok(saved) => {
                engine.stats.dirty_at_save.store(dirty as i64, Relaxed);
                self.last_save_s.store(now_ms() / 1000, Relaxed);
                self.saves.fetch_add(1, Relaxed);
                self.uploads.offer(&engine.config, &path);
                info!(
                    "DB saved on disk: {} keys, {} bytes in {} after {} ms; writers had copied {} bytes at most",
                    saved.keys,
                    saved.bytes,
                    path.display(),
                    saved.duration.as_millis(),
                    saved.copied_bytes_max,
                );
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Ends a snapshot that runs in the background: a newer one is wanted at once.
    pub(crate) fn give_up_background(&self) {
        self.scheduled.store(false, Relaxed);
        self.giving_up.store(true, Relaxed);
        while self.is_running() {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.giving_up.store(false, Relaxed);
    }

    /// A snapshot is wanted as soon as none of its kind is being written.
    pub(crate) fn schedule(&self) {
        self.scheduled.store(true, Relaxed);
    }

    /// Starts a snapshot in the background; with `schedule` it waits for whatever else is cutting the keyspace, however
    /// long that takes.
    pub(crate) fn start(host: NodeHost, engine: Arc<Engine>, schedule: bool) -> Result<&'static str, CommandError> {
        if host.saver.running.swap(true, Relaxed) {
            return Err(CommandError::text("ERR Background save already in progress"));
        }
        let scheduled = schedule && engine.cut_running();
        host.saver.scheduled.store(scheduled, Relaxed);
        let thread = std::thread::Builder::new().name("quiver-save".to_owned());
        let starting = host.clone();
        match thread.spawn(move || host.saver.save_in_background(&engine, &host.stream)) {
            Ok(_) if scheduled => Ok("Background saving scheduled"),
            Ok(_) => Ok("Background saving started"),
            Err(_) => {
                starting.saver.running.store(false, Relaxed);
                Err(CommandError::text("ERR no thread for the background save"))
            }
        }
    }

    fn save_in_background(&self, engine: &Engine, stream: &Stream) {
        info!("Background saving started by pid {}", std::process::id());
        loop {
            match self.save_claimed(engine, stream) {
                Ok(()) => info!("Background saving terminated with success"),
                Err(SaveError::Busy(_)) if self.scheduled.load(Relaxed) && !self.running.swap(true, Relaxed) => {
                    continue;
                }
                Err(error) => warn!("Background saving error: {error}"),
            }
            break;
        }
    }

    /// Starts a snapshot when a save point is reached.
    pub(crate) fn at_save_points(host: &NodeHost, engine: &Arc<Engine>) {
        let saver = &host.saver;
        if engine.state.flushed.swap(false, Relaxed) && !engine.config.save_points().is_empty() {
            // What was deleted must not come back with the old snapshot.
            saver.give_up_background();
            let _ = Self::start(host.clone(), Arc::clone(engine), false);
            return;
        }
        let now_s = now_ms() / 1000;
        let retry = !saver.failed.load(Relaxed) || now_s - saver.last_try_s.load(Relaxed) > RETRY_S;
        if saver.is_running() || !retry {
            return;
        }
        if !host.log.is_rewriting() && saver.scheduled.swap(false, Relaxed) {
            let _ = Self::start(host.clone(), Arc::clone(engine), false);
            return;
        }
        let changes = Self::changes(engine);
        let since_s = now_s - saver.last_save_s();
        let due = engine.config.save_points().into_iter().find(|(s, n)| since_s > *s as i64 && changes >= *n as i64);
        if let Some((seconds, _)) = due {
            info!("{changes} changes in {seconds} seconds. Saving...");
            let _ = Self::start(host.clone(), Arc::clone(engine), false);
        }
    }

    fn changes(engine: &Engine) -> i64 {
        engine.stats.dirty() as i64 - engine.stats.dirty_at_save.load(Relaxed)
    }

    /// What was there at the start counts as saved.
    pub(crate) fn note_start(&self) {
        self.last_save_s.store(now_ms() / 1000, Relaxed);
    }

    /// Reads the snapshot file, if there is one; gives its place in a stream, if it has one.
    pub(crate) fn load(&self, engine: &Engine) -> Result<Option<ReplicationPoint>, String> {
        self.note_start();
        let path = Self::path(engine);
        let now_ms = now_ms();
        let options = LoadOptions {
            databases: engine.config.databases(),
            now_ms,
            discard_expired: !engine.state.is_replica.load(Relaxed),
            clock: Some(Stamps::new(now_ms, &engine.config)),
        };
        self.loading.begin(&path);
        let mut progress = |now| self.loading.advance(&path, now);
        let loaded = quiver_persist::load_file_on(&*self.disk, engine, &path, &options, &mut progress);
        let Some(loaded) = loaded.map_err(|error| error.to_string())? else { return Ok(None) };
        self.loading.end(&loaded);
        for warning in &loaded.warnings {
            warn!("{}: {warning}", path.display());
        }
        let took_s = (crate::clock::now_ms() - now_ms) as f64 / 1000.0;
        info!(
            "Done loading RDB, keys loaded: {}, keys expired: {}, empty keys skipped: {}.",
            loaded.keys, loaded.expired, loaded.empty,
        );
        info!("DB loaded from disk: {took_s:.3} seconds");
        Ok(loaded.properties.replication)
    }

    pub(crate) fn info(&self, engine: &Engine, out: &mut String) {
        let running = self.is_running();
        let current = if running { now_ms() / 1000 - self.started_s.load(Relaxed) } else { -1 };
        let loading = engine.state.loading.load(Relaxed);
        let _ = write!(out, "loading:{}\r\nasync_loading:0\r\n", u8::from(loading));
        self.saving.info(out);
        let _ = write!(
            out,
            "rdb_changes_since_last_save:{}\r\nrdb_bgsave_in_progress:{}\r\nrdb_last_save_time:{}\r\n\
             rdb_last_bgsave_status:{}\r\nrdb_last_bgsave_time_sec:{}\r\nrdb_current_bgsave_time_sec:{current}\r\n\
             rdb_saves:{}\r\nrdb_last_cow_size:{}\r\n",
            Self::changes(engine),
            u8::from(running),
            self.last_save_s(),
            if self.failed.load(Relaxed) { "err" } else { "ok" },
            if self.saves.load(Relaxed) == 0 { -1 } else { self.last_duration_s.load(Relaxed) },
            self.saves.load(Relaxed),
            self.saving.last_copied_bytes_max(),
        );
        self.loading.last_info(out);
        self.uploads.info(&engine.config, out);
        if loading {
            self.loading.info(out);
        }
    }
}
