//! Snapshots and the log: the keyspace at one moment as an RDB file, and what is done from then on as a file of commands,
//! both written, verified and loaded.
//!
//! - [`SnapshotStream`]: the bytes of a snapshot piece by piece, for a file or a replica's socket alike.
//! - [`save`]: those bytes as a file that is either whole or not there.
//! - [`log`]: the append-only log.
//! - [`load_file`], [`load`], [`read_data_set`]: a snapshot back into an engine, all of it or nothing.
//! - [`check_file`]: what a file holds and what is wrong with it, without loading it.
//!
//! Invariants:
//! - A file under its final name is complete and on disk: it was written under a temporary name, synced, renamed, and
//!   the folder synced. Whatever fails before leaves the old file as it was.
//! - A loader builds a data set of its own and hands it over when the checksum holds: damaged input never changes an
//!   engine, and nobody sees half a data set.
//!
//! Deliberately absent: when to save (save points) and in which thread, which crate `node` decides.
#![forbid(unsafe_code)]

mod check;
mod load;
pub mod log;
mod records;
mod save;
mod stream;

pub use check::{KeysReport, Largest, Report, ValuesReport, check_file};
pub use load::{
    LoadError, LoadFileError, LoadFileReason, LoadOptions, LoadProgress, Loaded, load, load_file, load_file_on,
    read_data_set,
};
pub use quiver_rdb::frame::{Properties, ReplicationPoint};
pub use save::{SaveError, SaveProgress, Saved, save, save_on};
pub use stream::{SaveOptions, SnapshotStream, without_keys};
