//! The query language: what queries mean, what is refused and how, and that printing a tree and reading it again gives
//! the same tree.

mod clauses;
mod explained;
mod meaning;
mod refused;
mod round_trip;
mod spelling;

use quiver_query::{
    Field, FieldKind, ParseOptions, Query, QueryError, Schema, VectorAlgorithm, VectorField, VectorType,
    ast::{Attributes, Kind, Node, TextFields, Word},
    parse,
    text::{Language, StopWords},
};
use quiver_vector::Metric;

/// A field of this name.
fn field(name: &str, kind: FieldKind) -> Field {
    Field {
        path: name.into(),
        name: name.into(),
        kind,
        sortable: false,
        unnormalized: false,
        no_index: false,
        index_missing: name == "tag",
        index_empty: name == "empty" || name == "body",
    }
}

fn text() -> FieldKind {
    FieldKind::Text { weight: 1.0, no_stem: false, phonetic: None, suffixes: false }
}

fn tag(case_sensitive: bool) -> FieldKind {
    FieldKind::Tag { separator: b',', case_sensitive, suffixes: false }
}

fn vector(algorithm: VectorAlgorithm) -> FieldKind {
    let metric = Metric::Cosine;
    FieldKind::Vector(VectorField { algorithm, component: VectorType::Float32, dim: 2, metric, initial_capacity: 0 })
}

const HNSW: VectorAlgorithm = VectorAlgorithm::Hnsw { m: 16, ef_construction: 200, ef_runtime: 10, epsilon: 0.01 };

/// Fields of every kind; the TEXT fields are `title` (bit 0) and `body` (bit 1).
fn schema() -> Schema {
    Schema {
        fields: vec![
            field("title", text()),
            field("n", FieldKind::Numeric),
            field("body", text()),
            field("tag", tag(false)),
            field("case", tag(true)),
            field("empty", tag(false)),
            field("geo", FieldKind::Geo),
            field("shape", FieldKind::GeoShape { spherical: false }),
            field("v", vector(HNSW)),
            field("flat", vector(VectorAlgorithm::Flat { block_size: 1024 })),
        ],
        language: "english".to_owned(),
        stop_words: None,
        no_offsets: false,
        no_fields: false,
        no_frequencies: false,
        no_highlight: false,
    }
}

/// Reads a query with the parameters `vec` (eight bytes), `p` ("value"), `num` (3) and `bad` ("x").
fn read_as(query: &[u8], dialect: u8) -> Result<Query, QueryError> {
    let parameters: Vec<(Vec<u8>, Vec<u8>)> =
        [("vec", "12345678"), ("p", "value"), ("num", "3"), ("bad", "x"), ("as", "dist"), ("poly", "POINT(1 2)")]
            .map(|(name, value)| (name.into(), value.into()))
            .into();
    let (schema, stop_words) = (schema(), StopWords::default());
    parse(
        query,
        ParseOptions {
            schema: &schema,
            dialect,
            parameters: &parameters,
            fields: TextFields::MAX,
            verbatim: false,
            stop_words: &stop_words,
            language: Language::English,
        },
    )
}

/// The tree of a query of dialect 2.
fn read(query: &str) -> Query {
    read_as(query.as_bytes(), 2).unwrap_or_else(|error| panic!("{query}: {error}"))
}

/// The root of a query of dialect 2 that has no neighbours.
fn root(query: &str) -> Node {
    let query = read(query);
    assert_eq!(query.knn, None);
    query.root
}

fn node(kind: Kind) -> Node {
    Node { kind, attributes: Attributes::default() }
}

fn exact(text: &str) -> Word {
    Word::Exact { text: text.to_owned(), verbatim: false }
}

fn verbatim(text: &str) -> Word {
    Word::Exact { text: text.to_owned(), verbatim: true }
}

fn word_in(fields: TextFields, word: Word) -> Node {
    node(Kind::Word { fields, word })
}

fn word(text: &str) -> Node {
    word_in(TextFields::MAX, exact(text))
}

fn and(parts: impl Into<Vec<Node>>) -> Node {
    node(Kind::And(parts.into()))
}

fn or(parts: impl Into<Vec<Node>>) -> Node {
    node(Kind::Or(parts.into()))
}

fn not(part: Node) -> Node {
    node(Kind::Not(Box::new(part)))
}
