//! HIGHLIGHT and SUMMARIZE: the query's words marked in the texts that are returned, or the parts around them.

use quiver_query::highlight::Highlighter;
use quiver_query::{FieldKind, Schema};

use super::fields::Fields;
use super::request::Excerpts;

/// Marks and shortens fields that hold texts.
pub(super) fn apply(excerpts: &Excerpts, schema: &Schema, highlighter: &Highlighter<'_>, fields: &mut Fields) {
    for (name, value) in fields {
        let Some(bit) = text_bit(schema, name) else { continue };
        let named = |names: &[Vec<u8>]| names.is_empty() || names.contains(name);
        let marks = excerpts.highlight.as_ref().filter(|(names, _)| named(names)).map(|(_, marks)| marks);
        let summary = excerpts.summarize.as_ref().filter(|(names, _)| named(names)).map(|(_, summary)| summary);
        match (summary, marks) {
            (Some(summary), marks) => *value = highlighter.summarize(value, bit, summary, marks),
            (None, Some(marks)) => *value = highlighter.highlight(value, bit, marks),
            (None, None) => {}
        }
    }
}

/// The bit of a TEXT field, by its name in queries or in documents.
fn text_bit(schema: &Schema, name: &[u8]) -> Option<u128> {
    let texts = schema.fields.iter().filter(|field| matches!(field.kind, FieldKind::Text { .. }));
    let place = texts.into_iter().position(|field| field.name == name || field.path == name)?;
    Some(1 << place)
}
