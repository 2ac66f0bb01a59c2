//! Going on with a stream: after restarts, promotions, changes of primary and broken transfers.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use quiver_resp::Value;
use quiver_testkit::{Connection, Server};

use crate::support::{
    BINARY, ask, caught_up, connect, error, eventually, fill, fingerprint, follow, info, number, run,
};
use crate::support::{start, start_in};

/// A primary with a replica, both in folders that outlive them.
fn pair(folders: &[tempfile::TempDir; 2]) -> (Server, Server) {
    let (primary, replica) = (start_in(folders[0].path(), &[]), start_in(folders[1].path(), &[]));
    follow(&replica, &primary);
    (primary, replica)
}

fn folders() -> [tempfile::TempDir; 2] {
    [(); 2].map(|()| tempfile::tempdir().expect("a temporary folder"))
}

fn shut_down(server: &mut Server) {
    let mut connection = connect(server);
    connection.send(&["SHUTDOWN", "SAVE"]).expect("it listens");
    server.wait().expect("it ends");
}

fn start_again(server: &Server, folder: &Path, args: &[&str]) -> Server {
    Server::start_at(Path::new(BINARY), folder, server.addr().port(), args).expect("the server starts")
}

#[test]
fn a_replica_that_was_restarted_goes_on_where_its_snapshot_stands() {
    let folders = folders();
    let (primary, mut replica) = pair(&folders);
    let mut on_primary = connect(&primary);
    fill(&mut on_primary);
    run(&mut on_primary, "SELECT 7");
    run(&mut on_primary, "SET counter 1");
    caught_up(&mut on_primary, &mut connect(&replica));
    shut_down(&mut replica);
    // No SELECT stands before this one: the snapshot must say where the stream was.
    for _ in 0..10 {
        run(&mut on_primary, "INCR counter");
    }
    let port = primary.addr().port().to_string();
    let replica = start_again(&replica, folders[1].path(), &["--replicaof", "127.0.0.1", &port]);
    let mut on_replica = connect(&replica);
    eventually("the link", || info(&mut on_replica, "master_link_status") == "up");
    caught_up(&mut on_primary, &mut on_replica);
    assert_eq!(number(&mut on_primary, "sync_partial_ok"), 1);
    assert_eq!(number(&mut on_primary, "sync_full"), 1);
    run(&mut on_replica, "SELECT 7");
    assert_eq!(run(&mut on_replica, "GET counter"), Value::Bulk(b"11".to_vec()));
    assert_eq!(run(&mut on_replica, "DEBUG DIGEST"), run(&mut on_primary, "DEBUG DIGEST"));
}

#[test]
fn replicas_go_on_with_a_primary_that_was_restarted_from_its_last_snapshot() {
    let folders = folders();
    let (mut primary, replica) = pair(&folders);
    let mut on_primary = connect(&primary);
    fill(&mut on_primary);
    run(&mut on_primary, "SET passing 1 PX 1");
    let id = info(&mut on_primary, "master_replid");
    caught_up(&mut on_primary, &mut connect(&replica));
    shut_down(&mut primary);

    let primary = start_again(&primary, folders[0].path(), &[]);
    let (mut on_primary, mut on_replica) = (connect(&primary), connect(&replica));
    // The replica may not have noticed yet that the link was cut.
    let syncs = |on_primary: &mut Connection| number(on_primary, "sync_partial_ok") + number(on_primary, "sync_full");
    eventually("the synchronisation", || syncs(&mut on_primary) > 0);
    eventually("the link", || info(&mut on_replica, "master_link_status") == "up");
    assert_eq!(info(&mut on_primary, "master_replid2"), id);
    assert_eq!(number(&mut on_primary, "sync_partial_ok"), 1);
    assert_eq!(number(&mut on_primary, "sync_full"), 0);
    run(&mut on_primary, "SET later 1");
    eventually("expiry", || run(&mut on_primary, "DBSIZE") == run(&mut on_replica, "DBSIZE"));
    caught_up(&mut on_primary, &mut on_replica);
    assert_eq!(fingerprint(&mut on_replica), fingerprint(&mut on_primary));
}

