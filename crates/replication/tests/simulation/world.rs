//! The nodes, their links, and what happens to them.

use std::collections::HashMap;

use crate::data::Data;
use crate::node::{Node, Served};
use crate::wire::{Rng, take};

const NODES: usize = 3;
/// Rounds in which everybody must have caught up once nothing happens any more.
const QUIET_ROUNDS: usize = 200;

/// How often things happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    writes: usize,
    partial: usize,
    full: usize,
    refused: usize,
    cuts: usize,
    crashes: usize,
    promotions: usize,
    too_slow: usize,
}

impl Seen {
    pub(crate) fn add(&mut self, other: &Self) {
        self.writes += other.writes;
        self.partial += other.partial;
        self.full += other.full;
        self.refused += other.refused;
        self.cuts += other.cuts;
        self.crashes += other.crashes;
        self.promotions += other.promotions;
        self.too_slow += other.too_slow;
    }

    /// A simulation in which something never happens shows nothing of it.
    pub(crate) fn assert_everything_happened(&self) {
        let counts = [
            self.writes,
            self.partial,
            self.full,
            self.refused,
            self.cuts,
            self.crashes,
            self.promotions,
            self.too_slow,
        ];
        assert!(counts.iter().all(|count| *count > 0), "{self:?}");
    }
}

/// What data stand at a place of a stream, the first time somebody was there.
type Places = HashMap<(String, u64), (u64, Data)>;

