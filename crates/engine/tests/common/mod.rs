//! An engine driven by command lines, its replies as compact text, and its stream of effects on a second engine.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::sync::{Arc, Mutex};

use quiver_engine::digest::{Digest, of_keyspace};
use quiver_engine::effects::{Effects, Sink};
use quiver_engine::keyspace::ALL_SHARDS;
use quiver_engine::session::Role;
use quiver_engine::{Engine, Session, Worker};
use quiver_resp::{OwnedArgv, Protocol};

/// The time tests begin at, ms since 1970.
pub(crate) const START_MS: i64 = 1_700_000_000_000;

/// One engine and one client of it.
pub(crate) struct Harness {
    pub(crate) engine: Engine,
    pub(crate) worker: Worker,
    pub(crate) session: Session,
    pub(crate) now_ms: i64,
}

impl Harness {
    pub(crate) fn new() -> Self {
        Self::seeded(1)
    }

    /// With another seed for whatever is random.
    pub(crate) fn seeded(seed: u64) -> Self {
        let engine = Engine::standalone();
        let worker = engine.worker(seed, || 0);
        let client = engine.connect("test:1".to_owned(), "test:2".to_owned(), START_MS).unwrap();
        Self { engine, worker, session: Session::new(client, true), now_ms: START_MS }
    }

    /// Runs a line of words, split at spaces; 'quotes' keep spaces. The reply as [`show`] prints it.
    pub(crate) fn run(&mut self, line: &str) -> String {
        show(&self.run_words(&split(line)))
    }

    /// [`Self::run`] with RESP3 replies.
    pub(crate) fn run3(&mut self, line: &str) -> String {
        self.session.protocol = Protocol::Resp3;
        let reply = self.run(line);
        self.session.protocol = Protocol::Resp2;
        reply
    }

    /// Runs one command of any bytes; the reply's bytes.
    pub(crate) fn run_words<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Vec<u8> {
        let argv = OwnedArgv::from_slices(words);
        let mut out = Vec::new();
        self.engine.run_one(&mut self.worker, &mut self.session, argv.as_argv(), &mut out, self.now_ms);
        out
    }

    /// The digest of everything.
    pub(crate) fn digest(&self) -> Digest {
        let mut effects = Effects::default();
        of_keyspace(&self.engine.lock(ALL_SHARDS, &mut effects, self.now_ms))
    }

    /// Runs every line and compares its reply.
    pub(crate) fn expect(&mut self, table: &[(&str, &str)]) {
        for (line, reply) in table {
            assert_eq!(self.run(line), *reply, "{line}");
        }
    }

    /// [`Self::expect`] in RESP3.
    pub(crate) fn expect3(&mut self, table: &[(&str, &str)]) {
        for (line, reply) in table {
            assert_eq!(self.run3(line), *reply, "{line}");
        }
    }
}

/// A primary, and a replica that only ever sees its stream. Replicas have another seed.
pub(crate) struct Replicated {
    pub(crate) primary: Harness,
    pub(crate) replica: Harness,
    /// What the last command was replayed as.
    pub(crate) last: Vec<Vec<Vec<u8>>>,
    recorder: Arc<Recorder>,
}

#[derive(Default)]
struct Recorder(Mutex<Vec<(u32, Vec<u8>)>>);

impl Sink for Recorder {
    fn append(&self, effects: &Effects) {
        let commands = effects.units().flatten().map(|(db, bytes)| (db, bytes.to_vec()));
        self.0.lock().unwrap().extend(commands);
    }
}

impl Replicated {
    pub(crate) fn new() -> Self {
        let (primary, mut replica) = (Harness::seeded(1), Harness::seeded(99));
        let recorder = Arc::new(Recorder::default());
        primary.engine.set_sink(Some(Arc::clone(&recorder) as Arc<dyn Sink>), || ());
        replica.session.role = Role::Primary;
        Self { primary, replica, last: Vec::new(), recorder }
    }

