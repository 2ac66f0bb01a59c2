//! Stream commands: replies, errors, and what groups remember.

mod common;

use common::{Harness, START_MS};

const BAD_ID: &str = "-ERR Invalid stream ID specified as stream command argument";
const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

fn with_entries(lines: &[&str]) -> Harness {
    let mut h = Harness::new();
    for line in lines {
        assert!(!h.run(line).starts_with('-'), "{line}");
    }
    h
}

#[test]
fn xadd_answers_the_id_and_takes_it_from_the_clock() {
    let mut h = Harness::new();
    h.expect(&[
        ("XADD s * a 1", "'1700000000000-0'"),
        ("XADD s * a 1", "'1700000000000-1'"),
        ("XADD s 1700000000000-* a 1", "'1700000000000-2'"),
        ("XADD s 1700000000001 a 1", "'1700000000001-0'"),
        ("XADD s * a 1", "'1700000000001-1'"),
        ("XLEN s", ":5"),
        ("XADD s NOMKSTREAM 1700000000001-* a 1", "'1700000000001-2'"),
        ("XADD other NOMKSTREAM * a 1", "$-1"),
        ("EXISTS other", ":0"),
        ("TYPE s", "+stream"),
        ("OBJECT ENCODING s", "'stream'"),
    ]);
}

#[test]
fn xadd_refuses_what_is_no_entry() {
    let mut h = with_entries(&["XADD s 5-5 a 1", "SET string x"]);
    h.expect(&[
        ("XADD s 5-5 a 1", "-ERR The ID specified in XADD is equal or smaller than the target stream top item"),
        ("XADD s 0-0 a 1", "-ERR The ID specified in XADD must be greater than 0-0"),
        ("XADD s x a 1", BAD_ID),
        ("XADD s * a", "-ERR wrong number of arguments for 'xadd' command"),
        ("XADD s 6-* a 1 b", "-ERR wrong number of arguments for 'xadd' command"),
        ("XADD string * a 1", WRONG_TYPE),
        ("XADD s MAXLEN -1 * a 1", "-ERR The MAXLEN argument must be >= 0."),
        ("XADD s MAXLEN x * a 1", "-ERR value is not an integer or out of range"),
        ("XADD s MAXLEN 1 LIMIT 3 * a 1", "-ERR syntax error, LIMIT cannot be used without the special ~ option"),
        ("XADD s LIMIT 3 * a 1", "-ERR syntax error, LIMIT cannot be used without specifying a trimming strategy"),
        (
            "XADD s MAXLEN 1 MINID 1 * a 1",
            "-ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
        ),
        ("XADD s 18446744073709551615-18446744073709551615 a 1", "'18446744073709551615-18446744073709551615'"),
        ("XADD s * a 1", "-ERR The stream has exhausted the last possible ID, unable to add more items"),
    ]);
}

#[test]
fn ranges_go_both_ways_and_may_leave_their_ends_out() {
    let mut h = with_entries(&["XADD s 1-1 a 1", "XADD s 1-2 a 2 b x", "XADD s 2-0 a 3"]);
    let (one, two, three) = ("*2['1-1' *2['a' '1']]", "*2['1-2' *4['a' '2' 'b' 'x']]", "*2['2-0' *2['a' '3']]");
    h.expect(&[
        ("XRANGE s - +", &format!("*3[{one} {two} {three}]")),
        ("XREVRANGE s + -", &format!("*3[{three} {two} {one}]")),
        ("XRANGE s 1 1", &format!("*2[{one} {two}]")),
        ("XRANGE s (1-1 + COUNT 1", &format!("*1[{two}]")),
        ("XREVRANGE s (2-0 - COUNT 1", &format!("*1[{two}]")),
        ("XRANGE s + -", "*0[]"),
        ("XRANGE s - + COUNT 0", "*-1"),
        ("XRANGE missing - + COUNT 0", "*0[]"),
        ("XRANGE s (18446744073709551615-18446744073709551615 +", "-ERR invalid start ID for the interval"),
        ("XRANGE s - (0-0", "-ERR invalid end ID for the interval"),
        ("XRANGE s (- +", BAD_ID),
        ("XRANGE s - + COUNT", "-ERR syntax error"),
    ]);
}

