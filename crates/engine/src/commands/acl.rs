//! ACL: users, their rules, and what was refused. The rules themselves are `acl`'s.
//!
//! Passwords that come in here leave only as hashes. Files are read and written by the host.

use std::sync::Arc;

use quiver_resp::Argv;

use crate::acl::log::LogEntry;
use crate::acl::selector::has_spaces;
use crate::acl::{DEFAULT, Selector, User, lines, merge_parentheses};
use crate::command::{Acl, Arg, Command, CommandResult, Flags, Group, Locks};
use crate::commands::args::{integer, is};
use crate::commands::describe::shown_name;
use crate::commands::help::help;
use crate::context::Ctx;
use crate::error::{CommandError, quote_within, quote_word};
use crate::registry::registry;

const HELP: Flags = Flags::LOADING.with(Flags::STALE);
const PLAIN: Flags = HELP.with(Flags::NOSCRIPT);
const ADMIN: Flags = PLAIN.with(Flags::ADMIN);

const SUBCOMMAND: Command =
    Command { since: "6.0.0", group: Group::Server, arity: 2, flags: ADMIN, locks: Locks::KeysAlone, ..Command::NEW };

/// The table entries.
pub const COMMANDS: &[Command] = &[Command {
    name: "acl",
    summary: "Groups the commands about users and permissions.",
    since: "6.0.0",
    complexity: "Depends on the subcommand",
    group: Group::Server,
    arity: -2,
    subcommands: SUBCOMMANDS,
    ..Command::NEW
}];

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "cat",
        summary: "Lists the categories of commands, or the commands of one.",
        arity: -2,
        flags: PLAIN,
        args: &[Arg::string("category").optional()],
        run: acl_cat,
        ..SUBCOMMAND
    },
    Command {
        name: "deluser",
        summary: "Removes users and closes their connections.",
        complexity: "O(1) per user and its connections",
        arity: -3,
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        args: &[Arg::string("username").multiple()],
        run: acl_deluser,
        ..SUBCOMMAND
    },
    Command {
        name: "dryrun",
        summary: "Tells whether a user might run a command, without running it.",
        since: "7.0.0",
        arity: -4,
        args: &[Arg::string("username"), Arg::string("command"), Arg::string("arg").optional().multiple()],
        run: acl_dryrun,
        ..SUBCOMMAND
    },
    Command {
        name: "genpass",
        summary: "Makes up a password nobody can guess.",
        arity: -2,
        flags: PLAIN,
        args: &[Arg::integer("bits").optional()],
        run: acl_genpass,
        ..SUBCOMMAND
    },
    Command {
        name: "getuser",
        summary: "Answers the rules of a user.",
        complexity: "O(N) where N is the number of rules of the user",
        arity: 3,
        args: &[Arg::string("username")],
        run: acl_getuser,
        ..SUBCOMMAND
    },
    Command { name: "help", summary: "Explains the subcommands of ACL.", flags: HELP, run: acl_help, ..SUBCOMMAND },
    Command {
        name: "list",
        summary: "Lists the users as the lines that make them.",
        complexity: "O(N) where N is the number of rules of all users",
        run: acl_list,
        ..SUBCOMMAND
    },
    Command {
        name: "load",
        summary: "Reads the users from the ACL file.",
        complexity: "O(N) where N is the number of rules in the file",
        run: acl_load,
        ..SUBCOMMAND
    },
    Command {
        name: "log",
        summary: "Lists what was refused lately.",
        complexity: "O(N) where N is the number of entries shown",
        arity: -2,
        args: &[Arg::one_of("operation", &[Arg::integer("count"), Arg::word("reset", "RESET")]).optional()],
        run: acl_log,
        ..SUBCOMMAND
    },
    Command {
        name: "save",
        summary: "Writes the users to the ACL file.",
        complexity: "O(N) where N is the number of rules of all users",
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        run: acl_save,
        ..SUBCOMMAND
    },
    Command {
        name: "setuser",
        summary: "Makes or changes a user by rules, all or none.",
        complexity: "O(N log M) where N is the number of rules given and M that of the user",
        arity: -3,
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        args: &[Arg::string("username"), Arg::string("rule").optional().multiple()],
        run: acl_setuser,
        ..SUBCOMMAND
    },
    Command {
        name: "users",
        summary: "Lists the names of the users.",
        complexity: "O(N) where N is the number of users",
        run: acl_users,
        ..SUBCOMMAND
    },
    Command {
        name: "whoami",
        summary: "Answers the name of the user of this connection.",
        flags: PLAIN,
        run: acl_whoami,
        ..SUBCOMMAND
    },
];

