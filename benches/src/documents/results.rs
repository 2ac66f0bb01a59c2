//! What a run found, as tables, and what was promised of it.

use serde::Serialize;

use super::corpus::Kind;
use super::text::{TextBuild, TextRow};
use crate::bounds::Bound;
use crate::report::{Table, figure};
use crate::stats::{median, ratio};

/// Facts that something was promised of.
pub(super) const RESTART_S: &str = "restart to the first right answer, s";
pub(super) const GET_P99_MS: &str = "while writing: p99 of GET, ms";
const RESTART_S_MAX: f64 = 3.0;
const GET_P99_MS_MAX: f64 = 5.0;
/// Of tantivy's questions per second.
const TEXT_LEAST: f64 = 0.8;

/// A kind of question, one client.
#[derive(Debug, Clone, Serialize)]
pub struct SearchRow {
    /// What was asked.
    pub what: String,
    /// EF_RUNTIME, where it means something.
    pub ef: Option<usize>,
    /// Share of the true ten that were found.
    pub recall: Option<f64>,
    /// Answers per second.
    pub queries_per_s: f64,
    /// CPU of the server for one.
    pub cpu_us: f64,
    /// Median of the time to an answer.
    pub p50_us: f64,
    /// Its 99th percentile.
    pub p99_us: f64,
}

/// Filtered neighbours of another program.
#[derive(Debug, Clone, Serialize)]
pub struct FilterRow {
    /// The program.
    pub contender: String,
    /// Its version.
    pub version: String,
    /// The filter.
    pub filter: String,
    /// Questions per second of CPU.
    pub queries_per_s: f64,
}

/// Everything a run found.
#[derive(Debug, Default, Serialize)]
pub struct Results {
    /// Single figures.
    pub facts: Vec<(String, f64)>,
    /// Questions to the server.
    pub searches: Vec<SearchRow>,
    /// Libraries' indexes of the texts.
    pub text_builds: Vec<TextBuild>,
    /// Questions to libraries.
    pub text: Vec<TextRow>,
    /// Filtered neighbours of others.
    pub filters: Vec<FilterRow>,
    /// What was promised.
    pub bounds: Vec<Bound>,
}

impl Results {
    pub(super) fn fact(&mut self, name: &str, value: f64) {
        self.facts.push((name.to_owned(), value));
    }

    fn fact_named(&self, name: &str) -> Option<f64> {
        self.facts.iter().find(|fact| fact.0 == name).map(|fact| fact.1)
    }

    /// Median questions per second of a library.
    fn speed(&self, contender: &str, kind: Kind) -> Option<f64> {
        let rows = self.text.iter().filter(|row| row.contender == contender && row.kind == kind);
        median(rows.map(|row| row.queries_per_s))
    }

    fn contenders(&self) -> Vec<&str> {
        self.text_builds.iter().map(|build| build.contender.as_str()).collect()
    }

    /// Holds the figures against what was promised.
    pub(super) fn summarise(&mut self) {
        if let Some(seconds) = self.fact_named(RESTART_S) {
            self.bounds.push(Bound::at_most("restart, of 3 s", 1.0, Some(seconds / RESTART_S_MAX)));
        }
        if let Some(p99) = self.fact_named(GET_P99_MS) {
            self.bounds.push(Bound::at_most("p99 of GET while writing, of 5 ms", 1.0, Some(p99 / GET_P99_MS_MAX)));
        }
        // A regular expression of tantivy's gives no scores, so a prefix is not the same question.
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Prefix) {
            for (ours, theirs) in [("quiver", "tantivy"), ("quiver-stem", "tantivy-stem")] {
                if self.contenders().contains(&theirs) {
                    let measured = ratio(self.speed(ours, kind), self.speed(theirs, kind));
                    let what = format!("{} of {ours} / {theirs}", kind.name());
                    self.bounds.push(Bound::at_least(what, TEXT_LEAST, measured));
                }
            }
        }
    }

    /// Everything as text.
    pub fn tables(&self) -> String {
        let mut facts = Table::new(&["", "figure"]);
        self.facts.iter().for_each(|(name, value)| facts.row([name.clone(), figure(Some(*value))]));
        let mut searches = Table::new(&["one client", "EF", "recall", "q/s", "CPU us", "p50 us", "p99 us"]);
        for row in &self.searches {
            let recall = row.recall.map_or("-".to_owned(), |recall| format!("{recall:.3}"));
            let cells = [row.what.clone(), row.ef.map_or("-".to_owned(), |ef| ef.to_string()), recall];
            let figures = [row.queries_per_s, row.cpu_us, row.p50_us, row.p99_us];
            searches.row(cells.into_iter().chain(figures.map(|value| figure(Some(value)))));
        }
        let mut text =
            Table::new(&["words, q/s of CPU", "build us", "bytes", "word", "two", "either", "phrase", "prefix"]);
        for build in &self.text_builds {
            let speeds = Kind::ALL.map(|kind| figure(self.speed(&build.contender, kind)));
            let cells = [build.contender.clone(), figure(Some(build.cpu_us)), figure(Some(build.bytes))];
            text.row(cells.into_iter().chain(speeds));
        }
        let mut matches = Table::new(&["documents that match", "word", "two", "either", "phrase", "prefix"]);
        for contender in self.contenders() {
            let of = |kind| self.text.iter().find(|row| row.contender == contender && row.kind == kind);
            let counts = Kind::ALL.map(|kind| of(kind).map_or("-".to_owned(), |row| row.matches.to_string()));
            matches.row(std::iter::once(contender.to_owned()).chain(counts));
        }
        let mut filters = Table::new(&["filtered neighbours", "filter", "q/s of CPU"]);
        for row in &self.filters {
            filters.row([row.contender.clone(), row.filter.clone(), figure(Some(row.queries_per_s))]);
        }
        let tables = [(facts, true), (searches, !self.searches.is_empty()), (text, !self.text.is_empty())];
        let tables = tables.into_iter().chain([(matches, !self.text.is_empty()), (filters, !self.filters.is_empty())]);
        let shown: Vec<String> = tables.filter(|(_, shown)| *shown).map(|(table, _)| table.render()).collect();
        shown.join("\n")
    }
}
