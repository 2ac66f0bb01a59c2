//! Handing the part of the primary over, and what replicas are for: FAILOVER, `min-replicas-to-write`, CLIENT LIST.

use std::time::Duration;

use quiver_resp::Value;
use quiver_testkit::Server;

use crate::support::{caught_up, connect, error, eventually, fill, fingerprint, follow, info, number, run, start};

fn pair() -> (Server, Server) {
    let (primary, replica) = (start(&[]), start(&[]));
    follow(&replica, &primary);
    (primary, replica)
}

#[test]
fn a_failover_exchanges_the_parts_without_a_snapshot_and_loses_nothing() {
    let (primary, replica) = pair();
    let (mut on_primary, mut on_replica) = (connect(&primary), connect(&replica));
    fill(&mut on_primary);
    let old = info(&mut on_primary, "master_replid");
    run(&mut on_primary, &format!("FAILOVER TO 127.0.0.1 {} TIMEOUT 10000", replica.addr().port()));
    eventually("the new primary", || info(&mut on_replica, "role") == "master");
    eventually("the old one", || info(&mut on_primary, "master_link_status") == "up");
    assert_eq!(info(&mut on_primary, "role"), "slave");
    assert_eq!(info(&mut on_primary, "master_failover_state"), "no-failover");
    assert_eq!(info(&mut on_replica, "master_replid2"), old);
    assert_eq!(number(&mut on_replica, "sync_partial_ok"), 1);
    assert_eq!(number(&mut on_replica, "sync_full"), 0);
    assert!(error(&mut on_primary, "SET a 1").starts_with("READONLY"));
    run(&mut on_replica, "SET a 1");
    caught_up(&mut on_replica, &mut on_primary);
    assert_eq!(fingerprint(&mut on_primary), fingerprint(&mut on_replica));
}

#[test]
fn writes_wait_for_the_end_of_a_failover_and_a_failover_can_be_taken_back() {
    let (primary, replica) = pair();
    let (mut on_primary, mut writer) = (connect(&primary), connect(&primary));
    run(&mut on_primary, "SET a 1");
    // A replica that cannot run acknowledges nothing.
    let stop = |signal: &str| std::process::Command::new("kill").args([signal, &replica.pid().to_string()]).status();
    assert!(stop("-STOP").expect("kill is installed").success());
    run(&mut on_primary, "INCR a");
    run(&mut on_primary, "FAILOVER");
    assert_eq!(info(&mut on_primary, "master_failover_state"), "waiting-for-sync");
    assert_eq!(error(&mut on_primary, "FAILOVER"), "ERR FAILOVER already in progress.");
    assert_eq!(error(&mut on_primary, "REPLICAOF NO ONE"), "ERR REPLICAOF not allowed while failing over.");
    writer.send(&["INCR", "a"]).expect("it listens");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(run(&mut on_primary, "GET a"), Value::Bulk(b"2".to_vec()), "reads go on, the write waits");
    run(&mut on_primary, "FAILOVER ABORT");
    assert_eq!(writer.receive().expect("a reply").value, Value::Integer(3));
    assert_eq!(info(&mut on_primary, "master_failover_state"), "no-failover");
    assert_eq!(error(&mut on_primary, "FAILOVER ABORT"), "ERR No failover in progress.");

    // Nobody catches up in time either.
    run(&mut on_primary, "FAILOVER TIMEOUT 200");
    eventually("its end", || info(&mut on_primary, "master_failover_state") == "no-failover");
    assert_eq!(info(&mut on_primary, "role"), "master");
    assert!(stop("-CONT").expect("kill is installed").success());
    caught_up(&mut on_primary, &mut connect(&replica));
}

#[test]
fn failovers_that_cannot_be_are_refused_in_redis_words() {
    let alone = start(&[]);
    let mut on_alone = connect(&alone);
    for (line, text) in [
        ("FAILOVER", "ERR FAILOVER requires connected replicas."),
        ("FAILOVER ABORT", "ERR No failover in progress."),
        ("FAILOVER TIMEOUT 0", "ERR FAILOVER timeout must be greater than 0"),
        ("FAILOVER TIMEOUT x", "ERR value is not an integer or out of range"),
        ("FAILOVER TO a", "ERR syntax error"),
        ("FAILOVER ABORT NOW", "ERR syntax error"),
        ("PSYNC a 1 FAILOVER", "ERR PSYNC FAILOVER can't be sent to a master."),
    ] {
        assert_eq!(error(&mut on_alone, line), text, "{line}");
    }
    let (primary, replica) = pair();
    let (mut on_primary, mut on_replica) = (connect(&primary), connect(&replica));
    assert_eq!(
        error(&mut on_primary, "FAILOVER TO 127.0.0.1 1"),
        "ERR FAILOVER target HOST and PORT is not a replica."
    );
    assert_eq!(
        error(&mut on_primary, "FAILOVER FORCE"),
        "ERR FAILOVER with force option requires both a timeout and target HOST and IP."
    );
    assert_eq!(error(&mut on_replica, "FAILOVER"), "ERR FAILOVER is not valid when server is a replica.");
    assert_eq!(
        error(&mut on_replica, &format!("PSYNC {} 1 FAILOVER", "0".repeat(40))),
        "ERR PSYNC FAILOVER replid must match my replid."
    );
}

