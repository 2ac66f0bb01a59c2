//! WAIT and WAITAOF: until replicas have what this client has written.

use quiver_resp::Argv;

use crate::blocking::{Acks, deadline_of_ms};
use crate::command::{Acl, Arg, Command, CommandResult, Flags, Group, Locks};
use crate::commands::args::integer;
use crate::context::Ctx;
use crate::error::CommandError;

const TIPS: &[&str] = &["request_policy:all_shards", "response_policy:agg_min"];

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "wait",
        summary: "Waits until replicas have acknowledged what this connection has written.",
        since: "3.0.0",
        arity: 3,
        flags: Flags::BLOCKING,
        acl: Acl::CONNECTION,
        tips: TIPS,
        args: &[Arg::integer("numreplicas"), Arg::integer("timeout")],
        locks: Locks::KeysAlone,
        group: Group::Generic,
        run: wait,
        ..Command::NEW
    },
    Command {
        name: "waitaof",
        summary: "Waits until what this connection has written is in the logs on disk.",
        since: "7.2.0",
        arity: 4,
        flags: Flags::BLOCKING,
        acl: Acl::CONNECTION,
        tips: TIPS,
        args: &[Arg::integer("numlocal"), Arg::integer("numreplicas"), Arg::integer("timeout")],
        locks: Locks::KeysAlone,
        group: Group::Generic,
        run: waitaof,
        ..Command::NEW
    },
];

fn wait(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    if is_replica(ctx) {
        return Err(CommandError::text(
            "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is \
             configured to be writable (which is not the default) writes to replicas are just local and are not \
             propagated.",
        ));
    }
    let replicas = integer(argv.at(1))?;
    wait_for(ctx, replicas, None, argv.at(2))
}

fn waitaof(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    const RANGE: CommandError = CommandError::text("ERR value is out of range, value must between 0 and 1");
    let local = integer(argv.at(1))?;
    if !(0..=1).contains(&local) {
        return Err(RANGE);
    }
    let replicas = integer(argv.at(2)).ok().filter(|replicas| *replicas >= 0).ok_or(CommandError::MustBePositive)?;
    deadline_of_ms(argv.at(3), ctx.ks.now_ms)?;
    if is_replica(ctx) {
        return Err(CommandError::text(
            "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just \
             local and are not propagated.",
        ));
    }
    if local > 0 && ctx.engine.host().offset_on_disk().is_none() {
        return Err(CommandError::text("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."));
    }
    wait_for(ctx, replicas, Some(local), argv.at(3))
}

fn is_replica(ctx: &Ctx<'_>) -> bool {
    ctx.engine.state.is_replica.load(std::sync::atomic::Ordering::Relaxed)
}

fn wait_for(ctx: &mut Ctx<'_>, replicas: i64, on_disk: Option<i64>, timeout: &[u8]) -> CommandResult {
    let deadline_ms = deadline_of_ms(timeout, ctx.ks.now_ms)?;
    // A client that has written nothing has nothing to wait for. Else everything so far is waited for, which is at least
    // what this client wrote.
    let offset = if ctx.session.has_written { ctx.engine.host().stream_offset() } else { 0 };
    let acks = Acks { offset, replicas, local: on_disk.unwrap_or(0), on_disk: on_disk.is_some() };
    if acks.is_met(ctx.engine) || !ctx.may_block() {
        acks.reply(ctx.engine, &mut ctx.reply);
    } else {
        ctx.block_on_acks(acks, deadline_ms);
    }
    Ok(())
}
