//! A snapshot is the keyspace at one moment, whatever happens while it is taken.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};

use common::{NOW_MS, digest, len, loaded, save_options, set, with_keyspace, with_keyspace_at};
use proptest::prelude::*;
use quiver_engine::Engine;
use quiver_engine::data_set::DataSet;
use quiver_engine::digest::of_keyspace;
use quiver_engine::effects::Effects;
use quiver_engine::keyspace::{KeyHasher, Text, string_value};
use quiver_engine::rng::Rng;
use quiver_engine::snapshot::{CutOptions, Snapshot};
use quiver_persist::SnapshotStream;
use quiver_testkit::local::Local;

const CUT: CutOptions = CutOptions { now_ms: NOW_MS, compress: false, hold_writers: true };

/// Something that happens while a snapshot is taken.
#[derive(Clone, Debug)]
enum Step {
    Set { db: usize, key: u16, len: usize },
    Delete { db: usize, key: u16 },
    Take { db: usize, key: u16 },
    Persist { db: usize, key: u16 },
    ExpireAll { db: usize },
    Flush { db: usize },
    Swap { a: usize, b: usize },
    Adopt { keys: u16 },
    Draw,
}

fn step() -> impl Strategy<Value = Step> {
    let (db, key) = (0usize..3, 0u16..600);
    prop_oneof![
        8 => (db.clone(), key.clone(), 0usize..3000).prop_map(|(db, key, len)| Step::Set { db, key, len }),
        4 => (db.clone(), key.clone()).prop_map(|(db, key)| Step::Delete { db, key }),
        2 => (db.clone(), key.clone()).prop_map(|(db, key)| Step::Take { db, key }),
        2 => (db.clone(), key).prop_map(|(db, key)| Step::Persist { db, key }),
        1 => db.clone().prop_map(|db| Step::ExpireAll { db }),
        1 => db.clone().prop_map(|db| Step::Flush { db }),
        1 => (db.clone(), db).prop_map(|(a, b)| Step::Swap { a, b }),
        1 => (0u16..100).prop_map(|keys| Step::Adopt { keys }),
        4 => Just(Step::Draw),
    ]
}

fn name(key: u16) -> Vec<u8> {
    format!("key:{key}").into_bytes()
}

