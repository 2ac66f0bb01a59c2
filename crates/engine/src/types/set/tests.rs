//! Tests of the set type.

use std::collections::BTreeSet;

use proptest::prelude::*;
use quiver_rdb::{Reader, Writer, code};

use super::*;
use crate::rng::Rng;

const LIMITS: Limits = Limits { intset_entries: 12, listpack_entries: 8, listpack_value_bytes: 10 };

impl Set {
    /// Panics if an invariant is broken.
    fn check(&self) {
        match &self.0 {
            Content::Ints(ints) => {
                assert!(ints.iter().is_sorted_by(|a, b| a < b), "ascending");
                assert_eq!(IntSet::from_bytes(ints.as_bytes().to_vec()).as_ref().map(IntSet::len), Some(ints.len()));
            }
            Content::Small(list) => assert_eq!(self.to_set().len(), list.len(), "a member twice"),
            Content::Large(table) => table.check(),
        }
        assert_eq!(self.len(), self.iter().count());
    }

    fn to_set(&self) -> BTreeSet<Vec<u8>> {
        self.iter().map(|member| member.to_vec()).collect()
    }
}

fn filled(members: impl IntoIterator<Item = impl ToString>) -> Set {
    let mut set = Set::new();
    for member in members {
        assert!(set.add(member.to_string().as_bytes(), LIMITS));
    }
    set
}

fn written(set: &Set) -> Vec<u8> {
    let mut bytes = Vec::new();
    set.write(&mut Writer::new(&mut bytes));
    bytes
}

fn read(bytes: &[u8], kind: u8) -> crate::codec::Result<Set> {
    Set::read(&mut Reader::from_slice(bytes), kind)
}

/// Reads what must be a whole set and nothing else.
fn read_whole(bytes: &[u8], kind: u8) -> Set {
    let mut reader = Reader::from_slice(bytes);
    let set = Set::read(&mut reader, kind).unwrap();
    assert!(reader.is_at_end().unwrap(), "all bytes are read");
    set
}

#[derive(Clone, Debug)]
enum Step {
    Add(Vec<u8>),
    Expect(usize),
    Remove(Vec<u8>),
    MakeInts,
    Clear(Vec<u8>),
    Reload,
    Copy,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let word = || {
        prop_oneof![
            8 => (0..20u8).prop_map(|n| n.to_string().into_bytes()),
            2 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
            2 => any::<i32>().prop_map(|n| n.to_string().into_bytes()),
            1 => (0..6u8).prop_map(|n| format!("00{n}").into_bytes()),
            1 => prop::collection::vec(any::<u8>(), 0..14),
        ]
    };
    let step = prop_oneof![
        14 => word().prop_map(Step::Add),
        1 => (0..14usize).prop_map(Step::Expect),
        8 => word().prop_map(Step::Remove),
        1 => Just(Step::MakeInts),
        1 => word().prop_map(Step::Clear),
        1 => Just(Step::Reload),
        1 => Just(Step::Copy),
    ];
    prop::collection::vec(step, 0..100)
}

proptest! {
    #[test]
    fn a_set_equals_a_tree_after_every_step(steps in steps()) {
        let (mut set, mut tree) = (Set::new(), BTreeSet::new());
        for step in steps {
            match step {
                Step::Add(member) => {
                    prop_assert_eq!(set.contains(&member), tree.contains(&member));
                    prop_assert_eq!(set.add(&member, LIMITS), tree.insert(member.clone()));
                    prop_assert!(set.contains(&member));
                }
                Step::Expect(count) => set.expect_members(count, LIMITS),
                Step::Remove(member) => {
                    prop_assert_eq!(set.remove(&member), tree.remove(&member));
                    prop_assert!(!set.contains(&member));
                }
                Step::MakeInts => set.make_ints(LIMITS),
                Step::Clear(member) => {
                    (set, tree) = (Set::for_members(&member, 1, LIMITS), BTreeSet::from([member.clone()]));
                    set.add(&member, LIMITS);
                }
                Step::Reload if tree.is_empty() => {}
                Step::Reload => {
                    let digest = set.digest();
                    set = read_whole(&written(&set), set.rdb_kind());
                    prop_assert_eq!(set.digest(), digest);
                }
                Step::Copy => set = set.clone(),
            }
            set.check();
            prop_assert_eq!(&set.to_set(), &tree);
            prop_assert!(set.iter().all(|member| set.contains_item(member)));
        }
    }

    #[test]
    fn foreign_bytes_give_a_sound_set_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..80), at in 0..3usize) {
        if let Ok(set) = read(&bytes, [code::SET, code::SET_INTSET, code::SET_LISTPACK][at]) {
            set.check();
        }
    }

    #[test]
    fn damaged_files_give_a_sound_set_or_an_error(
        count in 1..20usize, words in any::<bool>(), at in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        let set = filled((0..count).map(|i| if words { format!("m{i}") } else { (i * 9999).to_string() }));
        let mut bytes = written(&set);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(set) = read(&bytes, set.rdb_kind()) {
            set.check();
        }
    }
}

