//! Versions of the format.
//!
//! Redis counts from 1, and so did Valkey up to 11. From 80 on the number and the first word of the file are Valkey's
//! own, with which some type bytes mean something else than in files of Redis.

/// The newest version of Redis that is read; what its types beyond those in [`crate::code`] hold is refused by type.
const REDIS_MAX: u16 = 15;

/// The versions of Valkey that are read.
const VALKEY: std::ops::RangeInclusive<u16> = 80..=80;

/// A version of the format that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u16);

impl Version {
    /// The version of what is written: Redis 7.4 to 8.2.
    pub const WRITTEN: Self = Self(12);

    /// The one before it, which has all but fields that expire: Redis 7.2, Valkey up to 8.1.
    pub const WITHOUT_FIELD_EXPIRIES: Self = Self(11);

    /// The version of a number, if it is one that is read.
    pub fn new(number: u16) -> Option<Self> {
        ((1..=REDIS_MAX).contains(&number) || VALKEY.contains(&number)).then_some(Self(number))
    }

    /// The number.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Whether it is one of Valkey's own.
    pub const fn is_valkey(self) -> bool {
        self.0 > REDIS_MAX
    }

    /// Whether files end with a checksum.
    pub const fn has_checksum(self) -> bool {
        self.0 >= 5
    }
}

impl Default for Version {
    fn default() -> Self {
        Self::WRITTEN
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
