//! Half of an index removed and brought back, ten times over: recall, memory and soundness stay those of a fresh one.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common {
    #[expect(dead_code, reason = "the file's neighbours are those among all vectors; this test may take fewer")]
    pub(crate) mod npy;
}

use std::path::Path;

use common::npy::DataSet;
use quiver_vector::{Hnsw, Metric, Params, Scratch, Storage};

const K: usize = 10;
const EF: usize = 40;
const ROUNDS: u32 = 10;
/// Unoptimised code pays twenty times as much for a distance.
const VECTORS: usize = if cfg!(debug_assertions) { 1000 } else { 5000 };

fn build(set: &DataSet, storage: Storage) -> Hnsw {
    let params = Params { dim: set.dim, metric: Metric::Cosine, storage, m: 16, ef_construction: 200 };
    let mut index = Hnsw::new(params).unwrap();
    for (key, vector) in set.base.iter().take(VECTORS).enumerate() {
        index.insert(vector, key as u64, 0).unwrap();
    }
    index
}

/// Recall of walks against the index's own exact answer; every result must live.
fn recall(set: &DataSet, index: &Hnsw) -> f64 {
    let (mut scratch, mut found, mut truth, mut hits) = (Scratch::new(), Vec::new(), Vec::new(), 0);
    for query in &set.queries {
        index.search_graph(query, K, EF, &mut scratch, &mut found).unwrap();
        index.exact(query, K, &mut scratch, &mut truth).unwrap();
        assert!(found.iter().all(|neighbor| index.is_live(neighbor.slot)));
        hits += found.iter().filter(|neighbor| truth.iter().any(|near| near.slot == neighbor.slot)).count();
    }
    hits as f64 / (set.queries.len() * K) as f64
}

#[test]
fn ten_rounds_of_replacing_half_cost_no_recall_and_no_memory() {
    let set = DataSet::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/wordnet-minilm-5k"));
    for storage in [Storage::I8, Storage::F16] {
        let mut index = build(&set, storage);
        let (fresh, bytes) = (recall(&set, &index), index.memory_bytes());
        let mut state = 1_u64;
        for round in 0..ROUNDS {
            let mut gone = Vec::new();
            for slot in 0..VECTORS as u32 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                if state >> 63 == 1 {
                    index.remove(slot).unwrap();
                    gone.push(slot);
                }
            }
            assert_eq!(index.check(), Ok(()));
            // The smallest vacant slot is taken first, so every vector comes back to its own.
            for slot in gone {
                let key = u64::from(slot) + u64::from(round + 1) * 1_000_000;
                assert_eq!(index.insert(&set.base[slot as usize], key, 0), Ok(slot));
            }
        }
        assert_eq!(index.check(), Ok(()));
        let (churned, grown) = (recall(&set, &index), index.memory_bytes() as f64 / bytes as f64);
        assert!(churned >= fresh - 0.01, "{storage:?}: fresh {fresh}, after churn {churned}");
        assert!(grown <= 1.1, "{storage:?}: {grown} times the memory");
    }
}
