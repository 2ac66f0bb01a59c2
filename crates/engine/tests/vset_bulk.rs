//! VMADD: many elements in one command.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};

use common::{Harness, Replicated, show};
use proptest::prelude::*;
use quiver_engine::Session;
use quiver_engine::effects::Effects;
use quiver_engine::keyspace::{ALL_SHARDS, KeyHasher};
use quiver_engine::object::SharedVectorSet;
use quiver_resp::OwnedArgv;

fn blob(rows: &[Vec<f32>]) -> Vec<u8> {
    rows.iter().flatten().flat_map(|x| x.to_le_bytes()).collect()
}

/// VMADD of rows under names, with words behind them.
fn vmadd(key: &str, names: &[String], rows: &[Vec<f32>], behind: &[&str]) -> Vec<Vec<u8>> {
    let mut words: Vec<Vec<u8>> = vec![b"VMADD".to_vec(), key.into(), names.len().to_string().into(), b"FP32".to_vec()];
    words.push(blob(rows));
    words.extend(names.iter().map(|name| name.clone().into_bytes()));
    words.extend(behind.iter().map(|word| word.as_bytes().to_vec()));
    words
}

/// Rows in a few clusters, the same for the same seed.
fn rows(count: usize, dim: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let centres: Vec<Vec<f32>> = (0..8).map(|_| (0..dim).map(|_| next() * 2.0).collect()).collect();
    (0..count).map(|i| centres[i % 8].iter().map(|x| x + next()).collect()).collect()
}

fn names(from: usize, count: usize) -> Vec<String> {
    (from..from + count).map(|i| format!("e{i}")).collect()
}

fn set(side: &Harness, key: &str) -> Option<SharedVectorSet> {
    let mut effects = Effects::default();
    let mut keyspace = side.engine.lock(ALL_SHARDS, &mut effects, side.now_ms);
    keyspace.value::<SharedVectorSet>(KeyHasher.key(key.as_bytes())).unwrap().cloned()
}

#[test]
fn elements_come_with_their_vectors_and_attributes() {
    let mut h = Harness::new();
    let rows = [vec![1.0, 0.0], vec![0.0, 1.0], vec![-2.0, 0.0]];
    let abc = ["a", "b", "c"].map(str::to_owned);
    assert_eq!(show(&h.run_words(&vmadd("k", &abc, &rows, &["NOQUANT", "SETATTR", "{\"x\":1}", "", "t"]))), ":3");
    h.expect(&[
        ("VCARD k", ":3"),
        ("VEMB k c", "*2['-2' '0']"),
        ("VGETATTR k a", "'{\"x\":1}'"),
        ("VGETATTR k b", "$-1"),
        ("VGETATTR k c", "'t'"),
        ("VSIM k VALUES 2 3 1 COUNT 2", "*2['a' 'b']"),
    ]);
    // Without SETATTR elements keep theirs, and with an empty text they lose them, as with VADD.
    assert_eq!(show(&h.run_words(&vmadd("k", &abc[..2], &rows[1..], &["NOQUANT"]))), ":0");
    assert_eq!(show(&h.run_words(&vmadd("k", &abc[2..], &rows[..1], &["SETATTR", "", "NOQUANT"]))), ":0");
    h.expect(&[("VEMB k a", "*2['0' '1']"), ("VGETATTR k a", "'{\"x\":1}'"), ("VGETATTR k c", "$-1")]);
}

#[test]
fn of_a_name_given_twice_the_last_mention_counts() {
    let mut h = Harness::new();
    let twice = ["a", "b", "a"].map(str::to_owned);
    let rows = [vec![1.0, 0.0], vec![0.0, 1.0], vec![0.0, 3.0]];
    assert_eq!(show(&h.run_words(&vmadd("k", &twice, &rows, &["NOQUANT"]))), ":2");
    h.expect(&[("VCARD k", ":2"), ("VEMB k a", "*2['0' '3']")]);
}

