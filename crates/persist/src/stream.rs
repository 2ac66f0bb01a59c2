//! The bytes of a snapshot: header, properties, sizes, the pieces of the cut, end and checksum.

use std::ops::Deref;
use std::time::{Duration, Instant};

use quiver_engine::Engine;
use quiver_engine::keyspace::Keyspace;
use quiver_engine::snapshot::Snapshot;
use quiver_rdb::frame::{self, Properties, ReplicationPoint};
use quiver_rdb::{Checksum, Writer, code};

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
    /// How long to wait for another snapshot to end.
    pub wait: Duration,
    /// Version of the format that the header says: what an older server reads is refused by its number alone.
    pub version: u16,
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
            wait: Duration::from_secs(10),
            version: quiver_rdb::VERSION,
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
            let note = |keyspace: &Keyspace<'_>| (at_cut.take().expect("runs once"))(keyspace);
            if let Some((snapshot, point)) = Snapshot::begin(engine.clone(), options.now_ms, options.compress, note) {
                let head = head(&snapshot, options, point);
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
                self.stage = Stage::Over;
                Vec::new()
            }),
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

    /// Bytes drawn so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Share that is done, 0 to 1.
    pub fn progress(&self) -> f64 {
        self.snapshot.progress()
    }
}

/// A whole snapshot without a key in it, at a place in a stream.
pub fn without_keys(options: &SaveOptions, point: ReplicationPoint) -> Vec<u8> {
    let mut bytes = Vec::new();
    properties(options, Some(point)).write(&mut Writer::new(&mut bytes));
    set_version(&mut bytes, options.version);
    frame::finish(Checksum::new(), &mut bytes);
    bytes
}

/// Says another version in a header.
fn set_version(head: &mut [u8], version: u16) {
    head[5..9].copy_from_slice(format!("{version:04}").as_bytes());
}

fn properties(options: &SaveOptions, replication: Option<ReplicationPoint>) -> Properties {
    Properties {
        server_version: options.server_version.clone(),
        created_unix_s: u64::try_from(options.now_ms / 1000).unwrap_or_default(),
        used_memory_bytes: options.used_memory_bytes,
        replication,
        is_aof_base: false,
    }
}

/// Header, properties, and the size of every database, which lets loaders of other engines allocate at once.
fn head<E: Deref<Target = Engine>>(
    snapshot: &Snapshot<E>,
    options: &SaveOptions,
    replication: Option<ReplicationPoint>,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    properties(options, replication).write(&mut writer);
    for size in snapshot.sizes() {
        writer.select_db(size.db as u64, size.keys as u64, size.volatile as u64);
    }
    set_version(&mut bytes, options.version);
    bytes
}
