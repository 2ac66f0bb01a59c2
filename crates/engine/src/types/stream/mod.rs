//! Stream: an ordered log of entries, each a list of fields and values under an id that only grows, and groups of
//! consumers that share the reading of it.
//!
//! The design is Redis' (S. Sanfilippo, "Streams: a new general purpose data structure in Redis", 2017): entries lie in
//! blocks, each a listpack that stores what differs from its first entry (`block.rs`). Redis finds blocks in a radix
//! tree; here they stand in a ring ordered by id, since they come at the end, go from the front, and are found by binary
//! search. `log.rs` has the entries, `group.rs` the groups, `lag.rs` what ties their counters together, `idmp.rs` the
//! memory of what producers have sent.
//!
//! A stream may be empty and stays: its last id and its groups are worth keeping. Not here: blocking, replies.

mod block;
pub mod group;
pub mod id;
pub mod idmp;
mod lag;
pub mod log;
mod rdb;
#[cfg(test)]
mod tests;
pub mod trim;

use std::collections::BTreeMap;

use quiver_rdb::{Reader, Writer};

pub use block::Entry;
pub use group::Group;
pub use id::Id;
use idmp::Idmp;
pub use log::Log;

use crate::codec;
use crate::digest::Digest;
use crate::object::{Collection, Object, in_object};
use crate::types::hash::ItemText;

/// A stream.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// The entries.
    pub log: Log,
    /// Groups by name.
    pub groups: BTreeMap<Box<[u8]>, Group>,
    /// What producers have sent, once one named its messages.
    pub idmp: Option<Box<Idmp>>,
}

impl Stream {
    /// Heap bytes.
    pub fn memory_bytes(&self) -> usize {
        let groups = self.groups.iter().map(|(name, group)| name.len() + size_of::<Group>() + group.memory_bytes());
        size_of::<Self>()
            + self.log.memory_bytes()
            + groups.sum::<usize>()
            + self.idmp.as_ref().map_or(0, |idmp| idmp.memory_bytes())
    }

    /// Digest of everything that is replicated: not when consumers were seen, nor how often a message came twice.
    pub fn digest(&self) -> Digest {
        let mut sum = Digest::default();
        for entry in self.log.range(Id::MIN, Id::MAX) {
            let texts: Vec<_> =
                entry.pairs().flat_map(|(field, value)| [ItemText::new(field), ItemText::new(value)]).collect();
            let id = entry.id.to_bytes();
            let parts: Vec<&[u8]> =
                std::iter::once(id.as_slice()).chain(texts.iter().map(ItemText::as_bytes)).collect();
            sum.add(Digest::of(&parts));
        }
        for (name, group) in &self.groups {
            sum.add(Digest::of(&[b"group", name, &digest_of_group(group).bytes()]));
        }
        let log = &self.log;
        Digest::of(&[
            b"stream",
            &log.last_id().to_bytes(),
            &log.max_deleted_id().to_bytes(),
            &log.entries_added().to_le_bytes(),
            &sum.bytes(),
            &self.idmp.as_ref().map_or_else(Digest::default, |idmp| idmp.digest()).bytes(),
        ])
    }

    /// Asserts what the parts promise. Cost: O(n); for tests and after loading.
    pub fn check(&self) {
        let log = &self.log;
        let mut last = None;
        for entry in log.range(Id::MIN, Id::MAX) {
            assert!(last < Some(entry.id), "ids ascend");
            assert_eq!(entry.pairs().count(), entry.len(), "every field has a value");
            last = Some(entry.id);
        }
        let count = log.range(Id::MIN, Id::MAX).count() as u64;
        assert_eq!(log.len(), count, "length");
        assert_eq!(log.range_back(Id::MIN, Id::MAX).count() as u64, count, "length from the end");
        assert_eq!(log.first_id(), log.range(Id::MIN, Id::MAX).next().map_or(Id::MIN, |entry| entry.id), "first id");
        assert!(last.is_none_or(|last| last <= log.last_id()), "last id");
        assert!(log.blocks.iter().all(|block| block.live > 0), "blocks have entries");
        self.groups.values().for_each(Group::check);
    }
}

fn digest_of_group(group: &Group) -> Digest {
    let mut sum = Digest::default();
    for (id, pending) in group.pending_range(Id::MIN, Id::MAX) {
        let (time, count) = (pending.delivery_time.to_le_bytes(), pending.delivery_count.to_le_bytes());
        sum.add(Digest::of(&[&id.to_bytes(), &time, &count, group.owner_name(pending)]));
    }
    for consumer in group.consumers() {
        sum.add(Digest::of(&[b"consumer", consumer.name()]));
    }
    let read = group.entries_read.map_or(-1, |read| read as i64);
    Digest::of(&[&group.last_id.to_bytes(), &read.to_le_bytes(), &sum.bytes()])
}

impl Collection for Box<Stream> {
    const TYPE_NAME: &'static str = "stream";

    fn encoding(&self) -> &'static str {
        "stream"
    }
    fn memory_bytes(&self) -> usize {
        Stream::memory_bytes(self)
    }
    fn len(&self) -> usize {
        self.log.len() as usize
    }
    /// Never: a stream without entries keeps its key.
    fn is_empty(&self) -> bool {
        false
    }
    fn duplicate(&self) -> Self {
        self.clone()
    }
    fn digest(&self) -> Digest {
        Stream::digest(self)
    }
    fn rdb_kind(&self) -> u8 {
        Stream::rdb_kind(self)
    }
    fn write_part(&self, writer: &mut Writer<'_>, at: &mut usize, room: usize) -> bool {
        Stream::write_part(self, writer, at, room)
    }
    fn reads(kind: u8) -> bool {
        Stream::reads(kind)
    }
    fn read(reader: &mut Reader<'_>, kind: u8) -> codec::Result<Self> {
        Stream::read(reader, kind).map(Self::new)
    }
    in_object!(Stream);
}
