//! SemanticCacheService: SC.GET, SC.SET, SC.INVALIDATE, SC.STATS and SC.CONFIG.

use std::collections::HashMap;

use quiver_resp::{OwnedArgv, Value};
use tonic::{Request, Response, Status};

use crate::check::Violations;
use crate::convert::{fp32_blob, is_attributes};
use crate::executor::{Auth, Executor};
use crate::gateway::Gateway;
use crate::pb::invalidate_request::Entries;
use crate::pb::semantic_cache_service_server::SemanticCacheService;
use crate::pb::{
    CacheMatch, CacheSettings, ConfigureRequest, ConfigureResponse, InvalidateRequest, InvalidateResponse,
    LookupRequest, LookupResponse, StatsRequest, StatsResponse, StoreRequest, StoreResponse, Vector,
};
use crate::search::text;
use crate::status::{self, Site};

/// Most ids of an Invalidate.
const IDS_MAX: usize = 10_000;

/// The service over an executor.
#[derive(Clone, Debug)]
pub(crate) struct Caches<E> {
    gateway: Gateway<E>,
}

impl<E: Executor> Caches<E> {
    pub(crate) fn new(gateway: Gateway<E>) -> Self {
        Self { gateway }
    }

    /// Runs one command about a cache.
    async fn run(&self, auth: &Auth, command: OwnedArgv, cache: &str) -> Result<Value, Status> {
        let replies = self.gateway.run(auth, vec![command]).await;
        let replies = replies.map_err(|failure| {
            let status = failure.into_status(|_| Site { collection: cache, ..Site::default() });
            let fields = [
                ("dimension", "embedding"),
                ("embedding", "embedding"),
                ("FILTER", "filter"),
                ("THRESHOLD", "threshold"),
            ];
            let field = fields.into_iter().find(|(words, _)| status.message().contains(words)).map(|(_, field)| field);
            status::about(status, "cache", cache, field)
        });
        Ok(replies?.pop().expect("one reply for each command"))
    }
}

#[tonic::async_trait]
impl<E: Executor> SemanticCacheService for Caches<E> {
    async fn lookup(&self, request: Request<LookupRequest>) -> Result<Response<LookupResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let request = request.into_inner();
        let reply = self.run(&auth, sc_get(&request)?, &request.cache).await?;
        if reply == Value::Null {
            return Ok(Response::new(LookupResponse::default()));
        }
        let found = found(reply).ok_or_else(|| status::unexpected_reply("of SC.GET"))?;
        Ok(Response::new(found))
    }

    async fn store(&self, request: Request<StoreRequest>) -> Result<Response<StoreResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let request = request.into_inner();
        let reply = self.run(&auth, sc_set(&request)?, &request.cache).await?;
        let id = reply.as_bytes().ok_or_else(|| status::unexpected_reply("of SC.SET"))?;
        Ok(Response::new(StoreResponse { id: text(id) }))
    }

    async fn invalidate(&self, request: Request<InvalidateRequest>) -> Result<Response<InvalidateResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let request = request.into_inner();
        let reply = self.run(&auth, sc_invalidate(&request)?, &request.cache).await?;
        let removed = reply.as_i64().and_then(|removed| u64::try_from(removed).ok());
        let removed = removed.ok_or_else(|| status::unexpected_reply("of SC.INVALIDATE"))?;
        Ok(Response::new(InvalidateResponse { removed }))
    }

    async fn stats(&self, request: Request<StatsRequest>) -> Result<Response<StatsResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let cache = request.into_inner().cache;
        let reply = self.run(&auth, OwnedArgv::from_slices(&["SC.STATS", &cache]), &cache).await?;
        let stats = stats(reply).ok_or_else(|| status::unexpected_reply("of SC.STATS"))?;
        Ok(Response::new(stats))
    }

    async fn configure(&self, request: Request<ConfigureRequest>) -> Result<Response<ConfigureResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let request = request.into_inner();
        self.run(&auth, sc_config(&request)?, &request.cache).await?;
        Ok(Response::new(ConfigureResponse {}))
    }
}

