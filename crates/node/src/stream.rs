//! The one ordered stream of this instance: what turns append, what replicas read.
//!
//! `quiver_replication::Stream` says what it is; here are its lock, those who wait for it to grow, and the replicas that
//! read it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use parking_lot::{Mutex, MutexGuard};
use quiver_engine::Engine;
use quiver_engine::effects::{Effects, Sink};
use quiver_engine::session::{ClientInfo, ReplicaInfo};
use quiver_replication::{History, Point, Stream as State};
use tokio::sync::watch;

use crate::clock::{now_ms, random_id};
use crate::log::Log;

/// The stream and who reads it.
#[derive(Debug)]
pub(crate) struct Stream {
    state: Mutex<State>,
    grew: watch::Sender<u64>,
    replicas: Mutex<BTreeMap<u64, Replica>>,
    log: Arc<Log>,
}

/// A replica being fed, as ROLE and INFO show it.
#[derive(Clone, Debug)]
pub(crate) struct Replica {
    pub(crate) client: Arc<ClientInfo>,
    pub(crate) ip: String,
    pub(crate) port: u16,
    pub(crate) state: &'static str,
    pub(crate) acknowledged: u64,
    /// How far its log on disk reaches, if it has one.
    pub(crate) on_disk: Option<u64>,
    /// When it was last heard of.
    pub(crate) heard_ms: i64,
    /// What its socket has taken of the stream; nothing before it is online.
    pub(crate) sent: Option<u64>,
    /// Since when more waits for it than the soft limit allows.
    pub(crate) over_soft_since_ms: Option<i64>,
}

impl Replica {
    pub(crate) fn is_online(&self) -> bool {
        self.state == "online"
    }

    /// Whole seconds since it was heard of.
    pub(crate) fn lag_s(&self, now_ms: i64) -> i64 {
        (now_ms - self.heard_ms).max(0) / 1000
    }
}

/// A reader's place in the stream; keeps the bytes from there on, within the limit, while it lives.
#[derive(Debug)]
pub(crate) struct Reader {
    stream: Arc<Stream>,
    pub(crate) offset: u64,
    generation: u64,
    token: u64,
}

/// What INFO replication says of the stream.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) history: History,
    pub(crate) offset: u64,
    /// Received behind that, of a transaction that is not complete.
    pub(crate) unfinished: u64,
    /// Size, first offset, length.
    pub(crate) backlog: Option<(usize, u64, usize)>,
}

impl Stream {
    pub(crate) fn new(log: Arc<Log>) -> Self {
        Self {
            state: Mutex::new(State::new(random_id())),
            grew: watch::Sender::new(0),
            replicas: Mutex::new(BTreeMap::new()),
            log,
        }
    }

