//! Documents that match, as iterators over ascending ids: the leaves here and in `term`, what joins them in `and` and
//! `or`.
//!
//! An iterator stands at its first document when it is made, and at [`END`] behind its last. [`Docs::seek`] never goes
//! back. What is asked of the document here (score, places) holds until the iterator moves.

mod and;
mod batch;
mod or;
mod term;

pub(super) use and::{And, Check, Proximity};
pub(super) use batch::Batch;
pub(super) use or::{Or, Window};
pub(super) use term::Term;

use std::cell::Cell;

use crate::index::bits::Bits;
use crate::index::postings::BLOCK;
use crate::index::score::Explanation;
use crate::index::{DocId, END};

/// Documents handed over together.
const BATCH: usize = BLOCK;

/// Takes documents and their scores, and says whether to go on.
pub(super) type Take<'t> = &'t mut dyn FnMut(&[DocId], &[f64]) -> bool;

/// Documents in ascending order.
pub(super) trait Docs {
    /// The document here.
    fn doc(&self) -> DocId;

    /// To the next document.
    fn advance(&mut self) -> DocId;

    /// To the first document that is not before `target`; stays where that is already behind.
    fn seek(&mut self, target: DocId) -> DocId;

    /// How many documents there may be.
    fn cost(&self) -> usize;

    /// What the document here scores.
    fn score(&mut self) -> f64;

    /// How [`Self::score`] came about.
    fn explain(&mut self) -> Explanation {
        Explanation::leaf(format!("(Weight * Frequency = {:.2})", self.score()))
    }

    /// TEXT fields in which there are places to ask for.
    fn fields(&self) -> u128 {
        0
    }

    /// Appends where in a TEXT field the words stand, ascending.
    fn places(&mut self, _field: u32, _out: &mut Vec<u32>) {}

    /// How far the words stand apart, which older scorers divide by.
    fn apart(&mut self) -> f64 {
        1.0
    }

    /// Hands over all documents from here on, some at a time, each with its score if asked; until `take` says to stop.
    /// Afterwards the iterator stands nowhere.
    fn batches(&mut self, scored: bool, take: Take<'_>) {
        one_by_one(self, scored, take);
    }

    /// [`Self::batches`] with scores, of which those may be left out that score no more than `bound`, which rises. Gives
    /// how many documents there were.
    fn better(&mut self, _bound: &Cell<f64>, take: Take<'_>) -> usize {
        let mut count = 0;
        self.batches(true, &mut |docs, scores| {
            count += docs.len();
            take(docs, scores)
        });
        count
    }

    /// Says which documents of a batch are here, and adds what they score if asked. None is before the document here;
    /// afterwards only later batches may be asked about.
    fn probe(&mut self, batch: &mut Batch, scored: bool) {
        batch.probe(|doc| match self.seek(doc) == doc {
            true if scored => Some(self.score()),
            true => Some(0.0),
            false => None,
        });
    }

    /// How many documents there are from here on, where that is known.
    fn known(&self) -> Option<usize> {
        None
    }

    /// All documents from here on, where they are a set already.
    fn as_set(&self) -> Option<Bits> {
        None
    }

    /// Puts all documents before `end` into a window.
    fn fill(&mut self, end: DocId, window: &mut Window) {
        while self.doc() < end {
            let score = if window.scored { self.score() } else { 0.0 };
            window.add(self.doc(), score);
            self.advance();
        }
    }
}

/// [`Docs::batches`] of what cannot do better than step by step.
fn one_by_one<D: Docs + ?Sized>(from: &mut D, scored: bool, take: Take<'_>) {
    let (mut docs, mut scores) = ([END; BATCH], [0.0; BATCH]);
    while from.doc() != END {
        let mut count = 0;
        while count < BATCH && from.doc() != END {
            docs[count] = from.doc();
            if scored {
                scores[count] = from.score();
            }
            count += 1;
            from.advance();
        }
        if !take(&docs[..count], &scores[..count]) {
            return;
        }
    }
}

/// No document.
#[derive(Debug)]
pub(super) struct Nothing;

impl Docs for Nothing {
    fn doc(&self) -> DocId {
        END
    }

    fn advance(&mut self) -> DocId {
        END
    }

    fn seek(&mut self, _target: DocId) -> DocId {
        END
    }

    fn cost(&self) -> usize {
        0
    }

    fn score(&mut self) -> f64 {
        0.0
    }
}

/// The documents of a list.
#[derive(Debug)]
pub(super) struct List {
    docs: Vec<DocId>,
    at: usize,
    score: f64,
}

impl List {
    /// `docs` ascend; each scores the same.
    pub(super) fn new(docs: Vec<DocId>, score: f64) -> Self {
        Self { docs, at: 0, score }
    }
}

impl Docs for List {
    fn doc(&self) -> DocId {
        self.docs.get(self.at).copied().unwrap_or(END)
    }

