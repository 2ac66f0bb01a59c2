//! The text part beside tantivy: each library in a process of its own, one thread, the same texts and questions, in turn.
//!
//! Both are asked for the ten best by BM25, with questions prepared before anything is timed. Quiver counts all that match
//! besides, as FT.SEARCH tells their number; tantivy is asked with that count and without it. Quiver's documents are kept
//! word by word (NOSTEM, no stop words), as tantivy's default tokenizer does; `quiver-stem` is what FT.CREATE declares
//! where nobody says otherwise, beside tantivy's English stemmer.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use quiver_query::index::SearchOptions;
use quiver_query::text::{Language, Languages, StopWords};
use quiver_query::{Document, Field, FieldKind, FieldValue, Index, ParseOptions, Query, Schema, parse};
use serde::{Deserialize, Serialize};

use crate::contender::{Built, Contender, cpu_time, environment, say};
use crate::documents::Settings;
use crate::documents::corpus::{Corpus, Kind};
use crate::documents::results::{FilterRow, Results};
use crate::procfs;
use crate::progress::note;

/// Names of Quiver's own begin so.
const OWN: &str = "quiver";

/// What a library answered.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Searched {
    /// Questions answered in `cpu_s`.
    pub queries: f64,
    /// CPU seconds of the process.
    pub cpu_s: f64,
    /// Documents that match, of all questions once; 0 where nobody counted.
    pub matches: u64,
}

/// How fast a library answered.
#[derive(Debug, Clone, Serialize)]
pub struct TextRow {
    /// The library, and how it is asked.
    pub contender: String,
    /// Its version.
    pub version: String,
    /// What was asked.
    pub kind: Kind,
    /// Which turn it was.
    pub round: usize,
    /// Questions per second of CPU.
    pub queries_per_s: f64,
    /// Documents that match, of all questions.
    pub matches: u64,
}

/// What building cost.
#[derive(Debug, Clone, Serialize)]
pub struct TextBuild {
    /// The library.
    pub contender: String,
    /// CPU microseconds of a document.
    pub cpu_us: f64,
    /// Growth of the resident size, per document.
    pub bytes: f64,
}

/// Measures all contenders on the files in `folder`.
pub fn run(settings: &Settings, folder: &Path) -> Result<(Vec<TextBuild>, Vec<TextRow>)> {
    let (mut builds, mut rows, mut contenders) = (Vec::new(), Vec::new(), Vec::new());
    for name in &settings.libraries {
        let mut contender = start(name, settings, folder)?;
        let built: Built = contender.ask("build")?;
        note(format!("  {name} {}: built in {:.2} CPU s", contender.version, built.cpu_s));
        let documents = settings.documents as f64;
        let (cpu_us, bytes) = (built.cpu_s * 1e6 / documents, built.bytes / documents);
        builds.push(TextBuild { contender: name.clone(), cpu_us, bytes });
        contenders.push(contender);
    }
    for round in 0..settings.rounds {
        for kind in Kind::ALL {
            for contender in &mut contenders {
                let searched: Searched = contender.ask(&format!("search {} {}", kind.name(), settings.search_s))?;
                rows.push(TextRow {
                    contender: contender.name.clone(),
                    version: contender.version.clone(),
                    kind,
                    round,
                    queries_per_s: searched.queries / searched.cpu_s,
                    matches: searched.matches,
                });
            }
        }
    }
    Ok((builds, rows))
}

/// Measures programs that find the nearest under a filter.
pub(super) fn run_filters(settings: &Settings, folder: &Path, results: &mut Results) -> Result<()> {
    for name in &settings.libraries {
        let mut contender = start(name, settings, folder)?;
        let built: Built = contender.ask("build")?;
        note(format!("  {name} {}: built in {:.2} CPU s", contender.version, built.cpu_s));
        for filter in ["none", "tag", "group"] {
            let searched: Searched = contender.ask(&format!("search {filter} {}", settings.search_s.max(2.0)))?;
            results.filters.push(FilterRow {
                contender: name.clone(),
                version: contender.version.clone(),
                filter: filter.to_owned(),
                queries_per_s: searched.queries / searched.cpu_s,
            });
        }
    }
    Ok(())
}

