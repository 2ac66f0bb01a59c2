//! What is tried again after a failure, how often, and after what pause.
//!
//! Pauses double up to a bound and are drawn at random below it ("full jitter"), so that clients that failed together do
//! not come back together.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use quiver_client::{Error, Value};

/// Refusals of a server that does not run the command now.
const REFUSALS: [&[u8]; 5] = [b"LOADING ", b"BUSY ", b"TRYAGAIN ", b"MASTERDOWN ", b"CLUSTERDOWN "];

/// How often something is tried, and with what pauses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retry {
    attempts: u32,
    base: Duration,
    cap: Duration,
}

impl Retry {
    /// From attempts, base and cap in seconds.
    pub(crate) fn new((attempts, base, cap): (u32, f64, f64)) -> PyResult<Self> {
        let seconds = |value: f64| {
            Duration::try_from_secs_f64(value).map_err(|_| PyValueError::new_err("a pause must be a number of seconds"))
        };
        Ok(Self { attempts: attempts.max(1), base: seconds(base)?, cap: seconds(cap)? })
    }

    /// The pause before the next attempt when `failed` have failed; `None` when there is none.
    pub(crate) fn pause(&self, failed: u32) -> Option<Duration> {
        if failed >= self.attempts {
            return None;
        }
        let bound = self.base.saturating_mul(1 << (failed - 1).min(16)).min(self.cap);
        let random = RandomState::new().build_hasher().finish();
        Some(bound.mul_f64(random as f64 / u64::MAX as f64))
    }
}

/// Whether the server could not be reached, or answered that it runs nothing now: nothing has happened then.
pub(crate) fn nothing_ran(error: &Error) -> bool {
    match error {
        Error::Server(text) => is_refusal(text.as_bytes()),
        _ => false,
    }
}

/// Whether another attempt may go better.
pub(crate) fn may_pass(error: &Error) -> bool {
    matches!(error, Error::Io(_) | Error::Timeout | Error::Closed) || nothing_ran(error)
}

/// Whether a reply says that nothing runs now.
pub(crate) fn refuses(reply: Option<&Value>) -> bool {
    matches!(reply, Some(Value::Error(text)) if is_refusal(text))
}

fn is_refusal(text: &[u8]) -> bool {
    REFUSALS.iter().any(|code| text.starts_with(code))
}
