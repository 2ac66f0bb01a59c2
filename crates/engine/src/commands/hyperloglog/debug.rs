//! PFDEBUG and PFSELFTEST: for tests of servers.

use quiver_resp::Argv;

use super::super::args::is;
use super::expect_hyperloglog;
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::{CommandError, quote_word};
use crate::keyspace::{Key, Text};
use crate::rng::mix;
use crate::types::hyperloglog::{self as hll, Registers};

pub(super) fn pfdebug(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.key(argv.at(2));
    if !expect_hyperloglog(ctx, key)? {
        return Err(CommandError::text("ERR The specified key does not exist"));
    }
    let subcommand = argv.at(1);
    match () {
        () if is(subcommand, "getreg") => getreg(ctx, key),
        () if is(subcommand, "decode") => decode(ctx, key),
        () if is(subcommand, "encoding") => {
            let is_sparse = with_bytes(ctx, key, hll::is_sparse)?;
            ctx.reply.simple(if is_sparse { "sparse" } else { "dense" });
            Ok(())
        }
        () if is(subcommand, "todense") => {
            let converted = make_dense(ctx, key)?;
            ctx.reply.integer(converted.into());
            Ok(())
        }
        () => Err(CommandError::owned(format!("ERR Unknown PFDEBUG subcommand '{}'", quote_word(subcommand)))),
    }
}

fn getreg(ctx: &mut Ctx<'_>, key: Key<'_>) -> CommandResult {
    make_dense(ctx, key)?;
    let mut registers = Registers::new();
    with_bytes(ctx, key, |bytes| registers.merge(bytes))??;
    ctx.reply.array(hll::REGISTERS);
    registers.iter().for_each(|rank| ctx.reply.integer(rank.into()));
    Ok(())
}

fn decode(ctx: &mut Ctx<'_>, key: Key<'_>) -> CommandResult {
    let text = with_bytes(ctx, key, |bytes| hll::is_sparse(bytes).then(|| hll::describe_runs(bytes)))?;
    let text = text.ok_or(CommandError::text("ERR HLL encoding is not sparse"))?;
    ctx.reply.bulk(text.as_bytes());
    Ok(())
}

/// Makes the value under a key dense; whether it was not.
fn make_dense(ctx: &mut Ctx<'_>, key: Key<'_>) -> Result<bool, CommandError> {
    let mut bytes = with_bytes(ctx, key, <[u8]>::to_vec)?;
    if !hll::is_sparse(&bytes) {
        return Ok(false);
    }
    hll::make_dense(&mut bytes)?;
    if let Some(mut entry) = ctx.ks.get_mut(key) {
        entry.edit_bytes(|old| *old = bytes);
        ctx.ks.changed(&key);
    }
    Ok(true)
}

fn with_bytes<R>(ctx: &mut Ctx<'_>, key: Key<'_>, read: impl FnOnce(&[u8]) -> R) -> Result<R, CommandError> {
    let entry = ctx.ks.peek(key).ok_or(CommandError::NoSuchKey)?;
    Ok(read(Text::of(entry.value())?.as_bytes()))
}

/// Elements the self-test adds.
const SELF_TEST_ELEMENTS: u64 = 200_000;

/// Relative error the self-test allows: six times the standard error of 1.04 / sqrt(16384).
const SELF_TEST_ERROR: f64 = 0.05;

/// Compares the three forms of the same registers with each other, and their estimate with the truth.
pub(super) fn pfselftest(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    let sparse_max = ctx.engine.config.hll_sparse_max_bytes();
    let (mut bytes, mut dense, mut raw) = (hll::empty(), hll::empty(), Registers::new());
    hll::make_dense(&mut dense)?;
    for count in 1..=SELF_TEST_ELEMENTS {
        let element = mix(count).to_le_bytes();
        let changed = hll::add(&mut bytes, &element, sparse_max)?;
        if changed != hll::add(&mut dense, &element, sparse_max)? {
            return Err(CommandError::text("ERR TESTFAILED Sparse and dense registers differ"));
        }
        raw.add(&element);
        if count.is_power_of_two() || count == SELF_TEST_ELEMENTS {
            let estimates = [hll::estimate(&bytes)?, hll::estimate(&dense)?, raw.estimate()];
            let error = (estimates[0] as f64 - count as f64).abs();
            if estimates != [estimates[0]; 3] || error > (count as f64 * SELF_TEST_ERROR).max(2.0) {
                return Err(CommandError::owned(format!(
                    "ERR TESTFAILED {count} elements are estimated as {estimates:?}"
                )));
            }
        }
    }
    ctx.reply.ok();
    Ok(())
}
