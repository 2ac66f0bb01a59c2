//! Plain commands as steps of a larger one. Each leaves its own effects, so that what is replayed are those.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use quiver_resp::OwnedArgv;

use super::settings::text;
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::number::{IntText, parse_i64};
use crate::registry::{Entry, registry};

/// Entries by their own names, which `rename-command` does not change.
static ENTRIES: LazyLock<BTreeMap<&'static str, &'static Entry>> =
    LazyLock::new(|| registry().top().iter().map(|entry| (entry.command.name, entry)).collect());

/// Runs a command of the table without its reply. The caller has seen to it that it cannot fail.
pub(super) fn run(ctx: &mut Ctx<'_>, name: &'static str, words: &[&[u8]]) -> CommandResult {
    let mut owned = OwnedArgv::from_slices(&[name.to_ascii_uppercase()]);
    words.iter().for_each(|word| owned.push(word));
    let (argv, entry) = (owned.as_argv(), ENTRIES[name]);
    let (start, dirty, db) = (ctx.reply.position(), ctx.ks.dirty, ctx.ks.db);
    let (outer, located) = (std::mem::replace(&mut ctx.entry, entry), ctx.located.take());
    // It must not give its locks back in the middle of the larger command.
    let in_transaction = std::mem::replace(&mut ctx.ks.in_transaction, true);
    let result = (entry.command.run)(ctx, argv);
    ctx.ks.in_transaction = in_transaction;
    (ctx.entry, ctx.located) = (outer, located);
    ctx.reply.truncate(start);
    let changed = ctx.ks.dirty != dirty;
    ctx.ks.effects.end_command(db, argv, changed);
    result
}

/// Adds to a counter of a cache, unless somebody has made something else of it.
pub(super) fn count(ctx: &mut Ctx<'_>, cache: &[u8], counter: &str, by: i64) -> CommandResult {
    let old = text(ctx, cache, counter).map_or(Some(0), |text| parse_i64(&text));
    if by == 0 || old.and_then(|old| old.checked_add(by)).is_none() {
        return Ok(());
    }
    run(ctx, "hincrby", &[cache, counter.as_bytes(), IntText::new(by).as_bytes()])
}

/// Ends the larger command: nothing but its steps is replayed.
pub(super) fn end(ctx: &mut Ctx<'_>) {
    ctx.effects().suppress();
}
