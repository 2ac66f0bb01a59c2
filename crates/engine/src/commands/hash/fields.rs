//! What the commands about single fields share: the list of fields, and times at which a field may expire.

use quiver_resp::Argv;

use super::super::args::{Unit, absolute_ms, is};
use crate::error::CommandError;
use crate::number::parse_i64;

/// Latest time at which a field may expire, unix ms: 46 bits.
pub(super) const EXPIRY_MAX_MS: i64 = (1 << 46) - 1;

/// The words behind FIELDS and their number, `width` for each field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    words: Argv<'a>,
    width: usize,
}

/// What most commands say about a number of fields that is none.
pub(super) const BAD_COUNT: &str = "ERR Number of fields must be a positive integer";

impl<'a> Fields<'a> {
    /// Reads `FIELDS numfields field ...` at `argv[at]`, with which the command must end.
    pub(super) fn parse(argv: Argv<'a>, at: usize, bad_count: &'static str) -> Result<Self, CommandError> {
        if !argv.get(at).is_some_and(|word| is(word, "FIELDS")) {
            return Err(CommandError::text("ERR Mandatory argument FIELDS is missing or not at the right position"));
        }
        let count = argv.get(at + 1).and_then(parse_i64).filter(|count| *count > 0);
        let count = count.ok_or(CommandError::text(bad_count))?;
        let words = argv.from(at + 2);
        if usize::try_from(count) != Ok(words.len()) {
            return Err(CommandError::text("ERR The `numfields` parameter must match the number of arguments"));
        }
        Ok(Self { words, width: 1 })
    }

    /// Reads `numfields field value ...` at `argv[at]`, with which HSETEX must end.
    pub(super) fn pairs_from(argv: Argv<'a>, at: usize) -> Result<Self, CommandError> {
        const ARITY: CommandError = CommandError::Arity(std::borrow::Cow::Borrowed("hsetex"));
        let count = parse_i64(argv.get(at).ok_or(ARITY)?).and_then(|count| i32::try_from(count).ok());
        let count = count.filter(|count| *count > 0).ok_or(CommandError::text("ERR invalid number of fields"))?;
        let words = argv.from(at + 1);
        if words.len() as u64 != 2 * u64::from(count.unsigned_abs()) {
            return Err(ARITY);
        }
        Ok(Self { words, width: 2 })
    }

    /// Number of fields.
    pub(super) fn len(self) -> usize {
        self.words.len() / self.width
    }

    /// The names.
    pub(super) fn names(self) -> impl Iterator<Item = &'a [u8]> {
        self.words.iter().step_by(self.width)
    }

    /// Names and values, of a list that has both.
    pub(super) fn pairs(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        (0..self.words.len()).step_by(2).map(move |i| (self.words.at(i), self.words.at(i + 1)))
    }

    /// The words as they came.
    pub(super) fn words(self) -> impl Iterator<Item = &'a [u8]> {
        self.words.iter()
    }
}

/// When a field shall expire, unix ms.
pub(crate) fn expiry_ms(given: i64, unit: Unit, now_ms: i64, command: &'static str) -> Result<i64, CommandError> {
    if given < 0 {
        return Err(CommandError::text("ERR invalid expire time, must be >= 0"));
    }
    let at = absolute_ms(given, unit, now_ms).filter(|at| *at <= EXPIRY_MAX_MS);
    at.ok_or(CommandError::InvalidExpire(command))
}
