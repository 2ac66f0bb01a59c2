//! Pipelines of rows: what FT.AGGREGATE, and the end of FT.HYBRID, do with what matched.
//!
//! A [`Planner`] reads the steps of a command (APPLY, FILTER, GROUPBY with its REDUCEs, SORTBY, LIMIT) and gives each
//! property a place in the rows; the [`Plan`] that comes out says which places the caller fills from documents. A [`Run`]
//! takes rows one by one, passes each through the steps as far as it goes, and gives rows away. Only sorting and grouping
//! hold rows back.
//!
//! Invariants: a property that is not there is refused when the plan is made; a sort keeps no more rows than it will show;
//! what a run holds is bounded in bytes, and an answer never depends on the order of hashing.
//!
//! What it does not do: load documents, or know their types.

mod arguments;
mod evaluate;
mod expression;
mod functions;
mod plan;
mod reduce;
mod run;
mod sort;
mod time;
mod values;

pub use arguments::Arguments;
pub use plan::{Column, Plan, Planner};
pub use run::{Row, Run};
pub use values::{number_text, parse_number};

/// Name of the property in which `matched_terms()` finds the terms of a row, as a list. It is not shown.
pub const MATCHED_TERMS: &[u8] = b"__matched_terms";
