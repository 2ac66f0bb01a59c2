//! An index over one field of attributes: which elements have which value there.
//!
//! It knows no types: numbers (and true and false, which are ones and zeros) stand in their order, texts each with its
//! elements, and so do the items of arrays, whatever it meets. A type could only be a promise that attributes break; this
//! way an answer is the filter's, always. What it answers are comparisons of the field with a constant, each a set that
//! holds every element that passes, and whether it holds no others: where values are null or arrays, which the filter
//! compares in its own ways, those are in the set and the answer is not exact.
//!
//! Invariant ([`FieldIndex::check`]): an element is here exactly as its attributes say.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use quiver_vector::Slot;

use super::run::{Value, apply};
use super::slots::Slots;
use super::token::Literal;
use super::{Binary, json};

/// Values of a field.
#[derive(Clone, Debug, Default)]
pub struct FieldIndex {
    field: Box<[u8]>,
    /// Elements with a value that an expression can load.
    present: Slots,
    scalars: Values,
    /// Elements whose value is neither a number nor a text.
    others: Slots,
    /// What is in arrays.
    items: Values,
    /// Elements with arrays in which something is neither.
    odd: Slots,
}

/// Elements that pass, among others unless the answer is exact.
#[derive(Clone, Debug)]
pub struct Candidates {
    /// All that pass.
    pub slots: Slots,
    /// Whether all of them pass.
    pub exact: bool,
}

/// Numbers and texts with the elements that have them.
#[derive(Clone, Debug, Default)]
struct Values {
    numbers: BTreeSet<(u64, Slot)>,
    texts: BTreeMap<Box<[u8]>, Text>,
    /// By the number of the text.
    of_texts: BTreeSet<(u32, Slot)>,
    vacant: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Text {
    number: u32,
    count: u32,
}

/// Entries that may still be looked at. `None`: there were more.
pub(super) type Budget = usize;

impl FieldIndex {
    /// An index over a field, of no elements.
    pub fn new(field: &[u8]) -> Self {
        Self { field: field.into(), ..Self::default() }
    }

    /// The field's name.
    pub fn field(&self) -> &[u8] {
        &self.field
    }

    /// Elements with a value in the field.
    pub fn len(&self) -> usize {
        self.present.len()
    }

    /// Whether no element has the field.
    pub fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    /// Bytes allocated, more or less.
    pub fn memory_bytes(&self) -> usize {
        let bits = [&self.present, &self.others, &self.odd].into_iter().map(Slots::memory_bytes).sum::<usize>();
        self.field.len() + bits + self.scalars.memory_bytes() + self.items.memory_bytes()
    }

    /// Takes in an element.
    pub fn insert(&mut self, slot: Slot, attributes: &[u8]) {
        let Some(value) = self.value(attributes) else { return };
        self.present.insert(slot);
        match value {
            Value::Number(number) => self.scalars.insert_number(number, slot),
            Value::Text(text) => self.scalars.insert_text(&text, slot),
            Value::Null | Value::Tuple(_) => self.others.insert(slot),
            Value::Array(items) => {
                self.others.insert(slot);
                for item in items.iter() {
                    match item {
                        Value::Number(number) => self.items.insert_number(number, slot),
                        Value::Text(text) => self.items.insert_text(&text, slot),
                        _ => self.odd.insert(slot),
                    }
                }
            }
        }
    }

    /// Takes out an element with the attributes with which it came.
    pub fn remove(&mut self, slot: Slot, attributes: &[u8]) {
        let Some(value) = self.value(attributes) else { return };
        self.present.remove(slot);
        match value {
            Value::Number(number) => self.scalars.remove_number(number, slot),
            Value::Text(text) => self.scalars.remove_text(&text, slot),
            Value::Null | Value::Tuple(_) => self.others.remove(slot),
            Value::Array(items) => {
                self.others.remove(slot);
                self.odd.remove(slot);
                for item in items.iter() {
                    match item {
                        Value::Number(number) => self.items.remove_number(number, slot),
                        Value::Text(text) => self.items.remove_text(&text, slot),
                        _ => {}
                    }
                }
            }
        }
    }

