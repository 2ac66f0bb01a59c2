//! The subcommands of CLIENT that end waits and begin pauses.

use quiver_resp::Argv;

use crate::blocking::{Unblock, deadline_of_ms};
use crate::command::{Arg, Command, CommandResult};
use crate::commands::args::{integer, is};
use crate::commands::client::{ADMIN, SUBCOMMAND};
use crate::context::Ctx;
use crate::error::{CommandError, quote_word};

pub(super) const PAUSE: Command = Command {
    name: "pause",
    summary: "Holds the commands of clients back for a while.",
    since: "3.0.0",
    arity: -3,
    flags: ADMIN,
    args: &[
        Arg::integer("timeout"),
        Arg::one_of("mode", &[Arg::word("write", "WRITE"), Arg::word("all", "ALL")]).optional().since("6.2.0"),
    ],
    run: client_pause,
    ..SUBCOMMAND
};

pub(super) const UNBLOCK: Command = Command {
    name: "unblock",
    summary: "Ends the wait of a client that is blocked by a command.",
    since: "5.0.0",
    complexity: "O(log N) where N is the number of connections",
    arity: -3,
    flags: ADMIN,
    args: &[
        Arg::integer("client-id"),
        Arg::one_of("unblock-type", &[Arg::word("timeout", "TIMEOUT"), Arg::word("error", "ERROR")]).optional(),
    ],
    run: client_unblock,
    ..SUBCOMMAND
};

pub(super) const UNPAUSE: Command = Command {
    name: "unpause",
    summary: "Lets the commands held back by CLIENT PAUSE go on.",
    since: "6.2.0",
    complexity: "O(N) where N is the number of connections",
    flags: ADMIN,
    run: client_unpause,
    ..SUBCOMMAND
};

fn client_pause(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let all = match argv.get(3) {
        None => true,
        Some(_) if argv.len() > 4 => return Err(too_many(argv)),
        Some(mode) if is(mode, "all") => true,
        Some(mode) if is(mode, "write") => false,
        Some(_) => return Err(CommandError::text("ERR CLIENT PAUSE mode must be WRITE or ALL")),
    };
    let now_ms = ctx.ks.now_ms;
    let until_ms = deadline_of_ms(argv.at(2), now_ms)?.unwrap_or(0);
    ctx.engine.pause(until_ms, all, now_ms);
    ctx.reply.ok();
    Ok(())
}

/// Redis does not count the words of these two by itself.
fn too_many(argv: Argv<'_>) -> CommandError {
    let name = quote_word(argv.at(1));
    CommandError::owned(format!("ERR unknown subcommand or wrong number of arguments for '{name}'. Try CLIENT HELP."))
}

fn client_unpause(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    ctx.engine.unpause();
    ctx.reply.ok();
    Ok(())
}

fn client_unblock(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let how = match argv.get(3) {
        None => Unblock::Timeout,
        Some(_) if argv.len() > 4 => return Err(too_many(argv)),
        Some(word) if is(word, "timeout") => Unblock::Timeout,
        Some(word) if is(word, "error") => Unblock::Error,
        Some(_) => return Err(CommandError::text("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
    };
    let id = integer(argv.at(2))?;
    let client = u64::try_from(id).ok().and_then(|id| ctx.engine.clients.lock().get(&id).cloned());
    let waiter = client.and_then(|client| client.waiter.lock().clone());
    let unblocked = waiter.is_some_and(|waiter| ctx.engine.unblock(&waiter, how));
    ctx.reply.integer(unblocked.into());
    Ok(())
}
