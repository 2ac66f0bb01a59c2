//! From a real Redis to Quiver and back while clients write: `migrate`.
//!
//! Quiver becomes a replica of the Redis that `QUIVER_ORACLE` names ("program argument ..."), with keys of all types and
//! vector sets, under load. When both have the same, Quiver is promoted and written to; then the Redis becomes its
//! replica, and another one that starts empty. Links are cut in both directions on the way. Ends with status 1 when the contents differ.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a tool that reports its progress")]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use quiver_resp::Value;
use quiver_testkit::{Connection, Server, content};

/// Move the data of a Redis to Quiver and back under load.
#[derive(Debug, Parser)]
struct Arguments {
    /// Keys of each type.
    #[arg(long, default_value_t = 200)]
    keys: usize,
    /// How long is written in each direction, ms.
    #[arg(long, default_value_t = 1500)]
    load_ms: u64,
    /// Leave out what only Redis 8 has: vector sets, and fields of hashes that expire. For Valkey and Redis 7.
    #[arg(long)]
    plain: bool,
    /// `repl-diskless-sync` of both: yes or no; both in turn when left out.
    #[arg(long)]
    diskless: Option<String>,
}

const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let ways = arguments.diskless.clone().map_or(vec!["yes".to_owned(), "no".to_owned()], |way| vec![way]);
    let mut differ = false;
    for diskless in ways {
        let settings = ["--repl-diskless-sync", &diskless, "--repl-diskless-sync-delay", "0"];
        let theirs = Server::start_oracle(&settings)?.context("set QUIVER_ORACLE")?;
        let ours = Server::start(&settings)?;
        let another = Server::start_oracle(&settings)?.context("set QUIVER_ORACLE")?;
        fill(&mut theirs.connect()?, arguments.keys, arguments.plain)?;
        let ways = [
            (&theirs, &ours, "Redis to Quiver"),
            (&ours, &theirs, "Quiver back to Redis"),
            (&ours, &another, "Quiver to another Redis"),
        ];
        for (from, to, way) in ways {
            run(&mut from.connect()?, "REPLICAOF NO ONE")?;
            let since = Instant::now();
            let found = migrate(from, to, Duration::from_millis(arguments.load_ms), arguments.plain)
                .with_context(|| format!("{way}, diskless {diskless}"))?;
            println!(
                "{way}, diskless {diskless}: {} keys, {} writes meanwhile, {} full and {} partial resyncs, {} ms: {}",
                found.keys,
                found.writes,
                found.full,
                found.partial,
                since.elapsed().as_millis(),
                if found.differences.is_empty() { "equal" } else { "DIFFERENT" },
            );
            found.differences.iter().for_each(|difference| println!("  {difference}"));
            differ |= !found.differences.is_empty();
        }
    }
    Ok(if differ { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

struct Found {
    keys: usize,
    writes: u64,
    full: String,
    partial: String,
    differences: Vec<String>,
}

/// `to` becomes a replica of `from`, which is written to meanwhile, and whose links are cut.
fn migrate(from: &Server, to: &Server, load: Duration, plain: bool) -> Result<Found> {
    let (mut on_from, mut on_to) = (from.connect()?, to.connect()?);
    let writer = Writer::start(from.addr(), plain);
    sleep(load / 3);
    run(&mut on_to, &format!("REPLICAOF 127.0.0.1 {}", from.addr().port()))?;
    wait("the link", || Ok(info(&mut on_to, "master_link_status")? == "up"))?;
    sleep(load / 3);
    run(&mut on_from, "CLIENT KILL TYPE replica")?;
    sleep(load / 3);
    let writes = writer.stop();
    wait("the replica to catch up", || {
        Ok(info(&mut on_to, "master_link_status")? == "up"
            && info(&mut on_to, "slave_repl_offset")? == info(&mut on_from, "master_repl_offset")?)
    })?;
    let (source, copy) = (content::of(&mut on_from)?, content::of(&mut on_to)?);
    Ok(Found {
        keys: source.len(),
        writes,
        full: info(&mut on_from, "sync_full")?,
        partial: info(&mut on_from, "sync_partial_ok")?,
        differences: content::differences(&source, &copy),
    })
}

fn run(connection: &mut Connection, line: &str) -> Result<Value> {
    match connection.call(&line.split(' ').collect::<Vec<_>>())?.value {
        Value::Error(text) => bail!("{line}: {}", text.escape_ascii()),
        value => Ok(value),
    }
}

fn info(connection: &mut Connection, field: &str) -> Result<String> {
    let reply = run(connection, "INFO everything")?;
    let text = reply.as_str().context("INFO is text")?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    Ok(line.with_context(|| format!("INFO has no {field}"))?.to_owned())
}

fn wait(what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let since = Instant::now();
    while !done()? {
        ensure!(since.elapsed() < PATIENCE, "waited in vain for {what}");
        sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Keys of all types, with and without a time to live, in several databases.
fn fill(connection: &mut Connection, keys: usize, plain: bool) -> Result<()> {
    for i in 0..keys {
        let angle = i as f32;
        for line in [
            format!("SET string:{i} {}", "s".repeat(i % 400)),
            format!("SET number:{i} {}", i * 7),
            format!("SET volatile:{i} {i} PX 4000000"),
            format!("RPUSH list:{i} {i} {} end", "l".repeat(i * 11 % 9000)),
            format!("SADD set:{i} {i} {} third", i * 3),
            format!("SADD members m{i} {i}"),
            format!("ZADD zset:{i} 1.5 {i} -inf low {i} high"),
            format!("ZADD scores {} m{i}", angle / 3.0),
            format!("HSET hash:{i} a {i} b {}", "h".repeat(i % 200)),
            format!("HSET fields f{i} {i}"),
            format!("XADD stream 1-{} i {i}", i + 1),
            format!("PFADD hll {i} {}", i * 31),
            format!("SETBIT bits {} 1", i * 5),
            format!("GEOADD places {} {} p{i}", i % 170, i % 80),
            format!("VADD vectors VALUES 4 {} {} {} 1 e{i} SETATTR {{\"n\":{i}}}", angle.sin(), angle.cos(), i % 3),
            format!("VADD exact VALUES 4 {} {} {} 1 e{i} NOQUANT", angle.sin(), angle.cos(), i % 3),
        ] {
            if suits(&line, plain) {
                run(connection, &line)?;
            }
        }
    }
    for line in [
        "HPEXPIRE fields 4000000 FIELDS 2 f1 f2",
        "XGROUP CREATE stream group 0",
        "XREADGROUP GROUP group consumer COUNT 5 STREAMS stream >",
        "XACK stream group 1-2",
        "XDEL stream 1-4",
        "SELECT 9",
        "SET elsewhere 1",
        "SELECT 0",
    ] {
        if suits(line, plain) {
            run(connection, line)?;
        }
    }
    Ok(())
}

/// Whether a server without the newest types has this command.
fn suits(line: &str, plain: bool) -> bool {
    !plain || !(line.starts_with('V') || line.starts_with("HPEXPIRE"))
}

/// A client that writes until it is stopped.
struct Writer {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Writer {
    fn start(to: SocketAddr, plain: bool) -> Self {
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let thread = std::thread::spawn({
            let (stop, count) = (Arc::clone(&stop), Arc::clone(&count));
            move || {
                let mut connection = Connection::connect(to).expect("the server accepts");
                let mut round = 0;
                while !stop.load(SeqCst) {
                    for line in changes(round).into_iter().filter(|line| suits(line, plain)) {
                        run(&mut connection, &line).expect("a primary takes writes");
                        count.fetch_add(1, SeqCst);
                    }
                    round += 1;
                }
            }
        });
        Self { stop, count, thread }
    }

    fn stop(self) -> u64 {
        self.stop.store(true, SeqCst);
        self.thread.join().expect("the writer does not fail");
        self.count.load(SeqCst)
    }
}

fn changes(round: usize) -> Vec<String> {
    let (i, angle) = (round % 150, round as f32 * 0.3);
    vec![
        "INCR counter".to_owned(),
        format!("APPEND log {}", round % 10),
        "SETRANGE log 0 start".to_owned(),
        "INCRBYFLOAT float 0.5".to_owned(),
        format!("SET string:{i} {round} EX 5000"),
        format!("GETEX string:{i} PERSIST"),
        format!("RPUSH list:{i} {round}"),
        format!("LPOP list:{i}"),
        format!("SADD set:{i} {round}"),
        "SPOP members".to_owned(),
        format!("SADD members {round}"),
        format!("ZINCRBY zset:{i} 2.5 {i}"),
        format!("ZADD scores {round} m{i}"),
        "ZPOPMIN scores".to_owned(),
        format!("HINCRBYFLOAT hash:{i} n 0.25"),
        format!("HSET hash:{i} f{} v", round % 7),
        format!("HPEXPIRE hash:{i} 3000000 FIELDS 1 n"),
        format!("XADD stream * round {round}"),
        "XTRIM stream MAXLEN 300".to_owned(),
        "XREADGROUP GROUP group consumer COUNT 2 STREAMS stream >".to_owned(),
        format!("PFADD hll {round}"),
        format!("BITFIELD bits INCRBY u8 {} 3", i * 8),
        format!("GEOADD places {} {} p{i}", round % 170, round % 80),
        format!("VADD vectors VALUES 4 {} {} 1 2 e{i} SETATTR {{\"r\":{round}}}", angle.sin(), angle.cos()),
        format!("VREM vectors e{}", (i * 7) % 150),
        format!("VSETATTR vectors e{} {{\"x\":{round}}}", (i + 1) % 150),
        format!("COPY string:{i} copy:{} REPLACE", i % 9),
        format!("RENAME copy:{} renamed:{}", i % 9, i % 9),
        "MULTI".to_owned(),
        format!("SET left {round}"),
        format!("LPUSH right {round}"),
        "LTRIM right 0 50".to_owned(),
        "EXEC".to_owned(),
        format!("SET short:{i} 1 PX 1"),
        "SELECT 9".to_owned(),
        "INCR elsewhere".to_owned(),
        "SELECT 0".to_owned(),
        format!("DEL number:{i} volatile:{i}"),
    ]
}
