//! Conditions inside of paths: `@.price < 10 && (@.name =~ "^a" || $.all)`.
//!
//! A comparison of values of different types does not hold, a path that leads nowhere is nothing, and a path alone holds
//! where it leads somewhere. A path that leads to several nodes stands for the first.

use std::cmp::Ordering;

use regex::Regex;

use super::Node;
use super::path::{PathError, Scanner, Step};
use super::select::{TooFar, Walk};

/// Deepest nesting of parentheses and conditions.
const DEPTH_MAX: usize = 64;
/// Largest compiled pattern, bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// A condition.
#[derive(Clone, Debug)]
pub enum Condition {
    /// All of them hold.
    All(Vec<Self>),
    /// One of them holds.
    Any(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// The operand is there (a path), or true (a literal).
    Is(Operand),
    /// Two values compare so.
    Compare(Operand, Comparison, Operand),
    /// A string matches a pattern.
    Matches(Operand, Box<Regex>),
    /// A string matches the pattern that a path leads to.
    MatchesValue(Operand, Operand),
}

/// How two values compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named after what they test")]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A value in a condition.
#[derive(Clone, Debug)]
pub enum Operand {
    /// Written there.
    Literal(Node),
    /// From the node under test.
    Here(Vec<Step>),
    /// From the root of the document.
    Root(Vec<Step>),
}

impl Condition {
    /// Whether it holds for a node.
    pub(super) fn holds<'n>(&self, walk: &mut Walk<'n>, node: &'n Node) -> Result<bool, TooFar> {
        Ok(match self {
            Self::All(parts) => {
                for part in parts {
                    if !part.holds(walk, node)? {
                        return Ok(false);
                    }
                }
                true
            }
            Self::Any(parts) => {
                for part in parts {
                    if part.holds(walk, node)? {
                        return Ok(true);
                    }
                }
                false
            }
            Self::Not(inner) => !inner.holds(walk, node)?,
            Self::Is(Operand::Literal(value)) => *value == Node::Bool(true),
            Self::Is(operand) => operand.value(walk, node)?.is_some(),
            Self::Compare(left, comparison, right) => {
                compares(left.value(walk, node)?, *comparison, right.value(walk, node)?)
            }
            Self::Matches(text, regex) => {
                matches!(text.value(walk, node)?, Some(Node::Str(text)) if regex.is_match(text))
            }
            Self::MatchesValue(text, pattern) => match (text.value(walk, node)?, pattern.value(walk, node)?) {
                (Some(Node::Str(text)), Some(Node::Str(pattern))) => {
                    compile(pattern).is_some_and(|pattern| pattern.is_match(text))
                }
                _ => false,
            },
        })
    }
}

impl Operand {
    /// The value, if there is one.
    fn value<'v, 'n: 'v>(&'v self, walk: &mut Walk<'n>, node: &'n Node) -> Result<Option<&'v Node>, TooFar> {
        let (steps, from) = match self {
            Self::Literal(value) => return Ok(Some(value)),
            Self::Here(steps) => (steps, node),
            Self::Root(steps) => (steps, walk.root),
        };
        let mut first = None;
        walk.follow(steps, from, &mut |_, found| first = first.or(Some(found)))?;
        Ok(first)
    }
}

fn compares(left: Option<&Node>, comparison: Comparison, right: Option<&Node>) -> bool {
    let (Some(left), Some(right)) = (left, right) else { return false };
    let order = order(left, right);
    match comparison {
        Comparison::Equal => order == Some(Ordering::Equal) || order.is_none() && left == right,
        Comparison::NotEqual => order.map_or(left != right, |order| order != Ordering::Equal),
        Comparison::Less => order == Some(Ordering::Less),
        Comparison::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Greater => order == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    }
}

