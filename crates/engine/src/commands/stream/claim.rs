//! XCLAIM and XAUTOCLAIM: pending entries change their owner.
//!
//! Both are replayed as one exact XCLAIM for each entry, which any receiver carries out the same way.

use quiver_resp::{Argv, Encoder};

use super::super::args::is;
use super::replay::Changes;
use super::{exact_id, no_key_or_group, range_start, write_entry, write_id};
use crate::command::{Acl, Arg, Command, CommandResult, Flags, Group, KeyFlags, KeySpec};
use crate::context::Ctx;
use crate::error::{CommandError, quote_within};
use crate::keyspace::Key;
use crate::notify::Class;
use crate::number::parse_i64;
use crate::types::stream::group::{ConsumerId, Group as ConsumerGroup};
use crate::types::stream::{Id, Log, Stream};

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "xautoclaim",
        summary: "Claims pending entries that have been idle for long.",
        since: "6.2.0",
        complexity: "O(1) for a bounded COUNT",
        group: Group::Stream,
        arity: -6,
        flags: Flags::WRITE.with(Flags::FAST),
        acl: Acl::STREAM,
        tips: &["nondeterministic_output"],
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::DELETE))],
        args: &[
            Arg::key("key"),
            Arg::string("group"),
            Arg::string("consumer"),
            Arg::string("min-idle-time"),
            Arg::string("start"),
            Arg::integer("count").after("COUNT").optional(),
            Arg::word("justid", "JUSTID").optional(),
        ],
        run: xautoclaim,
        ..Command::NEW
    },
    Command {
        name: "xclaim",
        summary: "Makes a consumer the owner of pending entries.",
        since: "5.0.0",
        complexity: "O(log N) for each entry, where N is the number of pending entries of the group",
        group: Group::Stream,
        arity: -6,
        flags: Flags::WRITE.with(Flags::FAST),
        acl: Acl::STREAM,
        tips: &["nondeterministic_output"],
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::UPDATE))],
        args: &[
            Arg::key("key"),
            Arg::string("group"),
            Arg::string("consumer"),
            Arg::string("min-idle-time"),
            Arg::string("id").multiple(),
            Arg::integer("ms").after("IDLE").optional(),
            Arg::unix_time("unix-time-milliseconds").after("TIME").optional(),
            Arg::integer("count").after("RETRYCOUNT").optional(),
            Arg::word("force", "FORCE").optional(),
            Arg::word("justid", "JUSTID").optional(),
            Arg::string("lastid").after("LASTID").optional(),
        ],
        run: xclaim,
        ..Command::NEW
    },
];

/// A claim as it was asked for.
struct Claim {
    ids: Vec<Id>,
    min_idle_ms: i64,
    delivery_time: i64,
    retry_count: Option<i64>,
    force: bool,
    just_id: bool,
    last_id: Id,
}

impl Claim {
    /// Reads the words behind the consumer: the idle time, ids, and options behind the last word that is an id.
    fn parse(argv: Argv<'_>, now_ms: i64) -> Result<Self, CommandError> {
        let min_idle_ms = number(argv.at(4), "min-idle-time argument for XCLAIM")?.max(0);
        let ids: Vec<Id> = argv.from(5).iter().map_while(|word| Id::parse(word, 0)).collect();
        let mut at = 5 + ids.len();
        let mut claim = Self {
            ids,
            min_idle_ms,
            delivery_time: -1,
            retry_count: None,
            force: false,
            just_id: false,
            last_id: Id::MIN,
        };
        while let Some(word) = argv.get(at) {
            let value = argv.get(at + 1);
            match (word.to_ascii_uppercase().as_slice(), value) {
                (b"FORCE", _) => claim.force = true,
                (b"JUSTID", _) => claim.just_id = true,
                (b"IDLE", Some(value)) => {
                    claim.delivery_time = now_ms.wrapping_sub(number(value, "IDLE option argument for XCLAIM")?);
                }
                (b"TIME", Some(value)) => claim.delivery_time = number(value, "TIME option argument for XCLAIM")?,
                (b"RETRYCOUNT", Some(value)) => {
                    let count = number(value, "RETRYCOUNT option argument for XCLAIM")?;
                    claim.retry_count = Some(count).filter(|count| *count >= 0);
                }
                (b"LASTID", Some(value)) => claim.last_id = exact_id(value)?,
                _ => {
                    let word = quote_within(word, usize::MAX);
                    return Err(CommandError::owned(format!("ERR Unrecognized XCLAIM option '{word}'")));
                }
            }
            let takes_value = !is(word, "force") && !is(word, "justid");
            at += 1 + usize::from(takes_value);
        }
        // Times that cannot be are read as now: clients reckon with clocks of their own.
        if !(0..=now_ms).contains(&claim.delivery_time) {
            claim.delivery_time = now_ms;
        }
        Ok(claim)
    }
}

