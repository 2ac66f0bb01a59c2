//! KEYS, RANDOMKEY and SCAN see every live key, and SCAN does so while the keyspace changes.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Harness, START_MS};
use proptest::prelude::*;
use quiver_engine::{Engine, Session, Worker};
use quiver_resp::{OwnedArgv, ReplyDecoder, ReplyLimits, Value};

/// A client of an engine that others use at the same time.
struct Client<'e> {
    engine: &'e Engine,
    worker: Worker,
    session: Session,
}

impl<'e> Client<'e> {
    fn new(engine: &'e Engine) -> Self {
        let client = engine.connect("test:1".to_owned(), "test:2".to_owned(), START_MS).unwrap();
        Self { engine, worker: engine.worker(7, || 0), session: Session::new(client, true) }
    }

    fn run(&mut self, line: &str) -> Value {
        let argv = OwnedArgv::from_slices(&line.split(' ').collect::<Vec<_>>());
        let mut out = Vec::new();
        self.engine.run_one(&mut self.worker, &mut self.session, argv.as_argv(), &mut out, START_MS);
        ReplyDecoder::new(ReplyLimits::default()).decode(&out).unwrap().1.unwrap()
    }

    /// One call of SCAN: the next cursor and the keys.
    fn scan(&mut self, cursor: &str, options: &str) -> (String, Vec<String>) {
        let line = format!("SCAN {cursor} {options}");
        let reply = self.run(line.trim_end());
        let [cursor, keys] = reply.as_array().unwrap() else { panic!("two elements") };
        (cursor.as_str().unwrap().to_owned(), names(keys))
    }

    /// A whole scan, with something done between the calls; every key in the order of its appearances.
    fn scan_all(&mut self, options: &str, mut between: impl FnMut(&mut Self)) -> Vec<String> {
        let (mut cursor, mut all) = ("0".to_owned(), Vec::new());
        loop {
            let (next, keys) = self.scan(&cursor, options);
            all.extend(keys);
            if next == "0" {
                return all;
            }
            cursor = next;
            between(self);
        }
    }
}

fn names(keys: &Value) -> Vec<String> {
    keys.as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect()
}

fn sorted(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let set: BTreeSet<String> = names.into_iter().collect();
    set.into_iter().collect()
}

#[test]
fn arguments_are_checked_as_redis_checks_them() {
    let mut client = Harness::new();
    client.run("SET a 1");
    let all = "*2['0' *1['a']]";
    for cursor in ["0", "00", "+0", "-0", "' 0'"] {
        assert_eq!(client.run(&format!("SCAN {cursor}")), all, "{cursor}");
    }
    for cursor in ["x", "-1", "''", "'0 '", "0x0", "' '", "-+1", "18446744073709551616", "x COUNT y"] {
        assert_eq!(client.run(&format!("SCAN {cursor}")), "-ERR invalid cursor", "{cursor}");
    }
    client.expect(&[
        ("SCAN 18446744073709551615", "*2['0' *0[]]"),
        ("SCAN 0 COUNT 0", "-ERR syntax error"),
        ("SCAN 0 COUNT -1", "-ERR syntax error"),
        ("SCAN 0 COUNT x", "-ERR value is not an integer or out of range"),
        ("SCAN 0 COUNT", "-ERR syntax error"),
        ("SCAN 0 MATCH", "-ERR syntax error"),
        ("SCAN 0 FOO 1", "-ERR syntax error"),
        ("SCAN 0 NOVALUES", "-ERR NOVALUES option can only be used in HSCAN"),
        ("SCAN 0 COUNT 9223372036854775807 COUNT 20", all),
        ("SCAN 0 COUNT 9223372036854775807", all),
        ("SCAN 0 MATCH a TYPE STRING", all),
        ("SCAN 0 TYPE foo", "*2['0' *0[]]"),
        ("SCAN 0 TYPE vectorset", "*2['0' *0[]]"),
        ("SCAN 0 MATCH b*", "*2['0' *0[]]"),
        ("SCAN", "-ERR wrong number of arguments for 'scan' command"),
        ("RANDOMKEY", "'a'"),
    ]);
}

#[test]
fn a_few_keys_come_in_one_call() {
    let engine = Engine::standalone();
    let mut client = Client::new(&engine);
    (0..9).for_each(|i| drop(client.run(&format!("SET key:{i} x"))));
    let (cursor, keys) = client.scan("0", "");
    assert_eq!((cursor.as_str(), keys.len()), ("0", 9));
}

