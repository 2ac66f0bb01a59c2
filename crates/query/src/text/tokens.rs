//! Cuts a text into tokens.
//!
//! Every ASCII punctuation mark but the underscore separates, and so do blanks and control characters; a backslash before
//! a separator makes it part of the word (`hello\-world`). Characters beyond ASCII never separate. Chinese is written
//! without blanks: there each Han character is a token of its own, and a word of several is found as a phrase.

use std::borrow::Cow;

use super::Language;
use crate::limits::TERM_BYTES;

/// A token of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// In lower case, without escapes.
    pub text: Cow<'a, str>,
    /// Where it begins, in bytes.
    pub start: usize,
    /// Behind its last byte.
    pub end: usize,
}

/// Whether this byte stands between words.
pub fn is_separator(byte: u8) -> bool {
    byte <= b' ' || byte == 0x7f || (byte.is_ascii_punctuation() && byte != b'_')
}

/// The lower case of `text`, one character at a time.
pub fn fold(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        text
    } else {
        Cow::Owned(text.chars().flat_map(char::to_lowercase).collect())
    }
}

/// A word of a query as documents have it: folded and cut, whatever stands in it.
pub fn term(word: &[u8]) -> String {
    cut(fold(String::from_utf8_lossy(word))).into_owned()
}

/// The tokens of a text.
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
    han_alone: bool,
}

impl<'a> Tokens<'a> {
    /// Of `text` in `language`.
    pub fn new(text: &'a [u8], language: Language) -> Self {
        Self { text, at: 0, han_alone: language == Language::Chinese }
    }

    /// Moves to the end of the token that begins here; whether something in it is escaped.
    fn scan(&mut self) -> bool {
        let mut escaped = false;
        let start = self.at;
        while let Some(&byte) = self.text.get(self.at) {
            if byte == b'\\' && self.text.get(self.at + 1).is_some_and(|&next| is_separator(next)) {
                escaped = true;
                self.at += 2;
            } else if is_separator(byte) {
                break;
            } else if self.han_alone && byte >= 0x80 {
                let length = han_length(&self.text[self.at..]);
                match length {
                    None => self.at += 1,
                    // The character ends what stood before it, or is the token.
                    Some(length) if self.at == start => {
                        self.at += length;
                        break;
                    }
                    Some(_) => break,
                }
            } else {
                self.at += 1;
            }
        }
        escaped
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            while self.text.get(self.at).is_some_and(|&byte| is_separator(byte)) && !self.escape_here() {
                self.at += 1;
            }
            let start = self.at;
            if start == self.text.len() {
                return None;
            }
            let escaped = self.scan();
            let raw = &self.text[start..self.at];
            let text = if escaped { Cow::Owned(unescape(raw)) } else { Cow::Borrowed(raw) };
            let text = cut(fold(lossy(text)));
            if !text.is_empty() {
                return Some(Token { text, start, end: self.at });
            }
        }
    }
}

impl Tokens<'_> {
    fn escape_here(&self) -> bool {
        self.text[self.at] == b'\\' && self.text.get(self.at + 1).is_some_and(|&next| is_separator(next))
    }
}

fn lossy(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// Without the backslashes before separators.
fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match bytes.peek() {
            Some(&next) if byte == b'\\' && is_separator(next) => {
                plain.push(next);
                bytes.next();
            }
            _ => plain.push(byte),
        }
    }
    plain
}

/// At most [`TERM_BYTES`] of `text`, cut between characters.
fn cut(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.len() <= TERM_BYTES {
        return text;
    }
    let end = (0..=TERM_BYTES).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}

/// Bytes of the Han character that stands here; `None` where something else does.
fn han_length(bytes: &[u8]) -> Option<usize> {
    let bytes = &bytes[..bytes.len().min(4)];
    let valid = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).expect("valid up to there"),
    };
    let first = valid.chars().next()?;
    let han = matches!(first, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}');
    han.then(|| first.len_utf8())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(text: &str, language: Language) -> Vec<String> {
        Tokens::new(text.as_bytes(), language).map(|token| token.text.into_owned()).collect()
    }

    #[test]
    fn punctuation_but_the_underscore_separates() {
        assert_eq!(texts("foo-bar.baz...bag", Language::English), ["foo", "bar", "baz", "bag"]);
        assert_eq!(texts("hello_world  a|b\tc\nd", Language::English), ["hello_world", "a", "b", "c", "d"]);
        assert_eq!(texts(" ,.<>{}[]\"':;!@#$%^&*()-+=~/`?", Language::English), [""; 0]);
    }

    #[test]
    fn a_backslash_keeps_a_separator_in_the_word() {
        assert_eq!(texts(r"hello\-world hello-world", Language::English), ["hello-world", "hello", "world"]);
        assert_eq!(texts(r"a\b \- \", Language::English), ["a", "b", "-"]);
        assert_eq!(texts(r"a\\b", Language::English), [r"a\b"]);
    }

    #[test]
    fn words_are_folded_and_know_where_they_stood() {
        let tokens: Vec<_> = Tokens::new("Grüße, WELT".as_bytes(), Language::German).collect();
        assert_eq!(tokens[0], Token { text: "grüße".into(), start: 0, end: 7 });
        assert_eq!(tokens[1], Token { text: "welt".into(), start: 9, end: 13 });
        assert_eq!(texts("ΌΣΟΣ", Language::Greek), ["όσοσ"]);
    }

    #[test]
    fn han_characters_stand_alone_in_chinese_only() {
        assert_eq!(texts("我爱Redis的", Language::Chinese), ["我", "爱", "redis", "的"]);
        assert_eq!(texts("我爱Redis", Language::English), ["我爱redis"]);
    }

    #[test]
    fn long_words_are_cut_between_characters() {
        let long = "ä".repeat(TERM_BYTES);
        let tokens = texts(&long, Language::German);
        assert_eq!(tokens, ["ä".repeat(TERM_BYTES / 2)]);
    }

    proptest! {
        #[test]
        fn any_bytes_give_words_in_order_within_the_text(text: Vec<u8>, chinese: bool) {
            let language = if chinese { Language::Chinese } else { Language::English };
            let mut end = 0;
            for token in Tokens::new(&text, language) {
                prop_assert!(token.start >= end && token.end > token.start && token.end <= text.len());
                prop_assert!(!token.text.is_empty() && token.text.len() <= TERM_BYTES);
                end = token.end;
            }
        }
    }
}
