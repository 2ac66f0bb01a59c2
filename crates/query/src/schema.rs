//! Which attributes of documents are indexed, and how: what FT.CREATE and FT.ALTER declare.

use quiver_vector::Metric;

/// Fields of an index, and what holds for all of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// Fields in the order they were declared; a field is named by its place.
    pub fields: Vec<Field>,
    /// Language of documents that name none (`LANGUAGE`).
    pub language: String,
    /// Words that are not indexed (`STOPWORDS`); `None`: the usual ones.
    pub stop_words: Option<Vec<String>>,
    /// No positions are kept, so no exact phrases (`NOOFFSETS`).
    pub no_offsets: bool,
    /// It is not kept in which field a term stands (`NOFIELDS`).
    pub no_fields: bool,
    /// It is not kept how often a term stands in a document (`NOFREQS`).
    pub no_frequencies: bool,
    /// Nothing is kept for HIGHLIGHT (`NOHL`).
    pub no_highlight: bool,
}

/// One field.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Name of the hash field, or JSONPath.
    pub path: Vec<u8>,
    /// Name in queries (`AS`); the path where none is given.
    pub name: Vec<u8>,
    /// How it is indexed.
    pub kind: FieldKind,
    /// Its value is kept beside the index (`SORTABLE`).
    pub sortable: bool,
    /// The sortable value is kept as it is, not folded (`UNF`).
    pub unnormalized: bool,
    /// It is not indexed, only kept (`NOINDEX`).
    pub no_index: bool,
    /// `ismissing(@field)` is answered (`INDEXMISSING`).
    pub index_missing: bool,
    /// Empty texts are indexed (`INDEXEMPTY`).
    pub index_empty: bool,
}

/// How a field is indexed.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldKind {
    /// Words of a text.
    Text {
        /// What its matches count for (`WEIGHT`).
        weight: f64,
        /// Words are not reduced to their stems (`NOSTEM`).
        no_stem: bool,
        /// Matches words that sound alike, in this language (`PHONETIC dm:en`).
        phonetic: Option<String>,
        /// Infixes and suffixes are found by a trie (`WITHSUFFIXTRIE`).
        suffixes: bool,
    },
    /// Whole values.
    Tag {
        /// Between the values of one text (`SEPARATOR`).
        separator: u8,
        /// Upper and lower case differ (`CASESENSITIVE`).
        case_sensitive: bool,
        /// As for texts.
        suffixes: bool,
    },
    /// Numbers.
    Numeric,
    /// Longitude and latitude.
    Geo,
    /// Polygons and points.
    GeoShape {
        /// `true`: `SPHERICAL`, `false`: `FLAT`.
        spherical: bool,
    },
    /// Vectors.
    Vector(VectorField),
}

/// How a vector field is indexed.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorField {
    /// What finds neighbours.
    pub algorithm: VectorAlgorithm,
    /// Type of the components.
    pub component: VectorType,
    /// Components of a vector.
    pub dim: usize,
    /// What near means.
    pub metric: Metric,
    /// Vectors to make room for (`INITIAL_CAP`).
    pub initial_capacity: usize,
}

/// What finds neighbours.
#[derive(Clone, Debug, PartialEq)]
pub enum VectorAlgorithm {
    /// Every vector is measured.
    Flat {
        /// As declared (`BLOCK_SIZE`); only shown.
        block_size: usize,
    },
    /// A graph.
    Hnsw {
        /// Links per element (`M`).
        m: usize,
        /// Candidates when building (`EF_CONSTRUCTION`).
        ef_construction: usize,
        /// Candidates when searching (`EF_RUNTIME`).
        ef_runtime: usize,
        /// How much farther than the radius a range query looks (`EPSILON`).
        epsilon: f64,
    },
    /// Declared as SVS-VAMANA, with its parameters as they are shown; searched through the same graph as HNSW.
    Vamana {
        /// Names and values as declared, with their defaults.
        parameters: Vec<(String, String)>,
    },
}

/// Type of a vector's components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VectorType {
    /// IEEE 754 binary32.
    Float32,
    /// IEEE 754 binary64; kept as binary32.
    Float64,
    /// IEEE 754 binary16.
    Float16,
    /// The upper half of a binary32.
    BFloat16,
    /// Signed bytes.
    Int8,
    /// Unsigned bytes.
    Uint8,
}

impl Schema {
    /// Place of the field of this name in queries.
    pub fn field(&self, name: &[u8]) -> Option<u16> {
        let place = self.fields.iter().position(|field| field.name == name)?;
        u16::try_from(place).ok()
    }
}