/// A command about a cache, whose name is checked.
fn begin(command: &str, cache: &str, violations: &mut Violations) -> OwnedArgv {
    if cache.is_empty() || cache.contains(['{', '}']) {
        violations.add("cache", "must not be empty and have no braces");
    }
    OwnedArgv::from_slices(&[command, cache])
}

fn push(argv: &mut OwnedArgv, option: &str, value: &[u8]) {
    argv.push(option.as_bytes());
    argv.push(value);
}

/// [`push`], unless there is nothing.
fn push_some(argv: &mut OwnedArgv, option: &str, value: &[u8]) {
    if !value.is_empty() {
        push(argv, option, value);
    }
}

fn push_embedding(argv: &mut OwnedArgv, embedding: Option<&Vector>, violations: &mut Violations) {
    match embedding.map(fp32_blob) {
        None => {}
        Some(Ok(blob)) => push(argv, "FP32", &blob),
        Some(Err(error)) => violations.add("embedding", error.to_string()),
    }
}

fn sc_get(request: &LookupRequest) -> Result<OwnedArgv, Status> {
    let mut violations = Violations::default();
    let mut argv = begin("SC.GET", &request.cache, &mut violations);
    if request.prompt.is_none() && request.embedding.is_none() {
        violations.add("prompt", "or embedding is required");
    }
    if let Some(prompt) = &request.prompt {
        push(&mut argv, "PROMPT", prompt.as_bytes());
    }
    push_embedding(&mut argv, request.embedding.as_ref(), &mut violations);
    push_some(&mut argv, "SCOPE", &request.scope);
    push_some(&mut argv, "MODEL", request.model.as_bytes());
    if let Some(threshold) = request.threshold {
        push(&mut argv, "THRESHOLD", threshold.to_string().as_bytes());
    }
    push_some(&mut argv, "FILTER", request.filter.as_bytes());
    violations.into_result()?;
    Ok(argv)
}

fn sc_set(request: &StoreRequest) -> Result<OwnedArgv, Status> {
    let mut violations = Violations::default();
    let mut argv = begin("SC.SET", &request.cache, &mut violations);
    push(&mut argv, "PROMPT", request.prompt.as_bytes());
    push(&mut argv, "RESPONSE", &request.response);
    if request.embedding.is_none() {
        violations.add("embedding", "is required");
    }
    push_embedding(&mut argv, request.embedding.as_ref(), &mut violations);
    push_some(&mut argv, "SCOPE", &request.scope);
    push_some(&mut argv, "MODEL", request.model.as_bytes());
    if !is_attributes(&request.metadata) {
        violations.add("metadata", "must be a JSON object, or empty for none");
    }
    push_some(&mut argv, "METADATA", request.metadata.as_bytes());
    match request.ttl_ms {
        Some(0) => argv.push(b"PERSIST"),
        Some(ttl_ms) => push(&mut argv, "PX", ttl_ms.to_string().as_bytes()),
        None => {}
    }
    push_life(&mut argv, request.sliding);
    violations.into_result()?;
    Ok(argv)
}

fn push_life(argv: &mut OwnedArgv, sliding: Option<bool>) {
    if let Some(sliding) = sliding {
        argv.push(if sliding { b"SLIDING" } else { b"ABSOLUTE" });
    }
}

