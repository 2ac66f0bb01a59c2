//! A snapshot as a file that is either whole or not there.
//!
//! The order is what makes it so: write under a temporary name in the same folder, sync the file, rename it over the
//! old one, sync the folder. (Pillai et al., OSDI 2014, lists what file systems reorder without each of the steps.)

use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use quiver_engine::Engine;
use quiver_engine::keyspace::Keyspace;
use quiver_rdb::frame::ReplicationPoint;
use thiserror::Error;

use crate::stream::{SaveOptions, SnapshotStream};

/// A snapshot that is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Keys in it.
    pub keys: usize,
    /// Length of the file.
    pub bytes: u64,
    /// From the cut to the synced folder.
    pub duration: Duration,
    /// Most bytes of old content that writers had copied and that were not written yet.
    pub copied_bytes_max: usize,
}

/// How far a snapshot is.
#[derive(Clone, Copy, Debug)]
pub struct SaveProgress {
    /// Keys in the snapshot.
    pub keys_total: usize,
    /// Of those serialised so far, by the snapshot or by writers.
    pub keys_done: u64,
    /// Bytes written so far.
    pub bytes: u64,
    /// Bytes that writers have copied and that were not written yet, and the most there ever were.
    pub copied_bytes: (usize, usize),
}

/// Why there is no new snapshot. The old file is as it was.
#[derive(Debug, Error)]
pub enum SaveError {
    /// Another snapshot was running.
    #[error("another snapshot is still running after {} ms", .0.as_millis())]
    Busy(Duration),
    /// The progress callback broke off.
    #[error("snapshot {} was given up", .0.display())]
    Cancelled(PathBuf),
    /// The system refused a step.
    #[error("cannot {step} {}: {source}", path.display())]
    Io {
        /// What was to be done.
        step: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Writes the keyspace to `path` and returns when it is on disk.
///
/// `at_cut` runs while every shard is locked (see [`SnapshotStream::begin`]); `progress` after every piece, and may
/// break off. Commands go on meanwhile; the calling thread is busy.
///
/// # Errors
/// Every step names its file and cause. The temporary file is removed, and a file that stood at `path` is untouched,
/// unless only the last step failed, the sync of the folder: then the new file is there but may not survive a crash.
pub fn save(
    engine: &Engine,
    path: &Path,
    options: &SaveOptions,
    at_cut: impl FnOnce(&Keyspace<'_>) -> Option<ReplicationPoint>,
    progress: &mut dyn FnMut(SaveProgress) -> ControlFlow<()>,
) -> Result<Saved, SaveError> {
    let mut file = TemporaryFile::beside(path)?;
    let Some(mut stream) = SnapshotStream::begin(engine, options, at_cut) else {
        return Err(SaveError::Busy(options.wait));
    };
    let since = Instant::now();
    let mut synced = 0;
    while let Some(piece) = stream.next_piece() {
        file.step("write", |file| file.write_all(&piece))?;
        if options.sync_every_bytes.is_some_and(|step| stream.bytes() - synced >= step) {
            file.step("sync", |file| file.sync_data())?;
            synced = stream.bytes();
        }
        let now = SaveProgress {
            keys_total: stream.keys_total(),
            keys_done: stream.keys_done(),
            bytes: stream.bytes(),
            copied_bytes: stream.copied_bytes(),
        };
        if progress(now).is_break() {
            return Err(SaveError::Cancelled(path.to_path_buf()));
        }
    }
    let (keys, bytes, (_, copied_bytes_max)) = (stream.keys_total(), stream.bytes(), stream.copied_bytes());
    drop(stream);
    file.publish(path)?;
    Ok(Saved { keys, bytes, duration: since.elapsed(), copied_bytes_max })
}

/// A file that is gone again unless it was published.
struct TemporaryFile {
    path: PathBuf,
    file: File,
    published: bool,
}

impl TemporaryFile {
    /// In the folder of `target`, for only within a file system can a rename replace it. The name is Redis', plus a
    /// number, so that two snapshots of one process do not meet.
    fn beside(target: &Path) -> Result<Self, SaveError> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let path = folder_of(target).join(format!("temp-{}.{number}.rdb", std::process::id()));
        let file =
            File::create(&path).map_err(|source| SaveError::Io { step: "create", path: path.clone(), source })?;
        Ok(Self { path, file, published: false })
    }

    fn step<T>(&mut self, step: &'static str, act: impl FnOnce(&mut File) -> io::Result<T>) -> Result<T, SaveError> {
        act(&mut self.file).map_err(|source| SaveError::Io { step, path: self.path.clone(), source })
    }

    fn publish(mut self, target: &Path) -> Result<(), SaveError> {
        self.step("sync", |file| file.sync_all())?;
        fs::rename(&self.path, target).map_err(|source| SaveError::Io {
            step: "rename the finished snapshot to",
            path: target.to_path_buf(),
            source,
        })?;
        self.published = true;
        let folder = folder_of(target);
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|source| SaveError::Io { step: "sync the folder", path: folder.to_path_buf(), source })
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if !self.published {
            // Nothing more can be done about a file that cannot be removed; the error that led here is reported.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
