//! The one ordered stream of this instance: what turns append, what replicas read.
//!
//! Bytes of the stream are RESP commands; SELECT stands before a command of another database than the one before it,
//! and a unit of several commands is wrapped in MULTI and EXEC. While this instance follows a primary, the primary's
//! bytes are taken over as they are and its own turns append nothing, so that offsets mean the same everywhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use quiver_engine::Engine;
use quiver_engine::effects::{Effects, Sink};
use quiver_engine::session::ReplicaInfo;
use quiver_replication::{Backlog, History, Resume};
use tokio::sync::watch;

use crate::clock::random_id;
use crate::log::Log;

/// The stream and who reads it.
#[derive(Debug)]
pub(crate) struct Stream {
    state: Mutex<State>,
    grew: watch::Sender<u64>,
    replicas: Mutex<BTreeMap<u64, Replica>>,
    log: Arc<Log>,
}

#[derive(Debug)]
struct State {
    history: History,
    backlog: Option<Backlog>,
    /// Offset while there is no backlog.
    offset: u64,
    /// Database of the last command in the stream.
    db: Option<u32>,
    /// A primary writes the stream.
    following: bool,
    /// Grows when the bytes that readers know are no longer this stream's.
    epoch: u64,
    scratch: Vec<u8>,
}

/// A replica being fed, as ROLE and INFO show it.
#[derive(Clone, Debug)]
pub(crate) struct Replica {
    pub(crate) ip: String,
    pub(crate) port: u16,
    pub(crate) state: &'static str,
    pub(crate) acknowledged: u64,
    /// How far its log on disk reaches, if it has one.
    pub(crate) on_disk: Option<u64>,
    pub(crate) acknowledged_ms: i64,
}

/// A reader's place in the stream; keeps the bytes from there on, within the limit, while it lives.
#[derive(Debug)]
pub(crate) struct Reader {
    stream: Arc<Stream>,
    pub(crate) offset: u64,
    epoch: u64,
    token: u64,
}

/// What INFO replication says of the stream.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) history: History,
    pub(crate) offset: u64,
    /// Size, first offset, length.
    pub(crate) backlog: Option<(usize, u64, usize)>,
}

impl Stream {
    pub(crate) fn new(log: Arc<Log>) -> Self {
        let state = State {
            history: History::new(random_id()),
            backlog: None,
            offset: 0,
            db: None,
            following: false,
            epoch: 0,
            scratch: Vec::new(),
        };
        Self { state: Mutex::new(state), grew: watch::Sender::new(0), replicas: Mutex::new(BTreeMap::new()), log }
    }

    /// Begins to remember the stream. Before that nobody can read it.
    pub(crate) fn remember(&self, capacity: usize, limit: usize) {
        let mut state = self.state.lock();
        match &mut state.backlog {
            Some(backlog) => backlog.set_capacity(capacity, limit),
            None => state.backlog = Some(Backlog::new(state.offset, capacity, limit)),
        }
    }

    /// Where a full synchronisation taken at this moment belongs: id and offset, and a reader from there on. Called
    /// under all shard locks. The next unit says its database, because the replica cannot know it.
    pub(crate) fn cut(self: &Arc<Self>) -> (String, Reader) {
        let mut state = self.state.lock();
        state.db = None;
        let (epoch, offset) = (state.epoch, state.end());
        let token = state.backlog.as_mut().map_or(0, |backlog| backlog.pin(offset));
        (state.history.id.clone(), Reader { stream: Arc::clone(self), offset, epoch, token })
    }

    /// A reader for a replica that has everything before `next` of the stream `id`; `None` when it must start again.
    pub(crate) fn resume(self: &Arc<Self>, id: &str, next: u64) -> Option<(String, Reader)> {
        let mut state = self.state.lock();
        let held = state.backlog.as_ref().map(|backlog| (backlog.start(), backlog.end()));
        let Resume::From(offset) = state.history.resume(id, next, held) else { return None };
        let token = state.backlog.as_mut()?.pin(offset);
        let id = state.history.id.clone();
        Some((id, Reader { stream: Arc::clone(self), offset, epoch: state.epoch, token }))
    }

    /// Appends bytes of the primary's stream, unchanged.
    pub(crate) fn append_raw(&self, bytes: &[u8]) {
        let mut state = self.state.lock();
        state.append(bytes);
        let end = state.end();
        self.log.note_offset(end);
        drop(state);
        self.grew.send_replace(end);
    }

    /// Keeps replicas and their links awake.
    pub(crate) fn ping(&self) {
        self.append_own(b"*1\r\n$4\r\nPING\r\n");
    }

    /// Asks the replicas to say how far they are.
    pub(crate) fn ask_acks(&self) {
        self.append_own(b"*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n");
    }

