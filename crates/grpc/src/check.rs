//! The checks on requests that need no server, gathered as field violations.

use tonic::Status;
use tonic_types::FieldViolation;

use crate::convert;
use crate::pb::{Element, IndexOptions, Quantization};
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
/// Most searches in a batch, and most queries that measure recall.
pub const SEARCHES_MAX: usize = 1_024;
/// Most liked, and most disliked elements of a recommendation; most fields of hashes with a search.
pub const RECOMMEND_MAX: usize = 1_024;
/// Most rows of a chunk of Arrow batches.
pub const ARROW_ROWS_MAX: usize = 65_536;
/// Most elements in a page of a scan.
pub const PAGE_MAX: u32 = 1_024;
/// Most dimensions.
pub const DIM_MAX: u32 = 65_536;
/// Links per element, least and most, as VADD has them.
const M: std::ops::RangeInclusive<u32> = 4..=4_096;

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
        let mut dims = elements.iter().filter_map(|element| Some(convert::dim_of(element.vector.as_ref()?)));
        let dim = dims.next().unwrap_or_default();
        for (index, element) in elements.iter().take(WRITE_ELEMENTS_MAX).enumerate() {
            if element.id.is_empty() {
                self.add(format!("elements[{index}].id"), "must not be empty");
            }
            match &element.vector {
                None => self.add(format!("elements[{index}].vector"), "is required"),
                Some(vector) if convert::dim_of(vector) != dim => {
                    let text = format!("dim {} differs from dim {dim} of elements[0]", convert::dim_of(vector));
                    self.add(format!("elements[{index}].vector.dim"), text);
                }
                Some(_) => {}
            }
            if element.attributes.as_deref().is_some_and(|attributes| !convert::is_attributes(attributes)) {
                self.add(format!("elements[{index}].attributes"), "must be a JSON object, or empty for none");
            }
        }
    }

    pub(crate) fn index(&mut self, path: &str, index: Option<&IndexOptions>) {
        let Some(index) = index else { return };
        if Quantization::try_from(index.quantization).is_err() {
            self.add(format!("{path}.quantization"), "is not a known quantization");
        }
        if index.m != 0 && !M.contains(&index.m) {
            self.add(format!("{path}.m"), format!("must be {} to {}, or 0", M.start(), M.end()));
        }
        if index.ef_construction > EF_MAX {
            self.add(format!("{path}.ef_construction"), format!("must be at most {EF_MAX}"));
        }
        if index.reduce_dim > DIM_MAX {
            self.add(format!("{path}.reduce_dim"), format!("must be at most {DIM_MAX}"));
        }
    }

    /// A number within bounds, 0 standing for a default.
    pub(crate) fn at_most(&mut self, field: &str, found: u64, max: u64) {
        if found > max {
            self.add(field, format!("must be at most {max}"));
        }
    }

    pub(crate) fn not_empty(&mut self, field: &str, text: &[u8]) {
        if text.is_empty() {
            self.add(field, "must not be empty");
        }
    }
}
