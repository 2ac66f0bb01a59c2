//! FT.HYBRID: two rankings, by words and by nearness, made one and passed through a pipeline.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use quiver_query::aggregate::{Arguments, Planner};
use quiver_query::ast::{Attributes, Kind, Knn, Node};
use quiver_query::hybrid::{self, Fusion, fuse, similarity};
use quiver_query::index::{Index, Scorer, Sort};
use quiver_query::{FieldKind, Query, Schema};
use quiver_resp::{Argv, Encoder, Protocol};
use quiver_vector::Metric;

use super::aggregate::{Pipeline, write_row};
use super::ask::{Answer, Deadline, Found, ask};
use super::request::{Reading, returned};
use super::search::{TIMED_OUT, Wanted, question};
use super::watch::Watch;
use super::{index_to_ask, words_from};
use crate::command::CommandResult;
use crate::commands::args::is;
use crate::context::Ctx;
use crate::error::{CommandError, quote_word};
use crate::search::cursors::Row;
use crate::search::definition::Definition;
use crate::search::extract::Source;
use crate::search::index::SearchIndex;
use crate::search::words::{Words, bad, unknown};

/// Neighbours that are looked for where K does not say.
const K: usize = 10;

/// Results that are shown where neither SORTBY nor LIMIT says.
const SHOWN: usize = 10;

/// Where the combined score of a result is found.
const SCORE: &[u8] = b"__score";

/// What FT.HYBRID says.
struct Request<'w> {
    text: &'w [u8],
    scorer: Option<Scorer>,
    text_score_as: Option<&'w [u8]>,
    field: &'w [u8],
    vector: &'w [u8],
    near: Near,
    filter: Option<&'w [u8]>,
    vector_score_as: Option<&'w [u8]>,
    fusion: Fusion,
    score_as: Option<&'w [u8]>,
}

/// Which vectors are near.
#[derive(Clone, Copy)]
enum Near {
    Nearest { k: usize, ef: Option<usize> },
    Within { radius: f64, epsilon: Option<f64> },
}

/// The rows of an answer.
pub(super) struct Output {
    total: usize,
    rows: Vec<Row>,
    timed_out: bool,
    took_ns: u64,
}

pub(super) fn hybrid(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let index = index_to_ask(ctx, argv, argv.at(1))?;
    let output = run(ctx, &index, &words_from(argv, 2), None)?;
    write(&mut ctx.reply, output);
    Ok(())
}

/// Runs both rankings and what follows them.
pub(super) fn run(
    ctx: &mut Ctx<'_>,
    index: &SearchIndex,
    all: &[&[u8]],
    watch: Option<&Rc<Watch>>,
) -> Result<Output, CommandError> {
    let begun_ns = ctx.meter.now_ns();
    let definition = index.definition();
    let mut words = Words(all);
    let request = Request::parse(&mut words)?;
    let known = |name: &[u8]| {
        let yielded = [request.text_score_as, request.vector_score_as, request.score_as];
        definition.schema.field(name).is_some()
            || [b"__key".as_slice(), SCORE].contains(&name)
            || yielded.contains(&Some(name))
    };
    let (mut reading, pipeline) = behind(ctx, words, &request, &known)?;
    if let Some(scorer) = request.scorer {
        reading.scorer = scorer;
    }
    let (text, vector, metric) = request.queries(&reading, &definition.schema)?;
    reading.watch = watch.cloned();
    reading.understood(ctx);
    index.note_dialect(reading.dialect);
    let window = request.fusion.window();
    let wanted = Wanted { limit: window, scores: true, sort: Sort::Score, ..Wanted::all(&reading) };
    let mut asked = |ctx: &Ctx<'_>, content: &Index, deadline: Deadline| {
        let by_text = question(ctx, index, content, &text, &wanted, deadline)?;
        let by_vector =
            question(ctx, index, content, &vector, &Wanted { scores: false, sort: nearest(), ..wanted }, deadline)?;
        Ok(request.combine(by_text, by_vector, metric))
    };
    let mut read = |definition: &Definition, found: &Found, source: &Source<'_>| {
        pipeline.row(definition, found, source, reading.dialect)
    };
    let (answer, rows) = ask(ctx, index, &reading, &mut asked, Some(&mut read))?;
    if answer.timed_out && ctx.engine.config.get("search-on-timeout") == "fail" {
        return Err(CommandError::text(TIMED_OUT));
    }
    let (rows, keeps) = pipeline.run(ctx, rows)?;
    let total = if keeps { answer.total } else { rows.len() };
    let took_ns = ctx.meter.now_ns().saturating_sub(begun_ns);
    Ok(Output { total, rows, timed_out: answer.timed_out, took_ns })
}

