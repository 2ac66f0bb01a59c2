//! FT.INFO, FT._LIST, FT.TAGVALS: what indexes there are and what is in them.

use std::sync::atomic::Ordering::Relaxed;

use quiver_query::{Field, FieldKind, VectorAlgorithm, VectorField};
use quiver_resp::{Argv, Encoder, Protocol};

use super::{index_to_ask, index_to_change};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::{CommandError, quote_word};
use crate::search::cursors::Cursors;
use crate::search::definition::Definition;
use crate::search::index::SearchIndex;
use crate::search::schema::{component_name, metric_name};

const MB: f64 = 1024.0 * 1024.0;

pub(super) fn list(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    let set = ctx.engine.search.set();
    ctx.reply.set(set.indexes().len());
    set.indexes().for_each(|index| ctx.reply.bulk(&index.name));
    Ok(())
}

pub(super) fn tag_values(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let index = index_to_ask(ctx, argv, argv.at(1))?;
    let name = argv.at(2);
    let definition = index.definition();
    let place = definition.schema.field(name).ok_or(CommandError::text("No such field"))?;
    if !matches!(definition.schema.fields[usize::from(place)].kind, FieldKind::Tag { .. }) {
        return Err(CommandError::text("Not a tag field"));
    }
    ctx.engine.bring_up_to_date(&index, &ctx.ks);
    let content = index.content();
    let values: Vec<&[u8]> = content.tag_values(place).map(|(value, _)| value).collect();
    ctx.reply.set(values.len());
    values.iter().for_each(|value| ctx.reply.bulk(value));
    Ok(())
}

pub(super) fn info(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let set = ctx.engine.search.set();
    let Some(index) = set.find(argv.at(1)) else {
        let name = quote_word(argv.at(1));
        return Err(CommandError::owned(format!("{name}: no such index")));
    };
    let index = index_to_change(ctx, &index.name)?;
    ctx.engine.bring_up_to_date(&index, &ctx.ks);
    let definition = index.definition();
    let cursors = ctx.engine.search.cursors.counts(&index.name, ctx.ks.now_ms);
    let mut map = Pairs { start: ctx.reply.position(), pairs: 0, reply: &mut ctx.reply };
    declared(&mut map, &index, &definition);
    measured(&mut map, &index);
    map.key("cursor_stats");
    numbers(
        map.reply,
        &[
            ("global_idle", cursors.1),
            ("global_total", cursors.1),
            ("index_capacity", Cursors::capacity()),
            ("index_total", cursors.0),
        ],
    );
    if let Some(words) = &definition.schema.stop_words {
        map.key("stopwords_list");
        map.reply.array(words.len());
        words.iter().for_each(|word| map.reply.bulk(word.as_bytes()));
    }
    dialects(&mut map, &index);
    errors(&mut map, &index, &definition);
    let Pairs { start, pairs, reply } = map;
    reply.map_before(start, pairs);
    Ok(())
}

/// A map whose length is known when all of it is written.
struct Pairs<'m, 'r> {
    reply: &'m mut Encoder<'r>,
    start: usize,
    pairs: usize,
}

impl Pairs<'_, '_> {
    fn key(&mut self, name: &str) {
        self.pairs += 1;
        self.reply.bulk(name.as_bytes());
    }

    fn integer(&mut self, name: &str, value: u64) {
        self.key(name);
        self.reply.integer(value as i64);
    }

    fn double(&mut self, name: &str, value: f64) {
        self.key(name);
        self.reply.double(value);
    }
}

fn numbers(reply: &mut Encoder<'_>, pairs: &[(&str, usize)]) {
    reply.map(pairs.len());
    for (name, value) in pairs {
        reply.bulk(name.as_bytes());
        reply.integer(*value as i64);
    }
}

fn declared(map: &mut Pairs<'_, '_>, index: &SearchIndex, definition: &Definition) {
    map.key("index_name");
    map.reply.bulk(&index.name);
    let schema = &definition.schema;
    let options = [
        (schema.no_frequencies, "NOFREQS"),
        (schema.no_fields, "NOFIELDS"),
        (definition.max_text_fields, "MAXTEXTFIELDS"),
        (schema.no_offsets, "NOOFFSETS"),
        (schema.no_highlight, "NOHL"),
    ];
    let options: Vec<&str> = options.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name).collect();
    map.key("index_options");
    map.reply.array(options.len());
    options.iter().for_each(|option| map.reply.bulk(option.as_bytes()));
    map.key("index_definition");
    index_definition(map.reply, definition);
    map.key("attributes");
    map.reply.array(schema.fields.len());
    for field in &schema.fields {
        attribute(map.reply, field);
    }
}

