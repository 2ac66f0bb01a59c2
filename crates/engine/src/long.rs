//! Which commands take long enough to be run away from a thread that has other connections to serve.
//!
//! Such a thread runs commands in place ([`Session::yields`](crate::session::Session) says that it is one). A command
//! that would hold it for the better part of a millisecond is not run but given back as [`Pause::Long`], and so is one
//! whose shards are held by somebody else for that long ([`Pause::Locked`]). What a command costs is told from its words
//! and the sizes of its keys before it runs: commands that look at whole collections are named here, all others are
//! judged by the number of their words alone.
//!
//! Not done here: making long commands short. The shards of their keys stay locked while they run.

use std::time::Duration;

use quiver_resp::Argv;
use quiver_structures::ValueRef;

use crate::command::{Flags, Locks};
use crate::commands::args::is;
use crate::context::Ctx;
use crate::keyspace::{KeyHasher, Keyspace};
use crate::number::parse_i64;
use crate::object::{Object, SharedVectorSet};
use crate::registry::Entry;
use crate::session::{Pause, Session};

/// Elements from which on a command is long: half a millisecond or so.
const LONG_ELEMENTS: usize = 10_000;

/// Words from which on a command is long that adds an element of a graph with each. Fewer never wait for others that do
/// the same.
const LONG_ADDITIONS: usize = 12;

/// Bytes of a string that are worked through as fast as one element is.
const BYTES_PER_ELEMENT: usize = 1024;

/// Elements that take as long as the product of two [`BYTES_PER_ELEMENT`].
const PRODUCT_UNIT: usize = BYTES_PER_ELEMENT * BYTES_PER_ELEMENT / 32;

/// Values a row is taken for.
const VALUES_PER_ROW: usize = 20;

/// For commands that give a part of a collection they alone can tell the size of: the share of it they are taken for.
const UNKNOWN_SHARE: usize = 16;

/// How the work of a command grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// With its words only.
    Words,
    /// With all of its keys' elements.
    Sum,
    /// With the elements of the smallest of its keys.
    Smallest,
    /// With the product of its keys' sizes.
    Product,
    /// With the distance between the two indices behind the key.
    Indices,
    /// With some part of the elements, unless COUNT or LIMIT says how many.
    Part,
    /// With the number behind the key.
    Number,
    /// With the number behind COUNT.
    Count,
    /// With the elements of a vector set that a search looks at; and with the changes it has to wait for.
    Search,
    /// With the searches of a vector set that a change has to wait for.
    Change,
    /// With the words, each of which may be a row of many values.
    Rows,
    /// With its words, each of which is as long as a search; and with the searches it has to wait for.
    Additions,
    /// With the keyspace or the disk.
    Keyspace,
}

const COSTS: &[(Cost, &[&str])] = &[
    (
        Cost::Sum,
        &[
            "bitcount",
            "bitop",
            "bitpos",
            "copy",
            "digest",
            "dump",
            "getrange",
            "hgetall",
            "hkeys",
            "hvals",
            "linsert",
            "lpos",
            "lrem",
            "pfmerge",
            "sdiff",
            "sdiffcard",
            "sdiffstore",
            "smembers",
            "sort",
            "sort_ro",
            "substr",
            "sunion",
            "sunioncard",
            "sunionstore",
            "vrange",
            "zdiff",
            "zdiffstore",
            "zunion",
            "zunionstore",
        ],
    ),
    (Cost::Smallest, &["sinter", "sintercard", "sinterstore", "zinter", "zintercard", "zinterstore"]),
    (Cost::Product, &["lcs"]),
    (Cost::Indices, &["lrange", "zrange", "zrevrange", "zremrangebyrank"]),
    (
        Cost::Part,
        &[
            "ardelrange",
            "argetrange",
            "argrep",
            "arop",
            "arscan",
            "georadius",
            "georadius_ro",
            "georadiusbymember",
            "georadiusbymember_ro",
            "geosearch",
            "geosearchstore",
            "xrange",
            "xrevrange",
            "zrangebylex",
            "zrangebyscore",
            "zrangestore",
            "zremrangebylex",
            "zremrangebyscore",
            "zrevrangebylex",
            "zrevrangebyscore",
        ],
    ),
    (
        Cost::Number,
        &[
            "arlastitems",
            "hrandfield",
            "lpop",
            "rpop",
            "spop",
            "srandmember",
            "vrandmember",
            "zpopmax",
            "zpopmin",
            "zrandmember",
        ],
    ),
    (Cost::Count, &["hscan", "lmovem", "lmpop", "scan", "sscan", "xautoclaim", "zmpop", "zscan"]),
    (Cost::Search, &["vmsim", "vrecommend", "vsim"]),
    (Cost::Change, &["vadd", "vexpire", "vexpireat", "vpersist", "vpexpire", "vpexpireat", "vrem", "vsetattr"]),
    (Cost::Additions, &["vmadd"]),
    (Cost::Rows, &["feat.get"]),
    (
        Cost::Keyspace,
        &[
            "debug",
            "ft.aggregate",
            "ft.hybrid",
            "ft.info",
            "ft.profile",
            "ft.search",
            "ft.spellcheck",
            "ft.tagvals",
            "keys",
            "migrate",
            "save",
            "sc.drop",
            "sc.invalidate",
            "shutdown",
            "vindex",
        ],
    ),
];

