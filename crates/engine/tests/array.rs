//! Arrays: replies, errors, and the stream.

mod common;

use common::{Harness, Replicated};
use proptest::prelude::*;

const INDEX: &str = "-ERR invalid array index";

#[test]
fn elements_are_written_and_read_by_index() {
    let mut harness = Harness::new();
    harness.expect(&[
        ("ARSET a 0 login click purchase", ":3"),
        ("ARSET a 2 again more", ":1"),
        ("ARGET a 0", "'login'"),
        ("ARGET a 999", "$-1"),
        ("ARGET none 0", "$-1"),
        ("ARMSET m 0 10 5 20 100 30", ":3"),
        ("ARMGET m 0 5 100 999", "*4['10' '20' '30' $-1]"),
        ("ARLEN m", ":101"),
        ("ARCOUNT m", ":3"),
        ("ARLEN none", ":0"),
        ("ARCOUNT none", ":0"),
        ("TYPE m", "+array"),
        ("OBJECT ENCODING m", "'sliced-array'"),
        ("ARSET big 18446744073709551614 x", ":1"),
        ("ARLEN big", "'18446744073709551615'"),
        ("ARSCAN big 0 18446744073709551614", "*1[*2['18446744073709551614' 'x']]"),
    ]);
    harness.expect3(&[("ARLEN big", "(18446744073709551615"), ("ARGET m 7", "_")]);
}

#[test]
fn ranges_are_read_in_either_direction() {
    let mut harness = Harness::new();
    harness.run("ARMSET s 0 a 1 b 3 d");
    harness.expect(&[
        ("ARGETRANGE s 0 3", "*4['a' 'b' $-1 'd']"),
        ("ARGETRANGE s 3 0", "*4['d' $-1 'b' 'a']"),
        ("ARGETRANGE none 0 1", "*2[$-1 $-1]"),
        ("ARGETRANGE s 0 1000000", "-ERR range exceeds maximum of 1000000 items"),
        ("ARSCAN s 0 10", "*3[*2[:0 'a'] *2[:1 'b'] *2[:3 'd']]"),
        ("ARSCAN s 10 0 LIMIT 2", "*2[*2[:3 'd'] *2[:1 'b']]"),
        ("ARSCAN none 0 10", "*0[]"),
        ("ARSCAN s 0 10 LIMIT", "-ERR syntax error"),
    ]);
}

#[test]
fn elements_are_appended_at_a_cursor_of_their_own() {
    let mut harness = Harness::new();
    harness.expect(&[
        ("ARNEXT l", ":0"),
        ("ARSEEK l 5", ":0"),
        ("EXISTS l", ":0"),
        ("ARINSERT l e1", ":0"),
        ("ARINSERT l e2 e3", ":2"),
        ("ARSET l 7 far", ":1"),
        ("ARNEXT l", ":3"),
        ("ARSEEK l 10", ":1"),
        ("ARINSERT l e4", ":10"),
        ("ARLASTITEMS l 2", "*2[$-1 'e4']"),
        ("ARDEL l 10", ":1"),
        ("ARNEXT l", ":11"),
        ("ARSEEK l 0", ":1"),
        ("ARNEXT l", ":0"),
        ("ARSEEK l 18446744073709551615", ":1"),
        ("ARNEXT l", "$-1"),
        ("ARINSERT l x", "-ERR insert index overflow"),
        ("ARSEEK l 18446744073709551614", ":1"),
        ("ARINSERT l x y", "-ERR insert index overflow"),
        ("ARINSERT l x", "'18446744073709551614'"),
        ("ARNEXT l", "$-1"),
    ]);
}

