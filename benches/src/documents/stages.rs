//! What is done with the server, one stage after the other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Settings;
use super::ask::{Ask, Fill, blob, hset, recall, search};
use super::corpus::{Corpus, Kind};
use super::results::{Results, SearchRow};
use crate::driver::{Driver, Outcome};
use crate::procfs;
use crate::progress::note;
use crate::server::{Server, ServerSpec};
use crate::template::{Sizes, Template, encode};
use crate::traffic;

/// HSETs in flight: enough that the server never waits for the generator.
const PIPELINE: usize = 16;
/// How long an index may take to take everything in, and a server to load.
const TIMEOUT: Duration = Duration::from_secs(900);
/// What is wanted of the nearest.
const RECALL: f64 = 0.95;
/// Keys that are read while somebody writes documents, and connections that read them.
const OTHER_KEYS: u64 = 10_000;
const READERS: usize = 2;

type Accepts<'a> = Box<dyn Fn(usize) -> bool + 'a>;

/// Writes the documents.
pub(super) fn fill(server: &Server, corpus: &Corpus, results: &mut Results) -> Result<()> {
    note("writing documents");
    let mut driver = Driver::connect(server.address(), 1)?;
    let (before, empty) = (server.cpu_time()?, server.resident_bytes()?);
    driver.run(&mut Fill { corpus, next: 0 }, PIPELINE, None)?;
    let count = corpus.texts.len() as f64;
    let cpu_us = server.cpu_time()?.saturating_sub(before).as_secs_f64() * 1e6 / count;
    results.fact("CPU of a document's HSET, us", cpu_us);
    results.fact("data, bytes per document", (server.resident_bytes()? - empty) as f64 / count);
    Ok(())
}

/// Declares the index and waits until everything is in it.
pub(super) fn index(server: &Server, corpus: &Corpus, results: &mut Results) -> Result<()> {
    note("indexing");
    let (before, bytes) = (server.cpu_time()?, server.resident_bytes()?);
    let dim = corpus.vectors.columns.to_string();
    let words = "FT.CREATE idx ON HASH PREFIX 1 doc: SCHEMA text TEXT tag TAG group TAG number NUMERIC vector VECTOR \
                 HNSW 6 TYPE FLOAT32 DISTANCE_METRIC COSINE DIM";
    let took = create(server, words, &dim, "idx", corpus.texts.len())?;
    let count = corpus.texts.len() as f64;
    let cpu_us = server.cpu_time()?.saturating_sub(before).as_secs_f64() * 1e6 / count;
    results.fact("documents indexed per s", count / took);
    results.fact("CPU of indexing a document, us", cpu_us);
    results.fact("index, bytes per document", (server.resident_bytes()? - bytes) as f64 / count);
    Ok(())
}

