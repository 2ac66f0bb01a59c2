//! A document as an index sees it.

/// What is indexed of one document. Fields are named by their place in the [`Schema`](crate::Schema); a field may come
/// several times (aliases of one path) or never (missing).
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Document {
    /// What the document's own score multiplies text scores with (`SCORE_FIELD`), 0 to 1.
    pub score: f32,
    /// Language for stemming (`LANGUAGE_FIELD`); `None`: the schema's.
    pub language: Option<String>,
    /// What the scorer HAMMING compares (`PAYLOAD_FIELD`).
    pub payload: Option<Vec<u8>>,
    /// Value of each field that is there.
    pub fields: Vec<(u16, FieldValue)>,
}

/// Value of one field of a document, not yet checked against the field's kind.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValue {
    /// A hash field, or a JSON string; several for JSON arrays of strings. A hash's TAG, NUMERIC, GEO and VECTOR
    /// fields come as text, too, and are read as the schema says.
    Texts(Vec<Vec<u8>>),
    /// A JSON number, or an array of them.
    Numbers(Vec<f64>),
    /// A JSON array of arrays of numbers: several vectors.
    Vectors(Vec<Vec<f32>>),
    /// A JSON true or false: indexed as the tag it is spelt as.
    Bool(bool),
    /// JSON's null: the field counts as missing.
    Null,
}
