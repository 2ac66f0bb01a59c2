//! Vector-set traffic: VADD of a data set's base vectors and VSIM of its queries.

use std::ops::Range;

use anyhow::{Context, Result, ensure};

use crate::dataset::Dataset;
use crate::driver::Traffic;
use crate::reply;
use crate::template::encode;

/// Key of the vector set.
pub const KEY: &[u8] = b"bench";

/// How a vector set stores its vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Quant {
    /// f32 as given.
    Noquant,
    /// Eight-bit codes.
    Q8,
}

impl Quant {
    /// The word in VADD.
    pub fn word(self) -> &'static str {
        match self {
            Self::Noquant => "NOQUANT",
            Self::Q8 => "Q8",
        }
    }
}

/// `VADD bench FP32 blob row quant EF ef M m` for a range of base rows; elements are named by row number.
#[derive(Debug)]
pub struct Add<'a> {
    dataset: &'a Dataset,
    rows: Range<usize>,
    tail: [Vec<u8>; 5],
    blob: Vec<u8>,
}

impl<'a> Add<'a> {
    /// All rows of `dataset`.
    pub fn new(dataset: &'a Dataset, quant: Quant, m: u32, ef_construction: u32) -> Self {
        let (ef, m) = (ef_construction.to_string(), m.to_string());
        let tail = [quant.word(), "EF", &ef, "M", &m].map(|word| word.as_bytes().to_vec());
        Self { dataset, rows: 0..dataset.base.rows, tail, blob: Vec::new() }
    }
}

impl Traffic for Add<'_> {
    fn request(&mut self, output: &mut Vec<u8>) -> Option<u32> {
        let row = self.rows.next()?;
        pack(self.dataset.base.row(row), &mut self.blob);
        let name = row.to_string();
        let mut argv: Vec<&[u8]> = vec![b"VADD", KEY, b"FP32", &self.blob, name.as_bytes()];
        argv.extend(self.tail.iter().map(Vec::as_slice));
        output.extend(encode(&argv));
        Some(row as u32)
    }

    fn reply(&mut self, _tag: u32, reply: &[u8]) -> Result<()> {
        ensure!(reply == b":1\r\n", "VADD was answered {}", reply::excerpt(reply));
        Ok(())
    }
}

/// `VSIM bench FP32 query COUNT k [EF ef]`, the queries in turn.
#[derive(Debug)]
pub struct Search<'a> {
    dataset: &'a Dataset,
    /// Encoded once: the generator should cost little beside a search of tens of microseconds.
    requests: Vec<Vec<u8>>,
    k: usize,
    array_header: Vec<u8>,
    next: usize,
    /// Requests still to send; `None` is without end.
    left: Option<usize>,
    recall_sum: f64,
    recalls: usize,
}

impl<'a> Search<'a> {
    /// Queries for the `k` nearest with an optional EF, and NOTHREAD where a server should answer on its main thread.
    pub fn new(dataset: &'a Dataset, k: usize, ef: Option<u32>, nothread: bool) -> Self {
        let (count, ef) = (k.to_string(), ef.map(|ef| ef.to_string()));
        let mut blob = Vec::new();
        let request = |row: usize| {
            pack(dataset.queries.row(row), &mut blob);
            let mut argv: Vec<&[u8]> = vec![b"VSIM", KEY, b"FP32", &blob, b"COUNT", count.as_bytes()];
            if let Some(ef) = &ef {
                argv.extend([&b"EF"[..], ef.as_bytes()]);
            }
            if nothread {
                argv.push(b"NOTHREAD");
            }
            encode(&argv)
        };
        let requests = (0..dataset.queries.rows).map(request).collect();
        let array_header = format!("*{k}\r\n").into_bytes();
        Self { dataset, requests, k, array_header, next: 0, left: None, recall_sum: 0.0, recalls: 0 }
    }

