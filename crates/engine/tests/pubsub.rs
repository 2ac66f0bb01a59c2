//! Channels, patterns, keyspace events and MONITOR: who hears what, and in which order.

mod common;

use common::{Harness, START_MS, show_all};
use quiver_engine::Session;
use quiver_engine::expire::ExpireCursor;
use quiver_resp::{OwnedArgv, Protocol};

/// Several clients of one engine.
struct Room {
    h: Harness,
    clients: Vec<Session>,
}

impl Room {
    fn new(clients: usize) -> Self {
        let h = Harness::new();
        let clients = (0..clients).map(|_| Self::connect(&h)).collect();
        Self { h, clients }
    }

    fn connect(h: &Harness) -> Session {
        Session::new(h.engine.connect("test:3".to_owned(), "test:2".to_owned(), START_MS).expect("a place"), true)
    }

    /// What a command answers, and the messages behind it.
    fn run(&mut self, client: usize, line: &str) -> Vec<String> {
        let words: Vec<&str> = line.split(' ').collect();
        let argv = OwnedArgv::from_slices(&words);
        let mut out = Vec::new();
        let session = &mut self.clients[client];
        self.h.engine.run_one(&mut self.h.worker, session, argv.as_argv(), &mut out, self.h.now_ms);
        show_all(&out)
    }

    fn heard(&self, client: usize) -> Vec<String> {
        let mut bytes = Vec::new();
        self.clients[client].shared.mailbox.drain(|waiting| bytes.extend_from_slice(waiting));
        show_all(&bytes)
    }

    fn resp3(&mut self, client: usize) {
        self.run(client, "HELLO 3");
        assert_eq!(self.clients[client].protocol, Protocol::Resp3);
    }
}

#[test]
fn subscribing_answers_once_for_each_name_with_the_number_of_subscriptions() {
    let mut room = Room::new(1);
    assert_eq!(
        room.run(0, "SUBSCRIBE a b a"),
        ["*3['subscribe' 'a' :1]", "*3['subscribe' 'b' :2]", "*3['subscribe' 'a' :2]"]
    );
    assert_eq!(room.run(0, "PSUBSCRIBE x*"), ["*3['psubscribe' 'x*' :3]"]);
    assert_eq!(room.run(0, "SSUBSCRIBE s"), ["*3['ssubscribe' 's' :1]"]);
    assert_eq!(room.run(0, "UNSUBSCRIBE nothing"), ["*3['unsubscribe' 'nothing' :3]"]);
    assert_eq!(room.run(0, "UNSUBSCRIBE"), ["*3['unsubscribe' 'a' :2]", "*3['unsubscribe' 'b' :1]"]);
    assert_eq!(room.run(0, "UNSUBSCRIBE"), ["*3['unsubscribe' $-1 :1]"]);
    assert_eq!(room.run(0, "PUNSUBSCRIBE"), ["*3['punsubscribe' 'x*' :0]"]);
    assert_eq!(room.run(0, "SUNSUBSCRIBE"), ["*3['sunsubscribe' 's' :0]"]);
    room.resp3(0);
    assert_eq!(room.run(0, "SUBSCRIBE a"), [">3['subscribe' 'a' :1]"]);
    assert_eq!(room.run(0, "PUNSUBSCRIBE"), [">3['punsubscribe' _ :1]"]);
}

#[test]
fn a_message_reaches_channels_and_patterns_and_nobody_else() {
    let mut room = Room::new(4);
    room.run(0, "SUBSCRIBE news");
    room.run(1, "PSUBSCRIBE n* ne?s");
    room.run(2, "SSUBSCRIBE news");
    assert_eq!(room.run(3, "PUBLISH news hello"), [":3"]);
    assert_eq!(room.heard(0), ["*3['message' 'news' 'hello']"]);
    assert_eq!(room.heard(1), ["*4['pmessage' 'n*' 'news' 'hello']", "*4['pmessage' 'ne?s' 'news' 'hello']"]);
    assert_eq!(room.heard(2), [""; 0]);
    assert_eq!(room.run(3, "SPUBLISH news hi"), [":1"]);
    assert_eq!(room.heard(2), ["*3['smessage' 'news' 'hi']"]);
    assert_eq!(room.run(3, "PUBLISH other x"), [":0"]);
    assert!(room.heard(0).is_empty() && room.heard(1).is_empty());
}

