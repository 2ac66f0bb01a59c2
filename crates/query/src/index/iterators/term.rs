//! The documents of one term.

use crate::index::cursor::Cursor;
use crate::index::iterators::{Docs, Window};
use crate::index::postings::BLOCK;
use crate::index::score::{Explanation, TermScore};
use crate::index::{DocId, END};

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

    fn batches(&mut self, scored: bool, take: &mut dyn FnMut(&[DocId], &[f64]) -> bool) {
        let (mut docs, mut frequencies, mut scores) = ([END; BLOCK], [0; BLOCK], [0.0; BLOCK]);
        while self.cursor.doc() != END {
            let count = self.cursor.take_block(self.fields, &mut docs, &mut frequencies);
            if scored {
                self.score.scores(&docs[..count], &frequencies[..count], &mut scores);
            }
            if !take(&docs[..count], &scores[..count]) {
                return;
            }
        }
    }

    fn known(&self) -> Option<usize> {
        (self.fields == u128::MAX && self.cursor.is_at_start()).then(|| self.cursor.len())
    }

    fn fill(&mut self, end: DocId, window: &mut Window) {
        while self.cursor.doc() < end {
            let doc = self.cursor.doc();
            let score = if window.scored { self.score.score(doc, self.cursor.frequency()) } else { 0.0 };
            window.add(doc, score);
            self.cursor.advance();
            self.settle();
        }
    }
}
