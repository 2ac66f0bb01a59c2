//! Paths into JSON documents, and filter expressions over attributes.

use quiver_engine::filter::Filter;
use quiver_engine::types::json::path::Path;
use quiver_engine::types::json::{Node, text};

/// What stands before a zero byte, and behind it.
fn halves(input: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = input.splitn(2, |byte| *byte == 0);
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

/// The target: a path, a zero byte, a document. Nodes and places are the same, and one step more leads to their children.
pub(super) fn path(input: &[u8]) -> bool {
    let (path, document) = halves(input);
    let Ok(path_text) = std::str::from_utf8(path) else { return false };
    let (Ok(document), Ok(path)) = (text::parse(document), Path::parse(path_text)) else { return false };
    let (Ok(nodes), Ok(places)) = (path.select(&document), path.places(&document)) else { return true };
    let found: Vec<_> = places.iter().map(|place| document.at(place).expect("a place of this document")).collect();
    assert_same(&found, &nodes, path_text);
    assert!(!(path.is_legacy || path.is_single()) || nodes.len() <= 1, "{path_text:?} leads to one node");
    let children: Vec<&Node> =
        nodes.iter().flat_map(|node| (0..node.child_count()).filter_map(|at| node.child(at))).collect();
    let longer = Path::parse(&format!("{path_text}[*]")).ok().filter(|_| !path.is_legacy);
    if let Some(Ok(longer)) = longer.map(|longer| longer.select(&document)) {
        assert_same(&longer, &children, path_text);
    }
    true
}

fn assert_same(a: &[&Node], b: &[&Node], path: &str) {
    let same = a.len() == b.len() && a.iter().zip(b).all(|(a, b)| std::ptr::eq(*a, *b));
    assert!(same, "{path:?}: {a:?} are not {b:?}");
}

/// The target: an expression, a zero byte, attributes. An element that has the fields passes an expression or its
/// opposite; one that has not passes neither.
pub(super) fn filter(input: &[u8]) -> bool {
    let (expression, attributes) = halves(input);
    let compile = |before: &[u8], behind: &[u8]| Filter::compile(&[before, expression, behind].concat());
    let Ok(plain) = compile(b"", b"") else { return false };
    let accepts = |before: &[u8], behind: &[u8]| {
        // One more pair of brackets may be one too many.
        compile(before, behind).ok().map(|filter| filter.accepts(attributes))
    };
    let accepted = plain.accepts(attributes);
    let (bracketed, opposite, any) = (accepts(b"(", b")"), accepts(b"not (", b")"), accepts(b"(", b") or 1"));
    let has_fields = any.unwrap_or(accepted);
    assert_eq!(bracketed.unwrap_or(accepted), accepted, "in brackets");
    assert_eq!(opposite.unwrap_or(has_fields && !accepted), has_fields && !accepted, "its opposite");
    assert!(has_fields || !accepted, "without its fields");
    accepted
}
