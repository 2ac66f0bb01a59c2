//! Queries and expressions of search: a tree that is printed and read again is the same tree.
//!
//! The printer escapes whatever is not a letter, and hands vectors, shapes and names as parameters of its own.

use std::io::Write;
use std::sync::Arc;

use quiver_query::aggregate::{Arguments, Planner, Row, Run};
use quiver_query::ast::{Attributes, End, Kind, Knn, Node, Policy, Relation, Tag, TextFields, Word};
use quiver_query::text::{Language, StopWords};
use quiver_query::{
    Field, FieldKind, ParseOptions, Query, QueryError, Schema, Value, VectorAlgorithm, VectorField, VectorType, parse,
};
use quiver_vector::Metric;

type Parameters = Vec<(Vec<u8>, Vec<u8>)>;

/// Fields of every kind, by the first letters of their names.
fn schema() -> Schema {
    let text = || FieldKind::Text { weight: 1.0, no_stem: false, phonetic: None, suffixes: false };
    let tag = |case_sensitive| FieldKind::Tag { separator: b',', case_sensitive, suffixes: false };
    let vector = |algorithm| {
        let (component, metric) = (VectorType::Float32, Metric::L2);
        FieldKind::Vector(VectorField { algorithm, component, dim: 1, metric, initial_capacity: 0 })
    };
    let hnsw = VectorAlgorithm::Hnsw { m: 16, ef_construction: 200, ef_runtime: 10, epsilon: 0.01 };
    let field = |(name, kind): (&str, FieldKind)| Field {
        path: name.into(),
        name: name.into(),
        kind,
        sortable: false,
        unnormalized: false,
        no_index: false,
        index_missing: true,
        index_empty: true,
    };
    let kinds = [
        ("t", text()),
        ("u", text()),
        ("n", FieldKind::Numeric),
        ("g", FieldKind::Geo),
        ("s", FieldKind::GeoShape { spherical: true }),
        ("a", tag(false)),
        ("c", tag(true)),
        ("v", vector(hnsw)),
        ("f", vector(VectorAlgorithm::Flat { block_size: 1 })),
    ];
    Schema {
        fields: kinds.map(field).into(),
        language: "english".to_owned(),
        stop_words: None,
        no_offsets: false,
        no_fields: false,
        no_frequencies: false,
        no_highlight: false,
    }
}

fn read(query: &[u8], dialect: u8, parameters: &Parameters) -> Result<Query, QueryError> {
    let (schema, stop_words) = (schema(), StopWords::default());
    let options = ParseOptions {
        schema: &schema,
        dialect,
        parameters,
        fields: TextFields::MAX,
        verbatim: false,
        stop_words: &stop_words,
        language: Language::English,
    };
    parse(query, options)
}

/// The target: the first byte is the dialect, the rest the query.
pub(super) fn query(input: &[u8]) -> bool {
    let Some((dialect, query)) = input.split_first() else { return false };
    let parameters = [("p", "Some Value"), ("b", "blob"), ("i", "3")].map(|(name, value)| (name.into(), value.into()));
    let Ok(read_once) = read(query, dialect % 4 + 1, &parameters.into()) else { return false };
    if has_nothing(&read_once.root) {
        return true; // There is no other way to write it than the one it came from.
    }
    let mut printer = Printer { schema: schema(), text: Vec::new(), parameters: Vec::new() };
    printer.query(&read_once);
    let Printer { text, parameters, .. } = printer;
    match read(&text, 2, &parameters) {
        Ok(read_twice) => assert_eq!(read_twice, read_once, "printed as {}", text.escape_ascii()),
        // Brackets around every part may nest deeper than what was written without them.
        Err(error) => assert!(error.to_string().contains("overflow"), "{error}: printed as {}", text.escape_ascii()),
    }
    true
}

/// Whether some part is what fields that exclude each other come to.
fn has_nothing(node: &Node) -> bool {
    match &node.kind {
        Kind::Nothing => true,
        Kind::And(parts) | Kind::Or(parts) => parts.iter().any(has_nothing),
        Kind::Not(part) | Kind::Optional(part) => has_nothing(part),
        _ => false,
    }
}

struct Printer {
    schema: Schema,
    text: Vec<u8>,
    parameters: Parameters,
}

