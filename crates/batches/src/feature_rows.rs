//! Batches of features to write, and of entities to look up.
//!
//! The column `entity` must be there and `event_time` may; any other column is a feature of its name. A value becomes the
//! word that FEAT.MPUT takes for it: numbers and points in time as decimals, vectors as little-endian singles. Null is no
//! value, and so is not-a-number, which is how data frames spell a value that is missing.

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float16Type, Float32Type, Float64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use serde_json::Value;

use crate::elements::{append_names, bad_value, wrong_type};
use crate::error::BatchError;
use crate::scalars::{reader, time_ms};

const ENTITY: &str = "entity";
const EVENT_TIME: &str = "event_time";

const TIME_TYPES: &str = "a timestamp, or int64 in milliseconds since 1970";
const FEATURE_TYPES: &str = "a string, binary, a number, a boolean, a timestamp, a date, a dictionary of those, or a fixed size list of float32";

/// Writes the word of a value in a row that is not null; `false` where it is none after all.
type Word<'a> = Box<dyn Fn(usize, &mut Vec<u8>) -> bool + 'a>;

/// Values of several entities.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeatureRows {
    /// The entity of each row.
    pub entities: Vec<Vec<u8>>,
    /// When the values of each row were true, in milliseconds since 1970; `None` for now.
    pub event_times_ms: Vec<Option<i64>>,
    /// The values, by feature.
    pub columns: Vec<FeatureWords>,
}

/// Values of a feature.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeatureWords {
    /// Name of the feature.
    pub feature: String,
    /// For each row its word; `None` for no value.
    pub words: Vec<Option<Vec<u8>>>,
}

impl FeatureRows {
    /// The rows of a batch, of at most `rows_max`.
    ///
    /// # Errors
    /// [`BatchError`] that names the column.
    pub fn read(batch: &RecordBatch, rows_max: usize) -> Result<Self, BatchError> {
        let (entities, event_times_ms) = (entities(batch, rows_max)?, event_times(batch)?);
        let named = batch.schema_ref().fields().iter().zip(batch.columns());
        let features = named.filter(|(field, _)| ![ENTITY, EVENT_TIME].contains(&field.name().as_str()));
        let columns = features.map(|(field, column)| {
            let write =
                word(column.as_ref()).ok_or_else(|| wrong_type(field.name(), FEATURE_TYPES, column.as_ref()))?;
            check_components(field.name(), column.as_ref())?;
            let words = (0..column.len()).map(|row| {
                let mut word = Vec::new();
                (!column.is_null(row) && write(row, &mut word)).then_some(word)
            });
            Ok(FeatureWords { feature: field.name().clone(), words: words.collect() })
        });
        let columns = columns.collect::<Result<_, BatchError>>()?;
        Ok(Self { entities, event_times_ms, columns })
    }
}

/// The column `entity` of a batch of at most `rows_max` rows.
///
/// # Errors
/// [`BatchError`] that names the column.
pub fn entities(batch: &RecordBatch, rows_max: usize) -> Result<Vec<Vec<u8>>, BatchError> {
    if batch.num_rows() > rows_max {
        return Err(BatchError::TooManyRows { max: rows_max });
    }
    let mut names = Vec::with_capacity(batch.num_rows());
    append_names(batch, ENTITY, 0, &mut names)?;
    Ok(names)
}

fn event_times(batch: &RecordBatch) -> Result<Vec<Option<i64>>, BatchError> {
    let Some(column) = batch.column_by_name(EVENT_TIME) else { return Ok(vec![None; batch.num_rows()]) };
    let read = time_ms(column.as_ref()).ok_or_else(|| wrong_type(EVENT_TIME, TIME_TYPES, column.as_ref()))?;
    match (0..column.len()).find(|row| column.is_null(*row)) {
        None => Ok((0..column.len()).map(|row| Some(read(row))).collect()),
        Some(row) => Err(bad_value(EVENT_TIME, row, "must not be null")),
    }
}

/// A vector is whole or not there.
fn check_components(field: &str, column: &dyn Array) -> Result<(), BatchError> {
    let Some(lists) = column.as_fixed_size_list_opt().filter(|lists| lists.values().null_count() > 0) else {
        return Ok(());
    };
    match (0..lists.len()).find(|row| !lists.is_null(*row) && lists.value(*row).null_count() > 0) {
        None => Ok(()),
        Some(row) => Err(bad_value(field, row, "must not hold a null")),
    }
}

/// How to write the words of a column; `None` for types that features do not have.
fn word(column: &dyn Array) -> Option<Word<'_>> {
    Some(match column.data_type() {
        DataType::Binary => {
            let values = column.as_binary::<i32>();
            Box::new(|row, out| put(out, values.value(row)))
        }
        DataType::LargeBinary => {
            let values = column.as_binary::<i64>();
            Box::new(|row, out| put(out, values.value(row)))
        }
        DataType::Float16 => number(column.as_primitive::<Float16Type>().values(), |value| f64::from(value.to_f32())),
        DataType::Float32 => {
            let values = column.as_primitive::<Float32Type>().values();
            Box::new(|row, out| !values[row].is_nan() && put(out, values[row].to_string().as_bytes()))
        }
        DataType::Float64 => number(column.as_primitive::<Float64Type>().values(), |value| value),
        DataType::FixedSizeList(field, _) if *field.data_type() == DataType::Float32 => {
            let lists = column.as_fixed_size_list();
            let values = lists.values().as_primitive::<Float32Type>();
            let dim = usize::try_from(lists.value_length()).ok()?;
            Box::new(move |row, out| {
                let at = lists.value_offset_at(row);
                out.extend(values.values()[at..at + dim].iter().flat_map(|component| component.to_le_bytes()));
                true
            })
        }
        _ => {
            let read = reader(column)?;
            Box::new(move |row, out| match read(row) {
                Value::Null => false,
                Value::Bool(value) => put(out, if value { b"1" } else { b"0" }),
                Value::String(text) => put(out, text.as_bytes()),
                other => put(out, other.to_string().as_bytes()),
            })
        }
    })
}

fn number<'a, T: Copy>(values: &'a [T], to_double: impl Fn(T) -> f64 + 'a) -> Word<'a> {
    Box::new(move |row, out| {
        let value = to_double(values[row]);
        !value.is_nan() && put(out, value.to_string().as_bytes())
    })
}

fn put(out: &mut Vec<u8>, word: &[u8]) -> bool {
    out.extend_from_slice(word);
    true
}
