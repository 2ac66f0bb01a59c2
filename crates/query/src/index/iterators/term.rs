//! The documents of one term.

use std::cell::Cell;

use crate::index::cursor::Cursor;
use crate::index::iterators::{Batch, Docs, Take, Window};
use crate::index::postings::{BLOCK, Block, Impacts};
use crate::index::score::{Explanation, TermScore};
use crate::index::{DocId, END};

/// Entries of a block whose best are worth knowing.
const FULL: usize = BLOCK / 2;

/// The documents of a term that has it in one of some fields.
#[derive(Debug)]
pub(in crate::index) struct Term<'a> {
    cursor: Cursor<'a>,
    fields: u128,
    /// Whether its places can be asked for.
    placed: bool,
    score: TermScore<'a>,
}

impl<'a> Term<'a> {
    /// All ones as `fields`: any.
    pub(in crate::index) fn new(cursor: Cursor<'a>, fields: u128, placed: bool, score: TermScore<'a>) -> Self {
        let mut term = Self { cursor, fields, placed, score };
        term.settle();
        term
    }

    #[inline]
    fn settle(&mut self) -> DocId {
        while self.cursor.fields() & self.fields == 0 && self.cursor.doc() != END {
            self.cursor.advance();
        }
        self.cursor.doc()
    }
}

impl Docs for Term<'_> {
    #[inline]
    fn doc(&self) -> DocId {
        self.cursor.doc()
    }

    #[inline]
    fn advance(&mut self) -> DocId {
        self.cursor.advance();
        self.settle()
    }

    #[inline]
    fn seek(&mut self, target: DocId) -> DocId {
        self.cursor.seek(target);
        self.settle()
    }

    fn cost(&self) -> usize {
        self.cursor.len()
    }

    #[inline]
    fn score(&mut self) -> f64 {
        self.score.score(self.cursor.doc(), self.cursor.frequency())
    }

    fn explain(&mut self) -> Explanation {
        self.score.explain(self.cursor.doc(), self.cursor.frequency())
    }

    fn fields(&self) -> u128 {
        if self.placed { self.cursor.fields() & self.fields } else { 0 }
    }

    fn places(&mut self, field: u32, out: &mut Vec<u32>) {
        if self.fields >> field & 1 == 1 {
            self.cursor.places(field, out);
        }
    }

    fn batches(&mut self, scored: bool, take: Take<'_>) {
        let (mut docs, mut frequencies, mut scores) = ([END; BLOCK], [0; BLOCK], [0.0; BLOCK]);
        while self.cursor.doc() != END {
            let (count, _) = self.cursor.take_block(self.fields, &mut docs, &mut frequencies, |_| false);
            if scored {
                self.score.scores(&docs[..count], &frequencies[..count], &mut scores);
            }
            if !take(&docs[..count], &scores[..count]) {
                return;
            }
        }
    }

    fn better(&mut self, bound: &Cell<f64>, take: Take<'_>) -> usize {
        let (mut docs, mut frequencies, mut scores) = ([END; BLOCK], [0; BLOCK], [0.0; BLOCK]);
        let (term, known, mut seen) = (self.score, self.known(), 0);
        // Blocks are passed over only where nobody has to count what is in them.
        let pass = |block: &Block| {
            known.is_some() && block.best.get().is_some_and(|best| term.best(best.iter()) <= bound.get())
        };
        while self.cursor.doc() != END {
            let (count, block) = self.cursor.take_block(self.fields, &mut docs, &mut frequencies, pass);
            let (docs, frequencies) = (&docs[..count], &frequencies[..count]);
            seen += count;
            term.scores(docs, frequencies, &mut scores);
            // A block that may still grow, or is read from its middle on, tells nothing.
            if let Some(block) = block.filter(|block| block.count as usize == count && count >= FULL) {
                block.best.get_or_init(|| Box::new(Impacts::of(term.impacts(docs, frequencies))));
            }
            if !take(docs, &scores[..count]) {
                break;
            }
        }
        known.unwrap_or(seen)
    }

    fn probe(&mut self, batch: &mut Batch, scored: bool) {
        if scored {
            batch.probe(|doc| (self.seek(doc) == doc).then(|| self.score()));
        } else {
            batch.probe(|doc| (self.seek(doc) == doc).then_some(0.0));
        }
    }

    fn known(&self) -> Option<usize> {
        (self.fields == u128::MAX && self.cursor.is_at_start()).then(|| self.cursor.len())
    }

    fn fill(&mut self, end: DocId, window: &mut Window) {
        if self.fields != u128::MAX {
            while self.cursor.doc() < end {
                let score = if window.scored { self.score() } else { 0.0 };
                window.add(self.cursor.doc(), score);
                self.advance();
            }
            return;
        }
        let mut scores = [0.0; BLOCK];
        while self.cursor.doc() < end {
            let (docs, frequencies) = self.cursor.ahead(end);
            let count = docs.len();
            if window.scored {
                self.score.scores(docs, frequencies, &mut scores);
            }
            window.add_all(docs, &scores[..count]);
            self.cursor.skip(count);
        }
    }
}