impl Printer {
    fn push(&mut self, text: impl std::fmt::Display) {
        write!(self.text, "{text}").expect("memory takes everything");
    }

    fn push_bytes(&mut self, parts: &[&[u8]]) {
        self.text.extend(parts.concat());
    }

    fn name(&self, field: u16) -> String {
        String::from_utf8_lossy(&self.schema.fields[usize::from(field)].name).into_owned()
    }

    fn parameter(&mut self, value: &[u8]) {
        let name = format!("q{}", self.parameters.len());
        self.push(format_args!("${name}"));
        self.parameters.push((name.into_bytes(), value.to_vec()));
    }

    fn query(&mut self, query: &Query) {
        self.node(&query.root);
        let Some(knn) = &query.knn else { return };
        let Knn { k, field, vector, ef_runtime, policy, batch_size, distance_as } = knn;
        let name = self.name(*field);
        self.push(format_args!("=>[KNN {k} @{name} "));
        self.parameter(vector);
        for (option, number) in [("EF_RUNTIME", ef_runtime), ("BATCH_SIZE", batch_size)] {
            if let Some(number) = number {
                self.push(format_args!(" {option} {number}"));
            }
        }
        match policy {
            Some(Policy::AdHoc) => self.push(" HYBRID_POLICY ADHOC_BF"),
            Some(Policy::Batches) => self.push(" HYBRID_POLICY BATCHES"),
            None => {}
        }
        self.push(" AS ");
        self.parameter(distance_as);
        self.push("]");
    }

    fn node(&mut self, node: &Node) {
        match &node.kind {
            Kind::All => self.push("(*)"),
            Kind::Nothing => {}
            Kind::Word { fields, word } => {
                self.fields(*fields);
                self.word(word);
            }
            Kind::Phrase { fields, words } => {
                self.fields(*fields);
                let words: Vec<_> = words.iter().map(|word| escaped(phrase_word(word))).collect();
                self.push_bytes(&[b"\"", &words.join(&b' '), b"\""]);
            }
            Kind::And(parts) => self.parts(parts, " "),
            Kind::Or(parts) => self.parts(parts, " | "),
            Kind::Not(part) => {
                // In brackets, or a number's sign would be read.
                self.push("-(");
                self.node(part);
                self.push(")");
            }
            Kind::Optional(part) => {
                self.push("~");
                self.node(part);
            }
            Kind::Tag { field, any } => {
                let tags: Vec<_> = any.iter().map(tag).collect();
                let name = self.name(*field);
                self.push_bytes(&[b"@", name.as_bytes(), b":{", &tags.join(&b'|'), b"}"]);
            }
            Kind::Numeric { field, min, max } => {
                let end = |end: &End| format!("{}{}", if end.exclusive { "(" } else { "" }, end.value);
                let name = self.name(*field);
                self.push(format_args!("@{name}:[{} {}]", end(min), end(max)));
            }
            Kind::Geo { field, longitude, latitude, radius_m } => {
                let name = self.name(*field);
                self.push(format_args!("@{name}:[{longitude} {latitude} {radius_m} m]"));
            }
            Kind::Shape { field, relation, wkt } => {
                let relation = match relation {
                    Relation::Within => "WITHIN",
                    Relation::Contains => "CONTAINS",
                    Relation::Intersects => "INTERSECTS",
                    Relation::Disjoint => "DISJOINT",
                };
                let name = self.name(*field);
                self.push(format_args!("@{name}:[{relation} "));
                self.parameter(wkt);
                self.push("]");
            }
            Kind::VectorRange { field, radius, vector, epsilon, distance_as } => {
                let name = self.name(*field);
                self.push(format_args!("@{name}:[VECTOR_RANGE {radius} "));
                self.parameter(vector);
                if let Some(epsilon) = epsilon {
                    self.push(format_args!(" EPSILON {epsilon}"));
                }
                if let Some(name) = distance_as {
                    self.push(" AS ");
                    self.parameter(name);
                }
                self.push("]");
            }
            Kind::Missing { field } => {
                let name = self.name(*field);
                self.push(format_args!("ismissing(@{name})"));
            }
        }
        self.attributes(&node.attributes);
    }

    fn parts(&mut self, parts: &[Node], between: &str) {
        self.push("(");
        for (place, part) in parts.iter().enumerate() {
            self.push(if place == 0 { "" } else { between });
            self.node(part);
        }
        self.push(")");
    }

