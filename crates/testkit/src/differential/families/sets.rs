//! Sets, SORT, bitmaps and HyperLogLogs.

use super::super::Step;
use super::super::random::Rng;
use super::super::template::Template;
use super::{Family, SEEDS, expiring, family};

const SET: &[(usize, &str)] = &[
    (14, "sadd <key> <member>+"),
    (4, "sadd <key> <members>"),
    (6, "srem <key> <member>+"),
    (2, "srem <key> <members>"),
    (4, "smembers <key>"),
    (4, "sismember <key> <member>"),
    (4, "smismember <key> <member>+"),
    (4, "scard <key>"),
    (3, "spop <key> [<count>|<int>]"),
    (4, "srandmember <key> [<count>|<int>]"),
    (5, "smove <key> <key> <member>"),
    (5, "{sinter|sunion|sdiff} <key>+"),
    (6, "{sinterstore|sunionstore|sdiffstore} <key> <key>+"),
    (2, "{sinterstore|sunionstore|sdiffstore} <key> <key> <key> <key> <key> <key>"),
    (4, "sintercard <small> <key> <key> [limit <int>]"),
    (2, "sintercard {1|2|3|<odd>} <key>+ [limit <int>]"),
    (2, "sscan <key> <int> [match <pattern>] [count <count>] [novalues|type set]"),
    (6, "object encoding <key>"),
    (2, "type <key>"),
    (1, "copy <key> <key> [replace]"),
    (1, "rename <key> <key>"),
    (1, "expire <key> <seconds>"),
];

/// With texts as weights ties are in any order, so such a result is never stored. Encodings are not
/// compared: Redis makes a sorted set a skiplist before it sorts it, Quiver leaves it as it is.
const SORT: &[(usize, &str)] = &[
    (6, "sadd <key> <member>+"),
    (6, "rpush <key> <member>+"),
    (6, "zadd <key> {<int> <member>}+"),
    (3, "sadd <key> {<int>|<float>}+"),
    (3, "rpush <key> {<int>|<float>}+"),
    (4, "set {w_1|w_2|w_3|w_a|w_b|w_} {<int>|<value>|<float>}"),
    (3, "hset {w_1|w_2|w_3|w_a|w_b|w_} <field> {<int>|<value>}"),
    (8, "{sort|sort_ro} <key> [limit <int> <int>] [asc|desc] [alpha]"),
    (6, "{sort|sort_ro} <key> [by <weights>] [get <weights>]+ [limit <int> <int>] [desc] [alpha]"),
    (6, "sort <key> [limit <int> <int>] [desc] [alpha] store <key>"),
    (4, "sort <key> by <weights> [get <weights>]+ [limit <int> <int>] [desc] store <key>"),
    (2, "sort <key> by nosort [limit <int> <int>] [desc] [get #] [store <key>]"),
    (4, "lrange <key> 0 -1"),
    (1, "command {getkeys|getkeysandflags} sort k1 [by w_*] [limit 0 store] [get store] [store k2] [STORE k3]"),
];

const BITMAP: &[(usize, &str)] = &[
    (12, "setbit <key> <bit> {0|1|1|1|<int>}"),
    (6, "getbit <key> <bit>"),
    (8, "bitcount <key> [<int> <int> [byte|bit|BIT|<value>]]"),
    (8, "bitpos <key> {0|1|<int>} [<int> [<int> [byte|bit|<value>]]]"),
    (8, "bitop {and|or|xor|AND} <key> <key>+"),
    (3, "bitop not <key> <key> [<key>]"),
    (8, "bitfield <key> <bitfield>+"),
    (4, "bitfield <key> overflow {wrap|sat|fail|SAT|x} <bitfield>+"),
    (3, "bitfield_ro <key> {get <bittype> <bitfieldoffset>}+"),
    (1, "bitfield_ro <key> <bitfield>"),
    (4, "get <key>"),
    (2, "strlen <key>"),
    (3, "object encoding <key>"),
    (2, "append <key> <value>"),
    (2, "incr <key>"),
];

const HYPERLOGLOG: &[(usize, &str)] = &[
    (10, "pfadd <key> <element>+"),
    (8, "pfadd <key> <elements>"),
    (1, "pfadd <key>"),
    (8, "pfcount <key>"),
    (5, "pfcount <key>+"),
    (5, "pfmerge <key> <key>+"),
    (1, "pfmerge <key>"),
    (2, "pfdebug {encoding|decode|nosuch} <key>"),
    (1, "pfdebug {getreg|todense|ENCODING} <key>"),
    (3, "set <key> <hll>"),
    (6, "get <key>"),
    (2, "strlen <key>"),
    (2, "object encoding <key>"),
    (1, "copy <key> <key> replace"),
    (1, "setrange <key> <offset> <value>"),
];

pub(super) fn sets() -> Family {
    family("sets", 1, &[SET, SEEDS], |rng| scans(rng).or_else(|| expiring(rng, "sadd", &["1"])))
}

pub(super) fn sort() -> Family {
    family("sort", 1, &[SORT, SEEDS], |_| None)
}

pub(super) fn bitmap() -> Family {
    family("bitmap", 1, &[BITMAP, SEEDS], |_| None)
}

pub(super) fn hyperloglog() -> Family {
    family("hyperloglog", 1, &[HYPERLOGLOG, SEEDS], |_| None)
}

/// Whole iterations.
fn scans(rng: &mut Rng) -> Option<Vec<Step>> {
    if !rng.one_in(12) {
        return None;
    }
    let before = Template::parse("sscan <key>").fill(rng);
    let after = Template::parse("[match <pattern>] [count {1|2|10|1000}]").fill(rng);
    Some(vec![Step::Scan { before, after }])
}
