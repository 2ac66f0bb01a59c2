//! A query's answer: which documents match, in what order, and how far they are.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::ast::{Kind, Knn, Query};
use crate::error::QueryError;
use crate::index::bits::Bits;
use crate::index::clock::Clock;
use crate::index::iterators::Docs;
use crate::index::plan::{Planner, Range};
use crate::index::profile::Profile;
use crate::index::score::{Explanation, Scorer, Scoring};
use crate::index::vectors::Near;
use crate::index::{DocId, END, Index, KindIndex};
use crate::limits;

/// What is asked besides the query.
#[derive(Clone, Copy)]
pub struct SearchOptions<'a> {
    /// Hits to leave out at the beginning.
    pub offset: usize,
    /// Hits at most; 0 only counts.
    pub limit: usize,
    /// How matches are scored.
    pub scorer: Scorer,
    /// What BM25STD.TANH divides by.
    pub tanh_factor: f64,
    /// The order of the hits.
    pub sort: Sort<'a>,
    /// Whether hits need their scores although they are sorted by something else.
    pub with_scores: bool,
    /// Only documents with these keys (`INKEYS`).
    pub in_keys: Option<&'a [Vec<u8>]>,
    /// The language words are stemmed in; `None`: the schema's.
    pub language: Option<&'a str>,
    /// Words between the words of any intersection at most, where its attributes say nothing (`SLOP`).
    pub slop: Option<u32>,
    /// Whether words of any intersection stand in their order (`INORDER`).
    pub in_order: bool,
    /// Terms a prefix, an infix, a pattern or a fuzzy word stands for at most.
    pub expansions: usize,
    /// Characters of a prefix, suffix or infix at least.
    pub min_prefix: usize,
    /// All other words of the groups a word is in.
    pub synonyms: &'a dyn Fn(&str) -> Vec<String>,
    /// What HAMMING compares with.
    pub payload: Option<&'a [u8]>,
    /// Where to write down what each part of the query does.
    pub profile: Option<Profile<'a>>,
}

impl Default for SearchOptions<'_> {
    fn default() -> Self {
        Self {
            offset: 0,
            limit: 10,
            scorer: Scorer::default(),
            tanh_factor: 4.0,
            sort: Sort::Score,
            with_scores: false,
            in_keys: None,
            language: None,
            slop: None,
            in_order: false,
            expansions: limits::EXPANSIONS,
            min_prefix: limits::PREFIX,
            synonyms: &|_| Vec::new(),
            payload: None,
            profile: None,
        }
    }
}

impl std::fmt::Debug for SearchOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { offset, limit, scorer, sort, .. } = self;
        write!(f, "SearchOptions {{ offset: {offset}, limit: {limit}, scorer: {scorer:?}, sort: {sort:?}, .. }}")
    }
}

/// The order of hits; those that are equal in it stand in the order of their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort<'a> {
    /// Best first; nearest first where the query asks for the nearest.
    Score,
    /// As ids ascend, which costs nothing.
    Id,
    /// By a SORTABLE or NUMERIC field; documents without it come last.
    Field {
        /// Its place in the schema.
        field: u16,
        /// The largest first.
        descending: bool,
    },
    /// By the distance of this name; documents without it come last.
    Distance {
        /// The name.
        name: &'a [u8],
        /// The farthest first.
        descending: bool,
    },
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Hits {
    /// Documents that match.
    pub total: usize,
    /// Those that were asked for.
    pub hits: Vec<Hit>,
    /// The search was told to stop: there may be more.
    pub timed_out: bool,
}

/// A document that matches.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The document.
    pub doc: DocId,
    /// Its score; 0 where none was asked for.
    pub score: f64,
    /// Distances by the names of their attributes.
    pub distances: Vec<(Vec<u8>, f64)>,
}

impl Index {
    /// The documents that match. `go_on` is asked from time to time; where it says no, what was found is the answer.
    /// # Errors
    /// A vector of another size than the field's; what only another kind of field can answer.
    pub fn search(
        &self,
        query: &Query,
        options: &SearchOptions<'_>,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Hits, QueryError> {
        let clock = Clock::new(go_on);
        let scored = options.limit > 0 && (options.with_scores || options.sort == Sort::Score && query.knn.is_none());
        let scoring = Scoring::new(options.scorer, &self.documents, options.tanh_factor, options.payload);
        let planner = Planner::new(self, options, &clock, scored.then_some(scoring));
        let mut hits = match &query.knn {
            Some(knn) => planner.vectors(query, knn, || self.nearest(query, knn, &planner), |hits| hits.total)?,
            None => self.matching(query, &planner)?,
        };
        for hit in &mut hits.hits {
            for range in planner.ranges().iter() {
                if let (Some(name), Some(distance)) = (&range.name, range.distance(hit.doc)) {
                    hit.distances.push((name.clone(), distance));
                }
            }
        }
        hits.timed_out = clock.stopped();
        Ok(hits)
    }

