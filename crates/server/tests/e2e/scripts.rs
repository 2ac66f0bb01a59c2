//! Scripts on a real server: what other clients see of a long one, and how it is ended.

use std::time::{Duration, Instant};

use quiver_resp::Value;
use quiver_testkit::Connection;

use crate::support::{connect, error, eventually, info, number, run, start};

const BUSY: &str = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";

fn send_eval(connection: &mut Connection, script: &str) {
    connection.send(&["EVAL", script, "0"]).expect("the server reads");
}

fn received(connection: &mut Connection) -> Value {
    connection.receive().expect("a reply").value
}

/// One I/O thread, so that whoever runs the script in place would keep all clients waiting.
fn one_thread() -> quiver_testkit::Server {
    start(&["--io-threads", "1", "--busy-reply-threshold", "100"])
}

fn refused_as_busy(connection: &mut Connection) -> bool {
    matches!(connection.call(&["PING"]).expect("a reply").value, Value::Error(text) if text.starts_with(b"BUSY"))
}

#[test]
fn others_get_busy_and_can_kill_a_script() {
    let server = one_thread();
    let (mut running, mut other) = (connect(&server), connect(&server));
    send_eval(&mut running, "while true do pcall(function() while true do end end) end");
    eventually("the script to be noticed", || refused_as_busy(&mut other));
    assert_eq!(error(&mut other, "GET k"), BUSY);
    assert!(
        error(&mut other, "FUNCTION KILL").starts_with("BUSY") || error(&mut other, "FUNCTION KILL").starts_with("ERR")
    );
    let killed = Instant::now();
    run(&mut other, "SCRIPT KILL");
    let reply = received(&mut running);
    assert!(killed.elapsed() < Duration::from_millis(200), "{:?}", killed.elapsed());
    assert!(matches!(&reply, Value::Error(text) if text.starts_with(b"ERR Script killed by user")), "{reply:?}");
    run(&mut other, "SET k v");
    run(&mut running, "GET k");
}

#[test]
fn clients_that_need_no_key_are_served_while_a_script_runs_and_is_not_busy() {
    let server = start(&["--io-threads", "1"]);
    let (mut running, mut other) = (connect(&server), connect(&server));
    send_eval(&mut running, "while true do end");
    let begun = Instant::now();
    for _ in 0..20 {
        run(&mut other, "PING");
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    eventually("the script to be killed", || {
        !matches!(other.call(&["SCRIPT", "KILL"]).expect("a reply").value, Value::Error(_))
    });
    received(&mut running);
}

#[test]
fn a_script_that_was_short_until_now_leaves_the_thread_when_it_gets_long() {
    let server = one_thread();
    let (mut running, mut other) = (connect(&server), connect(&server));
    let script = "local n = 0 while n < tonumber(ARGV[1]) do n = n + 1 end return n";
    for _ in 0..5 {
        assert_eq!(running.call(&["EVAL", script, "0", "10"]).expect("a reply").value, Value::Integer(10));
    }
    running.send(&["EVAL", script, "0", "1e15"]).expect("the server reads");
    eventually("the script to be noticed", || refused_as_busy(&mut other));
    run(&mut other, "SCRIPT KILL");
    assert!(matches!(received(&mut running), Value::Error(_)));
}

#[test]
fn a_transaction_with_a_long_script_leaves_the_thread_too() {
    let server = one_thread();
    let (mut running, mut other) = (connect(&server), connect(&server));
    run(&mut running, "MULTI");
    running.call(&["EVAL", "while true do end", "0"]).expect("QUEUED");
    running.send(&["EXEC"]).expect("the server reads");
    eventually("the script to be noticed", || refused_as_busy(&mut other));
    run(&mut other, "SCRIPT KILL");
    assert!(matches!(received(&mut running), Value::Array(_)));
}

#[test]
fn second_scripts_are_told_to_wait_no_longer() {
    let server = one_thread();
    let (mut running, mut other) = (connect(&server), connect(&server));
    let mut third = connect(&server);
    send_eval(&mut running, "while true do end");
    send_eval(&mut third, "return 'third'");
    eventually("the script to be noticed", || refused_as_busy(&mut other));
    assert!(matches!(received(&mut third), Value::Error(text) if text.starts_with(b"BUSY")));
    run(&mut other, "SCRIPT KILL");
    received(&mut running);
}

#[test]
fn a_script_that_wrote_ends_with_the_server_only() {
    let mut server = one_thread();
    let (mut running, mut other) = (connect(&server), connect(&server));
    send_eval(&mut running, "redis.call('SET', 'k', 1) while true do end");
    eventually("the script to be noticed", || refused_as_busy(&mut other));
    assert!(error(&mut other, "SCRIPT KILL").starts_with("UNKILLABLE"));
    assert_eq!(error(&mut other, "SHUTDOWN"), BUSY);
    other.send(&["SHUTDOWN", "NOSAVE"]).expect("the server reads");
    server.wait().expect("the server ends");
}

#[test]
fn info_counts_scripts() {
    let server = start(&[]);
    let mut connection = connect(&server);
    run(&mut connection, "EVAL return(1) 0");
    assert_eq!(number(&mut connection, "number_of_cached_scripts"), 1);
    assert!(number(&mut connection, "used_memory_vm_eval") > 10_000);
    assert!(info(&mut connection, "cmdstat_eval").starts_with("calls=1,"));
    run(&mut connection, "SCRIPT FLUSH");
    assert_eq!(number(&mut connection, "number_of_cached_scripts"), 0);
}
