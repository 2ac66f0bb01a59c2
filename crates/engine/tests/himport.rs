//! HIMPORT: fieldsets of a connection and the hashes made of them.

mod common;

use common::{Harness, Replicated};

#[test]
fn hashes_are_made_of_a_fieldset_and_values() {
    let mut harness = Harness::new();
    harness.expect(&[
        ("HIMPORT PREPARE u name email age", "+OK"),
        ("HIMPORT SET user:1 u alice a@example.com 30", "+OK"),
        ("HGETALL user:1", "*6['name' 'alice' 'email' 'a@example.com' 'age' '30']"),
        ("HSET user:1 more 1", ":1"),
        ("EXPIRE user:1 100", ":1"),
        ("HIMPORT SET user:1 u bob b@example.com 25", "+OK"),
        ("HLEN user:1", ":3"),
        ("TTL user:1", ":-1"),
        ("HIMPORT PREPARE u only", "+OK"),
        ("HIMPORT SET user:2 u x", "+OK"),
        ("HGETALL user:2", "*2['only' 'x']"),
        ("HIMPORT PREPARE o a b", "+OK"),
        ("HIMPORT DISCARD o", ":1"),
        ("HIMPORT DISCARD o", ":0"),
        ("HIMPORT DISCARDALL", ":1"),
        ("HIMPORT DISCARDALL", ":0"),
    ]);
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let mut harness = Harness::new();
    harness.run("HIMPORT PREPARE u a b");
    harness.run("SET s 1");
    harness.expect(&[
        ("HIMPORT PREPARE v a b a", "-ERR duplicate field name in fieldset"),
        ("HIMPORT SET k v 1 2", "-ERR no such fieldset"),
        ("HIMPORT SET k u 1", "-ERR number of values does not match the number of fields in the fieldset"),
        ("HIMPORT SET s u 1 2", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("HIMPORT SET k", "-ERR wrong number of arguments for 'himport|set' command"),
        ("EXISTS k", ":0"),
        ("GET s", "'1'"),
    ]);
}

#[test]
fn a_fieldset_lives_as_long_as_its_connection_or_until_reset() {
    let mut harness = Harness::new();
    harness.expect(&[
        ("HIMPORT PREPARE u a b", "+OK"),
        ("RESET", "+RESET"),
        ("HIMPORT SET k u 1 2", "-ERR no such fieldset"),
        ("HIMPORT PREPARE u a b", "+OK"),
        ("MULTI", "+OK"),
        ("HIMPORT SET k u 1 2", "+QUEUED"),
        ("EXEC", "*1[+OK]"),
        ("HGETALL k", "*4['a' '1' 'b' '2']"),
    ]);
}

#[test]
fn replicas_get_the_hash_and_not_the_fieldset() {
    let mut pair = Replicated::new();
    pair.run("HIMPORT PREPARE u a b");
    assert!(pair.last.is_empty());
    pair.run("HIMPORT SET k u 1 2");
    assert_eq!(pair.last, [b"HSET k a 1 b 2".split(|byte| *byte == b' ').map(<[u8]>::to_vec).collect::<Vec<_>>()]);
    pair.run("HIMPORT SET k u 3 4");
    assert_eq!(pair.last[0], [b"DEL".to_vec(), b"k".to_vec()]);
}
