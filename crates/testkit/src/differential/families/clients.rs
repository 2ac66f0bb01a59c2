//! Several clients at once: who waits for keys, who caches them, who subscribes, and what is told of every change.

use std::time::Duration;

use super::super::Step;
use super::super::random::Rng;
use super::super::template::Template;
use super::{Family, Weighted};

/// Waits never end by the clock, but by another client; those that do are [`short_waits`].
const WAITING: Weighted = &[
    (8, "blpop <wkey>+ 0"),
    (5, "brpop <wkey>+ 0"),
    (5, "blmove <wkey> <wkey> {left|right} {left|right} 0"),
    (2, "brpoplpush <wkey> <wkey> 0"),
    (5, "blmpop 0 2 <wkey> <wkey> {left|right} [count {1|2|10}]"),
    (5, "bzpopmin <wkey>+ 0"),
    (4, "bzpopmax <wkey>+ 0"),
    (4, "bzmpop 0 2 <wkey> <wkey> {min|max} [count {1|2|10}]"),
    (5, "xread [count {1|2}] block 0 streams <wkey> {$|0|9-3|+}"),
    (4, "xread block 0 streams <wkey> <wkey> {$|0} {$|0}"),
    (6, "xreadgroup group g1 <consumer> [count {1|2}] block 0 [noack] streams <wkey> >"),
    (14, "{rpush|lpush} <wkey> <value>+"),
    (6, "zadd <wkey> {1|2|3} {a|b|c} [{1|2} {d|e}]"),
    (6, "xadd <wkey> 9-* f1 <value>"),
    (3, "xgroup create <wkey> g1 {$|0} mkstream"),
    (1, "xgroup destroy <wkey> g1"),
    (5, "del <wkey>+"),
    (1, "unlink <wkey>"),
    (2, "set <wkey> <value>"),
    (2, "lpop <wkey> [2]"),
    (3, "{rename|renamenx} <wkey> <wkey>"),
    (3, "copy <wkey> <wkey> [replace]"),
    (2, "{rpoplpush|lmove} <wkey> <wkey> [left] [right]"),
    (2, "lmpop 2 <wkey> <wkey> {left|right} [count 2]"),
    (2, "sort <wkey> alpha store <wkey>"),
    (2, "zunionstore <wkey> 2 <wkey> <wkey>"),
    (2, "zrangestore <wkey> <wkey> 0 -1"),
    (2, "move <wkey> 1"),
    (2, "select {0|1}"),
    (2, "swapdb 0 1"),
    (1, "{flushall|flushdb}"),
    (4, "client unblock {@0|@1|@2} [timeout|error]"),
    (1, "client unblock {999999999|x} [what]"),
    (8, "multi"),
    (8, "exec"),
    (1, "discard"),
    (2, "watch <wkey>"),
    (3, "eval <pushlua> 1 <wkey>"),
    (1, "eval <poplua> 1 <wkey>"),
    (3, "{llen|zcard|xlen|type|exists} <wkey>"),
    (1, "client kill id {@0|@1|@2}"),
    (1, "wait 0 0"),
];

/// No FLUSHALL that is not ASYNC: Redis 8 frees in another thread and answers behind the messages. No script writes: with
/// NOLOOP Redis tells the client that ran it of its own change, Quiver does not.
const TRACKING: Weighted = &[
    (6, "client tracking on [bcast] [noloop]"),
    (3, "client tracking on {optin|optout} [noloop]"),
    (3, "client tracking on bcast prefix <prefix> [prefix <prefix>] [noloop]"),
    (3, "client tracking on redirect {@0|@1} [bcast]"),
    (2, "client tracking off"),
    (3, "client caching {yes|no}"),
    (3, "client {trackinginfo|getredir}"),
    (3, "subscribe __redis__:invalidate"),
    (1, "unsubscribe __redis__:invalidate"),
    (3, "hello {2|3}"),
    (14, "get <tkey>"),
    (3, "mget <tkey>+"),
    (3, "{hget|hmget} <tkey> f1"),
    (2, "{exists|type|strlen|ttl|llen} <tkey>"),
    (1, "{lrange|getrange} <tkey> 0 -1"),
    (10, "set <tkey> <value> [get] [keepttl|ex 1000]"),
    (4, "{incr|append|del|unlink|persist|getdel} <tkey> [1]"),
    (2, "mset {<tkey> <value>}+"),
    (3, "hset <tkey> f1 <value>"),
    (2, "rpush <tkey> <value>+"),
    (2, "lpop <tkey>"),
    (2, "{rename|copy} <tkey> <tkey>"),
    (2, "{expire|pexpire} <tkey> {1000000|-1}"),
    (1, "{getset|setnx} <tkey> <value>"),
    (1, "getex <tkey> [persist|ex 1000]"),
    (1, "{flushall async|flushdb async|swapdb 0 1}"),
    (1, "select {0|1}"),
    (5, "multi"),
    (5, "exec"),
    (3, "eval <getlua> 1 <tkey>"),
    (1, "blpop <tkey> 0"),
    (1, "client kill id {@0|@1|@2}"),
    (1, "reset"),
];

