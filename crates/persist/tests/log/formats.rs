//! The files are Redis' own, and Redis' files load.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use quiver_persist::log::{CheckOptions, Disk, MemoryDisk, check_log, write_timestamp};

use crate::common::{bytes_of, digest, loaded, set};
use crate::driver::{DIR, FOLDER, Instance, NAME, disk_with, load, open};
use quiver_engine::Engine;

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(FOLDER).join(name)
}

fn text(disk: &MemoryDisk, name: &str) -> String {
    let content = disk.content(&path(name)).unwrap_or_else(|| panic!("{name} in {:?}", disk.paths()));
    String::from_utf8_lossy(&content).into_owned()
}

/// A disk with a folder for the log and nothing in it.
fn empty() -> MemoryDisk {
    let disk = disk_with(None);
    disk.create_folder(&Path::new(DIR).join(FOLDER)).expect("nothing fails");
    disk
}

fn refused(disk: &MemoryDisk) -> String {
    load(disk).err().map_or_else(|| panic!("it loads"), |error| error.to_string())
}

const SET_A: &str = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n";
const SET_B: &str = "*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$1\r\n2\r\n";

#[test]
fn a_log_has_the_files_of_redis() {
    let disk = disk_with(None);
    let mut instance = Instance::start(&disk).expect("nothing fails");
    instance.run("SET a 1");
    let manifest = text(&disk, "appendonly.aof.manifest");
    let lines: Vec<&str> = manifest.lines().collect();
    assert!(lines[0].starts_with("file appendonly.aof.1.base.rdb seq 1 type b"), "{manifest}");
    assert!(lines[1].starts_with("file appendonly.aof.1.incr.aof seq 1 type i"), "{manifest}");
    assert!(lines[2].starts_with('#') && lines.len() == 3, "{manifest}");
    assert!(text(&disk, "appendonly.aof.1.base.rdb").starts_with("REDIS0011"));
    let commands = text(&disk, "appendonly.aof.1.incr.aof");
    let select = "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n";
    assert!(commands.starts_with(&format!("{select}{SET_A}#Q:0:50:")), "{commands:?}");

    instance.rewrite().expect("nothing fails");
    instance.run("SET b 2");
    let left: Vec<PathBuf> = disk.paths();
    let expected = ["appendonly.aof.2.base.rdb", "appendonly.aof.2.incr.aof", "appendonly.aof.manifest"].map(path);
    assert_eq!(left, expected, "what is history is gone");
    assert!(text(&disk, "appendonly.aof.2.incr.aof").starts_with(&format!("{select}{SET_B}#Q:50:50:")));
}

#[test]
fn a_folder_of_redis_loads_and_goes_on() {
    let disk = empty();
    let source = Engine::standalone();
    set(&source, 0, b"base", b"1", None);
    disk.put(&path("appendonly.aof.3.base.rdb"), bytes_of(&source));
    disk.put(&path("appendonly.aof.7.incr.aof"), format!("#TS:1700000000\r\n{SET_A}").into_bytes());
    disk.put(&path("appendonly.aof.8.incr.aof"), SET_B.as_bytes().to_vec());
    let manifest = "file appendonly.aof.3.base.rdb seq 3 type b\nfile appendonly.aof.7.incr.aof seq 7 type i\n\
                    file appendonly.aof.8.incr.aof seq 8 type i startoffset 99\n";
    disk.put(&path("appendonly.aof.manifest"), manifest.as_bytes().to_vec());
    let mut instance = Instance::start(&disk).expect("it loads");
    instance.run("SET c 3");
    let (engine, _, report) = load(&disk).expect("it loads again");
    assert_eq!(digest(&engine), *instance.history.last().expect("there is one"));
    assert_eq!((report.keys, report.commands, report.cut), (1, 4, None));
}

