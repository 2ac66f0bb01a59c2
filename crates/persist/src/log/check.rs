//! `--check-aof`: what a log holds and what is wrong with it, without loading it; on request the end that is wrong, or
//! what came after a point in time, is cut off, and a copy kept.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use quiver_rdb::Reader;
use quiver_rdb::walk::{self, Summary};

use super::disk::{Disk, FileError};
use super::folder::{LogError, LogFolder, tail_sum};
use super::scan::{Fault, FaultKind, Scan, scan};

/// What to do besides looking.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckOptions {
    /// Cut off what follows the last whole command.
    pub fix: bool,
    /// Cut off what was done after this unix time, s.
    pub until_s: Option<i64>,
    /// Goes into the names of copies, so that they do not meet.
    pub now_s: i64,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// A line for each file and each finding.
    pub lines: Vec<String>,
    /// Whether the log can be loaded as it is now.
    pub sound: bool,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl Report {
    fn say(&mut self, line: String) {
        self.lines.push(line);
    }

    fn fault(&mut self, line: String) {
        self.sound = false;
        self.lines.push(line);
    }
}

/// Checks a manifest with all its files, or a single file.
///
/// # Errors
/// A file cannot be read, or what was to be done to it failed.
pub fn check_log(disk: &Arc<dyn Disk>, path: &Path, options: &CheckOptions) -> Result<Report, LogError> {
    let mut report = Report { sound: true, ..Report::default() };
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match name.strip_suffix(".manifest") {
        Some(log) => match LogFolder::look(Arc::clone(disk), folder, log)? {
            Some(mut folder) => check_folder(&mut folder, options, &mut report)?,
            None => report.fault(format!("{}: there is no such manifest", path.display())),
        },
        None => check_single(disk, path, options, &mut report)?,
    }
    report.say(if report.sound { "The log is valid.".to_owned() } else { "The log is NOT valid.".to_owned() });
    Ok(report)
}

fn check_folder(folder: &mut LogFolder, options: &CheckOptions, report: &mut Report) -> Result<(), LogError> {
    let manifest = folder.manifest().clone();
    let mut position = None;
    if let Some(base) = &manifest.base {
        position = base.position;
        check_base(&**folder.disk(), &folder.path_of(&base.name), base.crc64, report)?;
    }
    let last = manifest.increments.len();
    for (at, part) in manifest.increments.iter().enumerate() {
        let path = folder.path_of(&part.name);
        let expected = position.or(part.position);
        let mut found = scan_text(&**folder.disk(), &path, 0, expected, options.until_s)?;
        if let (Some(expected), Some(begins)) = (position, part.position)
            && expected != begins
        {
            found.fault = Some(Fault { offset: 0, kind: FaultKind::Gap { expected, found: begins } });
        }
        position = found.position;
        describe(&path, &found, report);
        if let Some((offset, commands)) = found.later {
            let copy = folder.cut(&path, offset, options.now_s)?;
            folder.end_with(part.seq)?;
            report.say(format!(
                "{}: cut at byte {offset}, behind {commands} commands; what was done later is in {}{}",
                path.display(),
                copy.display(),
                if at + 1 < last { " and in the files that followed" } else { "" },
            ));
            return Ok(());
        }
        if found.fault.is_some() {
            return repair(folder, &path, &found, at + 1 == last, options, report);
        }
    }
    if let Some(until_s) = options.until_s {
        report.say(format!("Nothing was done after {until_s}, as far as time stamps tell (aof-timestamp-enabled)"));
    }
    Ok(())
}

