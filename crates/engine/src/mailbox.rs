//! Bytes for a client that it did not ask for: messages of channels, keys to forget, lines of MONITOR.
//!
//! Any thread puts them in; only the thread that serves the client takes them out, behind the reply of the command it
//! runs. So a message never stands inside a reply, and what a client causes itself follows the reply to its cause. The
//! dialect is kept under the same lock as the bytes: a message is spelled in the one that is spoken when it is read.
//!
//! Bound: the client's `client-output-buffer-limit`, and [`BYTES_MAX`] where that sets none. A client that does not
//! read is closed, as it is in Redis; nothing waits for it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use quiver_resp::Protocol;

use crate::config::parse_memory;
use crate::engine::Engine;
use crate::session::ClientInfo;

/// Most bytes that wait for a client, whatever the configuration allows.
const BYTES_MAX: u64 = 1 << 30;

/// A drained buffer keeps its memory up to this size: the next message most likely comes soon.
const KEPT_BYTES: usize = 4096;

/// Who causes a message, and when.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    /// Id of the client whose command is running; 0 for none.
    pub id: u64,
    /// Time of the turn, ms since 1970.
    pub now_ms: i64,
}

/// What waits for one client.
#[derive(Debug, Default)]
pub struct Mailbox {
    waiting: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    bytes: Vec<u8>,
    protocol: Protocol,
    /// Since when more waits than the soft limit allows.
    over_soft_since_ms: Option<i64>,
    /// The client is being closed; nothing more is taken in.
    closed: bool,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Put {
    /// It is the first to wait: the client must be woken.
    First,
    /// It stands behind others, or the client is going.
    Behind,
    /// The client does not read; it must go.
    TooMuch,
}

impl Mailbox {
    /// Whether anything waits.
    #[inline]
    pub fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire)
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.inner.lock().bytes.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        !self.is_waiting()
    }

    /// The dialect messages are spelled in.
    pub fn protocol(&self) -> Protocol {
        self.inner.lock().protocol
    }

    /// Takes everything out.
    pub fn drain(&self, write: impl FnOnce(&[u8])) {
        let mut inner = self.inner.lock();
        self.waiting.store(false, Ordering::Release);
        write(&inner.bytes);
        inner.empty();
    }

    /// From now on messages are spelled in another dialect; those that wait are taken out as they are.
    pub(crate) fn speak(&self, protocol: Protocol, write: impl FnOnce(&[u8])) {
        let mut inner = self.inner.lock();
        self.waiting.store(false, Ordering::Release);
        write(&inner.bytes);
        inner.empty();
        inner.protocol = protocol;
    }

    /// Puts a message in. It is spelled in RESP3; where it begins with the mark of a push, RESP2 has that of an array.
    fn put(&self, message: &[u8], unsent: u64, limit: OutputLimit, now_ms: i64) -> Put {
        let mut inner = self.inner.lock();
        if inner.closed {
            return Put::Behind;
        }
        let start = inner.bytes.len();
        inner.bytes.extend_from_slice(message);
        if inner.protocol == Protocol::Resp2 && message.first() == Some(&b'>') {
            inner.bytes[start] = b'*';
        }
        if inner.over(limit, unsent, now_ms) {
            inner.closed = true;
            inner.bytes = Vec::new();
            return Put::TooMuch;
        }
        let first = !self.waiting.swap(true, Ordering::AcqRel);
        if first { Put::First } else { Put::Behind }
    }

    /// Whether the client holds more than it may, `unsent` bytes beside what waits here.
    fn over(&self, limit: OutputLimit, unsent: u64, now_ms: i64) -> bool {
        self.inner.lock().over(limit, unsent, now_ms)
    }
}

impl Inner {
    fn empty(&mut self) {
        self.bytes.clear();
        if self.bytes.capacity() > KEPT_BYTES {
            self.bytes = Vec::new();
        }
    }

    fn over(&mut self, limit: OutputLimit, unsent: u64, now_ms: i64) -> bool {
        let held = self.bytes.len() as u64 + unsent;
        if limit.over_hard(held) {
            return true;
        }
        if limit.soft == 0 || held < limit.soft {
            self.over_soft_since_ms = None;
            return false;
        }
        let since_ms = *self.over_soft_since_ms.get_or_insert(now_ms);
        (now_ms - since_ms) / 1000 > limit.soft_s as i64
    }
}

