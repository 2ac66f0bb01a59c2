//! The stream of generic commands rebuilds the same keyspace after every turn, whatever expires meanwhile.

mod common;

use common::Replicated;
use proptest::prelude::*;

/// A payload of the string "hello".
const HELLO: &[u8] = b"\x00\x05hello\x0c\x00\xa8\x04\xeb\xb6\x9f\x1e\xbeC";

fn words(line: &str) -> Vec<Vec<u8>> {
    line.split(' ').map(|word| if word == "HELLO" { HELLO.to_vec() } else { word.as_bytes().to_vec() }).collect()
}

/// A command line over few keys, two databases and times that come soon.
fn line() -> impl Strategy<Value = String> {
    let key = || (0..5_u8).prop_map(|k| format!("k{k}"));
    let time = || -30..200_i64;
    let condition = prop_oneof![Just(""), Just(" NX"), Just(" XX"), Just(" GT"), Just(" LT")];
    prop_oneof![
        4 => (key(), 0..9_u8, time()).prop_map(|(k, v, t)| format!("SET {k} {v} PX {}", t.max(1))),
        2 => (key(), 0..9_u8).prop_map(|(k, v)| format!("SET {k} v{v}")),
        2 => (key(), 0..9_u8).prop_map(|(k, e)| format!("VADD {k} VALUES 2 1 {e} e{e}")),
        3 => (key(), time(), condition).prop_map(|(k, t, c)| format!("PEXPIRE {k} {t}{c}")),
        1 => (key(), time()).prop_map(|(k, t)| format!("PEXPIREAT {k} {}", common::START_MS + t * 20)),
        1 => key().prop_map(|k| format!("PERSIST {k}")),
        2 => (key(), key(), any::<bool>()).prop_map(|(a, b, r)| format!("COPY {a} {b}{}", if r { " REPLACE" } else { "" })),
        1 => (key(), key(), 0..2_u8).prop_map(|(a, b, db)| format!("COPY {a} {b} DB {db} REPLACE")),
        2 => (key(), key()).prop_map(|(a, b)| format!("RENAME {a} {b}")),
        2 => (key(), key()).prop_map(|(a, b)| format!("RENAMENX {a} {b}")),
        2 => (key(), 0..2_u8).prop_map(|(k, db)| format!("MOVE {k} {db}")),
        1 => (0..2_u8).prop_map(|db| format!("SELECT {db}")),
        1 => (key(), key()).prop_map(|(a, b)| format!("DEL {a} {b}")),
        1 => (key(), key()).prop_map(|(a, b)| format!("UNLINK {a} {b}")),
        2 => (key(), time()).prop_map(|(k, t)| format!("RESTORE {k} {} HELLO REPLACE", t.max(0))),
        1 => (key(), time()).prop_map(|(k, t)| format!("RESTORE {k} {} HELLO ABSTTL REPLACE", common::START_MS + t * 20)),
        1 => Just("RANDOMKEY".to_owned()),
        1 => Just("SCAN 0".to_owned()),
        1 => Just("KEYS *".to_owned()),
        1 => key().prop_map(|k| format!("EXISTS {k}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn replaying_the_stream_gives_the_same_digest_after_every_turn(
        steps in proptest::collection::vec((line(), 0..60_i64), 1..80)
    ) {
        let mut pair = Replicated::new();
        for (line, pause_ms) in steps {
            pair.primary.now_ms += pause_ms;
            pair.run_words(&words(&line));
        }
    }
}

#[test]
fn relative_times_are_replayed_as_absolute_ones() {
    let mut pair = Replicated::new();
    let cases = [
        ("SET a 1", "SET a 1"),
        ("EXPIRE a 100", "PEXPIREAT a 1700000100000"),
        ("PEXPIRE a 100", "PEXPIREAT a 1700000000100"),
        ("EXPIREAT a 1800000000", "PEXPIREAT a 1800000000000"),
        ("PEXPIREAT a 1800000000001 XX", "PEXPIREAT a 1800000000001"),
        ("PERSIST a", "PERSIST a"),
        ("PERSIST a", ""),
        ("EXPIRE a -1", "DEL a"),
        ("EXPIRE a 10", ""),
        ("RENAME a b", ""),
        ("SCAN 0", ""),
    ];
    for (line, replayed) in cases {
        pair.run_words(&words(line));
        let last: Vec<String> = pair.last.iter().map(|words| String::from_utf8(words.join(&b' ')).unwrap()).collect();
        assert_eq!(last.join("; "), replayed, "{line}");
    }
    pair.run_words(&words("RESTORE r 5000 HELLO IDLETIME 7"));
    let expected: Vec<&[u8]> = vec![b"RESTORE", b"r", b"1700000005000", HELLO, b"ABSTTL", b"IDLETIME", b"7"];
    assert_eq!(pair.last, [expected]);
}

#[test]
fn an_expired_key_leaves_its_del_before_the_command_that_found_it() {
    let mut pair = Replicated::new();
    pair.run("SET a 1");
    pair.run("SET b 1 PX 10");
    pair.primary.now_ms += 10;
    pair.run("RENAMENX a b");
    let last: Vec<String> = pair.last.iter().map(|words| String::from_utf8(words.join(&b' ')).unwrap()).collect();
    assert_eq!(last, ["DEL b", "RENAMENX a b"]);
}
