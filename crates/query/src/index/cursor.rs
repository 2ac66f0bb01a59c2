//! Reading postings in order: a block at a time is decoded into arrays, blocks before a target are passed over.

use crate::index::postings::{self, BLOCK, Block, Postings, Shape};
use crate::index::{DocId, END};

/// Documents looked at one by one when seeking, before what is left of a block is halved.
const NEAR: usize = 8;

/// A place in postings, at their first document when made.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    blocks: &'a [Block],
    shape: Shape,
    /// Documents of all blocks.
    len: usize,
    /// The block that is decoded.
    block: usize,
    at: usize,
    /// Its documents, and [`END`] behind them.
    docs: [DocId; BLOCK + 1],
    frequencies: [u32; BLOCK],
    /// Filled only for those who ask for fields, and where they are not all the first.
    fields: Vec<u128>,
    first_only: bool,
    /// Of which entry the positions begin where in the block's data.
    positions: (usize, usize),
}

impl<'a> Cursor<'a> {
    /// At the first document. `fields`: whether the fields of entries or their positions will be asked for.
    pub(crate) fn new(postings: &'a Postings, shape: Shape, fields: bool) -> Self {
        let mut cursor = Self {
            blocks: postings.blocks(),
            shape,
            len: postings.len(),
            block: 0,
            at: 0,
            docs: [END; BLOCK + 1],
            frequencies: [1; BLOCK],
            fields: if fields { vec![1; BLOCK] } else { Vec::new() },
            first_only: false,
            positions: (0, 0),
        };
        cursor.load(0);
        cursor
    }

    /// Documents there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The document here; [`END`] behind the last.
    #[inline]
    pub(crate) fn doc(&self) -> DocId {
        self.docs[self.at]
    }

    /// How often the term stands in it.
    #[inline]
    pub(crate) fn frequency(&self) -> u32 {
        self.frequencies.get(self.at).copied().unwrap_or(1)
    }

    /// In which fields; any where nobody asked for them.
    #[inline]
    pub(crate) fn fields(&self) -> u128 {
        match self.fields.get(self.at) {
            Some(_) if self.first_only => 1,
            Some(fields) => *fields,
            None => u128::MAX,
        }
    }

    /// To the next document.
    #[inline]
    pub(crate) fn advance(&mut self) -> DocId {
        match self.docs.get(self.at + 1) {
            Some(&next) if next != END => self.at += 1,
            _ if self.docs[self.at] != END => self.load(self.block + 1),
            _ => {}
        }
        self.docs[self.at]
    }

    /// To the first document that is not before `target`; stays where that is already behind.
    #[inline]
    pub(crate) fn seek(&mut self, target: DocId) -> DocId {
        if self.doc() >= target {
            return self.doc();
        }
        match self.blocks.get(self.block) {
            Some(block) if block.last >= target => {}
            Some(_) => {
                let rest = &self.blocks[self.block + 1..];
                // The next block is the likeliest by far.
                let skipped = match rest.first() {
                    Some(next) if next.last >= target => 0,
                    _ => rest.partition_point(|block| block.last < target),
                };
                self.load(self.block + 1 + skipped);
            }
            None => return END,
        }
        // Targets are mostly near; and behind the documents stands END, which is not before any target.
        for _ in 0..NEAR {
            if self.docs[self.at] >= target {
                return self.docs[self.at];
            }
            self.at += 1;
        }
        self.at += self.docs[self.at..].partition_point(|&doc| doc < target);
        self.docs[self.at]
    }

    /// What is left of the block before `end`: documents and frequencies. [`Self::skip`] moves over them.
    #[inline]
    pub(crate) fn ahead(&self, end: DocId) -> (&[DocId], &[u32]) {
        let docs = &self.docs[self.at..BLOCK];
        // Behind the documents stands END, which is before no end.
        let count = docs.partition_point(|&doc| doc < end);
        (&docs[..count], &self.frequencies[self.at..self.at + count])
    }

    /// Moves over so many documents of the block.
    #[inline]
    pub(crate) fn skip(&mut self, count: usize) {
        self.at += count;
        if self.docs[self.at] == END && count > 0 {
            self.load(self.block + 1);
        }
    }