#[test]
fn what_one_sends_oneself_comes_behind_the_reply_and_behind_the_whole_transaction() {
    let mut room = Room::new(1);
    room.resp3(0);
    room.run(0, "SUBSCRIBE me");
    assert_eq!(room.run(0, "PUBLISH me 1"), [":1", ">3['message' 'me' '1']"]);
    for line in ["MULTI", "PUBLISH me 2", "SET k v"] {
        room.run(0, line);
    }
    assert_eq!(room.run(0, "EXEC"), ["*2[:1 +OK]", ">3['message' 'me' '2']"]);
}

#[test]
fn a_subscriber_of_resp2_may_do_little_else_and_is_free_again_afterwards() {
    let mut room = Room::new(1);
    room.run(0, "SUBSCRIBE a");
    let refused = |name: &str| {
        format!(
            "-ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in \
             this context"
        )
    };
    assert_eq!(room.run(0, "GET k"), [refused("get")]);
    assert_eq!(room.run(0, "CLIENT ID"), [refused("client|id")]);
    assert_eq!(room.run(0, "PING"), ["*2['pong' '']"]);
    assert_eq!(room.run(0, "PING x"), ["*2['pong' 'x']"]);
    room.run(0, "UNSUBSCRIBE");
    assert_eq!(room.run(0, "PING"), ["+PONG"]);
    assert_eq!(room.run(0, "GET k"), ["$-1"]);
    room.run(0, "SUBSCRIBE a");
    assert_eq!(room.run(0, "RESET"), ["+RESET"]);
    assert_eq!(room.run(0, "GET k"), ["$-1"]);
    room.resp3(0);
    room.run(0, "SUBSCRIBE a");
    assert_eq!(room.run(0, "GET k"), ["_"]);
}

#[test]
fn messages_that_wait_come_before_the_confirmation_that_the_channel_was_left() {
    let mut room = Room::new(2);
    room.run(0, "SUBSCRIBE a");
    room.run(1, "PUBLISH a 1");
    assert_eq!(room.run(0, "UNSUBSCRIBE a"), ["*3['message' 'a' '1']", "*3['unsubscribe' 'a' :0]"]);
    assert_eq!(room.run(1, "PUBLISH a 2"), [":0"]);
}

#[test]
fn a_new_protocol_holds_for_messages_sent_from_then_on() {
    let mut room = Room::new(2);
    room.resp3(0);
    room.run(0, "SUBSCRIBE a");
    room.run(1, "PUBLISH a 1");
    let replies = room.run(0, "HELLO 2");
    assert_eq!(replies[0], ">3['message' 'a' '1']");
    room.run(1, "PUBLISH a 2");
    assert_eq!(room.heard(0), ["*3['message' 'a' '2']"]);
}

#[test]
fn client_reply_off_silences_replies_but_no_messages() {
    let mut room = Room::new(2);
    room.run(0, "CLIENT REPLY OFF");
    assert!(room.run(0, "SUBSCRIBE a").is_empty());
    room.run(1, "PUBLISH a 1");
    assert_eq!(room.heard(0), ["*3['subscribe' 'a' :1]", "*3['message' 'a' '1']"]);
}

#[test]
fn pubsub_counts_channels_patterns_and_subscribers() {
    let mut room = Room::new(3);
    room.run(0, "SUBSCRIBE one two");
    room.run(1, "SUBSCRIBE two");
    room.run(1, "PSUBSCRIBE t*");
    room.run(1, "SSUBSCRIBE shard");
    room.h.expect(&[
        ("PUBSUB CHANNELS", "*2['one' 'two']"),
        ("PUBSUB CHANNELS t*", "*1['two']"),
        ("PUBSUB NUMSUB", "*0[]"),
        ("PUBSUB NUMSUB two none", "*4['two' :2 'none' :0]"),
        ("PUBSUB NUMPAT", ":1"),
        ("PUBSUB SHARDCHANNELS", "*1['shard']"),
        ("PUBSUB SHARDNUMSUB shard one", "*4['shard' :1 'one' :0]"),
        ("PUBSUB NUMPAT x", "-ERR wrong number of arguments for 'pubsub|numpat' command"),
        ("PUBSUB NOPE", "-ERR unknown subcommand 'NOPE'. Try PUBSUB HELP."),
    ]);
    room.h.engine.disconnect(room.clients[1].shared.id);
    room.h.expect(&[("PUBSUB NUMSUB two", "*2['two' :1]"), ("PUBSUB NUMPAT", ":0"), ("PUBSUB SHARDCHANNELS", "*0[]")]);
}

