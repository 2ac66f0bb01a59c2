//! What `maxmemory-policy` says, and what the 24 access bits of an entry mean under it.
//!
//! Most policies keep the second of the last access there. LRM, least recently modified, keeps the second of the last
//! change instead. LFU keeps a counter of eight bits below the minute it was last decayed in; the counter grows with a
//! probability that falls the higher it stands, so that 255 stands for about a million accesses at the default factor
//! (Morris, "Counting large numbers of events in small registers", CACM 1978, with decay as Redis 4 added it).
//!
//! The bits of an entry are not converted when the policy changes: they adjust as entries are used.

use quiver_structures::EntryRef;

use crate::config::Config;
use crate::rng::mix;

/// Which keys are evicted first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// None are evicted.
    None,
    /// The least recently used.
    Lru,
    /// The least frequently used.
    Lfu,
    /// The least recently modified.
    Lrm,
    /// Any.
    Random,
    /// Those that expire soonest.
    Ttl,
}

/// A value of `maxmemory-policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Which keys go first.
    pub order: Order,
    /// Only keys with an expiry go.
    pub volatile_only: bool,
}

/// The words of `maxmemory-policy`; [`Policy::at`] is in the same order.
pub const NAMES: &[&str] = &[
    "volatile-lru",
    "volatile-lfu",
    "volatile-lrm",
    "volatile-random",
    "volatile-ttl",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-lrm",
    "allkeys-random",
    "noeviction",
];

const ORDERS: &[Order] = &[Order::Lru, Order::Lfu, Order::Lrm, Order::Random, Order::Ttl];
/// Policies before this one are about volatile keys; those behind it have no TTL among them.
const VOLATILE: usize = ORDERS.len();

impl Policy {
    /// The policy of the word at `index` of [`NAMES`].
    #[inline]
    pub fn at(index: usize) -> Self {
        let volatile_only = index < VOLATILE;
        let place = if volatile_only { index } else { index - VOLATILE };
        let order = match ORDERS.get(place) {
            Some(Order::Ttl) if !volatile_only => Order::None,
            Some(order) => *order,
            None => Order::None,
        };
        Self { order, volatile_only }
    }
}

/// What a new key's counter starts at, so that it is not the next one to go (Redis: LFU_INIT_VAL).
const COUNTER_START: u32 = 5;
const COUNTER_MAX: u32 = 255;
const COUNTER_BITS: u32 = 8;
const SECONDS_MASK: u32 = 0xff_ffff;
const MINUTES_MASK: u32 = 0xffff;

/// The access clock of a turn: makes stamps and reads them.
#[derive(Clone, Copy, Debug)]
pub struct Stamps {
    order: Order,
    seconds: u32,
    minutes: u32,
    log_factor: u32,
    decay_minutes: u32,
    /// State of the sequence of random numbers that counters grow by.
    random: u64,
}

impl Stamps {
    /// The clock at a time under the configured policy.
    #[inline]
    pub fn new(now_ms: i64, config: &Config) -> Self {
        let order = config.maxmemory_policy().order;
        let (log_factor, decay_minutes) = match order {
            Order::Lfu => (config.lfu_log_factor(), config.lfu_decay_time()),
            _ => (0, 0),
        };
        Self {
            order,
            seconds: Self::seconds_at(now_ms),
            minutes: (now_ms / 60_000) as u32 & MINUTES_MASK,
            log_factor: log_factor as u32,
            decay_minutes: decay_minutes as u32,
            random: 0,
        }
    }

    /// The second of a time as a stamp: 24 bits, which wrap after 194 days.
    pub const fn seconds_at(now_ms: i64) -> u32 {
        (now_ms / 1000) as u32 & SECONDS_MASK
    }

    /// What stamps are for.
    pub fn order(&self) -> Order {
        self.order
    }

    /// Whether stamps are counters, for which [`Self::seed`] has to be called.
    #[inline]
    pub fn counts(&self) -> bool {
        self.order == Order::Lfu
    }

    /// Begins a sequence of random numbers.
    pub fn seed(&mut self, seed: u64) {
        self.random = seed;
    }

    /// Whether a change of a key has to be stamped apart from its access.
    #[inline]
    pub fn marks_changes(&self) -> bool {
        self.order == Order::Lrm
    }

    /// The stamp of a new entry, and of one that was just changed under LRM.
    #[inline]
    pub fn fresh(&self) -> u32 {
        if self.counts() { self.minutes << COUNTER_BITS | COUNTER_START } else { self.seconds }
    }

    /// Marks an access: under most policies one store.
    #[inline]
    pub fn touch<O>(&mut self, entry: &EntryRef<'_, O>) {
        match self.order {
            Order::Lrm => {}
            Order::Lfu => entry.set_access(self.counted(entry.access())),
            _ => entry.set_access(self.seconds),
        }
    }

    /// Marks a change.
    #[inline]
    pub fn mark_change<O>(&self, entry: &EntryRef<'_, O>) {
        entry.set_access(self.fresh());
    }

    /// The stamp of an entry whose value is overwritten: its counter goes on.
    #[inline]
    pub fn overwritten(&mut self, old: Option<u32>) -> u32 {
        match old {
            Some(old) if self.counts() => self.counted(old),
            _ => self.fresh(),
        }
    }

