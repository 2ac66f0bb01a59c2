//! What the `library` benchmark measured: raw rows, medians, the promises, tables and curves.

use serde::Serialize;

use crate::bounds::Bound;
use crate::contender::OWN;
use crate::library::Settings;
use crate::plot::{Curve, Plot};
use crate::report::{Table, figure, times};
use crate::stats::{CurvePoint, median, queries_per_s_at, ratio};

/// Recalls at which speeds are compared.
const RECALLS: [f64; 2] = [0.95, 0.99];

/// Speed over each peer's at both recalls, by dimensions up to 128 and above.
const SPEEDS: [(&str, f64, f64); 3] = [("hnswlib", 2.0, 3.0), ("usearch-f32", 4.0, 4.0), ("faiss-sq8", 1.8, 1.8)];

/// Largest bytes per 384-d vector.
const BYTES: [(&str, f64); 3] = [("quiver-i8", 600.0), ("quiver-f16", 1350.0), ("quiver-f32", 2150.0)];

/// One build.
#[derive(Debug, Clone, Serialize)]
pub struct BuildRow {
    /// Data set.
    pub dataset: String,
    /// Library.
    pub contender: String,
    /// Its version.
    pub version: String,
    /// Vectors indexed.
    pub vectors: usize,
    /// Their dimensions.
    pub dim: usize,
    /// CPU seconds of the process.
    pub cpu_s: f64,
    /// Growth of the resident size per vector.
    pub bytes_per_vector: f64,
}

/// Searches at one EF.
#[derive(Debug, Clone, Serialize)]
pub struct SearchRow {
    /// Data set.
    pub dataset: String,
    /// Library.
    pub contender: String,
    /// Round, from 0.
    pub round: usize,
    /// Effort.
    pub ef: usize,
    /// Mean recall@k over all queries.
    pub recall: f64,
    /// Queries per second of CPU.
    pub queries_per_s: f64,
}

/// Everything a run measured.
#[derive(Debug, Default, Serialize)]
pub struct Results {
    /// One row per data set and contender.
    pub builds: Vec<BuildRow>,
    /// One row per data set, contender, round and EF.
    pub searches: Vec<SearchRow>,
    /// The promises.
    pub bounds: Vec<Bound>,
}

impl Results {
    /// Fills in the promises from the raw rows.
    pub fn summarise(&mut self, settings: &Settings) {
        self.bounds = self.datasets().iter().flat_map(|dataset| self.promises(dataset, settings)).collect();
    }

    fn datasets(&self) -> Vec<String> {
        let mut names: Vec<String> = self.builds.iter().map(|row| row.dataset.clone()).collect();
        names.dedup();
        names
    }

    fn build(&self, dataset: &str, contender: &str) -> Option<&BuildRow> {
        self.builds.iter().find(|row| row.dataset == dataset && row.contender == contender)
    }

    /// Medians over rounds, by ascending EF.
    fn curve(&self, dataset: &str, contender: &str, settings: &Settings) -> Vec<CurvePoint> {
        let rows = || self.searches.iter().filter(|row| row.dataset == dataset && row.contender == contender);
        let point = |&ef: &usize| {
            let at = || rows().filter(move |row| row.ef == ef);
            let recall = median(at().map(|row| row.recall))?;
            Some(CurvePoint { recall, queries_per_s: median(at().map(|row| row.queries_per_s))? })
        };
        settings.efs.iter().filter_map(point).collect()
    }

    fn speed(&self, dataset: &str, contender: &str, recall: f64, settings: &Settings) -> Option<f64> {
        queries_per_s_at(&self.curve(dataset, contender, settings), recall)
    }

    /// Quiver's fastest storage at a recall.
    fn own_speed(&self, dataset: &str, recall: f64, settings: &Settings) -> Option<f64> {
        let own = settings.contenders.iter().filter(|name| name.starts_with(OWN));
        own.filter_map(|name| self.speed(dataset, name, recall, settings)).max_by(f64::total_cmp)
    }

    fn promises(&self, dataset: &str, settings: &Settings) -> Vec<Bound> {
        let mut bounds = Vec::new();
        let dim = self.builds.iter().find(|row| row.dataset == dataset).map_or(0, |row| row.dim);
        for recall in RECALLS {
            for (peer, low, high) in SPEEDS {
                let measured =
                    ratio(self.own_speed(dataset, recall, settings), self.speed(dataset, peer, recall, settings));
                let what = format!("{dataset}: queries/s at recall {recall} against {peer}");
                bounds.push(Bound::at_least(what, if dim <= 128 { low } else { high }, measured));
            }
        }
        let cpu = |name| self.build(dataset, name).map(|row| row.cpu_s);
        for own in settings.contenders.iter().filter(|name| name.starts_with(OWN)) {
            let what = format!("{dataset}: build CPU of {own} against hnswlib");
            bounds.push(Bound::at_most(what, 1.0 / 3.0, ratio(cpu(own), cpu("hnswlib"))));
        }
        for (own, most) in BYTES {
            if let Some(row) = self.build(dataset, own).filter(|row| row.dim == 384) {
                let what = format!("{dataset}: bytes per vector of {own} against {most}");
                bounds.push(Bound::at_most(what, 1.0, Some(row.bytes_per_vector / most)));
            }
        }
        bounds
    }

