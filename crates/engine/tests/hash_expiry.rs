//! Fields that expire: replies, encodings, what is over and who says so.

mod common;

use common::{Harness, Replicated, START_MS, show};
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

#[test]
fn expiries_are_set_told_and_taken_away() {
    let mut harness = Harness::new();
    harness.expect(&[
        ("HSET h a 1 b 2 c 3", ":3"),
        ("HTTL h FIELDS 2 a none", "*2[:-1 :-2]"),
        ("HEXPIRE h 10 FIELDS 3 a b none", "*3[:1 :1 :-2]"),
        ("HTTL h FIELDS 3 a c none", "*3[:10 :-1 :-2]"),
        ("HPTTL h FIELDS 1 a", "*1[:10000]"),
        ("HEXPIRETIME h FIELDS 1 a", "*1[:1700000010]"),
        ("HPEXPIRETIME h FIELDS 1 a", "*1[:1700000010000]"),
        ("OBJECT ENCODING h", "'listpackex'"),
        ("HEXPIRE h 20 NX FIELDS 2 a c", "*2[:0 :1]"),
        ("HEXPIRE h 30 XX FIELDS 2 a none", "*2[:1 :-2]"),
        ("HEXPIRE h 5 GT FIELDS 1 a", "*1[:0]"),
        ("HEXPIRE h 5 LT FIELDS 1 a", "*1[:1]"),
        ("HPERSIST h FIELDS 3 a a none", "*3[:1 :-1 :-2]"),
        ("HEXPIRE h 5 GT FIELDS 1 a", "*1[:0]"),
        ("HPEXPIRE h 5500 LT FIELDS 1 a", "*1[:1]"),
        ("HTTL h FIELDS 1 a", "*1[:6]"),
        ("HEXPIRE h 0 FIELDS 2 a a", "*2[:2 :-2]"),
        ("HEXPIREAT h 1 FIELDS 1 b", "*1[:2]"),
        ("HPEXPIREAT h 1 FIELDS 1 c", "*1[:2]"),
        ("EXISTS h", ":0"),
        ("HTTL h FIELDS 1 a", "*1[:-2]"),
        ("HPERSIST h FIELDS 1 a", "*1[:-2]"),
        ("HEXPIRE h 1 FIELDS 2 a b", "*2[:-2 :-2]"),
    ]);
}

#[test]
fn a_new_value_takes_the_expiry_away_and_an_increment_does_not() {
    let mut harness = Harness::new();
    harness.expect(&[
        ("HSETEX h EX 10 FIELDS 4 a 1 b 2 c 3 d 4", ":1"),
        ("HSET h a 5", ":0"),
        ("HINCRBY h b 1", ":3"),
        ("HINCRBYFLOAT h c 1.5", "'4.5'"),
        ("HSETNX h d 1", ":0"),
        ("HTTL h FIELDS 4 a b c d", "*4[:-1 :10 :10 :10]"),
        ("HSETEX h KEEPTTL FIELDS 2 b 9 e 5", ":1"),
        ("HSETEX h FIELDS 1 c 9", ":1"),
        ("HTTL h FIELDS 3 b c e", "*3[:10 :-1 :-1]"),
        ("HMGET h a b c d e", "*5['5' '9' '9' '4' '5']"),
    ]);
}

#[test]
fn values_are_read_written_and_deleted_with_their_expiry() {
    let mut harness = Harness::new();
    harness.expect(&[
        ("HSETEX h FXX FIELDS 1 a 1", ":0"),
        ("HSETEX h FNX PX 500 FIELDS 2 a 1 b 2", ":1"),
        ("HSETEX h FNX FIELDS 2 b 1 c 2", ":0"),
        ("HSETEX h FXX FIELDS 2 b 1 c 2", ":0"),
        ("HLEN h", ":2"),
        ("HGETEX h FIELDS 3 a b c", "*3['1' '2' $-1]"),
        ("HPTTL h FIELDS 1 a", "*1[:500]"),
        ("HGETEX h EX 7 FIELDS 2 a c", "*2['1' $-1]"),
        ("HPTTL h FIELDS 2 a b", "*2[:7000 :500]"),
        ("HGETEX h PERSIST FIELDS 1 a", "*1['1']"),
        ("HPTTL h FIELDS 2 a b", "*2[:-1 :500]"),
        ("HGETDEL h FIELDS 3 a a c", "*3['1' $-1 $-1]"),
        ("HGETEX h PXAT 5 FIELDS 1 b", "*1['2']"),
        ("EXISTS h", ":0"),
        ("HSETEX h PXAT 5 FIELDS 1 b 2", ":1"),
        ("EXISTS h", ":0"),
        ("HGETDEL h FIELDS 1 b", "*1[$-1]"),
        ("HGETEX h EX 5 FIELDS 1 b", "*1[$-1]"),
    ]);
}

