//! Function libraries beyond their replies: snapshots, replicas, threads, time.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::Harness;
use quiver_engine::Engine;
use quiver_engine::effects::{Effects, Sink};
use quiver_engine::session::Role;
use quiver_persist::{LoadOptions, SaveOptions, SnapshotStream, load};
use quiver_resp::{Argv, Decoder, Limits, Requests};

const LIBRARY: &str = "#!lua name=lib
redis.register_function{function_name='one', callback=function() return 1 end, flags={'no-writes'}, description='one'}
redis.register_function('put', function(keys, args) return redis.call('SET', keys[1], args[1]) end)";

fn load_library(harness: &mut Harness, source: &str) -> String {
    common::show(&harness.run_words(&[b"FUNCTION".as_slice(), b"LOAD", b"REPLACE", source.as_bytes()]))
}

/// The payload of FUNCTION DUMP.
fn dump(harness: &mut Harness) -> Vec<u8> {
    // What comes from a primary gets no replies.
    let role = std::mem::replace(&mut harness.session.role, Role::Normal);
    let reply = harness.run_words(&["FUNCTION", "DUMP"]);
    harness.session.role = role;
    let start = reply.windows(2).position(|pair| pair == b"\r\n").unwrap() + 2;
    reply[start..reply.len() - 2].to_vec()
}

/// All bytes of a snapshot.
fn snapshot(engine: &Arc<Engine>) -> Vec<u8> {
    let mut stream = SnapshotStream::begin(Arc::clone(engine), &SaveOptions::new("8.2.1", 0), |_| None).unwrap();
    std::iter::from_fn(|| stream.next_piece()).flatten().collect()
}

#[test]
fn libraries_are_in_snapshots() {
    let mut harness = Harness::new();
    assert_eq!(load_library(&mut harness, LIBRARY), "'lib'");
    let bytes = snapshot(&harness.engine);
    let mut other = Harness::new();
    load_library(&mut other, "#!lua name=old\nredis.register_function('old', function() return 0 end)");
    let options = LoadOptions { databases: 16, now_ms: 0, discard_expired: true, clock: None };
    let loaded = load(&other.engine, &mut bytes.as_slice(), &options, &mut |_| {}).unwrap();
    assert_eq!(loaded.libraries, 1);
    assert_eq!(other.run("FCALL one 0"), ":1");
    assert_eq!(other.run("FCALL old 0"), "-ERR Function not found");
    assert_eq!(other.run("FUNCTION LIST WITHCODE"), harness.run("FUNCTION LIST WITHCODE"));
}

#[test]
fn a_snapshot_with_a_faulty_library_is_refused_and_changes_nothing() {
    let mut harness = Harness::new();
    load_library(&mut harness, LIBRARY);
    harness.run("SET k v");
    let mut other = Harness::new();
    other.run("SET kept v");
    // The name is no name any more; the checksum is that of the changed bytes.
    let mut bytes = snapshot(&harness.engine);
    let at = bytes.windows(8).position(|window| window == b"name=lib").unwrap();
    bytes[at + 5] = b'-';
    let end = bytes.len() - 8;
    bytes[end..].fill(0);
    let options = LoadOptions { databases: 16, now_ms: 0, discard_expired: true, clock: None };
    assert!(load(&other.engine, &mut bytes.as_slice(), &options, &mut |_| {}).is_err());
    assert_eq!((other.run("GET kept").as_str(), other.run("GET k").as_str()), ("'v'", "nil$"));
}

#[derive(Default)]
struct Recorder(Mutex<Vec<u8>>);

impl Sink for Recorder {
    fn append(&self, effects: &Effects) {
        effects.units().flatten().for_each(|(_, bytes)| self.0.lock().unwrap().extend_from_slice(bytes));
    }
}

