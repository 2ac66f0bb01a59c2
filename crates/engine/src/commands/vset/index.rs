//! VINDEX, which Redis does not have: indexes over chosen attributes of a vector set, for filters.
//!
//! A filter gives the same answers with an index and without; with one, elements that pass are looked up and not asked
//! for. An index is of a field and not of a type: whatever values the field has, the index knows them as the filter does.
//!
//! Over a large set an index takes a second to make. So it is made in steps with no shard held, while searches and changes
//! go on, and then added under the lock. The effect is the command itself.

use quiver_resp::Argv;

use super::super::args::is;
use super::{await_searches, set_at};
use crate::command::{Arg, Command, CommandResult, Flags, Group, KeyFlags, KeySpec, Locks};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::filter::is_field;
use crate::keyspace::Key;
use crate::long::PATIENCE;
use crate::object::SharedVectorSet;
use crate::types::vset::INDEXES_MAX;

/// Slots taken in at a time: half a millisecond or so.
const STEP: usize = 1024;

/// The table entry.
pub const COMMANDS: &[Command] = &[Command {
    name: "vindex",
    summary: "Adds or drops indexes over attributes of a vector set, which make filters that name them faster.",
    since: "8.2.0",
    complexity: "O(N) where N is the number of elements in the set",
    group: Group::Module,
    arity: -4,
    flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::MODULE),
    keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::UPDATE))],
    args: &[
        Arg::key("key"),
        Arg::one_of("action", &[Arg::word("add", "ADD"), Arg::word("drop", "DROP")]),
        Arg::string("field").multiple(),
    ],
    locks: Locks::KeysAlone,
    run: vindex,
    ..Command::NEW
}];

fn vindex(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let adds = is(argv.at(2), "ADD");
    if !adds && !is(argv.at(2), "DROP") {
        return Err(CommandError::text("ERR the action must be ADD or DROP"));
    }
    // The dot of a filter's fields is welcome, and not part of the name.
    let mut fields: Vec<&[u8]> = argv.from(3).iter().map(|field| field.strip_prefix(b".").unwrap_or(field)).collect();
    if fields.iter().any(|field| !is_field(field)) {
        return Err(CommandError::text("ERR an expression cannot name this field"));
    }
    fields.sort_unstable();
    fields.dedup();
    let set = set_at(ctx, argv)?.ok_or(NO_KEY)?;
    let key = ctx.first_key(argv);
    let changed = if adds { add(ctx, &key, set, fields)? } else { drop_indexes(ctx, &key, &fields)? };
    if ctx.session.pause.is_some() {
        return Ok(());
    }
    if changed > 0 {
        ctx.ks.changed(&key);
    }
    ctx.reply.integer(changed as i64);
    Ok(())
}

const NO_KEY: CommandError = CommandError::text("ERR key does not exist");

/// Adds the indexes that are not there; how many.
fn add(ctx: &mut Ctx<'_>, key: &Key<'_>, set: SharedVectorSet, mut fields: Vec<&[u8]>) -> Result<usize, CommandError> {
    let maker = set.read().index_maker();
    let mut turn = None;
    if !ctx.ks.in_transaction {
        ctx.ks.unlocked(|| {
            turn = Some(maker.lock());
            let missing = missing(&set, &fields);
            set.write().begin_indexing(&missing);
            while !set.write().index_some(STEP) {}
        });
        ctx.may_still_write().inspect_err(|_| set.write().begin_indexing(&[]))?;
    }
    if !await_searches(ctx, key, PATIENCE)? {
        return Ok(0);
    }
    // It may be another one by now: then all of it is done here.
    let Some(now) = ctx.ks.value_mut::<SharedVectorSet>(*key)?.cloned() else { return Err(NO_KEY) };
    fields = missing(&now, &fields);
    let mut set = now.write();
    if set.indexed_fields().len() + fields.len() > INDEXES_MAX {
        set.begin_indexing(&[]);
        return Err(CommandError::text("ERR too many indexes"));
    }
    set.add_indexes(&fields);
    Ok(fields.len())
}

fn missing<'f>(set: &SharedVectorSet, fields: &[&'f [u8]]) -> Vec<&'f [u8]> {
    let set = set.read();
    fields.iter().copied().filter(|field| !set.is_indexed(field)).collect()
}

fn drop_indexes(ctx: &mut Ctx<'_>, key: &Key<'_>, fields: &[&[u8]]) -> Result<usize, CommandError> {
    if !await_searches(ctx, key, PATIENCE)? {
        return Ok(0);
    }
    let set = ctx.ks.value_mut::<SharedVectorSet>(*key)?.cloned().ok_or(NO_KEY)?;
    let dropped = set.write().drop_indexes(fields);
    Ok(dropped)
}
