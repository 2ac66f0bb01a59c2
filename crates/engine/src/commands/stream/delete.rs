//! XDEL, XDELEX and XACKDEL.

use quiver_resp::Argv;

use super::super::args::is;
use super::{CONDITION, IDS, counted_ids, exact_id, exact_ids};
use crate::command::{Acl, Arg, Command, CommandResult, Flags, Group, KeyFlags, KeySpec};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::Key;
use crate::notify::Class;
use crate::types::stream::trim::References;
use crate::types::stream::{Id, Stream};

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "xackdel",
        summary: "Acknowledges entries for a consumer group and deletes them under a condition.",
        since: "8.2.0",
        complexity: "O(1) for each entry",
        group: Group::Stream,
        arity: -6,
        flags: Flags::WRITE.with(Flags::FAST),
        acl: Acl::STREAM,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::UPDATE).with(KeyFlags::DELETE))],
        args: &[Arg::key("key"), Arg::string("group"), CONDITION, IDS],
        run: xackdel,
        ..Command::NEW
    },
    Command {
        name: "xdel",
        summary: "Deletes entries of a stream.",
        since: "5.0.0",
        complexity: "O(1) for each entry",
        group: Group::Stream,
        arity: -3,
        flags: Flags::WRITE.with(Flags::FAST),
        acl: Acl::STREAM,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::DELETE))],
        args: &[Arg::key("key"), Arg::string("id").multiple()],
        run: xdel,
        ..Command::NEW
    },
    Command {
        name: "xdelex",
        summary: "Deletes entries of a stream under a condition.",
        since: "8.2.0",
        complexity: "O(1) for each entry",
        group: Group::Stream,
        arity: -5,
        flags: Flags::WRITE.with(Flags::FAST),
        acl: Acl::STREAM,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::DELETE))],
        args: &[Arg::key("key"), CONDITION, IDS],
        run: xdelex,
        ..Command::NEW
    },
];

/// What is answered for an id that is not there.
const ABSENT: i64 = -1;
/// The entry is deleted.
const DELETED: i64 = 1;
/// The entry stays: a group has not acknowledged it.
const REFERENCED: i64 = 2;

fn xdel(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let Some(stream) = ctx.ks.value_mut::<Box<Stream>>(key)? else {
        ctx.reply.integer(0);
        return Ok(());
    };
    let ids = exact_ids(argv, 2)?;
    let deleted = ids.into_iter().filter(|id| stream.log.delete(*id)).count();
    note_deleted(ctx, key, deleted);
    ctx.reply.integer(deleted as i64);
    Ok(())
}

fn xdelex(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (references, ids) = condition_and_ids(argv, 2)?;
    let key = ctx.first_key(argv);
    let Some(stream) = ctx.ks.value_mut::<Box<Stream>>(key)? else { return absent(ctx, ids.len()) };
    let ids = parsed(&ids)?;
    let mut changes = 0;
    let answers: Vec<i64> = ids.into_iter().map(|id| delete(stream, id, references, &mut changes)).collect();
    answer(ctx, key, &answers, changes)
}

fn xackdel(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (references, ids) = condition_and_ids(argv, 3)?;
    let key = ctx.first_key(argv);
    let Some(stream) = ctx.ks.value_mut::<Box<Stream>>(key)? else { return absent(ctx, ids.len()) };
    if !stream.groups.contains_key(argv.at(2)) {
        return absent(ctx, ids.len());
    }
    let ids = parsed(&ids)?;
    let (mut answers, mut changes) = (Vec::with_capacity(ids.len()), 0);
    for id in ids {
        let group = stream.groups.get_mut(argv.at(2)).expect("it is there");
        if !group.acknowledge(id) {
            answers.push(ABSENT);
            continue;
        }
        changes += 1;
        // What was pending and is no longer in the stream is acknowledged and gone, which is what was asked for.
        let deleted = delete(stream, id, references, &mut changes);
        answers.push(if deleted == ABSENT { DELETED } else { deleted });
    }
    answer(ctx, key, &answers, changes)
}

/// The condition and the ids, in any order.
fn condition_and_ids(argv: Argv<'_>, first: usize) -> Result<(References, Vec<&[u8]>), CommandError> {
    let (mut references, mut ids, mut at) = (None, None, first);
    while let Some(word) = argv.get(at) {
        if let Some(found) = condition(word).filter(|_| references.is_none()) {
            references = Some(found);
            at += 1;
        } else if is(word, "ids") && ids.is_none() {
            let (words, end) = counted_ids(argv, at + 1)?;
            ids = Some(words.collect());
            at = end;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    Ok((references.unwrap_or_default(), ids.ok_or(CommandError::Syntax)?))
}

/// The words for what happens to references.
pub(super) fn condition(word: &[u8]) -> Option<References> {
    let words = [("keepref", References::Keep), ("delref", References::Delete), ("acked", References::Acknowledged)];
    words.iter().find(|(name, _)| is(word, name)).map(|(_, references)| *references)
}

fn parsed(ids: &[&[u8]]) -> Result<Vec<Id>, CommandError> {
    ids.iter().map(|id| exact_id(id)).collect()
}

/// Deletes one entry under a condition; adds to `changes` what that changed.
fn delete(stream: &mut Stream, id: Id, references: References, changes: &mut u64) -> i64 {
    if references == References::Acknowledged && stream.log.contains(id) && stream.is_referenced(id) {
        return REFERENCED;
    }
    if references == References::Delete {
        *changes += u64::from(stream.drop_references(id));
    }
    if !stream.log.delete(id) {
        return ABSENT;
    }
    *changes += 1;
    DELETED
}

fn absent(ctx: &mut Ctx<'_>, count: usize) -> CommandResult {
    ctx.reply.array(count);
    (0..count).for_each(|_| ctx.reply.integer(ABSENT));
    Ok(())
}

fn answer(ctx: &mut Ctx<'_>, key: Key<'_>, answers: &[i64], changes: u64) -> CommandResult {
    if answers.contains(&DELETED) {
        note_deleted(ctx, key, changes as usize);
    } else {
        // Acknowledging is no change that watchers hear of.
        ctx.ks.dirty += changes;
    }
    ctx.reply.array(answers.len());
    answers.iter().for_each(|answer| ctx.reply.integer(*answer));
    Ok(())
}

fn note_deleted(ctx: &mut Ctx<'_>, key: Key<'_>, deleted: usize) {
    if deleted > 0 {
        ctx.ks.changed(&key);
        ctx.ks.dirty += deleted as u64 - 1;
        ctx.ks.notify(Class::STREAM, "xdel", key.name);
    }
}
