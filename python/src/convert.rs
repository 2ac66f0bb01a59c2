//! Python objects to words of a command, replies and errors to Python objects.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PySet, PyString};
use quiver_client::{Error, Value};

pyo3::import_exception!(quiverdb._errors, ConnectionError);
pyo3::import_exception!(quiverdb._errors, ProtocolError);
pyo3::import_exception!(quiverdb._errors, ResponseError);
pyo3::import_exception!(quiverdb._errors, TimeoutError);

/// A word of a command: bytes as they are, str as UTF-8 (lone surrogates as the bytes they stand for), int and
/// float as their shortest text.
pub(crate) fn word(object: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    if let Ok(text) = object.cast::<PyString>() {
        return match text.to_cow() {
            Ok(text) => Ok(text.as_bytes().to_vec()),
            Err(_) => object.call_method1("encode", ("utf-8", "surrogateescape"))?.extract(),
        };
    }
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(bytes.as_bytes().to_vec());
    }
    if object.is_instance_of::<PyBool>() {
        return Err(PyTypeError::new_err("a bool is no Redis value: say 1 or 0"));
    }
    if object.is_instance_of::<PyInt>() {
        return Ok(object.str()?.to_cow()?.as_bytes().to_vec());
    }
    if object.is_instance_of::<PyFloat>() {
        return Ok(object.repr()?.to_cow()?.as_bytes().to_vec());
    }
    if matches!(&*object.get_type().name()?.to_cow()?, "bytearray" | "memoryview") {
        return object.py().get_type::<PyBytes>().call1((object,))?.extract();
    }
    Err(PyTypeError::new_err(format!("cannot send {}: use bytes, str, int or float", object.get_type().name()?)))
}

/// All words of one command.
pub(crate) fn words(objects: &Bound<'_, PyAny>) -> PyResult<Vec<Vec<u8>>> {
    objects.try_iter()?.map(|object| word(&object?)).collect()
}

/// A reply as Python sees it; strings as bytes, or as str where `decode`.
pub(crate) fn to_python<'py>(py: Python<'py>, value: Value, decode: bool) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Simple(text) | Value::Verbatim { text, .. } => text_of(py, &text)?,
        Value::Bulk(bytes) if decode => text_of(py, &bytes)?,
        Value::Bulk(bytes) => PyBytes::new(py, &bytes).into_any(),
        Value::Integer(value) => value.into_pyobject(py)?.into_any(),
        Value::Double(value) => PyFloat::new(py, value).into_any(),
        Value::Boolean(value) => PyBool::new(py, value).to_owned().into_any(),
        Value::Null | Value::NullArray => py.None().into_bound(py),
        Value::Error(text) => ResponseError::new_err(lossy(&text)).into_value(py).into_bound(py).into_any(),
        Value::BigNumber(digits) => py.get_type::<PyInt>().call1((lossy(&digits),))?,
        Value::Array(items) | Value::Push(items) => list(py, items, decode)?.into_any(),
        Value::Set(items) => set(py, items, decode)?,
        Value::Map(pairs) => map(py, pairs, decode)?,
        Value::Attributed { value, .. } => to_python(py, *value, decode)?,
    })
}

/// Text from bytes that need not be UTF-8; [`word`] turns it back into the same bytes.
pub(crate) fn text_of<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(PyString::new(py, text).into_any()),
        Err(_) => PyBytes::new(py, bytes).call_method1("decode", ("utf-8", "surrogateescape")),
    }
}

fn list<'py>(py: Python<'py>, items: Vec<Value>, decode: bool) -> PyResult<Bound<'py, PyList>> {
    let items: Vec<_> = items.into_iter().map(|item| to_python(py, item, decode)).collect::<PyResult<_>>()?;
    PyList::new(py, items)
}

/// A set, or a list where an element cannot be hashed.
fn set<'py>(py: Python<'py>, items: Vec<Value>, decode: bool) -> PyResult<Bound<'py, PyAny>> {
    let items = list(py, items, decode)?;
    match PySet::new(py, &items) {
        Ok(set) => Ok(set.into_any()),
        Err(_) => Ok(items.into_any()),
    }
}

/// A dict, or a list of pairs where a key cannot be hashed.
fn map<'py>(py: Python<'py>, pairs: Vec<(Value, Value)>, decode: bool) -> PyResult<Bound<'py, PyAny>> {
    let pairs: Vec<_> = pairs
        .into_iter()
        .map(|(key, value)| Ok((to_python(py, key, decode)?, to_python(py, value, decode)?)))
        .collect::<PyResult<_>>()?;
    let dict = PyDict::new(py);
    if pairs.iter().all(|(key, value)| dict.set_item(key, value).is_ok()) {
        return Ok(dict.into_any());
    }
    Ok(PyList::new(py, pairs)?.into_any())
}

/// The Python exception for a failed call.
pub(crate) fn raise(error: &Error, address: &str) -> PyErr {
    match error {
        Error::Server(text) => ResponseError::new_err(text.clone()),
        Error::Timeout => TimeoutError::new_err(format!("no answer from {address} in time")),
        Error::Protocol(_) | Error::UnexpectedReply(_) => ProtocolError::new_err(format!("{address}: {error}")),
        Error::Io(_) | Error::Closed => ConnectionError::new_err(format!("{address}: {error}")),
    }
}

/// The exception for an error reply.
pub(crate) fn response_error(text: &[u8]) -> PyErr {
    ResponseError::new_err(lossy(text))
}

/// The exception for a reply of the wrong shape.
pub(crate) fn unexpected(command: &str) -> PyErr {
    ProtocolError::new_err(format!("unexpected reply to {command}"))
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}
