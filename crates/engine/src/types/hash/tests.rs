//! Tests of the hash type.

use std::collections::BTreeMap;

use proptest::prelude::*;
use quiver_rdb::{Reader, Writer, code};

use super::*;
use crate::rng::Rng;

const LIMITS: Limits = Limits { entries: 8, value_bytes: 10 };

impl Hash {
    /// Panics if an invariant is broken.
    fn check(&self) {
        match &self.0 {
            Content::Small(list) => assert_eq!(list.len() % 2, 0, "a field without a value"),
            Content::Shared(shared) => shared.check(),
            Content::Volatile(list) => assert_eq!(list.in_order().len(), 3 * list.len(), "a field without an expiry"),
            Content::Large(fields) => fields.table.check(),
        }
        let (stored, earliest) = (self.to_map(), self.earliest().unwrap_or(i64::MAX));
        assert!(stored.values().filter_map(|(_, at)| *at).all(|at| at >= earliest), "an expiry before the earliest");
        assert_eq!(self.len(), stored.len(), "a field twice");
        assert_eq!(self.len(), self.iter(AsOf::ALL).count());
        assert_eq!(self.is_empty(), stored.is_empty());
    }

    fn to_map(&self) -> Model {
        let mut map = Model::new();
        self.for_each_stored(&mut |field, value, at| drop(map.insert(field.to_vec(), (value.to_vec(), at))));
        map
    }

    fn seen(&self, as_of: AsOf) -> BTreeMap<Vec<u8>, Vec<u8>> {
        self.iter(as_of).map(|(field, value)| (field.to_vec(), value.to_vec())).collect()
    }
}

/// Fields with value and expiry.
type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<i64>)>;

fn apply(step: Step, hash: &mut Hash, map: &mut Model) -> Result<(), TestCaseError> {
    match step {
        Step::Set(field, value) => {
            prop_assert_eq!(hash.set(&field, &value, LIMITS), !map.contains_key(&field));
            prop_assert_eq!(hash.get(&field, AsOf(99)).map(|item| item.to_vec()), Some(value.clone()));
            map.insert(field, (value, None));
        }
        Step::SetAll(pairs) => {
            let slices: Vec<_> = pairs.iter().map(|(field, value)| (field.as_slice(), value.as_slice())).collect();
            let before = map.len();
            let added = hash.set_all(&slices, LIMITS);
            map.extend(pairs.into_iter().map(|(field, value)| (field, (value, None))));
            prop_assert_eq!(added, map.len() - before);
        }
        Step::SetExpiring(field, value, at) => {
            prop_assert_eq!(hash.set_expiring(&field, &value, at, LIMITS), !map.contains_key(&field));
            map.insert(field, (value, at));
        }
        Step::SetKeeping(field, value) => {
            let at = map.get(&field).and_then(|(_, at)| *at);
            prop_assert_eq!(hash.set_keeping(&field, &value, LIMITS), !map.contains_key(&field));
            map.insert(field, (value, at));
        }
        Step::SetExpiry(field, at) => {
            hash.set_expiry(&field, at);
            if let Some((_, old)) = map.get_mut(&field) {
                *old = at;
            }
            prop_assert_eq!(hash.expiry(&field, AsOf::ALL), map.get(&field).map(|(_, at)| *at));
        }
        Step::TakeExpired(now) => {
            let mut taken = Vec::new();
            while hash.earliest().is_some_and(|at| at <= now) {
                hash.take_expired(AsOf(now), 3, &mut taken);
            }
            for field in taken {
                prop_assert!(map.remove(&field).is_some_and(|(_, at)| at.is_some_and(|at| at <= now)));
            }
            prop_assert!(map.values().all(|(_, at)| at.is_none_or(|at| at > now)), "some are left");
        }
        Step::Row(values) => {
            let names = [b"0".as_slice(), b"a", b"007", b"", b"long name"];
            let pairs: Vec<_> = names.into_iter().zip(values.iter().map(Vec::as_slice)).collect();
            if !names.iter().all(|name| hash.contains(name, AsOf::ALL)) {
                (*hash, *map) = (Hash::new(), Model::new());
            }
            prop_assert_eq!(hash.set_all(&pairs, LIMITS), 5 - map.len().min(5));
            map.extend(pairs.iter().map(|(field, value)| (field.to_vec(), (value.to_vec(), None))));
        }
        Step::Clear => (*hash, *map) = (Hash::new(), Model::new()),
        Step::Remove(field) => {
            prop_assert_eq!(hash.remove(&field), map.remove(&field).is_some());
            prop_assert!(!hash.contains(&field, AsOf::ALL));
        }
        Step::Reload if map.is_empty() => {}
        Step::Reload => {
            let digest = hash.digest();
            *hash = read_whole(&written(hash), hash.rdb_kind());
            prop_assert_eq!(hash.digest(), digest);
        }
        Step::Copy => *hash = hash.clone(),
    }
    Ok(())
}

