//! The index of a schema: takes documents under their keys, and knows for every query which of them match.
//!
//! Every kind of field has what answers it best: words and tags compressed postings in the order of a dictionary
//! (`postings`, `dictionary`), numbers and points sorted leaves and a column (`sorted`, `geo`), vectors the graph or the
//! flat index of crate `vector` (`vectors`). A query becomes a tree of iterators over ascending ids (`iterators`,
//! `plan`), cheapest first, which is scored (`score`) and collected (`search`).
//!
//! A document is changed in two steps: [`Index::prepare`] reads only, and does what takes long (words of texts,
//! neighbours of vectors); [`Index::commit`] changes. It keeps its id for life, and knows its words and tags, so that a
//! change or a removal touches what it concerns and leaves nothing behind: counts and frequencies are always exact, and
//! nothing is collected later.
//!
//! Invariants ([`Index::check`]): what a document has is in the indexes and nothing else is; saved and loaded an index
//! is the same.

mod bits;
mod check;
mod clock;
mod commit;
mod cursor;
mod dictionary;
mod documents;
mod expand;
mod geo;
mod iterators;
mod load;
mod plan;
mod postings;
mod prepare;
mod profile;
mod proximity;
mod save;
mod score;
mod search;
mod shape;
mod sorted;
mod statistics;
mod varint;
mod vectors;

use std::sync::Arc;

pub use load::LoadError;
pub use prepare::{IndexingError, Prepared};
pub use profile::{Part, Profile, Recorder};
pub use score::{Explanation, Scorer};
pub use search::{Hit, Hits, SearchOptions, Sort};
pub use statistics::{Statistics, VectorStatistics};

use crate::analyzer::Analyzer;
use crate::document::Document;
use crate::index::bits::Bits;
use crate::index::dictionary::Dictionary;
use crate::index::documents::Documents;
use crate::index::geo::{GeoIndex, NumericIndex};
use crate::index::postings::Shape;
use crate::index::shape::ShapeIndex;
use crate::index::vectors::VectorIndex;
use crate::schema::{FieldKind, Schema};
use crate::value::Value;

/// A document in an index: small numbers, used again after a document is gone.
pub type DocId = u32;

/// Behind the last document; no document's id.
pub(crate) const END: DocId = DocId::MAX;

/// Before a stem in the dictionary of words, and before the key of a sound. No word begins so, because words are UTF-8.
pub(crate) const STEM: u8 = 0xfe;
pub(crate) const SOUND: u8 = 0xff;

/// An index.
#[derive(Debug)]
pub struct Index {
    schema: Arc<Schema>,
    analyzer: Arc<dyn Analyzer>,
    documents: Documents,
    /// Words of all TEXT fields.
    words: Dictionary,
    /// One for each field of the schema.
    fields: Vec<FieldIndex>,
    /// Places of the TEXT fields in the schema.
    texts: Vec<u16>,
}

/// What is indexed of a field.
#[derive(Debug)]
struct FieldIndex {
    kind: KindIndex,
    /// Texts to sort by, of fields that are not numbers.
    sortable: Option<Vec<Option<Box<[u8]>>>>,
    sortable_bytes: usize,
    /// Documents without it.
    missing: Option<Bits>,
}

#[derive(Debug)]
enum KindIndex {
    /// In [`Index::words`], under this number.
    Text,
    Tag(Dictionary),
    Numeric(NumericIndex),
    Geo(GeoIndex),
    Shape(ShapeIndex),
    Vector(Box<VectorIndex>),
}

impl Index {
    /// An empty index.
    /// # Errors
    /// A vector field with a parameter out of range.
    pub fn new(schema: Arc<Schema>, analyzer: Arc<dyn Analyzer>) -> Result<Self, IndexingError> {
        let fields = schema.fields.iter().map(|field| {
            let kind = match &field.kind {
                FieldKind::Text { .. } => KindIndex::Text,
                FieldKind::Tag { .. } => KindIndex::Tag(Dictionary::new(Shape::Ids)),
                FieldKind::Numeric => KindIndex::Numeric(NumericIndex::default()),
                FieldKind::Geo => KindIndex::Geo(GeoIndex::default()),
                FieldKind::GeoShape { .. } => KindIndex::Shape(ShapeIndex::default()),
                FieldKind::Vector(vector) => {
                    let index = VectorIndex::new(vector).map_err(|error| IndexingError::new(error.to_string()))?;
                    KindIndex::Vector(Box::new(index))
                }
            };
            let sortable = (field.sortable && !matches!(kind, KindIndex::Numeric(_))).then(Vec::new);
            Ok(FieldIndex { kind, sortable, sortable_bytes: 0, missing: field.index_missing.then(Bits::default) })
        });
        let fields = fields.collect::<Result<_, IndexingError>>()?;
        let texts = (0..).zip(&schema.fields).filter(|(_, field)| matches!(field.kind, FieldKind::Text { .. }));
        let texts = texts.map(|(place, _)| place).take(crate::limits::TEXT_FIELDS).collect();
        let (documents, words) = (Documents::default(), Dictionary::new(Shape::Text));
        Ok(Self { documents, words, fields, texts, schema, analyzer })
    }