#[test]
fn trimming_removes_the_oldest_and_about_so_many_means_whole_blocks() {
    let mut h = Harness::new();
    h.run("CONFIG SET stream-node-max-entries 3");
    for _ in 0..10 {
        h.run("XADD s 1-* a 1");
    }
    h.expect(&[
        ("XTRIM s MAXLEN ~ 8", ":0"),
        ("XTRIM s MAXLEN ~ 6", ":3"),
        ("XTRIM s MAXLEN = 6", ":1"),
        ("XTRIM s MINID 1-6", ":2"),
        ("XRANGE s - + COUNT 1", "*1[*2['1-6' *2['a' '1']]]"),
        ("XTRIM s MAXLEN ~ 0 LIMIT 2", ":0"),
        ("XTRIM s MAXLEN ~ 0 LIMIT 0", ":4"),
        ("XLEN s", ":0"),
        ("EXISTS s", ":1"),
        ("XTRIM s NOSUCH 3", "-ERR syntax error"),
        ("XTRIM missing MAXLEN 3", ":0"),
        ("XADD s MAXLEN 0 9-9 a 1", "'9-9'"),
        ("XLEN s", ":0"),
    ]);
}

#[test]
fn deleting_keeps_the_key_and_remembers_the_greatest_id() {
    let mut h = with_entries(&["XADD s 1-1 a 1", "XADD s 1-2 a 1", "XADD s 1-3 a 1"]);
    h.expect(&[
        ("XDEL s 1-2 1-2 7-7", ":1"),
        ("XDEL s 1-1 x", BAD_ID),
        ("XLEN s", ":2"),
        ("XSETID s 1-2", "-ERR The ID specified in XSETID is smaller than the target stream top item"),
        ("XDEL s 1-1 1-3", ":2"),
        ("XSETID s 1-2", "-ERR The ID specified in XSETID is smaller than current max_deleted_entry_id"),
        ("XSETID s 9-9 ENTRIESADDED 70 MAXDELETEDID 8-8", "+OK"),
        (
            "XSETID s 9-9 MAXDELETEDID 9-10",
            "-ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
        ),
        ("XSETID missing 1-1", "-ERR no such key"),
        ("XADD s 9-* a 1", "'9-10'"),
        ("XDEL missing x", ":0"),
    ]);
    let info = h.run("XINFO STREAM s");
    assert!(info.contains("'max-deleted-entry-id' '8-8' 'entries-added' :71"), "{info}");
}

#[test]
fn xread_reads_behind_ids_of_several_streams() {
    let mut h = with_entries(&["XADD a 1-1 f 1", "XADD a 1-2 f 2", "XADD b 5-5 f 3"]);
    h.expect(&[
        ("XREAD COUNT 1 STREAMS a b 0 0", "*2[*2['a' *1[*2['1-1' *2['f' '1']]]] *2['b' *1[*2['5-5' *2['f' '3']]]]]"),
        ("XREAD STREAMS a b 1-1 9", "*1[*2['a' *1[*2['1-2' *2['f' '2']]]]]"),
        ("XREAD STREAMS a b $ 9", "*-1"),
        ("XREAD STREAMS a +", "*1[*2['a' *1[*2['1-2' *2['f' '2']]]]]"),
        (
            "XREAD STREAMS a b 0",
            "-ERR Unbalanced 'xread' list of streams: for each stream key an ID, '+', or '$' must be specified.",
        ),
        (
            "XREAD STREAMS a >",
            "-ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
        ),
        (
            "XREAD GROUP g c STREAMS a 0",
            "-ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.",
        ),
        ("XREAD BLOCK x STREAMS a 0", "-ERR timeout is not an integer or out of range"),
        ("XREAD BLOCK -1 STREAMS a 0", "-ERR timeout is negative"),
        ("XREAD COUNT 1 a 0", "-ERR syntax error"),
    ]);
    h.expect3(&[("XREAD STREAMS a 1-1", "%1['a' *1[*2['1-2' *2['f' '2']]]]"), ("XREAD STREAMS a 9", "_")]);
}

#[test]
fn the_reply_of_all_streams_can_be_limited() {
    let mut h = with_entries(&["XADD a 1-1 f 1", "XADD a 1-2 f 2", "XADD b 5-5 f 3"]);
    let two = "*1[*2['a' *2[*2['1-1' *2['f' '1']] *2['1-2' *2['f' '2']]]]]";
    h.expect(&[
        ("XREAD MAXCOUNT 2 STREAMS a b 0 0", two),
        ("XREAD MAXSIZE 1 STREAMS a b 0 0", "*1[*2['a' *1[*2['1-1' *2['f' '1']]]]]"),
        ("XREAD MAXSIZE 100000 STREAMS a 0", two),
    ]);
}

