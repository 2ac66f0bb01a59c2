//! Appends items of the format to a byte vector.

use crate::{code, lzf};

/// Strings up to this length are never compressed: the two lengths would eat the gain.
const COMPRESS_FROM: usize = 21;
/// The longest decimal form that can be an integer string: `-2147483648`.
const INTEGER_LEN_MAX: usize = 11;

/// Appends items of the format to a byte vector.
///
/// Nothing here can fail; the caller decides when to pass the bytes on and sums them (see [`crate::frame`]).
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    compress: bool,
}

impl<'a> Writer<'a> {
    /// Appends to `out`, compressing long strings where it pays.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, compress: true }
    }

    /// Switches the compression of strings (`rdbcompression`).
    pub fn set_compress(&mut self, on: bool) {
        self.compress = on;
    }

    /// Bytes in the vector, those from before this writer included.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// True if nothing is in the vector.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// One byte: an opcode or a type of [`code`].
    pub fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    /// Bytes as they are, without a length.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// A length, in 1, 2, 5 or 9 bytes.
    pub fn length(&mut self, n: u64) {
        match n {
            0..=0x3f => self.out.push(n as u8),
            0x40..=0x3fff => self.out.extend_from_slice(&[0x40 | (n >> 8) as u8, n as u8]),
            0x4000..=0xffff_ffff => {
                self.out.push(0x80);
                self.out.extend_from_slice(&(n as u32).to_be_bytes());
            }
            _ => {
                self.out.push(0x81);
                self.out.extend_from_slice(&n.to_be_bytes());
            }
        }
    }

    /// A string: as an integer if it is the canonical decimal form of an i32, compressed if that saves bytes, or raw.
    pub fn string(&mut self, bytes: &[u8]) {
        if let Some(n) = canonical_i32(bytes) {
            return self.integer_string(n);
        }
        if !(self.compress && bytes.len() >= COMPRESS_FROM && self.compressed_string(bytes)) {
            self.raw_string(bytes);
        }
    }

    /// A string without looking for a shorter form: for payloads known to be dense, such as vectors.
    pub fn raw_string(&mut self, bytes: &[u8]) {
        self.length(bytes.len() as u64);
        self.raw(bytes);
    }

    /// The string that is the decimal form of `n`.
    pub fn integer(&mut self, n: i64) {
        match i32::try_from(n) {
            Ok(n) => self.integer_string(n),
            Err(_) => self.raw_string(n.to_string().as_bytes()),
        }
    }

    /// A signed 64-bit number, little-endian: a time in milliseconds.
    pub fn i64(&mut self, n: i64) {
        self.raw(&n.to_le_bytes());
    }

    /// A binary double, little-endian.
    pub fn f64(&mut self, n: f64) {
        self.raw(&n.to_le_bytes());
    }

    /// A binary float, little-endian.
    pub fn f32(&mut self, n: f32) {
        self.raw(&n.to_le_bytes());
    }

    /// The expiry of the next key, in unix milliseconds.
    pub fn expire_ms(&mut self, unix_ms: i64) {
        self.byte(code::EXPIRETIME_MS);
        self.i64(unix_ms);
    }

    /// Selects the database of the next keys and announces its size.
    pub fn select_db(&mut self, db: u64, keys: u64, expires: u64) {
        self.byte(code::SELECTDB);
        self.length(db);
        self.byte(code::RESIZEDB);
        self.length(keys);
        self.length(expires);
    }

    fn integer_string(&mut self, n: i32) {
        if let Ok(n) = i8::try_from(n) {
            self.out.extend_from_slice(&[0xc0, n as u8]);
        } else if let Ok(n) = i16::try_from(n) {
            self.out.push(0xc1);
            self.out.extend_from_slice(&n.to_le_bytes());
        } else {
            self.out.push(0xc2);
            self.out.extend_from_slice(&n.to_le_bytes());
        }
    }

    /// False, and nothing appended, if compression would not save at least 4 bytes.
    fn compressed_string(&mut self, bytes: &[u8]) -> bool {
        let start = self.out.len();
        // The compressed length comes first but is known last: compress in place, then put the lengths before.
        let Some(packed) = lzf::compress(bytes, self.out, bytes.len() - 4) else { return false };
        self.out.push(0xc3);
        self.length(packed as u64);
        self.length(bytes.len() as u64);
        self.out[start..].rotate_left(packed);
        true
    }
}

/// The number `bytes` spell in the one form that prints back the same.
fn canonical_i32(bytes: &[u8]) -> Option<i32> {
    let (&first, rest) = bytes.split_first()?;
    let leading = if first == b'-' { *rest.first()? } else { first };
    if bytes.len() > INTEGER_LEN_MAX || !leading.is_ascii_digit() || (leading == b'0' && bytes.len() > 1) {
        return None;
    }
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(f: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        f(&mut Writer::new(&mut out));
        out
    }

    #[test]
    fn lengths_take_the_shortest_form() {
        for (n, bytes) in [
            (0, &[0][..]),
            (63, &[63]),
            (64, &[0x40, 64]),
            (16_383, &[0x7f, 0xff]),
            (16_384, &[0x80, 0, 0, 0x40, 0]),
            (u64::from(u32::MAX), &[0x80, 255, 255, 255, 255]),
            (1 << 32, &[0x81, 0, 0, 0, 1, 0, 0, 0, 0]),
        ] {
            assert_eq!(written(|w| w.length(n)), bytes, "{n}");
        }
    }

    #[test]
    fn only_canonical_integers_are_stored_as_integers() {
        for (text, first) in [("0", 0xc0), ("-1", 0xc0), ("128", 0xc1), ("32768", 0xc2), ("-2147483648", 0xc2)] {
            assert_eq!(written(|w| w.string(text.as_bytes()))[0], first, "{text}");
        }
        for text in ["", "-", "-0", "007", "+1", "2147483648", "1 ", "--1", "1.0"] {
            let bytes = written(|w| w.string(text.as_bytes()));
            assert_eq!(&bytes[1..], text.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn long_strings_are_compressed_unless_switched_off() {
        let text = "abcdefgh".repeat(10);
        assert_eq!(written(|w| w.string(text.as_bytes()))[0], 0xc3);
        let plain = written(|w| {
            w.set_compress(false);
            w.string(text.as_bytes());
        });
        assert_eq!(plain.len(), text.len() + 2);
    }
}
