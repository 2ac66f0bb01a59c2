//! gRPC and RESP over the same collections of the running server.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use quiver_grpc::client::{SearchServiceClient, VectorServiceClient};
use quiver_grpc::f32_vector;
use quiver_grpc::health_pb::HealthCheckRequest;
use quiver_grpc::health_pb::health_check_response::ServingStatus;
use quiver_grpc::health_pb::health_client::HealthClient;
use quiver_grpc::pb::search_request::Query;
use quiver_grpc::pb::*;
use quiver_resp::Value;
use quiver_testkit::server::free_port;
use quiver_testkit::{Connection, Server};
use tokio_stream::StreamExt as _;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::support::{ask, connect, run, start};

/// A server with both APIs, and a channel to the gRPC one.
async fn serve(args: &[&str]) -> (Server, Channel) {
    let port = free_port().expect("a free port");
    serve_at(port, args).await
}

async fn serve_at(port: u16, args: &[&str]) -> (Server, Channel) {
    let port = port.to_string();
    let server = start(&[&["--grpc-port", &port], args].concat());
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).expect("an address");
    // RESP answers a moment before gRPC is up.
    for _ in 0..500 {
        if let Ok(channel) = endpoint.connect().await {
            return (server, channel);
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("nothing listens at the gRPC port");
}

fn element(id: &str, vector: &[f32], attributes: Option<&str>) -> Element {
    let (id, vector) = (id.to_owned().into(), Some(f32_vector(vector)));
    Element { id, vector, attributes: attributes.map(Into::into), ..Element::default() }
}

fn upsert(elements: Vec<Element>) -> UpsertRequest {
    UpsertRequest { collection: "films".into(), elements, index: None }
}

fn search(vector: &[f32], limit: u32) -> SearchRequest {
    SearchRequest {
        collection: "films".into(),
        query: Some(Query::Vector(f32_vector(vector))),
        limit,
        ..SearchRequest::default()
    }
}

fn count() -> CountRequest {
    CountRequest { collection: "films".into(), ..CountRequest::default() }
}

/// Ids and scores of VSIM.
fn vsim(connection: &mut Connection, line: &str) -> Vec<(Vec<u8>, f64)> {
    let pairs = run(connection, line).into_pairs().expect("pairs of id and score");
    let pairs =
        pairs.into_iter().map(|(id, score)| (id.as_bytes().expect("an id").to_vec(), score.as_f64().expect("a score")));
    pairs.collect()
}

#[tokio::test]
async fn what_grpc_writes_resp_reads_and_the_other_way_round() {
    let (server, channel) = serve(&[]).await;
    let mut connection = connect(&server);
    let mut vectors = VectorServiceClient::new(channel.clone());
    let mut searches = SearchServiceClient::new(channel);

    let films =
        vec![element("heat", &[1.0, 0.1, 0.0], Some(r#"{"year":1995}"#)), element("alien", &[0.0, 1.0, 0.2], None)];
    let response = vectors.upsert(upsert(films)).await.expect("an upsert").into_inner();
    assert_eq!((response.inserted, response.updated), (2, 0));
    run(&mut connection, "VADD films VALUES 3 0.9 0.2 0.1 ronin SETATTR {\"year\":1998}");

    assert_eq!(run(&mut connection, "VCARD films"), Value::Integer(3));
    assert_eq!(vectors.count(count()).await.expect("a count").into_inner().count, 3);
    assert_eq!(run(&mut connection, "VGETATTR films heat"), Value::Bulk(br#"{"year":1995}"#.to_vec()));

    let over_resp = vsim(&mut connection, "VSIM films VALUES 3 1 0 0 WITHSCORES");
    let hits = searches.search(search(&[1.0, 0.0, 0.0], 10)).await.expect("a search").into_inner().hits;
    let over_grpc: Vec<(Vec<u8>, f64)> = hits.into_iter().map(|hit| (hit.id.to_vec(), f64::from(hit.score))).collect();
    assert_eq!(over_grpc.len(), 3);
    assert_eq!(over_grpc[0].0, b"heat");
    for ((id, score), (other_id, other_score)) in over_resp.iter().zip(&over_grpc) {
        assert_eq!(id, other_id);
        assert!((score - other_score).abs() < 1e-6, "{score} {other_score}");
    }

    let request = SearchRequest { with_attributes: true, ..search(&[0.9, 0.2, 0.1], 1) };
    let hits = searches.search(request).await.expect("a search").into_inner().hits;
    assert_eq!(hits.len(), 1);
    assert_eq!((&hits[0].id[..], hits[0].attributes.as_deref()), (&b"ronin"[..], Some(r#"{"year":1998}"#)));

    let ids: Vec<tonic::codegen::Bytes> = vec!["ronin".into(), "alien".into()];
    let get = GetRequest {
        collection: "films".into(),
        ids: ids.clone(),
        with_vectors: true,
        with_attributes: true,
        ..GetRequest::default()
    };
    let elements = vectors.get(get).await.expect("a get").into_inner().elements;
    assert_eq!(elements.len(), 2);
    assert_eq!(elements[0].vector.as_ref().expect("it was asked for").dim, 3);

    let delete = DeleteRequest { collection: "films".into(), ids };
    assert_eq!(vectors.delete(delete).await.expect("a delete").into_inner().deleted, 2);
    assert_eq!(run(&mut connection, "VCARD films"), Value::Integer(1));
    run(&mut connection, "VREM films heat");
    assert_eq!(run(&mut connection, "EXISTS films"), Value::Integer(0));
    assert_eq!(vectors.count(count()).await.expect("a count").into_inner().count, 0);
}

#[tokio::test]
async fn mistakes_have_the_status_that_says_whose_they_are() {
    let (server, channel) = serve(&[]).await;
    let mut connection = connect(&server);
    let mut vectors = VectorServiceClient::new(channel.clone());
    let mut searches = SearchServiceClient::new(channel);
    run(&mut connection, "VADD films VALUES 2 1 2 a");
    for bad in [
        vec![element("b", &[1.0, f32::NAN], None)],
        vec![element("b", &[1.0, f32::INFINITY], None)],
        vec![element("b", &[], None)],
        vec![element("b", &[1.0, 2.0, 3.0], None)],
        vec![element("b", &[1.0, 2.0], None), element("c", &[1.0], None)],
        Vec::new(),
    ] {
        let status = vectors.upsert(upsert(bad)).await.expect_err("a bad vector");
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }
    assert_eq!(run(&mut connection, "VCARD films"), Value::Integer(1), "nothing of a refused batch was written");
    let status = searches.search(search(&[1.0, 2.0, 3.0], 1)).await.expect_err("another dimension");
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");

    run(&mut connection, "DEL films");
    let hits = searches.search(search(&[1.0, 2.0], 1)).await.expect("a search").into_inner().hits;
    assert!(hits.is_empty(), "a missing collection is an empty one");
    run(&mut connection, "SET films text");
    let status = vectors.upsert(upsert(vec![element("a", &[1.0], None)])).await.expect_err("a string");
    assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
}

#[tokio::test]
async fn a_replica_refuses_upserts_and_serves_searches() {
    let (primary, primary_channel) = serve(&[]).await;
    let port = primary.addr().port().to_string();
    let (replica, channel) = serve(&["--replicaof", "127.0.0.1", &port]).await;
    let films = vec![element("heat", &[1.0, 0.0], None)];
    VectorServiceClient::new(primary_channel).upsert(upsert(films.clone())).await.expect("an upsert");
    let mut on_replica = connect(&replica);
    crate::support::eventually("the element", || run(&mut on_replica, "EXISTS films") == Value::Integer(1));
    let hits = SearchServiceClient::new(channel.clone()).search(search(&[1.0, 0.0], 1)).await.expect("a search");
    assert_eq!(hits.into_inner().hits[0].id, &b"heat"[..]);
    let status = VectorServiceClient::new(channel).upsert(upsert(films)).await.expect_err("a write");
    assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
}

#[tokio::test]
async fn a_replica_that_is_shown_a_token_answers_when_it_has_the_write() {
    let (primary, primary_channel) = serve(&[]).await;
    let port = primary.addr().port().to_string();
    let (replica, channel) = serve(&["--replicaof", "127.0.0.1", &port]).await;
    let mut on_replica = connect(&replica);
    crate::support::eventually("the link", || run(&mut on_replica, "INFO replication").as_str().is_some_and(is_up));
    let mut writing = VectorServiceClient::new(primary_channel);
    let mut reading = VectorServiceClient::new(channel);
    for number in 1..=50 {
        let request = upsert(vec![element(&number.to_string(), &[1.0, 0.0], None)]);
        let token = writing.upsert(request).await.expect("an upsert").into_inner().token;
        let mut request = Request::new(count());
        request.metadata_mut().insert("quiver-consistency-token", token.parse().expect("ASCII"));
        assert_eq!(reading.count(request).await.expect("a count").into_inner().count, number);
    }
}

fn is_up(info: &str) -> bool {
    info.contains("master_link_status:up")
}

#[tokio::test]
async fn limits_and_certificates_are_changed_while_the_server_runs() {
    let (server, channel) = serve(&[]).await;
    let mut connection = connect(&server);
    let large = || upsert(vec![element("a", &[1.0; 10_000], None)]);
    assert_eq!(run(&mut connection, "CONFIG SET grpc-max-message-size 20kb"), Value::Simple(b"OK".to_vec()));
    let port = run(&mut connection, "CONFIG GET grpc-port").into_pairs().expect("a pair").remove(0).1;
    let address = format!("127.0.0.1:{}", port.as_str().expect("a port"));
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let mut limited = false;
    for _ in 0..200 {
        let fresh = endpoint.connect().await.expect("the port stays open");
        let refused = VectorServiceClient::new(fresh).upsert(large()).await.err();
        limited = refused.is_some_and(|status| status.code() == Code::ResourceExhausted);
        if limited {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(limited, "the new limit holds for new connections");
    drop(channel);

    let Value::Error(text) = ask(&mut connection, "CONFIG SET grpc-tls-cert-file /nowhere") else { panic!("an error") };
    assert!(text.starts_with(b"ERR CONFIG SET failed"), "{}", text.escape_ascii());
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../grpc/tests/tls");
    let set = format!("CONFIG SET grpc-tls-key-file {folder}/server.key grpc-tls-cert-file {folder}/server.pem");
    assert_eq!(run(&mut connection, &set), Value::Simple(b"OK".to_vec()));
    let plain = async |endpoint: &Endpoint| match endpoint.connect().await {
        Ok(channel) => VectorServiceClient::new(channel).count(count()).await.is_ok(),
        Err(_) => false,
    };
    for _ in 0..500 {
        if !plain(&endpoint).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("calls without TLS are still answered");
}

#[tokio::test]
async fn the_password_holds_for_grpc_as_well() {
    let (_server, channel) = serve(&["--requirepass", "secret"]).await;
    let mut vectors = VectorServiceClient::new(channel);
    let with = |value: Option<&'static str>| {
        let mut request = Request::new(count());
        if let Some(value) = value {
            request.metadata_mut().insert("authorization", MetadataValue::from_static(value));
        }
        request
    };
    assert_eq!(vectors.count(with(Some("Bearer secret"))).await.expect("a count").into_inner().count, 0);
    for refused in [None, Some("Bearer wrong"), Some("Bearer"), Some("Basic x")] {
        let status = vectors.count(with(refused)).await.expect_err("no password");
        assert_eq!(status.code(), Code::Unauthenticated, "{refused:?}");
    }
}

#[tokio::test]
async fn health_and_reflection_are_served() {
    let (_server, channel) = serve(&[]).await;
    for service in ["", "quiver.v1.VectorService", "quiver.v1.SearchService"] {
        let check = HealthCheckRequest { service: service.into() };
        let status = HealthClient::new(channel.clone()).check(check).await.expect("an answer").into_inner().status();
        assert_eq!(status, ServingStatus::Serving, "{service}");
    }
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(channel);
    let answers = client.server_reflection_info(tokio_stream::iter([list])).await.expect("an answer");
    let answer = answers.into_inner().next().await.expect("one answer").expect("no error");
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else { panic!("no list") };
    let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
    assert!(names.iter().any(|name| name == "quiver.v1.SearchService"), "{names:?}");
}

#[tokio::test]
async fn bytes_that_are_no_http2_end_only_their_own_connection() {
    let port = free_port().expect("a free port");
    let (_server, channel) = serve_at(port, &[]).await;
    for bytes in [&b"PING\r\n"[..], b"POST / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x00\x00"]
    {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the server accepts");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time that is not zero");
        stream.write_all(bytes).expect("the server reads");
        stream.shutdown(Shutdown::Write).expect("the connection is open");
        let mut rest = Vec::new();
        match stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "the server closes"),
        }
    }
    assert_eq!(VectorServiceClient::new(channel).count(count()).await.expect("a count").into_inner().count, 0);
}