#[test]
fn calls_return_about_as_many_keys_as_asked_for() {
    let engine = Engine::standalone();
    let mut client = Client::new(&engine);
    (0..5000).for_each(|i| drop(client.run(&format!("SET key:{i} x"))));
    for count in [1, 10, 100, 1000] {
        let (_, keys) = client.scan("0", &format!("COUNT {count}"));
        assert!((count..count + 40).contains(&keys.len()), "{count}: {}", keys.len());
    }
    // A filter that passes nothing ends the call after a bounded number of keys.
    assert_ne!(client.scan("0", "MATCH nothing").0, "0");
}

#[test]
fn keys_that_are_over_are_neither_scanned_nor_listed() {
    let mut client = Harness::new();
    client.expect(&[("SET a 1 PX 10", "+OK"), ("SET b 1", "+OK")]);
    client.now_ms += 10;
    client.expect(&[
        ("SCAN 0", "*2['0' *1['b']]"),
        ("KEYS *", "*1['b']"),
        ("KEYS ?", "*1['b']"),
        ("KEYS a", "*0[]"),
        ("RANDOMKEY", "'b'"),
        ("DEL b", ":1"),
        ("RANDOMKEY", "$-1"),
    ]);
    client.expect3(&[("RANDOMKEY", "_"), ("KEYS *", "*0[]"), ("SCAN 0", "*2['0' *0[]]")]);
}

#[test]
fn a_transaction_scans_under_its_own_locks() {
    let mut client = Harness::new();
    client.expect(&[
        ("MULTI", "+OK"),
        ("SET a 1", "+QUEUED"),
        ("SCAN 0", "+QUEUED"),
        ("SET b 1", "+QUEUED"),
        ("KEYS b", "+QUEUED"),
        ("EXEC", "*4[+OK *2['0' *1['a']] +OK *1['b']]"),
    ]);
}

#[test]
fn databases_are_scanned_apart() {
    let mut client = Harness::new();
    client.expect(&[
        ("SET a 1", "+OK"),
        ("SELECT 3", "+OK"),
        ("SET b 1", "+OK"),
        ("SCAN 0", "*2['0' *1['b']]"),
        ("KEYS *", "*1['b']"),
        ("RANDOMKEY", "'b'"),
    ]);
}

#[test]
fn every_key_is_picked_at_random_sooner_or_later() {
    let engine = Engine::standalone();
    let mut client = Client::new(&engine);
    (0..20).for_each(|i| drop(client.run(&format!("SET {i} x"))));
    let picked = sorted((0..1000).map(|_| client.run("RANDOMKEY").as_str().unwrap().to_owned()));
    assert_eq!(picked.len(), 20);
}

#[test]
fn a_scan_beside_writers_returns_what_stays() {
    let engine = Engine::standalone();
    let mut client = Client::new(&engine);
    let staying = sorted((0..2000).map(|i| format!("stay:{i}")));
    staying.iter().for_each(|name| drop(client.run(&format!("SET {name} x"))));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = Client::new(&engine);
            while !stop.load(Ordering::Relaxed) {
                (0..1000).for_each(|i| drop(writer.run(&format!("SET go:{i} x"))));
                (0..1000).for_each(|i| drop(writer.run(&format!("DEL go:{i}"))));
            }
        });
        for _ in 0..10 {
            assert_eq!(sorted(client.scan_all("MATCH stay:* COUNT 50", |_| ())), staying);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// Calls of a scan between which keys come and go; those after that find the keyspace at rest.
const CHANGING_CALLS: usize = 20;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn every_key_present_throughout_is_returned_whatever_comes_and_goes(
        stay in 0..400_usize,
        grow in 0..200_usize,
        shrink in 0..4000_usize,
        count in 1..60_usize,
    ) {
        let engine = Engine::standalone();
        let mut client = Client::new(&engine);
        let staying = sorted((0..stay).map(|i| format!("stay:{i}")));
        staying.iter().for_each(|name| drop(client.run(&format!("SET {name} x"))));
        (0..shrink).for_each(|i| drop(client.run(&format!("SET old:{i} x"))));
        let (mut added, mut removed, mut calls) = (0, 0, 0);
        let seen = client.scan_all(&format!("COUNT {count}"), |client| {
            calls += 1;
            if calls > CHANGING_CALLS {
                return;
            }
            for _ in 0..grow {
                client.run(&format!("SET new:{added} x"));
                added += 1;
            }
            for _ in 0..shrink / CHANGING_CALLS {
                client.run(&format!("DEL old:{removed}"));
                removed += 1;
            }
        });
        let seen: BTreeSet<String> = seen.into_iter().collect();
        let missed: Vec<_> = staying.iter().filter(|name| !seen.contains(*name)).collect();
        prop_assert!(missed.is_empty(), "{missed:?}");
        let listed = sorted(names(&client.run("KEYS stay:*")));
        prop_assert_eq!(listed, staying);
    }
}