#[test]
fn a_ring_overwrites_its_oldest_elements() {
    let mut harness = Harness::new();
    harness.expect(&[
        ("ARRING r 3 v0", ":0"),
        ("ARRING r 3 v1 v2", ":2"),
        ("ARRING r 3 v3", ":0"),
        ("ARGET r 0", "'v3'"),
        ("ARCOUNT r", ":3"),
        ("ARLASTITEMS r 3", "*3['v1' 'v2' 'v3']"),
        ("ARLASTITEMS r 9 REV", "*3['v3' 'v2' 'v1']"),
        ("ARRING r 5 v4", ":3"),
        ("ARLASTITEMS r 9", "*4['v1' 'v2' 'v3' 'v4']"),
        ("ARRING r 2 v5", ":0"),
        ("ARGETRANGE r 0 2", "*3['v5' 'v4' $-1]"),
        ("ARLASTITEMS none 3", "*0[]"),
        ("ARLASTITEMS r -1", "-ERR value is out of range, must be positive"),
    ]);
}

#[test]
fn elements_are_deleted_and_the_key_with_the_last() {
    let mut harness = Harness::new();
    harness.run("ARSET d 0 a b c d e f");
    harness.expect(&[
        ("ARDEL d 1 1 99", ":1"),
        ("ARDEL d 2 nope", INDEX),
        ("ARDELRANGE d 3 2 9 5", ":3"),
        ("ARSCAN d 0 9", "*2[*2[:0 'a'] *2[:4 'e']]"),
        ("ARDELRANGE d 0 18446744073709551614", ":2"),
        ("EXISTS d", ":0"),
        ("ARDEL d 0", ":0"),
        ("ARDELRANGE d 0 1", ":0"),
    ]);
}

#[test]
fn elements_are_summed_up() {
    let mut harness = Harness::new();
    harness.run("ARMSET n 0 10 1 20.5 2 word 5000 -3");
    harness.expect(&[
        ("AROP n 0 9999 SUM", "'27.5'"),
        ("AROP n 9999 0 MIN", "'-3'"),
        ("AROP n 0 9999 MAX", "'20.5'"),
        ("AROP n 0 2 AND", ":0"),
        ("AROP n 0 2 OR", ":30"),
        ("AROP n 0 9999 XOR", ":-29"),
        ("AROP n 0 9999 USED", ":4"),
        ("AROP n 0 9999 MATCH word", ":1"),
        ("AROP n 0 9999 match 20.50", ":0"),
        ("AROP n 2 2 SUM", "$-1"),
        ("AROP n 2 2 AND", "$-1"),
        ("AROP none 0 2 SUM", "$-1"),
        ("AROP none 0 2 USED", ":0"),
        ("AROP n 0 2 MATCH", "-ERR syntax error"),
        ("AROP n 0 2 SUM x", "-ERR syntax error"),
        ("AROP n 0 2 MEAN", "-ERR syntax error"),
    ]);
}

#[test]
fn elements_are_found_by_text_and_pattern() {
    let mut harness = Harness::new();
    harness.run("ARMSET log 0 'boot: ok' 1 'warn: disk' 2 'ERROR: cpu' 3 'info: ready' 4 'error: net'");
    harness.expect(&[
        ("ARGREP log - + MATCH error NOCASE", "*2[:2 :4]"),
        ("ARGREP log + - MATCH error NOCASE", "*2[:4 :2]"),
        ("ARGREP log - + MATCH error NOCASE WITHVALUES", "*2[*2[:2 'ERROR: cpu'] *2[:4 'error: net']]"),
        ("ARGREP log 0 4 GLOB warn:* OR GLOB error:*", "*2[:1 :4]"),
        ("ARGREP log 0 4 RE '^[A-Za-z]+: (cpu|net)$' NOCASE", "*2[:2 :4]"),
        ("ARGREP log 0 4 RE '^error' NOCASE LIMIT 1", "*1[:2]"),
        ("ARGREP log 0 4 EXACT 'info: ready'", "*1[:3]"),
        ("ARGREP log 0 4 MATCH r MATCH o AND", "*2[:3 :4]"),
        ("ARGREP log - + MATCH '' LIMIT 2", "*2[:0 :1]"),
        ("ARGREP none - + MATCH x", "*0[]"),
        ("ARGREP log - + RE '('", "-ERR invalid regular expression"),
        ("ARGREP log - + LIMIT 1", "-ERR syntax error"),
        ("ARGREP log - + MATCH x LIMIT 0", "-ERR LIMIT must be positive"),
        ("ARGREP log x + MATCH x", INDEX),
    ]);
}

