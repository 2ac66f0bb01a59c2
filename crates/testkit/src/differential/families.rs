//! Which commands are tried together.

pub(super) mod acl;
pub(super) mod clients;
pub(super) mod filters;
mod lists;
mod pubsub;
pub(super) mod scripting;
mod sets;
mod streams;
pub(super) mod zset;

use std::time::Duration;

use super::Step;
use super::random::Rng;
use super::template::Template;
use super::words;

/// Templates with their weights.
type Weighted = &'static [(usize, &'static str)];

/// A family of commands: weighted templates.
#[derive(Debug)]
pub struct Family {
    /// Its name on the command line.
    pub name: &'static str,
    /// Connections an episode uses.
    pub connections: usize,
    /// Its clients wait for and hear of each other.
    pub converses: bool,
    templates: Vec<(usize, Template)>,
    /// Left out unless it is named: Quiver does not have it yet.
    pub on_request: bool,
    /// Steps that need more than one command, by chance.
    specials: fn(&mut Rng) -> Option<Vec<Step>>,
}

/// Values of several types, so that each command meets the wrong one.
const SEEDS: &[(usize, &str)] =
    &[(6, "set <key> <value>"), (3, "hset <key> {<field> <value>}+"), (3, "del <key>+"), (1, "flushdb")];

/// Vector sets under keys that COPY never reads: Redis 8.0.2 cannot copy them, Quiver can.
const VECTOR_SEEDS: &[(usize, &str)] = &[
    (2, "vadd <vkey> <vector> <element>"),
    (1, "{type|object encoding|touch|exists|persist|ttl|get|hget|hgetall|strlen|incr|del} <vkey>"),
    (1, "{expire|append|getrange|hget|hset|setrange} <vkey> <int> [<value>]"),
    (1, "{rename|renamenx} <vkey> <vkey>"),
    (1, "move <vkey> <db>"),
];

/// Vector sets where no command copies.
const ANY_SEEDS: &[(usize, &str)] = &[(1, "vadd <key> <vector> <element>")];

const STRING: &[(usize, &str)] = &[
    (12, "set <key> <value> [nx|xx] [get] [keepttl|ex <seconds>|px <ms>|exat <at>|pxat <atms>]"),
    (6, "get <key>"),
    (3, "getdel <key>"),
    (4, "getex <key> [persist|ex <seconds>|px <ms>|exat <at>|pxat <atms>]"),
    (5, "getrange <key> <int> <int>"),
    (1, "substr <key> <int> <int>"),
    (2, "getset <key> <value>"),
    (3, "incr <key>"),
    (3, "decr <key>"),
    (5, "incrby <key> <int>"),
    (4, "decrby <key> <int>"),
    (6, "incrbyfloat <key> <float>"),
    (5, "append <key> <value>"),
    (3, "strlen <key>"),
    (5, "setrange <key> <offset> <value>"),
    (4, "mget <key>+"),
    (4, "mset {<key> <value>}+"),
    (3, "msetnx {<key> <value>}+"),
    (2, "setex <key> <seconds> <value>"),
    (2, "psetex <key> <ms> <value>"),
    (2, "setnx <key> <value>"),
    (5, "lcs <key> <key> [len|idx] [minmatchlen <small>] [withmatchlen]"),
    (4, "object encoding <key>"),
    (3, "ttl <key>"),
    (2, "pttl <key>"),
    (2, "type <key>"),
];

const GENERIC: &[(usize, &str)] = &[
    (4, "del <key>+"),
    (2, "unlink <key>+"),
    (4, "exists <key>+"),
    (2, "touch <key>+"),
    (3, "type <key>"),
    (4, "rename <key> <key>"),
    (3, "renamenx <key> <key>"),
    (5, "copy <key> <key> [db <db>] [replace]"),
    (3, "move <key> <db>"),
    (6, "expire <key> <seconds> [nx|xx|gt|lt] [nx|xx|gt|lt]"),
    (4, "pexpire <key> <ms> [nx|xx|gt|lt]"),
    (4, "expireat <key> <at> [nx|xx|gt|lt]"),
    (4, "pexpireat <key> <atms> [nx|xx|gt|lt]"),
    (4, "ttl <key>"),
    (4, "pttl <key>"),
    (3, "expiretime <key>"),
    (3, "pexpiretime <key>"),
    (3, "persist <key>"),
    (3, "keys <pattern>"),
    (2, "randomkey"),
    (3, "dbsize"),
    (3, "object {encoding|refcount|idletime|freq} <key>"),
    (1, "object {nosuch|encoding} [<key>] [<key>]"),
    (1, "dump <key>"),
    (2, "restore <key> <ms> <value> [replace] [absttl]"),
    (3, "select <db>"),
    (2, "swapdb <db> <db>"),
    (1, "flushdb [async|sync]"),
    (1, "flushall [async|sync]"),
    (2, "echo <value>"),
    (2, "ping [<value>]"),
    (1, "nosuchcommand <value>+"),
    (1, "{config|client|object|command|memory} nosuchsubcommand <value>"),
    (1, "command {getkeys|getkeysandflags} {get <key>|mset {<key> <value>}+|copy <key> <key>|set <key> <value> get}"),
    (6, "set <key> <value> [keepttl|px <ms>]"),
];

