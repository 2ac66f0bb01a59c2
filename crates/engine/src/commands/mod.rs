//! Commands by family: each file holds the table entries of its commands and their handlers.

pub(crate) mod args;
pub mod array;
pub mod client;
pub mod command;
pub mod config;
pub mod connection;
pub mod debug;
pub(crate) mod describe;
pub mod generic;
pub mod hash;
pub(crate) mod help;
pub mod info;
pub mod memory;
pub mod replication;
pub mod server;
pub mod string;
pub mod transactions;
pub mod vset;

use crate::command::Command;

/// All families.
pub const TABLES: &[&[Command]] = &[
    array::COMMANDS,
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
    hash::expire::COMMANDS,
    hash::expiring::COMMANDS,
    hash::himport::COMMANDS,
    info::COMMANDS,
    memory::COMMANDS,
    replication::COMMANDS,
    server::COMMANDS,
    string::COMMANDS,
    transactions::COMMANDS,
    vset::COMMANDS,
];
