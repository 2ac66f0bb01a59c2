//! What can happen to a file.

use std::fmt;
use std::path::PathBuf;

use quiver_persist::log::MemoryDisk;

use super::sample::snapshot_path;
use crate::differential::random::Rng;

/// What was done to a copy.
#[derive(Clone, Debug)]
pub struct Change {
    /// The file.
    pub path: PathBuf,
    /// The one it was exchanged with.
    pub with: Option<PathBuf>,
    /// What became of it.
    pub what: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path.display(), self.what)
    }
}

impl Change {
    /// Whether the snapshot was damaged, and whether the log was.
    pub fn touches(&self) -> (bool, bool) {
        let paths = || self.with.iter().chain([&self.path]);
        (paths().any(|path| *path == snapshot_path()), paths().any(|path| *path != snapshot_path()))
    }
}

/// Lengths of pieces: of a few bytes, a sector, a page.
const LENGTHS: [usize; 5] = [1, 8, 64, 512, 4096];

/// Damages one file of a folder; `other` is the folder of another server.
pub fn apply(rng: &mut Rng, disk: &MemoryDisk, other: &MemoryDisk) -> Change {
    let paths = disk.paths();
    let path = rng.pick(&paths).clone();
    let mut bytes = disk.content(&path).unwrap_or_default();
    let at = rng.below(bytes.len().max(1));
    let longest = *rng.pick(&LENGTHS);
    let len = 1 + rng.below(longest);
    let end = bytes.len().min(at + len);
    let mut exchanged = None;
    let what = match rng.below(16) {
        0..=3 => {
            bytes.truncate(at);
            format!("cut short at {at}")
        }
        4..=7 => {
            let flips = if rng.one_in(4) { 1 + rng.below(16) } else { 1 };
            flip(rng, &mut bytes, flips)
        }
        8..=9 => {
            bytes[at..end].fill(0);
            format!("zeros from {at} to {end}")
        }
        10 => {
            let zeros = vec![0; len];
            bytes.extend(zeros);
            format!("{len} zeros behind its end")
        }
        11 => {
            bytes.drain(at..end);
            format!("lost what was from {at} to {end}")
        }
        12 => {
            let piece = bytes[at..end].to_vec();
            bytes.splice(at..at, piece);
            format!("has twice what is from {at} to {end}")
        }
        13 => {
            let with = rng.pick(&paths).clone();
            let theirs = disk.content(&with).unwrap_or_default();
            disk.put(&with, std::mem::replace(&mut bytes, theirs));
            let what = format!("exchanged with {}", with.display());
            exchanged = Some(with);
            what
        }
        14 => {
            bytes = other.content(&path).unwrap_or_default();
            "is another server's".to_owned()
        }
        _ => {
            disk.drop_file(&path);
            return Change { path, with: None, what: "is gone".to_owned() };
        }
    };
    disk.put(&path, bytes);
    Change { path, with: exchanged, what }
}

fn flip(rng: &mut Rng, bytes: &mut [u8], flips: usize) -> String {
    let mut places = Vec::new();
    if bytes.is_empty() {
        return "is empty".to_owned();
    }
    for _ in 0..flips {
        let bit = rng.below(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        places.push(bit);
    }
    format!("has flipped bits {places:?}")
}
