//! Keyspace notifications: what happened to a key, told to those who subscribed to it
//! (redis.io/docs/latest/develop/pubsub/keyspace-notifications).
//!
//! A handler says what it did with [`Keyspace::notify`](crate::keyspace::Keyspace::notify), in the order it did it.
//! Nothing is kept unless `notify-keyspace-events` asks for the class.

/// Classes of events: the letters of `notify-keyspace-events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class(u32);

#[expect(missing_docs, reason = "named after the group of commands or the cause of the events")]
impl Class {
    /// Nothing.
    pub const NONE: Self = Self(0);
    pub const GENERIC: Self = Self(1 << 2);
    pub const STRING: Self = Self(1 << 3);
    pub const LIST: Self = Self(1 << 4);
    pub const SET: Self = Self(1 << 5);
    pub const HASH: Self = Self(1 << 6);
    pub const ZSET: Self = Self(1 << 7);
    pub const EXPIRED: Self = Self(1 << 8);
    pub const EVICTED: Self = Self(1 << 9);
    pub const STREAM: Self = Self(1 << 10);
    pub const KEY_MISS: Self = Self(1 << 11);
    pub const MODULE: Self = Self(1 << 13);
    pub const NEW: Self = Self(1 << 14);

    /// Whether any class of `other` is in the set.
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// Something that happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its class.
    pub class: Class,
    /// Its name, such as "lpush".
    pub name: &'static str,
    /// Database of the key.
    pub db: usize,
    /// The key.
    pub key: Box<[u8]>,
}