#[test]
fn fields_whose_time_is_over_are_gone_for_every_command() {
    let mut harness = Harness::new();
    for line in ["HSETEX h PX 10 FIELDS 2 a 1 b 2", "HSET h c 3", "HSETEX gone PX 10 FIELDS 1 a 1"] {
        harness.run(line);
    }
    harness.now_ms += 10;
    harness.expect(&[
        ("HGET h a", "$-1"),
        ("HMGET h a c", "*2[$-1 '3']"),
        ("HGETALL h", "*2['c' '3']"),
        ("HKEYS h", "*1['c']"),
        ("HVALS h", "*1['3']"),
        ("HLEN h", ":1"),
        ("HEXISTS h a", ":0"),
        ("HSTRLEN h a", ":0"),
        ("HRANDFIELD h", "'c'"),
        ("HRANDFIELD h -3", "*3['c' 'c' 'c']"),
        ("HRANDFIELD h 5 WITHVALUES", "*2['c' '3']"),
        ("HRANDFIELD gone", "$-1"),
        ("HRANDFIELD gone -3", "*0[]"),
        ("HSCAN h 0", "*2['0' *2['c' '3']]"),
        ("HTTL h FIELDS 2 a c", "*2[:-2 :-1]"),
        ("HGETEX h FIELDS 2 a c", "*2[$-1 '3']"),
        ("HEXPIRE h 5 FIELDS 2 a c", "*2[:-2 :1]"),
        ("HDEL h a", ":0"),
        ("HSETNX h a 7", ":1"),
        ("HINCRBY h b 5", ":5"),
        ("HTTL h FIELDS 2 a b", "*2[:-1 :-1]"),
        ("HDEL gone a", ":0"),
        ("EXISTS gone", ":0"),
    ]);
    check(&harness);
}

#[test]
fn what_is_wrong_with_a_command_is_said_in_redis_words() {
    let mut harness = Harness::new();
    harness.run("HSET h a 1");
    harness.run("SET s 1");
    let wrong_type = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    for line in [
        "HEXPIRE s 1 FIELDS 1 a",
        "HTTL s FIELDS 1 a",
        "HPERSIST s FIELDS 1 a",
        "HGETDEL s FIELDS 1 a",
        "HGETEX s FIELDS 1 a",
        "HSETEX s FIELDS 1 a 1",
    ] {
        assert_eq!(harness.run(line), wrong_type, "{line}");
    }
    assert_eq!(harness.run("HTTL h FIELDS 1"), "-ERR wrong number of arguments for 'httl' command");
    check(&harness);
}

#[test]
fn active_expiry_takes_fields_out_and_the_key_with_the_last() {
    let mut pair = Replicated::new();
    pair.run("HSETEX one PX 10 FIELDS 2 a 1 b 2");
    pair.run("HSETEX two PX 10 FIELDS 1 a 1");
    pair.run("HSET two b 2");
    pair.run("SELECT 3");
    pair.run("HSETEX three PX 10 FIELDS 1 a 1");
    pair.primary.now_ms += 10;
    assert_eq!(expire_round(&mut pair.primary), 0, "no key has an expiry");
    pair.run("SELECT 0");
    assert_eq!((pair.run("EXISTS one two"), pair.run("HLEN two")), (":1".into(), ":1".into()));
    pair.run("SELECT 3");
    assert_eq!(pair.run("EXISTS three"), ":0");
    let info = pair.primary.run("INFO");
    assert!(info.contains("expired_subkeys:4"), "{info}");
    check(&pair.primary);
    check(&pair.replica);
}

