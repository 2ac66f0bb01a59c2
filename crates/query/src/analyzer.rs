//! What makes words of texts: the door between the indexes and the knowledge of languages.

use std::borrow::Cow;
use std::fmt::Debug;

/// Makes words of texts, and knows what a word stands for besides itself. An index asks the same analyzer when it takes
/// a document and when it answers a query, so both see the same words.
pub trait Analyzer: Debug + Send + Sync {
    /// Calls `take` for each word of a text in its order: folded, without stop words, at most
    /// [`limits::TERM_BYTES`](crate::limits::TERM_BYTES) long. A word's position is its place among these.
    fn words(&self, language: &str, text: &[u8], take: &mut dyn FnMut(&str));

    /// The stem of a word, which may be the word; `None` where the language has no stemmer.
    fn stem<'a>(&self, language: &str, word: &'a str) -> Option<Cow<'a, str>>;

    /// How a word sounds in the language of a PHONETIC matcher (`dm:en`): one key or two.
    fn sounds(&self, matcher: &str, word: &str) -> Vec<String>;
}
