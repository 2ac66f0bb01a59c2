//! FORMAT EXPAND: fields of JSON documents as values of the protocol.

use quiver_resp::Encoder;

use super::ask::Found;
use super::fields::Fields;
use crate::types::json::{Node, text};

/// Fields as what they are: of JSON documents all is JSON but what was computed.
pub(super) fn fields(reply: &mut Encoder<'_>, fields: &Fields, found: &Found) {
    for (name, value) in fields {
        reply.bulk(name);
        let computed = name.starts_with(b"__") || found.distances.iter().any(|(known, _)| known == name);
        match text::parse(value).ok().filter(|node| !computed && matches!(node, Node::Array(_))) {
            Some(node) => json(reply, &node),
            None => reply.bulk(value),
        }
    }
}

fn json(reply: &mut Encoder<'_>, node: &Node) {
    match node {
        Node::Null => reply.null(),
        Node::Bool(value) => reply.boolean(*value),
        Node::Int(number) => reply.integer(*number),
        Node::Float(number) => reply.double(*number),
        Node::Str(text) => reply.bulk(text.as_bytes()),
        Node::Array(items) => {
            reply.array(items.len());
            items.iter().for_each(|item| json(reply, item));
        }
        Node::Object(fields) => {
            reply.map(fields.len());
            for (name, value) in fields.iter() {
                reply.bulk(name.as_bytes());
                json(reply, value);
            }
        }
    }
}
