//! Commands by family: each file holds the table entries of its commands and their handlers.

pub mod acl;
pub(crate) mod args;
pub mod client;
mod client_wait;
pub mod cluster;
pub mod command;
pub mod config;
pub mod connection;
pub mod debug;
pub(crate) mod describe;
pub mod generic;
pub mod hash;
pub(crate) mod help;
pub mod hotkeys;
pub mod info;
pub(crate) mod keysizes;
pub mod latency;
pub mod list;
pub mod memory;
pub mod replication;
pub mod server;
pub mod slowlog;
pub mod string;
pub mod transactions;
pub mod vset;
pub mod wait;

use crate::command::Command;

/// All families.
pub const TABLES: &[&[Command]] = &[
    acl::COMMANDS,
    client::COMMANDS,
    cluster::COMMANDS,
    command::COMMANDS,
    config::COMMANDS,
    connection::COMMANDS,
    debug::COMMANDS,
    generic::COMMANDS,
    generic::dump::COMMANDS,
    generic::expire::COMMANDS,
    generic::object::COMMANDS,
    generic::scan::COMMANDS,
    generic::transfer::COMMANDS,
    hash::COMMANDS,
    hotkeys::COMMANDS,
    info::COMMANDS,
    list::COMMANDS,
    latency::COMMANDS,
    memory::COMMANDS,
    replication::COMMANDS,
    server::COMMANDS,
    slowlog::COMMANDS,
    string::COMMANDS,
    transactions::COMMANDS,
    vset::COMMANDS,
    wait::COMMANDS,
];
