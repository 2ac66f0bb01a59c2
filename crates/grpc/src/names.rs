//! What stands under a collection's key when that is no vector set: an alias, or an index without elements.
//!
//! Both are ordinary strings (`index.proto` says which), so whatever holds for keys holds for them. Nobody looks for them
//! until a command says WRONGTYPE: a request that names a vector set pays nothing.
//!
//! An alias leads to a collection in one step, never to another alias.

use quiver_resp::OwnedArgv;
use serde::{Deserialize, Serialize};
use tonic::Status;

use crate::executor::{Auth, Executor};
use crate::gateway::Gateway;
use crate::pb::IndexOptions;
use crate::status;

/// The set of all names that [`Entry`] was written under.
pub(crate) const REGISTRY: &str = "quiver:indexes";

const ALIAS: &str = "quiver:alias ";
const PLAN: &str = "quiver:index ";

/// What such a string says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The key is another name of this collection.
    Alias(String),
    /// The collection has no elements yet.
    Plan(Plan),
}

/// Properties of an index before its first element.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Plan {
    pub(crate) quantization: i32,
    pub(crate) m: u32,
    pub(crate) ef_construction: u32,
    pub(crate) reduce_dim: u32,
    pub(crate) dim: u32,
}

/// Where a request's collection really is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Key of the vector set.
    pub(crate) collection: String,
    /// What is under the key as long as there is no vector set.
    pub(crate) plan: Option<Plan>,
}

impl Entry {
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        if let Some(collection) = text.strip_prefix(ALIAS) {
            return Some(Self::Alias(collection.to_owned()));
        }
        serde_json::from_str(text.strip_prefix(PLAN)?).ok().map(Self::Plan)
    }

    pub(crate) fn to_text(&self) -> String {
        match self {
            Self::Alias(collection) => format!("{ALIAS}{collection}"),
            Self::Plan(plan) => {
                let json = serde_json::to_string(plan).expect("a plan is numbers");
                format!("{PLAN}{json}")
            }
        }
    }
}

impl Plan {
    pub(crate) fn new(options: IndexOptions, dim: u32) -> Self {
        let IndexOptions { quantization, m, ef_construction, reduce_dim } = options;
        Self { quantization, m, ef_construction, reduce_dim, dim }
    }

    pub(crate) fn options(self) -> IndexOptions {
        let Self { quantization, m, ef_construction, reduce_dim, .. } = self;
        IndexOptions { quantization, m, ef_construction, reduce_dim }
    }

    /// What a request asks for, completed by the plan; `None` where they contradict each other.
    pub(crate) fn complete(self, asked: IndexOptions) -> Option<IndexOptions> {
        let pick = |asked: u32, planned: u32| match (asked, planned) {
            (0, planned) => Some(planned),
            (asked, 0) => Some(asked),
            (asked, planned) => (asked == planned).then_some(asked),
        };
        let quantization = pick(asked.quantization.cast_unsigned(), self.quantization.cast_unsigned())?.cast_signed();
        let ef_construction = if asked.ef_construction == 0 { self.ef_construction } else { asked.ef_construction };
        let (m, reduce_dim) = (pick(asked.m, self.m)?, pick(asked.reduce_dim, self.reduce_dim)?);
        Some(IndexOptions { quantization, m, ef_construction, reduce_dim })
    }
}

impl Place {
    pub(crate) fn of(collection: &str) -> Self {
        Self { collection: collection.to_owned(), plan: None }
    }
}

impl<E: Executor> Gateway<E> {
    /// What the string under a key says; `None` if there is none that says anything.
    pub(crate) async fn entry(&self, auth: &Auth, key: &str) -> Result<Option<Entry>, Status> {
        let mut replies = self.replies(auth, vec![OwnedArgv::from_slices(&["GET", key])]).await?;
        Ok(replies.pop().and_then(|reply| Entry::parse(reply.as_bytes()?)))
    }

    /// Runs a request where its collection is: there where it says, and if that is no vector set, where the key leads.
    pub(crate) async fn at<T, F>(&self, auth: &Auth, collection: &str, run: impl Fn(Place) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let mut outcome = run(Place::of(collection)).await;
        let mut name = collection.to_owned();
        for may_be_alias in [true, false] {
            if !outcome.as_ref().is_err_and(status::is_wrong_type) {
                break;
            }
            match self.entry(auth, &name).await? {
                Some(Entry::Alias(target)) if may_be_alias => {
                    outcome = run(Place::of(&target)).await;
                    name = target;
                }
                Some(Entry::Plan(plan)) => return run(Place { collection: name, plan: Some(plan) }).await,
                _ => break,
            }
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_under_a_key_is_read_back() {
        let plan = Plan { quantization: 2, m: 32, ef_construction: 0, reduce_dim: 0, dim: 384 };
        for entry in [Entry::Alias("films v2".into()), Entry::Plan(plan)] {
            assert_eq!(Entry::parse(entry.to_text().as_bytes()), Some(entry));
        }
        assert_eq!(Entry::parse(b"quiver:index {}"), Some(Entry::Plan(Plan::default())));
        for other in [b"".as_slice(), b"hello", b"quiver:index", b"quiver:index {", b"quiver:alias\xff"] {
            assert_eq!(Entry::parse(other), None);
        }
    }

    #[test]
    fn a_request_completes_a_plan_or_contradicts_it() {
        let plan = Plan { quantization: 2, m: 32, ..Plan::default() };
        let asked = IndexOptions { m: 32, ef_construction: 400, ..IndexOptions::default() };
        let complete = IndexOptions { quantization: 2, m: 32, ef_construction: 400, reduce_dim: 0 };
        assert_eq!(plan.complete(asked), Some(complete));
        assert_eq!(plan.complete(IndexOptions { m: 16, ..asked }), None);
        assert_eq!(plan.complete(IndexOptions { quantization: 1, ..asked }), None);
    }
}
