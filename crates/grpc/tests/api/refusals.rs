//! Bad input to every rpc: the code that is documented, and nothing changed.

use crate::node::{Real, by};
use crate::support::element;
use quiver_grpc::f32_vector;
use quiver_grpc::flight_pb;
use quiver_grpc::pb::expire_request::When;
use quiver_grpc::pb::search_request::Query;
use quiver_grpc::pb::*;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

/// What the server holds, as far as these tests could change it.
async fn state(real: &Real) -> (Option<reply::Value>, u64) {
    (real.run("DBSIZE").await.unwrap(), real.count("films").await)
}

fn upsert(collection: &str, elements: Vec<Element>) -> UpsertRequest {
    UpsertRequest { collection: collection.into(), elements, index: None }
}

fn of(vector: Vector) -> Vec<Element> {
    vec![Element { id: "x".into(), vector: Some(vector), ..Element::default() }]
}

#[tokio::test]
async fn elements_that_cannot_be_written_are_refused() {
    let real = Real::with_films().await;
    real.run("SET text hello").await.unwrap();
    let before = state(&real).await;
    let good = f32_vector(&[1.0, 0.0]);
    let many = vec![element("x", &[1.0, 0.0], None); 1_025];
    let (invalid, precondition) = (Code::InvalidArgument, Code::FailedPrecondition);
    let cases: Vec<(&str, UpsertRequest, Code)> = vec![
        ("another dimension", upsert("films", of(f32_vector(&[1.0]))), invalid),
        ("no number", upsert("films", of(f32_vector(&[1.0, f32::NAN]))), invalid),
        ("infinite", upsert("films", of(f32_vector(&[1.0, f32::INFINITY]))), invalid),
        ("no dtype", upsert("films", of(Vector { dtype: 0, ..good.clone() })), invalid),
        ("an unknown dtype", upsert("films", of(Vector { dtype: 77, ..good.clone() })), invalid),
        ("a dim that lies", upsert("films", of(Vector { dim: u32::MAX, ..good.clone() })), invalid),
        ("twofold", upsert("films", of(Vector { floats: vec![1.0, 0.0], ..good.clone() })), invalid),
        ("no vector", upsert("films", vec![Element { id: "x".into(), ..Element::default() }]), invalid),
        ("no id", upsert("films", vec![element("", &[1.0, 0.0], None)]), invalid),
        ("no object", upsert("films", vec![element("x", &[1.0, 0.0], Some("[]"))]), invalid),
        ("no collection", upsert("", of(good.clone())), invalid),
        ("nothing", upsert("films", vec![]), invalid),
        ("too many", upsert("films", many), invalid),
        ("another type", upsert("text", of(good)), precondition),
    ];
    for (what, request, code) in cases {
        let BulkUpsertResponse { inserted, updated, errors, .. } = {
            let UpsertRequest { collection, elements, index } = request.clone();
            let chunk = BulkUpsertRequest { collection, elements, index, ..BulkUpsertRequest::default() };
            real.vectors().bulk_upsert(tokio_stream::iter([chunk])).await.unwrap().into_inner()
        };
        assert_eq!((inserted, updated, errors[0].status.as_ref().unwrap().code), (0, 0, code.into()), "{what}");
        assert_eq!(real.vectors().upsert(request).await.unwrap_err().code(), code, "{what}");
        assert_eq!(state(&real).await, before, "{what}");
    }
}

