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
