//! Documents of all of several iterators: the rarest leads, the others follow.
//!
//! What is cheaper to ask of a document than to list (numbers, points) is a [`Check`]; what must not match is sought for
//! every document that else would; what only adds to the score is asked for last. Where words must stand near each other,
//! their places are read for documents that have them all.

use crate::index::clock::Clock;
use crate::index::iterators::{Batch, Docs, Take, one_by_one};
use crate::index::proximity;
use crate::index::score::Explanation;
use crate::index::{DocId, END};

/// A question about a document, and what a yes scores.
pub(in crate::index) struct Check<'a> {
    pub(in crate::index) matches: Box<dyn Fn(DocId) -> bool + 'a>,
    pub(in crate::index) score: f64,
}

/// How words must stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::index) enum Proximity {
    /// Anyhow.
    Any,
    /// In a row.
    Row,
    /// With no more than so many others between them, in their order or not.
    Within(u32, bool),
}

/// Documents of all iterators.
pub(in crate::index) struct And<'a> {
    /// The rarest first.
    all: Vec<Box<dyn Docs + 'a>>,
    /// For each place in the query's order, where in `all` it is.
    order: Vec<usize>,
    checks: Vec<Check<'a>>,
    without: Vec<Box<dyn Docs + 'a>>,
    optional: Vec<Box<dyn Docs + 'a>>,
    proximity: Proximity,
    weight: f64,
    clock: &'a Clock<'a>,
    doc: DocId,
    /// Memory for places.
    places: Vec<Vec<u32>>,
    words: Vec<usize>,
}

impl<'a> And<'a> {
    /// `all` holds at least one, in the order of the query.
    pub(in crate::index) fn new(
        all: Vec<Box<dyn Docs + 'a>>,
        checks: Vec<Check<'a>>,
        without: Vec<Box<dyn Docs + 'a>>,
        optional: Vec<Box<dyn Docs + 'a>>,
        proximity: Proximity,
        weight: f64,
        clock: &'a Clock<'a>,
    ) -> Self {
        let mut by_cost: Vec<(usize, Box<dyn Docs + 'a>)> = all.into_iter().enumerate().collect();
        by_cost.sort_by_key(|(_, docs)| docs.cost());
        let mut order = vec![0; by_cost.len()];
        for (at, (place, _)) in by_cost.iter().enumerate() {
            order[*place] = at;
        }
        let all = by_cost.into_iter().map(|(_, docs)| docs).collect();
        let (doc, places, words) = (END, Vec::new(), Vec::new());
        let mut and = Self { all, order, checks, without, optional, proximity, weight, clock, doc, places, words };
        and.settle();
        and
    }

    /// From where the first iterator stands to the first document of all.
    fn settle(&mut self) -> DocId {
        self.doc = END;
        let Some(mut doc) = self.all.first().map(|docs| docs.doc()) else { return END };
        'candidates: while doc != END && self.clock.tick() {
            for i in 1..self.all.len() {
                let found = self.all[i].seek(doc);
                if found != doc {
                    doc = self.all[0].seek(found);
                    continue 'candidates;
                }
            }
            if self.fits(doc) {
                self.doc = doc;
                return doc;
            }
            doc = self.all[0].advance();
        }
        END
    }

    fn fits(&mut self, doc: DocId) -> bool {
        self.checks.iter().all(|check| (check.matches)(doc))
            && self.without.iter_mut().all(|without| without.seek(doc) != doc)
            && self.near()
    }

    /// Whether the words stand to each other as they must: in a row in one of the fields, or so near in all of them.
    fn near(&mut self) -> bool {
        if self.proximity == Proximity::Any {
            return true;
        }
        // What has no places at all, such as a number, has no say in this; unless words in a row are asked for.
        let mut words = std::mem::take(&mut self.words);
        words.clear();
        let with_places = |at: &usize| self.proximity == Proximity::Row || self.all[*at].fields() != 0;
        words.extend(self.order.iter().copied().filter(with_places));
        let near = words.len() < 2 && self.proximity != Proximity::Row || self.some_field_near(&words);
        self.words = words;
        near
    }

    fn some_field_near(&mut self, words: &[usize]) -> bool {
        self.places.resize_with(words.len(), Vec::new);
        if let Proximity::Within(slop, in_order) = self.proximity {
            for (at, places) in words.iter().zip(&mut self.places) {
                places.clear();
                let fields = self.all[*at].fields();
                for field in (0..u128::BITS).filter(|field| fields >> field & 1 == 1) {
                    self.all[*at].places(field, places);
                }
            }
            return proximity::within(&self.places, slop, in_order);
        }
        let mut fields = words.iter().fold(u128::MAX, |fields, at| fields & self.all[*at].fields());
        while fields != 0 {
            let field = fields.trailing_zeros();
            fields &= fields - 1;
            for (at, places) in words.iter().zip(&mut self.places) {
                places.clear();
                self.all[*at].places(field, places);
            }
            if proximity::in_a_row(&self.places) {
                return true;
            }
        }
        false
    }

    fn optionals(&mut self) -> impl Iterator<Item = &mut Box<dyn Docs + 'a>> {
        let doc = self.doc;
        self.optional.iter_mut().filter_map(move |docs| (docs.seek(doc) == doc).then_some(docs))
    }
}

