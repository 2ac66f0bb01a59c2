//! Documents of at least one of several iterators.
//!
//! Two ways: a heap of iterators by their documents, which seeks and knows who is here ([`Or`]); and a window of ids that
//! every iterator fills in turn, several times as fast for reading everything in order ([`Stream`]).

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::index::iterators::{Batch, Docs, Take};
use crate::index::score::Explanation;
use crate::index::{DocId, END};

/// Ids of a window.
const SPAN: usize = 4096;
/// Documents handed over together where most are left out, so that the bound they are held against rises soon.
const HANDFUL: usize = 64;

/// What several scores come to.
#[derive(Clone, Copy, Debug)]
pub(in crate::index) struct Combine {
    /// The largest of them, not their sum.
    pub(in crate::index) largest: bool,
    pub(in crate::index) weight: f64,
}

/// A heap of iterators.
pub(in crate::index) struct Or<'a> {
    children: Vec<Box<dyn Docs + 'a>>,
    /// Where those stand that are not here.
    ahead: BinaryHeap<Reverse<(DocId, u32)>>,
    /// Those that are here.
    here: Vec<u32>,
    doc: DocId,
    combine: Combine,
}

impl<'a> Or<'a> {
    pub(in crate::index) fn new(children: Vec<Box<dyn Docs + 'a>>, largest: bool, weight: f64) -> Self {
        let ahead = (0..).zip(&children).map(|(i, child)| Reverse((child.doc(), i))).collect();
        let combine = Combine { largest, weight };
        let mut or = Self { children, ahead, here: Vec::new(), doc: END, combine };
        or.gather();
        or
    }

    /// [`Self::new`] for reading everything in order, without places; `scored`: whether scores will be asked for.
    pub(in crate::index) fn stream(
        children: Vec<Box<dyn Docs + 'a>>,
        largest: bool,
        weight: f64,
        scored: bool,
    ) -> Stream<'a> {
        Stream::new(children, Combine { largest, weight }, scored)
    }

    /// Takes those with the smallest document from the heap.
    fn gather(&mut self) -> DocId {
        self.doc = self.ahead.peek().map_or(END, |next| next.0.0);
        while let Some(&Reverse((doc, i))) = self.ahead.peek()
            && doc == self.doc
            && doc != END
        {
            self.here.push(i);
            self.ahead.pop();
        }
        self.doc
    }
}

impl Docs for Or<'_> {
    fn doc(&self) -> DocId {
        self.doc
    }

    fn advance(&mut self) -> DocId {
        for i in self.here.drain(..) {
            self.ahead.push(Reverse((self.children[i as usize].advance(), i)));
        }
        self.gather()
    }

    fn seek(&mut self, target: DocId) -> DocId {
        if self.doc >= target {
            return self.doc;
        }
        for i in self.here.drain(..) {
            self.ahead.push(Reverse((self.children[i as usize].seek(target), i)));
        }
        while let Some(mut next) = self.ahead.peek_mut().filter(|next| next.0.0 < target) {
            let i = next.0.1;
            *next = Reverse((self.children[i as usize].seek(target), i));
        }
        self.gather()
    }

    fn cost(&self) -> usize {
        self.children.iter().map(|child| child.cost()).fold(0, usize::saturating_add)
    }

    fn score(&mut self) -> f64 {
        let scores = self.here.iter().map(|i| self.children[*i as usize].score());
        let score: f64 = if self.combine.largest { scores.fold(0.0, f64::max) } else { scores.sum() };
        score * self.combine.weight
    }

    /// Those who want everything get it from a window.
    fn batches(&mut self, scored: bool, take: Take<'_>) {
        Stream::new(std::mem::take(&mut self.children), self.combine, scored).batches(scored, take);
    }

    fn better(&mut self, bound: &Cell<f64>, take: Take<'_>) -> usize {
        Stream::new(std::mem::take(&mut self.children), self.combine, true).better(bound, take)
    }

    fn probe(&mut self, batch: &mut Batch, scored: bool) {
        if !scored || !self.combine.largest && self.combine.weight == 1.0 {
            self.children.iter_mut().for_each(|child| child.probe(batch, scored));
        } else {
            batch.probe(|doc| (self.seek(doc) == doc).then(|| self.score()));
        }
    }

    fn explain(&mut self) -> Explanation {
        let mut here = self.here.clone();
        here.sort_unstable();
        let parts = here.iter().map(|i| self.children[*i as usize].explain()).collect();
        Explanation::joined(self.combine.weight, self.score(), parts)
    }

    fn fields(&self) -> u128 {
        self.here.iter().fold(0, |fields, i| fields | self.children[*i as usize].fields())
    }

    fn places(&mut self, field: u32, out: &mut Vec<u32>) {
        let before = out.len();
        for i in &self.here {
            self.children[*i as usize].places(field, out);
        }
        if self.here.len() > 1 {
            let mut places = out.split_off(before);
            places.sort_unstable();
            places.dedup();
            out.append(&mut places);
        }
    }
}