/// Calls every rpc that takes a collection, with that collection.
async fn all_with(real: &Real, collection: &str) -> Vec<(&'static str, Option<Status>)> {
    let (mut vectors, mut searches, mut indexes) = (real.vectors(), real.searches(), real.indexes());
    let (collection, ids) = (collection.to_owned(), vec!["alien".into()]);
    let c = || collection.clone();
    let query = Some(Query::Vector(f32_vector(&[1.0, 0.0])));
    let search = SearchRequest { collection: c(), query, ..SearchRequest::default() };
    let updates = vec![AttributesUpdate { id: "alien".into(), attributes: "{}".into() }];
    let update = UpdateAttributesRequest { collection: c(), updates, merge: false };
    let expire = ExpireRequest { collection: c(), ids: ids.clone(), when: Some(When::Never(true)), condition: 0 };
    let scan = async {
        let request = ScanRequest { collection: c(), ..ScanRequest::default() };
        vectors.clone().scan(request).await?.into_inner().message().await
    };
    let watch = async {
        let request = WatchBuildRequest { collection: c(), ..WatchBuildRequest::default() };
        indexes.clone().watch_build(request).await?.into_inner().message().await
    };
    let recall = MeasureRecallRequest { collection: c(), ..MeasureRecallRequest::default() };
    vec![
        ("Scan", scan.await.err()),
        ("WatchBuild", watch.await.err()),
        ("Get", vectors.get(GetRequest { collection: c(), ids: ids.clone(), ..GetRequest::default() }).await.err()),
        ("Delete", vectors.delete(DeleteRequest { collection: c(), ids }).await.err()),
        (
            "DeleteByFilter",
            vectors.delete_by_filter(DeleteByFilterRequest { collection: c(), filter: ".x > 0".into() }).await.err(),
        ),
        ("UpdateAttributes", vectors.update_attributes(update).await.err()),
        ("Expire", vectors.expire(expire).await.err()),
        ("Count", vectors.count(CountRequest { collection: c(), ..CountRequest::default() }).await.err()),
        ("Search", searches.search(search.clone()).await.err()),
        ("SearchBatch", searches.search_batch(SearchBatchRequest { searches: vec![search] }).await.err()),
        ("MeasureRecall", searches.measure_recall(recall).await.err()),
        ("Index.Get", indexes.get(GetIndexRequest { collection: c() }).await.err()),
        ("Index.Update", indexes.update(UpdateIndexRequest { collection: c(), ..Default::default() }).await.err()),
        ("Index.Drop", indexes.drop(DropIndexRequest { collection: c() }).await.err()),
    ]
}

#[tokio::test]
async fn a_collection_that_cannot_be_one_is_refused_by_every_rpc() {
    let real = Real::with_films().await;
    real.run("SET text hello").await.unwrap();
    let before = state(&real).await;
    for (collection, code) in [("", Code::InvalidArgument), ("text", Code::FailedPrecondition)] {
        for (rpc, status) in all_with(&real, collection).await {
            assert_eq!(status.map(|status| status.code()), Some(code), "{rpc} of {collection:?}");
        }
    }
    assert_eq!(state(&real).await, before);
    for (rpc, status) in all_with(&real, "none").await {
        let must_exist = matches!(rpc, "Get" | "Index.Get" | "Index.Update" | "Index.Drop");
        assert_eq!(status.map(|status| status.code()), must_exist.then_some(Code::NotFound), "{rpc}");
    }
}

#[tokio::test]
async fn arguments_out_of_range_are_refused() {
    let real = Real::with_films().await;
    let before = state(&real).await;
    let collection = || "films".to_owned();
    let empty = || vec!["".into()];
    let (mut vectors, mut searches, mut indexes) = (real.vectors(), real.searches(), real.indexes());
    let delete = DeleteRequest { collection: collection(), ids: empty() };
    let get = GetRequest { collection: collection(), ids: empty(), ..GetRequest::default() };
    let when = |when| ExpireRequest { collection: collection(), ids: vec!["alien".into()], when, condition: 0 };
    let scan = ScanRequest { collection: collection(), page_size: 5_000, ..ScanRequest::default() };
    let filter = DeleteByFilterRequest { collection: collection(), ..DeleteByFilterRequest::default() };
    let updates = vec![AttributesUpdate { id: "alien".into(), attributes: "no".into() }];
    let update = UpdateAttributesRequest { collection: collection(), updates, merge: true };
    let recall = MeasureRecallRequest { collection: collection(), limit: 5_000, ..MeasureRecallRequest::default() };
    let options = Some(IndexOptions { m: 3, ..IndexOptions::default() });
    let create = CreateIndexRequest { collection: "new".into(), options, dim: 0 };
    let watch = WatchBuildRequest { collection: collection(), interval_ms: 1, ..WatchBuildRequest::default() };
    let statuses = [
        vectors.delete(delete).await.err(),
        vectors.get(get).await.err(),
        vectors.expire(when(None)).await.err(),
        vectors.expire(when(Some(When::Never(false)))).await.err(),
        vectors.expire(when(Some(When::AtMs(i64::MAX)))).await.err(),
        vectors.scan(scan).await.err(),
        vectors.delete_by_filter(filter).await.err(),
        vectors.update_attributes(update).await.err(),
        searches.measure_recall(recall).await.err(),
        searches.search_batch(SearchBatchRequest::default()).await.err(),
        indexes.create(create).await.err(),
        indexes.watch_build(watch).await.err(),
    ];
    for (at, status) in statuses.into_iter().enumerate() {
        assert_eq!(status.map(|status| status.code()), Some(Code::InvalidArgument), "case {at}");
    }
    assert_eq!(state(&real).await, before);
}

