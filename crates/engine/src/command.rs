//! What a command is: one `const` entry that states its facts once.
//!
//! A [`Command`] stands beside its handler in `commands/*.rs`; everything said about commands anywhere (COMMAND, INFO
//! commandstats, key extraction for locks, WATCH, MULTI checks, documentation) is derived from these entries. The
//! shapes follow Redis' own command descriptions (redis.io/docs/latest/develop/reference/key-specs and
//! command-arguments) so that clients that read COMMAND INFO and COMMAND DOCS see what they know.

use quiver_resp::Argv;

use crate::context::Ctx;
use crate::error::CommandError;

/// What a handler returns. An error leaves the keyspace as it was and becomes the error reply.
pub type CommandResult = Result<(), CommandError>;

/// Runs one command: reads `argv`, changes the locked keyspace, writes exactly one reply.
pub type Handler = fn(&mut Ctx<'_>, Argv<'_>) -> CommandResult;

/// One command or subcommand.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// Lower-case name; of a subcommand only its own word ("get" of "config|get").
    pub name: &'static str,
    /// One sentence ending in a full stop.
    pub summary: &'static str,
    /// Version of Redis that introduced it.
    pub since: &'static str,
    /// Cost in O notation.
    pub complexity: &'static str,
    /// Family, as COMMAND DOCS names it.
    pub group: Group,
    /// Number of arguments including the name; negative means "at least".
    pub arity: i32,
    /// Behaviour flags.
    pub flags: Flags,
    /// ACL categories beyond those implied by the flags (see [`Command::acl_categories`]).
    pub acl: Acl,
    /// Hints for clients and proxies ("nondeterministic_output", "request_policy:all_shards", ...).
    pub tips: &'static [&'static str],
    /// Where the keys stand in the argument vector.
    pub keys: &'static [KeySpec],
    /// Syntax, for COMMAND DOCS.
    pub args: &'static [Arg],
    /// Non-empty for containers such as CONFIG.
    pub subcommands: &'static [Self],
    /// What is locked while it runs.
    pub locks: Locks,
    /// `(version, replacement)` when deprecated.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// The handler; of a container it is never reached with a known subcommand.
    pub run: Handler,
}

impl Command {
    /// The base of every entry: `Command { name: .., run: .., ..Command::NEW }`.
    pub const NEW: Self = Self {
        name: "",
        summary: "",
        since: "1.0.0",
        complexity: "O(1)",
        group: Group::Generic,
        arity: 1,
        flags: Flags::NONE,
        acl: Acl::NONE,
        tips: &[],
        keys: &[],
        args: &[],
        subcommands: &[],
        locks: Locks::Keys,
        deprecated: None,
        run: container,
    };

    /// Whether a call of `argc` words (name included) fits the arity.
    pub const fn accepts(&self, argc: usize) -> bool {
        if self.arity >= 0 { argc == self.arity as usize } else { argc >= self.arity.unsigned_abs() as usize }
    }

    /// All ACL categories: the explicit ones and those the flags imply, as Redis derives them.
    pub const fn acl_categories(&self) -> Acl {
        let mut acl = self.acl.0;
        // What searches says all of them itself.
        if acl & Acl::SEARCH.0 != 0 {
            return self.acl;
        }
        if self.flags.has(Flags::WRITE) {
            acl |= Acl::WRITE.0;
        }
        if self.flags.has(Flags::READONLY) && acl & Acl::SCRIPTING.0 == 0 {
            acl |= Acl::READ.0;
        }
        if self.flags.has(Flags::ADMIN) {
            acl |= Acl::ADMIN.0 | Acl::DANGEROUS.0;
        }
        if self.flags.has(Flags::PUBSUB) {
            acl |= Acl::PUBSUB.0;
        }
        if self.flags.has(Flags::BLOCKING) {
            acl |= Acl::BLOCKING.0;
        }
        // Modules that name a category of their own say nothing of speed.
        if acl & Acl::JSON.0 == 0 {
            acl |= if self.flags.has(Flags::FAST) { Acl::FAST.0 } else { Acl::SLOW.0 };
        }
        Acl(acl)
    }
}

