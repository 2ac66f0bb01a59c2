//! The documents of an index: key to id and back, and what is known of each.
//!
//! A document keeps its id for life, so changing it touches only what changed; ids of documents that are gone are used
//! again, the smallest first, so that everything that is indexed by id stays dense.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use crate::index::bits::Bits;
use crate::index::dictionary::TermId;
use crate::index::{DocId, END, varint};

/// What is known of a document besides what is indexed of it.
#[derive(Clone, Debug, PartialEq, Default)]
pub(crate) struct Doc {
    pub(crate) key: Arc<[u8]>,
    /// The caller's count of its changes.
    pub(crate) version: u64,
    /// Of all its texts, to see whether they changed.
    pub(crate) digest: u64,
    /// Frequency of its most frequent word.
    pub(crate) max_frequency: u32,
    /// Its words, ascending, each as the distance from the one before.
    pub(crate) words: Box<[u8]>,
    /// Its tags, by field.
    pub(crate) tags: Box<[(u16, TermId)]>,
    pub(crate) payload: Option<Box<[u8]>>,
}

/// The documents.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    ids: HashMap<Arc<[u8]>, DocId>,
    docs: Vec<Doc>,
    live: Bits,
    vacant: BinaryHeap<Reverse<DocId>>,
    lengths: Vec<u32>,
    scores: Vec<f32>,
    total_length: u64,
    /// Documents whose score is not one.
    other_scores: usize,
    heap_bytes: usize,
    key_bytes: usize,
}

impl Documents {
    /// Documents.
    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    /// One more than the largest id.
    pub(crate) fn ids(&self) -> usize {
        self.docs.len()
    }

    /// Ids of all.
    pub(crate) fn live(&self) -> &Bits {
        &self.live
    }

    /// The id of a key.
    pub(crate) fn find(&self, key: &[u8]) -> Option<DocId> {
        self.ids.get(key).copied()
    }

    /// A document.
    pub(crate) fn get(&self, id: DocId) -> Option<&Doc> {
        self.docs.get(id as usize).filter(|_| self.live.contains(id))
    }

    /// Words of a document's texts.
    #[inline]
    pub(crate) fn length(&self, id: DocId) -> u32 {
        self.lengths.get(id as usize).copied().unwrap_or(0)
    }

    /// [`Self::length`] of all, by id.
    pub(crate) fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    /// A document's own score.
    #[inline]
    pub(crate) fn score(&self, id: DocId) -> f32 {
        self.scores.get(id as usize).copied().unwrap_or(1.0)
    }

    /// Whether the score of every document is one.
    pub(crate) fn all_score_one(&self) -> bool {
        self.other_scores == 0
    }

    /// Mean of all lengths.
    pub(crate) fn average_length(&self) -> f64 {
        if self.len() == 0 { 0.0 } else { self.total_length as f64 / self.len() as f64 }
    }

    /// The smallest id that is free; `None` when all are taken.
    pub(crate) fn vacant(&self) -> Option<DocId> {
        match self.vacant.peek() {
            Some(id) => Some(id.0),
            None => DocId::try_from(self.docs.len()).ok().filter(|id| *id < END),
        }
    }

    /// Puts a document in its place, in which there may be an older form of it.
    pub(crate) fn set(&mut self, id: DocId, doc: Doc, length: u32, score: f32) {
        let at = id as usize;
        if self.vacant.peek() == Some(&Reverse(id)) {
            self.vacant.pop();
        }
        if at >= self.docs.len() {
            self.docs.resize_with(at + 1, Doc::default);
            self.lengths.resize(at + 1, 0);
            self.scores.resize(at + 1, 1.0);
        }
        if self.live.insert(id) {
            self.ids.insert(Arc::clone(&doc.key), id);
            self.key_bytes += doc.key.len();
        }
        self.heap_bytes = self.heap_bytes + doc.heap_bytes() - self.docs[at].heap_bytes();
        self.total_length = self.total_length + u64::from(length) - u64::from(self.lengths[at]);
        self.other_scores = self.other_scores + usize::from(score != 1.0) - usize::from(self.scores[at] != 1.0);
        (self.docs[at], self.lengths[at], self.scores[at]) = (doc, length, score);
    }

