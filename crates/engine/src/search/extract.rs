//! From a hash or a JSON document to what is indexed of it.
//!
//! What comes out has a *version*: a fingerprint of all that is indexed. So a change that concerns no field of an index
//! costs no work there, and whether a document is still the one that matched is seen by looking again.

use quiver_query::{Document, Field, FieldKind, FieldValue};
use quiver_structures::ValueRef;
use xxhash_rust::xxh3::Xxh3;

use super::definition::{Definition, Kind};
use crate::keyspace::{Key, Shard};
use crate::number::parse_f64;
use crate::object::Object;
use crate::types::hash::{AsOf, Hash, ItemText};
use crate::types::json::{Node, path::Path};

/// What is under a key, for an index.
#[derive(Debug)]
pub(crate) enum Seen {
    /// A long command has the value at this moment.
    Lent,
    /// Nothing, or nothing that the index is about.
    Absent,
    /// A document that cannot be indexed, and why.
    Refused(String),
    /// A document, and its version.
    Found(Document, u64),
}

/// The value of a live document in a locked shard, of whatever definition.
pub(crate) fn live<'s>(shard: &'s Shard, key: &Key<'_>, now_ms: i64) -> Option<&'s Object> {
    let entry = shard.dbs().first()?.table.get(key.hash, key.name)?;
    if entry.expire_at().is_some_and(|at| at <= now_ms) {
        return None;
    }
    match entry.value() {
        ValueRef::Object(object) => Some(object),
        _ => None,
    }
}

/// Whether a long command has the value of a key of database 0.
pub(crate) fn is_lent(shard: &Shard, key: &Key<'_>) -> bool {
    shard.lent.iter().any(|(db, name)| *db == 0 && **name == *key.name)
}

/// Looks at a key of database 0 in a locked shard.
pub(crate) fn look(shard: &Shard, key: &Key<'_>, now_ms: i64, definition: &Definition) -> Seen {
    if is_lent(shard, key) {
        return Seen::Lent;
    }
    if !definition.covers(key.name) {
        return Seen::Absent;
    }
    let Some(object) = live(shard, key, now_ms) else { return Seen::Absent };
    see(object, key.name, now_ms, definition)
}

/// What an index sees of a value.
pub(crate) fn see(object: &Object, name: &[u8], now_ms: i64, definition: &Definition) -> Seen {
    let Some(source) = source(object, now_ms).filter(|source| source.kind() == definition.kind) else {
        return Seen::Absent;
    };
    if definition.filter.as_ref().is_some_and(|filter| !filter.holds(&source, name, definition)) {
        return Seen::Absent;
    }
    match source.document(definition) {
        Ok(document) => {
            let version = fingerprint(&document);
            Seen::Found(document, version)
        }
        Err(reason) => Seen::Refused(reason),
    }
}

/// A value as something to read fields of.
pub(crate) fn source(object: &Object, now_ms: i64) -> Option<Source<'_>> {
    match object {
        Object::Hash(hash) => Some(Source::Hash(hash, AsOf(now_ms))),
        Object::Json(json) => Some(Source::Json(&json.0)),
        _ => None,
    }
}

/// A value to read fields of.
pub(crate) enum Source<'v> {
    Hash(&'v Hash, AsOf),
    Json(&'v Node),
}

impl Source<'_> {
    fn kind(&self) -> Kind {
        match self {
            Self::Hash(..) => Kind::Hash,
            Self::Json(_) => Kind::Json,
        }
    }

    fn document(&self, definition: &Definition) -> Result<Document, String> {
        let payload = definition.payload_field.as_ref().and_then(|field| self.text(field));
        let mut document = Document { score: definition.score as f32, language: None, payload, fields: Vec::new() };
        for (place, field) in definition.schema.fields.iter().enumerate() {
            let value = match self {
                Self::Hash(hash, as_of) => hash
                    .get(&field.path, *as_of)
                    .map(|item| FieldValue::Texts(vec![ItemText::new(item).as_bytes().to_vec()])),
                Self::Json(root) => json_value(field, &definition.paths[place], root)?,
            };
            if let (Some(value), Ok(place)) = (value, u16::try_from(place)) {
                document.fields.push((place, value));
            }
        }
        if let Some(field) = &definition.score_field
            && let Some(score) = self.text(field).as_deref().and_then(parse_f64)
        {
            document.score = score as f32;
        }
        if let Some(field) = &definition.language_field
            && let Some(name) = self.text(field)
        {
            document.language = super::language(&name).map(str::to_owned);
        }
        Ok(document)
    }

    /// A field as text: of a hash by name, of a JSON document by path.
    pub(crate) fn text(&self, field: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Hash(hash, as_of) => Some(ItemText::new(hash.get(field, *as_of)?).as_bytes().to_vec()),
            Self::Json(root) => {
                let path = Path::parse(std::str::from_utf8(field).ok()?).ok()?;
                Some(node_text(path.select(root).ok()?.first()?))
            }
        }
    }
}

