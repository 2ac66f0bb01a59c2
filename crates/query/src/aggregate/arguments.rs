//! The words of a command, read from left to right.

use crate::QueryError;

/// Words that are not read yet.
#[derive(Clone, Copy, Debug)]
pub struct Arguments<'a> {
    words: &'a [&'a [u8]],
}

impl<'a> Arguments<'a> {
    /// All of `words` are to be read.
    pub fn new(words: &'a [&'a [u8]]) -> Self {
        Self { words }
    }

    /// The next word.
    pub fn peek(&self) -> Option<&'a [u8]> {
        self.words.first().copied()
    }

    /// Takes the next word.
    pub fn next_word(&mut self) -> Option<&'a [u8]> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    /// Takes the next word if it is `word`, whatever its case.
    pub fn take(&mut self, word: &str) -> bool {
        let is = self.peek().is_some_and(|next| next.eq_ignore_ascii_case(word.as_bytes()));
        if is {
            self.words = &self.words[1..];
        }
        is
    }

    /// Words that are left.
    pub fn rest(&self) -> &'a [&'a [u8]] {
        self.words
    }

    /// Takes a word of the clause named `clause`.
    ///
    /// # Errors
    /// Where there is none.
    pub fn word(&mut self, clause: &str) -> Result<&'a [u8], QueryError> {
        self.next_word().ok_or_else(|| {
            QueryError::new(format!("Bad arguments for {clause}: Expected an argument, but none provided"))
        })
    }

    /// Takes a number that is not negative.
    ///
    /// # Errors
    /// Where there is none.
    pub fn count(&mut self, clause: &str) -> Result<usize, QueryError> {
        let word = self.word(clause)?;
        let number = std::str::from_utf8(word).ok().and_then(|word| word.parse::<u64>().ok());
        let number = number.and_then(|number| usize::try_from(number).ok());
        number.ok_or_else(|| {
            QueryError::new(format!("Bad arguments for {clause}: Could not convert argument to expected type"))
        })
    }

    /// Takes a number and as many words as it says.
    ///
    /// # Errors
    /// Where there are fewer.
    pub fn counted(&mut self, clause: &str) -> Result<Self, QueryError> {
        let count = self.count(clause)?;
        let Some((taken, rest)) = self.words.split_at_checked(count) else {
            self.words = &[];
            return Err(QueryError::new(format!(
                "Bad arguments for {clause}: Expected an argument, but none provided"
            )));
        };
        self.words = rest;
        Ok(Self { words: taken })
    }
}