#[test]
fn a_published_message_goes_into_the_stream_and_is_heard_from_there() {
    let mut pair = common::Replicated::new();
    let mut listener = Room::connect(&pair.replica);
    let argv = OwnedArgv::from_slices(&["SUBSCRIBE", "a"]);
    let replica = &mut pair.replica;
    replica.engine.run_one(&mut replica.worker, &mut listener, argv.as_argv(), &mut Vec::new(), replica.now_ms);
    assert_eq!(pair.run("PUBLISH a hello"), ":0");
    assert_eq!(pair.last, [[&b"PUBLISH"[..], b"a", b"hello"]]);
    let mut bytes = Vec::new();
    listener.shared.mailbox.drain(|waiting| bytes.extend_from_slice(waiting));
    assert_eq!(show_all(&bytes), ["*3['message' 'a' 'hello']"]);
}

// --- keyspace events ------------------------------------------------------------------------------------------------

/// The events of commands as `event key`, with the database where it is not 0.
fn events(room: &mut Room, lines: &[&str]) -> Vec<String> {
    for line in lines {
        let replies = room.run(0, line);
        assert!(!replies[0].starts_with('-'), "{line}: {replies:?}");
    }
    let shown = room.heard(1).into_iter().map(|message| {
        let words: Vec<&str> = message.split('\'').collect();
        let (channel, key) = (words[5], words[7]);
        let (db, event) =
            channel.strip_prefix("__keyevent@").and_then(|rest| rest.split_once("__:")).expect("an event");
        format!("{event} {key}{}", if db == "0" { String::new() } else { format!("@{db}") })
    });
    shown.collect()
}

fn listening(classes: &str) -> Room {
    let mut room = Room::new(2);
    room.run(0, &format!("CONFIG SET notify-keyspace-events {classes}"));
    room.run(1, "PSUBSCRIBE __keyevent@*");
    room.heard(1);
    room
}

#[test]
fn strings_say_what_happened_to_them() {
    let mut room = listening("EA");
    for (lines, expected) in [
        (&["SET a 1"][..], &["set a"][..]),
        (&["SET a 1 EX 10"], &["set a", "expire a"]),
        (&["SET a 1 KEEPTTL", "SET a 1 NX"], &["set a"]),
        (&["SETEX a 10 1", "PSETEX a 10000 1"], &["set a", "expire a", "set a", "expire a"]),
        (&["SETNX a 1", "SETNX b 1", "GETSET a 5"], &["set b", "set a"]),
        (&["MSET a 1 b 2", "MSETNX a 1 c 1", "MSETNX c 1 d 1"], &["set a", "set b", "set c", "set d"]),
        (&["APPEND a x", "SETRANGE a 0 y", "SETRANGE nothing 0 "], &["append a", "setrange a"]),
        (
            &["SET n 1", "INCR n", "DECRBY n 3", "INCRBYFLOAT n 1.5"],
            &["set n", "incrby n", "incrby n", "incrbyfloat n"],
        ),
        (&["GETEX a EX 10", "GETEX a PERSIST", "GETEX a PERSIST", "GETDEL a"], &["expire a", "persist a", "del a"]),
        (&["GETEX b PXAT 1", "DEL c d c nothing", "UNLINK n"], &["del b", "del c", "del d", "del n"]),
    ] {
        assert_eq!(events(&mut room, lines), expected, "{lines:?}");
    }
}

