//! The same data in `hnsw_rs`: at equal parameters and effort this index finds as much.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common {
    pub(crate) mod npy;
}

use std::path::Path;

use common::npy::DataSet;
use quiver_vector::{Hnsw, Metric, Params, Scratch, Storage};

const K: usize = 10;
const M: usize = 16;
const EF_CONSTRUCTION: usize = 200;

#[test]
fn recall_is_not_below_the_reference_at_any_effort() {
    let set = DataSet::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/wordnet-minilm-5k"));
    let params =
        Params { dim: set.dim, metric: Metric::Cosine, storage: Storage::F32, m: M, ef_construction: EF_CONSTRUCTION };
    let mut index = Hnsw::new(params).unwrap();
    let reference =
        hnsw_rs::prelude::Hnsw::new(M, set.base.len(), 16, EF_CONSTRUCTION, hnsw_rs::prelude::DistCosine {});
    for (key, vector) in set.base.iter().enumerate() {
        index.insert(vector, key as u64, 0).unwrap();
        reference.insert((vector, key));
    }
    let (mut scratch, mut found) = (Scratch::new(), Vec::new());
    for ef in [20, 50, 100] {
        let (mut own, mut theirs) = (0, 0);
        for (query, truth) in set.queries.iter().zip(&set.truth) {
            index.search_graph(query, K, ef, &mut scratch, &mut found).unwrap();
            own += found.iter().filter(|neighbor| truth[..K].contains(&neighbor.slot)).count();
            let answers = reference.search(query, K, ef);
            theirs += answers.iter().filter(|answer| truth[..K].contains(&(answer.d_id as u32))).count();
        }
        let total = (set.queries.len() * K) as f64;
        let (own, theirs) = (own as f64 / total, theirs as f64 / total);
        assert!(own >= theirs - 0.01, "ef {ef}: {own}, hnsw_rs {theirs}");
    }
}
