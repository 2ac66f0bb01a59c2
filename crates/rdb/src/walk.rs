//! Steps over the value of any type without building it, and over a whole file record by record.
//!
//! For verifying a file and for passing over what the reader of a file does not know. It checks the outermost form
//! only: containers that are one string (listpack, ziplist, intset) are not looked into.

use crate::frame::Properties;
use crate::{Error, Reader, Reason, Version, code, module};

/// Raw bytes of a stream id in the lists of pending entries.
const STREAM_ID_LEN: u64 = 16;

/// What a file contains.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Format version.
    pub version: Version,
    /// Properties in the head of the file.
    pub properties: Properties,
    /// Keys in all databases.
    pub keys: u64,
    /// Keys with an expiry.
    pub expires: u64,
    /// Function libraries.
    pub functions: u64,
    /// Bytes, checksum included.
    pub len_bytes: u64,
}

/// Steps over a whole file, from header to checksum.
///
/// # Errors
/// The first fault; also if the input goes on after the checksum.
pub fn file(reader: &mut Reader<'_>) -> Result<Summary, Error> {
    let found = leading(reader)?;
    if !reader.is_at_end()? {
        return Err(reader.invalid("bytes follow the end of the file"));
    }
    Ok(found)
}

/// As [`file`] where something else may follow the checksum.
///
/// # Errors
/// The first fault.
pub fn leading(reader: &mut Reader<'_>) -> Result<Summary, Error> {
    let mut found = Summary { version: reader.header()?, ..Summary::default() };
    loop {
        match reader.byte()? {
            code::EOF => break,
            code::AUX => found.properties.read(reader)?,
            code::FUNCTION2 => {
                reader.skip_string()?;
                found.functions += 1;
            }
            code::EXPIRETIME_MS => {
                reader.i64()?;
                found.expires += 1;
            }
            code::EXPIRETIME => {
                reader.skip(4)?;
                found.expires += 1;
            }
            other => {
                if !skip_hint(reader, other)? {
                    reader.skip_string()?;
                    skip_value(reader, other)?;
                    found.keys += 1;
                }
            }
        }
    }
    reader.verify_checksum()?;
    found.len_bytes = reader.offset();
    Ok(found)
}

