//! An index out of bytes that may come from anywhere: nothing is believed that is not checked, and memory grows with what
//! arrives.

use std::io::{self, BufReader, Read};
use std::sync::{Arc, OnceLock};

use quiver_vector::{Node, NodeVector};

use crate::analyzer::Analyzer;
use crate::index::bits::Bits;
use crate::index::dictionary::Dictionary;
use crate::index::documents::Doc;
use crate::index::postings::{Block, Postings};
use crate::index::save::{MAGIC, kind};
use crate::index::shape::Geometry;
use crate::index::vectors::VectorIndex;
use crate::index::{DocId, FieldIndex, Index, KindIndex, varint};
use crate::schema::{FieldKind, Schema, VectorField};

/// Why bytes are no index.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// They could not be read, or end too early.
    #[error("reading an index: {0}")]
    Io(#[from] io::Error),
    /// They are no index of this schema.
    #[error("corrupt index: {0}")]
    Corrupt(String),
}

type Result<T> = std::result::Result<T, LoadError>;

/// Bytes and what they spell.
struct Source<R> {
    input: BufReader<R>,
    /// Memory for what is read.
    raw: Vec<u8>,
}

impl<R: Read> Source<R> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u64> {
        let (mut value, mut shift) = (0_u64, 0);
        loop {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Ok(value);
            }
            shift += 7;
            if shift > 63 {
                return Err(corrupt("a number without end"));
            }
        }
    }

    fn small<T: TryFrom<u64>>(&mut self) -> Result<T> {
        T::try_from(self.number()?).map_err(|_| corrupt("a number too large"))
    }

    fn float(&mut self) -> Result<f64> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    fn bytes(&mut self) -> Result<Vec<u8>> {
        let len = self.number()?;
        let mut bytes = Vec::new();
        self.input.by_ref().take(len).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != len {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(bytes)
    }

    /// So many numbers of a vector.
    fn vector(&mut self, dim: usize) -> Result<Vec<f32>> {
        let len = dim * size_of::<f32>();
        self.raw.clear();
        self.input.by_ref().take(len as u64).read_to_end(&mut self.raw)?;
        if self.raw.len() != len {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(self.raw.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    /// As many as a number says, made one by one.
    fn many<T>(&mut self, mut one: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let (count, mut out) = (self.number()?, Vec::new());
        for _ in 0..count {
            out.push(one(self)?);
        }
        Ok(out)
    }

    fn doc(&mut self, docs: usize) -> Result<DocId> {
        let doc = self.small::<DocId>()?;
        if (doc as usize) < docs { Ok(doc) } else { Err(corrupt("a document that is not there")) }
    }
}

impl Index {
    /// An index out of what [`Index::save`] handed over, of the same schema. It reads ahead: `input` ends with the index.
    /// # Errors
    /// Bytes that cannot be read, or are no index of this schema.
    pub fn load(schema: Arc<Schema>, analyzer: Arc<dyn Analyzer>, input: &mut dyn Read) -> Result<Self> {
        let mut source = Source { input: BufReader::with_capacity(1 << 16, input), raw: Vec::new() };
        let mut index = Self::new(schema, analyzer).map_err(|error| corrupt(error.to_string()))?;
        if source.array::<8>()? != *MAGIC || source.number()? != index.fields.len() as u64 {
            return Err(corrupt("it is of another schema or version"));
        }
        let mut docs = source.many(load_doc)?;
        let count = docs.len();
        if u32::try_from(count).is_err() {
            return Err(corrupt("too many documents"));
        }
        let mut words = vec![(Vec::new(), 0); count];
        load_terms(&mut index.words, count, &mut source, |doc, word| {
            let (bytes, before) = &mut words[doc as usize];
            varint::put(bytes, u64::from(word - *before));
            *before = word;
        })?;
        let mut tags = vec![Vec::new(); count];
        let schema = Arc::clone(&index.schema);
        for (place, (field, declared)) in (0..).zip(index.fields.iter_mut().zip(&schema.fields)) {
            if source.number()? != kind(&field.kind) {
                return Err(corrupt("a field is of another kind"));
            }
            load_kind(&mut field.kind, &declared.kind, !declared.no_index, count, &mut source, |doc, tag| {
                tags[doc as usize].push((place, tag));
            })?;
            load_rest(field, count, &mut source)?;
        }
        if source.array::<8>()? != *MAGIC {
            return Err(corrupt("it does not end where it should"));
        }
        for (id, (loaded, (words, tags))) in (0..).zip(docs.drain(..).zip(words.into_iter().zip(tags))) {
            let (mut doc, length, score) = loaded;
            (doc.words, doc.tags) = (words.0.into(), tags.into());
            if index.documents.find(&doc.key).is_some() {
                return Err(corrupt("two documents of one key"));
            }
            index.documents.set(id, doc, length, score);
        }
        Ok(index)
    }
}

fn corrupt(reason: impl Into<String>) -> LoadError {
    LoadError::Corrupt(reason.into())
}

fn load_doc<R: Read>(source: &mut Source<R>) -> Result<(Doc, u32, f32)> {
    let (key, version, digest) = (source.bytes()?.into(), source.number()?, source.number()?);
    let (max_frequency, length) = (source.small()?, source.small()?);
    let score = f32::from_le_bytes(source.array()?);
    let payload = match source.number()? {
        0 => None,
        _ => Some(source.bytes()?.into()),
    };
    if !score.is_finite() {
        return Err(corrupt("a score that is no number"));
    }
    Ok((Doc { key, version, digest, max_frequency, payload, ..Doc::default() }, length, score))
}

/// Loads terms, and calls `of_doc` with each of their documents, in the order of their numbers.
fn load_terms<R: Read>(
    terms: &mut Dictionary,
    docs: usize,
    source: &mut Source<R>,
    mut of_doc: impl FnMut(DocId, u32),
) -> Result<()> {
    for _ in 0..source.number()? {
        let text: Arc<[u8]> = source.bytes()?.into();
        let blocks = source.many(|source| {
            let (first, last, count, positions_at) =
                (source.small()?, source.small()?, source.small()?, source.small()?);
            Ok(Block { first, last, count, positions_at, data: source.bytes()?, best: OnceLock::new() })
        })?;
        let postings = Postings::from_blocks(terms.shape(), blocks).map_err(corrupt)?;
        if postings.blocks().last().is_some_and(|block| block.last as usize >= docs) {
            return Err(corrupt("a term of no document"));
        }
        terms.restore(text, postings, &mut of_doc).map_err(corrupt)?;
    }
    Ok(())
}

fn load_kind<R: Read>(
    index: &mut KindIndex,
    declared: &FieldKind,
    indexed: bool,
    docs: usize,
    source: &mut Source<R>,
    of_doc: impl FnMut(DocId, u32),
) -> Result<()> {
    match index {
        KindIndex::Text => {}
        KindIndex::Tag(tags) => load_terms(tags, docs, source, of_doc)?,
        KindIndex::Numeric(numbers) => {
            let mut columns = Vec::new();
            for doc in 0..docs as DocId {
                let values = source.many(Source::float)?;
                if values.iter().any(|value| value.is_nan()) {
                    return Err(corrupt("a number that is none"));
                }
                if !values.is_empty() {
                    columns.push((doc, values));
                }
            }
            numbers.restore(&columns, indexed);
        }
        KindIndex::Geo(geo) => {
            for doc in 0..docs as DocId {
                let points = source.many(|source| Ok([source.float()?, source.float()?]))?;
                if points.iter().flatten().any(|value| !value.is_finite()) {
                    return Err(corrupt("a point that is none"));
                }
                geo.set(doc, &points);
            }
        }
        KindIndex::Shape(shapes) => {
            for _ in 0..source.number()? {
                let doc = source.doc(docs)?;
                let of_doc = source.many(|source| {
                    let rings = source.many(|source| source.many(|source| Ok([source.float()?, source.float()?])))?;
                    Geometry::new(rings).ok_or_else(|| corrupt("a shape that is none"))
                })?;
                shapes.set(doc, of_doc);
            }
        }
        KindIndex::Vector(vectors) => {
            let FieldKind::Vector(field) = declared else { return Err(corrupt("no vector field")) };
            let mut owners = Vec::new();
            let nodes = source.many(|source| {
                owners.push((source.doc(docs)?, source.number()?));
                load_node(field, source)
            })?;
            let loaded = VectorIndex::from_nodes(field, &owners, nodes);
            **vectors = loaded.map_err(|error| corrupt(error.to_string()))?;
        }
    }
    Ok(())
}

fn load_node<R: Read>(field: &VectorField, source: &mut Source<R>) -> Result<Node<'static>> {
    let slot = source.small()?;
    let norm = f32::from_le_bytes(source.array()?);
    let floats = source.vector(field.dim)?;
    let links = source.many(|source| Ok(source.many(Source::small::<u32>)?.into()))?;
    Ok(Node { slot, norm, vector: NodeVector::F32(floats.into()), links })
}

/// What fields of every kind may have: texts to sort by, and documents without it.
fn load_rest<R: Read>(field: &mut FieldIndex, docs: usize, source: &mut Source<R>) -> Result<()> {
    for _ in 0..source.number()? {
        let doc = source.doc(docs)?;
        let text = source.bytes()?;
        field.set_sortable(doc, Some(text.into()));
    }
    let missing = source.many(|source| source.doc(docs))?;
    if let Some(known) = &mut field.missing {
        *known = missing.into_iter().collect::<Bits>();
    }
    Ok(())
}
