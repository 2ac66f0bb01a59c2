//! Configuration parameters under Redis' names: one table entry each, from which the configuration file, the command
//! line, CONFIG GET and CONFIG SET work.
//!
//! Values are kept as the text CONFIG GET prints; numbers and switches also as an atomic, so that a command's check
//! costs one load.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use parking_lot::RwLock;

use crate::eviction::policy::{self, Policy};

use crate::mailbox::{OutputLimits, merge_limits};

mod value;

pub use value::{Kind, parse_memory};
use value::{normalise, number_of};

/// One parameter.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Redis' name.
    pub name: &'static str,
    /// Value when nothing is said.
    pub default: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Whether CONFIG SET may change it.
    pub at_run_time: bool,
}

/// What Redis says where its allocator cannot move what is in use.
const DEFRAG_REFUSED: &str = "Active defragmentation cannot be enabled: it requires a Redis server compiled with a \
                              modified Jemalloc like the one shipped by default with the Redis source distribution";

/// What FT.SEARCH can rank by.
pub(crate) const SCORERS: &[&str] =
    &["BM25STD", "BM25STD.NORM", "BM25STD.TANH", "BM25", "TFIDF", "TFIDF.DOCNORM", "DISMAX", "DOCSCORE", "HAMMING"];

/// As whom the server may speak to syslog; [`syslog_facility`] has their numbers.
const SYSLOG_FACILITIES: &[&str] =
    &["user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"];

/// What a signal may ask of a shutdown.
const SHUTDOWN_WORDS: &[&str] = &["default", "save", "nosave", "now", "force"];

const fn live(name: &'static str, default: &'static str, kind: Kind) -> Parameter {
    Parameter { name, default, kind, at_run_time: true }
}

const fn fixed(name: &'static str, default: &'static str, kind: Kind) -> Parameter {
    Parameter { name, default, kind, at_run_time: false }
}

