//! SC.SET: the response to a prompt, with the prompt's embedding.

use quiver_rdb::vectorset::Quantisation;
use quiver_resp::Argv;

use super::inner;
use super::keys::{Cache, id_of, space};
use super::remove::{evict, forget, purge};
use super::request::{Life, Request};
use super::settings::Settings;
use crate::command::CommandResult;
use crate::commands::vset::dim_mismatch;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::KeyHasher;
use crate::number::IntText;
use crate::object::SharedVectorSet;
use crate::types::vset::M_DEFAULT;

const OPTIONS: &[&str] = &[
    "PROMPT", "RESPONSE", "FP32", "VALUES", "SCOPE", "MODEL", "METADATA", "EX", "PX", "EXAT", "PXAT", "PERSIST",
    "SLIDING", "ABSOLUTE",
];

/// What an entry takes beside its texts and components: fields, index, links. A round figure for the bound.
const ENTRY_BYTES: usize = 512;

/// An entry that is about to be stored.
struct Entry<'a> {
    request: Request<'a>,
    prompt: &'a [u8],
    response: &'a [u8],
    space: Vec<u8>,
    id: Vec<u8>,
    bytes: i64,
    expires: Life,
    sliding: bool,
}

/// `SC.SET cache PROMPT prompt RESPONSE response FP32 blob [SCOPE scope] [MODEL model] [METADATA json] [EX seconds | ...]
/// [SLIDING | ABSOLUTE]`
pub(super) fn set(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let request = Request::parse(ctx, argv, OPTIONS)?;
    let Some(cache) = Cache::open(ctx, argv)? else { return Ok(()) };
    let settings = Settings::of(ctx, &cache);
    let entry = Entry::new(ctx, request, &settings)?;
    if settings.max_bytes > 0 && entry.bytes > settings.max_bytes {
        return Err(CommandError::text("ERR the entry is larger than the cache may be"));
    }
    check_vectors(ctx, &cache, &entry)?;
    purge(ctx, &cache)?;
    forget(ctx, &cache, &entry.id)?;
    // Whatever somebody else has put there.
    inner::run(ctx, "del", &[&cache.entry(&entry.id)])?;
    entry.store(ctx, &cache)?;
    evict(ctx, &cache, &settings, &entry.id)?;
    inner::end(ctx);
    ctx.reply.bulk(&entry.id);
    Ok(())
}

/// Refuses an embedding that does not go with those of its space.
fn check_vectors(ctx: &mut Ctx<'_>, cache: &Cache<'_>, entry: &Entry<'_>) -> CommandResult {
    let name = cache.vectors(&entry.space);
    let Some(set) = ctx.ks.value_mut::<SharedVectorSet>(KeyHasher.key(&name))? else { return Ok(()) };
    let set = set.read_recursive();
    if set.dim() != entry.request.vector.len() {
        return Err(dim_mismatch(entry.request.vector.len(), &set));
    }
    if set.quantisation() != Quantisation::F32 || set.m() != M_DEFAULT || set.projection().is_some() {
        return Err(CommandError::text("ERR the vector set of the scope was not made by SC.SET"));
    }
    Ok(())
}

impl<'a> Entry<'a> {
    fn new(ctx: &Ctx<'_>, request: Request<'a>, settings: &Settings) -> Result<Self, CommandError> {
        let (Some(prompt), Some(response)) = (request.prompt, request.response) else {
            return Err(CommandError::text("ERR PROMPT and RESPONSE are needed"));
        };
        if request.vector.is_empty() {
            return Err(CommandError::text("ERR an embedding is needed, by FP32 or VALUES"));
        }
        let expires = request.life.unwrap_or(match settings.ttl_ms {
            0 => Life::Never,
            ttl_ms => Life::Until(ctx.ks.now_ms + ttl_ms),
        });
        let texts = [prompt, response, request.scope(), request.model(), request.metadata.unwrap_or_default()];
        let bytes = texts.iter().map(|text| text.len()).sum::<usize>() + 4 * request.vector.len() + ENTRY_BYTES;
        Ok(Self {
            prompt,
            response,
            space: space(request.model(), request.scope())?,
            id: id_of(request.model(), request.scope(), prompt),
            bytes: bytes as i64,
            sliding: request.sliding.unwrap_or(settings.sliding) && expires != Life::Never,
            expires,
            request,
        })
    }

    fn store(&self, ctx: &mut Ctx<'_>, cache: &Cache<'_>) -> CommandResult {
        let (now_ms, now) = (ctx.ks.now_ms, IntText::new(ctx.ks.now_ms));
        let (key, vectors) = (cache.entry(&self.id), cache.vectors(&self.space));
        let metadata = self.request.metadata.unwrap_or_default();
        let blob: Vec<u8> = self.request.vector.iter().flat_map(|x| x.to_le_bytes()).collect();
        let mut fields: Vec<&[u8]> = vec![key.as_slice(), b"prompt", self.prompt, b"response", self.response];
        fields.extend([b"scope", self.request.scope(), b"model", self.request.model(), b"created", now.as_bytes()]);
        fields.extend([b"metadata".as_slice(), metadata].into_iter().filter(|_| !metadata.is_empty()));
        let life = match self.expires {
            Life::Until(at_ms) => IntText::new(at_ms - now_ms),
            Life::Never => IntText::new(0),
        };
        fields.extend([b"sliding-ms".as_slice(), life.as_bytes()].into_iter().filter(|_| self.sliding));
        inner::run(ctx, "hset", &fields)?;
        inner::run(ctx, "vadd", &[&vectors, b"FP32", &blob, &self.id, b"NOQUANT", b"SETATTR", metadata])?;
        inner::run(ctx, "sadd", &[&cache.spaces, &self.space])?;
        let bytes = IntText::new(self.bytes);
        let indexed = [bytes.as_bytes(), b" ", &self.space].concat();
        inner::run(ctx, "hset", &[&cache.index, &self.id, &indexed])?;
        inner::run(ctx, "zadd", &[&cache.used, now.as_bytes(), &self.id])?;
        if let Life::Until(at_ms) = self.expires {
            expire(ctx, cache, &self.id, &self.space, at_ms)?;
        }
        inner::count(ctx, cache.name, "bytes", self.bytes)?;
        inner::count(ctx, cache.name, "stored", 1)
    }
}

/// Lets an entry expire at a time that is to come.
pub(super) fn expire(ctx: &mut Ctx<'_>, cache: &Cache<'_>, id: &[u8], space: &[u8], at_ms: i64) -> CommandResult {
    let at = IntText::new(at_ms);
    inner::run(ctx, "pexpireat", &[&cache.entry(id), at.as_bytes()])?;
    inner::run(ctx, "vpexpireat", &[&cache.vectors(space), at.as_bytes(), b"ELEMENTS", b"1", id])?;
    inner::run(ctx, "zadd", &[&cache.due, at.as_bytes(), id])
}
