//! Whether what was found after a crash is what may be left.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::model::Model;
use super::writer::Step;

/// What is left of one writer's steps.
#[derive(Debug)]
pub struct Left {
    /// The state found.
    pub model: Model,
    /// Acknowledged steps that are gone.
    pub lost: u64,
    /// How long before the crash the oldest lost step was acknowledged.
    pub window: Duration,
    /// When the oldest lost step was acknowledged.
    oldest_lost: Option<Instant>,
    /// When the newest step that is there was sent.
    newest_kept: Option<Instant>,
}

/// Finds the number of steps that explains what was found; `None` where there is none: something is torn or made up.
pub fn judge(before: &Model, steps: &[Step], found: &[String], crashed: Instant) -> Option<Left> {
    let acknowledged = steps.iter().take_while(|step| step.acknowledged.is_some()).count();
    let mut model = before.clone();
    let mut kept = model.is(found).then(|| (0, 0, model.clone()));
    for done in 1..=steps.len() {
        model.step();
        // The later of two that look alike: steps without effect are not missed.
        if model.is(found) {
            let least = kept.map_or(done, |(least, last, _)| if last + 1 == done { least } else { done });
            kept = Some((least, done, model.clone()));
        }
    }
    let (least, done, model) = kept?;
    let oldest_lost = steps[done..].iter().find_map(|step| step.acknowledged);
    Some(Left {
        model,
        lost: acknowledged.saturating_sub(done) as u64,
        window: oldest_lost.map_or(Duration::ZERO, |at| crashed.saturating_duration_since(at)),
        oldest_lost,
        // Those without effect may or may not have been done.
        newest_kept: least.checked_sub(1).map(|last| steps[last].sent),
    })
}

/// What all writers' steps came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Compared {
    /// Steps acknowledged.
    pub acknowledged: u64,
    /// Acknowledged steps that are gone.
    pub lost: u64,
    /// The longest time before the crash that a lost step had been acknowledged.
    pub window: Duration,
}

/// Holds what is `found` of each writer against its steps, and puts the models where it was found.
///
/// # Errors
/// Something is torn, made up, or not cut at one place.
pub fn compare(
    models: &mut Vec<Model>,
    steps: &[Vec<Step>],
    crashed: Instant,
    found: &mut dyn FnMut(usize) -> Result<Vec<String>>,
) -> Result<Compared> {
    let (mut all, mut compared): (Vec<Left>, _) = (Vec::new(), Compared::default());
    for (writer, steps) in steps.iter().enumerate() {
        let found = found(writer)?;
        let Some(left) = judge(&models[writer], steps, &found, crashed) else {
            let mut last = models[writer].clone();
            steps.iter().for_each(|_| last.step());
            bail!("writer {writer}: no number of steps explains\n{found:#?}\nall of them give\n{:#?}", last.show());
        };
        compared.acknowledged += steps.iter().filter(|step| step.acknowledged.is_some()).count() as u64;
        compared.lost += left.lost;
        compared.window = compared.window.max(left.window);
        all.push(left);
    }
    ensure!(is_one_cut(&all), "later steps of one writer are there, earlier ones of another are not");
    *models = all.into_iter().map(|left| left.model).collect();
    Ok(compared)
}

/// Whether a later step of one writer is there while an earlier one of another is gone: the log is cut at one place.
pub fn is_one_cut(all: &[Left]) -> bool {
    let oldest_lost = all.iter().filter_map(|left| left.oldest_lost).min();
    let newest_kept = all.iter().filter_map(|left| left.newest_kept).max();
    !matches!((oldest_lost, newest_kept), (Some(lost), Some(kept)) if kept > lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(sent: usize, acknowledged: usize, start: Instant) -> Vec<Step> {
        let at = |n: usize| start + Duration::from_millis(10 * n as u64);
        let step = |n| Step { sent: at(n), acknowledged: (n < acknowledged).then(|| at(n + 1)) };
        (0..sent).map(step).collect()
    }

    fn after(steps: usize) -> Model {
        let mut model = Model::default();
        (0..steps).for_each(|_| model.step());
        model
    }

    #[test]
    fn what_is_lost_is_counted_and_timed() {
        let start = Instant::now();
        let crashed = start + Duration::from_millis(200);
        let left = judge(&Model::default(), &steps(12, 10, start), &after(7).show(), crashed).unwrap();
        assert_eq!((left.lost, left.window), (3, Duration::from_millis(120)));
        let left = judge(&Model::default(), &steps(12, 10, start), &after(11).show(), crashed).unwrap();
        assert_eq!((left.lost, left.window), (0, Duration::ZERO));
    }

    #[test]
    fn what_no_number_of_steps_explains_is_torn() {
        let mut torn = after(9).show();
        torn[2] = "77".to_owned();
        assert!(judge(&Model::default(), &steps(12, 10, Instant::now()), &torn, Instant::now()).is_none());
    }

    #[test]
    fn later_news_beside_a_loss_is_no_cut() {
        let start = Instant::now();
        let left = |kept| judge(&Model::default(), &steps(12, 12, start), &after(kept).show(), start).unwrap();
        assert!(is_one_cut(&[left(6), left(7)]));
        assert!(!is_one_cut(&[left(2), left(11)]));
    }
}
