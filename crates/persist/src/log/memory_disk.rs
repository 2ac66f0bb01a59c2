//! A disk in memory that fails on demand and forgets what was not synced: what tests and tools put in the place of
//! [`SystemDisk`](super::SystemDisk).
//!
//! For every file it keeps what was written and what was synced, for every folder which names were synced. A sync makes
//! safe what was written when it began, and may be told to take its time; a sync that fails has lost for good what was
//! written since the last one that succeeded, whatever later syncs say (Rebello et al., USENIX ATC 2020).
//!
//! Not modelled: bytes that reach a disk in another order than they were appended in, and bytes that rot there; damage
//! is what a test does to the content itself.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::disk::{Disk, DiskFile};

/// What an operation that fails does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// This one operation fails, counted from 1; the disk works again after that.
    Once(u64),
    /// From this operation on there is no power.
    PowerOff(u64),
}

/// How long a sync takes; it is asked at the beginning of each.
pub type SyncTime = Arc<dyn Fn() -> Duration + Send + Sync>;

#[derive(Clone, Debug, Default)]
struct File {
    data: Vec<u8>,
    /// What survives.
    synced: Vec<u8>,
    /// Up to here `data` and `synced` are the same.
    same: usize,
    /// A sync has failed: what was written since the last success never reaches the disk, whatever later syncs say.
    forgotten: bool,
}

impl File {
    fn whole(data: Vec<u8>) -> Self {
        Self { same: data.len(), synced: data.clone(), data, forgotten: false }
    }

    fn cut(&mut self, len: usize) {
        self.data.truncate(len);
        self.same = self.same.min(len);
    }

    /// The first `len` bytes are safe now.
    fn settle(&mut self, len: usize) {
        let len = len.min(self.data.len());
        self.synced.truncate(self.same);
        self.synced.extend_from_slice(&self.data[self.same.min(len)..len]);
        self.same = self.synced.len();
    }
}

#[derive(Default)]
struct Inner {
    files: Vec<File>,
    names: BTreeMap<PathBuf, usize>,
    synced_names: BTreeMap<PathBuf, usize>,
    folders: BTreeSet<PathBuf>,
    operations: u64,
    fault: Option<DiskFault>,
    failed: bool,
    sync_time: Option<SyncTime>,
}

/// The disk; clones are the same one.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<Inner>>);

impl std::fmt::Debug for MemoryDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryDisk").finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Open {
    disk: MemoryDisk,
    file: usize,
}

fn broken() -> io::Error {
    io::Error::other("the disk is broken")
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl MemoryDisk {
    /// A disk with one empty folder.
    pub fn new(folder: &Path, fault: Option<DiskFault>) -> Self {
        let disk = Self::default();
        {
            let mut inner = disk.lock();
            inner.fault = fault;
            inner.folders.insert(folder.to_owned());
        }
        disk
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A test that panicked elsewhere is told of there.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Whether an operation was made to fail.
    pub fn has_failed(&self) -> bool {
        self.lock().failed
    }

    /// What will fail from now on.
    pub fn set_fault(&self, fault: Option<DiskFault>) {
        self.lock().fault = fault;
    }

    /// From now on syncs take this long. What is written meanwhile is not safe with their end.
    pub fn set_sync_time(&self, time: Option<SyncTime>) {
        self.lock().sync_time = time;
    }

    /// Cuts the power at this moment: every operation fails from now on, and what is left is another disk.
    ///
    /// `torn` is asked, for every file with bytes that were appended and not synced, how many of them reached the disk
    /// all the same (it gets how many there are), and for every folder with new names whether those did (it gets 1).
    pub fn cut_power(&self, torn: &mut dyn FnMut(usize) -> usize) -> Self {
        let mut inner = self.lock();
        inner.fault = Some(DiskFault::PowerOff(0));
        inner.left(torn)
    }

    /// What is left after a power cut: the synced content under the synced names.
    #[must_use]
    pub fn after_power_cut(&self) -> Self {
        self.lock().left(&mut |_| 0)
    }

    /// What is left after the process was killed: everything that was written.
    #[must_use]
    pub fn after_crash(&self) -> Self {
        {
            let mut inner = self.lock();
            inner.synced_names = inner.names.clone();
            for file in &mut inner.files {
                file.settle(usize::MAX);
            }
        }
        self.after_power_cut()
    }

    /// What a file holds.
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let inner = self.lock();
        inner.names.get(path).map(|file| inner.files[*file].data.clone())
    }

    /// Puts a file there, on disk at once.
    pub fn put(&self, path: &Path, data: Vec<u8>) {
        let mut inner = self.lock();
        inner.files.push(File::whole(data));
        let at = inner.files.len() - 1;
        inner.names.insert(path.to_owned(), at);
        inner.synced_names.insert(path.to_owned(), at);
    }

    /// Takes a file away.
    pub fn drop_file(&self, path: &Path) {
        let mut inner = self.lock();
        inner.names.remove(path);
        inner.synced_names.remove(path);
    }

    /// All files, in order.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.lock().names.keys().cloned().collect()
    }

    fn step<T>(&self, act: impl FnOnce(&mut Inner) -> io::Result<T>) -> io::Result<T> {
        let mut inner = self.lock();
        if inner.fails() { Err(broken()) } else { act(&mut inner) }
    }
}

