//! The turns of one thread's connections: read from all that are ready, run all, write to all.
//!
//! One task of the thread does all three, in steps. That way the receive path, the engine and the send path each stay in
//! the caches for a while, and the keys of commands that different connections sent can be prefetched together. A
//! connection's own task sleeps meanwhile; it is woken for whatever is not that: a command that waits, replies that the
//! socket did not take, the end.
//!
//! Invariants: a connection has at most one turn waiting, and does nothing else meanwhile; only one that rests is read
//! without its task; a turn that panics closes its own connection only.

use std::cell::RefCell;
use std::future::poll_fn;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::task::{Context, Poll, Waker};

use quiver_engine::hint::Hint;
use quiver_engine::{ClientInfo, Engine, Session, Worker};
use quiver_resp::{Decoder, Encoder, Limits, ProtocolError, Requests};
use slab::Slab;
use tracing::error;

use crate::clock::now_ms;
use crate::conn::{Conn, Next, poll_killed};
use crate::helpers::Helpers;
use crate::log::Log;
use crate::outbox::Outbox;
use crate::poller::{Change, Poller};

/// Bytes that all connections of a thread together may have read and not run.
const INPUT_BYTES: usize = 128 * 1024;
/// A connection that finds less room than this lets the waiting turns run first.
pub(crate) const INPUT_STEP: usize = 16 * 1024;
/// Commands decoded at once.
const BATCH_MAX: usize = 1024;
/// Times the sockets are asked before the thread's other tasks come.
const STEPS_AT_ONCE: usize = 4;
/// A connection with at least this many commands overlaps its cache misses by itself.
const HINT_BELOW: usize = 4;

thread_local! {
    /// This thread's shared part. In the thread and not in the tasks, so that tasks stay `Send` and run on the plain
    /// scheduler, which is cheaper per wake-up than a `LocalSet`.
    static SHARED: RefCell<Option<Shared>> = const { RefCell::new(None) };
}

/// Runs `use_it` with this thread's shared part.
pub(crate) fn with_shared<T>(use_it: impl FnOnce(&mut Shared) -> T) -> T {
    SHARED.with_borrow_mut(|shared| use_it(shared.as_mut().expect("an I/O thread installs it before its first task")))
}

/// Reads from this thread's connections, runs their turns and writes their replies, for as long as the thread lives.
pub(crate) async fn run_turns() {
    poll_fn(|cx| with_shared(|shared| shared.poll_run(cx))).await;
}

/// What the connections of one thread share.
pub(crate) struct Shared {
    pub(crate) engine: Arc<Engine>,
    pub(crate) log: Arc<Log>,
    pub(crate) outbox: Outbox,
    pub(crate) conns: Slab<Conn>,
    pub(crate) helpers: Helpers,
    pub(crate) worker: Worker,
    pub(crate) poller: Poller,
    /// What the poller told last; kept for its memory.
    changes: Vec<Change>,
    /// Connections that may have more to read than their last read brought.
    unfinished: Vec<usize>,
    input: Box<[u8]>,
    input_used: usize,
    /// The waiting turns are the first `waiting` of these; the rest is kept for its memory.
    turns: Vec<Turn>,
    waiting: usize,
    /// Wakes the task of [`run_turns`].
    runner: Option<Waker>,
}

/// A turn that waits.
struct Turn {
    conn: usize,
    input: Input,
    requests: Requests,
    decoded: Result<usize, ProtocolError>,
    /// How many commands were to be decoded at most.
    batch: usize,
    hint: Option<Hint>,
}

/// Where the input of a turn lies.
enum Input {
    /// In the thread's buffer.
    Shared(Range<usize>),
    /// In the connection's own.
    Pending,
    /// There is none, but messages wait.
    Messages,
}

impl Shared {
    pub(crate) fn new(engine: Arc<Engine>, log: Arc<Log>, worker: Worker, poller: Poller) -> Self {
        Self {
            engine,
            log,
            outbox: Outbox::default(),
            conns: Slab::new(),
            helpers: Helpers::default(),
            worker,
            poller,
            changes: Vec::new(),
            unfinished: Vec::new(),
            input: vec![0; INPUT_BYTES].into_boxed_slice(),
            input_used: 0,
            turns: Vec::new(),
            waiting: 0,
            runner: None,
        }
    }

