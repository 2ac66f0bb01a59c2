//! SORT and SORT_RO, their replies as Redis 8.0.2 gives them.

mod common;

use common::{Harness, Replicated};

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const NOT_NUMBER: &str = "-ERR One or more scores can't be converted into double";
const SYNTAX: &str = "-ERR syntax error";

#[test]
fn elements_are_sorted_by_their_own_value() {
    Harness::new().expect(&[
        ("SADD s 3 10 -1 2.5", ":4"),
        ("SORT s", "*4['-1' '2.5' '3' '10']"),
        ("SORT s DESC", "*4['10' '3' '2.5' '-1']"),
        ("SORT s ALPHA", "*4['-1' '10' '2.5' '3']"),
        ("SORT s ALPHA DESC ASC LIMIT 1 2", "*2['10' '2.5']"),
        ("SORT_RO s LIMIT -3 2", "*2['-1' '2.5']"),
        ("SORT s LIMIT 2 -1", "*2['3' '10']"),
        ("SORT s LIMIT 9 9", "*0[]"),
        ("SORT s LIMIT 0 0", "*0[]"),
        ("SORT nokey", "*0[]"),
        ("SADD s word", ":1"),
        ("SORT s", NOT_NUMBER),
        ("SORT s BY nosort LIMIT 0 0", "*0[]"),
        ("SORT_RO s STORE d", SYNTAX),
        ("SORT s LIMIT 1", SYNTAX),
        ("SORT s BY", SYNTAX),
        ("SORT s NONSENSE", SYNTAX),
        ("SORT s LIMIT x 1", "-ERR value is not an integer or out of range"),
        ("SET str x", "+OK"),
        ("SORT str", WRONG_TYPE),
    ]);
}

#[test]
fn elements_are_sorted_by_the_values_of_other_keys() {
    Harness::new().expect(&[
        ("SADD s a b c", ":3"),
        ("MSET w_a 3 w_b 1 name_a Ann name_b Bob", "+OK"),
        ("HSET h_a f 2 n x", ":2"),
        ("HSET h_b f 9", ":1"),
        // What has no weight weighs nothing.
        ("SORT s BY w_*", "*3['c' 'b' 'a']"),
        ("SORT s BY w_* DESC", "*3['a' 'b' 'c']"),
        ("SORT s BY name_* ALPHA DESC", "*3['b' 'a' 'c']"),
        ("SORT s BY h_*->f DESC GET # GET name_* GET h_*->n", "*9['b' 'Bob' $-1 'a' 'Ann' 'x' 'c' $-1 $-1]"),
        ("SORT s BY w_* GET fixed GET w_*->f LIMIT 2 1", "*2[$-1 $-1]"),
        ("SORT s BY name_*", NOT_NUMBER),
        ("SET w_c 1e400", "+OK"),
        ("SORT s BY w_*", "*3['b' 'a' 'c']"),
        ("SET w_c ''", "+OK"),
        ("SORT s BY w_*", "*3['c' 'b' 'a']"),
        ("SET w_c ' 1'", "+OK"),
        ("SORT s BY w_*", NOT_NUMBER),
        ("SET w_c 0x10", "+OK"),
        ("SORT s BY w_*", NOT_NUMBER),
    ]);
}

#[test]
fn a_list_keeps_its_order_where_nothing_is_sorted() {
    Harness::new().expect(&[
        ("RPUSH l 3 1 2 1", ":4"),
        ("SORT l", "*4['1' '1' '2' '3']"),
        ("SORT l BY nosort", "*4['3' '1' '2' '1']"),
        ("SORT l BY nosort DESC LIMIT 0 2", "*2['1' '2']"),
        ("SORT l BY nosort LIMIT 1 2 GET # GET #", "*4['1' '1' '2' '2']"),
        ("SORT l BY w_* ALPHA", "*4['3' '1' '2' '1']"),
    ]);
}

#[test]
fn a_sorted_set_keeps_its_order_where_nothing_is_sorted() {
    Harness::new().expect(&[
        ("ZADD z 3 1 2 5 1 3", ":3"),
        ("SORT z", "*3['1' '3' '5']"),
        ("SORT z BY nosort", "*3['3' '5' '1']"),
        ("SORT z BY nosort DESC LIMIT 0 2", "*2['1' '5']"),
        ("SORT z BY nosort STORE d", ":3"),
        ("LRANGE d 0 -1", "*3['3' '5' '1']"),
    ]);
}

#[test]
fn results_are_stored_as_lists() {
    Harness::new().expect(&[
        ("SADD s 3 10 -1", ":3"),
        ("SET name_3 three", "+OK"),
        ("SORT s STORE d", ":3"),
        ("LRANGE d 0 -1", "*3['-1' '3' '10']"),
        ("OBJECT ENCODING d", "'listpack'"),
        ("SORT s GET name_* GET # STORE d", ":6"),
        ("LRANGE d 0 -1", "*6['' '-1' 'three' '3' '' '10']"),
        // A set has no order of its own to be stored.
        ("SORT s BY nosort STORE d", ":3"),
        ("LRANGE d 0 -1", "*3['-1' '10' '3']"),
        ("SORT d STORE d", ":3"),
        ("LRANGE d 0 -1", "*3['-1' '3' '10']"),
        ("SORT nokey STORE d", ":0"),
        ("EXISTS d", ":0"),
        ("SORT s STORE s", ":3"),
        ("TYPE s", "+list"),
        ("COMMAND GETKEYS SORT k BY w GET STORE STORE d", "*2['k' 'd']"),
        ("COMMAND GETKEYS SORT k ALPHA", "*1['k']"),
    ]);
}

#[test]
fn storing_is_replayed_with_the_same_result() {
    let mut pair = Replicated::new();
    pair.run("SADD s a b c d e f g");
    pair.run("MSET w_a 1 w_b 1 w_c 0");
    for line in ["SORT s ALPHA STORE d", "SORT s BY w_* ALPHA DESC STORE d", "SORT s BY nosort GET w_* STORE d"] {
        assert_eq!(pair.run(line), ":7");
    }
}
