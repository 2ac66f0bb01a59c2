//! One connection, as its task sees it: it reads, waits for its turn, and writes what the thread's outbox could not.
//!
//! The thread's connections share one input buffer and one outbox (`turns`, `outbox`); a connection owns memory only for
//! what is left over: an incomplete command, or replies the client has not read yet. While such replies wait nothing is
//! read, so a client that does not read cannot make the server buffer more than one batch for it.

mod away;
mod wait;

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::task::{Context, Poll, Waker};

use quiver_engine::session::{ClientInfo, Takeover};
use quiver_engine::{Engine, Session};
use quiver_resp::Decoder;
use tracing::warn;

use crate::outbox::Peer;
use crate::socket::Accepted;
use crate::turns::with_shared;

/// A connection.
pub(crate) struct Conn {
    pub(crate) session: Session,
    /// Where replies go.
    pub(crate) peer: Arc<Peer>,
    pub(crate) decoder: Decoder,
    /// Input that is not a whole command yet; empty most of the time.
    pub(crate) pending: Vec<u8>,
    /// There may be something to read: a read that comes back short ends that.
    pub(crate) readable: bool,
    /// The client sends no more; reading ends with that.
    pub(crate) ended: bool,
    /// The task waits for input only, so it may be read without it.
    pub(crate) at_rest: bool,
    /// Wakes the task; CLIENT KILL knows it too.
    pub(crate) waker: Option<Waker>,
    /// It has read something that has not run.
    pub(crate) waits_for_turn: bool,
    /// The task was woken meanwhile and has to look again.
    pub(crate) was_woken: bool,
    /// What the last turn asks for, unless that is to read on.
    pub(crate) outcome: Option<Next>,
    /// Bytes of buffers the engine knows of.
    pub(crate) noted_bytes: u64,
}

impl Conn {
    /// Whether it is its time to be read: there may be something, and nothing else is to be done first.
    pub(crate) fn may_be_read(&self) -> bool {
        self.readable && self.at_rest && !self.waits_for_turn && self.outcome.is_none() && !self.peer.is_stuck()
    }

    /// Reads into `room`: how much there was.
    ///
    /// # Errors
    /// The connection ends.
    pub(crate) fn read_into(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = self.peer.socket.read(room);
        self.note_read(read, room.len())
    }

    /// Reads behind what is left of the input, as [`Self::read_into`].
    pub(crate) fn read_behind(&mut self, room: usize) -> io::Result<usize> {
        let old = self.pending.len();
        self.pending.resize(old + room, 0);
        let read = self.peer.socket.read(&mut self.pending[old..]);
        self.pending.truncate(old + read.as_ref().map_or(0, |filled| *filled));
        self.note_read(read, room)
    }

    fn note_read(&mut self, read: io::Result<usize>, room: usize) -> io::Result<usize> {
        match read {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(filled) => {
                self.readable = filled == room || self.ended;
                Ok(filled)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(0)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Tells the engine what this connection has in its buffers.
    pub(crate) fn note_buffers(&mut self, engine: &Engine) {
        let queued = self.session.multi.as_ref().map_or(0, |multi| multi.bytes);
        let unsent = self.session.shared.output_bytes.load(Relaxed);
        let held = self.session.shared.held_bytes.load(Relaxed);
        let bytes = (self.pending.len() + queued) as u64 + unsent + held;
        if bytes != self.noted_bytes {
            self.noted_bytes = bytes;
            engine.note_client_buffers(&self.session.shared, bytes);
        }
    }
}

/// What follows a turn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// More input is needed.
    Read,
    /// Enough output waits; whole commands are left in the connection's buffer.
    More,
    /// A command waits for something; what follows it is left in the connection's buffer.
    Wait,
    /// The connection ends.
    Close,
}

/// A connection's place among those of its thread; given up with the task.
struct Place(usize);

impl Place {
    fn with<T>(&self, use_it: impl FnOnce(&mut Conn) -> T) -> T {
        with_shared(|shared| use_it(&mut shared.conns[self.0]))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        with_shared(|shared| {
            if let Some(conn) = shared.conns.try_remove(self.0) {
                shared.poller.remove(&conn.peer.socket);
            }
        });
    }
}

/// Serves a client until it leaves; gives the socket back when the client became a replica.
pub(crate) async fn serve(stream: Accepted, client: Arc<ClientInfo>) -> Option<(Accepted, Session, Takeover)> {
    let log = with_shared(|shared| Arc::clone(&shared.log));
    let peer = Arc::new(Peer::new(stream, Arc::clone(&client), log));
    let place = with_shared(|shared| {
        let authenticated = shared.engine.users.is_open();
        let mut session = Session::new(client, authenticated);
        session.yields = true;
        Place(shared.conns.insert(Conn {
            session,
            peer: Arc::clone(&peer),
            decoder: Decoder::new(),
            pending: Vec::new(),
            readable: false,
            ended: false,
            at_rest: false,
            waker: None,
            waits_for_turn: false,
            was_woken: false,
            outcome: None,
            noted_bytes: 0,
        }))
    });
    if let Err(error) = with_shared(|shared| shared.poller.add(&peer.socket, place.0)) {
        warn!("a connection could not be registered: {error}");
        return None;
    }
    let mut next = Next::Read;
    loop {
        if next == Next::More {
            if !away::pass(&place).await {
                return None;
            }
            with_shared(|shared| shared.enqueue_pending(place.0));
        }
        next = match next {
            Next::Read | Next::More => poll_fn(|cx| with_shared(|shared| shared.poll_conn(place.0, cx))).await,
            Next::Wait => wait::wait(&place).await,
            Next::Close => return None,
        };
        with_shared(|shared| {
            shared.outbox.flush();
            shared.conns[place.0].note_buffers(&shared.engine);
        });
        if !peer.finish().await {
            return None;
        }
        let takeover = with_shared(|shared| {
            let conn = &mut shared.conns[place.0];
            conn.note_buffers(&shared.engine);
            conn.session.takeover.take()
        });
        if let Some(takeover) = takeover {
            let conn = with_shared(|shared| shared.conns.remove(place.0));
            with_shared(|shared| shared.poller.remove(&peer.socket));
            drop(conn.peer);
            let peer = Arc::into_inner(peer).expect("the outbox was flushed");
            return Some((peer.socket, conn.session, takeover));
        }
    }
}

/// Waits until somebody asks the connection to close.
pub(crate) async fn killed(client: &ClientInfo) {
    let mut known = None;
    poll_fn(|cx| poll_killed(client, &mut known, cx)).await;
}

/// `known` is the waker left last time. It is left before the flag is looked at, so a kill in between is not missed.
pub(crate) fn poll_killed(client: &ClientInfo, known: &mut Option<Waker>, cx: &Context<'_>) -> Poll<()> {
    if known.as_ref().is_none_or(|known| !known.will_wake(cx.waker())) {
        *known = Some(cx.waker().clone());
        client.waker.lock().clone_from(known);
    }
    if client.killed.load(Acquire) { Poll::Ready(()) } else { Poll::Pending }
}
