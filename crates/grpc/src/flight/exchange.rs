//! DoExchange: batches of query vectors in, batches of hits out; or of entities, and their features.

use quiver_batches::{Decoder, Elements, Found, Stream};
use tonic::{Status, Streaming};

use super::options::{self, Exchange};
use super::{Flights, Out, collection_of, data, first, next};
use crate::arrow::{read_message, refused};
use crate::check::SEARCHES_MAX;
use crate::executor::{Auth, Executor};
use crate::flight_pb::flight_descriptor::DescriptorType;
use crate::flight_pb::{FlightData, FlightDescriptor};
use crate::pb::search_request::Query;
use crate::pb::{Dtype, SearchRequest, SearchResponse, Vector};

impl<E: Executor> Flights<E> {
    pub(super) async fn exchange_all(
        &self,
        auth: &Auth,
        mut messages: Streaming<FlightData>,
        out: &Out<FlightData>,
    ) -> Result<(), Status> {
        let mut message = first(&mut messages).await?;
        if let Some(lookup) = message.flight_descriptor.as_ref().filter(|given| options::is_lookup(&given.cmd)) {
            let lookup = options::read("flight_descriptor.cmd", &lookup.cmd)?;
            return self.exchange_features(auth, &lookup, message, messages, out).await;
        }
        let exchange = exchange_of(message.flight_descriptor.as_ref())?;
        let stream = Stream::new(Found::schema(exchange.binary_ids));
        let schema = stream.schema().map_err(|error| refused("schema", &error))?;
        if out.send(Ok(data(schema))).await.is_err() {
            return Ok(());
        }
        let (mut decoder, mut asked, mut dim) = (Decoder::default(), 0_u32, 0);
        loop {
            if !message.data_header.is_empty() {
                let queries = Elements { dim, ..Elements::default() };
                let sent = (message.data_header, message.data_body);
                let take = |queries: &mut Elements, batch: &_| queries.append_queries(batch, SEARCHES_MAX).map(drop);
                let (next, queries) = read_message(decoder, sent, queries, take).await?;
                (decoder, dim) = (next, queries.dim);
                let vectors = queries.vectors.chunks_exact((4 * dim).max(1));
                let searches: Vec<_> = vectors.map(|vector| search_of(&exchange, vector)).collect();
                if !searches.is_empty() {
                    let path = |row| format!("data[{row}].");
                    let responses = self.searches.search_all(auth, &searches, path).await?;
                    let found = found(responses, asked).batch(exchange.binary_ids);
                    let found = found.and_then(|batch| stream.batch(&batch));
                    let answer = found.map(data).map_err(|error| refused("data", &error))?;
                    if out.send(Ok(answer)).await.is_err() {
                        return Ok(());
                    }
                    asked = asked.wrapping_add(u32::try_from(searches.len()).unwrap_or(u32::MAX));
                }
            }
            match next(&mut messages).await? {
                Some(another) => message = another,
                None => return Ok(()),
            }
        }
    }
}

/// Options in JSON, or nothing but the collection.
fn exchange_of(descriptor: Option<&FlightDescriptor>) -> Result<Exchange, Status> {
    match descriptor {
        Some(descriptor) if descriptor.r#type() == DescriptorType::Cmd => {
            options::read("flight_descriptor.cmd", &descriptor.cmd)
        }
        other => Ok(Exchange { collection: collection_of(other)?, ..Exchange::default() }),
    }
}

fn search_of(exchange: &Exchange, vector: &[u8]) -> SearchRequest {
    let dim = u32::try_from(vector.len() / 4).unwrap_or(u32::MAX);
    let packed = vector.to_vec().into();
    let vector = Vector { dtype: Dtype::F32.into(), dim, packed, floats: Vec::new() };
    SearchRequest {
        collection: exchange.collection.clone(),
        query: Some(Query::Vector(vector)),
        limit: exchange.limit,
        ef: exchange.ef,
        exact: exchange.exact,
        filter: exchange.filter.clone(),
        min_score: exchange.min_score,
        with_attributes: exchange.attributes,
        recall: exchange.recall,
        ..SearchRequest::default()
    }
}

fn found(responses: Vec<SearchResponse>, first: u32) -> Found {
    let mut found = Found::default();
    for (query, response) in (first..).zip(responses) {
        for hit in response.hits {
            found.queries.push(query);
            found.ids.push(hit.id.to_vec());
            found.scores.push(hit.score);
            found.attributes.push(hit.attributes);
        }
    }
    found
}
