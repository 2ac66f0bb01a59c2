//! Users may do what their rules say and nothing else, and are told in Redis' words.

mod common;

use common::{Harness, START_MS, show};
use quiver_engine::Session;
use quiver_resp::OwnedArgv;

const NOKEY: &str = "-NOPERM No permissions to access a key";

/// A second client of the same engine.
fn client(h: &Harness) -> Session {
    let client =
        h.engine.connect("127.0.0.1:5".to_owned(), "127.0.0.1:6379".to_owned(), h.now_ms).expect("there is room");
    let open = h.engine.users.is_open();
    Session::new(client, open)
}

/// Runs lines as another client.
fn expect_as(h: &mut Harness, session: &mut Session, table: &[(&str, &str)]) {
    std::mem::swap(&mut h.session, session);
    h.expect(table);
    std::mem::swap(&mut h.session, session);
}

fn command_denied(user: &str, command: &str) -> String {
    format!("-NOPERM User {user} has no permissions to run the '{command}' command")
}

#[test]
fn a_new_user_may_do_nothing_and_the_default_user_everything() {
    let mut h = Harness::new();
    h.expect(&[
        ("ACL WHOAMI", "'default'"),
        ("ACL LIST", "*1['user default on nopass sanitize-payload ~* &* +@all']"),
        ("ACL SETUSER bob", "+OK"),
        ("ACL USERS", "*2['bob' 'default']"),
        (
            "ACL LIST",
            "*2['user bob off sanitize-payload resetchannels -@all' 'user default on nopass sanitize-payload ~* &* +@all']",
        ),
        (
            "ACL GETUSER bob",
            "*12['flags' *2['off' 'sanitize-payload'] 'passwords' *0[] 'commands' '-@all' 'keys' '' 'channels' '' \
             'selectors' *0[]]",
        ),
        ("ACL GETUSER nobody", "$-1"),
        ("AUTH bob x", "-WRONGPASS invalid username-password pair or user is disabled."),
        ("ACL SETUSER 'a b'", "-ERR Usernames can't contain spaces or null characters"),
        ("ACL DELUSER default", "-ERR The 'default' user cannot be removed"),
        ("ACL DELUSER bob nobody", ":1"),
    ]);
}

#[test]
fn commands_keys_and_rights_are_checked_before_a_command_runs() {
    let mut h = Harness::new();
    h.expect(&[("ACL SETUSER bob on >pw ~b:* %R~r:* %W~w:* +@string +@hash +exists +copy -append", "+OK")]);
    let mut bob = client(&h);
    expect_as(
        &mut h,
        &mut bob,
        &[
            ("AUTH bob pw", "+OK"),
            ("ACL WHOAMI", &command_denied("bob", "acl|whoami")),
            ("SET b:1 x", "+OK"),
            ("GET b:1", "'x'"),
            ("SET c:1 x", NOKEY),
            ("GET r:1", "$-1"),
            ("SET r:1 x", NOKEY),
            ("SET w:1 x", "+OK"),
            ("SET w:1 x GET", NOKEY),
            ("GET w:1", NOKEY),
            ("MGET b:1 r:1", "*2['x' $-1]"),
            ("MGET b:1 w:1", NOKEY),
            ("COPY r:1 w:2", ":0"),
            ("COPY w:1 b:2", NOKEY),
            ("EXISTS r:1 w:1 b:1", ":2"),
            ("EXISTS c:1", NOKEY),
            ("APPEND b:1 x", &command_denied("bob", "append")),
            ("PING", &command_denied("bob", "ping")),
            ("RESET", "+RESET"),
            ("PING", "+PONG"),
        ],
    );
}

#[test]
fn a_change_counts_for_connected_clients_at_once() {
    let mut h = Harness::new();
    h.expect(&[("ACL SETUSER bob on nopass allkeys +@all", "+OK")]);
    let mut bob = client(&h);
    expect_as(&mut h, &mut bob, &[("AUTH bob x", "+OK"), ("GET a", "$-1"), ("ACL WHOAMI", "'bob'")]);
    h.expect(&[("ACL SETUSER bob -get", "+OK")]);
    expect_as(&mut h, &mut bob, &[("GET a", &command_denied("bob", "get")), ("MULTI", "+OK"), ("SET a 1", "+QUEUED")]);
    h.expect(&[("ACL SETUSER bob resetkeys ~b*", "+OK")]);
    expect_as(
        &mut h,
        &mut bob,
        &[
            (
                "EXEC",
                "*1[-NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. \
                 This command is no longer allowed for the following reason: no permission to touch the specified keys]",
            ),
            ("MULTI", "+OK"),
            ("SET c 1", NOKEY),
            ("EXEC", "-EXECABORT Transaction discarded because of previous errors."),
        ],
    );
    h.expect(&[("ACL DELUSER bob", ":1"), ("GET a", "$-1")]);
    assert!(bob.shared.killed.load(std::sync::atomic::Ordering::Acquire));
    expect_as(&mut h, &mut bob, &[("SET b 1", &command_denied("bob", "set"))]);
}

