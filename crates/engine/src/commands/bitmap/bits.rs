//! Counting and finding bits in bytes, eight bytes at a time. Bit 0 is the highest of byte 0.

/// Bits set from bit `first` to bit `last`, both within `bytes`.
pub(super) fn count(bytes: &[u8], first: u64, last: u64) -> u64 {
    let (from, to) = ((first / 8) as usize, (last / 8) as usize);
    let (words, rest) = bytes[from..=to].as_chunks::<8>();
    let in_words: u64 = words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum();
    let in_rest: u64 = rest.iter().map(|byte| u64::from(byte.count_ones())).sum();
    let before = bytes[from] & !head(first);
    let behind = bytes[to] & !tail(last);
    in_words + in_rest - u64::from(before.count_ones()) - u64::from(behind.count_ones())
}

/// The first bit of this value from bit `first` to bit `last`, both within `bytes`.
pub(super) fn find(bytes: &[u8], bit: bool, first: u64, last: u64) -> Option<u64> {
    let (from, to) = ((first / 8) as usize, (last / 8) as usize);
    let flip = if bit { 0 } else { u64::MAX };
    let in_byte = |at: usize, mask: u8| place_in(bytes[at] ^ flip as u8, mask).map(|place| at as u64 * 8 + place);
    if from == to {
        return in_byte(from, head(first) & tail(last));
    }
    let (words, rest) = bytes[from + 1..to].as_chunks::<8>();
    let rest_at = to - rest.len();
    let in_words = || {
        let at = words.iter().position(|word| u64::from_ne_bytes(*word) != flip)?;
        let place = (u64::from_be_bytes(words[at]) ^ flip).leading_zeros();
        Some((from as u64 + 1 + at as u64 * 8) * 8 + u64::from(place))
    };
    in_byte(from, head(first))
        .or_else(in_words)
        .or_else(|| (rest_at..to).find_map(|at| in_byte(at, u8::MAX)))
        .or_else(|| in_byte(to, tail(last)))
}

fn place_in(byte: u8, mask: u8) -> Option<u64> {
    let byte = byte & mask;
    (byte != 0).then(|| byte.leading_zeros().into())
}

/// The bits of its byte from this one on.
fn head(bit: u64) -> u8 {
    0xff >> (bit % 8)
}

/// The bits of its byte up to this one.
fn tail(bit: u64) -> u8 {
    0xff << (7 - bit % 8)
}

/// The unsigned number of `width` bits (64 at most) from bit `offset` on; bits behind the end are zero.
pub(super) fn read(bytes: &[u8], offset: u64, width: u32) -> u64 {
    let window = u128::from_be_bytes(window(bytes, offset));
    (window << (offset % 8) >> (128 - width)) as u64
}

/// Overwrites the `width` bits from bit `offset` on, which are within `bytes`, with the lowest of `value`.
pub(super) fn write(bytes: &mut [u8], offset: u64, width: u32, value: u64) {
    let shift = 128 - width - (offset % 8) as u32;
    let mask = (u128::MAX >> (128 - width)) << shift;
    let old = u128::from_be_bytes(window(bytes, offset));
    let new = (old & !mask | u128::from(value) << shift & mask).to_be_bytes();
    let first = (offset / 8) as usize;
    let last = ((offset + u64::from(width) - 1) / 8) as usize;
    bytes[first..=last].copy_from_slice(&new[..=last - first]);
}

/// Sixteen bytes from that of a bit on, zero behind the end.
fn window(bytes: &[u8], offset: u64) -> [u8; 16] {
    let mut window = [0; 16];
    let rest = bytes.get((offset / 8) as usize..).unwrap_or(b"");
    let len = rest.len().min(window.len());
    window[..len].copy_from_slice(&rest[..len]);
    window
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bits(bytes: &[u8]) -> Vec<bool> {
        bytes.iter().flat_map(|byte| (0..8).map(move |i| byte >> (7 - i) & 1 == 1)).collect()
    }

    fn sparse_bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![8 => Just(0u8), 8 => Just(0xff), 1 => any::<u8>()];
        prop::collection::vec(byte, 1..60)
    }

    proptest! {
        #[test]
        fn ranges_are_counted_and_searched_as_bit_by_bit(bytes in sparse_bytes(), a in any::<u64>(), b in any::<u64>()) {
            let (all, total) = (bits(&bytes), bytes.len() as u64 * 8);
            let (first, last) = ((a % total).min(b % total), (a % total).max(b % total));
            let part = &all[first as usize..=last as usize];
            prop_assert_eq!(count(&bytes, first, last), part.iter().filter(|bit| **bit).count() as u64);
            for bit in [false, true] {
                let found = part.iter().position(|b| *b == bit).map(|at| at as u64 + first);
                prop_assert_eq!(find(&bytes, bit, first, last), found);
            }
        }

        #[test]
        fn fields_are_read_and_written_as_bit_by_bit(
            bytes in prop::collection::vec(any::<u8>(), 1..20), offset in 0..180u64, width in 1..=64u32, value in any::<u64>()
        ) {
            let mut all = bits(&bytes);
            all.resize(all.len().max((offset + u64::from(width)).next_multiple_of(8) as usize), false);
            let field = offset as usize..offset as usize + width as usize;
            let expected = all[field.clone()].iter().fold(0, |sum, bit| sum << 1 | u64::from(*bit));
            prop_assert_eq!(read(&bytes, offset, width), expected);
            let mut written = bytes;
            written.resize(all.len() / 8, 0);
            write(&mut written, offset, width, value);
            field.enumerate().for_each(|(i, at)| all[at] = value >> (width as usize - 1 - i) & 1 == 1);
            prop_assert_eq!(bits(&written), all);
        }
    }
}
