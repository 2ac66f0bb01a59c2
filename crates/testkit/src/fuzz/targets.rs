//! The targets: what is promised of any input, as code.

use std::sync::OnceLock;

use quiver_engine::acl::rules::Rules;
use quiver_engine::config::Config;
use quiver_engine::digest::Digest;
use quiver_engine::glob;
use quiver_rdb::frame;
use quiver_resp::{Decoder, Limits, Requests, Value, split_inline};

use super::{Target, glob as plain_glob, logs, paths, queries, search, seeds};
use crate::local::Local;

/// All targets.
pub const TARGETS: &[Target] = &[
    Target {
        name: "acl",
        promise: "rules that are printed and read again print the same",
        seeds: seeds::rules,
        run: acl,
    },
    Target {
        name: "aof",
        promise: "what loads is sound, loads again as the same, and saves as the same; what was cut off is kept",
        seeds: logs::increments,
        run: logs::aof,
    },
    Target {
        name: "config",
        promise: "a parameter takes what it prints, and prints the same again",
        seeds: seeds::parameters,
        run: config,
    },
    Target {
        name: "damaged",
        promise: "a file with its checksum loads as what was saved, or not at all",
        seeds: seeds::files,
        run: damaged,
    },
    Target {
        name: "expression",
        promise: "it comes to the same with brackets around it",
        seeds: seeds::expressions,
        run: queries::expression,
    },
    Target {
        name: "filter",
        promise: "an element passes it or its opposite",
        seeds: seeds::filters,
        run: paths::filter,
    },
    Target { name: "glob", promise: "it matches what a plain matcher matches", seeds: seeds::patterns, run: globs },
    Target {
        name: "inline",
        promise: "a quoted line reads as the words it was made of",
        seeds: seeds::lines,
        run: inline,
    },
    Target {
        name: "manifest",
        promise: "what is read is printed and read again as the same, and names files of its folder only",
        seeds: logs::manifests,
        run: logs::manifest,
    },
    Target {
        name: "path",
        promise: "nodes and places are the same, and one step more leads to their children",
        seeds: seeds::paths,
        run: paths::path,
    },
    Target {
        name: "query",
        promise: "a tree that is printed and read again is the same",
        seeds: seeds::queries,
        run: queries::query,
    },
    Target {
        name: "rdb",
        promise: "what loads is sound, can be worked with, and saves and loads as the same",
        seeds: seeds::snapshots,
        run: rdb,
    },
    Target {
        name: "resp",
        promise: "the same requests come out however the bytes are split",
        seeds: seeds::requests,
        run: resp,
    },
    Target {
        name: "restore",
        promise: "what is restored is sound, can be worked with, and dumps and restores as the same",
        seeds: seeds::payloads,
        run: restore,
    },
    Target {
        name: "search",
        promise: "one reply comes, and the index has what it had",
        seeds: search::commands,
        run: search::search,
    },
];

fn acl(input: &[u8]) -> bool {
    let read = |rules: &[&[u8]]| {
        let mut user = Rules::new(false);
        rules.iter().try_for_each(|rule| user.apply(rule, false)).ok().map(|()| user)
    };
    let lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    // The syntax has no way to say that a pattern in parentheses ends with one.
    let closes_early = |line: &[u8]| line.split_last().is_some_and(|(_, inner)| inner.contains(&b')'));
    if lines.iter().any(|line| line.first() == Some(&b'(') && closes_early(line)) {
        return false;
    }
    let Some(user) = read(&lines) else { return false };
    let printed = user.describe();
    let words: Vec<&[u8]> = printed.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).collect();
    let words = quiver_engine::acl::rules::merge_parentheses(&words).expect("parentheses are printed in pairs");
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let again = read(&words).unwrap_or_else(|| panic!("what is printed is read: {}", printed.escape_ascii()));
    assert_eq!(again.describe().escape_ascii().to_string(), printed.escape_ascii().to_string());
    true
}

fn config(input: &[u8]) -> bool {
    let (config, mut any) = (Config::default(), false);
    for line in String::from_utf8_lossy(input).lines() {
        let (name, value) = line.split_once(' ').unwrap_or((line, ""));
        any |= config.set(name, value, false).is_ok();
    }
    for (name, value) in config.all() {
        let other = Config::default();
        if let Err(reason) = other.set(name, &value, false) {
            panic!("{name} prints {value:?} and does not take it: {reason}");
        }
        assert_eq!(other.get(name), value, "{name}");
    }
    any
}