fn index_definition(reply: &mut Encoder<'_>, definition: &Definition) {
    let (start, mut pairs) = (reply.position(), 3);
    reply.bulk(b"key_type");
    reply.bulk(definition.kind.name().as_bytes());
    reply.bulk(b"prefixes");
    reply.array(definition.prefixes.len());
    definition.prefixes.iter().for_each(|prefix| reply.bulk(prefix));
    let fields = [
        ("filter", definition.filter.as_ref().map(|filter| filter.text())),
        ("language_field", definition.language_field.as_deref()),
        ("score_field", definition.score_field.as_deref()),
        ("payload_field", definition.payload_field.as_deref()),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            reply.bulk(name.as_bytes());
            reply.bulk(value);
            pairs += 1;
        }
    }
    reply.bulk(b"default_score");
    reply.double(definition.score);
    reply.map_before(start, pairs);
}

fn attribute(reply: &mut Encoder<'_>, field: &Field) {
    let (start, mut pairs) = (reply.position(), 3);
    let mut flags: Vec<&str> = Vec::new();
    reply.bulk(b"identifier");
    reply.bulk(&field.path);
    reply.bulk(b"attribute");
    reply.bulk(&field.name);
    reply.bulk(b"type");
    match &field.kind {
        FieldKind::Text { weight, no_stem, phonetic, suffixes } => {
            reply.bulk(b"TEXT");
            reply.bulk(b"WEIGHT");
            reply.double(*weight);
            pairs += 1;
            if let Some(matcher) = phonetic {
                reply.bulk(b"PHONETIC");
                reply.bulk(matcher.as_bytes());
                pairs += 1;
            }
            flags.extend(no_stem.then_some("NOSTEM"));
            flags.extend(suffixes.then_some("WITHSUFFIXTRIE"));
        }
        FieldKind::Tag { separator, case_sensitive, suffixes } => {
            reply.bulk(b"TAG");
            reply.bulk(b"SEPARATOR");
            reply.bulk(if *separator == 0 { b"" } else { std::slice::from_ref(separator) });
            pairs += 1;
            flags.extend(case_sensitive.then_some("CASESENSITIVE"));
            flags.extend(suffixes.then_some("WITHSUFFIXTRIE"));
        }
        FieldKind::Numeric => reply.bulk(b"NUMERIC"),
        FieldKind::Geo => reply.bulk(b"GEO"),
        FieldKind::GeoShape { spherical } => {
            reply.bulk(b"GEOSHAPE");
            reply.bulk(b"coord_system");
            reply.bulk(if *spherical { b"SPHERICAL" } else { b"FLAT" });
            pairs += 1;
        }
        FieldKind::Vector(vector) => {
            reply.bulk(b"VECTOR");
            pairs += vector_parameters(reply, vector);
        }
    }
    flags.extend(field.sortable.then_some("SORTABLE"));
    flags.extend(field.unnormalized.then_some("UNF"));
    flags.extend(field.no_index.then_some("NOINDEX"));
    flags.extend(field.index_empty.then_some("INDEXEMPTY"));
    flags.extend(field.index_missing.then_some("INDEXMISSING"));
    if reply.protocol() == Protocol::Resp3 {
        reply.bulk(b"flags");
        reply.array(flags.len());
        flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
        return reply.map_before(start, pairs + 1);
    }
    // Without maps, flags stand among the pairs.
    flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.array_before(start, pairs * 2 + flags.len());
}

/// Writes names and values; how many pairs.
fn vector_parameters(reply: &mut Encoder<'_>, vector: &VectorField) -> usize {
    let algorithm = match &vector.algorithm {
        VectorAlgorithm::Flat { .. } => "FLAT",
        VectorAlgorithm::Hnsw { .. } => "HNSW",
        VectorAlgorithm::Vamana { .. } => "SVS-VAMANA",
    };
    let texts = [
        ("algorithm", algorithm),
        ("data_type", component_name(vector.component)),
        ("distance_metric", metric_name(vector.metric)),
    ];
    for (name, text) in texts {
        reply.bulk(name.as_bytes());
        reply.bulk(text.as_bytes());
    }
    let own = match &vector.algorithm {
        VectorAlgorithm::Flat { .. } => vec![("dim", vector.dim)],
        VectorAlgorithm::Hnsw { m, ef_construction, .. } => {
            vec![("dim", vector.dim), ("M", *m), ("ef_construction", *ef_construction)]
        }
        VectorAlgorithm::Vamana { .. } => vec![("dim", vector.dim)],
    };
    for (name, number) in &own {
        reply.bulk(name.as_bytes());
        reply.integer(*number as i64);
    }
    let mut pairs = texts.len() + own.len();
    if let VectorAlgorithm::Vamana { parameters } = &vector.algorithm {
        for (name, value) in parameters {
            reply.bulk(name.as_bytes());
            match value.parse() {
                Ok(number) => reply.integer(number),
                Err(_) => reply.bulk(value.as_bytes()),
            }
        }
        pairs += parameters.len();
    }
    pairs
}

