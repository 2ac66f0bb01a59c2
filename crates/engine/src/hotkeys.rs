//! The keys that cost most, by time and by bytes, while somebody looks for them (HOTKEYS).
//!
//! Each metric is a Space-Saving summary (Metwally, Agrawal, El Abbadi 2005): a bounded number of counted keys, where a
//! new key takes the place of the smallest and its count, so a key that is really hot is never missed and its figure is
//! at most too high. Nobody looking costs one relaxed load per command.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::Mutex;

/// Most keys a session may ask for.
pub const KEYS_MAX: usize = 64;

/// Counted keys for each key asked for.
const COUNTED_PER_KEY: usize = 16;

/// Longer keys are not counted: the summary must stay small.
const KEY_BYTES_MAX: usize = 4096;

/// What a session was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Time of commands.
    pub cpu: bool,
    /// Bytes of requests and replies.
    pub net: bool,
    /// Keys to name.
    pub keys: usize,
    /// One of so many commands is looked at.
    pub sample: u64,
    /// It ends by itself at this time, ms.
    pub until_ms: Option<i64>,
}

/// What a session found.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are those of HOTKEYS GET")]
pub struct Report {
    pub wanted: Wanted,
    pub active: bool,
    pub started_ms: i64,
    pub duration_ms: i64,
    pub all_us: u64,
    pub all_bytes: u64,
    pub cpu_ms: (u64, u64),
    pub by_time_us: Vec<(Box<[u8]>, u64)>,
    pub by_bytes: Vec<(Box<[u8]>, u64)>,
}

/// The search for hot keys.
#[derive(Debug, Default)]
pub struct HotKeys {
    active: AtomicBool,
    session: Mutex<Option<Session>>,
}

#[derive(Debug)]
struct Session {
    wanted: Wanted,
    started_ms: i64,
    stopped_ms: Option<i64>,
    cpu_at_start_ms: (u64, u64),
    cpu_at_stop_ms: (u64, u64),
    commands: u64,
    all_ns: u64,
    all_bytes: u64,
    times: Summary,
    bytes: Summary,
}

impl HotKeys {
    /// Whether a session runs.
    #[inline]
    pub fn is_active(&self) -> bool {
        self.active.load(Relaxed)
    }

    /// Begins a session in the place of one that ended; `false` when one runs. `cpu_ms` is what the process used so
    /// far, in user mode and for the system.
    pub fn start(&self, wanted: Wanted, now_ms: i64, cpu_ms: (u64, u64)) -> bool {
        let mut session = self.session.lock();
        end_when_due(&mut session, &self.active, now_ms, cpu_ms);
        if self.is_active() {
            return false;
        }
        let counted = wanted.keys * COUNTED_PER_KEY;
        *session = Some(Session {
            wanted,
            started_ms: now_ms,
            stopped_ms: None,
            cpu_at_start_ms: cpu_ms,
            cpu_at_stop_ms: cpu_ms,
            commands: 0,
            all_ns: 0,
            all_bytes: 0,
            times: Summary::new(counted),
            bytes: Summary::new(counted),
        });
        self.active.store(true, Relaxed);
        true
    }

    /// Ends the session and keeps what it found; `false` when none runs.
    pub fn stop(&self, now_ms: i64, cpu_ms: (u64, u64)) -> bool {
        let mut session = self.session.lock();
        end_when_due(&mut session, &self.active, now_ms, cpu_ms);
        if !self.active.swap(false, Relaxed) {
            return false;
        }
        if let Some(session) = session.as_mut() {
            (session.stopped_ms, session.cpu_at_stop_ms) = (Some(now_ms), cpu_ms);
        }
        true
    }

    /// Forgets what was found; `false` when a session runs.
    pub fn reset(&self, now_ms: i64, cpu_ms: (u64, u64)) -> bool {
        let mut session = self.session.lock();
        end_when_due(&mut session, &self.active, now_ms, cpu_ms);
        if self.is_active() {
            return false;
        }
        *session = None;
        true
    }

