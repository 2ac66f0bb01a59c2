//! The latency monitor: what took longer than `latency-monitor-threshold`, by kind of event
//! (<https://redis.io/docs/latest/operate/oss_and_stack/management/optimization/latency-monitor/>).
//!
//! Of each event the last 160 seconds in which it happened are kept, with the worst of each second.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;

/// Samples kept of an event.
const SAMPLES_MAX: usize = 160;

/// One second in which an event took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Unix time, s.
    pub at_s: i64,
    /// The worst of that second, ms.
    pub latency_ms: u64,
}

/// The samples of an event, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// The samples.
    pub samples: VecDeque<Sample>,
    /// The worst since the last reset, ms.
    pub max_ms: u64,
}

/// All events that happened.
#[derive(Debug, Default)]
pub struct Monitor(Mutex<BTreeMap<&'static str, Series>>);

impl Monitor {
    /// Notes that `event` took `latency_ms`; the caller compared it with the threshold.
    pub fn add(&self, event: &'static str, at_s: i64, latency_ms: u64) {
        let mut events = self.0.lock();
        let series = events.entry(event).or_default();
        series.max_ms = series.max_ms.max(latency_ms);
        match series.samples.back_mut() {
            Some(last) if last.at_s == at_s => last.latency_ms = last.latency_ms.max(latency_ms),
            _ => {
                if series.samples.len() == SAMPLES_MAX {
                    series.samples.pop_front();
                }
                series.samples.push_back(Sample { at_s, latency_ms });
            }
        }
    }

    /// A copy of what is known of an event, its name in any case.
    pub fn series(&self, event: &[u8]) -> Option<(&'static str, Series)> {
        let events = self.0.lock();
        let found = events.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(event));
        found.map(|(name, series)| (*name, series.clone()))
    }

    /// Copies of everything, by name.
    pub fn all(&self) -> Vec<(&'static str, Series)> {
        self.0.lock().iter().map(|(name, series)| (*name, series.clone())).collect()
    }

    /// Forgets the events `chosen` picks; gives how many.
    pub fn reset(&self, chosen: impl Fn(&str) -> bool) -> usize {
        let mut events = self.0.lock();
        let before = events.len();
        events.retain(|name, _| !chosen(name));
        before - events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_keeps_its_worst_and_the_oldest_seconds_go() {
        let monitor = Monitor::default();
        for at_s in 0..200 {
            monitor.add("command", at_s, 10);
            monitor.add("command", at_s, if at_s == 30 { 500 } else { 20 });
            monitor.add("command", at_s, 15);
        }
        let (_, series) = monitor.series(b"COMMAND").unwrap();
        assert_eq!(series.samples.len(), SAMPLES_MAX);
        assert_eq!(series.samples[0], Sample { at_s: 40, latency_ms: 20 });
        assert_eq!(series.max_ms, 500);
        assert_eq!(monitor.reset(|name| name == "other"), 0);
        assert_eq!(monitor.reset(|_| true), 1);
        assert!(monitor.all().is_empty());
    }
}