#[test]
fn a_demoted_primary_goes_on_with_the_replica_that_was_promoted() {
    let (primary, replica) = (start(&[]), start(&[]));
    follow(&replica, &primary);
    let (mut on_primary, mut on_replica) = (connect(&primary), connect(&replica));
    fill(&mut on_primary);
    caught_up(&mut on_primary, &mut on_replica);
    run(&mut on_replica, "REPLICAOF NO ONE");
    run(&mut on_replica, "INCR counter");
    follow(&primary, &replica);
    caught_up(&mut on_replica, &mut on_primary);
    assert_eq!(number(&mut on_replica, "sync_partial_ok"), 1);
    assert_eq!(number(&mut on_replica, "sync_full"), 0);
    assert_eq!(fingerprint(&mut on_replica), fingerprint(&mut on_primary));
    assert_eq!(run(&mut on_primary, "GET counter"), Value::Bulk(b"1".to_vec()));
}

#[test]
fn a_replica_of_a_replica_knows_the_database_of_the_stream() {
    let (primary, middle) = (start(&[]), start(&[]));
    follow(&middle, &primary);
    let mut on_primary = connect(&primary);
    run(&mut on_primary, "SELECT 9");
    run(&mut on_primary, "SET counter 1");
    caught_up(&mut on_primary, &mut connect(&middle));
    // The last one joins while the stream is in database 9; nothing says so any more.
    let last = start(&[]);
    follow(&last, &middle);
    run(&mut on_primary, "INCR counter");
    let mut on_last = connect(&last);
    caught_up(&mut on_primary, &mut on_last);
    run(&mut on_last, "SELECT 9");
    assert_eq!(run(&mut on_last, "GET counter"), Value::Bulk(b"2".to_vec()));
    assert_eq!(run(&mut on_last, "DEBUG DIGEST"), run(&mut on_primary, "DEBUG DIGEST"));
}

#[test]
fn the_backlog_goes_when_nobody_has_read_it_for_long_and_ids_with_it() {
    let (primary, replica) = (start(&["--repl-backlog-ttl", "1"]), start(&[]));
    follow(&replica, &primary);
    let (mut on_primary, mut on_replica) = (connect(&primary), connect(&replica));
    let id = info(&mut on_primary, "master_replid");
    assert_eq!(number(&mut on_primary, "repl_backlog_active"), 1);
    run(&mut on_replica, "REPLICAOF NO ONE");
    eventually("the end of the backlog", || number(&mut on_primary, "repl_backlog_active") == 0);
    assert_ne!(info(&mut on_primary, "master_replid"), id);
    // What is written now is in no stream, so going on would lose it.
    run(&mut on_primary, "SET unseen 1");
    follow(&replica, &primary);
    assert_eq!(number(&mut on_primary, "sync_full"), 2);
    assert_eq!(run(&mut on_replica, "EXISTS unseen"), Value::Integer(1));
}

/// Plays a primary: answers the handshake, and then sends these bytes.
fn false_primary(listener: &TcpListener, answer: &[u8]) {
    let (mut socket, _) = listener.accept().expect("the replica connects");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let mut heard = Vec::new();
    while !heard.windows(5).any(|word| word == b"PSYNC") {
        let mut piece = [0; 1024];
        let count = socket.read(&mut piece).expect("the replica speaks");
        heard.extend_from_slice(&piece[..count]);
        if !heard.windows(5).any(|word| word == b"PSYNC") {
            socket.write_all(b"+OK\r\n").expect("the replica listens");
        }
    }
    // A replica that has seen enough closes the connection.
    let _ = socket.write_all(answer);
    let _ = socket.shutdown(std::net::Shutdown::Write);
    let _ = socket.read(&mut [0; 1024]);
}

