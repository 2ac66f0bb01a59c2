//! Every form of a query, on random documents that come, change and go, against the slow twin in `model`.
//!
//! Each seed is an index of its own. `QUIVER_QUERIES` is the number of queries of the whole run.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod model;

use std::sync::Arc;

use model::{BODY, Doc, FLAT, GRAPH, Model, PLACE, PRICE, Simple, TAGS, TITLE};
use quiver_query::ast::{Attributes, End, Kind, Knn, Node, Policy, Tag, Word};
use quiver_query::index::{Hits, SearchOptions, Sort};
use quiver_query::{
    Document, Field, FieldKind, FieldValue, Index, Query, Schema, Value, VectorAlgorithm, VectorField, VectorType,
};
use quiver_vector::Metric;

/// Queries between two checks of the index, and its saving and loading.
const QUERIES_PER_SEED: usize = 250;
const DEFAULT_QUERIES: usize = 100_000;
/// Of so many indexes one is large, and is asked so much less as it is larger.
const LARGE: u64 = 20;
const DIM: usize = 3;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

const WORDS: &[&str] = &[
    "fox", "foxes", "foxs", "dog", "dogs", "cat", "cats", "quick", "quickly", "brown", "bro", "brow", "über", "haus",
    "house", "houses", "mouse", "the",
];
const TAG_VALUES: &[&str] = &["red", "Green", "blue", "light blue", "dark-red", "x", "bluegreen"];

fn field(name: &str, kind: FieldKind) -> Field {
    Field {
        path: name.into(),
        name: name.into(),
        kind,
        sortable: false,
        unnormalized: false,
        no_index: false,
        index_missing: true,
        index_empty: false,
    }
}

fn schema() -> Arc<Schema> {
    let text = |weight, no_stem| FieldKind::Text { weight, no_stem, phonetic: None, suffixes: false };
    let vector = |algorithm| {
        let (component, metric) = (VectorType::Float32, Metric::L2);
        FieldKind::Vector(VectorField { algorithm, component, dim: DIM, metric, initial_capacity: 0 })
    };
    let hnsw = VectorAlgorithm::Hnsw { m: 4, ef_construction: 32, ef_runtime: 10, epsilon: 0.01 };
    let tags = FieldKind::Tag { separator: b',', case_sensitive: false, suffixes: false };
    let fields = vec![
        field("title", text(1.0, false)),
        field("body", text(3.0, true)),
        Field { sortable: true, ..field("tags", tags) },
        Field { sortable: true, ..field("price", FieldKind::Numeric) },
        field("place", FieldKind::Geo),
        field("flat", vector(VectorAlgorithm::Flat { block_size: 0 })),
        field("graph", vector(hnsw)),
    ];
    Arc::new(Schema {
        fields,
        language: "english".into(),
        stop_words: None,
        no_offsets: false,
        no_fields: false,
        no_frequencies: false,
        no_highlight: false,
    })
}

fn text(random: &mut Random) -> Vec<u8> {
    let words: Vec<&str> = (0..random.below(9)).map(|_| *random.pick(WORDS)).collect();
    words.join(" ").into_bytes()
}

fn vector(random: &mut Random) -> Vec<f32> {
    (0..DIM).map(|_| random.below(9) as f32 - 4.0).collect()
}

fn several<T>(random: &mut Random, mut make: impl FnMut(&mut Random) -> T) -> Vec<T> {
    let count = if random.chance(20) { 2 } else { 1 };
    (0..count).map(|_| make(random)).collect()
}

fn document(random: &mut Random) -> Document {
    let mut fields = Vec::new();
    for place in [TITLE, BODY, TAGS, PRICE, PLACE, FLAT, GRAPH] {
        if random.chance(20) {
            continue;
        }
        let value = match place {
            TITLE | BODY => FieldValue::Texts(several(random, text)),
            TAGS => {
                let tags: Vec<&str> = (0..random.below(4)).map(|_| *random.pick(TAG_VALUES)).collect();
                FieldValue::Texts(vec![tags.join(" , ").into_bytes()])
            }
            PRICE => FieldValue::Numbers(several(random, |random| random.below(21) as f64 / 2.0 - 5.0)),
            PLACE => FieldValue::Texts(several(random, |random| {
                format!("{},{}", random.below(40) as f64 / 4.0, random.below(40) as f64 / 4.0 - 5.0).into_bytes()
            })),
            _ => FieldValue::Vectors(several(random, vector)),
        };
        fields.push((place, value));
    }
    let score = *random.pick(&[1.0, 1.0, 0.5]);
    Document { score, language: None, payload: None, fields }
}