    /// Makes this the shared part of the calling thread.
    pub(crate) fn install(self) {
        SHARED.set(Some(self));
    }

    /// One step of a connection's task: what its last turn asks for, or rest until a turn asks for something.
    pub(crate) fn poll_conn(&mut self, index: usize, cx: &mut Context<'_>) -> Poll<Next> {
        let conn = &mut self.conns[index];
        let killed = poll_killed(&conn.session.shared, &mut conn.waker, cx).is_ready();
        if conn.waits_for_turn {
            conn.was_woken = true;
            return Poll::Pending;
        }
        conn.at_rest = false;
        if killed {
            return Poll::Ready(Next::Close);
        }
        if let Some(next) = conn.outcome.take() {
            return Poll::Ready(next);
        }
        if conn.peer.is_stuck() {
            return Poll::Ready(Next::Read);
        }
        conn.at_rest = true;
        if conn.readable {
            self.read(index);
        }
        let conn = &self.conns[index];
        if !conn.waits_for_turn && conn.outcome.is_none() && conn.session.shared.mailbox.is_waiting() {
            // In turn with the commands of the thread's other connections, however fast messages come.
            self.enqueue(index, Input::Messages);
        }
        Poll::Pending
    }

    /// Lets a connection run what is left in its own buffer.
    pub(crate) fn enqueue_pending(&mut self, index: usize) {
        self.enqueue(index, Input::Pending);
    }

