//! IndexService: indexes without elements, aliases, listings, on a real instance.

use crate::node::{Real, by, fields};
use crate::support::element;
use quiver_grpc::f32_vector;
use quiver_grpc::pb::search_request::Query;
use quiver_grpc::pb::*;
use tonic::{Code, Status};

fn create(collection: &str) -> CreateIndexRequest {
    let options = IndexOptions { quantization: Quantization::None.into(), m: 32, ..IndexOptions::default() };
    CreateIndexRequest { collection: collection.into(), options: Some(options), dim: 2 }
}

async fn get(real: &Real, collection: &str) -> Result<Index, Status> {
    let request = GetIndexRequest { collection: collection.into() };
    Ok(real.indexes().get(request).await?.into_inner().index.unwrap())
}

async fn upsert(real: &Real, collection: &str, elements: Vec<Element>) -> Result<UpsertResponse, Status> {
    let request = UpsertRequest { collection: collection.into(), elements, index: None };
    Ok(real.vectors().upsert(request).await?.into_inner())
}

async fn alias(real: &Real, alias: &str, collection: &str) -> Result<String, Status> {
    let request = SetAliasRequest { alias: alias.into(), collection: collection.into() };
    Ok(real.indexes().set_alias(request).await?.into_inner().previous)
}

fn near(collection: &str) -> SearchRequest {
    let query = Some(Query::Vector(f32_vector(&[1.0, 0.0])));
    SearchRequest { collection: collection.into(), query, ..SearchRequest::default() }
}

