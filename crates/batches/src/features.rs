//! Features of entities as a batch: for every feature its values, their statuses, and if they are known their times.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, FixedSizeListArray, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray, UInt8Array,
};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, Schema};

use crate::error::BatchError;
use crate::write::{component, id_column, wrong};

/// Type of a feature's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureKind {
    /// Doubles, 8 bytes each.
    F64,
    /// Singles, 4 bytes each.
    F32,
    /// Signed integers, 8 bytes each.
    I64,
    /// One byte each.
    Bool,
    /// Milliseconds since 1970, 8 bytes each.
    Timestamp,
    /// Text.
    String,
    /// So many singles each.
    Vector(usize),
}

/// A feature of all entities, in their order.
#[derive(Clone, Debug)]
pub struct FeatureColumn {
    /// Name of its column.
    pub name: String,
    /// Type of its values.
    pub kind: FeatureKind,
    /// Values of all types but text, little-endian, whatever stands where there is none.
    pub packed: Vec<u8>,
    /// Values of type text.
    pub strings: Vec<Vec<u8>>,
    /// Which values there are.
    pub present: Vec<bool>,
    /// What is known of each value, as numbers.
    pub statuses: Vec<u8>,
    /// When values were true, milliseconds since 1970, 8 bytes each, 0 for none; empty if that was not asked for.
    pub event_times_ms: Vec<u8>,
}

/// The features of entities: `entity`, then for each column `name`, `name.status` and, if known, `name.event_time`.
///
/// # Errors
/// Columns of different lengths, or bytes that are no text where text must be.
pub fn features_batch(entities: &[Vec<u8>], columns: Vec<FeatureColumn>) -> Result<RecordBatch, BatchError> {
    let mut fields = vec![Field::new("entity", DataType::Utf8, false)];
    let mut arrays = vec![id_column("entity", entities, false)?];
    for column in columns {
        let (name, rows) = (column.name.clone(), column.present.len());
        let times = column.event_times_ms.clone();
        let statuses: ArrayRef = Arc::new(UInt8Array::from(column.statuses.clone()));
        let values = values(column)?;
        fields.push(Field::new(&name, values.data_type().clone(), true));
        arrays.push(values);
        fields.push(Field::new(format!("{name}.status"), DataType::UInt8, false));
        arrays.push(statuses);
        if !times.is_empty() {
            let times = integers(&times).map(|at_ms| Some(at_ms).filter(|at_ms| *at_ms != 0)).collect::<Vec<_>>();
            let times: ArrayRef = Arc::new(TimestampMillisecondArray::from(times).with_timezone("UTC"));
            fields.push(Field::new(format!("{name}.event_time"), times.data_type().clone(), true));
            arrays.push(times);
        }
        if arrays.iter().any(|array| array.len() != rows) {
            return Err(BatchError::Malformed(format!("column {name} is of another length")));
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(wrong)
}

fn values(column: FeatureColumn) -> Result<ArrayRef, BatchError> {
    let present = NullBuffer::from(column.present);
    let nulls = Some(present.clone());
    let packed = column.packed.as_slice();
    let rows = present.len();
    let width = match column.kind {
        FeatureKind::F64 | FeatureKind::I64 | FeatureKind::Timestamp => 8,
        FeatureKind::F32 => 4,
        FeatureKind::Bool => 1,
        FeatureKind::Vector(dim) => 4 * dim,
        FeatureKind::String => 0,
    };
    if packed.len() != rows * width || width == 0 && column.strings.len() != rows {
        return Err(BatchError::Malformed(format!("column {} is of another length", column.name)));
    }
    Ok(match column.kind {
        FeatureKind::F64 => {
            let doubles = packed.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes));
            Arc::new(Float64Array::new(doubles.collect::<Vec<_>>().into(), nulls))
        }
        FeatureKind::F32 => Arc::new(Float32Array::new(singles(packed).collect::<Vec<_>>().into(), nulls)),
        FeatureKind::I64 => Arc::new(Int64Array::new(integers(packed).collect::<Vec<_>>().into(), nulls)),
        FeatureKind::Bool => Arc::new(BooleanArray::new(packed.iter().map(|byte| *byte != 0).collect(), nulls)),
        FeatureKind::Timestamp => {
            let times = integers(packed).collect::<Vec<_>>().into();
            Arc::new(TimestampMillisecondArray::new(times, nulls).with_timezone("UTC"))
        }
        FeatureKind::Vector(dim) => {
            let values = Arc::new(Float32Array::from(singles(packed).collect::<Vec<_>>()));
            let dim = i32::try_from(dim).map_err(|_| BatchError::Malformed("too many dimensions".to_owned()))?;
            Arc::new(FixedSizeListArray::try_new(component(), dim, values, nulls).map_err(wrong)?)
        }
        FeatureKind::String => {
            let mut texts = Vec::with_capacity(rows);
            for (row, bytes) in column.strings.iter().enumerate() {
                let text = std::str::from_utf8(bytes).map_err(|_| BatchError::Value {
                    field: column.name.clone(),
                    row,
                    reason: "is no text".to_owned(),
                })?;
                texts.push(present.is_valid(row).then_some(text));
            }
            Arc::new(StringArray::from(texts))
        }
    })
}

fn integers(packed: &[u8]) -> impl Iterator<Item = i64> + '_ {
    packed.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes))
}

fn singles(packed: &[u8]) -> impl Iterator<Item = f32> + '_ {
    packed.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use arrow_array::Array as _;

    use super::*;

    fn column(kind: FeatureKind, packed: Vec<u8>) -> FeatureColumn {
        let strings = if kind == FeatureKind::String { vec![b"x".to_vec(), Vec::new()] } else { Vec::new() };
        FeatureColumn {
            name: "user:age".into(),
            kind,
            packed,
            strings,
            present: vec![true, false],
            statuses: vec![1, 3],
            event_times_ms: Vec::new(),
        }
    }

    #[test]
    fn a_value_that_is_not_there_is_null_in_every_type() {
        let entities = [b"1".to_vec(), b"2".to_vec()];
        for (kind, bytes) in [
            (FeatureKind::F64, 16),
            (FeatureKind::F32, 8),
            (FeatureKind::I64, 16),
            (FeatureKind::Bool, 2),
            (FeatureKind::Timestamp, 16),
            (FeatureKind::Vector(3), 24),
            (FeatureKind::String, 0),
        ] {
            let batch = features_batch(&entities, vec![column(kind, vec![0; bytes])]).unwrap();
            let values = batch.column_by_name("user:age").unwrap();
            assert_eq!((values.len(), values.is_null(0), values.is_null(1)), (2, false, true), "{kind:?}");
            assert!(batch.column_by_name("user:age.status").is_some());
            assert!(features_batch(&entities, vec![column(kind, vec![0; bytes + 1])]).is_err(), "{kind:?}");
        }
    }
}
