//! grpc.health.v1: whether services can be called. All of them can, or none: they share the server behind them.

use std::pin::Pin;

use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::health_pb::health_check_response::ServingStatus;
use crate::health_pb::health_server::Health as HealthService;
use crate::health_pb::{HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse};

/// The services that are told of, and the server as a whole.
const SERVICES: &[&str] = &[
    "",
    "arrow.flight.protocol.FlightService",
    "quiver.v1.AdminService",
    "quiver.v1.CommandService",
    "quiver.v1.FeatureService",
    "quiver.v1.IndexService",
    "quiver.v1.SearchService",
    "quiver.v1.SemanticCacheService",
    "quiver.v1.VectorService",
];

/// Tells what it was last told.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    ready: watch::Receiver<bool>,
}

impl Health {
    pub(crate) fn new(ready: watch::Receiver<bool>) -> Self {
        Self { ready }
    }

    fn now(&self) -> HealthCheckResponse {
        answer(*self.ready.borrow())
    }
}

#[tonic::async_trait]
impl HealthService for Health {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        if SERVICES.contains(&request.get_ref().service.as_str()) {
            Ok(Response::new(self.now()))
        } else {
            Err(Status::not_found("there is no such service"))
        }
    }

    async fn list(&self, _: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        let statuses = SERVICES.iter().map(|name| ((*name).to_owned(), self.now())).collect();
        Ok(Response::new(HealthListResponse { statuses }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let known = SERVICES.contains(&request.get_ref().service.as_str());
        let mut ready = self.ready.clone();
        let (out, answers) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let status = if known {
                    answer(*ready.borrow_and_update())
                } else {
                    HealthCheckResponse { status: ServingStatus::ServiceUnknown.into() }
                };
                if out.send(Ok(status)).await.is_err() {
                    return;
                }
                tokio::select! {
                    changed = ready.changed(), if known => if changed.is_err() { return },
                    () = out.closed() => return,
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }
}

fn answer(ready: bool) -> HealthCheckResponse {
    let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    HealthCheckResponse { status: status.into() }
}
