//! String commands where options and numbers meet: replies recorded from Redis 8.0.2.

use quiver_engine::{Engine, Session};
use quiver_resp::OwnedArgv;

/// The replies to command lines on one connection, without the final CRLF.
fn replies(lines: &[&str]) -> Vec<String> {
    let engine = Engine::standalone();
    let client = engine.connect("127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned(), 0).expect("clients are allowed");
    let (mut session, mut worker) = (Session::new(client, true), engine.worker(1, || 0));
    let run = |line: &&str| {
        let words: Vec<&str> = line.split(' ').collect();
        let mut out = Vec::new();
        engine.run_one(&mut worker, &mut session, OwnedArgv::from_slices(&words).as_argv(), &mut out, 1_000);
        String::from_utf8(out).expect("ASCII").trim_end().replace("\r\n", " ")
    };
    lines.iter().map(run).collect()
}

#[test]
fn sums_of_decimals_are_printed_as_decimals() {
    let lines =
        ["SET a 0.1", "INCRBYFLOAT a 0.2", "INCRBYFLOAT a 1e17", "SET a 1", "INCRBYFLOAT a nan", "INCRBYFLOAT a inf"];
    assert_eq!(
        replies(&lines),
        [
            "+OK",
            "$3 0.3",
            "$25 100000000000000000.296875",
            "+OK",
            "-ERR value is not a valid float",
            "-ERR increment would produce NaN or Infinity"
        ]
    );
}

#[test]
fn an_expiry_option_may_be_repeated_but_not_mixed() {
    for accepted in ["SET a b EX 10 EX 20", "SET a b KEEPTTL KEEPTTL", "SET a b XX XX", "SET a b GET GET"] {
        assert_ne!(replies(&["SET a b", accepted])[1], "-ERR syntax error", "{accepted}");
    }
    for refused in
        ["SET a b EX 10 KEEPTTL", "SET a b KEEPTTL EX 10", "SET a b PX 10 EX 20", "SET a b NX XX", "SET a b EX"]
    {
        assert_eq!(replies(&["SET a b", refused])[1], "-ERR syntax error", "{refused}");
    }
    for refused in ["GETEX a PERSIST EX 10", "GETEX a EX 10 PERSIST", "GETEX a EX", "GETEX a EX 10 PX 10"] {
        assert_eq!(replies(&["SET a b", refused])[1], "-ERR syntax error", "{refused}");
    }
    assert_eq!(replies(&["SET a b", "GETEX a PERSIST PERSIST", "GETEX a EX 10 EX 20"])[1..], ["$1 b", "$1 b"]);
}

#[test]
fn getex_reads_its_time_only_when_there_is_a_key() {
    let lines = ["GETEX a EX x", "GETEX a EX 0", "SET a b", "GETEX a EX x", "GETEX a EX 0", "GET a"];
    assert_eq!(
        replies(&lines),
        [
            "$-1",
            "$-1",
            "+OK",
            "-ERR value is not an integer or out of range",
            "-ERR invalid expire time in 'getex' command",
            "$1 b"
        ]
    );
}
