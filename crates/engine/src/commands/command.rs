//! COMMAND and its subcommands: the table told to clients.
//!
//! Everything here is derived from the entries beside the handlers; see [`super::describe`] for the shapes.

use quiver_resp::Argv;

use crate::command::{Acl, Arg, ArgKind, Begin, Command, CommandResult, Flags, Group, KeyFlags};
use crate::commands::describe;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::glob;
use crate::registry::{Entry, registry};

/// The entries of this file.
pub const COMMANDS: &[Command] = &[Command {
    name: "command",
    summary: "Describes every command.",
    since: "2.8.13",
    complexity: "O(N) where N is the number of commands",
    group: Group::Server,
    arity: -1,
    flags: Flags::LOADING.with(Flags::STALE),
    acl: Acl::CONNECTION,
    tips: &["nondeterministic_output_order"],
    subcommands: &[
        Command {
            name: "count",
            summary: "Answers the number of commands.",
            since: "2.8.13",
            group: Group::Server,
            arity: 2,
            flags: Flags::LOADING.with(Flags::STALE),
            acl: Acl::CONNECTION,
            run: command_count,
            ..Command::NEW
        },
        Command {
            name: "docs",
            summary: "Answers the documentation of commands.",
            since: "7.0.0",
            complexity: "O(N) where N is the number of commands described",
            group: Group::Server,
            arity: -2,
            flags: Flags::LOADING.with(Flags::STALE),
            acl: Acl::CONNECTION,
            tips: &["nondeterministic_output_order"],
            args: &[Arg::string("command-name").multiple().optional()],
            run: command_docs,
            ..Command::NEW
        },
        Command {
            name: "getkeys",
            summary: "Finds the keys in a full command line.",
            since: "2.8.13",
            complexity: "O(N) where N is the number of arguments",
            group: Group::Server,
            arity: -3,
            flags: Flags::LOADING.with(Flags::STALE),
            acl: Acl::CONNECTION,
            args: &[Arg::string("command"), Arg::string("arg").multiple().optional()],
            run: command_getkeys,
            ..Command::NEW
        },
        Command {
            name: "getkeysandflags",
            summary: "Finds the keys in a full command line and what is done with each.",
            since: "7.0.0",
            complexity: "O(N) where N is the number of arguments",
            group: Group::Server,
            arity: -3,
            flags: Flags::LOADING.with(Flags::STALE),
            acl: Acl::CONNECTION,
            args: &[Arg::string("command"), Arg::string("arg").multiple().optional()],
            run: command_getkeysandflags,
            ..Command::NEW
        },
        Command {
            name: "help",
            summary: "Explains the subcommands of COMMAND.",
            since: "5.0.0",
            group: Group::Server,
            arity: 2,
            flags: Flags::LOADING.with(Flags::STALE),
            acl: Acl::CONNECTION,
            run: command_help,
            ..Command::NEW
        },
        Command {
            name: "info",
            summary: "Describes the commands named, or all of them.",
            since: "2.8.13",
            complexity: "O(N) where N is the number of commands described",
            group: Group::Server,
            arity: -2,
            flags: Flags::LOADING.with(Flags::STALE),
            acl: Acl::CONNECTION,
            tips: &["nondeterministic_output_order"],
            args: &[Arg::string("command-name").multiple().optional()],
            run: command_info,
            ..Command::NEW
        },
        Command {
            name: "list",
            summary: "Lists the names of commands, optionally filtered.",
            since: "7.0.0",
            complexity: "O(N) where N is the number of commands",
            group: Group::Server,
            arity: -2,
            flags: Flags::LOADING.with(Flags::STALE),
            acl: Acl::CONNECTION,
            tips: &["nondeterministic_output_order"],
            args: &[Arg::one_of(
                "filterby",
                &[
                    Arg::string("module-name").after("MODULE"),
                    Arg::string("category").after("ACLCAT"),
                    Arg::pattern("pattern").after("PATTERN"),
                ],
            )
            .after("FILTERBY")
            .optional()],
            run: command_list,
            ..Command::NEW
        },
    ],
    run: command,
    ..Command::NEW
}];

const INVALID_COMMAND: CommandError = CommandError::text("ERR Invalid command specified");
const INVALID_COUNT: CommandError = CommandError::text("ERR Invalid number of arguments specified for command");
const INVALID_ARGS: CommandError = CommandError::text("ERR Invalid arguments specified for command");
const NO_KEYS: CommandError = CommandError::text("ERR The command has no key arguments");

/// COMMAND
fn command(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    all_infos(ctx);
    Ok(())
}

