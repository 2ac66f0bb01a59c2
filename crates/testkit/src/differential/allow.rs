//! Where two correct servers may answer differently, and how much. Errors are never forgiven.

use quiver_resp::Value;

use crate::connection::Reply;

/// What is compared of a command's reply when its bytes differ.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    /// Nothing: the bytes must be equal.
    Exact,
    /// The servers' clocks: numbers within this distance.
    Clock(f64),
    /// Order is free; in RESP2 the elements come in groups of this many.
    Unordered(usize),
    /// The servers pick at random: the same type and number of elements.
    Shape,
    /// The servers build something of their own: the same type.
    Kind,
    /// Vectors are quantised by different code: numbers within 5e-3, texts equal.
    Floats,
    /// Elements by similarity: as `Floats`, ties in any order.
    Ranked,
    /// Some facts are the server's own; the rest of the map is equal.
    Facts(&'static [&'static [u8]]),
    /// The servers' clocks inside descriptions of streams, and facts that Redis 8.0 does not have; the rest is equal.
    Times,
    /// As `Facts`, of every map in a list.
    EachFacts(&'static [&'static [u8]]),
    /// Members of the sets within come in any order.
    Sets,
}

/// Distance allowed between scores of vectors in [-1, 1]: two codes of eight bits.
const SCORE_TOLERANCE: f64 = 5e-3;

/// VINFO's fields that depend on the random levels of the graph or on counters of the process; and the number of
/// attributes, where Redis 8.0.2 forgets those of elements added with CAS.
const OWN_FACTS: &[&[u8]] =
    &[b"max-level", b"vset-uid", b"hnsw-max-node-uid", b"projection-input-dim", b"attributes-count"];

/// HELLO's fields that say who the server is: Quiver names the release whose commands it has, and has vector sets
/// without a module.
const OWN_GREETING: &[&[u8]] = &[b"id", b"version", b"modules"];

/// ACL LOG's fields that depend on the clock or describe the connection, and the numbering, which other runs advance.
const OWN_LOG: &[&[u8]] =
    &[b"age-seconds", b"client-info", b"entry-id", b"timestamp-created", b"timestamp-last-updated"];

/// Whether the replies to `words` count as equal.
pub fn same(words: &[Vec<u8>], a: &Reply, b: &Reply) -> bool {
    a.raw == b.raw || same_values(words, &a.value, &b.value)
}

/// As [`same`], for replies inside another such as EXEC's.
pub fn same_values(words: &[Vec<u8>], a: &Value, b: &Value) -> bool {
    if let (Value::Error(a), Value::Error(b)) = (a, b) {
        // Quiver's errors are UTF-8, whatever words they quote.
        return known_words(&String::from_utf8_lossy(a)) == known_words(&String::from_utf8_lossy(b));
    }
    if matches!((a, b), (Value::Error(_), _) | (_, Value::Error(_))) {
        return false;
    }
    match rule(words) {
        Rule::Exact => a == b,
        Rule::Clock(tolerance) => close(a, b, tolerance),
        Rule::Unordered(group) => unordered(a, group) == unordered(b, group),
        Rule::Shape => shape(a) == shape(b),
        Rule::Kind => same_type(a, b),
        Rule::Floats => close(a, b, SCORE_TOLERANCE),
        Rule::Ranked => ranked(words, a, b),
        Rule::Facts(own) => facts(a, own) == facts(b, own),
        Rule::EachFacts(own) => each_facts(a, own) == each_facts(b, own),
        Rule::Sets => sorted(a) == sorted(b),
        Rule::Times => without_times(a) == without_times(b),
    }
}

/// An error without the words that only later releases know: the list of classes of events at its end, and policies.
pub(super) fn known_words(error: &str) -> String {
    let error = error.split_once(" Invalid event class character.").map_or(error, |(before, _)| before);
    ["volatile-lrm, ", "allkeys-lrm, "].iter().fold(error.to_owned(), |error, policy| error.replace(policy, ""))
}

