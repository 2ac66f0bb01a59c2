//! Values of top-level fields out of a JSON text, without parsing the rest.
//!
//! One pass, no recursion: what lies between the fields is skipped by counting brackets, so however deep a text is
//! nested, it costs no stack. Texts are taken as Redis takes them, which is not what a JSON parser would do: nobody asks
//! what is inside a skipped array or object, nor behind the last field that is wanted. Broken texts, and texts that are
//! no object, have the fields found before the break. Names are compared as they are written.
//!
//! Unlike in Redis 8.0, `\b`, `\f` and `\u` in strings are the characters they stand for.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::run::{Value, Values};
use super::token::is_space;

/// Nesting of an array that is a value; arrays of objects are none.
const DEPTH_MAX: usize = 128;

/// The content of an array, which was checked when it was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Items<'a>(&'a [u8]);

/// The values of all fields; `None` when one is missing or no value the machine takes. Of fields with one name the first
/// counts.
pub(super) fn load<'a>(text: &'a [u8], fields: &[Box<[u8]>]) -> Option<Values<'a>> {
    if let [field] = fields {
        let mut scan = Scan { text, at: 0 };
        scan.find(|name| *name == **field)?;
        return scan.value().map(|value| Values::from_iter([value]));
    }
    let mut found: SmallVec<[Option<Value<'a>>; 6]> = SmallVec::from_elem(None, fields.len());
    let mut scan = Scan { text, at: 0 };
    for missing in (1..=fields.len()).rev() {
        let mut wanted = None;
        let new = |name: &[u8]| {
            wanted = fields.iter().zip(&found).position(|(field, value)| **field == *name && value.is_none());
            wanted.is_some()
        };
        if missing < fields.len() {
            scan.find_next(new)?
        } else {
            scan.find(new)?
        }
        found[wanted?] = Some(scan.value()?);
    }
    found.into_iter().collect()
}

/// The text of the first field of a name: a string without its quotes, other scalars as they are written.
pub(super) fn text(text: &[u8], field: &[u8]) -> Option<Vec<u8>> {
    let mut scan = Scan { text, at: 0 };
    scan.find(|name| name == field)?;
    scan.peek()?;
    let start = scan.at;
    match scan.scalar()? {
        Value::Text(text) => Some(text.into_owned()),
        Value::Null => None,
        _ => Some(text[start..scan.at].to_vec()),
    }
}

impl<'a> Items<'a> {
    pub(super) fn iter(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let mut scan = Scan { text: self.0, at: 0 };
        std::iter::from_fn(move || {
            let item = scan.value()?;
            // Behind the last item there is nothing left.
            let _ = scan.expect(b',');
            Some(item)
        })
    }
}

