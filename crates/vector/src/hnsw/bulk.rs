//! Many vectors at once, on several threads.
//!
//! In rounds: all vectors of a round are prepared at the same time against the graph as it is, each also measuring
//! those of its round that come before it; then they are committed one after the other. What a vector misses are the
//! links made during its round, and what it gets instead is the exact distance to its mates. The size of a round
//! depends on the index alone, so the graph is the same for every number of threads.
//!
//! A round can also be prepared by somebody who holds the index for one vector at a time only ([`Hnsw::round_begin`]),
//! so that searches and changes go on beside it. A change makes it void, and its vectors are added as if it had never
//! begun: what it wrote lies in slots that no element has yet.

use std::num::NonZero;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use parking_lot::Mutex;

use crate::hnsw::prepare::{Mate, level_of};
use crate::hnsw::{Hnsw, Prepared};
use crate::scratch::Scratch;
use crate::{Error, Slot};

/// A round is at most this part of the index, so that most of what a vector will be linked to is there already.
const ROUND_PART: usize = 4;
/// Mates cost a distance each: more than these would cost more than a walk.
const ROUND_MAX: usize = 512;

/// Vectors of a round that the others are sorted by.
const PIVOTS: usize = 32;

/// Vectors of a round that one thread prepares in one go; fewer would not repay its start.
const SHARE: usize = 8;

/// Vectors that are being added together.
#[derive(Debug, Default)]
pub struct Round {
    prepared: Vec<Prepared>,
    mates: Vec<Mate>,
    ef: usize,
    /// Changes of the index when the round began.
    changes: u64,
}

impl Hnsw {
    /// Inserts every row under the key of the same place, in rounds on so many threads (0: on all cores), and returns
    /// their slots: see [`Self::insert`]. Either all are inserted or none. The graph does not depend on the threads.
    /// # Errors
    /// Another number of keys than rows; a row of the wrong length or not finite; too many rows for the slots left.
    pub fn insert_rows(
        &mut self,
        rows: &[&[f32]],
        keys: &[u64],
        ef: usize,
        threads: usize,
    ) -> Result<Vec<Slot>, Error> {
        let rows = self.valid(rows, keys)?;
        Ok(self.bulk(&rows, keys, ef, threads))
    }

    /// Checks a vector as [`Self::insert`] would.
    /// # Errors
    /// The wrong length, or not finite.
    pub fn validate(&self, vector: &[f32]) -> Result<(), Error> {
        self.space.validate(vector).map(|_| ())
    }

    /// Begins a round of exactly these rows, to be prepared by [`Round::prepare`] and added by [`Self::round_commit`];
    /// `None` where that takes more than one, or slots of removed elements. One round at a time: a second one makes
    /// the first void without anybody noticing.
    /// # Errors
    /// As [`Self::insert_rows`].
    pub fn round_begin(&mut self, rows: &[&[f32]], keys: &[u64], ef: usize) -> Result<Option<Round>, Error> {
        let valid = self.valid(rows, keys)?;
        if rows.is_empty() || !self.vacant.is_empty() || self.round_size(keys) < rows.len() {
            return Ok(None);
        }
        let mut round = Round::default();
        self.enter(&valid, keys, ef, &mut round);
        Ok(Some(round))
    }

    /// Adds a round that was prepared and returns the slots of its vectors; `None`, and nothing is added, when the
    /// index has changed since it began.
    pub fn round_commit(&mut self, round: &Round) -> Option<Vec<Slot>> {
        (round.changes == self.changes).then(|| self.commit_round(round).collect())
    }

