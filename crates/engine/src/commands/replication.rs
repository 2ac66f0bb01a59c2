//! The commands of replication: who follows whom, and what a replica says before it takes the stream.
//!
//! The stream itself is not served here: PSYNC leaves a [`Takeover`] in the session, and whoever owns the connection
//! feeds it from then on.

use quiver_resp::Argv;

use crate::command::{Acl, Arg, Command, CommandResult, Flags, Group, Locks};
use crate::commands::args::{integer, is};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::host::{Failover, RoleReply};
use crate::session::{ReplicaInfo, Takeover};

const FOLLOW_ARGS: &[Arg] = &[Arg::one_of(
    "args",
    &[
        Arg::block("host-port", &[Arg::string("host"), Arg::integer("port")]),
        Arg::block("no-one", &[Arg::word("no", "NO"), Arg::word("one", "ONE")]),
    ],
)];
const FAILOVER_ARGS: &[Arg] = &[
    Arg::block("target", &[Arg::string("host"), Arg::integer("port"), Arg::word("force", "FORCE").optional()])
        .after("TO")
        .optional(),
    Arg::word("abort", "ABORT").optional(),
    Arg::integer("milliseconds").after("TIMEOUT").optional(),
];
const FOLLOW_FLAGS: Flags = Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::STALE).with(Flags::NO_ASYNC_LOADING);
const SYNC_FLAGS: Flags = Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::NO_ASYNC_LOADING).with(Flags::NO_MULTI);

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "failover",
        summary: "Hands the part of the primary over to one of its replicas.",
        since: "6.2.0",
        group: Group::Server,
        arity: -1,
        flags: Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::STALE),
        args: FAILOVER_ARGS,
        locks: Locks::KeysAlone,
        run: failover,
        ..Command::NEW
    },
    Command {
        name: "psync",
        summary: "Starts or resumes replication from an offset.",
        since: "2.8.0",
        complexity: "O(1) to resume, O(N) for a full copy of N keys",
        group: Group::Server,
        arity: -3,
        flags: SYNC_FLAGS,
        args: &[Arg::string("replicationid"), Arg::integer("offset")],
        locks: Locks::KeysAlone,
        run: psync,
        ..Command::NEW
    },
    Command {
        name: "replconf",
        summary: "Exchanges parameters and acknowledgements between replica and primary.",
        since: "3.0.0",
        group: Group::Server,
        arity: -1,
        flags: Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::LOADING).with(Flags::STALE).with(Flags::ALLOW_BUSY),
        locks: Locks::KeysAlone,
        run: replconf,
        ..Command::NEW
    },
    Command {
        name: "replicaof",
        summary: "Makes this server a replica of another, or a primary again.",
        since: "5.0.0",
        group: Group::Server,
        arity: 3,
        flags: FOLLOW_FLAGS,
        args: FOLLOW_ARGS,
        locks: Locks::KeysAlone,
        run: replicaof,
        ..Command::NEW
    },
    Command {
        name: "role",
        summary: "Answers the part this server plays in replication.",
        since: "2.8.12",
        group: Group::Server,
        flags: Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE).with(Flags::FAST),
        acl: Acl::ADMIN.with(Acl::DANGEROUS),
        run: role,
        ..Command::NEW
    },
    Command {
        name: "slaveof",
        summary: "Makes this server a replica of another; the older name of REPLICAOF.",
        group: Group::Server,
        arity: 3,
        flags: FOLLOW_FLAGS,
        args: FOLLOW_ARGS,
        deprecated: Some(("5.0.0", "`REPLICAOF`")),
        locks: Locks::KeysAlone,
        run: replicaof,
        ..Command::NEW
    },
    Command {
        name: "sync",
        summary: "Starts replication with a full copy; the older form of PSYNC.",
        complexity: "O(N) where N is the number of keys",
        group: Group::Server,
        flags: SYNC_FLAGS,
        locks: Locks::KeysAlone,
        run: sync,
        ..Command::NEW
    },
];

fn role(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    let reply = &mut ctx.reply;
    match ctx.engine.host().role() {
        RoleReply::Primary(offset, replicas) => {
            reply.array(3);
            reply.bulk(b"master");
            reply.integer(offset as i64);
            reply.array(replicas.len());
            for (host, port, acknowledged) in replicas {
                reply.array(3);
                reply.bulk(host.as_bytes());
                reply.bulk_of_int(i64::from(port));
                reply.bulk_of_int(acknowledged as i64);
            }
        }
        RoleReply::Replica(host, port, state, offset) => {
            reply.array(5);
            reply.bulk(b"slave");
            reply.bulk(host.as_bytes());
            reply.integer(i64::from(port));
            reply.bulk(state.as_bytes());
            reply.integer(offset);
        }
    }
    Ok(())
}

fn replicaof(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let primary = if is(argv.at(1), "no") && is(argv.at(2), "one") {
        None
    } else {
        let port = integer(argv.at(2)).ok().and_then(|port| u16::try_from(port).ok());
        let port = port.ok_or(CommandError::text("ERR Invalid master port"))?;
        let host = String::from_utf8_lossy(argv.at(1)).into_owned();
        if matches!(ctx.engine.host().role(), RoleReply::Replica(known, at, ..) if known == host && at == port) {
            ctx.reply.simple("OK Already connected to specified master");
            return Ok(());
        }
        Some((host, port))
    };
    ctx.engine.host().replicate(ctx.engine, primary)?;
    ctx.reply.ok();
    Ok(())
}

