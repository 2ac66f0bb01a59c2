//! What producers have sent: ids of messages by producer, so that a message sent twice is added once
//! (redis.io/docs/latest/develop/data-types/streams/idempotency).
//!
//! A message is remembered with the id of its entry, whose milliseconds are also when it was added. It is forgotten when
//! that is longer ago than the configured duration, or when its producer has sent more than the configured number since.
//! Forgetting happens when that producer's next message is added, with the time of that message's id: on a replica as on
//! its primary.

use std::collections::{BTreeMap, VecDeque};

use super::id::Id;
use crate::digest::Digest;

/// Least and greatest duration, s.
pub const DURATION_S: std::ops::RangeInclusive<i64> = 1..=86_400;
/// Least and greatest number of messages of a producer.
pub const MAXSIZE: std::ops::RangeInclusive<i64> = 1..=10_000;

/// How much is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// For how long, s.
    pub duration_s: u64,
    /// How many messages of each producer.
    pub maxsize: usize,
}

/// The memory of one stream.
#[derive(Clone, Debug)]
pub struct Idmp {
    /// How much is remembered.
    pub settings: Settings,
    /// Messages ever added under an id of their producer.
    pub added: u64,
    /// Messages that came twice.
    pub duplicates: u64,
    producers: BTreeMap<Box<[u8]>, Producer>,
}

#[derive(Clone, Debug, Default)]
struct Producer {
    entries: BTreeMap<Box<[u8]>, Id>,
    /// From the oldest to the newest.
    order: VecDeque<Box<[u8]>>,
}

impl Idmp {
    /// An empty memory.
    pub fn new(settings: Settings) -> Self {
        Self { settings, added: 0, duplicates: 0, producers: BTreeMap::new() }
    }

    /// The entry that a producer's message became, unless that is forgotten at `now_ms`.
    pub fn find(&self, producer: &[u8], message: &[u8], now_ms: u64) -> Option<Id> {
        let id = *self.producers.get(producer)?.entries.get(message)?;
        (!self.is_over(id, now_ms)).then_some(id)
    }

    /// Remembers that a producer's message became the entry `id`.
    pub fn record(&mut self, producer: &[u8], message: &[u8], id: Id) {
        let (settings, duration_ms) = (self.settings, self.settings.duration_s.saturating_mul(1000));
        let entries = self.producers.entry(producer.into()).or_default();
        while let Some(oldest) = entries.order.front() {
            let over = entries.entries[oldest].ms.saturating_add(duration_ms) <= id.ms;
            if !over && entries.order.len() < settings.maxsize {
                break;
            }
            entries.pop_oldest();
        }
        entries.put(message, id);
        self.added += 1;
    }

    /// Changes the settings; other ones than before make all that was sent forgotten.
    pub fn configure(&mut self, settings: Settings) {
        if settings != self.settings {
            self.settings = settings;
            self.producers.clear();
        }
    }

    /// Number of producers.
    pub fn producers(&self) -> usize {
        self.producers.len()
    }

    /// Number of messages.
    pub fn messages(&self) -> usize {
        self.producers.values().map(|producer| producer.order.len()).sum()
    }

    /// Producers in order of their names, their messages from the oldest to the newest.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], impl ExactSizeIterator<Item = (&[u8], Id)>)> {
        self.producers.iter().map(|(name, producer)| {
            (&**name, producer.order.iter().map(|message| (&**message, producer.entries[message])))
        })
    }

    /// Puts back what was saved; `false` when it is there already.
    pub(super) fn restore(&mut self, producer: &[u8], message: &[u8], id: Id) -> bool {
        let producer = self.producers.entry(producer.into()).or_default();
        let is_new = !producer.entries.contains_key(message);
        if is_new {
            producer.put(message, id);
        }
        is_new
    }

    /// Heap bytes, nearly.
    pub fn memory_bytes(&self) -> usize {
        /// A name twice, an id, and the bookkeeping of both collections.
        const MESSAGE_BYTES: usize = 2 * size_of::<Box<[u8]>>() + size_of::<Id>() + 8;
        let mut bytes = size_of::<Self>();
        for (producer, messages) in self.iter() {
            bytes += producer.len() + size_of::<Producer>();
            bytes += messages.map(|(name, _)| 2 * name.len() + MESSAGE_BYTES).sum::<usize>();
        }
        bytes
    }

    /// Digest of the settings and of what is remembered.
    pub fn digest(&self) -> Digest {
        let mut sum = Digest::default();
        for (producer, messages) in self.iter() {
            for (message, id) in messages {
                sum.add(Digest::of(&[producer, message, &id.to_bytes()]));
            }
        }
        let settings = [self.settings.duration_s, self.settings.maxsize as u64, self.added];
        let settings: Vec<u8> = settings.iter().flat_map(|number| number.to_le_bytes()).collect();
        Digest::of(&[&settings, &sum.bytes()])
    }

    fn is_over(&self, id: Id, now_ms: u64) -> bool {
        id.ms.saturating_add(self.settings.duration_s.saturating_mul(1000)) <= now_ms
    }
}

impl Producer {
    fn put(&mut self, message: &[u8], id: Id) {
        if self.entries.insert(message.into(), id).is_some() {
            // It was forgotten by time, but not removed yet.
            self.order.retain(|known| **known != *message);
        }
        self.order.push_back(message.into());
    }

    fn pop_oldest(&mut self) {
        if let Some(oldest) = self.order.pop_front() {
            self.entries.remove(&oldest);
        }
    }
}
