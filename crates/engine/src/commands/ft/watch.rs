//! Where the time of a question goes: what FT.PROFILE knows besides the parts of the query.

use std::cell::Cell;

use quiver_query::index::Recorder;

use crate::context::Ctx;

/// Times of one question, noted as it is read, asked and answered.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// The parts of the query.
    pub(super) recorder: Recorder,
    begun_ns: u64,
    /// Until the query was understood.
    pub(super) parsing_ns: Cell<u64>,
    /// In the index, all tries.
    pub(super) index_ns: Cell<u64>,
    /// In the index and the keyspace.
    pub(super) asking_ns: Cell<u64>,
    /// In the steps behind.
    pub(super) steps_ns: Cell<u64>,
    /// Documents that matched.
    pub(super) matched: Cell<usize>,
    /// Documents that were read.
    pub(super) read: Cell<usize>,
    /// Whether matches were scored.
    pub(super) scored: Cell<bool>,
}

impl Watch {
    /// From now on.
    pub(super) fn begin(ctx: &Ctx<'_>) -> Self {
        Self { begun_ns: ctx.meter.now_ns(), ..Self::default() }
    }

    /// Since it began.
    pub(super) fn so_far_ns(&self, ctx: &Ctx<'_>) -> u64 {
        ctx.meter.now_ns().saturating_sub(self.begun_ns)
    }
}

/// Adds what passed since a moment.
pub(super) fn add_since(ctx: &Ctx<'_>, sum: &Cell<u64>, begun_ns: u64) {
    sum.set(sum.get() + ctx.meter.now_ns().saturating_sub(begun_ns));
}
