//! Elements and hits as batches.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, FixedSizeListArray, Float32Array, RecordBatch, StringArray, TimestampMillisecondArray,
    UInt32Array,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};

use crate::error::BatchError;

/// What a batch of elements has besides their ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// A column `vector` of vectors with so many components.
    pub dim: Option<usize>,
    /// A column `attributes`.
    pub attributes: bool,
    /// A column `expires_at`.
    pub expiry: bool,
    /// Ids are bytes and not text.
    pub binary_ids: bool,
}

/// Elements that a [`Page`] makes a batch of: of what it has as many as there are ids.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// Their names.
    pub ids: Vec<Vec<u8>>,
    /// Their vectors one after another.
    pub vectors: Vec<f32>,
    /// Their attributes.
    pub attributes: Vec<Option<String>>,
    /// When they end, in milliseconds since 1970.
    pub expires_at_ms: Vec<Option<i64>>,
}

impl Page {
    /// The schema of the batches.
    #[must_use]
    pub fn schema(self) -> Schema {
        let mut fields = vec![Field::new("id", id_type(self.binary_ids), false)];
        if let Some(dim) = self.dim {
            fields.push(Field::new("vector", vector_type(dim), false));
        }
        if self.attributes {
            fields.push(Field::new("attributes", DataType::Utf8, true));
        }
        if self.expiry {
            fields.push(Field::new("expires_at", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), true));
        }
        Schema::new(fields)
    }

    /// A batch of elements.
    ///
    /// # Errors
    /// An id is no text and `binary_ids` is not set.
    pub fn batch(self, columns: Columns) -> Result<RecordBatch, BatchError> {
        let mut arrays = vec![id_column("id", &columns.ids, self.binary_ids)?];
        if let Some(dim) = self.dim {
            let values = Arc::new(Float32Array::from(columns.vectors));
            let dim = i32::try_from(dim).map_err(|_| BatchError::Malformed("too many dimensions".to_owned()))?;
            arrays.push(Arc::new(FixedSizeListArray::try_new(component(), dim, values, None).map_err(wrong)?));
        }
        if self.attributes {
            arrays.push(Arc::new(StringArray::from(columns.attributes)));
        }
        if self.expiry {
            arrays.push(Arc::new(TimestampMillisecondArray::from(columns.expires_at_ms).with_timezone("UTC")));
        }
        RecordBatch::try_new(Arc::new(self.schema()), arrays).map_err(wrong)
    }
}

/// Hits of several searches, row by row.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Which search a hit belongs to.
    pub queries: Vec<u32>,
    /// Names of the elements.
    pub ids: Vec<Vec<u8>>,
    /// How similar they are.
    pub scores: Vec<f32>,
    /// Their attributes.
    pub attributes: Vec<Option<String>>,
}

impl Found {
    /// The schema of the batches.
    #[must_use]
    pub fn schema(binary_ids: bool) -> Schema {
        Schema::new(vec![
            Field::new("query", DataType::UInt32, false),
            Field::new("id", id_type(binary_ids), false),
            Field::new("score", DataType::Float32, false),
            Field::new("attributes", DataType::Utf8, true),
        ])
    }

    /// The hits as a batch.
    ///
    /// # Errors
    /// An id is no text and `binary_ids` is not set.
    pub fn batch(self, binary_ids: bool) -> Result<RecordBatch, BatchError> {
        let ids = id_column("id", &self.ids, binary_ids)?;
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(self.queries)),
            ids,
            Arc::new(Float32Array::from(self.scores)),
            Arc::new(StringArray::from(self.attributes)),
        ];
        RecordBatch::try_new(Arc::new(Self::schema(binary_ids)), arrays).map_err(wrong)
    }
}

fn id_type(binary: bool) -> DataType {
    if binary { DataType::Binary } else { DataType::Utf8 }
}

pub(crate) fn component() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Float32, false))
}

fn vector_type(dim: usize) -> DataType {
    DataType::FixedSizeList(component(), i32::try_from(dim).unwrap_or(i32::MAX))
}

pub(crate) fn id_column(field: &str, ids: &[Vec<u8>], binary: bool) -> Result<ArrayRef, BatchError> {
    if binary {
        return Ok(Arc::new(BinaryArray::from_iter_values(ids)));
    }
    let mut texts = Vec::with_capacity(ids.len());
    for (row, id) in ids.iter().enumerate() {
        texts.push(std::str::from_utf8(id).map_err(|_| BatchError::Value {
            field: field.to_owned(),
            row,
            reason: "is no text: ask for binary ids".to_owned(),
        })?);
    }
    Ok(Arc::new(StringArray::from_iter_values(texts)))
}

pub(crate) fn wrong(error: ArrowError) -> BatchError {
    BatchError::Malformed(error.to_string())
}
