//! Batches of elements to write: their ids, vectors, attributes and ends.
//!
//! The columns `id` and `vector` must be there, `attributes` and `expires_at` may; any other column is an attribute of
//! its name.

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float16Type, Float32Type, Float64Type, Int8Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use serde_json::{Map, Value};

use crate::error::BatchError;
use crate::scalars::{PLAIN, Reader, reader, time_ms};

const ID: &str = "id";
const VECTOR: &str = "vector";
const ATTRIBUTES: &str = "attributes";
const EXPIRES_AT: &str = "expires_at";

const NAME_TYPES: &str = "a string, binary, an integer, or a dictionary of strings";
const VECTOR_TYPES: &str = "a fixed size list of float32, float16, float64 or int8";
const ATTRIBUTES_TYPES: &str = "a string (a JSON object)";
const EXPIRES_TYPES: &str = "a timestamp, or int64 in milliseconds since 1970";

/// Elements of one dimension, read from batches.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Elements {
    /// Components of each vector; 0 before the first row.
    pub dim: usize,
    /// Their names.
    pub ids: Vec<Vec<u8>>,
    /// Their vectors one after another: little-endian singles, all finite.
    pub vectors: Vec<u8>,
    /// Their attributes: JSON objects as text.
    pub attributes: Vec<Option<String>>,
    /// When they end, in milliseconds since 1970.
    pub expires_at_ms: Vec<Option<i64>>,
}

impl Elements {
    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The vector of element `row`.
    #[must_use]
    pub fn vector(&self, row: usize) -> &[u8] {
        let bytes = 4 * self.dim;
        &self.vectors[row * bytes..(row + 1) * bytes]
    }

    /// Takes the rows of a batch, so that there are at most `rows_max`. After an error some of them may be here: the
    /// whole is then of no use.
    ///
    /// # Errors
    /// [`BatchError`] that names the column.
    pub fn append(&mut self, batch: &RecordBatch, rows_max: usize) -> Result<(), BatchError> {
        if batch.num_rows() > rows_max.saturating_sub(self.len()) {
            return Err(BatchError::TooManyRows { max: rows_max });
        }
        let column = |field, expected| batch.column_by_name(field).ok_or(BatchError::Missing { field, expected });
        column(ID, NAME_TYPES)?;
        let (vectors, first) = (column(VECTOR, VECTOR_TYPES)?, self.len());
        self.append_vectors(vectors.as_ref(), first)?;
        append_names(batch, ID, first, &mut self.ids)?;
        self.append_attributes(batch, first)?;
        self.append_expiry(batch)
    }

    /// Takes the vectors of a batch and nothing else, so that there are at most `rows_max`; how many there are by now.
    ///
    /// # Errors
    /// [`BatchError`] that names the column.
    pub fn append_queries(&mut self, batch: &RecordBatch, rows_max: usize) -> Result<usize, BatchError> {
        let before = self.vectors.len().checked_div(4 * self.dim).unwrap_or(0);
        if batch.num_rows() > rows_max.saturating_sub(before) {
            return Err(BatchError::TooManyRows { max: rows_max });
        }
        let missing = BatchError::Missing { field: VECTOR, expected: VECTOR_TYPES };
        let vectors = batch.column_by_name(VECTOR).ok_or(missing)?;
        self.append_vectors(vectors.as_ref(), before)?;
        Ok(before + batch.num_rows())
    }

    fn append_vectors(&mut self, column: &dyn Array, first: usize) -> Result<(), BatchError> {
        let Some(lists) = column.as_fixed_size_list_opt() else {
            return Err(wrong_type(VECTOR, VECTOR_TYPES, column));
        };
        let dim = usize::try_from(lists.value_length()).unwrap_or(0);
        if dim == 0 {
            return Err(wrong_type(VECTOR, VECTOR_TYPES, column));
        }
        if lists.is_empty() {
            return Ok(());
        }
        if self.dim != 0 && self.dim != dim {
            return Err(BatchError::Dim { expected: self.dim, got: dim });
        }
        self.dim = dim;
        if let Some(row) = (0..lists.len()).find(|row| lists.is_null(*row)) {
            return Err(bad_value(VECTOR, first + row, "must not be null"));
        }
        let start = lists.value_offset_at(0);
        let values = lists.values().slice(start, lists.len() * dim);
        if let Some(at) = (0..values.len()).find(|at| values.is_null(*at)) {
            return Err(bad_value(VECTOR, first + at / dim, "must not hold a null"));
        }
        let before = self.vectors.len();
        self.vectors.reserve(4 * values.len());
        match lists.value_type() {
            DataType::Float32 => self.extend(values.as_primitive::<Float32Type>().values().iter().copied()),
            DataType::Float16 => self.extend(values.as_primitive::<Float16Type>().values().iter().map(|v| v.to_f32())),
            DataType::Float64 => self.extend(values.as_primitive::<Float64Type>().values().iter().map(|v| *v as f32)),
            DataType::Int8 => self.extend(values.as_primitive::<Int8Type>().values().iter().map(|v| f32::from(*v))),
            _ => return Err(wrong_type(VECTOR, VECTOR_TYPES, column)),
        }
        let fresh = self.vectors[before..].as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        match fresh.enumerate().find(|(_, component)| !component.is_finite()) {
            None => Ok(()),
            Some((at, _)) => {
                let reason = format!("component {} is not a finite single-precision number", at % dim);
                Err(bad_value(VECTOR, first + at / dim, &reason))
            }
        }
    }

