//! ACL LOG: what was refused lately, newest first; repetitions within a minute are one entry with a count.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::acl::check::Denied;
use crate::commands::client::describe_client;
use crate::engine::Engine;
use crate::registry::Entry;
use crate::session::Session;

/// Repetitions this far apart are one entry, ms.
const SAME_WITHIN_MS: i64 = 60_000;

/// Entries looked at for a repetition.
const SAME_AMONG: usize = 10;

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the words ACL LOG prints")]
pub enum Reason {
    Auth,
    Command,
    Key,
    Channel,
}

impl Reason {
    /// The word in ACL LOG.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Command => "command",
            Self::Key => "key",
            Self::Channel => "channel",
        }
    }
}

impl From<Denied> for Reason {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Command => Self::Command,
            Denied::Key(_) => Self::Key,
            Denied::Channel(_) => Self::Channel,
        }
    }
}

/// Where a command came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// A client.
    Toplevel,
    /// A transaction.
    Multi,
    /// A script.
    Script,
}

impl Context {
    /// Of a command of this session.
    pub fn of(session: &Session) -> Self {
        if session.multi.is_some() { Self::Multi } else { Self::Toplevel }
    }

    /// The word in ACL LOG.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Toplevel => "toplevel",
            Self::Multi => "multi",
            Self::Script => "lua",
        }
    }
}

/// A refusal to write down.
#[derive(Clone, Copy, Debug)]
pub struct Denial<'a> {
    /// What was refused.
    pub reason: Reason,
    /// Where it came from.
    pub context: Context,
    /// The command, key or channel.
    pub object: &'a [u8],
    /// Who asked.
    pub username: &'a [u8],
}

/// An entry.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are those of ACL LOG")]
pub struct LogEntry {
    pub id: u64,
    pub count: u64,
    pub reason: Reason,
    pub context: Context,
    pub object: Box<[u8]>,
    pub username: Box<[u8]>,
    pub client: String,
    pub created_ms: i64,
    pub updated_ms: i64,
}

/// The entries, newest first.
#[derive(Debug, Default)]
pub struct Log {
    entries: VecDeque<LogEntry>,
    next_id: u64,
}

impl Log {
    /// Writes a refusal down, keeping `len_max` entries at most.
    pub fn add(&mut self, denial: &Denial<'_>, client: String, now_ms: i64, len_max: usize) {
        let same = |entry: &LogEntry| {
            entry.reason == denial.reason
                && entry.context == denial.context
                && (now_ms - entry.updated_ms).abs() <= SAME_WITHIN_MS
                && *entry.object == *denial.object
                && *entry.username == *denial.username
        };
        let known = self.entries.iter().take(SAME_AMONG).position(same).and_then(|at| self.entries.remove(at));
        let entry = match known {
            Some(entry) => LogEntry { count: entry.count + 1, client, updated_ms: now_ms, ..entry },
            None => {
                self.next_id += 1;
                LogEntry {
                    id: self.next_id - 1,
                    count: 1,
                    reason: denial.reason,
                    context: denial.context,
                    object: denial.object.into(),
                    username: denial.username.into(),
                    client,
                    created_ms: now_ms,
                    updated_ms: now_ms,
                }
            }
        };
        self.entries.push_front(entry);
        self.entries.truncate(len_max);
    }

    /// The newest entries.
    pub fn newest(&self, count: usize) -> Vec<LogEntry> {
        self.entries.iter().take(count).cloned().collect()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

/// Refusals by reason.
#[derive(Debug, Default)]
pub struct Counts([AtomicU64; 4]);

impl Counts {
    /// How many for this reason.
    pub fn get(&self, reason: Reason) -> u64 {
        self.0[reason as usize].load(Relaxed)
    }

    /// Back to zero.
    pub fn reset(&self) {
        self.0.iter().for_each(|count| count.store(0, Relaxed));
    }
}

impl Engine {
    /// Counts a refusal and writes it down.
    pub(crate) fn log_denial(&self, session: &Session, entry: &'static Entry, denial: &Denial<'_>, now_ms: i64) {
        self.users.denied.0[denial.reason as usize].fetch_add(1, Relaxed);
        let client = describe_client(self, &session.shared, now_ms, Some((session.shared.id, entry.full_name)));
        self.users.log.lock().add(denial, client, now_ms, self.config.acllog_max_len());
    }
}
