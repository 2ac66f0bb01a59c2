//! MONITOR: the connection shows every command from now on.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use quiver_resp::Argv;

use crate::command::{Command, CommandResult, Flags, Group, Locks};
use crate::context::Ctx;
use crate::error::CommandError;

/// The table entries.
pub const COMMANDS: &[Command] = &[Command {
    name: "monitor",
    summary: "Shows every command the server runs from now on.",
    group: Group::Server,
    flags: Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::LOADING).with(Flags::STALE),
    locks: Locks::KeysAlone,
    run: monitor,
    ..Command::NEW
}];

/// A connection that monitors already gets no further answer, as in Redis.
fn monitor(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    if ctx.ks.in_transaction {
        return Err(CommandError::text("ERR MONITOR isn't allowed for DENY BLOCKING client"));
    }
    if !ctx.session.shared.monitor.load(Relaxed) {
        ctx.engine.monitors.join(&Arc::clone(&ctx.session.shared));
        ctx.session.limited = true;
        ctx.reply.ok();
    }
    Ok(())
}
