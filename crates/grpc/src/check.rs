//! The checks on requests that need no server, gathered as field violations.

use tonic::Status;
use tonic_types::FieldViolation;

use crate::convert;
use crate::pb::{Element, IndexOptions, Quantization, SearchRequest, search_request::Query};
use crate::status::{VIOLATIONS_MAX, of_violations};

/// Most elements that one request writes or deletes. They run as one transaction, so this also bounds how long the
/// collection's lock is held.
pub const WRITE_ELEMENTS_MAX: usize = 1_024;
/// Most ids in a Get.
pub const GET_IDS_MAX: usize = 10_000;
/// Most hits of a search.
pub const LIMIT_MAX: u32 = 10_000;
/// Hits of a search that names no limit.
pub const LIMIT_DEFAULT: u32 = 10;
/// Widest search.
pub const EF_MAX: u32 = 1_000_000;
/// Most searches in a batch.
pub const SEARCHES_MAX: usize = 1_024;

/// What is wrong with a request, so far.
#[derive(Debug, Default)]
pub(crate) struct Violations(Vec<FieldViolation>);

impl Violations {
    /// Notes a violation; beyond what a status lists there is no need to go on collecting.
    pub(crate) fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        if self.0.len() < VIOLATIONS_MAX {
            self.0.push(FieldViolation::new(field, description));
        }
    }

    /// INVALID_ARGUMENT if anything was noted.
    pub(crate) fn into_result(self) -> Result<(), Status> {
        if self.0.is_empty() { Ok(()) } else { Err(of_violations(self.0)) }
    }

    pub(crate) fn collection(&mut self, path: &str, collection: &str) {
        if collection.is_empty() {
            self.add(format!("{path}collection"), "must not be empty");
        }
    }

    pub(crate) fn count(&mut self, field: &str, found: usize, max: usize) {
        if found == 0 || found > max {
            self.add(field, format!("must have 1 to {max} items, has {found}"));
        }
    }

    pub(crate) fn ids<T: AsRef<[u8]>>(&mut self, ids: &[T], max: usize) {
        self.count("ids", ids.len(), max);
        for index in (0..ids.len()).filter(|index| ids[*index].as_ref().is_empty()) {
            self.add(format!("ids[{index}]"), "must not be empty");
        }
    }

    /// Ids, attributes and dimensions; the vectors' bytes are checked when they are converted.
    pub(crate) fn elements(&mut self, elements: &[Element]) {
        self.count("elements", elements.len(), WRITE_ELEMENTS_MAX);
        let mut dims = elements.iter().filter_map(|element| Some(element.vector.as_ref()?.dim));
        let dim = dims.next().unwrap_or_default();
        for (index, element) in elements.iter().take(WRITE_ELEMENTS_MAX).enumerate() {
            if element.id.is_empty() {
                self.add(format!("elements[{index}].id"), "must not be empty");
            }
            match &element.vector {
                None => self.add(format!("elements[{index}].vector"), "is required"),
                Some(vector) if vector.dim != dim => {
                    let text = format!("dim {} differs from dim {dim} of elements[0]", vector.dim);
                    self.add(format!("elements[{index}].vector.dim"), text);
                }
                Some(_) => {}
            }
            if element.attributes.as_deref().is_some_and(|attributes| !convert::is_attributes(attributes)) {
                self.add(format!("elements[{index}].attributes"), "must be a JSON object, or empty for none");
            }
        }
    }

    pub(crate) fn index(&mut self, index: Option<&IndexOptions>) {
        if index.is_some_and(|index| Quantization::try_from(index.quantization).is_err()) {
            self.add("index.quantization", "is not a known quantization");
        }
    }

    /// All but the vector's bytes, which are checked when they are converted. `path` leads to the search.
    pub(crate) fn search(&mut self, path: &str, search: &SearchRequest) {
        self.collection(path, &search.collection);
        match &search.query {
            None => self.add(format!("{path}query"), "vector or id is required"),
            Some(Query::Id(id)) if id.is_empty() => self.add(format!("{path}id"), "must not be empty"),
            Some(_) => {}
        }
        if search.limit > LIMIT_MAX {
            self.add(format!("{path}limit"), format!("must be at most {LIMIT_MAX}"));
        }
        if search.ef > EF_MAX {
            self.add(format!("{path}ef"), format!("must be at most {EF_MAX}"));
        }
        if search.min_score.is_some_and(f32::is_nan) {
            self.add(format!("{path}min_score"), "must be a number");
        }
    }
}
