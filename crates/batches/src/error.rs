//! Why batches cannot be used.

use thiserror::Error;

/// Why batches cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BatchError {
    /// The bytes are no IPC stream, or one that this library does not read.
    #[error("malformed Arrow data: {0}")]
    Malformed(String),
    /// A column has another type.
    #[error("column {field}: expected {expected}, got {got}")]
    Type {
        /// Name of the column.
        field: String,
        /// Types that it may have.
        expected: &'static str,
        /// The type that it has.
        got: String,
    },
    /// A column is not there.
    #[error("column {field}: expected {expected}, got no such column")]
    Missing {
        /// Name of the column.
        field: &'static str,
        /// Types that it may have.
        expected: &'static str,
    },
    /// A value cannot be used.
    #[error("column {field}, row {row}: {reason}")]
    Value {
        /// Name of the column.
        field: String,
        /// Number of the row, over all batches.
        row: usize,
        /// What is wrong with the value.
        reason: String,
    },
    /// Vectors of a batch have another dimension than those before.
    #[error("column vector: expected {expected} components, got {got}")]
    Dim {
        /// Components of the vectors before.
        expected: usize,
        /// Components of these.
        got: usize,
    },
    /// More rows than are taken at once.
    #[error("expected at most {max} rows, got more")]
    TooManyRows {
        /// The most that are taken.
        max: usize,
    },
}

impl BatchError {
    /// The column at fault, if it is one.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Type { field, .. } | Self::Value { field, .. } => Some(field),
            Self::Missing { field, .. } => Some(field),
            Self::Dim { .. } => Some("vector"),
            Self::Malformed(_) | Self::TooManyRows { .. } => None,
        }
    }
}
