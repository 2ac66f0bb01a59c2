//! JSON.SET, MSET, MERGE, DEL, CLEAR, TOGGLE and STRAPPEND.

use std::collections::BTreeMap;

use quiver_resp::Argv;

use super::{answer, document, fits, no_path_or, outermost, parse_path, parse_value, path_at, update};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::Key;
use crate::notify::Class;
use crate::types::json::path::{Path, Selector};
use crate::types::json::value::Json;
use crate::types::json::{Node, empty_object};

const ROOT_FIRST: CommandError = CommandError::text("ERR new objects must be created at the root");

/// Longest string, bytes.
const STRING_BYTES_MAX: usize = 512 * 1024 * 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    Absent,
    There,
}

pub(super) fn set(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let when = options(argv)?;
    let (path, value) = (parse_path(argv.at(2))?, parse_value(argv.at(3))?);
    let key = ctx.first_key(argv);
    let done = match ctx.ks.value_mut::<Json>(key)? {
        None if when == When::There => false,
        None if !path.is_root() => return Err(ROOT_FIRST),
        None => {
            create(ctx, key, value);
            true
        }
        Some(json) => put(&mut json.0, &path, &value, when)?,
    };
    finish(ctx, key, done, "json.set")
}

/// NX or XX, and FPHA, which says how narrow arrays of numbers may be kept: here every number is kept as it is.
fn options(argv: Argv<'_>) -> Result<When, CommandError> {
    let (mut when, mut words) = (None, argv.from(4).iter());
    let mut has_type = false;
    while let Some(word) = words.next() {
        match word.to_ascii_uppercase().as_slice() {
            b"NX" if when.is_none() => when = Some(When::Absent),
            b"XX" if when.is_none() => when = Some(When::There),
            b"FPHA" if !has_type => {
                let name = words.next().ok_or(CommandError::Syntax)?.to_ascii_uppercase();
                has_type = [&b"FP16"[..], b"BF16", b"FP32", b"FP64"].contains(&name.as_slice());
                if !has_type {
                    return Err(CommandError::Syntax);
                }
            }
            _ => return Err(CommandError::Syntax),
        }
    }
    Ok(when.unwrap_or(When::Always))
}

/// Notes the change and answers OK, or null when nothing was to be done.
fn finish(ctx: &mut Ctx<'_>, key: Key<'_>, done: bool, event: &'static str) -> CommandResult {
    if done {
        ctx.ks.changed(&key);
        ctx.ks.notify(Class::MODULE, event, key.name);
        ctx.reply.ok();
    } else {
        ctx.reply.null();
    }
    Ok(())
}

/// Stores a new document; the caller notes the change.
fn create(ctx: &mut Ctx<'_>, key: Key<'_>, value: Node) {
    let json = ctx.ks.value_or_new::<Json>(key).expect("nothing is stored there");
    json.0 = value;
}

/// Sets what a path leads to, or a field that is not there yet in the objects its last step leads from; whether anything
/// was set.
fn put(root: &mut Node, path: &Path, value: &Node, when: When) -> Result<bool, CommandError> {
    let places = outermost(path.places(root)?);
    if !places.is_empty() {
        if when == When::Absent {
            return Ok(false);
        }
        places.iter().try_for_each(|place| fits(place.len(), value))?;
        for place in &places {
            *root.at_mut(place).expect("the path led there") = value.clone();
        }
        return Ok(true);
    }
    let Some((parent, name)) = field_to_add(path) else { return Ok(false) };
    if when == When::There {
        return Ok(false);
    }
    let mut places = parent.places(root)?;
    places.retain(|place| matches!(root.at(place), Some(Node::Object(_))));
    places.iter().try_for_each(|place| fits(place.len() + 1, value))?;
    for place in &places {
        if let Some(Node::Object(fields)) = root.at_mut(place) {
            fields.insert(name.into(), value.clone());
        }
    }
    Ok(!places.is_empty())
}

/// The objects, and the name of the field in them, that a path ends with.
fn field_to_add(path: &Path) -> Option<(Path, &str)> {
    let (last, steps) = path.steps.split_last()?;
    match &last.selector {
        Selector::Names(names) if !last.deep && names.len() == 1 => {
            Some((Path { is_legacy: path.is_legacy, steps: steps.to_vec() }, &names[0]))
        }
        _ => None,
    }
}

pub(super) fn mset(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    if !(argv.len() - 1).is_multiple_of(3) {
        return Err(CommandError::Arity("json.mset".into()));
    }
    // All are set in copies first: a later one may fail, and may be about the same key.
    let mut documents: BTreeMap<&[u8], Option<Node>> = BTreeMap::new();
    for at in (1..argv.len()).step_by(3) {
        let (path, value) = (parse_path(argv.at(at + 1))?, parse_value(argv.at(at + 2))?);
        let name = argv.at(at);
        if !documents.contains_key(name) {
            let key = ctx.key(name);
            let known = ctx.ks.value::<Json>(key)?.map(|json| json.0.clone());
            documents.insert(name, known);
        }
        let document = documents.get_mut(name).expect("it was just put there");
        match document {
            Some(root) => drop(put(root, &path, &value, When::Always)?),
            None if path.is_root() => *document = Some(value),
            None => return Err(ROOT_FIRST),
        }
    }
    for (name, document) in documents {
        let (key, document) = (ctx.key(name), document.expect("every key was given a value"));
        match ctx.ks.value_mut::<Json>(key)? {
            Some(json) => json.0 = document,
            None => create(ctx, key, document),
        }
        ctx.ks.changed(&key);
        ctx.ks.notify(Class::MODULE, "json.mset", name);
    }
    ctx.reply.ok();
    Ok(())
}

