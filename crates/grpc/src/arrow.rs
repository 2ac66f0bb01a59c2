//! Arrow batches of requests, decoded away from the threads that serve connections.

use prost::bytes::Bytes;
use quiver_batches::{BatchError, Decoder, Elements, RecordBatch};
use tonic::Status;

use crate::check::{ARROW_ROWS_MAX, Violations};

/// The elements of a whole IPC stream.
pub(crate) async fn read_stream(bytes: Bytes) -> Result<Elements, Status> {
    apart(move || {
        let (mut decoder, mut elements) = (Decoder::default(), Elements::default());
        decoder.read(bytes.to_vec(), |batch| elements.append(batch, ARROW_ROWS_MAX))?;
        decoder.finish()?;
        Ok(elements)
    })
    .await?
    .map_err(|error| refused("arrow_ipc", &error))
}

/// Puts the batches of one message, whose header and body came apart, where `take` takes them.
pub(crate) async fn read_message<T: Send + 'static>(
    mut decoder: Decoder,
    (header, body): (Bytes, Bytes),
    mut rows: T,
    take: impl Fn(&mut T, &RecordBatch) -> Result<(), BatchError> + Send + 'static,
) -> Result<(Decoder, T), Status> {
    apart(move || {
        decoder.message(&header, &body, |batch| take(&mut rows, batch))?;
        Ok((decoder, rows))
    })
    .await?
    .map_err(|error| refused("data", &error))
}

/// The status of batches that cannot be used; `field` is where they came in.
pub(crate) fn refused(field: &str, error: &BatchError) -> Status {
    let mut violations = Violations::default();
    let path = error.field().map_or_else(|| field.to_owned(), |column| format!("{field}.{column}"));
    violations.add(path, error.to_string());
    violations.into_result().expect_err("a violation was noted")
}

async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Status> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Status::unavailable("the server is stopping"))
}
