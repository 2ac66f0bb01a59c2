//! Tests of the sorted set.

use std::collections::BTreeMap;

use proptest::prelude::*;
use quiver_rdb::{Reader, Writer, code};
use quiver_structures::listpack::Item;

use super::*;
use crate::rng::Rng;

const LIMITS: Limits = Limits { entries: 8, value_bytes: 10 };

impl SortedSet {
    /// Panics if an invariant is broken.
    fn check(&self) {
        if let Content::Large(large) = &self.0 {
            large.check();
        }
        let entries = self.entries();
        assert_eq!(entries.len(), self.len());
        assert!(entries.is_sorted(), "order");
        let members: std::collections::BTreeSet<_> = entries.iter().map(|(_, member)| member).collect();
        assert_eq!(members.len(), entries.len(), "a member twice");
    }

    fn entries(&self) -> Vec<(f64, Vec<u8>)> {
        self.entries_of(0..self.len(), false)
    }

    fn entries_of(&self, ranks: Range<usize>, back: bool) -> Vec<(f64, Vec<u8>)> {
        let mut entries = Vec::new();
        self.visit(ranks, back, &mut |member, score| {
            entries.push((score, member.to_vec()));
            true
        });
        entries
    }
}

fn filled(count: usize) -> SortedSet {
    let mut set = SortedSet::new();
    for i in 0..count {
        assert!(set.set(format!("m:{i}").as_bytes(), (i * 7 % 31) as f64, LIMITS));
    }
    set
}

fn read(bytes: &[u8], kind: u8) -> crate::codec::Result<SortedSet> {
    SortedSet::read(&mut Reader::from_slice(bytes), kind)
}

/// Written and read again.
fn reloaded(set: &SortedSet) -> SortedSet {
    let mut bytes = Vec::new();
    set.write(&mut Writer::new(&mut bytes));
    let mut reader = Reader::from_slice(&bytes);
    let copy = SortedSet::read(&mut reader, set.rdb_kind()).unwrap();
    assert!(reader.is_at_end().unwrap(), "all bytes are read");
    copy
}

/// The model: scores by member.
type Model = BTreeMap<Vec<u8>, f64>;

fn sorted(model: &Model) -> Vec<(f64, Vec<u8>)> {
    let mut entries: Vec<_> = model.iter().map(|(member, score)| (*score, member.clone())).collect();
    entries.sort_by(|a, b| a.partial_cmp(b).unwrap());
    entries
}

#[derive(Clone, Debug)]
enum Step {
    Set(Vec<u8>, f64),
    Insert(Vec<u8>, f64),
    Remove(Vec<u8>),
    RemoveRange(usize, usize),
    Scores(ScoreRange),
    Names(Vec<u8>, Vec<u8>),
    Reload,
    Copy,
}

fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (0..60u32).prop_map(|n| n.to_string().into_bytes()),
        2 => (0..9u32).prop_map(|n| format!("00{n}").into_bytes()),
        2 => prop::collection::vec(any::<u8>(), 0..5),
        1 => (1..4usize, any::<u8>()).prop_map(|(n, byte)| vec![byte; n * 120]),
    ]
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (-3..6i32).prop_map(f64::from),
        2 => (-9..9i32).prop_map(|n| f64::from(n) / 8.0),
        1 => prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(1e300), Just(5e-324), Just(9e18)],
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let range = (score(), score(), any::<bool>(), any::<bool>())
        .prop_map(|(min, max, min_excluded, max_excluded)| ScoreRange { min, max, min_excluded, max_excluded });
    let step = prop_oneof![
        14 => (member(), score()).prop_map(|(member, score)| Step::Set(member, score)),
        6 => (member(), score()).prop_map(|(member, score)| Step::Insert(member, score)),
        7 => member().prop_map(Step::Remove),
        1 => (0..40usize, 0..6usize).prop_map(|(start, len)| Step::RemoveRange(start, len)),
        2 => range.prop_map(Step::Scores),
        1 => (member(), member()).prop_map(|(min, max)| Step::Names(min, max)),
        1 => Just(Step::Reload),
        1 => Just(Step::Copy),
    ];
    prop::collection::vec(step, 0..100)
}

