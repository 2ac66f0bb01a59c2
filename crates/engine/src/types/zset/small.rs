//! A small sorted set: a listpack of member, score, member, score, ... in order. All costs are O(n).
//!
//! Scores that are integers are kept as integers, others as their shortest text, as Redis does; so a small set has only
//! one zero, where a large one has two that are equal.

use std::ops::Range;

use quiver_resp::DoubleText;
use quiver_structures::listpack::{Item, ListPack, Place};

use crate::number::parse_f64;
use crate::types::hash::ItemText;

/// A score on its way into a listpack.
enum ScoreText {
    Int(i64),
    Text(DoubleText),
}

impl ScoreText {
    fn new(score: f64) -> Self {
        /// Integers up to here are exact and come back as the same double.
        const EXACT_MAX: f64 = 4_611_686_018_427_387_904.0;
        if score.abs() <= EXACT_MAX && score == score.trunc() {
            return Self::Int(score as i64);
        }
        Self::Text(DoubleText::new(score))
    }

    fn item(&self) -> Item<'_> {
        match self {
            Self::Int(int) => Item::Int(*int),
            Self::Text(text) => Item::Str(text.as_bytes()),
        }
    }
}

/// The score an item is; `None` when it is none.
pub(super) fn score_of(item: Item<'_>) -> Option<f64> {
    match item {
        Item::Int(int) => Some(int as f64),
        Item::Str(text) => parse_f64(text),
    }
}

/// Members and scores in order.
pub(super) fn pairs(list: &ListPack) -> impl Iterator<Item = (Item<'_>, f64)> {
    let mut items = list.iter();
    std::iter::from_fn(move || {
        let member = items.next()?;
        Some((member, known_score(items.next())))
    })
}

/// Members and scores from the last to the first.
fn pairs_back(list: &ListPack) -> impl Iterator<Item = (Item<'_>, f64)> {
    let mut items = list.iter().rev();
    std::iter::from_fn(move || {
        let score = known_score(Some(items.next()?));
        Some((items.next().expect("a score has a member before it"), score))
    })
}

pub(super) fn score(list: &ListPack, member: &[u8]) -> Option<f64> {
    find(list, member).map(|(_, score)| score)
}

/// Adds a member that is not there.
pub(super) fn insert(list: &mut ListPack, member: &[u8], score: f64) {
    let text = ScoreText::new(score);
    let new = [Item::Str(member), text.item()];
    match place_behind(list, member, score) {
        Some(place) => list.insert(place, &new),
        None => list.extend(&new),
    }
}

/// Removes a member; the score it had.
pub(super) fn remove(list: &mut ListPack, member: &[u8]) -> Option<f64> {
    let (place, score) = find(list, member)?;
    list.remove(place, 2);
    Some(score)
}

pub(super) fn remove_range(list: &mut ListPack, range: Range<usize>) {
    if let Some(place) = list.at(range.start * 2) {
        list.remove(place, range.len() * 2);
    }
}

/// Calls `visit` for `count` entries from rank `first` on, or from there down when `back`, until it answers `false`.
pub(super) fn visit(
    list: &ListPack,
    first: usize,
    count: usize,
    back: bool,
    visit: &mut dyn FnMut(&[u8], f64) -> bool,
) {
    let mut each = |(member, score)| visit(ItemText::new(member).as_bytes(), score);
    if back {
        let behind = list.len() / 2 - 1 - first.min(list.len() / 2 - 1);
        let _all = pairs_back(list).skip(behind).take(count).all(&mut each);
    } else {
        let _all = pairs(list).skip(first).take(count).all(&mut each);
    }
}

fn known_score(item: Option<Item<'_>>) -> f64 {
    item.and_then(score_of).expect("every member of a sorted set has a score behind it")
}

fn find(list: &ListPack, member: &[u8]) -> Option<(Place, f64)> {
    let place = list.find(member, 2)?;
    let score = list.next(place).map(|place| list.item(place));
    Some((place, known_score(score)))
}

/// Where the first entry stands that is behind the given one.
fn place_behind(list: &ListPack, member: &[u8], score: f64) -> Option<Place> {
    let mut place = list.first()?;
    loop {
        let at = list.next(place).expect("every member of a sorted set has a score behind it");
        let known = known_score(Some(list.item(at)));
        let behind = known > score || known == score && ItemText::new(list.item(place)).as_bytes() > member;
        if behind {
            return Some(place);
        }
        place = list.next(at)?;
    }
}
