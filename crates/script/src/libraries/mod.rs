//! The libraries of scripts. Each has an `install` that puts its table or functions into the globals of a fresh state;
//! the runtime freezes them afterwards.

/// Installs all of them.
///
/// # Errors
/// The state is out of memory.
pub fn install(_: &mlua::Lua) -> mlua::Result<()> {
    Ok(())
}
