//! Commands by family: each file holds the table entries of its commands and their handlers.

pub(crate) mod args;
pub mod command;
pub mod describe;
pub mod string;
pub mod transactions;

use crate::command::Command;

/// All families.
pub const TABLES: &[&[Command]] = &[command::COMMANDS, string::COMMANDS, transactions::COMMANDS];