#[test]
fn encodings_change_where_those_of_redis_do() {
    let mut set = filled(0..12);
    assert_eq!(set.encoding(), "intset");
    set.add(b"12", LIMITS);
    assert_eq!(set.encoding(), "hashtable");
    assert!(set.remove(b"12"));
    assert_eq!(set.encoding(), "hashtable", "once a hashtable it stays one");

    let mut set = filled(0..7);
    set.add(b"word", LIMITS);
    assert_eq!(set.encoding(), "listpack");
    set.add(b"8", LIMITS);
    assert_eq!(set.encoding(), "hashtable");
    let mut set = filled(0..8);
    set.add(b"word", LIMITS);
    assert_eq!(set.encoding(), "hashtable", "too many integers for a listpack");

    for (members, encoding) in [(vec!["a", "1234567890"], "listpack"), (vec!["a", "12345678901"], "hashtable")] {
        assert_eq!(filled(members).encoding(), encoding);
    }
    let mut set = filled(["-12345678901"]);
    set.add(b"word", LIMITS);
    assert_eq!(set.encoding(), "hashtable", "the text of an integer is too long for a listpack");

    for (first, count, encoding) in
        [("1", 12, "intset"), ("1", 13, "hashtable"), ("a", 8, "listpack"), ("a", 9, "hashtable")]
    {
        assert_eq!(Set::for_members(first.as_bytes(), count, LIMITS).encoding(), encoding, "{count} from {first}");
    }
}

#[test]
fn integers_are_as_wide_as_the_widest_ever() {
    let mut set = filled([1, -2]);
    assert_eq!(written(&set), b"\x0c\x02\0\0\0\x02\0\0\0\xfe\xff\x01\0");
    set.add(b"70000", LIMITS);
    assert_eq!(set.memory_bytes(), 8 + 3 * 4);
    set.add(b"-5000000000", LIMITS);
    assert_eq!(set.memory_bytes(), 8 + 4 * 8);
    assert!(set.remove(b"-5000000000") && set.remove(b"70000"));
    assert_eq!(set.memory_bytes(), 8 + 2 * 8);
    assert_eq!(set.iter().collect::<Vec<_>>(), [Item::Int(-2), Item::Int(1)]);
}

#[test]
fn a_set_of_integers_in_any_encoding_can_become_an_intset() {
    let mut set = filled(0..13);
    assert_eq!(set.encoding(), "hashtable");
    set.make_ints(LIMITS);
    assert_eq!(set.encoding(), "hashtable", "too many");
    set.remove(b"7");
    set.make_ints(LIMITS);
    assert_eq!((set.encoding(), set.len()), ("intset", 12));
    let mut set = filled(["1", "a"]);
    set.make_ints(LIMITS);
    assert_eq!(set.encoding(), "listpack");
}

#[test]
fn the_digest_depends_on_content_only() {
    let small = filled(0..5);
    let mut large = Set::new();
    large.expect_members(99, LIMITS);
    (0..5).rev().for_each(|i| assert!(large.add(i.to_string().as_bytes(), LIMITS)));
    assert_eq!((small.encoding(), large.encoding()), ("intset", "hashtable"));
    assert_eq!(small.digest(), large.digest());
    large.add(b"5", LIMITS);
    assert_ne!(small.digest(), large.digest());
    assert_ne!(small.digest(), Set::new().digest());
}

#[test]
fn a_scan_of_a_growing_hashtable_visits_every_old_member() {
    let mut set = filled((0..500).map(|i| format!("m{i}")));
    let (mut seen, mut cursor, mut added) = (BTreeSet::new(), 0, 500);
    loop {
        cursor = set.scan(cursor, &mut |member| {
            seen.insert(member.to_vec());
        });
        if cursor == 0 {
            break;
        }
        for _ in 0..7 {
            set.add(format!("m{added}").as_bytes(), LIMITS);
            added += 1;
        }
    }
    assert!((0..500).all(|i| seen.contains(format!("m{i}").as_bytes())));
}

