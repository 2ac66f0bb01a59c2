//! What binds what: unions, intersections, negations, and the words among them.

use std::borrow::Cow;

use super::{
    ParseOptions,
    lexer::{Lexer, Operand, Token},
};
use crate::{
    FieldKind, Query, QueryError,
    ast::{Attributes, Kind, Node, TextFields, Word},
    limits,
    text::{Language, Tokens, fold, term},
};

/// A parser that has read part of a query.
pub(super) struct Parser<'a> {
    pub(super) lexer: Lexer<'a>,
    pub(super) options: ParseOptions<'a>,
    depth: usize,
    nodes: usize,
    /// Whether what is read stands behind a field's name: no other field may be named there since dialect 2.
    pub(super) within_field: bool,
}

/// A condition, or nothing where only stop words stood.
type Part = Result<Option<Node>, QueryError>;

impl<'a> Parser<'a> {
    pub(super) fn new(query: &'a [u8], options: ParseOptions<'a>) -> Self {
        Self { lexer: Lexer::new(query, options.dialect >= 2), options, depth: 0, nodes: 0, within_field: false }
    }

    /// The whole query.
    pub(super) fn query(mut self) -> Result<Query, QueryError> {
        if *self.lexer.peek() == Token::End {
            return Ok(Query { root: node(Kind::Nothing), knn: None });
        }
        let root = self.expression(self.options.fields)?.unwrap_or_else(|| node(Kind::Nothing));
        let knn = if *self.lexer.peek() == Token::Arrow && self.modern() {
            self.lexer.next();
            Some(self.knn(&root)?)
        } else {
            None
        };
        // Dialect 1 never minded braces behind a query.
        while !self.modern() && self.lexer.take(b'}') {}
        match self.lexer.peek() {
            Token::End => Ok(Query { root, knn }),
            _ => Err(self.lexer.error()),
        }
    }

    /// Whether the query is written in dialect 2 or later.
    pub(super) fn modern(&self) -> bool {
        self.options.dialect >= 2
    }

    fn expression(&mut self, fields: TextFields) -> Part {
        self.deeper()?;
        let part = if self.modern() { self.union(fields) } else { self.old_intersection(fields) };
        self.depth -= 1;
        part
    }

    /// One level down; whoever calls comes up again.
    fn deeper(&mut self) -> Result<(), QueryError> {
        self.depth += 1;
        // A bracket is two levels: the part that it is, and what stands inside.
        if self.depth > 2 * limits::DEPTH {
            return Err(QueryError::new("Parser stack overflow. Try moving nested parentheses more to the left"));
        }
        Ok(())
    }

    /// `a b | c d`: (a and b) or (c and d).
    fn union(&mut self, fields: TextFields) -> Part {
        let mut any = Vec::new();
        loop {
            any.extend(self.intersection(fields)?);
            if !self.lexer.take(b'|') {
                return Ok(one_or(any, Kind::Or));
            }
        }
    }

    fn intersection(&mut self, fields: TextFields) -> Part {
        let mut all = Vec::new();
        let mut parts = 0;
        let mut everything = false;
        loop {
            everything |= *self.lexer.peek() == Token::Mark(b'*');
            all.extend(self.unary(fields)?);
            parts += 1;
            if everything && parts > 1 {
                return Err(self.lexer.error());
            }
            if self.at_end_of_part() {
                return Ok(one_or(all, Kind::And));
            }
        }
    }

    /// Dialect 1: `a b | "c" d` is ((a and b) or "c") and d.
    fn old_intersection(&mut self, fields: TextFields) -> Part {
        let everything = *self.lexer.peek() == Token::Mark(b'*');
        let mut all = Vec::new();
        loop {
            let mut any = Vec::new();
            loop {
                any.extend(self.unary(fields)?);
                if !self.lexer.take(b'|') {
                    break;
                }
            }
            all.extend(one_or(any, Kind::Or));
            if everything && *self.lexer.peek() != Token::End {
                return Err(self.lexer.error());
            }
            if self.at_end_of_part() {
                return Ok(one_or(all, Kind::And));
            }
        }
    }

    fn at_end_of_part(&mut self) -> bool {
        let modern = self.modern();
        match self.lexer.peek() {
            Token::End | Token::Arrow | Token::Mark(b')' | b'|') => true,
            token => !modern && *token == Token::Mark(b'}'),
        }
    }

