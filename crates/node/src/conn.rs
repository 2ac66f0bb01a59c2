//! One connection: read, cut into commands, run the batch, write once.
//!
//! The thread's connections share one input and one output buffer; a connection owns memory only for what is left over:
//! an incomplete command, or replies the client has not read yet. While such replies wait nothing is read, so a client
//! that does not read cannot make the server buffer more than one batch for it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::task::{Context, Poll, Waker};

use quiver_engine::session::{ClientInfo, Takeover};
use quiver_engine::{Engine, Session, Worker};
use quiver_resp::{Decoder, Encoder, Limits, Requests};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use crate::clock::now_ms;

/// Bytes read at once into the shared buffer.
const SHARED_INPUT_BYTES: usize = 64 * 1024;
/// Room made at least before reading into a connection's own buffer.
const OWN_INPUT_STEP: usize = 16 * 1024;
/// Commands decoded at once.
const BATCH_MAX: usize = 1024;
/// A shared output buffer larger than this is given back.
const SHARED_OUTPUT_KEEP: usize = 256 * 1024;

/// What the connections of one thread share.
pub(crate) struct Shared {
    engine: Arc<Engine>,
    worker: Worker,
    input: Box<[u8]>,
    output: Vec<u8>,
    requests: Requests,
}

impl Shared {
    pub(crate) fn new(engine: Arc<Engine>, worker: Worker) -> Self {
        Self {
            engine,
            worker,
            input: vec![0; SHARED_INPUT_BYTES].into_boxed_slice(),
            output: Vec::new(),
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

/// A connection.
struct Conn {
    session: Session,
    decoder: Decoder,
    /// Input that is not a whole command yet; empty most of the time.
    pending: Vec<u8>,
    /// Replies not written yet.
    unsent: Vec<u8>,
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
    /// The connection ends.
    Close,
}

/// Where the input of a turn lies.
enum Input {
    Shared(usize),
    Pending,
    End,
}

/// Serves a client until it leaves; gives the socket back when the client became a replica.
pub(crate) async fn serve(mut stream: TcpStream, client: Arc<ClientInfo>) -> Option<(TcpStream, Session, Takeover)> {
    let authenticated = with_shared(|shared| shared.engine.config.get("requirepass").is_empty());
    let mut conn = Conn {
        session: Session::new(client, authenticated),
        decoder: Decoder::new(),
        pending: Vec::new(),
        unsent: Vec::new(),
        waker: None,
    };
    loop {
        let input = poll_fn(|cx| poll_input(&mut stream, &mut conn, cx)).await;
        let mut next = conn.turn(input, &stream);
        loop {
            if !conn.unsent.is_empty() {
                // A client that never reads can only be got rid of here.
                let written = tokio::select! {
                    written = stream.write_all(&conn.unsent) => written.is_ok(),
                    () = killed(&conn.session.shared) => false,
                };
                if !written {
                    return None;
                }
                conn.unsent = Vec::new();
            }
            if next != Next::More {
                break;
            }
            tokio::task::yield_now().await;
            next = conn.turn(Input::Pending, &stream);
        }
        if let Some(takeover) = conn.session.takeover.take() {
            return Some((stream, conn.session, takeover));
        }
        if next == Next::Close {
            let _ = stream.shutdown().await;
            return None;
        }
    }
}

/// Waits until somebody asks the connection to close.
pub(crate) async fn killed(client: &ClientInfo) {
    poll_fn(|cx| poll_killed(client, cx)).await;
}

/// The waker is left before the flag is looked at, so a kill in between is not missed.
fn poll_killed(client: &ClientInfo, cx: &Context<'_>) -> Poll<()> {
    let mut waker = client.waker.lock();
    if waker.as_ref().is_none_or(|known| !known.will_wake(cx.waker())) {
        *waker = Some(cx.waker().clone());
    }
    drop(waker);
    if client.killed.load(Acquire) { Poll::Ready(()) } else { Poll::Pending }
}

/// Waits for input: into the shared buffer, or behind what the connection already holds.
fn poll_input(stream: &mut TcpStream, conn: &mut Conn, cx: &mut Context<'_>) -> Poll<Input> {
    let client = &conn.session.shared;
    if conn.waker.as_ref().is_none_or(|known| !known.will_wake(cx.waker())) {
        conn.waker = Some(cx.waker().clone());
        client.waker.lock().clone_from(&conn.waker);
    }
    if client.killed.load(Acquire) {
        return Poll::Ready(Input::End);
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
    /// Runs what the input holds and writes what can be written at once.
    fn turn(&mut self, input: Input, stream: &TcpStream) -> Next {
        with_shared(|shared| self.turn_with(shared, input, stream))
    }

    fn turn_with(&mut self, shared: &mut Shared, input: Input, stream: &TcpStream) -> Next {
        let Shared { engine, worker, input: buffer, output, requests } = shared;
        let bytes: &[u8] = match input {
            Input::Shared(len) => {
                worker.stats.net_in_bytes.add(len as u64);
                &buffer[..len]
            }
            Input::Pending => &self.pending,
            Input::End => return Next::Close,
        };
        let (consumed, mut next) =
            run_all(engine, worker, &mut self.session, &mut self.decoder, requests, bytes, output);
        match input {
            Input::Shared(len) => self.pending.extend_from_slice(&buffer[consumed..len]),
            Input::Pending | Input::End => {
                self.pending.drain(..consumed);
                if self.pending.is_empty() && self.pending.capacity() > OWN_INPUT_STEP {
                    self.pending = Vec::new();
                }
            }
        }
        self.session.shared.buffer_bytes.store((self.pending.len() + output.len()) as u64, Relaxed);
        worker.stats.net_out_bytes.add(output.len() as u64);
        if !self.send(output, stream) || self.pending.len() > engine.config.client_query_buffer_limit() {
            next = Next::Close;
        }
        if output.capacity() > SHARED_OUTPUT_KEEP {
            *output = Vec::new();
        }
        next
    }

    /// Writes without waiting; what the socket does not take stays with the connection. `false`: it is broken.
    fn send(&mut self, output: &mut Vec<u8>, stream: &TcpStream) -> bool {
        let mut sent = 0;
        while sent < output.len() {
            match stream.try_write(&output[sent..]) {
                Ok(n) => sent += n,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    output.clear();
                    return false;
                }
            }
        }
        self.unsent.extend_from_slice(&output[sent..]);
        output.clear();
        true
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
        if ends || done < requests.len() {
            // The decoder starts again at the first command that was not run.
            *decoder = Decoder::new();
            let used = done.checked_sub(1).map_or(0, |last| requests.end(last));
            return (consumed + used, if ends { Next::Close } else { Next::More });
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