#[test]
fn picks_are_members_distinct_where_promised_and_about_equally_frequent() {
    let sets = [filled(0..6), filled(["a", "b", "c", "d", "e", "6"]), filled((0..60).map(|i| format!("m{i}")))];
    for set in sets {
        let (all, len) = (set.to_set(), set.len());
        let mut rng = Rng::new(7);
        for count in [0, 1, len / 4, len / 2, len - 1, len, len + 1] {
            let picked: BTreeSet<_> = set.random_distinct(count, &mut rng).into_iter().map(|m| m.to_vec()).collect();
            assert_eq!(picked.len(), count.min(len), "{count} of {len}");
            assert!(picked.is_subset(&all));
        }
        let mut counts = std::collections::BTreeMap::new();
        let mut count = |member: Item<'_>| *counts.entry(member.to_vec()).or_insert(0usize) += 1;
        (0..200 * len).for_each(|_| count(set.random(&mut rng).unwrap()));
        set.random_repeated(200 * len, &mut rng, &mut |member| {
            count(member);
            true
        });
        let (low, high) = (counts.values().min().unwrap(), counts.values().max().unwrap());
        assert!(counts.len() == len && *low > 300 && *high < 510, "{low} to {high} of {len}");
    }
}

#[test]
fn files_of_all_encodings_are_read() {
    let words = b"\x03\x01a\xc0\x05\x02bc";
    let listpack: ListPack = ["a", "5", "bc"].map(|word| Item::Str(word.as_bytes())).into_iter().collect();
    let mut packed = Vec::new();
    Writer::new(&mut packed).raw_string(listpack.as_bytes());
    let expected: BTreeSet<Vec<u8>> = [b"a".to_vec(), b"5".to_vec(), b"bc".to_vec()].into();
    for (kind, bytes) in [(code::SET, &words[..]), (code::SET_LISTPACK, &packed)] {
        assert!(Set::reads(kind));
        let set = read_whole(bytes, kind);
        set.check();
        assert_eq!((set.encoding(), set.to_set()), ("listpack", expected.clone()), "kind {kind}");
    }
    let set = read_whole(b"\x0c\x02\0\0\0\x02\0\0\0\xfe\xff\x01\0", code::SET_INTSET);
    assert_eq!((set.encoding(), set.len()), ("intset", 2));
    let many: Vec<u8> =
        [&[0x42, 0x01][..], &(0..513u16).flat_map(|i| [0xc1, i as u8, (i >> 8) as u8]).collect::<Vec<_>>()].concat();
    assert_eq!(read_whole(&many, code::SET).encoding(), "hashtable");
}

#[test]
fn unsound_sets_in_files_are_refused_with_the_reason() {
    let listpack = |words: &[&str]| {
        let list: ListPack = words.iter().map(|word| Item::Str(word.as_bytes())).collect();
        let mut bytes = Vec::new();
        Writer::new(&mut bytes).raw_string(list.as_bytes());
        bytes
    };
    for (kind, bytes, reason) in [
        (code::SET, b"\x00".to_vec(), "without members"),
        (code::SET, b"\x02\x01a\x01a".to_vec(), "comes twice"),
        (code::SET, b"\x02\x01a".to_vec(), "ends in the middle"),
        (code::SET_LISTPACK, listpack(&[]), "without members"),
        (code::SET_LISTPACK, listpack(&["a", "a"]), "comes twice"),
        (code::SET_LISTPACK, b"\x03abc".to_vec(), "damaged"),
        (code::SET_INTSET, b"\x08\x02\0\0\0\0\0\0\0".to_vec(), "without members"),
        (code::SET_INTSET, b"\x0c\x02\0\0\0\x02\0\0\0\x01\0\x01\0".to_vec(), "damaged"),
        (code::SET_INTSET, b"\x0c\x02\0\0\0\x01\0\0\0\x01\0\x02\0".to_vec(), "damaged"),
        (code::SET_INTSET, b"\x0b\x03\0\0\0\x01\0\0\0\x01\0\0".to_vec(), "damaged"),
        (code::SET_INTSET, b"\x03abc".to_vec(), "damaged"),
    ] {
        let error = read(&bytes, kind).expect_err("unsound").to_string();
        assert!(error.contains(reason), "kind {kind}: {error}");
    }
}
