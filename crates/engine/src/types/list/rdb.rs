//! Lists in snapshots: written as Redis 7 writes them, read in every encoding there was.

use quiver_rdb::{Reader, Writer, code};
use quiver_structures::listpack::ListPack;

use super::quicklist::{Node, QuickList};
use super::{Content, End, Limits, List};
use crate::codec::Result;
use crate::types::hash::ItemText;
use crate::types::hash::old_encodings::ziplist_items;

/// A node that is one large element.
const PLAIN: u64 = 1;
/// A node that is a listpack.
const PACKED: u64 = 2;

/// A listpack in a file stays one up to this length; every access within it is a walk.
const LISTPACK_BYTES_MAX: usize = 64 * 1024 + 64;

impl List {
    /// Whether a type byte is that of a list.
    pub fn reads(kind: u8) -> bool {
        [code::LIST, code::LIST_ZIPLIST, code::LIST_QUICKLIST, code::LIST_QUICKLIST_2].contains(&kind)
    }

    /// Writes the next part of the value; see [`Collection::write_part`](crate::object::Collection::write_part).
    pub fn write_part(&self, writer: &mut Writer<'_>, at: &mut usize, room: usize) -> bool {
        match &self.0 {
            Content::Small(list) => {
                writer.length(1);
                writer.length(PACKED);
                writer.string(list.as_bytes());
                true
            }
            Content::Large(list) => {
                if *at == 0 {
                    writer.length(list.nodes().len() as u64);
                }
                for node in list.nodes().skip(*at) {
                    let (container, bytes) = match node {
                        Node::Packed(list) => (PACKED, list.as_bytes()),
                        Node::Plain(bytes) => (PLAIN, &**bytes),
                    };
                    writer.length(container);
                    writer.string(bytes);
                    *at += 1;
                    if writer.len() >= room {
                        break;
                    }
                }
                *at == list.nodes().len()
            }
        }
    }

    /// Reads a value of the given type.
    ///
    /// # Errors
    /// What is wrong with the bytes; also a list without elements.
    pub fn read(reader: &mut Reader<'_>, kind: u8) -> Result<Self> {
        let limits = Limits::default();
        let mut list = QuickList::new(limits);
        match kind {
            code::LIST => {
                let mut element = Vec::new();
                for _ in 0..reader.length()? {
                    element.clear();
                    reader.string_into(&mut element)?;
                    list.push(End::Right, &element, limits);
                }
            }
            code::LIST_ZIPLIST => read_ziplist(reader, &mut list)?,
            code::LIST_QUICKLIST => {
                for _ in 0..reader.length()? {
                    read_ziplist(reader, &mut list)?;
                }
            }
            _ => {
                for _ in 0..reader.length()? {
                    read_node(reader, &mut list)?;
                }
            }
        }
        if list.len() == 0 {
            return Err(reader.empty("list without elements"));
        }
        let mut list = Self(Content::Large(Box::new(list)));
        list.shrink(limits, false);
        Ok(list)
    }
}

fn read_node(reader: &mut Reader<'_>, list: &mut QuickList) -> Result<()> {
    match reader.length()? {
        PLAIN => list.append(Node::Plain(reader.string()?.into_boxed_slice())),
        PACKED => {
            let bytes = reader.string()?;
            let pack = ListPack::from_bytes(bytes).map_err(|_| reader.invalid("list in a damaged listpack"))?;
            append(list, pack);
        }
        _ => return Err(reader.invalid("list with a node of an unknown kind")),
    }
    Ok(())
}

fn read_ziplist(reader: &mut Reader<'_>, list: &mut QuickList) -> Result<()> {
    let bytes = reader.string()?;
    let items = ziplist_items(&bytes).ok_or_else(|| reader.invalid("list in a damaged ziplist"))?;
    let mut pack = ListPack::new();
    pack.extend(&items);
    append(list, pack);
    Ok(())
}

/// Adds a listpack as it is, or cut up if it is longer than any that Redis makes.
fn append(list: &mut QuickList, pack: ListPack) {
    if pack.as_bytes().len() <= LISTPACK_BYTES_MAX {
        return list.append(Node::Packed(pack));
    }
    for item in pack.iter() {
        let text = ItemText::new(item);
        list.push(End::Right, text.as_bytes(), Limits::default());
    }
}
