//! Tests of the list type.

use std::collections::VecDeque;

use proptest::prelude::*;
use quiver_rdb::{Reader, Writer, code};

use super::*;

/// Small, so that lists have many nodes, some of them one large element.
const SMALL: Limits = Limits { fill: 4, plain_bytes: 30 };

impl List {
    /// Panics if an invariant is broken.
    fn check(&self) {
        if let Content::Large(list) = &self.0 {
            list.check();
        }
        assert_eq!(self.iter().count(), self.len());
    }

    fn to_vec(&self) -> Vec<Vec<u8>> {
        self.iter().map(|item| item.to_vec()).collect()
    }
}

fn push(list: &mut List, end: End, element: &[u8], limits: Limits) {
    list.grow_for(std::iter::once(element), limits);
    list.push(end, element, limits);
}

fn filled(count: usize, limits: Limits) -> List {
    let mut list = List::default();
    (0..count).for_each(|i| push(&mut list, End::Right, format!("element:{i}").as_bytes(), limits));
    list
}

fn written(list: &List) -> Vec<u8> {
    let mut bytes = Vec::new();
    list.write(&mut Writer::new(&mut bytes));
    bytes
}

fn read_whole(bytes: &[u8], kind: u8) -> List {
    let mut reader = Reader::from_slice(bytes);
    let list = List::read(&mut reader, kind).unwrap();
    assert!(reader.is_at_end().unwrap(), "all bytes are read");
    list.check();
    list
}

#[derive(Clone, Debug)]
enum Step {
    Push(bool, Vec<u8>),
    Drop(bool, usize),
    Range(usize, usize),
    Set(usize, Vec<u8>),
    Insert(usize, bool, Vec<u8>),
    Remove(Vec<u8>, usize, bool),
    Shrink,
    Reload,
    Copy,
}

fn end(left: bool) -> End {
    if left { End::Left } else { End::Right }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let word = || {
        prop_oneof![
            6 => (0..6u8).prop_map(|n| n.to_string().into_bytes()),
            3 => (0..4u8).prop_map(|n| format!("word {n}").into_bytes()),
            1 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
            1 => prop::collection::vec(any::<u8>(), 0..40),
        ]
    };
    let step = prop_oneof![
        14 => (any::<bool>(), word()).prop_map(|(left, word)| Step::Push(left, word)),
        2 => (any::<bool>(), 0..4usize).prop_map(|(left, count)| Step::Drop(left, count)),
        1 => (0..20usize, 0..12usize).prop_map(|(start, count)| Step::Range(start, count)),
        3 => (any::<usize>(), word()).prop_map(|(index, word)| Step::Set(index, word)),
        6 => (any::<usize>(), any::<bool>(), word()).prop_map(|(index, behind, word)| Step::Insert(index, behind, word)),
        2 => (word(), 1..4usize, any::<bool>()).prop_map(|(word, count, left)| Step::Remove(word, count, left)),
        2 => Just(Step::Shrink),
        1 => Just(Step::Reload),
        1 => Just(Step::Copy),
    ];
    prop::collection::vec(step, 0..100)
}

/// Does a step on the list and on its model.
fn apply(list: &mut List, model: &mut VecDeque<Vec<u8>>, step: Step) {
    match step {
        Step::Push(left, word) => {
            push(list, end(left), &word, SMALL);
            if left { model.push_front(word) } else { model.push_back(word) }
        }
        Step::Drop(left, count) => {
            list.drop_end(end(left), count);
            let count = count.min(model.len());
            let from = if left { 0 } else { model.len() - count };
            model.drain(from..from + count);
        }
        Step::Range(start, count) => {
            let (start, count) = (start.min(model.len()), count.min(model.len() - start.min(model.len())));
            list.remove_range(start, count);
            model.drain(start..start + count);
        }
        Step::Set(index, word) if !model.is_empty() => {
            let index = index % model.len();
            list.grow_for(std::iter::once(word.as_slice()), SMALL);
            assert!(list.set(index, &word, SMALL));
            model[index] = word;
        }
        Step::Insert(index, behind, word) if !model.is_empty() => {
            let index = index % model.len();
            list.grow_for(std::iter::once(word.as_slice()), SMALL);
            list.insert(index, behind, &word, SMALL);
            model.insert(index + usize::from(behind), word);
        }
        Step::Remove(word, count, left) => {
            let matching = model.iter().enumerate().filter(|(_, known)| **known == word).map(|(at, _)| at);
            let mut matching: Vec<usize> = matching.collect();
            if !left {
                matching.reverse();
            }
            matching.truncate(count);
            assert_eq!(list.remove(&word, count, end(left)), matching.len());
            matching.sort_unstable();
            matching.iter().rev().for_each(|at| drop(model.remove(*at)));
        }
        Step::Shrink => list.shrink(SMALL, true),
        Step::Reload if !model.is_empty() => *list = read_whole(&written(list), list.rdb_kind()),
        Step::Copy => *list = list.clone(),
        Step::Set(..) | Step::Insert(..) | Step::Reload => {}
    }
}

