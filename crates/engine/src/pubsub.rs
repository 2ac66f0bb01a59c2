//! Publish and subscribe: which client listens to which channel.
//!
//! Channels are dealt out over stripes by the hash of their names, so that publishing on one costs nothing to those who
//! use others; a stripe's lock is held while a message is handed out, so all subscribers of a channel get its messages
//! in the same order. Patterns stand in one list that every message is held against, as in Redis.
//!
//! Invariant: a client is among the receivers of a name exactly while the name is in its [`Subscriptions`].
//! Locks: a client's subscriptions before a stripe before an mailbox; none of them before a shard of the keyspace.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;
use quiver_resp::{Encoder, Protocol};

use crate::engine::Engine;
use crate::glob;
use crate::keyspace::KeyHasher;
use crate::mailbox::Sender;
use crate::session::ClientInfo;

/// What a client can listen to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A channel.
    Channel,
    /// All channels whose names match a pattern.
    Pattern,
    /// A channel that belongs to a hash slot.
    Shard,
}

/// What one client listens to.
#[derive(Debug, Default)]
pub struct Subscriptions {
    channels: BTreeSet<Box<[u8]>>,
    patterns: BTreeSet<Box<[u8]>>,
    shard: BTreeSet<Box<[u8]>>,
}

impl Subscriptions {
    fn of(&self, kind: Kind) -> &BTreeSet<Box<[u8]>> {
        match kind {
            Kind::Channel => &self.channels,
            Kind::Pattern => &self.patterns,
            Kind::Shard => &self.shard,
        }
    }

    fn of_mut(&mut self, kind: Kind) -> &mut BTreeSet<Box<[u8]>> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
            Kind::Shard => &mut self.shard,
        }
    }

    /// Channels, patterns and shard channels.
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.channels.len(), self.patterns.len(), self.shard.len())
    }

    /// The number that replies about a kind carry: channels and patterns count together.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        let (channels, patterns, shard) = self.counts();
        if kind == Kind::Shard { shard } else { channels + patterns }
    }

    /// Whether `holds` is true of every name, with whether it is a pattern.
    pub(crate) fn all(&self, holds: impl Fn(&[u8], bool) -> bool) -> bool {
        self.channels.iter().chain(&self.shard).all(|name| holds(name, false))
            && self.patterns.iter().all(|name| holds(name, true))
    }

    /// What the client listens to, in the order of the names.
    pub(crate) fn names(&self, kind: Kind) -> Vec<Box<[u8]>> {
        self.of(kind).iter().cloned().collect()
    }
}

/// The receivers of one name, by client id.
type Receivers = BTreeMap<u64, Arc<ClientInfo>>;

const STRIPES: usize = 16;

/// Channels and their receivers.
#[derive(Debug, Default)]
struct Channels([Mutex<HashMap<Box<[u8]>, Receivers>>; STRIPES]);

impl Channels {
    fn stripe(&self, name: &[u8]) -> &Mutex<HashMap<Box<[u8]>, Receivers>> {
        &self.0[KeyHasher.hash(name) as usize % STRIPES]
    }

    fn names(&self, matching: Option<&[u8]>) -> Vec<Box<[u8]>> {
        let fits = |name: &[u8]| matching.is_none_or(|pattern| glob::matches(pattern, name));
        let mut names = Vec::new();
        for stripe in &self.0 {
            names.extend(stripe.lock().keys().filter(|name| fits(name)).cloned());
        }
        names.sort_unstable();
        names
    }

    fn len(&self) -> usize {
        self.0.iter().map(|stripe| stripe.lock().len()).sum()
    }
}

/// Everybody who listens to anything.
#[derive(Debug, Default)]
pub struct PubSub {
    channels: Channels,
    shard: Channels,
    patterns: Mutex<BTreeMap<Box<[u8]>, Receivers>>,
    /// Patterns there are, so that a message need not lock to find none.
    pattern_count: AtomicUsize,
    subscribers: AtomicUsize,
}

impl PubSub {
    /// Lets a client listen; gives the number its reply carries.
    pub(crate) fn subscribe(&self, client: &Arc<ClientInfo>, kind: Kind, name: &[u8]) -> usize {
        let mut mine = client.subscriptions.lock();
        if mine.of_mut(kind).insert(name.into()) {
            client.held_bytes.fetch_add(ClientInfo::bytes_of_name(name), Relaxed);
            self.receivers(kind, name, |receivers| receivers.insert(client.id, Arc::clone(client)));
            self.note(client, &mine);
        }
        mine.count(kind)
    }

