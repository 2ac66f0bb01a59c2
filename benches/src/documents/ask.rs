//! Requests about documents and what is read of their replies.

use std::collections::VecDeque;

use anyhow::{Context, Result, ensure};

use super::corpus::Corpus;
use crate::driver::Traffic;
use crate::reply;
use crate::template::encode;

/// A vector as the server takes it.
pub(super) fn blob(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// `HSET` of a document.
pub(super) fn hset(corpus: &Corpus, key: usize, document: usize) -> Vec<u8> {
    let [tag, group, number] = corpus.facts[document];
    let (key, number) = (format!("doc:{key}"), number.to_string());
    let (tag, group) = (format!("t{tag}"), format!("g{group}"));
    let (text, vector) = (corpus.texts[document].as_bytes(), blob(corpus.vectors.row(document)));
    encode(&[
        b"HSET",
        key.as_bytes(),
        b"text",
        text,
        b"tag",
        tag.as_bytes(),
        b"group",
        group.as_bytes(),
        b"number",
        number.as_bytes(),
        b"vector",
        &vector,
    ])
}

/// All documents once.
pub(super) struct Fill<'a> {
    pub(super) corpus: &'a Corpus,
    pub(super) next: usize,
}

impl Traffic for Fill<'_> {
    fn request(&mut self, output: &mut Vec<u8>) -> Option<u32> {
        if self.next == self.corpus.texts.len() {
            return None;
        }
        output.extend(hset(self.corpus, self.next, self.next));
        self.next += 1;
        Some(0)
    }

    fn reply(&mut self, _tag: u32, reply: &[u8]) -> Result<()> {
        ensure!(reply == b":5\r\n", "HSET was answered {}", reply::excerpt(reply));
        Ok(())
    }
}

/// A question that names documents in its answer (`FT.SEARCH ... NOCONTENT`).
pub(super) fn search(query: &str, vector: Option<&[u8]>, ef: usize) -> Vec<u8> {
    let ef = ef.to_string();
    let mut words: Vec<&[u8]> = vec![b"FT.SEARCH", b"idx", query.as_bytes(), b"NOCONTENT", b"DIALECT", b"2"];
    if let Some(vector) = vector {
        words.extend([&b"SORTBY"[..], b"d", b"PARAMS", b"4", b"q", vector, b"ef", ef.as_bytes()]);
    }
    encode(&words)
}

/// Questions in turn.
pub(super) struct Ask {
    requests: Vec<Vec<u8>>,
    next: usize,
    /// Requests still to send; `None`: without end.
    left: Option<usize>,
    asked: VecDeque<usize>,
    /// The answers of a pass, where they are kept.
    answers: Option<Vec<Vec<usize>>>,
    /// Documents that match, of all replies.
    pub(super) matches: u64,
}

impl Ask {
    pub(super) fn new(requests: Vec<Vec<u8>>) -> Self {
        Self { requests, next: 0, left: None, asked: VecDeque::new(), answers: None, matches: 0 }
    }

    /// Each question once; the answers are kept.
    pub(super) fn once(&mut self) {
        (self.next, self.left, self.answers) = (0, Some(self.requests.len()), Some(Vec::new()));
    }

    /// Without end; the answers of [`Self::once`].
    pub(super) fn endless(&mut self) -> Vec<Vec<usize>> {
        self.left = None;
        self.answers.take().unwrap_or_default()
    }
}

impl Traffic for Ask {
    fn request(&mut self, output: &mut Vec<u8>) -> Option<u32> {
        self.left = match self.left {
            Some(0) => return None,
            left => left.map(|left| left - 1),
        };
        output.extend_from_slice(&self.requests[self.next]);
        self.asked.push_back(self.next);
        self.next = (self.next + 1) % self.requests.len();
        Some(0)
    }

    fn reply(&mut self, _tag: u32, reply: &[u8]) -> Result<()> {
        ensure!(reply.first() == Some(&b'*'), "a question was answered {}", reply::excerpt(reply));
        if let Some(answers) = &mut self.answers {
            answers.push(documents(reply)?);
            self.matches += total(reply).unwrap_or(0);
        }
        Ok(())
    }
}

/// The documents a reply names.
pub(super) fn documents(reply: &[u8]) -> Result<Vec<usize>> {
    let text = String::from_utf8_lossy(reply);
    let names = text.split("\r\n").filter_map(|line| line.strip_prefix("doc:"));
    names.map(|number| number.parse().with_context(|| format!("doc:{number}"))).collect()
}

fn total(reply: &[u8]) -> Option<u64> {
    std::str::from_utf8(reply).ok()?.split("\r\n").nth(1)?.strip_prefix(':')?.parse().ok()
}

/// Share of the true neighbours among those found.
pub(super) fn recall(found: &[Vec<usize>], truth: &[Vec<usize>]) -> f64 {
    let hits: usize =
        found.iter().zip(truth).map(|(found, truth)| truth.iter().filter(|doc| found.contains(doc)).count()).sum();
    hits as f64 / truth.iter().map(Vec::len).sum::<usize>().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_and_their_number_are_read_from_replies() {
        let reply = b"*3\r\n:17\r\n$6\r\ndoc:12\r\n$5\r\ndoc:3\r\n";
        assert_eq!((documents(reply).unwrap(), total(reply)), (vec![12, 3], Some(17)));
    }

    #[test]
    fn recall_is_the_share_of_what_should_be_found() {
        assert_eq!(recall(&[vec![1, 2], vec![3]], &[vec![2, 1], vec![3, 4]]), 0.75);
    }
}