    /// How the score of a document comes about; `None` when it does not match.
    /// # Errors
    /// As [`Self::search`].
    pub fn explain_score(
        &self,
        query: &Query,
        options: &SearchOptions<'_>,
        doc: DocId,
    ) -> Result<Option<Explanation>, QueryError> {
        let mut go_on = || true;
        let clock = Clock::new(&mut go_on);
        let scoring = Scoring::new(options.scorer, &self.documents, options.tanh_factor, options.payload);
        let planner = Planner::new(self, options, &clock, Some(scoring));
        planner.is_watched.set(false);
        let mut docs = planner.root(&query.root, false)?;
        if docs.seek(doc) != doc {
            return Ok(None);
        }
        let (sum, apart) = (docs.score(), apart(&scoring, docs.as_mut()));
        let words = docs.explain();
        Ok(Some(scoring.explain(doc, sum, apart, words)))
    }

    fn matching(&self, query: &Query, planner: &Planner<'_>) -> Result<Hits, QueryError> {
        let options = planner.options;
        if options.limit == 0 && query.root.kind == Kind::All && options.in_keys.is_none() {
            return Ok(Hits { total: self.len(), ..Hits::default() });
        }
        let mut docs = planner.root(&query.root, true)?;
        let keep = options.offset.saturating_add(options.limit);
        match options.sort {
            _ if options.limit == 0 => Ok(Hits { total: count(docs.as_mut(), planner.clock), ..Hits::default() }),
            Sort::Id => Ok(in_order(docs.as_mut(), planner)),
            Sort::Score => Ok(by_score(docs.as_mut(), planner, keep)),
            Sort::Field { field, descending } => self.by_field(docs.as_mut(), planner, options, field, descending),
            Sort::Distance { name, descending } => {
                let ranges = planner.ranges();
                let distance = |doc| {
                    ranges.iter().filter(|r| r.name.as_deref() == Some(name)).find_map(|r: &Range| r.distance(doc))
                };
                Ok(by_number(docs.as_mut(), planner, options, descending, distance))
            }
        }
    }

    fn by_field(
        &self,
        docs: &mut dyn Docs,
        planner: &Planner<'_>,
        options: &SearchOptions<'_>,
        field: u16,
        descending: bool,
    ) -> Result<Hits, QueryError> {
        let index = self.fields.get(field as usize);
        match index.map(|index| (&index.kind, &index.sortable)) {
            Some((KindIndex::Numeric(numbers), _)) => {
                Ok(by_number(docs, planner, options, descending, |doc| numbers.first(doc)))
            }
            Some((_, Some(texts))) => {
                let text = |doc: DocId| texts.get(doc as usize).and_then(Option::as_deref);
                Ok(match descending {
                    true => collect(docs, planner, options, |doc| text(doc).map(|text| (1, text)).unwrap_or((0, &[]))),
                    false => {
                        collect(docs, planner, options, |doc| Reverse(text(doc).map_or((1, &[][..]), |text| (0, text))))
                    }
                })
            }
            _ => Err(QueryError::new("the field to sort by is not sortable")),
        }
    }

