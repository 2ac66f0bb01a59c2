//! The edges of the interface: what is refused, what zero means, batches, reuse of working memory.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use ndarray::{Array2, array};
use quiver_vector::{DIM_MAX, Error, Hnsw, M_MAX, Metric, Params, Scratch, Slot, Storage};

const PARAMS: Params = Params { dim: 3, metric: Metric::Cosine, storage: Storage::F32, m: 8, ef_construction: 100 };

fn search(index: &Hnsw, query: &[f32], k: usize) -> Vec<(Slot, f32)> {
    let mut found = Vec::new();
    index.search(query, k, 50, &mut Scratch::new(), &mut found).unwrap();
    found.into_iter().map(|neighbor| (neighbor.slot, neighbor.distance)).collect()
}

#[test]
fn parameters_out_of_range_are_refused() {
    let refused = |params: Params| Hnsw::new(params).err();
    assert_eq!(refused(Params { dim: 0, ..PARAMS }), Some(Error::Dim(0)));
    assert_eq!(refused(Params { dim: DIM_MAX + 1, ..PARAMS }), Some(Error::Dim(DIM_MAX + 1)));
    assert_eq!(refused(Params { m: 1, ..PARAMS }), Some(Error::M(1)));
    assert_eq!(refused(Params { m: M_MAX + 1, ..PARAMS }), Some(Error::M(M_MAX + 1)));
    assert_eq!(refused(Params { ef_construction: 0, ..PARAMS }), Some(Error::EfConstruction));
}

#[test]
fn vectors_that_are_not_finite_or_of_the_wrong_length_change_nothing() {
    for metric in [Metric::Cosine, Metric::InnerProduct, Metric::L2] {
        let mut index = Hnsw::new(Params { metric, ..PARAMS }).unwrap();
        let slot = index.insert(&[1.0, 2.0, 3.0], 1, 0).unwrap();
        for bad in [[f32::NAN, 0.0, 0.0], [0.0, f32::INFINITY, 0.0], [0.0, 0.0, f32::NEG_INFINITY]] {
            assert_eq!(index.insert(&bad, 2, 0), Err(Error::NotFinite));
            assert_eq!(index.update(slot, &bad, 0), Err(Error::NotFinite));
            assert_eq!(index.search(&bad, 1, 10, &mut Scratch::new(), &mut Vec::new()), Err(Error::NotFinite));
        }
        assert_eq!(index.insert(&[1.0; 4], 2, 0), Err(Error::VectorDim { got: 4, want: 3 }));
        assert_eq!(index.update(9, &[1.0; 3], 0), Err(Error::NoSuchSlot(9)));
        assert_eq!(index.remove(9), Err(Error::NoSuchSlot(9)));
        assert_eq!(index.len(), 1);
        assert_eq!(index.check(), Ok(()));
    }
}

#[test]
fn huge_vectors_are_found_exactly_as_long_as_their_norm_is_finite() {
    let huge = [f32::MAX / 2.0, 1.0, 0.0];
    let mut index = Hnsw::new(PARAMS).unwrap();
    index.insert(&huge, 1, 0).unwrap();
    assert!(search(&index, &huge, 1)[0].1 < 1e-6);
    let mut index = Hnsw::new(Params { metric: Metric::L2, ..PARAMS }).unwrap();
    // Neighbours in single precision, far beyond where squares of norms overflow.
    let near = f32::from_bits(2.6e20_f32.to_bits() + 1);
    let slots = [[2.6e20, 1.0, 0.0], [near, 1.0, 0.0], [-2.6e20, 0.0, 0.0], [1.0, 2.0, 3.0]]
        .map(|vector| index.insert(&vector, 1, 0).unwrap());
    let found = search(&index, &[2.6e20, 1.0, 0.0], 4);
    assert_eq!((found[0], found[1]), ((slots[0], 0.0), (slots[1], (near - 2.6e20_f32).powi(2))));
    assert!(found.iter().all(|(_, distance)| distance.is_finite()));
    assert_eq!(search(&index, &[1.0, 2.0, 3.0], 1), [(slots[3], 0.0)]);
    assert_eq!(index.check(), Ok(()));
    assert_eq!(index.insert(&[f32::MAX, f32::MAX, 0.0], 1, 0), Err(Error::NotFinite));
}

#[test]
fn products_of_huge_vectors_are_finite_and_in_order() {
    let mut index = Hnsw::new(Params { metric: Metric::InnerProduct, ..PARAMS }).unwrap();
    let slots =
        [[1e30, 1e30, 0.0], [-1e30, 1e30, 0.0], [-1e30, -1e30, 0.0]].map(|vector| index.insert(&vector, 1, 0).unwrap());
    let found = search(&index, &[1e30, 0.0, 0.0], 3);
    assert!(found.iter().all(|(_, distance)| distance.is_finite()));
    assert_eq!(found[0].0, slots[0]);
}

