//! One index library in a process of its own, and what both ends say to each other.
//!
//! A line in, a JSON object out (`library/peers.py` describes the lines). Every library is asked by the same program in
//! turn, so all of them meet the same disturbances; none of them shares an allocator, a cache of pages or a thread pool
//! with another. [`serve`] is Quiver's end, `library/peers.py` that of the others.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::time::{ClockId, clock_gettime};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use quiver_vector::{Hnsw, Metric, Params, Scratch, Storage};

use crate::dataset::Dataset;
use crate::procfs;

/// Names of Quiver's own contenders start with this; what follows is a [`Storage`].
pub const OWN: &str = "quiver-";

/// What every contender is told.
#[derive(Debug, Clone, Serialize)]
pub struct Task {
    /// Folder of the data set.
    #[serde(skip)]
    pub folder: PathBuf,
    /// What near means: `cosine` or `l2`.
    pub metric: String,
    /// Links per element.
    pub m: usize,
    /// Effort of an insertion.
    pub ef_construction: usize,
    /// Neighbours asked for.
    pub k: usize,
}

/// The first line of a contender.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ready {
    /// Of the library.
    pub version: String,
}

/// What a build cost.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Built {
    /// CPU seconds of the process.
    pub cpu_s: f64,
    /// Growth of the resident size.
    pub bytes: f64,
}

/// What searches at one EF gave.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Searched {
    /// Mean recall@k.
    pub recall: f64,
    /// Queries answered in `cpu_s`.
    pub queries: f64,
    /// CPU seconds of the process.
    pub cpu_s: f64,
}

/// A running contender; it ends with its standard input.
#[derive(Debug)]
pub struct Contender {
    /// As in the tables.
    pub name: String,
    /// As the library says.
    pub version: String,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Contender {
    /// Starts `command NAME FOLDER METRIC M EF K` and waits until its data are in memory.
    pub fn start(mut command: Command, name: &str, task: &Task) -> Result<Self> {
        command.arg(name).arg(&task.folder).arg(&task.metric);
        command.args([task.m, task.ef_construction, task.k].map(|number| number.to_string()));
        Self::spawn(command, name)
    }

    /// Starts a command with all its arguments and waits for its first line.
    pub fn spawn(mut command: Command, name: &str) -> Result<Self> {
        // Large blocks that were freed go back to the system at once, as little of anyone's as possible is kept by malloc:
        // the resident size is to be that of the index.
        command.env("MALLOC_MMAP_THRESHOLD_", "131072").env("MALLOC_TRIM_THRESHOLD_", "131072");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("starting a contender")?;
        let input = child.stdin.take().context("a pipe was asked for")?;
        let output = BufReader::new(child.stdout.take().context("a pipe was asked for")?);
        let mut contender = Self { name: name.to_owned(), version: String::new(), child, input: Some(input), output };
        contender.version = contender.read::<Ready>()?.version;
        Ok(contender)
    }

    /// Has it build a fresh index.
    pub fn build(&mut self) -> Result<Built> {
        self.ask("build")
    }

    /// Has it search at one EF for at least `seconds` of CPU.
    pub fn search(&mut self, ef: usize, seconds: f64) -> Result<Searched> {
        self.ask(&format!("search {ef} {seconds}"))
    }

    /// Sends a line and reads the answer.
    pub fn ask<T: DeserializeOwned>(&mut self, line: &str) -> Result<T> {
        let input = self.input.as_mut().context("it has ended")?;
        writeln!(input, "{line}").with_context(|| format!("asking {}", self.name))?;
        self.read()
    }

    fn read<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        self.output.read_line(&mut line).with_context(|| format!("an answer of {}", self.name))?;
        if line.is_empty() {
            bail!("{} has ended: see its message above", self.name);
        }
        serde_json::from_str(&line).with_context(|| format!("{} answered {line:?}", self.name))
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        self.input = None;
        // It is gone already, or it is stopped here; either way nothing is left to report.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Quiver's end: answers lines until there are no more.
pub fn serve(name: &str, task: &Task) -> Result<()> {
    let storage = storage(name).with_context(|| format!("{name} is no storage of Quiver"))?;
    let metric = if task.metric == "l2" { Metric::L2 } else { Metric::Cosine };
    let dataset = Dataset::load(&task.folder)?;
    let params =
        Params { dim: dataset.base.columns, metric, storage, m: task.m, ef_construction: task.ef_construction };
    say(&Ready { version: env!("CARGO_PKG_VERSION").to_owned() })?;
    let mut index = Hnsw::new(params)?;
    for line in std::io::stdin().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["build"] => say(&build(&mut index, params, &dataset)?)?,
            ["search", ef, seconds] => say(&search(&index, &dataset, task.k, ef.parse()?, seconds.parse()?)?)?,
            _ => bail!("no such line: {line}"),
        }
    }
    Ok(())
}

fn storage(name: &str) -> Option<Storage> {
    match name.strip_prefix(OWN)? {
        "i8" => Some(Storage::I8),
        "f16" => Some(Storage::F16),
        "f32" => Some(Storage::F32),
        _ => None,
    }
}

#[expect(clippy::print_stdout, reason = "the answer of a contender")]
pub(crate) fn say(answer: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(answer)?);
    Ok(())
}

fn build(index: &mut Hnsw, params: Params, dataset: &Dataset) -> Result<Built> {
    *index = Hnsw::new(params)?;
    let pid = std::process::id();
    let (before, start) = (procfs::resident_bytes(pid)?, cpu_time());
    for row in 0..dataset.base.rows {
        index.insert(dataset.base.row(row), row as u64, 0)?;
    }
    let cpu_s = (cpu_time() - start).as_secs_f64();
    Ok(Built { cpu_s, bytes: procfs::resident_bytes(pid)? as f64 - before as f64 })
}

fn search(index: &Hnsw, dataset: &Dataset, k: usize, ef: usize, seconds: f64) -> Result<Searched> {
    let (mut scratch, mut found, mut recall) = (Scratch::new(), Vec::new(), 0.0);
    for query in 0..dataset.queries.rows {
        index.search_graph(dataset.queries.row(query), k, ef, &mut scratch, &mut found)?;
        let slots: Vec<i32> = found.iter().map(|neighbor| neighbor.slot.cast_signed()).collect();
        recall += dataset.recall(query, &slots, k);
    }
    let (start, mut queries, mut cpu_s) = (cpu_time(), 0, 0.0);
    while cpu_s < seconds {
        for query in 0..dataset.queries.rows {
            index.search_graph(dataset.queries.row(query), k, ef, &mut scratch, &mut found)?;
        }
        queries += dataset.queries.rows;
        cpu_s = (cpu_time() - start).as_secs_f64();
    }
    Ok(Searched { recall: recall / dataset.queries.rows as f64, queries: queries as f64, cpu_s })
}

/// CPU time of this process, in nanoseconds rather than the kernel's ticks.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// A virtual environment with the peers in it: `folder`, made where it does not exist.
pub fn environment(folder: &Path, requirements: &Path) -> Result<PathBuf> {
    let python = folder.join("bin/python3");
    if !python.is_file() {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "-r"]).arg(requirements))?;
    }
    Ok(python)
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {command:?}"))?;
    if status.success() { Ok(()) } else { bail!("{command:?} ended with {status}") }
}
