//! The best candidates for eviction seen so far (an idea of Redis 3.0): samples are few, but what a round of samples did
//! not evict stays and competes with the next, so that over time the choice comes close to that among all keys.
//!
//! Invariant: candidates are in ascending order of score. A candidate may be gone or used again by the time it is
//! chosen; whoever takes it looks again.

/// Candidates kept.
const CAPACITY: usize = 16;

/// A key that may be evicted.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) score: u64,
    pub(super) db: usize,
    pub(super) key: Vec<u8>,
}

/// The candidates of one thread.
#[derive(Debug, Default)]
pub(super) struct Pool {
    candidates: Vec<Candidate>,
}

impl Pool {
    /// Keeps a key if it is among the best.
    pub(super) fn offer(&mut self, score: u64, db: usize, key: &[u8]) {
        let full = self.candidates.len() >= CAPACITY;
        if full && self.candidates[0].score >= score {
            return;
        }
        if self.candidates.iter().any(|known| known.db == db && known.key == key) {
            return;
        }
        let mut candidate = if full { self.candidates.remove(0) } else { Candidate { score, db, key: Vec::new() } };
        (candidate.score, candidate.db) = (score, db);
        candidate.key.clear();
        candidate.key.extend_from_slice(key);
        let at = self.candidates.partition_point(|known| known.score < score);
        self.candidates.insert(at, candidate);
    }

    /// Takes the best one out.
    pub(super) fn take(&mut self) -> Option<Candidate> {
        self.candidates.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_come_out_first_and_the_worst_are_dropped() {
        let mut pool = Pool::default();
        for score in 0..100u64 {
            // In an order that is neither ascending nor descending.
            let score = score * 37 % 100;
            pool.offer(score, 0, &score.to_be_bytes());
            pool.offer(score, 0, &score.to_be_bytes());
        }
        let scores: Vec<u64> = std::iter::from_fn(|| pool.take().map(|best| best.score)).collect();
        assert_eq!(scores, (84..100).rev().collect::<Vec<_>>());
    }
}