#[test]
fn changes_of_libraries_reach_replicas() {
    let mut primary = Harness::new();
    let mut replica = Harness::new();
    replica.session.role = Role::Primary;
    let recorder = Arc::new(Recorder::default());
    primary.engine.set_sink(Some(Arc::clone(&recorder) as Arc<dyn Sink>), || ());
    let follow = |replica: &mut Harness| {
        let bytes = std::mem::take(&mut *recorder.0.lock().unwrap());
        let (mut requests, mut decoder) = (Requests::default(), Decoder::default());
        decoder.decode(&bytes, &Limits::default(), &mut requests, usize::MAX).unwrap();
        requests.iter(&bytes).for_each(|argv: Argv<'_>| {
            let words: Vec<&[u8]> = argv.iter().collect();
            replica.run_words(&words);
        });
    };
    load_library(&mut primary, LIBRARY);
    follow(&mut replica);
    assert_eq!(dump(&mut primary), dump(&mut replica));
    primary.run("FCALL put 1 k v");
    follow(&mut replica);
    replica.session.role = Role::Normal;
    assert_eq!(replica.run("GET k"), "'v'");
    replica.session.role = Role::Primary;
    let payload = dump(&mut primary);
    primary.run("FUNCTION DELETE lib");
    follow(&mut replica);
    assert_eq!(dump(&mut primary), dump(&mut replica));
    primary.run_words(&[b"FUNCTION".as_slice(), b"RESTORE", &payload]);
    follow(&mut replica);
    assert_eq!(dump(&mut replica), payload);
    primary.run("FUNCTION FLUSH");
    follow(&mut replica);
    assert_eq!(dump(&mut replica).len(), 10, "only the seal is left");
}

#[test]
fn payloads_are_restored_by_policy() {
    let mut harness = Harness::new();
    load_library(&mut harness, LIBRARY);
    let payload = dump(&mut harness);
    let mut restore = |words: &[&str]| {
        let mut all = vec![b"FUNCTION".as_slice(), b"RESTORE", &payload];
        all.extend(words.iter().map(|word| word.as_bytes()));
        common::show(&harness.run_words(&all))
    };
    assert_eq!(restore(&[]), "-ERR Library lib already exists");
    assert_eq!(restore(&["append"]), "-ERR Library lib already exists");
    assert_eq!(restore(&["replace"]), "+OK");
    assert_eq!(restore(&["FLUSH"]), "+OK");
    harness.run("FUNCTION FLUSH");
    load_library(&mut harness, "#!lua name=other\nredis.register_function('one', function() return 2 end)");
    let mut restore =
        |policy: &[u8]| common::show(&harness.run_words(&[b"FUNCTION".as_slice(), b"RESTORE", &payload, policy]));
    assert_eq!(restore(b"REPLACE"), "-ERR Function one already exists");
    assert_eq!(restore(b"FLUSH"), "+OK");
    assert_eq!(harness.run("FCALL one 0"), ":1");
    assert_eq!(harness.run("FUNCTION DELETE other"), "-ERR Library not found");
    let mut damaged = payload.clone();
    damaged[3] ^= 1;
    let refused = harness.run_words(&[b"FUNCTION".as_slice(), b"RESTORE", &damaged, b"FLUSH"]);
    assert_eq!(common::show(&refused), "-ERR DUMP payload version or checksum are wrong");
    assert_eq!(harness.run("FCALL one 0"), ":1");
}

#[test]
fn every_thread_has_the_library_that_is_meant() {
    let mut harness = Harness::new();
    for version in 1..4 {
        let source = format!("#!lua name=lib\nredis.register_function('f', function() return {version} end)");
        load_library(&mut harness, &source);
        let expected = format!(":{version}");
        assert_eq!(harness.run("FCALL f 0"), expected);
        let engine = Arc::clone(&harness.engine);
        let there = std::thread::spawn(move || Harness::of(&engine).run("FCALL f 0")).join().unwrap();
        assert_eq!(there, expected);
    }
    harness.run("FUNCTION FLUSH");
    assert_eq!(harness.run("FCALL f 0"), "-ERR Function not found");
}

#[test]
fn a_library_keeps_its_variables_between_calls() {
    let mut harness = Harness::new();
    load_library(
        &mut harness,
        "#!lua name=lib\nlocal n = 0\nredis.register_function('f', function() n = n + 1 return n end)",
    );
    load_library(&mut harness, "#!lua name=other\nredis.register_function('g', function() return 0 end)");
    assert_eq!(harness.run("FCALL f 0"), ":1");
    load_library(&mut harness, "#!lua name=other\nredis.register_function('g', function() return 1 end)");
    assert_eq!(harness.run("FCALL f 0"), ":2", "another library was loaded, not this one");
}

