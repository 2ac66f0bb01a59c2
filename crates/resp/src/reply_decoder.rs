//! The client's side of a connection: replies out of a read buffer, in any number of pieces.
//!
//! [`ReplyDecoder::decode`] consumes every complete element it finds; half-built arrays wait on a stack inside the
//! decoder. So a large reply in many reads costs O(bytes), and only a single string must lie in the buffer whole.
//!
//! Invariant: memory is proportional to bytes received, never to a length claimed.
//!
//! Not here: RESP3's streamed types (`$?`, `*?`), which no server sends.

use std::fmt;

use crate::number::parse_i64;
use crate::value::Value;

/// What one reply may be.
#[derive(Clone, Copy, Debug)]
pub struct ReplyLimits {
    /// Deepest nesting of arrays, maps, sets and attributes.
    pub max_depth: usize,
    /// Longest string, in bytes.
    pub max_bulk_len: usize,
    /// Most elements in a reply, over all its nested parts.
    pub max_elements: usize,
}

impl Default for ReplyLimits {
    fn default() -> Self {
        Self { max_depth: 128, max_bulk_len: 512 << 20, max_elements: 1 << 27 }
    }
}

/// Why bytes are no reply; the connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// A reply begins with this byte, which is no type of RESP.
    UnknownType(u8),
    /// The text behind this type byte is not of the type.
    BadText(u8),
    /// A line without end.
    LineTooLong,
    /// A string or an aggregate claims more than [`ReplyLimits`] allow.
    TooLarge,
    /// Nested beyond [`ReplyLimits::max_depth`].
    TooDeep,
    /// A push where a part of a value must be.
    Misplaced,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownType(byte) => write!(f, "reply of unknown type '{}'", byte.escape_ascii()),
            Self::BadText(byte) => write!(f, "malformed reply of type '{}'", byte.escape_ascii()),
            Self::LineTooLong => f.write_str("reply line too long"),
            Self::TooLarge => f.write_str("reply too large"),
            Self::TooDeep => f.write_str("reply nested too deeply"),
            Self::Misplaced => f.write_str("push inside a value"),
        }
    }
}

impl std::error::Error for ReplyError {}

/// Builds values from the bytes of one connection.
#[derive(Debug, Default)]
pub struct ReplyDecoder {
    limits: ReplyLimits,
    stack: Vec<Open>,
    elements: usize,
    wanted: usize,
}

/// An aggregate whose elements are still arriving.
#[derive(Debug)]
struct Open {
    kind: u8,
    missing: usize,
    items: Vec<Value>,
}

/// Longest line outside bulk strings: statuses (MONITOR quotes whole commands), errors, numbers.
const LINE_BYTES_MAX: usize = 1 << 20;

/// One element read: a value, or the beginning of an aggregate of n elements.
enum Element {
    Whole(Value),
    Open(u8, usize),
}

impl ReplyDecoder {
    /// A decoder at a reply boundary.
    #[must_use]
    pub fn new(limits: ReplyLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Consumes elements from the front of `buf` until one reply is complete; returns the bytes consumed, which the
    /// caller must remove, and the reply if it is complete.
    ///
    /// # Errors
    /// [`ReplyError`]; the connection cannot go on.
    pub fn decode(&mut self, buf: &[u8]) -> Result<(usize, Option<Value>), ReplyError> {
        let mut consumed = 0;
        self.wanted = 0;
        while let Some((element, len)) = self.element(&buf[consumed..])? {
            consumed += len;
            self.elements += 1;
            let whole = match element {
                Element::Whole(value) => Some(value),
                Element::Open(kind, count) => self.open(kind, count)?,
            };
            if let Some(reply) = whole.and_then(|value| self.close(value)) {
                self.elements = 0;
                return Ok((consumed, Some(reply)));
            }
        }
        Ok((consumed, None))
    }

    /// Bytes the rest of the buffer must hold before decoding can get further: 0 or a *claim*, not to be allocated.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    /// Whether the last reply is complete and no part of another was consumed.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.stack.is_empty()
    }

    /// Begins an aggregate; an empty one is a value at once.
    fn open(&mut self, kind: u8, count: usize) -> Result<Option<Value>, ReplyError> {
        if self.elements.saturating_add(count) > self.limits.max_elements {
            return Err(ReplyError::TooLarge);
        }
        if self.stack.len() >= self.limits.max_depth {
            return Err(ReplyError::TooDeep);
        }
        if kind == b'>' && !self.stack.is_empty() {
            return Err(ReplyError::Misplaced);
        }
        // Attributes end with the value they describe.
        let missing = if kind == b'|' { count + 1 } else { count };
        if missing == 0 {
            return Ok(Some(finish(kind, Vec::new())));
        }
        self.stack.push(Open { kind, missing, items: Vec::with_capacity(missing.min(16)) });
        Ok(None)
    }

