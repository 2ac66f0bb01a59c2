//! What the engine asks of its surroundings, answered by this instance.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use quiver_engine::engine::Freeing;
use quiver_engine::host::{Host, LazyFree, RoleReply, Unreached};
use quiver_engine::keyspace::Garbage;
use quiver_engine::session::ReplicaInfo;
use quiver_engine::{CommandError, Engine};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::clock::{now_ms, random_id};
use crate::elsewhere::Elsewhere;
use crate::freer::Freer;
use crate::memory::Memory;
use crate::oom_score::OomScore;
use crate::saver::Saver;
use crate::stream::{Replica, Stream};

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything that was to be saved is on disk.
    Clean,
    /// Asked to end although a save failed.
    Forced,
}

/// Listens where the configuration says by now; the reason why that is not possible.
pub type Rebind = dyn Fn() -> Result<(), &'static str> + Send + Sync;

/// What CONFIG SET says of addresses.
const NOT_BOUND: &str = "Failed to bind to specified addresses.";

/// What [`Rebind`] is kept in; it has nothing to show.
#[derive(Default)]
struct Listeners(OnceLock<Box<Rebind>>);

impl std::fmt::Debug for Listeners {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Listeners")
    }
}

/// The surroundings; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct NodeHost(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    engine: OnceLock<Weak<Engine>>,
    pub(crate) run_id: String,
    pub(crate) saver: Saver,
    exit: watch::Sender<Option<Exit>>,
    shutting_down: AtomicBool,
    pub(crate) freer: Freer,
    pub(crate) memory: Memory,
    started_ms: AtomicI64,
    pub(crate) stream: Arc<Stream>,
    following: watch::Sender<Option<Primary>>,
    link: LinkFacts,
    config_file: OnceLock<String>,
    listeners: Listeners,
    oom_score: OomScore,
    pub(crate) elsewhere: Elsewhere,
}

/// A primary to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Primary {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// What INFO says of the link to the primary.
#[derive(Debug, Default)]
struct LinkFacts {
    last_io_ms: AtomicI64,
    down_since_ms: AtomicI64,
    syncing: AtomicBool,
    /// The stream held here was once received from a primary, so one may be asked to go on with it.
    followed: AtomicBool,
}

