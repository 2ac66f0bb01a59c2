//! Arrow Flight over collections and features.
//!
//! A flight is a collection: its descriptor is a path of one name, its rows are elements with the columns `id`, `vector`,
//! `attributes` (and `expires_at` if asked for). Features are written under the path `features` and the name of a view,
//! as rows with the columns `entity`, `event_time` (if not now) and one for each feature, and read as GetFeaturesArrow
//! answers them. What is said in JSON:
//!
//! | where | fields, all but `collection` and `views` optional |
//! |---|---|
//! | a ticket of DoGet | `collection`, `ids` (texts), `after`, `limit`, `filter`, `vectors`, `attributes`, `expiry`, `binary_ids` |
//! | | or `views` (`{"user": null, "shop": ["city"]}`: all features, or these), `entities` (texts), `times` |
//! | metadata of DoPut, up to its first batch | `quantization` (`none`, `q8`, `binary`), `m`, `ef_construction`, `reduce_dim`, `acks`; for features `acks` |
//! | a descriptor's command of DoExchange | `collection`, `limit`, `ef`, `exact`, `recall`, `filter`, `min_score`, `attributes`, `binary_ids` |
//! | | or `views`, `times` |
//! | metadata of what DoPut answers | `inserted`, `updated`, `token`; for features `rows`, `stored`, `stale`, `token` |
//!
//! DoPut takes what BulkUpsert takes as Arrow, batch by batch: a batch is checked whole before any of it is written, and
//! the first that is refused ends the call. Features are stored in steps of some thousand values, each all or nothing.
//! It answers once, at the end, or with `acks` after every batch. DoExchange takes batches with a column `vector` and
//! answers each with a batch of hits (`query`, `id`, `score`, `attributes`), `query` being the number of the vector in
//! the stream; or it takes batches with a column `entity` and answers each with a batch of their features.
//!
//! Not here: actions, sessions, SQL; flights of views, which have no list of their entities.

mod exchange;
mod features;
mod get;
mod options;
mod put;

use std::pin::Pin;

use prost::bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status, Streaming};

use crate::executor::{Auth, Executor};
use crate::features::Features;
use crate::flight_pb::flight_descriptor::DescriptorType;
use crate::flight_pb::flight_service_server::FlightService;
use crate::flight_pb::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse,
    PollInfo, PutResult, Result as ActionResult, SchemaResult, Ticket,
};
use crate::gateway::Gateway;
use crate::index::Indexes;
use crate::search::Searches;
use crate::status;
use crate::vectors::Vectors;

/// The service over an executor.
#[derive(Clone, Debug)]
pub(crate) struct Flights<E> {
    gateway: Gateway<E>,
    vectors: Vectors<E>,
    searches: Searches<E>,
    indexes: Indexes<E>,
    features: Features<E>,
}

/// What a streaming rpc answers with.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Where the answers of a call go, one at a time: one waits for the client while the next is made.
type Out<T> = mpsc::Sender<Result<T, Status>>;

impl<E: Executor> Flights<E> {
    pub(crate) fn new(gateway: Gateway<E>) -> Self {
        let (vectors, searches) = (Vectors::new(gateway.clone()), Searches::new(gateway.clone()));
        let (indexes, features) = (Indexes::new(gateway.clone()), Features::new(gateway.clone()));
        Self { gateway, vectors, searches, indexes, features }
    }

    /// Answers with what `work` sends, and with its error.
    fn answers<T, W, F>(&self, work: W) -> Response<Answers<T>>
    where
        T: Send + 'static,
        W: FnOnce(Self, Out<T>) -> F,
        F: Future<Output = Result<(), Status>> + Send + 'static,
    {
        let (out, answers) = mpsc::channel(1);
        let working = work(self.clone(), out.clone());
        tokio::spawn(async move {
            tokio::select! {
                // Nobody is left to work for.
                () = out.closed() => {}
                done = working => if let Err(status) = done {
                    let _ = out.send(Err(status)).await;
                }
            }
        });
        Response::new(Box::pin(ReceiverStream::new(answers)))
    }
}