const SCAN: &[(usize, &str)] = &[
    (12, "set <key> <value>"),
    (6, "hset <key> {<field> <value>}+"),
    (2, "expire <key> <seconds>"),
    (2, "scan <int> [match <pattern>] [count <count>] [type <type>]"),
    (2, "hscan <key> <int> [match <pattern>] [count <count>] [novalues]"),
];

const HASH: &[(usize, &str)] = &[
    (14, "hset <key> {<field> <value>}+"),
    (3, "hmset <key> {<field> <value>}+"),
    (3, "hsetnx <key> <field> <value>"),
    (5, "hget <key> <field>"),
    (3, "hmget <key> <field>+"),
    (4, "hgetall <key>"),
    (2, "hkeys <key>"),
    (2, "hvals <key>"),
    (2, "hlen <key>"),
    (2, "hstrlen <key> <field>"),
    (2, "hexists <key> <field>"),
    (4, "hdel <key> <field>+"),
    (5, "hincrby <key> <field> <int>"),
    (5, "hincrbyfloat <key> <field> <float>"),
    (4, "hrandfield <key> [<count>] [withvalues]"),
    (4, "hexpire <key> <seconds> [nx|xx|gt|lt] <fields>"),
    (4, "hpexpire <key> <ms> [nx|xx|gt|lt] <fields>"),
    (4, "hexpireat <key> <at> [nx|xx|gt|lt] <fields>"),
    (4, "hpexpireat <key> <atms> [nx|xx|gt|lt] <fields>"),
    (3, "httl <key> <fields>"),
    (3, "hpttl <key> <fields>"),
    (2, "hexpiretime <key> <fields>"),
    (2, "hpexpiretime <key> <fields>"),
    (3, "hpersist <key> <fields>"),
    (4, "hgetdel <key> <fields>"),
    (4, "hgetex <key> [persist|ex <seconds>|px <ms>|exat <at>|pxat <atms>] <fields>"),
    (4, "hsetex <key> [fnx|fxx] [keepttl|ex <seconds>|px <ms>|exat <at>|pxat <atms>] <fieldvalues>"),
    (3, "object encoding <key>"),
    (1, "type <key>"),
    (1, "copy <key> <key> [replace]"),
    (1, "rename <key> <key>"),
];

const TRANSACTIONS: &[(usize, &str)] = &[
    (12, "multi"),
    (12, "exec"),
    (2, "discard"),
    (5, "watch <key>+"),
    (2, "unwatch"),
    (8, "set <key> <value> [nx|xx] [get]"),
    (5, "incr <key>"),
    (5, "get <key>"),
    (4, "hset <key> <field> <value>"),
    (3, "hincrby <key> <field> <int>"),
    (3, "del <key>+"),
    (2, "expire <key> <seconds>"),
    (2, "mget <key>+"),
    (1, "nosuchcommand <value>"),
    (1, "get"),
    (1, "select <db>"),
    (1, "flushall"),
    (1, "rename <key> <key>"),
    (1, "ping [<value>]"),
    (1, "exec <value>"),
];

