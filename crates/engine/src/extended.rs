//! Sums in the 80-bit floating point format, for INCRBYFLOAT and its relatives.
//!
//! Redis adds in the x87 format (a 64-bit mantissa) and prints seventeen digits behind the point, so that 0.1 + 0.2 is
//! 0.3 where 64-bit floats say 0.30000000000000004. The same sums are done here in integers on every processor:
//! reading, adding and printing each round once, to nearest, ties to even (IEEE 754 sections 4.3 and 5.4).
//!
//! A number is mantissa times 2^exponent with the mantissa's top bit set. Deliberately absent: NaN (nothing reads as
//! one, and opposite infinities count as not finite) and subnormal numbers (all print as 0, so they are 0).

/// Longest text that is read, as in Redis.
const TEXT_MAX: usize = 5 * 1024;

/// Largest power of two of a leading bit, and the smallest that is not rounded away altogether.
const TOP_MAX: i64 = 16_383;
const TOP_MIN_NORMAL: i64 = -16_382;
const TOP_MIN: i64 = -16_446;

/// Ten to the digits printed behind the point.
const FRACTION: u128 = 100_000_000_000_000_000;

/// A limb's worth of decimal digits.
const CHUNK: u64 = 1_000_000_000;

/// A number of the 80-bit format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extended {
    negative: bool,
    mantissa: u64,
    exponent: i32,
}

impl Extended {
    /// Zero.
    pub const ZERO: Self = Self { negative: false, mantissa: 0, exponent: 0 };
    const INFINITY: Self = Self { negative: false, mantissa: 1 << 63, exponent: i32::MAX };

    /// Reads a decimal or hexadecimal number or an infinity as the C library does; `None` for anything else, for NaN,
    /// and for what is too large or too small to be told from infinity or zero.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.is_empty() || text.len() >= TEXT_MAX {
            return None;
        }
        let (negative, body) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let size = if body.eq_ignore_ascii_case(b"inf") || body.eq_ignore_ascii_case(b"infinity") {
            Self::INFINITY
        } else if let [b'0', b'x' | b'X', rest @ ..] = body {
            parse_hexadecimal(rest)?
        } else {
            parse_decimal(body)?
        };
        Some(Self { negative, ..size })
    }

    /// Whether it is a number and not an infinity.
    pub const fn is_finite(self) -> bool {
        self.exponent != i32::MAX
    }

    /// The sum, rounded once. Not finite when either is not, or when it is too large.
    pub fn plus(self, other: Self) -> Self {
        if self.mantissa == 0 || !other.is_finite() {
            return other;
        }
        if other.mantissa == 0 || !self.is_finite() {
            return self;
        }
        let swap = (self.exponent, self.mantissa) < (other.exponent, other.mantissa);
        let (large, small) = if swap { (other, self) } else { (self, other) };
        // 63 bits below the larger mantissa, one above for the carry; what falls off below is remembered as one bit.
        let wide = u128::from(small.mantissa) << 63;
        let distance = large.exponent.abs_diff(small.exponent);
        let aligned = wide.checked_shr(distance).unwrap_or(0);
        let lost = aligned.checked_shl(distance).unwrap_or(0) != wide;
        let first = u128::from(large.mantissa) << 63;
        let sum = if large.negative == small.negative { first + aligned } else { first - aligned - u128::from(lost) };
        let exponent = i64::from(large.exponent) - 63;
        Self { negative: large.negative && sum != 0, ..rounded(sum, lost, exponent).unwrap_or(Self::ZERO) }
    }

    /// The number of the other sign.
    pub const fn negated(self) -> Self {
        Self { negative: !self.negative, ..self }
    }

    /// Whether it is greater than another.
    pub fn exceeds(self, other: Self) -> bool {
        if !self.is_finite() || !other.is_finite() {
            let rank = |number: Self| match (number.is_finite(), number.negative) {
                (true, _) => 0,
                (false, negative) => {
                    if negative {
                        -1
                    } else {
                        1
                    }
                }
            };
            return rank(self) > rank(other);
        }
        let difference = self.plus(other.negated());
        difference.mantissa != 0 && !difference.negative
    }

    /// Fixed notation with at most seventeen digits behind the point and no trailing zeros. Of a finite number only.
    pub fn text(self) -> String {
        debug_assert!(self.is_finite(), "callers refuse infinities");
        let mut text = if self.exponent >= 0 {
            Big::from_u64(self.mantissa).shifted_left(self.exponent.unsigned_abs()).into_decimal()
        } else {
            let scaled = u128::from(self.mantissa) * FRACTION;
            let scaled = shift_right_even(scaled, self.exponent.unsigned_abs());
            let fraction = format!("{:017}", scaled % FRACTION);
            let (whole, fraction) = (scaled / FRACTION, fraction.trim_end_matches('0'));
            if fraction.is_empty() { whole.to_string() } else { format!("{whole}.{fraction}") }
        };
        if self.negative && text != "0" {
            text.insert(0, '-');
        }
        text
    }
}