/// Every parameter, by name.
pub const PARAMETERS: &[Parameter] = &[
    fixed("aclfile", "", Kind::Text),
    live("acllog-max-len", "128", Kind::Int(0, i64::MAX)),
    live("acl-pubsub-default", "resetchannels", Kind::Word(&["allchannels", "resetchannels"])),
    live("active-expire-effort", "1", Kind::Int(1, 10)),
    live("activedefrag", "no", Kind::No(DEFRAG_REFUSED)),
    live("active-defrag-cycle-max", "25", Kind::Int(1, 99)),
    live("active-defrag-cycle-min", "1", Kind::Int(1, 99)),
    live("active-defrag-ignore-bytes", "104857600", Kind::MemoryFrom(1)),
    live("active-defrag-max-scan-fields", "1000", Kind::Int(1, i64::MAX)),
    live("active-defrag-threshold-lower", "10", Kind::Int(0, 1000)),
    live("active-defrag-threshold-upper", "100", Kind::Int(0, 1000)),
    live("activerehashing", "yes", Kind::Bool),
    live("always-show-logo", "no", Kind::Bool),
    live("aof-load-corrupt-tail-max-size", "0", Kind::Memory),
    live("aof-load-truncated", "yes", Kind::Bool),
    live("aof-rewrite-incremental-fsync", "yes", Kind::Bool),
    live("aof-timestamp-enabled", "no", Kind::Bool),
    // A base is a snapshot, always; bases of commands are read.
    live("aof-use-rdb-preamble", "yes", Kind::Word(&["yes"])),
    fixed("appenddirname", "appendonlydir", Kind::Text),
    fixed("appendfilename", "appendonly.aof", Kind::Text),
    live("appendfsync", "everysec", Kind::Word(&["everysec", "always", "no"])),
    live("appendonly", "no", Kind::Bool),
    live("auto-aof-rewrite-min-size", "67108864", Kind::Memory),
    live("auto-aof-rewrite-percentage", "100", Kind::Int(0, i32::MAX as i64)),
    live("backup-sealed-ttl", "0", Kind::Int(0, i32::MAX as i64)),
    fixed("backupdirname", "backupdir", Kind::Text),
    live("bind", "127.0.0.1 -::1", Kind::Text),
    live("bind-source-addr", "", Kind::Text),
    live("busy-reply-threshold", "5000", Kind::Int(0, i64::MAX)),
    fixed("cluster-enabled", "no", Kind::Word(&["no"])),
    live(
        "client-output-buffer-limit",
        "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
        Kind::OutputLimits,
    ),
    live("client-query-buffer-limit", "1073741824", Kind::MemoryAbove(1 << 20)),
    live("crash-log-enabled", "yes", Kind::Bool),
    fixed("daemonize", "no", Kind::Bool),
    fixed("databases", "16", Kind::Int(1, 1024)),
    live("dbfilename", "dump.rdb", Kind::Text),
    live("dir", ".", Kind::Text),
    fixed("disable-thp", "yes", Kind::Bool),
    live("dynamic-hz", "yes", Kind::Bool),
    fixed("enable-debug-command", "local", Kind::Word(&["no", "yes", "local"])),
    fixed("enable-module-command", "no", Kind::Word(&["no", "yes", "local"])),
    fixed("enable-protected-configs", "no", Kind::Word(&["no", "yes", "local"])),
    live("grpc-max-calls", "10000", Kind::Int(1, 1_000_000)),
    live("grpc-max-concurrency", "64", Kind::Int(1, 1_000_000)),
    live("grpc-max-connections", "1024", Kind::Int(1, 1_000_000)),
    live("grpc-max-message-memory", "268435456", Kind::MemoryFrom(1 << 20)),
    live("grpc-max-message-size", "67108864", Kind::MemoryFrom(1 << 10)),
    live("grpc-max-streams", "100", Kind::Int(1, 1_000_000)),
    live("grpc-port", "0", Kind::Int(0, 65535)),
    live("grpc-request-timeout", "30000", Kind::Int(1, i32::MAX as i64)),
    live("grpc-tls-auth-clients", "yes", Kind::Word(&["no", "yes", "optional"])),
    live("grpc-tls-ca-cert-file", "", Kind::Text),
    live("grpc-tls-cert-file", "", Kind::Text),
    live("grpc-tls-key-file", "", Kind::Text),
    // No log line has words of clients in it.
    live("hide-user-data-from-log", "no", Kind::Bool),
    live("hash-max-listpack-entries", "512", Kind::Int(0, i64::MAX)),
    live("hash-max-listpack-value", "64", Kind::Memory),
    live("hll-sparse-max-bytes", "3000", Kind::Memory),
    live("hz", "10", Kind::Near(1, 500)),
    fixed("io-threads", "0", Kind::Int(0, 256)),
    live("ignore-warnings", "", Kind::Text),
    live("jemalloc-bg-thread", "yes", Kind::Bool),
    live("lazyfree-lazy-eviction", "no", Kind::Bool),
    live("lazyfree-lazy-expire", "no", Kind::Bool),
    live("lazyfree-lazy-server-del", "no", Kind::Bool),
    live("lazyfree-lazy-user-del", "no", Kind::Bool),
    live("lazyfree-lazy-user-flush", "no", Kind::Bool),
    live("lfu-decay-time", "1", Kind::Int(0, i32::MAX as i64)),
    live("lfu-log-factor", "10", Kind::Int(0, i32::MAX as i64)),
    live("list-compress-depth", "0", Kind::Int(0, i32::MAX as i64)),
    live("list-max-listpack-size", "-2", Kind::Int(i32::MIN as i64, i32::MAX as i64)),
    live("latency-monitor-threshold", "0", Kind::Int(0, i64::MAX)),
    live("latency-tracking", "yes", Kind::Bool),
    live("latency-tracking-info-percentiles", "50 99 99.9", Kind::Percentiles),
    live("locale-collate", "", Kind::Text),
    fixed("logfile", "", Kind::Text),
    live("loglevel", "notice", Kind::Word(&["debug", "verbose", "notice", "warning", "nothing"])),
    live("lua-memory-limit", "67108864", Kind::MemoryFrom(1 << 20)),
    live("masterauth", "", Kind::Text),
    live("masteruser", "", Kind::Text),
    live("maxclients", "10000", Kind::Int(1, 1_000_000)),
    live("maxmemory", "0", Kind::Memory),
    live("maxmemory-clients", "0", Kind::MemoryOrPercent),
    live("maxmemory-eviction-tenacity", "10", Kind::Int(0, 100)),
    live("maxmemory-policy", "noeviction", Kind::Word(policy::NAMES)),
    live("maxmemory-samples", "5", Kind::Int(1, 64)),
    live("min-replicas-max-lag", "10", Kind::Int(0, i32::MAX as i64)),
    live("min-replicas-to-write", "0", Kind::Int(0, i32::MAX as i64)),
    live("no-appendfsync-on-rewrite", "no", Kind::Bool),
    live("notify-keyspace-events", "", Kind::Events),
    live("oom-score-adj", "no", Kind::Word(&["no", "yes", "relative", "absolute"])),
    live("oom-score-adj-values", "0 200 800", Kind::Scores),
    fixed("pidfile", "", Kind::Text),
    live("port", "6379", Kind::Int(0, 65535)),
    live("proc-title-template", "{title} {listen-addr} {server-mode}", Kind::Title),
    live("propagation-error-behavior", "ignore", Kind::Word(&["ignore", "panic", "panic-on-replicas"])),
    live("proto-max-bulk-len", "536870912", Kind::Memory),
    live("protected-mode", "yes", Kind::Bool),
    live("rdb-del-sync-files", "no", Kind::Bool),
    live("rdb-save-incremental-fsync", "yes", Kind::Bool),
    live("rdbchecksum", "yes", Kind::Bool),
    live("rdbcompression", "yes", Kind::Bool),
    live("repl-backlog-size", "1048576", Kind::MemoryFrom(16384)),
    live("repl-backlog-ttl", "3600", Kind::Int(0, i64::MAX)),
    live("repl-disable-tcp-nodelay", "no", Kind::Bool),
    live("repl-diskless-load", "swapdb", Kind::Word(&["disabled", "on-empty-db", "swapdb", "flush-before-load"])),
    live("repl-diskless-sync", "yes", Kind::Bool),
    live("repl-diskless-sync-delay", "0", Kind::Int(0, i32::MAX as i64)),
    live("repl-diskless-sync-max-replicas", "0", Kind::Int(0, i32::MAX as i64)),
    live("repl-ping-replica-period", "10", Kind::Int(1, i32::MAX as i64)),
    live("repl-timeout", "60", Kind::Int(1, i32::MAX as i64)),
    live("replica-announce-ip", "", Kind::Text),
    live("replica-announce-port", "0", Kind::Int(0, 65535)),
    live("replica-announced", "yes", Kind::Bool),
    live("replica-ignore-maxmemory", "yes", Kind::Bool),
    live("replica-lazy-flush", "no", Kind::Bool),
    live("replica-priority", "100", Kind::Int(0, i32::MAX as i64)),
    live("replica-read-only", "yes", Kind::Bool),
    live("replica-serve-stale-data", "yes", Kind::Bool),
    fixed("replicaof", "", Kind::Text),
    live("requirepass", "", Kind::Text),
    live("sanitize-dump-payload", "no", Kind::Word(&["no", "yes", "clients"])),
    // Quiver's own: where a first start takes its data from.
    fixed("restore-from", "", Kind::Text),
    live("save", "3600 1 300 100 60 10000", Kind::SavePoints),
    live("search-bm25std-tanh-factor", "4", Kind::Int(1, 10_000)),
    live("search-cursor-max-idle", "300000", Kind::Int(0, i64::MAX)),
    live("search-cursor-read-size", "1000", Kind::Int(1, i64::MAX)),
    live("search-default-dialect", "1", Kind::Int(1, 4)),
    live("search-default-scorer", "BM25STD", Kind::Word(SCORERS)),
    live("search-max-aggregate-results", "1000000", Kind::Int(0, i64::MAX)),
    live("search-max-prefix-expansions", "200", Kind::Int(1, 1_000_000)),
    live("search-max-search-results", "1000000", Kind::Int(0, i64::MAX)),
    live("search-min-prefix", "2", Kind::Int(1, 1000)),
    live("search-on-timeout", "return", Kind::Word(&["return", "fail", "return-strict"])),
    live("search-timeout", "500", Kind::Int(0, i64::MAX)),
    live("set-max-intset-entries", "512", Kind::Int(0, i64::MAX)),
    live("set-max-listpack-entries", "128", Kind::Int(0, i64::MAX)),
    live("set-max-listpack-value", "64", Kind::Int(0, i64::MAX)),
    fixed("set-proc-title", "yes", Kind::Bool),
    live("shutdown-on-sigint", "default", Kind::Words(SHUTDOWN_WORDS)),
    live("shutdown-on-sigterm", "default", Kind::Words(SHUTDOWN_WORDS)),
    live("shutdown-timeout", "10", Kind::Int(0, i32::MAX as i64)),
    live("slowlog-log-slower-than", "10000", Kind::Int(-1, i64::MAX)),
    live("slowlog-max-len", "128", Kind::Int(0, i64::MAX)),
    // Quiver's own: every snapshot also goes to object storage, and so many of them stay there (0: all).
    live("snapshot-upload-keep", "0", Kind::Int(0, 1_000_000)),
    live("snapshot-upload-url", "", Kind::Text),
    live("stop-writes-on-bgsave-error", "yes", Kind::Bool),
    live("stream-idmp-duration", "100", Kind::Int(1, 86_400)),
    live("stream-idmp-maxsize", "100", Kind::Int(1, 10_000)),
    live("stream-node-max-bytes", "4096", Kind::Memory),
    live("stream-node-max-entries", "100", Kind::Int(0, i64::MAX)),
    fixed("supervised", "no", Kind::Word(&["upstart", "systemd", "auto", "no"])),
    fixed("syslog-enabled", "no", Kind::Bool),
    fixed("syslog-facility", "local0", Kind::Word(SYSLOG_FACILITIES)),
    fixed("syslog-ident", "redis", Kind::Text),
    live("tcp-keepalive", "300", Kind::Int(0, i32::MAX as i64)),
    fixed("tcp-backlog", "511", Kind::Int(0, i32::MAX as i64)),
    fixed("tls-port", "0", Kind::Int(0, 0)),
    fixed("unixsocket", "", Kind::Text),
    fixed("unixsocketperm", "0", Kind::Octal),
    live("timeout", "0", Kind::Int(0, i32::MAX as i64)),
    live("zset-max-listpack-entries", "128", Kind::Int(0, i64::MAX)),
    live("zset-max-listpack-value", "64", Kind::Memory),
    live("tracking-table-max-keys", "1000000", Kind::Int(0, i64::MAX)),
];

