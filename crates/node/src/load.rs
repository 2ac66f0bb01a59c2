//! A primary's snapshot on its way: loaded as it arrives, on a thread of its own, beside the data being served.
//!
//! The pieces are bounded, so a loader that is slower than the link slows the link down. Nothing is written to disk, and
//! a snapshot that breaks off anywhere leaves nothing behind.

use std::io::{self, BufReader, Read};
use std::time::Duration;

use quiver_engine::Engine;
use quiver_engine::data_set::DataSet;
use quiver_engine::eviction::Stamps;
use quiver_persist::{LoadOptions, Loaded, read_data_set};
use quiver_replication::{Link, Point};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use crate::clock::now_ms;

/// Pieces waiting for the loader.
const PIECES_WAITING: usize = 16;
/// Pause between signs of life while the rest is loaded.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// What came of it.
type Outcome = Result<(DataSet, Loaded), String>;

/// A snapshot being received.
pub(crate) struct Loading {
    point: Point,
    pieces: mpsc::Sender<Vec<u8>>,
    outcome: oneshot::Receiver<Outcome>,
}

impl Loading {
    pub(crate) fn begin(engine: &Engine, point: Point) -> io::Result<Self> {
        let (pieces, receiver) = mpsc::channel(PIECES_WAITING);
        let (tell, outcome) = oneshot::channel();
        let now_ms = now_ms();
        let options = LoadOptions {
            databases: engine.config.databases(),
            now_ms,
            discard_expired: false,
            clock: Some(Stamps::new(now_ms, &engine.config)),
        };
        std::thread::Builder::new().name("quiver-load".to_owned()).spawn(move || {
            let mut source = BufReader::new(Pieces { receiver, piece: Vec::new(), taken: 0 });
            let read = read_data_set(&mut source, &options, &mut |_| {}).map_err(|error| error.to_string());
            // Whoever waits for it may have been told to follow another.
            let _ = tell.send(read);
        })?;
        Ok(Self { point, pieces, outcome })
    }

    /// Takes the next bytes.
    pub(crate) async fn take(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        if self.pieces.send(bytes).await.is_ok() {
            return Ok(());
        }
        // The loader has given up, and says why.
        Err(match (&mut self.outcome).await {
            Ok(Err(reason)) => io::Error::other(reason),
            _ => io::Error::other("bytes follow the end of the snapshot"),
        })
    }

    /// All bytes are there: gives the data, and the place in the stream where it stands.
    pub(crate) async fn end(self, link: &mut Link, socket: &mut TcpStream) -> io::Result<(DataSet, Point)> {
        let Self { mut point, pieces, mut outcome } = self;
        drop(pieces);
        let outcome = loop {
            tokio::select! {
                outcome = &mut outcome => break outcome,
                () = tokio::time::sleep(SIGN_OF_LIFE) => {
                    link.keep_alive();
                    socket.write_all(&link.take_output()).await?;
                }
            }
        };
        let (data_set, loaded) = outcome.map_err(io::Error::other)?.map_err(io::Error::other)?;
        for warning in &loaded.warnings {
            warn!("the primary's snapshot: {warning}");
        }
        info!("MASTER <-> REPLICA sync: Done loading RDB, keys loaded: {}", loaded.keys);
        point.db = loaded.properties.replication.and_then(|known| known.stream_db);
        Ok((data_set, point))
    }
}

/// The pieces as one source; at its end when nobody sends any more.
struct Pieces {
    receiver: mpsc::Receiver<Vec<u8>>,
    piece: Vec<u8>,
    taken: usize,
}

impl Read for Pieces {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.piece.len() {
            match self.receiver.blocking_recv() {
                Some(piece) => (self.piece, self.taken) = (piece, 0),
                None => return Ok(0),
            }
        }
        let count = out.len().min(self.piece.len() - self.taken);
        out[..count].copy_from_slice(&self.piece[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}