fn number(text: &[u8], what: &str) -> Result<i64, CommandError> {
    parse_i64(text).ok_or_else(|| CommandError::owned(format!("ERR Invalid {what}")))
}

/// The stream and its group, the consumer made if need be.
struct Target<'a> {
    log: &'a Log,
    group: &'a mut ConsumerGroup,
    consumer: ConsumerId,
    is_new: bool,
}

impl<'a> Target<'a> {
    fn find(
        stream: Option<&'a mut Box<Stream>>,
        argv: Argv<'_>,
        key: &Key<'_>,
        now_ms: i64,
    ) -> Result<Self, CommandError> {
        let missing = || no_key_or_group(key, argv.at(2), "");
        let Stream { log, groups, .. } = &mut **stream.ok_or_else(missing)?;
        let group = groups.get_mut(argv.at(2)).ok_or_else(missing)?;
        let (consumer, is_new) = group.find_or_create(argv.at(3), now_ms);
        group.consumer_mut(consumer).seen_time = now_ms;
        Ok(Self { log, group, consumer, is_new })
    }
}

fn xclaim(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (key, now_ms) = (ctx.first_key(argv), ctx.ks.now_ms);
    let mut changes = Changes::new(ctx);
    let stream = ctx.ks.value_mut::<Box<Stream>>(key)?;
    if stream.as_ref().is_none_or(|stream| !stream.groups.contains_key(argv.at(2))) {
        return Err(no_key_or_group(&key, argv.at(2), ""));
    }
    let claim = Claim::parse(argv, now_ms)?;
    let target = Target::find(stream, argv, &key, now_ms)?;
    let moved = claim.last_id > target.group.last_id;
    if moved {
        target.group.last_id = claim.last_id;
    }
    if target.is_new {
        changes.created(argv.at(3));
    }
    let is_new = target.is_new;
    let (changed, group) = claim_entries(&claim, target, &mut ctx.reply, now_ms, &mut changes);
    if moved && changed == 0 {
        changes.moved(group);
    }
    changes.finish(group);
    ctx.ks.dirty += changed + u64::from(moved && changed == 0);
    note_consumer(ctx, key, is_new);
    changes.replay(ctx, key, argv.at(2));
    Ok(())
}

/// Claims what can be claimed; the number of pending entries that changed.
fn claim_entries<'a>(
    claim: &Claim,
    target: Target<'a>,
    reply: &mut Encoder<'_>,
    now_ms: i64,
    changes: &mut Changes,
) -> (u64, &'a ConsumerGroup) {
    let Target { log, group, consumer, .. } = target;
    let (at, mut written, mut changed) = (reply.position(), 0, 0);
    for id in &claim.ids {
        let known = group.pending(*id).copied();
        let Some(entry) = log.get(*id) else {
            if known.is_some() {
                changes.claimed(group, *id);
                group.acknowledge(*id);
                changed += 1;
            }
            continue;
        };
        let count = match known {
            // What nobody has is not protected by its idle time.
            Some(pending) if pending.owner().is_some() => {
                if claim.min_idle_ms > 0 && now_ms.wrapping_sub(pending.delivery_time) < claim.min_idle_ms {
                    continue;
                }
                pending.delivery_count
            }
            Some(pending) => pending.delivery_count,
            None if claim.force => 1,
            None => continue,
        };
        let count = claim.retry_count.unwrap_or(if claim.just_id { count } else { count.saturating_add(1) });
        group.deliver(*id, consumer, claim.delivery_time, count);
        group.consumer_mut(consumer).active_time = now_ms;
        if claim.just_id {
            write_id(reply, *id)
        } else {
            write_entry(reply, &entry)
        }
        changes.claimed(group, *id);
        written += 1;
        changed += 1;
    }
    reply.array_before(at, written);
    (changed, group)
}

/// XAUTOCLAIM's options.
struct AutoClaim {
    min_idle_ms: i64,
    start: Id,
    count: usize,
    just_id: bool,
}

