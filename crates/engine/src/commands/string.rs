//! Strings.
use crate::command::*;
/// x
pub const COMMANDS: &[Command] = &[];
