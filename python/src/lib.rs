//! The native half of the Python package quiverdb: a RESP client that takes vectors straight from numpy.
//!
//! Python code in `quiverdb/` gives it the interface people see; this side does what is slow there: encoding,
//! sockets and replies. Nothing here holds the interpreter while it waits.

mod connection;
mod convert;

use pyo3::prelude::*;

/// Module `quiverdb._native`.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<connection::Connection>()
}
