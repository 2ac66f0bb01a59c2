//! FAILOVER: a primary hands its part over to a replica that has everything.
//!
//! Writes are held back until one has; then this instance follows it, and its PSYNC asks the other end to become the
//! primary. Whoever had the stream of the old one goes on with that of the new one.

use quiver_engine::host::Failover;
use quiver_engine::{CommandError, Engine};
use tracing::{info, warn};

use crate::clock::now_ms;
use crate::host::NodeHost;
use crate::stream::Replica;

/// A failover.
#[derive(Debug, Default)]
pub(crate) enum Handover {
    #[default]
    None,
    /// Writes are held back until the replica has everything.
    Waiting { asked: Failover, ends_ms: Option<i64>, still: bool },
    /// The replica is asked to take over.
    Asking,
}

impl NodeHost {
    pub(crate) fn begin_failover(&self, engine: &Engine, asked: Failover) -> Result<(), CommandError> {
        let refuse = |text| Err(CommandError::text(text));
        let mut handover = self.part.handover.lock();
        let replicas = self.stream.replicas();
        if !matches!(*handover, Handover::None) {
            return refuse("ERR FAILOVER already in progress.");
        }
        if self.part.following.borrow().is_some() {
            return refuse("ERR FAILOVER is not valid when server is a replica.");
        }
        if replicas.is_empty() {
            return refuse("ERR FAILOVER requires connected replicas.");
        }
        if asked.force && (asked.timeout_ms.is_none() || asked.target.is_none()) {
            return refuse("ERR FAILOVER with force option requires both a timeout and target HOST and IP.");
        }
        if let Some(target) = &asked.target {
            match replicas.iter().find(|replica| is_at(replica, target)) {
                None => return refuse("ERR FAILOVER target HOST and PORT is not a replica."),
                Some(replica) if !replica.is_online() => {
                    return refuse("ERR FAILOVER target replica is not online.");
                }
                Some(_) => {}
            }
        }
        info!("FAILOVER requested");
        let ends_ms = asked.timeout_ms.map(|ms| now_ms().saturating_add(ms));
        *handover = Handover::Waiting { asked, ends_ms, still: false };
        engine.pause_for_failover(true);
        Ok(())
    }

    /// Ends a failover in the old part.
    pub(crate) fn end_failover(&self, engine: &Engine, reason: &str) -> Result<(), CommandError> {
        let ended = std::mem::take(&mut *self.part.handover.lock());
        if matches!(ended, Handover::None) {
            return Err(CommandError::text("ERR No failover in progress."));
        }
        warn!("the failover ends without a new primary: {reason}");
        let ordered = if matches!(ended, Handover::Asking) { self.order(engine, None) } else { Ok(()) };
        engine.pause_for_failover(false);
        ordered
    }

    /// Whether the next PSYNC asks the other end to become the primary.
    pub(crate) fn is_handing_over(&self) -> bool {
        matches!(*self.part.handover.lock(), Handover::Asking)
    }

    /// The other end has taken over, if it was asked to.
    pub(crate) fn handed_over(&self, engine: &Engine) {
        let asked = {
            let mut handover = self.part.handover.lock();
            matches!(*handover, Handover::Asking).then(|| std::mem::take(&mut *handover))
        };
        if asked.is_some() {
            info!("the failover is complete");
            engine.pause_for_failover(false);
        }
    }

    /// The other end did not take over; `true` when this instance was asking for it and is the primary again.
    pub(crate) fn failover_refused(&self, engine: &Engine) -> bool {
        self.is_handing_over() && self.end_failover(engine, "the replica refused").is_ok()
    }

    /// PSYNC with FAILOVER: the primary hands its part over.
    pub(crate) fn take_over(&self, engine: &Engine, replid: &str) -> Result<(), CommandError> {
        if self.part.following.borrow().is_none() {
            return Err(CommandError::text("ERR PSYNC FAILOVER can't be sent to a master."));
        }
        if self.stream.state().history().id != replid {
            return Err(CommandError::text("ERR PSYNC FAILOVER replid must match my replid."));
        }
        info!("the primary hands its part over");
        self.order(engine, None)
    }

    /// One look at a failover under way.
    pub(crate) fn advance_failover(&self, engine: &Engine) {
        let begins = match &mut *self.part.handover.lock() {
            Handover::Waiting { still, .. } => !std::mem::replace(still, true),
            Handover::None | Handover::Asking => return,
        };
        if begins {
            // What was let in before the pause is in the stream behind this. Not under the lock above: who reports on a
            // failover may hold shards.
            engine.barrier();
            self.stream.ask_acks();
        }
        let Some((asked, over)) = self.waiting_failover() else { return };
        let end = self.stream.end();
        let suits = |replica: &Replica| asked.target.as_ref().is_none_or(|target| is_at(replica, target));
        let replicas = self.stream.replicas();
        let ready = replicas.iter().find(|r| r.is_online() && r.acknowledged == end && suits(r));
        let target = match (ready, asked.target.clone().filter(|_| asked.force)) {
            (Some(replica), _) => (replica.ip.clone(), replica.port),
            (None, Some(target)) if over => target,
            (None, _) if over => return drop(self.end_failover(engine, "no replica caught up before the timeout")),
            (None, _) => return,
        };
        if !self.ask_to_take_over() {
            return;
        }
        info!("handing over to {}:{}", target.0, target.1);
        if let Err(error) = self.order(engine, Some(target)) {
            drop(self.end_failover(engine, &error.to_string()));
        }
    }

    /// The failover that waits for a replica, and whether its time is over.
    fn waiting_failover(&self) -> Option<(Failover, bool)> {
        match &*self.part.handover.lock() {
            Handover::Waiting { asked, ends_ms, .. } => Some((asked.clone(), ends_ms.is_some_and(|at| at <= now_ms()))),
            Handover::None | Handover::Asking => None,
        }
    }

    /// From waiting to asking; `false` when it was taken back meanwhile.
    fn ask_to_take_over(&self) -> bool {
        let mut handover = self.part.handover.lock();
        let waits = matches!(*handover, Handover::Waiting { .. });
        if waits {
            *handover = Handover::Asking;
        }
        waits
    }

    pub(crate) fn failover_state(&self) -> &'static str {
        match *self.part.handover.lock() {
            Handover::None => "no-failover",
            Handover::Waiting { .. } => "waiting-for-sync",
            Handover::Asking => "failover-in-progress",
        }
    }
}

fn is_at(replica: &Replica, (host, port): &(String, u16)) -> bool {
    replica.ip.eq_ignore_ascii_case(host) && replica.port == *port
}
