//! Scripts made of random expressions: every type of value, in both directions.
//!
//! A map or set has one element at most: the order of more is the interpreter's.

use crate::differential::random::Rng;

/// Templates.
pub(super) const SCRIPTING: &[(usize, &str)] = &[
    (30, "eval <lua> 2 <key> <key> <value> <value>"),
    (6, "eval_ro <lua> 1 <key> <value>"),
    (2, "eval <lua> <int> <key> <value>"),
    (1, "script load <lua>"),
    (1, "script exists <value> e0e1f9fabfc9d4800c877a703b823ac0578ff8db"),
    (1, "{evalsha|evalsha_ro} {e0e1f9fabfc9d4800c877a703b823ac0578ff8db|<value>} <int> <key>"),
    (1, "script {flush|kill|nosuch|load|exists} [<value>]"),
    (4, "set <key> <value>"),
    (2, "rpush <key> <value>+"),
    (2, "hset <key> f <value>"),
    (1, "zadd <key> {1|2.5|-3} <value>"),
    (1, "sadd <key> <value>"),
    (2, "del <key>+"),
    (2, "multi"),
    (3, "exec"),
];

const LEAVES: &[&str] = &[
    "nil",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "3.7",
    "-3.7",
    "1e15",
    "2^53",
    "0/0",
    "1/0",
    "''",
    "'text'",
    "'a\\r\\nb\\0'",
    "KEYS[1]",
    "ARGV[1]",
    "ARGV[9]",
    "#KEYS",
    "{}",
    "{err='CODE text'}",
    "{err='word'}",
    "{ok='FINE'}",
    "{ok=1}",
    "{double=1.5}",
    "{double=1e300}",
    "{big_number='123456789012345678901234567890'}",
    "{verbatim_string={format='txt',string='some text'}}",
    "redis.error_reply('My Err')",
    "redis.status_reply('ok')",
    "function() end",
    "tostring(0.1)",
    "tostring(1e20)",
    "type(redis)",
    "redis.sha1hex('x')",
    "nosuch",
    "string.format('%5.2f|%d|%q|%s', 3.14159, 42, 'a\"b', 'x')",
    "tonumber(ARGV[1])",
    "pcall(error, 'x')",
    "select('#', nil, nil)",
    "#ARGV[1]",
    "ARGV[1] .. 1.5",
    "ARGV[1] + 1",
    "ARGV[1] == KEYS[1]",
    "ARGV[1] < KEYS[1]",
];

const COMMANDS: &[&str] = &[
    "'GET',KEYS[1]",
    "'SET',KEYS[1],ARGV[1]",
    "'SET',KEYS[1],1.5",
    "'INCR',KEYS[1]",
    "'INCRBYFLOAT',KEYS[1],0.1",
    "'HGETALL',KEYS[1]",
    "'HSET',KEYS[1],'f',ARGV[1]",
    "'LRANGE',KEYS[1],0,-1",
    "'RPUSH',KEYS[1],1,2,'x'",
    "'ZRANGE',KEYS[1],0,0,'WITHSCORES'",
    "'ZSCORE',KEYS[1],ARGV[1]",
    "'ZADD',KEYS[1],1.5,ARGV[1]",
    "'SPOP',KEYS[1]",
    "'SISMEMBER',KEYS[1],ARGV[1]",
    "'MGET','k1','k2','nokey'",
    "'DEL',KEYS[1]",
    "'TYPE',KEYS[1]",
    "'EXISTS',KEYS[1]",
    "'OBJECT','ENCODING',KEYS[1]",
    "'BLPOP','nokey',1",
    "'NOSUCH'",
    "'GET'",
    "'MULTI'",
    "'OBJECT'",
    "'OBJECT','NOSUCH'",
    "'PING'",
    "'ECHO',ARGV[1]",
    "'SELECT',1",
    "'LPOS',KEYS[1],ARGV[1]",
    "'SET',KEYS[1],ARGV[1],'GET'",
    "'GETRANGE',KEYS[1],0,3",
    "'DEBUG','PROTOCOL','double'",
    "true",
    "{}",
    "",
];

/// What is raised. Of a table without a text Redis 8.0.2 dies.
const RAISED: &[&str] = &[
    "'text'",
    "'text', 0",
    "'text', 2",
    "12",
    "1.5",
    "nil",
    "false",
    "",
    "{err='CODE text'}",
    "{err='word'}",
    "{err=12}",
    "redis.error_reply('My Err')",
    "redis.pcall('NOSUCH')",
    "redis.pcall('INCR',KEYS[1],1)",
    "ARGV[1]",
];

const FIRST_LINES: &[&str] = &["#!lua\n", "#!lua flags=no-writes\n", "#!lua flags=allow-oom\n", "#!lua flags=x\n"];

/// A script.
pub(crate) fn script(rng: &mut Rng) -> Vec<u8> {
    let mut text = String::new();
    if rng.one_in(12) {
        text.push_str(rng.pick::<&str>(FIRST_LINES));
    }
    if rng.one_in(3) {
        text.push_str("redis.setresp(3) ");
    }
    while rng.one_in(3) {
        text.push_str(&format!("local v = {} ", expression(rng, 2)));
    }
    match rng.below(10) {
        0 => text.push_str(&format!("error({})", rng.pick(RAISED))),
        1 => text.push_str(&format!("local ok, e = pcall(function() return {} end) return e", expression(rng, 2))),
        2 => text.push_str(&format!("for i = 1, 3 do redis.call({}) end return 'done'", rng.pick(COMMANDS))),
        3 => text.push_str(&format!("local r = {} return {{type(r), r}}", expression(rng, 1))),
        _ => text.push_str(&format!("return {}", expression(rng, 3))),
    }
    text.into_bytes()
}

fn expression(rng: &mut Rng, depth: usize) -> String {
    match rng.below(if depth == 0 { 4 } else { 9 }) {
        4 => format!("redis.call({})", rng.pick(COMMANDS)),
        5 => format!("redis.pcall({})", rng.pick(COMMANDS)),
        6 => {
            let parts: Vec<_> = (0..1 + rng.below(3)).map(|_| expression(rng, depth - 1)).collect();
            format!("{{{}}}", parts.join(","))
        }
        7 => format!("{{map={{['k']={}}}}}", expression(rng, depth - 1)),
        8 => format!("{{set={{[{}]=true}}}}", rng.pick(&["'m'", "1", "2.5", "true"])),
        _ => (*rng.pick(LEAVES)).to_owned(),
    }
}