impl AutoClaim {
    fn parse(argv: Argv<'_>) -> Result<Self, CommandError> {
        /// More could not be looked at: ten times as many entries are.
        const COUNT_MAX: i64 = i64::MAX / 16;
        const BAD_COUNT: CommandError = CommandError::text("ERR COUNT must be > 0");
        let min_idle_ms = number(argv.at(4), "min-idle-time argument for XAUTOCLAIM")?.max(0);
        let mut parsed = Self { min_idle_ms, start: range_start(argv.at(5))?, count: 100, just_id: false };
        let mut at = 6;
        while let Some(word) = argv.get(at) {
            if is(word, "count") && at + 1 < argv.len() {
                at += 1;
                let count = parse_i64(argv.at(at)).filter(|count| (1..=COUNT_MAX).contains(count)).ok_or(BAD_COUNT)?;
                parsed.count = count as usize;
            } else if is(word, "justid") {
                parsed.just_id = true;
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        Ok(parsed)
    }
}

fn xautoclaim(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let claim = AutoClaim::parse(argv)?;
    let (key, now_ms) = (ctx.first_key(argv), ctx.ks.now_ms);
    let mut changes = Changes::new(ctx);
    // It reads as well: a missing key is a miss.
    ctx.ks.value::<Box<Stream>>(key)?;
    let target = Target::find(ctx.ks.value_mut::<Box<Stream>>(key)?, argv, &key, now_ms)?;
    if target.is_new {
        changes.created(argv.at(3));
    }
    let (is_new, reply) = (target.is_new, &mut ctx.reply);
    reply.array(3);
    let (changed, group) = claim_idle(&claim, target, reply, now_ms, &mut changes);
    changes.finish(group);
    ctx.ks.dirty += changed;
    note_consumer(ctx, key, is_new);
    changes.replay(ctx, key, argv.at(2));
    Ok(())
}

/// Claims entries in order from `claim.start` on and writes where to go on, what was claimed, and what is pending but no
/// longer in the stream; the number of pending entries that changed.
fn claim_idle<'a>(
    claim: &AutoClaim,
    target: Target<'a>,
    reply: &mut Encoder<'_>,
    now_ms: i64,
    changes: &mut Changes,
) -> (u64, &'a ConsumerGroup) {
    /// Entries looked at for each one wanted.
    const ATTEMPTS: usize = 10;
    let Target { log, group, consumer, .. } = target;
    let mut claimed = Vec::new();
    let mut claimed_reply = Encoder::new(&mut claimed, reply.protocol());
    let (mut written, mut deleted, mut left) = (0, Vec::new(), claim.count);
    // The end of a step that could not be the last of the list is where the next call begins.
    let mut next = Some(claim.start);
    for _ in 0..claim.count.saturating_mul(ATTEMPTS) {
        let found = next.and_then(|from| group.pending_range(from, Id::MAX).next().map(|(id, pending)| (id, *pending)));
        let Some((id, pending)) = found.filter(|_| left > 0) else { break };
        next = id.next();
        let Some(entry) = log.get(id) else {
            changes.claimed(group, id);
            group.acknowledge(id);
            deleted.push(id);
            left -= 1;
            continue;
        };
        if claim.min_idle_ms > 0 && now_ms.wrapping_sub(pending.delivery_time) < claim.min_idle_ms {
            continue;
        }
        let count = pending.delivery_count.saturating_add(i64::from(!claim.just_id));
        group.deliver(id, consumer, now_ms, count);
        group.consumer_mut(consumer).active_time = now_ms;
        if claim.just_id {
            write_id(&mut claimed_reply, id)
        } else {
            write_entry(&mut claimed_reply, &entry)
        }
        changes.claimed(group, id);
        written += 1;
        left -= 1;
    }
    let cursor = next.and_then(|from| group.pending_range(from, Id::MAX).next().map(|(id, _)| id));
    write_id(reply, cursor.unwrap_or(Id::MIN));
    reply.array(written);
    reply.raw(&claimed);
    reply.array(deleted.len());
    deleted.iter().for_each(|id| write_id(reply, *id));
    ((written + deleted.len()) as u64, group)
}

/// Counts and tells of a consumer that a command made on the way.
pub(super) fn note_consumer(ctx: &mut Ctx<'_>, key: Key<'_>, is_new: bool) {
    if is_new {
        ctx.ks.dirty += 1;
        ctx.ks.notify(Class::STREAM, "xgroup-createconsumer", key.name);
    }
}
