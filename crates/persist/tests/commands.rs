//! Snapshots of what commands made, taken while commands run.

mod common;

use common::{NOW_MS, digest, load_into, loaded, save_options};
use proptest::prelude::*;
use quiver_engine::digest::of_keyspace;
use quiver_engine::{Engine, Session, Worker};
use quiver_persist::{SaveOptions, SnapshotStream};
use quiver_resp::OwnedArgv;

/// An engine and one client of it.
struct Client<'e> {
    engine: &'e Engine,
    worker: Worker,
    session: Session,
}

impl<'e> Client<'e> {
    fn new(engine: &'e Engine) -> Self {
        let info = engine.connect("test:1".to_owned(), "test:2".to_owned(), NOW_MS).expect("few clients are connected");
        Self { engine, worker: engine.worker(1, || 0), session: Session::new(info, true) }
    }

    fn run(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        let argv = OwnedArgv::from_slices(&words);
        let mut out = Vec::new();
        self.engine.run_one(&mut self.worker, &mut self.session, argv.as_argv(), &mut out, NOW_MS);
        assert!(!out.starts_with(b"-ERR unknown command"), "{line}");
    }
}

/// A command on few keys of every type; wrong types are part of it.
fn command() -> impl Strategy<Value = String> {
    let key = || prop_oneof![(0u8..9).prop_map(|i| format!("h{i}")), (0u8..9).prop_map(|i| format!("v{i}"))];
    let any_key = || prop_oneof![key(), (0u8..9).prop_map(|i| format!("s{i}"))];
    let long = prop_oneof![1usize..40, 1usize..9000];
    prop_oneof![
        2 => (0u8..9, long.clone()).prop_map(|(i, len)| format!("SET s{i} {}", "x".repeat(len))),
        1 => (0u8..9).prop_map(|i| format!("INCR s{i}")),
        1 => (0u8..9, 1usize..99).prop_map(|(i, len)| format!("APPEND s{i} {}", "y".repeat(len))),
        1 => (0u8..9, 1i64..9000).prop_map(|(i, ms)| format!("SET s{i} v PXAT {}", NOW_MS + ms)),
        6 => (0u8..9, 0u16..300, long).prop_map(|(i, f, len)| format!("HSET h{i} f{f} {}", "z".repeat(len % 90))),
        2 => (0u8..9, 0u16..300).prop_map(|(i, f)| format!("HDEL h{i} f{f}")),
        1 => (0u8..9, 0u16..300).prop_map(|(i, f)| format!("HINCRBY h{i} n{f} 7")),
        6 => (0u8..9, 0u16..60, any::<[i8; 3]>())
            .prop_map(|(i, e, [a, b, c])| format!("VADD v{i} VALUES 3 {a} {b} {c} e{e}")),
        2 => (0u8..9, 0u16..60).prop_map(|(i, e)| format!("VREM v{i} e{e}")),
        1 => (0u8..9, 0u16..60).prop_map(|(i, e)| format!("VSETATTR v{i} e{e} {{\"n\":{e}}}")),
        1 => any_key().prop_map(|key| format!("GETDEL {key}")),
        1 => any_key().prop_map(|key| format!("DEL {key}")),
        1 => (any_key(), any_key()).prop_map(|(from, to)| format!("RENAME {from} {to}")),
        1 => (any_key(), any_key(), 0u8..3).prop_map(|(from, to, db)| format!("COPY {from} {to} DB {db} REPLACE")),
        1 => (any_key(), 0u8..3).prop_map(|(key, db)| format!("MOVE {key} {db}")),
        1 => (any_key(), -5i64..5000).prop_map(|(key, ms)| format!("PEXPIRE {key} {ms}")),
        1 => any_key().prop_map(|key| format!("HSET {key} f v")),
        3 => (0u8..9, 0u8..3, 1usize..99)
            .prop_map(|(i, f, len)| format!("XADD x{i} * f{f} {} g {f}", "w".repeat(len))),
        1 => (0u8..9).prop_map(|i| format!("XGROUP CREATE x{i} g 0 MKSTREAM")),
        1 => (0u8..9).prop_map(|i| format!("XREADGROUP GROUP g c COUNT 3 STREAMS x{i} >")),
        1 => (0u8..9, 0u8..9).prop_map(|(i, len)| format!("XTRIM x{i} MAXLEN {len}")),
        1 => (0u8..3).prop_map(|db| format!("SELECT {db}")),
        1 => prop_oneof![Just("FLUSHDB".to_owned()), Just("SWAPDB 0 1".to_owned()), Just("SWAPDB 2 0".to_owned())],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_snapshot_is_the_keyspace_at_its_cut_while_commands_change_collections(
        before in proptest::collection::vec(command(), 0..300),
        during in proptest::collection::vec(prop_oneof![6 => command().prop_map(Some), 1 => Just(None)], 0..120),
    ) {
        let engine = Engine::standalone();
        let mut client = Client::new(&engine);
        before.iter().for_each(|line| client.run(line));
        let mut at_cut = None;
        let options = SaveOptions { compress: false, ..save_options() };
        let mut stream = SnapshotStream::begin(&engine, &options, |keyspace| {
            at_cut = Some(of_keyspace(keyspace));
            None
        }).unwrap();
        let mut bytes = Vec::new();
        for step in &during {
            match step {
                Some(line) => client.run(line),
                None => bytes.extend(stream.next_piece().unwrap_or_default()),
            }
        }
        bytes.extend(common::rest_of(&mut stream));
        let (copy, _) = loaded(&bytes);
        prop_assert_eq!(Some(digest(&copy)), at_cut);
        // A loaded engine is as good as one that ran the commands.
        copy_goes_on(&copy, &during);
    }
}

/// Runs commands on a loaded engine and saves it once more.
fn copy_goes_on(copy: &Engine, steps: &[Option<String>]) {
    let mut client = Client::new(copy);
    steps.iter().flatten().for_each(|line| client.run(line));
    common::with_keyspace(copy, |keyspace| keyspace.check());
    assert_eq!(digest(&loaded(&common::bytes_of(copy)).0), digest(copy));
}

#[test]
fn every_flipped_bit_of_collections_is_refused() {
    let engine = Engine::standalone();
    let mut client = Client::new(&engine);
    for line in ["HSET h a 1 b 2", "VADD v VALUES 2 1 2 x", "VADD v VALUES 2 2 1 y", "VSETATTR v x {}"] {
        client.run(line);
    }
    let bytes = common::bytes_of(&engine);
    assert_eq!(digest(&loaded(&bytes).0), digest(&engine));
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let empty = Engine::standalone();
        assert!(load_into(&empty, &damaged).is_err(), "bit {bit}");
        assert_eq!(common::len(&empty), 0);
    }
    for len in 0..bytes.len() {
        assert!(load_into(&Engine::standalone(), &bytes[..len]).is_err(), "cut off at {len}");
    }
}
