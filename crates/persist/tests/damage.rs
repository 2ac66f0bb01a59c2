//! Nothing but a whole, right snapshot is ever loaded, and nothing but a whole one ever takes a file's place.

mod common;

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use common::{NOW_MS, bytes_of, digest, len, load_into, load_options, loaded, save, save_options, set};
use quiver_engine::Engine;
use quiver_persist::{LoadError, SaveError};
use quiver_rdb::frame::{Properties, finish};
use quiver_rdb::{Checksum, Writer, code};

/// One of every form a string has.
fn small_engine() -> Engine {
    let engine = Engine::standalone();
    set(&engine, 0, b"int", b"-70000", None);
    set(&engine, 0, b"raw", b"some text", Some(NOW_MS + 1000));
    set(&engine, 0, b"packed", &[b'a'; 300], None);
    set(&engine, 7, b"other database", b"1", None);
    engine
}

/// A whole file around records.
fn file_of(records: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    Properties::default().write(&mut writer, quiver_rdb::Version::WRITTEN);
    records(&mut writer);
    finish(Checksum::new(), &mut bytes);
    bytes
}

fn refused(bytes: &[u8]) -> LoadError {
    let engine = Engine::standalone();
    set(&engine, 0, b"what was there", b"1", None);
    let before = digest(&engine);
    let error = load_into(&engine, bytes).expect_err("the file is wrong");
    assert_eq!(digest(&engine), before, "a failed load changes nothing");
    error
}

#[test]
fn every_truncation_is_refused() {
    let bytes = bytes_of(&small_engine());
    for len in 0..bytes.len() {
        let (LoadError::Damaged(error) | LoadError::Value { source: error, .. }) = refused(&bytes[..len]) else {
            panic!("cut off at {len}: another error");
        };
        assert!(error.is_truncated(), "cut off at {len}: {error}");
        assert!(error.offset <= len as u64);
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    let bytes = bytes_of(&small_engine());
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        refused(&damaged);
    }
}

#[test]
fn bytes_behind_the_end_are_refused() {
    let mut bytes = bytes_of(&small_engine());
    bytes.push(0);
    assert!(refused(&bytes).to_string().contains("bytes follow the end"));
}

#[test]
fn a_key_that_is_there_twice_is_refused() {
    let twice = |first: u64, second: u64| {
        file_of(|writer| {
            for db in [first, second] {
                writer.select_db(db, 1, 0);
                writer.byte(code::STRING);
                writer.string(b"key");
                writer.string(b"value");
            }
        })
    };
    let error = refused(&twice(3, 3));
    assert!(matches!(&error, LoadError::Duplicate { key, db: 3, .. } if key == "key"), "{error}");
    assert_eq!(loaded(&twice(3, 4)).1.keys, 2, "the same name in two databases is two keys");
}

#[test]
fn a_database_beyond_the_configured_number_is_refused() {
    let file = |db| {
        file_of(|writer| {
            writer.select_db(db, 0, 0);
        })
    };
    assert!(matches!(refused(&file(16)), LoadError::Database { db: 16, databases: 16, .. }));
    assert!(matches!(refused(&file(u64::MAX)), LoadError::Database { .. }));
    assert_eq!(loaded(&file(15)).1.keys, 0);
}

#[test]
fn a_type_that_is_not_known_is_refused_with_its_key_type_and_offset() {
    let mut offset = 0;
    let bytes = file_of(|writer| {
        writer.select_db(2, 1, 0);
        writer.byte(199);
        writer.string(b"board\n");
        offset = writer.len();
        writer.length(1);
        writer.string(b"member");
        writer.f64(1.5);
    });
    assert_eq!(
        refused(&bytes).to_string(),
        format!("at byte {offset}: key 'board\\n' of database 2 is of a type that is not known (199)")
    );
}

#[test]
fn an_expired_key_of_any_type_is_passed_over() {
    let bytes = file_of(|writer| {
        writer.expire_ms(NOW_MS);
        writer.byte(code::LIST);
        writer.string(b"list");
        writer.length(2);
        writer.string(b"a");
        writer.string(b"b");
        writer.byte(code::STRING);
        writer.string(b"next");
        writer.string(b"lives");
    });
    let (engine, report) = loaded(&bytes);
    assert_eq!((report.keys, report.expired, len(&engine)), (1, 1, 1));
}

#[test]
fn hints_and_things_that_are_no_keys_are_passed_over_with_a_warning() {
    let bytes = file_of(|writer| {
        writer.byte(code::FUNCTION2);
        writer.string(b"#!lua name=lib\nredis.register_function('f', function() return 1 end)");
        writer.byte(code::MODULE_AUX);
        writer.length(quiver_rdb::module::id("other-mod", 1));
        for item in [2, 1, 0] {
            writer.length(item); // an unsigned item, the time at which the data was written, the end
        }
        writer.select_db(0, 1, 1);
        writer.byte(code::SLOT_INFO);
        (0..3).for_each(|_| writer.length(1));
        writer.byte(code::EXPIRETIME);
        writer.raw(&2_000_000_000i32.to_le_bytes());
        writer.byte(code::IDLE);
        writer.length(100);
        writer.byte(code::FREQ);
        writer.byte(5);
        writer.byte(code::STRING);
        writer.string(b"key");
        writer.string(b"value");
    });
    let (engine, report) = loaded(&bytes);
    assert_eq!((report.keys, report.warnings.len()), (1, 2), "{:?}", report.warnings);
    assert!(report.warnings[0].contains("function library"));
    let expire = common::with_keyspace(&engine, |keyspace| {
        keyspace.peek(keyspace.key(b"key")).and_then(|entry| entry.expire_at())
    });
    assert_eq!(expire, Some(2_000_000_000_000));
}

