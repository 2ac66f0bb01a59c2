//! FUNCTION, FCALL and FCALL_RO: <https://redis.io/docs/latest/develop/programmability/functions-intro/>.
//!
//! Libraries are data: what changes them goes into the stream as it was said, and they are part of snapshots. What takes
//! an interpreter is the [runtime](crate::scripting::ScriptRuntime)'s: finding out what a source registers, and calls.

use std::sync::Arc;

use quiver_rdb::{Writer, frame};
use quiver_resp::Argv;

use super::args::is;
use super::scripting::{RUN, RUN_READING, SUB, hand_over};
use crate::command::{Arg, Command, CommandResult, Flags, Group};
use crate::context::Ctx;
use crate::error::{CommandError, quote_word};
use crate::functions::{ENGINE_NAME, Library, LibrarySet, Metadata, unseal};
use crate::glob;
use crate::scripting::Task;

const WRITES: Flags = Flags::NOSCRIPT.with(Flags::WRITE);
const ALL_SHARDS: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];

const FUNCTION_SUB: Command = Command { since: "7.0.0", ..SUB };

/// A subcommand that changes the libraries, which all threads see at once.
const CHANGES: Command = Command { flags: WRITES, tips: ALL_SHARDS, locks: crate::command::Locks::All, ..FUNCTION_SUB };

const fn arguments() -> [Arg; 4] {
    [
        Arg::string("function"),
        Arg::integer("numkeys"),
        Arg::key("key").optional().multiple(),
        Arg::string("arg").optional().multiple(),
    ]
}

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "fcall",
        summary: "Calls a function.",
        since: "7.0.0",
        complexity: "Depends on the function",
        args: &arguments(),
        run: |ctx, argv| hand_over(Task::Call, ctx, argv),
        ..RUN
    },
    Command {
        name: "fcall_ro",
        summary: "Calls a function that only reads.",
        complexity: "Depends on the function",
        args: &arguments(),
        run: |ctx, argv| hand_over(Task::Call, ctx, argv),
        ..RUN_READING
    },
    Command {
        name: "function",
        summary: "Groups the commands of function libraries.",
        since: "7.0.0",
        complexity: "Depends on the subcommand",
        group: Group::Scripting,
        arity: -2,
        subcommands: &[
            Command {
                name: "delete",
                summary: "Deletes a library with its functions.",
                complexity: "O(1)",
                arity: 3,
                args: &[Arg::string("library-name")],
                run: function_delete,
                ..CHANGES
            },
            Command {
                name: "dump",
                summary: "Serialises all libraries.",
                complexity: "O(N) where N is the number of libraries",
                arity: 2,
                run: function_dump,
                ..FUNCTION_SUB
            },
            Command {
                name: "flush",
                summary: "Deletes all libraries.",
                complexity: "O(N) where N is the number of libraries",
                arity: -2,
                args: &[Arg::one_of("flush-type", &[Arg::word("async", "ASYNC"), Arg::word("sync", "SYNC")]).optional()],
                run: function_flush,
                ..CHANGES
            },
            Command {
                name: "help",
                summary: "Explains the subcommands.",
                complexity: "O(1)",
                arity: 2,
                flags: Flags::LOADING.with(Flags::STALE),
                run: function_help,
                ..FUNCTION_SUB
            },
            Command {
                name: "kill",
                summary: "Ends the running function.",
                complexity: "O(1)",
                arity: 2,
                flags: Flags::NOSCRIPT.with(Flags::ALLOW_BUSY),
                tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
                run: function_kill,
                ..FUNCTION_SUB
            },
            Command {
                name: "list",
                summary: "Tells which libraries there are.",
                complexity: "O(N) where N is the number of functions",
                arity: -2,
                tips: &["nondeterministic_output_order"],
                args: &[
                    Arg::string("library-name-pattern").after("LIBRARYNAME").optional(),
                    Arg::word("withcode", "WITHCODE").optional(),
                ],
                run: function_list,
                ..FUNCTION_SUB
            },
            Command {
                name: "load",
                summary: "Creates a library.",
                complexity: "O(1), and what running the source once takes",
                arity: -3,
                flags: WRITES.with(Flags::DENYOOM),
                args: &[Arg::word("replace", "REPLACE").optional(), Arg::string("function-code")],
                run: function_load,
                ..CHANGES
            },
            Command {
                name: "restore",
                summary: "Creates libraries from what FUNCTION DUMP gave.",
                complexity: "O(N) where N is the number of libraries in it",
                arity: -3,
                flags: WRITES.with(Flags::DENYOOM),
                args: &[
                    Arg::string("serialized-value"),
                    Arg::one_of(
                        "policy",
                        &[Arg::word("flush", "FLUSH"), Arg::word("append", "APPEND"), Arg::word("replace", "REPLACE")],
                    )
                    .optional(),
                ],
                run: function_restore,
                ..CHANGES
            },
            Command {
                name: "stats",
                summary: "Tells which function runs, and how many there are.",
                complexity: "O(1)",
                arity: 2,
                flags: Flags::NOSCRIPT.with(Flags::ALLOW_BUSY),
                tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
                run: function_stats,
                ..FUNCTION_SUB
            },
        ],
        ..Command::NEW
    },
];

