//! Waiting for replicas: WAIT and WAITAOF.
//!
//! What is waited for is that enough replicas acknowledge a place in the stream. The host knows their acknowledgements
//! and says when there is a new one ([`Engine::acknowledged`]).

use std::sync::Arc;

use quiver_resp::Encoder;

use super::{Waiter, Want};
use crate::context::Ctx;
use crate::engine::Engine;

/// A wait for replicas, and for the log on disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acks {
    /// The place in the stream.
    pub(crate) offset: u64,
    /// How many replicas must be there.
    pub(crate) replicas: i64,
    /// How many logs of this instance must have it: 1 or 0.
    pub(crate) local: i64,
    /// Replicas must have it on disk, and the reply tells of this instance's own log, too.
    pub(crate) on_disk: bool,
}

impl Acks {
    fn count(&self, engine: &Engine) -> i64 {
        engine.host().replicas_at(self.offset, self.on_disk) as i64
    }

    /// 1 if it is in this instance's own log on disk.
    fn local_count(&self, engine: &Engine) -> i64 {
        i64::from(engine.host().offset_on_disk().is_some_and(|offset| offset >= self.offset))
    }

    /// Whether enough replicas are there, and the log on disk.
    pub(crate) fn is_met(&self, engine: &Engine) -> bool {
        self.count(engine) >= self.replicas && (self.local == 0 || self.local_count(engine) >= self.local)
    }

    /// How many there are.
    pub(crate) fn reply(&self, engine: &Engine, reply: &mut Encoder<'_>) {
        if self.on_disk {
            reply.array(2);
            reply.integer(self.local_count(engine));
        }
        reply.integer(self.count(engine));
    }
}

impl Ctx<'_> {
    /// Lets the client wait until enough replicas have acknowledged.
    pub(crate) fn block_on_acks(&mut self, acks: Acks, deadline_ms: Option<i64>) {
        let waiter = Waiter::new(self.session, deadline_ms, Want::Acks(acks));
        self.engine.ack_waiters.lock().push(Arc::clone(&waiter));
        self.session.block(waiter);
        self.engine.host().ask_replicas();
        // One may have come in before the waiter was there to be found.
        self.engine.acknowledged();
    }
}

impl Engine {
    /// A replica has acknowledged, or the log on disk has got further: whoever waited for that is served.
    pub fn acknowledged(&self) {
        self.ack_waiters.lock().retain(|waiter| {
            let Want::Acks(acks) = &waiter.want else { return false };
            if !acks.is_met(self) {
                return true;
            }
            if waiter.claim() {
                let mut reply = Vec::new();
                acks.reply(self, &mut Encoder::new(&mut reply, quiver_resp::Protocol::Resp2));
                waiter.complete(reply);
                waiter.wake();
            }
            false
        });
    }
}
