//! The promises Quiver makes against Redis, and whether a run kept them.

use serde::Serialize;

use crate::report::times;

/// Which side of the bound is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Quiver's figure over Redis' must not exceed the bound (costs).
    AtMost,
    /// Must reach the bound (speeds).
    AtLeast,
}

/// One promise and the ratio measured.
#[derive(Debug, Clone, Serialize)]
pub struct Bound {
    /// What was measured.
    pub what: String,
    /// Bound on the ratio Quiver / Redis.
    pub bound: f64,
    /// Direction of the bound.
    pub side: Side,
    /// Ratio of medians; `None` when the run did not measure it, which is a failure.
    pub measured: Option<f64>,
}

impl Bound {
    /// A cost that must be at most `bound` times Redis'.
    pub fn at_most(what: impl Into<String>, bound: f64, measured: Option<f64>) -> Self {
        Self { what: what.into(), bound, side: Side::AtMost, measured }
    }

    /// A speed that must be at least `bound` times Redis'.
    pub fn at_least(what: impl Into<String>, bound: f64, measured: Option<f64>) -> Self {
        Self { what: what.into(), bound, side: Side::AtLeast, measured }
    }

    /// Whether the promise was kept in this run.
    pub fn holds(&self) -> bool {
        self.measured.is_some_and(|ratio| match self.side {
            Side::AtMost => ratio <= self.bound,
            Side::AtLeast => ratio >= self.bound,
        })
    }

    /// `PASS what: 0.41x (at most 0.45x)`.
    pub fn verdict(&self) -> String {
        let word = if self.holds() { "PASS" } else { "FAIL" };
        let side = if self.side == Side::AtMost { "at most" } else { "at least" };
        let measured = self.measured.map_or("not measured".into(), |ratio| times(Some(ratio)));
        format!("{word} {}: {measured} ({side} {:.2}x)", self.what, self.bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_on_their_side_including_the_edge() {
        assert!(Bound::at_most("cpu", 0.45, Some(0.45)).holds() && !Bound::at_most("cpu", 0.45, Some(0.46)).holds());
        assert!(Bound::at_least("q/s", 3.0, Some(3.0)).holds() && !Bound::at_least("q/s", 3.0, Some(2.9)).holds());
    }

    #[test]
    fn what_was_not_measured_fails() {
        let bound = Bound::at_most("bytes per key", 0.58, None);
        assert_eq!(bound.verdict(), "FAIL bytes per key: not measured (at most 0.58x)");
    }
}
