//! The hash commands, their replies as Redis 8.0.2 gives them.

mod common;

use common::{Harness, Replicated};
use proptest::prelude::*;
use quiver_engine::effects::Effects;
use quiver_engine::keyspace::ALL_SHARDS;
use quiver_structures::ValueRef;

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const NOT_INTEGER: &str = "-ERR value is not an integer or out of range";

#[test]
fn fields_are_written_and_read() {
    Harness::new().expect(&[
        ("HSET h a 1 b", "-ERR wrong number of arguments for 'hset' command"),
        ("HMSET h a 1 b", "-ERR wrong number of arguments for 'hmset' command"),
        ("HSET h a 1 b 2", ":2"),
        ("HSET h a 5", ":0"),
        ("HMSET h a 9 c x", "+OK"),
        ("HSETNX h a 1", ":0"),
        ("HSETNX h z 1", ":1"),
        ("HSETNX new a 1", ":1"),
        ("HGET h a", "'9'"),
        ("HGET h nope", "$-1"),
        ("HGET nokey a", "$-1"),
        ("HMGET h a nope a", "*3['9' $-1 '9']"),
        ("HMGET nokey a b", "*2[$-1 $-1]"),
        ("HGETALL h", "*8['a' '9' 'b' '2' 'c' 'x' 'z' '1']"),
        ("HGETALL nokey", "*0[]"),
        ("HKEYS h", "*4['a' 'b' 'c' 'z']"),
        ("HKEYS nokey", "*0[]"),
        ("HVALS h", "*4['9' '2' 'x' '1']"),
        ("HVALS nokey", "*0[]"),
        ("HLEN h", ":4"),
        ("HLEN nokey", ":0"),
        ("HSTRLEN h c", ":1"),
        ("HSTRLEN h nope", ":0"),
        ("HSTRLEN nokey a", ":0"),
        ("HEXISTS h a", ":1"),
        ("HEXISTS h q", ":0"),
        ("HEXISTS nokey q", ":0"),
        ("HDEL h a a q", ":1"),
        ("HDEL nokey a", ":0"),
        ("HLEN h", ":3"),
    ]);
}

#[test]
fn maps_are_maps_and_nothing_is_null_in_resp3() {
    let mut harness = Harness::new();
    harness.run("HSET h a 1 b 2");
    let replies = [
        ("HGETALL h", "%2['a' '1' 'b' '2']"),
        ("HGETALL nokey", "%0[]"),
        ("HGET h nope", "_"),
        ("HMGET h a nope", "*2['1' _]"),
        ("HKEYS h", "*2['a' 'b']"),
        ("HVALS nokey", "*0[]"),
        ("HRANDFIELD nokey", "_"),
        ("HRANDFIELD nokey 3", "*0[]"),
        ("HRANDFIELD h 5 WITHVALUES", "*2[*2['a' '1'] *2['b' '2']]"),
        ("HSCAN h 0", "*2['0' *4['a' '1' 'b' '2']]"),
    ];
    for (line, reply) in replies {
        assert_eq!(harness.run3(line), reply, "{line}");
    }
}

#[test]
fn a_key_of_another_type_is_refused() {
    let mut harness = Harness::new();
    harness.run("SET s v");
    for line in [
        "HSET s a 1",
        "HMSET s a 1",
        "HSETNX s a 1",
        "HGET s a",
        "HMGET s a b",
        "HGETALL s",
        "HKEYS s",
        "HVALS s",
        "HLEN s",
        "HSTRLEN s a",
        "HEXISTS s a",
        "HDEL s a",
        "HINCRBY s a 1",
        "HINCRBYFLOAT s a 1",
        "HRANDFIELD s",
        "HRANDFIELD s 1",
        "HSCAN s 0",
        "HSCAN s 0 FOO",
    ] {
        assert_eq!(harness.run(line), WRONG_TYPE, "{line}");
    }
    assert_eq!(harness.run("GET s"), "'v'");
}

#[test]
fn the_last_field_takes_the_key_with_it() {
    let mut harness = Harness::new();
    harness.expect(&[("HSET h a 1 b 2", ":2"), ("HDEL h a b c", ":2")]);
    // The key is free for another type now.
    harness.expect(&[("SETNX h v", ":1"), ("GET h", "'v'")]);
}