impl Engine {
    /// Puts a message into a client's mailbox and wakes the client, or closes it when it does not read.
    pub(crate) fn push(&self, client: &ClientInfo, from: Sender, message: &[u8]) {
        let limit = self.config.output_limits.of(client.output_class());
        match client.mailbox.put(message, client.output_bytes.load(Ordering::Relaxed), limit, from.now_ms) {
            // Whoever runs a command looks into its own mailbox when it is done.
            Put::First if client.id != from.id => client.wake(),
            Put::First | Put::Behind => {}
            Put::TooMuch => self.close_slow(client),
        }
    }

    /// Closes clients that have held more than their soft limit for too long.
    pub fn close_slow_readers(&self, now_ms: i64) {
        for client in self.clients.lock().values() {
            let unsent = client.output_bytes.load(Ordering::Relaxed);
            let limit = self.config.output_limits.of(client.output_class());
            if (unsent > 0 || client.mailbox.is_waiting()) && client.mailbox.over(limit, unsent, now_ms) {
                self.close_slow(client);
            }
        }
    }

    /// Closes a client for what waits for it.
    pub fn close_slow(&self, client: &ClientInfo) {
        self.stats.output_limit_disconnections.fetch_add(1, Ordering::Relaxed);
        client.kill();
    }
}

// --- limits -------------------------------------------------------------------------------------------------------

/// Classes of clients with limits of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputClass {
    /// Everybody else.
    Normal,
    /// Those that read the stream.
    Replica,
    /// Subscribers.
    Pubsub,
}

/// Names in the order they are printed.
const CLASSES: [&str; 3] = ["normal", "slave", "pubsub"];

/// What may wait for a client; 0 for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// Bytes that close it at once.
    pub hard: u64,
    /// Bytes that close it after `soft_s` seconds.
    pub soft: u64,
    /// Seconds.
    pub soft_s: u64,
}

impl OutputLimit {
    /// Whether this is more than may ever wait.
    pub fn over_hard(self, held: u64) -> bool {
        held > BYTES_MAX || self.hard > 0 && held >= self.hard
    }
}

/// The limits of all classes, read without a lock.
#[derive(Debug, Default)]
pub struct OutputLimits([[AtomicU64; 3]; 3]);

impl OutputLimits {
    /// Those of one class.
    pub fn of(&self, class: OutputClass) -> OutputLimit {
        let [hard, soft, soft_s] = self.0[class as usize].each_ref().map(|number| number.load(Ordering::Relaxed));
        OutputLimit { hard, soft, soft_s }
    }

    /// Takes over what [`merge_limits`] gave.
    pub(crate) fn store(&self, text: &str) {
        for (class, limit) in parse(text).into_iter().flatten() {
            let numbers = [limit.hard, limit.soft, limit.soft_s];
            self.0[class].iter().zip(numbers).for_each(|(number, value)| number.store(value, Ordering::Relaxed));
        }
    }
}

/// The value of `client-output-buffer-limit` after `change` was said to one that was `current`: classes that are not
/// named keep their limits.
///
/// # Errors
/// The reason in Redis' words.
pub(crate) fn merge_limits(current: &str, change: &str) -> Result<String, String> {
    let mut limits = [OutputLimit::default(); 3];
    for (class, limit) in parse(current).into_iter().flatten().chain(parse(change)?) {
        limits[class] = limit;
    }
    let shown = CLASSES.iter().zip(limits).map(|(name, l)| format!("{name} {} {} {}", l.hard, l.soft, l.soft_s));
    Ok(shown.collect::<Vec<_>>().join(" "))
}

