//! Scores of documents whose values are known from clients' own tests of servers.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::sync::Arc;

use quiver_query::ast::{Attributes, Kind, Node, Word};
use quiver_query::index::{Scorer, SearchOptions};
use quiver_query::text::Languages;
use quiver_query::{Document, Field, FieldKind, FieldValue, Index, Query, Schema};

const TEXTS: [&str; 2] = [
    "The quick brown fox jumps over the lazy dog",
    "Quick alice was beginning to get very tired of sitting by her quick sister on the bank, and of having nothing to do.",
];

fn index() -> Index {
    let kind = FieldKind::Text { weight: 1.0, no_stem: false, phonetic: None, suffixes: false };
    let field = Field {
        path: b"description".to_vec(),
        name: b"description".to_vec(),
        kind,
        sortable: false,
        unnormalized: false,
        no_index: false,
        index_missing: false,
        index_empty: false,
    };
    let schema = Schema {
        fields: vec![field],
        language: "english".into(),
        stop_words: None,
        no_offsets: false,
        no_fields: false,
        no_frequencies: false,
        no_highlight: false,
    };
    let mut index = Index::new(Arc::new(schema), Arc::new(Languages::default())).unwrap();
    for (key, text) in ["doc1", "doc2"].iter().zip(TEXTS) {
        let fields = vec![(0, FieldValue::Texts(vec![text.as_bytes().to_vec()]))];
        let payload = Some(b"abc".to_vec());
        index.upsert(key.as_bytes(), &Document { score: 1.0, fields, payload, ..Document::default() }, 1).unwrap();
    }
    index
}

fn quick() -> Query {
    let word = Word::Exact { text: "quick".into(), verbatim: false };
    Query { root: Node { kind: Kind::Word { fields: u128::MAX, word }, attributes: Attributes::default() }, knn: None }
}

fn best(index: &Index, options: SearchOptions<'_>) -> f64 {
    let hits = index.search(&quick(), &options, &mut || true).unwrap();
    hits.hits[0].score
}

#[test]
fn scorers_give_the_scores_clients_expect() {
    let index = index();
    for (name, expected) in [
        ("BM25STD", 0.2292),
        ("BM25STD.NORM", 1.0),
        ("BM25STD.TANH", (0.2292_f64 / 4.0).tanh()),
        ("BM25", 0.224_719),
        ("TFIDF", 1.0),
        ("TFIDF.DOCNORM", 1.0 / 7.0),
        ("DISMAX", 2.0),
        ("DOCSCORE", 1.0),
        ("HAMMING", 0.0),
    ] {
        let scorer = Scorer::parse(name.as_bytes()).unwrap();
        let score = best(&index, SearchOptions { scorer, ..SearchOptions::default() });
        assert!((score - expected).abs() < 1e-4, "{name}: {score}, not {expected}");
    }
}

#[test]
fn hamming_counts_bits_of_payloads() {
    let options = SearchOptions { scorer: Scorer::Hamming, payload: Some(b"abb"), ..SearchOptions::default() };
    assert_eq!(best(&index(), options), 0.5);
}

#[test]
fn a_tfidf_score_is_explained_line_by_line() {
    let index = index();
    let options = SearchOptions { scorer: Scorer::TfIdf, ..SearchOptions::default() };
    let doc = index.find(b"doc2").unwrap();
    let explained = index.explain_score(&quick(), &options, doc).unwrap().unwrap();
    assert_eq!(explained.text, "Final TFIDF : words TFIDF 2.00 * document score 1.00 / norm 2 / slop 1");
    assert_eq!(explained.parts[0].text, "(TFIDF 2.00 = Weight 1.00 * TF 2 * IDF 1.00)");
}
