//! What a query may grow to.

/// Fields of one schema.
pub const FIELDS: usize = 1024;
/// TEXT fields of one schema: a term's posting says in which of them it stands, a bit each.
pub const TEXT_FIELDS: usize = 128;
/// How deep a query may nest.
pub const DEPTH: usize = 128;
/// Nodes of one query, as written.
pub const NODES: usize = 10_000;
/// Terms that one prefix, infix, wildcard or fuzzy term may stand for (`MAXEXPANSIONS`).
pub const EXPANSIONS: usize = 200;
/// Shortest prefix that is searched (`MINPREFIX`), in characters.
pub const PREFIX: usize = 2;
/// Largest Levenshtein distance of a fuzzy term.
pub const FUZZY_DISTANCE: u8 = 3;
/// Results of FT.SEARCH (`MAXSEARCHRESULTS`), and rows of FT.AGGREGATE (`MAXAGGREGATERESULTS`).
pub const RESULTS: usize = 1_000_000;
/// Longest term, bytes; longer ones are cut.
pub const TERM_BYTES: usize = 256;
/// Parts of one expression.
pub const EXPRESSION_NODES: usize = 1000;
/// Steps of one pipeline.
pub const STEPS: usize = 256;
/// Properties that one step sorts by.
pub const SORT_KEYS: usize = 8;
/// Longest text that a function makes.
pub const TEXT_BYTES: usize = 16 << 20;
/// What one pipeline may hold of rows and groups.
pub const ROWS_BYTES: usize = 512 << 20;
/// Terms that all words and tags of one query stand for: each costs a kilobyte while the query runs.
pub const TERMS: usize = 65_536;
/// Longest value of a TAG field, bytes; longer ones are cut.
pub const TAG_BYTES: usize = 4096;