#[tokio::test]
async fn an_index_without_elements_answers_as_an_empty_one_and_takes_its_first_as_it_was_told() {
    let real = Real::start().await;
    real.indexes().create(create("planned")).await.unwrap();
    assert_eq!(real.indexes().create(create("planned")).await.unwrap_err().code(), Code::AlreadyExists);
    let index = get(&real, "planned").await.unwrap();
    assert_eq!((index.elements, index.dim, index.options.unwrap().m), (0, 2, 32));

    assert_eq!(real.count("planned").await, 0);
    assert_eq!(real.searches().search(near("planned")).await.unwrap().into_inner(), SearchResponse::default());
    let deleting = DeleteRequest { collection: "planned".into(), ids: vec!["a".into()] };
    assert_eq!(real.vectors().delete(deleting).await.unwrap().into_inner().deleted, 0);

    let status = upsert(&real, "planned", vec![element("a", &[1.0, 0.0, 0.0], None)]).await.unwrap_err();
    assert_eq!(fields(&status), ["elements[0].vector"]);
    let contradicting = UpsertRequest {
        collection: "planned".into(),
        elements: vec![element("a", &[1.0, 0.0], None)],
        index: Some(IndexOptions { m: 8, ..IndexOptions::default() }),
    };
    assert_eq!(real.vectors().upsert(contradicting).await.unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(get(&real, "planned").await.unwrap().elements, 0, "nothing was changed");

    let elements = vec![element("a", &[1.0, 0.0], None), element("b", &[0.0, 1.0], None)];
    assert_eq!(upsert(&real, "planned", elements).await.unwrap().inserted, 2);
    let index = get(&real, "planned").await.unwrap();
    let options = index.options.unwrap();
    assert_eq!((index.elements, options.m, options.quantization()), (2, 32, Quantization::None));
    assert_eq!(upsert(&real, "planned", vec![element("c", &[1.0, 1.0], None)]).await.unwrap().inserted, 1);
}

#[tokio::test]
async fn an_alias_is_followed_by_every_service_and_moved_at_once() {
    let real = Real::with_films().await;
    upsert(&real, "films:2", vec![element("dune", &[1.0, 0.0], None)]).await.unwrap();
    assert_eq!(alias(&real, "movies", "films").await.unwrap(), "");
    assert_eq!(real.count("movies").await, 3);
    assert_eq!(real.searches().search(near("movies")).await.unwrap().into_inner().hits.len(), 3);
    let index = get(&real, "movies").await.unwrap();
    assert_eq!((index.collection.as_str(), index.alias.as_str(), index.elements), ("films", "movies", 3));

    assert_eq!(alias(&real, "movies", "films:2").await.unwrap(), "films");
    let batch = SearchBatchRequest { searches: vec![near("films"), near("movies")] };
    let responses = real.searches().search_batch(batch).await.unwrap().into_inner().responses;
    assert_eq!(responses.iter().map(|response| response.hits.len()).collect::<Vec<_>>(), [3, 1]);
    upsert(&real, "movies", vec![element("eraserhead", &[0.0, 1.0], None)]).await.unwrap();
    assert_eq!(real.count("films:2").await, 2);

    for (name, collection, code) in [
        ("other", "movies", Code::FailedPrecondition),
        ("other", "none", Code::NotFound),
        ("films", "films:2", Code::FailedPrecondition),
        ("same", "same", Code::InvalidArgument),
    ] {
        assert_eq!(alias(&real, name, collection).await.unwrap_err().code(), code, "{name} for {collection}");
    }
    real.indexes().drop(DropIndexRequest { collection: "movies".into() }).await.unwrap();
    assert_eq!((real.count("films").await, real.count("films:2").await, real.count("movies").await), (3, 2, 0));
}

#[tokio::test]
async fn an_alias_may_name_an_index_without_elements() {
    let real = Real::start().await;
    real.indexes().create(create("planned")).await.unwrap();
    alias(&real, "movies", "planned").await.unwrap();
    assert_eq!(real.count("movies").await, 0);
    assert_eq!(upsert(&real, "movies", vec![element("a", &[1.0, 0.0], None)]).await.unwrap().inserted, 1);
    assert_eq!(get(&real, "planned").await.unwrap().options.unwrap().m, 32);
}

#[tokio::test]
async fn indexes_and_aliases_are_listed_page_by_page() {
    let real = Real::with_films().await;
    real.indexes().create(create("planned")).await.unwrap();
    alias(&real, "movies", "films").await.unwrap();
    for n in 0..30 {
        real.run(&format!("SET other:{n} x")).await.unwrap();
    }
    let mut request = ListIndexesRequest { page_size: 5, ..ListIndexesRequest::default() };
    let (mut collections, mut aliases, mut pages) = (Vec::new(), Vec::new(), 0);
    loop {
        let page = real.indexes().list(request.clone()).await.unwrap().into_inner();
        collections.extend(page.collections);
        aliases.extend(page.aliases);
        pages += 1;
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    collections.sort();
    assert_eq!(collections, ["films", "planned"]);
    assert_eq!(aliases, [Alias { alias: "movies".into(), collection: "films".into() }]);
    assert!(pages > 1);
    let bad = ListIndexesRequest { page_token: "bad".into(), ..ListIndexesRequest::default() };
    assert_eq!(fields(&real.indexes().list(bad).await.unwrap_err()), ["page_token"]);
}

#[tokio::test]
async fn what_can_be_changed_is_changed_and_the_rest_refused() {
    let real = Real::with_films().await;
    real.indexes().create(create("planned")).await.unwrap();
    let update = |collection: &str, options, expires_at_ms| UpdateIndexRequest {
        collection: collection.into(),
        options,
        expires_at_ms,
    };
    let fewer = IndexOptions { m: 8, ..IndexOptions::default() };
    let index = real.indexes().update(update("planned", Some(fewer), None)).await.unwrap().into_inner().index.unwrap();
    assert_eq!((index.options.unwrap().m, index.dim), (8, 2));

    let later = 4_000_000_000_000;
    let same = IndexOptions { quantization: Quantization::None.into(), ..IndexOptions::default() };
    let request = update("films", Some(same), Some(later));
    let index = real.indexes().update(request).await.unwrap().into_inner().index.unwrap();
    assert_eq!(index.expires_at_ms, Some(later));
    let index = real.indexes().update(update("films", None, Some(0))).await.unwrap().into_inner().index.unwrap();
    assert_eq!(index.expires_at_ms, None);
    let status = real.indexes().update(update("films", Some(fewer), Some(later))).await.unwrap_err();
    assert_eq!((status.code(), get(&real, "films").await.unwrap().expires_at_ms), (Code::FailedPrecondition, None));
    assert_eq!(real.indexes().update(update("none", None, None)).await.unwrap_err().code(), Code::NotFound);

    real.indexes().drop(DropIndexRequest { collection: "films".into() }).await.unwrap();
    assert_eq!(get(&real, "films").await.unwrap_err().code(), Code::NotFound);
    real.run("SET text hello").await.unwrap();
    let dropping = DropIndexRequest { collection: "text".into() };
    assert_eq!(real.indexes().drop(dropping).await.unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(get(&real, "text").await.unwrap_err().code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_watch_ends_when_there_are_enough_elements() {
    let real = Real::start().await;
    let request = WatchBuildRequest { collection: "films".into(), until_elements: 2, interval_ms: 10 };
    let mut watch = real.indexes().watch_build(request).await.unwrap().into_inner();
    let first = watch.message().await.unwrap().unwrap();
    assert_eq!((first.elements, first.ready), (0, false));
    let elements = vec![element("a", &[1.0, 0.0], None), element("b", &[0.0, 1.0], None)];
    upsert(&real, "films", elements).await.unwrap();
    let last = watch.message().await.unwrap().unwrap();
    assert_eq!((last.elements, last.ready), (2, true));
    assert_eq!(watch.message().await.unwrap(), None);
}

#[tokio::test]
async fn a_user_reaches_through_an_alias_only_what_it_may_reach() {
    let real = Real::with_films().await;
    upsert(&real, "secret", vec![element("x", &[1.0, 0.0], None)]).await.unwrap();
    alias(&real, "movies", "films").await.unwrap();
    alias(&real, "leak", "secret").await.unwrap();
    real.run("ACL SETUSER ann on >pw ~films ~movies ~leak +@all").await.unwrap();
    let count = |collection: &str| CountRequest { collection: collection.into(), ..CountRequest::default() };
    assert_eq!(real.vectors().count(by(count("movies"), "ann", "pw")).await.unwrap().into_inner().count, 3);
    for collection in ["leak", "secret"] {
        let status = real.vectors().count(by(count(collection), "ann", "pw")).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{collection}");
    }
}
