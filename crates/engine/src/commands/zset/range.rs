//! Ranges of ranks, scores and names: answered, counted, stored and removed.

use std::ops::Range;

use quiver_resp::{Argv, DoubleText};

use super::super::args::{integer, is};
use super::number::parse_end;
use super::{entry, header, removed_some, store};
use crate::command::{Acl, Arg, Begin, Command, CommandResult, Find, Flags, Group, KeyFlags, KeySpec};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::Key;
use crate::types::zset::{Bound, LexRange, ScoreRange, SortedSet};

const LIMIT: Arg = Arg::block("limit", &[Arg::integer("offset"), Arg::integer("count")]).after("LIMIT").optional();
const WITH_SCORES: Arg = Arg::word("withscores", "WITHSCORES").optional();

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "zcount",
        summary: "Counts the members whose scores are in a range.",
        since: "2.0.0",
        complexity: "O(log(N)) where N is the size of the sorted set",
        group: Group::SortedSet,
        arity: 4,
        flags: Flags::READONLY.with(Flags::FAST),
        acl: Acl::SORTEDSET,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key"), Arg::double("min"), Arg::double("max")],
        run: zcount,
        ..Command::NEW
    },
    Command {
        name: "zlexcount",
        summary: "Counts the members in a range of names, in a set of equal scores.",
        since: "2.8.9",
        complexity: "O(log(N)) where N is the size of the sorted set",
        group: Group::SortedSet,
        arity: 4,
        flags: Flags::READONLY.with(Flags::FAST),
        acl: Acl::SORTEDSET,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key"), Arg::string("min"), Arg::string("max")],
        run: zlexcount,
        ..Command::NEW
    },
    Command {
        name: "zrange",
        summary: "Answers the members in a range of ranks, scores or names.",
        since: "1.2.0",
        complexity: "O(log(N)+M) where N is the size of the sorted set and M the number of members answered",
        group: Group::SortedSet,
        arity: -4,
        flags: Flags::READONLY,
        acl: Acl::SORTEDSET,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[
            Arg::key("key"),
            Arg::string("start"),
            Arg::string("stop"),
            Arg::one_of("sortby", &[Arg::word("byscore", "BYSCORE"), Arg::word("bylex", "BYLEX")])
                .optional()
                .since("6.2.0"),
            Arg::word("rev", "REV").optional().since("6.2.0"),
            Arg::block("limit", &[Arg::integer("offset"), Arg::integer("count")])
                .after("LIMIT")
                .optional()
                .since("6.2.0"),
            WITH_SCORES,
        ],
        run: zrange,
        ..Command::NEW
    },
    Command {
        name: "zrangebylex",
        summary: "Answers the members in a range of names, in a set of equal scores.",
        since: "2.8.9",
        complexity: "O(log(N)+M) where N is the size of the sorted set and M the number of members answered",
        group: Group::SortedSet,
        arity: -4,
        flags: Flags::READONLY,
        acl: Acl::SORTEDSET,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key"), Arg::string("min"), Arg::string("max"), LIMIT],
        deprecated: Some(("6.2.0", "`ZRANGE` with the `BYLEX` argument")),
        run: zrangebylex,
        ..Command::NEW
    },
    Command {
        name: "zrangebyscore",
        summary: "Answers the members in a range of scores.",
        since: "1.0.5",
        complexity: "O(log(N)+M) where N is the size of the sorted set and M the number of members answered",
        group: Group::SortedSet,
        arity: -4,
        flags: Flags::READONLY,
        acl: Acl::SORTEDSET,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[
            Arg::key("key"),
            Arg::double("min"),
            Arg::double("max"),
            Arg::word("withscores", "WITHSCORES").optional().since("2.0.0"),
            LIMIT,
        ],
        deprecated: Some(("6.2.0", "`ZRANGE` with the `BYSCORE` argument")),
        run: zrangebyscore,
        ..Command::NEW
    },
    Command {
        name: "zrangestore",
        summary: "Stores the members in a range of ranks, scores or names.",
        since: "6.2.0",
        complexity: "O(log(N)+M*log(M)) where N is the size of the sorted set and M the number of members stored",
        group: Group::SortedSet,
        arity: -5,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        acl: Acl::SORTEDSET,
        keys: &[
            KeySpec::one(KeyFlags::OW.with(KeyFlags::UPDATE)),
            KeySpec {
                flags: KeyFlags::RO.with(KeyFlags::ACCESS),
                begin: Begin::Index(2),
                find: Find::Range { last: 0, step: 1, limit: 0 },
            },
        ],
        args: &[
            Arg::key("dst"),
            Arg::key("src").of_spec(1),
            Arg::string("min"),
            Arg::string("max"),
            Arg::one_of("sortby", &[Arg::word("byscore", "BYSCORE"), Arg::word("bylex", "BYLEX")]).optional(),
            Arg::word("rev", "REV").optional(),
            LIMIT,
        ],
        run: zrangestore,
        ..Command::NEW
    },
    Command {
        name: "zremrangebylex",
        summary: "Removes the members in a range of names, in a set of equal scores.",
        since: "2.8.9",
        complexity: "O(M*log(N)) where M is the number of members removed and N the size of the set",
        group: Group::SortedSet,
        arity: 4,
        flags: Flags::WRITE,
        acl: Acl::SORTEDSET,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::DELETE))],
        args: &[Arg::key("key"), Arg::string("min"), Arg::string("max")],
        run: zremrangebylex,
        ..Command::NEW
    },
    Command {
        name: "zremrangebyrank",
        summary: "Removes the members in a range of ranks.",
        since: "2.0.0",
        complexity: "O(M*log(N)) where M is the number of members removed and N the size of the set",
        group: Group::SortedSet,
        arity: 4,
        flags: Flags::WRITE,
        acl: Acl::SORTEDSET,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::DELETE))],
        args: &[Arg::key("key"), Arg::integer("start"), Arg::integer("stop")],
        run: zremrangebyrank,
        ..Command::NEW
    },
    Command {
        name: "zremrangebyscore",
        summary: "Removes the members in a range of scores.",
        since: "1.2.0",
        complexity: "O(M*log(N)) where M is the number of members removed and N the size of the set",
        group: Group::SortedSet,
        arity: 4,
        flags: Flags::WRITE,
        acl: Acl::SORTEDSET,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::DELETE))],
        args: &[Arg::key("key"), Arg::double("min"), Arg::double("max")],
        run: zremrangebyscore,
        ..Command::NEW
    },
    Command {
        name: "zrevrange",
        summary: "Answers the members in a range of ranks, highest score first.",
        since: "1.2.0",
        complexity: "O(log(N)+M) where N is the size of the sorted set and M the number of members answered",
        group: Group::SortedSet,
        arity: -4,
        flags: Flags::READONLY,
        acl: Acl::SORTEDSET,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key"), Arg::integer("start"), Arg::integer("stop"), WITH_SCORES],
        deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` argument")),
        run: zrevrange,
        ..Command::NEW
    },
    Command {
        name: "zrevrangebylex",
        summary: "Answers the members in a range of names, in a set of equal scores, last first.",
        since: "2.8.9",
        complexity: "O(log(N)+M) where N is the size of the sorted set and M the number of members answered",
        group: Group::SortedSet,
        arity: -4,
        flags: Flags::READONLY,
        acl: Acl::SORTEDSET,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key"), Arg::string("max"), Arg::string("min"), LIMIT],
        deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments")),
        run: zrevrangebylex,
        ..Command::NEW
    },
    Command {
        name: "zrevrangebyscore",
        summary: "Answers the members in a range of scores, highest first.",
        since: "2.2.0",
        complexity: "O(log(N)+M) where N is the size of the sorted set and M the number of members answered",
        group: Group::SortedSet,
        arity: -4,
        flags: Flags::READONLY,
        acl: Acl::SORTEDSET,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key"), Arg::double("max"), Arg::double("min"), WITH_SCORES, LIMIT],
        deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments")),
        run: zrevrangebyscore,
        ..Command::NEW
    },
];

/// What the ends of a range are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Ranks,
    Scores,
    Names,
}

/// What a command's name says about the range; ZRANGE leaves both to its words.
#[derive(Clone, Copy, Debug)]
struct Form {
    ends: Option<Ends>,
    back: Option<bool>,
    /// Index of the first end.
    at: usize,
    stores: bool,
}

/// A range with both ends read.
enum Span<'a> {
    Ranks(i64, i64),
    Scores(ScoreRange),
    Names(LexRange<'a>),
}

fn zrange(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    answer(ctx, argv, Form { ends: None, back: None, at: 2, stores: false })
}

fn zrevrange(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    answer(ctx, argv, Form { ends: Some(Ends::Ranks), back: Some(true), at: 2, stores: false })
}

fn zrangebyscore(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    answer(ctx, argv, Form { ends: Some(Ends::Scores), back: Some(false), at: 2, stores: false })
}

fn zrevrangebyscore(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    answer(ctx, argv, Form { ends: Some(Ends::Scores), back: Some(true), at: 2, stores: false })
}

fn zrangebylex(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    answer(ctx, argv, Form { ends: Some(Ends::Names), back: Some(false), at: 2, stores: false })
}

fn zrevrangebylex(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    answer(ctx, argv, Form { ends: Some(Ends::Names), back: Some(true), at: 2, stores: false })
}

fn answer(ctx: &mut Ctx<'_>, argv: Argv<'_>, form: Form) -> CommandResult {
    let request = Request::parse(argv, form)?;
    let key = ctx.first_key(argv);
    let Some(set) = ctx.ks.value::<SortedSet>(key)? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let (ranks, reply) = (request.ranks(set), &mut ctx.reply);
    header(reply, ranks.len(), request.with_scores);
    set.visit(ranks, request.back, &mut |member, score| {
        entry(reply, member, score, request.with_scores);
        true
    });
    Ok(())
}

fn zrangestore(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let request = Request::parse(argv, Form { ends: None, back: None, at: 3, stores: true })?;
    let source = ctx.key(argv.at(2));
    let mut found: Vec<(Box<[u8]>, f64)> = Vec::new();
    let mut is_vague = false;
    if let Some(set) = ctx.ks.value::<SortedSet>(source)? {
        is_vague = request.offset < 0 || request.span.is_vague(set);
        set.visit(request.ranks(set), false, &mut |member, score| {
            found.push((member.into(), score));
            true
        });
    }
    let (key, dirty) = (ctx.first_key(argv), ctx.ks.dirty);
    store(ctx, key, &found, "zrangestore");
    if is_vague && ctx.ks.dirty > dirty {
        replay_as_stored(ctx, key, &found);
    }
    ctx.reply.integer(found.len() as i64);
    Ok(())
}

/// Replays a key's new content and not how it came about.
fn replay_as_stored(ctx: &mut Ctx<'_>, key: Key<'_>, found: &[(Box<[u8]>, f64)]) {
    ctx.replay_as(&[b"DEL", key.name]);
    if !found.is_empty() {
        let scores: Vec<DoubleText> = found.iter().map(|(_, score)| DoubleText::new(*score)).collect();
        let pairs = found.iter().zip(&scores).flat_map(|((member, _), score)| [score.as_bytes(), member]);
        let words: Vec<&[u8]> = [b"ZADD".as_slice(), key.name].into_iter().chain(pairs).collect();
        ctx.replay_as(&words);
    }
}

fn zcount(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    count(ctx, argv, Span::parse(Ends::Scores, argv.at(2), argv.at(3))?)
}

fn zlexcount(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    count(ctx, argv, Span::parse(Ends::Names, argv.at(2), argv.at(3))?)
}

fn count(ctx: &mut Ctx<'_>, argv: Argv<'_>, span: Span<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let count = ctx.ks.value::<SortedSet>(key)?.map_or(0, |set| span.ranks(set, false).len());
    ctx.reply.integer(count as i64);
    Ok(())
}

fn zremrangebyrank(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    remove(ctx, argv, Span::parse(Ends::Ranks, argv.at(2), argv.at(3))?, "zremrangebyrank")
}

fn zremrangebyscore(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    remove(ctx, argv, Span::parse(Ends::Scores, argv.at(2), argv.at(3))?, "zremrangebyscore")
}

fn zremrangebylex(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    remove(ctx, argv, Span::parse(Ends::Names, argv.at(2), argv.at(3))?, "zremrangebylex")
}

fn remove(ctx: &mut Ctx<'_>, argv: Argv<'_>, span: Span<'_>, event: &'static str) -> CommandResult {
    let key = ctx.first_key(argv);
    let mut vague: Vec<Box<[u8]>> = Vec::new();
    let removed = match ctx.ks.value_mut::<SortedSet>(key)? {
        Some(set) => {
            let ranks = span.ranks(set, false);
            if span.is_vague(set) {
                set.visit(ranks.clone(), false, &mut |member, _| {
                    vague.push(member.into());
                    true
                });
            }
            set.remove_range(ranks.clone());
            ranks.len()
        }
        None => 0,
    };
    if !vague.is_empty() {
        let members = vague.iter().map(|member| &**member);
        let words: Vec<&[u8]> = [b"ZREM".as_slice(), key.name].into_iter().chain(members).collect();
        ctx.replay_as(&words);
    }
    removed_some(ctx, key, removed, event);
    ctx.reply.integer(removed as i64);
    Ok(())
}

/// The words of a range command.
struct Request<'a> {
    span: Span<'a>,
    back: bool,
    with_scores: bool,
    /// LIMIT: how many to leave out and how many to take, negative for all.
    offset: i64,
    limit: i64,
}

impl<'a> Request<'a> {
    fn parse(argv: Argv<'a>, form: Form) -> Result<Self, CommandError> {
        let (mut ends, mut back, mut with_scores) = (form.ends, form.back, false);
        let (mut offset, mut limit) = (0, -1);
        let mut at = form.at + 2;
        while let Some(word) = argv.get(at) {
            let left = argv.len() - at - 1;
            if !form.stores && is(word, "withscores") {
                with_scores = true;
            } else if is(word, "limit") && left >= 2 {
                (offset, limit) = (integer(argv.at(at + 1))?, integer(argv.at(at + 2))?);
                at += 2;
            } else if back.is_none() && is(word, "rev") {
                back = Some(true);
            } else if ends.is_none() && is(word, "bylex") {
                ends = Some(Ends::Names);
            } else if ends.is_none() && is(word, "byscore") {
                ends = Some(Ends::Scores);
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        let (ends, back) = (ends.unwrap_or(Ends::Ranks), back.unwrap_or(false));
        if limit != -1 && ends == Ends::Ranks {
            return Err(CommandError::text(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if with_scores && ends == Ends::Names {
            return Err(CommandError::text("ERR syntax error, WITHSCORES not supported in combination with BYLEX"));
        }
        let (mut min, mut max) = (argv.at(form.at), argv.at(form.at + 1));
        if back && ends != Ends::Ranks {
            (min, max) = (max, min);
        }
        Ok(Self { span: Span::parse(ends, min, max)?, back, with_scores, offset, limit })
    }

    /// The ranks of what is asked for.
    fn ranks(&self, set: &SortedSet) -> Range<usize> {
        if let Span::Ranks(start, stop) = self.span {
            let Range { start, end } = clip(start, stop, set.len());
            // Ranks count from the end that comes first.
            return if self.back { set.len() - end..set.len() - start } else { start..end };
        }
        let found = self.span.ranks(set, self.back);
        let offset = match usize::try_from(self.offset) {
            Ok(offset) => offset.min(found.len()),
            // As in Redis, a negative offset counts from the other end in the large encoding, and else finds nothing.
            Err(_) if set.is_large() => {
                let back = usize::try_from(self.offset.unsigned_abs()).unwrap_or(usize::MAX);
                found.len().checked_sub(back).unwrap_or(found.len())
            }
            Err(_) => found.len(),
        };
        let count = usize::try_from(self.limit).unwrap_or(usize::MAX).min(found.len() - offset);
        if self.back {
            found.end - offset - count..found.end - offset
        } else {
            found.start + offset..found.start + offset + count
        }
    }
}

impl<'a> Span<'a> {
    fn parse(ends: Ends, min: &'a [u8], max: &'a [u8]) -> Result<Self, CommandError> {
        Ok(match ends {
            Ends::Ranks => Self::Ranks(integer(min)?, integer(max)?),
            Ends::Scores => {
                let ends = score_end(min).zip(score_end(max));
                let ((min, min_excluded), (max, max_excluded)) =
                    ends.ok_or(CommandError::text("ERR min or max is not a float"))?;
                Self::Scores(ScoreRange { min, max, min_excluded, max_excluded })
            }
            Ends::Names => {
                let ends = name_end(min).zip(name_end(max));
                let (min, max) = ends.ok_or(CommandError::text("ERR min or max not valid string range item"))?;
                Self::Names(LexRange { min, max })
            }
        })
    }

    /// Whether what is in the range depends on how the set is kept: a range of names where scores differ. What was done
    /// with it is then replayed member by member.
    fn is_vague(&self, set: &SortedSet) -> bool {
        matches!(self, Self::Names(_)) && !set.has_one_score()
    }

    fn ranks(&self, set: &SortedSet, back: bool) -> Range<usize> {
        match self {
            Self::Ranks(start, stop) => clip(*start, *stop, set.len()),
            Self::Scores(range) => set.ranks_of_scores(range),
            Self::Names(range) => set.ranks_of_members(range, back),
        }
    }
}

/// Ranks from `start` to `stop`, both counted from the end when negative, as far as they exist.
fn clip(start: i64, stop: i64, len: usize) -> Range<usize> {
    let len = len as i64;
    let from = |rank: i64| if rank < 0 { rank.saturating_add(len) } else { rank };
    let (start, stop) = (from(start).max(0), from(stop).min(len - 1));
    if start > stop { 0..0 } else { start as usize..stop as usize + 1 }
}

/// An end of a range of scores: the score, and whether it is excluded.
fn score_end(text: &[u8]) -> Option<(f64, bool)> {
    let (number, excluded) = match text {
        [b'(', number @ ..] => (number, true),
        number => (number, false),
    };
    Some((parse_end(number)?, excluded))
}

fn name_end(text: &[u8]) -> Option<Bound<'_>> {
    match text {
        b"-" => Some(Bound::First),
        b"+" => Some(Bound::Last),
        [b'[', name @ ..] => Some(Bound::With(name)),
        [b'(', name @ ..] => Some(Bound::Without(name)),
        _ => None,
    }
}
