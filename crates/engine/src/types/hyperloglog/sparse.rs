//! The sparse form of a HyperLogLog: runs of registers with equal ranks, in order.
//!
//! ```text
//! 00llllll           l + 1 registers of rank 0
//! 01llllll llllllll  l + 1 registers of rank 0
//! 1rrrrrll           l + 1 registers of rank r + 1
//! ```
//!
//! Which of several forms of the same registers results is Redis': a run is split where a register is raised, then
//! neighbours of equal rank are joined, but only near the place.

use std::fmt::Write as _;

use smallvec::SmallVec;

use super::{Corrupt, HEADER_BYTES};

/// The greatest rank a run can have.
const RANK_MAX: u8 = 32;
const RANKED_LEN_MAX: usize = 4;
const SHORT_ZERO_LEN_MAX: usize = 64;
const LONG_ZERO: u8 = 0x40;
const RANKED: u8 = 0x80;

/// Runs looked at for joining, from the one before the change on.
const JOIN_SCAN: usize = 5;

/// One run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Rank of all its registers.
    pub(super) rank: u8,
    /// Registers.
    pub(super) len: usize,
    /// Bytes it takes.
    bytes: usize,
}

/// What raising a register came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It was as high already.
    Unchanged,
    Changed,
    /// Runs cannot hold the rank, or would exceed the limit: nothing was done.
    TooLong,
}

/// The runs behind a header. An error ends them.
pub(super) fn runs(mut bytes: &[u8]) -> impl Iterator<Item = Result<Run, Corrupt>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let run = run_at(bytes, 0);
        bytes = run.map_or(&[], |run| &bytes[run.bytes..]);
        Some(run.ok_or(Corrupt))
    })
}

/// Adds a run of any length that one can have.
pub(super) fn push_run(out: &mut impl Extend<u8>, rank: u8, len: usize) {
    if rank > 0 {
        out.extend([ranked(rank, len)]);
    } else if len <= SHORT_ZERO_LEN_MAX {
        out.extend([len as u8 - 1]);
    } else {
        let len = len - 1;
        out.extend([LONG_ZERO | (len >> 8) as u8, len as u8]);
    }
}

/// Raises register `index` of a whole value, header included, of which there shall be at most `bytes_max`.
pub(super) fn raise(bytes: &mut Vec<u8>, index: usize, rank: u8, bytes_max: usize) -> Result<Written, Corrupt> {
    if rank > RANK_MAX {
        return Ok(Written::TooLong);
    }
    let (mut before, mut at, mut first) = (None, HEADER_BYTES, 0);
    let run = loop {
        let run = run_at(bytes, at).ok_or(Corrupt)?;
        if index < first + run.len {
            break run;
        }
        before = Some(at);
        at += run.bytes;
        first += run.len;
    };
    if run.rank >= rank {
        return Ok(Written::Unchanged);
    }
    let mut split: SmallVec<[u8; 8]> = SmallVec::new();
    if index > first {
        push_run(&mut split, run.rank, index - first);
    }
    push_run(&mut split, rank, 1);
    if index + 1 < first + run.len {
        push_run(&mut split, run.rank, first + run.len - index - 1);
    }
    if split.len() > run.bytes && bytes.len() + split.len() - run.bytes > bytes_max {
        return Ok(Written::TooLong);
    }
    bytes.splice(at..at + run.bytes, split);
    join(bytes, before.unwrap_or(HEADER_BYTES));
    Ok(Written::Changed)
}

/// Joins neighbours of equal rank from a run on.
fn join(bytes: &mut Vec<u8>, mut at: usize) {
    for _ in 0..JOIN_SCAN {
        let Some(run) = run_at(bytes, at) else { return };
        let next = run_at(bytes, at + run.bytes);
        match next {
            Some(next) if run.rank > 0 && next.rank == run.rank && run.len + next.len <= RANKED_LEN_MAX => {
                bytes[at] = ranked(run.rank, run.len + next.len);
                bytes.remove(at + 1);
            }
            _ => at += run.bytes,
        }
    }
}

/// The runs as text.
pub(super) fn describe(bytes: &[u8]) -> String {
    let mut text = String::new();
    for run in runs(bytes).map_while(Result::ok) {
        let space = if text.is_empty() { "" } else { " " };
        let written = match run {
            Run { rank: 0, bytes: 1, len } => write!(text, "{space}z:{len}"),
            Run { rank: 0, len, .. } => write!(text, "{space}Z:{len}"),
            Run { rank, len, .. } => write!(text, "{space}v:{rank},{len}"),
        };
        written.expect("a string takes all text");
    }
    text
}

fn ranked(rank: u8, len: usize) -> u8 {
    RANKED | (rank - 1) << 2 | (len - 1) as u8
}

/// The run at a place; `None` at the end, and when it is cut off.
fn run_at(bytes: &[u8], at: usize) -> Option<Run> {
    let first = *bytes.get(at)?;
    Some(match first {
        RANKED.. => Run { rank: (first >> 2 & 0x1f) + 1, len: usize::from(first & 3) + 1, bytes: 1 },
        LONG_ZERO.. => {
            let low = *bytes.get(at + 1)?;
            Run { rank: 0, len: (usize::from(first & 0x3f) << 8 | usize::from(low)) + 1, bytes: 2 }
        }
        _ => Run { rank: 0, len: usize::from(first) + 1, bytes: 1 },
    })
}
