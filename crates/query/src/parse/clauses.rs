//! What stands behind a field's name: words, tags in braces, ranges in brackets; and attributes of any part.

use super::{
    grammar::{NO_EMPTY, Parser, node, unescape_pattern},
    lexer::{Comparison, Operand, Token},
};
use crate::{
    FieldKind, QueryError,
    ast::{End, Kind, Node, Relation, Tag, TextFields},
    limits,
    text::fold_tag,
};

/// A field that a query names.
struct Named {
    place: u16,
    /// Where it stood, for errors.
    offset: usize,
    near: Vec<u8>,
}

/// A number between brackets, or what else stands there.
struct Argument {
    exclusive: bool,
    text: Vec<u8>,
    /// The parameter it came from.
    parameter: Option<Vec<u8>>,
}

impl Parser<'_> {
    /// A clause about a field, whose name is taken.
    pub(super) fn field(&mut self, name: &[u8], fields: TextFields) -> Result<Option<Node>, QueryError> {
        if self.within_field && self.modern() {
            return Err(self.lexer.error());
        }
        let first = self.named(name)?;
        if self.modern()
            && let Some(comparison) = self.lexer.comparison()
        {
            return self.compare(&first, comparison).map(Some);
        }
        let mut names = vec![first];
        while self.lexer.take(b'|') {
            match self.lexer.next() {
                Token::Term(name) | Token::Field(name) | Token::Number(name) => names.push(self.named(&name)?),
                _ => return Err(self.lexer.error()),
            }
            if names.len() > limits::FIELDS {
                return Err(self.lexer.error());
            }
        }
        if !self.lexer.take(b':') {
            self.lexer.peek();
            return Err(self.lexer.error());
        }
        match (self.lexer.peek(), &names[..]) {
            (Token::Mark(b'['), [name]) => {
                self.lexer.next();
                self.range(name).map(Some)
            }
            (Token::Mark(b'{'), [name]) => {
                self.lexer.next();
                self.tags(name).map(Some)
            }
            (Token::End, _) => Err(self.lexer.error()),
            _ => {
                let mask = names.iter().try_fold(0, |mask, name| match self.text_bit(name) {
                    // Dialect 1 lets any field stand before brackets; no words are found there.
                    Err(_) if !self.modern() => Ok(mask),
                    bit => bit.map(|bit| mask | bit),
                });
                let outer = std::mem::replace(&mut self.within_field, true);
                let part = self.unary(fields & mask.as_ref().map_or(0, |mask| *mask));
                self.within_field = outer;
                // What cannot be read is told before what fields cannot have.
                let part = part?;
                mask.map(|_| part)
            }
        }
    }

    /// `ismissing(@field)`, whose word is taken; `None` where no bracket follows and it is a word like others.
    pub(super) fn missing(&mut self) -> Result<Option<Node>, QueryError> {
        let mut ahead = self.lexer.clone();
        if !ahead.take(b'(') {
            return Ok(None);
        }
        let Token::Field(name) = ahead.next() else { return Ok(None) };
        self.lexer = ahead;
        let field = self.named(&name)?;
        if !self.options.schema.fields[usize::from(field.place)].index_missing {
            let name = String::from_utf8_lossy(&name);
            return Err(QueryError::new(format!(
                "'ismissing' requires defining the field '{name}' with 'INDEXMISSING'"
            )));
        }
        if !self.lexer.take(b')') {
            return Err(self.lexer.error());
        }
        Ok(Some(node(Kind::Missing { field: field.place })))
    }

    /// The field of this name, which was the last token.
    fn named(&self, name: &[u8]) -> Result<Named, QueryError> {
        let place = self.options.schema.field(name).ok_or_else(|| self.lexer.error_with("Unknown field"))?;
        let (offset, near) = self.lexer.place();
        Ok(Named { place, offset, near })
    }

    /// The place of a vector field of this name, which was the last token.
    pub(super) fn vector_field(&self, name: &[u8]) -> Result<u16, QueryError> {
        let named = self.named(name)?;
        match self.kind(&named) {
            FieldKind::Vector(_) => Ok(named.place),
            _ => Err(wrong_kind("VECTOR", &named)),
        }
    }

    fn kind(&self, named: &Named) -> &FieldKind {
        &self.options.schema.fields[usize::from(named.place)].kind
    }

    /// The bit of a TEXT field among the TEXT fields.
    fn text_bit(&self, named: &Named) -> Result<TextFields, QueryError> {
        if !matches!(self.kind(named), FieldKind::Text { .. }) {
            return Err(wrong_kind("TEXT", named));
        }
        let before = &self.options.schema.fields[..usize::from(named.place)];
        let place = before.iter().filter(|field| matches!(field.kind, FieldKind::Text { .. })).count();
        u32::try_from(place).ok().and_then(|place| 1_u128.checked_shl(place)).ok_or_else(|| wrong_kind("TEXT", named))
    }

    /// `@field >= 3`, behind the comparison.
    fn compare(&mut self, named: &Named, comparison: Comparison) -> Result<Node, QueryError> {
        if *self.kind(named) != FieldKind::Numeric {
            return Err(wrong_kind("NUMERIC", named));
        }
        let argument = self.argument()?.ok_or_else(|| self.lexer.error())?;
        let at = |exclusive| argument.number().map(|value| End { value, exclusive });
        let lowest = Ok(End { value: f64::NEG_INFINITY, exclusive: false });
        let highest = Ok(End { value: f64::INFINITY, exclusive: false });
        let (min, max) = match comparison {
            Comparison::Equal | Comparison::Unequal => (at(false), at(false)),
            Comparison::Less => (lowest, at(true)),
            Comparison::LessOrEqual => (lowest, at(false)),
            Comparison::Greater => (at(true), highest),
            Comparison::GreaterOrEqual => (at(false), highest),
        };
        let range = node(Kind::Numeric { field: named.place, min: min?, max: max? });
        Ok(if comparison == Comparison::Unequal { node(Kind::Not(Box::new(range))) } else { range })
    }

    /// `[...]`, behind the bracket.
    fn range(&mut self, named: &Named) -> Result<Node, QueryError> {
        if let Token::Term(word) = self.lexer.peek() {
            let relation = match word.to_ascii_lowercase().as_slice() {
                b"vector_range" if self.modern() => {
                    self.lexer.next();
                    return match self.kind(named) {
                        FieldKind::Vector(_) => self.vector_range(named.place),
                        _ => Err(wrong_kind("VECTOR", named)),
                    };
                }
                b"within" => Some(Relation::Within),
                b"contains" => Some(Relation::Contains),
                b"intersects" => Some(Relation::Intersects),
                b"disjoint" => Some(Relation::Disjoint),
                _ => None,
            };
            if let Some(relation) = relation {
                self.lexer.next();
                return self.shape(named, relation);
            }
        }
        let mut arguments = Vec::new();
        while !self.lexer.take(b']') {
            match self.argument()? {
                Some(argument) if arguments.len() < 4 => arguments.push(argument),
                _ => return Err(self.lexer.error()),
            }
        }
        match &arguments[..] {
            [only] if self.modern() && !only.exclusive => self.numbers(named, only, only),
            [min, max] => self.numbers(named, min, max),
            [longitude, latitude, radius, unit] => self.geo(named, [longitude, latitude, radius], unit),
            _ => Err(self.lexer.error()),
        }
    }

    /// A number, word or parameter between brackets; `None` where something else comes, which is taken.
    fn argument(&mut self) -> Result<Option<Argument>, QueryError> {
        let exclusive = self.lexer.take(b'(');
        let negative = self.lexer.take(b'-');
        let (text, parameter) = match self.lexer.next() {
            Token::Number(text) if !negative => (text, None),
            Token::Term(text) => (text, None),
            Token::Parameter(name) => (self.options.parameter(&name)?.to_vec(), Some(name)),
            _ => return Ok(None),
        };
        let text = if negative { [b"-", &text[..]].concat() } else { text };
        Ok(Some(Argument { exclusive, text, parameter }))
    }

    fn numbers(&self, named: &Named, min: &Argument, max: &Argument) -> Result<Node, QueryError> {
        if *self.kind(named) != FieldKind::Numeric {
            return Err(wrong_kind("NUMERIC", named));
        }
        let min = End { value: self.number(min)?, exclusive: min.exclusive };
        let max = End { value: self.number(max)?, exclusive: max.exclusive };
        Ok(node(Kind::Numeric { field: named.place, min, max }))
    }

    fn number(&self, argument: &Argument) -> Result<f64, QueryError> {
        match argument.number() {
            Err(_) if argument.parameter.is_none() => Err(self.lexer.error()),
            number => number,
        }
    }

    fn geo(&self, named: &Named, numbers: [&Argument; 3], unit: &Argument) -> Result<Node, QueryError> {
        if *self.kind(named) != FieldKind::Geo {
            return Err(wrong_kind("GEO", named));
        }
        let [longitude, latitude, radius] = numbers.map(|number| self.number(number));
        let (longitude, latitude, radius) = (longitude?, latitude?, radius?);
        let metres = match unit.text.to_ascii_lowercase().as_slice() {
            b"m" => 1.0,
            b"km" => 1000.0,
            b"ft" => 0.3048,
            b"mi" => 1609.34,
            _ => return Err(QueryError::new("Invalid GeoFilter unit")),
        };
        if radius <= 0.0 {
            return Err(QueryError::new("Invalid GeoFilter radius"));
        }
        if !(-180.0..=180.0).contains(&longitude) || !(-85.05112878..=85.05112878).contains(&latitude) {
            return Err(QueryError::new("Invalid GeoFilter lat/lon"));
        }
        Ok(node(Kind::Geo { field: named.place, longitude, latitude, radius_m: radius * metres }))
    }

    /// `[WITHIN $shape]`, behind the relation.
    fn shape(&mut self, named: &Named, relation: Relation) -> Result<Node, QueryError> {
        if !matches!(self.kind(named), FieldKind::GeoShape { .. }) {
            return Err(wrong_kind("GEOSHAPE", named));
        }
        let Token::Parameter(name) = self.lexer.next() else { return Err(self.lexer.error()) };
        let wkt = self.options.parameter(&name)?.to_vec();
        if !self.lexer.take(b']') {
            return Err(self.lexer.error());
        }
        Ok(node(Kind::Shape { field: named.place, relation, wkt }))
    }

    /// `{a | b}`, behind the brace.
    fn tags(&mut self, named: &Named) -> Result<Node, QueryError> {
        let &FieldKind::Tag { case_sensitive, .. } = self.kind(named) else { return Err(wrong_kind("TAG", named)) };
        let mut any = Vec::new();
        loop {
            let Some((raw, end)) = self.lexer.tag() else {
                while self.lexer.next() != Token::End {}
                return Err(self.lexer.error());
            };
            let tag = self.tag(raw, named)?;
            any.push(if case_sensitive { tag } else { folded(tag) });
            if any.len() > limits::NODES {
                return Err(QueryError::new(format!("Query has more than {} parts", limits::NODES)));
            }
            if end == b'}' {
                return Ok(node(Kind::Tag { field: named.place, any }));
            }
        }
    }

    /// One tag, with the stars around it.
    fn tag(&self, raw: &[u8], named: &Named) -> Result<Tag, QueryError> {
        if let Some(pattern) = raw.strip_prefix(b"w'").and_then(|raw| raw.strip_suffix(b"'")) {
            let pattern = match pattern.strip_prefix(b"$") {
                Some(name) if self.modern() => self.options.parameter(name)?,
                _ => pattern,
            };
            return Ok(Tag::Wildcard(unescape_pattern(pattern)));
        }
        let (leading, raw) = raw.strip_prefix(b"*").map_or((false, raw), |rest| (true, rest));
        let (trailing, raw) = match raw.strip_suffix(b"*") {
            Some(rest) if rest.iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 0 => (true, rest),
            _ => (false, raw),
        };
        let text = self.tag_text(raw)?;
        if text.is_empty() {
            let index_empty = self.options.schema.fields[usize::from(named.place)].index_empty;
            if leading || trailing || raw.is_empty() {
                return Err(self.lexer.error());
            }
            if !index_empty {
                return Err(QueryError::new(NO_EMPTY));
            }
        }
        Ok(match (leading, trailing) {
            (false, false) => Tag::Exact(text),
            (false, true) => Tag::Prefix(text),
            (true, false) => Tag::Suffix(text),
            (true, true) => Tag::Infix(text),
        })
    }

    fn tag_text(&self, raw: &[u8]) -> Result<Vec<u8>, QueryError> {
        if let [quote @ (b'"' | b'\''), inner @ .., last] = raw
            && quote == last
        {
            return Ok(unescape(inner));
        }
        match raw.strip_prefix(b"$") {
            Some(name) if self.modern() => self.operand(Operand::Parameter(unescape(name))),
            _ if bare_star(raw) => Err(self.lexer.error()),
            _ => Ok(unescape(raw)),
        }
    }

    /// `$name: value; ...}` behind the brace: what they say of `part`.
    pub(super) fn attributes(&mut self, part: &mut Node) -> Result<(), QueryError> {
        self.each_attribute(|name, value| {
            let text = String::from_utf8_lossy(value);
            let bad = || QueryError::new(format!("Invalid value ({text}) for `{}`", String::from_utf8_lossy(name)));
            let attributes = &mut part.attributes;
            match (name.to_ascii_lowercase().as_slice(), &mut part.kind) {
                (b"weight", _) => {
                    let weight: f64 = text.parse().map_err(|_| bad())?;
                    attributes.weight = Some(if weight >= 0.0 { weight } else { return Err(bad()) });
                }
                (b"slop", _) => match text.parse::<i64>().map_err(|_| bad())? {
                    -1 => attributes.slop = None,
                    slop => attributes.slop = Some(u32::try_from(slop).map_err(|_| bad())?),
                },
                (b"inorder", _) => attributes.in_order = Some(boolean(value).ok_or_else(bad)?),
                (b"phonetic", _) => attributes.phonetic = Some(boolean(value).ok_or_else(bad)?),
                (b"yield_distance_as", Kind::VectorRange { distance_as, .. }) => *distance_as = Some(value.to_vec()),
                (b"epsilon", Kind::VectorRange { epsilon, .. }) => {
                    let number: f64 = text.parse().map_err(|_| bad())?;
                    *epsilon = Some(if number > 0.0 { number } else { return Err(bad()) });
                }
                _ => return Err(QueryError::new(format!("Invalid attribute {}", String::from_utf8_lossy(name)))),
            }
            Ok(())
        })
    }

    /// Reads attributes up to the closing brace.
    pub(super) fn each_attribute(
        &mut self,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        loop {
            if self.lexer.take(b'}') {
                return Ok(());
            }
            let Token::Parameter(name) = self.lexer.next() else { return Err(self.lexer.error()) };
            if !self.lexer.take(b':') {
                return Err(self.lexer.error());
            }
            let value = self.value()?;
            each(&name, &value)?;
            if !self.lexer.take(b';') && *self.lexer.peek() != Token::Mark(b'}') {
                return Err(self.lexer.error());
            }
        }
    }

    /// A word, a number, or what a parameter holds.
    pub(super) fn value(&mut self) -> Result<Vec<u8>, QueryError> {
        match self.lexer.next() {
            Token::Term(text) | Token::Number(text) => Ok(text),
            Token::Parameter(name) => self.options.parameter(&name).map(<[u8]>::to_vec),
            _ => Err(self.lexer.error()),
        }
    }
}

