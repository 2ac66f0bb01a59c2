//! LZF, the byte-oriented compression of long strings in the format.
//!
//! A control byte below 32 is followed by that many plus one literal bytes. Any other begins a back reference: its
//! top three bits hold the match length minus 2 (7: another byte adds to it), its low five bits and the byte after
//! those hold the distance minus 1, at most 8191. Source: the description in Marc Lehmann's LibLZF.
//!
//! The compressor is greedy with one candidate per hash, and skips ahead faster the longer it has found nothing, so
//! that incompressible strings cost little. Both directions are bounded by their inputs.

use thiserror::Error as ThisError;

/// The farthest a back reference reaches.
const DISTANCE_MAX: usize = 1 << 13;
/// The longest match one reference holds.
const MATCH_MAX: usize = 264;
/// The longest run of literals under one control byte.
const LITERAL_MAX: usize = 32;
/// Three bytes give at most 264: no stream expands further.
const EXPANSION_MAX: usize = 88;

/// A stream that no compressor produces, or whose size differs from the one announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ThisError)]
pub enum DamagedLzf {
    /// The stream ends inside a run or a reference.
    #[error("it ends in the middle of a run")]
    Truncated,
    /// A reference points before the first byte.
    #[error("a reference points before the start")]
    Distance,
    /// It unpacks to another length than announced.
    #[error("it does not unpack to the announced length")]
    Length,
}

/// Appends the compressed form of `input` to `out` and returns its length, or leaves `out` as it was and returns
/// `None` if that would take more than `budget` bytes.
///
/// Cost: one pass, no allocation besides `out`; inputs from 4 GiB on are refused.
pub fn compress(input: &[u8], out: &mut Vec<u8>, budget: usize) -> Option<usize> {
    // A table that fits the input: clearing it must not cost more than the pass over a short string.
    match input.len() {
        0..=511 => compress_with(input, out, budget, &mut [0u32; 1 << 8]),
        512..=8191 => compress_with(input, out, budget, &mut [0u32; 1 << 11]),
        8192..=0xffff_fffe => compress_with(input, out, budget, &mut [0u32; 1 << 14]),
        _ => None,
    }
}

/// Appends to `out` the `len` bytes that `input` unpacks to.
///
/// # Errors
/// [`DamagedLzf`]; `out` then holds an unspecified tail. Memory is bounded by 88 times the input.
pub fn decompress(input: &[u8], len: usize, out: &mut Vec<u8>) -> Result<(), DamagedLzf> {
    if len > input.len().saturating_mul(EXPANSION_MAX) {
        return Err(DamagedLzf::Length);
    }
    let start = out.len();
    let end = start + len;
    out.reserve(len);
    let mut rest = input;
    while let Some((&control, tail)) = rest.split_first() {
        if usize::from(control) < LITERAL_MAX {
            let (run, tail) = tail.split_at_checked(usize::from(control) + 1).ok_or(DamagedLzf::Truncated)?;
            out.extend_from_slice(run);
            rest = tail;
        } else {
            rest = copy_match(control, tail, start, out)?;
        }
        if out.len() > end {
            return Err(DamagedLzf::Length);
        }
    }
    if out.len() == end { Ok(()) } else { Err(DamagedLzf::Length) }
}

/// Appends what the reference beginning with `control` stands for; returns the input after it.
fn copy_match<'i>(control: u8, tail: &'i [u8], start: usize, out: &mut Vec<u8>) -> Result<&'i [u8], DamagedLzf> {
    let mut len = usize::from(control >> 5) + 2;
    let mut tail = tail;
    if control >> 5 == 7 {
        let (&more, after) = tail.split_first().ok_or(DamagedLzf::Truncated)?;
        len += usize::from(more);
        tail = after;
    }
    let (&low, tail) = tail.split_first().ok_or(DamagedLzf::Truncated)?;
    let distance = (usize::from(control & 31) << 8 | usize::from(low)) + 1;
    if distance > out.len() - start {
        return Err(DamagedLzf::Distance);
    }
    let mut from = out.len() - distance;
    while len > 0 {
        // A match may overlap itself: each round doubles what can be copied at once.
        let step = len.min(out.len() - from);
        out.extend_from_within(from..from + step);
        from += step;
        len -= step;
    }
    Ok(tail)
}

