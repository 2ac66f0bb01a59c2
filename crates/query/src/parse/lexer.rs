//! Cuts a query into tokens.
//!
//! Letters, digits, underscores, everything beyond ASCII and whatever a backslash precedes make up words; marks with a
//! meaning are tokens, all other punctuation and blanks are skipped. What stands in quotes and between the braces of a
//! tag is not cut here: the parser asks for it raw.
//!
//! An error tells where the last token began and the last text seen, which after a mark is older than the mark: clients
//! know the words "Syntax error at offset 6 near title" for `@title:`.

use crate::QueryError;

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A word, freed of escapes.
    Term(Vec<u8>),
    /// Digits with sign, point and exponent.
    Number(Vec<u8>),
    /// `word*`
    Prefix(Operand),
    /// `*word`
    Suffix(Operand),
    /// `*word*`
    Infix(Operand),
    /// `w'pattern'`
    Wildcard(Operand),
    /// `@name`
    Field(Vec<u8>),
    /// `$name`
    Parameter(Vec<u8>),
    /// `=>`
    Arrow,
    /// One of `" ' ( ) { } [ ] : ; | - ~ * %`.
    Mark(u8),
    /// The query's end.
    End,
}

/// A text, or the parameter that holds it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Text(Vec<u8>),
    Parameter(Vec<u8>),
}