/// A library of a source, as far as it can be made without the others.
fn compile(ctx: &Ctx<'_>, source: &[u8], metadata: &Metadata) -> Result<Arc<Library>, CommandError> {
    ctx.engine.compile_library(source, metadata).map(Arc::new)
}

/// Puts a changed set in place.
fn exchange(ctx: &mut Ctx<'_>, set: LibrarySet) {
    ctx.engine.functions.exchange(Arc::new(set));
    ctx.ks.dirty += 1;
}

fn function_load(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (options, source) = (2..argv.len() - 1, argv.at(argv.len() - 1));
    let mut replace = false;
    for at in options {
        if !is(argv.at(at), "REPLACE") {
            return Err(CommandError::owned(format!("ERR Unknown option given: {}", quote_word(argv.at(at)))));
        }
        replace = true;
    }
    let metadata = Metadata::parse(source)?;
    if !metadata.engine.eq_ignore_ascii_case(ENGINE_NAME) {
        return Err(CommandError::owned(format!("ERR Engine '{}' not found", metadata.engine)));
    }
    let mut set = LibrarySet::clone(&ctx.engine.functions.set());
    if set.contains(&metadata.name) && !replace {
        return Err(CommandError::owned(format!("ERR Library '{}' already exists", metadata.name)));
    }
    set.insert(compile(ctx, source, &metadata)?)?;
    exchange(ctx, set);
    ctx.reply.bulk(metadata.name.as_bytes());
    Ok(())
}

fn function_delete(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let mut set = LibrarySet::clone(&ctx.engine.functions.set());
    if !std::str::from_utf8(argv.at(2)).is_ok_and(|name| set.remove(name)) {
        return Err(CommandError::text("ERR Library not found"));
    }
    exchange(ctx, set);
    ctx.reply.ok();
    Ok(())
}

/// Refuses more words than there may be.
fn at_most(argv: Argv<'_>, words: usize) -> CommandResult {
    if argv.len() <= words {
        return Ok(());
    }
    let word = quote_word(argv.at(1));
    let text = format!("ERR unknown subcommand or wrong number of arguments for '{word}'. Try FUNCTION HELP.");
    Err(CommandError::owned(text))
}

fn function_flush(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    at_most(argv, 3)?;
    if argv.get(2).is_some_and(|how| !is(how, "SYNC") && !is(how, "ASYNC")) {
        return Err(CommandError::text("ERR FUNCTION FLUSH only supports SYNC|ASYNC option"));
    }
    exchange(ctx, LibrarySet::default());
    ctx.reply.ok();
    Ok(())
}

fn function_dump(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    let mut payload = Vec::new();
    let mut writer = Writer::new(&mut payload);
    writer.set_compress(ctx.engine.config.rdbcompression());
    ctx.engine.functions.set().write(&mut writer);
    frame::seal(&mut payload);
    ctx.reply.bulk(&payload);
    Ok(())
}

/// What becomes of the libraries there are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    /// They go.
    Flush,
    /// They stay, and none of the new ones may be among them.
    Append,
    /// They stay but for those that are among the new ones.
    Replace,
}

