//! Flushing, swapping, CONFIG, INFO, MEMORY and DEBUG answer as Redis does.

mod common;

use common::Harness;

fn debuggable() -> Harness {
    let h = Harness::new();
    h.engine.config.set("enable-debug-command", "yes", false).expect("a word it takes");
    h
}

#[test]
fn flushing_removes_one_database_or_all() {
    Harness::new().expect(&[
        ("SET a 1", "+OK"),
        ("SET b 1", "+OK"),
        ("SELECT 9", "+OK"),
        ("SET c 1", "+OK"),
        ("DBSIZE", ":1"),
        ("FLUSHDB FOO", "-ERR syntax error"),
        ("FLUSHDB ASYNC SYNC", "-ERR syntax error"),
        ("FLUSHDB async", "+OK"),
        ("DBSIZE", ":0"),
        ("SELECT 0", "+OK"),
        ("DBSIZE", ":2"),
        ("FLUSHALL FOO", "-ERR syntax error"),
        ("FLUSHALL", "+OK"),
        ("DBSIZE", ":0"),
    ]);
}

#[test]
fn swapdb_exchanges_databases_and_touches_watched_keys_on_both_sides() {
    let mut h = Harness::new();
    h.expect(&[
        ("SWAPDB a b", "-ERR invalid first DB index"),
        ("SWAPDB 0 b", "-ERR invalid second DB index"),
        ("SWAPDB 0 99", "-ERR DB index is out of range"),
        ("SWAPDB 0 -1", "-ERR DB index is out of range"),
        ("SET a 1", "+OK"),
        ("SELECT 1", "+OK"),
        ("WATCH a", "+OK"),
        ("MULTI", "+OK"),
    ]);
    let mut other = Harness::new();
    std::mem::swap(&mut other.session, &mut h.session);
    h.expect(&[("SWAPDB 0 1", "+OK"), ("GET a", "$-1")]);
    std::mem::swap(&mut other.session, &mut h.session);
    h.expect(&[("EXEC", "*-1"), ("GET a", "'1'"), ("WATCH b", "+OK"), ("SWAPDB 0 1", "+OK"), ("MULTI", "+OK")]);
    h.expect(&[("EXEC", "*0[]")]);
}

#[test]
fn config_get_matches_names_and_patterns() {
    let mut h = Harness::new();
    h.expect(&[
        ("CONFIG GET MAXMEMORY slave-priority", "*4['MAXMEMORY' '0' 'slave-priority' '100']"),
        ("CONFIG GET nope", "*0[]"),
        ("CONFIG GET save appendonly", "*4['save' '3600 1 300 100 60 10000' 'appendonly' 'no']"),
        ("CONFIG GET maxm*ry maxmemory", "*2['maxmemory' '0']"),
        ("CONFIG GET", "-ERR wrong number of arguments for 'config|get' command"),
    ]);
    h.expect3(&[("CONFIG GET HZ*", "%1['hz' '10']")]);
}