fn act(engine: &Engine, step: &Step) {
    let later_ms = NOW_MS + 2_000_000;
    let now_ms = if matches!(step, Step::ExpireAll { .. }) { later_ms } else { NOW_MS };
    with_keyspace_at(engine, now_ms, |keyspace| match *step {
        Step::Set { db, key, len } => {
            keyspace.db = db;
            let expire = (key % 3 == 0).then_some(NOW_MS + i64::from(key) * 1000 + 1);
            keyspace.set(keyspace.key(&name(key)), string_value(&vec![b'x'; len]), expire);
        }
        Step::Delete { db, key } => {
            keyspace.db = db;
            keyspace.delete(keyspace.key(&name(key)));
        }
        Step::Take { db, key } => {
            keyspace.db = db;
            keyspace.take(keyspace.key(&name(key)));
        }
        Step::Persist { db, key } => {
            keyspace.db = db;
            keyspace.set_expire(keyspace.key(&name(key)), None);
        }
        Step::ExpireAll { db } => {
            keyspace.db = db;
            (0..600).for_each(|key| _ = keyspace.contains(keyspace.key(&name(key))));
        }
        Step::Flush { db } => drop(keyspace.flush_db(db)),
        Step::Swap { a, b } => keyspace.swap_dbs(a, b),
        Step::Adopt { .. } | Step::Draw => {}
    });
    if let Step::Adopt { keys } = *step {
        let mut data_set = DataSet::new(NOW_MS);
        (0..keys).for_each(|key| assert!(data_set.insert(1, &name(key), string_value(b"adopted"), None)));
        drop(engine.adopt(data_set, |_| ()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_snapshot_is_the_keyspace_at_its_cut_whatever_happens_meanwhile(
        before in proptest::collection::vec(step(), 0..400),
        during in proptest::collection::vec(step(), 0..120),
    ) {
        let engine = Engine::standalone();
        before.iter().for_each(|step| act(&engine, step));
        let mut at_cut = None;
        // Not compressed, the body is several pieces long.
        let options = quiver_persist::SaveOptions { compress: false, ..save_options() };
        let mut stream = SnapshotStream::begin(&engine, &options, |keyspace| {
            at_cut = Some(of_keyspace(keyspace));
            None
        }).unwrap();
        let keys = stream.keys_total();
        let mut bytes = Vec::new();
        for step in &during {
            match step {
                Step::Draw => bytes.extend(stream.next_piece().unwrap_or_default()),
                step => act(&engine, step),
            }
        }
        bytes.extend(common::rest_of(&mut stream));
        drop(stream);
        let (copy, report) = loaded(&bytes);
        prop_assert_eq!(Some(digest(&copy)), at_cut);
        prop_assert_eq!((report.keys + report.expired) as usize, keys);
        nothing_is_left_behind(&engine);
    }

    #[test]
    fn a_snapshot_given_up_leaves_nothing_behind(
        before in proptest::collection::vec(step(), 0..200),
        during in proptest::collection::vec(step(), 0..60),
    ) {
        let engine = Engine::standalone();
        before.iter().for_each(|step| act(&engine, step));
        let (mut snapshot, ()) = Snapshot::begin(&engine, CUT, |_| ()).unwrap();
        for step in &during {
            match step {
                Step::Draw => drop(snapshot.next_chunk()),
                step => act(&engine, step),
            }
        }
        drop(snapshot);
        nothing_is_left_behind(&engine);
        let before = digest(&engine);
        prop_assert_eq!(digest(&loaded(&common::bytes_of(&engine)).0), before);
    }
}

fn nothing_is_left_behind(engine: &Engine) {
    assert!(!engine.cut_running());
    with_keyspace(engine, |keyspace| keyspace.check());
}

#[test]
fn a_large_database_that_was_flushed_comes_out_in_pieces_of_bounded_size() {
    let engine = Engine::standalone();
    for i in 0..100_000u32 {
        set(&engine, 0, &i.to_le_bytes(), &[7; 40], None);
    }
    let mut stream = SnapshotStream::begin(&engine, &save_options(), |_| None).unwrap();
    with_keyspace(&engine, |keyspace| keyspace.flush_db(0));
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next_piece() {
        assert!(piece.len() < 80 << 10, "a piece of {} bytes", piece.len());
        bytes.extend(piece);
    }
    assert_eq!(loaded(&bytes).1.keys, 100_000);
    assert_eq!(len(&engine), 0);
}

const ACCOUNTS: usize = 64;
const TOTAL: i64 = 1000 * ACCOUNTS as i64;

/// Moves an amount between two accounts under the locks of both, as a command would.
fn transfer(engine: &Engine, rng: &mut Rng) {
    let names = [rng.below(ACCOUNTS), rng.below(ACCOUNTS)].map(|i| format!("account:{i}").into_bytes());
    if names[0] == names[1] {
        return;
    }
    let keys = [KeyHasher.key(&names[0]), KeyHasher.key(&names[1])];
    let mut effects = Effects::default();
    let mut keyspace = engine.lock(keys[0].shard_set() | keys[1].shard_set(), &mut effects, NOW_MS);
    let amount = rng.below(100) as i64;
    for (key, change) in keys.into_iter().zip([-amount, amount]) {
        let Ok(Some(Text::Int(balance, _))) = keyspace.string(key) else { return };
        // Values of many sizes, so that entries move between size classes and representations.
        keyspace.set(key, string_value((balance + change).to_string().as_bytes()), None);
    }
    let filler = format!("filler:{}", rng.below(5000)).into_bytes();
    let key = KeyHasher.key(&filler);
    drop(keyspace);
    let mut keyspace = engine.lock(key.shard_set(), &mut effects, NOW_MS);
    if rng.below(3) == 0 {
        keyspace.delete(key);
    } else {
        keyspace.set(key, string_value(&vec![b'f'; rng.below(300)]), Some(NOW_MS + 1 + rng.below(9) as i64));
    }
}

/// Swaps the accounts away and back, and empties everything for a moment, each under all locks.
fn upheaval(engine: &Engine, rng: &mut Rng) {
    with_keyspace(engine, |keyspace| match rng.below(3) {
        0 => keyspace.swap_dbs(0, 1),
        1 => {
            keyspace.flush_db(0);
            keyspace.flush_db(1);
            keyspace.db = 0;
            (0..ACCOUNTS).for_each(|i| {
                let name = format!("account:{i}").into_bytes();
                keyspace.set(keyspace.key(&name), string_value(b"1000"), None);
            });
        }
        _ => drop(keyspace.flush_db(5)),
    });
}

fn sum_of_accounts(engine: &Engine) -> i64 {
    with_keyspace(engine, |keyspace| {
        let mut sum = 0;
        for db in 0..keyspace.dbs_in_use() {
            keyspace.for_each(db, &mut |entry| {
                if entry.key().starts_with(b"account:") {
                    let Ok(Text::Int(balance, _)) = Text::of(entry.value()) else { panic!("accounts are integers") };
                    sum += balance;
                }
            });
        }
        sum
    })
}

/// Ends the writers when the test is over, failed or not.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn snapshots_under_writing_threads_hold_the_sum_of_all_accounts_and_the_digest_at_the_cut() {
    let engine = Engine::standalone();
    for i in 0..ACCOUNTS {
        set(&engine, 0, format!("account:{i}").as_bytes(), b"1000", None);
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _ends_the_writers = SetOnDrop(&stop);
        for seed in 0..3 {
            let (engine, stop) = (&engine, &stop);
            scope.spawn(move || {
                let mut rng = Rng::new(seed);
                while !stop.load(Ordering::Relaxed) {
                    transfer(engine, &mut rng);
                    if rng.below(2000) == 0 {
                        upheaval(engine, &mut rng);
                    }
                }
            });
        }
        for _ in 0..60 {
            let mut at_cut = None;
            let mut stream = SnapshotStream::begin(&engine, &save_options(), |keyspace| {
                at_cut = Some(of_keyspace(keyspace));
                None
            })
            .unwrap();
            let bytes = common::rest_of(&mut stream);
            let (copy, _) = loaded(&bytes);
            assert_eq!(sum_of_accounts(&copy), TOTAL);
            assert_eq!(Some(digest(&copy)), at_cut);
        }
    });
    nothing_is_left_behind(&engine);
}

/// Commands on values that are long enough to be written in parts.
fn command_on_long_values() -> impl Strategy<Value = String> {
    let key = || (0u8..2).prop_map(|i| i.to_string());
    prop_oneof![
        2 => (key(), 0u32..20_000).prop_map(|(key, i)| format!("SADD set:{key} new:{i}")),
        2 => (key(), 0u32..20_000).prop_map(|(key, i)| format!("HSET hash:{key} f:{i} other")),
        1 => (key(), 0u32..6000).prop_map(|(key, i)| format!("HPEXPIRE hash:{key} 100000 FIELDS 1 f:{i}")),
        2 => (key(), 0u32..20_000, 0u32..99).prop_map(|(key, i, score)| format!("ZADD zset:{key} {score} m:{i}")),
        1 => key().prop_map(|key| format!("ZPOPMAX zset:{key} 10")),
        2 => key().prop_map(|key| format!("RPUSH list:{key} one more")),
        1 => key().prop_map(|key| format!("LTRIM list:{key} 7 -7")),
        2 => key().prop_map(|key| format!("XADD stream:{key} * f another")),
        1 => key().prop_map(|key| format!("XTRIM stream:{key} MAXLEN 4500")),
        1 => (key(), 0u32..6000).prop_map(|(key, i)| format!("ARSET array:{key} {i} changed")),
        1 => key().prop_map(|key| format!("APPEND text:{key} more")),
        1 => (0u32..200).prop_map(|i| format!("VREM vset:0 e:{i}")),
        1 => prop_oneof![Just("set"), Just("hash"), Just("zset"), Just("list"), Just("stream"), Just("text"), Just("vset")]
            .prop_map(|kind| format!("DEL {kind}:0")),
        1 => Just("RENAME zset:0 zset:1".to_owned()),
        1 => prop_oneof![Just("FLUSHDB"), Just("SWAPDB 0 1"), Just("SET small v"), Just("DEL small")].prop_map(str::to_owned),
    ]
}

/// One value of each type that is written in parts, in two databases.
fn engine_of_long_values() -> Local {
    let mut local = Local::new();
    for (db, count) in [(0, 6000), (1, 4500)] {
        let mut run = |start: &str, words: &mut dyn Iterator<Item = String>| {
            let words: Vec<String> = start.split(' ').map(str::to_owned).chain(words).collect();
            let reply = local.call(&words).expect("an engine answers");
            assert!(!reply.is_error(), "{start}: {reply:?}");
        };
        let some = |text: &'static str| (0..count).map(move |i| format!("{text}{i}"));
        run(&format!("SELECT {db}"), &mut std::iter::empty());
        run("SADD set:0", &mut some("m:"));
        run("HSET hash:0", &mut (0..count).flat_map(|i| [format!("f:{i}"), format!("value {i}")]));
        run("ZADD zset:0", &mut (0..count).flat_map(|i| [(i % 97).to_string(), format!("m:{i}")]));
        run("RPUSH list:0", &mut some("an element of a list "));
        run("ARSET array:0 0", &mut some("element "));
        for i in 0..count {
            run(&format!("XADD stream:0 {}-1 field value:{i}", i + 1), &mut std::iter::empty());
        }
        run("XGROUP CREATE stream:0 g 0", &mut std::iter::empty());
        run("SET text:0", &mut std::iter::once("text ".repeat(300_000)));
        if db == 0 {
            for i in 0..200 {
                run(&format!("VADD vset:0 VALUES 3 {} {} 1 e:{i}", i % 13, i % 7), &mut std::iter::empty());
            }
        }
    }
    local.call(&["SELECT", "0"]).expect("an engine answers");
    local
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn long_values_are_as_at_the_cut_whatever_is_done_to_them_between_their_parts(
        during in proptest::collection::vec(
            prop_oneof![1 => command_on_long_values().prop_map(Some), 2 => Just(None)],
            0..160,
        ),
    ) {
        let mut local = engine_of_long_values();
        let mut at_cut = None;
        let options = quiver_persist::SaveOptions { compress: false, ..save_options() };
        let engine = std::sync::Arc::clone(&local.engine);
        let mut stream = SnapshotStream::begin(engine, &options, |keyspace| {
            at_cut = Some(of_keyspace(keyspace));
            None
        }).unwrap();
        let mut bytes = Vec::new();
        for step in &during {
            match step {
                None => bytes.extend(stream.next_piece().unwrap_or_default()),
                Some(line) => drop(local.call(&line.split(' ').collect::<Vec<_>>()).unwrap()),
            }
        }
        while let Some(piece) = stream.next_piece() {
            bytes.extend(piece);
        }
        drop(stream);
        let (copy, _) = loaded(&bytes);
        prop_assert_eq!(Some(digest(&copy)), at_cut);
        nothing_is_left_behind(&local.engine);
    }
}

#[test]
fn a_long_value_comes_in_pieces_with_its_shard_free_in_between() {
    let local = engine_of_long_values();
    let mut stream = SnapshotStream::begin(&*local.engine, &save_options(), |_| None).unwrap();
    let (mut pieces, mut largest) = (0, 0);
    while let Some(piece) = stream.next_piece() {
        pieces += 1;
        largest = largest.max(piece.len());
    }
    assert!(pieces > 12 && largest < 100 << 10, "{pieces} pieces, the largest of {largest} bytes");
}
