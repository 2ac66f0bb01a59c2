//! Snapshots: written when they should be, whole, read again at the next start, refused when damaged.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use quiver_resp::Value;
use quiver_testkit::server::free_port;
use quiver_testkit::{Connection, Server};

use crate::support::{
    BINARY, ask, connect, error, eventually, fill, fingerprint, info, number, run, start_in, terminate,
};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Runs a server that cannot start; gives what it wrote to standard error.
fn refused_start(args: &[&str]) -> String {
    let port = free_port().expect("a free port").to_string();
    let output = Command::new(BINARY).args(["--port", &port]).args(args).output().expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    text
}

fn background_save(connection: &mut Connection) {
    let before = number(connection, "rdb_saves");
    run(connection, "BGSAVE");
    eventually("the snapshot", || number(connection, "rdb_saves") > before);
    assert_eq!(info(connection, "rdb_last_bgsave_status"), "ok");
}

#[test]
fn save_and_a_crash_keep_every_type() {
    let folder = folder();
    let mut server = start_in(folder.path(), &[]);
    let mut connection = connect(&server);
    fill(&mut connection);
    let before = fingerprint(&mut connection);
    run(&mut connection, "SAVE");
    server.kill().expect("it runs");
    let server = start_in(folder.path(), &[]);
    assert_eq!(fingerprint(&mut connect(&server)), before);
}

#[test]
fn a_background_snapshot_holds_what_was_there_and_nothing_later() {
    let folder = folder();
    let mut server = start_in(folder.path(), &[]);
    let mut connection = connect(&server);
    fill(&mut connection);
    let before = fingerprint(&mut connection);
    background_save(&mut connection);
    run(&mut connection, "SET later 1");
    server.kill().expect("it runs");
    let server = start_in(folder.path(), &[]);
    assert_eq!(fingerprint(&mut connect(&server)), before);
}

#[test]
fn keys_whose_time_ends_while_the_server_is_down_are_gone() {
    let folder = folder();
    let mut server = start_in(folder.path(), &[]);
    let mut connection = connect(&server);
    run(&mut connection, "SET short 1 PX 300");
    run(&mut connection, "SET long 1 EX 1000");
    run(&mut connection, "SAVE");
    server.kill().expect("it runs");
    std::thread::sleep(std::time::Duration::from_millis(350));
    let server = start_in(folder.path(), &[]);
    assert_eq!(run(&mut connect(&server), "KEYS *"), Value::Array(vec![Value::Bulk(b"long".to_vec())]));
}

#[test]
fn a_save_point_writes_a_snapshot_by_itself() {
    let folder = folder();
    let mut server = start_in(folder.path(), &["--save", "1 3"]);
    let mut connection = connect(&server);
    run(&mut connection, "MSET a 1 b 2");
    std::thread::sleep(std::time::Duration::from_millis(1300));
    assert_eq!(number(&mut connection, "rdb_saves"), 0, "two changes are not three");
    run(&mut connection, "SET c 3");
    eventually("the save point", || number(&mut connection, "rdb_saves") == 1);
    assert_eq!(number(&mut connection, "rdb_changes_since_last_save"), 0);
    server.kill().expect("it runs");
    let server = start_in(folder.path(), &[]);
    assert_eq!(run(&mut connect(&server), "DBSIZE"), Value::Integer(3));
}

/// Starts a server, fills it, saves, crashes; gives the bytes of the snapshot.
fn snapshot(folder: &Path) -> Vec<u8> {
    let server = start_in(folder, &[]);
    let mut connection = connect(&server);
    fill(&mut connection);
    run(&mut connection, "SAVE");
    drop(server);
    std::fs::read(folder.join("dump.rdb")).expect("a snapshot")
}

