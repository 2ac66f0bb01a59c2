//! Clients that wait: who is served, with what, in which order, and what is left behind.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common;

use common::{Harness, Replicated, START_MS, show};
use proptest::prelude::*;
use quiver_engine::Session;
use quiver_resp::{OwnedArgv, Protocol};

/// Several clients of one engine; the first is the harness' own.
struct Clients {
    harness: Harness,
    others: Vec<Session>,
}

/// What a client hears that waits.
const WAITS: &str = "(waits)";

impl Clients {
    fn new(count: usize) -> Self {
        let harness = Harness::new();
        let session = |_| Session::new(harness.engine.connect(String::new(), String::new(), START_MS).unwrap(), true);
        let others = (1..count).map(session).collect();
        Self { harness, others }
    }

    fn session(&mut self, client: usize) -> &mut Session {
        if client == 0 { &mut self.harness.session } else { &mut self.others[client - 1] }
    }

    fn id(&mut self, client: usize) -> u64 {
        self.session(client).shared.id
    }

    /// Sends a command of words between spaces.
    fn send(&mut self, client: usize, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let argv = OwnedArgv::from_slices(&words);
        let mut out = Vec::new();
        let Self { harness: Harness { engine, worker, session, now_ms }, others } = self;
        let session = if client == 0 { session } else { &mut others[client - 1] };
        assert!(session.blocked.is_none(), "a client that waits sends nothing that is run");
        engine.run_one(worker, session, argv.as_argv(), &mut out, *now_ms);
        if session.blocked.is_some() {
            assert!(out.is_empty(), "a client that waits has no reply");
            return WAITS.to_owned();
        }
        show(&out)
    }

    /// What a waiting client hears now.
    fn hear(&mut self, client: usize) -> String {
        let Self { harness: Harness { engine, session, now_ms, .. }, others } = self;
        let session = if client == 0 { session } else { &mut others[client - 1] };
        let mut out = Vec::new();
        if !engine.end_wait(session, &mut out, *now_ms) {
            return WAITS.to_owned();
        }
        if out.is_empty() { "(nothing)".to_owned() } else { show(&out) }
    }

    fn info(&mut self, field: &str) -> String {
        let text = self.send(0, "INFO clients");
        let at = text.find(&format!("{field}:")).unwrap() + field.len() + 1;
        text[at..].chars().take_while(char::is_ascii_digit).collect()
    }

    fn assert_nobody_waits(&mut self) {
        assert_eq!((self.info("blocked_clients"), self.info("total_blocking_keys")), ("0".to_owned(), "0".to_owned()));
    }
}

#[test]
fn a_push_serves_the_client_that_waits_and_the_list_is_gone() {
    let mut clients = Clients::new(2);
    assert_eq!(clients.send(1, "BLPOP a b 0"), WAITS);
    assert_eq!(clients.hear(1), WAITS);
    assert_eq!((clients.info("blocked_clients"), clients.info("total_blocking_keys")), ("1".into(), "2".into()));
    assert_eq!(clients.send(0, "RPUSH b x y"), ":2");
    assert_eq!(clients.hear(1), "*2['b' 'x']");
    assert_eq!(clients.send(0, "LRANGE b 0 -1"), "*1['y']");
    clients.assert_nobody_waits();
    assert_eq!(clients.send(1, "BLPOP a b 0"), "*2['b' 'y']");
    assert_eq!(clients.send(0, "EXISTS b"), ":0");
}

#[test]
fn clients_are_served_in_the_order_they_came() {
    let mut clients = Clients::new(4);
    for client in 1..4 {
        assert_eq!(clients.send(client, "BRPOP l 0"), WAITS);
    }
    assert_eq!(clients.send(0, "RPUSH l a b"), ":2");
    assert_eq!([1, 2, 3].map(|client| clients.hear(client)), ["*2['l' 'b']", "*2['l' 'a']", WAITS]);
    clients.send(0, "LPUSH l c");
    assert_eq!(clients.hear(3), "*2['l' 'c']");
    clients.assert_nobody_waits();
}

