//! Elements that expire: replies, who sees them, who says that they are over, and what is saved.

mod common;

use common::{Harness, Replicated, START_MS};
use proptest::prelude::*;
use quiver_engine::effects::Effects;
use quiver_engine::expire::ExpireCursor;
use quiver_engine::keyspace::ALL_SHARDS;

fn expire_round(harness: &mut Harness) -> u64 {
    let now_ms = harness.now_ms;
    harness.engine.expire_round(&mut harness.worker, &mut ExpireCursor::default(), usize::MAX, now_ms)
}

fn check(harness: &Harness) {
    let mut effects = Effects::default();
    harness.engine.lock(ALL_SHARDS, &mut effects, harness.now_ms).check();
}

fn add(harness: &mut Harness, names: &str) {
    for (i, name) in names.split(' ').enumerate() {
        assert_eq!(harness.run(&format!("VADD v VALUES 2 1 {i} {name} SETATTR {{\"n\":{i}}}")), ":1");
    }
}

#[test]
fn expiries_are_set_told_and_taken_away() {
    let mut harness = Harness::new();
    add(&mut harness, "a b c");
    harness.expect(&[
        ("VTTL v ELEMENTS 2 a none", "*2[:-1 :-2]"),
        ("VEXPIRE v 10 ELEMENTS 3 a b none", "*3[:1 :1 :-2]"),
        ("VTTL v ELEMENTS 3 a c none", "*3[:10 :-1 :-2]"),
        ("VPTTL v ELEMENTS 1 a", "*1[:10000]"),
        ("VEXPIRETIME v ELEMENTS 1 a", "*1[:1700000010]"),
        ("VPEXPIRETIME v ELEMENTS 1 a", "*1[:1700000010000]"),
        ("VEXPIRE v 20 NX ELEMENTS 2 a c", "*2[:0 :1]"),
        ("VEXPIRE v 30 XX ELEMENTS 2 a none", "*2[:1 :-2]"),
        ("VEXPIRE v 5 GT ELEMENTS 1 a", "*1[:0]"),
        ("VEXPIRE v 5 LT ELEMENTS 1 a", "*1[:1]"),
        ("VPERSIST v ELEMENTS 3 a a none", "*3[:1 :-1 :-2]"),
        ("VPEXPIRE v 5500 LT ELEMENTS 1 a", "*1[:1]"),
        ("VTTL v ELEMENTS 1 a", "*1[:6]"),
        ("VEXPIRE v 0 ELEMENTS 2 a a", "*2[:2 :-2]"),
        ("VCARD v", ":2"),
        ("VEXPIREAT v 1 ELEMENTS 1 b", "*1[:2]"),
        ("VPEXPIREAT v 1 ELEMENTS 1 c", "*1[:2]"),
        ("EXISTS v", ":0"),
        ("VTTL v ELEMENTS 1 a", "*1[:-2]"),
        ("VPERSIST v ELEMENTS 1 a", "*1[:-2]"),
        ("VEXPIRE v 1 ELEMENTS 2 a b", "*2[:-2 :-2]"),
    ]);
    check(&harness);
}

#[test]
fn wrong_words_and_types_are_refused() {
    let mut harness = Harness::new();
    add(&mut harness, "a");
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    let mandatory = "-ERR Mandatory argument ELEMENTS is missing or not at the right position";
    harness.expect(&[
        ("SET s 1", "+OK"),
        ("VEXPIRE s 10 ELEMENTS 1 a", wrong),
        ("VTTL s ELEMENTS 1 a", wrong),
        ("VPERSIST s ELEMENTS 1 a", wrong),
        ("VEXPIRE v 10 FIELDS 1 a", mandatory),
        ("VTTL v FIELDS 1 a", mandatory),
        ("VEXPIRE v x ELEMENTS 1 a", "-ERR value is not an integer or out of range"),
        ("VEXPIRE v -1 ELEMENTS 1 a", "-ERR invalid expire time, must be >= 0"),
        ("VEXPIRE v 9223372036854775807 ELEMENTS 1 a", "-ERR invalid expire time in 'vexpire' command"),
        ("VEXPIRE v 10 ELEMENTS 0 a", "-ERR Number of elements must be a positive integer"),
        ("VEXPIRE v 10 ELEMENTS 2 a", "-ERR The `numelements` parameter must match the number of arguments"),
        ("VEXPIRE v 10 ELEMENTS 1 a b", "-ERR The `numelements` parameter must match the number of arguments"),
    ]);
}

#[test]
fn a_new_vector_takes_the_expiry_away_and_new_attributes_do_not() {
    let mut harness = Harness::new();
    add(&mut harness, "a b");
    harness.expect(&[
        ("VEXPIRE v 10 ELEMENTS 2 a b", "*2[:1 :1]"),
        ("VADD v VALUES 2 3 4 a", ":0"),
        ("VSETATTR v b {}", ":1"),
        ("VTTL v ELEMENTS 2 a b", "*2[:-1 :10]"),
        ("COPY v w", ":1"),
        ("VTTL w ELEMENTS 2 a b", "*2[:-1 :10]"),
        ("RENAME w x", "+OK"),
        ("VTTL x ELEMENTS 2 a b", "*2[:-1 :10]"),
        ("VREM x b", ":1"),
    ]);
    check(&harness);
}

