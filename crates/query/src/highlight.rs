//! Marks and shortens texts around the words of a query: HIGHLIGHT and SUMMARIZE.
//!
//! The text is cut into tokens again, as it was when it was indexed, and each is held against the query's words: itself,
//! its stem, synonyms, patterns. A summary takes the parts of a text with the most words of the query; each part has as
//! many words as asked for, with those of the query in its middle.

use std::{cmp::Reverse, collections::HashMap};

use crate::{
    Analyzer, Query,
    ast::{TextFields, Word},
    text::{Language, Tokens, matches_wildcard, within_distance},
    words::each_word,
};

/// What SUMMARIZE makes of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// `FRAGS`: parts at most.
    pub fragments: usize,
    /// `LEN`: words of a part.
    pub words: usize,
    /// `SEPARATOR`: behind each part.
    pub separator: Vec<u8>,
}

impl Default for Summary {
    fn default() -> Self {
        Self { fragments: 3, words: 20, separator: b"... ".to_vec() }
    }
}

/// What HIGHLIGHT puts around a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks {
    /// Before it.
    pub open: Vec<u8>,
    /// Behind it.
    pub close: Vec<u8>,
}

impl Default for Marks {
    fn default() -> Self {
        Self { open: b"<b>".to_vec(), close: b"</b>".to_vec() }
    }
}

/// Finds the words of a query in texts.
#[derive(Debug)]
pub struct Highlighter<'a> {
    exact: HashMap<String, TextFields>,
    stems: HashMap<String, TextFields>,
    patterns: Vec<(&'a Word, TextFields)>,
    analyzer: &'a dyn Analyzer,
    language: &'a str,
}

/// A token of a text, and whether the query has it.
#[derive(Clone, Copy, Debug)]
struct Mark {
    start: usize,
    end: usize,
    found: bool,
}

impl<'a> Highlighter<'a> {
    /// For the words of `query`; `synonyms` tells the synonyms of a word.
    pub fn new(
        query: &'a Query,
        analyzer: &'a dyn Analyzer,
        language: &'a str,
        synonyms: &dyn Fn(&str) -> Vec<String>,
    ) -> Self {
        let (mut exact, mut stems, mut patterns) = (HashMap::new(), HashMap::new(), Vec::new());
        let note = |map: &mut HashMap<String, TextFields>, text: String, fields: TextFields| {
            *map.entry(text).or_default() |= fields;
        };
        each_word(&query.root, &mut |word, fields| match word {
            Word::Exact { text, verbatim } => {
                note(&mut exact, text.clone(), fields);
                if !verbatim {
                    if let Some(stem) = analyzer.stem(language, text) {
                        note(&mut stems, stem.into_owned(), fields);
                    }
                    for synonym in synonyms(text) {
                        note(&mut exact, synonym, fields);
                    }
                }
            }
            word => patterns.push((word, fields)),
        });
        Self { exact, stems, patterns, analyzer, language }
    }

    /// `text` of a field with the query's words marked; `field` is its bit among the TEXT fields.
    pub fn highlight(&self, text: &[u8], field: TextFields, marks: &Marks) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len() + 32);
        let found = self.marks(text, field);
        emphasize(text, &found, 0, text.len(), Some(marks), &mut out);
        out
    }

    /// The parts of `text` around the query's words, marked if `marks` says how; its beginning if none is there.
    pub fn summarize(&self, text: &[u8], field: TextFields, summary: &Summary, marks: Option<&Marks>) -> Vec<u8> {
        let tokens = self.marks(text, field);
        let mut out = Vec::new();
        let mut parts = fragments(&tokens, summary);
        if parts.is_empty() {
            parts.push((0, tokens.len().min(summary.words)));
        }
        for (first, end) in parts {
            let Some(last) = end.checked_sub(1).and_then(|last| tokens.get(last)) else { continue };
            // What stands behind the query's words goes up to a separator: a last word that has none is left off.
            let stop = match end == tokens.len() {
                true if last.end == text.len() && !last.found => last.start,
                true => text.len(),
                false => last.end,
            };
            let before = out.len();
            emphasize(text, &tokens[first..end], tokens[first].start, stop, marks, &mut out);
            for byte in &mut out[before..] {
                if matches!(byte, b'\n' | b'\r') {
                    *byte = b' ';
                }
            }
            out.extend_from_slice(&summary.separator);
        }
        out
    }

    fn marks(&self, text: &[u8], field: TextFields) -> Vec<Mark> {
        let language = Language::parse(self.language.as_bytes()).unwrap_or_default();
        let tokens = Tokens::new(text, language);
        tokens.map(|token| Mark { start: token.start, end: token.end, found: self.has(&token.text, field) }).collect()
    }

    fn has(&self, token: &str, field: TextFields) -> bool {
        let noted =
            |map: &HashMap<String, TextFields>, text: &str| map.get(text).is_some_and(|fields| fields & field != 0);
        if noted(&self.exact, token) {
            return true;
        }
        if !self.stems.is_empty()
            && let Some(stem) = self.analyzer.stem(self.language, token)
            && noted(&self.stems, &stem)
        {
            return true;
        }
        self.patterns.iter().any(|(word, fields)| fields & field != 0 && looks_like(token, word))
    }
}

