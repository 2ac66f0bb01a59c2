//! What the server knows of one client.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;
use quiver_resp::{OwnedArgv, Protocol};

use crate::acl::User;
use crate::blocking::{Rerun, Waiter};
use crate::mailbox::{Mailbox, OutputClass};
use crate::pubsub::Subscriptions;
use crate::registry::Entry;
use crate::tracking::Mode;

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// An ordinary client.
    Normal,
    /// The primary whose stream this replica applies: may write, gets no replies.
    Primary,
}

/// State of one connection, owned by the thread that serves it.
#[derive(Debug)]
pub struct Session {
    /// Selected database.
    pub db: usize,
    /// Negotiated protocol.
    pub protocol: Protocol,
    /// Who it is.
    pub role: Role,
    /// Whether AUTH succeeded or was not needed.
    pub authenticated: bool,
    /// The user commands run as.
    pub user: Arc<User>,
    /// Open transaction.
    pub multi: Option<Transaction>,
    /// Set by writers to watched keys.
    pub watch_flag: Arc<AtomicBool>,
    /// Watched keys: database and name.
    pub watched: Vec<(usize, Box<[u8]>)>,
    /// Bytes of them.
    pub(crate) watched_bytes: u64,
    /// Close once the replies are sent.
    pub close_after_reply: bool,
    /// What CLIENT REPLY asked for.
    pub reply_mode: ReplyMode,
    /// What the connection becomes after this command (PSYNC).
    pub takeover: Option<Takeover>,
    /// Subscribed or in MONITOR mode: some commands are refused.
    pub limited: bool,
    /// Whoever runs the commands has other sessions to serve: what would take long is given back as a [`Pause`].
    pub yields: bool,
    /// Whoever runs the commands has this session alone: what takes long may work on its keys apart from all others.
    pub borrows: bool,
    /// Why the next command was given back.
    pub pause: Option<Pause>,
    /// What REPLCONF told before PSYNC.
    pub replica: ReplicaInfo,
    /// Lists of field names by the name HIMPORT PREPARE gave them.
    pub fieldsets: BTreeMap<Box<[u8]>, Fieldset>,
    /// The part other threads see.
    pub shared: Arc<ClientInfo>,
    /// What the running wait hangs on; nothing else is run before it is over.
    pub blocked: Option<Arc<Waiter>>,
    /// Somebody is there to wait: without that, commands that would block answer at once.
    pub can_block: bool,
    /// The next command waits for the end of CLIENT PAUSE.
    pub postponed: bool,
    /// It has changed something, so WAIT has something to wait for.
    pub(crate) has_written: bool,
    /// A script runs as it.
    pub(crate) in_script: bool,
    /// This is a waiter's session, and its command is run again.
    pub(crate) rerun: Rerun,
}

/// Names of fields, in order.
pub type Fieldset = Arc<[Box<[u8]>]>;

/// Commands queued since MULTI.
#[derive(Debug, Default)]
pub struct Transaction {
    /// In order.
    pub queue: Vec<(&'static Entry, OwnedArgv)>,
    /// Bytes queued, bounded like the query buffer.
    pub bytes: usize,
    /// A command was refused at queue time: EXEC aborts.
    pub aborted: bool,
}

/// CLIENT REPLY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyMode {
    /// Replies are sent.
    On,
    /// None is sent.
    Off,
    /// The reply of the next command is dropped, then ON again.
    SkipNext,
    /// The reply of the running command is dropped, then ON again.
    Skip,
}

/// Why a command was not run in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// A shard it needs is held by somebody else for long; to be tried again.
    Locked,
    /// It takes long itself; to be run elsewhere.
    Long,
}

/// A connection leaves the command loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Takeover {
    /// The client is a replica: feed it from here. `replid` is `?` for a full sync.
    Psync {
        /// Replication id it followed; `?` for none, empty after the old SYNC, which expects no line before the data.
        replid: String,
        /// First offset it misses.
        offset: i64,
    },
}

/// What a replica says of itself.
#[derive(Clone, Debug, Default)]
pub struct ReplicaInfo {
    /// Port it listens on.
    pub listening_port: u16,
    /// Address it announces.
    pub ip_address: Option<String>,
    /// Takes a snapshot whose end is a mark.
    pub capa_eof: bool,
    /// Knows PSYNC2.
    pub capa_psync2: bool,
    /// Wants the snapshot only and no stream after it.
    pub rdb_only: bool,
    /// Wants no keys in the snapshot.
    pub without_data: bool,
}