    fn extend(&mut self, components: impl Iterator<Item = f32>) {
        self.vectors.extend(components.flat_map(f32::to_le_bytes));
    }

    fn append_attributes(&mut self, batch: &RecordBatch, first: usize) -> Result<(), BatchError> {
        let given = batch.column_by_name(ATTRIBUTES).map(AsRef::as_ref);
        let read_given = match given {
            Some(column) if is_text(column.data_type()) => reader(column),
            Some(column) => return Err(wrong_type(ATTRIBUTES, ATTRIBUTES_TYPES, column)),
            None => None,
        };
        let others = other_columns(batch)?;
        for row in 0..batch.num_rows() {
            let text = match (&read_given, given) {
                (Some(read), Some(column)) if !column.is_null(row) => read(row),
                _ => Value::Null,
            };
            let text = text.as_str();
            if others.is_empty() {
                if let Some(text) = text.filter(|text| !text.is_empty()) {
                    object(text).ok_or_else(|| bad_value(ATTRIBUTES, first + row, "must be a JSON object"))?;
                }
                self.attributes.push(text.map(str::to_owned));
                continue;
            }
            let mut attributes = match text.filter(|text| !text.is_empty()) {
                None => Map::new(),
                Some(text) => {
                    object(text).ok_or_else(|| bad_value(ATTRIBUTES, first + row, "must be a JSON object"))?
                }
            };
            for (name, column, read) in &others {
                let value = if column.is_null(row) { Value::Null } else { read(row) };
                if !value.is_null() {
                    attributes.insert((*name).to_owned(), value);
                }
            }
            self.attributes.push(Some(Value::Object(attributes).to_string()));
        }
        Ok(())
    }

    fn append_expiry(&mut self, batch: &RecordBatch) -> Result<(), BatchError> {
        let Some(column) = batch.column_by_name(EXPIRES_AT) else {
            self.expires_at_ms.resize(self.ids.len(), None);
            return Ok(());
        };
        let read = time_ms(column.as_ref()).ok_or_else(|| wrong_type(EXPIRES_AT, EXPIRES_TYPES, column.as_ref()))?;
        let rows = (0..column.len()).map(|row| (!column.is_null(row)).then(|| read(row).max(0)));
        self.expires_at_ms.extend(rows);
        Ok(())
    }
}

/// Takes a column of names, none of them empty, whose rows are numbered from `first`.
pub(crate) fn append_names(
    batch: &RecordBatch,
    field: &'static str,
    first: usize,
    names: &mut Vec<Vec<u8>>,
) -> Result<(), BatchError> {
    let column = batch.column_by_name(field).ok_or(BatchError::Missing { field, expected: NAME_TYPES })?;
    let read: Box<dyn Fn(usize) -> Vec<u8> + '_> = match column.data_type() {
        DataType::Binary => {
            let values = column.as_binary::<i32>();
            Box::new(|row| values.value(row).to_vec())
        }
        DataType::LargeBinary => {
            let values = column.as_binary::<i64>();
            Box::new(|row| values.value(row).to_vec())
        }
        kind if is_name(kind) => {
            let read = reader(column).ok_or_else(|| wrong_type(field, NAME_TYPES, column))?;
            Box::new(move |row| match read(row) {
                Value::String(text) => text.into_bytes(),
                Value::Null => Vec::new(),
                number => number.to_string().into_bytes(),
            })
        }
        _ => return Err(wrong_type(field, NAME_TYPES, column)),
    };
    for row in 0..column.len() {
        let name = if column.is_null(row) { Vec::new() } else { read(row) };
        if name.is_empty() {
            return Err(bad_value(field, first + row, "must not be null or empty"));
        }
        names.push(name);
    }
    Ok(())
}

/// The columns that are attributes, and how to read them.
fn other_columns(batch: &RecordBatch) -> Result<Vec<(&str, &dyn Array, Reader<'_>)>, BatchError> {
    let schema = batch.schema_ref();
    let named = schema.fields().iter().zip(batch.columns());
    let others = named.filter(|(field, _)| ![ID, VECTOR, ATTRIBUTES, EXPIRES_AT].contains(&field.name().as_str()));
    others
        .map(|(field, column)| {
            let read = reader(column.as_ref()).ok_or_else(|| wrong_type(field.name(), PLAIN, column.as_ref()))?;
            Ok((field.name().as_str(), column.as_ref(), read))
        })
        .collect()
}

fn object(text: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(text).ok()
}

fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

fn is_name(kind: &DataType) -> bool {
    is_text(kind) || kind.is_integer()
}

pub(crate) fn wrong_type(field: &str, expected: &'static str, column: &dyn Array) -> BatchError {
    // A type is as deep and as long as its sender likes.
    let got: String = column.data_type().to_string().chars().take(200).collect();
    BatchError::Type { field: field.to_owned(), expected, got }
}

pub(crate) fn bad_value(field: &str, row: usize, reason: &str) -> BatchError {
    BatchError::Value { field: field.to_owned(), row, reason: reason.to_owned() }
}
