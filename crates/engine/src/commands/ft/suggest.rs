//! FT.SUG*: completions of what is being typed. Each dictionary is a key.

use quiver_resp::Argv;

use super::words_from;
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::notify::Class;
use crate::number::parse_f64;
use crate::search::words::{Words, unknown};
use crate::types::suggestions::Suggestions;

/// Longest text of an entry, bytes.
const TEXT_BYTES_MAX: usize = 4096;

/// Completions that are given unless MAX says otherwise.
const MAX: usize = 5;

pub(super) fn add(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let text = argv.at(2);
    let score = parse_f64(argv.at(3)).map(|score| score as f32).filter(|score| score.is_finite());
    let score = score.ok_or(CommandError::text("invalid score"))?;
    if text.is_empty() || text.len() > TEXT_BYTES_MAX {
        return Err(CommandError::text("Invalid string length"));
    }
    let (mut increment, mut payload) = (false, None);
    let all = words_from(argv, 4);
    let mut words = Words(&all);
    while let Some(word) = words.next() {
        match word.to_ascii_uppercase().as_slice() {
            b"INCR" => increment = true,
            b"PAYLOAD" => payload = Some(words.value("PAYLOAD")?),
            _ => return Err(unknown(word)),
        }
    }
    let key = ctx.first_key(argv);
    let suggestions = &mut ctx.ks.value_or_new::<Suggestions>(key)?.0;
    suggestions.add(text, score, increment, payload);
    let len = suggestions.len();
    ctx.ks.changed(&key);
    ctx.ks.notify(Class::MODULE, "ft.sugadd", key.name);
    ctx.reply.integer(len as i64);
    Ok(())
}

pub(super) fn del(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let removed = ctx.ks.value_mut::<Suggestions>(key)?.is_some_and(|known| known.0.remove(argv.at(2)));
    if removed {
        ctx.ks.changed(&key);
        ctx.ks.notify(Class::MODULE, "ft.sugdel", key.name);
        if ctx.ks.delete_if_empty(key) {
            ctx.ks.notify(Class::GENERIC, "del", key.name);
        }
    }
    ctx.reply.integer(i64::from(removed));
    Ok(())
}

pub(super) fn get(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (mut fuzzy, mut with_scores, mut with_payloads, mut max) = (false, false, false, MAX);
    let all = words_from(argv, 3);
    let mut words = Words(&all);
    while let Some(word) = words.next() {
        match word.to_ascii_uppercase().as_slice() {
            b"FUZZY" => fuzzy = true,
            b"WITHSCORES" => with_scores = true,
            b"WITHPAYLOADS" => with_payloads = true,
            b"MAX" => max = words.number("MAX", 1)? as usize,
            _ => return Err(unknown(word)),
        }
    }
    if argv.at(2).len() > TEXT_BYTES_MAX {
        return Err(CommandError::text("Invalid query"));
    }
    let key = ctx.first_key(argv);
    let Some(suggestions) = ctx.ks.value::<Suggestions>(key)? else {
        ctx.reply.null_array();
        return Ok(());
    };
    let found = suggestions.0.complete(argv.at(2), max.min(suggestions.0.len()), fuzzy);
    let reply = &mut ctx.reply;
    reply.array(found.len() * (1 + usize::from(with_scores) + usize::from(with_payloads)));
    for suggestion in &found {
        reply.bulk(suggestion.text);
        if with_scores {
            reply.double(f64::from(suggestion.score));
        }
        if with_payloads {
            match suggestion.payload {
                Some(payload) => reply.bulk(payload),
                None => reply.null(),
            }
        }
    }
    Ok(())
}

pub(super) fn len(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let len = ctx.ks.value::<Suggestions>(key)?.map_or(0, |suggestions| suggestions.0.len());
    ctx.reply.integer(len as i64);
    Ok(())
}
