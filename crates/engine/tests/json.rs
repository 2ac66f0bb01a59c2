//! JSON.*: replies in both protocols, errors, what is refused changes nothing, and replay of the effects.

mod common;

use common::{Harness, Replicated};
use proptest::prelude::*;

const DOC: &str = r#"{"a":1,"s":"x","l":[1,2,3],"o":{"a":2.5,"b":true}}"#;

fn filled() -> Harness {
    let mut h = Harness::new();
    assert_eq!(h.run_words(&["JSON.SET", "d", "$", DOC]), b"+OK\r\n");
    h
}

#[test]
fn values_are_set_and_read_by_both_forms_of_paths() {
    let mut h = filled();
    h.expect(&[
        ("TYPE d", "+ReJSON-RL"),
        ("OBJECT ENCODING d", "'raw'"),
        ("JSON.GET none", "$-1"),
        ("JSON.GET d .a", "'1'"),
        ("JSON.GET d $..a", "'[1,2.5]'"),
        ("JSON.GET d $.none", "'[]'"),
        ("JSON.GET d .none", "-ERR Path '.none' does not exist"),
        ("JSON.SET d $.o.c 7", "+OK"),
        ("JSON.SET d $.o.c 8 NX", "$-1"),
        ("JSON.SET d $.o.x 8 XX", "$-1"),
        ("JSON.SET d $.no.such 8", "$-1"),
        ("JSON.GET d $.o.c", "'[7]'"),
        ("JSON.SET new .a 1", "-ERR new objects must be created at the root"),
        ("JSON.SET d $.a 1 NX XX", "-ERR syntax error"),
        ("SET string x", "+OK"),
        ("JSON.GET string", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("JSON.MGET d none string $.a", "*3['[1]' $-1 $-1]"),
        ("JSON.DEL d $..a", ":2"),
        ("JSON.DEL d $.none", ":0"),
        ("JSON.FORGET d", ":1"),
        ("EXISTS d", ":0"),
    ]);
    assert!(h.run("JSON.SET d $ {").starts_with("-ERR EOF while parsing"));
    assert_eq!(h.run("EXISTS d"), ":0");
}

#[test]
fn text_can_be_laid_out_and_several_paths_read_at_once() {
    let mut h = Harness::new();
    h.run_words(&["JSON.SET", "d", "$", r#"{"a":[1,{}],"b":[]}"#]);
    let reply = h.run_words(&["JSON.GET", "d", "INDENT", "  ", "NEWLINE", "\n", "SPACE", " ", "."]);
    let text = "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}";
    assert_eq!(reply, format!("${}\r\n{text}\r\n", text.len()).as_bytes());
    assert_eq!(h.run("JSON.GET d .a[0] .b"), r#"'{".a[0]":1,".b":[]}'"#);
    assert_eq!(h.run("JSON.GET d .a[0] $.b"), r#"'{".a[0]":[1],"$.b":[[]]}'"#);
}

#[test]
fn numbers_strings_and_booleans_change_in_place() {
    let mut h = filled();
    h.expect(&[
        ("JSON.NUMINCRBY d .a 2", "'3'"),
        ("JSON.NUMINCRBY d $..a 0.5", "'[3.5,3.0]'"),
        ("JSON.NUMINCRBY d $.s 1", "'[null]'"),
        ("JSON.NUMMULTBY d $.a 2", "'[7.0]'"),
        ("JSON.NUMINCRBY d .s 1", "-ERR Path '.s' does not exist or does not contains a number"),
        ("JSON.NUMINCRBY none .s 1", "-ERR could not perform this operation on a key that doesn't exist"),
        ("JSON.STRLEN d $.s", "*1[:1]"),
        ("JSON.STRLEN none", "$-1"),
        ("JSON.STRLEN none $", "-ERR could not perform this operation on a key that doesn't exist"),
        ("JSON.TOGGLE d $.o.b", "*1[:0]"),
        ("JSON.TOGGLE d .o.b", "'true'"),
        ("JSON.TOGGLE d .a", "-ERR Path '.a' does not exist or not a bool"),
        ("JSON.TYPE d $.*", "*4['number' 'string' 'array' 'object']"),
        ("JSON.TYPE d .none", "$-1"),
        ("JSON.OBJLEN d", ":4"),
        ("JSON.OBJKEYS d $.o", "*1[*2['a' 'b']]"),
        ("JSON.CLEAR d $.*", ":3"),
        ("JSON.GET d", r#"'{"a":0,"s":"x","l":[],"o":{}}'"#),
    ]);
    assert_eq!(h.run_words(&["JSON.STRAPPEND", "d", "$.s", "\"yz\""]), b"*1\r\n:3\r\n");
    assert_eq!(h.run3("JSON.TYPE d $.a"), "*1[*1['integer']]");
    assert_eq!(h.run3("JSON.NUMINCRBY d $.a 1"), "*1[:1]");
}

#[test]
fn arrays_grow_shrink_and_are_searched() {
    let mut h = filled();
    h.expect(&[
        ("JSON.ARRAPPEND d $.l 4 5", "*1[:5]"),
        ("JSON.ARRAPPEND d .s 4", "-ERR Path '.s' does not exist or not an array"),
        ("JSON.ARRINSERT d .l 0 0", ":6"),
        ("JSON.ARRINSERT d .l 9 0", "-ERR index out of bounds"),
        ("JSON.ARRINSERT d $..* 9 0", "-ERR index out of bounds"),
        ("JSON.ARRLEN d $.*", "*4[$-1 $-1 :6 $-1]"),
        ("JSON.ARRINDEX d $.l 3", "*1[:3]"),
        ("JSON.ARRINDEX d .l 3 0 2", ":-1"),
        ("JSON.ARRPOP d .l", "'5'"),
        ("JSON.ARRPOP d $.l 0", "*1['0']"),
        ("JSON.ARRTRIM d .l 1 2", ":2"),
        ("JSON.GET d .l", "'[2,3]'"),
        ("JSON.ARRTRIM d .l 5 9", ":0"),
        ("JSON.ARRPOP d .l", "$-1"),
    ]);
}

#[test]
fn documents_merge_and_several_are_set_at_once() {
    let mut h = filled();
    assert_eq!(
        h.run_words(&["JSON.MERGE", "d", "$", r#"{"a":null,"o":{"b":null,"c":[1]},"n":{"x":null}}"#]),
        b"+OK\r\n"
    );
    assert_eq!(h.run("JSON.GET d"), r#"'{"s":"x","l":[1,2,3],"o":{"a":2.5,"c":[1]},"n":{}}'"#);
    h.expect(&[
        ("JSON.MERGE d $.l null", "+OK"),
        ("JSON.GET d $.l", "'[]'"),
        ("JSON.MSET d $.s 1 e $ 2", "+OK"),
        ("JSON.MGET d e $", r#"*2['[{"s":1,"o":{"a":2.5,"c":[1]},"n":{}}]' '[2]']"#),
        ("JSON.MSET d $.s 3 f $.x 2", "-ERR new objects must be created at the root"),
        ("JSON.GET d .s", "'1'"),
        ("JSON.MERGE d $ null", "+OK"),
        ("EXISTS d", ":0"),
    ]);
}

#[test]
fn nothing_grows_deeper_than_a_file_may_hold() {
    let mut h = Harness::new();
    let nested = format!("{}{}", "[".repeat(100), "]".repeat(100));
    h.run_words(&["JSON.SET", "d", "$", &nested]);
    let inner = format!("${}", "[0]".repeat(99));
    let reply = h.run_words(&["JSON.ARRAPPEND", "d", &inner, &nested]);
    assert_eq!(reply, b"-ERR the document would be nested too deeply\r\n");
    let reply = h.run_words(&["JSON.SET", "d", &inner, &nested]);
    assert_eq!(reply, b"-ERR the document would be nested too deeply\r\n");
    let dump = h.run_words(&["DUMP", "d"]);
    assert!(!dump.starts_with(b"-"));
    h.run("DEL d");
    let start = dump.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let restored = h.run_words(&[b"RESTORE".as_slice(), b"d", b"0", &dump[start..dump.len() - 2]]);
    assert_eq!(restored, b"+OK\r\n");
}

#[test]
fn a_dump_restores_and_a_damaged_one_does_not() {
    let mut h = filled();
    let dump = h.run_words(&["DUMP", "d"]);
    let start = dump.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let payload = &dump[start..dump.len() - 2];
    assert_eq!(h.run_words(&[b"RESTORE".as_slice(), b"copy", b"0", payload]), b"+OK\r\n");
    assert_eq!(h.run("JSON.GET copy"), format!("'{DOC}'"));
    assert_eq!(h.run("COPY d other"), ":1");
    assert_eq!(h.run("JSON.GET other .a"), "'1'");
    let mut damaged = payload.to_vec();
    damaged[15] ^= 1;
    assert!(h.run_words(&[b"RESTORE".as_slice(), b"bad", b"0", &damaged]).starts_with(b"-"));
}

fn command() -> impl Strategy<Value = Vec<String>> {
    let key = prop_oneof![Just("d"), Just("e")];
    let path = prop_oneof![
        Just("$"),
        Just("."),
        Just("$.a"),
        Just(".a"),
        Just("$..a"),
        Just("$.l"),
        Just("$.l[0]"),
        Just("$.*"),
        Just("$..*"),
    ];
    let value = prop_oneof![
        Just("1"),
        Just("2.5"),
        Just("\"x\""),
        Just("[1,[2]]"),
        Just("{\"a\":1,\"l\":[{\"a\":true}]}"),
        Just("null"),
        Just("true"),
    ];
    (key, path, value, 0usize..16).prop_map(|(key, path, value, which)| {
        let words: Vec<&str> = match which {
            0..3 => vec!["JSON.SET", key, path, value],
            3 => vec!["JSON.SET", key, path, value, "NX"],
            4 => vec!["JSON.DEL", key, path],
            5 => vec!["JSON.MERGE", key, path, value],
            6 => vec!["JSON.NUMINCRBY", key, path, "1.5"],
            7 => vec!["JSON.ARRAPPEND", key, path, value, "7"],
            8 => vec!["JSON.ARRINSERT", key, path, "-1", value],
            9 => vec!["JSON.ARRPOP", key, path, "0"],
            10 => vec!["JSON.ARRTRIM", key, path, "0", "1"],
            11 => vec!["JSON.TOGGLE", key, path],
            12 => vec!["JSON.CLEAR", key, path],
            13 => vec!["JSON.STRAPPEND", key, path, "\"y\""],
            14 => vec!["JSON.MSET", key, path, value, "d", "$", value],
            _ => vec!["JSON.GET", key, path],
        };
        words.into_iter().map(str::to_owned).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_effects_repeat_every_change(commands in prop::collection::vec(command(), 1..30)) {
        let mut both = Replicated::new();
        for words in commands {
            let before = both.primary.digest();
            let reply = both.run_words(&words);
            if reply.starts_with(b"-") {
                prop_assert_eq!(both.primary.digest(), before, "{:?} failed and changed something", words);
            }
        }
    }
}
