//! A connection whose command waits: for a key, for replicas, or for the end of a pause.
//!
//! Nothing of its input is run meanwhile. Reading goes on, up to the limit of the query buffer, to notice that the client
//! has left: then nobody must be served in its place.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};

use super::{Next, Place, poll_killed};
use crate::clock::now_ms;
use crate::socket::ReadHalf;
use crate::turns::{INPUT_STEP, Shared, take_messages, with_shared};

/// Waits until the command has its reply, or may be tried again, and says how the connection goes on.
pub(super) async fn wait(half: &mut ReadHalf, place: &Place) -> Next {
    loop {
        let until = with_shared(|shared| shared.wait_until(place.0));
        let left = until.map(|at| Duration::from_millis((at - now_ms()).max(1) as u64));
        let over = poll_fn(|cx| with_shared(|shared| shared.poll_wait(place.0, half, cx)));
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
    fn poll_wait(&mut self, index: usize, half: &mut ReadHalf, cx: &mut Context<'_>) -> Poll<Next> {
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
        let pending = &mut self.conns[index].pending;
        while pending.len() < self.engine.config.client_query_buffer_limit() {
            match poll_read_ahead(half, pending, cx) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(Next::Close),
                Poll::Pending => break,
            }
        }
        Poll::Pending
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
        self.outbox.end(&conn.peer);
        if !over {
            self.outbox.flush();
        }
        over.then_some(if conn.pending.is_empty() { Next::Read } else { Next::More })
    }
}

/// Reads what there is behind the rest of the input; `false` at its end.
fn poll_read_ahead(half: &mut ReadHalf, pending: &mut Vec<u8>, cx: &mut Context<'_>) -> Poll<bool> {
    let old = pending.len();
    pending.resize(old + INPUT_STEP, 0);
    let mut buf = ReadBuf::new(&mut pending[old..]);
    let polled = Pin::new(half).poll_read(cx, &mut buf);
    let filled = buf.filled().len();
    pending.truncate(old + filled);
    polled.map(|read| read.is_ok() && filled > 0)
}
