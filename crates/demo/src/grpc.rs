//! The same questions over gRPC: the collection is the vector set that was filled over RESP.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use quiver_grpc::client::{SearchServiceClient, VectorServiceClient};
use quiver_grpc::f32_vector;
use quiver_grpc::pb::search_request::Query;
use quiver_grpc::pb::{CountRequest, Hit, SearchRequest};
use tokio::runtime::Builder;
use tonic::transport::{Channel, Endpoint};

use crate::report::Report;
use crate::search::{Answers, Measured, SHOWN, SHOWN_ANSWERS, recall};
use crate::texts::Texts;
use crate::{K, KEY};

/// Asks every question on `port` and fails where the rows found are not those of `expected`.
pub(crate) fn search(port: u16, set: &Texts, expected: &Answers, report: &mut Report) -> Result<Measured> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let address = format!("http://127.0.0.1:{port}");
        let channel = Endpoint::from_shared(address.clone())?.connect().await;
        let channel = channel.with_context(|| format!("connecting to {address}"))?;
        count(channel.clone(), set, report).await?;
        ask_all(SearchServiceClient::new(channel), set, expected, report).await
    })
}

async fn count(channel: Channel, set: &Texts, report: &Report) -> Result<()> {
    let request = CountRequest { collection: KEY.to_owned(), ..CountRequest::default() };
    let count = VectorServiceClient::new(channel).count(request).await?.into_inner().count;
    ensure!(count == set.base.len() as u64, "VectorService.Count answered {count}");
    report.fact("VectorService.Count", &format!("{count} elements, those written over RESP"));
    Ok(())
}

async fn ask_all(
    mut service: SearchServiceClient<Channel>,
    set: &Texts,
    expected: &Answers,
    report: &Report,
) -> Result<Measured> {
    let start = Instant::now();
    let mut answers = Answers::new();
    for question in 0..set.questions.len() {
        let response = service.search(request(set.vectors.queries.row(question), false)).await?;
        answers.push(rows(&response.into_inner().hits)?);
    }
    let seconds = start.elapsed().as_secs_f64();
    show(&mut service, set, report).await?;
    let same = |a: &[(i32, f64)], b: &[(i32, f64)]| a.iter().map(|hit| hit.0).eq(b.iter().map(|hit| hit.0));
    let different = answers.iter().zip(expected).filter(|(here, there)| !same(here, there)).count();
    ensure!(different == 0, "{different} of {} answers differ between gRPC and RESP", answers.len());
    let measured = Measured { recall: recall(set, &answers), queries_per_second: answers.len() as f64 / seconds };
    report.measured(&measured);
    Ok(measured)
}

/// One question, with the texts as the attributes the service returns.
async fn show(service: &mut SearchServiceClient<Channel>, set: &Texts, report: &Report) -> Result<()> {
    let question = SHOWN[0].min(set.questions.len() - 1);
    let response = service.search(request(set.vectors.queries.row(question), true)).await?.into_inner();
    let mut found = Vec::new();
    for hit in response.hits.iter().take(SHOWN_ANSWERS) {
        let attributes = hit.attributes.as_deref().context("a hit came without its attributes")?;
        found.push((f64::from(hit.score), text(attributes)?));
    }
    let found: Vec<(f64, &str)> = found.iter().map(|(score, text)| (*score, text.as_str())).collect();
    report.answer(&set.questions[question], &found);
    Ok(())
}

fn request(question: &[f32], with_attributes: bool) -> SearchRequest {
    SearchRequest {
        collection: KEY.to_owned(),
        query: Some(Query::Vector(f32_vector(question))),
        limit: K as u32,
        with_attributes,
        ..SearchRequest::default()
    }
}

fn rows(hits: &[Hit]) -> Result<Vec<(i32, f64)>> {
    let row = |hit: &Hit| std::str::from_utf8(&hit.id).ok()?.parse().ok().map(|row| (row, f64::from(hit.score)));
    hits.iter().map(|hit| row(hit).context("Search named an element that was never added")).collect()
}

fn text(attributes: &str) -> Result<String> {
    let value: serde_json::Value = serde_json::from_str(attributes).context("attributes are not JSON")?;
    Ok(value["text"].as_str().context("attributes lack the text")?.to_owned())
}
