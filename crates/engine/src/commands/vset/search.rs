//! VSIM: the elements most similar to a vector or an element.
//!
//! Quiver's own options: `RECALL target` finds out the effort that reaches a recall; `WITHINFO` answers an array of the
//! results and a map that says how they were found, and whether they are exact; `GROUPBY field` answers the nearest of
//! each value of an attribute; `WITHFIELDS` and `WITHFEATURES` read fields of a hash, or features of a view, for every
//! result (`fields.rs`).
//!
//! The handler takes a handle to the set, gives the shard back and then searches, so no other key waits for it; the
//! reply is written straight from the index's slots. Memory of the search belongs to the thread and stays warm.

use std::cell::RefCell;

use quiver_resp::{Argv, Protocol};
use quiver_vector::{Neighbor, Plan};

use super::super::args::is;
use super::fields::vsim_with_fields;
use super::group::write_groups;
use super::options::Options;
use super::set_at;
use super::vector::{dim_mismatch, input_mismatch, parse_vector, refused};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::types::hash::AsOf;
use crate::types::vset::{Outcome, Query, Search, VectorSet, similarity};

/// Memory of one thread's searches.
#[derive(Default)]
pub(in crate::commands) struct Warm {
    pub(in crate::commands) search: Search,
    pub(in crate::commands) vector: Vec<f32>,
}

thread_local! {
    static WARM: RefCell<Warm> = RefCell::default();
}

/// Lends the memory of this thread's searches.
pub(in crate::commands) fn with_warm<T>(work: impl FnOnce(&mut Warm) -> T) -> T {
    WARM.with_borrow_mut(work)
}

pub(super) fn vsim(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let Some(set) = set_at(ctx, argv)? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let as_of = ctx.ks.as_of();
    ctx.ks.release();
    let fields = with_warm(|warm| {
        let set = set.read();
        let (query, next) = parse_query(&set, argv, 2, as_of, &mut warm.vector)?;
        let options = Options::parse(argv, next, as_of)?;
        if options.fields.is_none() || options.group.is_some() {
            answer(ctx, &set, query, &options, &mut warm.search)?;
        }
        Ok::<_, CommandError>(options.fields)
    })?;
    fields.map_or(Ok(()), |fields| vsim_with_fields(ctx, argv, &set, fields))
}

/// The query at `argv[at]`, and the index behind it.
pub(super) fn parse_query<'q>(
    set: &VectorSet,
    argv: Argv<'_>,
    at: usize,
    as_of: AsOf,
    vector: &'q mut Vec<f32>,
) -> Result<(Query<'q>, usize), CommandError> {
    if argv.get(at).is_some_and(|word| is(word, "ELE"))
        && let Some(name) = argv.get(at + 1)
    {
        return Ok((Query::Slot(slot_of(set, name, as_of)?), at + 2));
    }
    let next = parse_vector(argv, at, vector)?;
    if !set.takes(vector.len()) {
        return Err(match set.projection() {
            None => dim_mismatch(vector.len(), set),
            Some(projection) => input_mismatch(vector.len(), projection.input_dim()),
        });
    }
    Ok((Query::Vector(vector), next))
}

/// The slot of an element that must be there.
pub(super) fn slot_of(set: &VectorSet, name: &[u8], as_of: AsOf) -> Result<quiver_vector::Slot, CommandError> {
    set.slot_seen(name, as_of).ok_or(CommandError::text("ERR element not found in set"))
}

/// Searches, and writes what was found.
pub(super) fn answer(
    ctx: &mut Ctx<'_>,
    set: &VectorSet,
    query: Query<'_>,
    options: &Options<'_>,
    search: &mut Search,
) -> CommandResult {
    if let Some(fields) = &options.fields {
        return Err(fields.out_of_place());
    }
    if options.group.is_some() {
        return write_groups(ctx, set, query, options, search);
    }
    let outcome = find(set, query, options, search)?;
    write_answer(ctx, set, &search.found, options, outcome);
    Ok(())
}

/// Searches, and keeps what is near enough.
pub(super) fn find(
    set: &VectorSet,
    query: Query<'_>,
    options: &Options<'_>,
    search: &mut Search,
) -> Result<Outcome, CommandError> {
    let filter = options.filter.as_ref().map(|(text, filter)| (*text, filter));
    let outcome = set.search(query, options.effort, filter, search).map_err(refused)?;
    if let Some(epsilon) = options.epsilon {
        let near = search.found.partition_point(|neighbor| f64::from(neighbor.distance) <= epsilon);
        search.found.truncate(near);
    }
    Ok(outcome)
}

/// Writes results, and how they were found if that is asked for.
pub(super) fn write_answer(
    ctx: &mut Ctx<'_>,
    set: &VectorSet,
    found: &[Neighbor],
    options: &Options<'_>,
    outcome: Outcome,
) {
    if options.info {
        ctx.reply.array(2);
    }
    write_results(ctx, set, found, options);
    if options.info {
        write_info(ctx, outcome);
    }
}

/// Writes results as Redis does.
pub(super) fn write_results(ctx: &mut Ctx<'_>, set: &VectorSet, found: &[Neighbor], options: &Options<'_>) {
    let extra = [options.scores, options.attributes, options.fields.is_some()];
    let columns = 1 + extra.into_iter().filter(|there| *there).count();
    // RESP3 answers a map; of two columns and more the values are lists.
    let is_map = columns > 1 && ctx.reply.protocol() == Protocol::Resp3;
    if is_map {
        ctx.reply.map(found.len());
    } else {
        ctx.reply.array(found.len() * columns);
    }
    for neighbor in found {
        ctx.reply.bulk(set.name(neighbor.slot));
        if is_map && columns > 2 {
            ctx.reply.array(columns - 1);
        }
        if options.scores {
            ctx.reply.double(similarity(neighbor.distance));
        }
        if options.attributes {
            match set.attributes(neighbor.slot) {
                b"" => ctx.reply.null(),
                attributes => ctx.reply.bulk(attributes),
            }
        }
        if let Some(fields) = &options.fields {
            fields.write(ctx, set.name(neighbor.slot));
        }
    }
}

/// How results were found (`WITHINFO`).
pub(super) fn write_info(ctx: &mut Ctx<'_>, outcome: Outcome) {
    let plan = match outcome.plan {
        Some(Plan::Scan) => "scan",
        Some(Plan::Near) => "near",
        Some(Plan::Walk) => "walk",
        Some(Plan::Hop) => "hop",
        None if outcome.exact => "scan",
        None => "search",
    };
    ctx.reply.map(4);
    ctx.reply.simple("exact");
    ctx.reply.boolean(outcome.exact);
    ctx.reply.simple("plan");
    ctx.reply.simple(plan);
    ctx.reply.simple("ef");
    ctx.reply.integer(outcome.ef as i64);
    ctx.reply.simple("asked");
    ctx.reply.integer(outcome.asked as i64);
}
