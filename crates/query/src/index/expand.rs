//! The terms a word of a query stands for: itself, its stem, its synonyms, its sound; or all that begin, end, look or
//! are spelt like it. All of it is bounded by the number of terms taken, and asks the clock while it reads dictionaries.

use crate::ast::{Attributes, Tag, TextFields, Word};
use crate::index::clock::Clock;
use crate::index::dictionary::{Dictionary, TermId};
use crate::index::search::SearchOptions;
use crate::index::{Index, SOUND, STEM, is_word};
use crate::limits;
use crate::schema::FieldKind;
use crate::text::matches_wildcard as matches;

/// A term, and in which fields it counts.
pub(super) type Expansion = (TermId, TextFields);

impl Index {
    /// The terms of a word.
    pub(super) fn expand(
        &self,
        word: &Word,
        fields: TextFields,
        attributes: &Attributes,
        options: &SearchOptions<'_>,
        clock: &Clock<'_>,
    ) -> Vec<Expansion> {
        let terms = match word {
            Word::Exact { text, verbatim: true } => {
                self.words.find(text.as_bytes()).map(|found| found.0).into_iter().collect()
            }
            Word::Exact { text, verbatim: false } => return self.kin(text, fields, attributes, options),
            Word::Prefix(text) => affixed(&self.words, &Affix::Prefix(text.as_bytes()), options, clock),
            Word::Suffix(text) => affixed(&self.words, &Affix::Suffix(text.as_bytes()), options, clock),
            Word::Infix(text) => affixed(&self.words, &Affix::Infix(text.as_bytes()), options, clock),
            Word::Wildcard(pattern) => affixed(&self.words, &Affix::Wildcard(pattern), options, clock),
            Word::Fuzzy { text, distance } => {
                let limit = options.expansions;
                self.fuzzy(text, *distance, &mut || clock.tick()).take(limit).map(|(id, _)| id).collect()
            }
        };
        terms.into_iter().map(|term| (term, fields)).collect()
    }

    /// Words within a Levenshtein distance of a word, ascending, each with its number of documents.
    pub fn similar<'a>(&'a self, word: &'a str, distance: u8) -> impl Iterator<Item = (&'a str, usize)> {
        let found: Vec<_> = self.fuzzy(word, distance, &mut || true).map(|(id, _)| id).collect();
        let terms = found.into_iter().filter_map(|id| self.words.term(id));
        terms.filter_map(|term| Some((std::str::from_utf8(&term.text).ok()?, term.postings.len())))
    }

    /// A word, its stem, its synonyms and its sound.
    fn kin(
        &self,
        text: &str,
        fields: TextFields,
        attributes: &Attributes,
        options: &SearchOptions<'_>,
    ) -> Vec<Expansion> {
        let mut out: Vec<Expansion> = Vec::new();
        let mut add = |term: &[u8], fields: TextFields| {
            if let Some((id, _)) = self.words.find(term).filter(|_| fields != 0)
                && !out.iter().any(|(other, _)| *other == id)
            {
                out.push((id, fields));
            }
        };
        add(text.as_bytes(), fields);
        let language = options.language.unwrap_or(&self.schema.language);
        if let Some(stem) = self.analyzer.stem(language, text) {
            let stemmed = fields & self.stemmed_fields();
            add(&marked(STEM, &stem), stemmed);
            add(stem.as_bytes(), stemmed);
        }
        for synonym in (options.synonyms)(text) {
            add(synonym.as_bytes(), fields);
        }
        if attributes.phonetic != Some(false) {
            for (ordinal, matcher) in self.matchers() {
                for sound in self.analyzer.sounds(matcher, text) {
                    add(&marked(SOUND, &sound), fields & 1 << ordinal);
                }
            }
        }
        out
    }

    /// TEXT fields whose words have stems.
    fn stemmed_fields(&self) -> TextFields {
        let texts = (0..).zip(&self.texts).filter(|(_, place)| {
            let kind = self.schema.fields.get(**place as usize).map(|field| &field.kind);
            matches!(kind, Some(FieldKind::Text { no_stem: false, .. }))
        });
        texts.fold(0, |fields, (ordinal, _): (u32, _)| fields | 1 << ordinal)
    }

    /// TEXT fields that match by sound, and how.
    fn matchers(&self) -> impl Iterator<Item = (u32, &str)> {
        (0..).zip(&self.texts).filter_map(|(ordinal, place)| match &self.schema.fields.get(*place as usize)?.kind {
            FieldKind::Text { phonetic: Some(matcher), .. } => Some((ordinal, matcher.as_str())),
            _ => None,
        })
    }

    /// Words within a Levenshtein distance. Terms are read in their order, and where the characters so far are too many
    /// edits away, all that begin with them are passed over: so it costs as much as walking a trie.
    fn fuzzy(&self, word: &str, distance: u8, go_on: &mut dyn FnMut() -> bool) -> std::vec::IntoIter<(TermId, u8)> {
        let (wanted, most) = (word.chars().collect::<Vec<_>>(), u32::from(distance));
        let width = wanted.len() + 1;
        // Row i: edits between the first i characters of the term and each beginning of the word.
        let mut rows: Vec<u32> = (0..width as u32).collect();
        let mut before: Vec<char> = Vec::new();
        let mut found = Vec::new();
        let mut start: Vec<u8> = Vec::new();
        'passes: loop {
            for (id, term) in self.words.from(&start) {
                if !is_word(&term.text) || !go_on() {
                    break 'passes;
                }
                let Ok(text) = std::str::from_utf8(&term.text) else { continue };
                let common = text.chars().zip(&before).take_while(|(a, b)| a == *b).count();
                before.truncate(common);
                rows.truncate((common + 1) * width);
                for (at, c) in text.char_indices().skip(common) {
                    before.push(c);
                    push_row(&mut rows, &wanted, c);
                    let row = &rows[rows.len() - width..];
                    if row.iter().min().is_none_or(|least| *least > most) {
                        start = beyond(&text.as_bytes()[..at + c.len_utf8()]);
                        continue 'passes;
                    }
                }
                let edits = rows[rows.len() - 1];
                if edits <= most {
                    found.push((id, edits as u8));
                }
            }
            break;
        }
        found.into_iter()
    }
}

