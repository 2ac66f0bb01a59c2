//! FT.AGGREGATE: what matches as rows, on their way through a pipeline.

use std::rc::Rc;
use std::sync::Arc;

use quiver_query::Value;
use quiver_query::aggregate::{Arguments, Plan, Planner, Row, Run};
use quiver_query::index::Index;
use quiver_resp::{Argv, Encoder, Protocol};

use super::ask::{Answer, Deadline, Found, ask};
use super::fields;
use super::request::Reading;
use super::search::{TIMED_OUT, Wanted, question};
use super::watch::{Watch, add_since};
use super::{index_to_ask, words_from};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::search::cursors::{self, Cursor};
use crate::search::definition::Definition;
use crate::search::extract::Source;
use crate::search::index::SearchIndex;
use crate::search::words::{Words, unknown};
use crate::types::hash::ItemText;

/// A pipeline behind the rows of a query, and which fields of documents it needs.
pub(super) struct Pipeline {
    plan: Arc<Plan>,
    /// What LOAD calls a field, and the field.
    loaded: Vec<(Vec<u8>, Vec<u8>)>,
    /// `LOAD *`
    load_all: bool,
    /// Rows that are shown where the steps do not say.
    shown: Option<usize>,
}

/// What a question of rows says besides its steps.
pub(super) struct Asked {
    pub(super) reading: Reading,
    add_scores: bool,
    /// Rows of a page and time a cursor may rest, where a cursor is wanted.
    cursor: Option<(usize, i64)>,
    loaded: Vec<(Vec<u8>, Vec<u8>)>,
    load_all: bool,
}

pub(super) fn aggregate(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let index = index_to_ask(ctx, argv, argv.at(1))?;
    let (rows, total, timed_out, cursor) = rows(ctx, &index, argv.at(2), &words_from(argv, 3), None)?;
    let warnings: &[&str] = if timed_out { &[TIMED_OUT] } else { &[] };
    let Some((count, max_idle_ms)) = cursor else {
        write_page(&mut ctx.reply, total, rows, None, warnings);
        return Ok(());
    };
    let mut rows = rows;
    let rest = rows.split_off(count.min(rows.len()));
    let number = if rest.is_empty() {
        0
    } else {
        let (number, used_ms) = (ctx.rng.next(), ctx.ks.now_ms);
        let cursor = Cursor { index: index.name.clone(), rows: rest.into(), count, max_idle_ms, used_ms, total };
        ctx.engine.search.cursors.open(number, cursor)?
    };
    write_page(&mut ctx.reply, total, rows, Some(number), warnings);
    Ok(())
}

/// What comes out of the pipeline, of how many matches, whether time was over, and what is said of a cursor.
pub(super) type Rows = (Vec<cursors::Row>, usize, bool, Option<(usize, i64)>);

/// Runs a query and its pipeline.
pub(super) fn rows(
    ctx: &mut Ctx<'_>,
    index: &SearchIndex,
    query: &[u8],
    words: &[&[u8]],
    watch: Option<&Rc<Watch>>,
) -> Result<Rows, CommandError> {
    let definition = index.definition();
    // Read twice: which distances a query has is known when its parameters are, which stand behind the steps.
    let (asked, _) = read(ctx, words, &|_| true)?;
    let query = asked.reading.parse(query, &definition.schema)?;
    let distances = super::search::distance_names(&query);
    let known = |name: &[u8]| {
        definition.schema.field(name).is_some()
            || name == b"__key"
            || name == b"__score" && asked.add_scores
            || distances.iter().any(|known| known == name)
    };
    let (mut asked, plan) = read(ctx, words, &known)?;
    asked.reading.watch = watch.cloned();
    asked.reading.understood(ctx);
    let pipeline = Pipeline::new(Arc::new(plan), asked.loaded, asked.load_all, None);
    let wanted = Wanted {
        limit: ctx.engine.config.search_max_aggregate_results(),
        scores: asked.add_scores,
        ..Wanted::all(&asked.reading)
    };
    let dialect = asked.reading.dialect;
    index.note_dialect(dialect);
    let mut read =
        |definition: &Definition, found: &Found, source: &Source<'_>| pipeline.row(definition, found, source, dialect);
    let mut asked_of =
        |ctx: &Ctx<'_>, content: &Index, deadline: Deadline| question(ctx, index, content, &query, &wanted, deadline);
    let (answer, rows) = ask(ctx, index, &asked.reading, &mut asked_of, Some(&mut read))?;
    if answer.timed_out && ctx.engine.config.get("search-on-timeout") == "fail" {
        return Err(CommandError::text(TIMED_OUT));
    }
    let begun_ns = ctx.meter.now_ns();
    let (rows, keeps) = pipeline.run(ctx, rows)?;
    if let Some(watch) = watch {
        add_since(ctx, &watch.steps_ns, begun_ns);
    }
    let Answer { total, timed_out, .. } = answer;
    let total = if keeps { total } else { rows.len() };
    Ok((rows, total, timed_out, asked.cursor))
}

