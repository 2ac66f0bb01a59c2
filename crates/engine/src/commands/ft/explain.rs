//! FT.EXPLAIN, FT.EXPLAINCLI: how a query is understood.

use quiver_query::text::{Languages, StopWords};
use quiver_resp::Argv;

use super::request::Request;
use super::{index_to_ask, words_from};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;

fn text(ctx: &Ctx<'_>, argv: Argv<'_>) -> Result<String, CommandError> {
    let index = index_to_ask(ctx, argv, argv.at(1))?;
    let request = Request::parse(ctx, &words_from(argv, 3))?;
    let schema = &index.definition().schema;
    let query = request.reading.parse(argv.at(2), schema)?;
    index.note_dialect(request.reading.dialect);
    let language = request.reading.language.map_or(schema.language.as_str(), |language| language.name());
    Ok(quiver_query::explain(&query, schema, &Languages::new(StopWords::of(schema)), language))
}

pub(super) fn explain(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let text = text(ctx, argv)?;
    ctx.reply.bulk(text.as_bytes());
    Ok(())
}

pub(super) fn explain_lines(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let text = text(ctx, argv)?;
    let lines: Vec<&str> = text.split('\n').collect();
    ctx.reply.array(lines.len());
    lines.iter().for_each(|line| ctx.reply.bulk(line.as_bytes()));
    Ok(())
}