#[test]
fn a_selector_must_allow_all_of_a_request() {
    let mut h = Harness::new();
    h.expect(&[
        ("ACL SETUSER bob on nopass ~a* +get (~b* +set) (%R~c* '+@read' +@connection)", "+OK"),
        ("ACL DRYRUN bob GET a1", "+OK"),
        ("ACL DRYRUN bob SET a1 x", "'User bob has no permissions to access the 'a1' key'"),
        ("ACL DRYRUN bob SET b1 x", "+OK"),
        ("ACL DRYRUN bob GET b1", "'User bob has no permissions to access the 'b1' key'"),
        ("ACL DRYRUN bob MGET c1 c2", "+OK"),
        ("ACL DRYRUN bob MGET a1 c2", "'User bob has no permissions to access the 'a1' key'"),
        ("ACL DRYRUN bob APPEND a1 x", "'User bob has no permissions to run the 'append' command'"),
        ("ACL DRYRUN bob GET", "-ERR wrong number of arguments for 'get' command"),
        ("ACL DRYRUN bob NOSUCH x", "-ERR Command 'NOSUCH' not found"),
        ("ACL DRYRUN nobody GET x", "-ERR User 'nobody' not found"),
        ("ACL SETUSER bob clearselectors", "+OK"),
        ("ACL DRYRUN bob SET b1 x", "'User bob has no permissions to run the 'set' command'"),
    ]);
}

#[test]
fn subcommands_and_first_arguments_are_allowed_one_by_one() {
    let mut h = Harness::new();
    h.expect(&[
        ("ACL SETUSER bob on nopass +config|get +client -client|kill +select|0", "+OK"),
        ("ACL DRYRUN bob CONFIG GET hz", "+OK"),
        ("ACL DRYRUN bob CONFIG SET hz 1", "'User bob has no permissions to run the 'config|set' command'"),
        ("ACL DRYRUN bob CLIENT ID", "+OK"),
        ("ACL DRYRUN bob CLIENT KILL x", "'User bob has no permissions to run the 'client|kill' command'"),
        ("ACL DRYRUN bob SELECT 0", "+OK"),
        ("ACL DRYRUN bob SELECT 1", "'User bob has no permissions to run the 'select' command'"),
    ]);
}

#[test]
fn wrong_rules_are_named_and_change_nothing() {
    let error = |rule: &str, text: &str| format!("-ERR Error in ACL SETUSER modifier '{rule}': {text}");
    let mut h = Harness::new();
    h.expect(&[
        ("ACL SETUSER bob on +foo", &error("+foo", "Unknown command or category name in ACL")),
        ("ACL SETUSER bob +@foo", &error("+@foo", "Unknown command or category name in ACL")),
        ("ACL SETUSER bob foo", &error("foo", "Syntax error")),
        ("ACL SETUSER bob %X~a", &error("%X~a", "Syntax error")),
        ("ACL SETUSER bob +config|get|x", &error("+config|get|x", "Allowing first-arg of a subcommand is not supported")),
        (
            "ACL SETUSER bob <x",
            &error("<x", "The password you are trying to remove from the user does not exist"),
        ),
        (
            "ACL SETUSER bob #x",
            &error("#x", "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"),
        ),
        (
            "ACL SETUSER bob ~* ~a",
            &error(
                "~a",
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. \
                 Try 'resetkeys' to start with an empty list of patterns",
            ),
        ),
        ("ACL SETUSER bob (+get ~a", "-ERR Unmatched parenthesis in acl selector starting at '(+get'."),
        ("ACL USERS", "*1['default']"),
    ]);
}

#[test]
fn refusals_are_logged_and_repetitions_counted() {
    let mut h = Harness::new();
    h.expect(&[("ACL SETUSER bob on >pw ~b* +get +multi", "+OK")]);
    let mut bob = client(&h);
    expect_as(
        &mut h,
        &mut bob,
        &[
            ("AUTH bob wrong", "-WRONGPASS invalid username-password pair or user is disabled."),
            ("AUTH bob pw", "+OK"),
            ("GET a", NOKEY),
            ("GET a", NOKEY),
            ("SET b 1", &command_denied("bob", "set")),
            ("MULTI", "+OK"),
            ("GET a", NOKEY),
        ],
    );
    h.now_ms = START_MS + 1500;
    let entries: Vec<(u64, &str, &str)> =
        vec![(1, "key", "multi"), (1, "command", "toplevel"), (2, "key", "toplevel"), (1, "auth", "toplevel")];
    let objects = ["a", "set", "a", "AUTH"];
    let log = h.run("ACL LOG");
    let parts: Vec<&str> = log.split("'count'").skip(1).collect();
    assert_eq!(parts.len(), entries.len(), "{log}");
    for (part, ((count, reason, context), object)) in parts.iter().zip(entries.iter().zip(objects)) {
        let expected = format!(
            " :{count} 'reason' '{reason}' 'context' '{context}' 'object' '{object}' 'username' 'bob' 'age-seconds' '1.5' \
             'client-info' 'id=2 addr=127.0.0.1:5 "
        );
        assert!(part.starts_with(&expected), "{expected} is not at the start of {part}");
    }
    let info = h.run("INFO stats");
    for field in ["acl_access_denied_auth:1", "acl_access_denied_cmd:1", "acl_access_denied_key:3"] {
        assert!(info.contains(field), "{field} in {info}");
    }
    h.expect(&[
        ("ACL LOG 0", "*0[]"),
        ("ACL LOG RESET", "+OK"),
        ("ACL LOG", "*0[]"),
        ("CONFIG SET acllog-max-len 1", "+OK"),
    ]);
    expect_as(&mut h, &mut bob, &[("DISCARD", &command_denied("bob", "discard")), ("RESET", "+RESET")]);
    expect_as(&mut h, &mut bob, &[("AUTH x y", "-WRONGPASS invalid username-password pair or user is disabled.")]);
    expect_as(&mut h, &mut bob, &[("AUTH y y", "-WRONGPASS invalid username-password pair or user is disabled.")]);
    let log = h.run("ACL LOG");
    assert!(log.starts_with("*1[") && log.contains("'username' 'y'"), "{log}");
}

