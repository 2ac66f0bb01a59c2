//! JSON.GET, MGET, TYPE, STRLEN, OBJKEYS, OBJLEN, RESP and DEBUG.

use quiver_resp::{Argv, Encoder, Protocol};

use super::super::args::is;
use super::{Found, NO_DOCUMENT, answer, document, look, no_path, no_path_or, parse_path, path_at};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::types::json::path::Path;
use crate::types::json::text::Layout;
use crate::types::json::value::Json;
use crate::types::json::{Fields, Node};

pub(super) fn get(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let mut layout = Layout::default();
    let mut at = 2;
    while let Some(word) = argv.get(at) {
        let target = match () {
            () if is(word, "indent") => &mut layout.indent,
            () if is(word, "newline") => &mut layout.newline,
            () if is(word, "space") => &mut layout.space,
            () if is(word, "noescape") => {
                at += 1;
                continue;
            }
            () => break,
        };
        *target = argv.get(at + 1).ok_or(CommandError::Syntax)?;
        at += 2;
    }
    let paths: Vec<(usize, Path)> = match argv.len() - at {
        0 => vec![(at, Path::root(true))],
        count => (at..at + count).map(|at| Ok((at, parse_path(argv.at(at))?))).collect::<Result<_, CommandError>>()?,
    };
    let Some(root) = document(ctx, argv)? else {
        ctx.reply.null();
        return Ok(());
    };
    let mut out = Vec::new();
    if let [(at, path)] = &paths[..] {
        print(root, path, layout, &mut out)?.ok_or_else(|| no_path(argv, *at))?;
    } else {
        // One JSONPath makes all of them answer with lists.
        let is_legacy = paths.iter().all(|(_, path)| path.is_legacy);
        let mut fields = Fields::default();
        for (at, path) in &paths {
            let found = path.select(root)?;
            let value = match is_legacy {
                true => (*found.first().ok_or_else(|| no_path(argv, *at))?).clone(),
                false => Node::Array(found.into_iter().cloned().collect()),
            };
            fields.insert(String::from_utf8_lossy(argv.at(*at)).into(), value);
        }
        Node::Object(Box::new(fields)).print(layout, &mut out);
    }
    ctx.reply.bulk(&out);
    Ok(())
}

/// Prints what a path leads to: a list, or the one value of the older form; `None` where that is not there.
fn print(root: &Node, path: &Path, layout: Layout<'_>, out: &mut Vec<u8>) -> Result<Option<()>, CommandError> {
    if path.is_legacy {
        return Ok(path.select(root)?.first().map(|node| node.print(layout, out)));
    }
    let list = Node::Array(path.select(root)?.into_iter().cloned().collect());
    list.print(layout, out);
    Ok(Some(()))
}

