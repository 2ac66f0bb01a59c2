//! Words of an expression.

use super::{Binary, SyntaxError};
use crate::number::parse_f64;

/// A constant.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Null,
    Number(f64),
    Text(Box<[u8]>),
    Tuple(Box<[Self]>),
}

/// A word.
#[derive(Debug)]
pub(super) enum Token<'a> {
    Literal(Literal),
    /// `.name`, without the dot.
    Field(&'a [u8]),
    Open,
    Close,
    Not,
    Binary(Binary),
}

/// Words spelled with letters or signs; where one begins with another, the longer one is meant.
const OPERATORS: &[(&[u8], Token<'static>)] = &[
    (b"(", Token::Open),
    (b")", Token::Close),
    (b"!", Token::Not),
    (b"not", Token::Not),
    (b"**", Token::Binary(Binary::Power)),
    (b"*", Token::Binary(Binary::Multiply)),
    (b"/", Token::Binary(Binary::Divide)),
    (b"%", Token::Binary(Binary::Remainder)),
    (b"+", Token::Binary(Binary::Add)),
    (b"-", Token::Binary(Binary::Subtract)),
    (b">", Token::Binary(Binary::Greater)),
    (b">=", Token::Binary(Binary::GreaterEqual)),
    (b"<", Token::Binary(Binary::Less)),
    (b"<=", Token::Binary(Binary::LessEqual)),
    (b"==", Token::Binary(Binary::Equal)),
    (b"!=", Token::Binary(Binary::NotEqual)),
    (b"in", Token::Binary(Binary::In)),
    (b"and", Token::Binary(Binary::And)),
    (b"&&", Token::Binary(Binary::And)),
    (b"or", Token::Binary(Binary::Or)),
    (b"||", Token::Binary(Binary::Or)),
];

/// Longest spelling of a number.
const NUMBER_MAX: usize = 255;

/// Reads words from the left.
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    /// Whether a minus that comes next belongs to a number: at the start and behind an operator.
    minus_is_sign: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, minus_is_sign: true }
    }

    /// The next word; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Token<'a>>, SyntaxError> {
        self.skip_spaces();
        let Some(first) = self.peek(0) else { return Ok(None) };
        let token = match first {
            b'0'..=b'9' => self.number().map(Token::Literal),
            b'-' if self.minus_is_sign && self.peek(1).is_some_and(|byte| byte.is_ascii_digit()) => {
                self.number().map(Token::Literal)
            }
            b'"' | b'\'' => self.string().map(Token::Literal),
            b'[' => self.tuple().map(Token::Literal),
            // A dot that ends the expression is a field, which nobody has.
            b'.' if self.peek(1).is_none_or(is_of_name) => Some(self.field()),
            _ => self.word(),
        };
        // At its end an expression is wrong as a whole.
        let token = token.ok_or(SyntaxError { at: if self.at < self.text.len() { self.at } else { 0 } })?;
        self.minus_is_sign = matches!(token, Token::Open | Token::Not | Token::Binary(_));
        Ok(Some(token))
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    fn skip_spaces(&mut self) {
        self.at += count(&self.text[self.at..], is_space);
    }

    fn number(&mut self) -> Option<Literal> {
        let rest = &self.text[self.at..];
        let sign = usize::from(rest[0] == b'-');
        let len = sign + count(&rest[sign..], |byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E'));
        self.at += len.min(NUMBER_MAX);
        parse_f64(&rest[..len]).map(Literal::Number)
    }

    /// A string ends at the quote it began with. A backslash keeps the next byte from ending it and stays in the text.
    fn string(&mut self) -> Option<Literal> {
        let rest = &self.text[self.at..];
        let (quote, mut len) = (rest[0], 1);
        loop {
            let Some(next) = rest.get(len) else {
                self.at = self.text.len();
                return None;
            };
            match next {
                b'\\' if len + 1 < rest.len() => len += 2,
                byte if *byte == quote => break,
                _ => len += 1,
            }
        }
        self.at += len + 1;
        Some(Literal::Text(rest[1..len].into()))
    }

    /// Numbers and strings between brackets; tuples do not nest.
    fn tuple(&mut self) -> Option<Literal> {
        let mut items = Vec::new();
        self.at += 1;
        loop {
            self.skip_spaces();
            // Also behind a comma.
            if self.peek(0) == Some(b']') {
                self.at += 1;
                return Some(Literal::Tuple(items.into()));
            }
            items.push(match self.peek(0)? {
                b'0'..=b'9' | b'-' => self.number()?,
                b'"' | b'\'' => self.string()?,
                _ => return None,
            });
            self.skip_spaces();
            match self.peek(0)? {
                b',' => self.at += 1,
                b']' => {}
                _ => return None,
            }
        }
    }

    fn field(&mut self) -> Token<'a> {
        let name = &self.text[self.at + 1..];
        let name = &name[..count(name, is_of_name)];
        self.at += 1 + name.len();
        Token::Field(name)
    }

    /// An operator, or one of the constants that are spelled out. A run of letters and signs may hold several, so no more
    /// of it is looked at than decides.
    fn word(&mut self) -> Option<Token<'a>> {
        let rest = &self.text[self.at..];
        let head = &rest[..count(&rest[..rest.len().min(WORD_MAX + 1)], is_of_word)];
        let letters = &head[..count(head, |byte| byte.is_ascii_alphabetic())];
        let literal = match letters {
            b"null" => Some(Literal::Null),
            b"true" => Some(Literal::Number(1.0)),
            b"false" => Some(Literal::Number(0.0)),
            _ => None,
        };
        if let Some(literal) = literal {
            self.at += letters.len();
            return Some(Token::Literal(literal));
        }
        let fitting = OPERATORS.iter().filter(|(name, _)| head.starts_with(name));
        let Some((name, token)) = fitting.max_by_key(|(name, _)| name.len()) else {
            self.at += count(rest, is_of_word);
            return None;
        };
        self.at += name.len();
        Some(match token {
            Token::Open => Token::Open,
            Token::Close => Token::Close,
            Token::Binary(binary) => Token::Binary(*binary),
            _ => Token::Not,
        })
    }
}

/// Longest of the words.
const WORD_MAX: usize = 5;

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || b"+-*%/!()<>=|&".contains(&byte)
}

fn count(bytes: &[u8], is: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| is(**byte)).count()
}

pub(super) fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// As the C library's `isspace`.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}
