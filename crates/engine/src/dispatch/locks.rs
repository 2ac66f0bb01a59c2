//! Which locks a request needs, and how long a session waits for them.

use std::time::Duration;

use quiver_resp::Argv;

use crate::command::Locks;
use crate::effects::Effects;
use crate::engine::Engine;
use crate::keyspace::{ALL_SHARDS, KeyHasher, Keyspace};
use crate::registry::Entry;
use crate::session::{Pause, Role, Session};

/// How long a session that yields waits for a lock. Ordinary holds are far shorter.
const PATIENCE: Duration = Duration::from_micros(200);

/// And one that does not, before it looks whether a script holds them.
const STUBBORN: Duration = Duration::from_millis(20);

impl Engine {
    /// Locks for a session. One that yields waits only so long: `None`, and its pause is set.
    pub(super) fn lock_for<'a>(
        &'a self,
        session: &mut Session,
        mask: u64,
        effects: &'a mut Effects,
        now_ms: i64,
    ) -> Option<Keyspace<'a>> {
        if mask == 0 {
            return Some(self.lock(mask, effects, now_ms));
        }
        if !session.yields {
            return self.lock_unless_busy(session, mask, effects, now_ms);
        }
        let keyspace = self.lock_within(mask, effects, now_ms, PATIENCE);
        if keyspace.is_none() {
            session.pause(Pause::Locked);
        }
        keyspace
    }

    /// Waits for locks; not for a script that others are not kept waiting for either.
    fn lock_unless_busy<'a>(
        &'a self,
        session: &Session,
        mask: u64,
        effects: &'a mut Effects,
        now_ms: i64,
    ) -> Option<Keyspace<'a>> {
        loop {
            if let Some(shards) = self.stripes.lock_within(mask, STUBBORN) {
                if mask != ALL_SHARDS || !self.loans.any() {
                    return Some(self.view(shards, effects, now_ms));
                }
                drop(shards);
                self.loans.wait_for_all();
            }
            if self.scripts.is_busy() && session.role == Role::Normal {
                return None;
            }
        }
    }

    /// Adds the shards of a request's keys to `mask`; gives hash and shard of a key right behind the name.
    #[inline]
    pub(super) fn locate(&self, entry: &Entry, argv: Argv<'_>, mask: &mut u64) -> Option<(u64, usize)> {
        if entry.one_key {
            let key = KeyHasher.key(argv.at(1));
            *mask |= key.shard_set();
            return Some((key.hash, key.shard));
        }
        let mut first = None;
        for at in entry.key_positions(argv) {
            let key = KeyHasher.key(argv.at(at));
            *mask |= key.shard_set();
            if at == 1 {
                first = Some((key.hash, key.shard));
            }
        }
        first
    }

    /// Hash and shard of the first key a request names, to load it ahead of time.
    pub(super) fn first_key(&self, entry: &Entry, argv: Argv<'_>) -> Option<(u64, usize)> {
        let at = entry.key_positions(argv).next()?;
        let key = KeyHasher.key(argv.at(at));
        Some((key.hash, key.shard))
    }

    pub(super) fn mask_of(&self, session: &Session, entry: &Entry, argv: Argv<'_>) -> u64 {
        let mut mask = 0;
        match entry.command.locks {
            Locks::All => return ALL_SHARDS,
            Locks::Walk => return 0,
            Locks::Keys | Locks::KeysAlone => {
                self.locate(entry, argv, &mut mask);
            }
            Locks::Transaction => {
                for (_, key) in &session.watched {
                    mask |= KeyHasher.key(key).shard_set();
                }
                for (queued, argv) in session.multi.iter().flat_map(|multi| &multi.queue) {
                    if matches!(queued.command.locks, Locks::All | Locks::Walk) {
                        return ALL_SHARDS;
                    }
                    self.locate(queued, argv.as_argv(), &mut mask);
                }
            }
        }
        mask
    }
}
