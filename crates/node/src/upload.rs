//! Snapshots to object storage (`snapshot-upload-url`), and back into an empty data folder (`restore-from`).
//!
//! Every snapshot that was written is uploaded in the background under a name that tells its time; where uploads take
//! longer than it is to the next snapshot, the newest is the next one. A failure is tried again with growing pauses. The
//! file was opened before anybody could replace it, so what is uploaded is one snapshot. With `snapshot-upload-keep` the
//! oldest ones are removed when there is a newer one in their place.
//!
//! What is restored was checked like any file that is loaded, and takes its name when it is whole and on disk. Where
//! there are data already nothing is touched.

use std::fmt::Write;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use quiver_engine::config::Config;
use quiver_objects::{ObjectError, Store, dated};
use tracing::{info, warn};

use crate::clock::now_ms;

/// Pause behind the first failure, and the longest one; it doubles with each.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Attempts before a snapshot is given up; the next one is tried anew.
const ATTEMPTS: u32 = 10;

/// Uploads of this instance.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    wanted: Option<Wanted>,
    running: bool,
    /// The process ends.
    stopping: bool,
    done: u64,
    failures: u64,
    failed: bool,
    last_s: i64,
    last_name: String,
}

/// A snapshot to be uploaded.
#[derive(Debug)]
struct Wanted {
    file: File,
    url: String,
    /// What the names of this server's snapshots begin with.
    stem: String,
    name: String,
    keep: usize,
}

impl Uploads {
    /// A snapshot was written to `path`.
    pub(crate) fn offer(self: &Arc<Self>, config: &Config, path: &Path) {
        let url = config.get("snapshot-upload-url");
        if url.is_empty() {
            return;
        }
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) => return warn!("{} cannot be uploaded: {error}", path.display()),
        };
        let stem = stem_of(config);
        let name = dated(&stem, now_ms() / 1000);
        let keep = config.get("snapshot-upload-keep").parse().unwrap_or(0);
        let mut state = self.state.lock();
        state.wanted = Some(Wanted { file, url, stem, name, keep });
        if std::mem::replace(&mut state.running, true) {
            return;
        }
        let uploads = Arc::clone(self);
        let thread = std::thread::Builder::new().name("quiver-upload".to_owned());
        if let Err(error) = thread.spawn(move || uploads.run()) {
            warn!("no thread to upload a snapshot: {error}");
            state.running = false;
        }
    }

    fn run(&self) {
        loop {
            let mut wanted = {
                let mut state = self.state.lock();
                let Some(wanted) = state.wanted.take() else {
                    state.running = false;
                    self.changed.notify_all();
                    return;
                };
                wanted
            };
            let mut pause = PAUSE;
            for attempt in 1..=ATTEMPTS {
                let uploaded = self.upload(&mut wanted);
                let failed = self.note(&wanted, uploaded);
                if !failed || attempt == ATTEMPTS || !self.rest(pause) {
                    break;
                }
                pause = PAUSE_MAX.min(pause * 2);
            }
        }
    }

    fn upload(&self, wanted: &mut Wanted) -> Result<u64, ObjectError> {
        let store = Store::open(&wanted.url)?;
        wanted.file.seek(SeekFrom::Start(0))?;
        let bytes = store.upload(&mut wanted.file, &wanted.name, &|| !self.state.lock().stopping)?;
        if wanted.keep > 0
            && let Err(error) = remove_oldest(&store, wanted)
        {
            warn!("snapshots that are too many at {}: {error}", wanted.url);
        }
        Ok(bytes)
    }

    /// Notes what came of an attempt; whether it failed.
    fn note(&self, wanted: &Wanted, uploaded: Result<u64, ObjectError>) -> bool {
        let mut state = self.state.lock();
        state.failed = uploaded.is_err();
        match uploaded {
            Ok(bytes) => {
                info!("snapshot uploaded as {}, {bytes} bytes", wanted.name);
                state.done += 1;
                state.last_s = now_ms() / 1000;
                state.last_name.clone_from(&wanted.name);
            }
            Err(error) => {
                warn!("the snapshot could not be uploaded: {error}");
                state.failures += 1;
            }
        }
        state.failed
    }

    /// Waits a while; `false` when there is a newer snapshot, or the process ends.
    fn rest(&self, pause: Duration) -> bool {
        let mut state = self.state.lock();
        let until = Instant::now() + pause;
        while state.wanted.is_none() && !state.stopping {
            if self.changed.wait_until(&mut state, until).timed_out() {
                return true;
            }
        }
        false
    }

    /// The process ends: waits for what is on its way, no longer than `patience`; `false` if that was not enough.
    pub(crate) fn finish(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut state = self.state.lock();
        while state.running && !self.changed.wait_until(&mut state, until).timed_out() {}
        state.stopping = true;
        self.changed.notify_all();
        !state.running
    }

    /// Lines of INFO, where there is anything to say.
    pub(crate) fn info(&self, config: &Config, out: &mut String) {
        let state = self.state.lock();
        if config.get("snapshot-upload-url").is_empty() && state.done + state.failures == 0 {
            return;
        }
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "snapshot_upload_in_progress:{}\r\nsnapshot_uploads:{}\r\nsnapshot_upload_failures:{}\r\n\
             snapshot_upload_last_status:{}\r\nsnapshot_upload_last_time:{}\r\nsnapshot_upload_last_name:{}\r\n",
            u8::from(state.running),
            state.done,
            state.failures,
            if state.failed { "err" } else { "ok" },
            state.last_s,
            state.last_name,
        );
    }
}

