//! FEAT.PUT and FEAT.MPUT: values with the time they were true at, stored unless newer ones are there.
//!
//! Feature by feature: a value is stored when its time is not before that of the value (or null) there; what has no
//! value, or one without a time, takes any. The whole command is checked before any of it is done.
//!
//! The stream gets plain commands, HSET with the times, HDEL for nulls and HPEXPIREAT: replicas and logs need to know
//! nothing of views.

use std::rc::Rc;

use quiver_resp::Argv;
use smallvec::SmallVec;

use super::open::{Opened, open};
use super::times::{Stamp, stamps, text};
use super::view::View;
use crate::command::{CommandResult, KeyFlags};
use crate::commands::args::{integer, is};
use crate::commands::hash::limits;
use crate::context::Ctx;
use crate::error::{CommandError, quote_word};
use crate::keyspace::Key;
use crate::notify::Class;
use crate::number::IntText;
use crate::types::hash::{AsOf, Hash};

pub(super) const WRITES: KeyFlags = KeyFlags::RW.with(KeyFlags::UPDATE);

/// Most values of one command.
const CELLS_MAX: usize = 1 << 18;

/// One entity's values.
struct Row<'a> {
    entity: &'a [u8],
    at_ms: i64,
    values: SmallVec<[&'a [u8]; 16]>,
}

/// `FEAT.PUT view entity AT time [NULL marker] feature value [feature value ...]`
pub(super) fn put(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    if !is(argv.at(3), "AT") {
        return Err(CommandError::text("ERR AT and the time of the values must follow the entity"));
    }
    let (null, first) = marker(argv, 5)?;
    let pairs = argv.from(first);
    if pairs.is_empty() || pairs.len() % 2 == 1 {
        return Err(CommandError::Arity("feat.put".into()));
    }
    let names: Vec<&[u8]> = pairs.iter().step_by(2).collect();
    let values = pairs.iter().skip(1).step_by(2).collect();
    let row = Row { entity: argv.at(2), at_ms: time(argv.at(4), ctx.ks.now_ms)?, values };
    let Some(done) = store(ctx, argv, &names, &[row], null)? else { return Ok(()) };
    ctx.reply.array(names.len());
    done.iter().flatten().for_each(|stored| ctx.reply.integer(i64::from(*stored)));
    Ok(())
}

/// `FEAT.MPUT view [NULL marker] FEATURES n feature ... ROWS n entity time value ... [entity time value ...]`
pub(super) fn mput(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (null, at) = marker(argv, 2)?;
    let (names, at) = counted(argv, at, "FEATURES", 1)?;
    let (cells, at) = counted(argv, at, "ROWS", 2 + names.len())?;
    if at != argv.len() {
        return Err(CommandError::Syntax);
    }
    if cells.len() > CELLS_MAX {
        return Err(CommandError::text("ERR too many values"));
    }
    let (names, now_ms): (Vec<&[u8]>, _) = (names.iter().collect(), ctx.ks.now_ms);
    let rows = (0..cells.len()).step_by(2 + names.len()).map(|at| {
        let values = (0..names.len()).map(|i| cells.at(at + 2 + i)).collect();
        Ok(Row { entity: cells.at(at), at_ms: time(cells.at(at + 1), now_ms)?, values })
    });
    let rows = rows.collect::<Result<Vec<_>, CommandError>>()?;
    let Some(done) = store(ctx, argv, &names, &rows, null)? else { return Ok(()) };
    ctx.reply.array(done.len());
    for stored in done {
        ctx.reply.integer(stored.into_iter().filter(|stored| *stored).count() as i64);
    }
    Ok(())
}

/// The words behind `option count`, each of `width` words, and the index behind them.
pub(super) fn counted<'a>(
    argv: Argv<'a>,
    at: usize,
    option: &str,
    width: usize,
) -> Result<(Argv<'a>, usize), CommandError> {
    let bad = || CommandError::owned(format!("ERR {option} must be followed by a number and so many of them"));
    if !argv.get(at).is_some_and(|word| is(word, option)) {
        return Err(CommandError::owned(format!("ERR {option} is missing or not at the right position")));
    }
    let count = argv.get(at + 1).and_then(crate::number::parse_i64).and_then(|count| usize::try_from(count).ok());
    let words = count.filter(|count| *count > 0).and_then(|count| count.checked_mul(width)).ok_or_else(bad)?;
    // The count is a claim: only as many words as there are can follow.
    if words > argv.len() - (at + 2) {
        return Err(bad());
    }
    Ok((argv.from(at + 2).take(words), at + 2 + words))
}

