//! What FT.INFO tells of an index.

use crate::index::{Index, KindIndex};

/// Counts and sizes of an index.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Statistics {
    /// Documents.
    pub documents: usize,
    /// The largest id a document ever had.
    pub max_document: usize,
    /// Words, stems and sounds.
    pub terms: usize,
    /// Entries of all postings.
    pub records: usize,
    /// Blocks of all postings.
    pub inverted_blocks: usize,
    /// Bytes of postings.
    pub inverted_bytes: usize,
    /// Of these, positions.
    pub offset_bytes: usize,
    /// Bytes of the words' texts and what finds them.
    pub term_bytes: usize,
    /// Bytes of what is known of documents.
    pub document_bytes: usize,
    /// Bytes of their keys and what finds them.
    pub key_bytes: usize,
    /// Bytes of values to sort by.
    pub sortable_bytes: usize,
    /// Bytes of TAG fields.
    pub tag_bytes: usize,
    /// Bytes of NUMERIC fields.
    pub numeric_bytes: usize,
    /// Bytes of GEO and GEOSHAPE fields.
    pub geo_bytes: usize,
    /// Bytes of VECTOR fields.
    pub vector_bytes: usize,
    /// Mean length of documents, in words.
    pub average_length: f64,
    /// Each VECTOR field, by its place.
    pub vectors: Vec<VectorStatistics>,
}

/// Counts and sizes of a VECTOR field.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorStatistics {
    /// The field's place.
    pub field: u16,
    /// Vectors.
    pub vectors: usize,
    /// Documents with one.
    pub documents: usize,
    /// Bytes.
    pub bytes: usize,
}

impl Statistics {
    /// All bytes.
    pub fn total_bytes(&self) -> usize {
        let inverted = self.inverted_bytes + self.term_bytes + self.tag_bytes;
        let columns = self.sortable_bytes + self.numeric_bytes + self.geo_bytes + self.vector_bytes;
        inverted + columns + self.document_bytes + self.key_bytes
    }
}

impl Index {
    /// Counts and sizes, as they are now.
    pub fn statistics(&self) -> Statistics {
        let words = self.words.sizes();
        let mut statistics = Statistics {
            documents: self.len(),
            max_document: self.documents.ids(),
            terms: self.words.len(),
            records: words.records,
            inverted_blocks: words.blocks,
            inverted_bytes: words.bytes,
            offset_bytes: words.position_bytes,
            term_bytes: self.words.memory_bytes() - words.bytes,
            document_bytes: self.documents.table_bytes(),
            key_bytes: self.documents.key_bytes(),
            average_length: self.documents.average_length(),
            ..Statistics::default()
        };
        for (place, field) in (0..).zip(&self.fields) {
            let texts = field.sortable.as_ref().map_or(0, Vec::capacity) * size_of::<Option<Box<[u8]>>>();
            statistics.sortable_bytes += field.sortable_bytes + texts;
            match &field.kind {
                KindIndex::Text => {}
                KindIndex::Tag(tags) => {
                    statistics.tag_bytes += tags.memory_bytes();
                    statistics.records += tags.sizes().records;
                    statistics.inverted_blocks += tags.sizes().blocks;
                }
                KindIndex::Numeric(numbers) => {
                    statistics.numeric_bytes += numbers.memory_bytes();
                    statistics.records += numbers.order().len();
                }
                KindIndex::Geo(geo) => {
                    statistics.geo_bytes += geo.memory_bytes();
                    statistics.records += geo.len();
                }
                KindIndex::Shape(shapes) => statistics.geo_bytes += shapes.memory_bytes(),
                KindIndex::Vector(index) => {
                    let (vectors, documents, bytes) = (index.len(), index.docs(), index.memory_bytes());
                    statistics.vector_bytes += bytes;
                    statistics.vectors.push(VectorStatistics { field: place, vectors, documents, bytes });
                }
            }
        }
        statistics
    }
}
