//! A data folder with one of everything, and what it held after every command.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;
use quiver_engine::effects::{Effects, Sink};
use quiver_persist::log::{Disk, LogFile, LogFolder, LogLoaded, LogOptions, MemoryDisk, load_log, write_timestamp};
use quiver_persist::{LoadOptions, SaveOptions, SnapshotStream};
use quiver_script::LuaRuntime;

use crate::corpus::{self, Size};
use crate::local::{Local, NOW_MS};

/// The data folder.
pub const DIR: &str = "/data";
/// The log's folder in it, and its name.
pub const LOG_FOLDER: &str = "appendonlydir";
/// See [`LOG_FOLDER`].
pub const LOG_NAME: &str = "appendonly.aof";

/// Increments of the log.
const INCREMENTS: usize = 3;

/// What the corpus lacks, because only Quiver, or a Redis with modules, has it.
const OWN: &[&str] = &[
    r#"JSON.SET json:a $ {"a":[1,2.5,null,true],"b":{"c":"text"}}"#,
    "FT.CREATE index ON HASH PREFIX 1 doc: SCHEMA title TEXT tag TAG year NUMERIC",
    "HSET doc:1 title hello tag a,b year 1984",
    "HSET doc:2 title world tag b year 2001",
    "ARSET array 7 seven",
    "FT.CREATE documents ON JSON PREFIX 1 json: SCHEMA $.b.c AS c TAG",
    r#"JSON.SET json:a $.b.d [1]"#,
    "HSET doc:1 year 1985",
    "DEL doc:2",
];

/// A function library; its text has blanks.
const LIBRARY: &str = "#!lua name=library\nredis.register_function('f', function() return 1 end)";

/// See the module.
#[derive(Debug)]
pub struct Sample {
    /// The folder: a snapshot, and a log of a base and increments.
    pub disk: MemoryDisk,
    /// What the log held after each command behind its base.
    pub history: Vec<String>,
    /// The base of the log, a whole snapshot of an earlier time.
    pub base: Vec<u8>,
}

/// What a sample's engine appends, as a log has it.
#[derive(Default)]
struct Recorder(Mutex<(Option<u32>, Vec<u8>)>);

impl Sink for Recorder {
    fn append(&self, effects: &Effects) {
        let (db, bytes) = &mut *self.0.lock();
        effects.encode(db, bytes);
    }
}

/// The snapshot.
pub fn snapshot_path() -> PathBuf {
    Path::new(DIR).join("dump.rdb")
}

/// An engine with scripts.
pub fn engine() -> Local {
    let local = Local::new();
    local.engine.scripts.set_runtime(Arc::new(LuaRuntime::default()));
    local
}

/// Everything an engine holds, as text: keys, function libraries, search indexes.
///
/// # Errors
/// The engine does not answer.
pub fn state(local: &mut Local) -> Result<String> {
    let libraries = local.call(&["FUNCTION", "LIST", "WITHCODE"])?;
    let indexes = local.call(&["FT._LIST"])?;
    let mut found = Vec::new();
    for index in indexes.as_array().unwrap_or_default() {
        let name = index.as_str().context("a name is text")?;
        found.push(format!("{name} {:?}", local.call(&["FT.SEARCH", name, "*", "LIMIT", "0", "0"])?));
    }
    found.sort();
    Ok(format!("{} {libraries:?} {found:?}", local.digest().hex()))
}

