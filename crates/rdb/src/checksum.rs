//! CRC64 of the format: the "Jones" polynomial, reflected, initial value 0.

use crc_fast::{CrcAlgorithm, Digest};

/// A running CRC64.
#[derive(Debug, Clone, Copy)]
pub struct Checksum(Digest);

impl Checksum {
    /// The checksum of nothing, 0.
    pub fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc64Redis))
    }

    /// Adds `bytes` to what has been summed.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of everything added so far.
    pub fn value(&self) -> u64 {
        self.0.finalize()
    }
}

impl Default for Checksum {
    fn default() -> Self {
        Self::new()
    }
}

/// CRC64 of `bytes` in one go.
pub fn crc64(bytes: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Redis, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_value_is_the_published_one() {
        assert_eq!(crc64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        assert_eq!(crc64(b""), 0);
    }

    #[test]
    fn pieces_sum_to_the_whole() {
        let bytes: Vec<u8> = (0..5000u32).map(|i| (i * 31) as u8).collect();
        let mut sum = Checksum::new();
        for piece in bytes.chunks(37) {
            sum.update(piece);
        }
        assert_eq!(sum.value(), crc64(&bytes));
    }
}
