//! Client-side caching: clients are told which keys they may have cached have changed
//! (redis.io/docs/latest/develop/reference/client-side-caching).
//!
//! By default the server remembers who read what: each shard has a table from keys to the ids of their readers, guarded
//! by the shard's lock like the keys themselves, so no change can slip in between a read and its note. A change takes
//! the key out of the table and tells its readers once. In broadcasting mode nothing is remembered: a client names
//! prefixes and hears of every key below them, in one message per unit and prefix.
//!
//! The ids of clients that left stay until their keys change or are thrown out; the table has at most
//! `tracking-table-max-keys` keys, and what is thrown out counts as changed. While nobody tracks, a change pays for one
//! branch.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;
use quiver_resp::{Argv, Encoder, Protocol};
use smallvec::SmallVec;

use crate::context::Ctx;
use crate::effects::Effects;
use crate::engine::Engine;
use crate::keyspace::{Key, Keyspace, SHARDS};
use crate::mailbox::Sender;
use crate::registry::Entry;
use crate::session::ClientInfo;

/// Ids of the clients that read a key.
pub(crate) type Readers = SmallVec<[u64; 2]>;

/// The keys of one shard that somebody read, in any database: a name that exists in several is told for all of them.
pub(crate) type Tracked = HashMap<Box<[u8]>, Readers>;

/// How a client tracks: bits of [`ClientInfo::tracking`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(pub(crate) u32);

#[expect(missing_docs, reason = "named after the words of CLIENT TRACKING")]
impl Mode {
    pub const OFF: Self = Self(0);
    pub const ON: Self = Self(1);
    pub const BCAST: Self = Self(1 << 1);
    pub const OPTIN: Self = Self(1 << 2);
    pub const OPTOUT: Self = Self(1 << 3);
    pub const NOLOOP: Self = Self(1 << 4);
    /// CLIENT CACHING was said for the next command.
    pub const CACHING: Self = Self(1 << 5);
    /// The client that messages are redirected to is gone.
    pub const BROKEN: Self = Self(1 << 6);

    /// Whether every mark of `other` is set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The union.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether what the next command reads is remembered.
    const fn remembers(self) -> bool {
        self.has(Self::ON)
            && !self.has(Self::BCAST)
            && (!self.has(Self::OPTIN) || self.has(Self::CACHING))
            && !(self.has(Self::OPTOUT) && self.has(Self::CACHING))
    }
}

/// Everybody who tracks.
#[derive(Debug, Default)]
pub struct Tracking {
    clients: Mutex<BTreeMap<u64, Arc<ClientInfo>>>,
    prefixes: Mutex<BTreeMap<Box<[u8]>, BTreeSet<u64>>>,
    active: AtomicUsize,
    prefix_count: AtomicUsize,
    /// Keys in the tables of all shards.
    pub(crate) keys: AtomicUsize,
}

/// Keys that changed in a unit, until those who may have cached them are told.
#[derive(Debug, Default)]
pub(crate) struct Stale {
    /// Somebody tracks.
    pub(crate) active: bool,
    /// Somebody wants to hear of keys without having read them.
    pub(crate) broadcast: bool,
    keys: Vec<StaleKey>,
    /// Keys whose readers were told.
    told: usize,
    /// A database was emptied; the number of keys that were in the tables.
    flushed: Option<usize>,
}

#[derive(Debug)]
struct StaleKey {
    key: Box<[u8]>,
    readers: Readers,
    /// Changed by the running command itself, not by the end of its time.
    by_command: bool,
}

impl Stale {
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.flushed.is_none()
    }

    /// Notes a change of a key in a shard's table.
    pub(crate) fn note(&mut self, tracked: &mut Tracked, key: &[u8], by_command: bool) {
        let readers = if tracked.is_empty() { None } else { tracked.remove(key) };
        if readers.is_some() || self.broadcast {
            self.keys.push(StaleKey { key: key.into(), readers: readers.unwrap_or_default(), by_command });
        }
    }

    /// Notes that everything in a shard may have changed.
    pub(crate) fn note_flush(&mut self, tracked: &mut Tracked) {
        *self.flushed.get_or_insert(0) += tracked.len();
        *tracked = Tracked::new();
    }
}

impl Tracking {
    /// Whether anybody tracks, and whether anybody broadcasts.
    #[inline]
    pub(crate) fn state(&self) -> (bool, bool) {
        (self.active.load(Relaxed) > 0, self.prefix_count.load(Relaxed) > 0)
    }

