//! An engine in this process with one client: for tests that need no socket.

use std::sync::Arc;

use anyhow::{Context, Result};
use quiver_engine::digest::{Digest, of_keyspace};
use quiver_engine::effects::Effects;
use quiver_engine::eviction::Stamps;
use quiver_engine::keyspace::ALL_SHARDS;
use quiver_engine::{Engine, Session, Worker};
use quiver_persist::{LoadError, LoadOptions, Loaded, SaveOptions, SnapshotStream};
use quiver_resp::{OwnedArgv, ReplyDecoder, ReplyLimits, Value};

/// The time of every command, ms since 1970.
pub const NOW_MS: i64 = 1_700_000_000_000;

/// See the module.
pub struct Local {
    /// The engine.
    pub engine: Arc<Engine>,
    worker: Worker,
    session: Session,
}

impl Local {
    /// An empty engine.
    pub fn new() -> Self {
        let engine = Arc::new(Engine::standalone());
        let worker = engine.worker(1, || 0);
        let client = engine.connect("test:1".to_owned(), "test:2".to_owned(), NOW_MS).expect("one client is few");
        Self { engine, worker, session: Session::new(client, true) }
    }

    /// Runs one command.
    ///
    /// # Errors
    /// When the reply is none.
    pub fn call<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<Value> {
        let argv = OwnedArgv::from_slices(words);
        let mut out = Vec::new();
        self.engine.run_one(&mut self.worker, &mut self.session, argv.as_argv(), &mut out, NOW_MS);
        let (_, value) = ReplyDecoder::new(ReplyLimits::default()).decode(&out).context("decoding a reply")?;
        value.context("a reply is complete")
    }

    /// The digest of everything.
    pub fn digest(&self) -> Digest {
        let mut effects = Effects::default();
        of_keyspace(&self.engine.lock(ALL_SHARDS, &mut effects, NOW_MS))
    }

    /// Panics when something is unsound inside.
    pub fn check(&self) {
        let mut effects = Effects::default();
        self.engine.lock(ALL_SHARDS, &mut effects, NOW_MS).check();
    }

    /// The bytes of a snapshot.
    pub fn save(&self) -> Vec<u8> {
        let options = SaveOptions::new("8.0.2", NOW_MS);
        let mut stream = SnapshotStream::begin(&*self.engine, &options, |_| None).expect("no other snapshot runs");
        let mut bytes = Vec::new();
        while let Some(piece) = stream.next_piece() {
            bytes.extend_from_slice(&piece);
        }
        bytes
    }

    /// Loads a snapshot in the place of everything.
    ///
    /// # Errors
    /// What is wrong with it; nothing has changed then.
    pub fn load(&self, mut bytes: &[u8]) -> Result<Loaded, LoadError> {
        let options = LoadOptions {
            databases: 16,
            now_ms: NOW_MS,
            discard_expired: true,
            clock: Some(Stamps::new(NOW_MS, &self.engine.config)),
        };
        quiver_persist::load(&self.engine, &mut bytes, &options, &mut |_| ())
    }
}

impl Default for Local {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Local").finish_non_exhaustive()
    }
}
