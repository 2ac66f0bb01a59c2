//! A folder of `datasets/`: base vectors, queries and the exact neighbours of each query.
//!
//! `base.npy` (n, dim) and `query.npy` (q, dim) in f16 or f32, `gt.npy` (q, k) int32: row numbers of the base vectors,
//! nearest first, by the data set's metric (cosine here).

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::npy::{self, Matrix};

/// Vectors, questions and answers.
#[derive(Debug)]
pub struct Dataset {
    /// Folder name.
    pub name: String,
    /// Vectors to index, one per row.
    pub base: Matrix<f32>,
    /// Held-out queries.
    pub queries: Matrix<f32>,
    /// Exact nearest base rows of each query, nearest first.
    pub truth: Matrix<i32>,
}

impl Dataset {
    /// Reads and cross-checks `base.npy`, `query.npy` and `gt.npy` in `folder`.
    pub fn load(folder: &Path) -> Result<Self> {
        let context = |file: &str| format!("reading {}", folder.join(file).display());
        let base = npy::read_f32(&folder.join("base.npy")).with_context(|| context("base.npy"))?;
        let queries = npy::read_f32(&folder.join("query.npy")).with_context(|| context("query.npy"))?;
        let truth = npy::read_i32(&folder.join("gt.npy")).with_context(|| context("gt.npy"))?;
        let name = folder.file_name().map_or_else(|| "dataset".into(), |name| name.to_string_lossy().into_owned());
        let dataset = Self { name, base, queries, truth };
        dataset.check().with_context(|| format!("{} is inconsistent", folder.display()))?;
        Ok(dataset)
    }

    /// Share of the `k` true neighbours of query `query` among `found` (row numbers; at most `k` are looked at).
    pub fn recall(&self, query: usize, found: &[i32], k: usize) -> f64 {
        let truth = &self.truth.row(query)[..k];
        let hits = found.iter().take(k).filter(|id| truth.contains(id)).count();
        hits as f64 / k as f64
    }

    fn check(&self) -> Result<()> {
        let (base, queries, truth) = (&self.base, &self.queries, &self.truth);
        ensure!(base.rows > 0 && queries.rows > 0, "no vectors or no queries");
        ensure!(base.columns == queries.columns, "base has {} dimensions, queries {}", base.columns, queries.columns);
        ensure!(queries.rows == truth.rows, "{} queries but answers for {}", queries.rows, truth.rows);
        let foreign = truth.data.iter().find(|id| usize::try_from(**id).map_or(true, |id| id >= base.rows));
        ensure!(foreign.is_none(), "gt.npy names row {foreign:?} of {}", base.rows);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix<T>(rows: usize, data: Vec<T>) -> Matrix<T> {
        Matrix { rows, columns: data.len() / rows, data }
    }

    fn two_points() -> Dataset {
        Dataset {
            name: "two".into(),
            base: matrix(2, vec![1.0, 0.0, 0.0, 1.0]),
            queries: matrix(1, vec![1.0, 0.1]),
            truth: matrix(1, vec![0, 1]),
        }
    }

    #[test]
    fn recall_counts_true_neighbours_in_any_order() {
        let dataset = two_points();
        assert_eq!(dataset.recall(0, &[1, 0], 2), 1.0);
        assert_eq!(dataset.recall(0, &[1], 2), 0.5);
        assert_eq!(dataset.recall(0, &[1, 0], 1), 0.0);
    }

    #[test]
    fn answers_that_name_no_base_row_are_refused() {
        assert!(two_points().check().is_ok());
        for id in [2, -1] {
            let dataset = Dataset { truth: matrix(1, vec![0, id]), ..two_points() };
            assert!(dataset.check().is_err());
        }
    }
}
