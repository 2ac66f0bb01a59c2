//! What the engine asks of its surroundings, answered by this instance.

use std::fmt::Write;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use quiver_engine::engine::Freeing;
use quiver_engine::host::{BackupFacts, BackupOrder, Failover, Host, LazyFree, RoleReply, Unreached};
use quiver_engine::keyspace::Garbage;
use quiver_engine::{CommandError, Engine};
use quiver_persist::ReplicationPoint;
use quiver_persist::log::Disk;
use tracing::warn;

use crate::backup::Backup;
use crate::clock::{now_ms, random_id};
use crate::elsewhere::Elsewhere;
use crate::ending::{Ending, Wanted};
use crate::freer::Freer;
use crate::log::Log;
use crate::memory::Memory;
use crate::oom_score::OomScore;
use crate::replication::Part;
use crate::saver::Saver;
use crate::stream::{Replica, Stream};
use crate::sync::Syncs;

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
    pub(crate) ending: Ending,
    pub(crate) log: Arc<Log>,
    pub(crate) freer: Freer,
    pub(crate) memory: Memory,
    started_ms: AtomicI64,
    pub(crate) stream: Arc<Stream>,
    /// Held while the stream begins or ends to be remembered.
    pub(crate) starting: Mutex<()>,
    pub(crate) syncs: Syncs,
    pub(crate) part: Part,
    pub(crate) backup: Backup,
    config_file: OnceLock<String>,
    listeners: Listeners,
    oom_score: OomScore,
    pub(crate) elsewhere: Elsewhere,
}

