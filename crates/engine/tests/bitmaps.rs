//! The bitmap commands, their replies as Redis 8.0.2 gives them (BITOP's DIFF, DIFF1, ANDOR and ONE: as documented).

mod common;

use common::{Harness, Replicated};
use proptest::prelude::*;

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const NOT_INTEGER: &str = "-ERR value is not an integer or out of range";
const OFFSET: &str = "-ERR bit offset is not an integer or out of range";
const BIT: &str = "-ERR bit is not an integer or out of range";
const SYNTAX: &str = "-ERR syntax error";

#[test]
fn bits_are_written_and_read() {
    Harness::new().expect(&[
        ("SETBIT b 7 1", ":0"),
        ("SETBIT b 7 1", ":1"),
        ("GET b", r"'\x01'"),
        ("GETBIT b 7", ":1"),
        ("GETBIT b 6", ":0"),
        ("GETBIT b 4000000000", ":0"),
        ("GETBIT nokey 0", ":0"),
        ("SETBIT b 17 1", ":0"),
        ("GET b", r"'\x01\x00@'"),
        ("SETBIT b 7 0", ":1"),
        ("STRLEN b", ":3"),
        ("OBJECT ENCODING b", "'raw'"),
        ("SET n 12", "+OK"),
        ("SETBIT n 7 1", ":1"),
        ("OBJECT ENCODING n", "'raw'"),
        ("SETBIT n 6 1", ":0"),
        ("GET n", "'32'"),
        ("INCR n", ":33"),
        ("SETBIT b -1 1", OFFSET),
        ("SETBIT b 4294967296 1", OFFSET),
        ("SETBIT b #1 1", OFFSET),
        ("GETBIT b x", OFFSET),
        ("SETBIT b 0 2", BIT),
        ("SETBIT b 0 x", BIT),
        ("HSET h f v", ":1"),
        ("SETBIT h 0 1", WRONG_TYPE),
        ("GETBIT h 0", WRONG_TYPE),
    ]);
}

#[test]
fn set_bits_are_counted() {
    Harness::new().expect(&[
        ("SET s foobar", "+OK"),
        ("BITCOUNT s", ":26"),
        ("BITCOUNT s 0 0", ":4"),
        ("BITCOUNT s 1 1", ":6"),
        ("BITCOUNT s 0 -1", ":26"),
        ("BITCOUNT s -2 -1", ":7"),
        ("BITCOUNT s -1 -2", ":0"),
        ("BITCOUNT s 3 99", ":10"),
        ("BITCOUNT s 5 30 BIT", ":17"),
        ("BITCOUNT s 0 -1 bit", ":26"),
        ("BITCOUNT s 0 0 BYTE", ":4"),
        ("BITCOUNT s 0 0 X", SYNTAX),
        ("BITCOUNT s 0", SYNTAX),
        ("BITCOUNT s 0 x", NOT_INTEGER),
        ("BITCOUNT nokey", ":0"),
        ("BITCOUNT nokey 0 -1 BIT", ":0"),
        ("HSET h f v", ":1"),
        ("BITCOUNT h", WRONG_TYPE),
    ]);
}

#[test]
fn the_first_bit_of_a_value_is_found() {
    let mut harness = Harness::new();
    harness.run_words(&[&b"SET"[..], b"a", b"\xff\xf0\x00"]);
    harness.run_words(&[&b"SET"[..], b"ones", b"\xff\xff"]);
    harness.expect(&[
        ("BITPOS a 0", ":12"),
        ("BITPOS a 1", ":0"),
        ("BITPOS a 1 2", ":-1"),
        ("BITPOS a 0 2", ":16"),
        ("BITPOS a 1 1 1", ":8"),
        ("BITPOS a 0 0 0", ":-1"),
        ("BITPOS a 1 7 15 BIT", ":7"),
        ("BITPOS a 0 7 15 bit", ":12"),
        ("BITPOS a 1 -9 -1 BIT", ":-1"),
        ("BITPOS ones 0", ":16"),
        ("BITPOS ones 0 1", ":16"),
        ("BITPOS ones 0 0 -1", ":-1"),
        ("BITPOS ones 0 5", ":-1"),
        ("BITPOS nokey 0", ":0"),
        ("BITPOS nokey 1", ":-1"),
        ("BITPOS a 2", "-ERR The bit argument must be 1 or 0."),
        ("BITPOS a x", NOT_INTEGER),
        ("BITPOS a 0 0 1 X", SYNTAX),
        ("BITPOS a 0 0 1 BIT 3", SYNTAX),
        ("HSET h f v", ":1"),
        ("BITPOS h 0", WRONG_TYPE),
    ]);
}

