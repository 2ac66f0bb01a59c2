//! The native half of the Python package quiverdb: RESP clients, blocking and asynchronous, that take vectors straight
//! from numpy, and the vector index in-process.
//!
//! Python code in `quiverdb/` gives both the interface people see; this side does what is slow there: encoding,
//! sockets, replies and graphs. Nothing here holds the interpreter while it works or waits.

#![forbid(unsafe_code)]

mod accepted;
mod connection;
mod convert;
mod index;
mod index_file;
mod json;
mod multiplex;
mod request;
mod retry;

use pyo3::prelude::*;

/// Module `quiverdb._native`.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<connection::Connection>()?;
    module.add_class::<multiplex::Multiplexed>()?;
    module.add_function(wrap_pyfunction!(json::json_rows, module)?)?;
    module.add_class::<index::Index>()
}