/// Ids from `base` on that are in, and their scores.
pub(in crate::index) struct Window {
    base: DocId,
    bits: [u64; SPAN / 64],
    scores: Vec<f64>,
    largest: bool,
    /// Whether scores are wanted.
    pub(in crate::index) scored: bool,
}

impl Window {
    /// Puts a document in, which lies within.
    #[inline]
    pub(in crate::index) fn add(&mut self, doc: DocId, score: f64) {
        let at = (doc - self.base) as usize % SPAN;
        let fresh = self.bits[at / 64] >> (at % 64) & 1 == 0;
        self.bits[at / 64] |= 1 << (at % 64);
        if self.scored {
            let place = &mut self.scores[at];
            *place = match (fresh, self.largest) {
                (true, _) => score,
                (false, true) => place.max(score),
                (false, false) => *place + score,
            };
        }
    }

    /// [`Self::add`] for many.
    #[inline]
    pub(in crate::index) fn add_all(&mut self, docs: &[DocId], scores: &[f64]) {
        if self.scored {
            docs.iter().zip(scores).for_each(|(&doc, &score)| self.add(doc, score));
        } else {
            for &doc in docs {
                let at = (doc - self.base) as usize % SPAN;
                self.bits[at / 64] |= 1 << (at % 64);
            }
        }
    }

    /// The ids from the place `from` on, 64 at a time: where they begin, and a bit for each that is in.
    fn words(&self, from: usize) -> impl Iterator<Item = (usize, u64)> {
        let words = self.bits.iter().enumerate().skip(from / 64);
        words.map(move |(word, &bits)| {
            (word * 64, if word == from / 64 { bits & (u64::MAX << (from % 64)) } else { bits })
        })
    }

    fn at_or_after(&self, from: usize) -> Option<usize> {
        let mut word = from / 64;
        let mut bits = self.bits.get(word)? & (u64::MAX << (from % 64));
        while bits == 0 {
            word += 1;
            bits = *self.bits.get(word)?;
        }
        Some(word * 64 + bits.trailing_zeros() as usize)
    }
}

/// A window that moves over the ids.
pub(in crate::index) struct Stream<'a> {
    children: Vec<Box<dyn Docs + 'a>>,
    window: Window,
    doc: DocId,
    weight: f64,
}

impl<'a> Stream<'a> {
    fn new(children: Vec<Box<dyn Docs + 'a>>, combine: Combine, scored: bool) -> Self {
        let scores = if scored { vec![0.0; SPAN] } else { Vec::new() };
        let window = Window { base: 0, bits: [0; SPAN / 64], scores, largest: combine.largest, scored };
        let mut stream = Self { children, window, doc: END, weight: combine.weight };
        stream.next_window();
        stream
    }

    /// Fills a window from the first document of any iterator on.
    fn next_window(&mut self) -> DocId {
        let base = self.children.iter().map(|child| child.doc()).min().unwrap_or(END);
        self.doc = base;
        if base != END {
            (self.window.base, self.window.bits) = (base, [0; SPAN / 64]);
            let end = base.saturating_add(SPAN as DocId);
            for child in &mut self.children {
                child.fill(end, &mut self.window);
            }
        }
        base
    }
}

