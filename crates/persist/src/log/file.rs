//! The increment that is being written.
//!
//! Bytes come in batches, each whole units; behind each goes a line with its place in the log and its checksum, in the
//! same write. What a failed write left is cut off again. After a failed sync nothing more is written: the system may
//! have dropped what it could not write, and a later sync that succeeds says nothing about that
//! (Rebello et al., USENIX ATC 2020).

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::annotation::{Seal, crc32c};
use super::disk::{DiskFile, FileError};

/// An increment open for appending.
#[derive(Debug)]
pub struct LogFile {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    len: u64,
    position: u64,
    /// It can no longer be told what is on disk.
    broken: bool,
}

impl LogFile {
    pub(crate) fn fresh(file: Box<dyn DiskFile>, path: PathBuf, position: u64) -> Self {
        Self { file, path, len: 0, position, broken: false }
    }

    /// Goes on with a file. A line says so where it holds anything, since what stands there may be somebody else's.
    pub(crate) fn go_on(file: Box<dyn DiskFile>, path: PathBuf, len: u64, position: u64) -> Result<Self, FileError> {
        let mut log = Self { len, ..Self::fresh(file, path, position) };
        if len > 0 {
            let mut line = Vec::new();
            Seal { start: position, len: 0, crc: 0 }.write(&mut line);
            log.write(&line)?;
            // What was there may never have been synced, and is part of the data by now.
            log.sync()?;
        }
        Ok(log)
    }

    /// Appends a batch, which must be whole units. Its memory is used for the line behind it.
    ///
    /// # Errors
    /// Nothing of the batch is in the file, which can be tried again unless it [`Self::is_broken`].
    pub fn append(&mut self, batch: &mut Vec<u8>) -> Result<(), FileError> {
        if batch.is_empty() {
            return Ok(());
        }
        let len = batch.len();
        let seal = Seal { start: self.position, len: len as u64, crc: crc32c(batch) };
        seal.write(batch);
        let written = self.write(batch);
        batch.truncate(len);
        written?;
        self.position += len as u64;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.refuse_broken()?;
        if let Err(source) = self.file.write_all(bytes) {
            // Part of it may be there.
            self.broken = self.file.cut(self.len).is_err();
            return Err(FileError::new("write", &self.path, source));
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Makes everything appended survive a crash.
    ///
    /// # Errors
    /// What was appended since the last success may be lost; the file is broken.
    pub fn sync(&mut self) -> Result<(), FileError> {
        self.refuse_broken()?;
        self.file.sync().map_err(|source| {
            self.broken = true;
            FileError::new("sync", &self.path, source)
        })
    }

    fn refuse_broken(&self) -> Result<(), FileError> {
        if self.broken {
            let cause = io::Error::other("an earlier failure left it unknown what is on disk");
            return Err(FileError::new("go on with", &self.path, cause));
        }
        Ok(())
    }

    /// Whether it can no longer be written.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Length of the file.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where in the log the next batch begins.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
