//! The client against a server that follows a script, so that silence, half replies and floods can be staged.

#![expect(clippy::unwrap_used, reason = "a test helper that fails should fail the test")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use quiver_client::{Batch, Blocking, Error, Options, Value};

/// Serves one connection with `script` on a port of its own.
fn serve<T: Send + 'static>(script: impl FnOnce(TcpStream) -> T + Send + 'static) -> (String, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (address, spawn(move || script(listener.accept().unwrap().0)))
}

fn read_exactly(stream: &mut TcpStream, expected: &[u8]) {
    let mut got = vec![0; expected.len()];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(got.escape_ascii().to_string(), expected.escape_ascii().to_string());
}

fn bulk(text: &str) -> Value {
    Value::Bulk(text.into())
}

#[test]
fn a_command_is_an_array_and_its_reply_a_value() {
    let (address, server) = serve(|mut stream| {
        read_exactly(&mut stream, b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
        stream.write_all(b"$5\r\nva").unwrap();
        std::thread::sleep(Duration::from_millis(5));
        stream.write_all(b"lue\r\n").unwrap();
    });
    let mut client = Blocking::connect(&address).unwrap();
    assert_eq!(client.command(&["GET", "k"]).unwrap(), bulk("value"));
    server.join().unwrap();
}

#[test]
fn error_replies_fail_a_command_but_not_a_batch() {
    let (address, server) = serve(|mut stream| {
        stream.write_all(b"-ERR one\r\n-ERR two\r\n:3\r\n").unwrap();
        let _until_closed = stream.read_to_end(&mut Vec::new());
    });
    let mut client = Blocking::connect(&address).unwrap();
    assert!(matches!(client.command(&["X"]), Err(Error::Server(text)) if text == "ERR one"));
    let replies = client.pipeline(&[vec!["Y"], vec!["Z"]]).unwrap();
    assert_eq!(replies, [Value::Error("ERR two".into()), Value::Integer(3)]);
    drop(client);
    server.join().unwrap();
}

#[test]
fn the_handshake_authenticates_and_selects() {
    let (address, server) = serve(|mut stream| {
        read_exactly(&mut stream, b"*5\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$3\r\nann\r\n$2\r\npw\r\n");
        read_exactly(&mut stream, b"*2\r\n$6\r\nSELECT\r\n$1\r\n7\r\n");
        stream.write_all(b"%1\r\n+proto\r\n:3\r\n-ERR DB index is out of range\r\n").unwrap();
    });
    let options =
        Options { username: Some("ann".into()), password: Some("pw".into()), database: 7, ..Options::resp3() };
    let refused = Blocking::connect_with(&address, &options);
    assert!(matches!(refused, Err(Error::Server(text)) if text.contains("out of range")));
    server.join().unwrap();
}

#[test]
fn pushed_messages_are_kept_apart_from_replies() {
    let (address, server) = serve(|mut stream| {
        stream.write_all(b">1\r\n+first\r\n+OK\r\n>1\r\n+second\r\n").unwrap();
        let _until_closed = stream.read_to_end(&mut Vec::new());
    });
    let mut client = Blocking::connect(&address).unwrap();
    assert_eq!(client.command(&["X"]).unwrap(), Value::Simple("OK".into()));
    for text in ["first", "second"] {
        assert_eq!(client.receive().unwrap(), Value::Push(vec![Value::Simple(text.into())]));
    }
    assert_eq!(client.take_push(), None);
    drop(client);
    server.join().unwrap();
}

#[test]
fn silence_times_out_and_the_connection_is_not_used_again() {
    let (address, server) = serve(|mut stream| {
        let _until_closed = stream.read_to_end(&mut Vec::new());
    });
    let options = Options { timeout: Some(Duration::from_millis(20)), ..Options::default() };
    let mut client = Blocking::connect_with(&address, &options).unwrap();
    assert!(matches!(client.receive(), Err(Error::Timeout)));
    assert!(client.is_usable(), "waiting for a message is harmless");
    assert!(matches!(client.command(&["GET", "k"]), Err(Error::Timeout)));
    assert!(!client.is_usable());
    assert!(matches!(client.command(&["GET", "k"]), Err(Error::Closed)));
    drop(client);
    server.join().unwrap();
}

#[test]
fn a_peer_that_closes_or_babbles_is_an_error() {
    let (address, server) = serve(drop);
    let mut client = Blocking::connect(&address).unwrap();
    server.join().unwrap();
    assert!(matches!(client.command(&["PING"]), Err(Error::Closed | Error::Io(_))));

    let (address, server) = serve(|mut stream| stream.write_all(b"HTTP/1.1 400\r\n").unwrap());
    let mut client = Blocking::connect(&address).unwrap();
    server.join().unwrap();
    assert!(matches!(client.command(&["PING"]), Err(Error::Protocol(_) | Error::Io(_))));
}

/// Echoes requests as they come and stops reading while its own replies are not taken, as a server with a full
/// output buffer does. A client that only wrote at first would wait for ever.
#[test]
fn a_batch_beyond_all_socket_buffers_does_not_deadlock() {
    const WORD: usize = 100_000;
    const COMMANDS: usize = 400;
    let (address, server) = serve(|mut stream| {
        let mut request = vec![0; "*1\r\n$100000\r\n".len() + WORD + 2];
        for _ in 0..COMMANDS {
            stream.read_exact(&mut request).unwrap();
            stream.write_all(&request[4..]).unwrap();
        }
    });
    let mut batch = Batch::new();
    for i in 0..COMMANDS {
        batch.push(&[vec![(i % 251) as u8; WORD]]);
    }
    let mut client = Blocking::connect(&address).unwrap();
    let mut next = 0;
    client
        .run_each(&batch, |reply| {
            assert_eq!(reply, Value::Bulk(vec![(next % 251) as u8; WORD]));
            next += 1;
        })
        .unwrap();
    assert_eq!(next, COMMANDS);
    server.join().unwrap();
}