fn rule(words: &[Vec<u8>]) -> Rule {
    let lower = |at: usize| words.get(at).map(|word| word.to_ascii_lowercase()).unwrap_or_default();
    match lower(0).as_slice() {
        b"ttl" | b"expiretime" | b"httl" | b"hexpiretime" => Rule::Clock(1.0),
        b"pttl" | b"pexpiretime" | b"hpttl" | b"hpexpiretime" => Rule::Clock(2000.0),
        b"object" if lower(1) == b"idletime" => Rule::Clock(1.0),
        // Which integers are shared is the server's own affair: Redis counts a copied one as its only owner.
        b"object" if lower(1) == b"refcount" => Rule::Kind,
        b"keys" | b"hkeys" | b"hvals" | b"smembers" | b"sinter" | b"sunion" | b"sdiff" => Rule::Unordered(1),
        b"sort" | b"sort_ro" => sort_rule(words),
        b"hgetall" => Rule::Unordered(2),
        b"randomkey" | b"hrandfield" | b"srandmember" | b"spop" | b"vrandmember" | b"zrandmember" | b"dump" => {
            Rule::Shape
        }
        // One call covers what it likes; whole iterations are compared as `Step::Scan`.
        b"scan" | b"hscan" | b"sscan" | b"zscan" => Rule::Shape,
        // Levels are drawn at random, and neighbours follow from them.
        b"vlinks" => Rule::Kind,
        b"vemb" => Rule::Floats,
        b"vsim" => Rule::Ranked,
        b"vinfo" => Rule::Facts(OWN_FACTS),
        b"hello" => Rule::Facts(OWN_GREETING),
        b"client" if matches!(lower(1).as_slice(), b"id" | b"info" | b"list") => Rule::Kind,
        b"xinfo" | b"xpending" => Rule::Times,
        b"time" => Rule::Kind,
        b"memory" if lower(1) == b"usage" => Rule::Kind,
        b"command" if lower(1) == b"list" => Rule::Unordered(1),
        b"command" if lower(1) == b"count" => Rule::Kind,
        // Every command there is, in Quiver's own words.
        b"command" if lower(1) == b"docs" => Rule::Kind,
        b"config" if lower(1) == b"get" => Rule::Unordered(2),
        // Redis 8.0 has no arrays, and so no category of them.
        b"acl" if lower(1) == b"cat" && words.len() == 2 => Rule::Kind,
        b"acl" if lower(1) == b"cat" => Rule::Unordered(1),
        b"acl" if lower(1) == b"genpass" => Rule::Kind,
        // Vector sets are a module of Redis, whose commands are in no category there.
        b"acl" if lower(1) == b"dryrun" && lower(3).starts_with(b"v") => Rule::Kind,
        // What is slow depends on the machine.
        b"slowlog" | b"latency" => Rule::Kind,
        b"acl" if lower(1) == b"log" => Rule::EachFacts(OWN_LOG),
        b"command" if lower(1) == b"info" => Rule::Sets,
        _ => Rule::Exact,
    }
}

/// SORT gives the elements of a set in any order where nothing or only a text that may be the same for several decides.
fn sort_rule(words: &[Vec<u8>]) -> Rule {
    let has = |option: &str| words.iter().skip(2).any(|word| word.eq_ignore_ascii_case(option.as_bytes()));
    let by = words.iter().skip(2).position(|word| word.eq_ignore_ascii_case(b"by"));
    let decided = by.is_none_or(|at| words.get(at + 3).is_some_and(|by| by.contains(&b'*')) && !has("alpha"));
    match decided {
        true => Rule::Exact,
        false if has("limit") => Rule::Shape,
        false => Rule::Unordered(1),
    }
}

