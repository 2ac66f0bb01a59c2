//! A primary's stream as a replica runs it: what was run, and where a transaction is open, reaches the sink in the turn
//! that ran it.

use std::sync::{Arc, Mutex};

use quiver_engine::effects::{Behind, Effects, Sink};
use quiver_engine::session::Role;
use quiver_engine::{ClientInfo, Engine, Session};
use quiver_resp::{Decoder, Limits, Requests, write_command};

/// What was received, what is true behind it, and how many units came of it.
type Received = (Vec<u8>, Behind, usize);

#[derive(Default)]
struct Recorder(Mutex<Vec<Received>>);

impl Sink for Recorder {
    fn append(&self, effects: &Effects) {
        let (bytes, behind) = effects.received().expect("only a primary's stream is run here");
        self.0.lock().expect("no test panics with it").push((bytes.to_vec(), behind, effects.units().count()));
    }
}

/// Runs commands as a primary's; gives what the sink got, and the bytes that were sent.
fn run(lines: &[&str]) -> (Vec<Received>, Vec<u8>) {
    let engine = Engine::standalone();
    let recorder = Arc::new(Recorder::default());
    engine.set_sink(Some(Arc::clone(&recorder) as Arc<dyn Sink>), || ());
    let mut wire = Vec::new();
    for line in lines {
        write_command(&mut wire, &line.split(' ').collect::<Vec<_>>());
    }
    let mut session = Session::new(Arc::new(ClientInfo::new(1, String::new(), String::new(), 0)), true);
    session.role = Role::Primary;
    let (mut worker, mut requests, mut out) = (engine.worker(1, || 0), Requests::new(), Vec::new());
    Decoder::new().decode(&wire, &Limits::default(), &mut requests, 1000).expect("whole commands");
    let mut next = 0;
    while next < requests.len() {
        next = engine.run(&mut worker, &mut session, &requests, &wire, next, &mut out, 1000);
    }
    let received = std::mem::take(&mut *recorder.0.lock().expect("no test panics with it"));
    (received, wire)
}

#[test]
fn every_byte_is_received_once_and_in_order_whatever_the_commands_are() {
    let lines = [
        "SELECT 3",
        "SET a 1",
        "INCR a",
        "PING",
        "REPLCONF GETACK *",
        "NOSUCH command",
        "INCR",
        "MULTI",
        "SET b 1",
        "INCR b",
        "EXEC",
        "PUBLISH c m",
        "FLUSHALL",
        "SELECT 0",
        "SET a 1",
        "GET a",
    ];
    let (received, wire) = run(&lines);
    let whole: Vec<u8> = received.iter().flat_map(|(bytes, ..)| bytes.clone()).collect();
    assert_eq!(whole, wire);
    let last = received.last().expect("something was received").1;
    assert_eq!(last, Behind { db: 0, whole: true });
}

#[test]
fn inside_a_transaction_nothing_is_whole_and_its_end_yields_one_unit() {
    let (received, _) = run(&["SELECT 2", "MULTI", "SET a 1", "SET b 1", "EXEC"]);
    let wholes: Vec<(bool, usize)> = received.iter().map(|(_, behind, units)| (behind.whole, *units)).collect();
    assert_eq!(wholes, [(true, 0), (false, 0), (false, 0), (false, 0), (true, 1)]);
    assert!(received.iter().all(|(_, behind, _)| behind.db == 2));
}
