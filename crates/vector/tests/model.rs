//! Random operations against a model that keeps vectors in a map and reads all of them.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use quiver_vector::{Hnsw, Metric, Neighbor, Params, Prepared, Scratch, Slot, Storage};

const DIM: usize = 5;

#[derive(Clone, Debug)]
enum Op {
    Insert(Vec<f32>, u64),
    Update(prop::sample::Index, Vec<f32>),
    Remove(prop::sample::Index),
}

/// Whole numbers, so that equal vectors, zero vectors and ties happen.
fn vector() -> impl Strategy<Value = Vec<f32>> {
    vec((-3..=3_i8).prop_map(f32::from), DIM)
}

fn ops(len: usize) -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (vector(), any::<u64>()).prop_map(|(vector, key)| Op::Insert(vector, key)),
        1 => (any::<prop::sample::Index>(), vector()).prop_map(|(at, vector)| Op::Update(at, vector)),
        3 => any::<prop::sample::Index>().prop_map(Op::Remove),
    ];
    vec(op, 1..len)
}

fn metric() -> impl Strategy<Value = Metric> {
    prop_oneof![Just(Metric::Cosine), Just(Metric::InnerProduct), Just(Metric::L2)]
}

fn storage() -> impl Strategy<Value = Storage> {
    prop_oneof![
        3 => Just(Storage::F32),
        3 => Just(Storage::I8),
        1 => Just(Storage::F16),
        1 => Just(Storage::Bf16),
        1 => Just(Storage::Binary),
    ]
}

fn params() -> impl Strategy<Value = Params> {
    (metric(), storage(), 2..5_usize, 1..20_usize).prop_map(|(metric, storage, m, ef_construction)| Params {
        dim: DIM,
        metric,
        storage,
        m,
        ef_construction,
    })
}

fn distance(params: &Params, a: &[f32], b: &[f32]) -> f32 {
    let signs = |vector: &[f32]| vector.iter().map(|&x| if x > 0.0 { 1.0 } else { -1.0 }).collect::<Vec<f32>>();
    if params.storage == Storage::Binary {
        return distance_of(params.metric, &signs(a), &signs(b));
    }
    distance_of(params.metric, a, b)
}

fn distance_of(metric: Metric, a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    let norms = (dot(a, a) * dot(b, b)).sqrt();
    match metric {
        Metric::Cosine if norms == 0.0 => 1.0,
        Metric::Cosine => 1.0 - dot(a, b) / norms,
        Metric::InnerProduct => 1.0 - dot(a, b),
        Metric::L2 => a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum(),
    }
}

/// What half a step of a code can do to a distance between vectors of this test.
fn tolerance(params: &Params) -> f32 {
    match (params.storage, params.metric) {
        (Storage::F32 | Storage::F16 | Storage::Binary, _) => 1e-3,
        (Storage::Bf16, _) => 0.02,
        (Storage::I8, Metric::Cosine) => 0.02,
        (Storage::I8, _) => 1.2,
    }
}

/// Applies one operation to both; slots must be the smallest vacant ones.
fn apply(index: &mut Hnsw, model: &mut BTreeMap<Slot, Vec<f32>>, op: Op) {
    match op {
        Op::Insert(vector, key) => {
            let vacant = (0..).find(|slot| !model.contains_key(slot)).unwrap();
            assert_eq!(index.insert(&vector, key, 0), Ok(vacant));
            model.insert(vacant, vector);
        }
        Op::Update(at, vector) if !model.is_empty() => {
            let slot = *at.get(&model.keys().copied().collect::<Vec<_>>());
            let level = index.level(slot);
            index.update(slot, &vector, 0).unwrap();
            assert_eq!(index.level(slot), level);
            model.insert(slot, vector);
        }
        Op::Remove(at) if !model.is_empty() => {
            let slot = *at.get(&model.keys().copied().collect::<Vec<_>>());
            index.remove(slot).unwrap();
            model.remove(&slot);
            assert!(index.vector(slot).is_none() && index.remove(slot).is_err());
        }
        Op::Update(..) | Op::Remove(_) => {}
    }
}

