//! Stock sentinels watch a primary with two replicas, and the primary is killed again and again: `sentinel --cycles 5`.
//!
//! The sentinels are the program that `QUIVER_SENTINEL` names (`redis-sentinel`, with arguments if need be), three of them
//! with a quorum of two. In every cycle keys and vectors are written and confirmed by both replicas, the primary is
//! killed, the sentinels promote a replica, the old primary comes back and is made a replica of the new one. Then all
//! three must hold the same, and everything that was confirmed. Ends with status 1 when anything of that does not hold.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a tool that reports its progress")]

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use quiver_resp::Value;
use quiver_testkit::server::{Server, free_port, program};
use quiver_testkit::{Connection, content};
use tempfile::TempDir;

const SERVERS: usize = 3;
const SENTINELS: usize = 3;
const SETTINGS: &[&str] = &["--repl-backlog-size", "64mb", "--io-threads", "1"];
/// How long something that must happen may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Silence after which a sentinel takes a server for dead, ms.
const DOWN_AFTER_MS: u64 = 1000;

/// Kill the primary that sentinels watch.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many times.
    #[arg(long, default_value_t = 5)]
    cycles: u64,
    /// Keys written in each cycle.
    #[arg(long, default_value_t = 300)]
    keys: u64,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut watched = Watched::start()?;
    let mut slowest = Duration::ZERO;
    for cycle in 1..=arguments.cycles {
        match watched.cycle(cycle, arguments.keys) {
            Ok(took) => {
                slowest = slowest.max(took);
                println!("cycle {cycle}: another primary after {} ms", took.as_millis());
            }
            Err(error) => {
                println!("cycle {cycle} FAILED: {error:?}");
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    println!(
        "{} failovers by sentinels, nothing confirmed lost, all servers equal after each; the slowest took {} ms, {} of \
         them the silence they wait for",
        arguments.cycles,
        slowest.as_millis(),
        DOWN_AFTER_MS,
    );
    Ok(ExitCode::SUCCESS)
}

/// A primary, its replicas, and who watches them.
struct Watched {
    servers: Vec<Server>,
    folders: Vec<TempDir>,
    primary: usize,
    sentinels: Vec<Sentinel>,
}

struct Sentinel {
    child: Child,
    addr: SocketAddr,
    _folder: TempDir,
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        // Both fail only when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Sentinel {
    fn start(primary: SocketAddr) -> Result<Self> {
        let line =
            std::env::var("QUIVER_SENTINEL").context("QUIVER_SENTINEL names the program, e.g. redis-sentinel")?;
        let (folder, port) = (tempfile::tempdir()?, free_port()?);
        let file = folder.path().join("sentinel.conf");
        let settings = format!(
            "port {port}\ndir {}\nsentinel monitor quiver {} {} 2\nsentinel down-after-milliseconds quiver \
             {DOWN_AFTER_MS}\nsentinel failover-timeout quiver 6000\nsentinel parallel-syncs quiver 2\n",
            folder.path().display(),
            primary.ip(),
            primary.port(),
        );
        fs::write(&file, settings)?;
        let mut words = line.split_whitespace();
        let mut command = Command::new(words.next().context("QUIVER_SENTINEL is empty")?);
        let child = command.args(words).arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        Ok(Self { child, addr: SocketAddr::from(([127, 0, 0, 1], port)), _folder: folder })
    }

    fn ask(&self, line: &str) -> Result<Vec<String>> {
        let words: Vec<&str> = line.split(' ').collect();
        let reply = Connection::connect(self.addr)?.call(&words)?.value;
        let Value::Array(items) = reply else { bail!("{line}: {reply:?}") };
        Ok(items.iter().map(|item| item.as_str().unwrap_or_default().to_owned()).collect())
    }

    /// Where it says the primary is.
    fn primary_port(&self) -> Result<u16> {
        let words = self.ask("SENTINEL GET-MASTER-ADDR-BY-NAME quiver")?;
        Ok(words.get(1).context("an address has a port")?.parse()?)
    }

    /// Whether it knows everybody.
    fn sees_all(&self) -> Result<bool> {
        let facts = self.ask("SENTINEL MASTER quiver")?;
        let fact = |name: &str| facts.chunks(2).find(|fact| fact[0] == name).map(|fact| fact[1].clone());
        let expected = [("num-slaves", SERVERS - 1), ("num-other-sentinels", SENTINELS - 1)];
        let is_well = fact("flags").as_deref() == Some("master");
        Ok(is_well && expected.iter().all(|(name, number)| fact(name) == Some(number.to_string())))
    }
}

fn wait(what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<Duration> {
    let since = Instant::now();
    while !done().unwrap_or(false) {
        ensure!(since.elapsed() < PATIENCE, "waited in vain for {what}");
        sleep(Duration::from_millis(10));
    }
    Ok(since.elapsed())
}

impl Watched {
    fn start() -> Result<Self> {
        let program = program()?;
        let (mut servers, mut folders) = (Vec::new(), Vec::new());
        for _ in 0..SERVERS {
            let folder = tempfile::tempdir()?;
            servers.push(Server::start_in(&program, folder.path(), SETTINGS)?);
            folders.push(folder);
        }
        let primary = servers[0].addr();
        for replica in &servers[1..] {
            replica.connect()?.call(&["REPLICAOF", "127.0.0.1", &primary.port().to_string()])?;
        }
        let sentinels = (0..SENTINELS).map(|_| Sentinel::start(primary)).collect::<Result<_>>()?;
        Ok(Self { servers, folders, primary: 0, sentinels })
    }

    fn cycle(&mut self, cycle: u64, keys: u64) -> Result<Duration> {
        wait("every sentinel to see everybody", || {
            self.sentinels.iter().try_fold(true, |all, sentinel| Ok(all && sentinel.sees_all()?))
        })?;
        self.write(cycle, keys)?;
        let (old, old_port) = (self.primary, self.servers[self.primary].addr().port());
        self.servers[old].kill()?;
        let took = wait("another primary", || {
            self.sentinels.iter().try_fold(true, |all, sentinel| Ok(all && sentinel.primary_port()? != old_port))
        })?;
        let port = self.sentinels[0].primary_port()?;
        let new = self.servers.iter().position(|server| server.addr().port() == port);
        self.primary = new.context("the sentinels name a server of ours")?;
        wait("the new primary to take writes", || {
            let reply = self.servers[self.primary].connect()?.call(&["SET", "after", &cycle.to_string()])?;
            Ok(!matches!(reply.value, Value::Error(_)))
        })?;
        let folder = self.folders[old].path();
        self.servers[old] = Server::start_at(&program()?, folder, old_port, SETTINGS)?;
        wait("the old primary to be made a replica", || {
            let role = self.servers[old].connect()?.call(&["ROLE"])?.value;
            let words: Vec<String> = role.as_array().context("ROLE answers an array")?.iter().map(text).collect();
            Ok(words[0] == "slave" && words[2] == port.to_string() && words[3] == "connected")
        })?;
        self.compare(cycle, keys)?;
        Ok(took)
    }

    /// Keys and vectors, confirmed by both replicas.
    fn write(&self, cycle: u64, keys: u64) -> Result<()> {
        let mut connection = self.servers[self.primary].connect()?;
        for key in 0..keys {
            let lines = [
                format!("SET key:{cycle}:{key} {key}"),
                format!("RPUSH list {cycle}:{key}"),
                format!("VADD vectors VALUES 3 {key} {cycle} 1 e{}", key % 50),
            ];
            for line in lines {
                let words: Vec<&str> = line.split(' ').collect();
                let reply = connection.call(&words)?.value;
                ensure!(!matches!(reply, Value::Error(_)), "{line}: {reply:?}");
            }
        }
        wait("both replicas to confirm", || Ok(connection.call(&["WAIT", "2", "1000"])?.value == Value::Integer(2)))?;
        Ok(())
    }

    fn compare(&self, cycle: u64, keys: u64) -> Result<()> {
        let mut primary = self.servers[self.primary].connect()?;
        for key in 0..keys {
            let found = primary.call(&["GET", &format!("key:{cycle}:{key}")])?.value;
            ensure!(found == Value::Bulk(key.to_string().into_bytes()), "key:{cycle}:{key} holds {found:?}");
        }
        let wanted = content::of(&mut primary)?;
        for server in &self.servers {
            wait("everybody to hold the same", || Ok(content::of(&mut server.connect()?)? == wanted))?;
        }
        Ok(())
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Integer(number) => number.to_string(),
        value => value.as_str().unwrap_or_default().to_owned(),
    }
}
