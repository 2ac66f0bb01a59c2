//! One crash after the other.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use super::model::{Model, observe};
use super::verdict::compare;
use super::writer::{self, Step};
use crate::Server;
use crate::differential::random::Rng;
use crate::server::free_port;

/// What to try.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server.
    pub program: PathBuf,
    /// Seed of the moments.
    pub seed: u64,
    /// `appendfsync`.
    pub fsync: String,
    /// Writers at once; every second one sends many steps at once.
    pub writers: usize,
    /// Longest time from a start to its crash, ms.
    pub run_ms: usize,
}

/// What a cycle showed.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Steps acknowledged.
    pub acknowledged: u64,
    /// Acknowledged steps that were gone.
    pub lost: u64,
    /// The longest time before the crash that a lost step had been acknowledged.
    pub window: Duration,
    /// How it ended: killed, killed and killed again while loading, or asked to end.
    pub ending: &'static str,
    /// From the start of the next server until it answers.
    pub start: Duration,
}

/// The data that live through the crashes.
#[derive(Debug)]
pub struct Harness {
    options: Options,
    rng: Rng,
    models: Vec<Model>,
    folder: Option<TempDir>,
    kept: PathBuf,
    server: Server,
}

impl Harness {
    /// Starts the first server, on nothing.
    ///
    /// # Errors
    /// It does not start.
    pub fn new(options: Options) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let server = start(&options, folder.path())?;
        let models = vec![Model::default(); options.writers];
        let kept = folder.path().to_owned();
        Ok(Self { rng: Rng::new(options.seed), models, folder: Some(folder), kept, server, options })
    }

    /// Leaves the data where they are, to be looked at.
    pub fn keep(&mut self) -> &Path {
        if let Some(folder) = self.folder.take() {
            self.kept = folder.keep();
        }
        &self.kept
    }

    /// Lets the writers run, crashes the server, starts it again, and compares.
    ///
    /// # Errors
    /// Something is lost that must not be, torn, or the server does not start again.
    pub fn cycle(&mut self) -> Result<Outcome> {
        let run_for = Duration::from_millis(20 + self.rng.below(self.options.run_ms) as u64);
        let (is_asked, kill_loading) = (self.rng.one_in(6), self.rng.one_in(4));
        let (steps, crashed) = self.run_until_crash(run_for, is_asked)?;
        let mut outcome = Outcome { ending: if is_asked { "asked to end" } else { "killed" }, ..Outcome::default() };
        if kill_loading {
            self.kill_while_loading()?;
            outcome.ending = "killed, and again while loading";
        }
        let began = Instant::now();
        self.server = start(&self.options, &self.kept).context("the server does not start again")?;
        outcome.start = began.elapsed();
        self.compare(&steps, crashed, &mut outcome)?;
        let may_lose = self.options.fsync != "always" && !is_asked;
        ensure!(outcome.lost == 0 || may_lose, "{} acknowledged steps are lost", outcome.lost);
        let promised = if self.options.fsync == "everysec" { Duration::from_secs(1) } else { Duration::MAX };
        ensure!(outcome.window <= promised, "lost what was acknowledged {:?} before the crash", outcome.window);
        Ok(outcome)
    }

    fn run_until_crash(&mut self, run_for: Duration, is_asked: bool) -> Result<(Vec<Vec<Step>>, Instant)> {
        let stop = Arc::new(AtomicBool::new(false));
        let addr = self.server.addr();
        let writers: Vec<_> = (0..self.options.writers)
            .map(|writer| {
                let (stop, first) = (Arc::clone(&stop), self.models[writer].steps);
                let depth = if writer % 2 == 0 { 1 } else { 16 };
                thread::spawn(move || writer::run(addr, writer, first, depth, &stop))
            })
            .collect();
        let disturber = {
            let (stop, mut rng) = (Arc::clone(&stop), Rng::new(self.rng.next()));
            thread::spawn(move || disturb(addr, &mut rng, &stop))
        };
        thread::sleep(run_for);
        let crashed = Instant::now();
        if is_asked {
            let mut connection = self.server.connect()?;
            // It answers by closing the connection.
            let _ = connection.call(&["SHUTDOWN"]);
            let status = self.server.wait()?;
            ensure!(status.success(), "SHUTDOWN ended with {status}");
        } else {
            self.server.kill()?;
        }
        stop.store(true, Ordering::Relaxed);
        let _ = disturber.join();
        let mut all = Vec::new();
        for (number, writer) in writers.into_iter().enumerate() {
            let Ok(steps) = writer.join() else { bail!("writer {number} panicked") };
            match steps {
                Ok(steps) => all.push(steps),
                Err(error) => return Err(error).context(format!("writer {number}")),
            }
        }
        Ok((all, crashed))
    }

    fn kill_while_loading(&mut self) -> Result<()> {
        let port = free_port()?.to_string();
        let mut child = Command::new(&self.options.program)
            .args(arguments(&self.options))
            .args(["--port", &port, "--save", "", "--dir"])
            .arg(&self.kept)
            .stdout(Stdio::null())
            .spawn()?;
        thread::sleep(Duration::from_millis(self.rng.below(40) as u64));
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    fn compare(&mut self, steps: &[Vec<Step>], crashed: Instant, outcome: &mut Outcome) -> Result<()> {
        let mut connection = self.server.connect()?;
        let mut found = |writer| observe(&mut |words| Ok(connection.call(words)?.value), writer);
        let compared = compare(&mut self.models, steps, crashed, &mut found)?;
        (outcome.acknowledged, outcome.lost, outcome.window) = (compared.acknowledged, compared.lost, compared.window);
        Ok(())
    }
}

/// Lets the server save and rewrite while it is written to.
fn disturb(addr: std::net::SocketAddr, rng: &mut Rng, stop: &AtomicBool) {
    let Ok(mut connection) = crate::Connection::connect(addr) else { return };
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(rng.below(60) as u64));
        // They are refused while another one runs.
        let command = if rng.one_in(4) { "BGSAVE" } else { "BGREWRITEAOF" };
        if connection.call(&[command]).is_err() {
            return;
        }
    }
}

fn arguments(options: &Options) -> [&str; 8] {
    ["--appendonly", "yes", "--appendfsync", &options.fsync, "--aof-timestamp-enabled", "yes", "--io-threads", "2"]
}

fn start(options: &Options, folder: &Path) -> Result<Server> {
    Server::start_in(&options.program, folder, &arguments(options))
}
