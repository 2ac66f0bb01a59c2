//! What the `vectors` benchmark measured: raw rows, their summary by medians, the promises, tables.

use serde::Serialize;

use crate::bounds::Bound;
use crate::report::{Table, figure, times};
use crate::stats::{CurvePoint, median, queries_per_s_at, ratio};
use crate::vector_traffic::Quant;
use crate::vectors::Settings;

/// Recalls at which speeds are compared.
const RECALLS: [f64; 2] = [0.95, 0.99];

/// One build.
#[derive(Debug, Clone, Serialize)]
pub struct BuildRow {
    /// Server measured.
    pub server: String,
    /// Storage.
    pub quant: Quant,
    /// Round, from 0.
    pub round: usize,
    /// Vectors added.
    pub vectors: usize,
    /// Wall seconds of the whole build.
    pub seconds: f64,
    /// CPU time of the server per VADD, microseconds.
    pub server_cpu_us: f64,
    /// Growth of the resident size per vector.
    pub bytes_per_vector: f64,
}

/// One timed search run.
#[derive(Debug, Clone, Serialize)]
pub struct SearchRow {
    /// Server measured.
    pub server: String,
    /// Storage.
    pub quant: Quant,
    /// Round, from 0.
    pub round: usize,
    /// EF asked for; `None` is the server's default.
    pub ef: Option<u32>,
    /// Connections.
    pub connections: usize,
    /// Mean recall@k over all queries.
    pub recall: f64,
    /// Queries per second of wall time.
    pub queries_per_s: f64,
    /// CPU time of the server per query, microseconds.
    pub server_cpu_us: f64,
    /// Median latency, microseconds.
    pub p50_us: f64,
    /// 99th percentile, microseconds.
    pub p99_us: f64,
}

/// Everything a run measured.
#[derive(Debug, Default, Serialize)]
pub struct Results {
    /// What each server's INFO says it is.
    pub versions: Vec<(String, String)>,
    /// One row per server, quantisation and round.
    pub builds: Vec<BuildRow>,
    /// One row per server, quantisation, round, EF and number of connections.
    pub searches: Vec<SearchRow>,
    /// Queries/s at a recall, from medians.
    pub speeds: Vec<SpeedRow>,
    /// The promises.
    pub bounds: Vec<Bound>,
}

/// Queries/s at a recall.
#[derive(Debug, Clone, Serialize)]
pub struct SpeedRow {
    /// Server measured.
    pub server: String,
    /// Storage.
    pub quant: Quant,
    /// Connections.
    pub connections: usize,
    /// Recall@k.
    pub recall: f64,
    /// `None` when no EF of the run reached the recall.
    pub queries_per_s: Option<f64>,
}

impl Results {
    /// Fills in speeds and promises from the raw rows.
    pub fn summarise(&mut self, settings: &Settings) {
        self.speeds = self.speeds_of(settings);
        self.bounds = self.promises(settings);
    }

    fn build_median(&self, server: &str, quant: Quant, figure: impl Fn(&BuildRow) -> f64) -> Option<f64> {
        median(self.builds.iter().filter(|row| row.server == server && row.quant == quant).map(figure))
    }

    fn search_median(&self, server: &str, at: SearchKey, figure: impl Fn(&SearchRow) -> f64) -> Option<f64> {
        let (quant, connections, ef) = at;
        let chosen = |row: &&SearchRow| {
            row.server == server && row.quant == quant && row.connections == connections && row.ef == ef
        };
        median(self.searches.iter().filter(chosen).map(figure))
    }

    fn speeds_of(&self, settings: &Settings) -> Vec<SpeedRow> {
        let mut speeds = Vec::new();
        for &quant in &settings.quants {
            for &connections in &settings.connections {
                for (server, _) in &self.versions {
                    let point = |ef: &u32| {
                        let at = (quant, connections, Some(*ef));
                        let recall = self.search_median(server, at, |row| row.recall)?;
                        let queries_per_s = self.search_median(server, at, |row| row.queries_per_s)?;
                        Some(CurvePoint { recall, queries_per_s })
                    };
                    let curve: Vec<CurvePoint> = settings.efs.iter().filter_map(point).collect();
                    speeds.extend(RECALLS.map(|recall| {
                        let queries_per_s = queries_per_s_at(&curve, recall);
                        SpeedRow { server: server.clone(), quant, connections, recall, queries_per_s }
                    }));
                }
            }
        }
        speeds
    }

    fn speed(&self, server: &str, quant: Quant, connections: usize, recall: f64) -> Option<f64> {
        let chosen = |row: &&SpeedRow| {
            row.server == server && row.quant == quant && row.connections == connections && row.recall == recall
        };
        self.speeds.iter().find(chosen)?.queries_per_s
    }

    fn promises(&self, settings: &Settings) -> Vec<Bound> {
        let mut bounds = Vec::new();
        for &quant in &settings.quants {
            let word = quant.word();
            let cpu = |server| self.build_median(server, quant, |row| row.server_cpu_us);
            bounds.push(Bound::at_least(
                format!("VADD {word} per server CPU"),
                3.0,
                ratio(cpu("redis"), cpu("quiver")),
            ));
            let speed = |server| self.speed(server, quant, 1, RECALLS[0]);
            let what = format!("VSIM {word} queries/s at recall {} over one connection", RECALLS[0]);
            bounds.push(Bound::at_least(what, 3.0, ratio(speed("quiver"), speed("redis"))));
        }
        bounds
    }

