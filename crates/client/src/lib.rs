//! A pipelined RESP client: [`Connection`] for async code, [`Blocking`] for tests, tools and the Python package.
//!
//! ```no_run
//! let mut client = quiver_client::Blocking::connect("127.0.0.1:6379")?;
//! client.command(&["SET", "greeting", "hello"])?;
//! let mut batch = quiver_client::Batch::new();
//! batch.push(&["GET", "greeting"]);
//! batch.push(&["STRLEN", "greeting"]);
//! let replies = client.run(&batch)?;
//! assert_eq!(replies[1].as_i64(), Some(5));
//! # Ok::<(), quiver_client::Error>(())
//! ```
//!
//! Not here: pools, reconnection, cluster routing. A connection that failed stays failed, since nobody knows which of
//! its commands ran; the caller opens another.
#![forbid(unsafe_code)]

mod batch;
mod blocking;
mod connection;
mod options;

pub use batch::Batch;
pub use blocking::Blocking;
pub use connection::Connection;
pub use options::Options;
pub use quiver_resp::{Protocol, Value};

/// Why a call failed. After anything but [`Error::Server`] and [`Error::UnexpectedReply`] the connection is unusable.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket failed, or could not be opened.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The peer does not speak RESP.
    #[error("protocol error: {0}")]
    Protocol(#[from] quiver_resp::ReplyError),
    /// The server answered with this error, code first.
    #[error("{0}")]
    Server(String),
    /// Nothing moved for longer than [`Options::timeout`].
    #[error("timed out")]
    Timeout,
    /// The peer closed the connection, or an earlier call failed.
    #[error("connection closed")]
    Closed,
    /// A well-formed reply of a kind the command does not have.
    #[error("unexpected reply: {0}")]
    UnexpectedReply(String),
}