impl Sample {
    /// Makes one. Those of different seeds hold different data in files of the same names.
    ///
    /// # Errors
    /// The engine does not answer, or the files cannot be made.
    pub fn new(seed: u64) -> Result<Self> {
        let disk = MemoryDisk::new(Path::new(DIR), None);
        let (mut local, recorder) = (engine(), Arc::new(Recorder::default()));
        local.engine.set_sink(Some(Arc::clone(&recorder) as Arc<dyn Sink>), || ());
        let commands = commands(seed);
        let parts: Vec<&[Vec<Vec<u8>>]> = commands.chunks(commands.len().div_ceil(INCREMENTS + 1)).collect();
        for words in parts[0] {
            local.call(words)?;
        }
        let (mut folder, mut file, base) = begin(&disk, &local, seed << 20)?;
        recorder.0.lock().1.clear();
        let mut history = vec![state(&mut local)?];
        for (number, part) in parts[1..].iter().enumerate() {
            if number > 0 {
                file = folder.next_increment(file.position())?;
            }
            recorder.0.lock().0 = None;
            for (at, words) in part.iter().enumerate() {
                local.call(words)?;
                let mut bytes = std::mem::take(&mut recorder.0.lock().1);
                if at % 7 == 3 && !bytes.is_empty() {
                    let mut stamped = Vec::new();
                    write_timestamp(&mut stamped, NOW_MS / 1000 + at as i64);
                    stamped.append(&mut bytes);
                    bytes = stamped;
                }
                file.append(&mut bytes)?;
                file.sync()?;
                history.push(state(&mut local)?);
            }
        }
        disk.put(&snapshot_path(), local.save());
        Ok(Self { disk: disk.after_crash(), history, base })
    }

    /// What it holds.
    pub fn whole(&self) -> &str {
        self.history.last().map_or("", String::as_str)
    }

    /// Files of the log: the manifest, the base, the increments.
    pub fn log_files(&self) -> Vec<PathBuf> {
        self.disk.paths().into_iter().filter(|path| *path != snapshot_path()).collect()
    }
}

fn commands(seed: u64) -> Vec<Vec<Vec<u8>>> {
    let words = |line: &str| line.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    let mut commands = vec![words(&format!("SET seed {seed}"))];
    let corpus = corpus::commands(Size::Small);
    let every = corpus.len() / (OWN.len() + 1);
    let mut own = OWN.iter();
    for (at, command) in corpus.into_iter().enumerate() {
        commands.push(command);
        // Other databases come last, and indexes are of the first.
        if at % every == every - 1 && at < every * OWN.len() {
            commands.extend(own.next().map(|line| words(line)));
        }
    }
    commands.push(["FUNCTION", "LOAD", LIBRARY].map(|word| word.as_bytes().to_vec()).to_vec());
    commands.push(words(&format!("APPEND seed :{seed}")));
    commands
}

/// The log's base and its first increment, which begin at a `position` of their own, as a node's do.
fn begin(disk: &MemoryDisk, local: &Local, position: u64) -> Result<(LogFolder, LogFile, Vec<u8>)> {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut folder = LogFolder::open(shared, Path::new(DIR), LOG_FOLDER, LOG_NAME)?.into_folder();
    let mut base = folder.begin_base()?;
    let (file, part) = folder.new_increment(position)?;
    let options = SaveOptions { is_log_base: true, ..SaveOptions::new("8.0.2", NOW_MS) };
    let mut stream = SnapshotStream::begin(&*local.engine, &options, |_| None).context("no other snapshot runs")?;
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next_piece() {
        base.write(&piece)?;
        bytes.extend_from_slice(&piece);
    }
    drop(stream);
    folder.publish(base, position, part.seq, Some(part))?;
    Ok((folder, file, bytes))
}

/// Loads the log of a disk into a new engine.
///
/// # Errors
/// It is refused.
pub fn load_log_of(disk: &MemoryDisk) -> Result<(Local, LogLoaded)> {
    let (local, shared): (Local, Arc<dyn Disk>) = (engine(), Arc::new(disk.clone()));
    let folder = LogFolder::open(shared, Path::new(DIR), LOG_FOLDER, LOG_NAME)?.into_folder();
    ensure!(folder.manifest().parts().count() > 0, "a server starts empty here");
    let base = LoadOptions { databases: 16, now_ms: NOW_MS, discard_expired: false, clock: None };
    let options = LogOptions { base, load_truncated: true, corrupt_tail_max: 0 };
    let mut worker = local.engine.worker(7, || 0);
    let loaded = load_log(&folder, &local.engine, &mut worker, &options, &mut |_| ())?;
    Ok((local, loaded))
}
