//! What surrounds the records: the header and properties of a file, its end, and the seal of a `DUMP` payload.
//!
//! A file is `REDIS` and four digits, properties (AUX), records, the EOF opcode, and the CRC64 of all that,
//! little-endian. A payload is a type byte and a value, the version as two bytes, and the CRC64 of all that.

use crate::{Checksum, Error, Reader, Reason, VERSION, Version, Writer, code, crc64};

/// Version and checksum at the end of a sealed payload.
pub const SEAL_LEN: usize = 10;

/// The properties every file carries, and those of a file that starts a replica.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties {
    /// `redis-ver`: the version of the server that wrote the file.
    pub server_version: String,
    /// `ctime`: unix seconds at which it was written.
    pub created_unix_s: u64,
    /// `used-mem`: memory of the writer in bytes.
    pub used_memory_bytes: u64,
    /// Where the file lies in a replication stream, if it does.
    pub replication: Option<ReplicationPoint>,
    /// `aof-base`: the file is the base of an append-only log.
    pub is_aof_base: bool,
    /// `quiver-*`: what Quiver keeps beside the keys, names and values. Only who has put an empty list here is given them.
    pub own: Option<Vec<(String, Vec<u8>)>>,
}

/// The place of a snapshot in a replication stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplicationPoint {
    /// `repl-stream-db`: the database selected in the stream, none if -1 is written.
    pub stream_db: Option<u32>,
    /// `repl-id`: 40 hexadecimal digits.
    pub id: String,
    /// `repl-offset`: bytes of the stream contained in the file.
    pub offset: u64,
}

impl Properties {
    /// Appends the header and the properties, in the order of Redis.
    pub fn write(&self, writer: &mut Writer<'_>, version: Version) {
        writer.raw(format!("REDIS{:04}", version.number()).as_bytes());
        property(writer, "redis-ver", self.server_version.as_bytes());
        property(writer, "redis-bits", b"64");
        property(writer, "ctime", self.created_unix_s.to_string().as_bytes());
        property(writer, "used-mem", self.used_memory_bytes.to_string().as_bytes());
        if let Some(point) = &self.replication {
            let stream_db = point.stream_db.map_or(-1, i64::from);
            property(writer, "repl-stream-db", stream_db.to_string().as_bytes());
            property(writer, "repl-id", point.id.as_bytes());
            property(writer, "repl-offset", point.offset.to_string().as_bytes());
        }
        property(writer, "aof-base", if self.is_aof_base { b"1" } else { b"0" });
        for (name, value) in self.own.iter().flatten() {
            property(writer, name, value);
        }
    }

    /// Takes over the property that follows an AUX opcode; unknown names and odd values are ignored, as Redis does.
    ///
    /// # Errors
    /// If the two strings cannot be read.
    pub fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        let name = reader.string()?;
        let value = reader.string()?;
        if let (true, Some(own)) = (name.starts_with(b"quiver-"), &mut self.own) {
            own.push((String::from_utf8_lossy(&name).into_owned(), value));
            return Ok(());
        }
        let text = String::from_utf8_lossy(&value);
        match name.as_slice() {
            b"redis-ver" => self.server_version = text.into_owned(),
            b"ctime" => self.created_unix_s = text.parse().unwrap_or_default(),
            b"used-mem" => self.used_memory_bytes = text.parse().unwrap_or_default(),
            b"repl-stream-db" => self.point().stream_db = text.parse().ok(),
            b"repl-id" => self.point().id = text.into_owned(),
            b"repl-offset" => self.point().offset = text.parse().unwrap_or_default(),
            b"aof-base" | b"aof-preamble" => self.is_aof_base = text == "1",
            _ => {}
        }
        Ok(())
    }

    fn point(&mut self) -> &mut ReplicationPoint {
        self.replication.get_or_insert_default()
    }
}

/// Appends one AUX record.
pub fn property(writer: &mut Writer<'_>, name: &str, value: &[u8]) {
    writer.byte(code::AUX);
    writer.string(name.as_bytes());
    writer.string(value);
}

/// Appends the end of a file to its last piece: the EOF opcode and the checksum.
///
/// `before` has summed every earlier piece of the file, and nothing of `last`.
pub fn finish(before: Checksum, last: &mut Vec<u8>) {
    last.push(code::EOF);
    let mut sum = before;
    sum.update(last);
    last.extend_from_slice(&sum.value().to_le_bytes());
}

