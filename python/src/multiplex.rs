//! One connection for all tasks of an asyncio program.
//!
//! Requests go to a task of a thread that this module has for all clients. It sends what has gathered while the last
//! batch was under way as the next one: the more tasks wait, the longer the pipelines. Replies come back to the event
//! loop many at a time, by one wake-up, and become Python objects there.
//!
//! Bounds: [`WAITING_MAX`] requests wait, [`BATCH_BYTES`] go out together. Replies are read as they come, so memory holds
//! those of one batch.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use numpy::PyReadonlyArray2;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;
use quiver_client::{Batch, Connection, Error, Value};
use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::connection::Target;
use crate::convert;
use crate::request::Request;
use crate::retry::{may_pass, nothing_ran, refuses};

/// Requests that wait for the connection.
const WAITING_MAX: usize = 1 << 16;
/// A batch is full when it has so many bytes.
const BATCH_BYTES: usize = 1 << 20;

/// The connection of an asynchronous client. Methods give futures of the running event loop.
#[pyclass(module = "quiverdb._native", frozen)]
pub(crate) struct Multiplexed {
    target: Arc<Target>,
    decode: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Where requests go, and the process that has the thread they go to.
    requests: Option<(Sender<Job>, u32)>,
    mailbox: Option<Arc<Mailbox>>,
    closed: bool,
}

/// A request, and who waits for it.
struct Job {
    request: Request,
    replies: Vec<Value>,
    failed: u32,
    future: Py<PyAny>,
    mailbox: Arc<Mailbox>,
}

/// What is done, on its way to an event loop.
struct Mailbox {
    event_loop: Py<PyAny>,
    done: Mutex<Vec<Done>>,
}

struct Done {
    job: Job,
    error: Option<(Error, String)>,
}

/// What the event loop is asked to call.
#[pyclass(frozen)]
struct Delivery(Arc<Mailbox>);

#[pymethods]
impl Multiplexed {
    #[new]
    #[pyo3(signature = (host, port, login, db, timeout, retry, decode))]
    fn new(
        host: &str,
        port: u16,
        login: (Option<String>, Option<String>),
        db: u32,
        timeout: Option<f64>,
        retry: (u32, f64, f64),
        decode: bool,
    ) -> PyResult<Self> {
        let target = Target::new(host, port, login, db, timeout, retry)?;
        Ok(Self { target: Arc::new(target), decode, state: Mutex::default() })
    }

    #[pyo3(signature = (words, repeatable, raw))]
    fn execute<'py>(
        &self,
        py: Python<'py>,
        words: &Bound<'py, PyTuple>,
        repeatable: bool,
        raw: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.send(py, Request::one(words, self.decode && !raw, repeatable)?)
    }

    #[pyo3(signature = (commands, repeatable))]
    fn pipeline<'py>(
        &self,
        py: Python<'py>,
        commands: &Bound<'py, PyAny>,
        repeatable: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.send(py, Request::many(commands, self.decode, repeatable)?)
    }

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
        self.send(py, Request::add(key, ids, &vectors, attributes.as_deref(), options, at_once)?)
    }

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
        self.send(py, Request::search(key, &queries, options, with_attributes, at_once)?)
    }

    #[pyo3(signature = (words, with_attributes))]
    fn vector_hits<'py>(
        &self,
        py: Python<'py>,
        words: &Bound<'py, PyAny>,
        with_attributes: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.send(py, Request::hits(words, with_attributes)?)
    }

    #[pyo3(signature = (key, ids))]
    fn vectors<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        ids: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.send(py, Request::vectors(key, ids)?)
    }

    /// Ends the connection once what was sent is answered; later calls fail.
    fn close(&self) {
        let mut state = lock(&self.state);
        (state.requests, state.closed) = (None, true);
    }
}

impl Multiplexed {
    /// Hands a request over; gives the future of its result.
    fn send<'py>(&self, py: Python<'py>, request: Request) -> PyResult<Bound<'py, PyAny>> {
        let event_loop = running_loop(py)?;
        let future = event_loop.call_method0(pyo3::intern!(py, "create_future"))?;
        if request.batch.is_empty() {
            future.call_method1(pyo3::intern!(py, "set_result"), (request.finish(py, Vec::new())?,))?;
            return Ok(future);
        }
        let mut state = lock(&self.state);
        if state.closed {
            return Err(convert::raise(&Error::Closed, &self.target.address));
        }
        let mailbox = match &state.mailbox {
            Some(mailbox) if mailbox.event_loop.is(&event_loop) => Arc::clone(mailbox),
            _ => {
                let mailbox = Arc::new(Mailbox { event_loop: event_loop.unbind(), done: Mutex::default() });
                state.mailbox = Some(Arc::clone(&mailbox));
                mailbox
            }
        };
        let pid = std::process::id();
        let requests = match &state.requests {
            // A child has the variables of its parent, but not its threads.
            Some((requests, opener)) if *opener == pid => requests.clone(),
            _ => {
                let (requests, waiting) = channel(WAITING_MAX);
                io_thread()?.spawn(serve(Arc::clone(&self.target), waiting));
                state.requests = Some((requests.clone(), pid));
                requests
            }
        };
        drop(state);
        let job = Job { request, replies: Vec::new(), failed: 0, future: future.clone().unbind(), mailbox };
        requests.try_send(job).map_err(|_| PyRuntimeError::new_err("too many requests wait for the connection"))?;
        Ok(future)
    }
}