fn damaged(input: &[u8]) -> bool {
    static SAVED: OnceLock<Vec<Digest>> = OnceLock::new();
    let saved = SAVED.get_or_init(|| {
        let load = |file: &Vec<u8>| {
            let local = Local::new();
            local.load(file).expect("a seed is whole");
            local.digest()
        };
        seeds::files().iter().map(load).collect()
    });
    let local = Local::new();
    if local.load(input).is_err() {
        assert_eq!(local.digest(), Local::new().digest(), "what is refused leaves nothing behind");
        return false;
    }
    assert!(saved.contains(&local.digest()), "a damaged file was loaded as something else");
    true
}

fn globs(input: &[u8]) -> bool {
    let mut parts = input.splitn(2, |byte| *byte == 0);
    let (pattern, text) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let (pattern, text) = (&pattern[..pattern.len().min(256)], &text[..text.len().min(256)]);
    let matched = glob::matches(pattern, text);
    assert_eq!(matched, plain_glob::matches(pattern, text), "{} on {}", pattern.escape_ascii(), text.escape_ascii());
    matched
}

fn inline(input: &[u8]) -> bool {
    let split = |line: &[u8]| {
        let (mut text, mut words) = (Vec::new(), Vec::new());
        split_inline(line, &mut text, |word| words.push(word)).ok()?;
        Some(words.into_iter().map(|word| text[word].to_vec()).collect::<Vec<_>>())
    };
    let words: Vec<Vec<u8>> = input.split(|byte| *byte == b' ').map(<[u8]>::to_vec).collect();
    let quoted: Vec<String> = words
        .iter()
        .map(|word| format!("\"{}\"", word.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>()))
        .collect();
    assert_eq!(split(quoted.join(" ").as_bytes()), Some(words));
    split(input).is_some()
}

fn rdb(input: &[u8]) -> bool {
    let mut local = Local::new();
    if local.load(input).is_err() {
        assert!(matches!(local.call(&["DBSIZE"]), Ok(Value::Integer(0))), "what is refused leaves nothing behind");
        return false;
    }
    local.check();
    saves_as_the_same(&local);
    for db in 0..16 {
        ask(&mut local, &["SELECT", &db.to_string()]);
        for key in keys(&mut local) {
            work_with(&mut local, &key);
        }
    }
    local.check();
    saves_as_the_same(&local);
    true
}

/// Requests of the whole input, and whether it ended in an error.
fn decoded(input: &[u8], step: usize) -> (Vec<Vec<Vec<u8>>>, bool) {
    let (mut decoder, limits) = (Decoder::new(), Limits::default());
    let (mut pending, mut commands) = (Vec::new(), Vec::new());
    for chunk in input.chunks(step) {
        pending.extend_from_slice(chunk);
        let mut requests = Requests::new();
        let used = decoder.decode(&pending, &limits, &mut requests, usize::MAX);
        commands.extend(requests.iter(&pending).map(|argv| argv.iter().map(<[u8]>::to_vec).collect::<Vec<_>>()));
        match used {
            Ok(used) => drop(pending.drain(..used)),
            Err(_) => return (commands, true),
        }
    }
    (commands, false)
}

fn resp(input: &[u8]) -> bool {
    let whole = decoded(input, input.len().max(1));
    let step = 1 + input.first().map_or(0, |byte| usize::from(*byte) % 23);
    for step in [1, step] {
        assert_eq!(decoded(input, step), whole, "split at every {step} bytes");
    }
    !whole.0.is_empty()
}

fn restore(input: &[u8]) -> bool {
    let mut local = Local::new();
    let mut sealed = input.to_vec();
    frame::seal(&mut sealed);
    let reply = local.call(&[b"RESTORE".as_slice(), b"key", b"0", &sealed]).expect("an engine answers");
    if matches!(reply, Value::Error(_)) {
        assert!(matches!(local.call(&["DBSIZE"]), Ok(Value::Integer(0))), "what is refused leaves nothing behind");
        return false;
    }
    local.check();
    dumps_as_the_same(&mut local);
    work_with(&mut local, b"key");
    local.check();
    dumps_as_the_same(&mut local);
    true
}

fn ask<W: AsRef<[u8]>>(local: &mut Local, words: &[W]) -> Value {
    local.call(words).expect("an engine answers")
}

fn keys(local: &mut Local) -> Vec<Vec<u8>> {
    let Value::Array(keys) = ask(local, &["KEYS", "*"]) else { return Vec::new() };
    keys.into_iter().filter_map(|key| if let Value::Bulk(key) = key { Some(key) } else { None }).collect()
}

fn saves_as_the_same(local: &Local) {
    let copy = Local::new();
    copy.load(&local.save()).unwrap_or_else(|error| panic!("what was saved loads: {error}"));
    assert_eq!(copy.digest(), local.digest(), "what was saved loads as the same");
}

