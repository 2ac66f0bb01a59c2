//! Readers of streams that wait: for entries, for their group, for their time to be over.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common;

use common::{Harness, START_MS, show};
use quiver_engine::Session;
use quiver_resp::{OwnedArgv, Protocol};

/// Several readers beside the client of the harness, which writes.
struct Readers {
    harness: Harness,
    readers: Vec<Session>,
}

/// What a reader hears that waits.
const WAITS: &str = "(waits)";

impl Readers {
    fn new(count: usize) -> Self {
        let harness = Harness::new();
        let session = |_| Session::new(harness.engine.connect(String::new(), String::new(), START_MS).unwrap(), true);
        let readers = (0..count).map(session).collect();
        Self { harness, readers }
    }

    fn write(&mut self, line: &str) {
        let reply = self.harness.run(line);
        assert!(!reply.starts_with('-'), "{line}: {reply}");
    }

    /// Sends a reader's command.
    fn read(&mut self, reader: usize, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let (argv, mut out) = (OwnedArgv::from_slices(&words), Vec::new());
        let Self { harness: Harness { engine, worker, now_ms, .. }, readers } = self;
        engine.run_one(worker, &mut readers[reader], argv.as_argv(), &mut out, *now_ms);
        if readers[reader].blocked.is_some() { WAITS.to_owned() } else { show(&out) }
    }

    /// What a waiting reader hears now.
    fn hear(&mut self, reader: usize) -> String {
        let Self { harness: Harness { engine, now_ms, .. }, readers } = self;
        let mut out = Vec::new();
        if engine.end_wait(&mut readers[reader], &mut out, *now_ms) { show(&out) } else { WAITS.to_owned() }
    }
}

#[test]
fn every_reader_behind_an_id_gets_the_new_entry() {
    let mut readers = Readers::new(3);
    readers.write("XADD s 1-1 a old");
    readers.readers[2].protocol = Protocol::Resp3;
    assert_eq!(readers.read(0, "XREAD BLOCK 0 STREAMS s $"), WAITS);
    assert_eq!(readers.read(1, "XREAD BLOCK 0 STREAMS other s $ 1-1"), WAITS);
    assert_eq!(readers.read(2, "XREAD BLOCK 0 STREAMS s 1"), "%1['s' *1[*2['1-1' *2['a' 'old']]]]");
    assert_eq!(readers.read(2, "XREAD BLOCK 0 STREAMS s 5"), WAITS);
    readers.write("XADD s 2-2 a new");
    let reply = "*1[*2['s' *1[*2['2-2' *2['a' 'new']]]]]";
    assert_eq!((readers.hear(0), readers.hear(1)), (reply.to_owned(), reply.to_owned()));
    assert_eq!(readers.hear(2), WAITS, "the entry is not behind its id");
    readers.write("XADD s 6-6 a later");
    assert_eq!(readers.hear(2), "%1['s' *1[*2['6-6' *2['a' 'later']]]]");
}

#[test]
fn a_reader_of_the_last_entry_waits_for_the_first_one() {
    let mut readers = Readers::new(1);
    assert_eq!(readers.read(0, "XREAD BLOCK 0 STREAMS s +"), WAITS);
    readers.write("XADD s 2-2 a 1");
    assert_eq!(readers.hear(0), "*1[*2['s' *1[*2['2-2' *2['a' '1']]]]]");
}

#[test]
fn of_the_consumers_of_a_group_only_one_gets_an_entry() {
    let mut readers = Readers::new(2);
    readers.write("XGROUP CREATE s g $ MKSTREAM");
    assert_eq!(readers.read(0, "XREADGROUP GROUP g a BLOCK 0 STREAMS s >"), WAITS);
    assert_eq!(readers.read(1, "XREADGROUP GROUP g b BLOCK 0 STREAMS s >"), WAITS);
    readers.write("XADD s 1-1 f 1");
    assert_eq!((readers.hear(0), readers.hear(1)), ("*1[*2['s' *1[*2['1-1' *2['f' '1']]]]]".into(), WAITS.into()));
    readers.write("XADD s 1-2 f 2");
    assert_eq!(readers.hear(1), "*1[*2['s' *1[*2['1-2' *2['f' '2']]]]]");
    assert_eq!(readers.harness.run("XPENDING s g - + 9"), "*2[*4['1-1' 'a' :0 :1] *4['1-2' 'b' :0 :1]]");
    assert_eq!(readers.read(0, "XREADGROUP GROUP g a BLOCK 0 STREAMS s 5"), "*1[*2['s' *0[]]]", "history never waits");
}

#[test]
fn a_released_entry_wakes_a_reader_that_claims() {
    let mut readers = Readers::new(1);
    readers.write("XADD s 1-1 f 1");
    readers.write("XGROUP CREATE s g 0");
    readers.write("XREADGROUP GROUP g a STREAMS s >");
    assert_eq!(readers.read(0, "XREADGROUP GROUP g b BLOCK 0 CLAIM 1000 STREAMS s >"), WAITS);
    readers.write("XNACK s g FAIL IDS 1 1-1");
    assert_eq!(readers.hear(0), "*1[*2['s' *1[*4['1-1' *2['f' '1'] '-1' '1']]]]");
}

#[test]
fn who_waits_in_a_group_hears_when_it_is_gone() {
    let gone = "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option";
    for (line, reply) in [
        ("DEL s", gone),
        ("XGROUP DESTROY s g", gone),
        ("SET s x", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
    ] {
        let mut readers = Readers::new(2);
        readers.write("XGROUP CREATE s g $ MKSTREAM");
        assert_eq!(readers.read(0, "XREADGROUP GROUP g a BLOCK 0 STREAMS s >"), WAITS);
        assert_eq!(readers.read(1, "XREAD BLOCK 0 STREAMS s $"), WAITS);
        readers.write(line);
        assert_eq!(readers.hear(0), reply, "{line}");
        assert_eq!(readers.hear(1), WAITS, "{line}: without a group there is nothing to miss");
    }
}

#[test]
fn a_wait_ends_with_its_time_and_does_not_begin_in_a_transaction() {
    let mut readers = Readers::new(1);
    assert_eq!(readers.read(0, "XREAD BLOCK 50 STREAMS s $"), WAITS);
    readers.harness.now_ms += 49;
    assert_eq!(readers.hear(0), WAITS);
    readers.harness.now_ms += 1;
    assert_eq!(readers.hear(0), "*-1");
    assert_eq!(readers.read(0, "MULTI"), "+OK");
    assert_eq!(readers.read(0, "XREAD BLOCK 0 STREAMS s $"), "+QUEUED");
    assert_eq!(readers.read(0, "EXEC"), "*1[*-1]");
}
