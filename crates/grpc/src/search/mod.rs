//! SearchService: each search is one VSIM or VRECOMMEND command (`command`), whose reply becomes hits (`answer`).
//!
//! A batch is one pipeline. What names an alias in it is found out when the pipeline fails with WRONGTYPE; its searches
//! then run one by one, each where it belongs.

mod answer;
mod command;
mod recall;

use std::pin::Pin;

use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

pub(crate) use answer::text;

use crate::check::{SEARCHES_MAX, Violations};
use crate::executor::{Auth, Executor};
use crate::gateway::Gateway;
use crate::pb::search_request::Query;
use crate::pb::search_service_server::SearchService;
use crate::pb::search_stream_response::Result as StreamResult;
use crate::pb::{
    MeasureRecallRequest, MeasureRecallResponse, SearchBatchRequest, SearchBatchResponse, SearchRequest,
    SearchResponse, SearchStreamRequest, SearchStreamResponse,
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
    pub(crate) async fn search_all(
        &self,
        auth: &Auth,
        searches: &[SearchRequest],
        path: impl Fn(usize) -> String,
    ) -> Result<Vec<SearchResponse>, Status> {
        let mut violations = Violations::default();
        let mut commands = Vec::with_capacity(searches.len());
        for (index, search) in searches.iter().enumerate() {
            let path = path(index);
            command::check(search, &path, &mut violations);
            commands.push(command::of_search(search, &search.collection, &path, &mut violations));
        }
        violations.into_result()?;
        let outcome = self.gateway.run(auth, commands).await;
        let outcome = outcome.map_err(|failure| failure.into_status(|index| site(&searches[index], path(index))));
        match outcome {
            Ok(replies) => {
                let answers = replies.into_iter().zip(searches);
                answers.map(|(reply, search)| answer::of_search(reply, search)).collect()
            }
            Err(status) if status::is_wrong_type(&status) => {
                let mut responses = Vec::with_capacity(searches.len());
                for (index, search) in searches.iter().enumerate() {
                    responses.push(self.search_where_it_is(auth, search, path(index)).await?);
                }
                Ok(responses)
            }
            Err(status) => Err(status),
        }
    }

    /// Runs a checked search whose collection may be an alias.
    async fn search_where_it_is(
        &self,
        auth: &Auth,
        search: &SearchRequest,
        path: String,
    ) -> Result<SearchResponse, Status> {
        let path = path.as_str();
        let response = self.gateway.at(auth, &search.collection, |place| async move {
            if place.plan.is_some() {
                return Ok(SearchResponse::default());
            }
            let command = command::of_search(search, &place.collection, path, &mut Violations::default());
            let replies = self.gateway.run(auth, vec![command]).await;
            let mut replies = replies.map_err(|failure| failure.into_status(|_| site(search, path.to_owned())))?;
            let reply = replies.pop().ok_or_else(|| status::unexpected_reply("of VSIM"))?;
            answer::of_search(reply, search)
        });
        response.await
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

    async fn measure_recall(
        &self,
        request: Request<MeasureRecallRequest>,
    ) -> Result<Response<MeasureRecallResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        self.measure(&auth, request.get_ref()).await.map(Response::new)
    }
}

fn site(search: &SearchRequest, path: String) -> Site<'_> {
    let element = match &search.query {
        Some(Query::Id(id)) => Some(id.as_ref()),
        _ => None,
    };
    Site { collection: &search.collection, element, path }
}