#[test]
fn a_source_that_does_not_end_is_ended() {
    let mut harness = Harness::new();
    for source in [
        "#!lua name=lib\nwhile true do end",
        "#!lua name=lib\nlocal function f() return f() end f()",
        "#!lua name=lib\nlocal s = ('a'):rep(1e6) while true do s:find('.-b') end",
    ] {
        let since = Instant::now();
        let reply = load_library(&mut harness, source);
        assert!(reply.contains("FUNCTION LOAD timeout"), "{reply}");
        assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    }
    assert_eq!(load_library(&mut harness, LIBRARY), "'lib'");
    assert_eq!(harness.run("FCALL one 0"), ":1");
}

#[test]
fn settings_of_cjson_hold_until_the_end_of_a_call() {
    let mut harness = Harness::new();
    let source = "#!lua name=lib
redis.register_function('set', function() cjson.encode_number_precision(3) return cjson.encode(1/3) end)
redis.register_function('get', function() return cjson.encode(1/3) end)";
    load_library(&mut harness, source);
    assert_eq!(harness.run("FCALL set 0"), "'0.333'");
    assert_eq!(harness.run("FCALL get 0"), "'0.33333333333333'");
    assert_eq!(harness.eval("cjson.encode_number_precision(5) return cjson.encode(1/3)"), "'0.33333'");
    assert_eq!(harness.eval("return cjson.encode(1/3)"), "'0.33333333333333'");
}

#[test]
fn a_library_that_was_refused_leaves_nothing_behind() {
    let mut harness = Harness::new();
    load_library(&mut harness, LIBRARY);
    let before = dump(&mut harness);
    let reply = load_library(
        &mut harness,
        "#!lua name=lib\nredis.register_function('one', function() return 9 end) error('x')",
    );
    assert!(reply.starts_with("-ERR Error registering functions"), "{reply}");
    assert_eq!(dump(&mut harness), before);
    assert_eq!(harness.run("FCALL one 0"), ":1");
}

#[test]
fn an_endless_function_is_killed_by_its_own_command() {
    let mut harness = Harness::new();
    load_library(
        &mut harness,
        "#!lua name=lib\nredis.register_function('f', function() while true do pcall(function() while true do end end) end end)",
    );
    harness.engine.config.set("busy-reply-threshold", "20", true).unwrap();
    let engine = Arc::clone(&harness.engine);
    let running = std::thread::spawn(move || harness.run("FCALL f 1 k"));
    let since = Instant::now();
    while !engine.scripts.is_busy() {
        assert!(since.elapsed() < Duration::from_secs(10), "the function is never noticed");
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut other = Harness::of(&engine);
    let busy = "-BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.";
    assert_eq!(other.run("GET k"), busy);
    assert_eq!(other.run("SCRIPT KILL"), busy);
    let stats = other.run("FUNCTION STATS");
    assert!(stats.contains("'running_script' ['name' 'f' 'command' ['FCALL' 'f' '1' 'k'] 'duration_ms' :"), "{stats}");
    assert_eq!(other.run("FUNCTION KILL"), "+OK");
    let reply = running.join().unwrap();
    assert!(reply.starts_with("-ERR Script killed by user with FUNCTION KILL."), "{reply}");
    assert_eq!(other.run("FUNCTION KILL"), "-NOTBUSY No scripts in execution right now.");
}

#[test]
fn there_is_room_for_thousands_of_functions_and_loaded_scripts() {
    let mut harness = Harness::new();
    let source = |name: &str| {
        let mut source = format!("#!lua name={name}\n");
        (0..900).for_each(|n| {
            source.push_str(&format!("redis.register_function('{name}{n}', function() return {n} end)\n"))
        });
        source
    };
    for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] {
        assert_eq!(load_library(&mut harness, &source(name)), format!("'{name}'"));
        assert_eq!(harness.run(&format!("FCALL {name}1 0")), ":1");
    }
    for n in 0..9000 {
        harness.run_words(&["SCRIPT", "LOAD", &format!("return {n}")]);
    }
    assert_eq!(harness.run("FCALL a899 0"), ":899");
    assert_eq!(harness.run("FCALL b17 0"), ":17");
    assert_eq!(harness.eval("return 8999"), ":8999");
}