    /// Hands a value to the innermost aggregate, and that one on if it is now complete.
    fn close(&mut self, mut value: Value) -> Option<Value> {
        while let Some(open) = self.stack.last_mut() {
            open.items.push(value);
            open.missing -= 1;
            if open.missing > 0 {
                return None;
            }
            let done = self.stack.pop().expect("the last aggregate was just seen");
            value = finish(done.kind, done.items);
        }
        Some(value)
    }

    fn element(&mut self, buf: &[u8]) -> Result<Option<(Element, usize)>, ReplyError> {
        let Some(&kind) = buf.first() else {
            return Ok(None);
        };
        if !b"+-:$*_%~>,#(=!|".contains(&kind) {
            return Err(ReplyError::UnknownType(kind));
        }
        let Some(line) = line(&buf[1..])? else {
            return Ok(None);
        };
        let after = line.len() + 3;
        match kind {
            b'$' | b'!' | b'=' => self.string(kind, line, after, buf),
            b'*' | b'%' | b'~' | b'>' | b'|' => Ok(Some((self.aggregate(kind, line)?, after))),
            _ => Ok(Some((Element::Whole(scalar(kind, line)?), after))),
        }
    }

    fn string(
        &mut self,
        kind: u8,
        line: &[u8],
        after: usize,
        buf: &[u8],
    ) -> Result<Option<(Element, usize)>, ReplyError> {
        let bad = ReplyError::BadText(kind);
        let claimed = parse_i64(line).ok_or(bad)?;
        if claimed == -1 && kind == b'$' {
            return Ok(Some((Element::Whole(Value::Null), after)));
        }
        let len = usize::try_from(claimed).map_err(|_| bad)?;
        if len > self.limits.max_bulk_len {
            return Err(ReplyError::TooLarge);
        }
        let end = after + len;
        if buf.len() < end + 2 {
            self.wanted = end + 2;
            return Ok(None);
        }
        if &buf[end..end + 2] != b"\r\n" {
            return Err(bad);
        }
        let text = &buf[after..end];
        let value = match kind {
            b'$' => Value::Bulk(text.to_vec()),
            b'!' => Value::Error(text.to_vec()),
            _ => match text {
                [a, b, c, b':', text @ ..] => Value::Verbatim { format: [*a, *b, *c], text: text.to_vec() },
                _ => return Err(bad),
            },
        };
        Ok(Some((Element::Whole(value), end + 2)))
    }

    fn aggregate(&self, kind: u8, line: &[u8]) -> Result<Element, ReplyError> {
        let bad = ReplyError::BadText(kind);
        let claimed = parse_i64(line).ok_or(bad)?;
        if claimed == -1 && kind == b'*' {
            return Ok(Element::Whole(Value::NullArray));
        }
        let count = usize::try_from(claimed).map_err(|_| bad)?;
        if count > self.limits.max_elements {
            return Err(ReplyError::TooLarge);
        }
        Ok(Element::Open(kind, if matches!(kind, b'%' | b'|') { count * 2 } else { count }))
    }
}

fn scalar(kind: u8, line: &[u8]) -> Result<Value, ReplyError> {
    let bad = ReplyError::BadText(kind);
    Ok(match kind {
        b'+' => Value::Simple(line.to_vec()),
        b'-' => Value::Error(line.to_vec()),
        b':' => Value::Integer(parse_i64(line).ok_or(bad)?),
        b',' => {
            let text = std::str::from_utf8(line).map_err(|_| bad)?;
            Value::Double(text.parse().map_err(|_| bad)?)
        }
        b'(' => {
            let digits = line.strip_prefix(b"-").or(line.strip_prefix(b"+")).unwrap_or(line);
            if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
                return Err(bad);
            }
            Value::BigNumber(line.to_vec())
        }
        _ => match (kind, line) {
            (b'#', b"t") => Value::Boolean(true),
            (b'#', b"f") => Value::Boolean(false),
            (b'_', b"") => Value::Null,
            _ => return Err(bad),
        },
    })
}

fn finish(kind: u8, mut items: Vec<Value>) -> Value {
    match kind {
        b'~' => Value::Set(items),
        b'>' => Value::Push(items),
        b'%' => Value::Map(pair_up(items)),
        b'|' => {
            let value = items.pop().expect("attributes are followed by their value");
            Value::Attributed { attributes: pair_up(items), value: Box::new(value) }
        }
        _ => Value::Array(items),
    }
}

fn pair_up(items: Vec<Value>) -> Vec<(Value, Value)> {
    let mut items = items.into_iter();
    std::iter::from_fn(|| Some((items.next()?, items.next()?))).collect()
}

/// The text up to CRLF, if the line is complete.
fn line(buf: &[u8]) -> Result<Option<&[u8]>, ReplyError> {
    let window = &buf[..buf.len().min(LINE_BYTES_MAX + 2)];
    match window.windows(2).position(|pair| pair == b"\r\n") {
        Some(end) => Ok(Some(&buf[..end])),
        None if window.len() < LINE_BYTES_MAX + 2 => Ok(None),
        None => Err(ReplyError::LineTooLong),
    }
}

#[cfg(test)]
#[path = "reply_decoder_tests.rs"]
mod tests;
