//! Inputs made from others by small changes: what breaks parsers is mostly right.

use crate::differential::random::Rng;

/// Bytes and numbers that sit at the edges of formats.
const EDGES: [u8; 16] = [0, 1, 2, 0x7f, 0x80, 0x81, 0xbf, 0xc0, 0xc3, 0xc4, 0xe0, 0xf0, 0xf4, 0xfe, 0xff, b'\n'];

/// Inputs grow no longer than this.
const LEN_MAX: usize = 64 * 1024;

/// A sequence of inputs, fixed by its seed.
#[derive(Clone, Debug)]
pub struct Mutator(Rng);

impl Mutator {
    /// Starts from a number.
    pub const fn new(seed: u64) -> Self {
        Self(Rng::new(seed))
    }

    /// True once in `n` times.
    pub const fn one_in(&mut self, n: usize) -> bool {
        self.0.one_in(n)
    }

    /// A number below `bound`, which must not be 0.
    pub const fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound)
    }

    /// The next input: one of the seeds or of what was kept, with a few changes.
    pub fn next(&mut self, seeds: &[Vec<u8>], kept: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = self.base(seeds, kept);
        for _ in 0..1 + self.0.below(4) {
            let other = if self.0.one_in(8) { self.base(seeds, kept) } else { Vec::new() };
            self.change(&mut bytes, &other);
        }
        bytes.truncate(LEN_MAX);
        bytes
    }

    fn base(&mut self, seeds: &[Vec<u8>], kept: &[Vec<u8>]) -> Vec<u8> {
        if seeds.is_empty() || (!kept.is_empty() && self.0.one_in(3)) {
            return if kept.is_empty() { Vec::new() } else { self.0.pick(kept).clone() };
        }
        self.0.pick(seeds).clone()
    }

    /// One change; with another input at hand, a part of it may be put in.
    pub fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        if bytes.is_empty() {
            bytes.push(self.0.next() as u8);
            return;
        }
        let at = self.0.below(bytes.len());
        match self.0.below(11) {
            0 | 1 => bytes[at] ^= 1 << self.0.below(8),
            2 => bytes[at] = self.0.next() as u8,
            3 => bytes[at] = *self.0.pick(&EDGES),
            4 => bytes[at] = bytes[at].wrapping_add(if self.0.one_in(2) { 1 } else { 0xff }),
            5 => {
                let end = (at + 1 + self.0.below(8)).min(bytes.len());
                bytes.drain(at..end);
            }
            6 => {
                let piece: Vec<u8> = (0..1 + self.0.below(8)).map(|_| self.0.next() as u8).collect();
                bytes.splice(at..at, piece);
            }
            7 => {
                let end = (at + 1 + self.0.below(32)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = self.0.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            8 => bytes.truncate(at),
            9 => {
                let end = (at + 1 + self.0.below(16)).min(bytes.len());
                bytes[at..end].fill(if self.0.one_in(2) { 0 } else { 0xff });
            }
            _ if !other.is_empty() => {
                let from = self.0.below(other.len());
                let piece = other[from..(from + 1 + self.0.below(64)).min(other.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                let to = self.0.below(bytes.len());
                bytes.swap(at, to);
            }
        }
    }
}
