//! Replication without sockets, clocks or threads: what to remember of the stream, when a replica may go on from where
//! it was, and how a replica talks to its primary.
//!
//! The wire is Redis' PSYNC (redis.io/docs/latest/operate/oss_and_stack/management/replication), so that either end may
//! be a Redis. [`Backlog`] is the remembered end of the stream, [`History`] the identities it had, [`Link`] the replica's
//! side of a connection: bytes in, bytes to send and [`Event`]s out.

#![forbid(unsafe_code)]

mod backlog;
mod history;
mod link;

pub use backlog::Backlog;
pub use history::{History, Resume};
pub use link::{Event, Link, LinkError, Login};
