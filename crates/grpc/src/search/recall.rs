//! MeasureRecall: searches beside exact ones, over elements at random or given vectors.

use std::time::Instant;

use prost::bytes::Bytes;
use quiver_resp::{OwnedArgv, Value};
use tonic::Status;

use super::{Searches, answer, command, site};
use crate::check::{SEARCHES_MAX, Violations};
use crate::executor::{Auth, Executor, Pace};
use crate::gateway::{Failure, OpenSession};
use crate::pb::search_request::Query;
use crate::pb::{Hit, MeasureRecallRequest, MeasureRecallResponse, SearchRequest};
use crate::status::Site;

/// Most neighbours that are compared.
const COMPARED_MAX: u32 = 1_000;
/// Neighbours of a request that does not say.
const COMPARED_DEFAULT: u32 = 10;
/// Elements drawn by a request that does not say.
const SAMPLE_DEFAULT: u32 = 100;
/// Scores nearer to each other than this are equal: two searches add up in different orders.
const SCORE_EPSILON: f32 = 1e-6;

/// What one query gave.
struct Compared {
    recall: f64,
    search_us: f64,
    exact_us: f64,
}

impl<E: Executor> Searches<E> {
    pub(super) async fn measure(
        &self,
        auth: &Auth,
        request: &MeasureRecallRequest,
    ) -> Result<MeasureRecallResponse, Status> {
        let mut violations = Violations::default();
        violations.at_most("limit", request.limit.into(), COMPARED_MAX.into());
        violations.at_most("queries", request.queries.len() as u64, SEARCHES_MAX as u64);
        violations.at_most("sample", request.sample.into(), SEARCHES_MAX as u64);
        let searches = request.queries.iter().map(|vector| search_of(request, Query::Vector(vector.clone())));
        let searches: Vec<SearchRequest> = searches.collect();
        let example = search_of(request, Query::Id(Bytes::from_static(b"any")));
        command::check(&example, "", &mut violations);
        for (index, search) in searches.iter().enumerate() {
            command::of_search(search, &search.collection, &format!("queries[{index}]."), &mut violations);
        }
        violations.into_result()?;
        let compared = self.gateway.at(auth, &request.collection, |place| {
            let searches = searches.clone();
            async move {
                if place.plan.is_some() {
                    return Ok(Vec::new());
                }
                self.compare_all(auth, &place.collection, request, searches).await
            }
        });
        Ok(summary(compared.await?))
    }

    async fn compare_all(
        &self,
        auth: &Auth,
        collection: &str,
        request: &MeasureRecallRequest,
        mut searches: Vec<SearchRequest>,
    ) -> Result<Vec<Compared>, Status> {
        let mut session = self.gateway.session(auth).await?;
        if searches.is_empty() {
            let sample = if request.sample == 0 { SAMPLE_DEFAULT } else { request.sample };
            let command = OwnedArgv::from_slices(&["VRANDMEMBER", collection, &sample.to_string()]);
            let ids = session.run(vec![command]).await;
            let ids = ids.map_err(|failure| failure.into_status(|_| Site { collection, ..Site::default() }))?;
            let ids = ids.first().and_then(Value::as_array).unwrap_or_default().iter().filter_map(Value::as_bytes);
            searches = ids.map(|id| search_of(request, Query::Id(id.to_vec().into()))).collect();
        }
        let mut compared = Vec::with_capacity(searches.len());
        for search in &searches {
            match compare(&mut session, collection, search).await {
                Ok(outcome) => compared.push(outcome),
                // Drawn a moment ago, and gone.
                Err(status) if status.code() == tonic::Code::NotFound => {}
                Err(status) => return Err(status),
            }
        }
        Ok(compared)
    }
}

/// The search that is measured. An element is its own first hit, which says nothing: one more is asked for.
fn search_of(request: &MeasureRecallRequest, query: Query) -> SearchRequest {
    let limit = if request.limit == 0 { COMPARED_DEFAULT } else { request.limit };
    let itself = u32::from(matches!(query, Query::Id(_)));
    SearchRequest {
        collection: request.collection.clone(),
        query: Some(query),
        limit: limit.saturating_add(itself),
        ef: request.ef,
        recall: request.recall,
        filter: request.filter.clone(),
        ..SearchRequest::default()
    }
}

async fn compare<E: Executor>(
    session: &mut OpenSession<E>,
    collection: &str,
    search: &SearchRequest,
) -> Result<Compared, Status> {
    let exact = SearchRequest { exact: true, ef: 0, recall: None, ..search.clone() };
    let (found, search_us) = timed(session, collection, search, Pace::Quick).await?;
    let (truth, exact_us) = timed(session, collection, &exact, Pace::Slow).await?;
    Ok(Compared { recall: recall(&found, &truth), search_us, exact_us })
}

async fn timed<E: Executor>(
    session: &mut OpenSession<E>,
    collection: &str,
    search: &SearchRequest,
    pace: Pace,
) -> Result<(Vec<Hit>, f64), Status> {
    let command = command::of_search(search, collection, "", &mut Violations::default());
    let start = Instant::now();
    let reply = session.replies(vec![command], pace).await?.pop();
    let took_us = start.elapsed().as_secs_f64() * 1e6;
    let reply = match reply {
        Some(Value::Error(text)) => {
            return Err(Failure::Command { index: 0, text }.into_status(|_| site(search, String::new())));
        }
        reply => reply.unwrap_or(Value::Null),
    };
    let mut hits = answer::of_search(reply, search)?.hits;
    let mut limit = search.limit as usize;
    if let Some(Query::Id(id)) = &search.query {
        hits.retain(|hit| hit.id != id);
        limit -= 1;
    }
    hits.truncate(limit);
    Ok((hits, took_us))
}

/// Share of the true neighbours that were found. What is as near as the last of them is as good as it.
fn recall(found: &[Hit], truth: &[Hit]) -> f64 {
    let Some(last) = truth.last() else { return 1.0 };
    let near = found.iter().filter(|hit| hit.score >= last.score - SCORE_EPSILON).count();
    near.min(truth.len()) as f64 / truth.len() as f64
}

fn summary(compared: Vec<Compared>) -> MeasureRecallResponse {
    let count = compared.len();
    let sum: f64 = compared.iter().map(|one| one.recall).sum();
    MeasureRecallResponse {
        recall: if count == 0 { 1.0 } else { sum / count as f64 },
        recall_min: compared.iter().map(|one| one.recall).fold(1.0, f64::min),
        queries: u32::try_from(count).unwrap_or(u32::MAX),
        search_p50_us: median(compared.iter().map(|one| one.search_us).collect()),
        exact_p50_us: median(compared.iter().map(|one| one.exact_us).collect()),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(scores: &[f32]) -> Vec<Hit> {
        scores.iter().map(|score| Hit { score: *score, ..Hit::default() }).collect()
    }

    #[test]
    fn recall_counts_what_is_as_near_as_the_true_neighbours() {
        assert_eq!(recall(&hits(&[0.9, 0.8]), &hits(&[0.9, 0.8])), 1.0);
        assert_eq!(recall(&hits(&[0.9, 0.7]), &hits(&[0.9, 0.8])), 0.5);
        assert_eq!(recall(&hits(&[0.8, 0.8]), &hits(&[0.8, 0.8])), 1.0, "another of equals");
        assert_eq!(recall(&[], &hits(&[0.8])), 0.0);
        assert_eq!(recall(&[], &[]), 1.0, "nothing to find");
    }
}
