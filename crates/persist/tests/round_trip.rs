//! What was saved comes back.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{NOW_MS, bytes_of, digest, len, load_into, load_options, loaded, save, save_options, set, with_keyspace};
use proptest::prelude::*;
use quiver_engine::Engine;
use quiver_persist::{ReplicationPoint, SnapshotStream};

/// Integers of all lengths, texts, text that compresses, and bytes that do not.
fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        (-70_000i64..70_000).prop_map(|number| number.to_string().into_bytes()),
        "[0-9+ .-]{0,22}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..40),
        (any::<u8>(), 20usize..20_000).prop_map(|(byte, len)| vec![byte; len]),
        (any::<u64>(), 70usize..3000).prop_map(|(seed, len)| noise(seed, len)),
    ]
}

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut rng = quiver_engine::rng::Rng::new(seed);
    (0..len).map(|_| rng.next() as u8).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn strings_expiries_and_databases_come_back(
        keys in proptest::collection::vec(
            (0usize..16, proptest::collection::vec(any::<u8>(), 0..24), value(), prop::option::of(-5i64..5)),
            0..200,
        ),
        compress in any::<bool>(),
        checksum in any::<bool>(),
    ) {
        let engine = Engine::standalone();
        for (db, key, value, expire) in &keys {
            set(&engine, *db, key, value, expire.map(|s| NOW_MS + s * 1000));
        }
        let options = quiver_persist::SaveOptions { compress, checksum, ..save_options() };
        let mut stream = SnapshotStream::begin(&engine, &options, |_| None).unwrap();
        prop_assert_eq!(stream.keys_total(), len(&engine));
        let bytes = common::rest_of(&mut stream);
        prop_assert_eq!(stream.bytes(), bytes.len() as u64);
        let (copy, report) = loaded(&bytes);
        prop_assert_eq!(digest(&copy), digest(&engine));
        prop_assert_eq!(report.keys as usize, len(&copy));
        prop_assert_eq!((report.keys + report.expired) as usize, len(&engine));
        prop_assert_eq!(report.bytes, bytes.len() as u64);
        prop_assert_eq!(report.warnings.len(), usize::from(!checksum), "{:?}", report.warnings);
        // A replica keeps what has expired until its primary says so.
        let replica = Engine::standalone();
        let keep = quiver_persist::LoadOptions { discard_expired: false, ..load_options() };
        quiver_persist::load(&replica, &mut &bytes[..], &keep, &mut |_| ()).unwrap();
        prop_assert_eq!(len(&replica), len(&engine));
    }
}

#[test]
fn a_value_of_many_megabytes_comes_back() {
    let engine = Engine::standalone();
    set(&engine, 0, b"noise", &noise(1, 5 << 20), None);
    set(&engine, 0, b"zeros", &vec![0; 20 << 20], None);
    set(&engine, 0, b"fewer zeros", &vec![0; 1 << 20], None);
    let bytes = bytes_of(&engine);
    assert!(bytes.len() < 26 << 20, "zeros compress up to the length that is written in parts");
    assert_eq!(digest(&loaded(&bytes).0), digest(&engine));
}

#[test]
fn a_file_holds_what_a_stream_sends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dump.rdb");
    let engine = Engine::standalone();
    for i in 0..20_000 {
        set(&engine, i % 3, format!("key:{i}").as_bytes(), format!("value {i}").as_bytes(), None);
    }
    let saved = save(&engine, &path).unwrap();
    let file = std::fs::read(&path).unwrap();
    assert_eq!(file, bytes_of(&engine));
    assert_eq!((saved.keys, saved.bytes), (20_000, file.len() as u64));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    let copy = Engine::standalone();
    let mut reports = 0;
    let report = quiver_persist::load_file(&copy, &path, &load_options(), &mut |_| reports += 1).unwrap().unwrap();
    assert_eq!(report.keys, 20_000);
    assert!(reports >= 19);
    assert_eq!(digest(&copy), digest(&engine));
}

#[test]
fn the_properties_of_the_file_come_back() {
    let engine = Engine::standalone();
    let point = ReplicationPoint { stream_db: Some(2), id: "0f".repeat(20), offset: 1 << 40 };
    let options = quiver_persist::SaveOptions { used_memory_bytes: 12_345, ..save_options() };
    let mut stream = SnapshotStream::begin(&engine, &options, |_| Some(point.clone())).unwrap();
    let found = loaded(&common::rest_of(&mut stream)).1.properties;
    assert_eq!(found.replication, Some(point));
    assert_eq!(found.server_version, "8.0.2");
    assert_eq!(found.created_unix_s, NOW_MS as u64 / 1000);
    assert_eq!(found.used_memory_bytes, 12_345);
    assert!(!found.is_aof_base);
}

#[test]
fn loading_replaces_everything_and_tells_the_watchers_of_what_was_or_is_there() {
    let source = Engine::standalone();
    set(&source, 0, b"new", b"1", None);
    let bytes = bytes_of(&source);
    let engine = Engine::standalone();
    set(&engine, 0, b"old", b"1", None);
    set(&engine, 3, b"old", b"1", None);
    let watched = [b"old".as_slice(), b"new", b"neither"].map(|name| {
        let flag = Arc::new(AtomicBool::new(false));
        with_keyspace(&engine, |keyspace| keyspace.watch(&keyspace.key(name), &flag));
        flag
    });
    load_into(&engine, &bytes).unwrap();
    assert_eq!(watched.map(|flag| flag.load(Ordering::Relaxed)), [true, true, false]);
    assert_eq!(digest(&engine), digest(&source));
    assert_eq!(len(&engine), 1);
}

#[test]
fn a_missing_file_is_no_error_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::standalone();
    set(&engine, 0, b"key", b"1", None);
    let loaded = quiver_persist::load_file(&engine, &folder.path().join("none.rdb"), &load_options(), &mut |_| ());
    assert!(loaded.unwrap().is_none());
    assert_eq!(len(&engine), 1);
}

#[test]
fn one_snapshot_runs_at_a_time() {
    let engine = Engine::standalone();
    let first = SnapshotStream::begin(&engine, &save_options(), |_| None).unwrap();
    assert!(SnapshotStream::begin(&engine, &save_options(), |_| unreachable!("there is no cut")).is_none());
    drop(first);
    assert!(SnapshotStream::begin(&engine, &save_options(), |_| None).is_some());
}

#[test]
fn a_snapshot_waits_for_another_to_end() {
    let engine = Arc::new(Engine::standalone());
    set(&engine, 0, b"key", b"1", None);
    let first = SnapshotStream::begin(Arc::clone(&engine), &save_options(), |_| None).unwrap();
    let ends = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(20));
        drop(first);
    });
    let patient = quiver_persist::SaveOptions { wait: std::time::Duration::from_secs(30), ..save_options() };
    let mut second = SnapshotStream::begin(&*engine, &patient, |_| None).unwrap();
    ends.join().unwrap();
    assert_eq!(loaded(&common::rest_of(&mut second)).1.keys, 1);
}

#[test]
fn a_file_has_the_lowest_version_that_can_say_what_it_holds() {
    let version = |lines: &[&str]| {
        let mut local = quiver_testkit::local::Local::new();
        lines.iter().for_each(|line| drop(local.call(&line.split(' ').collect::<Vec<_>>()).unwrap()));
        String::from_utf8_lossy(&local.save()[..9]).into_owned()
    };
    assert_eq!(version(&["HSET h f v"]), "REDIS0011");
    assert_eq!(version(&["HSET h f v", "HEXPIRE h 100 FIELDS 1 f"]), "REDIS0012");
}
