//! The bytes of a snapshot: header, properties, sizes, the pieces of the cut, end and checksum.

use std::ops::Deref;
use std::time::{Duration, Instant};

use quiver_engine::Engine;
use quiver_engine::functions::LibrarySet;
use quiver_engine::keyspace::Keyspace;
use quiver_engine::search::{self, Contents};
use quiver_engine::snapshot::{CutOptions, Snapshot};
use quiver_rdb::frame::{self, Properties, ReplicationPoint};
use quiver_rdb::{Checksum, Version, Writer, code};

/// How a snapshot is written.
#[derive(Clone, Debug)]
pub struct SaveOptions {
    /// Version noted in the file (`redis-ver`).
    pub server_version: String,
    /// Unix time, ms.
    pub now_ms: i64,
    /// Memory in use, noted in the file.
    pub used_memory_bytes: u64,
    /// Compress long strings (`rdbcompression`).
    pub compress: bool,
    /// End with a checksum (`rdbchecksum`); without one loaders cannot tell damage inside values.
    pub checksum: bool,
    /// Sync what was written at every so many bytes (`rdb-save-incremental-fsync`), so that the last sync is short.
    pub sync_every_bytes: Option<u64>,
    /// It is the base of an append-only log.
    pub is_log_base: bool,
    /// How long to wait for another snapshot to end.
    pub wait: Duration,
    /// Ask writers to wait a moment where keeping old content for the snapshot would take long or much memory. For
    /// snapshots whose pieces are drawn swiftly.
    pub hold_writers: bool,
}

impl SaveOptions {
    /// What a server does by default.
    pub fn new(server_version: impl Into<String>, now_ms: i64) -> Self {
        Self {
            server_version: server_version.into(),
            now_ms,
            used_memory_bytes: 0,
            compress: true,
            checksum: true,
            sync_every_bytes: Some(4 << 20),
            is_log_base: false,
            wait: Duration::from_secs(10),
            hold_writers: true,
        }
    }
}

/// Pause between two attempts to begin while another snapshot runs.
const RETRY: Duration = Duration::from_millis(2);

/// A snapshot being taken, drawn as pieces of bytes. The engine is borrowed, or shared as an `Arc`.
///
/// Dropping it early gives the snapshot up. Each piece is some 64 KiB, or as large as what writers have copied.
pub struct SnapshotStream<E: Deref<Target = Engine>> {
    snapshot: Snapshot<E>,
    stage: Stage,
    sum: Option<Checksum>,
    bytes: u64,
}

enum Stage {
    Head(Vec<u8>),
    Body,
    /// What is in the search indexes.
    Indexes(Contents),
    Over,
}

impl<E: Deref<Target = Engine> + Clone> SnapshotStream<E> {
    /// Cuts. `at_cut` runs while every shard is locked, so that the place in the replication stream it returns, and
    /// whatever else it notes, is exactly that of the snapshot.
    ///
    /// `None`, without calling it, when another snapshot of the engine is running for longer than `options.wait`; the
    /// thread sleeps meanwhile.
    pub fn begin(
        engine: E,
        options: &SaveOptions,
        at_cut: impl FnOnce(&Keyspace<'_>) -> Option<ReplicationPoint>,
    ) -> Option<Self> {
        let mut at_cut = Some(at_cut);
        let since = Instant::now();
        loop {
            let note = |keyspace: &Keyspace<'_>| {
                // Libraries are exchanged under the locks that are held here, so these belong to the cut.
                ((at_cut.take().expect("runs once"))(keyspace), engine.functions.set(), engine.search.declare())
            };
            let cut =
                CutOptions { now_ms: options.now_ms, compress: options.compress, hold_writers: options.hold_writers };
            if let Some((snapshot, (point, libraries, indexes))) = Snapshot::begin(engine.clone(), cut, note) {
                let head = head(&snapshot, options, point, &libraries, indexes);
                let sum = options.checksum.then(Checksum::new);
                return Some(Self { snapshot, stage: Stage::Head(head), sum, bytes: 0 });
            }
            if since.elapsed() >= options.wait {
                return None;
            }
            std::thread::sleep(RETRY);
        }
    }
}

