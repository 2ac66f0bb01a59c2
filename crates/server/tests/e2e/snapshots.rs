//! Saving beside writers, what INFO and BGSAVE say of it, and `--check-rdb`.

use std::process::Command;

use quiver_resp::Value;
use quiver_testkit::Connection;

use crate::support::{BINARY, ask, connect, error, eventually, fill, info, number, run, start, start_in};

/// Runs `--check-rdb`; gives its report and whether it is content.
fn check(path: &std::path::Path) -> (String, bool) {
    let output = Command::new(BINARY).arg("--check-rdb").arg(path).output().expect("the binary runs");
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8_lossy(&text).into_owned(), output.status.success())
}

/// Fills a sorted set with so many members.
fn fill_board(connection: &mut Connection, members: usize) {
    for chunk in 0..members / 1000 {
        let words: Vec<String> = (0..1000).flat_map(|i| [i.to_string(), format!("member:{chunk}:{i}")]).collect();
        let words: Vec<&str> = ["ZADD", "board"].into_iter().chain(words.iter().map(String::as_str)).collect();
        assert_eq!(connection.call(&words).expect("a reply").value, Value::Integer(1000));
    }
}

#[test]
fn check_rdb_counts_what_is_in_a_file_and_says_where_it_is_damaged() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start_in(folder.path(), &[]);
    let mut connection = connect(&server);
    fill(&mut connection);
    run(&mut connection, "SAVE");
    drop(server);
    let path = folder.path().join("dump.rdb");
    let (report, sound) = check(&path);
    assert!(sound, "{report}");
    for line in [
        "format: RDB version 11 of Redis",
        "database 0: 154 keys, 2 with an expiry, 0 of them over",
        "database 3: 1 keys",
        "type hash: 51 keys",
        "the checksum is right",
    ] {
        assert!(report.contains(line), "{line} is missing:\n{report}");
    }
    let mut bytes = std::fs::read(&path).expect("the file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).expect("the folder is writable");
    let (report, sound) = check(&path);
    assert!(!sound && report.contains("ERROR at byte "), "{report}");
    let (report, sound) = check(&folder.path().join("none.rdb"));
    assert!(!sound && report.contains("none.rdb") && report.contains("No such file"), "{report}");
}

#[test]
fn a_writer_of_a_huge_value_waits_for_the_snapshot_and_the_snapshot_is_as_of_its_beginning() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = start_in(folder.path(), &[]);
    let mut connection = connect(&server);
    fill_board(&mut connection, 100_000);
    run(&mut connection, "SET other before");
    // In one batch, so that the writes come while the snapshot is being taken.
    connection
        .send_raw(b"BGSAVE\r\nZADD board 5000 late\r\nSET other after\r\nZCARD board\r\n")
        .expect("the server reads");
    let replies: Vec<Value> = (0..4).map(|_| connection.receive().expect("a reply").value).collect();
    assert_eq!(replies[1..], [Value::Integer(1), Value::Simple(b"OK".to_vec()), Value::Integer(100_001)]);
    eventually("the snapshot", || number(&mut connection, "rdb_saves") == 1);
    server.kill().expect("it runs");
    let server = start_in(folder.path(), &[]);
    let mut connection = connect(&server);
    let members = run(&mut connection, "ZCARD board");
    let late = ask(&mut connection, "ZSCORE board late");
    assert!(matches!(members, Value::Integer(100_000 | 100_001)), "{members:?}");
    assert_eq!(late == Value::Null, members == Value::Integer(100_000), "the set is of one moment");
    assert_eq!(number(&mut connection, "rdb_last_load_keys_loaded"), 2);
    assert_eq!(number(&mut connection, "rdb_last_load_keys_expired"), 0);
}

#[test]
fn a_background_save_says_that_one_runs_and_inside_a_transaction_that_it_will() {
    let server = start(&[]);
    let mut connection = connect(&server);
    fill_board(&mut connection, 100_000);
    connection.send_raw(b"BGSAVE\r\nBGSAVE\r\nBGSAVE SCHEDULE\r\n").expect("the server reads");
    let replies: Vec<Value> = (0..3).map(|_| connection.receive().expect("a reply").value).collect();
    let busy = Value::Error(b"ERR Background save already in progress".to_vec());
    assert_eq!(replies, [Value::Simple(b"Background saving started".to_vec()), busy.clone(), busy]);
    eventually("the snapshot", || number(&mut connection, "rdb_saves") == 1);
    assert_eq!(number(&mut connection, "current_save_keys_total"), 0, "none runs");
    run(&mut connection, "MULTI");
    run(&mut connection, "BGSAVE");
    let done = Value::Array(vec![Value::Simple(b"Background saving scheduled".to_vec())]);
    assert_eq!(run(&mut connection, "EXEC"), done);
    eventually("the second snapshot", || number(&mut connection, "rdb_saves") == 2);
    assert_eq!(error(&mut connection, "BGSAVE LATER"), "ERR syntax error");
}

#[test]
fn a_failed_save_stops_writes_only_where_snapshots_are_wanted() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start_in(folder.path(), &["--save", "3600 1"]);
    let mut connection = connect(&server);
    run(&mut connection, "SET k v");
    drop(folder);
    run(&mut connection, "BGSAVE");
    eventually("the failure", || info(&mut connection, "rdb_last_bgsave_status") == "err");
    let text = error(&mut connection, "SET k w");
    assert!(text.starts_with("MISCONF Redis is configured to save RDB snapshots, but it's currently unable"), "{text}");
    assert_eq!(run(&mut connection, "GET k"), Value::Bulk(b"v".to_vec()));
    assert_eq!(connection.call(&["CONFIG", "SET", "save", ""]).expect("a reply").value, Value::Simple(b"OK".to_vec()));
    run(&mut connection, "SET k w");
}