#[test]
fn wrong_words_and_types_are_refused() {
    let mut harness = Harness::new();
    harness.run("SET s 1");
    for line in [
        "ARCOUNT s",
        "ARDEL s 1",
        "ARDELRANGE s 1 2",
        "ARGET s 1",
        "ARGETRANGE s 1 2",
        "ARGREP s 1 2 MATCH x",
        "ARINFO s",
        "ARINSERT s x",
        "ARLASTITEMS s 1",
        "ARLEN s",
        "ARMGET s 1",
        "ARMSET s 1 x",
        "ARNEXT s",
        "AROP s 1 2 SUM",
        "ARRING s 1 x",
        "ARSCAN s 1 2",
        "ARSEEK s 1",
        "ARSET s 1 x",
    ] {
        let reply = harness.run(line);
        assert_eq!(reply, "-WRONGTYPE Operation against a key holding the wrong kind of value", "{line}");
    }
    harness.expect(&[
        ("ARSET a -1 x", INDEX),
        ("ARSET a 18446744073709551615 x", INDEX),
        ("ARSET a 18446744073709551614 x y", INDEX),
        ("ARMSET a 1", "-ERR wrong number of arguments for 'armset' command"),
        ("ARMSET a 1 x 2", "-ERR wrong number of arguments for 'armset' command"),
        ("ARDELRANGE a 1 2 3", "-ERR wrong number of arguments for 'ardelrange' command"),
        ("ARINFO a", "-ERR no such key"),
        ("EXISTS a", ":0"),
    ]);
}

#[test]
fn an_array_describes_itself() {
    let mut harness = Harness::new();
    harness.run("ARMSET a 0 a 1 b 100 c");
    harness.run("ARINSERT a d");
    let short = "'count' :3 'len' :101 'next-insert-index' :1 'slices' :1 'directory-size' :1 'super-dir-entries' :0 \
                 'slice-size' :4096";
    assert_eq!(harness.run("ARINFO a"), format!("*14[{short}]"));
    assert!(harness.run3("ARINFO a FULL").starts_with(&format!("%12[{short} 'dense-slices' :0 'sparse-slices' :1 ")));
}

fn step() -> impl Strategy<Value = String> {
    let key = || (0..2u8).prop_map(|n| format!("k{n}"));
    let index = || prop_oneof![4 => 0..20u64, 1 => 4090..4100u64, 1 => u64::MAX - 3..u64::MAX];
    let value = || prop_oneof![(-9..9i64).prop_map(|n| n.to_string()), "[a-c]{1,3}"];
    prop_oneof![
        4 => (key(), index(), value(), value()).prop_map(|(k, i, a, b)| format!("ARSET {k} {i} {a} {b}")),
        2 => (key(), index(), index(), value()).prop_map(|(k, i, j, a)| format!("ARMSET {k} {i} {a} {j} {a}")),
        4 => (key(), value(), value()).prop_map(|(k, a, b)| format!("ARINSERT {k} {a} {b}")),
        3 => (key(), 1..6u8, value()).prop_map(|(k, size, a)| format!("ARRING {k} {size} {a}")),
        2 => (key(), index()).prop_map(|(k, i)| format!("ARSEEK {k} {i}")),
        3 => (key(), index(), index()).prop_map(|(k, i, j)| format!("ARDEL {k} {i} {j}")),
        1 => (key(), index(), index()).prop_map(|(k, i, j)| format!("ARDELRANGE {k} {i} {j}")),
        1 => (key(), key()).prop_map(|(k, to)| format!("COPY {k} {to} REPLACE")),
        1 => key().prop_map(|k| format!("DEL {k}")),
        1 => key().prop_map(|k| format!("ARINFO {k} FULL")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_replica_has_the_same_arrays_after_every_turn(steps in proptest::collection::vec(step(), 1..100)) {
        let mut pair = Replicated::new();
        for line in &steps {
            pair.run(line);
        }
    }
}
