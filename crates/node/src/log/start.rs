//! The log at the start of the instance, turned on and off at run time, and at the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;

use quiver_engine::Engine;
use quiver_engine::effects::Sink;
use quiver_engine::eviction::Stamps;
use quiver_persist::LoadOptions;
use quiver_persist::log::{Found, LogFolder, LogLoaded, LogOptions, LogProgress, load_log};
use tracing::{info, warn};

use super::{Log, Task};
use crate::clock::{now_ms, random_seed};
use crate::host::NodeHost;

/// A log begins somewhere below 2^40, so that the files of one never fit those of another, whose positions are others.
const FIRST_POSITION_SHIFT: u32 = 24;

impl Log {
    /// Loads the log and goes on with it. `Ok(false)`: there was none, so the data come from elsewhere, and
    /// [`Self::begin`] makes a log of them.
    pub(crate) fn load(
        self: &Arc<Self>,
        host: &NodeHost,
        engine: &Arc<Engine>,
        progress: &mut dyn FnMut(LogProgress),
    ) -> Result<bool, String> {
        let mut folder = match self.open_folder(engine).map_err(|error| error.to_string())? {
            Found::Nothing(folder) => {
                *self.folder.lock() = Some(folder);
                self.stand_at(random_seed() >> FIRST_POSITION_SHIFT, host.stream.end());
                return Ok(false);
            }
            Found::Log(folder) => folder,
        };
        let loaded = read(&folder, engine, progress)?;
        if let Err(error) = folder.clean() {
            warn!("files of the log that are not needed any more: {error}");
        }
        let file = folder.go_on(loaded.position).map_err(|error| error.to_string())?;
        self.stand_at(loaded.position, host.stream.end());
        self.measure(&folder);
        *self.folder.lock() = Some(folder);
        self.start_writer(engine, Some(file)).map_err(|error| format!("no thread for the log: {error}"))?;
        engine.set_sink(Some(Arc::clone(&host.stream) as Arc<dyn Sink>), || {
            self.active.store(true, Ordering::Release);
        });
        Ok(true)
    }

    /// Makes a log of the data there are and returns when it is on disk.
    pub(crate) fn begin(self: &Arc<Self>, host: &NodeHost, engine: &Arc<Engine>) -> Result<(), String> {
        self.start_writer(engine, None).map_err(|error| format!("no thread for the log: {error}"))?;
        self.rewrite(host, engine)?;
        // The order to believe in the base stands before this one.
        self.sync_now()
    }

    /// Reads the log again in the place of everything there is (DEBUG LOADAOF).
    pub(crate) fn reload(&self, host: &NodeHost, engine: &Arc<Engine>) -> Result<(), String> {
        if !self.is_on() || self.needs_base.load(Ordering::Acquire) {
            return Err("there is no log".to_owned());
        }
        self.sync_now()?;
        // The units of the log are no news.
        engine.set_sink(None, || ());
        let folder = self.folder.lock();
        let folder = folder.as_ref().ok_or("there is no log")?;
        let loaded = read(folder, engine, &mut |_| ());
        engine.set_sink(Some(Arc::clone(&host.stream) as Arc<dyn Sink>), || ());
        loaded.map(drop)
    }

    fn stand_at(&self, position: u64, offset: u64) {
        let mut state = self.state.lock();
        (state.end, state.offset, state.db) = (position, offset, None);
        for at in [&self.end, &self.written, &self.released] {
            at.store(position, Ordering::Release);
        }
        self.synced_offset.store(offset, Ordering::Release);
    }

    fn measure(&self, folder: &LogFolder) {
        if let Ok((current, _)) = folder.sizes() {
            self.figures.set_size(current);
        }
    }

    /// A parameter changed at run time.
    pub(crate) fn config_changed(host: &NodeHost, name: &str) {
        let log = &host.log;
        match name {
            "appendonly" => {
                let Some(engine) = host.engine() else { return };
                if engine.config.appendonly() { Self::turn_on(host, &engine) } else { Self::turn_off(host, &engine) }
            }
            "appendfsync" | "aof-timestamp-enabled" if log.is_on() => {
                log.order(Task::Look);
            }
            _ => {}
        }
    }

