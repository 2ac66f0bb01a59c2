//! The `vectors` benchmark: VADD per server CPU, bytes per vector, and VSIM queries/s against recall.
//!
//! Course: per quantisation and round, fresh servers; each is filled by pipelined VADD on one connection, then every
//! EF is searched on each server in turn: one pass over the queries for recall, then a timed run. Queries/s at a given
//! recall are interpolated on the curve of medians.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::dataset::Dataset;
use crate::driver::Driver;
use crate::progress::note;
use crate::server::{Server, ServerSpec};
use crate::vector_results::{BuildRow, Results, SearchRow};
use crate::vector_traffic::{Add, Quant, Search};

/// VADD in flight: enough that the server never waits for the generator.
const BUILD_PIPELINE: usize = 16;
/// Settings of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Settings {
    /// Folder name of the data set.
    pub dataset: String,
    /// Storage of the vectors.
    pub quants: Vec<Quant>,
    /// Links per node.
    pub m: u32,
    /// EF of VADD.
    pub ef_construction: u32,
    /// EF of VSIM, ascending; the server's default is measured besides.
    pub efs: Vec<u32>,
    /// Neighbours asked for.
    pub k: usize,
    /// Numbers of connections, each waiting for its reply before the next query.
    pub connections: Vec<usize>,
    /// Fresh builds.
    pub rounds: usize,
    /// Seconds of each timed search.
    pub search_s: f64,
    /// Ask Redis to search on its main thread instead of starting one per query.
    pub nothread: bool,
}

/// Starts the servers and measures those that know VADD.
pub fn run(specs: &[ServerSpec], dataset: &Dataset, settings: &Settings) -> Result<Results> {
    ensure!(settings.k <= dataset.truth.columns, "gt.npy holds {} neighbours a query", dataset.truth.columns);
    let mut results = Results::default();
    for &quant in &settings.quants {
        for round in 0..settings.rounds {
            note(format!("{} round {} of {}", quant.word(), round + 1, settings.rounds));
            let servers = build_all(specs, dataset, settings, (quant, round), &mut results)?;
            search_all(&servers, dataset, settings, (quant, round), &mut results)?;
        }
    }
    results.summarise(settings);
    Ok(results)
}

type Stage = (Quant, usize);

fn build_all(
    specs: &[ServerSpec],
    dataset: &Dataset,
    settings: &Settings,
    (quant, round): Stage,
    results: &mut Results,
) -> Result<Vec<Server>> {
    let mut servers = Vec::new();
    for spec in specs {
        let server = Server::start(spec)?;
        if !server.supports("VADD")? {
            note(format!("{} has no vector sets: left out", server.name));
            continue;
        }
        let version = (server.name.clone(), server.version()?);
        if !results.versions.contains(&version) {
            results.versions.push(version);
        }
        let row =
            build(&server, dataset, settings, (quant, round)).with_context(|| format!("VADD on {}", server.name))?;
        note(format!("  {}: {:.0} us of CPU per VADD", row.server, row.server_cpu_us));
        results.builds.push(row);
        servers.push(server);
    }
    Ok(servers)
}

fn build(server: &Server, dataset: &Dataset, settings: &Settings, (quant, round): Stage) -> Result<BuildRow> {
    let mut driver = Driver::connect(server.address(), 1)?;
    let vectors = dataset.base.rows;
    let (cpu_before, empty_bytes) = (server.cpu_time()?, server.resident_bytes()?);
    let mut add = Add::new(dataset, quant, settings.m, settings.ef_construction);
    let outcome = driver.run(&mut add, BUILD_PIPELINE, None)?;
    let cpu_s = server.cpu_time()?.saturating_sub(cpu_before).as_secs_f64();
    let grown = server.resident_bytes()?.saturating_sub(empty_bytes);
    Ok(BuildRow {
        server: server.name.clone(),
        quant,
        round,
        vectors,
        seconds: outcome.elapsed.as_secs_f64(),
        server_cpu_us: cpu_s * 1e6 / vectors as f64,
        bytes_per_vector: grown as f64 / vectors as f64,
    })
}

fn search_all(
    servers: &[Server],
    dataset: &Dataset,
    settings: &Settings,
    stage: Stage,
    results: &mut Results,
) -> Result<()> {
    let efs = std::iter::once(None).chain(settings.efs.iter().map(|ef| Some(*ef)));
    for ef in efs {
        for &connections in &settings.connections {
            for turn in 0..servers.len() {
                let server = &servers[(turn + stage.1) % servers.len()];
                let row = search(server, dataset, settings, stage, (ef, connections))
                    .with_context(|| format!("VSIM with EF {ef:?} on {}", server.name))?;
                results.searches.push(row);
            }
        }
    }
    Ok(())
}

fn search(
    server: &Server,
    dataset: &Dataset,
    settings: &Settings,
    (quant, round): Stage,
    (ef, connections): (Option<u32>, usize),
) -> Result<SearchRow> {
    let mut driver = Driver::connect(server.address(), connections)?;
    let mut traffic = Search::new(dataset, settings.k, ef, settings.nothread);
    traffic.once_with_recall();
    driver.run(&mut traffic, 1, None)?;
    let recall = traffic.recall();
    traffic.endless();
    let cpu_before = server.cpu_time()?;
    let outcome = driver.run(&mut traffic, 1, Some(Duration::from_secs_f64(settings.search_s)))?;
    let cpu_s = server.cpu_time()?.saturating_sub(cpu_before).as_secs_f64();
    Ok(SearchRow {
        server: server.name.clone(),
        quant,
        round,
        ef,
        connections,
        recall,
        queries_per_s: outcome.operations_per_s(),
        server_cpu_us: cpu_s * 1e6 / outcome.operations as f64,
        p50_us: outcome.latencies.quantile(0.5) as f64 / 1e3,
        p99_us: outcome.latencies.quantile(0.99) as f64 / 1e3,
    })
}