fn function_restore(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    at_most(argv, 4)?;
    let policy = match argv.get(3) {
        None => Policy::Append,
        Some(word) if is(word, "APPEND") => Policy::Append,
        Some(word) if is(word, "REPLACE") => Policy::Replace,
        Some(word) if is(word, "FLUSH") => Policy::Flush,
        Some(_) => {
            return Err(CommandError::text(
                "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ));
        }
    };
    let mut set = match policy {
        Policy::Flush => LibrarySet::default(),
        _ => LibrarySet::clone(&ctx.engine.functions.set()),
    };
    for source in unseal(argv.at(2))? {
        let metadata = Metadata::parse(&source)?;
        if policy == Policy::Append && set.contains(&metadata.name) {
            return Err(CommandError::owned(format!("ERR Library {} already exists", metadata.name)));
        }
        set.insert(compile(ctx, &source, &metadata)?)?;
    }
    exchange(ctx, set);
    ctx.reply.ok();
    Ok(())
}

fn function_kill(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    ctx.engine.scripts.kill(true)?;
    ctx.reply.ok();
    Ok(())
}

fn function_list(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (mut pattern, mut with_code, mut at) = (None, false, 2);
    while at < argv.len() {
        let word = argv.at(at);
        if !with_code && is(word, "WITHCODE") {
            with_code = true;
        } else if pattern.is_none() && is(word, "LIBRARYNAME") {
            at += 1;
            let given = argv.get(at).ok_or(CommandError::text("ERR library name argument was not given"))?;
            pattern = Some(given);
        } else {
            return Err(CommandError::owned(format!("ERR Unknown argument {}", quote_word(word))));
        }
        at += 1;
    }
    let set = ctx.engine.functions.set();
    let wanted = |library: &&Arc<Library>| {
        pattern.is_none_or(|pattern| glob::matches_ignore_case(pattern, library.name.as_bytes()))
    };
    ctx.reply.array(set.libraries().filter(wanted).count());
    for library in set.libraries().filter(wanted) {
        show(ctx, library, with_code);
    }
    Ok(())
}

fn show(ctx: &mut Ctx<'_>, library: &Library, with_code: bool) {
    let reply = &mut ctx.reply;
    reply.map(if with_code { 4 } else { 3 });
    reply.bulk(b"library_name");
    reply.bulk(library.name.as_bytes());
    reply.bulk(b"engine");
    reply.bulk(ENGINE_NAME.as_bytes());
    reply.bulk(b"functions");
    reply.array(library.functions.len());
    for function in &library.functions {
        reply.map(3);
        reply.bulk(b"name");
        reply.bulk(function.name.as_bytes());
        reply.bulk(b"description");
        match &function.description {
            Some(text) => reply.bulk(text),
            None => reply.null(),
        }
        reply.bulk(b"flags");
        reply.set(function.flags.names().count());
        function.flags.names().for_each(|name| reply.simple(name));
    }
    if with_code {
        reply.bulk(b"library_code");
        reply.bulk(&library.code);
    }
}

fn function_stats(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    let running = ctx.engine.scripts.running();
    let now_ns = ctx.meter.now_ns();
    let set = ctx.engine.functions.set();
    let reply = &mut ctx.reply;
    reply.map(2);
    reply.bulk(b"running_script");
    match running {
        None => reply.null(),
        Some(running) => {
            reply.map(3);
            reply.bulk(b"name");
            reply.bulk(running.name.as_bytes());
            reply.bulk(b"command");
            reply.array(running.words.len());
            running.words.iter().for_each(|word| reply.bulk(word));
            reply.bulk(b"duration_ms");
            reply.integer((now_ns.saturating_sub(running.started_ns) / 1_000_000) as i64);
        }
    }
    reply.bulk(b"engines");
    reply.map(1);
    reply.bulk(ENGINE_NAME.as_bytes());
    reply.map(2);
    reply.bulk(b"libraries_count");
    reply.integer(set.libraries().len() as i64);
    reply.bulk(b"functions_count");
    reply.integer(set.functions_len() as i64);
    Ok(())
}

fn function_help(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    ctx.reply.array(HELP.len());
    HELP.iter().for_each(|line| ctx.reply.simple(line));
    Ok(())
}

const HELP: &[&str] = &[
    "FUNCTION <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "LOAD [REPLACE] <FUNCTION CODE>",
    "    Create a new library with the given library name and code.",
    "DELETE <LIBRARY NAME>",
    "    Delete the given library.",
    "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
    "    Return general information on all the libraries:",
    "    * Library name",
    "    * The engine used to run the Library",
    "    * Functions list",
    "    * Library code (if WITHCODE is given)",
    "    It also possible to get only function that matches a pattern using LIBRARYNAME argument.",
    "STATS",
    "    Return information about the current function running:",
    "    * Function name",
    "    * Command used to run the function",
    "    * Duration in MS that the function is running",
    "    If no function is running, return nil",
    "    In addition, returns a list of available engines.",
    "KILL",
    "    Kill the current running function.",
    "FLUSH [ASYNC|SYNC]",
    "    Delete all the libraries.",
    "    When called without the optional mode argument, the behavior is determined by the",
    "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
    "    * ASYNC: Asynchronously flush the libraries.",
    "    * SYNC: Synchronously flush the libraries.",
    "DUMP",
    "    Return a serialized payload representing the current libraries, can be restored using FUNCTION RESTORE command",
    "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
    "    Restore the libraries represented by the given payload, it is possible to give a restore policy to",
    "    control how to handle existing libraries (default APPEND):",
    "    * FLUSH: delete all existing libraries.",
    "    * APPEND: appends the restored libraries to the existing libraries. On collision, abort.",
    "    * REPLACE: appends the restored libraries to the existing libraries, On collision, replace the old",
    "      libraries with the new libraries (notice that even on this option there is a chance of failure",
    "      in case of functions name collision with another library).",
    "HELP",
    "    Print this help.",
];