#[test]
fn a_large_hash_is_emptied_by_one_round() {
    let mut harness = Harness::new();
    for i in 0..3000 {
        harness.run(&format!("HSETEX h PX {} FIELDS 1 f{i} v", 10 + i % 2 * 1000));
    }
    assert!(harness.run("INFO keyspace").contains("subexpiry=1"));
    harness.now_ms += 100;
    expire_round(&mut harness);
    assert_eq!(harness.run("HLEN h"), ":1500");
    check(&harness);
    harness.now_ms += 1000;
    expire_round(&mut harness);
    assert_eq!(harness.run("EXISTS h"), ":0");
    assert!(!harness.run("INFO keyspace").contains("db0"));
    check(&harness);
}

#[test]
fn a_key_takes_its_field_expiries_along_wherever_it_goes() {
    let mut harness = Harness::new();
    for line in ["HSETEX h PX 10 FIELDS 1 a 1", "HSET h b 2", "COPY h copy", "RENAME h renamed", "MOVE copy 1"] {
        harness.run(line);
        check(&harness);
    }
    let dump = harness.run_words(&["DUMP", "renamed"]);
    let end = dump.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    harness.run_words(&[b"RESTORE".as_slice(), b"restored", b"0", &dump[end..dump.len() - 2]]);
    check(&harness);
    assert_eq!(harness.run("HPTTL restored FIELDS 2 a b"), "*2[:10 :-1]");
    harness.run("SWAPDB 0 1");
    check(&harness);
    harness.now_ms += 10;
    expire_round(&mut harness);
    assert_eq!(harness.run("HKEYS copy"), "*1['b']");
    harness.run("SELECT 1");
    assert_eq!(harness.run("HKEYS restored"), "*1['b']");
    harness.run("HSETEX restored EX 10 FIELDS 1 c 1");
    for line in ["SET restored 1", "HSETEX x EX 10 FIELDS 1 c 1", "DEL x", "HSETEX x EX 10 FIELDS 1 c 1", "FLUSHALL"] {
        harness.run(line);
        check(&harness);
    }
}

#[test]
fn a_replica_hides_fields_and_waits_for_its_primary() {
    let mut harness = Harness::new();
    harness.run("HSETEX h PX 10 FIELDS 1 a 1");
    harness.engine.state.is_replica.store(true, std::sync::atomic::Ordering::Relaxed);
    harness.now_ms += 20;
    expire_round(&mut harness);
    harness.expect(&[("HGETALL h", "*0[]"), ("HLEN h", ":0"), ("EXISTS h", ":1")]);
    harness.engine.state.is_replica.store(false, std::sync::atomic::Ordering::Relaxed);
    expire_round(&mut harness);
    assert_eq!(harness.run("EXISTS h"), ":0");
}

#[test]
fn relative_times_are_replayed_as_points_in_time() {
    let mut pair = Replicated::new();
    pair.run("HSET h a 1 b 2");
    let at = (START_MS + 10_000).to_string();
    for (line, replayed) in [
        ("HEXPIRE h 10 FIELDS 2 a none", format!("HPEXPIREAT h {at} FIELDS 1 a")),
        ("HGETEX h EX 10 FIELDS 2 b none", format!("HPEXPIREAT h {at} FIELDS 1 b")),
        ("HSETEX h FXX EX 10 FIELDS 1 a 5", format!("HSETEX h PXAT {at} FIELDS 1 a 5")),
        ("HGETEX h PERSIST FIELDS 2 b none", "HPERSIST h FIELDS 1 b".to_owned()),
        ("HEXPIRE h 0 FIELDS 2 a none", "HDEL h a".to_owned()),
        ("HGETDEL h FIELDS 2 b none", "HDEL h b".to_owned()),
    ] {
        pair.run(line);
        let words: Vec<String> = pair.last[0].iter().map(|word| String::from_utf8(word.clone()).unwrap()).collect();
        assert_eq!(words.join(" "), replayed, "{line}");
    }
}

