//! Numbers as Redis reads and prints them.
//!
//! Integers are canonical decimal (no plus sign, no leading zeros, no spaces), as `string2ll` demands; anything else
//! stays a string. Sums of floats are `extended.rs`'s, replies with floats crate `resp`'s.

pub use quiver_resp::{IntText, parse_i64};

/// An unsigned decimal, or `None`.
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Longest text of a float.
const FLOAT_BYTES_MAX: usize = 5 * 1024;

/// A finite or infinite float (never NaN) as the C library reads it, without surrounding spaces.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    if text.is_empty() || text.len() > FLOAT_BYTES_MAX {
        return None;
    }
    let lower = text.trim_start_matches(['+', '-']);
    if lower.len() > 2 && lower.as_bytes()[0] == b'0' && lower.as_bytes()[1] | 32 == b'x' {
        return parse_hex_float(text);
    }
    let value: f64 = text.parse().ok()?;
    (!value.is_nan()).then_some(value)
}

/// Hexadecimal floats ("0x1p3"), which strtod accepts.
fn parse_hex_float(text: &str) -> Option<f64> {
    let (sign, body) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let body = &body[2..];
    let (mantissa, exponent) = match body.find(['p', 'P']) {
        Some(at) => (&body[..at], body[at + 1..].parse::<i32>().ok()?),
        None => (body, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0f64;
    for digit in whole.chars() {
        value = value * 16.0 + f64::from(digit.to_digit(16)?);
    }
    let mut scale = 1.0 / 16.0;
    for digit in fraction.chars() {
        value += f64::from(digit.to_digit(16)?) * scale;
        scale /= 16.0;
    }
    Some(sign * value * 2f64.powi(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_parse_as_the_c_library_does() {
        assert_eq!(parse_f64(b"0x1p3"), Some(8.0));
        assert_eq!(parse_f64(b"-0x.8"), Some(-0.5));
        assert_eq!(parse_f64(b"inf"), Some(f64::INFINITY));
        assert_eq!(parse_f64(b"1e3"), Some(1000.0));
        for text in ["nan", "", "1 ", " 1", "abc", "0x"] {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text}");
        }
    }
}