/// Bits of a password that ACL GENPASS makes when nothing is said, and most.
const GENPASS_BITS: (i64, i64) = (256, 4096);

fn acl_whoami(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    ctx.reply.bulk(ctx.session.user.name());
    Ok(())
}

fn acl_users(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    let users = ctx.engine.users.all();
    ctx.reply.array(users.len());
    users.iter().for_each(|user| ctx.reply.bulk(user.name()));
    Ok(())
}

fn acl_list(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    let users = ctx.engine.users.all();
    ctx.reply.array(users.len());
    users.iter().for_each(|user| ctx.reply.bulk(&lines::line_of(user)));
    Ok(())
}

fn acl_cat(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let Some(name) = argv.get(2).filter(|_| argv.len() == 3) else {
        if argv.len() > 3 {
            return Err(unknown_subcommand(argv));
        }
        let names: Vec<&str> = Acl(u32::MAX).names().collect();
        ctx.reply.array(names.len());
        names.iter().for_each(|name| ctx.reply.bulk(&name.as_bytes()[1..]));
        return Ok(());
    };
    let category = Acl::from_name(name)
        .ok_or_else(|| CommandError::owned(format!("ERR Unknown category '{}'", quote_word(name))))?;
    let belonging = || registry().entries().iter().filter(|entry| entry.command.acl_categories().has(category));
    ctx.reply.array(belonging().count());
    belonging().for_each(|entry| ctx.reply.bulk(shown_name(entry).as_bytes()));
    Ok(())
}

/// What Redis says to a subcommand with more words than it takes.
fn unknown_subcommand(argv: Argv<'_>) -> CommandError {
    let name = quote_word(argv.at(1));
    CommandError::owned(format!("ERR unknown subcommand or wrong number of arguments for '{name}'. Try ACL HELP."))
}

fn acl_setuser(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let name = argv.at(2);
    if has_spaces(name) {
        return Err(CommandError::text("ERR Usernames can't contain spaces or null characters"));
    }
    let words: Vec<&[u8]> = argv.from(3).iter().collect();
    let rules = merge_parentheses(&words).map_err(|opened| {
        let opened = quote_within(&opened, usize::MAX);
        CommandError::owned(format!("ERR Unmatched parenthesis in acl selector starting at '{opened}'."))
    })?;
    let all_channels = all_channels(ctx);
    ctx.engine.users.set(name, &rules, all_channels).map_err(|(at, error)| {
        let rule = quote_within(&rules[at], usize::MAX);
        CommandError::owned(format!("ERR Error in ACL SETUSER modifier '{rule}': {error}"))
    })?;
    end_listening(ctx);
    ctx.reply.ok();
    Ok(())
}

/// Whether new users may use every channel.
fn all_channels(ctx: &Ctx<'_>) -> bool {
    ctx.engine.config.get("acl-pubsub-default") == "allchannels"
}

fn acl_deluser(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let names = || argv.from(2).iter();
    if names().any(|name| name == DEFAULT) {
        return Err(CommandError::text("ERR The 'default' user cannot be removed"));
    }
    let removed: Vec<Arc<User>> = names().filter_map(|name| ctx.engine.users.remove(name)).collect();
    end_sessions(ctx, &removed);
    ctx.reply.integer(removed.len() as i64);
    Ok(())
}