#[test]
fn groups_deliver_each_entry_once_and_remember_it() {
    let mut h = with_entries(&["XADD s 1-1 a 1", "XADD s 1-2 a 2", "XADD s 1-3 a 3", "XGROUP CREATE s g 0"]);
    h.expect(&[
        ("XGROUP CREATE s g 0", "-BUSYGROUP Consumer Group name already exists"),
        ("XREADGROUP GROUP g c COUNT 2 STREAMS s >", "*1[*2['s' *2[*2['1-1' *2['a' '1']] *2['1-2' *2['a' '2']]]]]"),
        ("XREADGROUP GROUP g d NOACK STREAMS s >", "*1[*2['s' *1[*2['1-3' *2['a' '3']]]]]"),
        ("XREADGROUP GROUP g c STREAMS s >", "*-1"),
        ("XPENDING s g", "*4[:2 '1-1' '1-2' *1[*2['c' '2']]]"),
        ("XACK s g 1-1 1-1 7-7", ":1"),
        ("XDEL s 1-2", ":1"),
        ("XREADGROUP GROUP g c STREAMS s 0", "*1[*2['s' *1[*2['1-2' *-1]]]]"),
        ("XREADGROUP GROUP g d STREAMS s 0", "*1[*2['s' *0[]]]"),
        ("XACK missing g x", ":0"),
    ]);
    h.now_ms += 5;
    h.expect(&[
        ("XPENDING s g - + 10", "*1[*4['1-2' 'c' :5 :1]]"),
        ("XPENDING s g IDLE 6 - + 10", "*0[]"),
        ("XPENDING s g - + 10 d", "*0[]"),
        ("XPENDING s g - +", "-ERR syntax error"),
        ("XPENDING s nosuch", "-NOGROUP No such key 's' or consumer group 'nosuch'"),
        ("XINFO GROUPS s", "*1[*12['name' 'g' 'consumers' :2 'pending' :1 'last-delivered-id' '1-3' 'entries-read' :3 'lag' :0]]"),
        (
            "XINFO CONSUMERS s g",
            "*2[*8['name' 'c' 'pending' :1 'idle' :5 'inactive' :5] *8['name' 'd' 'pending' :0 'idle' :5 'inactive' :-1]]",
        ),
        ("XGROUP DELCONSUMER s g c", ":1"),
        ("XPENDING s g", "*4[:0 $-1 $-1 *-1]"),
        ("XGROUP DESTROY s g", ":1"),
        ("XGROUP DESTROY s g", ":0"),
        (
            "XREADGROUP GROUP g c STREAMS s >",
            "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option",
        ),
    ]);
}

#[test]
fn xgroup_names_what_is_missing() {
    let mut h = with_entries(&["XADD s 1-1 a 1", "SET string x"]);
    let no_key = "-ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the \
                  MKSTREAM option to create an empty stream automatically.";
    h.expect(&[
        ("XGROUP CREATE missing g $", no_key),
        ("XGROUP SETID missing g $", no_key),
        ("XGROUP DESTROY missing g", no_key),
        ("XGROUP SETID s g $", "-NOGROUP No such consumer group 'g' for key name 's'"),
        ("XGROUP CREATE string g $", WRONG_TYPE),
        ("XGROUP CREATE s g x", BAD_ID),
        ("XGROUP CREATE s g 0 ENTRIESREAD -2", "-ERR value for ENTRIESREAD must be positive or -1"),
        (
            "XGROUP CREATE s g 0 NOSUCH",
            "-ERR unknown subcommand or wrong number of arguments for 'CREATE'. Try XGROUP HELP.",
        ),
        ("XGROUP CREATE made g $ MKSTREAM", "+OK"),
        ("XLEN made", ":0"),
        ("XGROUP CREATECONSUMER made g c", ":1"),
        ("XGROUP CREATECONSUMER made g c", ":0"),
        ("XGROUP SETID made g 5-5 ENTRIESREAD 3", "+OK"),
    ]);
}