    /// Proves that the index is that of the elements given.
    /// # Errors
    /// It is not.
    pub fn check<'a>(&self, elements: impl Iterator<Item = (Slot, &'a [u8])>) -> Result<(), String> {
        let mut fresh = Self::new(&self.field);
        elements.for_each(|(slot, attributes)| fresh.insert(slot, attributes));
        let sets = self.present == fresh.present && self.others == fresh.others && self.odd == fresh.odd;
        if !sets || !self.scalars.is_same(&fresh.scalars) || !self.items.is_same(&fresh.items) {
            return Err(format!("the index over {} is not that of the attributes", self.field.escape_ascii()));
        }
        Ok(())
    }

    /// Elements with a value in the field.
    pub(super) fn present(&self) -> &Slots {
        &self.present
    }

    /// Elements whose value counts as true.
    pub(super) fn truthy(&self, budget: &mut Budget) -> Option<Candidates> {
        let mut falsy = Slots::default();
        self.scalars.add_compared(Binary::Equal, 0.0, &mut falsy, budget)?;
        self.scalars.add_text(b"", &mut falsy, budget)?;
        let mut slots = self.present.clone();
        slots.subtract(&falsy);
        Some(Candidates { slots, exact: self.others.is_empty() })
    }

    /// Elements for whose value `value op literal` holds.
    pub(super) fn compare(&self, op: Binary, literal: &Literal, budget: &mut Budget) -> Option<Candidates> {
        let mut slots = Slots::default();
        match (op, literal) {
            (Binary::NotEqual, _) => {
                let equal = self.compare(Binary::Equal, literal, budget)?;
                return Some(self.without(&equal));
            }
            (Binary::In, Literal::Tuple(items)) => {
                for item in items {
                    self.scalars.add_equal(item, &mut slots, budget)?;
                }
            }
            (Binary::In, _) => {
                self.scalars.add_texts(&mut slots, budget, |text| holds(op, text, &Value::of(literal)))?
            }
            (Binary::Equal, _) => self.scalars.add_equal(literal, &mut slots, budget)?,
            _ => {
                let value = Value::of(literal);
                self.scalars.add_compared(op, value.number(), &mut slots, budget)?;
                self.scalars.add_texts(&mut slots, budget, |text| holds(op, text, &value))?;
            }
        }
        slots.union(&self.others);
        Some(Candidates { slots, exact: self.others.is_empty() })
    }

    /// Elements in whose value `literal` is: an item of an array, or a part of a text.
    pub(super) fn containing(&self, literal: &Literal, budget: &mut Budget) -> Option<Candidates> {
        let mut slots = Slots::default();
        self.items.add_equal(literal, &mut slots, budget)?;
        if matches!(literal, Literal::Text(_)) {
            self.scalars.add_texts(&mut slots, budget, |text| holds(Binary::In, &Value::of(literal), text))?;
        }
        slots.union(&self.odd);
        Some(Candidates { slots, exact: self.odd.is_empty() })
    }

    /// What does not pass; all where that is not certain.
    fn without(&self, candidates: &Candidates) -> Candidates {
        let mut slots = self.present.clone();
        if candidates.exact {
            slots.subtract(&candidates.slots);
        }
        Candidates { slots, exact: candidates.exact }
    }

    fn value<'a>(&self, attributes: &'a [u8]) -> Option<Value<'a>> {
        json::load(attributes, std::slice::from_ref(&self.field))?.pop()
    }
}

fn holds<'a>(op: Binary, left: &Value<'a>, right: &Value<'a>) -> bool {
    apply(op, left, right).is_true()
}

impl Values {
    fn insert_number(&mut self, number: f64, slot: Slot) {
        self.numbers.insert((in_order(number), slot));
    }

    fn remove_number(&mut self, number: f64, slot: Slot) {
        self.numbers.remove(&(in_order(number), slot));
    }

    fn insert_text(&mut self, text: &[u8], slot: Slot) {
        if !self.texts.contains_key(text) {
            let number = self.vacant.pop().unwrap_or(self.texts.len() as u32);
            self.texts.insert(text.into(), Text { number, count: 0 });
        }
        let known = self.texts.get_mut(text).expect("it was put there");
        known.count += u32::from(self.of_texts.insert((known.number, slot)));
    }

