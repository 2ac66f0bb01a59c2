//! Scripts of commands with the replies of Redis: `tests/redis/*.redis`.
//!
//! A line is a command, the indented line below it its reply (see `common::show`); `#` begins a remark, `@resp3` and
//! `@resp2` change the protocol. Each file begins with an empty server. The replies come from Redis 8.0.2:
//!
//! - `REDIS=host:port cargo test -p quiver-engine --test scripts` runs the scripts against a real server instead, whose
//!   data are deleted;
//! - `UPDATE_SCRIPTS=1` beside it writes that server's replies into the files.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use common::{Harness, show, split};
use quiver_resp::{ReplyDecoder, ReplyLimits};

/// Whoever answers.
trait Server {
    fn run(&mut self, line: &str) -> String;
    fn speak(&mut self, resp3: bool);
}

/// An engine of its own.
struct Own(Harness, bool);

impl Server for Own {
    fn run(&mut self, line: &str) -> String {
        if self.1 { self.0.run3(line) } else { self.0.run(line) }
    }

    fn speak(&mut self, resp3: bool) {
        self.1 = resp3;
    }
}

/// A server that listens somewhere.
struct Remote(TcpStream);

impl Server for Remote {
    fn run(&mut self, line: &str) -> String {
        let words = split(line);
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in &words {
            request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            request.extend_from_slice(word);
            request.extend_from_slice(b"\r\n");
        }
        self.0.write_all(&request).expect("the server takes commands");
        let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
        loop {
            if let (used, Some(_)) =
                ReplyDecoder::new(ReplyLimits::default()).decode(&bytes).expect("the server speaks RESP")
            {
                return show(&bytes[..used]);
            }
            let read = self.0.read(&mut chunk).expect("the server answers");
            assert!(read > 0, "the server closed the connection after {line}");
            bytes.extend_from_slice(&chunk[..read]);
        }
    }

    fn speak(&mut self, resp3: bool) {
        self.run(if resp3 { "HELLO 3" } else { "HELLO 2" });
    }
}

fn server() -> Box<dyn Server> {
    match std::env::var("REDIS") {
        Err(_) => Box::new(Own(Harness::new(), false)),
        Ok(address) => {
            let mut remote = Remote(TcpStream::connect(address).expect("a server at the address"));
            remote.run("FLUSHALL");
            remote.run("CONFIG RESETSTAT");
            Box::new(remote)
        }
    }
}

/// Runs a script; gives it with the replies there were, and the differences.
fn play(script: &str) -> (String, Vec<String>) {
    let mut server = server();
    let (mut out, mut differences) = (String::new(), Vec::new());
    let mut lines = script.lines().peekable();
    while let Some(line) = lines.next() {
        out.push_str(line);
        out.push('\n');
        match line {
            "@resp3" => server.speak(true),
            "@resp2" => server.speak(false),
            _ if line.is_empty() || line.starts_with('#') => {}
            command => {
                let reply = server.run(command);
                let wanted = lines.next_if(|line| line.starts_with(' ')).map_or("", str::trim_start);
                if reply != wanted {
                    differences.push(format!("{command}\n  wanted {wanted}\n  got    {reply}"));
                }
                out.push_str(&format!("  {reply}\n"));
            }
        }
    }
    (out, differences)
}

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/redis");
    let files = fs::read_dir(folder).expect("the folder of scripts is there");
    let mut paths: Vec<PathBuf> = files.map(|file| file.expect("a readable folder").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "redis"));
    paths.sort();
    paths
}

#[test]
fn replies_to_the_scripts_are_those_of_redis() {
    let mut wrong = Vec::new();
    let paths = scripts();
    assert!(paths.len() > 10, "the scripts are missing");
    for path in paths {
        let script = fs::read_to_string(&path).expect("a readable script");
        let (played, differences) = play(&script);
        if std::env::var_os("UPDATE_SCRIPTS").is_some() && std::env::var_os("REDIS").is_some() {
            fs::write(&path, played).expect("a writable script");
        } else {
            wrong.extend(differences.iter().map(|difference| format!("{}: {difference}", path.display())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
