//! Expressions of APPLY and FILTER: from their text to a tree.
//!
//! From loosest to tightest: `||`, `&&`, comparisons, `+` and `-`, `*` `/` `%`, `^`, the signs `!` and `-`. Names of
//! properties become places in a row while the tree is built, so that evaluating it looks nothing up.

use super::functions::Function;
use crate::{QueryError, Value, limits};

/// An expression whose properties are places in a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    Literal(Value),
    Property(usize),
    Not(Box<Self>),
    Operation(Operator, Box<Self>, Box<Self>),
    Call(Function, Vec<Self>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
}

/// Reads an expression; `property` finds the place of a property.
pub(super) fn parse(
    text: &[u8],
    property: &mut dyn FnMut(&[u8]) -> Result<usize, QueryError>,
) -> Result<Expression, QueryError> {
    let mut parser = Parser { text, at: 0, token: (0, 0), depth: 0, nodes: 0, property };
    let expression = parser.operations(0)?;
    parser.skip_blanks();
    if parser.at < text.len() {
        parser.token = (parser.at, (parser.at + 1).min(text.len()));
        return Err(parser.error());
    }
    Ok(expression)
}

/// Operators by how tight they bind, loosest first.
const LEVELS: &[&[(&[u8], Operator)]] = &[
    &[(b"||", Operator::Or)],
    &[(b"&&", Operator::And)],
    &[
        (b"==", Operator::Equal),
        (b"!=", Operator::Unequal),
        (b"<=", Operator::LessOrEqual),
        (b">=", Operator::GreaterOrEqual),
        (b"<", Operator::Less),
        (b">", Operator::Greater),
    ],
    &[(b"+", Operator::Add), (b"-", Operator::Subtract)],
    &[(b"*", Operator::Multiply), (b"/", Operator::Divide), (b"%", Operator::Modulo)],
    &[(b"^", Operator::Power)],
];

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    /// The last token, for errors.
    token: (usize, usize),
    depth: usize,
    nodes: usize,
    property: &'a mut dyn FnMut(&[u8]) -> Result<usize, QueryError>,
}

type Parsed = Result<Expression, QueryError>;

