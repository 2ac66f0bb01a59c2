//! Values of modules: a 64-bit id, then items that say their own type, then an end mark.
//!
//! The id holds nine characters of six bits, first character highest, and ten bits of encoding version. Items can be
//! stepped over without knowing the module, which is how files with foreign values stay readable.

use crate::{Error, Reader, Reason, Writer};

/// End of the value.
const EOF: u64 = 0;
/// A signed number, as the length of its two's complement.
const SINT: u64 = 1;
/// An unsigned number, as a length.
const UINT: u64 = 2;
/// Four bytes, little-endian.
const FLOAT: u64 = 3;
/// Eight bytes, little-endian.
const DOUBLE: u64 = 4;
/// A string of any form.
const STRING: u64 = 5;

/// The 64 characters of a module type's name, by value.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The id of the module type `name` in encoding version `version`; usable in constants.
///
/// # Panics
/// If `name` is not nine characters of `[A-Za-z0-9-_]` or `version` exceeds 1023.
pub const fn id(name: &str, version: u16) -> u64 {
    let name = name.as_bytes();
    assert!(name.len() == 9, "a module type has nine characters");
    assert!(version < 1024, "the encoding version has ten bits");
    let (mut id, mut i) = (0, 0);
    while i < 9 {
        let mut value = 0;
        while ALPHABET[value] != name[i] {
            value += 1;
        }
        id = id << 6 | value as u64;
        i += 1;
    }
    id << 10 | version as u64
}

/// The name and encoding version in an id.
pub fn name(id: u64) -> (String, u16) {
    let letter = |i: u32| char::from(ALPHABET[(id >> (10 + 6 * (8 - i)) & 63) as usize]);
    ((0..9).map(letter).collect(), (id & 1023) as u16)
}

/// Appends the items of one module value; dropping it without [`ModuleWriter::finish`] leaves the value open.
#[derive(Debug)]
#[must_use = "a module value must be finished"]
pub struct ModuleWriter<'w, 'a>(&'w mut Writer<'a>);

impl<'w, 'a> ModuleWriter<'w, 'a> {
    /// Begins a value of the type `id`; the record's type byte and key are already written.
    pub fn begin(writer: &'w mut Writer<'a>, id: u64) -> Self {
        writer.length(id);
        Self(writer)
    }

    /// Goes on with a value that was begun before.
    pub fn go_on(writer: &'w mut Writer<'a>) -> Self {
        Self(writer)
    }

    /// Bytes written so far, those from before this value included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is written; not so once the value has begun.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// An unsigned number.
    pub fn unsigned(&mut self, n: u64) {
        self.0.length(UINT);
        self.0.length(n);
    }

    /// A signed number.
    pub fn signed(&mut self, n: i64) {
        self.0.length(SINT);
        self.0.length(n as u64);
    }

    /// A double.
    pub fn double(&mut self, n: f64) {
        self.0.length(DOUBLE);
        self.0.f64(n);
    }

    /// A float.
    pub fn float(&mut self, n: f32) {
        self.0.length(FLOAT);
        self.0.f32(n);
    }

    /// A string, in the shortest form.
    pub fn string(&mut self, bytes: &[u8]) {
        self.0.length(STRING);
        self.0.string(bytes);
    }

    /// A string that is known not to compress.
    pub fn raw_string(&mut self, bytes: &[u8]) {
        self.0.length(STRING);
        self.0.raw_string(bytes);
    }

    /// Ends the value.
    pub fn finish(self) {
        self.0.length(EOF);
    }
}

/// Reads the items of one module value, each of which must be of the type asked for.
#[derive(Debug)]
pub struct ModuleReader<'r, 'a>(&'r mut Reader<'a>);

impl<'r, 'a> ModuleReader<'r, 'a> {
    /// Begins a value: returns its type's id and the reader of its items.
    ///
    /// # Errors
    /// If the id cannot be read.
    pub fn begin(reader: &'r mut Reader<'a>) -> Result<(u64, Self), Error> {
        let id = reader.length()?;
        Ok((id, Self(reader)))
    }

    /// An unsigned number.
    ///
    /// # Errors
    /// [`Reason::ModuleOpcode`] if another item comes here; so for all methods.
    pub fn unsigned(&mut self) -> Result<u64, Error> {
        self.expect(UINT)?;
        self.0.length()
    }

