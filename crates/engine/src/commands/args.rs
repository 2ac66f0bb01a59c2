//! Arguments that many commands share: integers, expiry options, conditions, and what all scans have in common.

use quiver_resp::{Argv, Encoder, IntText, Protocol};

use crate::error::CommandError;
use crate::glob;
use crate::number::{parse_f64, parse_i64};

/// An integer argument.
pub(crate) fn integer(text: &[u8]) -> Result<i64, CommandError> {
    parse_i64(text).ok_or(CommandError::NotInteger)
}

/// An integer argument that must also fit in 32 bits.
pub(crate) fn integer_32(text: &[u8]) -> Result<i32, CommandError> {
    const RANGE: CommandError =
        CommandError::text("ERR value is out of range, value must between -2147483648 and 2147483647");
    i32::try_from(integer(text)?).map_err(|_| RANGE)
}

/// A float argument; NaN is refused.
pub(crate) fn float(text: &[u8]) -> Result<f64, CommandError> {
    parse_f64(text).ok_or(CommandError::NotFloat)
}

/// Whether an argument is this word, ASCII case ignored.
pub(crate) fn is(argument: &[u8], word: &str) -> bool {
    argument.eq_ignore_ascii_case(word.as_bytes())
}

/// What a command wants done to an expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// Nothing said.
    None,
    /// KEEPTTL.
    Keep,
    /// PERSIST.
    Persist,
    /// An absolute time, unix ms.
    At(i64),
}

/// The options EX, PX, EXAT, PXAT; `None` for any other word.
pub(crate) fn expiry_option(word: &[u8]) -> Option<Unit> {
    Some(match word.to_ascii_uppercase().as_slice() {
        b"EX" => Unit { seconds: true, absolute: false },
        b"PX" => Unit { seconds: false, absolute: false },
        b"EXAT" => Unit { seconds: true, absolute: true },
        b"PXAT" => Unit { seconds: false, absolute: true },
        _ => return None,
    })
}

/// How an expiry is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) seconds: bool,
    pub(crate) absolute: bool,
}

/// A positive expiry as SET and its like take it, made absolute (unix ms).
pub(crate) fn positive_expiry(
    text: &[u8],
    unit: Unit,
    now_ms: i64,
    command: &'static str,
) -> Result<i64, CommandError> {
    let given = integer(text)?;
    let at = (given > 0).then(|| absolute_ms(given, unit, now_ms)).flatten();
    at.ok_or(CommandError::InvalidExpire(command))
}

/// A time in its unit as unix ms; `None` when out of range.
pub(crate) fn absolute_ms(given: i64, unit: Unit, now_ms: i64) -> Option<i64> {
    let ms = if unit.seconds { given.checked_mul(1000)? } else { given };
    if unit.absolute { Some(ms) } else { ms.checked_add(now_ms) }
}

/// `start` and `end` of GETRANGE and its like, clipped to a length; `None` for an empty range.
pub(crate) fn clip_range(start: i64, end: i64, len: usize) -> Option<std::ops::Range<usize>> {
    let len = len as i64;
    if start < 0 && end < 0 && start > end {
        return None;
    }
    let from = |index: i64| if index < 0 { index.saturating_add(len).max(0) } else { index };
    let (start, end) = (from(start), from(end).min(len - 1));
    (len > 0 && start <= end).then(|| start as usize..end as usize + 1)
}

/// The words from `first` on with their successors: options that take a value read it with [`Options::value`].
pub(crate) struct Options<'a> {
    argv: Argv<'a>,
    next: usize,
}

impl<'a> Options<'a> {
    pub(crate) fn new(argv: Argv<'a>, first: usize) -> Self {
        Self { argv, next: first }
    }

    /// The value of the option just read.
    pub(crate) fn value(&mut self) -> Result<&'a [u8], CommandError> {
        self.next().ok_or(CommandError::Syntax)
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.next += 1;
        self.argv.get(self.next - 1)
    }
}