fn filled(count: usize) -> Hash {
    let mut hash = Hash::new();
    for i in 0..count {
        assert!(hash.set(format!("field:{i}").as_bytes(), i.to_string().as_bytes(), LIMITS));
    }
    hash
}

fn written(hash: &Hash) -> Vec<u8> {
    let mut bytes = Vec::new();
    hash.write(&mut Writer::new(&mut bytes));
    bytes
}

fn read(bytes: &[u8], kind: u8) -> crate::codec::Result<Hash> {
    Hash::read(&mut Reader::from_slice(bytes), kind)
}

/// Reads what must be a whole hash and nothing else.
fn read_whole(bytes: &[u8], kind: u8) -> Hash {
    let mut reader = Reader::from_slice(bytes);
    let hash = Hash::read(&mut reader, kind).unwrap();
    assert!(reader.is_at_end().unwrap(), "all bytes are read");
    hash
}

#[derive(Clone, Debug)]
enum Step {
    Set(Vec<u8>, Vec<u8>),
    SetAll(Vec<(Vec<u8>, Vec<u8>)>),
    Remove(Vec<u8>),
    SetExpiring(Vec<u8>, Vec<u8>, Option<i64>),
    SetKeeping(Vec<u8>, Vec<u8>),
    SetExpiry(Vec<u8>, Option<i64>),
    TakeExpired(i64),
    Row(Vec<Vec<u8>>),
    Clear,
    Reload,
    Copy,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let word = || {
        prop_oneof![
            (0..20u8).prop_map(|n| n.to_string().into_bytes()),
            (0..6u8).prop_map(|n| format!("00{n}").into_bytes()),
            any::<i64>().prop_map(|n| n.to_string().into_bytes()),
            prop::collection::vec(any::<u8>(), 0..4),
            prop::collection::vec(any::<u8>(), 0..14),
        ]
    };
    let step = prop_oneof![
        12 => (word(), word()).prop_map(|(field, value)| Step::Set(field, value)),
        2 => prop::collection::vec((word(), word()), 1..7).prop_map(Step::SetAll),
        8 => word().prop_map(Step::Remove),
        4 => (word(), word(), proptest::option::of(1..50i64)).prop_map(|(f, v, at)| Step::SetExpiring(f, v, at)),
        2 => (word(), word()).prop_map(|(field, value)| Step::SetKeeping(field, value)),
        6 => (word(), proptest::option::of(1..50i64)).prop_map(|(field, at)| Step::SetExpiry(field, at)),
        3 => (0..60i64).prop_map(Step::TakeExpired),
        2 => prop::collection::vec(word(), 5).prop_map(Step::Row),
        1 => Just(Step::Clear),
        1 => Just(Step::Reload),
        1 => Just(Step::Copy),
    ];
    prop::collection::vec(step, 0..120)
}

proptest! {
    #[test]
    fn a_hash_equals_a_map_after_every_step(steps in steps()) {
        let (mut hash, mut map) = (Hash::new(), Model::new());
        for step in steps {
            apply(step, &mut hash, &mut map)?;
            hash.check();
            prop_assert_eq!(&hash.to_map(), &map);
            for now in [0, 20, 40] {
                let seen = map.iter().filter(|(_, (_, at))| at.is_none_or(|at| at > now));
                let seen: BTreeMap<_, _> = seen.map(|(field, (value, _))| (field.clone(), value.clone())).collect();
                prop_assert_eq!(hash.len_at(AsOf(now)), seen.len());
                prop_assert_eq!(hash.seen(AsOf(now)), seen);
            }
        }
    }

    #[test]
    fn foreign_bytes_give_a_sound_hash_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..80), at in 0..7usize) {
        let kind = [4, 9, 13, 16, 22, 24, 25][at];
        if let Ok(hash) = read(&bytes, kind) {
            hash.check();
        }
    }

    #[test]
    fn damaged_files_give_a_sound_hash_or_an_error(count in 1..14usize, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let hash = filled(count);
        let mut bytes = written(&hash);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(hash) = read(&bytes, hash.rdb_kind()) {
            hash.check();
        }
    }
}