    /// Begins a log in the background: it is one when its base is written.
    fn turn_on(host: &NodeHost, engine: &Arc<Engine>) {
        let log = &host.log;
        if log.is_on() {
            return;
        }
        // A log of an earlier time is what the new one takes the place of, so it must be possible to read its manifest.
        let folder = match log.open_folder(engine) {
            Ok(Found::Log(folder)) => folder,
            Ok(Found::Nothing(folder)) => {
                log.stand_at(random_seed() >> FIRST_POSITION_SHIFT, host.stream.end());
                folder
            }
            Err(error) => {
                warn!("the log cannot be turned on: {error}");
                let _ = engine.config.set("appendonly", "no", true);
                return;
            }
        };
        *log.folder.lock() = Some(folder);
        match log.start_writer(engine, None) {
            Ok(()) => Self::start_rewrite(host, engine),
            Err(error) => warn!("no thread for the log: {error}"),
        }
    }

    /// Ends the log. What was appended is still synced.
    fn turn_off(host: &NodeHost, engine: &Arc<Engine>) {
        let log = Arc::clone(&host.log);
        if !log.is_on() {
            return;
        }
        log.suspend();
        let (host, engine) = (host.clone(), Arc::clone(engine));
        let spawned = std::thread::Builder::new().name("quiver-log-off".to_owned()).spawn(move || {
            log.give_up_rewrite();
            if let Err(error) = log.stop() {
                warn!("the log ends with what could not be written: {error}");
                log.abandon();
            }
            log.failed.store(false, Ordering::Release);
            engine.refuse_writes(None);
            {
                let _starting = host.starting.lock();
                host.stream.release_sink(&engine);
            }
            if engine.config.appendonly() {
                // Turned on again meanwhile.
                Self::turn_on(&host, &engine);
            }
        });
        if let Err(error) = spawned {
            warn!("no thread to end the log: {error}");
        }
    }

    /// Syncs everything and ends the writer.
    fn stop(&self) -> Result<(), String> {
        let (answer, answered) = sync_channel(1);
        self.order(Task::Stop(answer));
        answered.recv().map_err(|_| "the writer of the log has ended".to_owned())??;
        self.ended();
        Ok(())
    }

    /// Ends the writer whatever it could not write.
    fn abandon(&self) {
        self.order(Task::Abandon);
        self.ended();
    }

    fn ended(&self) {
        self.on.store(false, Ordering::Release);
        self.needs_base.store(false, Ordering::Release);
        self.unsynced_since_ms.store(0, Ordering::Relaxed);
        self.syncing_since_ms.store(0, Ordering::Relaxed);
    }

    /// The end of the instance: everything that was done is on disk when this succeeds.
    pub(crate) fn close(&self) -> Result<(), String> {
        if !self.is_on() {
            return Ok(());
        }
        if self.needs_base.load(Ordering::Acquire) && self.is_rewriting() {
            info!("the base of the log is being written; the end waits for it");
            while self.is_rewriting() {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        } else {
            self.give_up_rewrite();
        }
        self.sync_now()?;
        if self.needs_base.load(Ordering::Acquire) {
            return Err("the log has no base".to_owned());
        }
        Ok(())
    }
}

fn read(folder: &LogFolder, engine: &Arc<Engine>, progress: &mut dyn FnMut(LogProgress)) -> Result<LogLoaded, String> {
    let config = &engine.config;
    let (started_ms, now_ms) = (now_ms(), now_ms());
    let options = LogOptions {
        // Nothing of the base may be left out: what follows was done to all of it.
        base: LoadOptions {
            databases: config.databases(),
            now_ms,
            discard_expired: false,
            clock: Some(Stamps::new(now_ms, config)),
        },
        load_truncated: config.aof_load_truncated(),
        corrupt_tail_max: config.aof_load_corrupt_tail_max_size() as u64,
    };
    let mut worker = crate::memory::worker(engine);
    let loaded = load_log(folder, engine, &mut worker, &options, progress).map_err(|error| error.to_string())?;
    loaded.warnings.iter().for_each(|warning| warn!("the base of the log: {warning}"));
    if let Some(cut) = &loaded.cut {
        warn!("the end of the log was not whole. {cut}");
    }
    let took_s = (crate::clock::now_ms() - started_ms) as f64 / 1000.0;
    info!(
        "DB loaded from append only file: {took_s:.3} seconds, {} keys and {} commands",
        loaded.keys, loaded.commands
    );
    Ok(loaded)
}
