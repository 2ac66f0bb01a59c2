//! A slow twin of the index: keeps documents as they came and answers every query by looking at all of them.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use quiver_query::ast::{Attributes, End, Kind, Node, Tag, Word};
use quiver_query::{Analyzer, Document, FieldValue};

pub(crate) const TITLE: u16 = 0;
pub(crate) const BODY: u16 = 1;
pub(crate) const TAGS: u16 = 2;
pub(crate) const PRICE: u16 = 3;
pub(crate) const PLACE: u16 = 4;
pub(crate) const FLAT: u16 = 5;
pub(crate) const GRAPH: u16 = 6;

/// Words are what blanks part; a plural's stem is its singular, and a word sounds like its first letter.
#[derive(Debug)]
pub(crate) struct Simple;

impl Analyzer for Simple {
    fn words(&self, _language: &str, text: &[u8], take: &mut dyn FnMut(&str)) {
        std::str::from_utf8(text).unwrap().split_ascii_whitespace().filter(|word| *word != "the").for_each(take);
    }

    fn stem<'a>(&self, _language: &str, word: &'a str) -> Option<Cow<'a, str>> {
        Some(Cow::Borrowed(word.strip_suffix('s').unwrap_or(word)))
    }

    fn sounds(&self, _matcher: &str, word: &str) -> Vec<String> {
        word.chars().next().map(String::from).into_iter().collect()
    }
}

/// The documents.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) docs: BTreeMap<Vec<u8>, Doc>,
}

/// One of them, taken apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doc {
    pub(crate) score: f64,
    /// Words of both TEXT fields with their places.
    pub(crate) words: [Vec<(String, u32)>; 2],
    pub(crate) tags: BTreeSet<Vec<u8>>,
    pub(crate) numbers: Vec<f64>,
    pub(crate) points: Vec<[f64; 2]>,
    pub(crate) vectors: BTreeMap<u16, Vec<Vec<f32>>>,
    pub(crate) missing: BTreeSet<u16>,
}

/// A term of the index: a word, or a stem of others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Term {
    Word(String),
    Stem(String),
}

const WEIGHTS: [f64; 2] = [1.0, 3.0];
/// The second TEXT field is NOSTEM.
const STEMMED: u128 = 1;

fn stem(word: &str) -> &str {
    word.strip_suffix('s').unwrap_or(word)
}

impl Doc {
    pub(crate) fn of(document: &Document) -> Self {
        let mut doc = Self { score: f64::from(document.score), missing: (0..7).collect(), ..Self::default() };
        let mut behind_title = 0;
        for (field, value) in &document.fields {
            doc.missing.remove(field);
            match (field, value) {
                (&(TITLE | BODY), FieldValue::Texts(texts)) => {
                    let mut place = 0;
                    for (nth, text) in texts.iter().enumerate() {
                        place += if nth > 0 { 100 } else { 0 };
                        Simple.words("", text, &mut |word| {
                            doc.words[*field as usize].push((word.to_owned(), place));
                            place += 1;
                        });
                    }
                    behind_title = if *field == TITLE { place } else { behind_title };
                }
                (&TAGS, FieldValue::Texts(texts)) => {
                    for tag in texts.iter().flat_map(|text| text.split(|byte| *byte == b',')) {
                        doc.tags.insert(tag.trim_ascii().to_ascii_lowercase());
                    }
                    doc.tags.remove(&b""[..]);
                }
                (&PRICE, FieldValue::Numbers(numbers)) => doc.numbers.clone_from(numbers),
                (&PLACE, FieldValue::Texts(texts)) => {
                    for text in texts {
                        let (x, y) = std::str::from_utf8(text).unwrap().split_once(',').unwrap();
                        doc.points.push([x.parse().unwrap(), y.parse().unwrap()]);
                    }
                }
                (_, FieldValue::Vectors(vectors)) => {
                    doc.vectors.insert(*field, vectors.clone());
                }
                _ => panic!("{field} {value:?}"),
            }
        }
        // The body stands behind the title.
        doc.words[BODY as usize].iter_mut().for_each(|(_, place)| *place += behind_title);
        doc
    }

