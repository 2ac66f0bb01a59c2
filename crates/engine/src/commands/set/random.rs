//! SPOP and SRANDMEMBER.

use quiver_resp::Argv;
use quiver_structures::listpack::Item;

use super::super::args::integer;
use super::bulk;
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::Key;
use crate::notify::Class;
use crate::types::set::Set;

/// Most draws with repetition: the reply grows with what the client claims, not with the set, and the shard is locked.
const DRAWS_MAX: u64 = 4 << 20;

/// Most bytes drawn with repetition.
const REPLY_BYTES_MAX: usize = 512 << 20;

/// Members named by one SREM of the stream.
const REPLAY_BATCH: usize = 1024;

pub(super) fn spop(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    match argv.len() {
        2 => pop_one(ctx, key),
        3 => {
            let count = integer(argv.at(2)).ok().and_then(|count| usize::try_from(count).ok());
            pop_count(ctx, key, count.ok_or(CommandError::MustBePositive)?)
        }
        _ => Err(CommandError::Syntax),
    }
}

fn pop_one(ctx: &mut Ctx<'_>, key: Key<'_>) -> CommandResult {
    let Some(set) = ctx.ks.value_mut::<Set>(key)? else {
        ctx.reply.null();
        return Ok(());
    };
    let member = set.random(ctx.rng).map_or_else(Vec::new, |member| member.to_vec());
    set.remove(&member);
    let left = set.len();
    ctx.reply.bulk(&member);
    ctx.ks.changed(&key);
    ctx.replay_as(&[b"SREM", key.name, &member]);
    ctx.ks.notify(Class::SET, "spop", key.name);
    if left == 0 {
        ctx.ks.delete_if_empty(key);
        ctx.ks.notify(Class::GENERIC, "del", key.name);
    }
    Ok(())
}

fn pop_count(ctx: &mut Ctx<'_>, key: Key<'_>, count: usize) -> CommandResult {
    let Some(set) = ctx.ks.value_mut::<Set>(key)?.filter(|_| count > 0) else {
        ctx.reply.set(0);
        return Ok(());
    };
    if count >= set.len() {
        let len = set.len();
        ctx.reply.set(len);
        set.iter().for_each(|member| bulk(&mut ctx.reply, member));
        ctx.ks.notify(Class::SET, "spop", key.name);
        ctx.ks.delete(key);
        ctx.ks.dirty += len as u64 - 1;
        ctx.ks.notify(Class::GENERIC, "del", key.name);
        ctx.replay_as(&[b"DEL", key.name]);
        return Ok(());
    }
    let members: Vec<Vec<u8>> = set.random_distinct(count, ctx.rng).into_iter().map(|member| member.to_vec()).collect();
    ctx.reply.set(members.len());
    for member in &members {
        set.remove(member);
        ctx.reply.bulk(member);
    }
    ctx.ks.changed(&key);
    ctx.ks.dirty += members.len() as u64 - 1;
    ctx.ks.notify(Class::SET, "spop", key.name);
    for batch in members.chunks(REPLAY_BATCH) {
        let words: Vec<&[u8]> =
            [b"SREM".as_slice(), key.name].into_iter().chain(batch.iter().map(Vec::as_slice)).collect();
        ctx.replay_as(&words);
    }
    Ok(())
}

pub(super) fn srandmember(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    if argv.len() > 3 {
        return Err(CommandError::Syntax);
    }
    let Some(count) = argv.get(2) else {
        match ctx.ks.value::<Set>(key)?.and_then(|set| set.random(ctx.rng)) {
            Some(member) => bulk(&mut ctx.reply, member),
            None => ctx.reply.null(),
        }
        return Ok(());
    };
    let count = integer(count)?;
    if count == i64::MIN {
        return Err(CommandError::text(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    let Some(set) = ctx.ks.value::<Set>(key)? else {
        ctx.reply.array(0);
        return Ok(());
    };
    if count < 0 {
        let draws = count.unsigned_abs();
        return if draws > DRAWS_MAX { Err(CommandError::OutOfRange) } else { draw(ctx, key, draws as usize) };
    }
    let members = set.random_distinct(usize::try_from(count).unwrap_or(usize::MAX), ctx.rng);
    ctx.reply.array(members.len());
    members.into_iter().for_each(|member| bulk(&mut ctx.reply, member));
    Ok(())
}

/// Answers `count` members, repetitions and all.
fn draw(ctx: &mut Ctx<'_>, key: Key<'_>, count: usize) -> CommandResult {
    let Some(set) = ctx.ks.seen::<Set>(&key) else { return Ok(()) };
    let reply = &mut ctx.reply;
    reply.array(count);
    let end = reply.position() + REPLY_BYTES_MAX;
    let mut left = count;
    set.random_repeated(count, ctx.rng, &mut |member: Item<'_>| {
        bulk(reply, member);
        left -= 1;
        reply.position() < end
    });
    if left == 0 { Ok(()) } else { Err(CommandError::OutOfRange) }
}
