//! What clients say in JSON.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tonic::Status;

use crate::check::Violations;
use crate::pb::{IndexOptions, Quantization};

/// What DoGet reads.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    pub(super) collection: String,
    #[serde(default)]
    pub(super) ids: Option<Vec<String>>,
    #[serde(default)]
    pub(super) after: String,
    #[serde(default)]
    pub(super) limit: u64,
    #[serde(default)]
    pub(super) filter: String,
    #[serde(default = "yes")]
    pub(super) vectors: bool,
    #[serde(default = "yes")]
    pub(super) attributes: bool,
    #[serde(default)]
    pub(super) expiry: bool,
    #[serde(default)]
    pub(super) binary_ids: bool,
}

/// How DoPut writes.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Put {
    quantization: Option<Stored>,
    m: u32,
    ef_construction: u32,
    reduce_dim: u32,
    pub(super) acks: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stored {
    None,
    Q8,
    Binary,
}

/// How DoExchange searches.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Exchange {
    pub(super) collection: String,
    pub(super) limit: u32,
    pub(super) ef: u32,
    pub(super) exact: bool,
    pub(super) recall: Option<f64>,
    pub(super) filter: String,
    pub(super) min_score: Option<f32>,
    pub(super) attributes: bool,
    pub(super) binary_ids: bool,
}

fn yes() -> bool {
    true
}

impl Put {
    pub(super) fn index(self) -> IndexOptions {
        let quantization = match self.quantization {
            None => Quantization::Unspecified,
            Some(Stored::None) => Quantization::None,
            Some(Stored::Q8) => Quantization::Q8,
            Some(Stored::Binary) => Quantization::Binary,
        };
        let Self { m, ef_construction, reduce_dim, .. } = self;
        IndexOptions { quantization: quantization.into(), m, ef_construction, reduce_dim }
    }
}

/// What `field` says in JSON.
pub(super) fn read<T: DeserializeOwned>(field: &str, json: &[u8]) -> Result<T, Status> {
    serde_json::from_slice(json).map_err(|error| violation(field, &error.to_string()))
}

/// What `field` says as text.
pub(super) fn text(field: &str, bytes: &[u8]) -> Result<String, Status> {
    String::from_utf8(bytes.to_vec()).map_err(|_| violation(field, "must be text"))
}

/// INVALID_ARGUMENT for this field.
pub(super) fn violation(field: &str, description: &str) -> Status {
    let mut violations = Violations::default();
    violations.add(field, description);
    violations.into_result().expect_err("a violation was noted")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_names_a_collection_and_has_defaults() {
        let wanted: Wanted = read("ticket", br#"{"collection":"films"}"#).unwrap();
        assert!(wanted.vectors && wanted.attributes && !wanted.expiry && wanted.ids.is_none());
        for bad in [r"{}", "films", r#"{"collection":1}"#, r#"{"collection":"films","colour":1}"#, ""] {
            assert_eq!(read::<Wanted>("ticket", bad.as_bytes()).unwrap_err().code(), tonic::Code::InvalidArgument);
        }
    }

    #[test]
    fn index_options_of_a_put_are_those_of_an_upsert() {
        let put: Put = read("app_metadata", br#"{"quantization":"none","m":32}"#).unwrap();
        let expected = IndexOptions { quantization: 1, m: 32, ef_construction: 0, reduce_dim: 0 };
        assert_eq!(put.index(), expected);
        assert!(read::<Put>("app_metadata", br#"{"quantization":"f64"}"#).is_err());
    }
}
