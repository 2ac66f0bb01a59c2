//! Dictionaries of terms for FT.SPELLCHECK, and synonyms.

use std::collections::BTreeMap;

use quiver_resp::Argv;

use super::{index_to_change, words_from};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::search::words::Words;

pub(super) fn add(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    change(ctx, argv, true)
}

pub(super) fn del(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    change(ctx, argv, false)
}

fn change(ctx: &mut Ctx<'_>, argv: Argv<'_>, add: bool) -> CommandResult {
    let changed = ctx.engine.search.change_dictionary(argv.at(1), &words_from(argv, 2), add)?;
    ctx.ks.dirty += u64::from(changed > 0);
    ctx.reply.integer(changed as i64);
    Ok(())
}

pub(super) fn dump(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let set = ctx.engine.search.set();
    let terms = set.dictionary(argv.at(1)).cloned().unwrap_or_default();
    ctx.reply.set(terms.len());
    terms.iter().for_each(|term| ctx.reply.bulk(term.as_bytes()));
    Ok(())
}

pub(super) fn add_synonyms(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let index = index_to_change(ctx, argv.at(1))?;
    let all = words_from(argv, 3);
    let mut words = Words(&all);
    words.take("SKIPINITIALSCAN");
    if words.is_empty() {
        return Err(CommandError::Arity("FT.SYNUPDATE".into()));
    }
    index.add_synonyms(argv.at(2), words.0);
    ctx.ks.dirty += 1;
    ctx.reply.ok();
    Ok(())
}

pub(super) fn synonyms(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let index = index_to_change(ctx, argv.at(1))?;
    let known = index.synonyms();
    let mut terms: BTreeMap<&[u8], Vec<&[u8]>> = BTreeMap::new();
    for (group, members) in known.iter() {
        members.iter().for_each(|term| terms.entry(term).or_default().push(group));
    }
    ctx.reply.map(terms.len());
    for (term, groups) in terms {
        ctx.reply.bulk(term);
        ctx.reply.array(groups.len());
        groups.iter().for_each(|group| ctx.reply.bulk(group));
    }
    Ok(())
}
