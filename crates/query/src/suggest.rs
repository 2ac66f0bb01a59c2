//! Completions of what is being typed: the dictionaries of FT.SUGADD and FT.SUGGET.
//!
//! Entries stand in the order of their folded texts, so those that begin with the same characters stand together. A
//! search steps through that order and, where the characters so far are too many edits from the prefix, passes over all
//! entries that begin with them: that walks the trie that the order is.
//!
//! Scores are single precision, as clients see from their digits. What a search says of an entry is its score divided by
//! the root of one more than the characters it is longer than the prefix; with edits, e^2 times less for each.

use std::collections::BTreeMap;

use crate::text::fold;

/// Score of an entry that is the prefix itself.
const EXACT: f32 = i32::MAX as f32;

/// Edits that FUZZY forgives.
const FUZZY: usize = 1;

/// Entries looked at in one search, at most.
const VISITS_MAX: usize = 1_000_000;

/// A dictionary of completions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Suggestions {
    /// By folded text and the text as given.
    entries: BTreeMap<(String, Vec<u8>), Entry>,
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    score: f32,
    payload: Option<Vec<u8>>,
}

/// A completion.
#[derive(Clone, Debug, PartialEq)]
pub struct Suggestion<'a> {
    /// The whole text.
    pub text: &'a [u8],
    /// How good a completion it is.
    pub score: f32,
    /// What was kept with it.
    pub payload: Option<&'a [u8]>,
}

impl Suggestions {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds an entry or changes its score, by `score` or to it; a payload replaces the one there, none leaves it.
    pub fn add(&mut self, text: &[u8], score: f32, increment: bool, payload: Option<&[u8]>) {
        let entry = self.entries.entry(key(text)).or_insert(Entry { score: 0.0, payload: None });
        entry.score = if increment { entry.score + score } else { score };
        if let Some(payload) = payload {
            entry.payload = Some(payload.to_vec());
        }
    }

    /// Takes an entry out; whether it was there.
    pub fn remove(&mut self, text: &[u8]) -> bool {
        self.entries.remove(&key(text)).is_some()
    }

    /// All entries in their order: text, score, payload.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], f32, Option<&[u8]>)> {
        self.entries.iter().map(|((_, text), entry)| (text.as_slice(), entry.score, entry.payload.as_deref()))
    }

    /// The best `max` entries that begin with `prefix`, whatever its case; with `fuzzy`, or nearly so.
    pub fn complete(&self, prefix: &[u8], max: usize, fuzzy: bool) -> Vec<Suggestion<'_>> {
        let prefix: Vec<char> = fold(String::from_utf8_lossy(prefix)).chars().collect();
        let mut found: Vec<Suggestion<'_>> = Vec::new();
        let better = |a: &Suggestion<'_>, b: &Suggestion<'_>| b.score.total_cmp(&a.score).then(a.text.cmp(b.text));
        self.walk(&prefix, if fuzzy { FUZZY } else { 0 }, &mut |text, entry, folded, edits| {
            let exact = edits == 0 && folded.chars().count() == prefix.len();
            let mut score = if exact { EXACT } else { entry.score };
            score *= (-2.0 * edits as f32).exp();
            score /= (1.0 + folded.chars().count().abs_diff(prefix.len()) as f32).sqrt();
            found.push(Suggestion { text, score, payload: entry.payload.as_deref() });
            if found.len() >= max.saturating_mul(2).max(64) {
                found.sort_unstable_by(better);
                found.truncate(max);
            }
        });
        found.sort_unstable_by(better);
        found.truncate(max);
        found
    }

    /// Calls `take` for each entry some beginning of which is at most `most` edits from `prefix`, with the fewest edits.
    fn walk<'a>(&'a self, prefix: &[char], most: usize, take: &mut dyn FnMut(&'a [u8], &'a Entry, &'a str, usize)) {
        if most == 0 {
            // Without edits all that match stand together.
            let start: (String, Vec<u8>) = (prefix.iter().collect(), Vec::new());
            let range = self.entries.range::<(String, Vec<u8>), _>(&start..).take(VISITS_MAX);
            for ((folded, text), entry) in range.take_while(|((folded, _), _)| folded.starts_with(&start.0)) {
                take(text, entry, folded, 0);
            }
            return;
        }
        let mut visits = 0;
        let mut start: Option<(String, Vec<u8>)> = None;
        'passes: loop {
            let range = match &start {
                None => self.entries.range::<(String, Vec<u8>), _>(..),
                Some(start) => self.entries.range::<(String, Vec<u8>), _>(start..),
            };
            for ((folded, text), entry) in range {
                visits += 1;
                if visits > VISITS_MAX {
                    return;
                }
                match nearness(folded, prefix, most) {
                    Nearness::Within(edits) => take(text, entry, folded, edits),
                    Nearness::NotYet => {}
                    Nearness::Never(beginning) => match beyond(&folded[..beginning]) {
                        Some(next) => {
                            start = Some((next, Vec::new()));
                            continue 'passes;
                        }
                        None => return,
                    },
                }
            }
            return;
        }
    }
}

