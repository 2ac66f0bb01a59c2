//! Streams in snapshot files: blocks as their bytes, then counters, then groups with their pending entries.
//!
//! The layout has grown: type 15 (Redis 5), 19 (7.0) with counters, 21 (7.2) with consumers' active times, 26 (8.6) with
//! the memory of producers' messages, 27 (8.8) with released entries. All are read. What is written is 21, which the most
//! servers read, unless the stream has what only the later ones can say. How the later ones write the messages of a
//! producer is not documented: that part was made by analogy.

use std::collections::BTreeMap;

use quiver_rdb::{Reader, Writer, code};
use quiver_structures::listpack::ListPack;

use super::block::Block;
use super::group::Group;
use super::id::Id;
use super::idmp::{DURATION_S, Idmp, MAXSIZE, Settings};
use super::{Log, Stream};
use crate::codec::Result;

/// A group that does not know how many entries it has read.
const UNKNOWN: u64 = u64::MAX;

/// What the type bytes mean, oldest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Version {
    First,
    Counters,
    ActiveTimes,
    Messages,
    Released,
}

impl Version {
    fn of(kind: u8) -> Option<Self> {
        Some(match kind {
            code::STREAM_LISTPACKS => Self::First,
            code::STREAM_LISTPACKS_2 => Self::Counters,
            code::STREAM_LISTPACKS_3 => Self::ActiveTimes,
            code::STREAM_LISTPACKS_4 => Self::Messages,
            code::STREAM_LISTPACKS_5 => Self::Released,
            _ => return None,
        })
    }
}

impl Stream {
    /// The type byte in a snapshot.
    pub fn rdb_kind(&self) -> u8 {
        if self.groups.values().any(|group| group.released_len() > 0) {
            code::STREAM_LISTPACKS_5
        } else if self.idmp.is_some() {
            code::STREAM_LISTPACKS_4
        } else {
            code::STREAM_LISTPACKS_3
        }
    }

    /// Whether a type byte is that of a stream.
    pub fn reads(kind: u8) -> bool {
        Version::of(kind).is_some()
    }

    /// Writes the next part of the value; see [`Collection::write_part`](crate::object::Collection::write_part).
    /// The groups come in one part.
    pub fn write_part(&self, writer: &mut Writer<'_>, at: &mut usize, room: usize) -> bool {
        let version = Version::of(self.rdb_kind()).expect("the type is one of streams");
        let log = &self.log;
        if *at == 0 {
            writer.length(log.blocks.len() as u64);
        }
        for block in log.blocks.iter().skip(*at) {
            if *at > 0 && writer.len() >= room {
                return false;
            }
            writer.raw_string(&block.first.to_bytes());
            block.write(writer);
            *at += 1;
        }
        writer.length(log.len);
        for id in [log.last_id, log.first_id, log.max_deleted_id] {
            write_id(writer, id);
        }
        writer.length(log.entries_added);
        writer.length(self.groups.len() as u64);
        for (name, group) in &self.groups {
            writer.string(name);
            write_group(writer, group, version);
        }
        if version >= Version::Messages {
            write_messages(writer, self.idmp.as_deref());
        }
        true
    }

    /// Reads a value of the given type.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn read(reader: &mut Reader<'_>, kind: u8) -> Result<Self> {
        let version = Version::of(kind).ok_or_else(|| reader.invalid("no stream"))?;
        let log = read_log(reader, version)?;
        let mut groups = BTreeMap::new();
        for _ in 0..reader.length()? {
            let name = reader.string()?;
            let group = read_group(reader, &log, version)?;
            if groups.insert(name.into_boxed_slice(), group).is_some() {
                return Err(reader.invalid("stream with a group that comes twice"));
            }
        }
        let idmp = if version >= Version::Messages { read_messages(reader)? } else { None };
        Ok(Self { log, groups, idmp })
    }
}

fn write_id(writer: &mut Writer<'_>, id: Id) {
    writer.length(id.ms);
    writer.length(id.seq);
}

fn write_group(writer: &mut Writer<'_>, group: &Group, version: Version) {
    write_id(writer, group.last_id);
    writer.length(group.entries_read.unwrap_or(UNKNOWN));
    writer.length(group.pending_len() as u64);
    for (id, pending) in group.pending_range(Id::MIN, Id::MAX) {
        writer.raw(&id.to_bytes());
        writer.i64(pending.delivery_time);
        writer.length(pending.delivery_count as u64);
    }
    let consumers = group.consumers();
    writer.length(consumers.len() as u64);
    for consumer in consumers {
        writer.string(consumer.name());
        writer.i64(consumer.seen_time);
        writer.i64(consumer.active_time);
        writer.length(consumer.pending().len() as u64);
        for id in consumer.pending() {
            writer.raw(&id.to_bytes());
        }
    }
    if version >= Version::Released {
        writer.length(group.released_len() as u64);
        for (id, _) in group.pending_range(Id::MIN, Id::MAX).filter(|(_, pending)| pending.owner().is_none()) {
            writer.raw(&id.to_bytes());
        }
    }
}

fn write_messages(writer: &mut Writer<'_>, idmp: Option<&Idmp>) {
    let settings = idmp.map_or(Settings { duration_s: 100, maxsize: 100 }, |idmp| idmp.settings);
    writer.length(settings.duration_s);
    writer.length(settings.maxsize as u64);
    writer.length(idmp.map_or(0, Idmp::producers) as u64);
    for (producer, messages) in idmp.into_iter().flat_map(Idmp::iter) {
        writer.string(producer);
        writer.length(messages.len() as u64);
        for (message, id) in messages {
            writer.string(message);
            writer.raw(&id.to_bytes());
        }
    }
    writer.length(idmp.map_or(0, |idmp| idmp.added));
    writer.length(idmp.map_or(0, |idmp| idmp.duplicates));
}