#[test]
fn a_reply_keeps_the_protocol_and_the_database_of_its_client() {
    let mut clients = Clients::new(3);
    clients.send(1, "SELECT 3");
    clients.session(2).protocol = Protocol::Resp3;
    assert_eq!((clients.send(1, "BLPOP l 0"), clients.send(2, "BLPOP l 0.5")), (WAITS.into(), WAITS.into()));
    clients.send(0, "RPUSH l zero");
    assert_eq!([1, 2].map(|client| clients.hear(client)), [WAITS, "*2['l' 'zero']"]);
    assert_eq!(clients.send(2, "BLPOP l 0.5"), WAITS);
    clients.send(0, "SELECT 3");
    clients.send(0, "RPUSH l three");
    assert_eq!([1, 2].map(|client| clients.hear(client)), ["*2['l' 'three']", WAITS]);
    clients.harness.now_ms += 500;
    assert_eq!(clients.hear(2), "_");
    clients.assert_nobody_waits();
}

#[test]
fn time_ends_a_wait_with_a_null() {
    let mut clients = Clients::new(2);
    for line in
        ["BLPOP a b 0.1", "BRPOP a 0.1", "BLMPOP 0.1 1 a LEFT", "BLMOVE a b LEFT LEFT 0.1", "BRPOPLPUSH a b 0.1"]
    {
        assert_eq!(clients.send(1, line), WAITS, "{line}");
        clients.harness.now_ms += 99;
        assert_eq!(clients.hear(1), WAITS, "{line}");
        clients.harness.now_ms += 1;
        assert_eq!(clients.hear(1), "*-1", "{line}");
        clients.send(0, "RPUSH a 1");
        clients.assert_nobody_waits();
        assert_eq!(clients.send(0, "DEL a"), ":1");
    }
}

#[test]
fn moves_between_lists_serve_each_other_in_a_chain() {
    let mut clients = Clients::new(4);
    assert_eq!(clients.send(1, "BLMOVE a b LEFT RIGHT 0"), WAITS);
    assert_eq!(clients.send(2, "BLMOVE b c LEFT RIGHT 0"), WAITS);
    assert_eq!(clients.send(3, "BRPOPLPUSH c a 0"), WAITS);
    assert_eq!(clients.send(0, "LPUSH a x"), ":1");
    assert_eq!([1, 2, 3].map(|client| clients.hear(client)), ["'x'", "'x'", "'x'"]);
    assert_eq!(clients.send(0, "LRANGE a 0 -1"), "*1['x']");
    assert_eq!(clients.send(0, "EXISTS b c"), ":0");
    clients.assert_nobody_waits();
}

#[test]
fn a_transaction_serves_after_its_end_and_never_waits_itself() {
    let mut clients = Clients::new(2);
    assert_eq!(clients.send(1, "BLPOP l 0"), WAITS);
    clients.send(0, "MULTI");
    for line in
        ["LPUSH l a", "LPUSH l b", "LLEN l", "BLPOP nothing 0", "BLMOVE nothing l LEFT LEFT 0", "BLMPOP 0 1 no LEFT"]
    {
        assert_eq!(clients.send(0, line), "+QUEUED");
    }
    assert_eq!(clients.send(0, "EXEC"), "*6[:1 :2 :2 *-1 $-1 *-1]");
    assert_eq!(clients.hear(1), "*2['l' 'b']");
    clients.send(1, "BLPOP l 0");
    assert_eq!(clients.send(1, "BLPOP l 0"), WAITS);
    clients.send(0, "MULTI");
    clients.send(0, "LPUSH l a");
    clients.send(0, "DEL l");
    assert_eq!(clients.send(0, "EXEC"), "*2[:1 :1]");
    assert_eq!(clients.hear(1), WAITS, "what is gone at the end of the transaction serves nobody");
}

#[test]
fn a_pipelined_read_comes_after_whoever_waited() {
    let mut clients = Clients::new(2);
    assert_eq!(clients.send(1, "BLPOP k 0"), WAITS);
    let mut requests = quiver_resp::Requests::new();
    let input = b"*3\r\n$5\r\nLPUSH\r\n$1\r\nk\r\n$1\r\na\r\n*2\r\n$4\r\nLLEN\r\n$1\r\nk\r\n";
    let decoded = quiver_resp::Decoder::new().decode(input, &quiver_resp::Limits::default(), &mut requests, 10);
    assert_eq!((decoded.unwrap(), requests.len()), (input.len(), 2));
    let (mut out, Harness { engine, worker, session, now_ms }) = (Vec::new(), &mut clients.harness);
    assert_eq!(engine.run(worker, session, &requests, input, 0, &mut out, *now_ms), 2);
    assert_eq!(out, b":1\r\n:0\r\n");
    assert_eq!(clients.hear(1), "*2['k' 'a']");
}

