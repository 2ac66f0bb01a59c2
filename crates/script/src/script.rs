//! A script: its text, its digest, and what its first line says of it.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicI8, AtomicI64, Ordering::Relaxed};

use quiver_engine::CommandError;
use quiver_engine::error::quote_within;
use quiver_resp::split_inline;
use sha1::{Digest, Sha1};

/// The SHA1 of a script's text, its name.
pub(crate) type Sha = [u8; 20];

/// The digest of a text.
pub(crate) fn digest(text: &[u8]) -> Sha {
    Sha1::digest(text).into()
}

thread_local! {
    /// The text digested last: clients that use EVAL send the same again and again.
    static LAST: RefCell<(Vec<u8>, Sha)> = const { RefCell::new((Vec::new(), [0; 20])) };
}

/// Longest text whose digest is kept.
const KEPT_MAX: usize = 16 << 10;

/// [`digest`] of a text that may have been asked for a moment ago.
pub(crate) fn digest_again(text: &[u8]) -> Sha {
    LAST.with_borrow_mut(|(known, sha)| {
        if known != text {
            let new = digest(text);
            if text.is_empty() || text.len() > KEPT_MAX {
                return new;
            }
            known.clear();
            known.extend_from_slice(text);
            *sha = new;
        }
        *sha
    })
}

/// Reads a digest as clients write it: 40 hexadecimal digits of either case.
pub(crate) fn parse_digest(hex: &[u8]) -> Option<Sha> {
    let hex: &[u8; 40] = hex.try_into().ok()?;
    let mut sha = [0; 20];
    let mut all = 0;
    for (byte, pair) in sha.iter_mut().zip(hex.chunks_exact(2)) {
        let (high, low) = (DIGITS[usize::from(pair[0])], DIGITS[usize::from(pair[1])]);
        all |= high | low;
        *byte = high << 4 | low & 15;
    }
    (all < 16).then_some(sha)
}

/// What each byte is as a hexadecimal digit; 255 for none.
const DIGITS: [u8; 256] = {
    let mut digits = [255; 256];
    let mut digit = 0;
    while digit < 16 {
        let lower = b"0123456789abcdef"[digit];
        digits[lower as usize] = digit as u8;
        digits[lower.to_ascii_uppercase() as usize] = digit as u8;
        digit += 1;
    }
    digits
};

/// A digest in lower-case hexadecimal digits.
pub(crate) fn hex(sha: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = sha.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// What a script declares. One without a first line of the kind declares nothing and is held to older rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScriptFlags {
    /// It declares at all.
    pub(crate) declared: bool,
    /// It does not write.
    pub(crate) no_writes: bool,
    /// It may run, and write, when memory is over the limit.
    pub(crate) allow_oom: bool,
    /// It may run on a replica whose data is old.
    pub(crate) allow_stale: bool,
    /// It must not run in a cluster.
    pub(crate) no_cluster: bool,
    /// Its keys may lie in several slots.
    pub(crate) cross_slot: bool,
}

impl ScriptFlags {
    /// Adds the flag of this name; `false` when there is none.
    pub(crate) fn add(&mut self, name: &str) -> bool {
        let flag = match name {
            "no-writes" => &mut self.no_writes,
            "allow-oom" => &mut self.allow_oom,
            "allow-stale" => &mut self.allow_stale,
            "no-cluster" => &mut self.no_cluster,
            "allow-cross-slot-keys" => &mut self.cross_slot,
            _ => return false,
        };
        *flag = true;
        true
    }
}

/// Scores from which on a script is short.
const SHORT: i8 = 1;
/// The highest score.
const SCORE_MAX: i8 = 4;

/// A script of the cache, shared by all threads.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) sha: Sha,
    pub(crate) hex: String,
    pub(crate) text: Box<[u8]>,
    /// Where the code begins: behind the first line, whose end stays so that lines keep their numbers.
    code_at: usize,
    pub(crate) flags: ScriptFlags,
    /// It came with EVAL, so others may take its place.
    pub(crate) evictable: AtomicBool,
    /// It has left the cache.
    pub(crate) gone: AtomicBool,
    pub(crate) last_used_ms: AtomicI64,
    /// How many of its last runs were short, less those that were not.
    score: Score,
}

impl Script {
    /// A script that is not in the cache yet.
    ///
    /// # Errors
    /// What is wrong with the first line.
    pub(crate) fn new(sha: Sha, text: &[u8], evictable: bool) -> Result<Self, CommandError> {
        let (flags, code_at) = first_line(text)?;
        Ok(Self {
            sha,
            hex: hex(&sha),
            text: text.into(),
            code_at,
            flags,
            evictable: AtomicBool::new(evictable),
            gone: AtomicBool::new(false),
            last_used_ms: AtomicI64::new(0),
            score: Score::default(),
        })
    }

