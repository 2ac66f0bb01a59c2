//! Sorted sets and places on them.
//!
//! Ranges of names are asked of any small set, but of the large encoding only where all scores are equal: elsewhere Redis
//! answers as its skip list happens to be linked.

use super::super::random::Rng;

/// Templates of the sorted set commands.
pub(super) const ZSET: &[(usize, &str)] = &[
    (14, "zadd <zkey> {<score> <zmember>}+"),
    (6, "zadd <zkey> [nx|xx] [gt|lt] [ch] [incr] {<score> <zmember>}+"),
    (3, "zadd <zkey> [nx|xx] [gt|lt] [ch] incr <score> <zmember>"),
    (2, "zadd kbig <score> <longmember>"),
    (6, "zadd klex 0 <zmember> 0 <longmember>"),
    (4, "zadd {ks1|ks2} {<score> <zmember>}+"),
    (4, "zincrby <zkey> <score> <zmember>"),
    (4, "zrem <zkey> <zmember>+"),
    (2, "zcard <zkey>"),
    (3, "zscore <zkey> <zmember>"),
    (2, "zmscore <zkey> <zmember>+"),
    (3, "zcount <zkey> <scoreend> <scoreend>"),
    (2, "zlexcount {klex|ks1|ks2} <lexend> <lexend>"),
    (3, "{zrank|zrevrank} <zkey> <zmember> [withscore]"),
    (6, "zrange <zkey> <int> <int> [rev] [withscores]"),
    (6, "zrange <zkey> <scoreend> <scoreend> byscore [rev] [limit <int> <int>] [withscores]"),
    (4, "zrange {klex|ks1|ks2} <lexend> <lexend> bylex [rev]"),
    (3, "zrange klex <lexend> <lexend> bylex [rev] limit <int> <int>"),
    (2, "zrange <zkey> <int> <int> [bylex|byscore] [rev] [limit <int> <int>] [withscores]"),
    (3, "zrevrange <zkey> <int> <int> [withscores]"),
    (3, "{zrangebyscore|zrevrangebyscore} <zkey> <scoreend> <scoreend> [withscores] [limit <int> <int>]"),
    (3, "{zrangebylex|zrevrangebylex} {klex|ks1|ks2} <lexend> <lexend>"),
    (2, "{zrangebylex|zrevrangebylex} klex <lexend> <lexend> limit <int> <int>"),
    (4, "zrangestore <zkey> <zkey> <int> <int> [rev]"),
    (3, "zrangestore <zkey> <zkey> <scoreend> <scoreend> byscore [rev] [limit <int> <int>]"),
    (2, "zrangestore ks2 ks1 <lexend> <lexend> bylex [rev]"),
    (2, "zrangestore k3 klex <lexend> <lexend> bylex [rev] [limit <int> <int>]"),
    (2, "zremrangebyrank <zkey> <int> <int>"),
    (2, "zremrangebyscore <zkey> <scoreend> <scoreend>"),
    (1, "zremrangebylex {klex|ks1|ks2} <lexend> <lexend>"),
    (4, "{zpopmin|zpopmax} <zkey> [<count>]"),
    (2, "zmpop 2 <zkey> <zkey> {min|max} [count <count>]"),
    (1, "zmpop <small> <zkey> {min|max} [count <count>]"),
    (2, "{bzpopmin|bzpopmax} kfull <zkey> <timeout>"),
    (1, "{bzpopmin|bzpopmax} <zkey> kfull <timeout>"),
    (2, "bzmpop <timeout> 2 <zkey> kfull {min|max} [count <count>]"),
    (6, "zadd kfull 1 a 2 b 3 c 4 d"),
    (4, "zrandmember <zkey> [<count>] [withscores]"),
    (4, "sadd <zkey> <member>+"),
    (3, "{zunion|zinter} 2 <zkey> <zkey> [weights <score> <score>] [aggregate {sum|min|max}] [withscores]"),
    (2, "{zunion|zinter} 3 <zkey> <zkey> <zkey> [aggregate {sum|min|max}] [weights <score> <score> <score>]"),
    (2, "{zunion|zinter|zdiff} <small> <zkey> <zkey> [withscores]"),
    (3, "zdiff 2 <zkey> <zkey> [withscores]"),
    (2, "zintercard 2 <zkey> <zkey> [limit <int>]"),
    (3, "{zunionstore|zinterstore} <zkey> 2 <zkey> <zkey> [weights <score> <score>] [aggregate {sum|min|max}]"),
    (1, "{zunionstore|zinterstore|zdiffstore} <zkey> <small> <zkey> <zkey> [weights <score> <score>]"),
    (2, "zdiffstore <zkey> 2 <zkey> <zkey>"),
    (2, "zscan <zkey> <int> [match <pattern>] [count <count>] [novalues]"),
    (3, "object encoding <zkey>"),
    (1, "type <zkey>"),
    (1, "{copy|rename} <zkey> <zkey>"),
    (1, "del <zkey>"),
    (3, "sadd {k3|k4|kset} <zmember>+"),
    (2, "{zunion|zinter|zdiff} 2 {<zkey> kset|kset <zkey>} [withscores]"),
    (1, "{zunionstore|zinterstore|zdiffstore} <zkey> 2 kset <zkey>"),
    (1, "zintercard 2 kset <zkey>"),
    (1, "set <zkey> <value>"),
    (1, "expire <zkey> <seconds>"),
    (1, "ttl <zkey>"),
];