pub(super) fn merge(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    if argv.len() != 4 {
        return Err(CommandError::Arity("json.merge".into()));
    }
    let (path, patch) = (parse_path(argv.at(2))?, parse_value(argv.at(3))?);
    let key = ctx.first_key(argv);
    let Some(root) = document(ctx, argv)? else {
        if !path.is_root() {
            return Err(ROOT_FIRST);
        }
        create(ctx, key, merged(Node::Null, &patch));
        return finish(ctx, key, true, "json.merge");
    };
    if patch == Node::Null && path.is_root() {
        ctx.ks.delete(key);
        ctx.ks.notify(Class::MODULE, "json.merge", key.name);
        ctx.reply.ok();
        return Ok(());
    }
    let places = outermost(path.places(root)?);
    places.iter().try_for_each(|place| fits(place.len(), &patch))?;
    let json = ctx.ks.value_mut::<Json>(key)?.expect("the document was just read");
    let done = if places.is_empty() {
        patch != Node::Null && put(&mut json.0, &path, &merged(Node::Null, &patch), When::Always)?
    } else {
        for place in places.iter().rev() {
            if patch == Node::Null {
                json.0.remove(place);
            } else {
                let node = json.0.at_mut(place).expect("the path led there");
                *node = merged(std::mem::replace(node, Node::Null), &patch);
            }
        }
        true
    };
    finish(ctx, key, done, "json.merge")
}

/// A value with another merged into it (RFC 7396): fields replace fields, null removes them.
fn merged(target: Node, patch: &Node) -> Node {
    let Node::Object(patch) = patch else { return patch.clone() };
    let mut target = if matches!(target, Node::Object(_)) { target } else { empty_object() };
    let Node::Object(fields) = &mut target else { return target };
    for (name, value) in patch.iter() {
        if *value == Node::Null {
            fields.shift_remove(name);
        } else {
            let field = fields.entry(name.clone()).or_insert(Node::Null);
            *field = merged(std::mem::replace(field, Node::Null), value);
        }
    }
    target
}

pub(super) fn del(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let path = path_at(argv, 2)?;
    let key = ctx.first_key(argv);
    let Some(root) = document(ctx, argv)? else {
        ctx.reply.integer(0);
        return Ok(());
    };
    let places = outermost(path.places(root)?);
    let removed = places.len() as i64;
    if places.iter().any(Vec::is_empty) {
        ctx.ks.delete(key);
    } else if removed > 0 {
        let json = ctx.ks.value_mut::<Json>(key)?.expect("the document was just read");
        for place in places.iter().rev() {
            json.0.remove(place);
        }
        ctx.ks.changed(&key);
    }
    if removed > 0 {
        ctx.ks.notify(Class::MODULE, "json.del", key.name);
    }
    ctx.reply.integer(removed);
    Ok(())
}

pub(super) fn clear(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let path = path_at(argv, 2)?;
    let cleared = update(ctx, argv, &path, "json.clear", |node, _| {
        let empty = match node {
            Node::Array(items) if !items.is_empty() => Node::Array(Vec::new()),
            Node::Object(fields) if !fields.is_empty() => empty_object(),
            Node::Int(value) if *value != 0 => Node::Int(0),
            Node::Float(value) if *value != 0.0 => Node::Int(0),
            _ => return Ok(None),
        };
        *node = empty;
        Ok(Some(((), true)))
    })?;
    ctx.reply.integer(cleared.iter().flatten().count() as i64);
    Ok(())
}

pub(super) fn toggle(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let path = path_at(argv, 2)?;
    let toggled = update(ctx, argv, &path, "json.toggle", |node, _| {
        let Node::Bool(value) = node else { return Ok(None) };
        *value = !*value;
        Ok(Some((*value, true)))
    })?;
    let is_legacy = path.is_legacy;
    answer(
        ctx,
        &path,
        &toggled,
        || no_path_or(argv, 2, "not a bool"),
        |reply, value| match (is_legacy, *value) {
            (true, true) => reply.bulk(b"true"),
            (true, false) => reply.bulk(b"false"),
            (false, value) => reply.integer(i64::from(value)),
        },
    )
}

pub(super) fn strappend(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (path, text) = match argv.len() {
        3 => (Path::root(true), argv.at(2)),
        4 => (parse_path(argv.at(2))?, argv.at(3)),
        _ => return Err(CommandError::Arity("json.strappend".into())),
    };
    let Node::Str(tail) = parse_value(text)? else {
        return Err(CommandError::text("WRONGTYPE wrong type of value - expected a string"));
    };
    let lengths = update(ctx, argv, &path, "json.strappend", |node, _| {
        let Node::Str(text) = node else { return Ok(None) };
        if text.len() + tail.len() > STRING_BYTES_MAX {
            return Err(CommandError::StringTooLong);
        }
        *text = [&**text, &*tail].concat().into();
        Ok(Some((text.len() as i64, !tail.is_empty())))
    })?;
    let at = if argv.len() == 3 { argv.len() } else { 2 };
    answer(ctx, &path, &lengths, || no_path_or(argv, at, "not a string"), |reply, length| reply.integer(*length))
}
