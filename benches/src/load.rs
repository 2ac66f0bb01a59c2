//! The `load` benchmark: server CPU per operation, throughput and latency of key/value commands, and bytes per key.
//!
//! Course: start all servers; fill each with the keys, taking resident memory before and after; then in every round
//! run each test at each pipeline depth on each server in turn (the order rotates), so that whatever else happens on
//! the machine falls on all servers alike. Figures are medians over rounds.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::Serialize;

use crate::bounds::Bound;
use crate::driver::Driver;
use crate::progress::note;
use crate::report::{Table, figure, times};
use crate::server::{Server, ServerSpec};
use crate::stats::{median, ratio};
use crate::template::{Expect, Sizes, Template};
use crate::traffic::{Fill, Random};

/// Pipeline depth while filling.
const FILL_PIPELINE: usize = 64;
/// Writes among 1000 requests of the mixed test.
const MIXED_WRITES_PER_MILLE: u64 = 100;

/// Promises that are looked at where the test was asked for: CPU at pipeline 16.
const ON_REQUEST: &[(Test, f64)] = &[
    (Test::Incr, 0.45),
    (Test::Queue, 0.45),
    (Test::Sadd, 0.45),
    (Test::Hset, 0.45),
    (Test::Zadd, 0.6),
    (Test::Lrange, 0.6),
    (Test::Mset, 0.6),
    (Test::Xadd, 0.6),
    (Test::Evalsha, 0.7),
];

/// One kind of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Test {
    /// GET of an existing key.
    Get,
    /// SET over an existing key.
    Set,
    /// Nine GET to one SET.
    Mixed,
    /// HSET over an existing field of a hash of 16.
    Hset,
    /// HGET of an existing field.
    Hget,
    /// INCR.
    Incr,
    /// As many LPUSH as RPOP, of one list.
    Queue,
    /// As many LPUSH as RPOP, of as many lists as there are keys.
    Queues,
    /// EVALSHA of a script that counts.
    Evalsha,
    /// SADD to one set.
    Sadd,
    /// ZADD to one sorted set.
    Zadd,
    /// LRANGE of 100 elements.
    Lrange,
    /// MSET of ten keys.
    Mset,
    /// XADD to one stream that is kept to a length.
    Xadd,
    /// The line given with --custom.
    Custom,
}

impl Test {
    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// Settings of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Settings {
    /// What to run.
    pub tests: Vec<Test>,
    /// Pipeline depths.
    pub pipelines: Vec<usize>,
    /// Connections, all from one thread.
    pub connections: usize,
    /// Distinct keys.
    pub keys: u64,
    /// Bytes of a key.
    pub key_bytes: usize,
    /// Bytes of a value.
    pub value_bytes: usize,
    /// Rounds over all tests and servers.
    pub rounds: usize,
    /// Untimed seconds before each run.
    pub warmup_s: f64,
    /// Timed seconds of each run.
    pub run_s: f64,
    /// Command line of [`Test::Custom`].
    pub custom: Option<String>,
}

impl Settings {
    fn sizes(&self) -> Sizes {
        Sizes { key: self.key_bytes, value: self.value_bytes }
    }

    fn traffic(&self, test: Test) -> Result<Random> {
        let sizes = self.sizes();
        let template = match test {
            Test::Get => Template::get(sizes)?,
            Test::Set => Template::set(sizes)?,
            Test::Hset => Template::hset(sizes)?,
            Test::Hget => Template::hget(sizes)?,
            Test::Incr => Template::incr(sizes)?,
            Test::Queue => {
                let push = Template::custom("LPUSH queue __value__", sizes, Expect::Integer)?;
                let pop = Template::custom("RPOP queue", sizes, Expect::Any)?;
                return Ok(Random::mixed(push, pop, 500, self.keys));
            }
            Test::Queues => {
                let push = Template::custom("LPUSH queue:__rand__ __value__", sizes, Expect::Integer)?;
                let pop = Template::custom("RPOP queue:__rand__", sizes, Expect::Any)?;
                return Ok(Random::mixed(push, pop, 500, self.keys));
            }
            Test::Evalsha => Template::custom(&evalsha_line(), sizes, Expect::Integer)?,
            Test::Sadd => Template::custom("SADD set member:__rand__", sizes, Expect::Integer)?,
            Test::Zadd => Template::custom("ZADD board __rand__ member:__rand__", sizes, Expect::Integer)?,
            Test::Lrange => Template::custom("LRANGE hundred 0 99", sizes, Expect::Any)?,
            Test::Mset => Template::custom(&mset_line(), sizes, Expect::Ok)?,
            Test::Xadd => Template::custom("XADD log MAXLEN ~ 100000 * field __value__", sizes, Expect::Any)?,
            Test::Mixed => {
                let (get, set) = (Template::get(sizes)?, Template::set(sizes)?);
                return Ok(Random::mixed(get, set, MIXED_WRITES_PER_MILLE, self.keys));
            }
            Test::Custom => {
                let Some(line) = &self.custom else { bail!("the custom test needs --custom 'COMMAND ...'") };
                Template::custom(line, sizes, Expect::Any)?
            }
        };
        Ok(Random::new(template, self.keys))
    }
}

