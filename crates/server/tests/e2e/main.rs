//! The server as its clients see it: the real binary, real sockets, real files.
//!
//! Each test starts servers of its own on free ports, in temporary folders; they run in parallel. What a crate can
//! check by itself is tested there.

mod aof;
mod backup;
mod blocking;
mod clients;
mod compatibility;
mod failover;
mod grpc;
mod memory;
mod persistence;
mod protocol;
mod pubsub;
mod replication;
mod resync;
mod scripts;
mod snapshots;
mod support;
mod users;
