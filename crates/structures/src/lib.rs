//! Data structures of the keyspace: entry table, listpack, lock stripes.
//!
//! - [`table`]: key -> entry by linear hashing over cache-line buckets, one allocation per entry.
//! - [`listpack`]: the compact list of strings and integers, byte for byte as it stands in snapshot files.
//! - [`stripes`]: up to 64 locks, taken as a set in ascending order.
//!
//! Nothing here knows of commands, clocks or sockets: hashes, times and random numbers come from the caller.

pub mod listpack;
mod prefetch;
mod size_class;
pub mod stripes;
pub mod table;

pub use listpack::ListPack;
pub use prefetch::prefetch;
pub use stripes::{Locked, Stripes};
pub use table::{EntryMut, EntryRef, Table, Value, ValueRef};