fn close(a: &Value, b: &Value, tolerance: f64) -> bool {
    match (a, b) {
        // VEMB RAW of a set without quantisation: 32-bit floats that may differ in their last bit.
        (Value::Array(a), Value::Array(b)) if is_raw_f32(a) && is_raw_f32(b) => {
            floats(&a[1]).iter().zip(floats(&b[1])).all(|(x, y)| f64::from((x - y).abs()) <= tolerance)
                && a[2..].iter().zip(&b[2..]).all(|(a, b)| close(a, b, tolerance))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| close(a, b, tolerance))
        }
        _ if a == b => true,
        // Answers such as -1 and -2 are not times.
        _ => match (a.as_f64(), b.as_f64()) {
            (Some(x), Some(y)) => same_type(a, b) && (x - y).abs() <= tolerance && (x < 0.0) == (y < 0.0),
            _ => false,
        },
    }
}

fn is_raw_f32(items: &[Value]) -> bool {
    matches!(items, [Value::Simple(kind), Value::Bulk(_), _] if kind == b"f32")
}

fn floats(raw: &Value) -> Vec<f32> {
    let bytes = raw.as_bytes().unwrap_or_default();
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn same_type(a: &Value, b: &Value) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

/// The elements in one order of their own.
pub fn unordered(value: &Value, group: usize) -> Vec<String> {
    let mut items: Vec<String> = match value {
        Value::Array(items) | Value::Set(items) => items.chunks(group).map(|items| format!("{items:?}")).collect(),
        Value::Map(pairs) => pairs.iter().map(|pair| format!("{pair:?}")).collect(),
        other => vec![format!("{other:?}")],
    };
    items.sort_unstable();
    // An array and a map of the same elements are different replies.
    items.push(format!("{:?}", std::mem::discriminant(value)));
    items
}

/// Type and number of elements, down to one level of nesting for lists of picks and their values.
fn shape(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("array of {}", items.len()),
        Value::Map(pairs) => format!("map of {}", pairs.len()),
        Value::Set(items) => format!("set of {}", items.len()),
        other => format!("{:?}", std::mem::discriminant(other)),
    }
}

/// XINFO's facts that came with Redis 8.6 and 8.8.
const LATER_FACTS: &[&[u8]] = &[
    b"idmp-duration",
    b"idmp-maxsize",
    b"pids-tracked",
    b"iids-tracked",
    b"iids-added",
    b"iids-duplicates",
    b"nacked-count",
];

/// XINFO's facts that are times or spans.
const TIMES: &[&[u8]] = &[b"idle", b"inactive", b"seen-time", b"active-time"];

/// A time or span as coarse as the servers can agree on.
fn coarse(time: &Value) -> Value {
    match time {
        Value::Integer(ms) if *ms > 1_000_000_000_000 => Value::Integer(ms / 1_000_000_000),
        Value::Integer(ms) if *ms >= 0 => Value::Integer(ms / 250_000),
        other => other.clone(),
    }
}

/// A description of a stream or its pending entries without what the clocks and the later releases put in.
fn without_times(value: &Value) -> Value {
    let named = |name: &Value, names: &[&[u8]]| name.as_bytes().is_some_and(|name| names.contains(&name));
    match value {
        Value::Map(pairs) => {
            let kept = pairs.iter().filter(|(name, _)| !named(name, LATER_FACTS));
            let coarser = |(name, value): &(Value, Value)| {
                (name.clone(), if named(name, TIMES) { coarse(value) } else { without_times(value) })
            };
            Value::Map(kept.map(coarser).collect())
        }
        // A pending entry: id, owner where it is not told otherwise, time, number of deliveries.
        Value::Array(items)
            if matches!(items.as_slice(), [Value::Bulk(_), .., Value::Integer(_), Value::Integer(_)]) =>
        {
            let mut items = items.clone();
            let at = items.len() - 2;
            items[at] = coarse(&items[at]);
            Value::Array(items)
        }
        Value::Array(items) => {
            let mut kept: Vec<Value> = Vec::new();
            let mut items = items.iter();
            while let Some(item) = items.next() {
                if named(item, LATER_FACTS) {
                    items.next();
                } else if kept.last().is_some_and(|name| named(name, TIMES)) {
                    kept.push(coarse(item));
                } else {
                    kept.push(without_times(item));
                }
            }
            Value::Array(kept)
        }
        other => other.clone(),
    }
}

