//! A long life: random operations of every kind on one index, checked against a map.
//!
//! `QUIVER_SOAK_OPS=1000000 QUIVER_SOAK_SEED=2 cargo test --release -p quiver-vector --test soak` is the long run.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeMap;

use quiver_vector::{Hnsw, Metric, Neighbor, Params, Prepared, Scratch, Slot, Storage};

const DIM: usize = 12;
const LEN_MAX: usize = 1500;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end.max(1)
    }

    /// Coarse, so that ties and equal vectors happen.
    fn vector(&mut self) -> Vec<f32> {
        (0..DIM).map(|_| self.below(9) as f32 - 4.0).collect()
    }
}

struct Soak {
    index: Hnsw,
    model: BTreeMap<Slot, Vec<f32>>,
    scratch: Scratch,
    random: Random,
    waiting: Vec<(Prepared, Vec<f32>)>,
    hits: usize,
    asked: usize,
}

impl Soak {
    fn some_slot(&mut self) -> Option<Slot> {
        let at = self.random.below(self.model.len());
        self.model.keys().nth(at).copied()
    }

    fn step(&mut self) {
        let vector = self.random.vector();
        let grow = if self.model.len() < LEN_MAX { 6 } else { 2 };
        match self.random.below(16 + grow) {
            0..4 => self.remove(),
            4..7 => self.update(&vector),
            7..10 => self.search(&vector),
            10 => self.prepare(vector),
            11 => self.commit(),
            12 if self.random.below(50) == 0 => self.reload(),
            13 if self.random.below(20) == 0 => self.batch(),
            _ => {
                let key = self.random.next();
                let slot = self.index.insert(&vector, key, 0).unwrap();
                assert!(self.model.insert(slot, vector).is_none());
            }
        }
    }

    fn remove(&mut self) {
        if let Some(slot) = self.some_slot() {
            self.index.remove(slot).unwrap();
            self.model.remove(&slot);
        }
    }

    fn update(&mut self, vector: &[f32]) {
        if let Some(slot) = self.some_slot() {
            self.index.update(slot, vector, 0).unwrap();
            self.model.insert(slot, vector.to_vec());
        }
    }

    fn prepare(&mut self, vector: Vec<f32>) {
        let mut prepared = Prepared::new();
        self.index.prepare(&vector, self.random.next(), 0, &mut self.scratch, &mut prepared).unwrap();
        self.waiting.push((prepared, vector));
    }

    fn commit(&mut self) {
        for (mut prepared, vector) in self.waiting.drain(..) {
            let slot = self.index.commit(&mut prepared).unwrap();
            assert!(self.model.insert(slot, vector).is_none());
        }
    }

    fn batch(&mut self) {
        let rows: Vec<Vec<f32>> = (0..40).map(|_| self.random.vector()).collect();
        let keys: Vec<u64> = rows.iter().map(|_| self.random.next()).collect();
        let matrix = ndarray::Array2::from_shape_vec((rows.len(), DIM), rows.concat()).unwrap();
        let slots = self.index.insert_batch(matrix.view(), &keys, 0, 2).unwrap();
        for (slot, row) in slots.into_iter().zip(rows) {
            assert!(self.model.insert(slot, row).is_none());
        }
    }

    fn reload(&mut self) {
        // What was prepared belongs to the index it was prepared with.
        self.commit();
        let nodes = self.index.live_slots().filter_map(|slot| self.index.node(slot));
        let copy = Hnsw::from_nodes(*self.index.params(), nodes).unwrap();
        for slot in self.index.live_slots() {
            assert_eq!(self.index.node(slot), copy.node(slot));
        }
        self.index = copy;
    }

    fn search(&mut self, query: &[f32]) {
        let (mut found, mut truth) = (Vec::<Neighbor>::new(), Vec::new());
        self.index.search_graph(query, 10, 64, &mut self.scratch, &mut found).unwrap();
        self.index.exact(query, 10, &mut self.scratch, &mut truth).unwrap();
        assert_eq!(truth.len(), self.model.len().min(10));
        assert_eq!(found.len(), truth.len());
        assert!(found.iter().all(|neighbor| self.model.contains_key(&neighbor.slot)));
        let last = truth.last().map_or(0.0, |last| last.distance);
        self.hits += found.iter().filter(|neighbor| neighbor.distance <= last).count();
        self.asked += truth.len();
    }

    fn check(&self) {
        assert_eq!(self.index.check(), Ok(()));
        assert!(self.index.live_slots().eq(self.model.keys().copied()));
        for (slot, vector) in &self.model {
            let kept = self.index.vector(*slot).unwrap();
            assert!(
                kept.iter().zip(vector).all(|(a, b)| (a - b).abs() < 0.03),
                "slot {slot}: {kept:?}, not {vector:?}"
            );
        }
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn a_long_life_of_random_operations_leaves_everything_sound() {
    let (ops, seed) = (number("QUIVER_SOAK_OPS", 10_000), number("QUIVER_SOAK_SEED", 1));
    for (metric, storage) in [(Metric::L2, Storage::I8), (Metric::Cosine, Storage::F32), (Metric::L2, Storage::F16)] {
        let params = Params { dim: DIM, metric, storage, m: 5, ef_construction: 30 };
        let mut soak = Soak {
            index: Hnsw::new(params).unwrap(),
            model: BTreeMap::new(),
            scratch: Scratch::new(),
            random: Random(seed),
            waiting: Vec::new(),
            hits: 0,
            asked: 0,
        };
        for op in 0..ops {
            soak.step();
            if op % 500 == 0 {
                soak.check();
            }
        }
        soak.check();
        let recall = soak.hits as f64 / soak.asked as f64;
        assert!(recall >= 0.97, "{metric:?} {storage:?}: {recall}");
    }
}
