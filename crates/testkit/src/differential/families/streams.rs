//! Streams: ids from a small range, so that commands meet, and blocks of few entries, so that trimming has some to remove.

use super::super::Step;
use super::super::random::Rng;
use super::super::template::Template;

pub(super) const STREAM: &[(usize, &str)] = &[
    (20, "xadd <stream> {9-*|9-*|9-*|<newid>} {<field> <value>}+"),
    (8, "xadd <stream> 9-* {f1 <value>|f1 <value> f2 <value>}"),
    (
        6,
        "xadd <stream> [nomkstream] {maxlen|minid} [=|~] {<small>|<id>|5} [limit {0|1|3|10|-1|x}] <newid> <field> <value>",
    ),
    (2, "xadd <stream> maxlen {~|=|} <count> 9-* f1 <value>"),
    (2, "xadd <stream> nomkstream <newid> <field> <value>"),
    (5, "xtrim <stream> {maxlen|minid} [=|~] {<small>|<id>|5|10} [limit {0|1|3|10|-1|x}]"),
    (6, "xdel <stream> <id>+"),
    (3, "xlen <stream>"),
    (8, "xrange <stream> <bound> <bound> [count <count>]"),
    (6, "xrange <stream> - + [count <count>]"),
    (8, "xrevrange <stream> <bound> <bound> [count <count>]"),
    (4, "xrevrange <stream> + - [count <count>]"),
    (8, "xread [count <count>] [block {1|2|-1|x}] streams <stream> {<id>|$|+|>}"),
    (4, "xread [count <count>] streams <stream> <stream> {<id>|0|+} {<id>|0|+}"),
    (4, "xsetid <stream> {<id>|9-100000|20-0} [entriesadded {0|5|100|-1|x}] [maxdeletedid {<id>|0}]"),
    (8, "xgroup create <stream> <group> {0|$|<id>} [mkstream] [entriesread {0|3|-1|-2|x}]"),
    (4, "xgroup setid <stream> <group> {0|$|<id>|-|+} [entriesread {0|3|-1|-2|x}]"),
    (1, "xgroup destroy <stream> <group>"),
    (3, "xgroup createconsumer <stream> <group> <consumer>"),
    (2, "xgroup delconsumer <stream> <group> <consumer>"),
    (1, "xgroup {nosuch|create|setid|destroy} <stream> [<group>] [<value>]"),
    (16, "xreadgroup group <group> <consumer> [count {1|2|<count>}] [noack] streams <stream> >"),
    (6, "xreadgroup group <group> <consumer> [count <count>] [block {1|2|-1|x}] streams <stream> {<id>|0|>|$|+}"),
    (4, "xreadgroup group <group> <consumer> [count {1|2}] streams <stream> <stream> {>|0|<id>} {>|0}"),
    (8, "xack <stream> <group> <id>+"),
    (5, "xpending <stream> <group>"),
    (8, "xpending <stream> <group> [idle {0|500000|x|-1}] <bound> <bound> {10|<count>} [<consumer>]"),
    (4, "xpending <stream> <group> - + 10"),
    (8, "xclaim <stream> <group> <consumer> {0|0|500000|-1|x} <id>+ <claim>"),
    (8, "xclaim <stream> <group> <consumer> 0 <id>+ [force] [justid]"),
    (6, "xautoclaim <stream> <group> <consumer> {0|0|500000|-1|x} {0|<bound>} [count <count>] [justid]"),
    (8, "xinfo stream <stream>"),
    (8, "xinfo stream <stream> full [count <count>]"),
    (6, "xinfo groups <stream>"),
    (5, "xinfo consumers <stream> <group>"),
    (1, "xinfo {nosuch|stream|groups|consumers} <stream> [<group>] [<value>]"),
    (1, "del <stream>"),
    (1, "set <stream> <value>"),
    (1, "copy <stream> <stream> [replace]"),
    (1, "rename <stream> <stream>"),
    (2, "{type|object encoding|exists|dump} <stream>"),
    (2, "config set stream-node-max-entries {1|2|3|5|100|0}"),
    (1, "config set stream-node-max-bytes {100|300|4096|0}"),
];

/// Where entries get ids of the servers' own making: behind one that is ahead of their clocks.
pub(super) fn automatic_ids(rng: &mut Rng) -> Option<Vec<Step>> {
    if !rng.one_in(30) {
        return None;
    }
    let lines = [
        "xadd ahead {9000000000000-*|9000000000000} f1 <value>",
        "xadd ahead * f1 <value>",
        "xrevrange ahead + - count 3",
    ];
    let call = |line: &&str| Step::Call { connection: 0, words: Template::parse(line).fill(rng) };
    Some(lines.iter().map(call).collect())
}

/// Shortens a wait that would hold the driver up, and keeps ids from the servers' clocks away.
pub(super) fn tame(words: &mut [Vec<u8>]) {
    let name = words[0].to_ascii_lowercase();
    for at in 1..words.len() {
        if name.starts_with(b"xread")
            && words[at - 1].eq_ignore_ascii_case(b"block")
            && words[at].iter().all(u8::is_ascii_digit)
        {
            words[at] = b"2".to_vec();
        }
        if name == b"xadd" && words[at] == b"*" && words[1] != b"ahead" {
            words[at] = b"9-*".to_vec();
        }
    }
}
