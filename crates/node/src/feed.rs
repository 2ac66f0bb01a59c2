//! Feeding a replica: the connection's life after PSYNC.
//!
//! A replica that comes with a known place in the stream goes on from there; any other gets a snapshot, cut while the
//! stream's offset is noted, and then the stream from that offset. The reader's pin keeps the bytes in between, up to
//! `replica-output-limit`; a replica that falls further behind is cut off and has to start again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use quiver_engine::session::Takeover;
use quiver_engine::{ClientInfo, Engine, Session};
use quiver_persist::SnapshotStream;
use quiver_resp::{Decoder, Limits, Requests};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use crate::Node;
use crate::clock::{now_ms, random_id};
use crate::conn::killed;
use crate::socket::{ReadHalf, Socket, WriteHalf};
use crate::stream::{Reader, Stream};

/// Bytes written at once.
const CHUNK_BYTES: usize = 256 * 1024;
/// Pieces of a snapshot waiting for the socket.
const PIECES_WAITING: usize = 16;
/// Bytes a replica may send without a whole command.
const INPUT_MAX: usize = 64 * 1024;
/// How long a full synchronisation waits for a snapshot that is being written.
const SNAPSHOT_WAIT: Duration = Duration::from_secs(600);

/// Feeds a replica until it leaves.
pub(crate) async fn feed(node: &Node, stream: Socket, session: Session, takeover: Takeover) {
    let Takeover::Psync { replid, offset } = takeover;
    let client = Arc::clone(&session.shared);
    let source = node.start_stream();
    source.add_replica(client.id, &client.addr, &session.replica, now_ms());
    client.texts.lock().flags = "S".to_owned();
    let served = tokio::select! {
        served = serve(node, &source, stream, &session, &replid, offset) => served,
        () = killed(&client) => Ok(()),
    };
    match served {
        Ok(()) => info!("replica {} left", client.addr),
        Err(error) => warn!("replica {}: {error}", client.addr),
    }
    source.remove_replica(client.id);
}

async fn serve(
    node: &Node,
    source: &Arc<Stream>,
    stream: Socket,
    session: &Session,
    replid: &str,
    offset: i64,
) -> io::Result<()> {
    let (input, mut output) = stream.into_split();
    let id = session.shared.id;
    // On the wire offsets count from 1.
    let next = u64::try_from(offset - 1).ok();
    let (reader, full) = match next.and_then(|next| source.resume(replid, next)) {
        Some((stream_id, reader)) => {
            info!("replica {} goes on at offset {}", session.shared.addr, reader.offset);
            node.engine.stats.partial_syncs.fetch_add(1, Relaxed);
            output.write_all(format!("+CONTINUE {stream_id}\r\n").as_bytes()).await?;
            (reader, false)
        }
        None if !session.replica.capa_eof => {
            return output.write_all(b"-ERR this primary needs replicas with REPLCONF capa eof\r\n").await;
        }
        None => {
            if !matches!(replid, "" | "?") {
                node.engine.stats.partial_syncs_refused.fetch_add(1, Relaxed);
            }
            node.engine.stats.full_syncs.fetch_add(1, Relaxed);
            (full_sync(node, source, &mut output, &session.shared, !replid.is_empty()).await?, true)
        }
    };
    let (acknowledged, first_ack) = oneshot::channel();
    let acknowledged = (!full).then_some(()).map_or(Some(acknowledged), |()| None);
    tokio::select! {
        read = read_acks(&node.engine, source, input, id, acknowledged) => read,
        written = async {
            if full {
                // The end mark must be the last thing the replica reads before it has loaded the snapshot.
                let _ = first_ack.await;
            }
            source.update_replica(id, |replica| replica.state = "online");
            write_stream(reader, output).await
        } => written,
    }
}

