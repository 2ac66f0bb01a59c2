//! What the tests of this crate share.
#![allow(dead_code, reason = "every test file uses its own part")]
#![allow(clippy::allow_attributes, reason = "whether `expect` is fulfilled differs between the files")]

use std::ops::ControlFlow;
use std::path::Path;

use quiver_engine::Engine;
use quiver_engine::digest::{Digest, of_keyspace};
use quiver_engine::effects::Effects;
use quiver_engine::keyspace::{ALL_SHARDS, Keyspace, string_value};
use quiver_persist::{LoadError, LoadOptions, Loaded, SaveError, SaveOptions, Saved, SnapshotStream};

/// The time of every test.
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

/// Runs `act` on the whole keyspace at a time.
pub(crate) fn with_keyspace_at<T>(engine: &Engine, now_ms: i64, act: impl FnOnce(&mut Keyspace<'_>) -> T) -> T {
    let mut effects = Effects::default();
    act(&mut engine.lock(ALL_SHARDS, &mut effects, now_ms))
}

/// Runs `act` on the whole keyspace.
pub(crate) fn with_keyspace<T>(engine: &Engine, act: impl FnOnce(&mut Keyspace<'_>) -> T) -> T {
    with_keyspace_at(engine, NOW_MS, act)
}

/// Stores a string.
pub(crate) fn set(engine: &Engine, db: usize, key: &[u8], value: &[u8], expire_at_ms: Option<i64>) {
    with_keyspace(engine, |keyspace| {
        keyspace.db = db;
        keyspace.set(keyspace.key(key), string_value(value), expire_at_ms);
    });
}

/// Digest of everything alive.
pub(crate) fn digest(engine: &Engine) -> Digest {
    with_keyspace(engine, |keyspace| of_keyspace(keyspace))
}

/// Entries in all databases.
pub(crate) fn len(engine: &Engine) -> usize {
    with_keyspace(engine, |keyspace| (0..keyspace.dbs_in_use()).map(|db| keyspace.db_len(db).0).sum())
}

pub(crate) fn save_options() -> SaveOptions {
    SaveOptions { wait: std::time::Duration::ZERO, ..SaveOptions::new("8.0.2", NOW_MS) }
}

pub(crate) fn load_options() -> LoadOptions {
    LoadOptions { databases: 16, now_ms: NOW_MS, discard_expired: true, clock: None }
}

/// Saves without a place in a stream.
pub(crate) fn save(engine: &Engine, path: &Path) -> Result<Saved, SaveError> {
    quiver_persist::save(engine, path, &save_options(), |_| None, &mut |_| ControlFlow::Continue(()))
}

/// The bytes of a snapshot.
pub(crate) fn bytes_of(engine: &Engine) -> Vec<u8> {
    let mut stream = SnapshotStream::begin(engine, &save_options(), |_| None).expect("no other snapshot runs");
    rest_of(&mut stream)
}

/// What is left of a stream.
pub(crate) fn rest_of(stream: &mut SnapshotStream<&Engine>) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next_piece() {
        bytes.extend_from_slice(&piece);
    }
    bytes
}

/// Loads bytes into an engine.
pub(crate) fn load_into(engine: &Engine, mut bytes: &[u8]) -> Result<Loaded, LoadError> {
    quiver_persist::load(engine, &mut bytes, &load_options(), &mut |_| ())
}

/// Loads bytes into a new engine.
pub(crate) fn loaded(bytes: &[u8]) -> (Engine, Loaded) {
    let engine = Engine::standalone();
    let loaded = load_into(&engine, bytes).expect("the snapshot is whole");
    (engine, loaded)
}
