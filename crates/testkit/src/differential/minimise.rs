//! Shortens a history that ends in a disagreement, by delta debugging (Zeller and Hildebrandt 2002): leave out ever
//! smaller runs of steps and keep what still fails.

use anyhow::Result;

use super::Step;

/// Replays spent on one history.
const MAX_REPLAYS: usize = 400;

/// The shortest history found for which `fails` still holds; the last step stays.
///
/// # Errors
/// Those of `fails`.
pub fn minimise(mut steps: Vec<Step>, fails: &mut dyn FnMut(&[Step]) -> Result<bool>) -> Result<Vec<Step>> {
    let mut replays = 0;
    let mut run = steps.len() / 2;
    while run > 0 {
        let mut from = 0;
        let mut shortened = false;
        while from + 1 < steps.len() && replays < MAX_REPLAYS {
            let to = (from + run).min(steps.len() - 1);
            let shorter = [&steps[..from], &steps[to..]].concat();
            replays += 1;
            if fails(&shorter)? {
                steps = shorter;
                shortened = true;
            } else {
                from = to;
            }
        }
        if !shortened || run > 1 {
            run /= 2;
        }
    }
    // The last replay that failed is the one whose answers are reported.
    fails(&steps)?;
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(word: usize) -> Step {
        Step::Call { connection: 0, words: vec![word.to_string().into_bytes()] }
    }

    #[test]
    fn only_the_steps_that_matter_stay() {
        let steps: Vec<Step> = (0..100).map(call).collect();
        let needed = [call(13), call(57), call(99)];
        let mut fails = |steps: &[Step]| Ok(needed.iter().all(|step| steps.contains(step)));
        assert_eq!(minimise(steps, &mut fails).expect("nothing fails"), needed);
    }

    #[test]
    fn a_history_of_one_step_stays_as_it_is() {
        assert_eq!(minimise(vec![call(1)], &mut |_| Ok(true)).expect("nothing fails"), [call(1)]);
    }
}
