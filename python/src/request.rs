//! Requests: commands from Python objects, and Python objects from their replies.
//!
//! Both clients build their requests here, the blocking one and the asynchronous one, and have their replies read here.
//! Vectors go from numpy to the wire and back without an object per component.

use numpy::ndarray::Array2;
use numpy::{PyArray1, PyReadonlyArray2, PyUntypedArrayMethods, ToPyArray};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use quiver_client::{Batch, Value};

use crate::convert;

/// Queries of one VMSIM: enough to pay for the round trip, few enough that others get their turn.
const QUERIES_PER_COMMAND: usize = 64;

/// Commands, and what their replies are made into.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) batch: Batch,
    /// Whether it may be sent again although it may have run.
    pub(crate) repeatable: bool,
    shape: Shape,
}

/// What the replies are.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// One of any kind, raised if it is an error.
    One { decode: bool },
    /// Many of any kind, errors among them.
    Many { decode: bool },
    /// Numbers of new elements.
    Added,
    /// Results of a search, by command; of several searches in one where `nested`.
    Hits { attributes: bool, nested: bool },
    /// Vectors of elements.
    Vectors,
}

impl Request {
    /// One command.
    pub(crate) fn one(words: &Bound<'_, PyTuple>, decode: bool, repeatable: bool) -> PyResult<Self> {
        let mut batch = Batch::new();
        push(&mut batch, words.as_any())?;
        Ok(Self { batch, repeatable, shape: Shape::One { decode } })
    }

    /// Several commands.
    pub(crate) fn many(commands: &Bound<'_, PyAny>, decode: bool, repeatable: bool) -> PyResult<Self> {
        let mut batch = Batch::new();
        for command in commands.try_iter()? {
            push(&mut batch, &command?)?;
        }
        Ok(Self { batch, repeatable, shape: Shape::Many { decode } })
    }

    /// Each row of `vectors` (n x dim, float32, C order) under the id at its place: one VMADD, or a VADD each where the
    /// server has no other.
    pub(crate) fn add(
        key: &Bound<'_, PyAny>,
        ids: &Bound<'_, PyAny>,
        vectors: &PyReadonlyArray2<'_, f32>,
        attributes: Option<&[Option<String>]>,
        options: &Bound<'_, PyAny>,
        at_once: bool,
    ) -> PyResult<Self> {
        let (key, ids, options) = (convert::word(key)?, convert::words(ids)?, convert::words(options)?);
        let (dim, rows) = (vectors.shape()[1], vectors.as_slice()?);
        if ids.len() != vectors.shape()[0] || attributes.is_some_and(|all| all.len() != ids.len()) {
            return Err(PyValueError::new_err("ids, vectors and attributes differ in number"));
        }
        let mut batch = Batch::new();
        let mut blob = Vec::new();
        if at_once && !ids.is_empty() {
            floats_to_bytes(rows, &mut blob);
            let count = ids.len().to_string();
            let mut words: Vec<&[u8]> = vec![b"VMADD", &key, count.as_bytes(), b"FP32", &blob];
            words.extend(ids.iter().chain(&options).map(Vec::as_slice));
            if let Some(attributes) = attributes {
                words.push(b"SETATTR");
                words.extend(attributes.iter().map(|text| text.as_deref().unwrap_or("").as_bytes()));
            }
            batch.push(&words);
            return Ok(Self { batch, repeatable: true, shape: Shape::Added });
        }
        for (i, id) in ids.iter().enumerate() {
            floats_to_bytes(&rows[i * dim..(i + 1) * dim], &mut blob);
            let mut words: Vec<&[u8]> = vec![b"VADD", &key, b"FP32", &blob, id];
            words.extend(options.iter().map(Vec::as_slice));
            if let Some(Some(json)) = attributes.map(|all| &all[i]) {
                words.extend([b"SETATTR".as_slice(), json.as_bytes()]);
            }
            batch.push(&words);
        }
        Ok(Self { batch, repeatable: true, shape: Shape::Added })
    }