/// Of which of a client's channels and patterns a message or a farewell comes first is the server's own affair, so that
/// no message matches two patterns of a client and all farewells name their channels.
const SUBSCRIBERS: Weighted = &[
    (8, "subscribe <channel>+"),
    (5, "psubscribe <channels>+"),
    (5, "ssubscribe <channel>+"),
    (4, "unsubscribe <channel>+"),
    (3, "punsubscribe <channels>+"),
    (3, "sunsubscribe <channel>+"),
    (14, "publish <channel> <value>"),
    (8, "spublish <channel> <value>"),
    (3, "pubsub {channels|shardchannels} {n*|x|?ther}"),
    (3, "pubsub {numsub|shardnumsub} <channel>+"),
    (2, "pubsub numpat"),
    (2, "hello {2|3}"),
    (4, "multi"),
    (4, "exec"),
    (1, "discard"),
    (3, "get k1"),
    (2, "ping [<value>]"),
    (1, "reset"),
    (1, "quit"),
    (2, "eval <publishlua> 0 <channel> <value>"),
    (1, "eval <subscribelua> 0 <channel>"),
    (1, "client kill type pubsub skipme {yes|no}"),
    (1, "client kill id {@0|@1|@2}"),
    (1, "blpop k9 0"),
    (1, "rpush k9 a"),
    (1, "{client no-evict on|client setname x|select 1|echo x}"),
];

/// Every change of a key is told to who subscribes to it, so these are the changes there are.
const EVENTS: Weighted = &[
    (20, "psubscribe __key*"),
    (2, "punsubscribe __key*"),
    (6, "config set notify-keyspace-events {KEA|KEA|KEAm|Kg$lshz|Ex|AKE|El|KEAn|}"),
    (6, "set <wkey> <value> [nx|xx] [get] [ex 1000|keepttl]"),
    (3, "{incr|decr|append|strlen|getdel|get|persist} <wkey> [1]"),
    (3, "{incrby|decrby|incrbyfloat} <wkey> 2"),
    (2, "setrange <wkey> {0|3} {x|}"),
    (2, "{getset|setnx|mset|msetnx} <wkey> <value>"),
    (2, "getex <wkey> [persist|ex 1000|exat 1]"),
    (2, "setbit <wkey> 3 1"),
    (2, "bitfield <wkey> {set|get} u8 0 [5]"),
    (2, "bitop or <wkey> <wkey> <wkey>"),
    (4, "{rpush|lpush|rpushx} <wkey> <value>+"),
    (4, "{lpop|rpop} <wkey> [2]"),
    (2, "lset <wkey> 0 x"),
    (2, "ltrim <wkey> {0|1|5} {-1|0}"),
    (2, "lrem <wkey> 0 <value>"),
    (2, "linsert <wkey> before <value> x"),
    (3, "lmove <wkey> <wkey> left right"),
    (2, "lmpop 1 <wkey> left count 5"),
    (5, "sadd <wkey> {a|b|c}+"),
    (3, "srem <wkey> {a|b|c}+"),
    (2, "smove <wkey> <wkey> {a|b}"),
    (3, "{sinterstore|sunionstore|sdiffstore} <wkey> <wkey> <wkey>"),
    (5, "zadd <wkey> [nx|xx|gt|lt] [ch] {1|2} {a|b|c} [incr]"),
    (2, "zadd <wkey> incr 1 {a|b}"),
    (2, "zincrby <wkey> 1 {a|b}"),
    (3, "zrem <wkey> {a|b|c}+"),
    (2, "{zremrangebyrank|zremrangebyscore} <wkey> 0 {0|-1|5}"),
    (2, "zremrangebylex <wkey> - +"),
    (3, "{zpopmin|zpopmax} <wkey> [2]"),
    (2, "zmpop 1 <wkey> min"),
    (3, "{zunionstore|zinterstore|zdiffstore} <wkey> 2 <wkey> <wkey>"),
    (2, "zrangestore <wkey> <wkey> 0 -1"),
    (2, "geoadd <wkey> 13.3 38.1 a 15 37 b"),
    (2, "geosearchstore <wkey> <wkey> frommember a byradius 200 km"),
    (5, "hset <wkey> {<field> <value>}+"),
    (2, "hsetnx <wkey> f1 <value>"),
    (3, "hdel <wkey> <field>+"),
    (2, "{hincrby|hincrbyfloat} <wkey> f1 2"),
    (3, "{hexpire|hpexpire} <wkey> {1000000|0} fields 1 {f1|f2}"),
    (2, "hpexpireat <wkey> {1|4000000000000} fields 2 f1 f2"),
    (2, "hpersist <wkey> fields 1 f1"),
    (2, "hgetdel <wkey> fields 2 f1 f2"),
    (2, "hgetex <wkey> {persist|ex 1000|exat 1} fields 1 f1"),
    (3, "hsetex <wkey> [fnx|fxx] [keepttl|ex 1000|exat 1] fields 2 f1 a f2 b"),
    (4, "xadd <wkey> [maxlen 1] 9-* f1 v"),
    (2, "xdel <wkey> 9-0"),
    (2, "xtrim <wkey> maxlen {0|1}"),
    (2, "xsetid <wkey> 9-50"),
    (3, "xgroup create <wkey> g1 {$|0} mkstream"),
    (1, "xgroup {destroy|createconsumer|delconsumer|setid} <wkey> g1 [c1|0]"),
    (2, "xreadgroup group g1 {c1|c2} streams <wkey> >"),
    (2, "xclaim <wkey> g1 c3 0 9-0 9-1"),
    (2, "xautoclaim <wkey> g1 c4 0 0"),
    (1, "pfadd <wkey> a b"),
    (1, "pfmerge <wkey> <wkey>"),
    (5, "{del|unlink} <wkey>+"),
    (3, "{expire|pexpire} <wkey> {1000000|-1|0}"),
    (2, "{rename|renamenx|copy} <wkey> <wkey>"),
    (2, "copy <wkey> <wkey> replace"),
    (2, "move <wkey> 1"),
    (2, "sort <wkey> alpha store <wkey>"),
    (1, "{restore <wkey> 0 x|touch <wkey>|flushdb|swapdb 0 1|select {0|1}}"),
    (4, "multi"),
    (4, "exec"),
    (2, "eval <dellua> 1 <wkey>"),
];

