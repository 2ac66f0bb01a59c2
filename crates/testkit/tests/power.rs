//! A few power cuts, and operations that fail; long runs are the `power` program's.

use quiver_testkit::power::{Harness, Options, faults};

fn cut(fsync: &str, torn: bool) {
    let fsync = fsync.to_owned();
    let options = Options { seed: 7, fsync, writers: 3, run_ms: 200, sync_ms: 50, torn };
    let mut harness = Harness::new(options).expect("a node starts on nothing");
    let mut acknowledged = 0;
    for cycle in 0..4 {
        let outcome = harness.cycle().unwrap_or_else(|error| panic!("cycle {cycle}: {error:?}"));
        acknowledged += outcome.steps.acknowledged;
    }
    assert!(acknowledged > 0, "the writers did something");
}

#[test]
fn a_power_cut_takes_back_nothing_that_was_acknowledged() {
    cut("always", false);
    cut("always", true);
}

#[test]
fn a_power_cut_takes_back_a_second_at_most_under_everysec() {
    cut("everysec", true);
}

#[test]
fn whichever_operation_of_a_node_fails_nothing_acknowledged_is_lost() {
    // One in a few, beginning elsewhere than the tests of the log itself; `power --faults` tries them all.
    let (mut reached, mut refused) = (0, 0);
    for at in (1..).step_by(9) {
        let run = faults::run(at).unwrap_or_else(|error| panic!("operation {at} fails: {error:?}"));
        if !run.reached {
            break;
        }
        reached += 1;
        refused += run.refused;
    }
    assert!(reached > 8 && refused > 0, "{reached} operations failed, {refused} steps were refused");
}
