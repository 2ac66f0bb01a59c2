//! A link between two nodes, and the randomness that drives it.

/// Splitmix64: a seed gives a schedule, always the same.
#[derive(Clone, Debug)]
pub(crate) struct Rng(pub u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn id(&mut self) -> String {
        let words = [self.next(), self.next(), self.next()];
        words.iter().map(|word| format!("{word:016x}")).collect::<String>()[..40].to_owned()
    }
}

/// Bytes under way, in order; a cut loses them all.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    pub(crate) up: Vec<u8>,
    pub(crate) down: Vec<u8>,
}

/// Takes up to `max` bytes off a queue.
pub(crate) fn take(queue: &mut Vec<u8>, max: usize) -> Vec<u8> {
    queue.drain(..queue.len().min(max)).collect()
}
