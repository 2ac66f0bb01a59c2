//! Vectors as arguments: `FP32` and a blob, or `VALUES`, their number and as many decimals.

use quiver_resp::Argv;
use quiver_vector::Error;

use super::super::args::is;
use crate::error::CommandError;
use crate::number::{parse_f64, parse_i64};
use crate::types::vset::VectorSet;

pub(super) const INVALID_VECTOR: CommandError = CommandError::text("ERR invalid vector specification");
pub(super) const NOT_FINITE: CommandError =
    CommandError::text("ERR a component of the vector is not a finite 32-bit float");

/// Reads the vector that begins at `argv[at]` into `out`; the index of the word behind it.
pub(in crate::commands) fn parse_vector(argv: Argv<'_>, at: usize, out: &mut Vec<f32>) -> Result<usize, CommandError> {
    out.clear();
    let (Some(form), Some(first)) = (argv.get(at), argv.get(at + 1)) else { return Err(INVALID_VECTOR) };
    let next = if is(form, "FP32") {
        let (floats, rest) = first.as_chunks::<4>();
        if floats.is_empty() || !rest.is_empty() {
            return Err(INVALID_VECTOR);
        }
        out.extend(floats.iter().map(|x| f32::from_le_bytes(*x)));
        at + 2
    } else if is(form, "VALUES") {
        let count = parse_i64(first).and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
        // The count is a claim: only as many words as there are can follow.
        if count == 0 || count > argv.len() - (at + 2) {
            return Err(INVALID_VECTOR);
        }
        for word in argv.from(at + 2).iter().take(count) {
            out.push(parse_f64(word).ok_or(INVALID_VECTOR)? as f32);
        }
        at + 2 + count
    } else {
        return Err(INVALID_VECTOR);
    };
    if out.iter().all(|x| x.is_finite()) { Ok(next) } else { Err(NOT_FINITE) }
}

/// A vector of another length than the set's.
pub(in crate::commands) fn dim_mismatch(got: usize, set: &VectorSet) -> CommandError {
    CommandError::owned(format!("ERR Vector dimension mismatch - got {got} but set has {}", set.dim()))
}

/// A vector of another length than the set's projection takes.
pub(super) fn input_mismatch(got: usize, want: usize) -> CommandError {
    CommandError::owned(format!(
        "ERR Input dimension mismatch for projection - got {got} but projection expects {want}"
    ))
}

/// What the index has against an argument.
pub(in crate::commands) fn refused(error: Error) -> CommandError {
    CommandError::owned(format!("ERR {error}"))
}
