//! BACKUP: the data set in files, taken while the server goes on, up to a moment that is chosen later.
//!
//! A backup is a replica that writes to disk what it is sent: a snapshot becomes the base, the stream from its cut on the
//! increment, and SEAL says where that ends. So it needs no append-only log, and where there is one neither knows of the
//! other. The files are a log as `persist::log` has it: as the log's folder of a server they are its data.
//!
//! Invariants: what BACKUP LIST names is on disk and does not change any more; a backup that fails or falls further
//! behind than a replica may is given up, and costs the server nothing but that.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use quiver_engine::host::{BackupFacts, BackupOrder};
use quiver_engine::{CommandError, Engine};
use quiver_persist::log::{BaseFile, Disk, Found, LogFile, LogFolder, SystemDisk};
use quiver_resp::{Decoder, Limits, Requests};
use tracing::{info, warn};

use crate::Node;
use crate::clock::now_ms;
use crate::host::NodeHost;
use crate::stream::Reader;
use crate::sync;

/// Bytes of the stream written at once.
const CHUNK_BYTES: usize = 256 * 1024;
/// Bytes of the base after which it is synced, so that the last sync is short.
const SYNC_EVERY_BYTES: u64 = 4 << 20;
/// How long it sleeps when the stream does not grow.
const PAUSE: Duration = Duration::from_millis(10);
/// How long SEAL and ABORT wait for the thread before they give up.
const PATIENCE: Duration = Duration::from_secs(60);

/// The backup of an instance.
#[derive(Debug, Default)]
pub(crate) struct Backup {
    progress: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Progress {
    state: State,
    error: String,
    started_s: i64,
    ended_s: i64,
    folder: PathBuf,
    /// Whole files.
    files: Vec<PathBuf>,
    /// Where in the stream the increment ends.
    seal_at: Option<u64>,
    /// It is to be given up.
    aborted: bool,
}

/// How far a backup is, by Redis' names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    Pending,
    Snapshotting,
    Incrementing,
    Sealed,
    Failed,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Pending => "pending",
            Self::Snapshotting => "snapshotting",
            Self::Incrementing => "incrementing",
            Self::Sealed => "sealed",
            Self::Failed => "failed",
        }
    }

    fn runs(self) -> bool {
        matches!(self, Self::Pending | Self::Snapshotting | Self::Incrementing)
    }
}

impl Backup {
    /// Carries out a BACKUP subcommand and says how far the backup is then.
    ///
    /// # Errors
    /// It cannot be done in this state, or failed.
    pub(crate) fn obey(host: &NodeHost, engine: &Engine, order: BackupOrder) -> Result<BackupFacts, CommandError> {
        let backup = &host.backup;
        match order {
            BackupOrder::Look => {}
            BackupOrder::Start => Self::start(host, engine)?,
            BackupOrder::Seal => backup.seal(host)?,
            BackupOrder::Abort => backup.abort()?,
            BackupOrder::Cleanup => backup.clean_up()?,
        }
        let progress = backup.progress.lock();
        Ok(BackupFacts {
            state: progress.state.name(),
            error: progress.error.clone(),
            started_s: progress.started_s,
            ended_s: progress.ended_s,
            files: progress.files.iter().map(|path| path.to_string_lossy().into_owned()).collect(),
        })
    }

    fn start(host: &NodeHost, engine: &Engine) -> Result<(), CommandError> {
        let Some(shared) = host.engine() else { return Err(CommandError::text("ERR the server is ending")) };
        let mut progress = host.backup.progress.lock();
        match progress.state {
            State::Idle | State::Failed => {}
            State::Sealed => {
                return Err(CommandError::text("ERR A sealed backup exists, call BACKUP CLEANUP before a new one"));
            }
            _ => return Err(CommandError::text("ERR A backup is already in progress")),
        }
        let dir = PathBuf::from(engine.config.get("dir"));
        let dir = std::fs::canonicalize(&dir).unwrap_or(dir);
        let folder = dir.join(engine.config.get("backupdirname"));
        let held = SystemDisk.list(&folder);
        let held = held.map_err(|error| CommandError::owned(format!("ERR {}: {error}", folder.display())))?;
        if !held.is_empty() {
            return Err(CommandError::owned(format!("ERR The backup directory {} is not empty", folder.display())));
        }
        *progress = Progress { state: State::Pending, started_s: now_ms() / 1000, folder, ..Progress::default() };
        let (node, dir) = (Node { engine: shared, host: host.clone() }, dir);
        let thread = std::thread::Builder::new().name("quiver-backup".to_owned());
        thread.spawn(move || node.host.backup.run(&node, &dir)).map(drop).map_err(|error| {
            *progress = Progress::default();
            CommandError::owned(format!("ERR no thread for the backup: {error}"))
        })
    }

