//! Arrow batches of requests, decoded away from the threads that serve connections.

use prost::bytes::Bytes;
use quiver_batches::{BatchError, Decoder, Elements};
use tonic::Status;

use crate::check::{ARROW_ROWS_MAX, Violations};

/// What one message of a stream gave.
pub(crate) struct Decoded {
    /// For the next message.
    pub(crate) decoder: Decoder,
    /// The rows of the message.
    pub(crate) elements: Elements,
}

/// Which columns are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    /// Elements to write.
    Elements,
    /// Vectors to search by, of this dimension if it is known; at most so many.
    Queries {
        /// Components of each; 0 if nothing has said so yet.
        dim: usize,
        /// The most of one message.
        rows_max: usize,
    },
}

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

/// The rows of one message whose header and body came apart.
pub(crate) async fn read_message(
    mut decoder: Decoder,
    rows: Rows,
    header: Bytes,
    body: Bytes,
) -> Result<Decoded, Status> {
    apart(move || {
        let mut elements = Elements::default();
        if let Rows::Queries { dim, .. } = rows {
            elements.dim = dim;
        }
        decoder.message(&header, &body, |batch| match rows {
            Rows::Elements => elements.append(batch, ARROW_ROWS_MAX),
            Rows::Queries { rows_max, .. } => elements.append_queries(batch, rows_max).map(drop),
        })?;
        Ok(Decoded { decoder, elements })
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
