//! A real instance behind the services, on a loopback port.

use quiver_engine::config::Config;
use quiver_grpc::client::*;
use quiver_grpc::pb::*;
use quiver_grpc::{NodeExecutor, ServeError, ServeLimits, serve_with};
use quiver_node::Node;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_types::StatusExt as _;

use crate::support::element;

/// The instance, and a channel to its services.
pub(crate) struct Real {
    pub(crate) node: Node,
    pub(crate) channel: Channel,
    pub(crate) address: String,
    _ended: JoinHandle<Result<(), ServeError>>,
}

impl Real {
    pub(crate) async fn start() -> Self {
        Self::start_with(ServeLimits::default()).await
    }

    pub(crate) async fn start_with(limits: ServeLimits) -> Self {
        let config = Config::default();
        config.set("save", "", false).unwrap();
        let node = Node::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let executor = NodeExecutor::new(node.handle());
        let ended = tokio::spawn(serve_with(listener, executor, limits, std::future::pending()));
        let channel = Endpoint::from_shared(address.clone()).unwrap().connect().await.unwrap();
        Self { node, channel, address, _ended: ended }
    }

    pub(crate) fn vectors(&self) -> VectorServiceClient<Channel> {
        VectorServiceClient::new(self.channel.clone())
    }

    pub(crate) fn searches(&self) -> SearchServiceClient<Channel> {
        SearchServiceClient::new(self.channel.clone())
    }

    pub(crate) fn indexes(&self) -> IndexServiceClient<Channel> {
        IndexServiceClient::new(self.channel.clone())
    }

    pub(crate) fn commands(&self) -> CommandServiceClient<Channel> {
        CommandServiceClient::new(self.channel.clone())
    }

    pub(crate) fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel.clone())
    }

    pub(crate) fn flights(&self) -> FlightServiceClient<Channel> {
        FlightServiceClient::new(self.channel.clone())
    }

    /// Runs a command of words without spaces.
    pub(crate) async fn run(&self, line: &str) -> Result<Option<reply::Value>, Status> {
        let argv = line.split(' ').map(|word| word.to_owned().into()).collect();
        let response = self.commands().execute(ExecuteRequest { argv }).await?;
        Ok(response.into_inner().reply.unwrap().value)
    }

    /// Three films in two dimensions.
    pub(crate) async fn with_films() -> Self {
        Self::with_films_and(ServeLimits::default()).await
    }

    pub(crate) async fn with_films_and(limits: ServeLimits) -> Self {
        let real = Self::start_with(limits).await;
        let elements = vec![
            element("alien", &[1.0, 0.0], Some(r#"{"year":1979,"genre":"horror"}"#)),
            element("brazil", &[0.6, 0.8], Some(r#"{"year":1985,"genre":"satire"}"#)),
            element("clue", &[-1.0, 0.0], Some(r#"{"year":1985,"genre":"comedy"}"#)),
        ];
        let index = Some(IndexOptions { quantization: Quantization::None.into(), ..IndexOptions::default() });
        let request = UpsertRequest { collection: "films".into(), elements, index };
        real.vectors().upsert(request).await.unwrap();
        real
    }

    pub(crate) async fn count(&self, collection: &str) -> u64 {
        let request = CountRequest { collection: collection.into(), ..CountRequest::default() };
        self.vectors().count(request).await.unwrap().into_inner().count
    }
}

/// A request in the name of a user.
pub(crate) fn by<T>(message: T, user: &str, password: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {user}:{password}").parse().unwrap());
    request
}

/// The fields that a status blames.
pub(crate) fn fields(status: &Status) -> Vec<String> {
    let violations = status.get_details_bad_request().expect("BadRequest details").field_violations;
    violations.into_iter().map(|violation| violation.field).collect()
}