impl Cost {
    /// The cost of a command or subcommand by its full name.
    pub fn of(full_name: &str) -> Self {
        let found = COSTS.iter().find(|(_, names)| names.contains(&full_name));
        found.map_or(Self::Words, |(cost, _)| *cost)
    }
}

/// Whether a command is long whatever its keys hold.
#[inline]
pub(crate) fn is_long_by_words(session: &Session, entry: &Entry, argv: Argv<'_>) -> bool {
    (entry.may_be_long || argv.len() > LONG_ELEMENTS) && words_are_long(session, entry, argv)
}

fn words_are_long(session: &Session, entry: &Entry, argv: Argv<'_>) -> bool {
    if entry.command.flags.has(Flags::BLOCKING) {
        // It may wait, and how long it takes to wait is not its length.
        return false;
    }
    if argv.len() > LONG_ELEMENTS {
        return true;
    }
    match entry.cost {
        Cost::Keyspace => true,
        Cost::Rows => argv.len() > LONG_ELEMENTS / VALUES_PER_ROW,
        Cost::Additions => argv.len() > LONG_ADDITIONS,
        Cost::Number => argv.get(2).is_some_and(is_many),
        Cost::Count => number_behind(argv, b"count").is_some_and(is_many),
        _ if entry.command.locks == Locks::Transaction => {
            session.multi.as_ref().is_some_and(|multi| multi.queue.len() > LONG_ELEMENTS / 10)
        }
        _ => false,
    }
}

/// Whether a command is long for what its keys hold, so far as their shards are locked.
#[inline]
pub(crate) fn is_long_by_keys(ks: &Keyspace<'_>, entry: &Entry, argv: Argv<'_>) -> bool {
    match entry.cost {
        Cost::Words | Cost::Number | Cost::Count | Cost::Rows | Cost::Keyspace => false,
        // They wait with no shard held, and give themselves back.
        Cost::Change | Cost::Additions => false,
        Cost::Search if set_at(ks, argv).is_some_and(|set| set.try_read_for(PATIENCE).is_none()) => true,
        cost => elements(ks, entry, argv, cost) > LONG_ELEMENTS,
    }
}

/// Whether a command is about to change what the running snapshot has not seen yet and is not to be copied in passing.
pub(crate) fn waits_for_snapshot(ks: &Keyspace<'_>, entry: &Entry, argv: Argv<'_>) -> bool {
    entry.command.flags.has(Flags::WRITE)
        && entry.key_positions(argv).filter_map(|at| argv.get(at)).any(|name| ks.snapshot_defers(&KeyHasher.key(name)))
}

fn elements(ks: &Keyspace<'_>, entry: &Entry, argv: Argv<'_>, cost: Cost) -> usize {
    let sizes = || entry.key_positions(argv).filter_map(|at| argv.get(at)).map(|name| size(ks, name));
    match cost {
        Cost::Smallest => sizes().min().unwrap_or(0).saturating_mul(sizes().count()),
        // Strings of less than a kilobyte are short in any product.
        Cost::Product => sizes().fold(PRODUCT_UNIT, usize::saturating_mul),
        Cost::Indices if argv.len() == 4 => {
            let size = sizes().next().unwrap_or(0);
            distance(argv.at(2), argv.at(3), size).unwrap_or(0)
        }
        Cost::Indices | Cost::Part => {
            let said = [b"count".as_slice(), b"limit"].into_iter().any(|word| number_behind(argv, word).is_some());
            if said { 0 } else { sizes().sum::<usize>() / UNKNOWN_SHARE }
        }
        Cost::Search => sizes().next().map_or(0, |size| searched(argv, size)).saturating_mul(queries(entry, argv)),
        _ => sizes().sum(),
    }
}

/// Whether a command of a script takes long.
pub(crate) fn is_long(ctx: &Ctx<'_>, entry: &Entry, argv: Argv<'_>) -> bool {
    let changes = matches!(entry.cost, Cost::Change | Cost::Additions);
    let busy = || set_at(&ctx.ks, argv).is_some_and(|set| set.try_write_for(PATIENCE).is_none());
    words_are_long(ctx.session, entry, argv) || is_long_by_keys(&ctx.ks, entry, argv) || changes && busy()
}

/// How long a turn waits for others to be done with a vector set. Ordinary searches are shorter.
pub(crate) const PATIENCE: Duration = Duration::from_micros(200);