impl std::ops::Deref for NodeHost {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl NodeHost {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            engine: OnceLock::new(),
            run_id: random_id(),
            saver: Saver::default(),
            exit: watch::Sender::new(None),
            shutting_down: AtomicBool::new(false),
            freer: Freer::default(),
            memory: Memory::default(),
            started_ms: AtomicI64::new(now_ms()),
            stream: Arc::new(Stream::new()),
            following: watch::Sender::new(None),
            link: LinkFacts::default(),
            config_file: OnceLock::new(),
            listeners: Listeners::default(),
            oom_score: OomScore::default(),
            elsewhere: Elsewhere::default(),
        }))
    }

    pub(crate) fn use_config_file(&self, path: &std::path::Path) {
        // The first one counts: a node is configured once.
        let _ = self.config_file.set(path.to_string_lossy().into_owned());
    }

    pub(crate) fn configure_process(&self, engine: &Engine) {
        if let Err(reason) = self.oom_score.apply(engine) {
            warn!("{reason}");
        }
    }

    pub(crate) fn on_rebind(&self, rebind: Box<Rebind>) {
        // The first one counts: a node has one set of listeners.
        let _ = self.listeners.0.set(rebind);
    }

    pub(crate) fn attach(&self, engine: &Arc<Engine>) {
        self.engine.set(Arc::downgrade(engine)).expect("a host serves one engine");
        self.freer.start(engine);
        engine.state.started_ms.store(now_ms(), Relaxed);
    }

    /// The engine, for background threads.
    pub(crate) fn engine(&self) -> Option<Arc<Engine>> {
        self.engine.get()?.upgrade()
    }

    pub(crate) fn load(&self, engine: &Engine) -> Result<(), String> {
        engine.state.loading.store(true, Relaxed);
        let loaded = self.saver.load(engine);
        engine.state.loading.store(false, Relaxed);
        loaded
    }

    pub(crate) async fn ended(&self) -> Exit {
        let mut exit = self.exit.subscribe();
        let ended = exit.wait_for(Option::is_some).await;
        ended.ok().and_then(|exit| *exit).unwrap_or(Exit::Clean)
    }

    /// Saves as asked and ends the process.
    pub(crate) fn shut_down(&self, engine: &Engine, save: Option<bool>, force: bool) -> Result<(), CommandError> {
        let failed = CommandError::text("ERR Errors trying to SHUTDOWN. Check logs.");
        if self.shutting_down.swap(true, Relaxed) {
            return Err(failed);
        }
        let wanted = save.unwrap_or_else(|| !engine.config.save_points().is_empty());
        engine.state.ending.store(wanted, Relaxed);
        let exit = match wanted.then(|| self.save_everything(engine)) {
            Some(Err(error)) if !force => {
                warn!("Error trying to save the DB, can't exit: {error}");
                engine.state.ending.store(false, Relaxed);
                self.shutting_down.store(false, Relaxed);
                return Err(failed);
            }
            Some(Err(error)) => {
                warn!("the last snapshot failed, ending all the same: {error}");
                Exit::Forced
            }
            Some(Ok(())) | None => Exit::Clean,
        };
        warn!("Quiver is now ready to exit, bye bye...");
        self.exit.send_replace(Some(exit));
        Ok(())
    }

    /// The last snapshot. Writes are refused by now, but one that was let in before may have run behind the cut.
    fn save_everything(&self, engine: &Engine) -> Result<(), String> {
        self.saver.give_up_background();
        self.saver.save(engine)?;
        if engine.stats.dirty() as i64 != engine.stats.dirty_at_save.load(Relaxed) {
            self.saver.save(engine)?;
        }
        Ok(())
    }

    /// The primary to follow, as it changes.
    pub(crate) fn following(&self) -> watch::Receiver<Option<Primary>> {
        self.following.subscribe()
    }

    pub(crate) fn note_link_io(&self) {
        self.link.last_io_ms.store(now_ms(), Relaxed);
    }

    pub(crate) fn note_link_down(&self) {
        self.link.syncing.store(false, Relaxed);
        self.link.down_since_ms.store(now_ms(), Relaxed);
    }

    pub(crate) fn note_sync(&self, running: bool) {
        self.link.syncing.store(running, Relaxed);
    }

    pub(crate) fn note_followed(&self) {
        self.link.followed.store(true, Relaxed);
    }

    pub(crate) fn has_followed(&self) -> bool {
        self.link.followed.load(Relaxed)
    }

    fn replication_info(&self, engine: &Engine, out: &mut String) {
        let facts = self.stream.facts();
        let primary = self.following.borrow().clone();
        match &primary {
            None => out.push_str("role:master\r\n"),
            Some(primary) => self.link_info(engine, primary, facts.offset, out),
        }
        let replicas = self.stream.replicas();
        let _ = write!(out, "connected_slaves:{}\r\n", replicas.len());
        for (number, replica) in replicas.iter().enumerate() {
            let lag = (now_ms() - replica.acknowledged_ms) / 1000;
            let _ = write!(
                out,
                "slave{number}:ip={},port={},state={},offset={},lag={lag}\r\n",
                replica.ip, replica.port, replica.state, replica.acknowledged,
            );
        }
        let (old, old_end) = match &facts.history.before {
            Some((id, end)) => (id.clone(), *end as i64 + 1),
            None => ("0".repeat(40), -1),
        };
        let configured = engine.config.repl_backlog_size();
        let (size, first, held) = facts.backlog.unwrap_or((configured, 0, 0));
        let _ = write!(
            out,
            "master_failover_state:no-failover\r\nmaster_replid:{}\r\nmaster_replid2:{old}\r\n\
             master_repl_offset:{}\r\nsecond_repl_offset:{old_end}\r\nrepl_backlog_active:{}\r\n\
             repl_backlog_size:{size}\r\nrepl_backlog_first_byte_offset:{}\r\nrepl_backlog_histlen:{held}\r\n",
            facts.history.id,
            facts.offset,
            u8::from(facts.backlog.is_some()),
            if facts.backlog.is_some() { first + 1 } else { 0 },
        );
    }

    fn link_info(&self, engine: &Engine, primary: &Primary, offset: u64, out: &mut String) {
        let up = engine.state.link_up.load(Relaxed);
        let since_s = |ms: i64| if ms == 0 { -1 } else { (now_ms() - ms) / 1000 };
        let _ = write!(
            out,
            "role:slave\r\nmaster_host:{}\r\nmaster_port:{}\r\nmaster_link_status:{}\r\n\
             master_last_io_seconds_ago:{}\r\nmaster_sync_in_progress:{}\r\nslave_read_repl_offset:{offset}\r\n\
             slave_repl_offset:{offset}\r\n",
            primary.host,
            primary.port,
            if up { "up" } else { "down" },
            if up { since_s(self.link.last_io_ms.load(Relaxed)) } else { -1 },
            u8::from(self.link.syncing.load(Relaxed)),
        );
        if !up {
            let down = since_s(self.link.down_since_ms.load(Relaxed));
            let _ = write!(out, "master_link_down_since_seconds:{down}\r\n");
        }
        let _ = write!(
            out,
            "slave_priority:{}\r\nslave_read_only:{}\r\nreplica_announced:1\r\n",
            engine.config.get("replica-priority"),
            u8::from(engine.config.replica_read_only()),
        );
    }

    fn server_info(&self, engine: &Engine, out: &mut String) {
        let up_s = (now_ms() - self.started_ms.load(Relaxed)) / 1000;
        let executable = std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default();
        let _ = write!(
            out,
            "redis_version:{}\r\nredis_git_sha1:00000000\r\nredis_git_dirty:0\r\nredis_build_id:0\r\nredis_mode:standalone\r\n\
             server_name:quiver\r\nquiver_version:{}\r\nos:{} {}\r\narch_bits:64\r\nmultiplexing_api:tokio\r\nmonotonic_clock:system\r\natomicvar_api:rust\r\n\
             process_id:{}\r\nprocess_supervised:{}\r\nrun_id:{}\r\ntcp_port:{}\r\nserver_time_usec:{}\r\n\
             uptime_in_seconds:{up_s}\r\nuptime_in_days:{}\r\nhz:{}\r\nconfigured_hz:{}\r\nlru_clock:{}\r\nexecutable:{executable}\r\n\
             config_file:{}\r\nio_threads_active:1\r\n",
            crate::REDIS_VERSION,
            env!("CARGO_PKG_VERSION"),
            std::env::consts::OS,
            std::env::consts::ARCH,
            std::process::id(),
            engine.config.get("supervised"),
            self.run_id,
            engine.config.get("port"),
            now_ms() * 1000,
            up_s / 86_400,
            engine.config.hz(),
            engine.config.hz(),
            (now_ms() / 1000) & 0xff_ffff,
            self.config_file.get().map_or("", String::as_str),
        );
        let binds: Vec<String> =
            engine.config.get("bind").split_ascii_whitespace().map(|address| format!("bind={address}")).collect();
        let _ = write!(out, "listener0:name=tcp,{},port={}\r\n", binds.join(","), engine.config.get("port"));
    }
}

