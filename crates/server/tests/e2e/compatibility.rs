//! What tools around a Redis server rely on: the socket file, the configuration file, the log, keys that move.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Command;

use quiver_resp::Value;

use crate::support::{BINARY, ask, connect, error, eventually, run, start, start_in};

/// Sends a request over the socket file and reads what one read gives.
fn over_file(path: &std::path::Path, request: &str) -> String {
    let mut stream = UnixStream::connect(path).expect("the server accepts");
    stream.write_all(request.as_bytes()).expect("the server reads");
    let mut bytes = [0; 4096];
    let read = stream.read(&mut bytes).expect("the server answers");
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}

#[test]
fn the_socket_file_serves_commands_with_the_permissions_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("quiver.sock");
    let text = path.to_str().expect("a plain path");
    let server = start_in(folder.path(), &["--unixsocket", text, "--unixsocketperm", "700"]);
    assert_eq!(over_file(&path, "SET k v\r\n"), "+OK\r\n");
    assert_eq!(run(&mut connect(&server), "GET k"), Value::Bulk(b"v".to_vec()));
    assert_eq!(std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o700);
    let info = over_file(&path, "CLIENT INFO\r\n");
    assert!(info.contains(&format!("addr={text}:0")) && info.contains("flags=U"), "{info}");
}

#[test]
fn a_server_may_listen_at_its_socket_file_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("only.sock");
    let text = path.to_str().expect("a plain path");
    let mut child = Command::new(BINARY)
        .current_dir(folder.path())
        .args(["--port", "0", "--unixsocket", text, "--logfile", "log"])
        .spawn()
        .expect("the program runs");
    eventually("the socket file to be there", || UnixStream::connect(&path).is_ok());
    assert_eq!(over_file(&path, "PING\r\n"), "+PONG\r\n");
    over_file(&path, "CONFIG SET loglevel warning\r\n");
    child.kill().expect("it runs");
    child.wait().expect("it is ours");
    let log = std::fs::read_to_string(folder.path().join("log")).expect("the log is there");
    for words in ["Quiver is starting", "Server initialized", "Ready to accept connections unix"] {
        let line = log.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("no {words:?} in {log}"));
        assert!(line.starts_with(&format!("{}:M ", child.id())) && line.contains(" * "), "{line}");
    }
}

#[test]
fn port_and_addresses_change_while_the_server_runs_or_stay_as_they_are() {
    let server = start(&[]);
    let mut connection = connect(&server);
    let busy = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = busy.local_addr().expect("it is bound").port();
    let before = ask(&mut connection, "CONFIG GET maxmemory");
    let refused = error(&mut connection, &format!("CONFIG SET maxmemory 12345678 port {port}"));
    assert_eq!(
        refused,
        "ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port. Check server logs."
    );
    assert_eq!(ask(&mut connection, "CONFIG GET maxmemory"), before);
    run(&mut connect(&server), "PING");
    drop(busy);
    run(&mut connection, &format!("CONFIG SET port {port}"));
    let mut other = quiver_testkit::Connection::connect(([127, 0, 0, 1], port).into()).expect("the new port is open");
    assert_eq!(run(&mut other, "PING"), Value::Simple(b"PONG".to_vec()));
    eventually("the old port to be closed", || server.connect().is_err());
    run(&mut connection, &format!("CONFIG SET port {}", server.addr().port()));
    run(&mut connect(&server), "PING");
}

#[test]
fn keys_move_to_another_server_with_their_time_to_live() {
    let (from, to) = (start(&[]), start(&[]));
    let (mut a, mut b) = (connect(&from), connect(&to));
    let target = format!("127.0.0.1 {}", to.addr().port());
    run(&mut a, "HSET h f v");
    run(&mut a, "SET s v PX 100000");
    run(&mut a, "RPUSH l 1 2 3");
    assert_eq!(run(&mut a, &format!("MIGRATE {target} none 0 1000")), Value::Simple(b"NOKEY".to_vec()));
    assert_eq!(run(&mut a, &format!("MIGRATE {target} h 3 1000")), Value::Simple(b"OK".to_vec()));
    assert_eq!(run(&mut a, "EXISTS h"), Value::Integer(0));
    let all =
        ["MIGRATE", "127.0.0.1", &to.addr().port().to_string(), "", "0", "1000", "COPY", "KEYS", "s", "l", "none"];
    assert_eq!(a.call(&all).expect("a reply").value, Value::Simple(b"OK".to_vec()));
    assert_eq!(run(&mut a, "EXISTS s l"), Value::Integer(2), "copies leave them there");
    run(&mut b, "SELECT 3");
    assert_eq!(run(&mut b, "HGET h f"), Value::Bulk(b"v".to_vec()));
    run(&mut b, "SELECT 0");
    let Value::Integer(ttl_ms) = run(&mut b, "PTTL s") else { panic!("PTTL answers a number") };
    assert!((90_000..=100_000).contains(&ttl_ms), "{ttl_ms}");
    let busy = error(&mut a, &format!("MIGRATE {target} l 0 1000"));
    assert_eq!(busy, "ERR Target instance replied with error: BUSYKEY Target key name already exists.");
    assert_eq!(run(&mut a, &format!("MIGRATE {target} l 0 1000 REPLACE")), Value::Simple(b"OK".to_vec()));
    assert_eq!(run(&mut b, "LLEN l"), Value::Integer(3));
    let nobody = error(&mut a, "MIGRATE 127.0.0.1 1 s 0 1000");
    assert_eq!(nobody, "IOERR error or timeout writing to target instance");
    run(&mut a, "MULTI");
    run(&mut a, &format!("MIGRATE {target} s 0 1000 REPLACE"));
    assert_eq!(run(&mut a, "EXEC"), Value::Array(vec![Value::Simple(b"OK".to_vec())]));
    assert_eq!(run(&mut a, "DBSIZE"), Value::Integer(0));
}

#[test]
fn renamed_commands_answer_to_their_new_name_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("redis.conf");
    std::fs::write(&file, "rename-command FLUSHALL badger\nrename-command keys \"\"\n").expect("a writable folder");
    let server = start(&[file.to_str().expect("a plain path")]);
    let mut connection = connect(&server);
    assert!(error(&mut connection, "FLUSHALL").starts_with("ERR unknown command 'FLUSHALL'"));
    assert!(error(&mut connection, "KEYS *").starts_with("ERR unknown command 'KEYS'"));
    run(&mut connection, "Badger");
}

#[test]
fn mistakes_in_the_configuration_end_the_start_with_the_line_and_the_reason() {
    let output = Command::new(BINARY).args(["--port", "0", "--hz", "x"]).output().expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(said.contains("*** FATAL CONFIG FILE ERROR") && said.contains(">>> 'hz \"x\"'"), "{said}");
}

#[test]
fn subscribers_leave_when_their_user_may_no_longer_listen() {
    let server = start(&[]);
    let (mut admin, mut listener) = (connect(&server), connect(&server));
    run(&mut admin, "ACL SETUSER u on nopass +@all ~* &a* &b*");
    run(&mut listener, "AUTH u x");
    run(&mut listener, "CLIENT SETNAME listener");
    run(&mut listener, "SUBSCRIBE apple");
    let there = |admin: &mut quiver_testkit::Connection| {
        let list = run(admin, "CLIENT LIST");
        list.as_str().expect("a text").contains("name=listener")
    };
    run(&mut admin, "ACL SETUSER u resetchannels &a* &c*");
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert!(there(&mut admin), "it may still listen to what it listens to");
    run(&mut admin, "ACL SETUSER u resetchannels &c*");
    eventually("the listener to be gone", || !there(&mut admin));
}