impl Docs for And<'_> {
    fn doc(&self) -> DocId {
        self.doc
    }

    fn advance(&mut self) -> DocId {
        if self.doc != END {
            self.all[0].advance();
            self.settle();
        }
        self.doc
    }

    fn seek(&mut self, target: DocId) -> DocId {
        if self.doc < target {
            self.all[0].seek(target);
            self.settle();
        }
        self.doc
    }

    fn cost(&self) -> usize {
        self.all.first().map_or(0, |docs| docs.cost())
    }

    fn score(&mut self) -> f64 {
        let all: f64 = self.all.iter_mut().map(|docs| docs.score()).sum();
        let checks: f64 = self.checks.iter().map(|check| check.score).sum();
        let optional: f64 = self.optionals().map(|docs| docs.score()).sum();
        (all + checks + optional) * self.weight
    }

    /// The rarest hands its documents over, and the others are asked about them all at once.
    fn batches(&mut self, scored: bool, take: Take<'_>) {
        if self.proximity != Proximity::Any || self.doc == END {
            return one_by_one(self, scored, take);
        }
        let Self { all, checks, without, optional, weight, clock, .. } = self;
        let Some((rarest, others)) = all.split_first_mut() else { return };
        let of_checks: f64 = checks.iter().map(|check| check.score).sum();
        let mut batch = Batch::default();
        rarest.batches(scored, &mut |docs, scores| {
            batch.set(docs, scores);
            for other in others.iter_mut() {
                other.probe(batch.ask(), scored);
                batch.keep(true);
            }
            for check in checks.iter() {
                batch.ask().probe(|doc| (check.matches)(doc).then_some(0.0));
                batch.keep(true);
            }
            for without in without.iter_mut() {
                without.probe(batch.ask(), false);
                batch.keep(false);
            }
            if scored {
                batch.rescore(|sum| sum + of_checks);
                for optional in optional.iter_mut() {
                    optional.probe(batch.ask(), true);
                }
                batch.rescore(|sum| sum * *weight);
            }
            clock.ticks(docs.len()) && take(batch.docs(), batch.scores())
        });
    }

    fn explain(&mut self) -> Explanation {
        let order = self.order.clone();
        let mut parts: Vec<Explanation> = order.iter().map(|at| self.all[*at].explain()).collect();
        parts.extend(self.optionals().map(|docs| docs.explain()));
        Explanation::joined(self.weight, self.score(), parts)
    }

    fn fields(&self) -> u128 {
        self.all.iter().fold(0, |fields, docs| fields | docs.fields())
    }

    fn places(&mut self, field: u32, out: &mut Vec<u32>) {
        let before = out.len();
        for docs in &mut self.all {
            docs.places(field, out);
        }
        let mut places = out.split_off(before);
        places.sort_unstable();
        places.dedup();
        out.append(&mut places);
    }

    fn apart(&mut self) -> f64 {
        let mut of_words = Vec::new();
        for at in self.order.clone() {
            let (mut places, fields) = (Vec::new(), self.all[at].fields());
            for field in (0..u128::BITS).filter(|field| fields >> field & 1 == 1) {
                self.all[at].places(field, &mut places);
            }
            places.sort_unstable();
            of_words.push(places);
        }
        match proximity::apart(&of_words) {
            0.0 => of_words.len().max(1) as f64,
            apart => apart,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::iterators::{List, Nothing};

    fn list(docs: impl IntoIterator<Item = DocId>) -> Box<dyn Docs> {
        Box::new(List::new(docs.into_iter().collect(), 1.0))
    }

    fn collect(docs: &mut dyn Docs) -> Vec<DocId> {
        let mut found = Vec::new();
        while docs.doc() != END {
            found.push(docs.doc());
            docs.advance();
        }
        found
    }

    #[test]
    fn only_what_all_have_and_nothing_forbids_matches() {
        let mut go_on = || true;
        let clock = Clock::new(&mut go_on);
        let check = Check { matches: Box::new(|doc| doc % 5 != 0), score: 0.5 };
        let (all, without) = (vec![list(0..200), list((0..200).step_by(2))], vec![list((0..200).step_by(6))]);
        let optional = vec![list([4, 8])];
        let mut and = And::new(all, vec![check], without, optional, Proximity::Any, 2.0, &clock);
        assert_eq!((and.doc(), and.score()), (2, 5.0));
        assert_eq!((and.seek(3), and.score()), (4, 7.0));
        let expected: Vec<DocId> = (4..200).filter(|doc| doc % 2 == 0 && doc % 6 != 0 && doc % 5 != 0).collect();
        assert_eq!(collect(&mut and), expected);
        let nothing: Vec<Box<dyn Docs>> = vec![list(0..9), Box::new(Nothing)];
        assert_eq!(And::new(nothing, vec![], vec![], vec![], Proximity::Any, 1.0, &clock).doc(), END);
    }

    #[test]
    fn a_stopped_clock_ends_the_search() {
        let mut go_on = || false;
        let clock = Clock::new(&mut go_on);
        let all = vec![list(0..9_000), list(5_000..9_000)];
        let mut and = And::new(all, vec![], vec![], vec![], Proximity::Any, 1.0, &clock);
        assert!(collect(&mut and).len() < 2_000 && clock.stopped());
    }
}
