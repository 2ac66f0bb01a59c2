//! FT.PROFILE: a query's answer, and what it cost.

use quiver_query::text::{Languages, StopWords};
use quiver_resp::{Argv, Encoder, Protocol};

use super::request::Request;
use super::{aggregate, hybrid, index_to_ask, search, words_from};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::search::index::SearchIndex;
use crate::search::words::Words;

pub(super) fn profile(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let index = index_to_ask(ctx, argv, argv.at(1))?;
    let all = words_from(argv, 2);
    let mut words = Words(&all);
    let kind = words.next().unwrap_or_default().to_ascii_uppercase();
    words.take("LIMITED");
    if !words.take("QUERY") {
        return Err(CommandError::text("The QUERY keyword is expected"));
    }
    let (begun_ns, behind) = (ctx.meter.now_ns(), words);
    let start = ctx.reply.position();
    begin(&mut ctx.reply);
    let results = match kind.as_slice() {
        b"SEARCH" => {
            let query = words.value("QUERY")?;
            let request = Request::parse(ctx, words.0)?;
            let page = search::run(ctx, &index, query, &request)?;
            search::write(&mut ctx.reply, &request, &page);
            page.len()
        }
        b"AGGREGATE" => {
            let query = words.value("QUERY")?;
            let (rows, total, ..) = aggregate::rows(ctx, &index, query, words.0)?;
            let results = rows.len();
            aggregate::write_page(&mut ctx.reply, total, rows, None, &[]);
            results
        }
        b"HYBRID" => {
            let output = hybrid::run(ctx, &index, words.0)?;
            let results = output.len();
            hybrid::write(&mut ctx.reply, output);
            results
        }
        _ => {
            ctx.reply.truncate(start);
            return Err(CommandError::text("No `SEARCH`, `AGGREGATE`, or `HYBRID` provided"));
        }
    };
    let took_ms = ctx.meter.now_ns().saturating_sub(begun_ns) as f64 / 1e6;
    let understood = understood(ctx, &index, &kind, behind)?;
    costs(&mut ctx.reply, took_ms, results, &understood);
    Ok(())
}

/// How the query is understood; nothing for the two of FT.HYBRID.
fn understood(ctx: &Ctx<'_>, index: &SearchIndex, kind: &[u8], mut words: Words<'_>) -> Result<String, CommandError> {
    if kind == b"HYBRID" {
        return Ok(String::new());
    }
    let query = words.value("QUERY")?;
    let schema = &index.definition().schema;
    let mut reading = super::request::Reading::new(ctx);
    // What else is said does not change the tree but for these.
    while let Some(word) = words.next() {
        if ["PARAMS", "DIALECT"].iter().any(|option| word.eq_ignore_ascii_case(option.as_bytes())) {
            reading.option(word, &mut words)?;
        }
    }
    let query = reading.parse(query, schema)?;
    Ok(quiver_query::explain(&query, schema, &Languages::new(StopWords::of(schema)), &schema.language))
}

fn begin(reply: &mut Encoder<'_>) {
    match reply.protocol() {
        Protocol::Resp2 => reply.array(2),
        Protocol::Resp3 => {
            reply.map(2);
            reply.bulk(b"Results");
        }
    }
}

fn costs(reply: &mut Encoder<'_>, took_ms: f64, results: usize, understood: &str) {
    if reply.protocol() == Protocol::Resp3 {
        reply.bulk(b"Profile");
    }
    reply.map(2);
    reply.bulk(b"Shards");
    reply.array(1);
    reply.map(4);
    reply.bulk(b"Total profile time");
    reply.double(took_ms);
    reply.bulk(b"Warning");
    reply.bulk(b"None");
    reply.bulk(b"Iterators profile");
    reply.map(2);
    reply.bulk(b"Type");
    reply.bulk(b"QUERY");
    reply.bulk(b"Query");
    reply.bulk(understood.as_bytes());
    reply.bulk(b"Result processors profile");
    reply.array(1);
    reply.map(3);
    reply.bulk(b"Type");
    reply.bulk(b"Index");
    reply.bulk(b"Time");
    reply.double(took_ms);
    reply.bulk(b"Results processed");
    reply.integer(results as i64);
    reply.bulk(b"Coordinator");
    reply.map(0);
}