/// The `run` of a container: only reached when the entry forgot its own handler.
fn container(_: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    Err(CommandError::Syntax)
}

/// Which shards a command locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locks {
    /// Those of its keys; it may share the locks of a pipelined batch.
    Keys,
    /// Those of its keys, in a turn of its own: it is long, works on a handle, or changes the session.
    KeysAlone,
    /// All shards.
    All,
    /// None to begin with: the handler takes one shard after the other ([`Keyspace::lock_only`]) and changes nothing. All
    /// shards inside a transaction.
    ///
    /// [`Keyspace::lock_only`]: crate::keyspace::Keyspace::lock_only
    Walk,
    /// Those of the queued and watched keys (EXEC).
    Transaction,
}

/// Families of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the names COMMAND DOCS prints")]
pub enum Group {
    Generic,
    String,
    List,
    Set,
    SortedSet,
    Hash,
    Pubsub,
    Transactions,
    Connection,
    Server,
    Scripting,
    HyperLogLog,
    Cluster,
    Geo,
    Stream,
    Bitmap,
    Array,
    Json,
    Feature,
    SemanticCache,
    Module,
    Search,
    Suggestion,
}

impl Group {
    /// The name in COMMAND DOCS.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::String => "string",
            Self::List => "list",
            Self::Set => "set",
            Self::SortedSet => "sorted-set",
            Self::Hash => "hash",
            Self::Pubsub => "pubsub",
            Self::Transactions => "transactions",
            Self::Connection => "connection",
            Self::Server => "server",
            Self::Scripting => "scripting",
            Self::HyperLogLog => "hyperloglog",
            Self::Cluster => "cluster",
            Self::Geo => "geo",
            Self::Stream => "stream",
            Self::Bitmap => "bitmap",
            Self::Array => "array",
            Self::Json => "json",
            Self::Feature => "feature",
            Self::SemanticCache => "semantic-cache",
            Self::Module => "module",
            Self::Search => "search",
            Self::Suggestion => "suggestion",
        }
    }
}

macro_rules! bit_set {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $flag:ident = $bit:expr, $text:expr;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct $name(pub u32);

        impl $name {
            /// The empty set.
            pub const NONE: Self = Self(0);
            $($(#[$fdoc])* pub const $flag: Self = Self(1 << $bit);)+
            const NAMES: &'static [(Self, &'static str)] = &[$((Self::$flag, $text)),+];

            /// The union.
            pub const fn with(self, other: Self) -> Self { Self(self.0 | other.0) }
            /// The members that are in `other` too.
            pub const fn only(self, other: Self) -> Self { Self(self.0 & other.0) }
            /// The set without the members of `other`.
            pub const fn without(self, other: Self) -> Self { Self(self.0 & !other.0) }
            /// Whether every member of `other` is in the set.
            pub const fn has(self, other: Self) -> bool { self.0 & other.0 == other.0 }
            /// Whether any member of `other` is in the set.
            pub const fn any(self, other: Self) -> bool { self.0 & other.0 != 0 }
            /// The names of the members, in Redis' order.
            pub fn names(self) -> impl Iterator<Item = &'static str> {
                Self::NAMES.iter().filter(move |(flag, _)| self.has(*flag)).map(|(_, name)| *name)
            }
        }
    };
}

