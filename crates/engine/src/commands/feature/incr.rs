//! FEAT.INCR: events added to counters over sliding windows (`window.rs`).
//!
//! An event counts in the tile of its time, late or not; only one that is older than the whole window is lost, and the
//! answer shows it. The stream gets the tiles as they are then.

use std::rc::Rc;

use quiver_resp::Argv;

use super::open::open;
use super::times::{Stamp, stamps, text};
use super::view::{Kind, View};
use super::window::Window;
use super::write::{Cell, Expiries, WRITES, change, time};
use crate::command::CommandResult;
use crate::commands::args::{float, is};
use crate::context::Ctx;
use crate::error::{CommandError, quote_word};
use crate::types::hash::{Hash, ItemText};

/// An addition.
struct Step {
    place: usize,
    window: Window,
    by: f64,
}

/// `FEAT.INCR view entity AT time feature increment [feature increment ...]`
pub(super) fn incr(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    if !is(argv.at(3), "AT") {
        return Err(CommandError::text("ERR AT and the time of the events must follow the entity"));
    }
    if argv.len().is_multiple_of(2) {
        return Err(CommandError::Arity("feat.incr".into()));
    }
    let at_ms = time(argv.at(4), ctx.ks.now_ms)?;
    let Some(opened) = open(ctx, argv, &[argv.at(1)], [argv.at(2)].into_iter(), WRITES)? else { return Ok(()) };
    let view = Rc::clone(&opened.views[0]);
    let steps = parse(&view, argv)?;
    let key = opened.key(0, 0);
    ctx.ks.expire_fields(key, view.fields.names());
    let (as_of, now_ms) = (ctx.ks.as_of(), ctx.ks.now_ms);
    let hash = ctx.ks.value_mut::<Hash>(key)?;
    let times_expire = hash.as_ref().and_then(|hash| hash.expiry(view.times_field(), as_of));
    let found = hash.as_ref().map_or_else(|| vec![None; view.fields.len()], |hash| hash.get_all(&view.fields, as_of));
    let mut stamps = stamps(&view.fields, &found);
    let add = |step: &Step| {
        let old = found[step.place].map(ItemText::new);
        step.window.add(old.as_ref().map_or(b"", ItemText::as_bytes), at_ms, step.by)
    };
    let new: Vec<Vec<u8>> = steps.iter().map(add).collect();
    for step in &steps {
        let latest = stamps[step.place].map_or(at_ms, |stamp| stamp.at_ms.max(at_ms));
        stamps[step.place] = Some(Stamp { at_ms: latest, null: false });
    }
    let cells: Vec<Cell<'_>> =
        steps.iter().zip(&new).map(|(step, tiles)| Cell { place: step.place, value: Some(tiles) }).collect();
    let cells: Vec<&Cell<'_>> = cells.iter().collect();
    let expiries = Expiries::new(&view, &cells, times_expire, now_ms);
    change(ctx, key, &view, &cells, &text(view.names(), &stamps), &expiries)?;
    ctx.reply.array(steps.len());
    for (step, tiles) in steps.iter().zip(&new) {
        match step.window.tell(tiles, now_ms) {
            Some(told) => ctx.reply.double(told),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

/// The features and their increments, each feature once and each a window.
fn parse(view: &View, argv: Argv<'_>) -> Result<Vec<Step>, CommandError> {
    let mut steps: Vec<Step> = Vec::new();
    for at in (5..argv.len()).step_by(2) {
        let place = view.place(argv.at(at))?;
        let Kind::Window(window) = view.features[place].kind else {
            let name = quote_word(argv.at(at));
            return Err(CommandError::owned(format!("ERR feature '{name}' is no sum, count or avg over a window")));
        };
        if steps.iter().any(|step| step.place == place) {
            return Err(CommandError::text("ERR a feature is named twice"));
        }
        let by = float(argv.at(at + 1)).ok().filter(|by| by.is_finite()).ok_or(CommandError::NotFloat)?;
        steps.push(Step { place, window, by });
    }
    Ok(steps)
}
