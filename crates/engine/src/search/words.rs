//! The words of an FT.* command, read one after the other.

use crate::commands::args::is;
use crate::error::CommandError;
use crate::number::{parse_f64, parse_i64};

const NONE_LEFT: &str = "Expected an argument, but none provided";
const NOT_CONVERTED: &str = "Could not convert argument to expected type";
const OUT_OF_BOUNDS: &str = "Value is outside acceptable bounds";

/// What is left of the words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words<'a>(pub(crate) &'a [&'a [u8]]);

impl<'a> Words<'a> {
    /// Whether none is left.
    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The next word, which stays.
    pub(crate) fn peek(self) -> Option<&'a [u8]> {
        self.0.first().copied()
    }

    /// The next word.
    pub(crate) fn next(&mut self) -> Option<&'a [u8]> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// Takes the next word if it is this one.
    pub(crate) fn take(&mut self, word: &str) -> bool {
        let here = self.peek().is_some_and(|next| is(next, word));
        if here {
            self.0 = &self.0[1..];
        }
        here
    }

    /// The value of the option `of`.
    pub(crate) fn value(&mut self, of: &str) -> Result<&'a [u8], CommandError> {
        self.next().ok_or_else(|| bad(of, NONE_LEFT))
    }

    /// A whole number of at least `min`.
    pub(crate) fn number(&mut self, of: &str, min: i64) -> Result<i64, CommandError> {
        let number = parse_i64(self.value(of)?).ok_or_else(|| bad(of, NOT_CONVERTED))?;
        if number < min { Err(bad(of, OUT_OF_BOUNDS)) } else { Ok(number) }
    }

    /// A count of things, 0 or more.
    pub(crate) fn count(&mut self, of: &str) -> Result<usize, CommandError> {
        usize::try_from(self.number(of, 0)?).map_err(|_| bad(of, OUT_OF_BOUNDS))
    }

    /// A finite number.
    pub(crate) fn float(&mut self, of: &str) -> Result<f64, CommandError> {
        parse_f64(self.value(of)?).filter(|number| number.is_finite()).ok_or_else(|| bad(of, NOT_CONVERTED))
    }

    /// A count, and so many words behind it.
    pub(crate) fn counted(&mut self, of: &str) -> Result<&'a [&'a [u8]], CommandError> {
        let count = self.count(of)?;
        if count > self.0.len() {
            return Err(bad(of, NONE_LEFT));
        }
        let (words, rest) = self.0.split_at(count);
        self.0 = rest;
        Ok(words)
    }
}

/// What is wrong with the value of an option.
pub(crate) fn bad(of: &str, why: &str) -> CommandError {
    CommandError::owned(format!("Bad arguments for {of}: {why}"))
}

/// A word that has no place here.
pub(crate) fn unknown(word: &[u8]) -> CommandError {
    CommandError::owned(format!("Unknown argument `{}`", crate::error::quote_word(word)))
}
