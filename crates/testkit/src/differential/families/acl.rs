//! Users and their permissions: what is refused, and how the rules are told.
//!
//! The default user is never changed, so every episode begins as it may do everything. Users that are deleted never log
//! in, because servers close connections at different moments.

use crate::differential::Step;
use crate::differential::random::Rng;
use crate::differential::template::Template;

pub(super) const TEMPLATES: &[(usize, &str)] = &[
    (10, "acl setuser {u1|u2|u3} on <rule> [<rule>] [<rule>] [<rule>]"),
    (6, "acl setuser {u1|u2|u3|u4|u5} <rule> [<rule>] [<rule>]"),
    (3, "acl setuser {u1|u2|u3} reset on >p1 ~k* +@all"),
    (3, "acl setuser {u1|u2|u3} reset on nopass ~k1 +@read +@connection +@transaction"),
    (6, "acl getuser {u1|u2|u3|u4|u5|default|nosuch}"),
    (2, "acl list"),
    (2, "acl users"),
    (3, "acl whoami"),
    (1, "acl cat"),
    (1, "acl cat {transaction|nosuch|@read|}"),
    (2, "acl deluser {u4|u5|nosuch|default}+"),
    (10, "acl dryrun {u1|u2|u3|u4|default|nosuch} <sample>"),
    (3, "acl log"),
    (1, "acl log {1|0|-1|x|reset}"),
    (1, "acl genpass {0|-1|4097|x}"),
    (1, "acl {load|save|nosuch|setuser|getuser|whoami x}"),
    (8, "auth {u1|u2|u3} {p1|p2|p3}"),
    (1, "auth {u4|u5|nosuch} p9"),
    (8, "auth default x"),
    (2, "hello {2|3} auth {u1|u2|default|nosuch} {p1|p2}"),
    (1, "reset"),
    (6, "set <key> <value> [get]"),
    (6, "get <key>"),
    (3, "mget <key>+"),
    (3, "{exists|touch|del|strlen|getdel|incr} <key>"),
    (2, "{copy|rename} <key> <key>"),
    (2, "hset <key> {<field> <value>}+"),
    (2, "{hget|hdel} <key> <field>"),
    (1, "{object encoding|config get hz|client getname|ping|select 0|select 1|dbsize|time x|flushdb}"),
    (1, "{readonly|readwrite|cluster info|cluster nodes|cluster nosuch|cluster keyslot k|cluster}"),
    (1, "slowlog {len x|get x|get -2|nosuch|get 1 2}"),
    (1, "latency {history nosuch|graph nosuch|latest|reset|reset nosuch|nosuch|history}"),
];

/// Rules of ACL SETUSER, right and wrong.
const RULES: &[&str] = &[
    "on",
    "off",
    "ON",
    "nopass",
    "resetpass",
    "reset",
    ">p1",
    ">p2",
    ">p3",
    "<p1",
    "<p2",
    "~k1",
    "~k*",
    "~*",
    "%R~k2",
    "%W~k*",
    "%RW~k3",
    "%R~*",
    "%~k",
    "%X~k",
    "%RR~k",
    "%r~k4",
    "~",
    "allkeys",
    "resetkeys",
    "&c1",
    "&c*",
    "&*",
    "allchannels",
    "resetchannels",
    "+@all",
    "-@all",
    "allcommands",
    "nocommands",
    "+get",
    "-get",
    "+set",
    "-set",
    "+mget",
    "+@read",
    "-@read",
    "+@write",
    "-@write",
    "+@hash",
    "-@dangerous",
    "+@connection",
    "+@transaction",
    "+@nosuch",
    "+nosuch",
    "-nosuch",
    "+config|get",
    "-config|get",
    "+config",
    "-config",
    "+config|nosuch",
    "-config|nosuch",
    "+select|0",
    "+select|1",
    "-select",
    "+select|",
    "-select|0",
    "+config|get|x",
    "+acl|whoami",
    "+client|getname",
    "+auth",
    "-auth",
    "+GET",
    "-@READ",
    "(~k2 +get)",
    "(+@all)",
    "(%R~k* +@all)",
    "(~k1 -get",
    "()",
    "( ~k3 +set )",
    "(nopass)",
    "clearselectors",
    "sanitize-payload",
    "skip-sanitize-payload",
    "#abc",
    "!abc",
    "#9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "!9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "foo",
    "",
    "+",
    "-",
    "+@",
    "&",
    "two words",
];

/// A transaction, its user's rules changed meanwhile now and then. Nobody logs in inside: Redis 8.0.2 writes no reply at
/// all when that fails in EXEC.
pub(super) fn transactions(rng: &mut Rng) -> Option<Vec<Step>> {
    if !rng.one_in(12) {
        return None;
    }
    let connection = rng.below(2);
    let call = |connection: usize, rng: &mut Rng, text: &str| Step::Call {
        connection,
        words: Template::parse(text).fill(rng),
    };
    let mut steps = vec![call(connection, rng, "multi")];
    for _ in 0..1 + rng.below(3) {
        steps.push(call(connection, rng, "{get|incr|strlen|del} <key>"));
        steps.push(call(connection, rng, "{set <key> <value> [get]|mget <key>+|acl whoami|config get hz|select 0}"));
    }
    if rng.one_in(2) {
        steps.push(call(1 - connection, rng, "acl setuser {u1|u2|u3} <rule> [<rule>]"));
    }
    steps.push(call(connection, rng, "{exec|exec|exec|discard}"));
    Some(steps)
}

/// A rule.
pub(in crate::differential) fn rule(rng: &mut Rng) -> Vec<u8> {
    rng.pick(RULES).as_bytes().to_vec()
}