#[test]
fn a_key_of_another_type_serves_nobody_and_errors_only_where_it_is_the_destination() {
    let mut clients = Clients::new(3);
    assert_eq!(clients.send(1, "BLPOP l 0"), WAITS);
    clients.send(0, "SET l string");
    clients.send(0, "DEL l");
    assert_eq!(clients.hear(1), WAITS);
    assert_eq!(clients.send(2, "BLMOVE source target LEFT LEFT 0"), WAITS);
    clients.send(0, "SET target string");
    clients.send(0, "RPUSH source a");
    assert_eq!(clients.hear(2), "-WRONGTYPE Operation against a key holding the wrong kind of value");
    assert_eq!(clients.send(0, "LRANGE source 0 -1"), "*1['a']");
    clients.send(0, "RPUSH other a");
    assert_eq!(clients.send(0, "RENAME other l"), "+OK");
    assert_eq!(clients.hear(1), "*2['l' 'a']");
    clients.assert_nobody_waits();
}

#[test]
fn a_list_that_comes_from_elsewhere_serves() {
    for line in ["COPY full l", "RENAME full l", "SWAPDB 0 1", "LMOVE full l LEFT LEFT"] {
        let mut clients = Clients::new(2);
        clients.send(1, if line == "SWAPDB 0 1" { "BLPOP full 0" } else { "BLPOP l 0" });
        if line == "SWAPDB 0 1" {
            clients.send(0, "SELECT 1");
        }
        assert_eq!(clients.hear(1), WAITS);
        clients.send(0, "RPUSH full a");
        clients.send(0, line);
        assert!(clients.hear(1).ends_with("'a']"), "{line}");
    }
}

#[test]
fn whatever_fills_a_sorted_set_serves_who_waits_for_it() {
    let mut clients = Clients::new(4);
    assert_eq!(clients.send(1, "BZPOPMIN z a 0"), WAITS);
    assert_eq!(clients.send(2, "BZMPOP 0 2 z a MAX COUNT 2"), WAITS);
    assert_eq!(clients.send(3, "BZPOPMAX z 0.5"), WAITS);
    assert_eq!(clients.send(0, "ZADD z 1 a 2 b 3 c"), ":3");
    assert_eq!(clients.hear(1), "*3['z' 'a' '1']");
    assert_eq!(clients.hear(2), "*2['z' *2[*2['c' '3'] *2['b' '2']]]");
    assert_eq!(clients.hear(3), WAITS);
    assert_eq!(clients.send(0, "EXISTS z"), ":0");
    for line in ["ZADD y 5 m", "ZUNIONSTORE z 1 y"] {
        assert_eq!(clients.send(0, line), ":1");
    }
    assert_eq!(clients.hear(3), "*3['z' 'm' '5']");
    assert_eq!(clients.send(3, "BZMPOP 0.5 1 z MIN"), WAITS);
    clients.harness.now_ms += 500;
    assert_eq!(clients.hear(3), "*-1");
    clients.assert_nobody_waits();
}

