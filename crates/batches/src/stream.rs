//! The IPC format: messages into batches and batches into messages.
//!
//! A message is a flatbuffer, its header, and the buffers of its columns, its body. In a stream of bytes a marker and a
//! length precede the header; Flight carries both apart.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::Schema;

use crate::error::BatchError;

const MARKER: [u8; 4] = [0xff; 4];
/// Marker and length.
const PREFIX: usize = 8;

/// Reads an IPC stream as it comes.
#[derive(Debug, Default)]
pub struct Decoder {
    inner: StreamDecoder,
}

impl Decoder {
    /// Takes bytes of the stream, cut anywhere, and gives `each` the batches that are complete by now.
    ///
    /// # Errors
    /// [`BatchError::Malformed`], or what `each` says; the decoder is of no use then.
    pub fn read(
        &mut self,
        bytes: Vec<u8>,
        mut each: impl FnMut(&RecordBatch) -> Result<(), BatchError>,
    ) -> Result<(), BatchError> {
        let mut buffer = Buffer::from_vec(bytes);
        while !buffer.is_empty() {
            // The library checks what it reads, and may yet slice out of bounds where it does not.
            let decoded = catch_unwind(AssertUnwindSafe(|| self.inner.decode(&mut buffer)));
            match decoded {
                Ok(Ok(Some(batch))) => each(&batch)?,
                Ok(Ok(None)) => {}
                Ok(Err(error)) => return Err(malformed(&error.to_string())),
                Err(_) => return Err(malformed("a buffer out of bounds")),
            }
        }
        Ok(())
    }

    /// Takes one message whose header and body came apart.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn message(
        &mut self,
        header: &[u8],
        body: &[u8],
        each: impl FnMut(&RecordBatch) -> Result<(), BatchError>,
    ) -> Result<(), BatchError> {
        let body_len = body_len(header)?;
        if body_len != body.len() {
            return Err(malformed(&format!("a body of {} bytes where the header says {body_len}", body.len())));
        }
        let padded = header.len().next_multiple_of(8);
        let mut bytes = Vec::with_capacity(PREFIX + padded + body.len());
        bytes.extend(MARKER);
        bytes.extend(u32::try_from(padded).map_err(|_| malformed("the header is too long"))?.to_le_bytes());
        bytes.extend(header);
        bytes.resize(PREFIX + padded, 0);
        bytes.extend(body);
        self.read(bytes, each)
    }

    /// The end of the stream.
    ///
    /// # Errors
    /// [`BatchError::Malformed`] if a message is incomplete.
    pub fn finish(&mut self) -> Result<(), BatchError> {
        self.inner.finish().map_err(|error| malformed(&error.to_string()))
    }
}

/// One message of the IPC format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its flatbuffer.
    pub header: Vec<u8>,
    /// Its buffers.
    pub body: Vec<u8>,
}

/// Batches of one schema as messages.
#[derive(Debug)]
pub struct Stream {
    schema: Schema,
}

impl Stream {
    /// A stream of batches of this schema, which has no dictionaries.
    #[must_use]
    pub fn new(schema: Schema) -> Self {
        Self { schema }
    }

    /// A stream of batches like this one.
    #[must_use]
    pub fn of(batch: &RecordBatch) -> Self {
        Self::new(batch.schema_ref().as_ref().clone())
    }

    /// A whole stream of one batch.
    ///
    /// # Errors
    /// The batch cannot be written.
    pub fn whole(batch: &RecordBatch) -> Result<Vec<u8>, BatchError> {
        let wrong = |error: arrow_schema::ArrowError| malformed(&error.to_string());
        let mut writer = StreamWriter::try_new(Vec::new(), batch.schema_ref()).map_err(wrong)?;
        writer.write(batch).map_err(wrong)?;
        writer.into_inner().map_err(wrong)
    }

    /// The message that begins the stream.
    ///
    /// # Errors
    /// The schema cannot be written.
    pub fn schema(&self) -> Result<Message, BatchError> {
        self.write(None)?.into_iter().next().ok_or_else(|| malformed("no schema"))
    }

    /// The schema as bytes that stand alone: what Flight tells of a data set before its first message.
    ///
    /// # Errors
    /// As [`Self::schema`].
    pub fn schema_bytes(&self) -> Result<Vec<u8>, BatchError> {
        let header = self.schema()?.header;
        let len = u32::try_from(header.len()).map_err(|_| malformed("the header is too long"))?;
        Ok([MARKER.as_slice(), &len.to_le_bytes(), &header].concat())
    }

    /// The message of a batch.
    ///
    /// # Errors
    /// The batch has another schema.
    pub fn batch(&self, batch: &RecordBatch) -> Result<Message, BatchError> {
        if batch.schema_ref().fields() != self.schema.fields() {
            return Err(malformed("a batch of another schema"));
        }
        self.write(Some(batch))?.into_iter().nth(1).ok_or_else(|| malformed("no batch"))
    }

    fn write(&self, batch: Option<&RecordBatch>) -> Result<Vec<Message>, BatchError> {
        let wrong = |error: arrow_schema::ArrowError| malformed(&error.to_string());
        let mut writer = StreamWriter::try_new(Vec::new(), &self.schema).map_err(wrong)?;
        if let Some(batch) = batch {
            writer.write(batch).map_err(wrong)?;
        }
        messages(&writer.into_inner().map_err(wrong)?)
    }
}

/// The messages of a complete stream.
fn messages(mut bytes: &[u8]) -> Result<Vec<Message>, BatchError> {
    let mut messages = Vec::new();
    while let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() {
        let [.., a, b, c, d] = *prefix;
        let header_len = u32::from_le_bytes([a, b, c, d]) as usize;
        if header_len == 0 {
            break;
        }
        let (header, rest) = rest.split_at_checked(header_len).ok_or_else(|| malformed("a cut header"))?;
        let (body, rest) = rest.split_at_checked(body_len(header)?).ok_or_else(|| malformed("a cut body"))?;
        messages.push(Message { header: header.to_vec(), body: body.to_vec() });
        bytes = rest;
    }
    Ok(messages)
}

/// Length of the body that a header announces.
fn body_len(header: &[u8]) -> Result<usize, BatchError> {
    let message = arrow_ipc::root_as_message(header).map_err(|error| malformed(&error.to_string()))?;
    usize::try_from(message.bodyLength()).map_err(|_| malformed("a body of negative length"))
}

fn malformed(reason: &str) -> BatchError {
    BatchError::Malformed(reason.chars().take(400).collect())
}