fn psync(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let replid = String::from_utf8_lossy(argv.at(1)).into_owned();
    if argv.get(3).is_some_and(|word| is(word, "failover")) {
        ctx.engine.host().take_part(ctx.engine, &replid)?;
    }
    refuse_early(ctx)?;
    let offset = integer(argv.at(2))?;
    ctx.session.takeover = Some(Takeover::Psync { replid, offset });
    Ok(())
}

/// Before there is a link to the primary nobody can be told where the stream stands.
fn refuse_early(ctx: &Ctx<'_>) -> CommandResult {
    if ctx.engine.host().refuses_replicas() {
        return Err(CommandError::text("NOMASTERLINK Can't SYNC while not connected with my master"));
    }
    Ok(())
}

fn sync(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    refuse_early(ctx)?;
    ctx.session.takeover = Some(Takeover::Psync { replid: String::new(), offset: -1 });
    Ok(())
}

fn failover(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    if argv.len() == 2 && is(argv.at(1), "abort") {
        ctx.engine.host().abort_failover()?;
        ctx.reply.ok();
        return Ok(());
    }
    let asked = failover_options(argv)?;
    ctx.engine.host().failover(ctx.engine, asked)?;
    ctx.reply.ok();
    Ok(())
}

fn failover_options(argv: Argv<'_>) -> Result<Failover, CommandError> {
    let mut asked = Failover::default();
    let mut at = 1;
    while let Some(word) = argv.get(at) {
        let left = argv.len() - at - 1;
        if is(word, "timeout") && left >= 1 && asked.timeout_ms.is_none() {
            let timeout_ms = integer(argv.at(at + 1))?;
            if timeout_ms <= 0 {
                return Err(CommandError::text("ERR FAILOVER timeout must be greater than 0"));
            }
            asked.timeout_ms = Some(timeout_ms);
            at += 2;
        } else if is(word, "to") && left >= 2 && asked.target.is_none() {
            let port = integer(argv.at(at + 2))?;
            // A port that cannot be belongs to no replica either.
            let port = u16::try_from(port).unwrap_or(0);
            asked.target = Some((String::from_utf8_lossy(argv.at(at + 1)).into_owned(), port));
            at += 3;
        } else if is(word, "force") && !asked.force {
            asked.force = true;
            at += 1;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    Ok(asked)
}

/// Pairs of option and value. An acknowledgement, and the request for one, get no reply.
fn replconf(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    if argv.len().is_multiple_of(2) {
        return Err(CommandError::Syntax);
    }
    let mut told = ctx.session.replica.clone();
    for i in (1..argv.len()).step_by(2) {
        let (option, value) = (argv.at(i), argv.at(i + 1));
        // Who acknowledges without being a replica yet is not answered, either.
        if is(option, "ack") || is(option, "getack") {
            return Ok(());
        }
        take_option(&mut told, option, value)?;
    }
    ctx.session.replica = told;
    ctx.reply.ok();
    Ok(())
}

fn take_option(told: &mut ReplicaInfo, option: &[u8], value: &[u8]) -> CommandResult {
    match option.to_ascii_lowercase().as_slice() {
        b"listening-port" => {
            told.listening_port = u16::try_from(integer(value)?).map_err(|_| CommandError::NotInteger)?;
        }
        b"ip-address" if value.len() <= ADDRESS_MAX => {
            told.ip_address = Some(String::from_utf8_lossy(value).into_owned());
        }
        b"ip-address" => {
            return Err(CommandError::text("ERR REPLCONF ip-address provided by replica instance is too long"));
        }
        b"capa" if is(value, "eof") => told.capa_eof = true,
        b"capa" if is(value, "psync2") => told.capa_psync2 = true,
        // Capabilities this server does not know are the replica's own affair.
        b"capa" => {}
        b"rdb-only" => {
            told.rdb_only = match integer(value) {
                Ok(number @ 0..=1) => number == 1,
                _ => return Err(CommandError::text("ERR value is out of range, value must between 0 and 1")),
            }
        }
        b"rdb-filter-only" => told.without_data = filter(value)?,
        // What a replica of a newer version may be sent is what its capabilities say.
        b"version" => {}
        _ => {
            let option = String::from_utf8_lossy(option);
            return Err(CommandError::owned(format!("ERR Unrecognized REPLCONF option: {option}")));
        }
    }
    Ok(())
}

/// What of a snapshot a replica wants; gives whether that is anything but the keys.
fn filter(value: &[u8]) -> Result<bool, CommandError> {
    let words = String::from_utf8_lossy(value);
    let known = |word: &&str| word.eq_ignore_ascii_case("functions");
    match words.split_ascii_whitespace().find(|word| !known(word)) {
        None => Ok(true),
        Some(word) => Err(CommandError::owned(format!("ERR Unsupported rdb-filter-only option: {word}"))),
    }
}

/// Longest address a replica may announce, bytes.
const ADDRESS_MAX: usize = 255;