#[test]
fn config_set_changes_everything_or_nothing() {
    let failed =
        |name: &str, why: &str| format!("-ERR CONFIG SET failed (possibly related to argument '{name}') - {why}");
    let unknown = |name: &str| format!("-ERR Unknown option or number of arguments for CONFIG SET - '{name}'");
    let mut h = Harness::new();
    for (line, reply) in [
        ("CONFIG SET foo bar", unknown("foo")),
        ("CONFIG SET maxmemory 1mb foo bar", unknown("foo")),
        ("CONFIG SET databases 3 foo bar", failed("databases", "can't set immutable config")),
        ("CONFIG SET foo bar databases 3", unknown("foo")),
        ("CONFIG SET maxmemory 1mb maxmemory 2mb", failed("maxmemory", "duplicate parameter")),
        ("CONFIG SET maxmemory 1 MAXMEMORY 2", failed("MAXMEMORY", "duplicate parameter")),
        ("CONFIG SET maxmemory zz", failed("maxmemory", "argument must be a memory value")),
        ("CONFIG SET maxmemory 1mb hz zz", failed("hz", "argument couldn't be parsed into an integer")),
        ("CONFIG SET maxmemory 1mb hz", "-ERR syntax error".to_owned()),
        ("CONFIG SET databases 3", failed("databases", "can't set immutable config")),
        ("CONFIG SET dir /", failed("dir", "can't set protected config")),
        ("CONFIG SET dbfilename x", failed("dbfilename", "can't set protected config")),
        ("CONFIG SET save 1", failed("save", "Invalid save parameters")),
        ("CONFIG SET save '1 x'", failed("save", "Invalid save parameters")),
        ("CONFIG SET replica-read-only maybe", failed("replica-read-only", "argument must be 'yes' or 'no'")),
        ("CONFIG SET maxmemory-samples 0", failed("maxmemory-samples", "argument must be between 1 and 64 inclusive")),
        (
            "CONFIG SET maxmemory-policy foo",
            failed(
                "maxmemory-policy",
                "argument(s) must be one of the following: volatile-lru, volatile-lfu, volatile-lrm, \
                 volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-lrm, allkeys-random, noeviction",
            ),
        ),
    ] {
        assert_eq!(h.run(line), reply, "{line}");
        assert_eq!(h.run("CONFIG GET maxmemory hz"), "*4['maxmemory' '0' 'hz' '10']", "{line}");
    }
    h.expect(&[
        ("CONFIG SET maxmemory 1mb hz 20 save '900 1'", "+OK"),
        ("CONFIG GET maxmemory hz save", "*6['maxmemory' '1048576' 'hz' '20' 'save' '900 1']"),
        ("CONFIG SET save ''", "+OK"),
        ("CONFIG GET save", "*2['save' '']"),
        ("CONFIG REWRITE", "-ERR The server is running without a config file"),
    ]);
}

#[test]
fn files_can_be_moved_where_the_configuration_allows_it() {
    let mut h = Harness::new();
    h.engine.config.set("enable-protected-configs", "yes", false).unwrap();
    h.expect(&[("CONFIG SET dbfilename other.rdb", "+OK"), ("CONFIG GET dbfilename", "*2['dbfilename' 'other.rdb']")]);
}

#[test]
fn info_shows_the_sections_asked_for() {
    let mut h = Harness::new();
    h.run("SET a 1");
    h.run("SET b 1 EX 100");
    h.run("GET a");
    h.run("NOPE");
    let headings = |text: &str| text.matches("# ").count();
    let default = h.run("INFO");
    assert!(default.contains("# Stats") && !default.contains("# Commandstats"), "{default}");
    assert_eq!(headings(&h.run("INFO keyspace CPU")), 2);
    let search = headings(&h.run("INFO search"));
    assert!(search > 1 && !default.contains("# search"), "{default}");
    assert_eq!(headings(&h.run("INFO everything")), headings(&default) + 2 + search);
    assert_eq!(headings(&h.run("INFO all")), headings(&default) + 1);
    assert_eq!(h.run("INFO foo"), "''");
    let keyspace = h.run("INFO keyspace");
    assert!(keyspace.starts_with("'# Keyspace\\r\\ndb0:keys=2,expires=1,avg_ttl="), "{keyspace}");
    assert!(keyspace.contains("avg_ttl=100000,"), "{keyspace}");
    assert!(
        h.run("INFO commandstats")
            .contains("cmdstat_set:calls=2,usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=0")
    );
    assert_eq!(h.run("INFO errorstats"), "'# Errorstats\\r\\nerrorstat_ERR:count=1\\r\\n'");
    assert!(h.run("INFO replication").contains("role:master\\r\\nconnected_slaves:0\\r\\n"));
    assert!(h.run("INFO clients").contains("connected_clients:1\\r\\n"));
    assert!(h.run("INFO stats").contains("keyspace_hits:1\\r\\n"));
    h.run("CONFIG RESETSTAT");
    assert!(h.run("INFO stats").contains("keyspace_hits:0\\r\\n"));
    h.run("HELLO 3");
    assert!(h.run_words(&["INFO", "cluster"]).starts_with(b"=34\r\ntxt:# Cluster\r\n"));
}