/// What changes or describes the connection, the configuration or the command table. No parameter that would make the
/// servers refuse what follows, and nothing that describes processes.
const CONNECTION: &[(usize, &str)] = &[
    (3, "ping [<value>]"),
    (3, "echo <value>"),
    (5, "hello [<protover>] [setname <name>|auth default <value>|auth <name> <value>]"),
    (2, "hello <protover> setname <name> auth default <value>"),
    (4, "select <db>"),
    (1, "auth <value>"),
    (2, "auth {default|<name>} <value>"),
    (2, "reset"),
    (1, "quit [<value>]"),
    (3, "client setname <name>"),
    (4, "client getname"),
    (4, "client setinfo {lib-name|lib-ver|LIB-NAME|nosuch} <name>"),
    (1, "client id"),
    (1, "client info"),
    (1, "client list [type {normal|replica|pubsub|nosuch}|id {<odd>}+|nosuch]"),
    (
        3,
        "client kill {id <odd>|type {pubsub|replica|nosuch}|user <name>|addr <value>|laddr <value>|maxage <int>|skipme {yes|no|x}}+ \
         id 999999999",
    ),
    (1, "client kill <value>"),
    (2, "client no-evict {on|off|ON|x}"),
    (2, "client no-touch {on|off|ON|x}"),
    (1, "client reply {on|x}"),
    (1, "client {nosuch|setname|kill|no-evict|getname|id} [<value>] [<value>]"),
    (5, "config get <parameter> [<parameter>]"),
    (4, "config set <parameter> <setting> [<parameter> <setting>]"),
    (1, "config set <parameter> <setting> <parameter>"),
    (1, "config {resetstat|nosuch|get|set|rewrite x}"),
    (3, "command info <command>+"),
    (1, "command count <value>"),
    (1, "command list filterby {pattern {hget*|H*TTL|nosuch*|get}|aclcat {nosuch|<value>}|nosuch x}"),
    (5, "command {getkeys|getkeysandflags} <sample>"),
    (1, "command docs nosuchcommand"),
    (1, "command {nosuch|getkeys|getkeysandflags} [<value>] [<value>]"),
    (5, "debug protocol {string|integer|double|null|array|set|map|verbatim|true|false|bignum|STRING|nosuch}"),
    (1, "debug {nosuch|set-active-expire|sleep 0|error <value>} [<value>]"),
    (1, "memory {usage <key> [samples <int>]|nosuch|usage}"),
    (2, "multi"),
    (2, "exec"),
    (1, "discard"),
    (1, "watch <key>"),
    (3, "set <key> <value>"),
    (3, "get <key>"),
    (1, "nosuchcommand <value>+"),
    (1, "{get|set|ping|echo|select|hello} "),
    (1, "time <value>"),
    (1, "dbsize"),
    (1, "role <value>"),
    (1, "replicaof <value>"),
    (1, "wait <int> {0|x|-1}"),
    (1, "lastsave <value>"),
    (1, "swapdb <db> <db>"),
];

/// VADD is never given an empty attribute: Redis keeps it but counts it only for new elements, Quiver takes it as none.
const VSET: &[(usize, &str)] = &[
    (6, "vadd <vkey> <vector> <element> [cas] [noquant|q8|bin] [ef <ef>] [setattr <json>] [m <m>]"),
    (14, "vadd <vkey> <vector> <element> [setattr <json>]"),
    (10, "vadd vn <vector> <element> noquant [setattr <json>]"),
    (6, "vadd vb <vector> <element> bin [setattr <json>]"),
    // Projections are random, so only what does not depend on them is asked of such a set.
    (2, "vadd vr reduce <small> <vector> <element>"),
    (2, "{vdim|vcard|vinfo} vr"),
    (3, "vcard <vkey>"),
    (3, "vdim <vkey>"),
    (4, "vrem <vkey> <element>"),
    (4, "vemb <vkey> <element> [raw]"),
    (5, "vsetattr <vkey> <element> <attributes>"),
    (4, "vgetattr <vkey> <element>"),
    (4, "vismember <vkey> <element>"),
    (2, "vlinks <vkey> <element> [withscores]"),
    (3, "vrandmember <vkey> [<count>]"),
    (2, "vinfo <vkey>"),
    (8, "vsim <vkey> ele <element> withscores [count <count>] [ef <ef>] [truth] [nothread]"),
    (8, "vsim <vkey> <vector> withscores [count <count>] [epsilon <float>] [truth]"),
    // Without scores a tie at the last place cannot be told from an error, so there is none.
    (3, "vsim <vkey> {ele <element>|<vector>} count 100 [truth]"),
    (3, "del <vkey>"),
    (1, "type <vkey>"),
    (1, "object encoding <vkey>"),
    (1, "set <vkey> <value>"),
    (1, "vadd <key> <vector> <element>"),
];

