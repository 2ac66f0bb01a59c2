//! Three nodes, virtual time, links that are slow and break anywhere: whatever happens, who stands at the same place of
//! the same stream has the same data, and when all is quiet everybody has what the primary has.
//!
//! A schedule is a seed: writes (relative ones, transactions, several databases), deliveries of any number of bytes, cuts
//! of links, snapshots to disk, crashes with a restart from the last snapshot, promotions, chains and changes of primary.
//! 1,000 schedules run in CI; `QUIVER_SCHEDULES=100000 cargo test -p quiver-replication --test simulation` runs more, and
//! `QUIVER_SEED=n` one alone.

mod data;
mod node;
mod wire;
mod world;

use world::World;

const STEPS: usize = 400;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn data_never_diverge_and_meet_when_all_is_quiet() {
    let seeds = match number("QUIVER_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("QUIVER_SCHEDULES").unwrap_or(1000),
    };
    let mut seen = world::Seen::default();
    for seed in seeds {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.settle();
        seen.add(&world.seen);
    }
    if number("QUIVER_SEED").is_none() {
        seen.assert_everything_happened();
    }
}
