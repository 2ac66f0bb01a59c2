//! Calling a script's functions from a library, in such a way that what they raise arrives as it was.
//!
//! An error that crosses Rust becomes text. So the call is made in Lua by the `pcall` that scripts have, which gives
//! the error as a value, and a table is raised again as [`Thrown`], out of which that same `pcall` takes it.

use mlua::{Error, Function, Lua, MultiValue, Result, Table, Value};

/// A value raised by a script, on its way through Rust.
#[derive(Debug)]
pub struct Thrown(pub mlua::RegistryKey);

impl std::fmt::Display for Thrown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(error object is not a string)")
    }
}

impl std::error::Error for Thrown {}

/// An error that reaches Lua as this value.
pub fn throw(lua: &Lua, value: Value) -> Error {
    match value {
        Value::Error(error) => *error,
        Value::String(text) if text.to_str().is_ok() => Error::RuntimeError(text.to_string_lossy()),
        value => lua.create_registry_value(value).map_or_else(|error| error, |key| Error::external(Thrown(key))),
    }
}

/// The protected calls of one state.
pub(crate) struct Caller {
    call: Function,
    index: Function,
}

impl Caller {
    /// Holds on to the `pcall` of the globals.
    pub(crate) fn new(lua: &Lua) -> Result<Self> {
        let source = "local pcall = ... \
                      local function index(t, k) return t[k] end \
                      return function(f, ...) return pcall(f, ...) end, function(t, k) return pcall(index, t, k) end";
        let pcall: Function = lua.globals().raw_get("pcall")?;
        let (call, index) = lua.load(source).set_name("=[C]").call(pcall)?;
        Ok(Self { call, index })
    }

    /// Calls a value; gives the first result.
    pub(crate) fn call(&self, lua: &Lua, function: &Value, args: Vec<Value>) -> Result<Value> {
        let args = std::iter::once(function.clone()).chain(args);
        settle(lua, self.call.call(MultiValue::from_iter(args))?)
    }

    /// A field of a table whose metatable may be asked.
    pub(crate) fn index(&self, lua: &Lua, table: &Table, key: Value) -> Result<Value> {
        settle(lua, self.index.call((table, key))?)
    }
}

fn settle(lua: &Lua, (ok, value): (bool, Value)) -> Result<Value> {
    if ok { Ok(value) } else { Err(throw(lua, value)) }
}