/// A JSON value as the text results show: strings without quotes.
pub(crate) fn node_text(node: &Node) -> Vec<u8> {
    match node {
        Node::Str(text) => text.as_bytes().to_vec(),
        other => other.to_text(),
    }
}

fn json_value(field: &Field, path: &Path, root: &Node) -> Result<Option<FieldValue>, String> {
    let found = path.select(root).map_err(|error| error.to_string())?;
    if found.is_empty() {
        return Ok(None);
    }
    if found.iter().all(|node| matches!(node, Node::Null)) {
        return Ok(Some(FieldValue::Null));
    }
    if let FieldKind::Vector(_) = field.kind {
        return vectors(&found).map(|vectors| Some(FieldValue::Vectors(vectors)));
    }
    // One array is its elements; what several matches hold are values themselves.
    let values: Vec<&Node> = match found.as_slice() {
        [Node::Array(items)] => items.iter().collect(),
        _ => found,
    };
    let mut values = values.into_iter().filter(|node| !matches!(node, Node::Null)).peekable();
    if matches!(field.kind, FieldKind::Numeric) {
        let numbers = values.map(number).collect::<Option<Vec<f64>>>();
        return numbers
            .map(|numbers| Some(FieldValue::Numbers(numbers)))
            .ok_or_else(|| "Invalid JSON type: only numbers can be represented by NUMERIC fields".to_owned());
    }
    let is_tag = matches!(field.kind, FieldKind::Tag { .. });
    let text = |node: &Node| match node {
        Node::Str(text) => Some(text.as_bytes().to_vec()),
        Node::Bool(value) if is_tag => Some(value.to_string().into_bytes()),
        _ => None,
    };
    let texts = values.by_ref().map(text).collect::<Option<Vec<_>>>();
    texts.map(|texts| Some(FieldValue::Texts(texts))).ok_or_else(|| {
        "Invalid JSON type: only strings (and booleans, for TAG fields) can be represented by this field".to_owned()
    })
}

fn number(node: &Node) -> Option<f64> {
    match node {
        Node::Int(number) => Some(*number as f64),
        Node::Float(number) => Some(*number),
        _ => None,
    }
}

fn vectors(found: &[&Node]) -> Result<Vec<Vec<f32>>, String> {
    let one = |node: &Node| match node {
        Node::Array(items) => items.iter().map(|item| number(item).map(|number| number as f32)).collect(),
        _ => None,
    };
    let many: Option<Vec<Vec<f32>>> = match found {
        [Node::Array(items)] if matches!(items.first(), Some(Node::Array(_))) => items.iter().map(one).collect(),
        nodes => nodes.iter().map(|node| one(node)).collect(),
    };
    many.ok_or_else(|| "Invalid JSON type: a vector is an array of numbers".to_owned())
}

/// A number that changes when anything indexed does. The same in every process, so that a saved index knows its
/// documents again.
fn fingerprint(document: &Document) -> u64 {
    let mut sum = Xxh3::new();
    sum.update(&document.score.to_le_bytes());
    sum.update(document.language.as_deref().unwrap_or_default().as_bytes());
    sum.update(b"\0");
    sum.update(document.payload.as_deref().unwrap_or_default());
    for (place, value) in &document.fields {
        sum.update(&place.to_le_bytes());
        match value {
            FieldValue::Texts(texts) => {
                sum.update(b"t");
                for text in texts {
                    sum.update(&(text.len() as u64).to_le_bytes());
                    sum.update(text);
                }
            }
            FieldValue::Numbers(numbers) => {
                sum.update(b"n");
                numbers.iter().for_each(|number| sum.update(&number.to_le_bytes()));
            }
            FieldValue::Vectors(vectors) => {
                for vector in vectors {
                    sum.update(b"v");
                    vector.iter().for_each(|number| sum.update(&number.to_le_bytes()));
                }
            }
            FieldValue::Bool(value) => sum.update(&[b'b', u8::from(*value)]),
            FieldValue::Null => sum.update(b"0"),
        }
    }
    sum.digest()
}
