//! Commands that wait, over real connections.

use std::time::{Duration, Instant};

use quiver_resp::Value;
use quiver_testkit::{Connection, Server};

use crate::support::{connect, error, eventually, number, run, start};

/// Sends a command and does not wait for its reply.
fn send(connection: &mut Connection, line: &str) {
    connection.send(&line.split(' ').collect::<Vec<_>>()).expect("the server reads");
}

fn blocked(connection: &mut Connection, count: i64) {
    eventually("the clients to wait", || number(connection, "blocked_clients") == count);
}

fn bulk(text: &str) -> Value {
    Value::Bulk(text.as_bytes().to_vec())
}

fn pair(server: &Server) -> (Connection, Connection) {
    (connect(server), connect(server))
}

#[test]
fn a_waiting_client_is_served_and_goes_on_with_its_pipeline() {
    let server = start(&[]);
    let (mut connection, mut waiting) = pair(&server);
    send(&mut waiting, "BLPOP l 0");
    send(&mut waiting, "LLEN l");
    send(&mut waiting, "BLPOP l 0");
    send(&mut waiting, "PING");
    blocked(&mut connection, 1);
    run(&mut connection, "RPUSH l a b c");
    for expected in [
        Value::Array(vec![bulk("l"), bulk("a")]),
        Value::Integer(2),
        Value::Array(vec![bulk("l"), bulk("b")]),
        Value::Simple(b"PONG".to_vec()),
    ] {
        assert_eq!(waiting.receive().expect("a reply").value, expected);
    }
    blocked(&mut connection, 0);
}

#[test]
fn time_ends_a_wait() {
    let server = start(&[]);
    let mut connection = connect(&server);
    let started = Instant::now();
    assert_eq!(run(&mut connection, "BLPOP l 0.15"), Value::NullArray);
    assert!(started.elapsed() >= Duration::from_millis(150), "{:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(run(&mut connection, "PING"), Value::Simple(b"PONG".to_vec()));
}

#[test]
fn clients_that_leave_or_are_killed_while_they_wait_leave_nothing_behind() {
    let server = start(&[]);
    let mut connection = connect(&server);
    let mut waiting: Vec<_> = (0..20).map(|_| connect(&server)).collect();
    waiting.iter_mut().for_each(|client| send(client, "BRPOP l m 0"));
    blocked(&mut connection, 20);
    waiting.truncate(10);
    blocked(&mut connection, 10);
    assert_eq!(run(&mut connection, "CLIENT KILL TYPE normal"), Value::Integer(10));
    blocked(&mut connection, 0);
    assert_eq!(number(&mut connection, "total_blocking_keys"), 0);
    run(&mut connection, "RPUSH l a");
    assert_eq!(run(&mut connection, "LLEN l"), Value::Integer(1));
}

#[test]
fn many_producers_and_waiting_consumers_lose_nothing() {
    const EACH: usize = 500;
    let server = start(&["--io-threads", "4"]);
    std::thread::scope(|scope| {
        let consumers: Vec<_> = (0..4)
            .map(|n| {
                let server = &server;
                scope.spawn(move || {
                    let mut connection = connect(server);
                    let mut taken = Vec::new();
                    loop {
                        let reply = run(&mut connection, &format!("BLPOP q{} q{} 0", n % 3, (n + 1) % 3));
                        let element = reply.as_array().expect("key and element")[1].as_str().expect("text").to_owned();
                        if element == "end" {
                            return taken;
                        }
                        taken.push(element);
                    }
                })
            })
            .collect();
        let producers: Vec<_> = (0..3)
            .map(|n| {
                let server = &server;
                scope.spawn(move || {
                    let mut connection = connect(server);
                    (0..EACH).for_each(|i| drop(run(&mut connection, &format!("RPUSH q{n} {n}:{i}"))));
                })
            })
            .collect();
        producers.into_iter().for_each(|producer| producer.join().expect("a producer ends"));
        let mut connection = connect(&server);
        let mut lens = || (0..3).map(|n| run(&mut connection, &format!("LLEN q{n}"))).collect::<Vec<_>>();
        eventually("everything to be consumed", || lens().iter().all(|len| *len == Value::Integer(0)));
        let mut connection = connect(&server);
        blocked(&mut connection, 4);
        // Each consumer waits for two keys, one of which it shares; whoever is left is on a key that gets one more.
        for n in 0..3 {
            run(&mut connection, &format!("RPUSH q{n} end end end end"));
        }
        let mut all: Vec<String> = consumers.into_iter().flat_map(|c| c.join().expect("a consumer ends")).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 3 * EACH);
    });
}

#[test]
fn commands_are_held_back_while_the_server_is_paused() {
    let server = start(&[]);
    let (mut connection, mut writer) = pair(&server);
    run(&mut connection, "CLIENT PAUSE 60000 WRITE");
    assert_eq!(run(&mut writer, "GET k"), Value::Null);
    send(&mut writer, "SET k v");
    send(&mut writer, "GET k");
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(run(&mut connection, "GET k"), Value::Null);
    run(&mut connection, "CLIENT UNPAUSE");
    assert_eq!(writer.receive().expect("a reply").value, Value::Simple(b"OK".to_vec()));
    assert_eq!(writer.receive().expect("a reply").value, bulk("v"));
    run(&mut connection, "CLIENT PAUSE 100 ALL");
    let started = Instant::now();
    run(&mut connection, "PING");
    assert!(started.elapsed() >= Duration::from_millis(90), "{:?}", started.elapsed());
}

#[test]
fn a_write_is_acknowledged_by_the_replica() {
    let primary = start(&[]);
    let replica = start(&["--replicaof", "127.0.0.1", &primary.addr().port().to_string()]);
    let (mut connection, mut other) = (connect(&primary), connect(&replica));
    eventually("the replica to be in sync", || number(&mut connection, "connected_slaves") == 1);
    eventually("the replica to be up to date", || {
        run(&mut connection, "SET k v");
        run(&mut connection, "WAIT 1 1000") == Value::Integer(1)
    });
    let started = Instant::now();
    run(&mut connection, "SET k w");
    assert_eq!(run(&mut connection, "WAIT 1 10000"), Value::Integer(1));
    assert!(started.elapsed() < Duration::from_millis(900), "asked for, not waited for: {:?}", started.elapsed());
    assert_eq!(run(&mut other, "GET k"), bulk("w"));
    assert_eq!(run(&mut connection, "WAIT 2 50"), Value::Integer(1));
    assert!(error(&mut other, "WAIT 1 0").starts_with("ERR WAIT cannot be used with replica instances."));
}

#[test]
fn a_server_that_becomes_a_replica_sends_its_waiting_clients_away() {
    let server = start(&[]);
    let (mut connection, mut waiting) = pair(&server);
    send(&mut waiting, "BLPOP l 0");
    blocked(&mut connection, 1);
    run(&mut connection, "REPLICAOF 127.0.0.1 1");
    let reply = waiting.receive().expect("a reply").value;
    assert!(matches!(&reply, Value::Error(text) if text.starts_with(b"UNBLOCKED force unblock")), "{reply:?}");
    assert!(error(&mut waiting, "BLPOP l 0").starts_with("READONLY"));
}
