//! Everything a server holds as text, so that two servers can be compared by what their clients can see.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use quiver_resp::Value;

use super::Call;

/// Content by `database/key`, made printable.
pub type Dump = BTreeMap<String, String>;

/// Databases that are looked at.
const DATABASES: usize = 16;

/// Elements of a vector set that are asked for.
const VECTORS_MAX: usize = 1_000_000;

/// Reads everything in 16 databases; the first one is selected afterwards.
///
/// # Errors
/// When the server cannot be reached or answers what cannot be.
pub fn dump(call: Call<'_>) -> Result<Dump> {
    let mut found = Dump::new();
    for db in 0..DATABASES {
        let mut ask = |words: &[&[u8]]| call(&words.iter().map(|word| word.to_vec()).collect::<Vec<_>>());
        ask(&[b"SELECT", db.to_string().as_bytes()])?;
        for key in bulks(ask(&[b"KEYS", b"*"])?)? {
            let text = describe(&mut ask, &key).with_context(|| format!("key {}", key.escape_ascii()))?;
            found.insert(format!("{db}/{}", key.escape_ascii()), text);
        }
    }
    call(&[b"SELECT".to_vec(), b"0".to_vec()])?;
    Ok(found)
}

/// The keys in which two dumps differ, with the beginnings of both texts.
pub fn differences(ours: &Dump, theirs: &Dump) -> Vec<String> {
    const SHOWN: usize = 300;
    let keys: std::collections::BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let shown = |text: Option<&String>| text.map_or("(none)".to_owned(), |text| text.chars().take(SHOWN).collect());
    let differing = keys.into_iter().filter(|key| ours.get(*key) != theirs.get(*key));
    differing
        .map(|key| format!("{key}\n  ours:   {}\n  theirs: {}", shown(ours.get(key)), shown(theirs.get(key))))
        .collect()
}

type Ask<'a> = &'a mut dyn FnMut(&[&[u8]]) -> Result<Value>;