#[test]
fn the_single_file_of_older_versions_becomes_the_base() {
    let source = Engine::standalone();
    set(&source, 0, b"base", b"1", None);
    let mut with_preamble = bytes_of(&source);
    with_preamble.extend_from_slice(SET_A.as_bytes());
    for (content, keys) in [(SET_A.as_bytes().to_vec(), 0), (with_preamble, 1)] {
        let disk = disk_with(None);
        disk.put(&Path::new(DIR).join(NAME), content);
        let instance = Instance::start(&disk).expect("it loads");
        assert_eq!(text(&disk, "appendonly.aof.manifest").lines().next(), Some("file appendonly.aof seq 1 type b"));
        assert_eq!(disk.content(&Path::new(DIR).join(NAME)), None, "it was moved");
        let (engine, _, report) = load(&disk).expect("it loads again");
        assert_eq!((report.keys, report.commands), (keys, 1));
        assert_eq!(digest(&engine), instance.history[0]);
    }
}

#[test]
fn a_move_that_a_crash_interrupted_is_finished() {
    let disk = empty();
    disk.put(&Path::new(DIR).join(NAME), SET_A.as_bytes().to_vec());
    disk.put(&path("appendonly.aof.manifest"), b"file appendonly.aof seq 1 type b\n".to_vec());
    assert_eq!(load(&disk).expect("it loads").2.commands, 1);
    assert!(disk.content(&path(NAME)).is_some());
}

#[test]
fn files_without_a_manifest_are_no_reason_to_start_empty() {
    let disk = disk_with(None);
    Instance::start(&disk).expect("nothing fails").run("SET a 1");
    disk.drop_file(&path("appendonly.aof.manifest"));
    let error = open(&disk).expect_err("it is refused").to_string();
    assert!(
        error.contains("appendonly.aof.1.base.rdb, appendonly.aof.1.incr.aof but no appendonly.aof.manifest"),
        "{error}"
    );
}

#[test]
fn a_missing_an_empty_and_an_exchanged_file_are_refused_by_name() {
    for (name, reason) in [
        ("appendonly.aof.1.base.rdb", "is named in appendonly.aof.manifest and is not there"),
        ("appendonly.aof.1.incr.aof", "is named in appendonly.aof.manifest and is not there"),
    ] {
        let disk = disk_with(None);
        Instance::start(&disk).expect("nothing fails").run("SET a 1");
        disk.drop_file(&path(name));
        let error = open(&disk).expect_err("it is refused").to_string();
        assert!(error.contains(name) && error.contains(reason), "{error}");
    }
    let disk = disk_with(None);
    Instance::start(&disk).expect("nothing fails").run("SET a 1");
    let other = Engine::standalone();
    set(&other, 0, b"other", b"1", None);
    for (content, reason) in
        [(Vec::new(), "is no snapshot (0 bytes)"), (bytes_of(&other), "not the base that the manifest names")]
    {
        disk.put(&path("appendonly.aof.1.base.rdb"), content);
        let error = refused(&disk);
        assert!(error.contains("appendonly.aof.1.base.rdb") && error.contains(reason), "{error}");
    }
}

#[test]
fn a_torn_end_is_cut_off_with_a_copy_and_a_report() {
    let disk = disk_with(None);
    let mut instance = Instance::start(&disk).expect("nothing fails");
    instance.run("SET a 1");
    let name = "appendonly.aof.1.incr.aof";
    let mut content = disk.content(&path(name)).expect("it is there");
    let whole = content.len() as u64;
    let torn = format!("*1\r\n$5\r\nMULTI\r\n{SET_B}*3\r\n$3\r\nSET\r\n$1\r\nb");
    content.extend_from_slice(torn.as_bytes());
    disk.put(&path(name), content);
    let (engine, _, report) = load(&disk).expect("it loads");
    assert_eq!(digest(&engine), instance.history[1]);
    let cut = report.cut.expect("something was cut off");
    assert_eq!((cut.path, cut.offset, cut.bytes, cut.commands), (path(name), whole, torn.len() as u64, 3));
    assert_eq!(disk.content(&cut.copy), Some(torn.into_bytes()), "the copy has what was cut off");
    assert_eq!(load(&disk).expect("it loads").2.cut, None, "it is whole now");
}

