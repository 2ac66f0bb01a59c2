//! Quicklist: a queue of listpacks, after M. Stancliff's of Redis, with the nodes in one array instead of a linked list.
//!
//! Elements too large for a listpack are nodes of their own. Pushing fills the node at the end or begins another;
//! inserting into a full node splits it and joins neighbours that fit together. Where nodes begin and end is as in Redis:
//! it decides when a list becomes a listpack again, and so what OBJECT ENCODING prints.

use std::collections::{VecDeque, vec_deque};

use quiver_structures::listpack::{self, Item, ListPack};

use super::{End, Limits, Needle, insert_in, remove_in, remove_range_in};

/// A queue of listpacks; see the module.
#[derive(Clone, Debug)]
pub(super) struct QuickList {
    nodes: VecDeque<Node>,
    len: usize,
    /// The fill it was made with, which it keeps when the configuration changes.
    fill: i64,
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    /// Never empty.
    Packed(ListPack),
    /// One large element.
    Plain(Box<[u8]>),
}

impl Node {
    fn of(element: &[u8]) -> Self {
        let mut list = ListPack::new();
        list.push(element);
        Self::Packed(list)
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Packed(list) => list.len(),
            Self::Plain(_) => 1,
        }
    }

    fn takes(&self, bytes: usize, limits: Limits) -> bool {
        matches!(self, Self::Packed(list) if !limits.is_large(bytes) && limits.has_room(list, bytes))
    }

    fn push(&mut self, end: End, element: &[u8]) {
        if let Self::Packed(list) = self {
            match end {
                End::Left => list.push_front(element),
                End::Right => list.push(element),
            }
        }
    }

    fn iter(&self) -> NodeIter<'_> {
        match self {
            Self::Packed(list) => NodeIter::Packed(list.iter()),
            Self::Plain(bytes) => NodeIter::Plain(Some(bytes)),
        }
    }
}

impl QuickList {
    pub(super) fn new(limits: Limits) -> Self {
        Self { nodes: VecDeque::new(), len: 0, fill: limits.fill }
    }

    pub(super) fn from_pack(list: ListPack, limits: Limits) -> Self {
        let mut quick = Self::new(limits);
        quick.append(Node::Packed(list));
        quick
    }

    /// Adds a node at the tail, unless it is empty.
    pub(super) fn append(&mut self, node: Node) {
        let len = node.len();
        if len > 0 {
            self.len += len;
            self.nodes.push_back(node);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The limits of its nodes.
    fn own(&self, limits: Limits) -> Limits {
        Limits { fill: self.fill, ..limits }
    }

    pub(super) fn nodes(&self) -> impl ExactSizeIterator<Item = &Node> {
        self.nodes.iter()
    }

    #[cfg(test)]
    pub(super) fn node_lens(&self) -> Vec<usize> {
        self.nodes.iter().map(Node::len).collect()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let nodes = self.nodes.iter().map(|node| match node {
            Node::Packed(list) => list.allocation_bytes(),
            Node::Plain(bytes) => bytes.len(),
        });
        self.nodes.capacity() * size_of::<Node>() + nodes.sum::<usize>()
    }

    /// The listpack that is all there is.
    pub(super) fn only_pack(&mut self) -> Option<&mut ListPack> {
        match (self.nodes.len(), self.nodes.front_mut()) {
            (1, Some(Node::Packed(list))) => Some(list),
            _ => None,
        }
    }

    pub(super) fn peek(&self, end: End) -> Option<Item<'_>> {
        match end {
            End::Left => self.nodes.front()?.iter().next(),
            End::Right => self.nodes.back()?.iter().next_back(),
        }
    }

    pub(super) fn push(&mut self, end: End, element: &[u8], limits: Limits) {
        let limits = self.own(limits);
        self.len += 1;
        let node = match end {
            End::Left => self.nodes.front_mut(),
            End::Right => self.nodes.back_mut(),
        };
        if let Some(node) = node
            && node.takes(element.len(), limits)
        {
            return node.push(end, element);
        }
        let node = new_node(element, limits);
        match end {
            End::Left => self.nodes.push_front(node),
            End::Right => self.nodes.push_back(node),
        }
    }

    /// The node of element `index` and its place in there, walked to from the nearer end.
    fn locate(&self, index: usize) -> (usize, usize) {
        debug_assert!(index < self.len, "the caller has compared the index with the length");
        if index < self.len / 2 {
            let mut offset = index;
            for (at, node) in self.nodes.iter().enumerate() {
                match offset.checked_sub(node.len()) {
                    None => return (at, offset),
                    Some(rest) => offset = rest,
                }
            }
        }
        let mut start = self.len;
        for (at, node) in self.nodes.iter().enumerate().rev() {
            start -= node.len();
            if start <= index {
                return (at, index - start);
            }
        }
        (0, 0)
    }

    pub(super) fn iter_from(&self, start: usize) -> Elements<'_> {
        if start >= self.len {
            return Elements { current: NodeIter::Plain(None), rest: vec_deque::Iter::default(), back: false };
        }
        let (at, offset) = self.locate(start);
        let current = match &self.nodes[at] {
            Node::Packed(list) => NodeIter::Packed(list.iter_from(offset)),
            plain @ Node::Plain(_) => plain.iter(),
        };
        Elements { current, rest: self.nodes.range(at + 1..), back: false }
    }