bit_set! {
    /// Behaviour flags, with the names COMMAND INFO prints.
    Flags {
        /// May change the keyspace.
        WRITE = 0, "write";
        /// Never changes the keyspace.
        READONLY = 1, "readonly";
        /// Refused when memory is over the limit.
        DENYOOM = 2, "denyoom";
        /// Provided by what Redis has as a module.
        MODULE = 3, "module";
        /// Administration.
        ADMIN = 4, "admin";
        /// Publish/subscribe.
        PUBSUB = 5, "pubsub";
        /// Not from scripts.
        NOSCRIPT = 6, "noscript";
        /// May block the client.
        BLOCKING = 7, "blocking";
        /// Allowed while a data set is loading.
        LOADING = 8, "loading";
        /// Allowed on a replica whose data is stale.
        STALE = 9, "stale";
        /// Not shown in MONITOR.
        SKIP_MONITOR = 10, "skip_monitor";
        /// Not shown in the slow log.
        SKIP_SLOWLOG = 11, "skip_slowlog";
        /// Cluster nodes ask each other with it.
        ASKING = 12, "asking";
        /// Constant or logarithmic time.
        FAST = 13, "fast";
        /// Needs no authentication.
        NO_AUTH = 14, "no_auth";
        /// May replicate without being a write.
        MAY_REPLICATE = 15, "may_replicate";
        /// Not for unauthenticated or cluster use by clients.
        NO_MANDATORY_KEYS = 16, "no_mandatory_keys";
        /// Allowed while a script or command runs over its time.
        ALLOW_BUSY = 17, "allow_busy";
        /// Does not wait for background work.
        NO_ASYNC_LOADING = 18, "no_async_loading";
        /// Refused inside MULTI.
        NO_MULTI = 19, "no_multi";
        /// Key positions depend on the arguments.
        MOVABLEKEYS = 20, "movablekeys";
        /// Runs a script.
        SCRIPT_RUNNER = 21, "script_runner";
    }
}

bit_set! {
    /// ACL categories.
    Acl {
        /// @keyspace
        KEYSPACE = 0, "@keyspace";
        /// @read
        READ = 1, "@read";
        /// @write
        WRITE = 2, "@write";
        /// @set
        SET = 3, "@set";
        /// @sortedset
        SORTEDSET = 4, "@sortedset";
        /// @list
        LIST = 5, "@list";
        /// @hash
        HASH = 6, "@hash";
        /// @string
        STRING = 7, "@string";
        /// @bitmap
        BITMAP = 8, "@bitmap";
        /// @hyperloglog
        HYPERLOGLOG = 9, "@hyperloglog";
        /// @geo
        GEO = 10, "@geo";
        /// @stream
        STREAM = 11, "@stream";
        /// @pubsub
        PUBSUB = 12, "@pubsub";
        /// @admin
        ADMIN = 13, "@admin";
        /// @fast
        FAST = 14, "@fast";
        /// @slow
        SLOW = 15, "@slow";
        /// @blocking
        BLOCKING = 16, "@blocking";
        /// @dangerous
        DANGEROUS = 17, "@dangerous";
        /// @connection
        CONNECTION = 18, "@connection";
        /// @transaction
        TRANSACTION = 19, "@transaction";
        /// @scripting
        SCRIPTING = 20, "@scripting";
        /// @array
        ARRAY = 21, "@array";
        /// @json
        JSON = 22, "@json";
        /// @search
        SEARCH = 23, "@search";
    }
}

bit_set! {
    /// What a command does with the keys of a [`KeySpec`].
    KeyFlags {
        /// Reads the value only.
        RO = 0, "RO";
        /// Reads and changes the value.
        RW = 1, "RW";
        /// Overwrites the value.
        OW = 2, "OW";
        /// Deletes the key.
        RM = 3, "RM";
        /// Returns or copies the user's data.
        ACCESS = 4, "access";
        /// Changes existing data.
        UPDATE = 5, "update";
        /// Adds data without changing what exists.
        INSERT = 6, "insert";
        /// Removes data.
        DELETE = 7, "delete";
        /// Not a key, though routed like one.
        NOT_KEY = 8, "not_key";
        /// Some keys are not found by the specification.
        INCOMPLETE = 9, "incomplete";
        /// The flags depend on the arguments.
        VARIABLE_FLAGS = 10, "variable_flags";
    }
}

/// Where a group of keys stands in the argument vector.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// What is done with the keys.
    pub flags: KeyFlags,
    /// Where the search begins.
    pub begin: Begin,
    /// How the keys are found from there.
    pub find: Find,
}