/// COMMAND COUNT
fn command_count(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    ctx.reply.integer(registry().top().len() as i64);
    Ok(())
}

/// COMMAND INFO [command ...]: one element a name, null for unknown ones.
fn command_info(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    if argv.len() == 2 {
        all_infos(ctx);
        return Ok(());
    }
    ctx.reply.array(argv.len() - 2);
    for name in argv.iter().skip(2) {
        match registry().find_full(name) {
            Some(entry) => describe::info(&mut ctx.reply, entry),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

/// COMMAND DOCS [command ...]: unknown names are left out.
fn command_docs(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let entries: Vec<&Entry> = if argv.len() == 2 {
        registry().top().iter().collect()
    } else {
        argv.iter().skip(2).filter_map(|name| registry().find_full(name)).collect()
    };
    ctx.reply.map(entries.len());
    for entry in entries {
        describe::docs(&mut ctx.reply, entry);
    }
    Ok(())
}

/// COMMAND LIST [FILTERBY MODULE|ACLCAT|PATTERN value]
fn command_list(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let filter = match argv.len() {
        2 => Filter::All,
        5 if argv.at(2).eq_ignore_ascii_case(b"filterby") => Filter::parse(argv.at(3), argv.at(4))?,
        _ => return Err(CommandError::Syntax),
    };
    let names = || registry().entries().iter().filter(|entry| filter.admits(entry)).map(describe::shown_name);
    ctx.reply.array(names().count());
    for name in names() {
        ctx.reply.bulk(name.as_bytes());
    }
    Ok(())
}

/// COMMAND GETKEYS command [arg ...]
fn command_getkeys(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let words = argv.from(2);
    let keys = keys_of(words)?;
    ctx.reply.array(keys.len());
    for (index, _) in keys {
        ctx.reply.bulk(words.at(index));
    }
    Ok(())
}

/// COMMAND GETKEYSANDFLAGS command [arg ...]
fn command_getkeysandflags(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let words = argv.from(2);
    let keys = keys_of(words)?;
    ctx.reply.array(keys.len());
    for (index, flags) in keys {
        ctx.reply.array(2);
        ctx.reply.bulk(words.at(index));
        describe::key_flags(&mut ctx.reply, flags);
    }
    Ok(())
}

/// COMMAND HELP
fn command_help(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    const LINES: &[&str] = &[
        "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "(no subcommand)",
        "    Describe every command.",
        "COUNT",
        "    Answer the number of commands.",
        "LIST [FILTERBY MODULE <name>|ACLCAT <category>|PATTERN <glob>]",
        "    List the names of commands and subcommands.",
        "INFO [<command-name> ...]",
        "    Describe the named commands, or all of them: arity, flags, keys.",
        "DOCS [<command-name> ...]",
        "    Document the named commands, or all of them: summary, syntax.",
        "GETKEYS <full-command>",
        "    Find the keys in a command line.",
        "GETKEYSANDFLAGS <full-command>",
        "    Find the keys in a command line and how each is used.",
        "HELP",
        "    Print this text.",
    ];
    ctx.reply.array(LINES.len());
    for line in LINES {
        ctx.reply.simple(line);
    }
    Ok(())
}

fn all_infos(ctx: &mut Ctx<'_>) {
    ctx.reply.array(registry().top().len());
    for entry in registry().top() {
        describe::info(&mut ctx.reply, entry);
    }
}

/// What COMMAND LIST keeps.
enum Filter<'a> {
    All,
    Module(&'a [u8]),
    Category(Acl),
    Pattern(&'a [u8]),
    Nothing,
}

impl<'a> Filter<'a> {
    fn parse(kind: &[u8], value: &'a [u8]) -> Result<Self, CommandError> {
        if kind.eq_ignore_ascii_case(b"module") {
            Ok(Self::Module(value))
        } else if kind.eq_ignore_ascii_case(b"aclcat") {
            Ok(Acl::from_name(value).map_or(Self::Nothing, Self::Category))
        } else if kind.eq_ignore_ascii_case(b"pattern") {
            Ok(Self::Pattern(value))
        } else {
            Err(CommandError::Syntax)
        }
    }

    fn admits(&self, entry: &Entry) -> bool {
        match self {
            Self::All => true,
            Self::Nothing => false,
            Self::Module(name) => describe::module_of(entry.command).is_some_and(|module| *name == module.as_bytes()),
            Self::Category(category) => entry.command.acl_categories().has(*category),
            Self::Pattern(pattern) => glob::matches_ignore_case(pattern, entry.full_name.as_bytes()),
        }
    }
}

impl Acl {
    /// A category by its name without the `@`.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        (0..u32::BITS)
            .map(|bit| Self(1 << bit))
            .find(|category| category.names().next().is_some_and(|own| name.eq_ignore_ascii_case(&own.as_bytes()[1..])))
    }
}

/// Indices and flags of the keys in a command line, with COMMAND GETKEYS' errors.
fn keys_of(words: Argv<'_>) -> Result<Vec<(usize, KeyFlags)>, CommandError> {
    let entry = lookup(words)?;
    let specs = entry.command.keys;
    if specs.iter().all(|spec| spec.flags.has(KeyFlags::NOT_KEY)) {
        return Err(NO_KEYS);
    }
    if !entry.command.accepts(words.len()) {
        return Err(INVALID_COUNT);
    }
    let keys = keys_in(entry, words);
    if keys.is_empty() && !entry.command.flags.has(Flags::NO_MANDATORY_KEYS) {
        return Err(INVALID_ARGS);
    }
    Ok(keys)
}

/// Indices and flags of the keys of a request.
pub(crate) fn keys_in(entry: &Entry, words: Argv<'_>) -> Vec<(usize, KeyFlags)> {
    let mut keys = Vec::new();
    for (number, spec) in entry.command.keys.iter().enumerate() {
        let flags = flags_in_use(entry.command, spec.flags, words);
        // MIGRATE says by an empty key that its keys stand at the end.
        if number == 0 && entry.command.name == "migrate" && words.get(3).is_some_and(<[u8]>::is_empty) {
            continue;
        }
        match spec.begin {
            Begin::Unknown => keys.extend(key_behind_token(entry.command, number, words).map(|at| (at, flags))),
            _ => keys.extend(spec.positions(words).into_iter().flatten().map(|at| (at, flags))),
        }
    }
    keys
}

/// Whether the operations of a BITFIELD are all GET.
fn only_reads(words: Argv<'_>) -> bool {
    let mut at = 2;
    while let Some(word) = words.get(at) {
        at += match word.to_ascii_lowercase().as_slice() {
            b"get" if words.len() > at + 2 => 3,
            b"overflow" if words.len() > at + 1 => 2,
            _ => return false,
        };
    }
    true
}

/// The entry a command line names; a container without a known subcommand's name stands for itself only when alone.
fn lookup(words: Argv<'_>) -> Result<&'static Entry, CommandError> {
    let entry = registry().find(words.at(0)).ok_or(INVALID_COMMAND)?;
    match words.get(1) {
        Some(sub) if !entry.command.subcommands.is_empty() => registry().find_sub(entry, sub).ok_or(INVALID_COMMAND),
        _ => Ok(entry),
    }
}

/// A key that no specification finds but whose argument stands behind a word of its own (SORT .. STORE key).
fn key_behind_token(command: &Command, spec: usize, words: Argv<'_>) -> Option<usize> {
    let belongs = |arg: &&Arg| arg.key_spec.map(usize::from) == Some(spec) && arg.kind == ArgKind::Key;
    let token = command.args.iter().find(belongs)?.token?;
    // Behind the key that comes first, the last such word that is not the value of an option before it.
    let (mut at, mut found) = (2, None);
    while at + 1 < words.len() {
        let word = words.at(at);
        if word.eq_ignore_ascii_case(token.as_bytes()) {
            found = Some(at + 1);
        }
        let is_named = |arg: &&Arg| arg.token.is_some_and(|token| word.eq_ignore_ascii_case(token.as_bytes()));
        at += 1 + command.args.iter().find(is_named).map_or(0, |arg| match arg.kind {
            ArgKind::Key | ArgKind::PureToken => 0,
            _ => arg.args.len().max(1),
        });
    }
    found
}

/// The key flags of commands whose words decide them: GET makes SET read what it overwrites, and a BITFIELD of nothing
/// but GET only reads.
fn flags_in_use(command: &Command, flags: KeyFlags, words: Argv<'_>) -> KeyFlags {
    if !flags.has(KeyFlags::VARIABLE_FLAGS) {
        return flags;
    }
    match command.name {
        "set" => {}
        "bitfield" if only_reads(words) => return KeyFlags::RO.with(KeyFlags::ACCESS),
        _ => return flags,
    }
    if words.iter().skip(3).any(|word| word.eq_ignore_ascii_case(b"get")) {
        KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE)
    } else {
        KeyFlags::OW.with(KeyFlags::UPDATE)
    }
}
