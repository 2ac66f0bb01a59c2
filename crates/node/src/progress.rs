//! How far loading and saving are, as INFO and the log tell it.

use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use quiver_persist::{LoadProgress, Loaded, SaveProgress};
use tracing::info;

use crate::clock::now_ms;

/// A line of the log is written when so much more is done, and not before so long after the last one.
const LOG_PERCENT: u64 = 10;
const LOG_EVERY_MS: i64 = 1000;

/// The share `part` has of `whole`, in percent, with the decimals that Redis prints.
fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

/// When progress was logged last.
#[derive(Debug, Default)]
struct Logged {
    percent: AtomicU64,
    at_ms: AtomicI64,
}

impl Logged {
    fn begin(&self) {
        self.percent.store(0, Relaxed);
        self.at_ms.store(now_ms(), Relaxed);
    }

    /// Whether progress is worth a line.
    fn is_due(&self, percent: u64) -> bool {
        if percent < self.percent.load(Relaxed) + LOG_PERCENT {
            return false;
        }
        let now = now_ms();
        let due = now - self.at_ms.load(Relaxed) >= LOG_EVERY_MS;
        if due {
            self.percent.store(percent, Relaxed);
            self.at_ms.store(now, Relaxed);
        }
        due
    }
}

/// Loading a file.
#[derive(Debug, Default)]
pub(crate) struct Loading {
    started_ms: AtomicI64,
    total_bytes: AtomicU64,
    bytes: AtomicU64,
    used_memory_bytes: AtomicU64,
    logged: Logged,
    last_keys: AtomicU64,
    last_expired: AtomicU64,
}

impl Loading {
    pub(crate) fn begin(&self, path: &Path) {
        self.started_ms.store(now_ms(), Relaxed);
        self.bytes.store(0, Relaxed);
        self.used_memory_bytes.store(0, Relaxed);
        self.total_bytes.store(std::fs::metadata(path).map_or(0, |file| file.len()), Relaxed);
        self.logged.begin();
    }

    pub(crate) fn advance(&self, path: &Path, now: LoadProgress) {
        self.bytes.store(now.bytes, Relaxed);
        self.used_memory_bytes.store(now.used_memory_bytes, Relaxed);
        let percent = percent(now.bytes, self.total_bytes.load(Relaxed)) as u64;
        if self.logged.is_due(percent) {
            info!("loading {}: {percent} %, {} keys, {} s to go", path.display(), now.keys, self.left_s());
        }
    }

    pub(crate) fn end(&self, loaded: &Loaded) {
        self.last_keys.store(loaded.keys, Relaxed);
        self.last_expired.store(loaded.expired, Relaxed);
    }

    /// What INFO says of the last load, finished.
    pub(crate) fn last_info(&self, out: &mut String) {
        let _ = write!(
            out,
            "rdb_last_load_keys_expired:{}\r\nrdb_last_load_keys_loaded:{}\r\n",
            self.last_expired.load(Relaxed),
            self.last_keys.load(Relaxed),
        );
    }

    /// What INFO says while it lasts.
    pub(crate) fn info(&self, out: &mut String) {
        let (bytes, total) = (self.bytes.load(Relaxed), self.total_bytes.load(Relaxed));
        let _ = write!(
            out,
            "loading_start_time:{}\r\nloading_total_bytes:{total}\r\nloading_rdb_used_mem:{}\r\n\
             loading_loaded_bytes:{bytes}\r\nloading_loaded_perc:{:.2}\r\nloading_eta_seconds:{}\r\n",
            self.started_ms.load(Relaxed) / 1000,
            self.used_memory_bytes.load(Relaxed),
            percent(bytes, total),
            self.left_s(),
        );
    }

    /// Seconds to go if the rest takes as long as what is done; 1 while nothing is known.
    fn left_s(&self) -> u64 {
        let (bytes, total) = (self.bytes.load(Relaxed), self.total_bytes.load(Relaxed));
        let spent_ms = (now_ms() - self.started_ms.load(Relaxed)).max(0) as u64;
        match bytes {
            0 => 1,
            bytes => (spent_ms as u128 * u128::from(total.saturating_sub(bytes)) / u128::from(bytes) / 1000) as u64,
        }
    }
}

/// Saving.
#[derive(Debug, Default)]
pub(crate) struct Saving {
    keys_total: AtomicU64,
    keys_done: AtomicU64,
    copied_bytes: AtomicU64,
    copied_bytes_max: AtomicU64,
    copied_at_ms: AtomicI64,
    last_copied_bytes_max: AtomicU64,
    logged: Logged,
}

impl Saving {
    pub(crate) fn begin(&self) {
        self.end();
        self.logged.begin();
    }

    pub(crate) fn advance(&self, now: SaveProgress) {
        let (copied, copied_max) = now.copied_bytes;
        self.keys_total.store(now.keys_total as u64, Relaxed);
        self.keys_done.store(now.keys_done, Relaxed);
        self.copied_bytes.store(copied as u64, Relaxed);
        self.copied_bytes_max.store(copied_max as u64, Relaxed);
        self.last_copied_bytes_max.store(copied_max as u64, Relaxed);
        self.copied_at_ms.store(now_ms(), Relaxed);
        let percent = percent(now.keys_done, now.keys_total as u64) as u64;
        if self.logged.is_due(percent) {
            info!("saving: {percent} %, {} keys, {} bytes written", now.keys_done, now.bytes);
        }
    }

    pub(crate) fn end(&self) {
        for figure in [&self.keys_total, &self.keys_done, &self.copied_bytes, &self.copied_bytes_max] {
            figure.store(0, Relaxed);
        }
        self.copied_at_ms.store(0, Relaxed);
    }

    /// Bytes that writers had copied at most during the last snapshot: what a fork would have cost and did not.
    pub(crate) fn last_copied_bytes_max(&self) -> u64 {
        self.last_copied_bytes_max.load(Relaxed)
    }

    /// What INFO says of the running snapshot, or none.
    pub(crate) fn info(&self, out: &mut String) {
        let (done, total) = (self.keys_done.load(Relaxed), self.keys_total.load(Relaxed));
        let copied_at_ms = self.copied_at_ms.load(Relaxed);
        let age_s = if copied_at_ms == 0 { 0 } else { (now_ms() - copied_at_ms) / 1000 };
        let _ = write!(
            out,
            "current_cow_peak:{}\r\ncurrent_cow_size:{}\r\ncurrent_cow_size_age:{age_s}\r\n\
             current_fork_perc:{:.2}\r\ncurrent_save_keys_processed:{done}\r\ncurrent_save_keys_total:{total}\r\n",
            self.copied_bytes_max.load(Relaxed),
            self.copied_bytes.load(Relaxed),
            percent(done, total),
        );
    }
}
