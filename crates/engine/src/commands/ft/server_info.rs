//! What INFO tells of all indexes together, under the names that the query engine's fields have in Redis.
//!
//! Figures of what does not exist here are left out or, where tools rely on them, zero: changes leave nothing behind in
//! an index, so nothing is ever collected, and no cursor is one's own business of a cluster.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use quiver_query::index::Statistics;
use quiver_query::{Field, FieldKind, VectorAlgorithm};

use crate::commands::describe::MODULES;
use crate::context::Ctx;
use crate::search::index::SearchIndex;

const MB: f64 = 1024.0 * 1024.0;

/// What is said of every index.
struct Figures {
    statistics: Statistics,
    failures: u64,
    indexing_ns: u64,
    scans: bool,
    answers: bool,
    dialects: u8,
}

impl Figures {
    fn of(index: &SearchIndex) -> Self {
        Self {
            statistics: index.content().statistics(),
            failures: index.failures.lock().count,
            indexing_ns: index.indexing_ns.load(Relaxed),
            scans: index.is_scanning(),
            answers: index.running.load(Relaxed) > 0,
            dialects: index.dialects.load(Relaxed),
        }
    }
}

/// Writes the sections.
pub(in crate::commands) fn write(ctx: &Ctx<'_>, out: &mut String) {
    let set = ctx.engine.search.set();
    let figures: Vec<Figures> = set.indexes().map(|index| Figures::of(index)).collect();
    let version = MODULES.iter().find(|(name, _)| *name == "search").map_or(0, |(_, version)| *version);
    let (major, minor, patch) = (version / 10_000, version / 100 % 100, version % 100);
    section(out, "version", &[("version", format!("{major}.{minor}.{patch}"))]);
    indexes(out, &figures);
    let mut fields = BTreeMap::new();
    for index in set.indexes() {
        index.definition().schema.fields.iter().for_each(|field| count(&mut fields, field));
    }
    let fields: Vec<(String, u64)> =
        fields.into_iter().map(|(name, count)| (format!("fields_{name}"), count)).collect();
    numbers(out, "fields_statistics", fields.iter().map(|(name, count)| (name.as_str(), *count)));
    let used = |dialect: usize| u64::from(figures.iter().any(|index| index.dialects >> dialect & 1 == 1));
    let dialects = ["dialect_1", "dialect_2", "dialect_3", "dialect_4"];
    numbers(out, "dialect_statistics", (1..).zip(dialects).map(|(dialect, name)| (name, used(dialect))));
    memory(out, &figures);
    cursors(ctx, out);
    queries(ctx, out, &figures);
    let failures = figures.iter().map(|index| index.failures);
    let most = failures.clone().max().unwrap_or(0);
    numbers(
        out,
        "errors",
        [("errors_indexing_failures", failures.sum()), ("errors_for_index_with_max_failures", most)],
    );
}

fn indexes(out: &mut String, figures: &[Figures]) {
    let count = |holds: &dyn Fn(&Figures) -> bool| figures.iter().filter(|index| holds(index)).count() as u64;
    let scanning = count(&|index| index.scans);
    let documents = figures.iter().map(|index| index.statistics.documents as u64).sum();
    numbers(
        out,
        "index",
        [
            ("number_of_indexes", figures.len() as u64),
            ("number_of_active_indexes", count(&|index| index.scans || index.answers)),
            ("number_of_active_indexes_running_queries", count(&|index| index.answers)),
            ("number_of_active_indexes_indexing", scanning),
            ("total_active_write_threads", u64::from(scanning > 0)),
            ("total_indexing_time", figures.iter().map(|index| index.indexing_ns).sum::<u64>() / 1_000_000),
            ("total_num_docs_in_indexes", documents),
        ],
    );
}

