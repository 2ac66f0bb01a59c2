//! Replaying the stream of effects gives the same streams and groups after every turn.

mod common;

use common::Replicated;
use proptest::prelude::*;
use quiver_engine::session::Role;

/// Commands with arguments from small ranges, so that they meet.
fn line() -> impl Strategy<Value = String> {
    let key = || prop_oneof![Just("s"), Just("t")];
    let id = || (0..4_u64, 0..6_u64).prop_map(|(ms, seq)| format!("{ms}-{seq}"));
    let consumer = || prop_oneof![Just("a"), Just("b")];
    let condition = || prop_oneof![Just(""), Just("KEEPREF "), Just("DELREF "), Just("ACKED ")];
    let trim = (any::<bool>(), any::<bool>(), 0..6_u8, 0..3_u8).prop_map(|(len, about, number, limit)| {
        let strategy = if len { "MAXLEN" } else { "MINID" };
        let operator = if about { "~" } else { "=" };
        let limit = if about && limit > 0 { format!(" LIMIT {limit}") } else { String::new() };
        format!("{strategy} {operator} {number}{limit}")
    });
    let trim = trim.boxed();
    prop_oneof![
        8 => (key(), 0..5_u64).prop_map(|(key, ms)| format!("XADD {key} {ms}-* f v{ms}")),
        2 => key().prop_map(|key| format!("XADD {key} * f now")),
        2 => (key(), 0..3_u8).prop_map(|(key, m)| format!("XADD {key} IDMP p m{m} * f now")),
        1 => (key(), 0..3_u8).prop_map(|(key, m)| format!("XADD {key} IDMPAUTO p * f {m}")),
        2 => (key(), condition(), trim.clone()).prop_map(|(key, c, trim)| format!("XADD {key} {c}{trim} 3-* f v")),
        3 => (key(), trim, condition()).prop_map(|(key, trim, c)| format!("XTRIM {key} {trim} {c}")),
        3 => (key(), id()).prop_map(|(key, id)| format!("XDEL {key} {id}")),
        3 => (key(), condition(), id()).prop_map(|(key, c, id)| format!("XDELEX {key} {c}IDS 1 {id}")),
        3 => (key(), condition(), id()).prop_map(|(key, c, id)| format!("XACKDEL {key} g {c}IDS 1 {id}")),
        3 => (key(), id()).prop_map(|(key, id)| format!("XGROUP CREATE {key} g {id} MKSTREAM")),
        1 => (key(), id()).prop_map(|(key, id)| format!("XGROUP SETID {key} g {id}")),
        1 => (key(), consumer()).prop_map(|(key, c)| format!("XGROUP DELCONSUMER {key} g {c}")),
        1 => key().prop_map(|key| format!("XGROUP DESTROY {key} g")),
        8 => (key(), consumer(), 1..3_u8).prop_map(|(key, c, n)| format!("XREADGROUP GROUP g {c} COUNT {n} STREAMS {key} >")),
        2 => (key(), consumer()).prop_map(|(key, c)| format!("XREADGROUP GROUP g {c} NOACK COUNT 1 STREAMS {key} >")),
        2 => (key(), consumer()).prop_map(|(key, c)| format!("XREADGROUP GROUP g {c} STREAMS {key} 0")),
        2 => (key(), consumer()).prop_map(|(key, c)| format!("XREADGROUP GROUP g {c} CLAIM 3 STREAMS {key} >")),
        3 => (key(), id()).prop_map(|(key, id)| format!("XACK {key} g {id}")),
        3 => (key(), id()).prop_map(|(key, id)| format!("XNACK {key} g FAIL IDS 1 {id} FORCE")),
        3 => (key(), consumer(), id()).prop_map(|(key, c, id)| format!("XCLAIM {key} g {c} 3 {id} FORCE LASTID {id}")),
        2 => (key(), consumer()).prop_map(|(key, c)| format!("XAUTOCLAIM {key} g {c} 3 0 COUNT 2")),
        1 => key().prop_map(|key| format!("XCFGSET {key} IDMP-DURATION 1")),
        1 => Just("COPY s t REPLACE".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_replica_has_the_same_streams_after_every_turn(lines in prop::collection::vec((line(), 0..400_i64), 1..60)) {
        let mut pair = Replicated::new();
        for side in [&mut pair.primary, &mut pair.replica] {
            side.run_words(&["CONFIG", "SET", "stream-node-max-entries", "3"]);
        }
        for (line, later) in lines {
            pair.primary.now_ms += if later > 380 { later } else { later / 100 };
            pair.run(&line);
        }
    }
}

#[test]
fn what_depends_on_the_clock_is_replayed_as_its_outcome() {
    let mut pair = Replicated::new();
    let replayed = |pair: &Replicated| -> Vec<String> {
        let text =
            |words: &Vec<Vec<u8>>| words.iter().map(|word| String::from_utf8_lossy(word)).collect::<Vec<_>>().join(" ");
        pair.last.iter().map(text).collect()
    };
    pair.run("XADD s MAXLEN ~ 5 LIMIT 10 * f v");
    assert_eq!(replayed(&pair), ["XADD s MAXLEN = 1 1700000000000-0 f v"]);
    pair.run("XADD s 1700000000000-* f v");
    assert_eq!(replayed(&pair), ["XADD s 1700000000000-1 f v"]);
    pair.run("XGROUP CREATE s g 0");
    pair.run("XREADGROUP GROUP g c COUNT 1 STREAMS s >");
    assert_eq!(
        replayed(&pair),
        [
            "XGROUP CREATECONSUMER s g c",
            "XCLAIM s g c 0 1700000000000-0 TIME 1700000000000 RETRYCOUNT 1 FORCE JUSTID LASTID 1700000000000-0",
            "XGROUP SETID s g 1700000000000-0 ENTRIESREAD 1",
        ]
    );
    pair.run("XREADGROUP GROUP g c NOACK STREAMS s >");
    assert_eq!(replayed(&pair), ["XGROUP SETID s g 1700000000000-1 ENTRIESREAD 2"]);
    pair.run("XREADGROUP GROUP g c STREAMS s >");
    assert!(replayed(&pair).is_empty(), "nothing to read is nothing to replay");
    pair.run("XAUTOCLAIM s g d 0 0 JUSTID");
    assert_eq!(
        replayed(&pair),
        [
            "XGROUP CREATECONSUMER s g d",
            "XCLAIM s g d 0 1700000000000-0 TIME 1700000000000 RETRYCOUNT 1 FORCE JUSTID LASTID 1700000000000-1",
        ]
    );
}

#[test]
fn a_limit_that_a_primary_has_arrived_at_is_no_limit_any_more() {
    let mut pair = Replicated::new();
    for id in ["1-1", "1-2", "1-3"] {
        pair.replica.run_words(&["XADD", "s", id, "f", "v"]);
    }
    pair.replica.run_words(&["XADD", "s", "MAXLEN", "=", "2", "LIMIT", "1", "1-4", "f", "v"]);
    pair.replica.session.role = Role::Normal;
    assert_eq!(pair.replica.run("XLEN s"), ":2");
    assert!(pair.replica.run("XTRIM s MAXLEN = 1 LIMIT 1").starts_with("-ERR syntax error, LIMIT"));
}
