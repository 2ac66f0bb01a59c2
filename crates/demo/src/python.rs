//! The same questions asked by the Python package, in a process of its own.
//!
//! The script prints for people; its last line, `recall R queries_per_second Q`, is for the table at the end.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::KEY;
use crate::options::Options;
use crate::search::Measured;
use crate::server::Server;

/// Runs the script against `server` and passes its output on as it comes.
pub(crate) fn search(options: &Options, server: &Server) -> Result<Measured> {
    let (python, script) = options.python.as_ref().context("no Python given")?;
    let mut child = Command::new(python)
        .arg(script)
        .args(["--port", &server.address().port().to_string(), "--key", KEY, "--dataset"])
        .arg(&options.dataset)
        .env("PYTHONUNBUFFERED", "1")
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", python.display()))?;
    let output = child.stdout.take().context("the child's output is piped")?;
    let mut measured = None;
    for line in BufReader::new(output).lines() {
        let line = line.context("reading the script's output")?;
        match parse(&line) {
            Some(found) => measured = Some(found),
            None => println!("   {line}"),
        }
    }
    let status = child.wait()?;
    ensure!(status.success(), "{} ended with {status}", script.display());
    measured.context("the script did not end with its measurements")
}

fn parse(line: &str) -> Option<Measured> {
    let [name, recall, other, rate] = line.split_whitespace().collect::<Vec<_>>().try_into().ok()?;
    let named = name == "recall" && other == "queries_per_second";
    let measured = Measured { recall: recall.parse().ok()?, queries_per_second: rate.parse().ok()? };
    named.then_some(measured)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_line_of_measurements_is_taken_for_one() {
        let measured = parse("recall 0.987 queries_per_second 1234.5").unwrap();
        assert!((measured.recall - 0.987).abs() < 1e-9 && (measured.queries_per_second - 1234.5).abs() < 1e-9);
        assert!(parse("? Zinfandel: small black grape").is_none());
        assert!(parse("recall many queries_per_second few").is_none());
    }
}