fn read(ctx: &Ctx<'_>, words: &[&[u8]], known: &dyn Fn(&[u8]) -> bool) -> Result<(Asked, Plan), CommandError> {
    let mut asked =
        Asked { reading: Reading::new(ctx), add_scores: false, cursor: None, loaded: Vec::new(), load_all: false };
    let mut planner = Planner::new(known);
    let mut left = Words(words);
    while !left.is_empty() {
        let mut arguments = Arguments::new(left.0);
        if planner.step(&mut arguments)? {
            left = Words(arguments.rest());
            continue;
        }
        asked.option(ctx, &mut left, &mut planner)?;
    }
    Ok((asked, planner.finish()))
}

impl Asked {
    fn option(&mut self, ctx: &Ctx<'_>, words: &mut Words<'_>, planner: &mut Planner<'_>) -> CommandResult {
        let Some(word) = words.next() else { return Ok(()) };
        if self.reading.option(word, words)? {
            return Ok(());
        }
        match word.to_ascii_uppercase().as_slice() {
            b"ADDSCORES" => {
                self.add_scores = true;
                planner.load(b"__score")?;
            }
            b"LOAD" => self.load(words, planner)?,
            b"WITHCURSOR" => self.cursor = Some(cursor_options(ctx, words)?),
            b"NOSTOPWORDS" => self.reading.no_stop_words = true,
            b"INORDER" => self.reading.in_order = true,
            b"SLOP" => self.reading.slop = u32::try_from(words.number("SLOP", -1)?).ok(),
            b"FORMAT" => strings_only(words)?,
            _ => return Err(unknown(word)),
        }
        Ok(())
    }

    fn load(&mut self, words: &mut Words<'_>, planner: &mut Planner<'_>) -> CommandResult {
        if words.take("*") {
            self.load_all = true;
            return Ok(());
        }
        let given = words
            .counted("LOAD")
            .map_err(|_| CommandError::text("Bad arguments for LOAD: Expected number of fields or `*`"))?;
        for loaded in super::request::returned(given)? {
            planner.load(&loaded.name)?;
            self.loaded.push((loaded.name, loaded.field));
        }
        Ok(())
    }
}

/// FORMAT of what is shown as strings, whatever it is made of.
pub(super) fn strings_only(words: &mut Words<'_>) -> CommandResult {
    match super::request::format(words)? {
        true => Err(CommandError::text("EXPAND format is only supported by FT.SEARCH")),
        false => Ok(()),
    }
}

fn cursor_options(ctx: &Ctx<'_>, words: &mut Words<'_>) -> Result<(usize, i64), CommandError> {
    let config = &ctx.engine.config;
    let (mut count, most_idle) = (config.search_cursor_read_size(), config.search_cursor_max_idle_ms());
    let mut idle = most_idle;
    loop {
        if words.take("COUNT") {
            count = words.number("COUNT", 1)? as usize;
        } else if words.take("MAXIDLE") {
            idle = words.number("MAXIDLE", 1)?.min(most_idle);
        } else {
            return Ok((count, idle));
        }
    }
}

impl Pipeline {
    pub(super) fn new(plan: Arc<Plan>, loaded: Vec<(Vec<u8>, Vec<u8>)>, load_all: bool, shown: Option<usize>) -> Self {
        Self { plan, loaded, load_all, shown }
    }

    /// The row of a document.
    pub(super) fn row(&self, definition: &Definition, found: &Found, source: &Source<'_>, dialect: u8) -> Row {
        let mut values = vec![Value::Null; self.plan.width()];
        for (name, place) in self.plan.inputs() {
            let field = self.loaded.iter().find(|(loaded, _)| loaded == name).map_or(name, |(_, field)| field);
            if let Some(value) = values.get_mut(*place) {
                *value = self.value(definition, found, source, field, dialect);
            }
        }
        let rest = if self.load_all { self.all(definition, source, dialect) } else { Vec::new() };
        Row { values, rest }
    }

