//! A query as a tree: what the parser makes of the query language, and the index answers.
//!
//! Parameters (`$name`) are replaced, fields are resolved to their places in the schema and checked against their kinds
//! before a tree exists. Words are folded to lower case and stand as written: stems, synonyms and expansions of prefixes
//! are found when the query runs.

/// A whole query: which documents match, and which of them are nearest to a vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// What documents must match.
    pub root: Node,
    /// `=>[KNN ...]`: of those, the nearest.
    pub knn: Option<Knn>,
}

/// A condition, and what its attributes (`=> { $weight: 2; }`) say of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The condition.
    pub kind: Kind,
    /// Its attributes.
    pub attributes: Attributes,
}

/// What a document must match.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// `*`
    All,
    /// No document: what stop words alone come to.
    Nothing,
    /// A word in one of some TEXT fields.
    Word {
        /// In which fields, a bit for each place among the schema's TEXT fields; all ones: in any.
        fields: TextFields,
        /// Which words match.
        word: Word,
    },
    /// `"several words"`: beside each other, in their order, in one field. Only [`Word::Exact`] and its kin inside.
    Phrase {
        /// In which fields.
        fields: TextFields,
        /// The words; stop words are left out.
        words: Vec<Word>,
    },
    /// All of them. `slop` and `in_order` of the attributes hold for the words among them.
    And(Vec<Node>),
    /// At least one of them.
    Or(Vec<Node>),
    /// Not this.
    Not(Box<Node>),
    /// Better with this: changes the score only.
    Optional(Box<Node>),
    /// A TAG field has one of these values.
    Tag {
        /// The field's place.
        field: u16,
        /// Any of these.
        any: Vec<Tag>,
    },
    /// A NUMERIC field lies between two numbers.
    Numeric {
        /// The field's place.
        field: u16,
        /// Lower end.
        min: End,
        /// Upper end.
        max: End,
    },
    /// A GEO field lies within a distance.
    Geo {
        /// The field's place.
        field: u16,
        /// Degrees.
        longitude: f64,
        /// Degrees.
        latitude: f64,
        /// Metres.
        radius_m: f64,
    },
    /// A GEOSHAPE field stands in this relation to a shape.
    Shape {
        /// The field's place.
        field: u16,
        /// The relation.
        relation: Relation,
        /// The shape as well-known text.
        wkt: Vec<u8>,
    },
    /// A vector lies within a radius.
    VectorRange {
        /// The field's place.
        field: u16,
        /// Largest distance.
        radius: f64,
        /// The vector in the field's component type.
        vector: Vec<u8>,
        /// `$epsilon`
        epsilon: Option<f64>,
        /// `$yield_distance_as`: the attribute that tells the distance.
        distance_as: Option<Vec<u8>>,
    },
    /// `ismissing(@field)`
    Missing {
        /// The field's place.
        field: u16,
    },
}

/// A bit for each TEXT field, by its place among the TEXT fields of the schema.
pub type TextFields = u128;

/// Which words of a text match.
#[derive(Clone, Debug, PartialEq)]
pub enum Word {
    /// This one; and, unless `verbatim`, those of its stem and its synonyms.
    Exact {
        /// The word, folded.
        text: String,
        /// Neither stems nor synonyms (`VERBATIM`, inside quotes).
        verbatim: bool,
    },
    /// Those that begin so: `hel*`.
    Prefix(String),
    /// Those that end so: `*llo`.
    Suffix(String),
    /// Those with this inside: `*ell*`.
    Infix(String),
    /// Those that match `?` and `*`: `w'he?l*'`.
    Wildcard(Vec<u8>),
    /// Those within a Levenshtein distance of 1 to 3: `%hello%`.
    Fuzzy {
        /// The word.
        text: String,
        /// Largest distance.
        distance: u8,
    },
}

/// Which values of a TAG field match; folded already unless the field is case-sensitive.
#[derive(Clone, Debug, PartialEq)]
pub enum Tag {
    /// This one.
    Exact(Vec<u8>),
    /// Those that begin so.
    Prefix(Vec<u8>),
    /// Those that end so.
    Suffix(Vec<u8>),
    /// Those with this inside.
    Infix(Vec<u8>),
    /// Those that match `?` and `*`.
    Wildcard(Vec<u8>),
}

/// An end of a range of numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct End {
    /// The number; infinite for none.
    pub value: f64,
    /// Whether the number itself is outside: `(3`.
    pub exclusive: bool,
}

/// How a shape stands to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The document's lies within the query's.
    Within,
    /// The document's contains the query's.
    Contains,
    /// They share a point.
    Intersects,
    /// They share none.
    Disjoint,
}

/// What stands between `=> {` and `}` behind a condition.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Attributes {
    /// `$weight`: what its score is multiplied with.
    pub weight: Option<f64>,
    /// `$slop`: words that may stand between its words.
    pub slop: Option<u32>,
    /// `$inorder`: its words stand in their order.
    pub in_order: Option<bool>,
    /// `$phonetic`: whether words that sound alike match.
    pub phonetic: Option<bool>,
}

/// The nearest of what matches.
#[derive(Clone, Debug, PartialEq)]
pub struct Knn {
    /// How many.
    pub k: usize,
    /// The vector field's place.
    pub field: u16,
    /// The vector in the field's component type.
    pub vector: Vec<u8>,
    /// `EF_RUNTIME`
    pub ef_runtime: Option<usize>,
    /// `HYBRID_POLICY`: as asked; `None`: the planner's choice.
    pub policy: Option<Policy>,
    /// `BATCH_SIZE`
    pub batch_size: Option<usize>,
    /// The attribute that tells the distance; `__FIELD_score` where none is named.
    pub distance_as: Vec<u8>,
}

/// How the nearest of what matches are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// All that match are measured.
    AdHoc,
    /// The index gives the nearest in batches, of which those that match stay.
    Batches,
}