/// Counts a field by its kind, and by what was declared of it.
fn count(fields: &mut BTreeMap<String, u64>, field: &Field) {
    let mut add = |kind: &str, what: &str| *fields.entry(format!("{kind}_{what}")).or_default() += 1;
    let (kind, name) = match &field.kind {
        FieldKind::Text { .. } => ("text", "Text"),
        FieldKind::Tag { .. } => ("tag", "Tag"),
        FieldKind::Numeric => ("numeric", "Numeric"),
        FieldKind::Geo => ("geo", "Geo"),
        FieldKind::GeoShape { .. } => ("geoshape", "Geoshape"),
        FieldKind::Vector(_) => ("vector", "Vector"),
    };
    add(kind, name);
    let more = [
        (field.sortable, "Sortable"),
        (field.no_index, "NoIndex"),
        (matches!(field.kind, FieldKind::Tag { case_sensitive: true, .. }), "CaseSensitive"),
        (field.index_empty, "IndexEmpty"),
        (field.index_missing, "IndexMissing"),
    ];
    more.iter().filter(|(is_so, _)| *is_so).for_each(|(_, what)| add(kind, what));
    if let FieldKind::Vector(vector) = &field.kind {
        add(kind, if matches!(vector.algorithm, VectorAlgorithm::Flat { .. }) { "Flat" } else { "HNSW" });
    }
}

fn memory(out: &mut String, figures: &[Figures]) {
    let bytes = || figures.iter().map(|index| index.statistics.total_bytes() as u64);
    let sizes = [
        ("used_memory_indexes", bytes().sum()),
        ("smallest_memory_index", bytes().min().unwrap_or(0)),
        ("largest_memory_index", bytes().max().unwrap_or(0)),
    ];
    let mut lines = Vec::new();
    for (name, bytes) in sizes {
        lines.push((name.to_owned(), bytes.to_string()));
        lines.push((format!("{name}_human"), format!("{}", bytes as f64 / MB)));
    }
    let vectors: usize = figures.iter().map(|index| index.statistics.vector_bytes).sum();
    lines.push(("used_memory_vector_index".to_owned(), vectors.to_string()));
    let lines: Vec<(&str, String)> = lines.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    section(out, "memory", &lines);
    let collected = [
        "gc_bytes_collected",
        "gc_total_cycles",
        "gc_total_ms_run",
        "gc_total_docs_not_collected",
        "gc_marked_deleted_vectors",
    ];
    numbers(out, "garbage_collector", collected.map(|name| (name, 0)));
}

fn cursors(ctx: &Ctx<'_>, out: &mut String) {
    let (_, open) = ctx.engine.search.cursors.counts(b"", ctx.ks.now_ms);
    let names = ["cursors_internal_idle", "cursors_user_idle", "cursors_internal_active", "cursors_user_active"];
    let open = open as u64;
    numbers(out, "cursors", names.into_iter().zip([0, open, 0, open]));
}

fn queries(ctx: &Ctx<'_>, out: &mut String, figures: &[Figures]) {
    let asked = &ctx.engine.search.asked;
    numbers(
        out,
        "queries",
        [
            ("total_queries_processed", asked.queries.load(Relaxed)),
            ("total_query_commands", asked.commands.load(Relaxed)),
            ("total_query_execution_time_ms", asked.ns.load(Relaxed) / 1_000_000),
            ("total_active_queries", figures.iter().filter(|index| index.answers).count() as u64),
        ],
    );
}

fn numbers<'n>(out: &mut String, name: &str, lines: impl IntoIterator<Item = (&'n str, u64)>) {
    let lines: Vec<(&str, String)> = lines.into_iter().map(|(name, value)| (name, value.to_string())).collect();
    section(out, name, &lines);
}

fn section(out: &mut String, name: &str, lines: &[(&str, String)]) {
    let between = if out.is_empty() { "" } else { "\r\n" };
    let _ = write!(out, "{between}# search_{name}\r\n");
    for (name, value) in lines {
        let _ = write!(out, "search_{name}:{value}\r\n");
    }
}
