//! Elements read: Get, Count and Scan, and who satisfies a filter.

use prost::bytes::Bytes;
use quiver_resp::{OwnedArgv, Value};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{Vectors, is_true};
use crate::check::{GET_IDS_MAX, PAGE_MAX, Violations};
use crate::convert::f32_vector;
use crate::executor::{Auth, Executor};
use crate::names::Place;
use crate::pb::{CountRequest, CountResponse, Element, GetRequest, GetResponse, ScanRequest, ScanResponse, Vector};
use crate::search::text;
use crate::status::{self, Site};

/// Elements of a page of a scan that does not say.
const PAGE_DEFAULT: u32 = 256;
/// Ids that a scan fetches at a time: every fetch looks at the names of the whole collection.
const SCAN_IDS: usize = 16_384;
/// Most elements that a filter may match: their ids are in memory at once.
const MATCHES_MAX: usize = 1 << 20;

/// What of an element is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts {
    pub(crate) vectors: bool,
    pub(crate) attributes: bool,
    pub(crate) expiry: bool,
}

/// An id, and the attributes if they were asked for.
pub(super) type Match = (Vec<u8>, Option<Vec<u8>>);

impl<E: Executor> Vectors<E> {
    pub(super) async fn get_elements(&self, auth: &Auth, request: &GetRequest) -> Result<GetResponse, Status> {
        let mut violations = Violations::default();
        violations.collection("", &request.collection);
        violations.ids(&request.ids, GET_IDS_MAX);
        violations.into_result()?;
        let parts =
            Parts { vectors: request.with_vectors, attributes: request.with_attributes, expiry: request.with_expiry };
        let found = self
            .gateway
            .at(auth, &request.collection, |place| async move {
                if place.plan.is_some() {
                    Ok(None)
                } else {
                    self.read(auth, &place.collection, &request.ids, parts).await
                }
            })
            .await?;
        let collection = Site { collection: &request.collection, ..Site::default() };
        let Some(found) = found else { return Err(status::not_found(&collection)) };
        let mut elements = Vec::with_capacity(found.len());
        for (id, element) in request.ids.iter().zip(found) {
            match element {
                Some(element) => elements.push(element),
                None if request.allow_missing => {}
                None => return Err(status::not_found(&Site { element: Some(id), ..collection })),
            }
        }
        Ok(GetResponse { elements })
    }

    /// Elements in one consistent state of a collection, none where there is no such element; `None` if there is no
    /// collection.
    pub(crate) async fn read(
        &self,
        auth: &Auth,
        collection: &str,
        ids: &[Bytes],
        parts: Parts,
    ) -> Result<Option<Vec<Option<Element>>>, Status> {
        let replies = self.gateway.run_atomic(auth, reads(collection, ids, parts)).await;
        let site = || Site { collection, ..Site::default() };
        let mut replies = replies.map_err(|failure| failure.into_status(|_| site()))?.into_iter();
        if replies.next().and_then(|card| card.as_i64()) == Some(0) {
            return Ok(None);
        }
        let elements = ids.iter().map(|id| {
            let exists = replies.next().is_some_and(|reply| is_true(&reply));
            let vector = if parts.vectors { replies.next() } else { None };
            let attributes = if parts.attributes { replies.next() } else { None };
            let expiry = if parts.expiry { replies.next() } else { None };
            if !exists {
                return Ok(None);
            }
            let ends_at = expiry.and_then(|reply| reply.as_array()?.first()?.as_i64()).filter(|at_ms| *at_ms >= 0);
            Ok(Some(Element {
                id: id.clone(),
                vector: vector.map(|reply| vector_of(&reply)).transpose()?,
                attributes: attributes.as_ref().and_then(Value::as_bytes).map(text),
                expires_at_ms: ends_at,
            }))
        });
        elements.collect::<Result<_, Status>>().map(Some)
    }