    /// Every query once from the next [`crate::driver::Driver::run`] on, recall counted.
    pub fn once_with_recall(&mut self) {
        (self.next, self.left, self.recall_sum, self.recalls) = (0, Some(self.requests.len()), 0.0, 0);
    }

    /// Queries without end, only counted.
    pub fn endless(&mut self) {
        self.left = None;
    }

    /// Mean recall@k of the last pass with recall.
    pub fn recall(&self) -> f64 {
        self.recall_sum / self.recalls.max(1) as f64
    }
}

impl Traffic for Search<'_> {
    fn request(&mut self, output: &mut Vec<u8>) -> Option<u32> {
        self.left = match self.left {
            Some(0) => return None,
            left => left.map(|left| left - 1),
        };
        let query = self.next;
        self.next = (query + 1) % self.requests.len();
        output.extend_from_slice(&self.requests[query]);
        Some(query as u32)
    }

    fn reply(&mut self, tag: u32, reply: &[u8]) -> Result<()> {
        ensure!(
            reply.starts_with(&self.array_header),
            "VSIM was not answered with {} elements but {}",
            self.k,
            reply::excerpt(reply)
        );
        if self.left.is_some() {
            self.recall_sum += self.dataset.recall(tag as usize, &rows_of(reply)?, self.k);
            self.recalls += 1;
        }
        Ok(())
    }
}

fn rows_of(reply: &[u8]) -> Result<Vec<i32>> {
    let row = |name: &&[u8]| std::str::from_utf8(name)?.parse::<i32>().context("an element we did not add");
    reply::bulk_strings(reply)?.iter().map(row).collect()
}

fn pack(vector: &[f32], blob: &mut Vec<u8>) {
    blob.clear();
    blob.extend(vector.iter().flat_map(|x| x.to_le_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npy::Matrix;

    fn dataset() -> Dataset {
        Dataset {
            name: "test".into(),
            base: Matrix { rows: 3, columns: 2, data: vec![1.0, 0.0, 0.0, 1.0, 0.7, 0.7] },
            queries: Matrix { rows: 1, columns: 2, data: vec![1.0, 0.1] },
            truth: Matrix { rows: 1, columns: 3, data: vec![0, 2, 1] },
        }
    }

    #[test]
    fn vadd_names_elements_by_row_and_ends_after_the_last() {
        let dataset = dataset();
        let mut add = Add::new(&dataset, Quant::Q8, 16, 200);
        let mut output = Vec::new();
        assert_eq!(add.request(&mut output), Some(0));
        assert!(output.starts_with(b"*10\r\n$4\r\nVADD\r\n$5\r\nbench\r\n$4\r\nFP32\r\n$8\r\n\x00\x00\x80\x3f"));
        assert!(output.ends_with(b"$1\r\n0\r\n$2\r\nQ8\r\n$2\r\nEF\r\n$3\r\n200\r\n$1\r\nM\r\n$2\r\n16\r\n"));
        assert_eq!([(); 3].map(|()| add.request(&mut output)), [Some(1), Some(2), None]);
    }

    #[test]
    fn recall_is_taken_over_exactly_one_pass() {
        let dataset = dataset();
        let mut search = Search::new(&dataset, 2, Some(10), false);
        search.once_with_recall();
        let mut output = Vec::new();
        assert_eq!([(); 2].map(|()| search.request(&mut output)), [Some(0), None]);
        search.reply(0, b"*2\r\n$1\r\n0\r\n$1\r\n1\r\n").unwrap();
        assert_eq!(search.recall(), 0.5);
        search.endless();
        assert!(search.request(&mut output).is_some());
    }

    #[test]
    fn fewer_results_than_asked_for_are_an_error() {
        let dataset = dataset();
        let mut search = Search::new(&dataset, 2, None, true);
        search.endless();
        assert!(search.reply(0, b"*1\r\n$1\r\n0\r\n").is_err());
        assert!(search.reply(0, b"-ERR no\r\n").is_err());
    }
}
