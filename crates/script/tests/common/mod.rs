//! An engine with scripts, driven by lines; and replies as text.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use quiver_engine::{Engine, Session, Worker};
use quiver_resp::{OwnedArgv, Protocol, split_inline};
use quiver_script::LuaRuntime;

/// One engine and one client of it.
pub(crate) struct Harness {
    pub(crate) engine: Arc<Engine>,
    pub(crate) worker: Worker,
    pub(crate) session: Session,
}

impl Harness {
    pub(crate) fn new() -> Self {
        let engine = Arc::new(Engine::standalone());
        engine.scripts.set_runtime(Arc::new(LuaRuntime::default()));
        Self::of(&engine)
    }

    /// One more client of an engine.
    pub(crate) fn of(engine: &Arc<Engine>) -> Self {
        let client = engine.connect("test:1".to_owned(), "test:2".to_owned(), now_ms()).unwrap();
        let session = Session::new(client, true);
        Self { engine: Arc::clone(engine), worker: engine.worker(1, now_ns), session }
    }

    /// Runs one command of any bytes; the reply's bytes.
    pub(crate) fn run_words<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Vec<u8> {
        let argv = OwnedArgv::from_slices(words);
        let mut out = Vec::new();
        self.engine.run_one(&mut self.worker, &mut self.session, argv.as_argv(), &mut out, now_ms());
        out
    }

    /// Runs a line as redis-cli reads it; the reply as text.
    pub(crate) fn run(&mut self, line: &str) -> String {
        show(&self.run_words(&split(line)))
    }

    /// Runs a script without arguments.
    pub(crate) fn eval(&mut self, script: &str) -> String {
        show(&self.run_words(&[b"EVAL".as_slice(), script.as_bytes(), b"0"]))
    }

    pub(crate) fn speak(&mut self, protocol: Protocol) {
        self.session.protocol = protocol;
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// Real time, as a server has it.
pub(crate) fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

/// The words of a line.
pub(crate) fn split(line: &str) -> Vec<Vec<u8>> {
    let (mut text, mut ranges) = (Vec::new(), Vec::new());
    split_inline(line.as_bytes(), &mut text, |range| ranges.push(range)).unwrap();
    ranges.into_iter().map(|range| text[range].to_vec()).collect()
}

/// A reply as text: `+OK`, `:1`, `,0.5`, `'bulk'`, `[:1 :2]`, `%['k' :1]`, `~['a']`, `nil`, `-ERR ..`.
pub(crate) fn show(mut reply: &[u8]) -> String {
    let text = show_next(&mut reply);
    assert!(reply.is_empty(), "one reply to one command, then {:?}", reply.escape_ascii().to_string());
    text
}

fn show_next(reply: &mut &[u8]) -> String {
    let end = reply.windows(2).position(|pair| pair == b"\r\n").unwrap();
    let line = printable(&reply[..end]);
    let kind = reply[0];
    *reply = &reply[end + 2..];
    let number = || line[1..].parse::<i64>().unwrap();
    match kind {
        b'$' | b'*' if number() < 0 => format!("nil{}", char::from(kind)),
        b'_' => "nil".to_owned(),
        b'$' | b'=' => {
            let len = number() as usize;
            let text = format!("{}'{}'", if kind == b'=' { "=" } else { "" }, printable(&reply[..len]));
            *reply = &reply[len + 2..];
            text
        }
        b'*' | b'~' | b'>' | b'%' => {
            let parts = number() * if kind == b'%' { 2 } else { 1 };
            let parts: Vec<String> = (0..parts).map(|_| show_next(reply)).collect();
            let kind = if kind == b'*' { String::new() } else { char::from(kind).to_string() };
            format!("{kind}[{}]", parts.join(" "))
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
    let _ = (Harness::new, Harness::of, Harness::run, Harness::eval, Harness::speak, now_ns);
};