    pub(super) async fn count_elements(&self, auth: &Auth, request: &CountRequest) -> Result<CountResponse, Status> {
        let mut violations = Violations::default();
        violations.collection("", &request.collection);
        violations.into_result()?;
        let count = self.gateway.at(auth, &request.collection, |place| async move {
            if place.plan.is_some() {
                Ok(0)
            } else if request.filter.is_empty() {
                self.count_all(auth, &place.collection).await
            } else {
                Ok(self.matches(auth, &place.collection, &request.filter).await?.len() as u64)
            }
        });
        Ok(CountResponse { count: count.await? })
    }

    pub(crate) async fn count_all(&self, auth: &Auth, collection: &str) -> Result<u64, Status> {
        let replies = self.gateway.run(auth, vec![OwnedArgv::from_slices(&["VCARD", collection])]).await;
        let replies = replies.map_err(|failure| failure.into_status(|_| Site { collection, ..Site::default() }))?;
        let count = replies.first().and_then(Value::as_i64).and_then(|count| u64::try_from(count).ok());
        count.ok_or_else(|| status::unexpected_reply("of VCARD"))
    }

    /// Ids of all elements that satisfy a filter.
    async fn matches(&self, auth: &Auth, collection: &str, filter: &str) -> Result<Vec<Match>, Status> {
        let found = self.some_matches(auth, collection, filter, MATCHES_MAX + 1, false).await?;
        if found.len() > MATCHES_MAX {
            let message = format!("more than {MATCHES_MAX} elements satisfy the filter");
            return Err(Status::resource_exhausted(message));
        }
        Ok(found)
    }

    /// Up to `count` elements that satisfy a filter, by looking at all.
    pub(super) async fn some_matches(
        &self,
        auth: &Auth,
        collection: &str,
        filter: &str,
        count: usize,
        with_attributes: bool,
    ) -> Result<Vec<Match>, Status> {
        let Some(info) = self.gateway.set_info(auth, collection).await? else { return Ok(Vec::new()) };
        // Some direction must be given; all are compared with it, and the filter decides.
        let mut anywhere = vec![0; 4 * info.given_dim() as usize];
        if let Some(first) = anywhere.first_chunk_mut() {
            *first = 1.0_f32.to_le_bytes();
        }
        let count = count.to_string();
        let words: [&[u8]; 9] = [
            b"VSIM",
            collection.as_bytes(),
            b"FP32",
            &anywhere,
            b"COUNT",
            count.as_bytes(),
            b"TRUTH",
            b"FILTER",
            filter.as_bytes(),
        ];
        let mut search = OwnedArgv::from_slices(&words);
        if with_attributes {
            search.push(b"WITHATTRIBS");
        }
        let found = self.gateway.run_slow(auth, vec![search]).await;
        let found = found.map_err(|failure| failure.into_status(|_| Site { collection, ..Site::default() }))?;
        let found = found.into_iter().next().and_then(|reply| of_matches(reply, with_attributes));
        found.ok_or_else(|| status::unexpected_reply("of VSIM"))
    }

    /// The pages of a scan, read as they are taken.
    pub(super) fn scan_pages(
        self,
        auth: Auth,
        request: ScanRequest,
    ) -> Result<impl Stream<Item = Result<ScanResponse, Status>> + Send, Status> {
        let mut violations = Violations::default();
        violations.collection("", &request.collection);
        violations.at_most("page_size", request.page_size.into(), PAGE_MAX.into());
        violations.into_result()?;
        // One page waits for the client, one is being read.
        let (pages, taken) = mpsc::channel(1);
        tokio::spawn(async move {
            if let Err(status) = self.scan_into(&auth, &request, &pages).await {
                // Whoever has left needs no reason.
                let _ = pages.send(Err(status)).await;
            }
        });
        Ok(ReceiverStream::new(taken))
    }

