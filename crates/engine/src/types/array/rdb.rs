//! Arrays in snapshot files, under a type byte of Quiver's own: the layout of Redis 8.8 is not public.
//!
//! ```text
//! cursor: index of the next append plus one, 0 when there is none left | elements | (distance, element) ...
//! ```
//!
//! A distance is that from the element before, less one; of the first, its index.

use quiver_rdb::{Reader, Writer};

use super::{Array, Element, INDEX_MAX};
use crate::codec::Result;

impl Array {
    /// Writes the next part of the value; `at` is the index behind the last element that is out.
    pub(super) fn write_elements(&self, writer: &mut Writer<'_>, at: &mut usize, room: usize) -> bool {
        let mut expected = *at as u64;
        if expected == 0 {
            writer.length(self.next_append().map_or(0, |next| next + 1));
            writer.length(self.count() as u64);
        }
        for (index, element) in self.range(expected, INDEX_MAX) {
            if expected > 0 && writer.len() >= room {
                *at = expected as usize;
                return false;
            }
            writer.length(index - expected);
            match element {
                Element::Int(number) => writer.integer(*number),
                Element::Text(bytes) => writer.string(bytes),
            }
            expected = index + 1;
        }
        true
    }

    pub(super) fn read_elements(reader: &mut Reader<'_>) -> Result<Self> {
        let mut array = Self::default();
        let cursor = reader.length()?;
        let count = reader.length()?;
        if count == 0 {
            return Err(reader.empty("array without elements"));
        }
        let (mut expected, mut bytes) = (0u64, Vec::new());
        for _ in 0..count {
            let index = expected.checked_add(reader.length()?).filter(|index| *index <= INDEX_MAX);
            let index = index.ok_or_else(|| reader.invalid("array with an index out of range"))?;
            bytes.clear();
            reader.string_into(&mut bytes)?;
            array.set(index, &bytes);
            expected = index + 1;
        }
        array.seek(cursor.checked_sub(1).unwrap_or(u64::MAX));
        Ok(array)
    }
}
