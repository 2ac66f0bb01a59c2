//! HyperLogLogs, which are strings: <https://redis.io/docs/latest/develop/data-types/probabilistic/hyperloglogs/>.
//!
//! The table entries are in `table.rs`, PFDEBUG and PFSELFTEST in `debug.rs`. The value itself is
//! `types/hyperloglog.rs`.

mod debug;
mod table;

use quiver_resp::Argv;

use super::bitmap::store_raw;
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::{ExpiryRule, Key, Text};
use crate::notify::Class;
use crate::types::hyperloglog::{self as hll, Corrupt, Registers};

pub use table::COMMANDS;

const NOT_HYPERLOGLOG: CommandError = CommandError::text("WRONGTYPE Key is not a valid HyperLogLog string value.");

impl From<Corrupt> for CommandError {
    fn from(_: Corrupt) -> Self {
        Self::text("INVALIDOBJ Corrupted HLL object detected")
    }
}

fn pfadd(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (key, elements) = (ctx.first_key(argv), argv.from(2));
    let sparse_max = ctx.engine.config.hll_sparse_max_bytes();
    let (mut changes, mut outcome) = (0, Ok(()));
    let mut add_all = |bytes: &mut Vec<u8>| {
        for element in elements {
            match hll::add(bytes, element, sparse_max) {
                Ok(changed) => changes += u64::from(changed),
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        if changes > 0 {
            hll::forget_estimate(bytes);
        }
    };
    if expect_hyperloglog(ctx, key)? {
        let mut entry = ctx.ks.get_mut(key).expect("the key was just read");
        entry.edit_bytes(add_all);
        if changes > 0 {
            ctx.ks.changed(&key);
            ctx.ks.dirty += changes - 1;
        }
    } else {
        let mut bytes = hll::empty();
        add_all(&mut bytes);
        hll::forget_estimate(&mut bytes);
        changes += 1;
        store_raw(ctx, key, bytes);
        ctx.ks.dirty += changes - 1;
    }
    if changes > 0 {
        ctx.ks.notify(Class::STRING, "pfadd", key.name);
    }
    match outcome {
        Ok(()) => ctx.reply.integer((changes > 0).into()),
        // Elements before the one that failed stay added, as in Redis, so this is no error that leaves all as it was.
        Err(error) => ctx.reply.error(&error.to_string()),
    }
    Ok(())
}

fn pfcount(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    if argv.len() > 2 {
        let estimate = merged(ctx, argv)?.0.estimate();
        ctx.reply.integer(estimate as i64);
        return Ok(());
    }
    let key = ctx.first_key(argv);
    let Some(entry) = ctx.ks.get(key) else {
        ctx.reply.integer(0);
        return Ok(());
    };
    let (is_edited, text) = (entry.is_edited(), Text::of(entry.value())?);
    let bytes = hyperloglog(&text)?;
    let cached = hll::cached_estimate(bytes);
    let estimate = cached.map_or_else(|| hll::estimate(bytes), Ok);
    // Redis readies the value for the cache, needed or not, and OBJECT ENCODING shows it.
    if !is_edited && let Some(mut entry) = ctx.ks.get_mut(key) {
        entry.write_at(0, &[]);
    }
    let estimate = estimate?;
    if cached.is_none() {
        cache(ctx, key, estimate);
    }
    ctx.reply.integer(estimate as i64);
    Ok(())
}

/// Keeps an estimate in the value: a change for the stream, though the command only reads. A replica leaves it to its
/// primary, whose stream is all that may change it.
fn cache(ctx: &mut Ctx<'_>, key: Key<'_>, estimate: u64) {
    if ctx.ks.expiry == ExpiryRule::Hide {
        return;
    }
    if let Some(mut entry) = ctx.ks.get_mut(key) {
        entry.edit_bytes(|bytes| hll::cache_estimate(bytes, estimate));
        ctx.ks.changed(&key);
    }
}

fn pfmerge(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (registers, any_dense) = merged(ctx, argv)?;
    let key = ctx.first_key(argv);
    let old = ctx.ks.string(key)?;
    let (mut bytes, is_new) = match &old {
        Some(text) => (text.as_bytes().to_vec(), false),
        None => (hll::empty(), true),
    };
    if any_dense {
        hll::make_dense(&mut bytes)?;
    }
    let sparse_max = ctx.engine.config.hll_sparse_max_bytes();
    for (index, rank) in registers.iter().enumerate().filter(|(_, rank)| *rank > 0) {
        hll::raise(&mut bytes, index, rank, sparse_max)?;
    }
    hll::forget_estimate(&mut bytes);
    if is_new {
        store_raw(ctx, key, bytes);
    } else if let Some(mut entry) = ctx.ks.get_mut(key) {
        entry.edit_bytes(|old| *old = bytes);
        ctx.ks.changed(&key);
    }
    ctx.ks.notify(Class::STRING, "pfadd", key.name);
    ctx.reply.ok();
    Ok(())
}

/// The registers under all keys together, and whether any of them is dense. A key that is not there has seen nothing.
fn merged(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> Result<(Registers, bool), CommandError> {
    let (mut registers, mut any_dense) = (Registers::new(), false);
    for name in argv.from(1) {
        let key = ctx.key(name);
        let Some(text) = ctx.ks.string(key)? else { continue };
        let bytes = hyperloglog(&text)?;
        any_dense |= !hll::is_sparse(bytes);
        registers.merge(bytes)?;
    }
    Ok((registers, any_dense))
}

/// The bytes of a string that must be a HyperLogLog.
fn hyperloglog<'t>(text: &'t Text<'_>) -> Result<&'t [u8], CommandError> {
    Some(text.as_bytes()).filter(|bytes| hll::is_valid(bytes)).ok_or(NOT_HYPERLOGLOG)
}

/// Whether a key is there, which must hold a HyperLogLog then.
fn expect_hyperloglog(ctx: &mut Ctx<'_>, key: Key<'_>) -> Result<bool, CommandError> {
    let Some(entry) = ctx.ks.peek(key) else { return Ok(false) };
    hyperloglog(&Text::of(entry.value())?)?;
    Ok(true)
}
