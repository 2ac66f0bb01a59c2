//! How one listpack element becomes bytes and back.
//!
//! ```text
//! 0vvvvvvv                       0..=127
//! 10llllll data                  string shorter than 64
//! 110vvvvv vvvvvvvv              13 bits, two's complement, high bits first
//! 1110llll llllllll data         string shorter than 4096, high bits first
//! f0 llllllll*4 data             string, length in 32 bits, little endian
//! f1, f2, f3, f4 then 2, 3, 4, 8 bytes: integers, little endian
//! ```

use super::{Item, parse_int};

/// Most bytes an element takes beyond its data.
pub(super) const OVERHEAD_BYTES_MAX: usize = 10;

/// A string shorter than this has its length in the first byte, and one byte of length behind it.
pub(super) const SHORT_STRING: usize = 64;

const STR_32: u8 = 0xf0;
const INT_16: u8 = 0xf1;
const INT_24: u8 = 0xf2;
const INT_32: u8 = 0xf3;
const INT_64: u8 = 0xf4;

/// The first byte of a string of `len` bytes, fewer than [`SHORT_STRING`].
pub(super) fn short_head(len: usize) -> u8 {
    0x80 | len as u8
}

/// Bytes an element takes, with the length behind it, that begins with `first`; `None` unless that alone tells.
#[inline]
pub(super) fn short_len(first: u8) -> Option<usize> {
    match first {
        0..0x80 => Some(2),
        0x80..0xc0 => Some(usize::from(first & 0x3f) + 2),
        0xc0..0xe0 => Some(3),
        _ => None,
    }
}

/// Bytes of the length behind an element of `len` bytes. Lengths at the upper edges take a byte more than they need;
/// the format has it so.
pub(super) fn backlen_bytes(len: usize) -> usize {
    match len {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

/// Reads, from its right end, the length that `bytes` ends with.
pub(super) fn decode_backlen(bytes: &[u8]) -> Option<usize> {
    let mut len = 0;
    for (i, byte) in bytes.iter().rev().take(5).enumerate() {
        len |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some(len);
        }
    }
    None
}

/// Reads the element that `bytes` begins with: it, and the bytes of its encoding and data. `None` when it is cut off or
/// of no known encoding.
pub(super) fn decode(bytes: &[u8]) -> Option<(Item<'_>, usize)> {
    let (&first, rest) = bytes.split_first()?;
    match first {
        0..0x80 => Some((Item::Int(first.into()), 1)),
        0x80..0xc0 => string(bytes, 1, usize::from(first & 0x3f)),
        0xc0..0xe0 => {
            let value = i16::from(first & 0x1f) << 8 | i16::from(*rest.first()?);
            // Shifting up and down again spreads the sign, bit 12.
            Some((Item::Int((value << 3 >> 3).into()), 2))
        }
        0xe0..STR_32 => string(bytes, 2, usize::from(first & 0x0f) << 8 | usize::from(*rest.first()?)),
        STR_32 => string(bytes, 5, u32::from_le_bytes(*rest.first_chunk()?) as usize),
        INT_16 => Some((Item::Int(i16::from_le_bytes(*rest.first_chunk()?).into()), 3)),
        INT_24 => {
            let [a, b, c] = *rest.first_chunk()?;
            Some((Item::Int((i32::from_le_bytes([0, a, b, c]) >> 8).into()), 4))
        }
        INT_32 => Some((Item::Int(i32::from_le_bytes(*rest.first_chunk()?).into()), 5)),
        INT_64 => Some((Item::Int(i64::from_le_bytes(*rest.first_chunk()?)), 9)),
        _ => None,
    }
}

fn string(bytes: &[u8], head: usize, len: usize) -> Option<(Item<'_>, usize)> {
    Some((Item::Str(bytes.get(head..head + len)?), head + len))
}

/// An element ready to be written.
pub(super) struct Encoded<'a> {
    head: [u8; 9],
    head_len: usize,
    data: &'a [u8],
}

impl<'a> Encoded<'a> {
    /// The shortest encoding; strings that are integers in canonical form become integers.
    pub(super) fn new(item: Item<'a>) -> Self {
        match item {
            Item::Int(int) => Self::int(int),
            Item::Str(string) => parse_int(string).map_or_else(|| Self::string(string), Self::int),
        }
    }

    fn int(int: i64) -> Self {
        let [a, b, c, d, ..] = int.to_le_bytes();
        match int {
            0..=127 => Self::from_head(&[a], &[]),
            -4096..=4095 => Self::from_head(&[0xc0 | b & 0x1f, a], &[]),
            -0x8000..=0x7fff => Self::from_head(&[INT_16, a, b], &[]),
            -0x80_0000..=0x7f_ffff => Self::from_head(&[INT_24, a, b, c], &[]),
            -0x8000_0000..=0x7fff_ffff => Self::from_head(&[INT_32, a, b, c, d], &[]),
            _ => {
                let mut head = [INT_64; 9];
                head[1..].copy_from_slice(&int.to_le_bytes());
                Self::from_head(&head, &[])
            }
        }
    }

    fn string(data: &'a [u8]) -> Self {
        let len = u32::try_from(data.len()).expect("listpacks are at most 1 GiB long");
        let [a, b, c, d] = len.to_le_bytes();
        match len {
            0..64 => Self::from_head(&[0x80 | a], data),
            64..4096 => Self::from_head(&[0xe0 | b, a], data),
            _ => Self::from_head(&[STR_32, a, b, c, d], data),
        }
    }

    fn from_head(bytes: &[u8], data: &'a [u8]) -> Self {
        let mut head = [0; 9];
        head[..bytes.len()].copy_from_slice(bytes);
        Self { head, head_len: bytes.len(), data }
    }

    /// Bytes of encoding, data and the length behind them.
    pub(super) fn len(&self) -> usize {
        self.body_len() + backlen_bytes(self.body_len())
    }

    fn body_len(&self) -> usize {
        self.head_len + self.data.len()
    }

    /// Writes the element to the start of `target`; the bytes it took.
    pub(super) fn write(&self, target: &mut [u8]) -> usize {
        let body = self.body_len();
        target[..self.head_len].copy_from_slice(&self.head[..self.head_len]);
        target[self.head_len..body].copy_from_slice(self.data);
        let behind = &mut target[body..self.len()];
        for (i, byte) in behind.iter_mut().rev().enumerate() {
            *byte = (body >> (7 * i)) as u8 & 0x7f | 0x80;
        }
        // The group read last, from the right, is the one that says so.
        behind[0] &= 0x7f;
        self.len()
    }
}
