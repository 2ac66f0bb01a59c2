//! The listening server: services, health, reflection, limits, TLS, and an orderly end.
//!
//! tonic's defaults leave messages, streams and connections open-ended or nearly so; [`ServeLimits`] bounds each of them.
//! Health is what a PING through the executor says, asked every second: a server that is loading is NOT_SERVING.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

use crate::admin::Admin;
use crate::budget::Budget;
use crate::cache::Caches;
use crate::commands::Commands;
use crate::executor::Executor;
use crate::features::Features;
use crate::flight::Flights;
use crate::flight_pb::flight_service_server::FlightServiceServer;
use crate::gateway::Gateway;
use crate::guard::{Bounds, GuardLayer};
use crate::health::Health;
use crate::health_pb::health_server::HealthServer;
use crate::incoming::accept;
use crate::index::Indexes;
use crate::pb::admin_service_server::AdminServiceServer;
use crate::pb::command_service_server::CommandServiceServer;
use crate::pb::feature_service_server::FeatureServiceServer;
use crate::pb::index_service_server::IndexServiceServer;
use crate::pb::search_service_server::SearchServiceServer;
use crate::pb::semantic_cache_service_server::SemanticCacheServiceServer;
use crate::pb::vector_service_server::VectorServiceServer;
use crate::search::Searches;
use crate::vectors::Vectors;

/// Bounds of a gRPC server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeLimits {
    /// Connections open at a time; more are closed at once.
    pub connections_max: usize,
    /// Largest message, either way, in bytes.
    pub message_bytes_max: usize,
    /// Calls open at a time on a connection, by the protocol's own limit.
    pub streams_max: u32,
    /// Calls open at a time on all connections; more are refused with RESOURCE_EXHAUSTED.
    pub calls_max: usize,
    /// What the messages of all calls may take together while they are received and used, in bytes.
    pub message_memory_max: usize,
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
            calls_max: 10_000,
            message_memory_max: 256 << 20,
            concurrency_max: 64,
            request_timeout: Duration::from_secs(30),
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            shutdown_grace: Duration::from_secs(5),
        }
    }
}

/// What a server shows its clients, and asks of them, before a call; all of it PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate and those that vouch for it.
    pub certificate: Vec<u8>,
    /// Its key.
    pub key: Vec<u8>,
    /// Who vouches for clients; without it none is asked for a certificate.
    pub client_ca: Option<Vec<u8>>,
    /// Whether a client may do without a certificate.
    pub client_auth_optional: bool,
}

/// How calls are served, and what all listeners that serve so have in common: the bounds.
#[derive(Clone, Debug)]
pub struct Shared {
    limits: ServeLimits,
    tls: Option<ServerTlsConfig>,
    connections: Arc<Semaphore>,
    bounds: Bounds,
}

impl Shared {
    /// # Errors
    /// The certificate or the key cannot be used.
    pub fn new(limits: ServeLimits, tls: Option<&Tls>) -> Result<Self, ServeError> {
        let tls = tls.map(|tls| {
            let config = ServerTlsConfig::new()
                .identity(Identity::from_pem(&tls.certificate, &tls.key))
                .client_auth_optional(tls.client_auth_optional)
                .timeout(HANDSHAKE_TIMEOUT);
            match &tls.client_ca {
                Some(authority) => config.client_ca_root(Certificate::from_pem(authority)),
                None => config,
            }
        });
        if let Some(tls) = tls.clone() {
            Server::builder().tls_config(tls)?;
        }
        let message_timeout = limits.request_timeout;
        let budget = Budget::new(limits.message_memory_max, limits.message_bytes_max, message_timeout);
        let bounds = Bounds { calls: Arc::new(Semaphore::new(limits.calls_max)), budget };
        Ok(Self { limits, tls, connections: Arc::new(Semaphore::new(limits.connections_max)), bounds })
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
/// Longest a client may take to agree on TLS.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// What a connection may send before anybody reads it, in bytes: of all calls, and of one.
const WINDOW_BYTES: (u32, u32) = (1 << 20, 512 << 10);
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

/// Serves the gRPC API on `listener` with limits of its own and without TLS until `shutdown` completes.
///
/// # Errors
/// [`ServeError`].
pub async fn serve_with(
    listener: TcpListener,
    executor: impl Executor,
    limits: ServeLimits,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    serve_shared(listener, executor, &Shared::new(limits, None)?, shutdown).await
}

/// Serves the gRPC API on `listener` until `shutdown` completes: the services of `quiver.v1`, grpc.health.v1 and
/// reflection v1 and v1alpha.
///
/// After the signal health says NOT_SERVING, no connection is accepted, and open calls have
/// [`ServeLimits::shutdown_grace`] to end. Must run within a tokio runtime with time and I/O; connections are tasks of
/// it.
///
/// # Errors
/// [`ServeError`].
pub async fn serve_shared(
    listener: TcpListener,
    executor: impl Executor,
    shared: &Shared,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let limits = &shared.limits;
    let request_timeout = limits.request_timeout;
    let guard = GuardLayer { bounds: shared.bounds.clone(), executor: executor.clone(), request_timeout };
    let gateway = Gateway::new(executor, request_timeout);
    let (ready, seen) = watch::channel(gateway.is_ready().await);

    // Generated types of their own, each with the same two methods.
    macro_rules! bounded {
        ($server:ident, $service:ident) => {
            $server::new($service::new(gateway.clone()))
                .max_decoding_message_size(limits.message_bytes_max)
                .max_encoding_message_size(limits.message_bytes_max)
        };
    }
    let mut builder = builder(limits);
    if let Some(tls) = shared.tls.clone() {
        builder = builder.tls_config(tls)?;
    }
    let router = builder
        .layer(guard)
        .add_service(bounded!(AdminServiceServer, Admin))
        .add_service(bounded!(CommandServiceServer, Commands))
        .add_service(bounded!(FeatureServiceServer, Features))
        .add_service(bounded!(FlightServiceServer, Flights))
        .add_service(bounded!(IndexServiceServer, Indexes))
        .add_service(bounded!(SearchServiceServer, Searches))
        .add_service(bounded!(SemanticCacheServiceServer, Caches))
        .add_service(bounded!(VectorServiceServer, Vectors))
        .add_service(HealthServer::new(Health::new(seen)).max_decoding_message_size(limits.message_bytes_max))
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
        () = accept(listener, &shared.connections, connections) => {}
        () = probe(&gateway, &ready) => {}
        () = shutdown => {}
    }
    ready.send_replace(false);
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
        .initial_connection_window_size(WINDOW_BYTES.0)
        .initial_stream_window_size(WINDOW_BYTES.1)
        .concurrency_limit_per_connection(limits.concurrency_max)
        .load_shed(true)
        .http2_keepalive_interval(Some(limits.keepalive_interval))
        .http2_keepalive_timeout(Some(limits.keepalive_timeout))
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .max_frame_size(FRAME_BYTES_MAX)
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(crate::FILE_DESCRIPTOR_SET)
}

/// Keeps health up to date.
async fn probe<E: Executor>(gateway: &Gateway<E>, ready: &watch::Sender<bool>) {
    loop {
        tokio::time::sleep(PROBE_INTERVAL).await;
        let now = gateway.is_ready().await;
        ready.send_if_modified(|ready| std::mem::replace(ready, now) != now);
    }
}