impl std::ops::Deref for NodeHost {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl NodeHost {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Self {
        let log = Arc::new(Log::new(Arc::clone(&disk)));
        Self(Arc::new(Inner {
            engine: OnceLock::new(),
            run_id: random_id(),
            saver: Saver::new(disk),
            ending: Ending::default(),
            freer: Freer::default(),
            memory: Memory::default(),
            started_ms: AtomicI64::new(now_ms()),
            stream: Arc::new(Stream::new(Arc::clone(&log))),
            log,
            starting: Mutex::new(()),
            syncs: Syncs::default(),
            part: Part::default(),
            backup: Backup::default(),
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

    /// Loads the data folder; gives the place in a stream of what was loaded, if it has one.
    pub(crate) fn load(&self, engine: &Arc<Engine>) -> Result<Option<ReplicationPoint>, String> {
        engine.state.loading.store(true, Relaxed);
        let loaded = self.load_data(engine);
        engine.state.loading.store(false, Relaxed);
        loaded
    }

    /// The log has everything. Where there is none yet, it begins with what the snapshot holds.
    fn load_data(&self, engine: &Arc<Engine>) -> Result<Option<ReplicationPoint>, String> {
        if !engine.config.appendonly() {
            return self.saver.load(engine);
        }
        self.saver.note_start();
        if self.log.load(self, engine, &mut |_| ())? {
            return Ok(None);
        }
        let point = self.saver.load(engine)?;
        self.log.begin(self, engine)?;
        Ok(point)
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
        self.saver.save(engine, &self.stream).map_err(|error| {
            warn!("SAVE failed: {error}");
            CommandError::text("ERR")
        })
    }

    fn bgsave(&self, _: &Engine, schedule: bool) -> Result<&'static str, CommandError> {
        if self.log.is_rewriting() {
            if schedule {
                self.saver.schedule();
                return Ok("Background saving scheduled");
            }
            return Err(CommandError::text(
                "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to \
                 schedule a BGSAVE whenever possible.",
            ));
        }
        let Some(engine) = self.engine() else { return Err(CommandError::text("ERR the server is ending")) };
        Saver::start(self.clone(), engine, schedule)
    }

    fn last_save_s(&self) -> i64 {
        self.saver.last_save_s()
    }

    fn reload(&self, engine: &Engine, save: bool) -> Result<(), CommandError> {
        engine.state.loading.store(true, Relaxed);
        let saved = if save { self.saver.save(engine, &self.stream) } else { Ok(()) };
        let reloaded = saved.and_then(|()| self.saver.load(engine).map(drop));
        self.log.data_exchanged();
        engine.state.loading.store(false, Relaxed);
        reloaded.map_err(|error| {
            warn!("DEBUG RELOAD failed: {error}");
            CommandError::text("ERR Error trying to load the RDB dump, check server logs.")
        })
    }

    fn rewrite_log(&self, _: &Engine) -> Result<&'static str, CommandError> {
        let Some(engine) = self.engine() else { return Err(CommandError::text("ERR the server is ending")) };
        Log::rewrite_soon(self, &engine)
    }

    fn backup(&self, engine: &Engine, order: BackupOrder) -> Result<BackupFacts, CommandError> {
        Backup::obey(self, engine, order)
    }

    fn reload_log(&self, engine: &Engine) -> Result<(), CommandError> {
        let Some(shared) = self.engine() else { return Err(CommandError::text("ERR the server is ending")) };
        engine.state.loading.store(true, Relaxed);
        let reloaded = self.log.reload(self, &shared);
        engine.state.loading.store(false, Relaxed);
        reloaded.map_err(|error| {
            warn!("DEBUG LOADAOF failed: {error}");
            CommandError::text("ERR Error trying to load the AOF files, check server logs.")
        })
    }

    fn offset_on_disk(&self) -> Option<u64> {
        self.log.synced_offset()
    }

    fn shutdown(&self, engine: &Engine, save: Option<bool>, now: bool, force: bool) -> Result<(), CommandError> {
        self.shut_down(engine, Wanted { save, now, force })
    }

    fn abort_shutdown(&self) -> bool {
        self.abort_ending()
    }

    fn replicate(&self, engine: &Engine, primary: Option<(String, u16)>) -> Result<(), CommandError> {
        self.replicate_as_told(engine, primary)
    }

    fn failover(&self, engine: &Engine, asked: Failover) -> Result<(), CommandError> {
        self.begin_failover(engine, asked)
    }

    fn abort_failover(&self) -> Result<(), CommandError> {
        let engine = self.engine().ok_or(CommandError::text("ERR the server is ending"))?;
        self.end_failover(&engine, "it was taken back")
    }

    fn take_part(&self, engine: &Engine, replid: &str) -> Result<(), CommandError> {
        self.take_over(engine, replid)
    }

    fn refuses_replicas(&self) -> bool {
        self.engine().is_some_and(|engine| self.refuses(&engine))
    }

    fn role(&self) -> RoleReply {
        self.role_reply()
    }

    fn info(&self, engine: &Engine, section: &str, out: &mut String) {
        match section {
            "server" => self.server_info(engine, out),
            "memory" => self.memory_info(engine, out),
            "stats" => {
                let _ = write!(out, "migrate_cached_sockets:{}\r\n", self.elsewhere.len());
                crate::memory::eviction_info(engine, out);
            }
            "persistence" => {
                self.saver.info(engine, out);
                self.log.info(out);
            }
            "replication" => self.replication_info(engine, out),
            "cpu" => cpu_info(out),
            _ => {}
        }
    }

    fn config_changed(&self, engine: &Engine, name: &str) {
        match name {
            "appendonly" | "appendfsync" | "aof-timestamp-enabled" => Log::config_changed(self, name),
            "maxmemory" => self.measure_memory(engine),
            "maxmemory-clients" => drop(engine.evict_clients()),
            "repl-backlog-size" | "client-output-buffer-limit" => self.size_backlog(engine),
            "min-replicas-to-write" | "min-replicas-max-lag" => self.tend_replicas(engine, now_ms()),
            _ => {}
        }
    }

    fn apply_config(&self, engine: &Engine, names: &[&'static str]) -> Result<(), (&'static str, &'static str)> {
        let named = |wanted: &[&str]| names.iter().find(|name| wanted.contains(name));
        let of_listeners = |name: &&&str| matches!(**name, "bind" | "port") || name.starts_with("grpc-");
        if let (Some(name), Some(rebind)) = (names.iter().find(of_listeners), self.listeners.0.get()) {
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
        self.stream.change(|state| state.renew(random_id()));
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

    fn replicas_at(&self, offset: u64, on_disk: bool) -> usize {
        let reached = |replica: &Replica| if on_disk { replica.on_disk } else { Some(replica.acknowledged) };
        let replicas = self.stream.replicas();
        replicas.iter().filter(|r| r.is_online() && reached(r).is_some_and(|at| at >= offset)).count()
    }

    fn stream_offset(&self) -> u64 {
        self.stream.end()
    }

    fn ask_replicas(&self) {
        self.stream.ask_acks();
        self.log.sync_soon();
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
