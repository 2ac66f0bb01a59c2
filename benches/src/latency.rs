//! The `latency` benchmark: how long GETs of some clients take while another client does something huge.
//!
//! For each server and disturbance: small string keys and what the disturbance needs are written, a thread of its own
//! sends the disturbing commands one after the other, and meanwhile a closed loop of
//! a few connections reads random keys. The maximum tells how long a stall was, the p99.9 how much it touched: a loop
//! that is closed sends nothing while it is stalled, so a single stall hides from every percentile.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::Serialize;

use crate::driver::Driver;
use crate::progress::note;
use crate::report::{Table, figure};
use crate::server::{Server, ServerSpec};
use crate::template::{Sizes, Template, encode};
use crate::traffic::{Fill, Random};

/// The key that holds something huge.
const HUGE: &[u8] = b"bench:huge";
/// Components of the vectors.
const DIM: usize = 384;
/// Elements written by one command.
const CHUNK: u64 = 1000;
/// Commands sent before their replies are read.
const IN_FLIGHT: u64 = 64;
/// Until keys that are to expire at once do so.
const EXPIRE_AFTER: Duration = Duration::from_secs(1);

/// What the other client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Disturbance {
    /// Nothing.
    None,
    /// KEYS with a pattern that nothing matches.
    Keys,
    /// COPY of a huge hash, and DEL of the copy.
    Copy,
    /// SUNIONSTORE of a huge set.
    Union,
    /// SORT of a huge set.
    Sort,
    /// Many keys expire at the same time.
    Expire,
    /// VADD to a vector set and VSIM in it, in turn.
    Vectors,
}

impl Disturbance {
    /// The commands that are repeated, and the lines of each one's reply.
    fn commands(self, round: u64, elements: u64) -> Vec<(Vec<u8>, u64)> {
        let encoded = |commands: &[&[&[u8]]]| commands.iter().map(|words| (encode(words), 1)).collect();
        match self {
            Self::None | Self::Expire => Vec::new(),
            Self::Keys => encoded(&[&[b"KEYS", b"nothing*"]]),
            Self::Copy => encoded(&[&[b"COPY", HUGE, b"bench:copy", b"REPLACE"], &[b"DEL", b"bench:copy"]]),
            Self::Union => encoded(&[&[b"SUNIONSTORE", b"bench:copy", HUGE, b"bench:none"]]),
            Self::Sort => encoded(&[&[b"SORT", HUGE, b"STORE", b"bench:copy"]]),
            Self::Vectors => {
                let vsim = encode(&[b"VSIM", HUGE, b"FP32", &vector(elements + round), b"COUNT", b"10"]);
                vec![(vadd(elements + round), 1), (vsim, 21)]
            }
        }
    }
}

/// Settings of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Settings {
    /// What disturbs.
    pub disturbances: Vec<Disturbance>,
    /// String keys that are read.
    pub keys: u64,
    /// Elements of what is huge, and keys that expire.
    pub elements: u64,
    /// Connections that read.
    pub connections: usize,
    /// Seconds of each run.
    pub run_s: f64,
}

/// One run.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Server measured.
    pub server: String,
    /// What the other client did.
    pub disturbance: Disturbance,
    /// How often.
    pub disturbances: u64,
    /// Operations per second of the readers.
    pub operations_per_s: f64,
    /// Latency of the readers in microseconds: median.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
}

/// Measures each server under each disturbance.
pub fn run(specs: &[ServerSpec], settings: &Settings) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for spec in specs {
        for disturbance in &settings.disturbances {
            let row =
                measure(spec, settings, *disturbance).with_context(|| format!("{disturbance:?} on {}", spec.name))?;
            rows.push(row);
        }
    }
    Ok(rows)
}

/// The rows as a table.
pub fn table(rows: &[Row]) -> String {
    let mut table = Table::new(&["disturbance", "server", "times", "GET/s", "p50 us", "p99 us", "p99.9 us", "max us"]);
    for row in rows {
        let figures = [row.operations_per_s, row.p50_us, row.p99_us, row.p999_us, row.max_us];
        let cells = [format!("{:?}", row.disturbance), row.server.clone(), row.disturbances.to_string()];
        table.row(cells.into_iter().chain(figures.map(|value| figure(Some(value)))));
    }
    table.render()
}