    fn seal(&self, host: &NodeHost) -> Result<(), CommandError> {
        let mut progress = self.progress.lock();
        if progress.state != State::Incrementing {
            return Err(CommandError::text("ERR There is no backup to seal: its snapshot must be complete"));
        }
        progress.seal_at = Some(host.stream.end());
        self.changed.notify_all();
        self.wait(&mut progress);
        match progress.state {
            State::Sealed => Ok(()),
            State::Failed => Err(CommandError::owned(format!("ERR The backup failed: {}", progress.error))),
            _ => Err(CommandError::text("ERR The backup is still being sealed, look at BACKUP STATUS")),
        }
    }

    fn abort(&self) -> Result<(), CommandError> {
        let mut progress = self.progress.lock();
        if !progress.state.runs() {
            return Err(CommandError::text("ERR There is no backup in progress"));
        }
        progress.aborted = true;
        self.changed.notify_all();
        self.wait(&mut progress);
        if progress.state.runs() {
            return Err(CommandError::text("ERR The backup is still being aborted, look at BACKUP STATUS"));
        }
        Ok(())
    }

    /// Waits until no backup runs, for a time.
    fn wait(&self, progress: &mut parking_lot::MutexGuard<'_, Progress>) {
        let over = std::time::Instant::now() + PATIENCE;
        while progress.state.runs() && !self.changed.wait_until(progress, over).timed_out() {}
    }

    fn clean_up(&self) -> Result<(), CommandError> {
        let mut progress = self.progress.lock();
        if !matches!(progress.state, State::Sealed | State::Failed) {
            return Err(CommandError::text("ERR There is no sealed or failed backup"));
        }
        remove_all(&progress.folder)
            .map_err(|error| CommandError::owned(format!("ERR {}: {error}", progress.folder.display())))?;
        *progress = Progress::default();
        Ok(())
    }

    /// Whether one is being written.
    pub(crate) fn is_running(&self) -> bool {
        self.progress.lock().state.runs()
    }

    /// Removes a sealed backup nobody came for in the time that is configured.
    pub(crate) fn tend(&self, engine: &Engine) {
        let ttl_s = engine.config.backup_sealed_ttl_s() as i64;
        let is_due = |progress: &Progress| {
            progress.state == State::Sealed && ttl_s > 0 && now_ms() / 1000 - progress.ended_s >= ttl_s
        };
        if ttl_s > 0 && is_due(&self.progress.lock()) {
            match self.clean_up() {
                Ok(()) => info!("the sealed backup was removed after {ttl_s} s"),
                Err(error) => warn!("the sealed backup cannot be removed: {error}"),
            }
        }
    }

    fn run(&self, node: &Node, dir: &std::path::Path) {
        let ended = self.write(node, dir);
        let mut progress = self.progress.lock();
        match ended {
            Ok(()) => {
                (progress.state, progress.ended_s) = (State::Sealed, now_ms() / 1000);
                info!("the backup in {} is sealed", progress.folder.display());
            }
            Err(error) => {
                warn!("the backup in {} failed: {error}", progress.folder.display());
                if let Err(error) = remove_all(&progress.folder) {
                    warn!("what it wrote cannot be removed: {error}");
                }
                (progress.state, progress.error) = (State::Failed, error);
                progress.files.clear();
            }
        }
        self.changed.notify_all();
    }