#[test]
fn a_damaged_snapshot_is_refused_with_file_offset_and_reason() {
    let folder = folder();
    let bytes = snapshot(folder.path());
    let path = folder.path().join("dump.rdb");
    let dir = folder.path().to_str().expect("UTF-8");
    let flipped = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x20;
        bytes
    };
    for (what, damaged) in [
        ("flipped at the start", flipped(2)),
        ("flipped in the middle", flipped(bytes.len() / 2)),
        ("flipped in the checksum", flipped(bytes.len() - 3)),
        ("cut in half", bytes[..bytes.len() / 2].to_vec()),
        ("cut before the checksum", bytes[..bytes.len() - 8].to_vec()),
        ("cut within the checksum", bytes[..bytes.len() - 1].to_vec()),
        ("continued", [&bytes[..], b"more"].concat()),
        ("empty", Vec::new()),
    ] {
        std::fs::write(&path, &damaged).expect("the folder is writable");
        let text = refused_start(&["--dir", dir]);
        assert!(text.contains(path.to_str().expect("UTF-8")) && text.contains("at byte "), "{what}: {text}");
        let kept = std::fs::read(&path).expect("the file is still there");
        assert!(kept == damaged, "{what}: the refused file was changed");
    }
}

#[test]
fn a_missing_data_folder_and_wrong_parameters_are_named() {
    let text = refused_start(&["--dir", "/no/such/folder"]);
    assert!(text.contains("/no/such/folder") && text.contains("No such file or directory"), "{text}");
    let text = refused_start(&["--maxmemory", "much"]);
    assert!(text.contains("maxmemory"), "{text}");
    let text = refused_start(&["/no/such/redis.conf"]);
    assert!(text.contains("/no/such/redis.conf"), "{text}");
}

#[test]
fn a_taken_port_is_named() {
    let folder = folder();
    let server = start_in(folder.path(), &[]);
    let port = server.addr().port().to_string();
    let output = Command::new(BINARY).args(["--port", &port, "--save", "", "--dir"]).arg(folder.path()).output();
    let output = output.expect("the binary runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&port));
}

/// What is left of one key after `end`, and whether the process ended with success.
fn after(args: &[&str], end: impl FnOnce(&Server, &mut Connection)) -> (Value, bool) {
    let folder = folder();
    let mut server = start_in(folder.path(), args);
    let mut connection = connect(&server);
    run(&mut connection, "SET k v");
    end(&server, &mut connection);
    let clean = server.wait().expect("it ends").success();
    let server = start_in(folder.path(), &[]);
    (run(&mut connect(&server), "EXISTS k"), clean)
}

#[test]
fn shutdown_and_signals_save_as_asked_or_as_configured() {
    let send = |line: &'static str| {
        move |_: &Server, connection: &mut Connection| {
            let words: Vec<&str> = line.split(' ').collect();
            connection.send(&words).expect("the server reads");
        }
    };
    let signal = |server: &Server, _: &mut Connection| terminate(server);
    let points = &["--save", "3600 1"];
    let (saved, lost) = ((Value::Integer(1), true), (Value::Integer(0), true));
    assert_eq!(after(&[], send("SHUTDOWN SAVE")), saved);
    assert_eq!(after(points, send("SHUTDOWN NOSAVE")), lost);
    assert_eq!(after(points, send("SHUTDOWN")), saved);
    assert_eq!(after(&[], send("SHUTDOWN")), lost);
    assert_eq!(after(points, signal), saved);
    assert_eq!(after(&[], signal), lost);
}

#[test]
fn a_server_that_cannot_save_goes_on_unless_forced() {
    let folder = folder();
    let mut server = start_in(folder.path(), &["--save", "3600 1"]);
    let mut connection = connect(&server);
    run(&mut connection, "SET k v");
    drop(folder);
    assert_eq!(error(&mut connection, "SHUTDOWN"), "ERR Errors trying to SHUTDOWN. Check logs.");
    terminate(&server);
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(run(&mut connection, "GET k"), Value::Bulk(b"v".to_vec()));
    assert!(error(&mut connection, "SET k w").starts_with("MISCONF "), "writes wait until saving works again");
    run(&mut connection, "CONFIG SET stop-writes-on-bgsave-error no");
    run(&mut connection, "SET k w");
    connection.send(&["SHUTDOWN", "FORCE"]).expect("the server reads");
    assert!(!server.wait().expect("it ends").success(), "not everything is on disk");
}