/// The part of a session that CLIENT LIST, CLIENT KILL and INFO read from other threads.
#[derive(Debug)]
pub struct ClientInfo {
    /// Unique and ascending.
    pub id: u64,
    /// Remote address as `ip:port`.
    pub addr: String,
    /// Local address as `ip:port`.
    pub laddr: String,
    /// Unix time of the connection, ms.
    pub created_ms: i64,
    /// Unix time of the last command, ms.
    pub last_active_ms: AtomicI64,
    /// Selected database.
    pub db: AtomicU64,
    /// Asks the connection's task to close.
    pub killed: AtomicBool,
    /// Wakes the connection's task (set by whoever serves it).
    pub waker: Mutex<Option<std::task::Waker>>,
    /// The user commands run as.
    pub user: Mutex<Arc<User>>,
    /// Names and texts.
    pub texts: Mutex<ClientTexts>,
    /// Bytes of unanswered queries and unsent replies.
    pub buffer_bytes: AtomicU64,
    /// Id of the last command's registry entry; `u64::MAX` before the first.
    pub last_command: AtomicU64,
    /// Commands queued since MULTI; -1 outside of a transaction.
    pub queued: AtomicI64,
    /// Keys watched.
    pub watching: AtomicU64,
    /// CLIENT NO-EVICT.
    pub no_evict: AtomicBool,
    /// CLIENT NO-TOUCH.
    pub no_touch: AtomicBool,
    /// Commands run.
    pub commands: AtomicU64,
    /// Bytes read.
    pub net_in_bytes: AtomicU64,
    /// Bytes written.
    pub net_out_bytes: AtomicU64,
    /// CLIENT PAUSE holds its next command back.
    pub held_back: AtomicBool,
    /// What it waits for.
    pub waiter: Mutex<Option<Arc<Waiter>>>,
    /// Messages it did not ask for.
    pub mailbox: Mailbox,
    /// Bytes taken out of the mailbox or written as replies that the socket has not taken yet.
    pub output_bytes: AtomicU64,
    /// Bytes of what the server remembers for it: watched keys, channels, prefixes.
    pub held_bytes: AtomicU64,
    /// Channels and patterns it listens to.
    pub subscriptions: Mutex<Subscriptions>,
    /// Whether it listens to any.
    pub(crate) subscriber: AtomicBool,
    /// In MONITOR mode.
    pub monitor: AtomicBool,
    /// How it tracks keys: a [`Mode`].
    pub(crate) tracking: AtomicU32,
    /// Id of the client that is told of its keys in its place; 0 for itself.
    pub(crate) redirect: AtomicU64,
    /// Prefixes it wants to hear of.
    pub(crate) prefixes: Mutex<BTreeSet<Box<[u8]>>>,
}

/// Texts a client gave.
#[derive(Clone, Debug)]
pub struct ClientTexts {
    /// CLIENT SETNAME.
    pub name: String,
    /// CLIENT SETINFO LIB-NAME.
    pub lib_name: String,
    /// CLIENT SETINFO LIB-VER.
    pub lib_version: String,
    /// Authenticated user.
    pub user: String,
    /// Flags for CLIENT LIST beyond those that follow from the other fields: "S" for a replica, "M" for the primary.
    pub flags: String,
    /// RESP version.
    pub resp: u8,
}

impl ClientInfo {
    /// A client that just connected.
    pub fn new(id: u64, addr: String, laddr: String, now_ms: i64) -> Self {
        Self {
            id,
            addr,
            laddr,
            created_ms: now_ms,
            last_active_ms: AtomicI64::new(now_ms),
            db: AtomicU64::new(0),
            killed: AtomicBool::new(false),
            waker: Mutex::new(None),
            user: Mutex::new(User::anyone()),
            texts: Mutex::new(ClientTexts {
                name: String::new(),
                lib_name: String::new(),
                lib_version: String::new(),
                user: "default".to_owned(),
                flags: String::new(),
                resp: 2,
            }),
            buffer_bytes: AtomicU64::new(0),
            last_command: AtomicU64::new(u64::MAX),
            queued: AtomicI64::new(-1),
            watching: AtomicU64::new(0),
            no_evict: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            commands: AtomicU64::new(0),
            net_in_bytes: AtomicU64::new(0),
            net_out_bytes: AtomicU64::new(0),
            held_back: AtomicBool::new(false),
            waiter: Mutex::new(None),
            mailbox: Mailbox::default(),
            output_bytes: AtomicU64::new(0),
            subscriptions: Mutex::default(),
            subscriber: AtomicBool::new(false),
            monitor: AtomicBool::new(false),
            tracking: AtomicU32::new(0),
            redirect: AtomicU64::new(0),
            prefixes: Mutex::default(),
            held_bytes: AtomicU64::new(0),
        }
    }

