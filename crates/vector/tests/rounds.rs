//! Rounds prepared beside searches and changes.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::collection::vec;
use proptest::prelude::*;
use quiver_vector::{Hnsw, Metric, Params, Scratch, Slot, Storage};

const DIM: usize = 5;
const PARAMS: Params = Params { dim: DIM, metric: Metric::Cosine, storage: Storage::I8, m: 4, ef_construction: 20 };

fn vector() -> impl Strategy<Value = Vec<f32>> {
    vec((-3..=3_i8).prop_map(f32::from), DIM)
}

fn build(vectors: &[Vec<f32>]) -> Hnsw {
    let mut index = Hnsw::new(PARAMS).unwrap();
    for (key, vector) in vectors.iter().enumerate() {
        index.insert(vector, key as u64, 0).unwrap();
    }
    index
}

fn graph(index: &Hnsw) -> Vec<Vec<Slot>> {
    index.live_slots().map(|slot| index.node(slot).unwrap().links.concat()).collect()
}

/// What happens between the beginning of a round and its end.
#[derive(Clone, Debug)]
enum Change {
    Insert(Vec<f32>),
    Remove(prop::sample::Index),
    Empty,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => vector().prop_map(Change::Insert),
        3 => any::<prop::sample::Index>().prop_map(Change::Remove),
        1 => Just(Change::Empty),
    ]
}

proptest! {
    #[test]
    fn a_round_gives_the_graph_of_the_same_rows_added_in_place(
        before in vec(vector(), 1..60), rows in vec(vector(), 1..15),
    ) {
        let (mut aside, mut in_place) = (build(&before), build(&before));
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let keys: Vec<u64> = (0..rows.len() as u64).map(|key| key + 1000).collect();
        let Some(mut round) = aside.round_begin(&rows, &keys, 0).unwrap() else { return Ok(()) };
        round.prepare(2, |work| work(&aside));
        let slots = aside.round_commit(&round).unwrap();
        prop_assert_eq!(slots, in_place.insert_rows(&rows, &keys, 0, 0).unwrap());
        prop_assert_eq!(aside.check(), Ok(()));
        prop_assert_eq!(graph(&aside), graph(&in_place));
    }

    #[test]
    fn a_change_makes_a_round_void_and_leaves_no_trace_of_it(
        before in vec(vector(), 8..60), rows in vec(vector(), 2..15), changes in vec(change(), 1..6), late in any::<bool>(),
    ) {
        let (mut index, mut other) = (build(&before), build(&before));
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let keys: Vec<u64> = (0..rows.len() as u64).map(|key| key + 1000).collect();
        let Some(mut round) = index.round_begin(&rows, &keys, 0).unwrap() else { return Ok(()) };
        if late {
            round.prepare(2, |work| work(&index));
        }
        for index in [&mut index, &mut other] {
            for change in &changes {
                apply(index, change);
            }
        }
        round.prepare(2, |work| work(&index));
        prop_assert_eq!(index.round_commit(&round), None);
        let slots = index.insert_rows(&rows, &keys, 0, 0).unwrap();
        prop_assert_eq!(slots, other.insert_rows(&rows, &keys, 0, 0).unwrap());
        prop_assert_eq!(index.check(), Ok(()));
        prop_assert_eq!(graph(&index), graph(&other));
    }
}

fn apply(index: &mut Hnsw, change: &Change) {
    let live: Vec<Slot> = index.live_slots().collect();
    match change {
        Change::Insert(vector) => drop(index.insert(vector, 7, 0).unwrap()),
        Change::Remove(at) if !live.is_empty() => index.remove(*at.get(&live)).unwrap(),
        Change::Remove(_) => drop(index.insert(&[1.0; DIM], 9, 0).unwrap()),
        Change::Empty => live.into_iter().for_each(|slot| index.remove(slot).unwrap()),
    }
}

#[test]
fn rows_that_cannot_be_added_are_refused_before_a_round_begins() {
    let mut index = build(&vec![vec![1.0; DIM]; 40]);
    let (good, short, infinite) = ([1.0; DIM], [1.0; 2], [f32::INFINITY; DIM]);
    assert!(index.round_begin(&[&good, &short], &[1, 2], 0).is_err());
    assert!(index.round_begin(&[&good, &infinite], &[1, 2], 0).is_err());
    assert!(index.round_begin(&[&good], &[1, 2], 0).is_err());
    assert!(index.round_begin(&[], &[], 0).unwrap().is_none());
    index.remove(3).unwrap();
    assert!(index.round_begin(&[&good], &[1], 0).unwrap().is_none(), "the vacant slot comes first");
    assert_eq!(index.insert_rows(&[&good], &[1], 0, 0), Ok(vec![3]));
    assert_eq!(index.check(), Ok(()));
}

#[test]
fn searches_go_on_while_rounds_are_prepared() {
    let row = |i: usize| (0..DIM).map(|j| ((i * 31 + j * 17) % 101) as f32 - 50.0).collect::<Vec<f32>>();
    let all: Vec<Vec<f32>> = (0..1200).map(row).collect();
    let index = RwLock::new(build(&all[..200]));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let searcher = scope.spawn(|| {
            let (mut scratch, mut out, mut searches) = (Scratch::new(), Vec::new(), 0_u64);
            while !done.load(Ordering::Relaxed) {
                index.read().unwrap().search(&all[7], 3, 20, &mut scratch, &mut out).unwrap();
                assert_eq!(out.len(), 3);
                searches += 1;
            }
            searches
        });
        for start in (200..1200).step_by(40) {
            let rows: Vec<&[f32]> = all[start..start + 40].iter().map(Vec::as_slice).collect();
            let keys: Vec<u64> = (start as u64..start as u64 + 40).collect();
            let round = index.write().unwrap().round_begin(&rows, &keys, 0).unwrap();
            let slots = round.and_then(|mut round| {
                round.prepare(2, |work| work(&index.read().unwrap()));
                index.write().unwrap().round_commit(&round)
            });
            match slots {
                Some(slots) => assert_eq!(slots.len(), 40),
                None => drop(index.write().unwrap().insert_rows(&rows, &keys, 0, 0).unwrap()),
            }
        }
        done.store(true, Ordering::Relaxed);
        assert!(searcher.join().unwrap() > 0);
    });
    let index = index.into_inner().unwrap();
    assert_eq!((index.len(), index.check()), (1200, Ok(())));
}