    /// Appends the places of the term in one field of the document here, ascending.
    pub(crate) fn places(&mut self, field: u32, out: &mut Vec<u32>) {
        let Some(block) = self.blocks.get(self.block).filter(|_| self.doc() != END) else { return };
        let (mut entry, mut at) = self.positions;
        if entry > self.at {
            (entry, at) = (0, block.positions_at as usize);
        }
        while entry < self.at {
            block.positions(&mut at);
            entry += 1;
        }
        self.positions = (entry, at);
        postings::places(block.positions(&mut at), self.fields(), field, out);
    }

    /// Whether it stands where it stood when it was made.
    pub(crate) fn is_at_start(&self) -> bool {
        self.block == 0 && self.at == 0
    }

    /// Moves what is left of a block, and stands in one of these fields, to arrays; how much it was, and the block. Then
    /// goes to the next block that is not to be passed over.
    pub(crate) fn take_block(
        &mut self,
        fields: u128,
        docs: &mut [DocId; BLOCK],
        frequencies: &mut [u32; BLOCK],
        pass: impl Fn(&Block) -> bool,
    ) -> (usize, Option<&'a Block>) {
        let rest = self.docs[self.at..].iter().zip(&self.frequencies[self.at..]).zip(self.at..);
        let mut count = 0;
        for ((&doc, &frequency), at) in rest.take_while(|((doc, _), _)| **doc != END) {
            (docs[count], frequencies[count]) = (doc, frequency);
            let in_some = |of: &u128| if self.first_only { 1 } else { *of } & fields != 0;
            count += usize::from(self.fields.get(at).is_none_or(in_some));
        }
        let taken = self.blocks.get(self.block);
        let passed = self.blocks.iter().skip(self.block + 1).take_while(|block| pass(block)).count();
        self.load(self.block + 1 + passed);
        (count, taken)
    }

    fn load(&mut self, block: usize) {
        (self.block, self.at) = (block, 0);
        let Some(block) = self.blocks.get(block) else {
            self.docs.fill(END);
            return;
        };
        self.positions = (0, block.positions_at as usize);
        let count = (block.count as usize).min(BLOCK);
        let (docs, frequencies) = (&mut self.docs[..count], &mut self.frequencies[..count]);
        let (mut at, mut doc) = (0, block.first);
        self.first_only = block.is_plain(self.shape);
        if self.first_only {
            block.read_plain(self.shape, docs, frequencies);
        } else if self.fields.is_empty() {
            for (place, frequency_place) in docs.iter_mut().zip(frequencies) {
                let (distance, frequency) = block.distance_and_frequency(self.shape, &mut at);
                doc = doc.wrapping_add(distance);
                (*place, *frequency_place) = (doc, frequency);
            }
        } else {
            for i in 0..count {
                let (distance, frequency, fields) = block.entry(self.shape, &mut at);
                doc = doc.wrapping_add(distance);
                (docs[i], frequencies[i], self.fields[i]) = (doc, frequency, fields);
            }
        }
        self.docs[count..].fill(END);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::postings::{Entry, put_places};

    fn postings(docs: &[DocId]) -> Postings {
        let mut postings = Postings::default();
        for &doc in docs {
            let mut positions = Vec::new();
            put_places(&mut positions, [doc % 7, doc % 7 + doc % 3].into_iter());
            let entry = Entry { doc, frequency: doc % 3 + 1, fields: 1 << (doc % 2), positions: &positions };
            postings.insert(Shape::Text, &entry);
        }
        postings
    }

    #[test]
    fn seeking_and_advancing_find_what_a_list_holds() {
        let docs: Vec<DocId> = (0..2000).map(|i| i * 3 + i % 2).collect();
        let postings = postings(&docs);
        for step in [1, 2, 5, 127, 128, 129, 400, 7000] {
            let (mut cursor, mut target) = (Cursor::new(&postings, Shape::Text, true), 0);
            while cursor.doc() != END {
                let expected = docs[docs.partition_point(|&doc| doc < target)];
                assert_eq!((cursor.seek(target), cursor.doc()), (expected, expected));
                assert_eq!((cursor.frequency(), cursor.fields()), (expected % 3 + 1, 1 << (expected % 2)));
                let mut places = Vec::new();
                cursor.places(expected % 2, &mut places);
                assert_eq!(places, [expected % 7, expected % 7 + expected % 3]);
                let next = cursor.advance();
                assert_eq!(next, docs.iter().copied().find(|&doc| doc > expected).unwrap_or(END));
                target = if next == END { END } else { next.saturating_add(step) };
                if cursor.seek(target) == END {
                    assert!(docs.last().is_some_and(|&last| last < target));
                }
            }
        }
    }
}
