//! Servers under measurement: started by us, pinned, reached over one port each, killed when dropped.
//!
//! Pinning: the starting thread moves to the servers' core, spawns, and moves to the generator's core; the child
//! inherits the affinity before it has threads, so no thread of it ever runs elsewhere.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::thread::{CpuSet, sched_setaffinity};
use tempfile::TempDir;

use crate::procfs;
use crate::reply;

/// How long a server may take to answer its first PING.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Which core runs the servers and which the generator.
#[derive(Debug, Clone, Copy)]
pub struct Cores {
    /// Core of all servers.
    pub server: usize,
    /// Core of the generator.
    pub generator: usize,
}

/// How to start one of the servers of a run.
#[derive(Debug, Clone)]
pub struct ServerSpec {
    /// Name in tables: "quiver", "redis" or "valkey".
    pub name: String,
    /// Program and leading arguments, separated by blanks; started with Redis' flags after them.
    pub command: String,
    /// TCP port on the loopback interface.
    pub port: u16,
    /// Pinning, unless switched off.
    pub cores: Option<Cores>,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// Name in tables.
    pub name: String,
    address: SocketAddr,
    child: Child,
    /// Until it is taken with the end of the server.
    folder: Option<TempDir>,
}

impl Server {
    /// Starts the server on an empty folder without persistence and waits for its first PONG.
    pub fn start(spec: &ServerSpec) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, spec.port));
        drop(TcpListener::bind(address).with_context(|| format!("port {} is taken", spec.port))?);
        let folder = tempfile::tempdir().context("making a data folder")?;
        Self::start_on(spec, folder, START_TIMEOUT)
    }

    /// Starts the server on what an earlier one left and waits for its first PONG, which may take it a while of loading.
    pub fn start_on(spec: &ServerSpec, folder: TempDir, patience: Duration) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, spec.port));
        let child = spawn(spec, &folder).with_context(|| format!("starting {} as {:?}", spec.name, spec.command))?;
        let mut server = Self { name: spec.name.clone(), address, child, folder: Some(folder) };
        server.wait_for_pong(patience)?;
        Ok(server)
    }

    /// Ends the server at once; gives the folder with its data.
    pub fn end(mut self) -> Result<TempDir> {
        self.child.kill()?;
        self.child.wait()?;
        self.folder.take().context("a server has a folder until it is ended")
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its data is.
    pub fn folder(&self) -> &Path {
        self.folder.as_ref().map_or(Path::new("."), TempDir::path)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// User and system time so far, all threads; precise to 10 ms.
    pub fn cpu_time(&self) -> Result<Duration> {
        procfs::cpu_time(self.child.id())
    }

    /// Resident bytes now.
    pub fn resident_bytes(&self) -> Result<u64> {
        procfs::resident_bytes(self.child.id())
    }

    /// Sends one command on a connection of its own and returns the raw reply, which may be an error reply.
    pub fn call(&self, argv: &[&[u8]]) -> Result<Vec<u8>> {
        self.call_within(argv, Duration::from_secs(60))
    }

    /// The same with a reply that may take long.
    pub fn call_within(&self, argv: &[&[u8]], patience: Duration) -> Result<Vec<u8>> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(&crate::template::encode(argv))?;
        let (mut received, mut chunk) = (Vec::new(), [0; 4096]);
        while reply::complete_len(&received)?.is_none() {
            let count = stream.read(&mut chunk)?;
            ensure!(count > 0, "{} closed the connection", self.name);
            received.extend_from_slice(&chunk[..count]);
        }
        Ok(received)
    }

    /// Whether the server knows a command.
    pub fn supports(&self, command: &str) -> Result<bool> {
        let reply = self.call(&[command.as_bytes()])?;
        Ok(!reply.starts_with(b"-ERR unknown command"))
    }

    /// What `INFO server` calls the version, with the name of the server where it gives one.
    pub fn version(&self) -> Result<String> {
        let reply = self.call(&[b"INFO", b"server"])?;
        let text = String::from_utf8_lossy(&reply);
        let value =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
        let own = format!("{}_version", self.name);
        Ok(value(&own).or_else(|| value("redis_version")).unwrap_or("unknown").to_owned())
    }

    fn wait_for_pong(&mut self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended at start with {status}; it said:\n{}", self.name, self.log_tail());
            }
            if self.call(&[b"PING"]).is_ok_and(|reply| reply == b"+PONG\r\n") {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{} does not answer PING; it said:\n{}", self.name, self.log_tail());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read(self.folder().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(1000)..]).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing on its disk is wanted, so no orderly shutdown; both calls fail only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Moves this thread (and what it spawns from now on) to one core.
pub fn pin_this_thread(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    ensure!(core < CpuSet::MAX_CPU, "there is no core {core}");
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("pinning to core {core}"))
}

fn spawn(spec: &ServerSpec, folder: &TempDir) -> Result<Child> {
    let mut words = spec.command.split_whitespace();
    let program = words.next().context("the command is empty")?;
    let log = File::create(folder.path().join("log"))?;
    let mut command = Command::new(program);
    command.args(words).args(["--port", &spec.port.to_string(), "--save", "", "--dir"]).arg(folder.path());
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    if let Some(cores) = spec.cores {
        pin_this_thread(cores.server)?;
    }
    let child = command.spawn();
    if let Some(cores) = spec.cores {
        pin_this_thread(cores.generator)?;
    }
    Ok(child?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(command: &str) -> ServerSpec {
        ServerSpec { name: "quiver".into(), command: command.into(), port: free_port(), cores: None }
    }

    fn free_port() -> u16 {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
    }

    #[test]
    fn a_program_that_ends_at_once_is_reported_with_what_it_said() {
        let error = Server::start(&spec("/bin/ls")).unwrap_err().to_string();
        assert!(error.contains("ended at start") && error.contains("--port"), "{error}");
    }

    #[test]
    fn a_missing_program_is_reported_by_name() {
        let error = format!("{:#}", Server::start(&spec("/nonexistent/server")).unwrap_err());
        assert!(error.contains("/nonexistent/server"), "{error}");
    }

    #[test]
    fn a_taken_port_is_found_before_starting() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let spec = ServerSpec { port: taken.local_addr().unwrap().port(), ..spec("/bin/true") };
        assert!(Server::start(&spec).unwrap_err().to_string().contains("is taken"));
    }
}
