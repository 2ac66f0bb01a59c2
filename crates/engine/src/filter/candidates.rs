//! What indexes know about an expression: the elements that may pass, and whether all of them do.
//!
//! The program is run once, on sets in the place of truth values. Comparisons of an indexed field with a constant are
//! looked up; and, or and not become operations on sets; whatever else an expression holds may be true of any element.
//! A set always holds all elements that pass, so one that is not exact serves as well: it is what is left to be asked.
//!
//! Not here: the elements themselves. Those that have no value in one of the fields pass nothing, which is certain only
//! where all fields are indexed.

use super::index::{Budget, Candidates, FieldIndex};
use super::run::Value;
use super::slots::Slots;
use super::token::Literal;
use super::{Binary, Filter, Op};

/// Steps of a program beyond which sets take longer than questions.
const OPS_MAX: usize = 64;

/// What stands on the stack.
enum Part<'f> {
    Field(usize),
    Literal(&'f Literal),
    Truth(Candidates),
    /// A value nothing is known about.
    Unknown,
}

/// The fields of an expression that have an index.
struct Known<'i> {
    fields: Vec<Option<&'i FieldIndex>>,
    /// Elements that have all of them.
    present: Slots,
    budget: Budget,
}

impl Filter {
    /// The elements that may pass, of those that indexes know; `None` where none is of use. `budget` bounds the entries
    /// looked at.
    pub fn candidates<'i>(
        &self,
        index_of: impl Fn(&[u8]) -> Option<&'i FieldIndex>,
        budget: usize,
    ) -> Option<Candidates> {
        let fields: Vec<_> = self.fields.iter().map(|field| index_of(field)).collect();
        let mut indexed = fields.iter().flatten();
        let mut present = indexed.next()?.present().clone();
        indexed.for_each(|index| present.intersect(index.present()));
        if self.program.len() > OPS_MAX {
            return None;
        }
        let all_indexed = fields.iter().all(Option::is_some);
        let mut known = Known { fields, present, budget };
        let mut stack = Vec::new();
        for op in &self.program {
            let part = match op {
                Op::Push(literal) => Part::Literal(literal),
                Op::Load(field) => Part::Field(*field),
                Op::Not => {
                    let operand = pop(&mut stack);
                    Part::Truth(known.negated(operand))
                }
                Op::Binary(binary) => {
                    let right = pop(&mut stack);
                    known.combined(*binary, pop(&mut stack), right)
                }
            };
            stack.push(part);
        }
        let mut found = known.truth(pop(&mut stack));
        found.slots.intersect(&known.present);
        Some(Candidates { exact: found.exact && all_indexed, ..found })
    }
}

fn pop<'f>(stack: &mut Vec<Part<'f>>) -> Part<'f> {
    stack.pop().expect("a compiled program never takes from an empty stack")
}

impl Known<'_> {
    fn combined<'f>(&mut self, op: Binary, left: Part<'f>, right: Part<'f>) -> Part<'f> {
        let found = match (op, left, right) {
            (Binary::And | Binary::Or, left, right) => {
                let (mut left, right) = (self.truth(left), self.truth(right));
                if op == Binary::And {
                    left.slots.intersect(&right.slots)
                } else {
                    left.slots.union(&right.slots)
                }
                Some(Candidates { exact: left.exact && right.exact, ..left })
            }
            (_, Part::Field(field), Part::Literal(literal)) if is_comparison(op) => {
                self.fields[field].and_then(|index| index.compare(op, literal, &mut self.budget))
            }
            (Binary::In, Part::Literal(literal), Part::Field(field)) => {
                self.fields[field].and_then(|index| index.containing(literal, &mut self.budget))
            }
            (_, Part::Literal(literal), Part::Field(field)) if is_comparison(op) => {
                self.fields[field].and_then(|index| index.compare(mirrored(op), literal, &mut self.budget))
            }
            _ if is_comparison(op) => None,
            _ => return Part::Unknown,
        };
        Part::Truth(found.unwrap_or_else(|| self.unknown()))
    }

    /// Elements of which an operand is true.
    fn truth(&mut self, part: Part<'_>) -> Candidates {
        let found = match part {
            Part::Truth(found) => Some(found),
            Part::Field(field) => self.fields[field].and_then(|index| index.truthy(&mut self.budget)),
            Part::Literal(literal) if Value::of(literal).is_true() => {
                Some(Candidates { slots: self.present.clone(), exact: true })
            }
            Part::Literal(_) => Some(Candidates { slots: Slots::default(), exact: true }),
            Part::Unknown => None,
        };
        found.unwrap_or_else(|| self.unknown())
    }

    fn negated(&mut self, part: Part<'_>) -> Candidates {
        let found = self.truth(part);
        if !found.exact {
            return self.unknown();
        }
        let mut slots = self.present.clone();
        slots.subtract(&found.slots);
        Candidates { slots, exact: true }
    }

    fn unknown(&self) -> Candidates {
        Candidates { slots: self.present.clone(), exact: false }
    }
}

fn is_comparison(op: Binary) -> bool {
    use Binary::*;
    matches!(op, Greater | GreaterEqual | Less | LessEqual | Equal | NotEqual | In)
}

/// The comparison that says the same with its sides exchanged.
fn mirrored(op: Binary) -> Binary {
    match op {
        Binary::Greater => Binary::Less,
        Binary::GreaterEqual => Binary::LessEqual,
        Binary::Less => Binary::Greater,
        Binary::LessEqual => Binary::GreaterEqual,
        other => other,
    }
}
