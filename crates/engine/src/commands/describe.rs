//! A table entry as COMMAND INFO and COMMAND DOCS show it.
//!
//! The shapes are those of redis.io/docs/latest/commands/command-info and command-docs, so that clients which build
//! their routing or their completion from them work unchanged. What Redis adds as prose (a command's history, notes on
//! key specifications) is left out.

use std::borrow::Cow;

use quiver_resp::Encoder;
use smallvec::SmallVec;

use crate::command::{Acl, Arg, ArgKind, Begin, Command, Find, Flags, KeyFlags, KeySpec};
use crate::registry::{Entry, registry};

/// The module name under which Redis 8 ships the vector commands; clients test for it.
const VECTOR_MODULE: &str = "vectorset";

/// What Redis 8.2 ships as modules and is built in here, with the versions it has there: clients look at both to know what
/// they can ask for.
pub(crate) const MODULES: &[(&str, i64)] = &[("ReJSON", 80_200), ("search", 80_200), (VECTOR_MODULE, 1)];

/// The module that Redis has a command from.
pub(crate) fn module_of(command: &Command) -> Option<&'static str> {
    command.flags.has(Flags::MODULE).then(|| match () {
        () if command.acl.has(Acl::SEARCH) => "search",
        () if command.acl.has(Acl::JSON) => "ReJSON",
        () => VECTOR_MODULE,
    })
}

/// The name clients know a command by: "get", "config|get", and upper case for what Redis has from a module.
pub(crate) fn shown_name(entry: &Entry) -> Cow<'static, str> {
    if entry.command.flags.has(Flags::MODULE) {
        Cow::Owned(entry.full_name.to_ascii_uppercase())
    } else {
        Cow::Borrowed(entry.full_name)
    }
}

impl Command {
    /// First key, last key (negative: from the end) and step, as far as one range can say it: how clients older than
    /// key specifications find keys. Specifications that do not continue the range are left out.
    pub fn legacy_range(&self) -> (i32, i32, i32) {
        if let [KeySpec { begin: Begin::Index(first), find: Find::Range { last, step, .. }, .. }] = self.keys {
            return (*first, if *last >= 0 { first + last } else { *last }, *step);
        }
        let mut range: Option<(i32, i32)> = None;
        for spec in self.keys {
            let (Begin::Index(index), Find::Range { last, step: 1, .. }) = (spec.begin, spec.find) else { continue };
            let last = if last >= 0 { index + last } else { last };
            range = match range {
                None => Some((index, last)),
                Some((first, previous)) if previous == index - 1 => Some((first, last)),
                unchanged => unchanged,
            };
        }
        range.map_or((0, 0, 0), |(first, last)| (first, last, 1))
    }
}

/// One element of COMMAND INFO: ten fields, subcommands nested in the last.
pub(crate) fn info(reply: &mut Encoder<'_>, entry: &Entry) {
    let command = entry.command;
    let (first, last, step) = command.legacy_range();
    reply.array(10);
    reply.bulk(shown_name(entry).as_bytes());
    reply.integer(i64::from(command.arity));
    statuses(reply, command.flags.names());
    for position in [first, last, step] {
        reply.integer(i64::from(position));
    }
    statuses(reply, command.acl_categories().names());
    reply.set(command.tips.len());
    for tip in command.tips {
        reply.bulk(tip.as_bytes());
    }
    reply.set(command.keys.len());
    for spec in command.keys {
        key_spec(reply, spec);
    }
    let subcommands = registry().subcommands(entry);
    if subcommands.is_empty() {
        reply.set(0);
        return;
    }
    reply.array(subcommands.len());
    for sub in subcommands {
        info(reply, sub);
    }
}

/// One pair of COMMAND DOCS: the full name and a map.
pub(crate) fn docs(reply: &mut Encoder<'_>, entry: &Entry) {
    let command = entry.command;
    reply.bulk(shown_name(entry).as_bytes());
    let module = module_of(command);
    let pairs = 4
        + usize::from(module.is_some())
        + 3 * usize::from(command.deprecated.is_some())
        + usize::from(!command.args.is_empty())
        + usize::from(!command.subcommands.is_empty());
    reply.map(pairs);
    text(reply, "summary", command.summary);
    text(reply, "since", command.since);
    text(reply, "group", command.group.name());
    text(reply, "complexity", command.complexity);
    if let Some(module) = module {
        text(reply, "module", module);
    }
    if let Some((since, replacement)) = command.deprecated {
        reply.bulk(b"doc_flags");
        statuses(reply, std::iter::once("deprecated"));
        text(reply, "deprecated_since", since);
        text(reply, "replaced_by", replacement);
    }
    if !command.args.is_empty() {
        reply.bulk(b"arguments");
        arguments(reply, command.args);
    }
    let subcommands = registry().subcommands(entry);
    if !subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(subcommands.len());
        for sub in subcommands {
            docs(reply, sub);
        }
    }
}

