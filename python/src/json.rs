//! Columns of a table to the JSON of its rows, which is what attributes of elements are.

use numpy::PyReadonlyArray1;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyList;

/// A column: numbers and truth values as numpy has them, anything else as text that is a string or JSON already.
enum Column<'py> {
    Float(PyReadonlyArray1<'py, f64>),
    Int(PyReadonlyArray1<'py, i64>),
    Bool(PyReadonlyArray1<'py, bool>),
    Text(Vec<Option<String>>),
    Json(Vec<Option<String>>),
}

/// For each row an object of the columns that have a value there, None where none has. `columns`: name, kind (`f`, `i`,
/// `b`, `s` or `j`), values, and which of them are missing.
#[pyfunction]
#[expect(clippy::type_complexity, reason = "a column is spelled once")]
pub(crate) fn json_rows<'py>(
    py: Python<'py>,
    columns: Vec<(String, String, Bound<'py, PyAny>, Option<PyReadonlyArray1<'py, bool>>)>,
    rows: usize,
) -> PyResult<Bound<'py, PyList>> {
    let mut read = Vec::with_capacity(columns.len());
    for (name, kind, values, missing) in &columns {
        let column = match kind.as_str() {
            "f" => Column::Float(values.extract()?),
            "i" => Column::Int(values.extract()?),
            "b" => Column::Bool(values.extract()?),
            "s" => Column::Text(values.extract()?),
            _ => Column::Json(values.extract()?),
        };
        let missing = missing.as_ref().map(|missing| missing.as_slice()).transpose()?;
        if column.len() != rows || missing.is_some_and(|missing| missing.len() != rows) {
            return Err(PyValueError::new_err(format!("column {name:?} has not one value per row")));
        }
        read.push((format!("{}:", serde_json::Value::from(name.as_str())), column, missing));
    }
    let mut out = Vec::with_capacity(rows);
    for row in 0..rows {
        let mut text = String::from("{");
        for (name, column, missing) in &read {
            if missing.is_some_and(|missing| missing[row]) {
                continue;
            }
            let start = text.len();
            text.push_str(if start > 1 { "," } else { "" });
            text.push_str(name);
            if !column.write(row, &mut text)? {
                text.truncate(start);
            }
        }
        text.push('}');
        out.push((text.len() > 2).then_some(text));
    }
    PyList::new(py, out)
}

impl Column<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Float(values) => values.as_array().len(),
            Self::Int(values) => values.as_array().len(),
            Self::Bool(values) => values.as_array().len(),
            Self::Text(values) | Self::Json(values) => values.len(),
        }
    }

    /// Appends a value; `false` where there is none that JSON has.
    fn write(&self, row: usize, text: &mut String) -> PyResult<bool> {
        match self {
            Self::Float(values) => match values.as_array()[row] {
                value if value.is_finite() => text.push_str(&serde_json::Value::from(value).to_string()),
                _ => return Ok(false),
            },
            Self::Int(values) => text.push_str(&values.as_array()[row].to_string()),
            Self::Bool(values) => text.push_str(if values.as_array()[row] { "true" } else { "false" }),
            Self::Text(values) => match &values[row] {
                Some(value) => text.push_str(&serde_json::Value::from(value.as_str()).to_string()),
                None => return Ok(false),
            },
            Self::Json(values) => match &values[row] {
                Some(value) => text.push_str(value),
                None => return Ok(false),
            },
        }
        Ok(true)
    }
}