    fn nearest(&self, query: &Query, knn: &Knn, planner: &Planner<'_>) -> Result<Hits, QueryError> {
        let options = planner.options;
        let (index, vector) = self.vector_query(knn.field, &knn.vector)?;
        let filtered = query.root.kind != Kind::All || options.in_keys.is_some();
        let filter = if filtered { Some(planner.set(&query.root)?) } else { None };
        if planner.clock.stopped() {
            return Ok(Hits::default());
        }
        let found = index.nearest(&vector, knn.k, knn.ef_runtime, filter.as_ref(), knn.policy, planner.clock);
        let mut found = found.map_err(|error| QueryError::new(error.to_string()))?;
        let scores = if options.with_scores { self.scores_of(query, &found, planner)? } else { Vec::new() };
        let total = found.len();
        let mut hits: Vec<Hit> = Vec::with_capacity(total.min(options.limit));
        let mut order: Vec<usize> = (0..total).collect();
        match options.sort {
            Sort::Score => {}
            Sort::Distance { descending, .. } => {
                if descending {
                    order.sort_by(|a, b| found[*b].1.total_cmp(&found[*a].1).then(found[*a].0.cmp(&found[*b].0)));
                }
            }
            Sort::Id => order.sort_by_key(|at| found[*at].0),
            Sort::Field { field, descending } => {
                let docs: Bits = found.iter().map(|near| near.0).collect();
                let options = SearchOptions { offset: 0, limit: total, with_scores: false, ..*options };
                let mut docs = super::iterators::Set::new(docs, 0.0);
                let sorted = self.by_field(&mut docs, planner, &options, field, descending)?;
                let place = |doc| found.iter().position(|near| near.0 == doc);
                order = sorted.hits.iter().filter_map(|hit| place(hit.doc)).collect();
            }
        }
        for at in order.into_iter().skip(options.offset).take(options.limit) {
            let (doc, distance) = std::mem::replace(&mut found[at], (END, 0.0));
            let score = scores.get(at).copied().unwrap_or(0.0);
            hits.push(Hit { doc, score, distances: vec![(knn.distance_as.clone(), f64::from(distance))] });
        }
        Ok(Hits { total, hits, timed_out: false })
    }

    /// What the documents of a KNN query score by the rest of it.
    fn scores_of(&self, query: &Query, found: &[Near], planner: &Planner<'_>) -> Result<Vec<f64>, QueryError> {
        planner.is_watched.set(false);
        let mut docs = planner.root(&query.root, false)?;
        let mut order: Vec<usize> = (0..found.len()).collect();
        order.sort_by_key(|at| found[*at].0);
        let mut scores = vec![0.0; found.len()];
        for at in order {
            if docs.seek(found[at].0) == found[at].0 {
                scores[at] = planner.score(docs.as_mut());
            }
        }
        Ok(scores)
    }
}

/// How far words stand apart, where the scorer asks.
pub(super) fn apart(scoring: &Scoring<'_>, docs: &mut dyn Docs) -> f64 {
    if scoring.scorer().needs_places() { docs.apart() } else { 1.0 }
}

fn count(docs: &mut dyn Docs, clock: &Clock<'_>) -> usize {
    if let Some(known) = docs.known() {
        return known;
    }
    let mut total = 0;
    docs.batches(false, &mut |docs, _| {
        total += docs.len();
        clock.ticks(docs.len())
    });
    total
}

/// Scores compared together.
const CHUNK: usize = 32;

fn by_score(docs: &mut dyn Docs, planner: &Planner<'_>, keep: usize) -> Hits {
    let options = planner.options;
    let (mut best, mut total, mut most) = (Best::new(keep), 0, 0.0_f64);
    if options.scorer.needs_places() {
        while docs.doc() != END && planner.clock.tick() {
            total += 1;
            let score = planner.score(docs);
            best.offer(ordered(score), docs.doc(), score);
            docs.advance();
        }
    } else {
        // Most documents are worse than the worst that is kept: one comparison each, or none where scores are what terms
        // say.
        let bound = Cell::new(f64::NEG_INFINITY);
        let mut take = |docs: &[DocId], sums: &[f64]| {
            for (docs, sums) in docs.chunks(CHUNK).zip(sums.chunks(CHUNK)) {
                if planner.sums && sums.iter().all(|sum| *sum <= bound.get()) {
                    continue;
                }
                for (&doc, &sum) in docs.iter().zip(sums) {
                    let score = planner.finish(doc, sum);
                    if score > bound.get() {
                        most = most.max(score);
                        best.offer(ordered(score), doc, score);
                        bound.set(best.worst().unwrap_or(bound.get()));
                    }
                }
            }
            // What is handed over may be little of what was looked at.
            planner.clock.ticks(docs.len().max(CHUNK))
        };
        if planner.sums {
            total = docs.better(&bound, &mut take);
        } else {
            docs.batches(true, &mut |docs, sums| {
                total += docs.len();
                take(docs, sums)
            });
        }
    }
    let mut hits = best.into_hits(total, options);
    if options.scorer == Scorer::Bm25StdNorm && most > 0.0 {
        hits.hits.iter_mut().for_each(|hit| hit.score /= most);
    }
    hits
}