/// The collection that a descriptor's path names.
fn collection_of(descriptor: Option<&FlightDescriptor>) -> Result<String, Status> {
    match descriptor {
        Some(descriptor) if descriptor.r#type() == DescriptorType::Path && descriptor.path.len() == 1 => {
            Ok(descriptor.path[0].clone())
        }
        _ => Err(options::violation("flight_descriptor.path", "must be the name of a collection")),
    }
}

/// The view that a descriptor's path names.
fn view_of(descriptor: Option<&FlightDescriptor>) -> Option<String> {
    match descriptor?.path.as_slice() {
        [features, view] if features == "features" => Some(view.clone()),
        _ => None,
    }
}

#[tonic::async_trait]
impl<E: Executor> FlightService for Flights<E> {
    type HandshakeStream = Answers<HandshakeResponse>;

    /// A client that has said who it is gets the same as a bearer's text, which is all that it keeps.
    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        drop(self.gateway.session(&auth).await?);
        let bearer = auth.to_bearer().map(MetadataValue::try_from).transpose();
        let bearer = bearer.map_err(|_| Status::unauthenticated("name and password must be visible ASCII"))?;
        let answer = Ok(HandshakeResponse::default());
        let mut response: Response<Self::HandshakeStream> = Response::new(Box::pin(tokio_stream::once(answer)));
        if let Some(bearer) = bearer {
            response.metadata_mut().insert("authorization", bearer);
        }
        Ok(response)
    }

    type ListFlightsStream = Answers<FlightInfo>;

    async fn list_flights(&self, request: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let pattern = options::text("expression", &request.get_ref().expression)?;
        Ok(self.answers(|service, out| async move { service.list_all(&auth, pattern, &out).await }))
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let collection = collection_of(Some(request.get_ref()))?;
        self.info(&auth, &collection).await.map(Response::new)
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        Err(Status::unimplemented("nothing here takes long to prepare: call GetFlightInfo"))
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let collection = collection_of(Some(request.get_ref()))?;
        let schema = self.info(&auth, &collection).await?.schema;
        Ok(Response::new(SchemaResult { schema }))
    }

    type DoGetStream = Answers<FlightData>;

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let ticket = &request.get_ref().ticket;
        if options::is_lookup(ticket) {
            let lookup = options::read("ticket", ticket)?;
            return Ok(self.answers(|service, out| async move { service.get_features(&auth, lookup, &out).await }));
        }
        let wanted = options::read("ticket", ticket)?;
        Ok(self.answers(|service, out| async move { service.get_all(&auth, wanted, &out).await }))
    }

    type DoPutStream = Answers<PutResult>;

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let data = request.into_inner();
        Ok(self.answers(|service, out| async move { service.put_all(&auth, data, &out).await }))
    }

    type DoExchangeStream = Answers<FlightData>;

    async fn do_exchange(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let data = request.into_inner();
        Ok(self.answers(|service, out| async move { service.exchange_all(&auth, data, &out).await }))
    }

    type DoActionStream = Answers<ActionResult>;

    async fn do_action(&self, _: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        Err(Status::unimplemented("no actions are offered"))
    }

    type ListActionsStream = Answers<ActionType>;

    async fn list_actions(&self, request: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        Auth::from_metadata(request.metadata())?;
        Ok(Response::new(Box::pin(tokio_stream::empty())))
    }
}

/// A message of the IPC format as Flight carries it.
fn data(message: quiver_batches::Message) -> FlightData {
    let quiver_batches::Message { header, body } = message;
    FlightData { data_header: header.into(), data_body: body.into(), ..FlightData::default() }
}

/// The next message of a stream.
async fn next(data: &mut Streaming<FlightData>) -> Result<Option<FlightData>, Status> {
    data.message().await.map_err(status::of_transport)
}

/// The first message, which says what the stream is about.
async fn first(data: &mut Streaming<FlightData>) -> Result<FlightData, Status> {
    next(data).await?.ok_or_else(|| options::violation("flight_descriptor", "is required"))
}

/// JSON that a client gets.
fn json(value: &serde_json::Value) -> Bytes {
    value.to_string().into()
}