/// The name under which distances come out of the second ranking.
const DISTANCE: &[u8] = b"__vector_distance";

fn nearest() -> Sort<'static> {
    Sort::Distance { name: DISTANCE, descending: false }
}

impl<'w> Request<'w> {
    /// Reads SEARCH, VSIM and COMBINE.
    fn parse(words: &mut Words<'w>) -> Result<Self, CommandError> {
        if !words.take("SEARCH") {
            return Err(CommandError::text("SEARCH argument is required"));
        }
        let mut request = Self {
            text: words.value("SEARCH")?,
            scorer: None,
            text_score_as: None,
            field: b"",
            vector: b"",
            near: Near::Nearest { k: K, ef: None },
            filter: None,
            vector_score_as: None,
            fusion: Fusion::default(),
            score_as: None,
        };
        loop {
            if words.take("SCORER") {
                let name = words.value("SCORER")?;
                let none = || CommandError::owned(format!("No such scorer {}", quote_word(name)));
                request.scorer = Some(Scorer::parse(&name.to_ascii_uppercase()).ok_or_else(none)?);
            } else if words.take("YIELD_SCORE_AS") {
                request.text_score_as = Some(words.value("YIELD_SCORE_AS")?);
            } else {
                break;
            }
        }
        if !words.take("VSIM") {
            return Err(CommandError::text("VSIM argument is required"));
        }
        let field = words.value("VSIM")?;
        let missing_mark = || CommandError::text("Missing @ prefix for vector field name");
        request.field = field.strip_prefix(b"@").ok_or_else(missing_mark)?;
        request.vector = words.value("VSIM")?;
        request.read_near(words)?;
        request.read_combination(words)?;
        Ok(request)
    }

    fn read_near(&mut self, words: &mut Words<'w>) -> CommandResult {
        loop {
            if words.take("KNN") {
                let mut given = Words(words.counted("KNN")?);
                let (mut k, mut ef) = (K, None);
                while let Some(word) = given.next() {
                    match word.to_ascii_uppercase().as_slice() {
                        b"K" => k = (given.number("K", 1)? as usize).min(quiver_query::limits::RESULTS),
                        b"EF_RUNTIME" => ef = Some(given.number("EF_RUNTIME", 1)? as usize),
                        b"SHARD_K_RATIO" => drop(given.float("SHARD_K_RATIO")?),
                        b"YIELD_SCORE_AS" => self.vector_score_as = Some(given.value("YIELD_SCORE_AS")?),
                        _ => return Err(unknown(word)),
                    }
                }
                self.near = Near::Nearest { k, ef };
            } else if words.take("RANGE") {
                let mut given = Words(words.counted("RANGE")?);
                let (mut radius, mut epsilon) = (None, None);
                while let Some(word) = given.next() {
                    match word.to_ascii_uppercase().as_slice() {
                        b"RADIUS" => radius = Some(given.float("RADIUS")?),
                        b"EPSILON" => epsilon = Some(given.float("EPSILON")?),
                        b"YIELD_SCORE_AS" => self.vector_score_as = Some(given.value("YIELD_SCORE_AS")?),
                        _ => return Err(unknown(word)),
                    }
                }
                let radius = radius.ok_or(CommandError::text("Missing required argument RADIUS"))?;
                self.near = Near::Within { radius, epsilon };
            } else if self.filter.is_none() && words.take("FILTER") {
                self.filter = Some(words.value("FILTER")?);
            } else if words.take("YIELD_SCORE_AS") {
                self.vector_score_as = Some(words.value("YIELD_SCORE_AS")?);
            } else {
                return Ok(());
            }
        }
    }

