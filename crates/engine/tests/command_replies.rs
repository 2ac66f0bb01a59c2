//! COMMAND's replies, byte for byte, against replies recorded from Redis 8.0.2.

use quiver_engine::{Engine, Session};
use quiver_resp::{OwnedArgv, Protocol};

/// The reply to one command line, CRLF shown as a space.
fn reply(protocol: Protocol, line: &str) -> String {
    let engine = Engine::standalone();
    let client = engine.connect("127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned(), 0).expect("clients are allowed");
    let mut session = Session::new(client, true);
    session.protocol = protocol;
    let mut worker = engine.worker(1, || 0);
    let words: Vec<&str> = line.split(' ').collect();
    let mut out = Vec::new();
    engine.run_one(&mut worker, &mut session, OwnedArgv::from_slices(&words).as_argv(), &mut out, 1_000);
    String::from_utf8(out).expect("ASCII").trim_end().replace("\r\n", " ")
}

#[test]
fn info_has_ten_fields_and_null_for_unknown_commands() {
    let resp3 = "*3 *10 $3 get :2 ~2 +readonly +fast :1 :1 :1 ~3 +@read +@string +@fast ~0 ~1 %3 $5 flags ~2 +RO \
                 +access $12 begin_search %2 $4 type $5 index $4 spec %1 $5 index :1 $9 find_keys %2 $4 type $5 range \
                 $4 spec %3 $7 lastkey :0 $7 keystep :1 $5 limit :0 ~0 _ *10 $15 command|getkeys :-3 ~2 +loading \
                 +stale :0 :0 :0 ~2 +@slow +@connection ~0 ~0 ~0";
    let line = "COMMAND INFO get nosuch Command|GetKeys";
    assert_eq!(reply(Protocol::Resp3, line), resp3);
    // The same in RESP2: maps are arrays of twice the length, sets are arrays, null is a null bulk.
    let resp2 = resp3.replace('~', "*").replace("%3", "*6").replace("%2", "*4").replace("%1", "*2").replace('_', "$-1");
    assert_eq!(
        reply(Protocol::Resp2, line),
        resp2.replace("begin$-1search", "begin_search").replace("find$-1keys", "find_keys")
    );
}

#[test]
fn docs_leave_unknown_commands_out_and_describe_arguments() {
    let docs = reply(Protocol::Resp3, "COMMAND DOCS setnx nosuch");
    let (head, rest) = docs.split_once(" $7 summary ").expect("a summary");
    assert_eq!(head, "%1 $5 setnx %8");
    assert!(rest.contains(" $5 since $5 1.0.0 $5 group $6 string $10 complexity $4 O(1) $9 doc_flags ~1 +deprecated"));
    assert!(rest.contains(" $16 deprecated_since $6 2.6.12 $11 replaced_by $28 `SET` with the `NX` argument"));
    assert!(rest.ends_with(
        " $9 arguments *2 %4 $4 name $3 key $4 type $3 key $12 display_text $3 key $14 key_spec_index :0 %3 $4 name \
         $5 value $4 type $6 string $12 display_text $5 value"
    ));
    assert_eq!(reply(Protocol::Resp2, "COMMAND DOCS nosuch config|nosuch"), "*0");
}

#[test]
fn docs_of_a_container_describe_its_subcommands() {
    let docs = reply(Protocol::Resp3, "COMMAND DOCS command");
    assert!(docs.starts_with("%1 $7 command %5 $7 summary "), "{docs}");
    assert!(docs.contains(" $11 subcommands %7 $13 command|count %4 $7 summary "), "{docs}");
}

#[test]
fn keys_are_found_in_any_command_line() {
    let keys = |line: &str| reply(Protocol::Resp2, &format!("COMMAND GETKEYS {line}"));
    assert_eq!(keys("get a"), "*1 $1 a");
    assert_eq!(keys("mset a 1 b 2"), "*2 $1 a $1 b");
    assert_eq!(keys("MGET a b c"), "*3 $1 a $1 b $1 c");
    assert_eq!(keys("nosuch a"), "-ERR Invalid command specified");
    assert_eq!(keys("command nosuch"), "-ERR Invalid command specified");
    assert_eq!(keys("multi"), "-ERR The command has no key arguments");
    assert_eq!(keys("command"), "-ERR The command has no key arguments");
    assert_eq!(keys("get a b"), "-ERR Invalid number of arguments specified for command");
    assert_eq!(keys("msetex 2 a 1 b 2 nx"), "*2 $1 a $1 b");
    assert_eq!(keys("msetex 9 a 1"), "-ERR Invalid arguments specified for command");
}

#[test]
fn key_flags_follow_the_options_of_set() {
    let flags = |line: &str| reply(Protocol::Resp3, &format!("COMMAND GETKEYSANDFLAGS {line}"));
    assert_eq!(flags("set a b"), "*1 *2 $1 a ~2 +OW +update");
    assert_eq!(flags("set a b get"), "*1 *2 $1 a ~3 +RW +access +update");
    assert_eq!(flags("get a"), "*1 *2 $1 a ~2 +RO +access");
}

#[test]
fn lists_are_filtered_by_pattern_category_and_module() {
    let list = |line: &str| reply(Protocol::Resp2, &format!("COMMAND LIST{line}"));
    assert_eq!(list(" FILTERBY PATTERN command|getk*"), "*2 $15 command|getkeys $23 command|getkeysandflags");
    assert_eq!(list(" filterby pattern GETS*"), "*1 $6 getset");
    assert_eq!(list(" FILTERBY ACLCAT transaction").split(' ').next(), Some("*5"));
    assert_eq!(list(" FILTERBY ACLCAT @transaction"), "*0");
    assert_eq!(list(" FILTERBY MODULE nosuch"), "*0");
    for wrong in [" FILTERBY", " FILTERBY nosuch x", " x", " FILTERBY MODULE"] {
        assert_eq!(list(wrong), "-ERR syntax error", "{wrong}");
    }
}

#[test]
fn unknown_subcommands_and_wrong_numbers_of_words_are_refused() {
    let error = |line: &str| reply(Protocol::Resp2, line);
    assert_eq!(error("COMMAND nosuch"), "-ERR unknown subcommand 'nosuch'. Try COMMAND HELP.");
    assert_eq!(error("COMMAND COUNT x"), "-ERR wrong number of arguments for 'command|count' command");
    assert_eq!(error("COMMAND GETKEYS"), "-ERR wrong number of arguments for 'command|getkeys' command");
}

#[test]
fn count_is_the_number_of_elements_of_the_full_list() {
    let count = reply(Protocol::Resp2, "COMMAND COUNT");
    let count = count.strip_prefix(':').expect("an integer");
    for line in ["COMMAND", "COMMAND INFO"] {
        let all = reply(Protocol::Resp2, line);
        assert!(all.starts_with(&format!("*{count} *10 ")), "{line}");
    }
    assert!(reply(Protocol::Resp3, "COMMAND DOCS").starts_with(&format!("%{count} ")));
}
