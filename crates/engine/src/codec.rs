//! Entries as RDB bytes and back: the one place that maps type bytes to types. Each type spells out its own value
//! (`types/*.rs`); the file frame around entries is crate `persist`'s.

use quiver_rdb::{Reader, Writer, code};
use quiver_structures::{Value, ValueRef};

use crate::keyspace::KeyEntry;
use crate::number::IntText;
use crate::object::Object;

/// Why a value could not be read: the place and the reason.
pub type Result<T> = std::result::Result<T, quiver_rdb::Error>;

/// Writes expiry, type, key and value of an entry.
pub fn write_entry(writer: &mut Writer<'_>, entry: &KeyEntry<'_>) {
    if let Some(at_ms) = entry.expire_at() {
        writer.expire_ms(at_ms);
    }
    let value = entry.value();
    writer.byte(type_byte(&value));
    writer.string(entry.key());
    write_value(writer, &value);
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
        ValueRef::Bytes(bytes) => writer.string(bytes),
        ValueRef::Object(object) => object.write(writer),
    }
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
