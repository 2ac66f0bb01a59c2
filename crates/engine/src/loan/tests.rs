//! Loans: who waits, who goes on, and that a command on a loan does what it does in place.

use quiver_resp::OwnedArgv;

use super::*;
use crate::engine::Worker;
use crate::keyspace::ALL_SHARDS;
use crate::session::Pause;

const NOW_MS: i64 = 1_700_000_000_000;
const ELEMENTS: usize = 12_000;

struct Client {
    session: Session,
    worker: Worker,
}

impl Client {
    fn new(engine: &Engine) -> Self {
        let shared = engine.connect("test:1".to_owned(), "test:2".to_owned(), NOW_MS).unwrap();
        Self { session: Session::new(shared, true), worker: engine.worker(1, || 0) }
    }

    /// Of a thread that has others to serve.
    fn yielding(engine: &Engine) -> Self {
        let mut client = Self::new(engine);
        client.session.yields = true;
        client
    }

    fn run(&mut self, engine: &Engine, line: &str) -> String {
        let mut out = Vec::new();
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let argv = OwnedArgv::from_slices(&words);
        engine.run_one(&mut self.worker, &mut self.session, argv.as_argv(), &mut out, NOW_MS);
        String::from_utf8(out).unwrap()
    }

    /// As the engine's thread sees it: `None` when the command was given back.
    fn try_run(&mut self, engine: &Engine, line: &str) -> Option<String> {
        let reply = self.run(engine, line);
        match self.session.pause.take() {
            None => Some(reply),
            Some(pause) => {
                assert_eq!((pause, reply.as_str()), (Pause::Locked, ""), "{line}");
                None
            }
        }
    }
}

/// Sets a and b of many members, and a client that borrows.
fn filled() -> (Engine, Client) {
    let engine = Engine::standalone();
    let mut client = Client::new(&engine);
    for (key, first) in [("a", 0), ("b", ELEMENTS / 2)] {
        let members: Vec<String> = (first..first + ELEMENTS).map(|i| i.to_string()).collect();
        assert_eq!(client.run(&engine, &format!("SADD {key} {}", members.join(" "))), format!(":{ELEMENTS}\r\n"));
    }
    client.session.borrows = true;
    (engine, client)
}

fn lend<'e>(engine: &'e Engine, client: &Client, line: &str) -> Option<Loan<'e>> {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    let argv = OwnedArgv::from_slices(&words);
    let entry = engine.registry.resolve(argv.as_argv()).unwrap();
    engine.lend(&client.session, entry, argv.as_argv(), &mut Effects::default(), NOW_MS)
}

fn put_back(engine: &Engine, loan: Loan<'_>) {
    let mut effects = Effects::default();
    let mut ks = loan.keyspace(&mut effects, NOW_MS);
    loan.put_back(&mut ks);
    drop(ks);
    loan.end();
    assert!(!engine.loans.any());
}

#[test]
fn who_names_a_lent_key_waits_and_everybody_else_goes_on() {
    let (engine, borrower) = filled();
    let mut other = Client::yielding(&engine);
    // The same shard by the same tag.
    assert_eq!(other.try_run(&engine, "SET {a}x 1").as_deref(), Some("+OK\r\n"));
    let loan = lend(&engine, &borrower, "SUNIONSTORE dst a b").unwrap();
    assert_eq!(other.try_run(&engine, "GET {a}x").as_deref(), Some("$1\r\n1\r\n"));
    for line in ["SCARD a", "SADD b x", "SET dst 1", "DEL z dst", "FLUSHALL", "SWAPDB 0 1"] {
        assert_eq!(other.try_run(&engine, line), None, "{line}");
    }
    other.try_run(&engine, "MULTI").unwrap();
    other.try_run(&engine, "SCARD a").unwrap();
    assert_eq!(other.try_run(&engine, "EXEC"), None);
    put_back(&engine, loan);
    assert_eq!(other.try_run(&engine, "EXEC").as_deref(), Some("*1\r\n:12000\r\n"));
    assert_eq!(other.try_run(&engine, "EXISTS a b dst").as_deref(), Some(":2\r\n"));
}

#[test]
fn what_was_lent_is_whole_again_even_when_it_was_removed_meanwhile() {
    let (engine, mut borrower) = filled();
    borrower.run(&engine, "PEXPIREAT a 1700000100000");
    let digest =
        |engine: &Engine| crate::digest::of_keyspace(&engine.lock(ALL_SHARDS, &mut Effects::default(), NOW_MS));
    let before = digest(&engine);
    put_back(&engine, lend(&engine, &borrower, "SDIFF a b").unwrap());
    assert_eq!(digest(&engine), before);

    let loan = lend(&engine, &borrower, "SDIFF a b").unwrap();
    let mut effects = Effects::default();
    let key = KeyHasher.key(b"a");
    let mut ks = engine.lock(key.shard_set(), &mut effects, NOW_MS);
    ks.evict_now(&key, false);
    drop(ks);
    put_back(&engine, loan);
    assert_eq!(digest(&engine), before);
}