fn read_id(reader: &mut Reader<'_>) -> Result<Id> {
    Ok(Id { ms: reader.length()?, seq: reader.length()? })
}

fn read_raw_id(reader: &mut Reader<'_>) -> Result<Id> {
    reader.array().map(Id::from_bytes)
}

fn read_log(reader: &mut Reader<'_>, version: Version) -> Result<Log> {
    let mut log = Log::default();
    let (mut live, mut last) = (0u64, None);
    for _ in 0..reader.length()? {
        let key: Result<[u8; 16]> =
            reader.string()?.try_into().map_err(|_| reader.invalid("stream with a block whose key is no id"));
        let first = Id::from_bytes(key?);
        let bytes = reader.string()?;
        let list = ListPack::from_bytes(bytes).map_err(|_| reader.invalid("stream in a damaged listpack"))?;
        let block = Block::from_list(first, list).map_err(|what| reader.invalid(what))?;
        if last.is_some_and(|last| first <= last) {
            return Err(reader.invalid("stream with blocks out of order"));
        }
        last = Some(block.last_id());
        live += u64::from(block.live);
        // Trimming can leave a block of deleted entries behind in Redis.
        if block.live > 0 {
            log.blocks.push_back(block);
        }
    }
    log.len = reader.length()?;
    log.last_id = read_id(reader)?;
    if log.len != live || last.is_some_and(|last| last > log.last_id) {
        return Err(reader.invalid("stream whose counters are not those of its entries"));
    }
    log.find_first();
    if version >= Version::Counters {
        read_id(reader)?; // The first id, which the entries say themselves.
        log.max_deleted_id = read_id(reader)?;
        log.entries_added = reader.length()?;
    } else {
        log.entries_added = log.len;
    }
    Ok(log)
}

fn read_group(reader: &mut Reader<'_>, log: &Log, version: Version) -> Result<Group> {
    let last_id = read_id(reader)?;
    let entries_read = if version >= Version::Counters {
        Some(reader.length()?).filter(|read| *read != UNKNOWN)
    } else {
        log.entries_up_to(last_id)
    };
    let mut group = Group::new(last_id, entries_read);
    // Until the consumers have told which are theirs, all are without owner.
    for _ in 0..reader.length()? {
        let id = read_raw_id(reader)?;
        let (time, count) = (reader.i64()?, reader.length()?);
        if group.pending(id).is_some() {
            return Err(reader.invalid("stream with a pending entry that comes twice"));
        }
        group.restore_pending(id, time, i64::try_from(count).unwrap_or(i64::MAX));
    }
    for _ in 0..reader.length()? {
        read_consumer(reader, &mut group, version)?;
    }
    let released = if version >= Version::Released { reader.length()? } else { 0 };
    for _ in 0..released {
        let id = read_raw_id(reader)?;
        if group.pending(id).is_none_or(|pending| pending.owner().is_some()) {
            return Err(reader.invalid("stream with a released entry that is not pending or has an owner"));
        }
    }
    if group.released_len() as u64 != released {
        return Err(reader.invalid("stream with a pending entry of no consumer"));
    }
    Ok(group)
}

fn read_consumer(reader: &mut Reader<'_>, group: &mut Group, version: Version) -> Result<()> {
    let name = reader.string()?;
    let seen_time = reader.i64()?;
    let active_time = if version >= Version::ActiveTimes { reader.i64()? } else { seen_time };
    let (consumer, is_new) = group.find_or_create(&name, seen_time);
    if !is_new {
        return Err(reader.invalid("stream with a consumer that comes twice"));
    }
    group.consumer_mut(consumer).active_time = active_time;
    for _ in 0..reader.length()? {
        let id = read_raw_id(reader)?;
        let pending = group.pending(id).filter(|pending| pending.owner().is_none()).copied();
        let pending = pending
            .ok_or_else(|| reader.invalid("stream with a consumer's entry that is not pending or not its own"))?;
        group.deliver(id, consumer, pending.delivery_time, pending.delivery_count);
    }
    Ok(())
}

/// What a stream is saved with that nobody configured and no producer used reads as none.
fn read_messages(reader: &mut Reader<'_>) -> Result<Option<Box<Idmp>>> {
    let duration_s = reader.length_at_most(*DURATION_S.end() as u64, "stream with a message memory of no length")?;
    let maxsize = reader.length_at_most(*MAXSIZE.end() as u64, "stream with a message memory of no size")?;
    let mut idmp = Idmp::new(Settings { duration_s: duration_s as u64, maxsize });
    for _ in 0..reader.length()? {
        let producer = reader.string()?;
        for _ in 0..reader.length()? {
            let message = reader.string()?;
            let id = read_raw_id(reader)?;
            if !idmp.restore(&producer, &message, id) {
                return Err(reader.invalid("stream with a message that comes twice"));
            }
        }
    }
    (idmp.added, idmp.duplicates) = (reader.length()?, reader.length()?);
    let unused = idmp.settings == Settings { duration_s: 100, maxsize: 100 } && idmp.added == 0;
    Ok((!unused || idmp.producers() > 0).then(|| Box::new(idmp)))
}
