//! The process itself: leaving the terminal, the pid file, word to whoever supervises it.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use quiver_engine::config::Config;
use tracing::warn;

/// Tells the second process that it is the one in the background.
const IN_BACKGROUND: &str = "QUIVER_IN_BACKGROUND";

/// Where the pid goes when the server runs in the background and nothing is said, as with Redis.
const BACKGROUND_PIDFILE: &str = "/var/run/redis.pid";

/// Starts this program again without a terminal when `daemonize` asks for it; `true` when this process is done. Threads
/// do not survive a fork, so it is a fresh process and not a copy.
///
/// # Errors
/// The program could not be started again.
pub(crate) fn go_to_background(config: &Config) -> Result<bool> {
    if config.get("daemonize") != "yes" || std::env::var_os(IN_BACKGROUND).is_some() {
        return Ok(false);
    }
    let program = std::env::current_exe().context("finding the program to run in the background")?;
    Command::new(program)
        .args(std::env::args_os().skip(1))
        .env(IN_BACKGROUND, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("starting in the background")?;
    Ok(true)
}

/// Tells systemd that clients are served, where `supervised` says that it asks (sd_notify's protocol: a datagram to the
/// socket it names).
pub(crate) fn tell_supervisor(config: &Config) {
    let wanted = matches!(config.get("supervised").as_str(), "systemd" | "auto");
    let Some(name) = std::env::var("NOTIFY_SOCKET").ok().filter(|_| wanted) else { return };
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&name),
    };
    let sent = address.and_then(|address| {
        UnixDatagram::unbound()?.send_to_addr(b"STATUS=Ready to accept connections\nREADY=1\n", &address)
    });
    if let Err(error) = sent {
        warn!("the supervisor could not be told that the server is ready: {error}");
    }
}

/// The file with the pid, there while this lives.
#[derive(Debug)]
pub(crate) struct PidFile(Option<String>);

impl PidFile {
    /// Writes the file that `pidfile` names. A server whose pid cannot be written serves all the same, as with Redis.
    pub(crate) fn write(config: &Config) -> Self {
        let mut path = config.get("pidfile");
        if path.is_empty() && config.get("daemonize") == "yes" {
            BACKGROUND_PIDFILE.clone_into(&mut path);
        }
        if path.is_empty() {
            return Self(None);
        }
        match std::fs::write(&path, format!("{}\n", std::process::id())) {
            Ok(()) => Self(Some(path)),
            Err(error) => {
                warn!("the pid file {path} could not be written: {error}");
                Self(None)
            }
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Somebody may have removed it already.
            let _ = std::fs::remove_file(path);
        }
    }
}
