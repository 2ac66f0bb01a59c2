//! Recall on real text embeddings: against the truth, after churn, and next to what the data allows.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common {
    pub(crate) mod npy;
}

use std::path::Path;

use common::npy::DataSet;
use quiver_vector::{Hnsw, Metric, Params, Scratch, Storage};

const K: usize = 10;

fn data() -> DataSet {
    DataSet::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/wordnet-minilm-5k"))
}

fn build(set: &DataSet, storage: Storage) -> Hnsw {
    let params = Params { dim: set.dim, metric: Metric::Cosine, storage, m: 16, ef_construction: 200 };
    let mut index = Hnsw::new(params).unwrap();
    for (key, vector) in set.base.iter().enumerate() {
        assert_eq!(index.insert(vector, key as u64, 0), Ok(key as u32));
    }
    index
}

fn recall(set: &DataSet, index: &Hnsw, ef: usize) -> f64 {
    let (mut scratch, mut found, mut hits) = (Scratch::new(), Vec::new(), 0);
    for (query, truth) in set.queries.iter().zip(&set.truth) {
        index.search_graph(query, K, ef, &mut scratch, &mut found).unwrap();
        hits += found.iter().filter(|neighbor| truth[..K].contains(&neighbor.slot)).count();
    }
    hits as f64 / (set.queries.len() * K) as f64
}

fn exact_recall(set: &DataSet, index: &Hnsw) -> f64 {
    let (mut scratch, mut found, mut hits) = (Scratch::new(), Vec::new(), 0);
    for (query, truth) in set.queries.iter().zip(&set.truth) {
        index.exact(query, K, &mut scratch, &mut found).unwrap();
        hits += found.iter().filter(|neighbor| truth[..K].contains(&neighbor.slot)).count();
    }
    hits as f64 / (set.queries.len() * K) as f64
}

#[test]
fn full_vectors_reach_99_percent_at_ef_100_and_the_truth_when_exact() {
    let set = data();
    let index = build(&set, Storage::F32);
    assert_eq!(index.check(), Ok(()));
    let found = recall(&set, &index, 100);
    assert!(found >= 0.99, "{found}");
    let found = exact_recall(&set, &index);
    assert!(found >= 0.999, "{found}");
}

#[test]
fn codes_alone_reach_98_percent_at_ef_100() {
    let set = data();
    let index = build(&set, Storage::I8);
    let found = recall(&set, &index, 100);
    assert!(found >= 0.98, "{found}");
    let found = exact_recall(&set, &index);
    assert!(found >= 0.99, "{found}");
}

#[test]
fn churn_keeps_the_recall_and_the_graph_sound() {
    let set = data();
    let mut index = build(&set, Storage::F32);
    let fresh = recall(&set, &index, 40);
    for round in 0..2 {
        for slot in (round..set.base.len() as u32).step_by(2) {
            index.remove(slot).unwrap();
        }
        assert_eq!(index.check(), Ok(()));
        // The smallest vacant slot is taken first, so every vector comes back to its own.
        for slot in (round..set.base.len() as u32).step_by(2) {
            assert_eq!(index.insert(&set.base[slot as usize], u64::from(slot), 0), Ok(slot));
        }
    }
    for slot in 0..set.base.len() as u32 / 4 {
        index.update(slot, &set.base[slot as usize], 0).unwrap();
    }
    assert_eq!(index.check(), Ok(()));
    let churned = recall(&set, &index, 40);
    assert!(churned >= fresh - 0.02, "fresh {fresh}, after churn {churned}");
}

#[test]
fn what_is_left_after_mass_removal_is_found() {
    let set = data();
    let mut index = build(&set, Storage::I8);
    for slot in 0..set.base.len() as u32 {
        if slot % 10 != 0 {
            index.remove(slot).unwrap();
        }
    }
    assert_eq!(index.check(), Ok(()));
    let (mut scratch, mut walked, mut truth, mut hits) = (Scratch::new(), Vec::new(), Vec::new(), 0);
    for query in &set.queries {
        index.search_graph(query, K, 100, &mut scratch, &mut walked).unwrap();
        index.exact(query, K, &mut scratch, &mut truth).unwrap();
        hits += walked.iter().filter(|neighbor| truth.contains(neighbor)).count();
    }
    let found = hits as f64 / (set.queries.len() * K) as f64;
    assert!(found >= 0.97, "{found}");
}
