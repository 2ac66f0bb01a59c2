//! What clients say in JSON.

use std::collections::BTreeMap;

use prost::bytes::Bytes;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use tonic::Status;

use crate::check::Violations;
use crate::pb::{GetFeaturesRequest, IndexOptions, Quantization, ViewSelection};

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

/// Which features are read: what DoGet and DoExchange say in place of a collection.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lookup {
    /// Features by view, all of them for null.
    views: BTreeMap<String, Option<Vec<String>>>,
    #[serde(default)]
    pub(super) entities: Vec<String>,
    #[serde(default)]
    times: bool,
}

/// How DoPut writes features.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PutFeatures {
    pub(super) acks: bool,
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

impl Lookup {
    pub(super) fn request(&self, entities: Vec<Bytes>) -> GetFeaturesRequest {
        let views = self.views.iter().map(|(view, features)| ViewSelection {
            view: view.clone(),
            features: features.clone().unwrap_or_default(),
        });
        GetFeaturesRequest { entities, views: views.collect(), with_event_times: self.times }
    }
}

/// Whether JSON asks for features.
pub(super) fn is_lookup(json: &[u8]) -> bool {
    serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(json).is_ok_and(|fields| fields.contains_key("views"))
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
    fn a_lookup_names_views_and_all_or_some_of_their_features() {
        let lookup = br#"{"views":{"user":null,"shop":["city"]},"times":true}"#;
        assert!(is_lookup(lookup) && !is_lookup(br#"{"collection":"films"}"#) && !is_lookup(b"user"));
        let request = read::<Lookup>("ticket", lookup).unwrap().request(vec!["1".into()]);
        let views: Vec<_> = request.views.iter().map(|view| (view.view.as_str(), view.features.len())).collect();
        assert_eq!((views, request.with_event_times), (vec![("shop", 1), ("user", 0)], true));
    }

    #[test]
    fn index_options_of_a_put_are_those_of_an_upsert() {
        let put: Put = read("app_metadata", br#"{"quantization":"none","m":32}"#).unwrap();
        let expected = IndexOptions { quantization: 1, m: 32, ef_construction: 0, reduce_dim: 0 };
        assert_eq!(put.index(), expected);
        assert!(read::<Put>("app_metadata", br#"{"quantization":"f64"}"#).is_err());
    }
}
