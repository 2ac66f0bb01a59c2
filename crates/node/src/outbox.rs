//! Replies on their way out: the connections of a thread leave them here, and they are written in a row once every
//! connection that had input has run.
//!
//! Nothing is saved in system calls, but the kernel's send path, which is most of what a small command costs, then stays
//! in the caches from one reply to the next, instead of taking turns with the receive path and the engine.
//!
//! Invariants: replies of one connection leave in order; what a socket does not take stays with the connection's
//! [`Peer`], which runs nothing more until it is written.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use parking_lot::Mutex;
use quiver_engine::session::ClientInfo;

use crate::conn::killed;
use crate::socket::WriteHalf;

/// Replies are written at the latest when this much waits.
const FLUSH_BYTES: usize = 64 * 1024;
/// Most bytes of a long reply written at once.
const PART_BYTES: usize = 256 * 1024;
/// A buffer larger than this is given back.
const KEEP_BYTES: usize = 256 * 1024;

/// The replies of a thread's connections since the last flush.
#[derive(Default)]
pub(crate) struct Outbox {
    /// Replies, one connection's after the other's.
    bytes: Vec<u8>,
    /// Whose they are, and where each one's end.
    ends: Vec<(Arc<Peer>, usize)>,
}

impl Outbox {
    /// The buffer a turn writes its replies to, and where they begin. What a turn that panicked left is dropped.
    pub(crate) fn begin(&mut self) -> (&mut Vec<u8>, usize) {
        let start = self.ends.last().map_or(0, |(_, end)| *end);
        self.bytes.truncate(start);
        (&mut self.bytes, start)
    }

    /// Takes what was written since [`Self::begin`] as replies to `peer`.
    pub(crate) fn end(&mut self, peer: &Arc<Peer>) {
        if self.ends.last().map_or(0, |(_, end)| *end) == self.bytes.len() {
            return;
        }
        self.ends.push((Arc::clone(peer), self.bytes.len()));
        if self.bytes.len() > FLUSH_BYTES {
            self.flush();
        }
    }

    /// Writes everything, without waiting.
    pub(crate) fn flush(&mut self) {
        let mut start = 0;
        for (peer, end) in self.ends.drain(..) {
            peer.send(&self.bytes[start..end]);
            start = end;
        }
        self.bytes.clear();
        if self.bytes.capacity() > KEEP_BYTES {
            self.bytes = Vec::new();
        }
    }
}

/// The writing end of a connection.
pub(crate) struct Peer {
    half: WriteHalf,
    client: Arc<ClientInfo>,
    /// Whether `unsent` holds anything, or the socket is broken.
    stuck: AtomicBool,
    /// What the socket did not take; `None` once it is broken.
    unsent: Mutex<Option<Vec<u8>>>,
}

impl Peer {
    pub(crate) fn new(half: WriteHalf, client: Arc<ClientInfo>) -> Self {
        Self { half, client, stuck: AtomicBool::new(false), unsent: Mutex::new(Some(Vec::new())) }
    }

    /// Gives the socket's half back.
    pub(crate) fn into_half(self) -> WriteHalf {
        self.half
    }

    /// Whether the connection must [`Self::finish`] before it goes on.
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck.load(Acquire)
    }

    /// Leaves a reply for [`Self::finish`]; nothing else may wait.
    pub(crate) fn leave(&self, reply: Vec<u8>) {
        if let Some(rest) = self.unsent.lock().as_mut() {
            if rest.is_empty() {
                *rest = reply
            } else {
                rest.extend_from_slice(&reply)
            }
            self.note_unsent(rest.len());
        }
        self.stuck.store(true, Release);
    }

    /// Writes what the socket takes; the rest waits for [`Self::finish`], for which the connection is woken.
    fn send(&self, bytes: &[u8]) {
        if self.is_stuck() {
            // The socket may take bytes again by now, but those that wait come first.
            if let Some(rest) = &mut *self.unsent.lock() {
                rest.extend_from_slice(bytes);
                self.note_unsent(rest.len());
            }
            return;
        }
        let mut sent = 0;
        while sent < bytes.len() {
            match self.half.try_write(&bytes[sent..]) {
                Ok(n) => sent += n,
                Err(error) => {
                    let broken = error.kind() != std::io::ErrorKind::WouldBlock;
                    let mut unsent = self.unsent.lock();
                    match &mut *unsent {
                        Some(rest) if !broken => {
                            rest.extend_from_slice(&bytes[sent..]);
                            self.note_unsent(rest.len());
                        }
                        _ => *unsent = None,
                    }
                    drop(unsent);
                    self.stuck.store(true, Release);
                    self.client.wake();
                    return;
                }
            }
        }
    }

    /// Shows how much the socket has not taken.
    fn note_unsent(&self, bytes: usize) {
        self.client.output_bytes.store(bytes as u64, Relaxed);
    }

    /// Writes what is left, however long the client takes; `false` when the connection is broken or to be closed.
    pub(crate) async fn finish(&self) -> bool {
        loop {
            let Some(rest) = self.unsent.lock().as_mut().map(std::mem::take) else { return false };
            self.stuck.store(false, Release);
            if rest.is_empty() {
                self.note_unsent(0);
                return true;
            }
            let mut sent = 0;
            while sent < rest.len() {
                // A client that never reads can only be got rid of here.
                let writable = tokio::select! {
                    writable = self.half.writable() => writable.is_ok(),
                    () = killed(&self.client) => false,
                };
                if !writable {
                    return false;
                }
                // A part at a time, so that a reply of many megabytes does not hold up the thread's other connections.
                let part = &rest[sent..rest.len().min(sent + PART_BYTES)];
                match self.half.try_write(part) {
                    Ok(n) => sent += n,
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) => return false,
                }
            }
        }
    }
}
