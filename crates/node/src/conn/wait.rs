//! A connection whose command waits: for a key, for replicas, or for the end of a pause.
//!
//! Nothing of its input is run meanwhile. Reading goes on, up to the limit of the query buffer, to notice that the client
//! has left: then nobody must be served in its place.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;

use super::{Conn, Next, OWN_INPUT_STEP, poll_killed, with_shared};
use crate::clock::now_ms;

/// Waits until the command has its reply, or may be tried again, and says how the connection goes on.
pub(super) async fn wait(stream: &mut OwnedReadHalf, conn: &mut Conn) -> Next {
    loop {
        let left = conn.wait_until().map(|at| Duration::from_millis((at - now_ms()).max(1) as u64));
        let over = poll_fn(|cx| poll_wait(stream, conn, cx));
        let next = match left {
            None => Some(over.await),
            Some(left) => tokio::time::timeout(left, over).await.ok(),
        };
        if let Some(next) = next {
            return next;
        }
    }
}

fn poll_wait(stream: &mut OwnedReadHalf, conn: &mut Conn, cx: &mut Context<'_>) -> Poll<Next> {
    if poll_killed(&conn.session.shared, &mut conn.waker, cx).is_ready() {
        return Poll::Ready(Next::Close);
    }
    if let Some(next) = conn.end_wait() {
        return Poll::Ready(next);
    }
    let limit = with_shared(|shared| shared.engine.config.client_query_buffer_limit());
    while conn.pending.len() < limit {
        match poll_read_ahead(stream, &mut conn.pending, cx) {
            Poll::Ready(true) => {}
            Poll::Ready(false) => return Poll::Ready(Next::Close),
            Poll::Pending => break,
        }
    }
    Poll::Pending
}

/// Reads what there is behind the rest of the input; `false` at its end.
fn poll_read_ahead(stream: &mut OwnedReadHalf, pending: &mut Vec<u8>, cx: &mut Context<'_>) -> Poll<bool> {
    let old = pending.len();
    pending.resize(old + OWN_INPUT_STEP, 0);
    let mut buf = ReadBuf::new(&mut pending[old..]);
    let polled = Pin::new(stream).poll_read(cx, &mut buf);
    let filled = buf.filled().len();
    pending.truncate(old + filled);
    polled.map(|read| read.is_ok() && filled > 0)
}

impl Conn {
    /// When the wait ends by itself, unix ms.
    fn wait_until(&mut self) -> Option<i64> {
        match &self.session.blocked {
            Some(waiter) => waiter.deadline_ms,
            None => with_shared(|shared| shared.engine.postponed_until(&mut self.session, now_ms())),
        }
    }

    /// Answers the client if its wait is over, and says how the connection goes on then.
    fn end_wait(&mut self) -> Option<Next> {
        let over = with_shared(|shared| {
            let now_ms = now_ms();
            let (output, start) = shared.outbox.begin();
            let over = shared.engine.end_wait(&mut self.session, output, now_ms)
                && shared.engine.postponed_until(&mut self.session, now_ms).is_none();
            shared.worker.stats.net_out_bytes.add((output.len() - start) as u64);
            shared.outbox.end(&self.peer);
            over
        });
        over.then(|| if self.pending.is_empty() { Next::Read } else { Next::More })
    }
}
