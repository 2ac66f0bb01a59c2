//! Feeding a replica: the connection's life after PSYNC.
//!
//! A replica that comes with a known place in the stream goes on from there; any other gets a snapshot (`sync`), cut
//! while the stream's offset is noted, and then the stream from that offset. The reader's pin keeps the bytes in between,
//! up to what `client-output-buffer-limit` allows replicas; one that falls further behind is cut off and starts again.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use quiver_engine::session::Takeover;
use quiver_engine::{ClientInfo, Engine, Session};
use quiver_resp::{Decoder, Limits, Requests};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use crate::Node;
use crate::clock::{now_ms, random_id};
use crate::conn::killed;
use crate::socket::{Accepted, Input, Output};
use crate::stream::{Reader, Stream};
use crate::sync::{self, Piece, replication_point};

/// Bytes written at once.
const CHUNK_BYTES: usize = 256 * 1024;
/// Pieces of a file waiting for the socket.
const PIECES_WAITING: usize = 4;
/// Bytes a replica may send without a whole command.
const INPUT_MAX: usize = 64 * 1024;
/// How long who wanted a snapshot only may take to leave.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);
/// Pause between empty lines that tell a waiting replica that this end lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// Feeds a replica until it leaves.
pub(crate) async fn feed(node: &Node, stream: Accepted, session: Session, takeover: Takeover) {
    let client = Arc::clone(&session.shared);
    info!("Replica {} asks for synchronization", client.addr);
    let source = node.start_stream();
    source.add_replica(&client, &session.replica);
    client.texts.lock().flags = "S".to_owned();
    let _ = stream.set_nodelay(node.engine.config.get("repl-disable-tcp-nodelay") != "yes");
    let served = tokio::select! {
        served = serve(node, &source, stream, &session, takeover) => served,
        () = killed(&client) => Ok(()),
    };
    match served {
        Ok(()) => info!("Connection with replica {} lost.", client.addr),
        Err(error) => warn!("Connection with replica {} lost: {error}", client.addr),
    }
    source.remove_replica(client.id);
}

async fn serve(
    node: &Node,
    source: &Arc<Stream>,
    stream: Accepted,
    session: &Session,
    takeover: Takeover,
) -> io::Result<()> {
    let Takeover::Psync { replid, offset } = takeover;
    let (input, mut output) = stream.into_tasks()?;
    let client = &session.shared;
    // On the wire offsets count from 1.
    let next = u64::try_from(offset - 1).ok();
    let (told, first_ack) = oneshot::channel();
    // Only behind an end mark the replica's word is waited for: it must be the last thing the replica reads before it
    // has loaded the snapshot.
    let mut first = None;
    let prepared = async {
        match next.and_then(|next| source.resume(&replid, next)) {
            Some((stream_id, reader)) => {
                info!(
                    "Partial resynchronization request from {} accepted, from offset {}.",
                    client.addr, reader.offset
                );
                node.engine.stats.partial_syncs.fetch_add(1, Relaxed);
                let known = session.replica.capa_psync2.then_some(stream_id);
                let line = known.map_or("+CONTINUE\r\n".to_owned(), |id| format!("+CONTINUE {id}\r\n"));
                output.write_all(line.as_bytes()).await?;
                Ok((reader, false))
            }
            None => {
                if !matches!(replid.as_str(), "" | "?") {
                    node.engine.stats.partial_syncs_refused.fetch_add(1, Relaxed);
                }
                node.engine.stats.full_syncs.fetch_add(1, Relaxed);
                full_sync(node, source, &mut output, session, !replid.is_empty()).await
            }
        }
    };
    let (reader, marked) = prepared.await?;
    if session.replica.rdb_only {
        info!("replica {} has the snapshot it asked for", client.addr);
        output.shutdown().await?;
        // Closing with something unread would tear down what is still on its way.
        let leaves = read_acks(&node.engine, source, input, client.id, None);
        return tokio::time::timeout(LEAVE_WITHIN, leaves).await.unwrap_or(Ok(()));
    }
    if marked {
        first = Some(told);
    }
    tokio::select! {
        read = read_acks(&node.engine, source, input, client.id, first) => read,
        written = async {
            if marked {
                let _ = first_ack.await;
            }
            info!("Synchronization with replica {} succeeded", client.addr);
            source.update_replica(client.id, |replica| (replica.state, replica.heard_ms) = ("online", now_ms()));
            write_stream(node, source, client, reader, output).await
        } => written,
    }
}

