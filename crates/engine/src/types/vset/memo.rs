//! What filters have answered about the elements of a set.
//!
//! Reading attributes is what a filtered search spends its time on, and clients send few different filters with many
//! different vectors. So a set remembers, for the expressions used last, two bits per element: whether it was asked
//! about, and whether it passes. Searches fill them in as they go; whatever changes an element makes its answers
//! unknown again. Once all are known, a filter is an index: it knows how many it accepts, and which.
//!
//! Searches share a memo and write to it at once. An answer is a function of the attributes, which cannot change under
//! a search, so two that ask at the same time write the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use quiver_vector::{Accept, Slot};

use super::VectorSet;
use crate::filter::{Filter, Slots};
use crate::types::hash::AsOf;

/// Filters remembered per set: two bytes per element when all are in use.
const FILTERS_MAX: usize = 8;

/// Longer expressions are not worth comparing with.
const TEXT_MAX: usize = 4096;

/// Costs of an answer, in measured codes: one that is known, and one that has to be found in the attributes.
const KNOWN_COST: f64 = 0.25;
const READ_COST: f64 = 12.0;

/// The filters used last, most recent first.
#[derive(Debug, Default)]
pub(super) struct Memos(Mutex<Vec<Arc<Memo>>>);

/// The answers of one filter.
#[derive(Debug)]
pub(super) struct Memo {
    text: Box<[u8]>,
    filter: Filter,
    known: Box<[AtomicU64]>,
    accepted: Box<[AtomicU64]>,
    known_count: AtomicUsize,
    accepted_count: AtomicUsize,
    /// Unknown answers that indexes had left when they were last asked.
    left: AtomicUsize,
}

impl Memos {
    /// The memo of a filter for a set of so many slots.
    pub(super) fn of(&self, text: &[u8], filter: &Filter, slots: usize) -> Arc<Memo> {
        if text.len() > TEXT_MAX {
            return Arc::new(Memo::new(text, filter, slots));
        }
        let mut memos = self.0.lock();
        let at = memos.iter().position(|memo| *memo.text == *text && memo.known.len() * 64 >= slots);
        let memo = match at {
            Some(at) => memos.remove(at),
            None => {
                memos.retain(|memo| *memo.text != *text);
                memos.truncate(FILTERS_MAX - 1);
                // Room for the set to grow by a quarter.
                Arc::new(Memo::new(text, filter, slots + slots / 4))
            }
        };
        memos.insert(0, Arc::clone(&memo));
        memo
    }

    /// Makes the answers about an element unknown.
    pub(super) fn forget(&mut self, slot: Slot) {
        self.0.get_mut().iter().for_each(|memo| memo.forget(slot));
    }

    /// Heap bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.0.lock().iter().map(|memo| memo.text.len() + (memo.known.len() + memo.accepted.len()) * 8).sum()
    }
}