    fn advance(&mut self) -> DocId {
        self.at += 1;
        self.doc()
    }

    fn seek(&mut self, target: DocId) -> DocId {
        if self.doc() < target {
            let rest = &self.docs[self.at..];
            // Near targets are the rule: widening steps find them faster than halving what is left.
            let mut step = 1;
            while rest.get(step).is_some_and(|&doc| doc < target) {
                step *= 2;
            }
            let rest = &rest[step / 2..rest.len().min(step + 1)];
            self.at += step / 2 + rest.partition_point(|&doc| doc < target);
        }
        self.doc()
    }

    fn cost(&self) -> usize {
        self.docs.len()
    }

    fn score(&mut self) -> f64 {
        self.score
    }
}

/// The documents of a set.
#[derive(Debug)]
pub(super) struct Set<B> {
    bits: B,
    doc: DocId,
    score: f64,
}

impl<B: AsBits> Set<B> {
    /// Each scores the same.
    pub(super) fn new(bits: B, score: f64) -> Self {
        let doc = bits.bits().at_or_after(0).unwrap_or(END);
        Self { bits, doc, score }
    }
}

/// A set of one's own, or somebody else's.
pub(super) trait AsBits {
    fn bits(&self) -> &Bits;
}

impl AsBits for Bits {
    fn bits(&self) -> &Bits {
        self
    }
}

impl AsBits for &Bits {
    fn bits(&self) -> &Bits {
        self
    }
}

impl<B: AsBits> Docs for Set<B> {
    fn doc(&self) -> DocId {
        self.doc
    }

    fn advance(&mut self) -> DocId {
        if self.doc != END {
            self.doc = self.bits.bits().at_or_after(self.doc + 1).unwrap_or(END);
        }
        self.doc
    }

    fn seek(&mut self, target: DocId) -> DocId {
        if self.doc < target {
            self.doc = self.bits.bits().at_or_after(target).unwrap_or(END);
        }
        self.doc
    }

    fn as_set(&self) -> Option<Bits> {
        let bits = self.bits.bits();
        (bits.at_or_after(0).unwrap_or(END) == self.doc).then(|| bits.clone())
    }

    fn cost(&self) -> usize {
        self.bits.bits().len()
    }

    fn score(&mut self) -> f64 {
        self.score
    }
}

/// All documents; those of another iterator score what they do there, if it is one that only adds to scores.
pub(super) struct Without<'a> {
    all: Set<&'a Bits>,
    not: Box<dyn Docs + 'a>,
}

impl<'a> Without<'a> {
    /// All documents but those of `not`.
    pub(super) fn new(all: &'a Bits, not: Box<dyn Docs + 'a>) -> Self {
        let mut without = Self { all: Set::new(all, 0.0), not };
        without.settle();
        without
    }

    fn settle(&mut self) -> DocId {
        while self.all.doc != END && self.not.seek(self.all.doc) == self.all.doc {
            self.all.advance();
        }
        self.all.doc
    }
}

impl Docs for Without<'_> {
    fn doc(&self) -> DocId {
        self.all.doc
    }

    fn advance(&mut self) -> DocId {
        self.all.advance();
        self.settle()
    }

    fn seek(&mut self, target: DocId) -> DocId {
        self.all.seek(target);
        self.settle()
    }

    fn cost(&self) -> usize {
        self.all.cost()
    }

    fn score(&mut self) -> f64 {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(docs: &mut dyn Docs) -> Vec<DocId> {
        let mut found = Vec::new();
        while docs.doc() != END {
            found.push(docs.doc());
            docs.advance();
        }
        found
    }

    #[test]
    fn lists_and_sets_seek_alike() {
        let docs: Vec<DocId> =
            (0..500).map(|i| i * i % 4099).collect::<std::collections::BTreeSet<_>>().into_iter().collect();
        let bits: Bits = docs.iter().copied().collect();
        for step in [1, 3, 17, 400] {
            let (mut list, mut set) = (List::new(docs.clone(), 1.0), Set::new(&bits, 1.0));
            let mut target = 0;
            while list.doc() != END {
                assert_eq!(list.seek(target), set.seek(target));
                assert!(list.doc() >= target);
                target = list.doc().saturating_add(step);
            }
            assert_eq!(set.seek(target), END);
        }
        assert_eq!(collect(&mut List::new(docs.clone(), 1.0)), docs);
        assert_eq!(collect(&mut Set::new(bits, 1.0)), docs);
    }

    #[test]
    fn all_without_some_are_the_others() {
        let all: Bits = (0..10).collect();
        let not = Box::new(List::new(vec![0, 3, 4, 9], 1.0));
        assert_eq!(collect(&mut Without::new(&all, not)), [1, 2, 5, 6, 7, 8]);
        assert_eq!(Without::new(&all, Box::new(Nothing)).seek(7), 7);
    }
}