    /// An unsigned number that must fit `max`; `what` becomes the error otherwise.
    ///
    /// # Errors
    /// [`Reason::Invalid`] if it is greater.
    pub fn at_most(&mut self, max: u64, what: &'static str) -> Result<usize, Error> {
        self.expect(UINT)?;
        self.0.length_at_most(max, what)
    }

    /// A signed number.
    ///
    /// # Errors
    /// See [`ModuleReader::unsigned`].
    pub fn signed(&mut self) -> Result<i64, Error> {
        self.expect(SINT)?;
        self.0.length().map(|n| n as i64)
    }

    /// A double.
    ///
    /// # Errors
    /// See [`ModuleReader::unsigned`].
    pub fn double(&mut self) -> Result<f64, Error> {
        self.expect(DOUBLE)?;
        self.0.f64()
    }

    /// A float.
    ///
    /// # Errors
    /// See [`ModuleReader::unsigned`].
    pub fn float(&mut self) -> Result<f32, Error> {
        self.expect(FLOAT)?;
        self.0.f32()
    }

    /// A string.
    ///
    /// # Errors
    /// See [`ModuleReader::unsigned`].
    pub fn string(&mut self) -> Result<Vec<u8>, Error> {
        self.expect(STRING)?;
        self.0.string()
    }

    /// A string, replacing the content of `out`.
    ///
    /// # Errors
    /// See [`ModuleReader::unsigned`].
    pub fn string_into(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.expect(STRING)?;
        out.clear();
        self.0.string_into(out)
    }

    /// The end of the value.
    ///
    /// # Errors
    /// See [`ModuleReader::unsigned`].
    pub fn finish(self) -> Result<(), Error> {
        let Self(reader) = self;
        Self(reader).expect(EOF)
    }

    /// An error at the current offset.
    pub fn invalid(&self, what: &'static str) -> Error {
        self.0.invalid(what)
    }

    fn expect(&mut self, expected: u64) -> Result<(), Error> {
        let found = self.0.length()?;
        if found == expected { Ok(()) } else { Err(self.0.error(Reason::ModuleOpcode { expected, found })) }
    }
}

/// Steps over the items of a value of any module, end mark included; the id is already read.
///
/// # Errors
/// [`Reason::Invalid`] for an opcode that does not exist.
pub fn skip_items(reader: &mut Reader<'_>) -> Result<(), Error> {
    loop {
        match reader.length()? {
            EOF => return Ok(()),
            SINT | UINT => drop(reader.length()?),
            FLOAT => reader.skip(4)?,
            DOUBLE => reader.skip(8)?,
            STRING => reader.skip_string()?,
            _ => return Err(reader.invalid("a module value has an item of unknown type")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_redis() {
        assert_eq!(id("vectorset", 0), 0xbde7_2da2_bb1e_b400);
        assert_eq!(name(0xbde7_2da2_bb1e_b403), ("vectorset".to_owned(), 3));
    }

    #[test]
    fn items_come_back_and_can_be_stepped_over() {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        let mut value = ModuleWriter::begin(&mut writer, id("quiver-00", 5));
        value.unsigned(u64::MAX);
        value.signed(-7);
        value.double(0.1);
        value.float(1.5);
        value.string(b"12345");
        value.raw_string(b"12345");
        value.finish();

        let mut reader = Reader::from_slice(&bytes);
        let (found, mut items) = ModuleReader::begin(&mut reader).unwrap();
        assert_eq!(name(found), ("quiver-00".to_owned(), 5));
        assert_eq!(items.unsigned().unwrap(), u64::MAX);
        assert_eq!(items.signed().unwrap(), -7);
        assert_eq!(items.double().unwrap(), 0.1);
        assert_eq!(items.float().unwrap(), 1.5);
        assert_eq!(items.string().unwrap(), b"12345");
        assert_eq!(items.string().unwrap(), b"12345");
        items.finish().unwrap();
        assert!(reader.is_at_end().unwrap());

        let mut reader = Reader::from_slice(&bytes);
        reader.length().unwrap();
        skip_items(&mut reader).unwrap();
        assert!(reader.is_at_end().unwrap());
    }

    #[test]
    fn an_item_of_another_type_is_an_error() {
        let mut reader = Reader::from_slice(&[0, 5, 1, b'x', 0]);
        let (_, mut items) = ModuleReader::begin(&mut reader).unwrap();
        let reason = items.unsigned().unwrap_err().reason;
        assert!(matches!(reason, Reason::ModuleOpcode { expected: 2, found: 5 }));
    }
}
