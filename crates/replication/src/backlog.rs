//! The remembered end of the stream, addressed by absolute offsets.
//!
//! Offsets count bytes of the stream since its identity began; the backlog holds `[start, end)`. It normally keeps its
//! capacity's worth; while somebody still needs older bytes (a full synchronisation under way) it may grow to a limit,
//! beyond which the oldest bytes go all the same and that somebody has to start again.

use std::collections::VecDeque;

/// The end of a stream.
#[derive(Debug)]
pub struct Backlog {
    bytes: VecDeque<u8>,
    end: u64,
    capacity: usize,
    limit: usize,
    /// Offsets from which somebody will still read, by token.
    pins: Vec<(u64, u64)>,
    last_token: u64,
}

impl Backlog {
    /// An empty backlog at `end` that keeps `capacity` bytes, and up to `limit` for those who hold a pin.
    pub fn new(end: u64, capacity: usize, limit: usize) -> Self {
        Self { bytes: VecDeque::new(), end, capacity, limit: limit.max(capacity), pins: Vec::new(), last_token: 0 }
    }

    /// Offset of the oldest byte held.
    pub fn start(&self) -> u64 {
        self.end - self.bytes.len() as u64
    }

    /// Offset behind the newest byte.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Bytes held.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes kept for whoever comes back.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Adds to the end and forgets what is too old.
    pub fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        self.end += bytes.len() as u64;
        self.trim();
    }

    /// Copies up to `max` bytes from `offset` on to `out`; `false` when they are forgotten (or not written yet).
    pub fn read(&self, offset: u64, max: usize, out: &mut Vec<u8>) -> bool {
        if offset < self.start() || offset > self.end {
            return false;
        }
        let from = (offset - self.start()) as usize;
        let to = self.bytes.len().min(from.saturating_add(max));
        let (front, back) = self.bytes.as_slices();
        out.extend_from_slice(&front[from.min(front.len())..to.min(front.len())]);
        out.extend_from_slice(&back[from.max(front.len()) - front.len()..to.max(front.len()) - front.len()]);
        true
    }

    /// Keeps everything from `offset` on, within the limit, until the pin is moved or dropped. Gives its token.
    pub fn pin(&mut self, offset: u64) -> u64 {
        self.last_token += 1;
        self.pins.push((self.last_token, offset));
        self.last_token
    }

    /// The holder of a pin has read up to `offset`.
    pub fn move_pin(&mut self, token: u64, offset: u64) {
        if let Some((_, pinned)) = self.pins.iter_mut().find(|(known, _)| *known == token) {
            *pinned = offset;
        }
        self.trim();
    }

    /// The holder of a pin needs it no more.
    pub fn unpin(&mut self, token: u64) {
        self.pins.retain(|(known, _)| *known != token);
        self.trim();
    }

    /// Starts over at `end` with nothing remembered (a new identity, or another primary's stream).
    pub fn reset(&mut self, end: u64) {
        self.bytes = VecDeque::new();
        self.end = end;
    }

    /// Changes the number of bytes kept.
    pub fn set_capacity(&mut self, capacity: usize, limit: usize) {
        (self.capacity, self.limit) = (capacity, limit.max(capacity));
        self.trim();
    }

    fn trim(&mut self) {
        let needed = self.pins.iter().map(|(_, offset)| self.end.saturating_sub(*offset)).max().unwrap_or(0);
        let keep = usize::try_from(needed).unwrap_or(usize::MAX).max(self.capacity).min(self.limit);
        if self.bytes.len() > keep {
            self.bytes.drain(..self.bytes.len() - keep);
        }
        if self.bytes.capacity() > 4 * keep.max(self.bytes.len()) {
            self.bytes.shrink_to(2 * keep);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_held_equals_the_end_of_the_whole_stream(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..60), capacity in 1usize..64) {
            let mut backlog = Backlog::new(7, capacity, capacity);
            let mut whole = Vec::new();
            for piece in &pieces {
                backlog.append(piece);
                whole.extend_from_slice(piece);
                prop_assert_eq!(backlog.end(), 7 + whole.len() as u64);
                prop_assert_eq!(backlog.len(), whole.len().min(capacity));
                for offset in backlog.start()..=backlog.end() {
                    let mut read = Vec::new();
                    prop_assert!(backlog.read(offset, 5, &mut read));
                    let from = (offset - 7) as usize;
                    prop_assert_eq!(&read[..], &whole[from..whole.len().min(from + 5)]);
                }
                prop_assert!(!backlog.read(backlog.end() + 1, 1, &mut Vec::new()));
            }
        }
    }

    #[test]
    fn a_pin_keeps_old_bytes_up_to_the_limit() {
        let mut backlog = Backlog::new(0, 4, 10);
        let token = backlog.pin(0);
        backlog.append(b"12345678");
        assert_eq!(backlog.start(), 0);
        backlog.append(b"9abcdef");
        assert_eq!((backlog.start(), backlog.len()), (5, 10));
        backlog.move_pin(token, 13);
        assert_eq!(backlog.len(), 4);
        backlog.unpin(token);
        assert!(!backlog.read(2, 1, &mut Vec::new()));
    }
}