#[test]
fn nobody_sees_an_element_that_is_over() {
    let mut harness = Harness::new();
    add(&mut harness, "a b c");
    harness.run("VPEXPIRE v 500 ELEMENTS 2 a b");
    harness.now_ms += 499;
    assert!(harness.run("VSIM v VALUES 2 1 0").contains("'a'"));
    harness.now_ms += 1;
    harness.expect(&[
        ("VSIM v VALUES 2 1 0", "*1['c']"),
        ("VSIM v VALUES 2 1 0 TRUTH", "*1['c']"),
        ("VSIM v VALUES 2 1 0 FILTER '.n >= 0'", "*1['c']"),
        ("VSIM v ELE a", "-ERR element not found in set"),
        ("VISMEMBER v a", ":0"),
        ("VEMB v a", "$-1"),
        ("VGETATTR v b", "$-1"),
        ("VLINKS v b", "$-1"),
        ("VRANGE v - +", "*1['c']"),
        ("VRANDMEMBER v", "'c'"),
        ("VRANDMEMBER v 9", "*1['c']"),
        ("VRANDMEMBER v -2", "*2['c' 'c']"),
        ("VTTL v ELEMENTS 1 a", "*1[:-2]"),
        ("VSETATTR v a {}", ":0"),
        ("VREM v b", ":0"),
        ("VCARD v", ":1"),
        ("VADD v VALUES 2 1 2 a", ":1"),
        ("VGETATTR v a", "$-1"),
    ]);
    check(&harness);
}

#[test]
fn rounds_of_expiry_take_elements_out_and_the_key_with_the_last() {
    let mut harness = Harness::new();
    for i in 0..100 {
        harness.run(&format!("VADD v VALUES 2 1 {i} e{i}"));
        harness.run(&format!("VPEXPIRE v {} ELEMENTS 1 e{i}", 1 + i % 50));
    }
    harness.now_ms += 25;
    expire_round(&mut harness);
    assert_eq!(harness.run("VCARD v"), ":50");
    check(&harness);
    harness.now_ms += 100;
    expire_round(&mut harness);
    assert_eq!(harness.run("EXISTS v"), ":0");
    check(&harness);
}

#[test]
fn expiries_survive_dump_and_restore() {
    let mut harness = Harness::new();
    add(&mut harness, "a b");
    harness.run("VPEXPIRE v 500 ELEMENTS 1 a");
    let dump = harness.run_words(&["DUMP", "v"]);
    let start = dump.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let payload = &dump[start..dump.len() - 2];
    let restored = harness.run_words(&[b"RESTORE".as_slice(), b"w", b"0", payload]);
    assert_eq!(restored, b"+OK\r\n");
    harness.expect(&[("VPTTL w ELEMENTS 2 a b", "*2[:500 :-1]")]);
    check(&harness);
    harness.now_ms += 500;
    harness.expect(&[("VISMEMBER w a", ":0"), ("VISMEMBER w b", ":1")]);
}

#[test]
fn effects_are_absolute_and_removals() {
    let mut pair = Replicated::new();
    let words = |line: &str| vec![line.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>()];
    pair.run("VADD v VALUES 2 1 2 a");
    pair.run("VADD v VALUES 2 1 3 b");
    pair.run("VEXPIRE v 10 ELEMENTS 2 a none");
    assert_eq!(pair.last, words(&format!("VPEXPIREAT v {} ELEMENTS 1 a", START_MS + 10_000)));
    pair.run("VPERSIST v ELEMENTS 2 a b");
    assert_eq!(pair.last, words("VPERSIST v ELEMENTS 1 a"));
    pair.run("VEXPIRE v 0 ELEMENTS 1 a");
    assert_eq!(pair.last, words("VREM v a"));
    pair.run("VPEXPIRE v 5 ELEMENTS 1 b");
    pair.primary.now_ms += 10;
    pair.run("VSETATTR v b {}");
    assert_eq!(pair.last, words("VREM v b"));
}

fn command() -> impl Strategy<Value = (String, u8)> {
    let element = (0..6_u8).prop_map(|i| format!("e{i}"));
    let key = (0..2_u8).prop_map(|i| format!("v{i}"));
    let line = prop_oneof![
        4 => (key.clone(), element.clone(), -3..3_i8).prop_map(|(k, e, x)| format!("VADD {k} VALUES 2 1 {x} {e}")),
        1 => (key.clone(), element.clone()).prop_map(|(k, e)| format!("VREM {k} {e}")),
        1 => (key.clone(), element.clone()).prop_map(|(k, e)| format!("VSETATTR {k} {e} {{}}")),
        4 => (key.clone(), element.clone(), element.clone(), 0..40_u8)
            .prop_map(|(k, e, f, ms)| format!("VPEXPIRE {k} {ms} ELEMENTS 2 {e} {f}")),
        1 => (key.clone(), element).prop_map(|(k, e)| format!("VPERSIST {k} ELEMENTS 1 {e}")),
        1 => key.clone().prop_map(|k| format!("COPY {k} v0 REPLACE")),
        1 => key.prop_map(|k| format!("RENAME {k} v1")),
    ];
    (line, 0..12_u8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_replica_that_never_decides_about_time_has_the_same_elements(
        commands in proptest::collection::vec(command(), 1..80),
    ) {
        let mut pair = Replicated::new();
        for (line, pause) in &commands {
            pair.primary.now_ms += i64::from(*pause);
            pair.run(line);
            check(&pair.primary);
            check(&pair.replica);
        }
    }
}
