//! HyperLogLog: how many different elements were seen, within a percent, in at most 12 KiB.
//!
//! Flajolet et al., 2007, with 2^14 registers of six bits: an element's hash chooses a register, which keeps the longest
//! run of zero bits seen there; the estimate is Ertl's (2017). The value is a string in Redis' own format, so that GET,
//! DUMP and snapshots carry it and Redis reads it:
//!
//! ```text
//! "HYLL" | encoding u8: 0 dense, 1 sparse | 3 zero bytes | cached estimate u64 LE, highest bit: outdated | registers
//! dense:  16384 registers of six bits, lowest bits first
//! sparse: runs of equal registers, see `sparse.rs`
//! ```
//!
//! Invariant: the same elements in the same order give the same bytes as in Redis. Bytes may come from anywhere: every
//! function takes them after [`is_valid`] said yes, and what that does not see is found as [`Corrupt`].

mod estimate;
mod hash;
mod sparse;
#[cfg(test)]
mod tests;

use std::fmt;

use estimate::Histogram;
use sparse::Written;

/// Number of registers.
pub const REGISTERS: usize = 1 << INDEX_BITS;

/// Bits of the hash that choose a register.
const INDEX_BITS: u32 = 14;

const HEADER_BYTES: usize = 16;
const DENSE_BYTES: usize = HEADER_BYTES + REGISTERS / 4 * 3;
const MAGIC: &[u8] = b"HYLL";
const ENCODING_AT: usize = 4;
const CACHE_AT: usize = 8;
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
/// In the last byte of the cached estimate.
const OUTDATED: u8 = 0x80;

/// The runs of a sparse HyperLogLog do not cover its registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("INVALIDOBJ Corrupted HLL object detected")]
pub struct Corrupt;

/// One that has seen nothing.
pub fn empty() -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.resize(HEADER_BYTES, 0);
    bytes[ENCODING_AT] = SPARSE;
    sparse::push_run(&mut bytes, 0, REGISTERS);
    bytes
}

/// Whether a string has the header and the length of a HyperLogLog.
pub fn is_valid(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER_BYTES
        && bytes.starts_with(MAGIC)
        && match bytes[ENCODING_AT] {
            DENSE => bytes.len() == DENSE_BYTES,
            encoding => encoding == SPARSE,
        }
}

/// Whether it is kept as runs.
pub fn is_sparse(bytes: &[u8]) -> bool {
    bytes[ENCODING_AT] == SPARSE
}

/// Adds an element; whether a register changed. It becomes dense when it outgrows `sparse_bytes_max`.
///
/// # Errors
/// The runs end before the register.
pub fn add(bytes: &mut Vec<u8>, element: &[u8], sparse_bytes_max: usize) -> Result<bool, Corrupt> {
    let (index, rank) = hash::place(element);
    raise(bytes, index, rank, sparse_bytes_max)
}

/// Raises a register; whether it was lower.
///
/// # Errors
/// The runs end before the register.
pub fn raise(bytes: &mut Vec<u8>, index: usize, rank: u8, sparse_bytes_max: usize) -> Result<bool, Corrupt> {
    if is_sparse(bytes) {
        match sparse::raise(bytes, index, rank, sparse_bytes_max)? {
            Written::Unchanged => return Ok(false),
            Written::Changed => {
                forget_estimate(bytes);
                return Ok(true);
            }
            Written::TooLong => make_dense(bytes)?,
        }
    }
    Ok(raise_dense(&mut bytes[HEADER_BYTES..], index, rank))
}

/// Makes it dense. The cached estimate stays.
///
/// # Errors
/// The runs do not cover the registers.
pub fn make_dense(bytes: &mut Vec<u8>) -> Result<(), Corrupt> {
    if !is_sparse(bytes) {
        return Ok(());
    }
    let mut dense = bytes[..HEADER_BYTES].to_vec();
    dense[ENCODING_AT] = DENSE;
    dense.resize(DENSE_BYTES, 0);
    each_run(bytes, |first, len, rank| {
        (first..first + len).for_each(|index| {
            raise_dense(&mut dense[HEADER_BYTES..], index, rank);
        });
    })?;
    *bytes = dense;
    Ok(())
}

/// The cached estimate, unless it is outdated.
pub fn cached_estimate(bytes: &[u8]) -> Option<u64> {
    let cache: [u8; 8] = *bytes[CACHE_AT..].first_chunk().expect("a header is sixteen bytes long");
    (cache[7] & OUTDATED == 0).then(|| u64::from_le_bytes(cache))
}