#[tokio::test]
async fn bytes_that_are_no_message_are_the_senders_fault() {
    let real = Real::with_films().await;
    // Field 1 is a number here, and text in every message below.
    let wrong = flight_pb::HandshakeResponse { protocol_version: 7, payload: "x".into() };
    for rpc in ["VectorService/Count", "VectorService/Upsert", "SearchService/Search", "IndexService/Get"] {
        let mut client = tonic::client::Grpc::new(real.channel.clone());
        client.ready().await.unwrap();
        let path = PathAndQuery::try_from(format!("/quiver.v1.{rpc}")).unwrap();
        let codec = ProstCodec::<flight_pb::HandshakeResponse, CountResponse>::default();
        let status = client.unary(Request::new(wrong.clone()), path, codec).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{rpc}: {status:?}");
    }
}

#[tokio::test]
async fn a_user_that_may_not_or_is_gone_is_refused() {
    let real = Real::with_films().await;
    real.run("ACL SETUSER ann on >pw ~films +vcard +vismember +multi +exec").await.unwrap();
    let count = CountRequest { collection: "films".into(), ..CountRequest::default() };
    assert_eq!(real.vectors().count(by(count.clone(), "ann", "pw")).await.unwrap().into_inner().count, 3);
    let delete = DeleteRequest { collection: "films".into(), ids: vec!["alien".into()] };
    let status = real.vectors().delete(by(delete.clone(), "ann", "pw")).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let two = DeleteRequest { ids: vec!["alien".into(), "clue".into()], ..delete };
    let status = real.vectors().delete(by(two, "ann", "pw")).await.unwrap_err();
    assert_eq!((status.code(), real.count("films").await), (Code::PermissionDenied, 3));
    let other = CountRequest { collection: "other".into(), ..CountRequest::default() };
    assert_eq!(real.vectors().count(by(other, "ann", "pw")).await.unwrap_err().code(), Code::PermissionDenied);

    for (user, password) in [("ann", "wrong"), ("bob", "pw")] {
        let status = real.vectors().count(by(count.clone(), user, password)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{user}:{password}");
    }
    real.run("ACL DELUSER ann").await.unwrap();
    let status = real.vectors().count(by(count, "ann", "pw")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_revoked_user_is_refused_within_an_open_pipeline() {
    let real = Real::start().await;
    real.run("ACL SETUSER ann on >pw ~* +@all").await.unwrap();
    let (requests, stream) = tokio::sync::mpsc::channel(1);
    let stream = tokio_stream::wrappers::ReceiverStream::new(stream);
    let mut answers = real.commands().pipeline(by(stream, "ann", "pw")).await.unwrap().into_inner();
    let set = || PipelineRequest { request_id: 1, argv: vec!["INCR".into(), "k".into()] };
    requests.send(set()).await.unwrap();
    assert!(matches!(answers.message().await.unwrap().unwrap().result, Some(pipeline_response::Result::Reply(_))));
    real.run("ACL DELUSER ann").await.unwrap();
    requests.send(set()).await.unwrap();
    let refused = match answers.message().await {
        Ok(Some(answer)) => matches!(answer.result, Some(pipeline_response::Result::Error(_))),
        Ok(None) | Err(_) => true,
    };
    assert!(refused);
    assert_eq!(real.run("GET k").await.unwrap(), Some(reply::Value::Bulk("1".into())));
}
