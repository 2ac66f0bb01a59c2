//! Numbers to text and back, as Redis writes them, without `format!` on the integer path.

use std::fmt::Write as _;

const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

/// Decimal text of an integer, on the stack.
#[derive(Clone, Copy, Debug)]
pub struct IntText {
    /// Room for a type byte, sign and 19 digits or 20 digits, then CRLF: a whole RESP line is one copy.
    bytes: [u8; Self::END + 2],
    start: u8,
}

impl IntText {
    const END: usize = 21;

    /// Text of a signed integer.
    #[must_use]
    pub fn new(value: i64) -> Self {
        let mut text = Self::unsigned(value.unsigned_abs());
        if value < 0 {
            text.start -= 1;
            text.bytes[text.start as usize] = b'-';
        }
        text
    }

    /// Text of an unsigned integer.
    #[must_use]
    pub fn unsigned(mut value: u64) -> Self {
        let mut bytes = [0; Self::END + 2];
        bytes[Self::END..].copy_from_slice(b"\r\n");
        let mut start = Self::END;
        while value >= 100 {
            let pair = (value % 100) as usize * 2;
            value /= 100;
            start -= 2;
            bytes[start..start + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
        }
        if value >= 10 {
            let pair = value as usize * 2;
            start -= 2;
            bytes[start..start + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
        } else {
            start -= 1;
            bytes[start] = b'0' + value as u8;
        }
        Self { bytes, start: start as u8 }
    }

    /// The digits.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start as usize..Self::END]
    }

    /// Appends `kind`, the digits and CRLF.
    pub(crate) fn push_line(mut self, out: &mut Vec<u8>, kind: u8) {
        let first = self.start as usize - 1;
        self.bytes[first] = kind;
        out.extend_from_slice(&self.bytes[first..]);
    }
}

/// Appends `kind`, the number and CRLF: the header of every RESP frame.
#[inline]
pub(crate) fn push_header(out: &mut Vec<u8>, kind: u8, n: u64) {
    if n < 10 {
        out.extend_from_slice(&[kind, b'0' + n as u8, b'\r', b'\n']);
    } else if n < 100 {
        let pair = n as usize * 2;
        out.extend_from_slice(&[kind, PAIRS[pair], PAIRS[pair + 1], b'\r', b'\n']);
    } else {
        IntText::unsigned(n).push_line(out, kind);
    }
}

/// A signed decimal integer in Redis' strict sense: no spaces, no `+`, no leading zeros, no `-0`, within i64.
#[must_use]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [] => return None,
        [b'0', ..] => return (text == b"0").then_some(0),
        _ if digits.len() > 19 => return None,
        _ => {}
    }
    let mut value: u64 = 0; // 19 digits stay below 2^64.
    for &digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    if negative { 0i64.checked_sub_unsigned(value) } else { i64::try_from(value).ok() }
}

/// Text of a double as Redis 8 replies it: integers below 2^62 plainly, else the shortest digits that read back
/// equal, with an exponent (`1e+21`, `1.5e-7`) where zeros would be many. `inf`, `-inf`, `nan`.
#[derive(Clone, Debug)]
pub struct DoubleText {
    bytes: [u8; 40],
    len: u8,
}

impl DoubleText {
    /// Text of `value`.
    #[must_use]
    pub fn new(value: f64) -> Self {
        const INTEGER_MAX: f64 = 4_611_686_018_427_387_904.0;
        let mut text = Self { bytes: [0; 40], len: 0 };
        if value.is_nan() {
            text.push(b"nan");
        } else if value.is_infinite() {
            text.push(if value > 0.0 { b"inf" } else { b"-inf" });
        } else if value == 0.0 {
            text.push(if value.is_sign_negative() { b"-0" } else { b"0" });
        } else if value.abs() <= INTEGER_MAX && value == value.trunc() {
            text.push(IntText::new(value as i64).as_bytes());
        } else {
            text.shortest(value);
        }
        text
    }

    /// The characters.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }

