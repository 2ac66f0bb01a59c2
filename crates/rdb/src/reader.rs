//! Decodes items of the format from a slice or a stream.

use std::io::{ErrorKind, Read};

use crate::{Checksum, Error, Reason, Version, lzf};

/// Bytes fetched from the source at once, and the step by which a long string grows.
const BUFFER_LEN: usize = 64 << 10;

/// Decodes items of the format from a slice or a stream, counting and summing what it consumes.
///
/// Memory: one buffer of at most 64 KiB, and strings as far as their bytes have arrived.
#[derive(Debug)]
pub struct Reader<'a> {
    source: Source<'a>,
    buffer: Vec<u8>,
    /// Next byte of `buffer` to hand out.
    at: usize,
    /// Bytes of `buffer` before this one are in `sum`.
    summed: usize,
    /// Offset in the input of the first byte of `buffer`.
    base: u64,
    /// A length that was read ahead.
    peeked: Option<u64>,
    sum: Checksum,
    version: Version,
    /// Where a compressed string waits to be unpacked; kept for its capacity.
    packed: Vec<u8>,
}

enum Source<'a> {
    Slice(&'a [u8]),
    Stream(&'a mut dyn Read),
}

/// How a string announces itself.
enum StringForm {
    Raw(u64),
    Integer(i32),
    Lzf { packed: u64, len: u64 },
}

impl<'a> Reader<'a> {
    /// Reads from `source`, which must be positioned at the start of the input.
    pub fn new(source: &'a mut dyn Read) -> Self {
        Self::over(Source::Stream(source))
    }

    /// Reads from a slice: a `DUMP` payload, a fixture.
    pub fn from_slice(bytes: &'a [u8]) -> Self {
        Self::over(Source::Slice(bytes))
    }

    /// Bytes consumed so far.
    pub fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// CRC64 of the bytes consumed so far.
    pub fn checksum(&mut self) -> u64 {
        self.sum.update(&self.buffer[self.summed..self.at]);
        self.summed = self.at;
        self.sum.value()
    }

    /// True if no byte is left. May read from the source.
    ///
    /// # Errors
    /// If the source fails.
    pub fn is_at_end(&mut self) -> Result<bool, Error> {
        Ok(self.at == self.buffer.len() && !self.refill()?)
    }

    /// An error at the current offset, for callers that find items inconsistent.
    pub fn invalid(&self, what: &'static str) -> Error {
        self.error(Reason::Invalid(what))
    }

    /// An error at the current offset: the value that was just read has nothing in it.
    pub fn empty(&self, what: &'static str) -> Error {
        self.error(Reason::Empty(what))
    }

    /// An error at the current offset.
    pub fn error(&self, reason: Reason) -> Error {
        Error { offset: self.offset(), reason }
    }

    /// One byte: an opcode or a type.
    ///
    /// # Errors
    /// At the end of the input, or if the source fails; so for every method below, besides what each names.
    pub fn byte(&mut self) -> Result<u8, Error> {
        if self.at == self.buffer.len() && !self.refill()? {
            return Err(self.error(Reason::Truncated));
        }
        self.at += 1;
        Ok(self.buffer[self.at - 1])
    }

    /// `N` bytes as they are.
    ///
    /// # Errors
    /// See [`Reader::byte`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        if let Some(found) = self.buffer.get(self.at..self.at + N) {
            bytes.copy_from_slice(found);
            self.at += N;
        } else {
            for byte in &mut bytes {
                *byte = self.byte()?;
            }
        }
        Ok(bytes)
    }

    /// A length, which is nothing but a number: whoever allocates for it must bound it.
    ///
    /// # Errors
    /// [`Reason::Length`] if it is a special string form or none at all.
    pub fn length(&mut self) -> Result<u64, Error> {
        if let Some(known) = self.peeked.take() {
            return Ok(known);
        }
        let first = self.byte()?;
        self.length_after(first)
    }

    /// The length that comes next, which is still to be read: the id that says whose a module value is.
    ///
    /// # Errors
    /// See [`Reader::length`].
    pub fn peek_length(&mut self) -> Result<u64, Error> {
        let length = self.length()?;
        self.peeked = Some(length);
        Ok(length)
    }

    /// A length that must fit `max`.
    ///
    /// # Errors
    /// [`Reason::Invalid`] with `what` if it is greater, else as [`Reader::length`].
    pub fn length_at_most(&mut self, max: u64, what: &'static str) -> Result<usize, Error> {
        let n = self.length()?;
        usize::try_from(n).ok().filter(|_| n <= max).ok_or_else(|| self.invalid(what))
    }

    /// A string of any form.
    ///
    /// # Errors
    /// See [`Reader::string_into`].
    pub fn string(&mut self) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        self.string_into(&mut out)?;
        Ok(out)
    }

    /// Appends a string of any form to `out`.
    ///
    /// # Errors
    /// [`Reason::StringEncoding`], [`Reason::Lzf`], [`Reason::Length`]; `out` then has an unspecified tail.
    pub fn string_into(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        match self.string_form()? {
            StringForm::Raw(len) => self.append(len, out),
            StringForm::Integer(n) => {
                out.extend_from_slice(n.to_string().as_bytes());
                Ok(())
            }
            StringForm::Lzf { packed, len } => self.unpack(packed, len, out),
        }
    }

    /// Steps over a string without unpacking it.
    ///
    /// # Errors
    /// See [`Reader::string_into`]; a damaged compressed string passes.
    pub fn skip_string(&mut self) -> Result<(), Error> {
        match self.string_form()? {
            StringForm::Integer(_) => Ok(()),
            StringForm::Raw(len) | StringForm::Lzf { packed: len, .. } => self.skip(len),
        }
    }

    /// Steps over `len` bytes.
    ///
    /// # Errors
    /// See [`Reader::byte`].
    pub fn skip(&mut self, mut len: u64) -> Result<(), Error> {
        loop {
            let step = len.min((self.buffer.len() - self.at) as u64);
            self.at += step as usize;
            len -= step;
            if len == 0 {
                return Ok(());
            }
            if !self.refill()? {
                return Err(self.error(Reason::Truncated));
            }
        }
    }

    /// A signed 64-bit number, little-endian: a time in milliseconds.
    ///
    /// # Errors
    /// See [`Reader::byte`].
    pub fn i64(&mut self) -> Result<i64, Error> {
        self.array().map(i64::from_le_bytes)
    }

    /// An unsigned 64-bit number, little-endian.
    ///
    /// # Errors
    /// See [`Reader::byte`].
    pub fn u64(&mut self) -> Result<u64, Error> {
        self.array().map(u64::from_le_bytes)
    }

    /// A binary double, little-endian.
    ///
    /// # Errors
    /// See [`Reader::byte`].
    pub fn f64(&mut self) -> Result<f64, Error> {
        self.array().map(f64::from_le_bytes)
    }

    /// A binary float, little-endian.
    ///
    /// # Errors
    /// See [`Reader::byte`].
    pub fn f32(&mut self) -> Result<f32, Error> {
        self.array().map(f32::from_le_bytes)
    }

    /// A double in ASCII, as old sorted sets have it: a length byte, of which 253 to 255 mean NaN, +inf and -inf.
    ///
    /// # Errors
    /// [`Reason::Invalid`] if the text is no number.
    pub fn ascii_f64(&mut self) -> Result<f64, Error> {
        match self.byte()? {
            253 => Ok(f64::NAN),
            254 => Ok(f64::INFINITY),
            255 => Ok(f64::NEG_INFINITY),
            len => {
                let mut text = Vec::new();
                self.append(u64::from(len), &mut text)?;
                let number = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
                number.ok_or_else(|| self.invalid("a score is not a number"))
            }
        }
    }

    /// The version in the file header: `REDIS` and four digits, or `VALKEY` and three. What is read from here on is taken
    /// to be of that version.
    ///
    /// # Errors
    /// [`Reason::NotRdb`], or [`Reason::Version`] if it is not one of those that are read.
    pub fn header(&mut self) -> Result<Version, Error> {
        let header: [u8; 9] = self.array()?;
        let digits = [b"REDIS".as_slice(), b"VALKEY"].into_iter().find_map(|magic| header.strip_prefix(magic));
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_digit));
        let Some(digits) = digits else { return Err(self.error(Reason::NotRdb)) };
        let number = digits.iter().fold(0, |n, digit| n * 10 + u16::from(digit - b'0'));
        let version = Version::new(number).filter(|version| version.is_valkey() == (digits.len() == 3));
        self.version = version.ok_or_else(|| self.error(Reason::Version(number)))?;
        Ok(self.version)
    }

    /// The version of the input: that of its header, or the one that is written here.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Takes what follows to be of a version.
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// Reads the checksum that follows the EOF opcode and compares it; `false` when there is none to compare: zero means
    /// that none was computed, and files before version 5 have none.
    ///
    /// # Errors
    /// [`Reason::Checksum`].
    pub fn verify_checksum(&mut self) -> Result<bool, Error> {
        if !self.version.has_checksum() {
            return Ok(false);
        }
        let computed = self.checksum();
        let stored = self.u64()?;
        if stored != 0 && stored != computed {
            return Err(self.error(Reason::Checksum { stored, computed }));
        }
        Ok(stored != 0)
    }

    fn over(source: Source<'a>) -> Self {
        let sum = Checksum::new();
        let version = Version::WRITTEN;
        Self { source, buffer: Vec::new(), at: 0, summed: 0, base: 0, peeked: None, sum, version, packed: Vec::new() }
    }

    /// Replaces the consumed buffer by the next bytes of the source; false at its end.
    fn refill(&mut self) -> Result<bool, Error> {
        debug_assert_eq!(self.at, self.buffer.len(), "unread bytes must not be dropped");
        self.checksum();
        self.base += self.at as u64;
        (self.at, self.summed) = (0, 0);
        let result = fetch(&mut self.source, &mut self.buffer);
        result.map_err(|error| self.error(Reason::Io(error)))?;
        Ok(!self.buffer.is_empty())
    }

    fn length_after(&mut self, first: u8) -> Result<u64, Error> {
        match (first >> 6, first) {
            (0, _) => Ok(u64::from(first)),
            (1, _) => Ok(u64::from(first & 0x3f) << 8 | u64::from(self.byte()?)),
            (_, 0x80) => Ok(u64::from(u32::from_be_bytes(self.array()?))),
            (_, 0x81) => Ok(u64::from_be_bytes(self.array()?)),
            _ => Err(self.error(Reason::Length(first))),
        }
    }

    fn string_form(&mut self) -> Result<StringForm, Error> {
        let first = self.byte()?;
        if first >> 6 != 3 {
            return self.length_after(first).map(StringForm::Raw);
        }
        Ok(match first & 0x3f {
            0 => StringForm::Integer(i32::from(self.byte()? as i8)),
            1 => StringForm::Integer(i32::from(i16::from_le_bytes(self.array()?))),
            2 => StringForm::Integer(i32::from_le_bytes(self.array()?)),
            3 => StringForm::Lzf { packed: self.length()?, len: self.length()? },
            other => return Err(self.error(Reason::StringEncoding(u64::from(other)))),
        })
    }

    /// Appends `len` raw bytes, growing only as they arrive.
    fn append(&mut self, mut len: u64, out: &mut Vec<u8>) -> Result<(), Error> {
        loop {
            let step = len.min((self.buffer.len() - self.at) as u64) as usize;
            if out.is_empty() && step as u64 == len {
                out.reserve_exact(step);
            }
            out.extend_from_slice(&self.buffer[self.at..self.at + step]);
            self.at += step;
            len -= step as u64;
            if len == 0 {
                return Ok(());
            }
            if !self.refill()? {
                return Err(self.error(Reason::Truncated));
            }
        }
    }

    fn unpack(&mut self, packed: u64, len: u64, out: &mut Vec<u8>) -> Result<(), Error> {
        let mut bytes = std::mem::take(&mut self.packed);
        bytes.clear();
        self.append(packed, &mut bytes)?;
        let len = usize::try_from(len).map_err(|_| self.error(Reason::Lzf(lzf::DamagedLzf::Length)))?;
        lzf::decompress(&bytes, len, out).map_err(|damage| self.error(Reason::Lzf(damage)))?;
        if bytes.capacity() <= BUFFER_LEN {
            self.packed = bytes;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Slice(_) => "Slice",
            Self::Stream(_) => "Stream",
        })
    }
}

/// Fills `buffer` with up to [`BUFFER_LEN`] of the next bytes; leaves it empty at the end of the source.
fn fetch(source: &mut Source<'_>, buffer: &mut Vec<u8>) -> std::io::Result<()> {
    buffer.clear();
    match source {
        Source::Slice(bytes) => {
            let (head, tail) = bytes.split_at(bytes.len().min(BUFFER_LEN));
            buffer.extend_from_slice(head);
            *bytes = tail;
            Ok(())
        }
        Source::Stream(stream) => {
            buffer.resize(BUFFER_LEN, 0);
            let result = read_some(*stream, buffer);
            buffer.truncate(*result.as_ref().unwrap_or(&0));
            result.map(|_| ())
        }
    }
}

fn read_some(stream: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
