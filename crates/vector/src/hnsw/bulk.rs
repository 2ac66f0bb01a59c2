//! Many vectors at once, on several threads.
//!
//! In rounds: all vectors of a round are prepared at the same time against the graph as it is, each also measuring
//! those of its round that come before it; then they are committed one after the other. What a vector misses are the
//! links made during its round, and what it gets instead is the exact distance to its mates. The size of a round
//! depends on the index alone, so the graph is the same for every number of threads.

use std::thread;

use crate::Slot;
use crate::hnsw::prepare::{Mate, level_of};
use crate::hnsw::{Hnsw, Prepared};
use crate::scratch::Scratch;

/// A round is at most this part of the index, so that most of what a vector will be linked to is there already.
const ROUND_PART: usize = 4;
/// Mates cost a distance each: more than these would cost more than a walk.
const ROUND_MAX: usize = 384;

/// A thread's share of a round has at least so many vectors; fewer would not repay its start.
const SHARE_MIN: usize = 8;

impl Hnsw {
    /// Adds vectors that were validated, with their norms.
    pub(super) fn bulk(&mut self, rows: &[(&[f32], f64)], keys: &[u64], ef: usize, threads: usize) -> Vec<Slot> {
        let mut slots = Vec::with_capacity(rows.len());
        let mut round: Vec<Prepared> = Vec::new();
        let mut scratches: Vec<Scratch> = Vec::new();
        scratches.resize_with(threads, Scratch::new);
        while slots.len() < rows.len() {
            let (rows, keys) = (&rows[slots.len()..], &keys[slots.len()..]);
            let size = self.round_size(keys);
            if size < 2 {
                let slot = self.insert(rows[0].0, keys[0], ef).expect("validated, and there are slots");
                slots.push(slot);
                continue;
            }
            if round.len() < size {
                round.resize_with(size, Prepared::new);
            }
            let mates = self.enter(&rows[..size], keys, &mut round);
            self.prepare_round(&mut round[..size], &mates, ef, &mut scratches);
            for (prepared, mate) in round.iter().zip(&mates) {
                self.occupy(mate.slot, prepared);
                self.len += 1;
            }
            slots.extend(mates.iter().map(|mate| mate.slot));
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
    fn enter(&mut self, rows: &[(&[f32], f64)], keys: &[u64], round: &mut [Prepared]) -> Vec<Mate> {
        let mut next = self.slots();
        let mut mates = Vec::with_capacity(rows.len());
        for (((vector, norm), &key), prepared) in rows.iter().zip(keys).zip(round) {
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
            mates.push(Mate { slot, level: prepared.level });
        }
        mates
    }

    fn prepare_round(&self, round: &mut [Prepared], mates: &[Mate], ef: usize, scratches: &mut [Scratch]) {
        let share = round.len().div_ceil(scratches.len()).max(SHARE_MIN);
        thread::scope(|scope| {
            let mut shares: Vec<_> = round.chunks_mut(share).enumerate().zip(scratches).collect();
            let own = shares.pop();
            for ((i, share_of), scratch) in shares {
                scope.spawn(move || self.prepare_share(share_of, i * share, mates, ef, scratch));
            }
            if let Some(((i, share_of), scratch)) = own {
                self.prepare_share(share_of, i * share, mates, ef, scratch);
            }
        });
    }

    fn prepare_share(&self, share: &mut [Prepared], first: usize, mates: &[Mate], ef: usize, scratch: &mut Scratch) {
        for (i, prepared) in share.iter_mut().enumerate() {
            self.begin_links(ef, scratch, prepared);
            while !self.advance_links(scratch, prepared, &mates[..first + i], usize::MAX) {}
        }
    }
}
