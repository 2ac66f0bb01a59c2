//! Following a primary: one connection at a time, on a thread of its own.
//!
//! The dialogue is `quiver_replication::Link`; here are the socket, the file a snapshot is spooled to, and the commands
//! being applied. A snapshot is loaded beside the data being served and takes its place only when it is whole. Broken
//! links are tried again, with a growing pause.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use quiver_engine::eviction::Stamps;
use quiver_engine::session::{ClientInfo, Role};
use quiver_engine::{Engine, Session, Worker};
use quiver_persist::{LoadOptions, read_data_set};
use quiver_replication::{Event, Link, Login};
use quiver_resp::{Decoder, Limits, Requests};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::Node;
use crate::clock::{now_ms, random_seed};
use crate::host::{NodeHost, Primary};

const READ_BYTES: usize = 256 * 1024;
const BATCH_MAX: usize = 1024;
const ACK_EVERY: Duration = Duration::from_secs(1);
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

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
        let current = target.clone();
        let ended = tokio::select! {
            ended = follower.follow(&primary, &current) => ended,
            _ = target.changed() => Ok(()),
        };
        follower.engine.state.link_up.store(false, Relaxed);
        follower.host.note_link_down();
        if target.borrow().as_ref() != Some(&primary) {
            pause = RETRY_FIRST;
            continue;
        }
        match ended {
            Ok(()) => pause = RETRY_FIRST,
            Err(error) => warn!("link to primary {}:{}: {error}", primary.host, primary.port),
        }
        // A little of the pause is random, so that many replicas do not come back at the same moment.
        let jitter = Duration::from_millis(random_seed() % (pause.as_millis() as u64 / 2 + 1));
        tokio::time::sleep(pause + jitter).await;
        pause = (pause * 2).min(RETRY_MAX);
    }
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
    /// Commands of the stream that could not be applied.
    failed: u64,
}

/// A snapshot on its way.
struct Spool {
    id: String,
    offset: u64,
    path: PathBuf,
    file: File,
}

impl Follower {
    fn new(node: &Node) -> Self {
        let engine = Arc::clone(node.engine());
        let worker = crate::memory::worker(&engine);
        Self {
            worker,
            host: node.host.clone(),
            session: primary_session(),
            decoder: Decoder::new(),
            requests: Requests::new(),
            pending: Vec::new(),
            output: Vec::new(),
            failed: 0,
            engine,
        }
    }

