//! INCREX: sums, bounds, expiry.

mod common;

use common::{Harness, Replicated};

#[test]
fn integers_are_added_within_bounds() {
    let mut harness = Harness::new();
    harness.expect(&[
        ("INCREX k", "*2[:1 :1]"),
        ("INCREX k BYINT 5", "*2[:6 :5]"),
        ("INCREX k BYINT -10", "*2[:-4 :-10]"),
        ("INCREX k BYINT 10 UBOUND 5", "*2[:-4 :0]"),
        ("INCREX k BYINT 10 UBOUND 5 SATURATE", "*2[:5 :9]"),
        ("INCREX k LBOUND 0 SATURATE BYINT -100", "*2[:0 :-5]"),
        ("INCREX k LBOUND 10 UBOUND 20", "*2[:0 :0]"),
        ("INCREX none UBOUND 0", "*2[:0 :0]"),
        ("EXISTS none", ":0"),
        ("SET k 9223372036854775807", "+OK"),
        ("INCREX k", "*2[:9223372036854775807 :0]"),
        ("INCREX k SATURATE", "*2[:9223372036854775807 :0]"),
        (
            "INCREX k BYINT 0 LBOUND -9223372036854775808 UBOUND -9223372036854775808 SATURATE",
            "-ERR increment or decrement would overflow",
        ),
        ("OBJECT ENCODING k", "'int'"),
    ]);
}

#[test]
fn floats_are_added_within_bounds() {
    let mut harness = Harness::new();
    harness.expect(&[
        ("SET k 1.5", "+OK"),
        ("INCREX k BYFLOAT 0.25", "*2['1.75' '0.25']"),
        ("INCREX k BYFLOAT 10 UBOUND 2.5", "*2['1.75' '0']"),
        ("INCREX k BYFLOAT 10 UBOUND 2.5 SATURATE", "*2['2.5' '0.75']"),
        ("INCREX k BYFLOAT -10 LBOUND -1 SATURATE", "*2['-1' '-3.5']"),
        ("INCREX k BYINT 1", "*2[:0 :1]"),
        ("SET k 0.5", "+OK"),
        ("INCREX k BYINT 1", "-ERR value is not an integer or out of range"),
        ("GET k", "'0.5'"),
    ]);
    harness.expect3(&[("INCREX k BYFLOAT 0.25", "*2[,0.75 ,0.25]")]);
}

#[test]
fn the_expiry_is_kept_set_or_taken_away() {
    let mut harness = Harness::new();
    harness.expect(&[
        ("INCREX k EX 100 ENX", "*2[:1 :1]"),
        ("INCREX k EX 500 ENX", "*2[:2 :1]"),
        ("TTL k", ":100"),
        ("INCREX k", "*2[:3 :1]"),
        ("TTL k", ":100"),
        ("INCREX k PX 7000", "*2[:4 :1]"),
        ("TTL k", ":7"),
        ("INCREX k UBOUND 4 EX 100", "*2[:4 :0]"),
        ("TTL k", ":7"),
        ("INCREX k UBOUND 4 EX 100 SATURATE", "*2[:4 :0]"),
        ("TTL k", ":100"),
        ("INCREX k PERSIST", "*2[:5 :1]"),
        ("TTL k", ":-1"),
        ("INCREX k PXAT 1", "*2[:6 :1]"),
        ("EXISTS k", ":0"),
    ]);
}

#[test]
fn words_that_do_not_go_together_are_refused() {
    let mut harness = Harness::new();
    harness.run("HSET h f 1");
    let syntax = "-ERR syntax error";
    harness.expect(&[
        ("INCREX k ENX", syntax),
        ("INCREX k PERSIST ENX", syntax),
        ("INCREX k EX 1 PX 1", syntax),
        ("INCREX k BYINT 1 BYFLOAT 1", syntax),
        ("INCREX k BYINT", syntax),
        ("INCREX k WHAT", syntax),
        ("INCREX k BYINT x", "-ERR value is not an integer or out of range"),
        ("INCREX k BYFLOAT x", "-ERR value is not a valid float"),
        ("INCREX k EX 0", "-ERR invalid expire time in 'increx' command"),
        ("INCREX k LBOUND 2 UBOUND 1", "-ERR LBOUND must be less than or equal to UBOUND"),
        ("INCREX h", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("EXISTS k", ":0"),
    ]);
}

#[test]
fn the_outcome_is_replayed() {
    let mut pair = Replicated::new();
    for line in [
        "INCREX k EX 100",
        "INCREX k BYFLOAT 0.1 PX 50",
        "INCREX k BYFLOAT 0.2",
        "INCREX k BYFLOAT 9 UBOUND 1",
        "INCREX k BYFLOAT 9 UBOUND 1 SATURATE PERSIST",
        "INCREX k PXAT 1",
    ] {
        pair.run(line);
    }
    assert_eq!(pair.last, [[b"DEL".to_vec(), b"k".to_vec()]]);
}