    /// Lets a client track. Prefixes add to those it has.
    pub(crate) fn enable(&self, client: &Arc<ClientInfo>, mode: Mode, redirect: u64, prefixes: &[Box<[u8]>]) {
        client.tracking.store(mode.with(Mode::ON).0, Relaxed);
        client.redirect.store(redirect, Relaxed);
        let mut table = self.prefixes.lock();
        let mut mine = client.prefixes.lock();
        for prefix in prefixes {
            if mine.insert(prefix.clone()) {
                client.held_bytes.fetch_add(ClientInfo::bytes_of_name(prefix), Relaxed);
            }
            table.entry(prefix.clone()).or_default().insert(client.id);
        }
        self.prefix_count.store(table.len(), Relaxed);
        drop((table, mine));
        let mut clients = self.clients.lock();
        clients.insert(client.id, Arc::clone(client));
        self.active.store(clients.len(), Relaxed);
    }

    /// Lets a client track no more.
    pub(crate) fn disable(&self, client: &ClientInfo) {
        if !client.tracking_mode().has(Mode::ON) {
            return;
        }
        client.tracking.store(0, Relaxed);
        client.redirect.store(0, Relaxed);
        let mut table = self.prefixes.lock();
        for prefix in std::mem::take(&mut *client.prefixes.lock()) {
            client.held_bytes.fetch_sub(ClientInfo::bytes_of_name(&prefix), Relaxed);
            if let Some(ids) = table.get_mut(&prefix) {
                ids.remove(&client.id);
                if ids.is_empty() {
                    table.remove(&prefix);
                }
            }
        }
        self.prefix_count.store(table.len(), Relaxed);
        drop(table);
        let mut clients = self.clients.lock();
        clients.remove(&client.id);
        self.active.store(clients.len(), Relaxed);
    }

    /// Clients that track.
    pub(crate) fn clients(&self) -> usize {
        self.active.load(Relaxed)
    }

    /// Prefixes that are broadcast.
    pub(crate) fn prefixes(&self) -> usize {
        self.prefix_count.load(Relaxed)
    }

    fn client(&self, id: u64) -> Option<Arc<ClientInfo>> {
        self.clients.lock().get(&id).cloned()
    }
}

/// Remembers what a command reads, if the client asked for it.
pub(crate) fn remember(ctx: &mut Ctx<'_>, entry: &Entry, argv: Argv<'_>) {
    let max_keys = ctx.engine.config.tracking_table_max_keys();
    for at in entry.key_positions(argv) {
        let key = ctx.ks.key(argv.at(at));
        if ctx.ks.track(&key, ctx.session.shared.id) {
            let keys = ctx.engine.tracking.keys.fetch_add(1, Relaxed) + 1;
            if max_keys > 0 && keys > max_keys {
                ctx.ks.forget_tracked(key.shard, 1);
            }
        }
    }
}

/// Whether what the session's next command reads is to be remembered.
#[inline]
pub(crate) fn remembers(client: &ClientInfo) -> bool {
    client.tracking_mode().remembers()
}

/// CLIENT CACHING holds for one command, known or not, or for the transaction it stands in.
#[inline]
pub(crate) fn end_caching(ctx: &mut Ctx<'_>, entry: Option<&Entry>) {
    let client = &ctx.session.shared;
    let over = ctx.session.multi.is_none() && !ctx.ks.in_transaction;
    if client.tracking_mode().has(Mode::CACHING)
        && over
        && !entry.is_some_and(|entry| entry.full_name.starts_with("client|"))
    {
        client.tracking.fetch_and(!Mode::CACHING.0, Relaxed);
    }
}

impl Keyspace<'_> {
    /// Notes a reader of a key; `true` when the key is new in the table.
    fn track(&mut self, key: &Key<'_>, id: u64) -> bool {
        if self.locked() & key.shard_set() == 0 {
            return false;
        }
        let tracked = &mut self.shard_mut(key.shard).tracked;
        if let Some(readers) = tracked.get_mut(key.name) {
            if !readers.contains(&id) {
                readers.push(id);
            }
            return false;
        }
        tracked.insert(key.name.into(), SmallVec::from_slice(&[id]));
        true
    }

    /// Throws up to `count` keys out of a shard's table; they count as changed.
    fn forget_tracked(&mut self, shard: usize, count: usize) {
        for _ in 0..count {
            let Some(key) = self.shard_mut(shard).tracked.keys().next().cloned() else { return };
            let readers = self.shard_mut(shard).tracked.remove(&key).unwrap_or_default();
            self.stale.keys.push(StaleKey { key, readers, by_command: false });
        }
    }
}

/// Keys thrown out of a shard's table under one hold of its lock.
const FORGOTTEN_PER_HOLD: usize = 128;

impl Engine {
    /// Brings the tables of readers below their limit, and empties them when nobody is left who tracks. For the
    /// periodic work; takes the shards' locks one after the other.
    pub fn trim_tracking(&self, now_ms: i64) {
        let limit = match (self.tracking.clients(), self.config.tracking_table_max_keys()) {
            (0, _) => 0,
            (_, 0) => return,
            (_, limit) => limit,
        };
        for shard in 0..SHARDS {
            let over = self.tracking.keys.load(Relaxed).saturating_sub(limit);
            if over == 0 {
                return;
            }
            let mut effects = Effects::default();
            let mut ks = self.lock(1 << shard, &mut effects, now_ms);
            ks.forget_tracked(shard, over.min(FORGOTTEN_PER_HOLD));
            self.announce(&mut ks, Sender { id: 0, now_ms });
        }
    }

