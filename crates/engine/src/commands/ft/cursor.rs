//! FT.CURSOR: further rows of FT.AGGREGATE.

use std::sync::atomic::Ordering::Relaxed;

use quiver_resp::Argv;

use super::aggregate::write_page;
use super::{index_to_ask, words_from};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::{CommandError, quote_word};
use crate::number::parse_i64;
use crate::search::words::{Words, unknown};

/// Index and number of the cursor a command names.
fn cursor_at(argv: Argv<'_>) -> Result<u64, CommandError> {
    let number = parse_i64(argv.at(3)).and_then(|number| u64::try_from(number).ok());
    number.ok_or(CommandError::text("Bad cursor ID"))
}

fn not_found(argv: Argv<'_>) -> CommandError {
    CommandError::owned(format!("Cursor not found, id: {}", quote_word(argv.at(3))))
}

pub(super) fn read(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let number = cursor_at(argv)?;
    let index = index_to_ask(ctx, argv, argv.at(2))?;
    let all = words_from(argv, 4);
    let mut words = Words(&all);
    let mut count = None;
    while let Some(word) = words.next() {
        if !word.eq_ignore_ascii_case(b"COUNT") {
            return Err(unknown(word));
        }
        count = Some(words.number("COUNT", 1)? as usize);
    }
    let now_ms = ctx.ks.now_ms;
    let mut cursor = ctx.engine.search.cursors.take(number, now_ms).ok_or_else(|| not_found(argv))?;
    if cursor.index != index.name {
        ctx.engine.search.cursors.put_back(number, cursor);
        return Err(not_found(argv));
    }
    ctx.engine.search.asked.commands.fetch_add(1, Relaxed);
    let count = count.unwrap_or(cursor.count).min(cursor.rows.len());
    let rows: Vec<_> = cursor.rows.drain(..count).collect();
    let is_over = cursor.rows.is_empty();
    write_page(&mut ctx.reply, cursor.total, rows, Some(if is_over { 0 } else { number }), &[]);
    if !is_over {
        cursor.used_ms = now_ms;
        ctx.engine.search.cursors.put_back(number, cursor);
    }
    Ok(())
}

pub(super) fn del(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let number = cursor_at(argv)?;
    let index = index_to_ask(ctx, argv, argv.at(2))?;
    let cursor = ctx.engine.search.cursors.take(number, ctx.ks.now_ms);
    match cursor {
        Some(cursor) if cursor.index == index.name => {
            ctx.reply.ok();
            Ok(())
        }
        Some(cursor) => {
            ctx.engine.search.cursors.put_back(number, cursor);
            Err(CommandError::text("Cursor does not exist"))
        }
        None => Err(CommandError::text("Cursor does not exist")),
    }
}

pub(super) fn gc(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    let gone = ctx.engine.search.cursors.collect(ctx.ks.now_ms);
    ctx.reply.integer(gone as i64);
    Ok(())
}
