//! Messages to clients that did not ask at that moment: across threads, to slow readers, through replicas.

use std::time::Duration;

use quiver_resp::Value;
use quiver_testkit::{Connection, Server};

use crate::support::{connect, eventually, info, number, run, start};

/// The next reply or message as text between spaces.
fn next(connection: &mut Connection) -> String {
    text(&connection.receive().expect("a message").value)
}

fn text(value: &Value) -> String {
    match value {
        Value::Array(parts) | Value::Push(parts) => parts.iter().map(text).collect::<Vec<_>>().join(" "),
        Value::Integer(number) => number.to_string(),
        other => other.as_str().unwrap_or("nothing").to_owned(),
    }
}

/// Several threads, so that sender and receiver are on different ones.
fn start_with_threads() -> Server {
    start(&["--io-threads", "2"])
}

#[test]
fn a_message_wakes_subscribers_on_every_thread_and_keeps_its_order() {
    let server = start_with_threads();
    let mut listeners: Vec<_> = (0..4).map(|_| connect(&server)).collect();
    for listener in &mut listeners {
        assert_eq!(text(&run(listener, "SUBSCRIBE news")), "subscribe news 1");
    }
    let mut sender = connect(&server);
    for i in 0..500 {
        assert_eq!(run(&mut sender, &format!("PUBLISH news {i}")), Value::Integer(4));
    }
    for listener in &mut listeners {
        for i in 0..500 {
            assert_eq!(next(listener), format!("message news {i}"));
        }
    }
    drop(listeners);
    eventually("those who left to be forgotten", || run(&mut sender, "PUBLISH news x") == Value::Integer(0));
}

#[test]
fn replies_and_messages_share_a_connection_in_resp3() {
    let server = start_with_threads();
    let (mut one, mut other) = (connect(&server), connect(&server));
    run(&mut one, "HELLO 3");
    run(&mut one, "SUBSCRIBE a");
    one.send_raw(b"PUBLISH a 1\r\nPING\r\nPUBLISH a 2\r\n").expect("the server reads");
    let heard: Vec<String> = (0..5).map(|_| next(&mut one)).collect();
    assert_eq!(heard, ["1", "message a 1", "PONG", "1", "message a 2"]);
    run(&mut other, "PUBLISH a 3");
    assert_eq!(next(&mut one), "message a 3");
}

#[test]
fn a_subscriber_under_a_flood_still_has_its_commands_answered() {
    let server = start_with_threads();
    let mut listener = connect(&server);
    run(&mut listener, "SUBSCRIBE flood");
    let addr = server.addr();
    let sender = std::thread::spawn(move || {
        let mut sender = Connection::connect(addr).expect("the server accepts");
        for _ in 0..200 {
            sender.send_raw(&b"PUBLISH flood message\r\n".repeat(100)).expect("the server reads");
            (0..100).for_each(|_| drop(sender.receive().expect("a reply")));
        }
    });
    for _ in 0..20 {
        listener.send(&["PING"]).expect("the server reads");
        while next(&mut listener) != "pong " {}
    }
    sender.join().expect("all is sent");
}

#[test]
fn a_subscriber_that_does_not_read_is_closed_at_its_limit_and_others_are_not() {
    let server = start(&["--client-output-buffer-limit", "pubsub", "1mb", "0", "0"]);
    let (mut slow, mut good, mut sender) = (connect(&server), connect(&server), connect(&server));
    run(&mut slow, "SUBSCRIBE a");
    run(&mut good, "SUBSCRIBE a");
    let message = "x".repeat(100_000);
    for _ in 0..500 {
        let told = run(&mut sender, &format!("PUBLISH a {message}"));
        next(&mut good);
        if told == Value::Integer(1) {
            break;
        }
    }
    assert_eq!(run(&mut sender, "PUBSUB NUMSUB a").as_array().expect("an array")[1], Value::Integer(1));
    assert_eq!(info(&mut sender, "client_output_buffer_limit_disconnections"), "1");
    assert!(slow.receive_to_end().expect("the server closes").len() < 64 << 20);
}

