//! Connections: those that do not read, leave early, are too many, may not come in, or are in a transaction.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use quiver_resp::Value;

use crate::support::{ask, connect, error, eventually, number, run, start};

#[test]
fn a_client_that_never_reads_costs_little_and_can_be_killed() {
    let server = start(&[]);
    let mut connection = connect(&server);
    connection.call(&[&b"SET"[..], b"large", &[b'x'; 100_000]]).expect("OK");
    let before = number(&mut connection, "used_memory");
    let mut silent = Vec::new();
    for _ in 0..5 {
        let mut stream = TcpStream::connect(server.addr()).expect("the server accepts");
        stream.set_write_timeout(Some(Duration::from_millis(100))).expect("a time that is not zero");
        // 200 MB of replies; the write itself may time out because the server has stopped reading.
        let _ = stream.write_all(&b"GET large\r\n".repeat(2_000));
        silent.push(stream);
    }
    std::thread::sleep(Duration::from_millis(300));
    run(&mut connection, "SET other 1");
    let grown = number(&mut connection, "used_memory") - before;
    assert!(grown < 16 << 20, "{grown} bytes for 5 clients that do not read");
    assert_eq!(run(&mut connection, "CLIENT KILL TYPE normal"), Value::Integer(5));
    eventually("killed clients to be gone although they do not read", || {
        number(&mut connection, "connected_clients") == 1
    });
}

#[test]
fn a_stranger_that_never_reads_its_refusals_costs_little() {
    let server = start(&["--requirepass", "secret"]);
    let mut connection = connect(&server);
    run(&mut connection, "AUTH secret");
    let before = number(&mut connection, "used_memory");
    let mut stream = TcpStream::connect(server.addr()).expect("the server accepts");
    stream.set_write_timeout(Some(Duration::from_millis(100))).expect("a time that is not zero");
    for _ in 0..100 {
        if stream.write_all(&b"GET a\r\n".repeat(10_000)).is_err() {
            break;
        }
    }
    let grown = number(&mut connection, "used_memory") - before;
    assert!(grown < 4 << 20, "{grown} bytes");
}

#[test]
fn clients_that_leave_in_the_middle_of_a_command_leave_nothing_behind() {
    let server = start(&[]);
    let mut connection = connect(&server);
    for length in 1..100 {
        let command = format!("*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$60\r\n{}\r\n", "x".repeat(60));
        let mut leaving = connect(&server);
        leaving.send_raw(&command.as_bytes()[..length.min(command.len() - 3)]).expect("the server reads");
    }
    eventually("all clients to be gone", || number(&mut connection, "connected_clients") == 1);
    assert_eq!(run(&mut connection, "EXISTS half"), Value::Integer(0));
}

#[test]
fn a_thousand_connections_come_and_go() {
    let server = start(&[]);
    let mut connection = connect(&server);
    let before = number(&mut connection, "used_memory");
    for _ in 0..5 {
        let mut open: Vec<_> = (0..200).map(|_| connect(&server)).collect();
        for client in &mut open {
            run(client, "PING");
        }
        assert_eq!(number(&mut connection, "connected_clients"), 201);
        drop(open);
        eventually("the connections to be closed", || number(&mut connection, "connected_clients") == 1);
    }
    assert!(number(&mut connection, "used_memory") - before < 4 << 20);
}

#[test]
fn connections_beyond_maxclients_are_told_so() {
    let server = start(&["--maxclients", "2"]);
    // The connection that waited for the start may still be open for a moment.
    let mut first = connect(&server);
    eventually("the first connection to be the only one", || {
        ask(&mut first, "PING").is_error() || number(&mut first, "connected_clients") == 1
    });
    let mut second = connect(&server);
    run(&mut second, "PING");
    let refused = connect(&server).receive_to_end().expect("the server closes");
    assert_eq!(refused, b"-ERR max number of clients reached\r\n");
    drop(second);
    eventually("a place to be free", || connect(&server).call(&["PING"]).is_ok_and(|reply| !reply.value.is_error()));
}

#[test]
fn without_the_password_nothing_runs_and_little_may_be_sent() {
    let server = start(&["--requirepass", "secret"]);
    let mut connection = connect(&server);
    assert_eq!(error(&mut connection, "SET a 1"), "NOAUTH Authentication required.");
    assert_eq!(error(&mut connection, "CONFIG GET requirepass"), "NOAUTH Authentication required.");
    assert!(error(&mut connection, "AUTH wrong").starts_with("WRONGPASS "));
    for (bytes, reply) in [
        (&b"*11\r\n"[..], &b"-ERR Protocol error: unauthenticated multibulk length\r\n"[..]),
        (b"*2\r\n$4\r\nECHO\r\n$16385\r\n", b"-ERR Protocol error: unauthenticated bulk length\r\n"),
    ] {
        let mut stranger = connect(&server);
        stranger.send_raw(bytes).expect("the server reads");
        assert_eq!(stranger.receive_to_end().expect("the server closes"), reply);
    }
    // An AUTH lifts the limits for what comes behind it in the same pipeline.
    connection.send_raw(b"AUTH secret\r\n*12\r\n$5\r\nTOUCH\r\n").expect("the server reads");
    connection.send_raw(&b"$1\r\na\r\n".repeat(11)).expect("the server reads");
    assert_eq!(connection.receive().expect("a reply").value, Value::Simple(b"OK".to_vec()));
    assert_eq!(connection.receive().expect("a reply").value, Value::Integer(0));
}

