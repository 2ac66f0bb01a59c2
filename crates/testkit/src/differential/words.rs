//! Pools of words: mostly ordinary, some at the edges of what a parser takes.
//!
//! Times to live are either far away or past, so that both servers agree on what is alive; keys that shall expire within
//! an episode go through [`super::Step::Sleep`]. Offsets stay small or impossible, so that no server allocates much.

use super::families::filters;
use super::random::Rng;

const KEYS: &[&str] = &["k1", "k2", "k3", "k4", "k5", "k6", "{t}a", "{t}b"];
const ODD_KEYS: &[&[u8]] = &[b"", b"k\0\r\n\xff", b"{}", b"key:with:colons and spaces"];
const FIELDS: &[&str] = &["f1", "f2", "f3", "f4", "f5", "12", "a longer field name"];
const VALUES: &[&[u8]] = &[
    b"0",
    b"1",
    b"-1",
    b"10",
    b"100",
    b"3.5",
    b"hello",
    b"hello world",
    b"",
    b"Hello",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"1e5",
    b"+1",
    b" 1",
    b"1 ",
    b"00",
    b"-0",
    b"0x10",
    b"inf",
    b"nan",
    b"\x00\x01\xfe\xff",
    b"a\r\nb",
    b"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGH", // 44 bytes: the last embedded one
    b"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHI",
    b"a value that is longer than sixty-four bytes, so that compact encodings give way to others",
];
const INTS: &[&str] = &["0", "1", "2", "3", "5", "10", "-1", "-2", "-3", "-10", "100"];
const ODD_INTS: &[&str] = &[
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "99999999999999999999999",
    "4294967296",
    "2147483647",
    "2147483648",
    "abc",
    "",
    "1.5",
    "-0",
    "+1",
    " 1",
    "1 ",
    "01",
    "0x10",
    "nan",
    "1e3",
    "--1",
];
const FLOATS: &[&str] =
    &["0", "1", "-1", "0.5", "1.5", "-2.25", "3.0", "10.5", "0.1", "1e3", "100000", "-0.001", "1e-5"];
const ODD_FLOATS: &[&str] = &[
    "nan",
    "inf",
    "-inf",
    "+inf",
    "Infinity",
    "1e400",
    "1e308",
    "-1e308",
    "1e17",
    "123456789.123456789",
    "5e-324",
    "abc",
    "",
    " 1",
    "1 ",
    "1.5.5",
    "+2",
    "-0",
    "0x1p3",
    ".5",
    "5.",
    "1,5",
];
const PATTERNS: &[&[u8]] =
    &[b"*", b"k*", b"k?", b"k[1-3]", b"k[^1]", b"[a-z]*", b"*t*", b"\\k1", b"", b"k[1-", b"**1", b"f*", b"nothing"];
const WEIRD: &[&[u8]] = &[
    b"",
    b"0",
    b"-1",
    b"9223372036854775807",
    b"18446744073709551616",
    b"nan",
    b"inf",
    b"foo",
    b"nx",
    b"XX",
    b"EX",
    b"get",
    b"count",
    b"*",
    b"\xff\xfe\r\n\0",
    b"1.5",
    b"fields",
    b"k1",
    b"1e30",
    b"very long word indeed, longer than most words",
];
const IDS: &[&str] = &["9-0", "9-1", "9-2", "9-3", "9-4", "9-5", "9-6", "9-7", "1-1", "5-0", "9", "1-2", "9-12"];
const NEW_IDS: &[&str] = &["1-1", "1-*", "2-0", "3", "5-5", "5-*", "9-1", "9-50", "10-0", "11-*"];
const ODD_IDS: &[&str] = &[
    "0",
    "0-0",
    "0-1",
    "0-*",
    "-",
    "+",
    "x",
    "",
    "1-",
    "-1",
    "1-x",
    "9-*-1",
    "01-1",
    " 9-1",
    "+9-+1",
    "-1-1",
    "18446744073709551615",
    "18446744073709551615-18446744073709551615",
    "18446744073709551616-0",
    "9-18446744073709551615",
    "9-18446744073709551614",
];
const BOUNDS: &[&str] =
    &["-", "+", "9-0", "9-1", "9-3", "9-5", "9", "1-1", "5", "(9-2", "(9-4", "(1-1", "(9", "(-", "("];
