//! VectorService: writes are VADD and VREM in one transaction, reads are VEMB and VGETATTR in another.

use quiver_resp::{OwnedArgv, Value};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::StatusExt as _;

use crate::check::{GET_IDS_MAX, Violations, WRITE_ELEMENTS_MAX};
use crate::convert::{f32_vector, fp32_blob};
use crate::executor::{Auth, Executor};
use crate::gateway::{Failure, Gateway};
use crate::pb::vector_service_server::VectorService;
use crate::pb::{
    BulkUpsertRequest, BulkUpsertResponse, ChunkError, CountRequest, CountResponse, DeleteRequest, DeleteResponse,
    Element, GetRequest, GetResponse, IndexOptions, Quantization, UpsertRequest, UpsertResponse, Vector,
};
use crate::search::text;
use crate::status::{self, Site};

/// Most refused chunks that the summary of a BulkUpsert lists.
const CHUNK_ERRORS_MAX: usize = 100;

/// The service over an executor.
#[derive(Clone, Debug)]
pub(crate) struct Vectors<E> {
    gateway: Gateway<E>,
}

impl<E: Executor> Vectors<E> {
    pub(crate) fn new(gateway: Gateway<E>) -> Self {
        Self { gateway }
    }

    async fn upsert_batch(&self, auth: &Auth, request: &UpsertRequest) -> Result<UpsertResponse, Status> {
        let mut violations = Violations::default();
        violations.collection("", &request.collection);
        violations.elements(&request.elements);
        violations.index(request.index.as_ref());
        let blobs = blobs(&request.elements, &mut violations);
        violations.into_result()?;
        let index = request.index.unwrap_or_default();
        let commands = vadds(request, &blobs, &index);
        let replies = match self.gateway.run_atomic(auth, commands).await {
            Err(Failure::Command { text, .. }) if leaves_open(&index) && status::is_index_mismatch(&text) => {
                let index = self.as_existing(auth, &request.collection, index).await?;
                self.gateway.run_atomic(auth, vadds(request, &blobs, &index)).await
            }
            outcome => outcome,
        };
        let replies = replies.map_err(|failure| {
            failure.into_status(|index| Site {
                collection: &request.collection,
                element: None,
                path: format!("elements[{index}]."),
            })
        })?;
        let inserted = count_true(&replies);
        Ok(UpsertResponse { inserted, updated: replies.len() as u64 - inserted })
    }

    /// `index` with what it leaves open taken from the existing collection.
    ///
    /// VADD takes an option that is not given for its default, and refuses that if the collection has another.
    async fn as_existing(&self, auth: &Auth, collection: &str, index: IndexOptions) -> Result<IndexOptions, Status> {
        let info = self.gateway.run(auth, vec![OwnedArgv::from_slices(&["VINFO", collection])]).await;
        let info = info.map_err(|failure| failure.into_status(|_| Site { collection, ..Site::default() }))?;
        let mut existing = index;
        for (name, value) in info.into_iter().next().and_then(Value::into_pairs).unwrap_or_default() {
            match name.as_str() {
                Some("quant-type") if index.quantization() == Quantization::Unspecified => {
                    existing.set_quantization(match value.as_str() {
                        Some("f32" | "fp32") => Quantization::None,
                        Some("bin") => Quantization::Binary,
                        _ => Quantization::Q8,
                    });
                }
                Some("hnsw-m") if index.m == 0 => {
                    existing.m = value.as_i64().and_then(|m| u32::try_from(m).ok()).unwrap_or_default();
                }
                _ => {}
            }
        }
        Ok(existing)
    }

