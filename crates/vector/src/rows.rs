//! Rows of equal length, found by number: the slabs an index is made of.
//!
//! Memory comes in chunks of [`CHUNK_ROWS`] rows that start on a cache line, so growing never copies what is already
//! there, and a row of a multiple of 64 bytes never straddles a line more than it must. Only the first chunk starts
//! small and doubles, because many indexes stay tiny; a chunk none of whose rows was asked for takes no memory. Fresh
//! rows hold `T::default()`.

const CHUNK_ROWS: usize = 1024;
const FIRST_ROWS: usize = 8;
const LINE_BYTES: usize = 64;

#[derive(Debug)]
pub(crate) struct Rows<T> {
    stride: usize,
    chunks: Vec<Chunk<T>>,
}

/// Elements from `start` on begin a cache line. The vector is never resized, so the offset stays right.
#[derive(Debug, Default)]
struct Chunk<T> {
    data: Vec<T>,
    start: usize,
    rows: usize,
}

impl<T: Clone + Default> Chunk<T> {
    fn new(rows: usize, stride: usize) -> Self {
        let len = rows * stride;
        let data = vec![T::default(); len + LINE_BYTES / size_of::<T>()];
        // An offset past the slack means the allocator's alignment does not divide the line; then none is used.
        let start = Some(data.as_ptr().align_offset(LINE_BYTES)).filter(|start| start + len <= data.len());
        Self { start: start.unwrap_or(0), data, rows }
    }
}

impl<T: Clone + Default> Rows<T> {
    /// No rows yet, each of `stride` elements.
    pub(crate) fn new(stride: usize) -> Self {
        Self { stride, chunks: Vec::new() }
    }

    /// A row that [`Self::ensure`] made.
    #[inline]
    pub(crate) fn row(&self, at: usize) -> &[T] {
        let chunk = &self.chunks[at / CHUNK_ROWS];
        &chunk.data[chunk.start + at % CHUNK_ROWS * self.stride..][..self.stride]
    }

    /// A row, if there is memory for it.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> Option<&[T]> {
        let chunk = self.chunks.get(at / CHUNK_ROWS)?;
        (at % CHUNK_ROWS < chunk.rows).then(|| self.row(at))
    }

    #[inline]
    pub(crate) fn row_mut(&mut self, at: usize) -> &mut [T] {
        let chunk = &mut self.chunks[at / CHUNK_ROWS];
        &mut chunk.data[chunk.start + at % CHUNK_ROWS * self.stride..][..self.stride]
    }

    /// Makes row `at` exist.
    pub(crate) fn ensure(&mut self, at: usize) {
        let (chunk, row) = (at / CHUNK_ROWS, at % CHUNK_ROWS);
        while self.chunks.len() <= chunk {
            self.chunks.push(Chunk { data: Vec::new(), start: 0, rows: 0 });
        }
        let old = &mut self.chunks[chunk];
        if row < old.rows {
            return;
        }
        let rows = if chunk == 0 { (row + 1).next_power_of_two().max(FIRST_ROWS) } else { CHUNK_ROWS };
        let mut fresh = Chunk::new(rows, self.stride);
        let len = old.rows * self.stride;
        fresh.data[fresh.start..][..len].swap_with_slice(&mut old.data[old.start..][..len]);
        *old = fresh;
    }

    /// Gives all memory back.
    pub(crate) fn clear(&mut self) {
        self.chunks = Vec::new();
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let chunks = self.chunks.iter().map(|chunk| chunk.data.capacity() * size_of::<T>());
        chunks.sum::<usize>() + self.chunks.capacity() * size_of::<Chunk<T>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_content_while_the_slab_grows() {
        let mut rows = Rows::<u32>::new(16);
        for at in 0..3000_usize {
            assert!(rows.get(at).is_none_or(|row| row == [0; 16]));
            rows.ensure(at);
            rows.row_mut(at).fill(u32::try_from(at).unwrap());
            if at % 97 == 0 {
                assert!((0..=at).all(|i| rows.row(i).iter().all(|&x| x as usize == i)));
            }
        }
    }

    #[test]
    fn rows_of_whole_lines_start_on_a_line() {
        let mut rows = Rows::<i8>::new(128);
        for at in 0..2100 {
            rows.ensure(at);
        }
        assert!((0..2100).all(|at| rows.row(at).as_ptr().align_offset(64) == 0));
    }

    #[test]
    fn only_chunks_with_rows_take_memory() {
        let mut rows = Rows::<f32>::new(16);
        assert_eq!(rows.memory_bytes(), 0);
        rows.ensure(0);
        assert!(rows.memory_bytes() < 1024);
        rows.ensure(1_000_000);
        assert!(rows.memory_bytes() < 300_000);
        assert!(rows.get(500_000).is_none());
        rows.clear();
        assert!(rows.get(0).is_none());
    }
}