/// Parameters that CONFIG GET shows to those only who name them.
const HIDDEN: &[&str] = &["key-load-delay", "propagation-error-behavior", "rdb-key-save-delay"];

/// Old names that mean the same parameter.
const ALIASES: &[(&str, &str)] = &[
    ("lua-time-limit", "busy-reply-threshold"),
    ("min-slaves-max-lag", "min-replicas-max-lag"),
    ("min-slaves-to-write", "min-replicas-to-write"),
    ("repl-ping-slave-period", "repl-ping-replica-period"),
    ("slave-announce-ip", "replica-announce-ip"),
    ("slave-announce-port", "replica-announce-port"),
    ("slaveof", "replicaof"),
    ("slave-ignore-maxmemory", "replica-ignore-maxmemory"),
    ("slave-lazy-flush", "replica-lazy-flush"),
    ("slave-read-only", "replica-read-only"),
    ("slave-serve-stale-data", "replica-serve-stale-data"),
    ("slave-priority", "replica-priority"),
    ("hash-max-ziplist-entries", "hash-max-listpack-entries"),
    ("hash-max-ziplist-value", "hash-max-listpack-value"),
    ("list-max-ziplist-size", "list-max-listpack-size"),
    ("zset-max-ziplist-entries", "zset-max-listpack-entries"),
    ("zset-max-ziplist-value", "zset-max-listpack-value"),
];

