//! The set commands, their replies as Redis 8.0.2 gives them.

mod common;

use common::{Harness, Replicated};
use proptest::prelude::*;

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const NOT_INTEGER: &str = "-ERR value is not an integer or out of range";
const SYNTAX: &str = "-ERR syntax error";

#[test]
fn members_are_added_looked_up_and_removed() {
    Harness::new().expect(&[
        ("SADD s 3 1 2 1", ":3"),
        ("SADD s 2 4", ":1"),
        ("SMEMBERS s", "*4['1' '2' '3' '4']"),
        ("SCARD s", ":4"),
        ("SISMEMBER s 2", ":1"),
        ("SISMEMBER s 02", ":0"),
        ("SMISMEMBER s 1 x 4", "*3[:1 :0 :1]"),
        ("SMISMEMBER nokey 1 x", "*2[:0 :0]"),
        ("SREM s 1 1 x", ":1"),
        ("SADD s word", ":1"),
        ("SMEMBERS s", "*4['2' '3' '4' 'word']"),
        ("SREM s 2 3 4 word word", ":4"),
        ("EXISTS s", ":0"),
        ("SREM s 1", ":0"),
        ("SCARD s", ":0"),
        ("SISMEMBER s 1", ":0"),
        ("SMEMBERS s", "*0[]"),
        ("TYPE s", "+none"),
        ("SADD s", "-ERR wrong number of arguments for 'sadd' command"),
    ]);
}

#[test]
fn encodings_follow_the_configuration() {
    let mut harness = Harness::new();
    harness.expect(&[
        ("CONFIG SET set-max-intset-entries 3", "+OK"),
        ("CONFIG SET set-max-listpack-entries 2", "+OK"),
        ("CONFIG SET set-max-listpack-value 5", "+OK"),
        ("SADD s 1 2 3", ":3"),
        ("TYPE s", "+set"),
        ("OBJECT ENCODING s", "'intset'"),
        ("SADD s 4", ":1"),
        ("OBJECT ENCODING s", "'hashtable'"),
        ("SADD t 1", ":1"),
        ("SADD t a", ":1"),
        ("OBJECT ENCODING t", "'listpack'"),
        ("SADD t a", ":0"),
        ("OBJECT ENCODING t", "'listpack'"),
        ("SADD t b", ":1"),
        ("OBJECT ENCODING t", "'hashtable'"),
        ("SADD u 1 1 1 1", ":1"),
        ("OBJECT ENCODING u", "'hashtable'"),
        ("SADD v sixsix", ":1"),
        ("OBJECT ENCODING v", "'hashtable'"),
        ("SINTERSTORE u u", ":1"),
        ("OBJECT ENCODING u", "'intset'"),
    ]);
}

#[test]
fn a_member_moves_between_sets() {
    Harness::new().expect(&[
        ("SADD a 1 2", ":2"),
        ("SMOVE a b 1", ":1"),
        ("SMOVE a b 1", ":0"),
        ("SMEMBERS b", "*1['1']"),
        ("SMOVE a a 2", ":1"),
        ("SMOVE a a 3", ":0"),
        ("SMOVE nokey b 1", ":0"),
        ("SMOVE a b 2", ":1"),
        ("EXISTS a", ":0"),
        ("SET str x", "+OK"),
        ("SMOVE nokey str 1", ":0"),
        ("SMOVE b str 1", WRONG_TYPE),
        ("SMOVE str b 1", WRONG_TYPE),
    ]);
}

#[test]
fn sets_are_combined() {
    Harness::new().expect(&[
        ("SADD a 1 2 3 4", ":4"),
        ("SADD b 2 4 x", ":3"),
        ("SADD c 4", ":1"),
        ("SINTER a b", "*2['2' '4']"),
        ("SINTER a b c", "*1['4']"),
        ("SINTER a nokey", "*0[]"),
        ("SINTER a a", "*4['1' '2' '3' '4']"),
        ("SUNION c b nokey", "*3['4' '2' 'x']"),
        ("SUNION nokey", "*0[]"),
        ("SDIFF a b", "*2['1' '3']"),
        ("SDIFF a b a", "*0[]"),
        ("SDIFF nokey a", "*0[]"),
        ("SDIFF a nokey", "*4['1' '2' '3' '4']"),
        ("SINTERSTORE d a b", ":2"),
        ("OBJECT ENCODING d", "'intset'"),
        ("SUNIONSTORE d a b", ":5"),
        ("OBJECT ENCODING d", "'listpack'"),
        ("SDIFFSTORE d d b", ":2"),
        ("SMEMBERS d", "*2['1' '3']"),
        ("SINTERSTORE d a nokey", ":0"),
        ("EXISTS d", ":0"),
        ("SET d string", "+OK"),
        ("SUNIONSTORE d nokey", ":0"),
        ("EXISTS d", ":0"),
        ("SET d string", "+OK"),
        ("SUNIONSTORE d a", ":4"),
        ("TYPE d", "+set"),
        ("SET str x", "+OK"),
        ("SINTER nokey str", WRONG_TYPE),
        ("SUNIONSTORE d a str", WRONG_TYPE),
    ]);
}

