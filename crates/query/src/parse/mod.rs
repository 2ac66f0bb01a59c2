//! The query language: from the text of a query to its tree.
//!
//! `lexer` cuts the text into tokens, `grammar` finds what binds what, `clauses` reads what stands behind a field's name
//! and `vector` what asks for neighbours. Dialect 1 binds otherwise than those after it: there words beside each other
//! bind closer than `|`, which binds closer than parts beside each other; later on `|` binds least.
//!
//! Invariants: any bytes give a tree or an error in bounded time and depth ([`limits`](crate::limits)); parameters are in
//! their places and fields are checked against the schema before a tree is given away; stop words are gone.

mod clauses;
mod grammar;
mod lexer;
mod vector;

use crate::{
    Query, QueryError, Schema,
    ast::TextFields,
    text::{Language, StopWords},
};

/// What a query is read with.
#[derive(Clone, Copy, Debug)]
pub struct ParseOptions<'a> {
    /// The index's.
    pub schema: &'a Schema,
    /// `DIALECT`
    pub dialect: u8,
    /// `PARAMS`: names and values.
    pub parameters: &'a [(Vec<u8>, Vec<u8>)],
    /// `INFIELDS`: where words are looked for that name no field; all ones: everywhere.
    pub fields: TextFields,
    /// `VERBATIM`: neither stems nor synonyms.
    pub verbatim: bool,
    /// Left out of the query; none for `NOSTOPWORDS`.
    pub stop_words: &'a StopWords,
    /// `LANGUAGE`
    pub language: Language,
}

/// Reads a query.
///
/// # Errors
/// Says what cannot be read, and where, in the words clients know.
pub fn parse(query: &[u8], options: ParseOptions<'_>) -> Result<Query, QueryError> {
    grammar::Parser::new(query, options).query()
}

impl<'a> ParseOptions<'a> {
    /// Value of a parameter.
    fn parameter(&self, name: &[u8]) -> Result<&'a [u8], QueryError> {
        let found = self.parameters.iter().find(|(known, _)| known == name);
        found
            .map(|(_, value)| value.as_slice())
            .ok_or_else(|| QueryError::new(format!("No such parameter `{}`", String::from_utf8_lossy(name))))
    }
}
