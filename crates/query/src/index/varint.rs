//! Numbers in as few bytes as they need: seven bits a byte, the lowest first, the highest bit says that more follow.
//!
//! Reading never panics: past the end there are zeros, and a number longer than its type loses its upper bits.

/// Appends a number.
#[inline]
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a number of up to 128 bits.
pub(crate) fn put_wide(out: &mut Vec<u8>, mut value: u128) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The number at `at`, which moves behind it.
#[inline]
pub(crate) fn get(bytes: &[u8], at: &mut usize) -> u64 {
    let Some(&first) = bytes.get(*at) else { return 0 };
    *at += 1;
    if first < 0x80 {
        return u64::from(first);
    }
    let (mut value, mut shift) = (u64::from(first & 0x7f), 7);
    while let Some(&byte) = bytes.get(*at) {
        *at += 1;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        shift += 7;
        if byte < 0x80 {
            break;
        }
    }
    value
}

/// [`get`] for up to 128 bits.
pub(crate) fn get_wide(bytes: &[u8], at: &mut usize) -> u128 {
    let (mut value, mut shift) = (0, 0);
    while let Some(&byte) = bytes.get(*at) {
        *at += 1;
        value |= u128::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        shift += 7;
        if byte < 0x80 {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_the_end_reads_as_zero() {
        let numbers = [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX];
        let mut bytes = Vec::new();
        for number in numbers {
            put(&mut bytes, number);
            put_wide(&mut bytes, u128::from(number) << 60);
        }
        let mut at = 0;
        for number in numbers {
            assert_eq!(get(&bytes, &mut at), number);
            assert_eq!(get_wide(&bytes, &mut at), u128::from(number) << 60);
        }
        assert_eq!((get(&bytes, &mut at), get_wide(&bytes, &mut at), at), (0, 0, bytes.len()));
    }

    #[test]
    fn endless_numbers_end() {
        let bytes = [0xff; 40];
        let mut at = 0;
        get(&bytes, &mut at);
        assert_eq!(at, 40);
    }
}
