//! SLOWLOG, LATENCY, HOTKEYS and INFO tell what commands cost.

mod common;

use std::cell::Cell;

use common::{Harness, show};
use quiver_resp::{Decoder, Limits, OwnedArgv, Requests};

thread_local! {
    static NOW_NS: Cell<u64> = const { Cell::new(0) };
}

/// A clock that is 20 ms later each time it is read, so a command that is timed apart takes that long.
fn slow_clock() -> u64 {
    NOW_NS.set(NOW_NS.get() + 20_000_000);
    NOW_NS.get()
}

fn slow_harness() -> Harness {
    let mut h = Harness::new();
    h.worker = h.engine.worker(1, slow_clock);
    h
}

/// Runs lines as one pipeline; the replies.
fn pipeline(h: &mut Harness, lines: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines {
        OwnedArgv::from_slices(&line.split(' ').collect::<Vec<_>>()).as_argv().encode(&mut bytes);
    }
    let (mut requests, mut out) = (Requests::new(), Vec::new());
    Decoder::new().decode(&bytes, &Limits::default(), &mut requests, 100).expect("whole commands");
    h.engine.run(&mut h.worker, &mut h.session, &requests, &bytes, 0, &mut out, h.now_ms);
    out
}

#[test]
fn slow_commands_are_logged_newest_first_with_their_client() {
    let mut h = slow_harness();
    h.expect(&[("CLIENT SETNAME me", "+OK"), ("SLOWLOG RESET", "+OK"), ("SET a 1", "+OK"), ("GET a", "'1'")]);
    h.expect(&[
        (
            "SLOWLOG GET 2",
            "*2[*6[:3 :1700000000 :20000 *2['GET' 'a'] 'test:1' 'me'] *6[:2 :1700000000 :20000 *3['SET' 'a' '1'] 'test:1' \
             'me']]",
        ),
        ("SLOWLOG LEN", ":4"),
        ("CONFIG SET slowlog-max-len 2", "+OK"),
        ("SLOWLOG LEN", ":2"),
        ("SLOWLOG GET -2", "-ERR count should be greater than or equal to -1"),
        ("SLOWLOG GET x", "-ERR count should be greater than or equal to -1"),
        ("CONFIG SET slowlog-log-slower-than -1", "+OK"),
        ("SLOWLOG RESET", "+OK"),
        ("GET a", "'1'"),
        ("SLOWLOG GET", "*0[]"),
        ("CONFIG SET slowlog-log-slower-than 20001", "+OK"),
        ("GET a", "'1'"),
        ("SLOWLOG GET", "*0[]"),
    ]);
}

#[test]
fn long_commands_are_shortened_and_secrets_left_out() {
    let mut h = slow_harness();
    let words: Vec<String> = ["DEL".to_owned()].into_iter().chain((0..40).map(|i| format!("k{i}"))).collect();
    h.run_words(&words);
    assert!(h.run("SLOWLOG GET 1").contains(" 'k28' 'k29' '... (10 more arguments)']"));
    h.run_words(&["SET".to_owned(), "k".to_owned(), "x".repeat(200)]);
    let shortened = format!("'{}... (72 more bytes)'", "x".repeat(128));
    assert!(h.run("SLOWLOG GET 1").contains(&shortened));
    for (line, secret) in [
        ("AUTH default secret", "secret"),
        ("ACL SETUSER bob >secret", "secret"),
        ("CONFIG SET requirepass secret", "secret"),
        ("HELLO 2 AUTH default secret", "secret"),
    ] {
        h.run(line);
        let log = h.run("SLOWLOG GET 1");
        assert!(log.contains("(redacted)") && !log.contains(secret), "{line}: {log}");
    }
}

#[test]
fn commands_of_a_transaction_are_logged_and_exec_is_not() {
    let mut h = slow_harness();
    h.expect(&[("MULTI", "+OK"), ("SET a 1", "+QUEUED"), ("INCR a", "+QUEUED"), ("SLOWLOG RESET", "+QUEUED")]);
    h.expect(&[("EXEC", "*3[+OK :2 +OK]"), ("SLOWLOG LEN", ":1")]);
    h.expect(&[("MULTI", "+OK"), ("INCR a", "+QUEUED"), ("EXEC", "*1[:3]")]);
    let log = h.run("SLOWLOG GET");
    assert!(log.contains("*2['INCR' 'a']") && !log.contains("'EXEC'"), "{log}");
    let stats = h.run("INFO commandstats");
    assert!(stats.contains("cmdstat_incr:calls=2,") && stats.contains("cmdstat_exec:calls=2,"), "{stats}");
}

