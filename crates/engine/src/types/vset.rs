//! Placeholder until the vector set lands.
use crate::digest::Digest;
use parking_lot::RwLock;
use quiver_rdb::{Reader, Writer};
use std::sync::Arc;

/// Vectors with names.
#[derive(Debug, Clone)]
pub struct VectorSet;
#[expect(missing_docs, reason = "placeholder")]
impl VectorSet {
    pub fn memory_bytes(&self) -> usize {
        0
    }
    pub fn len(&self) -> usize {
        0
    }
    pub fn write(&self, _: &mut Writer<'_>) {}
    pub fn read(reader: &mut Reader<'_>) -> crate::codec::Result<Self> {
        Err(reader.invalid("x"))
    }
    pub fn digest(&self) -> Digest {
        Digest::default()
    }
    pub fn into_shared(self) -> Arc<RwLock<Self>> {
        Arc::new(RwLock::new(self))
    }
}
