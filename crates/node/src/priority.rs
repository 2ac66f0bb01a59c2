//! How far threads behind the scenes stand back for those that serve clients.
//!
//! Where there are more busy threads than cores, a thread at full priority takes its whole slice of some milliseconds
//! before a client is served; one that stands back has shorter turns. Not for threads that hold locks for long: whoever
//! waits for those would wait longer.

use tracing::debug;

/// Indexing, which somebody may wait for: about a quarter of a busy core.
pub(crate) const WORKING: i32 = 5;

/// What nobody waits for: about a tenth of a busy core.
pub(crate) const TIDYING: i32 = 10;

/// Lowers the calling thread's priority by steps of "niceness" for good; without that right it goes on as it is.
pub(crate) fn stand_back(steps: i32) {
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), steps) {
        debug!("a thread in the background runs at full priority: {error}");
    }
}
