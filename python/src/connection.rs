//! Connections of a blocking client, used from any thread; opened anew by the call after a failure.
//!
//! One connection is the client's own: calls take turns on it, so that what one says (SELECT, MULTI) the next finds.
//! Calls that leave nothing behind use another where that one is busy, so that threads can add and search side by side.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use numpy::PyReadonlyArray2;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use quiver_client::{Blocking, Error, Options, Value};

use crate::convert;
use crate::request::Request;
use crate::retry::{Retry, may_pass, nothing_ran, refuses};

/// Connections kept open besides the client's own.
const SPARE_MAX: usize = 16;

/// How many times the timeout additions of vectors are waited for.
const SLOW: u32 = 12;

/// Where the server is, and how to get there.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: String,
    pub(crate) options: Options,
    pub(crate) retry: Retry,
}

impl Target {
    pub(crate) fn new(
        host: &str,
        port: u16,
        login: (Option<String>, Option<String>),
        db: u32,
        timeout: Option<f64>,
        retry: (u32, f64, f64),
    ) -> PyResult<Self> {
        let timeout = timeout.map(duration).transpose()?;
        let (username, password) = login;
        let mut options = Options { username, password, database: db, timeout, ..Options::resp3() };
        options.connect_timeout = timeout.unwrap_or(options.connect_timeout);
        let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        Ok(Self { address, options, retry: Retry::new(retry)? })
    }
}

/// A blocking client's connections: commands, pipelines, and vectors in bulk.
#[pyclass(module = "quiverdb._native", frozen)]
pub(crate) struct Connection {
    target: Target,
    decode: bool,
    own: Mutex<State>,
    spare: Mutex<Vec<State>>,
}

enum State {
    /// With the process that opened it: a child must not write into its parent's.
    Open(Box<Blocking>, u32),
    /// Failed, or not opened yet; to be opened when next used.
    Lost,
    Closed,
}

#[pymethods]
impl Connection {
    #[new]
    #[pyo3(signature = (host, port, login, db, timeout, retry, decode))]
    #[expect(clippy::too_many_arguments, reason = "the keyword arguments of the Python class")]
    fn new(
        py: Python<'_>,
        host: &str,
        port: u16,
        login: (Option<String>, Option<String>),
        db: u32,
        timeout: Option<f64>,
        retry: (u32, f64, f64),
        decode: bool,
    ) -> PyResult<Self> {
        let target = Target::new(host, port, login, db, timeout, retry)?;
        let connection = Self { target, decode, own: Mutex::new(State::Lost), spare: Mutex::default() };
        let opened = py.detach(|| connection.attempt(Repeats::default(), &mut lock(&connection.own), |_client| Ok(())));
        opened.map_err(|error| convert::raise(&error, &connection.target.address))?;
        Ok(connection)
    }

    /// Runs one command; `raw`: strings of its reply are bytes in any case.
    #[pyo3(signature = (words, repeatable, raw))]
    fn execute<'py>(
        &self,
        py: Python<'py>,
        words: &Bound<'py, PyTuple>,
        repeatable: bool,
        raw: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.run(py, &Request::one(words, self.decode && !raw, repeatable)?, false)
    }

    /// Runs several commands in one round trip; errors are among the replies.
    #[pyo3(signature = (commands, repeatable))]
    fn pipeline<'py>(
        &self,
        py: Python<'py>,
        commands: &Bound<'py, PyAny>,
        repeatable: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.run(py, &Request::many(commands, self.decode, repeatable)?, false)
    }

    /// Adds each row of `vectors` (n x dim, float32, C order) under the id at its place; returns how many are new.
    #[pyo3(signature = (key, ids, vectors, attributes, options, at_once))]
    #[expect(clippy::too_many_arguments, reason = "the parts of one command")]
    fn vector_add<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        ids: &Bound<'py, PyAny>,
        vectors: PyReadonlyArray2<'py, f32>,
        attributes: Option<Vec<Option<String>>>,
        options: &Bound<'py, PyAny>,
        at_once: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.run(py, &Request::add(key, ids, &vectors, attributes.as_deref(), options, at_once)?, true)
    }

    /// For each row of `queries` (n x dim, float32, C order) ids, scores, and if asked for attributes.
    #[pyo3(signature = (key, queries, options, with_attributes, at_once))]
    fn vector_search<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        queries: PyReadonlyArray2<'py, f32>,
        options: &Bound<'py, PyAny>,
        with_attributes: bool,
        at_once: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.run(py, &Request::search(key, &queries, options, with_attributes, at_once)?, true)
    }

    /// Runs one command that answers as VSIM does with scores.
    #[pyo3(signature = (words, with_attributes))]
    fn vector_hits<'py>(
        &self,
        py: Python<'py>,
        words: &Bound<'py, PyAny>,
        with_attributes: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.run(py, &Request::hits(words, with_attributes)?, true)
    }

    /// The vectors of elements, shape (n, dim).
    #[pyo3(signature = (key, ids))]
    fn vectors<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        ids: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.run(py, &Request::vectors(key, ids)?, true)
    }

    /// Closes the connections for good.
    fn close(&self) {
        *lock(&self.own) = State::Closed;
        lock(&self.spare).clear();
    }
}

