//! Walks over the keyspace: KEYS, RANDOMKEY, SCAN.
//!
//! A SCAN cursor is a shard and the cursor of its table ([`quiver_structures::Table::scan`]) in one number. Shards keep
//! their keys, and a table's cursor stays valid while the table grows and shrinks, so every key that is there during the
//! whole scan is returned at least once. SCAN locks one shard at a time and lets go every few buckets; nothing but a
//! transaction makes it hold more. KEYS walks in the same way: it lists every key that is there all the while exactly once,
//! unless that is renamed meanwhile, and no single moment of all keys.

use quiver_resp::Argv;

use crate::command::{Acl, Arg, Command, CommandResult, Flags, Locks};
use crate::commands::args::{ScanOptions, Scanned, is, scan_cursor};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::glob;
use crate::keyspace::{ExpiryRule, KeyEntry, SHARDS};
use crate::object::type_name;

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "keys",
        summary: "Lists every key that matches a pattern.",
        complexity: "O(N) where N is the number of keys in the database",
        arity: 2,
        flags: Flags::READONLY,
        acl: Acl::KEYSPACE.with(Acl::DANGEROUS),
        tips: &["request_policy:all_shards", "nondeterministic_output_order"],
        args: &[Arg::pattern("pattern")],
        run: keys,
        locks: Locks::Walk,
        ..Command::NEW
    },
    Command {
        name: "randomkey",
        summary: "Picks any one key of the database.",
        flags: Flags::READONLY,
        acl: Acl::KEYSPACE,
        tips: &["request_policy:all_shards", "response_policy:special", "nondeterministic_output"],
        run: randomkey,
        locks: Locks::All,
        ..Command::NEW
    },
    Command {
        name: "scan",
        summary: "Walks the keys of the database a batch at a time.",
        since: "2.8.0",
        complexity: "O(1) per call, O(N) for a full iteration over N keys",
        arity: -2,
        flags: Flags::READONLY,
        acl: Acl::KEYSPACE,
        tips: &["nondeterministic_output", "request_policy:special", "response_policy:special"],
        args: &[
            Arg::integer("cursor"),
            Arg::pattern("pattern").after("MATCH").optional(),
            Arg::integer("count").after("COUNT").optional(),
            Arg::string("type").after("TYPE").optional().since("6.0.0"),
        ],
        run: scan,
        locks: Locks::Walk,
        ..Command::NEW
    },
];

fn keys(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let pattern = argv.at(1);
    let (start, mut found) = (ctx.reply.position(), 0);
    for shard in 0..SHARDS {
        found += keys_of_shard(ctx, shard, pattern);
    }
    ctx.ks.release();
    ctx.reply.array_before(start, found);
    Ok(())
}

/// Buckets KEYS passes under one hold: some tens of microseconds.
const KEYS_BUCKETS_PER_HOLD: usize = 256;

/// Writes the matching keys of one shard; gives how many.
///
/// The lock is given back every few buckets. A bucket that was split meanwhile is met in the state it had or not at all,
/// but one that was merged back may be met again: then the shard is begun anew, and in the end under one hold.
fn keys_of_shard(ctx: &mut Ctx<'_>, shard: usize, pattern: &[u8]) -> usize {
    let all = glob::is_all(pattern);
    let start = ctx.reply.position();
    for buckets_per_hold in [KEYS_BUCKETS_PER_HOLD, KEYS_BUCKETS_PER_HOLD, usize::MAX] {
        let (mut found, mut place, mut bits) = (0, 0, 0);
        loop {
            ctx.ks.lock_only(shard);
            let now_bits = ctx.ks.address_bits(shard);
            if now_bits < bits {
                break;
            }
            bits = now_bits;
            let Ctx { ks, reply, .. } = &mut *ctx;
            for _ in 0..buckets_per_hold {
                place = ks.scan_shard(shard, place, &mut |entry| {
                    if !ks.is_over(&entry) && (all || glob::matches(pattern, entry.key())) {
                        reply.bulk(entry.key());
                        found += 1;
                    }
                });
                if place == 0 {
                    return found;
                }
            }
            ctx.ks.release();
        }
        ctx.reply.truncate(start);
    }
    0
}

/// Expired keys RANDOMKEY may meet before it searches for a live one instead of guessing.
const RANDOM_TRIES: usize = 100;