/// One timed run.
#[derive(Debug, Clone, Serialize)]
pub struct RunRow {
    /// Server measured.
    pub server: String,
    /// Traffic.
    pub test: Test,
    /// Requests per batch.
    pub pipeline: usize,
    /// Round, from 0.
    pub round: usize,
    /// Operations answered.
    pub operations: u64,
    /// Operations per second of wall time.
    pub operations_per_s: f64,
    /// CPU time of the server per operation, microseconds.
    pub server_cpu_us: f64,
    /// Share of a core the server used, 0..=1.
    pub server_busy: f64,
    /// Share of a core the generator used, 0..=1.
    pub generator_busy: f64,
    /// Median latency, microseconds.
    pub p50_us: f64,
    /// 99th percentile, microseconds.
    pub p99_us: f64,
    /// 99.9th percentile, microseconds.
    pub p999_us: f64,
}

/// Memory of a server before and after the string keys went in.
#[derive(Debug, Clone, Serialize)]
pub struct MemoryRow {
    /// Server measured.
    pub server: String,
    /// What its INFO says it is.
    pub version: String,
    /// Keys written.
    pub keys: u64,
    /// Resident bytes of the empty server.
    pub empty_bytes: u64,
    /// Resident bytes with all keys.
    pub filled_bytes: u64,
    /// The difference per key.
    pub bytes_per_key: f64,
}

/// Everything a run measured.
#[derive(Debug, Default, Serialize)]
pub struct Results {
    /// One row per server.
    pub memory: Vec<MemoryRow>,
    /// One row per server, test, pipeline and round.
    pub runs: Vec<RunRow>,
    /// The promises, filled in at the end.
    pub bounds: Vec<Bound>,
}

/// Starts the servers and measures them.
pub fn run(specs: &[ServerSpec], settings: &Settings) -> Result<Results> {
    let mut results = Results::default();
    let mut servers = Vec::new();
    for spec in specs {
        let server = Server::start(spec)?;
        results.memory.push(fill(&server, settings).with_context(|| format!("filling {}", server.name))?);
        servers.push(server);
    }
    for round in 0..settings.rounds {
        note(format!("round {} of {}", round + 1, settings.rounds));
        for &test in &settings.tests {
            for &pipeline in &settings.pipelines {
                for turn in 0..servers.len() {
                    let server = &servers[(turn + round) % servers.len()];
                    let row = measure(server, settings, test, pipeline, round)
                        .with_context(|| format!("{} at pipeline {pipeline} on {}", test.name(), server.name))?;
                    results.runs.push(row);
                }
            }
        }
    }
    results.bounds = results.promises();
    Ok(results)
}

fn mset_line() -> String {
    let pairs: Vec<String> = (0..10).map(|n| format!("m{n}:__rand__ __value__")).collect();
    format!("MSET {}", pairs.join(" "))
}

/// What [`Test::Evalsha`] runs; without a space, as templates are split there.
const COUNTER: &str = "return(redis.call('INCR',KEYS[1]))";
/// The digest under which servers know [`COUNTER`].
const COUNTER_SHA: &str = "6a935716be7afd629d740d55c8ec5faf2298e9d5";

fn evalsha_line() -> String {
    format!("EVALSHA {COUNTER_SHA} 1 counter:__rand__")
}