#[test]
fn a_hash_becomes_a_hashtable_past_either_limit_and_stays_one() {
    let mut hash = filled(8);
    assert_eq!(hash.encoding(), "listpack");
    hash.set(b"field:8", b"x", LIMITS);
    assert_eq!(hash.encoding(), "hashtable");
    (0..8).for_each(|i| assert!(hash.remove(format!("field:{i}").as_bytes())));
    assert_eq!((hash.encoding(), hash.len()), ("hashtable", 1));

    for (field, value) in [("f", "12345678901"), ("12345678901", "v")] {
        let mut hash = filled(1);
        hash.set(b"f", b"1234567890", LIMITS);
        assert_eq!(hash.encoding(), "listpack");
        hash.set(field.as_bytes(), value.as_bytes(), LIMITS);
        assert_eq!(hash.encoding(), "hashtable");
    }

    let mut hash = filled(1);
    let pair = (b"f".as_slice(), b"v".as_slice());
    assert_eq!(hash.set_all(&[pair; 8], LIMITS), 1);
    assert_eq!(hash.encoding(), "listpack");
    assert_eq!(hash.set_all(&[pair; 9], LIMITS), 0);
    assert_eq!((hash.encoding(), hash.len()), ("hashtable", 2));
}

#[test]
fn the_digest_depends_on_content_only() {
    let (small, mut large) = (filled(8), Hash::new());
    for i in (0..8).rev() {
        large.set(format!("field:{i}").as_bytes(), i.to_string().as_bytes(), Limits { entries: 0, value_bytes: 0 });
    }
    assert_eq!((small.encoding(), large.encoding()), ("listpack", "hashtable"));
    assert_eq!(small.digest(), large.digest());
    large.set(b"field:1", b"2", LIMITS);
    assert_ne!(small.digest(), large.digest());
    assert_ne!(small.digest(), Hash::new().digest());
}

#[test]
fn a_scan_of_a_growing_hashtable_visits_every_old_field() {
    let mut hash = filled(500);
    let mut seen = std::collections::BTreeSet::new();
    let (mut cursor, mut added) = (0, 500);
    loop {
        cursor = hash.scan(cursor, AsOf::ALL, &mut |field, _| {
            seen.insert(field.to_vec());
        });
        if cursor == 0 {
            break;
        }
        for _ in 0..7 {
            hash.set(format!("field:{added}").as_bytes(), b"", LIMITS);
            added += 1;
        }
    }
    assert!((0..500).all(|i| seen.contains(format!("field:{i}").as_bytes())));
}

#[test]
fn distinct_picks_are_distinct_and_members() {
    for size in [1, 5, 8, 9, 100, 1000] {
        let hash = filled(size);
        let all = hash.seen(AsOf::ALL);
        let mut rng = Rng::new(size as u64);
        for count in [0, 1, size / 4, size / 2, size.saturating_sub(1), size, size + 1] {
            let picked: BTreeMap<_, _> = hash
                .random_distinct(count, AsOf::ALL, &mut rng)
                .into_iter()
                .map(|(f, v)| (f.to_vec(), v.to_vec()))
                .collect();
            assert_eq!(picked.len(), count.min(size), "{count} of {size}");
            assert!(picked.iter().all(|(field, value)| all.get(field) == Some(value)));
        }
    }
}

#[test]
fn every_field_is_picked_about_equally_often() {
    for size in [6, 60] {
        let hash = filled(size);
        let mut counts = BTreeMap::new();
        let mut rng = Rng::new(7);
        let mut count = |field: Item<'_>| *counts.entry(field.to_vec()).or_insert(0usize) += 1;
        for _ in 0..200 * size {
            count(hash.random_pair(AsOf::ALL, &mut rng).unwrap().0);
        }
        hash.random_pairs(200 * size, AsOf::ALL, &mut rng, &mut |(field, _)| {
            count(field);
            true
        });
        for _ in 0..200 {
            hash.random_distinct(size / 4, AsOf::ALL, &mut rng).into_iter().for_each(|(field, _)| count(field));
        }
        let (low, high) = (counts.values().min().unwrap(), counts.values().max().unwrap());
        assert!(counts.len() == size && *low > 350 && *high < 550, "{low} to {high} of {size}");
    }
}

