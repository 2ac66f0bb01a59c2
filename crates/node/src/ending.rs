//! The end of the instance: what SHUTDOWN and the signals do.
//!
//! Writes are refused first; then replicas get what they lack, the log is synced, and a snapshot written where one is
//! wanted. The process ends with 0 only when all of that succeeded.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use quiver_engine::{CommandError, Engine};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::host::NodeHost;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything that was to be saved is on disk.
    Clean,
    /// Asked to end although a save failed.
    Forced,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    /// Write a snapshot or not; `None`: as configured.
    pub(crate) save: Option<bool>,
    /// Do not wait for replicas.
    pub(crate) now: bool,
    /// End whatever fails.
    pub(crate) force: bool,
}

impl Wanted {
    /// The words of `shutdown-on-sigterm`.
    pub(crate) fn parse(words: &str) -> Self {
        words.split(' ').fold(Self::default(), |wanted, word| match word {
            "save" => Self { save: Some(true), ..wanted },
            "nosave" => Self { save: Some(false), ..wanted },
            "now" => Self { now: true, ..wanted },
            "force" => Self { force: true, ..wanted },
            _ => wanted,
        })
    }
}

/// State of the end.
#[derive(Debug)]
pub(crate) struct Ending {
    exit: watch::Sender<Option<Exit>>,
    running: AtomicBool,
    /// It waits for replicas and can be taken back.
    waiting: AtomicBool,
    aborted: AtomicBool,
}

impl Default for Ending {
    fn default() -> Self {
        Self {
            exit: watch::Sender::new(None),
            running: AtomicBool::new(false),
            waiting: AtomicBool::new(false),
            aborted: AtomicBool::new(false),
        }
    }
}

/// Pause between two looks at the replicas.
const LOOK_EVERY: Duration = Duration::from_millis(5);

impl NodeHost {
    pub(crate) async fn ended(&self) -> Exit {
        let mut exit = self.ending.exit.subscribe();
        let ended = exit.wait_for(Option::is_some).await;
        ended.ok().and_then(|exit| *exit).unwrap_or(Exit::Clean)
    }

    /// Puts everything on disk and ends the process.
    pub(crate) fn shut_down(&self, engine: &Engine, wanted: Wanted) -> Result<(), CommandError> {
        let failed = CommandError::text("ERR Errors trying to SHUTDOWN. Check logs.");
        if self.ending.running.swap(true, Relaxed) {
            return Err(failed);
        }
        info!("User requested shutdown...");
        let save = wanted.save.unwrap_or_else(|| !engine.config.save_points().is_empty());
        let refused_before = engine.state.ending.swap(save || self.log.is_on() || self.has_replicas(), Relaxed);
        let goes_on = |reason: &str| {
            warn!("{reason}");
            engine.state.ending.store(refused_before, Relaxed);
            self.ending.running.store(false, Relaxed);
        };
        if !wanted.now && !self.wait_for_replicas(engine) {
            goes_on("Shutdown manually aborted.");
            return Err(failed);
        }
        let exit = match self.put_on_disk(engine, save) {
            Ok(()) => Exit::Clean,
            Err(error) if !wanted.force => {
                goes_on(&format!("Errors trying to shut down the server: {error}"));
                return Err(failed);
            }
            Err(error) => {
                warn!("ending all the same: {error}");
                Exit::Forced
            }
        };
        let patience = Duration::from_secs(engine.config.shutdown_timeout_s() as u64);
        if !wanted.now && !self.saver.uploads.finish(patience) {
            warn!("the last snapshot was not uploaded in time");
        }
        info!("Quiver is now ready to exit, bye bye...");
        self.ending.exit.send_replace(Some(exit));
        Ok(())
    }

    fn has_replicas(&self) -> bool {
        !self.stream.replicas().is_empty()
    }

    /// Gives replicas the time to get what they lack, up to `shutdown-timeout`; `false` when the end was taken back.
    fn wait_for_replicas(&self, engine: &Engine) -> bool {
        let offset = self.stream.end();
        let lag = || self.stream.replicas().iter().filter(|replica| replica.acknowledged < offset).count();
        if engine.state.is_replica.load(Relaxed) || lag() == 0 {
            return true;
        }
        self.ending.aborted.store(false, Relaxed);
        self.ending.waiting.store(true, Relaxed);
        info!("Waiting for replicas before shutting down: {} lag behind", lag());
        let until = Instant::now() + Duration::from_secs(engine.config.shutdown_timeout_s() as u64);
        self.stream.ask_acks();
        while lag() > 0 && Instant::now() < until && !self.ending.aborted.load(Relaxed) {
            std::thread::sleep(LOOK_EVERY);
        }
        self.ending.waiting.store(false, Relaxed);
        let aborted = self.ending.aborted.swap(false, Relaxed);
        if !aborted {
            self.tell_lags(offset);
        }
        !aborted
    }

    /// Which replicas have not got everything.
    fn tell_lags(&self, offset: u64) {
        let replicas = self.stream.replicas();
        let late: Vec<_> = replicas.iter().filter(|replica| replica.acknowledged < offset).collect();
        for replica in &late {
            let behind = offset - replica.acknowledged;
            warn!("Lagging replica {}:{} is {behind} bytes behind the primary", replica.ip, replica.port);
        }
        let in_sync = replicas.len() - late.len();
        info!("{in_sync} of {} replicas are in sync when shutting down.", replicas.len());
    }

    /// SHUTDOWN ABORT; `false` when there is nothing to take back.
    pub(crate) fn abort_ending(&self) -> bool {
        let waiting = self.ending.waiting.load(Relaxed);
        if waiting {
            self.ending.aborted.store(true, Relaxed);
        }
        waiting
    }

    /// Both are tried, whatever becomes of the first.
    fn put_on_disk(&self, engine: &Engine, save: bool) -> Result<(), String> {
        let logged = self.log.close().map_err(|error| format!("the log is not on disk: {error}"));
        let saved = if save { self.save_everything(engine) } else { Ok(()) };
        logged.and(saved.map_err(|error| format!("Error trying to save the DB, can't exit. {error}")))
    }

    /// The last snapshot. Writes are refused by now, but one that was let in before may have run behind the cut.
    fn save_everything(&self, engine: &Engine) -> Result<(), String> {
        self.saver.give_up_background();
        info!("Saving the final RDB snapshot before exiting.");
        self.saver.save(engine, &self.stream)?;
        if engine.stats.dirty() as i64 != engine.stats.dirty_at_save.load(Relaxed) {
            self.saver.save(engine, &self.stream)?;
        }
        Ok(())
    }
}
