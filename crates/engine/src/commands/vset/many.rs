//! VMSIM and VRECOMMEND, which Redis does not have: several queries in one command, and a query made of elements that
//! are liked and disliked. Both take the options of VSIM.

use quiver_resp::Argv;
use quiver_vector::Slot;

use super::super::args::is;
use super::options::{Options, positive, with_options};
use super::search::{answer, find, parse_query, slot_of, with_warm, write_answer};
use super::set_at;
use crate::command::{Arg, Command, CommandResult, Flags, Group, KeyFlags, KeySpec, Locks};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::types::hash::AsOf;
use crate::types::vset::{Effort, Query, VectorSet};

/// Most results of one command.
const RESULTS_MAX: usize = 1 << 22;

const QUERY: Arg = Arg::one_of(
    "query",
    &[
        Arg::string("element").after("ELE"),
        Arg::string("blob").after("FP32"),
        Arg::block("values", &[Arg::integer("num"), Arg::double("value").multiple()]).after("VALUES"),
    ],
);

const SEARCHES: Command = Command {
    since: "8.2.0",
    group: Group::Module,
    flags: Flags::READONLY.with(Flags::MODULE),
    keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
    locks: Locks::KeysAlone,
    ..Command::NEW
};

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "vmsim",
        summary: "Finds the elements most similar to each of several vectors or elements.",
        complexity: "O(Q*log N) where Q is the number of queries and N the number of elements",
        arity: -5,
        args: &with_options::<3, 17>([Arg::key("key"), Arg::integer("numqueries"), QUERY.multiple()]),
        run: vmsim,
        ..SEARCHES
    },
    Command {
        name: "vrecommend",
        summary: "Finds the elements most similar to some elements and dissimilar to others.",
        complexity: "O(log N) where N is the number of elements",
        arity: -5,
        args: &with_options::<3, 17>([
            Arg::key("key"),
            Arg::block("positive", &[Arg::integer("numpositive"), Arg::string("element").multiple()]).after("POSITIVE"),
            Arg::block("negative", &[Arg::integer("numnegative"), Arg::string("element").multiple()])
                .after("NEGATIVE")
                .optional(),
        ]),
        run: vrecommend,
        ..SEARCHES
    },
];

fn vmsim(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let set = set_at(ctx, argv)?;
    let queries = positive(argv.at(2)).filter(|queries| *queries < argv.len());
    let queries = queries.ok_or(CommandError::text("ERR invalid number of queries"))?;
    let Some(set) = set else {
        ctx.reply.array(queries);
        (0..queries).for_each(|_| ctx.reply.array(0));
        return Ok(());
    };
    let as_of = ctx.ks.as_of();
    ctx.ks.release();
    let set = set.read();
    with_warm(|warm| {
        // Options stand behind the queries, so these are read twice rather than kept.
        let mut next = 3;
        for _ in 0..queries {
            next = parse_query(&set, argv, next, as_of, &mut warm.vector)?.1;
        }
        let options = Options::parse(argv, next, as_of)?;
        let (_, group_size) = options.group.unwrap_or((b"", 1));
        let results = options.effort.count.saturating_mul(group_size).min(set.len()).saturating_mul(queries);
        if results > RESULTS_MAX {
            return Err(CommandError::text("ERR too many results"));
        }
        ctx.reply.array(queries);
        let mut next = 3;
        for _ in 0..queries {
            let (query, behind) = parse_query(&set, argv, next, as_of, &mut warm.vector)?;
            answer(ctx, &set, query, &options, &mut warm.search)?;
            next = behind;
        }
        Ok(())
    })
}

fn vrecommend(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let Some(set) = set_at(ctx, argv)? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let as_of = ctx.ks.as_of();
    ctx.ks.release();
    let set = set.read();
    let (positive, next) = listed(&set, argv, 2, "POSITIVE", as_of)?;
    if positive.is_empty() {
        return Err(CommandError::text("ERR POSITIVE and at least one element are needed"));
    }
    let (negative, next) = listed(&set, argv, next, "NEGATIVE", as_of)?;
    let mut options = Options::parse(argv, next, as_of)?;
    if let Some(fields) = &options.fields {
        return Err(fields.out_of_place());
    }
    let wanted = set.towards(&positive, &negative);
    let given = positive.len() + negative.len();
    with_warm(|warm| {
        if options.group.is_some() {
            return answer(ctx, &set, Query::Kept(&wanted), &options, &mut warm.search);
        }
        // What was given is near, and not wanted.
        let count = options.effort.count;
        options.effort = Effort { count: count.saturating_add(given), ..options.effort };
        let outcome = find(&set, Query::Kept(&wanted), &options, &mut warm.search)?;
        let found = &mut warm.search.found;
        found.retain(|neighbor| !positive.contains(&neighbor.slot) && !negative.contains(&neighbor.slot));
        found.truncate(count);
        write_answer(ctx, &set, found, &options, outcome);
        Ok(())
    })
}

/// The elements behind a word and their number, if the word is there, and the index behind them.
fn listed(
    set: &VectorSet,
    argv: Argv<'_>,
    at: usize,
    word: &str,
    as_of: AsOf,
) -> Result<(Vec<Slot>, usize), CommandError> {
    if !argv.get(at).is_some_and(|argument| is(argument, word)) {
        return Ok((Vec::new(), at));
    }
    let count = argv.get(at + 1).and_then(positive).filter(|count| *count <= argv.len() - (at + 2));
    let count = count.ok_or(CommandError::text("ERR invalid number of elements"))?;
    let slots = argv.from(at + 2).iter().take(count).map(|name| slot_of(set, name, as_of));
    Ok((slots.collect::<Result<_, _>>()?, at + 2 + count))
}
