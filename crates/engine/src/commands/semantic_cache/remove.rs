//! How entries go: because their time is over, because there is no room, or because somebody says so (SC.INVALIDATE,
//! SC.DROP).

use quiver_resp::Argv;

use super::inner;
use super::keys::{Cache, id_of, parts_of};
use super::request::Request;
use super::settings::{Settings, counter};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::KeyHasher;
use crate::number::parse_i64;
use crate::types::hash::{AsOf, Hash, ItemText};
use crate::types::set::Set;
use crate::types::zset::SortedSet;

/// Entries that one command takes out because their time is over.
const PURGED_MAX: usize = 16;

/// Entries that one command takes out because there is no room. It stores one, so that only ever falls short for a while
/// after the bound was lowered.
const EVICTED_MAX: usize = 64;

/// Takes an entry out of everything; `false` when there is none.
pub(super) fn forget(ctx: &mut Ctx<'_>, cache: &Cache<'_>, id: &[u8]) -> Result<bool, CommandError> {
    let indexed = ctx.ks.seen::<Hash>(&KeyHasher.key(&cache.index)).and_then(|index| index.get(id, AsOf::ALL));
    let Some(indexed) = indexed.map(|item| ItemText::new(item).as_bytes().to_vec()) else { return Ok(false) };
    let end = indexed.iter().position(|byte| *byte == b' ').unwrap_or(indexed.len());
    let (bytes, space) = (parse_i64(&indexed[..end]).unwrap_or(0), indexed.get(end + 1..).unwrap_or_default());
    inner::run(ctx, "del", &[&cache.entry(id)])?;
    if cache.vectors_of(ctx, space).is_some() {
        inner::run(ctx, "vrem", &[&cache.vectors(space), id])?;
    }
    if cache.vectors_of(ctx, space).is_none() {
        inner::run(ctx, "srem", &[&cache.spaces, space])?;
    }
    inner::run(ctx, "zrem", &[&cache.used, id])?;
    inner::run(ctx, "zrem", &[&cache.due, id])?;
    inner::run(ctx, "hdel", &[&cache.index, id])?;
    // Somebody may have deleted the counters.
    let bytes = bytes.min(counter(ctx, cache, "bytes"));
    inner::count(ctx, cache.name, "bytes", -bytes)?;
    Ok(true)
}

/// Takes out some of the entries whose time is over: their hashes and vectors go by themselves, what is known about them
/// does not.
pub(super) fn purge(ctx: &mut Ctx<'_>, cache: &Cache<'_>) -> CommandResult {
    let now = ctx.ks.now_ms as f64;
    let over: Vec<Vec<u8>> = first(ctx, &cache.due, PURGED_MAX, |at_ms| at_ms <= now);
    for id in &over {
        forget(ctx, cache, id)?;
    }
    inner::count(ctx, cache.name, "expired", over.len() as i64)
}

/// Takes out the entries used longest ago, except one, until the cache is within its bounds.
pub(super) fn evict(ctx: &mut Ctx<'_>, cache: &Cache<'_>, settings: &Settings, kept: &[u8]) -> CommandResult {
    let mut evicted = 0;
    while evicted < EVICTED_MAX && is_over(ctx, cache, settings) {
        let Some(id) = first(ctx, &cache.used, 2, |_| true).into_iter().find(|id| id != kept) else { break };
        forget(ctx, cache, &id)?;
        evicted += 1;
    }
    inner::count(ctx, cache.name, "evicted", evicted as i64)
}

fn is_over(ctx: &Ctx<'_>, cache: &Cache<'_>, settings: &Settings) -> bool {
    let len = ctx.ks.seen::<SortedSet>(&KeyHasher.key(&cache.used)).map_or(0, SortedSet::len) as i64;
    settings.max_bytes > 0 && counter(ctx, cache, "bytes") > settings.max_bytes
        || settings.max_entries > 0 && len > settings.max_entries
}

/// The first members of a sorted set, as long as `wants` their scores.
fn first(ctx: &Ctx<'_>, key: &[u8], count: usize, wants: impl Fn(f64) -> bool) -> Vec<Vec<u8>> {
    let mut members = Vec::new();
    if let Some(set) = ctx.ks.seen::<SortedSet>(&KeyHasher.key(key)) {
        set.visit(0..count.min(set.len()), false, &mut |member, score| {
            let wanted = wants(score);
            if wanted {
                members.push(member.to_vec());
            }
            wanted
        });
    }
    members
}

