//! ZRANDMEMBER.

use std::collections::HashSet;

use quiver_resp::Argv;

use super::super::args::{integer, is};
use super::{entry, header};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::rng::Rng;
use crate::types::zset::SortedSet;

/// Most draws with repetition: the reply grows with what the client claims, not with the set, and the shard is locked.
const DRAWS_MAX: u64 = 4 << 20;

/// Most bytes drawn with repetition.
const REPLY_BYTES_MAX: usize = 512 << 20;

pub(super) fn zrandmember(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let Some(count) = argv.get(2) else { return one_member(ctx, argv) };
    let (count, scores) = (integer(count)?, argv.get(3));
    if count == i64::MIN {
        return Err(CommandError::text(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    if argv.len() > 4 || scores.is_some_and(|word| !is(word, "withscores")) {
        return Err(CommandError::Syntax);
    }
    let with_scores = scores.is_some();
    let distinct = count >= 0;
    let too_many = with_scores && count.unsigned_abs() > i64::MAX as u64 / 2;
    if too_many || (!distinct && count.unsigned_abs() > DRAWS_MAX) {
        return Err(CommandError::OutOfRange);
    }
    let count = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    let key = ctx.first_key(argv);
    let Some(set) = ctx.ks.value::<SortedSet>(key)? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let (rng, reply) = (&mut *ctx.rng, &mut ctx.reply);
    let len = set.len();
    if !distinct {
        header(reply, count, with_scores);
        let end = reply.position() + REPLY_BYTES_MAX;
        for _ in 0..count {
            let rank = rng.below(len);
            set.visit(rank..rank + 1, false, &mut |member, score| {
                entry(reply, member, score, with_scores);
                true
            });
            if reply.position() >= end {
                return Err(CommandError::OutOfRange);
            }
        }
        return Ok(());
    }
    let ranks = distinct_ranks(len, count, rng);
    header(reply, ranks.len(), with_scores);
    for run in ranks.chunk_by(|a, b| a + 1 == *b) {
        set.visit(run[0]..run[0] + run.len(), false, &mut |member, score| {
            entry(reply, member, score, with_scores);
            true
        });
    }
    Ok(())
}

fn one_member(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let Some(set) = ctx.ks.value::<SortedSet>(key)? else {
        ctx.reply.null();
        return Ok(());
    };
    let (rank, reply) = (ctx.rng.below(set.len()), &mut ctx.reply);
    set.visit(rank..rank + 1, false, &mut |member, _| {
        reply.bulk(member);
        true
    });
    Ok(())
}

/// `count` different ranks below `len` in ascending order, all of them when there are not more. Every choice is equally
/// likely (R. Floyd, in: Bentley, Programming Pearls, CACM 30, 1987).
fn distinct_ranks(len: usize, count: usize, rng: &mut Rng) -> Vec<usize> {
    if count >= len {
        return (0..len).collect();
    }
    let mut chosen = HashSet::with_capacity(count);
    for last in len - count..len {
        let rank = rng.below(last + 1);
        if !chosen.insert(rank) {
            chosen.insert(last);
        }
    }
    let mut ranks: Vec<usize> = chosen.into_iter().collect();
    ranks.sort_unstable();
    ranks
}