    /// The whole backup, up to where it is sealed.
    fn write(&self, node: &Node, dir: &std::path::Path) -> Result<(), String> {
        let config = &node.engine.config;
        let (name, file_name) = (config.get("backupdirname"), config.get("appendfilename"));
        let found = LogFolder::open(Arc::new(SystemDisk), dir, &name, &file_name).map_err(text)?;
        let Found::Nothing(mut folder) = found else { return Err("the folder holds a log".to_owned()) };
        let base = folder.begin_base().map_err(text)?;
        let source = node.start_stream();
        let mut ticket = sync::join(node, &source).map_err(text)?;
        let (point, reader) = loop {
            self.go_on()?;
            match ticket.told.try_recv() {
                Ok(told) => break told,
                Err(tokio::sync::oneshot::error::TryRecvError::Empty) => std::thread::sleep(PAUSE),
                Err(_) => return Err("another snapshot kept running".to_owned()),
            }
        };
        self.progress.lock().state = State::Snapshotting;
        let base = self.write_base(base, ticket.pieces)?;
        let (mut file, part) = folder.new_increment(0).map_err(text)?;
        if let Some(db) = point.db {
            // What follows goes on in this database without saying so.
            let number = db.to_string();
            file.append(&mut format!("*2\r\n$6\r\nSELECT\r\n${}\r\n{number}\r\n", number.len()).into_bytes())
                .map_err(text)?;
        }
        let increment = folder.path_of(&part.name);
        folder.publish(base, 0, 0, Some(part)).map_err(text)?;
        let base = folder.manifest().base.as_ref().map(|base| folder.path_of(&base.name));
        {
            let mut progress = self.progress.lock();
            progress.state = State::Incrementing;
            progress.files.extend(base);
        }
        self.write_increment(&mut file, reader)?;
        file.sync().map_err(text)?;
        self.progress.lock().files.extend([increment, folder.manifest_path()]);
        Ok(())
    }

    fn write_base(
        &self,
        mut base: BaseFile,
        mut pieces: tokio::sync::mpsc::Receiver<sync::Piece>,
    ) -> Result<BaseFile, String> {
        let mut synced = 0;
        loop {
            self.go_on()?;
            let piece = pieces.blocking_recv().ok_or("the snapshot was given up")?;
            if piece.is_empty() {
                return Ok(base);
            }
            base.write(&piece).map_err(text)?;
            if base.len() - synced >= SYNC_EVERY_BYTES {
                base.sync().map_err(text)?;
                synced = base.len();
            }
        }
    }

    /// Writes the stream as it grows, up to where it is sealed.
    fn write_increment(&self, file: &mut LogFile, mut reader: Reader) -> Result<(), String> {
        let mut commands = Commands::default();
        loop {
            self.go_on()?;
            let seal_at = self.progress.lock().seal_at;
            let left = seal_at.map_or(u64::MAX, |end| end.saturating_sub(reader.offset));
            if left == 0 {
                return if commands.bytes.is_empty() { Ok(()) } else { Err("the stream ends in a command".to_owned()) };
            }
            let before = reader.offset;
            let max = CHUNK_BYTES.min(usize::try_from(left).unwrap_or(usize::MAX));
            if !reader.read(max, &mut commands.bytes) {
                return Err("the disk is slower than the data change: the stream has gone on without it".to_owned());
            }
            let mut batch = commands.take()?;
            file.append(&mut batch).map_err(text)?;
            if reader.offset == before {
                let mut progress = self.progress.lock();
                if progress.seal_at == seal_at && !progress.aborted {
                    self.changed.wait_for(&mut progress, PAUSE);
                }
            }
        }
    }

    fn go_on(&self) -> Result<(), String> {
        if self.progress.lock().aborted { Err("aborted".to_owned()) } else { Ok(()) }
    }
}

/// The stream between one read and the next.
#[derive(Default)]
struct Commands {
    /// What is no whole command yet.
    bytes: Vec<u8>,
    decoder: Decoder,
    requests: Requests,
}

impl Commands {
    /// Takes the whole commands out, without those that are only for replicas.
    fn take(&mut self) -> Result<Vec<u8>, String> {
        let limits = Limits { max_bulk_len: usize::MAX, ..Limits::default() };
        let (mut kept, mut used) = (Vec::new(), 0);
        loop {
            let input = &self.bytes[used..];
            self.requests.clear();
            let end = self.decoder.decode(input, &limits, &mut self.requests, 1024).map_err(text)?;
            let mut start = 0;
            for index in 0..self.requests.len() {
                let end = self.requests.end(index);
                let name = self.requests.argv(index, input).at(0);
                if !name.eq_ignore_ascii_case(b"PING") && !name.eq_ignore_ascii_case(b"REPLCONF") {
                    kept.extend_from_slice(&input[start..end]);
                }
                start = end;
            }
            used += end;
            if self.requests.is_empty() {
                break;
            }
        }
        self.bytes.drain(..used);
        Ok(kept)
    }
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

/// Removes the files of a folder that nothing but a backup is written to.
fn remove_all(folder: &std::path::Path) -> std::io::Result<()> {
    for name in SystemDisk.list(folder)? {
        SystemDisk.remove(&folder.join(name))?;
    }
    SystemDisk.sync_folder(folder)
}
