//! Elements inserted and replaced: Upsert and the bulk rpcs.

use std::borrow::Cow;

use quiver_batches::Elements;
use quiver_resp::OwnedArgv;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;

use super::Vectors;
use super::additions::{inserted, writes};
use crate::arrow::read_stream;
use crate::check::{Violations, WRITE_ELEMENTS_MAX};
use crate::convert::{floats_of, fp32_blob};
use crate::executor::{Auth, Executor};
use crate::gateway::Failure;
use crate::names::{Entry, Place, Plan};
use crate::pb::{
    BulkUpsertRequest, BulkUpsertResponse, ChunkError, Element, IndexOptions, UpsertRequest, UpsertResponse,
};
use crate::status::{self, Site};

/// Most refused chunks that the summary of a BulkUpsert lists.
const CHUNK_ERRORS_MAX: usize = 100;
/// Elements of a step of a bulk: as many as are linked beside everybody else.
const STEP_ELEMENTS: usize = 512;
/// The last moment at which the server lets an element end.
const EXPIRY_MAX_MS: i64 = (1 << 46) - 1;
/// How often the first elements of an index are tried to be written while others change its key.
const TRIES: usize = 8;

/// An element, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub(crate) id: &'a [u8],
    /// Little-endian singles.
    pub(crate) blob: &'a [u8],
    pub(crate) attributes: Option<&'a str>,
    pub(crate) expires_at_ms: Option<i64>,
}

impl<E: Executor> Vectors<E> {
    pub(super) async fn upsert_batch(&self, auth: &Auth, request: &UpsertRequest) -> Result<UpsertResponse, Status> {
        self.upsert_elements(auth, &request.collection, &request.elements, request.index).await
    }

    async fn upsert_elements(
        &self,
        auth: &Auth,
        collection: &str,
        elements: &[Element],
        index: Option<IndexOptions>,
    ) -> Result<UpsertResponse, Status> {
        let mut violations = Violations::default();
        violations.collection("", collection);
        violations.elements(elements);
        violations.index("index", index.as_ref());
        let blobs = blobs(elements, &mut violations);
        violations.into_result()?;
        let rows = elements.iter().zip(&blobs).map(|(element, blob)| Row {
            id: &element.id,
            blob,
            attributes: element.attributes.as_deref(),
            expires_at_ms: element.expires_at_ms,
        });
        let rows: Vec<Row<'_>> = rows.collect();
        check_rows("elements", rows.iter().copied())?;
        self.write_rows(auth, collection, &rows, index.unwrap_or_default()).await
    }