    /// The nearest of each row of `queries` (n x dim, float32, C order), several in one command where `at_once`.
    pub(crate) fn search(
        key: &Bound<'_, PyAny>,
        queries: &PyReadonlyArray2<'_, f32>,
        options: &Bound<'_, PyAny>,
        attributes: bool,
        at_once: bool,
    ) -> PyResult<Self> {
        let (key, options) = (convert::word(key)?, convert::words(options)?);
        let (dim, rows) = (queries.shape()[1].max(1), queries.as_slice()?);
        let nested = at_once && rows.len() > dim;
        let mut batch = Batch::new();
        let mut blobs: Vec<Vec<u8>> = Vec::new();
        for part in rows.chunks(dim * if nested { QUERIES_PER_COMMAND } else { 1 }) {
            blobs.clear();
            blobs.extend(part.chunks_exact(dim).map(|row| {
                let mut blob = Vec::new();
                floats_to_bytes(row, &mut blob);
                blob
            }));
            let count = blobs.len().to_string();
            let mut words: Vec<&[u8]> =
                if nested { vec![b"VMSIM", &key, count.as_bytes()] } else { vec![b"VSIM", &key] };
            words.extend(blobs.iter().flat_map(|blob| [b"FP32".as_slice(), blob]));
            words.push(b"WITHSCORES");
            words.extend(attributes.then_some(b"WITHATTRIBS".as_slice()));
            words.extend(options.iter().map(Vec::as_slice));
            batch.push(&words);
        }
        Ok(Self { batch, repeatable: true, shape: Shape::Hits { attributes, nested } })
    }

    /// One command that answers as VSIM does with scores (and attributes).
    pub(crate) fn hits(words: &Bound<'_, PyAny>, attributes: bool) -> PyResult<Self> {
        let mut batch = Batch::new();
        push(&mut batch, words)?;
        Ok(Self { batch, repeatable: true, shape: Shape::Hits { attributes, nested: false } })
    }

    /// The vectors of elements.
    pub(crate) fn vectors(key: &Bound<'_, PyAny>, ids: &Bound<'_, PyAny>) -> PyResult<Self> {
        let key = convert::word(key)?;
        let mut batch = Batch::new();
        for id in convert::words(ids)? {
            batch.push(&[b"VEMB".as_slice(), &key, &id]);
        }
        Ok(Self { batch, repeatable: true, shape: Shape::Vectors })
    }

    /// Whether it may take much longer than others without a sign of life: it adds to a graph, and others may do so first.
    pub(crate) fn is_slow(&self) -> bool {
        matches!(self.shape, Shape::Added)
    }

    /// Whether a refusal of the first command means that it can all be sent again.
    pub(crate) fn is_undone_by_refusal(&self) -> bool {
        self.repeatable || self.batch.len() == 1
    }

    /// What Python gets for the replies.
    pub(crate) fn finish<'py>(&self, py: Python<'py>, replies: Vec<Value>) -> PyResult<Bound<'py, PyAny>> {
        match self.shape {
            Shape::One { decode } => {
                let reply = replies.into_iter().next().ok_or_else(|| convert::unexpected("a command"))?;
                convert::to_python(py, raise_error(reply)?, decode)
            }
            Shape::Many { decode } => {
                let replies = replies.into_iter().map(|reply| convert::to_python(py, reply, decode));
                Ok(PyList::new(py, replies.collect::<PyResult<Vec<_>>>()?)?.into_any())
            }
            Shape::Added => {
                let mut new = 0;
                for reply in replies {
                    new += raise_error(reply)?.as_i64().ok_or_else(|| convert::unexpected("VADD"))?;
                }
                Ok(new.into_pyobject(py)?.into_any())
            }
            Shape::Hits { attributes, nested } => hits_to_python(py, replies, attributes, nested),
            Shape::Vectors => vectors_to_python(py, replies),
        }
    }
}

