//! FT.SEARCH: the documents that match, best first or in the order of a field.

use std::cell::RefCell;
use std::cmp::Ordering;

use quiver_query::ast::{Kind, Node};
use quiver_query::highlight::Highlighter;
use quiver_query::index::{Explanation, Index, Profile, SearchOptions, Sort};
use quiver_query::text::{Languages, StopWords};
use quiver_query::{FieldKind, Query, Schema, Value};
use quiver_resp::{Argv, Encoder, Protocol};

use super::aggregate::begin_results;
use super::ask::{Answer, Deadline, Found, ask};
use super::fields::{self, Fields};
use super::request::{Reading, Request};
use super::watch::add_since;
use super::{excerpts, expand, index_to_ask, words_from};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::{CommandError, quote_word};
use crate::search::definition::Definition;
use crate::search::extract::Source;
use crate::search::index::{SearchIndex, synonyms_of};

/// What a client reads where time was over.
pub(super) const TIMED_OUT: &str = "Timeout limit was reached";

/// What is asked of an index besides its query.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) reading: &'a Reading,
    pub(super) offset: usize,
    pub(super) limit: usize,
    pub(super) sort: Sort<'a>,
    pub(super) scores: bool,
    pub(super) explain: bool,
}

impl<'a> Wanted<'a> {
    /// Everything that matches, in whatever order.
    pub(super) fn all(reading: &'a Reading) -> Self {
        Self { reading, offset: 0, limit: usize::MAX, sort: Sort::Id, scores: false, explain: false }
    }
}

/// Asks the content of an index.
pub(super) fn question(
    ctx: &Ctx<'_>,
    index: &SearchIndex,
    content: &Index,
    query: &Query,
    wanted: &Wanted<'_>,
    deadline: Deadline,
) -> Result<Answer, CommandError> {
    let synonyms = index.synonyms();
    let others = |word: &str| synonyms_of(&synonyms, word);
    let (reading, config) = (wanted.reading, &ctx.engine.config);
    let (now_ns, begun_ns) = (|| ctx.meter.now_ns(), ctx.meter.now_ns());
    let profile = reading.watch.as_ref().map(|watch| Profile { recorder: &watch.recorder, now_ns: &now_ns });
    let options = SearchOptions {
        offset: wanted.offset,
        limit: wanted.limit,
        sort: wanted.sort,
        scorer: reading.scorer,
        tanh_factor: config.search_tanh_factor() as f64,
        with_scores: wanted.scores,
        in_keys: reading.in_keys.as_deref(),
        slop: reading.slop,
        in_order: reading.in_order,
        expansions: config.search_max_prefix_expansions(),
        min_prefix: config.search_min_prefix(),
        language: reading.language.map(|language| language.name()),
        payload: reading.payload.as_deref(),
        synonyms: &others,
        profile,
    };
    let hits = content.search(query, &options, &mut || deadline.goes_on(ctx))?;
    if let Some(watch) = &reading.watch {
        add_since(ctx, &watch.index_ns, begun_ns);
        watch.matched.set(watch.matched.get() + hits.total);
        watch.scored.set(wanted.scores || wanted.sort == Sort::Score && query.knn.is_none());
    }
    let mut found = Vec::with_capacity(hits.hits.len());
    for hit in hits.hits {
        let explanation = if wanted.explain { content.explain_score(query, &options, hit.doc)? } else { None };
        found.push(Found {
            key: content.key(hit.doc).unwrap_or_default().to_vec(),
            version: content.version(hit.doc).unwrap_or_default(),
            score: hit.score,
            distances: hit.distances,
            sort_key: match wanted.sort {
                Sort::Field { field, .. } => content.sortable(hit.doc, field),
                _ => Value::Null,
            },
            explanation,
        });
    }
    Ok(Answer { total: hits.total, found, timed_out: hits.timed_out })
}

/// The names of the distances a query yields.
pub(super) fn distance_names(query: &Query) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = query.knn.iter().map(|knn| knn.distance_as.clone()).collect();
    yielded(&query.root, &mut names);
    names
}

