//! Replicas: the same content, the same answers, and no more transfers than necessary.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use quiver_resp::Value;
use quiver_testkit::{Connection, Server};

use crate::support::{
    BINARY, caught_up, connect, error, eventually, fill, fingerprint, follow, info, number, run, start,
};

/// A primary with a replica that has everything.
fn pair() -> (Server, Server) {
    let (primary, replica) = (start(&[]), start(&[]));
    follow(&replica, &primary);
    (primary, replica)
}

/// Changes of every kind.
fn change(connection: &mut Connection) {
    for line in [
        "SET string:2 changed",
        "INCRBYFLOAT float 1.5",
        "APPEND string:3 more",
        "DEL string:4 hash:4",
        "EXPIRE string:5 1000",
        "GETEX string:6 EX 500",
        "SET string:7 v PX 1",
        "HSET hash:2 new 1",
        "HINCRBYFLOAT hash:2 new 0.25",
        "HDEL hash:3 other",
        "VADD vectors VALUES 3 0.5 0.5 0.1 added",
        "VREM vectors element:9",
        "VSETATTR vectors element:10 {\"n\":1000}",
        "VADD vectors VALUES 3 0 0 1 element:11",
        "RENAME string:8 renamed",
        "SELECT 5",
        "SET in:5 1",
        "SELECT 0",
        "MULTI",
        "SET first 1",
        "INCR second",
        "HSET third f 1",
        "EXEC",
    ] {
        run(connection, line);
    }
}

#[test]
fn a_replica_gets_what_was_there_and_what_comes() {
    let (primary, replica) = (start(&[]), start(&[]));
    let (mut on_primary, mut on_replica) = (connect(&primary), connect(&replica));
    fill(&mut on_primary);
    run(&mut on_replica, "SET of:its:own 1");
    follow(&replica, &primary);
    assert_eq!(fingerprint(&mut on_replica), fingerprint(&mut on_primary));

    change(&mut on_primary);
    // An expired key is gone on both sides once the primary has said so.
    eventually("expiry", || run(&mut on_primary, "EXISTS string:7") == Value::Integer(0));
    caught_up(&mut on_primary, &mut on_replica);
    assert_eq!(fingerprint(&mut on_replica), fingerprint(&mut on_primary));
    assert_eq!(number(&mut on_primary, "sync_full"), 1);
    assert_eq!(number(&mut on_primary, "connected_slaves"), 1);
}

#[test]
fn writes_during_full_synchronisations_are_neither_lost_nor_applied_twice() {
    let (primary, replica) = (start(&[]), start(&[]));
    let mut on_primary = connect(&primary);
    fill(&mut on_primary);
    run(&mut on_primary, "SET counter 0");
    let stop = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (mut connection, stop) = (connect(&primary), Arc::clone(&stop));
        move || {
            let mut round = 0;
            while !stop.load(Relaxed) {
                for line in [
                    "INCR counter".to_owned(),
                    format!("SET string:{} {round}", round % 300),
                    format!("HSET hash:{} f{} {round}", round % 60, round % 7),
                    format!("VADD vectors VALUES 3 1 {round} 2 element:{}", round % 80),
                    format!("DEL string:{}", round % 290),
                ] {
                    run(&mut connection, &line);
                }
                round += 1;
            }
        }
    });
    for _ in 0..4 {
        run(&mut connect(&replica), "REPLICAOF NO ONE");
        run(&mut connect(&replica), "SET own 1"); // So that it cannot go on where it was.
        follow(&replica, &primary);
    }
    stop.store(true, Relaxed);
    writer.join().expect("the writer does not panic");
    let mut on_replica = connect(&replica);
    caught_up(&mut on_primary, &mut on_replica);
    assert_eq!(fingerprint(&mut on_replica), fingerprint(&mut on_primary));
}

