//! The clocks. Only this crate reads them; the engine is told the time.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Unix time, ms.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as i64)
}

/// Monotonic time since the process began to measure, ns.
pub fn now_ns() -> u64 {
    START.elapsed().as_nanos() as u64
}

/// A seed nobody can guess.
pub(crate) fn random_seed() -> u64 {
    getrandom::u64().unwrap_or_else(|_| now_ns() ^ now_ms() as u64)
}

/// 40 random hexadecimal digits: a run or replication id.
pub(crate) fn random_id() -> String {
    let words = [random_seed(), random_seed(), random_seed()];
    words.iter().map(|word| format!("{word:016x}")).collect::<String>()[..40].to_owned()
}