impl From<i64> for Extended {
    fn from(value: i64) -> Self {
        let size = rounded(u128::from(value.unsigned_abs()), false, 0).unwrap_or(Self::ZERO);
        Self { negative: value < 0, ..size }
    }
}

/// The nearest number to `bits` times 2^exponent, where `more` says that something below `bits` was lost (then `bits`
/// has more than 64 of them). Infinity above the format, `None` below it.
fn rounded(bits: u128, more: bool, exponent: i64) -> Option<Extended> {
    if bits == 0 {
        return Some(Extended::ZERO);
    }
    let excess = 64 - i64::from(bits.leading_zeros());
    let (mut mantissa, mut exponent) = if excess <= 0 {
        (bits << excess.unsigned_abs(), exponent + excess)
    } else {
        let kept = bits >> excess;
        let rest = bits - (kept << excess);
        let half = 1u128 << (excess - 1);
        let up = rest > half || rest == half && (more || kept & 1 == 1);
        (kept + u128::from(up), exponent + excess)
    };
    if mantissa >> 64 != 0 {
        mantissa >>= 1;
        exponent += 1;
    }
    let top = exponent + 63;
    if top > TOP_MAX {
        Some(Extended::INFINITY)
    } else if top >= TOP_MIN_NORMAL {
        Some(Extended { negative: false, mantissa: mantissa as u64, exponent: exponent as i32 })
    } else {
        (top >= TOP_MIN).then_some(Extended::ZERO)
    }
}

/// `value` / 2^`by`, to nearest, ties to even.
fn shift_right_even(value: u128, by: u32) -> u128 {
    // The mantissa times FRACTION has at most 121 bits.
    if by > 125 {
        return 0;
    }
    let kept = value >> by;
    let (rest, half) = (value - (kept << by), 1u128 << (by - 1));
    kept + u128::from(rest > half || rest == half && kept & 1 == 1)
}

