//! Commands by family: each file holds the table entries of its commands and their handlers.

pub(crate) mod args;
pub mod client;
mod client_tracking;
mod client_wait;
pub mod command;
pub mod config;
pub mod connection;
pub mod debug;
pub(crate) mod describe;
pub mod generic;
pub mod hash;
pub(crate) mod help;
pub mod info;
pub mod list;
pub mod memory;
pub mod monitor;
pub mod pubsub;
pub mod replication;
pub mod server;
pub mod string;
pub mod transactions;
pub mod vset;
pub mod wait;

use crate::command::Command;

/// All families.
pub const TABLES: &[&[Command]] = &[
    client::COMMANDS,
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
    info::COMMANDS,
    list::COMMANDS,
    memory::COMMANDS,
    monitor::COMMANDS,
    pubsub::COMMANDS,
    replication::COMMANDS,
    server::COMMANDS,
    string::COMMANDS,
    transactions::COMMANDS,
    vset::COMMANDS,
    wait::COMMANDS,
];
