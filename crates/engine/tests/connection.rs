//! PING, HELLO, AUTH, SELECT, RESET and CLIENT answer as Redis does.

mod common;

use common::Harness;
use quiver_engine::session::{ReplyMode, Takeover};
use quiver_resp::Protocol;

const NOAUTH_HELLO: &str = "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO \
                            <proto> AUTH <user> <pass> option can be used to authenticate the client and select the \
                            RESP protocol version at the same time";
const BAD_NAME: &str = "-ERR Client names cannot contain spaces, newlines or special characters.";
const WRONGPASS: &str = "-WRONGPASS invalid username-password pair or user is disabled.";
const HELLO_2: &str = "*14['server' 'redis' 'version' '8.2.0' 'proto' :2 'id' :1 'mode' 'standalone' 'role' 'master' \
                       'modules' *3[*8['name' 'ReJSON' 'ver' :80200 'path' '' 'args' *0[]] \
                       *8['name' 'search' 'ver' :80200 'path' '' 'args' *0[]] \
                       *8['name' 'vectorset' 'ver' :1 'path' '' 'args' *0[]]]]";
const HELLO_3: &str = "%7['server' 'redis' 'version' '8.2.0' 'proto' :3 'id' :1 'mode' 'standalone' 'role' 'master' \
                       'modules' *3[%4['name' 'ReJSON' 'ver' :80200 'path' '' 'args' *0[]] \
                       %4['name' 'search' 'ver' :80200 'path' '' 'args' *0[]] \
                       %4['name' 'vectorset' 'ver' :1 'path' '' 'args' *0[]]]]";

#[test]
fn ping_echo_and_select_answer_and_check_their_arguments() {
    Harness::new().expect(&[
        ("PING", "+PONG"),
        ("PING a", "'a'"),
        ("PING a b", "-ERR wrong number of arguments for 'ping' command"),
        ("ECHO 'a b'", "'a b'"),
        ("SELECT a", "-ERR value is not an integer or out of range"),
        ("SELECT 16", "-ERR DB index is out of range"),
        ("SELECT -1", "-ERR DB index is out of range"),
        ("SET a 1", "+OK"),
        ("SELECT 15", "+OK"),
        ("GET a", "$-1"),
        ("SELECT 0", "+OK"),
        ("GET a", "'1'"),
    ]);
}

#[test]
fn select_in_a_transaction_counts_for_the_commands_behind_it() {
    let mut h = Harness::new();
    h.expect(&[
        ("MULTI", "+OK"),
        ("SELECT 2", "+QUEUED"),
        ("SET a in2", "+QUEUED"),
        ("EXEC", "*2[+OK +OK]"),
        ("GET a", "'in2'"),
        ("SELECT 0", "+OK"),
        ("GET a", "$-1"),
    ]);
}

#[test]
fn hello_introduces_the_server_and_switches_the_protocol() {
    let mut h = Harness::new();
    h.expect(&[
        ("HELLO x", "-ERR Protocol version is not an integer or out of range"),
        ("HELLO 4", "-NOPROTO unsupported protocol version"),
        ("HELLO 3 FOO", "-ERR Syntax error in HELLO option 'FOO'"),
        ("HELLO 3 AUTH a", "-ERR Syntax error in HELLO option 'AUTH'"),
        ("HELLO 3 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'"),
        ("HELLO 3 AUTH a b", WRONGPASS),
        ("HELLO 3 SETNAME 'a b'", BAD_NAME),
        ("CLIENT GETNAME", "$-1"),
        ("HELLO", HELLO_2),
        ("HELLO 3 AUTH default x SETNAME me", HELLO_3),
        ("HELLO", HELLO_3),
        ("CLIENT GETNAME", "'me'"),
        ("GET nothing", "_"),
        ("HELLO 2", HELLO_2),
        ("GET nothing", "$-1"),
    ]);
}

#[test]
fn hello_in_a_transaction_changes_the_protocol_from_there_on() {
    let mut h = Harness::new();
    h.expect(&[
        ("MULTI", "+OK"),
        ("GET nothing", "+QUEUED"),
        ("HELLO 3", "+QUEUED"),
        ("GET nothing", "+QUEUED"),
        ("EXEC", &format!("*3[$-1 {HELLO_3} _]")),
    ]);
}

#[test]
fn without_a_password_auth_is_a_mistake_except_for_the_default_user_by_name() {
    Harness::new().expect(&[
        (
            "AUTH a",
            "-ERR AUTH <password> called without any password configured for the default user. Are you sure your \
             configuration is correct?",
        ),
        ("AUTH default a", "+OK"),
        ("AUTH foo a", WRONGPASS),
        ("AUTH a b c", "-ERR syntax error"),
    ]);
}

