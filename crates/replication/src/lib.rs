//! Replication without sockets, clocks or threads: what to remember of the stream, when a replica may go on from where
//! it was, and how a replica talks to its primary.
//!
//! The wire is Redis' PSYNC (redis.io/docs/latest/operate/oss_and_stack/management/replication), so that either end may
//! be a Redis. [`Stream`] is the stream of an instance, [`Backlog`] its remembered end, [`History`] the identities it had;
//! [`Link`] is the replica's side of a connection: bytes in, bytes to send and [`Event`]s out.

#![forbid(unsafe_code)]

mod backlog;
mod history;
mod link;
mod stream;

pub use backlog::Backlog;
pub use history::{History, Resume};
pub use link::{Event, Link, LinkError, Login};
pub use stream::{Point, Stream};