/// Index of a parameter, at compile time.
const fn at(name: &str) -> usize {
    let mut i = 0;
    while i < PARAMETERS.len() {
        if same(PARAMETERS[i].name.as_bytes(), name.as_bytes()) {
            return i;
        }
        i += 1;
    }
    panic!("no such parameter")
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

macro_rules! accessors {
    ($($(#[$doc:meta])* $name:ident: $param:literal as $ty:ident;)+) => {
        impl Config {
            $($(#[$doc])* #[inline] pub fn $name(&self) -> $ty { $ty::from_number(self.numbers[const { at($param) }].load(Relaxed)) })+
        }
    };
}

trait FromNumber {
    fn from_number(number: i64) -> Self;
}

impl FromNumber for bool {
    fn from_number(number: i64) -> Self {
        number != 0
    }
}

impl FromNumber for Policy {
    fn from_number(number: i64) -> Self {
        Self::at(usize::from_number(number))
    }
}

impl FromNumber for i64 {
    fn from_number(number: i64) -> Self {
        number
    }
}

impl FromNumber for u64 {
    fn from_number(number: i64) -> Self {
        Self::try_from(number).unwrap_or(0)
    }
}

impl FromNumber for usize {
    fn from_number(number: i64) -> Self {
        Self::try_from(number).unwrap_or(0)
    }
}

accessors! {
    /// Bytes at the end of the log that may be damaged and are done without.
    aof_load_corrupt_tail_max_size: "aof-load-corrupt-tail-max-size" as usize;
    /// Do without an incomplete end of the log.
    aof_load_truncated: "aof-load-truncated" as bool;
    /// Sync a new base of the log piece by piece.
    aof_rewrite_incremental_fsync: "aof-rewrite-incremental-fsync" as bool;
    /// Note the time in the log.
    aof_timestamp_enabled: "aof-timestamp-enabled" as bool;
    /// Keep an append-only log.
    appendonly: "appendonly" as bool;
    /// Bytes of the log below which it is not rewritten unasked.
    auto_aof_rewrite_min_size: "auto-aof-rewrite-min-size" as usize;
    /// Growth of the log in percent at which it is rewritten; 0 for never.
    auto_aof_rewrite_percentage: "auto-aof-rewrite-percentage" as usize;
    /// Time after which a sealed backup is removed, s; 0 for never.
    backup_sealed_ttl_s: "backup-sealed-ttl" as usize;
    /// No syncs of the log while a snapshot is written.
    no_appendfsync_on_rewrite: "no-appendfsync-on-rewrite" as bool;
    /// Most entries of ACL LOG.
    acllog_max_len: "acllog-max-len" as usize;
    /// Events shorter than this are not kept, ms; 0 for none kept.
    latency_monitor_threshold_ms: "latency-monitor-threshold" as i64;
    /// Time after which clients are told that a script is running, ms.
    busy_reply_threshold_ms: "busy-reply-threshold" as u64;
    /// Bytes an interpreter may have.
    lua_memory_limit: "lua-memory-limit" as usize;
    /// Keep the distribution of every command's time.
    latency_tracking: "latency-tracking" as bool;
    /// Commands shorter than this are not slow, us; negative for none slow.
    slowlog_log_slower_than: "slowlog-log-slower-than" as i64;
    /// Most entries of the slow log.
    slowlog_max_len: "slowlog-max-len" as usize;
    /// A cursor of FT.AGGREGATE that is not read for so long goes, ms.
    search_cursor_max_idle_ms: "search-cursor-max-idle" as i64;
    /// Rows a read of a cursor gives unless it says otherwise.
    search_cursor_read_size: "search-cursor-read-size" as usize;
    /// Dialect of queries that name none.
    search_default_dialect: "search-default-dialect" as usize;
    /// What the scorer BM25STD.TANH divides by.
    search_tanh_factor: "search-bm25std-tanh-factor" as usize;
    /// Terms that a prefix stands for at most.
    search_max_prefix_expansions: "search-max-prefix-expansions" as usize;
    /// Characters of a prefix at least.
    search_min_prefix: "search-min-prefix" as usize;
    /// Most rows of FT.AGGREGATE.
    search_max_aggregate_results: "search-max-aggregate-results" as usize;
    /// Most results of FT.SEARCH.
    search_max_search_results: "search-max-search-results" as usize;
    /// After so long a query ends with what it has, or an error, ms; 0 for never.
    search_timeout_ms: "search-timeout" as usize;
    /// Number of databases.
    databases: "databases" as usize;
    /// Most clients at once.
    maxclients: "maxclients" as usize;
    /// Memory limit in bytes, 0 for none.
    maxmemory: "maxmemory" as usize;
    /// Which keys go when memory is over the limit.
    maxmemory_policy: "maxmemory-policy" as Policy;
    /// Keys looked at for each one evicted.
    maxmemory_samples: "maxmemory-samples" as usize;
    /// How long a command may be held up by evictions, 0 to 100.
    maxmemory_eviction_tenacity: "maxmemory-eviction-tenacity" as usize;
    /// Limit of all clients' buffers in bytes; percent of `maxmemory` below 0; 0 for none.
    maxmemory_clients: "maxmemory-clients" as i64;
    /// Replicas leave evictions to their primary.
    replica_ignore_maxmemory: "replica-ignore-maxmemory" as bool;
    /// How slowly access counters grow.
    lfu_log_factor: "lfu-log-factor" as usize;
    /// Minutes after which an access counter loses one.
    lfu_decay_time: "lfu-decay-time" as usize;
    /// Evictions are UNLINKs in the stream.
    lazyfree_lazy_eviction: "lazyfree-lazy-eviction" as bool;
    /// Expired keys are UNLINKs in the stream.
    lazyfree_lazy_expire: "lazyfree-lazy-expire" as bool;
    /// Longest string.
    proto_max_bulk_len: "proto-max-bulk-len" as usize;
    /// Bytes a client may have unprocessed.
    client_query_buffer_limit: "client-query-buffer-limit" as usize;
    /// Replicas refuse writes.
    replica_read_only: "replica-read-only" as bool;
    /// Replicas answer without a link.
    replica_serve_stale_data: "replica-serve-stale-data" as bool;
    /// A failed background snapshot stops writes.
    stop_writes_on_bgsave_error: "stop-writes-on-bgsave-error" as bool;
    /// Compress strings in snapshots.
    rdbcompression: "rdbcompression" as bool;
    /// Write a checksum.
    rdbchecksum: "rdbchecksum" as bool;
    /// Bring a snapshot to the disk piece by piece while it is written.
    rdb_save_incremental_fsync: "rdb-save-incremental-fsync" as bool;
    /// Most fields of a compact hash.
    hash_max_listpack_entries: "hash-max-listpack-entries" as usize;
    /// Longest field or value of a compact hash.
    hash_max_listpack_value: "hash-max-listpack-value" as usize;
    /// Most a listpack of a list holds: elements, or one of five sizes when negative.
    list_max_listpack_size: "list-max-listpack-size" as i64;
    /// Longest sparse HyperLogLog.
    hll_sparse_max_bytes: "hll-sparse-max-bytes" as usize;
    /// Most integers of an intset.
    set_max_intset_entries: "set-max-intset-entries" as usize;
    /// Most members of a compact set.
    set_max_listpack_entries: "set-max-listpack-entries" as usize;
    /// Longest member of a compact set.
    set_max_listpack_value: "set-max-listpack-value" as usize;
    /// Rounds of background work per second.
    hz: "hz" as usize;
    /// Share of time for active expiry, 1 to 10.
    active_expire_effort: "active-expire-effort" as usize;
    /// Seconds after which an idle client is closed, 0 for never.
    timeout_s: "timeout" as usize;
    /// Keepalive probes, s.
    tcp_keepalive_s: "tcp-keepalive" as usize;
    /// Bytes of the replication backlog.
    repl_backlog_size: "repl-backlog-size" as usize;
    /// Seconds without replicas after which the backlog goes; 0 for never.
    repl_backlog_ttl_s: "repl-backlog-ttl" as i64;
    /// Snapshots go to replicas without a file between.
    repl_diskless_sync: "repl-diskless-sync" as bool;
    /// Seconds a snapshot waits for more replicas to share it.
    repl_diskless_sync_delay_s: "repl-diskless-sync-delay" as usize;
    /// Replicas that end this wait; 0 for none.
    repl_diskless_sync_max_replicas: "repl-diskless-sync-max-replicas" as usize;
    /// Seconds between signs of life in the stream.
    repl_ping_replica_period_s: "repl-ping-replica-period" as usize;
    /// Seconds after whose silence a replica does not count as one that keeps up.
    min_replicas_max_lag_s: "min-replicas-max-lag" as i64;
    /// Replicas that must keep up for writes to be taken; 0 for none.
    min_replicas_to_write: "min-replicas-to-write" as usize;
    /// Show this replica to those who watch (Sentinel).
    replica_announced: "replica-announced" as bool;
    /// Seconds of silence that end a replication link.
    repl_timeout_s: "repl-timeout" as usize;
    /// Serve only loopback clients while there is no password.
    protected_mode: "protected-mode" as bool;
    /// Seconds for which a new stream remembers producers' messages.
    stream_idmp_duration: "stream-idmp-duration" as usize;
    /// How many messages of each producer a new stream remembers.
    stream_idmp_maxsize: "stream-idmp-maxsize" as usize;
    /// Bytes of a block of a stream, 0 for no limit.
    stream_node_max_bytes: "stream-node-max-bytes" as usize;
    /// Entries of a block of a stream, 0 for no limit.
    stream_node_max_entries: "stream-node-max-entries" as usize;
    /// Classes of keyspace events that somebody wants, as a number.
    notify_keyspace_events: "notify-keyspace-events" as usize;
    /// Most keys that are remembered for clients that cache; 0 for no limit.
    tracking_table_max_keys: "tracking-table-max-keys" as usize;
    /// Seconds a shutdown waits for replicas.
    shutdown_timeout_s: "shutdown-timeout" as usize;
    /// Most members of a compact sorted set.
    zset_max_listpack_entries: "zset-max-listpack-entries" as usize;
    /// Longest member of a compact sorted set.
    zset_max_listpack_value: "zset-max-listpack-value" as usize;
}

/// The values.
#[derive(Debug)]
pub struct Config {
    texts: RwLock<Vec<String>>,
    numbers: Box<[AtomicI64]>,
    /// What may wait for clients.
    pub output_limits: OutputLimits,
}

impl Default for Config {
    fn default() -> Self {
        let numbers = PARAMETERS.iter().map(|p| AtomicI64::new(number_of(p.kind, p.default))).collect();
        let output_limits = OutputLimits::default();
        output_limits.store(PARAMETERS[const { at("client-output-buffer-limit") }].default);
        let texts = RwLock::new(PARAMETERS.iter().map(|p| p.default.to_owned()).collect());
        Self { texts, numbers, output_limits }
    }
}

impl Config {
    /// The value of a parameter that exists.
    pub fn get(&self, name: &str) -> String {
        let index = find(name).expect("a parameter of the table");
        self.texts.read()[index].clone()
    }

    /// Every name (old names too) with its value, but for those that are only for tests.
    pub fn all(&self) -> Vec<(&'static str, String)> {
        let texts = self.texts.read();
        let shown = PARAMETERS.iter().map(|p| p.name).filter(|name| !HIDDEN.contains(name));
        let names = shown.chain(ALIASES.iter().map(|(old, _)| *old));
        let mut all: Vec<_> = names.filter_map(|name| Some((name, texts[find(name)?].clone()))).collect();
        all.sort_unstable();
        all.dedup_by_key(|(name, _)| *name);
        all
    }

    /// Checks a value without storing it.
    ///
    /// # Errors
    /// The reason in Redis' words, without a prefix.
    pub fn check(&self, name: &str, text: &str, at_run_time: bool) -> Result<(), String> {
        self.accept(name, text, at_run_time).map(drop)
    }

    /// Checks and stores a value. `at_run_time`: only what CONFIG SET may change.
    ///
    /// # Errors
    /// The reason in Redis' words, without a prefix.
    pub fn set(&self, name: &str, text: &str, at_run_time: bool) -> Result<&'static str, String> {
        let given = text;
        let (index, text) = self.accept(name, text, at_run_time)?;
        let parameter = &PARAMETERS[index];
        // What is printed of the classes of events does not say all of them.
        let number = if parameter.kind == Kind::Events {
            number_of(Kind::Events, given)
        } else {
            number_of(parameter.kind, &text)
        };
        self.numbers[index].store(number, Relaxed);
        if parameter.kind == Kind::OutputLimits {
            self.output_limits.store(&text);
        }
        self.texts.write()[index] = text;
        Ok(parameter.name)
    }

    /// The parameter and the text it would keep.
    fn accept(&self, name: &str, text: &str, at_run_time: bool) -> Result<(usize, String), String> {
        let index =
            find(name).ok_or_else(|| format!("Unknown option or number of arguments for CONFIG SET - '{name}'"))?;
        let parameter = &PARAMETERS[index];
        if at_run_time && !parameter.at_run_time {
            return Err("can't set immutable config".to_owned());
        }
        if parameter.kind == Kind::OutputLimits {
            return Ok((index, merge_limits(&self.texts.read()[index], text)?));
        }
        Ok((index, normalise(parameter.kind, text)?))
    }

    /// The configured save points: seconds and changes.
    pub fn save_points(&self) -> Vec<(u64, u64)> {
        let text = self.get("save");
        let numbers: Vec<u64> = text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
        numbers.as_chunks::<2>().0.iter().map(|[seconds, changes]| (*seconds, *changes)).collect()
    }
}

/// Whether there is such a parameter.
pub fn exists(name: &str) -> bool {
    find(name).is_some()
}

/// Whether the parameter decides where files are written: CONFIG SET changes it only where
/// `enable-protected-configs` allows, so that whoever reaches the port cannot aim snapshots at system files.
pub fn is_protected(name: &str) -> bool {
    find(name).is_some_and(|index| matches!(PARAMETERS[index].name, "dir" | "dbfilename" | "snapshot-upload-url"))
}

/// Whether a line of the configuration file may have more than one word behind the name.
pub fn takes_several_words(name: &str) -> bool {
    const TEXTS: &[&str] = &["bind", "replicaof"];
    find(name).is_some_and(|index| match PARAMETERS[index].kind {
        Kind::SavePoints | Kind::OutputLimits | Kind::Percentiles | Kind::Events | Kind::Scores | Kind::Words(_) => {
            true
        }
        _ => TEXTS.contains(&PARAMETERS[index].name),
    })
}

/// The number of a facility of syslog: 1 for `user`, 16 and on for the local ones.
pub fn syslog_facility(name: &str) -> usize {
    SYSLOG_FACILITIES.iter().position(|known| *known == name).map_or(1, |at| if at == 0 { 1 } else { 15 + at })
}

/// Whether the parameter is set at the start for good.
pub fn is_fixed(name: &str) -> bool {
    find(name).is_some_and(|index| !PARAMETERS[index].at_run_time)
}

/// The name under which a parameter is listed, given it or an old name of it.
pub fn canonical(name: &str) -> Option<&'static str> {
    find(name).map(|index| PARAMETERS[index].name)
}

fn find(name: &str) -> Option<usize> {
    let lower = name.to_ascii_lowercase();
    let name = ALIASES.iter().find(|(old, _)| *old == lower).map_or(lower.as_str(), |(_, new)| new);
    PARAMETERS.iter().position(|p| p.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_accepted_by_its_own_parameter() {
        let config = Config::default();
        for p in PARAMETERS {
            assert!(config.set(p.name, p.default, false).is_ok(), "{}", p.name);
            assert_eq!(config.get(p.name), p.default, "{}", p.name);
        }
    }

    #[test]
    fn refused_values_change_nothing() {
        let config = Config::default();
        assert!(config.set("maxmemory", "12xb", true).is_err());
        assert!(config.set("cluster-enabled", "no", true).is_err());
        assert!(config.set("hz", "-1", true).is_err());
        assert_eq!((config.maxmemory(), config.hz()), (0, 10));
        config.set("maxmemory", "2mb", true).unwrap();
        assert_eq!(config.maxmemory(), 2 << 20);
    }
}
