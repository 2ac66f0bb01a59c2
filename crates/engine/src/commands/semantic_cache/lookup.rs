//! SC.GET: the response to the same prompt, or to a similar one.

use quiver_resp::Argv;

use super::inner;
use super::keys::{Cache, id_of, space};
use super::remove::{forget, purge};
use super::request::Request;
use super::settings::Settings;
use super::store::expire;
use crate::command::CommandResult;
use crate::commands::vset::{dim_mismatch, refused, with_warm};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::KeyHasher;
use crate::number::{IntText, parse_i64};
use crate::object::SharedVectorSet;
use crate::types::hash::{Hash, ItemText};
use crate::types::vset::{Effort, Query, similarity};

/// Candidates kept during the walk through the graph.
const EF: usize = 100;

/// Nearest entries looked at: the first may be gone by the memory limit of the server.
const NEAREST: usize = 4;

/// How an entry was found.
struct Found {
    id: Vec<u8>,
    exact: bool,
    score: f64,
    entry: Entry,
}

/// What is stored of an entry.
struct Entry {
    prompt: Vec<u8>,
    response: Vec<u8>,
    metadata: Option<Vec<u8>>,
    created_ms: i64,
    sliding_ms: Option<i64>,
    expires_at: Option<i64>,
}

/// `SC.GET cache [PROMPT prompt] [FP32 blob] [SCOPE scope] [MODEL model] [THRESHOLD score] [FILTER expression]`
pub(super) fn get(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let options = ["PROMPT", "FP32", "VALUES", "SCOPE", "MODEL", "THRESHOLD", "FILTER"];
    let request = Request::parse(ctx, argv, &options)?;
    if request.prompt.is_none() && request.vector.is_empty() {
        return Err(CommandError::text("ERR PROMPT or an embedding is needed"));
    }
    let Some(cache) = Cache::open(ctx, argv)? else { return Ok(()) };
    let space = space(request.model(), request.scope())?;
    let settings = Settings::of(ctx, &cache);
    let threshold = request.threshold.unwrap_or(settings.threshold);
    check_vectors(ctx, &cache, &request, &space)?;
    let there = ctx.ks.value::<Hash>(KeyHasher.key(cache.name))?.is_some();
    let nearest = nearest(ctx, &cache, &request, &space)?;
    purge(ctx, &cache)?;
    let found = match exact(ctx, &cache, &request) {
        Some(found) => Some(found),
        None => semantic(ctx, &cache, &request, &nearest)?,
    };
    let (counter, hit) = match found {
        Some(found) if found.exact => ("exact-hits", Some(found)),
        Some(found) if found.score >= threshold => ("semantic-hits", Some(found)),
        Some(found) if found.score >= settings.near.min(threshold) => ("near-misses", None),
        _ => ("misses", None),
    };
    if there {
        inner::count(ctx, cache.name, counter, 1)?;
    }
    match hit {
        Some(found) => answer(ctx, &cache, &space, found)?,
        None => ctx.reply.null(),
    }
    inner::end(ctx);
    Ok(())
}

/// Refuses an embedding that does not go with those of the space, before anything is done.
fn check_vectors(ctx: &mut Ctx<'_>, cache: &Cache<'_>, request: &Request<'_>, space: &[u8]) -> CommandResult {
    let name = cache.vectors(space);
    let Some(set) = ctx.ks.value_mut::<SharedVectorSet>(KeyHasher.key(&name))? else { return Ok(()) };
    let (set, got) = (set.read_recursive(), request.vector.len());
    if got > 0 && !set.takes(got) { Err(dim_mismatch(got, &set)) } else { Ok(()) }
}

/// The entry of the prompt itself.
fn exact(ctx: &Ctx<'_>, cache: &Cache<'_>, request: &Request<'_>) -> Option<Found> {
    let prompt = request.prompt?;
    let id = id_of(request.model(), request.scope(), prompt);
    let entry = entry(ctx, cache, request, &id).filter(|entry| entry.prompt == prompt)?;
    Some(Found { id, exact: true, score: 1.0, entry })
}

