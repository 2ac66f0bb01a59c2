//! Errors as Lua's own C functions raise them.
//!
//! A callback in Rust cannot raise a string or a table by itself: what it returns reaches Lua as a userdata. The
//! `pcall`, `xpcall` and `coroutine.resume` that scripts see turn such a userdata back into what is made here.

use std::fmt;

use mlua::{Error, Lua, Value};

use crate::libraries::call::Thrown;

/// An error table: what `redis.call` raises and `redis.pcall` returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorTable {
    /// Code and text.
    pub text: Vec<u8>,
    /// The statistics have it already.
    pub counted: bool,
}

impl fmt::Display for ErrorTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text))
    }
}

impl std::error::Error for ErrorTable {}

impl ErrorTable {
    /// An error that no command made.
    pub fn new(text: impl Into<Vec<u8>>) -> Self {
        Self { text: text.into(), counted: false }
    }

    /// The table Lua sees.
    ///
    /// # Errors
    /// Out of memory.
    pub fn into_value(self, lua: &Lua) -> mlua::Result<Value> {
        let table = lua.create_table_with_capacity(0, if self.counted { 2 } else { 1 })?;
        table.raw_set("err", lua.create_string(&self.text)?)?;
        if self.counted {
            table.raw_set("ignore_error_stats_update", true)?;
        }
        Ok(Value::Table(table))
    }

    /// The error that raises it.
    pub fn raise(self) -> Error {
        Error::external(self)
    }
}

/// An error with the position of the calling line in front (`user_script:3: `), as `luaL_error` has it.
pub fn error(lua: &Lua, message: impl AsRef<str>) -> Error {
    // Level 0 is the callback itself, level 1 whoever called it.
    let position = lua.inspect_stack(1, |debug| {
        let line = debug.current_line()?;
        let source = debug.source();
        Some(format!("{}:{line}: ", source.short_src.as_deref().unwrap_or("?")))
    });
    let position = position.flatten().unwrap_or_default();
    Error::RuntimeError(format!("{position}{}", message.as_ref()))
}

/// A wrong argument: `bad argument #1 to 'encode' (number expected, got nil)`, with the position in front.
pub fn argument(lua: &Lua, index: usize, function: &str, what: impl AsRef<str>) -> Error {
    error(lua, format!("bad argument #{index} to '{function}' ({})", what.as_ref()))
}

/// The text of an error, whatever it went through.
pub(crate) fn text_of(error: &Error) -> String {
    match error {
        Error::CallbackError { cause, .. } | Error::WithContext { cause, .. } => text_of(cause),
        Error::ExternalError(external) => external.to_string(),
        Error::RuntimeError(text) => text.clone(),
        Error::SyntaxError { message, .. } => message.clone(),
        Error::MemoryError(_) => "not enough memory".to_owned(),
        other => other.to_string(),
    }
}

/// What Lua code is to see of an error that came out of a callback.
///
/// # Errors
/// Out of memory.
pub(crate) fn translate(lua: &Lua, error: &Error) -> mlua::Result<Value> {
    if let Some(table) = error.downcast_ref::<ErrorTable>() {
        return table.clone().into_value(lua);
    }
    if let Some(Thrown(key)) = error.downcast_ref::<Thrown>() {
        return lua.registry_value(key);
    }
    Ok(Value::String(lua.create_string(text_of(error))?))
}
