//! GEOSEARCH, GEORADIUS and their like.

use quiver_resp::{Argv, Encoder};

use super::super::zset::store;
use super::request::{Form, Order, Request};
use super::{coordinates, distance};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::geo::Place;
use crate::geo::search::Search;
use crate::types::zset::{ScoreRange, SortedSet};

/// A member inside the shape.
struct Hit {
    member: Box<[u8]>,
    score: f64,
    place: Place,
    /// Metres from the middle.
    distance_m: f64,
}

pub(super) fn geosearch(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    run(ctx, argv, Form::Search)
}

pub(super) fn geosearchstore(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    run(ctx, argv, Form::SearchStore)
}

pub(super) fn georadius(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    run(ctx, argv, Form::Radius { stores: true })
}

pub(super) fn georadius_ro(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    run(ctx, argv, Form::Radius { stores: false })
}

pub(super) fn georadiusbymember(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    run(ctx, argv, Form::RadiusByMember { stores: true })
}

pub(super) fn georadiusbymember_ro(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    run(ctx, argv, Form::RadiusByMember { stores: false })
}

fn run(ctx: &mut Ctx<'_>, argv: Argv<'_>, form: Form) -> CommandResult {
    let source = ctx.key(argv.at(form.source_at()));
    let set = ctx.ks.value::<SortedSet>(source)?;
    let request = Request::parse(argv, form, set)?;
    let mut hits = match (set, request.centre, request.shape) {
        (Some(set), Some(centre), Some(shape)) => {
            find(set, &Search { centre, shape }, if request.any { request.count } else { usize::MAX })
        }
        _ => Vec::new(),
    };
    match request.order {
        Order::Any => {}
        Order::Ascending => hits.sort_by(|a, b| a.distance_m.total_cmp(&b.distance_m)),
        Order::Descending => hits.sort_by(|a, b| b.distance_m.total_cmp(&a.distance_m)),
    }
    if request.count > 0 {
        hits.truncate(request.count);
    }
    match request.store_at {
        Some(name) => store_hits(ctx, name, &hits, &request, form),
        None => {
            ctx.reply.array(hits.len());
            hits.iter().for_each(|hit| write_hit(&mut ctx.reply, hit, &request));
            Ok(())
        }
    }
}

/// Members inside, at most `limit`.
fn find(set: &SortedSet, search: &Search, limit: usize) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (min, max) in search.scores() {
        let ranks = set.ranks_of_scores(&ScoreRange { min, max, min_excluded: false, max_excluded: true });
        set.visit(ranks, false, &mut |member, score| {
            let place = Place::of_score(score);
            if let Some(distance_m) = search.distance_within(place) {
                hits.push(Hit { member: member.into(), score, place, distance_m });
            }
            hits.len() < limit
        });
        if hits.len() >= limit {
            break;
        }
    }
    hits
}

fn write_hit(reply: &mut Encoder<'_>, hit: &Hit, request: &Request<'_>) {
    let details = [request.with_distance, request.with_hash, request.with_coordinates];
    let details = details.into_iter().filter(|wanted| *wanted).count();
    if details > 0 {
        reply.array(1 + details);
    }
    reply.bulk(&hit.member);
    if request.with_distance {
        distance(reply, hit.distance_m / request.unit_m);
    }
    if request.with_hash {
        reply.integer(hit.score as i64);
    }
    if request.with_coordinates {
        coordinates(reply, hit.place);
    }
}

fn store_hits(ctx: &mut Ctx<'_>, name: &[u8], hits: &[Hit], request: &Request<'_>, form: Form) -> CommandResult {
    let key = ctx.key(name);
    // GEORADIUS stores under the last key named so, of which only the first of each option is known beforehand.
    if ctx.ks.locked() & key.shard_set() == 0 {
        return Err(CommandError::Syntax);
    }
    let score = |hit: &Hit| if request.store_distances { hit.distance_m / request.unit_m } else { hit.score };
    let mut scored: Vec<(&[u8], f64)> = hits.iter().map(|hit| (&*hit.member, score(hit))).collect();
    scored.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(b.0)));
    let event = if form == Form::SearchStore { "geosearchstore" } else { "georadiusstore" };
    store(ctx, key, &scored, event);
    ctx.ks.dirty += (hits.len() as u64).saturating_sub(1);
    ctx.reply.integer(hits.len() as i64);
    Ok(())
}