    /// What was found so far; `None` without a session.
    pub fn report(&self, now_ms: i64, cpu_ms: (u64, u64)) -> Option<Report> {
        let mut session = self.session.lock();
        end_when_due(&mut session, &self.active, now_ms, cpu_ms);
        let session = session.as_ref()?;
        let cpu_ms = if session.stopped_ms.is_some() { session.cpu_at_stop_ms } else { cpu_ms };
        let since = session.cpu_at_start_ms;
        Some(Report {
            wanted: session.wanted,
            active: session.stopped_ms.is_none(),
            started_ms: session.started_ms,
            duration_ms: session.stopped_ms.unwrap_or(now_ms) - session.started_ms,
            all_us: session.all_ns / 1000,
            all_bytes: session.all_bytes,
            cpu_ms: (cpu_ms.0.saturating_sub(since.0), cpu_ms.1.saturating_sub(since.1)),
            by_time_us: session.times.top(session.wanted.keys, 1000),
            by_bytes: session.bytes.top(session.wanted.keys, 1),
        })
    }

    /// Counts a command that used these keys; several keys share its cost.
    pub(crate) fn note<'k>(&self, keys: impl ExactSizeIterator<Item = &'k [u8]>, ns: u64, bytes: u64, now_ms: i64) {
        let mut session = self.session.lock();
        let Some(session) = session.as_mut().filter(|session| session.stopped_ms.is_none()) else { return };
        if session.wanted.until_ms.is_some_and(|until_ms| now_ms > until_ms) {
            return;
        }
        session.all_ns += ns;
        session.all_bytes += bytes;
        session.commands += 1;
        if !session.commands.is_multiple_of(session.wanted.sample) || keys.len() == 0 {
            return;
        }
        let share = keys.len() as u64;
        for key in keys.filter(|key| key.len() <= KEY_BYTES_MAX) {
            if session.wanted.cpu {
                session.times.add(key, ns / share);
            }
            if session.wanted.net {
                session.bytes.add(key, bytes / share);
            }
        }
    }
}

/// Ends a session whose time is over, at the moment it was over.
fn end_when_due(session: &mut Option<Session>, active: &AtomicBool, now_ms: i64, cpu_ms: (u64, u64)) {
    let Some(session) = session.as_mut() else { return };
    if let Some(until_ms) =
        session.wanted.until_ms.filter(|until_ms| now_ms > *until_ms && session.stopped_ms.is_none())
    {
        (session.stopped_ms, session.cpu_at_stop_ms) = (Some(until_ms), cpu_ms);
        active.store(false, Relaxed);
    }
}

/// The heaviest keys, approximately.
#[derive(Debug)]
struct Summary {
    counted_max: usize,
    counts: BTreeMap<Box<[u8]>, u64>,
    /// The same in order of counts.
    order: BTreeSet<(u64, Box<[u8]>)>,
}

impl Summary {
    fn new(counted_max: usize) -> Self {
        Self { counted_max, counts: BTreeMap::new(), order: BTreeSet::new() }
    }

    fn add(&mut self, key: &[u8], weight: u64) {
        let (name, old) = match self.counts.get(key) {
            Some(count) => {
                let known = (*count, Box::from(key));
                self.order.remove(&known);
                (known.1, known.0)
            }
            None if self.counts.len() < self.counted_max => (key.into(), 0),
            None => match self.order.pop_first() {
                Some((smallest, evicted)) => {
                    self.counts.remove(&evicted);
                    (key.into(), smallest)
                }
                None => return,
            },
        };
        self.counts.insert(name.clone(), old + weight);
        self.order.insert((old + weight, name));
    }

    fn top(&self, keys: usize, unit: u64) -> Vec<(Box<[u8]>, u64)> {
        let heaviest = self.order.iter().rev().take(keys);
        heaviest.map(|(count, key)| (key.clone(), count / unit)).filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_keys_are_found_among_many_light_ones() {
        let mut summary = Summary::new(64);
        for i in 0..20_000u32 {
            summary.add(&i.to_le_bytes(), 1);
            if i % 4 == 0 {
                summary.add(b"hot", 3);
            }
            if i % 10 == 0 {
                summary.add(b"warm", 6);
            }
        }
        let top = summary.top(2, 1);
        assert_eq!([&*top[0].0, &*top[1].0], [b"hot".as_slice(), b"warm"]);
        assert!(top[0].1 >= 15_000 && top[1].1 >= 12_000);
        assert_eq!(summary.counts.len(), 64);
        assert_eq!(summary.order.len(), 64);
    }
}