impl Docs for Stream<'_> {
    #[inline]
    fn doc(&self) -> DocId {
        self.doc
    }

    #[inline]
    fn advance(&mut self) -> DocId {
        if self.doc == END {
            return END;
        }
        match self.window.at_or_after((self.doc - self.window.base) as usize + 1) {
            Some(at) => {
                self.doc = self.window.base + at as DocId;
                self.doc
            }
            None => self.next_window(),
        }
    }

    fn seek(&mut self, target: DocId) -> DocId {
        if self.doc >= target {
            return self.doc;
        }
        let from = (target - self.window.base) as usize;
        if let Some(at) = self.window.at_or_after(from) {
            self.doc = self.window.base + at as DocId;
            return self.doc;
        }
        for child in &mut self.children {
            child.seek(target);
        }
        self.next_window()
    }

    fn batches(&mut self, scored: bool, take: Take<'_>) {
        let (mut docs, mut scores) = (Vec::with_capacity(SPAN), Vec::with_capacity(SPAN));
        while self.doc != END {
            let (from, base) = ((self.doc - self.window.base) as usize, self.window.base);
            docs.clear();
            scores.clear();
            for (start, mut bits) in self.window.words(from) {
                while bits != 0 {
                    let at = start + bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    docs.push(base + at as DocId);
                    scores.push(if scored { self.window.scores[at] * self.weight } else { 0.0 });
                }
            }
            if !take(&docs, &scores) {
                return;
            }
            self.next_window();
        }
    }

    fn better(&mut self, bound: &Cell<f64>, take: Take<'_>) -> usize {
        let (mut docs, mut scores) = (Vec::with_capacity(HANDFUL * 2), Vec::with_capacity(HANDFUL * 2));
        let mut count = 0;
        while self.doc != END {
            let (from, base) = ((self.doc - self.window.base) as usize, self.window.base);
            for (start, mut bits) in self.window.words(from) {
                count += bits.count_ones() as usize;
                while bits != 0 {
                    let at = start + bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    let score = self.window.scores[at] * self.weight;
                    if score > bound.get() {
                        docs.push(base + at as DocId);
                        scores.push(score);
                    }
                }
                if docs.len() >= HANDFUL {
                    if !take(&docs, &scores) {
                        return count;
                    }
                    docs.clear();
                    scores.clear();
                }
            }
            // Also when nothing is left to hand over: whoever takes may say to stop.
            if !take(&docs, &scores) {
                return count;
            }
            docs.clear();
            scores.clear();
            self.next_window();
        }
        count
    }

    fn cost(&self) -> usize {
        self.children.iter().map(|child| child.cost()).fold(0, usize::saturating_add)
    }

    fn score(&mut self) -> f64 {
        let at = (self.doc - self.window.base) as usize;
        self.window.scores.get(at).map_or(0.0, |score| score * self.weight)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::index::iterators::List;

    #[test]
    fn both_ways_find_and_score_the_same() {
        let lists: Vec<Vec<DocId>> = (1..6_u32).map(|i| (0..900).map(|j| j * i * 7 + i % 3).collect()).collect();
        let children = || -> Vec<Box<dyn Docs>> {
            let lists = (1..).zip(&lists);
            lists.map(|(i, docs)| Box::new(List::new(docs.clone(), f64::from(i))) as Box<dyn Docs>).collect()
        };
        let mut expected = BTreeMap::new();
        for (i, docs) in (1..).zip(&lists) {
            docs.iter().for_each(|doc| *expected.entry(*doc).or_insert(0.0) += f64::from(i) * 2.0);
        }
        for step in [0, 1, 50, 5000] {
            let (mut heap, mut stream) = (Or::new(children(), false, 2.0), Or::stream(children(), false, 2.0, true));
            let mut rest = expected.range(0..);
            while let Some((&doc, &score)) = rest.next() {
                assert_eq!((heap.doc(), heap.score()), (doc, score));
                assert_eq!((stream.doc(), stream.score()), (doc, score));
                if step == 0 {
                    assert_eq!(heap.advance(), stream.advance());
                } else {
                    let target = doc + step;
                    assert_eq!(heap.seek(target), stream.seek(target));
                    rest = expected.range(target..);
                }
            }
            assert_eq!((heap.doc(), stream.doc()), (END, END));
        }
    }
}