/// Start of a key search.
#[derive(Clone, Copy, Debug)]
pub enum Begin {
    /// At this index of the argument vector.
    Index(i32),
    /// Behind this word, searched from `start_from` (negative: from the end, backwards).
    Keyword {
        /// The word, upper case.
        keyword: &'static str,
        /// Index to search from.
        start_from: i32,
    },
    /// Only the handler can tell (SORT's patterns).
    Unknown,
}

/// How keys are found from the start of the search.
#[derive(Clone, Copy, Debug)]
pub enum Find {
    /// Every `step`-th argument up to `last`, relative to the start (negative: from the end of the vector).
    Range {
        /// Last key, relative to the start, or from the end when negative.
        last: i32,
        /// Distance between keys.
        step: i32,
        /// When `last` is -1: only the first 1/limit of the arguments (0 and 1: all).
        limit: i32,
    },
    /// A count of keys stands at `count`, the first key at `first`, both relative to the start.
    KeyNum {
        /// Index of the count.
        count: i32,
        /// Index of the first key.
        first: i32,
        /// Distance between keys.
        step: i32,
    },
    /// Only the handler can tell.
    Unknown,
}

impl KeySpec {
    /// One key right behind the command's name.
    pub const fn one(flags: KeyFlags) -> Self {
        Self { flags, begin: Begin::Index(1), find: Find::Range { last: 0, step: 1, limit: 0 } }
    }

    /// Every argument from the first to the last.
    pub const fn all(flags: KeyFlags) -> Self {
        Self { flags, begin: Begin::Index(1), find: Find::Range { last: -1, step: 1, limit: 0 } }
    }

    /// Indices of the keys in `argv`; `None` when the arguments do not fit the specification.
    pub fn positions(&self, argv: Argv<'_>) -> Option<KeyPositions> {
        let argc = argv.len() as i64;
        let begin = self.begin_at(argv)?;
        let (first, last, step) = match self.find {
            Find::Range { last, step, limit } => {
                let last = match (last, limit) {
                    (last, _) if last >= 0 => begin + i64::from(last),
                    (-1, limit) if limit > 1 => begin + (argc - begin) / i64::from(limit) - 1,
                    (last, _) => argc + i64::from(last),
                };
                (begin, last, step)
            }
            Find::KeyNum { count, first, step } => {
                let keys = crate::number::parse_i64(argv.get(usize::try_from(begin + i64::from(count)).ok()?)?)?;
                let first = begin + i64::from(first);
                if keys < 0 || keys > argc {
                    return None;
                }
                (first, first + (keys - 1) * i64::from(step), step)
            }
            Find::Unknown => return None,
        };
        if first >= argc || last >= argc {
            return None;
        }
        Some(KeyPositions { next: first as usize, last, step: step.max(1) as usize })
    }

    fn begin_at(&self, argv: Argv<'_>) -> Option<i64> {
        match self.begin {
            Begin::Index(index) => Some(i64::from(index)),
            Begin::Keyword { keyword, start_from } => {
                let argc = argv.len() as i64;
                let is_keyword = |i: i64| argv[i as usize].eq_ignore_ascii_case(keyword.as_bytes());
                let found = if start_from >= 0 {
                    (i64::from(start_from)..argc).find(|i| is_keyword(*i))
                } else {
                    (1..=argc + i64::from(start_from)).rev().find(|i| is_keyword(*i))
                };
                found.map(|i| i + 1)
            }
            Begin::Unknown => None,
        }
    }
}

/// Iterator over argument indices of keys.
#[derive(Clone, Debug)]
pub struct KeyPositions {
    next: usize,
    last: i64,
    step: usize,
}

impl Iterator for KeyPositions {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.next as i64 > self.last {
            return None;
        }
        let at = self.next;
        self.next += self.step;
        Some(at)
    }
}

