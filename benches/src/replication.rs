//! The `replication` benchmark: what a replica costs its primary, how fast it can follow, and how long a full sync takes.
//!
//! For each server: keys are written; random keys are overwritten for a while without a replica, for comparison. A second
//! server of the same kind is made its replica, once while nobody writes and, from nothing, while others write: the
//! seconds until its link is up are the full sync. Then the same writes run with the replica attached, and CPU of both
//! processes per write is taken until the replica has everything. At last the replica is stopped (SIGSTOP) while a number
//! of writes goes in, and goes on when they are over: what it then applies in a second, on a core of its own, is how fast
//! it can follow.
//!
//! Not measured: networks; both ends are on one machine.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use crate::driver::Driver;
use crate::progress::note;
use crate::report::{Table, figure};
use crate::server::{Cores, Server, ServerSpec};
use crate::template::{Sizes, Template};
use crate::traffic::{Fill, Random};

/// How long a sync may take.
const TIMEOUT: Duration = Duration::from_secs(600);
/// Between two looks at a replica.
const ASK_EVERY: Duration = Duration::from_millis(5);
/// Both ends have room for everything, and do not wait for other replicas before a sync.
const SETTINGS: &str = "--repl-backlog-size 1gb --repl-diskless-sync-delay 0";
const LIMITS: [&[u8]; 4] = [b"CONFIG", b"SET", b"client-output-buffer-limit", b"replica 0 0 0"];

/// Settings of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Settings {
    /// String keys.
    pub keys: u64,
    /// Bytes of a key.
    pub key_bytes: usize,
    /// Bytes of a value.
    pub value_bytes: usize,
    /// Connections that write.
    pub connections: usize,
    /// Requests a connection has in flight.
    pub pipeline: usize,
    /// Seconds of each run.
    pub run_s: f64,
    /// Runs with and without a replica, in turn.
    pub rounds: usize,
    /// Writes that a replica has to catch up with.
    pub behind: u64,
}

/// One server's figures.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Row {
    /// Server measured.
    pub server: String,
    /// Seconds of a full sync, while nobody writes and under writes.
    pub sync_s: [f64; 2],
    /// CPU seconds of both processes in the first of them: primary, replica.
    pub sync_cpu_s: [f64; 2],
    /// CPU of the primary per write in microseconds, without a replica and with one; the least of the rounds.
    pub primary_us: [f64; 2],
    /// CPU of the replica per write in microseconds.
    pub replica_us: f64,
    /// Writes per second of the primary alone.
    pub writes_per_s: f64,
    /// Writes per second that a replica which is behind applies.
    pub applied_per_s: f64,
}

/// Measures each server.
pub fn run(specs: &[ServerSpec], settings: &Settings) -> Result<Vec<Row>> {
    let measure = |spec: &ServerSpec| {
        note(format!("replication of {}", spec.name));
        measure(spec, settings).with_context(|| format!("replication of {}", spec.name))
    };
    specs.iter().map(measure).collect()
}

/// The rows as a table.
pub fn table(rows: &[Row]) -> String {
    let mut table = Table::new(&[
        "server",
        "sync s",
        "writing",
        "sync cpu s",
        "of replica",
        "us/write",
        "replicated",
        "cost %",
        "replica us",
        "writes/s",
        "applied/s",
        "share",
    ]);
    for row in rows {
        let share = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
        let cells = [
            Some(row.sync_s[0]),
            Some(row.sync_s[1]),
            Some(row.sync_cpu_s[0]),
            Some(row.sync_cpu_s[1]),
            Some(row.primary_us[0]),
            Some(row.primary_us[1]),
            share(row.primary_us[1], row.primary_us[0]).map(|ratio| (ratio - 1.0) * 100.0),
            Some(row.replica_us),
            Some(row.writes_per_s),
            Some(row.applied_per_s),
            share(row.applied_per_s, row.writes_per_s),
        ];
        table.row(std::iter::once(row.server.clone()).chain(cells.map(figure)));
    }
    table.render()
}