    fn fields(&mut self, fields: TextFields) {
        self.push(match fields {
            1 => "@t:",
            2 => "@u:",
            3 => "@t|u:",
            _ => "",
        });
    }

    fn word(&mut self, word: &Word) {
        match word {
            Word::Exact { text, verbatim: false } => self.push_bytes(&[&escaped(text)]),
            Word::Exact { text, verbatim: true } => self.push_bytes(&[b"\"", &escaped(text), b"\""]),
            Word::Prefix(text) => self.push_bytes(&[&escaped(text), b"*"]),
            Word::Suffix(text) => self.push_bytes(&[b"*", &escaped(text)]),
            Word::Infix(text) => self.push_bytes(&[b"*", &escaped(text), b"*"]),
            Word::Wildcard(pattern) => self.push_bytes(&[&wildcard(pattern)]),
            Word::Fuzzy { text, distance } => {
                let marks = "%".repeat(usize::from(*distance));
                self.push_bytes(&[marks.as_bytes(), &escaped(text), marks.as_bytes()]);
            }
        }
    }

    fn attributes(&mut self, attributes: &Attributes) {
        let Attributes { weight, slop, in_order, phonetic } = attributes;
        let given = [
            weight.map(|weight| format!("$weight:{weight}")),
            slop.map(|slop| format!("$slop:{slop}")),
            in_order.map(|in_order| format!("$inorder:{in_order}")),
            phonetic.map(|phonetic| format!("$phonetic:{phonetic}")),
        ];
        let given: Vec<_> = given.into_iter().flatten().collect();
        if !given.is_empty() {
            self.push(format_args!("=>{{{}}}", given.join(";")));
        }
    }
}

fn phrase_word(word: &Word) -> &str {
    match word {
        Word::Exact { text, .. } => text,
        word => panic!("in a phrase: {word:?}"),
    }
}

/// With a backslash before whatever separates words, and before what would be a word of the language.
fn escaped(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for &byte in text.as_ref() {
        if byte.is_ascii() && !byte.is_ascii_alphanumeric() && byte != b'_' {
            out.push(b'\\');
        }
        out.push(byte);
    }
    if out == b"ismissing" { br"\ismissing".to_vec() } else { out }
}

fn wildcard(pattern: &[u8]) -> Vec<u8> {
    let quotes: Vec<_> = pattern.split(|byte| *byte == b'\'').collect();
    [b"w'", &quotes.join(&br"\'"[..])[..], b"'"].concat()
}

fn tag(tag: &Tag) -> Vec<u8> {
    let text = |text: &[u8]| if text.is_empty() { b"\"\"".to_vec() } else { escaped(text) };
    match tag {
        Tag::Exact(value) => text(value),
        Tag::Prefix(value) => [&text(value)[..], b"*"].concat(),
        Tag::Suffix(value) => [b"*", &text(value)[..]].concat(),
        Tag::Infix(value) => [b"*", &text(value)[..], b"*"].concat(),
        Tag::Wildcard(pattern) => wildcard(pattern),
    }
}

/// The target: an expression comes to the same with brackets around it.
pub(super) fn expression(input: &[u8]) -> bool {
    let value = |expression: &[u8]| {
        let words: [&[u8]; 4] = [b"APPLY", expression, b"AS", b"result"];
        let mut planner = Planner::new(&|name| name.len() <= 2);
        planner.step(&mut Arguments::new(&words)).ok()?;
        let plan = Arc::new(planner.finish());
        let values = (0..plan.width()).map(|place| match place % 4 {
            0 => Value::Number(place as f64 - 1.5),
            1 => Value::text("2018-02-14, Some Text"),
            2 => Value::Null,
            _ => Value::List(vec![Value::text("a"), Value::Number(1.0)]),
        });
        let values = values.collect();
        let mut run = Run::new(plan, 1);
        run.push(Row { values, rest: Vec::new() }).expect("a row is small");
        run.take().map(|row| format!("{:?}", row.values))
    };
    let Some(plain) = value(input) else { return false };
    // One more level may be one too many.
    if let Some(bracketed) = value(&[b"(", input, b")"].concat()) {
        assert_eq!(bracketed, plain);
    }
    true
}
