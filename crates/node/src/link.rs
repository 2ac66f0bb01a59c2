//! Following a primary: one connection at a time, on a thread of its own.
//!
//! The dialogue is `quiver_replication::Link`; here are the socket, the snapshot being loaded as it arrives (`load`), and
//! the commands being applied. A snapshot is loaded beside the data being served and takes its place only when it is
//! whole. Broken links are tried again, with a growing pause of which a part is random.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use quiver_engine::session::{ClientInfo, Role};
use quiver_engine::{Engine, Session, Worker};
use quiver_replication::{Event, Link, LinkError, Login, Point};
use quiver_resp::{Decoder, Limits, Requests};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::Node;
use crate::clock::{now_ms, random_seed};
use crate::conn::killed;
use crate::host::NodeHost;
use crate::load::Loading;
use crate::replication::{Primary, Step};

const READ_BYTES: usize = 256 * 1024;
const BATCH_MAX: usize = 1024;
const ACK_EVERY: Duration = Duration::from_secs(1);
/// After this a command whose key is lent is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(1);
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Follows whatever primary the host is told to, until the process ends.
pub(crate) fn start(node: Node, target: watch::Receiver<Option<Primary>>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("quiver-link".to_owned()).spawn(move || runtime.block_on(run(node, target)))?;
    Ok(())
}

async fn run(node: Node, mut target: watch::Receiver<Option<Primary>>) {
    let mut follower = Follower::new(&node);
    let mut pause = RETRY_FIRST;
    loop {
        let primary = target.borrow_and_update().clone();
        let Some(primary) = primary else {
            if target.changed().await.is_err() {
                return;
            }
            pause = RETRY_FIRST;
            continue;
        };
        begin_to_follow(&node, primary.term);
        let ended = tokio::select! {
            ended = follower.follow(&primary) => ended,
            _ = target.changed() => Ok(()),
        };
        follower.disconnect();
        if target.borrow().as_ref() != Some(&primary) {
            pause = RETRY_FIRST;
            continue;
        }
        if let Err(error) = ended {
            if follower.was_up {
                warn!("Connection with master lost.");
            }
            let what = if is_refusal(&error, "AUTH") { "Unable to AUTH to MASTER" } else { "MASTER <-> REPLICA sync" };
            warn!("{what} {}:{}: {error}", primary.host, primary.port);
            if is_refusal(&error, "PSYNC") && node.host.failover_refused(&node.engine) {
                continue;
            }
        }
        if std::mem::take(&mut follower.was_up) {
            pause = RETRY_FIRST;
        }
        // A little of the pause is random, so that many replicas do not come back at the same moment.
        let jitter = Duration::from_millis(random_seed() % (pause.as_millis() as u64 / 2 + 1));
        tokio::select! {
            () = tokio::time::sleep(pause + jitter) => {}
            _ = target.changed() => {}
        }
        pause = (pause * 2).min(RETRY_MAX);
    }
}