    /// Tables of builds, curves and speeds; ratios are Quiver's figure over that line's.
    pub fn tables(&self, settings: &Settings) -> String {
        [self.build_table(settings), self.search_table(settings), self.speed_table()].join("\n")
    }

    fn build_table(&self, settings: &Settings) -> String {
        let titles = ["VADD", "server", "cpu us", "quiver/this", "vectors/s", "bytes/vector", "quiver/this"];
        let mut table = Table::new(&titles);
        for &quant in &settings.quants {
            for (server, _) in &self.versions {
                let cpu = |server: &str| self.build_median(server, quant, |row| row.server_cpu_us);
                let bytes = |server: &str| self.build_median(server, quant, |row| row.bytes_per_vector);
                table.row([
                    quant.word().to_owned(),
                    server.clone(),
                    figure(cpu(server)),
                    against(server, ratio(cpu("quiver"), cpu(server))),
                    figure(self.build_median(server, quant, |row| row.vectors as f64 / row.seconds)),
                    figure(bytes(server)),
                    against(server, ratio(bytes("quiver"), bytes(server))),
                ]);
            }
        }
        table.render()
    }

    fn search_table(&self, settings: &Settings) -> String {
        let titles =
            ["VSIM", "conns", "EF", "server", "recall", "queries/s", "quiver/this", "cpu us", "p50 us", "p99 us"];
        let mut table = Table::new(&titles);
        let efs: Vec<Option<u32>> = std::iter::once(None).chain(settings.efs.iter().map(|ef| Some(*ef))).collect();
        for &quant in &settings.quants {
            for &connections in &settings.connections {
                for &ef in &efs {
                    for (server, _) in &self.versions {
                        table.row(self.search_cells(server, (quant, connections, ef)));
                    }
                }
            }
        }
        table.render()
    }

    fn search_cells(&self, server: &str, at: SearchKey) -> [String; 10] {
        let (quant, connections, ef) = at;
        let of = |figure: fn(&SearchRow) -> f64| self.search_median(server, at, figure);
        let speed = |server: &str| self.search_median(server, at, |row| row.queries_per_s);
        [
            quant.word().to_owned(),
            connections.to_string(),
            ef.map_or("default".into(), |ef| ef.to_string()),
            server.to_owned(),
            of(|row| row.recall).map_or("-".into(), |recall| format!("{recall:.4}")),
            figure(speed(server)),
            against(server, ratio(speed("quiver"), speed(server))),
            figure(of(|row| row.server_cpu_us)),
            figure(of(|row| row.p50_us)),
            figure(of(|row| row.p99_us)),
        ]
    }

    fn speed_table(&self) -> String {
        let mut table = Table::new(&["queries/s at", "recall", "conns", "server", "queries/s", "quiver/this"]);
        for SpeedRow { server, quant, connections, recall, queries_per_s } in &self.speeds {
            table.row([
                quant.word().to_owned(),
                recall.to_string(),
                connections.to_string(),
                server.clone(),
                figure(*queries_per_s),
                against(server, ratio(self.speed("quiver", *quant, *connections, *recall), *queries_per_s)),
            ]);
        }
        table.render()
    }
}

type SearchKey = (Quant, usize, Option<u32>);

fn against(server: &str, ratio: Option<f64>) -> String {
    if server == "quiver" { String::new() } else { times(ratio) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            dataset: "test".into(),
            quants: vec![Quant::Q8],
            m: 16,
            ef_construction: 200,
            efs: vec![10, 40],
            k: 10,
            connections: vec![1],
            rounds: 1,
            search_s: 1.0,
            nothread: false,
        }
    }

    fn results() -> Results {
        let build = |server: &str, cpu_us| BuildRow {
            server: server.into(),
            quant: Quant::Q8,
            round: 0,
            vectors: 10,
            seconds: 1.0,
            server_cpu_us: cpu_us,
            bytes_per_vector: 500.0,
        };
        let search = |server: &str, ef, recall, queries_per_s| SearchRow {
            server: server.into(),
            quant: Quant::Q8,
            round: 0,
            ef: Some(ef),
            connections: 1,
            recall,
            queries_per_s,
            server_cpu_us: 1.0,
            p50_us: 1.0,
            p99_us: 1.0,
        };
        Results {
            versions: vec![("quiver".into(), "1".into()), ("redis".into(), "8".into())],
            builds: vec![build("quiver", 300.0), build("redis", 1000.0)],
            searches: vec![
                search("quiver", 10, 0.96, 8000.0),
                search("quiver", 40, 0.999, 5000.0),
                search("redis", 10, 0.90, 4000.0),
                search("redis", 40, 1.0, 1000.0),
            ],
            ..Results::default()
        }
    }

    #[test]
    fn speeds_are_compared_at_equal_recall_and_builds_per_cpu() {
        let (mut results, settings) = (results(), settings());
        results.summarise(&settings);
        let verdicts: Vec<String> = results.bounds.iter().map(Bound::verdict).collect();
        assert_eq!(verdicts[0], "PASS VADD Q8 per server CPU: 3.33x (at least 3.00x)");
        assert_eq!(verdicts[1], "PASS VSIM Q8 queries/s at recall 0.95 over one connection: 4.00x (at least 3.00x)");
        assert!(results.tables(&settings).contains("4.00x"));
    }

    #[test]
    fn a_server_alone_has_figures_but_no_promise_kept() {
        let (mut results, settings) = (results(), settings());
        results.versions.truncate(1);
        results.builds.truncate(1);
        results.searches.truncate(2);
        results.summarise(&settings);
        assert!(results.bounds.iter().all(|bound| !bound.holds()));
    }
}
