//! The snapshot format: Redis' RDB encoding as bytes in and out, without I/O of its own.
//!
//! [`Writer`] appends to a byte vector, [`Reader`] decodes from a slice or any [`std::io::Read`]; between them they
//! know lengths, strings (integer forms, LZF), opcodes, module values, the file frame with its CRC64 and the sealed
//! payload of `DUMP`. What a *list* or a *hash* looks like on top of these primitives is the business of the types
//! that own the data; [`walk`] knows just enough of every type to step over it, and [`vectorset`] describes the one
//! module value shared with Redis 8.
//!
//! Source: the public description of the format (RDB version 12) and files made by Redis 8.0.2, some of which are the
//! fixtures of the tests.
//!
//! Invariants:
//! - Nothing is allocated because a length *claims* it: memory grows with the bytes that have arrived.
//! - Foreign bytes end in [`Error`] with the offset of the fault, never in a panic.
//! - What [`Writer`] appends, [`Reader`] returns unchanged, and real Redis reads as the same value.
//!
//! Deliberately absent: files, temporary names and `fsync` (crate `persist`).
#![forbid(unsafe_code)]

mod checksum;
pub mod code;
mod error;
pub mod frame;
pub mod lzf;
pub mod module;
mod reader;
pub mod vectorset;
mod version;
pub mod walk;
mod writer;

pub use checksum::{Checksum, crc64};
pub use error::{Error, Reason};
pub use reader::Reader;
pub use version::Version;
pub use writer::Writer;

/// The version written: that of Redis 8.0.
pub const VERSION: u16 = Version::WRITTEN.number();