#[test]
fn a_replica_refuses_writes_and_hides_keys_whose_time_is_over() {
    let (primary, replica) = pair();
    let (mut on_primary, mut on_replica) = (connect(&primary), connect(&replica));
    assert_eq!(error(&mut on_replica, "SET a 1"), "READONLY You can't write against a read only replica.");
    run(&mut on_replica, "MULTI");
    error(&mut on_replica, "SET a 1");
    assert!(error(&mut on_replica, "EXEC").starts_with("EXECABORT"));
    run(&mut on_primary, "SET short 1 PX 50");
    caught_up(&mut on_primary, &mut on_replica);
    eventually("the end of its time", || run(&mut on_replica, "GET short").is_null());
    let role = run(&mut on_replica, "ROLE");
    assert_eq!(role.as_array().expect("an array")[0], Value::Bulk(b"slave".to_vec()));
}

#[test]
fn a_promoted_replica_keeps_the_data_and_takes_writes() {
    let (primary, replica) = pair();
    let (mut on_primary, mut on_replica) = (connect(&primary), connect(&replica));
    fill(&mut on_primary);
    caught_up(&mut on_primary, &mut on_replica);
    let old = info(&mut on_primary, "master_replid");
    run(&mut on_replica, "REPLICAOF NO ONE");
    assert_eq!(info(&mut on_replica, "role"), "master");
    assert_eq!(fingerprint(&mut on_replica), fingerprint(&mut on_primary));
    assert_eq!(info(&mut on_replica, "master_replid2"), old);
    assert_ne!(info(&mut on_replica, "master_replid"), old);
    run(&mut on_replica, "SET own 1");
    run(&mut on_primary, "SET other 1");
    assert_eq!(run(&mut on_replica, "EXISTS own other"), Value::Integer(1));

    // The old primary has a write of its own, so it cannot go on and gets everything anew.
    follow(&primary, &replica);
    caught_up(&mut on_replica, &mut on_primary);
    assert_eq!(run(&mut on_primary, "EXISTS own other"), Value::Integer(1));
}

#[test]
fn replicas_of_a_promoted_replica_go_on_without_a_snapshot() {
    let (primary, replica) = pair();
    let (mut on_primary, mut on_replica) = (connect(&primary), connect(&replica));
    let third = start(&[]);
    follow(&third, &replica);
    fill(&mut on_primary);
    caught_up(&mut on_primary, &mut on_replica);
    caught_up(&mut on_replica, &mut connect(&third));
    run(&mut on_replica, "REPLICAOF NO ONE");
    run(&mut on_replica, "SET own 1");
    caught_up(&mut on_replica, &mut connect(&third));
    assert_eq!(fingerprint(&mut connect(&third)), fingerprint(&mut on_replica));
    assert_eq!(number(&mut on_replica, "sync_full"), 1, "the third one did not start again");
}

#[test]
fn a_lost_connection_is_resumed_where_it_was() {
    let (primary, replica) = pair();
    let (mut on_primary, mut on_replica) = (connect(&primary), connect(&replica));
    fill(&mut on_primary);
    let id = info(&mut on_primary, "master_replid");
    for round in 1..=3 {
        assert_eq!(run(&mut on_primary, "CLIENT KILL TYPE replica"), Value::Integer(1));
        for i in 0..100 {
            run(&mut on_primary, &format!("SET round:{round}:{i} {i}"));
        }
        caught_up(&mut on_primary, &mut on_replica);
        assert_eq!(number(&mut on_primary, "sync_partial_ok"), round);
        assert_eq!(number(&mut on_primary, "sync_full"), 1);
    }
    assert_eq!(info(&mut on_primary, "master_replid"), id);
    assert_eq!(info(&mut on_replica, "master_replid"), id);
    assert_eq!(fingerprint(&mut on_replica), fingerprint(&mut on_primary));
}

