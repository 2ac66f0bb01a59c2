//! Unions, intersections and differences of sorted sets and sets: answered, counted or stored.
//!
//! Inputs are read in ascending order of size, as Redis does, so that sums of scores come out with the same last digit.

use std::collections::HashMap;

use quiver_resp::Argv;
use quiver_structures::ValueRef;

use super::super::args::{integer, is};
use super::number::parse_double;
use super::{entry, header, store};
use crate::command::{Acl, Arg, Begin, Command, CommandResult, Find, Flags, Group, KeyFlags, KeySpec};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::Keyspace;
use crate::number::parse_i64;
use crate::object::{Collection, Object};
use crate::types::hash::ItemText;
use crate::types::set::Set;
use crate::types::zset::SortedSet;

const AGGREGATE: Arg = Arg::one_of(
    "aggregate",
    &[
        Arg::word("sum", "SUM"),
        Arg::word("min", "MIN"),
        Arg::word("max", "MAX"),
        Arg::word("count", "COUNT").since("8.8.0"),
    ],
)
.after("AGGREGATE")
.optional();
const WEIGHTS: Arg = Arg::integer("weight").after("WEIGHTS").optional().multiple();
const WITH_SCORES: Arg = Arg::word("withscores", "WITHSCORES").optional();

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "zdiff",
        summary: "Answers the members of the first sorted set that are in none of the others.",
        since: "6.2.0",
        complexity: "O(L + (N-K)*log(N)) where L is the number of members of all sets, N of the first and K of the result",
        group: Group::SortedSet,
        arity: -3,
        flags: Flags::READONLY.with(Flags::MOVABLEKEYS),
        acl: Acl::SORTEDSET,
        keys: &[KeySpec {
            flags: KeyFlags::RO.with(KeyFlags::ACCESS),
            begin: Begin::Index(1),
            find: Find::KeyNum { count: 0, first: 1, step: 1 },
        }],
        args: &[Arg::integer("numkeys"), Arg::key("key").multiple(), WITH_SCORES],
        run: zdiff,
        ..Command::NEW
    },
    Command {
        name: "zdiffstore",
        summary: "Stores the members of the first sorted set that are in none of the others.",
        since: "6.2.0",
        complexity: "O(L + (N-K)*log(N)) where L is the number of members of all sets, N of the first and K of the result",
        group: Group::SortedSet,
        arity: -4,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::MOVABLEKEYS),
        acl: Acl::SORTEDSET,
        keys: &[
            KeySpec::one(KeyFlags::OW.with(KeyFlags::UPDATE)),
            KeySpec {
                flags: KeyFlags::RO.with(KeyFlags::ACCESS),
                begin: Begin::Index(2),
                find: Find::KeyNum { count: 0, first: 1, step: 1 },
            },
        ],
        args: &[Arg::key("destination"), Arg::integer("numkeys"), Arg::key("key").of_spec(1).multiple()],
        run: zdiffstore,
        ..Command::NEW
    },
    Command {
        name: "zinter",
        summary: "Answers the members that are in all the sorted sets.",
        since: "6.2.0",
        complexity: "O(N*K + M*log(M)) where N is the size of the smallest set, K the number of sets and M the size of the result",
        group: Group::SortedSet,
        arity: -3,
        flags: Flags::READONLY.with(Flags::MOVABLEKEYS),
        acl: Acl::SORTEDSET,
        keys: &[KeySpec {
            flags: KeyFlags::RO.with(KeyFlags::ACCESS),
            begin: Begin::Index(1),
            find: Find::KeyNum { count: 0, first: 1, step: 1 },
        }],
        args: &[Arg::integer("numkeys"), Arg::key("key").multiple(), WEIGHTS, AGGREGATE, WITH_SCORES],
        run: zinter,
        ..Command::NEW
    },
    Command {
        name: "zintercard",
        summary: "Counts the members that are in all the sorted sets.",
        since: "7.0.0",
        complexity: "O(N*K) where N is the size of the smallest set and K the number of sets",
        group: Group::SortedSet,
        arity: -3,
        flags: Flags::READONLY.with(Flags::MOVABLEKEYS),
        acl: Acl::SORTEDSET,
        keys: &[KeySpec {
            flags: KeyFlags::RO.with(KeyFlags::ACCESS),
            begin: Begin::Index(1),
            find: Find::KeyNum { count: 0, first: 1, step: 1 },
        }],
        args: &[Arg::integer("numkeys"), Arg::key("key").multiple(), Arg::integer("limit").after("LIMIT").optional()],
        run: zintercard,
        ..Command::NEW
    },
    Command {
        name: "zinterstore",
        summary: "Stores the members that are in all the sorted sets.",
        since: "2.0.0",
        complexity: "O(N*K + M*log(M)) where N is the size of the smallest set, K the number of sets and M the size of the result",
        group: Group::SortedSet,
        arity: -4,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::MOVABLEKEYS),
        acl: Acl::SORTEDSET,
        keys: &[
            KeySpec::one(KeyFlags::OW.with(KeyFlags::UPDATE)),
            KeySpec {
                flags: KeyFlags::RO.with(KeyFlags::ACCESS),
                begin: Begin::Index(2),
                find: Find::KeyNum { count: 0, first: 1, step: 1 },
            },
        ],
        args: &[
            Arg::key("destination"),
            Arg::integer("numkeys"),
            Arg::key("key").of_spec(1).multiple(),
            WEIGHTS,
            AGGREGATE,
        ],
        run: zinterstore,
        ..Command::NEW
    },
    Command {
        name: "zunion",
        summary: "Answers the members that are in any of the sorted sets.",
        since: "6.2.0",
        complexity: "O(N + M*log(M)) where N is the number of members of all sets and M of the result",
        group: Group::SortedSet,
        arity: -3,
        flags: Flags::READONLY.with(Flags::MOVABLEKEYS),
        acl: Acl::SORTEDSET,
        keys: &[KeySpec {
            flags: KeyFlags::RO.with(KeyFlags::ACCESS),
            begin: Begin::Index(1),
            find: Find::KeyNum { count: 0, first: 1, step: 1 },
        }],
        args: &[Arg::integer("numkeys"), Arg::key("key").multiple(), WEIGHTS, AGGREGATE, WITH_SCORES],
        run: zunion,
        ..Command::NEW
    },
    Command {
        name: "zunionstore",
        summary: "Stores the members that are in any of the sorted sets.",
        since: "2.0.0",
        complexity: "O(N + M*log(M)) where N is the number of members of all sets and M of the result",
        group: Group::SortedSet,
        arity: -4,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::MOVABLEKEYS),
        acl: Acl::SORTEDSET,
        keys: &[
            KeySpec::one(KeyFlags::OW.with(KeyFlags::UPDATE)),
            KeySpec {
                flags: KeyFlags::RO.with(KeyFlags::ACCESS),
                begin: Begin::Index(2),
                find: Find::KeyNum { count: 0, first: 1, step: 1 },
            },
        ],
        args: &[
            Arg::key("destination"),
            Arg::integer("numkeys"),
            Arg::key("key").of_spec(1).multiple(),
            WEIGHTS,
            AGGREGATE,
        ],
        run: zunionstore,
        ..Command::NEW
    },
];

