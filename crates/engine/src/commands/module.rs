//! MODULE: what Redis has as modules is built in here, and nothing can be loaded at run time.

use quiver_resp::{Argv, Encoder};

use crate::command::{Arg, Command, CommandResult, Flags, Group};
use crate::commands::args::is;
use crate::commands::config::allowed;
use crate::commands::describe::MODULES;
use crate::commands::help::help;
use crate::context::Ctx;
use crate::error::CommandError;

const SUBCOMMAND: Command = Command {
    since: "4.0.0",
    group: Group::Server,
    arity: 2,
    flags: Flags::ADMIN.with(Flags::NOSCRIPT),
    ..Command::NEW
};

/// The flags of what changes the modules.
const CHANGE: Flags = Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::NO_ASYNC_LOADING);

/// The table entries.
pub const COMMANDS: &[Command] = &[Command {
    name: "module",
    summary: "Groups the commands about modules.",
    since: "4.0.0",
    complexity: "Depends on the subcommand",
    group: Group::Server,
    arity: -2,
    subcommands: &[
        Command {
            name: "help",
            summary: "Explains the subcommands of MODULE.",
            since: "5.0.0",
            flags: Flags::LOADING.with(Flags::STALE),
            run: module_help,
            ..SUBCOMMAND
        },
        Command {
            name: "list",
            summary: "Lists the modules present.",
            complexity: "O(N) where N is the number of modules",
            tips: &["nondeterministic_output_order"],
            run: list,
            ..SUBCOMMAND
        },
        Command {
            name: "load",
            summary: "Refuses to load a module: all there are, are built in.",
            arity: -3,
            flags: CHANGE,
            args: &[Arg::string("path"), Arg::string("arg").optional().multiple()],
            run: load,
            ..SUBCOMMAND
        },
        Command {
            name: "loadex",
            summary: "Refuses to load a module with parameters: all there are, are built in.",
            since: "7.0.0",
            arity: -3,
            flags: CHANGE,
            args: &[
                Arg::string("path"),
                Arg::block("configs", &[Arg::string("name"), Arg::string("value")])
                    .after("CONFIG")
                    .optional()
                    .multiple_token(),
                Arg::string("args").after("ARGS").optional().multiple(),
            ],
            run: loadex,
            ..SUBCOMMAND
        },
        Command {
            name: "unload",
            summary: "Refuses to remove a module: all there are, are built in.",
            arity: 3,
            flags: CHANGE,
            args: &[Arg::string("name")],
            run: unload,
            ..SUBCOMMAND
        },
    ],
    ..Command::NEW
}];

const CANNOT_LOAD: CommandError = CommandError::text("ERR Error loading the extension. Please check the server logs.");

/// Whether the configuration lets this client try.
fn check_allowed(ctx: &Ctx<'_>) -> CommandResult {
    if allowed(ctx, "enable-module-command") {
        return Ok(());
    }
    Err(CommandError::text(
        "ERR MODULE command not allowed. If the enable-module-command option is set to \"local\", you can run it from \
         a local connection, otherwise you need to set this option in the configuration file, and then restart the \
         server.",
    ))
}

fn load(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    check_allowed(ctx)?;
    Err(CANNOT_LOAD)
}

fn loadex(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    check_allowed(ctx)?;
    let mut at = 3;
    while let Some(word) = argv.get(at) {
        if is(word, "args") {
            break;
        }
        if !is(word, "config") || argv.len() < at + 3 {
            return Err(CommandError::Syntax);
        }
        at += 3;
    }
    Err(CANNOT_LOAD)
}

fn unload(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    check_allowed(ctx)?;
    Err(CommandError::text(if MODULES.iter().any(|(name, _)| argv.at(2) == name.as_bytes()) {
        "ERR Error unloading module: the module exports one or more module-side data types, can't unload"
    } else {
        "ERR Error unloading module: no such module with that name"
    }))
}

fn list(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    modules(&mut ctx.reply);
    Ok(())
}

/// What Redis has as modules and is built in here: clients look for the names.
pub(crate) fn modules(reply: &mut Encoder<'_>) {
    reply.array(MODULES.len());
    for (name, version) in MODULES {
        reply.map(4);
        reply.bulk(b"name");
        reply.bulk(name.as_bytes());
        reply.bulk(b"ver");
        reply.integer(*version);
        reply.bulk(b"path");
        reply.bulk(b"");
        reply.bulk(b"args");
        reply.array(0);
    }
}

fn module_help(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    help(
        ctx,
        "MODULE",
        &[
            ("LIST", "The modules present, all of them built in."),
            ("LOAD <path> [<arg> ...]", "Refused: nothing can be loaded."),
            ("LOADEX <path> [CONFIG <name> <value> ...] [ARGS <arg> ...]", "Refused: nothing can be loaded."),
            ("UNLOAD <name>", "Refused: what is built in stays."),
        ],
    );
    Ok(())
}
