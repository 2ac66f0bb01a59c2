//! One reply as a tree, for clients, tests and tools. The server never builds these: it encodes as it goes.

use crate::reply::{Encoder, Protocol};

/// A reply of any type of RESP2 or RESP3.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `+`: a status.
    Simple(Vec<u8>),
    /// `-` or `!`: an error, code first.
    Error(Vec<u8>),
    /// `:`.
    Integer(i64),
    /// `$`.
    Bulk(Vec<u8>),
    /// `_` or `$-1`.
    Null,
    /// `*-1`, which only RESP2 has.
    NullArray,
    /// `*`.
    Array(Vec<Self>),
    /// `%`: pairs in the order sent.
    Map(Vec<(Self, Self)>),
    /// `~`.
    Set(Vec<Self>),
    /// `>`: an out-of-band message, no reply.
    Push(Vec<Self>),
    /// `,`.
    Double(f64),
    /// `#`.
    Boolean(bool),
    /// `(`: sign and digits.
    BigNumber(Vec<u8>),
    /// `=`: text in a three-letter format.
    Verbatim {
        /// `txt` or `mkd`.
        format: [u8; 3],
        /// The text without its format.
        text: Vec<u8>,
    },
    /// `|`: a value with attributes that came before it.
    Attributed {
        /// Pairs in the order sent.
        attributes: Vec<(Self, Self)>,
        /// The value proper.
        value: Box<Self>,
    },
}

impl Value {
    /// Appends the value in a dialect. What RESP2 lacks is spelled as a server spells it there; attributes are
    /// dropped.
    pub fn encode(&self, out: &mut Vec<u8>, protocol: Protocol) {
        let mut encoder = Encoder::new(out, protocol);
        match self {
            Self::Simple(text) => encoder.simple_bytes(text),
            Self::Error(text) => encoder.error_bytes(text),
            Self::Integer(value) => encoder.integer(*value),
            Self::Bulk(bytes) => encoder.bulk(bytes),
            Self::Null => encoder.null(),
            Self::NullArray => encoder.null_array(),
            Self::Array(items) => {
                encoder.array(items.len());
                encode_all(items, out, protocol);
            }
            Self::Set(items) => {
                encoder.set(items.len());
                encode_all(items, out, protocol);
            }
            Self::Push(items) => {
                encoder.push(items.len());
                encode_all(items, out, protocol);
            }
            Self::Map(pairs) => {
                encoder.map(pairs.len());
                encode_pairs(pairs, out, protocol);
            }
            Self::Double(value) => encoder.double(*value),
            Self::Boolean(value) => encoder.boolean(*value),
            Self::BigNumber(digits) => encoder.big_number(digits),
            Self::Verbatim { format, text } => encoder.verbatim(*format, text),
            Self::Attributed { attributes, value } => {
                if protocol == Protocol::Resp3 {
                    encoder.attributes(attributes.len());
                    encode_pairs(attributes, out, protocol);
                }
                value.encode(out, protocol);
            }
        }
    }

    /// The text of a string of any kind (status, bulk, verbatim, big number).
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Simple(text) | Self::Bulk(text) | Self::BigNumber(text) | Self::Verbatim { text, .. } => Some(text),
            Self::Attributed { value, .. } => value.as_bytes(),
            _ => None,
        }
    }

    /// [`Self::as_bytes`] where it is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    /// An integer, also one sent as text or as a truth value.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(*value),
            Self::Boolean(value) => Some(i64::from(*value)),
            other => crate::number::parse_i64(other.as_bytes()?),
        }
    }

    /// A number, also one sent as text.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Double(value) => Some(*value),
            Self::Integer(value) => Some(*value as f64),
            other => other.as_str()?.parse().ok(),
        }
    }

    /// The elements of an array, set or push.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) | Self::Set(items) | Self::Push(items) => Some(items),
            Self::Attributed { value, .. } => value.as_array(),
            _ => None,
        }
    }

    /// The pairs of a map, or of an array of alternating keys and values as RESP2 sends it.
    #[must_use]
    pub fn into_pairs(self) -> Option<Vec<(Self, Self)>> {
        match self {
            Self::Map(pairs) => Some(pairs),
            Self::Array(items) if items.len() % 2 == 0 => {
                let mut items = items.into_iter();
                Some(std::iter::from_fn(|| Some((items.next()?, items.next()?))).collect())
            }
            Self::Attributed { value, .. } => value.into_pairs(),
            _ => None,
        }
    }

    /// Whether this is nothing, in either spelling.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null | Self::NullArray)
    }

    /// Whether this is an error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }
}

fn encode_all(items: &[Value], out: &mut Vec<u8>, protocol: Protocol) {
    for item in items {
        item.encode(out, protocol);
    }
}

fn encode_pairs(pairs: &[(Value, Value)], out: &mut Vec<u8>, protocol: Protocol) {
    for (key, value) in pairs {
        key.encode(out, protocol);
        value.encode(out, protocol);
    }
}
