//! A query's tree as text: FT.EXPLAIN.

use std::fmt::Write;

use crate::{
    Analyzer, FieldKind, Query, Schema,
    ast::{Attributes, End, Kind, Knn, Node, Relation, Tag, TextFields, Word},
};

/// What FT.EXPLAIN answers for a query in `language`.
pub fn explain(query: &Query, schema: &Schema, analyzer: &dyn Analyzer, language: &str) -> String {
    let mut explainer = Explainer { schema, analyzer, language, text: String::new(), depth: 0, expand: true };
    match &query.knn {
        Some(knn) => explainer.knn(knn, &query.root),
        None => explainer.node(&query.root),
    }
    explainer.text
}

struct Explainer<'a> {
    schema: &'a Schema,
    analyzer: &'a dyn Analyzer,
    language: &'a str,
    text: String,
    depth: usize,
    /// Whether stems are told: what must not match is looked for as it stands.
    expand: bool,
}

impl Explainer<'_> {
    fn line(&mut self, line: &str) {
        let indent = 2 * self.depth;
        writeln!(self.text, "{:indent$}{line}", "").expect("strings take everything");
    }

    /// A line, what stands inside it, and the brace behind.
    fn block(&mut self, head: &str, attributes: &Attributes, inside: impl FnOnce(&mut Self)) {
        self.line(&format!("{head} {{"));
        self.depth += 1;
        inside(self);
        self.depth -= 1;
        self.line(&format!("}}{}", shown(attributes)));
    }

    fn node(&mut self, node: &Node) {
        let attributes = &node.attributes;
        match &node.kind {
            Kind::All => self.line("<WILDCARD>"),
            Kind::Nothing => self.line("<empty>"),
            Kind::Word { fields, word } => self.word(*fields, word, attributes),
            Kind::Phrase { fields, words } => {
                let head = format!("{}EXACT", self.fields(*fields));
                self.block(&head, attributes, |inner| {
                    words.iter().for_each(|word| inner.line(&plain(word)));
                });
            }
            Kind::And(parts) => {
                self.block("INTERSECT", attributes, |inner| parts.iter().for_each(|part| inner.node(part)))
            }
            Kind::Or(parts) => self.block("UNION", attributes, |inner| parts.iter().for_each(|part| inner.node(part))),
            Kind::Not(part) => {
                let expand = std::mem::replace(&mut self.expand, false);
                self.block("NOT", attributes, |inner| inner.node(part));
                self.expand = expand;
            }
            Kind::Optional(part) => self.block("OPTIONAL", attributes, |inner| inner.node(part)),
            Kind::Tag { field, any } => {
                let head = format!("TAG:@{}", self.name(*field));
                self.block(&head, attributes, |inner| any.iter().for_each(|tag| inner.line(&plain_tag(tag))));
            }
            Kind::Numeric { field, min, max } => {
                let sign = |end: &End| if end.exclusive { "<" } else { "<=" };
                let name = self.name(*field);
                let (low, high) = (six_places(min.value), six_places(max.value));
                self.line(&format!(
                    "NUMERIC {{{low} {} @{name} {} {high}}}{}",
                    sign(min),
                    sign(max),
                    shown(attributes)
                ));
            }
            Kind::Geo { field, longitude, latitude, radius_m } => {
                let name = self.name(*field);
                self.line(&format!(
                    "GEO {name}:{{{longitude:.6},{latitude:.6} --> {radius_m:.6} m}}{}",
                    shown(attributes)
                ));
            }
            Kind::Shape { field, relation, wkt } => {
                let relation = match relation {
                    Relation::Within => "WITHIN",
                    Relation::Contains => "CONTAINS",
                    Relation::Intersects => "INTERSECTS",
                    Relation::Disjoint => "DISJOINT",
                };
                let name = self.name(*field);
                self.line(&format!("GEOSHAPE{{{name} {relation} {}}}", String::from_utf8_lossy(wkt)));
            }
            Kind::VectorRange { field, radius, distance_as, .. } => {
                let name = self.name(*field);
                let yields = distance_as.as_deref().map(yields).unwrap_or_default();
                self.line(&format!(
                    "VECTOR {{Vectors that are within {radius} distance from the given vector in vector index associated with field @{name}{yields}}}{}",
                    shown(attributes)
                ));
            }
            Kind::Missing { field } => {
                let name = self.name(*field);
                self.line(&format!("ISMISSING{{{name}}}"));
            }
        }
    }

    fn knn(&mut self, knn: &Knn, root: &Node) {
        let filtered = root.kind != Kind::All;
        self.line("VECTOR {");
        self.depth += 1;
        if filtered {
            self.node(root);
        }
        let (name, yields) = (self.name(knn.field), yields(&knn.distance_as));
        self.line(&format!(
            "K={} nearest vectors to the given vector in vector index associated with field @{name}{yields}",
            knn.k
        ));
        self.depth -= 1;
        self.line("}");
    }

    fn word(&mut self, fields: TextFields, word: &Word, attributes: &Attributes) {
        let head = self.fields(fields);
        let text = plain(word);
        let stem = match word {
            Word::Exact { text, verbatim: false } if self.expand => self.analyzer.stem(self.language, text),
            _ => None,
        };
        let Some(stem) = stem else { return self.line(&format!("{head}{text}{}", shown(attributes))) };
        self.block(&format!("{head}UNION"), attributes, |inner| {
            inner.line(&format!("{head}{text}"));
            inner.line(&format!("{head}+{stem}(expanded)"));
            if stem != text {
                inner.line(&format!("{head}{stem}(expanded)"));
            }
        });
    }

    /// `@title|body:` where a word is not looked for everywhere.
    fn fields(&self, fields: TextFields) -> String {
        let texts = self.schema.fields.iter().filter(|field| matches!(field.kind, FieldKind::Text { .. }));
        let named = texts.take(128).enumerate().filter(|(place, _)| fields >> place & 1 == 1);
        let names: Vec<_> = named.map(|(_, field)| String::from_utf8_lossy(&field.name)).collect();
        if fields == TextFields::MAX { String::new() } else { format!("@{}:", names.join("|")) }
    }

    fn name(&self, field: u16) -> String {
        let field = self.schema.fields.get(usize::from(field));
        field.map(|field| String::from_utf8_lossy(&field.name).into_owned()).unwrap_or_default()
    }
}