/// What a primary sends from PSYNC's answer to the end of its snapshot.
fn recorded_sync(source: &Server, marked: bool) -> Vec<u8> {
    let mut socket = TcpStream::connect(source.addr()).expect("it listens");
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    let capa = if marked { "REPLCONF capa eof capa psync2\r\n" } else { "REPLCONF capa psync2\r\n" };
    socket.write_all(format!("{capa}PSYNC ? -1\r\n").as_bytes()).expect("it listens");
    let mut bytes = Vec::new();
    let mut piece = [0; 65536];
    while let Ok(count @ 1..) = socket.read(&mut piece) {
        bytes.extend_from_slice(&piece[..count]);
    }
    let start = bytes.windows(11).position(|word| word == b"+FULLRESYNC").expect("a snapshot is announced");
    let mut bytes = bytes.split_off(start);
    if !marked {
        // The stream begins right behind, and a sign of life may be in it already.
        let header = bytes.windows(2).position(|word| word == b"\n$").expect("a length") + 2;
        let body = bytes.windows(5).position(|word| word == b"REDIS").expect("a snapshot");
        let length = String::from_utf8_lossy(&bytes[header..body]).trim().parse::<usize>().expect("a number");
        bytes.truncate(body + length);
    }
    bytes
}

#[test]
fn a_transfer_that_breaks_anywhere_leaves_the_old_data_as_they_were() {
    let source = start(&[]);
    let mut on_source = connect(&source);
    for line in ["SET a 1", "HSET h f v", "RPUSH l 1 2 3", "ZADD z 1 m", "XADD x 1-1 f v", "SADD s 1 b"] {
        run(&mut on_source, line);
    }
    run(&mut on_source, "VADD v VALUES 3 1 2 3 e");
    let replica = start(&[]);
    let mut on_replica = connect(&replica);
    fill(&mut on_replica);
    for marked in [true, false] {
        let before = fingerprint(&mut on_replica);
        let whole = recorded_sync(&source, marked);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        // All prefixes of the lines, and then every so many bytes.
        let lines = whole.windows(2).enumerate().filter(|(_, pair)| *pair == b"\r\n").take(2).map(|(at, _)| at);
        let cuts = lines.flat_map(|at| [at, at + 1, at + 2]).chain((0..whole.len()).step_by(whole.len() / 40 + 1));
        for cut in cuts.collect::<std::collections::BTreeSet<_>>() {
            run(&mut on_replica, &format!("REPLICAOF 127.0.0.1 {port}"));
            false_primary(&listener, &whole[..cut]);
            run(&mut on_replica, "REPLICAOF NO ONE");
            assert_eq!(fingerprint(&mut on_replica), before, "cut at {cut} of {}", whole.len());
        }
        // One damaged byte inside is found by the checksum.
        let header = whole.windows(5).position(|word| word == b"REDIS").expect("a snapshot");
        for at in (header + 9..whole.len() - 48).step_by((whole.len() - header) / 20 + 1) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            run(&mut on_replica, &format!("REPLICAOF 127.0.0.1 {port}"));
            false_primary(&listener, &damaged);
            run(&mut on_replica, "REPLICAOF NO ONE");
            assert_eq!(fingerprint(&mut on_replica), before, "byte {at} of {} damaged", whole.len());
        }
        // The whole is taken.
        run(&mut on_replica, &format!("REPLICAOF 127.0.0.1 {port}"));
        false_primary(&listener, &whole);
        eventually("the new data", || run(&mut on_replica, "DBSIZE") == Value::Integer(7));
        assert_eq!(run(&mut on_replica, "DEBUG DIGEST"), run(&mut on_source, "DEBUG DIGEST"));
        run(&mut on_replica, "REPLICAOF NO ONE");
        run(&mut on_replica, "FLUSHALL");
        fill(&mut on_replica);
    }
}

/// Reads what comes until it has been quiet for a moment.
fn read_all(connection: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut piece = [0; 65536];
    while let Ok(count @ 1..) = connection.read(&mut piece) {
        bytes.extend_from_slice(&piece[..count]);
    }
    bytes
}