    /// Readers in the tables of all shards; all shards must be locked.
    pub(crate) fn tracked_items(&self, ks: &mut Keyspace<'_>) -> usize {
        (0..SHARDS).map(|shard| ks.shard_mut(shard).tracked.values().map(SmallVec::len).sum::<usize>()).sum()
    }

    /// Tells readers of keys that changed; and, when the unit is over, those who broadcast.
    pub(crate) fn tell_stale(&self, stale: &mut Stale, from: Sender, unit_is_over: bool) {
        if let Some(keys) = stale.flushed.take() {
            self.tracking.keys.fetch_sub(keys, Relaxed);
            self.tell_flush(from);
        }
        for stale_key in &stale.keys[stale.told..] {
            if !stale_key.readers.is_empty() {
                self.tracking.keys.fetch_sub(1, Relaxed);
            }
            for client in stale_key.readers.iter().filter_map(|id| self.tracking.client(*id)) {
                let mode = client.tracking_mode();
                // Whoever finds that a key's time is over knows it as well.
                let own = client.id == from.id && mode.has(Mode::NOLOOP);
                if mode.has(Mode::ON) && !mode.has(Mode::BCAST) && !own {
                    self.tell_keys(&client, from, Some(&[&stale_key.key]));
                }
            }
        }
        stale.told = stale.keys.len();
        if unit_is_over {
            if stale.broadcast {
                self.broadcast(&stale.keys, from);
            }
            stale.keys.clear();
            stale.told = 0;
        }
    }

    /// Tells everybody who tracks to forget everything.
    pub(crate) fn tell_flush(&self, from: Sender) {
        let clients: Vec<_> = self.tracking.clients.lock().values().cloned().collect();
        clients.iter().for_each(|client| self.tell_keys(client, from, None));
    }

    fn broadcast(&self, keys: &[StaleKey], from: Sender) {
        let mut messages: Vec<(u64, Vec<&[u8]>)> = Vec::new();
        for (prefix, ids) in self.tracking.prefixes.lock().iter() {
            // What happened to a key last decides whose change it is.
            let below: BTreeMap<&[u8], bool> =
                keys.iter().filter(|k| k.key.starts_with(prefix)).map(|k| (&*k.key, k.by_command)).collect();
            let all: Vec<&[u8]> = below.keys().copied().collect();
            for id in ids {
                let quiet = *id == from.id
                    && self.tracking.client(*id).is_some_and(|client| client.tracking_mode().has(Mode::NOLOOP));
                let others = || below.iter().filter(|(_, own)| !**own).map(|(key, _)| *key).collect();
                messages.push((*id, if quiet { others() } else { all.clone() }));
            }
        }
        for (id, keys) in messages.iter().filter(|(_, keys)| !keys.is_empty()) {
            if let Some(client) = self.tracking.client(*id) {
                self.tell_keys(&client, from, Some(keys));
            }
        }
    }

    /// Sends a client the keys to forget, `None` for all; to the client it redirects to, if it does.
    fn tell_keys(&self, client: &ClientInfo, from: Sender, keys: Option<&[&[u8]]>) {
        let redirect = client.redirect.load(Relaxed);
        let elsewhere = if redirect == 0 { None } else { self.clients.lock().get(&redirect).cloned() };
        if redirect != 0 && elsewhere.is_none() {
            client.tracking.fetch_or(Mode::BROKEN.0, Relaxed);
            if client.mailbox.protocol() == Protocol::Resp3 {
                self.push(
                    client,
                    from,
                    &message(Protocol::Resp3, |reply| {
                        reply.push(2);
                        reply.bulk(b"tracking-redir-broken");
                        reply.integer(redirect as i64);
                    }),
                );
            }
            return;
        }
        let target = elsewhere.as_deref().unwrap_or(client);
        let protocol = target.mailbox.protocol();
        let write = |reply: &mut Encoder<'_>| {
            if protocol == Protocol::Resp3 {
                reply.push(2);
                reply.bulk(b"invalidate");
            } else {
                reply.array(3);
                reply.bulk(b"message");
                reply.bulk(b"__redis__:invalidate");
            }
            match keys {
                Some(keys) => {
                    reply.array(keys.len());
                    keys.iter().for_each(|key| reply.bulk(key));
                }
                None => reply.null(),
            }
        };
        // A client that speaks RESP2 can be told only where it subscribed, and then only on behalf of another.
        if protocol == Protocol::Resp3 || elsewhere.is_some() && target.is_subscriber() {
            self.push(target, from, &message(protocol, write));
        }
    }
}

fn message(protocol: Protocol, write: impl FnOnce(&mut Encoder<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut Encoder::new(&mut out, protocol));
    out
}
