//! The thread that keeps search indexes current while nobody asks them.
//!
//! It runs at a lower priority than the threads that serve clients, whose questions bring an index up to date themselves.

use std::sync::Arc;
use std::time::Duration;

use quiver_engine::Engine;
use tracing::{debug, warn};

use crate::clock::now_ms;

/// Steps of "niceness" below the other threads.
const NICENESS: i32 = 5;

/// How long it sleeps when there is nothing to do, unless something comes.
const SLEEP: Duration = Duration::from_millis(100);

/// Starts the thread. It ends with the engine.
pub(crate) fn start(engine: &Arc<Engine>) {
    let engine = Arc::downgrade(engine);
    let thread = std::thread::Builder::new().name("quiver-index".to_owned());
    let started = thread.spawn(move || {
        if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS) {
            debug!("indexing in the background runs at full priority: {error}");
        }
        while let Some(engine) = engine.upgrade() {
            if !engine.tend_search(now_ms()) {
                engine.search.wait_for_news(SLEEP);
            }
        }
    });
    if let Err(error) = started {
        warn!("no thread for indexing in the background: {error}");
    }
}
