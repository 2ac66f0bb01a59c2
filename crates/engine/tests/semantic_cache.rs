//! Semantic caches: what is a hit, of whom, for how long, and how much is kept.

mod common;

use std::collections::BTreeSet;

use common::{Harness, Replicated, START_MS};
use proptest::prelude::*;
use quiver_engine::effects::Effects;
use quiver_engine::expire::ExpireCursor;
use quiver_engine::keyspace::ALL_SHARDS;

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

/// The words of a line, where `v:1,2` stands for a vector of two components.
fn set(harness: &mut Harness, line: &str) -> String {
    harness.run(&vector_words(line))
}

fn vector_words(line: &str) -> String {
    let word = |word: &str| match word.strip_prefix("v:") {
        Some(components) => {
            let components: Vec<&str> = components.split(',').collect();
            format!("VALUES {} {}", components.len(), components.join(" "))
        }
        None => word.to_owned(),
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// A field of an answer's map in RESP2; `None` for a miss.
fn field(answer: &str, name: &str) -> Option<String> {
    assert!(!answer.starts_with('-'), "{answer}");
    let behind = answer.split_once(&format!("'{name}' "))?.1;
    Some(behind.split([' ', ']']).next()?.trim_matches('\'').to_owned())
}

fn response(harness: &mut Harness, line: &str) -> Option<String> {
    field(&set(harness, line), "response")
}

fn stat(harness: &mut Harness, name: &str) -> i64 {
    let stats = harness.run("SC.STATS c");
    field(&stats, name).expect("a statistic").trim_start_matches(':').parse().expect("a number")
}

fn check(harness: &Harness) {
    let mut effects = Effects::default();
    harness.engine.lock(ALL_SHARDS, &mut effects, harness.now_ms).check();
}

#[test]
fn the_same_prompt_is_found_without_an_embedding_and_a_similar_one_with_it() {
    let mut harness = Harness::new();
    let id = set(&mut harness, "SC.SET c PROMPT hello RESPONSE hi v:1,0,0");
    assert_eq!(id.len(), 42, "{id}");
    let exact = harness.run("SC.GET c PROMPT hello");
    assert_eq!(
        exact,
        format!(
            "*16['id' {id} 'match' 'exact' 'prompt' 'hello' 'response' 'hi' 'score' '1' 'metadata' $-1 'created' \
             :{START_MS} 'ttl-ms' $-1]"
        )
    );
    let similar = set(&mut harness, "SC.GET c PROMPT hullo v:1,0.1,0");
    assert_eq!(field(&similar, "match").as_deref(), Some("semantic"));
    assert_eq!(field(&similar, "prompt").as_deref(), Some("hello"));
    assert_eq!(harness.run("SC.GET c PROMPT hullo"), "$-1");
    assert_eq!(set(&mut harness, "SC.GET c PROMPT other v:0,1,0"), "$-1");
    assert_eq!(harness.run("SC.GET none PROMPT hello"), "$-1");
    assert_eq!(harness.run("EXISTS none"), ":0");
    check(&harness);
}

#[test]
fn resp3_answers_maps_with_doubles() {
    let mut harness = Harness::new();
    harness.run("SC.SET c PROMPT p RESPONSE r VALUES 2 1 0 METADATA {} EX 10");
    let answer = harness.run3("SC.GET c PROMPT p");
    assert!(
        answer.starts_with("%8[")
            && answer.contains("'score' ,1 'metadata' '{}'")
            && answer.contains("'ttl-ms' :10000")
    );
    assert!(harness.run3("SC.STATS c").starts_with("%17["));
}

#[test]
fn hits_near_misses_and_misses_are_told_apart_and_counted() {
    let mut harness = Harness::new();
    harness.expect(&[("SC.CONFIG c THRESHOLD 0.9 NEAR 0.7", "+OK")]);
    set(&mut harness, "SC.SET c PROMPT p RESPONSE r v:1,0");
    // Similarities: 1, 0.9986.., 0.8535.., 0.5.
    assert!(response(&mut harness, "SC.GET c v:2,0").is_some());
    assert!(response(&mut harness, "SC.GET c v:1,0.1").is_some());
    assert!(response(&mut harness, "SC.GET c v:1,1").is_none());
    assert!(response(&mut harness, "SC.GET c v:0,1").is_none());
    assert!(response(&mut harness, "SC.GET c v:1,1 THRESHOLD 0.8").is_some());
    assert!(response(&mut harness, "SC.GET c PROMPT p v:0,1").is_some());
    let stats = harness.run("SC.STATS c");
    for (name, value) in [
        ("exact-hits", ":1"),
        ("semantic-hits", ":3"),
        ("near-misses", ":1"),
        ("misses", ":1"),
        ("stored", ":1"),
        ("entries", ":1"),
        ("threshold", "0.9"),
        ("near", "0.7"),
    ] {
        assert_eq!(field(&stats, name).as_deref(), Some(value), "{name} of {stats}");
    }
    assert!(field(&stats, "hit-rate").is_some_and(|rate| rate.starts_with("0.666")), "{stats}");
}

#[test]
fn no_scope_and_no_model_sees_the_entries_of_another() {
    let mut harness = Harness::new();
    for (scope, response) in [("SCOPE ann", "a"), ("SCOPE bob", "b"), ("", "none"), ("SCOPE ann MODEL m", "m")] {
        set(&mut harness, format!("SC.SET c PROMPT p RESPONSE {response} v:1,0 {scope}").trim());
    }
    for (scope, expected) in [
        ("SCOPE ann", Some("a")),
        ("SCOPE bob", Some("b")),
        ("", Some("none")),
        ("SCOPE ann MODEL m", Some("m")),
        ("MODEL m", None),
        ("SCOPE cyd", None),
        ("SCOPE an", None),
        ("SCOPE m MODEL ann", None),
    ] {
        for query in ["PROMPT p", "v:1,0", "PROMPT p v:1,0 THRESHOLD 0"] {
            let line = format!("SC.GET c {query} {scope}");
            assert_eq!(response(&mut harness, line.trim()).as_deref(), expected, "{line}");
        }
    }
    check(&harness);
}

#[test]
fn entries_live_absolutely_unless_they_slide() {
    let mut harness = Harness::new();
    harness.expect(&[("SC.CONFIG c TTL 10", "+OK")]);
    set(&mut harness, "SC.SET c PROMPT absolute RESPONSE a v:1,0");
    set(&mut harness, "SC.SET c PROMPT sliding RESPONSE s v:0,1 SLIDING");
    set(&mut harness, "SC.SET c PROMPT short RESPONSE x v:-1,0 PX 500");
    set(&mut harness, "SC.SET c PROMPT ever RESPONSE e v:0,-1 PERSIST");
    harness.now_ms += 6000;
    for prompt in ["absolute", "sliding", "ever"] {
        assert!(response(&mut harness, &format!("SC.GET c PROMPT {prompt}")).is_some(), "{prompt}");
    }
    assert_eq!(harness.run("SC.GET c PROMPT short"), "$-1");
    assert_eq!(stat(&mut harness, "expired"), 1);
    harness.now_ms += 6000;
    assert_eq!(harness.run("SC.GET c PROMPT absolute"), "$-1");
    assert_eq!(set(&mut harness, "SC.GET c v:1,0"), "$-1");
    // Slides by its similar ones, too.
    assert_eq!(field(&set(&mut harness, "SC.GET c v:0,1"), "ttl-ms").as_deref(), Some(":10000"));
    harness.now_ms += 9999;
    assert!(response(&mut harness, "SC.GET c PROMPT sliding").is_some());
    harness.now_ms += 10_000;
    assert_eq!(set(&mut harness, "SC.GET c PROMPT sliding v:0,1"), "$-1");
    assert!(response(&mut harness, "SC.GET c PROMPT ever").is_some());
    assert_eq!((stat(&mut harness, "entries"), stat(&mut harness, "expired")), (1, 3));
    check(&harness);
}

#[test]
fn what_expires_unasked_leaves_no_vector_and_no_hash() {
    let mut harness = Harness::new();
    for i in 0..40 {
        set(&mut harness, &format!("SC.SET c PROMPT p{i} RESPONSE r v:1,{i} EX 1"));
    }
    harness.now_ms += 1000;
    assert_eq!(stat(&mut harness, "entries"), 0);
    for _ in 0..8 {
        let now_ms = harness.now_ms;
        harness.engine.expire_round(&mut harness.worker, &mut ExpireCursor::default(), usize::MAX, now_ms);
    }
    assert_eq!(harness.run("DBSIZE"), ":5", "the five keys of the cache itself");
    for _ in 0..3 {
        harness.run("SC.GET c PROMPT p1");
    }
    assert_eq!((stat(&mut harness, "bytes"), stat(&mut harness, "expired")), (0, 40));
    assert_eq!(harness.run("DBSIZE"), ":1", "settings and counters");
    check(&harness);
}

#[test]
fn a_cache_keeps_within_its_bounds_by_what_was_used_longest_ago() {
    let mut harness = Harness::new();
    harness.expect(&[("SC.CONFIG c MAXENTRIES 3", "+OK")]);
    for i in 0..3 {
        set(&mut harness, &format!("SC.SET c PROMPT p{i} RESPONSE r{i} v:1,{i}"));
        harness.now_ms += 1;
    }
    assert!(response(&mut harness, "SC.GET c PROMPT p0").is_some());
    set(&mut harness, "SC.SET c PROMPT p3 RESPONSE r3 v:0,1");
    let there: Vec<bool> = (0..4).map(|i| response(&mut harness, &format!("SC.GET c PROMPT p{i}")).is_some()).collect();
    assert_eq!(there, [true, false, true, true]);
    assert_eq!(harness.run("SC.CONFIG c MAXENTRIES 0 MAXBYTES 2000"), "+OK");
    harness.now_ms += 1;
    set(&mut harness, "SC.SET c PROMPT p4 RESPONSE r4 v:0,1");
    assert!(stat(&mut harness, "bytes") <= 2000 && stat(&mut harness, "entries") == 3);
    assert!(response(&mut harness, "SC.GET c PROMPT p4").is_some());
    let large = "x".repeat(2000);
    assert_eq!(
        set(&mut harness, &format!("SC.SET c PROMPT large RESPONSE {large} v:0,1")),
        "-ERR the entry is larger than the cache may be"
    );
    check(&harness);
}

#[test]
fn an_entry_that_is_stored_again_is_replaced() {
    let mut harness = Harness::new();
    let id = set(&mut harness, "SC.SET c PROMPT p RESPONSE old v:1,0 METADATA {\"a\":1} EX 10");
    assert_eq!(set(&mut harness, "SC.SET c PROMPT p RESPONSE new v:0,1"), id);
    assert_eq!(stat(&mut harness, "entries"), 1);
    let answer = set(&mut harness, "SC.GET c v:0,1");
    assert!(
        answer.contains("'response' 'new'") && answer.contains("'metadata' $-1") && answer.ends_with("'ttl-ms' $-1]")
    );
    assert_eq!(set(&mut harness, "SC.GET c v:1,0"), "$-1");
    let bytes = stat(&mut harness, "bytes");
    set(&mut harness, "SC.SET c PROMPT p RESPONSE new v:0,1");
    assert_eq!(stat(&mut harness, "bytes"), bytes);
}

#[test]
fn entries_are_invalidated_by_what_they_are() {
    let mut harness = Harness::new();
    let mut ids = Vec::new();
    for (i, scope) in ["ann", "ann", "bob", "bob"].into_iter().enumerate() {
        let line =
            format!("SC.SET c PROMPT p{i} RESPONSE r v:1,{i} SCOPE {scope} MODEL m{} METADATA {{\"n\":{i}}}", i % 2);
        ids.push(set(&mut harness, &line));
    }
    harness.expect(&[
        ("SC.INVALIDATE c FILTER '.n > 2'", ":1"),
        ("SC.INVALIDATE c FILTER '.n >'", "-ERR syntax error in FILTER expression near: .n >"),
        (&format!("SC.INVALIDATE c ID {} ID none", ids[0]), ":1"),
        ("SC.INVALIDATE c PROMPT p1 SCOPE ann", ":0"),
        ("SC.INVALIDATE c PROMPT p1 SCOPE ann MODEL m1", ":1"),
        ("SC.INVALIDATE c SCOPE ann", ":0"),
        ("SC.INVALIDATE c MODEL m1", ":0"),
        ("SC.INVALIDATE c SCOPE bob MODEL m0", ":1"),
        ("SC.INVALIDATE c ALL", ":0"),
        ("SC.INVALIDATE none ALL", ":0"),
        ("SC.INVALIDATE c ALL SCOPE bob", "-ERR syntax error"),
        ("SC.INVALIDATE c ALL ID x", "-ERR syntax error"),
        ("SC.INVALIDATE c PROMPT x FILTER .n", "-ERR syntax error"),
        ("SC.INVALIDATE c PROMPT", "-ERR syntax error"),
        ("DBSIZE", ":1"),
    ]);
    for i in 0..30 {
        set(&mut harness, &format!("SC.SET c PROMPT p{i} RESPONSE r v:1,{i} SCOPE s{}", i % 3));
    }
    harness.expect(&[("SC.INVALIDATE c SCOPE s1", ":10"), ("SC.INVALIDATE c ALL", ":20"), ("DBSIZE", ":1")]);
    assert_eq!((stat(&mut harness, "invalidated"), stat(&mut harness, "bytes")), (34, 0));
    set(&mut harness, "SC.SET c PROMPT p RESPONSE r v:1,1 EX 10");
    harness.expect(&[("SC.DROP c", ":1"), ("DBSIZE", ":0"), ("SC.DROP c", ":0"), ("SC.STATS c", "-ERR no such key")]);
    check(&harness);
}

#[test]
fn a_filter_decides_among_prompts_that_are_the_same_or_similar() {
    let mut harness = Harness::new();
    set(&mut harness, "SC.SET c PROMPT p RESPONSE r v:1,0 METADATA {\"lang\":\"en\"}");
    for (filter, expected) in [("'.lang == \"en\"'", true), ("'.lang == \"de\"'", false), (".other", false)] {
        for query in ["PROMPT p", "VALUES 2 1 0"] {
            let found = harness.run(&format!("SC.GET c {query} FILTER {filter}")) != "$-1";
            assert_eq!(found, expected, "{query} {filter}");
        }
    }
}

#[test]
fn wrong_words_and_types_are_refused_and_change_nothing() {
    let mut harness = Harness::new();
    set(&mut harness, "SC.SET c PROMPT p RESPONSE r v:1,0");
    let digest = harness.digest();
    harness.expect(&[
        ("SC.SET c PROMPT p RESPONSE r VALUES 3 1 2 3", "-ERR Vector dimension mismatch - got 3 but set has 2"),
        ("SC.GET c VALUES 3 1 2 3", "-ERR Vector dimension mismatch - got 3 but set has 2"),
        ("SC.SET c PROMPT p RESPONSE r VALUES 2 0 0", "-ERR the embedding must have a direction and a finite length"),
        (
            "SC.SET c PROMPT p RESPONSE r VALUES 2 3e38 3e38",
            "-ERR the embedding must have a direction and a finite length",
        ),
        ("SC.SET c PROMPT p RESPONSE r VALUES 2 1 x", "-ERR invalid vector specification"),
        ("SC.SET c PROMPT p RESPONSE r FP32 abc", "-ERR invalid vector specification"),
        ("SC.SET c PROMPT p RESPONSE r SCOPE s", "-ERR an embedding is needed, by FP32 or VALUES"),
        ("SC.SET c PROMPT p SCOPE s VALUES 2 1 1", "-ERR PROMPT and RESPONSE are needed"),
        ("SC.SET c PROMPT p RESPONSE r VALUES 2 1 1 EX 0", "-ERR invalid expire time in 'sc.set' command"),
        ("SC.SET c PROMPT p RESPONSE r VALUES 2 1 1 PXAT 5", "-ERR invalid expire time in 'sc.set' command"),
        ("SC.SET c PROMPT p RESPONSE r VALUES 2 1 1 EX", "-ERR syntax error"),
        ("SC.SET c PROMPT p RESPONSE r VALUES 2 1 1 THRESHOLD 1", "-ERR syntax error"),
        ("SC.SET c PROMPT p", "-ERR wrong number of arguments for 'sc.set' command"),
        ("SC.SET {c} PROMPT p RESPONSE r VALUES 2 1 1", "-ERR '{c}' cannot be the name of a cache"),
        ("SC.GET c SCOPE s", "-ERR PROMPT or an embedding is needed"),
        ("SC.GET c PROMPT p EX 1", "-ERR syntax error"),
        ("SC.GET c PROMPT p THRESHOLD 2", "-ERR THRESHOLD takes a similarity from 0 to 1"),
        ("SC.CONFIG c THRESHOLD nan", "-ERR THRESHOLD takes a similarity from 0 to 1"),
        ("SC.CONFIG c TTL -1", "-ERR value is out of range"),
        ("SC.CONFIG c TTL x", "-ERR value is not an integer or out of range"),
        ("SC.CONFIG c MAXBYTES", "-ERR syntax error"),
        ("SC.CONFIG c OTHER 1", "-ERR syntax error"),
    ]);
    assert_eq!(harness.digest(), digest);
    harness.expect(&[
        ("SET s x", "+OK"),
        ("SC.SET s PROMPT p RESPONSE r VALUES 2 1 1", WRONG_TYPE),
        ("SC.GET s PROMPT p", WRONG_TYPE),
        ("SC.STATS s", WRONG_TYPE),
        ("SET {t}:v:0:: x", "+OK"),
        ("SC.SET t PROMPT p RESPONSE r VALUES 2 1 1", WRONG_TYPE),
        ("SC.GET t VALUES 2 1 1", WRONG_TYPE),
        ("SET {u}:used x", "+OK"),
        ("SC.SET u PROMPT p RESPONSE r VALUES 2 1 1", WRONG_TYPE),
        ("HSET c misses x", ":1"),
        ("SC.GET c PROMPT none", "$-1"),
    ]);
}

#[test]
fn entries_that_somebody_else_deleted_are_no_hits() {
    let mut harness = Harness::new();
    let id = set(&mut harness, "SC.SET c PROMPT p RESPONSE r v:1,0");
    set(&mut harness, "SC.SET c PROMPT q RESPONSE second v:1,0.1");
    assert_eq!(harness.run(&format!("DEL {{c}}:e:{}", id.trim_matches('\''))), ":1");
    assert_eq!(response(&mut harness, "SC.GET c PROMPT p v:1,0").as_deref(), Some("second"));
    assert_eq!(harness.run("ZCARD {c}:used"), ":1");
    assert_eq!(harness.run("DEL c"), ":1");
    set(&mut harness, "SC.SET c PROMPT q RESPONSE third v:1,0.1");
    assert_eq!(response(&mut harness, "SC.GET c PROMPT q").as_deref(), Some("third"));
    check(&harness);
}

#[derive(Clone, Debug)]
enum Step {
    Set { prompt: u8, scope: u8, model: u8, vector: [i8; 3], life: u8 },
    Get { prompt: Option<u8>, scope: u8, model: u8, vector: Option<[i8; 3]>, threshold: u8 },
    Invalidate { what: u8, scope: u8 },
    Bound { entries: u8 },
    Pass { ms: u16 },
}

fn step() -> impl Strategy<Value = Step> {
    let vector = || proptest::array::uniform3(-3..4_i8).prop_filter("a direction", |vector| *vector != [0; 3]);
    prop_oneof![
        6 => (0..6_u8, 0..3_u8, 0..2_u8, vector(), 0..5_u8)
            .prop_map(|(prompt, scope, model, vector, life)| Step::Set { prompt, scope, model, vector, life }),
        6 => (proptest::option::of(0..6_u8), 0..3_u8, 0..2_u8, proptest::option::of(vector()), 0..11_u8).prop_map(
            |(prompt, scope, model, vector, threshold)| Step::Get { prompt, scope, model, vector, threshold }
        ),
        1 => (0..4_u8, 0..3_u8).prop_map(|(what, scope)| Step::Invalidate { what, scope }),
        1 => (0..6_u8).prop_map(|entries| Step::Bound { entries }),
        2 => (0..3000_u16).prop_map(|ms| Step::Pass { ms }),
    ]
}

fn line(step: &Step) -> Option<String> {
    let values = |vector: &[i8; 3]| format!("VALUES 3 {} {} {}", vector[0], vector[1], vector[2]);
    Some(match step {
        Step::Set { prompt, scope, model, vector, life } => {
            let life = ["", "EX 1", "EX 2 SLIDING", "PX 700", "PERSIST"][usize::from(*life)];
            // The response says whose it is.
            format!(
                "SC.SET c PROMPT p{prompt} RESPONSE of-s{scope}-m{model} {} SCOPE s{scope} MODEL m{model} METADATA \
                 {{\"n\":{prompt}}} {life}",
                values(vector)
            )
            .trim()
            .to_owned()
        }
        Step::Get { prompt, scope, model, vector, threshold } => {
            let prompt = prompt.map_or(String::new(), |prompt| format!("PROMPT p{prompt} "));
            let vector = vector.as_ref().map_or(String::new(), |vector| format!("{} ", values(vector)));
            if prompt.is_empty() && vector.is_empty() {
                return None;
            }
            format!("SC.GET c {prompt}{vector}SCOPE s{scope} MODEL m{model} THRESHOLD 0.{threshold}")
        }
        Step::Invalidate { what, scope } => match what {
            0 => "SC.INVALIDATE c ALL".to_owned(),
            1 => format!("SC.INVALIDATE c SCOPE s{scope}"),
            2 => format!("SC.INVALIDATE c FILTER '.n > {scope}'"),
            _ => format!("SC.INVALIDATE c PROMPT p1 SCOPE s{scope} MODEL m0"),
        },
        Step::Bound { entries } => format!("SC.CONFIG c MAXENTRIES {entries}"),
        Step::Pass { .. } => return None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_hit_is_of_another_scope_and_replicas_agree_after_every_turn(steps in proptest::collection::vec(step(), 1..60)) {
        let mut pair = Replicated::new();
        for step in &steps {
            if let Step::Pass { ms } = step {
                pair.primary.now_ms += i64::from(*ms);
            }
            let Some(line) = line(step) else { continue };
            let reply = pair.run(&line);
            prop_assert!(!reply.starts_with('-'), "{line}: {reply}");
            let replayed: BTreeSet<&[u8]> = pair.last.iter().map(|words| &words[0][..]).collect();
            prop_assert!(replayed.iter().all(|word| !word.starts_with(b"SC.")), "{line}: {replayed:?}");
            if let Step::Get { scope, model, .. } = step
                && reply != "$-1"
            {
                prop_assert_eq!(field(&reply, "response"), Some(format!("of-s{scope}-m{model}")), "{}", line);
            }
        }
    }
}

#[test]
fn a_cache_goes_through_dump() {
    let mut pair = Replicated::new();
    pair.run("SC.SET c PROMPT p RESPONSE r VALUES 2 1 0 METADATA {\"a\":1} EX 100");
    let before = pair.run("SC.GET c VALUES 2 1 0.1");
    let keys = pair.run("KEYS *");
    for key in keys.split('\'').filter(|key| key.contains('c')) {
        let dump = pair.primary.run_words(&["DUMP", key]);
        let start = dump.iter().position(|byte| *byte == b'\n').expect("a bulk string") + 1;
        let payload = dump[start..dump.len() - 2].to_vec();
        let ttl = pair.run(&format!("PTTL {key}"));
        let ttl = ttl.trim_start_matches(':').replace("-1", "0");
        pair.run(&format!("DEL {key}"));
        let restored = pair.run_words(&[b"RESTORE".as_slice(), key.as_bytes(), ttl.as_bytes(), &payload]);
        assert_eq!(restored, b"+OK\r\n", "{key}");
    }
    assert_eq!(pair.run("SC.GET c VALUES 2 1 0.1"), before);
}
