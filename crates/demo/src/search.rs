//! Keys, loading and searching over RESP.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use quiver_client::{Batch, Blocking, Value};

use crate::report::Report;
use crate::texts::Texts;
use crate::{K, KEY};

/// Vectors per round trip while loading.
const BATCH: usize = 100;
/// Questions whose answers are shown: wine, music, the sea, hair, sauce.
pub(crate) const SHOWN: [usize; 5] = [188, 36, 154, 98, 138];
/// Answers shown to each.
pub(crate) const SHOWN_ANSWERS: usize = 3;

/// How well and how fast one door answered all questions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// Share of the true neighbours found, 0 to 1.
    pub(crate) recall: f64,
    /// One connection, one question at a time.
    pub(crate) queries_per_second: f64,
}

/// Rows found for each question, best first, with their scores.
pub(crate) type Answers = Vec<Vec<(i32, f64)>>;

/// A few ordinary commands: the vectors live among keys like these.
pub(crate) fn ordinary_keys(client: &mut Blocking, report: &mut Report) -> Result<()> {
    client.command(&["SET", "greeting", "hello"])?;
    client.command(&["EXPIRE", "greeting", "3600"])?;
    client.command(&["HSET", "visitor:1", "name", "Ada", "visits", "1"])?;
    let visits = client.command(&["HINCRBY", "visitor:1", "visits", "41"])?;
    ensure!(visits.as_i64() == Some(42), "HINCRBY answered {visits:?}");
    let greeting = client.command(&["GET", "greeting"])?;
    ensure!(greeting.as_str() == Some("hello"), "GET answered {greeting:?}");
    report.fact("ordinary keys", "SET, EXPIRE, HSET, HINCRBY and GET answer as they should");
    Ok(())
}

/// Stores each vector of the set with its text as attribute.
pub(crate) fn load(client: &mut Blocking, set: &Texts, report: &mut Report) -> Result<()> {
    let start = Instant::now();
    for first in (0..set.base.len()).step_by(BATCH) {
        let mut batch = Batch::new();
        let end = set.base.len().min(first + BATCH);
        for row in first..end {
            batch.push(&vadd(row, set.vectors.base.row(row), &set.base[row]));
        }
        for reply in client.run(&batch)? {
            ensure!(reply.as_i64() == Some(1), "VADD answered {reply:?}");
        }
        report.progress("loading", end, set.base.len());
    }
    let seconds = start.elapsed().as_secs_f64();
    let count = set.base.len();
    let size = format!("{count} texts, {} dimensions, in {seconds:.1} s", set.vectors.base.columns);
    report.fact("loaded", &format!("{size} ({:.0} per second)", count as f64 / seconds));
    let stored = client.command(&["VCARD", KEY])?;
    ensure!(stored.as_i64() == Some(count as i64), "VCARD answered {stored:?}");
    Ok(())
}

/// The words of a VADD of one row.
pub(crate) fn vadd(row: usize, vector: &[f32], text: &str) -> Vec<Vec<u8>> {
    let attributes = serde_json::json!({ "text": text }).to_string();
    let words: [&[u8]; 4] = [b"VADD", KEY.as_bytes(), b"FP32", &packed(vector)];
    let mut words = words.map(<[u8]>::to_vec).to_vec();
    words.extend([row.to_string().into_bytes(), b"SETATTR".to_vec(), attributes.into_bytes()]);
    words
}

/// Shows some answers, then asks every question once and measures.
pub(crate) fn over_resp(client: &mut Blocking, set: &Texts, report: &mut Report) -> Result<(Answers, Measured)> {
    ask_all(client, set)?; // what is measured is not the first touch of memory
    let start = Instant::now();
    let answers = ask_all(client, set)?;
    let seconds = start.elapsed().as_secs_f64();
    show(set, &answers, report);
    let measured = Measured { recall: recall(set, &answers), queries_per_second: answers.len() as f64 / seconds };
    report.measured(&measured);
    Ok((answers, measured))
}

/// The answers to all questions of the set, in order.
pub(crate) fn ask_all(client: &mut Blocking, set: &Texts) -> Result<Answers> {
    (0..set.questions.len()).map(|question| ask(client, set.vectors.queries.row(question))).collect()
}

/// Prints the questions in [`SHOWN`] with the texts found.
pub(crate) fn show(set: &Texts, answers: &Answers, report: &Report) {
    for index in SHOWN.into_iter().filter(|index| *index < answers.len()) {
        let best = answers[index].iter().take(SHOWN_ANSWERS);
        let texts: Vec<(f64, &str)> = best.map(|(row, score)| (*score, set.text(*row))).collect();
        report.answer(&set.questions[index], &texts);
    }
}

/// Mean share of the [`K`] true neighbours found.
pub(crate) fn recall(set: &Texts, answers: &Answers) -> f64 {
    let each = answers.iter().enumerate().map(|(index, found)| {
        let rows: Vec<i32> = found.iter().map(|(row, _)| *row).collect();
        set.vectors.recall(index, &rows, K)
    });
    each.sum::<f64>() / answers.len() as f64
}

/// Components as little-endian bytes, the form of VADD's and VSIM's FP32.
fn packed(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|component| component.to_le_bytes()).collect()
}

fn ask(client: &mut Blocking, question: &[f32]) -> Result<Vec<(i32, f64)>> {
    let blob = packed(question);
    let count = K.to_string();
    let words: [&[u8]; 7] = [b"VSIM", KEY.as_bytes(), b"FP32", &blob, b"WITHSCORES", b"COUNT", count.as_bytes()];
    let Value::Map(pairs) = client.command(&words)? else {
        anyhow::bail!("VSIM WITHSCORES did not answer with a map");
    };
    let hit = |(element, score): &(Value, Value)| {
        let row = element.as_str()?.parse().ok()?;
        Some((row, score.as_f64()?))
    };
    pairs.iter().map(|pair| hit(pair).context("VSIM named an element that was never added")).collect()
}