    /// The state, for a moment. What changes ids or the side that writes is told to readers by [`Self::tell`].
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Changes the state and wakes whoever reads.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (changed, end) = {
            let mut state = self.state.lock();
            let changed = change(&mut state);
            (changed, state.end())
        };
        self.grew.send_replace(end);
        changed
    }

    /// Where a full synchronisation taken at this moment belongs, and a reader from there on. Called under all shard
    /// locks.
    pub(crate) fn cut(self: &Arc<Self>) -> (Point, Reader) {
        let mut state = self.state.lock();
        let point = state.cut();
        let reader = self.reader(&mut state, point.offset);
        (point, reader)
    }

    /// A reader for a replica that has everything before `next` of the stream `id`; `None` when it must start again.
    pub(crate) fn resume(self: &Arc<Self>, id: &str, next: u64) -> Option<(String, Reader)> {
        let mut state = self.state.lock();
        let offset = state.resume(id, next)?;
        let id = state.history().id.clone();
        let reader = self.reader(&mut state, offset);
        Some((id, reader))
    }

    fn reader(self: &Arc<Self>, state: &mut State, offset: u64) -> Reader {
        let token = state.backlog_mut().map_or(0, |backlog| backlog.pin(offset));
        Reader { stream: Arc::clone(self), offset, generation: state.generation(), token }
    }

    /// Where a snapshot stands that is taken at this moment, if the stream is one that anybody knows.
    pub(crate) fn point(&self) -> Option<Point> {
        let state = self.state.lock();
        state.backlog().map(|_| state.point())
    }

    /// Keeps replicas and their links awake.
    pub(crate) fn ping(&self) {
        self.append_own(&["PING"]);
    }

    /// Asks the replicas to say how far they are.
    pub(crate) fn ask_acks(&self) {
        self.append_own(&["REPLCONF", "GETACK", "*"]);
    }

    /// Appends a command that changes nothing, if anybody reads the stream and it is written here.
    fn append_own(&self, words: &[&str]) {
        let end = {
            let mut state = self.state.lock();
            if state.is_following() || state.backlog().is_none() {
                return;
            }
            state.write_note(words);
            self.log.note_offset(state.end());
            state.end()
        };
        self.grew.send_replace(end);
    }

    pub(crate) fn end(&self) -> u64 {
        self.state.lock().end()
    }

    /// Tells of growth and of other histories.
    pub(crate) fn growth(&self) -> watch::Receiver<u64> {
        self.grew.subscribe()
    }

    pub(crate) fn facts(&self) -> Facts {
        let state = self.state.lock();
        let backlog = state.backlog().map(|b| (b.capacity(), b.start(), b.len()));
        let unfinished = state.unfinished_len() as u64;
        Facts { history: state.history().clone(), offset: state.end(), unfinished, backlog }
    }

    /// Turns yield no effects any more if nobody reads them. The caller holds `starting`.
    pub(crate) fn release_sink(&self, engine: &Engine) {
        let remembered = self.state.lock().backlog().is_some();
        if !remembered && !self.log.is_on() {
            engine.set_sink(None, || ());
        }
    }

    // --- replicas -----------------------------------------------------------------------------------------------

    pub(crate) fn add_replica(&self, client: &Arc<ClientInfo>, info: &ReplicaInfo) {
        let peer = &client.addr;
        let peer_ip = peer.rsplit_once(':').map_or(peer.as_str(), |(ip, _)| ip);
        let ip = info.ip_address.clone().unwrap_or_else(|| peer_ip.to_owned());
        let replica = Replica {
            client: Arc::clone(client),
            ip,
            port: info.listening_port,
            state: "wait_bgsave",
            acknowledged: 0,
            on_disk: None,
            heard_ms: now_ms(),
            sent: None,
            over_soft_since_ms: None,
        };
        self.replicas.lock().insert(client.id, replica);
    }

    pub(crate) fn update_replica(&self, client_id: u64, update: impl FnOnce(&mut Replica)) {
        if let Some(replica) = self.replicas.lock().get_mut(&client_id) {
            update(replica);
        }
    }

    pub(crate) fn update_replicas(&self, mut update: impl FnMut(&mut Replica)) {
        self.replicas.lock().values_mut().for_each(&mut update);
    }

    pub(crate) fn remove_replica(&self, client_id: u64) {
        self.replicas.lock().remove(&client_id);
    }

    pub(crate) fn replicas(&self) -> Vec<Replica> {
        self.replicas.lock().values().cloned().collect()
    }

    pub(crate) fn replica_count(&self) -> usize {
        self.replicas.lock().len()
    }
}

impl Sink for Stream {
    fn append(&self, effects: &Effects) {
        let end = {
            let mut state = self.state.lock();
            match effects.received() {
                Some((bytes, behind)) if state.is_following() => state.take_over(bytes, behind.db, behind.whole),
                // The log has what is done here, whoever wrote the stream.
                _ if state.is_following() => {}
                // Nobody reads it, but it goes on.
                _ if state.backlog().is_none() => state.skip(effects.len_bytes() as u64),
                // What a former primary still had in hand when this instance was promoted is this instance's own.
                _ => effects.units().for_each(|unit| state.write_unit(unit)),
            }
            let end = state.end();
            if effects.len_bytes() > 0 {
                self.log.append(effects, end);
            } else {
                self.log.note_offset(end);
            }
            end
        };
        self.grew.send_replace(end);
    }
}

impl Reader {
    /// Copies up to `max` bytes behind the place reached and moves on; `false` when they are gone.
    pub(crate) fn read(&mut self, max: usize, out: &mut Vec<u8>) -> bool {
        let mut state = self.stream.state.lock();
        if state.generation() != self.generation {
            return false;
        }
        let Some(backlog) = state.backlog_mut() else { return false };
        let before = out.len();
        if !backlog.read(self.offset, max, out) {
            return false;
        }
        self.offset += (out.len() - before) as u64;
        backlog.move_pin(self.token, self.offset);
        true
    }

    /// Tells of growth.
    pub(crate) fn growth(&self) -> watch::Receiver<u64> {
        self.stream.growth()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(backlog) = self.stream.state.lock().backlog_mut() {
            backlog.unpin(self.token);
        }
    }
}

/// Whether a replica has held more of the stream back than its limits allow; the client is then to be closed.
pub(crate) fn is_too_slow(replica: &mut Replica, behind: u64, soft: u64, soft_s: u64, now_ms: i64) -> bool {
    if soft == 0 || behind < soft {
        replica.over_soft_since_ms = None;
        return false;
    }
    let since_ms = *replica.over_soft_since_ms.get_or_insert(now_ms);
    replica.client.output_bytes.store(behind, Relaxed);
    (now_ms - since_ms) / 1000 > soft_s as i64
}
