//! The manifest: which files are the log, in which order
//! (<https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/#append-only-file>).
//!
//! One line per file, `file NAME seq NUMBER type b|i|h`: at most one base, then the files left over from before the
//! last rewrite, then the increments in order. Quiver adds pairs of its own, which Redis passes over: `position`, where
//! in the log the file begins, and `crc64`, the checksum a base ends with, so that files that changed places are found;
//! and a last line `#Q:` with the checksum of the lines before it.

use std::fmt::Write;

use quiver_resp::split_inline;
use thiserror::Error;

use super::annotation::{self, crc32c};

/// Longest line.
const LINE_MAX: usize = 1024;

/// What is wrong with a manifest, in Redis' words where it has some.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {reason}")]
pub struct ManifestError {
    /// The line, from 1 on.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// A file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name, without a folder.
    pub name: String,
    /// Its number among those of its kind.
    pub seq: u64,
    /// Where in the log it begins; for a base, where it was cut.
    pub position: Option<u64>,
    /// The checksum a base ends with.
    pub crc64: Option<u64>,
}

/// The files of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// What the increments start from; none for a log that began empty.
    pub base: Option<Part>,
    /// Files that are no part of the log any more and are about to be removed.
    pub history: Vec<Part>,
    /// What was done since, in order.
    pub increments: Vec<Part>,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// The line and what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let mut manifest = Self::default();
        let mut rest = bytes;
        let (mut number, mut is_summed) = (0, false);
        let fail = |line, reason: &str| Err(ManifestError { line, reason: reason.to_owned() });
        while !rest.is_empty() {
            number += 1;
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                return fail(number, "The AOF manifest file is not ended with a newline");
            };
            let (line, before) = (&rest[..end], &bytes[..bytes.len() - rest.len()]);
            rest = &rest[end + 1..];
            if line.len() > LINE_MAX {
                return fail(number, "The AOF manifest file contains too long line");
            }
            match line.first() {
                Some(b'#') => {
                    is_summed |= check_sum(line, before).map_err(|reason| ManifestError { line: number, reason })?;
                }
                _ => manifest.add_line(line).map_err(|reason| ManifestError { line: number, reason })?,
            }
        }
        if manifest == Self::default() {
            return fail(number.max(1), "Found an empty AOF manifest");
        }
        // Redis writes it without what Quiver adds to the lines.
        if !is_summed && manifest.parts().any(|part| part.position.is_some()) {
            return fail(number, "the checksum that stands behind the last line is not there");
        }
        Ok(manifest)
    }

    fn add_line(&mut self, line: &[u8]) -> Result<(), String> {
        let (mut text, mut ranges) = (Vec::new(), Vec::new());
        let split = split_inline(line.trim_ascii_end(), &mut text, |range| ranges.push(range));
        let words: Vec<String> =
            ranges.into_iter().map(|range| String::from_utf8_lossy(&text[range]).into_owned()).collect();
        if split.is_err() || words.len() < 6 || words.len() % 2 == 1 {
            return Err("Invalid AOF manifest file format".to_owned());
        }
        let mut part = Part { name: String::new(), seq: 0, position: None, crc64: None };
        let mut kind = String::new();
        for [name, value] in words.as_chunks::<2>().0 {
            match name.to_ascii_lowercase().as_str() {
                "file" => part.name.clone_from(value),
                "seq" => part.seq = value.parse().unwrap_or(0),
                "type" => kind.clone_from(value),
                "position" => part.position = Some(value.parse().map_err(|_| format!("bad position {value}"))?),
                "crc64" => {
                    part.crc64 = Some(u64::from_str_radix(value, 16).map_err(|_| format!("bad crc64 {value}"))?);
                }
                // Redis 8.4 has more of them, later ones may follow.
                _ => {}
            }
        }
        if part.name.contains('/') || part.name == ".." || part.name == "." {
            return Err("File can't be a path, just a filename".to_owned());
        }
        if part.name.is_empty() || part.seq == 0 {
            return Err("Invalid AOF manifest file format".to_owned());
        }
        self.add(part, &kind)
    }

    fn add(&mut self, part: Part, kind: &str) -> Result<(), String> {
        match kind {
            "b" if self.base.is_some() => return Err("Found duplicate base file information".to_owned()),
            "b" => self.base = Some(part),
            "h" => self.history.push(part),
            "i" if self.increments.last().is_some_and(|last| part.seq <= last.seq) => {
                return Err("Found a non-monotonic sequence number".to_owned());
            }
            "i" => self.increments.push(part),
            _ => return Err("Unknown AOF file type".to_owned()),
        }
        Ok(())
    }

    /// The manifest as a file.
    pub fn print(&self) -> Vec<u8> {
        let mut text = String::new();
        let kinds = [(self.base.as_slice(), 'b'), (self.history.as_slice(), 'h'), (self.increments.as_slice(), 'i')];
        for (parts, kind) in kinds {
            for part in parts {
                // Writing to a string cannot fail.
                let _ = write!(text, "file {} seq {} type {kind}", quoted(&part.name), part.seq);
                if let Some(position) = part.position {
                    let _ = write!(text, " position {position}");
                }
                if let Some(sum) = part.crc64 {
                    let _ = write!(text, " crc64 {sum:016x}");
                }
                text.push('\n');
            }
        }
        let sum = crc32c(text.as_bytes());
        let _ = writeln!(text, "{}{sum:08x}", annotation::MARK);
        text.into_bytes()
    }

    /// The files once `base` holds what was done before the increments from `first` on.
    pub(crate) fn rewritten(&self, base: Part, first: u64, fresh: Option<Part>) -> Self {
        let (old, mut increments): (Vec<Part>, Vec<Part>) =
            self.increments.iter().cloned().partition(|part| part.seq < first);
        increments.extend(fresh);
        let mut history = self.history.clone();
        history.extend(self.base.iter().cloned().chain(old));
        Self { base: Some(base), history, increments }
    }

    /// The files to load, in order.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.base.iter().chain(&self.increments)
    }

    /// Number of the next base.
    pub fn next_base_seq(&self) -> u64 {
        self.base.as_ref().map_or(0, |base| base.seq) + 1
    }

    /// Number of the next increment.
    pub fn next_increment_seq(&self) -> u64 {
        self.increments.last().map_or(0, |last| last.seq) + 1
    }
}

