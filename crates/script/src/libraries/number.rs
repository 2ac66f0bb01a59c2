//! Numbers as C's `printf("%.Ng")` writes and `strtod` reads them: what Lua and its libraries show of a number.
//!
//! Invariant: [`write_g`] and [`parse_prefix`] agree with the C library in the C locale, byte for byte and for every
//! prefix; only the digits of a NaN's payload are not read.

/// Appends a number with at most `precision` significant digits, without trailing zeros, in the shorter notation.
pub(crate) fn write_g(out: &mut Vec<u8>, number: f64, precision: usize) {
    const EXACT: f64 = 1e14;
    if precision >= 14 && number.fract() == 0.0 && number.abs() < EXACT && (number != 0.0 || number.is_sign_positive())
    {
        write_integer(out, number as i64);
    } else if number.is_nan() {
        out.extend_from_slice(if number.is_sign_negative() { b"-nan" } else { b"nan" });
    } else if number.is_infinite() {
        out.extend_from_slice(if number < 0.0 { b"-inf" } else { b"inf" });
    } else {
        write_digits(out, number, precision.max(1));
    }
}

/// Appends an integer.
pub(crate) fn write_integer(out: &mut Vec<u8>, number: i64) {
    let (mut digits, mut at, mut rest) = ([0; 20], 20, number.unsigned_abs());
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

fn write_digits(out: &mut Vec<u8>, number: f64, precision: usize) {
    // Rounding to the precision decides the exponent, and the exponent the notation.
    let scientific = format!("{number:.*e}", precision - 1);
    let (mantissa, exponent) = scientific.split_once('e').expect("the format has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent is a number");
    if exponent < -4 || exponent >= precision as i32 {
        out.extend_from_slice(without_zeros(mantissa).as_bytes());
        let sign = if exponent < 0 { '-' } else { '+' };
        out.extend_from_slice(format!("e{sign}{:02}", exponent.abs()).as_bytes());
    } else {
        let decimals = (precision as i32 - 1 - exponent) as usize;
        out.extend_from_slice(without_zeros(&format!("{number:.decimals$}")).as_bytes());
    }
}

fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// Reads the longest number at the start of `text`, as `strtod` does without its leading spaces: its value and its
/// length in bytes.
pub(crate) fn parse_prefix(text: &[u8]) -> Option<(f64, usize)> {
    let signed = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let negative = text.first() == Some(&b'-');
    let (value, length) = parse_magnitude(&text[signed..])?;
    Some((if negative { -value } else { value }, signed + length))
}

fn parse_magnitude(text: &[u8]) -> Option<(f64, usize)> {
    let begins = |word: &[u8]| text.len() >= word.len() && text[..word.len()].eq_ignore_ascii_case(word);
    if begins(b"infinity") {
        Some((f64::INFINITY, 8))
    } else if begins(b"inf") {
        Some((f64::INFINITY, 3))
    } else if begins(b"nan") {
        Some((f64::NAN, 3 + payload_length(&text[3..])))
    } else if begins(b"0x") {
        // Without a digit behind it the `x` is not part of the number.
        Some(parse_hex(&text[2..]).map_or((0.0, 1), |(value, length)| (value, 2 + length)))
    } else {
        parse_decimal(text)
    }
}

/// Length of `(...)` behind `nan`.
fn payload_length(text: &[u8]) -> usize {
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    match text.first() {
        Some(b'(') => {
            let inner = text[1..].iter().take_while(|byte| word(byte)).count();
            if text.get(1 + inner) == Some(&b')') { inner + 2 } else { 0 }
        }
        _ => 0,
    }
}

fn parse_decimal(text: &[u8]) -> Option<(f64, usize)> {
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(0);
    let mut end = whole;
    let mut fraction = 0;
    if text.get(end) == Some(&b'.') {
        fraction = digits(end + 1);
        end += 1 + fraction;
    }
    if whole + fraction == 0 {
        return None;
    }
    end += exponent_length(&text[end..], b'e');
    let number = std::str::from_utf8(&text[..end]).expect("only ASCII was taken");
    Some((number.parse().expect("digits, a point and an exponent"), end))
}

/// Length of an exponent with at least one digit.
fn exponent_length(text: &[u8], letter: u8) -> usize {
    if text.first().is_none_or(|byte| byte.to_ascii_lowercase() != letter) {
        return 0;
    }
    let signed = usize::from(matches!(text.get(1), Some(b'-' | b'+')));
    let digits = text[1 + signed..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 { 0 } else { 1 + signed + digits }
}

/// Digits, point and binary exponent behind `0x`. More than 60 bits of mantissa only count by their size and by not
/// being zero, which is all that rounding asks of them.
fn parse_hex(text: &[u8]) -> Option<(f64, usize)> {
    let (mut mantissa, mut scale, mut at, mut any, mut point) = (0u64, 0i64, 0, false, false);
    while let Some(byte) = text.get(at) {
        if *byte == b'.' && !point {
            point = true;
        } else if let Some(digit) = (*byte as char).to_digit(16) {
            any = true;
            if mantissa >> 58 == 0 {
                mantissa = mantissa << 4 | u64::from(digit);
                scale -= if point { 4 } else { 0 };
            } else {
                mantissa |= u64::from(digit != 0);
                scale += if point { 0 } else { 4 };
            }
        } else {
            break;
        }
        at += 1;
    }
    if !any {
        return None;
    }
    let length = exponent_length(&text[at..], b'p');
    if length > 0 {
        let exponent = std::str::from_utf8(&text[at + 1..at + length]).expect("only ASCII was taken");
        let exponent: i64 = exponent.parse().unwrap_or(if exponent.starts_with('-') { -100_000 } else { 100_000 });
        scale = scale.saturating_add(exponent);
    }
    Some((scaled(mantissa, scale), at + length))
}

/// `mantissa * 2^scale`, rounded once.
fn scaled(mantissa: u64, scale: i64) -> f64 {
    if mantissa == 0 {
        return 0.0;
    }
    let top = 64 - i64::from(mantissa.leading_zeros());
    if top + scale > 1024 {
        return f64::INFINITY;
    }
    if top + scale < -1074 {
        return 0.0;
    }
    // What would be rounded twice below the smallest normal number is rounded here first.
    let lost = (-1074 - scale).clamp(0, 63) as u32;
    let kept = if top + scale <= -1021 && lost > 0 { round_half_even(mantissa, lost) } else { mantissa };
    let scale = if kept == mantissa { scale } else { scale + i64::from(lost) };
    let half = (scale / 2) as i32;
    kept as f64 * 2f64.powi(half) * 2f64.powi(scale as i32 - half)
}

fn round_half_even(value: u64, bits: u32) -> u64 {
    let (quotient, rest, half) = (value >> bits, value & ((1 << bits) - 1), 1u64 << (bits - 1));
    quotient + u64::from(rest > half || (rest == half && quotient & 1 == 1))
}

/// A number as C casts it to 64 bits: what does not fit becomes the smallest.
pub(crate) fn to_i64(number: f64) -> i64 {
    const END: f64 = 9_223_372_036_854_775_808.0;
    if number >= -END && number < END { number as i64 } else { i64::MIN }
}

/// A number as Lua gives it to C functions that want an `int`: the low half of [`to_i64`].
pub(crate) fn to_i32(number: f64) -> i32 {
    to_i64(number) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn g(number: f64, precision: usize) -> String {
        let mut out = Vec::new();
        write_g(&mut out, number, precision);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_written_as_c_writes_them() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-17.0, "-17"),
            (0.1, "0.1"),
            (1e13, "10000000000000"),
            (1e14, "1e+14"),
            (123_456_789_012_345.0, "1.2345678901234e+14"),
            (1e100, "1e+100"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (3.141_592_653_589_793, "3.1415926535898"),
            (0.1 + 0.2, "0.3"),
            (99_999_999_999_999.5, "1e+14"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (number, text) in cases {
            assert_eq!(g(number, 14), text);
        }
        assert_eq!(g(3.7, 1), "4");
        assert_eq!(g(1234.0, 3), "1.23e+03");
    }

    #[test]
    fn numbers_are_read_as_far_as_c_reads_them() {
        let cases: &[(&str, Option<(f64, usize)>)] = &[
            ("12abc", Some((12.0, 2))),
            ("-1.5e3,", Some((-1500.0, 6))),
            ("1e", Some((1.0, 1))),
            ("1e+", Some((1.0, 1))),
            (".5", Some((0.5, 2))),
            ("5.", Some((5.0, 2))),
            (".", None),
            ("-", None),
            ("", None),
            ("0x10", Some((16.0, 4))),
            ("0x", Some((0.0, 1))),
            ("0x1p4", Some((16.0, 5))),
            ("0x.8", Some((0.5, 4))),
            ("0x1p-1074", Some((5e-324, 9))),
            ("0x1p99999", Some((f64::INFINITY, 9))),
            ("infinity", Some((f64::INFINITY, 8))),
            ("-Inf]", Some((f64::NEG_INFINITY, 4))),
            ("1e400", Some((f64::INFINITY, 5))),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_prefix(text.as_bytes()), *expected, "{text}");
        }
        assert!(parse_prefix(b"nan(12)x").is_some_and(|(value, length)| value.is_nan() && length == 7));
    }

    #[test]
    fn a_number_that_does_not_fit_becomes_the_smallest() {
        assert_eq!(to_i64(9.3e18), i64::MIN);
        assert_eq!(to_i64(f64::NAN), i64::MIN);
        assert_eq!(to_i64(-1.9), -1);
        assert_eq!(to_i32(4_294_967_297.0), 1);
        assert_eq!(to_i32(1e300), 0);
    }
}
