//! The table against a naive model, with every invariant checked after every step.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use proptest::prelude::*;

use super::*;

const CASES: u32 = if cfg!(miri) { 3 } else { 128 };
const STEPS: usize = if cfg!(miri) { 40 } else { 400 };

type Object = Rc<u8>;
type Hasher = fn(&[u8]) -> u64;
type Tested = Table<Object, Hasher>;

/// FNV-1a with a final mix: every bit depends on every byte.
fn good_hash(key: &[u8]) -> u64 {
    let folded = key.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    (folded ^ (folded >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(31)
}

/// Six different hashes only: long chains, equal tags, splits that separate little.
fn poor_hash(key: &[u8]) -> u64 {
    (good_hash(key) % 6).wrapping_mul(0x0101_0101_0101_0101)
}

#[derive(Clone, Debug, PartialEq)]
enum Content {
    Int(i64),
    Bytes(Vec<u8>),
    Object(u8),
}

impl Content {
    fn to_value(&self, owned: bool) -> Value<'_, Object> {
        match self {
            Self::Int(int) => Value::Int(*int),
            Self::Bytes(bytes) if owned => Value::Owned(bytes.clone()),
            Self::Bytes(bytes) => Value::Bytes(bytes),
            Self::Object(object) => Value::Object(Box::new(Rc::new(*object))),
        }
    }

    /// The content as a byte string command would see it.
    fn to_bytes(&self) -> Option<Vec<u8>> {
        match self {
            Self::Int(int) => Some(int.to_string().into_bytes()),
            Self::Bytes(bytes) => Some(bytes.clone()),
            Self::Object(_) => None,
        }
    }
}

fn content(value: ValueRef<'_, Object>) -> Content {
    match value {
        ValueRef::Int(int) => Content::Int(int),
        ValueRef::Bytes(bytes) => Content::Bytes(bytes.to_vec()),
        ValueRef::Object(object) => Content::Object(**object),
    }
}

#[derive(Clone, Debug)]
enum Step {
    Set(u16, Content, Option<i64>, bool),
    SetValue(u16, Content),
    SetExpire(u16, Option<i64>),
    Append(u16, Vec<u8>),
    WriteAt(u16, usize, Vec<u8>),
    EditBytes(u16, usize),
    EditObject(u16, u8),
    SetAccess(u16, u32),
    Remove(u16),
    RemoveMany(u16, u16),
    Freeze(bool),
    Maintain,
    Clear,
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let len = prop_oneof![8 => 0usize..80, 2 => 950usize..1100, 1 => 2000usize..3000];
    (len, any::<u8>()).prop_map(|(len, byte)| vec![byte; len])
}

fn any_content() -> impl Strategy<Value = Content> {
    prop_oneof![
        any::<i64>().prop_map(Content::Int),
        any_bytes().prop_map(Content::Bytes),
        any::<u8>().prop_map(Content::Object)
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let key = 0u16..300;
    prop_oneof![
        60 => (key.clone(), any_content(), any::<Option<i64>>(), any::<bool>())
            .prop_map(|(key, content, expire, owned)| Step::Set(key, content, expire, owned)),
        5 => (key.clone(), any_content()).prop_map(|(key, content)| Step::SetValue(key, content)),
        5 => (key.clone(), any::<Option<i64>>()).prop_map(|(key, expire)| Step::SetExpire(key, expire)),
        5 => (key.clone(), any_bytes()).prop_map(|(key, tail)| Step::Append(key, tail)),
        5 => (key.clone(), 0usize..1200, any_bytes()).prop_map(|(key, at, data)| Step::WriteAt(key, at, data)),
        5 => (key.clone(), 0usize..2000).prop_map(|(key, len)| Step::EditBytes(key, len)),
        2 => (key.clone(), any::<u8>()).prop_map(|(key, object)| Step::EditObject(key, object)),
        2 => (key.clone(), any::<u32>()).prop_map(|(key, access)| Step::SetAccess(key, access)),
        20 => key.clone().prop_map(Step::Remove),
        1 => (key.clone(), key).prop_map(|(from, to)| Step::RemoveMany(from, to)),
        2 => any::<bool>().prop_map(Step::Freeze),
        2 => Just(Step::Maintain),
        1 => Just(Step::Clear),
    ]
}

fn name(key: u16) -> Vec<u8> {
    // Lengths from 1 to 90 bytes, and one beyond what the header's length field holds.
    let len = if key == 7 { 70_000 } else { usize::from(key) % 90 };
    let mut name = key.to_string().into_bytes();
    name.resize(name.len().max(len), b'k');
    name
}

#[derive(Clone, Debug, PartialEq)]
struct Expected {
    content: Content,
    expire_at: Option<i64>,
    access: u32,
    edited: bool,
}

struct Pair {
    table: Tested,
    model: BTreeMap<Vec<u8>, Expected>,
}

impl Pair {
    fn found(&mut self, key: u16) -> Option<(EntryMut<'_, Object, Hasher>, &mut Expected)> {
        let name = name(key);
        let hash = self.table.hash_of(&name);
        let entry = self.table.get_mut(hash, &name);
        let expected = self.model.get_mut(&name);
        assert_eq!(entry.is_some(), expected.is_some(), "presence of key {key}");
        entry.zip(expected)
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Set(key, content, expire_at, owned) => self.set(key, content, expire_at, owned),
            Step::Remove(key) => self.remove(key),
            Step::RemoveMany(from, to) => (from..to).for_each(|key| self.remove(key)),
            Step::Freeze(frozen) => self.table.freeze(frozen),
            Step::Maintain => drop(self.table.maintain(3)),
            Step::Clear => {
                self.table.clear();
                self.model.clear();
            }
            Step::SetValue(key, _)
            | Step::SetExpire(key, _)
            | Step::Append(key, _)
            | Step::WriteAt(key, ..)
            | Step::EditBytes(key, _)
            | Step::EditObject(key, _)
            | Step::SetAccess(key, _) => self.change(key, step),
        }
    }

    fn set(&mut self, key: u16, content: Content, expire_at: Option<i64>, owned: bool) {
        let name = name(key);
        let hash = self.table.hash_of(&name);
        let access = u32::from(key);
        let stored = self.table.set(hash, &name, content.to_value(owned), expire_at, access);
        let old = self.model.insert(name, Expected { content, expire_at, access, edited: false });
        let expected = match old.map(|old| old.content) {
            None => Stored::Inserted,
            Some(Content::Object(object)) => Stored::ReplacedObject(Box::new(Rc::new(object))),
            Some(_) => Stored::Replaced,
        };
        assert_eq!(stored, expected);
    }

    fn remove(&mut self, key: u16) {
        let name = name(key);
        let hash = self.table.hash_of(&name);
        let removed = self.table.remove(hash, &name);
        let expected = self.model.remove(&name);
        assert_eq!(removed.as_ref().map(|entry| entry.get().key().to_vec()), expected.as_ref().map(|_| name));
        let removed = removed.map(|entry| match entry.into_value() {
            Owned::Int(int) => Content::Int(int),
            Owned::Bytes(bytes) => Content::Bytes(bytes),
            Owned::Object(object) => Content::Object(**object),
        });
        assert_eq!(removed, expected.map(|expected| expected.content));
    }

    fn change(&mut self, key: u16, step: Step) {
        let Some((mut entry, expected)) = self.found(key) else { return };
        let bytes = expected.content.to_bytes();
        match step {
            Step::SetValue(_, content) => {
                let old = entry.set_value(content.to_value(false));
                assert_eq!(old.is_some(), matches!(expected.content, Content::Object(_)));
                (expected.content, expected.edited) = (content, false);
            }
            Step::SetExpire(_, expire_at) => {
                entry.set_expire(expire_at);
                expected.expire_at = expire_at;
            }
            Step::Append(_, tail) => {
                let edited = bytes.map(|bytes| [bytes, tail.clone()].concat());
                assert_eq!(entry.append(&tail), edited.as_ref().map(Vec::len));
                expected.edit(edited);
            }
            Step::WriteAt(_, at, data) => {
                let edited = bytes.map(|mut bytes| {
                    bytes.resize(bytes.len().max(at + data.len()), 0);
                    bytes[at..at + data.len()].copy_from_slice(&data);
                    bytes
                });
                assert_eq!(entry.write_at(at, &data), edited.as_ref().map(Vec::len));
                expected.edit(edited);
            }
            Step::EditBytes(_, len) => {
                let edited = bytes.map(|mut bytes| {
                    bytes.resize(len, b'e');
                    bytes
                });
                assert_eq!(entry.edit_bytes(|bytes| bytes.resize(len, b'e')).is_some(), edited.is_some());
                expected.edit(edited);
            }
            Step::EditObject(_, object) => {
                let found = entry.object_mut().map(|found| *found = Rc::new(object));
                assert_eq!(found.is_some(), matches!(expected.content, Content::Object(_)));
                if found.is_some() {
                    expected.content = Content::Object(object);
                }
            }
            Step::SetAccess(_, access) => {
                entry.get().set_access(access);
                expected.access = access & ACCESS_MAX;
            }
            _ => unreachable!("not a change of one entry"),
        }
    }

    fn check(&self) {
        self.table.check();
        assert_eq!(self.table.len(), self.model.len());
        for entry in self.table.iter() {
            let found = Expected {
                content: content(entry.value()),
                expire_at: entry.expire_at(),
                access: entry.access(),
                edited: entry.is_edited(),
            };
            assert_eq!(Some(&found), self.model.get(entry.key()));
            let again = self.table.get(self.table.hash_of(entry.key()), entry.key());
            assert!(again.is_some_and(|again| std::ptr::eq(again.key(), entry.key())));
        }
        for i in 0..self.table.bucket_count() {
            let (mut volatile, mut flagged) = (0, 0);
            self.table.for_each_in_bucket(i, &mut |entry| volatile += usize::from(entry.expire_at().is_some()));
            self.table.volatile_in_bucket(i, &mut |_| flagged += 1);
            assert_eq!(volatile, flagged);
        }
    }
}

impl Expected {
    fn edit(&mut self, edited: Option<Vec<u8>>) {
        if let Some(bytes) = edited {
            (self.content, self.edited) = (Content::Bytes(bytes), true);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn any_sequence_of_changes_agrees_with_a_map(
        poor in prop::bool::weighted(0.3),
        steps in prop::collection::vec(any_step(), 1..STEPS),
    ) {
        let hasher: Hasher = if poor { poor_hash } else { good_hash };
        let mut pair = Pair { table: Table::new(hasher), model: BTreeMap::new() };
        for (i, step) in steps.into_iter().enumerate() {
            let (frozen, buckets) = (pair.table.is_frozen(), pair.table.bucket_count());
            pair.apply(step);
            if frozen {
                prop_assert_eq!(buckets, pair.table.bucket_count(), "geometry of a frozen table");
            }
            let random = i as u64 * 77;
            prop_assert_eq!(pair.table.sample(random).is_some(), !pair.model.is_empty());
            pair.check();
        }
    }

    #[test]
    fn a_scan_visits_whatever_stays_although_the_table_grows_and_shrinks(
        stays in 0u16..200,
        changes in prop::collection::vec((200u16..800, 0u16..100, any::<bool>()), 1..60),
    ) {
        let mut pair = Pair { table: Table::new(good_hash as Hasher), model: BTreeMap::new() };
        (0..stays).for_each(|key| pair.set(key, Content::Int(0), None, false));
        let mut changes = changes.into_iter().cycle();
        let mut visited = BTreeSet::new();
        let mut cursor = 0;
        for _ in 0..10_000 {
            cursor = pair.table.scan(cursor, &mut |entry| {
                visited.insert(entry.key().to_vec());
            });
            if cursor == 0 {
                break;
            }
            let (from, count, insert) = changes.next().expect("a cycle has no end");
            for key in from..from + count {
                if insert { pair.set(key, Content::Int(1), None, false) } else { pair.remove(key) }
            }
        }
        prop_assert_eq!(cursor, 0, "the scan ends");
        for key in 0..stays {
            prop_assert!(visited.contains(&name(key)), "key {key}");
        }
    }
}

fn filled(count: u64) -> Table<(), Hasher> {
    let mut table = Table::new(good_hash as Hasher);
    for i in 0..count {
        let key = i.to_le_bytes();
        table.set(good_hash(&key), &key, Value::Int(i as i64), None, 0);
    }
    table
}

#[test]
fn tags_survive_growing_and_shrinking_through_two_changes_of_their_start() {
    let count = if cfg!(miri) { 2_000 } else { 450_000 };
    let mut table = filled(count);
    assert!(cfg!(miri) || table.bucket_count() > 1 << 16);
    table.check();
    for i in 0..count - 3 {
        let key = i.to_le_bytes();
        assert!(table.remove(good_hash(&key), &key).is_some(), "key {i}");
        if i % 100_000 == 0 {
            table.check();
        }
    }
    table.check();
    assert_eq!(table.len(), 3);
    assert!(table.bucket_count() < 4);
}

#[test]
fn an_empty_table_holds_no_memory_until_the_first_key_and_after_clear() {
    let mut table = filled(0);
    assert_eq!(table.memory_bytes(), 0);
    assert!(table.get(1, b"x").is_none() && table.sample(1).is_none() && table.scan(0, &mut |_| ()) == 0);
    table.prefetch_bucket(1);
    table.prefetch_entry(1);
    table = filled(1000);
    table.clear();
    assert_eq!(table.memory_bytes(), 0);
    table.set(good_hash(b"x"), b"x", Value::Int(1), None, 0);
    assert!(table.memory_bytes() < 256, "{} bytes for one key", table.memory_bytes());
}

#[test]
fn a_short_string_with_an_expiry_takes_64_bytes_and_thirteen_of_a_bucket() {
    let count = if cfg!(miri) { 500 } else { 20_000 };
    let mut table = filled(0);
    for i in 0..count {
        let key = format!("key:{i:012}");
        table.set(good_hash(key.as_bytes()), key.as_bytes(), Value::Bytes(&[b'v'; 32]), Some(1), 0);
    }
    assert!(table.iter().all(|entry| entry.allocation_bytes() == 64));
    let per_key = table.memory_bytes() as f64 / f64::from(count);
    assert!(per_key < 79.0, "{per_key} bytes per key");
}

#[test]
fn a_value_of_the_same_size_class_is_overwritten_in_place() {
    let mut table = filled(0);
    let hash = good_hash(b"key");
    table.set(hash, b"key", Value::Bytes(b"12345678"), None, 0);
    let before = table.get(hash, b"key").map(|entry| entry.key().as_ptr());
    table.set(hash, b"key", Value::Bytes(b"87654321!"), None, 0);
    assert_eq!(table.get(hash, b"key").map(|entry| entry.key().as_ptr()), before);
}

#[test]
fn objects_are_dropped_once_whichever_way_they_leave() {
    let object = Rc::new(1);
    let mut table = Tested::new(good_hash);
    let put = |table: &mut Tested, key: &[u8]| {
        table.set(good_hash(key), key, Value::Object(Box::new(Rc::clone(&object))), Some(9), 0)
    };
    for key in [b"a", b"b", b"c", b"d", b"e"] {
        put(&mut table, key);
    }
    put(&mut table, b"a");
    table.set(good_hash(b"b"), b"b", Value::Bytes(&[0; 2000]), None, 0);
    drop(table.remove(good_hash(b"c"), b"c"));
    let taken = table.remove(good_hash(b"d"), b"d").map(Removed::into_value);
    assert_eq!(Rc::strong_count(&object), 4, "a, d (taken), e and the original");
    drop(taken);
    drop(table);
    assert_eq!(Rc::strong_count(&object), 1);
}

#[test]
fn a_frozen_table_grows_chains_and_catches_up_when_thawed() {
    let mut table = filled(0);
    table.freeze(true);
    assert_eq!(table.bucket_count(), 1);
    let count = if cfg!(miri) { 200u64 } else { 20_000 };
    let mut keys = (0..count).map(u64::to_le_bytes);
    // A chain thousands of buckets long must neither be walked recursively nor lose entries.
    for key in keys.by_ref().take(count as usize / 2) {
        table.set(good_hash(&key), &key, Value::Int(0), None, 0);
    }
    assert_eq!(table.bucket_count(), 1);
    table.freeze(false);
    keys.for_each(|key| {
        table.set(good_hash(&key), &key, Value::Int(0), None, 0);
    });
    assert!(!table.maintain(1));
    table.check();
}

#[test]
fn a_chain_longer_than_the_stack_is_deep_can_be_dropped() {
    let mut bucket = slot::Bucket::<()>::new();
    for _ in 0..if cfg!(miri) { 10 } else { 3_000 } {
        bucket.push(Slot::new(OwnedEntry::new(b"k", Value::Int(1), None, 0), 5));
    }
    std::thread::Builder::new()
        .stack_size(32 << 10)
        .spawn(move || drop(bucket))
        .expect("a thread can be started")
        .join()
        .expect("dropping does not overflow the stack");
}

#[test]
fn samples_are_near_uniform() {
    let table = filled(100);
    let draws = if cfg!(miri) { 500 } else { 100_000 };
    let mut counts = BTreeMap::new();
    for random in 0..draws {
        *counts.entry(table.sample(random).map(|entry| entry.key().to_vec())).or_insert(0u64) += 1;
    }
    assert!(cfg!(miri) || counts.values().all(|&count| (700..1300).contains(&count)), "{counts:?}");
}

#[test]
fn tables_can_be_sent_and_shared_when_their_objects_can() {
    fn sendable<T: Send + Sync>(_: &T) {}
    sendable(&filled(1));
    std::thread::scope(|scope| {
        let table = filled(100);
        let removed = filled(1).remove(good_hash(&0u64.to_le_bytes()), &0u64.to_le_bytes());
        scope.spawn(move || drop((table, removed)));
    });
}
