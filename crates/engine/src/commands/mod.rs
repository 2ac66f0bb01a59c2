//! Commands by family: each file holds the table entries of its commands and their handlers.

pub mod acl;
pub(crate) mod args;
pub mod array;
pub mod backup;
pub mod bitmap;
pub mod client;
mod client_tracking;
mod client_wait;
pub mod cluster;
pub mod command;
pub mod config;
pub mod connection;
pub mod debug;
pub(crate) mod describe;
pub mod feature;
pub mod ft;
pub mod functions;
pub mod generic;
pub mod geo;
pub mod hash;
pub(crate) mod help;
pub mod hotkeys;
pub mod hyperloglog;
pub mod info;
pub mod json;
pub(crate) mod keysizes;
pub mod latency;
pub mod list;
pub mod memory;
pub mod module;
pub mod monitor;
pub mod pubsub;
pub mod replication;
pub mod scripting;
pub mod semantic_cache;
pub mod server;
pub mod set;
pub mod slowlog;
pub mod sort;
pub mod stream;
pub mod string;
pub mod transactions;
pub mod vset;
pub mod wait;
pub mod zset;

use crate::command::Command;

/// All families.
pub const TABLES: &[&[Command]] = &[
    backup::COMMANDS,
    bitmap::COMMANDS,
    array::COMMANDS,
    acl::COMMANDS,
    client::COMMANDS,
    cluster::COMMANDS,
    command::COMMANDS,
    config::COMMANDS,
    connection::COMMANDS,
    debug::COMMANDS,
    feature::COMMANDS,
    ft::COMMANDS,
    ft::LEGACY,
    ft::QUERIES,
    functions::COMMANDS,
    generic::COMMANDS,
    generic::dump::COMMANDS,
    generic::expire::COMMANDS,
    generic::migrate::COMMANDS,
    generic::object::COMMANDS,
    generic::scan::COMMANDS,
    generic::transfer::COMMANDS,
    geo::COMMANDS,
    hash::COMMANDS,
    hyperloglog::COMMANDS,
    hash::expire::COMMANDS,
    hash::expiring::COMMANDS,
    hash::himport::COMMANDS,
    hotkeys::COMMANDS,
    info::COMMANDS,
    json::COMMANDS,
    list::COMMANDS,
    latency::COMMANDS,
    memory::COMMANDS,
    module::COMMANDS,
    monitor::COMMANDS,
    pubsub::COMMANDS,
    replication::COMMANDS,
    scripting::COMMANDS,
    semantic_cache::COMMANDS,
    server::COMMANDS,
    set::COMMANDS,
    sort::COMMANDS,
    stream::add::COMMANDS,
    stream::claim::COMMANDS,
    stream::delete::COMMANDS,
    stream::group::COMMANDS,
    stream::idmp::COMMANDS,
    stream::info::COMMANDS,
    stream::pending::COMMANDS,
    stream::range::COMMANDS,
    stream::read::COMMANDS,
    slowlog::COMMANDS,
    string::COMMANDS,
    transactions::COMMANDS,
    vset::COMMANDS,
    vset::bulk::COMMANDS,
    vset::expire::COMMANDS,
    vset::index::COMMANDS,
    vset::many::COMMANDS,
    wait::COMMANDS,
    zset::COMMANDS,
    zset::combine::COMMANDS,
    zset::range::COMMANDS,
];
