//! Two rankings of documents made one: what FT.HYBRID's COMBINE says.
//!
//! Reciprocal rank fusion (Cormack, Clarke, Büttcher 2009) asks only for a document's places in the rankings; the linear
//! combination weighs its scores. Both look at the first documents of each ranking, the window.

use std::{cmp::Ordering, collections::HashMap, hash::Hash};

use quiver_vector::Metric;

/// How rankings are combined.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fusion {
    /// The sum of 1 / (constant + place).
    ReciprocalRank {
        /// `CONSTANT`: how little the first places stand out.
        constant: f64,
        /// `WINDOW`
        window: usize,
    },
    /// The sum of the scores, each times its weight.
    Linear {
        /// `ALPHA`: of the text's score.
        alpha: f64,
        /// `BETA`: of the vector's.
        beta: f64,
        /// `WINDOW`
        window: usize,
    },
}

/// Documents of each ranking that are looked at where WINDOW does not say.
pub const WINDOW: usize = 20;

/// RRF's constant where CONSTANT does not say.
pub const CONSTANT: f64 = 60.0;

/// Weights of text and vector where ALPHA and BETA do not say.
pub const WEIGHTS: (f64, f64) = (0.3, 0.7);

impl Default for Fusion {
    fn default() -> Self {
        Self::ReciprocalRank { constant: CONSTANT, window: WINDOW }
    }
}

impl Fusion {
    /// Documents of each ranking that are looked at.
    pub fn window(&self) -> usize {
        match self {
            Self::ReciprocalRank { window, .. } | Self::Linear { window, .. } => *window,
        }
    }
}

/// A document of the combined ranking.
#[derive(Clone, Debug, PartialEq)]
pub struct Fused<D> {
    /// The document.
    pub doc: D,
    /// Its combined score.
    pub score: f64,
    /// Its score in the ranking by text, if it is there.
    pub text: Option<f64>,
    /// Its score in the ranking by vector, if it is there.
    pub vector: Option<f64>,
}

/// A score that is larger the nearer: 1 at no distance, 0 at the farthest.
pub fn similarity(metric: Metric, distance: f64) -> f64 {
    match metric {
        Metric::Cosine | Metric::InnerProduct => 1.0 - distance / 2.0,
        Metric::L2 => 1.0 / (1.0 + distance),
    }
}

/// Combines two rankings, each from the best down with its scores, and no document twice. The best comes first; equal
/// ones in the order of their documents.
pub fn fuse<D: Copy + Eq + Hash + Ord>(text: &[(D, f64)], vector: &[(D, f64)], fusion: Fusion) -> Vec<Fused<D>> {
    let window = fusion.window();
    let mut places: HashMap<D, usize> = HashMap::new();
    let mut all: Vec<Fused<D>> = Vec::new();
    let weights = match fusion {
        Fusion::Linear { alpha, beta, .. } => (alpha, beta),
        Fusion::ReciprocalRank { .. } => (1.0, 1.0),
    };
    for (ranking, weight, by_text) in [(text, weights.0, true), (vector, weights.1, false)] {
        for (rank, &(doc, score)) in (1_u32..).zip(ranking.iter().take(window)) {
            let place = *places.entry(doc).or_insert_with(|| {
                all.push(Fused { doc, score: 0.0, text: None, vector: None });
                all.len() - 1
            });
            let fused = &mut all[place];
            fused.score += match fusion {
                Fusion::ReciprocalRank { constant, .. } => 1.0 / (constant + f64::from(rank)),
                Fusion::Linear { .. } => weight * score,
            };
            *(if by_text { &mut fused.text } else { &mut fused.vector }) = Some(score);
        }
    }
    all.sort_unstable_by(|a, b| b.score.partial_cmp(&a.score).unwrap_or(Ordering::Equal).then(a.doc.cmp(&b.doc)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn docs(fused: &[Fused<u32>]) -> Vec<u32> {
        fused.iter().map(|fused| fused.doc).collect()
    }

    #[test]
    fn reciprocal_ranks_add_up() {
        let fused = fuse(&[(1, 9.0), (2, 5.0)], &[(2, 0.9), (3, 0.8)], Fusion::default());
        assert_eq!(docs(&fused), [2, 1, 3]);
        assert!((fused[0].score - (1.0 / 62.0 + 1.0 / 61.0)).abs() < 1e-12);
        assert!((fused[1].score - 1.0 / 61.0).abs() < 1e-12);
        assert_eq!((fused[0].text, fused[0].vector), (Some(5.0), Some(0.9)));
        assert_eq!((fused[2].text, fused[2].vector), (None, Some(0.8)));
    }

    #[test]
    fn scores_are_weighed() {
        let linear = Fusion::Linear { alpha: 0.25, beta: 0.75, window: 20 };
        let fused = fuse(&[(1, 2.0), (2, 1.0)], &[(2, 1.0), (3, 0.5)], linear);
        assert_eq!(docs(&fused), [2, 1, 3]);
        assert_eq!(fused.iter().map(|fused| fused.score).collect::<Vec<_>>(), [1.0, 0.5, 0.375]);
    }

    #[test]
    fn only_the_window_counts() {
        let fusion = Fusion::ReciprocalRank { constant: 60.0, window: 1 };
        let fused = fuse(&[(1, 2.0), (2, 1.0)], &[(1, 1.0), (3, 0.5)], fusion);
        assert_eq!(docs(&fused), [1]);
    }

    #[test]
    fn equal_documents_stand_in_their_own_order() {
        let fused = fuse(&[(9, 1.0)], &[(4, 1.0)], Fusion::default());
        assert_eq!(docs(&fused), [4, 9]);
    }

    #[test]
    fn nearer_is_more_similar() {
        assert_eq!(similarity(Metric::Cosine, 0.0), 1.0);
        assert_eq!(similarity(Metric::Cosine, 2.0), 0.0);
        assert_eq!(similarity(Metric::L2, 1.0), 0.5);
    }
}