fn fill(server: &Server, settings: &Settings) -> Result<MemoryRow> {
    note(format!("filling {} with {} keys", server.name, settings.keys));
    let mut driver = Driver::connect(server.address(), 4)?;
    let empty_bytes = server.resident_bytes()?;
    driver.run(&mut Fill::new(Template::set(settings.sizes())?, settings.keys), FILL_PIPELINE, None)?;
    let filled_bytes = server.resident_bytes()?;
    if settings.tests.contains(&Test::Lrange) {
        let push = Template::custom("RPUSH hundred __value__", settings.sizes(), Expect::Integer)?;
        driver.run(&mut Fill::new(push, 100), FILL_PIPELINE, None)?;
    }
    if settings.tests.contains(&Test::Queues) {
        let push = Template::custom("LPUSH queue:__rand__ __value__", settings.sizes(), Expect::Integer)?;
        driver.run(&mut Fill::new(push, settings.keys), FILL_PIPELINE, None)?;
    }
    if settings.tests.contains(&Test::Evalsha) {
        let load = Template::custom(&format!("SCRIPT LOAD {COUNTER}"), settings.sizes(), Expect::Any)?;
        driver.run(&mut Fill::new(load, 1), 1, None)?;
    }
    if settings.tests.iter().any(|test| matches!(test, Test::Hset | Test::Hget)) {
        driver.run(&mut Fill::new(Template::hset(settings.sizes())?, settings.keys), FILL_PIPELINE, None)?;
    }
    Ok(MemoryRow {
        server: server.name.clone(),
        version: server.version()?,
        keys: settings.keys,
        empty_bytes,
        filled_bytes,
        bytes_per_key: filled_bytes.saturating_sub(empty_bytes) as f64 / settings.keys as f64,
    })
}

fn measure(server: &Server, settings: &Settings, test: Test, pipeline: usize, round: usize) -> Result<RunRow> {
    let mut driver = Driver::connect(server.address(), settings.connections)?;
    let mut traffic = settings.traffic(test)?;
    driver.run(&mut traffic, pipeline, Some(Duration::from_secs_f64(settings.warmup_s)))?;
    let cpu_before = server.cpu_time()?;
    let outcome = driver.run(&mut traffic, pipeline, Some(Duration::from_secs_f64(settings.run_s)))?;
    let cpu_s = server.cpu_time()?.saturating_sub(cpu_before).as_secs_f64();
    let quantile_us = |quantile| outcome.latencies.quantile(quantile) as f64 / 1e3;
    Ok(RunRow {
        server: server.name.clone(),
        test,
        pipeline,
        round,
        operations: outcome.operations,
        operations_per_s: outcome.operations_per_s(),
        server_cpu_us: cpu_s * 1e6 / outcome.operations as f64,
        server_busy: cpu_s / outcome.elapsed.as_secs_f64(),
        generator_busy: outcome.generator_busy,
        p50_us: quantile_us(0.5),
        p99_us: quantile_us(0.99),
        p999_us: quantile_us(0.999),
    })
}

impl Results {
    /// Median over the rounds of one figure.
    fn median_of(&self, server: &str, test: Test, pipeline: usize, figure: impl Fn(&RunRow) -> f64) -> Option<f64> {
        let chosen = |row: &&RunRow| row.server == server && row.test == test && row.pipeline == pipeline;
        median(self.runs.iter().filter(chosen).map(figure))
    }

    fn bytes_per_key(&self, server: &str) -> Option<f64> {
        self.memory.iter().find(|row| row.server == server).map(|row| row.bytes_per_key)
    }

    fn promises(&self) -> Vec<Bound> {
        let mut bounds = Vec::new();
        for (pipeline, bound) in [(16, 0.45), (1, 0.85)] {
            for test in [Test::Get, Test::Set] {
                let cpu = |server| self.median_of(server, test, pipeline, |row| row.server_cpu_us);
                let what = format!("server CPU per {} at pipeline {pipeline}", test.name().to_uppercase());
                bounds.push(Bound::at_most(what, bound, ratio(cpu("quiver"), cpu("redis"))));
            }
        }
        for (test, bound) in ON_REQUEST.iter().filter(|(test, _)| self.runs.iter().any(|row| row.test == *test)) {
            let cpu = |server| self.median_of(server, *test, 16, |row| row.server_cpu_us);
            let what = format!("server CPU per {} at pipeline 16", test.name().to_uppercase());
            bounds.push(Bound::at_most(what, *bound, ratio(cpu("quiver"), cpu("redis"))));
        }
        let bytes = ratio(self.bytes_per_key("quiver"), self.bytes_per_key("redis"));
        bounds.push(Bound::at_most("resident bytes per key", 0.58, bytes));
        bounds
    }