#[test]
fn files_of_all_encodings_are_read() {
    let expected: BTreeMap<Vec<u8>, Vec<u8>> =
        [("name", "x"), ("n", "-3"), ("big", "70000")].map(|(f, v)| (f.into(), v.into())).into();
    let as_string = |bytes: &[u8]| [&[bytes.len() as u8], bytes].concat();
    let pairs = b"\x03\x04name\x01x\x01n\xc0\xfd\x03big\xc2\x70\x11\x01\x00";
    let zipmap = b"\x03\x04name\x01\x02x__\x01n\x02\x00-3\x03big\x05\x0070000\xff";
    let ziplist = [
        &[38, 0, 0, 0, 31, 0, 0, 0, 6, 0][..],
        b"\x00\x04name\x06\x01x\x03\x01n\x03\xfe\xfd\x03\x03big\x05\xd0\x70\x11\x01\x00\xff",
    ]
    .concat();
    let ziplist = [&(ziplist.len() as u32).to_le_bytes(), &ziplist[4..]].concat();
    let listpack: ListPack =
        ["name", "x", "n", "-3", "big", "70000"].map(|word| Item::Str(word.as_bytes())).into_iter().collect();
    for (kind, bytes) in [
        (code::HASH, pairs.to_vec()),
        (code::HASH_ZIPMAP, as_string(zipmap)),
        (code::HASH_ZIPLIST, as_string(&ziplist)),
        (code::HASH_LISTPACK, as_string(listpack.as_bytes())),
    ] {
        assert!(Hash::reads(kind));
        let hash = read_whole(&bytes, kind);
        hash.check();
        assert_eq!((hash.encoding(), hash.seen(AsOf::ALL)), ("listpack", expected.clone()), "kind {kind}");
    }
}

#[test]
fn unsound_hashes_in_files_are_refused_with_the_reason() {
    let listpack = |words: &[&str]| {
        let list: ListPack = words.iter().map(|word| Item::Str(word.as_bytes())).collect();
        let mut bytes = Vec::new();
        Writer::new(&mut bytes).raw_string(list.as_bytes());
        bytes
    };
    // A number spelled once as string and once as integer, as no writer of ours does.
    let both_forms = b"\x10\x10\x00\x00\x00\x04\x00\x817\x02\x01\x01\x07\x01\x02\x01\xff";
    for (kind, bytes, reason) in [
        (code::HASH, b"\x00".to_vec(), "without fields"),
        (code::HASH, b"\x02\x01a\x01b\x01a\x01c".to_vec(), "comes twice"),
        (code::HASH, b"\x02\x01a\x01b".to_vec(), "ends in the middle"),
        (code::HASH_LISTPACK, listpack(&[]), "without fields"),
        (code::HASH_LISTPACK, listpack(&["a"]), "no value"),
        (code::HASH_LISTPACK, listpack(&["a", "1", "a", "2"]), "comes twice"),
        (code::HASH_LISTPACK, both_forms.to_vec(), "comes twice"),
        (code::HASH_LISTPACK, b"\x03abc".to_vec(), "damaged"),
        (code::HASH_ZIPLIST, b"\x03abc".to_vec(), "damaged"),
        (code::HASH_ZIPMAP, b"\x03\x01\x01a".to_vec(), "damaged"),
        (code::HASH_CANDIDATE, b"\x00".to_vec(), "without fields"),
        (code::HASH_CANDIDATE, b"\x01\x81\xff\xff\xff\xff\xff\xff\xff\xff\x01a\x01b".to_vec(), "out of range"),
        (code::HASH_LISTPACK_CANDIDATE, listpack(&["a", "b", "x"]), "no time"),
        (code::HASH_METADATA, [&[9; 8][..], b"\x00"].concat(), "without fields"),
        (code::HASH_METADATA, [&[9; 8][..], b"\x01\x01\x01a\x01b"].concat(), "out of range"),
        (code::HASH_LISTPACK_EX, [vec![0; 8], listpack(&[])].concat(), "without fields"),
        (code::HASH_LISTPACK_EX, [vec![0; 8], listpack(&["a", "b"])].concat(), "no expiry"),
        (code::HASH_LISTPACK_EX, [vec![0; 8], listpack(&["a", "b", "c"])].concat(), "no time"),
        (code::HASH_LISTPACK_EX, [vec![0; 8], listpack(&["a", "b", "-1"])].concat(), "out of range"),
        (code::HASH_LISTPACK_EX, [vec![0; 8], listpack(&["a", "b", "0", "a", "b", "7"])].concat(), "comes twice"),
    ] {
        let error = read(&bytes, kind).expect_err("unsound").to_string();
        assert!(error.contains(reason), "kind {kind}: {error}");
    }
}