    pub(super) fn valid<'r>(&self, rows: &[&'r [f32]], keys: &[u64]) -> Result<Vec<(&'r [f32], f64)>, Error> {
        if rows.len() != keys.len() {
            return Err(Error::Keys { vectors: rows.len(), keys: keys.len() });
        }
        if rows.len() > (1 << 31) - self.len {
            return Err(Error::Full);
        }
        rows.iter().map(|row| Ok((*row, self.space.validate(row)?))).collect()
    }

    /// Adds vectors that were validated, with their norms.
    pub(super) fn bulk(&mut self, rows: &[(&[f32], f64)], keys: &[u64], ef: usize, threads: usize) -> Vec<Slot> {
        let mut slots = Vec::with_capacity(rows.len());
        let mut round = Round::default();
        while slots.len() < rows.len() {
            let (rows, keys) = (&rows[slots.len()..], &keys[slots.len()..]);
            let size = self.round_size(keys);
            if size < 2 {
                let slot = self.insert(rows[0].0, keys[0], ef).expect("validated, and there are slots");
                slots.push(slot);
                continue;
            }
            self.enter(&rows[..size], keys, ef, &mut round);
            let index = &*self;
            round.prepare(threads, |work| work(index));
            slots.extend(self.commit_round(&round));
        }
        slots
    }

    /// Vectors of the next round: up to one that will be higher than all there is.
    fn round_size(&self, keys: &[u64]) -> usize {
        let Some((_, top)) = self.entry else { return 0 };
        let most = (self.len / ROUND_PART).clamp(1, ROUND_MAX);
        keys.iter().take(most).take_while(|&&key| level_of(key, self.params.m) <= top).count()
    }

    /// Gives each vector of a round its slot and stores it there, where no walk comes yet.
    fn enter(&mut self, rows: &[(&[f32], f64)], keys: &[u64], ef: usize, round: &mut Round) {
        let mut next = self.slots();
        (round.ef, round.changes) = (ef, self.changes);
        round.mates.clear();
        round.prepared.resize_with(rows.len(), Prepared::new);
        for (((vector, norm), &key), prepared) in rows.iter().zip(keys).zip(&mut round.prepared) {
            let slot = self.vacant.pop().map_or_else(
                || {
                    next += 1;
                    next as Slot - 1
                },
                |slot| slot.0,
            );
            prepared.encoded.encode(&self.space, vector, *norm);
            prepared.reset(level_of(key, self.params.m));
            self.space.write(slot, &prepared.encoded);
            round.mates.push(Mate { slot, level: prepared.level });
        }
    }

    fn commit_round<'r>(&mut self, round: &'r Round) -> impl Iterator<Item = Slot> + use<'r> {
        for (prepared, mate) in round.prepared.iter().zip(&round.mates) {
            self.occupy(mate.slot, prepared);
            self.len += 1;
        }
        round.mates.iter().map(|mate| mate.slot)
    }
}

impl Round {
    /// Finds out the links of all vectors, on up to `threads` threads (0: on all cores). `lend` calls what it is given with the index: for
    /// one vector at a time, so a lock around the index need be held for no longer.
    pub fn prepare(&mut self, threads: usize, lend: impl Fn(&mut dyn FnMut(&Hnsw)) + Sync) {
        let (mates, ef, changes) = (&self.mates, self.ef, self.changes);
        let threads = if threads == 0 { cores() } else { threads };
        let threads = threads.min(self.prepared.len().div_ceil(SHARE)).max(1);
        let mut order = Vec::new();
        lend(&mut |index| order = index.by_likeness(mates, changes));
        let places: Vec<_> = self.prepared.iter_mut().map(Mutex::new).collect();
        let next = AtomicUsize::new(0);
        let work = || {
            let mut scratch = Scratch::new();
            loop {
                let at = next.fetch_add(SHARE, Relaxed);
                let Some(share) = order.get(at..) else { return };
                for &at in share.iter().take(SHARE) {
                    let mut prepared = places[at].lock();
                    lend(&mut |index| {
                        // What has changed may also have left no trace of the mates.
                        if index.changes == changes {
                            index.prepare_mate(&mut prepared, &mates[..at], ef, &mut scratch);
                        }
                    });
                }
            }
        };
        thread::scope(|scope| {
            (1..threads).for_each(|_| drop(scope.spawn(work)));
            work();
        });
    }
}

impl Hnsw {
    /// Places of a round's vectors so that like ones follow each other: walks to them read the same codes.
    fn by_likeness(&self, mates: &[Mate], changes: u64) -> Vec<usize> {
        let mut order: Vec<(usize, f32, usize)> = (0..mates.len()).map(|at| (0, 0.0, at)).collect();
        if self.changes == changes {
            let pivots: Vec<Slot> = mates.iter().step_by(mates.len().div_ceil(PIVOTS)).map(|mate| mate.slot).collect();
            for (pivot, distance, at) in &mut order {
                *distance = f32::INFINITY;
                self.space.distances(self.space.probe(mates[*at].slot), &pivots, |i, measured| {
                    if measured < *distance {
                        (*pivot, *distance) = (i, measured);
                    }
                });
            }
            order.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
        }
        order.into_iter().map(|(_, _, at)| at).collect()
    }

    fn prepare_mate(&self, prepared: &mut Prepared, mates: &[Mate], ef: usize, scratch: &mut Scratch) {
        self.begin_links(ef, scratch, prepared);
        while !self.advance_links(scratch, prepared, mates, usize::MAX) {}
    }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}