/// Sends a snapshot; gives the reader that stands where it was cut, and whether its end was a mark. `announced`: its
/// place in the stream is told first, as PSYNC wants and the old SYNC does not.
async fn full_sync(
    node: &Node,
    source: &Arc<Stream>,
    output: &mut Output,
    session: &Session,
    announced: bool,
) -> io::Result<(Reader, bool)> {
    let replica = &session.replica;
    let mut ticket = if replica.without_data { without_data(node, source)? } else { sync::join(node, source)? };
    let (point, reader) = with_signs_of_life(output, &mut ticket.told)
        .await?
        .map_err(|_| io::Error::other("another snapshot kept running; no full synchronisation"))?;
    info!("Full resync requested by replica {}, at offset {}", session.shared.addr, point.offset);
    source.update_replica(session.shared.id, |replica| replica.state = "send_bulk");
    if announced {
        output.write_all(format!("+FULLRESYNC {} {}\r\n", point.id, point.offset).as_bytes()).await?;
    }
    let marked = replica.capa_eof && node.engine.config.repl_diskless_sync();
    if marked {
        let mark = random_id();
        output.write_all(format!("$EOF:{mark}\r\n").as_bytes()).await?;
        write_pieces(node, output, ticket.pieces).await?;
        output.write_all(mark.as_bytes()).await?;
    } else {
        let (length, pieces) = spool(node, session.shared.id, ticket.pieces)?;
        let length = with_signs_of_life(output, length).await?.map_err(io::Error::other)??;
        output.write_all(format!("${length}\r\n").as_bytes()).await?;
        write_pieces(node, output, pieces).await?;
    }
    Ok((reader, marked))
}

/// Waits, with an empty line to the replica every second.
async fn with_signs_of_life<T>(output: &mut Output, event: impl Future<Output = T>) -> io::Result<T> {
    let mut event = std::pin::pin!(event);
    loop {
        tokio::select! {
            happened = &mut event => return Ok(happened),
            () = tokio::time::sleep(SIGN_OF_LIFE) => output.write_all(b"\n").await?,
        }
    }
}

/// A snapshot with no keys in it, for who asks what else there is.
fn without_data(node: &Node, source: &Arc<Stream>) -> io::Result<sync::Ticket> {
    let (point, reader) = source.cut();
    let options = crate::save_options(node.engine());
    // Behind the cut: what comes between the two is here and in the stream, but never in neither.
    let libraries = node.engine.functions.set();
    let bytes = quiver_persist::without_keys(&options, replication_point(point.clone()), &libraries);
    let (tell, told) = oneshot::channel();
    let (pieces_sender, pieces) = mpsc::channel(2);
    tell.send((point, reader)).map_err(|_| io::Error::other("the ticket is held here"))?;
    for piece in [bytes, Vec::new()] {
        pieces_sender.try_send(Piece::new(piece)).map_err(io::Error::other)?;
    }
    Ok(sync::Ticket { told, pieces })
}

/// Writes pieces up to the empty one.
async fn write_pieces(node: &Node, output: &mut Output, mut pieces: mpsc::Receiver<Piece>) -> io::Result<()> {
    let patience = Duration::from_secs(node.engine.config.repl_timeout_s().max(1) as u64);
    loop {
        let piece = pieces.recv().await.ok_or_else(|| io::Error::other("the snapshot was given up"))?;
        if piece.is_empty() {
            return Ok(());
        }
        // A replica that does not read must not keep its snapshot, and with it all others, from ending.
        tokio::time::timeout(patience, output.write_all(&piece)).await.map_err(io::Error::other)??;
        node.engine.stats.replication_out_bytes.fetch_add(piece.len() as u64, Relaxed);
    }
}

/// The length of a snapshot, once all of it is in a file, and then the file's pieces.
type Spooled = (oneshot::Receiver<io::Result<u64>>, mpsc::Receiver<Piece>);