/// Holds a line `#Q:CHECKSUM` against what stands before it; `false` for other remarks, which say nothing.
fn check_sum(line: &[u8], before: &[u8]) -> Result<bool, String> {
    let Some(sum) = line.strip_prefix(annotation::MARK.as_bytes()) else { return Ok(false) };
    let stored = std::str::from_utf8(sum).ok().and_then(|sum| u32::from_str_radix(sum.trim_end(), 16).ok());
    if stored == Some(crc32c(before)) {
        Ok(true)
    } else {
        Err("the checksum of the lines above does not match".to_owned())
    }
}

/// A name as the manifest has it: quoted where it would fall into words.
fn quoted(name: &str) -> String {
    let plain = name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\'' && byte != b'\\');
    if plain {
        return name.to_owned();
    }
    let mut text = String::from("\"");
    for byte in name.bytes() {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
            b' '..=b'~' => text.push(char::from(byte)),
            // Writing to a string cannot fail.
            _ => drop(write!(text, "\\x{byte:02x}")),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, seq: u64) -> Part {
        Part { name: name.to_owned(), seq, position: None, crc64: None }
    }

    fn full() -> Manifest {
        Manifest {
            base: Some(Part { position: Some(77), crc64: Some(0xabc), ..part("a.aof.2.base.rdb", 2) }),
            history: vec![part("a.aof.1.base.rdb", 1)],
            increments: vec![Part { position: Some(77), ..part("a.aof.4.incr.aof", 4) }, part("with \"blank", 7)],
        }
    }

    #[test]
    fn a_manifest_comes_back() {
        assert_eq!(Manifest::parse(&full().print()).unwrap(), full());
        assert_eq!((full().next_base_seq(), full().next_increment_seq()), (3, 8));
    }

    #[test]
    fn every_flipped_bit_of_a_manifest_is_found_or_changes_nothing() {
        let bytes = full().print();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // A flip in the mark before the checksum makes it a remark; the lines above are as they were.
            if let Ok(found) = Manifest::parse(&damaged) {
                assert_eq!(found, full(), "bit {bit}");
            }
        }
    }

    #[test]
    fn manifests_of_redis_are_read() {
        let text =
            b"file appendonly.aof.1.base.rdb seq 1 type b\n# remark\nfile appendonly.aof.1.incr.aof seq 1 type i \
                     startoffset 0 endoffset 7\n";
        let manifest = Manifest::parse(text).unwrap();
        assert_eq!(manifest.base, Some(part("appendonly.aof.1.base.rdb", 1)));
        assert_eq!(manifest.increments, [part("appendonly.aof.1.incr.aof", 1)]);
    }

    #[test]
    fn mistakes_are_named_in_redis_words() {
        let reason = |text: &str| Manifest::parse(text.as_bytes()).unwrap_err().reason;
        assert_eq!(reason(""), "Found an empty AOF manifest");
        assert_eq!(reason("file a seq 1 type b"), "The AOF manifest file is not ended with a newline");
        assert_eq!(reason("file a seq 1\n"), "Invalid AOF manifest file format");
        assert_eq!(reason("file a seq 1 type x\n"), "Unknown AOF file type");
        assert_eq!(reason("file a/b seq 1 type b\n"), "File can't be a path, just a filename");
        assert_eq!(reason("file a seq 1 type b\nfile b seq 2 type b\n"), "Found duplicate base file information");
        assert_eq!(reason("file a seq 2 type i\nfile b seq 2 type i\n"), "Found a non-monotonic sequence number");
    }
}