#[test]
fn in_a_pipeline_long_commands_that_grow_are_timed_and_the_others_share() {
    let mut h = slow_harness();
    let replies = pipeline(&mut h, &["SET a 1", "GET a", "MGET a a a a a a a a", "GET a"]);
    let one = "$1\r\n1\r\n";
    assert_eq!(replies, format!("+OK\r\n{one}*8\r\n{}{one}", one.repeat(8)).as_bytes());
    let log = h.run("SLOWLOG GET");
    assert!(log.starts_with("*1[*6[") && log.contains("'MGET'"), "{log}");
    let stats = h.run("INFO commandstats");
    for expected in
        ["cmdstat_get:calls=2,usec=26667", "cmdstat_set:calls=1,usec=13333", "cmdstat_mget:calls=1,usec=20000"]
    {
        assert!(stats.contains(expected), "{expected} in {stats}");
    }
    // With few words it is quick.
    pipeline(&mut h, &["MGET a a", "GET a"]);
    assert_eq!(h.run("SLOWLOG GET").matches("'MGET'").count(), 1);
    // A threshold that cheap commands may reach has every command timed.
    h.expect(&[("CONFIG SET slowlog-log-slower-than 0", "+OK"), ("SLOWLOG RESET", "+OK")]);
    pipeline(&mut h, &["GET a", "GET a", "GET a"]);
    assert_eq!(h.run("SLOWLOG LEN"), ":4");
}