fn describe(ask: Ask<'_>, key: &[u8]) -> Result<String> {
    let kind = text(&ask(&[b"TYPE", key])?);
    let expires = text(&ask(&[b"PEXPIRETIME", key])?);
    let content = match kind.as_str() {
        "string" => text(&ask(&[b"GET", key])?),
        "list" => text(&ask(&[b"LRANGE", key, b"0", b"-1"])?),
        "set" => sorted(ask(&[b"SMEMBERS", key])?, 1)?,
        "zset" => scored(ask(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"])?)?,
        "hash" => hash(ask, key)?,
        "stream" => stream(ask, key)?,
        "vectorset" => vectors(ask, key)?,
        other => bail!("the type {other} is not known here"),
    };
    Ok(format!("{kind} expires {expires}: {content}"))
}

fn hash(ask: Ask<'_>, key: &[u8]) -> Result<String> {
    let fields = bulks(ask(&[b"HKEYS", key])?)?;
    let mut pairs = Vec::new();
    for field in &fields {
        let value = text(&ask(&[b"HGET", key, field])?);
        // A server without expiring fields has none.
        let expiry = match ask(&[b"HPEXPIRETIME", key, b"FIELDS", b"1", field])? {
            Value::Error(_) => "[-1]".to_owned(),
            reply => text(&reply),
        };
        pairs.push(format!("{}={value}@{expiry}", field.escape_ascii()));
    }
    pairs.sort();
    Ok(pairs.join(" "))
}

fn stream(ask: Ask<'_>, key: &[u8]) -> Result<String> {
    let entries = text(&ask(&[b"XRANGE", key, b"-", b"+"])?);
    let Value::Array(facts) = ask(&[b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"])? else {
        bail!("XINFO STREAM answers an array")
    };
    // How the radix tree looks is each server's own affair, and the entries were read above.
    let kept =
        ["length", "last-generated-id", "max-deleted-entry-id", "entries-added", "recorded-first-entry-id", "groups"];
    let facts = facts.chunks(2).filter(|fact| kept.contains(&text(&fact[0]).as_str()));
    let facts: Vec<String> =
        facts.map(|fact| format!("{}={}", text(&fact[0]), fact.get(1).map_or(String::new(), text))).collect();
    Ok(format!("{entries} {}", without_novelties(&facts.join(" "))))
}

/// What later releases say of a group besides is left out where it says nothing new.
fn without_novelties(text: &str) -> String {
    let words: Vec<&str> = text.split(", ").collect();
    let mut kept: Vec<&str> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let says_nothing = match words[at] {
            "nacked-count" => words.get(at + 1) == Some(&"0"),
            "active-time" => at > 0 && words.get(at + 1) == Some(&words[at - 1]),
            _ => false,
        };
        if says_nothing {
            at += 2;
        } else {
            kept.push(words[at]);
            at += 1;
        }
    }
    kept.join(", ")
}

/// Members and scores; these as numbers, which not all releases print in the shortest form.
fn scored(reply: Value) -> Result<String> {
    let parts = bulks(reply)?;
    let pairs = parts.chunks(2).map(|pair| {
        let score = pair.get(1).and_then(|score| std::str::from_utf8(score).ok()?.parse::<f64>().ok());
        format!("{}={}", pair[0].escape_ascii(), score.map_or("?".to_owned(), |score| score.to_string()))
    });
    Ok(pairs.collect::<Vec<_>>().join(" "))
}

fn vectors(ask: Ask<'_>, key: &[u8]) -> Result<String> {
    let Value::Array(facts) = ask(&[b"VINFO", key])? else { bail!("VINFO answers an array") };
    let kept = ["quant-type", "vector-dim", "size", "projection-input-dim", "attributes-count", "hnsw-m"];
    let facts = facts.chunks(2).filter(|fact| kept.contains(&text(&fact[0]).as_str()));
    let mut parts: Vec<String> =
        facts.map(|fact| format!("{}={}", text(&fact[0]), fact.get(1).map_or(String::new(), text))).collect();
    let mut names = bulks(ask(&[b"VRANDMEMBER", key, VECTORS_MAX.to_string().as_bytes()])?)?;
    names.sort();
    for name in names {
        let raw = text(&ask(&[b"VEMB", key, &name, b"RAW"])?);
        let attributes = text(&ask(&[b"VGETATTR", key, &name])?);
        let Value::Array(levels) = ask(&[b"VLINKS", key, &name])? else { bail!("VLINKS answers an array") };
        let levels: Result<Vec<String>> = levels.into_iter().map(|level| sorted(level, 1)).collect();
        parts.push(format!("{} {raw} {attributes} {}", name.escape_ascii(), levels?.join(" | ")));
    }
    Ok(parts.join("\n"))
}

/// The elements in groups of `step`, in order.
fn sorted(reply: Value, step: usize) -> Result<String> {
    let elements = bulks(reply)?;
    let mut groups: Vec<String> =
        elements.chunks(step).map(|group| group.concat().escape_ascii().to_string()).collect();
    groups.sort();
    Ok(groups.join(" "))
}

fn bulks(reply: Value) -> Result<Vec<Vec<u8>>> {
    let Value::Array(elements) = reply else { bail!("an array was expected, not {reply:?}") };
    elements
        .into_iter()
        .map(|element| match element {
            Value::Bulk(bytes) | Value::Simple(bytes) => Ok(bytes),
            other => bail!("a string was expected, not {other:?}"),
        })
        .collect()
}

/// A reply as text; a long string by its length and a sum, so that dumps stay readable.
fn text(value: &Value) -> String {
    const LONG: usize = 200;
    match value {
        Value::Bulk(bytes) | Value::Simple(bytes) if bytes.len() > LONG => {
            let sum = bytes
                .iter()
                .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
            format!("({} bytes, {sum:016x})", bytes.len())
        }
        Value::Bulk(bytes) | Value::Simple(bytes) => bytes.escape_ascii().to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Null => "(nil)".to_owned(),
        Value::Array(elements) => format!("[{}]", elements.iter().map(text).collect::<Vec<_>>().join(", ")),
        Value::Error(message) => format!("(error: {})", message.escape_ascii()),
        other => format!("{other:?}"),
    }
}