impl Inner {
    /// Counts an operation; whether it fails.
    fn fails(&mut self) -> bool {
        self.operations += 1;
        let fails = match self.fault {
            None => false,
            Some(DiskFault::Once(at)) => self.operations == at,
            Some(DiskFault::PowerOff(at)) => self.operations >= at,
        };
        self.failed |= fails;
        fails
    }

    fn has_power(&self) -> bool {
        !matches!(self.fault, Some(DiskFault::PowerOff(at)) if self.operations >= at)
    }

    fn left(&self, torn: &mut dyn FnMut(usize) -> usize) -> MemoryDisk {
        let left = MemoryDisk::default();
        {
            let mut new = left.lock();
            new.folders.clone_from(&self.folders);
            let mut names = self.synced_names.clone();
            for folder in self.folders.iter().filter(|folder| self.has_news(folder)) {
                if torn(1) > 0 {
                    names.retain(|path, _| path.parent() != Some(folder));
                    names.extend(self.names_in(folder));
                }
            }
            for (path, file) in &names {
                let file = &self.files[*file];
                let mut data = file.synced.clone();
                if file.same == data.len() && file.data.len() > data.len() && !file.forgotten {
                    let unsynced = &file.data[data.len()..];
                    data.extend_from_slice(&unsynced[..torn(unsynced.len()).min(unsynced.len())]);
                }
                new.files.push(File::whole(data));
                let at = new.files.len() - 1;
                new.names.insert(path.clone(), at);
                new.synced_names.insert(path.clone(), at);
            }
        }
        left
    }

    /// Whether names in a folder are not on disk.
    fn has_news(&self, folder: &Path) -> bool {
        let synced = self.synced_names.iter().filter(|(path, _)| path.parent() == Some(folder));
        self.names_in(folder) != synced.map(|(path, file)| (path.clone(), *file)).collect::<Vec<_>>()
    }

    fn names_in(&self, folder: &Path) -> Vec<(PathBuf, usize)> {
        let here = self.names.iter().filter(|(path, _)| path.parent() == Some(folder));
        here.map(|(path, file)| (path.clone(), *file)).collect()
    }
}

impl Disk for MemoryDisk {
    fn append_to(&self, path: &Path, fresh: bool) -> io::Result<Box<dyn DiskFile>> {
        let file = self.step(|inner| {
            if !path.parent().is_some_and(|folder| inner.folders.contains(folder)) {
                return Err(missing());
            }
            match inner.names.get(path) {
                Some(file) if fresh => {
                    inner.files[*file].cut(0);
                    Ok(*file)
                }
                Some(file) => Ok(*file),
                None if fresh => {
                    inner.files.push(File::default());
                    let file = inner.files.len() - 1;
                    inner.names.insert(path.to_owned(), file);
                    Ok(file)
                }
                None => Err(missing()),
            }
        })?;
        Ok(Box::new(Open { disk: self.clone(), file }))
    }

    fn read_from(&self, path: &Path, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let data = self.step(|inner| {
            let file = inner.names.get(path).ok_or_else(missing)?;
            let data = &inner.files[*file].data;
            let from = usize::try_from(offset).map_or(data.len(), |offset| offset.min(data.len()));
            Ok(data[from..].to_vec())
        })?;
        Ok(Box::new(io::Cursor::new(data)))
    }

