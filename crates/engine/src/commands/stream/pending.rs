//! XACK, XNACK and XPENDING: what a group has delivered and not seen acknowledged.

use quiver_resp::Argv;

use super::super::args::{integer, is};
use super::{IDS, exact_ids, no_key_or_group, range_end, range_start, write_id};
use crate::command::{Acl, Arg, Command, CommandResult, Flags, Group, KeyFlags, KeySpec};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::number::parse_i64;
use crate::types::stream::{Id, Stream};

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "xack",
        summary: "Acknowledges entries for a consumer group.",
        since: "5.0.0",
        complexity: "O(1) for each entry",
        group: Group::Stream,
        arity: -4,
        flags: Flags::WRITE.with(Flags::FAST),
        acl: Acl::STREAM,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::UPDATE))],
        args: &[Arg::key("key"), Arg::string("group"), Arg::string("id").multiple()],
        run: xack,
        ..Command::NEW
    },
    Command {
        name: "xnack",
        summary: "Gives entries back to a consumer group, for anyone to claim.",
        since: "8.8.0",
        complexity: "O(1) for each entry",
        group: Group::Stream,
        arity: -7,
        flags: Flags::WRITE.with(Flags::FAST),
        acl: Acl::STREAM,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::UPDATE))],
        args: &[
            Arg::key("key"),
            Arg::string("group"),
            Arg::one_of(
                "mode",
                &[Arg::word("silent", "SILENT"), Arg::word("fail", "FAIL"), Arg::word("fatal", "FATAL")],
            ),
            IDS,
            Arg::integer("count").after("RETRYCOUNT").optional(),
            Arg::word("force", "FORCE").optional(),
        ],
        run: xnack,
        ..Command::NEW
    },
    Command {
        name: "xpending",
        summary: "Lists what a consumer group has delivered and not seen acknowledged.",
        since: "5.0.0",
        complexity: "O(N) where N is the number of entries looked at",
        group: Group::Stream,
        arity: -3,
        flags: Flags::READONLY,
        acl: Acl::STREAM,
        tips: &["nondeterministic_output"],
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[
            Arg::key("key"),
            Arg::string("group"),
            Arg::block(
                "filters",
                &[
                    Arg::integer("min-idle-time").after("IDLE").optional().since("6.2.0"),
                    Arg::string("start"),
                    Arg::string("end"),
                    Arg::integer("count"),
                    Arg::string("consumer").optional(),
                ],
            )
            .optional(),
        ],
        run: xpending,
        ..Command::NEW
    },
];

fn xack(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let group = ctx.ks.value_mut::<Box<Stream>>(key)?.and_then(|stream| stream.groups.get_mut(argv.at(2)));
    let Some(group) = group else {
        ctx.reply.integer(0);
        return Ok(());
    };
    let ids = exact_ids(argv, 3)?;
    let acknowledged = ids.into_iter().filter(|id| group.acknowledge(*id)).count();
    // As in Redis, watchers are not told: the entries have not changed.
    ctx.ks.dirty += acknowledged as u64;
    ctx.reply.integer(acknowledged as i64);
    Ok(())
}

/// What XNACK makes of the number of deliveries.
#[derive(Clone, Copy)]
enum Mode {
    Silent,
    Fail,
    Fatal,
}

fn xnack(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let mode = match argv.at(3).to_ascii_uppercase().as_slice() {
        b"SILENT" => Mode::Silent,
        b"FAIL" => Mode::Fail,
        b"FATAL" => Mode::Fatal,
        _ => return Err(CommandError::text("ERR mode must be SILENT, FAIL, or FATAL")),
    };
    let (ids, retry_count, force) = nack_arguments(argv)?;
    let key = ctx.first_key(argv);
    let stream = ctx.ks.value_mut::<Box<Stream>>(key)?;
    let Some(stream) = stream.filter(|stream| stream.groups.contains_key(argv.at(2))) else {
        return Err(no_key_or_group(&key, argv.at(2), ""));
    };
    let Stream { log, groups, .. } = &mut **stream;
    let group = groups.get_mut(argv.at(2)).expect("it is there");
    let mut released = 0;
    for id in ids {
        let known = group.pending(id).map(|pending| pending.delivery_count);
        let before = match known {
            Some(count) => count,
            None if force && log.contains(id) => 0,
            None => continue,
        };
        let after = retry_count.unwrap_or(match mode {
            Mode::Silent => (before - 1).max(0),
            Mode::Fail => before,
            Mode::Fatal => i64::MAX,
        });
        group.release(id, after);
        released += 1;
    }
    if released > 0 {
        // Readers that wait with CLAIM have something to claim now.
        ctx.ks.changed(&key);
        ctx.ks.dirty += released - 1;
    }
    ctx.reply.integer(released as i64);
    Ok(())
}

