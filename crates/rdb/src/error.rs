//! What can be wrong with bytes that claim to be a snapshot, and where.

use thiserror::Error as ThisError;

use crate::lzf;

/// A fault and where in the input it was noticed.
#[derive(Debug, ThisError)]
#[error("at byte {offset}: {reason}")]
pub struct Error {
    /// Bytes of the input consumed by then; the faulty item ends or continues here.
    pub offset: u64,
    /// What is wrong with it.
    pub reason: Reason,
}

impl Error {
    /// True if the input ended early: more bytes might have made it whole.
    pub fn is_truncated(&self) -> bool {
        matches!(self.reason, Reason::Truncated)
    }
}

/// What is wrong.
#[derive(Debug, ThisError)]
pub enum Reason {
    /// The input ended inside an item.
    #[error("the input ends in the middle of an item")]
    Truncated,
    /// The source of the bytes failed.
    #[error("reading failed: {0}")]
    Io(#[from] std::io::Error),
    /// The file does not begin with `REDIS` and four digits.
    #[error("not an RDB file: it does not begin with REDIS or VALKEY and a version")]
    NotRdb,
    /// A version this crate does not know.
    #[error("RDB version {0} is not supported (Redis' 1 to 15 and Valkey's 80 are)")]
    Version(u16),
    /// A length that no writer produces.
    #[error("0x{0:02x} does not begin a length")]
    Length(u8),
    /// A special string form that does not exist.
    #[error("unknown string encoding {0}")]
    StringEncoding(u64),
    /// A compressed string that does not unpack.
    #[error("compressed string: {0}")]
    Lzf(#[from] lzf::DamagedLzf),
    /// The bytes differ from those that were written.
    #[error("checksum mismatch: stored {stored:016x}, computed {computed:016x}")]
    Checksum {
        /// As found in the input.
        stored: u64,
        /// Of the bytes that were read.
        computed: u64,
    },
    /// A value type this crate does not know.
    #[error("unknown value type {0}")]
    ValueType(u8),
    /// A module opcode other than the one that must come here.
    #[error("module value: opcode {found} where {expected} was expected")]
    ModuleOpcode {
        /// The opcode that the layout requires.
        expected: u64,
        /// The opcode that is there.
        found: u64,
    },
    /// A collection without elements, read to its end. Old servers wrote such now and then.
    #[error("{0}")]
    Empty(&'static str),
    /// Well-formed items whose values make no sense together.
    #[error("{0}")]
    Invalid(&'static str),
    /// The same, with a reason made of the values.
    #[error("{0}")]
    Corrupt(String),
}
