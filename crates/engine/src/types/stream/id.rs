//! Ids of stream entries: a time in milliseconds and a number within it, written `ms-seq`.
//!
//! Parsing follows Redis down to its C library: a part that is no plain integer is read as `strtoull` does, and what
//! stands behind a NUL is not seen.

use crate::number::{parse_i64, parse_u64};

/// Longest text that is looked at.
const TEXT_MAX: usize = 127;

/// Digits of the largest part.
const DIGITS_MAX: usize = 20;

/// An id; ids order entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// Unix time, ms.
    pub ms: u64,
    /// Number within the millisecond.
    pub seq: u64,
}

/// What XADD asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// `*`: from the clock.
    Auto,
    /// `ms-*`: the next number within a millisecond.
    Within(u64),
    /// Exactly this one.
    Exact(Id),
}

impl Id {
    /// Before every entry: no entry has it.
    pub const MIN: Self = Self { ms: 0, seq: 0 };
    /// The last one possible.
    pub const MAX: Self = Self { ms: u64::MAX, seq: u64::MAX };

    /// The id right behind this one.
    pub const fn next(self) -> Option<Self> {
        match (self.seq.checked_add(1), self.ms.checked_add(1)) {
            (Some(seq), _) => Some(Self { ms: self.ms, seq }),
            (None, Some(ms)) => Some(Self { ms, seq: 0 }),
            (None, None) => None,
        }
    }

    /// The id right before this one.
    pub const fn previous(self) -> Option<Self> {
        match (self.seq.checked_sub(1), self.ms.checked_sub(1)) {
            (Some(seq), _) => Some(Self { ms: self.ms, seq }),
            (None, Some(ms)) => Some(Self { ms, seq: u64::MAX }),
            (None, None) => None,
        }
    }

    /// Sixteen bytes that order as the ids do.
    pub fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.ms) << 64 | u128::from(self.seq)).to_be_bytes()
    }

    /// The id of [`Self::to_bytes`].
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let both = u128::from_be_bytes(bytes);
        Self { ms: (both >> 64) as u64, seq: both as u64 }
    }

    /// `ms-seq`, or `ms` alone with this number.
    pub fn parse(text: &[u8], missing_seq: u64) -> Option<Self> {
        let text = seen(text)?;
        match text.iter().position(|byte| *byte == b'-') {
            Some(dash) => Some(Self { ms: part(&text[..dash])?, seq: part(&text[dash + 1..])? }),
            None => Some(Self { ms: part(text)?, seq: missing_seq }),
        }
    }

    /// [`Self::parse`] that also takes `-` and `+`, the ends of every stream.
    pub fn parse_bound(text: &[u8], missing_seq: u64) -> Option<Self> {
        match seen(text)? {
            b"-" => Some(Self::MIN),
            b"+" => Some(Self::MAX),
            _ => Self::parse(text, missing_seq),
        }
    }

    /// The text on the stack.
    pub fn text(self) -> IdText {
        let mut text = IdText { bytes: [0; 2 * DIGITS_MAX + 1], start: 2 * DIGITS_MAX + 1 };
        text.push_number(self.seq);
        text.push(b'-');
        text.push_number(self.ms);
        text
    }
}

impl Wanted {
    /// What XADD's argument means.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text == b"*" {
            return Some(Self::Auto);
        }
        match seen(text)? {
            [ms @ .., b'-', b'*'] if !ms.contains(&b'-') => part(ms).map(Self::Within),
            _ => Id::parse(text, 0).map(Self::Exact),
        }
    }
}

/// What a C string shows of a word; `None` when it is too long to be an id.
fn seen(text: &[u8]) -> Option<&[u8]> {
    if text.len() > TEXT_MAX {
        return None;
    }
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    Some(&text[..end])
}

/// One part of an id.
fn part(text: &[u8]) -> Option<u64> {
    if let Some(plain) = parse_i64(text) {
        return u64::try_from(plain).ok();
    }
    let spaces = text.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == 0x0b).count();
    let (negative, digits) = match &text[spaces..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let number = parse_u64(digits)?;
    Some(if negative { number.wrapping_neg() } else { number })
}

/// An id as text.
#[derive(Clone, Copy)]
pub struct IdText {
    bytes: [u8; 2 * DIGITS_MAX + 1],
    start: usize,
}

impl IdText {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    fn push(&mut self, byte: u8) {
        self.start -= 1;
        self.bytes[self.start] = byte;
    }

    fn push_number(&mut self, mut number: u64) {
        loop {
            self.push(b'0' + (number % 10) as u8);
            number /= 10;
            if number == 0 {
                return;
            }
        }
    }
}

impl std::fmt::Debug for IdText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}
