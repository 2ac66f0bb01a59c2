//! Ends of score ranges, which Redis reads more freely than other numbers: as C's `strtod` does.

use crate::number::parse_f64;

/// A double as `strtod` reads it from a whole word: spaces before it are allowed, what is too great is infinite, and
/// nothing is zero. Not NaN.
pub(super) fn c_double(text: &[u8]) -> Option<f64> {
    // A C string ends at its first zero byte.
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some(0.0);
    }
    parse_f64(text.trim_ascii_start())
}