/// Templates of the geo commands.
pub(super) const GEO: &[(usize, &str)] = &[
    (20, "geoadd <gkey> {<lon> <lat> <zmember>}+"),
    (5, "geoadd <gkey> [nx|xx] [ch] {<lon> <lat> <zmember>}+"),
    (2, "zadd <gkey> <score> <zmember>"),
    (2, "zrem <gkey> <zmember>+"),
    (3, "zrange <gkey> 0 -1 withscores"),
    (6, "geodist <gkey> <zmember> <zmember> [<unit>]"),
    (4, "geohash <gkey> <zmember>+"),
    (5, "geopos <gkey> <zmember>+"),
    (
        8,
        "geosearch <gkey> {frommember <zmember>|fromlonlat <lon> <lat>} {byradius <distance> <unit>|bybox <distance> <distance> <unit>} \
         [asc|desc] [count <count>] [withcoord] [withdist] [withhash]",
    ),
    (
        3,
        "geosearch <gkey> {frommember <zmember>|fromlonlat <lon> <lat>} {byradius <distance> <unit>|bybox <distance> <distance> <unit>} \
         {any count <count>|count <count> any|any} [withdist]",
    ),
    (
        1,
        "geosearch <gkey> [frommember <zmember>] [fromlonlat <lon> <lat>] [byradius <distance> <unit>] [bybox 1 1 <unit>] [any]",
    ),
    (
        4,
        "geosearchstore <gkey> <gkey> {frommember <zmember>|fromlonlat <lon> <lat>} \
         {byradius <distance> <unit>|bybox <distance> <distance> <unit>} [asc|desc] [count <count>] [any] [storedist]",
    ),
    (
        1,
        "geosearchstore <gkey> <gkey> fromlonlat <lon> <lat> byradius <distance> <unit> [withdist] [withcoord] [withhash]",
    ),
    (
        4,
        "georadius <gkey> <lon> <lat> <distance> <unit> [withdist] [withhash] [withcoord] [count <count>] [asc|desc] \
         [store <gkey>|storedist <gkey>]",
    ),
    (
        4,
        "georadiusbymember <gkey> <zmember> <distance> <unit> [withdist] [withhash] [withcoord] [count <count>] [asc|desc] \
         [store <gkey>|storedist <gkey>]",
    ),
    (
        2,
        "georadius_ro <gkey> <lon> <lat> <distance> <unit> [withdist] [withcoord] [count <count>] [any] [desc] [store <gkey>]",
    ),
    (2, "georadiusbymember_ro <gkey> <zmember> <distance> <unit> [withdist] [count <count>] [store <gkey>]"),
    (1, "object encoding <gkey>"),
    (1, "set <gkey> <value>"),
    (1, "del <gkey>"),
];

