//! The listening server: services, health, reflection, limits, and an orderly end.
//!
//! tonic's defaults leave messages, streams and connections open-ended or nearly so; [`ServeLimits`] bounds each of them.
//! Health is what a PING through the executor says, asked every second: a server that is loading is NOT_SERVING.

use std::future::Future;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::body::Body;
use tonic::codegen::http::{HeaderValue, Response};
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::util::MapResponseLayer;

use crate::cache::Caches;
use crate::executor::Executor;
use crate::features::Features;
use crate::gateway::Gateway;
use crate::incoming::accept;
use crate::pb::feature_service_server::FeatureServiceServer;
use crate::pb::search_service_server::SearchServiceServer;
use crate::pb::semantic_cache_service_server::SemanticCacheServiceServer;
use crate::pb::vector_service_server::VectorServiceServer;
use crate::search::Searches;
use crate::vectors::Vectors;

/// Bounds of a gRPC server.
#[derive(Clone, Copy, Debug)]
pub struct ServeLimits {
    /// Connections open at a time; more are closed at once.
    pub connections_max: usize,
    /// Largest message, either way, in bytes.
    pub message_bytes_max: usize,
    /// Calls open at a time on a connection, by the protocol's own limit.
    pub streams_max: u32,
    /// Calls being answered at a time on a connection; more are refused with RESOURCE_EXHAUSTED.
    pub concurrency_max: usize,
    /// Longest wait for the server within a call. A client's own deadline may be shorter.
    pub request_timeout: Duration,
    /// Silence after which a connection is probed.
    pub keepalive_interval: Duration,
    /// Silence after a probe that ends a connection.
    pub keepalive_timeout: Duration,
    /// How long open calls may go on after the shutdown signal.
    pub shutdown_grace: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            message_bytes_max: 64 << 20,
            streams_max: 100,
            concurrency_max: 64,
            request_timeout: Duration::from_secs(30),
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            shutdown_grace: Duration::from_secs(5),
        }
    }
}

/// Why a gRPC server ended other than by its signal.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The transport failed.
    #[error("the gRPC server failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// The descriptors cannot be served.
    #[error("gRPC reflection cannot be set up: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// How often readiness is asked for.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Frames of at most 16 KiB, so that a large message does not block the others of its connection.
const FRAME_BYTES_MAX: u32 = 16 << 10;
/// Largest header list of a request, in bytes.
const HEADER_BYTES_MAX: u32 = 16 << 10;

/// Serves the gRPC API on `listener` with the default limits until `shutdown` completes.
///
/// # Errors
/// [`ServeError`].
pub async fn serve(
    listener: TcpListener,
    executor: impl Executor,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    serve_with(listener, executor, ServeLimits::default(), shutdown).await
}

/// Serves the gRPC API on `listener` until `shutdown` completes: VectorService, SearchService, FeatureService,
/// SemanticCacheService, grpc.health.v1 and reflection v1 and v1alpha.
///
/// After the signal health says NOT_SERVING, no connection is accepted, and open calls have
/// [`ServeLimits::shutdown_grace`] to end. Must run within a tokio runtime with time and I/O; connections are tasks of
/// it.
///
/// # Errors
/// [`ServeError`].
pub async fn serve_with(
    listener: TcpListener,
    executor: impl Executor,
    limits: ServeLimits,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let gateway = Gateway::new(executor, limits.request_timeout);
    let (health, health_service) = tonic_health::server::health_reporter();
    report(&health, gateway.is_ready().await).await;

    let message_max = limits.message_bytes_max;
    let vectors = VectorServiceServer::new(Vectors::new(gateway.clone())).max_decoding_message_size(message_max);
    let searches = SearchServiceServer::new(Searches::new(gateway.clone())).max_decoding_message_size(message_max);
    let features = FeatureServiceServer::new(Features::new(gateway.clone())).max_decoding_message_size(message_max);
    let caches = SemanticCacheServiceServer::new(Caches::new(gateway.clone())).max_decoding_message_size(message_max);
    let router = builder(&limits)
        .layer(MapResponseLayer::new(rename_out_of_range))
        .add_service(vectors.max_encoding_message_size(message_max))
        .add_service(searches.max_encoding_message_size(message_max))
        .add_service(features.max_encoding_message_size(message_max))
        .add_service(caches.max_encoding_message_size(message_max))
        .add_service(health_service)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);

    let (connections, incoming) = mpsc::channel(1);
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = router.serve_with_incoming_shutdown(ReceiverStream::new(incoming), async {
        // An error means that the sender is gone, which is as good a reason to stop.
        let _ = stopped.await;
    });
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => return Ok(ended?),
        () = accept(listener, limits.connections_max, connections) => {}
        () = probe(&gateway, &health) => {}
        () = shutdown => {}
    }
    report(&health, false).await;
    drop(stop);
    match tokio::time::timeout(limits.shutdown_grace, serving).await {
        Ok(ended) => Ok(ended?),
        Err(_) => {
            tracing::info!("gRPC calls were still open at shutdown");
            Ok(())
        }
    }
}

fn builder(limits: &ServeLimits) -> Server {
    Server::builder()
        .max_concurrent_streams(limits.streams_max)
        .concurrency_limit_per_connection(limits.concurrency_max)
        .load_shed(true)
        .http2_keepalive_interval(Some(limits.keepalive_interval))
        .http2_keepalive_timeout(Some(limits.keepalive_timeout))
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .max_frame_size(FRAME_BYTES_MAX)
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(crate::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// tonic answers a message beyond the size limit before any method runs, as OUT_OF_RANGE; no method uses that code, and
/// gRPC's own word for it is RESOURCE_EXHAUSTED.
fn rename_out_of_range(mut response: Response<Body>) -> Response<Body> {
    let code = response.headers().get("grpc-status").map(|value| Code::from_bytes(value.as_bytes()));
    if code == Some(Code::OutOfRange) {
        response.headers_mut().insert("grpc-status", HeaderValue::from(i32::from(Code::ResourceExhausted)));
    }
    response
}

/// Keeps health up to date.
async fn probe<E: Executor>(gateway: &Gateway<E>, health: &HealthReporter) {
    loop {
        tokio::time::sleep(PROBE_INTERVAL).await;
        report(health, gateway.is_ready().await).await;
    }
}

async fn report(health: &HealthReporter, ready: bool) {
    let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    let whole_server = "";
    let services = ["FeatureService", "SearchService", "SemanticCacheService", "VectorService"];
    let names = services.map(|service| format!("quiver.v1.{service}"));
    health.set_service_status(whole_server, status).await;
    for name in names {
        health.set_service_status(name, status).await;
    }
}