#[test]
fn codes_alone_hold_vectors_up_to_where_their_distances_stay_finite() {
    let mut index = Hnsw::new(Params { metric: Metric::L2, storage: Storage::I8, ..PARAMS }).unwrap();
    assert_eq!(index.insert(&[1e20, 0.0, 0.0], 1, 0), Err(Error::NotFinite));
    index.insert(&[2e18, 0.0, 0.0], 1, 0).unwrap();
    assert!(search(&index, &[-2e18, 0.0, 0.0], 1)[0].1.is_finite());
}

#[test]
fn the_zero_vector_is_at_one_from_everything_under_cosine() {
    for storage in [Storage::F32, Storage::I8] {
        let mut index = Hnsw::new(Params { storage, ..PARAMS }).unwrap();
        let zero = index.insert(&[0.0; 3], 1, 0).unwrap();
        let other = index.insert(&[0.0, 4.0, 0.0], 2, 0).unwrap();
        assert_eq!(search(&index, &[0.0, 2.0, 0.0], 2)[1], (zero, 1.0));
        assert_eq!(search(&index, &[0.0; 3], 2), [(zero, 1.0), (other, 1.0)]);
        assert_eq!(index.vector(zero), Some(vec![0.0; 3]));
    }
}

#[test]
fn an_empty_index_finds_nothing_and_an_emptied_one_keeps_no_memory() {
    let mut index = Hnsw::new(PARAMS).unwrap();
    assert!(search(&index, &[1.0, 0.0, 0.0], 5).is_empty());
    let before = index.memory_bytes();
    let slots: Vec<Slot> = (0..100_u8).map(|i| index.insert(&[f32::from(i), 1.0, 2.0], i.into(), 0).unwrap()).collect();
    assert!(index.memory_bytes() > before);
    slots.into_iter().for_each(|slot| index.remove(slot).unwrap());
    assert!(index.is_empty() && search(&index, &[1.0, 0.0, 0.0], 5).is_empty());
    assert!(index.memory_bytes() <= before + 1024);
    assert_eq!((index.slots(), index.entry_point(), index.max_level()), (0, None, 0));
    assert_eq!(index.insert(&[1.0, 0.0, 0.0], 1, 0), Ok(0));
}

#[test]
fn a_thousand_equal_vectors_stay_reachable() {
    let mut index = Hnsw::new(PARAMS).unwrap();
    for key in 0..1000 {
        index.insert(&[1.0, 2.0, 3.0], key, 0).unwrap();
    }
    assert_eq!(index.check(), Ok(()));
    let mut found = Vec::new();
    index.search_graph(&[1.0, 2.0, 3.0], 1000, 1000, &mut Scratch::new(), &mut found).unwrap();
    assert_eq!(found.len(), 1000);
}

#[test]
fn batches_insert_all_or_nothing_and_answer_row_by_row() {
    let mut index = Hnsw::new(PARAMS).unwrap();
    let bad = array![[1.0, 0.0, 0.0], [f32::NAN, 0.0, 0.0]];
    assert_eq!(index.insert_batch(bad.view(), &[1, 2], 0, 1), Err(Error::NotFinite));
    assert_eq!(index.insert_batch(bad.view(), &[1], 0, 1), Err(Error::Keys { vectors: 2, keys: 1 }));
    assert_eq!(index.insert_batch(Array2::zeros((1, 2)).view(), &[1], 0, 1), Err(Error::VectorDim { got: 2, want: 3 }));
    assert!(index.is_empty());
    // A transposed view: its rows are not contiguous.
    let vectors = array![[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]];
    assert_eq!(index.insert_batch(vectors.t(), &[1, 2], 0, 1), Ok(vec![0, 1]));
    let (slots, distances) = index.search_batch(vectors.t(), 5, 10).unwrap();
    assert_eq!(slots, array![[0, 1], [1, 0]]);
    assert_eq!(distances, array![[0.0, 1.0], [0.0, 1.0]]);
}

#[test]
fn one_scratch_serves_indexes_of_any_shape() {
    let mut scratch = Scratch::new();
    let mut found = Vec::new();
    for dim in [700, 3, 64, 1, 65] {
        let mut index = Hnsw::new(Params { dim, ..PARAMS }).unwrap();
        for key in 0..200_u16 {
            let vector: Vec<f32> = (0..dim).map(|i| ((i + 1) as f32 * f32::from(key)).sin()).collect();
            index.insert(&vector, u64::from(key), 0).unwrap();
        }
        index.search_slot(77, 1, 50, &mut scratch, &mut found).unwrap();
        assert!(found[0].distance < 1e-5, "{found:?}");
        index.search_graph(&index.vector(77).unwrap(), 1, 50, &mut scratch, &mut found).unwrap();
        assert!(found[0].distance < 1e-5, "{found:?}");
    }
}
