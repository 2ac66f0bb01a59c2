//! Text analysis: from bytes of a TEXT field to the words that are indexed, and the same for the words of a query.
//!
//! A text is cut at punctuation and blanks ([`Tokens`]), folded to lower case, freed of [`StopWords`], and each word gets
//! its stem ([`Stemmer`]) and, where a field asks for it, what it sounds like ([`double_metaphone`]). [`Languages`] is all
//! of it as the index asks for it.
//!
//! Invariants: a word is never empty and never longer than [`TERM_BYTES`](crate::limits::TERM_BYTES); folding looks at one
//! character at a time, so a prefix of a text folds to a prefix of the folded text.

mod language;
mod pattern;
mod phonetic;
mod stop_words;
mod tags;
mod tokens;

use std::borrow::Cow;

pub use language::{Language, STEM_BYTES_MIN, Stemmer};
pub use pattern::{matches_wildcard, within_distance};
pub use phonetic::double_metaphone;
pub use stop_words::StopWords;
pub use tags::{fold_tag, tags};
pub use tokens::{Token, Tokens, fold, is_separator, term};

/// The analyzer of an index: knows all languages, and the index's stop words.
///
/// Stop words have no position: a phrase matches across them.
#[derive(Clone, Debug, Default)]
pub struct Languages {
    stop_words: StopWords,
}

impl Languages {
    /// With these stop words.
    pub fn new(stop_words: StopWords) -> Self {
        Self { stop_words }
    }

    /// The stop words.
    pub fn stop_words(&self) -> &StopWords {
        &self.stop_words
    }
}

impl crate::Analyzer for Languages {
    fn words(&self, language: &str, text: &[u8], take: &mut dyn FnMut(&str)) {
        let language = Language::parse(language.as_bytes()).unwrap_or_default();
        for token in Tokens::new(text, language) {
            if !self.stop_words.contains(&token.text) {
                take(&token.text);
            }
        }
    }

    fn stem<'a>(&self, language: &str, word: &'a str) -> Option<Cow<'a, str>> {
        let stemmer = Stemmer::new(Language::parse(language.as_bytes())?);
        stemmer.is_there().then(|| stemmer.stem(word).map_or(Cow::Borrowed(word), Cow::Owned))
    }

    fn sounds(&self, matcher: &str, word: &str) -> Vec<String> {
        if !matches!(matcher, "dm:en" | "dm:fr" | "dm:pt" | "dm:es") {
            return Vec::new();
        }
        let (primary, secondary) = double_metaphone(word);
        let differs = secondary != primary;
        [Some(primary), differs.then_some(secondary)].into_iter().flatten().filter(|code| !code.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Analyzer;

    #[test]
    fn an_index_gets_words_stems_and_sounds() {
        let languages = Languages::default();
        let mut words = Vec::new();
        languages.words("english", b"To be, or The Question's hirings", &mut |word| words.push(word.to_owned()));
        assert_eq!(words, ["question", "s", "hirings"]);
        assert_eq!(languages.stem("english", "hiring").as_deref(), Some("hire"));
        assert_eq!(languages.stem("english", "its").as_deref(), Some("its"));
        assert_eq!(languages.stem("chinese", "words"), None);
        assert_eq!(languages.sounds("dm:en", "smith"), ["SM0", "XMT"]);
        assert_eq!(languages.sounds("dm:en", "school"), ["SKL"]);
        assert!(languages.sounds("", "smith").is_empty());
    }
}
