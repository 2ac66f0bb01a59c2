//! HRANDFIELD.

use quiver_resp::{Argv, Encoder, Protocol};
use quiver_structures::listpack::Item;

use super::super::args::{integer, is};
use super::bulk;
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::types::hash::Hash;

/// Most draws with repetition: the reply grows with what the client claims, not with the hash, and the shard is locked.
const DRAWS_MAX: u64 = 4 << 20;

/// Most bytes drawn with repetition.
const REPLY_BYTES_MAX: usize = 512 << 20;

pub(super) fn hrandfield(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let Some(count) = argv.get(2) else { return one_field(ctx, argv) };
    let (count, values) = (integer(count)?, argv.get(3));
    if count == i64::MIN {
        return Err(CommandError::text(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    if argv.len() > 4 || values.is_some_and(|word| !is(word, "withvalues")) {
        return Err(CommandError::Syntax);
    }
    let with_values = values.is_some();
    let distinct = count >= 0;
    let too_many = with_values && count.unsigned_abs() > i64::MAX as u64 / 2;
    if too_many || (!distinct && count.unsigned_abs() > DRAWS_MAX) {
        return Err(CommandError::OutOfRange);
    }
    let count = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if distinct { distinct_fields(ctx, argv, count, with_values) } else { drawn_fields(ctx, argv, count, with_values) }
}

fn one_field(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let as_of = ctx.ks.as_of();
    match ctx.ks.value::<Hash>(key)?.and_then(|hash| hash.random_pair(as_of, ctx.rng)) {
        Some((field, _)) => bulk(&mut ctx.reply, field),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn distinct_fields(ctx: &mut Ctx<'_>, argv: Argv<'_>, count: usize, with_values: bool) -> CommandResult {
    let key = ctx.first_key(argv);
    let as_of = ctx.ks.as_of();
    let pairs = ctx.ks.value::<Hash>(key)?.map_or_else(Vec::new, |hash| hash.random_distinct(count, as_of, ctx.rng));
    header(&mut ctx.reply, pairs.len(), with_values);
    for pair in pairs {
        write_pair(&mut ctx.reply, pair, with_values);
    }
    Ok(())
}

fn drawn_fields(ctx: &mut Ctx<'_>, argv: Argv<'_>, count: usize, with_values: bool) -> CommandResult {
    let key = ctx.first_key(argv);
    let as_of = ctx.ks.as_of();
    let Some(hash) = ctx.ks.value::<Hash>(key)?.filter(|hash| hash.len_at(as_of) > 0) else {
        ctx.reply.array(0);
        return Ok(());
    };
    let reply = &mut ctx.reply;
    header(reply, count, with_values);
    let end = reply.position() + REPLY_BYTES_MAX;
    let mut left = count;
    hash.random_pairs(count, as_of, ctx.rng, &mut |pair| {
        write_pair(reply, pair, with_values);
        left -= 1;
        reply.position() < end
    });
    if left == 0 { Ok(()) } else { Err(CommandError::OutOfRange) }
}

fn header(reply: &mut Encoder<'_>, pairs: usize, with_values: bool) {
    let flat = with_values && reply.protocol() == Protocol::Resp2;
    reply.array(if flat { pairs * 2 } else { pairs });
}

fn write_pair(reply: &mut Encoder<'_>, (field, value): (Item<'_>, Item<'_>), with_values: bool) {
    if with_values && reply.protocol() == Protocol::Resp3 {
        reply.array(2);
    }
    bulk(reply, field);
    if with_values {
        bulk(reply, value);
    }
}