    /// What is compiled.
    pub(crate) fn code(&self) -> &[u8] {
        &self.text[self.code_at..]
    }

    /// Whether its runs are short, as far as is known.
    pub(crate) fn is_short(&self) -> bool {
        self.score.is_short()
    }

    /// Learns from a run.
    pub(crate) fn learn(&self, short: bool) {
        self.score.learn(short);
    }
}

/// How many of the last runs were short, less those that were not.
#[derive(Debug, Default)]
pub(crate) struct Score(AtomicI8);

impl Score {
    /// Whether runs are short, as far as is known.
    pub(crate) fn is_short(&self) -> bool {
        self.0.load(Relaxed) >= SHORT
    }

    /// Learns from a run. One that was long counts as much as several that were not.
    pub(crate) fn learn(&self, short: bool) {
        let score = self.0.load(Relaxed);
        let learned = if short { (score + 1).min(SCORE_MAX) } else { -SCORE_MAX };
        if learned != score {
            self.0.store(learned, Relaxed);
        }
    }
}

/// The words of a script's first line, quotes taken off; `None` when one is left open.
pub(crate) fn words_of(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut text, mut ranges) = (Vec::new(), Vec::new());
    split_inline(line, &mut text, |range| ranges.push(range)).ok()?;
    Some(ranges.into_iter().map(|range| text[range].to_vec()).collect())
}

/// Reads `#!lua flags=..`; gives what it declares and where it ends.
fn first_line(text: &[u8]) -> Result<(ScriptFlags, usize), CommandError> {
    let mut flags = ScriptFlags::default();
    if !text.starts_with(b"#!") {
        return Ok((flags, 0));
    }
    let invalid = || CommandError::text("ERR Invalid script shebang");
    let end = text.iter().position(|byte| *byte == b'\n').ok_or_else(invalid)?;
    let words = words_of(&text[..end]).ok_or(CommandError::text("ERR Invalid engine in script shebang"))?;
    let shown = |word: &[u8]| quote_within(word, usize::MAX);
    let mut words = words.iter().map(Vec::as_slice);
    match words.next() {
        Some(b"#!lua") => {}
        Some(other) => {
            return Err(CommandError::owned(format!("ERR Unexpected engine in script shebang: {}", shown(other))));
        }
        None => return Err(CommandError::text("ERR Invalid engine in script shebang")),
    }
    flags.declared = true;
    for word in words {
        let Some(names) = word.strip_prefix(b"flags=") else {
            return Err(CommandError::owned(format!("ERR Unknown lua shebang option: {}", shown(word))));
        };
        for name in names.split(|byte| *byte == b',').filter(|_| !names.is_empty()) {
            if !std::str::from_utf8(name).is_ok_and(|name| flags.add(name)) {
                return Err(CommandError::owned(format!("ERR Unexpected flag in script shebang: {}", shown(name))));
            }
        }
    }
    Ok((flags, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(text: &str) -> String {
        Script::new([0; 20], text.as_bytes(), true).expect_err("a bad first line").to_string()
    }

    #[test]
    fn a_digest_is_read_and_written_as_hexadecimal_digits() {
        let sha = digest(b"return 1");
        assert_eq!(hex(&sha), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
        assert_eq!(parse_digest(b"E0E1F9FABFC9D4800c877a703b823ac0578ff8db"), Some(sha));
        assert_eq!(parse_digest(b"e0e1"), None);
        assert_eq!(parse_digest(&[b'g'; 40]), None);
    }

    #[test]
    fn the_first_line_declares_flags_and_is_not_compiled() {
        let script =
            Script::new([0; 20], b"#!lua flags=no-writes,allow-oom\nreturn 1", true).expect("a good first line");
        assert!(script.flags.declared && script.flags.no_writes && script.flags.allow_oom && !script.flags.allow_stale);
        assert_eq!(script.code(), b"\nreturn 1");
        assert!(!Script::new([0; 20], b"return 1", true).expect("no first line").flags.declared);
    }

    #[test]
    fn what_is_wrong_with_the_first_line_is_said() {
        assert_eq!(error_of("#!lua"), "ERR Invalid script shebang");
        assert_eq!(error_of("#!js\n"), "ERR Unexpected engine in script shebang: #!js");
        assert_eq!(error_of("#!lua name=x\n"), "ERR Unknown lua shebang option: name=x");
        assert_eq!(error_of("#!lua flags=no-writes,x\n"), "ERR Unexpected flag in script shebang: x");
    }

    #[test]
    fn one_long_run_outweighs_several_short_ones() {
        let script = Script::new([0; 20], b"return 1", true).expect("a script");
        assert!(!script.is_short(), "nothing is known of it");
        script.learn(true);
        assert!(script.is_short());
        script.learn(false);
        (0..4).for_each(|_| script.learn(true));
        assert!(!script.is_short());
        script.learn(true);
        assert!(script.is_short());
    }
}
