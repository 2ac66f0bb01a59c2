//! One connection: read, cut into commands, run the batch, leave the replies in the thread's outbox.
//!
//! The thread's connections share one input buffer and one outbox; a connection owns memory only for what is left over:
//! an incomplete command, or replies the client has not read yet. While such replies wait nothing is read, so a client
//! that does not read cannot make the server buffer more than one batch for it.

mod wait;

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::task::{Context, Poll, Waker};

use quiver_engine::session::{ClientInfo, Takeover};
use quiver_engine::{Engine, Session, Worker};
use quiver_resp::{Decoder, Encoder, Limits, Requests};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

use crate::clock::now_ms;
use crate::outbox::{Outbox, Peer};

/// Bytes read at once into the shared buffer.
const SHARED_INPUT_BYTES: usize = 64 * 1024;
/// Room made at least before reading into a connection's own buffer.
const OWN_INPUT_STEP: usize = 16 * 1024;
/// Commands decoded at once.
const BATCH_MAX: usize = 1024;

/// What the connections of one thread share.
pub(crate) struct Shared {
    engine: Arc<Engine>,
    worker: Worker,
    input: Box<[u8]>,
    outbox: Outbox,
    requests: Requests,
}

impl Shared {
    pub(crate) fn new(engine: Arc<Engine>, worker: Worker) -> Self {
        Self {
            engine,
            worker,
            input: vec![0; SHARED_INPUT_BYTES].into_boxed_slice(),
            outbox: Outbox::default(),
            requests: Requests::new(),
        }
    }

    /// Makes this the shared part of the calling thread.
    pub(crate) fn install(self) {
        SHARED.set(Some(self));
    }
}

thread_local! {
    /// This thread's shared part. In the thread and not in the tasks, so that tasks stay `Send` and run on the plain
    /// scheduler, which is cheaper per wake-up than a `LocalSet`.
    static SHARED: RefCell<Option<Shared>> = const { RefCell::new(None) };
}

/// Runs `use_it` with this thread's shared part.
fn with_shared<T>(use_it: impl FnOnce(&mut Shared) -> T) -> T {
    SHARED.with_borrow_mut(|shared| use_it(shared.as_mut().expect("an I/O thread installs it before its first task")))
}

/// Writes the replies of this thread's connections for as long as it runs.
pub(crate) async fn flush_replies() {
    poll_fn(|cx| with_shared(|shared| shared.outbox.poll_flush(cx))).await;
}

/// A connection.
struct Conn {
    session: Session,
    /// Where replies go.
    peer: Arc<Peer>,
    decoder: Decoder,
    /// Input that is not a whole command yet; empty most of the time.
    pending: Vec<u8>,
    /// The waker that CLIENT KILL knows.
    waker: Option<Waker>,
}

/// What follows a turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// More input is needed.
    Read,
    /// Enough output waits; whole commands are left in the connection's buffer.
    More,
    /// A command waits for something; what follows it is left in the connection's buffer.
    Wait,
    /// The connection ends.
    Close,
}

/// Where the input of a turn lies.
enum Input {
    Shared(usize),
    Pending,
    /// None: replies must be written first.
    Stuck,
    End,
}

/// Serves a client until it leaves; gives the socket back when the client became a replica.
pub(crate) async fn serve(stream: TcpStream, client: Arc<ClientInfo>) -> Option<(TcpStream, Session, Takeover)> {
    let authenticated = with_shared(|shared| shared.engine.config.get("requirepass").is_empty());
    let (mut read_half, write_half) = stream.into_split();
    let mut conn = Conn {
        peer: Arc::new(Peer::new(write_half, Arc::clone(&client))),
        session: Session::new(client, authenticated),
        decoder: Decoder::new(),
        pending: Vec::new(),
        waker: None,
    };
    let mut next = Next::Read;
    loop {
        if next != Next::Read || conn.peer.is_stuck() {
            with_shared(|shared| shared.outbox.flush());
            if !conn.peer.finish().await {
                return None;
            }
        }
        if let Some(takeover) = conn.session.takeover.take() {
            let write_half = Arc::into_inner(conn.peer).expect("the outbox was flushed").into_half();
            let stream = read_half.reunite(write_half).expect("they were split above");
            return Some((stream, conn.session, takeover));
        }
        next = match next {
            Next::Close => return None,
            Next::More => {
                tokio::task::yield_now().await;
                conn.turn(Input::Pending)
            }
            Next::Wait => wait::wait(&mut read_half, &mut conn).await,
            Next::Read => {
                let input = poll_fn(|cx| poll_input(&mut read_half, &mut conn, cx)).await;
                conn.turn(input)
            }
        };
    }
}

/// Waits until somebody asks the connection to close.
pub(crate) async fn killed(client: &ClientInfo) {
    let mut known = None;
    poll_fn(|cx| poll_killed(client, &mut known, cx)).await;
}

/// `known` is the waker left last time. It is left before the flag is looked at, so a kill in between is not missed.
fn poll_killed(client: &ClientInfo, known: &mut Option<Waker>, cx: &Context<'_>) -> Poll<()> {
    if known.as_ref().is_none_or(|known| !known.will_wake(cx.waker())) {
        *known = Some(cx.waker().clone());
        client.waker.lock().clone_from(known);
    }
    if client.killed.load(Acquire) { Poll::Ready(()) } else { Poll::Pending }
}

