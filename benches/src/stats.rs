//! The arithmetic of the reports: medians, ratios and queries/s at a given recall.
//!
//! Medians because one disturbed round must not move a figure. All functions are total: no data gives `None`.

/// Middle of `values` (mean of the two middle ones for an even number); `None` when empty.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// `ours / theirs`, where both exist and the division means something.
pub fn ratio(ours: Option<f64>, theirs: Option<f64>) -> Option<f64> {
    let ratio = ours? / theirs.filter(|theirs| *theirs > 0.0)?;
    ratio.is_finite().then_some(ratio)
}

/// One point of a recall/speed curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvePoint {
    /// Share of the true neighbours found, 0..=1.
    pub recall: f64,
    /// Queries per second at that setting.
    pub queries_per_s: f64,
}

/// Queries per second at `recall`, on the curve `points` given in ascending order of effort (EF).
///
/// Between the last point below and the first at or above `recall` the logarithm of the speed is interpolated linearly.
/// A curve that starts above `recall` answers its first point (an understatement); one that never gets there, `None`.
pub fn queries_per_s_at(points: &[CurvePoint], recall: f64) -> Option<f64> {
    let above = points.iter().position(|point| point.recall >= recall)?;
    let high = points[above];
    let Some(low) = above.checked_sub(1).map(|below| points[below]) else {
        return Some(high.queries_per_s);
    };
    let share = (recall - low.recall) / (high.recall - low.recall);
    Some((low.queries_per_s.ln() * (1.0 - share) + high.queries_per_s.ln() * share).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(points: &[(f64, f64)]) -> Vec<CurvePoint> {
        points.iter().map(|&(recall, queries_per_s)| CurvePoint { recall, queries_per_s }).collect()
    }

    #[test]
    fn median_ignores_one_wild_round() {
        assert_eq!(median([3.0, 900.0, 1.0]), Some(3.0));
        assert_eq!(median([1.0, 2.0, 3.0, 900.0]), Some(2.5));
        assert_eq!(median([]), None);
    }

    #[test]
    fn ratio_needs_both_sides_and_a_divisor() {
        assert_eq!(ratio(Some(1.0), Some(4.0)), Some(0.25));
        assert_eq!(ratio(Some(1.0), None), None);
        assert_eq!(ratio(Some(1.0), Some(0.0)), None);
    }

    #[test]
    fn speed_at_a_recall_is_interpolated_geometrically() {
        let points = curve(&[(0.90, 1000.0), (1.0, 250.0)]);
        let found = queries_per_s_at(&points, 0.95).unwrap();
        assert!((found - 500.0).abs() < 1e-6, "{found}");
    }

    #[test]
    fn a_curve_that_starts_above_answers_its_first_point() {
        assert_eq!(queries_per_s_at(&curve(&[(0.97, 800.0), (0.99, 400.0)]), 0.95), Some(800.0));
    }

    #[test]
    fn a_curve_that_never_gets_there_has_no_speed() {
        assert_eq!(queries_per_s_at(&curve(&[(0.5, 800.0), (0.9, 400.0)]), 0.95), None);
        assert_eq!(queries_per_s_at(&[], 0.95), None);
    }
}
