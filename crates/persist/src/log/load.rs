//! The log back into an engine: the base, then what was done since.
//!
//! All increments are looked through before anything is loaded (`scan`), so a log that cannot be loaded as a whole is
//! refused with the file and the byte, and the engine is as it was. Only the end of the last file may be missing, as a
//! crash leaves it: it is cut off, and a copy kept.

use std::fmt;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quiver_engine::session::{ClientInfo, Role};
use quiver_engine::{Engine, Session, Worker};
use quiver_rdb::{Reader, walk};
use quiver_resp::{Decoder, Limits, Requests};

use super::disk::{Disk, FileError};
use super::folder::{LogError, LogFolder, tail_sum};
use super::manifest::Part;
use super::scan::{Fault, FaultKind, Item, Items, Scan, scan};
use crate::load::{LoadOptions, read_data_set};

/// Bytes of a base read at once.
const READ_BYTES: usize = 256 * 1024;

/// Commands run in a row.
const COMMANDS_AT_ONCE: usize = 64;

/// How a log is read.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// How its base is read.
    pub base: LoadOptions,
    /// Do without the end of the last file where that is incomplete (`aof-load-truncated`).
    pub load_truncated: bool,
    /// Do without so many bytes at the end of the last file when they are damaged (`aof-load-corrupt-tail-max-size`).
    pub corrupt_tail_max: u64,
}

/// How far loading is.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogProgress {
    /// Bytes so far.
    pub bytes: u64,
    /// Bytes of all files.
    pub bytes_total: u64,
    /// Keys of the base so far.
    pub keys: u64,
    /// Commands so far.
    pub commands: u64,
}

/// What was cut off the end of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The file.
    pub path: PathBuf,
    /// Where it ends now.
    pub offset: u64,
    /// Bytes cut off.
    pub bytes: u64,
    /// Whole commands among them, and one that is not.
    pub commands: u64,
    /// Why.
    pub fault: Fault,
    /// Where the bytes are now.
    pub copy: PathBuf,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}; cut at byte {}: {} bytes with {} commands that were not whole are now in {}",
            self.path.display(),
            self.fault,
            self.offset,
            self.bytes,
            self.commands,
            self.copy.display()
        )
    }
}

/// What a log held.
#[derive(Clone, Debug, Default)]
pub struct LogLoaded {
    /// Where in the log the next batch begins.
    pub position: u64,
    /// Keys in the base.
    pub keys: u64,
    /// Keys of the base whose time was over.
    pub expired: u64,
    /// Commands replayed.
    pub commands: u64,
    /// What was cut off.
    pub cut: Option<Cut>,
    /// What was passed over in the base.
    pub warnings: Vec<String>,
}

/// A file of commands and how much of it is good.
#[derive(Clone)]
struct Checked {
    path: PathBuf,
    /// Where its commands begin.
    from: u64,
    scan: Scan,
}

/// Loads the log in the place of everything the engine holds. The engine must not have a sink.
///
/// # Errors
/// What is wrong and where. The engine is as it was, unless a command of the log failed: then it must not be served.
pub fn load_log(
    folder: &LogFolder,
    engine: &Engine,
    worker: &mut Worker,
    options: &LogOptions,
    progress: &mut dyn FnMut(LogProgress),
) -> Result<LogLoaded, LogError> {
    let (bytes_total, _) = folder.sizes()?;
    let mut now = LogProgress { bytes_total, ..LogProgress::default() };
    let mut loaded = LogLoaded::default();
    let (mut files, position) = check_increments(folder)?;
    let ended = resolve(&files, folder, options)?.cloned();
    loaded.position = position.unwrap_or(0);
    match &folder.manifest().base {
        Some(base) => {
            let text_from = load_base(folder, base, engine, options, &mut loaded, &mut now, progress)?;
            files.splice(0..0, text_from);
        }
        None => drop(engine.adopt(quiver_engine::data_set::DataSet::new(options.base.now_ms), |_| ())),
    }
    let mut replay = Replay::new(engine, worker, options.base.now_ms);
    for file in &files {
        replay.file(&**folder.disk(), file, &mut |bytes, commands| {
            (now.bytes, now.commands) = (now.bytes + bytes, now.commands + commands);
            progress(now);
        })?;
    }
    loaded.commands = replay.commands;
    if let Some(file) = &ended {
        loaded.cut = Some(cut_off(folder, file, options)?);
    }
    Ok(loaded)
}

