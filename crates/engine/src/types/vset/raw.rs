//! Vectors in the forms they are kept in, as VEMB RAW shows them and snapshots hold them.

use quiver_rdb::vectorset::Quantisation;

/// The vector of an element as it is kept.
#[derive(Debug)]
pub enum RawVector {
    /// Normalised components.
    F32(Vec<f32>),
    /// Component `i` is `code[i] * range / 127`.
    Int8 {
        /// One byte each.
        code: Vec<i8>,
        /// What 127 stands for.
        range: f32,
    },
    /// Signs as bits of little-endian words, set for positive components.
    Binary(Vec<u8>),
}

impl RawVector {
    /// The name VEMB gives the form.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::F32(_) => "f32",
            Self::Int8 { .. } => "int8",
            Self::Binary(_) => "bin",
        }
    }

    /// What 127 stands for in bytes; zero in the other forms.
    pub fn range(&self) -> f32 {
        if let Self::Int8 { range, .. } = self { *range } else { 0.0 }
    }

    /// Appends the components, little-endian, without the range.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::F32(vector) => out.extend(vector.iter().flat_map(|x| x.to_le_bytes())),
            Self::Int8 { code, .. } => out.extend(code.iter().map(|code| *code as u8)),
            Self::Binary(bits) => out.extend_from_slice(bits),
        }
    }
}

/// Bits in whole little-endian words.
pub(super) fn to_words(bits: &[u8], dim: usize) -> Vec<u8> {
    let mut words = bits.to_vec();
    words.resize(Quantisation::Binary.vector_len(dim), 0);
    words
}

/// The range that divided by 127 gives `scale` exactly, so that a stored code is read as what it was. There is one,
/// since scales are made by that division; rounding puts it within a step or two of the product.
pub(super) fn range_of(scale: f32) -> f32 {
    let near = scale * 127.0;
    let candidates = [near, near.next_up(), near.next_down(), near.next_up().next_up(), near.next_down().next_down()];
    candidates.into_iter().find(|range| range / 127.0 == scale).unwrap_or(near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_fill_whole_words() {
        let bits: Vec<u8> = (0..9).collect();
        let words = to_words(&bits, 70);
        assert_eq!((words.len(), &words[..9], &words[9..]), (16, &bits[..], &[0; 7][..]));
    }

    #[test]
    fn every_scale_made_by_a_division_has_its_range() {
        let mut rng = crate::rng::Rng::new(3);
        for _ in 0..100_000 {
            let max = (rng.below(1 << 24) as f32 + 1.0) / (1 << 24) as f32;
            let scale = max / 127.0;
            assert_eq!(range_of(scale) / 127.0, scale);
        }
        assert_eq!(range_of(0.0), 0.0);
    }
}
