//! SemanticCacheService through a real channel, over a real instance.

use quiver_grpc::client::SemanticCacheServiceClient;
use quiver_grpc::f32_vector;
use quiver_grpc::pb::invalidate_request::Entries;
use quiver_grpc::pb::*;
use tonic::Code;
use tonic::transport::Channel;
use tonic_types::StatusExt as _;

use crate::node::Real;

async fn client() -> SemanticCacheServiceClient<Channel> {
    SemanticCacheServiceClient::new(Real::start().await.channel)
}

fn entry(prompt: &str, vector: &[f32], scope: &'static str) -> StoreRequest {
    StoreRequest {
        cache: "faq".into(),
        prompt: prompt.into(),
        embedding: Some(f32_vector(vector)),
        response: format!("to {prompt}").into(),
        scope: scope.into(),
        metadata: r#"{"lang":"en"}"#.into(),
        ..StoreRequest::default()
    }
}

fn near(vector: &[f32], scope: &'static str) -> LookupRequest {
    let embedding = Some(f32_vector(vector));
    LookupRequest { cache: "faq".into(), embedding, scope: scope.into(), ..LookupRequest::default() }
}

#[tokio::test]
async fn what_is_stored_is_found_exactly_and_by_similarity_in_its_scope_only() {
    let mut client = client().await;
    let stored = StoreRequest { ttl_ms: Some(5000), ..entry("hello", &[1.0, 0.0], "ann") };
    let id = client.store(stored).await.unwrap().into_inner().id;
    let found = client.lookup(near(&[1.0, 0.1], "ann")).await.unwrap().into_inner();
    assert_eq!(
        (found.r#match(), found.id.as_str(), &found.response[..]),
        (CacheMatch::Semantic, id.as_str(), b"to hello".as_slice())
    );
    assert_eq!((found.prompt.as_str(), found.metadata.as_deref()), ("hello", Some(r#"{"lang":"en"}"#)));
    assert!(found.ttl_ms.is_some_and(|left| (1..=5000).contains(&left)), "{:?}", found.ttl_ms);
    assert!(found.score > 0.99 && found.score < 1.0 && found.created_ms > 0);
    let exact = LookupRequest { prompt: Some("hello".into()), embedding: None, ..near(&[1.0], "ann") };
    assert_eq!(client.lookup(exact.clone()).await.unwrap().into_inner().r#match(), CacheMatch::Exact);
    for miss in [near(&[1.0, 0.0], "bob"), near(&[0.0, 1.0], "ann"), LookupRequest { scope: "bob".into(), ..exact }] {
        assert_eq!(client.lookup(miss).await.unwrap().into_inner(), LookupResponse::default());
    }
    let stats = client.stats(StatsRequest { cache: "faq".into() }).await.unwrap().into_inner();
    assert_eq!((stats.entries, stats.stored, stats.exact_hits, stats.semantic_hits, stats.misses), (1, 1, 1, 1, 3));
    assert_eq!(stats.settings.unwrap().threshold, Some(0.95));
}

#[tokio::test]
async fn settings_bound_what_is_kept_and_entries_are_invalidated() {
    let mut client = client().await;
    let settings = CacheSettings { max_entries: Some(2), threshold: Some(0.5), ..CacheSettings::default() };
    client.configure(ConfigureRequest { cache: "faq".into(), settings: Some(settings) }).await.unwrap();
    for (i, prompt) in ["a", "b", "c"].into_iter().enumerate() {
        client.store(entry(prompt, &[1.0, i as f32], "ann")).await.unwrap();
    }
    let stats = client.stats(StatsRequest { cache: "faq".into() }).await.unwrap().into_inner();
    assert_eq!((stats.entries, stats.evicted), (2, 1));
    let invalidate = |entries| InvalidateRequest { cache: "faq".into(), entries: Some(entries) };
    let criteria = CacheCriteria { filter: ".lang == \"de\"".into(), ..CacheCriteria::default() };
    let removed = client.invalidate(invalidate(Entries::Criteria(criteria))).await.unwrap().into_inner().removed;
    assert_eq!(removed, 0);
    let criteria = CacheCriteria { prompt: Some("c".into()), scope: Some("ann".into()), ..CacheCriteria::default() };
    assert_eq!(client.invalidate(invalidate(Entries::Criteria(criteria))).await.unwrap().into_inner().removed, 1);
    assert_eq!(client.invalidate(invalidate(Entries::All(true))).await.unwrap().into_inner().removed, 1);
}

#[tokio::test]
async fn faults_are_named() {
    let mut client = client().await;
    client.store(entry("hello", &[1.0, 0.0], "")).await.unwrap();
    let violated = |status: tonic::Status| {
        assert_eq!(status.code(), Code::InvalidArgument);
        let violations = status.get_details_bad_request().unwrap().field_violations;
        violations.into_iter().map(|violation| violation.field).collect::<Vec<_>>()
    };
    let none = LookupRequest { cache: "{x}".into(), ..LookupRequest::default() };
    assert_eq!(violated(client.lookup(none).await.unwrap_err()), ["cache", "prompt"]);
    assert_eq!(violated(client.lookup(near(&[1.0], "")).await.unwrap_err()), ["embedding"]);
    let filter = LookupRequest { filter: ".x ==".into(), ..near(&[1.0, 1.0], "") };
    assert_eq!(violated(client.lookup(filter).await.unwrap_err()), ["filter"]);
    let threshold = LookupRequest { threshold: Some(1.5), ..near(&[1.0, 1.0], "") };
    assert_eq!(violated(client.lookup(threshold).await.unwrap_err()), ["threshold"]);
    assert_eq!(violated(client.store(entry("zero", &[0.0, 0.0], "")).await.unwrap_err()), ["embedding"]);
    let metadata = StoreRequest { metadata: "[]".into(), embedding: None, ..entry("x", &[1.0], "") };
    assert_eq!(violated(client.store(metadata).await.unwrap_err()), ["embedding", "metadata"]);
    let nothing = InvalidateRequest { cache: "faq".into(), entries: None };
    assert_eq!(violated(client.invalidate(nothing).await.unwrap_err()), ["entries"]);
    let status = client.stats(StatsRequest { cache: "none".into() }).await.unwrap_err();
    assert_eq!(
        (status.code(), status.get_details_resource_info().unwrap().resource_type.as_str()),
        (Code::NotFound, "cache")
    );
}