    fn len(&self, path: &Path) -> io::Result<Option<u64>> {
        let inner = self.lock();
        Ok(inner.names.get(path).map(|file| inner.files[*file].data.len() as u64))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let inner = self.lock();
        let here = inner.names.keys().filter(|path| path.parent() == Some(folder));
        Ok(here.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(|inner| {
            let file = inner.names.remove(from).ok_or_else(missing)?;
            inner.names.insert(to.to_owned(), file);
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(|inner| inner.names.remove(path).map(drop).ok_or_else(missing))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.step(|inner| {
            inner.folders.insert(path.to_owned());
            Ok(())
        })
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.step(|inner| {
            let names = inner.names_in(path);
            inner.synced_names.retain(|name, _| name.parent() != Some(path));
            inner.synced_names.extend(names);
            Ok(())
        })
    }
}

impl Write for Open {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut inner = self.disk.lock();
        let fails = inner.fails();
        // Of what fails some may have got there.
        let written = if fails { bytes.len() / 2 } else { bytes.len() };
        inner.files[self.file].data.extend_from_slice(&bytes[..written]);
        if fails { Err(broken()) } else { Ok(written) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for Open {
    fn sync(&mut self) -> io::Result<()> {
        let (reached, takes) = {
            let mut inner = self.disk.lock();
            if inner.fails() {
                inner.files[self.file].forgotten |= inner.has_power();
                return Err(broken());
            }
            (inner.files[self.file].data.len(), inner.sync_time.clone())
        };
        if let Some(takes) = takes {
            std::thread::sleep(takes());
        }
        let mut inner = self.disk.lock();
        if !inner.has_power() {
            return Err(broken());
        }
        let file = &mut inner.files[self.file];
        if !file.forgotten {
            file.settle(reached);
        }
        Ok(())
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        let file = self.file;
        self.disk.step(|inner| {
            inner.files[file].cut(usize::try_from(len).unwrap_or(usize::MAX));
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> (MemoryDisk, Box<dyn DiskFile>, PathBuf) {
        let disk = MemoryDisk::new(Path::new("/d"), None);
        let path = PathBuf::from("/d/file");
        let file = disk.append_to(&path, true).unwrap();
        (disk, file, path)
    }

    #[test]
    fn a_power_cut_leaves_what_was_synced_under_names_that_were() {
        let (disk, mut file, path) = disk();
        file.write_all(b"one").unwrap();
        file.sync().unwrap();
        assert_eq!(disk.after_power_cut().content(&path), None, "its name was not synced");
        disk.sync_folder(Path::new("/d")).unwrap();
        file.write_all(b"two").unwrap();
        disk.rename(&path, Path::new("/d/other")).unwrap();
        assert_eq!(disk.after_power_cut().content(&path).unwrap(), b"one");
        let torn = disk.cut_power(&mut |unsynced| unsynced.min(2));
        assert_eq!(torn.content(Path::new("/d/other")).unwrap(), b"onetw");
        assert_eq!(torn.content(&path), None);
        assert!(file.write_all(b"three").is_err() && file.sync().is_err());
    }

    #[test]
    fn what_was_cut_off_and_written_anew_is_safe_after_a_sync_only() {
        let (disk, mut file, path) = disk();
        disk.sync_folder(Path::new("/d")).unwrap();
        file.write_all(b"abcdef").unwrap();
        file.sync().unwrap();
        file.cut(2).unwrap();
        file.write_all(b"xy").unwrap();
        assert_eq!(disk.after_power_cut().content(&path).unwrap(), b"abcdef");
        file.sync().unwrap();
        assert_eq!(disk.after_power_cut().content(&path).unwrap(), b"abxy");
    }

    #[test]
    fn a_sync_that_failed_has_lost_what_was_written_whatever_a_later_one_says() {
        let (disk, mut file, path) = disk();
        disk.sync_folder(Path::new("/d")).unwrap();
        file.write_all(b"abc").unwrap();
        disk.set_fault(Some(DiskFault::Once(disk.operations() + 1)));
        assert!(file.sync().is_err());
        file.sync().unwrap();
        assert_eq!(disk.after_power_cut().content(&path).unwrap(), b"");
    }
}
