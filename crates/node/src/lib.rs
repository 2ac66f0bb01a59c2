//! One running instance: the engine with a clock, a disk, I/O threads, background work and replica links around it.
//!
//! - `io.rs`: the I/O threads, each a `current_thread` runtime that executes the commands of its connections inline.
//! - `conn.rs`: one connection: bytes in, batches of commands, one write.
//! - `host.rs`: what the engine asks of its surroundings.
//! - `cron.rs`: everything periodic: active expiry, memory figures, save points, idle clients.
//! - `saver.rs`: snapshots, in the foreground and the background.
//! - `handle.rs`: commands from inside the process (gRPC).
//!
//! Invariant: no I/O thread ever waits for another one, and none waits for a disk but in the commands that say so
//! (SAVE, SHUTDOWN).

#![forbid(unsafe_code)]

mod clock;
mod conn;
mod cron;
mod handle;
mod host;
mod io;
mod saver;

use std::sync::Arc;

use quiver_engine::Engine;
use quiver_engine::config::Config;

pub use clock::{now_ms, now_ns};
pub use handle::{Handle, HandleSession};
pub use host::Exit;
pub use io::IoThreads;

/// The version this server tells its clients: the Redis whose commands it speaks.
pub const REDIS_VERSION: &str = "8.2.0";

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
        let host = host::NodeHost::new();
        let engine = Arc::new(Engine::new(config, Box::new(host.clone())));
        host.attach(&engine);
        Self { engine, host }
    }

    /// The engine.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Reads the snapshot of the data folder, if there is one.
    ///
    /// # Errors
    /// What is wrong with the file, with its name and the offset; the keyspace is empty then and must not be served.
    pub fn load(&self) -> Result<(), String> {
        self.host.load(&self.engine)
    }

    /// Starts the periodic work on a thread of its own.
    pub fn start_cron(&self) {
        cron::start(Arc::clone(&self.engine), self.host.clone());
    }

    /// A way to run commands from inside the process.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.engine))
    }

    /// Waits until somebody asked for the end of the process; gives how.
    pub async fn ended(&self) -> Exit {
        self.host.ended().await
    }

    /// Ends as SHUTDOWN does.
    ///
    /// # Errors
    /// The last snapshot could not be written; the instance goes on.
    pub fn shutdown(&self) -> Result<(), String> {
        self.host.shut_down(&self.engine, None, false).map_err(|error| error.to_string())
    }
}