fn dumps_as_the_same(local: &mut Local) {
    let Value::Bulk(payload) = ask(local, &["DUMP", "key"]) else { return };
    let mut copy = Local::new();
    let reply = ask(&mut copy, &[b"RESTORE".as_slice(), b"key", b"0", &payload]);
    assert_eq!(reply, Value::Simple(b"OK".to_vec()), "what was dumped is restored");
    assert_eq!(copy.digest(), local.digest(), "what was dumped is restored as the same");
}

/// Runs commands that touch all parts of a value, whatever they answer.
fn work_with(local: &mut Local, key: &[u8]) {
    const COMMANDS: &[(&str, &[&str])] = &[
        (
            "string",
            &["GET", "STRLEN", "APPEND x", "SETRANGE 3 y", "INCR", "BITCOUNT", "PFCOUNT", "PFADD z", "GETRANGE 0 -1"],
        ),
        (
            "list",
            &[
                "LRANGE 0 -1",
                "LPUSH x",
                "RPUSH 7",
                "LINDEX -1",
                "LINSERT BEFORE x y",
                "LREM 1 x",
                "LSET 0 z",
                "LPOP",
                "RPOP",
                "LTRIM 1 -1",
            ],
        ),
        ("set", &["SMEMBERS", "SADD x 12345678901", "SISMEMBER x", "SRANDMEMBER 3", "SREM x", "SPOP", "SSCAN 0"]),
        (
            "zset",
            &[
                "ZRANGE 0 -1 WITHSCORES",
                "ZADD 1.5 x",
                "ZINCRBY 2 x",
                "ZRANK x",
                "ZRANGEBYSCORE -inf +inf",
                "ZRANGEBYLEX - +",
                "ZPOPMIN",
                "ZREMRANGEBYRANK 0 0",
                "ZSCAN 0",
            ],
        ),
        (
            "hash",
            &[
                "HGETALL",
                "HSET x y",
                "HINCRBY n 5",
                "HPEXPIRE 100000 FIELDS 1 x",
                "HPTTL FIELDS 1 x",
                "HRANDFIELD 2",
                "HDEL n",
                "HSCAN 0",
            ],
        ),
        (
            "stream",
            &[
                "XRANGE - +",
                "XREVRANGE + -",
                "XINFO_STREAM FULL",
                "XADD * f v",
                "XLEN",
                "XPENDING g",
                "XREADGROUP g",
                "XAUTOCLAIM g c 0 0",
                "XTRIM MAXLEN 2",
                "XDEL 1-1",
                "XINFO_GROUPS",
            ],
        ),
        ("vectorset", &["VCARD", "VDIM", "VINFO", "VRANDMEMBER 5", "VSIM_FIRST", "VREM_FIRST"]),
        ("array", &["ARLEN", "ARCOUNT", "ARSCAN 0 100", "ARINSERT x"]),
    ];
    let kind = ask(local, &[b"TYPE".as_slice(), key]);
    let Value::Simple(kind) = kind else { return };
    ask(local, &[b"OBJECT".as_slice(), b"ENCODING", key]);
    ask(local, &[b"MEMORY".as_slice(), b"USAGE", key]);
    let Some((_, commands)) = COMMANDS.iter().find(|(name, _)| name.as_bytes() == kind) else { return };
    for line in *commands {
        run_line(local, key, line);
    }
}

fn run_line(local: &mut Local, key: &[u8], line: &str) {
    let mut words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    let name = words.remove(0);
    match name {
        b"XINFO_STREAM" => drop(ask(local, &[&[b"XINFO".as_slice(), b"STREAM", key], words.as_slice()].concat())),
        b"XINFO_GROUPS" => drop(ask(local, &[b"XINFO".as_slice(), b"GROUPS", key])),
        b"XREADGROUP" => {
            let words = [b"XREADGROUP".as_slice(), b"GROUP", b"g", b"c", b"COUNT", b"2", b"STREAMS", key, b">"];
            drop(ask(local, &words));
        }
        b"VSIM_FIRST" | b"VREM_FIRST" => {
            let Value::Bulk(first) = ask(local, &[b"VRANDMEMBER".as_slice(), key]) else { return };
            if name == b"VREM_FIRST" {
                drop(ask(local, &[b"VREM".as_slice(), key, &first]));
            } else {
                drop(ask(local, &[b"VLINKS".as_slice(), key, &first]));
                drop(ask(local, &[b"VSIM".as_slice(), key, b"ELE", &first]));
            }
        }
        name => drop(ask(local, &[&[name, key], words.as_slice()].concat())),
    }
}