#[test]
fn integers_are_added() {
    Harness::new().expect(&[
        ("HSET h n 10 c x big 9223372036854775807", ":3"),
        ("HINCRBY h n 5", ":15"),
        ("HINCRBY h n abc", NOT_INTEGER),
        ("HINCRBY h n 1.5", NOT_INTEGER),
        ("HINCRBY h c 1", "-ERR hash value is not an integer"),
        ("HINCRBY h big 1", "-ERR increment or decrement would overflow"),
        ("HINCRBY h new -7", ":-7"),
        ("HINCRBY other n -9223372036854775808", ":-9223372036854775808"),
        ("HINCRBY other n -1", "-ERR increment or decrement would overflow"),
        ("HMSET h sp ' 5' zero 05 empty ''", "+OK"),
        ("HINCRBY h sp 1", "-ERR hash value is not an integer"),
        ("HINCRBY h zero 1", "-ERR hash value is not an integer"),
        ("HINCRBY h empty 1", "-ERR hash value is not an integer"),
        ("HGET h sp", "' 5'"),
    ]);
}

#[test]
fn decimal_numbers_are_added() {
    let (not_float, infinite) = ("-ERR value is not a valid float", "-ERR value is NaN or Infinity");
    Harness::new().expect(&[
        ("HINCRBYFLOAT h f 10.5", "'10.5'"),
        ("HINCRBYFLOAT h f 0.1", "'10.6'"),
        ("HGET h f", "'10.6'"),
        ("HINCRBYFLOAT h f -10.6", "'0'"),
        ("HSET h third 0.1 int -9223372036854775793 big 123456789012345678", ":3"),
        ("HINCRBYFLOAT h third 0.2", "'0.3'"),
        ("HINCRBYFLOAT h int 0.1", "'-9223372036854775793'"),
        ("HINCRBYFLOAT h big 0.1", "'123456789012345678.1015625'"),
        ("HINCRBYFLOAT h e 3.0e3", "'3000'"),
        ("HINCRBYFLOAT h x 0x1p3", "'8'"),
        ("HINCRBYFLOAT h z -0", "'0'"),
        ("HINCRBYFLOAT h f abc", not_float),
        ("HINCRBYFLOAT h f ''", not_float),
        ("HINCRBYFLOAT h f ' 1'", not_float),
        ("HINCRBYFLOAT h f nan", not_float),
        ("HINCRBYFLOAT h f inf", infinite),
        ("HINCRBYFLOAT h f -inf", infinite),
        ("HSET h text x infinite inf nan nan space ' 1' tail '1 '", ":5"),
        ("HINCRBYFLOAT h text 1", "-ERR hash value is not a float"),
        ("HINCRBYFLOAT h nan 1", "-ERR hash value is not a float"),
        ("HINCRBYFLOAT h space 1", "-ERR hash value is not a float"),
        ("HINCRBYFLOAT h tail 1", "-ERR hash value is not a float"),
        ("HINCRBYFLOAT h infinite 1", "-ERR increment would produce NaN or Infinity"),
    ]);
}

