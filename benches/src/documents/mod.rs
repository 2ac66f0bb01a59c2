//! The `documents` benchmark: documents with text, a tag, a number and a vector, and every kind of question about them.
//!
//! Course: a fresh server gets all documents (`HSET`) without an index, then an index over them is declared and watched
//! until it has everything: so data and index are told apart, in bytes and in CPU. Questions follow, one client at a time:
//! the nearest at the least EF_RUNTIME that finds 95 of 100, filtered and not, with words and without, and the same by a
//! FLAT field; words alone. Then one client writes while one asks and others read other keys. At last the server is ended
//! and started on its snapshot. The libraries beside it (`text`) come last, each in a process of its own.
//!
//! Recall is measured against the exact neighbours, which this program finds itself.

mod ask;
pub mod corpus;
mod results;
mod stages;
pub mod text;

use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

pub use results::Results;

use crate::progress::note;
use crate::server::{Server, ServerSpec};
use corpus::Corpus;

/// Settings of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Settings {
    /// Documents.
    pub documents: usize,
    /// Questions of each kind about words.
    pub questions: usize,
    /// Vectors asked about.
    pub vectors: usize,
    /// EF_RUNTIME to try, ascending.
    pub efs: Vec<usize>,
    /// Neighbours asked for.
    pub k: usize,
    /// Seconds of each timed search.
    pub search_s: f64,
    /// Turns of the libraries.
    pub rounds: usize,
    /// Libraries to measure.
    pub libraries: Vec<String>,
    /// Folder with the bundled data set.
    #[serde(skip)]
    pub dataset: PathBuf,
    /// Virtual environment with the peers; made where it does not exist.
    #[serde(skip)]
    pub environment: PathBuf,
    /// Folder with `peers.py` and `requirements.txt`.
    #[serde(skip)]
    pub peers: PathBuf,
}

/// Measures the server, where one is given, and the libraries.
pub fn run(spec: Option<&ServerSpec>, settings: &Settings) -> Result<Results> {
    note(format!("making {} documents", settings.documents));
    let corpus = Corpus::new(&settings.dataset, settings.documents, settings.questions, settings.vectors)?;
    let mut results = Results::default();
    if let Some(spec) = spec {
        let server = Server::start(spec)?;
        stages::fill(&server, &corpus, &mut results)?;
        stages::index(&server, &corpus, &mut results)?;
        let ef = stages::nearest(&server, &corpus, settings, &mut results)?;
        stages::hybrid(&server, &corpus, settings, ef, &mut results)?;
        stages::words(&server, &corpus, settings, &mut results)?;
        stages::flat(&server, &corpus, settings, &mut results)?;
        stages::while_writing(&server, &corpus, settings, ef, &mut results)?;
        stages::restart(server, spec, &corpus, ef, &mut results)?;
    }
    let folder = tempfile::tempdir()?;
    corpus.write(folder.path())?;
    drop(corpus);
    if !settings.libraries.is_empty() {
        note("words, by libraries");
        let (text, qdrant): (Vec<_>, Vec<_>) =
            settings.libraries.iter().cloned().partition(|name| !name.starts_with("qdrant"));
        let settings_of = |libraries| Settings { libraries, ..settings.clone() };
        (results.text_builds, results.text) = text::run(&settings_of(text), folder.path())?;
        text::run_filters(&settings_of(qdrant), folder.path(), &mut results)?;
    }
    results.summarise();
    Ok(results)
}