    fn remove_text(&mut self, text: &[u8], slot: Slot) {
        let Some(known) = self.texts.get_mut(text) else { return };
        known.count -= u32::from(self.of_texts.remove(&(known.number, slot)));
        if known.count == 0 {
            self.vacant.push(known.number);
            self.texts.remove(text);
        }
    }

    /// Adds the elements with a value that equals a constant as the filter compares them: texts by their bytes, null with
    /// itself alone, everything else as numbers.
    fn add_equal(&self, literal: &Literal, out: &mut Slots, budget: &mut Budget) -> Option<()> {
        let value = Value::of(literal);
        match literal {
            Literal::Null => return Some(()),
            Literal::Text(text) => self.add_text(text, out, budget)?,
            _ => self.add_texts(out, budget, |text| holds(Binary::Equal, text, &value))?,
        }
        self.add_compared(Binary::Equal, value.number(), out, budget)
    }

    fn add_compared(&self, op: Binary, number: f64, out: &mut Slots, budget: &mut Budget) -> Option<()> {
        // Nothing compares with what is not a number.
        if number.is_nan() {
            return Some(());
        }
        let at = in_order(number);
        let (first, last) = match op {
            Binary::Greater => (at + 1, u64::MAX),
            Binary::GreaterEqual => (at, u64::MAX),
            Binary::Less => (0, at - 1),
            Binary::LessEqual => (0, at),
            _ => (at, at),
        };
        let mut found = self.numbers.range((first, Slot::MIN)..=(last, Slot::MAX)).map(|(_, slot)| *slot);
        take(&mut found, out, budget)
    }

    fn add_text(&self, text: &[u8], out: &mut Slots, budget: &mut Budget) -> Option<()> {
        self.texts.get(text).map_or(Some(()), |text| self.add_numbered(*text, out, budget))
    }

    /// Adds the elements of the texts that pass.
    fn add_texts(&self, out: &mut Slots, budget: &mut Budget, passes: impl Fn(&Value<'_>) -> bool) -> Option<()> {
        for (text, known) in &self.texts {
            *budget = budget.checked_sub(1)?;
            if passes(&Value::Text(Cow::Borrowed(text))) {
                self.add_numbered(*known, out, budget)?;
            }
        }
        Some(())
    }

    fn add_numbered(&self, text: Text, out: &mut Slots, budget: &mut Budget) -> Option<()> {
        let range = (text.number, Slot::MIN)..=(text.number, Slot::MAX);
        take(&mut self.of_texts.range(range).map(|(_, slot)| *slot), out, budget)
    }

    fn is_same(&self, other: &Self) -> bool {
        self.numbers == other.numbers && self.pairs().eq(other.pairs())
    }

    fn pairs(&self) -> impl Iterator<Item = (&[u8], Slot)> {
        self.texts.iter().flat_map(|(text, known)| {
            let range = (known.number, Slot::MIN)..=(known.number, Slot::MAX);
            self.of_texts.range(range).map(move |(_, slot)| (&**text, *slot))
        })
    }

    fn memory_bytes(&self) -> usize {
        let texts: usize = self.texts.keys().map(|text| text.len()).sum();
        texts
            + self.texts.len() * TEXT_BYTES
            + self.numbers.len() * NUMBER_BYTES
            + self.of_texts.len() * POSTING_BYTES
            + self.vacant.capacity() * size_of::<u32>()
    }
}

/// Bytes of an entry with its share of the tree it is in, which is two thirds full.
const NUMBER_BYTES: usize = 24;
const POSTING_BYTES: usize = 12;
const TEXT_BYTES: usize = 52;

fn take(found: &mut dyn Iterator<Item = Slot>, out: &mut Slots, budget: &mut Budget) -> Option<()> {
    for slot in found {
        *budget = budget.checked_sub(1)?;
        out.insert(slot);
    }
    Some(())
}

/// A number's bits in the order of numbers; zero is one.
fn in_order(number: f64) -> u64 {
    let bits = (number + 0.0).to_bits();
    bits ^ (((bits.cast_signed() >> 63).cast_unsigned()) | 1 << 63)
}
