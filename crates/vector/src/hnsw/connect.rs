//! Links of a level, made and given up so that the level stays in one piece.
//!
//! Giving up a link between two elements that share a neighbour cannot part a level, nor can replacing a link by a way
//! through a new element. Every change here is one of those two; [`Hnsw::rejoin`] mends what a removal tore.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use quiver_kernels::prefetch;

use crate::Slot;
use crate::hnsw::Hnsw;

impl Hnsw {
    /// Links `slot`, new on this level, to those chosen for it, nearest first; at least to one of them.
    pub(super) fn attach(
        &mut self,
        slot: Slot,
        level: usize,
        chosen: &[(f32, Slot)],
        pairs: &mut Vec<(f32, Slot, Slot)>,
    ) {
        for &(distance, neighbor) in chosen {
            if !self.graph.has_room(slot, level) {
                break;
            }
            if self.graph.linked(slot, neighbor, level) {
                continue;
            }
            if self.graph.has_room(neighbor, level) {
                self.graph.link(slot, neighbor, level);
            } else {
                self.displace(slot, (distance, neighbor), level, pairs);
            }
        }
        if self.graph.links(slot, level).is_empty() {
            // Nobody would give up a link, so the element is put in the middle of the nearest one's farthest.
            let nearest = chosen[0].1;
            let other = *self.graph.links(nearest, level).last().expect("a full list");
            self.subdivide(slot, nearest, other, level);
        }
    }

    /// Links `slot` to `full`, which has no room, in place of the farthest link that can be spared.
    fn displace(
        &mut self,
        slot: Slot,
        (distance, full): (f32, Slot),
        level: usize,
        pairs: &mut Vec<(f32, Slot, Slot)>,
    ) {
        let (space, graph) = (&self.space, &self.graph);
        let links = graph.links(full, level);
        pairs.clear();
        space.distances(space.probe(full), links, |i, far| {
            if far > distance {
                pairs.push((far, links[i], 0));
            }
        });
        pairs.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        pairs.iter().take(AHEAD).for_each(|pair| prefetch(graph.list(pair.1, level)));
        let neighbors = Neighbors::new(graph.links(full, level));
        let mut spared = pairs.iter().map(|pair| pair.1);
        let victim = spared.find(|&victim| {
            // A way of two links from one to the other stays, through the new element or another neighbour.
            graph.linked(slot, victim, level) || neighbors.any_of(graph.links(victim, level))
        });
        if let Some(victim) = victim {
            self.graph.unlink(full, victim, level);
            self.graph.link(full, slot, level);
        }
    }

    /// Replaces the link from `a` to `b` by one from each to `slot`, which has none.
    fn subdivide(&mut self, slot: Slot, a: Slot, b: Slot, level: usize) {
        self.graph.unlink(a, b, level);
        self.graph.link(a, slot, level);
        self.graph.link(b, slot, level);
    }

    /// Joins the pieces of a level that hold `seeds`, if they are several.
    ///
    /// Grows a piece around every seed, one element of each in turn, until all have met. A piece that ends before is
    /// an island and gets a bridge. Neighbours of one element nearly always meet at once.
    pub(super) fn rejoin(&mut self, seeds: &[Slot], level: usize) {
        let mut pieces = Pieces::new(seeds);
        while pieces.count > 1 {
            for seed in 0..seeds.len() {
                if pieces.find(seed) != seed {
                    continue;
                }
                if let Some(slot) = pieces.next(seed) {
                    pieces.grow(seed, self.graph.links(slot, level));
                } else {
                    let other = (0..seeds.len()).find(|&other| pieces.find(other) != seed).expect("several pieces");
                    self.bridge(seeds[seed], seeds[other], level);
                    pieces.merge(seed, other);
                }
                if pieces.count == 1 {
                    break;
                }
            }
        }
    }

    /// Links the pieces of `a` and `b`, which are two.
    pub(super) fn bridge(&mut self, a: Slot, b: Slot, level: usize) {
        let (a, b) = (self.port(a, level), self.port(b, level));
        self.graph.link(a, b, level);
    }