pub(super) fn mget(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let last = argv.len() - 1;
    let path = parse_path(argv.at(last))?;
    ctx.reply.array(last - 1);
    for at in 1..last {
        let key = ctx.key(argv.at(at));
        let mut out = Vec::new();
        // A key of another type is as good as none.
        let printed = match ctx.ks.value::<Json>(key) {
            Ok(Some(json)) => print(&json.0, &path, Layout::default(), &mut out)?,
            Ok(None) | Err(_) => None,
        };
        match printed {
            Some(()) => ctx.reply.bulk(&out),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

pub(super) fn type_of(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let path = path_at(argv, 2)?;
    let items = match look(ctx, argv, &path, |node| Some(node.type_name()))? {
        Found::Items(items) if !path.is_legacy || !items.is_empty() => items,
        _ => {
            ctx.reply.null();
            return Ok(());
        }
    };
    // RESP3 puts the answer into one more list.
    if ctx.session.protocol == Protocol::Resp3 {
        ctx.reply.array(1);
    }
    answer(ctx, &path, &items, || no_path(argv, 2), |reply, name| reply.bulk(name.as_bytes()))
}

pub(super) fn strlen(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    lengths(ctx, argv, "not a string", |node| match node {
        Node::Str(text) => Some(text.len() as i64),
        _ => None,
    })
}

pub(super) fn objlen(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    lengths(ctx, argv, "not an object", |node| match node {
        Node::Object(fields) => Some(fields.len() as i64),
        _ => None,
    })
}

/// Answers with a number per match; a key that is not there is null in the older form, an error otherwise.
pub(super) fn lengths(
    ctx: &mut Ctx<'_>,
    argv: Argv<'_>,
    else_what: &str,
    length: impl Fn(&Node) -> Option<i64>,
) -> CommandResult {
    let path = path_at(argv, 2)?;
    match look(ctx, argv, &path, length)? {
        Found::NoDocument if path.is_legacy => {
            ctx.reply.null();
            Ok(())
        }
        Found::NoDocument => Err(NO_DOCUMENT),
        Found::Items(items) => {
            answer(ctx, &path, &items, || no_path_or(argv, 2, else_what), |reply, length| reply.integer(*length))
        }
    }
}

pub(super) fn objkeys(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let path = path_at(argv, 2)?;
    let names = |node: &Node| match node {
        Node::Object(fields) => Some(fields.keys().cloned().collect::<Vec<_>>()),
        _ => None,
    };
    match look(ctx, argv, &path, names)? {
        Found::NoDocument => ctx.reply.null(),
        Found::Items(items) if path.is_legacy && items.is_empty() => ctx.reply.null(),
        Found::Items(items) => {
            answer(
                ctx,
                &path,
                &items,
                || no_path_or(argv, 2, "not an object"),
                |reply, names| {
                    reply.array(names.len());
                    names.iter().for_each(|name| reply.bulk(name.as_bytes()));
                },
            )?;
        }
    }
    Ok(())
}

pub(super) fn resp(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let path = path_at(argv, 2)?;
    match look(ctx, argv, &path, |node| Some(node.clone()))? {
        Found::NoDocument => {
            ctx.reply.null();
            Ok(())
        }
        Found::Items(items) => answer(ctx, &path, &items, || no_path(argv, 2), write_resp),
    }
}

/// A value in the forms of the protocol: containers as arrays that begin with their bracket.
fn write_resp(reply: &mut Encoder<'_>, node: &Node) {
    match node {
        Node::Null => reply.null(),
        Node::Bool(value) => reply.simple(if *value { "true" } else { "false" }),
        Node::Int(value) => reply.integer(*value),
        Node::Float(_) => reply.bulk(&node.to_text()),
        Node::Str(text) => reply.bulk(text.as_bytes()),
        Node::Array(items) => {
            reply.array(1 + items.len());
            reply.simple("[");
            items.iter().for_each(|item| write_resp(reply, item));
        }
        Node::Object(fields) => {
            reply.array(1 + 2 * fields.len());
            reply.simple("{");
            for (name, value) in fields.iter() {
                reply.bulk(name.as_bytes());
                write_resp(reply, value);
            }
        }
    }
}

pub(super) fn debug(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    const HELP: &[&str] =
        &["MEMORY <key> [path] - reports the memory that values take, in bytes", "HELP                - this message"];
    if is(argv.at(1), "help") {
        ctx.reply.array(HELP.len());
        HELP.iter().for_each(|line| ctx.reply.bulk(line.as_bytes()));
        return Ok(());
    }
    if !is(argv.at(1), "memory") {
        return Err(CommandError::text("ERR unknown subcommand - try `JSON.DEBUG HELP`"));
    }
    let name = argv.get(2).ok_or_else(|| CommandError::Arity("json.debug".into()))?;
    let path = path_at(argv, 3)?;
    let key = ctx.key(name);
    let sizes: Vec<Option<i64>> = match ctx.ks.value::<Json>(key)? {
        None => Vec::new(),
        Some(json) => {
            let size = |node: &Node| (size_of::<Node>() + node.heap_bytes()) as i64;
            path.select(&json.0)?.into_iter().map(|node| Some(size(node))).collect()
        }
    };
    if path.is_legacy && sizes.is_empty() {
        ctx.reply.integer(0);
        return Ok(());
    }
    answer(ctx, &path, &sizes, || no_path(argv, 3), |reply, size| reply.integer(*size))
}