    pub(super) fn iter_back_from(&self, start: usize) -> Elements<'_> {
        let (at, offset) = self.locate(start);
        let current = match &self.nodes[at] {
            Node::Packed(list) => NodeIter::Packed(list.iter_before(offset + 1)),
            plain @ Node::Plain(_) => plain.iter(),
        };
        Elements { current, rest: self.nodes.range(..at), back: true }
    }

    pub(super) fn remove_range(&mut self, start: usize, count: usize) {
        let mut left = count.min(self.len.saturating_sub(start));
        if left == 0 {
            return;
        }
        let (mut at, mut offset) = self.locate(start);
        self.len -= left;
        let (mut gone_from, mut gone) = (at, 0);
        while left > 0 {
            let node = &mut self.nodes[at];
            let here = left.min(node.len() - offset);
            match node {
                Node::Packed(list) if here < list.len() => {
                    remove_range_in(list, offset, here);
                    if gone == 0 {
                        gone_from = at + 1;
                    }
                }
                _ => gone += 1,
            }
            left -= here;
            (at, offset) = (at + 1, 0);
        }
        if gone > 0 {
            self.nodes.drain(gone_from..gone_from + gone);
            self.release_nodes();
        }
    }

    /// Takes away up to `count` elements from an end on; how many there were.
    pub(super) fn remove(&mut self, needle: &Needle<'_>, count: usize, from: End) -> usize {
        let mut removed = 0;
        let order: Box<dyn Iterator<Item = usize>> = match from {
            End::Left => Box::new(0..self.nodes.len()),
            End::Right => Box::new((0..self.nodes.len()).rev()),
        };
        for at in order {
            if removed == count {
                break;
            }
            removed += match &mut self.nodes[at] {
                Node::Packed(list) => remove_in(list, needle, count - removed, from),
                Node::Plain(bytes) if needle.is(Item::Str(bytes)) => {
                    self.nodes[at] = Node::Packed(ListPack::new());
                    1
                }
                Node::Plain(_) => 0,
            };
        }
        self.nodes.retain(|node| !matches!(node, Node::Packed(list) if list.is_empty()));
        self.release_nodes();
        self.len -= removed;
        removed
    }

    /// Gives memory back when few nodes are left of many.
    fn release_nodes(&mut self) {
        const KEPT: usize = 16;
        if self.nodes.capacity() > KEPT && self.nodes.len() < self.nodes.capacity() / 4 {
            self.nodes.shrink_to(self.nodes.len() * 2);
        }
    }

    pub(super) fn set(&mut self, index: usize, element: &[u8], limits: Limits) {
        let limits = self.own(limits);
        let (at, offset) = self.locate(index);
        let large = limits.is_large(element.len());
        match &mut self.nodes[at] {
            Node::Packed(list) if !large => {
                list.replace(list.at(offset).expect("located within the node"), element);
            }
            Node::Packed(_) => self.set_large(at, offset, element, limits),
            Node::Plain(bytes) if large => *bytes = element.into(),
            Node::Plain(_) => {
                self.insert(index, true, element, limits);
                self.nodes.remove(at);
                self.len -= 1;
            }
        }
    }

    /// Puts a large element in the place of one in a listpack, which is split there.
    fn set_large(&mut self, at: usize, offset: usize, element: &[u8], limits: Limits) {
        if offset + 1 < self.nodes[at].len() {
            self.split(at, offset + 1);
        }
        self.nodes.insert(at + 1, Node::Plain(element.into()));
        if let Node::Packed(list) = &mut self.nodes[at] {
            remove_range_in(list, offset, 1);
            if list.is_empty() {
                self.nodes.remove(at);
            } else {
                self.join_around(at + 1, limits);
            }
        }
    }

    pub(super) fn insert(&mut self, pivot: usize, behind: bool, element: &[u8], limits: Limits) {
        let limits = self.own(limits);
        let (at, offset) = self.locate(pivot);
        self.len += 1;
        let node = &mut self.nodes[at];
        let index = offset + usize::from(behind);
        let at_edge = if behind { index == node.len() } else { index == 0 };
        if let Node::Packed(list) = node
            && !limits.is_large(element.len())
            && limits.has_room(list, element.len())
        {
            return insert_in(list, index, element);
        }
        if at_edge {
            return self.insert_between(at + usize::from(behind), behind, element, limits);
        }
        self.split(at, index);
        if limits.is_large(element.len()) {
            return self.nodes.insert(at + 1, Node::Plain(element.into()));
        }
        // Both halves have room; which of them takes it, and is the middle of the joining, is as in Redis.
        if behind {
            self.nodes[at + 1].push(End::Left, element);
            self.join_around(at, limits);
        } else {
            self.nodes[at].push(End::Right, element);
            self.join_around(at + 1, limits);
        }
    }

    /// Adds an element before node `at`: to the node beyond the full one it belongs next to, or in a node of its own.
    fn insert_between(&mut self, at: usize, behind: bool, element: &[u8], limits: Limits) {
        let (beyond, end) = if behind { (Some(at), End::Left) } else { (at.checked_sub(1), End::Right) };
        match beyond.and_then(|beyond| self.nodes.get_mut(beyond)) {
            Some(node) if node.takes(element.len(), limits) => node.push(end, element),
            _ => self.nodes.insert(at, new_node(element, limits)),
        }
    }

    /// Moves what follows the first `keep` elements of a listpack into a node behind it.
    fn split(&mut self, at: usize, keep: usize) {
        if let Node::Packed(list) = &mut self.nodes[at] {
            let tail: ListPack = list.iter_from(keep).collect();
            remove_range_in(list, keep, usize::MAX);
            self.nodes.insert(at + 1, Node::Packed(tail));
        }
    }

    /// Joins the neighbours of a node with theirs and with it where they fit together.
    fn join_around(&mut self, middle: usize, limits: Limits) {
        let mut middle = middle;
        if middle >= 2 && self.join(middle - 2, limits) {
            middle -= 1;
        }
        self.join(middle + 1, limits);
        if middle >= 1 && self.join(middle - 1, limits) {
            middle -= 1;
        }
        self.join(middle, limits);
    }

    /// Joins a node with the one behind it if they fit together.
    fn join(&mut self, at: usize, limits: Limits) -> bool {
        let (Some(Node::Packed(first)), Some(Node::Packed(second))) = (self.nodes.get(at), self.nodes.get(at + 1))
        else {
            return false;
        };
        if !limits.fit_together(first, second) {
            return false;
        }
        let Some(Node::Packed(second)) = self.nodes.remove(at + 1) else { return false };
        if let Node::Packed(first) = &mut self.nodes[at] {
            first.extend(&second.iter().collect::<Vec<_>>());
        }
        true
    }

    /// Panics if an invariant is broken.
    #[cfg(test)]
    pub(super) fn check(&self) {
        assert_eq!(self.len, self.nodes.iter().map(Node::len).sum::<usize>());
        assert!(self.nodes.iter().all(|node| node.len() > 0), "an empty node");
    }
}

