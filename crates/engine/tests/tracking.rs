//! Client-side caching: which clients are told that a key changed, and when.

mod common;

use common::{Harness, START_MS, show_all};
use quiver_engine::Session;
use quiver_resp::OwnedArgv;

/// A caching client that speaks RESP3, and others.
struct Room {
    h: Harness,
    clients: Vec<Session>,
}

/// The client that caches.
const ME: usize = 0;
/// One that writes.
const OTHER: usize = 1;
/// One that listens in RESP2 for another.
const EAR: usize = 2;

impl Room {
    fn new() -> Self {
        let h = Harness::new();
        let connect = |_| {
            Session::new(h.engine.connect("test:3".to_owned(), "test:2".to_owned(), START_MS).expect("a place"), true)
        };
        let clients = (0..3).map(connect).collect();
        let mut room = Self { h, clients };
        room.run(ME, "HELLO 3");
        room
    }

    fn run(&mut self, client: usize, line: &str) -> Vec<String> {
        let words: Vec<&str> = line.split(' ').collect();
        let argv = OwnedArgv::from_slices(&words);
        let mut out = Vec::new();
        let session = &mut self.clients[client];
        self.h.engine.run_one(&mut self.h.worker, session, argv.as_argv(), &mut out, self.h.now_ms);
        show_all(&out)
    }

    fn all(&mut self, client: usize, lines: &[&str]) {
        for line in lines {
            let replies = self.run(client, line);
            assert!(!replies[0].starts_with('-'), "{line}: {replies:?}");
        }
    }

    fn heard(&self, client: usize) -> Vec<String> {
        let mut bytes = Vec::new();
        self.clients[client].shared.mailbox.drain(|waiting| bytes.extend_from_slice(waiting));
        show_all(&bytes)
    }

