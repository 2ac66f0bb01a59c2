//! A server as a child process: a free port, a data folder that outlives it, an end in order or at least an end.
//!
//! Works with any program that takes `--name value` options as redis-server does. The child's output goes to
//! `server.log` in its data folder; a start that fails quotes the end of it.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(10);
const REPLY_TIMEOUT: Duration = Duration::from_millis(500);
const LOG_TAIL_BYTES: usize = 2000;

/// A running server on this machine. Dropping it kills the process; [`Server::shutdown`] ends it in order.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Server {
    /// Starts `program` on a free port with `dir` as its data folder and the further `options`, without save points,
    /// and waits until it answers PING.
    pub(crate) fn start(program: &Path, dir: &Path, options: &[&str]) -> Result<Self> {
        let port = free_port()?;
        let log = dir.join("server.log");
        let output = File::options().create(true).append(true).open(&log);
        let output = output.with_context(|| format!("opening {}", log.display()))?;
        let child = Command::new(program)
            .args(["--port", &port.to_string(), "--save", "", "--dir"])
            .arg(dir)
            .args(options)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let mut server = Self { child, port, log };
        server.wait_until_ready()?;
        Ok(server)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends SHUTDOWN NOSAVE and waits for the end of the process.
    pub(crate) fn shutdown(mut self) -> Result<()> {
        let mut socket = TcpStream::connect(self.address()).context("connecting to end the server")?;
        socket.write_all(b"SHUTDOWN NOSAVE\r\n")?;
        let start = Instant::now();
        while start.elapsed() < STOP_TIMEOUT {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("the server ended with {status}; end of its log:\n{}", self.log_tail()),
                None => std::thread::sleep(POLL_INTERVAL),
            }
        }
        bail!("the server did not end within {} s; end of its log:\n{}", STOP_TIMEOUT.as_secs(), self.log_tail())
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < START_TIMEOUT {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended with {status} before it answered; end of its log:\n{}", self.log_tail());
            }
            if answers_ping(self.address()) {
                return Ok(());
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        bail!("the server did not answer within {} s; end of its log:\n{}", START_TIMEOUT.as_secs(), self.log_tail())
    }

    fn log_tail(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(LOG_TAIL_BYTES)..]).trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if the process has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of the loopback interface that was free a moment ago.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Whether a server there says PONG; one that is still loading its data says something else.
fn answers_ping(address: SocketAddr) -> bool {
    let ask = || -> io::Result<[u8; 5]> {
        let mut socket = TcpStream::connect_timeout(&address, REPLY_TIMEOUT)?;
        socket.set_read_timeout(Some(REPLY_TIMEOUT))?;
        socket.write_all(b"PING\r\n")?;
        let mut reply = [0; 5];
        socket.read_exact(&mut reply)?;
        Ok(reply)
    };
    ask().is_ok_and(|reply| &reply == b"+PONG")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_named_in_the_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = Server::start(Path::new("no-such-server"), dir.path(), &[]).unwrap_err();
        assert!(error.to_string().contains("no-such-server"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_server_that_ends_at_once_is_reported_with_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let error = Server::start(Path::new("sh"), dir.path(), &[]).unwrap_err(); // a shell refuses `--port`
        assert!(error.to_string().contains("ended with"), "{error}");
        assert!(error.to_string().contains("option"), "{error}");
    }
}