    /// An element with room in the piece of `start`: the first one found, or one end of a link that closes a ring,
    /// which is given up. There is always one: a piece without rings has ends, and those have room.
    fn port(&mut self, start: Slot, level: usize) -> Slot {
        let mut parents = SlotMap::default();
        parents.insert(start, start);
        let mut queue = VecDeque::from([start]);
        while let Some(slot) = queue.pop_front() {
            if self.graph.has_room(slot, level) {
                return slot;
            }
            for &link in self.graph.links(slot, level) {
                if parents[&slot] == link {
                    continue;
                }
                if parents.insert(link, slot).is_some() {
                    self.graph.unlink(slot, link, level);
                    return slot;
                }
                queue.push_back(link);
            }
        }
        unreachable!("a piece has an end or a ring");
    }
}

/// Candidates for giving up a link whose own lists are fetched ahead.
const AHEAD: usize = 3;

/// The neighbours of an element, to be asked about many others: a small filter (after Bloom) says no to most at once.
struct Neighbors<'g> {
    links: &'g [Slot],
    filter: [u64; FILTER_WORDS],
}

/// Bits of a filter: thirty-two times as many as an ordinary list has links.
const FILTER_WORDS: usize = 16;

impl<'g> Neighbors<'g> {
    fn new(links: &'g [Slot]) -> Self {
        let mut filter = [0; FILTER_WORDS];
        for &link in links {
            let (word, bit) = place(link);
            filter[word] |= bit;
        }
        Self { links, filter }
    }

    /// Whether one of `others` is among the neighbours.
    fn any_of(&self, others: &[Slot]) -> bool {
        others.iter().any(|other| {
            let (word, bit) = place(*other);
            self.filter[word] & bit != 0 && self.links.contains(other)
        })
    }
}

fn place(slot: Slot) -> (usize, u64) {
    let hash = slot.wrapping_mul(0x9e37_79b9) >> 22;
    (hash as usize / 64, 1 << (hash % 64))
}

/// Disjoint sets of seeds, the elements each has reached, and those to look at next.
struct Pieces {
    parent: Vec<usize>,
    queues: Vec<VecDeque<Slot>>,
    owner: SlotMap<usize>,
    count: usize,
}

impl Pieces {
    fn new(seeds: &[Slot]) -> Self {
        Self {
            parent: (0..seeds.len()).collect(),
            queues: seeds.iter().map(|&seed| VecDeque::from([seed])).collect(),
            owner: seeds.iter().enumerate().map(|(i, &seed)| (seed, i)).collect(),
            count: seeds.len(),
        }
    }

    fn find(&self, mut seed: usize) -> usize {
        while self.parent[seed] != seed {
            seed = self.parent[seed];
        }
        seed
    }

    fn next(&mut self, seed: usize) -> Option<Slot> {
        self.queues[seed].pop_front()
    }

    fn grow(&mut self, seed: usize, links: &[Slot]) {
        for &link in links {
            match self.owner.get(&link) {
                Some(&other) => self.merge(seed, other),
                None => {
                    self.owner.insert(link, seed);
                    let root = self.find(seed);
                    self.queues[root].push_back(link);
                }
            }
        }
    }

    fn merge(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        if a != b {
            let queue = std::mem::take(&mut self.queues[b]);
            self.queues[a].extend(queue);
            self.parent[b] = a;
            self.count -= 1;
        }
    }
}

type SlotMap<V> = HashMap<Slot, V, BuildHasherDefault<SlotHasher>>;

/// One multiplication: slots are small numbers no adversary chooses, and nothing iterates over these maps.
#[derive(Default)]
struct SlotHasher(u64);

impl Hasher for SlotHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u32(u32::from(byte)));
    }

    fn write_u32(&mut self, slot: u32) {
        self.0 = (self.0 ^ u64::from(slot)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}
