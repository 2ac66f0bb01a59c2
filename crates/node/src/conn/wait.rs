//! A connection whose command waits: for a key, for replicas, or for the end of a pause.
//!
//! Nothing of its input is run meanwhile. Reading goes on, up to the limit of the query buffer, to notice that the client
//! has left: then nobody must be served in its place.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{Conn, Next, Place, poll_killed};
use crate::clock::now_ms;
use crate::turns::{INPUT_STEP, Shared, take_messages, with_shared};

/// Waits until the command has its reply, or may be tried again, and says how the connection goes on.
pub(super) async fn wait(place: &Place) -> Next {
    loop {
        let until = with_shared(|shared| shared.wait_until(place.0));
        let left = until.map(|at| Duration::from_millis((at - now_ms()).max(1) as u64));
        let over = poll_fn(|cx| with_shared(|shared| shared.poll_wait(place.0, cx)));
        let next = match left {
            None => Some(over.await),
            Some(left) => tokio::time::timeout(left, over).await.ok(),
        };
        if let Some(next) = next {
            return next;
        }
    }
}

impl Shared {
    fn poll_wait(&mut self, index: usize, cx: &mut Context<'_>) -> Poll<Next> {
        let conn = &mut self.conns[index];
        if poll_killed(&conn.session.shared, &mut conn.waker, cx).is_ready() {
            return Poll::Ready(Next::Close);
        }
        if let Some(next) = self.end_wait(index) {
            return Poll::Ready(next);
        }
        if self.conns[index].peer.is_stuck() {
            return Poll::Ready(Next::Wait);
        }
        let limit = self.engine.config.client_query_buffer_limit();
        if self.conns[index].read_ahead(limit) { Poll::Pending } else { Poll::Ready(Next::Close) }
    }

    /// When the wait ends by itself, unix ms.
    fn wait_until(&mut self, index: usize) -> Option<i64> {
        let session = &mut self.conns[index].session;
        match &session.blocked {
            Some(waiter) => waiter.deadline_ms,
            None => self.engine.postponed_until(session, now_ms()),
        }
    }

    /// Answers the client if its wait is over, and says how the connection goes on then.
    fn end_wait(&mut self, index: usize) -> Option<Next> {
        let now_ms = now_ms();
        let conn = &mut self.conns[index];
        let (output, start) = self.outbox.begin();
        let over = self.engine.end_wait(&mut conn.session, output, now_ms)
            && self.engine.postponed_until(&mut conn.session, now_ms).is_none();
        // Messages do not wait for the command. Where the socket takes no more they stay where they are bounded.
        if !conn.peer.is_stuck() {
            take_messages(&conn.session.shared, output);
        }
        self.worker.stats.net_out_bytes.add((output.len() - start) as u64);
        // What ended the wait was written by somebody else.
        self.outbox.end(&conn.peer, over);
        if !over {
            self.outbox.flush();
        }
        over.then_some(if conn.pending.is_empty() { Next::Read } else { Next::More })
    }
}

impl Conn {
    /// Reads what there is behind the rest of the input, up to `limit`; `false` at its end.
    fn read_ahead(&mut self, limit: usize) -> bool {
        while self.readable && self.pending.len() < limit {
            if self.read_behind(INPUT_STEP).is_err() {
                return false;
            }
        }
        true
    }
}
