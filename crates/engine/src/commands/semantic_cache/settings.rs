//! SC.CONFIG and SC.STATS: what is set for a cache, and what it has done.

use quiver_resp::Argv;

use super::inner;
use super::keys::Cache;
use super::request::{EXPIRY_MAX_MS, score};
use crate::command::CommandResult;
use crate::commands::args::{Options, integer, is};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::KeyHasher;
use crate::number::{parse_f64, parse_i64};
use crate::types::hash::{Hash, ItemText};
use crate::types::zset::{ScoreRange, SortedSet};

/// How a cache behaves. The fields of its key have the names that SC.STATS shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    /// Least similarity of a hit.
    pub(super) threshold: f64,
    /// Least similarity of a near miss.
    pub(super) near: f64,
    /// How long entries live that do not say; 0 for ever.
    pub(super) ttl_ms: i64,
    /// A hit makes them live as long again.
    pub(super) sliding: bool,
    /// Most bytes of all entries; 0 for no bound.
    pub(super) max_bytes: i64,
    /// Most entries; 0 for no bound.
    pub(super) max_entries: i64,
}

/// Counters, in the order in which SC.STATS shows them.
const COUNTERS: [&str; 8] =
    ["exact-hits", "semantic-hits", "near-misses", "misses", "stored", "evicted", "expired", "invalidated"];

/// How far below the threshold a near miss may be, where that is not set.
const NEAR_MARGIN: f64 = 0.05;

impl Settings {
    /// The settings of a cache; the defaults where it has none.
    pub(super) fn of(ctx: &Ctx<'_>, cache: &Cache<'_>) -> Self {
        let number = |name: &str| text(ctx, cache.name, name).and_then(|text| parse_f64(&text));
        let integer = |name: &str| text(ctx, cache.name, name).and_then(|text| parse_i64(&text));
        let threshold = number("threshold").unwrap_or(0.95);
        Self {
            threshold,
            near: number("near").unwrap_or((threshold - NEAR_MARGIN).max(0.0)),
            ttl_ms: integer("ttl-ms").unwrap_or(0),
            sliding: integer("sliding") == Some(1),
            max_bytes: integer("max-bytes").unwrap_or(256 << 20),
            max_entries: integer("max-entries").unwrap_or(0),
        }
    }
}

/// A field of a hash.
pub(super) fn text(ctx: &Ctx<'_>, key: &[u8], field: &str) -> Option<Vec<u8>> {
    let hash = ctx.ks.seen::<Hash>(&KeyHasher.key(key))?;
    Some(ItemText::new(hash.get(field.as_bytes(), ctx.ks.as_of())?).as_bytes().to_vec())
}

/// A counter of a cache.
pub(super) fn counter(ctx: &Ctx<'_>, cache: &Cache<'_>, name: &str) -> i64 {
    text(ctx, cache.name, name).and_then(|text| parse_i64(&text)).unwrap_or(0)
}

/// Entries of a cache, those whose time is over not counted.
pub(super) fn entries(ctx: &Ctx<'_>, cache: &Cache<'_>) -> usize {
    let len = ctx.ks.seen::<SortedSet>(&KeyHasher.key(&cache.used)).map_or(0, SortedSet::len);
    let over =
        ScoreRange { min: f64::NEG_INFINITY, max: ctx.ks.now_ms as f64, min_excluded: false, max_excluded: false };
    let due = ctx.ks.seen::<SortedSet>(&KeyHasher.key(&cache.due)).map_or(0, |due| due.ranks_of_scores(&over).len());
    len.saturating_sub(due)
}

/// `SC.CONFIG cache [THRESHOLD score] [NEAR score] [TTL seconds] [SLIDING | ABSOLUTE] [MAXBYTES n] [MAXENTRIES n]`
pub(super) fn config(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let mut words: Vec<Vec<u8>> = vec![argv.at(1).to_vec()];
    let mut options = Options::new(argv, 2);
    let mut set = |field: &str, value: &[u8]| words.extend([field.as_bytes().to_vec(), value.to_vec()]);
    while let Some(word) = options.next() {
        if is(word, "SLIDING") || is(word, "ABSOLUTE") {
            set("sliding", if is(word, "SLIDING") { b"1" } else { b"0" });
        } else if is(word, "THRESHOLD") {
            set("threshold", score(options.value()?, "THRESHOLD").map(|score| score.to_string())?.as_bytes());
        } else if is(word, "NEAR") {
            set("near", score(options.value()?, "NEAR").map(|score| score.to_string())?.as_bytes());
        } else if is(word, "TTL") {
            let ttl_ms = bounded(options.value()?, EXPIRY_MAX_MS / 2 / 1000)? * 1000;
            set("ttl-ms", ttl_ms.to_string().as_bytes());
        } else if is(word, "MAXBYTES") {
            set("max-bytes", bounded(options.value()?, i64::MAX)?.to_string().as_bytes());
        } else if is(word, "MAXENTRIES") {
            set("max-entries", bounded(options.value()?, i64::MAX)?.to_string().as_bytes());
        } else {
            return Err(CommandError::Syntax);
        }
    }
    let Some(cache) = Cache::open(ctx, argv)? else { return Ok(()) };
    if words.len() == 1 && text(ctx, cache.name, "threshold").is_none() {
        // So that there is a key.
        words.extend([b"threshold".to_vec(), Settings::of(ctx, &cache).threshold.to_string().into_bytes()]);
    }
    if words.len() > 1 {
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        inner::run(ctx, "hset", &words)?;
    }
    inner::end(ctx);
    ctx.reply.ok();
    Ok(())
}

fn bounded(text: &[u8], max: i64) -> Result<i64, CommandError> {
    Some(integer(text)?).filter(|value| (0..=max).contains(value)).ok_or(CommandError::OutOfRange)
}

/// `SC.STATS cache`
pub(super) fn stats(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let Some(cache) = Cache::open(ctx, argv)? else { return Ok(()) };
    if ctx.ks.value::<Hash>(KeyHasher.key(cache.name))?.is_none() {
        return Err(CommandError::NoSuchKey);
    }
    let settings = Settings::of(ctx, &cache);
    let [exact, semantic, near, misses] =
        ["exact-hits", "semantic-hits", "near-misses", "misses"].map(|name| counter(ctx, &cache, name));
    let (hits, asked) = (exact + semantic, exact + semantic + near + misses);
    let integers = [
        ("entries", entries(ctx, &cache) as i64),
        ("bytes", counter(ctx, &cache, "bytes")),
        ("max-bytes", settings.max_bytes),
        ("max-entries", settings.max_entries),
        ("ttl-ms", settings.ttl_ms),
        ("sliding", i64::from(settings.sliding)),
    ];
    let counters = COUNTERS.map(|name| (name, counter(ctx, &cache, name)));
    let doubles = [
        ("threshold", settings.threshold),
        ("near", settings.near),
        ("hit-rate", if asked == 0 { 0.0 } else { hits as f64 / asked as f64 }),
    ];
    ctx.reply.map(integers.len() + counters.len() + doubles.len());
    for (name, value) in integers.into_iter().chain(counters) {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.integer(value);
    }
    for (name, value) in doubles {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.double(value);
    }
    Ok(())
}