/// Declares an index; gives the seconds until it has everything.
fn create(server: &Server, words: &str, dim: &str, name: &str, documents: usize) -> Result<f64> {
    let started = Instant::now();
    let mut words: Vec<&[u8]> = words.split_whitespace().map(str::as_bytes).collect();
    words.push(dim.as_bytes());
    let reply = server.call(&words)?;
    ensure!(reply == b"+OK\r\n", "FT.CREATE was answered {}", String::from_utf8_lossy(&reply));
    loop {
        let info = server.call(&[b"FT.INFO", name.as_bytes()])?;
        let info = String::from_utf8_lossy(&info).into_owned();
        let value = |name: &str| {
            let mut lines = info.split("\r\n").skip_while(|line| *line != name).skip(1);
            let first = lines.next()?;
            if first.starts_with('$') { lines.next().map(str::to_owned) } else { Some(first[1..].to_owned()) }
        };
        if value("percent_indexed").as_deref() == Some("1") && value("indexing").as_deref() == Some("0") {
            // All keys are found; the answer waits for those that were not looked at yet.
            let all = server.call_within(&[b"FT.SEARCH", name.as_bytes(), b"*", b"LIMIT", b"0", b"0"], TIMEOUT)?;
            let wanted = format!("*1\r\n:{documents}\r\n");
            ensure!(all == wanted.as_bytes(), "the index has {}", String::from_utf8_lossy(&all));
            return Ok(started.elapsed().as_secs_f64());
        }
        ensure!(started.elapsed() < TIMEOUT, "the index does not get ready");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The filters that are measured: name, the query in front of the arrow, which documents it accepts.
fn filters<'a>(corpus: &'a Corpus, asked: usize) -> Vec<(&'static str, String, Accepts<'a>)> {
    let (tag, group) = (asked % 100, asked % 10);
    vec![
        ("nearest", "*".to_owned(), Box::new(|_| true)),
        ("nearest of 1 % (tag)", format!("@tag:{{t{tag}}}"), Box::new(move |doc| corpus.facts[doc][0] == tag)),
        ("nearest of 10 % (tag)", format!("@group:{{g{group}}}"), Box::new(move |doc| corpus.facts[doc][1] == group)),
        (
            "nearest of 1 % (range)",
            format!("@number:[{} ({}]", tag * 10, tag * 10 + 10),
            Box::new(move |doc| corpus.facts[doc][2] / 10 == tag),
        ),
        (
            "nearest of 10 % (range)",
            format!("@number:[{} ({}]", group * 100, group * 100 + 100),
            Box::new(move |doc| corpus.facts[doc][2] / 100 == group),
        ),
    ]
}

fn knn(corpus: &Corpus, settings: &Settings, row: usize, filter: &str, ef: usize) -> Vec<u8> {
    let query = format!("({filter})=>[KNN {} @vector $q EF_RUNTIME $ef AS d]", settings.k);
    search(&query.replace("(*)", "*"), Some(&blob(corpus.asked.row(row))), ef)
}

/// The nearest, with and without filters, at the least effort that finds enough; gives that of the unfiltered.
pub(super) fn nearest(server: &Server, corpus: &Corpus, settings: &Settings, results: &mut Results) -> Result<usize> {
    let mut first = None;
    for at in 0..filters(corpus, 0).len() {
        // Each question has a filter of its own.
        let rows = 0..corpus.asked.rows;
        let name = filters(corpus, 0)[at].0;
        note(name);
        let truth = truth(corpus, settings.k, at);
        for (i, &ef) in settings.efs.iter().enumerate() {
            let request = |row| knn(corpus, settings, row, &filters(corpus, row)[at].1, ef);
            let mut ask = Ask::new(rows.clone().map(request).collect());
            let found = pass(server, &mut ask)?;
            let recall = recall(&found, &truth);
            if recall < RECALL && i + 1 < settings.efs.len() {
                continue;
            }
            let row = timed(server, &mut ask, settings, name)?;
            results.searches.push(SearchRow { ef: Some(ef), recall: Some(recall), ..row });
            first = first.or(Some(ef));
            break;
        }
    }
    first.context("no EF_RUNTIME to try")
}

/// The true neighbours under the filter at a place.
fn truth(corpus: &Corpus, k: usize, filter: usize) -> Vec<Vec<usize>> {
    // Questions share filters: the tag of row 7 is that of row 107.
    let period = if filter == 0 { 1 } else { 100.min(corpus.asked.rows) };
    let mut truth = vec![Vec::new(); corpus.asked.rows];
    for of in 0..period {
        let rows: Vec<usize> = (of..corpus.asked.rows).step_by(period).collect();
        let found = corpus.nearest(&rows, k, &filters(corpus, of)[filter].2);
        rows.into_iter().zip(found).for_each(|(row, found)| truth[row] = found);
    }
    truth
}

/// Words and nearness at once: as a filter, and as two rankings made one.
pub(super) fn hybrid(
    server: &Server,
    corpus: &Corpus,
    settings: &Settings,
    ef: usize,
    results: &mut Results,
) -> Result<()> {
    let questions = corpus.questions(Kind::Word);
    let rows = || (0..corpus.asked.rows).map(|row| (row, &questions[row % questions.len()][0]));
    note("nearest with a word");
    let mut ask =
        Ask::new(rows().map(|(row, word)| knn(corpus, settings, row, &format!("@text:{word}"), ef)).collect());
    pass(server, &mut ask)?;
    results.searches.push(SearchRow { ef: Some(ef), ..timed(server, &mut ask, settings, "nearest with a word")? });
    note("FT.HYBRID");
    let (k, ef_word) = (settings.k.to_string(), ef.to_string());
    let request = |(row, word): (usize, &String)| {
        let vector = blob(corpus.asked.row(row));
        encode(&[
            b"FT.HYBRID",
            b"idx",
            b"SEARCH",
            word.as_bytes(),
            b"VSIM",
            b"@vector",
            b"$q",
            b"KNN",
            b"4",
            b"K",
            k.as_bytes(),
            b"EF_RUNTIME",
            ef_word.as_bytes(),
            b"PARAMS",
            b"2",
            b"q",
            &vector,
        ])
    };
    let mut ask = Ask::new(rows().map(request).collect());
    pass(server, &mut ask)?;
    results.searches.push(SearchRow { ef: Some(ef), ..timed(server, &mut ask, settings, "FT.HYBRID")? });
    Ok(())
}

/// Words alone, the ten best by BM25.
pub(super) fn words(server: &Server, corpus: &Corpus, settings: &Settings, results: &mut Results) -> Result<()> {
    for kind in Kind::ALL {
        note(format!("words: {}", kind.name()));
        let requests = corpus.questions(kind).iter().map(|words| search(&kind.query(words), None, 0));
        let mut ask = Ask::new(requests.collect());
        pass(server, &mut ask)?;
        ensure!(ask.matches > 0, "nothing matches");
        results.searches.push(timed(server, &mut ask, settings, &format!("words: {}", kind.name()))?);
    }
    Ok(())
}

/// The nearest by an exact scan of a FLAT field.
pub(super) fn flat(server: &Server, corpus: &Corpus, settings: &Settings, results: &mut Results) -> Result<()> {
    note("FLAT");
    let dim = corpus.vectors.columns.to_string();
    let words =
        "FT.CREATE flat ON HASH PREFIX 1 doc: SCHEMA vector VECTOR FLAT 6 TYPE FLOAT32 DISTANCE_METRIC COSINE DIM";
    create(server, words, &dim, "flat", corpus.texts.len())?;
    let query = format!("*=>[KNN {} @vector $q AS d]", settings.k);
    let request = |row| {
        let vector = blob(corpus.asked.row(row));
        encode(&[
            b"FT.SEARCH",
            b"flat",
            query.as_bytes(),
            b"NOCONTENT",
            b"SORTBY",
            b"d",
            b"PARAMS",
            b"2",
            b"q",
            &vector,
            b"DIALECT",
            b"2",
        ])
    };
    let mut ask = Ask::new((0..corpus.asked.rows).map(request).collect());
    let found = pass(server, &mut ask)?;
    let recall = recall(&found, &truth(corpus, settings.k, 0));
    results.searches.push(SearchRow { recall: Some(recall), ..timed(server, &mut ask, settings, "nearest, FLAT")? });
    server.call(&[b"FT.DROPINDEX", b"flat"])?;
    Ok(())
}

/// One client writes documents, one asks for the nearest of a tag, and others read other keys.
pub(super) fn while_writing(
    server: &Server,
    corpus: &Corpus,
    settings: &Settings,
    ef: usize,
    results: &mut Results,
) -> Result<()> {
    note("while writing");
    let sizes = Sizes { key: 16, value: 32 };
    let mut readers = Driver::connect(server.address(), READERS)?;
    readers.run(&mut traffic::Fill::new(Template::set(sizes)?, OTHER_KEYS), PIPELINE, None)?;
    let duration = Duration::from_secs_f64(settings.search_s.max(1.0) * 3.0);
    let (over, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let (asked, read) = std::thread::scope(|scope| -> Result<(Outcome, Outcome)> {
        let writer = scope.spawn(|| -> Result<()> {
            let mut driver = Driver::connect(server.address(), 1)?;
            let mut rewrite = Rewrite { corpus, written: &written, over: &over };
            driver.run(&mut rewrite, 1, None).map(|_| ())
        });
        let asker = scope.spawn(|| -> Result<Outcome> {
            let mut driver = Driver::connect(server.address(), 1)?;
            let request = |row| knn(corpus, settings, row, &filters(corpus, row)[2].1, ef);
            let mut ask = Ask::new((0..corpus.asked.rows).map(request).collect());
            driver.run(&mut ask, 1, Some(duration))
        });
        let read = readers.run(&mut traffic::Random::new(Template::get(sizes)?, OTHER_KEYS), 1, Some(duration));
        over.store(true, Relaxed);
        let panicked = |_| anyhow::anyhow!("a thread failed");
        writer.join().map_err(panicked)??;
        Ok((asker.join().map_err(panicked)??, read?))
    })?;
    results.fact("while writing: documents written per s", written.load(Relaxed) as f64 / read.elapsed.as_secs_f64());
    results.fact("while writing: questions answered per s", asked.operations_per_s());
    results.fact("while writing: p99 of a question, ms", asked.latencies.quantile(0.99) as f64 / 1e6);
    results.fact("while writing: GETs per s", read.operations_per_s());
    results.fact(super::results::GET_P99_MS, read.latencies.quantile(0.99) as f64 / 1e6);
    Ok(())
}

/// Writes other documents over those there are, until it is told to stop.
struct Rewrite<'a> {
    corpus: &'a Corpus,
    written: &'a AtomicU64,
    over: &'a AtomicBool,
}

impl crate::driver::Traffic for Rewrite<'_> {
    fn request(&mut self, output: &mut Vec<u8>) -> Option<u32> {
        if self.over.load(Relaxed) {
            return None;
        }
        // Steps that meet every key, with a document that was elsewhere before.
        let number = self.written.fetch_add(1, Relaxed) as usize;
        let (count, key) = (self.corpus.texts.len(), number * 7919);
        output.extend(hset(self.corpus, key % count, (key + 1 + number / count) % count));
        Some(0)
    }

    fn reply(&mut self, _tag: u32, reply: &[u8]) -> Result<()> {
        ensure!(reply == b":0\r\n", "HSET was answered {}", crate::reply::excerpt(reply));
        Ok(())
    }
}

