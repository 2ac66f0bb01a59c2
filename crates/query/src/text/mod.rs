//! Text analysis: from bytes of a TEXT field to the words that are indexed, and the same for the words of a query.
//!
//! A text is cut at punctuation and blanks ([`Tokens`]), folded to lower case, freed of [`StopWords`], and each word gets
//! its stem ([`Stemmer`]) and, where a field asks for it, what it sounds like ([`double_metaphone`]). An [`Analyzer`]
//! does the first three; stems and sounds are further terms at the same position, which the index adds.
//!
//! Invariants: a word is never empty and never longer than [`TERM_BYTES`](crate::limits::TERM_BYTES); folding looks at one
//! character at a time, so a prefix of a text folds to a prefix of the folded text.

mod language;
mod phonetic;
mod stop_words;
mod tags;
mod tokens;

pub use language::{Language, STEM_BYTES_MIN, Stemmer};
pub use phonetic::double_metaphone;
pub use stop_words::StopWords;
pub use tags::{fold_tag, tags};
pub use tokens::{Token, Tokens, fold, is_separator, term};

/// A word of a document as it is indexed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// The word, where it began and where it ended.
    pub token: Token<'a>,
    /// How many words stand before it. Stop words do not count, so a phrase matches across them.
    pub position: u32,
}

/// What turns a text into words.
#[derive(Clone, Copy, Debug)]
pub struct Analyzer<'a> {
    language: Language,
    stop_words: &'a StopWords,
}

impl<'a> Analyzer<'a> {
    /// For texts in `language`, without `stop_words`.
    pub fn new(language: Language, stop_words: &'a StopWords) -> Self {
        Self { language, stop_words }
    }

    /// The words of `text` in their order.
    pub fn words<'t>(&self, text: &'t [u8]) -> impl Iterator<Item = Word<'t>> + use<'a, 't> {
        let stop_words = self.stop_words;
        Tokens::new(text, self.language)
            .filter(move |token| !stop_words.contains(&token.text))
            .zip(0..)
            .map(|(token, position)| Word { token, position })
    }
}
