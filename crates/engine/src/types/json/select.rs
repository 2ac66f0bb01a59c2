//! The nodes a path leads to, in the order of the document.
//!
//! A walk is bounded: paths with several `..` visit nodes again and again, and a condition may hold paths of its own.

use super::path::{Path, Selector, Step};
use super::{Node, Place};

/// Most nodes one evaluation may visit.
const VISITS_MAX: usize = 10_000_000;

/// A path visits more nodes than one command may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ERR the path visits too many nodes")]
pub struct TooFar;

impl Path {
    /// The places of the matches; of a path in the older form that of the first.
    ///
    /// # Errors
    /// The path visits too many nodes.
    pub fn places(&self, root: &Node) -> Result<Vec<Place>, TooFar> {
        let mut places = self.all_places(root)?;
        if self.is_legacy {
            places.truncate(1);
        }
        Ok(places)
    }

    /// The places of all matches, in whichever form it was written: a change concerns them all.
    ///
    /// # Errors
    /// The path visits too many nodes.
    pub fn all_places(&self, root: &Node) -> Result<Vec<Place>, TooFar> {
        let mut places = Vec::new();
        let mut walk = Walk { root, place: Vec::new(), visits: VISITS_MAX };
        walk.follow(&self.steps, root, &mut |place, _| places.push(place.to_vec()))?;
        Ok(places)
    }

    /// The matches; of a path in the older form the first.
    ///
    /// # Errors
    /// The path visits too many nodes.
    pub fn select<'n>(&self, root: &'n Node) -> Result<Vec<&'n Node>, TooFar> {
        let mut found = Vec::new();
        let mut walk = Walk { root, place: Vec::new(), visits: VISITS_MAX };
        walk.follow(&self.steps, root, &mut |_, node| found.push(node))?;
        if self.is_legacy {
            found.truncate(1);
        }
        Ok(found)
    }
}

/// A walk over a document.
pub(super) struct Walk<'n> {
    pub(super) root: &'n Node,
    place: Place,
    visits: usize,
}

impl<'n> Walk<'n> {
    /// Calls `found` for every node that `steps` lead to from `node`.
    pub(super) fn follow(
        &mut self,
        steps: &[Step],
        node: &'n Node,
        found: &mut dyn FnMut(&[usize], &'n Node),
    ) -> Result<(), TooFar> {
        self.visits = self.visits.checked_sub(1).ok_or(TooFar)?;
        let Some((step, rest)) = steps.split_first() else {
            found(&self.place, node);
            return Ok(());
        };
        self.choose(&step.selector, rest, node, found)?;
        if step.deep {
            for at in 0..node.child_count() {
                self.enter(at, node, |walk, child| walk.follow(steps, child, found))?;
            }
        }
        Ok(())
    }

    /// Runs `inside` with the child at a position.
    fn enter(
        &mut self,
        at: usize,
        node: &'n Node,
        inside: impl FnOnce(&mut Self, &'n Node) -> Result<(), TooFar>,
    ) -> Result<(), TooFar> {
        let Some(child) = node.child(at) else { return Ok(()) };
        self.place.push(at);
        let result = inside(self, child);
        self.place.pop();
        result
    }

    fn choose(
        &mut self,
        selector: &Selector,
        rest: &[Step],
        node: &'n Node,
        found: &mut dyn FnMut(&[usize], &'n Node),
    ) -> Result<(), TooFar> {
        match (selector, node) {
            (Selector::Names(names), Node::Object(_)) => {
                for (at, _) in names.iter().filter_map(|name| node.field(name)) {
                    self.enter(at, node, |walk, child| walk.follow(rest, child, found))?;
                }
            }
            (Selector::Indices(indices), Node::Array(items)) => {
                for at in indices.iter().filter_map(|index| position(*index, items.len())) {
                    self.enter(at, node, |walk, child| walk.follow(rest, child, found))?;
                }
            }
            (Selector::Slice { start, end, step }, Node::Array(items)) => {
                let range = bound(start.unwrap_or(0), items.len())..bound(end.unwrap_or(i64::MAX), items.len());
                for at in range.step_by(*step) {
                    self.enter(at, node, |walk, child| walk.follow(rest, child, found))?;
                }
            }
            (Selector::All, _) => {
                for at in 0..node.child_count() {
                    self.enter(at, node, |walk, child| walk.follow(rest, child, found))?;
                }
            }
            (Selector::Filter(condition), Node::Array(items)) => {
                for (at, item) in items.iter().enumerate() {
                    if condition.holds(self, item)? {
                        self.enter(at, node, |walk, child| walk.follow(rest, child, found))?;
                    }
                }
            }
            (Selector::Filter(condition), _) => {
                let holds = condition.holds(self, node)?;
                return if holds { self.follow(rest, node, found) } else { Ok(()) };
            }
            _ => {}
        }
        Ok(())
    }
}

/// The position of an index that counts from the end below zero.
pub fn position(index: i64, len: usize) -> Option<usize> {
    let at = if index < 0 { index.checked_add_unsigned(len as u64)? } else { index };
    usize::try_from(at).ok().filter(|at| *at < len)
}

/// An index as the bound of a range: between 0 and `len`.
pub fn bound(index: i64, len: usize) -> usize {
    let at = if index < 0 { index.saturating_add_unsigned(len as u64).max(0) } else { index };
    usize::try_from(at).unwrap_or(len).min(len)
}