#[test]
fn time_and_role_and_lists_have_their_shapes() {
    let mut h = Harness::new();
    h.now_ms = 1_700_000_000_123;
    h.expect(&[
        ("TIME", "*2['1700000000' '123000']"),
        ("ROLE", "*3['master' :0 *0[]]"),
        (
            "MODULE LIST",
            "*3[*8['name' 'ReJSON' 'ver' :80200 'path' '' 'args' *0[]] \
             *8['name' 'search' 'ver' :80200 'path' '' 'args' *0[]] \
             *8['name' 'vectorset' 'ver' :1 'path' '' 'args' *0[]]]",
        ),
        ("LASTSAVE", ":0"),
        ("REPLICAOF a b", "-ERR Invalid master port"),
        ("SLAVEOF a 99999", "-ERR Invalid master port"),
        ("SHUTDOWN FOO", "-ERR syntax error"),
        ("SHUTDOWN NOSAVE SAVE", "-ERR syntax error"),
        ("SHUTDOWN ABORT", "-ERR No shutdown in progress."),
        ("SHUTDOWN ABORT NOSAVE", "-ERR syntax error"),
        ("BGSAVE FOO", "-ERR syntax error"),
        ("LOLWUT version x", "-ERR value is not an integer or out of range"),
    ]);
    assert!(h.run("LOLWUT").contains("Redis ver. 8.2.0\\n'"));
    for container in ["CLIENT", "CONFIG", "MEMORY", "MODULE"] {
        let help = h.run(&format!("{container} HELP"));
        assert!(help.contains(&format!("+{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")));
    }
    h.expect(&[("MULTI", "+OK"), ("SAVE", "-ERR Command not allowed inside a transaction")]);
}

#[test]
fn memory_usage_counts_the_allocation_of_a_key() {
    let mut h = Harness::new();
    h.run("SET foo bar");
    h.run(&format!("SET long {}", "x".repeat(1000)));
    h.expect(&[
        ("MEMORY USAGE nope", "$-1"),
        ("MEMORY USAGE foo SAMPLES x", "-ERR value is not an integer or out of range"),
        ("MEMORY USAGE foo SAMPLES -1", "-ERR syntax error"),
        ("MEMORY USAGE foo FOO", "-ERR syntax error"),
        ("MEMORY USAGE foo FOO 3", "-ERR syntax error"),
        ("MEMORY PURGE", "+OK"),
    ]);
    let bytes = |reply: String| reply[1..].parse::<usize>().unwrap();
    assert!((14..100).contains(&bytes(h.run("MEMORY USAGE foo SAMPLES 5"))));
    assert!((1000..1400).contains(&bytes(h.run("MEMORY USAGE long"))));
    assert!(h.run("MEMORY STATS").contains("'keys.count' :2"));
}

#[test]
fn debug_is_only_for_those_the_configuration_allows() {
    let mut h = Harness::new();
    assert!(h.run("DEBUG DIGEST").starts_with("-ERR DEBUG command not allowed."));
    let local = h.engine.connect("127.0.0.1:5".to_owned(), String::new(), h.now_ms).unwrap();
    h.session = quiver_engine::Session::new(local, true);
    assert!(h.run("DEBUG DIGEST").starts_with('+'));
    h.engine.config.set("enable-debug-command", "no", false).unwrap();
    assert!(h.run("DEBUG DIGEST").starts_with("-ERR DEBUG command not allowed."));
}

