//! One running instance: the engine with a clock, a disk, I/O threads, background work and replica links around it.
//!
//! - `io.rs`: the I/O threads, each a `current_thread` runtime that executes the commands of its connections inline.
//! - `conn.rs`: one connection: bytes in, batches of commands, one write; `socket.rs`: over TCP or a socket file.
//! - `poller.rs`: which sockets are ready; `turns.rs`, `outbox.rs`: all of them read, run and written to in a row.
//! - `host.rs`: what the engine asks of its surroundings.
//! - `cron.rs`: everything periodic: active expiry, memory figures, save points, idle clients.
//! - `helpers.rs`: threads for commands that take long; `freer.rs`: one that frees what is large;
//!   `indexer.rs`: one that keeps search indexes current.
//! - `memory.rs`: the allocator's figures.
//! - `progress.rs`: how far loading and saving are.
//! - `upload.rs`: snapshots to and from object storage.
//! - `backup.rs`: BACKUP. `log/`: the append-only log. `saver.rs`: snapshots, in the foreground and the background. `ending.rs`: the end.
//! - `stream.rs`, `feed.rs`, `sync.rs`: the ordered stream, the replicas that read it, the snapshots they begin with.
//! - `link.rs`, `load.rs`: the primary this one follows, and its snapshot on its way.
//! - `replication.rs`, `failover.rs`, `told.rs`: whom to follow, how to hand over, and what INFO and ROLE tell of it.
//! - `handle.rs`: commands from inside the process (gRPC).
//!
//! Invariant: no I/O thread ever waits for another one, and none waits for a disk but in the commands that say so
//! (SAVE, SHUTDOWN).

#![forbid(unsafe_code)]

mod backup;
mod clock;
mod conn;
mod cron;
mod elsewhere;
mod ending;
mod failover;
mod feed;
mod files;
mod freer;
mod handle;
mod helpers;
mod host;
mod indexer;
mod io;
mod link;
mod load;
mod log;
mod memory;
mod oom_score;
mod outbox;
mod pace;
mod poller;
mod priority;
mod progress;
mod replication;
mod saver;
mod socket;
mod stream;
mod sync;
mod told;
mod turns;
#[cfg(feature = "object-storage")]
mod upload;
#[cfg(not(feature = "object-storage"))]
#[path = "no_upload.rs"]
mod upload;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use quiver_engine::config::Config;
use quiver_engine::effects::Sink;
use quiver_engine::session::Takeover;
use quiver_engine::{Engine, Session};
use quiver_persist::SaveOptions;
use quiver_replication::Point;
use quiver_script::LuaRuntime;

pub use clock::{now_ms, now_ns};
pub use ending::Exit;
pub use handle::{Handle, HandleSession};
pub use host::Rebind;
pub use io::IoThreads;
pub use quiver_engine::REDIS_VERSION;
pub use quiver_persist::log::{CheckOptions as AofCheck, Disk, SystemDisk, check_log as check_aof};
pub use socket::Accepted;
pub use upload::restore;

/// The allocator of the server: its counters answer INFO memory.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A running instance.
#[derive(Clone)]
pub struct Node {
    engine: Arc<Engine>,
    host: host::NodeHost,
}

impl Node {
    /// An instance with an empty keyspace and this configuration; nothing runs yet.
    pub fn new(config: Config) -> Self {
        Self::on_disk(config, Arc::new(SystemDisk))
    }

    /// The same with its log and its snapshots on another disk. Backups, and files of configuration, stay on the machine's.
    pub fn on_disk(config: Config, disk: Arc<dyn Disk>) -> Self {
        let host = host::NodeHost::new(disk);
        let engine = Arc::new(Engine::new(config, Box::new(host.clone())));
        host.attach(&engine);
        engine.scripts.set_runtime(Arc::new(LuaRuntime::default()));
        Self { engine, host }
    }

    /// The engine.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The file CONFIG REWRITE writes to.
    pub fn use_config_file(&self, path: &std::path::Path) {
        self.host.use_config_file(path);
    }

    /// Reads the log of the data folder, or the snapshot, if there is one.
    ///
    /// # Errors
    /// What is wrong with the file, with its name and the offset; the keyspace must not be served then.
    pub fn load(&self) -> Result<(), String> {
        let as_replica = !self.engine.config.get("replicaof").is_empty();
        // Before clients are let in; the link itself begins later.
        self.engine.state.is_replica.store(as_replica, Relaxed);
        let Some(point) = self.host.load(&self.engine)? else { return Ok(()) };
        self.start_stream().change(|state| {
            let point = Point { id: point.id, offset: point.offset, db: point.stream_db };
            state.restore(point, as_replica, clock::random_id());
            self.host.log.note_offset(state.end());
        });
        Ok(())
    }