#[test]
fn claims_change_the_owner_and_drop_what_was_deleted() {
    let mut h = with_entries(&[
        "XADD s 1-1 a 1",
        "XADD s 1-2 a 2",
        "XADD s 1-3 a 3",
        "XGROUP CREATE s g 0",
        "XREADGROUP GROUP g c COUNT 2 STREAMS s >",
        "XDEL s 1-2",
    ]);
    h.now_ms += 100;
    h.expect(&[
        ("XCLAIM s g d 101 1-1", "*0[]"),
        ("XCLAIM s g d 100 1-1 1-2 1-3", "*1[*2['1-1' *2['a' '1']]]"),
        ("XPENDING s g - + 10", "*1[*4['1-1' 'd' :0 :2]]"),
        ("XCLAIM s g d 0 1-3 FORCE JUSTID RETRYCOUNT 7 IDLE 50", "*1['1-3']"),
        ("XPENDING s g - + 10", "*2[*4['1-1' 'd' :0 :2] *4['1-3' 'd' :50 :7]]"),
        ("XCLAIM s g d x 1-3", "-ERR Invalid min-idle-time argument for XCLAIM"),
        ("XCLAIM s g d 0 1-3 NOSUCH", "-ERR Unrecognized XCLAIM option 'NOSUCH'"),
        ("XCLAIM s nosuch d 0 1-3", "-NOGROUP No such key 's' or consumer group 'nosuch'"),
        ("XAUTOCLAIM s g c 50 0 COUNT 5 JUSTID", "*3['0-0' *1['1-3'] *0[]]"),
        ("XDEL s 1-1", ":1"),
        ("XAUTOCLAIM s g c 0 0 COUNT 1", "*3['1-3' *0[] *1['1-1']]"),
        ("XAUTOCLAIM s g c 0 (1-2", "*3['0-0' *1[*2['1-3' *2['a' '3']]] *0[]]"),
        ("XAUTOCLAIM s g c 0 0 COUNT 0", "-ERR COUNT must be > 0"),
    ]);
}

#[test]
fn released_entries_have_no_owner_and_are_claimed_first() {
    let mut h = with_entries(&[
        "XADD s 1-1 a 1",
        "XADD s 1-2 a 2",
        "XGROUP CREATE s g 0",
        "XREADGROUP GROUP g c STREAMS s >",
        "XADD s 1-3 a 3",
    ]);
    h.expect(&[
        ("XNACK s g SILENT IDS 2 1-2 9-9", ":1"),
        ("XPENDING s g - + 10", "*2[*4['1-1' 'c' :0 :1] *4['1-2' '' :-1 :0]]"),
        ("XPENDING s g", "*4[:2 '1-1' '1-2' *1[*2['c' '1']]]"),
        (
            "XREADGROUP GROUP g d CLAIM 1000 STREAMS s >",
            "*1[*2['s' *2[*4['1-2' *2['a' '2'] '-1' '0'] *4['1-3' *2['a' '3'] '0' '0']]]]",
        ),
        ("XNACK s g FATAL IDS 1 1-1", ":1"),
        ("XNACK s g FAIL IDS 1 1-2 RETRYCOUNT 4", ":1"),
        ("XPENDING s g - + 10", "*3[*4['1-1' '' :-1 :9223372036854775807] *4['1-2' '' :-1 :4] *4['1-3' 'd' :0 :1]]"),
        ("XNACK s g NOSUCH IDS 1 1-2", "-ERR mode must be SILENT, FAIL, or FATAL"),
        ("XNACK s g FAIL IDS 0 1-2", "-ERR numids must be a positive integer"),
        ("XNACK s g FAIL IDS 2 1-2", "-ERR number of IDs doesn't match numids"),
        ("XNACK s g FAIL IDS 1 1-2 RETRYCOUNT -1", "-ERR Invalid RETRYCOUNT value, must be >= 0"),
        ("XACK s g 1-2", ":1"),
    ]);
}

#[test]
fn deleting_can_mind_what_groups_wait_for() {
    let mut h = with_entries(&[
        "XADD s 1-1 a 1",
        "XADD s 1-2 a 2",
        "XADD s 1-3 a 3",
        "XGROUP CREATE s g 0",
        "XREADGROUP GROUP g c COUNT 2 STREAMS s >",
    ]);
    h.expect(&[
        ("XDELEX s ACKED IDS 3 1-1 1-3 9-9", "*3[:2 :2 :-1]"),
        ("XACKDEL s g ACKED IDS 2 1-1 1-3", "*2[:1 :-1]"),
        ("XDELEX s IDS 1 1-2", "*1[:1]"),
        ("XPENDING s g", "*4[:1 '1-2' '1-2' *1[*2['c' '1']]]"),
        ("XDELEX s DELREF IDS 2 1-2 1-3", "*2[:-1 :1]"),
        ("XPENDING s g", "*4[:0 $-1 $-1 *-1]"),
        ("XACKDEL s nosuch IDS 1 1-1", "*1[:-1]"),
        ("XDELEX missing IDS 2 1-1 1-2", "*2[:-1 :-1]"),
        ("XDELEX s IDS 0 1-1", "-ERR Number of IDs must be a positive integer"),
        ("XDELEX s IDS 2 1-1", "-ERR The `numids` parameter must match the number of arguments"),
        ("XDELEX s IDS 1 1-1 1-2", "-ERR syntax error"),
        ("XDELEX s KEEPREF ACKED IDS 1 1-1", "-ERR syntax error"),
    ]);
}

