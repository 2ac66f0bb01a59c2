//! Sorted sets: <https://redis.io/docs/latest/develop/data-types/sorted-sets/>.
//!
//! The table entries of commands on single members, and those of these that read; ZADD and ZINCRBY are in `add.rs`, the
//! pops in `pop.rs`, ranges in `range.rs`, unions and the like in `combine.rs`. The value itself is `types/zset.rs`.

mod add;
pub mod combine;
pub(crate) mod number;
mod pop;
mod random;
pub mod range;
mod scan;

use quiver_resp::{Argv, Encoder, Protocol};

use super::args::is;
use crate::command::{Acl, Arg, Begin, Command, CommandResult, Find, Flags, Group, KeyFlags, KeySpec};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::Key;
use crate::notify::Class;
use crate::object::Collection;
use crate::types::zset::{Limits, SortedSet};
pub(crate) use add::{Addition, add_members};
use add::{zadd, zincrby};
use pop::{bzmpop, bzpopmax, bzpopmin, zmpop, zpopmax, zpopmin};
use random::zrandmember;
use scan::zscan;

const WHERE: Arg = Arg::one_of("where", &[Arg::word("min", "MIN"), Arg::word("max", "MAX")]);

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "bzmpop",
        summary: "Takes lowest or highest members out of the first sorted set that has some; waits for one if none has.",
        since: "7.0.0",
        complexity: "O(K) + O(M*log(N)) where K is the number of keys, M of members taken and N the size of the set",
        group: Group::SortedSet,
        arity: -5,
        flags: Flags::WRITE.with(Flags::BLOCKING).with(Flags::MOVABLEKEYS),
        acl: Acl::SORTEDSET,
        keys: &[KeySpec {
            flags: KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::DELETE),
            begin: Begin::Index(2),
            find: Find::KeyNum { count: 0, first: 1, step: 1 },
        }],
        args: &[
            Arg::double("timeout"),
            Arg::integer("numkeys"),
            Arg::key("key").multiple(),
            WHERE,
            Arg::integer("count").after("COUNT").optional(),
        ],
        run: bzmpop,
        ..Command::NEW
    },
    Command {
        name: "bzpopmax",
        summary: "Takes the highest member out of the first sorted set that has one; waits for it if none has.",
        since: "5.0.0",
        complexity: "O(log(N)) where N is the size of the sorted set",
        group: Group::SortedSet,
        arity: -3,
        flags: Flags::WRITE.with(Flags::BLOCKING).with(Flags::FAST),
        acl: Acl::SORTEDSET,
        keys: &[KeySpec {
            flags: KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::DELETE),
            begin: Begin::Index(1),
            find: Find::Range { last: -2, step: 1, limit: 0 },
        }],
        args: &[Arg::key("key").multiple(), Arg::double("timeout")],
        run: bzpopmax,
        ..Command::NEW
    },
    Command {
        name: "bzpopmin",
        summary: "Takes the lowest member out of the first sorted set that has one; waits for it if none has.",
        since: "5.0.0",
        complexity: "O(log(N)) where N is the size of the sorted set",
        group: Group::SortedSet,
        arity: -3,
        flags: Flags::WRITE.with(Flags::BLOCKING).with(Flags::FAST),
        acl: Acl::SORTEDSET,
        keys: &[KeySpec {
            flags: KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::DELETE),
            begin: Begin::Index(1),
            find: Find::Range { last: -2, step: 1, limit: 0 },
        }],
        args: &[Arg::key("key").multiple(), Arg::double("timeout")],
        run: bzpopmin,
        ..Command::NEW
    },
    Command {
        name: "zadd",
        summary: "Adds members to a sorted set or changes their scores.",
        since: "1.2.0",
        complexity: "O(log(N)) for each member, where N is the size of the sorted set",
        group: Group::SortedSet,
        arity: -4,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        acl: Acl::SORTEDSET,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::UPDATE))],
        args: &[
            Arg::key("key"),
            Arg::one_of("condition", &[Arg::word("nx", "NX"), Arg::word("xx", "XX")]).optional().since("3.0.2"),
            Arg::one_of("comparison", &[Arg::word("gt", "GT"), Arg::word("lt", "LT")]).optional().since("6.2.0"),
            Arg::word("change", "CH").optional().since("3.0.2"),
            Arg::word("increment", "INCR").optional().since("3.0.2"),
            Arg::block("data", &[Arg::double("score"), Arg::string("member")]).multiple(),
        ],
        run: zadd,
        ..Command::NEW
    },
    Command {
        name: "zcard",
        summary: "Answers the number of members of a sorted set.",
        since: "1.2.0",
        group: Group::SortedSet,
        arity: 2,
        flags: Flags::READONLY.with(Flags::FAST),
        acl: Acl::SORTEDSET,
        keys: &[KeySpec::one(KeyFlags::RO)],
        args: &[Arg::key("key")],
        run: zcard,
        ..Command::NEW
    },
    Command {
        name: "zincrby",
        summary: "Adds to the score of a member.",
        since: "1.2.0",
        complexity: "O(log(N)) where N is the size of the sorted set",
        group: Group::SortedSet,
        arity: 4,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        acl: Acl::SORTEDSET,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE))],
        args: &[Arg::key("key"), Arg::integer("increment"), Arg::string("member")],
        run: zincrby,
        ..Command::NEW
    },
    Command {
        name: "zmpop",
        summary: "Takes lowest or highest members out of the first sorted set that has some.",
        since: "7.0.0",
        complexity: "O(K) + O(M*log(N)) where K is the number of keys, M of members taken and N the size of the set",
        group: Group::SortedSet,
        arity: -4,
        flags: Flags::WRITE.with(Flags::MOVABLEKEYS),
        acl: Acl::SORTEDSET,
        keys: &[KeySpec {
            flags: KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::DELETE),
            begin: Begin::Index(1),
            find: Find::KeyNum { count: 0, first: 1, step: 1 },
        }],
        args: &[
            Arg::integer("numkeys"),
            Arg::key("key").multiple(),
            WHERE,
            Arg::integer("count").after("COUNT").optional(),
        ],
        run: zmpop,
        ..Command::NEW
    },
    Command {
        name: "zmscore",
        summary: "Answers the scores of several members.",
        since: "6.2.0",
        complexity: "O(N) where N is the number of members asked for",
        group: Group::SortedSet,
        arity: -3,
        flags: Flags::READONLY.with(Flags::FAST),
        acl: Acl::SORTEDSET,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key"), Arg::string("member").multiple()],
        run: zmscore,
        ..Command::NEW
    },
    Command {
        name: "zpopmax",
        summary: "Takes the highest members out of a sorted set.",
        since: "5.0.0",
        complexity: "O(M*log(N)) where M is the number of members taken and N the size of the set",
        group: Group::SortedSet,
        arity: -2,
        flags: Flags::WRITE.with(Flags::FAST),
        acl: Acl::SORTEDSET,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::DELETE))],
        args: &[Arg::key("key"), Arg::integer("count").optional()],
        run: zpopmax,
        ..Command::NEW
    },
    Command {
        name: "zpopmin",
        summary: "Takes the lowest members out of a sorted set.",
        since: "5.0.0",
        complexity: "O(M*log(N)) where M is the number of members taken and N the size of the set",
        group: Group::SortedSet,
        arity: -2,
        flags: Flags::WRITE.with(Flags::FAST),
        acl: Acl::SORTEDSET,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::DELETE))],
        args: &[Arg::key("key"), Arg::integer("count").optional()],
        run: zpopmin,
        ..Command::NEW
    },
    Command {
        name: "zrandmember",
        summary: "Picks members of a sorted set at random, with their scores if wanted.",
        since: "6.2.0",
        complexity: "O(N*log(M)) where N is the number of members picked and M the size of the set",
        group: Group::SortedSet,
        arity: -2,
        flags: Flags::READONLY,
        acl: Acl::SORTEDSET,
        tips: &["nondeterministic_output"],
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[
            Arg::key("key"),
            Arg::block("options", &[Arg::integer("count"), Arg::word("withscores", "WITHSCORES").optional()])
                .optional(),
        ],
        run: zrandmember,
        ..Command::NEW
    },
    Command {
        name: "zrank",
        summary: "Answers the rank of a member, lowest score first.",
        since: "2.0.0",
        complexity: "O(log(N)) where N is the size of the sorted set",
        group: Group::SortedSet,
        arity: -3,
        flags: Flags::READONLY.with(Flags::FAST),
        acl: Acl::SORTEDSET,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key"), Arg::string("member"), Arg::word("withscore", "WITHSCORE").optional()],
        run: zrank,
        ..Command::NEW
    },
    Command {
        name: "zrem",
        summary: "Removes members from a sorted set, and the set with its last member.",
        since: "1.2.0",
        complexity: "O(M*log(N)) where M is the number of members removed and N the size of the set",
        group: Group::SortedSet,
        arity: -3,
        flags: Flags::WRITE.with(Flags::FAST),
        acl: Acl::SORTEDSET,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::DELETE))],
        args: &[Arg::key("key"), Arg::string("member").multiple()],
        run: zrem,
        ..Command::NEW
    },
    Command {
        name: "zrevrank",
        summary: "Answers the rank of a member, highest score first.",
        since: "2.0.0",
        complexity: "O(log(N)) where N is the size of the sorted set",
        group: Group::SortedSet,
        arity: -3,
        flags: Flags::READONLY.with(Flags::FAST),
        acl: Acl::SORTEDSET,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key"), Arg::string("member"), Arg::word("withscore", "WITHSCORE").optional()],
        run: zrevrank,
        ..Command::NEW
    },
    Command {
        name: "zscan",
        summary: "Walks the members of a sorted set a batch at a time.",
        since: "2.8.0",
        complexity: "O(1) per call, O(N) for a full iteration over N members",
        group: Group::SortedSet,
        arity: -3,
        flags: Flags::READONLY,
        acl: Acl::SORTEDSET,
        tips: &["nondeterministic_output"],
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[
            Arg::key("key"),
            Arg::integer("cursor"),
            Arg::pattern("pattern").after("MATCH").optional(),
            Arg::integer("count").after("COUNT").optional(),
        ],
        run: zscan,
        ..Command::NEW
    },
    Command {
        name: "zscore",
        summary: "Answers the score of a member.",
        since: "1.2.0",
        group: Group::SortedSet,
        arity: 3,
        flags: Flags::READONLY.with(Flags::FAST),
        acl: Acl::SORTEDSET,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key"), Arg::string("member")],
        run: zscore,
        ..Command::NEW
    },
];