#[test]
fn combinations_are_counted_up_to_a_limit() {
    Harness::new().expect(&[
        ("SADD a 1 2 3 4", ":4"),
        ("SADD b 2 4 x", ":3"),
        ("SINTERCARD 2 a b", ":2"),
        ("SINTERCARD 2 a b LIMIT 1", ":1"),
        ("SINTERCARD 2 a b LIMIT 0", ":2"),
        ("SINTERCARD 1 a LIMIT 9 limit 3", ":3"),
        ("SUNIONCARD 2 a b", ":5"),
        ("SUNIONCARD 2 a b LIMIT 4", ":4"),
        ("SUNIONCARD 2 a b APPROX", ":5"),
        ("SUNIONCARD 2 a b LIMIT 2 APPROX", ":2"),
        ("SUNIONCARD 1 nokey", ":0"),
        ("SDIFFCARD 2 a b", ":2"),
        ("SDIFFCARD 2 a b LIMIT 1", ":1"),
        ("SDIFFCARD 2 nokey b", ":0"),
        ("SINTERCARD 0 a", "-ERR numkeys should be greater than 0"),
        ("SINTERCARD x a", "-ERR numkeys should be greater than 0"),
        ("SINTERCARD 3 a b", "-ERR Number of keys can't be greater than number of args"),
        ("SINTERCARD 1 a LIMIT -1", "-ERR LIMIT can't be negative"),
        ("SINTERCARD 1 a LIMIT x", "-ERR LIMIT can't be negative"),
        ("SINTERCARD 1 a LIMIT", SYNTAX),
        ("SINTERCARD 1 a APPROX", SYNTAX),
        ("SDIFFCARD 1 a b", SYNTAX),
    ]);
}

#[test]
fn large_differences_are_the_same_by_both_strategies() {
    let mut harness = Harness::new();
    let numbers = |from: usize, to: usize| (from..to).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
    harness.run(&format!("SADD big {}", numbers(0, 1000)));
    harness.run(&format!("SADD most {}", numbers(10, 1000)));
    for i in 0..9 {
        harness.run(&format!("SADD small{i} {i}"));
    }
    harness.expect(&[
        ("SDIFFCARD 2 big most", ":10"),
        // Many small sets: their members are taken out of a copy.
        ("SDIFFCARD 10 big small0 small1 small2 small3 small4 small5 small6 small7 small8", ":991"),
        ("SDIFFSTORE d big most small0 small1 small2 small3 small4 small5 small6 small7 small8", ":1"),
        ("SMEMBERS d", "*1['9']"),
    ]);
}

