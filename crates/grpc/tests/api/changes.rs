//! What VectorService changes, lists and expires, on a real instance.

use std::time::Duration;

use crate::node::Real;
use crate::support::element;
use quiver_grpc::pb::bulk_upsert_ack::Result as AckResult;
use quiver_grpc::pb::expire_request::When;
use quiver_grpc::pb::*;
use tonic::Code;

fn get(ids: &[&str]) -> GetRequest {
    GetRequest {
        collection: "films".into(),
        ids: ids.iter().map(|id| id.to_string().into()).collect(),
        with_attributes: true,
        with_expiry: true,
        allow_missing: true,
        ..GetRequest::default()
    }
}

async fn attributes(real: &Real, id: &str) -> Option<String> {
    real.vectors().get(get(&[id])).await.unwrap().into_inner().elements.remove(0).attributes
}

fn update(id: &str, attributes: &str) -> AttributesUpdate {
    AttributesUpdate { id: id.to_owned().into(), attributes: attributes.into() }
}

async fn scanned(real: &Real, request: ScanRequest) -> Vec<Vec<String>> {
    let mut pages = real.vectors().scan(request).await.unwrap().into_inner();
    let mut all = Vec::new();
    while let Some(page) = pages.message().await.unwrap() {
        all.push(page.elements.iter().map(|element| String::from_utf8(element.id.to_vec()).unwrap()).collect());
    }
    all
}

