//! What is there: GetFlightInfo and ListFlights, and DoGet, which reads it.

use prost::bytes::Bytes;
use quiver_batches::{Columns, Page, Stream};
use serde_json::json;
use tokio::sync::mpsc;
use tonic::Status;

use super::options::Wanted;
use super::{Flights, Out, data, json, options};
use crate::arrow::refused;
use crate::check::{GET_IDS_MAX, PAGE_MAX, Violations};
use crate::convert::floats_of;
use crate::executor::{Auth, Executor};
use crate::flight_pb::flight_descriptor::DescriptorType;
use crate::flight_pb::{FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, Ticket};
use crate::pb::{Element, Index, ListIndexesRequest, ScanRequest, ScanResponse};
use crate::vectors::Parts;

/// About how many bytes a batch has.
const BATCH_BYTES: usize = 1 << 20;
/// What a row takes beside its vector, about.
const ROW_BYTES: usize = 128;

impl<E: Executor> Flights<E> {
    pub(super) async fn info(&self, auth: &Auth, collection: &str) -> Result<FlightInfo, Status> {
        let index = self.indexes.index(auth, collection).await?;
        info_of(&index, collection)
    }

    pub(super) async fn list_all(&self, auth: &Auth, pattern: String, out: &Out<FlightInfo>) -> Result<(), Status> {
        let mut request = ListIndexesRequest { pattern, ..ListIndexesRequest::default() };
        loop {
            let page = self.indexes.list_page(auth, &request).await?;
            for collection in page.collections {
                match self.info(auth, &collection).await {
                    Ok(info) => {
                        if out.send(Ok(info)).await.is_err() {
                            return Ok(());
                        }
                    }
                    // Gone since it was listed, or not for this user's eyes.
                    Err(status) if matches!(status.code(), tonic::Code::NotFound | tonic::Code::PermissionDenied) => {}
                    Err(status) => return Err(status),
                }
            }
            if page.next_page_token.is_empty() {
                return Ok(());
            }
            request.page_token = page.next_page_token;
        }
    }

    pub(super) async fn get_all(&self, auth: &Auth, wanted: Wanted, out: &Out<FlightData>) -> Result<(), Status> {
        let index = self.indexes.index(auth, &wanted.collection).await?;
        let page = page_of(&index, &wanted);
        let stream = Stream::new(page.schema());
        let schema = stream.schema().map_err(|error| refused("schema", &error))?;
        if out.send(Ok(data(schema))).await.is_err() {
            return Ok(());
        }
        match &wanted.ids {
            Some(ids) => self.get_listed(auth, &index, ids, &wanted, (page, &stream), out).await,
            None => self.get_scanned(auth, &index, &wanted, (page, &stream), out).await,
        }
    }

    async fn get_listed(
        &self,
        auth: &Auth,
        index: &Index,
        ids: &[String],
        wanted: &Wanted,
        (page, stream): (Page, &Stream),
        out: &Out<FlightData>,
    ) -> Result<(), Status> {
        let mut violations = Violations::default();
        violations.at_most("ticket.ids", ids.len() as u64, GET_IDS_MAX as u64);
        violations.into_result()?;
        let parts = Parts { vectors: page.dim.is_some(), attributes: wanted.attributes, expiry: wanted.expiry };
        for ids in ids.chunks(rows_of(index) as usize) {
            let ids: Vec<Bytes> = ids.iter().map(|id| Bytes::copy_from_slice(id.as_bytes())).collect();
            let found = self.vectors.read(auth, &index.collection, &ids, parts).await?.unwrap_or_default();
            let elements: Vec<Element> = found.into_iter().flatten().collect();
            if !elements.is_empty() && out.send(Ok(batch(page, stream, elements)?)).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn get_scanned(
        &self,
        auth: &Auth,
        index: &Index,
        wanted: &Wanted,
        (page, stream): (Page, &Stream),
        out: &Out<FlightData>,
    ) -> Result<(), Status> {
        let request = ScanRequest {
            collection: index.collection.clone(),
            after: wanted.after.clone().into(),
            page_size: rows_of(index),
            limit: wanted.limit,
            with_vectors: page.dim.is_some(),
            with_attributes: wanted.attributes,
            with_expiry: wanted.expiry,
            filter: wanted.filter.clone(),
        };
        let (pages, mut taken) = mpsc::channel::<Result<ScanResponse, Status>>(1);
        let scanning = self.vectors.scan_into(auth, &request, &pages);
        tokio::pin!(scanning);
        let mut ended = false;
        loop {
            tokio::select! {
                done = &mut scanning, if !ended => {
                    done?;
                    ended = true;
                }
                Some(scanned) = taken.recv() => {
                    let elements = scanned?.elements;
                    if out.send(Ok(batch(page, stream, elements)?)).await.is_err() {
                        return Ok(());
                    }
                }
            }
            if ended && taken.is_empty() {
                return Ok(());
            }
        }
    }
}

fn info_of(index: &Index, collection: &str) -> Result<FlightInfo, Status> {
    let wanted: Wanted = options::read("ticket", &json(&json!({"collection": collection})))?;
    let schema = Stream::new(page_of(index, &wanted).schema()).schema_bytes();
    let schema = schema.map_err(|error| refused("schema", &error))?;
    let ticket = Ticket { ticket: json(&json!({"collection": collection})) };
    Ok(FlightInfo {
        schema: schema.into(),
        flight_descriptor: Some(FlightDescriptor {
            r#type: DescriptorType::Path.into(),
            path: vec![collection.to_owned()],
            ..FlightDescriptor::default()
        }),
        // Nowhere in particular: the server that was asked.
        endpoint: vec![FlightEndpoint { ticket: Some(ticket), location: Vec::new() }],
        total_records: i64::try_from(index.elements).unwrap_or(i64::MAX),
        total_bytes: -1,
        ordered: true,
        app_metadata: Bytes::new(),
    })
}

/// Vectors are those that are kept, projected if the collection projects.
fn page_of(index: &Index, wanted: &Wanted) -> Page {
    let reduced = index.options.map_or(0, |options| options.reduce_dim);
    let dim = if reduced == 0 { index.dim } else { reduced } as usize;
    Page {
        dim: Some(dim).filter(|dim| wanted.vectors && *dim > 0),
        attributes: wanted.attributes,
        expiry: wanted.expiry,
        binary_ids: wanted.binary_ids,
    }
}

fn rows_of(index: &Index) -> u32 {
    let rows = BATCH_BYTES / (4 * index.dim as usize + ROW_BYTES);
    u32::try_from(rows).unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX)
}

fn batch(page: Page, stream: &Stream, elements: Vec<Element>) -> Result<FlightData, Status> {
    let mut columns = Columns::default();
    for element in elements {
        columns.ids.push(element.id.to_vec());
        if let Some(vector) = &element.vector {
            columns.vectors.extend(floats_of(&vector.packed));
        }
        columns.attributes.push(element.attributes);
        columns.expires_at_ms.push(element.expires_at_ms);
    }
    let batch = page.batch(columns).and_then(|batch| stream.batch(&batch));
    batch.map(data).map_err(|error| refused("data", &error))
}