fn measure(spec: &ServerSpec, settings: &Settings) -> Result<Row> {
    let sizes = Sizes { key: settings.key_bytes, value: settings.value_bytes };
    let with_room = ServerSpec { command: format!("{} {SETTINGS}", spec.command), ..spec.clone() };
    // The replica has the generator's core: it mostly works when that does not.
    let cores = spec.cores.map(|cores| Cores { server: cores.generator, generator: cores.generator });
    let beside = ServerSpec { port: spec.port + 10, cores, ..with_room.clone() };
    let primary = Server::start(&with_room)?;
    primary.call(&LIMITS)?;
    let mut driver = Driver::connect(primary.address(), settings.connections)?;
    driver.run(&mut Fill::new(Template::set(sizes)?, settings.keys), 64, None)?;
    let mut load = Load { driver, traffic: Random::new(Template::set(sizes)?, settings.keys), settings, last: 0 };
    let mut row = Row { server: spec.name.clone(), primary_us: [f64::MAX; 2], replica_us: f64::MAX, ..Row::default() };
    load.write(&primary)?;

    let replica = Server::start(&beside)?;
    let before = [cpu(&primary)?, cpu(&replica)?];
    row.sync_s[0] = follow(&primary, &replica)?;
    row.sync_cpu_s = [cpu(&primary)? - before[0], cpu(&replica)? - before[1]];
    for _ in 0..settings.rounds {
        replica.call(&[b"REPLICAOF", b"NO", b"ONE"])?;
        let (alone, rate) = load.write(&primary)?;
        row.writes_per_s = row.writes_per_s.max(rate);
        row.primary_us[0] = row.primary_us[0].min(alone);
        follow(&primary, &replica)?;
        let cpu_before = cpu(&replica)?;
        let (replicated, _) = load.write(&primary)?;
        catch_up(&primary, &replica)?;
        let writes = load.last as f64;
        row.primary_us[1] = row.primary_us[1].min(replicated);
        row.replica_us = row.replica_us.min((cpu(&replica)? - cpu_before) / writes * 1e6);
    }
    row.applied_per_s = apply(&primary, &replica, &mut load)?;
    drop(replica);
    row.sync_s[1] = sync_under_writes(&primary, &beside, &mut load)?;
    Ok(row)
}

/// Writes of random keys.
struct Load<'a> {
    driver: Driver,
    traffic: Random,
    settings: &'a Settings,
    /// Writes of the last run.
    last: u64,
}

impl Load<'_> {
    /// Writes for a run; gives the server's CPU per write in microseconds, and writes per second.
    fn write(&mut self, server: &Server) -> Result<(f64, f64)> {
        let before = cpu(server)?;
        let time = Duration::from_secs_f64(self.settings.run_s);
        let outcome = self.driver.run(&mut self.traffic, self.settings.pipeline, Some(time))?;
        self.last = outcome.operations;
        Ok(((cpu(server)? - before) / outcome.operations as f64 * 1e6, outcome.operations_per_s()))
    }
}

/// Makes `replica` one, and waits until its link is up; gives the seconds that took.
fn follow(primary: &Server, replica: &Server) -> Result<f64> {
    replica.call(&LIMITS)?;
    let port = primary.address().port().to_string();
    let since = Instant::now();
    replica.call(&[b"REPLICAOF", b"127.0.0.1", port.as_bytes()])?;
    while fact(replica, "master_link_status")? != "up" {
        ensure!(since.elapsed() < TIMEOUT, "the full sync does not end");
        std::thread::sleep(ASK_EVERY);
    }
    Ok(since.elapsed().as_secs_f64())
}

/// Waits until the replica has everything.
fn catch_up(primary: &Server, replica: &Server) -> Result<()> {
    let since = Instant::now();
    while fact(primary, "master_repl_offset")? != fact(replica, "slave_repl_offset")? {
        ensure!(since.elapsed() < TIMEOUT, "the replica does not catch up");
        std::thread::sleep(ASK_EVERY);
    }
    Ok(())
}

/// Writes a number while the replica is stopped; gives how many it applies in a second afterwards.
fn apply(primary: &Server, replica: &Server, load: &mut Load<'_>) -> Result<f64> {
    catch_up(primary, replica)?;
    let sizes = Sizes { key: load.settings.key_bytes, value: load.settings.value_bytes };
    let pid = Pid::from_raw(i32::try_from(replica.pid())?).context("a process has an id")?;
    kill_process(pid, Signal::STOP)?;
    let behind = load.settings.behind.min(load.settings.keys);
    let written = load.driver.run(&mut Fill::new(Template::set(sizes)?, behind), 64, None);
    kill_process(pid, Signal::CONT)?;
    let since = Instant::now();
    written?;
    catch_up(primary, replica)?;
    Ok(behind as f64 / since.elapsed().as_secs_f64())
}

/// A full sync into an empty server while keys are overwritten; gives its seconds.
fn sync_under_writes(primary: &Server, beside: &ServerSpec, load: &mut Load<'_>) -> Result<f64> {
    let replica = Server::start(beside)?;
    std::thread::scope(|scope| {
        let following = scope.spawn(|| follow(primary, &replica));
        while !following.is_finished() {
            let time = Duration::from_millis(50);
            load.driver.run(&mut load.traffic, load.settings.pipeline, Some(time))?;
        }
        following.join().map_err(|_| anyhow::anyhow!("the thread that waits for the sync failed"))?
    })
}

fn cpu(server: &Server) -> Result<f64> {
    Ok(server.cpu_time()?.as_secs_f64())
}

/// A field of INFO replication.
fn fact(server: &Server, name: &str) -> Result<String> {
    let info = server.call(&[b"INFO", b"replication"])?;
    let info = String::from_utf8_lossy(&info);
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(value.with_context(|| format!("INFO has no {name}"))?.trim().to_owned())
}