proptest! {
    #[test]
    fn a_set_equals_a_map_after_every_step(steps in steps(), large: bool) {
        let mut set = SortedSet::new();
        let limits = if large { Limits { entries: 0, value_bytes: 0 } } else { LIMITS };
        let mut model = Model::new();
        for step in steps {
            match step {
                Step::Set(member, score) => {
                    let known = model.insert(member.clone(), score);
                    prop_assert_eq!(set.set(&member, score, limits), known.is_none());
                }
                Step::Insert(member, score) => {
                    let known = model.get(&member).copied();
                    prop_assert_eq!(set.score_or_insert(&member, score, limits), known);
                    model.entry(member).or_insert(score);
                }
                Step::Remove(member) => prop_assert_eq!(set.remove(&member), model.remove(&member)),
                Step::RemoveRange(start, len) => {
                    set.remove_range(start..start + len);
                    for (_, member) in sorted(&model).into_iter().skip(start).take(len) {
                        model.remove(&member);
                    }
                }
                Step::Scores(range) => {
                    let within = |score: f64| !range.is_above(score) && range.reaches(score);
                    let expected: Vec<_> = sorted(&model).into_iter().filter(|(score, _)| within(*score)).collect();
                    prop_assert_eq!(set.entries_of(set.ranks_of_scores(&range), false), expected);
                }
                Step::Names(min, max) => {
                    let mut flat = SortedSet::new();
                    model.keys().for_each(|member| assert!(flat.set(member, 1.0, limits)));
                    let range = LexRange { min: Bound::Without(&min), max: Bound::With(&max) };
                    let expected: Vec<_> =
                        model.keys().filter(|member| **member > min && **member <= max).map(|m| (1.0, m.clone())).collect();
                    for back in [false, true] {
                        prop_assert_eq!(&flat.entries_of(flat.ranks_of_members(&range, back), false), &expected);
                    }
                }
                Step::Reload if !set.is_empty() => set = reloaded(&set),
                Step::Copy => set = set.clone(),
                Step::Reload => {}
            }
            set.check();
            let entries = sorted(&model);
            prop_assert_eq!(&set.entries(), &entries);
            if let Some((score, member)) = entries.get(entries.len() / 2) {
                prop_assert_eq!(set.rank(member), Some(entries.len() / 2));
                prop_assert_eq!(set.score(member), Some(*score));
            }
            let mut back = set.entries_of(1..entries.len(), true);
            back.reverse();
            prop_assert_eq!(&back[..], entries.get(1..).unwrap_or_default());
        }
    }
}

/// Thousands of members, so that nodes split and join on several levels.
#[test]
fn a_large_set_equals_a_map_through_growth_and_decline() {
    for order in ["random", "up", "down", "equal"] {
        let (mut set, mut model, mut rng) = (SortedSet::new(), Model::new(), Rng::new(5));
        for i in 0..12_000u32 {
            let member = format!("member:{}", rng.below(100_000)).into_bytes();
            let score = match order {
                "random" => rng.below(3000) as f64,
                "up" => f64::from(i),
                "down" => -f64::from(i),
                _ => 1.0,
            };
            set.set(&member, score, LIMITS);
            model.insert(member, score);
        }
        let sorted_now = sorted(&model);
        set.check();
        assert_eq!(set.entries(), sorted_now, "{order}");
        for at in (0..sorted_now.len()).step_by(97) {
            assert_eq!(set.rank(&sorted_now[at].1), Some(at));
            assert_eq!(set.entries_of(at..at + 70, false), sorted_now[at..(at + 70).min(sorted_now.len())]);
        }
        set.remove_range(100..4000);
        for (_, member) in &sorted_now[100..4000] {
            model.remove(member);
        }
        set.check();
        let mut left = sorted(&model);
        while left.len() > 10 {
            for _ in 0..left.len() / 2 {
                let (score, member) = left.swap_remove(rng.below(left.len()));
                assert_eq!(set.remove(&member), Some(score));
                model.remove(&member);
            }
            set.check();
            assert_eq!(set.entries(), sorted(&model), "{order}");
        }
        assert!(set.memory_bytes() < 64 * 1024, "a few members take little: {}", set.memory_bytes());
    }
}

#[test]
fn a_set_filled_in_order_takes_little_more_than_its_content() {
    let mut set = SortedSet::new();
    for i in 0..100_000u32 {
        set.set(format!("member:{i:08}").as_bytes(), f64::from(i), LIMITS);
    }
    let per_member = set.memory_bytes() / 100_000;
    assert!(per_member < 60, "{per_member} bytes per member of 15 bytes");
}

#[test]
fn the_encoding_follows_the_limits_and_never_goes_back() {
    let mut set = filled(8);
    assert_eq!(set.encoding(), "listpack");
    set.set(b"m:1", 100.0, LIMITS);
    assert_eq!(set.encoding(), "listpack");
    set.set(b"ninth", 1.0, LIMITS);
    assert_eq!((set.encoding(), set.len()), ("skiplist", 9));
    set.remove_range(1..9);
    assert_eq!((set.encoding(), set.len()), ("skiplist", 1));
    let mut set = filled(1);
    set.set(b"0123456789", 0.0, LIMITS);
    assert_eq!(set.encoding(), "listpack");
    set.set(b"0123456789a", 0.0, LIMITS);
    assert_eq!(set.encoding(), "skiplist");
    assert_eq!(SortedSet::from_sorted(&[(b"0123456789a", 1.0)], LIMITS).encoding(), "skiplist");
    assert_eq!(SortedSet::from_sorted(&[(b"0123456789", 1.0)], LIMITS).encoding(), "listpack");
}

