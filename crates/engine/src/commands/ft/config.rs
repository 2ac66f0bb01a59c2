//! FT.CONFIG: parameters of search under their older names. The same are `search-*` of CONFIG.

use quiver_resp::{Argv, Protocol};

use crate::command::CommandResult;
use crate::commands::args::is;
use crate::context::Ctx;
use crate::error::{CommandError, quote_word};

/// Older name, name in CONFIG, and what it is.
const NAMES: &[(&str, &str, &str)] = &[
    ("BM25STD_TANH_FACTOR", "search-bm25std-tanh-factor", "What the scorer BM25STD.TANH divides by"),
    ("CURSOR_MAX_IDLE", "search-cursor-max-idle", "Time in ms after which a cursor that is not read goes"),
    ("CURSOR_READ_SIZE", "search-cursor-read-size", "Rows a read of a cursor gives"),
    ("DEFAULT_DIALECT", "search-default-dialect", "Dialect of queries that name none"),
    ("DEFAULT_SCORER", "search-default-scorer", "Scorer of queries that name none"),
    ("MAXAGGREGATERESULTS", "search-max-aggregate-results", "Most results of FT.AGGREGATE"),
    ("MAXEXPANSIONS", "search-max-prefix-expansions", "Terms that a prefix stands for at most"),
    ("MAXPREFIXEXPANSIONS", "search-max-prefix-expansions", "Terms that a prefix stands for at most"),
    ("MAXSEARCHRESULTS", "search-max-search-results", "Most results of FT.SEARCH"),
    ("MINPREFIX", "search-min-prefix", "Characters of a prefix at least"),
    ("ON_TIMEOUT", "search-on-timeout", "Whether a query that takes too long fails or returns what it has"),
    ("TIMEOUT", "search-timeout", "Time in ms after which a query ends"),
];

fn wanted(argv: Argv<'_>) -> impl Iterator<Item = &'static (&'static str, &'static str, &'static str)> {
    let name = argv.at(2);
    NAMES.iter().filter(move |(older, new, _)| name == b"*" || is(name, older) || is(name, new))
}

pub(super) fn get(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    begin(ctx, wanted(argv).count());
    for (older, new, _) in wanted(argv) {
        pair(ctx, older);
        let value = ctx.engine.config.get(new);
        ctx.reply.bulk(value.as_bytes());
    }
    Ok(())
}

pub(super) fn help(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    begin(ctx, wanted(argv).count());
    for (older, new, what) in wanted(argv) {
        let value = ctx.engine.config.get(new);
        if ctx.reply.protocol() == Protocol::Resp3 {
            ctx.reply.bulk(older.as_bytes());
            ctx.reply.map(2);
        } else {
            ctx.reply.array(5);
            ctx.reply.bulk(older.as_bytes());
        }
        for text in ["Description", what, "Value", &value] {
            ctx.reply.bulk(text.as_bytes());
        }
    }
    Ok(())
}

pub(super) fn set(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (name, Some(value)) = (argv.at(2), argv.get(3)) else {
        return Err(CommandError::Arity("FT.CONFIG|SET".into()));
    };
    let found = NAMES.iter().find(|(older, new, _)| is(name, older) || is(name, new));
    let (_, new, _) = found.ok_or(CommandError::text("No such option"))?;
    let text = String::from_utf8_lossy(value);
    let changed = ctx.engine.config.set(new, &text, true);
    changed.map_err(|_| CommandError::owned(format!("Invalid value `{}`", quote_word(value))))?;
    ctx.reply.ok();
    Ok(())
}

/// A map in RESP3, an array of arrays in RESP2.
fn begin(ctx: &mut Ctx<'_>, count: usize) {
    match ctx.reply.protocol() {
        Protocol::Resp3 => ctx.reply.map(count),
        Protocol::Resp2 => ctx.reply.array(count),
    }
}

fn pair(ctx: &mut Ctx<'_>, name: &str) {
    if ctx.reply.protocol() == Protocol::Resp2 {
        ctx.reply.array(2);
    }
    ctx.reply.bulk(name.as_bytes());
}
