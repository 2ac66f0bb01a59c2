//! How long commands took: counts in log-linear buckets, as HdrHistogram (Tene) has them.
//!
//! An octave is cut into 32 equal buckets, so a figure is at most 3 % above the truth, from 1 ns up to more than a
//! minute in under 1,100 counters. One thread writes ([`Counter`]), any may read.

use std::sync::OnceLock;

use crate::stats::Counter;

/// Buckets of an octave, as a power of two.
const FINE_BITS: u32 = 5;
const FINE: usize = 1 << FINE_BITS;

/// Longer than this counts as this long, ns.
const LONGEST_NS: u64 = (1 << 37) - 1;

const BUCKETS: usize = bucket_of(LONGEST_NS) + 1;

/// Counts of durations; takes no memory before the first.
#[derive(Debug, Default)]
pub struct Histogram(OnceLock<Box<[Counter]>>);

const fn bucket_of(ns: u64) -> usize {
    if ns < FINE as u64 {
        return ns as usize;
    }
    let octave = ns.ilog2() - FINE_BITS;
    ((octave as usize) << FINE_BITS) + (ns >> octave) as usize
}

/// The longest duration of a bucket.
const fn top_of(bucket: usize) -> u64 {
    if bucket < 2 * FINE {
        return bucket as u64;
    }
    let octave = (bucket >> FINE_BITS) - 1;
    ((((bucket & (FINE - 1)) | FINE) as u64 + 1) << octave) - 1
}

impl Histogram {
    /// Adds `times` commands of `ns` each; only the owning thread may.
    pub fn add(&self, ns: u64, times: u64) {
        let counts = self.0.get_or_init(|| (0..BUCKETS).map(|_| Counter::default()).collect());
        counts[bucket_of(ns.min(LONGEST_NS))].add(times);
    }

    /// Back to nothing.
    pub fn reset(&self) {
        self.0.get().iter().flat_map(|counts| counts.iter()).for_each(Counter::reset);
    }
}

/// The sum of histograms.
#[derive(Debug)]
pub struct Distribution {
    counts: Vec<u64>,
    total: u64,
}

impl Distribution {
    /// Adds histograms up; `None` when none of them counted anything.
    pub fn of<'a>(histograms: impl Iterator<Item = &'a Histogram>) -> Option<Self> {
        let mut counts = vec![0; BUCKETS];
        for histogram in histograms.filter_map(|histogram| histogram.0.get()) {
            counts.iter_mut().zip(histogram.iter()).for_each(|(sum, count)| *sum += count.get());
        }
        let total = counts.iter().sum();
        (total > 0).then_some(Self { counts, total })
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The duration that `percent` of all do not exceed, ns.
    pub fn percentile_ns(&self, percent: f64) -> u64 {
        let wanted = ((percent / 100.0 * self.total as f64).ceil() as u64).clamp(1, self.total);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        bucket.map_or(LONGEST_NS, top_of)
    }

    /// How many took no longer than 1 us, 2 us, 4 us, ...: only the steps where the number grows. The limits are spelled
    /// as Redis spells them, which is the end of its own bucket.
    pub fn cumulative_us(&self) -> Vec<(u64, u64)> {
        let (mut steps, mut known) = (Vec::new(), 0);
        for level in (10..38).map(|bits| 1u64 << bits) {
            let count = self.counts[..=bucket_of(level).min(BUCKETS - 1)].iter().sum();
            if count > known {
                steps.push(((level + level / 128 - 1) / 1000, count));
                known = count;
            }
            if known == self.total {
                break;
            }
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_in_a_bucket_that_ends_at_most_a_thirty_second_above_it() {
        let mut ns = 0;
        while ns < LONGEST_NS {
            let top = top_of(bucket_of(ns));
            assert!(top >= ns && top - ns <= ns / FINE as u64, "{ns} in a bucket up to {top}");
            assert_eq!(bucket_of(top), bucket_of(ns));
            assert_eq!(bucket_of(top + 1), bucket_of(ns) + 1);
            ns = ns * 9 / 8 + 1;
        }
    }

    #[test]
    fn percentiles_and_steps_count_what_was_added() {
        let histogram = Histogram::default();
        assert!(Distribution::of([&histogram].into_iter()).is_none());
        histogram.add(500, 90);
        histogram.add(3_000, 9);
        histogram.add(u64::MAX, 1);
        let sum = Distribution::of([&histogram, &Histogram::default()].into_iter()).unwrap();
        assert_eq!(sum.total(), 100);
        assert!((500..516).contains(&sum.percentile_ns(50.0)));
        assert!((3_000..3_100).contains(&sum.percentile_ns(99.0)));
        assert_eq!(sum.percentile_ns(100.0), LONGEST_NS);
        let steps = sum.cumulative_us();
        assert_eq!(steps[..2], [(1, 90), (4, 99)]);
        assert_eq!(steps.last().unwrap().1, 100);
    }
}