const ELEMENTS: &[&str] = &["e1", "e2", "e3", "e4", "e5", "e6", "e7", "e8", "apple", "pear", ""];
const ATTRIBUTES: &[&str] = &[
    "{\"year\":1980,\"tag\":\"a\"}",
    "{\"year\":1999,\"tag\":\"b\",\"list\":[1,2]}",
    "{\"year\":2010}",
    "{\"ok\":true}",
    "{}",
    "not json",
    "{\"year\":\"x\"}",
    "",
];
/// Without the empty one, which is the last.
const ATTRIBUTES_NOT_EMPTY: usize = ATTRIBUTES.len() - 1;
const FILTERS: &[&str] = &[
    ".year > 1985",
    ".year >= 1980 and .year < 2000",
    ".tag == \"a\"",
    ".tag == 'b' or .year == 2010",
    "not .ok",
    "!(.year == 1980)",
    ".tag in [\"a\", \"c\"]",
    "2 in .list",
    ".year + 10 > 2000",
    ".missing == 1",
    ".year % 2 == 0",
    ".year ** 2 > 0",
    "(.year",
    "year > 3",
    "",
    "1 in .year",
];
const NAMES: &[&str] = &["", "default", "me", "lib-1.0", "two words", "new\nline", "Nobody", "\u{e4}"];
/// Parameters with the same default in both servers, and a few that cannot be set.
const PARAMETERS: &[&str] = &[
    "hz",
    "HZ",
    "timeout",
    "tcp-keepalive",
    "maxmemory-samples",
    "maxmemory-policy",
    "hash-max-listpack-entries",
    "hash-max-ziplist-entries",
    "hash-max-listpack-value",
    "hash-max-ziplist-value",
    "replica-priority",
    "slave-priority",
    "loglevel",
    "lazyfree-lazy-user-del",
    "rdbcompression",
    "repl-backlog-size",
    "active-expire-effort",
    "databases",
    "nosuchparameter",
    "",
    "hash-max-*",
    "replica-p*",
    "dbfilename",
];
const SETTINGS: &[&str] = &[
    "10",
    "20",
    "0",
    "1",
    "100",
    "yes",
    "no",
    "YES",
    "noeviction",
    "volatile-ttl",
    "Notice",
    "warning",
    "1kb",
    "2mb",
    "1G",
    "-1",
    "1.5",
    "",
    "x",
    "9223372036854775808",
    "99999999999",
    "a/b",
];
const COMMANDS: &[&str] = &[
    "get",
    "SET",
    "getex",
    "mset",
    "hset",
    "hrandfield",
    "expire",
    "multi",
    "ping",
    "client|setname",
    "config|get",
    "nosuch",
    "get|nosuch",
    "CONFIG|SET",
    "",
    "lcs",
    "copy",
    "object|encoding",
    "scan",
    "select",
    "hello",
];
/// Commands to name the keys of; some are too short.
const SAMPLES: &[&str] = &[
    "get k1",
    "GET",
    "get k1 k2",
    "set k1 v get",
    "set k1 v ex 10",
    "mset k1 v k2 v",
    "mset k1 v k2",
    "msetnx k1 v",
    "mget k1 k2 k3",
    "del k1 k2",
    "copy k1 k2",
    "rename k1 k2",
    "lcs k1 k2",
    "object encoding k1",
    "hset k1 f v",
    "ping",
    "multi",
    "watch k1 k2",
    "nosuch k1",
    "vadd v1 values 1 1 e",
    "config get x",
    "command getkeys get k1",
    "exists k1 k1",
    "touch k1",
    "debug object k1",
    "restore k1 0 x",
];