fn measure(spec: &ServerSpec, settings: &Settings, disturbance: Disturbance) -> Result<Row> {
    note(format!("{disturbance:?} on {}", spec.name));
    let server = Server::start(spec)?;
    let sizes = Sizes { key: 16, value: 32 };
    let mut driver = Driver::connect(server.address(), settings.connections)?;
    driver.run(&mut Fill::new(Template::set(sizes)?, settings.keys), 64, None)?;
    prepare(&server, settings, disturbance)?;
    let mut traffic = Random::new(Template::get(sizes)?, settings.keys);
    let (over, times) = (AtomicBool::new(false), AtomicU64::new(0));
    let outcome = std::thread::scope(|scope| {
        let disturber = scope.spawn(|| disturb(&server, settings, disturbance, &over, &times));
        let outcome = driver.run(&mut traffic, 1, Some(Duration::from_secs_f64(settings.run_s)));
        over.store(true, Relaxed);
        disturber.join().map_err(|_| anyhow::anyhow!("the disturbing thread failed"))??;
        outcome
    })?;
    let quantile_us = |quantile| outcome.latencies.quantile(quantile) as f64 / 1e3;
    Ok(Row {
        server: server.name.clone(),
        disturbance,
        disturbances: times.load(Relaxed),
        operations_per_s: outcome.operations_per_s(),
        p50_us: quantile_us(0.5),
        p99_us: quantile_us(0.99),
        p999_us: quantile_us(0.999),
        max_us: quantile_us(1.0),
    })
}

/// A vector of [`DIM`] components as a blob; the same for the same number.
fn vector(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        // A step of xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..DIM).flat_map(|_| next().to_le_bytes()).collect()
}

fn vadd(number: u64) -> Vec<u8> {
    encode(&[b"VADD", HUGE, b"FP32", &vector(number), format!("element:{number}").as_bytes()])
}

/// Writes what the disturbance works on.
fn prepare(server: &Server, settings: &Settings, disturbance: Disturbance) -> Result<()> {
    let word: &[u8] = match disturbance {
        Disturbance::None | Disturbance::Keys => return Ok(()),
        Disturbance::Expire => return prepare_expiry(server, settings.elements),
        Disturbance::Vectors => return send_all(server, (0..settings.elements).map(vadd)),
        Disturbance::Copy => b"HSET",
        Disturbance::Union | Disturbance::Sort => b"SADD",
    };
    let chunks = (0..settings.elements.div_ceil(CHUNK)).map(|chunk| {
        let numbers: Vec<Vec<u8>> =
            (chunk * CHUNK..(chunk + 1) * CHUNK).map(|number| number.to_string().into_bytes()).collect();
        let mut words: Vec<&[u8]> = vec![word, HUGE];
        for number in &numbers {
            words.push(number);
            if word == b"HSET" {
                words.push(number);
            }
        }
        encode(&words)
    });
    send_all(server, chunks)
}

fn prepare_expiry(server: &Server, keys: u64) -> Result<()> {
    let at = SystemTime::now().duration_since(UNIX_EPOCH)? + EXPIRE_AFTER + Duration::from_micros(4 * keys);
    let at_ms = at.as_millis().to_string();
    let writes = (0..keys).map(|number| {
        let key = format!("bench:expiring:{number}");
        encode(&[b"SET", key.as_bytes(), b"value", b"PXAT", at_ms.as_bytes()])
    });
    send_all(server, writes)?;
    // The readers begin just before the keys are over.
    let ahead = at.saturating_sub(SystemTime::now().duration_since(UNIX_EPOCH)?);
    std::thread::sleep(ahead.saturating_sub(Duration::from_millis(100)));
    Ok(())
}

/// Sends commands whose replies are one line each.
fn send_all(server: &Server, commands: impl Iterator<Item = Vec<u8>>) -> Result<()> {
    let mut stream = TcpStream::connect(server.address())?;
    let mut replies = BufReader::new(stream.try_clone()?);
    let mut waiting = 0;
    for command in commands {
        stream.write_all(&command)?;
        waiting += 1;
        if waiting == IN_FLIGHT {
            read_lines(&mut replies, std::mem::take(&mut waiting))?;
        }
    }
    read_lines(&mut replies, waiting)
}

fn read_lines(replies: &mut impl BufRead, count: u64) -> Result<()> {
    for _ in 0..count {
        let mut line = String::new();
        replies.read_line(&mut line)?;
        ensure!(!line.is_empty() && !line.starts_with('-'), "the server answered {line:?}");
    }
    Ok(())
}

fn disturb(
    server: &Server,
    settings: &Settings,
    disturbance: Disturbance,
    over: &AtomicBool,
    times: &AtomicU64,
) -> Result<()> {
    let mut stream = TcpStream::connect(server.address())?;
    let mut replies = BufReader::new(stream.try_clone()?);
    while !over.load(Relaxed) {
        let commands = disturbance.commands(times.load(Relaxed), settings.elements);
        if commands.is_empty() {
            break;
        }
        for (command, lines) in &commands {
            stream.write_all(command)?;
            read_lines(&mut replies, *lines)?;
        }
        times.fetch_add(1, Relaxed);
    }
    Ok(())
}
