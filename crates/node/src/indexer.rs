//! The thread that keeps search indexes current while nobody asks them.
//!
//! It runs at a lower priority than the threads that serve clients, whose questions bring an index up to date themselves.

use std::sync::Arc;
use std::time::Duration;

use quiver_engine::Engine;
use tracing::warn;

use crate::clock::now_ms;
use crate::priority::{WORKING, stand_back};

/// How long it sleeps when there is nothing to do, unless something comes.
const SLEEP: Duration = Duration::from_millis(100);

/// Starts the thread. It ends with the engine.
pub(crate) fn start(engine: &Arc<Engine>) {
    let engine = Arc::downgrade(engine);
    let thread = std::thread::Builder::new().name("quiver-index".to_owned());
    let started = thread.spawn(move || {
        stand_back(WORKING);
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
