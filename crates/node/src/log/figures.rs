//! What INFO persistence says of the log.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

use super::Log;

/// Counters and sizes.
#[derive(Debug)]
pub(crate) struct Figures {
    /// Bytes of all files, now and after the last rewrite.
    pub(super) current_bytes: AtomicU64,
    pub(super) rewritten_bytes: AtomicU64,
    delayed: AtomicU64,
    held: AtomicU64,
    write_ok: AtomicBool,
    pub(super) rewrite_ok: AtomicBool,
    pub(super) rewrites: AtomicU64,
    pub(super) failures_in_a_row: AtomicU64,
    pub(super) last_rewrite_s: AtomicI64,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            current_bytes: AtomicU64::new(0),
            rewritten_bytes: AtomicU64::new(0),
            delayed: AtomicU64::new(0),
            held: AtomicU64::new(0),
            write_ok: AtomicBool::new(true),
            rewrite_ok: AtomicBool::new(true),
            rewrites: AtomicU64::new(0),
            failures_in_a_row: AtomicU64::new(0),
            last_rewrite_s: AtomicI64::new(-1),
        }
    }
}

impl Figures {
    pub(super) fn add_bytes(&self, bytes: u64) {
        self.current_bytes.fetch_add(bytes, Relaxed);
    }

    /// A sync came later than promised, and writers had to wait for it.
    pub(super) fn count_delayed(&self) {
        self.delayed.fetch_add(1, Relaxed);
    }

    /// A reply had to wait for the disk.
    pub(super) fn count_held(&self) {
        self.held.fetch_add(1, Relaxed);
    }

    pub(super) fn set_write_ok(&self, ok: bool) {
        self.write_ok.store(ok, Relaxed);
    }

    pub(super) fn set_size(&self, current: u64) {
        self.current_bytes.store(current, Relaxed);
        self.rewritten_bytes.store(current, Relaxed);
    }
}

impl Log {
    /// The lines of INFO.
    pub(crate) fn info(&self, out: &mut String) {
        let figures = &self.figures;
        let word = |ok: &AtomicBool| if ok.load(Relaxed) { "ok" } else { "err" };
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "aof_enabled:{}\r\naof_rewrite_in_progress:{}\r\naof_rewrite_scheduled:{}\r\n\
             aof_last_rewrite_time_sec:{}\r\naof_current_rewrite_time_sec:{}\r\naof_last_bgrewrite_status:{}\r\n\
             aof_rewrites:{}\r\naof_rewrites_consecutive_failures:{}\r\naof_last_write_status:{}\r\n\
             aof_last_cow_size:0\r\nmodule_fork_in_progress:0\r\nmodule_fork_last_cow_size:0\r\n",
            u8::from(self.is_on()),
            u8::from(self.is_rewriting()),
            u8::from(self.rewrite.is_scheduled()),
            figures.last_rewrite_s.load(Relaxed),
            self.rewrite.running_for_s(),
            word(&figures.rewrite_ok),
            figures.rewrites.load(Relaxed),
            figures.failures_in_a_row.load(Relaxed),
            word(&figures.write_ok),
        );
        if self.is_on() {
            let waiting = self.end.load(Relaxed).saturating_sub(self.written.load(Relaxed));
            let _ = write!(
                out,
                "aof_current_size:{}\r\naof_base_size:{}\r\naof_pending_rewrite:0\r\naof_buffer_length:{waiting}\r\n\
                 aof_pending_bio_fsync:{}\r\naof_delayed_fsync:{}\r\naof_held_replies:{}\r\n",
                figures.current_bytes.load(Relaxed),
                figures.rewritten_bytes.load(Relaxed),
                u8::from(self.syncing_since_ms.load(Relaxed) > 0),
                figures.delayed.load(Relaxed),
                figures.held.load(Relaxed),
            );
        }
    }
}