impl Parser<'_> {
    /// Operations of this level and those that bind tighter.
    fn operations(&mut self, level: usize) -> Parsed {
        let Some(operators) = LEVELS.get(level) else { return self.sign() };
        let mut left = self.operations(level + 1)?;
        while let Some(operator) = self.operator(operators) {
            // `2^3^2` is 2^(3^2); all others go from the left.
            let right = if operator == Operator::Power { self.deeper(level)? } else { self.operations(level + 1)? };
            left = Expression::Operation(operator, Box::new(left), Box::new(right));
            self.count()?;
        }
        Ok(left)
    }

    fn deeper(&mut self, level: usize) -> Parsed {
        self.depth += 1;
        if self.depth > limits::DEPTH {
            return Err(QueryError::new("Parser stack overflow."));
        }
        let expression = self.operations(level);
        self.depth -= 1;
        expression
    }

    fn count(&mut self) -> Result<(), QueryError> {
        self.nodes += 1;
        // A chain of operations nests to the left, and what evaluates it follows.
        if self.nodes > limits::EXPRESSION_NODES { Err(QueryError::new("Expression is too long")) } else { Ok(()) }
    }

    fn operator(&mut self, operators: &[(&[u8], Operator)]) -> Option<Operator> {
        self.skip_blanks();
        let rest = &self.text[self.at..];
        let (text, operator) = operators.iter().find(|(text, _)| rest.starts_with(text))?;
        self.take(text.len());
        Some(*operator)
    }

    fn sign(&mut self) -> Parsed {
        self.skip_blanks();
        let rest = &self.text[self.at..];
        match rest {
            [b'!', next, ..] if *next != b'=' => {
                self.take(1);
                Ok(Expression::Not(Box::new(self.deeper(LEVELS.len())?)))
            }
            [b'-', ..] => {
                self.take(1);
                let operand = self.deeper(LEVELS.len())?;
                Ok(match operand {
                    Expression::Literal(Value::Number(number)) => Expression::Literal(Value::Number(-number)),
                    operand => {
                        let minus = Expression::Literal(Value::Number(-1.0));
                        Expression::Operation(Operator::Multiply, Box::new(minus), Box::new(operand))
                    }
                })
            }
            _ => self.operand(),
        }
    }

    fn operand(&mut self) -> Parsed {
        self.count()?;
        match self.text.get(self.at) {
            Some(b'(') => {
                self.take(1);
                let inner = self.deeper(0)?;
                if self.mark(b')') { Ok(inner) } else { Err(self.error_here()) }
            }
            Some(b'@') => {
                let start = self.at;
                let name = self.name(start + 1);
                if name.is_empty() {
                    return Err(self.error_here());
                }
                (self.property)(&name).map(Expression::Property)
            }
            Some(&quote @ (b'"' | b'\'')) => self.literal(quote),
            Some(b'0'..=b'9' | b'.') => self.number(),
            Some(b'+') => {
                self.take(1);
                self.number()
            }
            Some(byte) if byte.is_ascii_alphabetic() || *byte == b'_' => self.call(),
            _ => Err(self.error_here()),
        }
    }

    fn literal(&mut self, quote: u8) -> Parsed {
        let start = self.at;
        let mut text = Vec::new();
        let mut at = start + 1;
        loop {
            match self.text.get(at) {
                None => {
                    self.token = (start, self.text.len());
                    return Err(self.error());
                }
                Some(b'\\') if at + 1 < self.text.len() => {
                    text.push(self.text[at + 1]);
                    at += 2;
                }
                Some(&byte) if byte == quote => break,
                Some(&byte) => {
                    text.push(byte);
                    at += 1;
                }
            }
        }
        self.take(at + 1 - start);
        Ok(Expression::Literal(Value::Text(text)))
    }

    fn number(&mut self) -> Parsed {
        let rest = &self.text[self.at..];
        let digits = |from: usize| rest[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let mut length = digits(0);
        if rest.get(length) == Some(&b'.') {
            length += 1 + digits(length + 1);
        }
        if length > 0 && matches!(rest.get(length), Some(b'e' | b'E')) {
            let signed = usize::from(matches!(rest.get(length + 1), Some(b'+' | b'-')));
            let from = (length + 1 + signed).min(rest.len());
            if digits(from) > 0 {
                length = from + digits(from);
            }
        }
        if length == 0 && rest.get(..3).is_some_and(|word| word.eq_ignore_ascii_case(b"inf")) {
            length = 3;
        }
        let number = std::str::from_utf8(&rest[..length]).ok().and_then(|text| text.parse().ok());
        let Some(number) = number else { return Err(self.error_here()) };
        self.take(length);
        Ok(Expression::Literal(Value::Number(number)))
    }

    /// `name(...)`, `inf` or `NULL`.
    fn call(&mut self) -> Parsed {
        let start = self.at;
        let name = self.name(start).to_ascii_lowercase();
        if !self.mark(b'(') {
            return match name.as_slice() {
                b"inf" => Ok(Expression::Literal(Value::Number(f64::INFINITY))),
                b"null" => Ok(Expression::Literal(Value::Null)),
                _ => Err(self.error()),
            };
        }
        let mut arguments = Vec::new();
        if !self.mark(b')') {
            loop {
                arguments.push(self.deeper(0)?);
                if self.mark(b')') {
                    break;
                }
                if !self.mark(b',') {
                    return Err(self.error_here());
                }
            }
        }
        let function = Function::named(&name, arguments.len())?;
        if function == Function::MatchedTerms {
            arguments.push(Expression::Property((self.property)(super::MATCHED_TERMS)?));
        }
        Ok(Expression::Call(function, arguments))
    }

    /// The letters, digits, underscores, points and escaped characters from `start` on.
    fn name(&mut self, start: usize) -> Vec<u8> {
        let mut name = Vec::new();
        let mut at = start;
        while let Some(&byte) = self.text.get(at) {
            match self.text.get(at + 1) {
                Some(&next) if byte == b'\\' => {
                    name.push(next);
                    at += 2;
                }
                _ if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.') || byte >= 0x80 => {
                    name.push(byte);
                    at += 1;
                }
                _ => break,
            }
        }
        self.take(at - self.at);
        name
    }

    fn mark(&mut self, mark: u8) -> bool {
        self.skip_blanks();
        let is = self.text.get(self.at) == Some(&mark);
        if is {
            self.take(1);
        }
        is
    }

    fn take(&mut self, length: usize) {
        self.token = (self.at, self.at + length);
        self.at += length;
    }

    fn skip_blanks(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    /// The error that what stands here is not expected.
    fn error_here(&mut self) -> QueryError {
        if self.at < self.text.len() {
            self.token = (self.at, self.at + 1);
        }
        self.error()
    }

    fn error(&self) -> QueryError {
        let (start, end) = self.token;
        let near = String::from_utf8_lossy(&self.text[start..end]);
        QueryError::new(format!("Syntax error at offset {start} near '{near}'"))
    }
}