fn word(random: &mut Random) -> Word {
    let text = random.pick(&WORDS[..WORDS.len() - 1]).to_string();
    let part = |random: &mut Random| {
        let characters: Vec<char> = text.chars().collect();
        let start = random.below(characters.len());
        let end = start + 1 + random.below(characters.len() - start);
        (characters[start..end].iter().collect::<String>(), start, end == characters.len())
    };
    match random.below(9) {
        0 => Word::Prefix(text.chars().take(1 + random.below(3)).collect()),
        1 => Word::Suffix(part(random).0),
        2 => Word::Infix(part(random).0),
        3 => {
            let mut pattern = text.into_bytes();
            pattern.retain(u8::is_ascii);
            let at = random.below(pattern.len());
            pattern[at] = *random.pick(b"?*");
            if random.chance(50) {
                pattern.push(b'*');
            }
            Word::Wildcard(pattern)
        }
        4 => Word::Fuzzy { text, distance: 1 + random.below(3) as u8 },
        5 => Word::Exact { text, verbatim: true },
        _ => Word::Exact { text, verbatim: false },
    }
}

fn fields(random: &mut Random) -> u128 {
    *random.pick(&[u128::MAX, u128::MAX, 1, 2, 3])
}

fn tag(random: &mut Random) -> Tag {
    let text = random.pick(TAG_VALUES).to_lowercase().into_bytes();
    match random.below(7) {
        0 => Tag::Prefix(text[..1 + random.below(text.len())].to_vec()),
        1 => Tag::Suffix(text[random.below(text.len())..].to_vec()),
        2 => Tag::Infix(text[text.len() / 2..].to_vec()),
        3 => Tag::Wildcard([&text[..1], b"*"].concat()),
        _ => Tag::Exact(text),
    }
}

