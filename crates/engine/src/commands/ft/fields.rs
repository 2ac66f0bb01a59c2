//! Fields of documents as results show them.

use quiver_query::Value;

use super::ask::Found;
use super::request::Returned;
use crate::search::definition::{Definition, Kind};
use crate::search::extract::{Source, node_text};
use crate::types::hash::ItemText;
use crate::types::json::Node;
use crate::types::json::path::Path;

/// Names and values.
pub(super) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// Dialect from which a path of a JSON document gives all it leads to.
pub(super) const ALL_MATCHES: u8 = 3;

/// All there is of a document.
pub(super) fn all(source: &Source<'_>, found: &Found, dialect: u8) -> Fields {
    let mut fields: Fields =
        found.distances.iter().map(|(name, distance)| (name.clone(), number_text(*distance))).collect();
    match source {
        Source::Hash(hash, as_of) => {
            let pairs = hash.iter(*as_of).map(|(name, value)| {
                (ItemText::new(name).as_bytes().to_vec(), ItemText::new(value).as_bytes().to_vec())
            });
            fields.extend(pairs);
        }
        Source::Json(root) => {
            let text = root.to_text();
            let text = if dialect >= ALL_MATCHES { [b"[", text.as_slice(), b"]"].concat() } else { text };
            fields.push((b"$".to_vec(), text));
        }
    }
    fields
}

/// The fields that were asked for, as far as they are there.
pub(super) fn chosen(
    source: &Source<'_>,
    definition: &Definition,
    found: &Found,
    returned: &[Returned],
    dialect: u8,
) -> Fields {
    let value = |wanted: &Returned| {
        let value = computed(found, &wanted.field).or_else(|| field(source, definition, &wanted.field, dialect))?;
        Some((wanted.name.clone(), value))
    };
    returned.iter().filter_map(value).collect()
}

/// What a document has only as a result: its key, score and distances.
fn computed(found: &Found, name: &[u8]) -> Option<Vec<u8>> {
    match name {
        b"__key" => Some(found.key.clone()),
        b"__score" => Some(number_text(found.score)),
        _ => {
            let (_, distance) = found.distances.iter().find(|(known, _)| *known == name)?;
            Some(number_text(*distance))
        }
    }
}

/// A field of a document by its name in queries, or by its name in a hash or path in a JSON document.
pub(super) fn field(source: &Source<'_>, definition: &Definition, name: &[u8], dialect: u8) -> Option<Vec<u8>> {
    let place = definition.schema.field(name).map(usize::from);
    match (source, definition.kind) {
        (Source::Json(root), Kind::Json) => {
            let given;
            let path = match place {
                Some(place) => &definition.paths[place],
                None => {
                    given = Path::parse(std::str::from_utf8(name).ok()?).ok()?;
                    &given
                }
            };
            json_field(root, path, dialect)
        }
        _ => {
            let name = place.map_or(name, |place| &definition.schema.fields[place].path);
            source.text(name)
        }
    }
}

fn json_field(root: &Node, path: &Path, dialect: u8) -> Option<Vec<u8>> {
    let found = path.select(root).ok()?;
    if dialect < ALL_MATCHES {
        return found.first().filter(|node| !matches!(node, Node::Null)).map(|node| node_text(node));
    }
    if found.is_empty() {
        return None;
    }
    let all = found.iter().map(|node| node.to_text()).collect::<Vec<_>>().join(&b',');
    Some([b"[", all.as_slice(), b"]"].concat())
}

/// A field as a value to compute with.
pub(super) fn value(source: &Source<'_>, definition: &Definition, name: &[u8], dialect: u8) -> Value {
    use quiver_query::FieldKind;
    let is_number = definition
        .schema
        .field(name)
        .is_some_and(|place| matches!(definition.schema.fields[usize::from(place)].kind, FieldKind::Numeric));
    match field(source, definition, name, dialect) {
        None => Value::Null,
        Some(text) => match crate::number::parse_f64(&text).filter(|_| is_number) {
            Some(number) => Value::Number(number),
            None => Value::Text(text),
        },
    }
}

/// A number as results print it.
pub(super) fn number_text(number: f64) -> Vec<u8> {
    Value::Number(number).as_text().map_or_else(Vec::new, |text| text.into_owned())
}