#[test]
fn keys_say_what_happened_to_them() {
    let mut room = listening("EA");
    for (lines, expected) in [
        (&["SET a 1", "EXPIRE a 10", "PERSIST a", "PERSIST a"][..], &["set a", "expire a", "persist a"][..]),
        (
            &["RENAME a b", "RENAME b b", "RENAMENX b c"],
            &["rename_from a", "rename_to b", "rename_from b", "rename_to c"],
        ),
        (&["COPY c d", "COPY c d", "COPY c d DB 2"], &["copy_to d", "copy_to d@2"]),
        (&["MOVE c 1", "SET c 2", "MOVE c 1"], &["move_from c", "move_to c@1", "set c"]),
        (&["EXPIRE c -1", "EXPIRE nothing 10"], &["del c"]),
        (&["FLUSHALL"], &[]),
        (&["HSET h f 1 g 2", "HSETNX h f 1", "HSETNX h k 1"], &["hset h", "hset h"]),
        (&["HINCRBY h f 1", "HINCRBYFLOAT h f 1", "HDEL h nothing"], &["hincrby h", "hincrbyfloat h"]),
        (&["HDEL h f g", "HDEL h k"], &["hdel h", "hdel h", "del h"]),
    ] {
        assert_eq!(events(&mut room, lines), expected, "{lines:?}");
    }
}

#[test]
fn keys_that_expire_are_new_or_missing_say_so() {
    let mut room = listening("Exnmo");
    assert_eq!(events(&mut room, &["SET a 1 PX 100"]), ["new a"]);
    room.h.now_ms += 100;
    assert_eq!(events(&mut room, &["GET a", "OBJECT ENCODING a", "EXISTS a"]), ["expired a", "keymiss a", "keymiss a"]);
    assert_eq!(events(&mut room, &["SET a 1 PX 100", "APPEND b 1", "HSET h f v"]), ["new a", "new b", "new h"]);
    room.h.now_ms += 100;
    assert_eq!(events(&mut room, &["SET a 2", "SET a 3"]), ["expired a", "new a", "overwritten a"]);
    assert_eq!(events(&mut room, &["SET a 1 PX 100"]), ["overwritten a"]);
    room.h.now_ms += 100;
    room.h.engine.expire_round(&mut room.h.worker, &mut Default::default(), 1_000_000, room.h.now_ms);
    assert_eq!(events(&mut room, &[]), ["expired a"]);
}

#[test]
fn what_goes_without_a_command_says_so_too() {
    let mut room = listening("EA");
    let written = ["SET a 1", "SET b 1 PX 10", "HSET h f 1 g 1", "HPEXPIRE h 10 FIELDS 1 f"];
    assert_eq!(events(&mut room, &written), ["set a", "set b", "expire b", "hset h", "hexpire h"]);
    room.h.now_ms += 10;
    room.h.engine.expire_round(&mut room.h.worker, &mut ExpireCursor::default(), usize::MAX, room.h.now_ms);
    assert_eq!(events(&mut room, &[]), ["expired b", "hexpired h"]);
    assert_eq!(events(&mut room, &["DEL h", "CONFIG SET maxmemory 1mb maxmemory-policy allkeys-lru"]), ["del h"]);
    room.h.engine.set_memory(2 << 20, 0);
    assert_eq!(events(&mut room, &["EXISTS a"]), ["evicted a"]);
}

#[test]
fn a_class_without_its_letter_is_silent_and_both_kinds_of_channel_carry_an_event() {
    let mut room = listening("Kg");
    room.run(1, "PUNSUBSCRIBE");
    room.run(1, "PSUBSCRIBE *");
    room.heard(1);
    room.run(0, "SET a 1");
    room.run(0, "DEL a");
    assert_eq!(room.heard(1), ["*4['pmessage' '*' '__keyspace@0__:a' 'del']"]);
    room.run(0, "CONFIG SET notify-keyspace-events KEA");
    room.run(0, "SET a 1");
    assert_eq!(
        room.heard(1),
        ["*4['pmessage' '*' '__keyspace@0__:a' 'set']", "*4['pmessage' '*' '__keyevent@0__:set' 'a']"]
    );
}