#[test]
fn a_forced_failover_that_nobody_answers_can_be_taken_back() {
    let (primary, mut replica) = pair();
    let mut on_primary = connect(&primary);
    let stop = std::process::Command::new("kill").args(["-STOP", &replica.pid().to_string()]).status();
    assert!(stop.expect("kill is installed").success());
    run(&mut on_primary, "SET a 1");
    run(&mut on_primary, &format!("FAILOVER TO 127.0.0.1 {} FORCE TIMEOUT 100", replica.addr().port()));
    eventually("the change", || info(&mut on_primary, "master_failover_state") == "failover-in-progress");
    assert_eq!(info(&mut on_primary, "role"), "slave");
    replica.kill().expect("it runs");
    run(&mut on_primary, "FAILOVER ABORT");
    assert_eq!(info(&mut on_primary, "role"), "master");
    assert_eq!(info(&mut on_primary, "master_failover_state"), "no-failover");
    run(&mut on_primary, "SET a 2");
}

#[test]
fn writes_are_refused_while_too_few_replicas_keep_up() {
    let primary = start(&["--min-replicas-to-write", "1"]);
    let mut on_primary = connect(&primary);
    eventually("the first look", || {
        matches!(crate::support::ask(&mut on_primary, "SET a 1"), Value::Error(text)
            if text == b"NOREPLICAS Not enough good replicas to write.")
    });
    assert!(run(&mut on_primary, "GET a").is_null());
    assert_eq!(number(&mut on_primary, "min_slaves_good_slaves"), 0);
    let replica = start(&[]);
    follow(&replica, &primary);
    eventually("a good replica", || !matches!(crate::support::ask(&mut on_primary, "SET a 1"), Value::Error(_)));
    assert_eq!(number(&mut on_primary, "min_slaves_good_slaves"), 1);
}

#[test]
fn links_are_clients_that_can_be_listed_and_killed() {
    let (primary, replica) = pair();
    let (mut on_primary, mut on_replica) = (connect(&primary), connect(&replica));
    let listed = |reply: Value| reply.as_str().expect("text").to_owned();
    assert!(listed(run(&mut on_primary, "CLIENT LIST TYPE replica")).contains("flags=S "));
    assert!(listed(run(&mut on_replica, "CLIENT LIST TYPE master")).contains("flags=M "));
    assert_eq!(number(&mut on_primary, "connected_clients"), 1, "replicas are counted by themselves");
    assert_eq!(run(&mut on_replica, "CLIENT KILL TYPE master"), Value::Integer(1));
    run(&mut on_primary, "SET a 1");
    eventually("a new link", || !run(&mut on_replica, "GET a").is_null());
    caught_up(&mut on_primary, &mut on_replica);
    assert_eq!(number(&mut on_primary, "sync_full"), 1);
}

#[test]
fn messages_of_channels_go_through_the_stream() {
    let (primary, replica) = pair();
    let mut subscriber = connect(&replica);
    run(&mut subscriber, "SUBSCRIBE news");
    run(&mut connect(&primary), "PUBLISH news hello");
    let message = subscriber.receive().expect("a message").value;
    assert_eq!(message.as_array().expect("an array")[2], Value::Bulk(b"hello".to_vec()));
}

#[test]
fn a_transaction_is_on_the_replica_as_a_whole_or_not_at_all() {
    let (primary, replica) = pair();
    let (mut on_primary, mut on_replica) = (connect(&primary), connect(&replica));
    for round in 0..200 {
        run(&mut on_primary, "MULTI");
        run(&mut on_primary, &format!("SET left {round}"));
        run(&mut on_primary, &format!("SET right {round}"));
        run(&mut on_primary, "EXEC");
        let seen = run(&mut on_replica, "MGET left right");
        let seen = seen.as_array().expect("an array");
        assert_eq!(seen[0], seen[1]);
    }
    caught_up(&mut on_primary, &mut on_replica);
}