fn measured(map: &mut Pairs<'_, '_>, index: &SearchIndex) {
    let (documents, statistics) = {
        let content = index.content();
        (content.len(), content.statistics())
    };
    let per_document = |number: f64| if documents == 0 { f64::NAN } else { number / documents as f64 };
    let per_record = |number: f64| if statistics.records == 0 { f64::NAN } else { number / statistics.records as f64 };
    map.integer("num_docs", documents as u64);
    map.integer("max_doc_id", statistics.max_document as u64);
    map.integer("num_terms", statistics.terms as u64);
    map.integer("num_records", statistics.records as u64);
    let sizes = [("inverted_sz_mb", statistics.inverted_bytes), ("vector_index_sz_mb", statistics.vector_bytes)];
    for (name, bytes) in sizes {
        map.double(name, bytes as f64 / MB);
    }
    map.integer("total_inverted_index_blocks", statistics.inverted_blocks as u64);
    let sizes = [
        ("offset_vectors_sz_mb", statistics.offset_bytes),
        ("doc_table_size_mb", statistics.document_bytes),
        ("sortable_values_size_mb", statistics.sortable_bytes),
        ("key_table_size_mb", statistics.key_bytes),
        ("tag_overhead_sz_mb", statistics.tag_bytes),
        ("text_overhead_sz_mb", statistics.term_bytes),
        ("total_index_memory_sz_mb", statistics.total_bytes()),
        ("geoshapes_sz_mb", statistics.geo_bytes),
    ];
    for (name, bytes) in sizes {
        map.double(name, bytes as f64 / MB);
    }
    map.double("records_per_doc_avg", per_document(statistics.records as f64));
    map.double("bytes_per_record_avg", per_record(statistics.inverted_bytes as f64));
    map.double("offsets_per_term_avg", per_record(statistics.offset_bytes as f64));
    map.double("offset_bits_per_record_avg", per_record(statistics.offset_bytes as f64 * 8.0));
    map.integer("hash_indexing_failures", index.failures.lock().count);
    map.double("total_indexing_time", index.indexing_ns.load(Relaxed) as f64 / 1e6);
    map.integer("indexing", u64::from(index.is_scanning()));
    map.double("percent_indexed", index.progress());
    map.integer("number_of_uses", index.uses.load(Relaxed));
    map.integer("cleaning", 0);
    // Nothing is left behind by changes and removals, so nothing is ever collected.
    map.key("gc_stats");
    let names = [
        "bytes_collected",
        "total_ms_run",
        "total_cycles",
        "average_cycle_time_ms",
        "last_run_time_ms",
        "gc_numeric_trees_missed",
        "gc_blocks_denied",
    ];
    numbers(map.reply, &names.map(|name| (name, 0)));
}

fn dialects(map: &mut Pairs<'_, '_>, index: &SearchIndex) {
    let used = index.dialects.load(Relaxed);
    map.key("dialect_stats");
    let names = ["dialect_1", "dialect_2", "dialect_3", "dialect_4"];
    let pairs: Vec<(&str, usize)> =
        names.into_iter().enumerate().map(|(bit, name)| (name, usize::from(used >> (bit + 1) & 1))).collect();
    numbers(map.reply, &pairs);
}

fn errors(map: &mut Pairs<'_, '_>, index: &SearchIndex, definition: &Definition) {
    let failures = index.failures.lock().clone();
    let (reason, key) = failures.last.unwrap_or_else(|| ("N/A".to_owned(), b"N/A".to_vec()));
    map.key("Index Errors");
    map.reply.map(4);
    map.reply.bulk(b"indexing failures");
    map.reply.integer(failures.count as i64);
    for (name, value) in [
        ("last indexing error", reason.as_bytes()),
        ("last indexing error key", key.as_slice()),
        ("background indexing status", b"OK"),
    ] {
        map.reply.bulk(name.as_bytes());
        map.reply.bulk(value);
    }
    let statistics = index.content().statistics();
    map.key("field statistics");
    map.reply.array(definition.schema.fields.len());
    for (place, field) in (0..).zip(&definition.schema.fields) {
        let vectors = statistics.vectors.iter().find(|vectors| vectors.field == place);
        map.reply.map(3 + 2 * usize::from(vectors.is_some()));
        map.reply.bulk(b"identifier");
        map.reply.bulk(&field.path);
        map.reply.bulk(b"attribute");
        map.reply.bulk(&field.name);
        map.reply.bulk(b"Index Errors");
        map.reply.map(3);
        map.reply.bulk(b"indexing failures");
        map.reply.integer(0);
        for name in ["last indexing error", "last indexing error key"] {
            map.reply.bulk(name.as_bytes());
            map.reply.bulk(b"N/A");
        }
        if let Some(vectors) = vectors {
            map.reply.bulk(b"memory");
            map.reply.integer(vectors.bytes as i64);
            map.reply.bulk(b"marked_deleted");
            map.reply.integer(0);
        }
    }
}