#[test]
fn a_client_can_be_unblocked_once() {
    let mut clients = Clients::new(2);
    let id = clients.id(1);
    assert_eq!(clients.send(0, &format!("CLIENT UNBLOCK {id}")), ":0");
    assert_eq!(clients.send(1, "BLPOP l 0"), WAITS);
    assert!(clients.send(0, "CLIENT LIST").contains("flags=b "));
    assert_eq!(clients.send(0, &format!("CLIENT UNBLOCK {id}")), ":1");
    assert_eq!(clients.send(0, &format!("CLIENT UNBLOCK {id} ERROR")), ":0");
    assert_eq!(clients.send(0, "RPUSH l a"), ":1");
    assert_eq!(clients.hear(1), "*-1", "unblocked before the push");
    clients.assert_nobody_waits();
    clients.send(0, "DEL l");
    clients.send(1, "BLPOP l 0");
    assert_eq!(clients.send(0, &format!("CLIENT UNBLOCK {id} ERROR")), ":1");
    assert_eq!(clients.hear(1), "-UNBLOCKED client unblocked via CLIENT UNBLOCK");
    clients.send(1, "BLPOP l 0");
    clients.send(0, "RPUSH l a");
    assert_eq!(clients.send(0, &format!("CLIENT UNBLOCK {id}")), ":0");
    assert_eq!(clients.hear(1), "*2['l' 'a']");
    for (line, reply) in [
        ("CLIENT UNBLOCK x", "-ERR value is not an integer or out of range"),
        ("CLIENT UNBLOCK 1 nosuch", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
        ("CLIENT UNBLOCK 999", ":0"),
    ] {
        assert_eq!(clients.send(0, line), reply, "{line}");
    }
}

#[test]
fn a_client_that_leaves_is_not_served() {
    let mut clients = Clients::new(3);
    clients.send(1, "BLPOP l m 0");
    clients.send(2, "BLPOP l 0");
    let id = clients.id(1);
    clients.harness.engine.disconnect(id);
    assert_eq!(clients.info("total_blocking_keys"), "1");
    clients.send(0, "RPUSH l a");
    assert_eq!(clients.hear(2), "*2['l' 'a']");
    clients.assert_nobody_waits();
}

#[test]
fn becoming_a_replica_ends_every_wait() {
    let mut clients = Clients::new(2);
    clients.send(1, "BLPOP l 0");
    clients.harness.engine.unblock_all();
    assert_eq!(
        clients.hear(1),
        "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"
    );
}

#[test]
fn replies_that_are_turned_off_stay_off_after_a_wait() {
    let mut clients = Clients::new(2);
    let (mut out, Harness { engine, worker, now_ms, .. }) = (Vec::new(), &mut clients.harness);
    for words in [&["CLIENT", "REPLY", "SKIP"][..], &["BLPOP", "l", "0"]] {
        let argv = OwnedArgv::from_slices(words);
        engine.run_one(worker, &mut clients.others[0], argv.as_argv(), &mut out, *now_ms);
    }
    assert!(out.is_empty());
    clients.send(0, "RPUSH l a");
    assert_eq!(clients.hear(1), "(nothing)");
    assert_eq!(clients.send(1, "LLEN l"), ":0");
}

#[test]
fn timeouts_are_checked() {
    let mut clients = Clients::new(1);
    for (timeout, error) in [
        ("-1", "-ERR timeout is negative"),
        ("abc", "-ERR timeout is not a float or out of range"),
        ("9223372036854775807", "-ERR timeout is out of range"),
        ("9223372036854775", "-ERR timeout is out of range"),
    ] {
        for line in ["BLPOP k", "BLMOVE a b LEFT LEFT", "BRPOPLPUSH a b"] {
            assert_eq!(clients.send(0, &format!("{line} {timeout}")), error, "{line}");
        }
        assert_eq!(clients.send(0, &format!("BLMPOP {timeout} 1 a LEFT")), error);
    }
}

#[test]
fn waiting_for_no_replicas_takes_no_time() {
    let mut clients = Clients::new(1);
    clients.send(0, "SET a 1");
    for (line, reply) in [
        ("WAIT 0 1000", ":0"),
        ("WAIT -1 0", ":0"),
        ("WAIT x 0", "-ERR value is not an integer or out of range"),
        ("WAIT 1 x", "-ERR timeout is not an integer or out of range"),
        ("WAIT 1 -1", "-ERR timeout is negative"),
        ("WAITAOF 0 0 0", "*2[:0 :0]"),
        ("WAITAOF 1 0 0", "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."),
        ("WAIT 1 10", WAITS),
    ] {
        assert_eq!(clients.send(0, line), reply, "{line}");
    }
    clients.harness.now_ms += 10;
    assert_eq!(clients.hear(0), ":0");
}

#[test]
fn a_pause_holds_back_what_it_says_until_it_is_over() {
    let mut clients = Clients::new(2);
    clients.send(0, "PSETEX short 5 v");
    assert_eq!(clients.send(0, "CLIENT PAUSE 100 WRITE"), "+OK");
    let engine = &clients.harness.engine;
    let mut requests = quiver_resp::Requests::new();
    let input = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\na\r\n";
    let _ = quiver_resp::Decoder::new().decode(input, &quiver_resp::Limits::default(), &mut requests, 10);
    let (mut out, session, worker) = (Vec::new(), &mut clients.others[0], &mut clients.harness.worker);
    let ran = engine.run(worker, session, &requests, input, 0, &mut out, START_MS);
    assert_eq!((ran, out.as_slice(), session.postponed), (1, b"$-1\r\n".as_slice(), true));
    assert_eq!(engine.postponed_until(session, START_MS + 50), Some(START_MS + 100));
    assert_eq!(engine.postponed_until(session, START_MS + 100), None);
    assert_eq!(engine.run(worker, session, &requests, input, 1, &mut out, START_MS + 100), 2);
    for (line, reply) in [
        ("CLIENT PAUSE x", "-ERR timeout is not an integer or out of range"),
        ("CLIENT PAUSE -1", "-ERR timeout is negative"),
        ("CLIENT PAUSE 1 nosuch", "-ERR CLIENT PAUSE mode must be WRITE or ALL"),
        ("CLIENT UNPAUSE", "+OK"),
        ("GET k", "'a'"),
    ] {
        assert_eq!(clients.send(0, line), reply, "{line}");
    }
}

#[test]
fn what_is_served_is_a_unit_of_its_own_in_the_stream() {
    let mut pair = Replicated::new();
    let engine = &pair.primary.engine;
    let mut waiting = Session::new(engine.connect(String::new(), String::new(), START_MS).unwrap(), true);
    for (line, replayed) in [
        ("BLPOP l 0", "LPOP l"),
        ("BRPOP l 0", "RPOP l"),
        ("BLMPOP 0 1 l RIGHT COUNT 5", "RPOP l 2"),
        ("BLMOVE l m LEFT RIGHT 0", "LMOVE l m LEFT RIGHT"),
        ("BRPOPLPUSH l m 0", "RPOPLPUSH l m"),
        ("BLMOVEM l m LEFT LEFT 0 EXACTLY 2 BULK", "LMOVEM l m LEFT LEFT EXACTLY 2 BULK"),
    ] {
        pair.run("FLUSHALL");
        let argv = OwnedArgv::from_slices(&line.split(' ').collect::<Vec<_>>());
        let mut out = Vec::new();
        let Harness { engine, worker, .. } = &mut pair.primary;
        engine.run_one(worker, &mut waiting, argv.as_argv(), &mut out, START_MS);
        assert!(waiting.blocked.is_some(), "{line}");
        pair.run("RPUSH l a b");
        let words: Vec<Vec<u8>> = replayed.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        assert_eq!(pair.last.last(), Some(&words), "{line}");
        assert!(pair.primary.engine.end_wait(&mut waiting, &mut out, START_MS), "{line}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn nobody_waits_for_what_is_there_and_nothing_is_lost(
        steps in prop::collection::vec((0..5usize, 0..3u8, 0..3u8, 1..4usize), 1..60)
    ) {
        let mut clients = Clients::new(5);
        let mut waits_for = [None; 5];
        let (mut pushed, mut popped) = (0, 0);
        for (client, a, b, count) in steps {
            if client == 0 {
                clients.send(0, &format!("RPUSH k{a}{}", " x".repeat(count)));
                pushed += count;
            } else if waits_for[client].is_none() {
                match clients.send(client, &format!("BLPOP k{a} k{b} 0")).as_str() {
                    WAITS => waits_for[client] = Some((a, b)),
                    _ => popped += 1,
                }
            }
            for (other, keys) in waits_for.iter_mut().enumerate().skip(1) {
                let Some((a, b)) = *keys else { continue };
                if clients.hear(other) == WAITS {
                    prop_assert_eq!(clients.send(0, &format!("EXISTS k{a} k{b}")), ":0");
                } else {
                    (*keys, popped) = (None, popped + 1);
                }
            }
        }
        let lens = [0, 1, 2].map(|key| clients.send(0, &format!("LLEN k{key}"))[1..].parse::<usize>().unwrap());
        prop_assert_eq!(pushed, popped + lens.iter().sum::<usize>());
        for client in 1..5 {
            let id = clients.id(client);
            clients.harness.engine.disconnect(id);
        }
        clients.assert_nobody_waits();
    }
}