fn blob(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn end(random: &mut Random) -> End {
    let infinite = if random.chance(50) { f64::INFINITY } else { f64::NEG_INFINITY };
    let value = if random.chance(15) { infinite } else { random.below(25) as f64 / 2.0 - 6.0 };
    End { value, exclusive: random.chance(30) }
}

fn node(random: &mut Random, depth: usize) -> Node {
    let several = |random: &mut Random| {
        let count = 1 + random.below(4);
        (0..count).map(|_| node(random, depth - 1)).collect::<Vec<_>>()
    };
    let kind = match random.below(if depth > 0 { 24 } else { 14 }) {
        0 => Kind::All,
        1 if random.chance(20) => Kind::Nothing,
        1 | 2 => Kind::Missing { field: random.below(7) as u16 },
        3 | 4 => Kind::Tag { field: TAGS, any: (0..1 + random.below(3)).map(|_| tag(random)).collect() },
        5 | 6 => Kind::Numeric { field: PRICE, min: end(random), max: end(random) },
        7 => Kind::Geo {
            field: PLACE,
            longitude: random.below(40) as f64 / 4.0,
            latitude: random.below(40) as f64 / 4.0 - 5.0,
            radius_m: random.below(600) as f64 * 1000.0,
        },
        8 => Kind::VectorRange {
            field: FLAT,
            radius: random.below(40) as f64,
            vector: blob(&vector(random)),
            epsilon: None,
            distance_as: random.chance(50).then(|| b"near".to_vec()),
        },
        9 => {
            let words = (0..1 + random.below(3)).map(|_| Word::Exact {
                text: random.pick(&WORDS[..WORDS.len() - 1]).to_string(),
                verbatim: random.chance(80),
            });
            Kind::Phrase { words: words.collect(), fields: fields(random) }
        }
        10..=13 => Kind::Word { fields: fields(random), word: word(random) },
        14..=18 => Kind::And(several(random)),
        19..=21 => Kind::Or(several(random)),
        22 => Kind::Not(Box::new(node(random, depth - 1))),
        _ => Kind::Optional(Box::new(node(random, depth - 1))),
    };
    let mut attributes = Attributes::default();
    if random.chance(10) {
        attributes.weight = Some(*random.pick(&[0.5, 2.0, 3.0]));
    }
    if matches!(kind, Kind::And(_)) && random.chance(30) {
        attributes.slop = random.chance(70).then(|| random.below(5) as u32);
        attributes.in_order = random.chance(50).then_some(true);
    }
    Node { kind, attributes }
}

/// An index and its twin.
struct Both {
    index: Index,
    model: Model,
    versions: u64,
    keys: usize,
}

impl Both {
    fn new(keys: usize) -> Self {
        let index = Index::new(schema(), Arc::new(Simple)).unwrap();
        Self { index, model: Model::default(), versions: 0, keys }
    }

    fn change(&mut self, random: &mut Random) {
        let key = format!("doc:{}", random.below(self.keys)).into_bytes();
        self.versions += 1;
        match random.below(20) {
            0..=3 => assert_eq!(self.index.remove(&key), self.model.docs.remove(&key).is_some()),
            4 => {
                let other = format!("doc:{}", random.below(self.keys)).into_bytes();
                let doc = self.model.docs.remove(&key);
                assert_eq!(self.index.rename(&key, &other), doc.is_some());
                if let Some(doc) = doc {
                    self.model.docs.insert(other, doc);
                }
            }
            5 => {
                let broken = FieldValue::Texts(vec![b"three".to_vec()]);
                let document = Document { fields: vec![(PRICE, broken)], ..document(random) };
                self.index.upsert(&key, &document, self.versions).unwrap_err();
                self.model.docs.remove(&key);
            }
            _ => {
                let document = document(random);
                self.index.upsert(&key, &document, self.versions).unwrap();
                assert_eq!(self.index.version_of(&key), Some(self.versions));
                self.model.docs.insert(key, Doc::of(&document));
            }
        }
    }

    fn keys(&self, hits: &Hits) -> Vec<Vec<u8>> {
        hits.hits.iter().map(|hit| self.index.key(hit.doc).unwrap().to_vec()).collect()
    }

    fn search(&self, query: &Query, options: &SearchOptions<'_>) -> Hits {
        self.index.validate(query).unwrap();
        let hits = self.index.search(query, options, &mut || true).unwrap();
        assert!(!hits.timed_out);
        hits
    }

    /// All that match, with their scores, best first; a page of them; only their number; and sorted otherwise.
    fn compare(&self, root: Node, random: &mut Random) {
        let expected = self.model.search(&root);
        let query = Query { root, knn: None };
        let all = SearchOptions { limit: 2000, ..SearchOptions::default() };
        let hits = self.search(&query, &all);
        assert_eq!((hits.total, hits.hits.len()), (expected.len(), expected.len()));
        for (key, hit) in self.keys(&hits).iter().zip(&hits.hits) {
            let score = expected.get(key).unwrap_or_else(|| panic!("{} does not match", key.escape_ascii()));
            assert!((hit.score - score).abs() < 1e-9 * score.abs().max(1.0), "{} is not {score}", hit.score);
        }
        assert!(hits.hits.windows(2).all(|pair| (-pair[0].score, pair[0].doc) < (-pair[1].score, pair[1].doc)));
        let (offset, limit) = (random.below(5), random.below(9));
        let page = self.search(&query, &SearchOptions { offset, limit, ..all });
        let rest: Vec<_> = hits.hits.iter().skip(offset).take(limit).cloned().collect();
        assert_eq!((page.total, page.hits), (expected.len(), rest));
        self.compare_sorted(&query, &expected.keys().cloned().collect::<Vec<_>>(), random);
        if let Some(hit) = hits.hits.first() {
            let explained = self.index.explain_score(&query, &all, hit.doc).unwrap().unwrap();
            assert!(explained.text.starts_with("Final BM25"), "{}", explained.text);
        }
    }

    fn compare_sorted(&self, query: &Query, expected: &[Vec<u8>], random: &mut Random) {
        let (field, descending) = (*random.pick(&[TAGS, PRICE]), random.chance(50));
        let options =
            SearchOptions { limit: 2000, sort: Sort::Field { field, descending }, ..SearchOptions::default() };
        let hits = self.search(query, &options);
        let mut keys = self.keys(&hits);
        let value = |doc| match self.index.sortable(doc, field) {
            Value::Number(number) => (0, number, Vec::new()),
            Value::Text(text) => (0, 0.0, text),
            _ => (1, 0.0, Vec::new()),
        };
        for pair in hits.hits.windows(2) {
            let (a, b) = (value(pair[0].doc), value(pair[1].doc));
            let within = if descending { (b.1, &b.2) <= (a.1, &a.2) } else { (a.1, &a.2) <= (b.1, &b.2) };
            assert!(a.0 < b.0 || a.0 == b.0 && (a.0 == 1 || within), "{a:?} before {b:?}");
        }
        keys.sort();
        assert_eq!(keys, expected);
    }

    /// The nearest of what matches, as near as those of a scan.
    fn compare_nearest(&self, root: Node, random: &mut Random) {
        let (field, k, query) = (*random.pick(&[FLAT, GRAPH]), 1 + random.below(12), vector(random));
        let matching = self.model.search(&root);
        let mut expected: Vec<f32> =
            matching.keys().filter_map(|key| self.model.docs[key].distance(field, &query)).collect();
        expected.sort_by(f32::total_cmp);
        expected.truncate(k);
        let knn = Knn {
            k,
            field,
            vector: blob(&query),
            ef_runtime: random.chance(30).then_some(64),
            policy: *random.pick(&[None, Some(Policy::AdHoc), Some(Policy::Batches)]),
            batch_size: None,
            distance_as: b"distance".to_vec(),
        };
        let with_scores = random.chance(30);
        let options = SearchOptions { limit: 100, with_scores, ..SearchOptions::default() };
        let hits = self.search(&Query { root, knn: Some(knn) }, &options);
        let found: Vec<f64> = hits.hits.iter().map(|hit| hit.distances[0].1).collect();
        assert_eq!(found, expected.iter().map(|distance| f64::from(*distance)).collect::<Vec<_>>());
        for (key, hit) in self.keys(&hits).iter().zip(&hits.hits) {
            let distance = self.model.docs[key].distance(field, &query).map(f64::from);
            assert_eq!(distance, Some(hit.distances[0].1));
            let score = if with_scores { matching[key] } else { 0.0 };
            assert!((hit.score - score).abs() < 1e-9 * score.abs().max(1.0));
        }
    }

    fn save_and_load(&mut self) {
        let mut bytes = Vec::new();
        self.index.save(&mut |piece| bytes.extend_from_slice(piece));
        let loaded = Index::load(self.index.schema().clone(), Arc::new(Simple), &mut &bytes[..]).unwrap();
        loaded.check().unwrap();
        let mut again = Vec::new();
        loaded.save(&mut |piece| again.extend_from_slice(piece));
        assert_eq!(bytes, again);
        self.index = loaded;
    }
}

#[test]
fn every_query_finds_what_a_scan_finds() {
    let queries = std::env::var("QUIVER_QUERIES").ok().and_then(|queries| queries.parse().ok());
    let seeds = queries.unwrap_or(DEFAULT_QUERIES) / QUERIES_PER_SEED;
    for seed in 0..seeds as u64 {
        let mut random = Random(seed);
        // Most are small, where everything happens often; some have postings of many blocks.
        let keys = if seed % LARGE == 1 { 1500 } else { 60 };
        let mut both = Both::new(keys);
        for step in 0..QUERIES_PER_SEED * 60 / keys {
            for _ in 0..random.below(if step == 0 { keys * 2 } else { 3 }) {
                both.change(&mut random);
            }
            let root = node(&mut random, 3);
            let shown = format!("seed {seed} step {step}: {root:?}");
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                if step % 4 == 3 {
                    both.compare_nearest(root, &mut random);
                } else {
                    both.compare(root, &mut random);
                }
            }));
            assert!(result.is_ok(), "{shown}");
            if step % 100 == 9 {
                both.index.check().unwrap_or_else(|error| panic!("seed {seed} step {step}: {error}"));
                both.save_and_load();
            }
        }
        both.index.check().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

#[test]
fn nothing_is_left_of_documents_that_are_gone() {
    let mut random = Random(7);
    let mut both = Both::new(60);
    for _ in 0..500 {
        both.change(&mut random);
    }
    for key in both.model.docs.keys() {
        assert!(both.index.remove(key));
    }
    both.index.check().unwrap();
    let statistics = both.index.statistics();
    assert_eq!((statistics.documents, statistics.terms, statistics.records), (0, 0, 0));
    assert!(statistics.vectors.iter().all(|vectors| vectors.vectors == 0));
    assert_eq!(both.index.terms("").count() + both.index.tag_values(TAGS).count(), 0);
}
