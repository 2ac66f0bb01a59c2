//! Features: DoPut of rows, and what DoGet and DoExchange look up.

use prost::bytes::Bytes;
use quiver_batches::{Decoder, FeatureRows, RecordBatch, Stream, entities};
use serde_json::json;
use tonic::{Status, Streaming};

use super::options::{Lookup, PutFeatures};
use super::{Flights, Out, data, json, next, options};
use crate::arrow::{read_message, refused};
use crate::check::ARROW_ROWS_MAX;
use crate::executor::{Auth, Executor};
use crate::features::ENTITIES_MAX;
use crate::flight_pb::{FlightData, PutResult};

/// What was written.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    rows: u64,
    values: u64,
    stored: u64,
}

impl<E: Executor> Flights<E> {
    pub(super) async fn put_features(
        &self,
        auth: &Auth,
        view: &str,
        mut message: FlightData,
        mut messages: Streaming<FlightData>,
        out: &Out<PutResult>,
    ) -> Result<(), Status> {
        let (mut put, mut decoder, mut total) = (PutFeatures::default(), Decoder::default(), Written::default());
        loop {
            if total.rows == 0 && !message.app_metadata.is_empty() {
                put = options::read("app_metadata", &message.app_metadata)?;
            }
            if !message.data_header.is_empty() {
                let sent = (message.data_header, message.data_body);
                let take = |rows: &mut FeatureRows, batch: &_| {
                    *rows = FeatureRows::read(batch, ARROW_ROWS_MAX)?;
                    Ok(())
                };
                let (next, rows) = read_message(decoder, sent, FeatureRows::default(), take).await?;
                decoder = next;
                if !rows.entities.is_empty() {
                    let stored = self.features.put_rows(auth, view, &rows).await?;
                    let (count, features) = (rows.entities.len() as u64, rows.columns.len() as u64);
                    let written = Written { rows: count, values: count * features, stored };
                    total.rows += written.rows;
                    total.values += written.values;
                    total.stored += written.stored;
                    if put.acks && out.send(Ok(self.features_result(written))).await.is_err() {
                        return Ok(());
                    }
                }
            }
            match next(&mut messages).await? {
                Some(another) => message = another,
                None => break,
            }
        }
        if !put.acks {
            // Whoever has left needs no summary.
            let _ = out.send(Ok(self.features_result(total))).await;
        }
        Ok(())
    }

    fn features_result(&self, Written { rows, values, stored }: Written) -> PutResult {
        let stale = values.saturating_sub(stored);
        let metadata = json!({"rows": rows, "stored": stored, "stale": stale, "token": self.gateway.token()});
        PutResult { app_metadata: json(&metadata) }
    }

    pub(super) async fn get_features(&self, auth: &Auth, lookup: Lookup, out: &Out<FlightData>) -> Result<(), Status> {
        let entities = lookup.entities.iter().map(|entity| Bytes::copy_from_slice(entity.as_bytes())).collect();
        let found = self.features.look_up(auth, &lookup.request(entities)).await?;
        let stream = Stream::of(&found);
        if out.send(Ok(schema(&stream)?)).await.is_ok() {
            // Whoever has left needs no features.
            let _ = out.send(Ok(batch(&stream, &found)?)).await;
        }
        Ok(())
    }

    pub(super) async fn exchange_features(
        &self,
        auth: &Auth,
        lookup: &Lookup,
        mut message: FlightData,
        mut messages: Streaming<FlightData>,
        out: &Out<FlightData>,
    ) -> Result<(), Status> {
        let (mut decoder, mut stream) = (Decoder::default(), None);
        loop {
            if !message.data_header.is_empty() {
                let sent = (message.data_header, message.data_body);
                let take = |asked: &mut Vec<Vec<u8>>, batch: &_| {
                    *asked = entities(batch, ENTITIES_MAX)?;
                    Ok(())
                };
                let (next, asked) = read_message(decoder, sent, Vec::new(), take).await?;
                decoder = next;
                if !asked.is_empty() {
                    let asked = asked.into_iter().map(Bytes::from).collect();
                    let found = self.features.look_up(auth, &lookup.request(asked)).await?;
                    if stream.is_none() {
                        let begun = Stream::of(&found);
                        if out.send(Ok(schema(&begun)?)).await.is_err() {
                            return Ok(());
                        }
                        stream = Some(begun);
                    }
                    // A view that was replaced by one of other types does not fit the stream any more.
                    let answer = batch(stream.as_ref().expect("begun above"), &found)?;
                    if out.send(Ok(answer)).await.is_err() {
                        return Ok(());
                    }
                }
            }
            match next(&mut messages).await? {
                Some(another) => message = another,
                None => return Ok(()),
            }
        }
    }
}

fn schema(stream: &Stream) -> Result<FlightData, Status> {
    stream.schema().map(data).map_err(|error| refused("schema", &error))
}

fn batch(stream: &Stream, batch: &RecordBatch) -> Result<FlightData, Status> {
    stream.batch(batch).map(data).map_err(|error| refused("data", &error))
}
