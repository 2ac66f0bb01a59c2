//! The script that runs on this thread, lent to the functions Lua calls.
//!
//! Those functions live as long as their state, a running command only for a moment. So the command is lent to the
//! thread for the time of the script, and whoever is called looks here for it. While a function uses it nobody else
//! can, so it must not run Lua code meanwhile.

use mlua::{Lua, Value};
use quiver_engine::CommandError;
use quiver_engine::scripting::{Propagation, Tick};
use quiver_resp::Argv;
use scoped_tls_hkt::scoped_thread_local;

/// What scripts ask of their surroundings.
pub(crate) trait Host {
    /// Runs a command, and makes a value of its reply's bytes.
    ///
    /// # Errors
    /// Why it may not run. The inner result is the interpreter's.
    fn command(&mut self, lua: &Lua, argv: Argv<'_>) -> Result<mlua::Result<Value>, CommandError>;

    /// Whether the client may run a command.
    ///
    /// # Errors
    /// There is no such command.
    fn may_run(&mut self, argv: Argv<'_>) -> Result<bool, CommandError>;

    /// Whether the script goes on; `position`: where it stands.
    fn tick(&mut self, position: &mut dyn FnMut() -> Option<Position>) -> Tick;

    /// Lets replies have the types of RESP3, or not.
    fn set_resp3(&mut self, yes: bool);

    /// Where changes go from here on.
    fn propagate(&mut self, to: Propagation);

    /// It did something that must not be done twice.
    fn pin(&mut self);
}

/// A place in a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// Name of the chunk, as it was given.
    pub(crate) source: String,
    /// Line.
    pub(crate) line: i64,
}

scoped_thread_local!(static mut HOST: for<'a> &'a mut (dyn Host + 'a));

/// Lends `host` to this thread while `run` runs.
pub(crate) fn lend<R>(host: &mut dyn Host, run: impl FnOnce() -> R) -> R {
    HOST.set(host, run)
}

/// Uses what is lent; `None` where nothing is.
pub(crate) fn with_host<R>(use_it: impl FnOnce(&mut dyn Host) -> R) -> Option<R> {
    HOST.is_set().then(|| HOST.with(|host| use_it(host)))
}