/// How a number is compared with a field: `@price >= 3`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Where the parser stands in a query.
#[derive(Clone)]
pub(super) struct Lexer<'a> {
    query: &'a [u8],
    at: usize,
    peeked: Option<Token>,
    /// Where the last token began.
    offset: usize,
    /// The text of the last token that had one.
    near: (usize, usize),
    /// Whether `'` quotes as `"` does: since dialect 2.
    single_quotes: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(query: &'a [u8], single_quotes: bool) -> Self {
        Self { query, at: 0, peeked: None, offset: 0, near: (0, 0), single_quotes }
    }

    /// The token that comes next.
    pub(super) fn peek(&mut self) -> &Token {
        if self.peeked.is_none() {
            self.peeked = Some(self.scan());
        }
        self.peeked.as_ref().expect("just scanned")
    }

    /// Takes the next token.
    pub(super) fn next(&mut self) -> Token {
        match self.peeked.take() {
            Some(token) => token,
            None => self.scan(),
        }
    }

    /// Takes the next token if it is this mark.
    pub(super) fn take(&mut self, mark: u8) -> bool {
        let is = *self.peek() == Token::Mark(mark);
        if is {
            self.peeked = None;
        }
        is
    }

    /// The error that the last token is not what may stand there.
    pub(super) fn error(&self) -> QueryError {
        self.error_with("Syntax error")
    }

    /// An error about the last token.
    pub(super) fn error_with(&self, what: &str) -> QueryError {
        let near = String::from_utf8_lossy(&self.query[self.near.0..self.near.1]);
        QueryError::new(format!("{what} at offset {} near {near}", self.offset))
    }

    /// Where the last token began, and the text an error names; for errors that are found later.
    pub(super) fn place(&self) -> (usize, Vec<u8>) {
        (self.offset, self.query[self.near.0..self.near.1].to_vec())
    }

    /// A comparison, if one stands here; only asked for behind a field, nowhere else do its marks mean something.
    pub(super) fn comparison(&mut self) -> Option<Comparison> {
        debug_assert!(self.peeked.is_none());
        let mut at = self.at;
        while self.query.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        let (comparison, length) = match &self.query[at..] {
            [b'=', b'=', ..] => (Comparison::Equal, 2),
            [b'!', b'=', ..] => (Comparison::Unequal, 2),
            [b'<', b'=', ..] => (Comparison::LessOrEqual, 2),
            [b'>', b'=', ..] => (Comparison::GreaterOrEqual, 2),
            [b'<', ..] => (Comparison::Less, 1),
            [b'>', ..] => (Comparison::Greater, 1),
            _ => return None,
        };
        self.offset = at;
        self.at = at + length;
        Some(comparison)
    }

    /// What stands before the closing `quote`, which is taken; escapes are kept.
    pub(super) fn quoted(&mut self, quote: u8) -> Option<&'a [u8]> {
        debug_assert!(self.peeked.is_none());
        let start = self.at;
        let end = self.find(|byte| byte == quote)?;
        self.near = (start, end);
        self.at = end + 1;
        Some(&self.query[start..end])
    }

    /// What stands before the next `|` or `}`, and which of them it is; both are taken.
    pub(super) fn tag(&mut self) -> Option<(&'a [u8], u8)> {
        debug_assert!(self.peeked.is_none());
        let start = self.at;
        let skipped = self.query[start..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let start = start + skipped;
        // A bar or brace within quotes belongs to the tag.
        let opening = self.query.get(start).copied().filter(|byte| matches!(byte, b'"' | b'\''));
        let opening = opening.or((self.query[start..].starts_with(b"w'")).then_some(b'\''));
        if let Some(quote) = opening {
            let before = self.at;
            self.at = start + 1 + usize::from(self.query[start] == b'w');
            match self.find(|byte| byte == quote) {
                Some(end) => self.at = end + 1,
                None => self.at = before,
            }
        }
        let end = self.find(|byte| matches!(byte, b'|' | b'}'))?;
        let tag = trim_end(self.query.get(start..end)?);
        self.offset = start;
        self.near = (start, start + tag.len());
        self.at = end + 1;
        Some((tag, self.query[end]))
    }

    /// Place of the next byte that is `wanted` and not escaped.
    fn find(&self, wanted: impl Fn(u8) -> bool) -> Option<usize> {
        let mut at = self.at;
        while let Some(&byte) = self.query.get(at) {
            if byte == b'\\' {
                at += 2;
            } else if wanted(byte) {
                return Some(at);
            } else {
                at += 1;
            }
        }
        None
    }

    fn scan(&mut self) -> Token {
        while let Some(&byte) = self.query.get(self.at) {
            let start = self.at;
            if let Some(token) = self.token(byte, start) {
                self.offset = start;
                return token;
            }
            self.at = self.at.max(start + 1);
        }
        Token::End
    }

    /// The token that begins here; `None` where only something to skip does.
    fn token(&mut self, byte: u8, start: usize) -> Option<Token> {
        let rest = &self.query[start..];
        match byte {
            b'*' => Some(self.star(start)),
            b'@' => Some(Token::Field(self.named(start)?)),
            b'$' => {
                let name = self.named(start)?;
                let prefix = self.skip_star();
                Some(if prefix { Token::Prefix(Operand::Parameter(name)) } else { Token::Parameter(name) })
            }
            b'=' if rest.starts_with(b"=>") => {
                self.at = start + 2;
                self.near = (start + 1, self.query.len().min(start + 3));
                Some(Token::Arrow)
            }
            b'w' if rest.starts_with(b"w'") => {
                self.at = start + 2;
                let Some(end) = self.find(|byte| byte == b'\'') else {
                    self.at = start;
                    return self.word(start);
                };
                let pattern = &self.query[start + 2..end];
                self.near = (start + 2, end);
                self.at = end + 1;
                Some(Token::Wildcard(match pattern.strip_prefix(b"$") {
                    Some(name) => Operand::Parameter(name.to_vec()),
                    None => Operand::Text(pattern.to_vec()),
                }))
            }
            b'+' | b'-' | b'0'..=b'9' if self.number_end(start).is_some() => {
                let end = self.number_end(start)?;
                self.at = end;
                self.near = (start, end);
                let number = self.query[start..end].to_vec();
                Some(if self.skip_star() { Token::Prefix(Operand::Text(number)) } else { Token::Number(number) })
            }
            b'"' | b'(' | b')' | b'{' | b'}' | b'[' | b']' | b':' | b';' | b'|' | b'-' | b'~' | b'%' => {
                self.at = start + 1;
                Some(Token::Mark(byte))
            }
            b'\'' if self.single_quotes && self.opens_quote(start) => {
                self.at = start + 1;
                Some(Token::Mark(byte))
            }
            _ => self.word(start),
        }
    }

    /// Whether the `'` here quotes; within a word (`don't`), or alone, it is punctuation.
    fn opens_quote(&self, start: usize) -> bool {
        let within = start.checked_sub(1).is_some_and(|before| is_character(self.query[before]));
        let behind = Self { at: start + 1, peeked: None, ..*self };
        !within && behind.find(|byte| byte == b'\'').is_some()
    }

    fn star(&mut self, start: usize) -> Token {
        self.at = start + 1;
        let operand = match self.query.get(self.at) {
            Some(b'$') => self.named(self.at).map(Operand::Parameter),
            Some(_) => self.characters(self.at).map(Operand::Text),
            None => None,
        };
        match operand {
            None => {
                self.at = start + 1;
                Token::Mark(b'*')
            }
            Some(operand) if self.skip_star() => Token::Infix(operand),
            Some(operand) => Token::Suffix(operand),
        }
    }

    fn skip_star(&mut self) -> bool {
        let star = self.query.get(self.at) == Some(&b'*');
        self.at += usize::from(star);
        star
    }

    fn word(&mut self, start: usize) -> Option<Token> {
        let text = self.characters(start)?;
        Some(if self.skip_star() { Token::Prefix(Operand::Text(text)) } else { Token::Term(text) })
    }

    /// The name behind `@` or `$`.
    fn named(&mut self, start: usize) -> Option<Vec<u8>> {
        self.characters(start + 1)
    }

    /// The characters of a word, freed of escapes; `None` where none begins here.
    fn characters(&mut self, start: usize) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        let mut at = start;
        while let Some(&byte) = self.query.get(at) {
            match self.query.get(at + 1) {
                Some(&next) if byte == b'\\' => {
                    text.push(next);
                    at += 2;
                }
                _ if is_character(byte) => {
                    text.push(byte);
                    at += 1;
                }
                _ => break,
            }
        }
        if at == start {
            return None;
        }
        self.at = at;
        self.near = (start, at);
        Some(text)
    }

    /// Where the number ends that begins here; `None` where none does, or where it goes on as a word.
    fn number_end(&self, start: usize) -> Option<usize> {
        let digits = |from: usize| from + self.query[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let signed = matches!(self.query[start], b'+' | b'-');
        let first = start + usize::from(signed);
        let rest = self.query.get(first..)?;
        let mut end = if signed && rest.get(..3).is_some_and(|word| word.eq_ignore_ascii_case(b"inf")) {
            first + 3
        } else {
            digits(first)
        };
        if end == first {
            return None;
        }
        if self.query.get(end) == Some(&b'.') && digits(end + 1) > end + 1 {
            end = digits(end + 1);
        }
        if matches!(self.query.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.query.get(end + 1), Some(b'+' | b'-')));
            let from = (end + 1 + sign).min(self.query.len());
            if digits(from) > from {
                end = digits(from);
            }
        }
        let goes_on = self.query.get(end).is_some_and(|&byte| is_character(byte) || byte == b'\\');
        (!goes_on).then_some(end)
    }
}

