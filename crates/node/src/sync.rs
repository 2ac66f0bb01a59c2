//! Snapshots for replicas: who comes while one has not begun shares it with those who wait already.
//!
//! A round waits for more replicas as `repl-diskless-sync-delay` says, and for whatever other snapshot is being taken.
//! Then the cut is made, every replica of the round is told its place in the stream, and all get the same pieces. The
//! slowest sets the pace, and is left behind when it takes nothing for `repl-timeout`.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quiver_engine::Engine;
use quiver_persist::{ReplicationPoint, SnapshotStream};
use quiver_replication::Point;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use crate::Node;
use crate::pace::Pace;
use crate::stream::{Reader, Stream};

/// Pieces waiting for one replica.
const PIECES_WAITING: usize = 16;
/// How long a round waits for a snapshot that is being written.
const SNAPSHOT_WAIT: Duration = Duration::from_secs(600);

/// A part of a snapshot; an empty one is its end.
pub(crate) type Piece = Arc<Vec<u8>>;

/// The round that has not begun.
#[derive(Debug, Default)]
pub(crate) struct Syncs(Mutex<Vec<Member>>);

#[derive(Debug)]
struct Member {
    told: oneshot::Sender<(Point, Reader)>,
    pieces: mpsc::Sender<Piece>,
}

/// A replica's place in a round.
#[derive(Debug)]
pub(crate) struct Ticket {
    /// Where the snapshot stands, and a reader that goes on from there.
    pub(crate) told: oneshot::Receiver<(Point, Reader)>,
    pub(crate) pieces: mpsc::Receiver<Piece>,
}

/// Takes part in the next snapshot for replicas.
pub(crate) fn join(node: &Node, source: &Arc<Stream>) -> std::io::Result<Ticket> {
    let (told_sender, told) = oneshot::channel();
    let (pieces_sender, pieces) = mpsc::channel(PIECES_WAITING);
    let mut waiting = node.host.syncs.0.lock();
    waiting.push(Member { told: told_sender, pieces: pieces_sender });
    if waiting.len() == 1 {
        let (node, source) = (node.clone(), Arc::clone(source));
        let thread = std::thread::Builder::new().name("quiver-sync".to_owned());
        if let Err(error) = thread.spawn(move || run(&node, &source)) {
            waiting.clear();
            return Err(error);
        }
    }
    Ok(Ticket { told, pieces })
}

fn run(node: &Node, source: &Arc<Stream>) {
    wait_for_more(node);
    let engine = node.engine();
    let mut options = crate::save_options(engine);
    options.wait = SNAPSHOT_WAIT;
    // A slow replica must not slow the writers down.
    options.hold_writers = false;
    let mut members = Vec::new();
    let snapshot = SnapshotStream::begin(&**engine, &options, |_| {
        for Member { told, pieces } in node.host.syncs.0.lock().drain(..) {
            if told.send(source.cut()).is_ok() {
                members.push(pieces);
            }
        }
        Some(replication_point(source.cut().0))
    });
    let Some(mut snapshot) = snapshot else {
        warn!("another snapshot kept running; no full synchronisation");
        return node.host.syncs.0.lock().clear();
    };
    let mut pace = Pace::new();
    while let Some(piece) = snapshot.next_piece() {
        pace.rest();
        if !piece.is_empty() {
            hand_over(engine, &mut members, Arc::new(piece));
        }
        if members.is_empty() {
            return;
        }
    }
    hand_over(engine, &mut members, Piece::default());
}

/// The place of a snapshot as its file says it. Where the stream selects no database the next command does, so that
/// any number will do.
pub(crate) fn replication_point(point: Point) -> ReplicationPoint {
    ReplicationPoint { stream_db: Some(point.db.unwrap_or(0)), id: point.id, offset: point.offset }
}

/// Gives further replicas time to come, as configured.
fn wait_for_more(node: &Node) {
    let config = &node.engine().config;
    let enough = config.repl_diskless_sync_max_replicas();
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(config.repl_diskless_sync_delay_s() as u64) {
        if enough > 0 && node.host.syncs.0.lock().len() >= enough {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Hands a piece to every replica. Whoever is gone or takes nothing for too long is left out from then on; all are when
/// the server is ending, whose last snapshot comes first.
fn hand_over(engine: &Engine, members: &mut Vec<mpsc::Sender<Piece>>, piece: Piece) {
    let deadline = Instant::now() + Duration::from_secs(engine.config.repl_timeout_s().max(1) as u64);
    members.retain(|member| {
        let mut piece = Arc::clone(&piece);
        loop {
            piece = match member.try_send(piece) {
                Ok(()) => return true,
                Err(TrySendError::Full(piece)) if !engine.state.ending.load(Relaxed) => piece,
                Err(_) => return false,
            };
            if Instant::now() > deadline {
                warn!("a replica does not take its snapshot and is left out");
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    });
}
