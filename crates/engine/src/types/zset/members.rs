//! The members of a large sorted set with their scores: an arena of blocks with 32-bit handles.
//!
//! ```text
//! block: score f64 LE | length u8 | bytes            length 255: index u32 LE of a long member, kept by itself
//! ```
//!
//! Blocks are multiples of eight bytes and never cross a segment. A freed block waits in a list of its size, linked
//! through its own bytes, for the next member of that size. A handle stays valid until its member is removed; the two
//! indexes over the members (by name, by order) hold nothing but handles.
//!
//! Not here: giving memory back. The owner builds the arena anew when it has become mostly holes.

use quiver_structures::prefetch;
use smallvec::SmallVec;

/// Where a member stands: the number of its block's first granule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Handle(pub(super) u32);

const GRANULE: usize = 8;
const SEGMENT_BYTES: usize = 64 * 1024;
const SEGMENT_GRANULES: usize = SEGMENT_BYTES / GRANULE;
const LENGTH_AT: usize = 8;
const BYTES_AT: usize = 9;
/// A length that says: the bytes are elsewhere.
const LONG: u8 = u8::MAX;
/// Granules of the longest block, and one.
const SIZES: usize = (BYTES_AT + LONG as usize - 1).div_ceil(GRANULE) + 1;
/// The end of a list of free blocks.
const NONE: u32 = u32::MAX;

#[derive(Clone, Debug)]
pub(super) struct Members {
    segments: Vec<Vec<u8>>,
    /// First free block of each size in granules.
    free: [u32; SIZES],
    long: Vec<Box<[u8]>>,
    long_free: Vec<u32>,
    long_bytes: usize,
    used: usize,
}

impl Members {
    pub(super) const fn new() -> Self {
        Self {
            segments: Vec::new(),
            free: [NONE; SIZES],
            long: Vec::new(),
            long_free: Vec::new(),
            long_bytes: 0,
            used: 0,
        }
    }

    /// Stores a member.
    ///
    /// # Panics
    /// When the arena would exceed 32 GiB.
    pub(super) fn add(&mut self, member: &[u8], score: f64) -> Handle {
        let mut tail: SmallVec<[u8; 256]> = SmallVec::new();
        match u8::try_from(member.len()) {
            Ok(len) if len < LONG => {
                tail.push(len);
                tail.extend_from_slice(member);
            }
            _ => {
                let index = self.add_long(member);
                tail.push(LONG);
                tail.extend_from_slice(&index.to_le_bytes());
            }
        }
        let handle = self.allocate((LENGTH_AT + tail.len()).div_ceil(GRANULE));
        let block = self.block_mut(handle);
        block[..LENGTH_AT].copy_from_slice(&score.to_le_bytes());
        block[LENGTH_AT..LENGTH_AT + tail.len()].copy_from_slice(&tail);
        handle
    }

    /// Forgets a member; its handle may come back for another.
    pub(super) fn remove(&mut self, handle: Handle) {
        let block = self.block(handle);
        let size = block_granules(block[LENGTH_AT]);
        if block[LENGTH_AT] == LONG {
            let index = long_index(block);
            self.long_bytes -= self.long[index as usize].len();
            self.long[index as usize] = Box::default();
            self.long_free.push(index);
        }
        self.used -= size;
        self.release(handle.0, size);
    }

    #[inline]
    pub(super) fn member(&self, handle: Handle) -> &[u8] {
        let block = self.block(handle);
        match block[LENGTH_AT] {
            LONG => &self.long[long_index(block) as usize],
            len => &block[BYTES_AT..BYTES_AT + usize::from(len)],
        }
    }

    #[inline]
    pub(super) fn score(&self, handle: Handle) -> f64 {
        f64::from_le_bytes(*self.block(handle).first_chunk().expect("a block begins with a score"))
    }