/// What the names of a server's snapshots begin with.
fn stem_of(config: &Config) -> String {
    let name = config.get("dbfilename");
    name.strip_suffix(".rdb").unwrap_or(&name).to_owned()
}

/// Whether a name is one of [`dated`].
fn is_dated(name: &str, stem: &str) -> bool {
    let date = name.strip_prefix(stem).and_then(|rest| rest.strip_prefix('-')?.strip_suffix("Z.rdb"));
    date.is_some_and(|date| date.len() == 15 && date.bytes().all(|byte| byte.is_ascii_digit() || byte == b'T'))
}

fn remove_oldest(store: &Store, wanted: &Wanted) -> Result<(), ObjectError> {
    let mut objects = store.list(&wanted.stem)?;
    objects.retain(|object| is_dated(&object.name, &wanted.stem));
    for object in &objects[..objects.len().saturating_sub(wanted.keep)] {
        store.remove(&object.name)?;
    }
    Ok(())
}

/// Puts the snapshot that `restore-from` names, or the newest one there, into the data folder, unless there are data.
///
/// # Errors
/// There is none, or it is not whole; the folder is as it was.
pub fn restore(config: &Config) -> Result<(), String> {
    let url = config.get("restore-from");
    if url.is_empty() {
        return Ok(());
    }
    if let Some(data) = data_in(config) {
        info!("{} is there: nothing is restored from object storage", data.display());
        return Ok(());
    }
    let (place, named) =
        Store::split(&url).map_or((url.as_str(), None), |(place, name)| (place, Some(name.to_owned())));
    let store = Store::open(place).map_err(|error| error.to_string())?;
    let name = match named {
        Some(name) => name,
        None => newest(&store, &stem_of(config))?,
    };
    let dir = PathBuf::from(config.get("dir"));
    let (target, temporary) =
        (dir.join(config.get("dbfilename")), dir.join(format!("temp-{}.restore", std::process::id())));
    let bytes = store.download(&name, &temporary).map_err(|error| format!("restoring {name}: {error}"))?;
    put_in_place(&temporary, &target).map_err(|reason| {
        // Of no use to anybody.
        let _ = fs::remove_file(&temporary);
        format!("{name} is not restored: {reason}")
    })?;
    info!("{name} restored to {}, {bytes} bytes", target.display());
    Ok(())
}