#[tokio::test]
async fn attributes_are_replaced_or_merged_and_missing_ids_are_told() {
    let real = Real::with_films().await;
    let updates = vec![update("alien", r#"{"rating":8}"#), update("never", "{}")];
    let request = UpdateAttributesRequest { collection: "films".into(), updates, merge: false };
    let done = real.vectors().update_attributes(request.clone()).await.unwrap().into_inner();
    assert_eq!((done.updated, done.missing), (1, vec!["never".into()]));
    assert_eq!(attributes(&real, "alien").await.as_deref(), Some(r#"{"rating":8}"#));

    let updates = vec![update("clue", r#"{"year":null,"cast":{"lead":"Curry"}}"#)];
    let merging = UpdateAttributesRequest { updates, merge: true, ..request.clone() };
    assert_eq!(real.vectors().update_attributes(merging).await.unwrap().into_inner().updated, 1);
    let expected = r#"{"cast":{"lead":"Curry"},"genre":"comedy"}"#;
    assert_eq!(attributes(&real, "clue").await.as_deref(), Some(expected));

    let clearing = UpdateAttributesRequest { updates: vec![update("clue", "")], ..request };
    real.vectors().update_attributes(clearing).await.unwrap();
    assert_eq!(attributes(&real, "clue").await, None);
}

#[tokio::test]
async fn what_a_filter_matches_is_deleted_and_counted() {
    let real = Real::with_films().await;
    let counting = CountRequest { collection: "films".into(), filter: ".year == 1985".into() };
    assert_eq!(real.vectors().count(counting.clone()).await.unwrap().into_inner().count, 2);
    let request = DeleteByFilterRequest { collection: "films".into(), filter: ".year == 1985".into() };
    assert_eq!(real.vectors().delete_by_filter(request.clone()).await.unwrap().into_inner().deleted, 2);
    assert_eq!(real.vectors().delete_by_filter(request).await.unwrap().into_inner().deleted, 0);
    assert_eq!((real.count("films").await, real.vectors().count(counting).await.unwrap().into_inner().count), (1, 0));

    let broken = DeleteByFilterRequest { collection: "films".into(), filter: ".year ==".into() };
    assert_eq!(real.vectors().delete_by_filter(broken).await.unwrap_err().code(), Code::InvalidArgument);
    let missing = DeleteByFilterRequest { collection: "none".into(), filter: ".year == 1".into() };
    assert_eq!(real.vectors().delete_by_filter(missing).await.unwrap().into_inner().deleted, 0);
}

#[tokio::test]
async fn elements_end_when_they_are_told_to() {
    let real = Real::with_films().await;
    let request = |when, condition: ExpireCondition| ExpireRequest {
        collection: "films".into(),
        ids: vec!["alien".into(), "never".into()],
        when: Some(when),
        condition: condition.into(),
    };
    let always = ExpireCondition::Unspecified;
    for (when, condition, expected) in [
        (When::TtlMs(100_000), ExpireCondition::HasExpiry, ExpireOutcome::Unchanged),
        (When::TtlMs(100_000), always, ExpireOutcome::Set),
        (When::TtlMs(200_000), ExpireCondition::Sooner, ExpireOutcome::Unchanged),
        (When::Never(true), always, ExpireOutcome::Set),
        (When::Never(true), always, ExpireOutcome::Unchanged),
        (When::AtMs(4_000_000_000_000), ExpireCondition::NoExpiry, ExpireOutcome::Set),
    ] {
        let outcomes = real.vectors().expire(request(when, condition)).await.unwrap().into_inner().outcomes;
        assert_eq!(outcomes, [expected as i32, ExpireOutcome::NotFound as i32], "{when:?} {condition:?}");
    }
    let read = real.vectors().get(get(&["alien", "clue"])).await.unwrap().into_inner().elements;
    assert_eq!((read[0].expires_at_ms, read[1].expires_at_ms), (Some(4_000_000_000_000), None));

    let outcomes = real.vectors().expire(request(When::TtlMs(0), always)).await.unwrap().into_inner().outcomes;
    assert_eq!(outcomes[0], ExpireOutcome::Deleted as i32);
    assert_eq!(real.count("films").await, 2);
}

#[tokio::test]
async fn an_upsert_says_when_an_element_ends() {
    let real = Real::with_films().await;
    let soon = quiver_node::now_ms() + 300;
    let elements = vec![
        Element { expires_at_ms: Some(soon), ..element("dune", &[0.0, 1.0], None) },
        Element { expires_at_ms: Some(1), ..element("eraserhead", &[0.0, 1.0], None) },
    ];
    let request = UpsertRequest { collection: "films".into(), elements, index: None };
    let done = real.vectors().upsert(request).await.unwrap().into_inner();
    assert_eq!((done.inserted, real.count("films").await), (2, 4), "one of them is gone already");
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(real.vectors().get(get(&["dune"])).await.unwrap().into_inner().elements.is_empty());
}

#[tokio::test]
async fn a_scan_lists_all_elements_in_order_and_is_resumed_anywhere() {
    let real = Real::with_films().await;
    let request = ScanRequest { collection: "films".into(), page_size: 2, ..ScanRequest::default() };
    assert_eq!(scanned(&real, request.clone()).await, [vec!["alien", "brazil"], vec!["clue"]]);
    assert_eq!(scanned(&real, ScanRequest { after: "alien".into(), ..request.clone() }).await, [["brazil", "clue"]]);
    assert_eq!(scanned(&real, ScanRequest { limit: 1, ..request.clone() }).await, [["alien"]]);
    let filter = ".year == 1985".to_owned();
    assert_eq!(scanned(&real, ScanRequest { filter, ..request.clone() }).await, [["brazil", "clue"]]);
    let nothing = ScanRequest { collection: "none".into(), ..request.clone() };
    assert!(scanned(&real, nothing).await.is_empty());

    let whole = ScanRequest { with_vectors: true, with_attributes: true, limit: 1, ..request };
    let page = real.vectors().scan(whole).await.unwrap().into_inner().message().await.unwrap().unwrap();
    assert!(page.elements[0].vector.is_some() && page.elements[0].attributes.is_some());
}

#[tokio::test]
async fn a_scan_longer_than_one_fetch_of_ids_loses_nothing() {
    let real = Real::start().await;
    for chunk in 0..20 {
        let elements = (0..1_000).map(|n| element(&format!("{:05}", chunk * 1_000 + n), &[1.0, n as f32], None));
        let index = Some(IndexOptions { ef_construction: 1, ..IndexOptions::default() });
        let request = UpsertRequest { collection: "many".into(), elements: elements.collect(), index };
        real.vectors().upsert(request).await.unwrap();
    }
    let request = ScanRequest { collection: "many".into(), page_size: 1_000, ..ScanRequest::default() };
    let ids: Vec<String> = scanned(&real, request).await.concat();
    assert_eq!(ids.len(), 20_000);
    assert!(ids.is_sorted());
}

#[tokio::test]
async fn every_chunk_of_an_acknowledged_bulk_is_answered_in_its_place() {
    let real = Real::with_films().await;
    let chunk = |elements| BulkUpsertRequest { collection: "films".into(), elements, ..Default::default() };
    let chunks = vec![
        chunk(vec![element("dune", &[0.0, 1.0], None), element("alien", &[1.0, 0.0], None)]),
        chunk(vec![element("e", &[1.0], None)]),
        chunk(vec![]),
        chunk(vec![element("f", &[1.0, 1.0], None)]),
    ];
    let mut acks = real.vectors().bulk_upsert_acked(tokio_stream::iter(chunks)).await.unwrap().into_inner();
    let mut seen = Vec::new();
    while let Some(ack) = acks.message().await.unwrap() {
        seen.push(match ack.result.unwrap() {
            AckResult::Written(written) => {
                assert!(!written.token.is_empty());
                (ack.chunk, written.inserted, written.updated, 0)
            }
            AckResult::Error(error) => (ack.chunk, 0, 0, error.code),
        });
    }
    let refused = i32::from(Code::InvalidArgument);
    assert_eq!(seen, [(0, 1, 1, 0), (1, 0, 0, refused), (2, 0, 0, refused), (3, 1, 0, 0)]);
    assert_eq!(real.count("films").await, 5);
}

#[tokio::test]
async fn a_collection_that_projects_is_written_and_searched_without_saying_so_again() {
    let real = Real::start().await;
    let index = Some(IndexOptions { reduce_dim: 3, ..IndexOptions::default() });
    let vector: Vec<f32> = (0..8).map(|n| n as f32).collect();
    let elements = |id| vec![element(id, &vector, None)];
    let first = UpsertRequest { collection: "projected".into(), elements: elements("a"), index };
    real.vectors().upsert(first).await.unwrap();
    let second = UpsertRequest { collection: "projected".into(), elements: elements("b"), index: None };
    assert_eq!(real.vectors().upsert(second).await.unwrap().into_inner().inserted, 1);
    let counting = CountRequest { collection: "projected".into(), filter: ".x == 1".into() };
    assert_eq!(real.vectors().count(counting).await.unwrap().into_inner().count, 0);
}
