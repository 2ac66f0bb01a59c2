//! Servers started for one test.

use std::env;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use quiver_resp::Value;
use tempfile::TempDir;

use crate::connection::Connection;

/// How long a server may take to answer PING.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A server process with a directory of its own; both end with this value.
#[derive(Debug)]
pub struct Server {
    child: Child,
    addr: SocketAddr,
    directory: TempDir,
}

impl Server {
    /// Starts Quiver with further arguments in the style of `--name value`. The binary is `$QUIVER_SERVER`, or else
    /// `quiver-server` beside the running test or tool.
    ///
    /// # Errors
    /// When there is no binary, or it does not answer in time.
    pub fn start(args: &[&str]) -> Result<Self> {
        let program = match env::var_os("QUIVER_SERVER") {
            Some(path) => PathBuf::from(path),
            None => built_server().context("no quiver-server is built; build it or set QUIVER_SERVER")?,
        };
        Self::spawn(Command::new(program), args)
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
        let mut command = Command::new(program);
        command.args(words);
        Self::spawn(command, args).map(Some)
    }

    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The directory it writes to.
    pub fn directory(&self) -> &Path {
        self.directory.path()
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

    fn spawn(mut command: Command, args: &[&str]) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        command.args(["--port", &addr.port().to_string(), "--save", "", "--dir"]).arg(directory.path()).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        let mut server = Self { child, addr, directory };
        server.wait_until_ready()?;
        Ok(server)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let pong = self.connect().and_then(|mut connection| connection.call(&["PING"]));
            if pong.is_ok_and(|reply| reply.value == Value::Simple(b"PONG".to_vec())) {
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
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
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
        let error = Server::spawn(Command::new("false"), &[]).expect_err("`false` is no server");
        assert!(error.to_string().contains("ended at its start"), "{error:#}");
        assert!(started.elapsed() < START_TIMEOUT);
    }

    #[test]
    fn a_program_that_is_not_there_is_reported() {
        let error = Server::spawn(Command::new("/no/such/program"), &[]).expect_err("there is none");
        assert!(format!("{error:#}").contains("/no/such/program"), "{error:#}");
    }
}