#[test]
fn strings_are_combined_bit_by_bit() {
    let mut harness = Harness::new();
    harness.run_words(&[&b"SET"[..], b"x", b"\xf0\xff"]);
    harness.run_words(&[&b"SET"[..], b"y", b"\xcc"]);
    harness.run_words(&[&b"SET"[..], b"z", b"\xaa\x0f\x01"]);
    for (line, reply, result) in [
        ("BITOP AND d x y z", ":3", r"'\x80\x00\x00'"),
        ("BITOP or d x y", ":2", r"'\xfc\xff'"),
        ("BITOP XOR d x y z", ":3", r"'\x96\xf0\x01'"),
        ("BITOP NOT d x", ":2", r"'\x0f\x00'"),
        ("BITOP AND d x", ":2", r"'\xf0\xff'"),
        ("BITOP AND d x nokey", ":2", r"'\x00\x00'"),
        ("BITOP DIFF d x y z", ":3", r"'\x10\xf0\x00'"),
        ("BITOP DIFF1 d x y z", ":3", r"'\x0e\x00\x01'"),
        ("BITOP ANDOR d x y z", ":3", r"'\xe0\x0f\x00'"),
        ("BITOP ONE d x y z", ":3", r"'\x16\xf0\x01'"),
        ("BITOP DIFF d y x", ":2", r"'\x0c\x00'"),
        ("BITOP DIFF1 d nokey x", ":2", r"'\xf0\xff'"),
    ] {
        assert_eq!((harness.run(line).as_str(), harness.run("GET d").as_str()), (reply, result), "{line}");
    }
    harness.expect(&[
        ("OBJECT ENCODING d", "'raw'"),
        ("BITOP AND d nokey nokey", ":0"),
        ("EXISTS d", ":0"),
        ("BITOP NOT d x y", "-ERR BITOP NOT must be called with a single source key."),
        ("BITOP DIFF d x", "-ERR BITOP DIFF must be called with at least two source keys."),
        ("BITOP diff1 d x", "-ERR BITOP DIFF1 must be called with at least two source keys."),
        ("BITOP ANDOR d x", "-ERR BITOP ANDOR must be called with at least two source keys."),
        ("BITOP ONE d x", ":2"),
        ("BITOP NAND d x y", SYNTAX),
        ("HSET h f v", ":1"),
        ("BITOP OR d x h", WRONG_TYPE),
        ("BITOP OR h x", ":2"),
        ("TYPE h", "+string"),
    ]);
}

#[test]
fn fields_of_bits_are_read_and_changed() {
    const TYPE: &str =
        "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.";
    Harness::new().expect(&[
        ("BITFIELD f SET u8 0 255", "*1[:0]"),
        ("BITFIELD f GET i8 0 GET u4 0 GET u8 4", "*3[:-1 :15 :240]"),
        ("BITFIELD f INCRBY u8 0 10", "*1[:9]"),
        ("BITFIELD f OVERFLOW SAT INCRBY u8 0 1000 INCRBY i8 8 -1000", "*2[:255 :-128]"),
        ("BITFIELD f OVERFLOW FAIL INCRBY u8 0 1 SET u8 0 256 OVERFLOW WRAP SET u8 0 256", "*3[$-1 $-1 :255]"),
        ("BITFIELD f SET u8 #2 65 GET u8 #2", "*2[:0 :65]"),
        ("STRLEN f", ":3"),
        ("BITFIELD f SET i64 #1 -9223372036854775808 INCRBY i64 #1 -1", "*2[:0 :9223372036854775807]"),
        ("BITFIELD f SET u63 0 -1", "*1[:18050132637384704]"),
        ("BITFIELD nokey GET u8 0", "*1[:0]"),
        ("EXISTS nokey", ":0"),
        ("BITFIELD nokey", "*0[]"),
        ("BITFIELD g OVERFLOW FAIL SET u1 9 2", "*1[$-1]"),
        ("STRLEN g", ":2"),
        ("BITFIELD f GET u64 0", TYPE),
        ("BITFIELD f GET i65 0", TYPE),
        ("BITFIELD f GET U8 0", TYPE),
        ("BITFIELD f GET u8 -1", OFFSET),
        ("BITFIELD f GET u8 #9223372036854775807", OFFSET),
        ("BITFIELD f GET u8", SYNTAX),
        ("BITFIELD f NONSENSE", SYNTAX),
        ("BITFIELD f OVERFLOW x", "-ERR Invalid OVERFLOW type specified"),
        ("BITFIELD f SET u8 0 x", NOT_INTEGER),
        ("BITFIELD_RO f GET u8 0", "*1[:255]"),
        ("BITFIELD_RO f SET u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand"),
        ("HSET h f v", ":1"),
        ("BITFIELD h GET u8 0", WRONG_TYPE),
        ("BITFIELD h SET u8 0 1", WRONG_TYPE),
    ]);
}

/// A command line over few keys, short bitmaps and narrow fields.
fn line() -> impl Strategy<Value = String> {
    let key = || (0..3_u8).prop_map(|k| format!("k{k}"));
    let field = || (1..=63_u8, 0..200_u16).prop_map(|(width, at)| format!("i{width} {at}"));
    prop_oneof![
        4 => (key(), 0..200_u16, 0..2_u8).prop_map(|(k, at, bit)| format!("SETBIT {k} {at} {bit}")),
        3 => (key(), field(), any::<i8>(), 0..3_usize).prop_map(|(k, f, by, o)| {
            format!("BITFIELD {k} OVERFLOW {} INCRBY {f} {by}", ["WRAP", "SAT", "FAIL"][o])
        }),
        2 => (key(), field(), any::<i64>()).prop_map(|(k, f, v)| format!("BITFIELD {k} SET {f} {v} GET {f}")),
        3 => (0..8_usize, key(), key(), key()).prop_map(|(op, d, a, b)| {
            format!("BITOP {} {d} {a} {b}", ["AND", "OR", "XOR", "NOT", "DIFF", "DIFF1", "ANDOR", "ONE"][op])
        }),
        1 => key().prop_map(|k| format!("DEL {k}")),
        1 => (key(), any::<i16>()).prop_map(|(k, n)| format!("SET {k} {n}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn replaying_the_stream_gives_the_same_digest_after_every_turn(lines in prop::collection::vec(line(), 1..50)) {
        let mut pair = Replicated::new();
        for line in lines {
            pair.run(&line);
        }
    }
}
