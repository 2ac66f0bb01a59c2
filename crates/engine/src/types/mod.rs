//! Collections: each file owns a value, its encodings and its invariants, and knows nothing of commands.

pub mod array;
pub mod hash;
pub mod hyperloglog;
pub mod json;
pub mod list;
pub mod set;
pub mod stream;
pub mod suggestions;
pub mod vset;
pub mod zset;
