//! `--check-rdb FILE`: what a snapshot holds and whether it is whole, without loading it.

use std::path::Path;
use std::process::ExitCode;

use quiver_node::{check_snapshot, now_ms};

use crate::logs::{complain, say};

/// Prints a report; fails when the file could not be loaded.
pub(crate) fn check(file: &str) -> ExitCode {
    match check_snapshot(Path::new(file), now_ms()) {
        Ok(report) => {
            let said = say(report.to_string().trim_end());
            if report.error.is_some() { ExitCode::FAILURE } else { said }
        }
        Err(error) => {
            complain(&format!("quiver-server: {error}"));
            ExitCode::FAILURE
        }
    }
}