    /// One connection, from its beginning to its end.
    async fn follow(&mut self, primary: &Primary, target: &watch::Receiver<Option<Primary>>) -> io::Result<()> {
        let timeout = Duration::from_secs(self.engine.config.repl_timeout_s().max(1) as u64);
        let connect = TcpStream::connect((primary.host.as_str(), primary.port));
        let mut socket = tokio::time::timeout(timeout, connect).await.map_err(io::Error::other)??;
        let _ = socket.set_nodelay(true);
        // What was received in part belongs to the old connection; the stream is asked for from the last whole command.
        (self.pending, self.decoder) = (Vec::new(), Decoder::new());
        let mut link = Link::new(self.login());
        let mut spool: Option<Spool> = None;
        let (mut input, mut events) = (vec![0; READ_BYTES], Vec::new());
        let mut heard = tokio::time::Instant::now();
        let mut ack = tokio::time::interval(ACK_EVERY);
        loop {
            socket.write_all(&link.take_output()).await?;
            let read = tokio::select! {
                read = socket.read(&mut input) => read?,
                _ = ack.tick() => {
                    if heard.elapsed() > timeout {
                        return Err(io::Error::new(io::ErrorKind::TimedOut, "the primary is silent"));
                    }
                    if link.is_streaming() && spool.is_none() {
                        link.acknowledge(self.host.stream.position().1);
                    }
                    continue;
                }
            };
            if read == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the primary closed the connection"));
            }
            heard = tokio::time::Instant::now();
            self.host.note_link_io();
            link.receive(&input[..read], &mut events).map_err(io::Error::other)?;
            for event in events.drain(..) {
                // Somebody may have told this instance to follow another, or nobody: then nothing more is applied.
                if target.borrow().as_ref() != Some(primary) {
                    return Ok(());
                }
                self.handle(event, &mut link, &mut spool)?;
            }
        }
    }

    fn login(&self) -> Login {
        let config = &self.engine.config;
        let announced: u16 = config.get("replica-announce-port").parse().unwrap_or(0);
        let port = if announced > 0 { announced } else { config.get("port").parse().unwrap_or(0) };
        Login {
            listening_port: port,
            user: config.get("masteruser"),
            password: config.get("masterauth"),
            resume: self.host.has_followed().then(|| self.host.stream.position()),
        }
    }

    fn handle(&mut self, event: Event, link: &mut Link, spool: &mut Option<Spool>) -> io::Result<()> {
        match event {
            Event::FullSync { id, offset } => {
                info!("full synchronisation at offset {offset}");
                self.host.note_sync(true);
                *spool = Some(Spool::begin(&self.engine, id, offset)?);
            }
            Event::Snapshot(bytes) => {
                let spool = spool.as_mut().ok_or_else(|| io::Error::other("a snapshot without an announcement"))?;
                spool.file.write_all(&bytes)?;
            }
            Event::SnapshotEnd => {
                let spool = spool.take().ok_or_else(|| io::Error::other("a snapshot without an announcement"))?;
                self.load(spool)?;
                self.link_is_up();
                link.acknowledge(self.host.stream.position().1);
            }
            Event::Continue(id) => {
                if let Some(id) = id {
                    self.host.stream.rename(id);
                }
                info!("the stream goes on at offset {}", self.host.stream.position().1);
                self.link_is_up();
            }
            Event::Stream(bytes) => self.apply(&bytes, link)?,
        }
        Ok(())
    }

    fn link_is_up(&self) {
        self.host.note_followed();
        self.host.note_sync(false);
        self.engine.state.link_up.store(true, Relaxed);
    }

    /// Loads a received snapshot beside the running data and exchanges the two.
    fn load(&mut self, spool: Spool) -> io::Result<()> {
        let options = LoadOptions {
            databases: self.engine.config.databases(),
            now_ms: now_ms(),
            discard_expired: false,
            clock: Some(Stamps::new(now_ms(), &self.engine.config)),
        };
        let mut source = BufReader::new(File::open(&spool.path)?);
        let (mut data_set, loaded) =
            read_data_set(&mut source, &options, &mut |_| {}).map_err(|error| io::Error::other(error.to_string()))?;
        self.engine.compile(&mut data_set).map_err(|error| io::Error::other(error.to_string()))?;
        let Spool { id, offset, .. } = &spool;
        let (old, ()) = self.engine.adopt(data_set, |_| self.host.stream.adopt(id.clone(), *offset));
        self.session = primary_session();
        info!("{} keys loaded from the primary", loaded.keys);
        std::thread::spawn(move || drop(old));
        Ok(())
    }

    /// Applies bytes of the stream: whole commands now, the rest when it is complete.
    fn apply(&mut self, bytes: &[u8], link: &mut Link) -> io::Result<()> {
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
                let (worker, session) = (&mut self.worker, &mut self.session);
                self.output.clear();
                next =
                    self.engine.run(worker, session, &self.requests, &self.pending, next, &mut self.output, now_ms());
                // Nobody reads what a replica answers its primary.
                session.close_after_reply = false;
                session.takeover = None;
            }
            self.note_failed(self.worker.stats.errors.get().saturating_sub(errors));
            self.host.stream.append_raw(&self.pending[..used]);
            self.pending.drain(..used);
            if asked {
                link.acknowledge(self.host.stream.position().1);
            }
            if self.requests.len() < BATCH_MAX {
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

impl Spool {
    fn begin(engine: &Engine, id: String, offset: u64) -> io::Result<Self> {
        let name = format!("temp-sync-{}.rdb", std::process::id());
        let path = PathBuf::from(engine.config.get("dir")).join(name);
        let file = File::create(&path)?;
        Ok(Self { id, offset, path, file })
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // A spool that cannot be removed is overwritten by the next one.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn primary_session() -> Session {
    let client = Arc::new(ClientInfo::new(0, String::new(), String::new(), now_ms()));
    let mut session = Session::new(client, true);
    session.role = Role::Primary;
    session
}
