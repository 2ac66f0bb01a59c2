//! Threads for commands that take long, so that the I/O thread they came to can serve its other connections.
//!
//! The session moves to the thread with the command and comes back with the reply; its connection waits meanwhile, so
//! its commands stay in order. The threads belong to the I/O thread's runtime: at most [`LONG_AT_ONCE`] of them, which
//! end when they have been idle for a while.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use parking_lot::Mutex;
use quiver_engine::{Engine, Session, Worker};
use quiver_resp::OwnedArgv;
use tracing::error;

use crate::clock::now_ms;
use crate::memory;

/// Long commands that run at once, per I/O thread; more of them wait.
pub(crate) const LONG_AT_ONCE: usize = 4;

/// The workers of these threads, between two commands. Never more than [`LONG_AT_ONCE`].
#[derive(Clone, Default)]
pub(crate) struct Helpers(Arc<Mutex<Vec<Worker>>>);

impl Helpers {
    /// Runs one command on another thread; gives the session back with the reply. `None` when the command panicked.
    pub(crate) async fn run(
        self,
        engine: Arc<Engine>,
        mut session: Session,
        argv: OwnedArgv,
    ) -> Option<(Session, Vec<u8>)> {
        let job = tokio::task::spawn_blocking(move || {
            let known = self.0.lock().pop();
            let mut worker = known.unwrap_or_else(|| memory::worker(&engine));
            let (mut reply, now_ms) = (Vec::new(), now_ms());
            session.yields = false;
            session.borrows = true;
            // What this thread did before is no news.
            memory::take_net_bytes();
            engine.run_one(&mut worker, &mut session, argv.as_argv(), &mut reply, now_ms);
            session.borrows = false;
            session.yields = true;
            session.shared.commands.fetch_add(1, Relaxed);
            session.shared.last_active_ms.store(now_ms, Relaxed);
            worker.stats.net_out_bytes.add(reply.len() as u64);
            self.0.lock().push(worker);
            (session, reply)
        });
        job.await.inspect_err(|panic| error!("a command failed: {panic}")).ok()
    }
}