/// Collects pieces in a file of no name, for replicas that must know the length first.
fn spool(node: &Node, id: u64, pieces: mpsc::Receiver<Piece>) -> io::Result<Spooled> {
    let path = PathBuf::from(node.engine.config.get("dir")).join(format!("temp-{}.{id}.sync.rdb", std::process::id()));
    let (tell, told) = oneshot::channel();
    let (sender, receiver) = mpsc::channel(PIECES_WAITING);
    std::thread::Builder::new().name("quiver-spool".to_owned()).spawn(move || {
        match fill_file(&path, pieces) {
            Ok((file, length)) => {
                // Nobody may be left to hear it; then nobody takes the pieces either.
                let _ = tell.send(Ok(length));
                if let Err(error) = read_file(file, &sender) {
                    warn!("a snapshot for a replica cannot be read back: {error}");
                }
            }
            Err(error) => drop(tell.send(Err(error))),
        }
    })?;
    Ok((told, receiver))
}

fn fill_file(path: &std::path::Path, mut pieces: mpsc::Receiver<Piece>) -> io::Result<(File, u64)> {
    let mut file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    // The open file is all that is needed; so nothing is left behind whatever happens.
    std::fs::remove_file(path)?;
    let mut length = 0;
    loop {
        let piece = pieces.blocking_recv().ok_or_else(|| io::Error::other("the snapshot was given up"))?;
        if piece.is_empty() {
            file.rewind()?;
            return Ok((file, length));
        }
        file.write_all(&piece)?;
        length += piece.len() as u64;
    }
}

fn read_file(mut file: File, pieces: &mpsc::Sender<Piece>) -> io::Result<()> {
    loop {
        let mut piece = vec![0; CHUNK_BYTES];
        let read = file.read(&mut piece)?;
        piece.truncate(read);
        if pieces.blocking_send(Piece::new(piece)).is_err() || read == 0 {
            return Ok(());
        }
    }
}

/// Writes the stream from the reader's place on, as it grows.
async fn write_stream(
    node: &Node,
    source: &Stream,
    client: &ClientInfo,
    mut reader: Reader,
    mut output: Output,
) -> io::Result<()> {
    let mut growth = reader.growth();
    let mut chunk = Vec::new();
    loop {
        source.update_replica(client.id, |replica| replica.sent = Some(reader.offset));
        chunk.clear();
        growth.mark_unchanged();
        if !reader.read(CHUNK_BYTES, &mut chunk) {
            return Err(io::Error::other("the stream is no longer the one this replica reads; it must ask again"));
        }
        if chunk.is_empty() {
            growth.changed().await.map_err(io::Error::other)?;
        } else {
            output.write_all(&chunk).await?;
            client.net_out_bytes.fetch_add(chunk.len() as u64, Relaxed);
            node.engine.stats.replication_out_bytes.fetch_add(chunk.len() as u64, Relaxed);
        }
    }
}

/// Reads the replica's acknowledgements until it leaves.
async fn read_acks(
    engine: &Engine,
    source: &Stream,
    mut input: Input,
    client_id: u64,
    mut first: Option<oneshot::Sender<()>>,
) -> io::Result<()> {
    let (mut bytes, mut decoder, mut requests) = (Vec::new(), Decoder::new(), Requests::new());
    loop {
        if input.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
        // Even an empty line says that it lives.
        source.update_replica(client_id, |replica| replica.heard_ms = now_ms());
        requests.clear();
        let used = decoder.decode(&bytes, &Limits::default(), &mut requests, 1024).map_err(io::Error::other)?;
        for argv in requests.iter(&bytes) {
            let is = |at: usize, word: &str| argv.get(at).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
            let number = |at: usize| std::str::from_utf8(argv.get(at)?).ok()?.parse().ok();
            let offset = number(2);
            let on_disk = if is(3, "FACK") { number(4) } else { None };
            if let (true, true, Some(offset)) = (is(0, "REPLCONF"), is(1, "ACK"), offset) {
                source.update_replica(client_id, |replica| {
                    replica.acknowledged = replica.acknowledged.max(offset);
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