    /// Takes a document out.
    pub(crate) fn remove(&mut self, id: DocId) -> Option<Doc> {
        if !self.live.remove(id) {
            return None;
        }
        let at = id as usize;
        let doc = std::mem::take(&mut self.docs[at]);
        self.heap_bytes -= doc.heap_bytes();
        self.key_bytes -= doc.key.len();
        self.total_length -= u64::from(self.lengths[at]);
        self.other_scores -= usize::from(self.scores[at] != 1.0);
        (self.lengths[at], self.scores[at]) = (0, 1.0);
        self.ids.remove(&doc.key);
        self.vacant.push(Reverse(id));
        Some(doc)
    }

    /// Gives a document another key, which no other has.
    pub(crate) fn rename(&mut self, id: DocId, key: &[u8]) {
        if let Some(doc) = self.docs.get_mut(id as usize) {
            self.ids.remove(&doc.key);
            self.key_bytes = self.key_bytes + key.len() - doc.key.len();
            doc.key = key.into();
            self.ids.insert(Arc::clone(&doc.key), id);
        }
    }

    /// Counts a document's version up to this.
    pub(crate) fn set_version(&mut self, id: DocId, version: u64) {
        if let Some(doc) = self.docs.get_mut(id as usize) {
            doc.version = version;
        }
    }

    /// Bytes of keys and what finds them.
    pub(crate) fn key_bytes(&self) -> usize {
        self.key_bytes + self.ids.capacity() * (size_of::<Arc<[u8]>>() + size_of::<DocId>() + 1)
    }

    /// Bytes of all the rest.
    pub(crate) fn table_bytes(&self) -> usize {
        let fixed = size_of::<Doc>() + size_of::<u32>() + size_of::<f32>();
        self.heap_bytes + self.docs.capacity() * fixed + self.live.memory_bytes()
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let length: u64 = self.lengths.iter().map(|length| u64::from(*length)).sum();
        if self.ids.len() != self.len() || length != self.total_length {
            return Err(format!("{} keys of {} documents, {length} words", self.ids.len(), self.len()));
        }
        if self.live.iter().any(|id| self.get(id).and_then(|doc| self.find(&doc.key)) != Some(id)) {
            return Err("a document is not found by its key".to_owned());
        }
        if self.other_scores != self.scores.iter().filter(|score| **score != 1.0).count() {
            return Err(format!("{} scores other than one", self.other_scores));
        }
        let vacant: Bits = self.vacant.iter().map(|id| id.0).collect();
        if vacant.len() != self.vacant.len() || vacant.len() + self.len() != self.docs.len() {
            return Err("ids are lost".to_owned());
        }
        Ok(())
    }
}

impl Doc {
    /// Its words' numbers, ascending.
    pub(crate) fn words(&self) -> impl Iterator<Item = TermId> + '_ {
        let (mut at, mut word) = (0, 0_u32);
        std::iter::from_fn(move || {
            if at >= self.words.len() {
                return None;
            }
            word = word.wrapping_add(varint::get(&self.words, &mut at) as u32);
            Some(word)
        })
    }

    /// Words as documents keep them.
    pub(crate) fn pack(mut words: Vec<TermId>) -> Box<[u8]> {
        words.sort_unstable();
        let (mut bytes, mut before) = (Vec::with_capacity(words.len() * 2), 0);
        for word in words {
            varint::put(&mut bytes, u64::from(word - before));
            before = word;
        }
        bytes.into()
    }

    fn heap_bytes(&self) -> usize {
        self.words.len() + size_of_val(&*self.tags) + self.payload.as_ref().map_or(0, |payload| payload.len())
    }
}