const MEMBERS: &[&str] =
    &["1", "2", "3", "10", "-1", "70000", "-70000", "5000000000", "a", "b", "c", "hello", "a longer member of a set"];
const ODD_MEMBERS: &[&str] = &[
    "",
    "01",
    "-0",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "1.5",
    "a member that is longer than sixty-four bytes, so that a listpack gives way",
];
const WEIGHTS: &[&str] =
    &["w_*", "w_*->f1", "w_*->12", "w_*->", "*", "k*", "#", "##", "nosort", "x*y", "->*", "w_*->f*", ""];
const BITS: &[&str] = &["0", "1", "2", "5", "7", "8", "9", "31", "63", "64", "100", "700", "9000"];
const BIT_TYPES: &[&str] = &["u1", "i1", "u8", "i8", "u5", "i5", "u16", "i32", "u32", "i64", "u63", "i63"];
const ODD_BIT_TYPES: &[&str] = &["u64", "i65", "u0", "i0", "x8", "U8", "u", "", "8", "u-1", "i 8", "u08"];
const BIT_OFFSETS: &[&str] = &["0", "1", "3", "7", "8", "13", "64", "100", "#0", "#1", "#2", "#7"];
/// An empty one, some that are damaged, some that are none.
const HYPERLOGLOGS: &[&[u8]] = &[
    b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff",
    b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x80\x7f\xfe",
    b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x7f\xfe",
    b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x7f\xff\x00",
    b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80",
    b"HYLL\x02\0\0\0\0\0\0\0\0\0\0\0\x7f\xff",
    b"HYLL\x00\0\0\0\0\0\0\0\0\0\0\0\x7f\xff",
    b"HYLX\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff",
    b"HYLL",
];

