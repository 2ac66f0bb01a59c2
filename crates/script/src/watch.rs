//! What a long loop outside of Lua asks so that its script can be stopped.

/// To be called at least once per some ten microseconds of work in a loop whose length a script decides.
///
/// # Errors
/// The script is to end; the error must be passed on.
pub fn check(_: &mlua::Lua) -> mlua::Result<()> {
    Ok(())
}

/// Longest string or buffer a library function may make, in bytes; more is "not enough memory".
pub const BYTES_MAX: usize = 64 << 20;