#[test]
fn client_kill_ends_others_at_once_and_oneself_after_the_reply() {
    let server = start(&[]);
    let (mut one, mut other) = (connect(&server), connect(&server));
    let id = run(&mut other, "CLIENT ID").as_i64().expect("a number");
    assert_eq!(run(&mut one, &format!("CLIENT KILL ID {id}")), Value::Integer(1));
    assert_eq!(other.receive_to_end().expect("the server closes"), b"");
    assert_eq!(error(&mut one, "CLIENT KILL 1.2.3.4:5"), "ERR No such client");
    let me = run(&mut one, "CLIENT ID").as_i64().expect("a number");
    one.send_raw(format!("CLIENT KILL ID {me} SKIPME no\r\nSET never 1\r\n").as_bytes()).expect("the server reads");
    assert_eq!(one.receive_to_end().expect("the server closes"), b":1\r\n");
    assert_eq!(run(&mut connect(&server), "EXISTS never"), Value::Integer(0));
}

#[test]
fn client_reply_turns_replies_off_and_skips_one() {
    let server = start(&[]);
    let mut connection = connect(&server);
    connection.send_raw(b"CLIENT REPLY SKIP\r\nECHO a\r\nECHO b\r\n").expect("the server reads");
    assert_eq!(connection.receive().expect("a reply").value, Value::Bulk(b"b".to_vec()));
    connection
        .send_raw(b"CLIENT REPLY OFF\r\nECHO c\r\nnonsense\r\nSET k v\r\nCLIENT REPLY ON\r\nGET k\r\n")
        .expect("sent");
    assert_eq!(connection.receive().expect("a reply").value, Value::Simple(b"OK".to_vec()));
    assert_eq!(connection.receive().expect("a reply").value, Value::Bulk(b"v".to_vec()));
}

#[test]
fn a_transaction_with_a_mistake_in_its_queue_is_discarded() {
    let server = start(&[]);
    let mut connection = connect(&server);
    for mistake in ["nonsense", "GET", "GET a b c", "MULTI x"] {
        run(&mut connection, "MULTI");
        run(&mut connection, "SET a 1");
        error(&mut connection, mistake);
        let text = error(&mut connection, "EXEC");
        assert_eq!(text, "EXECABORT Transaction discarded because of previous errors.", "{mistake}");
        assert_eq!(run(&mut connection, "EXISTS a"), Value::Integer(0));
    }
}

#[test]
fn exec_with_arguments_discards_the_transaction() {
    let server = start(&[]);
    let (mut connection, mut other) = (connect(&server), connect(&server));
    let text = "EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command";
    run(&mut connection, "WATCH w");
    run(&mut connection, "MULTI");
    run(&mut connection, "SET a 1");
    assert_eq!(error(&mut connection, "EXEC now"), text);
    assert_eq!(error(&mut connection, "EXEC"), "ERR EXEC without MULTI");
    assert_eq!(error(&mut connection, "EXEC now"), text, "outside of a transaction as well");
    // The watch is gone with it.
    run(&mut other, "SET w 1");
    run(&mut connection, "MULTI");
    run(&mut connection, "EXISTS a");
    assert_eq!(run(&mut connection, "EXEC"), Value::Array(vec![Value::Integer(0)]));
}

#[test]
fn an_error_inside_exec_does_not_stop_the_commands_behind_it() {
    let server = start(&[]);
    let mut connection = connect(&server);
    for line in ["SET text abc", "MULTI", "INCR text", "SET behind 1"] {
        run(&mut connection, line);
    }
    let Value::Array(replies) = run(&mut connection, "EXEC") else { panic!("EXEC gives an array") };
    assert!(replies[0].is_error() && replies[1] == Value::Simple(b"OK".to_vec()), "{replies:?}");
    assert_eq!(run(&mut connection, "GET behind"), Value::Bulk(b"1".to_vec()));
}

#[test]
fn a_changed_watched_key_or_a_lost_connection_leaves_the_transaction_undone() {
    let server = start(&[]);
    let (mut connection, mut other) = (connect(&server), connect(&server));
    for line in ["WATCH k", "MULTI", "SET k mine"] {
        run(&mut connection, line);
    }
    run(&mut other, "SET k theirs");
    assert!(run(&mut connection, "EXEC").is_null());
    run(&mut connection, "MULTI");
    run(&mut connection, "SET k mine");
    drop(connection);
    eventually("the connection to be closed", || number(&mut other, "connected_clients") == 1);
    assert_eq!(run(&mut other, "GET k"), Value::Bulk(b"theirs".to_vec()));
}