    fn read_combination(&mut self, words: &mut Words<'w>) -> CommandResult {
        if !words.take("COMBINE") {
            return Ok(());
        }
        let method = words.value("COMBINE")?;
        let is_linear = is(method, "LINEAR");
        if !is_linear && !is(method, "RRF") {
            return Err(CommandError::owned(format!("Unknown COMBINE method `{}`", quote_word(method))));
        }
        let has_count = words.peek().is_some_and(|word| word.first().is_some_and(u8::is_ascii_digit));
        let mut given = Words(if has_count { words.counted("COMBINE")? } else { &[] });
        let (mut constant, mut window) = (hybrid::CONSTANT, hybrid::WINDOW);
        let (mut alpha, mut beta) = hybrid::WEIGHTS;
        while let Some(word) = given.next() {
            match word.to_ascii_uppercase().as_slice() {
                b"CONSTANT" if !is_linear => constant = given.float("CONSTANT")?,
                b"ALPHA" if is_linear => alpha = given.float("ALPHA")?,
                b"BETA" if is_linear => beta = given.float("BETA")?,
                b"WINDOW" => window = (given.number("WINDOW", 1)? as usize).min(quiver_query::limits::RESULTS),
                b"YIELD_SCORE_AS" => self.score_as = Some(given.value("YIELD_SCORE_AS")?),
                _ => return Err(unknown(word)),
            }
        }
        self.fusion = if is_linear {
            Fusion::Linear { alpha, beta, window }
        } else {
            Fusion::ReciprocalRank { constant, window }
        };
        Ok(())
    }

    /// The two queries, and how distances of the second are measured.
    fn queries(&self, reading: &Reading, schema: &Schema) -> Result<(Query, Query, Metric), CommandError> {
        let text = reading.parse(self.text, schema)?;
        if text.knn.is_some() {
            return Err(CommandError::text(
                "Weight attributes and vector queries are not allowed in the SEARCH clause",
            ));
        }
        let none = || CommandError::owned(format!("Unknown field `{}`", quote_word(self.field)));
        let place = schema.field(self.field).ok_or_else(none)?;
        let FieldKind::Vector(field) = &schema.fields[usize::from(place)].kind else {
            return Err(CommandError::owned(format!("Expected a VECTOR field at {}", quote_word(self.field))));
        };
        let vector = self.vector_value(reading)?;
        let mut query = match self.filter {
            Some(filter) => reading.parse(filter, schema)?,
            None => Query { root: plain(Kind::All), knn: None },
        };
        let distance_as = DISTANCE.to_vec();
        match self.near {
            Near::Nearest { k, ef } => {
                query.knn =
                    Some(Knn { k, field: place, vector, ef_runtime: ef, policy: None, batch_size: None, distance_as });
            }
            Near::Within { radius, epsilon } => {
                let range = Kind::VectorRange { field: place, radius, vector, epsilon, distance_as: Some(distance_as) };
                let filter = std::mem::replace(&mut query.root, plain(Kind::All));
                query.root = plain(Kind::And(vec![filter, plain(range)]));
            }
        }
        Ok((text, query, field.metric))
    }

    fn vector_value(&self, reading: &Reading) -> Result<Vec<u8>, CommandError> {
        let Some(name) = self.vector.strip_prefix(b"$") else { return Ok(self.vector.to_vec()) };
        let found = reading.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        found.ok_or_else(|| CommandError::owned(format!("No such parameter `{}`", quote_word(name))))
    }