/// Pushes the words of the pool `<pool>`.
///
/// # Panics
/// On a pool that does not exist: templates are part of the program.
pub fn push(pool: &str, rng: &mut Rng, out: &mut Vec<Vec<u8>>) {
    let word = match pool {
        "key" => key(rng),
        "vkey" => rng.pick(&["v1", "v2", "vn", "vb"]).as_bytes().to_vec(),
        "field" => or_odd(rng, FIELDS, &["", "-5"], 12),
        "value" => value(rng),
        "int" => or_odd(rng, INTS, ODD_INTS, 6),
        "float" => or_odd(rng, FLOATS, ODD_FLOATS, 6),
        "offset" => {
            or_odd(rng, &["0", "1", "2", "5", "10", "60"], &["-1", "536870912", "9223372036854775807", "x", ""], 8)
        }
        "count" => or_odd(rng, &["1", "2", "3", "10", "100"], &["0", "-1", "-3", "abc", "", "9223372036854775807"], 6),
        "m" => or_odd(rng, &["4", "8", "16"], &["0", "1", "3", "-1", "x", "99999999"], 4),
        "ef" => or_odd(rng, &["10", "100", "200"], &["0", "-1", "x", "99999999"], 6),
        "small" => or_odd(rng, &["0", "1", "2", "3"], &["-1", "x"], 10),
        "seconds" => {
            or_odd(rng, &["1000", "5000", "100000"], &["0", "-1", "abc", "9223372036854775807", "99999999999999"], 5)
        }
        "ms" => or_odd(rng, &["1000000", "5000000", "100000000"], &["0", "-1", "x", "9223372036854775807"], 5),
        "at" => {
            or_odd(rng, &["4000000000", "4100000000"], &["0", "-1", "1", "1000000000", "9223372036854775807", "x"], 4)
        }
        "atms" => or_odd(rng, &["4000000000000", "4100000000000"], &["0", "-1", "1", "1000000000000", "x"], 4),
        "db" => or_odd(rng, &["0", "1", "2"], &["-1", "15", "16", "100", "x", "", "9999999999999"], 8),
        "timeout" => or_odd(rng, &["0.01", "0.005"], &["-1", "abc", "", "1e30", "nan", "9223372036854775807"], 4),
        "pattern" => rng.pick(PATTERNS).to_vec(),
        "type" => or_odd(rng, &["string", "hash", "set", "STRING", "vectorset"], &["list", "nosuchtype", ""], 6),
        "stream" => or_odd(rng, &["s1", "s2", "s3"], &["s4", "", "missing"], 15),
        "group" => or_odd(rng, &["g1", "g1", "g2"], &["g3", ""], 12),
        "consumer" => or_odd(rng, &["c1", "c2"], &["c3", ""], 12),
        "newid" => or_odd(rng, NEW_IDS, ODD_IDS, 6),
        "id" => or_odd(rng, IDS, ODD_IDS, 12),
        "bound" => or_odd(rng, BOUNDS, ODD_IDS, 10),
        "claim" => return push_claim(rng, out),
        "element" => rng.pick(ELEMENTS).as_bytes().to_vec(),
        "attributes" if rng.one_in(2) => filters::attributes(rng).into_bytes(),
        "json" if rng.one_in(2) => format!("{} ", filters::attributes(rng)).into_bytes(),
        "attributes" => rng.pick(ATTRIBUTES).as_bytes().to_vec(),
        "json" => rng.pick(&ATTRIBUTES[..ATTRIBUTES_NOT_EMPTY]).as_bytes().to_vec(),
        "filter" if !rng.one_in(5) => filters::expression(rng).into_bytes(),
        "filter" => rng.pick(FILTERS).as_bytes().to_vec(),
        "name" => rng.pick(NAMES).as_bytes().to_vec(),
        "protover" => or_odd(rng, &["2", "3"], &["1", "4", "x", "", "99999999999999999999"], 4),
        "odd" => rng.pick(ODD_INTS).as_bytes().to_vec(),
        "parameter" => rng.pick(PARAMETERS).as_bytes().to_vec(),
        "setting" => rng.pick(SETTINGS).as_bytes().to_vec(),
        "command" => rng.pick(COMMANDS).as_bytes().to_vec(),
        "lua" => super::families::scripting::script(rng),
        "rule" => super::families::acl::rule(rng),
        "sample" => return out.extend(rng.pick(SAMPLES).split(' ').map(|word| word.as_bytes().to_vec())),
        "member" => or_odd(rng, MEMBERS, ODD_MEMBERS, 6),
        "members" => return push_many(rng, out, 600),
        "elements" => return push_many(rng, out, 400),
        "weights" => rng.pick(WEIGHTS).as_bytes().to_vec(),
        "bit" => or_odd(rng, BITS, &["-1", "4294967296", "99999999999", "x", "", "#1", "9223372036854775807"], 8),
        "bittype" => or_odd(rng, BIT_TYPES, ODD_BIT_TYPES, 10),
        "bitfieldoffset" => {
            or_odd(rng, BIT_OFFSETS, &["-1", "#-1", "#", "4294967296", "#4294967296", "x", "9223372036854775807"], 12)
        }
        "bitfield" => return push_bitfield(rng, out),
        "hll" => rng.pick(HYPERLOGLOGS).to_vec(),
        "fields" => return push_fields(rng, out, false),
        "fieldvalues" => return push_fields(rng, out, true),
        "vector" => return push_vector(rng, out),
        "zkey" | "gkey" | "zmember" | "longmember" | "score" | "scoreend" | "lexend" | "unit" | "lon" | "lat"
        | "distance" => super::families::zset::word(pool, rng),
        other => super::families::clients::word(other, rng),
    };
    out.push(word);
}

