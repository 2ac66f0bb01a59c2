//! What an attribute of a result holds.

/// A value in a row of results: of a sortable field, of a loaded field, or computed.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Value {
    /// The attribute is missing, or JSON's null.
    #[default]
    Null,
    /// A number.
    Number(f64),
    /// Text, as bytes.
    Text(Vec<u8>),
    /// Several values: of a JSON array, or collected by a reducer.
    List(Vec<Self>),
    /// Pairs of name and value in their order: what the reducer COLLECT makes.
    Map(Vec<(Vec<u8>, Self)>),
}
