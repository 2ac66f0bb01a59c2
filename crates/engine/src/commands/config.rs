//! CONFIG: reading and changing parameters while the server runs.

use quiver_resp::Argv;

use crate::command::{Arg, Command, CommandResult, Flags, Group, Locks};
use crate::commands::help::help;
use crate::commands::server::is_local;
use crate::config;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::glob;

const ADMIN: Flags = Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::LOADING).with(Flags::STALE);
const SUBCOMMAND: Command =
    Command { since: "2.0.0", group: Group::Server, arity: 2, flags: ADMIN, locks: Locks::KeysAlone, ..Command::NEW };

/// The table entries.
pub const COMMANDS: &[Command] = &[Command {
    name: "config",
    summary: "Groups the commands about the configuration.",
    since: "2.0.0",
    complexity: "Depends on the subcommand",
    group: Group::Server,
    arity: -2,
    subcommands: SUBCOMMANDS,
    ..Command::NEW
}];

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "get",
        summary: "Reads the configuration parameters that match patterns.",
        complexity: "O(N) where N is the number of parameters",
        arity: -3,
        args: &[Arg::string("parameter").multiple()],
        run: config_get,
        ..SUBCOMMAND
    },
    Command {
        name: "help",
        summary: "Explains the subcommands of CONFIG.",
        since: "5.0.0",
        flags: Flags::LOADING.with(Flags::STALE),
        run: config_help,
        ..SUBCOMMAND
    },
    Command {
        name: "resetstat",
        summary: "Sets the server's counters back to zero.",
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        run: config_resetstat,
        ..SUBCOMMAND
    },
    Command {
        name: "rewrite",
        summary: "Writes the configuration in effect to its file.",
        since: "2.8.0",
        complexity: "O(N) where N is the number of parameters",
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        run: config_rewrite,
        ..SUBCOMMAND
    },
    Command {
        name: "set",
        summary: "Changes configuration parameters while running, all or none.",
        complexity: "O(N) where N is the number of parameters given",
        arity: -4,
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        args: &[Arg::block("data", &[Arg::string("parameter"), Arg::string("value")]).multiple()],
        run: config_set,
        ..SUBCOMMAND
    },
];

fn config_get(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let all = ctx.engine.config.all();
    let mut found: Vec<(String, String)> = Vec::new();
    for pattern in argv.from(2) {
        if pattern.iter().any(|byte| b"*?[\\".contains(byte)) {
            let matching = all.iter().filter(|(name, _)| glob::matches_ignore_case(pattern, name.as_bytes()));
            found.extend(matching.map(|(name, value)| ((*name).to_owned(), value.clone())));
        } else if let Ok(name) = std::str::from_utf8(pattern)
            && config::exists(name)
        {
            // The name comes back as it was spelled.
            found.push((name.to_owned(), ctx.engine.config.get(name)));
        }
    }
    let mut kept: Vec<&(String, String)> = Vec::new();
    for pair in &found {
        if !kept.iter().any(|(name, _)| *name == pair.0) {
            kept.push(pair);
        }
    }
    ctx.reply.map(kept.len());
    for (name, value) in kept {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.bulk(value.as_bytes());
    }
    Ok(())
}

fn config_set(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    if argv.len() % 2 == 1 {
        return Err(CommandError::Syntax);
    }
    let words: Vec<String> = argv.from(2).iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    let pairs = words.as_chunks::<2>().0;
    check_names(ctx, pairs)?;
    let config = &ctx.engine.config;
    for [name, value] in pairs {
        config.check(name, value, true).map_err(|reason| refused(&name.to_ascii_lowercase(), &reason))?;
    }
    let before: Vec<String> = pairs.iter().map(|[name, _]| config.get(name)).collect();
    let mut changed = Vec::new();
    for [name, value] in pairs {
        changed.push(config.set(name, value, true).map_err(|reason| refused(name, &reason))?);
    }
    if let Err((name, reason)) = ctx.engine.host().apply_config(ctx.engine, &changed) {
        for ([name, _], old) in pairs.iter().zip(&before) {
            config.set(name, old, true).map_err(|reason| refused(name, &reason))?;
        }
        // What held before holds again; should the system refuse even that, its log says so.
        let _ = ctx.engine.host().apply_config(ctx.engine, &changed);
        return Err(refused(name, reason));
    }
    for name in changed {
        ctx.engine.config_changed(name);
        ctx.engine.host().config_changed(ctx.engine, name);
    }
    ctx.reply.ok();
    Ok(())
}

/// Everything that can be wrong with the names, in their order.
fn check_names(ctx: &Ctx<'_>, pairs: &[[String; 2]]) -> CommandResult {
    for (i, [name, _]) in pairs.iter().enumerate() {
        if !config::exists(name) {
            return Err(CommandError::owned(format!(
                "ERR Unknown option or number of arguments for CONFIG SET - '{name}'"
            )));
        }
        if config::is_fixed(name) {
            return Err(refused(&name.to_ascii_lowercase(), "can't set immutable config"));
        }
        if config::is_protected(name) && !allowed(ctx, "enable-protected-configs") {
            return Err(refused(name, "can't set protected config"));
        }
        if pairs[..i].iter().any(|[earlier, _]| earlier.eq_ignore_ascii_case(name)) {
            return Err(refused(name, "duplicate parameter"));
        }
    }
    Ok(())
}

/// Whether a switch of the kind no | yes | local allows something to this client.
pub(crate) fn allowed(ctx: &Ctx<'_>, switch: &str) -> bool {
    match ctx.engine.config.get(switch).as_str() {
        "yes" => true,
        "local" => is_local(&ctx.session.shared.addr),
        _ => false,
    }
}

fn refused(name: &str, reason: &str) -> CommandError {
    CommandError::owned(format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}"))
}

fn config_resetstat(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    ctx.engine.stats.reset();
    ctx.engine.memory.reset_exceeded();
    ctx.engine.host().reset_lazy_free();
    ctx.engine.users.denied.reset();
    ctx.reply.ok();
    Ok(())
}

fn config_rewrite(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    ctx.engine.host().rewrite_config(ctx.engine, false)?;
    ctx.reply.ok();
    Ok(())
}

fn config_help(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    help(
        ctx,
        "CONFIG",
        &[
            ("GET <pattern> [<pattern> ...]", "Parameters whose names match, with their values."),
            ("SET <parameter> <value> [<parameter> <value> ...]", "Changes parameters, all or none."),
            ("RESETSTAT", "Sets the counters of INFO back to zero."),
            ("REWRITE", "Writes the configuration in effect to its file."),
        ],
    );
    Ok(())
}