    async fn bulk_upsert_all(
        &self,
        auth: &Auth,
        mut chunks: Streaming<BulkUpsertRequest>,
    ) -> Result<BulkUpsertResponse, Status> {
        let mut summary = BulkUpsertResponse::default();
        let mut chunk = 0;
        while let Some(request) = chunks.message().await.map_err(status::of_transport)? {
            let BulkUpsertRequest { collection, elements, index } = request;
            let request = UpsertRequest { collection, elements, index };
            match self.upsert_batch(auth, &request).await {
                Ok(done) => {
                    summary.inserted += done.inserted;
                    summary.updated += done.updated;
                }
                Err(status) if blames_content(&status) => {
                    summary.rejected += request.elements.len() as u64;
                    if summary.errors.len() < CHUNK_ERRORS_MAX {
                        summary.errors.push(ChunkError { chunk, status: Some(status::to_message(&status)) });
                    }
                }
                Err(status) => return Err(status),
            }
            chunk += 1;
        }
        Ok(summary)
    }

    async fn get_elements(&self, auth: &Auth, request: &GetRequest) -> Result<GetResponse, Status> {
        let mut violations = Violations::default();
        violations.collection("", &request.collection);
        violations.ids(&request.ids, GET_IDS_MAX);
        violations.into_result()?;
        let collection = Site { collection: &request.collection, ..Site::default() };
        let replies = self.gateway.run_atomic(auth, reads(request)).await;
        let mut replies = replies.map_err(|failure| failure.into_status(|_| collection.clone()))?.into_iter();
        if replies.next().and_then(|card| card.as_i64()) == Some(0) {
            return Err(status::not_found(&collection));
        }
        let mut elements = Vec::with_capacity(request.ids.len());
        for id in &request.ids {
            let exists = replies.next().is_some_and(|reply| is_true(&reply));
            let vector = if request.with_vectors { replies.next() } else { None };
            let attributes = if request.with_attributes { replies.next() } else { None };
            if exists {
                let vector = vector.map(|reply| vector_of(&reply)).transpose()?;
                let attributes = attributes.as_ref().and_then(Value::as_bytes).map(text);
                elements.push(Element { id: id.clone(), vector, attributes });
            } else if !request.allow_missing {
                return Err(status::not_found(&Site { element: Some(id), ..collection }));
            }
        }
        Ok(GetResponse { elements })
    }

    async fn delete_elements(&self, auth: &Auth, request: &DeleteRequest) -> Result<DeleteResponse, Status> {
        let mut violations = Violations::default();
        violations.collection("", &request.collection);
        violations.ids(&request.ids, WRITE_ELEMENTS_MAX);
        violations.into_result()?;
        let collection = request.collection.as_bytes();
        let commands = request.ids.iter().map(|id| OwnedArgv::from_slices(&[b"VREM", collection, id])).collect();
        let replies = self.gateway.run_atomic(auth, commands).await;
        let replies = replies
            .map_err(|failure| failure.into_status(|_| Site { collection: &request.collection, ..Site::default() }))?;
        Ok(DeleteResponse { deleted: count_true(&replies) })
    }

    async fn count_elements(&self, auth: &Auth, request: &CountRequest) -> Result<CountResponse, Status> {
        let mut violations = Violations::default();
        violations.collection("", &request.collection);
        violations.into_result()?;
        let collection = &request.collection;
        let replies = self.gateway.run(auth, vec![OwnedArgv::from_slices(&["VCARD", collection])]).await;
        let replies = replies.map_err(|failure| failure.into_status(|_| Site { collection, ..Site::default() }))?;
        let count = replies.first().and_then(Value::as_i64).and_then(|count| u64::try_from(count).ok());
        Ok(CountResponse { count: count.ok_or_else(|| status::unexpected_reply("of VCARD"))? })
    }
}

#[tonic::async_trait]
impl<E: Executor> VectorService for Vectors<E> {
    async fn upsert(&self, request: Request<UpsertRequest>) -> Result<Response<UpsertResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        self.upsert_batch(&auth, request.get_ref()).await.map(Response::new)
    }

    async fn bulk_upsert(
        &self,
        request: Request<Streaming<BulkUpsertRequest>>,
    ) -> Result<Response<BulkUpsertResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        self.bulk_upsert_all(&auth, request.into_inner()).await.map(Response::new)
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        self.get_elements(&auth, request.get_ref()).await.map(Response::new)
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Result<Response<DeleteResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        self.delete_elements(&auth, request.get_ref()).await.map(Response::new)
    }

    async fn count(&self, request: Request<CountRequest>) -> Result<Response<CountResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        self.count_elements(&auth, request.get_ref()).await.map(Response::new)
    }
}

