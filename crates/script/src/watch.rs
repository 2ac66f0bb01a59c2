//! What a long loop outside of Lua asks so that its script can be stopped, and the hook that asks inside of it.

use std::rc::Rc;

use mlua::{Error, HookTriggers, Lua, VmState};
use quiver_engine::scripting::Tick;

use crate::current::{Position, with_host};

/// Instructions of Lua between two looks: some ten microseconds.
const INSTRUCTIONS: u32 = 10_000;

/// Longest string or buffer a library function may make, in bytes; more is "not enough memory".
pub const BYTES_MAX: usize = 64 << 20;

/// To be called at least once per some ten microseconds of work in a loop whose length a script decides.
///
/// # Errors
/// The script is to end; the error must be passed on.
pub fn check(lua: &Lua) -> mlua::Result<()> {
    let mut position = || (0..8).find_map(|level| lua.inspect_stack(level, position_of).flatten());
    match with_host(|host| host.tick(&mut position)) {
        None | Some(Tick::Go) => Ok(()),
        Some(Tick::Killed | Tick::Moved) => {
            press(lua)?;
            Err(stopped())
        }
    }
}

/// Lets the state be looked at while it computes.
///
/// # Errors
/// Out of memory.
pub(crate) fn install(lua: &Lua) -> mlua::Result<()> {
    lua.set_global_hook(HookTriggers::new().every_nth_instruction(INSTRUCTIONS), |lua, _| {
        check(lua).map(|()| VmState::Continue)
    })
}

/// A script that is to end may catch the error; from now on it gets one with every instruction.
fn press(lua: &Lua) -> mlua::Result<()> {
    let error = Rc::new(stopped());
    lua.set_global_hook(HookTriggers::new().every_nth_instruction(1), move |_, _| Err((*error).clone()))
}

fn stopped() -> Error {
    Error::RuntimeError("script stopped".to_owned())
}

/// Where a function of Lua stands; `None` for one of C.
pub(crate) fn position_of(debug: &mlua::debug::Debug<'_>) -> Option<Position> {
    let line = debug.current_line()?;
    let source = debug.source().source?.into_owned();
    Some(Position { source, line: i64::try_from(line).unwrap_or(0) })
}
