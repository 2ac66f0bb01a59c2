//! Active expiry removes what is over, only that, only on a primary, and says so in the stream.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use common::{Harness, words_of};
use quiver_engine::effects::{Effects, Sink};
use quiver_engine::expire::ExpireCursor;

/// One unit: the commands of a turn, each with its database.
type Unit = Vec<(u32, Vec<Vec<u8>>)>;

/// Every unit as its commands.
#[derive(Default)]
struct Recorder(Mutex<Vec<Unit>>);

impl Sink for Recorder {
    fn append(&self, effects: &Effects) {
        let units = effects.units().map(|unit| unit.map(|(db, bytes)| (db, words_of(bytes))).collect());
        self.0.lock().unwrap().extend(units);
    }
}

fn recorded(harness: &Harness) -> Arc<Recorder> {
    let recorder = Arc::new(Recorder::default());
    harness.engine.set_sink(Some(Arc::clone(&recorder) as Arc<dyn Sink>), || ());
    recorder
}

fn round(harness: &mut Harness, cursor: &mut ExpireCursor, buckets: usize) -> u64 {
    harness.engine.expire_round(&mut harness.worker, cursor, buckets, harness.now_ms)
}

/// Keys of three kinds in two databases: those that end after `i` ms, some later, some never.
fn filled(keys: usize) -> Harness {
    let mut harness = Harness::new();
    for db in ["0", "3"] {
        harness.run_words(&["SELECT", db]);
        for i in 0..keys {
            let ms = (1 + i % 100).to_string();
            harness.run_words(&["SET", &format!("soon:{i}"), "x", "PX", &ms]);
            if i % 10 == 0 {
                harness.run_words(&["SET", &format!("later:{i}"), "x", "PX", "100000"]);
                harness.run_words(&["SET", &format!("always:{i}"), "x"]);
            }
        }
    }
    harness
}

#[test]
fn ten_thousand_short_lived_keys_vanish_each_with_its_own_del() {
    let mut harness = filled(5000);
    let recorder = recorded(&harness);
    let (mut cursor, mut expected) = (ExpireCursor::default(), harness.digest());
    assert_eq!(round(&mut harness, &mut cursor, usize::MAX), 0, "nothing is over yet");
    assert_eq!(harness.digest(), expected);
    harness.now_ms += 100;
    expected = harness.digest();
    let mut deleted = 0;
    while deleted < 10_000 {
        deleted += round(&mut harness, &mut cursor, 2000);
    }
    assert_eq!(deleted, 10_000);
    assert_eq!(harness.digest(), expected, "keys that are over did not count before either");
    for db in ["0", "3"] {
        harness.run_words(&["SELECT", db]);
        harness.expect(&[("DBSIZE", ":1000"), ("PTTL later:10", ":99900"), ("TTL always:10", ":-1")]);
    }
    let units = std::mem::take(&mut *recorder.0.lock().unwrap());
    assert_eq!(units.len(), 10_000);
    for unit in &units {
        let [(db, words)] = unit.as_slice() else { panic!("one command in {unit:?}") };
        assert!(matches!(db, 0 | 3) && words.len() == 2 && words[0] == b"DEL" && words[1].starts_with(b"soon:"));
    }
    assert_eq!(harness.engine.stats.sum(|thread| thread.expired.get()), 10_000);
}

#[test]
fn a_round_keeps_to_its_bound_and_the_next_goes_on() {
    let mut harness = filled(5000);
    harness.now_ms += 100;
    let mut cursor = ExpireCursor::default();
    let first = round(&mut harness, &mut cursor, 20);
    assert!((1..600).contains(&first), "{first}");
    let rest: u64 = (0..200).map(|_| round(&mut harness, &mut cursor, 20)).sum();
    assert_eq!(first + rest, 10_000);
}

#[test]
fn a_round_over_an_empty_keyspace_ends() {
    let mut harness = Harness::new();
    assert_eq!(round(&mut harness, &mut ExpireCursor::default(), usize::MAX), 0);
}

#[test]
fn a_replica_hides_what_is_over_and_deletes_nothing() {
    let mut harness = filled(50);
    harness.run("SELECT 0");
    let recorder = recorded(&harness);
    harness.engine.state.is_replica.store(true, Ordering::Relaxed);
    harness.now_ms += 100;
    assert_eq!(round(&mut harness, &mut ExpireCursor::default(), usize::MAX), 0);
    harness.expect(&[("EXISTS soon:1", ":0"), ("TTL soon:1", ":-2"), ("KEYS soon:*", "*0[]"), ("DBSIZE", ":60")]);
    assert!(recorder.0.lock().unwrap().is_empty());
    harness.engine.state.is_replica.store(false, Ordering::Relaxed);
    assert_eq!(round(&mut harness, &mut ExpireCursor::default(), usize::MAX), 100);
    harness.expect(&[("DBSIZE", ":10")]);
}

#[test]
fn watchers_of_a_key_learn_that_it_expired() {
    let mut harness = Harness::new();
    harness.expect(&[("SET a 1 PX 10", "+OK"), ("WATCH a", "+OK"), ("MULTI", "+OK"), ("PING", "+QUEUED")]);
    harness.now_ms += 10;
    round(&mut harness, &mut ExpireCursor::default(), usize::MAX);
    harness.expect(&[("EXEC", "*-1")]);
}
