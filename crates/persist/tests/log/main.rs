//! The append-only log: its formats, what damage does to it, and what is left when the disk fails.

#[path = "../common/mod.rs"]
mod common;
mod damage;
mod driver;
mod faults;
mod formats;