#[test]
fn what_is_wrong_is_told_and_changes_nothing() {
    let mut h = Harness::new();
    h.run("SET text x");
    h.run("VADD k VALUES 2 1 2 e");
    h.run("VADD r REDUCE 2 VALUES 3 1 2 3 e");
    let before = h.digest();
    let two = names(0, 2);
    let good = [vec![1.0, 2.0], vec![3.0, 4.0]];
    let wide = [vec![1.0, 2.0, 3.0], vec![1.0, 2.0, 3.0]];
    let huge = [vec![1.0, 2.0], vec![3e38, 3e38]];
    let infinite = [vec![1.0, 2.0], vec![f32::INFINITY, 0.0]];
    let mut short = vmadd("k", &two, &good, &[]);
    short[4].pop();
    let mut uneven = vmadd("k", &two, &good, &[]);
    uneven[4].truncate(12);
    let mut few = vmadd("k", &two, &good, &[]);
    few[2] = b"3".to_vec();
    few[4] = blob(&[vec![0.0; 6]]);
    let counted = |count: &str| {
        let mut words = vmadd("k", &two, &good, &[]);
        words[2] = count.into();
        words
    };
    let cases: Vec<(Vec<Vec<u8>>, &str)> = vec![
        (vmadd("text", &two, &good, &[]), "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        (vmadd("k", &two, &wide, &[]), "-ERR Vector dimension mismatch - got 3 but set has 2"),
        (vmadd("r", &two, &wide, &[]), "-ERR Vector dimension mismatch - got 3 but set has 2"),
        (vmadd("k", &two, &good, &["BIN"]), "-ERR asked quantization mismatch with existing vector set"),
        (vmadd("k", &two, &good, &["M", "8"]), "-ERR asked M value mismatch with existing vector set"),
        (vmadd("k", &two, &good, &["M", "1"]), "-ERR invalid M"),
        (vmadd("k", &two, &good, &["EF", "0"]), "-ERR invalid EF"),
        (vmadd("k", &two, &good, &["SETATTR", "one"]), "-ERR invalid option after element"),
        (vmadd("k", &two, &good, &["WHAT"]), "-ERR invalid option after element"),
        (vmadd("k", &two, &infinite, &[]), "-ERR a component of the vector is not a finite 32-bit float"),
        (vmadd("new", &two, &huge, &[]), "-ERR vector is not finite, or too large for its norm to be"),
        (vmadd("k", &two, &huge, &[]), "-ERR vector is not finite, or too large for its norm to be"),
        (short, "-ERR invalid vector specification"),
        (uneven, "-ERR invalid vector specification"),
        (few, "-ERR invalid number of elements"),
        (counted("0"), "-ERR invalid number of elements"),
        (counted("-1"), "-ERR invalid number of elements"),
        (counted("x"), "-ERR invalid number of elements"),
        (counted("99999999999"), "-ERR invalid number of elements"),
    ];
    for (words, error) in cases {
        assert_eq!(show(&h.run_words(&words)), error);
        assert_eq!(h.digest(), before, "{error}");
    }
    h.expect(&[("VMADD k 1 FP32 abcd", "-ERR wrong number of arguments for 'VMADD' command"), ("EXISTS new", ":0")]);
}

#[test]
fn a_projection_is_made_and_kept() {
    let mut h = Harness::new();
    let mut words = vmadd("k", &names(0, 40), &rows(40, 12, 3), &[]);
    words.splice(2..2, [b"REDUCE".to_vec(), b"5".to_vec()]);
    assert_eq!(show(&h.run_words(&words)), ":40");
    assert_eq!(h.run("VDIM k"), ":5");
    let one_by_one = {
        let mut h = Harness::new();
        for (name, row) in names(0, 40).iter().zip(rows(40, 12, 3)) {
            let words =
                [b"VADD".to_vec(), b"k".to_vec(), b"REDUCE".to_vec(), b"5".to_vec(), b"FP32".to_vec(), blob(&[row])];
            h.run_words(&[&words[..], &[name.clone().into_bytes()]].concat());
        }
        h.digest()
    };
    assert_eq!(h.digest(), one_by_one);
}

#[test]
fn elements_that_expire_live_on_when_they_are_added_again() {
    let mut h = Harness::new();
    h.run_words(&vmadd("k", &names(0, 3), &rows(3, 4, 1), &[]));
    h.run("VPEXPIRE k 100 ELEMENTS 2 e0 e1");
    h.run_words(&vmadd("k", &names(0, 1), &rows(1, 4, 1), &[]));
    h.expect(&[("VPTTL k ELEMENTS 3 e0 e1 e2", "*3[:-1 :100 :-1]")]);
    h.now_ms += 200;
    assert_eq!(show(&h.run_words(&vmadd("k", &names(1, 1), &rows(1, 4, 1), &[]))), ":1");
    h.expect(&[("VPTTL k ELEMENTS 1 e1", "*1[:-1]"), ("VCARD k", ":3")]);
}

#[test]
fn many_at_once_find_what_one_by_one_finds() {
    let (count, dim) = (3000, 24);
    let data = rows(count, dim, 9);
    let mut h = Harness::new();
    for start in (0..count).step_by(500) {
        let words = vmadd("k", &names(start, 500), &data[start..start + 500], &[]);
        assert_eq!(show(&h.run_words(&words)), ":500");
    }
    set(&h, "k").unwrap().read().check().unwrap();
    let mut found = 0;
    for query in (0..count).step_by(60) {
        let ask = |h: &mut Harness, how: &str| h.run(&format!("VSIM k ELE e{query} COUNT 10 {how}"));
        let (near, truth) = (ask(&mut h, "EF 100"), ask(&mut h, "TRUTH"));
        let truth: Vec<&str> = truth.split(' ').map(|name| name.trim_matches(|c: char| !c.is_alphanumeric())).collect();
        found +=
            near.split(' ').filter(|name| truth.contains(&name.trim_matches(|c: char| !c.is_alphanumeric()))).count();
    }
    assert!(found >= 485, "{found} of 500 found");
}

/// One step: additions of ranges of names, among removals, in and out of transactions.
#[derive(Clone, Debug)]
enum Step {
    AddMany { key: u8, from: u8, count: u8, seed: u8, attributes: bool },
    Add { key: u8, name: u8, seed: u8 },
    Remove { key: u8, name: u8 },
    Together { key: u8, from: u8, count: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..2_u8, any::<u8>(), 1..120_u8, 0..5_u8, any::<bool>())
            .prop_map(|(key, from, count, seed, attributes)| Step::AddMany { key, from, count, seed, attributes }),
        1 => (0..2_u8, any::<u8>(), 0..5_u8).prop_map(|(key, name, seed)| Step::Add { key, name, seed }),
        1 => (0..2_u8, any::<u8>()).prop_map(|(key, name)| Step::Remove { key, name }),
        1 => (0..2_u8, any::<u8>(), 1..20_u8).prop_map(|(key, from, count)| Step::Together { key, from, count }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn a_replica_has_the_same_sets_and_graphs(steps in proptest::collection::vec(step(), 1..30)) {
        let mut pair = Replicated::new();
        for step in &steps {
            match step {
                Step::AddMany { key, from, count, seed, attributes } => {
                    let (from, count) = (usize::from(*from), usize::from(*count));
                    let texts = vec!["{\"x\":1}"; count];
                    let behind: Vec<&str> = ["SETATTR"].into_iter().chain(texts).filter(|_| *attributes).collect();
                    let rows = rows(count, 6, u64::from(*seed));
                    pair.run_words(&vmadd(&format!("k{key}"), &names(from, count), &rows, &behind));
                }
                Step::Add { key, name, seed } => {
                    let row = blob(&rows(1, 6, u64::from(*seed)));
                    let (key, name) = (format!("k{key}"), format!("e{name}"));
                    pair.run_words(&[b"VADD", key.as_bytes(), b"FP32", &row, name.as_bytes()]);
                }
                Step::Remove { key, name } => drop(pair.run(&format!("VREM k{key} e{name}"))),
                Step::Together { key, from, count } => {
                    let (from, count) = (usize::from(*from), usize::from(*count));
                    pair.run("MULTI");
                    pair.run_words(&vmadd(&format!("k{key}"), &names(from, count), &rows(count, 6, 7), &[]));
                    pair.run(&format!("VREM k{key} e{from}"));
                    pair.run("EXEC");
                }
            }
        }
        for key in ["k0", "k1"] {
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
fn clients_that_add_remove_and_delete_at_the_same_time_leave_a_sound_set() {
    let h = Harness::new();
    let (done, data) = (AtomicBool::new(false), rows(2000, 16, 5));
    std::thread::scope(|scope| {
        let adders: Vec<_> = (0..2)
            .map(|adder| {
                let (engine, data) = (&h.engine, &data);
                scope.spawn(move || {
                    let mut client = Client::new(engine, adder);
                    for start in (adder * 1000..adder * 1000 + 1000).step_by(100) {
                        let words = vmadd("k", &names(start, 100), &data[start..start + 100], &[]);
                        let reply = client.run(&words);
                        assert!(reply.starts_with(b":"), "{}", show(&reply));
                    }
                })
            })
            .collect();
        let (engine, done) = (&h.engine, &done);
        scope.spawn(move || {
            let mut client = Client::new(engine, 7);
            let mut i = 0;
            while !done.load(Ordering::Relaxed) {
                i += 1;
                let name = format!("e{}", i * 37 % 2000);
                client.run(&[b"VREM".to_vec(), b"k".to_vec(), name.into_bytes()]);
                let words = ["VSIM", "k", "VALUES", "1", "1"].map(|word| word.as_bytes().to_vec());
                client.run(&words);
                if i == 40 {
                    client.run(&[b"DEL".to_vec(), b"k".to_vec()]);
                }
            }
        });
        adders.into_iter().for_each(|adder| adder.join().unwrap());
        done.store(true, Ordering::Relaxed);
    });
    set(&h, "k").unwrap().read().check().unwrap();
}

/// A client with a thread of its own.
struct Client<'e> {
    engine: &'e quiver_engine::Engine,
    worker: quiver_engine::Worker,
    session: Session,
}

impl<'e> Client<'e> {
    fn new(engine: &'e quiver_engine::Engine, number: usize) -> Self {
        let client = engine.connect(format!("test:{number}"), "test:0".to_owned(), common::START_MS).unwrap();
        Self { engine, worker: engine.worker(number as u64, || 0), session: Session::new(client, true) }
    }

    fn run(&mut self, words: &[Vec<u8>]) -> Vec<u8> {
        let (argv, mut out) = (OwnedArgv::from_slices(words), Vec::new());
        self.engine.run_one(&mut self.worker, &mut self.session, argv.as_argv(), &mut out, common::START_MS);
        out
    }
}