    /// One part with the signs before it and the attributes behind it.
    pub(super) fn unary(&mut self, fields: TextFields) -> Part {
        self.deeper()?;
        let part = self.signed(fields);
        self.depth -= 1;
        part
    }

    fn signed(&mut self, fields: TextFields) -> Part {
        let mut signs = Vec::new();
        loop {
            if self.lexer.take(b'-') {
                signs.push(Kind::Not as fn(Box<Node>) -> Kind);
            } else if self.lexer.take(b'~') {
                signs.push(Kind::Optional);
            } else {
                break;
            }
            if signs.len() > limits::DEPTH {
                return Err(self.lexer.error());
            }
        }
        let Some(mut part) = self.primary(fields)? else { return Ok(None) };
        if self.attributes_follow() {
            self.attributes(&mut part)?;
        }
        Ok(Some(signs.into_iter().rev().fold(part, |part, sign| node(sign(Box::new(part))))))
    }

    /// Whether `=> {` comes next, which is taken then; `=> [` is not.
    pub(super) fn attributes_follow(&mut self) -> bool {
        if *self.lexer.peek() != Token::Arrow {
            return false;
        }
        let mut ahead = self.lexer.clone();
        ahead.next();
        let follow = ahead.take(b'{');
        if follow {
            self.lexer = ahead;
        }
        follow
    }

    fn primary(&mut self, fields: TextFields) -> Part {
        self.nodes += 1;
        if self.nodes > limits::NODES {
            return Err(QueryError::new(format!("Query has more than {} parts", limits::NODES)));
        }
        match self.lexer.next() {
            Token::Term(word) if self.modern() && word.eq_ignore_ascii_case(b"ismissing") => match self.missing()? {
                Some(missing) => Ok(Some(missing)),
                None => Ok(self.word(&word, fields)),
            },
            Token::Term(word) | Token::Number(word) if self.modern() => Ok(self.word(&word, fields)),
            Token::Term(word) | Token::Number(word) => Ok(self.old_words(&word, fields)),
            Token::Parameter(name) if self.modern() => Ok(self.word(self.options.parameter(&name)?, fields)),
            Token::Prefix(operand) => self.pattern(operand, fields, Word::Prefix),
            Token::Suffix(operand) => self.pattern(operand, fields, Word::Suffix),
            Token::Infix(operand) => self.pattern(operand, fields, Word::Infix),
            Token::Wildcard(operand) => {
                let pattern = unescape_pattern(&self.operand(operand)?);
                Ok(word_in(fields, Word::Wildcard(fold_bytes(&pattern))))
            }
            Token::Mark(quote @ (b'"' | b'\'')) => self.phrase(quote, fields),
            Token::Mark(b'%') => self.fuzzy(fields),
            Token::Mark(b'*') if self.modern() || self.depth == 2 => Ok(Some(node(Kind::All))),
            Token::Mark(b'(') => {
                let inner = self.expression(fields)?;
                if self.lexer.take(b')') { Ok(inner) } else { Err(self.lexer.error()) }
            }
            Token::Field(name) => self.field(&name, fields),
            _ => Err(self.lexer.error()),
        }
    }

    /// The text of an operand.
    pub(super) fn operand(&self, operand: Operand) -> Result<Vec<u8>, QueryError> {
        match operand {
            Operand::Text(text) => Ok(text),
            Operand::Parameter(name) => self.options.parameter(&name).map(<[u8]>::to_vec),
        }
    }

    fn pattern(&self, operand: Operand, fields: TextFields, word: fn(String) -> Word) -> Part {
        Ok(word_in(fields, word(term(&self.operand(operand)?))))
    }

    /// A word as it stands; several in Chinese, which are found beside each other.
    fn word(&self, word: &[u8], fields: TextFields) -> Option<Node> {
        let text = term(word);
        if self.options.stop_words.contains(&text) {
            return None;
        }
        if self.options.language == Language::Chinese {
            let parts: Vec<_> = Tokens::new(word, Language::Chinese).map(|token| exact(token.text, true)).collect();
            if parts.len() > 1 {
                return phrase_in(fields, parts);
            }
        }
        word_in(fields, exact(Cow::Owned(text), self.options.verbatim))
    }

    /// Dialect 1: this word and those beside it.
    fn old_words(&mut self, first: &[u8], fields: TextFields) -> Option<Node> {
        let mut all: Vec<Node> = self.word(first, fields).into_iter().collect();
        while let Token::Term(word) | Token::Number(word) = self.lexer.peek() {
            let word = word.clone();
            self.lexer.next();
            self.nodes += 1;
            if self.nodes > limits::NODES {
                break; // The next part says so.
            }
            all.extend(self.word(&word, fields));
        }
        one_or(all, Kind::And)
    }