fn blobs<'a>(elements: &'a [Element], violations: &mut Violations) -> Vec<std::borrow::Cow<'a, [u8]>> {
    let mut blobs = Vec::with_capacity(elements.len().min(WRITE_ELEMENTS_MAX));
    for (index, vector) in elements.iter().take(WRITE_ELEMENTS_MAX).map(|element| &element.vector).enumerate() {
        match vector.as_ref().map(fp32_blob) {
            Some(Ok(blob)) => blobs.push(blob),
            Some(Err(error)) => violations.add(format!("elements[{index}].vector"), error.to_string()),
            None => {} // noted by the check of the elements
        }
    }
    blobs
}

fn vadds<B: AsRef<[u8]>>(request: &UpsertRequest, blobs: &[B], index: &IndexOptions) -> Vec<OwnedArgv> {
    let pairs = request.elements.iter().zip(blobs);
    pairs.map(|(element, blob)| vadd(request.collection.as_bytes(), element, blob.as_ref(), index)).collect()
}

fn vadd(collection: &[u8], element: &Element, blob: &[u8], index: &IndexOptions) -> OwnedArgv {
    let mut argv = OwnedArgv::from_slices(&[b"VADD", collection, b"FP32", blob, &element.id]);
    match index.quantization() {
        Quantization::Unspecified => {}
        Quantization::None => argv.push(b"NOQUANT"),
        Quantization::Q8 => argv.push(b"Q8"),
        Quantization::Binary => argv.push(b"BIN"),
    }
    if index.ef_construction > 0 {
        argv.push(b"EF");
        argv.push(index.ef_construction.to_string().as_bytes());
    }
    if let Some(attributes) = &element.attributes {
        argv.push(b"SETATTR");
        argv.push(attributes.as_bytes());
    }
    if index.m > 0 {
        argv.push(b"M");
        argv.push(index.m.to_string().as_bytes());
    }
    argv
}

/// VCARD, which tells a missing collection, then for each id what was asked for.
fn reads(request: &GetRequest) -> Vec<OwnedArgv> {
    let collection = request.collection.as_bytes();
    let mut commands = vec![OwnedArgv::from_slices(&[b"VCARD", collection])];
    for id in &request.ids {
        commands.push(OwnedArgv::from_slices(&[b"VISMEMBER", collection, id]));
        if request.with_vectors {
            commands.push(OwnedArgv::from_slices(&[b"VEMB", collection, id]));
        }
        if request.with_attributes {
            commands.push(OwnedArgv::from_slices(&[b"VGETATTR", collection, id]));
        }
    }
    commands
}

fn vector_of(reply: &Value) -> Result<Vector, Status> {
    let components = reply.as_array().unwrap_or_default().iter().map(|component| Some(component.as_f64()? as f32));
    let components: Option<Vec<f32>> = components.collect();
    let components = components.filter(|components| !components.is_empty());
    Ok(f32_vector(&components.ok_or_else(|| status::unexpected_reply("of VEMB"))?))
}

fn leaves_open(index: &IndexOptions) -> bool {
    index.quantization() == Quantization::Unspecified || index.m == 0
}

/// Whether a chunk was refused for what it holds, so that the next may fare better.
fn blames_content(status: &Status) -> bool {
    match status.code() {
        Code::InvalidArgument => true,
        Code::FailedPrecondition => {
            status.get_details_error_info().is_some_and(|info| matches!(info.reason.as_str(), "WRONGTYPE" | "ERR"))
        }
        _ => false,
    }
}

fn is_true(reply: &Value) -> bool {
    matches!(reply, Value::Boolean(true) | Value::Integer(1))
}

fn count_true(replies: &[Value]) -> u64 {
    replies.iter().filter(|reply| is_true(reply)).count() as u64
}