/// Values of a TAG field that a tag of a query stands for.
pub(super) fn expand_tag(tags: &Dictionary, tag: &Tag, options: &SearchOptions<'_>, clock: &Clock<'_>) -> Vec<TermId> {
    match tag {
        Tag::Exact(value) => {
            tags.find(&value[..value.len().min(limits::TAG_BYTES)]).map(|found| found.0).into_iter().collect()
        }
        Tag::Prefix(text) => affixed(tags, &Affix::Prefix(text), options, clock),
        Tag::Suffix(text) => affixed(tags, &Affix::Suffix(text), options, clock),
        Tag::Infix(text) => affixed(tags, &Affix::Infix(text), options, clock),
        Tag::Wildcard(pattern) => affixed(tags, &Affix::Wildcard(pattern), options, clock),
    }
}

/// What is known of a term.
enum Affix<'a> {
    Prefix(&'a [u8]),
    Suffix(&'a [u8]),
    Infix(&'a [u8]),
    Wildcard(&'a [u8]),
}

/// A pattern without stars beside stars, and how many bytes a text has that matches it at least.
fn simplified(pattern: &[u8]) -> (Vec<u8>, usize) {
    let (mut out, mut least) = (Vec::with_capacity(pattern.len()), 0);
    let (mut escaped, mut after_star) = (false, false);
    for &byte in pattern {
        let star = byte == b'*' && !escaped;
        if !(star && after_star) {
            out.push(byte);
        }
        escaped = byte == b'\\' && !escaped;
        after_star = star;
        least += usize::from(!star && !escaped);
    }
    (out, least)
}

fn affixed(dictionary: &Dictionary, affix: &Affix<'_>, options: &SearchOptions<'_>, clock: &Clock<'_>) -> Vec<TermId> {
    let (pattern, least) = match affix {
        Affix::Wildcard(pattern) => simplified(pattern),
        _ => (Vec::new(), 0),
    };
    let start = match affix {
        Affix::Prefix(text) => text,
        Affix::Suffix(_) | Affix::Infix(_) => &[][..],
        Affix::Wildcard(pattern) => literal(pattern),
    };
    if let Affix::Prefix(text) | Affix::Suffix(text) | Affix::Infix(text) = affix
        && characters(text) < options.min_prefix
    {
        return Vec::new();
    }
    let words = dictionary.from(start).take_while(|(_, term)| term.text.starts_with(start) && clock.tick());
    // Stems and sounds come after all words, and are nothing a client can name.
    let words = words.take_while(|(_, term)| dictionary.shape() == super::postings::Shape::Ids || is_word(&term.text));
    let fits = words.filter(|(_, term)| match affix {
        Affix::Prefix(_) => true,
        Affix::Suffix(text) => term.text.ends_with(text),
        Affix::Infix(text) => contains(&term.text, text),
        Affix::Wildcard(_) => term.text.len() >= least && matches(&pattern, &term.text),
    });
    fits.take(options.expansions).map(|(id, _)| id).collect()
}

fn marked(kind: u8, text: &str) -> Vec<u8> {
    [&[kind], text.as_bytes()].concat()
}

/// The smallest text behind all that begin with `prefix`.
fn beyond(prefix: &[u8]) -> Vec<u8> {
    // 0xff is in no word, so this is behind every word that begins so; stems and sounds come later still.
    let mut start = prefix.to_vec();
    start.push(u8::MAX);
    start
}

fn push_row(rows: &mut Vec<u32>, wanted: &[char], c: char) {
    let above = rows.len() - wanted.len() - 1;
    rows.push(rows[above] + 1);
    for (i, &other) in wanted.iter().enumerate() {
        let replaced = rows[above + i] + u32::from(other != c);
        let edited = rows[above + i + 1].min(rows[rows.len() - 1]) + 1;
        rows.push(replaced.min(edited));
    }
}

fn characters(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

/// What stands before the first `?` or `*` of a pattern.
fn literal(pattern: &[u8]) -> &[u8] {
    let end = pattern.iter().position(|byte| matches!(byte, b'?' | b'*' | b'\\')).unwrap_or(pattern.len());
    &pattern[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_in_a_row_are_one_unless_escaped() {
        assert_eq!(simplified(b"a***b?*"), (b"a*b?*".to_vec(), 3));
        assert_eq!(simplified(br"\**\*"), (br"\**\*".to_vec(), 2));
        assert_eq!(simplified(br"\\**"), (br"\\*".to_vec(), 1));
    }
}
