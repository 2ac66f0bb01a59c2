//! What surrounds the services: credentials, limits, health, reflection, shutdown.

use std::time::Duration;

use crate::support::{Model, Server, element};
use quiver_grpc::ServeLimits;
use quiver_grpc::health_pb::HealthCheckRequest;
use quiver_grpc::health_pb::health_check_response::ServingStatus;
use quiver_grpc::health_pb::health_client::HealthClient;
use quiver_grpc::pb::*;
use tokio_stream::StreamExt as _;
use tonic::metadata::MetadataValue;
use tonic::transport::Endpoint;
use tonic::{Code, Request};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};
use tonic_types::StatusExt as _;

fn count() -> CountRequest {
    CountRequest { collection: "films".into(), ..CountRequest::default() }
}

fn with_header(name: &'static str, value: &'static str) -> Request<CountRequest> {
    let mut request = Request::new(count());
    request.metadata_mut().insert(name, MetadataValue::from_static(value));
    request
}

#[tokio::test]
async fn credentials_decide_who_may_call() {
    let server = Server::start().await;
    server.model.with(|state| state.password = Some(b"secret".to_vec()));
    let mut client = server.vectors();
    for request in [with_header("authorization", "Bearer secret"), with_header("api-key", "secret")] {
        assert_eq!(client.count(request).await.unwrap().into_inner().count, 0);
    }
    for (request, reason) in [
        (Request::new(count()), Some("NOAUTH")),
        (with_header("authorization", "Bearer wrong"), Some("WRONGPASS")),
        (with_header("authorization", "Digest x"), None),
    ] {
        let status = client.count(request).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        assert_eq!(status.get_details_error_info().map(|info| info.reason).as_deref(), reason);
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_at_the_deadline() {
    let limits = ServeLimits { request_timeout: Duration::from_millis(50), ..ServeLimits::default() };
    let server = Server::start_with(Model::default(), limits).await;
    server.model.with(|state| state.delay = Duration::from_secs(5));
    assert_eq!(server.vectors().count(count()).await.unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_resource_exhausted() {
    let limits = ServeLimits { message_bytes_max: 10_000, ..ServeLimits::default() };
    let server = Server::start_with(Model::default(), limits).await;
    let large = vec![element("a", &[1.0; 5_000], None)];
    let request = UpsertRequest { collection: "films".into(), elements: large.clone(), index: None };
    assert_eq!(server.vectors().upsert(request).await.unwrap_err().code(), Code::ResourceExhausted);
    let chunk = BulkUpsertRequest { collection: "films".into(), elements: large, ..BulkUpsertRequest::default() };
    let status = server.vectors().bulk_upsert(tokio_stream::iter([chunk])).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(server.vectors().count(count()).await.unwrap().into_inner().count, 0);
}

#[tokio::test]
async fn calls_beyond_the_limit_of_a_connection_are_shed() {
    let limits = ServeLimits { concurrency_max: 1, ..ServeLimits::default() };
    let server = Server::start_with(Model::default(), limits).await;
    server.model.with(|state| state.delay = Duration::from_millis(300));
    let (mut one, mut other) = (server.vectors(), server.vectors());
    let (one, other) = tokio::join!(one.count(count()), other.count(count()));
    let shed = [one, other].into_iter().filter_map(Result::err).map(|status| status.code());
    assert_eq!(shed.collect::<Vec<_>>(), [Code::ResourceExhausted]);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_a_freed_slot_is_taken() {
    let limits = ServeLimits { connections_max: 1, ..ServeLimits::default() };
    let server = Server::start_with(Model::default(), limits).await;
    server.vectors().count(count()).await.unwrap();
    let endpoint = Endpoint::from_shared(server.address.clone()).unwrap();
    let refused = match endpoint.connect().await {
        Err(_) => true,
        Ok(channel) => quiver_grpc::client::VectorServiceClient::new(channel).count(count()).await.is_err(),
    };
    assert!(refused, "a second connection was served");
    assert_eq!(server.vectors().count(count()).await.unwrap().into_inner().count, 0, "the first goes on");

    let Server { channel, model: _model, .. } = server;
    drop(channel);
    let freed = async {
        loop {
            if let Ok(channel) = endpoint.connect().await
                && quiver_grpc::client::VectorServiceClient::new(channel).count(count()).await.is_ok()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), freed).await.expect("the slot of a closed connection is free");
}

#[tokio::test]
async fn health_follows_the_readiness_of_the_server() {
    let model = Model::default();
    model.with(|state| state.fault = Some("LOADING the dataset is being loaded"));
    let server = Server::start_with(model, ServeLimits::default()).await;
    let mut client = HealthClient::new(server.channel.clone());
    let check = |service: &str| HealthCheckRequest { service: service.into() };
    for service in ["", "quiver.v1.VectorService", "quiver.v1.SearchService"] {
        let status = client.check(check(service)).await.unwrap().into_inner().status();
        assert_eq!(status, ServingStatus::NotServing, "{service}");
    }
    assert_eq!(client.check(check("quiver.v1.Other")).await.unwrap_err().code(), Code::NotFound);

    let mut watch = client.watch(check("quiver.v1.SearchService")).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    server.model.with(|state| state.fault = None);
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);

    server.model.with(|state| state.fault = Some("NOAUTH Authentication required."));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let status = client.check(check("")).await.unwrap().into_inner().status();
    assert_eq!(status, ServingStatus::Serving, "a server that asks for credentials is up");
}

async fn reflect(server: &Server, message_request: MessageRequest) -> MessageResponse {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(message_request) };
    let mut client = ServerReflectionClient::new(server.channel.clone());
    let mut answers = client.server_reflection_info(tokio_stream::iter([request])).await.unwrap().into_inner();
    let answer: ServerReflectionResponse = answers.next().await.unwrap().unwrap();
    answer.message_response.unwrap()
}

#[tokio::test]
async fn reflection_lists_the_services_and_their_files() {
    let server = Server::start().await;
    let MessageResponse::ListServicesResponse(list) =
        reflect(&server, MessageRequest::ListServices(String::new())).await
    else {
        panic!("no list of services");
    };
    let mut names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    names.sort();
    for name in ["grpc.health.v1.Health", "quiver.v1.SearchService", "quiver.v1.VectorService"] {
        assert!(names.iter().any(|listed| listed == name), "{name} is not among {names:?}");
    }
    for symbol in ["quiver.v1.SearchService", "google.rpc.Status", "quiver.v1.Dtype"] {
        let answer = reflect(&server, MessageRequest::FileContainingSymbol(symbol.into())).await;
        assert!(matches!(answer, MessageResponse::FileDescriptorResponse(_)), "{symbol}: {answer:?}");
    }
}

#[tokio::test]
async fn shutdown_ends_the_server_even_with_a_stream_open() {
    let limits = ServeLimits { shutdown_grace: Duration::from_millis(200), ..ServeLimits::default() };
    let server = Server::start_with(Model::default(), limits).await;
    let mut client = HealthClient::new(server.channel.clone());
    let mut watch = client.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    tokio::time::timeout(Duration::from_secs(5), server.stop()).await.expect("an end within the grace").unwrap();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
}