    /// Tables with one line per server, test and pipeline; ratios are Quiver's figure over that line's.
    pub fn tables(&self) -> String {
        let mut memory = Table::new(&["memory", "version", "MiB empty", "MiB filled", "bytes/key", "quiver/this"]);
        for row in &self.memory {
            memory.row([
                row.server.clone(),
                row.version.clone(),
                figure(Some(row.empty_bytes as f64 / 1_048_576.0)),
                figure(Some(row.filled_bytes as f64 / 1_048_576.0)),
                figure(Some(row.bytes_per_key)),
                self.against(&row.server, ratio(self.bytes_per_key("quiver"), Some(row.bytes_per_key))),
            ]);
        }
        memory.render() + "\n" + &self.runs_table()
    }

    fn runs_table(&self) -> String {
        let titles =
            ["test", "P", "server", "ops/s", "cpu us/op", "quiver/this", "p50 us", "p99 us", "p99.9 us", "busy s/g %"];
        let mut table = Table::new(&titles);
        let mut seen = Vec::new();
        for RunRow { server, test, pipeline, .. } in &self.runs {
            let key = (*test, *pipeline, server);
            if seen.contains(&key) {
                continue;
            }
            seen.push(key);
            let of = |figure: fn(&RunRow) -> f64| self.median_of(server, *test, *pipeline, figure);
            let cpu = |server: &str| self.median_of(server, *test, *pipeline, |row| row.server_cpu_us);
            let percent = |share: Option<f64>| share.map_or(0.0, |share| share * 100.0);
            table.row([
                test.name(),
                pipeline.to_string(),
                server.clone(),
                figure(of(|row| row.operations_per_s)),
                figure(cpu(server)),
                self.against(server, ratio(cpu("quiver"), cpu(server))),
                figure(of(|row| row.p50_us)),
                figure(of(|row| row.p99_us)),
                figure(of(|row| row.p999_us)),
                format!("{:.0}/{:.0}", percent(of(|row| row.server_busy)), percent(of(|row| row.generator_busy))),
            ]);
        }
        table.render()
    }

    fn against(&self, server: &str, ratio: Option<f64>) -> String {
        if server == "quiver" { String::new() } else { times(ratio) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(server: &str, round: usize, cpu_us: f64) -> RunRow {
        RunRow {
            server: server.into(),
            test: Test::Get,
            pipeline: 16,
            round,
            operations: 1,
            operations_per_s: 1e6 / cpu_us,
            server_cpu_us: cpu_us,
            server_busy: 1.0,
            generator_busy: 0.5,
            p50_us: 1.0,
            p99_us: 2.0,
            p999_us: 3.0,
        }
    }

    fn memory(server: &str, bytes_per_key: f64) -> MemoryRow {
        let (server, version) = (server.into(), "1".into());
        MemoryRow { server, version, keys: 1, empty_bytes: 0, filled_bytes: 1, bytes_per_key }
    }

    #[test]
    fn promises_compare_medians_over_rounds() {
        let runs = [("quiver", 0.4), ("redis", 1.0), ("quiver", 0.44), ("redis", 1.0), ("quiver", 9.0), ("redis", 1.1)];
        let runs = runs.iter().enumerate().map(|(at, (server, cpu))| row(server, at / 2, *cpu)).collect();
        let memory = vec![memory("quiver", 80.0), memory("redis", 100.0)];
        let results = Results { memory, runs, bounds: Vec::new() };
        let verdicts: Vec<String> = results.promises().iter().map(Bound::verdict).collect();
        assert_eq!(verdicts[0], "PASS server CPU per GET at pipeline 16: 0.44x (at most 0.45x)");
        assert!(verdicts[1].starts_with("FAIL server CPU per SET at pipeline 16: not measured"));
        assert_eq!(verdicts[4], "FAIL resident bytes per key: 0.80x (at most 0.58x)");
        assert!(results.tables().contains("0.44x"));
    }
}
