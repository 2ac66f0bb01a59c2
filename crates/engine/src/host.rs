//! What the engine asks of the instance around it: disk, replication, shutdown, figures of the process.

use std::time::Duration;

use crate::engine::{Engine, Freeing};
use crate::error::CommandError;
use crate::keyspace::Garbage;

/// The instance around the engine. None of these may wait for a shard lock when called from a transaction: SAVE and
/// the like are refused there by their flags, the others only give orders to background tasks.
pub trait Host: Send + Sync + std::fmt::Debug {
    /// Writes a snapshot and returns when it is on disk.
    fn save(&self, engine: &Engine) -> Result<(), CommandError>;
    /// Starts a snapshot in the background; `schedule` waits for a running one.
    fn bgsave(&self, engine: &Engine, schedule: bool) -> Result<&'static str, CommandError>;
    /// Unix time of the last successful snapshot, s.
    fn last_save_s(&self) -> i64;
    /// Reads the snapshot file in the place of the data there is, after writing it anew when `save` is set (DEBUG
    /// RELOAD). Meanwhile other clients are refused as while loading.
    fn reload(&self, engine: &Engine, save: bool) -> Result<(), CommandError>;
    /// Starts writing the append-only log anew in the background.
    fn rewrite_log(&self, _engine: &Engine) -> Result<&'static str, CommandError> {
        Err(CommandError::text("ERR this instance has no disk"))
    }
    /// Carries out a BACKUP subcommand.
    ///
    /// # Errors
    /// It cannot be done at this time, or failed.
    fn backup(&self, _engine: &Engine, _order: BackupOrder) -> Result<BackupFacts, CommandError> {
        Err(CommandError::text("ERR this instance has no disk"))
    }
    /// Reads the append-only log in the place of the data there is (DEBUG LOADAOF).
    fn reload_log(&self, _engine: &Engine) -> Result<(), CommandError> {
        Err(CommandError::text("ERR this instance has no disk"))
    }
    /// Place in the stream up to which everything is in the append-only log on disk; `None` without one.
    fn offset_on_disk(&self) -> Option<u64> {
        None
    }
    /// Ends the process after what was asked; `save`: `None` as configured.
    fn shutdown(&self, engine: &Engine, save: Option<bool>, now: bool, force: bool) -> Result<(), CommandError>;
    /// Takes back a shutdown that waits.
    fn abort_shutdown(&self) -> bool;
    /// Follows a primary, or none.
    fn replicate(&self, engine: &Engine, primary: Option<(String, u16)>) -> Result<(), CommandError>;
    /// Hands the part of the primary over to a replica.
    ///
    /// # Errors
    /// Why not, in Redis' words.
    fn failover(&self, _: &Engine, _: Failover) -> Result<(), CommandError> {
        Err(CommandError::text("ERR FAILOVER requires connected replicas."))
    }
    /// Takes back a failover that is under way.
    ///
    /// # Errors
    /// There is none.
    fn abort_failover(&self) -> Result<(), CommandError> {
        Err(CommandError::text("ERR No failover in progress."))
    }
    /// A primary that hands its part over asks this replica to take it (PSYNC with FAILOVER).
    ///
    /// # Errors
    /// Why not, in Redis' words.
    fn take_part(&self, _: &Engine, _replid: &str) -> Result<(), CommandError> {
        Err(CommandError::text("ERR PSYNC FAILOVER can't be sent to a master."))
    }
    /// Whether a replica on this connection must wait before it is served: the link to the primary is down.
    fn refuses_replicas(&self) -> bool {
        false
    }
    /// What ROLE answers.
    fn role(&self) -> RoleReply;
    /// Lines of an INFO section: "persistence", "replication", "memory", "cpu", "server".
    fn info(&self, engine: &Engine, section: &str, out: &mut String);
    /// A configuration parameter changed at run time.
    fn config_changed(&self, engine: &Engine, name: &str);
    /// Puts parameters into effect that the system may refuse: where to listen, scores of the process.
    ///
    /// # Errors
    /// The parameter and the reason; what was in effect before may have to be put into effect again.
    fn apply_config(&self, _engine: &Engine, _names: &[&'static str]) -> Result<(), (&'static str, &'static str)> {
        Ok(())
    }
    /// Writes the configuration back to its file; `all`: even what has its default.
    fn rewrite_config(&self, engine: &Engine, all: bool) -> Result<(), CommandError>;
    /// Runs commands on the server at `host:port` behind those of `opening`, of which one that fails stands for all;
    /// gives the error of each that failed.
    ///
    /// # Errors
    /// The server could not be reached, or the connection broke.
    fn run_elsewhere(
        &self,
        _target: &str,
        _timeout: Duration,
        _opening: &[Vec<Vec<u8>>],
        _commands: &[Vec<Vec<u8>>],
    ) -> Result<Vec<Result<(), String>>, Unreached> {
        Err(Unreached::Refused)
    }
    /// Writes a line to the log.
    fn log(&self, _text: &str) {}
    /// Gives the stream of effects a new identity, so that replicas begin anew.
    fn change_replication_id(&self) {}
    /// CPU time of the process in user mode and for the system, ms.
    fn cpu_ms(&self) -> (u64, u64) {
        (0, 0)
    }
    /// Fills a buffer with bytes nobody can guess; `false` where there is no source of them.
    fn random_bytes(&self, _bytes: &mut [u8]) -> bool {
        false
    }
    /// Reads a file the configuration names.
    ///
    /// # Errors
    /// The system's reason.
    fn read_file(&self, _path: &str) -> std::io::Result<Vec<u8>> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
    /// Puts a file in the place of another, whole or not at all.
    ///
    /// # Errors
    /// The system's reason.
    fn write_file(&self, _path: &str, _content: &[u8]) -> std::io::Result<()> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
    /// Bytes allocated, as the allocator counts them.
    fn allocated_bytes(&self) -> u64;
    /// How many replicas have acknowledged the stream up to an offset; `on_disk`: have it in their logs.
    fn replicas_at(&self, offset: u64, on_disk: bool) -> usize {
        let _ = (offset, on_disk);
        0
    }
    /// Where the stream stands.
    fn stream_offset(&self) -> u64 {
        0
    }
    /// Asks the replicas, and the log on disk, to get at once to where the stream is.
    fn ask_replicas(&self) {}
    /// Frees something large elsewhere.
    fn free_later(&self, garbage: Vec<Garbage>, _: Freeing) {
        drop(garbage);
    }
    /// How far that is.
    fn lazy_free(&self) -> LazyFree {
        LazyFree::default()
    }
    /// Counts [`LazyFree::freed`] from 0 again.
    fn reset_lazy_free(&self) {}
}

