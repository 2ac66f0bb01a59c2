//! JSON documents: <https://redis.io/docs/latest/develop/data-types/json/>.
//!
//! The table entries are in `table`; `read` looks at documents, `write` changes them, `numbers` and `arrays` change those.
//! What all share is here: a path argument, the values it leads to, and the two forms of answers. A JSONPath (`$...`) is
//! answered with one item per match, null where the command does not apply to it; a path of the older form is answered
//! with the item of its one match, or an error.
//!
//! A command that changes several values of a document changes all or none.

mod arrays;
mod numbers;
mod read;
mod table;
mod write;

use quiver_resp::{Argv, Encoder};

pub use table::COMMANDS;

use crate::context::Ctx;
use crate::error::CommandError;
use crate::notify::Class;
use crate::types::json::path::Path;
use crate::types::json::select::TooFar;
use crate::types::json::value::Json;
use crate::types::json::{DEPTH_MAX, Node, Place, text};

const NO_DOCUMENT: CommandError =
    CommandError::text("ERR could not perform this operation on a key that doesn't exist");
const TOO_DEEP: CommandError = CommandError::text("ERR the document would be nested too deeply");

impl From<TooFar> for CommandError {
    fn from(error: TooFar) -> Self {
        Self::owned(error.to_string())
    }
}

/// A path argument; the root in the older form where it is left out.
fn path_at(argv: Argv<'_>, at: usize) -> Result<Path, CommandError> {
    argv.get(at).map_or_else(|| Ok(Path::root(true)), parse_path)
}

fn parse_path(text: &[u8]) -> Result<Path, CommandError> {
    let text = std::str::from_utf8(text).map_err(|_| CommandError::text("ERR a path is UTF-8 text"))?;
    Path::parse(text).map_err(|error| CommandError::owned(format!("ERR Path syntax: {error}")))
}

fn parse_value(text: &[u8]) -> Result<Node, CommandError> {
    text::parse(text).map_err(|reason| CommandError::owned(format!("ERR {reason}")))
}

/// The path as the client wrote it, for an error.
fn shown(argv: Argv<'_>, at: usize) -> String {
    argv.get(at).map_or_else(|| ".".to_owned(), |path| String::from_utf8_lossy(path).into_owned())
}

fn no_path(argv: Argv<'_>, at: usize) -> CommandError {
    CommandError::owned(format!("ERR Path '{}' does not exist", shown(argv, at)))
}

fn no_path_or(argv: Argv<'_>, at: usize, what: &str) -> CommandError {
    CommandError::owned(format!("ERR Path '{}' does not exist or {what}", shown(argv, at)))
}

/// The document under the first key.
fn document<'k>(ctx: &'k mut Ctx<'_>, argv: Argv<'_>) -> Result<Option<&'k Node>, CommandError> {
    let key = ctx.first_key(argv);
    Ok(ctx.ks.value::<Json>(key)?.map(|json| &json.0))
}

/// What a read command finds at each match of a path; `None` where it does not apply.
enum Found<T> {
    /// There is no such key.
    NoDocument,
    /// One item for each match.
    Items(Vec<Option<T>>),
}

/// Looks at each match of the path at `at`.
fn look<T>(
    ctx: &mut Ctx<'_>,
    argv: Argv<'_>,
    path: &Path,
    item: impl Fn(&Node) -> Option<T>,
) -> Result<Found<T>, CommandError> {
    let Some(root) = document(ctx, argv)? else { return Ok(Found::NoDocument) };
    Ok(Found::Items(path.select(root)?.into_iter().map(item).collect()))
}

/// Changes each match of a path and notes the change. `change` answers the command's item and whether it changed
/// anything, or `None` where the command does not apply; it gets the depth of the value. What it does to one value must
/// be all or nothing; where there are several they are changed in a copy first.
fn update<T>(
    ctx: &mut Ctx<'_>,
    argv: Argv<'_>,
    path: &Path,
    event: &'static str,
    mut change: impl FnMut(&mut Node, usize) -> Result<Option<(T, bool)>, CommandError>,
) -> Result<Vec<Option<T>>, CommandError> {
    let key = ctx.first_key(argv);
    let root = document(ctx, argv)?.ok_or(NO_DOCUMENT)?;
    let places = path.all_places(root)?;
    let mut copy = (places.len() > 1).then(|| root.clone());
    let mut changed = false;
    let mut items = Vec::with_capacity(places.len());
    {
        let target = match &mut copy {
            Some(copy) => copy,
            None => &mut ctx.ks.value_mut::<Json>(key)?.expect("the document was just read").0,
        };
        // Backwards, so that what is inside of a value changes before the value, and no place moves.
        for place in places.iter().rev() {
            let node = target.at_mut(place).expect("what stands before a place does not change");
            let outcome = change(node, place.len())?;
            changed |= matches!(outcome, Some((_, true)));
            items.push(outcome.map(|(item, _)| item));
        }
    }
    items.reverse();
    if changed {
        if let Some(copy) = copy {
            ctx.ks.value_mut::<Json>(key)?.expect("the document was just read").0 = copy;
        }
        ctx.ks.changed(&key);
        ctx.ks.notify(Class::MODULE, event, key.name);
    }
    Ok(items)
}

/// Answers with one item per match, or for a path of the older form with the last there is; `missing` is the error where
/// there is none.
fn answer<T>(
    ctx: &mut Ctx<'_>,
    path: &Path,
    items: &[Option<T>],
    missing: impl FnOnce() -> CommandError,
    write: impl Fn(&mut Encoder<'_>, &T),
) -> Result<(), CommandError> {
    if path.is_legacy {
        let Some(item) = items.iter().rev().flatten().next() else { return Err(missing()) };
        write(&mut ctx.reply, item);
        return Ok(());
    }
    ctx.reply.array(items.len());
    for item in items {
        match item {
            Some(item) => write(&mut ctx.reply, item),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

/// Refuses a value that would stand too deep.
fn fits(depth: usize, value: &Node) -> Result<(), CommandError> {
    if depth + value.depth() <= DEPTH_MAX { Ok(()) } else { Err(TOO_DEEP) }
}

/// Places without those inside of others, first to last.
fn outermost(places: Vec<Place>) -> Vec<Place> {
    let mut kept: Vec<Place> = Vec::with_capacity(places.len());
    let mut sorted = places;
    sorted.sort_unstable();
    for place in sorted {
        if kept.last().is_none_or(|outer| !place.starts_with(outer)) {
            kept.push(place);
        }
    }
    kept
}