    pub(crate) fn length(&self) -> usize {
        self.words.iter().map(Vec::len).sum()
    }

    pub(crate) fn distance(&self, field: u16, query: &[f32]) -> Option<f32> {
        let of = |vector: &Vec<f32>| vector.iter().zip(query).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
        self.vectors.get(&field)?.iter().map(of).min_by(f32::total_cmp)
    }

    /// Places of a term in a TEXT field.
    fn places(&self, term: &Term, field: usize) -> Vec<u32> {
        let is = |word: &str| match term {
            Term::Word(term) => word == term,
            Term::Stem(term) => STEMMED >> field & 1 == 1 && stem(word) == term && word != term,
        };
        self.words[field].iter().filter(|(word, _)| is(word)).map(|(_, place)| *place).collect()
    }

    fn frequency(&self, term: &Term) -> f64 {
        let weight = |field: usize| match term {
            Term::Word(_) => WEIGHTS[field].floor().max(1.0),
            Term::Stem(_) => (WEIGHTS[field] * 0.2).floor().max(1.0),
        };
        (0..2).map(|field| self.places(term, field).len() as f64 * weight(field)).sum()
    }
}

/// What a condition has of a document it holds for.
struct Match {
    score: f64,
    /// Places of words in both TEXT fields.
    places: [BTreeSet<u32>; 2],
}

impl Match {
    fn scored(score: f64) -> Self {
        Self { score, places: [BTreeSet::new(), BTreeSet::new()] }
    }

    fn fields(&self) -> Vec<usize> {
        (0..2).filter(|field| !self.places[*field].is_empty()).collect()
    }
}

impl Model {
    /// Score of each document that matches.
    pub(crate) fn search(&self, root: &Node) -> BTreeMap<Vec<u8>, f64> {
        let words = self.docs.values().flat_map(|doc| doc.words.iter().flatten()).map(|word| word.0.as_str());
        let length = self.docs.values().map(Doc::length).sum::<usize>() as f64;
        let scan = Scan {
            docs: &self.docs,
            words: words.collect(),
            mean: length / self.docs.len() as f64,
            with: RefCell::default(),
        };
        let docs = self.docs.iter().filter_map(|(key, doc)| {
            let found = scan.matches(root, doc)?;
            Some((key.clone(), found.score * doc.score))
        });
        docs.collect()
    }
}

/// One query over all documents, and what is the same for all of them.
struct Scan<'a> {
    docs: &'a BTreeMap<Vec<u8>, Doc>,
    words: BTreeSet<&'a str>,
    /// Mean length.
    mean: f64,
    /// Documents with a term.
    with: RefCell<BTreeMap<Term, usize>>,
}