fn yielded(node: &Node, names: &mut Vec<Vec<u8>>) {
    match &node.kind {
        Kind::And(nodes) | Kind::Or(nodes) => nodes.iter().for_each(|node| yielded(node, names)),
        Kind::Not(node) | Kind::Optional(node) => yielded(node, names),
        Kind::VectorRange { distance_as: Some(name), .. } => names.push(name.clone()),
        _ => {}
    }
}

pub(super) fn search(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let index = index_to_ask(ctx, argv, argv.at(1))?;
    let request = Request::parse(ctx, &words_from(argv, 3))?;
    if request.expand && ctx.reply.protocol() == Protocol::Resp2 {
        return Err(CommandError::text("EXPAND format is only supported with RESP3"));
    }
    let page = run(ctx, &index, argv.at(2), &request)?;
    write(&mut ctx.reply, &request, &page);
    Ok(())
}

/// What FT.SEARCH answers.
pub(super) struct Page {
    total: usize,
    timed_out: bool,
    found: Vec<Found>,
    /// Fields and payload of each, where they are wanted.
    contents: Vec<Content>,
}

/// The order of results: one the index knows, or a field that has to be read from every document.
fn order_of<'r>(
    request: &'r Request,
    query: &Query,
    schema: &Schema,
) -> Result<Result<Sort<'r>, &'r [u8]>, CommandError> {
    let Some((name, descending)) = &request.sort_by else { return Ok(Ok(Sort::Score)) };
    let descending = *descending;
    if distance_names(query).contains(name) {
        return Ok(Ok(Sort::Distance { name, descending }));
    }
    let Some(place) = schema.field(name) else {
        if [b"__key".as_slice(), b"__score"].contains(&name.as_slice()) {
            return Ok(Err(name));
        }
        let name = quote_word(name);
        return Err(CommandError::owned(format!("Property `{name}` not loaded nor in schema")));
    };
    let field = &schema.fields[usize::from(place)];
    let is_known = field.sortable || matches!(field.kind, FieldKind::Numeric) && !field.no_index;
    Ok(if is_known { Ok(Sort::Field { field: place, descending }) } else { Err(name) })
}

/// Runs a search.
pub(super) fn run(
    ctx: &mut Ctx<'_>,
    index: &SearchIndex,
    query: &[u8],
    request: &Request,
) -> Result<Page, CommandError> {
    let definition = index.definition();
    let reading = &request.reading;
    let query = reading.parse(query, &definition.schema)?;
    request.excerpts.check(&definition.schema)?;
    reading.understood(ctx);
    index.note_dialect(reading.dialect);
    let wanted = Wanted {
        offset: request.offset,
        limit: request.count,
        scores: request.with_scores || request.explain_score,
        explain: request.explain_score,
        ..Wanted::all(reading)
    };
    let synonyms = index.synonyms();
    let analyzer = request.excerpts.any().then(|| Languages::new(StopWords::of(&definition.schema)));
    let language = reading.language.map_or(definition.schema.language.as_str(), |language| language.name());
    let highlighter = analyzer
        .as_ref()
        .map(|analyzer| Highlighter::new(&query, analyzer, language, &|word| synonyms_of(&synonyms, word)));
    let mut content = |definition: &Definition, found: &Found, source: &Source<'_>| {
        contents(request, definition, found, source, highlighter.as_ref())
    };
    let page = match order_of(request, &query, &definition.schema)? {
        Err(name) => sorted_by_reading(ctx, index, &query, wanted, request, name, &mut content)?,
        Ok(sort) => {
            let wanted = Wanted { sort, ..wanted };
            let mut asked = |ctx: &Ctx<'_>, content: &Index, deadline: Deadline| {
                question(ctx, index, content, &query, &wanted, deadline)
            };
            // What is not read is looked at all the same: a document whose time is over is not found.
            let (answer, contents) = ask(ctx, index, reading, &mut asked, Some(&mut content))?;
            Page { total: answer.total, timed_out: answer.timed_out, found: answer.found, contents }
        }
    };
    if page.timed_out && ctx.engine.config.get("search-on-timeout") == "fail" {
        return Err(CommandError::text(TIMED_OUT));
    }
    Ok(page)
}