#[test]
fn fields_are_named_on_channels_of_their_own() {
    let mut room = listening("STIV");
    room.run(1, "PUNSUBSCRIBE");
    room.run(1, "PSUBSCRIBE __subkey*");
    room.heard(1);
    room.run(0, "HSET myhash field1 v field2 v");
    assert_eq!(
        room.heard(1),
        [
            "*4['pmessage' '__subkey*' '__subkeyspace@0__:myhash' 'hset|6:field1,6:field2']",
            "*4['pmessage' '__subkey*' '__subkeyevent@0__:hset' '6:myhash|6:field1,6:field2']",
            "*4['pmessage' '__subkey*' '__subkeyspaceitem@0__:myhash\\nfield1' 'hset']",
            "*4['pmessage' '__subkey*' '__subkeyspaceitem@0__:myhash\\nfield2' 'hset']",
            "*4['pmessage' '__subkey*' '__subkeyspaceevent@0__:hset|myhash' '6:field1,6:field2']",
        ]
    );
}

// --- MONITOR --------------------------------------------------------------------------------------------------------

#[test]
fn monitor_shows_commands_but_no_secrets_and_no_administration() {
    let mut room = Room::new(2);
    assert_eq!(room.run(1, "MONITOR"), ["+OK"]);
    room.run(0, "SELECT 3");
    room.run(0, "SET k v");
    room.run(0, "CONFIG GET port");
    room.run(0, "AUTH default secret");
    room.run(0, "NOSUCH x");
    room.run(0, "GET");
    assert_eq!(
        room.heard(1),
        [
            "+1700000000.000000 [3 test:3] \"SELECT\" \"3\"",
            "+1700000000.000000 [3 test:3] \"SET\" \"k\" \"v\"",
            "+1700000000.000000 [3 test:3] \"AUTH\" \"(redacted)\" \"(redacted)\"",
        ]
    );
    assert_eq!(room.run(1, "GET k"), ["-ERR Replica can't interact with the keyspace"]);
    assert!(room.run(1, "MONITOR").is_empty());
    assert_eq!(room.run(1, "RESET")[0], "+RESET");
    room.run(0, "SET k v");
    assert!(room.heard(1).is_empty());
}

#[test]
fn client_list_shows_what_a_client_listens_to() {
    let mut room = Room::new(4);
    room.run(1, "SUBSCRIBE a b");
    room.run(1, "PSUBSCRIBE c*");
    room.run(1, "SSUBSCRIBE d");
    room.run(2, "MONITOR");
    room.run(3, "CLIENT TRACKING ON BCAST REDIRECT 2");
    let list = room.run(0, "CLIENT LIST").remove(0);
    let lines: Vec<&str> = list.trim_matches('\'').split("\\n").collect();
    for (at, marks) in [
        (1, &[" flags=N ", " sub=0 psub=0 ssub=0 ", " redir=-1 ", " cmd=client|list "][..]),
        (2, &[" flags=P ", " sub=2 psub=1 ssub=1 ", " cmd=ssubscribe "]),
        (3, &[" flags=O ", " cmd=monitor "]),
        (4, &[" flags=tB ", " redir=2 "]),
    ] {
        for mark in marks {
            assert!(lines[at].contains(mark), "{mark}: {}", lines[at]);
        }
    }
    let pubsub = room.run(0, "CLIENT LIST TYPE pubsub").remove(0);
    assert!(pubsub.contains("flags=P") && !pubsub.contains("flags=N"), "{pubsub}");
    assert_eq!(room.run(0, "CLIENT KILL TYPE pubsub"), [":1"]);
}

#[test]
fn the_parameters_of_messages_are_read_as_redis_reads_them() {
    Harness::new().expect(&[
        ("CONFIG SET notify-keyspace-events KEAn", "+OK"),
        ("CONFIG GET notify-keyspace-events", "*2['notify-keyspace-events' 'AKE']"),
        (
            "CONFIG GET client-output-buffer-limit",
            "*2['client-output-buffer-limit' 'normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60']",
        ),
        ("CONFIG SET client-output-buffer-limit 'pubsub 0 1kb 3'", "+OK"),
        (
            "CONFIG GET client-output-buffer-limit",
            "*2['client-output-buffer-limit' 'normal 0 0 0 slave 268435456 67108864 60 pubsub 0 1024 3']",
        ),
        (
            "CONFIG SET client-output-buffer-limit 'master 1 2 3'",
            "-ERR CONFIG SET failed (possibly related to argument 'client-output-buffer-limit') - Invalid client class \
             specified in buffer limit configuration.",
        ),
    ]);
}