#[test]
fn random_fields_follow_count_and_sign() {
    let mut harness = Harness::new();
    harness.run("HSET h a 1");
    harness.expect(&[
        ("HRANDFIELD nokey", "$-1"),
        ("HRANDFIELD nokey 3 withvalues", "*0[]"),
        ("HRANDFIELD nokey abc", NOT_INTEGER),
        ("HRANDFIELD nokey 1 foo", "-ERR syntax error"),
        ("HRANDFIELD h", "'a'"),
        ("HRANDFIELD h 0", "*0[]"),
        ("HRANDFIELD h 0 WITHVALUES", "*0[]"),
        ("HRANDFIELD h 5", "*1['a']"),
        ("HRANDFIELD h 5 WithValues", "*2['a' '1']"),
        ("HRANDFIELD h -2", "*2['a' 'a']"),
        ("HRANDFIELD h -2 WITHVALUES", "*4['a' '1' 'a' '1']"),
        ("HRANDFIELD h 9223372036854775807", "*1['a']"),
        ("HRANDFIELD h abc foo", NOT_INTEGER),
        ("HRANDFIELD h 1.5", NOT_INTEGER),
        ("HRANDFIELD h 9223372036854775808", NOT_INTEGER),
        ("HRANDFIELD h 1 foo", "-ERR syntax error"),
        ("HRANDFIELD h 1 withvalues foo", "-ERR syntax error"),
        ("HRANDFIELD h 9223372036854775807 foo", "-ERR syntax error"),
        ("HRANDFIELD h 9223372036854775807 withvalues", "-ERR value is out of range"),
        ("HRANDFIELD h 4611686018427387904 withvalues", "-ERR value is out of range"),
        ("HRANDFIELD nokey -9223372036854775807 withvalues", "-ERR value is out of range"),
        (
            "HRANDFIELD h -9223372036854775808",
            "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ),
    ]);
}

#[test]
fn a_reply_that_only_a_huge_count_asks_for_is_refused() {
    let mut harness = Harness::new();
    harness.run("HSET h a 1");
    harness.run_words(&[b"HSET".as_slice(), b"long", b"a", &[b'x'; 1 << 20]]);
    harness.expect(&[
        ("HRANDFIELD h -9223372036854775807", "-ERR value is out of range"),
        ("HRANDFIELD h -4194305", "-ERR value is out of range"),
        ("HRANDFIELD long -4194304 WITHVALUES", "-ERR value is out of range"),
    ]);
    assert!(harness.run("HRANDFIELD h -1000").starts_with("*1000['a' "));
}

#[test]
fn scan_options_are_checked_in_order() {
    let mut harness = Harness::new();
    harness.run("HSET h a 1");
    let all = "*2['0' *2['a' '1']]";
    let cursors = ["0", "5", "007", "' 7'", "+7", "-0", "' -7'", "18446744073709551615"];
    for cursor in cursors {
        assert_eq!(harness.run(&format!("HSCAN h {cursor}")), all, "{cursor}");
    }
    for cursor in ["abc", "-1", "'7 '", "''", "18446744073709551616", "-99999999999999999999"] {
        assert_eq!(harness.run(&format!("HSCAN s {cursor}")), "-ERR invalid cursor", "{cursor}");
    }
    harness.expect(&[
        ("HSCAN nokey 0", "*2['0' *0[]]"),
        ("HSCAN nokey 0 FOO", "*2['0' *0[]]"),
        ("HSCAN h 0 FOO", "-ERR syntax error"),
        ("HSCAN h 0 MATCH", "-ERR syntax error"),
        ("HSCAN h 0 COUNT", "-ERR syntax error"),
        ("HSCAN h 0 COUNT 0", "-ERR syntax error"),
        ("HSCAN h 0 COUNT -1", "-ERR syntax error"),
        ("HSCAN h 0 COUNT abc", NOT_INTEGER),
        ("HSCAN h 0 COUNT abc FOO", NOT_INTEGER),
        ("HSCAN h 0 COUNT 0 FOO", "-ERR syntax error"),
        ("HSCAN h 0 COUNT 99999999999999999999", NOT_INTEGER),
        ("HSCAN h 0 TYPE hash", "-ERR syntax error"),
        ("HSCAN h 0 COUNT 5 MATCH a* NOVALUES", "*2['0' *1['a']]"),
        ("HSCAN h 0 NOVALUES NOVALUES", "*2['0' *1['a']]"),
        ("HSCAN h 0 MATCH b*", "*2['0' *0[]]"),
        ("HSCAN h 0 MATCH b* MATCH a", all),
    ]);
}

#[test]
fn a_whole_scan_of_a_large_hash_finds_every_field() {
    let mut harness = Harness::new();
    for i in 0..1000 {
        harness.run(&format!("HSET h f{i} v{i}"));
    }
    for (options, fields) in [("", 1000), (" COUNT 100", 1000), (" COUNT 1 MATCH f1??", 100)] {
        let (mut cursor, mut seen, mut calls) = ("0".to_owned(), std::collections::BTreeSet::new(), 0);
        loop {
            let reply = harness.run(&format!("HSCAN h {cursor} NOVALUES{options}"));
            let words: Vec<&str> = reply.split('\'').skip(1).step_by(2).collect();
            seen.extend(words[1..].iter().map(|word| (*word).to_owned()));
            calls += 1;
            assert!(calls < 2000, "a scan ends: {cursor}, {reply}");
            if words[0] == "0" {
                break;
            }
            words[0].clone_into(&mut cursor);
        }
        assert_eq!(seen.len(), fields, "{options}");
        assert!(calls > 5, "{options}: {calls} calls");
    }
    let whole = harness.run("HSCAN h 0 COUNT 9223372036854775807");
    assert!(whole.starts_with("*2['0' *2000["));
}

#[test]
fn what_is_counted_as_changed_is_the_fields() {
    let mut harness = Harness::new();
    let dirty = |harness: &Harness| harness.worker.stats.dirty.get();
    harness.run("HSET h a 1 b 2 c 3");
    assert_eq!(dirty(&harness), 3);
    harness.run("HSETNX h a 1");
    harness.run("HDEL h nope");
    assert_eq!(dirty(&harness), 3);
    harness.run("HDEL h a b nope");
    assert_eq!(dirty(&harness), 5);
    harness.run("HDEL h c");
    assert_eq!(dirty(&harness), 6);
}

#[test]
fn limits_of_the_configuration_decide_the_encoding() {
    let mut harness = Harness::new();
    harness.engine.config.set("hash-max-listpack-entries", "2", true).unwrap();
    for (line, expected) in [
        ("HSET a f 1 f 2", "listpack"),
        ("HSET b f 1 f 2 f 3", "hashtable"),
        ("HSET a g 1", "listpack"),
        ("HSETNX a h 1", "hashtable"),
        ("HDEL a g h", "hashtable"),
    ] {
        harness.run(line);
        assert_eq!(encoding(&harness, line), expected, "{line}");
    }
    harness.engine.config.set("hash-max-listpack-value", "2", true).unwrap();
    for (line, expected) in [
        ("HSET c f 99", "listpack"),
        ("HINCRBY c f 1", "hashtable"),
        ("HSET d f 99", "listpack"),
        ("HINCRBYFLOAT d f 0.5", "hashtable"),
        ("HSETNX e long 1", "hashtable"),
    ] {
        harness.run(line);
        assert_eq!(encoding(&harness, line), expected, "{line}");
    }
}

/// The encoding of the key that a command line names.
fn encoding(harness: &Harness, line: &str) -> &'static str {
    let mut effects = Effects::default();
    let mut keyspace = harness.engine.lock(ALL_SHARDS, &mut effects, harness.now_ms);
    let key = keyspace.key(line.split(' ').nth(1).expect("a key").as_bytes());
    match keyspace.peek(key).expect("the key is there").value() {
        ValueRef::Object(object) => object.encoding(),
        _ => panic!("a hash"),
    }
}