#[test]
fn with_a_password_nothing_runs_before_it_was_given() {
    let mut h = Harness::new();
    h.expect(&[
        ("CONFIG SET requirepass abc", "+OK"),
        ("PING", "+PONG"),
        ("RESET", "+RESET"),
        ("PING", "-NOAUTH Authentication required."),
        ("HELLO", NOAUTH_HELLO),
        ("HELLO 3", NOAUTH_HELLO),
        ("HELLO 3 FOO", "-ERR Syntax error in HELLO option 'FOO'"),
        ("HELLO 3 AUTH default bad", WRONGPASS),
        ("AUTH ab", WRONGPASS),
        ("AUTH abcabc", WRONGPASS),
        ("AUTH ''", WRONGPASS),
        ("AUTH foo abc", WRONGPASS),
        ("GET", "-ERR wrong number of arguments for 'get' command"),
        ("HELLO 2 AUTH default abc", HELLO_2),
        ("PING", "+PONG"),
        ("RESET", "+RESET"),
        ("AUTH abc", "+OK"),
        ("CONFIG GET requirepass", "*2['requirepass' 'abc']"),
    ]);
}

#[test]
fn reset_brings_everything_back_but_the_client_library() {
    let mut h = Harness::new();
    h.expect(&[
        ("HELLO 3 SETNAME me", HELLO_3),
        ("CLIENT SETINFO LIB-NAME lib", "+OK"),
        ("CLIENT NO-EVICT on", "+OK"),
        ("CLIENT NO-TOUCH on", "+OK"),
        ("SELECT 3", "+OK"),
        ("WATCH a", "+OK"),
        ("MULTI", "+OK"),
        ("RESET", "+RESET"),
        ("EXEC", "-ERR EXEC without MULTI"),
        ("CLIENT GETNAME", "$-1"),
    ]);
    let info = h.run("CLIENT INFO");
    for field in [" name= ", " flags=N ", " db=0 ", " multi=-1 ", " watch=0 ", " resp=2 ", " lib-name=lib "] {
        assert!(info.contains(field), "{field} in {info}");
    }
}

#[test]
fn quit_answers_and_closes_also_inside_a_transaction() {
    let mut h = Harness::new();
    h.expect(&[("MULTI", "+OK"), ("QUIT", "+OK")]);
    assert!(h.session.close_after_reply);
}

#[test]
fn names_and_library_texts_must_be_printable() {
    Harness::new().expect(&[
        ("CLIENT ID", ":1"),
        ("CLIENT GETNAME", "$-1"),
        ("CLIENT SETNAME me", "+OK"),
        ("CLIENT GETNAME", "'me'"),
        ("CLIENT SETNAME 'x y'", BAD_NAME),
        ("CLIENT SETNAME ''", "+OK"),
        ("CLIENT GETNAME", "$-1"),
        ("CLIENT SETINFO FOO bar", "-ERR Unrecognized option 'FOO'"),
        ("CLIENT SETINFO lib-name 'a b'", "-ERR lib-name cannot contain spaces, newlines or special characters."),
        ("CLIENT SETINFO lib-ver 'a b'", "-ERR lib-ver cannot contain spaces, newlines or special characters."),
        ("CLIENT SETINFO lib-ver 1.2", "+OK"),
        ("CLIENT FOO", "-ERR unknown subcommand 'FOO'. Try CLIENT HELP."),
        ("CLIENT NO-TOUCH", "-ERR wrong number of arguments for 'client|no-touch' command"),
        ("CLIENT NO-TOUCH x", "-ERR syntax error"),
        ("CLIENT NO-EVICT x", "-ERR syntax error"),
    ]);
}

#[test]
fn client_list_filters_by_type_and_id() {
    let mut h = Harness::new();
    let other = h.engine.connect("1.2.3.4:5".to_owned(), "9.9.9.9:9".to_owned(), h.now_ms - 5000).unwrap();
    let all = h.run("CLIENT LIST");
    assert!(all.contains("id=1 addr=test:1 laddr=test:2") && all.contains("cmd=client|list"), "{all}");
    assert!(all.contains("id=2 addr=1.2.3.4:5 laddr=9.9.9.9:9") && all.contains(" age=5 idle=5 "), "{all}");
    assert!(all.contains("cmd=NULL"), "{all}");
    assert_eq!(h.run("CLIENT LIST ID 2 77").matches("lib-ver=").count(), 1);
    assert_eq!(h.run("CLIENT LIST TYPE normal").matches("lib-ver=").count(), 2);
    other.texts.lock().flags = "S".to_owned();
    assert!(h.run("CLIENT LIST TYPE replica").contains(" flags=S "));
    assert!(h.run("CLIENT INFO").contains("cmd=client|info"));
    h.expect(&[
        ("CLIENT LIST TYPE pubsub", "''"),
        ("CLIENT LIST TYPE foo", "-ERR Unknown client type 'foo'"),
        ("CLIENT LIST TYPE", "-ERR syntax error"),
        ("CLIENT LIST ID", "-ERR syntax error"),
        ("CLIENT LIST ID x", "-ERR Invalid client ID"),
        ("CLIENT LIST FOO", "-ERR syntax error"),
        ("CLIENT LIST TYPE normal ID 1", "-ERR syntax error"),
    ]);
}

#[test]
fn client_info_shows_the_open_transaction_and_the_watches() {
    let mut h = Harness::new();
    h.expect(&[("WATCH a b", "+OK"), ("MULTI", "+OK"), ("PING", "+QUEUED"), ("CLIENT INFO", "+QUEUED")]);
    let client = h.engine.clients.lock().values().next().cloned().unwrap();
    assert_eq!(client.queued.load(std::sync::atomic::Ordering::Relaxed), 2);
    assert_eq!(client.watching.load(std::sync::atomic::Ordering::Relaxed), 2);
}