    /// Puts the parameters into effect that concern the process as a whole.
    pub fn configure_process(&self) {
        self.host.configure_process(&self.engine);
    }

    /// Starts the periodic work on a thread of its own.
    pub fn start_cron(&self) {
        // Where replicas must keep up there are none of them yet.
        self.host.tend_replicas(&self.engine, now_ms());
        cron::start(Arc::clone(&self.engine), self.host.clone());
        indexer::start(&self.engine);
    }

    /// From now on until [`Node::load`] is over clients are told to wait.
    pub fn mark_loading(&self) {
        self.engine.state.loading.store(true, Relaxed);
    }

    /// Starts the thread that follows a primary, and follows the configured one.
    ///
    /// # Errors
    /// The system gave no thread, or `replicaof` is not a host and a port.
    pub fn start_replication(&self) -> Result<(), String> {
        link::start(self.clone(), self.host.following()).map_err(|error| error.to_string())?;
        let configured = self.engine.config.get("replicaof");
        let words: Vec<&str> = configured.split_ascii_whitespace().collect();
        let primary = match words.as_slice() {
            [] => return Ok(()),
            [host, port] => port.parse().ok().map(|port| ((*host).to_owned(), port)),
            _ => None,
        };
        let primary = primary.ok_or_else(|| format!("replicaof {configured:?} is not a host and a port"))?;
        self.engine.host().replicate(&self.engine, Some(primary)).map_err(|error| error.to_string())
    }

    /// Makes the turns write to the stream and the stream remember, from the first replica on.
    pub(crate) fn start_stream(&self) -> Arc<stream::Stream> {
        let stream = &self.host.stream;
        let _starting = self.host.starting.lock();
        if stream.point().is_some() {
            return Arc::clone(stream);
        }
        let (capacity, limit) = replication::backlog_sizes(&self.engine);
        stream.state().remember(capacity, limit);
        self.engine.set_sink(Some(Arc::clone(stream) as Arc<dyn Sink>), || ());
        Arc::clone(stream)
    }

    /// A connection leaves the command loop.
    pub(crate) async fn take_over(&self, stream: Accepted, session: Session, takeover: Takeover) {
        feed::feed(self, stream, session, takeover).await;
    }

    /// A way to run commands from inside the process.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.engine), Arc::clone(&self.host.log), Arc::clone(&self.host.stream))
    }

    /// What opens the listeners anew when CONFIG SET changes where to listen.
    pub fn on_rebind(&self, rebind: Box<Rebind>) {
        self.host.on_rebind(rebind);
    }

    /// Waits until somebody asked for the end of the process; gives how.
    pub async fn ended(&self) -> Exit {
        self.host.ended().await
    }

    /// Ends as SHUTDOWN does, with the options that a parameter holds (`shutdown-on-sigterm`).
    ///
    /// # Errors
    /// Not everything could be put on disk; the instance goes on.
    pub fn shutdown(&self, parameter: &str) -> Result<(), String> {
        self.host
            .shut_down(&self.engine, ending::Wanted::parse(&self.engine.config.get(parameter)))
            .map_err(|error| error.to_string())
    }
}

/// More databases than any server is configured for: a file is checked for itself.
const DATABASES_MAX: usize = 1 << 20;

/// What a snapshot file holds and what is wrong with it.
///
/// # Errors
/// It cannot be opened.
pub fn check_snapshot(path: &std::path::Path, now_ms: i64) -> Result<quiver_persist::Report, String> {
    let checked = quiver_persist::check_file(path, DATABASES_MAX, now_ms, &mut |_| ());
    checked.map_err(|error| error.to_string())
}

/// Bytes of a snapshot after which they are brought to the disk (Redis: REDIS_AUTOSYNC_BYTES).
const SYNC_EVERY_BYTES: u64 = 4 << 20;

/// How snapshots are written, by the configuration.
pub(crate) fn save_options(engine: &Engine) -> SaveOptions {
    SaveOptions {
        used_memory_bytes: engine.host().allocated_bytes(),
        compress: engine.config.rdbcompression(),
        checksum: engine.config.rdbchecksum(),
        sync_every_bytes: engine.config.rdb_save_incremental_fsync().then_some(SYNC_EVERY_BYTES),
        ..SaveOptions::new(REDIS_VERSION, now_ms())
    }
}
