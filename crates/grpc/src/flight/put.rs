//! DoPut: batches of elements, or of features, written as they come.

use quiver_batches::{Decoder, Elements};
use serde_json::json;
use tonic::{Status, Streaming};

use super::{Flights, Out, collection_of, first, json, next, options, view_of};
use crate::arrow::read_message;
use crate::check::{ARROW_ROWS_MAX, Violations};
use crate::executor::{Auth, Executor};
use crate::flight_pb::{FlightData, PutResult};
use crate::pb::UpsertResponse;

impl<E: Executor> Flights<E> {
    pub(super) async fn put_all(
        &self,
        auth: &Auth,
        mut data: Streaming<FlightData>,
        out: &Out<PutResult>,
    ) -> Result<(), Status> {
        let message = first(&mut data).await?;
        if let Some(view) = view_of(message.flight_descriptor.as_ref()) {
            return self.put_features(auth, &view, message, data, out).await;
        }
        let collection = collection_of(message.flight_descriptor.as_ref())?;
        let mut violations = Violations::default();
        violations.collection("", &collection);
        violations.into_result()?;
        self.put_elements(auth, &collection, message, data, out).await
    }

    async fn put_elements(
        &self,
        auth: &Auth,
        collection: &str,
        mut message: FlightData,
        mut data: Streaming<FlightData>,
        out: &Out<PutResult>,
    ) -> Result<(), Status> {
        let (mut put, mut begun) = (options::Put::default(), false);
        let (mut decoder, mut total) = (Decoder::default(), UpsertResponse::default());
        loop {
            if !begun && !message.app_metadata.is_empty() {
                put = read_options(&message.app_metadata)?;
            }
            if !message.data_header.is_empty() {
                let sent = (message.data_header, message.data_body);
                let take = |elements: &mut Elements, batch: &_| elements.append(batch, ARROW_ROWS_MAX);
                let (next, elements) = read_message(decoder, sent, Elements::default(), take).await?;
                decoder = next;
                begun |= !elements.is_empty();
                let written = self.vectors.write_all(auth, collection, &elements, put.index()).await?;
                total.inserted += written.inserted;
                total.updated += written.updated;
                if put.acks && !elements.is_empty() && out.send(Ok(self.result(&written))).await.is_err() {
                    return Ok(());
                }
            }
            match next(&mut data).await? {
                Some(another) => message = another,
                None => break,
            }
        }
        if !put.acks {
            // Whoever has left needs no summary.
            let _ = out.send(Ok(self.result(&total))).await;
        }
        Ok(())
    }

    fn result(&self, written: &UpsertResponse) -> PutResult {
        let UpsertResponse { inserted, updated, .. } = written;
        let metadata = json!({"inserted": inserted, "updated": updated, "token": self.gateway.token()});
        PutResult { app_metadata: json(&metadata) }
    }
}

fn read_options(json: &[u8]) -> Result<options::Put, Status> {
    let put: options::Put = options::read("app_metadata", json)?;
    let mut violations = Violations::default();
    violations.index("app_metadata", Some(&put.index()));
    violations.into_result()?;
    Ok(put)
}