fn key(text: &[u8]) -> (String, Vec<u8>) {
    (fold(String::from_utf8_lossy(text)).into_owned(), text.to_vec())
}

/// How near some beginning of a text is to a prefix.
enum Nearness {
    /// So many edits away.
    Within(usize),
    /// Too many, but a longer text may be nearer.
    NotYet,
    /// Too many for all texts that begin with so many of its bytes.
    Never(usize),
}

/// The fewest edits between `prefix` and some beginning of `text`.
fn nearness(text: &str, prefix: &[char], most: usize) -> Nearness {
    let mut row: Vec<usize> = (0..=prefix.len()).collect();
    let mut fewest = row[prefix.len()];
    let outcome = |fewest, otherwise| if fewest <= most { Nearness::Within(fewest) } else { otherwise };
    for (at, c) in text.char_indices() {
        let mut diagonal = row[0];
        row[0] += 1;
        for (place, &wanted) in prefix.iter().enumerate() {
            let replaced = diagonal + usize::from(c != wanted);
            diagonal = row[place + 1];
            row[place + 1] = replaced.min(diagonal + 1).min(row[place] + 1);
        }
        fewest = fewest.min(row[prefix.len()]);
        if row.iter().all(|&edits| edits > most) {
            return outcome(fewest, Nearness::Never(at + c.len_utf8()));
        }
    }
    outcome(fewest, Nearness::NotYet)
}

/// The smallest text behind all that begin with `beginning`.
fn beyond(beginning: &str) -> Option<String> {
    let mut next = beginning.to_owned();
    while let Some(last) = next.pop() {
        let after = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(after) = after {
            next.push(after);
            return Some(next);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(found: &[Suggestion<'_>]) -> Vec<String> {
        found.iter().map(|suggestion| String::from_utf8_lossy(suggestion.text).into_owned()).collect()
    }

    fn dictionary(words: &[(&str, f32)]) -> Suggestions {
        let mut all = Suggestions::default();
        for (word, score) in words {
            all.add(word.as_bytes(), *score, false, None);
        }
        all
    }

    #[test]
    fn the_entry_itself_comes_first_then_the_best() {
        let all = dictionary(&[("hell", 1.0), ("hello", 1.0), ("help", 9.0), ("world", 1.0)]);
        let found = all.complete(b"hell", 5, false);
        assert_eq!(texts(&found), ["hell", "hello"]);
        assert_eq!(f64::from(found[0].score), 2_147_483_648.0);
        assert_eq!(f64::from(found[1].score), 0.707_106_769_084_930_4);
        assert_eq!(texts(&all.complete(b"HEL", 2, false)), ["help", "hell"]);
        assert!(all.complete(b"x", 5, false).is_empty());
    }

    #[test]
    fn fuzzy_forgives_one_edit() {
        let all = dictionary(&[("hello", 1.0), ("jello", 1.0), ("yellow", 1.0), ("fellows", 1.0), ("other", 1.0)]);
        assert_eq!(texts(&all.complete(b"hello", 10, true)), ["hello", "jello", "yellow", "fellows"]);
        assert_eq!(texts(&all.complete(b"helo", 10, true)), ["hello"]);
    }

    #[test]
    fn scores_are_set_or_added_to_and_payloads_stay() {
        let mut all = Suggestions::default();
        all.add(b"Redis Labs", 1.0, false, Some(b"p"));
        all.add(b"Redis Labs", 2.0, true, None);
        let found = all.complete(b"redis l", 1, false);
        assert_eq!(found[0].payload, Some(&b"p"[..]));
        assert_eq!(found[0].score, 3.0 / 4.0_f32.sqrt());
        assert_eq!(all.len(), 1);
        assert!(all.remove(b"Redis Labs") && !all.remove(b"Redis Labs"));
    }

    proptest! {
        #[test]
        fn completions_equal_a_scan(
            words in proptest::collection::btree_set("[abcä]{0,5}", 0..40),
            prefix in "[abcä]{0,4}",
            fuzzy: bool,
        ) {
            let mut all = Suggestions::default();
            for word in &words {
                all.add(word.as_bytes(), 1.0, false, None);
            }
            let most = if fuzzy { 1 } else { 0 };
            let near = |word: &&String| {
                let ends = word.char_indices().map(|(at, _)| at).chain([word.len()]);
                ends.into_iter().any(|end| crate::text::within_distance(&word[..end], &prefix, most))
            };
            let mut expected: Vec<_> = words.iter().filter(near).cloned().collect();
            let mut found = texts(&all.complete(prefix.as_bytes(), 100, fuzzy));
            expected.sort();
            found.sort();
            prop_assert_eq!(found, expected);
        }
    }
}
