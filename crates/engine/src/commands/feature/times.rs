//! Event times: when what a feature says was so, in milliseconds since 1970, whenever it was written.
//!
//! A hash has one field of them for each view, `_ts:` and the view's name. Mostly all features have come together, so
//! its value is one time, and then the features that differ; a null, which is no field of the hash, is marked with `~`:
//!
//! ```text
//! 1700000000000                            all features that are there
//! 1700000000000 trips=1700000060000        but trips is newer
//! 1700000000000 home~1700000000000         and home was said to be null
//! ```
//!
//! What somebody else has written into the field is not an error: words that are no times are passed over.

use quiver_structures::listpack::Item;

use crate::number::{IntText, parse_i64};
use crate::types::hash::FieldSet;

/// The time of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) at_ms: i64,
    /// There is no value, and that is known.
    pub(super) null: bool,
}

/// The stamps of fields with the values that were found for them, of which the last is that of the times.
pub(super) fn stamps(fields: &FieldSet, found: &[Option<Item<'_>>]) -> Vec<Option<Stamp>> {
    let count = fields.len() - 1;
    let (base, marks) = match found[count] {
        None => (None, b"".as_slice()),
        Some(Item::Int(at_ms)) => (Some(at_ms), b"".as_slice()),
        Some(Item::Str(text)) => {
            let end = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
            (parse_i64(&text[..end]), &text[end..])
        }
    };
    let stamp = base.map(|at_ms| Stamp { at_ms, null: false });
    let mut stamps: Vec<_> = found[..count].iter().map(|value| value.and(stamp)).collect();
    for word in marks.split(|byte| *byte == b' ').filter(|word| !word.is_empty()) {
        let Some(at) = word.iter().rposition(|byte| matches!(byte, b'=' | b'~')) else { continue };
        let (Some(place), Some(at_ms)) = (fields.place(&word[..at]), parse_i64(&word[at + 1..])) else { continue };
        let there = found.get(place).is_some_and(Option::is_some);
        let null = word[at] == b'~' && !there;
        if place < count && (there || null) {
            stamps[place] = Some(Stamp { at_ms, null });
        }
    }
    stamps
}

/// The text of stamps: [`stamps`] makes them of it again.
pub(super) fn text<'n>(names: impl Iterator<Item = &'n [u8]>, stamps: &[Option<Stamp>]) -> Vec<u8> {
    let base = most_common(stamps);
    let mut text = IntText::new(base).as_bytes().to_vec();
    for (name, stamp) in names.zip(stamps) {
        let Some(Stamp { at_ms, null }) = *stamp else { continue };
        if null || at_ms != base {
            text.push(b' ');
            text.extend_from_slice(name);
            text.push(if null { b'~' } else { b'=' });
            text.extend_from_slice(IntText::new(at_ms).as_bytes());
        }
    }
    text
}

/// The time that most values have; the latest time if there are only nulls.
fn most_common(stamps: &[Option<Stamp>]) -> i64 {
    let mut times: Vec<i64> = stamps.iter().flatten().filter(|stamp| !stamp.null).map(|stamp| stamp.at_ms).collect();
    times.sort_unstable();
    let longest = times.chunk_by(|a, b| a == b).max_by_key(|run| run.len()).map(|run| run[0]);
    longest.or(stamps.iter().flatten().map(|stamp| stamp.at_ms).max()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> FieldSet {
        FieldSet::new([b"a".as_slice(), b"b", b"c", b"_ts:v"].into_iter()).unwrap()
    }

    fn at(at_ms: i64) -> Option<Stamp> {
        Some(Stamp { at_ms, null: false })
    }

    #[test]
    fn what_came_together_is_one_number() {
        let stamps = [at(5), None, at(5)];
        assert_eq!(text(fields().names(), &stamps), b"5");
    }

    #[test]
    fn stamps_are_read_as_they_were_written() {
        let null = Some(Stamp { at_ms: 9, null: true });
        for given in [[at(5), at(7), at(5)], [at(-3), null, None], [null, null, null], [at(1), at(2), null]] {
            let text = text(fields().names(), &given);
            let there = |stamp: Option<Stamp>| stamp.filter(|stamp| !stamp.null).map(|_| Item::Int(1));
            let found = [there(given[0]), there(given[1]), there(given[2]), Some(Item::Str(&text))];
            assert_eq!(stamps(&fields(), &found), given, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn words_that_are_no_times_are_passed_over() {
        let there = Some(Item::Int(1));
        for (text, expected) in [
            ("x", [None, None, None]),
            ("5 b=", [at(5), None, None]),
            ("5 = a= zz=3 _ts:v=4 a", [at(5), None, None]),
            ("5 a~8", [at(8), None, None]),
            ("", [None, None, None]),
        ] {
            let found = [there, None, None, Some(Item::Str(text.as_bytes()))];
            assert_eq!(stamps(&fields(), &found), expected, "{text}");
        }
    }
}