#[test]
fn the_warnings_of_a_file_are_bounded() {
    let bytes = file_of(|writer| {
        for _ in 0..1000 {
            writer.byte(code::FUNCTION2);
            writer.string(b"lib");
        }
    });
    assert!(loaded(&bytes).1.warnings.len() < 100);
}

#[test]
fn an_error_of_a_file_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dump.rdb");
    fs::write(&path, b"REDIS0012\xff").unwrap();
    let engine = Engine::standalone();
    let error = quiver_persist::load_file(&engine, &path, &load_options(), &mut |_| ()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("dump.rdb") && text.contains("at byte 10") && text.contains("ends in the middle"), "{text}");
    let error = quiver_persist::load_file(&engine, folder.path(), &load_options(), &mut |_| ()).unwrap_err();
    assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
}

#[test]
#[cfg(unix)]
fn a_link_to_a_file_that_is_gone_is_no_empty_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dump.rdb");
    std::os::unix::fs::symlink(folder.path().join("unmounted/dump.rdb"), &path).unwrap();
    let loaded = quiver_persist::load_file(&Engine::standalone(), &path, &load_options(), &mut |_| ());
    assert!(loaded.unwrap_err().to_string().contains("dump.rdb"));
}

/// Only what was there before is in the folder.
fn names(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).expect("the folder is there");
    let mut names: Vec<_> = files.map(|file| file.expect("it can be read").file_name().display().to_string()).collect();
    names.sort();
    names
}

#[test]
fn a_save_into_a_folder_that_is_missing_or_over_a_folder_fails_and_leaves_nothing() {
    let engine = small_engine();
    let folder = tempfile::tempdir().unwrap();
    let error = save(&engine, &folder.path().join("missing/dump.rdb")).unwrap_err();
    assert!(matches!(&error, SaveError::Io { step: "create", .. }), "{error}");
    assert!(error.to_string().contains("missing/temp-"), "{error}");
    let taken = folder.path().join("taken");
    fs::create_dir(&taken).unwrap();
    let error = save(&engine, &taken).unwrap_err();
    assert!(error.to_string().contains("rename") && error.to_string().contains("taken"), "{error}");
    assert_eq!(names(folder.path()), ["taken"]);
    assert!(!engine.cut_running());
}

#[test]
#[cfg(target_os = "linux")]
fn a_save_on_a_full_disk_fails_and_leaves_the_old_file() {
    let engine = small_engine();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dump.rdb");
    save(&engine, &path).unwrap();
    let old = fs::read(&path).unwrap();
    // Whatever number the next temporary file gets: it leads to a device that is full.
    for number in 0..500 {
        let name = format!("temp-{}.{number}.rdb", std::process::id());
        std::os::unix::fs::symlink("/dev/full", folder.path().join(name)).unwrap();
    }
    let error = save(&engine, &path).unwrap_err();
    let SaveError::Io { step: "write", source, .. } = &error else { panic!("{error}") };
    assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(fs::read(&path).unwrap(), old);
    assert_eq!(names(folder.path()).len(), 500, "the temporary file is gone");
    assert!(!engine.cut_running());
}

#[test]
fn a_save_that_is_given_up_or_that_another_delays_leaves_the_old_file() {
    let engine = small_engine();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dump.rdb");
    save(&engine, &path).unwrap();
    let old = fs::read(&path).unwrap();
    set(&engine, 0, b"more", b"1", None);

    let given_up = quiver_persist::save(&engine, &path, &save_options(), |_| None, &mut |_| ControlFlow::Break(()));
    assert!(matches!(given_up, Err(SaveError::Cancelled(_))));
    let other = quiver_persist::SnapshotStream::begin(&engine, &save_options(), |_| None).unwrap();
    assert!(matches!(save(&engine, &path), Err(SaveError::Busy(_))));
    drop(other);
    assert_eq!(fs::read(&path).unwrap(), old);
    assert_eq!(names(folder.path()), ["dump.rdb"]);

    save(&engine, &path).unwrap();
    assert_eq!(digest(&loaded(&fs::read(&path).unwrap()).0), digest(&engine));
}

#[test]
fn a_file_of_redis_loads_whole_and_back() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rdb/tests/fixtures");
    for name in ["core.rdb", "types.rdb", "vset_bin.rdb", "vset_f32.rdb", "vset_q8.rdb", "vset_reduce.rdb"] {
        let bytes = fs::read(folder.join(name)).unwrap();
        let there = quiver_rdb::walk::file(&mut quiver_rdb::Reader::from_slice(&bytes)).unwrap();
        let engine = Engine::standalone();
        let report = load_into(&engine, &bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(report.keys + report.expired, there.keys, "{name}");
        assert_eq!(report.properties, there.properties, "{name}");
        assert_eq!(digest(&loaded(&bytes_of(&engine)).0), digest(&engine), "{name}");
    }
}
