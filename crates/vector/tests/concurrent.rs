//! Threads that search, add, move and remove elements of one index at the same time.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use quiver_vector::{Error, Hnsw, Metric, Params, Scratch, Shared, Slot, Storage};

const DIM: usize = 16;
const WRITERS: usize = 3;
const READERS: usize = 3;
const STEPS: usize = if cfg!(debug_assertions) { 600 } else { 6000 };

fn params(storage: Storage) -> Params {
    Params { dim: DIM, metric: Metric::L2, storage, m: 6, ef_construction: 40 }
}

/// A small generator: the values matter, not their quality.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn vector(&mut self) -> Vec<f32> {
        (0..DIM).map(|_| self.next() as f32 / 1e9).collect()
    }
}

/// Adds, moves and removes; returns the slots that are its own at the end. Only the thread that added an element
/// touches it again, so every operation must succeed.
fn write(index: &Shared, seed: u64) -> BTreeSet<Slot> {
    let (mut random, mut scratch, mut own) = (Random(seed), Scratch::new(), BTreeSet::new());
    for _ in 0..STEPS {
        let some = own.iter().nth(random.next() as usize % own.len().max(1)).copied();
        match (random.next() % 8, some) {
            (0..4, _) | (_, None) => {
                let slot = index.insert(&random.vector(), random.next(), 0, &mut scratch).unwrap();
                assert!(own.insert(slot), "slot {slot} was given twice");
            }
            (4 | 5, Some(slot)) => index.update(slot, &random.vector(), 0, &mut scratch).unwrap(),
            (_, Some(slot)) => {
                index.remove(slot).unwrap();
                own.remove(&slot);
            }
        }
    }
    own
}

fn search(index: &Shared, seed: u64, end: &AtomicBool) -> usize {
    let (mut random, mut scratch, mut found, mut searches) = (Random(seed), Scratch::new(), Vec::new(), 0);
    while !end.load(Ordering::Relaxed) {
        index.search(&random.vector(), 10, 40, &mut scratch, &mut found).unwrap();
        assert!(found.len() <= 10);
        assert!(found.windows(2).all(|pair| (pair[0].distance, pair[0].slot) < (pair[1].distance, pair[1].slot)));
        assert!(found.iter().all(|neighbor| neighbor.distance.is_finite()));
        searches += 1;
    }
    searches
}

#[test]
fn searches_and_changes_at_the_same_time_leave_a_sound_index() {
    for storage in [Storage::I8, Storage::F32, Storage::F16] {
        let index = Shared::new(params(storage)).unwrap();
        let (end, searches) = (AtomicBool::new(false), AtomicUsize::new(0));
        let own: Vec<BTreeSet<Slot>> = thread::scope(|scope| {
            let (index, end, searches) = (&index, &end, &searches);
            for seed in 0..READERS as u64 {
                scope.spawn(move || searches.fetch_add(search(index, seed + 100, end), Ordering::Relaxed));
            }
            let writers: Vec<_> = (0..WRITERS as u64).map(|seed| scope.spawn(move || write(index, seed))).collect();
            let own = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
            end.store(true, Ordering::Relaxed);
            own
        });
        assert!(searches.into_inner() > 0);
        let index = index.into_inner();
        assert_eq!(index.check(), Ok(()));
        let all: BTreeSet<Slot> = own.iter().flatten().copied().collect();
        assert_eq!(all.len(), own.iter().map(BTreeSet::len).sum::<usize>());
        assert!(index.live_slots().eq(all.iter().copied()));
        assert!(recall(&index) >= 0.95);
    }
}

/// Share of the true nearest that walks find.
fn recall(index: &Hnsw) -> f64 {
    let (mut random, mut scratch) = (Random(7), Scratch::new());
    let (mut walked, mut truth, mut hits) = (Vec::new(), Vec::new(), 0);
    for _ in 0..100 {
        let query = random.vector();
        index.search_graph(&query, 10, 100, &mut scratch, &mut walked).unwrap();
        index.exact(&query, 10, &mut scratch, &mut truth).unwrap();
        hits += walked.iter().filter(|neighbor| truth.contains(neighbor)).count();
    }
    hits as f64 / 1000.0
}

#[test]
fn an_element_is_found_by_whoever_searches_after_its_insertion_returned() {
    let index = Shared::new(params(Storage::F32)).unwrap();
    thread::scope(|scope| {
        for seed in 0..4 {
            let index = &index;
            scope.spawn(move || {
                let (mut random, mut scratch, mut found) = (Random(seed), Scratch::new(), Vec::new());
                let mut missed = 0;
                for _ in 0..STEPS / 4 {
                    let vector = random.vector();
                    let slot = index.insert(&vector, random.next(), 0, &mut scratch).unwrap();
                    index.search(&vector, 1, 100, &mut scratch, &mut found).unwrap();
                    missed += usize::from((found[0].slot, found[0].distance) != (slot, 0.0));
                }
                // A walk is not exact, but it hardly misses what it starts from.
                assert!(missed * 200 <= STEPS / 4, "{missed} of {} were not found", STEPS / 4);
            });
        }
    });
    assert_eq!(index.read().check(), Ok(()));
}

#[test]
fn what_is_refused_changes_nothing() {
    let index = Shared::new(params(Storage::F32)).unwrap();
    let mut scratch = Scratch::new();
    assert_eq!(index.remove(0), Err(Error::NoSuchSlot(0)));
    assert_eq!(index.update(0, &[0.0; DIM], 0, &mut scratch), Err(Error::NoSuchSlot(0)));
    assert_eq!(index.insert(&[f32::NAN; DIM], 1, 0, &mut scratch), Err(Error::NotFinite));
    assert_eq!(
        index.search(&[0.0; 2], 1, 1, &mut scratch, &mut Vec::new()),
        Err(Error::VectorDim { got: 2, want: 16 })
    );
    assert!(index.read().is_empty());
}
