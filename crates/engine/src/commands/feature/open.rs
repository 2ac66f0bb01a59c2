//! The way from names to hashes: views are read, keys are made of them, permission is asked for, shards are locked.
//!
//! Which keys a command needs is known only once its views are, so it begins with no lock at all: it takes the shard of
//! the views, then those of the entities as well, and looks at the views again if the first had to be given back for
//! that. From there on everything it reads and changes is of one moment. Inside a transaction or a script all shards are
//! locked already.

use std::rc::Rc;

use quiver_resp::Argv;

use super::view::{VIEWS, View};
use crate::command::{CommandResult, KeyFlags};
use crate::context::Ctx;
use crate::error::{CommandError, quote_word};
use crate::keyspace::{Key, KeyHasher};
use crate::session::Pause;
use crate::types::hash::{Hash, ItemText};

/// Views and the hashes of entities, locked.
pub(super) struct Opened {
    /// In the order of the names given.
    pub(super) views: Vec<Rc<View>>,
    names: Vec<Box<[u8]>>,
    entities: usize,
}

impl Opened {
    /// The key of an entity's hash in a view, both by their number.
    pub(super) fn key(&self, view: usize, entity: usize) -> Key<'_> {
        KeyHasher.key(&self.names[view * self.entities + entity])
    }
}

/// The views of these names and the hashes of these entities in each; `None` when the command was given back to be run
/// again in a moment. `flags`: what it does with the hashes.
pub(super) fn open<'n>(
    ctx: &mut Ctx<'_>,
    argv: Argv<'_>,
    views: &[&[u8]],
    entities: impl ExactSizeIterator<Item = &'n [u8]> + Clone,
    flags: KeyFlags,
) -> Result<Option<Opened>, CommandError> {
    loop {
        lock_views(ctx, flags)?;
        let found = find_all(ctx, views)?;
        let names = found.iter().flat_map(|view| entities.clone().map(|entity| view.key_of(entity))).collect();
        let opened = Opened { views: found, names, entities: entities.len() };
        ctx.engine.check_made_keys(ctx.session, ctx.entry, argv, &opened.names, flags, ctx.ks.now_ms)?;
        if ctx.ks.in_transaction {
            return Ok(Some(opened));
        }
        let keys = opened.names.iter().map(|name| KeyHasher.key(name));
        let mask = keys.fold(ctx.ks.locked(), |mask, key| mask | key.shard_set());
        if !ctx.ks.extend_locks(mask) {
            ctx.ks.relock(mask);
            check_role(ctx, flags)?;
            let same = find_all(ctx, views)?.iter().zip(&opened.views).all(|(now, then)| Rc::ptr_eq(now, then));
            if !same {
                continue;
            }
        }
        if !ctx.engine.loans.any() || !opened.names.iter().any(|name| ctx.ks.is_lent(name)) {
            prefetch(ctx, &opened);
            return Ok(Some(opened));
        }
        if ctx.session.yields {
            ctx.session.pause = Some(Pause::Locked);
            return Ok(None);
        }
        ctx.ks.relock(0);
        ctx.engine.loans.wait();
    }
}

/// Locks the shard of the views.
pub(super) fn lock_views(ctx: &mut Ctx<'_>, flags: KeyFlags) -> Result<(), CommandError> {
    if ctx.ks.in_transaction {
        return Ok(());
    }
    ctx.ks.relock(KeyHasher.key(VIEWS).shard_set());
    check_role(ctx, flags)
}

fn check_role(ctx: &Ctx<'_>, flags: KeyFlags) -> CommandResult {
    if flags.has(KeyFlags::UPDATE) { ctx.may_still_write() } else { Ok(()) }
}

fn find_all(ctx: &Ctx<'_>, names: &[&[u8]]) -> Result<Vec<Rc<View>>, CommandError> {
    names.iter().map(|name| find(ctx, name)).collect()
}

/// The view of a name; the shard of the views is locked.
pub(in crate::commands) fn find(ctx: &Ctx<'_>, name: &[u8]) -> Result<Rc<View>, CommandError> {
    let as_of = ctx.ks.as_of();
    // Only a look: what is changed here would be in the stream behind what others do once the shard is given back.
    let views = ctx.ks.seen::<Hash>(&KeyHasher.key(VIEWS));
    match views.and_then(|views| views.get(name, as_of)) {
        Some(words) => View::of_words(name, ItemText::new(words).as_bytes()),
        None => Err(CommandError::owned(format!("ERR no such view: '{}'", quote_word(name)))),
    }
}

/// Loads what leads to the hashes, for all of them at once.
fn prefetch(ctx: &Ctx<'_>, opened: &Opened) {
    let keys = || opened.names.iter().map(|name| KeyHasher.key(name));
    keys().for_each(|key| ctx.ks.prefetch_bucket(ctx.ks.db, &key));
    keys().for_each(|key| ctx.ks.prefetch_entry(ctx.ks.db, &key));
}