/// One element of a command's syntax.
#[derive(Clone, Copy, Debug)]
pub struct Arg {
    /// Name of the argument.
    pub name: &'static str,
    /// What the syntax shows instead of the name.
    pub display: Option<&'static str>,
    /// Its type.
    pub kind: ArgKind,
    /// The literal word before it (or the word itself for a pure token).
    pub token: Option<&'static str>,
    /// Index into the command's key specifications.
    pub key_spec: Option<u8>,
    /// Version that introduced it, when later than the command.
    pub since: Option<&'static str>,
    /// May be left out.
    pub optional: bool,
    /// May be repeated.
    pub multiple: bool,
    /// Each repetition repeats the token.
    pub multiple_token: bool,
    /// Alternatives of a `OneOf`, parts of a `Block`.
    pub args: &'static [Self],
}

/// Type of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the names COMMAND DOCS prints")]
pub enum ArgKind {
    String,
    Integer,
    Double,
    Key,
    Pattern,
    UnixTime,
    PureToken,
    OneOf,
    Block,
}

impl ArgKind {
    /// The name in COMMAND DOCS.
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Double => "double",
            Self::Key => "key",
            Self::Pattern => "pattern",
            Self::UnixTime => "unix-time",
            Self::PureToken => "pure-token",
            Self::OneOf => "oneof",
            Self::Block => "block",
        }
    }
}

impl Arg {
    /// An argument of a plain type.
    pub const fn new(name: &'static str, kind: ArgKind) -> Self {
        Self {
            name,
            kind,
            display: None,
            token: None,
            key_spec: None,
            since: None,
            optional: false,
            multiple: false,
            multiple_token: false,
            args: &[],
        }
    }

    /// A key belonging to the first key specification.
    pub const fn key(name: &'static str) -> Self {
        Self { key_spec: Some(0), ..Self::new(name, ArgKind::Key) }
    }

    /// A string.
    pub const fn string(name: &'static str) -> Self {
        Self::new(name, ArgKind::String)
    }

    /// An integer.
    pub const fn integer(name: &'static str) -> Self {
        Self::new(name, ArgKind::Integer)
    }

    /// A floating point number.
    pub const fn double(name: &'static str) -> Self {
        Self::new(name, ArgKind::Double)
    }

    /// A glob pattern.
    pub const fn pattern(name: &'static str) -> Self {
        Self::new(name, ArgKind::Pattern)
    }

    /// A point in time.
    pub const fn unix_time(name: &'static str) -> Self {
        Self::new(name, ArgKind::UnixTime)
    }

    /// A literal word.
    pub const fn word(name: &'static str, token: &'static str) -> Self {
        Self { token: Some(token), ..Self::new(name, ArgKind::PureToken) }
    }

    /// One of several alternatives.
    pub const fn one_of(name: &'static str, args: &'static [Self]) -> Self {
        Self { args, ..Self::new(name, ArgKind::OneOf) }
    }

    /// Several parts in order.
    pub const fn block(name: &'static str, args: &'static [Self]) -> Self {
        Self { args, ..Self::new(name, ArgKind::Block) }
    }

    /// Preceded by this word.
    pub const fn after(self, token: &'static str) -> Self {
        Self { token: Some(token), ..self }
    }

    /// Shown in the syntax under another name than its own.
    pub const fn shown(self, display: &'static str) -> Self {
        Self { display: Some(display), ..self }
    }

    /// May be left out.
    pub const fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    /// May be repeated.
    pub const fn multiple(self) -> Self {
        Self { multiple: true, ..self }
    }

    /// May be repeated, each time with its token.
    pub const fn multiple_token(self) -> Self {
        Self { multiple: true, multiple_token: true, ..self }
    }

    /// Came with a later version than the command.
    pub const fn since(self, version: &'static str) -> Self {
        Self { since: Some(version), ..self }
    }

    /// Belongs to another key specification than the first.
    pub const fn of_spec(self, index: u8) -> Self {
        Self { key_spec: Some(index), ..self }
    }
}