#[test]
fn what_changed_nothing_is_not_replayed_and_a_float_as_its_result() {
    let mut pair = Replicated::new();
    for (line, effect) in [
        ("HSET h f 10.5", Some("HSET h f 10.5")),
        ("HINCRBYFLOAT h f 0.1", Some("HSET h f 10.6")),
        ("HSETNX h f 1", None),
        ("HSETNX h g 1", Some("HSETNX h g 1")),
        ("HDEL h nope", None),
        ("HINCRBY h f 1", None),
        ("HRANDFIELD h", None),
        ("HDEL h f g", Some("HDEL h f g")),
    ] {
        pair.run(line);
        let replayed: Vec<String> =
            pair.last.iter().map(|words| String::from_utf8(words.join(&b' ')).unwrap()).collect();
        assert_eq!(replayed, Vec::from_iter(effect), "{line}");
    }
}

fn command() -> impl Strategy<Value = String> {
    let key = || (0..3u8).prop_map(|n| format!("k{n}"));
    let field = || (0..12u8).prop_map(|n| if n < 4 { n.to_string() } else { format!("field:{n}") });
    let value = || {
        prop_oneof![
            (-5..1000i64).prop_map(|n| n.to_string()),
            any::<i64>().prop_map(|n| n.to_string()),
            (-50..50i32).prop_map(|n| format!("{}", f64::from(n) / 8.0)),
            "[a-z]{1,8}",
            "[a-z]{60,70}",
        ]
    };
    prop_oneof![
        6 => (key(), prop::collection::vec((field(), value()), 1..5)).prop_map(|(key, pairs)| {
            let pairs: String = pairs.iter().map(|(field, value)| format!(" {field} {value}")).collect();
            format!("HSET {key}{pairs}")
        }),
        1 => (key(), field(), value()).prop_map(|(k, f, v)| format!("HMSET {k} {f} {v}")),
        2 => (key(), field(), value()).prop_map(|(k, f, v)| format!("HSETNX {k} {f} {v}")),
        3 => (key(), field(), value()).prop_map(|(k, f, v)| format!("HINCRBY {k} {f} {v}")),
        3 => (key(), field(), value()).prop_map(|(k, f, v)| format!("HINCRBYFLOAT {k} {f} {v}")),
        5 => (key(), prop::collection::vec(field(), 1..6)).prop_map(|(k, f)| format!("HDEL {k} {}", f.join(" "))),
        1 => (key(), value()).prop_map(|(k, v)| format!("SETEX {k} 1 {v}")),
        1 => key().prop_map(|k| format!("PEXPIRE {k} 300")),
        1 => key().prop_map(|k| format!("DEL {k}")),
        1 => key().prop_map(|k| format!("HRANDFIELD {k} -3 WITHVALUES")),
        1 => Just("MULTI".to_owned()),
        2 => Just("EXEC".to_owned()),
    ]
}

proptest! {
    #[test]
    fn the_stream_of_effects_repeats_every_turn(
        commands in prop::collection::vec((command(), 0..400u16), 1..80),
        small in any::<bool>(),
    ) {
        let mut pair = Replicated::new();
        if small {
            // Another limit than the replica's: content must not depend on the encoding.
            pair.primary.engine.config.set("hash-max-listpack-entries", "3", true).unwrap();
        }
        for (line, pause_ms) in commands {
            pair.primary.now_ms += i64::from(pause_ms);
            pair.run(&line);
        }
    }
}