    /// Lets a client listen no more; gives the number its reply carries.
    pub(crate) fn unsubscribe(&self, client: &ClientInfo, kind: Kind, name: &[u8]) -> usize {
        let mut mine = client.subscriptions.lock();
        if mine.of_mut(kind).remove(name) {
            client.held_bytes.fetch_sub(ClientInfo::bytes_of_name(name), Relaxed);
            self.receivers(kind, name, |receivers| receivers.remove(&client.id));
            self.note(client, &mine);
        }
        mine.count(kind)
    }

    /// Forgets a client.
    pub(crate) fn leave(&self, client: &ClientInfo) {
        if !client.is_subscriber() {
            return;
        }
        let mut mine = client.subscriptions.lock();
        for kind in [Kind::Channel, Kind::Pattern, Kind::Shard] {
            for name in std::mem::take(mine.of_mut(kind)) {
                client.held_bytes.fetch_sub(ClientInfo::bytes_of_name(&name), Relaxed);
                self.receivers(kind, &name, |receivers| receivers.remove(&client.id));
            }
        }
        self.note(client, &mine);
    }

    /// Shows whether a client listens to anything.
    fn note(&self, client: &ClientInfo, mine: &Subscriptions) {
        let listens = mine.counts() != (0, 0, 0);
        if client.subscriber.swap(listens, Relaxed) != listens {
            if listens {
                self.subscribers.fetch_add(1, Relaxed);
            } else {
                self.subscribers.fetch_sub(1, Relaxed);
            }
        }
    }

    /// Changes the receivers of a name; a name without any is forgotten.
    fn receivers<T>(&self, kind: Kind, name: &[u8], change: impl FnOnce(&mut Receivers) -> T) {
        match kind {
            Kind::Pattern => {
                let mut patterns = self.patterns.lock();
                let receivers = patterns.entry(name.into()).or_default();
                change(receivers);
                if receivers.is_empty() {
                    patterns.remove(name);
                }
                self.pattern_count.store(patterns.len(), Relaxed);
            }
            Kind::Channel | Kind::Shard => {
                let channels = if kind == Kind::Shard { &self.shard } else { &self.channels };
                let mut stripe = channels.stripe(name).lock();
                let receivers = stripe.entry(name.into()).or_default();
                change(receivers);
                if receivers.is_empty() {
                    stripe.remove(name);
                }
            }
        }
    }

    /// Hands a message to all who listen to the channel, and to all whose pattern it matches; gives their number. A
    /// client gets it once for the channel and once for each pattern.
    pub(crate) fn publish(&self, engine: &Engine, from: Sender, channel: &[u8], message: &[u8]) -> usize {
        let mut told = hand_out(engine, from, &self.channels, &[b"message", channel, message]);
        if self.pattern_count.load(Relaxed) > 0 {
            for (pattern, receivers) in self.patterns.lock().iter() {
                if glob::matches(pattern, channel) {
                    let frame = frame(&[b"pmessage", pattern, channel, message]);
                    receivers.values().for_each(|client| engine.push(client, from, &frame));
                    told += receivers.len();
                }
            }
        }
        told
    }

    /// Hands a message to all who listen to a shard channel; gives their number.
    pub(crate) fn publish_sharded(&self, engine: &Engine, from: Sender, channel: &[u8], message: &[u8]) -> usize {
        hand_out(engine, from, &self.shard, &[b"smessage", channel, message])
    }

    /// Names of channels with receivers, in order.
    pub(crate) fn channels(&self, kind: Kind, matching: Option<&[u8]>) -> Vec<Box<[u8]>> {
        let channels = if kind == Kind::Shard { &self.shard } else { &self.channels };
        channels.names(matching)
    }

    /// Receivers of a channel, patterns aside.
    pub(crate) fn receivers_of(&self, kind: Kind, name: &[u8]) -> usize {
        let channels = if kind == Kind::Shard { &self.shard } else { &self.channels };
        channels.stripe(name).lock().get(name).map_or(0, Receivers::len)
    }

    /// Channels, patterns and shard channels with receivers.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        (self.channels.len(), self.pattern_count.load(Relaxed), self.shard.len())
    }

    /// Clients that listen to anything.
    pub(crate) fn subscribers(&self) -> usize {
        self.subscribers.load(Relaxed)
    }
}

/// Hands `words` to the receivers of the channel named by the second of them.
fn hand_out(engine: &Engine, from: Sender, channels: &Channels, words: &[&[u8]; 3]) -> usize {
    let stripe = channels.stripe(words[1]).lock();
    let Some(receivers) = stripe.get(words[1]) else { return 0 };
    let frame = frame(words);
    receivers.values().for_each(|client| engine.push(client, from, &frame));
    receivers.len()
}

/// A push message of bulk strings.
pub(crate) fn frame(words: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(words.iter().map(|word| word.len() + 16).sum::<usize>() + 8);
    let mut encoder = Encoder::new(&mut out, Protocol::Resp3);
    encoder.push(words.len());
    words.iter().for_each(|word| encoder.bulk(word));
    out
}