/// A command of the family with words from small ranges, so that they meet; `None` lets time pass.
fn step() -> impl Strategy<Value = Option<String>> {
    let (key, field) = (|| (0..3u8).prop_map(|n| format!("k{n}")), || (0..12u8).prop_map(|n| format!("f{n}")));
    let time = || prop_oneof![Just("PX 5"), Just("PX 30"), Just("EX 1"), Just("PXAT 9"), Just("KEEPTTL"), Just("")];
    let condition = || prop_oneof![Just(""), Just("NX"), Just("XX"), Just("GT"), Just("LT")];
    let there = || prop_oneof![Just(""), Just("FNX"), Just("FXX")];
    let get = || prop_oneof![Just("PX 5"), Just("EX 1"), Just("PXAT 9"), Just("PERSIST"), Just("")];
    prop_oneof![
        4 => (key(), field(), field()).prop_map(|(k, f, g)| Some(format!("HSET {k} {f} 1 {g} 2"))),
        6 => (key(), there(), time(), field(), field())
            .prop_map(|(k, there, time, f, g)| Some(format!("HSETEX {k} {there} {time} FIELDS 2 {f} 1 {g} x"))),
        4 => (key(), 0..40u8, condition(), field(), field())
            .prop_map(|(k, ms, condition, f, g)| Some(format!("HPEXPIRE {k} {ms} {condition} FIELDS 2 {f} {g}"))),
        2 => (key(), get(), field()).prop_map(|(k, get, f)| Some(format!("HGETEX {k} {get} FIELDS 1 {f}"))),
        1 => (key(), field()).prop_map(|(k, f)| Some(format!("HGETDEL {k} FIELDS 1 {f}"))),
        1 => (key(), field()).prop_map(|(k, f)| Some(format!("HPERSIST {k} FIELDS 1 {f}"))),
        1 => (key(), field()).prop_map(|(k, f)| Some(format!("HDEL {k} {f}"))),
        1 => (key(), field()).prop_map(|(k, f)| Some(format!("HINCRBY {k} {f} 3"))),
        1 => (key(), field()).prop_map(|(k, f)| Some(format!("HINCRBYFLOAT {k} {f} 0.5"))),
        1 => (key(), field()).prop_map(|(k, f)| Some(format!("HSETNX {k} {f} 3"))),
        1 => (key(), key()).prop_map(|(k, to)| Some(format!("RENAME {k} {to}"))),
        1 => (key(), key()).prop_map(|(k, to)| Some(format!("COPY {k} {to} REPLACE"))),
        1 => key().prop_map(|k| Some(format!("HGETALL {k}"))),
        3 => Just(None),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_replica_has_the_same_fields_after_every_turn(
        steps in proptest::collection::vec(step(), 1..100),
        limit in prop_oneof![Just("4"), Just("512")],
    ) {
        let mut pair = Replicated::new();
        for side in [&mut pair.primary, &mut pair.replica] {
            side.run_words(&["CONFIG", "SET", "hash-max-listpack-entries", limit]);
        }
        for (number, step) in steps.iter().enumerate() {
            match step {
                Some(line) => drop(pair.run(line)),
                None => {
                    pair.primary.now_ms += 7;
                    if number % 3 == 0 {
                        expire_round(&mut pair.primary);
                    }
                    pair.run("PING");
                }
            }
            check(&pair.primary);
            check(&pair.replica);
        }
    }
}

#[test]
fn an_expired_field_leaves_its_hdel_in_front_of_the_command_that_met_it() {
    let mut pair = Replicated::new();
    pair.run("HSETEX h PX 10 FIELDS 2 a 1 b 2");
    pair.run("HSET h c 3");
    pair.primary.now_ms += 10;
    let reply = pair.run_words(&["HSETNX", "h", "a", "9"]);
    assert_eq!(show(&reply), ":1");
    assert_eq!(
        pair.last,
        [
            vec![b"HDEL".to_vec(), b"h".to_vec(), b"a".to_vec()],
            vec![b"HSETNX".to_vec(), b"h".to_vec(), b"a".to_vec(), b"9".to_vec()]
        ]
    );
}