/// The value that stands for null, if one is named at `argv[at]`, and the index behind it.
fn marker(argv: Argv<'_>, at: usize) -> Result<(Option<&[u8]>, usize), CommandError> {
    match argv.get(at) {
        Some(word) if is(word, "NULL") => Ok((Some(argv.get(at + 1).ok_or(CommandError::Syntax)?), at + 2)),
        _ => Ok((None, at)),
    }
}

/// A time in milliseconds; `*` is now.
pub(super) fn time(word: &[u8], now_ms: i64) -> Result<i64, CommandError> {
    if word == b"*" { Ok(now_ms) } else { integer(word) }
}

/// Stores rows; for each, which of its values were stored. `None` when the command was given back.
fn store(
    ctx: &mut Ctx<'_>,
    argv: Argv<'_>,
    names: &[&[u8]],
    rows: &[Row<'_>],
    null: Option<&[u8]>,
) -> Result<Option<Vec<Vec<bool>>>, CommandError> {
    let entities = rows.iter().map(|row| row.entity);
    let Some(opened) = open(ctx, argv, &[argv.at(1)], entities, WRITES)? else { return Ok(None) };
    let view = Rc::clone(&opened.views[0]);
    let places = names.iter().map(|name| view.place(name)).collect::<Result<Vec<_>, _>>()?;
    let mut sorted = places.clone();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(CommandError::text("ERR a feature is named twice"));
    }
    let cells = check(&view, &places, rows, null)?;
    for entity in 0..rows.len() {
        ctx.ks.value_mut::<Hash>(opened.key(0, entity))?;
    }
    let mut done = Vec::with_capacity(rows.len());
    for (entity, cells) in cells.iter().enumerate() {
        done.push(write_row(ctx, &opened, entity, cells, rows[entity].at_ms)?);
    }
    Ok(Some(done))
}

/// A value to store, or null.
pub(super) struct Cell<'a> {
    pub(super) place: usize,
    pub(super) value: Option<&'a [u8]>,
}

/// The values of all rows as they are stored.
fn check<'a>(
    view: &View,
    places: &[usize],
    rows: &[Row<'a>],
    null: Option<&[u8]>,
) -> Result<Vec<Vec<Cell<'a>>>, CommandError> {
    let cell = |(place, value): (&usize, &&'a [u8])| {
        if null == Some(*value) {
            return Ok(Cell { place: *place, value: None });
        }
        let kind = view.features[*place].kind;
        let stored = kind.stored(value).ok_or_else(|| {
            let name = quote_word(view.fields.name(*place));
            CommandError::owned(format!("ERR the value of feature '{name}' is no {}", kind.name()))
        })?;
        Ok(Cell { place: *place, value: Some(stored) })
    };
    rows.iter().map(|row| places.iter().zip(&row.values).map(cell).collect()).collect()
}

/// Stores what is not older than what is there; says of each cell whether it was stored.
fn write_row(
    ctx: &mut Ctx<'_>,
    opened: &Opened,
    entity: usize,
    cells: &[Cell<'_>],
    at_ms: i64,
) -> Result<Vec<bool>, CommandError> {
    let (view, key) = (&*opened.views[0], opened.key(0, entity));
    ctx.ks.expire_fields(key, view.fields.names());
    let as_of = ctx.ks.as_of();
    let (mut stamps, times_expire) = match ctx.ks.value_mut::<Hash>(key)? {
        Some(hash) => {
            let found = hash.get_all(&view.fields, as_of);
            (stamps(&view.fields, &found), hash.expiry(view.times_field(), as_of))
        }
        None => (vec![None; view.features.len()], None),
    };
    let is_new = |cell: &Cell<'_>| stamps[cell.place].is_none_or(|stamp: Stamp| at_ms >= stamp.at_ms);
    let stored: Vec<bool> = cells.iter().map(is_new).collect();
    let cells: Vec<&Cell<'_>> =
        cells.iter().zip(&stored).filter(|(_, stored)| **stored).map(|(cell, _)| cell).collect();
    if cells.is_empty() {
        return Ok(stored);
    }
    for cell in &cells {
        stamps[cell.place] = Some(Stamp { at_ms, null: cell.value.is_none() });
    }
    let times = text(view.names(), &stamps);
    let expiries = Expiries::new(view, &cells, times_expire, ctx.ks.now_ms);
    change(ctx, key, view, &cells, &times, &expiries)?;
    Ok(stored)
}

/// When the fields of a row expire, in groups of one time; the field of the times lives as long as the longest of them.
pub(super) struct Expiries<'v>(Vec<(i64, Vec<&'v [u8]>)>);