/// Looks through the increments; gives where in the log they end, as far as that is known.
fn check_increments(folder: &LogFolder) -> Result<(Vec<Checked>, Option<u64>), LogError> {
    let manifest = folder.manifest();
    let mut position = manifest.base.as_ref().and_then(|base| base.position);
    let mut files = Vec::new();
    for part in &manifest.increments {
        let path = folder.path_of(&part.name);
        let expected = position.or(part.position);
        let mut scanned = scan_file(&**folder.disk(), &path, 0, expected)?;
        if let (Some(expected), Some(found)) = (position, part.position)
            && expected != found
        {
            let kind = FaultKind::Gap { expected, found };
            scanned = Scan { fault: Some(Fault { offset: 0, kind }), good_end: 0, good_commands: 0, ..scanned };
        }
        position = scanned.position;
        files.push(Checked { path, from: 0, scan: scanned });
    }
    Ok((files, position))
}

fn scan_file(disk: &dyn Disk, path: &Path, from: u64, position: Option<u64>) -> Result<Scan, FileError> {
    let source = disk.read_from(path, from);
    source.and_then(|mut source| scan(&mut source, position, None)).map_err(|e| FileError::new("read", path, e))
}

/// The file whose end is to be cut off, if one is.
fn resolve<'a>(
    files: &'a [Checked],
    folder: &LogFolder,
    options: &LogOptions,
) -> Result<Option<&'a Checked>, LogError> {
    let Some((at, file)) = files.iter().enumerate().find(|(_, file)| file.scan.fault.is_some()) else {
        return Ok(None);
    };
    let fault = file.scan.fault.as_ref().expect("it was looked for");
    let refuse = |why: String| Err(LogError::Content { path: file.path.clone(), reason: format!("{fault}. {why}") });
    let len = file_len(folder, file)?;
    if files[at + 1..].iter().any(|later| later.scan.bytes > 0) {
        return refuse("It is not the last file of the log, so the server does not start".to_owned());
    }
    let tail = len - file.from - file.scan.good_end;
    match &fault.kind {
        FaultKind::Truncated(_) if options.load_truncated => Ok(Some(file)),
        FaultKind::Truncated(_) => refuse(
            "The server does not start because aof-load-truncated is no; quiver-server --check-aof FILE --fix cuts the \
             end off and keeps a copy"
                .to_owned(),
        ),
        _ if tail <= options.corrupt_tail_max => Ok(Some(file)),
        _ => refuse(format!(
            "{tail} bytes behind the last whole command are affected. The server does not start; quiver-server \
             --check-aof FILE shows what a repair (--fix) would lose"
        )),
    }
}

fn file_len(folder: &LogFolder, file: &Checked) -> Result<u64, FileError> {
    let len = folder.disk().len(&file.path).map_err(|source| FileError::new("look at", &file.path, source))?;
    Ok(len.unwrap_or(0))
}

fn cut_off(folder: &LogFolder, file: &Checked, options: &LogOptions) -> Result<Cut, LogError> {
    let (offset, scan) = (file.from + file.scan.good_end, &file.scan);
    let bytes = file_len(folder, file)? - offset;
    let copy = folder.cut(&file.path, offset, options.base.now_ms / 1000)?;
    let fault = scan.fault.clone().expect("only a file with a fault is cut");
    let commands = scan.commands - scan.good_commands + 1;
    Ok(Cut { path: file.path.clone(), offset, bytes, commands, fault, copy })
}

/// Loads the base; gives the commands that follow in the same file, as files of older versions have them.
fn load_base(
    folder: &LogFolder,
    base: &Part,
    engine: &Engine,
    options: &LogOptions,
    loaded: &mut LogLoaded,
    now: &mut LogProgress,
    progress: &mut dyn FnMut(LogProgress),
) -> Result<Option<Checked>, LogError> {
    let (path, disk) = (folder.path_of(&base.name), &**folder.disk());
    let wrong = |reason: String| LogError::Content { path: path.clone(), reason };
    let open = |from| disk.read_from(&path, from).map_err(|source| FileError::new("read", &path, source));
    let len = disk.len(&path).map_err(|source| FileError::new("look at", &path, source))?.unwrap_or(0);
    let mut first = [0; 5];
    let is_snapshot = open(0)?.read_exact(&mut first).is_ok() && &first == b"REDIS";
    if !is_snapshot && (base.name.ends_with(".rdb") || len == 0) {
        return Err(wrong(format!("the base of the log is no snapshot ({len} bytes)")));
    }
    if base.crc64.is_some() && tail_sum(disk, &path)? != base.crc64 {
        return Err(wrong("it is not the base that the manifest names (checksum)".to_owned()));
    }
    let mut text_from = 0;
    if is_snapshot {
        text_from = if base.name.ends_with(".rdb") { len } else { end_of_snapshot(open(0)?).map_err(wrong)? };
        let mut source = BufReader::with_capacity(READ_BYTES, open(0)?.take(text_from));
        let mut report = |read: crate::LoadProgress| {
            progress(LogProgress { bytes: read.bytes, keys: read.keys, ..*now });
        };
        let read = read_data_set(&mut source, &options.base, &mut report);
        let (mut data_set, found) = read.map_err(|error| wrong(error.to_string()))?;
        engine.compile(&mut data_set).map_err(|error| wrong(error.to_string()))?;
        drop(engine.adopt(data_set, |_| ()));
        (loaded.keys, loaded.expired) = (found.keys, found.expired);
        loaded.warnings = found.warnings;
        (now.bytes, now.keys) = (found.bytes, found.keys);
    } else {
        drop(engine.adopt(quiver_engine::data_set::DataSet::new(options.base.now_ms), |_| ()));
    }
    if text_from == len {
        return Ok(None);
    }
    let mut scan = scan_file(disk, &path, text_from, None)?;
    if let Some(fault) = &mut scan.fault {
        fault.offset += text_from;
        let fault = fault.clone();
        // Where increments follow, the end of the base is not the end of the log.
        let is_last = folder.manifest().increments.is_empty();
        if !(is_last && options.load_truncated && matches!(fault.kind, FaultKind::Truncated(_))) {
            return Err(wrong(fault.to_string()));
        }
        let file = Checked { path: path.clone(), from: text_from, scan };
        loaded.cut = Some(cut_off(folder, &file, options)?);
        return Ok(Some(file));
    }
    Ok(Some(Checked { path: path.clone(), from: text_from, scan }))
}

