//! SearchService: each search is one VSIM command.

use std::pin::Pin;

use quiver_resp::{OwnedArgv, Value};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use crate::check::{LIMIT_DEFAULT, SEARCHES_MAX, Violations};
use crate::convert::fp32_blob;
use crate::executor::{Auth, Executor};
use crate::gateway::Gateway;
use crate::pb::search_request::Query;
use crate::pb::search_service_server::SearchService;
use crate::pb::search_stream_response::Result as StreamResult;
use crate::pb::{
    Hit, SearchBatchRequest, SearchBatchResponse, SearchRequest, SearchResponse, SearchStreamRequest,
    SearchStreamResponse,
};
use crate::status::{self, Site};

/// The service over an executor.
#[derive(Clone, Debug)]
pub(crate) struct Searches<E> {
    gateway: Gateway<E>,
}

impl<E: Executor> Searches<E> {
    pub(crate) fn new(gateway: Gateway<E>) -> Self {
        Self { gateway }
    }

    /// Runs searches in one trip; `path` gives the place of each in the request.
    async fn search_all(
        &self,
        auth: &Auth,
        searches: &[SearchRequest],
        path: impl Fn(usize) -> String,
    ) -> Result<Vec<SearchResponse>, Status> {
        let mut violations = Violations::default();
        let mut commands = Vec::with_capacity(searches.len());
        for (index, search) in searches.iter().enumerate() {
            let path = path(index);
            violations.search(&path, search);
            commands.push(vsim(search, &path, &mut violations));
        }
        violations.into_result()?;
        let replies = self.gateway.run(auth, commands).await;
        let replies = replies.map_err(|failure| failure.into_status(|index| site(&searches[index], path(index))))?;
        replies.into_iter().zip(searches).map(|(reply, search)| hits(reply, search)).collect()
    }

    async fn search_one(&self, auth: &Auth, search: SearchRequest) -> Result<SearchResponse, Status> {
        let mut responses = self.search_all(auth, &[search], |_| String::new()).await?;
        Ok(responses.pop().expect("one response for each search"))
    }

    async fn answer(&self, auth: &Auth, request: SearchStreamRequest) -> SearchStreamResponse {
        let result = match request.search {
            Some(search) => self.search_one(auth, search).await,
            None => {
                let mut violations = Violations::default();
                violations.add("search", "is required");
                violations.into_result().map(|()| SearchResponse::default())
            }
        };
        let result = match result {
            Ok(response) => StreamResult::Response(response),
            Err(status) => StreamResult::Error(status::to_message(&status)),
        };
        SearchStreamResponse { request_id: request.request_id, result: Some(result) }
    }
}

#[tonic::async_trait]
impl<E: Executor> SearchService for Searches<E> {
    async fn search(&self, request: Request<SearchRequest>) -> Result<Response<SearchResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        self.search_one(&auth, request.into_inner()).await.map(Response::new)
    }

    async fn search_batch(
        &self,
        request: Request<SearchBatchRequest>,
    ) -> Result<Response<SearchBatchResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let searches = request.into_inner().searches;
        let mut violations = Violations::default();
        violations.count("searches", searches.len(), SEARCHES_MAX);
        violations.into_result()?;
        let responses = self.search_all(&auth, &searches, |index| format!("searches[{index}].")).await?;
        Ok(Response::new(SearchBatchResponse { responses }))
    }

    type SearchStreamStream = Pin<Box<dyn Stream<Item = Result<SearchStreamResponse, Status>> + Send>>;

    async fn search_stream(
        &self,
        request: Request<Streaming<SearchStreamRequest>>,
    ) -> Result<Response<Self::SearchStreamStream>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let service = self.clone();
        // `then` pulls the next request only when the last answer was taken: nothing queues up here.
        let answers = request.into_inner().then(move |request| {
            let (service, auth) = (service.clone(), auth.clone());
            async move { Ok(service.answer(&auth, request.map_err(status::of_transport)?).await) }
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

/// The command of a search. With a violation noted its arguments mean nothing.
fn vsim(search: &SearchRequest, path: &str, violations: &mut Violations) -> OwnedArgv {
    let mut argv = OwnedArgv::from_slices(&[b"VSIM", search.collection.as_bytes()]);
    match &search.query {
        Some(Query::Id(id)) => {
            argv.push(b"ELE");
            argv.push(id);
        }
        Some(Query::Vector(vector)) => match fp32_blob(vector) {
            Ok(blob) => {
                argv.push(b"FP32");
                argv.push(&blob);
            }
            Err(error) => violations.add(format!("{path}vector"), error.to_string()),
        },
        None => {}
    }
    argv.push(b"WITHSCORES");
    if search.with_attributes {
        argv.push(b"WITHATTRIBS");
    }
    argv.push(b"COUNT");
    argv.push(if search.limit == 0 { LIMIT_DEFAULT } else { search.limit }.to_string().as_bytes());
    if search.ef > 0 {
        argv.push(b"EF");
        argv.push(search.ef.to_string().as_bytes());
    }
    if !search.filter.is_empty() {
        argv.push(b"FILTER");
        argv.push(search.filter.as_bytes());
    }
    if search.exact {
        argv.push(b"TRUTH");
    }
    argv
}

fn site(search: &SearchRequest, path: String) -> Site<'_> {
    let element = match &search.query {
        Some(Query::Id(id)) => Some(id.as_ref()),
        _ => None,
    };
    Site { collection: &search.collection, element, path }
}

/// The hits in a VSIM reply: a map of id to score, or to score and attributes.
fn hits(reply: Value, search: &SearchRequest) -> Result<SearchResponse, Status> {
    let pairs = reply.into_pairs().ok_or_else(|| status::unexpected_reply("of VSIM"))?;
    let mut hits = Vec::with_capacity(pairs.len());
    for (id, found) in pairs {
        let hit = hit(id, &found).ok_or_else(|| status::unexpected_reply("in VSIM"))?;
        if search.min_score.is_none_or(|min| hit.score >= min) {
            hits.push(hit);
        }
    }
    Ok(SearchResponse { hits })
}

fn hit(id: Value, found: &Value) -> Option<Hit> {
    let (score, attributes) = match found.as_array() {
        Some([score, attributes]) => (score, attributes.as_bytes()),
        Some(_) => return None,
        None => (found, None),
    };
    let Value::Bulk(id) = id else { return None };
    Some(Hit { id: id.into(), score: score.as_f64()? as f32, attributes: attributes.map(text) })
}

/// Attributes as text. RESP may have stored any bytes; a protobuf string must be UTF-8.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