impl<'v> Expiries<'v> {
    pub(super) fn new(view: &'v View, cells: &[&Cell<'_>], times: Option<Option<i64>>, now_ms: i64) -> Self {
        let mut groups: Vec<(i64, Vec<&[u8]>)> = Vec::new();
        let mut add = |at_ms: i64, name: &'v [u8]| match groups.iter_mut().find(|(group, _)| *group == at_ms) {
            Some((_, names)) => names.push(name),
            None => groups.push((at_ms, vec![name])),
        };
        let at = |cell: &&Cell<'_>| view.features[cell.place].ttl_ms.map(|ttl_ms| now_ms.saturating_add(ttl_ms));
        for cell in cells.iter().filter(|cell| cell.value.is_some()) {
            if let Some(at_ms) = at(cell) {
                add(at_ms, view.fields.name(cell.place));
            }
        }
        let known = times.into_iter().chain(cells.iter().map(at));
        let longest = known.reduce(|a, b| a.zip(b).map(|(a, b)| a.max(b))).flatten();
        if let Some(at_ms) = longest {
            add(at_ms, view.times_field());
        }
        Self(groups)
    }
}

/// Changes a hash, and says so in the stream.
pub(super) fn change(
    ctx: &mut Ctx<'_>,
    key: Key<'_>,
    view: &View,
    cells: &[&Cell<'_>],
    times: &[u8],
    expiries: &Expiries<'_>,
) -> CommandResult {
    let limits = limits(ctx);
    let values = cells.iter().filter_map(|cell| Some((view.fields.name(cell.place), cell.value?)));
    let pairs: SmallVec<[(&[u8], &[u8]); 16]> = values.chain([(view.times_field(), times)]).collect();
    let nulls = cells.iter().filter(|cell| cell.value.is_none()).map(|cell| view.fields.name(cell.place));
    let hash = ctx.ks.value_or_new::<Hash>(key)?;
    let before = hash.earliest();
    hash.set_all(&pairs, limits);
    let nulls: Vec<&[u8]> = nulls.filter(|name| hash.contains(name, AsOf::ALL) && hash.remove(name)).collect();
    for (at_ms, names) in &expiries.0 {
        names.iter().for_each(|name| hash.set_expiry(name, Some(*at_ms)));
    }
    let after = hash.earliest();
    ctx.ks.reindex(&key, before, after);
    ctx.ks.changed(&key);
    ctx.ks.dirty += cells.len() as u64 - 1;
    replay(ctx, &[b"HSET", key.name], pairs.iter().flat_map(|(name, value)| [*name, *value]));
    ctx.ks.notify_fields(Class::HASH, "hset", key.name, pairs.iter().map(|(name, _)| *name));
    if !nulls.is_empty() {
        replay(ctx, &[b"HDEL", key.name], nulls.iter().copied());
        ctx.ks.notify_fields(Class::HASH, "hdel", key.name, nulls.iter().copied());
    }
    for (at_ms, names) in &expiries.0 {
        let (at, count) = (IntText::new(*at_ms), IntText::new(names.len() as i64));
        let words: [&[u8]; 5] = [b"HPEXPIREAT", key.name, at.as_bytes(), b"FIELDS", count.as_bytes()];
        replay(ctx, &words, names.iter().copied());
        ctx.ks.notify_fields(Class::HASH, "hexpire", key.name, names.iter().copied());
    }
    Ok(())
}

fn replay<'w>(ctx: &mut Ctx<'_>, words: &[&'w [u8]], more: impl Iterator<Item = &'w [u8]>) {
    let words: SmallVec<[&[u8]; 40]> = words.iter().copied().chain(more).collect();
    ctx.replay_as(&words);
}
