//! The servers, what is done to them, and what must hold behind it.

use std::net::SocketAddr;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use quiver_resp::Value;
use quiver_testkit::server::{Server, program};
use tempfile::TempDir;

use crate::writers::ELEMENTS;

const SERVERS: usize = 3;
/// Enough of a backlog for every cut.
const SETTINGS: &[&str] = &["--enable-debug-command", "yes", "--repl-backlog-size", "64mb", "--io-threads", "1"];
/// How long something that must happen may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A primary and its replicas.
pub(crate) struct Cluster {
    servers: Vec<Server>,
    folders: Vec<TempDir>,
    pub(crate) primary: usize,
    next_replica: usize,
}

/// How replicas were served.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) partial: i64,
    pub(crate) full: i64,
    each: Vec<(i64, i64)>,
    /// A server that has started anew, and counts from 0.
    pub(crate) restarted: Option<usize>,
}

impl Counts {
    /// What has happened since.
    pub(crate) fn since(&self, before: &Self, expected: &Self) -> Self {
        let mut sum = Self::default();
        for (server, (now, then)) in self.each.iter().zip(&before.each).enumerate() {
            let then = if expected.restarted == Some(server) { &(0, 0) } else { then };
            sum.partial += now.0 - then.0;
            sum.full += now.1 - then.1;
        }
        sum
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.partial += other.partial;
        self.full += other.full;
    }
}

impl Cluster {
    pub(crate) fn start() -> Result<Self> {
        let program = program().context("no quiver-server is built; build it or set QUIVER_SERVER")?;
        let (mut servers, mut folders) = (Vec::new(), Vec::new());
        for _ in 0..SERVERS {
            let folder = tempfile::tempdir()?;
            servers.push(Server::start_in(&program, folder.path(), SETTINGS)?);
            folders.push(folder);
        }
        let cluster = Self { servers, folders, primary: 0, next_replica: 0 };
        for replica in 1..SERVERS {
            cluster.follow(replica)?;
        }
        cluster.wait_until_linked(PATIENCE)?;
        Ok(cluster)
    }

    pub(crate) fn primary_addr(&self) -> SocketAddr {
        self.servers[self.primary].addr()
    }

    fn replicas(&self) -> Vec<usize> {
        (0..SERVERS).filter(|server| *server != self.primary).collect()
    }

    /// Another one each time.
    pub(crate) fn a_replica(&mut self) -> usize {
        self.next_replica += 1;
        let replicas = self.replicas();
        replicas[self.next_replica % replicas.len()]
    }

    /// A command that must succeed.
    fn run(&self, server: usize, line: &str) -> Result<Value> {
        let words: Vec<&str> = line.split(' ').collect();
        match self.servers[server].connect()?.call(&words)?.value {
            Value::Error(text) => bail!("{line} on server {server}: {}", text.escape_ascii()),
            value => Ok(value),
        }
    }

    fn info(&self, server: usize, field: &str) -> Result<String> {
        let reply = self.run(server, "INFO everything")?;
        let text = reply.as_str().context("INFO is text")?;
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        Ok(line.with_context(|| format!("INFO has no {field}"))?.to_owned())
    }

    fn offset(&self, server: usize) -> Result<i64> {
        Ok(self.info(server, "master_repl_offset")?.parse()?)
    }

    // --- what happens ---------------------------------------------------------------------------------------------

    pub(crate) fn kill(&mut self, server: usize) -> Result<()> {
        self.servers[server].kill()
    }

    pub(crate) fn shut_down(&mut self, server: usize) -> Result<()> {
        let words = ["SHUTDOWN", "SAVE"];
        // The connection ends with the server.
        let _ = self.servers[server].connect()?.call(&words);
        self.servers[server].wait().map(drop)
    }

    pub(crate) fn snapshot(&self, server: usize) -> Result<()> {
        self.run(server, "SAVE").map(drop)
    }

    /// Starts a server again on its data, as a replica of the primary.
    pub(crate) fn start_again(&mut self, server: usize) -> Result<()> {
        let program = program().context("it was there before")?;
        let port = self.servers[server].addr().port();
        let primary = self.primary_addr().port().to_string();
        let settings = [SETTINGS, &["--replicaof", "127.0.0.1", &primary]].concat();
        let folder: &Path = self.folders[server].path();
        self.servers[server] = Server::start_at(&program, folder, port, &settings)?;
        Ok(())
    }

    pub(crate) fn follow(&self, server: usize) -> Result<()> {
        self.run(server, &format!("REPLICAOF 127.0.0.1 {}", self.primary_addr().port())).map(drop)
    }

