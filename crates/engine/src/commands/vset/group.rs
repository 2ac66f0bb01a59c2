//! `GROUPBY`: the nearest elements of each value of an attribute, nearest groups first.
//!
//! Searches for more and more elements until there are as many groups as `COUNT` says, each as large as `GROUPCOUNT`
//! says, or no more elements. Elements without the attribute, or with an array or an object in it, are in no group.

use std::collections::HashMap;

use quiver_vector::Neighbor;

use super::options::Options;
use super::search::{find, write_info, write_results};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::filter::field_text;
use crate::types::vset::{Effort, Outcome, Query, Search, VectorSet};

/// Elements looked for at first, for each that is asked for; as many times more with every further search.
const STEP: usize = 4;

/// Elements of one value.
struct Group {
    value: Vec<u8>,
    members: Vec<Neighbor>,
}

pub(super) fn write_groups(
    ctx: &mut Ctx<'_>,
    set: &VectorSet,
    query: Query<'_>,
    options: &Options<'_>,
    search: &mut Search,
) -> CommandResult {
    let (groups, outcome) = groups(set, query, options, search)?;
    if options.info {
        ctx.reply.array(2);
    }
    ctx.reply.array(groups.len());
    for group in &groups {
        ctx.reply.array(2);
        ctx.reply.bulk(&group.value);
        write_results(ctx, set, &group.members, options);
    }
    if options.info {
        write_info(ctx, outcome);
    }
    Ok(())
}

fn groups(
    set: &VectorSet,
    query: Query<'_>,
    options: &Options<'_>,
    search: &mut Search,
) -> Result<(Vec<Group>, Outcome), CommandError> {
    let (field, size) = options.group.expect("the caller has seen that there is one");
    let wanted = options.effort.count;
    let mut count = wanted.saturating_mul(size).saturating_mul(STEP).min(set.len());
    loop {
        let wider = Options {
            effort: Effort { count, ..options.effort },
            filter: options.filter.clone(),
            fields: None,
            ..*options
        };
        let outcome = find(set, query, &wider, search)?;
        let groups = gather(set, &search.found, field, wanted, size);
        let complete = groups.len() == wanted && groups.iter().all(|group| group.members.len() == size);
        if complete || search.found.len() < count || count == set.len() {
            return Ok((groups, outcome));
        }
        count = count.saturating_mul(STEP).min(set.len());
    }
}

/// The first `wanted` groups of results that are in order, each cut to `size`.
fn gather(set: &VectorSet, found: &[Neighbor], field: &[u8], wanted: usize, size: usize) -> Vec<Group> {
    let (mut groups, mut places) = (Vec::<Group>::new(), HashMap::<Vec<u8>, usize>::new());
    for neighbor in found {
        let Some(value) = field_text(set.attributes(neighbor.slot), field) else { continue };
        let place = places.get(&value).copied();
        match place {
            Some(at) => {
                let members = &mut groups[at].members;
                if members.len() < size {
                    members.push(*neighbor);
                }
            }
            None if groups.len() < wanted => {
                places.insert(value.clone(), groups.len());
                groups.push(Group { value, members: vec![*neighbor] });
            }
            None => {}
        }
    }
    groups
}