/// Damages one command: a word dropped, doubled, replaced or appended.
pub fn damage(rng: &mut Rng, words: &mut Vec<Vec<u8>>) {
    let at = rng.below(words.len());
    match rng.below(4) {
        0 if words.len() > 1 => drop(words.remove(at.max(1))),
        1 => words.insert(at, words[at].clone()),
        2 if words.len() > 1 => words[at.max(1)] = rng.pick(WEIRD).to_vec(),
        _ => words.push(rng.pick(WEIRD).to_vec()),
    }
}

fn key(rng: &mut Rng) -> Vec<u8> {
    if rng.one_in(25) { rng.pick(ODD_KEYS).to_vec() } else { rng.pick(KEYS).as_bytes().to_vec() }
}

fn value(rng: &mut Rng) -> Vec<u8> {
    if rng.one_in(20) { vec![b'x'; 1 + rng.below(3000)] } else { rng.pick(VALUES).to_vec() }
}

fn or_odd(rng: &mut Rng, usual: &[&str], odd: &[&str], one_in: usize) -> Vec<u8> {
    let list = if rng.one_in(one_in) { odd } else { usual };
    rng.pick(list).as_bytes().to_vec()
}

/// Many numbers, or words made of them.
fn push_many(rng: &mut Rng, out: &mut Vec<Vec<u8>>, most: usize) {
    let (count, first, prefix) = (1 + rng.below(most), rng.below(2000), rng.pick(&["", "", "m", "-", "0"]));
    out.extend((first..first + count).map(|number| format!("{prefix}{number}").into_bytes()));
}

/// One operation of BITFIELD.
fn push_bitfield(rng: &mut Rng, out: &mut Vec<Vec<u8>>) {
    let operation = *rng.pick(&["get", "set", "incrby", "SET", "overflow"]);
    out.push(operation.as_bytes().to_vec());
    if operation == "overflow" {
        return out.push(rng.pick(&["wrap", "sat", "fail"]).as_bytes().to_vec());
    }
    push("bittype", rng, out);
    push("bitfieldoffset", rng, out);
    if operation != "get" {
        push(if rng.one_in(4) { "odd" } else { "int" }, rng, out);
    }
}

/// `FIELDS n field [value] ...` with a count that is wrong now and then.
fn push_fields(rng: &mut Rng, out: &mut Vec<Vec<u8>>, with_values: bool) {
    let count = 1 + rng.below(3);
    let claimed = if rng.one_in(12) { rng.below(5) } else { count };
    out.push(b"FIELDS".to_vec());
    out.push(claimed.to_string().into_bytes());
    for _ in 0..count {
        push("field", rng, out);
        if with_values {
            push("value", rng, out);
        }
    }
}

/// Options of XCLAIM, with times far from where a clock's tick could decide.
fn push_claim(rng: &mut Rng, out: &mut Vec<Vec<u8>>) {
    for option in ["idle", "time", "retrycount", "force", "justid", "lastid"] {
        if !rng.one_in(3) {
            continue;
        }
        out.push(option.as_bytes().to_vec());
        match option {
            "idle" | "time" => out.push(or_odd(rng, &["0", "1000000", "100000000"], &["-1", "x"], 8)),
            "retrycount" => out.push(or_odd(rng, &["0", "1", "7"], &["-1", "x"], 8)),
            "lastid" => push("id", rng, out),
            _ => {}
        }
    }
}

/// `VALUES n x ...` or `FP32 blob`, four dimensions but for a few.
fn push_vector(rng: &mut Rng, out: &mut Vec<Vec<u8>>) {
    let dim = if rng.one_in(25) { rng.below(6) } else { 4 };
    let values: Vec<f32> = (0..dim).map(|_| rng.unit()).collect();
    if rng.one_in(3) {
        out.push(b"FP32".to_vec());
        out.push(values.iter().flat_map(|x| x.to_le_bytes()).collect());
        return;
    }
    out.push(b"VALUES".to_vec());
    out.push(dim.to_string().into_bytes());
    out.extend(values.iter().map(|x| format!("{x:.4}").into_bytes()));
    if rng.one_in(40) {
        out.pop();
    }
}