    fn id(&self, client: usize) -> u64 {
        self.clients[client].shared.id
    }
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_key_that_was_read_is_told_once_when_it_changes() {
    let mut room = Room::new();
    room.all(ME, &["CLIENT TRACKING ON", "GET a", "MGET b c"]);
    room.all(OTHER, &["SET a 1", "SET a 2", "SET d 1", "MSET b 1 c 1"]);
    assert_eq!(room.heard(ME), [">2['invalidate' *1['a']]", ">2['invalidate' *1['b']]", ">2['invalidate' *1['c']]"]);
    room.all(ME, &["GET a"]);
    room.all(OTHER, &["DEL a"]);
    assert_eq!(room.heard(ME), [">2['invalidate' *1['a']]"]);
    room.all(ME, &["GET a", "CLIENT TRACKING OFF"]);
    room.all(OTHER, &["SET a 1"]);
    assert_eq!(room.heard(ME), NOTHING);
}

#[test]
fn ones_own_change_is_told_behind_the_reply_unless_noloop_was_asked_for() {
    let mut room = Room::new();
    room.all(ME, &["CLIENT TRACKING ON", "GET a"]);
    assert_eq!(room.run(ME, "SET a 1"), ["+OK", ">2['invalidate' *1['a']]"]);
    room.all(ME, &["GET a", "MULTI", "SET a 2", "GET b"]);
    assert_eq!(room.run(ME, "EXEC"), ["*2[+OK _]", ">2['invalidate' *1['a']]"]);
    room.all(OTHER, &["SET b 1"]);
    assert_eq!(room.heard(ME), [">2['invalidate' *1['b']]"]);
    room.all(ME, &["CLIENT TRACKING OFF", "CLIENT TRACKING ON NOLOOP", "GET a"]);
    assert_eq!(room.run(ME, "SET a 1"), ["+OK"]);
    room.all(OTHER, &["SET a 1"]);
    assert_eq!(room.heard(ME), NOTHING, "one's own change took the key out of the table");
}

#[test]
fn a_key_that_expires_is_told_whoever_finds_out() {
    let mut room = Room::new();
    room.all(OTHER, &["SET a 1 PX 100", "SET b 1 PX 100"]);
    room.all(ME, &["CLIENT TRACKING ON", "GET a", "GET b"]);
    room.h.now_ms += 100;
    assert_eq!(room.run(ME, "GET a"), ["_", ">2['invalidate' *1['a']]"]);
    room.h.engine.expire_round(&mut room.h.worker, &mut Default::default(), 1_000_000, room.h.now_ms);
    assert_eq!(room.heard(ME), [">2['invalidate' *1['b']]"]);
    room.all(OTHER, &["SET a 1"]);
    assert_eq!(room.heard(ME), [">2['invalidate' *1['a']]"], "that there is nothing was read as well");
}

#[test]
fn with_noloop_a_key_that_one_finds_expired_is_told_to_those_who_broadcast_only() {
    for (mode, told) in [("", false), ("BCAST ", true)] {
        let mut room = Room::new();
        room.all(ME, &[&format!("CLIENT TRACKING ON {mode}NOLOOP")]);
        room.all(OTHER, &["SET a 1 PX 100", "SET b 1 PX 100"]);
        room.all(ME, &["GET a", "GET b"]);
        room.heard(ME);
        room.h.now_ms += 100;
        assert_eq!(room.run(ME, "GET a").len(), 1 + usize::from(told), "{mode}");
        assert_eq!(room.run(ME, "INCR b"), [":1"], "{mode}: the command's own change hides that it had expired");
    }
}

#[test]
fn an_evicted_key_is_told_to_those_who_cached_it() {
    let mut room = Room::new();
    room.all(OTHER, &["SET a 1", "CONFIG SET maxmemory 1mb maxmemory-policy allkeys-lru"]);
    room.all(ME, &["CLIENT TRACKING ON NOLOOP", "GET a"]);
    room.h.engine.set_memory(2 << 20, 0);
    assert_eq!(room.run(ME, "EXISTS a"), [":0", ">2['invalidate' *1['a']]"]);
}

#[test]
fn emptying_a_database_is_told_as_everything() {
    let mut room = Room::new();
    room.all(ME, &["CLIENT TRACKING ON", "GET a", "GET b"]);
    room.all(OTHER, &["FLUSHALL"]);
    assert_eq!(room.heard(ME), [">2['invalidate' _]"]);
    room.all(OTHER, &["SET a 1"]);
    assert_eq!(room.heard(ME), NOTHING);
    assert_eq!(room.run(ME, "FLUSHDB"), ["+OK", ">2['invalidate' _]"]);
}

#[test]
fn broadcasting_tells_all_keys_below_the_prefixes_in_one_message_per_unit() {
    let mut room = Room::new();
    room.all(ME, &["CLIENT TRACKING ON BCAST PREFIX foo PREFIX bar"]);
    room.all(OTHER, &["MULTI", "SET foo:2 1", "SET foo:1 1", "SET bar:1 1", "SET foo:1 2", "SET other 1", "EXEC"]);
    assert_eq!(room.heard(ME), [">2['invalidate' *1['bar:1']]", ">2['invalidate' *2['foo:1' 'foo:2']]"]);
    assert_eq!(room.run(ME, "SET foo:1 1"), ["+OK", ">2['invalidate' *1['foo:1']]"]);
    room.all(ME, &["CLIENT TRACKING OFF", "CLIENT TRACKING ON BCAST NOLOOP"]);
    assert_eq!(room.run(ME, "SET foo:1 1"), ["+OK"]);
    room.all(OTHER, &["SET any 1"]);
    assert_eq!(room.heard(ME), [">2['invalidate' *1['any']]"]);
}

#[test]
fn optin_and_optout_choose_by_command() {
    let mut room = Room::new();
    room.all(ME, &["CLIENT TRACKING ON OPTIN", "GET a", "CLIENT CACHING YES", "GET b", "GET c"]);
    room.all(OTHER, &["MSET a 1 b 1 c 1"]);
    assert_eq!(room.heard(ME), [">2['invalidate' *1['b']]"]);
    room.all(ME, &["CLIENT CACHING YES", "MULTI", "GET a", "GET b", "EXEC", "GET c"]);
    room.all(OTHER, &["MSET a 1 b 1 c 1"]);
    assert_eq!(room.heard(ME), [">2['invalidate' *1['a']]", ">2['invalidate' *1['b']]"]);
    room.all(ME, &["CLIENT TRACKING OFF", "CLIENT TRACKING ON OPTOUT", "GET a", "CLIENT CACHING NO", "GET b", "GET c"]);
    room.all(OTHER, &["MSET a 1 b 1 c 1"]);
    assert_eq!(room.heard(ME), [">2['invalidate' *1['a']]", ">2['invalidate' *1['c']]"]);
}

#[test]
fn a_client_of_resp2_hears_on_a_channel_for_another() {
    let mut room = Room::new();
    let ear = room.id(EAR);
    room.all(ME, &["HELLO 2", &format!("CLIENT TRACKING ON REDIRECT {ear}"), "GET a"]);
    room.all(OTHER, &["SET a 1"]);
    assert_eq!(room.heard(EAR), NOTHING, "it listens to nothing yet");
    room.all(EAR, &["SUBSCRIBE __redis__:invalidate"]);
    room.all(ME, &["GET a"]);
    room.all(OTHER, &["SET a 1", "FLUSHALL"]);
    assert_eq!(
        room.heard(EAR),
        ["*3['message' '__redis__:invalidate' *1['a']]", "*3['message' '__redis__:invalidate' $-1]"]
    );
    assert_eq!(room.heard(ME), NOTHING);
    assert_eq!(room.run(ME, "CLIENT GETREDIR"), [format!(":{ear}")]);
}

#[test]
fn a_redirection_to_a_client_that_left_is_told_and_shown() {
    let mut room = Room::new();
    let ear = room.id(EAR);
    room.all(ME, &[&format!("CLIENT TRACKING ON REDIRECT {ear}"), "GET a"]);
    room.h.engine.disconnect(ear);
    room.all(OTHER, &["SET a 1"]);
    assert_eq!(room.heard(ME), [format!(">2['tracking-redir-broken' :{ear}]")]);
    assert_eq!(
        room.run(ME, "CLIENT TRACKINGINFO"),
        [format!("%3['flags' ~2['on' 'broken_redirect'] 'redirect' :{ear} 'prefixes' *0[]]")]
    );
}

#[test]
fn tracking_says_how_it_is_done() {
    let mut room = Room::new();
    let info = |room: &mut Room| room.run(ME, "CLIENT TRACKINGINFO").remove(0);
    assert_eq!(info(&mut room), "%3['flags' ~1['off'] 'redirect' :-1 'prefixes' *0[]]");
    assert_eq!(room.run(ME, "CLIENT GETREDIR"), [":-1"]);
    room.all(ME, &["CLIENT TRACKING ON OPTIN NOLOOP", "CLIENT CACHING YES"]);
    assert_eq!(info(&mut room), "%3['flags' ~4['on' 'optin' 'caching-yes' 'noloop'] 'redirect' :0 'prefixes' *0[]]");
    room.all(ME, &["CLIENT TRACKING OFF", "CLIENT TRACKING ON BCAST PREFIX b PREFIX a"]);
    assert_eq!(info(&mut room), "%3['flags' ~2['on' 'bcast'] 'redirect' :0 'prefixes' *2['a' 'b']]");
    room.all(ME, &["RESET"]);
    assert_eq!(room.run(ME, "CLIENT TRACKINGINFO"), ["*6['flags' *1['off'] 'redirect' :-1 'prefixes' *0[]]"]);
}

#[test]
fn words_that_do_not_go_together_are_refused() {
    let mut room = Room::new();
    let switch = "-ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then \
                  re-enabling it with a different mode.";
    for (line, reply) in [
        ("CLIENT TRACKING MAYBE", "-ERR syntax error"),
        ("CLIENT TRACKING ON NONSENSE", "-ERR syntax error"),
        ("CLIENT TRACKING ON PREFIX a", "-ERR PREFIX option requires BCAST mode to be enabled"),
        ("CLIENT TRACKING ON REDIRECT 12345", "-ERR The client ID you want redirect to does not exist"),
        ("CLIENT TRACKING ON REDIRECT x", "-ERR value is not an integer or out of range"),
        ("CLIENT TRACKING ON REDIRECT 1 REDIRECT 2", "-ERR A client can only redirect to a single other client"),
        ("CLIENT TRACKING ON BCAST OPTIN", "-ERR OPTIN and OPTOUT are not compatible with BCAST"),
        ("CLIENT TRACKING ON OPTIN OPTOUT", "-ERR You can't specify both OPTIN mode and OPTOUT mode"),
        (
            "CLIENT TRACKING ON BCAST PREFIX a PREFIX ab",
            "-ERR Prefix 'a' overlaps with another provided prefix 'ab'. Prefixes for a single client must not overlap.",
        ),
        (
            "CLIENT CACHING YES",
            "-ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode \
             enabled",
        ),
        ("CLIENT TRACKING ON BCAST PREFIX ab", "+OK"),
        (
            "CLIENT TRACKING ON BCAST PREFIX a",
            "-ERR Prefix 'a' overlaps with an existing prefix 'ab'. Prefixes for a single client must not overlap.",
        ),
        ("CLIENT TRACKING ON", switch),
        ("CLIENT CACHING YES", "-ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode."),
        ("CLIENT CACHING NO", "-ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode."),
        ("CLIENT CACHING x", "-ERR syntax error"),
    ] {
        assert_eq!(room.run(ME, line), [reply], "{line}");
    }
}

#[test]
fn beyond_its_limit_the_table_forgets_keys_and_says_so() {
    let mut room = Room::new();
    room.all(OTHER, &["CONFIG SET tracking-table-max-keys 2"]);
    // One hash tag: a full table makes room among the keys of the same shard.
    room.all(ME, &["CLIENT TRACKING ON", "GET {a}1", "GET {a}2"]);
    let replies = room.run(ME, "GET {a}3");
    assert!(replies.len() == 2 && replies[1].starts_with(">2['invalidate' *1['{a}"), "{replies:?}");
    room.all(OTHER, &["CONFIG SET tracking-table-max-keys 1"]);
    room.h.engine.trim_tracking(room.h.now_ms);
    assert_eq!(room.heard(ME).len(), 1);
    let info = room.run(OTHER, "INFO stats").remove(0);
    assert!(info.contains("tracking_total_keys:1\\r\\ntracking_total_items:1\\r\\n"), "{info}");
    room.h.engine.disconnect(room.id(ME));
    room.h.engine.trim_tracking(room.h.now_ms);
    let info = room.run(OTHER, "INFO stats").remove(0);
    assert!(info.contains("tracking_total_keys:0\\r\\ntracking_total_items:0\\r\\n"), "{info}");
}
