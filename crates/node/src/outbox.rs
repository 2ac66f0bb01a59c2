//! Replies on their way out: the connections of a thread leave them here, and they are written in a row once every
//! connection that had input has run.
//!
//! Nothing is saved in system calls, but the kernel's send path, which is most of what a small command costs, then stays
//! in the caches from one reply to the next, instead of taking turns with the receive path and the engine.
//!
//! Invariants: replies of one connection leave in order; what a socket does not take, and what must not leave before the
//! log is on disk, stays with the connection's [`Peer`], which runs nothing more until it is written.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::task::Poll;

use parking_lot::Mutex;
use quiver_engine::session::ClientInfo;

use crate::conn::killed;
use crate::log::Log;
use crate::socket::Accepted;

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
    /// Whose they are, where each one's end, and how far the log must be before they may leave.
    ends: Vec<(Arc<Peer>, usize, Option<u64>)>,
}

impl Outbox {
    /// The buffer a turn writes its replies to, and where they begin. What a turn that panicked left is dropped.
    pub(crate) fn begin(&mut self) -> (&mut Vec<u8>, usize) {
        let start = self.ends.last().map_or(0, |(_, end, _)| *end);
        self.bytes.truncate(start);
        (&mut self.bytes, start)
    }

    /// Takes what was written since [`Self::begin`] as replies to `peer`, by a turn that changed something if it `wrote`.
    pub(crate) fn end(&mut self, peer: &Arc<Peer>, wrote: bool) {
        if self.ends.last().map_or(0, |(_, end, _)| *end) == self.bytes.len() {
            return;
        }
        let hold = peer.log.hold(wrote);
        self.ends.push((Arc::clone(peer), self.bytes.len(), hold));
        if self.bytes.len() > FLUSH_BYTES {
            self.flush();
        }
    }

    /// Writes everything, without waiting.
    pub(crate) fn flush(&mut self) {
        let mut start = 0;
        for (peer, end, hold) in self.ends.drain(..) {
            match hold {
                None => peer.send(&self.bytes[start..end]),
                Some(position) => peer.hold(&self.bytes[start..end], position),
            }
            start = end;
        }
        self.bytes.clear();
        if self.bytes.capacity() > KEEP_BYTES {
            self.bytes = Vec::new();
        }
    }
}

/// The socket of a connection, and what has not been written to it yet.
pub(crate) struct Peer {
    pub(crate) socket: Accepted,
    client: Arc<ClientInfo>,
    log: Arc<Log>,
    /// How far the log must be before `unsent` may leave.
    held_until: AtomicU64,
    /// Whether `unsent` holds anything, or the socket is broken.
    stuck: AtomicBool,
    /// Whether the socket takes nothing at the moment.
    full: AtomicBool,
    /// What the socket did not take; `None` once it is broken.
    unsent: Mutex<Option<Vec<u8>>>,
}

impl Peer {
    pub(crate) fn new(socket: Accepted, client: Arc<ClientInfo>, log: Arc<Log>) -> Self {
        let (held_until, unsent) = (AtomicU64::new(0), Mutex::new(Some(Vec::new())));
        let (stuck, full) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { socket, client, log, held_until, stuck, full, unsent }
    }

    /// The socket has room again; says whether somebody waits for that.
    pub(crate) fn has_room(&self) -> bool {
        self.full.load(Relaxed) && self.full.swap(false, Relaxed)
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
        if let Some(position) = self.log.hold(true) {
            self.held_until.fetch_max(position, Release);
        }
        self.stuck.store(true, Release);
    }

    /// Keeps a reply for [`Self::finish`] until the log is at `position`; the connection is woken.
    fn hold(&self, bytes: &[u8], position: u64) {
        if let Some(rest) = &mut *self.unsent.lock() {
            rest.extend_from_slice(bytes);
            self.note_unsent(rest.len());
        }
        self.held_until.fetch_max(position, Release);
        self.stuck.store(true, Release);
        self.client.wake();
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
            match self.socket.write(&bytes[sent..]) {
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

    /// Waits for the log where replies are held; `false` when they must not leave or the connection is to be closed.
    async fn log_is_there(&self) -> bool {
        match self.held_until.swap(0, AcqRel) {
            0 => true,
            position => tokio::select! {
                passed = self.log.passed(position) => passed,
                () = killed(&self.client) => false,
            },
        }
    }

    /// Waits until [`Self::has_room`]; whoever calls that wakes the connection.
    async fn room(&self) {
        self.full.store(true, Relaxed);
        poll_fn(|_| if self.full.load(Relaxed) { Poll::Pending } else { Poll::Ready(()) }).await;
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
            if !self.log_is_there().await {
                return false;
            }
            let mut sent = 0;
            while sent < rest.len() {
                // A part at a time, so that a reply of many megabytes does not hold up the thread's other connections.
                let part = &rest[sent..rest.len().min(sent + PART_BYTES)];
                match self.socket.write(part) {
                    Ok(n) => sent += n,
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                        // A client that never reads can only be got rid of here.
                        tokio::select! {
                            () = self.room() => {}
                            () = killed(&self.client) => return false,
                        }
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(_) => return false,
                }
                tokio::task::coop::consume_budget().await;
            }
        }
    }
}