#[test]
fn a_message_sent_twice_is_added_once() {
    let mut h = Harness::new();
    let first = h.run("XADD s IDMP p m * a 1");
    h.now_ms += 7;
    assert_eq!(h.run("XADD s IDMP p m * a 2"), first);
    assert_ne!(h.run("XADD s IDMP q m * a 2"), first);
    let by_content = h.run("XADD s IDMPAUTO p * a 3");
    assert_eq!(h.run("XADD s IDMPAUTO p * a 3"), by_content);
    h.expect(&[
        ("XLEN s", ":3"),
        ("XADD s IDMP p m 1-1 a 1", "-ERR IDMP/IDMPAUTO can be used only with auto-generated IDs"),
        ("XADD s IDMP p m IDMP p m * a 1", "-ERR IDMP/IDMPAUTO specified multiple times"),
        ("XCFGSET s IDMP-DURATION 0", "-ERR IDMP-DURATION must be between 1 and 86400 seconds"),
        ("XCFGSET s IDMP-MAXSIZE 10001", "-ERR IDMP-MAXSIZE must be between 1 and 10000 entries"),
        ("XCFGSET s", "-ERR syntax error"),
        ("XCFGSET missing IDMP-MAXSIZE 10", "-ERR no such key"),
    ]);
    let info = h.run("XINFO STREAM s");
    let expected = "'idmp-duration' :100 'idmp-maxsize' :100 'pids-tracked' :2 'iids-tracked' :3 'iids-added' :3 'iids-duplicates' :2";
    assert!(info.contains(expected), "{info}");
    assert_eq!(h.run("XCFGSET s IDMP-DURATION 5"), "+OK");
    assert_ne!(h.run("XADD s IDMP p m * a 1"), first, "other settings make all forgotten");
    assert_eq!(h.run(&format!("XIDMPRECORD s p n {}", first.trim_matches('\''))), "+OK");
    assert_eq!(h.run("XADD s IDMP p n * a 1"), first);
    h.now_ms += 6000;
    assert_ne!(h.run("XADD s IDMP p n * a 1"), first, "five seconds are over");
}

#[test]
fn xinfo_describes_a_stream_in_full() {
    let mut h = with_entries(&["XADD s 1-1 a 1", "XGROUP CREATE s g 0", "XREADGROUP GROUP g c STREAMS s >"]);
    let full = h.run3("XINFO STREAM s FULL");
    let group = format!(
        "%8['name' 'g' 'last-delivered-id' '1-1' 'entries-read' :1 'lag' :0 'pel-count' :1 'nacked-count' :0 \
         'pending' *1[*4['1-1' 'c' :{START_MS} :1]] 'consumers' *1[%5['name' 'c' 'seen-time' :{START_MS} \
         'active-time' :{START_MS} 'pel-count' :1 'pending' *1[*3['1-1' :{START_MS} :1]]]]]"
    );
    assert!(full.ends_with(&format!("'entries' *1[*2['1-1' *2['a' '1']]] 'groups' *1[{group}]]")), "{full}");
    h.expect(&[
        ("XINFO STREAM missing", "-ERR no such key"),
        ("XINFO STREAM s NOSUCH", "-ERR unknown subcommand or wrong number of arguments for 'STREAM'. Try XINFO HELP."),
        ("XINFO CONSUMERS s nosuch", "-NOGROUP No such consumer group 'nosuch' for key name 's'"),
    ]);
}

#[test]
fn a_stream_is_copied_saved_and_restored_with_its_groups() {
    let mut h =
        with_entries(&["XADD s 1-1 a 1", "XGROUP CREATE s g 0", "XREADGROUP GROUP g c STREAMS s >", "XDEL s 1-1"]);
    let info = h.run("XINFO STREAM s FULL");
    assert_eq!(h.run("COPY s t"), ":1");
    assert_eq!(h.run("XINFO STREAM t FULL"), info);
    let dump = h.run_words(&["DUMP", "s"]);
    let start = dump.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let payload = &dump[start..dump.len() - 2];
    assert_eq!(h.run_words(&[b"RESTORE".as_slice(), b"u", b"0", payload]), b"+OK\r\n");
    assert_eq!(h.run("XINFO STREAM u FULL"), info);
}