/// Splits `text` at its exponent letter; digits before it, the exponent behind it.
fn split_exponent(text: &[u8], letter: u8) -> Option<(&[u8], i64)> {
    const FAR: i64 = 1_000_000;
    let Some(at) = text.iter().position(|byte| byte.to_ascii_lowercase() == letter) else { return Some((text, 0)) };
    let (negative, digits) = match &text[at + 1..] {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = digits.iter().fold(0, |sum: i64, digit| (sum * 10 + i64::from(digit - b'0')).min(FAR));
    Some((&text[..at], if negative { -size } else { size }))
}

/// The values of the digits around an optional point, leading zeros dropped, and how many stood behind the point.
fn digits_of(text: &[u8], radix: u32) -> Option<(Vec<u32>, i64)> {
    let (mut digits, mut behind, mut point, mut any) = (Vec::new(), 0, false, false);
    for byte in text {
        if *byte == b'.' && !point {
            point = true;
            continue;
        }
        let digit = char::from(*byte).to_digit(radix)?;
        any = true;
        behind += i64::from(point);
        if digit != 0 || !digits.is_empty() {
            digits.push(digit);
        }
    }
    any.then_some((digits, behind))
}

fn parse_decimal(text: &[u8]) -> Option<Extended> {
    let (digits, exponent) = split_exponent(text, b'e')?;
    let (digits, behind) = digits_of(digits, 10)?;
    if digits.is_empty() {
        return Some(Extended::ZERO);
    }
    let exponent = exponent - behind;
    // Far outside of the format, without computing powers of ten.
    if !(-5_000..5_000).contains(&(exponent + digits.len() as i64)) {
        return None;
    }
    let mut number = Big::default();
    for digit in digits {
        number.multiply_add(10, digit);
    }
    let power = exponent.unsigned_abs() as u32;
    let (mut binary_exponent, mut more) = (0, false);
    if exponent >= 0 {
        number.multiply_by_ten_to(power);
    } else {
        // Room for 70 bits of quotient: ten has less than 3.33 bits.
        let room = 70 + u64::from(power) * 333 / 100;
        let limbs = room.saturating_sub(number.bits()) / 32 + 1;
        number.push_low_zeros(limbs as usize);
        binary_exponent = -32 * limbs as i64;
        more = number.divide_by_ten_to(power);
    }
    let (bits, shift, lost) = number.top();
    rounded(bits, more || lost, binary_exponent + shift).filter(|number| number.is_finite())
}

fn parse_hexadecimal(text: &[u8]) -> Option<Extended> {
    let (digits, exponent) = split_exponent(text, b'p')?;
    let (digits, behind) = digits_of(digits, 16)?;
    let mut number = Big::default();
    for digit in digits {
        number.multiply_add(16, digit);
    }
    let (bits, shift, lost) = number.top();
    rounded(bits, lost, exponent - 4 * behind + shift).filter(|number| number.is_finite())
}

/// A natural number of any size, lowest limb first, no zero limb at the top.
#[derive(Clone, Debug, Default)]
struct Big(Vec<u32>);

impl Big {
    fn from_u64(value: u64) -> Self {
        let mut limbs = vec![value as u32, (value >> 32) as u32];
        while limbs.last() == Some(&0) {
            limbs.pop();
        }
        Self(limbs)
    }

    fn bits(&self) -> u64 {
        self.0.last().map_or(0, |top| self.0.len() as u64 * 32 - u64::from(top.leading_zeros()))
    }

    fn multiply_add(&mut self, factor: u64, summand: u32) {
        let mut carry = u64::from(summand);
        for limb in &mut self.0 {
            carry += u64::from(*limb) * factor;
            *limb = carry as u32;
            carry >>= 32;
        }
        if carry != 0 {
            self.0.push(carry as u32);
        }
    }

    /// Divides in place; gives the remainder.
    fn divide(&mut self, divisor: u64) -> u64 {
        let mut rest = 0;
        for limb in self.0.iter_mut().rev() {
            let value = (rest << 32) | u64::from(*limb);
            *limb = (value / divisor) as u32;
            rest = value % divisor;
        }
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
        rest
    }

    fn multiply_by_ten_to(&mut self, power: u32) {
        for _ in 0..power / 9 {
            self.multiply_add(CHUNK, 0);
        }
        self.multiply_add(10u64.pow(power % 9), 0);
    }

    /// Divides by a power of ten, rounding down; whether there was a remainder.
    fn divide_by_ten_to(&mut self, power: u32) -> bool {
        let mut inexact = false;
        for _ in 0..power / 9 {
            inexact |= self.divide(CHUNK) != 0;
        }
        self.divide(10u64.pow(power % 9)) != 0 || inexact
    }

    fn push_low_zeros(&mut self, limbs: usize) {
        self.0.splice(0..0, std::iter::repeat_n(0, limbs));
    }

    fn shifted_left(mut self, by: u32) -> Self {
        self.multiply_add(1 << (by % 32), 0);
        if !self.0.is_empty() {
            self.push_low_zeros(by as usize / 32);
        }
        self
    }

    /// The top bits (all of them, or 97 to 128), the power of two they stand at, and whether others were left out.
    fn top(&self) -> (u128, i64, bool) {
        let from = self.0.len().saturating_sub(4);
        let bits = self.0[from..].iter().rev().fold(0, |bits, limb| (bits << 32) | u128::from(*limb));
        (bits, from as i64 * 32, self.0[..from].iter().any(|limb| *limb != 0))
    }

    fn into_decimal(mut self) -> String {
        let mut chunks = Vec::new();
        while !self.0.is_empty() {
            chunks.push(self.divide(CHUNK));
        }
        let Some(first) = chunks.pop() else { return "0".to_owned() };
        chunks.iter().rev().fold(first.to_string(), |text, chunk| format!("{text}{chunk:09}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(a: &str, b: &str) -> Option<String> {
        let sum = Extended::parse(a.as_bytes())?.plus(Extended::parse(b.as_bytes())?);
        sum.is_finite().then(|| sum.text())
    }

    #[test]
    fn sums_are_those_of_redis() {
        for (a, b, wanted) in [
            ("0.1", "0.2", "0.3"),
            ("10.5", "0.1", "10.6"),
            ("1", "-0.9", "0.1"),
            ("0.1", "1e-17", "0.10000000000000001"),
            ("123456789.123456789", "0.1", "123456789.22345678899728227"),
            ("1e17", "0.1", "100000000000000000.1015625"),
            ("9223372036854775808", "3.0", "9223372036854775811"),
            ("-9223372036854775808", "1.5", "-9223372036854775806.5"),
            ("18446744073709551615", "2", "18446744073709551616"),
            ("1e30", "1", "1000000000000000000024696061952"),
            ("5e-18", "0", "0"),
            ("1.5e-17", "0", "0.00000000000000002"),
            ("2.5e-17", "0", "0.00000000000000002"),
            ("-1e-18", "0", "0"),
            ("0x1p3", "0x.8", "8.5"),
            ("1.", "+.5", "1.5"),
            ("99999999999999999999.5", "0.5", "100000000000000000000"),
            ("3.0e3", "-2999.9", "0.10000000000000009"),
            ("-524.070745816", "-0.739154407829715", "-524.80990022382971499"),
            ("1e-4000", "0.3333333333333333333333333333333333", "0.33333333333333333"),
        ] {
            assert_eq!(sum(a, b).as_deref(), Some(wanted), "{a} + {b}");
            assert_eq!(sum(b, a).as_deref(), Some(wanted), "{b} + {a}");
        }
    }

    #[test]
    fn infinities_and_overflow_are_not_finite() {
        for (a, b) in [("inf", "1"), ("1", "-Infinity"), ("inf", "-inf"), ("1e4932", "1e4932")] {
            assert_eq!(sum(a, b), None, "{a} + {b}");
            assert!(Extended::parse(a.as_bytes()).is_some());
        }
    }

    #[test]
    fn what_is_no_number_or_outside_of_the_format_is_refused() {
        for text in ["", "nan", "abc", " 1", "1 ", "1e", "1e5x", "0x", "0x1p", ".", "+-1", "1_0", "1e5000", "1e-6000"] {
            assert_eq!(Extended::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(Extended::parse(&[b'1'; TEXT_MAX]), None);
    }

    proptest! {
        #[test]
        fn integers_add_exactly(a in -(1i64 << 61)..1 << 61, b in -(1i64 << 61)..1 << 61) {
            prop_assert_eq!(Extended::from(a).plus(Extended::from(b)).text(), (a + b).to_string());
        }

        #[test]
        fn every_f64_that_fits_the_print_reads_back(bits in -(1i64 << 52)..1 << 52, power in 0u32..17) {
            let value = bits as f64 / f64::from(1 << power);
            let read = Extended::parse(format!("{value:?}").as_bytes()).expect("Rust prints decimals");
            prop_assert_eq!(read.text().parse::<f64>().expect("a decimal"), value);
            prop_assert_eq!(read.plus(Extended::ZERO), read);
        }

        #[test]
        fn subtracting_what_was_added_to_nothing_leaves_nothing(text in "-?[0-9]{1,30}(\\.[0-9]{0,30})?(e-?[0-9]{1,3})?") {
            let value = Extended::parse(text.as_bytes()).expect("the grammar of decimals");
            let opposite = Extended { negative: !value.negative, ..value };
            prop_assert_eq!(value.plus(opposite).text(), "0");
        }

        #[test]
        fn any_bytes_are_read_or_refused(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Some(value) = Extended::parse(&text) {
                prop_assert!(!value.is_finite() || !value.text().is_empty());
            }
        }
    }
}
