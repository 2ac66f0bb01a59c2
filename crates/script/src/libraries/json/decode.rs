//! JSON to Lua values: one pass, the containers being read on a stack of their own, so that nesting costs no recursion.

use mlua::{Lua, Result, Table, Value};

use super::{DEPTH_LIMIT, JsonSettings};
use crate::libraries::args::Args;
use crate::libraries::number::parse_prefix;
use crate::libraries::pace::Pace;
use crate::raise;

/// `cjson.decode(text)`.
pub(super) fn decode(args: &Args<'_>, settings: JsonSettings) -> Result<Value> {
    if args.len() != 1 {
        return Err(args.error(1, "expected 1 argument"));
    }
    let text = args.string(1)?;
    let bytes = text.as_bytes();
    if bytes.len() >= 2 && (bytes[0] == 0 || bytes[1] == 0) {
        return Err(raise::error(args.lua, "JSON parser does not support UTF-16 or UTF-32"));
    }
    let reader = Reader { lua: args.lua, settings, text: &bytes, at: 0, scratch: Vec::new() };
    reader.document()
}

/// What stands at a place.
#[derive(Debug)]
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    Colon,
    Comma,
    End,
    /// In the scratch buffer.
    String,
    Number(f64),
    Boolean(bool),
    Null,
    Error(&'static str),
}

impl Token {
    fn name(&self) -> &'static str {
        match self {
            Self::ObjectBegin => "T_OBJ_BEGIN",
            Self::ObjectEnd => "T_OBJ_END",
            Self::ArrayBegin => "T_ARR_BEGIN",
            Self::ArrayEnd => "T_ARR_END",
            Self::Colon => "T_COLON",
            Self::Comma => "T_COMMA",
            Self::End => "T_END",
            Self::String => "T_STRING",
            Self::Number(_) => "T_NUMBER",
            Self::Boolean(_) => "T_BOOLEAN",
            Self::Null => "T_NULL",
            Self::Error(what) => what,
        }
    }
}

/// A container that is being read.
enum Open {
    Array { table: Table, next: usize },
    Object { table: Table, key: Value },
}

struct Reader<'a> {
    lua: &'a Lua,
    settings: JsonSettings,
    text: &'a [u8],
    at: usize,
    scratch: Vec<u8>,
}