#[test]
fn a_long_listpack_in_a_file_becomes_a_hashtable() {
    let mut list = ListPack::new();
    for i in 0..10_000 {
        list.push(i);
        list.push(b"some value".as_slice());
    }
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).string(list.as_bytes());
    let hash = read_whole(&bytes, code::HASH_LISTPACK);
    hash.check();
    assert_eq!((hash.encoding(), hash.len()), ("hashtable", 10_000));
    assert_eq!(hash.get(b"77", AsOf::ALL), Some(Item::Str(b"some value")));
}

#[test]
fn an_expiry_makes_a_listpackex_and_taking_it_away_leaves_one() {
    let mut hash = filled(3);
    hash.set_expiry(b"field:1", Some(50));
    assert_eq!((hash.encoding(), hash.rdb_kind()), ("listpackex", code::HASH_LISTPACK_EX));
    hash.set_expiry(b"field:1", None);
    assert_eq!(hash.encoding(), "listpackex");
    let mut taken = Vec::new();
    hash.take_expired(AsOf(60), 9, &mut taken);
    assert_eq!((taken.len(), hash.rdb_kind()), (0, code::HASH_LISTPACK));
    hash.set_expiry(b"field:2", Some(70));
    (3..9).for_each(|i| assert!(hash.set(format!("field:{i}").as_bytes(), b"x", LIMITS)));
    assert_eq!((hash.encoding(), hash.rdb_kind()), ("hashtable", code::HASH_METADATA));
    assert_eq!(hash.expiry(b"field:2", AsOf::ALL), Some(Some(70)));
}

#[test]
fn taking_many_expired_fields_goes_in_bounded_steps() {
    let mut hash = filled(10_000);
    (0..10_000).for_each(|i| hash.set_expiry(format!("field:{i}").as_bytes(), Some(1 + i % 2 * 100)));
    let (mut taken, mut steps) = (Vec::new(), 0);
    while hash.earliest().is_some_and(|at| at <= 50) {
        let before = taken.len();
        hash.take_expired(AsOf(50), 128, &mut taken);
        assert!(taken.len() - before < 128 + 64, "{} in one step", taken.len() - before);
        steps += 1;
    }
    assert_eq!((taken.len(), hash.len(), hash.earliest()), (5000, 5000, Some(101)));
    assert!(steps > 5000 / 192);
    hash.check();
}

#[test]
fn hashes_with_the_same_fields_share_their_names_and_stay_what_they_are() {
    let names: Vec<String> = (0..20).map(|i| format!("shared:{i}")).collect();
    let values = ["x", "0", "-1", "255", "-9223372036854775808", "007", "", "3.5", "a longer one", "65536"];
    let pairs: Vec<(&[u8], &[u8])> =
        names.iter().zip(values.iter().cycle()).map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let limits = Limits { entries: 512, value_bytes: 300 };
    let [mut first, mut second] = [(); 2].map(|()| {
        let mut hash = Hash::new();
        assert_eq!(hash.set_all(&pairs, limits), 20);
        hash
    });
    assert!(matches!((&first.0, &second.0), (Content::Small(_), Content::Shared(_))));
    assert!(second.memory_bytes() * 2 < first.memory_bytes(), "{} bytes", second.memory_bytes());
    let long = "y".repeat(250);
    for (field, value) in [("shared:3", "9"), ("shared:3", &long), ("shared:4", "5"), ("shared:4", "")] {
        assert!(!first.set(field.as_bytes(), value.as_bytes(), limits));
        assert!(!second.set(field.as_bytes(), value.as_bytes(), limits));
        second.check();
        assert_eq!(first.to_map(), second.to_map());
    }
    assert!(matches!(&second.0, Content::Shared(_)));
    assert_eq!((first.digest(), first.encoding()), (second.digest(), second.encoding()));
    assert_eq!(written(&first), written(&second));
    let mut copy = second.clone();
    assert!(copy.remove(b"shared:7") && !copy.remove(b"shared:7") && copy.set(b"new", b"1", limits));
    assert!(matches!((&copy.0, &second.0), (Content::Small(_), Content::Shared(_))));
    second.set_expiry(b"shared:1", Some(7));
    assert_eq!(second.encoding(), "listpackex");
    second.check();
}