/// Sends a snapshot; gives the reader that stands where the snapshot was cut. `announced`: whether its place in the
/// stream is told first, as PSYNC wants and the old SYNC (dump tools) does not.
async fn full_sync(
    node: &Node,
    source: &Arc<Stream>,
    output: &mut WriteHalf,
    replica: &ClientInfo,
    announced: bool,
) -> io::Result<Reader> {
    let (pieces, mut waiting) = mpsc::channel::<Vec<u8>>(PIECES_WAITING);
    let (tell, told) = oneshot::channel();
    let (engine, stream) = (Arc::clone(node.engine()), Arc::clone(source));
    let mut options = crate::save_options(&engine);
    options.wait = SNAPSHOT_WAIT;
    // A slow replica must not slow the writers down.
    options.hold_writers = false;
    tokio::task::spawn_blocking(move || {
        let mut cut = None;
        let snapshot = SnapshotStream::begin(&*engine, &options, |_| {
            cut = Some(stream.cut());
            None
        });
        let (Some(mut snapshot), Some(cut)) = (snapshot, cut) else { return };
        if tell.send(cut).is_ok() {
            while let Some(piece) = snapshot.next_piece() {
                if !piece.is_empty() && !hand_over(&engine, &pieces, piece) {
                    return;
                }
            }
            hand_over(&engine, &pieces, Vec::new());
        }
    });
    let (stream_id, reader) =
        told.await.map_err(|_| io::Error::other("another snapshot kept running; no full synchronisation"))?;
    info!("full synchronisation of replica {} at offset {}", replica.addr, reader.offset);
    source.update_replica(replica.id, |replica| replica.state = "send_bulk");
    let mark = random_id();
    if announced {
        output.write_all(format!("+FULLRESYNC {stream_id} {}\r\n", reader.offset).as_bytes()).await?;
    }
    output.write_all(format!("$EOF:{mark}\r\n").as_bytes()).await?;
    let patience = Duration::from_secs(node.engine.config.repl_timeout_s().max(1) as u64);
    loop {
        let piece = waiting.recv().await.ok_or_else(|| io::Error::other("the snapshot was given up"))?;
        if piece.is_empty() {
            break;
        }
        // A replica that does not read must not keep its snapshot, and with it all others, from ending.
        tokio::time::timeout(patience, output.write_all(&piece)).await.map_err(io::Error::other)??;
    }
    output.write_all(mark.as_bytes()).await?;
    Ok(reader)
}

/// Hands a piece of a snapshot to the connection; an empty one is the end. `false`: the snapshot is given up, because
/// the replica is gone or the server is ending and its last snapshot comes first.
fn hand_over(engine: &Engine, pieces: &mpsc::Sender<Vec<u8>>, mut piece: Vec<u8>) -> bool {
    loop {
        piece = match pieces.try_send(piece) {
            Ok(()) => return true,
            Err(TrySendError::Full(piece)) if !engine.state.ending.load(Relaxed) => piece,
            Err(_) => return false,
        };
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Writes the stream from the reader's place on, as it grows.
async fn write_stream(mut reader: Reader, mut output: WriteHalf) -> io::Result<()> {
    let mut growth = reader.growth();
    let mut chunk = Vec::new();
    loop {
        chunk.clear();
        growth.mark_unchanged();
        if !reader.read(CHUNK_BYTES, &mut chunk) {
            return Err(io::Error::other("the stream has moved on beyond what this replica has; it must start again"));
        }
        if chunk.is_empty() {
            growth.changed().await.map_err(io::Error::other)?;
        } else {
            output.write_all(&chunk).await?;
        }
    }
}

/// Reads the replica's acknowledgements until it leaves.
async fn read_acks(
    engine: &Engine,
    source: &Stream,
    mut input: ReadHalf,
    client_id: u64,
    mut first: Option<oneshot::Sender<()>>,
) -> io::Result<()> {
    let (mut bytes, mut decoder, mut requests) = (Vec::new(), Decoder::new(), Requests::new());
    loop {
        if input.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
        requests.clear();
        let used = decoder.decode(&bytes, &Limits::default(), &mut requests, 1024).map_err(io::Error::other)?;
        for argv in requests.iter(&bytes) {
            let is = |at: usize, word: &str| argv.get(at).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
            let number = |at: usize| std::str::from_utf8(argv.get(at)?).ok()?.parse().ok();
            let offset = number(2);
            let on_disk = if is(3, "FACK") { number(4) } else { None };
            if let (true, true, Some(offset)) = (is(0, "REPLCONF"), is(1, "ACK"), offset) {
                source.update_replica(client_id, |replica| {
                    (replica.acknowledged, replica.acknowledged_ms) = (offset, now_ms());
                    replica.on_disk = on_disk.or(replica.on_disk);
                });
                engine.acknowledged();
                if let Some(first) = first.take() {
                    // The writer may have failed already; then this task is about to end as well.
                    let _ = first.send(());
                }
            }
        }
        bytes.drain(..used);
        if bytes.len() > INPUT_MAX {
            return Err(io::Error::other("a replica sent a command without an end"));
        }
    }
}