impl Argument {
    fn number(&self) -> Result<f64, QueryError> {
        let text = String::from_utf8_lossy(&self.text);
        match text.parse::<f64>() {
            Ok(number) if !number.is_nan() => Ok(number),
            _ => {
                let name = self.parameter.as_deref().unwrap_or_default();
                let name = String::from_utf8_lossy(name);
                Err(QueryError::new(format!("Invalid numeric value ({text}) for parameter `{name}`")))
            }
        }
    }
}

fn wrong_kind(kind: &str, named: &Named) -> QueryError {
    let near = String::from_utf8_lossy(&named.near);
    QueryError::new(format!("Expected a {kind} field at offset {} near {near}", named.offset))
}

fn boolean(text: &[u8]) -> Option<bool> {
    match text.to_ascii_lowercase().as_slice() {
        b"true" | b"1" => Some(true),
        b"false" | b"0" => Some(false),
        _ => None,
    }
}

/// Without the backslashes before other characters.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        plain.push(if byte == b'\\' { bytes.next().unwrap_or(byte) } else { byte });
    }
    plain
}

/// Whether a star stands in it that no backslash precedes.
fn bare_star(text: &[u8]) -> bool {
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'*' => return true,
            _ => {}
        }
    }
    false
}

fn folded(tag: Tag) -> Tag {
    let fold = |text: Vec<u8>| fold_tag(&text).into_owned();
    match tag {
        Tag::Exact(text) => Tag::Exact(fold(text)),
        Tag::Prefix(text) => Tag::Prefix(fold(text)),
        Tag::Suffix(text) => Tag::Suffix(fold(text)),
        Tag::Infix(text) => Tag::Infix(fold(text)),
        Tag::Wildcard(text) => Tag::Wildcard(fold(text)),
    }
}