/// Where a snapshot ends that commands may follow.
fn end_of_snapshot(source: Box<dyn Read + Send>) -> Result<u64, String> {
    let mut source = BufReader::with_capacity(READ_BYTES, source);
    let found = walk::leading(&mut Reader::new(&mut source)).map_err(|error| error.to_string())?;
    Ok(found.len_bytes)
}

/// Runs the commands of a log.
struct Replay<'a> {
    engine: &'a Engine,
    worker: &'a mut Worker,
    session: Session,
    requests: Requests,
    output: Vec<u8>,
    now_ms: i64,
    commands: u64,
}

impl<'a> Replay<'a> {
    fn new(engine: &'a Engine, worker: &'a mut Worker, now_ms: i64) -> Self {
        let client = Arc::new(ClientInfo::new(0, String::new(), String::new(), now_ms));
        let mut session = Session::new(client, true);
        // What is in the log was admitted when it was done.
        session.role = Role::Primary;
        let (requests, output) = (Requests::new(), Vec::new());
        Self { engine, worker, session, requests, output, now_ms, commands: 0 }
    }

    fn file(&mut self, disk: &dyn Disk, file: &Checked, progress: &mut dyn FnMut(u64, u64)) -> Result<(), LogError> {
        let end = file.from + file.scan.good_end;
        let fail = |source| FileError::new("read", &file.path, source);
        let mut items = Items::new(disk.read_from(&file.path, file.from).map_err(fail)?, file.from);
        while items.offset() < end {
            let from = items.offset();
            let commands = match items.peek().map_err(fail)? {
                Some(Item::Annotation(len)) => {
                    items.take(len);
                    0
                }
                Some(Item::Command(_)) => {
                    let (bytes, count) = items.take_commands(COMMANDS_AT_ONCE, end);
                    self.run(bytes, count).map_err(|reason| LogError::Content {
                        path: file.path.clone(),
                        reason: format!("one of the {count} commands from byte {from} on {reason}"),
                    })?;
                    count
                }
                _ => {
                    let reason = format!("byte {from} is not what it was a moment ago");
                    return Err(LogError::Content { path: file.path.clone(), reason });
                }
            };
            progress(items.offset() - from, commands);
        }
        Ok(())
    }

    fn run(&mut self, bytes: &[u8], count: u64) -> Result<(), String> {
        self.requests.clear();
        let limits = Limits { max_bulk_len: usize::MAX, max_request_bytes: usize::MAX, ..Limits::default() };
        let decoded = Decoder::new().decode(bytes, &limits, &mut self.requests, COMMANDS_AT_ONCE);
        if decoded.is_err() || self.requests.len() as u64 != count {
            return Err("cannot be read".to_owned());
        }
        let errors = self.worker.stats.errors.get();
        let mut next = 0;
        while next < self.requests.len() {
            let (worker, session) = (&mut *self.worker, &mut self.session);
            self.output.clear();
            next = self.engine.run(worker, session, &self.requests, bytes, next, &mut self.output, self.now_ms);
            session.close_after_reply = false;
            session.takeover = None;
        }
        self.commands += count;
        if self.worker.stats.errors.get() == errors {
            return Ok(());
        }
        let mut names: Vec<String> = (0..self.requests.len())
            .map(|at| String::from_utf8_lossy(self.requests.argv(at, bytes).at(0)).to_ascii_uppercase())
            .collect();
        names.sort_unstable();
        names.dedup();
        Err(format!("failed ({}); the log holds what this server cannot repeat", names.join(", ")))
    }
}
