//! The syntax of paths: JSONPath, which begins with `$`, and the older form of RedisJSON, which does not.
//!
//! ```text
//! $  .name  ['name']  ["a","b"]  [3]  [-1]  [1,2]  [1:5:2]  .*  [*]  ..name  ..[0]  ..*  [?(@.price < 10 && @.a == 'b')]
//! ```
//!
//! A path of the older form leads to one node, the first it matches, and begins with `.` or a name.

use super::filter::Condition;

/// Longest path, bytes.
pub const PATH_BYTES_MAX: usize = 64 * 1024;
/// Most steps of a path.
const STEPS_MAX: usize = 1024;

/// A parsed path.
#[derive(Clone, Debug)]
pub struct Path {
    /// It was written in the older form, and leads to one node.
    pub is_legacy: bool,
    /// From the root on.
    pub steps: Vec<Step>,
}

/// One step of a path.
#[derive(Clone, Debug)]
pub struct Step {
    /// From every node below as well (`..`).
    pub deep: bool,
    /// Which children.
    pub selector: Selector,
}

/// Which children of a node a step leads to.
#[derive(Clone, Debug)]
pub enum Selector {
    /// Fields by name.
    Names(Vec<Box<str>>),
    /// Array elements; from the end below zero.
    Indices(Vec<i64>),
    /// Array elements from `start` to before `end`.
    Slice {
        /// The first.
        start: Option<i64>,
        /// The one behind the last.
        end: Option<i64>,
        /// The distance; at least 1.
        step: usize,
    },
    /// All children.
    All,
    /// Array elements, or the node itself where it is no array, that meet a condition.
    Filter(Box<Condition>),
}

/// Why a text is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {at}")]
pub struct PathError {
    /// What is wrong.
    pub reason: &'static str,
    /// Where.
    pub at: usize,
}

impl Path {
    /// The root.
    pub fn root(is_legacy: bool) -> Self {
        Self { is_legacy, steps: Vec::new() }
    }

    /// Whether it is the root alone.
    pub fn is_root(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether it can lead to one node at most.
    pub fn is_single(&self) -> bool {
        self.steps.iter().all(|step| {
            !step.deep
                && match &step.selector {
                    Selector::Names(names) => names.len() == 1,
                    Selector::Indices(indices) => indices.len() == 1,
                    _ => false,
                }
        })
    }

    /// Parses a path of either form.
    ///
    /// # Errors
    /// It is none; where and why.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let mut scanner = Scanner { text, at: 0, depth: 0 };
        if text.len() > PATH_BYTES_MAX {
            return Err(scanner.error("the path is too long"));
        }
        let is_legacy = !(text == "$" || text.starts_with("$.") || text.starts_with("$["));
        let mut steps = Vec::new();
        if !is_legacy {
            scanner.at = 1;
        } else if text == "." || text.is_empty() {
            return Ok(Self::root(true));
        } else if !text.starts_with(['.', '[']) {
            steps.push(Step { deep: false, selector: Selector::Names(vec![scanner.name()?]) });
        }
        scanner.steps(&mut steps)?;
        if scanner.at < text.len() {
            return Err(scanner.error("a step begins with '.' or '['"));
        }
        Ok(Self { is_legacy, steps })
    }
}

/// Where a parser stands.
pub(super) struct Scanner<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
    /// Parentheses and paths inside of conditions.
    pub(super) depth: usize,
}

impl<'t> Scanner<'t> {
    pub(super) fn error(&self, reason: &'static str) -> PathError {
        PathError { reason, at: self.at }
    }

    pub(super) fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    pub(super) fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// Takes `token` if it comes next.
    pub(super) fn take(&mut self, token: &str) -> bool {
        let there = self.rest().starts_with(token);
        self.at += if there { token.len() } else { 0 };
        there
    }

    pub(super) fn want(&mut self, token: &str, reason: &'static str) -> Result<(), PathError> {
        self.skip_space();
        if self.take(token) { Ok(()) } else { Err(self.error(reason)) }
    }

    /// Steps as far as there are any.
    pub(super) fn steps(&mut self, steps: &mut Vec<Step>) -> Result<(), PathError> {
        loop {
            let deep = self.take("..");
            if steps.len() >= STEPS_MAX {
                return Err(self.error("the path has too many steps"));
            }
            let selector = if self.take("[") {
                self.bracket()?
            } else if deep || self.take(".") {
                self.dotted()?
            } else {
                return Ok(());
            };
            steps.push(Step { deep, selector });
        }
    }