/// Searches with an expression, exact ones because Redis may give up before it has found everything that passes.
const FILTER: &[(usize, &str)] = &[
    (30, "vsim <vkey> ele <element> withscores filter <filter> [filter-ef <ef>] [truth]"),
    (30, "vsim <vkey> {ele <element>|<vector>} count 100 filter <filter> [truth]"),
    (20, "vsetattr <vkey> <element> <attributes>"),
    (2, "vsim <vkey> ele <element> filter <filter> filter <filter> withscores"),
    (1, "vsim <vkey> ele <element> filter"),
    (1, "vsim <vkey> ele <element> filter-ef"),
];

/// Words never sent with vectors: Redis 8.0.2 allocates what VSIM's COUNT claims and aborts, and keeps vectors that are
/// no numbers or whose length overflows.
const NOT_FOR_VECTORS: &[&str] = &["9223372036854775807", "18446744073709551616", "nan", "inf", "1e30", "1e308"];

/// All families.
pub fn all() -> Vec<Family> {
    vec![
        family("string", 1, &[STRING, SEEDS, ANY_SEEDS], |rng| expiring(rng, "set", &[])),
        family("generic", 1, &[GENERIC, SEEDS, VECTOR_SEEDS], |rng| expiring(rng, "set", &[])),
        family("scan", 1, &[SCAN, SEEDS, ANY_SEEDS], scans),
        family("list", 1, &[lists::LIST, SEEDS], |_| None),
        family("stream", 1, &[streams::STREAM], streams::automatic_ids),
        family("hash", 1, &[HASH, SEEDS, VECTOR_SEEDS], |rng| {
            expiring(rng, "hset", &["f1"]).or_else(|| expiring_field(rng))
        }),
        family("transactions", 2, &[TRANSACTIONS], |_| None),
        family("connection", 2, &[CONNECTION], |_| None),
        family("pubsub", 2, &[pubsub::PUBSUB], |_| None),
        family("acl", 2, &[acl::TEMPLATES], acl::transactions),
        family("scripting", 1, &[scripting::SCRIPTING], |_| None),
        family("vset", 1, &[VSET], |_| None),
        family("zset", 1, &[zset::ZSET, SEEDS], zset_scans),
        family("geo", 1, &[zset::GEO], |_| None),
        sets::bitmap(),
        sets::hyperloglog(),
        sets::sets(),
        sets::sort(),
        clients::waiting(),
        clients::tracking(),
        clients::subscribers(),
        clients::events(),
        family("filter", 1, &[VSET, FILTER], |_| None),
    ]
}

fn family(
    name: &'static str,
    connections: usize,
    lists: &[&[(usize, &str)]],
    specials: fn(&mut Rng) -> Option<Vec<Step>>,
) -> Family {
    Family { specials, ..Family::new(name, connections, &lists.concat()) }
}

impl Family {
    /// A family of weighted templates over some connections.
    pub fn new(name: &'static str, connections: usize, templates: &[(usize, &str)]) -> Self {
        let templates = templates.iter().map(|(weight, text)| (*weight, Template::parse(text))).collect();
        Self { name, connections, converses: false, templates, on_request: false, specials: |_| None }
    }

    /// The next steps of an episode.
    pub fn steps(&self, rng: &mut Rng) -> Vec<Step> {
        if let Some(steps) = (self.specials)(rng) {
            return steps;
        }
        let total: usize = self.templates.iter().map(|(weight, _)| weight).sum();
        let mut at = rng.below(total);
        let mut chosen = &self.templates[0].1;
        for (weight, template) in &self.templates {
            if at < *weight {
                chosen = template;
                break;
            }
            at -= weight;
        }
        let mut words = chosen.fill(rng);
        // A wait is as long as it says where another client ends it; and no message may match two patterns.
        let name = &words[0];
        let kept = matches!(name.first(), Some(b'b' | b'x')) || name.ends_with(b"subscribe") || name == b"client";
        let whole = self.converses && kept;
        if !whole && rng.one_in(8) {
            words::damage(rng, &mut words);
        }
        if matches!(words[0].first(), Some(b'v' | b'V')) {
            let avoided = |word: &&mut Vec<u8>| NOT_FOR_VECTORS.iter().any(|avoided| avoided.as_bytes() == **word);
            words.iter_mut().filter(avoided).for_each(|word| *word = b"7".to_vec());
        }
        if !self.converses {
            lists::shorten_wait(&mut words);
            streams::tame(&mut words);
        }
        if rng.one_in(6) {
            words[0].make_ascii_uppercase();
        }
        let connection = rng.below(self.connections);
        // What a random pick leaves differs from server to server.
        let picked = words[0].eq_ignore_ascii_case(b"spop") && words.len() > 1;
        let clear = picked.then(|| Step::Call { connection, words: vec![b"del".to_vec(), words[1].clone()] });
        [Step::Call { connection, words }].into_iter().chain(clear).collect()
    }
}

