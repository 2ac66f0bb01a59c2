//! Placeholder until the hash type lands.
use crate::digest::Digest;
use quiver_rdb::{Reader, Writer};

/// Field-value map.
#[derive(Debug, Clone)]
pub struct Hash;
#[expect(missing_docs, reason = "placeholder")]
impl Hash {
    pub fn new() -> Self {
        Self
    }
    pub fn encoding(&self) -> &'static str {
        "listpack"
    }
    pub fn memory_bytes(&self) -> usize {
        0
    }
    pub fn len(&self) -> usize {
        0
    }
    pub fn rdb_kind(&self) -> u8 {
        4
    }
    pub fn reads(_: u8) -> bool {
        false
    }
    pub fn write(&self, _: &mut Writer<'_>) {}
    pub fn read(reader: &mut Reader<'_>, _: u8) -> crate::codec::Result<Self> {
        Err(reader.invalid("x"))
    }
    pub fn digest(&self) -> Digest {
        Digest::default()
    }
}
