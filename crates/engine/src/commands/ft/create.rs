//! Declaring and dropping indexes, and their other names.

use quiver_resp::Argv;

use super::{UNKNOWN_INDEX, index_to_change, may_read, words_from};
use crate::command::CommandResult;
use crate::commands::args::is;
use crate::context::Ctx;
use crate::error::{CommandError, quote_word};
use crate::notify::Class;
use crate::search::definition::Definition;
use crate::search::index::SearchIndex;
use crate::search::words::Words;

/// Longest name of an index.
const NAME_BYTES_MAX: usize = 64 * 1024;

pub(super) fn create(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    if ctx.ks.db != 0 {
        return Err(CommandError::text("Cannot create index on db != 0"));
    }
    let name = argv.at(1);
    if ctx.engine.search.set().find(name).is_some() {
        return Err(CommandError::text("Index already exists"));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(CommandError::text("Index name is too long"));
    }
    let definition = Definition::parse(&words_from(argv, 2))?;
    let skip = definition.skip_initial_scan;
    let index = ctx.engine.search.create(name, definition, ctx.ks.now_ms)?;
    if !skip {
        ctx.engine.search.begin_scan(&index, &ctx.ks);
    }
    ctx.ks.dirty += 1;
    ctx.reply.ok();
    Ok(())
}

pub(super) fn create_if_new(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    if ctx.engine.search.set().find(argv.at(1)).is_some() {
        ctx.reply.ok();
        return Ok(());
    }
    create(ctx, argv)
}

pub(super) fn alter(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    alter_with(ctx, argv, false)
}

pub(super) fn alter_if_new(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    alter_with(ctx, argv, true)
}

fn alter_with(ctx: &mut Ctx<'_>, argv: Argv<'_>, if_new: bool) -> CommandResult {
    let index = index_to_change(ctx, argv.at(1))?;
    let all = words_from(argv, 2);
    let mut words = Words(&all);
    let skip = words.take("SKIPINITIALSCAN");
    if !words.take("SCHEMA") {
        return Err(CommandError::text("ALTER must be followed by SCHEMA"));
    }
    if !words.take("ADD") {
        return Err(CommandError::text("Unknown action passed to ALTER SCHEMA"));
    }
    if words.is_empty() {
        return Err(CommandError::text("No fields provided"));
    }
    let old = index.definition();
    if if_new && old.schema.field(words.0[0]).is_some() {
        ctx.reply.ok();
        return Ok(());
    }
    // What was declared decides whether old keys are looked at; here it is about the new fields alone.
    let new = old.with_fields(words.0, false)?;
    ctx.engine.search.redefine(&index, new)?;
    if !skip {
        ctx.engine.search.begin_scan(&index, &ctx.ks);
    }
    ctx.ks.dirty += 1;
    ctx.reply.ok();
    Ok(())
}

pub(super) fn drop_index(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let with_documents = match argv.get(2) {
        None => false,
        Some(word) if is(word, "DD") && argv.len() == 3 => true,
        Some(word) if is(word, "KEEPDOCS") && argv.len() == 3 => false,
        Some(word) => return Err(CommandError::owned(format!("Unknown argument `{}`", quote_word(word)))),
    };
    drop_found(ctx, argv, with_documents)
}

pub(super) fn drop_if_there(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    if ctx.engine.search.set().find(argv.at(1)).is_none() {
        ctx.reply.ok();
        return Ok(());
    }
    drop_index(ctx, argv)
}

pub(super) fn drop_if_there_with_documents(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let Some(name) = argv.get(1) else { return Err(CommandError::Arity("FT._DROPIFX".into())) };
    if ctx.engine.search.set().find(name).is_none() {
        ctx.reply.ok();
        return Ok(());
    }
    drop_found(ctx, argv, true)
}

pub(super) fn drop_index_and_documents(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    if argv.len() < 2 {
        return Err(CommandError::Arity("FT.DROP".into()));
    }
    match argv.get(2) {
        None => drop_found(ctx, argv, true),
        Some(word) if is(word, "KEEPDOCS") && argv.len() == 3 => drop_found(ctx, argv, false),
        Some(word) => Err(CommandError::owned(format!("Unknown argument `{}`", quote_word(word)))),
    }
}

fn drop_found(ctx: &mut Ctx<'_>, argv: Argv<'_>, with_documents: bool) -> CommandResult {
    let index = index_to_change(ctx, argv.at(1))?;
    if with_documents {
        if !may_read(ctx, argv, &index) {
            return Err(CommandError::text("NOPERM User does not have the required permissions to query the index"));
        }
        delete_documents(ctx, &index);
        let name = index.name.clone();
        // The keys are deleted by name elsewhere, too: which of them an index has is not part of the stream.
        ctx.replay_as(&[b"FT.DROPINDEX", &name]);
    }
    ctx.engine.search.remove(&index);
    ctx.ks.dirty += 1;
    ctx.reply.ok();
    Ok(())
}

fn delete_documents(ctx: &mut Ctx<'_>, index: &SearchIndex) {
    ctx.engine.bring_up_to_date(index, &ctx.ks);
    let names: Vec<Vec<u8>> = index.content().documents().map(|(_, name)| name.to_vec()).collect();
    let db = std::mem::replace(&mut ctx.ks.db, 0);
    for name in names {
        let key = ctx.key(&name);
        if ctx.ks.delete(key) {
            ctx.ks.notify(Class::GENERIC, "del", &name);
            ctx.replay_as(&[b"DEL", &name]);
        }
    }
    ctx.ks.db = db;
}

pub(super) fn alias_add(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    add_alias(ctx, argv, false)
}

pub(super) fn alias_update(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    add_alias(ctx, argv, true)
}

fn add_alias(ctx: &mut Ctx<'_>, argv: Argv<'_>, replace: bool) -> CommandResult {
    ctx.engine.search.alias(argv.at(1), argv.at(2), replace)?;
    ctx.ks.dirty += 1;
    ctx.reply.ok();
    Ok(())
}

pub(super) fn alias_add_if_new(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    if ctx.engine.search.set().find(argv.at(1)).is_some() {
        ctx.reply.ok();
        return Ok(());
    }
    add_alias(ctx, argv, false)
}

pub(super) fn alias_del(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    if !ctx.engine.search.unalias(argv.at(1)) {
        return Err(CommandError::text("Alias does not exist"));
    }
    ctx.ks.dirty += 1;
    ctx.reply.ok();
    Ok(())
}

pub(super) fn alias_del_if_there(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    if ctx.engine.search.unalias(argv.at(1)) {
        ctx.ks.dirty += 1;
    }
    ctx.reply.ok();
    Ok(())
}

pub(super) fn alias_list(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let set = ctx.engine.search.set();
    // An alias is no index here.
    let index = set.find(argv.at(1)).filter(|index| *index.name == *argv.at(1)).ok_or(UNKNOWN_INDEX)?;
    let aliases: Vec<&[u8]> =
        set.aliases().filter(|(_, target)| **target == *index.name).map(|(alias, _)| alias).collect();
    ctx.reply.set(aliases.len());
    aliases.iter().for_each(|alias| ctx.reply.bulk(alias));
    Ok(())
}
