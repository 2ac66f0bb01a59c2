//! Intset: ascending integers in one allocation, all as wide as the widest of them needs (2, 4 or 8 bytes).
//!
//! The bytes are Redis' intset, so that a snapshot holds them as they are:
//!
//! ```text
//! bytes per integer u32 LE | integers u32 LE | integer LE ...
//! ```
//!
//! Invariants: strictly ascending; the header says what is there; the width never shrinks. The allocation is exact.

const HEADER_BYTES: usize = 8;

/// Distinct integers in ascending order.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct IntSet {
    blob: Box<[u8]>,
}

impl IntSet {
    pub(super) fn new() -> Self {
        Self { blob: [2, 0, 0, 0, 0, 0, 0, 0].into() }
    }

    /// Takes over bytes from a file; `None` when they are no intset.
    pub(super) fn from_bytes(blob: Vec<u8>) -> Option<Self> {
        let width = u32::from_le_bytes(*blob.first_chunk()?);
        let count = u32::from_le_bytes(*blob.get(4..)?.first_chunk()?);
        let expected = u64::from(count).checked_mul(u64::from(width))? + HEADER_BYTES as u64;
        if !matches!(width, 2 | 4 | 8) || blob.len() as u64 != expected {
            return None;
        }
        let set = Self { blob: blob.into() };
        set.iter().is_sorted_by(|a, b| a < b).then_some(set)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.blob
    }

    pub(super) fn len(&self) -> usize {
        (self.blob.len() - HEADER_BYTES) / self.width()
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = i64> {
        let width = self.width();
        self.blob[HEADER_BYTES..].chunks_exact(width).map(decode)
    }

    /// The integer of rank `index`.
    pub(super) fn get(&self, index: usize) -> Option<i64> {
        let start = HEADER_BYTES + index * self.width();
        self.blob.get(start..start + self.width()).map(decode)
    }

    pub(super) fn contains(&self, int: i64) -> bool {
        self.search(int).is_ok()
    }

    /// Adds an integer; `false` when it was there. Cost: O(n).
    pub(super) fn add(&mut self, int: i64) -> bool {
        let Err(rank) = self.search(int) else { return false };
        if width_of(int) > self.width() {
            self.widen(width_of(int));
        }
        let (width, start) = (self.width(), HEADER_BYTES + rank * self.width());
        let mut blob = std::mem::take(&mut self.blob).into_vec();
        let old_len = blob.len();
        blob.reserve_exact(width);
        blob.resize(old_len + width, 0);
        blob.copy_within(start..old_len, start + width);
        blob[start..start + width].copy_from_slice(&int.to_le_bytes()[..width]);
        self.put(blob, width);
        true
    }

    /// Takes an integer out; `false` when it was not there. Cost: O(n).
    pub(super) fn remove(&mut self, int: i64) -> bool {
        let Ok(rank) = self.search(int) else { return false };
        let (width, start) = (self.width(), HEADER_BYTES + rank * self.width());
        let mut blob = std::mem::take(&mut self.blob).into_vec();
        blob.drain(start..start + width);
        self.put(blob, width);
        true
    }

    /// The rank of an integer, or the one it would have.
    fn search(&self, int: i64) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            let found = self.get(middle).expect("a rank below the length");
            match found.cmp(&int) {
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    fn width(&self) -> usize {
        usize::from(self.blob[0])
    }

    fn widen(&mut self, width: usize) {
        let mut blob = Vec::with_capacity(HEADER_BYTES + (self.len() + 1) * width);
        blob.resize(HEADER_BYTES, 0);
        self.iter().for_each(|int| blob.extend_from_slice(&int.to_le_bytes()[..width]));
        self.put(blob, width);
    }

    /// Takes the bytes back after a change behind the header, and writes that.
    fn put(&mut self, mut blob: Vec<u8>, width: usize) {
        let count = (blob.len() - HEADER_BYTES) / width;
        blob[..4].copy_from_slice(&(width as u32).to_le_bytes());
        blob[4..HEADER_BYTES].copy_from_slice(&(count as u32).to_le_bytes());
        self.blob = blob.into();
    }
}

/// Bytes an integer needs.
fn width_of(int: i64) -> usize {
    match int {
        _ if i16::try_from(int).is_ok() => 2,
        _ if i32::try_from(int).is_ok() => 4,
        _ => 8,
    }
}

/// An integer of 2, 4 or 8 bytes.
fn decode(bytes: &[u8]) -> i64 {
    match *bytes {
        [a, b] => i16::from_le_bytes([a, b]).into(),
        [a, b, c, d] => i32::from_le_bytes([a, b, c, d]).into(),
        [a, b, c, d, e, f, g, h] => i64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => unreachable!("integers are 2, 4 or 8 bytes wide"),
    }
}