    /// What stands between quotes: words beside each other, or a pattern.
    fn phrase(&mut self, quote: u8, fields: TextFields) -> Part {
        let Some(text) = self.lexer.quoted(quote) else {
            while self.lexer.next() != Token::End {}
            return Err(self.lexer.error());
        };
        if let Some(pattern) = text.strip_prefix(b"w'").and_then(|text| text.strip_suffix(b"'")) {
            return Ok(word_in(fields, Word::Wildcard(fold_bytes(&unescape_pattern(pattern)))));
        }
        if text.is_empty() {
            return self.empty(fields);
        }
        let text = match text.strip_prefix(b"$") {
            Some(name) if self.modern() && self.options.parameter(name).is_ok() => self.options.parameter(name)?,
            _ => text,
        };
        let mut words: Vec<_> = Tokens::new(text, self.options.language)
            .filter(|token| !self.options.stop_words.contains(&token.text))
            .map(|token| exact(token.text, true))
            .collect();
        self.nodes += words.len();
        Ok(match words.len() {
            0 => None,
            1 => words.pop().and_then(|word| word_in(fields, word)),
            _ => phrase_in(fields, words),
        })
    }

    /// `""`: documents with an empty text.
    fn empty(&self, fields: TextFields) -> Part {
        let texts = self.options.schema.fields.iter().filter(|field| matches!(field.kind, FieldKind::Text { .. }));
        let mut asked = texts.take(limits::TEXT_FIELDS).enumerate().filter(|(place, _)| fields >> place & 1 == 1);
        if fields != TextFields::MAX && fields != 0 && !asked.any(|(_, field)| field.index_empty) {
            return Err(QueryError::new(NO_EMPTY));
        }
        Ok(word_in(fields, exact(Cow::Borrowed(""), true)))
    }

    /// `%word%` to `%%%word%%%`, whose first mark is taken.
    fn fuzzy(&mut self, fields: TextFields) -> Part {
        let mut distance = 1;
        while self.lexer.take(b'%') {
            distance += 1;
            if distance > limits::FUZZY_DISTANCE {
                return Err(self.lexer.error());
            }
        }
        let text = match self.lexer.next() {
            Token::Term(word) | Token::Number(word) => term(&word),
            Token::Parameter(name) => term(self.options.parameter(&name)?),
            _ => return Err(self.lexer.error()),
        };
        for _ in 0..distance {
            if !self.lexer.take(b'%') {
                return Err(self.lexer.error());
            }
        }
        Ok(word_in(fields, Word::Fuzzy { text, distance }))
    }
}

/// What who asks for empty values is told where there are none.
pub(super) const NO_EMPTY: &str = "Use `INDEXEMPTY` in field creation in order to index and query for empty strings";

/// A condition without attributes.
pub(super) fn node(kind: Kind) -> Node {
    Node { kind, attributes: Attributes::default() }
}

/// The only part there is, or all of them bound together.
fn one_or(mut parts: Vec<Node>, bind: fn(Vec<Node>) -> Kind) -> Option<Node> {
    if parts.len() > 1 { Some(node(bind(parts))) } else { parts.pop() }
}

fn exact(text: Cow<'_, str>, verbatim: bool) -> Word {
    Word::Exact { text: text.into_owned(), verbatim }
}

/// A word in these fields; no document where they exclude each other.
fn word_in(fields: TextFields, word: Word) -> Option<Node> {
    Some(node(if fields == 0 { Kind::Nothing } else { Kind::Word { fields, word } }))
}

fn phrase_in(fields: TextFields, words: Vec<Word>) -> Option<Node> {
    Some(node(if fields == 0 { Kind::Nothing } else { Kind::Phrase { fields, words } }))
}

/// A pattern without the backslashes that keep a quote in it; those before other characters are part of the pattern.
pub(super) fn unescape_pattern(pattern: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(pattern.len());
    let mut bytes = pattern.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match bytes.peek() {
            Some(&next @ b'\'') if byte == b'\\' => {
                plain.push(next);
                bytes.next();
            }
            _ => plain.push(byte),
        }
    }
    plain
}

fn fold_bytes(text: &[u8]) -> Vec<u8> {
    fold(String::from_utf8_lossy(text)).into_owned().into_bytes()
}
