//! Build time, recall@10 and queries per second on a data set: `cargo run --release --example recall FOLDER`.
//!
//! The folder holds `base.npy`, `query.npy` (f16, shape (n, dim)) and `gt.npy` (i32, shape (queries, k)), nearest by
//! cosine. One thread; times are CPU times of that thread where the system tells them.

#![expect(clippy::print_stdout, reason = "the figures are the output")]

#[path = "../tests/common/npy.rs"]
mod npy;

use std::sync::OnceLock;
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
    let start = seconds();
    for (key, vector) in set.base.iter().enumerate() {
        index.insert(vector, key as u64, 0).expect("a finite vector");
    }
    let seconds = seconds() - start;
    let (links, bytes) = (degree(&index), index.memory_bytes() / index.len());
    println!("{storage:?}: built in {seconds:.2} s, {links:.1} links per element, {bytes} bytes per vector");
    for ef in EFS {
        measure(set, &format!("ef {ef}"), |query, scratch, out| index.search_graph(query, K, ef, scratch, out));
    }
    let all = index.len();
    measure(set, "scan", |query, scratch, out| index.search(query, K, all, scratch, out));
    measure(set, "exact", |query, scratch, out| index.exact(query, K, scratch, out));
    remove_half(&mut index);
}

/// Seconds the thread has spent on a processor; wall-clock time where Linux' accounting is missing.
fn seconds() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = START.get_or_init(Instant::now);
    let accounted = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = accounted.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(|| start.elapsed().as_secs_f64(), |nanoseconds| nanoseconds / 1e9)
}

/// Every second element is removed.
fn remove_half(index: &mut Hnsw) {
    let (start, slots) = (seconds(), index.slots() as u32);
    for slot in (0..slots).step_by(2) {
        index.remove(slot).expect("a live slot");
    }
    println!("  removal {:.1} us", (seconds() - start) * 2e6 / f64::from(slots));
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
        let start = seconds();
        for (query, truth) in set.queries.iter().zip(&set.truth) {
            search(query, &mut scratch, &mut out).expect("a finite query");
            hits += out.iter().filter(|neighbor| truth[..K].contains(&neighbor.slot)).count();
        }
        best = best.min(seconds() - start);
    }
    let recall = hits as f64 / (set.queries.len() * K) as f64;
    println!("  {name:<7} recall@{K} {recall:.4}  {:>8.0} queries/s", set.queries.len() as f64 / best);
}

fn degree(index: &Hnsw) -> f64 {
    index.live_slots().map(|slot| index.links(slot, 0).len()).sum::<usize>() as f64 / index.len() as f64
}