#[test]
fn the_password_of_the_default_user_is_a_parameter() {
    let mut h = Harness::new();
    h.expect(&[("CONFIG SET requirepass abc", "+OK"), ("PING", "+PONG")]);
    let mut other = client(&h);
    expect_as(
        &mut h,
        &mut other,
        &[("PING", "-NOAUTH Authentication required."), ("AUTH abc", "+OK"), ("PING", "+PONG")],
    );
    let mut third = client(&h);
    h.expect(&[("ACL SETUSER default nopass", "+OK")]);
    expect_as(&mut h, &mut third, &[("PING", "+PONG")]);
    h.expect(&[("ACL SETUSER default resetpass >new", "+OK")]);
    expect_as(&mut h, &mut third, &[("PING", "-NOAUTH Authentication required."), ("AUTH new", "+OK")]);
}

#[test]
fn categories_are_listed_with_their_commands() {
    let mut h = Harness::new();
    assert!(h.run("ACL CAT").contains("['keyspace' 'read' 'write' "));
    let transaction = h.run("ACL CAT transaction");
    for command in ["multi", "exec", "discard", "watch", "unwatch"] {
        assert!(transaction.contains(&format!("'{command}'")), "{command} in {transaction}");
    }
    h.expect(&[("ACL CAT nosuch", "-ERR Unknown category 'nosuch'")]);
}

#[test]
fn a_pipeline_is_checked_command_by_command() {
    let mut h = Harness::new();
    h.expect(&[("ACL SETUSER bob on nopass ~* +get", "+OK"), ("SET a 1", "+OK")]);
    let mut bob = client(&h);
    expect_as(&mut h, &mut bob, &[("AUTH bob x", "+OK")]);
    let mut bytes = Vec::new();
    for words in [&["GET", "a"][..], &["SET", "a", "2"], &["GET", "a"]] {
        OwnedArgv::from_slices(words).as_argv().encode(&mut bytes);
    }
    let (mut requests, mut out) = (quiver_resp::Requests::new(), Vec::new());
    let limits = quiver_resp::Limits::default();
    quiver_resp::Decoder::new().decode(&bytes, &limits, &mut requests, 10).unwrap();
    h.engine.run(&mut h.worker, &mut bob, &requests, &bytes, 0, &mut out, START_MS);
    let denied = format!("{}\r\n", command_denied("bob", "set"));
    assert_eq!(String::from_utf8(out).unwrap(), format!("$1\r\n1\r\n{denied}$1\r\n1\r\n"));
    assert_eq!(show(b"+OK\r\n"), "+OK");
}

#[test]
fn patterns_of_sort_need_the_right_to_read_every_key() {
    const BY: &str = "-ERR BY option of SORT denied due to insufficient ACL permissions.";
    const GET: &str = "-ERR GET option of SORT denied due to insufficient ACL permissions.";
    let mut h = Harness::new();
    h.expect(&[("ACL SETUSER bob on nopass ~l %W~* +@all", "+OK"), ("RPUSH l 2 1", ":2")]);
    let mut bob = client(&h);
    expect_as(
        &mut h,
        &mut bob,
        &[
            ("AUTH bob x", "+OK"),
            ("SORT l", "*2['1' '2']"),
            ("SORT l BY nosort", "*2['2' '1']"),
            ("SORT l BY w_*", BY),
            ("SORT l GET #", GET),
            ("SORT_RO l GET x_*", GET),
            ("SORT n GET x_*", NOKEY),
        ],
    );
    h.expect(&[("ACL SETUSER bob %R~*", "+OK")]);
    expect_as(&mut h, &mut bob, &[("SORT l BY w_* GET #", "*2['1' '2']")]);
}