fn sc_invalidate(request: &InvalidateRequest) -> Result<OwnedArgv, Status> {
    let mut violations = Violations::default();
    let mut argv = begin("SC.INVALIDATE", &request.cache, &mut violations);
    match &request.entries {
        Some(Entries::All(true)) => argv.push(b"ALL"),
        Some(Entries::All(false)) | None => violations.add("entries", "must say which entries"),
        Some(Entries::Ids(ids)) => {
            violations.count("ids.ids", ids.ids.len(), IDS_MAX);
            ids.ids.iter().for_each(|id| push(&mut argv, "ID", id.as_bytes()));
        }
        Some(Entries::Criteria(criteria)) => {
            let none = criteria.scope.is_none() && criteria.model.is_none() && criteria.filter.is_empty();
            if none && criteria.prompt.is_none() {
                violations.add("criteria", "must say something");
            }
            if criteria.prompt.is_some() && !criteria.filter.is_empty() {
                violations.add("criteria.filter", "does not go with a prompt");
            }
            if let Some(prompt) = &criteria.prompt {
                push(&mut argv, "PROMPT", prompt.as_bytes());
            }
            if let Some(scope) = &criteria.scope {
                push(&mut argv, "SCOPE", scope);
            }
            if let Some(model) = &criteria.model {
                push(&mut argv, "MODEL", model.as_bytes());
            }
            push_some(&mut argv, "FILTER", criteria.filter.as_bytes());
        }
    }
    violations.into_result()?;
    Ok(argv)
}

fn sc_config(request: &ConfigureRequest) -> Result<OwnedArgv, Status> {
    let mut violations = Violations::default();
    let mut argv = begin("SC.CONFIG", &request.cache, &mut violations);
    let settings = request.settings.unwrap_or_default();
    for (option, score) in [("THRESHOLD", settings.threshold), ("NEAR", settings.near)] {
        if let Some(score) = score {
            push(&mut argv, option, score.to_string().as_bytes());
        }
    }
    if settings.ttl_ms.is_some_and(|ttl_ms| ttl_ms % 1000 != 0) {
        violations.add("settings.ttl_ms", "must be whole seconds");
    }
    let ttl = settings.ttl_ms.map(|ttl_ms| ttl_ms / 1000);
    for (option, number) in [("TTL", ttl), ("MAXBYTES", settings.max_bytes), ("MAXENTRIES", settings.max_entries)] {
        if let Some(number) = number {
            push(&mut argv, option, number.to_string().as_bytes());
        }
    }
    push_life(&mut argv, settings.sliding);
    violations.into_result()?;
    Ok(argv)
}

/// The fields of a map by name.
fn by_name(reply: Value) -> Option<HashMap<String, Value>> {
    reply.into_pairs()?.into_iter().map(|(name, value)| Some((name.as_str()?.to_owned(), value))).collect()
}

fn found(reply: Value) -> Option<LookupResponse> {
    let mut fields = by_name(reply)?;
    let mut response = LookupResponse {
        id: text(fields.get("id")?.as_bytes()?),
        prompt: text(fields.get("prompt")?.as_bytes()?),
        score: fields.get("score")?.as_f64()?,
        metadata: fields.get("metadata")?.as_bytes().map(text),
        created_ms: fields.get("created")?.as_i64()?,
        ttl_ms: fields.get("ttl-ms")?.as_i64(),
        ..LookupResponse::default()
    };
    response.set_match(match fields.get("match")?.as_str()? {
        "exact" => CacheMatch::Exact,
        _ => CacheMatch::Semantic,
    });
    let Value::Bulk(bytes) = fields.remove("response")? else { return None };
    response.response = bytes.into();
    Some(response)
}

fn stats(reply: Value) -> Option<StatsResponse> {
    let fields = by_name(reply)?;
    let number = |name: &str| u64::try_from(fields.get(name)?.as_i64()?).ok();
    let score = |name: &str| fields.get(name)?.as_f64();
    Some(StatsResponse {
        settings: Some(CacheSettings {
            threshold: Some(score("threshold")?),
            near: Some(score("near")?),
            ttl_ms: Some(number("ttl-ms")?),
            sliding: Some(number("sliding")? == 1),
            max_bytes: Some(number("max-bytes")?),
            max_entries: Some(number("max-entries")?),
        }),
        entries: number("entries")?,
        bytes: number("bytes")?,
        exact_hits: number("exact-hits")?,
        semantic_hits: number("semantic-hits")?,
        near_misses: number("near-misses")?,
        misses: number("misses")?,
        stored: number("stored")?,
        evicted: number("evicted")?,
        expired: number("expired")?,
        invalidated: number("invalidated")?,
    })
}