#[test]
fn the_digest_depends_on_content_only() {
    let (small, mut large) = (filled(8), SortedSet::new());
    for (score, member) in small.entries().into_iter().rev() {
        large.set(&member, score, Limits { entries: 0, value_bytes: 0 });
    }
    assert_eq!((small.encoding(), large.encoding()), ("listpack", "skiplist"));
    assert_eq!(small.digest(), large.digest());
    large.set(b"m:1", 0.5, LIMITS);
    assert_ne!(small.digest(), large.digest());
}

#[test]
fn a_scan_of_a_growing_set_visits_every_old_member() {
    let mut set = filled(500);
    let mut seen = std::collections::BTreeSet::new();
    let (mut cursor, mut added) = (0, 500);
    loop {
        cursor = set.scan(cursor, &mut |member, _| {
            seen.insert(member.to_vec());
        });
        if cursor == 0 {
            break;
        }
        for _ in 0..7 {
            set.set(format!("m:{added}").as_bytes(), 1.0, LIMITS);
            added += 1;
        }
    }
    assert!((0..500).all(|i| seen.contains(format!("m:{i}").as_bytes())));
}

fn as_string(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Writer::new(&mut out).raw_string(bytes);
    out
}

fn listpack(words: &[&str]) -> Vec<u8> {
    let list: ListPack = words.iter().map(|word| Item::Str(word.as_bytes())).collect();
    as_string(list.as_bytes())
}

#[test]
fn files_of_all_encodings_are_read() {
    let expected = vec![(-3.0, b"n".to_vec()), (1.5, b"x".to_vec()), (70000.0, b"big".to_vec())];
    let binary = [
        &b"\x03\x03big"[..],
        &70000f64.to_le_bytes(),
        b"\x01x",
        &1.5f64.to_le_bytes(),
        b"\x01n",
        &(-3f64).to_le_bytes(),
    ]
    .concat();
    let ascii = b"\x03\x01x\x031.5\x03big\x0570000\x01n\x02-3".to_vec();
    let ziplist = b"\x00\x01n\x03\xfe\xfd\x03\x01x\x03\x031.5\x05\x03big\x05\xd0\x70\x11\x01\x00\xff";
    let total = (10 + ziplist.len()) as u32;
    let ziplist = [&total.to_le_bytes()[..], &[0, 0, 0, 0, 6, 0], ziplist].concat();
    for (kind, bytes) in [
        (code::ZSET_2, binary),
        (code::ZSET, ascii),
        (code::ZSET_ZIPLIST, as_string(&ziplist)),
        (code::ZSET_LISTPACK, listpack(&["n", "-3", "x", "1.5", "big", "70000"])),
        // No writer of ours does this.
        (code::ZSET_LISTPACK, listpack(&["big", "70000", "n", "-3", "x", "1.5"])),
    ] {
        assert!(SortedSet::reads(kind));
        let set = read(&bytes, kind).unwrap();
        set.check();
        assert_eq!((set.encoding(), set.entries()), ("listpack", expected.clone()), "kind {kind}");
    }
}

#[test]
fn unsound_sets_in_files_are_refused_with_the_reason() {
    let nan = [&b"\x01\x01a"[..], &f64::NAN.to_le_bytes()].concat();
    let twice = [&b"\x02\x01a"[..], &1f64.to_le_bytes(), b"\x01a", &2f64.to_le_bytes()].concat();
    for (kind, bytes, reason) in [
        (code::ZSET_2, b"\x00".to_vec(), "without members"),
        (code::ZSET_2, nan, "not a number"),
        (code::ZSET_2, twice, "comes twice"),
        (code::ZSET_2, b"\x02\x01a".to_vec(), "ends in the middle"),
        (code::ZSET, b"\x01\x01a\xfd".to_vec(), "not a number"),
        (code::ZSET_LISTPACK, listpack(&[]), "without members"),
        (code::ZSET_LISTPACK, listpack(&["a"]), "no score"),
        (code::ZSET_LISTPACK, listpack(&["a", "b"]), "not a number"),
        (code::ZSET_LISTPACK, listpack(&["a", "1", "a", "2"]), "comes twice"),
        (code::ZSET_LISTPACK, b"\x03abc".to_vec(), "damaged"),
        (code::ZSET_ZIPLIST, b"\x03abc".to_vec(), "damaged"),
    ] {
        let error = read(&bytes, kind).expect_err("unsound").to_string();
        assert!(error.contains(reason), "kind {kind}: {error}");
    }
}

#[test]
fn a_long_listpack_in_a_file_becomes_a_skiplist() {
    let mut list = ListPack::new();
    for i in 0..10_000 {
        list.push(format!("m{i:05}").as_bytes());
        list.push(1);
    }
    let set = read(&as_string(list.as_bytes()), code::ZSET_LISTPACK).unwrap();
    set.check();
    assert_eq!((set.encoding(), set.len()), ("skiplist", 10_000));
}
