//! Snapshot, restart and replica: each must answer exactly as the server did before.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use quiver_client::{Blocking, Value};

use crate::options::Options;
use crate::report::Report;
use crate::search::{Answers, ask_all, vadd};
use crate::server::{Server, free_port};
use crate::texts::Texts;
use crate::{KEY, connect};

const SYNC_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A server of the tour.
pub(crate) struct Instance {
    /// The process.
    pub(crate) server: Server,
    /// Where it answers gRPC, if it does.
    pub(crate) grpc_port: Option<u16>,
    dir: PathBuf,
}

/// Starts a server in `folder/name`, made if needed, with `extra` options.
pub(crate) fn start(options: &Options, folder: &Path, name: &str, extra: &[&str]) -> Result<Instance> {
    let dir = folder.join(name);
    std::fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    let grpc_port = options.grpc.then(free_port).transpose()?;
    let grpc_text = grpc_port.map(|port| port.to_string());
    let mut words = extra.to_vec();
    if let Some(port) = &grpc_text {
        words.extend(["--grpc-port", port]);
    }
    let server = Server::start(&options.server, &dir, &words).with_context(|| format!("starting the {name}"))?;
    Ok(Instance { server, grpc_port, dir })
}

/// Saves, ends the server, starts it again from the file and compares.
pub(crate) fn restart(
    options: &Options,
    instance: Instance,
    mut client: Blocking,
    set: &Texts,
    answers: &Answers,
    report: &mut Report,
) -> Result<Instance> {
    let before = digest(&mut client)?;
    let begin = Instant::now();
    client.command(&["SAVE"])?;
    let file = instance.dir.join("dump.rdb");
    let bytes = file.metadata().with_context(|| format!("SAVE left no {}", file.display()))?.len();
    let size = bytes as f64 / (1024.0 * 1024.0);
    report.fact("SAVE", &format!("{size:.1} MiB in {:.2} s", begin.elapsed().as_secs_f64()));
    drop(client);
    let dir = instance.dir;
    instance.server.shutdown()?;

    let begin = Instant::now();
    let folder = dir.parent().context("the data folder has a parent")?;
    let instance = start(options, folder, "primary", &[])?;
    report.fact("restart", &format!("answering again after {:.2} s", begin.elapsed().as_secs_f64()));
    let mut client = connect(&instance.server)?;
    compare("after the restart", &mut client, set, answers, &before, report)?;
    Ok(instance)
}

/// Starts a second server as replica, writes to the first, and compares the two.
pub(crate) fn replicate(
    options: &Options,
    folder: &Path,
    primary: &Instance,
    set: &Texts,
    report: &mut Report,
) -> Result<Instance> {
    let begin = Instant::now();
    let port = primary.server.address().port().to_string();
    let replica = start(options, folder, "replica", &["--replicaof", "127.0.0.1", &port])?;
    let mut there = connect(&replica.server)?;
    wait("the replica's full sync", || Ok(info(&mut there, "replication")?.contains("master_link_status:up")))?;
    report.fact("full sync", &format!("replica in step after {:.2} s", begin.elapsed().as_secs_f64()));

    let mut here = connect(&primary.server)?;
    let row = set.base.len();
    here.command(&vadd(row, set.vectors.queries.row(0), &set.questions[0]))?;
    here.command(&["SET", "live", "yes"])?;
    wait("a write to arrive at the replica", || Ok(there.command(&["GET", "live"])?.as_str() == Some("yes")))?;
    report.fact("live stream", "a vector and a key written to the primary have arrived");
    let refused = there.command(&["SET", "live", "no"]);
    ensure!(
        matches!(&refused, Err(quiver_client::Error::Server(text)) if text.starts_with("READONLY")),
        "the replica answered a write with {refused:?}"
    );

    here.command(&["VREM", KEY, &row.to_string()])?;
    here.command(&["DEL", "live"])?;
    wait("the removals to arrive", || Ok(there.command(&["EXISTS", "live"])?.as_i64() == Some(0)))?;
    let answers = ask_all(&mut here, set)?;
    let expected = digest(&mut here)?;
    compare("on the replica", &mut there, set, &answers, &expected, report)?;
    Ok(replica)
}

/// Fails unless all answers and the digest are those expected.
fn compare(
    place: &str,
    client: &mut Blocking,
    set: &Texts,
    answers: &Answers,
    expected: &str,
    report: &mut Report,
) -> Result<()> {
    let found = digest(client)?;
    ensure!(found == expected, "DEBUG DIGEST is {found} {place}, {expected} before");
    let again = ask_all(client, set)?;
    let different = again.iter().zip(answers).filter(|(now, before)| now != before).count();
    ensure!(different == 0, "{different} of {} answers differ {place}", answers.len());
    report.fact(place, &format!("all {} answers equal, digest {}…", answers.len(), &found[..found.len().min(12)]));
    Ok(())
}

/// DEBUG DIGEST: a hash of everything the server holds.
fn digest(client: &mut Blocking) -> Result<String> {
    let reply = client.command(&["DEBUG", "DIGEST"])?;
    Ok(reply.as_str().with_context(|| format!("DEBUG DIGEST answered {reply:?}"))?.to_owned())
}

fn info(client: &mut Blocking, section: &str) -> Result<String> {
    let reply: Value = client.command(&["INFO", section])?;
    Ok(reply.as_str().context("INFO answered with something else than text")?.to_owned())
}

/// Asks again and again until `done` says so.
fn wait(what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < SYNC_TIMEOUT {
        if done()? {
            return Ok(());
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    bail!("waited {} s for {what}", SYNC_TIMEOUT.as_secs())
}