    /// Promotes the replica that has received most; the others follow it. `old` is left alone.
    pub(crate) fn promote_best(&mut self, old: usize) -> Result<()> {
        let mut offsets = Vec::new();
        for replica in self.replicas() {
            offsets.push((self.offset(replica)?, replica));
        }
        let (_, best) = offsets.into_iter().max().context("there are replicas")?;
        self.run(best, "REPLICAOF NO ONE")?;
        self.primary = best;
        for server in (0..SERVERS).filter(|server| *server != old && *server != best) {
            self.follow(server)?;
        }
        Ok(())
    }

    /// Holds writes back and waits until every replica has everything.
    pub(crate) fn stand_still(&self) -> Result<()> {
        self.run(self.primary, "CLIENT PAUSE 5000 WRITE")?;
        self.wait_until_equal()
    }

    /// Lets go what [`Self::stand_still`] held back; by now it is refused.
    pub(crate) fn go_on(&self, server: usize) -> Result<()> {
        self.run(server, "CLIENT UNPAUSE").map(drop)
    }

    /// FAILOVER to a replica, and waits until it is the primary.
    pub(crate) fn hand_over(&mut self) -> Result<()> {
        let (old, new) = (self.primary, self.a_replica());
        let port = self.servers[new].addr().port();
        self.run(old, &format!("FAILOVER TO 127.0.0.1 {port} TIMEOUT 10000"))?;
        let since = Instant::now();
        while self.info(new, "role")? != "master" {
            ensure!(since.elapsed() < PATIENCE, "nobody took over");
            sleep(Duration::from_millis(5));
        }
        self.primary = new;
        for server in (0..SERVERS).filter(|server| *server != old && *server != new) {
            self.follow(server)?;
        }
        Ok(())
    }

    pub(crate) fn cut_links(&self) -> Result<()> {
        self.run(self.primary, "CLIENT KILL TYPE replica").map(drop)
    }

    // --- what must hold -------------------------------------------------------------------------------------------

    pub(crate) fn counts(&self) -> Result<Counts> {
        let mut counts = Counts::default();
        for server in 0..SERVERS {
            let count = |field| -> Result<i64> { Ok(self.info(server, field)?.parse()?) };
            counts.each.push((count("sync_partial_ok")?, count("sync_full")?));
        }
        Ok(counts)
    }

    /// Waits until every replica has a link to the primary, and is in its list.
    pub(crate) fn wait_until_linked(&self, patience: Duration) -> Result<()> {
        let since = Instant::now();
        let port = self.primary_addr().port().to_string();
        loop {
            let mut missing = Vec::new();
            for replica in self.replicas() {
                let linked = self.info(replica, "role")? == "slave"
                    && self.info(replica, "master_port")? == port
                    && self.info(replica, "master_link_status")? == "up";
                if !linked {
                    missing.push(replica);
                }
            }
            if missing.is_empty() {
                return Ok(());
            }
            ensure!(since.elapsed() < patience, "servers {missing:?} have no link to {}", self.primary);
            sleep(Duration::from_millis(5));
        }
    }

    fn wait_until_equal(&self) -> Result<()> {
        let since = Instant::now();
        loop {
            let wanted = self.offset(self.primary)?;
            let mut behind = Vec::new();
            for replica in self.replicas() {
                if self.offset(replica)? != wanted {
                    behind.push(replica);
                }
            }
            if behind.is_empty() {
                return Ok(());
            }
            ensure!(since.elapsed() < PATIENCE, "servers {behind:?} do not catch up");
            sleep(Duration::from_millis(5));
        }
    }

    /// While nobody writes: all servers are equal, and have what was confirmed.
    pub(crate) fn check(&self, confirmed: &[u64]) -> Result<()> {
        self.wait_until_equal()?;
        let mut lines = vec!["DEBUG DIGEST".to_owned(), "DBSIZE".to_owned()];
        for (writer, number) in confirmed.iter().enumerate() {
            let last = self.run(self.primary, &format!("GET last:{writer}"))?;
            let last: u64 = last.as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
            ensure!(last >= *number, "writer {writer}: {number} was confirmed, {last} is there");
            lines.push(format!("VCARD vectors:{writer}"));
            lines.push(format!("VGETATTR vectors:{writer} e{}", number % ELEMENTS));
            lines.push(format!("VSIM vectors:{writer} VALUES 8 1 0 0 0 0 0 0 1 COUNT 20 WITHSCORES TRUTH"));
            lines.push(format!("LRANGE list:{writer} 0 -1"));
        }
        for line in &lines {
            let wanted = self.run(self.primary, line)?;
            for replica in self.replicas() {
                let got = self.run(replica, line)?;
                ensure!(got == wanted, "{line}: server {replica} has {got:?}, the primary {wanted:?}");
            }
        }
        Ok(())
    }
}
