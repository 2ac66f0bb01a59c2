//! One connection, used from any thread, one call at a time; opened anew by the call after a failure.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use numpy::{PyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use quiver_client::{Batch, Blocking, Error, Options, Value};

use crate::convert;

/// A connection to a server: commands, pipelines, and vectors in bulk.
#[pyclass(module = "quiverdb._native", frozen)]
pub(crate) struct Connection {
    address: String,
    options: Options,
    decode: bool,
    state: Mutex<State>,
}

enum State {
    Open(Box<Blocking>),
    /// Failed, to be opened again when next used.
    Lost,
    Closed,
}

#[pymethods]
impl Connection {
    #[new]
    #[pyo3(signature = (host, port, login, db, timeout, decode))]
    fn new(
        py: Python<'_>,
        host: &str,
        port: u16,
        login: (Option<String>, Option<String>),
        db: u32,
        timeout: Option<f64>,
        decode: bool,
    ) -> PyResult<Self> {
        let timeout = timeout.map(duration).transpose()?;
        let (username, password) = login;
        let mut options = Options { username, password, database: db, timeout, ..Options::resp3() };
        options.connect_timeout = timeout.unwrap_or(options.connect_timeout);
        let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let connection = Self { address, options, decode, state: Mutex::new(State::Lost) };
        connection.call(py, |_client| Ok(()))?;
        Ok(connection)
    }

    /// Runs one command.
    #[pyo3(signature = (*words))]
    fn execute<'py>(&self, py: Python<'py>, words: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let words = convert::words(words.as_any())?;
        if words.is_empty() {
            return Err(PyValueError::new_err("a command needs a name"));
        }
        let reply = self.call(py, |client| client.command(&words))?;
        convert::to_python(py, reply, self.decode)
    }

    /// Runs several commands in one round trip; errors are among the replies.
    fn pipeline<'py>(&self, py: Python<'py>, commands: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        let mut batch = Batch::new();
        for command in commands.try_iter()? {
            let words = convert::words(&command?)?;
            if words.is_empty() {
                return Err(PyValueError::new_err("a command needs a name"));
            }
            batch.push(&words);
        }
        let replies = self.call(py, |client| client.run(&batch))?;
        let replies: Vec<_> =
            replies.into_iter().map(|reply| convert::to_python(py, reply, self.decode)).collect::<PyResult<_>>()?;
        PyList::new(py, replies)
    }

    /// VADD of each row of `vectors` (n x dim, float32, C order) under the id at its place; returns how many are new.
    #[pyo3(signature = (key, ids, vectors, attributes, options))]
    fn vector_add(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        ids: &Bound<'_, PyAny>,
        vectors: PyReadonlyArray2<'_, f32>,
        attributes: Option<Vec<Option<String>>>,
        options: &Bound<'_, PyAny>,
    ) -> PyResult<usize> {
        let (key, ids, options) = (convert::word(key)?, convert::words(ids)?, convert::words(options)?);
        let dim = vectors.shape()[1];
        let rows = vectors.as_slice()?;
        if ids.len() != vectors.shape()[0] || attributes.as_ref().is_some_and(|all| all.len() != ids.len()) {
            return Err(PyValueError::new_err("ids, vectors and attributes differ in number"));
        }
        let mut batch = Batch::new();
        let mut blob = Vec::new();
        for (i, id) in ids.iter().enumerate() {
            floats_to_bytes(&rows[i * dim..(i + 1) * dim], &mut blob);
            let mut words: Vec<&[u8]> = vec![b"VADD", &key, b"FP32", &blob, id];
            words.extend(options.iter().map(Vec::as_slice));
            if let Some(Some(json)) = attributes.as_ref().map(|all| &all[i]) {
                words.extend([b"SETATTR".as_slice(), json.as_bytes()]);
            }
            batch.push(&words);
        }
        let mut new = 0;
        for reply in self.call(py, |client| client.run(&batch))? {
            if let Value::Error(text) = reply {
                return Err(convert::response_error(&text));
            }
            new += usize::from(reply.as_i64() == Some(1));
        }
        Ok(new)
    }

    /// VSIM of each row of `queries` (n x dim, float32, C order): for each a list of ids, their scores, and if asked
    /// for their attributes (from a second round trip, so they may be newer than the scores).
    #[pyo3(signature = (key, queries, options, with_attributes))]
    fn vector_search<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        queries: PyReadonlyArray2<'py, f32>,
        options: &Bound<'py, PyAny>,
        with_attributes: bool,
    ) -> PyResult<Bound<'py, PyList>> {
        let (key, options) = (convert::word(key)?, convert::words(options)?);
        let dim = queries.shape()[1].max(1);
        let mut batch = Batch::new();
        let mut blob = Vec::new();
        for row in queries.as_slice()?.chunks_exact(dim) {
            floats_to_bytes(row, &mut blob);
            let mut words: Vec<&[u8]> = vec![b"VSIM", &key, b"FP32", &blob, b"WITHSCORES"];
            words.extend(options.iter().map(Vec::as_slice));
            batch.push(&words);
        }
        let replies = self.call(py, |client| client.run(&batch))?;
        let hits: Vec<_> = replies.into_iter().map(hits).collect::<PyResult<_>>()?;
        let mut attributes = if with_attributes { self.attributes(py, &key, &hits)? } else { Vec::new() }.into_iter();
        let results = hits.iter().map(|(ids, scores)| {
            let names = ids.iter().map(|id| convert::text_of(py, id)).collect::<PyResult<Vec<_>>>()?;
            let attributes = with_attributes.then(|| attributes.by_ref().take(ids.len()).collect::<Vec<_>>());
            (PyList::new(py, names)?, PyArray1::from_slice(py, scores), attributes).into_pyobject(py)
        });
        PyList::new(py, results.collect::<PyResult<Vec<_>>>()?)
    }

    /// Closes the connection for good.
    fn close(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::Closed;
    }
}

