//! BACKUP: the data set in files while the server goes on (<https://redis.io/docs/latest/commands/backup/>). The work is
//! the host's.

use quiver_resp::Argv;

use crate::command::{Command, CommandResult, Flags, Group};
use crate::commands::help::help;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::host::{BackupFacts, BackupOrder};

const SUBCOMMAND: Command =
    Command { since: "8.10.0", group: Group::Server, arity: 2, complexity: "O(1)", ..Command::NEW };
const ORDER: Command = Command { flags: Flags::ADMIN.with(Flags::NOSCRIPT), ..SUBCOMMAND };
const LOOK: Command = Command { flags: Flags::ADMIN.with(Flags::STALE), ..SUBCOMMAND };

/// The table entries.
pub const COMMANDS: &[Command] = &[Command {
    name: "backup",
    summary: "Groups the commands about backups.",
    complexity: "Depends on the subcommand",
    subcommands: SUBCOMMANDS,
    ..SUBCOMMAND
}];

const SUBCOMMANDS: &[Command] = &[
    Command { name: "abort", summary: "Gives a backup up that is not sealed.", run: abort, ..ORDER },
    Command { name: "cleanup", summary: "Removes the files of a sealed or failed backup.", run: cleanup, ..ORDER },
    Command {
        name: "help",
        summary: "Explains the subcommands of BACKUP.",
        flags: Flags::LOADING.with(Flags::STALE),
        run: backup_help,
        ..SUBCOMMAND
    },
    Command { name: "list", summary: "Names the files of a backup that are whole.", run: list, ..LOOK },
    Command { name: "seal", summary: "Ends a backup at this moment.", run: seal, ..ORDER },
    Command { name: "start", summary: "Begins a backup.", run: start, ..ORDER },
    Command { name: "status", summary: "Tells how far a backup is.", run: status, ..LOOK },
];

fn order(ctx: &Ctx<'_>, order: BackupOrder) -> Result<BackupFacts, CommandError> {
    ctx.engine.host().backup(ctx.engine, order)
}

fn obey(ctx: &mut Ctx<'_>, what: BackupOrder) -> CommandResult {
    order(ctx, what)?;
    ctx.reply.ok();
    Ok(())
}

fn start(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    obey(ctx, BackupOrder::Start)
}

fn seal(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    obey(ctx, BackupOrder::Seal)
}

fn abort(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    obey(ctx, BackupOrder::Abort)
}

fn cleanup(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    obey(ctx, BackupOrder::Cleanup)
}

fn list(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    let files = order(ctx, BackupOrder::Look)?.files;
    ctx.reply.array(files.len());
    files.iter().for_each(|file| ctx.reply.bulk(file.as_bytes()));
    Ok(())
}

fn status(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    let facts = order(ctx, BackupOrder::Look)?;
    let (started, ended) = (facts.started_s.to_string(), facts.ended_s.to_string());
    let fields = [("state", facts.state), ("error", &facts.error), ("start_time", &started), ("end_time", &ended)];
    ctx.reply.map(fields.len());
    for (name, value) in fields {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.bulk(value.as_bytes());
    }
    Ok(())
}

fn backup_help(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    help(
        ctx,
        "BACKUP",
        &[
            ("ABORT", "Gives a backup up that is not sealed."),
            ("CLEANUP", "Removes the files of a sealed or failed backup."),
            ("LIST", "Names the files of a backup that are whole."),
            ("SEAL", "Ends a backup at this moment."),
            ("START", "Begins a backup in the folder `backupdirname`."),
            ("STATUS", "Tells how far a backup is."),
        ],
    );
    Ok(())
}