#[test]
fn random_members_come_in_the_promised_number() {
    let mut harness = Harness::new();
    harness.expect(&[
        ("SADD s 7", ":1"),
        ("SRANDMEMBER s", "'7'"),
        ("SRANDMEMBER s 3", "*1['7']"),
        ("SRANDMEMBER s -3", "*3['7' '7' '7']"),
        ("SRANDMEMBER s 0", "*0[]"),
        ("SRANDMEMBER nokey", "$-1"),
        ("SRANDMEMBER nokey 3", "*0[]"),
        ("SRANDMEMBER s x", NOT_INTEGER),
        ("SRANDMEMBER s 1 2", SYNTAX),
        (
            "SRANDMEMBER s -9223372036854775808",
            "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ),
        ("SPOP s 0", "*0[]"),
        ("SPOP s -1", "-ERR value is out of range, must be positive"),
        ("SPOP s x", "-ERR value is out of range, must be positive"),
        ("SPOP s 1 2", SYNTAX),
        ("SPOP nokey", "$-1"),
        ("SPOP nokey 2", "*0[]"),
        ("SPOP s", "'7'"),
        ("EXISTS s", ":0"),
        ("SADD s 7 8", ":2"),
        ("SPOP s 5", "*2['7' '8']"),
        ("EXISTS s", ":0"),
    ]);
    harness.run("SADD big 1 2 3 4 5 6 7 8 9 a b c");
    assert!(harness.run("SPOP big 5").starts_with("*5["));
    assert_eq!(harness.run("SCARD big"), ":7");
}

#[test]
fn sets_are_sets_in_resp3() {
    Harness::new().expect3(&[
        ("SADD s 1", ":1"),
        ("SMEMBERS s", "~1['1']"),
        ("SMEMBERS nokey", "~0[]"),
        ("SINTER s s", "~1['1']"),
        ("SUNION s nokey", "~1['1']"),
        ("SDIFF s nokey", "~1['1']"),
        ("SMISMEMBER s 1", "*1[:1]"),
        ("SRANDMEMBER s 2", "*1['1']"),
        ("SRANDMEMBER nokey", "_"),
        ("SPOP nokey", "_"),
        ("SPOP nokey 1", "~0[]"),
        ("SPOP s 1", "~1['1']"),
        ("SSCAN s 0", "*2['0' *0[]]"),
    ]);
}

#[test]
fn a_scan_visits_every_member() {
    let mut harness = Harness::new();
    harness.expect(&[
        ("SADD s 1 2 a", ":3"),
        ("SSCAN s 0", "*2['0' *3['1' '2' 'a']]"),
        ("SSCAN s 0 MATCH [12] COUNT 1", "*2['0' *2['1' '2']]"),
        ("SSCAN s 0 COUNT 0", SYNTAX),
        ("SSCAN s 0 NOVALUES", "-ERR NOVALUES option can only be used in HSCAN"),
        ("SSCAN s 0 TYPE set", SYNTAX),
        ("SSCAN s x", "-ERR invalid cursor"),
        ("SSCAN nokey 0 NONSENSE", "*2['0' *0[]]"),
    ]);
    let members: Vec<String> = (0..700).map(|n| format!("m{n}")).collect();
    harness.run(&format!("SADD big {}", members.join(" ")));
    let (mut cursor, mut seen) = ("0".to_owned(), std::collections::BTreeSet::new());
    loop {
        let page = harness.run(&format!("SSCAN big {cursor} COUNT 20"));
        let mut words = page.split('\'').skip(1).step_by(2);
        cursor = words.next().map(str::to_owned).unwrap_or_default();
        seen.extend(words.map(str::to_owned));
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen, members.into_iter().collect());
}

#[test]
fn every_set_command_refuses_other_types() {
    let mut harness = Harness::new();
    harness.run("SET str x");
    for line in [
        "SADD str 1",
        "SREM str 1",
        "SCARD str",
        "SISMEMBER str 1",
        "SMISMEMBER str 1",
        "SMEMBERS str",
        "SPOP str",
        "SPOP str 1",
        "SPOP str 0",
        "SRANDMEMBER str",
        "SRANDMEMBER str 0",
        "SSCAN str 0",
        "SINTER str",
        "SUNION str",
        "SDIFF str",
        "SINTERCARD 1 str",
        "SUNIONCARD 1 str",
        "SDIFFCARD 1 str",
        "SINTERSTORE d str",
    ] {
        assert_eq!(harness.run(line), WRONG_TYPE, "{line}");
    }
    assert_eq!(harness.run("SADD s 1"), ":1");
    assert_eq!(harness.run("GET s"), WRONG_TYPE);
}

#[test]
fn random_removals_are_replayed_as_what_they_took() {
    let mut pair = Replicated::new();
    pair.run("SADD s a b c d e f");
    pair.run("SPOP s");
    assert_eq!((pair.last[0][0].as_slice(), pair.last[0].len()), (&b"SREM"[..], 3));
    pair.run("SPOP s 3");
    assert_eq!((pair.last[0][0].as_slice(), pair.last[0].len()), (&b"SREM"[..], 5));
    pair.run("SPOP s 2");
    assert_eq!(pair.last, [[b"DEL".to_vec(), b"s".to_vec()]]);
    let many: Vec<String> = (0..3000).map(|n| n.to_string()).collect();
    pair.run(&format!("SADD s {}", many.join(" ")));
    pair.run("SPOP s 2500");
    assert_eq!(pair.last.iter().map(Vec::len).collect::<Vec<_>>(), [1026, 1026, 454]);
}

/// A command line over few keys and members.
fn line() -> impl Strategy<Value = String> {
    let key = || (0..4_u8).prop_map(|k| format!("k{k}"));
    let member =
        || prop_oneof![3 => (0..30_u16).prop_map(|m| m.to_string()), 1 => (0..9_u16).prop_map(|m| format!("m{m}"))];
    let members = move || prop::collection::vec(member(), 1..9).prop_map(|members| members.join(" "));
    prop_oneof![
        8 => (key(), members()).prop_map(|(k, m)| format!("SADD {k} {m}")),
        3 => (key(), members()).prop_map(|(k, m)| format!("SREM {k} {m}")),
        3 => (key(), 0..9_u8).prop_map(|(k, n)| format!("SPOP {k} {n}")),
        1 => key().prop_map(|k| format!("SPOP {k}")),
        2 => (key(), key(), member()).prop_map(|(a, b, m)| format!("SMOVE {a} {b} {m}")),
        3 => (0..3_usize, key(), key(), key()).prop_map(|(op, d, a, b)| {
            format!("{} {d} {a} {b}", ["SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"][op])
        }),
        1 => (key(), 0..300_u16).prop_map(|(k, n)| {
            format!("SADD {k} {}", (n..n + 200).map(|n| format!("x{n}")).collect::<Vec<_>>().join(" "))
        }),
        1 => (key(), 0..9_i8).prop_map(|(k, n)| format!("SRANDMEMBER {k} {n}")),
        1 => (key(), key()).prop_map(|(a, b)| format!("COPY {a} {b} REPLACE")),
        1 => (key(), 1..30_i8).prop_map(|(k, ms)| format!("PEXPIRE {k} {ms}")),
        1 => key().prop_map(|k| format!("SET {k} v")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn replaying_the_stream_gives_the_same_digest_after_every_turn(
        steps in prop::collection::vec((line(), 0..4_i64), 1..60)
    ) {
        let mut pair = Replicated::new();
        for (line, pause_ms) in steps {
            pair.primary.now_ms += pause_ms;
            pair.run(&line);
        }
    }
}
