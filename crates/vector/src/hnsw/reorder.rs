//! The same graph with its elements in another order: neighbours next to each other in memory.
//!
//! Elements inserted in no particular order stand far from their neighbours, and every step of a walk through a large
//! index is a miss of caches. Breadth-first order from the entry point puts most of a list into few pages.

use std::borrow::Cow;

use crate::hnsw::Hnsw;
use crate::scratch::Visited;
use crate::{Error, Node, Slot};

impl Hnsw {
    /// A copy in an order of better locality, without gaps, and the old slot of every new one. Searches of both answer
    /// alike but for the numbers of slots; the caller renames what it keeps by slot.
    /// # Errors
    /// None: the nodes of an index are one.
    pub fn reordered(&self) -> Result<(Self, Vec<Slot>), Error> {
        let order = self.breadth_first();
        let mut places = vec![Slot::MAX; self.slots()];
        for (place, &slot) in order.iter().enumerate() {
            places[slot as usize] = place as Slot;
        }
        let nodes = order.iter().filter_map(|&slot| self.node(slot));
        let nodes = nodes.map(|node| Node {
            slot: places[node.slot as usize],
            links: node.links.iter().map(|links| rename(links, &places)).collect(),
            ..node
        });
        Ok((Self::from_nodes(self.params, nodes)?, order))
    }

    /// All elements along level 0, those of a list nearest first.
    fn breadth_first(&self) -> Vec<Slot> {
        let (mut order, mut seen, mut near) = (Vec::with_capacity(self.len), Visited::default(), Vec::new());
        seen.reset(self.slots());
        order.extend(self.entry_point().filter(|&entry| seen.insert(entry)));
        let mut at = 0;
        while let Some(&slot) = order.get(at) {
            at += 1;
            near.clear();
            let links = self.graph.links(slot, 0);
            self.space.distances(self.space.probe(slot), links, |i, distance| near.push((distance, links[i])));
            near.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            order.extend(near.iter().map(|(_, link)| *link).filter(|&link| seen.insert(link)));
        }
        order
    }
}

fn rename<'a>(links: &[Slot], places: &[Slot]) -> Cow<'a, [Slot]> {
    links.iter().map(|&link| places[link as usize]).collect()
}