    /// One line per data set and contender, and the curves behind it.
    pub fn tables(&self, settings: &Settings) -> String {
        let mut text = String::new();
        for dataset in self.datasets() {
            text.push_str(&self.summary(&dataset, settings).render());
            text.push('\n');
            text.push_str(&self.curves(&dataset, settings).render());
            text.push('\n');
        }
        text
    }

    fn summary(&self, dataset: &str, settings: &Settings) -> Table {
        let titles =
            [dataset, "version", "build CPU s", "queries/s @0.95", "best/this", "@0.99", "best/this", "bytes/vector"];
        let mut table = Table::new(&titles);
        for name in &settings.contenders {
            let Some(build) = self.build(dataset, name) else { continue };
            let speeds = RECALLS.map(|recall| {
                let speed = self.speed(dataset, name, recall, settings);
                (figure(speed), times(ratio(self.own_speed(dataset, recall, settings), speed)))
            });
            let [(at95, over95), (at99, over99)] = speeds;
            let (version, cpu) = (build.version.clone(), figure(Some(build.cpu_s)));
            let bytes = format!("{:.0}", build.bytes_per_vector);
            table.row([name.clone(), version, cpu, at95, over95, at99, over99, bytes]);
        }
        table
    }

    fn curves(&self, dataset: &str, settings: &Settings) -> Table {
        let titles: Vec<String> = std::iter::once("recall, queries/s".to_owned())
            .chain(settings.efs.iter().map(|ef| format!("ef {ef}")))
            .collect();
        let mut table = Table::new(&titles);
        for name in &settings.contenders {
            let points = self.curve(dataset, name, settings);
            let cells = points.iter().map(|point| format!("{:.4} {:.0}", point.recall, point.queries_per_s));
            table.row(std::iter::once(name.clone()).chain(cells));
        }
        table
    }

    /// A picture for each data set, by its name.
    pub fn plots(&self, settings: &Settings, caption: &str) -> Vec<(String, String)> {
        let plot = |dataset: String| {
            let shape = self.builds.iter().find(|row| row.dataset == dataset);
            let shape = shape.map_or(String::new(), |row| format!("{} x {}-d", row.vectors, row.dim));
            let curve = |name: &String| Curve {
                name: name.clone(),
                own: name.starts_with(OWN),
                points: self.curve(&dataset, name, settings),
            };
            let curves = settings.contenders.iter().map(curve).collect();
            let title = format!("{dataset}, {shape}: queries/s of one thread against recall@{}", settings.k);
            let picture = Plot { title, caption: caption.to_owned(), curves }.svg();
            (dataset, picture)
        };
        self.datasets().into_iter().map(plot).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            folders: Vec::new(),
            contenders: vec!["quiver-i8".into(), "hnswlib".into()],
            m: 16,
            ef_construction: 200,
            efs: vec![10, 20],
            k: 10,
            rounds: 1,
            search_s: 1.0,
            environment: "venv".into(),
            peers: "library".into(),
        }
    }

    fn results() -> Results {
        let build = |contender: &str, cpu_s, bytes_per_vector| BuildRow {
            dataset: "words".into(),
            contender: contender.into(),
            version: "1".into(),
            vectors: 10,
            dim: 384,
            cpu_s,
            bytes_per_vector,
        };
        let search = |contender: &str, ef, recall, queries_per_s| SearchRow {
            dataset: "words".into(),
            contender: contender.into(),
            round: 0,
            ef,
            recall,
            queries_per_s,
        };
        Results {
            builds: vec![build("quiver-i8", 4.0, 590.0), build("hnswlib", 20.0, 1700.0)],
            searches: vec![
                search("quiver-i8", 10, 0.95, 20_000.0),
                search("quiver-i8", 20, 0.995, 9_000.0),
                search("hnswlib", 10, 0.95, 5_000.0),
                search("hnswlib", 20, 0.98, 4_000.0),
            ],
            ..Results::default()
        }
    }

    #[test]
    fn promises_compare_speeds_at_equal_recall_builds_and_bytes() {
        let (mut results, settings) = (results(), settings());
        results.summarise(&settings);
        let verdicts: Vec<String> = results.bounds.iter().map(Bound::verdict).collect();
        let says = |text: &str| verdicts.iter().any(|verdict| verdict == text);
        assert!(says("PASS words: queries/s at recall 0.95 against hnswlib: 4.00x (at least 3.00x)"), "{verdicts:#?}");
        assert!(says("FAIL words: queries/s at recall 0.99 against hnswlib: not measured (at least 3.00x)"));
        assert!(says("PASS words: build CPU of quiver-i8 against hnswlib: 0.20x (at most 0.33x)"));
        assert!(says("PASS words: bytes per vector of quiver-i8 against 600: 0.98x (at most 1.00x)"));
    }

    #[test]
    fn a_table_and_a_picture_name_every_contender() {
        let (results, settings) = (results(), settings());
        let (table, plots) = (results.tables(&settings), results.plots(&settings, "a machine"));
        assert_eq!(plots.len(), 1);
        for name in &settings.contenders {
            assert!(table.contains(name) && plots[0].1.contains(name.as_str()));
        }
    }
}