/// Closes the connections of users; the one that asked still gets its reply.
fn end_sessions(ctx: &mut Ctx<'_>, users: &[Arc<User>]) {
    if users.is_empty() {
        return;
    }
    let names: std::collections::BTreeSet<&[u8]> = users.iter().map(|user| user.name()).collect();
    for client in ctx.engine.clients.lock().values() {
        if names.contains(client.user.lock().name()) {
            if client.id == ctx.session.shared.id {
                ctx.session.close_after_reply = true;
            } else {
                client.kill();
            }
        }
    }
}

/// Closes the connections that listen to what their users may no longer listen to.
fn end_listening(ctx: &mut Ctx<'_>) {
    for client in ctx.engine.clients.lock().values().filter(|client| client.is_subscriber()) {
        let rules = client.user.lock().rules();
        if !client.subscriptions.lock().all(|name, is_pattern| rules.allows_channel(name, is_pattern)) {
            if client.id == ctx.session.shared.id {
                ctx.session.close_after_reply = true;
            } else {
                client.kill();
            }
        }
    }
}

fn acl_getuser(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let Some(user) = ctx.engine.users.get(argv.at(2)) else {
        ctx.reply.null();
        return Ok(());
    };
    let rules = user.rules();
    let reply = &mut ctx.reply;
    reply.map(6);
    reply.bulk(b"flags");
    let flags = rules.flags();
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"passwords");
    let passwords = rules.passwords();
    reply.array(passwords.len());
    passwords.iter().for_each(|hash| reply.bulk(hash.as_bytes()));
    permissions(ctx, &rules.selectors[0]);
    ctx.reply.bulk(b"selectors");
    ctx.reply.array(rules.selectors.len() - 1);
    for selector in &rules.selectors[1..] {
        ctx.reply.map(3);
        permissions(ctx, selector);
    }
    Ok(())
}

/// Three pairs of a map.
fn permissions(ctx: &mut Ctx<'_>, selector: &Selector) {
    let pairs: [(&[u8], Vec<u8>); 3] = [
        (b"commands", selector.commands_text().into_bytes()),
        (b"keys", selector.keys_text()),
        (b"channels", selector.channels_text()),
    ];
    for (name, text) in pairs {
        ctx.reply.bulk(name);
        ctx.reply.bulk(&text);
    }
}

fn acl_dryrun(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let quoted = |at: usize| quote_within(argv.at(at), usize::MAX);
    let user = ctx.engine.users.get(argv.at(2));
    let user = user.ok_or_else(|| CommandError::owned(format!("ERR User '{}' not found", quoted(2))))?;
    let request = argv.from(3);
    let entry = registry()
        .named(request)
        .ok_or_else(|| CommandError::owned(format!("ERR Command '{}' not found", quoted(3))))?;
    if !entry.command.accepts(request.len()) {
        return Err(CommandError::Arity(entry.full_name.into()));
    }
    match user.rules().check(entry, request) {
        Ok(()) => ctx.reply.ok(),
        Err(denied) => ctx.reply.bulk(denied.explain(&user, entry, request).as_bytes()),
    }
    Ok(())
}

fn acl_genpass(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    const RANGE: CommandError = CommandError::text(
        "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096",
    );
    let bits = match argv.get(2) {
        None => GENPASS_BITS.0,
        Some(_) if argv.len() > 3 => return Err(unknown_subcommand(argv)),
        Some(text) => integer(text)?,
    };
    if !(1..=GENPASS_BITS.1).contains(&bits) {
        return Err(RANGE);
    }
    let digits = (bits as usize).div_ceil(4);
    let mut bytes = vec![0; digits.div_ceil(2)];
    if !ctx.engine.host().random_bytes(&mut bytes) {
        return Err(CommandError::text("ERR this instance has no source of randomness"));
    }
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    ctx.reply.bulk(&hex.as_bytes()[..digits]);
    Ok(())
}