fn check_single(
    disk: &Arc<dyn Disk>,
    path: &Path,
    options: &CheckOptions,
    report: &mut Report,
) -> Result<(), LogError> {
    let text_from = check_base(&**disk, path, None, report)?;
    if !report.sound || text_from == Some(len_of(&**disk, path)?) {
        return Ok(());
    }
    let from = text_from.unwrap_or(0);
    let found = scan_text(&**disk, path, from, None, options.until_s)?;
    describe(path, &found, report);
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Only its tools are used: a single file needs no manifest.
    let folder = LogFolder::bare(Arc::clone(disk), folder, &name);
    if let Some((offset, commands)) = found.later {
        let copy = folder.cut(path, from + offset, options.now_s)?;
        report.say(format!("cut behind {commands} commands; what was done later is in {}", copy.display()));
    } else if found.fault.is_some() {
        let found = Scan { good_end: from + found.good_end, ..found };
        repair(&folder, path, &found, true, options, report)?;
    }
    Ok(())
}

fn len_of(disk: &dyn Disk, path: &Path) -> Result<u64, FileError> {
    let len = disk.len(path).and_then(|len| len.ok_or_else(|| std::io::ErrorKind::NotFound.into()));
    len.map_err(|source| FileError::new("open", path, source))
}

/// Checks a snapshot; gives where it ends, `None` where the file is none.
fn check_base(disk: &dyn Disk, path: &Path, crc64: Option<u64>, report: &mut Report) -> Result<Option<u64>, LogError> {
    let fail = |source| FileError::new("read", path, source);
    len_of(disk, path)?;
    let mut first = [0; 5];
    let is_snapshot = std::io::Read::read_exact(&mut disk.read_from(path, 0).map_err(fail)?, &mut first).is_ok()
        && &first == b"REDIS";
    if !is_snapshot {
        if path.extension().is_some_and(|extension| extension == "rdb") {
            report.fault(format!("{}: no snapshot", path.display()));
        }
        return Ok(None);
    }
    let mut source = std::io::BufReader::new(disk.read_from(path, 0).map_err(fail)?);
    match walk::leading(&mut Reader::new(&mut source)) {
        Ok(Summary { keys, len_bytes: bytes, .. }) => {
            report.say(format!("{}: a snapshot of {keys} keys in {bytes} bytes", path.display()));
            if crc64.is_some() && tail_sum(disk, path)? != crc64 {
                report.fault(format!("{}: it is not the base that the manifest names (checksum)", path.display()));
            }
            Ok(Some(bytes))
        }
        Err(error) => {
            report.fault(format!("{}: {error}", path.display()));
            Ok(None)
        }
    }
}

fn scan_text(
    disk: &dyn Disk,
    path: &Path,
    from: u64,
    position: Option<u64>,
    until_s: Option<i64>,
) -> Result<Scan, FileError> {
    let source = disk.read_from(path, from);
    source.and_then(|mut source| scan(&mut source, position, until_s)).map_err(|e| FileError::new("read", path, e))
}

fn describe(path: &Path, found: &Scan, report: &mut Report) {
    let times = match (found.first_s, found.last_s) {
        (Some(first), Some(last)) => format!(", from {first} to {last} by its time stamps"),
        _ => String::new(),
    };
    report.say(format!(
        "{}: {} commands in {} bytes, {} of them covered by checksums{times}",
        path.display(),
        found.commands,
        found.bytes,
        found.sealed,
    ));
    if let Some(fault) = &found.fault {
        report.fault(format!("{}: {fault}", path.display()));
    }
}

fn repair(
    folder: &LogFolder,
    path: &Path,
    found: &Scan,
    is_last: bool,
    options: &CheckOptions,
    report: &mut Report,
) -> Result<(), LogError> {
    let lost = len_of(&**folder.disk(), path)?.saturating_sub(found.good_end);
    if !options.fix {
        let good = found.good_commands;
        report.say(format!("--fix would cut {lost} bytes off at {}, behind {good} whole commands", found.good_end));
    } else if !is_last {
        report
            .say("It is not the last file of the log: it cannot be repaired without losing those behind it".to_owned());
    } else {
        let copy = folder.cut(path, found.good_end, options.now_s)?;
        report.say(format!("cut {lost} bytes off at {}; they are in {}", found.good_end, copy.display()));
        report.sound = true;
    }
    Ok(())
}