impl Scan<'_> {
    fn matches(&self, node: &Node, doc: &Doc) -> Option<Match> {
        let weight = node.attributes.weight.unwrap_or(1.0);
        let plain = |matches: bool| matches.then(|| Match::scored(0.0));
        match &node.kind {
            Kind::All => plain(true),
            Kind::Nothing => None,
            Kind::Word { fields, word } => self.word(*fields, word, doc, weight),
            Kind::Phrase { fields, words } => {
                let found: Vec<_> =
                    words.iter().map(|word| self.word(*fields, word, doc, 1.0)).collect::<Option<_>>()?;
                if words.is_empty() || !(0..2).any(|field| in_a_row(&found, field)) {
                    return None;
                }
                Some(joined(found, weight))
            }
            Kind::And(nodes) => self.and(nodes, &node.attributes, doc),
            Kind::Or(nodes) => {
                let found: Vec<_> = nodes.iter().filter_map(|node| self.matches(node, doc)).collect();
                (!found.is_empty()).then(|| joined(found, weight))
            }
            Kind::Not(node) => plain(self.matches(node, doc).is_none()),
            Kind::Optional(_) => self.and(std::slice::from_ref(node), &Attributes::default(), doc),
            Kind::Tag { any, .. } => self.tag(any, doc, weight),
            Kind::Numeric { min, max, .. } => plain(doc.numbers.iter().any(|number| within(*number, *min, *max))),
            Kind::Geo { longitude, latitude, radius_m, .. } => {
                plain(doc.points.iter().any(|point| metres([*longitude, *latitude], *point) <= *radius_m))
            }
            Kind::VectorRange { field, radius, vector, .. } => {
                let query: Vec<f32> = vector.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
                plain(doc.distance(*field, &query).is_some_and(|distance| f64::from(distance) <= *radius))
            }
            Kind::Missing { field } => plain(doc.missing.contains(field)),
            Kind::Shape { .. } => panic!("no field is a shape"),
        }
    }

    fn and(&self, nodes: &[Node], attributes: &Attributes, doc: &Doc) -> Option<Match> {
        let mut found = Vec::new();
        let mut optional = 0.0;
        for node in nodes {
            match &node.kind {
                Kind::Not(not) => {
                    if self.matches(not, doc).is_some() {
                        return None;
                    }
                }
                Kind::Optional(child) => {
                    let score = self.matches(child, doc).map_or(0.0, |found| found.score);
                    optional += score * node.attributes.weight.unwrap_or(1.0);
                }
                _ => found.push(self.matches(node, doc)?),
            }
        }
        if let Some((slop, in_order)) = match (attributes.slop, attributes.in_order.unwrap_or(false)) {
            (None, false) => None,
            (slop, in_order) => Some((slop.unwrap_or(u32::MAX), in_order)),
        } {
            let words: Vec<&Match> = found.iter().filter(|found| !found.fields().is_empty()).collect();
            if words.len() > 1 && !near(&words, slop, in_order) {
                return None;
            }
        }
        let mut all = joined(found, 1.0);
        all.score = (all.score + optional) * attributes.weight.unwrap_or(1.0);
        Some(all)
    }

    fn word(&self, fields: u128, word: &Word, doc: &Doc, weight: f64) -> Option<Match> {
        let mut out = Match::scored(0.0);
        let mut matches = false;
        for (term, fields) in self.terms(word, fields) {
            let mut here = false;
            for field in (0..2).filter(|field| fields >> field & 1 == 1) {
                let places = doc.places(&term, field);
                here |= !places.is_empty();
                out.places[field].extend(places);
            }
            if here {
                let count = || self.docs.values().filter(|doc| doc.frequency(&term) > 0.0).count();
                let with = *self.with.borrow_mut().entry(term.clone()).or_insert_with(count);
                out.score += self.bm25(with, doc.frequency(&term), doc);
                matches = true;
            }
        }
        out.score *= weight;
        matches.then_some(out)
    }

    fn bm25(&self, with: usize, frequency: f64, doc: &Doc) -> f64 {
        let (all, with) = (self.docs.len() as f64, with as f64);
        let idf = (1.0 + (all - with + 0.5) / (with + 0.5)).ln();
        let length = if self.mean > 0.0 { doc.length() as f64 / self.mean } else { 0.0 };
        idf * frequency * 2.2 / (frequency + 1.2 * (0.25 + 0.75 * length))
    }

    fn tag(&self, any: &[Tag], doc: &Doc, weight: f64) -> Option<Match> {
        let fits = |value: &[u8]| {
            any.iter().any(|tag| match tag {
                Tag::Exact(tag) => value == &tag[..],
                Tag::Prefix(tag) => tag.len() > 1 && value.starts_with(tag),
                Tag::Suffix(tag) => tag.len() > 1 && value.ends_with(tag),
                Tag::Infix(tag) => tag.len() > 1 && value.windows(tag.len()).any(|part| part == &tag[..]),
                Tag::Wildcard(pattern) => wild(&characters(pattern), &characters(value)),
            })
        };
        let mut out = None;
        for tag in doc.tags.iter().filter(|tag| fits(tag)) {
            let with = self.docs.values().filter(|doc| doc.tags.contains(tag)).count();
            let score = self.bm25(with, 1.0, doc) * weight;
            out.get_or_insert(Match::scored(0.0)).score += score;
        }
        out
    }

    /// The terms a word stands for, with the fields they count in.
    fn terms(&self, word: &Word, fields: u128) -> Vec<(Term, u128)> {
        let fits: Box<dyn Fn(&str) -> bool> = match word {
            Word::Exact { text, verbatim: false } => {
                let mut terms =
                    vec![(Term::Word(text.clone()), fields), (Term::Stem(stem(text).to_owned()), fields & STEMMED)];
                if stem(text) != text {
                    terms.push((Term::Word(stem(text).to_owned()), fields & STEMMED));
                }
                return terms;
            }
            Word::Exact { text, verbatim: true } => return vec![(Term::Word(text.clone()), fields)],
            Word::Prefix(text) => Box::new(move |word| text.chars().count() > 1 && word.starts_with(text)),
            Word::Suffix(text) => Box::new(move |word| text.chars().count() > 1 && word.ends_with(text)),
            Word::Infix(text) => Box::new(move |word| text.chars().count() > 1 && word.contains(text)),
            Word::Wildcard(pattern) => Box::new(move |word| wild(&characters(pattern), &characters(word.as_bytes()))),
            Word::Fuzzy { text, distance } => Box::new(move |word| edits(text, word) <= usize::from(*distance)),
        };
        self.words.iter().filter(|word| fits(word)).map(|word| (Term::Word((*word).to_owned()), fields)).collect()
    }
}

