//! Snapshots: the keyspace at one moment as an RDB file, written, verified and loaded.
//!
//! - [`SnapshotStream`]: the bytes of a snapshot piece by piece, for a file or a replica's socket alike.
//! - [`save`]: those bytes as a file that is either whole or not there.
//! - [`load_file`], [`load`], [`read_data_set`]: a snapshot back into an engine, all of it or nothing.
//!
//! Invariants:
//! - A file under its final name is complete and on disk: it was written under a temporary name, synced, renamed, and
//!   the folder synced. Whatever fails before leaves the old file as it was.
//! - A loader builds a data set of its own and hands it over when the checksum holds: damaged input never changes an
//!   engine, and nobody sees half a data set.
//!
//! Deliberately absent: when to save (save points), threads, and the append-only log; crate `node` decides those.
#![forbid(unsafe_code)]

mod load;
mod save;
mod stream;

pub use load::{
    LoadError, LoadFileError, LoadFileReason, LoadOptions, LoadProgress, Loaded, load, load_file, read_data_set,
};
pub use quiver_rdb::frame::{Properties, ReplicationPoint};
pub use save::{SaveError, SaveProgress, Saved, save};
pub use stream::{SaveOptions, SnapshotStream, without_keys};
