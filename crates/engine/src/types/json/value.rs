//! A document as a value of the keyspace. It is saved as RedisJSON saves it: its text as one string of a module value.

use quiver_rdb::module::{self, ModuleReader, ModuleWriter};
use quiver_rdb::{Reader, Writer, code};

use super::{Node, text};
use crate::codec;
use crate::digest::Digest;
use crate::object::{Collection, Object, in_object};

/// The type's id in RDB files.
pub const MODULE_ID: u64 = module::id("ReJSON-RL", 3);

/// A document.
#[derive(Clone, Debug, PartialEq)]
pub struct Json(pub Node);

impl Default for Json {
    fn default() -> Self {
        Self(Node::Null)
    }
}

impl Collection for Json {
    const TYPE_NAME: &'static str = "ReJSON-RL";
    const MODULE_ID: Option<u64> = Some(MODULE_ID);

    fn encoding(&self) -> &'static str {
        "raw"
    }
    fn memory_bytes(&self) -> usize {
        self.0.heap_bytes()
    }
    /// A document is never empty, whatever is in it.
    fn len(&self) -> usize {
        self.0.child_count().max(1)
    }
    fn duplicate(&self) -> Self {
        self.clone()
    }
    fn digest(&self) -> Digest {
        Digest::of(&[b"json", &self.0.to_text()])
    }
    fn rdb_kind(&self) -> u8 {
        code::MODULE_2
    }
    fn write_part(&self, writer: &mut Writer<'_>, _: &mut usize, _: usize) -> bool {
        let mut items = ModuleWriter::begin(writer, MODULE_ID);
        items.string(&self.0.to_text());
        items.finish();
        true
    }
    fn reads(kind: u8) -> bool {
        kind == code::MODULE_2
    }
    fn read(reader: &mut Reader<'_>, _: u8) -> codec::Result<Self> {
        let (_, mut items) = ModuleReader::begin(reader)?;
        let bytes = items.string()?;
        let node = text::parse(&bytes).map_err(|_| items.invalid("document that is no JSON"))?;
        items.finish()?;
        Ok(Self(node))
    }
    in_object!(Json);
}
