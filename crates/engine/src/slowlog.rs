//! The slow log: the last commands that took longer than `slowlog-log-slower-than`.
//!
//! Entries are shortened as Redis shortens them, so their size is bounded; what is secret never enters.

use std::collections::VecDeque;

use parking_lot::Mutex;
use quiver_resp::Argv;

use crate::registry::Entry;

/// Words of a command that are kept, the last of them a note on the rest.
const WORDS_MAX: usize = 32;

/// Bytes of a word that are kept.
const WORD_BYTES_MAX: usize = 128;

/// One slow command.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are those of SLOWLOG GET")]
pub struct SlowCommand {
    pub id: u64,
    pub at_s: i64,
    pub duration_us: u64,
    pub words: Vec<Vec<u8>>,
    pub addr: String,
    pub client_name: String,
}

/// The log, newest first.
#[derive(Debug, Default)]
pub struct SlowLog(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    list: VecDeque<SlowCommand>,
    next_id: u64,
}

impl SlowLog {
    /// Writes a command down, keeping `len_max` entries at most.
    pub fn add(&self, mut command: SlowCommand, len_max: usize) {
        if len_max == 0 {
            return;
        }
        let mut entries = self.0.lock();
        command.id = entries.next_id;
        entries.next_id += 1;
        entries.list.push_front(command);
        entries.list.truncate(len_max);
    }

    /// The newest entries.
    pub fn newest(&self, count: usize) -> Vec<SlowCommand> {
        self.0.lock().list.iter().take(count).cloned().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.lock().list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets everything but the numbering.
    pub fn clear(&self) {
        self.0.lock().list.clear();
    }
}

/// The words of a command as they are kept.
pub fn shorten(entry: &Entry, argv: Argv<'_>) -> Vec<Vec<u8>> {
    let kept = argv.len().min(WORDS_MAX);
    let mut words: Vec<Vec<u8>> = (0..kept).map(|at| shorten_word(argv.at(at))).collect();
    for at in secrets(entry, argv) {
        if let Some(word) = words.get_mut(at) {
            *word = b"(redacted)".to_vec();
        }
    }
    if argv.len() > WORDS_MAX {
        words[WORDS_MAX - 1] = format!("... ({} more arguments)", argv.len() - WORDS_MAX + 1).into_bytes();
    }
    words
}

fn shorten_word(word: &[u8]) -> Vec<u8> {
    match word.split_at_checked(WORD_BYTES_MAX) {
        Some((start, rest)) if !rest.is_empty() => {
            [start, format!("... ({} more bytes)", rest.len()).as_bytes()].concat()
        }
        _ => word.to_vec(),
    }
}

/// Where passwords stand in a request.
pub fn secrets(entry: &Entry, argv: Argv<'_>) -> Vec<usize> {
    let behind = |word: &[u8], count: usize| -> Vec<usize> {
        let found = (1..argv.len()).find(|at| argv.at(*at).eq_ignore_ascii_case(word));
        found.map_or_else(Vec::new, |at| (at + 1..=at + count).collect())
    };
    match entry.full_name {
        "auth" => (1..argv.len()).collect(),
        "hello" => behind(b"auth", 2),
        "acl|setuser" => (2..argv.len()).collect(),
        "migrate" => [behind(b"auth", 1), behind(b"auth2", 2)].concat(),
        "config|set" => {
            let named: &[&[u8]] = &[b"requirepass", b"masterauth", b"masteruser", b"tls-key-file-pass"];
            let secret = |at: &usize| named.iter().any(|name| argv.at(*at).eq_ignore_ascii_case(name));
            (2..argv.len()).step_by(2).filter(secret).map(|at| at + 1).collect()
        }
        _ => Vec::new(),
    }
}
