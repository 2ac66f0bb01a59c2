//! Starting the binary under test, and short ways to talk to it.

use std::path::Path;
use std::time::{Duration, Instant};

use quiver_resp::Value;
use quiver_testkit::{Connection, Server};

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_quiver-server");

/// How long something that happens in the background may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server in a folder of its own.
pub(crate) fn start(args: &[&str]) -> Server {
    Server::start_program(Path::new(BINARY), args).expect("the server starts")
}

/// A server in a folder that outlives it.
pub(crate) fn start_in(folder: &Path, args: &[&str]) -> Server {
    Server::start_in(Path::new(BINARY), folder, args).expect("the server starts")
}

/// A new connection.
pub(crate) fn connect(server: &Server) -> Connection {
    server.connect().expect("the server accepts")
}

/// The reply to a command given as words between spaces; the server must answer.
pub(crate) fn ask(connection: &mut Connection, line: &str) -> Value {
    let words: Vec<&str> = line.split(' ').collect();
    connection.call(&words).unwrap_or_else(|error| panic!("{line}: {error:#}")).value
}

/// [`ask`], for commands that must not fail.
pub(crate) fn run(connection: &mut Connection, line: &str) -> Value {
    let reply = ask(connection, line);
    if let Value::Error(text) = &reply {
        panic!("{line}: {}", text.escape_ascii());
    }
    reply
}

/// The text of an error reply.
pub(crate) fn error(connection: &mut Connection, line: &str) -> String {
    match ask(connection, line) {
        Value::Error(text) => String::from_utf8_lossy(&text).into_owned(),
        other => panic!("{line}: not an error but {other:?}"),
    }
}

/// A field of INFO.
pub(crate) fn info(connection: &mut Connection, field: &str) -> String {
    let reply = run(connection, "INFO everything");
    let text = reply.as_str().expect("INFO is text");
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("INFO has no {field}")).to_owned()
}

/// A field of INFO that is a number.
pub(crate) fn number(connection: &mut Connection, field: &str) -> i64 {
    info(connection, field).parse().unwrap_or_else(|_| panic!("{field} is no number"))
}

/// Waits until `done` holds.
pub(crate) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Makes a server the replica of another and waits for the link.
pub(crate) fn follow(replica: &Server, primary: &Server) {
    let mut connection = connect(replica);
    run(&mut connection, &format!("REPLICAOF 127.0.0.1 {}", primary.addr().port()));
    eventually("the link", || info(&mut connection, "master_link_status") == "up");
}

/// Waits until a replica has applied everything its primary has written.
pub(crate) fn caught_up(primary: &mut Connection, replica: &mut Connection) {
    eventually("the replica to have the primary's offset", || {
        info(replica, "master_link_status") == "up"
            && number(primary, "master_repl_offset") == number(replica, "slave_repl_offset")
    });
}

/// Sends SIGTERM.
pub(crate) fn terminate(server: &Server) {
    let status = std::process::Command::new("kill").args(["-TERM", &server.pid().to_string()]).status();
    assert!(status.expect("kill is installed").success());
}

/// Fills a server with every type it has, some of it with a time to live; all of it small.
pub(crate) fn fill(connection: &mut Connection) {
    for i in 0..50 {
        run(connection, &format!("SET string:{i} value:{i}"));
        run(connection, &format!("HSET hash:{i} field {i} other {}", "x".repeat(i)));
        run(connection, &format!("RPUSH list:{i} first {i} {}", "z".repeat(i * 300)));
        let (x, y, z) = ((i as f32).sin(), (i as f32).cos(), (i as f32 * 0.7).sin());
        run(connection, &format!("VADD vectors VALUES 3 {x} {y} {z} element:{i} SETATTR {{\"n\":{i}}}"));
        run(connection, &format!("VADD binary VALUES 3 {x} {y} {z} element:{i} BIN"));
        run(connection, &format!("VADD exact VALUES 3 {x} {y} {z} element:{i} NOQUANT"));
    }
    run(connection, &format!("HSET large field {}", "y".repeat(1000)));
    run(connection, "PEXPIREAT string:1 4102444800000");
    run(connection, "EXPIRE hash:1 10000");
    run(connection, "SELECT 3");
    run(connection, "SET elsewhere 1");
    run(connection, "SELECT 0");
}

/// What two servers with the same content must agree on.
pub(crate) fn fingerprint(connection: &mut Connection) -> Vec<Value> {
    let lines = [
        "DEBUG DIGEST",
        "DBSIZE",
        "PEXPIRETIME string:1",
        "PEXPIRETIME hash:1",
        "VSIM vectors ELE element:7 WITHSCORES COUNT 10",
        "VSIM binary ELE element:7 WITHSCORES COUNT 10",
        "VSIM exact VALUES 3 0.1 0.9 0.3 WITHSCORES COUNT 10",
        "VGETATTR vectors element:7",
        "VEMB vectors element:7",
    ];
    lines.iter().map(|line| run(connection, line)).collect()
}