    fn push(&mut self, bytes: &[u8]) {
        let len = self.len as usize;
        self.bytes[len..len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len() as u8;
    }

    fn zeros(&mut self, count: i32) {
        for _ in 0..count {
            self.push(b"0");
        }
    }

    /// Lays out digits d1..dn with value d1...dn * 10^k. The thresholds (7 zeros at either end) are Redis' own.
    fn shortest(&mut self, value: f64) {
        let (digits, n, first_exponent) = digits_of(value.abs());
        let digits = &digits[..n];
        let n = n as i32;
        let k = first_exponent - (n - 1);
        if value < 0.0 {
            self.push(b"-");
        }
        if k >= 0 && first_exponent < n + 7 {
            self.push(digits);
            self.zeros(k);
        } else if k < 0 && (k > -7 || first_exponent.abs() < 4) {
            if first_exponent < 0 {
                self.push(b"0.");
                self.zeros(-first_exponent - 1);
                self.push(digits);
            } else {
                let (whole, fraction) = digits.split_at(first_exponent as usize + 1);
                self.push(whole);
                self.push(b".");
                self.push(fraction);
            }
        } else {
            self.push(&digits[..1]);
            if n > 1 {
                self.push(b".");
                self.push(&digits[1..]);
            }
            self.push(if first_exponent < 0 { b"e-" } else { b"e+" });
            self.push(IntText::new(i64::from(first_exponent.abs())).as_bytes());
        }
    }
}

/// Shortest digits of a positive finite number, their count, and the decimal exponent of the first.
fn digits_of(value: f64) -> ([u8; 17], usize, i32) {
    let mut scientific = Stack { bytes: [0; 32], len: 0 };
    write!(scientific, "{value:e}").expect("17 digits and an exponent fit in 32 bytes");
    let (mut digits, mut n) = ([0; 17], 0);
    let text = &scientific.bytes[..scientific.len];
    let e = text.iter().position(|&byte| byte == b'e').expect("the {:e} form has an exponent");
    for &byte in text[..e].iter().filter(|byte| byte.is_ascii_digit()) {
        digits[n] = byte;
        n += 1;
    }
    let exponent = parse_i64(&text[e + 1..]).expect("the {:e} form ends in an integer");
    (digits, n, exponent as i32)
}

struct Stack {
    bytes: [u8; 32],
    len: usize,
}

impl std::fmt::Write for Stack {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.len + text.len();
        let room = self.bytes.get_mut(self.len..end).ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Replies of Redis 8.0.2 to ZSCORE.
    #[test]
    fn doubles_read_as_redis_prints_them() {
        let table: &[(f64, &str)] = &[
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (0.1, "0.1"),
            (1.5, "1.5"),
            (1e18, "1000000000000000000"),
            (9e18, "9e+18"),
            (1e21, "1e+21"),
            (123456789012345680000.0, "123456789012345680000"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (1.5e-7, "1.5e-7"),
            (1.234e-5, "1.234e-5"),
            (0.0001234567, "1.234567e-4"),
            (123456789.123, "123456789.123"),
            (12345678901234567.0, "12345678901234568"),
            (std::f64::consts::PI, "3.141592653589793"),
            (-2.5e-10, "-2.5e-10"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (4611686018427387904.0, "4611686018427387904"),
            (9223372036854775807.0, "9223372036854776000"),
            (1.1e19, "1.1e+19"),
            (1.23e25, "1.23e+25"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ];
        for (value, text) in table {
            assert_eq!(DoubleText::new(*value).as_bytes(), text.as_bytes());
        }
    }

    #[test]
    fn integers_are_strict() {
        for text in ["", "-", "+1", "01", "-0", "00", " 1", "1 ", "1x", "9223372036854775808", "99999999999999999999"] {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_i64(b"-9223372036854775808"), Some(i64::MIN));
    }

    proptest! {
        #[test]
        fn integers_round_trip(value: i64) {
            let text = IntText::new(value);
            prop_assert_eq!(text.as_bytes().to_vec(), value.to_string().into_bytes());
            prop_assert_eq!(parse_i64(text.as_bytes()), Some(value));
        }

        #[test]
        fn finite_doubles_read_back_equal(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let text = DoubleText::new(value);
            let back: f64 = std::str::from_utf8(text.as_bytes()).unwrap().parse().unwrap();
            prop_assert_eq!(back.to_bits(), bits);
        }
    }
}