/// Serves one client's requests for as long as it has any.
async fn serve(target: Arc<Target>, mut waiting: Receiver<Job>) {
    let mut connection: Option<Connection> = None;
    let mut jobs: Vec<Job> = Vec::new();
    loop {
        if jobs.is_empty() {
            match waiting.recv().await {
                Some(job) => jobs.push(job),
                None => return,
            }
        }
        gather(&mut waiting, &mut jobs);
        let failed = jobs.iter().map(|job| job.failed).max().unwrap_or(0);
        if failed > 0 {
            tokio::time::sleep(target.retry.pause(failed).unwrap_or_default()).await;
        }
        let again = round(&target, &mut connection, std::mem::take(&mut jobs)).await;
        jobs = again;
    }
}

/// Takes what waits, up to a full batch.
fn gather(waiting: &mut Receiver<Job>, jobs: &mut Vec<Job>) {
    let mut bytes: usize = jobs.iter().map(|job| job.request.batch.wire_bytes()).sum();
    while bytes < BATCH_BYTES
        && let Ok(job) = waiting.try_recv()
    {
        bytes += job.request.batch.wire_bytes();
        jobs.push(job);
    }
}

/// Sends all jobs together and delivers them as they are answered; gives back those to try again.
async fn round(target: &Target, connection: &mut Option<Connection>, jobs: Vec<Job>) -> Vec<Job> {
    let mut again = Vec::new();
    let open = match connection.take().filter(Connection::is_usable) {
        Some(open) => open,
        None => match Connection::connect_with(&target.address, &target.options).await {
            Ok(open) => open,
            Err(error) => {
                let may_pass = may_pass(&error);
                jobs.into_iter().for_each(|job| fail(target, job, may_pass, &error, &mut again));
                return again;
            }
        },
    };
    let open = connection.insert(open);
    let mut batch = Batch::new();
    jobs.iter().for_each(|job| batch.append(&job.request.batch));
    let mut left = jobs.into_iter();
    let mut current = left.next();
    let outcome = open
        .run_each(&batch, |reply| {
            let Some(mut job) = current.take() else { return };
            job.replies.push(reply);
            if job.replies.len() < job.request.batch.len() {
                current = Some(job);
                return;
            }
            current = left.next();
            let refused = job.request.is_undone_by_refusal() && refuses(job.replies.first());
            if refused && target.retry.pause(job.failed + 1).is_some() {
                (job.failed, job.replies) = (job.failed + 1, Vec::new());
                again.push(job);
            } else {
                deliver(Done { job, error: None });
            }
        })
        .await;
    if let Err(error) = outcome {
        *connection = None;
        for job in current.into_iter().chain(left) {
            let may_pass = job.request.repeatable && may_pass(&error) || nothing_ran(&error);
            fail(target, job, may_pass, &error, &mut again);
        }
    }
    again
}

/// Keeps a job for another attempt, or delivers its failure.
fn fail(target: &Target, mut job: Job, may_pass: bool, error: &Error, again: &mut Vec<Job>) {
    job.failed += 1;
    job.replies.clear();
    if may_pass && target.retry.pause(job.failed).is_some() {
        again.push(job);
    } else {
        let error = Some((copy(error), target.address.clone()));
        deliver(Done { job, error });
    }
}

/// The same error for one more job.
fn copy(error: &Error) -> Error {
    match error {
        Error::Io(error) => Error::Io(std::io::Error::new(error.kind(), error.to_string())),
        Error::Server(text) => Error::Server(text.clone()),
        Error::Timeout => Error::Timeout,
        Error::Closed => Error::Closed,
        Error::Protocol(_) | Error::UnexpectedReply(_) => Error::UnexpectedReply(error.to_string()),
    }
}

/// Puts a result into its event loop's mailbox, and wakes the loop unless somebody did already.
fn deliver(done: Done) {
    let mailbox = Arc::clone(&done.job.mailbox);
    let first = {
        let mut waiting = lock(&mailbox.done);
        waiting.push(done);
        waiting.len() == 1
    };
    if first {
        // None: the interpreter is about to end, and nobody waits any more.
        Python::try_attach(|py| {
            let delivery = Py::new(py, Delivery(Arc::clone(&mailbox)));
            // A loop that was closed needs no result.
            let _closed = delivery.and_then(|delivery| {
                mailbox.event_loop.call_method1(py, pyo3::intern!(py, "call_soon_threadsafe"), (delivery,))
            });
        });
    }
}

#[pymethods]
impl Delivery {
    /// Sets the results of all futures whose requests are done. Runs on the event loop.
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let done = std::mem::take(&mut *lock(&self.0.done));
        for Done { job, error } in done {
            let future = job.future.bind(py);
            if future.call_method0(pyo3::intern!(py, "done"))?.is_truthy()? {
                continue;
            }
            let result = match error {
                Some((error, address)) => Err(convert::raise(&error, &address)),
                None => job.request.finish(py, job.replies),
            };
            match result {
                Ok(value) => future.call_method1(pyo3::intern!(py, "set_result"), (value,))?,
                Err(error) => future.call_method1(pyo3::intern!(py, "set_exception"), (error.into_value(py),))?,
            };
        }
        Ok(())
    }
}

fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static GET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let get =
        GET.get_or_try_init(py, || Ok::<_, PyErr>(py.import("asyncio")?.getattr("get_running_loop")?.unbind()))?;
    get.bind(py).call0()
}

/// The thread that serves all asynchronous clients of this process.
fn io_thread() -> PyResult<Handle> {
    static THREAD: Mutex<Option<(Handle, u32)>> = Mutex::new(None);
    let mut thread = lock(&THREAD);
    let pid = std::process::id();
    if let Some((handle, opener)) = &*thread
        && *opener == pid
    {
        return Ok(handle.clone());
    }
    let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("quiverdb-io".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    *thread = Some((handle.clone(), pid));
    Ok(handle)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
