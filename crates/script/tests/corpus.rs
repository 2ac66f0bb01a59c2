//! Scripts, and what a Redis 8.0.2 answered to them.
//!
//! The files of `corpus/` hold cases. Each begins with `## what it is about` and consists of commands: `| ..` is the
//! first and `. ..` each further line of a script, which is run with the case's `keys` and `args`; `do ..` runs a command whose reply does not matter,
//! `cmd ..` one whose reply does; `resp3` changes the protocol. Behind each stands the reply as `= ..`. A case begins
//! with an empty server.
//!
//! With `RECORD_FROM=host:port` the replies are asked of a server instead (it is emptied!) and written into the files.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common;

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use common::{Harness, show, split};
use quiver_resp::{OwnedArgv, Protocol, ReplyDecoder, ReplyLimits};

/// Replies that are meant to differ: the case, and why.
const ON_PURPOSE: &[(&str, &str)] = &[
    ("a library's metatable", TAIL_CALL),
    ("the globals' metatable", TAIL_CALL),
    ("wrong arguments: setmetatable", TAIL_CALL),
    ("wrong arguments: setmetatable's second", TAIL_CALL),
    ("loading pieces that are none", "the text is enough; Redis gives an error table"),
];

/// A function of Lua that is called last has no caller any more, so there is no line to name. In Redis these are C.
const TAIL_CALL: &str = "no position";

/// What runs the commands of a case.
trait Target {
    fn run(&mut self, words: &[Vec<u8>]) -> String;
    fn speak_resp3(&mut self);
}

impl Target for Harness {
    fn run(&mut self, words: &[Vec<u8>]) -> String {
        show(&self.run_words(words))
    }

    fn speak_resp3(&mut self) {
        self.speak(Protocol::Resp3);
    }
}

/// A server.
struct Server(TcpStream);

impl Server {
    fn fresh(address: &str) -> Self {
        let mut server = Self(TcpStream::connect(address).unwrap());
        for line in ["FLUSHALL", "SCRIPT FLUSH", "FUNCTION FLUSH", "CONFIG RESETSTAT"] {
            server.run(&split(line));
        }
        server
    }
}

impl Target for Server {
    fn run(&mut self, words: &[Vec<u8>]) -> String {
        let mut bytes = Vec::new();
        OwnedArgv::from_slices(words).encode(&mut bytes);
        self.0.write_all(&bytes).unwrap();
        let (mut reply, mut decoder, mut decoded) = (Vec::new(), ReplyDecoder::new(ReplyLimits::default()), 0);
        loop {
            let mut chunk = [0; 65536];
            let read = self.0.read(&mut chunk).unwrap();
            assert!(read > 0, "the server closed the connection");
            reply.extend_from_slice(&chunk[..read]);
            let (consumed, whole) = decoder.decode(&reply[decoded..]).unwrap();
            decoded += consumed;
            if whole.is_some() {
                return show(&reply);
            }
        }
    }

    fn speak_resp3(&mut self) {
        self.run(&split("HELLO 3"));
    }
}

/// Runs the cases of a file; gives the file with the replies in it.
fn play(text: &str, mut target: impl FnMut() -> Box<dyn Target>) -> String {
    let mut played = String::new();
    for (at, case) in text.split("\n## ").enumerate() {
        if at == 0 {
            played.push_str(case);
            continue;
        }
        played.push_str("\n## ");
        play_case(case, target().as_mut(), &mut played);
    }
    played
}

fn play_case(case: &str, target: &mut dyn Target, played: &mut String) {
    let (mut keys, mut args) = (Vec::new(), Vec::new());
    let mut lines = case.lines().filter(|line| !line.starts_with("= ")).peekable();
    played.push_str(lines.next().unwrap());
    played.push('\n');
    while let Some(line) = lines.next() {
        played.push_str(line);
        played.push('\n');
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        let reply = match kind {
            "|" => {
                let mut script = rest.to_owned();
                while let Some(line) = lines.next_if(|line| line.starts_with('.')) {
                    played.push_str(line);
                    played.push('\n');
                    script.push('\n');
                    script.push_str(line.strip_prefix(". ").unwrap_or(""));
                }
                let mut words: Vec<Vec<u8>> = vec![b"EVAL".to_vec(), script.into_bytes()];
                words.push(keys.len().to_string().into_bytes());
                words.extend(keys.iter().chain(&args).cloned());
                Some(target.run(&words))
            }
            "keys" => (keys = split(rest), None).1,
            "args" => (args = split(rest), None).1,
            "do" => (target.run(&split(rest)), None).1,
            "cmd" => Some(target.run(&split(rest))),
            "resp3" => (target.speak_resp3(), None).1,
            "" => None,
            other => panic!("{other:?} is no word of a case"),
        };
        if let Some(reply) = reply {
            let _ = writeln!(played, "= {reply}");
        }
    }
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn scripts_answer_what_redis_answers() {
    let (mut cases, mut differences) = (0, String::new());
    for file in files() {
        let text = std::fs::read_to_string(&file).unwrap();
        if let Ok(address) = std::env::var("RECORD_FROM") {
            let recorded = play(&text, || Box::new(Server::fresh(&address)));
            std::fs::write(&file, recorded).unwrap();
            continue;
        }
        let played = play(&text, || Box::new(Harness::new()));
        let split = |text: &str| text.split("\n## ").skip(1).map(|case| case.trim_end().to_owned()).collect::<Vec<_>>();
        for (expected, got) in split(&text).iter().zip(&split(&played)) {
            cases += 1;
            let title = expected.lines().next().unwrap();
            let excused = ON_PURPOSE.iter().any(|(known, _)| *known == title);
            assert!(!excused || expected != got, "{title} does not differ any more");
            if expected != got && !excused {
                let lines = expected.lines().zip(got.lines()).filter(|(a, b)| a != b);
                let lines: Vec<String> =
                    lines.map(|(redis, here)| format!("  redis {redis}\n  here  {here}")).collect();
                let _ = writeln!(differences, "{}: {title}\n{}", file.file_stem().unwrap().display(), lines.join("\n"));
            }
        }
    }
    assert!(differences.is_empty(), "of {cases} cases differ:\n{differences}");
    assert!(cases >= 150 || std::env::var("RECORD_FROM").is_ok(), "only {cases} cases were found");
}