#[test]
fn client_kill_closes_what_fits_every_filter() {
    let mut h = Harness::new();
    let connect = |h: &Harness, addr: &str| h.engine.connect(addr.to_owned(), "l:1".to_owned(), h.now_ms).unwrap();
    let killed = |client: &quiver_engine::ClientInfo| client.killed.load(std::sync::atomic::Ordering::Relaxed);
    let (a, b, c) = (connect(&h, "1.1.1.1:1"), connect(&h, "1.1.1.1:2"), connect(&h, "1.1.1.1:3"));
    h.expect(&[
        ("CLIENT KILL 1.2.3.4:5", "-ERR No such client"),
        ("CLIENT KILL 1.1.1.1:1", "+OK"),
        ("CLIENT KILL ID x", "-ERR client-id should be greater than 0"),
        ("CLIENT KILL ID 0", "-ERR client-id should be greater than 0"),
        ("CLIENT KILL ID 999", ":0"),
        ("CLIENT KILL TYPE foo", "-ERR Unknown client type 'foo'"),
        ("CLIENT KILL USER foo", "-ERR No such user 'foo'"),
        ("CLIENT KILL SKIPME maybe", "-ERR syntax error"),
        ("CLIENT KILL MAXAGE x", "-ERR maxage is not an integer or out of range"),
        ("CLIENT KILL MAXAGE 0", "-ERR maxage should be greater than 0"),
        ("CLIENT KILL ID 1 FOO", "-ERR syntax error"),
        ("CLIENT KILL ID 3 ADDR 1.1.1.1:3", ":0"),
        ("CLIENT KILL MAXAGE 10", ":0"),
        ("CLIENT KILL ID 3 LADDR l:1 USER default TYPE normal", ":1"),
    ]);
    assert_eq!((killed(&a), killed(&b), killed(&c)), (true, true, false));
    assert!(!h.session.close_after_reply);
    h.expect(&[("CLIENT KILL SKIPME no ID 1", ":1")]);
    assert!(h.session.close_after_reply, "the connection that asked ends behind its reply");
}

#[test]
fn client_reply_drops_what_it_says_and_no_more() {
    let mut h = Harness::new();
    let mut replies = |lines: &[&str]| -> Vec<String> {
        let words = |line: &str| -> Vec<String> { line.split(' ').map(str::to_owned).collect() };
        lines.iter().map(|line| String::from_utf8(h.run_words(&words(line))).unwrap()).collect()
    };
    let (ok, pong) = ("+OK\r\n", "+PONG\r\n");
    assert_eq!(replies(&["CLIENT REPLY SKIP", "PING", "PING"]), ["", "", pong]);
    assert_eq!(replies(&["CLIENT REPLY SKIP", "CLIENT REPLY SKIP", "PING", "PING"]), ["", "", "", pong]);
    assert_eq!(replies(&["CLIENT REPLY OFF", "CLIENT REPLY SKIP", "PING", "CLIENT REPLY FOO"]), ["", "", "", ""]);
    assert_eq!(replies(&["CLIENT REPLY ON", "PING"]), [ok, pong]);
    assert_eq!(replies(&["CLIENT REPLY SKIP", "CLIENT REPLY ON", "PING"]), ["", ok, pong]);
    assert_eq!(replies(&["CLIENT REPLY FOO"]), ["-ERR syntax error\r\n"]);
    assert_eq!(replies(&["CLIENT REPLY OFF", "RESET"]), ["", "+RESET\r\n"]);
    assert_eq!(h.session.reply_mode, ReplyMode::On);
}

#[test]
fn psync_and_sync_hand_the_connection_over_without_a_reply() {
    let mut h = Harness::new();
    h.expect(&[
        ("REPLCONF", "+OK"),
        ("REPLCONF foo", "-ERR syntax error"),
        ("REPLCONF foo bar", "-ERR Unrecognized REPLCONF option: foo"),
        ("REPLCONF listening-port x", "-ERR value is not an integer or out of range"),
        ("REPLCONF listening-port 6380 ip-address 1.1.1.1", "+OK"),
        ("REPLCONF capa foo capa eof capa psync2", "+OK"),
        ("REPLCONF rdb-only 1", "+OK"),
        ("PSYNC ? x", "-ERR value is not an integer or out of range"),
    ]);
    let told = &h.session.replica;
    assert_eq!((told.listening_port, told.ip_address.as_deref()), (6380, Some("1.1.1.1")));
    assert!(told.capa_eof && told.capa_psync2 && told.rdb_only);
    assert!(h.run_words(&["REPLCONF", "ACK", "12"]).is_empty());
    assert!(h.run_words(&["PSYNC", "?", "-1"]).is_empty());
    assert_eq!(h.session.takeover, Some(Takeover::Psync { replid: "?".to_owned(), offset: -1 }));
    assert_eq!(h.session.protocol, Protocol::Resp2);
}
