//! SLOWLOG: the commands that took longer than `slowlog-log-slower-than`.

use quiver_resp::Argv;

use crate::command::{Arg, Command, CommandResult, Flags, Group, Locks};
use crate::commands::connection::bytes_of;
use crate::commands::help::help;
use crate::context::Ctx;
use crate::error::{CommandError, quote_word};
use crate::number::parse_i64;

const HELP: Flags = Flags::LOADING.with(Flags::STALE);
const ADMIN: Flags = HELP.with(Flags::ADMIN);

const SUBCOMMAND: Command =
    Command { since: "2.2.12", group: Group::Server, arity: 2, flags: ADMIN, locks: Locks::KeysAlone, ..Command::NEW };

/// The table entries.
pub const COMMANDS: &[Command] = &[Command {
    name: "slowlog",
    summary: "Groups the commands about slow commands.",
    since: "2.2.12",
    complexity: "Depends on the subcommand",
    group: Group::Server,
    arity: -2,
    subcommands: SUBCOMMANDS,
    ..Command::NEW
}];

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "get",
        summary: "Answers the slow commands of late, newest first.",
        complexity: "O(N) where N is the number of entries shown",
        arity: -2,
        tips: &["request_policy:all_nodes", "nondeterministic_output"],
        args: &[Arg::integer("count").optional()],
        run: slowlog_get,
        ..SUBCOMMAND
    },
    Command {
        name: "help",
        summary: "Explains the subcommands of SLOWLOG.",
        since: "6.2.0",
        flags: HELP,
        run: slowlog_help,
        ..SUBCOMMAND
    },
    Command {
        name: "len",
        summary: "Counts the entries of the slow log.",
        tips: &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"],
        run: slowlog_len,
        ..SUBCOMMAND
    },
    Command {
        name: "reset",
        summary: "Empties the slow log.",
        complexity: "O(N) where N is the number of entries",
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        run: slowlog_reset,
        ..SUBCOMMAND
    },
];

/// Entries shown when nothing is said.
const SHOWN: i64 = 10;

fn slowlog_get(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    const COUNT: CommandError = CommandError::text("ERR count should be greater than or equal to -1");
    let count = match argv.get(2) {
        None => SHOWN,
        Some(_) if argv.len() > 3 => {
            let name = quote_word(argv.at(1));
            return Err(CommandError::owned(format!(
                "ERR unknown subcommand or wrong number of arguments for '{name}'. Try SLOWLOG HELP."
            )));
        }
        Some(text) => parse_i64(text).filter(|count| *count >= -1).ok_or(COUNT)?,
    };
    // -1 stands for all.
    let entries = ctx.engine.slowlog.newest(usize::try_from(count).unwrap_or(usize::MAX));
    let reply = &mut ctx.reply;
    reply.array(entries.len());
    for entry in entries {
        reply.array(6);
        reply.integer(entry.id as i64);
        reply.integer(entry.at_s);
        reply.integer(entry.duration_us as i64);
        reply.array(entry.words.len());
        entry.words.iter().for_each(|word| reply.bulk(word));
        reply.bulk(entry.addr.as_bytes());
        reply.bulk(&bytes_of(&entry.client_name));
    }
    Ok(())
}

fn slowlog_len(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    ctx.reply.integer(ctx.engine.slowlog.len() as i64);
    Ok(())
}

fn slowlog_reset(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    ctx.engine.slowlog.clear();
    ctx.reply.ok();
    Ok(())
}

fn slowlog_help(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    help(
        ctx,
        "SLOWLOG",
        &[
            (
                "GET [<count>]",
                "The newest entries (10, or as many as asked for, -1 for all): number, time, duration in microseconds, \
                 command, address and name of the client.",
            ),
            ("LEN", "How many entries there are."),
            ("RESET", "Empties the slow log."),
        ],
    );
    Ok(())
}