#[test]
fn a_replica_that_does_not_read_its_snapshot_keeps_no_other_from_being_written() {
    let folder = folder();
    let mut server = start_in(folder.path(), &["--rdbcompression", "no"]);
    let mut connection = connect(&server);
    let value = vec![b'x'; 1 << 20];
    for i in 0..40 {
        connection.call(&[&b"SET"[..], format!("large:{i}").as_bytes(), &value]).expect("OK");
    }
    let mut replica = connect(&server);
    replica.send_raw(b"REPLCONF capa eof capa psync2\r\nPSYNC ? -1\r\n").expect("the server reads");
    eventually("the snapshot to be on its way", || {
        number(&mut connection, "connected_slaves") == 1 && info(&mut connection, "slave0").contains("state=send_bulk")
    });
    connection.send(&["SHUTDOWN", "SAVE"]).expect("the server reads");
    assert!(server.wait().expect("it ends").success());
    let server = start_in(folder.path(), &[]);
    assert_eq!(run(&mut connect(&server), "DBSIZE"), Value::Integer(40));
}

/// Writes pairs of keys that always have the same value, until told to stop. Gives the number of the last round whose
/// every transaction was answered.
fn write_pairs(mut connection: Connection, stop: &AtomicBool) -> i64 {
    let mut round = 0;
    while !stop.load(Relaxed) {
        for i in 0..200 {
            let batch = format!("MULTI\r\nSET x:{i} {round}\r\nHSET y:{i} f {round}\r\nEXEC\r\n");
            if connection.send_raw(batch.as_bytes()).is_err() {
                return round - 1;
            }
        }
        for i in 0..800 {
            match connection.receive() {
                Ok(reply) if !reply.value.is_error() => {}
                _ => return round - i64::from(i < 800),
            }
        }
        round += 1;
    }
    round - 1
}

#[test]
fn a_snapshot_under_writes_holds_whole_transactions() {
    let folder = folder();
    let mut server = start_in(folder.path(), &[]);
    let stop = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (connection, stop) = (connect(&server), Arc::clone(&stop));
        move || write_pairs(connection, &stop)
    });
    let mut connection = connect(&server);
    eventually("all keys to be there", || run(&mut connection, "DBSIZE") == Value::Integer(400));
    for _ in 0..5 {
        background_save(&mut connection);
    }
    stop.store(true, Relaxed);
    writer.join().expect("the writer does not panic");
    server.kill().expect("it runs");
    let server = start_in(folder.path(), &[]);
    assert_pairs(&mut connect(&server));
}

#[test]
fn sigterm_under_writes_loses_no_write_that_was_answered() {
    let folder = folder();
    let mut server = start_in(folder.path(), &["--save", "3600 1"]);
    let stop = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (connection, stop) = (connect(&server), Arc::clone(&stop));
        move || write_pairs(connection, &stop)
    });
    let mut connection = connect(&server);
    eventually("all keys to be there", || run(&mut connection, "DBSIZE") == Value::Integer(400));
    run(&mut connection, "BGSAVE"); // One that runs must not keep the server from ending.
    terminate(&server);
    assert!(server.wait().expect("it ends").success());
    let answered = writer.join().expect("the writer does not panic");
    let server = start_in(folder.path(), &[]);
    let oldest = assert_pairs(&mut connect(&server));
    assert!(oldest >= answered, "round {answered} was answered, round {oldest} is on disk");
}

/// Holds the pairs of [`write_pairs`] against each other; gives the lowest round.
fn assert_pairs(connection: &mut Connection) -> i64 {
    let pairs = (0..200).map(|i| {
        let x = ask(connection, &format!("GET x:{i}"));
        assert_eq!(x, ask(connection, &format!("HGET y:{i} f")), "pair {i}");
        x.as_i64().expect("a number")
    });
    pairs.min().expect("200 pairs")
}
