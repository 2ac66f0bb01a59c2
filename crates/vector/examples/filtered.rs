//! Recall@10 and time of every plan of a filtered search, by share and correlation of what is accepted, on a data set:
//! `cargo run --release --example filtered FOLDER`. Where the planner's costs come from.
//!
//! The filter is asked at the price of reading attributes (`cold`), and answers from a table (`warm`). Folder as for
//! `recall`.

#![expect(clippy::print_stdout, reason = "the figures are the output")]

#[path = "../tests/common/npy.rs"]
mod npy;

use std::hint::black_box;
use std::time::Instant;

use quiver_vector::{Accept, Hnsw, Metric, Neighbor, Params, Plan, Scratch, Slot, Storage};

const K: usize = 10;
const EF: usize = 100;
const QUERIES: usize = 100;

/// A table of answers.
struct Table<'a> {
    accepted: &'a [bool],
    cold: bool,
}

impl Accept for Table<'_> {
    fn accepts(&mut self, slot: Slot) -> bool {
        if self.cold {
            // About what finding a field in a small object takes.
            let mut hash = u64::from(slot);
            for _ in 0..60 {
                hash = black_box(hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ hash >> 29);
            }
        }
        self.accepted[slot as usize]
    }

    fn cost(&self) -> f64 {
        if self.cold { 12.0 } else { 0.25 }
    }
}

fn main() {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "datasets/wordnet-minilm-5k".to_owned());
    let set = npy::DataSet::load(folder.as_ref());
    let params = Params { dim: set.dim, metric: Metric::Cosine, storage: Storage::I8, m: 16, ef_construction: 200 };
    let mut index = Hnsw::new(params).expect("valid parameters");
    for (key, vector) in set.base.iter().enumerate() {
        index.insert(vector, key as u64, 0).expect("a finite vector");
    }
    println!("{} x {}; microseconds per query, recall@{K}, questions", set.base.len(), set.dim);
    let mut scratch = Scratch::new();
    let orders: Vec<Vec<Slot>> =
        set.queries.iter().take(QUERIES).map(|query| ranked(&index, query, &mut scratch)).collect();
    for correlation in ["none", "region", "far"] {
        for part in [1000, 200, 100, 30, 10, 4, 2] {
            let tables: Vec<Vec<bool>> = (0..orders.len()).map(|i| table(&orders, i, correlation, part)).collect();
            for cold in [true, false] {
                let kind = if cold { "cold" } else { "warm" };
                print!("{correlation:<7}1/{part:<5}{kind:<5}");
                let mut row = |name: &str, plan: Option<Plan>| {
                    let (us, recall, asked) = measure(&index, &set, &orders, &tables, cold, plan);
                    print!(" {name} {us:>6.0} {recall:.3} {asked:>6.0} |");
                };
                row("scan", Some(Plan::Scan));
                row("near", Some(Plan::Near));
                row("walk", Some(Plan::Walk));
                row("hop", Some(Plan::Hop));
                row("chosen", None);
                println!();
            }
        }
    }
}

fn ranked(index: &Hnsw, query: &[f32], scratch: &mut Scratch) -> Vec<Slot> {
    let mut all = Vec::new();
    index.exact(query, index.len(), scratch, &mut all).expect("a finite query");
    all.iter().map(|neighbor| neighbor.slot).collect()
}

fn table(orders: &[Vec<Slot>], query: usize, correlation: &str, part: usize) -> Vec<bool> {
    let len = orders[query].len();
    let mut accepted = vec![false; len];
    match correlation {
        "none" => {
            let hash = |slot: usize| ((slot + query * 7919) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
            (0..len).filter(|slot| hash(*slot) % part as u64 == 0).for_each(|slot| accepted[slot] = true);
        }
        "region" => {
            orders[(query + 17) % orders.len()]
                .iter()
                .take(len / part)
                .for_each(|slot| accepted[*slot as usize] = true);
        }
        _ => orders[query].iter().rev().take(len / part).for_each(|slot| accepted[*slot as usize] = true),
    }
    accepted
}

fn measure(
    index: &Hnsw,
    set: &npy::DataSet,
    orders: &[Vec<Slot>],
    tables: &[Vec<bool>],
    cold: bool,
    plan: Option<Plan>,
) -> (f64, f64, f64) {
    let (mut scratch, mut out) = (Scratch::new(), Vec::<Neighbor>::new());
    let (mut hits, mut wanted, mut asked, mut seconds) = (0, 0, 0, 0.0);
    for (i, query) in set.queries.iter().take(orders.len()).enumerate() {
        let filter = Table { accepted: &tables[i], cold };
        let start = Instant::now();
        let done = match plan {
            Some(plan) => index.search_by_plan(plan, query, K, EF, filter, &mut scratch, &mut out),
            None => index.search_filtered(query, K, EF, usize::MAX, filter, &mut scratch, &mut out),
        };
        seconds += start.elapsed().as_secs_f64();
        asked += done.expect("a finite query").asked;
        let truth: Vec<Slot> = orders[i].iter().copied().filter(|slot| tables[i][*slot as usize]).take(K).collect();
        hits += out.iter().filter(|neighbor| truth.contains(&neighbor.slot)).count();
        wanted += truth.len();
    }
    let queries = orders.len() as f64;
    (seconds * 1e6 / queries, f64::from(hits as u32) / f64::from(wanted.max(1) as u32), asked as f64 / queries)
}