/// Which members are in the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// How the scores a member has in several inputs become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
    /// The sum of weights, whatever the scores.
    Count,
}

/// Members with their scores.
type Members = Vec<(Box<[u8]>, f64)>;

fn zunion(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    answer(ctx, argv, Operation::Union)
}

fn zinter(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    answer(ctx, argv, Operation::Intersection)
}

fn zdiff(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    answer(ctx, argv, Operation::Difference)
}

fn answer(ctx: &mut Ctx<'_>, argv: Argv<'_>, operation: Operation) -> CommandResult {
    let request = Request::parse(ctx, argv, 1, operation, Output::Answer)?;
    let result = request.members(&ctx.ks, argv, operation);
    header(&mut ctx.reply, result.len(), request.with_scores);
    for (member, score) in &result {
        entry(&mut ctx.reply, member, *score, request.with_scores);
    }
    Ok(())
}

fn zunionstore(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    store_result(ctx, argv, Operation::Union, "zunionstore")
}

fn zinterstore(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    store_result(ctx, argv, Operation::Intersection, "zinterstore")
}

fn zdiffstore(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    store_result(ctx, argv, Operation::Difference, "zdiffstore")
}

fn store_result(ctx: &mut Ctx<'_>, argv: Argv<'_>, operation: Operation, event: &'static str) -> CommandResult {
    let request = Request::parse(ctx, argv, 2, operation, Output::Store)?;
    let result = request.members(&ctx.ks, argv, operation);
    store(ctx, ctx.first_key(argv), &result, event);
    ctx.reply.integer(result.len() as i64);
    Ok(())
}