/// Saves, ends the server, starts it again: seconds until its first right answer.
pub(super) fn restart(
    server: Server,
    spec: &ServerSpec,
    corpus: &Corpus,
    ef: usize,
    results: &mut Results,
) -> Result<()> {
    note("restart");
    let query = "*=>[KNN 10 @vector $q EF_RUNTIME $ef AS d]";
    let question = search(query, Some(&blob(corpus.asked.row(0))), ef);
    let ask = |server: &Server| -> Result<Vec<usize>> {
        let mut ask = Ask::new(vec![question.clone()]);
        Ok(pass(server, &mut ask)?.pop().unwrap_or_default())
    };
    let expected = ask(&server)?;
    let started = Instant::now();
    let reply = server.call_within(&[b"SAVE"], TIMEOUT)?;
    ensure!(reply == b"+OK\r\n", "SAVE was answered {}", String::from_utf8_lossy(&reply));
    results.fact("SAVE, s", started.elapsed().as_secs_f64());
    let bytes = std::fs::metadata(server.folder().join("dump.rdb")).context("the snapshot")?.len();
    results.fact("snapshot, bytes per document", bytes as f64 / corpus.texts.len() as f64);
    let folder = server.end()?;
    let started = Instant::now();
    let server = Server::start_on(spec, folder, TIMEOUT)?;
    let found = ask(&server)?;
    results.fact(super::results::RESTART_S, started.elapsed().as_secs_f64());
    ensure!(found == expected, "after the restart {found:?} were found, before {expected:?}");
    results.fact("restart, CPU s", server.cpu_time()?.as_secs_f64());
    Ok(())
}

/// Each question once; the answers.
fn pass(server: &Server, ask: &mut Ask) -> Result<Vec<Vec<usize>>> {
    let mut driver = Driver::connect(server.address(), 1)?;
    ask.once();
    driver.run(ask, 1, None)?;
    Ok(ask.endless())
}

fn timed(server: &Server, ask: &mut Ask, settings: &Settings, what: &str) -> Result<SearchRow> {
    let mut driver = Driver::connect(server.address(), 1)?;
    let before = procfs::cpu_time(server.pid())?;
    let outcome = driver.run(ask, 1, Some(Duration::from_secs_f64(settings.search_s)))?;
    let cpu_s = procfs::cpu_time(server.pid())?.saturating_sub(before).as_secs_f64();
    Ok(SearchRow {
        what: what.to_owned(),
        ef: None,
        recall: None,
        queries_per_s: outcome.operations_per_s(),
        cpu_us: cpu_s * 1e6 / outcome.operations as f64,
        p50_us: outcome.latencies.quantile(0.5) as f64 / 1e3,
        p99_us: outcome.latencies.quantile(0.99) as f64 / 1e3,
    })
}
