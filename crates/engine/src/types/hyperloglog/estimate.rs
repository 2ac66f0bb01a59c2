//! The estimate of a HyperLogLog from how many registers have each rank: O. Ertl, "New cardinality estimation algorithms
//! for HyperLogLog sketches", 2017, the improved raw estimator, which needs no corrections at either end.

use super::{INDEX_BITS, REGISTERS};

/// 1 / (2 ln 2), to the bit as Redis has it.
const ALPHA: f64 = 0.721_347_520_444_481_7;

/// The greatest rank a hash can have.
const RANK_MAX: usize = 64 - INDEX_BITS as usize + 1;

/// How many registers have each rank. A register's six bits hold ranks no hash has; they count for nothing.
pub(super) struct Histogram([u32; 64]);

impl Default for Histogram {
    fn default() -> Self {
        Self([0; 64])
    }
}

impl Histogram {
    pub(super) fn add(&mut self, rank: u8, registers: usize) {
        self.0[usize::from(rank & 63)] += registers as u32;
    }

    pub(super) fn estimate(&self) -> u64 {
        let all = REGISTERS as f64;
        let at = |rank: usize| f64::from(self.0[rank]);
        let mut z = all * tau((all - at(RANK_MAX)) / all);
        for rank in (1..RANK_MAX).rev() {
            z = (z + at(rank)) * 0.5;
        }
        z += all * sigma(at(0) / all);
        (ALPHA * all * all / z).round() as u64
    }
}

/// x + sum over k of x^(2^k) 2^(k-1), infinite at 1: what the zero registers add.
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if before == z {
            return z;
        }
    }
}

/// What the registers at the greatest rank add.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if before == z {
            return z / 3.0;
        }
    }
}