    pub(crate) async fn scan_into(
        &self,
        auth: &Auth,
        request: &ScanRequest,
        pages: &mpsc::Sender<Result<ScanResponse, Status>>,
    ) -> Result<(), Status> {
        let page_size = if request.page_size == 0 { PAGE_DEFAULT } else { request.page_size } as usize;
        let parts =
            Parts { vectors: request.with_vectors, attributes: request.with_attributes, expiry: request.with_expiry };
        let mut left = if request.limit == 0 { u64::MAX } else { request.limit };
        let (place, mut ids) = self.first_ids(auth, request).await?;
        while !ids.is_empty() && left > 0 {
            for page in ids.chunks(page_size) {
                let elements = self.read(auth, &place.collection, page, parts).await?.unwrap_or_default();
                let mut elements: Vec<Element> = elements.into_iter().flatten().collect();
                elements.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                left -= elements.len() as u64;
                let page = ScanResponse { elements, token: self.gateway.token() };
                if !page.elements.is_empty() && pages.send(Ok(page)).await.is_err() || left == 0 {
                    return Ok(());
                }
            }
            if !request.filter.is_empty() || ids.len() < SCAN_IDS {
                return Ok(());
            }
            let last = ids.pop().expect("looked at above");
            ids = self.ids_after(auth, &place.collection, &last).await?;
        }
        Ok(())
    }

    /// Where a scan is, and the ids it begins with: all of them if there is a filter.
    async fn first_ids(&self, auth: &Auth, request: &ScanRequest) -> Result<(Place, Vec<Bytes>), Status> {
        let after = &request.after;
        self.gateway
            .at(auth, &request.collection, |place| async move {
                if place.plan.is_some() {
                    return Ok((place, Vec::new()));
                }
                if request.filter.is_empty() {
                    let ids = self.ids_after(auth, &place.collection, after).await?;
                    return Ok((place, ids));
                }
                let found = self.matches(auth, &place.collection, &request.filter).await?;
                let mut ids: Vec<Bytes> = found.into_iter().map(|(id, _)| Bytes::from(id)).collect();
                ids.retain(|id| id > after);
                ids.sort_unstable();
                Ok((place, ids))
            })
            .await
    }

    /// The next [`SCAN_IDS`] ids in order.
    async fn ids_after(&self, auth: &Auth, collection: &str, after: &[u8]) -> Result<Vec<Bytes>, Status> {
        let bound = if after.is_empty() { b"-".to_vec() } else { [b"(", after].concat() };
        let count = SCAN_IDS.to_string();
        let words: [&[u8]; 5] = [b"VRANGE", collection.as_bytes(), &bound, b"+", count.as_bytes()];
        let replies = self.gateway.run_slow(auth, vec![OwnedArgv::from_slices(&words)]).await;
        let replies = replies.map_err(|failure| failure.into_status(|_| Site { collection, ..Site::default() }))?;
        let Some(Value::Array(ids)) = replies.into_iter().next() else {
            return Err(status::unexpected_reply("of VRANGE"));
        };
        Ok(ids.into_iter().filter_map(|id| if let Value::Bulk(id) = id { Some(id.into()) } else { None }).collect())
    }
}

/// VCARD, which tells a missing collection, then for each id what was asked for.
fn reads(collection: &str, ids: &[Bytes], parts: Parts) -> Vec<OwnedArgv> {
    let key = collection.as_bytes();
    let mut commands = vec![OwnedArgv::from_slices(&[b"VCARD", key])];
    for id in ids {
        commands.push(OwnedArgv::from_slices(&[b"VISMEMBER", key, id]));
        if parts.vectors {
            commands.push(OwnedArgv::from_slices(&[b"VEMB", key, id]));
        }
        if parts.attributes {
            commands.push(OwnedArgv::from_slices(&[b"VGETATTR", key, id]));
        }
        if parts.expiry {
            commands.push(OwnedArgv::from_slices(&[b"VPEXPIRETIME", key, b"ELEMENTS", b"1", id]));
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

fn of_matches(reply: Value, with_attributes: bool) -> Option<Vec<Match>> {
    let bytes = |value| if let Value::Bulk(bytes) = value { Some(bytes) } else { None };
    if with_attributes {
        // Nothing found is an empty array where a map would be.
        let pairs = reply.into_pairs()?.into_iter();
        return pairs.map(|(id, attributes)| Some((bytes(id)?, bytes(attributes)))).collect();
    }
    let Value::Array(ids) = reply else { return None };
    ids.into_iter().map(|id| Some((bytes(id)?, None))).collect()
}
