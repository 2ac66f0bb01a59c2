//! Build time, recall@10 and queries per second on a data set: `cargo run --release --example recall FOLDER`.
//!
//! The folder holds `base.npy`, `query.npy` (f16, shape (n, dim)) and `gt.npy` (i32, shape (queries, k)), nearest by
//! cosine. One thread; the time is that of the process, so other work on the machine disturbs it little.

#![expect(clippy::print_stdout, reason = "the figures are the output")]

#[path = "../tests/common/npy.rs"]
mod npy;

use std::time::Instant;

use quiver_vector::{Hnsw, Metric, Params, Scratch, Storage};

const K: usize = 10;
const EFS: [usize; 9] = [10, 16, 24, 32, 48, 64, 100, 150, 200];

fn main() {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "datasets/wordnet-minilm-5k".to_owned());
    let set = npy::DataSet::load(folder.as_ref());
    println!("{} x {}, {} queries", set.base.len(), set.dim, set.queries.len());
    for storage in [Storage::F32, Storage::I8] {
        run(&set, storage);
    }
}

fn run(set: &npy::DataSet, storage: Storage) {
    let params = Params { dim: set.dim, metric: Metric::Cosine, storage, m: 16, ef_construction: 200 };
    let mut index = Hnsw::new(params).expect("valid parameters");
    let start = Instant::now();
    for (key, vector) in set.base.iter().enumerate() {
        index.insert(vector, key as u64, 0).expect("a finite vector");
    }
    let seconds = start.elapsed().as_secs_f64();
    let (links, bytes) = (degree(&index), index.memory_bytes() / index.len());
    println!("{storage:?}: built in {seconds:.2} s, {links:.1} links per element, {bytes} bytes per vector");
    for ef in EFS {
        measure(set, &format!("ef {ef}"), |query, scratch, out| index.search_graph(query, K, ef, scratch, out));
    }
    let all = index.len();
    measure(set, "scan", |query, scratch, out| index.search(query, K, all, scratch, out));
    measure(set, "exact", |query, scratch, out| index.exact(query, K, scratch, out));
}

fn measure(
    set: &npy::DataSet,
    name: &str,
    mut search: impl FnMut(&[f32], &mut Scratch, &mut Vec<quiver_vector::Neighbor>) -> Result<(), quiver_vector::Error>,
) {
    let (mut scratch, mut out, mut hits) = (Scratch::new(), Vec::new(), 0);
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        hits = 0;
        let start = Instant::now();
        for (query, truth) in set.queries.iter().zip(&set.truth) {
            search(query, &mut scratch, &mut out).expect("a finite query");
            hits += out.iter().filter(|neighbor| truth[..K].contains(&neighbor.slot)).count();
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    let recall = hits as f64 / (set.queries.len() * K) as f64;
    println!("  {name:<7} recall@{K} {recall:.4}  {:>8.0} queries/s", set.queries.len() as f64 / best);
}

fn degree(index: &Hnsw) -> f64 {
    index.live_slots().map(|slot| index.links(slot, 0).len()).sum::<usize>() as f64 / index.len() as f64
}
