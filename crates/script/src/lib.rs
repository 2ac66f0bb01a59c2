//! EVAL and functions: Lua 5.1 behind the engine's [`ScriptRuntime`](quiver_engine::scripting::ScriptRuntime).
//!
//! - `runtime`: what the commands do; `script` and `cache`: texts by digest, shared by all threads.
//! - `vm`: one interpreter per thread; `prelude.lua`: the globals scripts see; `api`: the table `redis`.
//! - `reply`: replies as values and back; `raise`: errors as Lua code sees them.
//! - `current`: the running command, lent to the functions Lua calls; `watch`: how a script is stopped.
//! - `libraries`: cjson, cmsgpack, struct, bit, and bounded versions of the standard functions.
//!
//! Invariants: text chunks only; nothing a script does is seen by the next one; every loop that a script can make long
//! can be stopped.
#![forbid(unsafe_code)]

mod api;
mod cache;
mod current;
mod fcall;
mod functions;
pub mod libraries;
mod prepare;
pub mod raise;
mod random;
mod reply;
mod runtime;
mod script;
mod vm;
pub mod watch;

pub use runtime::LuaRuntime;
