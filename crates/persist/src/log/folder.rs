//! The folder of the log: its files by the manifest, and the steps from one set of files to the next.
//!
//! Every step leaves the folder loadable, whatever fails and wherever the power is cut:
//! - an increment is synced before the manifest names the next one, so only the last can have a torn end;
//! - a base gets its name when it is whole and synced, and the manifest names it after that;
//! - files are removed when a synced manifest says that they are history.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::disk::{Disk, FileError, sync_folder_of, write_synced};
use super::file::LogFile;
use super::manifest::{Manifest, ManifestError, Part};

/// Why the log cannot be used.
#[derive(Debug, Error)]
pub enum LogError {
    /// A step on a file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The manifest cannot be read.
    #[error("{}: {source}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong.
        source: ManifestError,
    },
    /// There are files of a log and nothing says how they belong together.
    #[error(
        "{} holds {} but no {manifest}: the server does not start empty beside files that may hold data. Put the \
         manifest back, or move the files away",
        folder.display(), files.join(", ")
    )]
    NoManifest {
        /// The folder.
        folder: PathBuf,
        /// Name of the manifest.
        manifest: String,
        /// The files.
        files: Vec<String>,
    },
    /// A file the manifest names is not there.
    #[error("{} is named in {manifest} and is not there", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// Name of the manifest.
        manifest: String,
    },
    /// The content of a file is wrong.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// The log's folder and what it holds.
#[derive(Debug)]
pub struct LogFolder {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    name: String,
    manifest: Manifest,
}

/// What was found where the log should be.
#[derive(Debug)]
pub enum Found {
    /// No log: nothing was ever written here.
    Nothing(LogFolder),
    /// A log.
    Log(LogFolder),
}

impl Found {
    /// The folder, whatever it holds.
    pub fn into_folder(self) -> LogFolder {
        match self {
            Self::Nothing(folder) | Self::Log(folder) => folder,
        }
    }
}