/// Fields and payload of a document.
type Content = (Fields, Option<Vec<u8>>);

/// The first rows of many in some order. Those behind them go from time to time.
struct First<'o> {
    keep: usize,
    rows: Vec<(Value, Found, Content)>,
    order: &'o dyn Fn(&Value, &Value) -> Ordering,
}

impl First<'_> {
    /// Whether a row with this value can be among them.
    fn wants(&self, value: &Value) -> bool {
        // The rows are in order up to the last that was among the first when they were sorted.
        self.rows.len() < self.keep || (self.order)(value, &self.rows[self.keep - 1].0).is_lt()
    }

    fn push(&mut self, row: (Value, Found, Content)) {
        self.rows.push(row);
        if self.rows.len() >= self.keep * 2 + 16 {
            self.settle();
        }
    }

    fn settle(&mut self) {
        self.rows.sort_by(|(a, ..), (b, ..)| (self.order)(a, b));
        self.rows.truncate(self.keep);
    }
}

/// Sorts by a field that only the documents have: all that match are read.
fn sorted_by_reading(
    ctx: &mut Ctx<'_>,
    index: &SearchIndex,
    query: &Query,
    wanted: Wanted<'_>,
    request: &Request,
    name: &[u8],
    content: &mut dyn FnMut(&Definition, &Found, &Source<'_>) -> Content,
) -> Result<Page, CommandError> {
    let descends = request.sort_by.as_ref().is_some_and(|(_, descends)| *descends);
    let order = |a: &Value, b: &Value| {
        // What is missing comes last, whichever way the others stand.
        let missing = (*a == Value::Null).cmp(&(*b == Value::Null));
        missing.then_with(|| if descends { b.order(a) } else { a.order(b) })
    };
    let keep = request.offset.saturating_add(request.count);
    let first = RefCell::new(First { keep, rows: Vec::new(), order: &order });
    let wanted = Wanted { offset: 0, limit: usize::MAX, sort: Sort::Id, scores: true, ..wanted };
    let mut read = |definition: &Definition, found: &Found, source: &Source<'_>| {
        let value = match name {
            b"__key" => Value::Text(found.key.clone()),
            b"__score" => Value::Number(found.score),
            _ => fields::value(source, definition, name, request.reading.dialect),
        };
        let mut first = first.borrow_mut();
        if first.wants(&value) {
            let found = Found { sort_key: value.clone(), ..found.clone() };
            let content = content(definition, &found, source);
            first.push((value, found, content));
        }
    };
    let mut asked = |ctx: &Ctx<'_>, content: &Index, deadline: Deadline| {
        // It is asked anew, and so is everything read anew.
        first.borrow_mut().rows.clear();
        question(ctx, index, content, query, &wanted, deadline)
    };
    let (answer, _) = ask(ctx, index, wanted.reading, &mut asked, Some(&mut read))?;
    let mut first = first.into_inner();
    first.settle();
    let (found, contents) =
        first.rows.into_iter().skip(request.offset).map(|(_, found, content)| (found, content)).unzip();
    Ok(Page { total: answer.total, timed_out: answer.timed_out, found, contents })
}

fn contents(
    request: &Request,
    definition: &Definition,
    found: &Found,
    source: &Source<'_>,
    highlighter: Option<&Highlighter<'_>>,
) -> Content {
    let payload = match &definition.payload_field {
        Some(field) if request.with_payloads => source.text(field),
        _ => None,
    };
    if !request.wants_fields() {
        return (Vec::new(), payload);
    }
    // What is expanded is all that a path leads to, as in the later dialects.
    let dialect = if request.expand { fields::ALL_MATCHES } else { request.reading.dialect };
    let mut fields = match &request.returned {
        None => fields::all(source, found, dialect),
        Some(returned) => fields::chosen(source, definition, found, returned, dialect),
    };
    if let Some(highlighter) = highlighter {
        excerpts::apply(&request.excerpts, &definition.schema, highlighter, &mut fields);
    }
    (fields, payload)
}