impl Connection {
    /// Runs `work` on the open connection without holding the interpreter, connecting first where needed.
    fn call<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut Blocking) -> Result<T, Error> + Send,
    ) -> PyResult<T> {
        let outcome = py.detach(|| {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if let State::Lost = *state {
                *state = State::Open(Box::new(Blocking::connect_with(&self.address, &self.options)?));
            }
            let State::Open(client) = &mut *state else {
                return Err(Error::Closed);
            };
            let outcome = work(client);
            if !client.is_usable() {
                *state = State::Lost;
            }
            outcome
        });
        outcome.map_err(|error| convert::raise(&error, &self.address))
    }

    /// The attributes of all hits in one round trip, in order.
    fn attributes(&self, py: Python<'_>, key: &[u8], hits: &[Hits]) -> PyResult<Vec<Option<String>>> {
        let mut batch = Batch::new();
        for id in hits.iter().flat_map(|(ids, _scores)| ids) {
            batch.push(&[b"VGETATTR".as_slice(), key, id]);
        }
        let replies = self.call(py, |client| client.run(&batch))?;
        Ok(replies.iter().map(|reply| reply.as_str().map(str::to_owned)).collect())
    }
}

/// Ids and scores of one query, best first.
type Hits = (Vec<Vec<u8>>, Vec<f32>);

fn hits(reply: Value) -> PyResult<Hits> {
    if let Value::Error(text) = reply {
        return Err(convert::response_error(&text));
    }
    let pairs = reply.into_pairs().ok_or_else(|| convert::unexpected("VSIM"))?;
    let (mut ids, mut scores) = (Vec::with_capacity(pairs.len()), Vec::with_capacity(pairs.len()));
    for (id, score) in pairs {
        let (Value::Bulk(id), Some(score)) = (id, score.as_f64()) else {
            return Err(convert::unexpected("VSIM"));
        };
        ids.push(id);
        scores.push(score as f32);
    }
    Ok((ids, scores))
}

/// `row` as the little-endian bytes of an FP32 argument.
fn floats_to_bytes(row: &[f32], blob: &mut Vec<u8>) {
    blob.resize(size_of_val(row), 0);
    for (bytes, value) in blob.chunks_exact_mut(4).zip(row) {
        bytes.copy_from_slice(&value.to_le_bytes());
    }
}

fn duration(seconds: f64) -> PyResult<Duration> {
    match Duration::try_from_secs_f64(seconds) {
        Ok(limit) if !limit.is_zero() => Ok(limit),
        _ => Err(PyValueError::new_err("timeout must be a positive number of seconds, or None")),
    }
}
