//! `--check-aof [--fix] [--truncate-to-timestamp SECONDS] FILE`: what is in a log and what is wrong with it.
//!
//! Without options nothing is changed. `--fix` cuts off the incomplete end; `--truncate-to-timestamp` goes back to a point
//! in time, where the log has time stamps (`aof-timestamp-enabled`). What is cut off is kept in a file beside it.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use quiver_node::{AofCheck, check_aof, now_ms};

use crate::logs::{complain, say};

const USAGE: &str = "Usage: quiver-server --check-aof [--fix] [--truncate-to-timestamp SECONDS] \
                     <appendonly.aof.manifest | file.aof | base.rdb>";

/// Checks the file the arguments name; fails when it cannot be loaded as it is.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let mut options = AofCheck { now_s: now_ms() / 1000, ..AofCheck::default() };
    let (mut file, mut words) = (None, arguments.iter());
    while let Some(word) = words.next() {
        match word.as_str() {
            "--fix" => options.fix = true,
            "--truncate-to-timestamp" => match words.next().and_then(|seconds| seconds.parse().ok()) {
                Some(seconds) => options.until_s = Some(seconds),
                None => return wrong("--truncate-to-timestamp needs a unix time in seconds"),
            },
            name if file.is_none() && !name.starts_with("--") => file = Some(name),
            other => return wrong(&format!("{other:?} is not understood")),
        }
    }
    let Some(file) = file else { return wrong("which file?") };
    let disk: Arc<dyn quiver_node::Disk> = Arc::new(quiver_node::SystemDisk);
    match check_aof(&disk, Path::new(file), &options) {
        Ok(report) => {
            let said = say(report.to_string().trim_end());
            if report.sound { said } else { ExitCode::FAILURE }
        }
        Err(error) => {
            complain(&format!("quiver-server: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn wrong(reason: &str) -> ExitCode {
    complain(&format!("quiver-server: {reason}\n{USAGE}"));
    ExitCode::FAILURE
}
