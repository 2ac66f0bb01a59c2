//! The append-only log as files: written, verified, loaded and repaired, without threads and without a clock.
//!
//! Redis' files and formats (<https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/>): a folder with
//! a manifest, a base, which is a snapshot, and increments, which are commands. Redis loads what is written here, and
//! the other way round. What is added stands where Redis does not look: checksums in lines it takes for remarks, and
//! pairs in the manifest that it passes over.
//!
//! - `disk`: the operations on files; `memory_disk`: one that fails on demand and whose power can be cut.
//! - `annotation`, `manifest`: what stands in the files besides commands.
//! - `file`: an increment being written. `folder`: from one set of files to the next.
//! - `scan`, `load`, `check`: from files back to data, and what is wrong with them.
//!
//! Invariants:
//! - At every moment, whatever failed and wherever the power was cut, the folder holds a log whose synced batches all
//!   load; only the last file may have a torn end.
//! - After a failed sync nothing is written to the file any more.
//! - A flipped bit, a lost or repeated piece and exchanged files are found, not loaded.
//!
//! Deliberately absent: when to write, sync and rewrite; crate `node` decides that.

mod annotation;
mod check;
mod disk;
mod file;
mod folder;
mod load;
mod manifest;
mod memory_disk;
mod scan;

pub use annotation::write_timestamp;
pub use check::{CheckOptions, Report, check_log};
pub use disk::{Disk, DiskFile, FileError, SystemDisk};
pub use file::LogFile;
pub use folder::{BaseFile, Found, LogError, LogFolder};
pub use load::{Cut, LogLoaded, LogOptions, LogProgress, load_log};
pub use manifest::{Manifest, ManifestError, Part};
pub use memory_disk::{DiskFault, MemoryDisk, SyncTime};
pub use scan::{Fault, FaultKind, Scan, scan};
