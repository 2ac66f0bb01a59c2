//! The HyperLogLog commands, their replies as Redis 8.0.2 gives them.

mod common;

use common::{Harness, Replicated};
use proptest::prelude::*;

const NOT_HYPERLOGLOG: &str = "-WRONGTYPE Key is not a valid HyperLogLog string value.";
const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const CORRUPT: &str = "-INVALIDOBJ Corrupted HLL object detected";

#[test]
fn elements_are_added_and_counted() {
    Harness::new().expect(&[
        ("PFADD h a b c", ":1"),
        ("PFADD h a", ":0"),
        ("PFCOUNT h", ":3"),
        ("PFCOUNT nokey", ":0"),
        ("PFADD empty", ":1"),
        ("PFADD empty", ":0"),
        ("PFCOUNT empty", ":0"),
        ("STRLEN empty", ":18"),
        ("OBJECT ENCODING empty", "'raw'"),
        ("PFADD g c d", ":1"),
        ("PFCOUNT h g nokey", ":4"),
        ("PFMERGE m h g nokey", "+OK"),
        ("PFCOUNT m", ":4"),
        ("PFMERGE new", "+OK"),
        ("PFCOUNT new", ":0"),
        ("TYPE h", "+string"),
        ("PFDEBUG ENCODING h", "+sparse"),
        ("PFDEBUG TODENSE h", ":1"),
        ("PFDEBUG TODENSE h", ":0"),
        ("PFDEBUG encoding h", "+dense"),
        ("STRLEN h", ":12304"),
        ("PFCOUNT h", ":3"),
        ("PFDEBUG DECODE h", "-ERR HLL encoding is not sparse"),
        ("PFDEBUG DECODE empty", "'Z:16384'"),
        ("PFDEBUG NOSUCH h", "-ERR Unknown PFDEBUG subcommand 'NOSUCH'"),
        ("PFDEBUG DECODE nokey", "-ERR The specified key does not exist"),
        ("PFMERGE m h", "+OK"),
        ("PFDEBUG ENCODING m", "+dense"),
    ]);
}

#[test]
fn the_bytes_are_those_of_redis() {
    Harness::new().expect(&[
        ("PFADD h a b c", ":1"),
        ("GET h", BYTES_OF_ABC),
        ("PFCOUNT h", ":3"),
        ("GET h", COUNTED_BYTES_OF_ABC),
    ]);
}

const BYTES_OF_ABC: &str = r#"'HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80`\xf3\x80P\xb1\x84K\xfb\x80BZ'"#;
const COUNTED_BYTES_OF_ABC: &str =
    r#"'HYLL\x01\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00`\xf3\x80P\xb1\x84K\xfb\x80BZ'"#;

#[test]
fn the_limit_of_the_sparse_form_is_configured() {
    Harness::new().expect(&[
        ("CONFIG SET hll-sparse-max-bytes 22", "+OK"),
        ("PFADD h a", ":1"),
        ("PFDEBUG ENCODING h", "+sparse"),
        ("PFADD h b", ":1"),
        ("PFDEBUG ENCODING h", "+dense"),
        ("PFCOUNT h", ":2"),
    ]);
}

#[test]
fn strings_that_are_no_hyperloglogs_are_refused() {
    let mut harness = Harness::new();
    harness.run("HSET hash f v");
    for line in ["PFADD hash a", "PFCOUNT hash", "PFCOUNT nokey hash", "PFMERGE hash", "PFDEBUG DECODE hash"] {
        assert_eq!(harness.run(line), WRONG_TYPE, "{line}");
    }
    let dense_header = b"HYLL\0\0\0\0\0\0\0\0\0\0\0\0short";
    for value in [&b"12"[..], b"", b"HYLL", b"HYLL\x02\0\0\0\0\0\0\0\0\0\0\0\x7f\xff", dense_header] {
        harness.run_words(&[&b"SET"[..], b"s", value]);
        for line in ["PFADD s a", "PFCOUNT s", "PFCOUNT nokey s", "PFMERGE d s", "PFMERGE s", "PFDEBUG DECODE s"] {
            assert_eq!(harness.run(line), NOT_HYPERLOGLOG, "{line}");
        }
    }
}

#[test]
fn damaged_registers_are_reported() {
    let mut harness = Harness::new();
    harness.run_words(&[&b"SET"[..], b"s", b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x80"]);
    for line in ["PFADD s a", "PFCOUNT s", "PFCOUNT s nokey", "PFMERGE d s", "PFDEBUG TODENSE s", "PFDEBUG GETREG s"] {
        assert_eq!(harness.run(line), CORRUPT, "{line}");
    }
}

#[test]
fn counting_is_replayed_once_because_it_changes_the_value() {
    let mut pair = Replicated::new();
    pair.run("PFADD h a");
    assert_eq!(pair.run("PFCOUNT h"), ":1");
    assert_eq!(pair.last[0][0], b"PFCOUNT");
    assert_eq!(pair.run("PFCOUNT h"), ":1");
    assert!(pair.last.is_empty(), "the estimate was cached");
}

/// A command line over few keys and elements.
fn line() -> impl Strategy<Value = String> {
    let key = || (0..3_u8).prop_map(|k| format!("k{k}"));
    prop_oneof![
        6 => (key(), prop::collection::vec(0..900_u16, 0..30)).prop_map(|(k, elements)| {
            elements.iter().fold(format!("PFADD {k}"), |line, element| format!("{line} {element}"))
        }),
        3 => key().prop_map(|k| format!("PFCOUNT {k}")),
        1 => (key(), key()).prop_map(|(a, b)| format!("PFCOUNT {a} {b}")),
        2 => (key(), key(), key()).prop_map(|(a, b, c)| format!("PFMERGE {a} {b} {c}")),
        1 => key().prop_map(|k| format!("PFDEBUG TODENSE {k}")),
        1 => key().prop_map(|k| format!("DEL {k}")),
        1 => (key(), 20..200_u8).prop_map(|(k, at)| format!("SETRANGE {k} {at} x")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn replaying_the_stream_gives_the_same_digest_after_every_turn(lines in prop::collection::vec(line(), 1..40)) {
        let mut pair = Replicated::new();
        for line in lines {
            pair.run(&line);
        }
    }
}