/// [`compress`] with a hash table of N entries, each the position after the last one seen (0: none).
fn compress_with<const N: usize>(
    input: &[u8],
    out: &mut Vec<u8>,
    budget: usize,
    table: &mut [u32; N],
) -> Option<usize> {
    let start = out.len();
    let (mut at, mut literal_from) = (0, 0);
    while let Some(window) = input.get(at..at + 4) {
        let word = u32::from_le_bytes(window.try_into().expect("the window has four bytes")) & 0xff_ffff;
        let slot = &mut table[(word.wrapping_mul(0x9e37_79b1) >> (32 - N.trailing_zeros())) as usize & (N - 1)];
        let candidate = std::mem::replace(slot, at as u32 + 1) as usize;
        let found = match candidate.checked_sub(1) {
            Some(from) if at - from <= DISTANCE_MAX => match_len(input, from, at),
            _ => 0,
        };
        if found < 3 {
            at += 1 + ((at - literal_from) >> 5);
            continue;
        }
        put_literals(&input[literal_from..at], out);
        put_match(found, at + 1 - candidate, out);
        if out.len() - start > budget {
            break;
        }
        at += found;
        literal_from = at;
    }
    // The test inside the loop may have stopped it early; the same one decides here, with the tail counted.
    let tail = input.len() - literal_from;
    if out.len() - start + tail + tail.div_ceil(LITERAL_MAX) > budget {
        out.truncate(start);
        return None;
    }
    put_literals(&input[literal_from..], out);
    Some(out.len() - start)
}

/// How many bytes from `at` on equal those from `from` on, at most [`MATCH_MAX`].
fn match_len(input: &[u8], from: usize, at: usize) -> usize {
    let limit = MATCH_MAX.min(input.len() - at);
    let (old, new) = (&input[from..from + limit], &input[at..at + limit]);
    let mut len = 0;
    for (a, b) in old.chunks_exact(8).zip(new.chunks_exact(8)) {
        let differ = u64::from_le_bytes(a.try_into().expect("chunks of 8"))
            ^ u64::from_le_bytes(b.try_into().expect("chunks of 8"));
        if differ != 0 {
            return len + differ.trailing_zeros() as usize / 8;
        }
        len += 8;
    }
    len + old[len..].iter().zip(&new[len..]).take_while(|(a, b)| a == b).count()
}

fn put_literals(literals: &[u8], out: &mut Vec<u8>) {
    for run in literals.chunks(LITERAL_MAX) {
        out.push(run.len() as u8 - 1);
        out.extend_from_slice(run);
    }
}

/// `distance` counts from 1, `len` from 3.
fn put_match(len: usize, distance: usize, out: &mut Vec<u8>) {
    let (len, distance) = (len - 2, distance - 1);
    let high = (distance >> 8) as u8;
    if len < 7 {
        out.push((len as u8) << 5 | high);
    } else {
        out.extend_from_slice(&[7 << 5 | high, (len - 7) as u8]);
    }
    out.push(distance as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unpack(packed: &[u8], len: usize) -> Result<Vec<u8>, DamagedLzf> {
        let mut out = b"before".to_vec();
        decompress(packed, len, &mut out)?;
        Ok(out.split_off(6))
    }

    #[test]
    fn repetition_shrinks_and_returns() {
        for input in [vec![b'a'; 100_000], b"abcdefgh".repeat(40), (0..=255).cycle().take(30_000).collect()] {
            let mut packed = Vec::new();
            let len = compress(&input, &mut packed, input.len()).expect("repetition compresses");
            assert!(len < input.len() / 8 + 300, "{len} of {}", input.len());
            assert_eq!(unpack(&packed, input.len()).unwrap(), input);
        }
    }

    #[test]
    fn what_does_not_fit_the_budget_leaves_no_trace() {
        let mut out = b"kept".to_vec();
        assert_eq!(compress(b"0123456789abcdefghijklmnopqrstuvwxyz", &mut out, 32), None);
        assert_eq!(out, b"kept");
    }

    #[test]
    fn known_streams_unpack() {
        assert_eq!(unpack(&[0, b'a', 0xe0, 90, 0], 100).unwrap(), vec![b'a'; 100]);
        assert_eq!(unpack(&[2, b'a', b'b', b'c', 0x80, 2], 9).unwrap(), b"abcabcabc");
    }

    #[test]
    fn damage_is_named() {
        assert_eq!(unpack(&[5, b'a'], 6), Err(DamagedLzf::Truncated));
        assert_eq!(unpack(&[0, b'a', 0xe0], 50), Err(DamagedLzf::Truncated));
        assert_eq!(unpack(&[0, b'a', 0x20, 1], 4), Err(DamagedLzf::Distance));
        assert_eq!(unpack(&[0, b'a'], 2), Err(DamagedLzf::Length));
        assert_eq!(unpack(&[0, b'a'], usize::MAX), Err(DamagedLzf::Length));
    }

    proptest! {
        #[test]
        fn round_trip(seed in proptest::collection::vec(0u8..6, 0..400), times in 1usize..60) {
            let input: Vec<u8> = seed.repeat(times);
            let mut packed = Vec::new();
            if let Some(len) = compress(&input, &mut packed, input.len() * 2) {
                prop_assert_eq!(len, packed.len());
                prop_assert_eq!(unpack(&packed, input.len()).unwrap(), input);
            }
        }

        #[test]
        fn any_bytes_unpack_to_something_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200), len in 0usize..4000) {
            if let Ok(out) = unpack(&bytes, len) {
                prop_assert_eq!(out.len(), len);
            }
        }
    }
}
