//! An index as bytes, graphs included: what a snapshot holds, so that nothing is built again after a restart.
//!
//! Documents are numbered by their order, whatever ids they have, and terms stand in theirs; what documents keep of
//! themselves follows from the rest and is left out. All lengths and numbers are varints, floats little-endian.

use std::borrow::Cow;

use quiver_vector::{Node, NodeVector};

use crate::index::dictionary::Dictionary;
use crate::index::postings::{Block, Entry};
use crate::index::{DocId, END, Index, KindIndex, varint};

/// First bytes of an index, with the version of what follows.
pub(super) const MAGIC: &[u8; 8] = b"QUIVIDX1";
/// Bytes handed over together.
const PIECE: usize = 64 << 10;

/// Collects bytes into pieces.
struct Sink<'a> {
    take: &'a mut dyn FnMut(&[u8]),
    buffer: Vec<u8>,
}

impl Sink<'_> {
    fn number(&mut self, number: u64) {
        varint::put(&mut self.buffer, number);
        self.flush(PIECE);
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        self.flush(PIECE);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.raw(bytes);
    }

    fn flush(&mut self, least: usize) {
        if self.buffer.len() >= least {
            (self.take)(&self.buffer);
            self.buffer.clear();
        }
    }
}

/// New numbers of documents; those they have where none is missing.
struct Numbers(Option<Vec<DocId>>);

impl Numbers {
    fn of(&self, doc: DocId) -> DocId {
        match &self.0 {
            None => doc,
            Some(numbers) => numbers.get(doc as usize).copied().unwrap_or(END),
        }
    }
}

impl Index {
    /// Hands the whole index over in pieces; the schema is not in them.
    pub fn save(&self, take: &mut dyn FnMut(&[u8])) {
        let mut sink = Sink { take, buffer: Vec::with_capacity(PIECE * 2) };
        let numbers = self.numbers();
        sink.raw(MAGIC);
        sink.number(self.fields.len() as u64);
        self.save_documents(&mut sink);
        save_terms(&self.words, &numbers, &mut sink);
        for field in &self.fields {
            sink.number(kind(&field.kind));
            self.save_kind(&field.kind, &numbers, &mut sink);
            let sortables =
                field.sortable.iter().flatten().zip(0..).filter_map(|(text, doc)| Some((doc, text.as_ref()?)));
            sink.number(sortables.clone().count() as u64);
            for (doc, text) in sortables {
                sink.number(u64::from(numbers.of(doc)));
                sink.bytes(text);
            }
            sink.number(field.missing.as_ref().map_or(0, |missing| missing.len()) as u64);
            for doc in field.missing.iter().flat_map(|missing| missing.iter()) {
                sink.number(u64::from(numbers.of(doc)));
            }
        }
        sink.raw(MAGIC);
        sink.flush(0);
    }

    fn numbers(&self) -> Numbers {
        let live = self.documents.live();
        if live.len() == self.documents.ids() {
            return Numbers(None);
        }
        let mut numbers = vec![END; self.documents.ids()];
        for (number, doc) in (0..).zip(live.iter()) {
            numbers[doc as usize] = number;
        }
        Numbers(Some(numbers))
    }

    fn save_documents(&self, sink: &mut Sink<'_>) {
        sink.number(self.len() as u64);
        for id in self.documents.live().iter() {
            let Some(doc) = self.documents.get(id) else { continue };
            sink.bytes(&doc.key);
            sink.number(doc.version);
            sink.number(doc.digest);
            sink.number(u64::from(doc.max_frequency));
            sink.number(u64::from(self.documents.length(id)));
            sink.raw(&self.documents.score(id).to_le_bytes());
            match &doc.payload {
                Some(payload) => {
                    sink.number(1);
                    sink.bytes(payload);
                }
                None => sink.number(0),
            }
        }
    }

    fn save_kind(&self, kind: &KindIndex, numbers: &Numbers, sink: &mut Sink<'_>) {
        let ids = || self.documents.live().iter();
        match kind {
            KindIndex::Text => {}
            KindIndex::Tag(tags) => save_terms(tags, numbers, sink),
            KindIndex::Numeric(column) => {
                for doc in ids() {
                    sink.number(column.values(doc).count() as u64);
                    column.values(doc).for_each(|value| sink.raw(&value.to_le_bytes()));
                }
            }
            KindIndex::Geo(geo) => {
                for doc in ids() {
                    sink.number(geo.points(doc).count() as u64);
                    geo.points(doc).flatten().for_each(|value| sink.raw(&value.to_le_bytes()));
                }
            }
            KindIndex::Shape(shapes) => {
                sink.number(shapes.iter().count() as u64);
                for (doc, shapes) in shapes.iter() {
                    sink.number(u64::from(numbers.of(doc)));
                    sink.number(shapes.len() as u64);
                    for rings in shapes.iter().map(|shape| &shape.rings) {
                        sink.number(rings.len() as u64);
                        for ring in rings {
                            sink.number(ring.len() as u64);
                            ring.iter().flatten().for_each(|value| sink.raw(&value.to_le_bytes()));
                        }
                    }
                }
            }
            KindIndex::Vector(vectors) => {
                sink.number(vectors.len() as u64);
                for (doc, digest, node) in vectors.nodes() {
                    sink.number(u64::from(numbers.of(doc)));
                    sink.number(digest);
                    save_node(&node, sink);
                }
            }
        }
    }
}

/// What kind of index a field has, as a number.
pub(super) fn kind(kind: &KindIndex) -> u64 {
    match kind {
        KindIndex::Text => 1,
        KindIndex::Tag(_) => 2,
        KindIndex::Numeric(_) => 3,
        KindIndex::Geo(_) => 4,
        KindIndex::Shape(_) => 5,
        KindIndex::Vector(_) => 6,
    }
}

fn save_terms(terms: &Dictionary, numbers: &Numbers, sink: &mut Sink<'_>) {
    sink.number(terms.len() as u64);
    for (_, term) in terms.from(b"") {
        sink.bytes(&term.text);
        sink.number(term.postings.blocks().len() as u64);
        for block in term.postings.blocks() {
            let block = match numbers.0 {
                None => Cow::Borrowed(block),
                Some(_) => {
                    let entries = block.entries(terms.shape());
                    let entries = entries.iter().map(|entry| Entry { doc: numbers.of(entry.doc), ..*entry });
                    Cow::Owned(Block::of(terms.shape(), &entries.collect::<Vec<_>>()))
                }
            };
            sink.number(u64::from(block.first));
            sink.number(u64::from(block.last));
            sink.number(u64::from(block.count));
            sink.number(u64::from(block.positions_at));
            sink.bytes(&block.data);
        }
    }
}

fn save_node(node: &Node<'_>, sink: &mut Sink<'_>) {
    sink.number(u64::from(node.slot));
    sink.raw(&node.norm.to_le_bytes());
    let floats = match &node.vector {
        NodeVector::F32(floats) => &floats[..],
        // No field is kept in bytes or bits.
        NodeVector::I8 { .. } | NodeVector::Bits(_) => &[],
    };
    floats.iter().for_each(|x| sink.raw(&x.to_le_bytes()));
    sink.number(node.links.len() as u64);
    for links in &node.links {
        sink.number(links.len() as u64);
        links.iter().for_each(|link| sink.number(u64::from(*link)));
    }
}
