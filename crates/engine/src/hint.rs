//! Where the key of a request lies, for loading it into the cache ahead of time.
//!
//! A batch of one connection overlaps its own cache misses (`dispatch`). A thread whose connections send one command at
//! a time has the same to gain across connections: it reads from all that are ready, prefetches for all, and then runs.

use quiver_resp::Argv;

use crate::engine::Engine;
use crate::keyspace::KeyHasher;

/// The place of one key.
#[derive(Clone, Copy, Debug)]
pub struct Hint {
    db: usize,
    hash: u64,
    shard: usize,
}

impl Engine {
    /// The place of the key of a command that has one key behind its name; the load of its bucket is started.
    pub fn hint(&self, db: usize, argv: Argv<'_>) -> Option<Hint> {
        let entry = self.registry.resolve(argv).ok()?;
        if !entry.one_key || !entry.groupable {
            return None;
        }
        let key = KeyHasher.key(argv.at(1));
        let shards = self.stripes.try_lock(key.shard_set())?;
        shards.get(key.shard).dbs().get(db)?.table.prefetch_bucket(key.hash);
        Some(Hint { db, hash: key.hash, shard: key.shard })
    }

    /// Starts the load of the entry, once the bucket had time to arrive.
    pub fn follow(&self, hint: &Hint) {
        let Some(shards) = self.stripes.try_lock(1 << hint.shard) else { return };
        if let Some(db) = shards.get(hint.shard).dbs().get(hint.db) {
            db.table.prefetch_entry(hint.hash);
        }
    }
}
