//! A client's socket, over TCP or in the file system.
//!
//! An enum and not a trait object: the branch is the same for one connection every time, and costs nothing beside the
//! system call behind it.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};

use tokio::io::{AsyncRead, AsyncWrite};

/// A connected socket. It must not block.
#[derive(Debug)]
pub enum Accepted {
    /// Over TCP.
    Tcp(std::net::TcpStream),
    /// Over the socket file.
    Unix(std::os::unix::net::UnixStream),
}

/// The direction from the client, for who waits for it as a task.
pub(crate) type Input = Box<dyn AsyncRead + Send + Unpin>;
/// The direction to the client, for who waits for it as a task.
pub(crate) type Output = Box<dyn AsyncWrite + Send + Unpin>;

impl Accepted {
    /// Makes reads and writes return at once.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => {
                // A system that knows no such option still serves, a little later.
                let _ = stream.set_nodelay(true);
                stream.set_nonblocking(true)
            }
            Self::Unix(stream) => stream.set_nonblocking(true),
        }
    }

    pub(crate) fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&*stream).read(into),
            Self::Unix(stream) => (&*stream).read(into),
        }
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&*stream).write(bytes),
            Self::Unix(stream) => (&*stream).write(bytes),
        }
    }

    /// Sends small pieces at once, or collects them. A socket file always does the first.
    pub(crate) fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nodelay(nodelay),
            Self::Unix(_) => Ok(()),
        }
    }

    /// Hands the socket to the runtime of the calling thread, as two directions for two owners.
    pub(crate) fn into_tasks(self) -> io::Result<(Input, Output)> {
        Ok(match self {
            Self::Tcp(stream) => {
                let (read, write) = tokio::net::TcpStream::from_std(stream)?.into_split();
                (Box::new(read), Box::new(write))
            }
            Self::Unix(stream) => {
                let (read, write) = tokio::net::UnixStream::from_std(stream)?.into_split();
                (Box::new(read), Box::new(write))
            }
        })
    }
}

impl AsRawFd for Accepted {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Tcp(stream) => stream.as_raw_fd(),
            Self::Unix(stream) => stream.as_raw_fd(),
        }
    }
}
