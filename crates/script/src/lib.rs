//! EVAL and functions: Lua 5.1 behind the engine's `ScriptRuntime`.
//!
//! - `raise`: errors that Lua code sees as Redis' own, position included.
//! - `watch`: what a long loop outside of Lua asks so that its script can be stopped.
//! - `libraries`: cjson, cmsgpack, struct, bit, and bounded versions of the standard functions.
//!
//! Invariants: text chunks only; nothing a script does is seen by the next one; every loop that a script can make long
//! can be stopped.
#![forbid(unsafe_code)]

pub mod libraries;
pub mod raise;
pub mod watch;
