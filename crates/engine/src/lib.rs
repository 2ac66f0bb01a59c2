//! The deterministic engine: keyspace, data types, command table, sessions, transactions, expiry, effects.
//!
//! In go the time, randomness, a session and argument vectors; out come reply bytes and one stream of effects. No
//! sockets, clocks, disks or threads inside: crate `node` puts those around it. The way of a command:
//! `dispatch` (resolve, check, lock, prefetch) -> `commands/*` (one function each) -> `keyspace` and `types/*`.
#![forbid(unsafe_code)]

pub mod acl;
pub mod blocking;
pub mod codec;
pub mod command;
pub mod commands;
pub mod config;
pub mod config_file;
pub mod context;
pub mod data_set;
pub mod digest;
pub mod dispatch;
pub mod effects;
pub mod engine;
pub mod error;
pub mod eviction;
pub mod expire;
pub mod extended;
pub mod field_expiry;
pub mod filter;
pub mod functions;
pub mod geo;
pub mod glob;
pub mod hint;
pub mod histogram;
pub mod host;
pub mod hotkeys;
pub mod keyspace;
pub mod latency;
mod loan;
pub mod long;
pub mod mailbox;
mod meter;
pub mod monitor;
pub mod notify;
pub mod number;
pub mod object;
pub mod pause;
pub mod prefetch;
pub mod pubsub;
pub mod registry;
pub mod rng;
pub mod scripting;
pub mod search;
pub mod session;
pub mod slot;
pub mod slowlog;
pub mod snapshot;
pub mod stats;
pub mod tracking;
pub mod types;

pub use context::Ctx;
pub use engine::{Engine, Worker};
pub use error::CommandError;
pub use session::{ClientInfo, Session};

/// The version clients are told: the Redis whose commands this engine speaks.
pub const REDIS_VERSION: &str = "8.2.0";