fn plain(word: &Word) -> String {
    match word {
        Word::Exact { text, .. } => text.clone(),
        Word::Prefix(text) => format!("PREFIX{{{text}*}}"),
        Word::Suffix(text) => format!("SUFFIX{{*{text}}}"),
        Word::Infix(text) => format!("INFIX{{*{text}*}}"),
        Word::Wildcard(pattern) => format!("WILDCARD{{{}}}", String::from_utf8_lossy(pattern)),
        Word::Fuzzy { text, .. } => format!("FUZZY{{{text}}}"),
    }
}

fn plain_tag(tag: &Tag) -> String {
    let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    match tag {
        Tag::Exact(value) => text(value),
        Tag::Prefix(value) => format!("PREFIX{{{}*}}", text(value)),
        Tag::Suffix(value) => format!("SUFFIX{{*{}}}", text(value)),
        Tag::Infix(value) => format!("INFIX{{*{}*}}", text(value)),
        Tag::Wildcard(value) => format!("WILDCARD{{{}}}", text(value)),
    }
}

fn yields(name: &[u8]) -> String {
    format!(", yields distance as `{}`", String::from_utf8_lossy(name))
}

fn six_places(number: f64) -> String {
    if number.is_infinite() { format!("{number}") } else { format!("{number:.6}") }
}

/// ` => { $weight: 2; }` where there is something to say.
fn shown(attributes: &Attributes) -> String {
    let mut text = String::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            write!(text, " ${name}: {value};").expect("strings take everything");
        }
    };
    add("weight", attributes.weight.map(|weight| weight.to_string()));
    add("slop", attributes.slop.map(|slop| slop.to_string()));
    add("inorder", attributes.in_order.map(|in_order| in_order.to_string()));
    add("phonetic", attributes.phonetic.map(|phonetic| phonetic.to_string()));
    if text.is_empty() { text } else { format!(" => {{{text} }}") }
}
