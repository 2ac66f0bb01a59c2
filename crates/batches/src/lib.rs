//! Arrow record batches to vectors, ids and attributes, and back: the columnar end of bulk writes and reads.
//!
//! Format: <https://arrow.apache.org/docs/format/Columnar.html>. [`Decoder`] takes the messages of an IPC stream and
//! yields batches; [`Elements`] and [`FeatureRows`] take batches of known columns; [`Columns`], [`Found`] and
//! [`FeatureColumn`]s become batches, and [`Stream`] messages again.
//!
//! Invariants: no bytes panic, and none make anybody reserve more than they are; what does not fit is an error that names
//! the column, what was expected and what came.
//!
//! Not here: compressed bodies, and tensors or unions; where messages come from and where elements go.
#![forbid(unsafe_code)]

mod elements;
mod error;
mod feature_rows;
mod features;
mod scalars;
mod stream;
mod write;

pub use arrow_array::RecordBatch;
pub use elements::Elements;
pub use error::BatchError;
pub use feature_rows::{FeatureRows, FeatureWords, entities};
pub use features::{FeatureColumn, FeatureKind, features_batch};
pub use stream::{Decoder, Message, Stream};
pub use write::{Columns, Found, Page};