/// The pairs that are not the server's own, and whether they came as a map.
fn facts(value: &Value, own: &[&[u8]]) -> Option<Vec<String>> {
    let pairs = value.clone().into_pairs()?;
    let own = |name: &Value| name.as_bytes().is_some_and(|name| own.contains(&name));
    let mut facts: Vec<String> = pairs.iter().filter(|(name, _)| !own(name)).map(|pair| format!("{pair:?}")).collect();
    facts.push(matches!(value, Value::Map(_)).to_string());
    Some(facts)
}

/// [`facts`] of every element of a list; anything else as it is.
fn each_facts(value: &Value, own: &[&[u8]]) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().map(|item| format!("{:?}", facts(item, own))).collect(),
        other => vec![format!("{other:?}")],
    }
}

/// The name of COMMAND INFO's remarks about a key, which Quiver does not have.
fn is_notes(name: &Value) -> bool {
    name.as_bytes() == Some(b"notes")
}

/// The value with the members of its lists of flags in order. RESP2 sends those as arrays, so an array of words counts
/// as a set; other arrays keep their order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) | Value::Set(items) => {
            let mut items: Vec<Value> = items.iter().map(sorted).collect();
            if matches!(value, Value::Set(_)) || items.iter().all(|item| matches!(item, Value::Simple(_))) {
                items.sort_by_key(|item| format!("{item:?}"));
            }
            if items.first().is_some_and(is_notes) {
                items.drain(..2.min(items.len()));
            }
            if matches!(value, Value::Set(_)) { Value::Set(items) } else { Value::Array(items) }
        }
        Value::Map(pairs) => {
            let kept = pairs.iter().filter(|(name, _)| !is_notes(name));
            Value::Map(kept.map(|(name, value)| (name.clone(), sorted(value))).collect())
        }
        other => other.clone(),
    }
}

/// Results of VSIM: the same elements with close scores; those that tie with the last place may be others.
fn ranked(words: &[Vec<u8>], a: &Value, b: &Value) -> bool {
    let has = |word: &str| words.iter().any(|w| w.eq_ignore_ascii_case(word.as_bytes()));
    let (Some(x), Some(y)) = (results(words, a), results(words, b)) else { return a == b };
    if !same_type(a, b) || x.len() != y.len() {
        return false;
    }
    if !has("withscores") {
        return names(&x) == names(&y);
    }
    let last = x.iter().chain(&y).filter_map(|result| result.score).fold(f64::INFINITY, f64::min);
    let clear = |results: &[Found]| -> Vec<Found> {
        let mut kept: Vec<Found> =
            results.iter().filter(|r| r.score.is_none_or(|s| s > last + SCORE_TOLERANCE)).cloned().collect();
        kept.sort_by(|a, b| a.name.cmp(&b.name));
        kept
    };
    let near = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= SCORE_TOLERANCE,
        (a, b) => a == b,
    };
    let in_order = x.iter().zip(&y).all(|(a, b)| near(a.score, b.score));
    let (x, y) = (clear(&x), clear(&y));
    in_order && x.len() == y.len() && x.iter().zip(&y).all(|(a, b)| a.name == b.name && a.attributes == b.attributes)
}

/// One result of VSIM.
#[derive(Clone, Debug)]
struct Found {
    name: String,
    score: Option<f64>,
    attributes: Option<String>,
}

fn names(results: &[Found]) -> Vec<&str> {
    let mut names: Vec<&str> = results.iter().map(|result| result.name.as_str()).collect();
    names.sort_unstable();
    names
}