/// Writes a page: an array in RESP2, a map in RESP3.
pub(super) fn write(reply: &mut Encoder<'_>, request: &Request, page: &Page) {
    let warnings: &[&str] = if page.timed_out { &[TIMED_OUT] } else { &[] };
    match reply.protocol() {
        Protocol::Resp2 => {
            let parts = 1
                + usize::from(request.with_scores)
                + usize::from(request.with_payloads)
                + usize::from(request.with_sort_keys)
                + usize::from(request.wants_fields());
            reply.array(1 + page.found.len() * parts);
            reply.integer(page.total as i64);
            for (found, contents) in page.found.iter().zip(&page.contents) {
                reply.bulk(&found.key);
                parts_of(reply, request, found, &contents.1);
                if request.wants_fields() {
                    reply.array(contents.0.len() * 2);
                    pairs(reply, &contents.0);
                }
            }
        }
        Protocol::Resp3 => {
            begin_results(reply, page.total, warnings, request.expand, page.found.len());
            for (found, contents) in page.found.iter().zip(&page.contents) {
                result(reply, request, found, contents);
            }
        }
    }
}

fn result(reply: &mut Encoder<'_>, request: &Request, found: &Found, contents: &Content) {
    let pairs_before = reply.position();
    let mut count = 2;
    reply.bulk(b"id");
    reply.bulk(&found.key);
    if request.with_scores {
        reply.bulk(b"score");
        score(reply, request, found);
        count += 1;
    }
    if request.with_payloads {
        reply.bulk(b"payload");
        optional(reply, contents.1.as_deref());
        count += 1;
    }
    if request.with_sort_keys {
        reply.bulk(b"sortkey");
        optional(reply, sort_key(found).as_deref());
        count += 1;
    }
    if request.wants_fields() {
        reply.bulk(b"extra_attributes");
        reply.map(contents.0.len());
        match request.expand {
            true => expand::fields(reply, &contents.0, found),
            false => pairs(reply, &contents.0),
        }
        count += 1;
    }
    reply.bulk(b"values");
    reply.array(0);
    reply.map_before(pairs_before, count);
}

fn parts_of(reply: &mut Encoder<'_>, request: &Request, found: &Found, payload: &Option<Vec<u8>>) {
    if request.with_scores {
        score(reply, request, found);
    }
    if request.with_payloads {
        optional(reply, payload.as_deref());
    }
    if request.with_sort_keys {
        optional(reply, sort_key(found).as_deref());
    }
}

fn score(reply: &mut Encoder<'_>, request: &Request, found: &Found) {
    match &found.explanation {
        Some(explanation) if request.explain_score => {
            reply.array(2);
            reply.double(found.score);
            explain(reply, explanation);
        }
        _ => reply.double(found.score),
    }
}

/// A line, and the parts it is made of.
fn explain(reply: &mut Encoder<'_>, explanation: &Explanation) {
    if explanation.parts.is_empty() {
        return reply.bulk(explanation.text.as_bytes());
    }
    reply.array(2);
    reply.bulk(explanation.text.as_bytes());
    reply.array(explanation.parts.len());
    explanation.parts.iter().for_each(|part| explain(reply, part));
}

/// A sort key as WITHSORTKEYS shows it: numbers behind `#`, texts behind `$`.
fn sort_key(found: &Found) -> Option<Vec<u8>> {
    let text = found.sort_key.as_text()?;
    let mark: &[u8] = if matches!(found.sort_key, Value::Number(_)) { b"#" } else { b"$" };
    Some([mark, &text].concat())
}

fn optional(reply: &mut Encoder<'_>, value: Option<&[u8]>) {
    match value {
        Some(value) => reply.bulk(value),
        None => reply.null(),
    }
}

fn pairs(reply: &mut Encoder<'_>, fields: &Fields) {
    for (name, value) in fields {
        reply.bulk(name);
        reply.bulk(value);
    }
}