/// Without the blanks at its end that are not escaped.
fn trim_end(text: &[u8]) -> &[u8] {
    let trimmed = text.trim_ascii_end();
    let backslashes = trimmed.iter().rev().take_while(|&&byte| byte == b'\\').count();
    &text[..(trimmed.len() + backslashes % 2).min(text.len())]
}

/// Whether a word may hold this byte.
fn is_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(query: &str) -> Vec<Token> {
        let mut lexer = Lexer::new(query.as_bytes(), true);
        std::iter::from_fn(|| Some(lexer.next()).filter(|token| *token != Token::End)).collect()
    }

    fn term(text: &str) -> Token {
        Token::Term(text.into())
    }

    #[test]
    fn words_numbers_and_marks() {
        assert_eq!(all("foo, bar!"), [term("foo"), term("bar")]);
        assert_eq!(all("foo-bar"), [term("foo"), Token::Mark(b'-'), term("bar")]);
        assert_eq!(all(r"foo\-bar \@x"), [term("foo-bar"), term("@x")]);
        assert_eq!(all("-20"), [Token::Number(b"-20".into())]);
        assert_eq!(all(r"-\20"), [Token::Mark(b'-'), term("20")]);
        assert_eq!(
            all("12ab 1.5 1e3 1e +inf"),
            [
                term("12ab"),
                Token::Number(b"1.5".into()),
                Token::Number(b"1e3".into()),
                term("1e"),
                Token::Number(b"+inf".into())
            ]
        );
        assert_eq!(all("don't 'it' o'"), [term("don"), term("t"), Token::Mark(b'\''), term("it"), term("o")]);
        assert_eq!(
            all("@a:$b => ["),
            [
                Token::Field(b"a".into()),
                Token::Mark(b':'),
                Token::Parameter(b"b".into()),
                Token::Arrow,
                Token::Mark(b'[')
            ]
        );
    }

    #[test]
    fn stars_make_prefixes_suffixes_and_infixes() {
        let text = |text: &str| Operand::Text(text.into());
        assert_eq!(
            all("he* *lo *ell* * w'h?l*'"),
            [
                Token::Prefix(text("he")),
                Token::Suffix(text("lo")),
                Token::Infix(text("ell")),
                Token::Mark(b'*'),
                Token::Wildcard(text("h?l*")),
            ]
        );
        assert_eq!(
            all("$p* *$p w'$p' -20*"),
            [
                Token::Prefix(Operand::Parameter(b"p".into())),
                Token::Suffix(Operand::Parameter(b"p".into())),
                Token::Wildcard(Operand::Parameter(b"p".into())),
                Token::Prefix(text("-20")),
            ]
        );
    }

    #[test]
    fn a_tag_keeps_blanks_and_quoted_bars() {
        let mut lexer = Lexer::new(br#" New York | "a|b" |w'x}*'|e\}\ } rest"#, true);
        let mut tags = Vec::new();
        while let Some((tag, end)) = lexer.tag() {
            tags.push(String::from_utf8_lossy(tag).into_owned());
            if end == b'}' {
                break;
            }
        }
        assert_eq!(tags, ["New York", "\"a|b\"", "w'x}*'", r"e\}\ "]);
        assert_eq!(lexer.next(), term("rest"));
    }

    #[test]
    fn an_error_names_the_last_text() {
        let mut lexer = Lexer::new(b"@title:", true);
        while lexer.next() != Token::End {}
        assert_eq!(lexer.error().to_string(), "Syntax error at offset 6 near title");
        let mut lexer = Lexer::new(b"*=>[KNN", true);
        lexer.next();
        lexer.next();
        assert_eq!(lexer.error().to_string(), "Syntax error at offset 1 near >[");
    }
}