/// Waits for input: into the shared buffer, or behind what the connection already holds.
fn poll_input(stream: &mut OwnedReadHalf, conn: &mut Conn, cx: &mut Context<'_>) -> Poll<Input> {
    if poll_killed(&conn.session.shared, &mut conn.waker, cx).is_ready() {
        return Poll::Ready(Input::End);
    }
    if conn.peer.is_stuck() {
        return Poll::Ready(Input::Stuck);
    }
    let stream = Pin::new(stream);
    let (read, input) = if conn.pending.is_empty() {
        let polled = with_shared(|shared| {
            let mut buf = ReadBuf::new(&mut shared.input);
            stream.poll_read(cx, &mut buf).map_ok(|()| buf.filled().len())
        });
        let Poll::Ready(result) = polled else { return Poll::Pending };
        let filled = *result.as_ref().unwrap_or(&0);
        (result, Input::Shared(filled))
    } else {
        let old = conn.pending.len();
        // Grown by what arrives, never by what the client claims.
        let room = conn.decoder.wanted().clamp(OWN_INPUT_STEP, old.max(OWN_INPUT_STEP));
        conn.pending.resize(old + room, 0);
        let mut buf = ReadBuf::new(&mut conn.pending[old..]);
        let polled = stream.poll_read(cx, &mut buf);
        let filled = buf.filled().len();
        conn.pending.truncate(old + filled);
        let Poll::Ready(result) = polled else { return Poll::Pending };
        (result.map(|()| filled), Input::Pending)
    };
    match read {
        Ok(0) | Err(_) => Poll::Ready(Input::End),
        Ok(_) => Poll::Ready(input),
    }
}

impl Conn {
    /// Runs what the input holds; replies go to the outbox.
    fn turn(&mut self, input: Input) -> Next {
        with_shared(|shared| self.turn_with(shared, input))
    }

    fn turn_with(&mut self, shared: &mut Shared, input: Input) -> Next {
        let Shared { engine, worker, input: buffer, outbox, requests } = shared;
        let bytes: &[u8] = match input {
            Input::Shared(len) => {
                worker.stats.net_in_bytes.add(len as u64);
                &buffer[..len]
            }
            Input::Pending => &self.pending,
            Input::Stuck => return Next::Read,
            Input::End => return Next::Close,
        };
        let (output, start) = outbox.begin();
        let (consumed, mut next) =
            run_all(engine, worker, &mut self.session, &mut self.decoder, requests, bytes, output);
        let output_bytes = output.len() - start;
        outbox.end(&self.peer);
        match input {
            Input::Shared(len) => self.pending.extend_from_slice(&buffer[consumed..len]),
            Input::Pending | Input::Stuck | Input::End => {
                self.pending.drain(..consumed);
                if self.pending.is_empty() && self.pending.capacity() > OWN_INPUT_STEP {
                    self.pending = Vec::new();
                }
            }
        }
        self.session.shared.buffer_bytes.store((self.pending.len() + output_bytes) as u64, Relaxed);
        worker.stats.net_out_bytes.add(output_bytes as u64);
        if self.pending.len() > engine.config.client_query_buffer_limit() {
            next = Next::Close;
        }
        next
    }
}

/// Decodes and runs commands until the input is used up, the output is enough, or the connection ends. Gives the bytes
/// used and what follows.
fn run_all(
    engine: &Engine,
    worker: &mut Worker,
    session: &mut Session,
    decoder: &mut Decoder,
    requests: &mut Requests,
    bytes: &[u8],
    output: &mut Vec<u8>,
) -> (usize, Next) {
    let mut consumed = 0;
    let now_ms = now_ms();
    loop {
        let limits = Limits {
            max_bulk_len: engine.config.proto_max_bulk_len(),
            unauthenticated: !session.authenticated,
            ..Limits::default()
        };
        // An AUTH lifts the limits for the commands behind it.
        let batch = if session.authenticated { BATCH_MAX } else { 1 };
        requests.clear();
        let input = &bytes[consumed..];
        let decoded = decoder.decode(input, &limits, requests, batch);
        let done = engine.run(worker, session, requests, input, 0, output, now_ms);
        let ends = session.close_after_reply || session.takeover.is_some();
        let waits = session.blocked.is_some() || session.postponed;
        if ends || waits || done < requests.len() {
            // The decoder starts again at the first command that was not run.
            *decoder = Decoder::new();
            let used = done.checked_sub(1).map_or(0, |last| requests.end(last));
            let next = match (ends, waits) {
                (true, _) => Next::Close,
                (false, true) => Next::Wait,
                (false, false) => Next::More,
            };
            return (consumed + used, next);
        }
        match decoded {
            Ok(used) => {
                consumed += used;
                if requests.len() < batch || consumed == bytes.len() {
                    return (consumed, Next::Read);
                }
            }
            Err(error) => {
                if let Some(message) = error.message() {
                    Encoder::new(output, session.protocol).error_bytes(&message);
                }
                return (bytes.len(), Next::Close);
            }
        }
    }
}