    /// Writes at most [`WRITE_ELEMENTS_MAX`] checked elements of one dimension, all of them or none.
    pub(crate) async fn write_rows(
        &self,
        auth: &Auth,
        collection: &str,
        rows: &[Row<'_>],
        index: IndexOptions,
    ) -> Result<UpsertResponse, Status> {
        self.gateway
            .at(auth, collection, |place| async move {
                match place.plan {
                    None => self.write_to_set(auth, &place.collection, rows, index).await,
                    Some(plan) => self.write_first(auth, &place, plan, rows, index).await,
                }
            })
            .await
    }

    async fn write_to_set(
        &self,
        auth: &Auth,
        collection: &str,
        rows: &[Row<'_>],
        index: IndexOptions,
    ) -> Result<UpsertResponse, Status> {
        let replies = match self.gateway.run_atomic(auth, writes(collection, rows, &index)).await {
            // An option that is not given is taken for its default, and refused if the collection has another.
            Err(Failure::Command { index: at, text }) if may_be_left_open(&text) => {
                let complete = self.gateway.set_info(auth, collection).await?.map(|info| info.complete(index));
                match complete.filter(|complete| *complete != index) {
                    Some(complete) => self.gateway.run_atomic(auth, writes(collection, rows, &complete)).await,
                    None => Err(Failure::Command { index: at, text }),
                }
            }
            outcome => outcome,
        };
        let replies = replies.map_err(|failure| failed(failure, collection))?;
        Ok(summary(inserted(&replies, rows), rows.len()))
    }

    /// Puts the first elements in the place of a plan.
    async fn write_first(
        &self,
        auth: &Auth,
        place: &Place,
        plan: Plan,
        rows: &[Row<'_>],
        asked: IndexOptions,
    ) -> Result<UpsertResponse, Status> {
        let (collection, text) = (place.collection.as_str(), Entry::Plan(plan).to_text());
        let Some(index) = plan.complete(asked) else {
            let message = "the index options contradict those that the index was created with";
            return Err(Status::failed_precondition(message));
        };
        let dim = rows.first().map_or(0, |row| row.blob.len() / 4);
        if plan.dim != 0 && dim != plan.dim as usize {
            let mut violations = Violations::default();
            violations.add("elements[0].vector", format!("has dim {dim}, the index was created for {}", plan.dim));
            violations.into_result()?;
        }
        let mut session = self.gateway.session(auth).await?;
        for _ in 0..TRIES {
            let watch = ["WATCH", "GET"].map(|name| OwnedArgv::from_slices(&[name, collection]));
            let seen = session.run(watch.into()).await;
            let seen = match seen {
                Ok(seen) => seen,
                Err(failure) => {
                    let status = failed(failure, collection);
                    if status::is_wrong_type(&status) {
                        // Somebody else's first element was faster.
                        return self.write_to_set(auth, collection, rows, index).await;
                    }
                    return Err(status);
                }
            };
            match seen.get(1).map(|found| (found.as_bytes(), found.is_null())) {
                Some((None, true)) => return self.write_to_set(auth, collection, rows, index).await,
                Some((Some(found), _)) if found == text.as_bytes() => {}
                _ => break,
            }
            let mut commands = vec![OwnedArgv::from_slices(&["DEL", collection])];
            commands.extend(writes(collection, rows, &index));
            let replies = session.run_atomic(commands).await;
            if let Some(replies) = replies.map_err(|failure| failed(failure, collection))? {
                return Ok(summary(inserted(&replies[1..], rows), rows.len()));
            }
        }
        Err(status::contended("others change the index at the same time"))
    }

    pub(super) async fn bulk_upsert_all(
        &self,
        auth: &Auth,
        mut chunks: Streaming<BulkUpsertRequest>,
    ) -> Result<BulkUpsertResponse, Status> {
        let mut summary = BulkUpsertResponse::default();
        let mut chunk = 0;
        while let Some(request) = chunks.message().await.map_err(status::of_transport)? {
            match self.write_chunk(auth, &request).await {
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

    pub(super) async fn write_chunk(&self, auth: &Auth, request: &BulkUpsertRequest) -> Result<UpsertResponse, Status> {
        if request.arrow_ipc.is_empty() {
            return self.upsert_elements(auth, &request.collection, &request.elements, request.index).await;
        }
        let mut violations = Violations::default();
        violations.collection("", &request.collection);
        violations.index("index", request.index.as_ref());
        if !request.elements.is_empty() {
            violations.add("arrow_ipc", "does not go with elements");
        }
        violations.into_result()?;
        let elements = read_stream(request.arrow_ipc.clone()).await?;
        self.write_all(auth, &request.collection, &elements, request.index.unwrap_or_default()).await
    }

    /// Writes elements in steps, each all or nothing. What one is refused for is looked for in all of them first.
    pub(crate) async fn write_all(
        &self,
        auth: &Auth,
        collection: &str,
        elements: &Elements,
        index: IndexOptions,
    ) -> Result<UpsertResponse, Status> {
        let row = |row: usize| Row {
            id: &elements.ids[row],
            blob: elements.vector(row),
            attributes: elements.attributes[row].as_deref(),
            expires_at_ms: elements.expires_at_ms[row],
        };
        check_rows("rows", (0..elements.len()).map(row))?;
        let mut total = UpsertResponse::default();
        for first in (0..elements.len()).step_by(STEP_ELEMENTS) {
            let rows: Vec<Row<'_>> = (first..elements.len().min(first + STEP_ELEMENTS)).map(row).collect();
            let written = self.write_rows(auth, collection, &rows, index).await?;
            total.inserted += written.inserted;
            total.updated += written.updated;
        }
        Ok(total)
    }
}

fn summary(inserted: u64, rows: usize) -> UpsertResponse {
    UpsertResponse { inserted, updated: rows as u64 - inserted, token: String::new() }
}

/// What the commands would refuse one row for, so that they refuse all or none.
fn check_rows<'a>(path: &str, rows: impl Iterator<Item = Row<'a>>) -> Result<(), Status> {
    let mut violations = Violations::default();
    for (index, row) in rows.enumerate() {
        let norm = floats_of(row.blob).map(f64::from).map(|component| component * component).sum::<f64>().sqrt();
        if norm > f64::from(f32::MAX) {
            violations.add(format!("{path}[{index}].vector"), "is too large: its norm must be within single precision");
        }
        if row.expires_at_ms.is_some_and(|at_ms| !(0..=EXPIRY_MAX_MS).contains(&at_ms)) {
            let text = format!("must be 0 to {EXPIRY_MAX_MS} ms since 1970");
            violations.add(format!("{path}[{index}].expires_at_ms"), text);
        }
    }
    violations.into_result()
}

/// What was not checked before concerns all elements alike: their dimension, or options of the index.
fn failed(failure: Failure, collection: &str) -> Status {
    failure.into_status(|_| Site { collection, element: None, path: "elements[0].".to_owned() })
}

fn blobs<'a>(elements: &'a [Element], violations: &mut Violations) -> Vec<Cow<'a, [u8]>> {
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

/// Whether an error of VADD or VMADD may come from an option that the request left open: quantization, M or REDUCE.
fn may_be_left_open(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    status::is_index_mismatch(text.as_bytes()) || text.contains("dimension mismatch")
}

/// Whether a chunk was refused for what it holds, so that the next may fare better.
fn blames_content(status: &Status) -> bool {
    match status.code() {
        Code::InvalidArgument => true,
        Code::FailedPrecondition => match status.get_details_error_info() {
            Some(info) => matches!(info.reason.as_str(), "WRONGTYPE" | "ERR"),
            None => true,
        },
        _ => false,
    }
}
