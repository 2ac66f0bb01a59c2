//! What pipelines do with values: read them as numbers, compare them, print them, weigh them.

use std::{borrow::Cow, cmp::Ordering};

use crate::Value;

impl Value {
    /// A text.
    pub fn text(text: impl Into<Vec<u8>>) -> Self {
        Self::Text(text.into())
    }

    /// The number it is, or that its text spells.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => parse_number(text),
            _ => None,
        }
    }

    /// Its text; numbers as they are printed.
    pub fn as_text(&self) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Number(number) => Some(Cow::Owned(number_text(*number).into_bytes())),
            _ => None,
        }
    }

    /// Whether a condition with this outcome holds.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Number(number) => *number != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(values) => !values.is_empty(),
            Self::Map(pairs) => !pairs.is_empty(),
        }
    }

    /// Order among values: of numbers where both are or spell numbers, else of texts; lists by their first difference.
    /// Whatever is missing comes before what is there.
    pub fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.total_cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Number(_), Self::Text(_)) | (Self::Text(_), Self::Number(_)) => {
                match (self.as_number(), other.as_number()) {
                    (Some(a), Some(b)) => a.total_cmp(&b),
                    _ => self.as_text().cmp(&other.as_text()),
                }
            }
            (Self::List(a), Self::List(b)) => {
                let difference = a.iter().zip(b).map(|(a, b)| a.order(b)).find(|order| order.is_ne());
                difference.unwrap_or_else(|| a.len().cmp(&b.len()))
            }
            _ => self.rank().cmp(&other.rank()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Number(_) | Self::Text(_) => 1,
            Self::List(_) => 2,
            Self::Map(_) => 3,
        }
    }

    /// Bytes of memory it takes, about.
    pub fn size(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Null | Self::Number(_) => 0,
                Self::Text(text) => text.len(),
                Self::List(values) => values.iter().map(Self::size).sum(),
                Self::Map(pairs) => pairs.iter().map(|(name, value)| name.len() + 24 + value.size()).sum(),
            }
    }

    /// Appends bytes that are equal for equal values only: what groups and distinct values are told apart by.
    pub fn identity(&self, bytes: &mut Vec<u8>) {
        let length = |bytes: &mut Vec<u8>, length: usize| bytes.extend_from_slice(&(length as u64).to_le_bytes());
        match self {
            Self::Null => bytes.push(0),
            Self::Number(number) => {
                bytes.push(1);
                // Both zeros are one number.
                let number = if *number == 0.0 { 0.0 } else { *number };
                bytes.extend_from_slice(&number.to_bits().to_le_bytes());
            }
            Self::Text(text) => {
                bytes.push(2);
                length(bytes, text.len());
                bytes.extend_from_slice(text);
            }
            Self::List(values) => {
                bytes.push(3);
                length(bytes, values.len());
                values.iter().for_each(|value| value.identity(bytes));
            }
            Self::Map(pairs) => {
                bytes.push(4);
                length(bytes, pairs.len());
                for (name, value) in pairs {
                    length(bytes, name.len());
                    bytes.extend_from_slice(name);
                    value.identity(bytes);
                }
            }
        }
    }
}

/// The number that a text spells as a whole.
pub fn parse_number(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?.trim_ascii_start();
    text.parse::<f64>().ok().filter(|number| !number.is_nan())
}

/// A number as rows show it: whole numbers without a point, others with up to twelve digits.
pub fn number_text(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    if number.fract() == 0.0 && number.abs() < 9.2e18 {
        return format!("{}", number as i64);
    }
    twelve_digits(number)
}

/// As C's `%.12g`.
fn twelve_digits(number: f64) -> String {
    let scientific = format!("{number:.11e}");
    let (digits, exponent) = scientific.split_once('e').expect("`e` is part of the format");
    let exponent: i32 = exponent.parse().expect("an exponent is a number");
    let strip = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..12).contains(&exponent) {
        let places = usize::try_from(11 - exponent).expect("the exponent is below 12");
        return strip(&format!("{number:.places$}"));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", strip(digits), exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_with_twelve_digits() {
        for (number, text) in [
            (21.0, "21"),
            (-0.0, "0"),
            (3.605_551_275_463_989, "3.60555127546"),
            (0.1 + 0.2, "0.3"),
            (1e-5, "1e-05"),
            (1.5e20, "1.5e+20"),
            (1e15 + 0.5, "1e+15"),
            (123456.789, "123456.789"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(number_text(number), text);
        }
    }

    #[test]
    fn texts_that_spell_numbers_compare_with_numbers() {
        let text = |text: &str| Value::text(text);
        assert_eq!(text("10").order(&Value::Number(9.0)), Ordering::Greater);
        assert_eq!(text("10").order(&text("9")), Ordering::Less);
        assert_eq!(text("abc").order(&Value::Number(9.0)), Ordering::Greater);
        assert_eq!(Value::Null.order(&Value::Number(f64::NEG_INFINITY)), Ordering::Less);
    }

    #[test]
    fn only_equal_values_share_an_identity() {
        let identity = |value: &Value| {
            let mut bytes = Vec::new();
            value.identity(&mut bytes);
            bytes
        };
        let texts = |texts: &[&str]| Value::List(texts.iter().map(|text| Value::text(*text)).collect());
        assert_eq!(identity(&Value::Number(0.0)), identity(&Value::Number(-0.0)));
        assert_ne!(identity(&Value::Number(1.0)), identity(&Value::text("1")));
        assert_ne!(identity(&texts(&["ab", "c"])), identity(&texts(&["a", "bc"])));
    }
}