#[test]
fn the_old_sync_and_replicas_without_marks_get_a_length_and_the_stream_at_once() {
    let primary = start(&["--repl-diskless-sync", "no"]);
    let mut on_primary = connect(&primary);
    run(&mut on_primary, "SET a 1");
    for words in ["SYNC\r\n", "REPLCONF capa eof\r\nPSYNC ? -1\r\n"] {
        let mut socket = TcpStream::connect(primary.addr()).expect("it listens");
        socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
        socket.write_all(words.as_bytes()).expect("it listens");
        let bytes = read_all(&mut socket);
        let text = String::from_utf8_lossy(&bytes);
        let start = text.find('$').expect("a length") + 1;
        let (length, _) = text[start..].split_once("\r\n").expect("a line");
        let length: usize = length.parse().expect("a number");
        let body = bytes.windows(5).position(|word| word == b"REDIS").expect("a snapshot");
        assert_eq!(bytes.len(), body + length, "nothing but the snapshot");
        run(&mut on_primary, "SET b 2");
        assert!(String::from_utf8_lossy(&read_all(&mut socket)).contains("$1\r\nb\r\n$1\r\n2\r\n"));
    }
}

#[test]
fn who_wants_the_snapshot_only_gets_that_and_who_filters_keys_out_gets_none() {
    let primary = start(&[]);
    run(&mut connect(&primary), "SET some:key some:value");
    for (options, has_key) in [("", true), ("REPLCONF rdb-filter-only functions\r\n", false)] {
        let mut socket = TcpStream::connect(primary.addr()).expect("it listens");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        let words = format!("REPLCONF rdb-only 1\r\n{options}PSYNC ? -1\r\n");
        socket.write_all(words.as_bytes()).expect("it listens");
        let bytes = read_all(&mut socket);
        assert!(bytes.windows(5).any(|word| word == b"REDIS"));
        assert_eq!(bytes.windows(8).any(|word| word == b"some:key"), has_key);
    }
    let mut connection = connect(&primary);
    assert_eq!(error(&mut connection, "REPLCONF rdb-filter-only keys"), "ERR Unsupported rdb-filter-only option: keys");
}

#[test]
fn a_replica_without_its_primary_feeds_nobody_and_says_so() {
    let (middle, last) = (start(&[]), start(&[]));
    let mut on_middle = connect(&middle);
    run(&mut on_middle, "REPLICAOF 127.0.0.1 1");
    assert_eq!(error(&mut on_middle, "PSYNC ? -1"), "NOMASTERLINK Can't SYNC while not connected with my master");
    run(&mut on_middle, "CONFIG SET replica-serve-stale-data no");
    assert_eq!(
        error(&mut on_middle, "GET a"),
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."
    );
    assert!(matches!(ask(&mut on_middle, "INFO"), Value::Bulk(_) | Value::Verbatim { .. }));
    run(&mut connect(&last), &format!("REPLICAOF 127.0.0.1 {}", middle.addr().port()));
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(info(&mut connect(&last), "master_link_status"), "down");
    run(&mut on_middle, "REPLICAOF NO ONE");
    let mut on_last: Connection = connect(&last);
    eventually("the link", || info(&mut on_last, "master_link_status") == "up");
}

#[test]
fn a_replica_that_does_not_read_is_cut_off_and_comes_back() {
    let primary = start(&["--client-output-buffer-limit", "replica 0 1mb 1", "--repl-backlog-size", "16kb"]);
    let replica = start(&[]);
    follow(&replica, &primary);
    let (mut on_primary, mut on_replica) = (connect(&primary), connect(&replica));
    let signal = |signal: &str| std::process::Command::new("kill").args([signal, &replica.pid().to_string()]).status();
    assert!(signal("-STOP").expect("kill is installed").success());
    let large = "x".repeat(1 << 20);
    for i in 0..40 {
        run(&mut on_primary, &format!("SET large:{} {large}{i}", i % 4));
    }
    eventually("the end of the link", || number(&mut on_primary, "connected_slaves") == 0);
    assert_eq!(number(&mut on_primary, "client_output_buffer_limit_disconnections"), 1);
    assert!(signal("-CONT").expect("kill is installed").success());
    eventually("another link", || info(&mut on_replica, "master_link_status") == "up");
    caught_up(&mut on_primary, &mut on_replica);
    assert_eq!(run(&mut on_replica, "DEBUG DIGEST"), run(&mut on_primary, "DEBUG DIGEST"));
    assert_eq!(number(&mut on_primary, "sync_full"), 2);
}