#[test]
fn a_loan_that_is_dropped_by_a_panic_gives_its_keys_back() {
    let (engine, mut borrower) = filled();
    drop(lend(&engine, &borrower, "SDIFF a b").unwrap());
    assert!(!engine.loans.any());
    assert_eq!(borrower.run(&engine, "SCARD a"), ":12000\r\n");
}

#[test]
fn strings_small_collections_and_unknown_keys_are_not_lent() {
    let (engine, mut borrower) = filled();
    borrower.run(&engine, "SET string x");
    borrower.run(&engine, "SADD small x y");
    let refused =
        ["SUNIONSTORE string a b", "SUNION small", "SORT a BY w_*", "SORT a STORE string", "COPY a dst DB 1", "GET a"];
    for line in refused {
        assert!(lend(&engine, &borrower, line).is_none(), "{line}");
    }
    let loan = lend(&engine, &borrower, "SORT a").unwrap();
    assert!(lend(&engine, &borrower, "SDIFF a b").is_none(), "a is lent already");
    put_back(&engine, loan);
    borrower.session.borrows = false;
    assert!(lend(&engine, &borrower, "SORT a").is_none());
}

#[test]
fn nothing_is_lent_while_somebody_wants_all_shards() {
    let (engine, borrower) = filled();
    let mut other = Client::yielding(&engine);
    let loan = lend(&engine, &borrower, "SDIFF a b").unwrap();
    assert_eq!(other.try_run(&engine, "FLUSHALL"), None);
    put_back(&engine, loan);
    assert!(lend(&engine, &borrower, "SDIFF a b").is_none());
    assert_eq!(other.try_run(&engine, "FLUSHALL").as_deref(), Some("+OK\r\n"));
}

#[test]
fn a_command_on_a_loan_answers_changes_and_tells_as_it_does_in_place() {
    let lines = [
        "SUNIONSTORE dst a b",
        "SINTERSTORE dst a b",
        "SDIFFSTORE a a b",
        "COPY b c REPLACE",
        "SDIFFSTORE c c c",
        "ZUNIONSTORE z 2 a b",
        "ZREMRANGEBYRANK z 0 -2",
        "SORT b LIMIT 0 3",
        "SORT b STORE sorted",
        "SORT b DESC STORE b",
        "SMEMBERS none",
    ];
    let run = |borrows: bool| {
        let (engine, mut client) = filled();
        client.session.borrows = borrows;
        let mut watcher = Client::new(&engine);
        watcher.run(&engine, "WATCH a");
        watcher.run(&engine, "MULTI");
        let replies: Vec<String> = lines.iter().map(|line| client.run(&engine, line)).collect();
        let digest = crate::digest::of_keyspace(&engine.lock(ALL_SHARDS, &mut Effects::default(), NOW_MS));
        (replies, digest, watcher.run(&engine, "EXEC"))
    };
    let (on_loan, in_place) = (run(true), run(false));
    assert_eq!(on_loan, in_place);
    assert_eq!(on_loan.2, "*-1\r\n", "the watched key was changed");
}

#[test]
fn a_waiter_whose_destination_was_lent_is_served_when_it_is_back() {
    let (engine, mut borrower) = filled();
    borrower.session.borrows = false;
    let elements: Vec<String> = (0..ELEMENTS).map(|i| i.to_string()).collect();
    borrower.run(&engine, &format!("RPUSH dst {}", elements.join(" ")));
    borrower.session.borrows = true;
    let mut waiter = Client::new(&engine);
    assert_eq!(waiter.run(&engine, "BLMOVE from dst LEFT RIGHT 0"), "");
    let blocked = waiter.session.blocked.clone().unwrap();

    let loan = lend(&engine, &borrower, "LRANGE dst 0 -1").unwrap();
    assert_eq!(Client::yielding(&engine).try_run(&engine, "RPUSH from x").as_deref(), Some(":1\r\n"));
    assert_eq!(
        Client::yielding(&engine).try_run(&engine, "LLEN from").as_deref(),
        Some(":1\r\n"),
        "nobody took it yet"
    );
    put_back(&engine, loan);
    // The next command on a loan serves whoever was left.
    assert!(borrower.run(&engine, "LRANGE dst 0 -1").starts_with("*12000\r\n"));
    assert_eq!(borrower.run(&engine, "LLEN from"), ":0\r\n");
    assert_eq!(borrower.run(&engine, "LINDEX dst -1"), "$1\r\nx\r\n");
    drop(blocked);
}
