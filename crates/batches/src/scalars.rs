//! Columns of plain values, whatever their type, as JSON values; and columns of names.

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Date32Type, Date64Type, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrowPrimitiveType};
use arrow_schema::{DataType, TimeUnit};
use serde_json::Value;

/// Reads the value in a row that is not null.
pub(crate) type Reader<'a> = Box<dyn Fn(usize) -> Value + 'a>;

/// What columns of plain values may be.
pub(crate) const PLAIN: &str = "a string, a number, a boolean, a timestamp, a date, or a dictionary of those";

const DAY_MS: i64 = 86_400_000;

/// How to read a column; `None` for types that have no plain values.
pub(crate) fn reader(column: &dyn Array) -> Option<Reader<'_>> {
    Some(match column.data_type() {
        DataType::Utf8 => text(column.as_string::<i32>(), |a, row| a.value(row)),
        DataType::LargeUtf8 => text(column.as_string::<i64>(), |a, row| a.value(row)),
        DataType::Utf8View => text(column.as_string_view(), |a, row| a.value(row)),
        DataType::Boolean => {
            let values = column.as_boolean();
            Box::new(|row| Value::from(values.value(row)))
        }
        DataType::Int8 => number::<Int8Type>(column, Value::from),
        DataType::Int16 => number::<Int16Type>(column, Value::from),
        DataType::Int32 => number::<Int32Type>(column, Value::from),
        DataType::Int64 => number::<Int64Type>(column, Value::from),
        DataType::UInt8 => number::<UInt8Type>(column, Value::from),
        DataType::UInt16 => number::<UInt16Type>(column, Value::from),
        DataType::UInt32 => number::<UInt32Type>(column, Value::from),
        DataType::UInt64 => number::<UInt64Type>(column, Value::from),
        // What is not finite has no JSON and reads as null.
        DataType::Float16 => number::<Float16Type>(column, |v| Value::from(v.to_f64())),
        DataType::Float32 => number::<Float32Type>(column, |v| Value::from(shortest(v))),
        DataType::Float64 => number::<Float64Type>(column, Value::from),
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
            let read = time_ms(column)?;
            Box::new(move |row| Value::from(read(row)))
        }
        DataType::Dictionary(..) => {
            let dictionary = column.as_any_dictionary();
            let (keys, values) = (dictionary.normalized_keys(), dictionary.values().as_ref());
            let read = reader(values)?;
            Box::new(move |row| {
                let key = keys[row];
                if key >= values.len() || values.is_null(key) { Value::Null } else { read(key) }
            })
        }
        _ => return None,
    })
}

/// How to read a column of points in time, as milliseconds since 1970; `None` for other types.
pub(crate) fn time_ms(column: &dyn Array) -> Option<Box<dyn Fn(usize) -> i64 + '_>> {
    Some(match column.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => time::<TimestampSecondType>(column, |v| v.saturating_mul(1_000)),
        DataType::Timestamp(TimeUnit::Millisecond, _) => time::<TimestampMillisecondType>(column, |v| v),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            time::<TimestampMicrosecondType>(column, |v| v.div_euclid(1_000))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            time::<TimestampNanosecondType>(column, |v| v.div_euclid(1_000_000))
        }
        DataType::Date32 => time::<Date32Type>(column, |v| i64::from(v) * DAY_MS),
        DataType::Date64 => time::<Date64Type>(column, |v| v),
        DataType::Int64 => time::<Int64Type>(column, |v| v),
        _ => return None,
    })
}

fn text<'a, A: 'a>(values: &'a A, read: impl Fn(&'a A, usize) -> &'a str + 'a) -> Reader<'a> {
    Box::new(move |row| Value::from(read(values, row)))
}

fn number<'a, T: ArrowPrimitiveType>(column: &'a dyn Array, to_json: impl Fn(T::Native) -> Value + 'a) -> Reader<'a> {
    let values = column.as_primitive::<T>();
    Box::new(move |row| to_json(values.value(row)))
}

fn time<'a, T: ArrowPrimitiveType>(
    column: &'a dyn Array,
    to_ms: impl Fn(T::Native) -> i64 + 'a,
) -> Box<dyn Fn(usize) -> i64 + 'a> {
    let values = column.as_primitive::<T>();
    Box::new(move |row| to_ms(values.value(row)))
}

/// The double that prints as the single does: 0.1 stays 0.1.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| f64::from(value))
}
