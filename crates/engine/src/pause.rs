//! CLIENT PAUSE: holding commands back for a while, so that a failover finds replicas that have everything.
//!
//! The pause is a time in the engine's state. A connection that meets it leaves its command in the input and comes back
//! when the time is over or CLIENT UNPAUSE says so. While it lasts nothing expires, either: the stream stands still.

use std::sync::atomic::Ordering::Relaxed;

use crate::command::Flags;
use crate::engine::Engine;
use crate::error::CommandError;
use crate::registry::Entry;
use crate::session::{Role, Session};

/// What may reach the replicas.
const REPLICATED: Flags = Flags::WRITE.with(Flags::MAY_REPLICATE);

/// Pause between two looks whether a failover is over.
const ASK_AGAIN_MS: i64 = 100;

/// A script may write, unless the command that runs it says that it only reads.
fn reaches_replicas(entry: &Entry) -> bool {
    let flags = entry.command.flags;
    flags.any(REPLICATED) || entry.runs_script && !flags.has(Flags::READONLY)
}

impl Engine {
    /// Whether some commands are held back at this time.
    pub(crate) fn pause_lasts(&self, now_ms: i64) -> bool {
        self.state.paused_until_ms.load(Relaxed) > now_ms || self.state.failing_over.load(Relaxed)
    }

    /// Whether some commands of this client are held back at this time.
    pub(crate) fn is_paused(&self, session: &Session, now_ms: i64) -> bool {
        self.pause_lasts(now_ms) && session.role == Role::Normal
    }

    /// Whether a pause holds this command back. One that is refused is not: its error tells nothing of the data.
    pub(crate) fn holds_back(
        &self,
        session: &Session,
        entry: &Result<&'static Entry, CommandError>,
        now_ms: i64,
    ) -> bool {
        let Ok(entry) = entry else { return false };
        let mut queued = session.multi.iter().flat_map(|multi| &multi.queue);
        self.state.paused_all.load(Relaxed) && self.state.paused_until_ms.load(Relaxed) > now_ms
            || reaches_replicas(entry)
            || entry.full_name == "exec" && queued.any(|(queued, _)| reaches_replicas(queued))
    }

    /// Holds commands back until a time: those that write, or all. What another pause holds back beyond that stays so.
    pub(crate) fn pause(&self, until_ms: i64, all: bool, now_ms: i64) {
        let state = &self.state;
        let lasts = state.paused_until_ms.load(Relaxed) > now_ms;
        state.paused_all.store(all || lasts && state.paused_all.load(Relaxed), Relaxed);
        state.paused_until_ms.fetch_max(until_ms, Relaxed);
    }

    /// Ends a pause.
    pub(crate) fn unpause(&self) {
        self.state.paused_until_ms.store(0, Relaxed);
        self.wake_postponed();
    }

    /// Holds back what writes until a failover is over, or lets it go on. CLIENT PAUSE and UNPAUSE change nothing of it.
    pub fn pause_for_failover(&self, yes: bool) {
        self.state.failing_over.store(yes, Relaxed);
        if !yes {
            self.wake_postponed();
        }
    }

    fn wake_postponed(&self) {
        self.clients.lock().values().for_each(|client| client.wake());
    }

    /// Whether a session whose command was held back has to wait on; until when, unix ms.
    pub fn postponed_until(&self, session: &mut Session, now_ms: i64) -> Option<i64> {
        if session.postponed && !self.pause_lasts(now_ms) {
            session.postpone(false);
        }
        // A failover says itself when it is over; that it may be asked again now and then costs little.
        let at_least = if self.state.failing_over.load(Relaxed) { now_ms + ASK_AGAIN_MS } else { 0 };
        session.postponed.then(|| self.state.paused_until_ms.load(Relaxed).max(at_least))
    }
}