/// Where talking to another server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreached {
    /// There is no connection in time.
    Connecting,
    /// Nobody listens there.
    Refused,
    /// There was one.
    Talking,
}

/// What is being freed in the background: values, keys of tables counted one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LazyFree {
    /// Waiting.
    pub pending: u64,
    /// Of those, evicted ones.
    pub evicted_pending: u64,
    /// Freed since the start or CONFIG RESETSTAT.
    pub freed: u64,
}

/// What FAILOVER asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failover {
    /// The replica that takes over; the first that has everything when none is named.
    pub target: Option<(String, u16)>,
    /// When the wait for it ends, ms from now.
    pub timeout_ms: Option<i64>,
    /// Then it takes over all the same.
    pub force: bool,
}

/// The reply of ROLE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleReply {
    /// Offset of the stream and the replicas: address, port, acknowledged offset.
    Primary(u64, Vec<(String, u16, u64)>),
    /// Primary's host and port, state of the link, offset reached.
    Replica(String, u16, &'static str, i64),
}

/// An engine without surroundings, for tests and tools: a primary that keeps nothing.
#[derive(Debug, Default)]
pub struct NoHost;

impl Host for NoHost {
    fn save(&self, _: &Engine) -> Result<(), CommandError> {
        Err(CommandError::text("ERR this instance has no disk"))
    }
    fn bgsave(&self, _: &Engine, _: bool) -> Result<&'static str, CommandError> {
        Err(CommandError::text("ERR this instance has no disk"))
    }
    fn last_save_s(&self) -> i64 {
        0
    }
    fn reload(&self, _: &Engine, _: bool) -> Result<(), CommandError> {
        Err(CommandError::text("ERR this instance has no disk"))
    }
    fn shutdown(&self, _: &Engine, _: Option<bool>, _: bool, _: bool) -> Result<(), CommandError> {
        Err(CommandError::text("ERR Errors trying to SHUTDOWN. Check logs."))
    }
    fn abort_shutdown(&self) -> bool {
        false
    }
    fn replicate(&self, _: &Engine, _: Option<(String, u16)>) -> Result<(), CommandError> {
        Err(CommandError::text("ERR this instance has no links"))
    }
    fn role(&self) -> RoleReply {
        RoleReply::Primary(0, Vec::new())
    }
    fn info(&self, _: &Engine, _: &str, _: &mut String) {}
    fn config_changed(&self, _: &Engine, _: &str) {}
    fn rewrite_config(&self, _: &Engine, _: bool) -> Result<(), CommandError> {
        Err(CommandError::text("ERR The server is running without a config file"))
    }
    fn allocated_bytes(&self) -> u64 {
        0
    }
}

/// What a BACKUP subcommand asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupOrder {
    /// Begin.
    Start,
    /// End at this moment, and wait until everything is on disk.
    Seal,
    /// Give up.
    Abort,
    /// Remove the files.
    Cleanup,
    /// Nothing.
    Look,
}

/// How far a backup is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupFacts {
    /// Redis' name of its state.
    pub state: &'static str,
    /// Why it failed; empty if it did not.
    pub error: String,
    /// Unix time of its start, s; 0 for none.
    pub started_s: i64,
    /// Unix time at which it was sealed, s; 0 for none.
    pub ended_s: i64,
    /// Paths of its whole files.
    pub files: Vec<String>,
}
