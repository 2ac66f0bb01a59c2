//! Bounds that calls share, tokens, and TLS.

use std::time::Duration;

use crate::node::Real;
use crate::support::{Model, Server, element};
use quiver_grpc::client::{SearchServiceClient, VectorServiceClient};
use quiver_grpc::pb::*;
use quiver_grpc::{ServeLimits, Shared, Tls, serve_shared};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

fn count() -> CountRequest {
    CountRequest { collection: "films".into(), ..CountRequest::default() }
}

fn with_token(token: &str) -> Request<CountRequest> {
    let mut request = Request::new(count());
    request.metadata_mut().insert("quiver-consistency-token", token.parse().unwrap());
    request
}

#[tokio::test]
async fn calls_beyond_the_limit_of_the_server_are_refused_until_others_end() {
    let limits = ServeLimits { calls_max: 2, ..ServeLimits::default() };
    let server = Server::start_with(Model::default(), limits).await;
    let open = || async {
        let (requests, stream) = mpsc::channel::<SearchStreamRequest>(1);
        (requests, server.searches().search_stream(ReceiverStream::new(stream)).await.unwrap())
    };
    let (one, _two) = (open().await, open().await);
    let status = server.vectors().count(count()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.get_details_retry_info().is_some());
    drop(one);
    for _ in 0..500 {
        if server.vectors().count(count()).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the place of a call that has ended is not free");
}

#[tokio::test]
async fn messages_beyond_the_memory_of_the_server_are_refused() {
    let limits = ServeLimits { message_memory_max: 64 << 10, message_bytes_max: 64 << 10, ..ServeLimits::default() };
    let model = Model::default();
    let server = Server::start_with(model, limits).await;
    server.model.with(|state| state.delay = Duration::from_millis(300));
    let large =
        UpsertRequest { collection: "films".into(), elements: vec![element("a", &[1.0; 10_000], None)], index: None };
    let (mut one, mut other) = (server.vectors(), server.vectors());
    let (one, other) = tokio::join!(one.upsert(large.clone()), other.upsert(large.clone()));
    let refused: Vec<_> = [one, other].into_iter().filter_map(Result::err).map(|status| status.code()).collect();
    assert_eq!(refused, [Code::ResourceExhausted]);
    server.vectors().upsert(large).await.unwrap();
}

#[tokio::test]
async fn a_token_is_waited_for_and_one_of_another_history_refused() {
    let real = Real::with_films().await;
    let elements = vec![element("dune", &[0.0, 1.0], None)];
    let request = UpsertRequest { collection: "films".into(), elements, index: None };
    let token = real.vectors().upsert(request).await.unwrap().into_inner().token;
    assert_eq!(real.vectors().count(with_token(&token)).await.unwrap().into_inner().count, 4);
    let foreign = format!("{}:7", "0".repeat(40));
    let status = real.vectors().count(with_token(&foreign)).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    for bad in ["", "token", "abc:", "abc:-1"] {
        assert_eq!(real.vectors().count(with_token(bad)).await.unwrap_err().code(), Code::InvalidArgument, "{bad}");
    }

    let limits = ServeLimits { request_timeout: Duration::from_millis(50), ..ServeLimits::default() };
    let server = Server::start_with(Model::default(), limits).await;
    let status = server.vectors().count(with_token("model:never")).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn what_is_given_up_at_its_deadline_does_not_go_on() {
    let limits = ServeLimits { request_timeout: Duration::from_millis(200), ..ServeLimits::default() };
    let real = Real::start_with(limits).await;
    let elements = (0..1_000).map(|n| element(&n.to_string(), &[1.0, n as f32], None)).collect();
    let index = Some(IndexOptions { ef_construction: 1_000_000, ..IndexOptions::default() });
    let request = UpsertRequest { collection: "films".into(), elements, index };
    // Slow or not: it is there as a whole or not at all.
    let outcome = real.vectors().upsert(request).await;
    let found = real.count("films").await;
    assert!(found == 0 || found == 1_000, "{found} of a transaction");
    assert!(outcome.is_err() || found == 1_000);
}

/// Resident memory of this process, server and clients, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

#[tokio::test]
async fn ten_thousand_streams_take_little_memory_and_harm_nobody() {
    let limits = ServeLimits { calls_max: 8_000, ..ServeLimits::default() };
    let real = Real::start_with(limits).await;
    let before = resident();
    let mut streams = Vec::new();
    let mut refused = 0;
    for _ in 0..100 {
        let channel = Endpoint::from_shared(real.address.clone()).unwrap().connect().await.unwrap();
        let calls = (0..100).map(|_| {
            let mut client = SearchServiceClient::new(channel.clone());
            let (requests, stream) = mpsc::channel::<SearchStreamRequest>(1);
            async move { (requests, client.search_stream(ReceiverStream::new(stream)).await) }
        });
        for call in calls {
            match call.await {
                (requests, Ok(answers)) => streams.push((requests, answers)),
                (_, Err(status)) => {
                    assert_eq!(status.code(), Code::ResourceExhausted);
                    refused += 1;
                }
            }
        }
    }
    assert_eq!((streams.len(), refused), (8_000, 2_000));
    let each = resident().saturating_sub(before) / streams.len();
    // Mostly the buffers of tonic, 8 KiB for each direction at each end, and other tests of the same moment.
    assert!(each < 96 << 10, "{each} bytes for both ends of a stream");
    drop(streams);
    for _ in 0..500 {
        if real.vectors().count(count()).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the server does not answer after the flood");
}

fn pem(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/tls/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// A server with TLS; where it is.
async fn serve_tls(client_ca: Option<Vec<u8>>) -> String {
    let tls = Tls { certificate: pem("server.pem"), key: pem("server.key"), client_ca, client_auth_optional: false };
    let shared = Shared::new(ServeLimits::default(), Some(&tls)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { serve_shared(listener, Model::default(), &shared, std::future::pending()).await });
    format!("https://localhost:{port}")
}

async fn count_over(address: &str, tls: ClientTlsConfig) -> Result<u64, String> {
    let endpoint = Endpoint::from_shared(address.to_owned()).unwrap().tls_config(tls).unwrap();
    let channel: Channel = endpoint.connect().await.map_err(|error| error.to_string())?;
    let response = VectorServiceClient::new(channel).count(count()).await.map_err(|status| status.to_string())?;
    Ok(response.into_inner().count)
}

#[tokio::test]
async fn calls_go_over_tls_with_and_without_a_certificate_of_the_client() {
    let trusting = || ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem("ca.pem")));
    let address = serve_tls(None).await;
    assert_eq!(count_over(&address, trusting()).await, Ok(0));
    assert!(count_over(&address, ClientTlsConfig::new()).await.is_err(), "nobody vouches for the server");

    let address = serve_tls(Some(pem("ca.pem"))).await;
    assert!(count_over(&address, trusting()).await.is_err(), "the client shows nothing");
    let identity = Identity::from_pem(pem("client.pem"), pem("client.key"));
    assert_eq!(count_over(&address, trusting().identity(identity)).await, Ok(0));
}

#[test]
fn a_certificate_that_is_none_is_an_error_before_anything_is_served() {
    let tls = Tls { certificate: b"no".to_vec(), key: b"no".to_vec(), client_ca: None, client_auth_optional: false };
    assert!(Shared::new(ServeLimits::default(), Some(&tls)).is_err());
}
