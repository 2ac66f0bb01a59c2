//! How loops in the libraries ask, now and then, whether their script is to end.

use std::cell::Cell;

use mlua::{Error, Lua, Result};

use crate::watch;

/// Steps between two questions; a step is some nanoseconds.
const STEPS_PER_CHECK: u64 = 2048;

/// Steps taken since the last question.
#[derive(Debug)]
pub(crate) struct Pace<'l> {
    lua: &'l Lua,
    taken: Cell<u64>,
}

impl<'l> Pace<'l> {
    /// None taken yet.
    pub(crate) fn new(lua: &'l Lua) -> Self {
        Self { lua, taken: Cell::new(0) }
    }

    /// Takes steps.
    ///
    /// # Errors
    /// The script is to end.
    #[inline]
    pub(crate) fn step(&self, steps: u64) -> Result<()> {
        let taken = self.taken.get() + steps;
        if taken < STEPS_PER_CHECK {
            self.taken.set(taken);
            return Ok(());
        }
        self.taken.set(0);
        watch::check(self.lua)
    }
}

/// Refuses to make what is longer than a script may have in memory.
///
/// # Errors
/// It is too long.
pub(crate) fn within_memory(bytes: usize) -> Result<()> {
    if bytes > watch::BYTES_MAX { Err(Error::MemoryError("not enough memory".to_owned())) } else { Ok(()) }
}