/// The cursor of a scan. What is no plain integer is read as C's `strtoull` does: spaces before it, a sign and leading
/// zeros are allowed, and a minus wraps.
pub(crate) fn scan_cursor(text: &[u8]) -> Result<u64, CommandError> {
    if let Some(plain) = parse_i64(text) {
        return u64::try_from(plain).map_err(|_| CommandError::InvalidCursor);
    }
    let (negative, digits) = match text.trim_ascii_start() {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let cursor = crate::number::parse_u64(digits).ok_or(CommandError::InvalidCursor)?;
    Ok(if negative { cursor.wrapping_neg() } else { cursor })
}

/// What a scan walks over, which decides the options it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scanned {
    /// The keys of a database: also by type.
    Keys,
    /// A hash: also without its values.
    Hash,
    /// A set or sorted set.
    Members,
}

/// The options of SCAN and its like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScanOptions<'a> {
    /// MATCH, unless it matches everything.
    pub(crate) pattern: Option<&'a [u8]>,
    /// COUNT: elements to look at.
    pub(crate) count: usize,
    /// TYPE.
    pub(crate) type_name: Option<&'a [u8]>,
    /// NOVALUES.
    pub(crate) no_values: bool,
}

impl<'a> ScanOptions<'a> {
    /// Reads the words from `first` on.
    pub(crate) fn parse(argv: Argv<'a>, first: usize, scanned: Scanned) -> Result<Self, CommandError> {
        let mut parsed = Self { pattern: None, count: 10, type_name: None, no_values: false };
        let mut options = Options::new(argv, first);
        while let Some(word) = options.next() {
            if is(word, "count") {
                let count = integer(options.value()?)?;
                parsed.count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(CommandError::Syntax)?;
            } else if is(word, "match") {
                parsed.pattern = Some(options.value()?).filter(|pattern| !glob::is_all(pattern));
            } else if is(word, "type") && scanned == Scanned::Keys {
                parsed.type_name = Some(options.value()?);
            } else if is(word, "novalues") {
                if scanned != Scanned::Hash {
                    return Err(CommandError::text("ERR NOVALUES option can only be used in HSCAN"));
                }
                parsed.no_values = true;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(parsed)
    }

    /// Whether MATCH lets a name pass.
    pub(crate) fn matches(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name))
    }
}

/// The elements one call of HSCAN, SSCAN or ZSCAN finds. They wait here because the cursor precedes them in the reply.
#[derive(Debug)]
pub(crate) struct ElementPage<'a> {
    pub(crate) options: ScanOptions<'a>,
    protocol: Protocol,
    elements: Vec<u8>,
    matched: usize,
    seen: usize,
    steps: usize,
}

impl<'a> ElementPage<'a> {
    pub(crate) fn new(options: ScanOptions<'a>, protocol: Protocol) -> Self {
        Self { options, protocol, elements: Vec::new(), matched: 0, seen: 0, steps: 0 }
    }

    /// Whether the walk takes another step after one that ended at `cursor`. Empty buckets must not make a call long:
    /// ten per element asked for, as in Redis.
    pub(crate) fn goes_on(&mut self, cursor: u64) -> bool {
        self.steps += 1;
        cursor != 0 && self.seen < self.options.count && self.steps < self.options.count.saturating_mul(10)
    }

    /// Takes an element in if its name matches; `write` writes it.
    pub(crate) fn offer(&mut self, name: &[u8], write: impl FnOnce(&mut Encoder<'_>)) {
        self.seen += 1;
        if self.options.matches(name) {
            self.matched += 1;
            write(&mut Encoder::new(&mut self.elements, self.protocol));
        }
    }

    /// Writes the cursor and the elements, each of them so many values.
    pub(crate) fn reply(&self, reply: &mut Encoder<'_>, cursor: u64, values_each: usize) {
        reply.array(2);
        reply.bulk(IntText::unsigned(cursor).as_bytes());
        reply.array(self.matched * values_each);
        reply.raw(&self.elements);
    }
}

/// The reply of a scan of nothing.
pub(crate) fn empty_scan(reply: &mut Encoder<'_>) {
    reply.array(2);
    reply.bulk(b"0");
    reply.array(0);
}
