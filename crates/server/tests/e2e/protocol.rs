//! Bytes as no honest client sends them, and as honest clients send them on bad networks.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use quiver_resp::Value;
use quiver_testkit::Server;

use crate::support::{ask, connect, error, eventually, info, number, run, start};

/// What the server answers to bytes sent in two pieces, until it closes.
fn answer(server: &Server, bytes: &[u8], split: usize) -> Vec<u8> {
    let mut connection = connect(server);
    connection.send_raw(&bytes[..split]).expect("the server reads");
    if split > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    // The server may have closed already, on account of the first piece.
    let _ = connection.send_raw(&bytes[split..]);
    let _ = connection.end_sending();
    connection.receive_to_end().expect("the server closes")
}

#[test]
fn a_pipeline_split_anywhere_is_answered_the_same() {
    let server = start(&[]);
    let bytes = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$12\r\nab\r\ncd\r\n*9\r\n\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\nECHO \"a b\\x41\"\r\n";
    for split in 0..bytes.len() {
        assert_eq!(
            answer(&server, bytes, split),
            b"+OK\r\n$12\r\nab\r\ncd\r\n*9\r\n\r\n$4\r\na bA\r\n",
            "split at {split}"
        );
    }
}

#[test]
fn malformed_requests_end_the_connection_wherever_they_are_split() {
    let server = start(&[]);
    let cases: [(&[u8], &[u8]); 8] = [
        (b"*x\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
        (b"*99999999999\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
        (b"*1\r\n$-1\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
        (b"*1\r\n$536870913\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
        (b"*1\r\n:4\r\n", b"-ERR Protocol error: expected '$', got ':'\r\n"),
        (b"PING \"a\r\n", b"-ERR Protocol error: unbalanced quotes in request\r\n"),
        (b"PING\r\n*1\r\n$x\r\n", b"+PONG\r\n-ERR Protocol error: invalid bulk length\r\n"),
        (b"*-3\r\n*0\r\n\r\nPING\r\n", b"+PONG\r\n"),
    ];
    for (bytes, reply) in cases {
        for split in 0..bytes.len() {
            let found = answer(&server, bytes, split);
            assert_eq!(found.escape_ascii().to_string(), reply.escape_ascii().to_string(), "split at {split}");
        }
    }
}

#[test]
fn an_inline_command_beyond_64_kib_ends_the_connection() {
    let server = start(&[]);
    let reply = answer(&server, &[b'A'; 70_000], 0);
    assert_eq!(reply, b"-ERR Protocol error: too big inline request\r\n");
}

#[test]
fn claimed_lengths_cost_no_memory() {
    let server = start(&[]);
    let mut connection = connect(&server);
    let before = number(&mut connection, "used_memory");
    let claims: [&[u8]; 3] = [
        b"*1000000\r\n$536870912\r\n",
        b"*2147483647\r\n$1\r\na\r\n",
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nabc",
    ];
    let mut open = Vec::new();
    for claim in claims.iter().cycle().take(60) {
        let mut claimant = connect(&server);
        claimant.send_raw(claim).expect("the server reads");
        open.push(claimant);
    }
    eventually("all claims to be read", || number(&mut connection, "connected_clients") == 61);
    std::thread::sleep(Duration::from_millis(50));
    let grown = number(&mut connection, "used_memory") - before;
    assert!(grown < 8 << 20, "{grown} bytes for 60 connections that sent 1 KiB together");
}

#[test]
fn http_requests_are_closed_before_any_of_their_lines_runs() {
    let server = start(&[]);
    assert_eq!(answer(&server, b"POST / HTTP/1.1\r\nSET forged 1\r\n", 0), b"");
    let get = b"GET / HTTP/1.1\r\nHost: localhost\r\nSET forged 1\r\n";
    let reply = answer(&server, get, 0);
    assert!(reply.starts_with(b"-ERR wrong number of arguments") && reply.iter().filter(|b| **b == b'\n').count() == 1);
    assert_eq!(run(&mut connect(&server), "EXISTS forged"), Value::Integer(0));
}

#[test]
fn replies_still_arrive_after_the_client_has_ended_its_side() {
    let server = start(&[]);
    let mut connection = connect(&server);
    connection.send_raw(&b"INCR n\r\n".repeat(5_000)).expect("the server reads");
    connection.end_sending().expect("the connection is open");
    let expected: String = (1..=5_000).map(|n| format!(":{n}\r\n")).collect();
    assert!(connection.receive_to_end().expect("the server closes") == expected.as_bytes());
}

#[test]
fn a_hundred_thousand_commands_in_one_write_are_all_answered_in_order() {
    let server = start(&[]);
    let mut stream = TcpStream::connect(server.addr()).expect("the server accepts");
    let mut sending = stream.try_clone().expect("a second handle");
    let writer = std::thread::spawn(move || sending.write_all(&b"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n".repeat(100_000)));
    let expected: String = (1..=100_000).map(|n| format!(":{n}\r\n")).collect();
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time that is not zero");
    let mut received = vec![0; expected.len()];
    stream.read_exact(&mut received).expect("every reply");
    assert!(received == expected.as_bytes());
    writer.join().expect("the writer does not panic").expect("the server reads everything");
}

#[test]
fn mistakes_in_commands_are_errors_and_change_nothing() {
    let server = start(&[]);
    let mut connection = connect(&server);
    run(&mut connection, "SET text abc");
    run(&mut connection, "HSET hash f abc");
    run(&mut connection, "VADD vectors VALUES 2 1 2 a");
    let before = run(&mut connection, "DEBUG DIGEST");
    for (line, text) in [
        ("GET", "ERR wrong number of arguments for 'get' command"),
        ("nonsense a b", "ERR unknown command 'nonsense', with args beginning with: 'a' 'b' "),
        ("CONFIG nonsense", "ERR unknown subcommand 'nonsense'. Try CONFIG HELP."),
        ("INCR text", "ERR value is not an integer or out of range"),
        ("INCRBYFLOAT text 1", "ERR value is not a valid float"),
        ("HINCRBY hash f 1", "ERR hash value is not an integer"),
        ("GET hash", "WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("HGET text f", "WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("VCARD text", "WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("GET vectors", "WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("SET a b EX 0", "ERR invalid expire time in 'set' command"),
        ("SET a b EX 9223372036854775807", "ERR invalid expire time in 'set' command"),
        ("SET a b NX XX", "ERR syntax error"),
        ("EXPIRE text 9223372036854775807", "ERR invalid expire time in 'expire' command"),
        ("SETRANGE text 536870912 x", "ERR string exceeds maximum allowed size (proto-max-bulk-len)"),
        ("SETRANGE text -1 x", "ERR offset is out of range"),
        ("SELECT 99", "ERR DB index is out of range"),
        ("INCRBY text 99999999999999999999", "ERR value is not an integer or out of range"),
    ] {
        assert_eq!(error(&mut connection, line), text, "{line}");
    }
    assert_eq!(run(&mut connection, "DEBUG DIGEST"), before);
}

#[test]
fn vectors_that_cannot_be_are_refused() {
    let server = start(&[]);
    let mut connection = connect(&server);
    run(&mut connection, "VADD vectors VALUES 2 1 2 a");
    let before = run(&mut connection, "DEBUG DIGEST");
    for line in [
        "VADD vectors VALUES 2 nan 1 b",
        "VADD vectors VALUES 2 inf 1 b",
        "VADD vectors VALUES 2 -inf 1 b",
        "VADD vectors VALUES 2 1e39 1 b",
        "VADD vectors VALUES 0 b",
        "VADD vectors VALUES -1 b",
        "VADD vectors VALUES 100000000 1 b",
        "VADD vectors VALUES 9223372036854775807 1 b",
        "VADD vectors VALUES 3 1 1 1 b",
        "VADD vectors FP32 abc b",
        "VADD vectors REDUCE 0 VALUES 2 1 1 b",
        "VADD vectors REDUCE 4294967295 VALUES 2 1 1 b",
        "VADD vectors VALUES 2 1 1 b M 0",
        "VADD vectors VALUES 2 1 1 b EF 99999999999",
        "VADD vectors VALUES 2 1 1 b SETATTR",
        "VSIM vectors ELE missing",
        "VSIM vectors VALUES 3 1 1 1",
        "VSIM vectors VALUES 2 nan 1",
        "VSIM vectors ELE a COUNT 0",
        "VSIM vectors ELE a COUNT -1",
        "VSIM vectors ELE a EF 0",
        "VRANDMEMBER vectors -9223372036854775807",
        "VRANDMEMBER vectors -9223372036854775808",
    ] {
        error(&mut connection, line);
    }
    assert_eq!(run(&mut connection, "DEBUG DIGEST"), before);
    for (line, reply) in [
        ("VEMB vectors missing", Value::Null),
        ("VREM vectors missing", Value::Integer(0)),
        ("VSIM vectors ELE a EF 99999999999", Value::Array(vec![Value::Bulk(b"a".to_vec())])),
        ("VSIM vectors ELE a COUNT 9223372036854775807", Value::Array(vec![Value::Bulk(b"a".to_vec())])),
        ("VSIM nothing VALUES 2 1 1", Value::Array(Vec::new())),
    ] {
        assert_eq!(ask(&mut connection, line), reply, "{line}");
    }
    run(&mut connection, "PING");
}

#[test]
fn times_as_late_as_there_can_be_do_not_disturb_info() {
    let server = start(&[]);
    let mut connection = connect(&server);
    for i in 0..40 {
        run(&mut connection, &format!("SET key:{i} v PXAT 9223372036854775806"));
    }
    assert!(info(&mut connection, "db0").starts_with("keys=40,expires=40,avg_ttl=922"));
}
