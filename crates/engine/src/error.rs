//! The one place where a failure becomes a wire string, in Redis' exact words.

use std::borrow::Cow;

use thiserror::Error;

/// Why a command failed; its text is the error reply without the leading `-`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "each variant is its message")]
pub enum CommandError {
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    #[error("ERR syntax error")]
    Syntax,
    #[error("ERR value is not an integer or out of range")]
    NotInteger,
    #[error("ERR value is not a valid float")]
    NotFloat,
    #[error("ERR value is out of range")]
    OutOfRange,
    #[error("ERR value is out of range, must be positive")]
    MustBePositive,
    #[error("ERR increment or decrement would overflow")]
    Overflow,
    #[error("ERR increment would produce NaN or Infinity")]
    NanOrInfinity,
    #[error("ERR hash value is not an integer")]
    HashNotInteger,
    #[error("ERR hash value is not a float")]
    HashNotFloat,
    #[error("ERR no such key")]
    NoSuchKey,
    #[error("ERR invalid expire time in '{0}' command")]
    InvalidExpire(&'static str),
    #[error("ERR wrong number of arguments for '{0}' command")]
    Arity(Cow<'static, str>),
    #[error("ERR unknown command '{name}', with args beginning with: {args}")]
    UnknownCommand { name: String, args: String },
    #[error("ERR unknown subcommand '{name}'. Try {container} HELP.")]
    UnknownSubcommand { name: String, container: String },
    #[error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    StringTooLong,
    #[error("ERR offset is out of range")]
    OffsetRange,
    #[error("ERR invalid cursor")]
    InvalidCursor,
    #[error("ERR DB index is out of range")]
    DbIndex,
    #[error("ERR invalid DB index")]
    InvalidDbIndex,
    #[error("ERR source and destination objects are the same")]
    SameObject,
    #[error("ERR index out of range")]
    IndexRange,
    #[error("ERR MULTI calls can not be nested")]
    NestedMulti,
    #[error("ERR EXEC without MULTI")]
    ExecWithoutMulti,
    #[error("ERR DISCARD without MULTI")]
    DiscardWithoutMulti,
    #[error("ERR WATCH inside MULTI is not allowed")]
    WatchInMulti,
    #[error("ERR Command not allowed inside a transaction")]
    NotInMulti,
    #[error("EXECABORT Transaction discarded because of previous errors.")]
    ExecAbort,
    #[error("EXECABORT Transaction discarded because of: {}", .0.without_generic_code())]
    ExecRefused(Box<Self>),
    #[error("READONLY You can't write against a read only replica.")]
    ReadOnly,
    #[error("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.")]
    MasterDown,
    #[error("NOREPLICAS Not enough good replicas to write.")]
    NoReplicas,
    #[error("LOADING Redis is loading the dataset in memory")]
    Loading,
    #[error("NOAUTH Authentication required.")]
    NoAuth,
    #[error("WRONGPASS invalid username-password pair or user is disabled.")]
    WrongPass,
    #[error("NOPROTO unsupported protocol version")]
    NoProto,
    #[error(
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that \
         may modify the data set are disabled, because this instance is configured to report errors during writes if \
         RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the \
         RDB error."
    )]
    MisConf,
    #[error("MISCONF Errors writing to the AOF file: {0}")]
    LogMisConf(String),
    #[error("OOM command not allowed when used memory > 'maxmemory'.")]
    OutOfMemory,
    #[error("ERR Invalid TTL value, must be >= 0")]
    InvalidTtl,
    #[error("BUSYKEY Target key name already exists.")]
    BusyKey,
    #[error("ERR DUMP payload version or checksum are wrong")]
    DumpChecksum,
    #[error("ERR Bad data format")]
    BadData,
    /// The error of a script's command that the script passes on.
    #[error("{0}")]
    Propagated(String),
    /// Any other text, spelled at the call site with its prefix.
    #[error("{0}")]
    Text(Cow<'static, str>),
}

impl CommandError {
    /// `ERR` and a fixed text.
    pub const fn text(full: &'static str) -> Self {
        Self::Text(Cow::Borrowed(full))
    }

    /// A text made at run time, prefix included.
    pub fn owned(full: String) -> Self {
        Self::Text(Cow::Owned(full))
    }

    /// The text as other errors quote it: without the code that says nothing.
    fn without_generic_code(&self) -> String {
        let text = self.to_string();
        text.strip_prefix("ERR ").map_or_else(|| text.clone(), str::to_owned)
    }

    /// Whether the statistics have it already.
    pub(crate) const fn was_counted(&self) -> bool {
        matches!(self, Self::Propagated(_))
    }

    /// The first word, under which INFO errorstats counts it.
    pub fn code(&self) -> String {
        self.to_string().split(' ').next().unwrap_or("ERR").to_owned()
    }
}

/// A word of the client quoted in an error: at most 128 bytes and nothing behind a NUL, as Redis does. What is no UTF-8
/// becomes a replacement character.
pub fn quote_word(word: &[u8]) -> String {
    quote_within(word, 128)
}

/// [`quote_word`] with another limit.
pub fn quote_within(word: &[u8], bytes_max: usize) -> String {
    let end = word.iter().take(bytes_max).position(|byte| *byte == 0).unwrap_or(word.len().min(bytes_max));
    String::from_utf8_lossy(&word[..end]).into_owned()
}
