//! Servers started for one test.

use std::env;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use quiver_resp::Value;
use tempfile::TempDir;

use crate::connection::Connection;

/// How long a server may take to answer PING.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a server that was asked to end may take.
const END_TIMEOUT: Duration = Duration::from_secs(20);
/// Ports tried: another process may take the one found free before the server binds it.
const PORTS_TRIED: usize = 3;

/// A server process with a directory of its own; both end with this value.
#[derive(Debug)]
pub struct Server {
    child: Child,
    addr: SocketAddr,
    directory: PathBuf,
    /// Removes the directory, unless that is the test's.
    _owned: Option<TempDir>,
}

impl Server {
    /// Starts Quiver with further arguments in the style of `--name value`. The binary is `$QUIVER_SERVER`, or else
    /// `quiver-server` beside the running test or tool.
    ///
    /// # Errors
    /// When there is no binary, or it does not answer in time.
    pub fn start(args: &[&str]) -> Result<Self> {
        let program = program().context("no quiver-server is built; build it or set QUIVER_SERVER")?;
        Self::spawn(&|| Command::new(&program), args)
    }

    /// Starts `program` in a directory that outlives it, for tests that start a server again on its data.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn start_in(program: &Path, directory: &Path, args: &[&str]) -> Result<Self> {
        Self::spawn_in(&|| Command::new(program), directory.to_owned(), None, None, args)
    }

    /// As [`Self::start_in`], at a port that others know already.
    ///
    /// # Errors
    /// When it does not answer in time, or the port is taken.
    pub fn start_at(program: &Path, directory: &Path, port: u16, args: &[&str]) -> Result<Self> {
        Self::spawn_in(&|| Command::new(program), directory.to_owned(), None, Some(port), args)
    }

    /// Starts `program` in a directory of its own.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn start_program(program: &Path, args: &[&str]) -> Result<Self> {
        Self::spawn(&|| Command::new(program), args)
    }

    /// Starts the oracle: a real Redis, named by `$QUIVER_ORACLE` as a program and its first arguments, separated by
    /// spaces. `None` when the variable is not set.
    ///
    /// # Errors
    /// When the program does not answer in time.
    pub fn start_oracle(args: &[&str]) -> Result<Option<Self>> {
        let Ok(line) = env::var("QUIVER_ORACLE") else { return Ok(None) };
        let mut words = line.split_whitespace();
        let program = words.next().context("QUIVER_ORACLE is empty")?;
        let words: Vec<&str> = words.collect();
        let command = || {
            let mut command = Command::new(program);
            command.args(&words);
            command
        };
        Self::spawn(&command, args).map(Some)
    }

    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The directory it writes to.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A new connection.
    ///
    /// # Errors
    /// When the server has ended.
    pub fn connect(&self) -> Result<Connection> {
        Connection::connect(self.addr)
    }

    /// Ends it at once, as a crash would.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits until it has ended by itself, or by a signal.
    ///
    /// # Errors
    /// When it goes on.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let deadline = Instant::now() + END_TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("the server did not end within {} s", END_TIMEOUT.as_secs());
            }
            sleep(Duration::from_millis(5));
        }
    }

    fn spawn(command: &dyn Fn() -> Command, args: &[&str]) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        Self::spawn_in(command, directory.path().to_owned(), Some(directory), None, args)
    }

    fn spawn_in(
        command: &dyn Fn() -> Command,
        directory: PathBuf,
        owned: Option<TempDir>,
        port: Option<u16>,
        args: &[&str],
    ) -> Result<Self> {
        let start = || -> Result<(Child, SocketAddr)> {
            let port = port.map_or_else(free_port, Ok)?;
            let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let mut command = command();
            // A configuration file stands before all parameters.
            let file = usize::from(args.first().is_some_and(|first| !first.starts_with("--")));
            command.args(&args[..file]).args(["--port", &addr.port().to_string(), "--save", "", "--dir"]);
            command.arg(&directory).args(&args[file..]);
            command.stdin(Stdio::null()).stdout(Stdio::null());
            let child = command.spawn().with_context(|| format!("starting {command:?}"))?;
            Ok((child, addr))
        };
        let (child, addr) = start()?;
        let mut server = Self { child, addr, directory: directory.clone(), _owned: owned };
        let mut ready = server.wait_until_ready();
        for _ in 1..PORTS_TRIED {
            if ready.is_ok() || server.child.try_wait()?.is_none() {
                break;
            }
            (server.child, server.addr) = start()?;
            ready = server.wait_until_ready();
        }
        ready.map(|()| server)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let pong = self.connect().and_then(|mut connection| connection.call(&["PING"]));
            // A server that asks for a password is up; one that is loading is not.
            let is_up = |value: &Value| match value {
                Value::Error(text) => text.starts_with(b"NOAUTH"),
                value => *value == Value::Simple(b"PONG".to_vec()),
            };
            if pong.is_ok_and(|reply| is_up(&reply.value)) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended at its start: {status}");
            }
            if Instant::now() > deadline {
                bail!("the server did not answer PING within {} s", START_TIMEOUT.as_secs());
            }
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing to be done when it has ended by itself.
        let _ = self.kill();
    }
}

/// A port nothing listens on now.
///
/// # Errors
/// When the system has none.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// The binary of Quiver's server: `$QUIVER_SERVER`, or else `quiver-server` beside the running test or tool.
pub fn program() -> Option<PathBuf> {
    env::var_os("QUIVER_SERVER").map(PathBuf::from).or_else(built_server)
}

/// `quiver-server` in the folder of the running program or the one above (tests run in `deps/`).
fn built_server() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    program.ancestors().skip(1).take(2).map(|folder| folder.join("quiver-server")).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_ends_at_once_is_reported_without_waiting() {
        let started = Instant::now();
        let error = Server::spawn(&|| Command::new("false"), &[]).expect_err("`false` is no server");
        assert!(error.to_string().contains("ended at its start"), "{error:#}");
        assert!(started.elapsed() < START_TIMEOUT);
    }

    #[test]
    fn a_program_that_is_not_there_is_reported() {
        let error = Server::spawn(&|| Command::new("/no/such/program"), &[]).expect_err("there is none");
        assert!(format!("{error:#}").contains("/no/such/program"), "{error:#}");
    }
}
