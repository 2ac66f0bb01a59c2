//! Numbers as the commands of this family read them, which is not one way.

use crate::error::CommandError;
use crate::number::parse_f64;

/// A double as Redis reads scores, weights and degrees: what is not zero must not become zero, and only what says so is
/// infinite.
pub(crate) fn parse_double(text: &[u8]) -> Option<f64> {
    let number = parse_f64(text)?;
    let is_hex = text.iter().any(|byte| matches!(byte, b'x' | b'X'));
    let exponent = if is_hex { b"pP" } else { b"eE" };
    let mut mantissa = text.iter().take_while(|byte| !exponent.contains(byte));
    let fits = if number == 0.0 {
        !mantissa.any(|byte| matches!(byte, b'1'..=b'9' | b'a'..=b'f' | b'A'..=b'F'))
    } else {
        number.is_finite() || !mantissa.any(u8::is_ascii_digit)
    };
    fits.then_some(number)
}

/// A double argument.
pub(crate) fn double(text: &[u8]) -> Result<f64, CommandError> {
    parse_double(text).ok_or(CommandError::NotFloat)
}

/// An end of a range of scores: decimal only, nothing is zero, and what is too great is infinite.
pub(super) fn parse_end(text: &[u8]) -> Option<f64> {
    if text.is_empty() {
        return Some(0.0);
    }
    let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (!number.is_nan()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replies of Redis 8.0.2 to ZADD and ZCOUNT.
    #[test]
    fn doubles_are_read_as_redis_reads_them() {
        for text in ["1e400", "-1e400", "1e-400", "0x1p-2000", "1e", " 1", "1 ", "nan", "", "abc", "infin"] {
            assert_eq!(parse_double(text.as_bytes()), None, "{text}");
        }
        for (text, number) in [("0x10", 16.0), ("+2", 2.0), ("5.", 5.0), (".5", 0.5), ("0e5", 0.0), ("5e-324", 5e-324)]
        {
            assert_eq!(parse_double(text.as_bytes()), Some(number), "{text}");
        }
        assert_eq!(parse_double(b"-Infinity"), Some(f64::NEG_INFINITY));
        for (text, number) in [("", 0.0), ("1e400", f64::INFINITY), ("1e-400", 0.0), ("-inf", f64::NEG_INFINITY)] {
            assert_eq!(parse_end(text.as_bytes()), Some(number), "{text}");
        }
        for text in [" 1", "1 ", "0x1", "nan", "1x"] {
            assert_eq!(parse_end(text.as_bytes()), None, "{text}");
        }
    }
}