fn randomkey(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    for _ in 0..RANDOM_TRIES {
        let Some(entry) = ctx.ks.sample(ctx.rng.next()) else { break };
        if !ctx.ks.is_over(&entry) {
            ctx.reply.bulk(entry.key());
            return Ok(());
        }
        let name: Box<[u8]> = entry.key().into();
        if ctx.ks.expiry == ExpiryRule::Delete {
            ctx.ks.expire_now(&ctx.ks.key(&name));
        }
    }
    let mut live: Option<Box<[u8]>> = None;
    ctx.ks.for_each(ctx.ks.db, &mut |entry| {
        if live.is_none() && !ctx.ks.is_over(&entry) {
            live = Some(entry.key().into());
        }
    });
    match live {
        Some(name) => ctx.reply.bulk(&name),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn scan(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let mut cursor = Cursor::parse(argv.at(1))?;
    let mut page = Page::new(ScanOptions::parse(argv, 2, Scanned::Keys)?);
    while !cursor.is_at_end() && !page.is_full() {
        scan_slice(ctx, &mut cursor, &mut page);
    }
    ctx.ks.release();
    ctx.reply.array(2);
    ctx.reply.bulk(cursor.encode().to_string().as_bytes());
    page.reply(ctx);
    Ok(())
}

/// Buckets passed under one hold of a shard's lock.
const BUCKETS_PER_HOLD: usize = 64;

/// One hold of the lock of the cursor's shard.
fn scan_slice(ctx: &mut Ctx<'_>, cursor: &mut Cursor, page: &mut Page<'_>) {
    ctx.ks.release();
    ctx.ks.lock_only(cursor.shard);
    let (ks, mut over) = (&ctx.ks, Vec::<Box<[u8]>>::new());
    for _ in 0..BUCKETS_PER_HOLD {
        cursor.place = ks.scan_shard(cursor.shard, cursor.place, &mut |entry| {
            page.examined += 1;
            if !ks.is_over(&entry) {
                page.offer(&entry);
            } else if passes(&page.options, &entry) {
                over.push(entry.key().into());
            }
        });
        if cursor.place == 0 {
            cursor.shard += 1;
            break;
        }
        // Empty buckets cost time as well.
        page.examined += 1;
        if page.is_full() {
            break;
        }
    }
    if ctx.ks.expiry == ExpiryRule::Delete && !over.is_empty() {
        expire(ctx, &over);
    }
}

/// Deletes what was met behind its time, each key as a unit of its own; outside of a transaction the stream has them
/// before the lock is given back.
fn expire(ctx: &mut Ctx<'_>, names: &[Box<[u8]>]) {
    for name in names {
        ctx.ks.expire_now(&ctx.ks.key(name));
        if !ctx.ks.in_transaction {
            ctx.ks.effects.end_unit();
        }
    }
    if !ctx.ks.in_transaction {
        ctx.engine.deliver(ctx.ks.effects);
        ctx.ks.effects.reset(ctx.engine.has_sink());
    }
}

/// Where a scan stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    shard: usize,
    /// Cursor of the shard's table.
    place: u64,
}

const SHARD_BITS: u32 = SHARDS.trailing_zeros();

impl Cursor {
    fn parse(text: &[u8]) -> Result<Self, CommandError> {
        let number = scan_cursor(text)?;
        Ok(Self { shard: number as usize % SHARDS, place: number >> SHARD_BITS })
    }

    fn is_at_end(self) -> bool {
        self.shard == SHARDS
    }

    /// The number for the client, 0 at the end. The place has at most as many bits as its table has address bits.
    fn encode(self) -> u64 {
        if self.is_at_end() { 0 } else { self.place << SHARD_BITS | self.shard as u64 }
    }
}

/// Whether an entry is one that SCAN is asked for.
fn passes(options: &ScanOptions<'_>, entry: &KeyEntry<'_>) -> bool {
    options.matches(entry.key()) && options.type_name.is_none_or(|name| is(name, type_name(&entry.value())))
}

/// The names one SCAN found. They wait here because the cursor precedes them in the reply.
struct Page<'a> {
    options: ScanOptions<'a>,
    names: Vec<u8>,
    ends: Vec<usize>,
    /// Keys and buckets looked at.
    examined: usize,
}

/// Keys looked at for each one wanted, when a filter lets few of them pass.
const EXAMINED_PER_COUNT: usize = 10;

impl<'a> Page<'a> {
    fn new(options: ScanOptions<'a>) -> Self {
        Self { options, names: Vec::new(), ends: Vec::new(), examined: 0 }
    }

    fn offer(&mut self, entry: &KeyEntry<'_>) {
        if passes(&self.options, entry) {
            self.names.extend_from_slice(entry.key());
            self.ends.push(self.names.len());
        }
    }

    fn is_full(&self) -> bool {
        self.ends.len() >= self.options.count || self.examined >= self.options.count.saturating_mul(EXAMINED_PER_COUNT)
    }

    fn reply(&self, ctx: &mut Ctx<'_>) {
        ctx.reply.array(self.ends.len());
        let mut start = 0;
        for end in &self.ends {
            ctx.reply.bulk(&self.names[start..*end]);
            start = *end;
        }
    }
}