const NO_FILE: CommandError = CommandError::text(
    "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER \
     command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users \
     in the Redis configuration.",
);

fn acl_file(ctx: &Ctx<'_>) -> Result<String, CommandError> {
    Some(ctx.engine.config.get("aclfile")).filter(|path| !path.is_empty()).ok_or(NO_FILE)
}

fn acl_load(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    let path = acl_file(ctx)?;
    let text = ctx.engine.host().read_file(&path);
    let text =
        text.map_err(|error| CommandError::owned(format!("ERR Error loading ACLs, opening file '{path}': {error}")))?;
    let users = lines::parse_file(&path, &text, all_channels(ctx));
    let users = users.map_err(|errors| CommandError::owned(format!("ERR {errors}")))?;
    let gone = ctx.engine.users.replace_all(users);
    end_sessions(ctx, &gone);
    end_listening(ctx);
    ctx.reply.ok();
    Ok(())
}

fn acl_save(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    const FAILED: CommandError = CommandError::text(
        "ERR There was an error trying to save the ACLs. Please check the server logs for more information",
    );
    let path = acl_file(ctx)?;
    ctx.engine.host().write_file(&path, &lines::file_of(&ctx.engine.users)).map_err(|_| FAILED)?;
    ctx.reply.ok();
    Ok(())
}

fn acl_log(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let count = match argv.get(2) {
        Some(_) if argv.len() > 3 => return Err(unknown_subcommand(argv)),
        Some(word) if is(word, "reset") => {
            ctx.engine.users.log.lock().clear();
            ctx.reply.ok();
            return Ok(());
        }
        Some(text) => usize::try_from(integer(text)?).unwrap_or(0),
        None => 10,
    };
    let entries = ctx.engine.users.log.lock().newest(count);
    ctx.reply.array(entries.len());
    entries.iter().for_each(|entry| log_entry(ctx, entry));
    Ok(())
}

fn log_entry(ctx: &mut Ctx<'_>, entry: &LogEntry) {
    let age_s = (ctx.ks.now_ms - entry.updated_ms).max(0) as f64 / 1000.0;
    let reply = &mut ctx.reply;
    let text = |reply: &mut quiver_resp::Encoder<'_>, name: &str, value: &[u8]| {
        reply.bulk(name.as_bytes());
        reply.bulk(value);
    };
    let number = |reply: &mut quiver_resp::Encoder<'_>, name: &str, value: i64| {
        reply.bulk(name.as_bytes());
        reply.integer(value);
    };
    reply.map(10);
    number(reply, "count", entry.count as i64);
    text(reply, "reason", entry.reason.name().as_bytes());
    text(reply, "context", entry.context.name().as_bytes());
    text(reply, "object", &entry.object);
    text(reply, "username", &entry.username);
    reply.bulk(b"age-seconds");
    reply.double(age_s);
    text(reply, "client-info", entry.client.as_bytes());
    number(reply, "entry-id", entry.id as i64);
    number(reply, "timestamp-created", entry.created_ms);
    number(reply, "timestamp-last-updated", entry.updated_ms);
}

fn acl_help(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    help(
        ctx,
        "ACL",
        &[
            ("CAT [<category>]", "The categories of commands, or the commands of one."),
            ("DELUSER <username> [<username> ...]", "Removes users and closes their connections."),
            ("DRYRUN <username> <command> [<arg> ...]", "Whether the user might run the command."),
            ("GENPASS [<bits>]", "A password nobody can guess, in hexadecimal."),
            ("GETUSER <username>", "The rules of a user."),
            ("LIST", "The users as the lines that make them."),
            ("LOAD", "Reads the users from the ACL file."),
            ("LOG [<count> | RESET]", "What was refused lately, or forgets it."),
            ("SAVE", "Writes the users to the ACL file."),
            ("SETUSER <username> [<rule> ...]", "Makes or changes a user."),
            ("USERS", "The names of the users."),
            ("WHOAMI", "The user of this connection."),
        ],
    );
    Ok(())
}
