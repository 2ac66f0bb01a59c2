//! Words that are neither indexed nor asked for.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

/// The list that holds for every language unless FT.CREATE says otherwise.
const USUAL: &[&str] = &[
    "a", "is", "the", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "it", "no", "not",
    "of", "on", "or", "such", "that", "their", "then", "there", "these", "they", "this", "to", "was", "will", "with",
];

/// A set of stop words; a copy costs nothing, as every query has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopWords(Arc<HashSet<Box<str>>>);

impl StopWords {
    /// These words, whatever their case.
    pub fn new<W: AsRef<str>>(words: impl IntoIterator<Item = W>) -> Self {
        Self(Arc::new(words.into_iter().map(|word| word.as_ref().to_lowercase().into()).collect()))
    }

    /// What a schema says: its own list, or the usual one.
    pub fn of(schema: &crate::Schema) -> Self {
        schema.stop_words.as_ref().map_or_else(Self::default, Self::new)
    }

    /// None at all.
    pub fn none() -> Self {
        Self(Arc::default())
    }

    /// Whether this folded word is one.
    pub fn contains(&self, word: &str) -> bool {
        !self.0.is_empty() && self.0.contains(word)
    }
}

impl Default for StopWords {
    fn default() -> Self {
        static SET: LazyLock<StopWords> = LazyLock::new(|| StopWords::new(USUAL));
        SET.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_lists_replace_the_usual_one() {
        let own = StopWords::new(["Foo"]);
        assert!(own.contains("foo") && !own.contains("the"));
        assert!(!StopWords::none().contains("the"));
    }
}
