//! VectorService: what each rpc does is in `write`, `read` and `change`; here are the rpcs themselves.
//!
//! Writes are VMADD, or several commands in one transaction; reads are VEMB and its relatives in another.

mod additions;
mod change;
mod read;
mod write;

pub(crate) use read::Parts;

use std::pin::Pin;

use quiver_resp::Value;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use crate::executor::{Auth, Executor};
use crate::gateway::Gateway;
use crate::pb::bulk_upsert_ack::Result as AckResult;
use crate::pb::vector_service_server::VectorService;
use crate::pb::{
    BulkUpsertAck, BulkUpsertRequest, BulkUpsertResponse, CountRequest, CountResponse, DeleteByFilterRequest,
    DeleteByFilterResponse, DeleteRequest, DeleteResponse, ExpireRequest, ExpireResponse, GetRequest, GetResponse,
    ScanRequest, ScanResponse, UpdateAttributesRequest, UpdateAttributesResponse, UpsertRequest, UpsertResponse,
};
use crate::status;

/// The service over an executor.
#[derive(Clone, Debug)]
pub(crate) struct Vectors<E> {
    gateway: Gateway<E>,
}

/// What a streaming rpc answers with.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl<E: Executor> Vectors<E> {
    pub(crate) fn new(gateway: Gateway<E>) -> Self {
        Self { gateway }
    }

    async fn acknowledge(&self, auth: &Auth, chunk: u64, request: &BulkUpsertRequest) -> BulkUpsertAck {
        let result = match self.write_chunk(auth, request).await {
            Ok(written) => AckResult::Written(UpsertResponse { token: self.gateway.token(), ..written }),
            Err(refused) => AckResult::Error(status::to_message(&refused)),
        };
        BulkUpsertAck { chunk, result: Some(result) }
    }
}

#[tonic::async_trait]
impl<E: Executor> VectorService for Vectors<E> {
    async fn upsert(&self, request: Request<UpsertRequest>) -> Result<Response<UpsertResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let written = self.upsert_batch(&auth, request.get_ref()).await?;
        Ok(Response::new(UpsertResponse { token: self.gateway.token(), ..written }))
    }

    async fn bulk_upsert(
        &self,
        request: Request<Streaming<BulkUpsertRequest>>,
    ) -> Result<Response<BulkUpsertResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let summary = self.bulk_upsert_all(&auth, request.into_inner()).await?;
        Ok(Response::new(BulkUpsertResponse { token: self.gateway.token(), ..summary }))
    }

    type BulkUpsertAckedStream = Answers<BulkUpsertAck>;

    async fn bulk_upsert_acked(
        &self,
        request: Request<Streaming<BulkUpsertRequest>>,
    ) -> Result<Response<Self::BulkUpsertAckedStream>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let (service, mut chunks) = (self.clone(), 0..);
        // `then` pulls the next chunk only when the last answer was taken: nothing queues up here.
        let answers = request.into_inner().then(move |request| {
            let (service, auth) = (service.clone(), auth.clone());
            let chunk = chunks.next().expect("fewer chunks than numbers");
            async move { Ok(service.acknowledge(&auth, chunk, &request.map_err(status::of_transport)?).await) }
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        self.get_elements(&auth, request.get_ref()).await.map(Response::new)
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Result<Response<DeleteResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let deleted = self.delete_elements(&auth, request.get_ref()).await?;
        Ok(Response::new(DeleteResponse { deleted, token: self.gateway.token() }))
    }

    async fn delete_by_filter(
        &self,
        request: Request<DeleteByFilterRequest>,
    ) -> Result<Response<DeleteByFilterResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let deleted = self.delete_matching(&auth, request.get_ref()).await?;
        Ok(Response::new(DeleteByFilterResponse { deleted, token: self.gateway.token() }))
    }

    async fn update_attributes(
        &self,
        request: Request<UpdateAttributesRequest>,
    ) -> Result<Response<UpdateAttributesResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let done = self.update_all(&auth, request.get_ref()).await?;
        Ok(Response::new(UpdateAttributesResponse { token: self.gateway.token(), ..done }))
    }

    async fn expire(&self, request: Request<ExpireRequest>) -> Result<Response<ExpireResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let outcomes = self.expire_elements(&auth, request.get_ref()).await?;
        let outcomes = outcomes.into_iter().map(Into::into).collect();
        Ok(Response::new(ExpireResponse { outcomes, token: self.gateway.token() }))
    }

    async fn count(&self, request: Request<CountRequest>) -> Result<Response<CountResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        self.count_elements(&auth, request.get_ref()).await.map(Response::new)
    }

    type ScanStream = Answers<ScanResponse>;

    async fn scan(&self, request: Request<ScanRequest>) -> Result<Response<Self::ScanStream>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let pages = self.clone().scan_pages(auth, request.into_inner())?;
        Ok(Response::new(Box::pin(pages)))
    }
}

fn is_true(reply: &Value) -> bool {
    matches!(reply, Value::Boolean(true) | Value::Integer(1))
}

fn count_true(replies: &[Value]) -> u64 {
    replies.iter().filter(|reply| is_true(reply)).count() as u64
}
