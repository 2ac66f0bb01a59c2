//! Arguments as Lua's C functions take them: numbers for strings and the other way round, and their errors.

use mlua::{Error, Lua, MultiValue, Result, Value};

use super::number::{to_i32, to_i64};
use crate::raise;

/// The arguments of a call, with the words its errors use.
pub(crate) struct Args<'l> {
    /// The state that runs the call.
    pub lua: &'l Lua,
    /// The function's own name.
    pub function: &'static str,
    values: Vec<Value>,
    /// Functions between this call and the script.
    depth: usize,
}

impl<'l> Args<'l> {
    pub(crate) fn new(lua: &'l Lua, function: &'static str, values: MultiValue) -> Self {
        Self::within(lua, function, values, 0)
    }

    /// Arguments that were handed on by so many functions of a library.
    pub(crate) fn within(lua: &'l Lua, function: &'static str, values: MultiValue, depth: usize) -> Self {
        Self { lua, function, values: values.into_vec(), depth }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// One of them, counted from 1 as in Lua; `None` where there is none.
    pub(crate) fn get(&self, at: usize) -> Option<&Value> {
        self.values.get(at.wrapping_sub(1))
    }

    /// Whether it is missing or nil.
    pub(crate) fn is_nil(&self, at: usize) -> bool {
        self.get(at).is_none_or(Value::is_nil)
    }

    /// What Lua calls the type of an argument.
    pub(crate) fn type_name(&self, at: usize) -> &'static str {
        self.get(at).map_or("no value", type_name)
    }

    /// An error of the call.
    pub(crate) fn failure(&self, text: impl AsRef<str>) -> Error {
        failure(self.lua, self.depth, text)
    }

    /// An error about one of them. It calls the function as the script does, and does not count what stands before the
    /// colon of a method call.
    pub(crate) fn error(&self, at: usize, what: impl AsRef<str>) -> Error {
        let what = what.as_ref();
        let (name, method) = match self.depth {
            0 => self.called_as(),
            _ => (self.function.to_owned(), false),
        };
        self.failure(match (method, at) {
            (true, 1) => format!("calling '{name}' on bad self ({what})"),
            (true, at) => format!("bad argument #{} to '{name}' ({what})", at - 1),
            (false, at) => format!("bad argument #{at} to '{name}' ({what})"),
        })
    }

    fn called_as(&self) -> (String, bool) {
        let called = self.lua.inspect_stack(0, |debug| {
            let names = debug.names();
            (names.name.map(|name| name.into_owned()), names.name_what == Some("method"))
        });
        let (name, method) = called.unwrap_or((None, false));
        (name.unwrap_or_else(|| "?".to_owned()), method)
    }

    /// An error about the type of one of them.
    pub(crate) fn type_error(&self, at: usize, expected: &str) -> Error {
        self.error(at, format!("{expected} expected, got {}", self.type_name(at)))
    }

    /// A string, or a number as one.
    pub(crate) fn string(&self, at: usize) -> Result<mlua::LuaString> {
        match self.get(at) {
            Some(Value::String(string)) => Ok(string.clone()),
            Some(number @ (Value::Integer(_) | Value::Number(_))) => {
                let string = self.lua.coerce_string(number.clone())?;
                string.ok_or_else(|| self.type_error(at, "string"))
            }
            _ => Err(self.type_error(at, "string")),
        }
    }

    /// A number, or a string that is one.
    pub(crate) fn number(&self, at: usize) -> Result<f64> {
        match self.get(at) {
            Some(Value::Integer(number)) => Ok(*number as f64),
            Some(Value::Number(number)) => Ok(*number),
            Some(text @ Value::String(_)) => {
                let number = self.lua.coerce_number(text.clone())?;
                number.ok_or_else(|| self.type_error(at, "number"))
            }
            _ => Err(self.type_error(at, "number")),
        }
    }

    /// A number without its fraction.
    pub(crate) fn integer(&self, at: usize) -> Result<i64> {
        self.number(at).map(to_i64)
    }

    /// A number as a C `int`.
    pub(crate) fn int(&self, at: usize) -> Result<i32> {
        self.number(at).map(to_i32)
    }

    /// A number without its fraction, or what stands for none.
    pub(crate) fn integer_or(&self, at: usize, default: i64) -> Result<i64> {
        if self.is_nil(at) { Ok(default) } else { self.integer(at) }
    }
}

/// An error at the line of the script that called, through so many functions of a library, the running function.
pub(crate) fn failure(lua: &Lua, callers: usize, text: impl AsRef<str>) -> Error {
    if callers == 0 {
        return raise::error(lua, text);
    }
    let place = lua.inspect_stack(callers + 1, |debug| {
        let line = debug.current_line()?;
        Some(format!("{}:{line}: ", debug.source().short_src.as_deref().unwrap_or("?")))
    });
    Error::RuntimeError(format!("{}{}", place.flatten().unwrap_or_default(), text.as_ref()))
}

/// What Lua calls the type of a value.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Nil => "nil",
        Value::Boolean(_) => "boolean",
        Value::Integer(_) | Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Table(_) => "table",
        Value::Function(_) => "function",
        Value::Thread(_) => "thread",
        _ => "userdata",
    }
}

/// Whether a value counts as true.
pub(crate) fn is_true(value: Option<&Value>) -> bool {
    !matches!(value, None | Some(Value::Nil | Value::Boolean(false)))
}
