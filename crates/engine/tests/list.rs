//! The list commands, their replies as Redis 8.0.2 gives them.

mod common;

use common::{Harness, Replicated};
use proptest::prelude::*;

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const NOT_INTEGER: &str = "-ERR value is not an integer or out of range";

#[test]
fn elements_are_pushed_popped_and_read_at_both_ends() {
    Harness::new().expect(&[
        ("LPUSHX l a", ":0"),
        ("RPUSHX l a", ":0"),
        ("RPUSH l b c", ":2"),
        ("LPUSH l a 0", ":4"),
        ("LPUSHX l -1", ":5"),
        ("RPUSHX l d e", ":7"),
        ("LLEN l", ":7"),
        ("LLEN nokey", ":0"),
        ("LRANGE l 0 -1", "*7['-1' '0' 'a' 'b' 'c' 'd' 'e']"),
        ("LRANGE l -100 100", "*7['-1' '0' 'a' 'b' 'c' 'd' 'e']"),
        ("LRANGE l 2 1", "*0[]"),
        ("LRANGE l 0 -100", "*0[]"),
        ("LRANGE l 7 9", "*0[]"),
        ("LRANGE nokey 0 -1", "*0[]"),
        ("LRANGE l x 1", NOT_INTEGER),
        ("LINDEX l 0", "'-1'"),
        ("LINDEX l -1", "'e'"),
        ("LINDEX l 7", "$-1"),
        ("LINDEX l -8", "$-1"),
        ("LINDEX l x", NOT_INTEGER),
        ("LINDEX nokey x", "$-1"),
        ("LPOP l", "'-1'"),
        ("RPOP l", "'e'"),
        ("LPOP l 2", "*2['0' 'a']"),
        ("RPOP l 2", "*2['d' 'c']"),
        ("RPOP l 0", "*0[]"),
        ("LPOP l 10", "*1['b']"),
        ("LPOP l", "$-1"),
        ("LPOP l 1", "*-1"),
        ("LPOP l 0", "*-1"),
        ("LPOP l -1", "-ERR value is out of range, must be positive"),
        ("LPOP l x", "-ERR value is out of range, must be positive"),
        ("RPOP l 1 2", "-ERR wrong number of arguments for 'rpop' command"),
        ("EXISTS l", ":0"),
    ]);
}

