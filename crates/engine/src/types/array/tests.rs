//! Tests of the array type.

use std::collections::BTreeMap;

use proptest::prelude::*;
use quiver_rdb::{Reader, Writer};

use super::*;

impl Array {
    /// Panics if an invariant is broken.
    fn check(&self) {
        self.0.slices.values().for_each(Slice::check);
        assert_eq!(self.0.slices.values().map(Slice::len).sum::<usize>(), self.count());
        let bytes: usize = self.iter().map(|(_, element)| element.heap_bytes()).sum();
        assert_eq!(bytes, self.0.element_bytes, "heap bytes of elements");
        assert!(self.iter().is_sorted_by(|(a, _), (b, _)| a < b), "indexes ascend");
    }

    fn to_map(&self) -> BTreeMap<u64, Vec<u8>> {
        self.iter().map(|(index, element)| (index, element.with_bytes(<[u8]>::to_vec))).collect()
    }
}

fn written(array: &Array) -> Vec<u8> {
    let mut bytes = Vec::new();
    array.write(&mut Writer::new(&mut bytes));
    bytes
}

fn read(bytes: &[u8]) -> crate::codec::Result<Array> {
    Array::read(&mut Reader::from_slice(bytes), code::QUIVER_ARRAY)
}

#[derive(Clone, Debug)]
enum Step {
    Set(u64, Vec<u8>),
    Remove(u64),
    RemoveRange(u64, u64),
    Append(Vec<u8>),
    Seek(u64),
    Reload,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let index = || {
        prop_oneof![
            4 => 0..40u64,
            2 => 4090..4100u64,
            1 => INDEX_MAX - 5..=INDEX_MAX,
            1 => any::<u64>().prop_map(|index| index.min(INDEX_MAX)),
        ]
    };
    let value =
        || prop_oneof![(0..99i64).prop_map(|n| n.to_string().into_bytes()), prop::collection::vec(any::<u8>(), 0..9)];
    let step = prop_oneof![
        10 => (index(), value()).prop_map(|(index, value)| Step::Set(index, value)),
        4 => index().prop_map(Step::Remove),
        2 => (index(), index()).prop_map(|(a, b)| Step::RemoveRange(a.min(b), a.max(b))),
        6 => value().prop_map(Step::Append),
        2 => index().prop_map(Step::Seek),
        1 => Just(Step::Reload),
    ];
    prop::collection::vec(step, 0..120)
}

proptest! {
    #[test]
    fn an_array_equals_a_map_after_every_step(steps in steps()) {
        let (mut array, mut map, mut next) = (Array::default(), BTreeMap::new(), 0u64);
        for step in steps {
            match step {
                Step::Set(index, value) => {
                    prop_assert_eq!(array.set(index, &value), map.insert(index, value).is_none());
                }
                Step::Remove(index) => prop_assert_eq!(array.remove(index), map.remove(&index).is_some()),
                Step::RemoveRange(first, last) => {
                    let before = map.len();
                    map.retain(|index, _| !(first..=last).contains(index));
                    prop_assert_eq!(array.remove_range(first, last), before - map.len());
                }
                Step::Append(value) => {
                    prop_assert_eq!(array.next_append(), (next <= INDEX_MAX).then_some(next));
                    if next <= INDEX_MAX {
                        prop_assert_eq!(array.append(&value), next);
                        map.insert(next, value);
                        next += 1;
                    }
                }
                Step::Seek(index) => {
                    array.seek(index);
                    next = index;
                }
                Step::Reload if map.is_empty() => {}
                Step::Reload => {
                    let digest = array.digest();
                    array = read(&written(&array)).unwrap();
                    prop_assert_eq!(array.digest(), digest);
                }
            }
            array.check();
            prop_assert_eq!(&array.to_map(), &map);
            prop_assert_eq!(array.span(), map.last_key_value().map_or(0, |(index, _)| index + 1));
            for (first, last) in [(3, 17), (0, 5000), (4095, INDEX_MAX)] {
                let found: Vec<u64> = array.range(first, last).map(|(index, _)| index).collect();
                prop_assert_eq!(found, map.range(first..=last).map(|(index, _)| *index).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_ring_keeps_the_newest_elements_in_order(sizes in prop::collection::vec(1..9u64, 1..40)) {
        let (mut array, mut window): (Array, Vec<i64>) = (Array::default(), Vec::new());
        for (number, size) in (0..).zip(sizes) {
            array.fit_ring(size);
            array.append_to_ring(size, number.to_string().as_bytes());
            window.push(number);
            window.drain(..window.len().saturating_sub(size as usize));
            array.check();
            let mut recent: Vec<_> = array.recent(array.count()).map(|(_, element)| element.cloned()).collect();
            recent.reverse();
            let expected: Vec<_> = window.iter().map(|number| Some(Element::Int(*number))).collect();
            prop_assert_eq!(recent, expected);
        }
    }

    #[test]
    fn foreign_bytes_give_a_sound_array_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(array) = read(&bytes) {
            array.check();
            prop_assert!(!array.is_empty());
        }
    }
}

#[test]
fn memory_follows_the_elements_and_not_the_distance_between_them() {
    let mut array = Array::default();
    (0..1000).for_each(|i| assert!(array.set(i << 40, b"7")));
    assert!(array.memory_bytes() < 1000 * 128, "{} bytes", array.memory_bytes());
    let mut dense = Array::default();
    (0..100_000).for_each(|i: u64| assert!(dense.set(i, i.to_string().as_bytes())));
    assert!(dense.memory_bytes() < 100_000 * 24, "{} bytes", dense.memory_bytes());
}

#[test]
fn unsound_arrays_in_files_are_refused_with_the_reason() {
    for (bytes, reason) in [
        (b"\x01\x00".to_vec(), "without elements"),
        ([&b"\x01\x01\x81"[..], &[255; 8], b"\x01a"].concat(), "out of range"),
        ([&b"\x01\x02\x81"[..], &[255, 255, 255, 255, 255, 255, 255, 254], b"\x01a\x00\x01b"].concat(), "out of range"),
        (b"\x01\x02\x00\x01a".to_vec(), "ends in the middle"),
    ] {
        let error = read(&bytes).expect_err("unsound").to_string();
        assert!(error.contains(reason), "{error}");
    }
}