proptest! {
    #[test]
    fn a_list_equals_its_model_after_every_step(steps in steps()) {
        let (mut list, mut model) = (List::default(), VecDeque::new());
        for step in steps {
            apply(&mut list, &mut model, step);
            list.check();
            prop_assert_eq!(list.to_vec(), Vec::from(model.clone()));
            let ends = [list.peek(End::Left), list.peek(End::Right)].map(|item| item.map(|item| item.to_vec()));
            prop_assert_eq!(ends, [model.front().cloned(), model.back().cloned()]);
            for start in 0..model.len() {
                let back: Vec<_> = list.iter_back_from(start).map(|item| item.to_vec()).collect();
                prop_assert_eq!(back, model.iter().take(start + 1).rev().cloned().collect::<Vec<_>>());
                prop_assert_eq!(list.get(start).map(|item| item.to_vec()), Some(model[start].clone()));
            }
        }
    }

    #[test]
    fn no_bytes_make_reading_a_list_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), kind in 0..4usize) {
        let kind = [code::LIST, code::LIST_ZIPLIST, code::LIST_QUICKLIST, code::LIST_QUICKLIST_2][kind];
        let _ = List::read(&mut Reader::from_slice(&bytes), kind);
    }
}

#[test]
fn a_list_outgrows_its_listpack_and_returns_at_half_the_size() {
    let limits = Limits { fill: 8, ..Limits::default() };
    let mut list = filled(8, limits);
    assert_eq!(list.encoding(), "listpack");
    push(&mut list, End::Right, b"ninth", limits);
    assert_eq!((list.encoding(), list.node_lens()), ("quicklist", vec![8, 1]));
    list.drop_end(End::Right, 4);
    list.shrink(limits, true);
    assert_eq!((list.encoding(), list.len()), ("quicklist", 5));
    list.drop_end(End::Right, 1);
    list.shrink(limits, true);
    assert_eq!((list.encoding(), list.len()), ("listpack", 4));
}

#[test]
fn inserting_into_a_full_node_splits_it_and_joins_what_fits() {
    let limits = Limits { fill: 4, ..Limits::default() };
    let mut list = filled(12, limits);
    assert_eq!(list.node_lens(), [4, 4, 4]);
    list.insert(5, true, b"new", limits);
    assert_eq!(list.node_lens(), [4, 2, 3, 4]);
    list.insert(7, true, b"next", limits);
    assert_eq!(list.node_lens(), [4, 2, 4, 4]);
    assert_eq!(list.position(b"next"), Some(8));
}

#[test]
fn an_element_too_large_for_a_listpack_stands_alone() {
    let mut list = filled(3, Limits::default());
    push(&mut list, End::Right, &[b'x'; 8193], Limits::default());
    push(&mut list, End::Right, b"small", Limits::default());
    assert_eq!((list.encoding(), list.node_lens()), ("quicklist", vec![3, 1, 1]));
    assert_eq!(read_whole(&written(&list), list.rdb_kind()).to_vec(), list.to_vec());
    list.drop_end(End::Right, 2);
    list.shrink(Limits::default(), true);
    assert_eq!(list.encoding(), "listpack");
}

#[test]
fn lists_of_old_files_are_read() {
    let elements: [&[u8]; 3] = [b"one", b"2", b"three"];
    let mut plain = Vec::new();
    let mut writer = Writer::new(&mut plain);
    writer.length(3);
    elements.iter().for_each(|element| writer.string(element));
    let ziplist = ziplist_of(&elements);
    let mut single = Vec::new();
    Writer::new(&mut single).string(&ziplist);
    let mut several = Vec::new();
    let mut writer = Writer::new(&mut several);
    writer.length(2);
    (0..2).for_each(|_| writer.string(&ziplist));
    assert_eq!(read_whole(&plain, code::LIST).to_vec(), elements);
    assert_eq!(read_whole(&single, code::LIST_ZIPLIST).to_vec(), elements);
    assert_eq!(read_whole(&several, code::LIST_QUICKLIST).to_vec(), [elements, elements].concat());
}

#[test]
fn a_list_without_elements_is_no_value() {
    for bytes in [&[0][..], &[1, 2, 7, 7, 0, 0, 0, 0, 0, 0xff]] {
        assert!(List::read(&mut Reader::from_slice(bytes), code::LIST_QUICKLIST_2).is_err());
    }
}

#[test]
fn taking_elements_out_gives_memory_back() {
    let mut list = filled(100_000, Limits::default());
    let full = list.memory_bytes();
    list.drop_end(End::Left, 99_990);
    assert!(list.memory_bytes() * 50 < full, "{} bytes of {full}", list.memory_bytes());
}

/// A ziplist of short strings, as servers before 7.0 wrote it.
fn ziplist_of(items: &[&[u8]]) -> Vec<u8> {
    let mut entries = Vec::new();
    let mut before = 0;
    for item in items {
        assert!(item.len() < 64, "short elements are enough for a test");
        entries.push(before);
        entries.push(item.len() as u8);
        entries.extend_from_slice(item);
        before = item.len() as u8 + 2;
    }
    let total = 10 + entries.len() as u32 + 1;
    let mut bytes = total.to_le_bytes().to_vec();
    bytes.extend_from_slice(&(total - 1 - u32::from(before)).to_le_bytes());
    bytes.extend_from_slice(&(items.len() as u16).to_le_bytes());
    bytes.extend_from_slice(&entries);
    bytes.push(0xff);
    bytes
}
