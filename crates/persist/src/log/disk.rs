//! The file operations of the log, behind a trait so that tests can let each of them fail and can cut the power.
//!
//! Only what the log needs: append, sync, cut, rename, remove, list. A test's disk keeps for every file what was synced
//! and what was only written, and for every folder which names were synced; [`SystemDisk`] is the real one.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A step on a file that failed.
#[derive(Debug, Error)]
#[error("cannot {step} {}: {source}", path.display())]
pub struct FileError {
    /// What was to be done.
    pub step: &'static str,
    /// To which file or folder.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

impl FileError {
    /// Names the step and the file of a failure.
    pub fn new(step: &'static str, path: &Path, source: io::Error) -> Self {
        Self { step, path: path.to_owned(), source }
    }

    /// What the system says, without Rust's number of the error: the words Redis quotes.
    pub fn cause(&self) -> String {
        let text = self.source.to_string();
        text.split(" (os error").next().unwrap_or_default().to_owned()
    }
}

/// A disk.
pub trait Disk: Debug + Send + Sync {
    /// Opens a file to append to it. With `fresh` it is made anew and empty, otherwise it must be there.
    ///
    /// # Errors
    /// The system's reason.
    fn append_to(&self, path: &Path, fresh: bool) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file to read it from `offset` on.
    ///
    /// # Errors
    /// The system's reason.
    fn read_from(&self, path: &Path, offset: u64) -> io::Result<Box<dyn Read + Send>>;
    /// Length of a file; `None` if it is not there.
    ///
    /// # Errors
    /// The system's reason.
    fn len(&self, path: &Path) -> io::Result<Option<u64>>;
    /// Names in a folder, sorted; none if the folder is not there.
    ///
    /// # Errors
    /// The system's reason.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Renames a file, over another if there is one.
    ///
    /// # Errors
    /// The system's reason.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// The system's reason.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes a folder unless it is there.
    ///
    /// # Errors
    /// The system's reason.
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder survive a crash.
    ///
    /// # Errors
    /// The system's reason.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
}

/// A file open for appending.
pub trait DiskFile: Write + Debug + Send {
    /// Makes the content survive a crash.
    ///
    /// # Errors
    /// The system's reason. What was written since the last success may be lost then, whatever a later call says.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file.
    ///
    /// # Errors
    /// The system's reason.
    fn cut(&mut self, len: u64) -> io::Result<()>;
}

/// The disk of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn append_to(&self, path: &Path, fresh: bool) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        if fresh {
            // Cut by hand: the system refuses to truncate a file that is opened for appending.
            let file = options.append(true).create(true).open(path)?;
            // A device has no length, and cannot be cut.
            if file.metadata()?.len() > 0 {
                file.set_len(0)?;
            }
            return Ok(Box::new(SystemFile(file)));
        }
        Ok(Box::new(SystemFile(options.append(true).open(path)?)))
    }

    fn read_from(&self, path: &Path, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut file = File::open(path)?;
        io::Seek::seek(&mut file, io::SeekFrom::Start(offset))?;
        Ok(Box::new(file))
    }

    fn len(&self, path: &Path) -> io::Result<Option<u64>> {
        match fs::metadata(path) {
            Ok(known) if known.is_file() => Ok(Some(known.len())),
            Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
            // A link to nowhere is a file that was there.
            Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            // A name that is no text is none of the log's.
            names.extend(entry?.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            made => made,
        }
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

#[derive(Debug)]
struct SystemFile(File);

impl Write for SystemFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for SystemFile {
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
}

/// Writes a small file as a whole.
pub(crate) fn write_synced(disk: &dyn Disk, path: &Path, content: &[u8]) -> Result<(), FileError> {
    let written = disk.append_to(path, true).and_then(|mut file| {
        file.write_all(content)?;
        file.sync()
    });
    written.map_err(|source| FileError::new("write", path, source))
}

/// Makes a file's name survive a crash.
pub(crate) fn sync_folder_of(disk: &dyn Disk, path: &Path) -> Result<(), FileError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    disk.sync_folder(folder).map_err(|source| FileError::new("sync the folder", folder, source))
}
