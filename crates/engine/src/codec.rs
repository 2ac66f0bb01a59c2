//! Entries as RDB bytes and back: the one place that maps type bytes to types. Each type spells out its own value
//! (`types/*.rs`); the file frame around entries is crate `persist`'s.

use quiver_rdb::{Reader, Writer, code};
use quiver_structures::table::KeyHash;
use quiver_structures::{EntryRef, Table, Value, ValueRef};

use crate::eviction::{Order, Stamps};
use crate::keyspace::KeyEntry;
use crate::number::IntText;
use crate::object::Object;

/// Why a value could not be read: the place and the reason.
pub type Result<T> = std::result::Result<T, quiver_rdb::Error>;

/// Longer strings are written in parts, and as they are: compressing one takes longer than a shard may be held.
pub const LONG_STRING_BYTES: usize = 1 << 20;

/// What is said of an entry's last use: idle seconds or a frequency, as the policy of eviction goes by the one or the
/// other, or nothing.
#[derive(Clone, Copy, Debug)]
pub struct Hints(Option<Stamps>);

impl Hints {
    /// Nothing is said.
    pub const NONE: Self = Self(None);

    /// What matters under the policy of a clock.
    pub fn of(stamps: Stamps) -> Self {
        Self(matches!(stamps.order(), Order::Lru | Order::Lfu | Order::Lrm).then_some(stamps))
    }

    fn write(self, writer: &mut Writer<'_>, entry: &KeyEntry<'_>) {
        let Some(stamps) = self.0 else { return };
        if let Some(frequency) = stamps.frequency(entry.access()) {
            writer.byte(code::FREQ);
            writer.byte(frequency);
        } else if let Some(idle_s) = stamps.idle_s(entry.access()) {
            writer.byte(code::IDLE);
            writer.length(idle_s.into());
        }
    }
}

/// Writes an entry whole.
pub fn write_entry(writer: &mut Writer<'_>, entry: &KeyEntry<'_>, hints: Hints) {
    begin_entry(writer, entry, hints);
    write_value(writer, &entry.value());
}

/// Writes expiry, hints, type and key of an entry: what stands before its value.
pub fn begin_entry(writer: &mut Writer<'_>, entry: &KeyEntry<'_>, hints: Hints) {
    if let Some(at_ms) = entry.expire_at() {
        writer.expire_ms(at_ms);
    }
    hints.write(writer, entry);
    writer.byte(type_byte(&entry.value()));
    writer.string(entry.key());
}

/// The type byte of a value.
pub fn type_byte(value: &ValueRef<'_, Object>) -> u8 {
    match value {
        ValueRef::Int(_) | ValueRef::Bytes(_) => code::STRING,
        ValueRef::Object(object) => object.rdb_kind(),
    }
}

/// Writes a value without its type byte.
pub fn write_value(writer: &mut Writer<'_>, value: &ValueRef<'_, Object>) {
    match value {
        ValueRef::Int(number) => writer.string(IntText::new(*number).as_bytes()),
        ValueRef::Bytes(bytes) if bytes.len() > LONG_STRING_BYTES => writer.raw_string(bytes),
        ValueRef::Bytes(bytes) => writer.string(bytes),
        ValueRef::Object(object) => object.write(writer),
    }
}

/// Writes the next part of a value without its type byte, until `writer` holds about `room` bytes; `true` when all of
/// it is out. `at` says how far the parts before have come, 0 for nowhere; the value must not change between parts.
pub fn write_part(writer: &mut Writer<'_>, value: &ValueRef<'_, Object>, at: &mut usize, room: usize) -> bool {
    match value {
        ValueRef::Bytes(bytes) if bytes.len() > LONG_STRING_BYTES => {
            if *at == 0 {
                writer.length(bytes.len() as u64);
            }
            let step = room.saturating_sub(writer.len()).clamp(1, bytes.len() - *at);
            writer.raw(&bytes[*at..*at + step]);
            *at += step;
            *at == bytes.len()
        }
        ValueRef::Object(object) => object.write_part(writer, at, room),
        _ => {
            write_value(writer, value);
            true
        }
    }
}

/// Writes the entries of a table inside a value, bucket by bucket, as one part of it; see [`write_part`].
pub(crate) fn write_buckets<O, H: KeyHash>(
    table: &Table<O, H>,
    writer: &mut Writer<'_>,
    at: &mut usize,
    room: usize,
    write: &mut dyn FnMut(&mut Writer<'_>, EntryRef<'_, O>),
) -> bool {
    while *at < table.bucket_count() {
        table.for_each_in_bucket(*at, &mut |entry| write(writer, entry));
        *at += 1;
        if writer.len() >= room {
            break;
        }
    }
    *at == table.bucket_count()
}

/// Whether [`read_value`] knows the type. Of module values only the vector set is known, which shows inside.
pub fn supports(kind_byte: u8) -> bool {
    kind_byte == code::STRING || Object::reads(kind_byte)
}

/// Reads a value of the given type.
pub fn read_value(reader: &mut Reader<'_>, kind_byte: u8) -> Result<Value<'static, Object>> {
    if kind_byte == code::STRING {
        let bytes = reader.string()?;
        return Ok(match crate::number::parse_i64(&bytes) {
            Some(number) => Value::Int(number),
            None => Value::Owned(bytes),
        });
    }
    Ok(Value::Object(Box::new(Object::read(reader, kind_byte)?)))
}
