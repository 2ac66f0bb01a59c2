//! Everything a server shares between its threads, and the keyspace locks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use quiver_structures::{Locked, Stripes};

use crate::acl::Users;
use crate::blocking::Waiter;
use crate::config::Config;
use crate::effects::{Effects, Sink};
use crate::eviction::{Evictor, Gauge, Stamps, Told};
use crate::functions::Functions;
use crate::host::{Host, NoHost};
use crate::hotkeys::HotKeys;
use crate::keyspace::{ALL_SHARDS, Garbage, Keyspace, SHARDS, Shard};
use crate::latency::Monitor;
use crate::loan::Loans;
use crate::mailbox::Sender;
use crate::monitor::Monitors;
use crate::notify::Class;
use crate::pubsub::PubSub;
use crate::registry::{Registry, registry};
use crate::rng::Rng;
use crate::scripting::Scripts;
use crate::search::Search;
use crate::session::ClientInfo;
use crate::slowlog::SlowLog;
use crate::stats::{Stats, ThreadStats};
use crate::tracking::Tracking;

/// The engine: shards behind their locks, configuration, statistics, clients, and the host around it.
pub struct Engine {
    pub(crate) stripes: Stripes<Shard>,
    /// Parameters.
    pub config: Config,
    /// Counters.
    pub stats: Stats,
    /// The command table.
    pub registry: &'static Registry,
    /// Connected clients by id.
    pub clients: Mutex<BTreeMap<u64, Arc<ClientInfo>>>,
    /// Who may do what.
    pub users: Users,
    /// What was slow.
    pub slowlog: SlowLog,
    /// What took too long, by kind of event.
    pub latency: Monitor,
    /// The search for hot keys.
    pub hotkeys: HotKeys,
    /// Function libraries.
    pub functions: Functions,
    /// Scripts.
    pub scripts: Scripts,
    /// Search indexes.
    pub search: Search,
    /// State that every command checks.
    pub state: State,
    /// Memory in use.
    pub memory: Gauge,
    /// Who listens to which channel.
    pub pubsub: PubSub,
    /// Who is told of changed keys.
    pub tracking: Tracking,
    /// Who sees every command.
    pub monitors: Monitors,
    host: Box<dyn Host>,
    sink: RwLock<Option<Arc<dyn Sink>>>,
    has_sink: AtomicBool,
    cut_running: AtomicBool,
    /// Keys that long commands work on elsewhere.
    pub(crate) loans: Loans,
    /// Clients that wait for replicas.
    pub(crate) ack_waiters: Mutex<Vec<Arc<Waiter>>>,
}

/// Elements of an evicted value up to which it is freed at once: some tens of microseconds.
const EVICTED_UNITS_HERE: usize = 1024;

/// State of the instance that decides which commands are allowed.
#[derive(Debug, Default)]
pub struct State {
    /// This instance follows a primary.
    pub is_replica: AtomicBool,
    /// The link to the primary is up.
    pub link_up: AtomicBool,
    /// A data set is being loaded.
    pub loading: AtomicBool,
    /// The last background snapshot failed.
    pub save_failed: AtomicBool,
    /// The append-only log cannot be written.
    pub log_failed: AtomicBool,
    /// Why, in the system's words.
    pub log_failure: Mutex<String>,
    /// The last snapshot before the end is being written: a write that is answered now would not be in it.
    pub ending: AtomicBool,
    /// FLUSHALL has emptied everything: the snapshot on disk is to follow soon.
    pub flushed: AtomicBool,
    /// Memory is over the limit.
    pub over_memory: AtomicBool,
    /// Unix time of the start, ms.
    pub started_ms: AtomicI64,
    /// Last client id given.
    pub last_client_id: AtomicU64,
    /// Active expiry may run (DEBUG SET-ACTIVE-EXPIRE).
    pub active_expire_off: AtomicBool,
    /// Length from which elements of lists get a node of their own; 0 for the usual rule.
    pub quicklist_packed_threshold: AtomicUsize,
    /// CLIENT PAUSE holds commands back until this unix time, ms.
    pub paused_until_ms: AtomicI64,
    /// It holds all of them back, not only those that write.
    pub paused_all: AtomicBool,
    /// RESTORE takes payloads whatever their checksum (DEBUG SET-SKIP-CHECKSUM-VALIDATION).
    pub skip_checksums: AtomicBool,
    /// Scripts may call what tests look at with ([`crate::scripting`], DEBUG SET-DISABLE-DENY-SCRIPTS).
    pub scripts_may_look: AtomicBool,
    /// A failover holds back what writes.
    pub failing_over: AtomicBool,
    /// Fewer replicas keep up than `min-replicas-to-write` asks for.
    pub few_replicas: AtomicBool,
    /// Periodic work rests (DEBUG PAUSE-CRON).
    pub cron_paused: AtomicBool,
}

