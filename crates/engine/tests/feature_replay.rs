//! Replaying the stream of the feature commands gives the same hashes after every turn, in commands that know no views;
//! and what is stored goes through DUMP and comes back.

mod common;

use common::Replicated;
use proptest::prelude::*;

/// One step, with arguments from small ranges, so that they meet.
#[derive(Clone, Debug)]
enum Step {
    Put { view: u8, entity: u8, at: i8, values: Vec<(u8, Option<i8>)> },
    Many { view: u8, rows: Vec<(u8, i8, Option<i8>)> },
    Incr { entity: u8, at: u16, by: i8 },
    Get { entity: u8 },
    Plain { entity: u8, feature: u8, value: i8 },
    Delete { entity: u8, feature: u8 },
    Pass { ms: u16 },
}

fn step() -> impl Strategy<Value = Step> {
    let (view, entity) = (0..3_u8, 0..4_u8);
    let value = || proptest::option::weighted(0.8, any::<i8>());
    prop_oneof![
        6 => (view.clone(), entity.clone(), any::<i8>(), proptest::collection::vec((0..5_u8, value()), 1..5))
            .prop_map(|(view, entity, at, values)| Step::Put { view, entity, at, values }),
        2 => (view, proptest::collection::vec((entity.clone(), any::<i8>(), value()), 1..5))
            .prop_map(|(view, rows)| Step::Many { view, rows }),
        2 => (entity.clone(), any::<u16>(), any::<i8>()).prop_map(|(entity, at, by)| Step::Incr { entity, at, by }),
        1 => entity.clone().prop_map(|entity| Step::Get { entity }),
        1 => (entity.clone(), 0..5_u8, any::<i8>())
            .prop_map(|(entity, feature, value)| Step::Plain { entity, feature, value }),
        1 => (entity, 0..5_u8).prop_map(|(entity, feature)| Step::Delete { entity, feature }),
        2 => (0..4000_u16).prop_map(|ms| Step::Pass { ms }),
    ]
}

fn line(step: &Step) -> Option<String> {
    let cell = |value: &Option<i8>| value.map_or("-".to_owned(), |value| value.to_string());
    Some(match step {
        Step::Put { view, entity, at, values } => {
            let mut seen = std::collections::BTreeMap::new();
            values.iter().for_each(|(feature, value)| {
                seen.insert(feature, value);
            });
            let pairs: String = seen.iter().map(|(feature, value)| format!(" f{feature} {}", cell(value))).collect();
            format!("FEAT.PUT v{view} {entity} AT {at} NULL -{pairs}")
        }
        Step::Many { view, rows } => {
            let cells: String =
                rows.iter().map(|(entity, at, value)| format!(" {entity} {at} {} 1", cell(value))).collect();
            format!("FEAT.MPUT v{view} NULL - FEATURES 2 f1 f4 ROWS {}{cells}", rows.len())
        }
        Step::Incr { entity, at, by } => format!("FEAT.INCR v1 {entity} AT {at} w {by}.5 n 1"),
        Step::Get { entity } => format!("FEAT.GET ENTITIES 2 {entity} 9 VIEW v0 VIEW v1 VIEW v2 WITHTIMES PACKED"),
        Step::Plain { entity, feature, value } => format!("HSET p:{entity} f{feature} {value}"),
        Step::Delete { entity, feature } => format!("HDEL p:{entity} f{feature}"),
        Step::Pass { .. } => return None,
    })
}

fn pair() -> Replicated {
    let mut pair = Replicated::new();
    let features = "FEATURES f0 i64 f1 i64 f2 f64 f3 f32 TTL 3 f4 i64 w sum(10,1) n count(4,2)";
    for (view, words) in [(0, "PREFIX p:"), (1, "PREFIX p: TTL 2"), (2, "PREFIX q: MAXAGE 1")] {
        assert_eq!(pair.run(&format!("FEAT.VIEW CREATE v{view} {words} {features}")), "+OK");
    }
    pair
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_replica_has_the_same_features_after_every_turn(steps in proptest::collection::vec(step(), 1..60)) {
        let mut pair = pair();
        for step in &steps {
            if let Step::Pass { ms } = step {
                pair.primary.now_ms += i64::from(*ms);
            }
            if let Some(line) = line(step) {
                let reply = pair.run(&line);
                prop_assert!(!reply.starts_with('-'), "{line}: {reply}");
                for words in &pair.last {
                    prop_assert!(!words[0].starts_with(b"FEAT"), "{line} is replayed as itself");
                }
            }
        }
    }

    #[test]
    fn what_is_newest_wins_in_any_order(mut writes in proptest::collection::vec((0..4_u8, 0..100_i64), 1..20), seed in any::<u64>()) {
        let mut pair = pair();
        // A value is its time, so the greatest must be there in the end whatever the order.
        let mut order = seed;
        for i in (1..writes.len()).rev() {
            order = order.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            writes.swap(i, (order >> 33) as usize % (i + 1));
        }
        let mut newest = [None; 4];
        for (feature, at) in &writes {
            pair.run(&format!("FEAT.PUT v0 1 AT {at} f{feature} {at}"));
            let newest = &mut newest[usize::from(*feature)];
            *newest = (*newest).max(Some(*at));
        }
        for (feature, at) in newest.iter().enumerate() {
            let there = pair.run(&format!("HGET p:1 f{feature}"));
            prop_assert_eq!(there, at.map_or("$-1".to_owned(), |at| format!("'{at}'")));
        }
    }
}

#[test]
fn a_command_that_stores_nothing_leaves_no_trace() {
    let mut pair = pair();
    pair.run("FEAT.PUT v1 1 AT 5 f0 1");
    assert_eq!(pair.last.len(), 2, "the fields, and when they expire");
    let digest = pair.primary.digest();
    for line in ["FEAT.PUT v1 1 AT 4 f0 2", "FEAT.PUT v1 1 AT 9 f0 x", "FEAT.VIEW CREATE v1 PREFIX z: FEATURES a i64"] {
        pair.run(line);
        assert_eq!(pair.primary.digest(), digest, "{line}");
        assert!(pair.last.is_empty(), "{line}");
    }
}

#[test]
fn entities_and_views_go_through_dump() {
    let mut pair = pair();
    pair.run("FEAT.PUT v1 1 AT 5 f0 1 f3 2.5");
    pair.run("FEAT.PUT v1 1 AT 6 NULL - f1 -");
    let get = "FEAT.GET ENTITIES 1 1 VIEW v1 WITHTIMES";
    let before = pair.run(get);
    for key in ["p:1", "feat:views"] {
        let dump = pair.primary.run_words(&["DUMP", key]);
        let start = dump.windows(2).position(|pair| pair == b"\r\n").unwrap() + 2;
        let payload = dump[start..dump.len() - 2].to_vec();
        pair.run(&format!("DEL {key}"));
        let restored = pair.run_words(&[b"RESTORE".as_slice(), key.as_bytes(), b"0", &payload]);
        assert_eq!(restored, b"+OK\r\n");
    }
    assert_eq!(pair.run(get), before);
}
