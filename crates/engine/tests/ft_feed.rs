//! Search indexes follow the keys: after any commands, questions answer what a scan of the keys does, on a primary, on a
//! replica that only sees the stream, and whoever looked at the keys in between.

mod common;

use common::{Replicated, show};
use proptest::prelude::*;
use quiver_engine::session::Role;

/// A key that the index covers, or one that it does not.
fn key() -> impl Strategy<Value = String> {
    prop_oneof![4 => (0u8..12).prop_map(|n| format!("k:{n}")), 1 => (0u8..4).prop_map(|n| format!("o:{n}"))]
}

fn command() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => (key(), 0u8..6, 0u8..3).prop_map(|(key, n, tag)| format!("HSET {key} n {n} t t{tag} other x")),
        2 => (key(), 0u8..6).prop_map(|(key, n)| format!("HSET {key} n {n}")),
        1 => (key(), 0i8..3).prop_map(|(key, by)| format!("HINCRBY {key} n {by}")),
        2 => key().prop_map(|key| format!("HDEL {key} n")),
        2 => key().prop_map(|key| format!("DEL {key}")),
        2 => (key(), key()).prop_map(|(from, to)| format!("RENAME {from} {to}")),
        2 => (key(), key()).prop_map(|(from, to)| format!("COPY {from} {to} REPLACE")),
        1 => key().prop_map(|key| format!("SET {key} n")),
        1 => key().prop_map(|key| format!("HSET {key} n no-number")),
        2 => (key(), 1u8..40).prop_map(|(key, ms)| format!("PEXPIRE {key} {ms}")),
        1 => (key(), 1u8..40).prop_map(|(key, ms)| format!("HPEXPIRE {key} {ms} FIELDS 1 n")),
        1 => key().prop_map(|key| format!("MOVE {key} 1")),
        1 => Just("SWAPDB 0 1".to_owned()),
        1 => Just("later".to_owned()),
        2 => Just("look".to_owned()),
    ]
}

/// What the keys say of a number.
fn scanned(pair: &mut Replicated, n: u8) -> Vec<String> {
    let h = &mut pair.primary;
    let mut found = Vec::new();
    for key in (0..12).map(|at| format!("k:{at}")) {
        if h.run(&format!("TYPE {key}")) == "+hash" && h.run(&format!("HGET {key} n")) == format!("'{n}'") {
            found.push(key);
        }
    }
    found.sort();
    found
}

/// The keys in a reply of NOCONTENT, and the total.
fn answered(reply: &str) -> (usize, Vec<String>) {
    let inside = reply.split_once("[:").map_or("", |(_, rest)| rest).trim_end_matches(']');
    let mut parts = inside.split(' ');
    let total = parts.next().and_then(|total| total.parse().ok()).unwrap_or(usize::MAX);
    let mut keys: Vec<String> = parts.map(|key| key.trim_matches('\'').to_owned()).collect();
    keys.sort();
    (total, keys)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn an_index_answers_as_a_scan_of_the_keys(commands in prop::collection::vec(command(), 1..60)) {
        let mut pair = Replicated::new();
        pair.run("FT.CREATE i PREFIX 1 k: SCHEMA n NUMERIC t TAG");
        for command in &commands {
            match command.as_str() {
                "later" => pair.primary.now_ms += 15,
                "look" => drop(pair.primary.engine.tend_search(pair.primary.now_ms)),
                "SWAPDB 0 1" => {
                    pair.run(command);
                    // Another database is looked at in the background.
                    while pair.primary.engine.tend_search(pair.primary.now_ms) {}
                    while pair.replica.engine.tend_search(pair.primary.now_ms) {}
                }
                _ => drop(pair.run(command)),
            }
            pair.replica.now_ms = pair.primary.now_ms;
        }
        for n in 0..8 {
            let wanted = scanned(&mut pair, n);
            let line = format!("@n:[{n} {n}]");
            let question = ["FT.SEARCH", "i", &line, "NOCONTENT", "LIMIT", "0", "100"];
            let reply = show(&pair.primary.run_words(&question));
            prop_assert_eq!(answered(&reply), (wanted.len(), wanted.clone()), "{} on the primary", line);
            pair.replica.session.role = Role::Normal;
            pair.replica.session.db = 0;
            let reply = show(&pair.replica.run_words(&question));
            pair.replica.session.role = Role::Primary;
            prop_assert_eq!(answered(&reply), (wanted.len(), wanted), "{} on the replica", line);
        }
    }
}