#[test]
fn refused_and_failed_commands_are_counted_apart() {
    let mut h = Harness::new();
    h.expect(&[
        ("HSET h f v", ":1"),
        ("GET h", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("GET", "-ERR wrong number of arguments for 'get' command"),
        ("NOSUCH", "-ERR unknown command 'NOSUCH', with args beginning with: "),
    ]);
    let stats = h.run("INFO everything");
    assert!(stats.contains("cmdstat_get:calls=1,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=1"), "{stats}");
    for field in ["errorstat_ERR:count=2", "errorstat_WRONGTYPE:count=1", "total_error_replies:3"] {
        assert!(stats.contains(field), "{field} in {stats}");
    }
    h.expect(&[("CONFIG RESETSTAT", "+OK")]);
    let stats = h.run("INFO everything");
    assert!(!stats.contains("cmdstat_get") && stats.contains("total_error_replies:0"), "{stats}");
}

#[test]
fn the_latency_monitor_keeps_what_is_over_its_threshold() {
    let mut h = slow_harness();
    h.expect(&[
        ("SET a 1", "+OK"),
        ("LATENCY LATEST", "*0[]"),
        ("CONFIG SET latency-monitor-threshold 20", "+OK"),
        ("LATENCY RESET", ":1"),
        ("CONFIG SET slowlog-log-slower-than -1", "+OK"),
        ("GET a", "'1'"),
    ]);
    h.now_ms += 2000;
    h.expect(&[
        ("GET a", "'1'"),
        ("LATENCY HISTORY fast-command", "*2[*2[:1700000000 :20] *2[:1700000002 :20]]"),
        ("LATENCY LATEST", "*2[*4['command' :1700000002 :20 :20] *4['fast-command' :1700000002 :20 :20]]"),
        ("LATENCY HISTORY nosuch", "*0[]"),
        ("LATENCY GRAPH nosuch", "-ERR No samples available for event 'nosuch'"),
        ("LATENCY RESET nosuch command", ":1"),
    ]);
    let graph = h.run("LATENCY GRAPH fast-command");
    assert!(graph.contains("fast-command - high 20 ms, low 20 ms (all time high 20 ms)"), "{graph}");
    assert!(h.run("LATENCY DOCTOR").contains("fast-command: "));
    h.expect(&[("CONFIG SET latency-monitor-threshold 21", "+OK"), ("LATENCY RESET", ":2"), ("GET a", "'1'")]);
    h.expect(&[("LATENCY LATEST", "*0[]")]);
}

#[test]
fn histograms_and_percentiles_follow_the_times_of_commands() {
    let mut h = slow_harness();
    h.expect(&[("GET a", "$-1"), ("GET a", "$-1")]);
    assert_eq!(h.run3("LATENCY HISTOGRAM get nosuch"), "%1['get' %2['calls' :2 'histogram_usec' %1[:33816 :2]]]");
    assert_eq!(h.run("LATENCY HISTOGRAM set"), "*0[]");
    assert!(h.run("LATENCY HISTOGRAM").starts_with("*"));
    let info = h.run("INFO latencystats");
    assert!(info.contains("latency_percentiles_usec_get:p50=20447.231,p99=20447.231,p99.9=20447.231"), "{info}");
    h.expect(&[
        ("CONFIG SET latency-tracking-info-percentiles '50 100'", "+OK"),
        ("CONFIG SET latency-tracking no", "+OK"),
        ("CONFIG RESETSTAT", "+OK"),
        ("GET a", "$-1"),
        ("LATENCY HISTOGRAM get", "*0[]"),
    ]);
}

#[test]
fn hot_keys_are_those_that_cost_most_while_somebody_looks() {
    let mut h = slow_harness();
    h.expect(&[
        ("HOTKEYS GET", "$-1"),
        ("HOTKEYS STOP", "$-1"),
        ("HOTKEYS START", "-ERR METRICS is missing"),
        ("HOTKEYS START METRICS 2 CPU", "-ERR METRICS must be followed by as many of CPU and NET as it says"),
        ("HOTKEYS START METRICS 1 CPU COUNT 0", "-ERR COUNT must be between 1 and 64"),
        ("HOTKEYS START METRICS 2 CPU NET COUNT 2", "+OK"),
        ("HOTKEYS START METRICS 1 CPU", "-ERR a search for hot keys is running, HOTKEYS STOP ends it"),
        ("GET a", "$-1"),
        ("GET b", "$-1"),
        ("GET b", "$-1"),
        ("MGET b c", "*2[$-1 $-1]"),
        ("HOTKEYS STOP", "+OK"),
        ("GET c", "$-1"),
    ]);
    let report = show(&h.run_words(&["HOTKEYS", "GET"]));
    assert!(report.starts_with("*1[*24['tracking-active' :0 'sample-ratio' :1 'selected-slots' *0[] "), "{report}");
    assert!(report.contains("'by-cpu-time-us' *4['b' :50000 'a' :20000]"), "{report}");
    assert!(report.contains("'by-net-bytes' *4['b' "), "{report}");
    h.expect(&[("HOTKEYS RESET", "+OK"), ("HOTKEYS GET", "$-1"), ("HOTKEYS START METRICS 1 NET DURATION 1", "+OK")]);
    h.now_ms += 1500;
    h.expect(&[("HOTKEYS STOP", "$-1")]);
    assert!(h.run("HOTKEYS GET").contains("'collection-duration-ms' :1000"));
}

#[test]
fn sizes_of_keys_are_counted_when_asked_for_by_name() {
    let mut h = Harness::new();
    for line in ["SET e ''", "SET a 1", "SET b 1234567", "HSET h f1 v f2 v f3 v", "SELECT 3", "SET c x"] {
        h.run(line);
    }
    assert_eq!(
        h.run("INFO keysizes"),
        "'# Keysizes\\r\\ndb0_distrib_strings_sizes:0=1,1=1,4=1\\r\\ndb0_distrib_hashes_items:2=1\\r\\n\
         db3_distrib_strings_sizes:1=1\\r\\n'"
    );
    assert!(!h.run("INFO").contains("Keysizes"));
    assert!(h.run("INFO cluster keysizes").contains("cluster_enabled:0\\r\\n\\r\\n# Keysizes"));
    h.expect(&[("MULTI", "+OK"), ("INFO keysizes", "+QUEUED"), ("SET d 1", "+QUEUED")]);
    assert!(h.run("EXEC").ends_with(" +OK]"));
}

#[test]
fn a_server_without_a_cluster_says_so() {
    const NO_CLUSTER: &str = "-ERR This instance has cluster support disabled";
    Harness::new().expect(&[
        ("CLUSTER INFO", NO_CLUSTER),
        ("CLUSTER SLOTS", NO_CLUSTER),
        ("CLUSTER KEYSLOT a", NO_CLUSTER),
        ("CLUSTER NOSUCH", "-ERR unknown subcommand 'NOSUCH'. Try CLUSTER HELP."),
        ("CLUSTER KEYSLOT", "-ERR wrong number of arguments for 'cluster|keyslot' command"),
        ("READONLY", NO_CLUSTER),
        ("READWRITE", NO_CLUSTER),
        ("ASKING", NO_CLUSTER),
    ]);
}