    /// Reads from the sockets that have something and queues the turns; says whether there was any.
    fn read_ready(&mut self, cx: &mut Context<'_>) -> bool {
        let mut unfinished = std::mem::take(&mut self.unfinished);
        let mut any = !unfinished.is_empty();
        for index in unfinished.drain(..) {
            self.read(index);
        }
        // What is still unfinished was noted anew meanwhile.
        if self.unfinished.is_empty() {
            self.unfinished = unfinished;
        }
        let mut changes = std::mem::take(&mut self.changes);
        match self.poller.poll(cx, &mut changes) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => any = true,
            Poll::Ready(Err(error)) => error!("an I/O thread cannot ask for its sockets: {error}"),
        }
        for change in changes.drain(..) {
            self.note(change);
        }
        self.changes = changes;
        any
    }

    /// A socket changed: reads from it, or leaves that to its connection's task.
    fn note(&mut self, change: Change) {
        let Some(conn) = self.conns.get_mut(change.conn) else { return };
        conn.readable |= change.readable;
        conn.ended |= change.ended;
        let has_room = change.writable && conn.peer.has_room();
        if conn.may_be_read() {
            self.read(change.conn);
        } else if (has_room || !conn.at_rest)
            && let Some(task) = &conn.waker
        {
            task.wake_by_ref();
        }
    }

    /// Reads from a socket, if it is its time, and queues the turn.
    fn read(&mut self, index: usize) {
        if self.input.len() - self.input_used < INPUT_STEP {
            self.run_waiting();
        }
        let Some(conn) = self.conns.get_mut(index).filter(|conn| conn.may_be_read()) else { return };
        let (read, input) = if conn.pending.is_empty() {
            let start = self.input_used;
            let read = conn.read_into(&mut self.input[start..]);
            let filled = read.as_ref().map_or(0, |filled| *filled);
            self.input_used += filled;
            (read, Input::Shared(start..start + filled))
        } else {
            // Grown by what arrives, never by what the client claims.
            let room = conn.decoder.wanted().clamp(INPUT_STEP, conn.pending.len().max(INPUT_STEP));
            (conn.read_behind(room), Input::Pending)
        };
        match read {
            Ok(0) if conn.readable => self.unfinished.push(index),
            Ok(0) => {}
            Ok(filled) => {
                self.worker.stats.net_in_bytes.add(filled as u64);
                self.enqueue(index, input);
            }
            Err(_) => {
                conn.outcome = Some(Next::Close);
                if let Some(task) = &conn.waker {
                    task.wake_by_ref();
                }
            }
        }
    }

    fn enqueue(&mut self, index: usize, input: Input) {
        let conn = &mut self.conns[index];
        conn.waits_for_turn = true;
        conn.was_woken = false;
        if self.waiting == self.turns.len() {
            let requests = Requests::new();
            self.turns.push(Turn { conn: index, input, requests, decoded: Ok(0), batch: 0, hint: None });
        } else {
            let turn = &mut self.turns[self.waiting];
            (turn.conn, turn.input) = (index, input);
        }
        if self.waiting == 0
            && let Some(runner) = &self.runner
        {
            runner.wake_by_ref();
        }
        self.waiting += 1;
    }

    fn poll_run(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.runner.as_ref().is_none_or(|runner| !runner.will_wake(cx.waker())) {
            self.runner = Some(cx.waker().clone());
        }
        for _ in 0..STEPS_AT_ONCE {
            let any = self.read_ready(cx);
            self.run_waiting();
            self.outbox.flush();
            if !any {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Runs the waiting turns, in three passes.
    fn run_waiting(&mut self) {
        let mut turns = std::mem::take(&mut self.turns);
        let waiting = std::mem::take(&mut self.waiting);
        for turn in &mut turns[..waiting] {
            self.decode(turn, waiting > 1);
        }
        for hint in turns[..waiting].iter().filter_map(|turn| turn.hint.as_ref()) {
            self.engine.follow(hint);
        }
        let now_ms = now_ms();
        for turn in &mut turns[..waiting] {
            self.run(turn, now_ms);
        }
        self.input_used = 0;
        self.turns = turns;
    }

    /// First pass: finds the commands, and starts to load where the first one's key lies.
    fn decode(&mut self, turn: &mut Turn, hint: bool) {
        let Some(conn) = self.conns.get_mut(turn.conn) else { return };
        let bytes = match &turn.input {
            Input::Shared(range) => &self.input[range.clone()],
            Input::Pending => &conn.pending,
            Input::Messages => {
                turn.hint = None;
                return turn.requests.clear();
            }
        };
        (turn.batch, turn.decoded) = decode(&self.engine, &conn.session, &mut conn.decoder, &mut turn.requests, bytes);
        let few = hint && (1..HINT_BELOW).contains(&turn.requests.len());
        turn.hint = if few { self.engine.hint(conn.session.db, turn.requests.argv(0, bytes)) } else { None };
    }

    /// Last pass: runs the commands, and tells the connection's task what follows unless it is to read on.
    fn run(&mut self, turn: &mut Turn, now_ms: i64) {
        let Some(conn) = self.conns.get_mut(turn.conn) else { return };
        let (output, start) = self.outbox.begin();
        // The buffer leaves the connection for the turn: the session changes while commands are read from it.
        let pending = std::mem::take(&mut conn.pending);
        let bytes: &[u8] = match &turn.input {
            Input::Shared(range) => &self.input[range.clone()],
            Input::Pending => &pending,
            Input::Messages => &[],
        };
        let received = bytes.len() as u64;
        // What was sent before these commands came is read before their replies.
        take_messages(&conn.session.shared, output);
        let killed = conn.session.shared.killed.load(Acquire);
        let (engine, worker) = (&self.engine, &mut self.worker);
        let dirty = worker.stats.dirty.get();
        let ran = catch_unwind(AssertUnwindSafe(|| match turn.input {
            Input::Messages => (0, Next::Read),
            // Another connection's turn may have ended this one.
            _ if killed => (bytes.len(), Next::Close),
            _ => run_all(engine, worker, conn, turn, bytes, output, now_ms),
        }));
        let (consumed, mut next) = ran.unwrap_or_else(|_| {
            error!("a command panicked; its connection is closed");
            output.truncate(start);
            (bytes.len(), Next::Close)
        });
        let client = &conn.session.shared;
        take_messages(client, output);
        let output_bytes = output.len() - start;
        if engine.config.output_limits.of(client.output_class()).over_hard(output_bytes as u64) {
            engine.close_slow(client);
            output.truncate(start);
        }
        // Only this thread writes them, so no locked instruction is needed.
        client.net_in_bytes.store(client.net_in_bytes.load(Relaxed) + received, Relaxed);
        client.net_out_bytes.store(client.net_out_bytes.load(Relaxed) + output_bytes as u64, Relaxed);
        self.outbox.end(&conn.peer, self.worker.stats.dirty.get() != dirty);
        conn.keep(&turn.input, pending, &self.input, consumed);
        conn.note_buffers(&self.engine);
        self.worker.stats.net_out_bytes.add(output_bytes as u64);
        if conn.pending.len() > self.engine.config.client_query_buffer_limit() {
            self.engine.stats.query_limit_disconnections.fetch_add(1, Relaxed);
            next = Next::Close;
        }
        conn.waits_for_turn = false;
        conn.outcome = (next != Next::Read).then_some(next);
        if next == Next::Read && conn.readable {
            self.unfinished.push(turn.conn);
        }
        if (conn.was_woken || conn.outcome.is_some())
            && let Some(task) = &conn.waker
        {
            task.wake_by_ref();
        }
    }
}

impl Conn {
    /// Keeps what a turn did not consume.
    fn keep(&mut self, input: &Input, mut pending: Vec<u8>, shared: &[u8], consumed: usize) {
        match input {
            Input::Shared(range) => pending.extend_from_slice(&shared[range.start + consumed..range.end]),
            Input::Messages => {}
            Input::Pending => {
                pending.drain(..consumed);
                if pending.is_empty() && pending.capacity() > INPUT_STEP {
                    pending = Vec::new();
                }
            }
        }
        self.pending = pending;
    }
}

/// What a client may send.
pub(crate) fn limits(engine: &Engine, session: &Session) -> Limits {
    Limits {
        max_bulk_len: engine.config.proto_max_bulk_len(),
        unauthenticated: !session.authenticated,
        ..Limits::default()
    }
}

/// Puts the messages that wait for a client behind its replies.
pub(crate) fn take_messages(client: &ClientInfo, output: &mut Vec<u8>) {
    if client.mailbox.is_waiting() {
        client.mailbox.drain(|bytes| output.extend_from_slice(bytes));
    }
}

/// Finds the commands in `bytes`: how many were wanted, and how many bytes they take.
fn decode(
    engine: &Engine,
    session: &Session,
    decoder: &mut Decoder,
    requests: &mut Requests,
    bytes: &[u8],
) -> (usize, Result<usize, ProtocolError>) {
    let limits = limits(engine, session);
    // An AUTH lifts the limits for the commands behind it.
    let batch = if session.authenticated { BATCH_MAX } else { 1 };
    requests.clear();
    (batch, decoder.decode(bytes, &limits, requests, batch))
}

/// Runs and decodes commands until the input is used up, the output is enough, or the connection ends. Gives the bytes
/// used and what follows.
fn run_all(
    engine: &Engine,
    worker: &mut Worker,
    conn: &mut Conn,
    turn: &mut Turn,
    bytes: &[u8],
    output: &mut Vec<u8>,
    now_ms: i64,
) -> (usize, Next) {
    let Turn { requests, decoded, batch, .. } = turn;
    let mut consumed = 0;
    loop {
        let input = &bytes[consumed..];
        let done = engine.run(worker, &mut conn.session, requests, input, 0, output, now_ms);
        let ends = conn.session.close_after_reply || conn.session.takeover.is_some();
        let waits = conn.session.blocked.is_some() || conn.session.postponed;
        if ends || waits || done < requests.len() {
            // The decoder starts again at the first command that was not run.
            conn.decoder = Decoder::new();
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
                consumed += *used;
                if requests.len() < *batch || consumed == bytes.len() {
                    return (consumed, Next::Read);
                }
            }
            Err(error) => {
                if let Some(message) = error.message() {
                    Encoder::new(output, conn.session.protocol).error_bytes(&message);
                }
                return (bytes.len(), Next::Close);
            }
        }
        (*batch, *decoded) = decode(engine, &conn.session, &mut conn.decoder, requests, &bytes[consumed..]);
    }
}
