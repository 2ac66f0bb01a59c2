//! Documents looked at together: an intersection hands those of its rarest part from one part to the next.

use crate::index::DocId;

/// Documents in ascending order, with what each scores so far and whether who was asked last has it.
#[derive(Debug, Default)]
pub(in crate::index) struct Batch {
    docs: Vec<DocId>,
    scores: Vec<f64>,
    here: Vec<bool>,
}

impl Batch {
    /// Puts these in the place of all others.
    pub(in crate::index) fn set(&mut self, docs: &[DocId], scores: &[f64]) {
        self.docs.clear();
        self.docs.extend_from_slice(docs);
        self.scores.clear();
        self.scores.extend_from_slice(scores);
    }

    pub(in crate::index) fn docs(&self) -> &[DocId] {
        &self.docs
    }

    pub(in crate::index) fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// Before somebody is asked: nothing is here.
    pub(in crate::index) fn ask(&mut self) -> &mut Self {
        self.here.clear();
        self.here.resize(self.docs.len(), false);
        self
    }

    /// Marks the documents that `score` answers for, and adds what it says.
    #[inline]
    pub(in crate::index) fn probe(&mut self, mut score: impl FnMut(DocId) -> Option<f64>) {
        for ((&doc, here), sum) in self.docs.iter().zip(&mut self.here).zip(&mut self.scores) {
            if let Some(score) = score(doc) {
                *here = true;
                *sum += score;
            }
        }
    }

    /// Keeps those that are here, or those that are not.
    pub(in crate::index) fn keep(&mut self, here: bool) {
        let mut kept = 0;
        for at in 0..self.here.len() {
            (self.docs[kept], self.scores[kept]) = (self.docs[at], self.scores[at]);
            kept += usize::from(self.here[at] == here);
        }
        self.docs.truncate(kept);
        self.scores.truncate(kept);
    }

    /// Makes other scores of the scores.
    pub(in crate::index) fn rescore(&mut self, score: impl Fn(f64) -> f64) {
        self.scores.iter_mut().for_each(|sum| *sum = score(*sum));
    }
}