/// The vector set under the key behind the command's name.
fn set_at<'k>(ks: &'k Keyspace<'_>, argv: Argv<'_>) -> Option<&'k SharedVectorSet> {
    let key = KeyHasher.key(argv.get(1)?);
    if ks.locked() & key.shard_set() == 0 {
        return None;
    }
    match ks.stored(&key).map(|entry| entry.value()) {
        Some(ValueRef::Object(Object::VectorSet(set))) => Some(set),
        _ => None,
    }
}

/// Elements a candidate of a walk stands for: its neighbours are measured.
const PER_CANDIDATE: usize = 16;

/// Words at the end of a search among which its options are; what is before them is a vector.
const OPTION_WORDS: usize = 24;

/// Elements a search among `size` looks at: all, where an option may ask for that.
fn searched(argv: Argv<'_>, size: usize) -> usize {
    let options = argv.from(argv.len().saturating_sub(OPTION_WORDS).max(2));
    let has = |words: &[&str]| options.iter().any(|option| words.iter().any(|word| is(option, word)));
    if has(&["TRUTH", "RECALL", "FILTER", "GROUPBY"]) {
        return size;
    }
    let numbers = ["COUNT", "EF"].into_iter().filter_map(|word| {
        let at = (0..options.len()).find(|at| is(options.at(*at), word))?;
        parse_i64(options.get(at + 1)?)
    });
    let candidates = usize::try_from(numbers.max().unwrap_or(0)).unwrap_or(0);
    candidates.saturating_mul(PER_CANDIDATE).min(size)
}

/// Queries of one search.
fn queries(entry: &Entry, argv: Argv<'_>) -> usize {
    let said = argv.get(2).filter(|_| entry.full_name == "vmsim").and_then(parse_i64);
    said.map_or(1, |queries| usize::try_from(queries).unwrap_or(0).min(argv.len()))
}

/// Elements under a key; of a string what takes as long.
fn size(ks: &Keyspace<'_>, name: &[u8]) -> usize {
    let key = KeyHasher.key(name);
    if ks.locked() & key.shard_set() == 0 {
        return 0;
    }
    match ks.stored(&key).map(|entry| entry.value()) {
        Some(ValueRef::Object(object)) => object.len(),
        Some(ValueRef::Bytes(bytes)) => bytes.len() / BYTES_PER_ELEMENT,
        Some(ValueRef::Int(_)) | None => 0,
    }
}

/// Elements between two indices of a collection, which count from its end below 0.
fn distance(start: &[u8], end: &[u8], size: usize) -> Option<usize> {
    let size = size as i64;
    let index = |text: &[u8]| parse_i64(text).map(|at| if at < 0 { at.saturating_add(size) } else { at });
    let (start, end) = (index(start)?.max(0), index(end)?.min(size - 1));
    usize::try_from(end.saturating_sub(start).saturating_add(1)).ok()
}

fn is_many(text: &[u8]) -> bool {
    parse_i64(text).is_some_and(|number| number.unsigned_abs() > LONG_ELEMENTS as u64)
}

fn number_behind<'a>(argv: Argv<'a>, word: &[u8]) -> Option<&'a [u8]> {
    let at = (2..argv.len()).find(|at| argv.at(*at).eq_ignore_ascii_case(word))?;
    argv.get(at + 1)
}

impl Session {
    /// Leaves the command that comes next for later; gives `false`, that it did not run.
    pub(crate) fn pause(&mut self, pause: Pause) -> bool {
        self.pause = Some(pause);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::registry;

    #[test]
    fn no_pair_of_indices_is_too_far_apart() {
        let ends = ["0", "-1", "5", "9223372036854775807", "-9223372036854775808"];
        for (start, end) in ends.iter().flat_map(|start| ends.iter().map(move |end| (start, end))) {
            assert!(distance(start.as_bytes(), end.as_bytes(), 3).is_none_or(|count| count <= 3), "{start} {end}");
        }
    }

    #[test]
    fn a_cost_is_known_for_names_that_exist_once_each() {
        let names: Vec<_> = COSTS.iter().flat_map(|(_, names)| names.iter()).collect();
        for (i, name) in names.iter().enumerate() {
            assert!(!names[..i].contains(name), "{name} has two costs");
            assert!(registry().find(name.as_bytes()).is_some(), "{name} does not exist");
        }
        assert_eq!(registry().find(b"keys").map(|entry| entry.cost), Some(Cost::Keyspace));
        assert_eq!(registry().find(b"get").map(|entry| entry.cost), Some(Cost::Words));
    }

    #[test]
    fn indices_count_from_both_ends() {
        let distance = |start: &str, end: &str| distance(start.as_bytes(), end.as_bytes(), 100);
        assert_eq!(distance("0", "-1"), Some(100));
        assert_eq!(distance("-10", "-1"), Some(10));
        assert_eq!(distance("-1000", "1000"), Some(100));
        assert_eq!(distance("90", "20"), None);
        assert_eq!(distance("x", "20"), None);
    }
}
