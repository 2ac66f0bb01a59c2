//! The append-only log: nothing acknowledged is lost, old logs load, and a log that cannot be written stops writes.

use std::path::{Path, PathBuf};
use std::process::Command;

use quiver_resp::Value;
use quiver_testkit::crash::{Harness, Options};
use quiver_testkit::server::free_port;
use quiver_testkit::{Connection, Server};

use crate::support::{
    BINARY, ask, connect, error, eventually, fill, fingerprint, info, number, run, start_in, terminate,
};

const ALWAYS: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];
const EVERYSEC: &[&str] = &["--appendonly", "yes"];

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("appendonlydir")).expect("there is a log");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("it is there").file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

fn refused_start(folder: &Path, args: &[&str]) -> String {
    let port = free_port().expect("a free port").to_string();
    let dir = folder.to_string_lossy();
    let output = Command::new(BINARY).args(["--port", &port, "--dir", &dir]).args(args).output();
    let output = output.expect("the binary runs");
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn rewrite(connection: &mut Connection) {
    let before = number(connection, "aof_rewrites");
    let started = Value::Simple(b"Background append only file rewriting started".to_vec());
    assert_eq!(run(connection, "BGREWRITEAOF"), started);
    eventually("the rewrite", || number(connection, "aof_rewrites") > before);
    assert_eq!(info(connection, "aof_last_bgrewrite_status"), "ok");
}

fn crash_harness(fsync: &str, cycles: usize) {
    let options = Options { program: PathBuf::from(BINARY), seed: 5, fsync: fsync.to_owned(), writers: 3, run_ms: 300 };
    let mut harness = Harness::new(options).expect("the server starts");
    for cycle in 0..cycles {
        harness.cycle().unwrap_or_else(|error| panic!("cycle {cycle}: {error:?}"));
    }
}

#[test]
fn crashes_lose_nothing_acknowledged_under_always() {
    crash_harness("always", 6);
}

#[test]
fn crashes_lose_less_than_a_second_under_everysec() {
    crash_harness("everysec", 4);
}

#[test]
fn a_crash_keeps_every_type_before_and_after_a_rewrite() {
    let folder = folder();
    let mut server = start_in(folder.path(), ALWAYS);
    let mut connection = connect(&server);
    fill(&mut connection);
    let before = fingerprint(&mut connection);
    server.kill().expect("it runs");
    let mut server = start_in(folder.path(), ALWAYS);
    let mut connection = connect(&server);
    assert_eq!(fingerprint(&mut connection), before);
    rewrite(&mut connection);
    run(&mut connection, "SET later 1");
    let before = fingerprint(&mut connection);
    server.kill().expect("it runs");
    let server = start_in(folder.path(), ALWAYS);
    assert_eq!(fingerprint(&mut connect(&server)), before);
    assert_eq!(
        names(folder.path()),
        ["appendonly.aof.2.base.rdb", "appendonly.aof.2.incr.aof", "appendonly.aof.manifest"]
    );
}

#[test]
fn a_signal_ends_the_server_when_the_log_is_on_disk() {
    let folder = folder();
    let mut server = start_in(folder.path(), EVERYSEC);
    run(&mut connect(&server), "SET a 1");
    terminate(&server);
    assert_eq!(server.wait().expect("it ends").code(), Some(0));
    let server = start_in(folder.path(), EVERYSEC);
    assert_eq!(run(&mut connect(&server), "GET a"), Value::Bulk(b"1".to_vec()));
}

#[test]
fn the_log_is_turned_on_and_off_at_run_time() {
    let folder = folder();
    let mut server = start_in(folder.path(), &[]);
    let mut connection = connect(&server);
    fill(&mut connection);
    assert_eq!(number(&mut connection, "aof_enabled"), 0);
    run(&mut connection, "CONFIG SET appendonly yes");
    run(&mut connection, "SET during 1");
    eventually("the first base", || number(&mut connection, "aof_rewrites") == 1);
    run(&mut connection, "SET after 1");
    assert_eq!(run(&mut connection, "WAITAOF 1 0 0"), Value::Array(vec![Value::Integer(1), Value::Integer(0)]));
    let before = fingerprint(&mut connection);
    server.kill().expect("it runs");
    let server = start_in(folder.path(), EVERYSEC);
    let mut connection = connect(&server);
    assert_eq!(fingerprint(&mut connection), before);

    run(&mut connection, "CONFIG SET appendonly no");
    eventually("the end of the log", || number(&mut connection, "aof_enabled") == 0);
    let size =
        |name: &str| std::fs::metadata(folder.path().join("appendonlydir").join(name)).expect("it is there").len();
    let increment = names(folder.path()).into_iter().find(|name| name.ends_with(".incr.aof")).expect("there is one");
    let before = size(&increment);
    run(&mut connection, "SET unlogged 1");
    assert_eq!(size(&increment), before);
    assert!(error(&mut connection, "WAITAOF 1 0 0").contains("appendonly is disabled"));
    run(&mut connection, "CONFIG SET appendonly yes");
    eventually("another base", || number(&mut connection, "aof_rewrites") == 1);
    assert_eq!(number(&mut connection, "aof_enabled"), 1);
}

#[test]
fn a_log_that_has_grown_is_rewritten_by_itself() {
    let folder = folder();
    let server = start_in(folder.path(), &[EVERYSEC, &["--auto-aof-rewrite-min-size", "20kb"]].concat());
    let mut connection = connect(&server);
    for step in 0..600 {
        run(&mut connection, &format!("SET key {step}:{}", "x".repeat(50)));
    }
    eventually("the rewrite", || number(&mut connection, "aof_rewrites") > 0);
    // All commands together take some 51,000 bytes, and the first 20 KiB were in the log when it was rewritten.
    assert!(number(&mut connection, "aof_current_size") < 45_000);
}

#[test]
fn a_server_with_a_snapshot_begins_its_log_with_it() {
    let folder = folder();
    let mut server = start_in(folder.path(), &[]);
    run(&mut connect(&server), "SET a 1");
    run(&mut connect(&server), "SAVE");
    server.kill().expect("it runs");
    let mut server = start_in(folder.path(), ALWAYS);
    run(&mut connect(&server), "SET b 2");
    server.kill().expect("it runs");
    std::fs::remove_file(folder.path().join("dump.rdb")).expect("it is there");
    let server = start_in(folder.path(), ALWAYS);
    assert_eq!(run(&mut connect(&server), "DBSIZE"), Value::Integer(2));
}

#[test]
fn a_log_that_lacks_its_manifest_is_no_empty_start() {
    let folder = folder();
    let mut server = start_in(folder.path(), ALWAYS);
    run(&mut connect(&server), "SET a 1");
    server.kill().expect("it runs");
    std::fs::remove_file(folder.path().join("appendonlydir/appendonly.aof.manifest")).expect("it is there");
    let text = refused_start(folder.path(), ALWAYS);
    assert!(text.contains("no appendonly.aof.manifest"), "{text}");
}

#[test]
fn a_torn_end_is_reported_by_the_check_and_cut_off_at_the_start() {
    let folder = folder();
    let mut server = start_in(folder.path(), ALWAYS);
    run(&mut connect(&server), "SET a 1");
    server.kill().expect("it runs");
    let file = folder.path().join("appendonlydir/appendonly.aof.1.incr.aof");
    let mut content = std::fs::read(&file).expect("it is there");
    content.extend_from_slice(b"*3\r\n$3\r\nSET\r\n$1\r\nb");
    std::fs::write(&file, &content).expect("it can be written");
    let check = || {
        let manifest = folder.path().join("appendonlydir/appendonly.aof.manifest");
        let output = Command::new(BINARY).arg("--check-aof").arg(manifest).output().expect("the binary runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, text) = check();
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("--fix would cut 18 bytes off"), "{text}");
    assert!(
        refused_start(folder.path(), &[ALWAYS, &["--aof-load-truncated", "no"]].concat())
            .contains("aof-load-truncated")
    );
    let server = start_in(folder.path(), ALWAYS);
    assert_eq!(run(&mut connect(&server), "DBSIZE"), Value::Integer(1));
    assert!(names(folder.path()).iter().any(|name| name.contains(".cut-")));
    assert_eq!(check().0, Some(0));
}

#[test]
fn debug_loadaof_gives_the_same_data() {
    let folder = folder();
    let server = start_in(folder.path(), EVERYSEC);
    let mut connection = connect(&server);
    fill(&mut connection);
    let before = fingerprint(&mut connection);
    run(&mut connection, "DEBUG LOADAOF");
    assert_eq!(fingerprint(&mut connection), before);
    run(&mut connection, "SET more 1");
    assert_eq!(run(&mut connection, "WAITAOF 1 0 0"), Value::Array(vec![Value::Integer(1), Value::Integer(0)]));
}

/// A server whose files may have 32 KiB, as on a disk that is full then.
fn start_limited(folder: &Path) -> (std::process::Child, Connection) {
    let port = free_port().expect("a free port");
    let script = "trap '' XFSZ; ulimit -f 64; exec \"$@\"";
    let child = Command::new("sh")
        .args(["-c", script, "sh", BINARY, "--port", &port.to_string(), "--save", "", "--dir"])
        .arg(folder)
        .args(ALWAYS)
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("sh runs");
    let addr = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let mut connection = None;
    eventually("the server", || {
        connection = Connection::connect(addr).ok();
        connection.as_mut().is_some_and(|connection| {
            connection.call(&["PING"]).is_ok_and(|reply| reply.value == Value::Simple(b"PONG".to_vec()))
        })
    });
    (child, connection.expect("it answered"))
}

#[test]
fn a_log_that_cannot_be_written_acknowledges_nothing_and_refuses_writes_until_it_is_made_anew() {
    let folder = folder();
    let (mut child, mut connection) = start_limited(folder.path());
    let addr = connection.peer().expect("it is connected");
    let mut acknowledged = 0;
    // The one that does not fit is not answered: its connection ends.
    while connection.call(&["SET", "key", &format!("{acknowledged}:{}", "x".repeat(2000))]).is_ok() {
        acknowledged += 1;
        assert!(acknowledged < 30, "the limit holds");
    }
    let mut connection = Connection::connect(addr).expect("it accepts");
    let text = error(&mut connection, "SET other 1");
    assert_eq!(text, "MISCONF Errors writing to the AOF file: File too large");
    assert!(error(&mut connection, "PING").starts_with("MISCONF"));
    assert_eq!(info(&mut connection, "aof_last_write_status"), "err");
    assert!(matches!(run(&mut connection, "GET key"), Value::Bulk(_)), "reads go on");
    // A new base is small enough.
    run(&mut connection, "BGREWRITEAOF");
    eventually("the repair", || ask(&mut connection, "SET other 2") == Value::Simple(b"OK".to_vec()));
    assert_eq!(info(&mut connection, "aof_last_write_status"), "ok");
    child.kill().expect("it runs");
    child.wait().expect("it ran");
    let server = start_in(folder.path(), ALWAYS);
    let mut connection = connect(&server);
    assert_eq!(run(&mut connection, "GET other"), Value::Bulk(b"2".to_vec()));
    let Value::Bulk(last) = run(&mut connection, "GET key") else { panic!("it is there") };
    let number: usize = String::from_utf8_lossy(&last).split(':').next().expect("a number").parse().expect("a number");
    assert!(number + 1 >= acknowledged, "{number} of {acknowledged}");
}

#[test]
fn a_replica_keeps_a_log_of_its_own() {
    let (primary_folder, replica_folder) = (folder(), folder());
    let primary = start_in(primary_folder.path(), &[]);
    let mut connection = connect(&primary);
    fill(&mut connection);
    let mut replica = start_in(replica_folder.path(), EVERYSEC);
    let port = primary.addr().port().to_string();
    let mut at_replica = connect(&replica);
    run(&mut at_replica, &format!("REPLICAOF 127.0.0.1 {port}"));
    eventually("the link", || info(&mut at_replica, "master_link_status") == "up");
    run(&mut connection, "SET streamed 1");
    eventually("the write", || run(&mut at_replica, "EXISTS streamed") == Value::Integer(1));
    eventually("the log", || {
        number(&mut at_replica, "aof_rewrites") >= 1 && number(&mut at_replica, "aof_rewrite_in_progress") == 0
    });
    run(&mut connection, "SET waited 1");
    let both = Value::Array(vec![Value::Integer(0), Value::Integer(1)]);
    assert_eq!(run(&mut connection, "WAITAOF 0 1 9000"), both, "the replica has it on disk");
    let before = fingerprint(&mut connection);
    terminate(&replica);
    assert_eq!(replica.wait().expect("it ends").code(), Some(0));
    let replica = start_in(replica_folder.path(), EVERYSEC);
    assert_eq!(fingerprint(&mut connect(&replica)), before);
    drop::<Server>(primary);
}