/// The order of two numbers or two strings.
fn order(left: &Node, right: &Node) -> Option<Ordering> {
    let number = |node: &Node| match node {
        Node::Int(value) => Some(*value as f64),
        Node::Float(value) => Some(*value),
        _ => None,
    };
    match (left, right) {
        (Node::Int(left), Node::Int(right)) => Some(left.cmp(right)),
        (Node::Str(left), Node::Str(right)) => Some(left.cmp(right)),
        _ => number(left)?.partial_cmp(&number(right)?),
    }
}

fn compile(pattern: &str) -> Option<Regex> {
    regex::RegexBuilder::new(pattern).size_limit(REGEX_BYTES_MAX).build().ok()
}

impl Scanner<'_> {
    /// A condition, with or without parentheses around it.
    pub(super) fn condition(&mut self) -> Result<Condition, PathError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error("conditions are nested too deeply"));
        }
        let condition = self.series("||", Self::conjunction, Condition::Any);
        self.depth -= 1;
        condition
    }

    fn conjunction(&mut self) -> Result<Condition, PathError> {
        self.series("&&", Self::term, Condition::All)
    }

    /// One or more parts with an operator between them.
    fn series(
        &mut self,
        operator: &str,
        part: fn(&mut Self) -> Result<Condition, PathError>,
        join: fn(Vec<Condition>) -> Condition,
    ) -> Result<Condition, PathError> {
        let first = part(self)?;
        self.skip_space();
        if !self.rest().starts_with(operator) {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.take(operator) {
            parts.push(part(self)?);
            self.skip_space();
        }
        Ok(join(parts))
    }

    fn term(&mut self) -> Result<Condition, PathError> {
        self.skip_space();
        if self.take("(") {
            let inner = self.condition()?;
            self.want(")", "')' is missing")?;
            return Ok(inner);
        }
        if self.rest().starts_with('!') && !self.rest().starts_with("!=") {
            self.at += 1;
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err(self.error("conditions are nested too deeply"));
            }
            let inner = self.term()?;
            self.depth -= 1;
            return Ok(Condition::Not(Box::new(inner)));
        }
        let left = self.operand()?;
        self.skip_space();
        if self.take("=~") {
            let right = self.operand()?;
            return match right {
                Operand::Literal(Node::Str(pattern)) => {
                    let regex = compile(&pattern).ok_or_else(|| self.error("not a regular expression"))?;
                    Ok(Condition::Matches(left, Box::new(regex)))
                }
                Operand::Literal(_) => Err(self.error("a pattern is a string")),
                path => Ok(Condition::MatchesValue(left, path)),
            };
        }
        const COMPARISONS: [(&str, Comparison); 6] = [
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        match COMPARISONS.iter().find(|(token, _)| self.take(token)) {
            Some((_, comparison)) => Ok(Condition::Compare(left, *comparison, self.operand()?)),
            None => Ok(Condition::Is(left)),
        }
    }

    fn operand(&mut self) -> Result<Operand, PathError> {
        self.skip_space();
        let mut steps = Vec::new();
        if self.take("@") {
            self.steps(&mut steps)?;
            return Ok(Operand::Here(steps));
        }
        if self.take("$") {
            self.steps(&mut steps)?;
            return Ok(Operand::Root(steps));
        }
        if self.rest().starts_with(['\'', '"']) {
            return Ok(Operand::Literal(Node::Str(self.quoted()?)));
        }
        for (word, value) in [("true", Node::Bool(true)), ("false", Node::Bool(false)), ("null", Node::Null)] {
            if self.take(word) {
                return Ok(Operand::Literal(value));
            }
        }
        self.number()
    }

    fn number(&mut self) -> Result<Operand, PathError> {
        let rest = self.rest();
        let len = rest.find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E')).unwrap_or(rest.len());
        let text = &rest[..len];
        let float = || text.parse::<f64>().ok().filter(|value| value.is_finite()).map(Node::Float);
        let value = text.parse().map(Node::Int).ok().or_else(float);
        let value = value.ok_or_else(|| self.error("a value is missing"))?;
        self.at += len;
        Ok(Operand::Literal(value))
    }
}