fn in_order(docs: &mut dyn Docs, planner: &Planner<'_>) -> Hits {
    let options = planner.options;
    let mut hits = Hits::default();
    while docs.doc() != END && planner.clock.tick() {
        if hits.total >= options.offset && hits.hits.len() < options.limit {
            let score = planner.score(docs);
            hits.hits.push(Hit { doc: docs.doc(), score, distances: Vec::new() });
        }
        hits.total += 1;
        docs.advance();
    }
    hits
}

fn by_number(
    docs: &mut dyn Docs,
    planner: &Planner<'_>,
    options: &SearchOptions<'_>,
    descending: bool,
    number: impl Fn(DocId) -> Option<f64>,
) -> Hits {
    // Larger is better, and what has no number is worst of all, in either order.
    let key = |doc| number(doc).map_or(0, |number| if descending { ordered(number) } else { !ordered(number) }.max(1));
    collect(docs, planner, options, key)
}

fn collect<K: Ord>(
    docs: &mut dyn Docs,
    planner: &Planner<'_>,
    options: &SearchOptions<'_>,
    key: impl Fn(DocId) -> K,
) -> Hits {
    let mut best = Best::new(options.offset.saturating_add(options.limit));
    let mut total = 0;
    while docs.doc() != END && planner.clock.tick() {
        total += 1;
        let key = key(docs.doc());
        if best.wants(&key) {
            let score = planner.score(docs);
            best.offer(key, docs.doc(), score);
        }
        docs.advance();
    }
    best.into_hits(total, options)
}

/// A number as one that compares as it does.
fn ordered(number: f64) -> u64 {
    let bits = number.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

/// The best of any number of documents offered in order of their ids: those with the largest keys, and of equal ones
/// those with the smallest ids.
struct Best<K> {
    keep: usize,
    heap: BinaryHeap<Reverse<Ranked<K>>>,
}

struct Ranked<K> {
    key: K,
    doc: DocId,
    score: f64,
}

impl<K: Ord> Ord for Ranked<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key).then(other.doc.cmp(&self.doc))
    }
}

impl<K: Ord> PartialOrd for Ranked<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Ord> PartialEq for Ranked<K> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<K: Ord> Eq for Ranked<K> {}

impl<K: Ord> Best<K> {
    fn new(keep: usize) -> Self {
        Self { keep, heap: BinaryHeap::new() }
    }

    /// Whether a document that comes after all others would be kept.
    fn wants(&self, key: &K) -> bool {
        self.heap.len() < self.keep || self.heap.peek().is_some_and(|worst| *key > worst.0.key)
    }

    /// The score of the worst, once there are as many as are kept.
    fn worst(&self) -> Option<f64> {
        self.heap.peek().filter(|_| self.heap.len() == self.keep).map(|worst| worst.0.score)
    }

    #[inline]
    fn offer(&mut self, key: K, doc: DocId, score: f64) {
        if self.heap.len() < self.keep {
            self.heap.push(Reverse(Ranked { key, doc, score }));
        } else if let Some(mut worst) = self.heap.peek_mut()
            && key > worst.0.key
        {
            worst.0 = Ranked { key, doc, score };
        }
    }

    fn into_hits(self, total: usize, options: &SearchOptions<'_>) -> Hits {
        let ranked = self.heap.into_sorted_vec().into_iter().skip(options.offset);
        let hits = ranked.map(|ranked| Hit { doc: ranked.0.doc, score: ranked.0.score, distances: Vec::new() });
        Hits { total, hits: hits.collect(), timed_out: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_as_their_keys_do() {
        let numbers = [f64::NEG_INFINITY, -2.5, -1e-300, 0.0, 1e-300, 3.0, f64::INFINITY];
        assert!(numbers.windows(2).all(|pair| ordered(pair[0]) < ordered(pair[1])));
    }

    #[test]
    fn the_best_are_kept_and_equals_stand_by_id() {
        let mut best = Best::new(3);
        for (doc, key) in [5, 1, 7, 5, 7, 0].into_iter().enumerate() {
            best.offer(key, doc as DocId, 0.0);
        }
        let hits = best.into_hits(6, &SearchOptions { offset: 1, ..SearchOptions::default() });
        assert_eq!(hits.hits.iter().map(|hit| hit.doc).collect::<Vec<_>>(), [4, 0]);
    }
}
