//! What the engine asks of its surroundings, answered by this instance.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use quiver_engine::engine::Freeing;
use quiver_engine::host::{Failover, Host, LazyFree, RoleReply};
use quiver_engine::keyspace::Garbage;
use quiver_engine::{CommandError, Engine};
use quiver_persist::ReplicationPoint;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::clock::{now_ms, random_id};
use crate::freer::Freer;
use crate::memory::Memory;
use crate::replication::Part;
use crate::saver::Saver;
use crate::stream::{Replica, Stream};
use crate::sync::Syncs;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything that was to be saved is on disk.
    Clean,
    /// Asked to end although a save failed.
    Forced,
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
    /// Held while the stream begins or ends to be remembered.
    pub(crate) starting: Mutex<()>,
    pub(crate) syncs: Syncs,
    pub(crate) part: Part,
    config_file: OnceLock<String>,
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
            starting: Mutex::new(()),
            syncs: Syncs::default(),
            part: Part::default(),
            config_file: OnceLock::new(),
        }))
    }

    pub(crate) fn use_config_file(&self, path: &std::path::Path) {
        // The first one counts: a node is configured once.
        let _ = self.config_file.set(path.to_string_lossy().into_owned());
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

    /// Loads the snapshot of the data folder, if there is one; gives its place in a stream, if it has one.
    pub(crate) fn load(&self, engine: &Engine) -> Result<Option<ReplicationPoint>, String> {
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
                warn!("the last snapshot failed, the server goes on: {error}");
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
        info!("ready to exit");
        self.exit.send_replace(Some(exit));
        Ok(())
    }

    /// The last snapshot. Writes are refused by now, but one that was let in before may have run behind the cut.
    fn save_everything(&self, engine: &Engine) -> Result<(), String> {
        self.saver.give_up_background();
        self.saver.save(engine, &self.stream)?;
        if engine.stats.dirty() as i64 != engine.stats.dirty_at_save.load(Relaxed) {
            self.saver.save(engine, &self.stream)?;
        }
        Ok(())
    }

    fn server_info(&self, engine: &Engine, out: &mut String) {
        let up_s = (now_ms() - self.started_ms.load(Relaxed)) / 1000;
        let executable = std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default();
        let _ = write!(
            out,
            "redis_version:{}\r\nredis_git_sha1:00000000\r\nredis_git_dirty:0\r\nredis_build_id:0\r\nredis_mode:standalone\r\n\
             server_name:quiver\r\nquiver_version:{}\r\nos:{} {}\r\narch_bits:64\r\nmultiplexing_api:tokio\r\nmonotonic_clock:system\r\natomicvar_api:rust\r\n\
             process_id:{}\r\nprocess_supervised:no\r\nrun_id:{}\r\ntcp_port:{}\r\nserver_time_usec:{}\r\n\
             uptime_in_seconds:{up_s}\r\nuptime_in_days:{}\r\nhz:{}\r\nconfigured_hz:{}\r\nlru_clock:{}\r\nexecutable:{executable}\r\n\
             config_file:{}\r\nio_threads_active:1\r\n",
            crate::REDIS_VERSION,
            env!("CARGO_PKG_VERSION"),
            std::env::consts::OS,
            std::env::consts::ARCH,
            std::process::id(),
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
            "stats" => crate::memory::eviction_info(engine, out),
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
            "repl-backlog-size" | "client-output-buffer-limit" => self.size_backlog(engine),
            "min-replicas-to-write" | "min-replicas-max-lag" => self.tend_replicas(engine, now_ms()),
            _ => {}
        }
    }

    fn rewrite_config(&self, engine: &Engine) -> Result<(), CommandError> {
        const NO_FILE: CommandError = CommandError::text("ERR The server is running without a config file");
        let path = self.config_file.get().ok_or(NO_FILE)?;
        let rewritten = crate::files::rewrite_config(engine, path);
        rewritten.map_err(|error| {
            warn!("CONFIG REWRITE failed: {error}");
            CommandError::owned(format!("ERR Rewriting config file: {error}"))
        })
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