    fn dotted(&mut self) -> Result<Selector, PathError> {
        // `.['name']` is `['name']`.
        if self.take("[") {
            return self.bracket();
        }
        if self.take("*") { Ok(Selector::All) } else { Ok(Selector::Names(vec![self.name()?])) }
    }

    /// A name that is not quoted.
    fn name(&mut self) -> Result<Box<str>, PathError> {
        let ends = |c: char| {
            matches!(c, '.' | '[' | ']' | '(' | ')' | '=' | '!' | '<' | '>' | '&' | '|' | ',' | '\'' | '"')
                || c.is_whitespace()
        };
        let rest = self.rest();
        let name = &rest[..rest.find(ends).unwrap_or(rest.len())];
        if name.is_empty() {
            return Err(self.error("a name is missing"));
        }
        self.at += name.len();
        Ok(name.into())
    }

    /// What stands between brackets, the first of which is taken.
    fn bracket(&mut self) -> Result<Selector, PathError> {
        self.skip_space();
        let selector = match self.rest().bytes().next() {
            Some(b'*') => {
                self.at += 1;
                Selector::All
            }
            Some(b'\'' | b'"') => Selector::Names(self.list(Self::quoted)?),
            Some(b'?') => {
                self.at += 1;
                Selector::Filter(Box::new(self.condition()?))
            }
            _ => self.numbers()?,
        };
        self.want("]", "']' is missing")?;
        Ok(selector)
    }

    fn list<T>(&mut self, item: fn(&mut Self) -> Result<T, PathError>) -> Result<Vec<T>, PathError> {
        let mut items = Vec::new();
        loop {
            self.skip_space();
            items.push(item(self)?);
            self.skip_space();
            if !self.take(",") {
                return Ok(items);
            }
        }
    }

    /// Indices, or a slice.
    fn numbers(&mut self) -> Result<Selector, PathError> {
        let start = self.optional_integer()?;
        self.skip_space();
        if self.take(":") {
            let end = self.optional_integer()?;
            self.skip_space();
            let step = if self.take(":") { self.optional_integer()?.unwrap_or(1) } else { 1 };
            let step = usize::try_from(step).ok().filter(|step| *step > 0);
            let step = step.ok_or_else(|| self.error("the step of a slice is at least 1"))?;
            return Ok(Selector::Slice { start, end, step });
        }
        let mut indices = vec![start.ok_or_else(|| self.error("an index or a quoted name is missing"))?];
        if self.take(",") {
            indices.extend(self.list(Self::integer)?);
        }
        Ok(Selector::Indices(indices))
    }

    fn optional_integer(&mut self) -> Result<Option<i64>, PathError> {
        self.skip_space();
        let digit = self.rest().starts_with(|c: char| c == '-' || c.is_ascii_digit());
        if digit { self.integer().map(Some) } else { Ok(None) }
    }

    fn integer(&mut self) -> Result<i64, PathError> {
        let rest = self.rest();
        let sign = usize::from(rest.starts_with('-'));
        let digits = rest[sign..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - sign);
        let number = rest[..sign + digits].parse().map_err(|_| self.error("not an integer"))?;
        self.at += sign + digits;
        Ok(number)
    }

    /// A string in single or double quotes, with JSON's escapes and `\'`.
    pub(super) fn quoted(&mut self) -> Result<Box<str>, PathError> {
        let mut chars = self.rest().char_indices();
        let Some((_, quote @ ('\'' | '"'))) = chars.next() else {
            return Err(self.error("a quoted string is missing"));
        };
        let mut text = String::new();
        while let Some((at, c)) = chars.next() {
            match c {
                _ if c == quote => {
                    self.at += at + 1;
                    return Ok(text.into());
                }
                '\\' => {
                    let Some((_, escaped)) = chars.next() else { break };
                    match escaped {
                        'n' => text.push('\n'),
                        't' => text.push('\t'),
                        'r' => text.push('\r'),
                        'b' => text.push('\u{8}'),
                        'f' => text.push('\u{c}'),
                        'u' => {
                            let digits: String = chars.by_ref().take(4).map(|(_, digit)| digit).collect();
                            let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                            text.push(
                                code.ok_or_else(|| self.error("'\\u' wants four hexadecimal digits of a character"))?,
                            );
                        }
                        other => text.push(other),
                    }
                }
                other => text.push(other),
            }
        }
        Err(self.error("the closing quote is missing"))
    }
}