/// Connects from an address of this machine, or from whatever the system chooses.
async fn connect(host: &str, port: u16, source: &str) -> io::Result<TcpStream> {
    let Ok(source) = source.parse::<IpAddr>() else { return TcpStream::connect((host, port)).await };
    let mut failed = io::Error::other("no address of the primary is of the kind of bind-source-addr");
    for address in tokio::net::lookup_host((host, port)).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        let connected = match socket.bind(SocketAddr::new(source, 0)) {
            Ok(()) => socket.connect(address).await,
            Err(error) => Err(error),
        };
        match connected {
            Ok(connected) => return Ok(connected),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Whether the primary answered a step of the handshake with an error.
fn is_refusal(error: &io::Error, of: &str) -> bool {
    let refused = error.get_ref().and_then(|error| error.downcast_ref::<LinkError>());
    matches!(refused, Some(LinkError::Refused { step, .. }) if *step == of)
}

/// The stream is the primary's from now on. Turns that were let in as a primary's end first, so that nothing of their
/// effects is lost to the stream.
fn begin_to_follow(node: &Node, term: u64) {
    let stream = node.start_stream();
    node.engine.barrier();
    stream.change(|state| {
        if state.term() == term {
            state.follow();
        }
    });
}

/// What applies the stream.
struct Follower {
    engine: Arc<Engine>,
    host: NodeHost,
    worker: Worker,
    session: Session,
    decoder: Decoder,
    requests: Requests,
    pending: Vec<u8>,
    output: Vec<u8>,
    loading: Option<Loading>,
    /// Commands of the stream that could not be applied.
    failed: u64,
    /// The stream was flowing on the last connection.
    was_up: bool,
}

impl Follower {
    fn new(node: &Node) -> Self {
        let engine = Arc::clone(node.engine());
        let worker = crate::memory::worker(&engine);
        let nobody = Arc::new(ClientInfo::new(0, String::new(), String::new(), now_ms()));
        Self {
            worker,
            host: node.host.clone(),
            session: primary_session(nobody, 0),
            decoder: Decoder::new(),
            requests: Requests::new(),
            pending: Vec::new(),
            output: Vec::new(),
            loading: None,
            failed: 0,
            was_up: false,
            engine,
        }
    }

    /// One connection, from its beginning to its end.
    async fn follow(&mut self, primary: &Primary) -> io::Result<()> {
        let timeout = Duration::from_secs(self.engine.config.repl_timeout_s().max(1) as u64);
        self.host.note_step(Step::Connecting);
        info!("Connecting to MASTER {}:{}", primary.host, primary.port);
        let source = self.engine.config.get("bind-source-addr");
        let connect = connect(&primary.host, primary.port, &source);
        let mut socket = tokio::time::timeout(timeout, connect).await.map_err(io::Error::other)??;
        let _ = socket.set_nodelay(true);
        self.host.note_step(Step::Handshake);
        info!("MASTER <-> REPLICA sync started");
        let client = self.connected(&socket);
        let mut link = Link::new(self.login());
        let (mut input, mut events) = (vec![0; READ_BYTES], Vec::new());
        let mut heard = tokio::time::Instant::now();
        let mut ack = tokio::time::interval(ACK_EVERY);
        loop {
            let output = link.take_output();
            client.net_out_bytes.fetch_add(output.len() as u64, Relaxed);
            tokio::time::timeout(timeout, socket.write_all(&output)).await.map_err(io::Error::other)??;
            let read = tokio::select! {
                read = socket.read(&mut input) => read?,
                _ = ack.tick() => {
                    if heard.elapsed() > timeout {
                        return Err(io::Error::new(io::ErrorKind::TimedOut, "the primary is silent"));
                    }
                    self.say_something(&mut link);
                    continue;
                }
                () = killed(&client) => return Err(io::Error::other("the link was killed")),
            };
            if read == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the primary closed the connection"));
            }
            heard = tokio::time::Instant::now();
            self.host.note_link_io();
            client.net_in_bytes.fetch_add(read as u64, Relaxed);
            self.engine.stats.replication_in_bytes.fetch_add(read as u64, Relaxed);
            link.receive(&input[..read], &mut events).map_err(io::Error::other)?;
            for event in events.drain(..) {
                self.handle(event, primary, &mut link, &mut socket).await?;
            }
        }
    }

    /// A new connection: it is a client in CLIENT LIST, and the stream goes on from the last whole transaction.
    fn connected(&mut self, socket: &TcpStream) -> Arc<ClientInfo> {
        let shown = |address: io::Result<std::net::SocketAddr>| address.map_or(String::new(), |at| at.to_string());
        let (addr, laddr) = (shown(socket.peer_addr()), shown(socket.local_addr()));
        let client = self.engine.connect_primary(addr, laddr, now_ms());
        let db = self.host.stream.state().point().db.unwrap_or(0);
        self.session = primary_session(Arc::clone(&client), db as usize);
        client
    }

    /// The connection is gone, and what was received in part with it.
    fn disconnect(&mut self) {
        self.engine.disconnect(self.session.shared.id);
        (self.pending, self.decoder, self.loading) = (Vec::new(), Decoder::new(), None);
        self.host.stream.state().drop_unfinished();
        self.engine.state.link_up.store(false, Relaxed);
        self.host.note_link_down();
    }

    fn login(&self) -> Login {
        let config = &self.engine.config;
        let announced: u16 = config.get("replica-announce-port").parse().unwrap_or(0);
        let port = if announced > 0 { announced } else { config.get("port").parse().unwrap_or(0) };
        let Point { id, offset, .. } = self.host.stream.state().point();
        Login {
            listening_port: port,
            user: config.get("masteruser"),
            password: config.get("masterauth"),
            resume: Some((id, offset)),
            announced_ip: config.get("replica-announce-ip"),
            version: crate::REDIS_VERSION,
            failover: self.host.is_handing_over(),
        }
    }

    /// Once a second: how far the stream is applied, or that this end lives.
    fn say_something(&self, link: &mut Link) {
        if link.is_streaming() {
            link.acknowledge(self.host.stream.end(), self.host.log.synced_offset());
        } else if link.is_receiving() {
            link.keep_alive();
        }
    }

    async fn handle(
        &mut self,
        event: Event,
        primary: &Primary,
        link: &mut Link,
        socket: &mut TcpStream,
    ) -> io::Result<()> {
        match event {
            Event::FullSync { id, offset } => {
                info!("Full resync from master: {id}:{offset}");
                self.host.handed_over(&self.engine);
                self.host.note_step(Step::Transfer);
                self.loading = Some(Loading::begin(&self.engine, Point { id, offset, db: None })?);
            }
            Event::SnapshotLength(length) => self.host.note_transfer(0, Some(length)),
            Event::Snapshot(bytes) => {
                self.host.note_transfer(bytes.len() as u64, None);
                let loading = self.loading.as_mut().ok_or_else(unannounced)?;
                loading.take(bytes).await?;
            }
            Event::SnapshotEnd => {
                let loading = self.loading.take().ok_or_else(unannounced)?;
                let (mut data_set, point) = loading.end(link, socket).await?;
                self.engine.compile(&mut data_set).map_err(|error| io::Error::other(error.to_string()))?;
                let (stream, log) = (&self.host.stream, &self.host.log);
                let db = point.db.unwrap_or(0) as usize;
                let adopted = self.engine.adopt_if(data_set, || {
                    let wanted = stream.change(|state| state.adopt(primary.term, point));
                    if wanted {
                        log.data_exchanged();
                    }
                    wanted
                });
                let Ok(old) = adopted else { return Err(io::Error::other("another primary is to be followed")) };
                std::thread::spawn(move || drop(old));
                self.session = primary_session(Arc::clone(&self.session.shared), db);
                info!("MASTER <-> REPLICA sync: Finished with success");
                self.link_is_up();
                link.acknowledge(self.host.stream.end(), self.host.log.synced_offset());
            }
            Event::Continue(id) => {
                self.host.handed_over(&self.engine);
                self.host.stream.change(|state| {
                    if let Some(id) = id.filter(|_| state.term() == primary.term) {
                        state.rename(id);
                    }
                });
                info!("Successful partial resynchronization with master, at offset {}", self.host.stream.end());
                self.link_is_up();
                link.acknowledge(self.host.stream.end(), self.host.log.synced_offset());
            }
            Event::Stream(bytes) => self.apply(&bytes, primary, link)?,
        }
        Ok(())
    }

    fn link_is_up(&mut self) {
        self.was_up = true;
        self.host.note_step(Step::Connected);
        self.engine.state.link_up.store(true, Relaxed);
    }

    /// Applies bytes of the stream: whole commands now, the rest when it is complete. The stream of this instance takes
    /// them over in the same turns.
    fn apply(&mut self, bytes: &[u8], primary: &Primary, link: &mut Link) -> io::Result<()> {
        self.pending.extend_from_slice(bytes);
        loop {
            self.requests.clear();
            let decoded = self.decoder.decode(&self.pending, &Limits::default(), &mut self.requests, BATCH_MAX);
            let used = decoded.map_err(|error| io::Error::other(format!("the stream is damaged: {error}")))?;
            let mut asked = false;
            for argv in self.requests.iter(&self.pending) {
                let is = |at: usize, word: &str| argv.get(at).is_some_and(|w| w.eq_ignore_ascii_case(word.as_bytes()));
                asked |= is(0, "REPLCONF") && is(1, "GETACK");
            }
            let errors = self.worker.stats.errors.get();
            let mut next = 0;
            while next < self.requests.len() {
                if self.host.stream.state().term() != primary.term {
                    return Err(io::Error::other("somebody else is to be followed, or nobody"));
                }
                let (worker, session) = (&mut self.worker, &mut self.session);
                self.output.clear();
                next =
                    self.engine.run(worker, session, &self.requests, &self.pending, next, &mut self.output, now_ms());
                // Nobody reads what a replica answers its primary.
                session.close_after_reply = false;
                session.takeover = None;
                if session.pause.take().is_some() {
                    // A long command of a client has borrowed the key. There is nobody else to serve on this thread.
                    std::thread::sleep(RETRY_AFTER);
                }
            }
            self.note_failed(self.worker.stats.errors.get().saturating_sub(errors));
            // Empty lines are no commands, but they count.
            let run_to = self.requests.len().checked_sub(1).map_or(0, |last| self.requests.end(last));
            if run_to < used {
                let (db, whole) = (self.session.db as u32, self.session.multi.is_none());
                let (ignored, log) = (&self.pending[run_to..used], &self.host.log);
                self.host.stream.change(|state| {
                    if state.is_following() {
                        state.take_over(ignored, db, whole);
                        log.note_offset(state.end());
                    }
                });
            }
            self.pending.drain(..used);
            if asked {
                self.host.log.sync_soon();
                link.acknowledge(self.host.stream.end(), self.host.log.synced_offset());
            }
            if self.requests.len() < BATCH_MAX {
                self.host.note_unapplied(self.pending.len() as u64);
                return Ok(());
            }
        }
    }

    /// A primary sends only what it has done, so a command that fails here means that the data differ: a command this
    /// server does not have, say. Logged at the first and then ever more rarely.
    fn note_failed(&mut self, count: u64) {
        let before = self.failed;
        self.failed += count;
        if self.failed.checked_ilog2() != before.checked_ilog2() {
            warn!("{} commands of the primary could not be applied; the data differ from the primary's", self.failed);
        }
    }
}

fn unannounced() -> io::Error {
    io::Error::other("a snapshot without an announcement")
}

fn primary_session(client: Arc<ClientInfo>, db: usize) -> Session {
    let mut session = Session::new(client, true);
    session.role = Role::Primary;
    session.db = db;
    session
}