/// Appends version and checksum to a payload, making it what `DUMP` returns.
pub fn seal(payload: &mut Vec<u8>) {
    payload.extend_from_slice(&VERSION.to_le_bytes());
    payload.extend_from_slice(&crc64(payload).to_le_bytes());
}

/// The version and the type byte and value inside what `DUMP` returned.
///
/// # Errors
/// [`Reason::Truncated`] if it is too short, [`Reason::Version`] if it is of a version that is not read, and
/// [`Reason::Checksum`] if the checksum is neither 0 nor that of the bytes before it.
pub fn open(sealed: &[u8]) -> Result<(Version, &[u8]), Error> {
    let fail = |reason| Error { offset: sealed.len() as u64, reason };
    let Some((payload, seal)) = sealed.split_last_chunk::<SEAL_LEN>() else { return Err(fail(Reason::Truncated)) };
    let (version, sum) = seal.split_first_chunk::<2>().expect("the seal has ten bytes");
    let number = u16::from_le_bytes(*version);
    let version = Version::new(number).ok_or_else(|| fail(Reason::Version(number)))?;
    let stored = u64::from_le_bytes(sum.try_into().expect("eight of the ten bytes are left"));
    let computed = crc64(&sealed[..sealed.len() - 8]);
    if stored != 0 && stored != computed {
        return Err(fail(Reason::Checksum { stored, computed }));
    }
    Ok((version, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_come_back() {
        let point = ReplicationPoint { stream_db: Some(3), id: "ab".repeat(20), offset: 77 };
        let full = Properties {
            server_version: "8.0.2".into(),
            created_unix_s: 1_700_000_000,
            used_memory_bytes: 123_456_789_012,
            replication: Some(point.clone()),
            is_aof_base: true,
            own: Some(vec![("quiver-x".to_owned(), b"\0y".to_vec())]),
        };
        let no_db = Some(ReplicationPoint { stream_db: None, ..point });
        for properties in [full.clone(), Properties { replication: no_db, ..full.clone() }, Properties::default()] {
            let mut bytes = Vec::new();
            properties.write(&mut Writer::new(&mut bytes), Version::WRITTEN);
            finish(Checksum::new(), &mut bytes);
            let mut reader = Reader::from_slice(&bytes);
            assert_eq!(reader.header().unwrap(), Version::WRITTEN);
            let mut found = Properties { own: properties.own.as_ref().map(|_| Vec::new()), ..Properties::default() };
            while reader.byte().unwrap() == code::AUX {
                found.read(&mut reader).unwrap();
            }
            reader.verify_checksum().unwrap();
            assert_eq!(found, properties);
        }
    }

    #[test]
    fn a_seal_breaks_with_any_bit() {
        let mut sealed = b"\x00\x05hello".to_vec();
        seal(&mut sealed);
        assert_eq!(open(&sealed).unwrap(), (Version::WRITTEN, &b"\x00\x05hello"[..]));
        for bit in 0..sealed.len() * 8 {
            let mut bytes = sealed.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&bytes).is_err(), "bit {bit}");
        }
        assert!(open(&sealed[..9]).unwrap_err().is_truncated());
    }

    #[test]
    fn headers_of_other_files_and_versions_are_refused() {
        let reason = |bytes: &[u8]| Reader::from_slice(bytes).header().unwrap_err().reason;
        assert!(matches!(reason(b"REDIS0016"), Reason::Version(16)));
        assert!(matches!(reason(b"REDIS0080"), Reason::Version(80)), "that number is Valkey's");
        assert!(matches!(reason(b"VALKEY011"), Reason::Version(11)), "that number is Redis'");
        assert!(matches!(reason(b"VALKEY999"), Reason::Version(999)));
        assert!(matches!(reason(b"REDIS0000"), Reason::Version(0)));
        assert!(matches!(reason(b"REDISabcd"), Reason::NotRdb));
        assert!(matches!(reason(b"VALKEYabc"), Reason::NotRdb));
        assert!(matches!(reason(b"REDIS00"), Reason::Truncated));
        assert_eq!(Reader::from_slice(b"REDIS0001").header().unwrap().number(), 1);
        assert!(Reader::from_slice(b"VALKEY080").header().unwrap().is_valkey());
    }
}