fn zintercard(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let request = Request::parse(ctx, argv, 1, Operation::Intersection, Output::Count)?;
    let mut count = 0;
    intersect(&request.inputs(&ctx.ks, argv), Aggregate::Sum, &mut |_, _| {
        count += 1;
        count != request.limit
    });
    ctx.reply.integer(count);
    Ok(())
}

/// What becomes of the result, which decides what options there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Answer,
    Store,
    Count,
}

/// The words of such a command, its inputs being sets of one kind or another.
struct Request {
    first_key: usize,
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
    /// Where counting ends; 0 for never.
    limit: i64,
}

impl Request {
    fn parse(
        ctx: &mut Ctx<'_>,
        argv: Argv<'_>,
        at: usize,
        operation: Operation,
        output: Output,
    ) -> Result<Self, CommandError> {
        let keys = integer(argv.at(at))?;
        if keys < 1 {
            let name = ctx.entry.full_name;
            return Err(CommandError::owned(format!("ERR at least 1 input key is needed for '{name}' command")));
        }
        let first_key = at + 1;
        let room = argv.len() - first_key;
        let keys = usize::try_from(keys).ok().filter(|keys| *keys <= room).ok_or(CommandError::Syntax)?;
        for name in argv.iter().skip(first_key).take(keys) {
            let key = ctx.key(name);
            match ctx.ks.get(key).map(|entry| entry.value()) {
                None => {}
                Some(ValueRef::Object(object)) if Input::is(object) => {}
                Some(_) => return Err(CommandError::WrongType),
            }
        }
        let mut request =
            Self { first_key, weights: vec![1.0; keys], aggregate: Aggregate::Sum, with_scores: false, limit: 0 };
        request.parse_options(argv, operation, output)?;
        Ok(request)
    }

    fn parse_options(&mut self, argv: Argv<'_>, operation: Operation, output: Output) -> CommandResult {
        let keys = self.weights.len();
        let weighs = operation != Operation::Difference && output != Output::Count;
        let mut at = self.first_key + keys;
        while let Some(word) = argv.get(at) {
            let left = argv.len() - at - 1;
            if weighs && left >= keys && is(word, "weights") {
                for (i, weight) in self.weights.iter_mut().enumerate() {
                    const NOT_FLOAT: CommandError = CommandError::text("ERR weight value is not a float");
                    *weight = parse_double(argv.at(at + 1 + i)).ok_or(NOT_FLOAT)?;
                }
                at += keys;
            } else if weighs && left >= 1 && is(word, "aggregate") {
                self.aggregate = match argv.at(at + 1) {
                    word if is(word, "sum") => Aggregate::Sum,
                    word if is(word, "min") => Aggregate::Min,
                    word if is(word, "max") => Aggregate::Max,
                    word if is(word, "count") => Aggregate::Count,
                    _ => return Err(CommandError::Syntax),
                };
                at += 1;
            } else if output == Output::Answer && is(word, "withscores") {
                self.with_scores = true;
            } else if output == Output::Count && left >= 1 && is(word, "limit") {
                let limit = parse_i64(argv.at(at + 1)).filter(|limit| *limit >= 0);
                self.limit = limit.ok_or(CommandError::text("ERR LIMIT can't be negative"))?;
                at += 1;
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        Ok(())
    }

    /// The inputs with their weights, in the order of the command.
    fn given<'k>(&self, ks: &'k Keyspace<'_>, argv: Argv<'_>) -> Vec<(Input<'k>, f64)> {
        let names = argv.iter().skip(self.first_key).take(self.weights.len());
        let inputs = names.map(|name| Input::under(ks, name));
        inputs.zip(self.weights.iter().copied()).collect()
    }

    /// The inputs with their weights, smallest first.
    fn inputs<'k>(&self, ks: &'k Keyspace<'_>, argv: Argv<'_>) -> Vec<(Input<'k>, f64)> {
        let mut inputs = self.given(ks, argv);
        inputs.sort_by_key(|(input, _)| input.len());
        inputs
    }

