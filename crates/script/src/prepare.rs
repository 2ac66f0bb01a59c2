//! What must hold before a script runs, by what it declares.

use std::sync::atomic::Ordering::Relaxed;

use quiver_engine::command::Flags;
use quiver_engine::scripting::Rights;
use quiver_engine::session::Role;
use quiver_engine::{CommandError, Ctx};

use crate::script::ScriptFlags;

/// What a script may do here and now.
///
/// # Errors
/// It may not run.
pub(crate) fn rights(ctx: &Ctx<'_>, flags: ScriptFlags) -> Result<Rights, CommandError> {
    let (state, config) = (&ctx.engine.state, &ctx.engine.config);
    let obeys = ctx.session.role == Role::Primary;
    let reads_only = ctx.entry.command.flags.has(Flags::READONLY);
    let replica = state.is_replica.load(Relaxed);
    let stale = replica && !state.link_up.load(Relaxed) && !config.replica_serve_stale_data();
    if !flags.declared {
        return if stale {
            Err(CommandError::MasterDown)
        } else {
            Ok(Rights { read_only: reads_only, allow_oom: false })
        };
    }
    if stale && !flags.allow_stale {
        return Err(CommandError::MasterDown);
    }
    if !flags.no_writes && !obeys {
        if replica && config.replica_read_only() {
            return Err(CommandError::ReadOnly);
        }
        if state.save_failed.load(Relaxed) && config.stop_writes_on_bgsave_error() {
            return Err(CommandError::MisConf);
        }
    }
    if !flags.no_writes && reads_only {
        return Err(CommandError::text("ERR Can not execute a script with write flag using *_ro command."));
    }
    if state.over_memory.load(Relaxed) && !flags.allow_oom && !flags.no_writes && !obeys {
        return Err(CommandError::OutOfMemory);
    }
    Ok(Rights { read_only: reads_only || flags.no_writes, allow_oom: flags.allow_oom })
}
