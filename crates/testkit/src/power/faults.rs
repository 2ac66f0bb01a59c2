//! Every operation on the disk fails once: of a start, of appends, of rewrites and of saves.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use quiver_persist::log::{DiskFault, MemoryDisk};
use quiver_resp::Value;

use super::node::{Client, DIR, check_snapshot, disk, end, start};
use crate::crash::model::{Model, commands, observe};

/// Steps of a run, and what happens before some of them.
const STEPS: u64 = 36;
const REWRITE_BEFORE: [u64; 3] = [9, 18, 27];
const SAVE_BEFORE: [u64; 2] = [14, 30];

/// How long a log may take to be good again.
const PATIENCE: Duration = Duration::from_secs(20);

/// What became of a run in which one operation failed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Run {
    /// Whether the operation was reached.
    pub reached: bool,
    /// Whether the node started.
    pub started: bool,
    /// Steps whose reply was refused, or must not be believed.
    pub refused: u64,
    /// Saves that said they failed.
    pub saves_failed: u64,
}

/// Lets operation `at` fail, and then cuts the power.
///
/// # Errors
/// Something acknowledged is missing, something else is there, or the log does not become good again.
pub fn run(at: u64) -> Result<Run> {
    let broken = disk(Some(DiskFault::Once(at)));
    let mut run = Run::default();
    let (done, acknowledged) = match start(&broken, "always") {
        Ok(node) => {
            run.started = true;
            let worked = work(&mut Client::new(&node)?, &mut run);
            run.reached = broken.has_failed();
            // What is asked of the node from here on is not part of the run.
            broken.set_fault(Some(DiskFault::PowerOff(0)));
            end(&node);
            worked?
        }
        // Whoever was refused a start was told nothing.
        Err(_) => (Model::default(), 0),
    };
    run.reached |= broken.has_failed();
    check(&broken.after_power_cut(), &done, acknowledged).context("after a power cut")?;
    check(&broken.after_crash(), &done, acknowledged).context("after a crash")?;
    Ok(run)
}

/// Does the steps; gives the model behind them and how many the log must have.
fn work(client: &mut Client, run: &mut Run) -> Result<(Model, u64)> {
    let (mut model, mut acknowledged) = (Model::default(), 0);
    while model.steps < STEPS {
        if REWRITE_BEFORE.contains(&model.steps) {
            rewrite(client)?;
        }
        if SAVE_BEFORE.contains(&model.steps) {
            save(client, run)?;
        }
        match step(client, model.steps)? {
            Answer::Acknowledged => acknowledged = model.steps + 1,
            Answer::Unknown => run.refused += 1,
            Answer::Refused => {
                run.refused += 1;
                recover(client)?;
                continue;
            }
        }
        model.step();
    }
    // The last one is acknowledged, whatever was before.
    ensure!(acknowledged == STEPS || run.refused > 0, "{acknowledged} of {STEPS} steps were acknowledged");
    Ok((model, acknowledged))
}

/// What came of a step.
enum Answer {
    Acknowledged,
    /// It was done, and the reply must not be believed.
    Unknown,
    /// It was not done.
    Refused,
}

fn step(client: &mut Client, step: u64) -> Result<Answer> {
    let commands = commands(0, step);
    for command in &commands {
        match client.call(command)? {
            (Value::Error(text), _) if text.starts_with(b"MISCONF") || text.starts_with(b"EXECABORT") => {
                if commands.len() > 1 {
                    // It may have ended already.
                    client.execute(&["DISCARD"])?;
                }
                return Ok(Answer::Refused);
            }
            (Value::Error(text), _) => bail!("{command:?} was refused: {}", text.escape_ascii()),
            (_, false) if commands.last() == Some(command) => return Ok(Answer::Unknown),
            _ => {}
        }
    }
    Ok(Answer::Acknowledged)
}

/// Waits until writes are accepted; a log that is broken is rewritten, as the node's periodic work would.
fn recover(client: &mut Client) -> Result<()> {
    let since = Instant::now();
    while client.info("aof_last_write_status")? != "ok" {
        ensure!(since.elapsed() < PATIENCE, "the log does not become good again");
        client.execute(&["BGREWRITEAOF"])?;
        sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn rewrite(client: &mut Client) -> Result<()> {
    client.execute(&["BGREWRITEAOF"])?;
    let since = Instant::now();
    while client.info("aof_rewrite_in_progress")? != "0" || client.info("aof_rewrite_scheduled")? != "0" {
        ensure!(since.elapsed() < PATIENCE, "a rewrite does not end");
        sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn save(client: &mut Client, run: &mut Run) -> Result<()> {
    if matches!(client.execute(&["SAVE"])?, Value::Error(_)) {
        run.saves_failed += 1;
        // `stop-writes-on-bgsave-error` would have its say; the next one is to succeed.
        let again = client.execute(&["SAVE"])?;
        ensure!(!matches!(again, Value::Error(_)), "a save fails behind one that failed: {again:?}");
    }
    Ok(())
}

/// A node starts on what is left, and it is the state after some step, none earlier than the last one acknowledged.
fn check(left: &MemoryDisk, done: &Model, acknowledged: u64) -> Result<()> {
    check_snapshot(left)?;
    let temporary = left.paths().into_iter().filter(|path| path.parent() == Some(&PathBuf::from(DIR)));
    ensure!(temporary.count() <= 2, "more than a snapshot and a temporary file: {:?}", left.paths());
    let node = start(left, "always").context("the node does not start")?;
    let mut client = Client::new(&node)?;
    let found = observe(&mut |words| client.execute(words), 0)?;
    end(&node);
    let mut model = Model::default();
    let mut explained = (acknowledged == 0 && model.is(&found)).then_some(0);
    while model.steps < done.steps {
        model.step();
        if model.steps >= acknowledged && model.is(&found) {
            explained = Some(model.steps);
        }
    }
    ensure!(explained.is_some(), "{acknowledged} of {} steps were acknowledged; found is {found:#?}", done.steps);
    Ok(())
}