#[test]
fn the_soft_limit_closes_a_subscriber_after_its_time() {
    let server = start(&["--client-output-buffer-limit", "pubsub", "0", "1mb", "1"]);
    let (mut slow, mut sender) = (connect(&server), connect(&server));
    run(&mut slow, "SUBSCRIBE a");
    let message = "x".repeat(1_000_000);
    // More than the buffers of the sockets take.
    for _ in 0..20 {
        run(&mut sender, &format!("PUBLISH a {message}"));
    }
    assert_eq!(number(&mut sender, "pubsub_clients"), 1);
    eventually("the subscriber to be closed", || number(&mut sender, "pubsub_clients") == 0);
}

#[test]
fn a_reply_beyond_the_limit_of_ordinary_clients_closes_the_client() {
    let server = start(&[]);
    let (mut one, mut other) = (connect(&server), connect(&server));
    run(&mut one, &format!("SET large {}", "x".repeat(200_000)));
    run(&mut one, "GET large");
    let limit = ["CONFIG", "SET", "client-output-buffer-limit", "normal 100000 0 0"];
    assert_eq!(other.call(&limit).expect("OK").value, Value::Simple(b"OK".to_vec()));
    one.send(&["GET", "large"]).expect("the server reads");
    assert_eq!(one.receive_to_end().expect("the server closes"), b"");
    assert_eq!(info(&mut other, "client_output_buffer_limit_disconnections"), "1");
}

#[test]
fn subscribers_of_a_replica_hear_what_is_published_at_its_primary() {
    let primary = start(&[]);
    let replica = start(&["--replicaof", "127.0.0.1", &primary.addr().port().to_string()]);
    let (mut sender, mut probe, mut listener) = (connect(&primary), connect(&replica), connect(&replica));
    eventually("the replica to be in step", || info(&mut probe, "master_link_status") == "up");
    run(&mut listener, "SUBSCRIBE a");
    assert_eq!(run(&mut sender, "PUBLISH a hello"), Value::Integer(0));
    assert_eq!(next(&mut listener), "message a hello");
}

#[test]
fn a_key_that_nobody_asks_for_says_that_it_expired() {
    let server = start(&["--notify-keyspace-events", "Ex"]);
    let (mut listener, mut writer) = (connect(&server), connect(&server));
    run(&mut listener, "SUBSCRIBE __keyevent@0__:expired");
    run(&mut writer, "SET short 1 PX 50");
    assert_eq!(next(&mut listener), "message __keyevent@0__:expired short");
}

#[test]
fn a_cached_key_is_forgotten_across_threads_before_anything_newer_is_read() {
    let server = start_with_threads();
    let (mut one, mut other) = (connect(&server), connect(&server));
    run(&mut one, "HELLO 3");
    run(&mut one, "CLIENT TRACKING ON");
    for i in 0..200 {
        run(&mut one, "GET k");
        run(&mut other, &format!("SET k {i}"));
        assert_eq!(next(&mut one), "invalidate k");
    }
}

#[test]
fn a_monitor_sees_the_commands_of_others_until_it_leaves() {
    let server = start_with_threads();
    let (mut monitor, mut other) = (connect(&server), connect(&server));
    run(&mut monitor, "MONITOR");
    run(&mut other, "SET k v");
    let line = next(&mut monitor);
    assert!(line.contains(" [0 127.0.0.1:") && line.ends_with("] \"SET\" \"k\" \"v\""), "{line}");
    drop(monitor);
    eventually("the monitor to be forgotten", || {
        !run(&mut other, "CLIENT LIST").as_str().expect("text").contains("flags=O")
    });
    std::thread::sleep(Duration::from_millis(20));
    run(&mut other, "SET k v");
}