    /// A stamp `idle_s` seconds old; `None` where stamps are counters.
    pub fn idle_since(&self, idle_s: i64) -> Option<u32> {
        let ago = (idle_s.min(i64::from(SECONDS_MASK))) as u32;
        (!self.counts()).then(|| self.seconds.wrapping_sub(ago) & SECONDS_MASK)
    }

    /// A stamp with this counter; `None` where stamps are no counters.
    pub fn with_frequency(&self, counter: u8) -> Option<u32> {
        self.counts().then(|| self.minutes << COUNTER_BITS | u32::from(counter))
    }

    /// Seconds since the access or change a stamp tells of; `None` where stamps are counters.
    pub fn idle_s(&self, stamp: u32) -> Option<u32> {
        (!self.counts()).then(|| self.seconds.wrapping_sub(stamp) & SECONDS_MASK)
    }

    /// The counter in a stamp, decayed; `None` where stamps are no counters.
    pub fn frequency(&self, stamp: u32) -> Option<u8> {
        self.counts().then(|| self.decayed(stamp) as u8)
    }

    /// How much an entry deserves to go, to be compared with others under the same policy.
    pub fn score<O>(&self, entry: &EntryRef<'_, O>) -> u64 {
        match self.order {
            Order::Lru | Order::Lrm => u64::from(self.seconds.wrapping_sub(entry.access()) & SECONDS_MASK),
            Order::Lfu => u64::from(COUNTER_MAX - self.decayed(entry.access())),
            Order::Ttl => entry.expire_at().map_or(0, |at| i64::MAX.abs_diff(at)),
            Order::Random | Order::None => 0,
        }
    }

    fn decayed(&self, stamp: u32) -> u32 {
        let (counter, minute) = (stamp & COUNTER_MAX, stamp >> COUNTER_BITS);
        let elapsed = self.minutes.wrapping_sub(minute) & MINUTES_MASK;
        counter.saturating_sub(elapsed.checked_div(self.decay_minutes).unwrap_or(0))
    }

    /// The stamp after one more access, for which a random number is drawn.
    fn counted(&mut self, stamp: u32) -> u32 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let counter = self.decayed(stamp);
        let above = u64::from(counter.saturating_sub(COUNTER_START));
        // Grows with probability 1 / (above * factor + 1): the random number falls into the first of so many parts.
        let parts = above * u64::from(self.log_factor) + 1;
        let grows = counter < COUNTER_MAX && (u128::from(mix(self.random)) * u128::from(parts)) >> 64 == 0;
        self.minutes << COUNTER_BITS | (counter + u32::from(grows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(policy: &str, now_ms: i64) -> Stamps {
        let config = Config::default();
        config.set("maxmemory-policy", policy, true).unwrap();
        Stamps::new(now_ms, &config)
    }

    #[test]
    fn every_name_stands_at_its_policy() {
        for (index, name) in NAMES.iter().enumerate() {
            let Policy { order, volatile_only } = Policy::at(index);
            let tail = match order {
                Order::None => "noeviction",
                Order::Lru => "-lru",
                Order::Lfu => "-lfu",
                Order::Lrm => "-lrm",
                Order::Random => "-random",
                Order::Ttl => "-ttl",
            };
            assert!(name.ends_with(tail), "{name} is {order:?}");
            assert_eq!(volatile_only, name.starts_with("volatile"), "{name}");
        }
    }

    #[test]
    fn a_counter_grows_ever_more_slowly_and_stops_at_255() {
        let mut clock = stamps("allkeys-lfu", 0);
        clock.seed(7);
        let mut stamp = clock.fresh();
        let mut after = |accesses: usize| {
            for _ in 0..accesses {
                stamp = clock.counted(stamp);
            }
            clock.frequency(stamp).unwrap()
        };
        // The table in redis.conf for factor 10: 10, 18, 142, 255 after 100, 1000, 100k and 1M hits.
        assert!((8..=14).contains(&after(100)));
        assert!((14..=24).contains(&after(900)));
        assert!((120..=165).contains(&after(99_000)));
        assert_eq!(after(1_900_000), 255);
        assert_eq!(after(10), 255);
    }

    #[test]
    fn a_counter_loses_one_per_decay_time() {
        let start = stamps("volatile-lfu", 0);
        let stamp = start.with_frequency(20).unwrap();
        let after = |minutes: i64| stamps("volatile-lfu", minutes * 60_000).frequency(stamp).unwrap();
        assert_eq!([after(0), after(1), after(19), after(20), after(500)], [20, 19, 1, 0, 0]);
        assert_eq!(start.idle_s(stamp), None);
        assert_eq!(stamps("allkeys-lru", 0).frequency(stamp), None);
    }

    #[test]
    fn idle_time_survives_the_wrap_of_its_clock() {
        let late = stamps("allkeys-lru", i64::from(SECONDS_MASK) * 1000);
        let stamp = late.fresh();
        assert_eq!(stamps("allkeys-lru", (i64::from(SECONDS_MASK) + 11) * 1000).idle_s(stamp), Some(11));
        assert_eq!(late.idle_s(late.idle_since(30).unwrap()), Some(30));
    }
}
