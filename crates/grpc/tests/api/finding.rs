//! What SearchService finds, on a real instance.

use crate::node::{Real, fields};
use crate::support::element;
use quiver_grpc::f32_vector;
use quiver_grpc::pb::search_request::Query;
use quiver_grpc::pb::*;
use tonic::Code;

fn near(query: &[f32]) -> SearchRequest {
    let query = Some(Query::Vector(f32_vector(query)));
    SearchRequest { collection: "films".into(), query, ..SearchRequest::default() }
}

fn ids(response: &SearchResponse) -> Vec<String> {
    response.hits.iter().map(|hit| String::from_utf8(hit.id.to_vec()).unwrap()).collect()
}

async fn search(real: &Real, request: SearchRequest) -> SearchResponse {
    real.searches().search(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_range_is_all_above_a_score() {
    let real = Real::with_films().await;
    let request = SearchRequest { min_score: Some(0.75), limit: 1_000, ..near(&[1.0, 0.0]) };
    assert_eq!(ids(&search(&real, request.clone()).await), ["alien", "brazil"]);
    assert_eq!(ids(&search(&real, SearchRequest { min_score: Some(1.0), ..request.clone() }).await), ["alien"]);
    assert_eq!(ids(&search(&real, SearchRequest { min_score: Some(0.0), ..request }).await).len(), 3);
}

#[tokio::test]
async fn a_recommendation_leaves_out_what_it_is_made_from() {
    let real = Real::with_films().await;
    let recommend = Recommend { positive: vec!["alien".into()], negative: vec!["clue".into()] };
    let request = SearchRequest { query: Some(Query::Recommend(recommend)), ..near(&[]) };
    assert_eq!(ids(&search(&real, request.clone()).await), ["brazil"]);
    let unknown = Recommend { positive: vec!["never".into()], negative: vec![] };
    let request = SearchRequest { query: Some(Query::Recommend(unknown)), ..request };
    assert_eq!(real.searches().search(request).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_recall_target_says_how_it_was_met() {
    let real = Real::with_films().await;
    let request =
        SearchRequest { recall: Some(0.95), with_info: true, filter: ".year > 0".into(), ..near(&[1.0, 0.0]) };
    let response = search(&real, request.clone()).await;
    let info = response.info.clone().unwrap();
    assert_eq!(response.hits.len(), 3);
    assert!(["search", "walk", "hop", "near", "scan"].contains(&info.plan.as_str()), "{}", info.plan);
    let exact = search(&real, SearchRequest { exact: true, recall: None, ..request }).await.info.unwrap();
    assert!(exact.exact && exact.plan == "scan");
    let nowhere = SearchRequest { collection: "none".into(), with_info: true, ..near(&[1.0, 0.0]) };
    assert_eq!(search(&real, nowhere).await, SearchResponse::default());
}

#[tokio::test]
async fn hits_come_with_fields_of_hashes_and_in_groups() {
    let real = Real::with_films().await;
    real.run("HSET film:alien director Scott budget 11").await.unwrap();
    let with_fields = Some(HashFields { prefix: "film:".into(), names: vec!["director".into(), "none".into()] });
    let request = SearchRequest { with_fields, with_attributes: true, limit: 2, ..near(&[1.0, 0.0]) };
    let response = search(&real, request).await;
    let values: Vec<Vec<Option<&[u8]>>> =
        response.hits.iter().map(|hit| hit.fields.iter().map(|field| field.value.as_deref()).collect()).collect();
    assert_eq!(values, [[Some(b"Scott".as_slice()), None], [None, None]]);
    assert!(response.hits[0].attributes.is_some());

    let group_by = Some(GroupBy { field: "year".into(), group_limit: 2 });
    let response = search(&real, SearchRequest { group_by, with_attributes: true, ..near(&[1.0, 0.0]) }).await;
    let groups: Vec<_> = response.hits.iter().map(|hit| hit.group.as_deref().unwrap()).collect();
    assert_eq!(groups, [b"1979", b"1985", b"1985"]);
    assert_eq!(ids(&response), ["alien", "brazil", "clue"]);
}

#[tokio::test]
async fn faults_of_the_further_options_are_named() {
    let real = Real::with_films().await;
    let group_by = |field: &str, group_limit| Some(GroupBy { field: field.into(), group_limit });
    let names = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Some(HashFields { prefix: "film:".into(), names })
    };
    let recommend = |positive: &[&'static str]| {
        let positive = positive.iter().map(|id| (*id).into()).collect();
        Some(Query::Recommend(Recommend { positive, negative: vec![] }))
    };
    for (request, expected) in [
        (SearchRequest { recall: Some(1.5), ..near(&[1.0, 0.0]) }, vec!["recall"]),
        (SearchRequest { recall: Some(f64::NAN), ..near(&[1.0, 0.0]) }, vec!["recall"]),
        (SearchRequest { group_by: group_by("", 1), ..near(&[1.0, 0.0]) }, vec!["group_by.field"]),
        (SearchRequest { group_by: group_by("x", 5_000), ..near(&[1.0, 0.0]) }, vec!["group_by.group_limit"]),
        (SearchRequest { with_fields: names(&[]), ..near(&[1.0, 0.0]) }, vec!["with_fields.names"]),
        (
            SearchRequest { with_fields: names(&["f"]), group_by: group_by("x", 1), ..near(&[1.0, 0.0]) },
            vec!["with_fields"],
        ),
        (SearchRequest { query: recommend(&[]), ..near(&[]) }, vec!["recommend.positive"]),
        (SearchRequest { query: recommend(&["a", ""]), ..near(&[]) }, vec!["recommend.positive[1]"]),
    ] {
        let status = real.searches().search(request).await.unwrap_err();
        assert_eq!(
            (status.code(), fields(&status)),
            (Code::InvalidArgument, expected.iter().map(|f| f.to_string()).collect())
        );
    }
}

#[tokio::test]
async fn recall_is_measured_against_exact_searches() {
    let real = Real::start().await;
    let mut state = 1_u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from((state >> 16) as u16) / 32_768.0 - 1.0
    };
    let elements = (0..1_000).map(|n| element(&n.to_string(), &std::array::from_fn::<_, 8, _>(|_| random()), None));
    let request = UpsertRequest { collection: "many".into(), elements: elements.collect(), index: None };
    real.vectors().upsert(request).await.unwrap();

    let request = MeasureRecallRequest { collection: "many".into(), sample: 50, ..MeasureRecallRequest::default() };
    let measured = real.searches().measure_recall(request.clone()).await.unwrap().into_inner();
    assert_eq!(measured.queries, 50);
    assert!(measured.recall > 0.9 && measured.recall_min <= measured.recall, "{measured:?}");
    assert!(measured.search_p50_us > 0.0 && measured.exact_p50_us > 0.0);

    let queries = vec![f32_vector(&[1.0; 8])];
    let given = MeasureRecallRequest { queries, ef: 1_000, ..request.clone() };
    let measured = real.searches().measure_recall(given).await.unwrap().into_inner();
    assert_eq!((measured.queries, measured.recall), (1, 1.0));
    let nowhere = MeasureRecallRequest { collection: "none".into(), ..request };
    assert_eq!(real.searches().measure_recall(nowhere).await.unwrap().into_inner().queries, 0);
}