/// What one thread brings to the commands it runs.
#[derive(Debug)]
pub struct Worker {
    /// Randomness of this thread.
    pub rng: Rng,
    /// This thread's counters.
    pub stats: Arc<ThreadStats>,
    /// Monotonic time in ns, for durations only.
    pub clock_ns: fn() -> u64,
    pub(crate) effects: Effects,
    pub(crate) plan: Vec<crate::dispatch::Step>,
    pub(crate) ran: Vec<usize>,
    /// Bytes the running thread allocated less those it freed since the last call, by the allocator's own counters.
    pub take_net_bytes: fn() -> i64,
    pub(crate) told: Told,
    pub(crate) evictor: Evictor,
}

/// Why something large is freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freeing {
    /// A command or its expiry removed it.
    Removed,
    /// It was evicted: there is need of its memory.
    Evicted,
}

impl Engine {
    /// An empty engine.
    pub fn new(config: Config, host: Box<dyn Host>) -> Self {
        let users = Users::default();
        users.set_default_password(&config.get("requirepass"));
        Self {
            stripes: Stripes::new((0..SHARDS).map(|_| Shard::default())),
            config,
            stats: Stats::default(),
            registry: registry(),
            clients: Mutex::new(BTreeMap::new()),
            users,
            hotkeys: HotKeys::default(),
            slowlog: SlowLog::default(),
            latency: Monitor::default(),
            functions: Functions::default(),
            scripts: Scripts::default(),
            search: Search::default(),
            state: State::default(),
            memory: Gauge::default(),
            pubsub: PubSub::default(),
            tracking: Tracking::default(),
            monitors: Monitors::default(),
            host,
            sink: RwLock::new(None),
            has_sink: AtomicBool::new(false),
            cut_running: AtomicBool::new(false),
            loans: Loans::default(),
            ack_waiters: Mutex::new(Vec::new()),
        }
    }

    /// An engine without disk or links, for tests and tools.
    pub fn standalone() -> Self {
        Self::new(Config::default(), Box::new(NoHost))
    }

    /// A parameter changed: what follows from it inside the engine.
    pub fn config_changed(&self, name: &str) {
        if name == "requirepass" {
            self.users.set_default_password(&self.config.get(name));
        }
    }

    /// The instance around the engine.
    pub fn host(&self) -> &dyn Host {
        self.host.as_ref()
    }

    /// A worker for one more thread.
    pub fn worker(&self, seed: u64, clock_ns: fn() -> u64) -> Worker {
        Worker {
            rng: Rng::new(seed),
            stats: self.stats.register(),
            clock_ns,
            effects: Effects::default(),
            plan: Vec::new(),
            ran: Vec::new(),
            take_net_bytes: || 0,
            told: Told::default(),
            evictor: Evictor::default(),
        }
    }

    /// Locks a set of shards; for all of them, when nothing in them is lent.
    pub fn lock<'a>(&'a self, mask: u64, effects: &'a mut Effects, now_ms: i64) -> Keyspace<'a> {
        let mut shards = self.stripes.lock(mask);
        while mask == ALL_SHARDS && self.loans.any() {
            drop(shards);
            self.loans.wait_for_all();
            shards = self.stripes.lock(mask);
        }
        self.view(shards, effects, now_ms)
    }

