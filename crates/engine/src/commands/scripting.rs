//! EVAL, EVALSHA and SCRIPT: the table entries. The [runtime](crate::scripting::ScriptRuntime) carries them out.

use quiver_resp::Argv;

use super::help::help;
use crate::command::{Acl, Arg, Begin, Command, CommandResult, Find, Flags, Group, KeyFlags, KeySpec, Locks};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::scripting::Task;

const RW: KeyFlags = KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE);
const RO: KeyFlags = KeyFlags::RO.with(KeyFlags::ACCESS);

const RUNS: Flags = Flags::NOSCRIPT
    .with(Flags::STALE)
    .with(Flags::SKIP_MONITOR)
    .with(Flags::NO_MANDATORY_KEYS)
    .with(Flags::MOVABLEKEYS)
    .with(Flags::SCRIPT_RUNNER);

/// The keys of a script: their number, then they themselves.
const fn keys(flags: KeyFlags) -> KeySpec {
    KeySpec { flags, begin: Begin::Index(2), find: Find::KeyNum { count: 0, first: 1, step: 1 } }
}

const fn arguments(first: &'static str) -> [Arg; 4] {
    [
        Arg::string(first),
        Arg::integer("numkeys"),
        Arg::key("key").optional().multiple(),
        Arg::string("arg").optional().multiple(),
    ]
}

/// What the commands that run a script have in common.
pub(super) const RUN: Command = Command {
    complexity: "Depends on the script",
    group: Group::Scripting,
    arity: -3,
    flags: RUNS,
    acl: Acl::SCRIPTING,
    keys: &[keys(RW)],
    locks: Locks::All,
    ..Command::NEW
};

pub(super) const RUN_READING: Command =
    Command { since: "7.0.0", flags: RUNS.with(Flags::READONLY), keys: &[keys(RO)], ..RUN };

pub(super) const SUB: Command =
    Command { since: "2.6.0", group: Group::Scripting, flags: Flags::NOSCRIPT, acl: Acl::SCRIPTING, ..Command::NEW };

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "eval",
        summary: "Runs a script.",
        since: "2.6.0",
        args: &arguments("script"),
        run: |ctx, argv| hand_over(Task::Eval, ctx, argv),
        ..RUN
    },
    Command {
        name: "evalsha",
        summary: "Runs a script of the cache by its SHA1 digest.",
        since: "2.6.0",
        args: &arguments("sha1"),
        run: |ctx, argv| hand_over(Task::EvalSha, ctx, argv),
        ..RUN
    },
    Command {
        name: "evalsha_ro",
        summary: "Runs a script of the cache that only reads, by its SHA1 digest.",
        args: &arguments("sha1"),
        run: |ctx, argv| hand_over(Task::EvalSha, ctx, argv),
        ..RUN_READING
    },
    Command {
        name: "eval_ro",
        summary: "Runs a script that only reads.",
        args: &arguments("script"),
        run: |ctx, argv| hand_over(Task::Eval, ctx, argv),
        ..RUN_READING
    },
    Command {
        name: "script",
        summary: "Groups the commands of the script cache.",
        since: "2.6.0",
        complexity: "Depends on the subcommand",
        group: Group::Scripting,
        arity: -2,
        subcommands: &[
            Command {
                name: "debug",
                summary: "Chooses how scripts are debugged.",
                since: "3.2.0",
                arity: 3,
                args: &[Arg::one_of(
                    "mode",
                    &[Arg::word("yes", "YES"), Arg::word("sync", "SYNC"), Arg::word("no", "NO")],
                )],
                run: script_debug,
                ..SUB
            },
            Command {
                name: "exists",
                summary: "Tells which scripts are in the cache.",
                complexity: "O(N) where N is the number of digests",
                arity: -3,
                tips: &["request_policy:all_shards", "response_policy:agg_logical_and"],
                args: &[Arg::string("sha1").multiple()],
                run: |ctx, argv| hand_over(Task::Exists, ctx, argv),
                ..SUB
            },
            Command {
                name: "flush",
                summary: "Empties the script cache.",
                complexity: "O(N) where N is the number of scripts",
                arity: -2,
                tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
                args: &[Arg::one_of("flush-type", &[Arg::word("async", "ASYNC"), Arg::word("sync", "SYNC")])
                    .optional()
                    .since("6.2.0")],
                run: script_flush,
                ..SUB
            },
            Command {
                name: "help",
                summary: "Explains the subcommands.",
                since: "5.0.0",
                arity: 2,
                flags: Flags::LOADING.with(Flags::STALE),
                run: script_help,
                ..SUB
            },
            Command {
                name: "kill",
                summary: "Ends the running script.",
                arity: 2,
                flags: Flags::NOSCRIPT.with(Flags::ALLOW_BUSY),
                tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
                run: script_kill,
                ..SUB
            },
            Command {
                name: "load",
                summary: "Puts a script into the cache.",
                complexity: "O(N) where N is the length of the script",
                arity: 3,
                flags: Flags::NOSCRIPT.with(Flags::STALE),
                tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
                args: &[Arg::string("script")],
                run: |ctx, argv| hand_over(Task::Load, ctx, argv),
                ..SUB
            },
        ],
        ..Command::NEW
    },
];

/// Lets the runtime do it.
pub(super) fn hand_over(task: Task, ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let engine = ctx.engine;
    engine.scripts.runtime()?.run(task, ctx, argv)
}

fn script_flush(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let how = argv.get(2).map(<[u8]>::to_ascii_lowercase);
    if argv.len() > 3 || !matches!(how.as_deref(), None | Some(b"sync" | b"async")) {
        return Err(CommandError::text("ERR SCRIPT FLUSH only support SYNC|ASYNC option"));
    }
    hand_over(Task::Flush, ctx, argv)
}

fn script_kill(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    ctx.engine.scripts.kill(false)?;
    ctx.reply.ok();
    Ok(())
}

/// There is no debugger; only its absence can be chosen.
fn script_debug(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    match argv.at(2).to_ascii_lowercase().as_slice() {
        b"no" => {
            ctx.reply.ok();
            Ok(())
        }
        b"yes" | b"sync" => Err(CommandError::text("ERR The script debugger is not available")),
        _ => Err(CommandError::text("ERR Use SCRIPT DEBUG YES/SYNC/NO")),
    }
}

fn script_help(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    help(
        ctx,
        "SCRIPT",
        &[
            ("DEBUG (YES|SYNC|NO)", "Chooses how scripts are debugged."),
            ("EXISTS <sha1> [<sha1> ...]", "Tells of each digest whether its script is in the cache."),
            ("FLUSH [ASYNC|SYNC]", "Empties the cache."),
            ("KILL", "Ends the running script, unless it has written."),
            ("LOAD <script>", "Puts a script into the cache and answers its digest."),
        ],
    );
    Ok(())
}
