//! The stream of every family rebuilds the same keyspace on an engine with another seed after every turn, whatever is
//! random, relative or expires meanwhile. The commands are those of the differential driver, errors included.

mod common;

use common::Replicated;
use proptest::prelude::*;
use quiver_testkit::differential::Step;
use quiver_testkit::differential::families;
use quiver_testkit::differential::random::Rng;

/// Steps from an empty engine.
const STEPS: usize = 300;

/// How far the clock may go between two steps. Times to live of the templates start at 1000 s.
const JUMP_MAX_MS: usize = 3_000_000;

fn replay(family: &str, seed: u64) {
    let all = families::all();
    let family = all.iter().find(|known| known.name == family).expect("the driver has this family");
    let mut rng = Rng::new(seed);
    let mut pair = Replicated::new();
    let mut taken = 0;
    while taken < STEPS {
        for step in family.steps(&mut rng) {
            taken += 1;
            match step {
                Step::Call { words, .. } => drop(pair.run_words(&words)),
                Step::Scan { before, after } => drop(pair.run_words(&[before, vec![b"0".to_vec()], after].concat())),
                Step::Sleep(time) => pair.primary.now_ms += time.as_millis() as i64,
            }
        }
        if rng.one_in(30) {
            pair.primary.now_ms += rng.below(JUMP_MAX_MS) as i64;
        }
    }
}

macro_rules! families {
    ($($name:ident)+) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(48))]
            $(
                #[test]
                fn $name(seed in any::<u64>()) {
                    replay(stringify!($name), seed);
                }
            )+
        }
    };
}

families! { string generic scan hash transactions connection vset }