pub(crate) struct World {
    seed: u64,
    rng: Rng,
    nodes: Vec<Node>,
    places: Places,
    pub(crate) seen: Seen,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 77);
        let nodes = (0..NODES).map(|_| Node::start(None, None, NODES, &mut rng)).collect();
        let mut world = Self { seed, rng, nodes, places: Places::new(), seen: Seen::default() };
        for replica in 1..NODES {
            world.order(replica, Some(0));
        }
        world
    }

    /// Something happens.
    pub(crate) fn step(&mut self) {
        let node = self.rng.below(NODES);
        match self.rng.below(1000) {
            0..250 => self.write(node),
            250..900 => self.move_bytes(node),
            900..950 => self.nodes[node].acknowledge(),
            950..970 => {
                self.nodes[node].save();
                // A snapshot is not always the last thing before a crash.
                if self.rng.below(6) == 0 {
                    self.crash(node);
                }
            }
            970..974 => self.crash(node),
            974..990 => self.cut(node),
            990..994 => self.order(node, None),
            _ => {
                let other = self.rng.below(NODES);
                if other != node {
                    self.order(node, Some(other));
                }
            }
        }
        for node in 0..NODES {
            check(&mut self.places, &self.nodes[node], self.seed);
        }
    }

    /// Nothing happens any more but what the protocol does by itself: everybody meets.
    pub(crate) fn settle(&mut self) {
        let primary = self.rng.below(NODES);
        self.order(primary, None);
        let middle = (primary + 1) % NODES;
        let last = (primary + 2) % NODES;
        let above = if self.rng.below(2) == 0 { primary } else { middle };
        for (node, above) in [(middle, primary), (last, above)] {
            if self.nodes[node].primary != Some(above) {
                self.order(node, Some(above));
            }
        }
        for _ in 0..QUIET_ROUNDS {
            for node in [middle, last] {
                for _ in 0..4 {
                    self.move_all(node);
                }
                self.nodes[node].acknowledge();
            }
            for node in 0..NODES {
                check(&mut self.places, &self.nodes[node], self.seed);
            }
        }
        for node in [middle, last] {
            let (got, wanted) = (&self.nodes[node], &self.nodes[primary]);
            assert_eq!(got.stream.point().id, wanted.stream.point().id, "seed {}: stream of {node}", self.seed);
            assert_eq!(got.stream.end(), wanted.stream.end(), "seed {}: offset of {node}", self.seed);
            assert_eq!(got.data, wanted.data, "seed {}: data of {node}", self.seed);
        }
    }

    fn write(&mut self, node: usize) {
        if self.nodes[node].primary.is_some() {
            return;
        }
        self.seen.writes += 1;
        if self.rng.below(10) == 0 {
            return self.nodes[node].stream.write_note(&["PING"]);
        }
        let commands = if self.rng.below(3) == 0 { 2 + self.rng.below(3) } else { 1 };
        let unit: Vec<(u32, Vec<String>)> = (0..commands).map(|_| self.command()).collect();
        self.nodes[node].write(&unit);
    }

    fn command(&mut self) -> (u32, Vec<String>) {
        let (db, key) = (self.rng.below(2) as u32, format!("k{}", self.rng.below(4)));
        let words = match self.rng.below(3) {
            0 => vec!["INCR".to_owned(), key],
            1 => vec!["APPEND".to_owned(), key, format!("{:x}", self.rng.below(256))],
            _ => vec!["SET".to_owned(), key, format!("{:x}", self.rng.below(1 << 20))],
        };
        (db, words)
    }

    fn order(&mut self, node: usize, primary: Option<usize>) {
        self.disconnect(node);
        self.seen.promotions += usize::from(primary.is_none() && self.nodes[node].primary.is_some());
        self.nodes[node].order(primary, &mut self.rng);
    }

    fn crash(&mut self, node: usize) {
        self.seen.crashes += 1;
        self.disconnect(node);
        for other in 0..NODES {
            if self.nodes[other].primary == Some(node) {
                self.nodes[other].cut_link();
            }
        }
        let (disk, primary) = (self.nodes[node].disk.clone(), self.nodes[node].primary);
        self.nodes[node] = Node::start(disk, primary, NODES, &mut self.rng);
        if primary.is_some() {
            self.nodes[node].stream.follow();
        }
    }

    fn cut(&mut self, node: usize) {
        self.seen.cuts += usize::from(self.nodes[node].link.is_some());
        self.disconnect(node);
    }

    /// Ends the link of a node to its primary, at both ends.
    fn disconnect(&mut self, node: usize) {
        self.nodes[node].cut_link();
        if let Some(primary) = self.nodes[node].primary {
            self.nodes[primary].drop_feed(node);
        }
    }

    fn move_all(&mut self, node: usize) {
        self.exchange(node, usize::MAX >> 1);
    }

    fn move_bytes(&mut self, node: usize) {
        let most = [5, 60, 500, 4000][self.rng.below(4)];
        let max = 1 + self.rng.below(most);
        self.exchange(node, max);
    }

    /// Moves up to `max` bytes in each direction between a node and its primary.
    fn exchange(&mut self, node: usize, max: usize) {
        let Some(primary) = self.nodes[node].primary else { return };
        if self.nodes[node].link.is_none() {
            self.nodes[node].connect();
        }
        let wire = &mut self.nodes[node].link.as_mut().expect("connected").wire;
        let up = take(&mut wire.up, max);
        let mut down = Vec::new();
        let answered = self.nodes[primary].serve(node, &up, &mut down, &mut self.rng);
        match answered {
            None => {
                self.seen.refused += 1;
                return self.disconnect(node);
            }
            Some(Some(Served::Partial)) => self.seen.partial += 1,
            Some(Some(_)) => self.seen.full += 1,
            Some(None) => {}
        }
        if !self.nodes[primary].feed(node, max, &mut down) {
            self.seen.too_slow += 1;
            return self.disconnect(node);
        }
        self.nodes[node].link.as_mut().expect("connected").wire.down.extend(down);
        let (places, seed) = (&mut self.places, self.seed);
        if !self.nodes[node].receive(max, &mut |node| check(places, node, seed)) {
            self.disconnect(node);
        }
    }
}

/// Who stands at the same place of the same stream has the same data.
fn check(places: &mut Places, node: &Node, seed: u64) {
    let point = node.stream.point();
    let digest = node.data.digest();
    let known = places.entry((point.id.clone(), point.offset)).or_insert_with(|| (digest, node.data.clone()));
    assert!(known.0 == digest, "seed {seed}: two data sets at {point:?}:\n{:?}\n{:?}", known.1, node.data);
}
