//! The `snapshot` benchmark: what a background save under full write load costs, and how long loading takes.
//!
//! For each server: keys are written; SETs of random keys run for a while without a save, for comparison, and then while
//! BGSAVE runs, until it is over. The server is killed and started on its file; loading lasts until it answers PING.
//! With vectors, a vector set is built, saved with SAVE and loaded.
//!
//! Memory: the most resident bytes while the save runs less those before, and where a child process writes the file its
//! copies (`rdb_last_cow_size`), over the bytes of the data. Resident bytes are sampled from `statm`, which takes no lock
//! of the process.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use crate::driver::{Driver, Outcome, Traffic};
use crate::progress::note;
use crate::report::{Table, figure};
use crate::server::{Server, ServerSpec};
use crate::template::{Sizes, Template, encode};
use crate::traffic::{Fill, Random};

/// Between two samples of the resident size, and two looks at whether the save is over.
const SAMPLE_EVERY: Duration = Duration::from_millis(2);
const ASK_EVERY: Duration = Duration::from_millis(20);

/// How long a save or a load may take.
const TIMEOUT: Duration = Duration::from_secs(600);

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
    /// Seconds of the run without a save.
    pub run_s: f64,
    /// Vectors, in the place of keys; 0 for none.
    pub vectors: u64,
    /// Their dimension.
    pub dim: usize,
}

/// One server's figures; of vectors only times and sizes.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Row {
    /// Server measured.
    pub server: String,
    /// Resident bytes of the data.
    pub data_bytes: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Seconds of the save.
    pub save_s: f64,
    /// Bytes the save took at most, beyond those of the data.
    pub extra_bytes: u64,
    /// Writes per second without and with the save.
    pub writes_per_s: [f64; 2],
    /// 99.9th percentile of their latency in microseconds, without and with.
    pub p999_us: [f64; 2],
    /// The longest, without and with.
    pub max_us: [f64; 2],
    /// Seconds from the start of the process to its first PONG with everything loaded.
    pub load_s: f64,
}

/// Measures each server.
pub fn run(specs: &[ServerSpec], settings: &Settings) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for spec in specs {
        note(format!("snapshot on {}", spec.name));
        let measured = if settings.vectors > 0 { vectors(spec, settings) } else { keys(spec, settings) };
        rows.extend(measured.with_context(|| format!("snapshot on {}", spec.name))?);
    }
    Ok(rows)
}

/// The rows as a table.
pub fn table(rows: &[Row]) -> String {
    let mut table = Table::new(&[
        "server", "data MB", "file MB", "save s", "extra %", "kept", "p99.9 us", "saving", "max us", "saving", "load s",
    ]);
    for row in rows {
        let mega = |bytes: u64| bytes as f64 / 1e6;
        let share = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
        let cells = [
            Some(mega(row.data_bytes)),
            Some(mega(row.file_bytes)),
            Some(row.save_s),
            share(100.0 * row.extra_bytes as f64, row.data_bytes as f64).filter(|_| row.writes_per_s[0] > 0.0),
            share(row.writes_per_s[1], row.writes_per_s[0]),
            Some(row.p999_us[0]),
            Some(row.p999_us[1]),
            Some(row.max_us[0]),
            Some(row.max_us[1]),
            Some(row.load_s),
        ];
        table.row(std::iter::once(row.server.clone()).chain(cells.map(figure)));
    }
    table.render()
}

fn keys(spec: &ServerSpec, settings: &Settings) -> Result<Option<Row>> {
    let server = Server::start(spec)?;
    let empty = resident(&server)?;
    let sizes = Sizes { key: settings.key_bytes, value: settings.value_bytes };
    let mut driver = Driver::connect(server.address(), settings.connections)?;
    driver.run(&mut Fill::new(Template::set(sizes)?, settings.keys), 64, None)?;
    let mut traffic = Random::new(Template::set(sizes)?, settings.keys);
    // Once over everything first: what overwriting does to the memory is not the save's doing.
    driver.run(&mut traffic, settings.pipeline, Some(Duration::from_secs_f64(settings.run_s)))?;
    let alone = driver.run(&mut traffic, settings.pipeline, Some(Duration::from_secs_f64(settings.run_s)))?;
    let before = resident(&server)?;

    let over = AtomicBool::new(false);
    let (saving, watched) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let watched = watch(&server);
            over.store(true, Relaxed);
            watched
        });
        let mut until_over = UntilOver { traffic: &mut traffic, over: &over };
        let saving = driver.run(&mut until_over, settings.pipeline, None);
        let watched = watcher.join().map_err(|_| anyhow::anyhow!("the watching thread failed"))?;
        Ok::<_, anyhow::Error>((saving?, watched?))
    })?;
    let copied = if spec.name == "quiver" { 0 } else { fact(&server, "rdb_last_cow_size")? };
    let mut row = Row {
        server: spec.name.clone(),
        data_bytes: before.saturating_sub(empty),
        file_bytes: file_bytes(&server)?,
        save_s: watched.save.as_secs_f64(),
        extra_bytes: watched.resident_max.saturating_sub(before) + copied,
        writes_per_s: [alone.operations_per_s(), saving.operations_per_s()],
        p999_us: [&alone, &saving].map(|outcome| quantile_us(outcome, 0.999)),
        max_us: [&alone, &saving].map(|outcome| quantile_us(outcome, 1.0)),
        load_s: 0.0,
    };
    drop(driver);
    row.load_s = load(server, spec, settings.keys)?;
    Ok(Some(row))
}