#[test]
fn debug_answers_what_tests_need() {
    let mut h = debuggable();
    let empty = h.run("DEBUG DIGEST");
    h.expect(&[
        ("DEBUG FOO", "-ERR unknown subcommand or wrong number of arguments for 'FOO'. Try DEBUG HELP."),
        ("DEBUG sleep", "-ERR unknown subcommand or wrong number of arguments for 'sleep'. Try DEBUG HELP."),
        ("DEBUG SLEEP 0", "+OK"),
        ("DEBUG SLEEP x", "+OK"),
        ("DEBUG SET-ACTIVE-EXPIRE 0", "+OK"),
        ("DEBUG OBJECT nope", "-ERR no such key"),
        ("DEBUG ERROR 'ERR hello'", "-ERR hello"),
        ("DEBUG STRINGMATCH-LEN 10 a*", ":1"),
        ("DEBUG RELOAD FOO", "-ERR DEBUG RELOAD only supports the NOSAVE option."),
        ("DEBUG RELOAD", "-ERR this instance has no disk"),
        ("SET foo bar", "+OK"),
        ("SET same bar", "+OK"),
    ]);
    assert!(h.engine.state.active_expire_off.load(std::sync::atomic::Ordering::Relaxed));
    assert_ne!(h.run("DEBUG DIGEST"), empty);
    assert_eq!(h.run("DEBUG DIGEST"), format!("+{}", h.digest().hex()));
    let digests = h.run("DEBUG DIGEST-VALUE foo same nope");
    let parts: Vec<&str> = digests.trim_start_matches("*3[").trim_end_matches(']').split(' ').collect();
    assert_eq!(parts[0], parts[1]);
    assert_eq!(parts[2], format!("+{}", "0".repeat(40)));
    assert!(h.run("DEBUG OBJECT foo").contains("encoding:embstr serializedlength:3"));
}

#[test]
fn debug_protocol_has_a_reply_of_every_type() {
    let mut h = debuggable();
    let wrong = "-ERR Wrong protocol type name. Please use one of the following: \
                 string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false";
    h.expect(&[
        ("DEBUG PROTOCOL string", "'Hello World'"),
        ("DEBUG PROTOCOL double", "'3.141'"),
        ("DEBUG PROTOCOL null", "$-1"),
        ("DEBUG PROTOCOL set", "*3[:0 :1 :2]"),
        ("DEBUG PROTOCOL map", "*6[:0 :0 :1 :1 :2 :0]"),
        ("DEBUG PROTOCOL attrib", "'Some real reply following the attribute'"),
        ("DEBUG PROTOCOL push", "-ERR RESP2 is not supported by this command"),
        ("DEBUG PROTOCOL verbatim", "'This is a verbatim\\nstring'"),
        ("DEBUG PROTOCOL foo", wrong),
    ]);
    h.expect3(&[
        ("DEBUG PROTOCOL integer", ":12345"),
        ("DEBUG PROTOCOL double", ",3.141"),
        ("DEBUG PROTOCOL null", "_"),
        ("DEBUG PROTOCOL array", "*3[:0 :1 :2]"),
        ("DEBUG PROTOCOL set", "~3[:0 :1 :2]"),
        ("DEBUG PROTOCOL map", "%3[:0 #f :1 #t :2 #f]"),
        ("DEBUG PROTOCOL true", "#t"),
        ("DEBUG PROTOCOL false", "#f"),
        ("DEBUG PROTOCOL bignum", "(1234567999999999999999999999999999999"),
    ]);
    h.run("HELLO 3");
    let raw = |h: &mut Harness, kind: &str| String::from_utf8(h.run_words(&["DEBUG", "PROTOCOL", kind])).unwrap();
    assert_eq!(raw(&mut h, "verbatim"), "=29\r\ntxt:This is a verbatim\nstring\r\n");
    let push = "$40\r\nSome real reply following the push reply\r\n>2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n";
    assert_eq!(raw(&mut h, "push"), push);
    assert!(raw(&mut h, "attrib").starts_with("|1\r\n$14\r\nkey-popularity\r\n*2\r\n"));
}

#[test]
fn no_touch_keeps_reads_from_counting_as_use() {
    let mut h = debuggable();
    h.expect(&[("SET foo bar", "+OK"), ("CLIENT NO-TOUCH on", "+OK")]);
    h.now_ms += 9000;
    h.run("GET foo");
    assert!(h.run("DEBUG OBJECT foo").contains("lru_seconds_idle:9"));
    h.run("CLIENT NO-TOUCH off");
    h.run("GET foo");
    assert!(h.run("DEBUG OBJECT foo").contains("lru_seconds_idle:0"));
}