fn looks_like(token: &str, word: &Word) -> bool {
    match word {
        Word::Exact { text, .. } => token == text,
        Word::Prefix(text) => token.starts_with(text.as_str()),
        Word::Suffix(text) => token.ends_with(text.as_str()),
        Word::Infix(text) => token.contains(text.as_str()),
        Word::Wildcard(pattern) => matches_wildcard(pattern, token.as_bytes()),
        Word::Fuzzy { text, distance } => within_distance(token, text, usize::from(*distance)),
    }
}

/// Appends `text[start..stop]` with marks around the tokens that were found.
fn emphasize(text: &[u8], tokens: &[Mark], start: usize, stop: usize, marks: Option<&Marks>, out: &mut Vec<u8>) {
    let mut at = start;
    if let Some(marks) = marks {
        for token in tokens.iter().filter(|token| token.found) {
            out.extend_from_slice(&text[at..token.start]);
            out.extend_from_slice(&marks.open);
            out.extend_from_slice(&text[token.start..token.end]);
            out.extend_from_slice(&marks.close);
            at = token.end;
        }
    }
    out.extend_from_slice(&text[at..stop]);
}

/// Ranges of tokens: the best parts in the order of the text, none overlapping another.
fn fragments(tokens: &[Mark], summary: &Summary) -> Vec<(usize, usize)> {
    let words = summary.words.max(1);
    // First and last token found, and how many between them.
    let mut clusters: Vec<(usize, usize, usize)> = Vec::new();
    for (place, _) in tokens.iter().enumerate().filter(|(_, token)| token.found) {
        match clusters.last_mut() {
            Some((first, last, found)) if place - *first < words => (*last, *found) = (place, *found + 1),
            _ => clusters.push((place, place, 1)),
        }
    }
    clusters.sort_by_key(|cluster| Reverse(cluster.2)); // Stable: among equals the first in the text.
    clusters.truncate(summary.fragments);
    clusters.sort_unstable();
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for (place, (first, last, _)) in clusters.iter().enumerate() {
        let context = words.saturating_sub(last - first + 1);
        let taken = parts.last().map_or(0, |part| part.1);
        let next = clusters.get(place + 1).map_or(tokens.len(), |next| next.0);
        let start = first.saturating_sub(context / 2).max(taken);
        let end = (last + 1).saturating_add(context - context / 2).min(next).max(last + 1);
        parts.push((start, end));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ast::{Attributes, Kind, Node},
        text::Languages,
    };

    fn words(words: &[Word]) -> Query {
        let node = |kind| Node { kind, attributes: Attributes::default() };
        let parts = words.iter().map(|word| node(Kind::Word { fields: !0, word: word.clone() })).collect();
        Query { root: node(Kind::Or(parts)), knn: None }
    }

    fn exact(text: &str) -> Word {
        Word::Exact { text: text.to_owned(), verbatim: false }
    }

    fn highlighted(query: &Query, text: &str) -> String {
        let analyzer = Languages::default();
        let synonyms = |word: &str| if word == "car" { vec!["automobile".to_owned()] } else { Vec::new() };
        let highlighter = Highlighter::new(query, &analyzer, "english", &synonyms);
        String::from_utf8(highlighter.highlight(text.as_bytes(), 1, &Marks::default())).unwrap()
    }

    #[test]
    fn words_of_one_stem_synonyms_and_patterns_are_marked() {
        let query = words(&[exact("hire"), exact("car"), Word::Prefix("wor".to_owned())]);
        assert_eq!(
            highlighted(&query, "Hiring, hired: an Automobile of the world!"),
            "<b>Hiring</b>, <b>hired</b>: an <b>Automobile</b> of the <b>world</b>!"
        );
        assert_eq!(highlighted(&query, "nothing here"), "nothing here");
    }

    #[test]
    fn summaries_keep_what_stands_around_the_words() {
        let text = "one two three four five six seven eight nine ten eleven twelve thirteen";
        let query = words(&[exact("five"), exact("twelve")]);
        let analyzer = Languages::default();
        let highlighter = Highlighter::new(&query, &analyzer, "english", &|_| Vec::new());
        let summary = Summary { fragments: 3, words: 3, separator: b"... ".to_vec() };
        let summarized = |summary: &Summary, marks: Option<&Marks>| {
            String::from_utf8(highlighter.summarize(text.as_bytes(), 1, summary, marks)).unwrap()
        };
        assert_eq!(summarized(&summary, None), "four five six... eleven twelve ... ");
        assert_eq!(
            summarized(&Summary { fragments: 1, ..summary.clone() }, Some(&Marks::default())),
            "four <b>five</b> six... "
        );
        let none = words(&[exact("absent")]);
        let highlighter = Highlighter::new(&none, &analyzer, "english", &|_| Vec::new());
        assert_eq!(highlighter.summarize(text.as_bytes(), 1, &summary, None), b"one two three... ");
    }

    #[test]
    fn summaries_of_anything_end() {
        let query = words(&[exact("a")]);
        let analyzer = Languages::default();
        let highlighter = Highlighter::new(&query, &analyzer, "english", &|_| Vec::new());
        for text in ["", "a", "a a a a", "\n\n", "b a"] {
            for words in 0..4 {
                for fragments in 0..3 {
                    let summary = Summary { fragments, words, separator: Vec::new() };
                    highlighter.summarize(text.as_bytes(), 1, &summary, None);
                }
            }
        }
    }
}
