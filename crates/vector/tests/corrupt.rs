//! Nodes from outside that are not a graph are refused with the reason.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::borrow::Cow;

use quiver_vector::{Error, Hnsw, Metric, Node, NodeVector, Params, Slot, Storage};

const PARAMS: Params = Params { dim: 4, metric: Metric::Cosine, storage: Storage::I8, m: 4, ef_construction: 50 };

fn nodes() -> Vec<Node<'static>> {
    let mut index = Hnsw::new(PARAMS).unwrap();
    for key in 0..60_u16 {
        let angle = f32::from(key);
        index.insert(&[angle.sin(), angle.cos(), (angle * 3.0).sin(), 0.5], u64::from(key), 0).unwrap();
    }
    index.live_slots().map(|slot| owned(index.node(slot).unwrap())).collect()
}

fn owned(node: Node<'_>) -> Node<'static> {
    let NodeVector::I8 { scale, code } = node.vector else { panic!("a code") };
    let links = node.links.into_iter().map(|links| Cow::Owned(links.into_owned())).collect();
    Node {
        slot: node.slot,
        norm: node.norm,
        vector: NodeVector::I8 { scale, code: Cow::Owned(code.into_owned()) },
        links,
    }
}

fn refused(change: impl FnOnce(&mut Vec<Node<'static>>)) -> String {
    let mut nodes = nodes();
    change(&mut nodes);
    match Hnsw::from_nodes(PARAMS, nodes) {
        Err(Error::Corrupt(reason)) => reason,
        other => panic!("not refused: {:?}", other.map(|index| index.len())),
    }
}

#[test]
fn links_that_are_no_graph_are_refused() {
    // The first slot, which is checked first.
    let set = |slot: Slot| move |nodes: &mut Vec<Node<'static>>| nodes[0].links[0].to_mut()[0] = slot;
    assert!(refused(set(0)).contains("itself"));
    assert!(refused(set(999)).contains("not on this level"));
    assert!(refused(set(Slot::MAX)).contains("gap"));
    assert!(refused(|nodes| nodes[0].links[0].to_mut()[0] = nodes[0].links[0][1]).contains("twice"));
    assert!(refused(|nodes| nodes[0].links[0].to_mut().truncate(1)).contains("link back"));
    assert!(refused(|nodes| nodes[0].links[0].to_mut().extend(0..9)).contains("links on level 0"));
    assert!(refused(|nodes| nodes.truncate(59)).contains("not on this level"));
}

#[test]
fn impossible_levels_slots_and_vectors_are_refused() {
    assert!(refused(|nodes| nodes[3].links.clear()).contains("0 levels"));
    assert!(refused(|nodes| nodes[3].links.resize(33, Cow::Owned(Vec::new()))).contains("33 levels"));
    assert!(refused(|nodes| nodes[3].slot = 4).contains("two elements"));
    assert!(refused(|nodes| nodes[3].slot = 1 << 30).contains("60 elements"));
    assert!(refused(|nodes| nodes[3].norm = f32::NAN).contains("norm"));
    assert!(refused(|nodes| nodes[3].norm = -1.0).contains("norm"));
    let code = |scale, len| NodeVector::I8 { scale, code: Cow::Owned(vec![1; len]) };
    assert!(refused(|nodes| nodes[3].vector = code(1.0, 5)).contains("5 dimensions"));
    assert!(refused(|nodes| nodes[3].vector = code(f32::INFINITY, 4)).contains("finite"));
    assert!(refused(|nodes| nodes[3].vector = NodeVector::F32(Cow::Owned(vec![1.0; 4]))).contains("another storage"));
}

#[test]
fn a_level_in_pieces_is_joined() {
    let mut nodes = nodes();
    for node in &mut nodes {
        node.links.iter_mut().for_each(|links| links.to_mut().clear());
    }
    let index = Hnsw::from_nodes(PARAMS, nodes).unwrap();
    assert_eq!(index.check(), Ok(()));
    assert_eq!(index.len(), 60);
}

#[test]
fn gaps_between_slots_are_kept_and_filled_smallest_first() {
    let mut index =
        Hnsw::from_nodes(PARAMS, [Node { slot: 500_000, links: vec![Cow::Owned(Vec::new())], ..nodes()[0].clone() }])
            .unwrap();
    assert_eq!(index.check(), Ok(()));
    assert!(index.memory_bytes() < 10_000_000);
    assert_eq!(index.insert(&[1.0, 0.0, 0.0, 0.0], 7, 0), Ok(0));
    assert_eq!(index.check(), Ok(()));
}