impl Host for NodeHost {
    fn save(&self, engine: &Engine) -> Result<(), CommandError> {
        if self.saver.is_running() {
            return Err(CommandError::text("ERR Background save already in progress"));
        }
        self.saver.save(engine).map_err(|error| {
            warn!("SAVE failed: {error}");
            CommandError::text("ERR")
        })
    }

    fn bgsave(&self, _: &Engine, schedule: bool) -> Result<&'static str, CommandError> {
        let Some(engine) = self.engine() else { return Err(CommandError::text("ERR the server is ending")) };
        Saver::start(self.clone(), engine, schedule)
    }

    fn last_save_s(&self) -> i64 {
        self.saver.last_save_s()
    }

    fn reload(&self, engine: &Engine, save: bool) -> Result<(), CommandError> {
        engine.state.loading.store(true, Relaxed);
        let saved = if save { self.saver.save(engine) } else { Ok(()) };
        let reloaded = saved.and_then(|()| self.saver.load(engine));
        engine.state.loading.store(false, Relaxed);
        reloaded.map_err(|error| {
            warn!("DEBUG RELOAD failed: {error}");
            CommandError::text("ERR Error trying to load the RDB dump, check server logs.")
        })
    }

    fn shutdown(&self, engine: &Engine, save: Option<bool>, _now: bool, force: bool) -> Result<(), CommandError> {
        self.shut_down(engine, save, force)
    }

    fn abort_shutdown(&self) -> bool {
        false
    }

    fn replicate(&self, engine: &Engine, primary: Option<(String, u16)>) -> Result<(), CommandError> {
        // Nothing here waits: a transaction may hold locks. The link's thread does the rest.
        let primary = primary.map(|(host, port)| Primary { host, port });
        let text = primary.as_ref().map_or(String::new(), |primary| format!("{} {}", primary.host, primary.port));
        if let Err(reason) = engine.config.set("replicaof", &text, false) {
            return Err(CommandError::owned(format!("ERR {reason}")));
        }
        if *self.following.borrow() == primary {
            return Ok(());
        }
        match &primary {
            Some(primary) => {
                info!("following {}:{}", primary.host, primary.port);
                self.stream.follow();
                engine.state.link_up.store(false, Relaxed);
                self.link.down_since_ms.store(now_ms(), Relaxed);
            }
            None => {
                info!("a primary now");
                self.stream.promote();
            }
        }
        let is_replica = primary.is_some();
        engine.state.is_replica.store(is_replica, Relaxed);
        self.configure_process(engine);
        self.following.send_replace(primary);
        if is_replica {
            engine.unblock_all();
        }
        Ok(())
    }

    fn role(&self) -> RoleReply {
        let engine = self.engine();
        let offset = self.stream.facts().offset;
        match self.following.borrow().clone() {
            Some(Primary { host, port }) => {
                let up = engine.is_some_and(|engine| engine.state.link_up.load(Relaxed));
                let syncing = self.link.syncing.load(Relaxed);
                let state = if up {
                    "connected"
                } else if syncing {
                    "sync"
                } else {
                    "connect"
                };
                RoleReply::Replica(host, port, state, if up { offset as i64 } else { -1 })
            }
            None => {
                let replicas = self.stream.replicas().into_iter();
                RoleReply::Primary(offset, replicas.map(|r| (r.ip, r.port, r.acknowledged)).collect())
            }
        }
    }

    fn replica_ack(&self, _: u64, _: u64) {}

    fn info(&self, engine: &Engine, section: &str, out: &mut String) {
        match section {
            "server" => self.server_info(engine, out),
            "memory" => self.memory_info(engine, out),
            "stats" => {
                let _ = write!(out, "migrate_cached_sockets:{}\r\n", self.elsewhere.len());
                crate::memory::eviction_info(engine, out);
            }
            "persistence" => self.saver.info(engine, out),
            "replication" => self.replication_info(engine, out),
            "cpu" => cpu_info(out),
            _ => {}
        }
    }

    fn config_changed(&self, engine: &Engine, name: &str) {
        match name {
            "maxmemory" => self.measure_memory(engine),
            "maxmemory-clients" => drop(engine.evict_clients()),
            _ => {}
        }
    }

    fn apply_config(&self, engine: &Engine, names: &[&'static str]) -> Result<(), (&'static str, &'static str)> {
        let named = |wanted: &[&str]| names.iter().find(|name| wanted.contains(name));
        if let (Some(name), Some(rebind)) = (named(&["bind", "grpc-port", "port"]), self.listeners.0.get()) {
            rebind().map_err(|reason| (*name, if *name == "bind" { NOT_BOUND } else { reason }))?;
        }
        if let Some(name) = named(&["oom-score-adj", "oom-score-adj-values"]) {
            self.oom_score.apply(engine).map_err(|reason| (*name, reason))?;
        }
        Ok(())
    }

    fn rewrite_config(&self, engine: &Engine, all: bool) -> Result<(), CommandError> {
        const NO_FILE: CommandError = CommandError::text("ERR The server is running without a config file");
        let path = self.config_file.get().ok_or(NO_FILE)?;
        let rewritten = crate::files::rewrite_config(engine, path, all);
        rewritten.map_err(|error| {
            warn!("CONFIG REWRITE failed: {error}");
            CommandError::owned(format!("ERR Rewriting config file: {error}"))
        })
    }

    fn run_elsewhere(
        &self,
        target: &str,
        timeout: Duration,
        opening: &[Vec<Vec<u8>>],
        commands: &[Vec<Vec<u8>>],
    ) -> Result<Vec<Result<(), String>>, Unreached> {
        self.elsewhere.run(target, timeout, opening, commands)
    }

    fn log(&self, text: &str) {
        warn!("{text}");
    }

    fn change_replication_id(&self) {
        self.stream.renew(random_id());
    }

    fn cpu_ms(&self) -> (u64, u64) {
        let ms = |seconds: f64| (seconds * 1000.0) as u64;
        let [user, system, ..] = cpu_seconds();
        (ms(user), ms(system))
    }

    fn random_bytes(&self, bytes: &mut [u8]) -> bool {
        getrandom::fill(bytes).is_ok()
    }

    fn read_file(&self, path: &str) -> std::io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn write_file(&self, path: &str, content: &[u8]) -> std::io::Result<()> {
        crate::files::replace(path, content)
    }

    fn allocated_bytes(&self) -> u64 {
        self.memory.allocated()
    }

    fn replica_info(&self, _: u64, _: &ReplicaInfo) {}

    fn replicas_at(&self, offset: u64, on_disk: bool) -> usize {
        let reached = |replica: &Replica| if on_disk { replica.on_disk } else { Some(replica.acknowledged) };
        let replicas = self.stream.replicas();
        replicas.iter().filter(|r| r.state == "online" && reached(r).is_some_and(|at| at >= offset)).count()
    }

    fn stream_offset(&self) -> u64 {
        self.stream.position().1
    }

    fn ask_replicas(&self) {
        self.stream.ask_acks();
    }

    fn free_later(&self, garbage: Vec<Garbage>, freeing: Freeing) {
        self.freer.free_later(garbage, freeing);
    }

    fn lazy_free(&self) -> LazyFree {
        self.freer.counts()
    }

    fn reset_lazy_free(&self) {
        self.freer.reset();
    }
}

/// CPU seconds of the process and of its children, user and system each, from the system's clock ticks (100 per second
/// on Linux).
fn cpu_seconds() -> [f64; 4] {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may hold spaces; the numbered fields begin behind it.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_ascii_whitespace().collect();
    [11, 12, 13, 14].map(|at| fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or(0.0) / 100.0)
}

fn cpu_info(out: &mut String) {
    let [user, system, children_user, children_system] = cpu_seconds();
    let _ = write!(
        out,
        "used_cpu_sys:{:.6}\r\nused_cpu_user:{:.6}\r\nused_cpu_sys_children:{:.6}\r\nused_cpu_user_children:{:.6}\r\n",
        system, user, children_system, children_user,
    );
}

/// Bytes as Redis prints them for people.
pub(crate) fn human(bytes: u64) -> String {
    let value = bytes as f64;
    match bytes {
        0..1024 => format!("{bytes}B"),
        1024..1_048_576 => format!("{:.2}K", value / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.2}M", value / 1_048_576.0),
        _ => format!("{:.2}G", value / 1_073_741_824.0),
    }
}
