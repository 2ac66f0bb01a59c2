//! Some damaged copies; long runs are the `damage` program's.

use std::collections::BTreeSet;

use quiver_testkit::damage::{Damager, Verdict};

#[test]
fn damaged_copies_are_refused_or_load_as_what_they_once_were() {
    let mut damager = Damager::new(3).unwrap();
    let mut seen = BTreeSet::new();
    for number in 0..200 {
        let copy = damager.damage();
        seen.insert(damager.judge(&copy).unwrap_or_else(|error| panic!("copy {number}: {error:#}")));
    }
    assert!(seen.contains(&Verdict::Refused) && seen.contains(&Verdict::Cut), "{seen:?}");
}
