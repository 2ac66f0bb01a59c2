//! Which effort reaches a recall that is asked for (`RECALL`): learnt from the queries that ask.
//!
//! How much effort a recall takes depends on the vectors and on the queries, which nobody knows beforehand. So the first
//! queries are answered exactly, and each is then tried with every effort of a ladder. From then on a query walks with
//! the least effort whose recall in these trials is the target or more, less what so few trials may have overstated; one
//! in [`AUDIT_EVERY`] is still answered exactly and tried, so the figures follow the queries. Where no effort is enough,
//! answers are exact. All is forgotten when the set has changed by a quarter.

use parking_lot::Mutex;
use quiver_vector::Neighbor;

/// Efforts that are tried.
pub(super) const LADDER: [usize; 8] = [16, 32, 64, 128, 256, 512, 1024, 2048];

/// Trials before a walk is trusted.
const AUDITS_MIN: u32 = 24;
/// One query in so many is tried afterwards.
const AUDIT_EVERY: u64 = 64;
/// Standard errors by which a mean of trials may be too high.
const DOUBT: f64 = 1.7;
/// Largest recall a trial can tell from the truth; beyond it answers are exact.
const TARGET_MAX: f64 = 0.9999;

/// Trials for answers of up to 10, up to 100, and more elements: large ones are harder to complete.
#[derive(Debug, Default)]
pub(super) struct Recall(Mutex<[Trials; 3]>);

#[derive(Clone, Copy, Debug, Default)]
struct Trials {
    asked: u64,
    audits: u32,
    sums: [f64; LADDER.len()],
    squares: [f64; LADDER.len()],
    /// Changes of the set when the trials began.
    since: u64,
}

impl Recall {
    /// The effort for a recall; `None` when the query is to be answered exactly and tried.
    pub(super) fn effort(&self, target: f64, count: usize, len: usize, changes: u64) -> Option<usize> {
        let mut classes = self.0.lock();
        let trials = &mut classes[class(count)];
        if changes.abs_diff(trials.since) > len as u64 / 4 {
            *trials = Trials { since: changes, ..Trials::default() };
        }
        trials.asked += 1;
        if target > TARGET_MAX || trials.audits < AUDITS_MIN || trials.asked.is_multiple_of(AUDIT_EVERY) {
            return None;
        }
        (0..LADDER.len()).find(|step| trials.at_least(*step) >= target).map(|step| LADDER[step])
    }

    /// Takes in the shares of an exact answer that each effort found.
    pub(super) fn learn(&self, count: usize, shares: &[f64; LADDER.len()]) {
        let mut classes = self.0.lock();
        let trials = &mut classes[class(count)];
        trials.audits += 1;
        for (step, share) in shares.iter().enumerate() {
            trials.sums[step] += share;
            trials.squares[step] += share * share;
        }
    }

    /// Trials with answers of up to 10 elements, and the mean recall at each effort.
    pub(super) fn sampled(&self) -> (u32, [f64; LADDER.len()]) {
        let trials = self.0.lock()[0];
        (trials.audits, trials.sums.map(|sum| sum / f64::from(trials.audits.max(1))))
    }
}

impl Trials {
    /// The recall of an effort, as far as the trials can vouch for it.
    fn at_least(&self, step: usize) -> f64 {
        let n = f64::from(self.audits);
        let mean = self.sums[step] / n;
        let variance = (self.squares[step] / n - mean * mean).max(0.0);
        // Trials that all found everything say something about the next one, but not all.
        mean - DOUBT * (variance / n).sqrt() - 0.1 / n
    }
}

fn class(count: usize) -> usize {
    usize::from(count > 10) + usize::from(count > 100)
}

/// The share of an exact answer that another has; elements as near as the last count as part of either.
pub(super) fn share(truth: &[Neighbor], found: &[Neighbor]) -> f64 {
    let Some(last) = truth.last() else { return 1.0 };
    found.iter().filter(|neighbor| neighbor.distance <= last.distance).count() as f64 / truth.len() as f64
}