fn zcard(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let len = ctx.ks.value::<SortedSet>(key)?.map_or(0, SortedSet::len);
    ctx.reply.integer(len as i64);
    Ok(())
}

fn zscore(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    match ctx.ks.value::<SortedSet>(key)?.and_then(|set| set.score(argv.at(2))) {
        Some(score) => ctx.reply.double(score),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn zmscore(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let set = ctx.ks.value::<SortedSet>(key)?;
    ctx.reply.array(argv.len() - 2);
    for member in argv.from(2) {
        match set.and_then(|set| set.score(member)) {
            Some(score) => ctx.reply.double(score),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

fn zrank(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    rank(ctx, argv, false, "zrank")
}

fn zrevrank(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    rank(ctx, argv, true, "zrevrank")
}

fn rank(ctx: &mut Ctx<'_>, argv: Argv<'_>, back: bool, name: &'static str) -> CommandResult {
    if argv.len() > 4 {
        return Err(CommandError::Arity(name.into()));
    }
    let with_score = argv.len() == 4;
    if with_score && !is(argv.at(3), "withscore") {
        return Err(CommandError::Syntax);
    }
    let key = ctx.first_key(argv);
    let set = ctx.ks.value::<SortedSet>(key)?;
    let found = set.and_then(|set| {
        let rank = set.rank(argv.at(2))?;
        Some((if back { set.len() - 1 - rank } else { rank }, set.score(argv.at(2))?))
    });
    match found {
        Some((rank, score)) if with_score => {
            ctx.reply.array(2);
            ctx.reply.integer(rank as i64);
            ctx.reply.double(score);
        }
        Some((rank, _)) => ctx.reply.integer(rank as i64),
        None if with_score => ctx.reply.null_array(),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn zrem(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let removed = match ctx.ks.value_mut::<SortedSet>(key)? {
        Some(set) => argv.from(2).iter().filter(|member| set.remove(member).is_some()).count(),
        None => 0,
    };
    removed_some(ctx, key, removed, "zrem");
    ctx.reply.integer(removed as i64);
    Ok(())
}

/// Notes that so many members were taken out of the set under a key, which goes with its last.
fn removed_some(ctx: &mut Ctx<'_>, key: Key<'_>, removed: usize, event: &'static str) {
    if removed == 0 {
        return;
    }
    ctx.ks.changed(&key);
    ctx.ks.dirty += removed as u64 - 1;
    ctx.ks.notify(Class::ZSET, event, key.name);
    ctx.ks.delete_if_empty(key);
    if !ctx.ks.contains(key) {
        ctx.ks.notify(Class::GENERIC, "del", key.name);
    }
}

/// Stores the members of a result, which are distinct and in order, under a key in the place of whatever is there.
/// Nothing is stored as no key.
pub(crate) fn store<M: AsRef<[u8]>>(ctx: &mut Ctx<'_>, key: Key<'_>, set: &[(M, f64)], event: &'static str) {
    if set.is_empty() {
        if ctx.ks.delete(key) {
            ctx.ks.notify(Class::GENERIC, "del", key.name);
        }
        return;
    }
    let set = SortedSet::from_sorted(set, limits(ctx));
    ctx.ks.set(key, quiver_structures::Value::Object(Box::new(set.into_object())), None);
    ctx.ks.notify(Class::ZSET, event, key.name);
}

/// What may be a listpack, from the configuration.
#[inline]
pub(crate) fn limits(ctx: &Ctx<'_>) -> Limits {
    let config = &ctx.engine.config;
    Limits { entries: config.zset_max_listpack_entries(), value_bytes: config.zset_max_listpack_value() }
}

/// Header of a list of members: with scores it is flat in RESP2 and a list of pairs in RESP3.
fn header(reply: &mut Encoder<'_>, members: usize, with_scores: bool) {
    let flat = with_scores && reply.protocol() == Protocol::Resp2;
    reply.array(if flat { members * 2 } else { members });
}

/// A member of such a list.
fn entry(reply: &mut Encoder<'_>, member: &[u8], score: f64, with_scores: bool) {
    if with_scores && reply.protocol() == Protocol::Resp3 {
        reply.array(2);
    }
    reply.bulk(member);
    if with_scores {
        reply.double(score);
    }
}