    /// [`Self::lock`] for a thread that has others to serve: gives up when a lock is held for as long as `patience`.
    pub(crate) fn lock_within<'a>(
        &'a self,
        mask: u64,
        effects: &'a mut Effects,
        now_ms: i64,
        patience: Duration,
    ) -> Option<Keyspace<'a>> {
        let shards = self.stripes.lock_within(mask, patience)?;
        if mask == ALL_SHARDS && self.loans.any() {
            self.loans.refuse_for_a_while(now_ms);
            return None;
        }
        Some(self.view(shards, effects, now_ms))
    }

    pub(crate) fn view<'a>(&'a self, shards: Locked<'a, Shard>, effects: &'a mut Effects, now_ms: i64) -> Keyspace<'a> {
        self.view_of(&self.stripes, shards, effects, now_ms)
    }

    /// A view of shards, be they the engine's or lent ones.
    pub(crate) fn view_of<'a>(
        &'a self,
        stripes: &'a Stripes<Shard>,
        shards: Locked<'a, Shard>,
        effects: &'a mut Effects,
        now_ms: i64,
    ) -> Keyspace<'a> {
        let stamps = Stamps::new(now_ms, &self.config);
        let mut keyspace = Keyspace::new(stripes, shards, effects, now_ms, stamps);
        self.listen(&mut keyspace);
        keyspace.feed(&self.search);
        keyspace
    }

    /// Frees elsewhere what is large; no lock may be held.
    pub(crate) fn free_later(&self, mut garbage: Vec<Garbage>, freeing: Freeing) {
        if freeing == Freeing::Evicted {
            // The sooner its memory is back the less has to go after it.
            garbage.retain(|value| value.units() > EVICTED_UNITS_HERE);
        }
        if !garbage.is_empty() {
            self.host.free_later(garbage, freeing);
        }
    }

    /// Lets a view note what somebody wants to hear of at this moment.
    pub(crate) fn listen(&self, keyspace: &mut Keyspace<'_>) {
        let asked = Class::from_number(self.config.notify_keyspace_events());
        keyspace.notify_classes = asked.wanted();
        keyspace.notify_subkeys = asked.wants_subkeys();
        (keyspace.stale.active, keyspace.stale.broadcast) = self.tracking.state();
    }

    /// Tells whoever asked of the events and changed keys of a command. Whoever changes the keyspace outside of a
    /// command's turn calls this before giving the locks back.
    pub fn announce(&self, keyspace: &mut Keyspace<'_>, from: Sender) {
        self.tell_stale(&mut keyspace.stale, from, !keyspace.in_transaction);
        keyspace.events.drain(..).for_each(|event| self.publish_event(&event, from));
    }

    /// Lets the stream of effects flow into `sink`, or nowhere. All shards are locked for the change, so the sink sees
    /// every turn that ends later and none that ended before; `at_change` runs at that moment.
    pub fn set_sink<T>(&self, sink: Option<Arc<dyn Sink>>, at_change: impl FnOnce() -> T) -> T {
        let mut effects = Effects::default();
        let keyspace = self.lock(ALL_SHARDS, &mut effects, 0);
        self.has_sink.store(sink.is_some(), Ordering::Release);
        *self.sink.write() = sink;
        let noted = at_change();
        drop(keyspace);
        noted
    }

    /// Whether anybody listens to the stream. Stable while any shard is locked.
    pub(crate) fn has_sink(&self) -> bool {
        self.has_sink.load(Ordering::Acquire)
    }

    /// Refuses writes because the append-only log cannot be written, and says why; `None`: it can.
    pub fn refuse_writes(&self, why: Option<String>) {
        let failed = why.is_some();
        *self.state.log_failure.lock() = why.unwrap_or_default();
        self.state.log_failed.store(failed, Ordering::Release);
    }

    /// Hands finished units to the sink; the caller holds the locks of what they changed.
    pub(crate) fn deliver(&self, effects: &Effects) {
        if effects.is_empty() {
            return;
        }
        if let Some(sink) = self.sink.read().as_ref() {
            sink.append(effects);
        }
    }

    pub(crate) fn claim_cut(&self) -> bool {
        !self.cut_running.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn end_cut(&self) {
        self.cut_running.store(false, Ordering::Release);
    }

    /// Whether a snapshot is being taken.
    pub fn cut_running(&self) -> bool {
        self.cut_running.load(Ordering::Acquire)
    }

    /// Takes a new client in; `None` when `maxclients` is reached.
    pub fn connect(&self, addr: String, laddr: String, now_ms: i64) -> Option<Arc<ClientInfo>> {
        let mut clients = self.clients.lock();
        if clients.len() >= self.config.maxclients() {
            self.stats.connections_rejected.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.stats.connections_received.fetch_add(1, Ordering::Relaxed);
        let id = self.state.last_client_id.fetch_add(1, Ordering::Relaxed) + 1;
        let client = Arc::new(ClientInfo::new(id, addr, laddr, now_ms));
        *client.user.lock() = self.users.default_user();
        clients.insert(id, Arc::clone(&client));
        Some(client)
    }

    /// Takes the primary's end of a link into the list of clients. It counts against no limit.
    pub fn connect_primary(&self, addr: String, laddr: String, now_ms: i64) -> Arc<ClientInfo> {
        let id = self.state.last_client_id.fetch_add(1, Ordering::Relaxed) + 1;
        let client = Arc::new(ClientInfo::new(id, addr, laddr, now_ms));
        {
            let mut texts = client.texts.lock();
            (texts.flags, texts.user) = ("M".to_owned(), "(superuser)".to_owned());
        }
        self.clients.lock().insert(id, Arc::clone(&client));
        client
    }

    /// Waits until every turn that runs now is over.
    pub fn barrier(&self) {
        let mut effects = Effects::default();
        drop(self.lock(ALL_SHARDS, &mut effects, 0));
    }

    /// A client is gone.
    pub fn disconnect(&self, id: u64) {
        let client = self.clients.lock().remove(&id);
        if let Some(client) = client {
            self.give_up_wait(&client);
            self.note_client_buffers(&client, 0);
            self.leave(&client);
        }
    }

    /// Ends everything that lets others send a client messages.
    pub(crate) fn leave(&self, client: &ClientInfo) {
        self.pubsub.leave(client);
        self.tracking.disable(client);
        self.monitors.leave(client);
    }
}
