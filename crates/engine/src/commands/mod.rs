//! Commands by family: each file holds the table entries of its commands and their handlers.

pub(crate) mod args;
pub mod string;
pub mod transactions;
pub mod vset;

use crate::command::Command;

/// All families.
pub const TABLES: &[&[Command]] = &[string::COMMANDS, transactions::COMMANDS, vset::COMMANDS];
