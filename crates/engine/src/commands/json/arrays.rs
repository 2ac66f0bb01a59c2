//! JSON.ARRAPPEND, ARRINDEX, ARRINSERT, ARRLEN, ARRPOP and ARRTRIM.

use quiver_resp::Argv;

use super::super::args::integer;
use super::read::lengths;
use super::{Found, NO_DOCUMENT, answer, fits, look, no_path_or, parse_path, parse_value, path_at, update};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::types::json::Node;
use crate::types::json::select::bound;

const NO_ARRAY: &str = "not an array";

pub(super) fn arrlen(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    lengths(ctx, argv, NO_ARRAY, |node| match node {
        Node::Array(items) => Some(items.len() as i64),
        _ => None,
    })
}

pub(super) fn arrappend(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    if argv.len() < 4 {
        return Err(CommandError::Arity("json.arrappend".into()));
    }
    insert(ctx, argv, 3, "json.arrappend", |_| Ok(None))
}

pub(super) fn arrinsert(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let index = integer(argv.at(3))?;
    insert(ctx, argv, 4, "json.arrinsert", |len| {
        let at = if index < 0 { index.checked_add_unsigned(len as u64) } else { Some(index) };
        let at = at.and_then(|at| usize::try_from(at).ok()).filter(|at| *at <= len);
        at.map(Some).ok_or(CommandError::text("ERR index out of bounds"))
    })
}

/// Inserts the values from `first` on where `place` says for an array of some length; at its end for `None`.
fn insert(
    ctx: &mut Ctx<'_>,
    argv: Argv<'_>,
    first: usize,
    event: &'static str,
    place: impl Fn(usize) -> Result<Option<usize>, CommandError>,
) -> CommandResult {
    let path = parse_path(argv.at(2))?;
    let values = argv.from(first).iter().map(parse_value).collect::<Result<Vec<_>, _>>()?;
    let lengths = update(ctx, argv, &path, event, |node, depth| {
        let Node::Array(items) = node else { return Ok(None) };
        let at = place(items.len())?.unwrap_or(items.len());
        values.iter().try_for_each(|value| fits(depth + 1, value))?;
        items.splice(at..at, values.iter().cloned());
        Ok(Some((items.len() as i64, true)))
    })?;
    answer(ctx, &path, &lengths, || no_path_or(argv, 2, NO_ARRAY), |reply, length| reply.integer(*length))
}

pub(super) fn arrindex(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    if argv.len() > 6 {
        return Err(CommandError::Arity("json.arrindex".into()));
    }
    let (path, value) = (parse_path(argv.at(2))?, parse_value(argv.at(3))?);
    let start = argv.get(4).map_or(Ok(0), integer)?;
    // A stop of 0 is the end, as it is when left out.
    let stop = Some(argv.get(5).map_or(Ok(0), integer)?).filter(|stop| *stop != 0).unwrap_or(i64::MAX);
    let index = |node: &Node| {
        let Node::Array(items) = node else { return None };
        let (start, stop) = (bound(start, items.len()), bound(stop, items.len()));
        let found = (start..stop).find(|at| items[*at] == value);
        Some(found.map_or(-1, |at| at as i64))
    };
    match look(ctx, argv, &path, index)? {
        Found::NoDocument => Err(NO_DOCUMENT),
        Found::Items(items) => {
            answer(ctx, &path, &items, || no_path_or(argv, 2, NO_ARRAY), |reply, index| reply.integer(*index))
        }
    }
}

pub(super) fn arrpop(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    if argv.len() > 4 {
        return Err(CommandError::Arity("json.arrpop".into()));
    }
    let path = path_at(argv, 2)?;
    let index = argv.get(3).map_or(Ok(-1), integer)?;
    let popped = update(ctx, argv, &path, "json.arrpop", |node, _| {
        let Node::Array(items) = node else { return Ok(None) };
        if items.is_empty() {
            return Ok(Some((None, false)));
        }
        // What is out of range is the first or the last.
        let at = bound(index, items.len()).min(items.len() - 1);
        Ok(Some((Some(items.remove(at).to_text()), true)))
    })?;
    answer(
        ctx,
        &path,
        &popped,
        || no_path_or(argv, 2, NO_ARRAY),
        |reply, text| match text {
            Some(text) => reply.bulk(text),
            None => reply.null(),
        },
    )
}

pub(super) fn arrtrim(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let path = parse_path(argv.at(2))?;
    let (start, stop) = (integer(argv.at(3))?, integer(argv.at(4))?);
    let lengths = update(ctx, argv, &path, "json.arrtrim", |node, _| {
        let Node::Array(items) = node else { return Ok(None) };
        let len = items.len();
        // The stop is included.
        let end = if stop == -1 { len } else { bound(stop.saturating_add(1), len) };
        let start = bound(start, len).min(end);
        items.truncate(end);
        items.drain(..start);
        Ok(Some((items.len() as i64, items.len() != len)))
    })?;
    answer(ctx, &path, &lengths, || no_path_or(argv, 2, NO_ARRAY), |reply, length| reply.integer(*length))
}
