//! Corrections of misspelt words: FT.SPELLCHECK.
//!
//! A word is misspelt when no document has it; what it may mean are words of the index and of included dictionaries that are
//! few edits away, without those of excluded ones. An included dictionary may have the word itself; a word of an excluded one
//! is nothing to correct.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Query, ast::Word, text::within_distance, words::each_word};

/// Largest distance of a correction.
pub const DISTANCE_MAX: u8 = 4;

/// Shorter words are not corrected, in characters.
const WORD_MIN: usize = 3;

/// Most corrections of one word.
const CORRECTIONS_MAX: usize = 1000;

/// What an index knows of its words.
pub trait Vocabulary {
    /// Documents of the index.
    fn documents(&self) -> usize;
    /// Documents that have this word.
    fn documents_with(&self, word: &str) -> usize;
    /// Calls `take` for each word within so many edits, with its documents.
    fn similar(&self, word: &str, distance: u8, take: &mut dyn FnMut(&str, usize));
}

/// Which dictionaries take part, and how far corrections may be.
#[derive(Clone, Debug, Default)]
pub struct SpellOptions<'a> {
    /// `DISTANCE`
    pub distance: u8,
    /// `TERMS INCLUDE`
    pub include: Vec<&'a BTreeSet<String>>,
    /// `TERMS EXCLUDE`
    pub exclude: Vec<&'a BTreeSet<String>>,
}

/// A misspelt word and what may be meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Correction {
    /// The word of the query.
    pub word: String,
    /// Scores and words, best first: the score is the share of documents that have the word.
    pub suggestions: Vec<(f64, String)>,
}

/// The misspelt words of a query, in their order.
pub fn spellcheck(query: &Query, vocabulary: &dyn Vocabulary, options: &SpellOptions<'_>) -> Vec<Correction> {
    let mut misspelt = Vec::new();
    each_word(&query.root, &mut |word, _| {
        if let Word::Exact { text, .. } = word
            && text.chars().count() >= WORD_MIN
            && vocabulary.documents_with(text) == 0
            && !options.exclude.iter().any(|dictionary| dictionary.contains(text))
        {
            misspelt.push(text.clone());
        }
    });
    misspelt.into_iter().map(|word| correct(word, vocabulary, options)).collect()
}

fn correct(word: String, vocabulary: &dyn Vocabulary, options: &SpellOptions<'_>) -> Correction {
    let excluded = |word: &str| options.exclude.iter().any(|dictionary| dictionary.contains(word));
    let documents = vocabulary.documents().max(1) as f64;
    let mut found: BTreeMap<String, f64> = BTreeMap::new();
    vocabulary.similar(&word, options.distance, &mut |similar, count| {
        if !excluded(similar) {
            found.insert(similar.to_owned(), count as f64 / documents);
        }
    });
    for dictionary in &options.include {
        for similar in dictionary.iter() {
            if within_distance(&word, similar, usize::from(options.distance)) && !excluded(similar) {
                found.entry(similar.clone()).or_insert(0.0);
            }
        }
    }
    let mut suggestions: Vec<_> = found.into_iter().map(|(word, score)| (score, word)).collect();
    suggestions.sort_by(|a, b| b.0.total_cmp(&a.0)); // Stable: equal ones stay in the order of their words.
    suggestions.truncate(CORRECTIONS_MAX);
    Correction { word, suggestions }
}