/// A word of a pool that only these families have.
pub(in crate::differential) fn word(pool: &str, rng: &mut Rng) -> Vec<u8> {
    let word = match pool {
        "wkey" => *rng.pick(&["w1", "w1", "w2", "w2", "w3", "w4"]),
        "tkey" => *rng.pick(&["a1", "a2", "ab1", "b1", "c"]),
        "prefix" => *rng.pick(&["a", "a", "ab", "b", "k", "", "zz"]),
        "channel" => *rng.pick(&["news", "news", "other", "x"]),
        "channels" => *rng.pick(&["n[e]w*", "?ther", "x", "none*"]),
        "pushlua" => "return redis.call('rpush', KEYS[1], 's1', 's2')",
        "poplua" => "return redis.call('blpop', KEYS[1], 0)",
        "getlua" => "return redis.call('get', KEYS[1])",
        "publishlua" => "return redis.call('publish', ARGV[1], ARGV[2])",
        "subscribelua" => "return redis.call('subscribe', ARGV[1])",
        "dellua" => "redis.call('set', KEYS[1], '1') return redis.call('del', KEYS[1])",
        other => panic!("no pool of words is called {other}"),
    };
    word.as_bytes().to_vec()
}

/// Clients that wait for keys.
pub(super) fn waiting() -> Family {
    Family { converses: true, specials: short_waits, ..Family::new("waiting", 3, WAITING) }
}

/// Client-side caching. Left out where nothing is said, for two differences that no list of allowed ones can name: what is
/// changed twice in one turn is told once by Redis to those who follow prefixes, and where EXEC turns tracking on it goes by
/// the state behind it.
pub(super) fn tracking() -> Family {
    Family { converses: true, on_request: true, ..Family::new("tracking", 3, TRACKING) }
}

/// Channels, patterns and shard channels.
pub(super) fn subscribers() -> Family {
    Family { converses: true, ..Family::new("subscribers", 3, SUBSCRIBERS) }
}

/// Keyspace notifications.
pub(super) fn events() -> Family {
    Family { converses: true, ..Family::new("events", 2, EVENTS) }
}

/// A wait that nobody ends but the clock.
fn short_waits(rng: &mut Rng) -> Option<Vec<Step>> {
    if !rng.one_in(60) {
        return None;
    }
    let line = "{blpop <wkey> 0.02|blmpop 0.02 1 <wkey> left|bzpopmax <wkey> 0.02|xread block 20 streams <wkey> $}";
    let connection = rng.below(3);
    let words = Template::parse(line).fill(rng);
    Some(vec![Step::Call { connection, words }, Step::Sleep(Duration::from_millis(60))])
}