/// Steps over the rest of a record that carries nothing a loader must keep (sizes, idle times, module data beside
/// the keyspace); false, with nothing consumed, if `opcode` is not such a record. SELECTDB counts as one here.
///
/// # Errors
/// If the record cannot be read.
pub fn skip_hint(reader: &mut Reader<'_>, opcode: u8) -> Result<bool, Error> {
    match opcode {
        code::SELECTDB | code::IDLE => skip_lengths(reader, 1)?,
        code::RESIZEDB => skip_lengths(reader, 2)?,
        code::SLOT_INFO => skip_lengths(reader, 3)?,
        code::FREQ => reader.skip(1)?,
        code::MODULE_AUX => {
            reader.length()?;
            module::skip_items(reader)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Steps over a value of type `kind`.
///
/// # Errors
/// [`Reason::ValueType`] if `kind` is unknown, else what is wrong with the bytes.
pub fn skip_value(reader: &mut Reader<'_>, kind: u8) -> Result<(), Error> {
    match kind {
        code::STRING
        | code::HASH_ZIPMAP..=code::HASH_ZIPLIST
        | code::HASH_LISTPACK
        | code::ZSET_LISTPACK
        | code::SET_LISTPACK => reader.skip_string(),
        code::LIST | code::SET | code::LIST_QUICKLIST => repeat(reader, Reader::skip_string),
        code::HASH => repeat(reader, |reader| skip_strings(reader, 2)),
        code::ZSET => repeat(reader, |reader| {
            reader.skip_string()?;
            reader.ascii_f64().map(drop)
        }),
        code::ZSET_2 => repeat(reader, |reader| {
            reader.skip_string()?;
            reader.skip(8)
        }),
        code::LIST_QUICKLIST_2 => repeat(reader, |reader| {
            reader.length()?;
            reader.skip_string()
        }),
        code::HASH_CANDIDATE if reader.version().is_valkey() => repeat(reader, |reader| {
            skip_strings(reader, 2)?;
            reader.skip(8)
        }),
        code::HASH_CANDIDATE => skip_expiring_pairs(reader),
        code::HASH_LISTPACK_CANDIDATE => reader.skip_string(),
        code::HASH_METADATA => {
            reader.skip(8)?;
            skip_expiring_pairs(reader)
        }
        code::HASH_LISTPACK_EX => {
            reader.skip(8)?;
            reader.skip_string()
        }
        code::STREAM_LISTPACKS => skip_stream(reader, 1),
        code::STREAM_LISTPACKS_2 => skip_stream(reader, 2),
        code::STREAM_LISTPACKS_3 => skip_stream(reader, 3),
        code::STREAM_LISTPACKS_4 => skip_stream(reader, 4),
        code::STREAM_LISTPACKS_5 => skip_stream(reader, 5),
        code::MODULE_2 => {
            reader.length()?;
            module::skip_items(reader)
        }
        code::QUIVER_ARRAY => {
            reader.length()?;
            repeat(reader, |reader| {
                reader.length()?;
                reader.skip_string()
            })
        }
        code::QUIVER_VECTOR_SET => {
            repeat(reader, |reader| {
                reader.skip_string()?;
                reader.skip(8)
            })?;
            skip_value(reader, code::MODULE_2)
        }
        code::QUIVER_VECTOR_SET_2 => {
            repeat(reader, Reader::skip_string)?;
            skip_value(reader, code::QUIVER_VECTOR_SET)
        }
        other => Err(reader.error(Reason::ValueType(other))),
    }
}

fn skip_expiring_pairs(reader: &mut Reader<'_>) -> Result<(), Error> {
    repeat(reader, |reader| {
        reader.length()?;
        skip_strings(reader, 2)
    })
}

/// A stream: nodes, counters, then groups with their pending entries and consumers.
fn skip_stream(reader: &mut Reader<'_>, version: u8) -> Result<(), Error> {
    repeat(reader, |reader| skip_strings(reader, 2))?;
    // Length and last id; from version 2 on first id, greatest deleted id and entries ever added.
    skip_lengths(reader, if version >= 2 { 8 } else { 3 })?;
    repeat(reader, |reader| {
        reader.skip_string()?;
        skip_lengths(reader, if version >= 2 { 3 } else { 2 })?;
        repeat(reader, |reader| {
            reader.skip(STREAM_ID_LEN + 8)?; // id, delivery time
            skip_lengths(reader, 1)
        })?;
        repeat(reader, |reader| {
            reader.skip_string()?;
            reader.skip(if version >= 3 { 16 } else { 8 })?; // seen time, active time
            repeat(reader, |reader| reader.skip(STREAM_ID_LEN))
        })?;
        if version >= 5 { repeat(reader, |reader| reader.skip(STREAM_ID_LEN)) } else { Ok(()) }
    })?;
    if version < 4 {
        return Ok(());
    }
    // Duration and number of messages that are remembered, the messages by producer, two counters.
    skip_lengths(reader, 2)?;
    repeat(reader, |reader| {
        reader.skip_string()?;
        repeat(reader, |reader| {
            reader.skip_string()?;
            reader.skip(STREAM_ID_LEN)
        })
    })?;
    skip_lengths(reader, 2)
}

/// Reads a count, then as many items; a false count meets the end of the input soon.
fn repeat<'a>(
    reader: &mut Reader<'a>,
    mut item: impl FnMut(&mut Reader<'a>) -> Result<(), Error>,
) -> Result<(), Error> {
    for _ in 0..reader.length()? {
        item(reader)?;
    }
    Ok(())
}

fn skip_strings(reader: &mut Reader<'_>, n: u32) -> Result<(), Error> {
    (0..n).try_for_each(|_| reader.skip_string())
}

fn skip_lengths(reader: &mut Reader<'_>, n: u32) -> Result<(), Error> {
    (0..n).try_for_each(|_| reader.length().map(drop))
}
