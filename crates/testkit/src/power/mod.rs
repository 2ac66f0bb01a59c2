//! A node in this process on a disk in memory: its power is cut at random moments, and its operations fail one after
//! the other.
//!
//! All that [`crash`](crate::crash) cannot show by killing a process: there what was written survives, synced or not.
//! Here only what was synced survives, and of the rest what chance wills ([`cycle`]); and every write, sync, rename and
//! open of a script of writes, rewrites and saves fails once ([`faults`]). What is run is the whole node with its
//! threads; only the sockets are left out.

pub mod cycle;
pub mod faults;
pub mod node;

pub use cycle::{Harness, Options, Outcome};