/// The nearest entries of the space and their similarity.
fn nearest(
    ctx: &Ctx<'_>,
    cache: &Cache<'_>,
    request: &Request<'_>,
    space: &[u8],
) -> Result<Vec<(Vec<u8>, f64)>, CommandError> {
    let Some(set) = cache.vectors_of(ctx, space).filter(|_| !request.vector.is_empty()) else { return Ok(Vec::new()) };
    // Not behind a change that waits for others' searches: the shard is locked.
    let set = set.read_recursive();
    let effort = Effort { as_of: ctx.ks.as_of(), ..Effort::new(NEAREST, EF) };
    let filter = request.filter.as_ref().map(|(text, filter)| (*text, filter));
    with_warm(|warm| {
        set.search(Query::Vector(&request.vector), effort, filter, &mut warm.search).map_err(refused)?;
        let found = warm.search.found.iter();
        Ok(found.map(|neighbor| (set.name(neighbor.slot).to_vec(), similarity(neighbor.distance))).collect())
    })
}

/// The nearest entry that is there. One whose hash is gone, as by the server's own eviction, goes altogether.
fn semantic(
    ctx: &mut Ctx<'_>,
    cache: &Cache<'_>,
    request: &Request<'_>,
    nearest: &[(Vec<u8>, f64)],
) -> Result<Option<Found>, CommandError> {
    for (id, score) in nearest {
        match entry(ctx, cache, request, id) {
            Some(entry) => return Ok(Some(Found { id: id.clone(), exact: false, score: *score, entry })),
            None if !ctx.ks.contains(KeyHasher.key(&cache.entry(id))) => {
                forget(ctx, cache, id)?;
            }
            None => {}
        }
    }
    Ok(None)
}

/// What is stored under an id, if it is of the scope and model asked for and the filter accepts it.
fn entry(ctx: &Ctx<'_>, cache: &Cache<'_>, request: &Request<'_>, id: &[u8]) -> Option<Entry> {
    let (name, as_of) = (cache.entry(id), ctx.ks.as_of());
    let key = KeyHasher.key(&name);
    let hash = ctx.ks.seen::<Hash>(&key)?;
    let field = |name: &str| Some(ItemText::new(hash.get(name.as_bytes(), as_of)?).as_bytes().to_vec());
    let integer = |name: &str| parse_i64(&field(name)?);
    let metadata = field("metadata");
    let fits = field("scope")? == request.scope() && field("model")? == request.model();
    let accepted =
        request.filter.as_ref().is_none_or(|(_, filter)| filter.accepts(metadata.as_deref().unwrap_or_default()));
    if !fits || !accepted {
        return None;
    }
    Some(Entry {
        prompt: field("prompt")?,
        response: field("response")?,
        metadata,
        created_ms: integer("created").unwrap_or(0),
        sliding_ms: integer("sliding-ms"),
        expires_at: ctx.ks.stored(&key).and_then(|entry| entry.expire_at()),
    })
}

/// Notes the use of an entry, and answers it.
fn answer(ctx: &mut Ctx<'_>, cache: &Cache<'_>, space: &[u8], found: Found) -> CommandResult {
    let Found { id, exact, score, mut entry } = found;
    let now_ms = ctx.ks.now_ms;
    if let Some(life_ms) = entry.sliding_ms.filter(|_| entry.expires_at.is_some()) {
        let at_ms = now_ms.saturating_add(life_ms);
        entry.expires_at = Some(at_ms);
        expire(ctx, cache, &id, space, at_ms)?;
    }
    inner::run(ctx, "zadd", &[&cache.used, IntText::new(now_ms).as_bytes(), &id])?;
    ctx.reply.map(8);
    for (name, text) in [
        ("id", id.as_slice()),
        ("match", if exact { b"exact".as_slice() } else { b"semantic" }),
        ("prompt", entry.prompt.as_slice()),
        ("response", entry.response.as_slice()),
    ] {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.bulk(text);
    }
    ctx.reply.bulk(b"score");
    ctx.reply.double(score);
    ctx.reply.bulk(b"metadata");
    match &entry.metadata {
        Some(metadata) => ctx.reply.bulk(metadata),
        None => ctx.reply.null(),
    }
    ctx.reply.bulk(b"created");
    ctx.reply.integer(entry.created_ms);
    ctx.reply.bulk(b"ttl-ms");
    match entry.expires_at {
        Some(at_ms) => ctx.reply.integer((at_ms - now_ms).max(0)),
        None => ctx.reply.null(),
    }
    Ok(())
}
