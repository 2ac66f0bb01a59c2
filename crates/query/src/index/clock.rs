//! Whether a query may go on, asked every so many steps of its work.

use std::cell::{Cell, RefCell};
use std::fmt;

/// Steps between two questions; a step is some tens of nanoseconds.
const STEPS: u32 = 1024;

/// Counts steps and asks.
pub(crate) struct Clock<'a> {
    go_on: RefCell<&'a mut dyn FnMut() -> bool>,
    steps: Cell<u32>,
    stopped: Cell<bool>,
}

impl<'a> Clock<'a> {
    pub(crate) fn new(go_on: &'a mut dyn FnMut() -> bool) -> Self {
        Self { go_on: RefCell::new(go_on), steps: Cell::new(0), stopped: Cell::new(false) }
    }

    /// One step of work; whether to go on.
    #[inline]
    pub(crate) fn tick(&self) -> bool {
        self.ticks(1)
    }

    /// So many steps of work; whether to go on.
    #[inline]
    pub(crate) fn ticks(&self, steps: usize) -> bool {
        self.steps.set(self.steps.get().saturating_add(steps as u32));
        if self.steps.get() >= STEPS { self.ask() } else { !self.stopped.get() }
    }

    /// Whether the answer was once no.
    pub(crate) fn stopped(&self) -> bool {
        self.stopped.get()
    }

    #[cold]
    fn ask(&self) -> bool {
        self.steps.set(0);
        if !self.stopped.get() && !(self.go_on.borrow_mut())() {
            self.stopped.set(true);
        }
        !self.stopped.get()
    }
}

impl fmt::Debug for Clock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("stopped", &self.stopped).finish_non_exhaustive()
    }
}