fn assert_results(index: &Hnsw, model: &BTreeMap<Slot, Vec<f32>>, query: &[f32], k: usize, found: &[Neighbor]) {
    assert_eq!(found.len(), k.min(model.len()));
    assert!(found.windows(2).all(|pair| (pair[0].distance, pair[0].slot) < (pair[1].distance, pair[1].slot)));
    let mut truth: Vec<f32> = model.values().map(|vector| distance(index.params(), query, vector)).collect();
    truth.sort_by(f32::total_cmp);
    for (neighbor, truth) in found.iter().zip(truth) {
        let own = distance(index.params(), query, &model[&neighbor.slot]);
        assert!((neighbor.distance - own).abs() <= tolerance(index.params()), "{neighbor:?}, expected {own}");
        assert!((neighbor.distance - truth).abs() <= 2.0 * tolerance(index.params()), "{neighbor:?}, nearest {truth}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(384))]

    #[test]
    fn every_operation_leaves_a_sound_index_that_finds_what_the_model_holds(
        params in params(), ops in ops(120), query in vector(), k in 0..12_usize,
    ) {
        let mut index = Hnsw::new(params).unwrap();
        let mut model = BTreeMap::new();
        let (mut scratch, mut found) = (Scratch::new(), Vec::new());
        for op in ops {
            apply(&mut index, &mut model, op);
            prop_assert_eq!(index.check(), Ok(()));
            prop_assert_eq!(index.len(), model.len());
            prop_assert!(index.live_slots().eq(model.keys().copied()));
            index.exact(&query, k, &mut scratch, &mut found).unwrap();
            assert_results(&index, &model, &query, k, &found);
        }
        // Effort of everything: a walk must reach all there is, a scan find the same.
        index.search_graph(&query, k, usize::MAX, &mut scratch, &mut found).unwrap();
        assert_results(&index, &model, &query, k, &found);
        index.search(&query, k, 1, &mut scratch, &mut found).unwrap();
        prop_assert_eq!(found.len(), k.min(model.len()));
    }

    #[test]
    fn stored_vectors_come_back_as_exactly_as_they_are_kept(params in params(), vectors in vec(vector(), 1..40)) {
        let mut index = Hnsw::new(params).unwrap();
        for (key, vector) in vectors.iter().enumerate() {
            let slot = index.insert(vector, key as u64, 0).unwrap();
            let step = vector.iter().fold(0.0_f32, |max, x| max.max(x.abs())) / 127.0;
            let close = match params.storage {
                Storage::F32 => 1e-5,
                Storage::F16 => 0.003,
                Storage::Bf16 => 0.02,
                _ => step * 0.51,
            };
            let kept = index.vector(slot).unwrap();
            if params.storage == Storage::Binary {
                prop_assert!(kept.iter().zip(vector).all(|(a, b)| (*a > 0.0) == (*b > 0.0) || *a == 0.0));
                continue;
            }
            prop_assert!(kept.iter().zip(vector).all(|(a, b)| (a - b).abs() <= close), "{kept:?} for {vector:?}");
        }
    }

    #[test]
    fn the_same_operations_give_the_same_graph_on_every_instruction_set(params in params(), ops in ops(100)) {
        let mut graphs = quiver_kernels::available().into_iter().map(|kernels| {
            let mut index = Hnsw::with_kernels(params, kernels).unwrap();
            let mut model = BTreeMap::new();
            ops.iter().cloned().for_each(|op| apply(&mut index, &mut model, op));
            index.live_slots().map(|slot| index.node(slot).unwrap().links.concat()).collect::<Vec<_>>()
        });
        let first = graphs.next().unwrap();
        prop_assert!(graphs.all(|graph| graph == first));
    }

    #[test]
    fn an_index_rebuilt_from_its_nodes_is_the_same_and_grows_the_same(
        params in params(), before in ops(80), after in ops(40),
    ) {
        let mut index = Hnsw::new(params).unwrap();
        let mut model = BTreeMap::new();
        before.into_iter().for_each(|op| apply(&mut index, &mut model, op));
        let nodes = index.live_slots().filter_map(|slot| index.node(slot));
        let mut copy = Hnsw::from_nodes(params, nodes).unwrap();
        prop_assert_eq!(copy.check(), Ok(()));
        let mut copy_model = model.clone();
        for op in after {
            apply(&mut index, &mut model, op.clone());
            apply(&mut copy, &mut copy_model, op);
        }
        prop_assert!(index.live_slots().eq(copy.live_slots()));
        for slot in index.live_slots() {
            prop_assert_eq!(index.node(slot), copy.node(slot));
        }
        prop_assert_eq!(index.entry_point(), copy.entry_point());
    }

    #[test]
    fn rows_inserted_by_any_number_of_threads_give_one_sound_graph(
        params in params(), before in vec(vector(), 0..20), rows in vec(vector(), 1..120), vacant in any::<bool>(),
    ) {
        let rows = ndarray::Array2::from_shape_vec((rows.len(), DIM), rows.concat()).unwrap();
        let keys: Vec<u64> = (0..rows.nrows() as u64).collect();
        let build = |threads| {
            let mut index = Hnsw::new(params).unwrap();
            for (key, vector) in before.iter().enumerate() {
                index.insert(vector, key as u64 + 1000, 0).unwrap();
            }
            if vacant && before.len() > 1 {
                index.remove(0).unwrap();
            }
            let slots = index.insert_batch(rows.view(), &keys, 0, threads).unwrap();
            assert_eq!(index.check(), Ok(()));
            (index, slots)
        };
        let graph = |index: &Hnsw| index.live_slots().map(|slot| index.node(slot).unwrap().links.concat()).collect();
        let (alone, slots) = build(1);
        let (first, _) = build(2);
        let links: Vec<Vec<Slot>> = graph(&first);
        for threads in [2, 3, 7] {
            let (index, same) = build(threads);
            prop_assert_eq!(&same, &slots);
            prop_assert!(index.live_slots().all(|slot| index.vector(slot) == alone.vector(slot)));
            prop_assert_eq!(&graph(&index), &links);
        }
    }

    #[test]
    fn what_was_prepared_before_other_changes_is_committed_soundly(
        params in params(), before in ops(40), vectors in vec((vector(), any::<u64>(), any::<bool>()), 1..12),
        between in ops(30),
    ) {
        let mut index = Hnsw::new(params).unwrap();
        let mut model = BTreeMap::new();
        before.into_iter().for_each(|op| apply(&mut index, &mut model, op));
        let mut scratch = Scratch::new();
        let mut waiting = Vec::new();
        for (i, (vector, key, update)) in vectors.iter().enumerate() {
            let mut prepared = Prepared::new();
            let place = model.keys().nth(i).copied().filter(|_| *update);
            match place {
                Some(slot) => index.prepare_update(slot, vector, 0, &mut scratch, &mut prepared).unwrap(),
                None => index.prepare(vector, *key, 0, &mut scratch, &mut prepared).unwrap(),
            }
            waiting.push((prepared, vector, place));
        }
        between.into_iter().for_each(|op| apply(&mut index, &mut model, op));
        for (mut prepared, vector, place) in waiting {
            let gone = place.is_some_and(|slot| !model.contains_key(&slot));
            match index.commit(&mut prepared) {
                Ok(slot) => {
                    prop_assert!(!gone && place.is_none_or(|place| place == slot));
                    model.insert(slot, vector.clone());
                }
                Err(error) => prop_assert!(gone, "{error}"),
            }
            prop_assert_eq!(index.check(), Ok(()));
            prop_assert!(index.live_slots().eq(model.keys().copied()));
        }
    }

    #[test]
    fn a_search_in_pieces_between_changes_answers_with_live_elements_at_their_true_distance(
        params in params(), before in ops(80), between in vec(ops(10), 0..8), query in vector(), k in 1..8_usize,
    ) {
        let mut index = Hnsw::new(params).unwrap();
        let mut model = BTreeMap::new();
        before.into_iter().for_each(|op| apply(&mut index, &mut model, op));
        let (mut scratch, mut found) = (Scratch::new(), Vec::new());
        index.search_begin(&query, k, 4, &mut scratch).unwrap();
        for ops in between {
            if index.search_advance(&mut scratch, 1) {
                break;
            }
            ops.into_iter().for_each(|op| apply(&mut index, &mut model, op));
        }
        while !index.search_advance(&mut scratch, 2) {}
        index.search_finish(k, &mut scratch, &mut found);
        prop_assert!(found.len() <= k && found.is_empty() == model.is_empty());
        for neighbor in found {
            let own = distance(&params, &query, &model[&neighbor.slot]);
            prop_assert!((neighbor.distance - own).abs() <= tolerance(&params), "{neighbor:?}, expected {own}");
        }
    }

    #[test]
    fn a_reordered_index_is_the_same_under_other_slots(
        params in params(), ops in ops(100), query in vector(), k in 1..8_usize,
    ) {
        let mut index = Hnsw::new(params).unwrap();
        let mut model = BTreeMap::new();
        ops.into_iter().for_each(|op| apply(&mut index, &mut model, op));
        let (copy, order) = index.reordered().unwrap();
        prop_assert_eq!(copy.check(), Ok(()));
        prop_assert_eq!((copy.len(), copy.slots()), (index.len(), index.len()));
        for (slot, &old) in order.iter().enumerate() {
            let slot = slot as Slot;
            prop_assert_eq!(copy.vector(slot), index.vector(old));
            for level in 0..=index.level(old).unwrap() {
                let links: Vec<Slot> = copy.links(slot, level).iter().map(|link| order[*link as usize]).collect();
                prop_assert_eq!(&links, index.links(old, level));
            }
        }
        let (mut scratch, mut found, mut renamed) = (Scratch::new(), Vec::new(), Vec::new());
        index.exact(&query, k, &mut scratch, &mut found).unwrap();
        copy.exact(&query, k, &mut scratch, &mut renamed).unwrap();
        let distances = |found: &[Neighbor]| found.iter().map(|near| near.distance).collect::<Vec<_>>();
        prop_assert_eq!(distances(&found), distances(&renamed));
    }

    #[test]
    fn a_filtered_search_finds_the_nearest_accepted_and_asks_about_each_once(
        params in params(), ops in ops(150), query in vector(), k in 0..8_usize, part in 1..5_u32,
    ) {
        let mut index = Hnsw::new(params).unwrap();
        let mut model = BTreeMap::new();
        ops.into_iter().for_each(|op| apply(&mut index, &mut model, op));
        let (mut scratch, mut found, mut asked) = (Scratch::new(), Vec::new(), Vec::new());
        let accept = |slot| { asked.push(slot); slot % part == 0 };
        index.search_filtered(&query, k, 1, usize::MAX, accept, &mut scratch, &mut found).unwrap();
        model.retain(|slot, _| slot % part == 0);
        assert_results(&index, &model, &query, k, &found);
        let questions = asked.len();
        asked.sort_unstable();
        asked.dedup();
        prop_assert_eq!(asked.len(), questions);
        let mut count = 0;
        let accept = |slot| { count += 1; slot % part == 0 };
        index.search_filtered(&query, k, 1, 3, accept, &mut scratch, &mut found).unwrap();
        prop_assert!(count <= 3 && found.len() <= 3);
    }
}
