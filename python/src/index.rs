//! The vector index in this process: [`Hnsw`] with names for its slots, shared between Python's threads.
//!
//! Searches run side by side, additions alone. Vectors are copied out of numpy before the interpreter is let go, so
//! nobody can change them under the graph's hands.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError, RwLock};

use numpy::{PyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyList;
use quiver_vector::{Error, Hnsw, Metric, Neighbor, Params, Scratch, Slot, Storage};

use crate::accepted::Accepted;
use crate::convert;
use crate::index_file;

/// Fewest queries worth a thread of their own.
const QUERIES_PER_THREAD: usize = 16;

/// An HNSW index over named vectors.
#[pyclass(module = "quiverdb._native", frozen)]
pub(crate) struct Index {
    state: RwLock<Named>,
    scratches: Mutex<Vec<Scratch>>,
}

/// The graph and the names of its elements. Invariant: `names[slot]` is there exactly if `slot` is live, and
/// `slots` is its inverse.
pub(crate) struct Named {
    pub(crate) graph: Hnsw,
    pub(crate) names: Vec<Option<Box<str>>>,
    pub(crate) slots: HashMap<Box<str>, Slot>,
}

#[pymethods]
impl Index {
    #[new]
    #[pyo3(signature = (dim, metric, storage, m, ef_construction))]
    fn new(dim: usize, metric: &str, storage: &str, m: usize, ef_construction: usize) -> PyResult<Self> {
        let (metric, storage) = (metric_of(metric)?, storage_of(storage)?);
        let graph = Hnsw::new(Params { dim, metric, storage, m, ef_construction }).map_err(value_error)?;
        Ok(Self::from(Named { graph, names: Vec::new(), slots: HashMap::new() }))
    }

    /// Reads an index written by `save`.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        py.detach(|| index_file::load(&path)).map(Self::from).map_err(|error| file_error(error, &path))
    }

    /// Writes the index, links included, so that `load` need not build it again.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        py.detach(|| index_file::save(&self.read(), &path)).map_err(|error| file_error(error, &path))
    }

    /// Adds or replaces each row of `vectors` (n x dim, float32, C order) under the id at its place, with several threads
    /// (all cores if None); returns how many are new.
    #[pyo3(signature = (ids, vectors, ef, threads))]
    fn add(
        &self,
        py: Python<'_>,
        ids: &Bound<'_, PyAny>,
        vectors: PyReadonlyArray2<'_, f32>,
        ef: Option<usize>,
        threads: Option<usize>,
    ) -> PyResult<usize> {
        let ids: Vec<Box<str>> = ids.try_iter()?.map(|id| name(&id?)).collect::<PyResult<_>>()?;
        let rows = vectors.as_slice()?.to_vec();
        let dim = self.check_dim(vectors.shape()[1])?;
        if ids.len() != vectors.shape()[0] {
            return Err(PyValueError::new_err("ids and vectors differ in number"));
        }
        py.detach(|| {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            let ef = ef.unwrap_or(state.graph.params().ef_construction);
            if threads != Some(1) {
                return state.put_many(&ids, &rows, ef, threads.unwrap_or(0));
            }
            let mut new = 0;
            for (id, row) in ids.into_iter().zip(rows.chunks_exact(dim)) {
                new += usize::from(state.put(id, row, ef)?);
            }
            Ok(new)
        })
        .map_err(value_error)
    }

    /// For each row of `queries` (n x dim, float32, C order) the ids and scores of the `k` nearest; of those that
    /// `filter` accepts, which is a function of an id, or a list of ids.
    #[pyo3(signature = (queries, k, ef, exact, threads, filter))]
    #[expect(clippy::too_many_arguments, reason = "the parts of one search")]
    fn search<'py>(
        &self,
        py: Python<'py>,
        queries: PyReadonlyArray2<'py, f32>,
        k: usize,
        ef: usize,
        exact: bool,
        threads: Option<usize>,
        filter: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let dim = self.check_dim(queries.shape()[1])?;
        let rows = queries.as_slice()?.to_vec();
        let effort = Effort { k, ef, exact };
        let accepted = filter.map(|filter| self.accepted(filter)).transpose()?;
        let found =
            py.detach(|| self.search_rows(&rows, dim, effort, accepted.as_deref(), threads)).map_err(value_error)?;
        let results = found.into_iter().map(|(ids, scores)| {
            (PyList::new(py, ids.iter().map(|id| &**id))?, PyArray1::from_vec(py, scores)).into_pyobject(py)
        });
        PyList::new(py, results.collect::<PyResult<Vec<_>>>()?)
    }

    /// Removes the elements; returns how many there were.
    fn remove(&self, py: Python<'_>, ids: &Bound<'_, PyAny>) -> PyResult<usize> {
        let ids: Vec<Box<str>> = ids.try_iter()?.map(|id| name(&id?)).collect::<PyResult<_>>()?;
        py.detach(|| {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            let mut removed = 0;
            for id in &ids {
                removed += usize::from(state.remove(id)?);
            }
            Ok(removed)
        })
        .map_err(value_error)
    }

    /// The vector of an element, None if there is none.
    fn vector<'py>(&self, py: Python<'py>, id: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyArray1<f32>>>> {
        let id = name(id)?;
        let state = self.read();
        let vector = state.slots.get(&id).and_then(|&slot| state.graph.vector(slot));
        Ok(vector.map(|vector| PyArray1::from_vec(py, vector)))
    }

    /// All ids, in the order of their slots.
    fn ids(&self) -> Vec<String> {
        self.read().names.iter().flatten().map(|name| name.to_string()).collect()
    }

    fn __len__(&self) -> usize {
        self.read().graph.len()
    }

    fn __contains__(&self, id: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.read().slots.contains_key(&name(id)?))
    }

    /// Shape of the index and its memory: dim, metric, storage, m, ef_construction, bytes.
    fn parameters(&self) -> (usize, &'static str, &'static str, usize, usize, usize) {
        let state = self.read();
        let params = state.graph.params();
        let (metric, storage) = (metric_name(params.metric), storage_name(params.storage));
        (params.dim, metric, storage, params.m, params.ef_construction, state.graph.memory_bytes())
    }
}

