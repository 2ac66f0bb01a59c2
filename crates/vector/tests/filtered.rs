//! Recall of filtered searches on real text embeddings: few or many elements accepted, near the query or far from it,
//! by every plan and by the one that is chosen.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common {
    pub(crate) mod npy;
}

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;

use common::npy::DataSet;
use quiver_vector::{Filtered, Hnsw, Metric, Neighbor, Params, Plan, Scratch, Slot, Storage};

const K: usize = 10;
/// The effort of VSIM when the client names none.
const EF: usize = 100;
const QUERIES: usize = 40;
/// One in so many elements is accepted.
const PARTS: [usize; 4] = [1000, 100, 10, 2];

struct Fixture {
    set: DataSet,
    index: Hnsw,
    /// For every query all slots, nearest first.
    order: Vec<Vec<Slot>>,
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let set = DataSet::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/wordnet-minilm-5k"));
        let storage = Storage::F32;
        let params = Params { dim: set.dim, metric: Metric::Cosine, storage, m: 16, ef_construction: 200 };
        let mut index = Hnsw::new(params).unwrap();
        for (key, vector) in set.base.iter().enumerate() {
            index.insert(vector, key as u64, 100).unwrap();
        }
        let order: Vec<_> = set.queries.iter().take(QUERIES).map(|query| ranked(&index, query)).collect();
        assert_eq!(order[0][..K], set.truth[0][..K]);
        Fixture { set, index, order }
    })
}

fn ranked(index: &Hnsw, query: &[f32]) -> Vec<Slot> {
    let (mut scratch, mut all) = (Scratch::new(), Vec::new());
    index.exact(query, index.len(), &mut scratch, &mut all).unwrap();
    all.iter().map(|neighbor| neighbor.slot).collect()
}

/// How what is accepted lies to the query.
#[derive(Clone, Copy, Debug)]
enum Correlation {
    None,
    /// A region around some element, wherever the query is.
    Region,
    /// The nearest to the query.
    Near,
    /// The farthest from the query.
    Far,
}

const CORRELATIONS: [Correlation; 4] = [Correlation::None, Correlation::Region, Correlation::Near, Correlation::Far];

fn accepted(fixture: &Fixture, query: usize, correlation: Correlation, part: usize) -> BTreeSet<Slot> {
    let len = fixture.index.len();
    let count = len / part;
    match correlation {
        Correlation::None => {
            let shuffled =
                |slot: Slot| slot.wrapping_add(query as u32 * 7919).wrapping_mul(0x9e37_79b1).rotate_left(15);
            let mut slots: Vec<Slot> = (0..len as Slot).collect();
            slots.sort_unstable_by_key(|slot| shuffled(*slot).wrapping_mul(0x85eb_ca6b));
            slots.into_iter().take(count).collect()
        }
        // Regions of the queries' own neighbourhoods, so that the order is known.
        Correlation::Region => fixture.order[(query + 17) % QUERIES].iter().copied().take(count).collect(),
        Correlation::Near => fixture.order[query].iter().copied().take(count).collect(),
        Correlation::Far => fixture.order[query].iter().copied().rev().take(count).collect(),
    }
}

/// Recall over all queries of one cell of the matrix.
fn recall(
    correlation: Correlation,
    part: usize,
    mut search: impl FnMut(&[f32], &BTreeSet<Slot>, &mut Vec<Neighbor>) -> Filtered,
) -> f64 {
    let fixture = fixture();
    let (mut hits, mut wanted) = (0, 0);
    for (i, query) in fixture.set.queries.iter().take(QUERIES).enumerate() {
        let accepted = accepted(fixture, i, correlation, part);
        let truth: Vec<Slot> =
            fixture.order[i].iter().copied().filter(|slot| accepted.contains(slot)).take(K).collect();
        let mut found = Vec::new();
        search(query, &accepted, &mut found);
        assert_eq!(found.len(), truth.len(), "{correlation:?}, one in {part}: as many results as there are");
        assert!(found.iter().all(|neighbor| accepted.contains(&neighbor.slot)));
        hits += found.iter().filter(|neighbor| truth.contains(&neighbor.slot)).count();
        wanted += truth.len();
    }
    hits as f64 / wanted as f64
}

#[test]
fn default_settings_keep_95_percent_recall_for_every_share_and_correlation() {
    let mut scratch = Scratch::new();
    let index = &fixture().index;
    for correlation in CORRELATIONS {
        for part in PARTS {
            let recall = recall(correlation, part, |query, accepted, found| {
                let accept = |slot| accepted.contains(&slot);
                index.search_filtered(query, K, EF, usize::MAX, accept, &mut scratch, found).unwrap()
            });
            assert!(recall >= 0.95, "{correlation:?}, one in {part}: {recall}");
        }
    }
}

#[test]
fn every_plan_keeps_95_percent_recall_where_it_may_be_chosen() {
    let mut scratch = Scratch::new();
    let index = &fixture().index;
    for (plan, parts) in [
        (Plan::Scan, &PARTS[..]),
        (Plan::Near, &PARTS),
        (Plan::Walk, &PARTS[2..]),
        // Walks among the accepted are only planned where there are several times as many as the pool holds.
        (Plan::Hop, &PARTS[2..]),
    ] {
        for (correlation, part) in CORRELATIONS.into_iter().flat_map(|c| parts.iter().map(move |part| (c, *part))) {
            let recall = recall(correlation, part, |query, accepted, found| {
                let accept = |slot| accepted.contains(&slot);
                index.search_by_plan(plan, query, K, EF, accept, &mut scratch, found).unwrap()
            });
            assert!(recall >= 0.95, "{plan:?}, {correlation:?}, one in {part}: {recall}");
        }
    }
}

#[test]
fn an_answer_called_exact_is() {
    let mut scratch = Scratch::new();
    let index = &fixture().index;
    for part in PARTS {
        let recall = recall(Correlation::None, part, |query, accepted, found| {
            let accept = |slot| accepted.contains(&slot);
            let filtered = index.exact_filtered(query, K, accept, &mut scratch, found).unwrap();
            assert!(filtered.exact && filtered.asked == index.len());
            filtered
        });
        assert!(recall >= 0.9999, "one in {part}: {recall}");
    }
}

#[test]
fn bounded_questions_are_asked_about_the_nearest() {
    let fixture = fixture();
    let (mut scratch, mut found, mut near) = (Scratch::new(), Vec::new(), 0);
    for (i, query) in fixture.set.queries.iter().take(QUERIES).enumerate() {
        let mut asked = Vec::new();
        let accept = |slot| {
            asked.push(slot);
            slot % 2 == 0
        };
        let filtered = fixture.index.search_filtered(query, K, EF, 12, accept, &mut scratch, &mut found).unwrap();
        assert!(asked.len() == 12 && filtered.asked == 12 && !filtered.exact, "{filtered:?}");
        near += asked.iter().filter(|slot| fixture.order[i][..20].contains(slot)).count();
    }
    assert!(near as f64 / (QUERIES * 12) as f64 > 0.9, "{near}");
}
