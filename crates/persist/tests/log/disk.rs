//! A disk in memory that fails on demand and forgets what was not synced.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use quiver_persist::log::{Disk, DiskFile};

/// What an operation that fails does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// This one operation fails; the disk works again after that.
    Once(u64),
    /// From this operation on there is no power.
    PowerOff(u64),
}

#[derive(Debug, Default)]
struct File {
    data: Vec<u8>,
    /// What survives.
    synced: Vec<u8>,
    /// A sync has failed: what was written since the last success never reaches the disk, whatever later syncs say.
    forgotten: bool,
}

#[derive(Debug, Default)]
struct Inner {
    files: Vec<File>,
    names: BTreeMap<PathBuf, usize>,
    synced_names: BTreeMap<PathBuf, usize>,
    folders: BTreeSet<PathBuf>,
    operations: u64,
    fault: Option<Fault>,
}

/// The disk; clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryDisk(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Open {
    disk: MemoryDisk,
    file: usize,
}

fn broken() -> io::Error {
    io::Error::other("the disk is broken")
}

impl MemoryDisk {
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        let disk = Self::default();
        disk.lock().fault = fault;
        disk.lock().folders.insert(PathBuf::from("/data"));
        disk
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no test panics in here")
    }

    /// Operations so far.
    pub(crate) fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// From this operation on there is no power.
    pub(crate) fn cut_power_at(&self, operation: u64) {
        self.lock().fault = Some(Fault::PowerOff(operation));
    }

    /// What is left after a power cut: the synced content under the synced names.
    pub(crate) fn after_power_cut(&self) -> Self {
        let inner = self.lock();
        let left = Self::new(None);
        {
            let mut new = left.lock();
            new.folders.clone_from(&inner.folders);
            for (path, file) in &inner.synced_names {
                let data = inner.files[*file].synced.clone();
                new.files.push(File { synced: data.clone(), data, forgotten: false });
                let at = new.files.len() - 1;
                new.names.insert(path.clone(), at);
                new.synced_names.insert(path.clone(), at);
            }
        }
        left
    }

    /// What is left after the process was killed: everything that was written.
    pub(crate) fn after_crash(&self) -> Self {
        {
            let mut inner = self.lock();
            inner.synced_names = inner.names.clone();
            for file in &mut inner.files {
                file.synced.clone_from(&file.data);
            }
        }
        self.after_power_cut()
    }

    pub(crate) fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let inner = self.lock();
        inner.names.get(path).map(|file| inner.files[*file].data.clone())
    }

    pub(crate) fn put(&self, path: &Path, data: Vec<u8>) {
        let mut inner = self.lock();
        inner.files.push(File { synced: data.clone(), data, forgotten: false });
        let at = inner.files.len() - 1;
        inner.names.insert(path.to_owned(), at);
        inner.synced_names.insert(path.to_owned(), at);
    }

    pub(crate) fn drop_file(&self, path: &Path) {
        let mut inner = self.lock();
        inner.names.remove(path);
        inner.synced_names.remove(path);
    }

    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.lock().names.keys().cloned().collect()
    }

    /// Counts an operation; whether it fails.
    fn count(&self) -> (MutexGuard<'_, Inner>, bool) {
        let mut inner = self.lock();
        inner.operations += 1;
        let fails = match inner.fault {
            None => false,
            Some(Fault::Once(at)) => inner.operations == at,
            Some(Fault::PowerOff(at)) => inner.operations >= at,
        };
        (inner, fails)
    }

    fn step<T>(&self, act: impl FnOnce(&mut Inner) -> io::Result<T>) -> io::Result<T> {
        let (mut inner, fails) = self.count();
        if fails { Err(broken()) } else { act(&mut inner) }
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for MemoryDisk {
    fn append_to(&self, path: &Path, fresh: bool) -> io::Result<Box<dyn DiskFile>> {
        let file = self.step(|inner| {
            if !path.parent().is_some_and(|folder| inner.folders.contains(folder)) {
                return Err(missing());
            }
            match inner.names.get(path) {
                Some(file) if fresh => {
                    inner.files[*file].data.clear();
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
        let data = self.content(path).ok_or_else(missing)?;
        let from = data.len().min(offset as usize);
        Ok(Box::new(io::Cursor::new(data[from..].to_vec())))
    }

    fn len(&self, path: &Path) -> io::Result<Option<u64>> {
        Ok(self.content(path).map(|data| data.len() as u64))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let paths = self.paths().into_iter().filter(|path| path.parent() == Some(folder));
        Ok(paths.map(|path| path.file_name().expect("a file").to_string_lossy().into_owned()).collect())
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
            let here = |name: &PathBuf| name.parent() == Some(path);
            inner.synced_names.retain(|name, _| !here(name));
            let names: Vec<_> = inner.names.iter().filter(|(name, _)| here(name)).collect();
            let names: Vec<_> = names.into_iter().map(|(name, file)| (name.clone(), *file)).collect();
            inner.synced_names.extend(names);
            Ok(())
        })
    }
}

impl Write for Open {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (mut inner, fails) = self.disk.count();
        let data = &mut inner.files[self.file].data;
        if fails {
            // Some of it may have got there.
            data.extend_from_slice(&bytes[..bytes.len() / 2]);
            return Err(broken());
        }
        data.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for Open {
    fn sync(&mut self) -> io::Result<()> {
        let (mut inner, fails) = self.disk.count();
        let file = &mut inner.files[self.file];
        file.forgotten |= fails;
        if fails {
            return Err(broken());
        }
        if !file.forgotten {
            file.synced.clone_from(&file.data);
        }
        Ok(())
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        let file = self.file;
        self.disk.step(|inner| {
            inner.files[file].data.truncate(len as usize);
            Ok(())
        })
    }
}