const KEYS: &[&str] = &["k1", "k2", "k3", "k4", "kbig"];
const GEO_KEYS: &[&str] = &["g1", "g2", "g3", "g4"];
const MEMBERS: &[&str] = &["a", "b", "c", "d", "e", "ab", "12", "-7", "007", "m1", "m2", "m3", "B", "\u{e4}"];
const LONG_MEMBERS: &[&str] = &[
    "a member that is longer than sixty-four bytes, so that the compact encoding gives way",
    "b member that is longer than sixty-four bytes, so that the compact encoding gives way",
];
const SCORES: &[&str] = &["0", "1", "2", "3", "-1", "1.5", "0.1", "-2.25", "3.0", "10", "1e3", "100000", "0.2", "0.3"];
const ODD_SCORES: &[&str] = &[
    "nan",
    "inf",
    "-inf",
    "+inf",
    "Infinity",
    "-Infinity",
    "1e400",
    "-1e400",
    "1e-400",
    "1e308",
    "1e17",
    "9e18",
    "5e-324",
    "123456789.123456789",
    "12345678901234567890",
    "0.1000000000000000055511151231257827",
    "abc",
    "",
    " 1",
    "1 ",
    "1.5.5",
    "+2",
    "-0",
    "0x1p3",
    "0x10",
    ".5",
    "5.",
    "1,5",
    "1e",
    "(1",
    "infin",
    "1e+3",
    "9007199254740993",
    "1_0",
];
const SCORE_ENDS: &[&str] =
    &["-inf", "+inf", "0", "1", "2", "3", "(1", "(2", "-1", "1.5", "(0", "10", "(-inf", "(+inf", "inf", "100000"];
const ODD_SCORE_ENDS: &[&str] = &[
    "", "(", "((1", "nan", "(nan", "abc", " 1", "( 1", "1 ", "1e400", "-1e400", "1e-400", "0x10", "[1", "+", "-", "-0",
];
const LEX_ENDS: &[&str] = &["-", "+", "[a", "(a", "[b", "(c", "[m", "(m2", "[12", "[ab", "(zz", "[", "("];
const ODD_LEX_ENDS: &[&str] = &["", "a", "++", "-a", "+a", "0", "{b"];
const UNITS: &[&str] = &["m", "km", "ft", "mi", "M", "KM"];
const LONGITUDES: &[&str] = &[
    "13.361389",
    "15.087269",
    "0",
    "-0.1",
    "179.99",
    "-179.99",
    "180",
    "-180",
    "13.4",
    "13.5",
    "12.7",
    "2.35",
    "-73.98",
    "151.2",
    "100.5",
    "-70",
    "0.001",
];
const LATITUDES: &[&str] = &[
    "38.115556",
    "37.502669",
    "0",
    "0.1",
    "85.05",
    "-85.05",
    "38.2",
    "38.3",
    "37.9",
    "48.85",
    "40.74",
    "-33.86",
    "70.5",
    "-82",
    "67",
    "85.05112878",
    "-0.001",
];
const ODD_DEGREES: &[&str] = &["181", "-180.1", "86", "-85.06", "nan", "inf", "abc", "", "1e400", "90"];
const DISTANCES: &[&str] = &[
    "0", "1", "10", "50", "100", "200", "500", "1000", "2000", "5000", "10000", "20000", "40000", "1.5", "100000",
    "1000000", "25000000",
];
const ODD_DISTANCES: &[&str] = &["-1", "abc", "", "nan", "inf", "1e400", "-0", "1e300"];

/// A word of one of this family's pools.
///
/// # Panics
/// On a pool that does not exist: templates are part of the program.
pub(in super::super) fn word(pool: &str, rng: &mut Rng) -> Vec<u8> {
    let (usual, odd, one_in): (&[&str], &[&str], usize) = match pool {
        "zkey" => (KEYS, &["", "kfull"], 20),
        "gkey" => (GEO_KEYS, &["", "k1"], 30),
        "zmember" => (MEMBERS, &["", "nx", "1.5"], 20),
        "longmember" => (LONG_MEMBERS, &["a"], 10),
        "score" => (SCORES, ODD_SCORES, 6),
        "scoreend" => (SCORE_ENDS, ODD_SCORE_ENDS, 10),
        "lexend" => (LEX_ENDS, ODD_LEX_ENDS, 12),
        "unit" => (UNITS, &["x", "", "mm"], 20),
        "lon" => (LONGITUDES, ODD_DEGREES, 20),
        "lat" => (LATITUDES, ODD_DEGREES, 20),
        "distance" => (DISTANCES, ODD_DISTANCES, 20),
        other => panic!("no pool of words is called {other}"),
    };
    let list = if rng.one_in(one_in) { odd } else { usual };
    rng.pick(list).as_bytes().to_vec()
}