    /// Makes one ranking of two. A document's scores come out under the names that were asked for.
    fn combine(&self, by_text: Answer, by_vector: Answer, metric: Metric) -> Answer {
        let timed_out = by_text.timed_out || by_vector.timed_out;
        let mut all = by_text.found;
        let mut places: HashMap<Vec<u8>, usize> =
            all.iter().enumerate().map(|(place, found)| (found.key.clone(), place)).collect();
        let text: Vec<(usize, f64)> = all.iter().enumerate().map(|(place, found)| (place, found.score)).collect();
        let mut vector = Vec::new();
        for found in by_vector.found {
            let distance = found.distances.first().map_or(f64::INFINITY, |(_, distance)| *distance);
            let place = *places.entry(found.key.clone()).or_insert_with(|| {
                all.push(found);
                all.len() - 1
            });
            vector.push((place, similarity(metric, distance)));
        }
        let fused = fuse(&text, &vector, self.fusion);
        let found = fused.into_iter().map(|fused| {
            let mut found = all[fused.doc].clone();
            found.score = fused.score;
            let scores = [
                (self.text_score_as, fused.text),
                (self.vector_score_as, fused.vector),
                (self.score_as, Some(fused.score)),
            ];
            let named = scores.into_iter().filter_map(|(name, score)| Some((name?.to_vec(), score?)));
            found.distances = named.collect();
            found
        });
        let found: Vec<Found> = found.collect();
        Answer { total: found.len(), found, timed_out }
    }
}

fn plain(kind: Kind) -> Node {
    Node { kind, attributes: Attributes::default() }
}

/// Reads what stands behind the two rankings.
fn behind(
    ctx: &Ctx<'_>,
    mut words: Words<'_>,
    request: &Request<'_>,
    known: &dyn Fn(&[u8]) -> bool,
) -> Result<(Reading, Pipeline), CommandError> {
    let mut reading = Reading::new(ctx);
    // It came with dialect 2, and knows none before.
    reading.dialect = reading.dialect.max(2);
    let mut planner = Planner::new(known).with_bare_names();
    let (mut loaded, mut load_all, mut limited) = (Vec::new(), false, false);
    while !words.is_empty() {
        limited |= words.peek().is_some_and(|word| is(word, "LIMIT") || is(word, "GROUPBY"));
        let mut arguments = Arguments::new(words.0);
        let is_load = words.peek().is_some_and(|word| is(word, "LOAD"));
        if !is_load && planner.step(&mut arguments)? {
            words = Words(arguments.rest());
            continue;
        }
        let Some(word) = words.next() else { break };
        if reading.option(word, &mut words)? {
            continue;
        }
        match word.to_ascii_uppercase().as_slice() {
            // The ranking is an order, too; without one wanted it is as good as any.
            b"NOSORT" => {}
            b"LOAD" if words.take("*") => load_all = true,
            b"LOAD" => {
                let given = words.counted("LOAD").map_err(|_| bad("LOAD", "Expected number of fields or `*`"))?;
                for field in returned(given)? {
                    planner.load(&field.name)?;
                    loaded.push((field.name, field.field));
                }
            }
            b"FORMAT" => super::aggregate::strings_only(&mut words)?,
            _ => return Err(unknown(word)),
        }
    }
    if loaded.is_empty() && !load_all {
        // A score with a name of its own is shown under that.
        let score = request.score_as.is_none().then_some(SCORE);
        for name in [Some(b"__key".as_slice()), score].into_iter().flatten() {
            // Behind a grouping there are no documents any more, and nothing of them is shown.
            let _ = planner.load(name);
        }
    }
    for name in [request.text_score_as, request.vector_score_as, request.score_as].into_iter().flatten() {
        let _ = planner.load(name);
    }
    let plan = planner.finish();
    let limit = (!limited).then_some(SHOWN);
    Ok((reading, Pipeline::new(Arc::new(plan), loaded, load_all, limit)))
}

/// Writes the answer: pairs in RESP2, a map in RESP3.
pub(super) fn write(reply: &mut Encoder<'_>, output: Output) {
    reply.map(4);
    reply.bulk(b"total_results");
    reply.integer(output.total as i64);
    reply.bulk(b"results");
    reply.array(output.rows.len());
    for row in &output.rows {
        match reply.protocol() {
            Protocol::Resp2 => reply.array(row.len() * 2),
            Protocol::Resp3 => reply.map(row.len()),
        }
        write_row(reply, row);
    }
    reply.bulk(b"warnings");
    reply.array(usize::from(output.timed_out));
    if output.timed_out {
        reply.bulk(TIMED_OUT.as_bytes());
    }
    reply.bulk(b"execution_time");
    reply.double(output.took_ns as f64 / 1e6);
}
