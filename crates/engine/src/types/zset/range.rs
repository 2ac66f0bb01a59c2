//! Ranges of scores and of members.

/// An interval of scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreRange {
    /// Lower end.
    pub min: f64,
    /// Upper end.
    pub max: f64,
    /// The lower end is not part of it.
    pub min_excluded: bool,
    /// The upper end is not part of it.
    pub max_excluded: bool,
}

impl ScoreRange {
    /// Whether a score lies below the range.
    pub fn is_above(&self, score: f64) -> bool {
        score < self.min || self.min_excluded && score == self.min
    }

    /// Whether a score lies within the range or below it.
    pub fn reaches(&self, score: f64) -> bool {
        score < self.max || !self.max_excluded && score == self.max
    }
}

/// One end of an interval of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound<'a> {
    /// Before all members ("-").
    First,
    /// Behind all members ("+").
    Last,
    /// At a member, with it.
    With(&'a [u8]),
    /// At a member, without it.
    Without(&'a [u8]),
}

/// An interval of members in the order of their bytes, for sets whose scores are all equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LexRange<'a> {
    /// Lower end.
    pub min: Bound<'a>,
    /// Upper end.
    pub max: Bound<'a>,
}

impl LexRange<'_> {
    /// Whether a member lies below the range.
    pub fn is_above(&self, member: &[u8]) -> bool {
        match self.min {
            Bound::First => false,
            Bound::Last => true,
            Bound::With(end) => member < end,
            Bound::Without(end) => member <= end,
        }
    }

    /// Whether a member lies within the range or below it.
    pub fn reaches(&self, member: &[u8]) -> bool {
        match self.max {
            Bound::First => false,
            Bound::Last => true,
            Bound::With(end) => member <= end,
            Bound::Without(end) => member < end,
        }
    }
}