/// Something in the data folder that a start would load, or refuse to start beside.
fn data_in(config: &Config) -> Option<PathBuf> {
    let dir = PathBuf::from(config.get("dir"));
    let (snapshot, log) = (dir.join(config.get("dbfilename")), dir.join(config.get("appenddirname")));
    let old_log = dir.join(config.get("appendfilename"));
    let has_log = || fs::read_dir(&log).is_ok_and(|mut files| files.next().is_some());
    if fs::symlink_metadata(&snapshot).is_ok() {
        return Some(snapshot);
    }
    if fs::symlink_metadata(&old_log).is_ok() {
        return Some(old_log);
    }
    has_log().then_some(log)
}

fn newest(store: &Store, stem: &str) -> Result<String, String> {
    let objects = store.list(stem).map_err(|error| error.to_string())?;
    let names = objects.into_iter().map(|object| object.name).filter(|name| is_dated(name, stem));
    names.last().ok_or_else(|| format!("there is no snapshot {stem}-*.rdb to restore"))
}

fn put_in_place(temporary: &Path, target: &Path) -> Result<(), String> {
    let report = crate::check_snapshot(temporary, now_ms())?;
    if let Some(error) = report.error {
        return Err(error.to_string());
    }
    let renamed = fs::rename(temporary, target).and_then(|()| {
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    });
    renamed.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server's settings, with its data in a folder and uploads to another one beside it.
    fn config(folder: &Path, keep: &str) -> Config {
        let config = Config::default();
        let (dir, url) = (folder.join("data"), format!("file://{}/objects", folder.display()));
        fs::create_dir_all(&dir).unwrap();
        for (name, value) in [
            ("dir", dir.to_str().unwrap()),
            ("snapshot-upload-url", &url),
            ("snapshot-upload-keep", keep),
            ("restore-from", &url),
        ] {
            config.set(name, value, false).unwrap();
        }
        config
    }

    fn snapshot() -> Vec<u8> {
        let engine = quiver_engine::Engine::standalone();
        let mut stream =
            quiver_persist::SnapshotStream::begin(&engine, &quiver_persist::SaveOptions::new("8.0.2", 0), |_| None)
                .unwrap();
        let mut bytes = Vec::new();
        while let Some(piece) = stream.next_piece() {
            bytes.extend_from_slice(&piece);
        }
        bytes
    }

    #[test]
    fn a_snapshot_is_uploaded_the_oldest_removed_and_the_newest_restored() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), "2");
        let (path, uploads) = (folder.path().join("data/dump.rdb"), Arc::new(Uploads::default()));
        fs::create_dir(folder.path().join("objects")).unwrap();
        for old in ["dump-20200101T000000Z.rdb", "dump-20210101T000000Z.rdb", "dump-other.rdb"] {
            fs::write(folder.path().join("objects").join(old), b"old").unwrap();
        }
        fs::write(&path, snapshot()).unwrap();
        uploads.offer(&config, &path);
        // It was opened: what becomes of the name does not matter.
        fs::remove_file(&path).unwrap();
        assert!(uploads.finish(Duration::from_secs(20)));
        let mut out = String::new();
        uploads.info(&config, &mut out);
        assert!(out.contains("snapshot_uploads:1\r\n") && out.contains("last_status:ok"), "{out}");
        let mut names: Vec<_> =
            fs::read_dir(folder.path().join("objects")).unwrap().map(|file| file.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names.len(), 3, "{names:?}");
        assert_eq!(names[0], "dump-20210101T000000Z.rdb");

        restore(&config).unwrap();
        assert_eq!(fs::read(&path).unwrap(), snapshot());
        fs::write(&path, b"data").unwrap();
        restore(&config).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"data", "data that are there stay");
    }

    #[test]
    fn a_damaged_or_missing_object_is_not_restored() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), "0");
        assert!(restore(&config).unwrap_err().contains("there is no snapshot dump-*.rdb"));
        let object = folder.path().join("objects/dump-20200101T000000Z.rdb");
        fs::create_dir(folder.path().join("objects")).unwrap();
        let mut bytes = snapshot();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&object, bytes).unwrap();
        assert!(restore(&config).unwrap_err().contains("is not restored"));
        assert_eq!(fs::read_dir(folder.path().join("data")).unwrap().count(), 0, "nothing is left of it");
    }
}