    /// What is indexed.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Documents.
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// Whether there is no document.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes more fields behind those there are (FT.ALTER). Documents have nothing in them until they are put in again.
    /// # Errors
    /// A schema that does not begin with the fields there are; a vector field with a parameter out of range.
    pub fn extend(&mut self, schema: Arc<Schema>) -> Result<(), IndexingError> {
        let known = self.schema.fields.len();
        if schema.fields.get(..known) != Some(&self.schema.fields[..]) {
            return Err(IndexingError::new("the schema has other fields"));
        }
        let mut fresh = Self::new(Arc::clone(&schema), Arc::clone(&self.analyzer))?;
        let mut more = fresh.fields.split_off(known);
        for field in more.iter_mut().filter(|field| field.missing.is_some()) {
            field.missing = Some(self.documents.live().clone());
        }
        self.fields.append(&mut more);
        (self.schema, self.texts) = (schema, fresh.texts);
        Ok(())
    }

    /// [`Self::prepare`] and [`Self::commit`]. A document that cannot be indexed is not in the index any more.
    /// # Errors
    /// What cannot be indexed.
    pub fn upsert(&mut self, key: &[u8], document: &Document, version: u64) -> Result<DocId, IndexingError> {
        let result = self.prepare(key, document).and_then(|prepared| self.commit(prepared, version));
        if result.is_err() {
            self.remove(key);
        }
        result
    }

    /// Gives a document another key; whether there was one. A document that had the new key is gone.
    pub fn rename(&mut self, old: &[u8], new: &[u8]) -> bool {
        let Some(doc) = self.documents.find(old) else { return false };
        if old != new {
            self.remove(new);
            self.documents.rename(doc, new);
        }
        true
    }

    /// The id of a key.
    pub fn find(&self, key: &[u8]) -> Option<DocId> {
        self.documents.find(key)
    }

    /// The key of a document.
    pub fn key(&self, doc: DocId) -> Option<&[u8]> {
        self.documents.get(doc).map(|doc| &*doc.key)
    }

    /// The version a document was committed with.
    pub fn version(&self, doc: DocId) -> Option<u64> {
        self.documents.get(doc).map(|doc| doc.version)
    }

    /// The version the document of a key was committed with.
    pub fn version_of(&self, key: &[u8]) -> Option<u64> {
        self.version(self.find(key)?)
    }

    /// A document's own score.
    pub fn document_score(&self, doc: DocId) -> f32 {
        self.documents.score(doc)
    }

    /// All documents, in order of their ids.
    pub fn documents(&self) -> impl Iterator<Item = (DocId, &[u8])> {
        self.documents.live().iter().filter_map(|id| Some((id, self.key(id)?)))
    }

    /// What a document has in a SORTABLE field, folded unless the field says otherwise; a number of any NUMERIC field.
    pub fn sortable(&self, doc: DocId, field: u16) -> Value {
        let Some(index) = self.fields.get(field as usize).filter(|_| self.documents.live().contains(doc)) else {
            return Value::Null;
        };
        match (&index.kind, &index.sortable) {
            (KindIndex::Numeric(numbers), _) => numbers.first(doc).map_or(Value::Null, Value::Number),
            (_, Some(texts)) => {
                let text = texts.get(doc as usize).and_then(Option::as_ref);
                text.map_or(Value::Null, |text| Value::Text(text.to_vec()))
            }
            _ => Value::Null,
        }
    }

    /// The values of a TAG field, ascending, each with its number of documents; nothing for other fields.
    pub fn tag_values(&self, field: u16) -> impl Iterator<Item = (&[u8], usize)> {
        let tags = match self.fields.get(field as usize).map(|field| &field.kind) {
            Some(KindIndex::Tag(tags)) => Some(tags),
            _ => None,
        };
        tags.into_iter().flat_map(|tags| tags.from(b"")).map(|(_, term)| (&*term.text, term.postings.len()))
    }

    /// The words that texts are made of, ascending, from one that is not before `start` on, each with its number of
    /// documents.
    pub fn terms(&self, start: &str) -> impl Iterator<Item = (&str, usize)> {
        let words = self.words.from(start.as_bytes()).take_while(|(_, term)| is_word(&term.text));
        words.filter_map(|(_, term)| Some((std::str::from_utf8(&term.text).ok()?, term.postings.len())))
    }

    /// Documents a word stands in.
    pub fn term_documents(&self, word: &str) -> usize {
        self.words.find(word.as_bytes()).map_or(0, |(_, term)| term.postings.len())
    }

    /// How many TEXT fields there are before the one at a place of the schema: its bit in
    /// [`TextFields`](crate::ast::TextFields).
    fn ordinal(&self, field: u16) -> Option<u32> {
        self.texts.iter().position(|&text| text == field).map(|at| at as u32)
    }
}

/// Whether a term of the dictionary of words is a word, neither a stem nor a sound.
fn is_word(term: &[u8]) -> bool {
    term.first().is_none_or(|&first| first < STEM)
}