impl Reader<'_> {
    fn document(mut self) -> Result<Value> {
        let mut open: Vec<Open> = Vec::new();
        let pace = Pace::new(self.lua);
        let (mut token, mut index) = self.token();
        loop {
            pace.step(1)?;
            let mut done = match token {
                Token::String => Value::String(self.lua.create_string(&self.scratch)?),
                Token::Number(number) => Value::Number(number),
                Token::Boolean(value) => Value::Boolean(value),
                Token::Null => Value::NULL,
                Token::ObjectBegin => {
                    let table = self.descend(open.len())?;
                    let (next, at) = self.token();
                    if matches!(next, Token::ObjectEnd) {
                        Value::Table(table)
                    } else {
                        let key = self.key(next, at)?;
                        open.push(Open::Object { table, key });
                        (token, index) = self.token();
                        continue;
                    }
                }
                Token::ArrayBegin => {
                    let table = self.descend(open.len())?;
                    let next = self.token();
                    if matches!(next.0, Token::ArrayEnd) {
                        Value::Table(table)
                    } else {
                        open.push(Open::Array { table, next: 1 });
                        (token, index) = next;
                        continue;
                    }
                }
                other => return Err(self.unexpected("value", &other, index)),
            };
            // A value is complete; with it, perhaps, the containers around it.
            loop {
                let Some(container) = open.last_mut() else {
                    let (next, at) = self.token();
                    return if matches!(next, Token::End) {
                        Ok(done)
                    } else {
                        Err(self.unexpected("the end", &next, at))
                    };
                };
                let (next, at) = self.token();
                match (container, next) {
                    (Open::Array { table, next }, Token::Comma) => {
                        table.raw_set(*next, done)?;
                        *next += 1;
                        (token, index) = self.token();
                        break;
                    }
                    (Open::Array { table, next }, Token::ArrayEnd) => {
                        table.raw_set(*next, done)?;
                        done = Value::Table(table.clone());
                    }
                    (Open::Object { table, key }, Token::Comma) => {
                        table.raw_set(&*key, done)?;
                        let (next, at) = self.token();
                        *key = self.key(next, at)?;
                        (token, index) = self.token();
                        break;
                    }
                    (Open::Object { table, key }, Token::ObjectEnd) => {
                        table.raw_set(&*key, done)?;
                        done = Value::Table(table.clone());
                    }
                    (Open::Array { .. }, other) => return Err(self.unexpected("comma or array end", &other, at)),
                    (Open::Object { .. }, other) => return Err(self.unexpected("comma or object end", &other, at)),
                }
                open.pop();
            }
        }
    }

    /// A table for one more container.
    fn descend(&self, depth: usize) -> Result<Table> {
        let depth = depth as i32 + 1;
        if depth > self.settings.decode_depth.min(DEPTH_LIMIT) {
            return Err(raise::error(
                self.lua,
                format!("Found too many nested data structures ({depth}) at character {}", self.at),
            ));
        }
        self.lua.create_table()
    }

    /// A key and the colon behind it.
    fn key(&mut self, token: Token, index: usize) -> Result<Value> {
        if !matches!(token, Token::String) {
            return Err(self.unexpected("object key string", &token, index));
        }
        let key = Value::String(self.lua.create_string(&self.scratch)?);
        let (colon, at) = self.token();
        if matches!(colon, Token::Colon) { Ok(key) } else { Err(self.unexpected("colon", &colon, at)) }
    }

    fn unexpected(&self, expected: &str, found: &Token, index: usize) -> mlua::Error {
        let text = format!("Expected {expected} but found {} at character {}", found.name(), index + 1);
        raise::error(self.lua, text)
    }

    /// The byte at a distance from here; the text ends like a C string.
    fn byte(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    /// The next token and where it begins; that of a faulty one is where the fault is.
    fn token(&mut self) -> (Token, usize) {
        while matches!(self.byte(0), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        let index = self.at;
        let single = match self.byte(0) {
            0 => return (Token::End, index),
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayBegin,
            b']' => Token::ArrayEnd,
            b':' => Token::Colon,
            b',' => Token::Comma,
            b'"' => {
                let string = self.string();
                let index = if matches!(string, Token::Error(_)) { self.at } else { index };
                return (string, index);
            }
            first => return (self.word(first), index),
        };
        self.at += 1;
        (single, index)
    }

    /// A number or one of the three words.
    fn word(&mut self, first: u8) -> Token {
        let rest = &self.text[self.at..];
        let (token, length) = match first {
            b'-' | b'0'..=b'9' if !self.settings.decode_invalid && is_invalid_number(rest) => {
                return Token::Error("invalid number");
            }
            b'-' | b'0'..=b'9' => match parse_prefix(rest) {
                Some((number, length)) => (Token::Number(number), length),
                None => return Token::Error("invalid number"),
            },
            _ if rest.starts_with(b"true") => (Token::Boolean(true), 4),
            _ if rest.starts_with(b"false") => (Token::Boolean(false), 5),
            _ if rest.starts_with(b"null") => (Token::Null, 4),
            b'+' | b'i' | b'I' | b'n' | b'N' if self.settings.decode_invalid && is_invalid_number(rest) => {
                match parse_prefix(rest) {
                    Some((number, length)) => (Token::Number(number), length),
                    None => return Token::Error("invalid number"),
                }
            }
            _ => return Token::Error("invalid token"),
        };
        self.at += length;
        token
    }

    /// A string into the scratch buffer.
    fn string(&mut self) -> Token {
        self.at += 1;
        self.scratch.clear();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0)).unwrap_or(rest.len());
            self.scratch.extend_from_slice(&rest[..plain]);
            self.at += plain;
            match self.byte(0) {
                b'"' => {
                    self.at += 1;
                    return Token::String;
                }
                b'\\' => {
                    if let Err(what) = self.escape() {
                        return Token::Error(what);
                    }
                }
                _ => return Token::Error("unexpected end of string"),
            }
        }
    }

    fn escape(&mut self) -> std::result::Result<(), &'static str> {
        let plain = match self.byte(1) {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 8,
            b't' => b'\t',
            b'n' => b'\n',
            b'f' => 12,
            b'r' => b'\r',
            b'u' => {
                let (code, length) = self.code_point().ok_or("invalid unicode escape code")?;
                let mut utf8 = [0; 4];
                let code = char::from_u32(code).ok_or("invalid unicode escape code")?;
                self.scratch.extend_from_slice(code.encode_utf8(&mut utf8).as_bytes());
                self.at += length;
                return Ok(());
            }
            _ => return Err("invalid escape code"),
        };
        self.scratch.push(plain);
        self.at += 2;
        Ok(())
    }

    /// The code point of `\uXXXX` or of a pair of them, and how long that is.
    fn code_point(&self) -> Option<(u32, usize)> {
        let high = self.hex4(2)?;
        if high & 0xF800 != 0xD800 {
            return Some((high, 6));
        }
        if high & 0x400 != 0 || self.byte(6) != b'\\' || self.byte(7) != b'u' {
            return None;
        }
        let low = self.hex4(8).filter(|low| low & 0xFC00 == 0xDC00)?;
        Some((((high & 0x3FF) << 10 | low & 0x3FF) + 0x10000, 12))
    }

    fn hex4(&self, ahead: usize) -> Option<u32> {
        (0..4).try_fold(0, |sum, at| Some(sum << 4 | (self.byte(ahead + at) as char).to_digit(16)?))
    }
}

/// Whether JSON does not have the number at the start of `text`: a plus sign, hexadecimal, leading zeros, infinity and
/// what is none. Anything else may still be no number at all.
fn is_invalid_number(text: &[u8]) -> bool {
    let byte = |at: usize| text.get(at).copied().unwrap_or(0);
    if byte(0) == b'+' {
        return true;
    }
    let at = usize::from(byte(0) == b'-');
    match byte(at) {
        b'0' => byte(at + 1) | 0x20 == b'x' || byte(at + 1).is_ascii_digit(),
        first if first <= b'9' => false,
        _ => {
            [&b"inf"[..], b"nan"].iter().any(|word| text.len() >= at + 3 && text[at..at + 3].eq_ignore_ascii_case(word))
        }
    }
}