fn start(name: &str, settings: &Settings, folder: &Path) -> Result<Contender> {
    let mut command = if name.starts_with(OWN) {
        let mut command = Command::new(std::env::current_exe().context("the path of this program")?);
        command.arg("text-contender");
        command
    } else {
        let python = environment(&settings.environment, &settings.peers.join("requirements.txt"))?;
        let mut command = Command::new(python);
        command.arg(settings.peers.join("peers.py"));
        command
    };
    command.arg(name).arg(folder);
    Contender::spawn(command, name)
}

/// Quiver's end: answers lines until there are no more.
pub fn serve(name: &str, folder: &Path) -> Result<()> {
    let stems = name == "quiver-stem";
    let (texts, questions) = Corpus::read_texts(folder)?;
    let schema = Arc::new(schema(stems));
    let stop_words = StopWords::of(&schema);
    say(&crate::contender::Ready { version: env!("CARGO_PKG_VERSION").to_owned() })?;
    let mut index = Index::new(Arc::clone(&schema), Arc::new(Languages::new(stop_words.clone())))?;
    for line in std::io::stdin().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["build"] => say(&build(&mut index, &texts)?)?,
            ["search", kind, seconds] => {
                let kind = Kind::ALL.into_iter().position(|other| other.name() == kind).context("no such kind")?;
                let prepared = prepare(&schema, &stop_words, Kind::ALL[kind], &questions[kind])?;
                say(&search(&index, &prepared, seconds.parse()?)?)?;
            }
            _ => bail!("no such line: {line}"),
        }
    }
    Ok(())
}

fn schema(stems: bool) -> Schema {
    let field = Field {
        path: b"text".to_vec(),
        name: b"text".to_vec(),
        kind: FieldKind::Text { weight: 1.0, no_stem: !stems, phonetic: None, suffixes: false },
        sortable: false,
        unnormalized: false,
        no_index: false,
        index_missing: false,
        index_empty: false,
    };
    Schema {
        fields: vec![field],
        language: "english".to_owned(),
        stop_words: (!stems).then(Vec::new),
        no_offsets: false,
        no_fields: false,
        no_frequencies: false,
        no_highlight: false,
    }
}

fn build(index: &mut Index, texts: &[String]) -> Result<Built> {
    index.clear();
    let pid = std::process::id();
    let (before, start) = (procfs::resident_bytes(pid)?, cpu_time());
    for (number, text) in (0_u64..).zip(texts) {
        let fields = vec![(0, FieldValue::Texts(vec![text.as_bytes().to_vec()]))];
        let document = Document { score: 1.0, fields, ..Document::default() };
        index.upsert(format!("doc:{number}").as_bytes(), &document, number)?;
    }
    let cpu_s = (cpu_time() - start).as_secs_f64();
    Ok(Built { cpu_s, bytes: procfs::resident_bytes(pid)? as f64 - before as f64 })
}

fn prepare(schema: &Schema, stop_words: &StopWords, kind: Kind, questions: &[Vec<String>]) -> Result<Vec<Query>> {
    let options = ParseOptions {
        schema,
        dialect: 2,
        parameters: &[],
        fields: u128::MAX,
        verbatim: false,
        stop_words,
        language: Language::English,
    };
    questions.iter().map(|words| Ok(parse(kind.query(words).as_bytes(), options)?)).collect()
}

fn search(index: &Index, queries: &[Query], seconds: f64) -> Result<Searched> {
    let options = SearchOptions::default();
    let pass = || -> Result<u64> {
        let mut matches = 0;
        for query in queries {
            matches += index.search(query, &options, &mut || true)?.total as u64;
        }
        Ok(matches)
    };
    let matches = pass()?;
    let (start, mut answered, mut cpu_s) = (cpu_time(), 0, 0.0);
    while cpu_s < seconds {
        pass()?;
        answered += queries.len();
        cpu_s = (cpu_time() - start).as_secs_f64();
    }
    Ok(Searched { queries: answered as f64, cpu_s, matches })
}