    pub(super) fn set_score(&mut self, handle: Handle, score: f64) {
        self.block_mut(handle)[..LENGTH_AT].copy_from_slice(&score.to_le_bytes());
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let segments: usize = self.segments.iter().map(Vec::capacity).sum();
        let lists = self.segments.capacity() * size_of::<Vec<u8>>()
            + self.long.capacity() * size_of::<Box<[u8]>>()
            + self.long_free.capacity() * size_of::<u32>();
        segments + lists + self.long_bytes
    }

    /// Granules that hold members, and those of the whole arena.
    pub(super) fn usage(&self) -> (usize, usize) {
        let all: usize = self.segments.iter().map(|segment| segment.len() / GRANULE).sum();
        (self.used, all)
    }

    fn add_long(&mut self, member: &[u8]) -> u32 {
        self.long_bytes += member.len();
        match self.long_free.pop() {
            Some(index) => {
                self.long[index as usize] = member.into();
                index
            }
            None => {
                self.long.push(member.into());
                self.long.len() as u32 - 1
            }
        }
    }

    fn allocate(&mut self, size: usize) -> Handle {
        self.used += size;
        let first = self.free[size];
        if first != NONE {
            let handle = Handle(first);
            let next = self.block(handle).first_chunk().expect("a free block has room for its link");
            self.free[size] = u32::from_le_bytes(*next);
            return handle;
        }
        let bytes = size * GRANULE;
        if self.segments.last().is_none_or(|last| last.len() + bytes > SEGMENT_BYTES) {
            self.begin_segment();
        }
        let index = self.segments.len() - 1;
        let last = &mut self.segments[index];
        let at = last.len();
        if at + bytes > last.capacity() {
            // Only the first segment begins small. A quarter more: sets of a few hundred members are the usual ones.
            let room = (at / 4).max(bytes * 4).min(SEGMENT_BYTES - at);
            last.reserve_exact(room.max(bytes));
        }
        last.resize(at + bytes, 0);
        let granule = index * SEGMENT_GRANULES + at / GRANULE;
        Handle(u32::try_from(granule).ok().filter(|n| *n != NONE).expect("a sorted set holds less than 32 GiB"))
    }

    /// Begins a segment; what is left of the one before serves members that fit.
    fn begin_segment(&mut self) {
        if let Some(last) = self.segments.last_mut() {
            let at = last.len();
            let rest = (SEGMENT_BYTES - at) / GRANULE;
            last.resize(SEGMENT_BYTES, 0);
            if (2..SIZES).contains(&rest) {
                let granule = (self.segments.len() - 1) * SEGMENT_GRANULES + at / GRANULE;
                self.release(granule as u32, rest);
            }
        }
        let room = if self.segments.is_empty() { 0 } else { SEGMENT_BYTES };
        self.segments.push(Vec::with_capacity(room));
    }

    fn release(&mut self, granule: u32, size: usize) {
        let next = self.free[size];
        self.block_mut(Handle(granule))[..4].copy_from_slice(&next.to_le_bytes());
        self.free[size] = granule;
    }

    /// Asks for the block of a handle.
    pub(super) fn prefetch(&self, handle: Handle) {
        prefetch(self.block(handle));
    }

    #[inline]
    fn block(&self, handle: Handle) -> &[u8] {
        let granule = handle.0 as usize;
        &self.segments[granule / SEGMENT_GRANULES][granule % SEGMENT_GRANULES * GRANULE..]
    }

    fn block_mut(&mut self, handle: Handle) -> &mut [u8] {
        let granule = handle.0 as usize;
        &mut self.segments[granule / SEGMENT_GRANULES][granule % SEGMENT_GRANULES * GRANULE..]
    }
}

/// Granules of a block with this length byte.
fn block_granules(len: u8) -> usize {
    let bytes = if len == LONG { size_of::<u32>() } else { usize::from(len) };
    (BYTES_AT + bytes).div_ceil(GRANULE)
}

fn long_index(block: &[u8]) -> u32 {
    let bytes = block[BYTES_AT..].first_chunk().expect("a long member's block holds an index");
    u32::from_le_bytes(*bytes)
}