impl Memo {
    fn new(text: &[u8], filter: &Filter, slots: usize) -> Self {
        let words = || (0..slots.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Self {
            text: text.into(),
            filter: filter.clone(),
            known: words(),
            accepted: words(),
            known_count: AtomicUsize::new(0),
            accepted_count: AtomicUsize::new(0),
            left: AtomicUsize::new(0),
        }
    }

    /// The answer about an element, if it is known.
    #[inline]
    fn get(&self, slot: Slot) -> Option<bool> {
        let (word, bit) = place(slot);
        let known = self.known.get(word)?.load(Ordering::Acquire) & bit != 0;
        known.then(|| self.accepted[word].load(Ordering::Relaxed) & bit != 0)
    }

    /// Answers that are unknown, of a set of so many elements.
    pub(super) fn unknown(&self, len: usize) -> usize {
        len.saturating_sub(self.known_count.load(Ordering::Relaxed))
    }

    /// Those of a set's elements whose answers are unknown.
    pub(super) fn unknown_of(&self, live: &Slots) -> Slots {
        let mut unknown = live.clone();
        unknown.subtract_words(self.known.iter().map(|word| word.load(Ordering::Relaxed)));
        unknown
    }

    /// Whether indexes are to be asked about this filter: not again before much has changed.
    pub(super) fn is_due(&self, unknown: usize) -> bool {
        unknown > self.left.load(Ordering::Relaxed) * 2
    }

    /// Indexes were asked, and left so many answers unknown.
    pub(super) fn asked_indexes(&self, left: usize) {
        self.left.store(left, Ordering::Relaxed);
    }

    /// Notes the answers about the elements in `known`: yes for those in `accepted`.
    pub(super) fn learn(&self, known: &Slots, accepted: &Slots) {
        for (at, cell) in self.known.iter().enumerate() {
            let (mask, yes) = (known.word(at), known.word(at) & accepted.word(at));
            if mask == 0 {
                continue;
            }
            self.accepted[at].fetch_or(yes, Ordering::Relaxed);
            let fresh = mask & !cell.fetch_or(mask, Ordering::Release);
            self.known_count.fetch_add(fresh.count_ones() as usize, Ordering::Relaxed);
            self.accepted_count.fetch_add((fresh & yes).count_ones() as usize, Ordering::Relaxed);
        }
    }

    pub(super) fn put(&self, slot: Slot, accepted: bool) {
        let (word, bit) = place(slot);
        let Some(known) = self.known.get(word) else { return };
        if accepted {
            self.accepted[word].fetch_or(bit, Ordering::Relaxed);
        }
        // Whoever finds the bit of an answer also finds the answer.
        if known.fetch_or(bit, Ordering::Release) & bit == 0 {
            self.known_count.fetch_add(1, Ordering::Relaxed);
            self.accepted_count.fetch_add(usize::from(accepted), Ordering::Relaxed);
        }
    }

    fn forget(&self, slot: Slot) {
        let (word, bit) = place(slot);
        if let Some(was) = self.get(slot) {
            self.known[word].fetch_and(!bit, Ordering::Relaxed);
            self.accepted[word].fetch_and(!bit, Ordering::Relaxed);
            self.known_count.fetch_sub(1, Ordering::Relaxed);
            self.accepted_count.fetch_sub(usize::from(was), Ordering::Relaxed);
        }
    }
}

fn place(slot: Slot) -> (usize, u64) {
    (slot as usize / 64, 1 << (slot % 64))
}

/// The elements of a set that are seen and that a filter, if there is one, accepts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elements<'a> {
    pub(super) set: &'a VectorSet,
    pub(super) memo: Option<&'a Memo>,
    /// As of when elements are seen, if some may not be.
    pub(super) as_of: Option<AsOf>,
}

impl Accept for Elements<'_> {
    fn accepts(&mut self, slot: Slot) -> bool {
        if self.as_of.is_some_and(|as_of| !self.set.is_seen(slot, as_of)) {
            return false;
        }
        let Some(memo) = self.memo else { return true };
        memo.get(slot).unwrap_or_else(|| {
            let accepted = memo.filter.accepts(self.set.attributes(slot));
            memo.put(slot, accepted);
            accepted
        })
    }

    fn cost(&self) -> f64 {
        let Some(memo) = self.memo else { return KNOWN_COST };
        let known = memo.known_count.load(Ordering::Relaxed) as f64 / self.set.len().max(1) as f64;
        KNOWN_COST * known + READ_COST * (1.0 - known)
    }

    fn known(&self) -> Option<usize> {
        let memo = self.memo.filter(|_| self.as_of.is_none())?;
        let all = memo.known_count.load(Ordering::Relaxed) == self.set.len();
        all.then(|| memo.accepted_count.load(Ordering::Relaxed))
    }

    fn accepted_from(&self, from: Slot) -> Option<Slot> {
        let (start, bit) = place(from);
        let words = self.memo?.accepted.get(start..)?.iter().map(|word| word.load(Ordering::Relaxed));
        // Bits below the first slot do not count.
        let mut masked = words.enumerate().map(|(i, word)| (i, if i == 0 { word & !(bit - 1) } else { word }));
        let (i, word) = masked.find(|(_, word)| *word != 0)?;
        Slot::try_from((start + i) * 64 + word.trailing_zeros() as usize).ok()
    }
}