    /// Runs a command on the primary, its effects on the replica, and compares the two.
    pub(crate) fn run_words<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Vec<u8> {
        let reply = self.primary.run_words(words);
        self.replica.now_ms = self.primary.now_ms;
        let effects = std::mem::take(&mut *self.recorder.0.lock().unwrap());
        self.last.clear();
        for (db, bytes) in &effects {
            self.replica.session.db = *db as usize;
            let words = words_of(bytes);
            self.replica.run_words(&words);
            self.last.push(words);
        }
        let shown: Vec<String> =
            words.iter().map(|word| word.as_ref()[..word.as_ref().len().min(40)].escape_ascii().to_string()).collect();
        assert_eq!(self.primary.digest(), self.replica.digest(), "after {shown:?}: {}", show(&reply));
        reply
    }

    pub(crate) fn run(&mut self, line: &str) -> String {
        show(&self.run_words(&split(line)))
    }
}

/// The words of a RESP array of bulk strings.
pub(crate) fn words_of(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let count = header(&mut bytes);
    (0..count)
        .map(|_| {
            let len = header(&mut bytes);
            let word = bytes[..len].to_vec();
            bytes = &bytes[len + 2..];
            word
        })
        .collect()
}

fn header(bytes: &mut &[u8]) -> usize {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n").unwrap();
    let number = std::str::from_utf8(&bytes[1..end]).unwrap().parse().unwrap();
    *bytes = &bytes[end + 2..];
    number
}

pub(crate) fn split(line: &str) -> Vec<Vec<u8>> {
    let (mut words, mut word, mut quoted, mut open) = (Vec::new(), Vec::new(), false, false);
    for byte in line.bytes() {
        match byte {
            b'\'' => (quoted, open) = (!quoted, true),
            b' ' if !quoted => {
                if open {
                    words.push(std::mem::take(&mut word));
                }
                open = false;
            }
            _ => {
                word.push(byte);
                open = true;
            }
        }
    }
    if open {
        words.push(word);
    }
    words
}

/// Replies as text: `+OK`, `:1`, `,0.5`, `'bulk'`, `*2[:1 :2]`, `%1['k' :1]`, `$-1`, `-ERR ..`.
pub(crate) fn show(mut reply: &[u8]) -> String {
    let text = show_next(&mut reply);
    assert!(reply.is_empty(), "one reply to one command, then {:?}", reply.escape_ascii().to_string());
    text
}

/// [`show`] for any number of replies and messages.
pub(crate) fn show_all(mut bytes: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        all.push(show_next(&mut bytes));
    }
    all
}

fn show_next(reply: &mut &[u8]) -> String {
    let end = reply.windows(2).position(|pair| pair == b"\r\n").unwrap();
    let line = printable(&reply[..end]);
    let kind = reply[0];
    *reply = &reply[end + 2..];
    let number = || line[1..].parse::<i64>().unwrap();
    match kind {
        b'$' if number() >= 0 => {
            let len = number() as usize;
            let text = format!("'{}'", printable(&reply[..len]));
            *reply = &reply[len + 2..];
            text
        }
        b'*' | b'~' | b'>' | b'%' if number() >= 0 => {
            let parts = number() * if kind == b'%' { 2 } else { 1 };
            let parts: Vec<String> = (0..parts).map(|_| show_next(reply)).collect();
            format!("{line}[{}]", parts.join(" "))
        }
        _ => line,
    }
}

/// Bytes as text; only what is no printable ASCII is escaped.
fn printable(bytes: &[u8]) -> String {
    let char = |byte: &u8| match byte {
        b' '..=b'~' => char::from(*byte).to_string(),
        other => other.escape_ascii().to_string(),
    };
    bytes.iter().map(char).collect()
}

/// Every test file uses another part of this; naming all of it here keeps each of them free of warnings.
const _: () = {
    let _ = (START_MS, Harness::new, Harness::run3, Harness::digest, Harness::expect, Harness::expect3);
    let _ = (show_all, split);
    let _ = (Replicated::new, Replicated::run, |pair: &Replicated| pair.last.len());
};