fn new_node(element: &[u8], limits: Limits) -> Node {
    if limits.is_large(element.len()) { Node::Plain(element.into()) } else { Node::of(element) }
}

/// The elements of one node, from either end.
#[derive(Clone, Debug)]
enum NodeIter<'a> {
    Packed(listpack::Iter<'a>),
    Plain(Option<&'a [u8]>),
}

impl<'a> NodeIter<'a> {
    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        match self {
            Self::Packed(items) => items.next(),
            Self::Plain(bytes) => bytes.take().map(Item::Str),
        }
    }

    #[inline]
    fn next_back(&mut self) -> Option<Item<'a>> {
        match self {
            Self::Packed(items) => items.next_back(),
            Self::Plain(bytes) => bytes.take().map(Item::Str),
        }
    }
}

/// Elements of a list in one direction.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    current: NodeIter<'a>,
    rest: vec_deque::Iter<'a, Node>,
    back: bool,
}

impl<'a> Elements<'a> {
    /// The elements of a listpack that stands alone.
    pub(super) fn of_one(items: listpack::Iter<'a>, back: bool) -> Self {
        Self { current: NodeIter::Packed(items), rest: vec_deque::Iter::default(), back }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        loop {
            let item = if self.back { self.current.next_back() } else { self.current.next() };
            if item.is_some() {
                return item;
            }
            let node = if self.back { self.rest.next_back() } else { self.rest.next() };
            self.current = node?.iter();
        }
    }
}
