//! The words of a query: those a text may be searched for again, to mark them or to correct their spelling.

use crate::ast::{Kind, Node, TextFields, Word};

/// Calls `take` for each word that documents are to have, with the fields it is looked for in; in their order. Words of
/// what documents must not match are left out.
pub(crate) fn each_word<'q>(node: &'q Node, take: &mut dyn FnMut(&'q Word, TextFields)) {
    match &node.kind {
        Kind::Word { fields, word } => take(word, *fields),
        Kind::Phrase { fields, words } => words.iter().for_each(|word| take(word, *fields)),
        Kind::And(parts) | Kind::Or(parts) => parts.iter().for_each(|part| each_word(part, take)),
        Kind::Optional(part) => each_word(part, take),
        _ => {}
    }
}