/// A place in a text. Methods skip white space before what they read; `None` is a broken text.
struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    /// Goes to the value of the first field whose name is wanted. Selectors have a name: an empty one is nobody's.
    fn find(&mut self, wanted: impl FnMut(&[u8]) -> bool) -> Option<()> {
        self.expect(b'{')?;
        self.find_here(wanted)
    }

    /// [`Self::find`] from behind a value.
    fn find_next(&mut self, wanted: impl FnMut(&[u8]) -> bool) -> Option<()> {
        self.expect(b',')?;
        self.find_here(wanted)
    }

    fn find_here(&mut self, mut wanted: impl FnMut(&[u8]) -> bool) -> Option<()> {
        loop {
            let (name, _) = self.raw_string()?;
            self.expect(b':')?;
            if !name.is_empty() && wanted(name) {
                return Some(());
            }
            self.skip()?;
            self.expect(b',')?;
        }
    }

    /// The next byte that is no white space, not taken.
    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at).copied().is_some_and(is_space) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// A value as the machine takes it.
    fn value(&mut self) -> Option<Value<'a>> {
        if self.peek()? != b'[' {
            return self.scalar();
        }
        let start = self.at + 1;
        self.array()?;
        Some(Value::Array(Items(&self.text[start..self.at - 1])))
    }

    /// Passes an array that has only scalars and such arrays in it.
    fn array(&mut self) -> Option<()> {
        let mut depth = 0;
        loop {
            if self.peek()? == b'[' {
                self.at += 1;
                depth = Some(depth + 1).filter(|depth| *depth <= DEPTH_MAX)?;
                if self.peek()? != b']' {
                    continue;
                }
                self.at += 1;
                depth -= 1;
            } else {
                self.scalar()?;
            }
            // Behind an item, arrays may end.
            while depth > 0 && self.peek()? == b']' {
                self.at += 1;
                depth -= 1;
            }
            if depth == 0 {
                return Some(());
            }
            self.expect(b',')?;
        }
    }

    fn scalar(&mut self) -> Option<Value<'a>> {
        match self.peek()? {
            b'"' => self.string().map(Value::Text),
            b't' => self.word(b"true").map(|()| Value::Number(1.0)),
            b'f' => self.word(b"false").map(|()| Value::Number(0.0)),
            b'n' => self.word(b"null").map(|()| Value::Null),
            b'0'..=b'9' | b'+' | b'-' => {
                let digits = std::str::from_utf8(self.digits()?).ok()?;
                digits.parse().ok().map(Value::Number)
            }
            _ => None,
        }
    }

    /// One of the words of JSON, with nothing behind it that could belong to it.
    fn word(&mut self, word: &[u8]) -> Option<()> {
        let rest = self.text[self.at..].strip_prefix(word)?;
        let ends = rest.first().is_none_or(|byte| is_space(*byte) || matches!(byte, b',' | b']' | b'}'));
        ends.then(|| self.at += word.len())
    }

    /// What may be a number.
    fn digits(&mut self) -> Option<&'a [u8]> {
        let rest = &self.text[self.at..];
        let of_number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
        let len = rest.iter().take_while(|byte| of_number(byte)).count();
        self.at += len;
        (len > 0).then(|| &rest[..len])
    }

    /// The text of a string; borrowed unless it has escapes.
    fn string(&mut self) -> Option<Cow<'a, [u8]>> {
        let (raw, escaped) = self.raw_string()?;
        Some(if escaped { Cow::Owned(unescape(raw)) } else { Cow::Borrowed(raw) })
    }

    /// What stands between the quotes, and whether there are escapes.
    fn raw_string(&mut self) -> Option<(&'a [u8], bool)> {
        self.expect(b'"')?;
        let (start, mut escaped) = (self.at, false);
        loop {
            match self.text.get(self.at)? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.at += 2;
                }
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some((&self.text[start..self.at - 1], escaped))
    }

    /// Passes a value of any kind and depth.
    fn skip(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.raw_string().map(drop),
            b'{' => self.skip_brackets(b'{', b'}'),
            b'[' => self.skip_brackets(b'[', b']'),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.digits().map(drop),
        }
    }

    /// Passes everything up to the bracket that closes the one here; brackets of the other kind mean nothing.
    fn skip_brackets(&mut self, open: u8, close: u8) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match *self.text.get(self.at)? {
                b'"' => {
                    self.raw_string()?;
                    continue;
                }
                byte if byte == open => depth += 1,
                byte if byte == close => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }
}

/// Puts the characters for their escapes. What is no escape of JSON stands for itself.
fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let Some((&escape, behind)) = rest.split_first() else { break };
        rest = behind;
        match escape {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'u' => match code_point(rest) {
                Some((char, len)) => {
                    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                    rest = &rest[len..];
                }
                None => out.push(escape),
            },
            other => out.push(other),
        }
    }
    out
}

/// The character whose code is here in hexadecimal, in two halves if it needs them, and the bytes that takes.
fn code_point(text: &[u8]) -> Option<(char, usize)> {
    let unit = |text: &[u8]| {
        let digits = std::str::from_utf8(text.get(..4)?).ok()?;
        digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
    };
    let high = unit(text)?;
    if !(0xd800..0xdc00).contains(&high) {
        return char::from_u32(high).map(|char| (char, 4));
    }
    let low = unit(text.get(4..)?.strip_prefix(b"\\u")?).filter(|low| (0xdc00..0xe000).contains(low))?;
    char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)).map(|char| (char, 10))
}