impl Connection {
    /// Runs a request without holding the interpreter; `anywhere`: on another connection if the own one is busy.
    fn run<'py>(&self, py: Python<'py>, request: &Request, anywhere: bool) -> PyResult<Bound<'py, PyAny>> {
        let outcome = py.detach(|| {
            let work = |client: &mut Blocking| {
                let patience = if request.is_slow() { SLOW } else { 1 };
                client.set_timeout(self.target.options.timeout.map(|timeout| timeout.saturating_mul(patience)));
                client.run(&request.batch)
            };
            let repeats = Repeats { sent: request.repeatable, refused: request.is_undone_by_refusal() };
            if !anywhere {
                return self.attempt(repeats, &mut lock(&self.own), work);
            }
            match self.own.try_lock() {
                Ok(mut own) => self.attempt(repeats, &mut own, work),
                Err(_) => {
                    let mut state = lock(&self.spare).pop().unwrap_or(State::Lost);
                    let outcome = self.attempt(repeats, &mut state, work);
                    let mut spare = lock(&self.spare);
                    if spare.len() < SPARE_MAX {
                        spare.push(state);
                    }
                    outcome
                }
            }
        });
        let replies = outcome.map_err(|error| convert::raise(&error, &self.target.address))?;
        request.finish(py, replies)
    }

    /// Tries until it goes well, cannot go better, or was tried often enough.
    fn attempt<T: Replies>(
        &self,
        Repeats { sent, refused }: Repeats,
        state: &mut State,
        work: impl Fn(&mut Blocking) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut failed = 0;
        loop {
            let (again, outcome) = match self.open(state) {
                Err(error) => (may_pass(&error), Err(error)),
                Ok(client) => {
                    let outcome = work(client);
                    if !client.is_usable() {
                        *state = State::Lost;
                    }
                    let again = match &outcome {
                        Ok(replies) => refused && refuses(replies.first()),
                        Err(error) => sent && may_pass(error) || nothing_ran(error),
                    };
                    (again, outcome)
                }
            };
            failed += 1;
            match self.target.retry.pause(failed).filter(|_| again && !matches!(state, State::Closed)) {
                Some(pause) => std::thread::sleep(pause),
                None => return outcome,
            }
        }
    }

    fn open<'s>(&self, state: &'s mut State) -> Result<&'s mut Blocking, Error> {
        let pid = std::process::id();
        if !matches!(state, State::Open(_, opener) if *opener == pid) {
            if let State::Closed = state {
                return Err(Error::Closed);
            }
            *state = State::Open(Box::new(Blocking::connect_with(&self.target.address, &self.target.options)?), pid);
        }
        let State::Open(client, _) = state else { return Err(Error::Closed) };
        Ok(client)
    }
}

/// What is tried again: what may have run, and what was refused.
#[derive(Clone, Copy, Debug, Default)]
struct Repeats {
    sent: bool,
    refused: bool,
}

/// What a call gives, as far as retries look at it.
trait Replies {
    fn first(&self) -> Option<&Value>;
}

impl Replies for () {
    fn first(&self) -> Option<&Value> {
        None
    }
}

impl Replies for Vec<Value> {
    fn first(&self) -> Option<&Value> {
        self.as_slice().first()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn duration(seconds: f64) -> PyResult<Duration> {
    match Duration::try_from_secs_f64(seconds) {
        Ok(limit) if !limit.is_zero() => Ok(limit),
        _ => Err(PyValueError::new_err("timeout must be a positive number of seconds, or None")),
    }
}
