//! Elements that expire, as fields of hashes do: when, in what order, and taking out those whose time is over.
//!
//! Most sets have no such elements, and then this costs nothing. A set is indexed by its earliest expiry in the keyspace
//! ([`crate::field_expiry`]); until somebody takes them out, those who read do not see elements that are over.

use std::collections::{BTreeMap, BTreeSet};

use quiver_rdb::{Reader, Writer};
use quiver_vector::Slot;

use super::VectorSet;
use crate::types::hash::AsOf;

/// When elements expire, unix ms.
#[derive(Clone, Debug, Default)]
pub(super) struct Expiries {
    in_order: BTreeSet<(i64, Slot)>,
    of: BTreeMap<Slot, i64>,
}

/// Bytes of the two entries of an element, with their share of the trees.
const ENTRY_BYTES: usize = 48;

impl Expiries {
    pub(super) fn set(&mut self, slot: Slot, at_ms: Option<i64>) {
        let old = match at_ms {
            Some(at_ms) => self.of.insert(slot, at_ms),
            None => self.of.remove(&slot),
        };
        if let Some(old) = old {
            self.in_order.remove(&(old, slot));
        }
        if let Some(at_ms) = at_ms {
            self.in_order.insert((at_ms, slot));
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.of.len() * ENTRY_BYTES
    }
}

impl VectorSet {
    /// When the first element expires.
    pub fn earliest(&self) -> Option<i64> {
        self.expiries.in_order.first().map(|(at_ms, _)| *at_ms)
    }

    /// When the element in a slot expires.
    pub fn expiry(&self, slot: Slot) -> Option<i64> {
        self.expiries.of.get(&slot).copied()
    }

    /// Elements that expire, with their time.
    pub fn expiring(&self) -> impl ExactSizeIterator<Item = (Slot, i64)> {
        self.expiries.of.iter().map(|(slot, at_ms)| (*slot, *at_ms))
    }

    /// Sets or clears when the element in a slot expires.
    pub fn set_expiry(&mut self, slot: Slot, at_ms: Option<i64>) {
        self.version += 1;
        self.expiries.set(slot, at_ms);
    }

    /// Whether an element is seen as of a time.
    pub fn is_seen(&self, slot: Slot, as_of: AsOf) -> bool {
        as_of.sees(self.expiry(slot))
    }

    /// Whether some element is not seen as of a time.
    pub fn hides_some(&self, as_of: AsOf) -> bool {
        !as_of.sees(self.earliest())
    }

    /// The slot of an element that is seen.
    pub fn slot_seen(&self, name: &[u8], as_of: AsOf) -> Option<Slot> {
        self.slot(name).filter(|slot| self.is_seen(*slot, as_of))
    }

    /// Takes up to `max` elements whose time is over out, earliest first, adding their names to `taken`.
    pub fn take_expired(&mut self, as_of: AsOf, max: usize, taken: &mut Vec<Vec<u8>>) {
        for _ in 0..max {
            let Some((at_ms, slot)) = self.expiries.in_order.first().copied() else { return };
            if as_of.sees(Some(at_ms)) {
                return;
            }
            let name = self.name(slot).to_vec();
            self.remove(&name);
            taken.push(name);
        }
    }
}

/// Latest time at which an element may expire, as of a field.
const EXPIRY_MAX_MS: i64 = (1 << 46) - 1;

impl VectorSet {
    /// Appends when elements expire, which the encoding of Redis has no place for.
    pub fn write_expiries(&self, writer: &mut Writer<'_>) {
        writer.length(self.expiring().len() as u64);
        for (slot, at_ms) in self.expiring() {
            writer.string(self.name(slot));
            writer.i64(at_ms);
        }
    }

    /// Reads what [`Self::write_expiries`] wrote.
    /// # Errors
    /// The bytes end before.
    pub fn read_expiries(reader: &mut Reader<'_>) -> crate::codec::Result<Vec<(Vec<u8>, i64)>> {
        // The count is a claim: memory grows with what arrives.
        let (count, mut expiries) = (reader.length()?, Vec::new());
        for _ in 0..count {
            expiries.push((reader.string()?, reader.i64()?));
        }
        Ok(expiries)
    }

    /// Gives elements the expiries that were read.
    /// # Errors
    /// An element that is not there, or a time out of range.
    pub fn restore_expiries(&mut self, expiries: &[(Vec<u8>, i64)]) -> Result<(), String> {
        for (name, at_ms) in expiries {
            let slot = self.slot(name).ok_or("vector set: an expiry of no element")?;
            if !(1..=EXPIRY_MAX_MS).contains(at_ms) {
                return Err("vector set: an expiry out of range".to_owned());
            }
            self.set_expiry(slot, Some(*at_ms));
        }
        Ok(())
    }
}
