//! Hash slots: the 16,384 ranges of Redis Cluster (CRC16/XMODEM of the key or of its `{tag}`), and the shard of a slot.
//!
//! A shard is a contiguous range of slots, so keys that share a tag share a shard, and slots can move one day.

/// Number of hash slots.
pub const SLOTS: usize = 16_384;

/// CRC16/XMODEM of eight bytes at a time: `TABLES[k][b]` is the CRC of byte `b` followed by `k` zero bytes.
static TABLES: [[u16; 256]; 8] = tables();

const fn tables() -> [[u16; 256]; 8] {
    let mut tables = [[0u16; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut k = 1;
    while k < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[k - 1][byte];
            tables[k][byte] = (before << 8) ^ tables[0][(before >> 8) as usize];
            byte += 1;
        }
        k += 1;
    }
    tables
}

/// CRC16/XMODEM (polynomial 0x1021, initial value 0).
pub fn crc16(bytes: &[u8]) -> u16 {
    let mut crc = 0u16;
    let (chunks, rest) = bytes.as_chunks::<8>();
    for c in chunks {
        let first = c[0] ^ (crc >> 8) as u8;
        let second = c[1] ^ crc as u8;
        crc = TABLES[7][first as usize]
            ^ TABLES[6][second as usize]
            ^ TABLES[5][c[2] as usize]
            ^ TABLES[4][c[3] as usize]
            ^ TABLES[3][c[4] as usize]
            ^ TABLES[2][c[5] as usize]
            ^ TABLES[1][c[6] as usize]
            ^ TABLES[0][c[7] as usize];
    }
    for byte in rest {
        crc = (crc << 8) ^ TABLES[0][(((crc >> 8) as u8) ^ byte) as usize];
    }
    crc
}

/// The hash slot of a key: of the text between the first `{` and the next `}` if that is not empty, else of all of it.
pub fn slot_of(key: &[u8]) -> u16 {
    crc16(hash_tag(key)) & (SLOTS as u16 - 1)
}

fn hash_tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|b| *b == b'{') else { return key };
    match key[open + 1..].iter().position(|b| *b == b'}') {
        Some(len) if len > 0 => &key[open + 1..open + 1 + len],
        _ => key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crc16_bitwise(bytes: &[u8]) -> u16 {
        bytes.iter().fold(0, |crc, byte| {
            (0..8).fold(
                crc ^ (u16::from(*byte) << 8),
                |crc, _| if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 },
            )
        })
    }

    #[test]
    fn crc_has_the_published_check_value_and_equals_the_bitwise_twin() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        let text: Vec<u8> = (0..100u8).map(|i| i.wrapping_mul(37)).collect();
        for len in 0..text.len() {
            assert_eq!(crc16(&text[..len]), crc16_bitwise(&text[..len]));
        }
    }

    #[test]
    fn keys_with_one_tag_share_a_slot() {
        assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"{user1000}.followers"));
        assert_eq!(slot_of(b"foo{}{bar}"), crc16(b"foo{}{bar}") & 0x3fff);
        assert_eq!(slot_of(b"foo{{bar}}zap"), crc16(b"{bar") & 0x3fff);
        assert_eq!(slot_of(b"foo"), 12182);
    }
}