fn push(batch: &mut Batch, words: &Bound<'_, PyAny>) -> PyResult<()> {
    let words = convert::words(words)?;
    if words.is_empty() {
        return Err(PyValueError::new_err("a command needs a name"));
    }
    batch.push(&words);
    Ok(())
}

fn raise_error(reply: Value) -> PyResult<Value> {
    match reply {
        Value::Error(text) => Err(convert::response_error(&text)),
        reply => Ok(reply),
    }
}

/// Ids, scores and attributes of one query, best first.
#[derive(Default)]
struct Hits {
    ids: Vec<Vec<u8>>,
    scores: Vec<f32>,
    attributes: Vec<Value>,
}

fn hits_to_python(py: Python<'_>, replies: Vec<Value>, attributes: bool, nested: bool) -> PyResult<Bound<'_, PyAny>> {
    let mut results = Vec::with_capacity(replies.len());
    for reply in replies {
        let reply = raise_error(reply)?;
        let each = match reply {
            Value::Array(each) if nested => each,
            reply if !nested => vec![reply],
            _ => return Err(convert::unexpected("VMSIM")),
        };
        for reply in each {
            let hits = hits(reply, attributes)?;
            let ids = hits.ids.iter().map(|id| convert::text_of(py, id)).collect::<PyResult<Vec<_>>>()?;
            let texts = attributes.then(|| hits.attributes.iter().map(Value::as_str).collect::<Vec<_>>());
            results.push((PyList::new(py, ids)?, PyArray1::from_vec(py, hits.scores), texts).into_pyobject(py)?);
        }
    }
    Ok(PyList::new(py, results)?.into_any())
}

fn hits(reply: Value, attributes: bool) -> PyResult<Hits> {
    let pairs = reply.into_pairs().ok_or_else(|| convert::unexpected("VSIM"))?;
    let mut hits = Hits::default();
    for (id, value) in pairs {
        let Value::Bulk(id) = id else { return Err(convert::unexpected("VSIM")) };
        let score = match value {
            Value::Array(values) if attributes => {
                let mut values = values.into_iter();
                let score = values.next();
                hits.attributes.push(values.next().unwrap_or(Value::Null));
                score
            }
            value => Some(value),
        };
        hits.ids.push(id);
        hits.scores.push(score.and_then(|score| score.as_f64()).ok_or_else(|| convert::unexpected("VSIM"))? as f32);
    }
    Ok(hits)
}

/// An array (n, dim), with not-a-number in the rows of elements that are not there.
fn vectors_to_python(py: Python<'_>, replies: Vec<Value>) -> PyResult<Bound<'_, PyAny>> {
    let mut rows: Vec<Option<Vec<f32>>> = Vec::with_capacity(replies.len());
    for reply in replies {
        rows.push(match raise_error(reply)? {
            Value::Array(values) => {
                let row = values.iter().map(|value| value.as_f64().map(|x| x as f32)).collect::<Option<Vec<_>>>();
                Some(row.ok_or_else(|| convert::unexpected("VEMB"))?)
            }
            _ => None,
        });
    }
    let dim = rows.iter().flatten().map(Vec::len).max().unwrap_or(0);
    let mut all = Array2::from_elem((rows.len(), dim), f32::NAN);
    for (mut place, row) in all.rows_mut().into_iter().zip(&rows) {
        if let Some(row) = row.as_ref().filter(|row| row.len() == dim) {
            place.iter_mut().zip(row).for_each(|(to, from)| *to = *from);
        }
    }
    Ok(all.to_pyarray(py).into_any())
}

/// Floats as the little-endian bytes of an FP32 argument.
fn floats_to_bytes(row: &[f32], blob: &mut Vec<u8>) {
    blob.resize(size_of_val(row), 0);
    for (bytes, value) in blob.as_chunks_mut::<4>().0.iter_mut().zip(row) {
        *bytes = value.to_le_bytes();
    }
}