/// Caches an estimate.
pub fn cache_estimate(bytes: &mut [u8], estimate: u64) {
    bytes[CACHE_AT..HEADER_BYTES].copy_from_slice(&estimate.to_le_bytes());
}

/// Marks the cached estimate as outdated.
pub fn forget_estimate(bytes: &mut [u8]) {
    bytes[HEADER_BYTES - 1] |= OUTDATED;
}

/// How many different elements were seen, from the registers. Cost: O(registers).
///
/// # Errors
/// The runs do not cover the registers.
pub fn estimate(bytes: &[u8]) -> Result<u64, Corrupt> {
    let mut histogram = Histogram::default();
    if is_sparse(bytes) {
        each_run(bytes, |_, len, rank| histogram.add(rank, len))?;
    } else {
        ranks(&bytes[HEADER_BYTES..]).for_each(|rank| histogram.add(rank, 1));
    }
    Ok(histogram.estimate())
}

/// The runs of a sparse HyperLogLog as text: `Z:` and `z:` for zero registers, `v:rank,` for others.
pub fn describe_runs(bytes: &[u8]) -> String {
    sparse::describe(&bytes[HEADER_BYTES..])
}

/// The registers of several HyperLogLogs merged, a byte each.
#[derive(Clone, PartialEq, Eq)]
pub struct Registers(Box<[u8]>);

impl fmt::Debug for Registers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registers(about {})", self.estimate())
    }
}

impl Default for Registers {
    fn default() -> Self {
        Self::new()
    }
}

impl Registers {
    /// All zero.
    pub fn new() -> Self {
        Self(vec![0; REGISTERS].into())
    }

    /// Adds an element.
    pub fn add(&mut self, element: &[u8]) {
        let (index, rank) = hash::place(element);
        self.0[index] = self.0[index].max(rank);
    }

    /// Merges a HyperLogLog into this.
    ///
    /// # Errors
    /// The runs do not cover the registers; some of them may be merged.
    pub fn merge(&mut self, bytes: &[u8]) -> Result<(), Corrupt> {
        if is_sparse(bytes) {
            return each_run(bytes, |first, len, rank| {
                self.0[first..first + len].iter_mut().for_each(|known| *known = rank.max(*known));
            });
        }
        self.0.iter_mut().zip(ranks(&bytes[HEADER_BYTES..])).for_each(|(known, rank)| *known = rank.max(*known));
        Ok(())
    }

    /// How many different elements were seen.
    pub fn estimate(&self) -> u64 {
        let mut histogram = Histogram::default();
        self.iter().for_each(|rank| histogram.add(rank, 1));
        histogram.estimate()
    }

    /// The ranks in order.
    pub fn iter(&self) -> impl Iterator<Item = u8> {
        self.0.iter().copied()
    }
}

/// Visits first register, length and rank of every run, all of them within the registers.
fn each_run(bytes: &[u8], mut visit: impl FnMut(usize, usize, u8)) -> Result<(), Corrupt> {
    let mut first = 0;
    for run in sparse::runs(&bytes[HEADER_BYTES..]) {
        let run = run?;
        if first + run.len > REGISTERS {
            return Err(Corrupt);
        }
        visit(first, run.len, run.rank);
        first += run.len;
    }
    if first == REGISTERS { Ok(()) } else { Err(Corrupt) }
}

/// The ranks of dense registers, four in every three bytes.
fn ranks(registers: &[u8]) -> impl Iterator<Item = u8> {
    registers
        .as_chunks::<3>()
        .0
        .iter()
        .flat_map(|[a, b, c]| [a & 63, a >> 6 | b << 2 & 63, b >> 4 | c << 4 & 63, c >> 2])
}

/// Raises a dense register; whether it was lower.
fn raise_dense(registers: &mut [u8], index: usize, rank: u8) -> bool {
    let at = index / 4 * 3;
    let shift = 6 * (index % 4);
    let word = u32::from_le_bytes([registers[at], registers[at + 1], registers[at + 2], 0]);
    if u32::from(rank) <= word >> shift & 63 {
        return false;
    }
    let word = word & !(63 << shift) | u32::from(rank) << shift;
    registers[at..at + 3].copy_from_slice(&word.to_le_bytes()[..3]);
    true
}