impl LogFolder {
    /// Looks for the log `name` (`appendfilename`) in `folder` (`appenddirname`) of the data folder `dir`. The single
    /// file of older Redis versions, `name` in `dir`, becomes the base of a log.
    ///
    /// # Errors
    /// There is a log and it cannot be told which files it has.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, folder: &str, name: &str) -> Result<Found, LogError> {
        let mut log = Self { disk, folder: dir.join(folder), name: name.to_owned(), manifest: Manifest::default() };
        let path = log.manifest_path();
        let old = dir.join(name);
        match read_whole(&*log.disk, &path)? {
            Some(bytes) => {
                log.manifest = Manifest::parse(&bytes)
                    .map_err(|source| LogError::Manifest { path: log.manifest_path(), source })?;
                log.finish_upgrade(&old)?;
                log.check_parts()?;
            }
            None if log.finish_creation()? => {}
            None if log.len_of(&old)?.is_some() => log.upgrade(&old)?,
            None => {
                log.refuse_orphans()?;
                return Ok(Found::Nothing(log));
            }
        }
        Ok(Found::Log(log))
    }

    /// The log of a manifest as it is, nothing moved or made; `None` where the manifest is not there.
    pub(crate) fn look(disk: Arc<dyn Disk>, folder: &Path, name: &str) -> Result<Option<Self>, LogError> {
        let mut log = Self::bare(disk, folder, name);
        let path = log.manifest_path();
        let Some(bytes) = read_whole(&*log.disk, &path)? else { return Ok(None) };
        log.manifest = Manifest::parse(&bytes).map_err(|source| LogError::Manifest { path, source })?;
        log.check_parts()?;
        Ok(Some(log))
    }

    /// The tools without a log: for a file that no manifest names.
    pub(crate) fn bare(disk: Arc<dyn Disk>, folder: &Path, name: &str) -> Self {
        Self { disk, folder: folder.to_owned(), name: name.to_owned(), manifest: Manifest::default() }
    }

    /// The disk.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// The files.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where a file of the log is.
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where the manifest is.
    pub fn manifest_path(&self) -> PathBuf {
        self.folder.join(self.manifest_name())
    }

    fn manifest_name(&self) -> String {
        format!("{}.manifest", self.name)
    }

    fn len_of(&self, path: &Path) -> Result<Option<u64>, FileError> {
        self.disk.len(path).map_err(|source| FileError::new("look at", path, source))
    }

    /// Bytes of all files of the log, and of the base among them.
    ///
    /// # Errors
    /// A file cannot be looked at.
    pub fn sizes(&self) -> Result<(u64, u64), FileError> {
        let mut sizes = (0, 0);
        for part in self.manifest.parts() {
            let len = self.len_of(&self.path_of(&part.name))?.unwrap_or(0);
            sizes.0 += len;
            if self.manifest.base.as_ref() == Some(part) {
                sizes.1 = len;
            }
        }
        Ok(sizes)
    }

    // --- opening ------------------------------------------------------------------------------------------------

    fn check_parts(&self) -> Result<(), LogError> {
        for part in self.manifest.parts() {
            let path = self.path_of(&part.name);
            if self.len_of(&path)?.is_none() {
                return Err(LogError::Missing { path, manifest: self.manifest_name() });
            }
        }
        Ok(())
    }

    /// Where the first manifest was written and not renamed yet, does that if its files are there. If they are not, they
    /// never were: the data still are where they came from.
    fn finish_creation(&mut self) -> Result<bool, LogError> {
        let path = self.next_manifest_path();
        let Some(Ok(manifest)) = read_whole(&*self.disk, &path)?.map(|bytes| Manifest::parse(&bytes)) else {
            return Ok(false);
        };
        self.manifest = manifest;
        if self.check_parts().is_ok() {
            self.take_effect()?;
            return Ok(true);
        }
        self.manifest = Manifest::default();
        Ok(false)
    }

    /// Without a manifest a folder with files of a log is no empty log.
    fn refuse_orphans(&self) -> Result<(), LogError> {
        if self.len_of(&self.next_manifest_path())?.is_some() {
            return Ok(());
        }
        let names = self.disk.list(&self.folder);
        let names = names.map_err(|source| FileError::new("list", &self.folder, source))?;
        let is_ours = |name: &String| {
            let rest = name.strip_prefix(&self.name);
            rest.is_some_and(|rest| [".base.rdb", ".base.aof", ".incr.aof"].iter().any(|end| rest.ends_with(end)))
        };
        let files: Vec<String> = names.into_iter().filter(is_ours).collect();
        if files.is_empty() {
            return Ok(());
        }
        Err(LogError::NoManifest { folder: self.folder.clone(), manifest: self.manifest_name(), files })
    }

    /// Makes the single file of older versions the base of a log: the manifest first, then the file is moved, and a
    /// crash between the two is made good by [`Self::finish_upgrade`].
    fn upgrade(&mut self, old: &Path) -> Result<(), LogError> {
        self.refuse_orphans()?;
        self.make_folder()?;
        let base = Part { name: self.name.clone(), seq: 1, position: None, crc64: None };
        self.manifest = Manifest { base: Some(base), ..Manifest::default() };
        self.persist()?;
        Ok(self.move_old(old)?)
    }

    fn finish_upgrade(&self, old: &Path) -> Result<(), LogError> {
        let named = self.manifest.base.as_ref().is_some_and(|base| base.name == self.name);
        let moved = self.len_of(&self.path_of(&self.name))?.is_some();
        if named && !moved && self.len_of(old)?.is_some() {
            self.move_old(old)?;
        }
        Ok(())
    }

    fn move_old(&self, old: &Path) -> Result<(), FileError> {
        let new = self.path_of(&self.name);
        self.rename(old, &new)?;
        sync_folder_of(&*self.disk, &new)?;
        sync_folder_of(&*self.disk, old)
    }

    fn make_folder(&self) -> Result<(), FileError> {
        let made = self.disk.create_folder(&self.folder);
        made.map_err(|source| FileError::new("make the folder", &self.folder, source))?;
        sync_folder_of(&*self.disk, &self.folder)
    }

    fn next_manifest_path(&self) -> PathBuf {
        self.path_of(&format!("temp-{}", self.manifest_name()))
    }

    /// Puts the manifest on disk.
    fn persist(&self) -> Result<(), FileError> {
        self.prepare(&self.manifest)?;
        self.take_effect()
    }

    /// Writes a manifest beside the one in effect.
    fn prepare(&self, manifest: &Manifest) -> Result<(), FileError> {
        write_synced(&*self.disk, &self.next_manifest_path(), &manifest.print())
    }

    /// Puts the manifest that was prepared into effect.
    fn take_effect(&self) -> Result<(), FileError> {
        let (from, to) = (self.next_manifest_path(), self.manifest_path());
        self.rename(&from, &to)?;
        sync_folder_of(&*self.disk, &to)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        self.disk.rename(from, to).map_err(|source| FileError::new("rename to", to, source))
    }

    // --- from one set of files to the next --------------------------------------------------------------------------

    /// Opens the last increment to go on with it at `position`, its length known; the first one if there is none.
    ///
    /// # Errors
    /// It cannot be opened, made, or named in the manifest.
    pub fn go_on(&mut self, position: u64) -> Result<LogFile, FileError> {
        let Some(last) = self.manifest.increments.last() else { return self.next_increment(position) };
        let path = self.path_of(&last.name);
        let len = self.len_of(&path)?.unwrap_or(0);
        let file = self.disk.append_to(&path, false).map_err(|source| FileError::new("open", &path, source))?;
        LogFile::go_on(file, path, len, position)
    }

    /// Makes the next increment, which begins at `position`, and names it in the manifest. The one before must be synced.
    ///
    /// # Errors
    /// As far as the manifest on disk may say, the new increment is there and empty, or not there: the old one goes on.
    pub fn next_increment(&mut self, position: u64) -> Result<LogFile, FileError> {
        self.make_folder()?;
        let part = self.next_part(position);
        let file = self.create(&self.path_of(&part.name), position)?;
        self.manifest.increments.push(part);
        self.persist().inspect_err(|_| drop(self.manifest.increments.pop()))?;
        Ok(file)
    }

    /// Makes an increment that has no name before there is a base for it.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new_increment(&self, position: u64) -> Result<(LogFile, Part), FileError> {
        self.make_folder()?;
        let part = self.next_part(position);
        Ok((self.create(&self.unnamed(&part), position)?, part))
    }

    fn next_part(&self, position: u64) -> Part {
        let seq = self.manifest.next_increment_seq();
        Part { name: format!("{}.{seq}.incr.aof", self.name), seq, position: Some(position), crc64: None }
    }

    fn unnamed(&self, part: &Part) -> PathBuf {
        self.path_of(&format!("temp-{}", part.name))
    }

    fn create(&self, path: &Path, position: u64) -> Result<LogFile, FileError> {
        let file = self.disk.append_to(path, true).map_err(|source| FileError::new("create", path, source))?;
        sync_folder_of(&*self.disk, path)?;
        Ok(LogFile::fresh(file, path.to_owned(), position))
    }

    /// Begins a base beside its name.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn begin_base(&self) -> Result<BaseFile, FileError> {
        self.make_folder()?;
        let path = self.path_of(&format!("temp-rewriteaof-{}.base", self.name));
        let file = self.disk.append_to(&path, true).map_err(|source| FileError::new("create", &path, source))?;
        Ok(BaseFile { disk: Arc::clone(&self.disk), path, file, tail: [0; 8], len: 0, published: false })
    }

    /// Makes a whole base, cut at `position`, and the increments from `first` on the log; everything before becomes
    /// history. `fresh`: an increment that has no name yet.
    ///
    /// # Errors
    /// The old log is the log, unless only the last sync of the folder failed: then the new one is as far as can be told.
    /// What is history stays until [`Self::clean`].
    pub fn publish(
        &mut self,
        mut base: BaseFile,
        position: u64,
        first: u64,
        fresh: Option<Part>,
    ) -> Result<(), FileError> {
        base.sync()?;
        let seq = self.manifest.next_base_seq();
        let part = Part {
            name: format!("{}.{seq}.base.rdb", self.name),
            seq,
            position: Some(position),
            crc64: Some(u64::from_le_bytes(base.tail)),
        };
        let path = self.path_of(&part.name);
        let next = self.manifest.rewritten(part, first, fresh.clone());
        // The order lets a first log be finished after a crash: see `finish_creation`.
        self.prepare(&next)?;
        self.rename(&base.path, &path)?;
        base.published = true;
        let named = fresh.map_or(Ok(()), |part| self.rename(&self.unnamed(&part), &self.path_of(&part.name)));
        let in_effect = named
            .and_then(|()| sync_folder_of(&*self.disk, &path))
            .and_then(|()| self.rename(&self.next_manifest_path(), &self.manifest_path()));
        if let Err(error) = in_effect {
            // Named by nobody. One that stays is overwritten by the next.
            let _ = self.disk.remove(&path);
            return Err(error);
        }
        self.manifest = next;
        sync_folder_of(&*self.disk, &path)
    }

    /// Removes what is history.
    ///
    /// # Errors
    /// A file stays; it is tried again with the next rewrite.
    pub fn clean(&mut self) -> Result<(), FileError> {
        if self.manifest.history.is_empty() {
            return Ok(());
        }
        for part in &self.manifest.history {
            let path = self.path_of(&part.name);
            if self.len_of(&path)?.is_some() {
                self.disk.remove(&path).map_err(|source| FileError::new("remove", &path, source))?;
            }
        }
        let history = std::mem::take(&mut self.manifest.history);
        self.persist().inspect_err(|_| self.manifest.history = history)
    }

    /// Keeps a copy of what stands behind `end` in a file, and cuts it off. Gives the copy's path.
    ///
    /// # Errors
    /// The copy could not be made, and nothing was cut; or the cut failed.
    pub fn cut(&self, path: &Path, end: u64, number: i64) -> Result<PathBuf, FileError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let copy = path.with_file_name(format!("{name}.cut-{end}-{number}"));
        let copied = (|| {
            let mut source = self.disk.read_from(path, end)?;
            let mut target = self.disk.append_to(&copy, true)?;
            std::io::copy(&mut source, &mut target)?;
            target.sync()?;
            self.disk.sync_folder(copy.parent().unwrap_or(Path::new(".")))
        })();
        copied.map_err(|source| FileError::new("keep a copy in", &copy, source))?;
        let mut file = self.disk.append_to(path, false).map_err(|source| FileError::new("open", path, source))?;
        file.cut(end).and_then(|()| file.sync()).map_err(|source| FileError::new("cut", path, source))?;
        Ok(copy)
    }

    /// Ends the log with its `last` increment, which was cut: what came later is history, and kept.
    ///
    /// # Errors
    /// The manifest could not be written.
    pub fn end_with(&mut self, last: u64) -> Result<(), FileError> {
        let before = self.manifest.clone();
        self.manifest.increments.retain(|part| part.seq <= last);
        self.persist().inspect_err(|_| self.manifest = before)
    }
}