#[test]
fn a_replica_too_far_behind_starts_again() {
    let primary = start(&["--repl-backlog-size", "16kb", "--client-output-buffer-limit", "replica 16kb 0 0"]);
    let replica = start(&[]);
    follow(&replica, &primary);
    let (mut on_primary, mut on_replica) = (connect(&primary), connect(&replica));
    fill(&mut on_primary);
    run(&mut on_primary, "CLIENT KILL TYPE replica");
    run(&mut on_primary, &format!("SET large {}", "x".repeat(100_000)));
    caught_up(&mut on_primary, &mut on_replica);
    assert_eq!(fingerprint(&mut on_replica), fingerprint(&mut on_primary));
    assert!(number(&mut on_primary, "sync_full") >= 2);
}

#[test]
fn a_replica_comes_back_after_its_primary_was_restarted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut primary = Server::start_in(Path::new(BINARY), folder.path(), &[]).expect("the server starts");
    let replica = start(&[]);
    follow(&replica, &primary);
    let mut on_primary = connect(&primary);
    fill(&mut on_primary);
    run(&mut on_primary, "SAVE");
    run(&mut on_primary, "SET unsaved 1");
    let mut on_replica = connect(&replica);
    caught_up(&mut on_primary, &mut on_replica);
    let port = primary.addr().port();
    primary.kill().expect("it runs");
    eventually("the loss of the link", || info(&mut on_replica, "master_link_status") == "down");
    assert!(!run(&mut on_replica, "GET string:1").is_null(), "a replica without its primary still answers");

    let primary = Server::start_at(Path::new(BINARY), folder.path(), port, &[]).expect("the server starts");
    let mut on_primary = connect(&primary);
    caught_up(&mut on_primary, &mut on_replica);
    assert_eq!(run(&mut on_replica, "EXISTS unsaved"), Value::Integer(0), "what the primary has lost is lost");
    assert_eq!(fingerprint(&mut on_replica), fingerprint(&mut on_primary));
}

#[test]
fn a_chain_of_replicas_has_the_same_content() {
    let (primary, middle) = pair();
    let last = start(&[]);
    let (mut on_primary, mut on_middle, mut on_last) = (connect(&primary), connect(&middle), connect(&last));
    fill(&mut on_primary);
    follow(&last, &middle);
    change(&mut on_primary);
    eventually("expiry", || run(&mut on_primary, "EXISTS string:7") == Value::Integer(0));
    caught_up(&mut on_primary, &mut on_middle);
    caught_up(&mut on_middle, &mut on_last);
    let expected = fingerprint(&mut on_primary);
    assert_eq!(fingerprint(&mut on_middle), expected);
    assert_eq!(fingerprint(&mut on_last), expected);
    assert_eq!(info(&mut on_last, "master_replid"), info(&mut on_primary, "master_replid"));

    // When the middle one gets a new snapshot the last one must not keep what it had.
    run(&mut on_middle, "REPLICAOF NO ONE");
    run(&mut on_middle, "SET only:here 1");
    caught_up(&mut on_middle, &mut on_last);
    follow(&middle, &primary);
    caught_up(&mut on_middle, &mut on_last);
    eventually("the last one to start again", || run(&mut on_last, "EXISTS only:here") == Value::Integer(0));
    caught_up(&mut on_middle, &mut on_last);
    assert_eq!(fingerprint(&mut on_last), fingerprint(&mut on_primary));
}

#[test]
fn a_replica_with_the_wrong_password_stays_out_and_with_the_right_one_comes_in() {
    let primary = start(&["--requirepass", "secret"]);
    let replica = start(&["--masterauth", "wrong"]);
    let mut on_primary = connect(&primary);
    run(&mut on_primary, "AUTH secret");
    run(&mut on_primary, "SET k v");
    let mut on_replica = connect(&replica);
    run(&mut on_replica, &format!("REPLICAOF 127.0.0.1 {}", primary.addr().port()));
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(info(&mut on_replica, "master_link_status"), "down");
    run(&mut on_replica, "CONFIG SET masterauth secret");
    eventually("the link", || info(&mut on_replica, "master_link_status") == "up");
    assert_eq!(run(&mut on_replica, "GET k"), Value::Bulk(b"v".to_vec()));
}
