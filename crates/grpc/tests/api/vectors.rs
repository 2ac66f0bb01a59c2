//! VectorService through a real channel.

use crate::support::{Server, element};
use quiver_grpc::fp32_blob;
use quiver_grpc::pb::*;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

fn upsert(elements: Vec<Element>) -> UpsertRequest {
    UpsertRequest { collection: "films".into(), elements, index: None }
}

fn get(ids: &[&str]) -> GetRequest {
    GetRequest {
        collection: "films".into(),
        ids: ids.iter().map(|id| id.to_string().into()).collect(),
        with_vectors: true,
        with_attributes: true,
        allow_missing: false,
        with_expiry: false,
    }
}

fn fields(status: &Status) -> Vec<String> {
    let violations = status.get_details_bad_request().expect("BadRequest details").field_violations;
    violations.into_iter().map(|violation| violation.field).collect()
}

async fn count(server: &Server) -> u64 {
    let request = CountRequest { collection: "films".into(), ..CountRequest::default() };
    server.vectors().count(request).await.unwrap().into_inner().count
}

#[tokio::test]
async fn what_is_written_is_read_back_counted_and_deleted() {
    let server = Server::start().await;
    let mut client = server.vectors();
    let written =
        upsert(vec![element("alien", &[1.0, 0.0], Some(r#"{"year":1979}"#)), element("brazil", &[0.0, 1.0], None)]);
    let done = client.upsert(written).await.unwrap().into_inner();
    assert_eq!((done.inserted, done.updated), (2, 0));
    let done = client.upsert(upsert(vec![element("alien", &[0.5, 0.5], None)])).await.unwrap().into_inner();
    assert_eq!((done.inserted, done.updated), (0, 1));

    let elements = client.get(get(&["brazil", "alien"])).await.unwrap().into_inner().elements;
    assert_eq!(elements[0], element("brazil", &[0.0, 1.0], None));
    assert_eq!(elements[1], element("alien", &[0.5, 0.5], Some(r#"{"year":1979}"#)), "attributes were left alone");

    assert_eq!(count(&server).await, 2);
    let ids = vec!["alien".into(), "never".into()];
    let deleted = client.delete(DeleteRequest { collection: "films".into(), ids }).await.unwrap().into_inner().deleted;
    assert_eq!((deleted, count(&server).await), (1, 1));
}

#[tokio::test]
async fn a_batch_is_one_command_and_a_transaction_only_where_elements_differ_in_kind() {
    let server = Server::start().await;
    server.model.with(|state| state.received.clear());
    let two = upsert(vec![element("a", &[1.0], None), element("b", &[1.0], None)]);
    server.vectors().upsert(two).await.unwrap();
    server.vectors().upsert(upsert(vec![element("a", &[1.0], None)])).await.unwrap();
    let unlike = upsert(vec![element("a", &[1.0], None), element("b", &[1.0], Some("{}"))]);
    server.vectors().upsert(unlike).await.unwrap();
    let received = server.model.with(|state| state.received.clone());
    let received: Vec<_> = received.into_iter().filter(|name| name != "PING").collect();
    assert_eq!(received, ["VMADD", "VADD", "MULTI", "VADD", "VADD", "EXEC"]);
}

#[tokio::test]
async fn every_fault_of_a_request_is_named_and_nothing_is_written() {
    let server = Server::start().await;
    let mut bad = upsert(vec![
        element("good", &[1.0, 2.0], None),
        element("", &[1.0, f32::NAN], None),
        element("shape", &[1.0], Some("not json")),
        Element { id: "none".into(), ..Element::default() },
    ]);
    bad.index = Some(IndexOptions { quantization: 77, ..IndexOptions::default() });
    let status = server.vectors().upsert(bad).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let expected = [
        "elements[1].id",
        "elements[2].vector.dim",
        "elements[2].attributes",
        "elements[3].vector",
        "index.quantization",
        "elements[1].vector",
    ];
    assert_eq!(fields(&status), expected);
    assert_eq!(count(&server).await, 0);

    let status = server.vectors().upsert(UpsertRequest::default()).await.unwrap_err();
    assert_eq!(fields(&status), ["collection", "elements"]);
    let too_many = vec![element("x", &[1.0], None); quiver_grpc::limits::WRITE_ELEMENTS_MAX + 1];
    assert_eq!(fields(&server.vectors().upsert(upsert(too_many)).await.unwrap_err()), ["elements"]);
}

#[tokio::test]
async fn a_dimension_other_than_the_collections_is_named() {
    let server = Server::start().await;
    server.vectors().upsert(upsert(vec![element("a", &[1.0, 2.0], None)])).await.unwrap();
    let status = server.vectors().upsert(upsert(vec![element("b", &[1.0], None)])).await.unwrap_err();
    assert_eq!((status.code(), fields(&status)), (Code::InvalidArgument, vec!["elements[0].vector".to_owned()]));
    assert_eq!(status.get_details_error_info().unwrap().reason, "ERR");
}

#[tokio::test]
async fn options_left_open_are_those_of_the_existing_collection() {
    let server = Server::start().await;
    let mut first = upsert(vec![element("a", &[1.0, 2.0], None)]);
    first.index = Some(IndexOptions { quantization: Quantization::None.into(), ..IndexOptions::default() });
    server.vectors().upsert(first.clone()).await.unwrap();
    server.vectors().upsert(upsert(vec![element("b", &[1.0, 2.0], None)])).await.unwrap();
    first.index = Some(IndexOptions { quantization: Quantization::Q8.into(), ..IndexOptions::default() });
    let status = server.vectors().upsert(first).await.unwrap_err();
    assert_eq!((status.code(), count(&server).await), (Code::FailedPrecondition, 2));
}

#[tokio::test]
async fn a_missing_collection_or_element_is_not_found_unless_allowed() {
    let server = Server::start().await;
    let mut client = server.vectors();
    let status = client.get(get(&["alien"])).await.unwrap_err();
    let resource = status.get_details_resource_info().unwrap();
    assert_eq!((status.code(), resource.resource_type.as_str()), (Code::NotFound, "collection"));

    client.upsert(upsert(vec![element("alien", &[1.0], None)])).await.unwrap();
    let status = client.get(get(&["alien", "never"])).await.unwrap_err();
    let resource = status.get_details_resource_info().unwrap();
    assert_eq!((resource.resource_type.as_str(), resource.resource_name.as_str()), ("element", "films/never"));

    let allowing = GetRequest { allow_missing: true, with_vectors: false, ..get(&["never", "alien"]) };
    let found = client.get(allowing).await.unwrap().into_inner().elements;
    assert_eq!(found, [Element { id: "alien".into(), ..Element::default() }]);
}

#[tokio::test]
async fn half_precision_in_is_single_precision_out() {
    let server = Server::start().await;
    let packed: Vec<u8> = [1.5_f32, -2.0].iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect();
    let vector = Some(Vector { dtype: Dtype::F16.into(), dim: 2, packed: packed.into(), floats: vec![] });
    let given = Element { id: "h".into(), vector, ..Element::default() };
    server.vectors().upsert(upsert(vec![given])).await.unwrap();
    let read = server.vectors().get(get(&["h"])).await.unwrap().into_inner();
    let vector = read.elements[0].vector.as_ref().unwrap();
    assert_eq!(vector.dtype(), Dtype::F32);
    assert_eq!(*fp32_blob(vector).unwrap(), [1.5_f32.to_le_bytes(), (-2.0_f32).to_le_bytes()].concat());
}

#[tokio::test]
async fn a_bulk_upsert_goes_on_after_a_refused_chunk_and_reports_it() {
    let server = Server::start().await;
    let chunk = |elements| BulkUpsertRequest { collection: "films".into(), elements, ..BulkUpsertRequest::default() };
    let chunks = vec![
        chunk(vec![element("a", &[1.0, 0.0], None), element("b", &[0.0, 1.0], None)]),
        chunk(vec![element("c", &[1.0], None), element("d", &[1.0], None), element("e", &[1.0], None)]),
        chunk(vec![element("a", &[1.0, 1.0], None), element("f", &[1.0, 2.0], None)]),
    ];
    let summary = server.vectors().bulk_upsert(tokio_stream::iter(chunks)).await.unwrap().into_inner();
    assert_eq!((summary.inserted, summary.updated, summary.rejected), (3, 1, 3));
    let [error] = summary.errors.as_slice() else { panic!("one refused chunk, not {:?}", summary.errors) };
    let status = error.status.as_ref().unwrap();
    assert_eq!((error.chunk, status.code), (1, i32::from(Code::InvalidArgument)));
    assert!(!status.details.is_empty());
}

#[tokio::test]
async fn a_bulk_upsert_ends_when_the_server_takes_no_writes() {
    let server = Server::start().await;
    server.model.with(|state| state.fault = Some("READONLY You can't write against a read only replica."));
    let chunks = vec![BulkUpsertRequest {
        collection: "films".into(),
        elements: vec![element("a", &[1.0], None)],
        ..BulkUpsertRequest::default()
    }];
    let status = server.vectors().bulk_upsert(tokio_stream::iter(chunks)).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.get_details_error_info().unwrap().reason, "READONLY");
}

#[tokio::test]
async fn errors_of_the_server_come_with_their_code_and_reason() {
    let server = Server::start().await;
    server.model.with(|state| state.strings.push(b"films".to_vec()));
    let status = server
        .vectors()
        .count(CountRequest { collection: "films".into(), ..CountRequest::default() })
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.get_details_error_info().unwrap().reason, "WRONGTYPE");

    for (fault, code) in [
        ("OOM command not allowed when used memory > 'maxmemory'.", Code::ResourceExhausted),
        ("LOADING the dataset is being loaded", Code::Unavailable),
        ("NOPERM no permission", Code::PermissionDenied),
    ] {
        server.model.with(|state| state.fault = Some(fault));
        let status = server.vectors().upsert(upsert(vec![element("a", &[1.0], None); 2])).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, fault));
        let retries = matches!(code, Code::ResourceExhausted | Code::Unavailable);
        assert_eq!(status.get_details_retry_info().is_some(), retries, "{fault}");
    }
}
