//! FT.SPELLCHECK's corrections.

use std::collections::BTreeSet;

use quiver_query::{
    spell::{Correction, SpellOptions, Vocabulary, spellcheck},
    text::within_distance,
};

use super::*;

/// Three documents.
struct Words(&'static [(&'static str, usize)]);

impl Vocabulary for Words {
    fn documents(&self) -> usize {
        3
    }

    fn documents_with(&self, word: &str) -> usize {
        self.0.iter().find(|(known, _)| *known == word).map_or(0, |(_, documents)| *documents)
    }

    fn similar(&self, word: &str, distance: u8, take: &mut dyn FnMut(&str, usize)) {
        let near = |known: &&(&str, usize)| within_distance(known.0, word, usize::from(distance));
        self.0.iter().filter(near).for_each(|(known, documents)| take(known, *documents));
    }
}

fn corrections(query: &str, options: &SpellOptions<'_>) -> Vec<Correction> {
    spellcheck(&read(query), &Words(&[("hello", 2), ("help", 1), ("world", 3)]), options)
}

fn correction(word: &str, suggestions: &[(f64, &str)]) -> Correction {
    let suggestions = suggestions.iter().map(|(score, word)| (*score, (*word).to_owned())).collect();
    Correction { word: word.to_owned(), suggestions }
}

#[test]
fn misspelt_words_get_the_words_of_the_index_by_their_frequency() {
    let options = SpellOptions { distance: 2, ..SpellOptions::default() };
    assert_eq!(corrections("held", &options), [correction("held", &[(2.0 / 3.0, "hello"), (1.0 / 3.0, "help")])]);
    assert_eq!(corrections("world wurld ab -held", &options), [correction("wurld", &[(1.0, "world")])]);
    assert_eq!(corrections("\"zzzzz help\"", &options), [correction("zzzzz", &[])]);
}

#[test]
fn dictionaries_add_words_and_take_them_away() {
    let set = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
    let (include, exclude) = (set(&["helm", "help"]), set(&["hello"]));
    let options = SpellOptions { distance: 2, include: vec![&include], exclude: vec![&exclude] };
    assert_eq!(corrections("held", &options), [correction("held", &[(1.0 / 3.0, "help"), (0.0, "helm")])]);
    assert_eq!(corrections("hallo hello", &SpellOptions { exclude: vec![&set(&["hallo"])], ..options.clone() }), []);
    assert_eq!(corrections("helm", &options), [correction("helm", &[(1.0 / 3.0, "help"), (0.0, "helm")])]);
}
