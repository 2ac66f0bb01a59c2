//! Replaying the stream of vector set commands gives the same sets after every turn.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common;

use common::Replicated;
use proptest::prelude::*;
use quiver_engine::effects::Effects;
use quiver_engine::keyspace::{ALL_SHARDS, KeyHasher};
use quiver_engine::object::SharedVectorSet;

/// One step: a command of the family with arguments from small ranges, so that they meet.
#[derive(Clone, Debug)]
enum Step {
    Add { key: u8, name: u8, vector: [i8; 6], kind: u8, cas: bool, attributes: Option<u8>, values: bool, reduce: bool },
    Remove { key: u8, name: u8 },
    SetAttributes { key: u8, name: u8, attributes: u8 },
    Search { key: u8, name: u8 },
    Random { key: u8, count: i8 },
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..4_u8;
    let name = 0..24_u8;
    let vector = proptest::array::uniform6(-3..4_i8);
    let options = (0..4_u8, any::<bool>(), proptest::option::of(0..3_u8), any::<bool>(), any::<bool>());
    prop_oneof![
        6 => (key.clone(), name.clone(), vector, options).prop_map(
            |(key, name, vector, (kind, cas, attributes, values, reduce))| {
                Step::Add { key, name, vector, kind, cas, attributes, values, reduce }
            }
        ),
        3 => (key.clone(), name.clone()).prop_map(|(key, name)| Step::Remove { key, name }),
        1 => (key.clone(), name.clone(), 0..3_u8)
            .prop_map(|(key, name, attributes)| Step::SetAttributes { key, name, attributes }),
        1 => (key.clone(), name).prop_map(|(key, name)| Step::Search { key, name }),
        1 => (key, -9..9_i8).prop_map(|(key, count)| Step::Random { key, count }),
    ]
}

fn words(step: &Step) -> Vec<Vec<u8>> {
    let key = |key: &u8| format!("k{key}").into_bytes();
    let name = |name: &u8| format!("e{name}").into_bytes();
    let attributes = |text: &u8| if *text == 0 { Vec::new() } else { format!("{{\"a\":{text}}}").into_bytes() };
    match step {
        Step::Add { key: k, name: n, vector, kind, cas, attributes: text, values, reduce } => {
            let mut words = vec![b"VADD".to_vec(), key(k)];
            if *reduce {
                words.extend([b"REDUCE".to_vec(), b"3".to_vec()]);
            }
            if *values {
                words.extend([b"VALUES".to_vec(), b"6".to_vec()]);
                words.extend(vector.iter().map(|x| x.to_string().into_bytes()));
            } else {
                words.push(b"FP32".to_vec());
                words.push(vector.iter().flat_map(|x| f32::from(*x).to_le_bytes()).collect());
            }
            words.push(name(n));
            if *cas {
                words.push(b"CAS".to_vec());
            }
            words.push([b"Q8".as_slice(), b"NOQUANT", b"BIN", b"Q8"][usize::from(*kind)].to_vec());
            if let Some(text) = text {
                words.extend([b"SETATTR".to_vec(), attributes(text)]);
            }
            words
        }
        Step::Remove { key: k, name: n } => vec![b"VREM".to_vec(), key(k), name(n)],
        Step::SetAttributes { key: k, name: n, attributes: text } => {
            vec![b"VSETATTR".to_vec(), key(k), name(n), attributes(text)]
        }
        Step::Search { key: k, name: n } => vec![b"VSIM".to_vec(), key(k), b"ELE".to_vec(), name(n)],
        Step::Random { key: k, count } => vec![b"VRANDMEMBER".to_vec(), key(k), count.to_string().into_bytes()],
    }
}

fn set(side: &common::Harness, key: &[u8]) -> Option<SharedVectorSet> {
    let mut effects = Effects::default();
    let mut keyspace = side.engine.lock(ALL_SHARDS, &mut effects, side.now_ms);
    keyspace.value::<SharedVectorSet>(KeyHasher.key(key)).unwrap().cloned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_replica_has_the_same_sets_and_graphs_after_every_turn(steps in proptest::collection::vec(step(), 1..120)) {
        let mut pair = Replicated::new();
        for step in &steps {
            pair.run_words(&words(step));
        }
        for key in [b"k0", b"k1", b"k2", b"k3"] {
            let (Some(a), Some(b)) = (set(&pair.primary, key), set(&pair.replica, key)) else { continue };
            let (a, b) = (a.read(), b.read());
            prop_assert_eq!(a.check(), Ok(()));
            for name in a.names() {
                prop_assert_eq!(a.links(a.slot(name).unwrap()), b.links(b.slot(name).unwrap()));
            }
        }
    }
}

#[test]
fn cas_is_not_replayed_and_an_element_may_be_called_so() {
    let mut pair = Replicated::new();
    pair.run("VADD k VALUES 2 1 2 CAS CAS SETATTR CAS");
    assert_eq!(pair.last[0][2..], *b"VALUES 2 1 2 CAS SETATTR CAS".split(|byte| *byte == b' ').collect::<Vec<_>>());
    pair.run("VADD k VALUES 2 1 2 e CAS");
    assert_eq!(pair.last[0].last().unwrap(), b"e");
}

#[test]
fn a_refused_command_leaves_no_trace() {
    let mut pair = Replicated::new();
    pair.run("VADD k VALUES 2 1 2 e");
    let digest = pair.primary.digest();
    for line in
        ["VADD k VALUES 2 3e38 3e38 e", "VADD k VALUES 3 1 2 3 e", "VADD new VALUES 2 3e38 3e38 e", "VREM k none"]
    {
        pair.run(line);
        assert_eq!(pair.primary.digest(), digest, "{line}");
    }
    assert_eq!(pair.primary.run("VCARD new"), ":0");
}
