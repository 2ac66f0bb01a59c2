//! How soon the system ends this process when memory runs out (`oom-score-adj`): Linux reads it from a file.

use parking_lot::Mutex;
use quiver_engine::Engine;
use std::sync::atomic::Ordering::Relaxed;

const FILE: &str = "/proc/self/oom_score_adj";
const FAILED: &str = "Failed to apply new oom_score_adj configuration, check server logs.";

/// The score that was in effect before this process changed it; `None` while it is.
#[derive(Debug, Default)]
pub(crate) struct OomScore(Mutex<Option<i32>>);

impl OomScore {
    /// Sets the score as configured for what this instance is, primary or replica.
    ///
    /// # Errors
    /// The system has no such score, or refuses a lower one.
    pub(crate) fn apply(&self, engine: &Engine) -> Result<(), &'static str> {
        let mode = engine.config.get("oom-score-adj");
        let values = engine.config.get("oom-score-adj-values");
        let is_replica = usize::from(engine.state.is_replica.load(Relaxed));
        let value: i32 = values.split(' ').nth(is_replica).and_then(|word| word.parse().ok()).unwrap_or(0);
        let mut before = self.0.lock();
        match (mode.as_str(), *before) {
            ("no", None) => Ok(()),
            ("no", Some(score)) => {
                write(score)?;
                *before = None;
                Ok(())
            }
            (mode, known) => {
                let base = known.or_else(read).ok_or(FAILED)?;
                write(if mode == "absolute" { value } else { base + value })?;
                *before = Some(base);
                Ok(())
            }
        }
    }
}

fn read() -> Option<i32> {
    std::fs::read_to_string(FILE).ok()?.trim().parse().ok()
}

fn write(score: i32) -> Result<(), &'static str> {
    std::fs::write(FILE, score.clamp(-1000, 1000).to_string()).map_err(|_| FAILED)
}
