//! The flat index against a map, through random operations.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use quiver_vector::{Error, Flat, Metric, Params, Scratch, Slot, Storage};

const DIM: usize = 4;

fn vector() -> impl Strategy<Value = Vec<f32>> {
    vec((-3..=3_i8).prop_map(f32::from), DIM)
}

proptest! {
    #[test]
    fn a_flat_index_answers_what_the_model_does(
        ops in vec((0..4_u8, any::<prop::sample::Index>(), vector()), 1..80), query in vector(), k in 0..9_usize,
        storage in prop_oneof![Just(Storage::F32), Just(Storage::F16), Just(Storage::Bf16)],
    ) {
        let mut flat = Flat::new(Params { dim: DIM, metric: Metric::L2, storage, m: 2, ef_construction: 1 }).unwrap();
        let mut model = BTreeMap::<Slot, Vec<f32>>::new();
        for (op, at, vector) in ops {
            let some = model.keys().nth(at.index(model.len().max(1))).copied();
            match (op, some) {
                (0, Some(slot)) => {
                    flat.remove(slot).unwrap();
                    model.remove(&slot);
                    prop_assert_eq!(flat.update(slot, &vector), Err(Error::NoSuchSlot(slot)));
                }
                (1, Some(slot)) => {
                    flat.update(slot, &vector).unwrap();
                    model.insert(slot, vector);
                }
                _ => {
                    let slot = flat.insert(&vector).unwrap();
                    prop_assert_eq!(Some(slot), (0..).find(|slot| !model.contains_key(slot)));
                    model.insert(slot, vector);
                }
            }
            prop_assert!(flat.live_slots().eq(model.keys().copied()));
            prop_assert_eq!(flat.len(), model.len());
        }
        let distance = |a: &[f32]| a.iter().zip(&query).map(|(x, y)| (x - y) * (x - y)).sum::<f32>();
        let mut truth: Vec<(f32, Slot)> = model.iter().map(|(slot, vector)| (distance(vector), *slot)).collect();
        truth.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        truth.truncate(k);
        let (mut scratch, mut found) = (Scratch::new(), Vec::new());
        flat.search(&query, k, &mut scratch, &mut found).unwrap();
        prop_assert_eq!(found.iter().map(|near| (near.distance, near.slot)).collect::<Vec<_>>(), truth.clone());
        flat.exact(&query, k, &mut scratch, &mut found).unwrap();
        prop_assert_eq!(found.iter().map(|near| (near.distance, near.slot)).collect::<Vec<_>>(), truth);
        for (slot, vector) in &model {
            prop_assert_eq!(flat.vector(*slot).unwrap(), vector.clone());
        }
    }
}

#[test]
fn vectors_that_do_not_fit_are_refused_and_half_precision_has_an_end() {
    let params = Params { dim: 2, metric: Metric::L2, storage: Storage::F16, m: 2, ef_construction: 1 };
    let mut flat = Flat::new(params).unwrap();
    assert_eq!(flat.insert(&[1.0]), Err(Error::VectorDim { got: 1, want: 2 }));
    assert_eq!(flat.insert(&[70_000.0, 0.0]), Err(Error::NotFinite));
    assert_eq!(flat.insert(&[60_000.0, 0.0]), Ok(0));
    assert!(flat.is_live(0) && flat.memory_bytes() > 0 && !flat.is_empty());
    flat.remove(0).unwrap();
    assert!(flat.is_empty() && !flat.is_live(0) && flat.vector(0).is_none());
}
