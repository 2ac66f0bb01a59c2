//! VINDEX: indexes over attributes, which change how filtered searches are made and not what they answer.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common;

use common::{Harness, Replicated, show};
use proptest::prelude::*;
use quiver_engine::effects::Effects;
use quiver_engine::keyspace::{ALL_SHARDS, KeyHasher};
use quiver_engine::object::SharedVectorSet;

fn set(side: &Harness, key: &str) -> Option<SharedVectorSet> {
    let mut effects = Effects::default();
    let mut keyspace = side.engine.lock(ALL_SHARDS, &mut effects, side.now_ms);
    keyspace.value::<SharedVectorSet>(KeyHasher.key(key.as_bytes())).unwrap().cloned()
}

fn check(side: &Harness, key: &str) {
    set(side, key).unwrap().read().check().unwrap();
}

/// A set whose elements have a number of their own, one that few share with their neighbours, and a text.
fn filled(count: usize) -> Harness {
    let mut h = Harness::new();
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let centres: Vec<[f32; 8]> = (0..50).map(|_| [(); 8].map(|()| next() * 2.0)).collect();
    let (mut names, mut blob, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..count {
        let near = i % centres.len();
        blob.extend(centres[near].iter().flat_map(|x| (x + next() * 0.5).to_le_bytes()));
        names.push(format!("e{i}").into_bytes());
        let own = i.wrapping_mul(0x9e37_79b1) >> 7 & 0xffff;
        texts.push(format!("{{\"own\":{own},\"near\":{near},\"user\":\"u{}\"}}", i % 1000).into_bytes());
    }
    let head = [b"VMADD".to_vec(), b"k".to_vec(), count.to_string().into(), b"FP32".to_vec(), blob];
    let words: Vec<Vec<u8>> = head.into_iter().chain(names).chain([b"SETATTR".to_vec()]).chain(texts).collect();
    assert_eq!(show(&h.run_words(&words)), format!(":{count}"));
    h
}

#[test]
fn indexes_are_added_counted_and_dropped() {
    let mut h = Harness::new();
    h.expect(&[
        ("VINDEX k ADD a", "-ERR key does not exist"),
        ("VADD k VALUES 2 1 2 x SETATTR {\"a\":1,\"b\":[1]}", ":1"),
        ("VADD k VALUES 2 1 3 y SETATTR {\"a\":2}", ":1"),
        ("VINDEX k ADD .a b a", ":2"),
        ("VINDEX k ADD a", ":0"),
        ("VINDEX k SHOW a", "-ERR the action must be ADD or DROP"),
        ("VINDEX k ADD a.b", "-ERR an expression cannot name this field"),
        ("VINDEX k ADD .", "-ERR an expression cannot name this field"),
        ("VINDEX k ADD", "-ERR wrong number of arguments for 'VINDEX' command"),
        ("VSIM k VALUES 2 1 1 FILTER '.a > 1'", "*1['y']"),
        ("SET text x", "+OK"),
        ("VINDEX text ADD a", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
    ]);
    let info = h.run3("VINFO k");
    assert!(info.contains("+attribute-indexes %2['a' :2 'b' :1]"), "{info}");
    check(&h, "k");
    h.expect(&[("VINDEX k DROP b c", ":1"), ("VINDEX k DROP b", ":0"), ("VINDEX k DROP a", ":1")]);
    assert!(!h.run("VINFO k").contains("attribute-indexes"));
    let fields: Vec<String> = (0..65).map(|i| format!("f{i}")).collect();
    h.expect(&[
        (&format!("VINDEX k ADD {}", fields.join(" ")), "-ERR too many indexes"),
        (&format!("VINDEX k ADD {}", fields[1..].join(" ")), ":64"),
        ("VINDEX k ADD f0", "-ERR too many indexes"),
    ]);
    check(&h, "k");
}

#[test]
fn an_index_follows_the_elements() {
    let mut h = Harness::new();
    h.run("VADD k VALUES 2 1 2 x SETATTR {\"a\":1}");
    h.run("VINDEX k ADD a");
    let search = "VSIM k VALUES 2 1 1 FILTER '.a == 5'";
    for (line, reply, found) in [
        ("VADD k VALUES 2 1 3 y SETATTR {\"a\":5}", ":1", "*1['y']"),
        ("VSETATTR k x {\"a\":5}", ":1", "*2['x' 'y']"),
        ("VADD k VALUES 2 5 3 y", ":0", "*2['y' 'x']"),
        ("VREM k y", ":1", "*1['x']"),
        ("VADD k VALUES 2 1 3 z", ":1", "*1['x']"),
        ("VSETATTR k z {\"a\":\"5\"}", ":1", "*2['x' 'z']"),
        ("VSETATTR k x ''", ":1", "*1['z']"),
    ] {
        h.expect(&[(line, reply), (search, found)]);
        check(&h, "k");
    }
}

#[test]
fn an_index_is_part_of_what_is_replayed_dumped_and_copied() {
    let mut pair = Replicated::new();
    pair.run("VADD k VALUES 2 1 2 x SETATTR {\"a\":1}");
    let before = pair.primary.digest();
    pair.run("VINDEX k ADD a");
    assert_eq!(pair.last.len(), 1);
    assert_ne!(pair.primary.digest(), before);
    pair.run("VINDEX k ADD a");
    assert!(pair.last.is_empty());
    pair.run("MULTI");
    pair.run("VINDEX k ADD b");
    pair.run("VADD k VALUES 2 1 3 y SETATTR {\"b\":1}");
    pair.run("EXEC");
    pair.run("VPEXPIRE k 100000 ELEMENTS 1 x");
    pair.run("COPY k copy");
    let dump = pair.primary.run_words(&[b"DUMP", b"k".as_slice()]);
    let start = dump.windows(2).position(|pair| pair == b"\r\n").unwrap() + 2;
    let dump = &dump[start..dump.len() - 2];
    assert_eq!(show(&pair.run_words(&[b"RESTORE".as_slice(), b"again", b"0", dump])), "+OK");
    for key in ["k", "copy", "again"] {
        let info = pair.primary.run3(&format!("VINFO {key}"));
        assert!(info.contains("+attribute-indexes %2['a' :1 'b' :1]"), "{key}: {info}");
        for side in [&pair.primary, &pair.replica] {
            let set = set(side, key).unwrap();
            assert!(set.read().indexed_fields().eq([(&b"a"[..], 1), (b"b", 1)]));
            check(side, key);
        }
    }
    pair.run("VINDEX k DROP a");
    pair.run("VINDEX k DROP b");
    pair.run("VPERSIST k ELEMENTS 1 x");
    assert_eq!(pair.primary.digest(), pair.replica.digest());
    assert!(!pair.primary.run("VINFO k").contains("attribute-indexes"));
}

#[test]
fn with_an_index_what_passes_is_known_before_it_is_asked_for() {
    let mut h = filled(3000);
    let ask = |h: &mut Harness, filter: &str| h.run3(&format!("VSIM k ELE e7 WITHINFO FILTER '{filter}'"));
    assert!(ask(&mut h, ".user == \"u7\"").contains("+exact #t +plan +scan +ef :100 +asked :3000"));
    assert_eq!(h.run("VINDEX k ADD user own"), ":2");
    let found = ask(&mut h, ".user == \"u8\"");
    assert!(found.contains("*3['e") && found.contains("+exact #t +plan +scan +ef :100 +asked :0"), "{found}");
    let found = ask(&mut h, ".user == \"u9\" and .near > 3");
    assert!(found.contains("*3['e") && found.contains("+exact #t +plan +scan +ef :100 +asked :0"), "{found}");
    let found = ask(&mut h, ".own > 70000");
    assert!(found.contains("*2[*0[] ") && found.contains("+exact #t"), "{found}");
}

#[test]
fn filtered_recall_is_as_good_with_an_index_for_every_share() {
    let mut h = filled(4000);
    // Own numbers are even up to 65,535; the near ones are those of neighbourhoods.
    let filters = [
        ".own < 66",
        ".own < 655",
        ".own < 6554",
        ".own < 32768", // 0.1 %, 1 %, 10 %, 50 %
        ".near == 3 and .own < 3277",
        ".near == 3",
        ".near < 5",
        ".near < 25",
    ];
    for indexed in [false, true] {
        if indexed {
            h.run("VINDEX k ADD own near");
        }
        for filter in filters {
            let (mut hits, mut wanted) = (0, 0);
            for query in (0..4000).step_by(97) {
                let mut ask = |how: &str| {
                    let reply = h.run(&format!("VSIM k ELE e{query} COUNT 10 FILTER '{filter}' {how}"));
                    let names = reply.split('\'').filter(|word| word.starts_with('e')).map(str::to_owned);
                    names.collect::<Vec<_>>()
                };
                let (found, truth) = (ask(""), ask("TRUTH"));
                assert_eq!(found.len(), truth.len(), "{filter}: as many as there are");
                hits += found.iter().filter(|name| truth.contains(name)).count();
                wanted += truth.len();
            }
            assert!(hits * 100 >= wanted * 95, "{filter}, indexed {indexed}: {hits} of {wanted}");
        }
    }
}

/// One step of a life with indexes.
#[derive(Clone, Debug)]
enum Step {
    Add { name: u8, vector: [i8; 3], attributes: Option<u8> },
    Remove(u8),
    SetAttributes { name: u8, attributes: u8 },
    Index { add: bool, fields: Vec<&'static str> },
    Search { name: u8, filter: &'static str },
}

const TEXTS: [&str; 8] = [
    "",
    "{}",
    "{\"a\":1}",
    "{\"a\":2,\"b\":\"x\"}",
    "{\"a\":\"2\",\"b\":[\"x\",1]}",
    "{\"b\":null,\"a\":true}",
    "{\"a\":{\"b\":1},\"b\":[[1],null]}",
    "broken {",
];
const FILTERS: [&str; 8] = [
    ".a > 1",
    ".a == 2 and .b == \"x\"",
    "not .a",
    ".b != 1 or .a",
    "\"x\" in .b",
    "1 in .b",
    ".a + 1 == 2 and .a in [1, \"2\"]",
    ".c == 1",
];

fn step() -> impl Strategy<Value = Step> {
    let name = 0..20_u8;
    let fields = prop::sample::subsequence(&["a", "b", "c"][..], 1..=3);
    prop_oneof![
        5 => (name.clone(), proptest::array::uniform3(-3..4_i8), proptest::option::of(0..8_u8))
            .prop_map(|(name, vector, attributes)| Step::Add { name, vector, attributes }),
        2 => name.clone().prop_map(Step::Remove),
        3 => (name.clone(), 0..8_u8).prop_map(|(name, attributes)| Step::SetAttributes { name, attributes }),
        2 => (any::<bool>(), fields).prop_map(|(add, fields)| Step::Index { add, fields }),
        4 => (name, prop::sample::select(&FILTERS[..])).prop_map(|(name, filter)| Step::Search { name, filter }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn sets_with_indexes_answer_as_sets_without_and_are_the_same_on_replicas(
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let (mut pair, mut plain) = (Replicated::new(), Harness::new());
        for step in &steps {
            let words: Vec<String> = match step {
                Step::Add { name, vector: [a, b, c], attributes } => {
                    let line = format!("VADD k VALUES 3 {a} {b} {c} e{name}");
                    let more = attributes.iter().flat_map(|at| ["SETATTR", TEXTS[usize::from(*at)]]);
                    line.split(' ').chain(more).map(str::to_owned).collect()
                }
                Step::Remove(name) => ["VREM", "k", &format!("e{name}")].map(str::to_owned).to_vec(),
                Step::SetAttributes { name, attributes } => {
                    let text = TEXTS[usize::from(*attributes)];
                    ["VSETATTR", "k", &format!("e{name}"), text].map(str::to_owned).to_vec()
                }
                Step::Index { add, fields } => {
                    let words = ["VINDEX", "k", if *add { "ADD" } else { "DROP" }];
                    words.iter().chain(fields).map(|word| (*word).to_owned()).collect()
                }
                Step::Search { name, filter } => {
                    ["VSIM", "k", "ELE", &format!("e{name}"), "FILTER", filter].map(str::to_owned).to_vec()
                }
            };
            let reply = pair.run_words(&words);
            if !matches!(step, Step::Index { .. }) {
                prop_assert_eq!(show(&reply), show(&plain.run_words(&words)), "{:?}", step);
            }
            if let Some(set) = set(&pair.primary, "k") {
                prop_assert_eq!(set.read().check(), Ok(()));
            }
        }
    }
}
