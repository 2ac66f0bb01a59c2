//! SearchService through a real channel.

use crate::support::{Server, element};
use quiver_grpc::f32_vector;
use quiver_grpc::pb::search_request::Query;
use quiver_grpc::pb::search_stream_response::Result as StreamResult;
use quiver_grpc::pb::*;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_types::StatusExt as _;

async fn films() -> Server {
    let server = Server::start().await;
    let elements = vec![
        element("alien", &[1.0, 0.0], Some(r#"{"year":1979}"#)),
        element("brazil", &[0.0, 1.0], None),
        element("clue", &[-1.0, 0.0], None),
    ];
    let request = UpsertRequest { collection: "films".into(), elements, index: None };
    server.vectors().upsert(request).await.unwrap();
    server
}

fn near(query: &[f32]) -> SearchRequest {
    let query = Some(Query::Vector(f32_vector(query)));
    SearchRequest { collection: "films".into(), query, ..SearchRequest::default() }
}

fn near_id(id: &'static str) -> SearchRequest {
    SearchRequest { query: Some(Query::Id(id.into())), ..near(&[0.0]) }
}

fn ids(response: &SearchResponse) -> Vec<&[u8]> {
    response.hits.iter().map(|hit| hit.id.as_ref()).collect()
}

#[tokio::test]
async fn hits_come_best_first_with_similarity_and_attributes() {
    let server = films().await;
    let request = SearchRequest { with_attributes: true, exact: true, ef: 50, ..near(&[2.0, 0.0]) };
    let hits = server.searches().search(request).await.unwrap().into_inner().hits;
    let hit = |id: &'static str, score, attributes: Option<&str>| Hit {
        id: id.into(),
        score,
        attributes: attributes.map(Into::into),
        ..Hit::default()
    };
    let expected = [hit("alien", 1.0, Some(r#"{"year":1979}"#)), hit("brazil", 0.5, None), hit("clue", 0.0, None)];
    assert_eq!(hits, expected);
}

#[tokio::test]
async fn limit_and_min_score_bound_the_hits() {
    let server = films().await;
    let response = server.searches().search(SearchRequest { limit: 1, ..near_id("clue") }).await.unwrap().into_inner();
    assert_eq!(ids(&response), [b"clue"]);
    let request = SearchRequest { min_score: Some(0.4), ..near(&[1.0, 0.0]) };
    let response = server.searches().search(request).await.unwrap().into_inner();
    assert_eq!(ids(&response), [b"alien".as_slice(), b"brazil"]);
}

#[tokio::test]
async fn a_collection_that_does_not_exist_answers_like_an_empty_one() {
    let server = Server::start().await;
    assert_eq!(server.searches().search(near(&[1.0])).await.unwrap().into_inner(), SearchResponse::default());
}

#[tokio::test]
async fn faults_of_a_search_are_named() {
    let server = films().await;
    let bad = SearchRequest {
        query: Some(Query::Vector(f32_vector(&[f32::INFINITY]))),
        limit: 10_001,
        ef: 2_000_000,
        min_score: Some(f32::NAN),
        ..SearchRequest::default()
    };
    for (request, expected) in [
        (bad, vec!["collection", "limit", "ef", "min_score", "vector"]),
        (SearchRequest { query: None, ..near(&[]) }, vec!["query"]),
        (near_id(""), vec!["id"]),
        (near(&[1.0]), vec!["vector"]),
        (SearchRequest { filter: ".year ==".into(), ..near(&[1.0, 1.0]) }, vec!["filter"]),
    ] {
        let status = server.searches().search(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations.into_iter().map(|violation| violation.field).collect::<Vec<_>>(), expected);
    }
    let status = server.searches().search(near_id("never")).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.get_details_resource_info().unwrap().resource_name, "films/never");
}

#[tokio::test]
async fn a_batch_answers_in_order_or_names_the_search_at_fault() {
    let server = films().await;
    let searches =
        vec![SearchRequest { limit: 1, ..near_id("brazil") }, SearchRequest { limit: 1, ..near_id("alien") }];
    let responses =
        server.searches().search_batch(SearchBatchRequest { searches }).await.unwrap().into_inner().responses;
    assert_eq!([ids(&responses[0]), ids(&responses[1])], [[b"brazil".as_slice()], [b"alien".as_slice()]]);

    for (wrong, field) in [(near(&[1.0]), "searches[1].vector"), (near_id(""), "searches[1].id")] {
        let searches = vec![near_id("alien"), wrong];
        let status = server.searches().search_batch(SearchBatchRequest { searches }).await.unwrap_err();
        assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, field);
    }
    let status = server.searches().search_batch(SearchBatchRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_stream_answers_each_search_as_it_comes_and_survives_a_failed_one() {
    let server = films().await;
    let (requests, stream) = mpsc::channel(1);
    let mut answers = server.searches().search_stream(ReceiverStream::new(stream)).await.unwrap().into_inner();
    let searches =
        [Some(SearchRequest { limit: 1, ..near_id("clue") }), Some(near_id("never")), None, Some(near_id("alien"))];
    for (request_id, search) in (7..).zip(searches) {
        requests.send(SearchStreamRequest { request_id, search }).await.unwrap();
        let answer = answers.message().await.unwrap().unwrap();
        assert_eq!(answer.request_id, request_id);
        match (request_id, answer.result.unwrap()) {
            (7, StreamResult::Response(response)) => assert_eq!(ids(&response), [b"clue"]),
            (8, StreamResult::Error(error)) => assert_eq!(error.code, i32::from(Code::NotFound)),
            (9, StreamResult::Error(error)) => assert_eq!(error.code, i32::from(Code::InvalidArgument)),
            (10, StreamResult::Response(response)) => assert_eq!(response.hits.len(), 3),
            (request_id, result) => panic!("request {request_id} was answered by {result:?}"),
        }
    }
    drop(requests);
    assert_eq!(answers.message().await.unwrap(), None);
}
