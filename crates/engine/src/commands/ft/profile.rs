//! FT.PROFILE: a query's answer, and what it cost: its parts (`quiver_query`'s recorder), and what follows them.
//!
//! `Index` is the parts' own time; what scoring and keeping the best take beside them is `Scorer` or, where nothing is
//! scored, `Sorter`; `Loader` reads documents, `Pipeline` is all steps of FT.AGGREGATE.

use std::rc::Rc;

use quiver_query::index::Part;
use quiver_resp::{Argv, Encoder, Protocol};

use super::request::Request;
use super::watch::Watch;
use super::{aggregate, hybrid, index_to_ask, search, words_from};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::search::words::Words;

pub(super) fn profile(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let index = index_to_ask(ctx, argv, argv.at(1))?;
    let all = words_from(argv, 2);
    let mut words = Words(&all);
    let kind = words.next().unwrap_or_default().to_ascii_uppercase();
    let limited = words.take("LIMITED");
    if !words.take("QUERY") {
        return Err(CommandError::text("The QUERY keyword is expected"));
    }
    let watch = Rc::new(Watch::begin(ctx));
    match kind.as_slice() {
        b"SEARCH" => {
            let query = words.value("QUERY")?;
            let mut request = Request::parse(ctx, words.0)?;
            request.reading.watch = Some(Rc::clone(&watch));
            let page = search::run(ctx, &index, query, &request)?;
            begin(&mut ctx.reply);
            search::write(&mut ctx.reply, &request, &page);
        }
        b"AGGREGATE" => {
            let query = words.value("QUERY")?;
            let (rows, total, ..) = aggregate::rows(ctx, &index, query, words.0, Some(&watch))?;
            begin(&mut ctx.reply);
            aggregate::write_page(&mut ctx.reply, total, rows, None, &[]);
        }
        b"HYBRID" => {
            let output = hybrid::run(ctx, &index, words.0, Some(&watch))?;
            begin(&mut ctx.reply);
            hybrid::write(&mut ctx.reply, output);
        }
        _ => return Err(CommandError::text("No `SEARCH`, `AGGREGATE`, or `HYBRID` provided")),
    }
    let took_ns = watch.so_far_ns(ctx);
    costs(&mut ctx.reply, &watch, took_ns, limited);
    Ok(())
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

fn costs(reply: &mut Encoder<'_>, watch: &Watch, took_ns: u64, limited: bool) {
    if reply.protocol() == Protocol::Resp3 {
        reply.bulk(b"Profile");
    }
    let parts = watch.recorder.parts();
    reply.map(2);
    reply.bulk(b"Shards");
    reply.array(1);
    reply.map(6);
    time(reply, "Total profile time", took_ns);
    time(reply, "Parsing time", watch.parsing_ns.get());
    // Iterators are made as the question is asked.
    time(reply, "Pipeline creation time", 0);
    text(reply, "Warning", "None");
    reply.bulk(b"Iterators profile");
    match &parts[..] {
        [one] => part(reply, one, limited),
        several => {
            reply.array(several.len());
            several.iter().for_each(|one| part(reply, one, limited));
        }
    }
    reply.bulk(b"Result processors profile");
    processors(reply, watch, parts.iter().map(|part| part.ns).sum());
    reply.bulk(b"Coordinator");
    reply.map(0);
}

fn part(reply: &mut Encoder<'_>, of: &Part, limited: bool) {
    let (start, mut pairs) = (reply.position(), 3);
    text(reply, "Type", of.kind);
    let texts =
        [("Query type", of.union_of.as_deref()), ("Term", of.term.as_deref()), ("Vector search mode", of.vector_mode)];
    for (name, value) in texts {
        if let Some(value) = value {
            text(reply, name, value);
            pairs += 1;
        }
    }
    time(reply, "Time", of.ns);
    number(reply, "Number of reading operations", of.reads);
    if let Some(estimate) = of.estimate {
        number(reply, "Estimated number of matches", estimate as u64);
        pairs += 1;
    }
    let count = of.parts.len();
    if let (1, Some(one)) = (count, of.parts.first()) {
        reply.bulk(b"Child iterator");
        part(reply, one, limited);
        pairs += 1;
    } else if limited && of.union_of.is_some() && count > 0 {
        text(reply, "Child iterators", &format!("The number of iterators in the union is {count}"));
        pairs += 1;
    } else if count > 0 {
        reply.bulk(b"Child iterators");
        reply.array(count);
        of.parts.iter().for_each(|child| part(reply, child, limited));
        pairs += 1;
    }
    reply.map_before(start, pairs);
}

fn processors(reply: &mut Encoder<'_>, watch: &Watch, parts_ns: u64) {
    let (index_ns, matched) = (watch.index_ns.get(), watch.matched.get());
    let order = if watch.scored.get() { "Scorer" } else { "Sorter" };
    let mut all = vec![("Index", parts_ns.min(index_ns), matched), (order, index_ns.saturating_sub(parts_ns), matched)];
    if watch.read.get() > 0 {
        all.push(("Loader", watch.asking_ns.get().saturating_sub(index_ns), watch.read.get()));
    }
    if watch.steps_ns.get() > 0 {
        all.push(("Pipeline", watch.steps_ns.get(), watch.read.get()));
    }
    reply.array(all.len());
    for (name, ns, results) in all {
        reply.map(3);
        text(reply, "Type", name);
        time(reply, "Time", ns);
        number(reply, "Results processed", results as u64);
    }
}

fn text(reply: &mut Encoder<'_>, name: &str, value: &str) {
    reply.bulk(name.as_bytes());
    reply.bulk(value.as_bytes());
}

fn time(reply: &mut Encoder<'_>, name: &str, ns: u64) {
    reply.bulk(name.as_bytes());
    reply.double(ns as f64 / 1e6);
}

fn number(reply: &mut Encoder<'_>, name: &str, value: u64) {
    reply.bulk(name.as_bytes());
    reply.integer(value as i64);
}