    /// The result, in order.
    fn members(&self, ks: &Keyspace<'_>, argv: Argv<'_>, operation: Operation) -> Members {
        let mut result = match operation {
            Operation::Union => unite(&self.inputs(ks, argv), self.aggregate),
            Operation::Intersection => {
                let mut common = Members::new();
                intersect(&self.inputs(ks, argv), self.aggregate, &mut |member, score| {
                    common.push((member.into(), score));
                    true
                });
                common
            }
            Operation::Difference => subtract(&self.given(ks, argv)),
        };
        result.sort_unstable_by(|a, b| {
            let scores = a.1.partial_cmp(&b.1).expect("no score is NaN");
            scores.then_with(|| a.0.cmp(&b.0))
        });
        result
    }
}

/// What may be an input.
#[derive(Clone, Copy)]
enum Input<'k> {
    Nothing,
    Sorted(&'k SortedSet),
    /// Its members count as having the score 1.
    Plain(&'k Set),
}

impl<'k> Input<'k> {
    /// Whether an object may be an input.
    fn is(object: &Object) -> bool {
        SortedSet::of(object).is_some() || Set::of(object).is_some()
    }

    /// What is under a key that was looked up before.
    fn under(ks: &'k Keyspace<'_>, name: &[u8]) -> Self {
        let key = ks.key(name);
        match ks.seen(&key) {
            Some(set) => Self::Sorted(set),
            None => ks.seen(&key).map_or(Self::Nothing, Self::Plain),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Sorted(set) => set.len(),
            Self::Plain(set) => set.len(),
        }
    }

    fn score(&self, member: &[u8]) -> Option<f64> {
        match self {
            Self::Nothing => None,
            Self::Sorted(set) => set.score(member),
            Self::Plain(set) => set.contains(member).then_some(1.0),
        }
    }

    /// Calls `visit` for every member until it answers `false`.
    fn visit(&self, visit: &mut dyn FnMut(&[u8], f64) -> bool) {
        match self {
            Self::Nothing => {}
            Self::Sorted(set) => set.visit(0..set.len(), false, visit),
            Self::Plain(set) => {
                let _all = set.iter().all(|member| visit(ItemText::new(member).as_bytes(), 1.0));
            }
        }
    }
}

impl Aggregate {
    /// A score as its input counts it. Infinity times zero is zero.
    fn weighed(self, score: f64, weight: f64) -> f64 {
        if self == Self::Count { weight } else { weight * score }
    }

    fn join(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Sum | Self::Count => or_zero(a + b),
            Self::Min => {
                if b < a {
                    b
                } else {
                    a
                }
            }
            Self::Max => {
                if b > a {
                    b
                } else {
                    a
                }
            }
        }
    }
}

fn or_zero(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

fn unite(inputs: &[(Input<'_>, f64)], aggregate: Aggregate) -> Members {
    let mut scores: HashMap<Box<[u8]>, f64> = HashMap::new();
    for (input, weight) in inputs {
        input.visit(&mut |member, score| {
            let score = or_zero(aggregate.weighed(score, *weight));
            match scores.get_mut(member) {
                Some(known) => *known = aggregate.join(*known, score),
                None => drop(scores.insert(member.into(), score)),
            }
            true
        });
    }
    scores.into_iter().collect()
}

/// Calls `found` for every member that all inputs have, the smallest of which comes first, until it answers `false`.
fn intersect(inputs: &[(Input<'_>, f64)], aggregate: Aggregate, found: &mut dyn FnMut(&[u8], f64) -> bool) {
    let Some(((first, weight), others)) = inputs.split_first() else { return };
    first.visit(&mut |member, score| {
        let mut sum = or_zero(aggregate.weighed(score, *weight));
        for (other, weight) in others {
            let Some(score) = other.score(member) else { return true };
            sum = aggregate.join(sum, aggregate.weighed(score, *weight));
        }
        found(member, sum)
    });
}

/// Members of the first input that are in no other.
fn subtract(inputs: &[(Input<'_>, f64)]) -> Members {
    let Some(((first, _), others)) = inputs.split_first() else { return Members::new() };
    let mut rest = Members::new();
    first.visit(&mut |member, score| {
        if others.iter().all(|(other, _)| other.score(member).is_none()) {
            rest.push((member.into(), score));
        }
        true
    });
    rest
}