/// A base being written; gone again unless it was published.
#[derive(Debug)]
pub struct BaseFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Box<dyn super::disk::DiskFile>,
    /// Its last eight bytes: the checksum.
    tail: [u8; 8],
    len: u64,
    published: bool,
}

impl BaseFile {
    /// Appends a piece.
    ///
    /// # Errors
    /// The system's reason.
    pub fn write(&mut self, piece: &[u8]) -> Result<(), FileError> {
        self.len += piece.len() as u64;
        let kept = piece.len().min(8);
        self.tail.copy_within(kept.., 0);
        self.tail[8 - kept..].copy_from_slice(&piece[piece.len() - kept..]);
        self.step("write", |file| file.write_all(piece))
    }

    /// Syncs what was written so far, so that the last sync is short.
    ///
    /// # Errors
    /// The system's reason.
    pub fn sync(&mut self) -> Result<(), FileError> {
        self.step("sync", |file| file.sync())
    }

    /// Bytes written.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn step(
        &mut self,
        step: &'static str,
        act: impl FnOnce(&mut Box<dyn super::disk::DiskFile>) -> std::io::Result<()>,
    ) -> Result<(), FileError> {
        act(&mut self.file).map_err(|source| FileError::new(step, &self.path, source))
    }
}

impl Drop for BaseFile {
    fn drop(&mut self) {
        if !self.published {
            // One that stays is overwritten by the next.
            let _ = self.disk.remove(&self.path);
        }
    }
}

/// The content of a small file; `None` if it is not there.
fn read_whole(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    /// Far more than any manifest.
    const BYTES_MAX: u64 = 16 << 20;
    let fail = |source| FileError::new("read", path, source);
    if disk.len(path).map_err(fail)?.is_none() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    disk.read_from(path, 0).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut bytes)).map_err(fail)?;
    Ok(Some(bytes))
}

/// The eight bytes a file ends with, as the checksum of a snapshot; `None` if it has fewer.
pub(crate) fn tail_sum(disk: &dyn Disk, path: &Path) -> Result<Option<u64>, FileError> {
    let fail = |source| FileError::new("read", path, source);
    let len = disk.len(path).map_err(fail)?.unwrap_or(0);
    let mut tail = [0; 8];
    let read = disk.read_from(path, len.saturating_sub(8)).map_err(fail)?.read_exact(&mut tail);
    Ok(read.is_ok().then(|| u64::from_le_bytes(tail)))
}