/// How hard to look, and for how many.
#[derive(Clone, Copy)]
struct Effort {
    k: usize,
    ef: usize,
    exact: bool,
}

/// Ids and scores of one query, best first.
type Hits = (Vec<Box<str>>, Vec<f32>);

impl Index {
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Named> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ids a filter of Python's accepts: those it lists, or says yes to.
    fn accepted(&self, filter: &Bound<'_, PyAny>) -> PyResult<Vec<Box<str>>> {
        if !filter.is_callable() {
            return filter.try_iter()?.map(|id| name(&id?)).collect();
        }
        // The function may search this index itself, so no lock is held while it is asked.
        let mut accepted = Vec::new();
        let names: Vec<Box<str>> = self.read().names.iter().flatten().cloned().collect();
        for name in names {
            if filter.call1((&*name,))?.is_truthy()? {
                accepted.push(name);
            }
        }
        Ok(accepted)
    }

    fn check_dim(&self, got: usize) -> PyResult<usize> {
        let want = self.read().graph.dim();
        if got == want { Ok(want) } else { Err(value_error(Error::VectorDim { got, want })) }
    }

    /// Splits the queries between threads. All see the same state: one read lock spans them.
    fn search_rows(
        &self,
        rows: &[f32],
        dim: usize,
        effort: Effort,
        accepted: Option<&[Box<str>]>,
        threads: Option<usize>,
    ) -> Result<Vec<Hits>, Error> {
        let state = self.read();
        let accepted = accepted.map(|names| Accepted::new(names.iter().filter_map(|name| state.slots.get(name))));
        let accepted = accepted.as_ref();
        let queries = rows.len() / dim;
        let most = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let threads = most.min(queries / QUERIES_PER_THREAD).max(1);
        if threads == 1 {
            return self.search_part(&state, rows, dim, effort, accepted);
        }
        let state = &*state;
        let parts = rows.chunks(queries.div_ceil(threads) * dim);
        std::thread::scope(|scope| {
            let workers: Vec<_> =
                parts.map(|part| scope.spawn(move || self.search_part(state, part, dim, effort, accepted))).collect();
            let mut found = Vec::with_capacity(queries);
            for worker in workers {
                found.extend(worker.join().expect("a search does not panic")?);
            }
            Ok(found)
        })
    }

    fn search_part(
        &self,
        state: &Named,
        rows: &[f32],
        dim: usize,
        effort: Effort,
        accepted: Option<&Accepted>,
    ) -> Result<Vec<Hits>, Error> {
        let taken = self.scratches.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut scratch = taken.unwrap_or_default();
        let mut nearest = Vec::new();
        let found = rows.chunks_exact(dim).map(|query| {
            if let Some(accepted) = accepted {
                let (scratch, nearest) = (&mut scratch, &mut nearest);
                if effort.exact {
                    state.graph.exact_filtered(query, effort.k, accepted, scratch, nearest)?;
                } else {
                    // An effort without a bound: never are fewer found than there are.
                    state.graph.search_filtered(query, effort.k, effort.ef, usize::MAX, accepted, scratch, nearest)?;
                }
            } else if effort.exact {
                state.graph.exact(query, effort.k, &mut scratch, &mut nearest)?;
            } else {
                state.graph.search(query, effort.k, effort.ef, &mut scratch, &mut nearest)?;
            }
            Ok(state.hits(&nearest))
        });
        let found = found.collect();
        self.scratches.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
        found
    }
}

impl From<Named> for Index {
    fn from(named: Named) -> Self {
        Self { state: RwLock::new(named), scratches: Mutex::new(Vec::new()) }
    }
}

impl Named {
    /// Adds or replaces an element; whether it is new.
    fn put(&mut self, id: Box<str>, vector: &[f32], ef: usize) -> Result<bool, Error> {
        if let Some(&slot) = self.slots.get(&id) {
            self.graph.update(slot, vector, ef)?;
            return Ok(false);
        }
        let slot = self.graph.insert(vector, hash(id.as_bytes()), ef)?;
        self.enter(id, slot);
        Ok(true)
    }

