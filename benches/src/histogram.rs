//! Latency histogram with bounded relative error.
//!
//! Idea: HdrHistogram (Gil Tene): linear buckets inside each power of two, so recording is a shift and an increment
//! and a percentile is off by less than one part in 64. Values are nanoseconds.
//!
//! Invariant: the sum of all buckets is [`Histogram::count`]. Not corrected for coordinated omission: the generator is
//! a closed loop and says so.

/// Linear buckets per power of two, as bits.
const PRECISION_BITS: u32 = 7;
const LINEAR: usize = 1 << PRECISION_BITS;
/// Values with a shift use the upper half of the linear buckets only; the lower half belongs to smaller shifts.
const HALF: usize = LINEAR / 2;
/// Values are clamped to just under 2^40 ns (18 minutes).
const VALUE_BITS: u32 = 40;
const BUCKETS: usize = (VALUE_BITS - PRECISION_BITS + 2) as usize * HALF;

/// Counts of values by magnitude.
#[derive(Debug, Clone)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0, max: 0 }
    }
}

impl Histogram {
    /// Adds `times` values of `value_ns`.
    pub fn record(&mut self, value_ns: u64, times: u64) {
        let value = value_ns.min((1 << VALUE_BITS) - 1);
        self.buckets[index(value)] += times;
        self.count += times;
        self.max = self.max.max(value);
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The value in nanoseconds that a share `quantile` (0..=1) of all values does not exceed; 0 when empty.
    pub fn quantile(&self, quantile: f64) -> u64 {
        let rank = ((quantile * self.count as f64).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return highest(bucket).min(self.max);
            }
        }
        self.max
    }
}

fn index(value: u64) -> usize {
    let magnitude = u64::BITS - (value | (LINEAR as u64 - 1)).leading_zeros();
    let shift = magnitude - PRECISION_BITS;
    shift as usize * HALF + (value >> shift) as usize
}

/// The largest value that falls into `bucket`.
fn highest(bucket: usize) -> u64 {
    if bucket < LINEAR {
        return bucket as u64;
    }
    let shift = bucket / HALF - 1;
    let mantissa = bucket - shift * HALF;
    ((mantissa as u64 + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_histogram_answers_zero() {
        assert_eq!(Histogram::default().quantile(0.99), 0);
    }

    #[test]
    fn small_values_are_exact() {
        let mut histogram = Histogram::default();
        (1..=100).for_each(|value| histogram.record(value, 1));
        assert_eq!([0.5, 0.99, 1.0].map(|q| histogram.quantile(q)), [50, 99, 100]);
    }

    #[test]
    fn values_past_the_range_are_clamped_not_lost() {
        let mut histogram = Histogram::default();
        histogram.record(u64::MAX, 3);
        assert_eq!((histogram.count(), histogram.quantile(0.5)), (3, (1 << VALUE_BITS) - 1));
    }

    #[test]
    fn buckets_are_contiguous_and_ordered() {
        for bucket in 1..BUCKETS {
            let first = highest(bucket - 1) + 1;
            assert_eq!((index(first), index(highest(bucket))), (bucket, bucket));
        }
    }

    proptest! {
        #[test]
        fn quantiles_are_within_two_percent_of_the_sorted_truth(
            mut values in prop::collection::vec(0u64..1 << 39, 1..300), quantile in 0.0f64..=1.0
        ) {
            let mut histogram = Histogram::default();
            values.iter().for_each(|value| histogram.record(*value, 1));
            values.sort_unstable();
            let rank = ((quantile * values.len() as f64).ceil() as usize).clamp(1, values.len());
            let exact = values[rank - 1];
            let found = histogram.quantile(quantile);
            prop_assert!(found >= exact && found as f64 <= exact as f64 * 1.02, "{found} for {exact}");
        }
    }
}