/// `SC.INVALIDATE cache ALL | ID id [ID id ...] | PROMPT prompt [SCOPE scope] [MODEL model] | [SCOPE scope] [MODEL model]
/// [FILTER expression]`
pub(super) fn invalidate(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let request = Request::parse(ctx, argv, &["ALL", "ID", "PROMPT", "SCOPE", "MODEL", "FILTER"])?;
    let matching = request.scope.is_some() || request.model.is_some() || request.filter.is_some();
    let ways = [request.all, !request.ids.is_empty(), request.prompt.is_some() || matching];
    let prompt_and_filter = request.prompt.is_some() && request.filter.is_some();
    if ways.into_iter().filter(|way| *way).count() != 1 || prompt_and_filter {
        return Err(CommandError::Syntax);
    }
    let Some(cache) = Cache::open(ctx, argv)? else { return Ok(()) };
    let ids: Vec<Vec<u8>> = if let Some(prompt) = request.prompt {
        vec![id_of(request.model(), request.scope(), prompt)]
    } else if !request.ids.is_empty() {
        request.ids.iter().map(|id| id.to_vec()).collect()
    } else {
        matching_ids(ctx, &cache, &request)?
    };
    let removed = forget_all(ctx, &cache, &ids)?;
    if removed > 0 {
        inner::count(ctx, cache.name, "invalidated", removed)?;
    }
    inner::end(ctx);
    ctx.reply.integer(removed);
    Ok(())
}

fn forget_all(ctx: &mut Ctx<'_>, cache: &Cache<'_>, ids: &[Vec<u8>]) -> Result<i64, CommandError> {
    let mut removed = 0;
    for id in ids {
        removed += i64::from(forget(ctx, cache, id)?);
    }
    Ok(removed)
}

/// The ids of the entries of all spaces that fit. Where a space goes as a whole, its vectors go first and at once.
fn matching_ids(ctx: &mut Ctx<'_>, cache: &Cache<'_>, request: &Request<'_>) -> Result<Vec<Vec<u8>>, CommandError> {
    let spaces = ctx.ks.seen::<Set>(&KeyHasher.key(&cache.spaces));
    let spaces = spaces.iter().flat_map(|spaces| spaces.iter()).map(|item| ItemText::new(item).as_bytes().to_vec());
    let fits = |space: &Vec<u8>| {
        parts_of(space).is_some_and(|(model, scope)| {
            request.model.is_none_or(|wanted| wanted == model) && request.scope.is_none_or(|wanted| wanted == scope)
        })
    };
    let mut spaces: Vec<Vec<u8>> = spaces.filter(fits).collect();
    // Sets have no order that replicas and logs would share.
    spaces.sort_unstable();
    let mut ids = Vec::new();
    for space in &spaces {
        let Some(set) = cache.vectors_of(ctx, space) else { continue };
        let set = set.read_recursive();
        let accepts = |name: &&[u8]| match (&request.filter, set.slot(name)) {
            (Some((_, filter)), Some(slot)) => filter.accepts(set.attributes(slot)),
            _ => true,
        };
        ids.extend(set.names().filter(accepts).map(<[u8]>::to_vec));
        drop(set);
        if request.filter.is_none() {
            inner::run(ctx, "del", &[&cache.vectors(space)])?;
        }
    }
    Ok(ids)
}

/// `SC.DROP cache`
pub(super) fn drop_cache(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let Some(cache) = Cache::open(ctx, argv)? else { return Ok(()) };
    let index = ctx.ks.seen::<Hash>(&KeyHasher.key(&cache.index));
    let ids = index.iter().flat_map(|index| index.iter(AsOf::ALL));
    let mut ids: Vec<Vec<u8>> = ids.map(|(id, _)| ItemText::new(id).as_bytes().to_vec()).collect();
    ids.sort_unstable();
    let spaces = ctx.ks.seen::<Set>(&KeyHasher.key(&cache.spaces));
    let spaces =
        spaces.iter().flat_map(|spaces| spaces.iter()).map(|item| cache.vectors(ItemText::new(item).as_bytes()));
    let mut keys: Vec<Vec<u8>> = spaces.chain(ids.iter().map(|id| cache.entry(id))).collect();
    keys.extend([&cache.index, &cache.used, &cache.due, &cache.spaces].map(Clone::clone));
    keys.push(cache.name.to_vec());
    let words: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    inner::run(ctx, "del", &words)?;
    inner::end(ctx);
    ctx.reply.integer(ids.len() as i64);
    Ok(())
}
