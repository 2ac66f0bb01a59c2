//! The stack machine, and what its operators make of values.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::json::{self, Items};
use super::token::{Literal, is_space};
use super::{Binary, Filter, Op};
use crate::number::parse_f64;

/// Values of a run before its stack moves to the heap; most programs need two or three.
const INLINE_VALUES: usize = 6;

/// What operators work on.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Null,
    Number(f64),
    Text(Cow<'a, [u8]>),
    Tuple(&'a [Literal]),
    Array(Items<'a>),
}

pub(super) type Values<'a> = SmallVec<[Value<'a>; INLINE_VALUES]>;

pub(super) fn accepts(filter: &Filter, attributes: &[u8]) -> bool {
    let Some(fields) = json::load(attributes, &filter.fields) else { return false };
    let mut stack = Values::new();
    for op in &filter.program {
        let value = match op {
            Op::Push(literal) => Value::of(literal),
            Op::Load(field) => fields[*field].clone(),
            Op::Not => Value::from(!pop(&mut stack).is_true()),
            Op::Binary(binary) => {
                let right = pop(&mut stack);
                apply(*binary, &pop(&mut stack), &right)
            }
        };
        stack.push(value);
    }
    pop(&mut stack).is_true()
}

fn pop<'a>(stack: &mut Values<'a>) -> Value<'a> {
    stack.pop().expect("a compiled program never takes from an empty stack")
}

pub(super) fn apply<'a>(binary: Binary, left: &Value<'a>, right: &Value<'a>) -> Value<'a> {
    let numbers = || (left.number(), right.number());
    let arithmetic = |operation: fn(f64, f64) -> f64| {
        let (left, right) = numbers();
        Value::Number(operation(left, right))
    };
    let comparison = |holds: fn(&f64, &f64) -> bool| {
        let (left, right) = numbers();
        Value::from(holds(&left, &right))
    };
    match binary {
        Binary::Power => arithmetic(f64::powf),
        Binary::Multiply => arithmetic(|left, right| left * right),
        Binary::Divide => arithmetic(|left, right| left / right),
        Binary::Remainder => arithmetic(|left, right| left % right),
        Binary::Add => arithmetic(|left, right| left + right),
        Binary::Subtract => arithmetic(|left, right| left - right),
        Binary::Greater => comparison(f64::gt),
        Binary::GreaterEqual => comparison(f64::ge),
        Binary::Less => comparison(f64::lt),
        Binary::LessEqual => comparison(f64::le),
        Binary::Equal => Value::from(left.equals(right)),
        Binary::NotEqual => Value::from(!left.equals(right)),
        Binary::In => Value::from(left.is_in(right)),
        Binary::And => Value::from(left.is_true() && right.is_true()),
        Binary::Or => Value::from(left.is_true() || right.is_true()),
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Number(f64::from(u8::from(value)))
    }
}

impl<'a> Value<'a> {
    pub(super) fn of(literal: &'a Literal) -> Self {
        match literal {
            Literal::Null => Self::Null,
            Literal::Number(number) => Self::Number(*number),
            Literal::Text(text) => Self::Text(Cow::Borrowed(text)),
            Literal::Tuple(items) => Self::Tuple(items),
        }
    }

    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Number(number) => *number != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::Tuple(_) | Self::Array(_) => true,
        }
    }

    /// Texts that spell no number count as zero, as do values of other kinds.
    pub(super) fn number(&self) -> f64 {
        match self {
            Self::Number(number) => *number,
            Self::Text(text) => spelled(text).unwrap_or(0.0),
            Self::Null | Self::Tuple(_) | Self::Array(_) => 0.0,
        }
    }

    /// Texts by their bytes, null with itself alone, everything else as numbers.
    fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(left), Self::Text(right)) => left == right,
            (Self::Null, Self::Null) => true,
            (Self::Null, _) | (_, Self::Null) => false,
            _ => self.number() == other.number(),
        }
    }

    /// One of a tuple's items, or part of a text.
    fn is_in(&self, container: &Self) -> bool {
        match (self, container) {
            (_, Self::Tuple(items)) => items.iter().any(|item| self.equals(&Value::of(item))),
            (_, Self::Array(items)) => items.iter().any(|item| self.equals(&item)),
            (Self::Text(part), Self::Text(whole)) => contains(whole, part),
            _ => false,
        }
    }
}

/// The number a whole text spells, as `strtod` reads it: with white space before it, and NaN is one.
fn spelled(text: &[u8]) -> Option<f64> {
    let spaces = text.iter().take_while(|byte| is_space(**byte)).count();
    let unsigned = text[spaces..].strip_prefix(b"-").unwrap_or(&text[spaces..]);
    let unsigned = unsigned.strip_prefix(b"+").unwrap_or(unsigned);
    if unsigned.eq_ignore_ascii_case(b"nan") { Some(f64::NAN) } else { parse_f64(&text[spaces..]) }
}

fn contains(whole: &[u8], part: &[u8]) -> bool {
    part.is_empty() || whole.windows(part.len()).any(|window| window == part)
}
