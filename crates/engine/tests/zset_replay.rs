//! Replaying the stream of sorted set and geo commands gives the same sets after every turn.

mod common;

use common::Replicated;
use proptest::prelude::*;

#[test]
fn what_changed_nothing_is_not_replayed_and_what_waited_as_what_it_did() {
    let mut pair = Replicated::new();
    for (line, effects) in [
        ("ZADD z 1 a 2 b 3 c", &["ZADD z 1 a 2 b 3 c"][..]),
        ("ZADD z NX 5 a", &[]),
        ("ZADD z 1 a", &[]),
        ("ZADD z XX INCR 1 nope", &[]),
        ("ZINCRBY z 1 a", &["ZINCRBY z 1 a"]),
        ("ZREM z nope", &[]),
        ("ZPOPMIN z 0", &[]),
        ("BZPOPMIN nokey z 0", &["ZPOPMIN z"]),
        ("BZMPOP 0 2 nokey z MAX COUNT 9", &["ZPOPMAX z 2"]),
        ("ZMPOP 1 z MIN", &[]),
        ("ZADD z 1 a 2 b 1 c", &["ZADD z 1 a 2 b 1 c"]),
        ("ZREMRANGEBYLEX z [b +", &["ZREM z c b"]),
        ("ZADD z 0.1 b", &["ZADD z 0.1 b"]),
        ("ZRANGESTORE d z - + BYLEX", &["DEL d", "ZADD d 0.1 b 1 a"]),
        ("ZUNIONSTORE d 1 nokey", &["ZUNIONSTORE d 1 nokey"]),
        ("ZUNIONSTORE d 1 nokey", &[]),
        ("ZRANDMEMBER z", &[]),
        ("GEORADIUS z 0 0 1 km STORE d", &[]),
    ] {
        pair.run(line);
        let replayed: Vec<String> =
            pair.last.iter().map(|words| String::from_utf8(words.join(&b' ')).unwrap()).collect();
        assert_eq!(replayed, effects, "{line}");
    }
}

fn command() -> impl Strategy<Value = String> {
    let key = || (0..3u8).prop_map(|n| format!("k{n}"));
    let member = || {
        prop_oneof![
            4 => (0..14u8).prop_map(|n| format!("m{n}")),
            2 => (0..5u8).prop_map(|n| n.to_string()),
            1 => "[a-c]{65,66}",
        ]
    };
    let score = || {
        prop_oneof![
            (-4..9i32).prop_map(|n| n.to_string()),
            (-50..50i32).prop_map(|n| format!("{}", f64::from(n) / 10.0)),
            any::<f64>().prop_filter("a number", |score| !score.is_nan()).prop_map(|score| format!("{score:e}")),
            Just("inf".to_owned()),
            Just("-0".to_owned()),
        ]
    };
    let options = || prop::sample::select(vec!["", " CH", " NX", " XX", " GT", " LT", " XX GT", " INCR", " XX INCR"]);
    let ends = || prop::sample::select(vec!["- +", "[m1 (m5", "(m2 +", "- [m3"]);
    let join = || prop::sample::select(vec!["ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE"]);
    let aggregate = || prop::sample::select(vec!["SUM", "MIN", "MAX", "COUNT"]);
    prop_oneof![
        8 => (key(), prop::collection::vec((score(), member()), 1..5)).prop_map(|(key, pairs)| {
            let pairs: String = pairs.iter().map(|(score, member)| format!(" {score} {member}")).collect();
            format!("ZADD {key}{pairs}")
        }),
        4 => (key(), options(), score(), member()).prop_map(|(k, o, s, m)| format!("ZADD {k}{o} {s} {m}")),
        3 => (key(), score(), member()).prop_map(|(k, s, m)| format!("ZINCRBY {k} {s} {m}")),
        3 => (key(), member(), member()).prop_map(|(k, a, b)| format!("ZREM {k} {a} {b}")),
        1 => (key(), -4..5i8, -4..5i8).prop_map(|(k, a, b)| format!("ZREMRANGEBYRANK {k} {a} {b}")),
        1 => (key(), -3..5i8, 0..9i8).prop_map(|(k, a, b)| format!("ZREMRANGEBYSCORE {k} ({a} {b}")),
        2 => (key(), ends()).prop_map(|(k, ends)| format!("ZREMRANGEBYLEX {k} {ends}")),
        2 => (key(), key(), ends()).prop_map(|(d, k, ends)| format!("ZRANGESTORE {d} {k} {ends} BYLEX")),
        1 => (key(), key(), -4..5i8, -4..5i8).prop_map(|(d, k, a, b)| format!("ZRANGESTORE {d} {k} {a} {b} REV")),
        1 => (key(), 0..3u8).prop_map(|(k, n)| format!("ZPOPMIN {k} {n}")),
        1 => (key(), key(), 1..4u8).prop_map(|(a, b, n)| format!("ZMPOP 2 {a} {b} MAX COUNT {n}")),
        2 => (join(), key(), key(), key()).prop_map(|(j, d, a, b)| format!("{j} {d} 2 {a} {b}")),
        2 => (key(), key(), key(), score(), aggregate())
            .prop_map(|(d, a, b, w, how)| format!("ZUNIONSTORE {d} 2 {a} {b} WEIGHTS {w} 1 AGGREGATE {how}")),
        2 => (key(), -180..180i16, -85..85i8, member()).prop_map(|(k, x, y, m)| format!("GEOADD {k} {x}.5 {y} {m}")),
        1 => (key(), key(), 1..9000u16)
            .prop_map(|(d, k, r)| format!("GEOSEARCHSTORE {d} {k} FROMLONLAT 10 20 BYRADIUS {r} km COUNT 3 ANY")),
        1 => (key(), key(), 1..9000u16).prop_map(|(d, k, r)| format!("GEORADIUS {k} 10 20 {r} km STOREDIST {d}")),
        1 => (key(), score()).prop_map(|(k, v)| format!("SETEX {k} 1 {v}")),
        1 => key().prop_map(|k| format!("PEXPIRE {k} 300")),
        1 => key().prop_map(|k| format!("DEL {k}")),
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
            pair.primary.engine.config.set("zset-max-listpack-entries", "3", true).unwrap();
        }
        for (line, pause_ms) in commands {
            pair.primary.now_ms += i64::from(pause_ms);
            pair.run(&line);
        }
    }
}