fn vectors(spec: &ServerSpec, settings: &Settings) -> Result<Option<Row>> {
    let server = Server::start(spec)?;
    if !server.supports("VADD")? {
        return Ok(None);
    }
    let empty = resident(&server)?;
    let mut driver = Driver::connect(server.address(), 1)?;
    driver.run(&mut Vectors { next: 0, settings, state: 1 }, 16, None)?;
    let data_bytes = resident(&server)?.saturating_sub(empty);
    let started = Instant::now();
    let reply = server.call_within(&[b"SAVE"], TIMEOUT)?;
    ensure!(reply == b"+OK\r\n", "SAVE was answered {}", String::from_utf8_lossy(&reply));
    let save_s = started.elapsed().as_secs_f64();
    let file_bytes = file_bytes(&server)?;
    let load_s = load(server, spec, 1)?;
    Ok(Some(Row { server: spec.name.clone(), data_bytes, file_bytes, save_s, load_s, ..Row::default() }))
}

/// Ends the server as a crash would and starts it on its file again.
fn load(server: Server, spec: &ServerSpec, keys: u64) -> Result<f64> {
    let folder = server.end()?;
    let started = Instant::now();
    let server = Server::start_on(spec, folder, TIMEOUT)?;
    let took = started.elapsed().as_secs_f64();
    let size = server.call(&[b"DBSIZE"])?;
    ensure!(size == format!(":{keys}\r\n").as_bytes(), "loaded were {}", String::from_utf8_lossy(&size));
    Ok(took)
}

/// What was seen while a save ran.
struct Watched {
    save: Duration,
    resident_max: u64,
}

/// Starts a save and looks on until it is over.
fn watch(server: &Server) -> Result<Watched> {
    let started = Instant::now();
    let reply = server.call(&[b"BGSAVE"])?;
    ensure!(reply.starts_with(b"+Background saving started"), "BGSAVE: {}", String::from_utf8_lossy(&reply));
    let (mut resident_max, mut asked) = (0, Instant::now());
    loop {
        resident_max = resident_max.max(resident(server)?);
        if asked.elapsed() >= ASK_EVERY {
            asked = Instant::now();
            if fact(server, "rdb_bgsave_in_progress")? == 0 {
                break;
            }
        }
        ensure!(started.elapsed() < TIMEOUT, "the save does not end");
        std::thread::sleep(SAMPLE_EVERY);
    }
    let info = server.call(&[b"INFO", b"persistence"])?;
    if !String::from_utf8_lossy(&info).contains("rdb_last_bgsave_status:ok") {
        bail!("the save failed");
    }
    Ok(Watched { save: started.elapsed(), resident_max })
}

fn file_bytes(server: &Server) -> Result<u64> {
    Ok(fs::metadata(server.folder().join("dump.rdb")).context("the snapshot")?.len())
}

/// Resident bytes without walking the page tables.
fn resident(server: &Server) -> Result<u64> {
    let path = format!("/proc/{}/statm", server.pid());
    let text = fs::read_to_string(&path).with_context(|| format!("{path}: has the server died?"))?;
    let pages: u64 = text.split_whitespace().nth(1).context("statm has a second number")?.parse()?;
    Ok(pages * rustix::param::page_size() as u64)
}

/// A number of INFO persistence.
fn fact(server: &Server, name: &str) -> Result<u64> {
    let info = server.call(&[b"INFO", b"persistence"])?;
    let info = String::from_utf8_lossy(&info);
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(value.with_context(|| format!("INFO has no {name}"))?.trim().parse()?)
}

fn quantile_us(outcome: &Outcome, quantile: f64) -> f64 {
    outcome.latencies.quantile(quantile) as f64 / 1e3
}

/// Traffic that ends when a flag is set.
struct UntilOver<'a, T> {
    traffic: &'a mut T,
    over: &'a AtomicBool,
}

impl<T: Traffic> Traffic for UntilOver<'_, T> {
    fn request(&mut self, output: &mut Vec<u8>) -> Option<u32> {
        if self.over.load(Relaxed) { None } else { self.traffic.request(output) }
    }

    fn reply(&mut self, tag: u32, reply: &[u8]) -> Result<()> {
        self.traffic.reply(tag, reply)
    }
}

/// `VADD bench:vectors FP32 blob name NOQUANT` with random vectors.
struct Vectors<'a> {
    next: u64,
    settings: &'a Settings,
    state: u64,
}

impl Traffic for Vectors<'_> {
    fn request(&mut self, output: &mut Vec<u8>) -> Option<u32> {
        if self.next == self.settings.vectors {
            return None;
        }
        let mut blob = Vec::with_capacity(self.settings.dim * 4);
        for _ in 0..self.settings.dim {
            // Xorshift (Marsaglia 2003): only that the components differ matters.
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            blob.extend_from_slice(&((self.state >> 40) as f32 / (1 << 23) as f32 - 1.0).to_le_bytes());
        }
        let name = self.next.to_string();
        output.extend(encode(&[b"VADD", b"bench:vectors", b"FP32", &blob, name.as_bytes(), b"NOQUANT"]));
        self.next += 1;
        Some(0)
    }

    fn reply(&mut self, _tag: u32, reply: &[u8]) -> Result<()> {
        ensure!(reply == b":1\r\n", "VADD was answered {}", crate::reply::excerpt(reply));
        Ok(())
    }
}
