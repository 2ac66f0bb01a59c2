//! How much one listpack of a list holds: `list-max-listpack-size`, as Redis reads it.

use quiver_structures::listpack::ListPack;

/// Most that one listpack holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Number of elements; or -1 to -5 for 4 to 64 KiB.
    pub fill: i64,
    /// Elements of this length and more get a node of their own, 0 for those that fill a listpack (DEBUG
    /// QUICKLIST-PACKED-THRESHOLD).
    pub plain_bytes: usize,
}

/// Most elements that `fill` can ask for.
const COUNT_MAX: i64 = 32_767;

/// Bytes of a listpack whose limit is a number of elements.
const BYTES_MAX_WHEN_COUNTED: usize = 8192;

/// Header and length of an element, generously.
const OVERHEAD_BYTES: usize = 8;

impl Default for Limits {
    fn default() -> Self {
        Self { fill: -2, plain_bytes: 0 }
    }
}

impl Limits {
    /// Bytes and elements a listpack may have.
    fn most(self) -> (usize, usize) {
        match self.fill {
            ..0 => (4096 << (-self.fill.max(-5) - 1), usize::MAX),
            fill => (BYTES_MAX_WHEN_COUNTED, fill.clamp(1, COUNT_MAX) as usize),
        }
    }

    /// Whether a listpack of this size is too large.
    pub(super) fn exceeded_by(self, bytes: usize, count: usize) -> bool {
        let (bytes_max, count_max) = self.most();
        bytes > bytes_max || count > count_max
    }

    /// Whether an element gets a node of its own.
    pub(super) fn is_large(self, bytes: usize) -> bool {
        if self.plain_bytes > 0 { bytes >= self.plain_bytes } else { bytes > self.most().0 }
    }

    /// Whether a listpack takes an element of this length, which is not large.
    pub(super) fn has_room(self, list: &ListPack, bytes: usize) -> bool {
        !self.exceeded_by(list.as_bytes().len() + bytes + OVERHEAD_BYTES, list.len() + 1)
    }

    /// Whether two listpacks fit into one.
    pub(super) fn fit_together(self, a: &ListPack, b: &ListPack) -> bool {
        /// The header and the end that only one of them keeps.
        const FRAME_BYTES: usize = 7;
        !self.exceeded_by(a.as_bytes().len() + b.as_bytes().len() - FRAME_BYTES, a.len() + b.len())
    }

    /// Whether a quicklist's only listpack may stand alone; `halved`: is at most half as large as it may be.
    pub(super) fn is_small(self, list: &ListPack, halved: bool) -> bool {
        let (bytes, count) = match (self.fill, self.most()) {
            (..0, (bytes, _)) => (bytes, usize::MAX),
            // A number of elements says nothing of bytes here.
            (_, (_, count)) => (usize::MAX, count),
        };
        let by = if halved { 2 } else { 1 };
        list.as_bytes().len() <= bytes / by && list.len() <= count / by
    }
}