/// A key that expires for good before the episode goes on, looked at afterwards.
fn expiring(rng: &mut Rng, write: &str, field: &[&str]) -> Option<Vec<Step>> {
    if !rng.one_in(400) {
        return None;
    }
    let key = *rng.pick(&["k1", "k2", "k3"]);
    let call =
        |words: &[&str]| Step::Call { connection: 0, words: words.iter().map(|w| w.as_bytes().to_vec()).collect() };
    let read: &[&str] = match write {
        "set" => &["get"],
        "sadd" => &["smembers"],
        _ => &["hgetall"],
    };
    let written: Vec<&str> = [&[write, key], field, &["1"]].concat();
    Some(vec![
        call(&written),
        call(&["pexpire", key, "20"]),
        Step::Sleep(Duration::from_millis(40)),
        call(&[read[0], key]),
        call(&["ttl", key]),
        call(&["dbsize"]),
    ])
}

/// Whole iterations of sorted sets.
fn zset_scans(rng: &mut Rng) -> Option<Vec<Step>> {
    if !rng.one_in(40) {
        return None;
    }
    let before = Template::parse("zscan <zkey>").fill(rng);
    let after = Template::parse("[match <pattern>] [count {1|2|10|1000}]").fill(rng);
    Some(vec![Step::Scan { before, after }])
}

/// Fields that expire for good before the episode goes on: first hidden, and after a while taken out by both servers.
fn expiring_field(rng: &mut Rng) -> Option<Vec<Step>> {
    if !rng.one_in(400) {
        return None;
    }
    let key = *rng.pick(&["k1", "k2", "k3"]);
    let call = |line: &str| Step::Call {
        connection: 0,
        words: line.split(' ').map(|word| word.replace("KEY", key).into_bytes()).collect(),
    };
    let mut steps: Vec<Step> = ["hset KEY f2 2", "hsetex KEY px 20 fields 2 f1 1 f3 3"].map(call).into();
    steps.push(Step::Sleep(Duration::from_millis(40)));
    steps.extend(
        ["hget KEY f1", "hmget KEY f1 f2 f3", "hgetall KEY", "httl KEY fields 2 f1 f2", "hexists KEY f3"].map(call),
    );
    steps.push(call(if rng.one_in(2) { "hsetnx KEY f1 5" } else { "hincrby KEY f1 5" }));
    steps.push(Step::Sleep(Duration::from_millis(400)));
    steps.extend(["hlen KEY", "hgetall KEY", "object encoding KEY", "exists KEY", "dbsize"].map(call));
    Some(steps)
}

/// Whole iterations.
fn scans(rng: &mut Rng) -> Option<Vec<Step>> {
    if !rng.one_in(6) {
        return None;
    }
    let (before, options) = if rng.one_in(2) {
        ("scan", "[match <pattern>] [count {1|2|10|1000}] [type <type>]")
    } else {
        ("hscan <key>", "[match <pattern>] [count {1|2|10|1000}] [novalues]")
    };
    let before = Template::parse(before).fill(rng);
    let after = Template::parse(options).fill(rng);
    Some(vec![Step::Scan { before, after }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_fills_in() {
        for family in all() {
            let mut rng = Rng::new(3);
            for (_, template) in &family.templates {
                for _ in 0..50 {
                    assert!(!template.fill(&mut rng).is_empty(), "{}", family.name);
                }
            }
        }
    }

    #[test]
    fn an_episode_depends_on_its_seed_alone() {
        for family in all() {
            let (mut a, mut b) = (Rng::new(11), Rng::new(11));
            for _ in 0..200 {
                assert_eq!(family.steps(&mut a), family.steps(&mut b));
            }
        }
    }
}
