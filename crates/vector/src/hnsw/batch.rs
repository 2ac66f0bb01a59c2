//! Many vectors in one call, as two-dimensional views of shape (n, dim).

use ndarray::{Array2, ArrayView2};

use crate::graph::NONE;
use crate::hnsw::Hnsw;
use crate::scratch::Scratch;
use crate::{Error, Slot};

impl Hnsw {
    /// Inserts every row of `vectors` (n, dim) under the key of the same place and returns their slots. All rows are
    /// checked first: either all are inserted or none. One thread inserts row by row as [`Self::insert`] does; more of
    /// them build another graph, of the same quality and the same for every number of them.
    /// # Errors
    /// Another number of keys than rows; a row of the wrong length or not finite; too many rows for the slots left.
    pub fn insert_batch(
        &mut self,
        vectors: ArrayView2<'_, f32>,
        keys: &[u64],
        ef: usize,
        threads: usize,
    ) -> Result<Vec<Slot>, Error> {
        // Rows of a transposed view are not slices; then one copy of the batch makes them so.
        let vectors = vectors.as_standard_layout();
        let rows = vectors.rows().into_iter().map(|row| row.to_slice().expect("a row of the standard layout"));
        let rows = self.valid(&rows.collect::<Vec<_>>(), keys)?;
        if threads > 1 {
            return Ok(self.bulk(&rows, keys, ef, threads));
        }
        rows.iter().zip(keys).map(|((row, _), &key)| self.insert(row, key, ef)).collect()
    }

    /// The `k` nearest elements to every row of `queries` (n, dim): slots and distances, each of shape (n, k). Where
    /// fewer are found, slots are [`Slot::MAX`] and distances infinite.
    /// # Errors
    /// A row of the wrong length or not finite.
    pub fn search_batch(
        &self,
        queries: ArrayView2<'_, f32>,
        k: usize,
        ef: usize,
    ) -> Result<(Array2<Slot>, Array2<f32>), Error> {
        let queries = queries.as_standard_layout();
        // Columns past the last element would hold nothing, so `k` cannot make this allocate more than there is.
        let k = k.min(self.len);
        let mut slots = Array2::from_elem((queries.nrows(), k), NONE);
        let mut distances = Array2::from_elem((queries.nrows(), k), f32::INFINITY);
        let (mut scratch, mut out) = (Scratch::new(), Vec::new());
        for (i, query) in queries.rows().into_iter().enumerate() {
            let query = query.to_slice().expect("a row of the standard layout");
            self.search(query, k, ef, &mut scratch, &mut out)?;
            for (j, neighbor) in out.iter().enumerate() {
                slots[(i, j)] = neighbor.slot;
                distances[(i, j)] = neighbor.distance;
            }
        }
        Ok((slots, distances))
    }
}
