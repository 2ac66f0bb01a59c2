//! Copies of a data folder, each damaged in one way: what loads must be what was saved, or an earlier state that is told
//! of; never anything else.
//!
//! The folder holds a snapshot and a log of a base and three increments, with all types, vectors, documents, function
//! libraries and search indexes ([`sample`]). A copy is cut short, has bits flipped, ranges filled with zeros, pieces
//! lost, repeated or put in, or a file exchanged with another one of the folder or of another server.
//!
//! What nothing can tell from the truth is counted and let pass: a log whose last file ends behind a whole batch is the
//! log of an earlier moment, and a snapshot in the place of another is a snapshot.

pub mod change;
pub mod sample;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use quiver_persist::log::MemoryDisk;

use crate::Server;
use crate::differential::random::Rng;
use change::Change;
use sample::{DIR, Sample, engine, load_log_of, snapshot_path, state};

/// What became of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Refused, with a reason.
    Refused,
    /// It loads as what was saved.
    Whole,
    /// The end of the log was cut off, which was told, and kept.
    Cut,
    /// It is a whole file of an earlier time.
    Earlier,
}

/// A sample, and another server's, to make damaged copies of.
#[derive(Debug)]
pub struct Damager {
    sample: Sample,
    other: Sample,
    rng: Rng,
}

/// A damaged copy.
#[derive(Debug)]
pub struct Copy {
    /// What was done to it.
    pub change: Change,
    disk: MemoryDisk,
}

impl Damager {
    /// Makes the samples.
    ///
    /// # Errors
    /// They cannot be made.
    pub fn new(seed: u64) -> Result<Self> {
        let damager = Self { sample: Sample::new(seed)?, other: Sample::new(seed + 1)?, rng: Rng::new(seed) };
        let (mut local, loaded) = load_log_of(&damager.sample.disk).context("the sample")?;
        ensure!(loaded.cut.is_none() && state(&mut local)? == damager.sample.whole(), "the sample loads as it was");
        Ok(damager)
    }

    /// The next copy.
    pub fn damage(&mut self) -> Copy {
        let disk = self.sample.disk.after_crash();
        let change = change::apply(&mut self.rng, &disk, &self.other.disk);
        Copy { change, disk }
    }

    /// Loads a copy and looks at what it came to.
    ///
    /// # Errors
    /// It was loaded as something else, or something was left out silently.
    pub fn judge(&self, copy: &Copy) -> Result<Verdict> {
        let judge = || {
            let (snapshot, log) = copy.change.touches();
            let of_snapshot = if snapshot { self.judge_snapshot(copy)? } else { Verdict::Whole };
            if log { self.judge_log(copy) } else { Ok(of_snapshot) }
        };
        judge().with_context(|| copy.change.to_string())
    }

    fn judge_snapshot(&self, copy: &Copy) -> Result<Verdict> {
        // Taken away it is a server's first start.
        let Some(bytes) = copy.disk.content(&snapshot_path()) else { return Ok(Verdict::Earlier) };
        let mut local = engine();
        if local.load(&bytes).is_err() {
            ensure!(state(&mut local)? == state(&mut engine())?, "what is refused leaves nothing behind");
            return Ok(Verdict::Refused);
        }
        let found = state(&mut local)?;
        if found == self.sample.whole() {
            return Ok(Verdict::Whole);
        }
        let others = [Some(self.sample.base.clone()), self.other.disk.content(&snapshot_path())];
        let others = others.into_iter().flatten().chain([self.other.base.clone()]);
        if others.into_iter().any(|other| other == bytes) {
            return Ok(Verdict::Earlier);
        }
        bail!("the snapshot was loaded as something else")
    }

    fn judge_log(&self, copy: &Copy) -> Result<Verdict> {
        // Loading may cut it.
        let disk = copy.disk.after_crash();
        let Ok((mut local, loaded)) = load_log_of(&disk) else { return Ok(Verdict::Refused) };
        local.check();
        let found = state(&mut local)?;
        let Some(at) = self.sample.history.iter().rposition(|state| *state == found) else {
            bail!("the log was loaded as something else");
        };
        if let Some(cut) = loaded.cut {
            ensure!(disk.content(&cut.copy).is_some(), "what was cut off is kept");
            let (mut again, loaded) = load_log_of(&disk).context("loading again what was cut")?;
            ensure!(loaded.cut.is_none() && state(&mut again)? == found, "a log that was cut is whole");
            return Ok(Verdict::Cut);
        }
        if found == self.sample.whole() {
            return Ok(Verdict::Whole);
        }
        // Without a word only the end of the last file may be missing, and only behind a whole batch.
        let last = self.sample.log_files().into_iter().filter(|path| path.to_string_lossy().ends_with(".incr.aof"));
        ensure!(
            last.max().as_ref() == Some(&copy.change.path),
            "{} states are missing",
            self.sample.history.len() - at
        );
        let (now, before) = (copy.disk.content(&copy.change.path), self.sample.disk.content(&copy.change.path));
        let (now, before) = (now.unwrap_or_default(), before.unwrap_or_default());
        ensure!(before.starts_with(&now) && (now.is_empty() || now.ends_with(b"\n")), "silently less than there was");
        Ok(Verdict::Earlier)
    }

    /// Starts a server on a copy: it must come to the same verdict.
    ///
    /// # Errors
    /// It does not.
    pub fn try_server(&self, copy: &Copy, program: &Path) -> Result<()> {
        let folder = tempfile::tempdir()?;
        for path in copy.disk.paths() {
            let target = folder.path().join(path.strip_prefix(DIR)?);
            fs::create_dir_all(target.parent().context("a file is in a folder")?)?;
            fs::write(target, copy.disk.content(&path).unwrap_or_default())?;
        }
        let is_log = if copy.change.touches().1 { "yes" } else { "no" };
        // What the disk in memory was loaded as, or would be.
        let verdict = self.judge(copy)?;
        let settings = ["--appendonly", is_log, "--aof-load-truncated", "yes", "--io-threads", "1"];
        let started = Server::start_in(program, folder.path(), &settings);
        let server = match (verdict, started) {
            (Verdict::Refused, Err(_)) => return Ok(()),
            (Verdict::Refused, Ok(_)) => bail!("{}: the server starts on what is refused", copy.change),
            (_, Err(error)) => return Err(error).with_context(|| format!("{}: the server refuses it", copy.change)),
            (_, Ok(server)) => server,
        };
        let seed = server.connect()?.call(&["GET", "seed"])?;
        ensure!(seed.value.as_str().is_some() || verdict == Verdict::Earlier, "{}: the first key is lost", copy.change);
        Ok(())
    }
}
