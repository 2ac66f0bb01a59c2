//! An instance in small: an engine whose effects go to a log, every unit written and synced before it counts.

use std::path::Path;
use std::sync::{Arc, Mutex};

use quiver_engine::digest::Digest;
use quiver_engine::effects::{Effects, Sink};
use quiver_engine::{Engine, Session, Worker};
use quiver_persist::log::{Disk, DiskFault, LogError, LogFile, LogFolder, LogLoaded, LogOptions, MemoryDisk, load_log};
use quiver_persist::{SaveOptions, SnapshotStream};
use quiver_resp::OwnedArgv;

use crate::common::{NOW_MS, digest, load_options};

pub(crate) const DIR: &str = "/data";
pub(crate) const FOLDER: &str = "appendonlydir";
pub(crate) const NAME: &str = "appendonly.aof";

#[derive(Default)]
struct Buffer(Mutex<(Option<u32>, Vec<u8>)>);

impl Sink for Buffer {
    fn append(&self, effects: &Effects) {
        let (db, bytes) = &mut *self.0.lock().expect("no test panics in here");
        effects.encode(db, bytes);
    }
}

pub(crate) struct Instance {
    pub(crate) engine: Engine,
    worker: Worker,
    session: Session,
    buffer: Arc<Buffer>,
    pub(crate) folder: LogFolder,
    file: Option<LogFile>,
    /// Bytes that could not be written yet.
    waiting: Vec<u8>,
    position: u64,
    /// The digest after every command, and how many of them were acknowledged.
    pub(crate) history: Vec<Digest>,
    pub(crate) acknowledged: usize,
    /// A sync failed: the file is of no use any more.
    pub(crate) needs_base: bool,
}

/// A disk with the data folder.
pub(crate) fn disk_with(fault: Option<DiskFault>) -> MemoryDisk {
    MemoryDisk::new(Path::new(DIR), fault)
}

pub(crate) fn options() -> LogOptions {
    LogOptions { base: load_options(), load_truncated: true, corrupt_tail_max: 0 }
}

pub(crate) fn open(disk: &MemoryDisk) -> Result<LogFolder, LogError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    LogFolder::open(disk, Path::new(DIR), FOLDER, NAME).map(quiver_persist::log::Found::into_folder)
}

/// Loads what a disk holds into a new engine.
pub(crate) fn load(disk: &MemoryDisk) -> Result<(Engine, LogFolder, LogLoaded), LogError> {
    let (engine, folder) = (Engine::standalone(), open(disk)?);
    let mut worker = engine.worker(7, || 0);
    let loaded = load_log(&folder, &engine, &mut worker, &options(), &mut |_| ())?;
    Ok((engine, folder, loaded))
}

impl Instance {
    /// Starts on what a disk holds.
    pub(crate) fn start(disk: &MemoryDisk) -> Result<Self, String> {
        let (engine, mut folder, loaded) = load(disk).map_err(|error| error.to_string())?;
        let is_new = folder.manifest().parts().count() == 0;
        let file = if is_new { None } else { Some(folder.go_on(loaded.position).map_err(|e| e.to_string())?) };
        let buffer = Arc::new(Buffer::default());
        engine.set_sink(Some(Arc::clone(&buffer) as Arc<dyn Sink>), || ());
        let client = engine.connect("test:1".to_owned(), "test:2".to_owned(), NOW_MS).expect("room for one");
        let mut instance = Self {
            worker: engine.worker(1, || 0),
            session: Session::new(client, true),
            buffer,
            file,
            waiting: Vec::new(),
            position: loaded.position,
            history: vec![digest(&engine)],
            acknowledged: 0,
            needs_base: is_new,
            folder,
            engine,
        };
        if is_new {
            instance.rewrite()?;
        }
        Ok(instance)
    }

    /// Runs a command (or several between MULTI and EXEC) and counts it as acknowledged when it is on disk.
    pub(crate) fn run(&mut self, line: &str) {
        let mut out = Vec::new();
        for line in line.split(" ; ") {
            let words: Vec<&str> = line.split(' ').collect();
            let argv = OwnedArgv::from_slices(&words);
            self.engine.run_one(&mut self.worker, &mut self.session, argv.as_argv(), &mut out, NOW_MS);
        }
        self.history.push(digest(&self.engine));
        if self.write().is_ok() {
            self.acknowledged = self.history.len() - 1;
        }
    }

    fn write(&mut self) -> Result<(), String> {
        let fresh = std::mem::take(&mut self.buffer.0.lock().expect("no test panics in here").1);
        self.position += fresh.len() as u64;
        self.waiting.extend_from_slice(&fresh);
        if self.needs_base {
            return Err("the log needs a base".to_owned());
        }
        let file = self.file.as_mut().ok_or("there is no file")?;
        let written = file.append(&mut self.waiting);
        if written.is_ok() {
            self.waiting.clear();
        }
        let done = written.and_then(|()| file.sync());
        self.needs_base |= file.is_broken();
        done.map_err(|error| error.to_string())
    }

    /// Goes on in a new file, without a new base: as after a rewrite that failed.
    pub(crate) fn next_file(&mut self) {
        self.file = Some(self.folder.next_increment(self.position).expect("nothing fails"));
        self.buffer.0.lock().expect("no test panics in here").0 = None;
    }

    /// A new base, as the server makes it.
    pub(crate) fn rewrite(&mut self) -> Result<(), String> {
        let (text, fresh) = (|error: quiver_persist::log::FileError| error.to_string(), self.needs_base);
        let mut base = self.folder.begin_base().map_err(text)?;
        let (first, part) = if fresh {
            let taken = std::mem::take(&mut self.buffer.0.lock().expect("no test panics in here").1);
            self.position += taken.len() as u64;
            self.waiting.clear();
            let (file, part) = self.folder.new_increment(self.position).map_err(text)?;
            self.file = Some(file);
            (part.seq, Some(part))
        } else {
            self.write()?;
            self.file = Some(self.folder.next_increment(self.position).map_err(text)?);
            (self.folder.manifest().increments.last().expect("just made").seq, None)
        };
        self.buffer.0.lock().expect("no test panics in here").0 = None;
        let save = SaveOptions { is_log_base: true, ..SaveOptions::new("8.0.2", NOW_MS) };
        let mut stream = SnapshotStream::begin(&self.engine, &save, |_| None).expect("no other snapshot runs");
        while let Some(piece) = stream.next_piece() {
            base.write(&piece).map_err(text)?;
        }
        drop(stream);
        self.folder.publish(base, self.position, first, part).map_err(text)?;
        if fresh {
            self.needs_base = false;
            self.write()?;
            self.acknowledged = self.history.len() - 1;
        }
        // What stays is removed with the next.
        let _ = self.folder.clean();
        Ok(())
    }
}