    /// Whether its running command waits for something.
    pub fn is_blocked(&self) -> bool {
        self.held_back.load(Ordering::Relaxed) || self.waiter.lock().as_ref().is_some_and(|waiter| waiter.lasts())
    }

    /// Whether it listens to a channel or pattern.
    pub fn is_subscriber(&self) -> bool {
        self.subscriber.load(Ordering::Relaxed)
    }

    /// How it tracks keys.
    #[inline]
    pub fn tracking_mode(&self) -> Mode {
        Mode(self.tracking.load(Ordering::Relaxed))
    }

    /// Whose limits hold for what waits for it.
    pub fn output_class(&self) -> OutputClass {
        if self.is_subscriber() { OutputClass::Pubsub } else { OutputClass::Normal }
    }

    /// Asks the connection to close.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        self.wake();
    }

    /// Wakes the connection's task to look at what changed.
    pub fn wake(&self) {
        if let Some(wake) = self.waker.lock().as_ref() {
            wake.wake_by_ref();
        }
    }
}

/// Bytes a remembered name takes besides itself.
const NAME_OVERHEAD: usize = 64;

impl ClientInfo {
    /// Bytes it takes to remember a name for a client.
    pub(crate) fn bytes_of_name(name: &[u8]) -> u64 {
        (name.len() + NAME_OVERHEAD) as u64
    }
}

impl Session {
    /// A session for `shared`; `authenticated` when no password is set.
    pub fn new(shared: Arc<ClientInfo>, authenticated: bool) -> Self {
        let user = Arc::clone(&shared.user.lock());
        Self {
            db: 0,
            protocol: Protocol::Resp2,
            role: Role::Normal,
            authenticated,
            user,
            multi: None,
            watch_flag: Arc::new(AtomicBool::new(false)),
            watched: Vec::new(),
            watched_bytes: 0,
            close_after_reply: false,
            reply_mode: ReplyMode::On,
            takeover: None,
            limited: false,
            yields: false,
            borrows: false,
            pause: None,
            replica: ReplicaInfo::default(),
            fieldsets: BTreeMap::new(),
            shared,
            blocked: None,
            can_block: true,
            postponed: false,
            has_written: false,
            in_script: false,
            rerun: Rerun::No,
        }
    }

    /// Goes on as this user.
    pub fn become_user(&mut self, user: Arc<User>) {
        self.shared.texts.lock().user = user.shown_name();
        self.shared.user.lock().clone_from(&user);
        self.user = user;
    }

    /// A session that a command of this client can be run with by another thread: everything that decides what a
    /// command may do and how its reply looks.
    pub(crate) fn twin(&self) -> Self {
        let mut twin = Self::new(Arc::clone(&self.shared), self.authenticated);
        (twin.db, twin.protocol) = (self.db, self.protocol);
        twin
    }

    /// Begins a wait.
    pub(crate) fn block(&mut self, waiter: Arc<Waiter>) {
        *self.shared.waiter.lock() = Some(Arc::clone(&waiter));
        self.blocked = Some(waiter);
    }

    /// Notes whether a pause holds the next command back.
    pub(crate) fn postpone(&mut self, yes: bool) {
        self.postponed = yes;
        self.shared.held_back.store(yes, Ordering::Relaxed);
    }

    /// Whether CLIENT REPLY drops the reply of the running command.
    pub(crate) fn is_silent(&self) -> bool {
        self.reply_mode != ReplyMode::On
    }

    /// Shows other threads the state that CLIENT LIST prints. Only commands that run alone change it.
    pub(crate) fn publish(&self) {
        let queued = self.multi.as_ref().map_or(-1, |multi| multi.queue.len() as i64);
        self.shared.queued.store(queued, Ordering::Relaxed);
        self.shared.watching.store(self.watched.len() as u64, Ordering::Relaxed);
        self.shared.db.store(self.db as u64, Ordering::Relaxed);
    }
}