#[test]
fn elements_are_replaced_inserted_and_removed() {
    Harness::new().expect(&[
        ("RPUSH l a b a c a", ":5"),
        ("LSET l 1 B", "+OK"),
        ("LSET l -1 z", "+OK"),
        ("LSET l 5 x", "-ERR index out of range"),
        ("LSET l x x", NOT_INTEGER),
        ("LSET nokey x x", "-ERR no such key"),
        ("LINSERT l BEFORE B 1", ":6"),
        ("LINSERT l AFTER z 2", ":7"),
        ("LINSERT l after none 2", ":-1"),
        ("LINSERT nokey AFTER z 2", ":0"),
        ("LINSERT l x z 2", "-ERR syntax error"),
        ("LRANGE l 0 -1", "*7['a' '1' 'B' 'a' 'c' 'z' '2']"),
        ("RPUSH l a a", ":9"),
        ("LREM l 1 a", ":1"),
        ("LREM l -2 a", ":2"),
        ("LREM l 0 none", ":0"),
        ("LREM l x a", NOT_INTEGER),
        (
            "LREM l -9223372036854775808 a",
            "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ),
        ("LREM nokey 0 a", ":0"),
        ("LRANGE l 0 -1", "*6['1' 'B' 'a' 'c' 'z' '2']"),
        ("LTRIM l 1 -2", "+OK"),
        ("LRANGE l 0 -1", "*4['B' 'a' 'c' 'z']"),
        ("LTRIM l 0 -1", "+OK"),
        ("LTRIM nokey 0 1", "+OK"),
        ("LTRIM l x 1", NOT_INTEGER),
        ("LTRIM l 3 1", "+OK"),
        ("EXISTS l", ":0"),
    ]);
}

#[test]
fn positions_are_found_from_either_end() {
    let rank = "-ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to \
                start from the end of the list";
    Harness::new().expect(&[
        ("RPUSH l a b c 1 2 3 c c", ":8"),
        ("LPOS l c", ":2"),
        ("LPOS l 3", ":5"),
        ("LPOS l none", "$-1"),
        ("LPOS nokey a", "$-1"),
        ("LPOS nokey a COUNT 1", "*0[]"),
        ("LPOS l c RANK 2", ":6"),
        ("LPOS l c RANK -1", ":7"),
        ("LPOS l c RANK -9", "$-1"),
        ("LPOS l c COUNT 0", "*3[:2 :6 :7]"),
        ("LPOS l c COUNT 2 RANK -1", "*2[:7 :6]"),
        ("LPOS l c COUNT 5 RANK 2 MAXLEN 7", "*1[:6]"),
        ("LPOS l c MAXLEN 2", "$-1"),
        ("LPOS l c COUNT 0 MAXLEN 0", "*3[:2 :6 :7]"),
        ("LPOS l c RANK 0", rank),
        ("LPOS l c RANK x", NOT_INTEGER),
        ("LPOS l c COUNT -1", "-ERR COUNT can't be negative"),
        ("LPOS l c MAXLEN -1", "-ERR MAXLEN can't be negative"),
        ("LPOS l c COUNT", "-ERR syntax error"),
        ("LPOS l c x 1", "-ERR syntax error"),
    ]);
}

#[test]
fn elements_are_moved_between_lists_and_within_one() {
    Harness::new().expect(&[
        ("RPUSH a 1 2 3", ":3"),
        ("RPOPLPUSH a b", "'3'"),
        ("LMOVE a b LEFT RIGHT", "'1'"),
        ("LRANGE b 0 -1", "*2['3' '1']"),
        ("LMOVE b b LEFT RIGHT", "'3'"),
        ("LRANGE b 0 -1", "*2['1' '3']"),
        ("LMOVE a a LEFT LEFT", "'2'"),
        ("RPOPLPUSH a b", "'2'"),
        ("EXISTS a", ":0"),
        ("LMOVE a b LEFT LEFT", "$-1"),
        ("LMOVE a b UP LEFT", "-ERR syntax error"),
        ("SET s x", "+OK"),
        ("LMOVE s b LEFT LEFT", WRONG_TYPE),
        ("LMOVE b s LEFT LEFT", WRONG_TYPE),
        ("LMOVE a s LEFT LEFT", "$-1"),
        ("LLEN b", ":3"),
        ("BLMOVE b c LEFT LEFT 0", "'2'"),
        ("BRPOPLPUSH b c 1", "'3'"),
    ]);
}

#[test]
fn several_elements_are_moved_one_by_one_or_in_bulk() {
    let mut harness = Harness::new();
    for (ends, obo, bulk) in [
        ("LEFT LEFT", "*2['2' '1']", "*2['1' '2']"),
        ("LEFT RIGHT", "*2['1' '2']", "*2['1' '2']"),
        ("RIGHT LEFT", "*2['3' '4']", "*2['3' '4']"),
        ("RIGHT RIGHT", "*2['4' '3']", "*2['3' '4']"),
    ] {
        for (order, reply) in [("OBO", obo), ("BULK", bulk)] {
            harness.expect(&[("DEL a b", if ends == "LEFT LEFT" && order == "OBO" { ":0" } else { ":2" })]);
            harness.run("RPUSH a 1 2 3 4");
            assert_eq!(harness.run(&format!("LMOVEM a b {ends} COUNT 2 {order}")), reply, "{ends} {order}");
            assert_eq!(harness.run("LRANGE b 0 -1"), reply, "{ends} {order}");
        }
    }
    harness.expect(&[
        ("DEL a b", ":2"),
        ("RPUSH a x y z", ":3"),
        ("LMOVEM a a LEFT LEFT EXACTLY 2 OBO", "*2['y' 'x']"),
        ("LRANGE a 0 -1", "*3['y' 'x' 'z']"),
        ("LMOVEM a a LEFT LEFT EXACTLY 2 BULK", "*2['y' 'x']"),
        ("LRANGE a 0 -1", "*3['y' 'x' 'z']"),
        ("LMOVEM a b LEFT LEFT EXACTLY 4 BULK", "*-1"),
        ("LMOVEM a b LEFT LEFT", "*1['y']"),
        ("LMOVEM a b LEFT RIGHT COUNT 9 OBO", "*2['x' 'z']"),
        ("EXISTS a", ":0"),
        ("LMOVEM a b LEFT RIGHT COUNT 9 OBO", "*-1"),
        ("LMOVEM a b LEFT RIGHT EXACTLY 1 OBO", "*-1"),
        ("LMOVEM b a LEFT RIGHT COUNT 1", "-ERR syntax error"),
        ("LMOVEM b a LEFT RIGHT COUNT 1 UP", "-ERR syntax error"),
        ("LMOVEM b a LEFT RIGHT COUNT 0 OBO", "-ERR count should be greater than 0"),
        ("LMOVEM b a LEFT UP", "-ERR syntax error"),
        ("BLMOVEM b a LEFT RIGHT 0 EXACTLY 2 OBO", "*2['y' 'x']"),
        ("BLMOVEM b a LEFT RIGHT -1", "-ERR timeout is negative"),
    ]);
}

#[test]
fn the_first_list_that_has_elements_is_popped() {
    Harness::new().expect(&[
        ("RPUSH a 1 2 3", ":3"),
        ("RPUSH b 4 5", ":2"),
        ("LMPOP 2 none a LEFT", "*2['a' *1['1']]"),
        ("LMPOP 3 none b a RIGHT COUNT 10", "*2['b' *2['5' '4']]"),
        ("BLMPOP 0 2 none a RIGHT COUNT 1", "*2['a' *1['3']]"),
        ("BLPOP none a 0", "*2['a' '2']"),
        ("LMPOP 2 none a LEFT", "*-1"),
        ("LMPOP 0 a LEFT", "-ERR numkeys should be greater than 0"),
        ("LMPOP x a LEFT", "-ERR numkeys should be greater than 0"),
        ("LMPOP 2 a LEFT", "-ERR syntax error"),
        ("LMPOP 9223372036854775807 a LEFT", "-ERR syntax error"),
        ("LMPOP 1 a UP", "-ERR syntax error"),
        ("LMPOP 1 a LEFT COUNT 0", "-ERR count should be greater than 0"),
        ("LMPOP 1 a LEFT COUNT", "-ERR syntax error"),
        ("LMPOP 1 a LEFT COUNT 1 COUNT 1", "-ERR syntax error"),
        ("SET s x", "+OK"),
        ("RPUSH a 1", ":1"),
        ("LMPOP 2 s a LEFT", WRONG_TYPE),
        ("BLPOP s a 0", WRONG_TYPE),
        ("LMPOP 2 a s LEFT", "*2['a' *1['1']]"),
    ]);
}

#[test]
fn nothing_is_null_in_resp3() {
    Harness::new().expect3(&[
        ("LPOP nokey", "_"),
        ("LPOP nokey 1", "_"),
        ("LMPOP 1 nokey LEFT", "_"),
        ("LINDEX nokey 1", "_"),
        ("LMOVE nokey other LEFT LEFT", "_"),
        ("LPOS nokey a", "_"),
        ("RPUSH l a b", ":2"),
        ("LRANGE l 0 -1", "*2['a' 'b']"),
        ("LPOP l 1", "*1['a']"),
        ("BLPOP l 0", "*2['l' 'b']"),
    ]);
}

#[test]
fn a_key_of_another_type_is_refused() {
    let mut harness = Harness::new();
    harness.run("SET s v");
    for line in [
        "LPUSH s a",
        "RPUSH s a",
        "LPUSHX s a",
        "RPUSHX s a",
        "LPOP s",
        "RPOP s 2",
        "LLEN s",
        "LINDEX s 0",
        "LINDEX s x",
        "LRANGE s 0 -1",
        "LTRIM s 0 -1",
        "LSET s 0 a",
        "LSET s x a",
        "LINSERT s BEFORE a b",
        "LREM s 0 a",
        "LPOS s a",
        "RPOPLPUSH s t",
        "LMOVEM s t LEFT LEFT",
    ] {
        assert_eq!(harness.run(line), WRONG_TYPE, "{line}");
    }
    assert_eq!(harness.run("GET s"), "'v'");
}

#[test]
fn the_encoding_follows_the_size() {
    let mut harness = Harness::new();
    harness.engine.config.set("enable-debug-command", "yes", false).expect("a setting it takes");
    harness.expect(&[
        ("CONFIG SET list-max-listpack-size 4", "+OK"),
        ("CONFIG GET list-max-ziplist-size", "*2['list-max-ziplist-size' '4']"),
        ("RPUSH l a b c d", ":4"),
        ("OBJECT ENCODING l", "'listpack'"),
        ("RPUSH l e", ":5"),
        ("OBJECT ENCODING l", "'quicklist'"),
        ("TYPE l", "+list"),
        ("RPOP l 2", "*2['e' 'd']"),
        ("OBJECT ENCODING l", "'quicklist'"),
        ("RPOP l", "'c'"),
        ("OBJECT ENCODING l", "'listpack'"),
        ("DEBUG QUICKLIST-PACKED-THRESHOLD 5b", "+OK"),
        ("RPUSH l small", ":3"),
        ("RPUSH l a b", ":5"),
        ("RPUSH l larger", ":6"),
        ("LSET l 0 largest", "+OK"),
        ("LRANGE l 0 -1", "*6['largest' 'b' 'small' 'a' 'b' 'larger']"),
    ]);
}

#[test]
fn a_list_is_copied_dumped_and_restored() {
    let mut harness = Harness::new();
    harness.run("RPUSH l a 1 b");
    harness.expect(&[("COPY l m", ":1"), ("RPOP l", "'b'"), ("LRANGE m 0 -1", "*3['a' '1' 'b']")]);
    let dump = harness.run_words(&["DUMP", "m"]);
    let payload = &dump[dump.windows(2).position(|pair| pair == b"\r\n").map_or(0, |at| at + 2)..dump.len() - 2];
    assert_eq!(harness.run_words(&[b"RESTORE", b"n".as_slice(), b"0", payload]), b"+OK\r\n");
    assert_eq!(harness.run("LRANGE n 0 -1"), "*3['a' '1' 'b']");
}

#[test]
fn a_trim_that_keeps_everything_is_told_to_watchers_and_not_repeated() {
    let mut pair = Replicated::new();
    pair.run("RPUSH l a b");
    pair.run("WATCH l");
    pair.run("LTRIM l 0 -1");
    assert!(pair.last.is_empty());
    pair.run("MULTI");
    assert_eq!(pair.run("EXEC"), "*-1");
}

#[test]
fn pops_from_several_keys_are_replayed_as_what_was_popped() {
    let mut pair = Replicated::new();
    pair.run("RPUSH l a b c d");
    let words = |line: &str| line.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    for (line, replayed) in
        [("LMPOP 2 none l LEFT", "LPOP l 1"), ("BLPOP none l 0", "LPOP l"), ("BLMPOP 0 1 l RIGHT COUNT 9", "RPOP l 2")]
    {
        pair.run(line);
        assert_eq!(pair.last, [words(replayed)], "{line}");
    }
}

/// One command of the family with arguments from small ranges, so that they meet.
fn line() -> impl Strategy<Value = String> {
    let key = || (0..3u8).prop_map(|n| format!("k{n}"));
    let end = || prop_oneof![Just("LEFT"), Just("RIGHT")];
    let index = || -6..7i8;
    let word = || prop_oneof![(0..5u8).prop_map(|n| n.to_string()), (1..40usize).prop_map(|n| "x".repeat(n))];
    prop_oneof![
        4 => (key(), word(), word()).prop_map(|(k, a, b)| format!("RPUSH {k} {a} {b}")),
        4 => (key(), word(), word(), word()).prop_map(|(k, a, b, c)| format!("LPUSH {k} {a} {b} {c}")),
        2 => (key(), 1..4u8).prop_map(|(k, n)| format!("LPOP {k} {n}")),
        2 => key().prop_map(|k| format!("RPOP {k}")),
        1 => (key(), index(), index()).prop_map(|(k, a, b)| format!("LTRIM {k} {a} {b}")),
        2 => (key(), index(), word()).prop_map(|(k, a, w)| format!("LSET {k} {a} {w}")),
        2 => (key(), word(), word()).prop_map(|(k, a, b)| format!("LINSERT {k} BEFORE {a} {b}")),
        2 => (key(), index(), word()).prop_map(|(k, n, w)| format!("LREM {k} {n} {w}")),
        2 => (key(), key(), end(), end()).prop_map(|(a, b, f, t)| format!("LMOVE {a} {b} {f} {t}")),
        1 => (key(), key(), end(), end(), 1..4u8, any::<bool>()).prop_map(|(a, b, f, t, n, bulk)| {
            format!("LMOVEM {a} {b} {f} {t} COUNT {n} {}", if bulk { "BULK" } else { "OBO" })
        }),
        1 => (key(), key(), end(), 1..4u8).prop_map(|(a, b, f, n)| format!("LMPOP 2 {a} {b} {f} COUNT {n}")),
        1 => (key(), key()).prop_map(|(a, b)| format!("RPOPLPUSH {a} {b}")),
        1 => prop_oneof![Just(2), Just(4), Just(-2)].prop_map(|n| format!("CONFIG SET list-max-listpack-size {n}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn replaying_the_stream_gives_the_same_lists_after_every_turn(lines in prop::collection::vec(line(), 1..40)) {
        let mut pair = Replicated::new();
        for line in lines {
            pair.run(&line);
        }
    }
}