fn joined(found: Vec<Match>, weight: f64) -> Match {
    let mut all = Match::scored(0.0);
    for one in found {
        all.score += one.score * weight;
        for (places, more) in all.places.iter_mut().zip(one.places) {
            places.extend(more);
        }
    }
    all
}

fn in_a_row(words: &[Match], field: usize) -> bool {
    let starts = &words[0].places[field];
    starts.iter().any(|start| (0..).zip(words).all(|(i, word)| word.places[field].contains(&(start + i))))
}

/// Tries every choice of one place for each word.
fn near(words: &[&Match], slop: u32, in_order: bool) -> bool {
    fn go(words: &[&Match], chosen: &mut Vec<u32>, fits: &dyn Fn(&[u32]) -> bool) -> bool {
        let Some((first, rest)) = words.split_first() else { return fits(chosen) };
        first.places.iter().flatten().any(|place| {
            chosen.push(*place);
            let found = go(rest, chosen, fits);
            chosen.pop();
            found
        })
    }
    go(words, &mut Vec::new(), &|places| {
        let (least, most) = (places.iter().min().unwrap(), places.iter().max().unwrap());
        let between = i64::from(most - least) - (places.len() as i64 - 1);
        between <= i64::from(slop) && (!in_order || places.windows(2).all(|pair| pair[0] < pair[1]))
    })
}

fn within(number: f64, min: End, max: End) -> bool {
    let above = if min.exclusive { number > min.value } else { number >= min.value };
    above && if max.exclusive { number < max.value } else { number <= max.value }
}

pub(crate) fn metres(a: [f64; 2], b: [f64; 2]) -> f64 {
    let [x, y] = a.map(f64::to_radians);
    let [u, v] = b.map(f64::to_radians);
    let h = ((v - y) / 2.0).sin().powi(2) + y.cos() * v.cos() * ((u - x) / 2.0).sin().powi(2);
    2.0 * 6_372_797.560_856 * h.sqrt().min(1.0).asin()
}

fn characters(text: &[u8]) -> Vec<char> {
    std::str::from_utf8(text).unwrap().chars().collect()
}

/// By the definition, which takes exponential time for long patterns.
fn wild(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|skip| wild(rest, &text[skip..])),
        Some(('?', rest)) => !text.is_empty() && wild(rest, &text[1..]),
        Some((c, rest)) => text.first() == Some(c) && wild(rest, &text[1..]),
    }
}

fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = match (i, j) {
                (0, _) => j,
                (_, 0) => i,
                _ => (rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]))
                    .min(rows[i - 1][j] + 1)
                    .min(rows[i][j - 1] + 1),
            };
        }
    }
    rows[a.len()][b.len()]
}