/// Reads VSIM's reply in any of its shapes: flat in RESP2, a map to a score or to a pair in RESP3.
fn results(words: &[Vec<u8>], value: &Value) -> Option<Vec<Found>> {
    let has = |word: &str| words.iter().any(|w| w.eq_ignore_ascii_case(word.as_bytes()));
    let (with_scores, with_attributes) = (has("withscores"), has("withattribs"));
    let rows: Vec<Vec<Value>> = match value {
        Value::Array(items) => {
            let width = 1 + usize::from(with_scores) + usize::from(with_attributes);
            items.chunks(width).map(<[Value]>::to_vec).collect()
        }
        Value::Map(pairs) => pairs
            .iter()
            .map(|(name, rest)| match rest {
                Value::Array(rest) => [vec![name.clone()], rest.clone()].concat(),
                one => vec![name.clone(), one.clone()],
            })
            .collect(),
        _ => return None,
    };
    rows.into_iter()
        .map(|row| {
            let mut row = row.into_iter();
            let name = format!("{:?}", row.next()?.as_bytes()?.escape_ascii().to_string());
            let score = if with_scores { Some(row.next()?.as_f64()?) } else { None };
            let attributes = if with_attributes { Some(format!("{:?}", row.next()?)) } else { None };
            Some(Found { name, score, attributes })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<Vec<u8>> {
        line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
    }

    fn bulks(items: &[&str]) -> Value {
        Value::Array(items.iter().map(|item| Value::Bulk(item.as_bytes().to_vec())).collect())
    }

    #[test]
    fn clocks_may_differ_a_little_but_not_in_meaning() {
        assert!(same_values(&words("PTTL k"), &Value::Integer(99_990), &Value::Integer(100_000)));
        assert!(!same_values(&words("pttl k"), &Value::Integer(-1), &Value::Integer(0)));
        assert!(!same_values(&words("ttl k"), &Value::Integer(10), &Value::Integer(12)));
        assert!(!same_values(&words("strlen k"), &Value::Integer(10), &Value::Integer(11)));
    }

    #[test]
    fn order_is_free_only_where_the_command_says_so() {
        let (ab, ba) = (bulks(&["a", "b"]), bulks(&["b", "a"]));
        assert!(same_values(&words("keys *"), &ab, &ba));
        assert!(!same_values(&words("mget a b"), &ab, &ba));
        assert!(!same_values(&words("hgetall h"), &bulks(&["a", "1", "b", "2"]), &bulks(&["a", "2", "b", "1"])));
        assert!(same_values(&words("hgetall h"), &bulks(&["a", "1", "b", "2"]), &bulks(&["b", "2", "a", "1"])));
    }

    #[test]
    fn random_picks_keep_their_number_and_errors_their_text() {
        assert!(same_values(&words("hrandfield h 2"), &bulks(&["a", "b"]), &bulks(&["c", "a"])));
        assert!(!same_values(&words("hrandfield h 2"), &bulks(&["a", "b"]), &bulks(&["c"])));
        let (a, b) = (Value::Error(b"ERR x".to_vec()), Value::Error(b"ERR y".to_vec()));
        assert!(!same_values(&words("hrandfield h"), &a, &b));
    }

    #[test]
    fn results_that_tie_with_the_last_place_may_differ_and_others_not() {
        let line = words("vsim v ele e withscores");
        let a = bulks(&["e", "1", "f", "0.9", "g", "0.5"]);
        assert!(same_values(&line, &a, &bulks(&["e", "1", "f", "0.9001", "h", "0.5"])));
        assert!(!same_values(&line, &a, &bulks(&["e", "1", "x", "0.9", "g", "0.5"])));
        assert!(!same_values(&line, &a, &bulks(&["e", "1", "f", "0.8", "g", "0.5"])));
        assert!(!same_values(&words("vsim v ele e"), &bulks(&["e", "f"]), &bulks(&["e", "g"])));
    }
}