impl<E: Deref<Target = Engine>> SnapshotStream<E> {
    /// The next bytes of the file; `None` after the last.
    pub fn next_piece(&mut self) -> Option<Vec<u8>> {
        let mut piece = match std::mem::replace(&mut self.stage, Stage::Body) {
            Stage::Head(head) => head,
            Stage::Body => self.snapshot.next_chunk().unwrap_or_else(|| {
                self.stage = Stage::Indexes(self.snapshot.engine().search.contents());
                Vec::new()
            }),
            Stage::Indexes(mut contents) => {
                let mut piece = Vec::new();
                self.stage = match contents.next_part() {
                    Some(part) => {
                        frame::property(&mut Writer::new(&mut piece), search::CONTENT, &part);
                        Stage::Indexes(contents)
                    }
                    None => Stage::Over,
                };
                piece
            }
            Stage::Over => {
                self.stage = Stage::Over;
                return None;
            }
        };
        match (&mut self.sum, &self.stage) {
            (sum @ Some(_), Stage::Over) => frame::finish(sum.take().expect("matched"), &mut piece),
            (None, Stage::Over) => {
                piece.push(code::EOF);
                piece.extend_from_slice(&[0; 8]);
            }
            (Some(sum), _) => sum.update(&piece),
            (None, _) => {}
        }
        self.bytes += piece.len() as u64;
        Some(piece)
    }

    /// Keys at the cut.
    pub fn keys_total(&self) -> usize {
        self.snapshot.keys_total()
    }

    /// Keys serialised so far.
    pub fn keys_done(&self) -> u64 {
        self.snapshot.keys_done()
    }

    /// Bytes that writers have copied and that were not drawn yet, and the most there ever were.
    pub fn copied_bytes(&self) -> (usize, usize) {
        self.snapshot.copied_bytes()
    }

    /// Bytes drawn so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Share of the keys that is done, 0 to 1.
    pub fn progress(&self) -> f64 {
        self.keys_done() as f64 / self.keys_total().max(1) as f64
    }
}

/// A whole snapshot without a key in it, at a place in a stream.
pub fn without_keys(options: &SaveOptions, point: ReplicationPoint, libraries: &LibrarySet) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    properties(options, Some(point)).write(&mut writer, Version::WITHOUT_FIELD_EXPIRIES);
    writer.set_compress(options.compress);
    libraries.write(&mut writer);
    frame::finish(Checksum::new(), &mut bytes);
    bytes
}

fn properties(options: &SaveOptions, replication: Option<ReplicationPoint>) -> Properties {
    Properties {
        server_version: options.server_version.clone(),
        created_unix_s: u64::try_from(options.now_ms / 1000).unwrap_or_default(),
        used_memory_bytes: options.used_memory_bytes,
        replication,
        is_aof_base: options.is_log_base,
        own: None,
    }
}

/// Header, properties, function libraries, and the size of every database, which lets loaders of other engines allocate
/// at once.
fn head<E: Deref<Target = Engine>>(
    snapshot: &Snapshot<E>,
    options: &SaveOptions,
    replication: Option<ReplicationPoint>,
    libraries: &LibrarySet,
    indexes: Vec<u8>,
) -> Vec<u8> {
    // The lowest version that has all there is, so that more servers read the file: Redis 7.2, Valkey 7.2 to 8.1.
    let version = if snapshot.has_field_expiries() { Version::WRITTEN } else { Version::WITHOUT_FIELD_EXPIRIES };
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    let mut properties = properties(options, replication);
    if !indexes.is_empty() {
        properties.own = Some(vec![(search::DEFINITIONS.to_owned(), indexes)]);
    }
    properties.write(&mut writer, version);
    writer.set_compress(options.compress);
    libraries.write(&mut writer);
    for size in snapshot.sizes() {
        writer.select_db(size.db as u64, size.keys as u64, size.volatile as u64);
    }
    bytes
}
