//! Errors as Lua's own C functions raise them.
//!
//! A callback in Rust cannot raise a string or a table by itself: what it returns reaches Lua as a userdata. The
//! `pcall`, `xpcall` and `coroutine.resume` that scripts see turn such a userdata back into what is made here.

use mlua::{Error, Lua};

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
