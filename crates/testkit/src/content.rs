//! Everything a server holds, as its clients can read it: what two servers, of whatever make, are compared by.
//!
//! Order that has no meaning (members of a set, fields of a hash) is taken out. Vectors are rounded: servers may code
//! them differently.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use quiver_resp::Value;

use crate::connection::Connection;

/// Keys, each as `db/name`, and what they hold.
pub type Content = BTreeMap<String, String>;

/// Reads all databases.
///
/// # Errors
/// When the server does not answer as expected.
pub fn of(connection: &mut Connection) -> Result<Content> {
    let mut content = Content::new();
    for db in 0..16 {
        ask(connection, &["SELECT", &db.to_string()])?;
        for key in keys(connection)? {
            let value = value(connection, &key)?;
            content.insert(format!("{db}/{key}"), value);
        }
    }
    ask(connection, &["SELECT", "0"])?;
    Ok(content)
}

/// The keys that differ, with both values; few enough to be read.
pub fn differences(ours: &Content, theirs: &Content) -> Vec<String> {
    let names = ours.keys().chain(theirs.keys().filter(|key| !ours.contains_key(*key)));
    let differ = names.filter(|key| ours.get(*key) != theirs.get(*key));
    differ.take(10).map(|key| format!("{key}: {:?} and {:?}", ours.get(key), theirs.get(key))).collect()
}

fn ask(connection: &mut Connection, words: &[&str]) -> Result<Value> {
    match connection.call(words)?.value {
        Value::Error(text) => bail!("{}: {}", words.join(" "), text.escape_ascii()),
        value => Ok(value),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Bulk(bytes) | Value::Simple(bytes) => bytes.escape_ascii().to_string(),
        Value::Integer(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().map(|items| items.iter().map(text).collect()).unwrap_or_default()
}

fn keys(connection: &mut Connection) -> Result<Vec<String>> {
    let (mut keys, mut cursor) = (Vec::new(), "0".to_owned());
    loop {
        let reply = ask(connection, &["SCAN", &cursor, "COUNT", "1000"])?;
        let [next, page] = reply.as_array().context("SCAN answers an array")? else { bail!("SCAN answers two things") };
        keys.extend(texts(page));
        cursor = text(next);
        if cursor == "0" {
            break;
        }
    }
    keys.sort();
    keys.dedup();
    Ok(keys)
}

fn value(connection: &mut Connection, key: &str) -> Result<String> {
    let kind = text(&ask(connection, &["TYPE", key])?);
    let expiry = text(&ask(connection, &["PEXPIRETIME", key])?);
    let inside = match kind.as_str() {
        "string" => text(&ask(connection, &["GET", key])?),
        "list" => texts(&ask(connection, &["LRANGE", key, "0", "-1"])?).join(" "),
        "zset" => texts(&ask(connection, &["ZRANGE", key, "0", "-1", "WITHSCORES"])?).join(" "),
        "set" => sorted(texts(&ask(connection, &["SMEMBERS", key])?)),
        "hash" => hash(connection, key)?,
        "stream" => stream(connection, key)?,
        "vectorset" => vectors(connection, key)?,
        // A key whose time is over between SCAN and here.
        "none" => String::new(),
        other => bail!("{key} is of type {other}"),
    };
    Ok(format!("{kind} {expiry} {inside}"))
}

fn sorted(mut words: Vec<String>) -> String {
    words.sort();
    words.join(" ")
}

fn hash(connection: &mut Connection, key: &str) -> Result<String> {
    let words = texts(&ask(connection, &["HGETALL", key])?);
    let mut fields = Vec::new();
    for pair in words.chunks(2) {
        // Where fields cannot expire, none does.
        let expiry = ask(connection, &["HPEXPIRETIME", key, "FIELDS", "1", &pair[0]]);
        let expiry = expiry.map_or_else(|_| "-1".to_owned(), |times| texts(&times).join(""));
        fields.push(format!("{}={}@{expiry}", pair[0], pair[1]));
    }
    Ok(sorted(fields))
}

fn stream(connection: &mut Connection, key: &str) -> Result<String> {
    let entries = format!("{:?}", ask(connection, &["XRANGE", key, "-", "+"])?);
    let info = texts(&ask(connection, &["XINFO", "STREAM", key])?);
    let field = |name: &str| info.iter().position(|word| word == name).and_then(|at| info.get(at + 1)).cloned();
    let marks: Vec<Option<String>> = ["last-generated-id", "entries-added", "max-deleted-entry-id"].map(field).into();
    let groups = ask(connection, &["XINFO", "GROUPS", key])?;
    let mut pending = String::new();
    for group in groups.as_array().unwrap_or_default() {
        let fields = texts(group);
        let name = fields.get(1).context("a group has a name")?;
        let who = ask(connection, &["XPENDING", key, name])?;
        pending.push_str(&format!("{name}: {fields:?} {who:?} "));
    }
    Ok(format!("{entries} {marks:?} {pending}"))
}

fn vectors(connection: &mut Connection, key: &str) -> Result<String> {
    let count = text(&ask(connection, &["VCARD", key])?);
    let dim = text(&ask(connection, &["VDIM", key])?);
    let mut elements = Vec::new();
    for element in texts(&ask(connection, &["VRANDMEMBER", key, &count])?) {
        let coded = texts(&ask(connection, &["VEMB", key, &element])?);
        let rounded: Vec<String> =
            coded.iter().map(|x| format!("{:.1}", x.parse::<f64>().unwrap_or(f64::NAN) + 0.0)).collect();
        let attributes = text(&ask(connection, &["VGETATTR", key, &element])?);
        elements.push(format!("{element} {} {attributes}", rounded.join(",").replace("-0.0", "0.0")));
    }
    elements.sort();
    Ok(format!("{count} {dim} {}", elements.join(" ")))
}
