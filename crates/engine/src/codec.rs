//! Entries as RDB bytes and back: the one place that maps type bytes to types. Each type spells out its own value
//! (`types/*.rs`); the file frame around entries is crate `persist`'s.

use quiver_rdb::{Reader, Writer, code};
use quiver_structures::{Value, ValueRef};

use crate::keyspace::KeyEntry;
use crate::number::IntText;
use crate::object::Object;
use crate::types::hash::Hash;
use crate::types::vset::VectorSet;

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
        ValueRef::Object(Object::Hash(hash)) => hash.rdb_kind(),
        ValueRef::Object(Object::VectorSet(_)) => code::MODULE_2,
    }
}

/// Writes a value without its type byte.
pub fn write_value(writer: &mut Writer<'_>, value: &ValueRef<'_, Object>) {
    match value {
        ValueRef::Int(number) => writer.string(IntText::new(*number).as_bytes()),
        ValueRef::Bytes(bytes) => writer.string(bytes),
        ValueRef::Object(Object::Hash(hash)) => hash.write(writer),
        ValueRef::Object(Object::VectorSet(set)) => set.read().write(writer),
    }
}

/// Whether [`read_value`] knows the type. Of module values only the vector set is known, which shows inside.
pub fn supports(kind_byte: u8) -> bool {
    matches!(kind_byte, code::STRING | code::MODULE_2) || Hash::reads(kind_byte)
}

/// Reads a value of the given type.
pub fn read_value(reader: &mut Reader<'_>, kind_byte: u8) -> Result<Value<'static, Object>> {
    let object = match kind_byte {
        code::STRING => {
            let bytes = reader.string()?;
            return Ok(match crate::number::parse_i64(&bytes) {
                Some(number) => Value::Int(number),
                None => Value::Owned(bytes),
            });
        }
        code::MODULE_2 => Object::VectorSet(VectorSet::read(reader)?.into_shared()),
        hash if Hash::reads(hash) => Object::Hash(Hash::read(reader, hash)?),
        _ => return Err(reader.invalid("value of a type that is not supported")),
    };
    Ok(Value::Object(Box::new(object)))
}
