//! Which of a thread's sockets have something to read, or room again.
//!
//! They are registered with a poller of the thread's own, which is nested in the runtime's: the runtime wakes one task
//! for all of them, and that asks for all at once. With a task woken per socket the runtime took a tenth of the time of
//! a small command that comes alone.
//!
//! Invariant: the system tells of a change once. Who is told of something to read keeps that in mind until a read came
//! back short.

use std::io;
use std::os::fd::AsRawFd;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Token};
use tokio::io::unix::AsyncFd;

use crate::socket::Accepted;

/// Changes asked for at once; what does not fit is told the next time.
const EVENTS: usize = 256;

/// A thread's poller.
pub(crate) struct Poller {
    system: AsyncFd<mio::Poll>,
    events: Events,
}

/// A change of a socket.
#[derive(Clone, Copy)]
pub(crate) struct Change {
    /// Whose.
    pub(crate) conn: usize,
    /// There is something to read, if only the end.
    pub(crate) readable: bool,
    /// The other side sends no more.
    pub(crate) ended: bool,
    /// There is room for replies.
    pub(crate) writable: bool,
}

impl Poller {
    /// A poller for the current runtime.
    #[expect(
        deprecated,
        reason = "the new way is unsafe for what it asks of the type, and mio's poller keeps its descriptor"
    )]
    pub(crate) fn new() -> io::Result<Self> {
        let system = AsyncFd::with_interest(mio::Poll::new()?, tokio::io::Interest::READABLE)?;
        Ok(Self { system, events: Events::with_capacity(EVENTS) })
    }

    /// Tells of a socket's changes from now on, and of what it has already.
    pub(crate) fn add(&self, socket: &Accepted, conn: usize) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        self.system.get_ref().registry().register(&mut SourceFd(&socket.as_raw_fd()), Token(conn), both)
    }

    /// Tells of it no more; before its number is given to another.
    pub(crate) fn remove(&self, socket: &Accepted) {
        // One that is not there is what was wanted.
        let _ = self.system.get_ref().registry().deregister(&mut SourceFd(&socket.as_raw_fd()));
    }

    /// Puts what changed since the last time into `changes`, or wakes the task once something does.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, changes: &mut Vec<Change>) -> Poll<io::Result<()>> {
        loop {
            let mut system = ready!(self.system.poll_read_ready_mut(cx))?;
            match system.get_inner_mut().poll(&mut self.events, Some(Duration::ZERO)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Poll::Ready(Err(error)),
            }
            if !self.events.is_empty() {
                changes.extend(self.events.iter().map(|event| Change {
                    conn: event.token().0,
                    readable: event.is_readable() || event.is_error(),
                    ended: event.is_read_closed() || event.is_error(),
                    writable: event.is_writable() || event.is_error(),
                }));
                return Poll::Ready(Ok(()));
            }
            system.clear_ready();
        }
    }
}
