//! What the test-suites of Redis and its clients look at, and nothing else here does.

mod common;

use common::{Harness, Replicated, show};
use quiver_engine::Session;
use quiver_resp::OwnedArgv;

/// Runs a line of words between spaces as another client of the harness' engine.
fn run_as(harness: &mut Harness, session: &mut Session, line: &str) -> Vec<u8> {
    let argv = OwnedArgv::from_slices(&line.split(' ').collect::<Vec<_>>());
    let mut out = Vec::new();
    harness.engine.run_one(&mut harness.worker, session, argv.as_argv(), &mut out, harness.now_ms);
    out
}

fn client(harness: &Harness) -> Session {
    let shared = harness.engine.connect("other:1".to_owned(), "other:2".to_owned(), harness.now_ms);
    Session::new(shared.expect("there is room"), true)
}

#[test]
fn scan_deletes_what_it_meets_behind_its_time_and_says_so_to_the_stream() {
    let mut pair = Replicated::new();
    for line in ["SET live 1", "SET over 1 PX 10", "HSET hash f v", "PEXPIRE hash 10"] {
        pair.run(line);
    }
    pair.primary.now_ms += 11;
    assert!(pair.run("SCAN 0 TYPE string COUNT 1000").contains("'live'"));
    assert_eq!(pair.last, [vec![b"DEL".to_vec(), b"over".to_vec()]], "the hash is not of the type asked for");
    pair.run("SCAN 0 COUNT 1000");
    assert_eq!(pair.last, [vec![b"DEL".to_vec(), b"hash".to_vec()]]);
}

#[test]
fn a_waiting_command_is_refused_when_its_user_lost_the_key_meanwhile() {
    let mut harness = Harness::new();
    harness.expect(&[("ACL SETUSER u on nopass +@all ~*", "+OK")]);
    let mut waiting = client(&harness);
    assert_eq!(show(&run_as(&mut harness, &mut waiting, "AUTH u x")), "+OK");
    assert!(run_as(&mut harness, &mut waiting, "BLPOP l 0").is_empty());
    harness.expect(&[("ACL SETUSER u resetkeys ~other", "+OK"), ("RPUSH l a", ":1"), ("LLEN l", ":1")]);
    let mut out = Vec::new();
    assert!(harness.engine.end_wait(&mut waiting, &mut out, harness.now_ms));
    assert_eq!(show(&out), "-NOPERM No permissions to access a key");
}

#[test]
fn a_wait_that_ends_unserved_counts_as_a_call_when_it_ends() {
    let mut harness = Harness::new();
    let mut waiting = client(&harness);
    run_as(&mut harness, &mut waiting, "BLPOP l 0");
    let id = waiting.shared.id;
    let stats = |harness: &mut Harness| harness.run("INFO commandstats");
    assert!(!stats(&mut harness).contains("cmdstat_blpop"));
    assert_eq!(harness.run(&format!("CLIENT UNBLOCK {id} ERROR")), ":1");
    assert!(stats(&mut harness).contains("cmdstat_blpop:calls=1,"), "{}", stats(&mut harness));
    assert!(harness.run("INFO errorstats").contains("errorstat_UNBLOCKED:count=1"));
}

#[test]
fn keys_over_their_time_are_no_news_to_a_watcher_when_databases_are_swapped() {
    let mut harness = Harness::new();
    harness.expect(&[("SELECT 1", "+OK"), ("SET k v PX 10", "+OK"), ("SELECT 0", "+OK")]);
    harness.now_ms += 11;
    harness.expect(&[
        ("WATCH k", "+OK"),
        ("SWAPDB 0 1", "+OK"),
        ("MULTI", "+OK"),
        ("PING", "+QUEUED"),
        ("EXEC", "*1[+PONG]"),
    ]);
}

#[test]
fn client_names_hide_what_stands_behind_a_nul_and_keep_it() {
    let mut harness = Harness::new();
    assert_eq!(show(&harness.run_words(&[&b"CLIENT"[..], b"SETNAME", b"a\0\xff"])), "+OK");
    assert_eq!(harness.run_words(&["CLIENT", "GETNAME"]), b"$3\r\na\0\xff\r\n");
    assert!(harness.run("CLIENT INFO").contains(" name=a age="));
    assert!(show(&harness.run_words(&[&b"CLIENT"[..], b"SETNAME", b"a\xff"])).starts_with("-ERR Client names"));
}

#[test]
fn keys_of_a_bitfield_that_only_reads_need_no_right_to_write() {
    let mut harness = Harness::new();
    harness.expect(&[
        ("ACL SETUSER u on nopass +@all %R~r", "+OK"),
        ("ACL DRYRUN u BITFIELD r GET u8 0 OVERFLOW WRAP GET u4 1", "+OK"),
        ("ACL DRYRUN u BITFIELD r GET u8 0 SET u8 0 1", "'User u has no permissions to access the 'r' key'"),
        ("ACL DRYRUN u MIGRATE host 1 '' 0 1 KEYS r", "'User u has no permissions to access the 'r' key'"),
        ("ACL SETUSER w on nopass +@all ~r", "+OK"),
        ("ACL DRYRUN w MIGRATE host 1 '' 0 1 KEYS r", "+OK"),
    ]);
}

#[test]
fn nothing_matches_behind_a_thousand_stars() {
    let mut harness = Harness::new();
    let key = "a".repeat(3000);
    assert_eq!(show(&harness.run_words(&["SET", &key, "1"])), "+OK");
    assert_eq!(show(&harness.run_words(&["KEYS", &"*?".repeat(1000)])), format!("*1['{key}']"));
    assert_eq!(show(&harness.run_words(&["KEYS", &"*?".repeat(1001)])), "*0[]");
}

#[test]
fn a_write_of_fields_to_a_key_that_is_not_there_is_no_miss() {
    let mut harness = Harness::new();
    harness.run("HSETEX h EX 100 FIELDS 1 f v");
    assert!(harness.run("INFO stats").contains("keyspace_misses:0"));
    harness.run("HGET missing f");
    assert!(harness.run("INFO stats").contains("keyspace_misses:1"));
}
