//! One connection: read, cut into commands, run the batch, write once.
//!
//! The thread's connections share one input and one output buffer; a connection owns memory only for what is left over:
//! an incomplete command, or replies the client has not read yet. While such replies wait nothing is read, so a client
//! that does not read cannot make the server buffer more than one batch for it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

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
}

/// A connection.
struct Conn {
    session: Session,
    decoder: Decoder,
    /// Input that is not a whole command yet; empty most of the time.
    pending: Vec<u8>,
    /// Replies not written yet.
    unsent: Vec<u8>,
    broken: bool,
}

/// Where the input of a turn lies.
enum Input {
    Shared(usize),
    Pending,
    End,
}

/// Serves a client until it leaves; gives the socket back when the client became a replica.
pub(crate) async fn serve(
    mut stream: TcpStream,
    client: Arc<ClientInfo>,
    shared: Rc<RefCell<Shared>>,
) -> Option<(TcpStream, Session, Takeover)> {
    let authenticated = shared.borrow().engine.config.get("requirepass").is_empty();
    let mut conn = Conn {
        session: Session::new(client, authenticated),
        decoder: Decoder::new(),
        pending: Vec::new(),
        unsent: Vec::new(),
        broken: false,
    };
    loop {
        let input = poll_fn(|cx| poll_input(&mut stream, &mut conn, &shared, cx)).await;
        if matches!(input, Input::End) {
            return None;
        }
        let mut carry_on = conn.turn(&shared, input, &stream);
        while !conn.unsent.is_empty() {
            if stream.write_all(&conn.unsent).await.is_err() {
                return None;
            }
            conn.unsent.clear();
            if carry_on && !conn.pending.is_empty() {
                // The batch stopped because enough output waited; the rest of it is in the buffer.
                carry_on = conn.turn(&shared, Input::Pending, &stream);
            }
        }
        conn.unsent = Vec::new();
        if let Some(takeover) = conn.session.takeover.take() {
            return Some((stream, conn.session, takeover));
        }
        if !carry_on {
            let _ = stream.shutdown().await;
            return None;
        }
    }
}

/// Waits for input: into the shared buffer, or behind what the connection already holds.
fn poll_input(
    stream: &mut TcpStream,
    conn: &mut Conn,
    shared: &Rc<RefCell<Shared>>,
    cx: &mut Context<'_>,
) -> Poll<Input> {
    let client = &conn.session.shared;
    if client.killed.load(Relaxed) {
        return Poll::Ready(Input::End);
    }
    let mut waker = client.waker.lock();
    if waker.as_ref().is_none_or(|known| !known.will_wake(cx.waker())) {
        *waker = Some(cx.waker().clone());
    }
    drop(waker);
    let stream = Pin::new(stream);
    let (read, input) = if conn.pending.is_empty() {
        let mut shared = shared.borrow_mut();
        let mut buf = ReadBuf::new(&mut shared.input);
        let Poll::Ready(result) = stream.poll_read(cx, &mut buf) else { return Poll::Pending };
        let read = result.map(|()| buf.filled().len());
        (read, Input::Shared(*read.as_ref().unwrap_or(&0)))
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
    /// Runs everything the input holds and writes what can be written at once; `false` ends the connection.
    fn turn(&mut self, shared: &Rc<RefCell<Shared>>, input: Input, stream: &TcpStream) -> bool {
        let mut shared = shared.borrow_mut();
        let Shared { engine, worker, input: buffer, output, requests } = &mut *shared;
        let bytes: &[u8] = match input {
            Input::Shared(len) => {
                worker.stats.net_in_bytes.add(len as u64);
                &buffer[..len]
            }
            Input::Pending => &self.pending,
            Input::End => return false,
        };
        let (consumed, carry_on) =
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
        self.broken |= !carry_on;
        worker.stats.net_out_bytes.add(output.len() as u64);
        self.send(output, stream);
        if output.capacity() > SHARED_OUTPUT_KEEP {
            *output = Vec::new();
        }
        !self.broken && self.pending.len() <= engine.config.client_query_buffer_limit()
    }

    /// Writes without waiting; what the socket does not take stays with the connection.
    fn send(&mut self, output: &mut Vec<u8>, stream: &TcpStream) {
        let mut sent = 0;
        while sent < output.len() {
            match stream.try_write(&output[sent..]) {
                Ok(n) => sent += n,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.broken = true;
                    break;
                }
            }
        }
        if sent < output.len() && !self.broken {
            self.unsent.extend_from_slice(&output[sent..]);
        }
        output.clear();
    }
}

/// Decodes and runs commands until the input is used up, the output is enough, or the connection ends.
fn run_all(
    engine: &Engine,
    worker: &mut Worker,
    session: &mut Session,
    decoder: &mut Decoder,
    requests: &mut Requests,
    bytes: &[u8],
    output: &mut Vec<u8>,
) -> (usize, bool) {
    let mut consumed = 0;
    let now_ms = now_ms();
    loop {
        let limits = Limits {
            max_bulk_len: engine.config.proto_max_bulk_len(),
            unauthenticated: !session.authenticated,
            ..Limits::default()
        };
        requests.clear();
        let input = &bytes[consumed..];
        let decoded = decoder.decode(input, &limits, requests, BATCH_MAX);
        let done = if requests.is_empty() { 0 } else { engine.run(worker, session, requests, input, 0, output, now_ms) };
        if session.close_after_reply || session.takeover.is_some() {
            return (consumed + done.checked_sub(1).map_or(0, |last| requests.end(last)), session.takeover.is_some());
        }
        if done < requests.len() {
            // Enough output waits. The decoder starts again at the first command that was not run.
            *decoder = Decoder::new();
            return (consumed + done.checked_sub(1).map_or(0, |last| requests.end(last)), true);
        }
        match decoded {
            Ok(used) => {
                consumed += used;
                if requests.len() < BATCH_MAX || consumed == bytes.len() {
                    return (consumed, true);
                }
            }
            Err(error) => {
                if let Some(message) = error.message() {
                    Encoder::new(output, session.protocol).error_bytes(&message);
                }
                return (bytes.len(), false);
            }
        }
    }
}