/// The flags of one key as COMMAND GETKEYSANDFLAGS shows them.
pub(crate) fn key_flags(reply: &mut Encoder<'_>, flags: KeyFlags) {
    statuses(reply, flags.names());
}

fn key_spec(reply: &mut Encoder<'_>, spec: &KeySpec) {
    reply.map(3);
    reply.bulk(b"flags");
    statuses(reply, spec.flags.names());
    reply.bulk(b"begin_search");
    match spec.begin {
        Begin::Index(index) => search(reply, "index", &[("index", index)]),
        Begin::Unknown => search(reply, "unknown", &[]),
        Begin::Keyword { keyword, start_from } => {
            reply.map(2);
            text(reply, "type", "keyword");
            reply.bulk(b"spec");
            reply.map(2);
            text(reply, "keyword", keyword);
            number(reply, "startfrom", start_from);
        }
    }
    reply.bulk(b"find_keys");
    match spec.find {
        Find::Range { last, step, limit } => {
            search(reply, "range", &[("lastkey", last), ("keystep", step), ("limit", limit)]);
        }
        Find::KeyNum { count, first, step } => {
            search(reply, "keynum", &[("keynumidx", count), ("firstkey", first), ("keystep", step)]);
        }
        Find::Unknown => search(reply, "unknown", &[]),
    }
}

/// A step of a key search whose parameters are all integers.
fn search(reply: &mut Encoder<'_>, kind: &str, parameters: &[(&str, i32)]) {
    reply.map(2);
    text(reply, "type", kind);
    reply.bulk(b"spec");
    reply.map(parameters.len());
    for (name, value) in parameters {
        number(reply, name, *value);
    }
}

fn arguments(reply: &mut Encoder<'_>, args: &[Arg]) {
    reply.array(args.len());
    for arg in args {
        argument(reply, arg);
    }
}

fn argument(reply: &mut Encoder<'_>, arg: &Arg) {
    let flags = [(arg.optional, "optional"), (arg.multiple, "multiple"), (arg.multiple_token, "multiple_token")];
    let flag_count = flags.iter().filter(|(set, _)| *set).count();
    let has_display = !matches!(arg.kind, ArgKind::OneOf | ArgKind::Block);
    let pairs = 2
        + usize::from(has_display)
        + usize::from(arg.key_spec.is_some())
        + usize::from(arg.token.is_some())
        + usize::from(arg.since.is_some())
        + usize::from(flag_count > 0)
        + usize::from(!arg.args.is_empty());
    reply.map(pairs);
    text(reply, "name", arg.name);
    text(reply, "type", arg.kind.name());
    if has_display {
        text(reply, "display_text", arg.display.unwrap_or(arg.name));
    }
    if let Some(index) = arg.key_spec {
        number(reply, "key_spec_index", i32::from(index));
    }
    if let Some(token) = arg.token {
        text(reply, "token", token);
    }
    if let Some(since) = arg.since {
        text(reply, "since", since);
    }
    if flag_count > 0 {
        reply.bulk(b"flags");
        reply.set(flag_count);
        for (_, name) in flags.iter().filter(|(set, _)| *set) {
            reply.simple(name);
        }
    }
    if !arg.args.is_empty() {
        reply.bulk(b"arguments");
        arguments(reply, arg.args);
    }
}

/// A set of status replies.
fn statuses<'a>(reply: &mut Encoder<'_>, names: impl Iterator<Item = &'a str>) {
    let names: SmallVec<[&str; 12]> = names.collect();
    reply.set(names.len());
    for name in names {
        reply.simple(name);
    }
}

fn text(reply: &mut Encoder<'_>, name: &str, value: &str) {
    reply.bulk(name.as_bytes());
    reply.bulk(value.as_bytes());
}

fn number(reply: &mut Encoder<'_>, name: &str, value: i32) {
    reply.bulk(name.as_bytes());
    reply.integer(i64::from(value));
}