    fn value(&self, definition: &Definition, found: &Found, source: &Source<'_>, name: &[u8], dialect: u8) -> Value {
        match name {
            b"__key" => Value::Text(found.key.clone()),
            b"__score" => Value::Number(found.score),
            _ => match found.distances.iter().find(|(known, _)| *known == name) {
                Some((_, distance)) => Value::Number(*distance),
                None => fields::value(source, definition, name, dialect),
            },
        }
    }

    /// Everything of a document that has no place in the row.
    fn all(&self, definition: &Definition, source: &Source<'_>, dialect: u8) -> Vec<(Vec<u8>, Value)> {
        let has_place = |name: &[u8]| self.plan.inputs().iter().any(|(known, _)| *known == name);
        match source {
            Source::Hash(hash, as_of) => {
                let pairs = hash.iter(*as_of).map(|(name, value)| {
                    let path = ItemText::new(name).as_bytes().to_vec();
                    let field = definition.schema.fields.iter().find(|field| field.path == path);
                    let name = field.map_or(path, |field| field.name.clone());
                    (name, Value::Text(ItemText::new(value).as_bytes().to_vec()))
                });
                pairs.filter(|(name, _)| !has_place(name)).collect()
            }
            Source::Json(_) => fields::field(source, definition, b"$", dialect)
                .map(|text| (b"$".to_vec(), Value::Text(text)))
                .into_iter()
                .collect(),
        }
    }

    /// Passes rows through; what comes out by names, and whether that is documents still.
    pub(super) fn run(&self, ctx: &mut Ctx<'_>, rows: Vec<Row>) -> Result<(Vec<cursors::Row>, bool), CommandError> {
        let mut run = Run::new(Arc::clone(&self.plan), ctx.rng.next());
        let mut out = Vec::new();
        for row in rows {
            if !run.push(row)? {
                break;
            }
        }
        run.finish()?;
        while let Some(row) = run.take().filter(|_| self.shown.is_none_or(|shown| out.len() < shown)) {
            out.push(self.named(row));
        }
        Ok((out, self.plan.keeps_documents()))
    }

    fn named(&self, row: Row) -> cursors::Row {
        let columns = self.plan.columns().iter().zip(row.values);
        let shown = columns.filter(|(column, value)| column.shown && *value != Value::Null);
        shown.map(|(column, value)| (column.name.clone(), value)).chain(row.rest).collect()
    }
}

/// Writes rows: an array in RESP2, a map in RESP3; with the number of the cursor behind it where there is one.
pub(super) fn write_page(
    reply: &mut Encoder<'_>,
    total: usize,
    rows: Vec<cursors::Row>,
    cursor: Option<u64>,
    warnings: &[&str],
) {
    if cursor.is_some() {
        reply.array(2);
    }
    match reply.protocol() {
        Protocol::Resp2 => {
            reply.array(rows.len() + 1);
            reply.integer(total as i64);
            for row in rows {
                reply.array(row.len() * 2);
                write_row(reply, &row);
            }
        }
        Protocol::Resp3 => {
            begin_results(reply, total, warnings, false, rows.len());
            for row in rows {
                reply.map(2);
                reply.bulk(b"extra_attributes");
                reply.map(row.len());
                write_row(reply, &row);
                reply.bulk(b"values");
                reply.array(0);
            }
        }
    }
    if let Some(number) = cursor {
        reply.integer(number as i64);
    }
}

/// The map of RESP3 up to its results.
pub(super) fn begin_results(reply: &mut Encoder<'_>, total: usize, warnings: &[&str], expand: bool, results: usize) {
    reply.map(5);
    reply.bulk(b"attributes");
    reply.array(0);
    reply.bulk(b"warning");
    reply.array(warnings.len());
    warnings.iter().for_each(|warning| reply.bulk(warning.as_bytes()));
    reply.bulk(b"total_results");
    reply.integer(total as i64);
    reply.bulk(b"format");
    reply.bulk(if expand { b"EXPAND" } else { b"STRING" });
    reply.bulk(b"results");
    reply.array(results);
}

pub(super) fn write_row(reply: &mut Encoder<'_>, row: &cursors::Row) {
    for (name, value) in row {
        reply.bulk(name);
        write_value(reply, value);
    }
}

fn write_value(reply: &mut Encoder<'_>, value: &Value) {
    match value {
        Value::Null => reply.null(),
        Value::Number(_) | Value::Text(_) => reply.bulk(&value.as_text().unwrap_or_default()),
        Value::List(values) => {
            reply.array(values.len());
            values.iter().for_each(|value| write_value(reply, value));
        }
        Value::Map(pairs) => {
            reply.map(pairs.len());
            write_row(reply, pairs);
        }
    }
}