/// The ids, RETRYCOUNT and FORCE.
fn nack_arguments(argv: Argv<'_>) -> Result<(Vec<Id>, Option<i64>, bool), CommandError> {
    const NOT_POSITIVE: CommandError = CommandError::text("ERR numids must be a positive integer");
    const NOT_SO_MANY: CommandError = CommandError::text("ERR number of IDs doesn't match numids");
    if !is(argv.at(4), "ids") {
        return Err(CommandError::Syntax);
    }
    let count = parse_i64(argv.at(5)).filter(|count| *count > 0).ok_or(NOT_POSITIVE)?;
    let count = usize::try_from(count).ok().filter(|count| *count <= argv.len() - 6).ok_or(NOT_SO_MANY)?;
    let (mut retry_count, mut force, mut at) = (None, false, 6 + count);
    while let Some(word) = argv.get(at) {
        if is(word, "force") {
            force = true;
        } else if is(word, "retrycount") && at + 1 < argv.len() {
            at += 1;
            let value = integer(argv.at(at))?;
            if value < 0 {
                return Err(CommandError::text("ERR Invalid RETRYCOUNT value, must be >= 0"));
            }
            retry_count = Some(value);
        } else {
            return Err(CommandError::Syntax);
        }
        at += 1;
    }
    let ids: Result<Vec<Id>, CommandError> = argv.from(6).iter().take(count).map(super::exact_id).collect();
    Ok((ids?, retry_count, force))
}

/// What XPENDING lists.
struct Filter<'a> {
    start: Id,
    end: Id,
    count: usize,
    min_idle_ms: i64,
    consumer: Option<&'a [u8]>,
}

impl<'a> Filter<'a> {
    fn parse(argv: Argv<'a>) -> Result<Self, CommandError> {
        let (mut min_idle_ms, mut at) = (0, 3);
        if is(argv.at(3), "idle") {
            min_idle_ms = integer(argv.at(4))?;
            if argv.len() < 8 {
                return Err(CommandError::Syntax);
            }
            at = 5;
        }
        let count = usize::try_from(integer(argv.at(at + 2))?).unwrap_or(0);
        let (start, end) = (range_start(argv.at(at))?, range_end(argv.at(at + 1))?);
        Ok(Self { start, end, count, min_idle_ms, consumer: argv.get(at + 3) })
    }
}

fn xpending(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let filter = match argv.len() {
        3 => None,
        6..=9 => Some(Filter::parse(argv)?),
        _ => return Err(CommandError::Syntax),
    };
    let key = ctx.first_key(argv);
    let stream = ctx.ks.value::<Box<Stream>>(key)?;
    if stream.is_none_or(|stream| !stream.groups.contains_key(argv.at(2))) {
        return Err(no_key_or_group(&key, argv.at(2), ""));
    }
    match filter {
        None => summary(ctx, argv),
        Some(filter) => list(ctx, argv, &filter),
    }
}

/// Number of pending entries, the first and the last, and how many each consumer has.
fn summary(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let stream = ctx.ks.value::<Box<Stream>>(key)?;
    let Some(group) = stream.and_then(|stream| stream.groups.get(argv.at(2))) else { return Ok(()) };
    let reply = &mut ctx.reply;
    reply.array(4);
    reply.integer(group.pending_len() as i64);
    let mut ids = group.pending_range(Id::MIN, Id::MAX).map(|(id, _)| id);
    let Some(first) = ids.next() else {
        reply.null();
        reply.null();
        reply.null_array();
        return Ok(());
    };
    write_id(reply, first);
    write_id(reply, ids.next_back().unwrap_or(first));
    let busy = || group.consumers().filter(|consumer| !consumer.pending().is_empty());
    reply.array(busy().count());
    for consumer in busy() {
        reply.array(2);
        reply.bulk(consumer.name());
        reply.bulk_of_int(consumer.pending().len() as i64);
    }
    Ok(())
}

/// Pending entries with owner, idle time and number of deliveries.
fn list(ctx: &mut Ctx<'_>, argv: Argv<'_>, filter: &Filter<'_>) -> CommandResult {
    let (key, now_ms) = (ctx.first_key(argv), ctx.ks.now_ms);
    let stream = ctx.ks.value::<Box<Stream>>(key)?;
    let Some(group) = stream.and_then(|stream| stream.groups.get(argv.at(2))) else { return Ok(()) };
    let owner = filter.consumer.map(|name| group.find(name));
    if owner == Some(None) || filter.start > filter.end {
        ctx.reply.array(0);
        return Ok(());
    }
    let range = filter.start..=filter.end;
    let ids: Box<dyn Iterator<Item = Id>> = match owner.flatten() {
        Some(owner) => Box::new(group.consumer(owner).pending().range(range).copied()),
        None => Box::new(group.pending_range(filter.start, filter.end).map(|(id, _)| id)),
    };
    let reply = &mut ctx.reply;
    let (at, mut written) = (reply.position(), 0);
    for id in ids {
        if written == filter.count {
            break;
        }
        let Some(pending) = group.pending(id) else { continue };
        let idle = now_ms.wrapping_sub(pending.delivery_time);
        if filter.min_idle_ms != 0 && idle < filter.min_idle_ms {
            continue;
        }
        reply.array(4);
        write_id(reply, id);
        reply.bulk(group.owner_name(pending));
        // What nobody has is not idle: it waits to be claimed.
        reply.integer(if pending.owner().is_some() { idle.max(0) } else { -1 });
        reply.integer(pending.delivery_count);
        written += 1;
    }
    reply.array_before(at, written);
    Ok(())
}