    /// Adds or replaces elements, those that are new in rounds on several threads; the number of new ones. Of an id given
    /// twice the last vector counts.
    fn put_many(&mut self, ids: &[Box<str>], rows: &[f32], ef: usize, threads: usize) -> Result<usize, Error> {
        let dim = self.graph.dim();
        let row = |at: usize| &rows[at * dim..][..dim];
        (0..ids.len()).try_for_each(|at| self.graph.validate(row(at)))?;
        let last: HashMap<&str, usize> = ids.iter().enumerate().map(|(at, id)| (&**id, at)).collect();
        let (known, fresh): (Vec<usize>, Vec<usize>) =
            (0..ids.len()).filter(|at| last[&*ids[*at]] == *at).partition(|at| self.slots.contains_key(&ids[*at]));
        let vectors: Vec<&[f32]> = fresh.iter().map(|at| row(*at)).collect();
        let keys: Vec<u64> = fresh.iter().map(|at| hash(ids[*at].as_bytes())).collect();
        let slots = self.graph.insert_rows(&vectors, &keys, ef, threads)?;
        for (at, slot) in fresh.iter().zip(slots) {
            self.enter(ids[*at].clone(), slot);
        }
        for at in known {
            self.graph.update(self.slots[&ids[at]], row(at), ef)?;
        }
        Ok(fresh.len())
    }

    /// Gives a slot its name.
    fn enter(&mut self, id: Box<str>, slot: Slot) {
        if self.names.len() <= slot as usize {
            self.names.resize(slot as usize + 1, None);
        }
        self.names[slot as usize] = Some(id.clone());
        self.slots.insert(id, slot);
    }

    fn remove(&mut self, id: &str) -> Result<bool, Error> {
        let Some(slot) = self.slots.get(id).copied() else {
            return Ok(false);
        };
        self.graph.remove(slot)?;
        self.slots.remove(id);
        self.names[slot as usize] = None;
        Ok(true)
    }

    fn hits(&self, nearest: &[Neighbor]) -> Hits {
        let metric = self.graph.params().metric;
        let named = nearest.iter().filter_map(|hit| Some((self.names[hit.slot as usize].clone()?, score(metric, hit))));
        named.unzip()
    }
}

/// Larger is nearer: under cosine as VSIM scores, (1 + cos) / 2; the inner product; minus the squared distance.
fn score(metric: Metric, hit: &Neighbor) -> f32 {
    match metric {
        Metric::Cosine => 1.0 - hit.distance / 2.0,
        Metric::InnerProduct => 1.0 - hit.distance,
        Metric::L2 => -hit.distance,
    }
}

/// FNV-1a: the level of an element follows from its name, so equal additions build equal graphs everywhere.
fn hash(name: &[u8]) -> u64 {
    name.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn name(id: &Bound<'_, PyAny>) -> PyResult<Box<str>> {
    let bytes = convert::word(id)?;
    String::from_utf8(bytes).map(String::into_boxed_str).map_err(|_| PyValueError::new_err("an id must be UTF-8"))
}

const METRICS: [(&str, Metric); 3] = [("cosine", Metric::Cosine), ("ip", Metric::InnerProduct), ("l2", Metric::L2)];
const STORAGES: [(&str, Storage); 5] = [
    ("f32", Storage::F32),
    ("f16", Storage::F16),
    ("bf16", Storage::Bf16),
    ("i8", Storage::I8),
    ("binary", Storage::Binary),
];

fn metric_of(text: &str) -> PyResult<Metric> {
    let known = METRICS.iter().find(|(name, _)| *name == text);
    known.map(|&(_, metric)| metric).ok_or_else(|| PyValueError::new_err("metric must be 'cosine', 'ip' or 'l2'"))
}

fn storage_of(text: &str) -> PyResult<Storage> {
    let known = STORAGES.iter().find(|(name, _)| *name == text);
    let unknown = || PyValueError::new_err("storage must be 'f32', 'f16', 'bf16', 'i8' or 'binary'");
    known.map(|&(_, storage)| storage).ok_or_else(unknown)
}

fn metric_name(metric: Metric) -> &'static str {
    match metric {
        Metric::Cosine => "cosine",
        Metric::InnerProduct => "ip",
        Metric::L2 => "l2",
    }
}

fn storage_name(storage: Storage) -> &'static str {
    STORAGES.iter().find(|(_, known)| *known == storage).map_or("", |(name, _)| name)
}

fn value_error(error: Error) -> PyErr {
    PyValueError::new_err(error.to_string())
}

fn file_error(error: index_file::FileError, path: &std::path::Path) -> PyErr {
    match error {
        index_file::FileError::Io(error) => PyErr::from(error),
        index_file::FileError::Corrupt(why) => PyOSError::new_err(format!("{}: {why}", path.display())),
    }
}