fn parse(text: &str) -> Result<Vec<(usize, OutputLimit)>, String> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let (groups, rest) = words.as_chunks::<4>();
    if !rest.is_empty() {
        return Err("Wrong number of arguments in buffer limit configuration.".to_owned());
    }
    let parsed = groups.iter().map(|[class, hard, soft, seconds]| {
        let class = match class.to_ascii_lowercase().as_str() {
            "replica" => 1,
            name => CLASSES
                .iter()
                .position(|known| *known == name)
                .ok_or_else(|| "Invalid client class specified in buffer limit configuration.".to_owned())?,
        };
        let bytes = |text: &str| parse_memory(text).and_then(|bytes| u64::try_from(bytes).ok());
        match (bytes(hard), bytes(soft), seconds.parse()) {
            (Some(hard), Some(soft), Ok(soft_s)) => Ok((class, OutputLimit { hard, soft, soft_s })),
            _ => Err("Error in hard, soft or soft_seconds setting in buffer limit configuration.".to_owned()),
        }
    });
    parsed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLENTY: OutputLimit = OutputLimit { hard: 0, soft: 0, soft_s: 0 };

    fn drained(mailbox: &Mailbox) -> Vec<u8> {
        let mut taken = Vec::new();
        mailbox.drain(|bytes| taken.extend_from_slice(bytes));
        taken
    }

    #[test]
    fn only_the_first_message_that_waits_wakes_the_client() {
        let mailbox = Mailbox::default();
        assert_eq!(mailbox.put(b"+a\r\n", 0, PLENTY, 0), Put::First);
        assert_eq!(mailbox.put(b"+b\r\n", 0, PLENTY, 0), Put::Behind);
        assert_eq!(drained(&mailbox), b"+a\r\n+b\r\n");
        assert!(!mailbox.is_waiting());
        assert_eq!(mailbox.put(b"+c\r\n", 0, PLENTY, 0), Put::First);
    }

    #[test]
    fn a_push_is_an_array_until_the_client_speaks_resp3() {
        let mailbox = Mailbox::default();
        mailbox.put(b">1\r\n+a\r\n", 0, PLENTY, 0);
        let mut before = Vec::new();
        mailbox.speak(Protocol::Resp3, |bytes| before.extend_from_slice(bytes));
        mailbox.put(b">1\r\n+a\r\n", 0, PLENTY, 0);
        assert_eq!((before.as_slice(), drained(&mailbox).as_slice()), (&b"*1\r\n+a\r\n"[..], &b">1\r\n+a\r\n"[..]));
    }

    #[test]
    fn the_hard_limit_counts_what_the_socket_has_not_taken_and_frees_what_waits() {
        let mailbox = Mailbox::default();
        let limit = OutputLimit { hard: 10, ..PLENTY };
        assert_eq!(mailbox.put(b"12345", 0, limit, 0), Put::First);
        assert_eq!(mailbox.put(b"1234", 1, limit, 0), Put::TooMuch);
        assert_eq!(mailbox.len(), 0);
        assert_eq!(mailbox.put(b"1", 0, limit, 0), Put::Behind);
        assert_eq!(mailbox.len(), 0, "a client that is going gets nothing more");
    }

    #[test]
    fn the_soft_limit_closes_only_who_stays_above_it() {
        let mailbox = Mailbox::default();
        let limit = OutputLimit { soft: 4, soft_s: 2, ..PLENTY };
        assert_eq!(mailbox.put(b"1234", 0, limit, 0), Put::First);
        assert!(!mailbox.over(limit, 0, 2_000));
        drained(&mailbox);
        assert!(!mailbox.over(limit, 0, 5_000), "below the limit again");
        mailbox.put(b"1234", 0, limit, 6_000);
        assert!(!mailbox.over(limit, 0, 8_999));
        assert!(mailbox.over(limit, 0, 9_000));
    }

    #[test]
    fn limits_of_classes_that_are_not_named_stay() {
        let default = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";
        assert_eq!(merge_limits("", default).unwrap(), default);
        assert_eq!(
            merge_limits(default, "replica 1mb 2kb 3 NORMAL 1 2 3").unwrap(),
            "normal 1 2 3 slave 1048576 2048 3 pubsub 33554432 8388608 60"
        );
        for (text, reason) in [
            ("normal 1 2", "Wrong number of arguments in buffer limit configuration."),
            ("master 1 2 3", "Invalid client class specified in buffer limit configuration."),
            ("normal x 2 3", "Error in hard, soft or soft_seconds setting in buffer limit configuration."),
            ("normal 1 2 -3", "Error in hard, soft or soft_seconds setting in buffer limit configuration."),
        ] {
            assert_eq!(merge_limits(default, text), Err(reason.to_owned()), "{text}");
        }
    }
}
