//! The libraries of scripts: `cjson`, `cmsgpack`, `struct` and `bit` in Rust, and those standard functions whose stock
//! version a script could make run for ever, take memory without end, or overflow.
//!
//! Each module has an `install` that puts its table or functions into the globals of a fresh state; the runtime freezes
//! them afterwards. Semantics and error texts are those of the C libraries in Redis, the places where they are not are
//! named in each module.
//!
//! Invariants: a loop whose length a script decides asks [`pace`] whether to go on; a buffer that grows asks it whether
//! it may; nothing recurses deeper than a constant.
//!
//! What is known against Lua 5.1.5 itself, and what stands against it here: bytecode (no function takes it), the parser's
//! loss of a chunk's name to the collector (CVE-2025-49844: it rests while the interpreter compiles), `unpack` with ranges
//! that overflow (CVE-2025-46817: [`tables`]), brackets of long strings that overflow a counter (CVE-2025-46819: memory
//! ends long before), patterns that overflow the C stack ([`pattern`]).

mod args;
mod bit;
pub mod call;
mod json;
mod msgpack;
mod number;
mod pace;
mod packing;
mod pattern;
mod strings;
mod tables;

pub use json::{JsonSettings, SharedSettings};
pub(crate) use number::write_g;

/// Installs all of them; gives the settings of `cjson`. The `pcall` of scripts must be in the globals already.
///
/// # Errors
/// The state is out of memory.
pub fn install(lua: &mlua::Lua) -> mlua::Result<SharedSettings> {
    let settings = json::install(lua)?;
    bit::install(lua)?;
    msgpack::install(lua)?;
    packing::install(lua)?;
    strings::install(lua)?;
    tables::install(lua)?;
    Ok(settings)
}