    /// Appends a command that changes nothing, if anybody reads the stream and it is written here.
    fn append_own(&self, command: &[u8]) {
        let mut state = self.state.lock();
        if !state.following && state.backlog.is_some() {
            state.append(command);
            let end = state.end();
            self.log.note_offset(end);
            drop(state);
            self.grew.send_replace(end);
        }
    }

    /// A primary writes the stream from now on.
    pub(crate) fn follow(&self) {
        self.state.lock().following = true;
    }

    /// This instance writes the stream from now on, under an id of its own.
    pub(crate) fn promote(&self) {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.following, false) {
            let end = state.end();
            state.history.promote(random_id(), end);
            state.db = None;
        }
    }

    /// Takes over another stream at a place where this instance has just loaded its data.
    pub(crate) fn adopt(&self, id: String, offset: u64) {
        let mut state = self.state.lock();
        state.history.adopt(id);
        state.offset = offset;
        state.epoch += 1;
        if let Some(backlog) = &mut state.backlog {
            backlog.reset(offset);
        }
        drop(state);
        self.grew.send_replace(offset);
    }

    /// The primary goes on under a new id.
    pub(crate) fn rename(&self, id: String) {
        let mut state = self.state.lock();
        if state.history.id != id {
            let end = state.end();
            state.history.promote(id, end);
        }
    }

    /// A new id that continues no other.
    pub(crate) fn renew(&self, id: String) {
        self.state.lock().history.adopt(id);
    }

    /// Id and offset, to go on from with a primary.
    pub(crate) fn position(&self) -> (String, u64) {
        let state = self.state.lock();
        (state.history.id.clone(), state.end())
    }

    pub(crate) fn facts(&self) -> Facts {
        let state = self.state.lock();
        let backlog = state.backlog.as_ref().map(|b| (b.capacity(), b.start(), b.len()));
        Facts { history: state.history.clone(), offset: state.end(), backlog }
    }

    /// Turns yield no effects any more if nobody reads them.
    pub(crate) fn release_sink(&self, engine: &Engine) {
        if self.state.lock().backlog.is_none() {
            engine.set_sink(None, || ());
        }
    }

    // --- replicas -----------------------------------------------------------------------------------------------

    pub(crate) fn add_replica(&self, client_id: u64, peer: &str, info: &ReplicaInfo, now_ms: i64) {
        let peer_ip = peer.rsplit_once(':').map_or(peer, |(ip, _)| ip);
        let ip = info.ip_address.clone().unwrap_or_else(|| peer_ip.to_owned());
        let replica = Replica {
            ip,
            port: info.listening_port,
            state: "wait_bgsave",
            acknowledged: 0,
            on_disk: None,
            acknowledged_ms: now_ms,
        };
        self.replicas.lock().insert(client_id, replica);
    }

    pub(crate) fn update_replica(&self, client_id: u64, update: impl FnOnce(&mut Replica)) {
        if let Some(replica) = self.replicas.lock().get_mut(&client_id) {
            update(replica);
        }
    }

    pub(crate) fn remove_replica(&self, client_id: u64) {
        self.replicas.lock().remove(&client_id);
    }

    pub(crate) fn replicas(&self) -> Vec<Replica> {
        self.replicas.lock().values().cloned().collect()
    }
}

impl State {
    fn end(&self) -> u64 {
        self.backlog.as_ref().map_or(self.offset, Backlog::end)
    }

    fn append(&mut self, bytes: &[u8]) {
        match &mut self.backlog {
            Some(backlog) => backlog.append(bytes),
            None => self.offset += bytes.len() as u64,
        }
    }
}

impl Sink for Stream {
    fn append(&self, effects: &Effects) {
        let mut state = self.state.lock();
        if state.following {
            // The log has what is done here, whoever wrote the stream.
            return self.log.append(effects, state.end());
        }
        if state.backlog.is_none() {
            // Nobody reads it, but it goes on.
            state.offset += effects.len_bytes() as u64;
        } else {
            let State { scratch, db, .. } = &mut *state;
            let mut bytes = std::mem::take(scratch);
            bytes.clear();
            effects.encode(db, &mut bytes);
            state.append(&bytes);
            state.scratch = bytes;
        }
        let end = state.end();
        self.log.append(effects, end);
        drop(state);
        self.grew.send_replace(end);
    }
}

impl Reader {
    /// Copies up to `max` bytes behind the place reached and moves on; `false` when they are gone.
    pub(crate) fn read(&mut self, max: usize, out: &mut Vec<u8>) -> bool {
        let mut state = self.stream.state.lock();
        if state.epoch != self.epoch {
            return false;
        }
        let Some(backlog) = &mut state.backlog else { return false };
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
        self.stream.grew.subscribe()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(backlog) = &mut self.stream.state.lock().backlog {
            backlog.unpin(self.token);
        }
    }
}
