//! The `library` benchmark: Quiver's index and its peers as libraries, one thread each, on the same files in one run.
//!
//! Course: for each data set every contender builds once after the other, then searches round by round, EF by EF, each
//! contender in turn, so that a disturbance meets all of them. CPU time of the contender's process counts, not the
//! clock: others may use the machine.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::contender::{Contender, OWN, Task, environment};
use crate::library_results::{BuildRow, Results, SearchRow};
use crate::npy;
use crate::progress::note;

/// Settings of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Settings {
    /// Folders of the data sets.
    #[serde(skip)]
    pub folders: Vec<PathBuf>,
    /// Who takes part.
    pub contenders: Vec<String>,
    /// Links per element.
    pub m: usize,
    /// Effort of an insertion.
    pub ef_construction: usize,
    /// Efforts of searches, ascending.
    pub efs: Vec<usize>,
    /// Neighbours asked for.
    pub k: usize,
    /// Interleaved rounds of searches.
    pub rounds: usize,
    /// CPU seconds of each search.
    pub search_s: f64,
    /// Folder of the virtual environment with the peers.
    #[serde(skip)]
    pub environment: PathBuf,
    /// Folder with `peers.py` and `requirements.txt`.
    #[serde(skip)]
    pub peers: PathBuf,
}

/// Measures every contender on every data set.
pub fn run(settings: &Settings) -> Result<Results> {
    let mut results = Results::default();
    for folder in &settings.folders {
        let task = Task {
            folder: folder.clone(),
            metric: metric(folder)?,
            m: settings.m,
            ef_construction: settings.ef_construction,
            k: settings.k,
        };
        measure(&task, settings, &mut results).with_context(|| folder.display().to_string())?;
    }
    results.summarise(settings);
    Ok(results)
}

fn measure(task: &Task, settings: &Settings, results: &mut Results) -> Result<()> {
    let dataset = task.folder.file_name().map_or_else(|| "dataset".into(), |name| name.to_string_lossy().into_owned());
    let shape = npy::shape(&task.folder.join("base.npy"))?;
    note(format!("{dataset}: {} x {}, {}", shape.0, shape.1, task.metric));
    let mut contenders = Vec::new();
    for name in &settings.contenders {
        let mut contender = start(name, task, settings)?;
        let built = contender.build()?;
        note(format!("  {name} {}: built in {:.1} CPU s", contender.version, built.cpu_s));
        results.builds.push(BuildRow {
            dataset: dataset.clone(),
            contender: name.clone(),
            version: contender.version.clone(),
            vectors: shape.0,
            dim: shape.1,
            cpu_s: built.cpu_s,
            bytes_per_vector: built.bytes / shape.0 as f64,
        });
        contenders.push(contender);
    }
    for round in 0..settings.rounds {
        note(format!("  round {} of {}", round + 1, settings.rounds));
        for &ef in &settings.efs {
            for contender in &mut contenders {
                let searched = contender.search(ef, settings.search_s)?;
                results.searches.push(SearchRow {
                    dataset: dataset.clone(),
                    contender: contender.name.clone(),
                    round,
                    ef,
                    recall: searched.recall,
                    queries_per_s: searched.queries / searched.cpu_s,
                });
            }
        }
    }
    Ok(())
}

fn start(name: &str, task: &Task, settings: &Settings) -> Result<Contender> {
    let command = if name.starts_with(OWN) {
        let mut command = Command::new(std::env::current_exe().context("the path of this program")?);
        command.arg("contender");
        command
    } else {
        let python = environment(&settings.environment, &settings.peers.join("requirements.txt"))?;
        let mut command = Command::new(python);
        command.arg(settings.peers.join("peers.py"));
        command
    };
    Contender::start(command, name, task)
}

/// What the description beside a data set says near means.
fn metric(folder: &std::path::Path) -> Result<String> {
    let texts = ["manifest.json", "meta.json", "../manifest.json"].map(|name| folder.join(name));
    let text = texts.iter().find_map(|path| std::fs::read_to_string(path).ok());
    let text = text.with_context(|| format!("{}: neither manifest.json nor meta.json", folder.display()))?;
    let (cosine, l2) = (text.contains("\"metric\": \"cosine\""), text.contains("\"metric\": \"l2"));
    ensure!(cosine != l2, "{}: a description with one metric, cosine or l2", folder.display());
    Ok(if l2 { "l2" } else { "cosine" }.to_owned())
}