#[test]
fn a_torn_end_that_is_not_the_end_of_the_log_is_refused() {
    let disk = empty();
    disk.put(&path("appendonly.aof.1.incr.aof"), SET_A.as_bytes()[..20].to_vec());
    disk.put(&path("appendonly.aof.2.incr.aof"), SET_B.as_bytes().to_vec());
    let manifest = "file appendonly.aof.1.incr.aof seq 1 type i\nfile appendonly.aof.2.incr.aof seq 2 type i\n";
    disk.put(&path("appendonly.aof.manifest"), manifest.as_bytes().to_vec());
    let error = refused(&disk);
    assert!(error.contains("appendonly.aof.1.incr.aof") && error.contains("not the last file"), "{error}");
    disk.put(&path("appendonly.aof.2.incr.aof"), Vec::new());
    assert_eq!(load(&disk).expect("nothing follows").2.commands, 0);
}

#[test]
fn a_command_that_cannot_be_repeated_is_refused() {
    let disk = empty();
    disk.put(&path("appendonly.aof.1.incr.aof"), b"*2\r\n$9\r\nNOCOMMAND\r\n$1\r\na\r\n".to_vec());
    disk.put(&path("appendonly.aof.manifest"), b"file appendonly.aof.1.incr.aof seq 1 type i\n".to_vec());
    let error = refused(&disk);
    assert!(error.contains("from byte 0 on failed (NOCOMMAND)"), "{error}");
}

#[test]
fn a_log_goes_back_to_a_point_in_time() {
    let disk = empty();
    let mut content = Vec::new();
    for (at_s, command) in [(1000, SET_A), (1005, SET_B), (1010, "*2\r\n$3\r\nDEL\r\n$1\r\na\r\n")] {
        write_timestamp(&mut content, at_s);
        content.extend_from_slice(command.as_bytes());
    }
    disk.put(&path("appendonly.aof.1.incr.aof"), content.clone());
    disk.put(&path("appendonly.aof.manifest"), b"file appendonly.aof.1.incr.aof seq 1 type i\n".to_vec());
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let to = CheckOptions { until_s: Some(1009), now_s: 5, fix: false };
    let report = check_log(&shared, &path("appendonly.aof.manifest"), &to).expect("it can be read");
    assert!(report.sound, "{report}");
    assert_eq!(load(&disk).expect("it loads").2.commands, 2);
    let copies: Vec<PathBuf> =
        disk.paths().into_iter().filter(|path| path.to_string_lossy().contains(".cut-")).collect();
    assert_eq!(disk.content(&copies[0]), Some(content[content.len() - 30..].to_vec()), "what was done later is kept");
}

#[test]
fn a_check_changes_nothing_and_a_repair_keeps_what_it_cuts() {
    let disk = disk_with(None);
    let mut instance = Instance::start(&disk).expect("nothing fails");
    instance.run("SET a 1");
    let name = path("appendonly.aof.1.incr.aof");
    let mut content = disk.content(&name).expect("it is there");
    content.extend_from_slice(b"what is this");
    disk.put(&name, content.clone());
    assert!(refused(&disk).contains("12 bytes behind the last whole command"), "no format error is a torn end");
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let manifest = path("appendonly.aof.manifest");
    let report = check_log(&shared, &manifest, &CheckOptions::default()).expect("it can be read");
    assert!(!report.sound && report.to_string().contains("--fix would cut 12 bytes off"), "{report}");
    assert_eq!(disk.content(&name), Some(content));
    let fix = CheckOptions { fix: true, ..CheckOptions::default() };
    assert!(check_log(&shared, &manifest, &fix).expect("it can be read").sound);
    let (engine, ..) = load(&disk).expect("it was repaired");
    assert_eq!(digest(&engine), instance.history[1]);
}

#[test]
fn a_base_says_that_it_is_one() {
    let disk = disk_with(None);
    let mut instance = Instance::start(&disk).expect("nothing fails");
    instance.run("SET a 1");
    instance.rewrite().expect("nothing fails");
    let base = disk.content(&path("appendonly.aof.2.base.rdb")).expect("it is there");
    assert!(loaded(&base).1.properties.is_aof_base);
}
